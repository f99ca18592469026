//! Nothing that the caller was not told stands in a line's open part, and the closed one has one shape.
//!
//! Must never look at a part otherwise than as the octets that are hashed and sealed.

use super::*;
use crate::json::canonical;
use crate::limits::CLOSED_PADDING_BYTES;
use serde_json::{Value, json};

struct Sevens;

impl Random for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn entry(subject: Subject) -> Entry {
    Entry {
        id: EntryId::from_slice(&[1; 16]).unwrap(),
        nonce: [2; 16],
        closed_nonce: [3; 16],
        trace: Trace::draw(&Sevens),
        action: "Prepare",
        start: Timestamp::from_millis(1),
        end: Timestamp::from_millis(2),
        caller: (
            "00000099000000001000/main".parse().unwrap(),
            "ww".to_owned(),
        ),
        written_by: ("00000099000000009000".to_owned(), "0.1.0"),
        directory_version: 1,
        subject,
    }
}

/// Both parts, as they are hashed.
fn parts(subject: Subject) -> (String, String) {
    let entry = entry(subject);
    let closed = entry.closed_part().unwrap();
    let open = entry.open_part(&[9; 32]).unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (text(open), text(closed))
}

fn read(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(canonical(&value), text, "canonical already");
    value
}

fn policy(code: &str) -> Determining {
    Determining {
        policy: format!("deny-{}", code.to_lowercase()),
        permits: false,
        code: code.to_owned(),
        article: "AVG 7".to_owned(),
    }
}

/// A refusal that looked at everything: each member that a line can have.
fn full(audience: Audience, codes: &[Reason]) -> Subject {
    Subject {
        audience,
        handover: HandoverId::from_slice(&[4; 16]),
        notice: NoticeId::from_slice(&[5; 16]),
        sender: "00000099000000001000/main".parse().ok(),
        recipient: "00000099000000005000/main".parse().ok(),
        purpose: "HANDOVER".parse().ok(),
        basis: Some(("CONSENT".to_owned(), "AVG 6(1)(a)".to_owned())),
        processing_activity: Some("urn:sluis:activity:test:1".to_owned()),
        person: Some(Tag::new([3; 16])),
        consent: ConsentId::from_slice(&[6; 16]).map(|id| (id, 2)),
        statement_sha256: Some([8; 32]),
        labels: vec!["werk.ervaring".parse().unwrap()],
        determining: codes.iter().map(|code| policy(code.code())).collect(),
        codes: codes.to_vec(),
        policy_set: Some([5; 32]),
        event_code: Some("OBJECT"),
        finding: Some("MISMATCH"),
        ..Subject::default()
    }
}

#[test]
fn a_line_is_sorted_json_with_the_standard_names() {
    let (open, closed) = parts(Subject {
        codes: vec![Reason::NoAgreement],
        person: Some(Tag::new([3; 16])),
        ..Subject::default()
    });
    let (open, closed) = (read(&open), read(&closed));
    for name in [
        "trace_id",
        "span_id",
        "name",
        "status",
        "start_time",
        "end_time",
        "attributes",
    ] {
        assert!(open.get(name).is_some(), "{name} is compulsory in LDV");
    }
    assert_eq!(open["status"], "Unset");
    let attributes = &open["attributes"];
    assert_eq!(
        attributes["dpl.core.processing_activity_id"], "urn:sluis:activity:gateway:1:Prepare",
        "compulsory in LDV, also without a register entry"
    );
    assert_eq!(attributes["handover.code"], "NO_AGREEMENT");
    assert_eq!(attributes[CLOSED_SHA256], "09".repeat(32));
    let closed = &closed["attributes"];
    assert_eq!(closed["dpl.core.data_subject_id"], "03".repeat(16));
    assert!(attributes.get("dpl.core.data_subject_id").is_none());
}

