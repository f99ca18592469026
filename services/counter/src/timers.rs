//! The broker's own work: deadlines that pass, notices left unanswered, day keys that grow old.
//!
//! Must never act without an entry of its own, and must never be needed for a refusal: a deadline that
//! has passed refuses even when nothing here ever ran.

use crate::Error;
use crate::call::Call;
use crate::counter::Counter;
use crate::handover::{Attempt, day_of, enter, judge, load};
use crate::notice::MarkOverdue;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::audit::Trace;
use rules::clock::Timestamp;
use rules::handover::{Actor, Event};
use rules::id::{HandoverId, NoticeId};
use rules::limits::{DAY_KEY_DAYS_MAX, REQUEST_OUTCOME_MILLIS};
use rules::notice::NoticeState;
use rules::reason::{Outcome, Reason};
use store::{Tx, Work};

/// How many rows one round looks at.
const ROWS_MAX: i64 = 100;
/// Data keys are wrapped anew this many days before their day key must go.
const REWRAP_MARGIN_DAYS: i64 = 3;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Handovers that expired.
    pub expired: u64,
    /// Notices that became overdue.
    pub overdue: u64,
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
    /// Stored outcomes that were forgotten.
    pub forgotten: u64,
}

/// Ends a handover whose deadline has passed.
struct Expire {
    handover: HandoverId,
}

impl Command for Expire {
    type Reply = ();

    fn name(&self) -> &'static str {
        "ExpireHandover"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx,
    ) -> Result<Verdict<()>, Error> {
        let Some(mut loaded) = load(room, tx, self.handover).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let record = loaded.record(room);
        if loaded
            .row
            .deadline_at
            .is_none_or(|deadline| deadline > room.call.now)
        {
            return Ok(Verdict::refused(Reason::StateForbidsEvent, record));
        }
        let attempt = Attempt {
            event: Event::Expire,
            actor: Actor::Broker,
            expected_revision: None,
        };
        let step = match judge(room, &loaded, attempt)? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let seen = loaded.body.course.received_millis.is_some() || loaded.row.opened_at.is_some();
        loaded.body.course.code = if seen { "DEADLINE" } else { "UNREACHABLE" }.to_owned();
        enter(room, tx, &mut loaded, &step).await?;
        Ok(Verdict::permitted((), record))
    }
}

/// Wraps an open handover's data key anew under today's key.
struct Rewrap {
    handover: HandoverId,
}

impl Command for Rewrap {
    type Reply = ();

    fn name(&self) -> &'static str {
        "RewrapDataKey"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx,
    ) -> Result<Verdict<()>, Error> {
        let Some(mut loaded) = load(room, tx, self.handover).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let record = loaded.record(room);
        if loaded.row.wrapped_key.is_some() {
            loaded.rewrap(room.counter, day_of(room.call.now))?;
            tx.update_handover(&loaded.row).await?;
        }
        Ok(Verdict::permitted((), record))
    }
}

/// What is due at a moment.
#[derive(Debug, Default)]
struct Due {
    handovers: Vec<HandoverId>,
    notices: Vec<NoticeId>,
    old_keys: Vec<HandoverId>,
}

struct FindDue {
    now: Timestamp,
}

impl Work for FindDue {
    type Output = Due;
    type Error = Error;

    fn name(&self) -> &'static str {
        "FindDue"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx) -> Result<Due, Error> {
        let overdue = i64::from(NoticeState::Overdue.number());
        let oldest = i64::from(day_of(self.now)) - (DAY_KEY_DAYS_MAX - REWRAP_MARGIN_DAYS);
        Ok(Due {
            handovers: tx.due_handovers(self.now, ROWS_MAX).await?,
            notices: tx.overdue_notices(self.now, overdue, ROWS_MAX).await?,
            old_keys: tx.handovers_of_days_before(oldest, ROWS_MAX).await?,
        })
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

struct Forget {
    now: Timestamp,
    before: Timestamp,
}

impl Work for Forget {
    type Output = u64;
    type Error = Error;

    fn name(&self) -> &'static str {
        "ForgetOutcomes"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx) -> Result<u64, Error> {
        tx.delete_expired_link_codes(self.now).await?;
        Ok(tx.delete_request_outcomes_before(self.before).await?)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl Counter {
    /// A call of the broker's own, now.
    #[must_use]
    pub fn own_call(&self) -> Call {
        Call {
            caller: self.operator().clone(),
            trace: Trace::draw(self.random()),
            now: self.now(),
        }
    }

    /// One round of the broker's own work. Safe to run at any time and in any number.
    ///
    /// # Errors
    /// A fault of ours; what was done before it stays done.
    pub async fn run_timers(&self) -> Result<Round, Error> {
        let call = self.own_call();
        let due = self.database().read(&FindDue { now: call.now }).await?;
        let mut round = Round::default();
        for handover in due.handovers {
            let answer = self.serve_and_wake(&call, &Expire { handover }).await?;
            round.expired += u64::from(matches!(answer.outcome, Outcome::Permitted(())));
        }
        for notice in due.notices {
            let answer = self.serve_and_wake(&call, &MarkOverdue { notice }).await?;
            round.overdue += u64::from(matches!(answer.outcome, Outcome::Permitted(())));
        }
        for handover in due.old_keys {
            self.serve(&call, &Rewrap { handover }).await?;
            round.rewrapped += 1;
        }
        let before = call.now.plus_millis(-REQUEST_OUTCOME_MILLIS);
        round.forgotten = self
            .database()
            .write(&Forget {
                now: call.now,
                before,
            })
            .await?;
        Ok(round)
    }
}
