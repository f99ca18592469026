//! The order in which every command is served: look up a repeat, do the work, write the entry and the
//! stored outcome, commit, and only then promise. What only looks something up has an order of its own (`look`).
//!
//! Must never let a command commit without its entry, nor an entry without its command.

mod kept_out;
pub(crate) mod look;

use crate::Error;
use crate::broker::{Broker, InForce};
use crate::call::{Answer, Call};
use crate::record::Record;
use rules::audit::Audience;
use rules::id::{EntryId, HandoverId, NoticeId, PeerKind, RequestId, Tag};
use rules::reason::{Outcome, Reason, Refusal};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use store::directory::InForce as InForceNow;
use store::request::StoredOutcome;
use store::{Database, Queue, Tx, Work};
use vault::rest::Place;

/// What a command decided, and what the log is to know of it.
#[derive(Debug)]
pub struct Verdict<T> {
    /// What the caller is told.
    pub outcome: Outcome<T>,
    /// What the log is told; its codes may be more precise than the caller's reason.
    pub record: Record,
}

impl<T> Verdict<T> {
    /// Permitted.
    pub fn permitted(reply: T, record: Record) -> Self {
        Self {
            outcome: Outcome::Permitted(reply),
            record,
        }
    }

    /// Refused, with the reason told as it is.
    pub fn refused(refusal: impl Into<Refusal>, mut record: Record) -> Self {
        let refusal = refusal.into();
        if record.codes.is_empty() {
            record.codes.push(refusal.reason);
        }
        Self {
            outcome: Outcome::Refused(refusal),
            record,
        }
    }

    /// Refused with the one answer that hides existence; the log keeps the precise reason.
    pub fn hidden(precise: Reason, mut record: Record) -> Self {
        record.audience = Audience::Nobody;
        if record.codes.is_empty() {
            record.codes.push(precise);
        }
        Self {
            outcome: Outcome::Refused(Refusal::new(Reason::NotAvailable)),
            record,
        }
    }
}

/// What is stored of an outcome so that a repeat gets the same answer: codes, ids and revision, never
/// what was released.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The refusal's code; empty when permitted.
    #[serde(default)]
    pub refused: String,
    /// The handover, as text.
    #[serde(default)]
    pub handover: String,
    /// The notice, as text.
    #[serde(default)]
    pub notice: String,
    /// The consent record, as text.
    #[serde(default)]
    pub consent: String,
    /// Number of the state after the call.
    #[serde(default)]
    pub state: i64,
    /// Revision after the call.
    #[serde(default)]
    pub revision: i64,
    /// Deadline after the call, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub deadline_millis: Option<i64>,
    /// Labels that were dropped.
    #[serde(default)]
    pub dropped: Vec<String>,
    /// Of a stop: the person's row, sealed for the caller, in hexadecimal.
    #[serde(default)]
    pub sealed_person: String,
    /// Of a notice: what its view needs besides ids, state and deadline.
    #[serde(default)]
    pub notice_view: Option<NoticeReceipt>,
    /// The entry of the call that was repeated.
    #[serde(default)]
    pub entry: String,
}

/// What is stored of a notice's view: numbers of codes, a time and the code of a legal ground.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeReceipt {
    /// Number of the kind.
    pub kind: i32,
    /// When it was sent, in milliseconds since 1970 UTC.
    pub sent_millis: i64,
    /// Number of the answer; 0 before there is one.
    pub answer: i32,
    /// With RETAINED: the code of the legal ground.
    pub ground: String,
    /// Whether the sender must answer it.
    pub about_report: bool,
}

impl Receipt {
    /// The handover's id.
    ///
    /// # Errors
    /// When the stored text is not one.
    pub fn handover_id(&self) -> Result<HandoverId, Error> {
        self.handover
            .parse()
            .map_err(|_| Error::Malformed("a stored outcome"))
    }

    /// The notice's id.
    ///
    /// # Errors
    /// When the stored text is not one.
    pub fn notice_id(&self) -> Result<NoticeId, Error> {
        self.notice
            .parse()
            .map_err(|_| Error::Malformed("a stored outcome"))
    }
}

