//! Nothing goes through that the register forbids; a consent permits only while it is given and in time.
//!
//! Must never use a register of its own where the one in `policies` will do.

mod change;
mod spelling;

use super::*;
use crate::calendar::Day;
use crate::calendar::tests::at;
use crate::clock::{Random, Timestamp};
use crate::id::{Category, ConsentId, PeerKind};
use crate::limits::{CLOCK_SKEW_MILLIS_MAX, DAY_MILLIS, ORDER_WINDOW_MILLIS_MAX};
use crate::register::Register;
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const KINDS: (PeerKind, PeerKind) = (PeerKind::Vakbond, PeerKind::Gemeente);

struct Counting;

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(place).unwrap();
        }
    }
}

fn register() -> Register {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/register.toml");
    let text = std::fs::read_to_string(path).unwrap();
    Register::parse("register.toml", &text).unwrap()
}

/// A statement as the portal makes it for a vakbond's handover to a gemeente.
fn given() -> Statement {
    let register = register();
    let purpose = "HANDOVER".parse().unwrap();
    let entry = register.entry(&purpose, KINDS.0, KINDS.1).unwrap();
    let labels = entry.labels();
    let categories: BTreeSet<Category> = register
        .categories_of(labels)
        .into_iter()
        .cloned()
        .collect();
    let classes = register.categories();
    let special = categories
        .iter()
        .filter(|category| matches!(classes[category].code(), "S9" | "N87"))
        .cloned()
        .collect();
    let waiver = entry.needs_waiver().then(|| SecrecyWaiver {
        ground: entry.secrecy_ground.clone(),
        text_sha256: [3; 32],
        given_at: NOW,
    });
    Statement {
        record: ConsentRecord {
            id: ConsentId::from_slice(&[5; 16]).unwrap(),
            notice: NoticeSeen {
                uri: entry.notice.uri.clone(),
                version: entry.notice.version,
                sha256: entry.notice.sha256,
                language: Language::Nl,
            },
            sender: "00000099000000005000/main".parse().unwrap(),
            recipient: "00000099000000002000/neutraal".parse().unwrap(),
            purpose,
            waiver,
            categories,
            special,
            method: CollectionMethod::Portal,
            authentication_level: AuthenticationLevel::Substantial,
            assisted_by: None,
            reflection_offered: true,
            valid_from: NOW,
            valid_until: NOW.plus_millis(30 * DAY_MILLIS),
            state: ConsentState::Given,
            version: 1,
            supersedes: None,
        },
        event: StatementEvent::Given,
        event_time: NOW,
        entity: (
            "00000099000000007000".parse().unwrap(),
            "portal".parse().unwrap(),
        ),
        order: None,
        stop_code: Some(StopCode::draw(&Counting)),
    }
}

#[track_caller]
fn check(expected: Option<Reason>, change: impl FnOnce(&mut Statement)) {
    let mut statement = given();
    change(&mut statement);
    let got = match check_new(&statement, &register(), KINDS, Signer::Portal, NOW) {
        Outcome::Permitted(()) => None,
        Outcome::Refused(refusal) => Some(refusal.reason),
    };
    assert_eq!(got, expected);
}

#[test]
fn only_what_the_register_allows_is_registered() {
    check(None, |_| {});
    check(Some(Reason::ConsentScopeExceeded), |statement| {
        let record = &mut statement.record;
        record.categories.insert("NOT_IN_REGISTER".parse().unwrap());
    });
    check(Some(Reason::ConsentScopeExceeded), |statement| {
        statement.record.categories.clear();
        statement.record.special.clear();
    });
    check(Some(Reason::ConsentTermExceeded), |statement| {
        statement.record.valid_until = NOW.plus_millis(4_000 * DAY_MILLIS);
    });
    check(Some(Reason::ConsentTermExceeded), |statement| {
        statement.record.valid_until = NOW;
    });
    check(Some(Reason::PrivacyNoticeOutdated), |statement| {
        statement.record.notice.version += 1;
    });
    check(Some(Reason::PrivacyNoticeOutdated), |statement| {
        statement.record.notice.sha256 = [0; 32];
    });
    check(Some(Reason::BasisMissing), |statement| {
        statement.record.purpose = "HANDHAVING".parse().unwrap();
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.stop_code = None;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.version = 2;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.event = StatementEvent::Withdrawn;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.state = ConsentState::Requested;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.assisted_by = Some(statement.entity.clone());
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.method = CollectionMethod::Phone;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.reflection_offered = false;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.special.pop_first().unwrap();
    });
    check(Some(Reason::StatementInvalid), |statement| {
        statement.record.special = statement.record.categories.clone();
    });
}

#[test]
fn a_consent_begins_now_as_far_as_clocks_agree() {
    let late = ORDER_WINDOW_MILLIS_MAX;
    let early = CLOCK_SKEW_MILLIS_MAX;
    for (millis, is_now) in [
        (-late - 1, false),
        (-late, true),
        (early, true),
        (early + 1, false),
    ] {
        let moment = NOW.plus_millis(millis);
        let outside = |reason: Reason| (!is_now).then_some(reason);
        check(outside(Reason::ConsentTermExceeded), |statement| {
            statement.record.valid_from = moment;
        });
        check(outside(Reason::StatementInvalid), |statement| {
            statement.event_time = moment;
        });
    }
}

