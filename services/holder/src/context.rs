//! A holder's part in opening a context: one step of the walk, and the end of it kept.
//!
//! Must never hand a share to anyone but the context's owner as the own directory knows it, and must
//! never keep the end of a walk that it has not checked from the first point on.

use crate::convert::{hop_number, need};
use crate::own_directory::voucher_key;
use crate::{Holder, HolderError};
use papers::paper::{
    ContextRequest, ContextStep, HolderKey, Signed, SignedPaper, context_share_bytes, verify_steps,
};
use rules::clock::Timestamp;
use rules::directory::{Directory, Right};
use rules::id::Oin;
use rules::limits::{CLOCK_SKEW_MILLIS_MAX, ORDER_WINDOW_MILLIS_MAX};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeMap;
use vault::context::{HolderCommitment, first_point, verify_walk};
use vault::digest::sha256;
use vault::pseudonym::ContextPoint;
use vault::sealing::{SealedShare, SealingKey, seal_share};
use vault::sign::{Paper, Signature, VerifyingKey};

/// The commitments of all holders, pinned when each was admitted.
pub type Pinned = BTreeMap<Oin, HolderCommitment>;

/// What a holder gives to the opening of a context.
#[derive(Clone, Debug)]
pub struct StepMade {
    /// The step.
    pub step: SignedPaper,
    /// The share, sealed to the owner.
    pub share: SealedShare,
    /// The holder's signature over the sealed share.
    pub share_signature: Signature,
}

impl Holder {
    /// Makes this holder's step and seals its share to the owner. Asking again gives another proof of
    /// the same step.
    ///
    /// Refuses with the reasons of the owner's desk (`OIN_UNKNOWN`, `DESK_UNKNOWN`,
    /// `CERTIFICATE_REVOKED`, `RIGHT_MISSING`), `CONTEXT_UNKNOWN` (not the number that the directory
    /// has), `RECEIVER_NOT_READY` (no sealing key) and `CONTEXT_REQUEST_INVALID`.
    ///
    /// # Errors
    /// When the vault cannot make the step, or the clock is not gone by.
    pub fn step(
        &self,
        request: &Signed<ContextRequest>,
        earlier: &[Signed<ContextStep>],
    ) -> Result<Outcome<StepMade>, HolderError> {
        let now = self.now()?;
        match self.checked_step(request, earlier, now) {
            Ok((owner, hop, previous)) => self
                .make_step(request.paper(), (&owner, hop, &previous), now)
                .map(Outcome::Permitted),
            Err(reason) => {
                tracing::info!(reason = reason.code(), "a context step was refused");
                Ok(Outcome::Refused(Refusal::new(reason)))
            }
        }
    }

    fn checked_step(
        &self,
        request: &Signed<ContextRequest>,
        earlier: &[Signed<ContextStep>],
        now: Timestamp,
    ) -> Result<(SealingKey, u32, ContextPoint), Reason> {
        let directory = self.directory();
        let owner = check_request(&directory, request, now)?;
        let place = directory
            .holders()
            .iter()
            .position(|walker| walker == self.oin())
            .ok_or(Reason::ContextRequestInvalid)?;
        need(earlier.len() == place, Reason::ContextRequestInvalid)?;
        let previous = if earlier.is_empty() {
            first_point()
        } else {
            check_walk(&directory, self.pinned(), request.paper(), earlier)?
        };
        Ok((owner, hop_number(place), previous))
    }

    fn make_step(
        &self,
        request: &ContextRequest,
        (owner, hop, previous): (&SealingKey, u32, &ContextPoint),
        now: Timestamp,
    ) -> Result<StepMade, HolderError> {
        let label = request.context.to_string();
        let made = self
            .keys()
            .context_step(&label, previous)
            .map_err(|_| HolderError::Vault("a context step"))?;
        let step = ContextStep {
            context: request.context.clone(),
            hop,
            holder: self.oin().clone(),
            previous_point: *made.previous.bytes(),
            point: *made.point.bytes(),
            share_commitment: made.share_commitment,
            proof: made.proof,
            time: now,
        };
        let share = self
            .keys()
            .context_share(&label)
            .map_err(|_| HolderError::Vault("a context share"))?;
        let share = seal_share(owner, &label, &share.to_secret())
            .map_err(|_| HolderError::Vault("a sealed share"))?;
        let share_signature = self.signing().sign(
            Paper::ContextShare,
            &context_share_bytes(&request.context, &share.encapsulation, &share.sealed),
        );
        Ok(StepMade {
            step: Signed::sign(step, self.signing()).carried(),
            share,
            share_signature,
        })
    }

