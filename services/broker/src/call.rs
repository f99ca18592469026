//! Who asks, and what an answer looks like: the types at the edge of the broker.
//!
//! Must never hold anything that only a wire format knows.

use papers::promise::Promise;
use rules::audit::Trace;
use rules::clock::Timestamp;
use rules::directory::Right;
use rules::id::{DeskName, Party, PeerKind, Region};
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
