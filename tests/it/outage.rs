//! What is killed, absent or full: nothing is half-written, nothing that was acknowledged is lost, and
//! the outbox finishes the rest once.
//!
//! Must never stop a server gently: a SIGKILL leaves it no time to tidy up.

use crate::database::Beside;
use crate::house::{
    DOSSIER, SUMMARY, bsn, decisions, enrol, lines, offer, preparation, reason, values,
};
use crate::laid::Laid;
use client::{Client, ClientError, Draft, PersonKey, RetryPolicy, Settled};
use rules::handover::{InboxKind, State};
use rules::id::HandoverId;
use rules::reason::Reason;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// The same client, which gives up after one attempt.
pub(crate) fn once(client: &Client) -> Client {
    client.with_retry(RetryPolicy {
        attempts_max: 1,
        ..RetryPolicy::default()
    })
}

/// Answers one question with a number from the broker's database.
async fn count(laid: &Laid, question: &'static str) -> i64 {
    let mut database = Beside::of(laid.home("broker")).await;
    let counted = database.number(question).await;
    database.close().await;
    counted
}

const HANDOVERS: &str = "SELECT COUNT(*) FROM handover";
const PAYLOADS: &str = "SELECT COUNT(*) FROM payload";
const PAGES: &str = "PRAGMA page_count";

/// Enrols this many persons in one batch.
pub(crate) async fn enrol_many(client: &Client, count: usize) -> Vec<PersonKey> {
    let persons: Vec<_> = (0..count)
        .map(|n| (PersonKey::new(&format!("ww-{n}")).unwrap(), bsn(100 + n)))
        .collect();
    let enrolled = client.enrol(&persons).await.unwrap();
    assert!(enrolled.iter().all(|one| one.refused.is_none()));
    persons.into_iter().map(|(person, _)| person).collect()
}

pub(crate) async fn state(client: &Client, handover: &HandoverId) -> State {
    let shown = client.show(handover).await.unwrap().handover.unwrap();
    State::from_number(shown.state).unwrap()
}

/// How often each handover was offered, as its recipient sees it.
pub(crate) async fn offered(desk: &Client) -> BTreeMap<HandoverId, usize> {
    let mut seen = BTreeMap::new();
    let mut inbox = desk.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        if event.kind == InboxKind::Offered {
            *seen.entry(event.handover).or_default() += 1;
        }
    }
    seen
}

