//! The table itself: from which states, on which event, by whom, to which state, and what follows.
//!
//! Must never be bypassed: what is not in it does not happen. `docs/handover-table.md` is printed
//! from it.

use super::event::InboxKind as Tell;
use super::{Actor, Event, Side, State};
use crate::notice::NoticeKind;

/// On what the exchange rests, as far as the table must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BasisKind {
    /// The person's consent: the person may withdraw it.
    Consent,
    /// A statute: the person may object.
    Statute,
}

/// For which exchanges a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasisRule {
    /// All.
    Any,
    /// Only those on consent.
    Only(BasisKind),
}

impl BasisRule {
    /// Whether it holds for an exchange on this basis.
    #[must_use]
    pub fn allows(self, basis: BasisKind) -> bool {
        match self {
            Self::Any => true,
            Self::Only(kind) => kind == basis,
        }
    }
}

/// What happens to the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// It stays as it is.
    Keep,
    /// The new state's time begins.
    Start,
    /// The new state's time is kept whole until the pause ends. Never in the table: it is what
    /// `Start` becomes while paused.
    StartStopped,
    /// There is none any more.
    Clear,
    /// It stops, when it was running; what is left is kept.
    Pause,
    /// It goes on with what was left, when nothing holds it any more.
    Resume,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The event.
    pub event: Event,
    /// Who may do it.
    pub actor: Actor,
    /// From which states; empty for the first.
    pub from: &'static [State],
    /// To which state; none means that the state stays.
    pub to: Option<State>,
    /// For which exchanges.
    pub basis: BasisRule,
    /// Whether it waits while an objection is pending or processing is restricted.
    pub waits_when_paused: bool,
    /// Whether it is refused once the deadline of the state has passed.
    pub needs_time: bool,
    /// Whether the revision goes up, so that a decision on the old one is refused.
    pub raises_revision: bool,
    /// What happens to the deadline.
    pub timer: TimerChange,
    /// Who is told what. The recipient of a handover that was never offered is not told.
    pub tells: &'static [(Side, Tell)],
    /// The notice that starts when the recipient has opened the offer or the dossier.
    pub notice: Option<NoticeKind>,
}

const OPEN: &[State] = State::OPEN;
const BOTH_CANCELLED: &[(Side, Tell)] = &[
    (Side::Sender, Tell::Cancelled),
    (Side::Recipient, Tell::Cancelled),
];
const BOTH_PAUSED: &[(Side, Tell)] = &[
    (Side::Sender, Tell::Paused),
    (Side::Recipient, Tell::Paused),
];
const BOTH_RESUMED: &[(Side, Tell)] = &[
    (Side::Sender, Tell::Resumed),
    (Side::Recipient, Tell::Resumed),
];

/// A step of sender or recipient towards completion: in time, and not while paused.
const fn forward(
    event: Event,
    actor: Actor,
    from: &'static [State],
    to: Option<State>,
    tells: &'static [(Side, Tell)],
) -> Row {
    Row {
        event,
        actor,
        from,
        to,
        basis: BasisRule::Any,
        waits_when_paused: true,
        needs_time: true,
        raises_revision: to.is_some(),
        timer: if to.is_some() {
            TimerChange::Start
        } else {
            TimerChange::Keep
        },
        tells,
        notice: None,
    }
}

/// A step that reveals nothing and so need not wait while paused.
const fn harmless(row: Row) -> Row {
    Row {
        waits_when_paused: false,
        ..row
    }
}

/// A step that ends the handover: never too late, never paused.
const fn ending(
    event: Event,
    actor: Actor,
    from: &'static [State],
    to: State,
    tells: &'static [(Side, Tell)],
    notice: NoticeKind,
) -> Row {
    Row {
        event,
        actor,
        from,
        to: Some(to),
        basis: BasisRule::Any,
        waits_when_paused: false,
        needs_time: false,
        raises_revision: true,
        timer: TimerChange::Clear,
        tells,
        notice: Some(notice),
    }
}

/// A step of the person or the officer in a handover under statute; the state stays.
const fn pausing(
    event: Event,
    actor: Actor,
    timer: TimerChange,
    tells: &'static [(Side, Tell)],
    notice: Option<NoticeKind>,
) -> Row {
    Row {
        event,
        actor,
        from: OPEN,
        to: None,
        basis: BasisRule::Only(BasisKind::Statute),
        waits_when_paused: false,
        needs_time: false,
        raises_revision: true,
        timer,
        tells,
        notice,
    }
}

const fn only(kind: BasisKind, row: Row) -> Row {
    Row {
        basis: BasisRule::Only(kind),
        ..row
    }
}

