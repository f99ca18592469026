//! `HandoverService`: every step of a handover, as the broker offers it.
//!
//! Must never decide or remember anything: each call is read, served at the broker, and shown.

mod read;
mod show;
mod watch;

use super::call::{self, Incoming, answer, arrived};
use super::pseudonym::conversion;
use crate::door::admission::Registry;
use broker::Broker;
use broker::handover::HandoverReceipt;
use broker::serve::Command;
use papers::promise::Promise;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch as signal;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_server::HandoverService;

/// The handover service of a broker.
pub struct Handovers {
    broker: Arc<Broker>,
    registry: Arc<dyn Registry>,
    stopping: signal::Receiver<bool>,
}

impl Handovers {
    /// The service at this broker. Streams end when `stopping` becomes true.
    #[must_use]
    pub fn new(
        broker: Arc<Broker>,
        registry: Arc<dyn Registry>,
        stopping: signal::Receiver<bool>,
    ) -> Self {
        Self {
            broker,
            registry,
            stopping,
        }
    }

    /// Serves a step whose answer is the handover's receipt.
    async fn step<M>(
        &self,
        request: Request<M>,
    ) -> Result<(Option<message::Receipt>, Vec<String>), Status>
    where
        M: Incoming,
        M::Command: Command<Reply = HandoverReceipt>,
    {
        let (reply, promise) = call::serve(&self.broker, request).await?;
        Ok(shown(&reply, &promise))
    }
}

fn shown(reply: &HandoverReceipt, promise: &Promise) -> (Option<message::Receipt>, Vec<String>) {
    (show::receipt(reply, promise), show::labels(&reply.dropped))
}

