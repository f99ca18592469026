//! Signed papers: their bytes on the wire and their meaning, one codec for partners and gateway alike.
//!
//! A paper is signed over its bytes behind `sluis/<paper>/v1` and a zero octet, and is checked over the
//! bytes as they came. Must never encode a received paper again to check its signature, and must never
//! accept bytes that say more, less or otherwise than the decoded paper does.

mod chain;
mod context;
mod manifest;
mod notice;
mod order;
mod voucher;
mod walk;

pub use chain::{
    Expectation, HolderKey, verify_final_keys, verify_link, verify_parent, verify_vouchers,
};
pub use context::{ContextRequest, ContextStep, context_share_bytes};
pub use manifest::{Manifest, ManifestField, ManifestStage, SignedManifest};
pub use notice::NoticeAnswer;
pub use voucher::Voucher;
pub use walk::{ContextWalk, SealedShare, Walker, verify_steps};

pub use rules::pseudonym::Order;

use rules::reason::{Reason, Refusal};
use vault::sign::{Signature, SigningKey, VerifyingKey};
use wire::count::Counted;

/// The version of every form that there is.
pub const VERSION: u32 = 1;

/// A paper that cannot be accepted: which, what is wrong, and the reason to refuse it with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{paper}: `{field}` {wrong}")]
pub struct PaperError {
    /// Which paper, for example `order`.
    pub paper: &'static str,
    /// Which field, in the name of the proto; the paper's own name when it is about the whole.
    pub field: &'static str,
    /// What is wrong with it; never its value.
    pub wrong: &'static str,
    /// The reason to refuse it with.
    pub reason: Reason,
}

impl From<PaperError> for Refusal {
    fn from(error: PaperError) -> Self {
        Self::about(error.reason, error.field, error.wrong)
    }
}

/// The form of one kind of paper: its kind under the signature, its message, and the reasons to refuse
/// it with.
pub trait Form: Sized {
    /// The generated message whose encoding is signed.
    type Message: prost::Message + Counted + Default;
    /// The kind, which is part of what is signed.
    const KIND: vault::sign::Paper;
    /// Why bytes that are not this paper are refused.
    const MALFORMED: Reason;
    /// Why a signature that is not by the right key is refused.
    const FORGED: Reason;

    /// The message that says what this paper says.
    fn to_message(&self) -> Self::Message;

    /// The paper that a message says, if all of its fields are there and right.
    ///
    /// # Errors
    ///
    /// Names the first field that is missing or wrong.
    fn from_message(message: Self::Message) -> Result<Self, PaperError>;
}

/// The bytes of `paper`, to be signed once and then carried as they are.
#[must_use]
pub fn encode<P: Form>(paper: &P) -> Vec<u8> {
    prost::Message::encode_to_vec(&paper.to_message())
}

/// The paper that `bytes` say.
///
/// # Errors
///
/// When the bytes are not this message, hold an unknown field or another encoding than the one that
/// [`encode`] gives, or when a field is missing, ill-sized or an unspecified code.
pub fn decode<P: Form>(bytes: &[u8]) -> Result<P, PaperError> {
    let whole = |wrong| refused::<P>(P::KIND.name(), wrong);
    let message = wire::count::decode::<P::Message>(bytes)
        .map_err(|_| whole("is not a message of its kind"))?;
    let paper = P::from_message(message)?;
    if encode(&paper) != bytes {
        return Err(whole(
            "holds an unknown field or is not encoded in the one right way",
        ));
    }
    Ok(paper)
}

/// Bytes that were signed, with the signature; never encoded again.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPaper {
    /// The bytes as signed.
    pub bytes: Vec<u8>,
    /// Ed25519, 64 octets when it is one.
    pub signature: Vec<u8>,
}

impl std::fmt::Debug for SignedPaper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SignedPaper({} bytes)", self.bytes.len())
    }
}

/// A paper with its bytes and signature, as sent or as received. Having one does not mean that the
/// signature is right: [`Signed::verify`] says that.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed<P> {
    paper: P,
    bytes: Vec<u8>,
    signature: Signature,
}

impl<P> std::fmt::Debug for Signed<P> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Signed({} bytes)", self.bytes.len())
    }
}

impl<P: Form> Signed<P> {
    /// Encodes and signs `paper`.
    #[must_use]
    pub fn sign(paper: P, key: &SigningKey) -> Self {
        let bytes = encode(&paper);
        let signature = key.sign(P::KIND, &bytes);
        Self {
            paper,
            bytes,
            signature,
        }
    }

    /// Decodes a received paper. The signature is kept, not checked.
    ///
    /// # Errors
    ///
    /// As [`decode`]; a signature that is not 64 octets is refused as forged.
    pub fn receive(bytes: Vec<u8>, signature: &[u8]) -> Result<Self, PaperError> {
        let signature =
            Signature::from_slice(signature).ok_or_else(|| forged::<P>("is not 64 bytes"))?;
        Ok(Self {
            paper: decode(&bytes)?,
            bytes,
            signature,
        })
    }

    /// Checks the signature over the bytes as they came.
    ///
    /// # Errors
    ///
    /// When it is not by `key`.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), PaperError> {
        if key.verify(P::KIND, &self.bytes, &self.signature) {
            Ok(())
        } else {
            Err(forged::<P>("is not by the registered key"))
        }
    }

    /// What the paper says.
    #[must_use]
    pub const fn paper(&self) -> &P {
        &self.paper
    }

    /// The bytes under the signature.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// SHA-256 of the bytes under the signature.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        vault::digest::sha256(&self.bytes)
    }

    /// Bytes and signature as they came, to be kept or carried on.
    #[must_use]
    pub fn carried(&self) -> SignedPaper {
        SignedPaper {
            bytes: self.bytes.clone(),
            signature: self.signature.bytes().to_vec(),
        }
    }

    /// The paper without its bytes.
    #[must_use]
    pub fn into_paper(self) -> P {
        self.paper
    }
}

/// A field of `P` that is wrong.
pub(crate) fn refused<P: Form>(field: &'static str, wrong: &'static str) -> PaperError {
    PaperError {
        paper: P::KIND.name(),
        field,
        wrong,
        reason: P::MALFORMED,
    }
}

fn forged<P: Form>(wrong: &'static str) -> PaperError {
    PaperError {
        paper: P::KIND.name(),
        field: "signature",
        wrong,
        reason: P::FORGED,
    }
}

/// Exactly `N` octets.
fn sized<P: Form, const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], PaperError> {
    bytes
        .try_into()
        .map_err(|_| refused::<P>(field, "does not have the right number of bytes"))
}

/// Exactly `N` octets, each time.
fn sized_all<P: Form, const N: usize>(
    field: &'static str,
    list: &[Vec<u8>],
) -> Result<Vec<[u8; N]>, PaperError> {
    list.iter()
        .map(|bytes| sized::<P, N>(field, bytes))
        .collect()
}

/// A name or label of the closed alphabets.
fn named<P: Form, T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, PaperError> {
    text.parse()
        .map_err(|_| refused::<P>(field, "is missing or not a name of its kind"))
}

/// A moment after 1970.
fn moment<P: Form>(
    field: &'static str,
    millis: i64,
) -> Result<rules::clock::Timestamp, PaperError> {
    if millis > 0 {
        Ok(rules::clock::Timestamp::from_millis(millis))
    } else {
        Err(refused::<P>(field, "is missing or before 1970"))
    }
}

/// Version 1 and no other.
fn version<P: Form>(version: u32) -> Result<(), PaperError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(refused::<P>("version", "is not 1"))
    }
}

#[cfg(test)]
mod tests;
