//! `KeyHolderService`: what the broker asks of one key holder. Papers in, values to the holder, papers
//! out.
//!
//! Must never be served to anyone but a broker (the door sees to that, before a body is read), and never say
//! of a refused order more than its reason.

use super::status;
use client::paper::{
    ContextRequest, ContextStep, Form, Order, PaperError, Signed, Voucher, encode,
};
use holder::{ConvertItem, Forms, Holder, HolderError, Hop, Issued, Received};
use rules::limits::BATCH_ITEMS_MAX;
use rules::reason::{Outcome, Reason, Refusal, Violation};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::key_holder_service_server::KeyHolderService;

/// Writes a holder's papers with the codec that partners read them with.
pub struct WireForms;

impl Forms for WireForms {
    fn voucher(&self, voucher: &holder::Voucher) -> Vec<u8> {
        encode(&Voucher {
            order: voucher.order,
            order_sha256: voucher.order_sha256,
            kind: voucher.kind,
            source: voucher.source.clone(),
            targets: voucher.targets.clone(),
            hop: voucher.hop,
            holder: voucher.holder.clone(),
            inputs_sha256: voucher.inputs_sha256.clone(),
            outputs_sha256: voucher.outputs_sha256.clone(),
            output_keys: voucher.output_keys.clone(),
            time: voucher.time,
            trust_level: voucher.trust_level,
            directory_version: voucher.directory_version,
        })
    }

    fn step(&self, step: &holder::ContextStep) -> Vec<u8> {
        encode(&ContextStep {
            context: step.context.clone(),
            hop: step.hop,
            holder: step.holder.clone(),
            previous_point: step.previous_point,
            point: step.point,
            share_commitment: step.share_commitment,
            proof: step.proof.clone(),
            time: step.time,
        })
    }
}

/// A decoded paper as the holder takes it: its bytes and signature stay as they came.
fn received<P: Form, T>(signed: Signed<P>, value: impl FnOnce(P) -> T) -> Received<T> {
    let (bytes, signature) = (signed.bytes().to_vec(), *signed.signature());
    Received {
        paper: value(signed.into_paper()),
        bytes,
        signature,
    }
}

fn voucher(signed: message::SignedVoucher) -> Result<Received<holder::Voucher>, PaperError> {
    let signed = Signed::<Voucher>::try_from(signed)?;
    Ok(received(signed, |voucher| holder::Voucher {
        order: voucher.order,
        order_sha256: voucher.order_sha256,
        kind: voucher.kind,
        source: voucher.source,
        targets: voucher.targets,
        hop: voucher.hop,
        holder: voucher.holder,
        inputs_sha256: voucher.inputs_sha256,
        outputs_sha256: voucher.outputs_sha256,
        output_keys: voucher.output_keys,
        time: voucher.time,
        trust_level: voucher.trust_level,
        directory_version: voucher.directory_version,
    }))
}

fn context_request(
    signed: Option<message::SignedContextRequest>,
) -> Result<Received<holder::ContextRequest>, PaperError> {
    let signed = Signed::<ContextRequest>::try_from(signed.unwrap_or_default())?;
    Ok(received(signed, |request| holder::ContextRequest {
        context: request.context,
        owner: request.owner,
        desk: request.desk,
        sealing_key_sha256: request.sealing_key_sha256,
        time: request.time,
    }))
}

fn context_steps(
    steps: Vec<message::SignedContextStep>,
) -> Result<Vec<Received<holder::ContextStep>>, PaperError> {
    steps
        .into_iter()
        .map(|signed| {
            let signed = Signed::<ContextStep>::try_from(signed)?;
            Ok(received(signed, |step| holder::ContextStep {
                context: step.context,
                hop: step.hop,
                holder: step.holder,
                previous_point: step.previous_point,
                point: step.point,
                share_commitment: step.share_commitment,
                proof: step.proof,
                time: step.time,
            }))
        })
        .collect()
}

/// One item of a batch; what cannot be read is that item's own refusal.
fn convert_item(item: message::ConvertItem) -> Result<ConvertItem, PaperError> {
    let order = Signed::<Order>::try_from(item.order.unwrap_or_default())?;
    let parent = match item.parent {
        // A voucher that cannot be read is no parent.
        Some(parent) => Some(voucher(parent).map_err(|error| PaperError {
            reason: Reason::OrderParentInvalid,
            ..error
        })?),
        None => None,
    };
    Ok(ConvertItem {
        order: received(order, |order| order),
        ciphertexts: item.ciphertexts,
        earlier: item
            .earlier
            .into_iter()
            .map(voucher)
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
            signature: hop.voucher.signature.bytes().to_vec(),
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

fn signed_step(step: &Issued) -> message::SignedContextStep {
    message::SignedContextStep {
        step: step.bytes.clone(),
        signature: step.signature.bytes().to_vec(),
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
            step: Some(signed_step(&made.step)),
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
