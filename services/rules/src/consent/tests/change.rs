//! A record becomes narrower or ends, and nothing else happens to it.
//!
//! Must never hold a case in which a change gives more than there was.

use super::super::*;
use super::{NOW, given};
use crate::id::ConsentId;
use crate::limits::DAY_MILLIS;

#[test]
fn less_is_narrower_and_more_is_refused() {
    let before = given().record;
    let narrower = |change: fn(&mut Statement)| {
        let mut statement = given();
        statement.event = StatementEvent::Narrowed;
        statement.record.version = 2;
        change(&mut statement);
        match check_narrowed(&before, &statement, NOW) {
            Outcome::Permitted(()) => None,
            Outcome::Refused(refusal) => Some(refusal.reason),
        }
    };
    let drop_one = |statement: &mut Statement| {
        let record = &mut statement.record;
        let last = record.categories.pop_last().unwrap();
        record.special.remove(&last);
    };
    assert_eq!(narrower(drop_one), None);
    assert_eq!(
        narrower(|statement| statement.record.valid_until = NOW.plus_millis(DAY_MILLIS)),
        None
    );
    assert_eq!(
        narrower(|_| {}),
        Some(Reason::StatementInvalid),
        "the same again"
    );
    assert_eq!(
        narrower(|statement| {
            statement.record.valid_until = NOW.plus_millis(31 * DAY_MILLIS);
        }),
        Some(Reason::ConsentWidened)
    );
    assert_eq!(
        narrower(|statement| {
            statement.record.categories.insert("EXTRA".parse().unwrap());
        }),
        Some(Reason::ConsentWidened)
    );
    assert_eq!(
        narrower(|statement| {
            statement.record.recipient = "00000099000000003000/main".parse().unwrap();
        }),
        Some(Reason::StatementInvalid),
        "another recipient is another record"
    );
    assert_eq!(
        narrower(|statement| statement.record.version = 3),
        Some(Reason::StatementInvalid)
    );
}

#[test]
fn marks_stay_when_categories_go() {
    let before = given().record;
    let ask = |change: fn(&mut ConsentRecord)| {
        let mut statement = given();
        statement.event = StatementEvent::Narrowed;
        statement.record.version = 2;
        statement.record.valid_until = NOW.plus_millis(DAY_MILLIS);
        change(&mut statement.record);
        match check_narrowed(&before, &statement, NOW) {
            Outcome::Permitted(()) => None,
            Outcome::Refused(refusal) => Some(refusal.reason),
        }
    };
    let invalid = Some(Reason::StatementInvalid);
    assert_eq!(ask(|_| {}), None);
    assert_eq!(ask(|record| drop(record.special.pop_first())), invalid);
    assert_eq!(
        ask(|record| record.special = record.categories.clone()),
        invalid
    );
    let nothing = |record: &mut ConsentRecord| {
        record.categories.clear();
        record.special.clear();
    };
    assert_eq!(ask(nothing), invalid, "nothing left is a withdrawal");
    assert_eq!(ask(|record| record.valid_until = NOW), invalid, "so is now");
    assert_eq!(ask(|record| record.notice.version += 1), invalid);
    assert_eq!(ask(|record| record.state = ConsentState::Expired), invalid);
}

#[test]
fn only_an_active_record_is_narrowed() {
    let mut statement = given();
    statement.event = StatementEvent::Narrowed;
    statement.record.version = 2;
    statement.record.valid_until = NOW.plus_millis(DAY_MILLIS);
    let before = given().record;
    let ask = |old: &ConsentRecord, now| match check_narrowed(old, &statement, now) {
        Outcome::Permitted(()) => None,
        Outcome::Refused(refusal) => Some(refusal.reason),
    };
    let ended = Some(Reason::ConsentNotActive);
    assert_eq!(ask(&before, before.valid_until), ended);
    for state in ConsentState::ALL.iter().copied() {
        let mut old = before.clone();
        old.state = state;
        let expected = if state == ConsentState::Given {
            None
        } else {
            ended
        };
        assert_eq!(ask(&old, NOW), expected, "{state:?}");
    }
}

fn withdrawal() -> Statement {
    let mut statement = given();
    statement.event = StatementEvent::Withdrawn;
    statement.stop_code = None;
    statement.record.state = ConsentState::Withdrawn;
    statement.record.version = 2;
    statement
}

#[track_caller]
fn check_withdrawal(is_one: bool, change: impl FnOnce(&mut Statement)) {
    let mut statement = withdrawal();
    change(&mut statement);
    let outcome = check_withdrawn(&given().record, &statement, NOW);
    assert_eq!(matches!(outcome, Outcome::Permitted(())), is_one);
}

#[test]
fn a_withdrawal_names_the_record_and_adds_nothing() {
    check_withdrawal(true, |_| {});
    check_withdrawal(false, |statement| {
        statement.record.id = ConsentId::from_slice(&[6; 16]).unwrap();
    });
    check_withdrawal(false, |statement| statement.record.version = 1);
    check_withdrawal(false, |statement| {
        statement.record.state = ConsentState::Given;
    });
    check_withdrawal(false, |statement| {
        statement.event = StatementEvent::Expired;
    });
    check_withdrawal(false, |statement| {
        statement.stop_code = given().stop_code;
    });
    check_withdrawal(false, |statement| {
        let record = &mut statement.record;
        record.categories.insert("EXTRA".parse().unwrap());
    });
    check_withdrawal(false, |statement| {
        let until = statement.record.valid_until;
        statement.record.valid_until = until.plus_millis(1);
    });
}

#[test]
fn a_restored_record_is_stopped_by_a_withdrawal_that_knows_more() {
    check_withdrawal(true, |statement| {
        let record = &mut statement.record;
        let last = record.categories.pop_last().unwrap();
        record.special.remove(&last);
        record.valid_until = NOW.plus_millis(DAY_MILLIS);
        record.version = 3;
    });
}

#[test]
fn only_an_ended_record_cannot_be_stopped() {
    for state in ConsentState::ALL.iter().copied() {
        let mut old = given().record;
        old.state = state;
        for now in [NOW, old.valid_until] {
            let outcome = check_withdrawn(&old, &withdrawal(), now);
            let expected = state == ConsentState::Given;
            assert_eq!(
                matches!(outcome, Outcome::Permitted(())),
                expected,
                "{state:?} at {now}"
            );
        }
    }
}
