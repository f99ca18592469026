//! How a context key comes to be without anyone who ever held it all: the walk along the holders.
//!
//! Begin at β·G, a constant made from a text, so that nobody chose it. Each holder multiplies its
//! share `b·k(context)` onto the point and proves it. The owner gets every share sealed, multiplies them
//! with β and compares. Must never accept a step or a share without its proof.

use crate::pseudonym::{ContextKey, ContextPoint, PointError};
use libpep::client::distributed::make_pseudonym_session_key;
use libpep::elgamal::arithmetic::Ristretto255Sha512;
use libpep::elgamal::arithmetic::group_elements::{G, GroupElement};
use libpep::elgamal::arithmetic::hashing::hash_to_scalar_with_dst;
use libpep::elgamal::arithmetic::scalars::ScalarNonZero;
use libpep::elgamal::{dleq, zkps};
use libpep::keys::PublicKey;
use libpep::keys::distribution::{
    BlindedGlobalSecretKey, BlindedPseudonymGlobalSecretKey, BlindingCommitment, BlindingFactor,
    PseudonymSessionKeyShare, SessionKeyShare, SessionKeyShareProof,
};
use rules::secret::Secret;
use std::fmt;

/// What β is the hash of.
const BETA_TEXT: &[u8] = b"sluis/1";
/// The domain separation tag under which it is hashed.
const BETA_TAG: &[u8] = b"sluis-beta-pseudonym-v1";

/// Octets of a step's proof: the commitment to the context's factor, libpep's share proof, libpep's
/// two-scalar proof of equal logarithms.
pub const STEP_PROOF_BYTES: usize = 32 + SHARE_PROOF_BYTES + 64;
/// Octets of libpep's proof in four elements.
const SHARE_PROOF_BYTES: usize = 128;
/// Octets of a share with its proof before it is sealed: share, commitment to the factor, share proof.
pub const SHARE_BYTES: usize = 32 + 32 + SHARE_PROOF_BYTES;

/// Why a walk or a share was not accepted; never with a point or a scalar in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Something has another length or is no valid encoding.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A proof does not hold against the holder's pinned commitment.
    #[error("the proof does not hold")]
    ProofWrong,
    /// A step does not begin where the one before it ended, or the first not at the constant.
    #[error("the steps do not join up")]
    WalkBroken,
    /// The shares do not make the key whose public half is the end of the walk.
    #[error("the shares do not make the key of this walk")]
    KeyMismatch,
}

impl From<PointError> for ContextError {
    fn from(error: PointError) -> Self {
        Self::Malformed(error.kind)
    }
}

/// β, the blinded global key that was never anybody's.
fn beta() -> ScalarNonZero {
    let scalar = hash_to_scalar_with_dst(BETA_TEXT, BETA_TAG);
    // A constant that is not zero, frozen in tests/vectors; one is libpep's own answer to the other case.
    ScalarNonZero::try_from(scalar).unwrap_or_else(|_| ScalarNonZero::one())
}

/// The point where every walk begins: β·G.
#[must_use]
pub fn first_point() -> ContextPoint {
    ContextPoint::from_value(PublicKey::from_point(beta() * G))
}

/// A holder's commitment to its blinding factor, 32 octets. Published once and pinned by everybody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HolderCommitment(BlindingCommitment);

impl HolderCommitment {
    /// Reads exactly 32 octets.
    ///
    /// # Errors
    /// When they are no point, are the identity, or are the commitment to the factor one.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContextError> {
        let point = GroupElement::from_slice(bytes)
            .filter(|point| *point != G)
            .ok_or(ContextError::Malformed("commitment"))?;
        Ok(Self(BlindingCommitment(point)))
    }

    /// The 32 octets.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0.value().to_bytes()
    }

    pub(crate) fn new(blinding: &BlindingFactor) -> Self {
        Self(BlindingCommitment::new(blinding.value()))
    }
}

impl fmt::Debug for HolderCommitment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HolderCommitment(..)")
    }
}

/// One holder's step: the share times the point before, with proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The point before; at the first step [`first_point`].
    pub previous: ContextPoint,
    /// The point after.
    pub point: ContextPoint,
    /// The commitment to the share: the share times the generator, 32 octets.
    pub share_commitment: [u8; 32],
    /// The proof, [`STEP_PROOF_BYTES`] octets.
    pub proof: Vec<u8>,
}

/// Makes a step with a holder's share and its proof.
pub(crate) fn step(previous: &ContextPoint, share: &ContextShare) -> Result<Step, ContextError> {
    let scalar = *share.share.expose().value();
    let before = *previous.value().value();
    let after = scalar * before;
    let commitment = *share.proof.share_commitment();
    let equality = dleq::generate_proof::<Ristretto255Sha512, _>(
        &scalar,
        &G,
        &commitment,
        &[before],
        &[after],
        &mut crate::chance::Chance,
    )
    .map_err(|_| ContextError::ProofWrong)?;
    let proof = [
        share.factor_commitment.to_bytes().as_slice(),
        &share.proof.proof().to_bytes(),
        &equality.to_bytes(),
    ]
    .concat();
    Ok(Step {
        previous: previous.clone(),
        point: ContextPoint::from_value(PublicKey::from_point(after)),
        share_commitment: commitment.to_bytes(),
        proof,
    })
}

