//! Handovers: what all their commands share. A command loads and locks, asks the table and the policy,
//! writes, and tells the inboxes; this file is the loading, the writing and the telling.
//!
//! Must never let a caller learn of a handover that is not its own: whoever is neither sender nor
//! recipient gets the same answer as for an id that does not exist.

pub mod answer;
pub mod body;
pub mod check;
pub mod manifest;
pub mod objection;
pub mod offer;
pub(crate) mod person;
pub mod prepare;
pub mod release;
pub mod report;
pub mod view;

use crate::Error;

use crate::broker::Broker;
use crate::consequence::{self, Ended};
use crate::decision::{self, Facts};
use crate::feed;
use crate::inbox::{self, InboxItem};
use crate::lines::{self, About};
use crate::notice;
use crate::record::Record;
use crate::retention;
use crate::serve::{Receipt, Room, Verdict};
use body::Body;
use papers::feed::Told;
use rules::audit::Audience;
use rules::clock::Timestamp;
use rules::consent::ConsentRecord;
use rules::feed::FeedKind;
use rules::handover::{
    Actor, CancelCode, Event, InboxKind, Side, Situation, State, Step, TimerChange,
};
use rules::id::{HandoverId, Party};
use rules::limits::DAY_MILLIS;
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;
use store::handover::HandoverRow;
use store::pseudonym::SubjectRow;
use vault::rest::{DataKey, Place};

/// What a changed handover looks like to its two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverReceipt {
    /// The handover.
    pub handover: HandoverId,
    /// Its state.
    pub state: State,
    /// Its revision.
    pub revision: i64,
    /// Until when it may stay in that state.
    pub deadline: Option<Timestamp>,
    /// Labels that were dropped because they may not be exchanged.
    pub dropped: Vec<rules::id::Label>,
    /// Of an objection or a restriction: the person's row, sealed for the caller; empty else.
    pub sealed_person: Vec<u8>,
}

impl HandoverReceipt {
    /// What is stored for a repeat.
    #[must_use]
    pub fn stored(&self) -> Receipt {
        Receipt {
            handover: self.handover.to_string(),
            state: i64::from(self.state.number()),
            revision: self.revision,
            deadline_millis: self.deadline.map(Timestamp::millis),
            dropped: self.dropped.iter().map(ToString::to_string).collect(),
            sealed_person: rules::hex::encode(&self.sealed_person),
            ..Receipt::default()
        }
    }

    /// The receipt again, from what was stored.
    ///
    /// # Errors
    /// When the stored outcome is not one of a handover.
    pub fn replay(receipt: Receipt) -> Result<Self, Error> {
        let wrong = || Error::Malformed("a stored outcome");
        Ok(Self {
            handover: receipt.handover_id()?,
            state: state_of(receipt.state)?,
            revision: receipt.revision,
            deadline: receipt.deadline_millis.map(Timestamp::from_millis),
            dropped: receipt
                .dropped
                .iter()
                .map(|label| label.parse().map_err(|_| wrong()))
                .collect::<Result<_, _>>()?,
            sealed_person: rules::hex::decode(&receipt.sealed_person).ok_or_else(wrong)?,
        })
    }
}

/// A handover, locked and opened, with the person's row that decisions rest on.
#[derive(Debug)]
pub struct Loaded {
    /// The row.
    pub row: HandoverRow,
    /// What it is about.
    pub body: Body,
    /// The person in this relation, locked.
    pub subject: SubjectRow,
    /// The person's consent in this relation, locked; none where nobody ever asked for one.
    pub consent: Option<ConsentRecord>,
    /// Whether it follows a completed handover the other way, where the register asks for one.
    pub follows_completed: bool,
    /// Whether it is shown as ended though its own row does not say it yet.
    ended_by_number: bool,
}

fn state_of(number: i64) -> Result<State, Error> {
    i32::try_from(number)
        .ok()
        .and_then(State::from_number)
        .ok_or(Error::Malformed("a handover's state"))
}

impl Loaded {
    /// Its state.
    ///
    /// # Errors
    /// When the row has a number that is none.
    pub fn state(&self) -> Result<State, Error> {
        state_of(self.row.state)
    }

