//! The broker's own work: what is due is done, once, and a row that is broken stops no other.
//!
//! Must never wait for a deadline: the database is told that it has passed.

use crate::cli::said;
use crate::database::Beside;
use crate::house::{decisions, digits, enrol, offer};
use crate::laid::Laid;
use client::Client;
use rules::handover::{InboxKind, State};
use rules::id::HandoverId;
use std::time::{Duration, Instant};

/// How long due work may take: the broker looks every few seconds.
const SOON: Duration = Duration::from_secs(60);

/// Changes rows of the stopped broker's database; gives how many.
async fn change(laid: &Laid, statement: &'static str, handover: &HandoverId) -> u64 {
    let mut database = Beside::of(laid.home("broker")).await;
    let changed = database.execute_with(statement, handover.bytes()).await;
    database.close().await;
    changed
}

/// What a party was told of a handover, oldest first.
async fn told(client: &Client, handover: &HandoverId) -> Vec<InboxKind> {
    let mut kinds = Vec::new();
    let mut inbox = client.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        if event.handover == *handover {
            kinds.push(event.kind);
        }
    }
    kinds
}

async fn wait_for(client: &Client, handover: &HandoverId, kind: InboxKind) {
    let begun = Instant::now();
    while !told(client, handover).await.contains(&kind) {
        assert!(begun.elapsed() < SOON, "{kind:?} never came");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

const PASSED: &str = "UPDATE handover SET deadline_at = 1 WHERE handover_id = $1";
const BROKEN: &str =
    "UPDATE handover SET deadline_at = 0, body = substr(body, 1, 1) WHERE handover_id = $1";
const UNNOTICED: &str = "UPDATE handover SET undelivered_at = 1 \
     WHERE handover_id = $1 AND undelivered_at IS NOT NULL";
const UNANSWERED: &str = "UPDATE notice SET due_at = 1 WHERE handover_id = $1";
const COMPLAINT: &str = "a row that is due cannot be dealt with";

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_row_stops_no_other_and_an_unnoticed_offer_is_told_once() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let who = enrol(&uwv, "ww-1", 49).await;
    let to = laid.identity("neutraal");
    let mut offered = Vec::new();
    for _ in 0..6 {
        offered.push(offer(&uwv, &who, &to).await);
    }
    let [broken, late, unnoticed, received, opened, seen_and_late] = offered[..] else {
        panic!("six were offered")
    };
    desk.ack(&received).await.unwrap();
    for handover in [&opened, &seen_and_late] {
        desk.fetch_offer(handover).await.unwrap();
    }
    laid.kill("broker");
    assert_eq!(change(&laid, BROKEN, &broken).await, 1);
    assert_eq!(change(&laid, PASSED, &late).await, 1);
    assert_eq!(change(&laid, PASSED, &seen_and_late).await, 1);
    assert_eq!(change(&laid, UNNOTICED, &unnoticed).await, 1);
    for handover in [&received, &opened] {
        let waits = change(&laid, UNNOTICED, handover).await;
        assert_eq!(waits, 0, "the recipient took notice");
    }
    laid.start("broker").await;

    for (handover, code) in [(&late, "UNREACHABLE"), (&seen_and_late, "NOT_DECIDED")] {
        wait_for(&uwv, handover, InboxKind::Expired).await;
        let shown = uwv.show(handover).await.unwrap().handover.unwrap();
        assert_eq!(shown.state, State::Expired.number());
        assert_eq!(shown.code, code);
    }
    wait_for(&uwv, &unnoticed, InboxKind::Undelivered).await;
    assert_eq!(laid.log("broker").matches(COMPLAINT).count(), 1);
    assert!(laid.log("broker").contains(&broken.to_string()));

    // Another offer falls due, so further rounds have been run by the time that it is dealt with.
    laid.kill("broker");
    assert_eq!(change(&laid, PASSED, &received).await, 1);
    laid.start("broker").await;
    wait_for(&uwv, &received, InboxKind::Expired).await;
    assert_eq!(told(&uwv, &unnoticed).await, [InboxKind::Undelivered]);
    let shown = uwv.show(&unnoticed).await.unwrap().handover.unwrap();
    assert_eq!(shown.state, State::Offered.number(), "it stays as it was");
    let lines = decisions(&laid.officer(), &to.oin, "ReportUndelivered").await;
    assert_eq!(lines, [("permitted".to_owned(), String::new())]);
}

const FORGOTTEN: &str = "UPDATE question SET created_at = 1 WHERE question_id = $1";

/// What a person reads in the overview, in English.
fn overview(laid: &Laid, number: usize) -> String {
    let mut command = std::process::Command::new(crate::house::program());
    command
        .args(["overview", "--lang", "en"])
        .arg("--sandbox")
        .arg(laid.path());
    let told = said(&mut command, &digits(number));
    assert_eq!(told.code, 0, "{}", told.err);
    told.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_nobody_answered_lapses_and_only_the_person_is_told() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let who = enrol(&uwv, "ww-1", 56).await;
    let union = laid.identity("vakbond").party().parse().unwrap();
    let purpose = "HANDOVER".parse().unwrap();
    let categories = ["IDENTITY".parse().unwrap()];
    let mut asked = Vec::new();
    for _ in 0..2 {
        let question = uwv.request_consent(&who, &union, &purpose, &categories);
        asked.push(question.await.unwrap().id);
    }
    // A question waits under the octets of its id.
    let waiting: Vec<HandoverId> = asked
        .iter()
        .map(|id| HandoverId::from_slice(id.bytes()).unwrap())
        .collect();
    laid.kill("broker");
    assert_eq!(change(&laid, FORGOTTEN, &waiting[0]).await, 1);
    laid.start("broker").await;

    let begun = Instant::now();
    while !overview(&laid, 56).contains("lapsed") {
        assert!(begun.elapsed() < SOON, "the question never lapsed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(overview(&laid, 56).matches("lapsed").count(), 1);
    let own = laid.identity("uwv").oin;
    let lines = decisions(&laid.officer(), &own, "LapseQuestion").await;
    assert_eq!(lines, [("permitted".to_owned(), String::new())]);
    let heard = uwv.inbox(Some(String::new())).next().await.unwrap();
    assert!(heard.is_none(), "whoever asked is told nothing: {heard:?}");
    laid.kill("broker");
    assert_eq!(change(&laid, FORGOTTEN, &waiting[0]).await, 0, "it is gone");
    assert_eq!(change(&laid, FORGOTTEN, &waiting[1]).await, 1, "it waits");
}

/// The findings that an officer is shown, as action and code, newest first; by hand and by a program.
fn findings(laid: &Laid, officer: &str) -> Vec<(String, String)> {
    let told = std::process::Command::new(crate::house::program())
        .args(["--as", officer, "--json", "audit", "search", "--findings"])
        .arg("--sandbox")
        .arg(laid.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{text}");
    let answer: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let entries = answer["entries"].as_array().unwrap().iter();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .map(|entry| (text(entry, "action"), text(entry, "finding")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_notice_and_a_mismatch_are_findings_for_both_officers() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let who = enrol(&uwv, "ww-1", 54).await;
    let to = laid.identity("neutraal");
    let handover = offer(&uwv, &who, &to).await;
    desk.accept(&handover).await.unwrap();
    crate::house::release(&uwv, &handover).await.unwrap();
    desk.fetch(&handover).await.unwrap();
    assert_eq!(findings(&laid, "officer"), []);
    let label = "identiteit.naam".parse().unwrap();
    desk.report_mismatch(&handover, &[label]).await.unwrap();
    uwv.show(&handover).await.unwrap();
    uwv.cancel(&handover, rules::handover::CancelCode::Mistake)
        .await
        .unwrap();
    laid.kill("broker");
    assert_eq!(change(&laid, UNANSWERED, &handover).await, 1);
    laid.start("broker").await;
    wait_for(&uwv, &handover, InboxKind::NoticeOverdue).await;

    let expected = [
        ("MarkNoticeOverdue", "NOTICE_OVERDUE"),
        ("ReportMismatch", "MISMATCH"),
    ]
    .map(|(action, finding)| (action.to_owned(), finding.to_owned()));
    for officer in ["officer", "uwv-fg"] {
        assert_eq!(findings(&laid, officer), expected, "{officer}");
    }
}
