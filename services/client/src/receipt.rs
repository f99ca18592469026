//! What a partner gets back from a changing call: the handover as it now stands, and the promise that
//! the log will show it.
//!
//! Must never be made from an answer whose promise was not verified.

use crate::directory::DirectoryCopy;
use crate::error::ProtocolError;
use papers::promise::Promise;
use rules::clock::Timestamp;
use rules::consent::ConsentState;
use rules::handover::State;
use rules::id::{HandoverId, Label, NoticeId, QuestionId};
use vault::sealing::SealingKey;
use wire::audit::v1 as audit;
use wire::handover::v1 as message;

/// A promise, verified against the broker's key in `directory`. Keep it: it proves a missing line.
///
/// # Errors
///
/// When it is missing, ill-formed or not the broker's.
pub fn verified_promise(
    promise: Option<audit::Promise>,
    directory: &DirectoryCopy,
) -> Result<Promise, ProtocolError> {
    let wrong = |what| ProtocolError::new("promise", what);
    let promise = promise.ok_or(wrong("is missing"))?;
    let promise = Promise::try_from(promise).map_err(wrong)?;
    let key = directory.promise_key().ok_or(wrong(
        "cannot be checked: the directory has no desk of the broker",
    ))?;
    if promise.is_signed_by(&key) {
        Ok(promise)
    } else {
        Err(wrong("is not signed by the broker"))
    }
}

/// A handover after a changing call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The handover.
    pub handover: HandoverId,
    /// Its state.
    pub state: State,
    /// Its revision.
    pub revision: i64,
    /// Deadline of the present state, when there is one.
    pub deadline: Option<Timestamp>,
    /// The log entry and the promise.
    pub promise: Promise,
    /// Labels that the gateway dropped because they may not be exchanged.
    pub dropped_labels: Vec<Label>,
    /// Values that were not even sealed, because their labels are not permitted.
    pub unsealed_labels: Vec<Label>,
    /// Labels under which something was sealed that looks like a citizen service number, as the settings allow.
    pub number_labels: Vec<Label>,
    /// Of an objection or a restriction: what the library sends again to a gateway that was put back from a backup.
    pub sealed_person: Vec<u8>,
}

impl Receipt {
    /// Reads and verifies a receipt about `handover`; none when any handover may come.
    pub(crate) fn verify(
        receipt: Option<message::Receipt>,
        handover: Option<&HandoverId>,
        directory: &DirectoryCopy,
    ) -> Result<Self, ProtocolError> {
        let wrong = |what| ProtocolError::new("receipt", what);
        let receipt = receipt.ok_or(wrong("is missing"))?;
        let read =
            HandoverId::from_slice(&receipt.handover_id).ok_or(wrong("names no handover"))?;
        if handover.is_some_and(|asked| *asked != read) {
            return Err(wrong("is about another handover"));
        }
        Ok(Self {
            handover: read,
            state: State::from_number(receipt.state).ok_or(wrong("has an unknown state"))?,
            revision: receipt.revision,
            deadline: receipt.deadline_millis.map(Timestamp::from_millis),
            promise: verified_promise(receipt.promise, directory)?,
            dropped_labels: Vec::new(),
            unsealed_labels: Vec::new(),
            number_labels: Vec::new(),
            sealed_person: receipt.sealed_person,
        })
    }
}

/// A permitted handover, to be offered.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The handover in state PREPARED.
    pub receipt: Receipt,
    /// Labels that the summary may have.
    pub summary_labels: Vec<Label>,
    /// Labels that the dossier may have.
    pub dossier_labels: Vec<Label>,
    /// The recipient's sealing key, verified.
    pub sealing_key: SealingKey,
}

/// A notice after it was sent, received or answered.
#[derive(Clone, Debug)]
pub struct NoticeReceipt {
    /// The notice.
    pub notice: NoticeId,
    /// The notice as the gateway has it; none for one that was just sent.
    pub view: Option<message::NoticeView>,
    /// The log entry and the promise.
    pub promise: Promise,
}