    /// Whether it has not ended: its data key is there, and no stop and no release in its group has ended it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.row.wrapped_key.is_some() && !self.ended_by_number
    }

    /// Shows it as ended by a number that rose, though its own row does not say it yet.
    fn show_as_it_is(&mut self, ended: Option<Ended>) {
        if let Some(ended) = ended {
            self.ended_by_number = true;
            self.row.state = i64::from(ended.state.number());
            self.row.revision = self.row.revision.saturating_add(1);
            self.row.entered_at = ended.at;
            self.row.deadline_at = None;
            self.row.remaining_millis = None;
            let code = ended.code.map_or("", |code| code.code());
            code.clone_into(&mut self.body.course.code);
        }
    }

    /// What the table of states looks at.
    ///
    /// # Errors
    /// When the row has a number that is none.
    pub fn situation(&self, room: &Room<'_>) -> Result<Situation, Error> {
        Ok(Situation {
            state: Some(self.state()?),
            basis: room.in_force.basis_kind(&self.body),
            objection_pending: self.subject.objected_at.is_some(),
            restricted: self.subject.restricted_at.is_some(),
            overdue: self
                .row
                .deadline_at
                .is_some_and(|deadline| deadline <= room.call.now),
        })
    }

    /// What is true of the person at this moment.
    #[must_use]
    pub fn facts(&self, room: &Room<'_>) -> Facts {
        Facts::of(
            &self.subject,
            self.consent.as_ref(),
            self.follows_completed,
            room.call.now,
            self.row.deadline_at,
        )
    }

    /// What the log is told of it.
    #[must_use]
    pub fn record(&self, room: &Room<'_>) -> Record {
        let audience = if self.is_offered() {
            Audience::Sides
        } else {
            Audience::Sender
        };
        Record {
            audience,
            handover: Some(self.row.handover_id),
            sender: Some(self.body.sender.clone()),
            recipient: Some(self.body.recipient.clone()),
            purpose: Some(self.body.purpose.clone()),
            basis: Some((self.body.basis.to_string(), self.body.article.clone())),
            processing_activity: Some(self.body.processing_activity.clone()),
            person: Some(room.broker.keys().tag("subject", &self.row.subject_index)),
            consent: self
                .consent
                .as_ref()
                .map(|record| (record.id, record.version)),
            ..Record::default()
        }
    }

    /// The receipt as it stands.
    ///
    /// # Errors
    /// When the row has a number that is none.
    pub fn receipt(&self) -> Result<HandoverReceipt, Error> {
        Ok(HandoverReceipt {
            handover: self.row.handover_id,
            state: self.state()?,
            revision: self.row.revision,
            deadline: self.row.deadline_at,
            dropped: Vec::new(),
            sealed_person: Vec::new(),
        })
    }

    /// Whether the recipient has been offered it: before that it has no part in it.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        self.body.course.offered_millis.is_some()
    }

    /// Counts a line that its sender or recipient causes to the person or the other's inbox.
    ///
    /// # Errors
    /// When the database or a seal fails. The inner refusal is `TOO_MANY_LINES`.
    pub(crate) async fn count_line(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
    ) -> Result<Result<(), Refusal>, Error> {
        let about = About {
            exchange: *self.row.handover_id.bytes(),
            introduction: None,
            sender: &self.body.sender,
            recipient: &self.body.recipient,
            purpose: &self.body.purpose,
        };
        let person = (&self.row.subject_index, &self.subject);
        let by = if room.call.caller.party == self.body.recipient {
            Side::Recipient
        } else {
            Side::Sender
        };
        lines::count(room, tx, person, (by, &about)).await
    }

    /// Which side of it a party is, if any.
    #[must_use]
    pub fn side(&self, party: &Party) -> Option<Actor> {
        if *party == self.body.sender {
            Some(Actor::Sender)
        } else if *party == self.body.recipient && self.is_offered() {
            Some(Actor::Recipient)
        } else {
            None
        }
    }

    fn key_place(&self) -> Place<'_> {
        Place {
            table: "handover",
            row: self.row.handover_id.bytes(),
            column: "wrapped_key",
        }
    }

    /// The data key of its payloads.
    ///
    /// # Errors
    /// When it was destroyed, or its day key was.
    pub fn data_key(&self, broker: &Broker) -> Result<DataKey, Error> {
        let wrapped = self
            .row
            .wrapped_key
            .as_ref()
            .ok_or(Error::Malformed("an ended handover"))?;
        let days = broker.keys().days();
        days.unwrap(&self.key_place(), wrapped)
            .map_err(|_| Error::Vault("unwrapping a data key"))
    }

    /// Wraps its data key anew under the key of `day`.
    ///
    /// # Errors
    /// When the day has no key.
    pub fn rewrap(&mut self, broker: &Broker, day: u32) -> Result<(), Error> {
        let key = self.data_key(broker)?;
        self.row.wrapped_key = Some(wrap(broker, self.row.handover_id, day, &key)?);
        self.row.day = i64::from(day);
        Ok(())
    }
}