/// What is the same in two requests that count as one: everything but order, ciphertexts and
/// signatures.
#[derive(Debug, Default)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// Adds one value; each is length-prefixed, so that two values cannot trade places.
    pub fn add(&mut self, value: &[u8]) -> &mut Self {
        self.0
            .extend_from_slice(&(value.len() as u64).to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Adds labels, in the order given.
    pub fn add_labels(&mut self, labels: &[rules::id::Label]) -> &mut Self {
        self.add(&(labels.len() as u64).to_be_bytes());
        for label in labels {
            self.add(label.as_str().as_bytes());
        }
        self
    }

    /// Its digest.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        vault::digest::sha256(&self.0)
    }
}

/// A use case that runs in one transaction.
pub trait Command: Send + Sync + Sized {
    /// What the caller gets when permitted.
    type Reply: Send;
    /// The command's name: of the call, the transaction, the span and the log's action.
    fn name(&self) -> &'static str;

    /// The caller's request id and what is the same in a repeat; `None` for commands that are decided
    /// anew each time.
    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        None
    }

    /// Does the work: loads facts, decides, writes. Awaits nothing but the database.
    fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> impl Future<Output = Result<Verdict<Self::Reply>, Error>> + Send + 'a;

    /// Whether it may run in a database in which nothing is in force yet: only what puts something in
    /// force may.
    fn founds(&self) -> bool {
        false
    }

    /// Whether it only ends, limits or answers something, so that it works also while the policy set or
    /// the directory in force cannot be read: then under the last ones that could.
    fn stops(&self) -> bool {
        false
    }

    /// Does it in one transaction; what only looks something up has another way (`looks_up!`).
    fn serve<'a>(
        serving: &'a Serving<'a, Self>,
        database: &'a Database,
    ) -> impl Future<Output = Result<Served<Self::Reply>, Error>> + Send + 'a {
        database.write(serving)
    }

    /// What is kept with the line of a look-up that is going to be shown.
    fn keep<'a>(
        &'a self,
        _room: &'a Room<'a>,
        _tx: &'a mut Tx<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'a {
        std::future::ready(Ok(()))
    }

    /// Whether it is done also while the door is shut after a restoration: what stops something, what puts a
    /// newer directory or policy set in force, and what is about the restoration itself.
    fn passes_shut_door(&self) -> bool {
        self.stops() || self.founds()
    }

    /// Whether it is done also under a directory past its end: what stops, ends or answers something, what puts a newer
    /// directory in force, and what only looks something up. What shares or converts is not.
    fn outlives_directory(&self) -> bool {
        self.passes_shut_door()
    }

    /// What a repeat needs to give the same answer.
    fn receipt(&self, _reply: &Self::Reply) -> Receipt {
        Receipt::default()
    }

    /// The reply again, from what was stored.
    ///
    /// # Errors
    /// When the stored outcome is not of this command.
    fn replay(&self, _receipt: Receipt) -> Result<Self::Reply, Error> {
        Err(Error::Malformed("a stored outcome"))
    }
}

/// What a command may use: the call, what is in force, the keys, and chance.
#[derive(Debug)]
pub struct Room<'a> {
    /// The broker.
    pub broker: &'a Broker,
    /// The call.
    pub call: &'a Call,
    /// The directory and the policy set under which all is decided.
    pub in_force: Arc<InForce>,
    /// The parties (tags) in whose inboxes something was put: to be woken when it is committed.
    pub told: &'a Mutex<Vec<Tag>>,
}

/// Whether a refusal rests on what the fingerprint leaves out: then it is no outcome of the request, and
/// the same request with a fresh order is decided anew (decision 0008).
const fn is_about_the_order(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::OrderExpired
            | Reason::OrderNotYetValid
            | Reason::OrderWindowTooLong
            | Reason::OrderReplayed
            | Reason::OrderSignatureInvalid
            | Reason::OrderCiphertextMismatch
            | Reason::DirectoryBehind
            | Reason::DirectoryExpired
    )
}

/// In a command: it decides nothing, reads beside those that write, changes nothing, is looked at anew each time, and is
/// shown when its line is committed. The list is closed and stands in ARCHITECTURE.md; what hands out a sealed field,
/// a key or a pseudonym is not on it.
macro_rules! looks_up {
    () => {
        fn serve<'a>(
            serving: &'a crate::serve::Serving<'a, Self>,
            database: &'a store::Database,
        ) -> impl Future<Output = Result<crate::serve::Served<Self::Reply>, crate::Error>> + Send + 'a
        {
            Box::pin(crate::serve::look::serve(database, serving))
        }

        fn outlives_directory(&self) -> bool {
            true
        }
    };
}
pub(crate) use looks_up;

