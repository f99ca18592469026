//! A database that goes over to another server: meanwhile every answer says that it cannot be had, soon after calls are
//! served again by themselves, and nothing that was acknowledged is lost.
//!
//! Must never play a server that switches over: there are two, the second follows the first, and something between
//! them and the roles is turned, as a balancer does.

use crate::house::{SUMMARY, preparation, reason_of, values};
use crate::laid::{Laid, serves};
use crate::outage::{enrol_many, offered, once, state};
use crate::private::PrivateServer;
use client::{Client, ClientError, Connection};
use rules::handover::State;
use rules::id::HandoverId;
use rules::reason::Reason;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::directory::v1::GetStatusRequest;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;

/// Longest time from the new server's being there until calls are served.
const BACK_MAX: Duration = Duration::from_secs(15);
/// Longest time until health has seen that the database takes no changes, or takes them again.
const SEEN_MAX: Duration = Duration::from_secs(12);
/// Those that ask at the same time: more than one connection to the database is needed for them.
const ASKERS: usize = 6;
/// Handovers that are offered across the switch, at a time, and so many of them before it.
const OFFERS: usize = 24;
const AT_A_TIME: usize = 3;
const BEFORE: usize = 3;
/// All that have a database.
const ROLES: [&str; 4] = ["holder-1", "holder-2", "broker", "portal"];

/// A way that leads to one server and can be turned to another. What went through before stays where it went.
struct Way {
    port: u16,
    to: Arc<Mutex<PathBuf>>,
}

impl Way {
    async fn to(server: &PrivateServer) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = door.local_addr().unwrap().port();
        let to = Arc::new(Mutex::new(server.folder()));
        let turned = Arc::clone(&to);
        tokio::spawn(async move {
            loop {
                let (near, _) = door.accept().await.unwrap();
                let folder = turned.lock().unwrap().clone();
                tokio::spawn(carry(near, folder.join(".s.PGSQL.5432")));
            }
        });
        Self { port, to }
    }

    fn turn(&self, server: &PrivateServer) {
        *self.to.lock().unwrap() = server.folder();
    }

    fn url(&self) -> String {
        let port = self.port;
        format!("postgres://sluis@127.0.0.1:{port}/postgres?sslmode=disable")
    }
}

async fn carry(mut near: TcpStream, socket: PathBuf) {
    // A server that is gone: whoever came is hung up on.
    if let Ok(mut far) = UnixStream::connect(socket).await {
        drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
    }
}