/// A consent after it was registered, narrowed or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentReceipt {
    /// Where the record stands.
    pub state: ConsentState,
    /// Its version; 0 after stopping, whose answer does not name it.
    pub version: u64,
    /// Number of open handovers that ended by stopping.
    pub ended_handovers: u32,
    /// Number of handovers whose keys, inboxes and notices to recipients follow within seconds.
    pub to_follow: u32,
    /// The log entry and the promise.
    pub promise: Promise,
    /// What the library sends again to a gateway that was put back from a backup without the record.
    pub sealed_subject: Vec<u8>,
}

impl ConsentReceipt {
    /// Reads and verifies the answer to stopping.
    pub(crate) fn withdrawn(
        (ended_handovers, to_follow): (i32, i32),
        (promise, sealed_subject): (Option<audit::Promise>, Vec<u8>),
        directory: &DirectoryCopy,
    ) -> Result<Self, ProtocolError> {
        let count = |number| {
            u32::try_from(number).map_err(|_| ProtocolError::new("count", "is below zero"))
        };
        Ok(Self {
            state: ConsentState::Withdrawn,
            version: 0,
            ended_handovers: count(ended_handovers)?,
            to_follow: count(to_follow)?,
            promise: verified_promise(promise, directory)?,
            sealed_subject,
        })
    }
}

/// A question for consent that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The question; an inbox item `READY` names it when consent is given.
    pub id: QuestionId,
    /// The log entry and the promise.
    pub promise: Promise,
}

/// What a request that went through the outbox came to.
#[derive(Clone, Debug)]
pub enum Settled {
    /// A handover was prepared.
    Prepared(Box<Prepared>),
    /// A handover was changed.
    Handover(Receipt),
    /// A notice was sent, received or answered.
    Notice(NoticeReceipt),
    /// A consent was narrowed or stopped.
    Consent(ConsentReceipt),
    /// Consent was asked for.
    Question(Question),
    /// A directory is in force.
    Directory {
        /// Its version.
        version: i64,
        /// Digests of the parts of a newer one that the gateway waits for; none when it is the one in force.
        missing: Vec<Vec<u8>>,
    },
    /// A policy set is in force.
    PolicySet {
        /// Its SHA-256.
        sha256: Vec<u8>,
    },
}

const ANOTHER_KIND: ProtocolError =
    ProtocolError::new("answer", "is of another kind than the question");

impl Settled {
    pub(crate) fn prepared(self) -> Result<Prepared, ProtocolError> {
        if let Self::Prepared(prepared) = self {
            Ok(*prepared)
        } else {
            Err(ANOTHER_KIND)
        }
    }

    pub(crate) fn receipt(self) -> Result<Receipt, ProtocolError> {
        if let Self::Handover(receipt) = self {
            Ok(receipt)
        } else {
            Err(ANOTHER_KIND)
        }
    }

    pub(crate) fn notice(self) -> Result<NoticeReceipt, ProtocolError> {
        if let Self::Notice(notice) = self {
            Ok(notice)
        } else {
            Err(ANOTHER_KIND)
        }
    }

    pub(crate) fn consent(self) -> Result<ConsentReceipt, ProtocolError> {
        if let Self::Consent(receipt) = self {
            Ok(receipt)
        } else {
            Err(ANOTHER_KIND)
        }
    }

    pub(crate) fn question(self) -> Result<Question, ProtocolError> {
        if let Self::Question(question) = self {
            Ok(question)
        } else {
            Err(ANOTHER_KIND)
        }
    }

    pub(crate) fn directory(self) -> Result<(i64, Vec<Vec<u8>>), ProtocolError> {
        if let Self::Directory { version, missing } = self {
            Ok((version, missing))
        } else {
            Err(ANOTHER_KIND)
        }
    }

    pub(crate) fn policy_set(self) -> Result<Vec<u8>, ProtocolError> {
        if let Self::PolicySet { sha256 } = self {
            Ok(sha256)
        } else {
            Err(ANOTHER_KIND)
        }
    }
}

/// Labels from their texts.
pub(crate) fn labels(what: &'static str, texts: &[String]) -> Result<Vec<Label>, ProtocolError> {
    texts
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| ProtocolError::new(what, "holds a text that is no label"))
}
