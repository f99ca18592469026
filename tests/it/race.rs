//! Eight clients fetch and four release while one withdraws, and many consent anew at once: nothing is committed on a
//! consent after its withdrawal. On PostgreSQL the clients are divided over two brokers. And nothing is released while an
//! officer upholds an objection, nor after.
//!
//! The log decides, because each action's line is written in the action's own transaction, and the database
//! knows in which order those were committed. Must never compare clocks of clients in its place: a fetch
//! that began before the answer may have been committed after it.

use crate::consent::Scene;
use crate::database::Beside;
use crate::house::{House, enrol, offer, person, reason, values};
use crate::second::{Second, client_of_its_own};
use client::{Client, PersonKey};
use rules::consent::{Statement, StopCode};
use rules::handover::State;
use rules::id::{EntryId, HandoverId, PeerKind};
use rules::reason::Reason;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use wire::handover::v1::ObjectionDecision;

const CONSENTS: usize = 200;
/// Each so many give consent anew as soon as the old one is withdrawn.
const ANEW: usize = 3;
/// People who object.
const OBJECTIONS: usize = 24;
const FETCHERS: usize = 8;
const RELEASERS: usize = 4;
/// Fetches and releases that must succeed for the race to count as one.
const SUCCESSES_MIN: usize = 1_000;
/// How long the withdrawing client waits between two withdrawals; longer where the others are behind
/// [`SUCCESSES_MIN`], because a machine may be slow, but never longer than [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// What is released in the race.
const DOSSIER: &[(&str, &str)] = &[
    ("identiteit.naam", "Jip Dijkwachter"),
    ("contact.telefoon", "0600000000"),
    ("doelgroep.code", "WERKNEMER"),
];

/// One person: a handover that was released and waits, one that was accepted and is to be released.
struct Lane {
    released: HandoverId,
    accepted: HandoverId,
    code: StopCode,
    /// Who gives consent anew, by which desk and with which statement.
    anew: (PersonKey, Client, Statement),
}

/// A person with a consent, known to one desk of the vakbond.
async fn lane(
    scene: Arc<Scene>,
    union: Client,
    [given, anew]: [Statement; 2],
    number: usize,
) -> Lane {
    let who = person(&format!("race-{number}"));
    union.enrol_without_number(&who).await.unwrap();
    union.assist_consent(&who, &given).await.unwrap();
    let offered = async || {
        let prepared = union.prepare(&who, &scene.asked()).await.unwrap();
        let id = prepared.receipt.handover;
        let summary = values(&[("werk.denkniveau", "4"), ("doelgroep.route", "WERKNEMER")]);
        union.offer(&id, &summary).await.unwrap();
        scene.desk.accept(&id).await.unwrap();
        union.show(&id).await.unwrap();
        id
    };
    let released = offered().await;
    union.release(&released, &values(DOSSIER)).await.unwrap();
    Lane {
        released,
        accepted: offered().await,
        code: given.stop_code.unwrap(),
        anew: (who, union, anew),
    }
}

/// Actions that succeeded: whose lane, and the line that the log has of each.
type Successes = Vec<(usize, EntryId)>;

/// After a withdrawal an action is refused because of what both sides see: the state, or, where the caller
/// said on which revision it decided, that.
#[track_caller]
fn check_refused(refused: client::ClientError) {
    let reason = reason::<()>(Err(refused));
    let expected = [Reason::StateForbidsEvent, Reason::RevisionMismatch];
    assert!(expected.contains(&reason), "{reason}");
}

/// Fetches one after the other until everything is withdrawn.
async fn fetch(
    desk: Client,
    lanes: Arc<Vec<Lane>>,
    begin: usize,
    (stopped, fetched): (Arc<AtomicUsize>, Arc<AtomicUsize>),
) -> Successes {
    let mut successes = Successes::new();
    let mut place = begin;
    while stopped.load(Ordering::SeqCst) < CONSENTS {
        place = (place + 7) % lanes.len();
        match desk.fetch(&lanes[place].released).await {
            Ok(read) => {
                successes.push((place, read.receipt.promise.entry));
                fetched.fetch_add(1, Ordering::SeqCst);
            }
            Err(refused) => check_refused(refused),
        }
    }
    successes
}

