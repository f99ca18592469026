//! The broker's own work: deadlines that pass, notices left unanswered, day keys that grow old.
//!
//! Must never act without an entry of its own, and must never be needed for a refusal: a deadline that
//! has passed refuses even when nothing here ever ran.

use crate::Error;
use crate::broker::Broker;
use crate::call::Call;
use crate::consent::question::LapseQuestion;
use crate::handover::{Attempt, day_of, enter, judge, load};
use crate::lines::{self, TellFolded};
use crate::notice::MarkOverdue;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::audit::Trace;
use rules::clock::Timestamp;
use rules::handover::{Actor, Event, ExpiryCode};
use rules::id::{HandoverId, NoticeId};
use rules::limits::{DAY_KEY_DAYS_MAX, QUESTION_MILLIS, REQUEST_OUTCOME_MILLIS};
use rules::notice::NoticeState;
use rules::reason::{Outcome, Reason};
use std::fmt;
use store::{Tx, Work};

/// Outcomes that one round forgets: what is left is for the next one, a few seconds later.
const OUTCOMES_MAX: i64 = 5_000;
/// How many rows are read at a time.
const ROWS_MAX: usize = 100;
/// Data keys are wrapped anew this many days before their day key must go.
const REWRAP_MARGIN_DAYS: i64 = 3;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Handovers that expired.
    pub expired: u64,
    /// Offers of which the sender was told that nobody took notice.
    pub undelivered: u64,
    /// Notices that became overdue.
    pub overdue: u64,
    /// Questions for consent that nobody answered.
    pub lapsed: u64,
    /// People who were told how much was refused on a day.
    pub folded: u64,
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
    /// Stored outcomes that were forgotten.
    pub forgotten: u64,
    /// Rows that could not be dealt with. They stay, and the others went on.
    pub failed: u64,
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
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let Some(mut loaded) = load(room, tx, self.handover).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let mut record = loaded.record(room);
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
        let code = ExpiryCode::of(loaded.state()?, seen).code();
        record.event_code = Some(code);
        code.clone_into(&mut loaded.body.course.code);
        enter(room, tx, &mut loaded, &step).await?;
        Ok(Verdict::permitted((), record))
    }
}

/// Tells the sender, once, that the recipient took no notice of an offer for a day.
struct ReportUndelivered {
    handover: HandoverId,
}

impl Command for ReportUndelivered {
    type Reply = ();

    fn name(&self) -> &'static str {
        "ReportUndelivered"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let Some(mut loaded) = load(room, tx, self.handover).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let record = loaded.record(room);
        let due = loaded.row.undelivered_at.take();
        if due.is_none_or(|due| due > room.call.now) {
            return Ok(Verdict::refused(Reason::StateForbidsEvent, record));
        }
        let attempt = Attempt {
            event: Event::ReportUndelivered,
            actor: Actor::Broker,
            expected_revision: None,
        };
        let step = match judge(room, &loaded, attempt)? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
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
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let Some(mut loaded) = load(room, tx, self.handover).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let record = loaded.record(room);
        if !loaded.is_open() {
            return Ok(Verdict::refused(Reason::StateForbidsEvent, record));
        }
        loaded.rewrap(room.broker, day_of(room.call.now))?;
        tx.update_handover(&loaded.row).await?;
        Ok(Verdict::permitted((), record))
    }
}

/// What the broker does by itself, to one row at a time.
#[derive(Clone, Copy, Debug)]
enum Task {
    Expire,
    ReportUndelivered,
    MarkOverdue,
    LapseQuestion,
    TellFolded,
    Rewrap,
}

impl Task {
    const ALL: [Self; 6] = [
        Self::Expire,
        Self::ReportUndelivered,
        Self::MarkOverdue,
        Self::LapseQuestion,
        Self::TellFolded,
        Self::Rewrap,
    ];
}

/// One row that is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    Handover(HandoverId),
    Notice(NoticeId),
    Question(HandoverId),
    Person([u8; 32]),
}

