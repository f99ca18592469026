//! What in an inbox still waits for an answer by this desk.
//!
//! Must never leave out what may wait: where this store does not know that something was answered, it is shown.

use client::InboxEvent;
use rules::handover::InboxKind;
use rules::id::HandoverId;
use std::collections::BTreeMap;

/// What a kind of event means for whoever is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The next step is this desk's.
    Asks,
    /// It is nobody's, or the other side's: what was asked before no longer waits.
    Settles,
    /// It changes nothing about whose turn it is.
    Tells,
}

const fn meaning(kind: InboxKind) -> Meaning {
    match kind {
        InboxKind::Offered
        | InboxKind::ChangeProposed
        | InboxKind::ChangeAccepted
        | InboxKind::Accepted
        | InboxKind::Released
        | InboxKind::ResealRequested => Meaning::Asks,
        InboxKind::Declined
        | InboxKind::Completed
        | InboxKind::Returned
        | InboxKind::Cancelled
        | InboxKind::Withdrawn
        | InboxKind::Expired => Meaning::Settles,
        InboxKind::Paused
        | InboxKind::Resumed
        | InboxKind::Notice
        | InboxKind::NoticeAnswered
        | InboxKind::NoticeOverdue
        | InboxKind::Mismatch
        | InboxKind::ReportSent
        | InboxKind::Ready
        | InboxKind::Undelivered => Meaning::Tells,
    }
}

/// The events whose next step is this desk's, oldest first: the last one of each handover that asks for something, unless
/// `kept`, the handover's revision as this desk last saw it, is of a later step.
pub(crate) fn waiting(
    events: &[InboxEvent],
    kept: impl Fn(&HandoverId) -> Option<i64>,
) -> Vec<&InboxEvent> {
    let mut last: BTreeMap<HandoverId, Option<&InboxEvent>> = BTreeMap::new();
    for event in events {
        match meaning(event.kind) {
            Meaning::Asks => drop(last.insert(event.handover, Some(event))),
            Meaning::Settles => drop(last.insert(event.handover, None)),
            Meaning::Tells => {}
        }
    }
    let is_answered =
        |event: &InboxEvent| kept(&event.handover).is_some_and(|kept| kept > event.revision);
    let mut waiting: Vec<_> = last.into_values().flatten().collect();
    waiting.retain(|event| !is_answered(event));
    waiting.sort_by_key(|event| event.time);
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::clock::Timestamp;

    fn id(number: u8) -> HandoverId {
        HandoverId::from_slice(&[number; 16]).unwrap()
    }

    fn event(number: u8, kind: InboxKind, revision: i64) -> InboxEvent {
        InboxEvent {
            handover: id(number),
            kind,
            time: Timestamp::from_millis(revision),
            revision,
            purpose: "HANDOVER".parse().unwrap(),
            code: None,
            notice: None,
        }
    }

    /// The numbers of the handovers that wait.
    fn check(events: &[InboxEvent], kept: i64, expected: &[u8]) {
        let found = waiting(events, |_| Some(kept));
        let found: Vec<_> = found.iter().map(|event| event.handover).collect();
        let expected: Vec<_> = expected.iter().map(|number| id(*number)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_asked_last_waits_until_it_is_answered_or_over() {
        let (offered, released) = (InboxKind::Offered, InboxKind::Released);
        check(&[], 0, &[]);
        check(&[event(1, offered, 2)], 2, &[1]);
        check(&[event(1, offered, 2)], 3, &[]);
        check(&[event(1, offered, 2), event(1, released, 4)], 3, &[1]);
        check(
            &[event(1, offered, 2), event(1, InboxKind::Cancelled, 3)],
            0,
            &[],
        );
        check(
            &[event(1, offered, 2), event(1, InboxKind::Paused, 3)],
            2,
            &[1],
        );
        check(&[event(2, released, 5), event(1, offered, 2)], 0, &[1, 2]);
        let nobody = waiting(&[event(1, offered, 2)], |_| None).len();
        assert_eq!(nobody, 1, "this store knows nothing of it");
    }
}