/// Releases the handovers of its own people, each when its withdrawal is near: some just before, some at
/// the same time, some after.
async fn release(
    desk: Client,
    lanes: Arc<Vec<Lane>>,
    own: usize,
    stopped: Arc<AtomicUsize>,
) -> Successes {
    let mut successes = Successes::new();
    for place in (own..CONSENTS).step_by(RELEASERS) {
        while stopped.load(Ordering::SeqCst) < place {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(PAUSE * u32::try_from(place % 5).unwrap() / 4).await;
        match desk.release(&lanes[place].accepted, &values(DOSSIER)).await {
            Ok(receipt) => successes.push((place, receipt.promise.entry)),
            Err(refused) => check_refused(refused),
        }
    }
    successes
}

/// In which order the broker committed the lines of its log.
async fn committed(sandbox: &Path) -> HashMap<Vec<u8>, i64> {
    let mut database = Beside::of(&sandbox.join("processes/broker")).await;
    database.committed().await.into_iter().collect()
}

/// Withdraws one consent after the other; gives the line of each and how long each took.
async fn withdraw(
    stoppers: &[Client; 2],
    lanes: &[Lane],
    (stopped, fetched): (&AtomicUsize, &AtomicUsize),
) -> (Vec<EntryId>, Vec<Duration>) {
    let (mut lines, mut latencies) = (Vec::new(), Vec::new());
    let mut giving = JoinSet::new();
    for (place, lane) in lanes.iter().enumerate() {
        // Those who release through one broker meet a withdrawal through the other as often as not.
        let stopper = &stoppers[place / 4 % 2];
        let begun = Instant::now();
        let receipt = stopper.withdraw_by_code(&lane.code, None).await.unwrap();
        latencies.push(begun.elapsed());
        assert_eq!(receipt.ended_handovers, 2);
        lines.push(receipt.promise.entry);
        if place % ANEW == 0 {
            let (who, union, anew) = lane.anew.clone();
            giving.spawn(async move { union.assist_consent(&who, &anew).await.unwrap() });
        }
        stopped.fetch_add(1, Ordering::SeqCst);
        let (begun, wanted) = (Instant::now(), (place + 1) * SUCCESSES_MIN / CONSENTS);
        tokio::time::sleep(PAUSE).await;
        while fetched.load(Ordering::SeqCst) < wanted && begun.elapsed() < PAUSE_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(giving.join_all().await.len(), CONSENTS.div_ceil(ANEW));
    latencies.sort();
    (lines, latencies)
}

/// Every person of the race, some at a time.
async fn lanes(scene: &Arc<Scene>, unions: &[Client]) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for begin in (0..CONSENTS).step_by(8) {
        let mut tasks = Vec::new();
        for number in begin..(begin + 8).min(CONSENTS) {
            let given = [(); 2].map(|()| scene.statement("vakbond", PeerKind::Vakbond, "vakbond"));
            let union = unions[number % RELEASERS].clone();
            tasks.push(tokio::spawn(lane(Arc::clone(scene), union, given, number)));
        }
        for task in tasks {
            lanes.push(task.await.unwrap());
        }
    }
    lanes
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_on_a_consent_after_its_withdrawal() {
    let scene = Arc::new(Scene::set().await);
    let (mut unions, mut desks) = (Vec::new(), Vec::new());
    let second = match Beside::of(&scene.house.path().join("processes/broker")).await {
        Beside::Postgres(_) => Some(Second::start(&scene.house).await),
        // SQLite is for one broker.
        Beside::Sqlite(_) => None,
    };
    // Every other client calls the second broker, where there is one.
    let at = |number: usize| second.as_ref().filter(|_| number % 2 == 1);
    for number in 0..RELEASERS {
        unions.push(client_of_its_own(&scene.house, at(number), "vakbond", number).await);
    }
    for number in 0..FETCHERS {
        desks.push(client_of_its_own(&scene.house, at(number), "neutraal", number).await);
    }
    let stoppers = [
        client_of_its_own(&scene.house, at(0), "elders", 0).await,
        client_of_its_own(&scene.house, at(1), "elders", 1).await,
    ];
    let lanes = lanes(&scene, &unions).await;
    let (lanes, stopped) = (Arc::new(lanes), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::new(AtomicUsize::new(0));
    let (mut fetching, mut releasing) = (JoinSet::new(), JoinSet::new());
    for (number, desk) in desks.into_iter().enumerate() {
        fetching.spawn(fetch(
            desk,
            Arc::clone(&lanes),
            number * 25,
            (Arc::clone(&stopped), Arc::clone(&counted)),
        ));
    }
    for (number, union) in unions.iter().enumerate() {
        let (lanes, stopped) = (Arc::clone(&lanes), Arc::clone(&stopped));
        releasing.spawn(release(union.clone(), lanes, number, stopped));
    }
    let (withdrawals, latencies) = withdraw(&stoppers, &lanes, (&stopped, &counted)).await;
    let fetched: Successes = fetching.join_all().await.concat();
    let released: Successes = releasing.join_all().await.concat();

    let order = committed(&scene.house.path()).await;
    let place_of = |entry: &EntryId| order[entry.bytes().as_slice()];
    for (lane, entry) in fetched.iter().chain(&released) {
        let (action, withdrawal) = (place_of(entry), place_of(&withdrawals[*lane]));
        assert!(
            action < withdrawal,
            "committed as {action}, after the withdrawal as {withdrawal}"
        );
    }
    println!(
        "{} fetches, {} of {CONSENTS} releases, {CONSENTS} withdrawals; withdrawal p50 {:?}, p99 {:?}",
        fetched.len(),
        released.len(),
        latencies[CONSENTS / 2],
        latencies[CONSENTS * 99 / 100]
    );
    assert!(fetched.len() + released.len() >= SUCCESSES_MIN);
    let all = 1..CONSENTS;
    assert!(
        all.contains(&released.len()),
        "some came in time, some did not"
    );
    for id in [lanes[0].released, lanes[0].accepted] {
        let shown = unions[0].show(&id).await.unwrap().handover.unwrap();
        assert_eq!(shown.state, State::Withdrawn.number());
    }
}

/// Tries to release until the officer has decided; gives whether it ever did.
async fn release_meanwhile(uwv: Client, id: HandoverId, decided: Arc<AtomicUsize>) -> bool {
    let mut tries_left = 3;
    while tries_left > 0 {
        tries_left -= decided.load(Ordering::SeqCst).min(1);
        match uwv.release(&id, &values(DOSSIER)).await {
            Ok(_) => return true,
            Err(refused) => {
                let reason = reason::<()>(Err(refused));
                let expected = [
                    Reason::ObjectionPending,
                    Reason::StateForbidsEvent,
                    Reason::RevisionMismatch,
                ];
                assert!(expected.contains(&reason), "{reason}");
            }
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_released_while_an_objection_is_upheld_nor_after() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let neutraal = house.client("neutraal").await;
    let portal = house.identity("portal").client().unwrap();
    let officer = house.identity("uwv-fg").client().unwrap();
    let mut waiting = Vec::new();
    for number in 0..OBJECTIONS {
        let who = enrol(&uwv, &format!("ww-{number}"), 100 + number).await;
        let id = offer(&uwv, &who, &house.identity("neutraal")).await;
        neutraal.accept(&id).await.unwrap();
        uwv.show(&id).await.unwrap();
        portal.object(&id).await.unwrap();
        waiting.push(id);
    }
    let mut releasing = JoinSet::new();
    for id in &waiting {
        let decided = Arc::new(AtomicUsize::new(0));
        releasing.spawn(release_meanwhile(uwv.clone(), *id, Arc::clone(&decided)));
        let uphold = ObjectionDecision::Uphold;
        officer.decide_objection(id, uphold).await.unwrap();
        decided.store(1, Ordering::SeqCst);
    }
    let released = releasing.join_all().await;
    assert_eq!(released, [false; OBJECTIONS]);
    for id in &waiting {
        let shown = uwv.show(id).await.unwrap().handover.unwrap();
        assert_eq!(shown.state, State::Cancelled.number());
    }
}
