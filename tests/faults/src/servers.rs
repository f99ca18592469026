//! The servers of a run, each watched and started again whenever it ends, as an operator's supervisor does.
//!
//! Must never stop one gently: it is killed (SIGKILL) and has no time to tidy up. Must never leave one behind.

use crate::house::{Folder, program};
use client::Connection;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How often a server that starts is asked whether it serves.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a server that ended by itself is left down.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// How long all may take until they serve.
const READY_TIMEOUT: Duration = Duration::from_secs(90);

/// What became of a server until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) starts: u64,
    pub(crate) ended_by_itself: u64,
    /// The longest from a kill until it served again.
    pub(crate) longest_away: Duration,
    serves: bool,
}

/// Kill it; say that it is down; start it again when the other end is dropped.
struct Order {
    down: oneshot::Sender<()>,
    up: oneshot::Receiver<()>,
}

/// A server that is down; it starts again when this is dropped.
pub(crate) struct Down {
    _up: oneshot::Sender<()>,
}

/// One server.
pub(crate) struct Server {
    pub(crate) name: String,
    configuration: PathBuf,
    environment: Vec<(&'static str, String)>,
    orders: mpsc::UnboundedSender<Order>,
    tally: Mutex<Tally>,
}

/// What a server is started with.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) configuration: PathBuf,
    pub(crate) address: String,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Server {
    /// Makes its database.
    pub(crate) async fn migrate(configuration: &Path) {
        let mut command = Command::new(program());
        command.args(["migrate", "--config"]).arg(configuration);
        let made = command.output().await.unwrap();
        let told = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{}: {told}", configuration.display());
    }

    /// Starts it, and again whenever it ends.
    pub(crate) fn start(plan: Plan, folder: &Folder) -> Arc<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let portal = folder.identity("portal");
        let door = Connection::from_files(
            &portal.certificate,
            &portal.key,
            &portal.issuer,
            &portal.broker_server_name,
            &plan.address,
        );
        let server = Arc::new(Self {
            name: plan.name,
            configuration: plan.configuration,
            environment: plan.environment,
            orders,
            tally: Mutex::default(),
        });
        let watched = Arc::clone(&server);
        let door = door.unwrap();
        tokio::spawn(async move { watched.watch(received, &door).await });
        server
    }

    /// The folder of its own files.
    pub(crate) fn home(&self) -> &Path {
        self.configuration.parent().unwrap()
    }

    /// Kills it and leaves it down as long as the answer is held.
    pub(crate) async fn down(&self) -> Down {
        let (down, is_down) = oneshot::channel();
        let (up, may_go_up) = oneshot::channel();
        let order = Order {
            down,
            up: may_go_up,
        };
        self.orders.send(order).ok().unwrap();
        is_down.await.unwrap();
        Down { _up: up }
    }

    /// Puts `to` in the place of `from` in its configuration.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        replace(&self.configuration, from, to);
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// What it logged: its last lines.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let skip = text.lines().count().saturating_sub(5);
        text.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// Lines of its log that hold this.
    pub(crate) fn logged(&self, what: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let found = text.lines().filter(|line| line.contains(what));
        found.map(str::to_owned).collect()
    }

    fn log(&self) -> PathBuf {
        self.configuration
            .with_file_name(format!("{}.log", self.name))
    }

    fn spawn(&self) -> Child {
        let log = || {
            let file = File::options().create(true).append(true).open(self.log());
            file.unwrap()
        };
        self.tally.lock().unwrap().starts += 1;
        Command::new(program())
            .args(["serve", "--config"])
            .arg(&self.configuration)
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            // It ends with this program, whatever ends that.
            .arg("--until-input-ends")
            .stdin(Stdio::piped())
            .stdout(log())
            .stderr(log())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn watch(&self, mut orders: mpsc::UnboundedReceiver<Order>, door: &Connection) {
        let mut away = None;
        loop {
            let mut child = self.spawn();
            // Waiting for a child closes what it still holds.
            let input = child.stdin.take();
            let order = self.run(&mut child, &mut orders, door, &mut away).await;
            self.tally.lock().unwrap().serves = false;
            away = away.or(Some(Instant::now()));
            let Some(order) = order else {
                self.tally.lock().unwrap().ended_by_itself += 1;
                tokio::time::sleep(RESTART_PAUSE).await;
                continue;
            };
            child.kill().await.unwrap();
            self.tally.lock().unwrap().kills += 1;
            drop(input);
            order.down.send(()).ok();
            // Whoever had it killed drops the other end.
            drop(order.up.await);
        }
    }

    /// Lets it run until it is to be killed; none when it ended by itself.
    async fn run(
        &self,
        child: &mut Child,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        door: &Connection,
        away: &mut Option<Instant>,
    ) -> Option<Order> {
        let mut serving = false;
        loop {
            tokio::select! {
                order = orders.recv() => return order,
                _ = child.wait() => return None,
                () = until_it_serves(door), if !serving => {
                    serving = true;
                    let mut tally = self.tally.lock().unwrap();
                    tally.serves = true;
                    if let Some(since) = away.take() {
                        tally.longest_away = tally.longest_away.max(since.elapsed());
                    }
                }
            }
        }
    }

    fn serves(&self) -> bool {
        self.tally.lock().unwrap().serves
    }
}

/// Waits until all serve.
pub(crate) async fn until_all_serve(servers: &[Arc<Server>]) {
    let begun = Instant::now();
    while let Some(silent) = servers.iter().find(|server| !server.serves()) {
        let late = begun.elapsed() > READY_TIMEOUT;
        assert!(!late, "{} is silent: {}", silent.name, silent.last_words());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn until_it_serves(door: &Connection) {
    loop {
        let asked = HealthClient::new(door.channel())
            .check(HealthCheckRequest::default())
            .await;
        if asked.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
            return;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Puts `to` in the place of `from` in a file, once.
pub(crate) fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "no `{from}` in {}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}