/// The methods whose answer is a receipt and nothing more, in the form that `async_trait` gives to the
/// others (it does not look into macros).
macro_rules! steps {
    ($($method:ident $request:ident $response:ident;)*) => {$(
        fn $method<'life, 'future>(
            &'life self,
            request: Request<message::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<message::$response>, Status>> + Send + 'future>>
        where
            'life: 'future,
            Self: 'future,
        {
            Box::pin(async move {
                let (receipt, _) = self.step(request).await?;
                Ok(Response::new(message::$response { receipt }))
            })
        }
    )*};
}

#[tonic::async_trait]
impl HandoverService for Handovers {
    type WatchInboxStream = ReceiverStream<Result<message::WatchInboxResponse, Status>>;

    async fn prepare(
        &self,
        request: Request<message::PrepareRequest>,
    ) -> Result<Response<message::PrepareResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let sent = request.into_inner();
        let recipient = sent.recipient.clone();
        let (reply, promise) = answer(&self.broker, &call, sent, |command| {
            self.broker.prepare(&call, command)
        })
        .await?;
        let in_force = self.broker.in_force();
        let sealing_key = recipient
            .parse()
            .ok()
            .and_then(|party| in_force.directory.sealing_key(&party, call.now))
            .map(|key| message::SealingKey {
                public_key: key.public_key.clone(),
                valid_until_millis: key.valid_until.millis(),
                signature: key.signature.to_vec(),
                signed_by_desk: key.signed_by.to_string(),
            });
        Ok(Response::new(message::PrepareResponse {
            receipt: show::receipt(&reply.receipt, &promise),
            summary_labels: show::labels(&reply.summary_labels),
            dossier_labels: show::labels(&reply.dossier_labels),
            dropped_labels: show::labels(&reply.receipt.dropped),
            sealing_key,
            vouchers: reply.vouchers.into_iter().map(show::voucher).collect(),
        }))
    }

    async fn offer(
        &self,
        request: Request<message::OfferRequest>,
    ) -> Result<Response<message::OfferResponse>, Status> {
        let (receipt, dropped_labels) = self.step(request).await?;
        Ok(Response::new(message::OfferResponse {
            receipt,
            dropped_labels,
        }))
    }

    async fn fetch_offer(
        &self,
        request: Request<message::FetchOfferRequest>,
    ) -> Result<Response<message::FetchOfferResponse>, Status> {
        let (reply, promise) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::FetchOfferResponse {
            receipt: show::receipt(&reply.receipt, &promise),
            manifest: Some((&reply.payload.manifest).into()),
            summary: Some(show::fields(reply.payload.sealed)),
            sender: reply.sender.to_string(),
        }))
    }

    async fn release(
        &self,
        request: Request<message::ReleaseRequest>,
    ) -> Result<Response<message::ReleaseResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (reply, promise) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.release(&call, command)
        })
        .await?;
        let (receipt, dropped_labels) = shown(&reply, &promise);
        Ok(Response::new(message::ReleaseResponse {
            receipt,
            dropped_labels,
        }))
    }

    async fn fetch(
        &self,
        request: Request<message::FetchRequest>,
    ) -> Result<Response<message::FetchResponse>, Status> {
        let (reply, promise) = call::serve(&self.broker, request).await?;
        let receipt = show::receipt(&reply.receipt, &promise);
        Ok(Response::new(show::dossier(receipt, reply)))
    }

    async fn check_person(
        &self,
        request: Request<message::CheckPersonRequest>,
    ) -> Result<Response<message::CheckPersonResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (reply, promise) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.check_person(&call, command)
        })
        .await?;
        Ok(Response::new(message::CheckPersonResponse {
            conversion: Some(conversion(reply)),
            promise: Some((&promise).into()),
        }))
    }

    async fn tell_mismatch(
        &self,
        request: Request<message::TellMismatchRequest>,
    ) -> Result<Response<message::TellMismatchResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let ((), promise) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.tell_mismatch(&call, command)
        })
        .await?;
        Ok(Response::new(message::TellMismatchResponse {
            promise: Some((&promise).into()),
        }))
    }

    async fn reseal(
        &self,
        request: Request<message::ResealRequest>,
    ) -> Result<Response<message::ResealResponse>, Status> {
        let (receipt, dropped_labels) = self.step(request).await?;
        Ok(Response::new(message::ResealResponse {
            receipt,
            dropped_labels,
        }))
    }

    async fn send_report(
        &self,
        request: Request<message::SendReportRequest>,
    ) -> Result<Response<message::SendReportResponse>, Status> {
        let (receipt, dropped_labels) = self.step(request).await?;
        Ok(Response::new(message::SendReportResponse {
            receipt,
            dropped_labels,
        }))
    }

    async fn fetch_report(
        &self,
        request: Request<message::FetchReportRequest>,
    ) -> Result<Response<message::FetchReportResponse>, Status> {
        let (reply, promise) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::FetchReportResponse {
            receipt: show::receipt(&reply.receipt, &promise),
            manifest: Some((&reply.payload.manifest).into()),
            report: Some(show::fields(reply.payload.sealed)),
            recipient: reply.recipient.to_string(),
        }))
    }

    steps! {
        ack_notification AckNotificationRequest AckNotificationResponse;
        propose_change ProposeChangeRequest ProposeChangeResponse;
        accept_change AcceptChangeRequest AcceptChangeResponse;
        reject_change RejectChangeRequest RejectChangeResponse;
        decline DeclineRequest DeclineResponse;
        accept AcceptRequest AcceptResponse;
        request_reseal RequestResealRequest RequestResealResponse;
        report_mismatch ReportMismatchRequest ReportMismatchResponse;
        complete CompleteRequest CompleteResponse;
        r#return ReturnRequest ReturnResponse;
        cancel CancelRequest CancelResponse;
        object_to_handover ObjectToHandoverRequest ObjectToHandoverResponse;
        restrict_handover RestrictHandoverRequest RestrictHandoverResponse;
        decide_objection DecideObjectionRequest DecideObjectionResponse;
    }

    async fn get_handover(
        &self,
        request: Request<message::GetHandoverRequest>,
    ) -> Result<Response<message::GetHandoverResponse>, Status> {
        let (reply, _) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::GetHandoverResponse {
            handover: Some(show::handover(&reply)),
            notices: reply.notices.iter().map(show::notice).collect(),
            more_notices: reply.more_notices,
        }))
    }

    async fn list_inbox(
        &self,
        request: Request<message::ListInboxRequest>,
    ) -> Result<Response<message::ListInboxResponse>, Status> {
        let (reply, _) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::ListInboxResponse {
            items: reply
                .items
                .iter()
                .map(|(item, _)| show::item(item))
                .collect(),
            cursor: reply.cursor,
            more: reply.more,
        }))
    }

    async fn watch_inbox(
        &self,
        request: Request<message::WatchInboxRequest>,
    ) -> Result<Response<Self::WatchInboxStream>, Status> {
        let watch = watch::Watch::begin(
            Arc::clone(&self.broker),
            Arc::clone(&self.registry),
            self.stopping.clone(),
            request,
        )?;
        Ok(Response::new(watch.stream()))
    }

    async fn send_notice(
        &self,
        request: Request<message::SendNoticeRequest>,
    ) -> Result<Response<message::SendNoticeResponse>, Status> {
        let (notice, promise) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::SendNoticeResponse {
            notice_id: notice.bytes().to_vec(),
            promise: Some((&promise).into()),
        }))
    }

    async fn ack_notice(
        &self,
        request: Request<message::AckNoticeRequest>,
    ) -> Result<Response<message::AckNoticeResponse>, Status> {
        let (view, promise) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::AckNoticeResponse {
            notice: Some(show::notice(&view)),
            promise: Some((&promise).into()),
        }))
    }

    async fn answer_notice(
        &self,
        request: Request<message::AnswerNoticeRequest>,
    ) -> Result<Response<message::AnswerNoticeResponse>, Status> {
        let (view, promise) = call::serve(&self.broker, request).await?;
        Ok(Response::new(message::AnswerNoticeResponse {
            notice: Some(show::notice(&view)),
            promise: Some((&promise).into()),
        }))
    }
}
