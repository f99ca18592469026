//! Two brokers on one database: one of them does the broker's own work, and the other takes over when it is gone,
//! whatever its clock said.
//!
//! Must never wait for a deadline of a handover: the database is told that it has passed.

use crate::database::Beside;
use crate::house::{enrol, offer};
use crate::laid::Laid;
use crate::second::{Second, client_of_its_own};
use rules::handover::State;
use std::time::{Duration, Instant};

/// How long nobody may have the lead after a broker was killed.
const MOVES_WITHIN: Duration = Duration::from_secs(12);
/// How long due work may take: the broker that has the lead looks every few seconds.
const SOON: Duration = Duration::from_secs(30);
const TERM: &str = "SELECT COALESCE(MAX(term), 0) FROM lease";
/// As a broker writes it whose clock is ten hours ahead.
const AHEAD: &str = "UPDATE lease SET held_until = held_until + 36000000";
const PASSED: &str = "UPDATE handover SET deadline_at = 1 WHERE handover_id = $1";
const LEADS: &str = "does the broker's own work from now on";

async fn term(laid: &Laid) -> i64 {
    let mut database = Beside::of(laid.home("broker")).await;
    let term = database.number(TERM).await;
    database.close().await;
    term
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_moves_when_its_broker_is_killed_and_at_once_when_it_is_stopped() {
    let mut laid = Laid::open().await;
    let second = Second::start(&laid).await;
    let uwv = client_of_its_own(&laid, Some(&second), "uwv", 2).await;
    let who = enrol(&uwv, "ww-1", 61).await;
    let late = offer(&uwv, &who, &laid.identity("neutraal")).await;
    assert_eq!(term(&laid).await, 1, "the first took it and kept it");
    assert!(laid.log("broker").contains(LEADS));
    assert!(!second.log().contains(LEADS));

    let killed = Instant::now();
    laid.kill("broker");
    let mut database = Beside::of(laid.home("broker")).await;
    assert_eq!(database.execute(AHEAD).await, 1);
    database.close().await;
    while term(&laid).await == 1 {
        assert!(killed.elapsed() < MOVES_WITHIN, "nobody took the lead");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "the lead moved after {:.1} s",
        killed.elapsed().as_secs_f64()
    );
    let mut database = Beside::of(laid.home("broker")).await;
    assert_eq!(database.execute_with(PASSED, late.bytes()).await, 1);
    database.close().await;
    let begun = Instant::now();
    loop {
        let shown = uwv.show(&late).await.unwrap().handover.unwrap();
        if shown.state == State::Expired.number() {
            break;
        }
        assert!(begun.elapsed() < SOON, "it was never ended");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // One that is told to stop gives the lead up: whoever is there takes it without waiting for it to run out.
    laid.start("broker").await;
    assert_eq!(
        term(&laid).await,
        2,
        "the second keeps it while it is there"
    );
    let stopped = Instant::now();
    second.stop();
    while term(&laid).await == 2 {
        assert!(
            stopped.elapsed() < Duration::from_secs(5),
            "it was not given up"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
