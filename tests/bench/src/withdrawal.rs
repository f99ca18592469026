//! What a withdrawal takes while others fetch and release at a steady rate, and that nothing is fetched or
//! released after its answer.
//!
//! Must never count a withdrawal that stopped nothing, and must never judge a call by anything but the moment
//! at which it began: one that began before the answer may still succeed.

use crate::consent::{LONG_MILLIS, Scene, dossier, summary};
use crate::flow::{closed, open};
use crate::servers::{Sandbox, Site};
use crate::table::{Table, Target};
use rules::consent::StopCode;
use rules::id::HandoverId;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

/// Calls a second besides the withdrawals.
const LOAD: u32 = 200;
/// Withdrawals a second.
const RATE: u32 = 20;
/// One of so many of the load's calls is a release; the others fetch. There is one release for each lane.
const CALLS_FOR_A_RELEASE: usize = (LOAD / RATE) as usize;
/// Milliseconds that the design allows a withdrawal's p99.
const P99_MILLIS_MAX: f64 = 50.0;
/// Lanes that are prepared at the same time.
const LANES_AT_ONCE: usize = 8;

/// A person with a released handover and one more that is to be released, and the code that stops both.
struct Lane {
    released: HandoverId,
    accepted: HandoverId,
    code: StopCode,
    /// When the withdrawal began, and when it was answered.
    begun: OnceLock<Instant>,
    answered: OnceLock<Instant>,
}

/// What became of one call of the load.
struct Seen {
    is_release: bool,
    lane: usize,
    began: Instant,
    ended: Instant,
    /// Why it did not succeed.
    refused: Option<String>,
}

async fn lane(scene: &Scene, number: usize) -> Lane {
    let (key, session) = scene.member(&format!("stop-{number}")).await;
    let (_, code) = scene.choose(&session, Some(LONG_MILLIS)).await;
    let mut accepted = Vec::new();
    for _ in 0..2 {
        let prepared = scene.union.prepare(&key, &scene.preparation).await;
        let handover = prepared.expect("a handover").receipt.handover;
        let offered = scene.union.offer(&handover, &summary()).await;
        offered.expect("an offer");
        scene.desk.accept(&handover).await.expect("accepted");
        scene.union.show(&handover).await.expect("shown");
        accepted.push(handover);
    }
    let released = scene.union.release(&accepted[0], &dossier()).await;
    released.expect("released");
    Lane {
        released: accepted[0],
        accepted: accepted[1],
        code: code.parse().expect("a stop code"),
        begun: OnceLock::new(),
        answered: OnceLock::new(),
    }
}

/// Measures so many withdrawals and prints.
pub(crate) async fn measure(site: &Site, withdrawals: usize, table: &mut Table) {
    // Every lane's second handover is released once, which takes an even number of lanes.
    let withdrawals = withdrawals.next_multiple_of(2);
    let sandbox = site.start("withdrawal").await;
    let scene = Arc::new(Scene::open(&sandbox.folder, &sandbox.stores).await);
    let lanes = Arc::new(Mutex::new(Vec::with_capacity(withdrawals)));
    let (asking, list) = (Arc::clone(&scene), Arc::clone(&lanes));
    closed(withdrawals, LANES_AT_ONCE, move |number| {
        let (scene, list) = (Arc::clone(&asking), Arc::clone(&list));
        async move {
            let lane = lane(&scene, number).await;
            list.lock().expect("no panic").push(lane);
        }
    })
    .await;
    let lanes = Arc::new(std::mem::take(&mut *lanes.lock().expect("no panic")));
    table.heading(&format!(
        "{}: {withdrawals} withdrawals, {RATE} a second, while others fetch and release, {LOAD} a second (latency from the scheduled moment)",
        site.engine
    ));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let load = load(&scene, &lanes, &seen);
    let stops = open(RATE, withdrawals, |number| {
        let (scene, lanes) = (Arc::clone(&scene), Arc::clone(&lanes));
        async move { withdraw(&scene, &lanes[number]).await }
    });
    let (load, stops) = tokio::join!(load, stops);
    stops.print("withdrawal", Some(P99_MILLIS_MAX), table);
    load.print_times("fetch or release, stopped or not", None, table);
    judge(&lanes, &seen.lock().expect("no panic"), table);
    Sandbox::stop(sandbox).await;
}