/// Wraps a new handover's data key under the key of `day`.
///
/// # Errors
/// When the day has no key.
pub fn wrap(broker: &Broker, id: HandoverId, day: u32, key: &DataKey) -> Result<Vec<u8>, Error> {
    let place = Place {
        table: "handover",
        row: id.bytes(),
        column: "wrapped_key",
    };
    let days = broker.keys().days();
    let day_key = days
        .current(day)
        .ok_or(Error::Vault("finding the day's key"))?;
    day_key
        .wrap(&place, key)
        .map_err(|_| Error::Vault("wrapping a data key"))
}

/// The day of a moment: days since 1970-01-01 in UTC.
#[must_use]
pub fn day_of(moment: Timestamp) -> u32 {
    u32::try_from(moment.millis().div_euclid(DAY_MILLIS)).unwrap_or(0)
}

/// Locks a handover, its person's row and that person's consent, in the one order that all commands keep: person,
/// handover, consent. What was made under another number than the person's row or its group has is ended, whatever
/// its own row says.
///
/// # Errors
/// When the database fails or a seal does not open.
pub async fn load(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: HandoverId,
) -> Result<Option<Loaded>, Error> {
    let Some(mut loaded) = load_as_it_lies(room, tx, id).await? else {
        return Ok(None);
    };
    loaded.consent = crate::consent::current(room, tx, &loaded.subject).await?;
    let pair = (&loaded.body.sender, &loaded.body.recipient);
    loaded.follows_completed =
        decision::follows_completed(room, tx, pair, &loaded.body.purpose).await?;
    let ended = ended_by_number(tx, &loaded).await?;
    loaded.show_as_it_is(ended);
    Ok(Some(loaded))
}

/// What ended an open handover that its own row does not tell yet.
async fn ended_by_number(tx: &mut Tx<'_>, loaded: &Loaded) -> Result<Option<Ended>, Error> {
    let row = &loaded.row;
    if row.wrapped_key.is_none() {
        return Ok(None);
    }
    // Should no row tell why, it has ended all the same.
    let end = |state, code| Ended {
        state,
        code,
        at: row.entered_at,
    };
    if row.stop_number != loaded.subject.stop_number {
        let told = consequence::that_ended(tx, &row.subject_index, row.stop_number).await?;
        return Ok(Some(told.unwrap_or_else(|| end(State::Withdrawn, None))));
    }
    let Some(group) = row.group else {
        return Ok(None);
    };
    if tx.group_number(group).await? == row.group_number {
        return Ok(None);
    }
    let told = consequence::that_ended(tx, group.bytes(), row.group_number).await?;
    let superseded = Some(CancelCode::Superseded);
    Ok(Some(
        told.unwrap_or_else(|| end(State::Cancelled, superseded)),
    ))
}

/// The same as its row lies, without what a decision needs besides, for what follows from a stop: that does not fail
/// because a consent that was given since cannot be read.
///
/// # Errors
/// When the database fails or a seal does not open.
pub(crate) async fn load_as_it_lies(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: HandoverId,
) -> Result<Option<Loaded>, Error> {
    let Some((subject, row)) = tx.lock_handover(id).await? else {
        return Ok(None);
    };
    let body = Body::open(room.broker.keys(), &row)?;
    Ok(Some(Loaded {
        row,
        body,
        subject,
        consent: None,
        follows_completed: false,
        ended_by_number: false,
    }))
}

/// Loads a handover of which the caller is the wanted side; anything else is hidden.
///
/// # Errors
/// When the database fails or a seal does not open.
pub async fn load_as<T>(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: HandoverId,
    wanted: Actor,
) -> Result<Result<Loaded, Verdict<T>>, Error> {
    let hidden = |record| Verdict::hidden(Reason::NotAvailable, record);
    let Some(loaded) = load(room, tx, id).await? else {
        return Ok(Err(hidden(Record::default())));
    };
    match loaded.side(&room.call.caller.party) {
        Some(side) if side == wanted => Ok(Ok(loaded)),
        // The other side knows the handover: it may be told that this step is not its own.
        Some(_) => Ok(Err(Verdict::refused(
            rules::handover::forbidden(&loaded.situation(room)?),
            loaded.record(room),
        ))),
        None => Ok(Err(hidden(Record::default()))),
    }
}

/// An attempt at an event: by whom, and the revision on which the caller decided.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Which event.
    pub event: Event,
    /// By whom.
    pub actor: Actor,
    /// The revision that the caller saw; `None` where the event does not need one.
    pub expected_revision: Option<i64>,
}