/// Two servers, of which the second has whatever the first acknowledged.
async fn pair() -> (PrivateServer, PrivateServer) {
    let first = PrivateServer::start();
    let second = PrivateServer::follow(&first);
    first
        .run(&[
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        ])
        .await;
    let options: PgConnectOptions = first.url().parse().unwrap();
    let mut beside = options.connect().await.unwrap();
    let followed = "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(followed)
        .fetch_one(&mut beside)
        .await
        .unwrap()
        == 0
    {
        assert!(begun.elapsed() < SEEN_MAX, "nobody follows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    beside.close().await.unwrap();
    (first, second)
}

/// Waits until health says of every role that it serves, or that it does not.
async fn check_health(laid: &Laid, expected: bool) {
    for role in ROLES {
        let door = laid.connection(role);
        let begun = Instant::now();
        while serves(&door).await != expected {
            assert!(begun.elapsed() < SEEN_MAX, "{role}: never {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One call that leaves a line in the log; otherwise why not.
async fn ask(door: &Connection) -> Result<(), String> {
    let mut stub = DirectoryServiceClient::new(door.channel());
    match stub.get_status(GetStatusRequest {}).await {
        Ok(_) => Ok(()),
        Err(status) => Err(format!("{} {status}", reason_of(&status))),
    }
}

/// Asks and asks until it is told to end; gives when it asked, and what was answered.
async fn keep_asking(door: Connection, end: Arc<AtomicBool>) -> Vec<(Instant, Result<(), String>)> {
    let mut answers = Vec::new();
    while !end.load(Ordering::Relaxed) {
        answers.push((Instant::now(), ask(&door).await));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers
}

/// Offers one after another; tells what was acknowledged. What was not waits in the outbox.
async fn keep_offering(
    client: Client,
    handovers: Vec<HandoverId>,
    tell: mpsc::UnboundedSender<HandoverId>,
) {
    for handover in handovers {
        match client.offer(&handover, &values(SUMMARY)).await {
            Ok(_) => tell.send(handover).unwrap(),
            Err(error) => {
                assert!(matches!(error, ClientError::Waiting { .. }), "{error:?}");
                assert_eq!(
                    error.reason(),
                    Some(Reason::StorageUnavailable),
                    "{error:?}"
                );
            }
        }
    }
}

/// Has the database go over while calls come in. `outage` ends with the second server taking changes and the way
/// leading to it.
async fn check(outage: impl AsyncFnOnce(&PrivateServer, &PrivateServer, &Way, &Laid)) {
    let (first, second) = pair().await;
    let way = Way::to(&first).await;
    let mut laid = Laid::lay_at(&way.url());
    laid.start_all().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let asked = preparation(&laid.identity("neutraal"), None);
    let mut prepared = Vec::new();
    for who in enrol_many(&uwv, OFFERS).await {
        prepared.push(uwv.prepare(&who, &asked).await.unwrap().receipt.handover);
    }

    let end = Arc::new(AtomicBool::new(false));
    let mut askers = JoinSet::new();
    for _ in 0..ASKERS {
        askers.spawn(keep_asking(laid.connection("broker"), Arc::clone(&end)));
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut offering = JoinSet::new();
    for part in prepared.chunks(OFFERS / AT_A_TIME) {
        offering.spawn(keep_offering(once(&uwv), part.to_vec(), tell.clone()));
    }
    drop(tell);
    let mut acknowledged = BTreeSet::new();
    while acknowledged.len() < BEFORE {
        acknowledged.insert(told.recv().await.unwrap());
    }

    outage(&first, &second, &way, &laid).await;
    let there = Instant::now();
    let door = laid.connection("broker");
    while let Err(reason) = ask(&door).await {
        assert!(there.elapsed() < BACK_MAX, "{reason}");
    }
    let back = Instant::now();
    check_health(&laid, true).await;
    end.store(true, Ordering::Relaxed);
    let mut refused = 0;
    while let Some(answers) = askers.join_next().await {
        for (asked, answer) in answers.unwrap() {
            if let Err(reason) = answer {
                assert!(reason.starts_with("STORAGE_UNAVAILABLE"), "{reason}");
                assert!(asked < there + BACK_MAX, "{reason}, after it was back");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "nobody noticed");
    println!("back after {:?}, {refused} refused", back - there);

    while let Some(ended) = offering.join_next().await {
        ended.unwrap();
    }
    while let Some(handover) = told.recv().await {
        acknowledged.insert(handover);
    }
    for handover in &acknowledged {
        assert_eq!(state(&uwv, handover).await, State::Offered, "it was lost");
    }
    assert_eq!(uwv.store().waiting().len() + acknowledged.len(), OFFERS);
    let resumed = uwv.resume().await.unwrap();
    assert!(resumed.iter().all(|one| one.outcome.is_ok()), "{resumed:?}");
    let every_once = prepared.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(offered(&desk).await, every_once);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_first_server_that_is_killed_is_an_outage_until_the_second_is_there() {
    check(async |first, second, way, laid| {
        first.kill();
        check_health(laid, false).await;
        second.promote();
        way.turn(second);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_first_server_that_lives_on_without_taking_changes_keeps_nobody() {
    check(async |first, second, way, laid| {
        first
            .run(&[
                "ALTER SYSTEM SET default_transaction_read_only = on",
                "SELECT pg_reload_conf()",
            ])
            .await;
        check_health(laid, false).await;
        let said = laid.say("broker", &["doctor"]).await;
        assert_eq!(said.code, 1, "{}", said.out);
        for words in [
            "fault           database:",
            "takes no changes",
            "NOT_SERVING",
        ] {
            assert!(said.out.contains(words), "`{words}` is not in {}", said.out);
        }
        second.promote();
        way.turn(second);
    })
    .await;
}
