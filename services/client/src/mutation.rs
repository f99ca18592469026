//! The changing calls as one closed list: how each is sent, kept and settled.
//!
//! Must never give a number to another call: numbers are in partners' stores.

use crate::connection::{Connection, stub, with_deadline};
use crate::directory::DirectoryCopy;
use crate::error::{ClientError, ProtocolError, from_status};
use crate::outbox::{Outbox, Resumed};
use crate::receipt::{
    ConsentReceipt, NoticeReceipt, Prepared, Question, Receipt, Settled, labels, verified_promise,
};
use crate::store::{
    Change, OutboxRow, PreparedRow, StoppedRow, StoreError, Table, put, put_octets,
};
use papers::paper::{Expectation, Order, Signed, Voucher, verify_vouchers};
use prost::Message;
use rules::clock::Timestamp;
use rules::consent::ConsentState;
use rules::id::{HandoverId, Label, NoticeId, Party, QuestionId, RequestId};
use std::future::Future;
use std::sync::Arc;
use tonic::Status;
use wire::consent::v1 as consent;
use wire::consent::v1::consent_service_client::ConsentServiceClient;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{ImportDirectoryRequest, ImportDirectoryResponse};
use wire::handover::v1 as handover;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::policy::v1::policy_service_client::PolicyServiceClient;
use wire::policy::v1::{ActivatePolicySetRequest, ActivatePolicySetResponse};
use wire::pseudonym::v1::SignedOrder;

/// What settling an answer rests on.
pub(crate) struct Settling<'a> {
    pub(crate) directory: &'a DirectoryCopy,
    pub(crate) row: &'a OutboxRow,
    /// The order of the attempt that was answered.
    pub(crate) order: Option<&'a Signed<Order>>,
    pub(crate) now: Timestamp,
}

/// An answer verified, and what it changes in the store.
type Settlement = Result<(Settled, Vec<Change>), ClientError>;

/// A changing call.
pub(crate) trait Mutation: About + Message + Default + Clone + 'static {
    type Answer: Send;
    /// The call in the store.
    const NUMBER: u32;
    /// The call by name.
    const NAME: &'static str;

    fn set_request_id(&mut self, request: &RequestId);

    fn set_order(&mut self, order: SignedOrder);

    fn send(
        self,
        connection: Connection,
    ) -> impl Future<Output = Result<Self::Answer, Status>> + Send;

    fn settle(&self, answer: Self::Answer, settling: &Settling<'_>) -> Settlement;
}

/// Whether a call only stops something: then it is kept for a gateway that is put back from a backup. These are
/// ObjectToHandover, RestrictHandover, NarrowConsent, WithdrawConsent and InvalidateConsent.
pub(crate) const fn stops(call: u32) -> bool {
    matches!(call, 17 | 18 | 25 | 26 | 28)
}

/// Whom a call is about.
pub(crate) trait About {
    /// The handover; none where it is about none, or none yet.
    fn handover(&self) -> Option<HandoverId> {
        None
    }
}

