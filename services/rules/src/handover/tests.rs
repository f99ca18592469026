//! The table of states against a list written by hand, and what must hold for all of it.

use super::*;
use crate::reason::{Outcome, Reason};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Who brings a handover from where to where, in code names, without the broker's own.
const MOVES: &[&str] = &[
    "- Prepare sender PREPARED",
    "PREPARED Offer sender OFFERED",
    "OFFERED ProposeChange recipient ON_HOLD",
    "ON_HOLD AcceptChange sender OFFERED",
    "ON_HOLD RejectChange sender CANCELLED",
    "OFFERED Decline recipient DECLINED",
    "ON_HOLD Decline recipient DECLINED",
    "OFFERED Accept recipient ACCEPTED",
    "ACCEPTED Release sender RELEASED",
    "RELEASED Complete recipient COMPLETED",
    "ACCEPTED Return recipient RETURNED",
    "RELEASED Return recipient RETURNED",
    "PREPARED Cancel sender CANCELLED",
    "OFFERED Cancel sender CANCELLED",
    "ON_HOLD Cancel sender CANCELLED",
    "ACCEPTED Cancel sender CANCELLED",
    "RELEASED Cancel sender CANCELLED",
    "PREPARED Supersede broker CANCELLED",
    "OFFERED Supersede broker CANCELLED",
    "ON_HOLD Supersede broker CANCELLED",
    "ACCEPTED Supersede broker CANCELLED",
];

/// Events that leave the state as it is, and where they may happen.
const STAYS: &[&str] = &[
    "OFFERED AckNotification recipient OFFERED",
    "OFFERED ReportUndelivered broker OFFERED",
    "OFFERED FetchOffer recipient OFFERED",
    "ON_HOLD FetchOffer recipient ON_HOLD",
    "ACCEPTED FetchOffer recipient ACCEPTED",
    "RELEASED Fetch recipient RELEASED",
    "RELEASED RequestReseal recipient RELEASED",
    "RELEASED Reseal sender RELEASED",
    "RELEASED ReportMismatch recipient RELEASED",
    "COMPLETED SendReport recipient COMPLETED",
    "COMPLETED FetchReport sender COMPLETED",
];

/// Every situation there is.
fn situations() -> impl Iterator<Item = Situation> {
    let states = std::iter::once(None).chain(State::ALL.iter().copied().map(Some));
    states.flat_map(|state| {
        (0_u32..16).map(move |bits| Situation {
            state,
            basis: if bits & 1 == 0 {
                BasisKind::Consent
            } else {
                BasisKind::Statute
            },
            objection_pending: bits & 2 != 0,
            restricted: bits & 4 != 0,
            overdue: bits & 8 != 0,
        })
    })
}

fn calm(situation: &Situation) -> bool {
    !situation.is_paused() && !situation.overdue
}

fn all() -> impl Iterator<Item = (Situation, Event, Actor, Outcome<Step>)> {
    situations().flat_map(|situation| {
        Event::ALL.iter().flat_map(move |event| {
            Actor::ALL
                .iter()
                .map(move |actor| (situation, *event, *actor, apply(&situation, *event, *actor)))
        })
    })
}

fn name(state: Option<State>) -> &'static str {
    state.map_or("-", State::code)
}

#[test]
fn the_table_is_exactly_its_rows() {
    for basis in [BasisKind::Consent, BasisKind::Statute] {
        let mut expected: BTreeSet<String> = MOVES
            .iter()
            .chain(STAYS)
            .map(|row| (*row).to_owned())
            .collect();
        for state in State::OPEN {
            match basis {
                BasisKind::Consent => {
                    expected.insert(format!("{state} Withdraw candidate WITHDRAWN"));
                    expected.insert(format!("{state} Invalidate officer CANCELLED"));
                }
                BasisKind::Statute => {
                    expected.insert(format!("{state} Object candidate {state}"));
                    expected.insert(format!("{state} Restrict candidate {state}"));
                }
            }
        }
        let found: BTreeSet<String> = all()
            .filter(|(situation, ..)| situation.basis == basis && calm(situation))
            .filter_map(|(situation, event, actor, outcome)| match outcome {
                Outcome::Permitted(step) => Some(format!(
                    "{} {event} {} {}",
                    name(situation.state),
                    actor.name(),
                    step.state
                )),
                Outcome::Refused(_) => None,
            })
            .collect();
        assert_eq!(found, expected, "{basis:?}");
    }
}

#[test]
fn each_event_has_one_row() {
    for event in Event::ALL.iter().copied() {
        assert_eq!(
            TABLE.iter().filter(|row| row.event == event).count(),
            1,
            "{event}"
        );
    }
}