/// One command in its transaction.
pub struct Serving<'a, C> {
    room: Room<'a>,
    command: &'a C,
    whatever_is_in_force: bool,
}

/// What comes out of the transaction.
pub struct Served<T> {
    outcome: Outcome<T>,
    entry: crate::record::Written,
}

impl<C: Command> Work for Serving<'_, C> {
    type Output = Served<C::Reply>;
    type Error = Error;

    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn queue(&self) -> Queue {
        self.room.queue(self.command.stops())
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, Error> {
        let Some((request_id, fingerprint)) = self.command.repeatable() else {
            let in_force = tx.in_force(Some(self.asking())).await?;
            self.check_in_force(in_force)?;
            if let Some(reason) = self.kept_out(in_force) {
                return self.keep_out(tx, reason).await;
            }
            let verdict = self.command.perform(&self.room, tx).await?;
            let entry = self
                .room
                .write_entry(tx, self.command.name(), &verdict.record)
                .await?;
            return Ok(Served {
                outcome: verdict.outcome,
                entry,
            });
        };
        let body_sha256 = fingerprint.sha256();
        let caller = self.room.broker.keys().caller_tag(&self.room.call.caller);
        let found = tx.in_force_and_outcome((Some(self.asking()), caller), request_id);
        let (in_force, stored) = found.await?.unzip();
        self.check_in_force(in_force)?;
        if let Some(reason) = self.kept_out(in_force) {
            return self.keep_out(tx, reason).await;
        }
        if let Some(stored) = stored.flatten() {
            return self.repeat(tx, request_id, body_sha256, &stored).await;
        }
        let verdict = self.command.perform(&self.room, tx).await?;
        let entry = self
            .room
            .write_entry(tx, self.command.name(), &verdict.record)
            .await?;
        if let Outcome::Refused(refusal) = &verdict.outcome
            && is_about_the_order(refusal.reason)
        {
            return Ok(Served {
                outcome: verdict.outcome,
                entry,
            });
        }
        let mut receipt = match &verdict.outcome {
            Outcome::Permitted(reply) => self.command.receipt(reply),
            Outcome::Refused(refusal) => Receipt {
                refused: refusal.reason.code().to_owned(),
                ..Receipt::default()
            },
        };
        receipt.entry = entry.entry_id.to_string();
        let stored = self
            .room
            .receipt_to_store(request_id, &fingerprint, &receipt)?;
        tx.insert_request_outcome(caller, request_id, &stored, self.room.call.now)
            .await?;
        Ok(Served {
            outcome: verdict.outcome,
            entry,
        })
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl<C: Command> Serving<'_, C> {
    /// Refuses to decide under a directory or policy set that is no longer the one in force.
    fn check_in_force(&self, current: Option<InForceNow>) -> Result<(), Error> {
        let Some(current) = current.filter(|_| !self.whatever_is_in_force) else {
            let is_allowed = self.whatever_is_in_force || self.command.founds();
            return if is_allowed {
                Ok(())
            } else {
                Err(Error::Stale)
            };
        };
        let own = &self.room.in_force;
        let same = current.directory_version == own.directory_version()
            && current.policy_sha256 == own.policy.hash();
        if same { Ok(()) } else { Err(Error::Stale) }
    }

    /// Answers a repeat: the stored outcome for the same body, a refusal for another. It is a call
    /// like any other, so it has an entry of its own.
    async fn repeat(
        &self,
        tx: &mut Tx<'_>,
        request_id: RequestId,
        body_sha256: [u8; 32],
        stored: &StoredOutcome,
    ) -> Result<Served<C::Reply>, Error> {
        let mut record = Record {
            repeat: true,
            ..Record::default()
        };
        if stored.body_sha256 != body_sha256 {
            record.codes.push(Reason::RequestIdReused);
            let entry = self
                .room
                .write_entry(tx, self.command.name(), &record)
                .await?;
            let outcome = Outcome::Refused(Refusal::new(Reason::RequestIdReused));
            return Ok(Served { outcome, entry });
        }
        let receipt = self.room.open_receipt(request_id, &stored.outcome)?;
        let first: EntryId = receipt
            .entry
            .parse()
            .map_err(|_| Error::Malformed("a stored outcome"))?;
        record.handover = receipt.handover.parse().ok();
        record.notice = receipt.notice.parse().ok();
        self.room
            .write_entry(tx, self.command.name(), &record)
            .await?;
        let row = tx
            .entry(first)
            .await?
            .ok_or(Error::Malformed("a stored outcome"))?;
        let entry = crate::record::Written::of(&row);
        let outcome = if receipt.refused.is_empty() {
            Outcome::Permitted(self.command.replay(receipt)?)
        } else {
            let reason =
                Reason::from_code(&receipt.refused).ok_or(Error::Malformed("a stored outcome"))?;
            Outcome::Refused(Refusal::new(reason))
        };
        Ok(Served { outcome, entry })
    }
}

impl Room<'_> {
    /// The same with another call: what is done in its transaction as if it had come at another time.
    #[must_use]
    pub fn with<'b>(&'b self, call: &'b Call) -> Room<'b> {
        Room {
            broker: self.broker,
            call,
            in_force: Arc::clone(&self.in_force),
            told: self.told,
        }
    }

    /// In which queue the call waits for its turn: its organisation's, or that of the portal's stops.
    #[must_use]
    pub fn queue(&self, stops: bool) -> Queue {
        let caller = &self.call.caller;
        if stops && caller.kind == PeerKind::Portal {
            Queue::Stop
        } else {
            self.broker.keys().queue(caller)
        }
    }

    /// What is stored of an outcome, sealed.
    ///
    /// # Errors
    /// When the seal fails.
    pub fn receipt_to_store(
        &self,
        request_id: RequestId,
        fingerprint: &Fingerprint,
        receipt: &Receipt,
    ) -> Result<StoredOutcome, Error> {
        let plain = serde_json::to_vec(receipt).map_err(|_| Error::Malformed("an outcome"))?;
        let place = Place {
            table: "request_outcome",
            row: request_id.bytes(),
            column: "outcome",
        };
        let outcome = self.broker.keys().seal(&place, &plain)?;
        Ok(StoredOutcome {
            body_sha256: fingerprint.sha256(),
            outcome,
        })
    }

    /// What was stored of an outcome.
    ///
    /// # Errors
    /// When it was tampered with or is not of this program's making.
    pub fn open_receipt(&self, request_id: RequestId, sealed: &[u8]) -> Result<Receipt, Error> {
        let place = Place {
            table: "request_outcome",
            row: request_id.bytes(),
            column: "outcome",
        };
        let plain = self.broker.keys().open(&place, sealed)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Malformed("a stored outcome"))
    }
}