/// Asks the table of states whether an event may happen now, and what it does.
///
/// # Errors
/// When the row has a number that is none.
pub fn judge(room: &Room<'_>, loaded: &Loaded, attempt: Attempt) -> Result<Outcome<Step>, Error> {
    if attempt
        .expected_revision
        .is_some_and(|revision| revision != loaded.row.revision)
    {
        return Ok(Outcome::Refused(Refusal::new(Reason::RevisionMismatch)));
    }
    Ok(rules::handover::apply(
        &loaded.situation(room)?,
        attempt.event,
        attempt.actor,
    ))
}

/// Takes a step: state, revision, deadline, destruction at the end, notice, and the inboxes.
///
/// # Errors
/// When the database or a seal fails.
pub async fn enter(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &mut Loaded,
    step: &Step,
) -> Result<(), Error> {
    let before = loaded.state()?;
    let changes = step.state != before;
    if changes {
        let waits = before == State::Prepared && step.state == State::Offered;
        let due = rules::handover::undelivered_at(room.call.now);
        loaded.row.undelivered_at = waits.then_some(due);
        loaded.row.entered_at = room.call.now;
        loaded.row.state = i64::from(step.state.number());
    }
    if step.raises_revision {
        loaded.row.revision = loaded.row.revision.saturating_add(1);
    }
    set_timer(room, loaded, step);
    if step.ends() {
        loaded.row.wrapped_key = None;
        // What is only told of an ended handover gives it no new term.
        if changes {
            loaded.row.erase_at = Some(retention::first_look(room));
        }
        tx.delete_payloads(loaded.row.handover_id).await?;
    }
    save(room, tx, loaded).await?;
    if changes {
        let code = step.state.code().to_owned();
        let told = Told {
            code,
            ..feed::about(loaded, FeedKind::State)
        };
        feed::write(room, tx, &told).await?;
    }
    if let Some(kind) = step.notice.filter(|_| loaded.row.opened_at.is_some()) {
        notice::start(room, tx, loaded, (Side::Recipient, kind)).await?;
    }
    for (side, kind) in &step.tells {
        tell(room, tx, loaded, *side, *kind).await?;
    }
    Ok(())
}

fn set_timer(room: &Room<'_>, loaded: &mut Loaded, step: &Step) {
    let now = room.call.now;
    match step.timer {
        TimerChange::Keep => {}
        TimerChange::Start => {
            loaded.row.deadline_at = room.in_force.deadline(&loaded.body, step.state, now);
            loaded.row.remaining_millis = None;
        }
        TimerChange::StartStopped => {
            let deadline = room.in_force.deadline(&loaded.body, step.state, now);
            loaded.row.deadline_at = None;
            loaded.row.remaining_millis =
                deadline.map(|deadline| rules::handover::remaining_millis(deadline, now));
        }
        TimerChange::Clear => {
            loaded.row.deadline_at = None;
            loaded.row.remaining_millis = None;
        }
        TimerChange::Pause => {
            if let Some(deadline) = loaded.row.deadline_at.take() {
                loaded.row.remaining_millis =
                    Some(rules::handover::remaining_millis(deadline, now));
            }
        }
        TimerChange::Resume => {
            if let Some(remaining) = loaded.row.remaining_millis.take() {
                loaded.row.deadline_at = Some(rules::handover::resumed_deadline(remaining, now));
            }
        }
    }
}

/// Writes a handover's row with its body.
///
/// # Errors
/// When the database or the seal fails.
pub async fn save(room: &Room<'_>, tx: &mut Tx<'_>, loaded: &mut Loaded) -> Result<(), Error> {
    // What is only shown as ended is ended by what follows from its stop, and by nothing else.
    if loaded.ended_by_number {
        return Err(Error::Malformed("a handover that a stop ended"));
    }
    loaded.row.body = loaded
        .body
        .seal(room.broker.keys(), &loaded.row.handover_id)?;
    tx.update_handover(&loaded.row).await?;
    Ok(())
}

/// Puts one item about a handover in the inbox of one side. A recipient that was offered nothing is
/// told nothing.
///
/// # Errors
/// When the database or the seal fails.
async fn tell(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    side: Side,
    kind: InboxKind,
) -> Result<(), Error> {
    let to = match side {
        Side::Sender => &loaded.body.sender,
        Side::Recipient if loaded.is_offered() => &loaded.body.recipient,
        Side::Recipient => return Ok(()),
    };
    let item = InboxItem {
        kind,
        handover: loaded.row.handover_id,
        revision: loaded.row.revision,
        time: room.call.now,
        notice: None,
        code: loaded.body.course.code.clone(),
        purpose: loaded.body.purpose.clone(),
    };
    inbox::deliver(room, tx, to, &item).await
}