#[test]
fn an_ended_handover_stays_ended_and_responsibility_moves_once() {
    for (situation, event, actor, outcome) in all() {
        let Outcome::Permitted(step) = outcome else {
            continue;
        };
        if let Some(state) = situation.state.filter(|state| state.is_terminal()) {
            assert_eq!(step.state, state, "{event}");
        }
        let before = situation.state.is_some_and(State::recipient_is_responsible);
        if step.state.recipient_is_responsible() && !before {
            assert_eq!(
                (situation.state, event, actor),
                (Some(State::Released), Event::Complete, Actor::Recipient)
            );
        }
        if step.ends() && !situation.state.is_some_and(State::is_terminal) {
            assert_eq!(step.timer, TimerChange::Clear, "{event}");
            assert!(step.notice.is_some() || event == Event::Complete, "{event}");
        }
    }
}

#[test]
fn nothing_is_revealed_while_paused() {
    let reveals = [
        Event::Offer,
        Event::FetchOffer,
        Event::Release,
        Event::Fetch,
        Event::Reseal,
        Event::Complete,
    ];
    for (situation, event, _, outcome) in all().filter(|(situation, ..)| situation.is_paused()) {
        if let Outcome::Permitted(_) = outcome {
            assert!(!reveals.contains(&event), "{event} in {situation:?}");
            assert_ne!(event, Event::Expire, "timers stand still");
        }
    }
}

fn check(situation: Situation, event: Event, actor: Actor, expected: Result<State, Reason>) {
    let found = match apply(&situation, event, actor) {
        Outcome::Permitted(step) => Ok(step.state),
        Outcome::Refused(refusal) => Err(refusal.reason),
    };
    assert_eq!(found, expected, "{event} by {actor:?} in {situation:?}");
}

fn at(state: State) -> Situation {
    Situation {
        state: Some(state),
        ..Situation::before(BasisKind::Statute)
    }
}

fn objected(state: State) -> Situation {
    Situation {
        objection_pending: true,
        ..at(state)
    }
}

fn restricted(state: State) -> Situation {
    Situation {
        restricted: true,
        ..at(state)
    }
}

fn overdue(state: State) -> Situation {
    Situation {
        overdue: true,
        ..at(state)
    }
}

#[test]
fn refusals_say_why() {
    use {Actor as A, Event as E, Reason as R, State as S};
    for (situation, event, actor, reason) in [
        (at(S::Prepared), E::Accept, A::Recipient, R::NotAvailable),
        (
            at(S::Prepared),
            E::AckNotification,
            A::Recipient,
            R::NotAvailable,
        ),
        (at(S::Offered), E::Accept, A::Sender, R::RightMissing),
        (at(S::Offered), E::Release, A::Sender, R::StateForbidsEvent),
        (
            at(S::Offered),
            E::Withdraw,
            A::Candidate,
            R::StateForbidsEvent,
        ),
        (
            at(S::Offered),
            E::UpholdObjection,
            A::Officer,
            R::StateForbidsEvent,
        ),
        (at(S::Offered), E::Expire, A::Broker, R::StateForbidsEvent),
        (
            objected(S::Offered),
            E::LiftRestriction,
            A::Officer,
            R::StateForbidsEvent,
        ),
        (
            objected(S::Accepted),
            E::Release,
            A::Sender,
            R::ObjectionPending,
        ),
        (
            objected(S::Released),
            E::Fetch,
            A::Recipient,
            R::ObjectionPending,
        ),
        (
            restricted(S::Released),
            E::Fetch,
            A::Recipient,
            R::ProcessingRestricted,
        ),
        (
            overdue(S::Offered),
            E::Accept,
            A::Recipient,
            R::HandoverExpired,
        ),
        (
            overdue(S::Released),
            E::Complete,
            A::Recipient,
            R::HandoverExpired,
        ),
    ] {
        check(situation, event, actor, Err(reason));
    }
}

#[test]
fn stopping_is_never_too_late_and_never_waits() {
    use {Actor as A, Event as E, State as S};
    for (situation, event, actor, state) in [
        (objected(S::Offered), E::Accept, A::Recipient, S::Accepted),
        (objected(S::Offered), E::Object, A::Candidate, S::Offered),
        (objected(S::Offered), E::Cancel, A::Sender, S::Cancelled),
        (
            objected(S::Offered),
            E::UpholdObjection,
            A::Officer,
            S::Cancelled,
        ),
        (
            objected(S::Offered),
            E::RejectObjection,
            A::Officer,
            S::Offered,
        ),
        (
            restricted(S::Offered),
            E::LiftRestriction,
            A::Officer,
            S::Offered,
        ),
        (overdue(S::Offered), E::Decline, A::Recipient, S::Declined),
        (overdue(S::Offered), E::Object, A::Candidate, S::Offered),
        (overdue(S::Offered), E::Expire, A::Broker, S::Expired),
    ] {
        check(situation, event, actor, Ok(state));
    }
}