#[test]
fn only_ldv_and_adl_and_our_own_keys_occur() {
    let peer: Oin = "00000099000000001000".parse().unwrap();
    let (open, closed) = parts(Subject {
        batch: Some((2, 1)),
        batch_reasons: BTreeMap::from([(Reason::QuotaExceeded, 1)]),
        searched: Some(Searched {
            handover: HandoverId::from_slice(&[4; 16]),
            peer: Some(peer),
            purpose: "HANDOVER".parse().ok(),
            person: Some(Tag::new([3; 16])),
            findings: true,
            from: Some(Timestamp::from_millis(3)),
            until: Some(Timestamp::from_millis(4)),
        }),
        entry: EntryId::from_slice(&[6; 16]),
        repeat: true,
        ..full(Audience::Sides, &[])
    });
    for part in [&open, &closed] {
        let part = read(part);
        for key in part["attributes"].as_object().unwrap().keys() {
            let known = ["dpl.core.", "adl.core.", "handover."]
                .iter()
                .any(|p| key.starts_with(p));
            assert!(known, "{key}");
        }
    }
    let attributes = &read(&open)["attributes"];
    for key in ["policies", "information", "configuration"] {
        let key = format!("adl.core.{key}");
        assert!(attributes.get(&key).is_some(), "{key}");
    }
    for (key, value) in [
        ("batch_reasons", json!({ "QUOTA_EXCEEDED": 1 })),
        ("searched_peer", json!("00000099000000001000")),
        ("searched_purpose", json!("HANDOVER")),
        ("searched_subject", json!("03".repeat(16))),
        ("searched_findings", json!(true)),
        ("searched_from", json!(3)),
        ("searched_until", json!(4)),
        ("repeat", json!(true)),
    ] {
        assert_eq!(attributes[format!("handover.{key}")], value, "{key}");
    }
    for key in ["handover.entry", "handover.searched_handover"] {
        assert!(attributes.get(key).is_some(), "{key}");
    }
}

#[test]
fn the_closed_part_has_one_shape_whatever_it_says() {
    let lines = [
        Subject::default(),
        full(Audience::Sides, &[]),
        full(Audience::Sender, &[Reason::LabelsNoneAllowed]),
        full(Audience::Caller, &[Reason::ConsentNotActive]),
        full(Audience::Nobody, &[Reason::ConsentMissing]),
        full(
            Audience::Nobody,
            &[Reason::ConsentNotActive, Reason::ObjectionPending],
        ),
    ];
    let members =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let first = read(&parts(lines[0].clone()).1);
    for line in lines {
        let audience = line.audience;
        let (_, closed) = parts(line);
        assert_eq!(closed.len(), CLOSED_PADDING_BYTES, "{audience:?}");
        let closed = read(&closed);
        assert_eq!(members(&closed), members(&first), "{audience:?}");
        let attributes = members(&closed["attributes"]);
        assert_eq!(attributes, members(&first["attributes"]), "{audience:?}");
    }
    // What does not fit goes to the next multiple.
    let many = vec![Reason::ConsentMissing; 64];
    let (_, closed) = parts(full(Audience::Nobody, &many));
    assert!(closed.len() > CLOSED_PADDING_BYTES);
    assert_eq!(closed.len() % CLOSED_PADDING_BYTES, 0);
}

#[test]
fn a_uniform_refusal_is_open_as_it_was_told_and_closed_as_it_is() {
    let causes = [
        full(Audience::Nobody, &[Reason::ConsentMissing]),
        full(
            Audience::Nobody,
            &[Reason::ConsentNotActive, Reason::ObjectionPending],
        ),
        Subject {
            consent: None,
            person: None,
            policy_set: None,
            labels: Vec::new(),
            ..full(Audience::Nobody, &[Reason::NotAvailable])
        },
    ];
    let opens: Vec<String> = causes.iter().map(|line| parts(line.clone()).0).collect();
    for open in &opens {
        assert_eq!(open, &opens[0], "not an octet differs");
    }
    let open = read(&opens[0]);
    let attributes = &open["attributes"];
    assert_eq!(attributes["handover.code"], "NOT_AVAILABLE");
    assert_eq!(attributes["handover.decision"], "refused");
    assert_eq!(attributes["handover.purpose"], "HANDOVER", "as asked");
    assert_eq!(
        open["body"]["adl.core.response"],
        json!({ "decision": false, "context": { "codes": ["NOT_AVAILABLE"], "determining": [] } })
    );
    for name in ["handover.id", "handover.article", "adl.core.policies"] {
        assert!(attributes.get(name).is_none(), "{name}");
    }
    let closed = read(&parts(causes[1].clone()).1);
    let (attributes, response) = (
        &closed["attributes"],
        &closed["body"]["adl.core.response"]["context"],
    );
    assert_eq!(attributes["handover.code"], "CONSENT_NOT_ACTIVE");
    assert_eq!(attributes["handover.consent_version"], 2);
    assert_eq!(attributes["adl.core.policies"]["cedar"], "05".repeat(32));
    assert_eq!(
        response["codes"],
        json!(["CONSENT_NOT_ACTIVE", "OBJECTION_PENDING"])
    );
    assert_eq!(response["determining"].as_array().unwrap().len(), 2);
}

