//! `KeyHolderService`: what the broker asks of one key holder. Papers in, values to the holder, papers
//! out.
//!
//! Must never be served to anyone but a broker (the door sees to that, before a body is read), and never say
//! of a refused order more than its reason.

use super::status;
use holder::{ConvertItem, Holder, HolderError, Hop};
use papers::paper::{ContextRequest, ContextStep, PaperError, Signed, SignedPaper};
use rules::limits::BATCH_ITEMS_MAX;
use rules::reason::{Outcome, Reason, Refusal, Violation};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::key_holder_service_server::KeyHolderService;

fn context_request(
    signed: Option<message::SignedContextRequest>,
) -> Result<Signed<ContextRequest>, PaperError> {
    signed.unwrap_or_default().try_into()
}

fn context_steps(
    steps: Vec<message::SignedContextStep>,
) -> Result<Vec<Signed<ContextStep>>, PaperError> {
    steps.into_iter().map(Signed::try_from).collect()
}

/// One item of a batch; what cannot be read is that item's own refusal.
fn convert_item(item: message::ConvertItem) -> Result<ConvertItem, PaperError> {
    let parent = match item.parent {
        // A voucher that cannot be read is no parent.
        Some(parent) => Some(
            Signed::try_from(parent).map_err(|error: PaperError| PaperError {
                reason: Reason::OrderParentInvalid,
                ..error
            })?,
        ),
        None => None,
    };
    Ok(ConvertItem {
        order: item.order.unwrap_or_default().try_into()?,
        ciphertexts: item.ciphertexts,
        earlier: item
            .earlier
            .into_iter()
            .map(Signed::try_from)
            .collect::<Result<_, _>>()?,
        parent,
    })
}

fn hop(hop: &Hop) -> message::Hop {
    message::Hop {
        ciphertexts: hop
            .ciphertexts
            .iter()
            .map(|octets| octets.to_vec())
            .collect(),
        voucher: Some(message::SignedVoucher {
            voucher: hop.voucher.bytes.clone(),
            signature: hop.voucher.signature.clone(),
        }),
    }
}

fn convert_result(outcome: Result<Arc<Hop>, Reason>) -> message::ConvertResult {
    let outcome = match outcome {
        Ok(made) => message::convert_result::Outcome::Hop(hop(&made)),
        Err(reason) => message::convert_result::Outcome::RefusedReason(reason.code().to_owned()),
    };
    message::ConvertResult {
        outcome: Some(outcome),
    }
}

fn signed_step(step: SignedPaper) -> message::SignedContextStep {
    message::SignedContextStep {
        step: step.bytes,
        signature: step.signature,
    }
}

/// The key holder's service.
pub struct KeyHolders {
    holder: Holder,
}

impl KeyHolders {
    /// The service of this holder.
    #[must_use]
    pub const fn new(holder: Holder) -> Self {
        Self { holder }
    }
}

fn refused(refusal: &Refusal) -> Status {
    status::refused(refusal, None, None)
}

/// The status of a fault of this holder; what lies behind it goes to the operator's log.
pub(crate) fn fault(error: &HolderError) -> Status {
    let (reason, causes) = (error.reason(), status::causes(error));
    if error.is_transient() {
        tracing::warn!(reason = reason.code(), causes, "a call could not be served");
    } else {
        tracing::error!(reason = reason.code(), causes, "a call failed");
    }
    refused(&reason.into())
}

fn answered<T>(answer: Result<Outcome<T>, HolderError>) -> Result<T, Status> {
    match answer {
        Ok(Outcome::Permitted(value)) => Ok(value),
        Ok(Outcome::Refused(refusal)) => Err(refused(&refusal)),
        Err(error) => Err(fault(&error)),
    }
}

fn unreadable(error: PaperError) -> Status {
    refused(&error.into())
}

#[tonic::async_trait]
impl KeyHolderService for KeyHolders {
    async fn convert(
        &self,
        request: Request<message::ConvertRequest>,
    ) -> Result<Response<message::ConvertResponse>, Status> {
        let items = request.into_inner().items;
        if items.len() > BATCH_ITEMS_MAX {
            let many = Violation::new("items", "has more than 1,000 items");
            return Err(refused(&Refusal::invalid(vec![many])));
        }
        let mut readable = Vec::with_capacity(items.len());
        let mut reasons = Vec::with_capacity(items.len());
        for item in items {
            match convert_item(item) {
                Ok(item) => {
                    readable.push(item);
                    reasons.push(None);
                }
                Err(error) => {
                    tracing::info!(reason = error.reason.code(), "an order cannot be read");
                    reasons.push(Some(error.reason));
                }
            }
        }
        let answers = self.holder.convert(readable).await;
        let mut answers = answers.map_err(|error| fault(&error))?.into_iter();
        let results = reasons
            .into_iter()
            .map(|reason| match reason {
                Some(reason) => Err(reason),
                None => match answers.next() {
                    Some(Outcome::Permitted(made)) => Ok(made),
                    Some(Outcome::Refused(refusal)) => Err(refusal.reason),
                    // The holder answers every item; a missing answer is a fault of ours.
                    None => Err(Reason::Internal),
                },
            })
            .map(convert_result)
            .collect();
        Ok(Response::new(message::ConvertResponse { results }))
    }

    async fn step_context(
        &self,
        request: Request<message::StepContextRequest>,
    ) -> Result<Response<message::StepContextResponse>, Status> {
        let request = request.into_inner();
        let owner = context_request(request.context_request).map_err(unreadable)?;
        let earlier = context_steps(request.earlier).map_err(unreadable)?;
        let made = answered(self.holder.step(&owner, &earlier))?;
        Ok(Response::new(message::StepContextResponse {
            step: Some(signed_step(made.step)),
            share: Some(message::SealedShare {
                holder_oin: self.holder.oin().to_string(),
                encapsulation: made.share.encapsulation,
                sealed: made.share.sealed,
                signature: made.share_signature.bytes().to_vec(),
            }),
        }))
    }

    async fn close_context(
        &self,
        request: Request<message::CloseContextRequest>,
    ) -> Result<Response<message::CloseContextResponse>, Status> {
        let request = request.into_inner();
        let owner = context_request(request.context_request).map_err(unreadable)?;
        let steps = context_steps(request.steps).map_err(unreadable)?;
        let public_key = answered(self.holder.close(&owner, &steps).await)?.to_vec();
        Ok(Response::new(message::CloseContextResponse { public_key }))
    }

    async fn list_commitments(
        &self,
        _request: Request<message::ListCommitmentsRequest>,
    ) -> Result<Response<message::ListCommitmentsResponse>, Status> {
        let (blinding, voucher) = self.holder.commitments();
        Ok(Response::new(message::ListCommitmentsResponse {
            blinding_commitment: blinding.to_vec(),
            voucher_public_key: voucher.to_vec(),
        }))
    }
}
