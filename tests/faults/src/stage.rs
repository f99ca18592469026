//! Sets the stage: a sandbox's files, its servers, a harmed way between every two of them, and the clients.
//!
//! Must never let a client or a server past its harmed way.

use crate::clock::Clock;
use crate::desk::Desk;
use crate::harm::Yard;
use crate::house::{Folder, program};
use crate::journal::Journal;
use crate::lanes::World;
use crate::postgres::Postgres;
use crate::proxy::Proxy;
use crate::servers::{Plan, Server, replace, until_all_serve};
use crate::{Arguments, Engine, readers};
use client::{Client, Connection, InboxEvent};
use gateway::cli::identity::Identity;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Clients of each kind.
const SENDERS: usize = 3;
const UNIONS: usize = 2;
const RECIPIENTS: usize = 3;
/// People at a time: on the law, on consent.
const LANES: [usize; 2] = [9, 6];
/// Orders of each kind that an organisation may have carried out: more than a run can need.
const QUOTAS: &str = "quota_enrol_per_day = 1000000\nquota_prepare_per_day = 1000000\n\
                      quota_handover_per_day = 1000000\nquota_portal_per_day = 1000000\n";

/// A reader at work, and the client that it reads with.
struct Reader {
    what: &'static str,
    client: Client,
    seen: JoinHandle<Vec<InboxEvent>>,
}

/// All that a run needs. The database server goes before its folder does.
pub(crate) struct Stage {
    pub(crate) yard: Yard,
    pub(crate) world: Arc<World>,
    pub(crate) lanes: [usize; 2],
    readers: Vec<Reader>,
    over: watch::Sender<bool>,
    pub(crate) folder: Folder,
}

/// A laid server: name, configuration, address.
struct Laid {
    name: String,
    configuration: PathBuf,
    address: String,
}

impl Stage {
    /// Lays everything and waits until it serves.
    pub(crate) async fn set(arguments: &Arguments) -> Self {
        let folder = Folder::new();
        let postgres = match arguments.engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                // Its user must be able to enter.
                let open = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(folder.beside(""), open).unwrap();
                Some(Postgres::start(&folder.beside("postgres"), true).await)
            }
        };
        let laid = lay(&folder, postgres.as_ref());
        let mut proxies = Vec::new();
        let ways = ways(&laid, &mut proxies).await;
        for server in &laid {
            Server::migrate(&server.configuration).await;
        }
        let mut plans: Vec<Plan> = laid.into_iter().map(Plan::from).collect();
        if arguments.brokers == 2 {
            plans.push(second(&plans));
        }
        let mut clocks = Vec::new();
        for plan in plans
            .iter_mut()
            .filter(|plan| plan.name.starts_with("broker"))
        {
            if let Some(clock) = Clock::new(&folder.beside(&format!("{}.clock", plan.name))) {
                plan.environment = clock.environment();
                clocks.push(clock);
            }
        }
        let mut brokers = Vec::new();
        for plan in plans.iter().filter(|plan| plan.name.starts_with("broker")) {
            let proxy = Proxy::open(&format!("clients to {}", plan.name), &plan.address).await;
            brokers.push(proxy.address.to_string());
            proxies.push(proxy);
        }
        let servers: Vec<_> = plans
            .into_iter()
            .map(|plan| Server::start(plan, &folder))
            .collect();
        until_all_serve(&servers).await;
        let (world, readers, over) = clients(&folder, &brokers, &ways.portal).await;
        let yard = Yard {
            servers,
            proxies,
            postgres,
            clocks,
            done: std::sync::Mutex::default(),
        };
        Self {
            yard,
            world,
            lanes: LANES,
            readers,
            over,
            folder,
        }
    }

    /// Lets the readers read to the end, and holds what they saw against the whole inbox.
    pub(crate) async fn check_readers(&mut self) {
        self.over.send_replace(true);
        for reader in self.readers.drain(..) {
            let seen = reader.seen.await.unwrap();
            let mut whole = Vec::new();
            let mut inbox = reader.client.inbox(Some(String::new()));
            while let Some(event) = inbox.next().await.unwrap() {
                whole.push(event);
            }
            if let Some(gap) = readers::gap(&seen, &whole) {
                let what = reader.what;
                self.world.journal.wrong(format!("{what}: {gap}"));
            }
        }
    }

    /// Ends; keeps the folder when asked to.
    pub(crate) fn leave(self, keep: bool) {
        let Self { yard, folder, .. } = self;
        drop(yard);
        if keep {
            eprintln!("kept: {}", folder.path().display());
            std::mem::forget(folder);
        }
    }
}

impl From<Laid> for Plan {
    fn from(laid: Laid) -> Self {
        Self {
            name: laid.name,
            configuration: laid.configuration,
            address: laid.address,
            environment: Vec::new(),
        }
    }
}

