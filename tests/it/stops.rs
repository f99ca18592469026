//! State first, consequences after: from a stop's answer on nothing that was made before moves, also when consent is
//! given anew; keys, inboxes and notices follow, each handover with its own line.
//!
//! Must never wait for what follows before it looks at what is decided.

use crate::consent::{Scene, withdrawal};
use crate::database::Beside;
use crate::desk::{Desk, request_id};
use crate::house::{House, enrol, person, preparation, reason, values};
use client::{Client, ClientError};
use rules::consent::{ConsentState, Statement, StatementEvent};
use rules::handover::State;
use rules::id::{Category, HandoverId, PeerKind};
use rules::limits::{LINES_PER_DAY, OPEN_HANDOVERS_MAX, QUESTIONS_MAX};
use rules::reason::Reason;
use std::time::{Duration, Instant};
use wire::audit::v1::SearchEntriesRequest;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::handover::v1::{ObjectToHandoverRequest, ObjectionDecision};

/// How long a stop may take, whatever hangs on it.
const STOP_MAX: Duration = Duration::from_secs(1);

/// The statement by which the person says no.
fn refusal(scene: &Scene, writer: &str) -> Statement {
    let mut statement = scene.statement("vakbond", PeerKind::Vakbond, writer);
    statement.event = StatementEvent::Refused;
    statement.stop_code = None;
    let record = &mut statement.record;
    record.state = ConsentState::Refused;
    record.categories.clear();
    record.special.clear();
    record.waiver = None;
    statement
}

async fn give(scene: &Scene) -> Statement {
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let portal = &scene.portal;
    portal
        .register_consent(&scene.number, &given)
        .await
        .unwrap();
    given
}

async fn state(client: &Client, id: &HandoverId) -> State {
    let number = client.show(id).await.unwrap().handover.unwrap().state;
    State::from_number(number).unwrap()
}

/// What the log has of one handover, newest first.
async fn lines(house: &House, id: &HandoverId) -> Vec<String> {
    let officer = house.identity("officer").client().unwrap();
    let question = SearchEntriesRequest {
        handover_id: Some(id.bytes().to_vec()),
        ..SearchEntriesRequest::default()
    };
    let found = officer.search_log(question).await.unwrap();
    found
        .entries
        .into_iter()
        .map(|entry| entry.action)
        .collect()
}

