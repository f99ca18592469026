//! Lines of the log that no other command writes: of calls that only look at what is public among peers, of refusals
//! that were clear before a command could be made, and of what went on at the door.
//!
//! Must never change anything but the log.

use crate::Error;
use crate::broker::Broker;
use crate::call::{Answer, Call, Caller};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use papers::promise::Promise;
use rules::audit::{Stranger, Trace};
use rules::reason::{Reason, Refusal};
use store::Tx;

/// A refusal that was clear before any command could be made: only its entry is written. Also the
/// entry of a call that only looks at what is public among peers.
#[derive(Debug)]
struct Note {
    name: &'static str,
    refusal: Option<Refusal>,
    record: Record,
}

impl Command for Note {
    type Reply = ();

    fn name(&self) -> &'static str {
        self.name
    }

    /// A line in the log is all that it does.
    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let mut record = self.record.clone();
        // A handover's line says the same of it whether or not its step could be served.
        if let Some(handover) = record.handover.take()
            && let Some(loaded) = crate::handover::load(room, tx, handover).await?
            && loaded.side(&room.call.caller.party).is_some()
        {
            record = loaded.record(room);
        }
        Ok(match &self.refusal {
            Some(refusal) => Verdict::refused(refusal.clone(), record),
            None => Verdict::permitted((), record),
        })
    }
}

impl Broker {
    /// Logs a call that only looks at what every peer may see (`GetDirectory`, `GetStatus`).
    ///
    /// # Errors
    /// A fault of ours; then nothing may be shown.
    pub async fn note(&self, call: &Call, name: &'static str) -> Result<Answer<()>, Error> {
        self.serve(
            call,
            &Note {
                name,
                refusal: None,
                record: Record::default(),
            },
        )
        .await
    }

    /// Logs a refusal that was clear before a command could be made: a wrong message, a missing right,
    /// key holders that cannot be reached.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn refuse(
        &self,
        call: &Call,
        name: &'static str,
        refusal: Refusal,
    ) -> Result<Answer<()>, Error> {
        self.refuse_about(call, name, refusal, Record::default())
            .await
    }

    async fn refuse_about(
        &self,
        call: &Call,
        name: &'static str,
        refusal: Refusal,
        record: Record,
    ) -> Result<Answer<()>, Error> {
        let note = Note {
            name,
            refusal: Some(refusal),
            record,
        };
        self.serve(call, &note).await
    }

    /// Logs that calls of this organisation went beyond a budget at the door, so many of them.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn hold_back(
        &self,
        caller: Caller,
        budget: &'static str,
        times: u64,
    ) -> Result<Answer<()>, Error> {
        let call = Call {
            caller,
            trace: Trace::draw(self.random()),
            now: self.now(),
        };
        let record = Record {
            event_code: Some(budget),
            batch: Some((times, times)),
            ..Record::default()
        };
        let refusal = Refusal::new(Reason::TooManyCalls);
        self.refuse_about(&call, "HoldBack", refusal, record).await
    }

    /// Logs that somebody with a valid certificate, who is no desk, was turned away at the door.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn turn_away(
        &self,
        stranger: Stranger,
        refusal: Refusal,
    ) -> Result<Answer<()>, Error> {
        let call = Call {
            caller: self.operator().clone(),
            trace: Trace::draw(self.random()),
            now: self.now(),
        };
        let note = Note {
            name: "TurnAway",
            refusal: Some(refusal),
            record: Record {
                stranger: Some(stranger),
                ..Record::default()
            },
        };
        self.serve(&call, &note).await
    }

    /// Logs a call that failed outside the database, so that it has its line too, with what it was about.
    /// A fault of the database itself leaves none: there is nowhere to write it.
    pub async fn note_fault(
        &self,
        call: &Call,
        name: &'static str,
        fault: &Error,
        about: Record,
    ) -> Option<Promise> {
        match fault {
            Error::HolderUnavailable | Error::HolderDishonest(_) => {}
            Error::Store(_)
            | Error::Vault(_)
            | Error::Malformed(_)
            | Error::Unverified(_)
            | Error::Stale => return None,
        }
        let refusal = Refusal::new(fault.reason());
        let answer = self.refuse_about(call, name, refusal, about).await;
        answer.ok().map(|answer| answer.promise)
    }
}
