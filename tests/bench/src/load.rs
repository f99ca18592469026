//! Whole calls through the servers: offers, pairs of Prepare and Offer, the bare relay, and the servers'
//! processor time for one whole handover. Clients run on the same processors, as the design measures.
//!
//! Must never count a call that was refused.

use crate::floor::Floor;
use crate::servers::Sandbox;
use crate::table::Table;
use client::{Client, Connection, PersonKey, Preparation};
use gateway::cli::identity::Identity;
use rules::id::{HandoverId, Label, Party};
use rules::secret::Secret;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use wire::directory::v1::ImportDirectoryRequest;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;

/// How much is measured.
pub(crate) struct Size {
    pub(crate) concurrency: usize,
    pub(crate) count: usize,
}

/// Where the servers under measurement keep their rows, and their clients theirs.
pub(crate) struct Place {
    /// The engine's name.
    pub(crate) engine: &'static str,
    /// What the bare relay is told of its database.
    pub(crate) relay: String,
    /// The clients' folder.
    pub(crate) stores: PathBuf,
}

/// Whole handovers for the servers' processor time: its clock ticks in hundredths of a second.
const HANDOVERS: usize = 100;
/// Octets of one relayed message: about those of an offer.
const RELAYED_BYTES: usize = 1_024;
/// Calls at the bare relay for one at the real thing.
const RELAY_TIMES: usize = 5;

/// Labels and values to be sealed.
pub(crate) fn fields(of: &[(&str, &str)]) -> Vec<(Label, Secret<Vec<u8>>)> {
    of.iter()
        .map(|(label, value)| {
            let label = label.parse().expect("a label");
            (label, Secret::new(value.as_bytes().to_vec()))
        })
        .collect()
}

fn summary() -> Vec<(Label, Secret<Vec<u8>>)> {
    fields(&[
        ("doelgroep.route", "UITKERING"),
        ("hulpvraag.code", "SCHOLING"),
        ("leeftijdsband", "41-50"),
        ("regio.pc4", "0001"),
        ("werk.beroep", "Magazijnmedewerker"),
    ])
}

fn dossier() -> Vec<(Label, Secret<Vec<u8>>)> {
    fields(&[
        ("identiteit.naam", "Okke Blikwijk"),
        ("contact.telefoon", "06-00009999"),
        ("contact.postcode", "0001ZZ"),
        ("doelgroep.code", "WW"),
        (
            "hulpvraag.tekst",
            "Wil een heftruckcertificaat halen en zoekt daarna werk in de buurt.",
        ),
    ])
}

/// Test numbers that pass the eleven-test, from the end of the range: the sandbox uses its beginning.
fn numbers(count: usize) -> Vec<vault::pseudonym::Bsn> {
    let passes = (0..100_000_u32).rev().map(|last| format!("9999{last:05}"));
    passes
        .filter_map(|text| text.parse().ok())
        .take(count)
        .collect()
}

/// Sender and recipient at work.
#[derive(Clone)]
struct Pair {
    sender: Arc<Client>,
    recipient: Arc<Client>,
    preparation: Arc<Preparation>,
}

impl Pair {
    /// New stores of their own, new contexts, and `count` persons enrolled.
    async fn open(home: &Path, stores: &Path, count: usize) -> Self {
        let identity = |name: &str| Identity::load(home, name).expect("an identity of the sandbox");
        let open = |name: &str| {
            let client = identity(name).client_at(&stores.join(format!("{name}.store")));
            Arc::new(client.expect("a client"))
        };
        let (sender, recipient) = (open("uwv"), open("neutraal"));
        for client in [&sender, &recipient] {
            client.open_context().await.expect("a context");
        }
        let persons: Vec<_> = numbers(count)
            .into_iter()
            .enumerate()
            .map(|(index, number)| (person(index), number))
            .collect();
        for enrolled in sender.enrol(&persons).await.expect("persons are enrolled") {
            assert!(enrolled.refused.is_none(), "a person was refused");
        }
        let to: Party = identity("neutraal").party().parse().expect("a party");
        let labels = |of: Vec<(Label, Secret<Vec<u8>>)>| of.into_iter().map(|(label, _)| label);
        let preparation = Preparation {
            recipient: to,
            purpose: "HANDOVER".parse().expect("a purpose"),
            basis: "SUWI_62_1".parse().expect("a basis"),
            summary_labels: labels(summary()).collect(),
            dossier_labels: labels(dossier()).collect(),
            group: None,
        };
        Self {
            sender,
            recipient,
            preparation: Arc::new(preparation),
        }
    }

    async fn prepare(&self, index: usize) -> HandoverId {
        let prepared = self.sender.prepare(&person(index), &self.preparation).await;
        prepared.expect("a handover is prepared").receipt.handover
    }

    async fn offer(&self, handover: HandoverId) {
        self.sender
            .offer(&handover, &summary())
            .await
            .expect("a handover is offered");
    }