impl Broker {
    /// Serves one command: one transaction, one entry, then the promise. A look-up has one to read and one for its
    /// entry.
    ///
    /// When the directory or the policy set changed meanwhile, the new one is loaded and the command
    /// is decided once more under it.
    ///
    /// # Errors
    /// A fault of ours; nothing was written.
    pub async fn serve<C: Command>(
        &self,
        call: &Call,
        command: &C,
    ) -> Result<Answer<C::Reply>, Error> {
        match self.serve_once(call, command, false).await {
            Err(Error::Stale) => {}
            other => return other,
        }
        let again = match self.reload().await {
            Ok(()) => self.serve_once(call, command, false).await,
            Err(error) => {
                tracing::error!(%error, "what is in force cannot be read; only what stops something is done");
                Err(Error::Stale)
            }
        };
        match again {
            Err(Error::Stale) if command.stops() => self.serve_once(call, command, true).await,
            other => other,
        }
    }

    async fn serve_once<C: Command>(
        &self,
        call: &Call,
        command: &C,
        whatever_is_in_force: bool,
    ) -> Result<Answer<C::Reply>, Error> {
        let told = Mutex::default();
        let room = Room {
            broker: self,
            call,
            in_force: self.in_force(),
            told: &told,
        };
        let serving = Serving {
            room,
            command,
            whatever_is_in_force,
        };
        let served = C::serve(&serving, self.database()).await?;
        for party in told.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.wake(party);
        }
        if let Outcome::Refused(refusal) = &served.outcome {
            tracing::info!(
                action = command.name(),
                reason = refusal.reason.code(),
                "refused"
            );
        }
        let promise = self.keys().promise(&served.entry);
        Ok(Answer {
            outcome: served.outcome,
            promise,
        })
    }
}