#[track_caller]
fn check_stopped<T: std::fmt::Debug>(answer: Result<T, ClientError>) {
    let reason = reason(answer);
    let expected = [Reason::StateForbidsEvent, Reason::RevisionMismatch];
    assert!(expected.contains(&reason), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_before_a_stop_stays_ended_when_consent_is_given_anew() {
    let scene = Scene::set().await;
    let given = give(&scene).await;
    let released = scene.released(&scene.who).await;
    let accepted = scene.prepare(&scene.who).await.unwrap();
    let summary = values(&[("werk.denkniveau", "4"), ("doelgroep.route", "WERKNEMER")]);
    scene.union.offer(&accepted, &summary).await.unwrap();
    scene.desk.accept(&accepted).await.unwrap();
    let stopped = scene.portal.withdraw_consent(&withdrawal(&given, 2)).await;
    assert_eq!(stopped.unwrap().receipt.ended_handovers, 2);
    // At once, whether or not anything followed yet.
    give(&scene).await;
    check_stopped(scene.desk.fetch(&released).await);
    check_stopped(scene.desk.complete(&released, "2026-01-01").await);
    check_stopped(scene.desk.accept(&accepted).await);
    for id in [&released, &accepted] {
        assert_eq!(state(&scene.union, id).await, State::Withdrawn);
    }
    let anew = scene.released(&scene.who).await;
    scene.house.settle().await;
    scene.desk.fetch(&anew).await.unwrap();
    assert_eq!(state(&scene.union, &anew).await, State::Released);
    for id in [&released, &accepted] {
        assert_eq!(state(&scene.union, id).await, State::Withdrawn);
        let lines = lines(&scene.house, id).await;
        assert!(lines.iter().any(|action| action == "Withdraw"), "{lines:?}");
    }
    let mut broker = Beside::of(&scene.house.path().join("processes/broker")).await;
    let keys = "SELECT COUNT(*) FROM handover WHERE wrapped_key IS NOT NULL";
    assert_eq!(broker.number(keys).await, 1, "the key of what goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_ends_what_stands_and_a_desk_hears_the_same_whatever_stood() {
    let scene = Scene::set().await;
    let mut heard = Vec::new();
    for stands in [true, false] {
        let given = if stands {
            Some(give(&scene).await)
        } else {
            None
        };
        let released = match given {
            Some(_) => Some(scene.released(&scene.who).await),
            None => None,
        };
        let no = refusal(&scene, "vakbond");
        let told = scene.union.assist_consent(&scene.who, &no).await.unwrap();
        let receipt = told.receipt;
        heard.push((
            receipt.state,
            receipt.version,
            receipt.ended_handovers,
            receipt.to_follow,
        ));
        if let (Some(given), Some(released)) = (given, released) {
            check_stopped(scene.desk.fetch(&released).await);
            let standing = scene.portal.get_consent(&given.record.id).await.unwrap();
            assert_eq!(standing.record.state, ConsentState::Withdrawn);
        }
        assert_eq!(
            reason(scene.prepare(&scene.who).await),
            Reason::NotAvailable
        );
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], (ConsentState::Refused, 1, 0, 0));
    // At the portal likewise, for the person who logged in.
    give(&scene).await;
    let released = scene.released(&scene.who).await;
    let no = refusal(&scene, "portal");
    scene
        .portal
        .register_consent(&scene.number, &no)
        .await
        .unwrap();
    check_stopped(scene.desk.fetch(&released).await);
    // Another organisation's desk can't, whatever its right.
    let other = scene.house.client("elders").await;
    let stranger = crate::house::nobody(&other, "vreemd");
    let no = refusal(&scene, "elders");
    assert!(other.assist_consent(&stranger, &no).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_a_consent_that_a_desk_replaced_ends_what_stands() {
    let scene = Scene::set().await;
    let given = give(&scene).await;
    let helped = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    let assisted = scene.union.assist_consent(&scene.who, &helped).await;
    assisted.unwrap();
    let released = scene.released(&scene.who).await;
    let seen = withdrawal(&given, 2);
    let stopped = scene.portal.withdraw_consent(&seen).await.unwrap();
    assert_eq!(stopped.receipt.ended_handovers, 1);
    check_stopped(scene.desk.fetch(&released).await);
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::NotAvailable
    );
    let again = scene.portal.get_consent(&helped.record.id).await.unwrap();
    assert_eq!(again.record.state, ConsentState::Withdrawn);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_beyond_the_quota_is_done_and_its_line_is_counted() {
    let scene = Scene::set().await;
    let given = give(&scene).await;
    // Counted on this day.
    scene.prepare(&scene.who).await.unwrap();
    let mut broker = Beside::of(&scene.house.path().join("processes/broker")).await;
    let full = "UPDATE relation_subject SET sender_lines = 300, \
                lines_day = (SELECT MAX(lines_day) FROM relation_subject)";
    assert!(broker.execute(full).await >= 1);
    let no = refusal(&scene, "vakbond");
    scene.union.assist_consent(&scene.who, &no).await.unwrap();
    let ended = scene.portal.get_consent(&given.record.id).await.unwrap();
    assert_eq!(ended.record.state, ConsentState::Withdrawn);
    let folded = "SELECT CAST(SUM(folded) AS BIGINT) FROM relation_subject";
    assert_eq!(broker.number(folded).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_a_clock_counted_which_was_ahead_keeps_nobody_waiting_for_it() {
    let scene = Scene::set().await;
    give(&scene).await;
    scene.prepare(&scene.who).await.unwrap();
    let mut broker = Beside::of(&scene.house.path().join("processes/broker")).await;
    let ahead = "UPDATE relation_subject SET sender_lines = 300, recipient_lines = 300, \
                 lines_day = lines_day + 40 WHERE lines_day > 0";
    assert!(broker.execute(ahead).await >= 1);
    scene.prepare(&scene.who).await.unwrap();
    let counted = "SELECT MIN(sender_lines) FROM relation_subject WHERE lines_day > 0";
    assert!(broker.number(counted).await < 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_object_twice_is_to_object_once() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let portal = house.identity("portal").client().unwrap();
    let who = enrol(&uwv, "ww-11", 11).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(uwv.prepare(&who, &asked).await.unwrap().receipt.handover);
    }
    let first = portal.object(&all[0]).await.unwrap();
    house.settle().await;
    for _ in 0..20 {
        let again = portal.object(&all[0]).await.unwrap();
        assert_eq!(again.revision, first.revision);
        assert_eq!(again.sealed_person.len(), 120, "one shape");
    }
    house.settle().await;
    for id in &all {
        let shown = uwv.show(id).await.unwrap().handover.unwrap();
        assert_eq!(shown.revision, first.revision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_handovers_and_questions_of_one_person_have_a_limit() {
    let scene = Scene::set().await;
    let nobody = person("niemand");
    scene.union.enrol_without_number(&nobody).await.unwrap();
    for who in [&scene.who, &nobody] {
        let ask = async || {
            let to = scene.asked();
            let categories: [Category; 1] = ["IDENTITY".parse().unwrap()];
            let union = &scene.union;
            union
                .request_consent(who, &to.recipient, &to.purpose, &categories)
                .await
        };
        for _ in 0..QUESTIONS_MAX {
            ask().await.unwrap();
        }
        assert_eq!(reason(ask().await), Reason::TooManyOpen, "known or not");
    }
    give(&scene).await;
    for _ in 0..OPEN_HANDOVERS_MAX {
        scene.prepare(&scene.who).await.unwrap();
    }
    assert_eq!(reason(scene.prepare(&scene.who).await), Reason::TooManyOpen);
    assert_eq!(
        reason(scene.prepare(&nobody).await),
        Reason::NotAvailable,
        "consent is judged first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_to_a_person_has_a_quota_and_stopping_has_none() {
    let scene = Scene::set().await;
    let given = give(&scene).await;
    let nobody = person("niemand");
    scene.union.enrol_without_number(&nobody).await.unwrap();
    let released = scene.released(&scene.who).await;
    let mut written = 2;
    while written < LINES_PER_DAY {
        let id = scene.prepare(&scene.who).await.unwrap();
        let mistake = rules::handover::CancelCode::Mistake;
        scene.union.cancel(&id, mistake).await.unwrap();
        written += 1;
    }
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::TooManyLines
    );
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::TooManyLines
    );
    for _ in 0..LINES_PER_DAY {
        assert_eq!(reason(scene.prepare(&nobody).await), Reason::NotAvailable);
    }
    assert_eq!(
        reason(scene.prepare(&nobody).await),
        Reason::TooManyLines,
        "known or not"
    );
    let mut broker = Beside::of(&scene.house.path().join("processes/broker")).await;
    let folded = "SELECT CAST(SUM(folded) AS BIGINT) FROM relation_subject";
    assert_eq!(broker.number(folded).await, 3);
    // The other side reads on, and the person stops.
    scene.desk.fetch(&released).await.unwrap();
    scene
        .portal
        .withdraw_consent(&withdrawal(&given, 2))
        .await
        .unwrap();
    check_stopped(scene.desk.fetch(&released).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upheld_objection_ends_all_that_was_made_before_it() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let portal = house.identity("portal").client().unwrap();
    let officer = house.identity("uwv-fg").client().unwrap();
    let who = enrol(&uwv, "ww-9", 9).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = uwv.prepare(&who, &asked).await.unwrap().receipt.handover;
        let summary = values(&[("werk.denkniveau", "4")]);
        uwv.offer(&id, &summary).await.unwrap();
        ids.push(id);
    }
    portal.object(&ids[0]).await.unwrap();
    for id in &ids {
        assert_eq!(reason(desk.fetch_offer(id).await), Reason::ObjectionPending);
    }
    house.settle().await;
    let mut broker = Beside::of(&house.path().join("processes/broker")).await;
    let paused =
        "SELECT COUNT(*) FROM handover WHERE deadline_at IS NULL AND remaining_millis IS NOT NULL";
    assert_eq!(broker.number(paused).await, 3, "every clock stands still");
    let upheld = officer.decide_objection(&ids[0], ObjectionDecision::Uphold);
    upheld.await.unwrap();
    for id in &ids {
        assert_eq!(state(&uwv, id).await, State::Cancelled);
        check_stopped(desk.accept(id).await);
    }
    let anew = uwv.prepare(&who, &asked).await.unwrap().receipt.handover;
    house.settle().await;
    assert_eq!(state(&uwv, &anew).await, State::Prepared);
    for id in &ids[1..] {
        let lines = lines(&house, id).await;
        assert!(
            lines.iter().any(|action| action == "UpholdObjection"),
            "{lines:?}"
        );
        assert!(lines.iter().any(|action| action == "Object"), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_answered_within_a_second_whatever_hangs_on_it() {
    let scene = Scene::set().await;
    let given = give(&scene).await;
    for _ in 0..OPEN_HANDOVERS_MAX {
        scene.prepare(&scene.who).await.unwrap();
    }
    let begun = Instant::now();
    let stopped = scene.portal.withdraw_consent(&withdrawal(&given, 2)).await;
    let with_limit = begun.elapsed();
    assert_eq!(stopped.unwrap().receipt.ended_handovers, OPEN_HANDOVERS_MAX);
    scene.house.settle().await;
    let given = give(&scene).await;
    scene.prepare(&scene.who).await.unwrap();
    let mut broker = Beside::of(&scene.house.path().join("processes/broker")).await;
    assert_eq!(broker.copy_the_open_handover().await, 20_000);
    let begun = Instant::now();
    let stopped = scene.portal.withdraw_consent(&withdrawal(&given, 2)).await;
    let with_many = begun.elapsed();
    let ended = stopped.unwrap().receipt.ended_handovers;
    assert_eq!(ended, 20_001);
    println!(
        "a stop with {OPEN_HANDOVERS_MAX} handovers: {with_limit:?}; with {ended}: {with_many:?}"
    );
    assert!(with_limit < STOP_MAX && with_many < STOP_MAX);
    let begun = Instant::now();
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::NotAvailable
    );
    println!("Prepare after it: {:?}", begun.elapsed());
}

/// Objects as the client library does when it sends again; gives the reason of a refusal, or nothing.
async fn object_again(desk: &Desk, handover: &HandoverId, sealed_person: Vec<u8>) -> String {
    let mut service = HandoverServiceClient::new(desk.connection.channel());
    let request = ObjectToHandoverRequest {
        request_id: request_id(),
        handover_id: handover.bytes().to_vec(),
        sealed_person,
    };
    let answer = service.object_to_handover(request).await;
    answer.map_or_else(|status| crate::house::reason_of(&status), |_| String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_sent_again_stands_also_where_the_person_is_gone() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let portal = house.identity("portal").client().unwrap();
    let who = enrol(&uwv, "ww-10", 10).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let handover = uwv.prepare(&who, &asked).await.unwrap().receipt.handover;
    let sealed = portal.object(&handover).await.unwrap().sealed_person;
    assert_eq!(sealed.len(), 120);
    // As a backup from before leaves it: neither the handover nor the person.
    let mut broker = Beside::of(&house.path().join("processes/broker")).await;
    for gone in ["DELETE FROM handover", "DELETE FROM relation_subject"] {
        assert!(broker.execute(gone).await >= 1, "{gone}");
    }
    broker.close().await;
    let (portal, other) = (
        Desk::with(&house, "portal", portal),
        Desk::of(&house, "regio").await,
    );
    let mut changed = sealed.clone();
    changed[60] ^= 1;
    assert_eq!(
        object_again(&portal, &handover, Vec::new()).await,
        "NOT_AVAILABLE"
    );
    assert_eq!(
        object_again(&portal, &handover, changed).await,
        "INVALID_REQUEST"
    );
    assert_eq!(
        object_again(&other, &handover, sealed.clone()).await,
        "RIGHT_MISSING"
    );
    assert_eq!(object_again(&portal, &handover, sealed).await, "");
    assert_eq!(
        reason(uwv.prepare(&who, &asked).await),
        Reason::ObjectionPending
    );
}
