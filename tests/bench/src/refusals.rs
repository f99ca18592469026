//! How long each kind of refusal takes: by that they should not be told apart.
//!
//! Must never measure a refusal that is not the uniform one.

use crate::consent::{LONG_MILLIS, Scene, request_id};
use crate::servers::{Sandbox, Site};
use crate::table::Table;
use crate::times::Times;
use client::PersonKey;
use rules::id::{ConsentId, HandoverId};
use rules::reason::Reason;
use std::time::{Duration, Instant};
use wire::portal::v1 as message;

/// Refusals of each kind that are measured.
const ROUNDS: usize = 200;
/// Milliseconds of a consent that shall be over when it is asked about.
const SHORT_MILLIS: i64 = 2_000;

/// Measures and prints.
pub(crate) async fn measure(site: &Site, table: &mut Table) {
    let sandbox = site.start("refusals").await;
    let scene = Scene::open(&sandbox.folder, &sandbox.stores).await;
    refusals(&scene, site.engine, table).await;
    Sandbox::stop(sandbox).await;
}

/// Everybody whom Prepare must refuse alike, by the true reason.
async fn refused_alike(scene: &Scene) -> Vec<(&'static str, PersonKey)> {
    let nobody = PersonKey::new("alike-nobody").expect("a key");
    let random = scene.union.enrol_without_number(&nobody).await;
    random.expect("a random pseudonym");
    let (none, _) = scene.member("alike-none").await;
    let (refused, session) = scene.member("alike-refused").await;
    scene.choose(&session, None).await;
    let (withdrawn, session) = scene.member("alike-withdrawn").await;
    let (_, code) = scene.choose(&session, Some(LONG_MILLIS)).await;
    let code = code.parse().expect("a stop code");
    let stopped = scene.union.withdraw_by_code(&code, None).await;
    stopped.expect("a withdrawal");
    let (blocked, session) = scene.member("alike-blocked").await;
    scene.choose(&session, Some(LONG_MILLIS)).await;
    let mut portal = scene.portal.clone();
    let block = message::BlockOrganisationRequest {
        session,
        request_id: request_id(),
        party: format!("{}/main", scene.union_oin),
    };
    let done = portal.block_organisation(block).await;
    done.expect("a block");
    let (invalid, session) = scene.member("alike-invalid").await;
    let (record, _) = scene.choose(&session, Some(LONG_MILLIS)).await;
    let record = ConsentId::from_slice(&record).expect("a record");
    let found = scene.officer.invalidate_consent(&record).await;
    found.expect("found invalid");
    let (expired, session) = scene.member("alike-expired").await;
    scene.choose(&session, Some(SHORT_MILLIS)).await;
    tokio::time::sleep(Duration::from_millis(SHORT_MILLIS.unsigned_abs() + 500)).await;
    vec![
        ("nobody knows the person", nobody),
        ("no consent", none),
        ("refused", refused),
        ("withdrawn", withdrawn),
        ("blocked", blocked),
        ("found invalid", invalid),
        ("expired", expired),
    ]
}

async fn refusals(scene: &Scene, engine: &str, table: &mut Table) {
    let people = refused_alike(scene).await;
    let mut took = vec![Vec::with_capacity(ROUNDS); people.len()];
    // One round after the other, so that what the machine does besides hits all alike.
    for round in 0..ROUNDS {
        for step in 0..people.len() {
            let place = (round + step) % people.len();
            let (name, key) = &people[place];
            let begun = Instant::now();
            let answer = scene.union.prepare(key, &scene.preparation).await;
            took[place].push(begun.elapsed());
            let reason = answer.err().and_then(|error| error.reason());
            assert_eq!(reason, Some(Reason::NotAvailable), "{name}");
        }
    }
    table.heading(&format!(
        "{engine}: Prepare refused alike: time by the true reason, calls interleaved"
    ));
    let names: Vec<&str> = people.iter().map(|(name, _)| *name).collect();
    print(&names, took, table);

    let (key, session) = scene.member("alike-standing").await;
    scene.choose(&session, Some(LONG_MILLIS)).await;
    let prepared = scene.union.prepare(&key, &scene.preparation).await;
    let theirs = prepared.expect("a handover").receipt.handover;
    let unknown = HandoverId::from_slice(&[0x77; 16]).expect("an id");
    let names = ["unknown", "not yours"];
    let mut took = vec![Vec::with_capacity(ROUNDS); names.len()];
    for round in 0..ROUNDS * names.len() {
        let place = round % names.len();
        let id = [&unknown, &theirs][place];
        let begun = Instant::now();
        let answer = scene.stranger.accept(id).await;
        took[place].push(begun.elapsed());
        let reason = answer.err().and_then(|error| error.reason());
        assert_eq!(reason, Some(Reason::NotAvailable), "{}", names[place]);
    }
    table.heading(&format!(
        "{engine}: Accept refused alike: time by the true reason, calls interleaved"
    ));
    print(&names, took, table);
}

fn print(names: &[&str], took: Vec<Vec<Duration>>, table: &mut Table) {
    for (name, taken) in names.iter().zip(took) {
        let times = Times::new(taken);
        table.number(&format!("{name}: p50"), times.micros(50), "µs");
        table.number(&format!("{name}: p95"), times.micros(95), "µs");
    }
}