/// Makes the sandbox's files.
fn lay(folder: &Folder, postgres: Option<&Postgres>) -> Vec<Laid> {
    let mut command = Command::new(program());
    command
        .args(["sandbox", "--lay", "--json", "--folder"])
        .arg(folder.path());
    if let Some(postgres) = postgres {
        command.args(["--postgres", &postgres.url]);
    }
    let laid = command.output().unwrap();
    let told = String::from_utf8_lossy(&laid.stderr);
    assert!(laid.status.success(), "{told}");
    let answer: serde_json::Value = serde_json::from_slice(&laid.stdout).unwrap();
    let servers = answer["servers"].as_array().unwrap().iter().map(|server| {
        let text = |key: &str| server[key].as_str().unwrap().to_owned();
        Laid {
            name: text("name"),
            configuration: text("configuration").into(),
            address: text("address"),
        }
    });
    servers.collect()
}

/// The ways that do not begin at a broker's client.
struct Ways {
    portal: String,
}

/// Puts a harmed way between broker and key holders, portal and broker, and people and portal.
async fn ways(laid: &[Laid], proxies: &mut Vec<Arc<Proxy>>) -> Ways {
    let find = |name: &str| laid.iter().find(|server| server.name == name).unwrap();
    let (broker, portal) = (find("broker"), find("portal"));
    for holder in laid
        .iter()
        .filter(|server| server.name.starts_with("holder"))
    {
        let proxy = Proxy::open(&format!("broker to {}", holder.name), &holder.address).await;
        let address = |of: &str| format!("address = \"{of}\"");
        let (from, to) = (
            address(&holder.address),
            address(&proxy.address.to_string()),
        );
        replace(&broker.configuration, &from, &to);
        let text = std::fs::read_to_string(&holder.configuration).unwrap();
        std::fs::write(&holder.configuration, format!("{QUOTAS}{text}")).unwrap();
        proxies.push(proxy);
    }
    let proxy = Proxy::open("portal to broker", &broker.address).await;
    replace(
        &portal.configuration,
        &broker.address,
        &proxy.address.to_string(),
    );
    proxies.push(proxy);
    let proxy = Proxy::open("people to portal", &portal.address).await;
    let ways = Ways {
        portal: proxy.address.to_string(),
    };
    proxies.push(proxy);
    ways
}

/// A second broker on the first one's database, on a port of its own.
fn second(plans: &[Plan]) -> Plan {
    let first = plans.iter().find(|plan| plan.name == "broker").unwrap();
    let address = free_address();
    let configuration = first.configuration.with_file_name("second.toml");
    std::fs::copy(&first.configuration, &configuration).unwrap();
    let listen = |address: &str| format!("listen = \"{address}\"");
    replace(&configuration, &listen(&first.address), &listen(&address));
    Plan {
        name: "broker-2".to_owned(),
        configuration,
        address,
        environment: Vec::new(),
    }
}

/// A port below those from which the system takes its own: it is still free after a kill.
fn free_address() -> String {
    let free = (32_000..32_700).rev().find_map(|port| {
        let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
        listener.local_addr().ok()
    });
    free.unwrap().to_string()
}

/// The clients, divided over the brokers, and those who follow the inboxes.
async fn clients(
    folder: &Folder,
    brokers: &[String],
    portal: &str,
) -> (Arc<World>, Vec<Reader>, watch::Sender<bool>) {
    let journal = Arc::new(Journal::default());
    let mut desks = [Vec::new(), Vec::new(), Vec::new()];
    let kinds = [
        ("uwv", SENDERS),
        ("vakbond", UNIONS),
        ("neutraal", RECIPIENTS),
    ];
    for (of, (name, count)) in desks.iter_mut().zip(kinds) {
        for number in 0..count {
            let broker = &brokers[number % brokers.len()];
            of.push(Desk::open(folder, (name, number), broker, &journal).await);
        }
    }
    let (over, heard) = watch::channel(false);
    let (pages, stream) = (
        reading(folder, "uwv", brokers),
        reading(folder, "neutraal", brokers),
    );
    let readers = vec![
        Reader {
            what: "the reader of uwv's inbox by pages",
            client: pages.clone(),
            seen: tokio::spawn(readers::by_pages(pages, heard.clone())),
        },
        Reader {
            what: "the reader of neutraal's inbox by a stream",
            client: stream.clone(),
            seen: tokio::spawn(readers::by_stream(stream, heard)),
        },
    ];
    let identity = Identity {
        portal_address: portal.to_owned(),
        ..folder.identity("portal")
    };
    let connection: Connection = identity.connect_portal().unwrap();
    let parties = (folder.identity("vakbond"), folder.identity("neutraal"));
    let world = World::new(journal, desks, connection, parties);
    (Arc::new(world), readers, over)
}

fn reading(folder: &Folder, name: &str, brokers: &[String]) -> Client {
    let identity = Identity {
        broker_address: brokers[brokers.len() - 1].clone(),
        ..folder.identity(name)
    };
    let store: &Path = &folder.beside(&format!("{name}-reader.store"));
    identity.client_at(store).unwrap()
}
