//! Twelve clients fetch while one withdraws: once a withdrawal has been answered, no fetch on it succeeds.
//!
//! Must never count a fetch that had begun before the answer: it may have been committed before, and then
//! it was delivered and has its notice.

use crate::consent::Scene;
use crate::house::person;
use client::Client;
use rules::consent::StopCode;
use rules::id::{HandoverId, PeerKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CONSENTS: usize = 200;
const FETCHERS: usize = 12;
/// Fetches that must succeed for the race to count as one.
const SUCCESSES_MIN: usize = 1_000;
/// How long the withdrawing client waits between two withdrawals.
const PAUSE: Duration = Duration::from_millis(25);

/// One person's handover, and when its withdrawal was answered.
struct Lane {
    handover: HandoverId,
    code: StopCode,
    answered: Mutex<Option<Instant>>,
}

impl Lane {
    fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A person with a consent, whose dossier is released and waits.
async fn lane(scene: Arc<Scene>, number: usize) -> Lane {
    let who = person(&format!("race-{number}"));
    scene.union.enrol_without_number(&who).await.unwrap();
    let given = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    scene.union.assist_consent(&who, &given).await.unwrap();
    Lane {
        handover: scene.released(&who).await,
        code: given.stop_code.unwrap(),
        answered: Mutex::new(None),
    }
}

/// Fetches one after the other until everything is withdrawn; gives how many succeeded.
async fn fetch(desk: Client, lanes: Arc<Vec<Lane>>, begin: usize, left: Arc<AtomicUsize>) -> usize {
    let mut successes = 0;
    let mut place = begin;
    while left.load(Ordering::SeqCst) > 0 {
        place = (place + 7) % lanes.len();
        let lane = &lanes[place];
        let begun = Instant::now();
        if desk.fetch(&lane.handover).await.is_ok() {
            successes += 1;
            let late = lane.answered().is_some_and(|answered| begun > answered);
            assert!(
                !late,
                "a fetch that began after the withdrawal's answer succeeded"
            );
        }
    }
    successes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fetch_that_begins_after_a_withdrawals_answer_succeeds() {
    let scene = Arc::new(Scene::set().await);
    let mut lanes = Vec::new();
    for begin in (0..CONSENTS).step_by(8) {
        let mut tasks = JoinSet::new();
        for number in begin..(begin + 8).min(CONSENTS) {
            tasks.spawn(lane(Arc::clone(&scene), number));
        }
        lanes.extend(tasks.join_all().await);
    }
    let (lanes, left) = (Arc::new(lanes), Arc::new(AtomicUsize::new(CONSENTS)));
    let mut fetchers = JoinSet::new();
    for number in 0..FETCHERS {
        let (desk, lanes, left) = (scene.desk.clone(), Arc::clone(&lanes), Arc::clone(&left));
        fetchers.spawn(fetch(desk, lanes, number * 17, left));
    }
    let stopper = scene.house.client("elders").await;
    let mut latencies = Vec::new();
    for lane in lanes.iter() {
        let begun = Instant::now();
        let stopped = stopper.withdraw_by_code(&lane.code, None).await.unwrap();
        let answered = Instant::now();
        *lane.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
        assert_eq!(stopped.ended_handovers, 1);
        latencies.push(answered - begun);
        left.fetch_sub(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }
    let successes: usize = fetchers.join_all().await.into_iter().sum();
    latencies.sort();
    println!(
        "{successes} fetches, {CONSENTS} withdrawals; withdrawal p50 {:?}, p99 {:?}",
        latencies[CONSENTS / 2],
        latencies[CONSENTS * 99 / 100]
    );
    assert!(
        successes >= SUCCESSES_MIN,
        "{successes} fetches are no race"
    );
    let first = &lanes[0].handover;
    let shown = scene.union.show(first).await.unwrap().handover.unwrap();
    assert_eq!(shown.state, rules::handover::State::Withdrawn.number());
}