    /// Checks the whole walk, this holder's own step included, and keeps its end: the context's public
    /// key. The same end again is answered alike; another one is refused.
    ///
    /// Refuses as [`Holder::step`].
    ///
    /// # Errors
    /// When the database fails, or the clock is not gone by.
    pub async fn close(
        &self,
        request: &Signed<ContextRequest>,
        steps: &[Signed<ContextStep>],
    ) -> Result<Outcome<[u8; 32]>, HolderError> {
        let refused = |reason: Reason| {
            tracing::info!(reason = reason.code(), "the end of a walk was refused");
            Ok(Outcome::Refused(Refusal::new(reason)))
        };
        let (directory, now) = (self.directory(), self.now()?);
        let checked = check_request(&directory, request, now).and_then(|_| {
            let is_whole = steps.len() == directory.holders().len()
                && directory.holders().contains(self.oin());
            need(is_whole, Reason::ContextRequestInvalid)?;
            check_walk(&directory, self.pinned(), request.paper(), steps)
        });
        let end = match checked {
            Ok(end) => end,
            Err(reason) => return refused(reason),
        };
        let stands = self
            .registry()
            .close(&request.paper().context, &end, now)
            .await?;
        if stands == end {
            Ok(Outcome::Permitted(*stands.bytes()))
        } else {
            refused(Reason::ContextRequestInvalid)
        }
    }
}

/// The request is fresh, signed by a representing desk of the owner, for the context that the directory
/// has now. Gives the owner's sealing key, as the directory has it.
fn check_request(
    directory: &Directory,
    request: &Signed<ContextRequest>,
    now: Timestamp,
) -> Result<SealingKey, Reason> {
    let paper = request.paper();
    need(!directory.has_ended(now), Reason::DirectoryExpired)?;
    let owner = directory.member(&paper.owner, &paper.desk)?;
    let key = VerifyingKey::from_bytes(owner.desk.signing_key);
    let is_own = owner.party() == paper.context.party;
    need(
        is_own && request.verify(&key).is_ok(),
        Reason::ContextRequestInvalid,
    )?;
    need(owner.has(Right::Represent), Reason::RightMissing)?;
    let age_millis = now.millis_since(paper.time);
    need(
        (-CLOCK_SKEW_MILLIS_MAX..=ORDER_WINDOW_MILLIS_MAX).contains(&age_millis),
        Reason::ContextRequestInvalid,
    )?;
    let realm = directory
        .realm(&paper.context.party)
        .filter(|realm| realm.context == paper.context.number)
        .ok_or(Reason::ContextUnknown)?;
    let sealing = directory
        .sealing_key(&realm.party, now)
        .ok_or(Reason::ReceiverNotReady)?;
    need(
        sha256(&sealing.public_key) == paper.sealing_key_sha256,
        Reason::ContextRequestInvalid,
    )?;
    SealingKey::parse(&sealing.public_key).map_err(|_| Reason::ReceiverNotReady)
}

/// The steps are by the holders whose turn it was, about this context, signed, joined from the first
/// point on and proven against the pinned commitments. Gives the last point.
fn check_walk(
    directory: &Directory,
    pinned: &Pinned,
    request: &ContextRequest,
    steps: &[Signed<ContextStep>],
) -> Result<ContextPoint, Reason> {
    let walkers = directory.holders().iter().take(steps.len());
    let walkers = walkers
        .map(|oin| {
            let key = HolderKey {
                oin: oin.clone(),
                key: voucher_key(directory, oin)?,
            };
            Some((key, *pinned.get(oin)?))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(Reason::ContextRequestInvalid)?;
    let read = verify_steps(&request.context, steps, &walkers).map_err(|error| error.reason)?;
    let walk: Vec<_> = walkers
        .iter()
        .map(|(_, commitment)| *commitment)
        .zip(read)
        .collect();
    verify_walk(&walk).map_err(|_| Reason::ContextRequestInvalid)
}
