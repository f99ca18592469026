//! The walk along the holders that opens a context: its steps and sealed shares, checked one by one, and the key that
//! they make.
//!
//! Must never take a share that its holder did not sign, and never give a key that is not the walk's end.

use super::{ContextStep, HolderKey, PaperError, Signed, context_share_bytes, refused};
use rules::id::Oin;
use rules::pseudonym::Context;
use rules::reason::Reason;
use rules::secret::Secret;
use vault::context::{HolderCommitment, OpenedShare, Step, assemble};
use vault::pseudonym::{ContextKey, ContextPoint};
use vault::sealing::{self, OpeningKey, open_share};
use vault::sign::{Paper, Signature};
use wire::pseudonym::v1 as message;

/// A holder of a walk: the key with which it signs, and its pinned commitment.
pub type Walker = (HolderKey, HolderCommitment);

/// One holder's share of a context key, sealed to its owner.
#[derive(Clone, Debug)]
pub struct SealedShare {
    /// The holder.
    pub holder: Oin,
    /// Encapsulation and sealed share.
    pub share: sealing::SealedShare,
    /// The holder's signature over [`context_share_bytes`].
    pub signature: Vec<u8>,
}

/// What came back along the holders.
#[derive(Clone, Debug)]
pub struct ContextWalk {
    /// Every holder's step, in walking order.
    pub steps: Vec<Signed<ContextStep>>,
    /// Every holder's sealed share, in the same order.
    pub shares: Vec<SealedShare>,
}

impl ContextWalk {
    /// The owner's key: every step and share is by the holder whose turn it was, about this context, and fits its
    /// pinned commitment.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn key(
        &self,
        context: &Context,
        walkers: &[Walker],
        opening: &OpeningKey,
    ) -> Result<ContextKey, PaperError> {
        if self.steps.len() != walkers.len() || self.shares.len() != walkers.len() {
            let text = "does not have one step and one share for each holder";
            return Err(wrong("walk", text));
        }
        let steps = verify_steps(context, &self.steps, walkers)?;
        let shares = self
            .shares
            .iter()
            .zip(walkers)
            .map(|(share, (holder, _))| share.open(context, holder, opening))
            .collect::<Result<Vec<_>, _>>()?;
        let opened: Vec<OpenedShare<'_>> = walkers
            .iter()
            .zip(&steps)
            .zip(&shares)
            .map(|(((_, holder), step), share)| OpenedShare {
                holder,
                step,
                share,
            })
            .collect();
        assemble(&opened).map_err(|_| {
            let text = "does not fit the pinned commitments: a proof, a share or the final point";
            wrong("walk", text)
        })
    }
}

/// Checks who made each step of the beginning of a walk, in its order, and about which context. The proofs are for
/// [`vault::context::verify_walk`].
///
/// # Errors
/// `CONTEXT_REQUEST_INVALID`, and `POINT_INVALID` for a point that is none.
pub fn verify_steps(
    context: &Context,
    steps: &[Signed<ContextStep>],
    walkers: &[Walker],
) -> Result<Vec<Step>, PaperError> {
    (1_u32..)
        .zip(steps.iter().zip(walkers))
        .map(|(hop, (signed, (holder, _)))| {
            signed.verify(&holder.key)?;
            let step = signed.paper();
            let fits = step.context == *context && step.hop == hop && step.holder == holder.oin;
            if !fits {
                return Err(wrong("step", "is of another context, hop or holder"));
            }
            let point = |bytes: &[u8; 32]| {
                ContextPoint::parse(bytes).map_err(|_| PaperError {
                    reason: Reason::PointInvalid,
                    ..wrong("step", "holds a point that is none")
                })
            };
            Ok(Step {
                previous: point(&step.previous_point)?,
                point: point(&step.point)?,
                share_commitment: step.share_commitment,
                proof: step.proof.clone(),
            })
        })
        .collect()
}

impl SealedShare {
    fn open(
        &self,
        context: &Context,
        holder: &HolderKey,
        opening: &OpeningKey,
    ) -> Result<Secret<Vec<u8>>, PaperError> {
        let bytes = context_share_bytes(context, &self.share.encapsulation, &self.share.sealed);
        let signed = self.holder == holder.oin
            && Signature::from_slice(&self.signature).is_some_and(|signature| {
                holder.key.verify(Paper::ContextShare, &bytes, &signature)
            });
        if !signed {
            return Err(wrong("share", "is not signed by its holder"));
        }
        let opened = open_share(opening, &context.to_string(), &self.share);
        opened.map_err(|_| wrong("share", "does not open with this desk's newest key"))
    }
}

fn wrong(field: &'static str, text: &'static str) -> PaperError {
    refused::<ContextStep>(field, text)
}

impl TryFrom<message::SealedShare> for SealedShare {
    type Error = PaperError;

    fn try_from(share: message::SealedShare) -> Result<Self, PaperError> {
        let none = |_| wrong("share", "is not of a holder");
        Ok(Self {
            holder: share.holder_oin.parse().map_err(none)?,
            share: sealing::SealedShare {
                encapsulation: share.encapsulation,
                sealed: share.sealed,
            },
            signature: share.signature,
        })
    }
}

impl From<SealedShare> for message::SealedShare {
    fn from(share: SealedShare) -> Self {
        Self {
            holder_oin: share.holder.to_string(),
            encapsulation: share.share.encapsulation,
            sealed: share.share.sealed,
            signature: share.signature,
        }
    }
}
