//! Whole calls through the servers, as fast as they go: offers, pairs of Prepare and Offer, whole handovers,
//! and the bare relay beside them; with the servers' processor time for each, and their memory.
//!
//! Must never count a call that was refused.

use crate::desks::{Desks, FOUR};
use crate::floor::Floor;
use crate::flow::closed;
use crate::processes::{Spent, print_memory};
use crate::servers::{Sandbox, Site};
use crate::table::{Table, Target};
use client::Connection;
use gateway::cli::identity::Identity;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use wire::directory::v1::ImportDirectoryRequest;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;

/// How much is measured.
pub(crate) struct Size {
    pub(crate) concurrency: usize,
    pub(crate) count: usize,
}

/// What an engine did, for comparing engines: calls a second.
pub(crate) struct Speed {
    pub(crate) offers: f64,
    pub(crate) pairs: f64,
}

/// Whole handovers for the servers' processor time: its clock ticks in hundredths of a second.
pub(crate) const HANDOVERS: usize = 300;
/// The row of a whole handover.
const WHOLE: &str = "whole handover";
/// Octets of one relayed message: about those of an offer.
const RELAYED_BYTES: usize = 1_024;
/// Calls at the bare relay for one at the real thing.
const RELAY_TIMES: usize = 10;

/// Calls a second at the bare relay, as a process of its own, and what each took of the processors.
async fn relayed(home: &Path, database: &str, size: &Size) -> (f64, Spent) {
    let mut relay = Command::new(std::env::current_exe().expect("the own path"))
        .arg("relay")
        .arg(home)
        .arg(database)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the relay starts");
    let output = relay.stdout.take().expect("its output");
    let address = BufReader::new(output).lines().next_line().await;
    let address = address.expect("its output").expect("its address");
    let uwv = Identity::load(home, "uwv").expect("an identity of the sandbox");
    let connection = Connection::from_files(
        &uwv.certificate,
        &uwv.key,
        &uwv.issuer,
        &uwv.broker_server_name,
        &address,
    )
    .expect("a connection");
    let stub = DirectoryServiceClient::new(connection.channel());
    let count = size.count * RELAY_TIMES;
    let id = relay.id().expect("the relay runs");
    let spent = || Spent::of_servers(std::iter::once(("relay", id)));
    let begun = spent();
    let answer = closed(count, size.concurrency, move |_| {
        let mut stub = stub.clone();
        async move {
            let request = ImportDirectoryRequest {
                request_id: vec![1; 16],
                directory_toml: vec![7; RELAYED_BYTES],
                signatures: Vec::new(),
                parts: Vec::new(),
            };
            stub.import_directory(request)
                .await
                .expect("a relayed call");
        }
    })
    .await;
    let each = spent().each_since(&begun, count);
    relay.kill().await.expect("the relay stops");
    let removed = store::engine::remove_schema(&crate::relay::settings(database)).await;
    removed.expect("its rows are removed");
    (answer, each)
}

/// Measures and prints.
pub(crate) async fn measure(site: &Site, size: &Size, floor: &Floor, table: &mut Table) -> Speed {
    let sandbox = site.start("load").await;
    let processes = &sandbox.processes;
    let rest = processes.memory();
    let database = site.postgres.clone();
    let database = database.unwrap_or_else(|| sandbox.stores.display().to_string());
    let (relay, each_relayed) = relayed(&sandbox.folder, &database, size).await;
    let persons = 2 * size.count + HANDOVERS;
    let desks = Desks::open(&sandbox.folder, &sandbox.stores, FOUR, persons).await;

    let begun = processes.spent();
    let (first, ids, _) = desks.prepare_all(size.count, size.concurrency).await;
    let prepared = processes.spent();
    let offers = desks.offer_all(first, &ids, size.concurrency).await;
    let offered = processes.spent();
    let pairs = desks.pairs(size.count, size.concurrency).await;
    let paired = processes.spent();
    let whole = desks.wholes(HANDOVERS, size.concurrency).await;
    let ended = processes.spent();

    let speed = Speed { offers, pairs };
    print_speed(site, relay, &speed, table);
    table.number("whole handovers (Prepare to Complete)", whole, "a second");
    table.heading(&format!("{}: processor time for each call", site.engine));
    print_spent("bare relay", &each_relayed, table);
    let (prepare, offer) = (floor.prepare(), floor.offer());
    for (name, since, until, calls, least) in [
        ("Prepare", &begun, &prepared, size.count, prepare),
        ("CreateOffer", &prepared, &offered, size.count, offer),
        (
            "Prepare + Offer",
            &offered,
            &paired,
            size.count,
            prepare + offer,
        ),
        (WHOLE, &paired, &ended, HANDOVERS, floor.whole()),
    ] {
        let each = until.each_since(since, calls);
        print_spent(name, &each, table);
        let relayed = each.together() / each_relayed.together();
        table.ratio(
            &format!("{name}: everything over the bare relay's"),
            relayed,
        );
        print_least(name, &each, least, table);
    }
    let heading = format!("{}: memory of the servers", site.engine);
    print_memory(&heading, &rest, &processes.memory(), table);
    Sandbox::stop(sandbox).await;
    speed
}

/// The ratios to the bare relay have a target where the design has one: on PostgreSQL, against PostgreSQL.
fn print_speed(site: &Site, relay: f64, speed: &Speed, table: &mut Table) {
    table.heading(&format!(
        "{}: through the servers (the clients' sealing and stores on the same processors)",
        site.engine
    ));
    table.number("bare relay: mTLS, one durable INSERT", relay, "calls/s");
    table.number("CreateOffer", speed.offers, "calls/s");
    table.number("Prepare + Offer, two holders", speed.pairs, "pairs/s");
    let mut ratio = |name: &str, value: f64, bound: f64| {
        if site.postgres.is_some() {
            table.target(name, value, "", Target::AtLeast(bound));
        } else {
            table.ratio(name, value);
        }
    };
    ratio("CreateOffer over bare relay", speed.offers / relay, 0.5);
    let pairs = speed.pairs / (relay / 2.0);
    ratio("pairs over pairs of bare relays", pairs, 1.0 / 3.0);
}

/// Who took what of the processors: each server, the clients, and the database's server where there is one.
fn print_spent(name: &str, each: &Spent, table: &mut Table) {
    for (process, micros) in each.iter() {
        table.number(&format!("{name}: {process}"), micros, "µs");
    }
    table.number(&format!("{name}: everything"), each.together(), "µs");
}

/// The servers' time beside the least that the cryptography of the call costs them; the design has a target for a
/// whole handover.
fn print_least(name: &str, each: &Spent, least: f64, table: &mut Table) {
    table.number(&format!("{name}: cryptographic minimum"), least, "µs");
    let row = format!("{name}: broker and holders over the minimum");
    let over = each.in_the_way() / least;
    if name == WHOLE {
        table.target(&row, over, "", Target::AtMost(2.0));
    } else {
        table.ratio(&row, over);
    }
}

/// The design's fifth row: the embedded engine beside the server, both of this run.
pub(crate) fn compare(sqlite: &Speed, postgres: &Speed, table: &mut Table) {
    table.heading("SQLite beside PostgreSQL, both of this run");
    let rows = [
        (
            "CreateOffer on SQLite over PostgreSQL",
            sqlite.offers / postgres.offers,
        ),
        (
            "Prepare + Offer on SQLite over PostgreSQL",
            sqlite.pairs / postgres.pairs,
        ),
    ];
    for (name, ratio) in rows {
        table.target(name, ratio, "", Target::AtLeast(0.7));
    }
}