/// Checks one step against its holder's pinned commitment: the committed share is the blinding factor
/// times the context's factor, and it is what the point was multiplied by.
///
/// # Errors
/// When anything is malformed or either proof does not hold.
pub fn verify_context_step(holder: &HolderCommitment, step: &Step) -> Result<(), ContextError> {
    let wrong = ContextError::Malformed("proof");
    if step.proof.len() != STEP_PROOF_BYTES {
        return Err(wrong);
    }
    let (share_part, equality) = step
        .proof
        .split_at_checked(32 + SHARE_PROOF_BYTES)
        .ok_or(wrong)?;
    let (factor_commitment, proof) = parse_share_proof(share_part)?;
    let equality = dleq::Proof::from_slice(equality).ok_or(wrong)?;
    let commitment = GroupElement::from_bytes(&step.share_commitment).ok_or(wrong)?;
    let holds = commitment == *proof.n()
        && zkps::verify_proof::<Ristretto255Sha512>(holder.0.value(), &factor_commitment, &proof)
        && dleq::verify_proof::<Ristretto255Sha512>(
            &G,
            &commitment,
            &[*step.previous.value().value()],
            &[*step.point.value().value()],
            &equality,
        );
    if holds {
        Ok(())
    } else {
        Err(ContextError::ProofWrong)
    }
}

/// Checks a whole walk: begins at the constant, every step joins the one before, every proof holds.
/// Gives the last point: the context's public key.
///
/// # Errors
/// When there is no step, when steps do not join up, or when a proof does not hold.
pub fn verify_walk(walk: &[(HolderCommitment, Step)]) -> Result<ContextPoint, ContextError> {
    let mut point = first_point();
    if walk.is_empty() {
        return Err(ContextError::WalkBroken);
    }
    for (holder, step) in walk {
        if step.previous != point {
            return Err(ContextError::WalkBroken);
        }
        verify_context_step(holder, step)?;
        point = step.point.clone();
    }
    Ok(point)
}

/// One holder's share of one context key, with libpep's proof. Whoever has all of them has the key, so
/// it travels sealed ([`crate::sealing::seal_share`]). The share is wiped when dropped.
pub struct ContextShare {
    share: Secret<PseudonymSessionKeyShare>,
    factor_commitment: GroupElement,
    proof: SessionKeyShareProof,
}

impl ContextShare {
    pub(crate) fn new(
        share: PseudonymSessionKeyShare,
        factor_commitment: GroupElement,
        proof: SessionKeyShareProof,
    ) -> Self {
        Self {
            share: Secret::new(share),
            factor_commitment,
            proof,
        }
    }

    /// Share, commitment to the factor and proof: [`SHARE_BYTES`] octets.
    #[must_use]
    pub fn to_secret(&self) -> Secret<Vec<u8>> {
        Secret::new(
            [
                self.share.expose().to_bytes().as_slice(),
                &self.factor_commitment.to_bytes(),
                &self.proof.proof().to_bytes(),
            ]
            .concat(),
        )
    }
}

impl fmt::Debug for ContextShare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ContextShare(..)")
    }
}

/// What the owner got from one holder.
pub struct OpenedShare<'a> {
    /// The holder's pinned commitment.
    pub holder: &'a HolderCommitment,
    /// The holder's step in the walk of this context.
    pub step: &'a Step,
    /// The opened share, [`SHARE_BYTES`] octets.
    pub share: &'a Secret<Vec<u8>>,
}

/// Makes the owner's key: checks the walk, checks every share against its step and its proof, multiplies
/// them with β and compares with the end of the walk.
///
/// # Errors
/// When the walk or a share does not hold, or the key is not the walk's.
pub fn assemble(opened: &[OpenedShare<'_>]) -> Result<ContextKey, ContextError> {
    let walk: Vec<_> = opened
        .iter()
        .map(|one| (*one.holder, one.step.clone()))
        .collect();
    let end = verify_walk(&walk)?;
    let shares = opened
        .iter()
        .map(check_share)
        .collect::<Result<Vec<_>, _>>()?;
    let shares = Secret::new(shares);
    let blinded = BlindedPseudonymGlobalSecretKey::from_scalar(beta());
    let (_, secret) = make_pseudonym_session_key(blinded, shares.expose());
    let key = ContextKey::from_value(secret);
    if *key.public() == end {
        Ok(key)
    } else {
        Err(ContextError::KeyMismatch)
    }
}

fn check_share(opened: &OpenedShare<'_>) -> Result<PseudonymSessionKeyShare, ContextError> {
    let wrong = ContextError::Malformed("share");
    if opened.share.expose().len() != SHARE_BYTES {
        return Err(wrong);
    }
    let (share, proof_part) = opened.share.expose().split_at_checked(32).ok_or(wrong)?;
    let share = PseudonymSessionKeyShare::from_slice(share).ok_or(wrong)?;
    let (factor_commitment, proof) = parse_share_proof(proof_part)?;
    let holds = zkps::verify_proof::<Ristretto255Sha512>(
        opened.holder.0.value(),
        &factor_commitment,
        &proof,
    ) && *share.value() * G == *proof.n()
        && proof.n().to_bytes() == opened.step.share_commitment;
    if holds {
        Ok(share)
    } else {
        Err(ContextError::ProofWrong)
    }
}

/// Reads the commitment to a context's factor and libpep's proof behind it.
fn parse_share_proof(bytes: &[u8]) -> Result<(GroupElement, zkps::Proof), ContextError> {
    let wrong = ContextError::Malformed("proof");
    let (commitment, proof) = bytes.split_at_checked(32).ok_or(wrong)?;
    Ok((
        GroupElement::from_slice(commitment).ok_or(wrong)?,
        zkps::Proof::from_slice(proof).ok_or(wrong)?,
    ))
}
