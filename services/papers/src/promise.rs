//! The broker's promise that a line will be in the log: made at the broker, kept by whoever called.
//!
//! Must never be taken for the line itself: it proves a missing one, and says nothing of what stands in it.

use rules::clock::Timestamp;
use rules::id::EntryId;
use vault::sign::{Paper, Signature, SigningKey, VerifyingKey};
use wire::audit::v1 as message;

/// A signed promise of inclusion. Having one does not mean that the signature is right:
/// [`Promise::is_signed_by`] says that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The entry.
    pub entry: EntryId,
    /// Its leaf hash: SHA-256 of 0x00 and the canonical JSON (RFC 9162 2.1.1).
    pub leaf_sha256: [u8; 32],
    /// When it was written.
    pub time: Timestamp,
    /// Ed25519 by the broker over [`Promise::signed_bytes`].
    pub signature: Signature,
}

impl Promise {
    /// Promises that a line will be in the log.
    #[must_use]
    pub fn sign(entry: EntryId, leaf_sha256: [u8; 32], time: Timestamp, key: &SigningKey) -> Self {
        let bytes = signed_bytes(&entry, &leaf_sha256, time);
        Self {
            entry,
            leaf_sha256,
            time,
            signature: key.sign(Paper::Promise, &bytes),
        }
    }

    /// What is signed: entry id, leaf hash, time in milliseconds (big-endian); 56 octets.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        signed_bytes(&self.entry, &self.leaf_sha256, self.time)
    }

    /// Whether `key` signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verify(Paper::Promise, &self.signed_bytes(), &self.signature)
    }

    /// What is signed, and the signature: 120 octets, as the status of a refusal carries them.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        [self.signed_bytes().as_slice(), self.signature.bytes()].concat()
    }
}

fn signed_bytes(entry: &EntryId, leaf_sha256: &[u8; 32], time: Timestamp) -> Vec<u8> {
    let time = time.millis().to_be_bytes();
    [entry.bytes().as_slice(), leaf_sha256, &time].concat()
}

impl TryFrom<message::Promise> for Promise {
    type Error = &'static str;

    /// Says of a message that is no promise what is wrong with it.
    fn try_from(promise: message::Promise) -> Result<Self, &'static str> {
        Ok(Self {
            entry: EntryId::from_slice(&promise.entry_id).ok_or("names no entry")?,
            leaf_sha256: promise
                .leaf_sha256
                .as_slice()
                .try_into()
                .map_err(|_| "has no leaf hash")?,
            time: Timestamp::from_millis(promise.time_millis),
            signature: Signature::from_slice(&promise.signature).ok_or("has no signature")?,
        })
    }
}

impl From<&Promise> for message::Promise {
    fn from(promise: &Promise) -> Self {
        Self {
            entry_id: promise.entry.bytes().to_vec(),
            leaf_sha256: promise.leaf_sha256.to_vec(),
            time_millis: promise.time.millis(),
            signature: promise.signature.bytes().to_vec(),
        }
    }
}
