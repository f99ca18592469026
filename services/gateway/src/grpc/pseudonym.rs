//! `PseudonymService`: what desks and the portal ask of the broker. It carries; the holders judge.
//!
//! Must never look into a ciphertext, and never say of one item of a batch more than its own reason.

use super::call::{Incoming, answer, arrived, serve};
use super::reading::Reading;
use broker::Converted;
use broker::link::{Link, Login, RedeemLink};
use broker::pseudonym::{Enrol, EnrolItem, OpenContext};
use broker::record::Record;
use broker::{Broker, Call};
use papers::paper::{ContextRequest, Order, Signed, SignedPaper};
use rules::id::RequestId;
use rules::reason::{Outcome, Reason};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use vault::pseudonym::CIPHERTEXT_BYTES;
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::pseudonym_service_server::PseudonymService;

/// The pseudonym service of a broker.
pub struct Pseudonyms {
    broker: Arc<Broker>,
}

impl Pseudonyms {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl Incoming for message::EnrolRequest {
    type Command = Enrol;
    const NAME: &'static str = "Enrol";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Enrol> {
        reading.request_id(&self.request_id)?;
        Some(Enrol {
            items: self.items.into_iter().map(enrol_item).collect(),
        })
    }

    fn about(command: &Enrol, _call: &Call) -> Record {
        command.record()
    }
}

/// One item of a batch. What is wrong with it is its own answer and stops no other.
fn enrol_item(item: message::EnrolItem) -> EnrolItem {
    let signed = item.order.unwrap_or_default();
    let signed_order = SignedPaper {
        bytes: signed.order.clone(),
        signature: signed.signature.clone(),
    };
    let order = Signed::<Order>::try_from(signed)
        .map(Signed::into_paper)
        .map_err(|error| error.reason);
    let ciphertext: Result<[u8; CIPHERTEXT_BYTES], _> = item.ciphertext.try_into();
    match ciphertext {
        Ok(ciphertext) => EnrolItem {
            order,
            signed_order,
            ciphertext,
        },
        Err(_) => EnrolItem {
            order: Err(Reason::PointInvalid),
            signed_order,
            ciphertext: [0; CIPHERTEXT_BYTES],
        },
    }
}

impl Incoming for message::OpenContextRequest {
    type Command = OpenContext;
    const NAME: &'static str = "OpenContext";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<OpenContext> {
        let request_id = reading.request_id(&self.request_id);
        let signed = reading.present("context_request", self.context_request)?;
        let request = Signed::<ContextRequest>::try_from(signed);
        let request = reading.signed("context_request", request)?;
        request_id?;
        Some(OpenContext { request })
    }
}

/// A conversion with one target.
pub(super) fn conversion(converted: Converted) -> message::Conversion {
    let ciphertext = converted.ciphertexts.first().map(|octets| octets.to_vec());
    message::Conversion {
        ciphertext: ciphertext.unwrap_or_default(),
        vouchers: vouchers(converted.vouchers),
    }
}

fn vouchers(vouchers: Vec<SignedPaper>) -> Vec<message::SignedVoucher> {
    vouchers
        .into_iter()
        .map(|voucher| message::SignedVoucher {
            voucher: voucher.bytes,
            signature: voucher.signature,
        })
        .collect()
}

impl Incoming for message::LoginRequest {
    type Command = Login;
    const NAME: &'static str = "Login";

    fn read(self, reading: &mut Reading) -> Option<Login> {
        let order = reading
            .present("order", self.order)
            .and_then(|order| reading.paper("order", order.try_into()));
        let ciphertext = reading.octets("ciphertext", &self.ciphertext);
        let (order, signed_order) = order?;
        Some(Login {
            order,
            signed_order,
            ciphertext: ciphertext?,
        })
    }
}

impl Incoming for message::LinkRequest {
    type Command = Link;
    const NAME: &'static str = "Link";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Link> {
        let request_id = reading.request_id(&self.request_id);
        let recipient = reading.name("recipient", &self.recipient);
        let code_sha256 = reading.octets("code_sha256", &self.code_sha256);
        let order = reading
            .present("order", self.order)
            .and_then(|order| reading.paper("order", order.try_into()));
        let ciphertext = reading.octets("ciphertext", &self.ciphertext);
        let (order, signed_order) = order?;
        Some(Link {
            request_id: request_id?,
            recipient: recipient?,
            code_sha256: code_sha256?,
            order,
            signed_order,
            ciphertext: ciphertext?,
        })
    }
}

impl Incoming for message::RedeemLinkRequest {
    type Command = RedeemLink;
    const NAME: &'static str = "RedeemLink";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<RedeemLink> {
        let request_id = reading.request_id(&self.request_id);
        let code = reading.name("code", &self.code);
        Some(RedeemLink {
            request_id: request_id?,
            code: code?,
        })
    }
}

fn enrol_result(outcome: Outcome<Converted>) -> message::EnrolResult {
    let outcome = match outcome {
        Outcome::Permitted(converted) => {
            message::enrol_result::Outcome::Conversion(conversion(converted))
        }
        Outcome::Refused(refusal) => {
            message::enrol_result::Outcome::RefusedReason(refusal.reason.code().to_owned())
        }
    };
    message::EnrolResult {
        outcome: Some(outcome),
    }
}

#[tonic::async_trait]
impl PseudonymService for Pseudonyms {
    async fn enrol(
        &self,
        request: Request<message::EnrolRequest>,
    ) -> Result<Response<message::EnrolResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (results, promise) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.enrol(&call, command)
        })
        .await?;
        Ok(Response::new(message::EnrolResponse {
            results: results.into_iter().map(enrol_result).collect(),
            entry_id: promise.entry.bytes().to_vec(),
        }))
    }

    async fn open_context(
        &self,
        request: Request<message::OpenContextRequest>,
    ) -> Result<Response<message::OpenContextResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (walk, promise) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.open_context(&call, command)
        })
        .await?;
        Ok(Response::new(message::OpenContextResponse {
            steps: walk.steps.iter().map(Into::into).collect(),
            shares: walk.shares.into_iter().map(Into::into).collect(),
            entry_id: promise.entry.bytes().to_vec(),
        }))
    }

    async fn login(
        &self,
        request: Request<message::LoginRequest>,
    ) -> Result<Response<message::LoginResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (converted, given) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.login(&call, command)
        })
        .await?;
        Ok(Response::new(message::LoginResponse {
            ciphertexts: converted
                .ciphertexts
                .iter()
                .map(|octets| octets.to_vec())
                .collect(),
            vouchers: vouchers(converted.vouchers),
            promise: Some((&given).into()),
        }))
    }

    async fn link(
        &self,
        request: Request<message::LinkRequest>,
    ) -> Result<Response<message::LinkResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (until, given) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.link(&call, command)
        })
        .await?;
        Ok(Response::new(message::LinkResponse {
            valid_until_millis: until.millis(),
            promise: Some((&given).into()),
        }))
    }

    async fn redeem_link(
        &self,
        request: Request<message::RedeemLinkRequest>,
    ) -> Result<Response<message::RedeemLinkResponse>, Status> {
        let (converted, given) = serve(&self.broker, request).await?;
        Ok(Response::new(message::RedeemLinkResponse {
            conversion: Some(conversion(converted)),
            entry_id: given.entry.bytes().to_vec(),
        }))
    }
}