/// The whole table. Each event has one row, so nothing depends on their order.
pub const TABLE: &[Row] = &[
    Row {
        timer: TimerChange::Start,
        ..forward(
            Event::Prepare,
            Actor::Sender,
            &[],
            Some(State::Prepared),
            &[],
        )
    },
    forward(
        Event::Offer,
        Actor::Sender,
        &[State::Prepared],
        Some(State::Offered),
        &[(Side::Recipient, Tell::Offered)],
    ),
    harmless(Row {
        needs_time: false,
        ..forward(
            Event::AckNotification,
            Actor::Recipient,
            &[State::Offered],
            None,
            &[],
        )
    }),
    forward(
        Event::FetchOffer,
        Actor::Recipient,
        &[State::Offered, State::OnHold, State::Accepted],
        None,
        &[],
    ),
    harmless(Row {
        timer: TimerChange::Keep,
        ..forward(
            Event::ProposeChange,
            Actor::Recipient,
            &[State::Offered],
            Some(State::OnHold),
            &[(Side::Sender, Tell::ChangeProposed)],
        )
    }),
    harmless(forward(
        Event::AcceptChange,
        Actor::Sender,
        &[State::OnHold],
        Some(State::Offered),
        &[(Side::Recipient, Tell::ChangeAccepted)],
    )),
    ending(
        Event::RejectChange,
        Actor::Sender,
        &[State::OnHold],
        State::Cancelled,
        &[(Side::Recipient, Tell::Cancelled)],
        NoticeKind::Ended,
    ),
    ending(
        Event::Decline,
        Actor::Recipient,
        &[State::Offered, State::OnHold],
        State::Declined,
        &[(Side::Sender, Tell::Declined)],
        NoticeKind::Ended,
    ),
    harmless(forward(
        Event::Accept,
        Actor::Recipient,
        &[State::Offered],
        Some(State::Accepted),
        &[(Side::Sender, Tell::Accepted)],
    )),
    forward(
        Event::Release,
        Actor::Sender,
        &[State::Accepted],
        Some(State::Released),
        &[(Side::Recipient, Tell::Released)],
    ),
    forward(
        Event::Fetch,
        Actor::Recipient,
        &[State::Released],
        None,
        &[],
    ),
    harmless(forward(
        Event::RequestReseal,
        Actor::Recipient,
        &[State::Released],
        None,
        &[(Side::Sender, Tell::ResealRequested)],
    )),
    Row {
        raises_revision: true,
        ..forward(
            Event::Reseal,
            Actor::Sender,
            &[State::Released],
            None,
            &[(Side::Recipient, Tell::Released)],
        )
    },
    harmless(Row {
        needs_time: false,
        ..forward(
            Event::ReportMismatch,
            Actor::Recipient,
            &[State::Released],
            None,
            &[(Side::Sender, Tell::Mismatch)],
        )
    }),
    Row {
        timer: TimerChange::Clear,
        ..forward(
            Event::Complete,
            Actor::Recipient,
            &[State::Released],
            Some(State::Completed),
            &[(Side::Sender, Tell::Completed)],
        )
    },
    Row {
        raises_revision: true,
        ..forward(
            Event::SendReport,
            Actor::Recipient,
            &[State::Completed],
            None,
            &[(Side::Sender, Tell::ReportSent)],
        )
    },
    forward(
        Event::FetchReport,
        Actor::Sender,
        &[State::Completed],
        None,
        &[],
    ),
    ending(
        Event::Return,
        Actor::Recipient,
        &[State::Accepted, State::Released],
        State::Returned,
        &[(Side::Sender, Tell::Returned)],
        NoticeKind::Ended,
    ),
    ending(
        Event::Cancel,
        Actor::Sender,
        OPEN,
        State::Cancelled,
        &[(Side::Recipient, Tell::Cancelled)],
        NoticeKind::Ended,
    ),
    ending(
        Event::Supersede,
        Actor::Broker,
        &[
            State::Prepared,
            State::Offered,
            State::OnHold,
            State::Accepted,
        ],
        State::Cancelled,
        BOTH_CANCELLED,
        NoticeKind::Ended,
    ),
    only(
        BasisKind::Consent,
        ending(
            Event::Withdraw,
            Actor::Candidate,
            OPEN,
            State::Withdrawn,
            &[
                (Side::Sender, Tell::Withdrawn),
                (Side::Recipient, Tell::Withdrawn),
            ],
            NoticeKind::Withdrawal,
        ),
    ),
    only(
        BasisKind::Consent,
        ending(
            Event::Invalidate,
            Actor::Officer,
            OPEN,
            State::Cancelled,
            BOTH_CANCELLED,
            // What was received without a valid consent was received unlawfully (AVG article 17(1)(d)).
            NoticeKind::Erasure,
        ),
    ),
    pausing(
        Event::Object,
        Actor::Candidate,
        TimerChange::Pause,
        BOTH_PAUSED,
        None,
    ),
    pausing(
        Event::Restrict,
        Actor::Candidate,
        TimerChange::Pause,
        BOTH_PAUSED,
        Some(NoticeKind::Restriction),
    ),
    only(
        BasisKind::Statute,
        ending(
            Event::UpholdObjection,
            Actor::Officer,
            OPEN,
            State::Cancelled,
            BOTH_CANCELLED,
            // An objection that holds is a ground for erasure (AVG article 17(1)(c)).
            NoticeKind::Erasure,
        ),
    ),
    pausing(
        Event::RejectObjection,
        Actor::Officer,
        TimerChange::Resume,
        BOTH_RESUMED,
        None,
    ),
    pausing(
        Event::LiftRestriction,
        Actor::Officer,
        TimerChange::Resume,
        BOTH_RESUMED,
        None,
    ),
    harmless(Row {
        needs_time: false,
        ..forward(
            Event::ReportUndelivered,
            Actor::Broker,
            &[State::Offered],
            None,
            &[(Side::Sender, Tell::Undelivered)],
        )
    }),
    ending(
        Event::Expire,
        Actor::Broker,
        OPEN,
        State::Expired,
        &[
            (Side::Sender, Tell::Expired),
            (Side::Recipient, Tell::Expired),
        ],
        NoticeKind::Ended,
    ),
];