#[test]
fn a_pause_stops_the_timer_once_and_the_last_decision_starts_it() {
    let step = |situation: &Situation, event, actor| match apply(situation, event, actor) {
        Outcome::Permitted(step) => step,
        Outcome::Refused(refusal) => panic!("{event} refused: {}", refusal.reason),
    };
    let after = |situation: &Situation, step: &Step| Situation {
        state: Some(step.state),
        objection_pending: step.objection_pending,
        restricted: step.restricted,
        ..*situation
    };
    let offered = at(State::Offered);
    let objects = step(&offered, Event::Object, Actor::Candidate);
    assert_eq!(objects.timer, TimerChange::Pause);
    let objected = after(&offered, &objects);
    let restricts = step(&objected, Event::Restrict, Actor::Candidate);
    assert_eq!(restricts.timer, TimerChange::Keep, "stands still already");
    let both = after(&objected, &restricts);
    let accepts = step(&both, Event::Accept, Actor::Recipient);
    assert_eq!(accepts.timer, TimerChange::StartStopped);
    let accepted = after(&both, &accepts);
    let rejected = step(&accepted, Event::RejectObjection, Actor::Officer);
    assert_eq!(rejected.timer, TimerChange::Keep, "still restricted");
    assert_eq!(rejected.tells, []);
    let lifted = step(
        &after(&accepted, &rejected),
        Event::LiftRestriction,
        Actor::Officer,
    );
    assert_eq!(lifted.timer, TimerChange::Resume);
    assert_eq!(
        lifted.tells,
        [
            (Side::Sender, InboxKind::Resumed),
            (Side::Recipient, InboxKind::Resumed)
        ]
    );
}

#[test]
fn a_recipient_hears_of_nothing_before_the_offer() {
    for (situation, event, _, outcome) in all() {
        let Outcome::Permitted(step) = outcome else {
            continue;
        };
        let knows =
            !matches!(situation.state, None | Some(State::Prepared)) || event == Event::Offer;
        let told = step.tells.iter().any(|(side, _)| *side == Side::Recipient);
        assert!(knows || !told, "{event} in {situation:?}");
    }
}

#[test]
fn numbers_and_codes_read_back() {
    for state in State::ALL.iter().copied() {
        assert_eq!(State::from_number(state.number()), Some(state));
        assert_eq!(State::from_code(state.code()), Some(state));
        assert_eq!(state.is_terminal(), !State::OPEN.contains(&state));
    }
    for kind in InboxKind::ALL.iter().copied() {
        assert_eq!(InboxKind::from_number(kind.number()), Some(kind));
    }
    for code in CancelCode::ALL.iter().copied() {
        assert_eq!(CancelCode::from_number(code.number()), Some(code));
        assert_eq!(code.is_for_sender(), code.number() <= 3);
    }
    assert_eq!(State::from_number(0), None);
    assert_eq!(
        ExpiryCode::of(State::Offered, false),
        ExpiryCode::Unreachable
    );
    assert_eq!(ExpiryCode::of(State::OnHold, true), ExpiryCode::NotDecided);
}

proptest! {
    /// Any walk: once ended it stays so, and it completes only by the recipient after a release.
    #[test]
    fn any_walk_keeps_the_rules(
        statute in proptest::bool::ANY,
        moves in proptest::collection::vec((0..Event::ALL.len(), proptest::option::weighted(0.2, 0..5_usize), proptest::bool::weighted(0.1)), 0..60),
    ) {
        let basis = if statute { BasisKind::Statute } else { BasisKind::Consent };
        let mut situation = Situation::before(basis);
        let mut was_released = false;
        let mut ended = None;
        for (event, anybody, overdue) in moves {
            situation.overdue = overdue;
            // Most tries are by whoever may, so that walks get somewhere.
            let event = Event::ALL[event];
            let allowed = TABLE.iter().find(|row| row.event == event).map(|row| row.actor);
            let actor = allowed
                .filter(|_| anybody.is_none())
                .unwrap_or(Actor::ALL[anybody.unwrap_or(0)]);
            if let Outcome::Permitted(step) = apply(&situation, event, actor) {
                situation.state = Some(step.state);
                situation.objection_pending = step.objection_pending;
                situation.restricted = step.restricted;
                was_released |= step.state == State::Released;
            }
            if let Some(state) = ended {
                prop_assert_eq!(situation.state, Some(state));
            }
            ended = situation.state.filter(|state| state.is_terminal());
            if situation.state == Some(State::Completed) {
                prop_assert!(was_released);
            }
            if !statute {
                prop_assert!(!situation.is_paused());
            }
        }
    }
}
