//! Statements read back exactly, and nothing that the register or the record before forbids goes through.

use super::*;
use crate::clock::{Random, Timestamp};
use crate::id::{Category, ConsentId, PeerKind};
use crate::limits::DAY_MILLIS;
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
    let labels = entry.labels_offer.iter().chain(&entry.labels_dossier);
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
fn a_statement_reads_back_and_has_one_spelling() {
    let statement = given();
    let text = statement.canonical_json();
    assert_eq!(Statement::parse(&text).unwrap(), statement);
    let text = String::from_utf8(text).unwrap();
    for changed in [
        text.replacen('{', "{ ", 1),
        text.replacen(
            "{\"assisted_by\":\"\",",
            "{\"assisted_by\":\"\",\"extra\":1,",
            1,
        ),
        text.replacen("\"assisted_by\":\"\",", "", 1),
        text.replacen(
            "{\"assisted_by\":\"\",",
            "{\"assisted_by\":\"\",\"assisted_by\":\"\",",
            1,
        ),
        text.replacen("\"role\":\"recipient\"", "\"role\":\"sender\"", 1),
        text.replacen("GIVEN", "given", 1),
        text.replacen("\"version\":1", "\"version\":1.0", 1),
        format!("{text} "),
    ] {
        assert_ne!(changed, text, "the change must change something");
        assert!(Statement::parse(changed.as_bytes()).is_err(), "{changed}");
    }
    let two = text.replacen(
        "\"recipient\":\"00000099000000002000/neutraal\"",
        "\"recipient\":[\"00000099000000002000/neutraal\",\"00000099000000003000/main\"]",
        1,
    );
    assert!(
        Statement::parse(two.as_bytes()).is_err(),
        "two recipients at once"
    );
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
    check(Some(Reason::ConsentTermExceeded), |statement| {
        statement.record.valid_from = NOW.plus_millis(1);
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
        statement.record.assisted_by = Some(statement.entity.clone());
    });
}

#[test]
fn a_desk_needs_the_right_and_the_registers_leave() {
    let register = register();
    let mut statement = given();
    let ask = |statement: &Statement, assist| match check_new(
        statement,
        &register,
        KINDS,
        Signer::Desk { assist },
        NOW,
    ) {
        Outcome::Permitted(()) => None,
        Outcome::Refused(refusal) => Some(refusal.reason),
    };
    assert_eq!(ask(&statement, false), Some(Reason::RightMissing));
    assert_eq!(
        ask(&statement, true),
        Some(Reason::AssistanceNotAllowed),
        "the desk does not name itself"
    );
    statement.record.assisted_by = Some(statement.entity.clone());
    let entry = register
        .entry(&statement.record.purpose, KINDS.0, KINDS.1)
        .unwrap();
    let assisted = entry.consent.as_ref().unwrap().assisted;
    let expected = (!assisted).then_some(Reason::AssistanceNotAllowed);
    assert_eq!(ask(&statement, true), expected);
}

#[test]
fn a_waiver_is_needed_where_the_register_names_a_ground() {
    let register = register();
    let purpose = "HANDOVER".parse().unwrap();
    let kinds = (PeerKind::Uwv, PeerKind::Vakbond);
    let entry = register.entry(&purpose, kinds.0, kinds.1).unwrap();
    assert!(entry.needs_waiver());
    let labels = entry.labels_offer.iter().chain(&entry.labels_dossier);
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
fn a_withdrawal_names_the_record_and_changes_nothing_else() {
    let before = given().record;
    let mut statement = given();
    statement.event = StatementEvent::Withdrawn;
    statement.stop_code = None;
    statement.record.state = ConsentState::Withdrawn;
    statement.record.version = 2;
    let ask = |old: &ConsentRecord, new: &Statement| {
        matches!(check_withdrawn(old, new, NOW), Outcome::Permitted(()))
    };
    assert!(ask(&before, &statement));
    for state in ConsentState::ALL.iter().copied() {
        let mut old = before.clone();
        old.state = state;
        assert_eq!(
            ask(&old, &statement),
            state == ConsentState::Given,
            "{state:?}"
        );
    }
    let mut other = statement.clone();
    other.record.id = ConsentId::from_slice(&[6; 16]).unwrap();
    assert!(!ask(&before, &other), "somebody else's");
    let mut other = statement;
    other.record.categories.pop_first();
    assert!(!ask(&before, &other));
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
    ] {
        assert_eq!(text.parse::<StopCode>().as_ref(), Ok(&code), "{text}");
    }
    for text in [
        "",
        "0123-4567-89AB-CDE",
        "0123-4567-89AB-CDEFG",
        "0123-4567-89AB-CDEU",
        "é",
    ] {
        let error = text.parse::<StopCode>().unwrap_err();
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
    assert_eq!(format!("{code:?}"), "StopCode(..)");
    assert_eq!(LinkCode::draw(&Counting).shown(), "01234-56789");
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