#[test]
fn the_open_part_never_has_what_depends_on_the_person() {
    for audience in [
        Audience::Sides,
        Audience::Sender,
        Audience::Caller,
        Audience::Nobody,
    ] {
        let line = full(
            audience,
            &[Reason::LabelsNoneAllowed, Reason::ConsentNotActive],
        );
        let (open, closed) = parts(line);
        let consent = ConsentId::from_slice(&[6; 16]).unwrap().to_string();
        for secret in ["CONSENT_NOT_ACTIVE", "data_subject", consent.as_str()] {
            assert!(!open.contains(secret), "{audience:?}: {secret}");
            assert!(closed.contains(secret), "{audience:?}: {secret}");
        }
        // What the caller alone was told says nothing about the exchange either.
        let names_it = open.contains("00000099000000005000/main");
        assert_eq!(names_it, audience != Audience::Caller, "{audience:?}");
        let has_id = open.contains("\"handover.id\"");
        assert_eq!(
            has_id,
            matches!(audience, Audience::Sides | Audience::Sender),
            "{audience:?}"
        );
    }
}

#[test]
fn a_typed_refusal_is_open_with_the_policy_of_the_code_that_was_told() {
    let (open, _) = parts(full(
        Audience::Sender,
        &[Reason::LabelsNoneAllowed, Reason::ConsentNotActive],
    ));
    let open = read(&open);
    let context = &open["body"]["adl.core.response"]["context"];
    assert_eq!(context["codes"], json!(["LABELS_NONE_ALLOWED"]));
    let determining = context["determining"].as_array().unwrap();
    assert_eq!(determining.len(), 1);
    assert_eq!(determining[0]["policy"], "deny-labels_none_allowed");
}

#[test]
fn years_begin_where_the_one_before_ends() {
    for year in [1970, 2026, 2028, 2100] {
        let begin = begin_of_year(year);
        assert_eq!(year_of(begin), year);
        assert_eq!(year_of(begin.plus_millis(-1)), year - 1);
    }
    assert_eq!(begin_of_year(i64::MAX), Timestamp::from_millis(0));
    assert_eq!(year_of(Timestamp::from_millis(i64::MAX)), 1970);
}

#[test]
fn a_traceparent_is_continued_and_a_wrong_one_begins_anew() {
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = Trace::continued(given, &Sevens);
    assert_eq!(
        trace.traceparent(),
        "00-0af7651916cd43dd8448eb211c80319c-0707070707070707-01"
    );
    for wrong in [
        "",
        "00-00-00-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(
            Trace::continued(wrong, &Sevens),
            Trace::draw(&Sevens),
            "{wrong}"
        );
    }
    let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    assert_eq!(Trace::continued(&zero, &Sevens), Trace::draw(&Sevens));
}

#[test]
fn a_line_that_is_too_long_is_refused() {
    let labels: Vec<Label> = (0..8_000)
        .map(|n| format!("label.number{n}").parse().unwrap())
        .collect();
    let long = |audience| {
        let labels = labels.clone();
        entry(Subject {
            audience,
            labels,
            ..Subject::default()
        })
    };
    assert_eq!(long(Audience::Sides).open_part(&[9; 32]), Err(EntryTooLong));
    assert_eq!(long(Audience::Nobody).closed_part(), Err(EntryTooLong));
}