/// How an answer is settled.
trait Settle<Question> {
    fn settle(self, question: &Question, settling: &Settling<'_>) -> Settlement;
}

macro_rules! mutations {
    ($( $number:literal $name:literal $service:ident.$method:ident($request:ty) -> $answer:ty $(, $order:ident)?; )*) => {
        $(
            impl Mutation for $request {
                type Answer = $answer;
                const NUMBER: u32 = $number;
                const NAME: &'static str = $name;

                fn set_request_id(&mut self, request: &RequestId) {
                    self.request_id = request.bytes().to_vec();
                }

                fn set_order(&mut self, _order: SignedOrder) {
                    $( self.$order = Some(_order); )?
                }

                async fn send(self, connection: Connection) -> Result<$answer, Status> {
                    let mut stub = stub!($service<_>, connection);
                    let answer = stub.$method(with_deadline(self)).await?;
                    Ok(answer.into_inner())
                }

                fn settle(&self, answer: $answer, settling: &Settling<'_>) -> Settlement {
                    Settle::settle(answer, self, settling)
                }
            }
        )*

        /// Sends again what was answered before, whichever call it is; what is answered now is of no use but
        /// that it is an answer.
        pub(crate) async fn send_again(outbox: &Outbox, row: &StoppedRow) -> Result<(), ClientError> {
            let unreadable = || StoreError::Unreadable { kind: "stopped request" };
            match row.call {
                $( $number => {
                    let message = <$request>::decode(row.message.as_slice()).map_err(|_| unreadable())?;
                    outbox.policy.repeat(&*outbox.random, || {
                        let sent = message.clone().send(outbox.connection.clone());
                        async move {
                            sent.await.map(drop).map_err(|status| from_status($name, &status))
                        }
                    }).await
                } )*
                _ => Err(unreadable().into()),
            }
        }

        /// Sends a kept request again, whichever call it is.
        pub(crate) async fn resume(
            outbox: &Outbox,
            request: RequestId,
            row: &OutboxRow,
            directory: &Arc<DirectoryCopy>,
        ) -> Resumed {
            let unreadable = StoreError::Unreadable { kind: "outbox" };
            let (call, handover, outcome) = match row.call {
                $( $number => match <$request>::decode(row.message.as_slice()) {
                    Ok(message) => {
                        let handover = message.handover();
                        let outcome = outbox.deliver(&request, message, row, directory).await;
                        ($name, handover, outcome)
                    }
                    Err(_) => ($name, None, Err(unreadable.into())),
                } )*
                _ => ("unknown", None, Err(unreadable.into())),
            };
            Resumed { request, call, handover, outcome }
        }
    };
}

mutations! {
    1 "Prepare" HandoverServiceClient.prepare(handover::PrepareRequest) -> handover::PrepareResponse, order;
    2 "Offer" HandoverServiceClient.offer(handover::OfferRequest) -> handover::OfferResponse;
    3 "AckNotification" HandoverServiceClient.ack_notification(handover::AckNotificationRequest) -> handover::AckNotificationResponse;
    4 "ProposeChange" HandoverServiceClient.propose_change(handover::ProposeChangeRequest) -> handover::ProposeChangeResponse;
    5 "AcceptChange" HandoverServiceClient.accept_change(handover::AcceptChangeRequest) -> handover::AcceptChangeResponse;
    6 "RejectChange" HandoverServiceClient.reject_change(handover::RejectChangeRequest) -> handover::RejectChangeResponse;
    7 "Decline" HandoverServiceClient.decline(handover::DeclineRequest) -> handover::DeclineResponse;
    8 "Accept" HandoverServiceClient.accept(handover::AcceptRequest) -> handover::AcceptResponse;
    9 "Release" HandoverServiceClient.release(handover::ReleaseRequest) -> handover::ReleaseResponse, order;
    10 "RequestReseal" HandoverServiceClient.request_reseal(handover::RequestResealRequest) -> handover::RequestResealResponse;
    11 "Reseal" HandoverServiceClient.reseal(handover::ResealRequest) -> handover::ResealResponse;
    12 "ReportMismatch" HandoverServiceClient.report_mismatch(handover::ReportMismatchRequest) -> handover::ReportMismatchResponse;
    13 "Complete" HandoverServiceClient.complete(handover::CompleteRequest) -> handover::CompleteResponse;
    15 "Return" HandoverServiceClient.r#return(handover::ReturnRequest) -> handover::ReturnResponse;
    16 "Cancel" HandoverServiceClient.cancel(handover::CancelRequest) -> handover::CancelResponse;
    17 "ObjectToHandover" HandoverServiceClient.object_to_handover(handover::ObjectToHandoverRequest) -> handover::ObjectToHandoverResponse;
    18 "RestrictHandover" HandoverServiceClient.restrict_handover(handover::RestrictHandoverRequest) -> handover::RestrictHandoverResponse;
    19 "DecideObjection" HandoverServiceClient.decide_objection(handover::DecideObjectionRequest) -> handover::DecideObjectionResponse;
    20 "SendNotice" HandoverServiceClient.send_notice(handover::SendNoticeRequest) -> handover::SendNoticeResponse;
    21 "AckNotice" HandoverServiceClient.ack_notice(handover::AckNoticeRequest) -> handover::AckNoticeResponse;
    22 "AnswerNotice" HandoverServiceClient.answer_notice(handover::AnswerNoticeRequest) -> handover::AnswerNoticeResponse;
    23 "ImportDirectory" DirectoryServiceClient.import_directory(ImportDirectoryRequest) -> ImportDirectoryResponse;
    24 "ActivatePolicySet" PolicyServiceClient.activate_policy_set(ActivatePolicySetRequest) -> ActivatePolicySetResponse;
    25 "NarrowConsent" ConsentServiceClient.narrow_consent(consent::NarrowConsentRequest) -> consent::NarrowConsentResponse;
    26 "WithdrawConsent" ConsentServiceClient.withdraw_consent(consent::WithdrawConsentRequest) -> consent::WithdrawConsentResponse;
    27 "RequestConsent" ConsentServiceClient.request_consent(consent::RequestConsentRequest) -> consent::RequestConsentResponse, order;
    28 "InvalidateConsent" ConsentServiceClient.invalidate_consent(consent::InvalidateConsentRequest) -> consent::InvalidateConsentResponse;
    29 "SendReport" HandoverServiceClient.send_report(handover::SendReportRequest) -> handover::SendReportResponse;
}

/// Answers that hold a receipt, and those that tell of dropped labels besides.
macro_rules! receipts {
    ($( $question:ident -> $answer:ident $(, $dropped:ident)?; )*) => {$(
        impl About for handover::$question {
            fn handover(&self) -> Option<HandoverId> {
                HandoverId::from_slice(&self.handover_id)
            }
        }

        impl Settle<handover::$question> for handover::$answer {
            fn settle(self, question: &handover::$question, settling: &Settling<'_>) -> Settlement {
                let handover = HandoverId::from_slice(&question.handover_id);
                let receipt = Receipt::verify(self.receipt, handover.as_ref(), settling.directory)?;
                $( let receipt = Receipt {
                    dropped_labels: labels("dropped labels", &self.$dropped)?,
                    ..receipt
                }; )?
                Ok(changed(receipt))
            }
        }
    )*};
}

receipts! {
    OfferRequest -> OfferResponse, dropped_labels;
    ReleaseRequest -> ReleaseResponse, dropped_labels;
    ResealRequest -> ResealResponse, dropped_labels;
    SendReportRequest -> SendReportResponse, dropped_labels;
    AckNotificationRequest -> AckNotificationResponse;
    ProposeChangeRequest -> ProposeChangeResponse;
    AcceptChangeRequest -> AcceptChangeResponse;
    RejectChangeRequest -> RejectChangeResponse;
    DeclineRequest -> DeclineResponse;
    AcceptRequest -> AcceptResponse;
    RequestResealRequest -> RequestResealResponse;
    ReportMismatchRequest -> ReportMismatchResponse;
    CompleteRequest -> CompleteResponse;
    ReturnRequest -> ReturnResponse;
    CancelRequest -> CancelResponse;
    ObjectToHandoverRequest -> ObjectToHandoverResponse;
    RestrictHandoverRequest -> RestrictHandoverResponse;
    DecideObjectionRequest -> DecideObjectionResponse;
}

impl About for handover::PrepareRequest {}
impl About for handover::SendNoticeRequest {}
impl About for handover::AckNoticeRequest {}
impl About for handover::AnswerNoticeRequest {}
impl About for ImportDirectoryRequest {}
impl About for ActivatePolicySetRequest {}
impl About for consent::NarrowConsentRequest {}
impl About for consent::WithdrawConsentRequest {}
impl About for consent::RequestConsentRequest {}
impl About for consent::InvalidateConsentRequest {}

fn changed(receipt: Receipt) -> (Settled, Vec<Change>) {
    let revision = revision_change(&receipt.handover, receipt.revision);
    (Settled::Handover(receipt), vec![revision])
}

/// Remembers the revision on which the partner decides next.
pub(crate) fn revision_change(handover: &HandoverId, revision: i64) -> Change {
    put_octets(
        Table::Revision,
        handover.bytes(),
        revision.to_be_bytes().to_vec(),
    )
}

impl Settle<handover::PrepareRequest> for handover::PrepareResponse {
    fn settle(self, question: &handover::PrepareRequest, settling: &Settling<'_>) -> Settlement {
        let receipt = Receipt::verify(self.receipt, None, settling.directory)?;
        let order = settling
            .order
            .ok_or(ProtocolError::new("order", "is missing from this request"))?;
        let vouchers: Vec<Signed<Voucher>> = self
            .vouchers
            .iter()
            .cloned()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        let holders = settling.directory.holder_keys()?;
        verify_vouchers(
            &vouchers,
            &holders,
            order,
            Expectation::Whole { outputs: &[] },
        )?;
        let recipient: Party = question
            .recipient
            .parse()
            .map_err(|_| ProtocolError::new("recipient", "is not a party"))?;
        let sent = self
            .sealing_key
            .ok_or(ProtocolError::new("sealing key", "is missing"))?;
        let sealing_key = settling
            .directory
            .verify_sealing_key(&recipient, &sent, settling.now)?;
        let summary_labels = permitted(&self.summary_labels, &question.summary_labels)?;
        let dossier_labels = permitted(&self.dossier_labels, &question.dossier_labels)?;
        let row = PreparedRow {
            person: settling.row.person.clone(),
            recipient: question.recipient.clone(),
            purpose: question.purpose.clone(),
            order_id: order.paper().id.bytes().to_vec(),
            vouchers: self.vouchers,
            summary_labels: self.summary_labels,
            dossier_labels: self.dossier_labels,
            sealing_key: sent.public_key,
            sealing_key_valid_until_millis: sent.valid_until_millis,
            source_domain: order.paper().source.to_string(),
            ciphertext_sha256: Vec::new(),
            number_labels: Vec::new(),
        };
        let changes = vec![
            put(Table::Prepared, receipt.handover.bytes(), &row),
            revision_change(&receipt.handover, receipt.revision),
        ];
        let prepared = Prepared {
            receipt: Receipt {
                dropped_labels: labels("dropped labels", &self.dropped_labels)?,
                ..receipt
            },
            summary_labels,
            dossier_labels,
            sealing_key,
        };
        Ok((Settled::Prepared(Box::new(prepared)), changes))
    }
}

/// Labels that the gateway permits; one that was never asked for is no permission.
fn permitted(given: &[String], asked: &[String]) -> Result<Vec<Label>, ProtocolError> {
    if given.iter().all(|label| asked.contains(label)) {
        labels("permitted labels", given)
    } else {
        Err(ProtocolError::new(
            "permitted labels",
            "hold one that was not asked for",
        ))
    }
}

fn noticed(
    notice: &[u8],
    view: Option<handover::NoticeView>,
    promise: Option<wire::audit::v1::Promise>,
    settling: &Settling<'_>,
) -> Settlement {
    let receipt = NoticeReceipt {
        notice: NoticeId::from_slice(notice)
            .ok_or(ProtocolError::new("notice", "has no id of 16 bytes"))?,
        view,
        promise: verified_promise(promise, settling.directory)?,
    };
    Ok((Settled::Notice(receipt), Vec::new()))
}

impl Settle<handover::SendNoticeRequest> for handover::SendNoticeResponse {
    fn settle(self, _: &handover::SendNoticeRequest, settling: &Settling<'_>) -> Settlement {
        noticed(&self.notice_id, None, self.promise, settling)
    }
}

impl Settle<handover::AckNoticeRequest> for handover::AckNoticeResponse {
    fn settle(self, asked: &handover::AckNoticeRequest, settling: &Settling<'_>) -> Settlement {
        noticed(&asked.notice_id, self.notice, self.promise, settling)
    }
}

impl Settle<handover::AnswerNoticeRequest> for handover::AnswerNoticeResponse {
    fn settle(self, asked: &handover::AnswerNoticeRequest, settling: &Settling<'_>) -> Settlement {
        noticed(&asked.notice_id, self.notice, self.promise, settling)
    }
}

impl Settle<consent::NarrowConsentRequest> for consent::NarrowConsentResponse {
    fn settle(self, _: &consent::NarrowConsentRequest, settling: &Settling<'_>) -> Settlement {
        let receipt = ConsentReceipt {
            state: ConsentState::Given,
            version: u64::try_from(self.version)
                .map_err(|_| ProtocolError::new("version", "is below zero"))?,
            ended_handovers: 0,
            to_follow: 0,
            promise: verified_promise(self.promise, settling.directory)?,
            sealed_subject: self.sealed_subject,
        };
        Ok((Settled::Consent(receipt), Vec::new()))
    }
}

impl Settle<consent::WithdrawConsentRequest> for consent::WithdrawConsentResponse {
    fn settle(self, _: &consent::WithdrawConsentRequest, settling: &Settling<'_>) -> Settlement {
        let receipt = ConsentReceipt::withdrawn(
            (self.ended_handovers, self.to_follow),
            (self.promise, self.sealed_subject),
            settling.directory,
        )?;
        Ok((Settled::Consent(receipt), Vec::new()))
    }
}

impl Settle<consent::InvalidateConsentRequest> for consent::InvalidateConsentResponse {
    fn settle(self, _: &consent::InvalidateConsentRequest, settling: &Settling<'_>) -> Settlement {
        let receipt = ConsentReceipt {
            state: ConsentState::Invalidated,
            ..ConsentReceipt::withdrawn(
                (self.ended_handovers, self.to_follow),
                (self.promise, self.sealed_subject),
                settling.directory,
            )?
        };
        Ok((Settled::Consent(receipt), Vec::new()))
    }
}

impl Settle<consent::RequestConsentRequest> for consent::RequestConsentResponse {
    fn settle(self, _: &consent::RequestConsentRequest, settling: &Settling<'_>) -> Settlement {
        let question = Question {
            id: QuestionId::from_slice(&self.question_id)
                .ok_or(ProtocolError::new("question", "has no id of 16 bytes"))?,
            promise: verified_promise(self.promise, settling.directory)?,
        };
        Ok((Settled::Question(question), Vec::new()))
    }
}

impl Settle<ImportDirectoryRequest> for ImportDirectoryResponse {
    fn settle(self, _: &ImportDirectoryRequest, _: &Settling<'_>) -> Settlement {
        let (version, missing) = (self.version, self.missing_parts);
        Ok((Settled::Directory { version, missing }, Vec::new()))
    }
}

impl Settle<ActivatePolicySetRequest> for ActivatePolicySetResponse {
    fn settle(self, _: &ActivatePolicySetRequest, _: &Settling<'_>) -> Settlement {
        let sha256 = self.policy_set_sha256;
        Ok((Settled::PolicySet { sha256 }, Vec::new()))
    }
}