/// Whether a consent that begins at this moment in Amsterdam may have this as its last day.
#[track_caller]
fn check_last_day(begin: &str, last: Day, expected: Option<Reason>) {
    let now = at(begin);
    let mut statement = given();
    statement.event_time = now;
    statement.record.valid_from = now;
    statement.record.valid_until = last.end().unwrap();
    if let Some(waiver) = &mut statement.record.waiver {
        waiver.given_at = now;
    }
    let got = match check_new(&statement, &register(), KINDS, Signer::Portal, now) {
        Outcome::Permitted(()) => None,
        Outcome::Refused(refusal) => Some(refusal.reason),
    };
    assert_eq!(got, expected, "from {begin} to the end of {last}");
}

#[test]
fn a_consent_holds_whole_days_in_amsterdam() {
    let register = register();
    let purpose = "HANDOVER".parse().unwrap();
    let entry = register.entry(&purpose, KINDS.0, KINDS.1).unwrap();
    let days_max = i64::from(entry.consent.as_ref().unwrap().consent_max_days);
    let exceeded = Some(Reason::ConsentTermExceeded);
    // The second and the third have a day of 23 and of 25 hours within.
    for begin in ["2026-12-01", "2026-03-01", "2026-10-01", "2026-10-25"] {
        let first: Day = begin.parse().unwrap();
        for time in ["00:00:01", "12:00", "23:59:59"] {
            let moment = format!("{begin}T{time}");
            check_last_day(&moment, first, None);
            check_last_day(&moment, first.plus(days_max - 1).unwrap(), None);
            check_last_day(&moment, first.plus(days_max).unwrap(), exceeded);
            check_last_day(&moment, first.plus(-1).unwrap(), exceeded);
        }
    }
    // The first minutes of a day in Amsterdam are the day before in UTC.
    let yesterday = "2026-11-30".parse().unwrap();
    check_last_day("2026-12-01T00:20", yesterday, exceeded);
}

#[test]
fn on_the_last_day_it_holds_and_on_the_next_no_longer() {
    let last: Day = "2027-01-31".parse().unwrap();
    let mut record = given().record;
    record.valid_until = last.end().unwrap();
    for (moment, holds) in [
        ("2027-01-31T00:00", true),
        ("2027-01-31T23:59:59", true),
        ("2027-02-01T00:00", false),
        ("2027-02-01T00:20", false),
    ] {
        assert_eq!(record.is_active(at(moment)), holds, "{moment}");
    }
    assert_eq!(Day::last_before(record.valid_until), Some(last));
}

#[test]
fn a_refusal_says_nothing_more_than_no() {
    fn refuse(statement: &mut Statement) {
        statement.event = StatementEvent::Refused;
        statement.record.state = ConsentState::Refused;
        statement.record.categories.clear();
        statement.record.special.clear();
        statement.record.waiver = None;
        statement.stop_code = None;
    }
    // It may have waited for a key holder.
    check(None, |statement| {
        refuse(statement);
        statement.event_time = NOW.plus_millis(-9 * DAY_MILLIS);
        statement.record.valid_from = statement.event_time;
        statement.record.valid_until = statement.event_time.plus_millis(DAY_MILLIS);
        statement.record.notice.version += 1;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        refuse(statement);
        statement.event_time = NOW.plus_millis(CLOCK_SKEW_MILLIS_MAX + 1);
    });
    check(Some(Reason::ConsentTermExceeded), |statement| {
        refuse(statement);
        statement.record.valid_until = NOW.plus_millis(4_000 * DAY_MILLIS);
    });
    check(None, refuse);
    check(None, |statement| {
        refuse(statement);
        statement.record.reflection_offered = false;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        let categories = statement.record.categories.clone();
        refuse(statement);
        statement.record.categories = categories;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        let code = statement.stop_code.clone();
        refuse(statement);
        statement.stop_code = code;
    });
    check(Some(Reason::StatementInvalid), |statement| {
        refuse(statement);
        statement.record.state = ConsentState::Given;
    });
}

#[test]
fn an_exchange_under_statute_takes_no_consent() {
    let kinds = (PeerKind::Uwv, PeerKind::Gemeente);
    let outcome = check_new(&given(), &register(), kinds, Signer::Portal, NOW);
    assert!(matches!(
        outcome,
        Outcome::Refused(refusal) if refusal.reason == Reason::BasisMissing
    ));
}