impl Due {
    /// By which it is told from every other, in this process only.
    fn key(&self) -> String {
        match self {
            Self::Person(index) => rules::hex::encode(index),
            Self::Handover(_) | Self::Question(_) | Self::Notice(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handover(id) | Self::Question(id) => write!(out, "{id}"),
            Self::Notice(id) => write!(out, "{id}"),
            // Not the index: a process log names no person.
            Self::Person(_) => out.write_str("a person's row"),
        }
    }
}

/// Finds what is due at a moment, behind the rows that were left.
struct FindDue {
    task: Task,
    now: Timestamp,
    left: usize,
}

impl Work for FindDue {
    type Output = Vec<Due>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "FindDue"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Vec<Due>, Error> {
        let rows_max = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
        let left = i64::try_from(self.left).unwrap_or(i64::MAX);
        let now = self.now;
        let handovers = match self.task {
            Task::Expire => tx.due_handovers(now, rows_max, left).await?,
            Task::ReportUndelivered => tx.undelivered_handovers(now, rows_max, left).await?,
            Task::Rewrap => {
                let oldest = i64::from(day_of(now)) - (DAY_KEY_DAYS_MAX - REWRAP_MARGIN_DAYS);
                tx.handovers_of_days_before(oldest, rows_max, left).await?
            }
            Task::LapseQuestion => {
                let before = now.plus_millis(-QUESTION_MILLIS);
                let questions = tx.old_questions(before, rows_max, left).await?;
                return Ok(questions.into_iter().map(Due::Question).collect());
            }
            Task::TellFolded => {
                let today = lines::day_of(now);
                let people = tx.people_with_folded_lines(today, rows_max, left).await?;
                return Ok(people.into_iter().map(Due::Person).collect());
            }
            Task::MarkOverdue => {
                let overdue = i64::from(NoticeState::Overdue.number());
                let notices = tx.overdue_notices(now, overdue, rows_max, left).await?;
                return Ok(notices.into_iter().map(Due::Notice).collect());
            }
        };
        Ok(handovers.into_iter().map(Due::Handover).collect())
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

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<u64, Error> {
        tx.delete_expired_link_codes(self.now).await?;
        Ok(tx
            .delete_request_outcomes_before(self.before, OUTCOMES_MAX)
            .await?)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl Broker {
    /// A call of the broker's own, now.
    #[must_use]
    pub fn own_call(&self) -> Call {
        Call {
            caller: self.operator().clone(),
            trace: Trace::draw(self.random()),
            now: self.now(),
        }
    }

    /// One round of the broker's own work; none while the door is shut after a restoration, because rows may
    /// be wrong about what was answered since. Safe to run at any time and in any number. A row that cannot be
    /// dealt with stays, is named in the process's log once, and stops no other.
    ///
    /// # Errors
    /// A fault of ours that is not one row's; what was done before it stays done.
    pub async fn run_timers(&self) -> Result<Round, Error> {
        let call = self.own_call();
        let mut round = Round::default();
        if self.is_shut().await? {
            return Ok(round);
        }
        for task in Task::ALL {
            self.run_task(&call, task, &mut round).await?;
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

    /// Does one task to every row that is due. It ends: what was done is due no more, and what was left is
    /// skipped.
    async fn run_task(&self, call: &Call, task: Task, round: &mut Round) -> Result<(), Error> {
        let mut left = 0;
        loop {
            let now = call.now;
            let due = self.database().read(&FindDue { task, now, left }).await?;
            let is_last = due.len() < ROWS_MAX;
            for row in due {
                match self.run_one(call, task, row).await {
                    Ok(true) => *round.count(task) += 1,
                    Ok(false) => left += 1,
                    Err(fault) if fault.is_of_one_row() => {
                        left += 1;
                        round.failed += 1;
                        if self.is_first_fault_of(&row.key()) {
                            tracing::error!(
                                ?task,
                                row = %row,
                                fault = %fault,
                                "a row that is due cannot be dealt with; the others go on"
                            );
                        }
                    }
                    Err(fault) => return Err(fault),
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Does one task to one row; gives whether it was done.
    async fn run_one(&self, call: &Call, task: Task, row: Due) -> Result<bool, Error> {
        let outcome = match (task, row) {
            (Task::Expire, Due::Handover(handover)) => {
                self.serve(call, &Expire { handover }).await?
            }
            (Task::ReportUndelivered, Due::Handover(handover)) => {
                let command = ReportUndelivered { handover };
                self.serve(call, &command).await?
            }
            (Task::Rewrap, Due::Handover(handover)) => {
                self.serve(call, &Rewrap { handover }).await?
            }
            (Task::MarkOverdue, Due::Notice(notice)) => {
                self.serve(call, &MarkOverdue { notice }).await?
            }
            (Task::LapseQuestion, Due::Question(question)) => {
                self.serve(call, &LapseQuestion { question }).await?
            }
            (Task::TellFolded, Due::Person(index)) => {
                self.serve(call, &TellFolded { index }).await?
            }
            (_, Due::Handover(_) | Due::Notice(_) | Due::Question(_) | Due::Person(_)) => {
                return Ok(false);
            }
        };
        Ok(matches!(outcome.outcome, Outcome::Permitted(())))
    }
}

impl Round {
    fn count(&mut self, task: Task) -> &mut u64 {
        match task {
            Task::Expire => &mut self.expired,
            Task::ReportUndelivered => &mut self.undelivered,
            Task::MarkOverdue => &mut self.overdue,
            Task::LapseQuestion => &mut self.lapsed,
            Task::TellFolded => &mut self.folded,
            Task::Rewrap => &mut self.rewrapped,
        }
    }
}
