//! A statement reads back exactly, and no second text says the same.
//!
//! Must never be made to pass by a reader that is more lenient.

use super::super::*;
use super::{NOW, given};
use crate::id::ConsentId;

/// The canonical text of a statement with a waiver.
fn text() -> String {
    let mut statement = given();
    statement.record.waiver = Some(SecrecyWaiver {
        ground: "SUWI_74_2_B".to_owned(),
        text_sha256: [3; 32],
        given_at: NOW,
    });
    let octets = statement.canonical_json();
    assert_eq!(Statement::parse(&octets).unwrap(), statement);
    String::from_utf8(octets).unwrap()
}

#[track_caller]
fn check_unread(from: &str, to: &str, field: &str) {
    let text = text();
    assert!(text.contains(from), "{from} must be there to be changed");
    let changed = text.replacen(from, to, 1);
    let error = Statement::parse(changed.as_bytes()).unwrap_err();
    assert_eq!(error.field, field, "{changed}");
}

#[test]
fn a_statement_has_one_spelling() {
    check_unread("{", "{ ", "json");
    check_unread("}", "} ", "json");
    check_unread("\"state\":\"GIVEN\"", "\"state\":\"\\u0047IVEN\"", "json");
    check_unread("\"version\":1}", "\"version\":1.0}", "json");
    check_unread("\"version\":1}", "\"version\":1e0}", "json");
    check_unread("\"version\":1}", "\"version\":-0}", "json");
    check_unread("\"version\":1}", "\"version\":\"1\"}", "json");
    check_unread(
        "\"assisted_by\":\"\",\"authentication_level\":\"substantial\"",
        "\"authentication_level\":\"substantial\",\"assisted_by\":\"\"",
        "json",
    );
    check_unread("0123-4567", "01234567", "json");
    check_unread("CDEF\"", "cdef\"", "json");
    check_unread(
        &"03".repeat(32),
        &"0G".repeat(32),
        "secrecy_waiver.text_sha256",
    );
    check_unread(
        &"03".repeat(32),
        &"03".repeat(31),
        "secrecy_waiver.text_sha256",
    );
}

/// Every member of every object: left out, given twice, joined by one that nobody knows.
#[test]
fn no_member_may_lack_or_stand_twice_or_be_unknown() {
    fn visit(value: &serde_json::Value, names: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    names.push(format!("\"{name}\":{}", crate::json::canonical(value)));
                    visit(value, names);
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| visit(item, names)),
            _ => {}
        }
    }
    let text = text();
    let mut members = Vec::new();
    visit(&serde_json::from_str(&text).unwrap(), &mut members);
    assert!(members.len() > 40, "all members were found");
    for member in members {
        for changed in [
            text.replacen(&format!("{member},"), "", 1),
            text.replacen(&format!(",{member}"), "", 1),
            text.replacen(&member, &format!("{member},{member}"), 1),
            text.replacen(&member, &format!("{member},\"zzz\":1"), 1),
        ] {
            let is_same = changed == text;
            assert_eq!(
                Statement::parse(changed.as_bytes()).is_ok(),
                is_same,
                "{changed}"
            );
        }
    }
}

#[test]
fn members_that_say_the_same_must_agree() {
    check_unread(
        "\"schema_version\":\"1\"",
        "\"schema_version\":\"2\"",
        "schema_version",
    );
    check_unread("eu-gdpr:A6-1-a", "eu-gdpr:A6-1-e", "lawful_basis");
    let shown = given().record.id;
    let other = ConsentId::from_slice(&[6; 16]).unwrap().to_string();
    check_unread(
        &format!("\"pii_principal_id\":\"{shown}\""),
        &format!("\"pii_principal_id\":\"{other}\""),
        "pii_principal_id",
    );
    check_unread(
        "\"role\":\"recipient\"",
        "\"role\":\"sender\"",
        "pii_controllers",
    );
    check_unread(
        "{\"oin\":\"00000099000000002000\",\"role\":\"recipient\"}",
        "{\"oin\":\"00000099000000002000\",\"role\":\"recipient\"},{\"oin\":\"00000099000000003000\",\"role\":\"recipient\"}",
        "pii_controllers",
    );
    check_unread(
        "\"recipient\":\"00000099000000002000/neutraal\"",
        "\"recipient\":[\"00000099000000002000/neutraal\",\"00000099000000003000/main\"]",
        "json",
    );
    check_unread(
        "\"pii_information\":[",
        "\"pii_information\":[{\"category\":\"WORK\",\"special\":false},",
        "pii_information",
    );
    check_unread(
        "\"special_basis\":\"eu-gdpr:A9-2-a\"",
        "\"special_basis\":\"\"",
        "special_basis",
    );
}

#[test]
fn values_outside_their_list_or_range_are_refused() {
    check_unread("\"state\":\"GIVEN\"", "\"state\":\"given\"", "state");
    check_unread("\"consent_given\"", "\"consent_taken\"", "event.event_type");
    check_unread("\"portal\",", "\"letter\",", "collection_method");
    check_unread("\"substantial\"", "\"enough\"", "authentication_level");
    check_unread(
        "\"language\":\"nl\"",
        "\"language\":\"NL\"",
        "privacy_notice.language",
    );
    check_unread(
        "\"assisted_by\":\"\"",
        "\"assisted_by\":\"nobody\"",
        "assisted_by",
    );
    check_unread("\"supersedes\":\"\"", "\"supersedes\":\"x\"", "supersedes");
    check_unread("\"order_id\":\"\"", "\"order_id\":\"x\"", "order_id");
    check_unread("0123-4567-89AB-CDEF", "U123-4567-89AB-CDEF", "stop_code");
    check_unread(
        "\"valid_until\":1802592000000,\"version\":1}",
        "\"valid_until\":1802592000000,\"version\":9007199254740992}",
        "version",
    );
    check_unread(
        "\"valid_from\":1800000000000",
        "\"valid_from\":-9007199254740992",
        "valid_from",
    );
}