#[test]
fn a_desk_needs_the_right_and_the_registers_leave() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/register.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let unassisted = text.replace("assisted = true", "assisted = false");
    let unassisted = Register::parse("register.toml", &unassisted).unwrap();
    let ask = |statement: &Statement, register: &Register, assist| {
        let by = Signer::Desk { assist };
        match check_new(statement, register, KINDS, by, NOW) {
            Outcome::Permitted(()) => None,
            Outcome::Refused(refusal) => Some(refusal.reason),
        }
    };
    let register = register();
    let mut statement = given();
    statement.record.method = CollectionMethod::Desk;
    assert_eq!(
        ask(&statement, &register, true),
        Some(Reason::AssistanceNotAllowed),
        "the desk does not name itself"
    );
    let other = ("00000099000000002000", "neutraal");
    statement.record.assisted_by = Some((other.0.parse().unwrap(), other.1.parse().unwrap()));
    assert_eq!(
        ask(&statement, &register, true),
        Some(Reason::AssistanceNotAllowed),
        "the desk names another"
    );
    statement.record.assisted_by = Some(statement.entity.clone());
    assert_eq!(ask(&statement, &register, true), None);
    assert_eq!(
        ask(&statement, &register, false),
        Some(Reason::RightMissing)
    );
    assert_eq!(
        ask(&statement, &unassisted, true),
        Some(Reason::AssistanceNotAllowed)
    );
    statement.record.method = CollectionMethod::Phone;
    assert_eq!(ask(&statement, &register, true), None);
    statement.record.method = CollectionMethod::Portal;
    assert_eq!(
        ask(&statement, &register, true),
        Some(Reason::StatementInvalid)
    );
}

#[test]
fn a_waiver_is_needed_where_the_register_names_a_ground() {
    let register = register();
    let purpose = "HANDOVER".parse().unwrap();
    let kinds = (PeerKind::Uwv, PeerKind::Vakbond);
    let entry = register.entry(&purpose, kinds.0, kinds.1).unwrap();
    assert!(entry.needs_waiver());
    let labels = entry.labels();
    let categories: BTreeSet<Category> = register
        .categories_of(labels)
        .into_iter()
        .cloned()
        .collect();
    let classes = register.categories();
    let mut statement = given();
    statement.record.special = categories
        .iter()
        .filter(|category| matches!(classes[category].code(), "S9" | "N87"))
        .cloned()
        .collect();
    statement.record.categories = categories;
    statement.record.notice = NoticeSeen {
        uri: entry.notice.uri.clone(),
        version: entry.notice.version,
        sha256: entry.notice.sha256,
        language: Language::En,
    };
    let ask = |statement: &Statement| {
        matches!(
            check_new(statement, &register, kinds, Signer::Portal, NOW),
            Outcome::Permitted(())
        )
    };
    statement.record.waiver = None;
    assert!(!ask(&statement));
    statement.record.waiver = Some(SecrecyWaiver {
        ground: "ANOTHER".to_owned(),
        text_sha256: [1; 32],
        given_at: NOW,
    });
    assert!(!ask(&statement));
    if let Some(waiver) = &mut statement.record.waiver {
        waiver.ground.clone_from(&entry.secrecy_ground);
    }
    assert!(ask(&statement));
}

#[test]
fn only_given_and_in_time_permits() {
    let at = Timestamp::from_millis;
    for state in ConsentState::ALL.iter().copied() {
        let mut record = given().record;
        record.state = state;
        record.valid_from = at(10);
        record.valid_until = at(20);
        for (now, in_time) in [(9, false), (10, true), (19, true), (20, false)] {
            let expected = in_time && state == ConsentState::Given;
            assert_eq!(record.is_active(at(now)), expected, "{state:?} at {now}");
        }
    }
}

#[test]
fn codes_are_read_as_people_write_them_and_never_printed() {
    let code = StopCode::draw(&Counting);
    assert_eq!(code.shown(), "0123-4567-89AB-CDEF");
    for text in [
        "0123-4567-89AB-CDEF",
        "oi23 4567 89ab cdef",
        "OL23456789ABCDEF",
        " 0123\u{2011}4567\u{a0}89ab\u{2013}cdef\n",
    ] {
        assert_eq!(text.parse::<StopCode>().as_ref(), Ok(&code), "{text}");
    }
    for text in [
        "",
        "0123-4567-89AB-CDE",
        "0123-4567-89AB-CDEFG",
        "0123-4567-89AB-CDEU",
        "0123-4567-89AB-CDE\u{661}",
        "0123_4567_89AB_CDEF",
        "é",
    ] {
        let error = text.parse::<StopCode>().unwrap_err();
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
    assert_eq!(format!("{code:?}"), "StopCode(..)");
    assert_eq!(code.canonical(), "0123456789ABCDEF");
    let link = LinkCode::draw(&Counting);
    assert_eq!(link.shown(), "01234-56789");
    assert_eq!("oi234 56789".parse::<LinkCode>().as_ref(), Ok(&link));
    assert_eq!(format!("{link:?}"), "LinkCode(..)");
    assert!(!format!("{:?}", given()).contains("CDEF"));
}

#[test]
fn ended_consent_never_returns() {
    for from in ConsentState::ALL.iter().copied() {
        let leaves = ConsentState::ALL
            .iter()
            .any(|to| matches!(apply(from, *to), Outcome::Permitted(_)));
        assert_eq!(leaves, !from.is_terminal(), "{from:?}");
        assert_eq!(ConsentState::from_number(from.number()), Some(from));
    }
}
