//! Who asks, and what an answer looks like: the types at the edge of the counter.
//!
//! Must never hold anything that only a wire format knows.

use rules::audit::Trace;
use rules::clock::Timestamp;
use rules::directory::Right;
use rules::id::{DeskName, EntryId, Party, PeerKind, Region};
use rules::reason::Outcome;
use std::collections::BTreeSet;

/// Who calls: a desk whose certificate was checked against the directory for this very call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The organisation and the realm of the desk.
    pub party: Party,
    /// The desk.
    pub desk: DeskName,
    /// The organisation's kind.
    pub kind: PeerKind,
    /// The desk's region, if it has one.
    pub region: Option<Region>,
    /// What the desk may do beyond what every desk may.
    pub rights: BTreeSet<Right>,
    /// The desk's Ed25519 key for orders and manifests.
    pub signing_key: [u8; 32],
}

/// Whether something can be stopped from desks of this kind: all but the broker's and the key holders' own.
#[must_use]
pub const fn can_stop(kind: PeerKind) -> bool {
    !matches!(kind, PeerKind::Broker | PeerKind::Holder)
}

impl Caller {
    /// Whether the desk has this right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Whether the desk watches over exchanges, and so has no part in any of them.
    #[must_use]
    pub fn oversees(&self) -> bool {
        self.rights.iter().any(|right| right.oversees())
    }
}

/// One call: who, when, and in which trace.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// The trace it belongs to (W3C traceparent, or a new one).
    pub trace: Trace,
    /// When it arrived; the one clock reading of the call.
    pub now: Timestamp,
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

/// The broker's signed promise that an entry will be in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The entry.
    pub entry_id: EntryId,
    /// Its leaf hash: SHA-256 of 0x00 and the canonical JSON (RFC 9162 2.1.1).
    pub leaf_sha256: [u8; 32],
    /// When it was written.
    pub time: Timestamp,
    /// Ed25519 by the broker over entry id, leaf hash and time (big-endian milliseconds).
    pub signature: [u8; 64],
}

/// The answer to a call: what the rules said, and the promise that it is in the log.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// Permitted with the reply, or refused with the reason that this caller may know.
    pub outcome: Outcome<T>,
    /// The log line.
    pub promise: Promise,
}

impl<T> Answer<T> {
    /// The same with another reply, made of the one that there is.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            outcome: match self.outcome {
                Outcome::Permitted(reply) => Outcome::Permitted(change(reply)),
                Outcome::Refused(refusal) => Outcome::Refused(refusal),
            },
            promise: self.promise,
        }
    }
}
