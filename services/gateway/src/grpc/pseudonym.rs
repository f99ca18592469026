//! `PseudonymService`: what desks and the portal ask of the broker. It carries; the holders judge.
//!
//! Must never look into a ciphertext, and never say of one item of a batch more than its own reason.

use super::call::{Incoming, answer, arrived};
use super::reading::Reading;
use client::paper::{ContextRequest, Order, Signed};
use counter::counter::Converted;
use counter::pseudonym::{Enrol, EnrolItem, OpenContext};
use counter::{Counter, SignedPaper};
use rules::id::RequestId;
use rules::reason::{Outcome, Reason};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use vault::pseudonym::CIPHERTEXT_BYTES;
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::pseudonym_service_server::PseudonymService;

/// The pseudonym service of a broker.
pub struct Pseudonyms {
    counter: Arc<Counter>,
}

impl Pseudonyms {
    /// The service at this counter.
    #[must_use]
    pub const fn new(counter: Arc<Counter>) -> Self {
        Self { counter }
    }
}

impl Incoming for message::EnrolRequest {
    type Command = Enrol;
    const NAME: &'static str = "Enrol";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Enrol> {
        reading.request_id(&self.request_id)?;
        Some(Enrol {
            items: self.items.into_iter().map(enrol_item).collect(),
        })
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
        let (request, signed) = reading.paper("context_request", request)?;
        request_id?;
        Some(OpenContext {
            context: request.context,
            owner: request.owner,
            desk: request.desk,
            signed,
        })
    }
}

fn enrol_result(outcome: Outcome<Converted>) -> message::EnrolResult {
    let outcome = match outcome {
        Outcome::Permitted(converted) => {
            let ciphertext = converted.ciphertexts.first().map(|octets| octets.to_vec());
            message::enrol_result::Outcome::Conversion(message::Conversion {
                ciphertext: ciphertext.unwrap_or_default(),
                vouchers: converted
                    .vouchers
                    .into_iter()
                    .map(|voucher| message::SignedVoucher {
                        voucher: voucher.bytes,
                        signature: voucher.signature,
                    })
                    .collect(),
            })
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
        let call = arrived(&self.counter, &request)?;
        let (results, promise) = answer(&self.counter, &call, request.into_inner(), |command| {
            self.counter.enrol(&call, command)
        })
        .await?;
        Ok(Response::new(message::EnrolResponse {
            results: results.into_iter().map(enrol_result).collect(),
            entry_id: promise.entry_id.bytes().to_vec(),
        }))
    }

    async fn open_context(
        &self,
        request: Request<message::OpenContextRequest>,
    ) -> Result<Response<message::OpenContextResponse>, Status> {
        let call = arrived(&self.counter, &request)?;
        let (walk, promise) = answer(&self.counter, &call, request.into_inner(), |command| {
            self.counter.open_context(&call, command)
        })
        .await?;
        Ok(Response::new(message::OpenContextResponse {
            steps: walk
                .steps
                .into_iter()
                .map(|step| message::SignedContextStep {
                    step: step.bytes,
                    signature: step.signature,
                })
                .collect(),
            shares: walk
                .shares
                .into_iter()
                .map(|share| message::SealedShare {
                    holder_oin: share.holder.to_string(),
                    encapsulation: share.encapsulation,
                    sealed: share.sealed,
                    signature: share.signature,
                })
                .collect(),
            entry_id: promise.entry_id.bytes().to_vec(),
        }))
    }

    /// Link codes come with the portal's pages; until then a call says what gRPC says of a method
    /// that is not there.
    async fn redeem_link(
        &self,
        _request: Request<message::RedeemLinkRequest>,
    ) -> Result<Response<message::RedeemLinkResponse>, Status> {
        Err(Status::unimplemented(
            "link codes are not served by this version",
        ))
    }
}