async fn withdraw(scene: &Scene, lane: &Lane) -> Result<(), String> {
    lane.begun.get_or_init(Instant::now);
    let answer = scene.union.withdraw_by_code(&lane.code, None).await;
    lane.answered.get_or_init(Instant::now);
    match answer.map_err(|error| error.to_string())?.ended_handovers {
        2 => Ok(()),
        other => Err(format!("ended {other} handovers and not 2")),
    }
}

/// Which lane a call of the load is about, and whether it is a release. Lane n is stopped as the calls from
/// ten times n on begin: some fetch there, some where the next withdrawal is about to come, the others where
/// it is far. Of every two releases one comes just before its lane is stopped, and one anywhere.
fn aim(index: usize, lanes: usize) -> (usize, bool) {
    let due = index / CALLS_FOR_A_RELEASE;
    let next = (due + 1).min(lanes - 1);
    match index % CALLS_FOR_A_RELEASE {
        9 if due.is_multiple_of(2) => (due + 1, true),
        9 => (lanes - 1 - due, true),
        0..=2 => (due, false),
        8 => (next, false),
        // Those that are left, and the last one when none is.
        _ => (next + (index * 7) % (lanes - next), false),
    }
}

/// Fetches and releases, so many a second, as long as the withdrawals last.
async fn load(
    scene: &Arc<Scene>,
    lanes: &Arc<Vec<Lane>>,
    seen: &Arc<Mutex<Vec<Seen>>>,
) -> crate::flow::Flow {
    open(LOAD, lanes.len() * CALLS_FOR_A_RELEASE, |index| {
        let (place, is_release) = aim(index, lanes.len());
        let (scene, lanes, seen) = (Arc::clone(scene), Arc::clone(lanes), Arc::clone(seen));
        async move {
            let (began, lane) = (Instant::now(), &lanes[place]);
            let refused = if is_release {
                let released = scene.union.release(&lane.accepted, &dossier()).await;
                released.err().map(|error| error.to_string())
            } else {
                let fetched = scene.desk.fetch(&lane.released).await;
                fetched.err().map(|error| error.to_string())
            };
            seen.lock().expect("no panic").push(Seen {
                is_release,
                lane: place,
                began,
                ended: Instant::now(),
                refused,
            });
            Ok(())
        }
    })
    .await
}

/// What succeeded too late, and what was refused too early.
fn judge(lanes: &[Lane], seen: &[Seen], table: &mut Table) {
    let (mut late, mut early) = ([0_usize; 2], Vec::new());
    let (mut done, mut stopped) = ([0_usize; 2], [0_usize; 2]);
    for call in seen {
        let lane = &lanes[call.lane];
        let kind = usize::from(call.is_release);
        let moment = |of: &OnceLock<Instant>| *of.get().expect("every lane was stopped");
        match &call.refused {
            None => {
                done[kind] += 1;
                late[kind] += usize::from(call.began > moment(&lane.answered));
            }
            Some(why) if call.ended < moment(&lane.begun) => early.push(why),
            Some(_) => stopped[kind] += 1,
        }
    }
    for (kind, name) in ["fetches", "releases"].into_iter().enumerate() {
        table.number(&format!("{name} that succeeded"), done[kind] as f64, "");
        table.number(
            &format!("{name} that were stopped"),
            stopped[kind] as f64,
            "",
        );
        let row = format!("{name} that succeeded and began after the answer");
        table.target(&row, late[kind] as f64, "", Target::AtMost(0.0));
        if late[kind] > 0 {
            table.failed(&row);
        }
    }
    let refused = early.len() as f64;
    table.target(
        "refused before the withdrawal",
        refused,
        "",
        Target::AtMost(0.0),
    );
    if let Some(why) = early.first() {
        table.failed(&format!("refused before the withdrawal: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLS_FOR_A_RELEASE, aim};
    use std::collections::BTreeSet;

    #[test]
    fn every_lane_is_released_once_and_most_fetches_come_before_the_withdrawal() {
        let lanes = 200;
        let calls: Vec<_> = (0..lanes * CALLS_FOR_A_RELEASE)
            .map(|index| (index, aim(index, lanes)))
            .collect();
        let released: BTreeSet<usize> = calls
            .iter()
            .filter_map(|(_, (lane, is_release))| is_release.then_some(*lane))
            .collect();
        assert_eq!(released.len(), lanes);
        let early = calls
            .iter()
            .filter(|(index, (lane, _))| *lane > index / CALLS_FOR_A_RELEASE)
            .count();
        assert!(early * 10 >= calls.len() * 6, "{early} of {}", calls.len());
    }
}