/// Handover, sender and recipient in the lines of an action, oldest first.
async fn about(officer: &Client, oin: &str, action: &str) -> Vec<(String, String, String)> {
    let found = lines(officer, oin).await.into_iter().rev();
    let found = found.filter(|line| line.action == action);
    found
        .map(|line| {
            let handover = HandoverId::from_slice(&line.handover_id);
            let handover = handover.map(|id| id.to_string()).unwrap_or_default();
            (handover, line.sender, line.recipient)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_away_stops_everything_once_and_the_outbox_finishes_it_once() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let officer = laid.officer();
    let (own, to) = (laid.identity("uwv").oin, laid.identity("neutraal"));
    let own_party = laid.identity("uwv").party();
    let who = enrol(&uwv, "ww-1", 26).await;

    laid.kill("holder-2");
    let asked = preparation(&to, None);
    let error = once(&uwv).prepare(&who, &asked).await.unwrap_err();
    assert!(matches!(error, ClientError::Waiting { .. }), "{error:?}");
    assert_eq!(error.reason(), Some(Reason::HolderUnavailable));
    assert_eq!(count(&laid, HANDOVERS).await, 0, "nothing half-written");
    let away = ("refused".to_owned(), "HOLDER_UNAVAILABLE".to_owned());
    let refused = decisions(&officer, &own, "Prepare").await;
    assert_eq!(refused, std::slice::from_ref(&away));

    // The partner's own process ends too, and begins again with what is on its disk.
    drop(uwv);
    let uwv = laid.identity("uwv").client().unwrap();
    assert_eq!(uwv.store().waiting().len(), 1);
    laid.start("holder-2").await;
    let mut resumed = uwv.resume().await.unwrap();
    let prepared = match resumed.pop().unwrap().outcome {
        Ok(Settled::Prepared(prepared)) => prepared,
        other => panic!("{other:?}"),
    };
    assert!(resumed.is_empty());
    assert!(uwv.resume().await.unwrap().is_empty(), "nothing is left");
    assert_eq!(count(&laid, HANDOVERS).await, 1);

    let handover = prepared.receipt.handover;
    uwv.offer(&handover, &values(SUMMARY)).await.unwrap();
    desk.accept(&handover).await.unwrap();
    laid.kill("holder-1");
    uwv.show(&handover).await.unwrap();
    let released = once(&uwv).release(&handover, &values(DOSSIER)).await;
    assert_eq!(reason(released), Reason::HolderUnavailable);
    assert_eq!(state(&uwv, &handover).await, State::Accepted);
    assert_eq!(decisions(&officer, &own, "Release").await, [away]);
    assert_eq!(
        about(&officer, &own, "Release").await,
        [(handover.to_string(), own_party.clone(), to.party())],
        "the line says which handover"
    );
    assert_eq!(
        about(&officer, &own, "Prepare").await[0],
        (String::new(), own_party, to.party()),
        "and before there is one, between whom"
    );
    laid.start("holder-1").await;
    let resumed = uwv.resume().await.unwrap();
    assert_eq!(resumed.len(), 1);
    assert!(resumed[0].outcome.is_ok(), "{resumed:?}");
    let fetched = desk.fetch(&handover).await.unwrap();
    assert_eq!(fetched.fields.len(), DOSSIER.len());
    for action in ["Prepare", "Release"] {
        let lines = decisions(&officer, &own, action).await;
        let permitted = lines.iter().filter(|(_, code)| code.is_empty());
        assert_eq!(permitted.count(), 1, "{action}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_is_offered_when_the_holder_is_back() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let who = enrol(&uwv, "ww-1", 26).await;
    let asked = preparation(&laid.identity("neutraal"), None);
    let typed = Draft {
        summary: values(SUMMARY),
        dossier: values(DOSSIER),
    };
    laid.kill("holder-2");
    let error = once(&uwv).offer_draft(&who, &asked, &typed).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Waiting { .. }), "{error:?}");

    // Only what is on the disk goes on: the program began anew, and what was typed is gone elsewhere.
    drop((uwv, typed));
    let uwv = laid.identity("uwv").client().unwrap();
    laid.start("holder-2").await;
    let resumed = uwv.resume().await.unwrap();
    let calls: Vec<_> = resumed
        .iter()
        .map(|one| (one.call, one.outcome.is_ok()))
        .collect();
    assert_eq!(calls, [("Prepare", true), ("Offer", true)], "{resumed:?}");
    assert!(uwv.resume().await.unwrap().is_empty(), "nothing is left");
    let offered = offered(&desk).await;
    let handover = match offered.iter().collect::<Vec<_>>().as_slice() {
        [(handover, 1)] => **handover,
        other => panic!("{other:?}"),
    };
    desk.accept(&handover).await.unwrap();

    laid.kill("holder-1");
    uwv.show(&handover).await.unwrap();
    let released = once(&uwv).release_draft(&handover).await;
    assert_eq!(reason(released), Reason::HolderUnavailable);
    laid.start("holder-1").await;
    let resumed = uwv.resume().await.unwrap();
    assert_eq!(resumed.len(), 1, "{resumed:?}");
    assert_eq!(
        desk.fetch(&handover).await.unwrap().fields.len(),
        DOSSIER.len()
    );
    let gone = uwv.release_draft(&handover).await.unwrap_err();
    assert!(
        gone.to_string().contains("released from here already"),
        "it is kept no longer: {gone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_keeps_what_it_acknowledged_and_the_outbox_finishes_the_rest() {
    /// Offers on the way in all, at the same time, and acknowledged before the kill.
    const OFFERS: usize = 40;
    const AT_A_TIME: usize = 4;
    const BEFORE: usize = 3;
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let asked = preparation(&laid.identity("neutraal"), None);
    let mut tasks = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut prepared = Vec::new();
    for who in enrol_many(&uwv, OFFERS).await {
        prepared.push(uwv.prepare(&who, &asked).await.unwrap().receipt.handover);
    }
    for handover in prepared.clone() {
        let (client, places, tell) = (once(&uwv), Arc::clone(&places), tell.clone());
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            match client.offer(&handover, &values(SUMMARY)).await {
                Ok(_) => tell.send(handover).unwrap(),
                Err(ClientError::Waiting { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        });
    }
    drop(tell);
    let mut acknowledged = BTreeSet::new();
    while acknowledged.len() < BEFORE {
        acknowledged.insert(told.recv().await.unwrap());
    }
    laid.kill("broker");
    while let Some(handover) = told.recv().await {
        acknowledged.insert(handover);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let waiting = uwv.store().waiting().len();
    assert_eq!(waiting + acknowledged.len(), OFFERS);
    assert!(waiting > 0, "the kill came too late to prove anything");

    laid.start("broker").await;
    for handover in &acknowledged {
        assert_eq!(state(&uwv, handover).await, State::Offered);
    }
    let resumed = uwv.resume().await.unwrap();
    assert_eq!(resumed.len(), waiting);
    assert!(resumed.iter().all(|one| one.outcome.is_ok()), "{resumed:?}");
    let every_once: BTreeMap<_, _> = prepared.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(offered(&desk).await, every_once);
}

/// Prepares and offers until something does not fit on the disk; gives what was acknowledged, by the
/// last state that was.
async fn fill(
    uwv: &Client,
    persons: &[PersonKey],
    asked: &client::Preparation,
) -> BTreeMap<HandoverId, State> {
    let mut acknowledged = BTreeMap::new();
    for who in persons {
        let prepared = match once(uwv).prepare(who, asked).await {
            Ok(prepared) => prepared.receipt.handover,
            Err(error) => {
                assert_eq!(error.reason(), Some(Reason::StorageFull), "{error:?}");
                return acknowledged;
            }
        };
        acknowledged.insert(prepared, State::Prepared);
        match once(uwv).offer(&prepared, &values(SUMMARY)).await {
            Ok(receipt) => acknowledged.insert(prepared, receipt.state),
            Err(error) => {
                assert_eq!(error.reason(), Some(Reason::StorageFull), "{error:?}");
                return acknowledged;
            }
        };
    }
    panic!("the disk never became full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_with_its_reason_and_loses_nothing() {
    /// Persons, of whom only some fit; and pages that are left.
    const PERSONS: usize = 80;
    const PAGES_LEFT: i64 = 24;
    let mut laid = Laid::open_files().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let to = laid.identity("neutraal");
    let persons = enrol_many(&uwv, PERSONS).await;
    let early = offer(&uwv, &persons[0], &to).await;
    laid.kill("broker");
    let limit = format!("\npages_max = {}", count(&laid, PAGES).await + PAGES_LEFT);
    let path = "path = \"broker.sqlite\"";
    laid.configure("broker", path, &format!("{path}{limit}"));
    laid.start("broker").await;

    let mut acknowledged = fill(&uwv, &persons[1..], &preparation(&to, None)).await;
    acknowledged.insert(early, State::Offered);
    assert!(acknowledged.len() > 1, "some fitted");
    let all = |state| acknowledged.values().filter(|one| **one == state).count();
    let rows = i64::try_from(acknowledged.len()).unwrap();
    let payloads = i64::try_from(all(State::Offered)).unwrap();
    assert_eq!(count(&laid, HANDOVERS).await, rows, "nothing half-written");
    assert_eq!(count(&laid, PAYLOADS).await, payloads);
    // A read needs a line too, so it is refused as soon as not even that fits; never is anything
    // shown without one.
    let mut read = 0;
    loop {
        match once(&desk).fetch_offer(&early).await {
            Ok(summary) => assert_eq!(summary.fields.len(), SUMMARY.len()),
            Err(error) => {
                assert_eq!(error.reason(), Some(Reason::StorageFull), "{error:?}");
                break;
            }
        }
        read += 1;
        assert!(read < 1_000, "reads leave no lines");
    }
    // A search leaves a smaller line; one or two may still fit.
    let mut searches = 0;
    while let Some(entries) = search(&laid).await {
        assert!(entries > 0);
        searches += 1;
        assert!(searches < 1_000, "searches leave no lines");
    }

    laid.kill("broker");
    laid.configure("broker", &limit, "");
    laid.start("broker").await;
    for (handover, last) in &acknowledged {
        assert_eq!(state(&uwv, handover).await, *last);
    }
    let waited = uwv.store().waiting().len();
    assert_eq!(waited, 1, "the request that did not fit waits");
    let resumed = uwv.resume().await.unwrap();
    assert!(resumed.iter().all(|one| one.outcome.is_ok()), "{resumed:?}");
    let after = count(&laid, HANDOVERS).await + count(&laid, PAYLOADS).await;
    assert_eq!(after, rows + payloads + 1, "once");
    assert!(offered(&desk).await.values().all(|times| *times == 1));
}

/// How many entries the officer finds; none when there is no room for the line of the search.
async fn search(laid: &Laid) -> Option<usize> {
    let officer = once(&laid.officer());
    let question = wire::audit::v1::SearchEntriesRequest {
        peer_oin: Some(laid.identity("uwv").oin),
        ..Default::default()
    };
    match officer.search_log(question).await {
        Ok(found) => Some(found.entries.len()),
        Err(error) => {
            assert_eq!(error.reason(), Some(Reason::StorageFull), "{error:?}");
            None
        }
    }
}

/// Takes all the room that a key holder's database has left for another row of this quota, and gives its
/// pages.
async fn fill_holder(laid: &Laid, name: &str, issuer: &str, kind: &str) -> i64 {
    let path = laid.home(name).join("holder.sqlite");
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let pages: i64 = sqlx::query_scalar(PAGES)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let bounded = SqliteConnectOptions::from_str(&url)
        .unwrap()
        .pragma("max_page_count", pages.to_string());
    let mut connection = bounded.connect().await.unwrap();
    // Days in ascending order, so that the last page of the quota is the one that is full.
    for day in 0_i64.. {
        let filled =
            sqlx::query("INSERT INTO quota (issuer, kind, day, reserved) VALUES ($1, $2, $3, 0)")
                .bind(issuer)
                .bind(kind)
                .bind(day - 1_000_000)
                .execute(&mut connection)
                .await;
        if filled.is_err() {
            break;
        }
    }
    connection.close().await.unwrap();
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holder_without_room_converts_nothing_and_goes_on_when_there_is_room() {
    let mut laid = Laid::open_files().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let own = laid.identity("uwv").oin;
    let who = enrol(&uwv, "ww-1", 50).await;
    let handover = offer(&uwv, &who, &laid.identity("neutraal")).await;
    desk.accept(&handover).await.unwrap();
    uwv.show(&handover).await.unwrap();

    laid.kill("holder-1");
    let pages = fill_holder(&laid, "holder-1", &own, "HANDOVER").await;
    let path = "path = \"holder.sqlite\"";
    let limit = format!("\npages_max = {pages}");
    laid.configure("holder-1", path, &format!("{path}{limit}"));
    laid.start("holder-1").await;
    let released = once(&uwv).release(&handover, &values(DOSSIER)).await;
    assert_eq!(reason(released), Reason::HolderUnavailable);
    assert_eq!(state(&uwv, &handover).await, State::Accepted);
    let refused = ("refused".to_owned(), "HOLDER_UNAVAILABLE".to_owned());
    let lines = decisions(&laid.officer(), &own, "Release").await;
    assert_eq!(lines, [refused]);
    assert!(laid.log("holder-1").contains("STORAGE_FULL"));

    laid.kill("holder-1");
    laid.configure("holder-1", &limit, "");
    laid.start("holder-1").await;
    let resumed = uwv.resume().await.unwrap();
    assert_eq!(resumed.len(), 1);
    assert!(resumed[0].outcome.is_ok(), "{resumed:?}");
    assert_eq!(
        desk.fetch(&handover).await.unwrap().fields.len(),
        DOSSIER.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_without_a_known_key_gets_nothing_converted() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let own = laid.identity("uwv").oin;
    enrol(&uwv, "ww-1", 51).await;
    laid.kill("broker");
    // All but the broker's own, which alone has its secret key there.
    let mut database = Beside::of(laid.home("broker")).await;
    let forgotten = "DELETE FROM context_key WHERE length(sealed_key) = 0";
    assert!(database.execute(forgotten).await > 0);
    database.close().await;
    laid.start("broker").await;

    let persons = [(PersonKey::new("ww-2").unwrap(), bsn(52))];
    let enrolled = uwv.enrol(&persons).await.unwrap();
    assert_eq!(enrolled[0].refused, Some(Reason::ContextUnknown));
    let officer = laid.officer();
    let found = lines(&officer, &own).await;
    let line = found.iter().find(|line| line.action == "Enrol").unwrap();
    let id = rules::id::EntryId::from_slice(&line.entry_id).unwrap();
    let entry = officer.show_entry(&id).await.unwrap();
    let entry: serde_json::Value = serde_json::from_slice(&entry.open_json).unwrap();
    let attributes = &entry["attributes"];
    assert_eq!(
        attributes["handover.batch_reasons"],
        serde_json::json!({ "CONTEXT_UNKNOWN": 1 })
    );
    // Who looked, for whom and in which period, is in the log as well.
    let found = lines(&officer, &laid.identity("officer").oin).await;
    for (action, key, value) in [
        ("SearchEntries", "handover.searched_peer", own),
        ("GetEntry", "handover.entry", id.to_string()),
    ] {
        let line = found.iter().find(|line| line.action == action).unwrap();
        let id = rules::id::EntryId::from_slice(&line.entry_id).unwrap();
        let entry = officer.show_entry(&id).await.unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&entry.open_json).unwrap();
        assert_eq!(entry["attributes"][key], value, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_has_not_opened_its_context_is_named_before_any_conversion() {
    let laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.identity("neutraal").client().unwrap();
    let who = enrol(&uwv, "ww-1", 53).await;
    let handover = offer(&uwv, &who, &laid.identity("neutraal")).await;
    desk.accept(&handover).await.unwrap();
    uwv.show(&handover).await.unwrap();
    let released = uwv.release(&handover, &values(DOSSIER)).await;
    assert_eq!(reason(released), Reason::ReceiverNotReady);
    let portal = laid.client("portal").await;
    let union = laid.identity("vakbond");
    let (number, party) = (bsn(55), union.party().parse().unwrap());
    let linked = portal.link(&number, &party).await.map(|_| ());
    assert_eq!(reason(linked), Reason::ReceiverNotReady);
    laid.client("vakbond").await;
    portal.link(&number, &party).await.unwrap();
    desk.open_context().await.unwrap();
    uwv.release(&handover, &values(DOSSIER)).await.unwrap();
    assert_eq!(
        desk.fetch(&handover).await.unwrap().fields.len(),
        DOSSIER.len()
    );
}
