//! What the run's clients were told: every acknowledged action with the line that the broker promised for it,
//! every refusal, and whatever was seen to be wrong.
//!
//! Must never take an action down before the client has its answer: what is here is what must not be lost.

use client::{ClientError, Receipt};
use rules::handover::State;
use rules::id::{ConsentId, EntryId, HandoverId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// An acknowledged action.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// The call, as the log names it.
    pub(crate) call: &'static str,
    pub(crate) handover: HandoverId,
    /// The line that was promised.
    pub(crate) entry: EntryId,
    pub(crate) leaf_sha256: [u8; 32],
    /// The handover's revision after it.
    pub(crate) revision: i64,
}

/// All that was taken down.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Changes, in the order of their answers.
    pub(crate) acts: Vec<Act>,
    /// Summaries and dossiers that were read.
    pub(crate) reads: Vec<Act>,
    /// How far each handover was seen to be.
    pub(crate) seen: BTreeMap<HandoverId, (i64, State)>,
    /// The consent on which a handover rests.
    pub(crate) rests_on: BTreeMap<HandoverId, ConsentId>,
    /// Consents whose end was acknowledged.
    pub(crate) stopped: BTreeSet<ConsentId>,
    /// Refusals and faults, by their code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Answers that never came, so that the outbox had to find out.
    pub(crate) unknown: u64,
    /// What must not be.
    pub(crate) violations: Vec<String>,
    /// The longest time without any acknowledged action while there was load.
    pub(crate) longest_silence: Duration,
    last: Option<Instant>,
}

/// The journal.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Taken>);

impl Journal {
    pub(crate) fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap()
    }

    /// A change was acknowledged.
    pub(crate) fn done(&self, call: &'static str, receipt: &Receipt) {
        let mut taken = self.taken();
        let act = taken.act(call, receipt);
        taken.acts.push(act);
    }

    /// A summary or a dossier was read.
    pub(crate) fn read(&self, call: &'static str, receipt: &Receipt) {
        let mut taken = self.taken();
        let act = taken.act(call, receipt);
        taken.reads.push(act);
    }

    /// A handover was seen to stand so.
    pub(crate) fn saw(&self, handover: HandoverId, revision: i64, state: State) {
        self.taken().saw(handover, revision, state);
    }

    /// An answer never came.
    pub(crate) fn unknown(&self) {
        self.taken().unknown += 1;
    }

    /// A call was refused, or failed on the way.
    pub(crate) fn refused(&self, call: &str, error: &ClientError) {
        let code = match error {
            ClientError::Protocol(wrong) => {
                self.wrong(format!("{call}: {wrong}"));
                "PROTOCOL"
            }
            ClientError::Refused(refused) if !refused.reason_code.is_empty() => {
                &refused.reason_code
            }
            ClientError::Refused(_) => "NO_REASON",
            ClientError::Transport(_) => "NO_ANSWER",
            ClientError::Waiting { .. } => "WAITING",
            ClientError::Store(_) => "STORE",
            ClientError::Input { what, .. } => what,
            ClientError::NotSent(refusal) => refusal.reason.code(),
            ClientError::Directory(_) => "DIRECTORY",
        };
        // A person who stops something hears that somebody is away, at the most.
        if code == "INTERNAL" && call.starts_with("Stop") {
            self.wrong(format!("{call}: {error}"));
        }
        let key = format!("{call} {code}");
        *self.taken().refused.entry(key).or_default() += 1;
    }

    /// Something is that must not be.
    pub(crate) fn wrong(&self, what: String) {
        eprintln!("WRONG: {what}");
        self.taken().violations.push(what);
    }

    /// From now on a silence counts, or no longer does.
    pub(crate) fn count_silence(&self, counts: bool) {
        let mut taken = self.taken();
        taken.hear();
        taken.last = counts.then(Instant::now);
    }
}

impl Taken {
    fn hear(&mut self) {
        if let Some(last) = self.last.replace(Instant::now()) {
            self.longest_silence = self.longest_silence.max(last.elapsed());
        } else {
            self.last = None;
        }
    }

    fn act(&mut self, call: &'static str, receipt: &Receipt) -> Act {
        self.hear();
        let promise = &receipt.promise;
        self.saw(receipt.handover, receipt.revision, receipt.state);
        Act {
            call,
            handover: receipt.handover,
            entry: promise.entry,
            leaf_sha256: promise.leaf_sha256,
            revision: receipt.revision,
        }
    }

    /// An answer to a repeat tells how it was, so only what is new can contradict what was seen.
    fn saw(&mut self, handover: HandoverId, revision: i64, state: State) {
        let seen = self.seen.entry(handover).or_insert((revision, state));
        if revision > seen.0 {
            *seen = (revision, state);
        } else if revision == seen.0 && state != seen.1 {
            let what = format!(
                "{handover} was {:?} and is {state:?} at revision {revision}",
                seen.1
            );
            eprintln!("WRONG: {what}");
            self.violations.push(what);
        }
    }
}
