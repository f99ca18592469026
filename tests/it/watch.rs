//! The inbox as a stream: what comes while somebody waits, what came while nobody did, and cursors that
//! nobody gave out.
//!
//! Must never count on an order between two inboxes: each party has its own.

use crate::house::{House, bsn, enrol, offer, reason};
use crate::laid::Laid;
use client::{Client, InboxEvent, Watch};
use rules::handover::InboxKind;
use rules::id::HandoverId;
use rules::reason::Reason;
use std::time::Duration;

/// How long an event may take that has happened; the stream looks again every two seconds at least.
const SOON: Duration = Duration::from_secs(15);
/// How long a stream is watched that should stay silent: longer than it sleeps.
const SILENCE: Duration = Duration::from_secs(3);

async fn soon(watch: &mut Watch) -> InboxEvent {
    let event = tokio::time::timeout(SOON, watch.next()).await;
    event.expect("an event in time").unwrap()
}

/// Offers somebody new.
async fn offer_one(from: &Client, house: &crate::house::Folder, number: usize) -> HandoverId {
    let name = format!("ww-{number}");
    let who = enrol(from, &name, number).await;
    assert!(from.enrol(&[(who.clone(), bsn(number))]).await.is_ok());
    offer(from, &who, &house.identity("neutraal")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_whoever_waits_and_a_cursor_loses_and_doubles_nothing() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let mut watch = desk.watch(Some(String::new()));
    let waiting = tokio::time::timeout(SILENCE, watch.next()).await;
    assert!(waiting.is_err(), "nothing happened yet: {waiting:?}");
    let (told, first) = tokio::join!(soon(&mut watch), offer_one(&uwv, &house, 30));
    assert_eq!((told.kind, told.handover), (InboxKind::Offered, first));
    let cursor = watch.cursor().to_owned();
    drop(watch);

    let mut expected = Vec::new();
    for number in 31..34 {
        expected.push(offer_one(&uwv, &house, number).await);
    }
    for round in 0..2 {
        let mut watch = desk.watch(Some(cursor.clone()));
        let mut seen = Vec::new();
        for _ in &expected {
            seen.push(soon(&mut watch).await.handover);
        }
        assert_eq!(seen, expected, "round {round}");
        let more = tokio::time::timeout(SILENCE, watch.next()).await;
        assert!(more.is_err(), "nothing twice: {more:?}");
    }
    // The place that is saved is where the next process goes on.
    let mut watch = desk.watch(Some(cursor));
    soon(&mut watch).await;
    watch.save().await.unwrap();
    drop((watch, desk));
    let desk = house.identity("neutraal").client().unwrap();
    assert_eq!(soon(&mut desk.watch(None)).await.handover, expected[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_taken_up_where_it_was() {
    let mut laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let mut watch = desk.watch(Some(String::new()));
    let first = offer_one(&uwv, &laid, 35).await;
    assert_eq!(soon(&mut watch).await.handover, first);
    laid.kill("broker");
    laid.start("broker").await;
    let second = offer_one(&uwv, &laid, 36).await;
    assert_eq!(soon(&mut watch).await.handover, second);
    let more = tokio::time::timeout(SILENCE, watch.next()).await;
    assert!(more.is_err(), "nothing twice: {more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_not_given_to_this_party_is_refused() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let town = house.client("regio").await;
    offer_one(&uwv, &house, 37).await;
    let mut watch = desk.watch(Some(String::new()));
    soon(&mut watch).await;
    let good = watch.cursor().to_owned();
    let mut turned = good.clone().into_bytes();
    let last = turned.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let later = format!("{:016x}{}", 2, &good[16..]);
    let before = format!("{:016x}{}", 0, &good[16..]);
    for forged in [
        String::from_utf8(turned).unwrap(),
        later,
        before,
        good[2..].to_owned(),
        format!("{good}00"),
        "7".to_owned(),
        "no cursor".to_owned(),
    ] {
        let mut watch = desk.watch(Some(forged.clone()));
        let watched = tokio::time::timeout(SOON, watch.next()).await;
        let watched = watched.expect("an answer in time");
        assert_eq!(reason(watched), Reason::PageTokenInvalid, "{forged}");
        let listed = desk.inbox(Some(forged.clone())).next().await;
        assert_eq!(reason(listed), Reason::PageTokenInvalid, "{forged}");
    }
    // Another party's cursor, though it is a good one.
    let mut watch = town.watch(Some(good.clone()));
    let watched = tokio::time::timeout(SOON, watch.next()).await;
    let watched = watched.expect("an answer in time");
    assert_eq!(reason(watched), Reason::PageTokenInvalid);
    let listed = town.inbox(Some(good)).next().await;
    assert_eq!(reason(listed), Reason::PageTokenInvalid);
}
