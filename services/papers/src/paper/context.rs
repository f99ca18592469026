//! The codec of the two papers of opening a context: the owner's request and each holder's step.
//!
//! Must never hold a share: shares travel sealed to the owner, beside the steps.

use super::{Form, PaperError, Signed, VERSION, moment, named, refused, sized, version};
use rules::clock::Timestamp;
use rules::id::{DeskName, Oin};
use rules::pseudonym::Context;
use rules::reason::Reason;
use wire::pseudonym::v1 as message;

/// Most octets in a proof of a step.
const PROOF_BYTES_MAX: usize = 4096;

/// A request to open a context, signed by a desk of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRequest {
    /// The context.
    pub context: Context,
    /// The owner's organisation.
    pub owner: Oin,
    /// The signing desk.
    pub desk: DeskName,
    /// SHA-256 of the owner's sealing key, to which the shares are sealed.
    pub sealing_key_sha256: [u8; 32],
    /// When.
    pub time: Timestamp,
}

/// One holder's step along the walk that opens a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextStep {
    /// The context.
    pub context: Context,
    /// Which step: 1 for the first holder.
    pub hop: u32,
    /// The holder's organisation.
    pub holder: Oin,
    /// The point before; at step 1 a constant of the protocol.
    pub previous_point: [u8; 32],
    /// The point after.
    pub point: [u8; 32],
    /// The commitment to the share.
    pub share_commitment: [u8; 32],
    /// Proof that the step used the committed share.
    pub proof: Vec<u8>,
    /// When.
    pub time: Timestamp,
}

impl Form for ContextRequest {
    type Message = message::ContextRequest;
    const KIND: vault::sign::Paper = vault::sign::Paper::ContextRequest;
    const MALFORMED: Reason = Reason::ContextRequestInvalid;
    const FORGED: Reason = Reason::ContextRequestInvalid;

    fn to_message(&self) -> message::ContextRequest {
        message::ContextRequest {
            version: VERSION,
            context: self.context.to_string(),
            owner_oin: self.owner.to_string(),
            owner_desk: self.desk.to_string(),
            sealing_key_sha256: self.sealing_key_sha256.to_vec(),
            time_millis: self.time.millis(),
        }
    }

    fn from_message(request: message::ContextRequest) -> Result<Self, PaperError> {
        version::<Self>(request.version)?;
        Ok(Self {
            context: named::<Self, _>("context", &request.context)?,
            owner: named::<Self, _>("owner_oin", &request.owner_oin)?,
            desk: named::<Self, _>("owner_desk", &request.owner_desk)?,
            sealing_key_sha256: sized::<Self, 32>(
                "sealing_key_sha256",
                &request.sealing_key_sha256,
            )?,
            time: moment::<Self>("time_millis", request.time_millis)?,
        })
    }
}

impl Form for ContextStep {
    type Message = message::ContextStep;
    const KIND: vault::sign::Paper = vault::sign::Paper::ContextStep;
    const MALFORMED: Reason = Reason::ContextRequestInvalid;
    const FORGED: Reason = Reason::ContextRequestInvalid;

    fn to_message(&self) -> message::ContextStep {
        message::ContextStep {
            version: VERSION,
            context: self.context.to_string(),
            hop: self.hop,
            holder_oin: self.holder.to_string(),
            previous_point: self.previous_point.to_vec(),
            point: self.point.to_vec(),
            share_commitment: self.share_commitment.to_vec(),
            proof: self.proof.clone(),
            time_millis: self.time.millis(),
        }
    }

    fn from_message(step: message::ContextStep) -> Result<Self, PaperError> {
        version::<Self>(step.version)?;
        if step.hop == 0 {
            return Err(refused::<Self>("hop", "is missing"));
        }
        if step.proof.is_empty() || step.proof.len() > PROOF_BYTES_MAX {
            return Err(refused::<Self>(
                "proof",
                "is missing or larger than 4096 bytes",
            ));
        }
        Ok(Self {
            context: named::<Self, _>("context", &step.context)?,
            hop: step.hop,
            holder: named::<Self, _>("holder_oin", &step.holder_oin)?,
            previous_point: sized::<Self, 32>("previous_point", &step.previous_point)?,
            point: sized::<Self, 32>("point", &step.point)?,
            share_commitment: sized::<Self, 32>("share_commitment", &step.share_commitment)?,
            proof: step.proof,
            time: moment::<Self>("time_millis", step.time_millis)?,
        })
    }
}

impl TryFrom<message::SignedContextRequest> for Signed<ContextRequest> {
    type Error = PaperError;

    fn try_from(signed: message::SignedContextRequest) -> Result<Self, PaperError> {
        Self::receive(signed.request, &signed.signature)
    }
}

impl From<&Signed<ContextRequest>> for message::SignedContextRequest {
    fn from(signed: &Signed<ContextRequest>) -> Self {
        Self {
            request: signed.bytes().to_vec(),
            signature: signed.signature().bytes().to_vec(),
        }
    }
}

impl TryFrom<message::SignedContextStep> for Signed<ContextStep> {
    type Error = PaperError;

    fn try_from(signed: message::SignedContextStep) -> Result<Self, PaperError> {
        Self::receive(signed.step, &signed.signature)
    }
}

impl From<&Signed<ContextStep>> for message::SignedContextStep {
    fn from(signed: &Signed<ContextStep>) -> Self {
        Self {
            step: signed.bytes().to_vec(),
            signature: signed.signature().bytes().to_vec(),
        }
    }
}

/// What a holder signs of a share that it sealed to the owner (kind `ContextShare`): the context's label,
/// a zero octet, the encapsulation and the sealed share.
#[must_use]
pub fn context_share_bytes(context: &Context, encapsulation: &[u8], sealed: &[u8]) -> Vec<u8> {
    [context.to_string().as_bytes(), b"\0", encapsulation, sealed].concat()
}
