//! What a partner's officer reads of a uniform refusal, and of what a person did: what the partner's desk was told.
//!
//! Must never compare less than every octet of the open part, and the length of both.

use crate::cli::{in_days, said};
use crate::consent::{Scene, withdrawal};
use crate::database::Beside;
use crate::desk::{Desk, prepare_request, request_id};
use crate::house::{
    House, bsn, digits, enrol, preparation, program, reason_of, search, without_number,
};
use client::{Client, ClientError, PersonKey, Preparation};
use rules::consent::{ConsentState, StatementEvent};
use rules::id::{EntryId, PeerKind};
use rules::limits::CLOSED_PADDING_BYTES;
use rules::reason::Reason;
use serde_json::Value;
use std::collections::BTreeMap;
use wire::audit::v1::SearchEntriesRequest;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

/// People of whom UWV may hand over none to the vakbond, each for another reason.
const KINDS: [&str; 6] = [
    "none",
    "refused",
    "withdrawn",
    "invalid",
    "expired",
    "blocked",
];

fn asked(scene: &Scene) -> Preparation {
    Preparation {
        basis: "CONSENT".parse().unwrap(),
        ..without_number(preparation(&scene.house.identity("vakbond"), None))
    }
}

/// What became of a person's consent to UWV's handing over to the vakbond.
async fn choose(scene: &Scene, kind: &str, number: usize) {
    let to = ("vakbond", PeerKind::Vakbond);
    let mut statement = scene.statement_to(("uwv", PeerKind::Uwv), to, "portal");
    match kind {
        "refused" => {
            statement.record.state = ConsentState::Refused;
            statement.event = StatementEvent::Refused;
            statement.record.categories.clear();
            statement.record.special.clear();
            statement.record.waiver = None;
            statement.stop_code = None;
        }
        "expired" => {
            statement.record.valid_until = statement.record.valid_from.plus_millis(1_500);
        }
        "blocked" => return block(scene, number),
        "none" => return,
        _ => {}
    }
    let number = bsn(number);
    let given = scene.portal.register_consent(&number, &statement);
    given.await.unwrap();
    if kind == "withdrawn" {
        let stop = withdrawal(&statement, 2);
        scene.portal.withdraw_consent(&stop).await.unwrap();
    }
    if kind == "invalid" {
        let officer = scene.house.officer();
        let invalid = officer.invalidate_consent(&statement.record.id);
        invalid.await.unwrap();
    }
}

/// At the portal itself: gives consent, and blocks the vakbond.
fn block(scene: &Scene, number: usize) {
    let give = format!(
        "consent give --from uwv --to vakbond --waive-secrecy {} --until {}",
        "--category IDENTITY --category WORK",
        in_days(30)
    );
    for words in [give.as_str(), "block vakbond"] {
        let mut command = std::process::Command::new(program());
        command.arg("--sandbox").arg(scene.house.path());
        let answer = said(command.args(words.split(' ')), &digits(number));
        assert_eq!(answer.code, 0, "{words}: {}", answer.err);
    }
}

/// The entry of a refusal to prepare.
async fn refused(uwv: &Client, who: &PersonKey, asked: &Preparation) -> EntryId {
    match uwv.prepare(who, asked).await {
        Err(ClientError::Refused(refused)) => {
            assert_eq!(refused.reason, Some(Reason::NotAvailable));
            refused.entry_id.unwrap()
        }
        other => panic!("was not refused: {other:?}"),
    }
}

/// A value in which what every line has of its own is blanked: its length stays.
fn blanked(value: &Value) -> Value {
    const OWN: [&str; 9] = [
        "entry_id",
        "nonce",
        "trace_id",
        "span_id",
        "parent_span_id",
        "timestamp",
        "start_time",
        "end_time",
        "handover.closed_sha256",
    ];
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let blank = Value::from(format!("{} octets", value.to_string().len()));
                let value = if OWN.contains(&name.as_str()) {
                    blank
                } else {
                    blanked(value)
                };
                (name.clone(), value)
            })
            .collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_reads_of_a_uniform_refusal_what_its_desk_was_told() {
    let scene = Scene::set().await;
    let uwv = scene.house.client("uwv").await;
    let own = scene.house.identity("uwv-fg").client().unwrap();
    let asked = asked(&scene);
    let nobody = crate::house::nobody(&uwv, "nobody");
    let mut people = vec![("nobody", nobody)];
    for (place, kind) in KINDS.into_iter().enumerate() {
        let number = 80 + place;
        people.push((kind, enrol(&uwv, kind, number).await));
        choose(&scene, kind, number).await;
    }
    let joint = scene.house.officer();
    tokio::time::sleep(std::time::Duration::from_millis(1_700)).await;
    let mut lines = Vec::new();
    for (kind, who) in &people {
        lines.push((*kind, refused(&uwv, who, &asked).await));
    }

    let mut shapes = Vec::new();
    let mut precise = BTreeMap::new();
    for (kind, id) in &lines {
        let shown = own.show_entry(id).await.unwrap();
        assert!(shown.closed_json.is_empty() && shown.determining.is_empty());
        assert!(shown.policy_set_sha256.is_empty());
        let open: Value = serde_json::from_slice(&shown.open_json).unwrap();
        let mut summary = shown.summary.unwrap();
        assert_eq!(summary.code, "NOT_AVAILABLE");
        summary.entry_id.clear();
        summary.time_millis = 0;
        let shape = (blanked(&open), shown.open_json.len(), summary);
        shapes.push((*kind, shape));
        let whole = joint.show_entry(id).await.unwrap();
        assert_eq!(whole.open_json, shown.open_json, "the same part");
        assert_eq!(whole.closed_json.len(), CLOSED_PADDING_BYTES, "{kind}");
        assert!(!whole.determining.is_empty());
        let summary = whole.summary.unwrap();
        assert_eq!(summary.told_code, "NOT_AVAILABLE");
        precise.insert(*kind, summary.code);
    }
    for (kind, shape) in &shapes {
        assert_eq!(shape, &shapes[0].1, "{kind}");
    }
    assert_eq!(precise["none"], "CONSENT_MISSING");
    assert_eq!(precise["withdrawn"], "CONSENT_NOT_ACTIVE");
    check_lengths(&scene, &lines).await;
    check_searches(&scene, &own, &joint, &lines).await;
}

