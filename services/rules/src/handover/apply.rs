//! One step through the table: what an event does to a handover as it stands.
//!
//! Must never be asked outside the transaction that holds the locked row: the situation that goes in
//! must still be true when the step is written.

use super::event::InboxKind;
use super::{Actor, BasisKind, Event, Row, Side, State, TABLE, TimerChange};
use crate::notice::NoticeKind;
use crate::reason::{Outcome, Reason, Refusal};

/// A handover as it stands at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Its state; none before it was prepared.
    pub state: Option<State>,
    /// On what it rests.
    pub basis: BasisKind,
    /// Whether the person has objected and no officer has decided yet.
    pub objection_pending: bool,
    /// Whether the person has had processing restricted and that was not lifted.
    pub restricted: bool,
    /// Whether the deadline of the state has passed, whatever the timekeeper has done about it.
    pub overdue: bool,
}

impl Situation {
    /// A handover that is about to be prepared.
    #[must_use]
    pub const fn before(basis: BasisKind) -> Self {
        Self {
            state: None,
            basis,
            objection_pending: false,
            restricted: false,
            overdue: false,
        }
    }

    /// Whether timers stand still and nothing is released.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.objection_pending || self.restricted
    }

    /// A paused handover is never too late.
    const fn is_overdue(&self) -> bool {
        self.overdue && !self.is_paused()
    }
}

/// What an event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The state after it.
    pub state: State,
    /// Whether an objection is pending after it.
    pub objection_pending: bool,
    /// Whether processing is restricted after it.
    pub restricted: bool,
    /// Whether the revision goes up.
    pub raises_revision: bool,
    /// What happens to the deadline. `Pause` and `Resume` only when it really stops or goes on.
    pub timer: TimerChange,
    /// Who is told what.
    pub tells: Vec<(Side, InboxKind)>,
    /// The notice to send when the recipient has opened the offer or the dossier.
    pub notice: Option<NoticeKind>,
}

impl Step {
    /// Whether the step ended the handover: payloads and their key are destroyed with it.
    #[must_use]
    pub const fn ends(&self) -> bool {
        self.state.is_terminal()
    }
}

/// What `event` by `actor` does to a handover in this situation.
///
/// Refuses with `NOT_AVAILABLE` (a recipient and a handover that was not offered), `RIGHT_MISSING`
/// (another actor's event), `STATE_FORBIDS_EVENT`, `OBJECTION_PENDING`, `PROCESSING_RESTRICTED` or
/// `HANDOVER_EXPIRED`.
#[must_use]
pub fn apply(situation: &Situation, event: Event, actor: Actor) -> Outcome<Step> {
    match find(situation, event, actor) {
        Ok(row) => Outcome::Permitted(step(situation, row)),
        Err(Reason::StateForbidsEvent) => Outcome::Refused(forbidden(situation)),
        Err(reason) => Outcome::Refused(Refusal::new(reason)),
    }
}

/// The refusal of a step that is not to be taken now, or not by whoever asked: it says which state the handover is in,
/// and who may do what.
#[must_use]
pub fn forbidden(situation: &Situation) -> Refusal {
    let state = situation.state.map_or("not prepared", State::code);
    let may = |actor: Actor| {
        let events = Event::ALL.iter().copied();
        let events = events.filter(|event| find(situation, *event, actor).is_ok());
        let names: Vec<&str> = events.map(Event::name).collect();
        (!names.is_empty()).then(|| format!("the {} may: {}", actor.name(), names.join(", ")))
    };
    let turns = [Actor::Sender, Actor::Recipient].map(may);
    let turns: Vec<String> = turns.into_iter().flatten().collect();
    let mut text = if turns.is_empty() {
        format!("is {state}, in which nobody has a step left: prepare a new handover")
    } else {
        format!("is {state}; now {}", turns.join("; "))
    };
    if situation.is_paused() {
        text.push_str("; for the rest a privacy officer decides first");
    }
    Refusal::about(Reason::StateForbidsEvent, "state", text)
}

fn find(situation: &Situation, event: Event, actor: Actor) -> Result<&'static Row, Reason> {
    if actor == Actor::Recipient && matches!(situation.state, None | Some(State::Prepared)) {
        return Err(Reason::NotAvailable);
    }
    let row = TABLE
        .iter()
        .find(|row| row.event == event)
        .ok_or(Reason::StateForbidsEvent)?;
    if row.actor != actor {
        return Err(Reason::RightMissing);
    }
    let fits = match situation.state {
        Some(state) => row.from.contains(&state),
        None => row.from.is_empty(),
    };
    let decides = if matches!(event, Event::UpholdObjection | Event::RejectObjection) {
        situation.objection_pending
    } else if event == Event::LiftRestriction {
        situation.restricted
    } else {
        event != Event::Expire || situation.is_overdue()
    };
    if !fits || !decides || !row.basis.allows(situation.basis) {
        return Err(Reason::StateForbidsEvent);
    }
    if row.waits_when_paused && situation.objection_pending {
        return Err(Reason::ObjectionPending);
    }
    if row.waits_when_paused && situation.restricted {
        return Err(Reason::ProcessingRestricted);
    }
    if row.needs_time && situation.is_overdue() {
        return Err(Reason::HandoverExpired);
    }
    Ok(row)
}

fn step(situation: &Situation, row: &Row) -> Step {
    let state = row.to.or(situation.state).unwrap_or(State::Prepared);
    let decided = matches!(row.event, Event::UpholdObjection | Event::RejectObjection);
    let objection_pending = row.event == Event::Object || (situation.objection_pending && !decided);
    let restricted = row.event == Event::Restrict
        || (situation.restricted && row.event != Event::LiftRestriction);
    let paused = objection_pending || restricted;
    let stands_still = (row.timer == TimerChange::Pause && situation.is_paused())
        || (row.timer == TimerChange::Resume && paused);
    let timer = if stands_still {
        TimerChange::Keep
    } else if row.timer == TimerChange::Start && paused {
        TimerChange::StartStopped
    } else {
        row.timer
    };
    let offered =
        !matches!(situation.state, None | Some(State::Prepared)) || row.to == Some(State::Offered);
    let stays_paused = row.timer == TimerChange::Resume && paused;
    let tells = row
        .tells
        .iter()
        .filter(|(side, _)| !stays_paused && (*side == Side::Sender || offered))
        .copied()
        .collect();
    Step {
        state,
        objection_pending,
        restricted,
        raises_revision: row.raises_revision,
        timer,
        tells,
        notice: row.notice,
    }
}