    async fn whole(&self, index: usize, today: &str) {
        let id = self.prepare(index).await;
        self.offer(id).await;
        self.recipient
            .fetch_offer(&id)
            .await
            .expect("an offer is fetched");
        self.recipient
            .accept(&id)
            .await
            .expect("an offer is accepted");
        self.sender.show(&id).await.expect("a handover is shown");
        self.sender
            .release(&id, &dossier())
            .await
            .expect("a dossier is released");
        self.recipient
            .fetch(&id)
            .await
            .expect("a dossier is fetched");
        self.recipient
            .complete(&id, today)
            .await
            .expect("a handover is completed");
    }
}

fn person(index: usize) -> PersonKey {
    PersonKey::new(&format!("bench-{index}")).expect("a key")
}

/// Does `work` for every number below `count`, so many at a time; gives how many a second.
async fn rate<F, W>(count: usize, concurrency: usize, work: W) -> f64
where
    W: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| {
            let (next, work) = (Arc::clone(&next), work.clone());
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    work(index).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no call failed");
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Calls a second at the bare relay, as a process of its own.
async fn relayed(home: &Path, database: &str, size: &Size) -> f64 {
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
    let answer = rate(count, size.concurrency, move |_| {
        let mut stub = stub.clone();
        async move {
            let request = ImportDirectoryRequest {
                request_id: vec![1; 16],
                directory_toml: vec![7; RELAYED_BYTES],
                signatures: Vec::new(),
            };
            stub.import_directory(request)
                .await
                .expect("a relayed call");
        }
    })
    .await;
    relay.kill().await.expect("the relay stops");
    answer
}

/// Today in the Netherlands' notation of a date, from the system.
async fn today() -> String {
    let date = Command::new("date")
        .arg("+%F")
        .output()
        .await
        .expect("date runs");
    String::from_utf8_lossy(&date.stdout).trim().to_owned()
}

/// Measures and prints.
pub(crate) async fn measure(
    sandbox: &Sandbox,
    place: &Place,
    size: &Size,
    floor: &Floor,
    table: &mut Table,
) {
    let home = &sandbox.folder;
    let relay = relayed(home, &place.relay, size).await;
    let pair = Pair::open(home, &place.stores, 2 * size.count + HANDOVERS).await;

    let at_work = pair.clone();
    let prepared = Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = Arc::clone(&prepared);
    rate(size.count, size.concurrency, move |index| {
        let (pair, list) = (at_work.clone(), Arc::clone(&list));
        async move {
            let id = pair.prepare(index).await;
            list.lock().expect("no panic").push(id);
        }
    })
    .await;
    let (at_work, list) = (pair.clone(), Arc::clone(&prepared));
    let offers = rate(size.count, size.concurrency, move |index| {
        let (pair, id) = (at_work.clone(), list.lock().expect("no panic")[index]);
        async move { pair.offer(id).await }
    })
    .await;
    let (at_work, begin) = (pair.clone(), size.count);
    let pairs = rate(size.count, size.concurrency, move |index| {
        let pair = at_work.clone();
        async move {
            let id = pair.prepare(begin + index).await;
            pair.offer(id).await;
        }
    })
    .await;
    table.heading(&format!(
        "{}: through the servers (the clients' sealing and stores on the same processors)",
        place.engine
    ));
    table.number("bare relay: mTLS, one durable INSERT", relay, "calls/s");
    table.number("CreateOffer", offers, "calls/s");
    table.ratio("CreateOffer over bare relay", offers / relay, "≥ 0.5");
    table.number("Prepare + Offer, two holders", pairs, "pairs/s");
    table.ratio(
        "pairs over pairs of bare relays",
        pairs / (relay / 2.0),
        "≥ 0.333",
    );

    let (at_work, begin, date) = (pair, 2 * size.count, today().await);
    let before = sandbox.processor_seconds();
    let whole = rate(HANDOVERS, size.concurrency.min(4), move |index| {
        let (pair, date) = (at_work.clone(), date.clone());
        async move { pair.whole(begin + index, &date).await }
    })
    .await;
    let spent = (sandbox.processor_seconds() - before) * 1e6 / HANDOVERS as f64;
    let least = least(floor);
    table.heading(&format!(
        "{}: one whole handover (Prepare to Complete; the database server's own processor time is not counted)",
        place.engine
    ));
    table.number("whole handovers", whole, "a second");
    table.number("processor time of broker and two holders", spent, "µs");
    table.number("their cryptographic minimum", least, "µs");
    table.ratio("processor over minimum", spent / least, "≤ 2");
}

/// Two conversions of two targets at each of two holders, with earlier vouchers and parents; at the
/// broker four vouchers, two manifests, two orders, two handles and eight promises.
fn least(floor: &Floor) -> f64 {
    let holders = floor.hop(1, 2, 0) + floor.hop(2, 2, 1) + floor.hop(1, 2, 1) + floor.hop(2, 2, 2);
    // Opening a handle is one multiplication, as making the next public key is.
    let handles = 2.0 * (floor.of("next public key") + floor.of("decode a ciphertext"));
    holders + 8.0 * floor.of("verify") + handles + 8.0 * floor.of("sign")
}