/// What lies in the table is as long for each.
async fn check_lengths(scene: &Scene, lines: &[(&str, EntryId)]) {
    let mut beside = Beside::of(&scene.house.path().join("processes/broker")).await;
    for column in [
        "SELECT entry_id, CAST(length(open_part) AS BIGINT) FROM audit_entry",
        "SELECT entry_id, CAST(length(closed_part) AS BIGINT) FROM audit_entry",
    ] {
        let held: BTreeMap<_, _> = beside.numbered(column).await.into_iter().collect();
        let lengths = lines.iter().map(|(_, id)| held[id.bytes().as_slice()]);
        let lengths: std::collections::BTreeSet<_> = lengths.collect();
        assert_eq!(lengths.len(), 1, "{column}: {lengths:?}");
    }
    beside.close().await;
}

/// By no search does the officer find what its desks were not told, nor does it count more for one than another.
async fn check_searches(scene: &Scene, own: &Client, joint: &Client, lines: &[(&str, EntryId)]) {
    let oin = |name: &str| Some(scene.house.identity(name).oin);
    let acts = ["RegisterConsent", "WithdrawConsent", "InvalidateConsent"];
    for question in [
        SearchEntriesRequest {
            peer_oin: oin("uwv"),
            ..SearchEntriesRequest::default()
        },
        SearchEntriesRequest {
            peer_oin: oin("vakbond"),
            ..SearchEntriesRequest::default()
        },
        SearchEntriesRequest {
            purpose: Some("HANDOVER".to_owned()),
            ..SearchEntriesRequest::default()
        },
    ] {
        let found = search(own, question.clone()).await;
        let told = found.iter().filter(|line| line.action == "Prepare");
        assert_eq!(told.count(), lines.len(), "{question:?}");
        for line in &found {
            assert!(!acts.contains(&line.action.as_str()), "{line:?}");
            assert!(["", "NOT_AVAILABLE"].contains(&line.code.as_str()));
        }
        let all = search(joint, question.clone()).await;
        for act in acts {
            let line = all.iter().find(|line| line.action == act);
            let line = line.unwrap_or_else(|| panic!("{act}: {question:?}"));
            assert_eq!(line.purpose, "HANDOVER");
        }
    }
    let by_person = SearchEntriesRequest {
        subject_tag: Some(vec![7; 16]),
        ..SearchEntriesRequest::default()
    };
    let refused = own.search_log(by_person).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::RightMissing));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officers_desk_has_no_part_in_an_exchange() {
    let house = House::start().await;
    let uwv = Desk::of(&house, "uwv").await;
    let officer = house.identity("uwv-fg");
    let who = enrol(&uwv.client, "ww-1", 90).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let handover = crate::house::offer(&uwv.client, &who, &house.identity("neutraal")).await;
    let handover_id = handover.bytes().to_vec();
    let (order, ciphertext) = uwv.prepare_order(&who, &asked).await;
    let prepare = prepare_request(&asked, uwv.signed(order), &ciphertext);
    let cancel = message::CancelRequest {
        request_id: request_id(),
        handover_id: handover_id.clone(),
        expected_revision: 2,
        code: message::CancelCode::Mistake.into(),
    };
    let get = message::GetHandoverRequest {
        handover_id: handover_id.clone(),
        notices_after: Vec::new(),
    };
    let fetch = message::FetchRequest { handover_id };
    let connection = officer.connect().unwrap();
    let mut service = HandoverServiceClient::new(connection.channel());
    let watched = service.watch_inbox(message::WatchInboxRequest::default());
    let mut watched = watched.await.unwrap().into_inner();
    let answers = [
        ("Prepare", service.prepare(prepare).await.unwrap_err()),
        ("Cancel", service.cancel(cancel).await.unwrap_err()),
        ("GetHandover", service.get_handover(get).await.unwrap_err()),
        ("Fetch", service.fetch(fetch).await.unwrap_err()),
        (
            "ListInbox",
            service
                .list_inbox(message::ListInboxRequest::default())
                .await
                .unwrap_err(),
        ),
        ("WatchInbox", watched.message().await.unwrap_err()),
    ];
    let joint = house.officer();
    for (action, status) in &answers {
        assert_eq!(reason_of(status), "RIGHT_MISSING", "{action}");
        let lines = crate::house::decisions(&joint, &officer.oin, action).await;
        let expected = ("refused".to_owned(), "RIGHT_MISSING".to_owned());
        assert_eq!(lines.last(), Some(&expected), "{action}");
    }
    let shown = uwv.client.show(&handover).await.unwrap();
    assert_eq!(shown.handover.unwrap().revision, 2, "nothing happened");
}
