//! A sandbox that is only laid: the test changes its files, starts its servers, kills them and starts
//! them again.
//!
//! Must never leave a process behind, and must never wait for time where it can wait for the thing.

use crate::database::engine_arguments;
use crate::house::{Folder, READY_TIMEOUT, program};
use crate::private::is_root;
use client::Connection;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How often something is looked at that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// One server of the sandbox; it is killed when this is dropped.
struct Server {
    name: String,
    configuration: PathBuf,
    address: String,
    /// What its process is started with besides.
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Server {
    fn log(&self) -> PathBuf {
        self.configuration.with_file_name("log.txt")
    }

    fn command(&self, verb: &str) -> Command {
        let log = || {
            let file = File::options().create(true).append(true).open(self.log());
            file.unwrap()
        };
        let mut command = Command::new(program());
        command
            .args([verb, "--config"])
            .arg(&self.configuration)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        command
    }

    fn migrate(&self) {
        assert!(self.command("migrate").status().unwrap().success());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A laid sandbox. The servers come first, so that they are gone before their folder is.
pub(crate) struct Laid {
    servers: Vec<Server>,
    folder: Folder,
    /// Locks its ports, as a sandbox that runs does: no other takes one while its server is down.
    _ports: TcpListener,
}

impl Deref for Laid {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

/// What a verb printed, complained of and ended with, and how long it took.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Laid {
    /// Makes the folder; nothing runs yet.
    pub(crate) fn lay() -> Self {
        Self::lay_on(&engine_arguments())
    }

    /// Makes the folder with files of SQLite, whatever the suite runs on: for what only a file can do.
    pub(crate) fn lay_files() -> Self {
        Self::lay_on(&[])
    }

    /// Makes the folder with schemas on this server of PostgreSQL, whatever the suite runs on.
    pub(crate) fn lay_at(url: &str) -> Self {
        Self::lay_on(&["--postgres".to_owned(), url.to_owned()])
    }

    fn lay_on(engine: &[String]) -> Self {
        let folder = Folder::new();
        let laid = Command::new(program())
            .args(["sandbox", "--lay", "--json", "--folder"])
            .arg(folder.path())
            .args(engine)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&laid.stderr);
        assert!(laid.status.success(), "{told}");
        let answer: serde_json::Value = serde_json::from_slice(&laid.stdout).unwrap();
        let servers = answer["servers"].as_array().unwrap().iter().map(|server| {
            let text = |key: &str| server[key].as_str().unwrap().to_owned();
            Server {
                name: text("name"),
                configuration: text("configuration").into(),
                address: text("address"),
                environment: Vec::new(),
                child: None,
            }
        });
        let servers: Vec<_> = servers.collect();
        let address: SocketAddr = servers[0].address.parse().unwrap();
        let ports = TcpListener::bind((address.ip(), address.port() - 1)).unwrap();
        Self {
            servers,
            folder,
            _ports: ports,
        }
    }

    /// Makes the folder and starts every server.
    pub(crate) async fn open() -> Self {
        let mut laid = Self::lay();
        laid.start_all().await;
        laid
    }

    /// The same with files of SQLite.
    pub(crate) async fn open_files() -> Self {
        let mut laid = Self::lay_files();
        laid.start_all().await;
        laid
    }

    /// Starts every server, in the order in which they need each other.
    pub(crate) async fn start_all(&mut self) {
        for place in 0..self.servers.len() {
            let name = self.servers[place].name.clone();
            self.start(&name).await;
        }
    }

    /// Migrates a server, starts it and waits until it serves.
    pub(crate) async fn start(&mut self, name: &str) {
        let server = self.server_mut(name);
        assert!(server.child.is_none(), "{name} runs already");
        server.migrate();
        server.child = Some(server.command("serve").spawn().unwrap());
        self.wait_until_it_serves(name).await;
    }

    /// What a server's process is started with from now on, besides what it always has.
    pub(crate) fn live_by(&mut self, name: &str, environment: Vec<(&'static str, String)>) {
        self.server_mut(name).environment = environment;
    }

    /// The id of a server's process.
    pub(crate) fn process(&self, name: &str) -> u32 {
        self.server(name).child.as_ref().unwrap().id()
    }

    /// Makes a server's database, without starting it.
    pub(crate) fn migrate(&self, name: &str) {
        self.server(name).migrate();
    }

    async fn wait_until_it_serves(&mut self, name: &str) {
        let door = self.connection(name);
        let begun = Instant::now();
        while !serves(&door).await {
            let log = self.log(name);
            let child = self.server_mut(name).child.as_mut().unwrap();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended ({ended:?}):\n{log}");
            assert!(begun.elapsed() < READY_TIMEOUT, "{name} is silent:\n{log}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Kills a server at once (SIGKILL): it can finish nothing.
    pub(crate) fn kill(&mut self, name: &str) {
        let server = self.server_mut(name);
        assert!(server.child.is_some(), "{name} does not run");
        server.kill();
    }

    /// Tells a server to read its certificate files again.
    pub(crate) fn hang_up(&self, name: &str) {
        let id = self.process(name).to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status();
        assert!(sent.unwrap().success());
    }

    /// How much memory a server has and had at most, as the system says.
    pub(crate) fn memory(&self, name: &str) -> String {
        let id = self.server(name).child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let lines = status
            .lines()
            .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
        lines.collect::<Vec<_>>().join(", ")
    }

    /// Starts a server that is to refuse to start, and gives what it said.
    pub(crate) async fn refusal_to_start(&self, name: &str) -> String {
        let said = self.say(name, &["serve"]).await;
        assert_ne!(said.code, 0, "{name} ended as if all were well");
        said.err
    }

    /// Gives a server's configuration to a verb that ends by itself. Where the test runs as root, the right
    /// of root to write everywhere is left behind.
    pub(crate) async fn say(&self, name: &str, verb: &[&str]) -> Said {
        let mut command = if is_root() {
            let mut command = tokio::process::Command::new("setpriv");
            command.arg("--bounding-set=-dac_override,-dac_read_search");
            command.arg(program());
            command
        } else {
            tokio::process::Command::new(program())
        };
        command
            .args(verb)
            .arg("--config")
            .arg(&self.server(name).configuration)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let begun = Instant::now();
        let ended = tokio::time::timeout(READY_TIMEOUT, command.output()).await;
        let ended = ended
            .unwrap_or_else(|_| panic!("{verb:?} of {name} does not end by itself"))
            .unwrap();
        Said {
            code: ended.status.code().unwrap(),
            out: String::from_utf8(ended.stdout).unwrap(),
            err: String::from_utf8(ended.stderr).unwrap(),
            took: begun.elapsed(),
        }
    }

    /// Puts `to` in the place of `from` in a server's configuration.
    pub(crate) fn configure(&self, name: &str, from: &str, to: &str) {
        let path = &self.server(name).configuration;
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{from} is not in the configuration");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// The folder of a server's own files.
    pub(crate) fn home(&self, name: &str) -> &Path {
        self.server(name).configuration.parent().unwrap()
    }

    /// What a server has logged until now.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.server(name).log()).unwrap_or_default()
    }

    /// Waits until a server has logged this.
    pub(crate) async fn wait_for_log(&self, name: &str, text: &str) {
        self.wait_for_count(name, text, 1).await;
    }

    /// Waits until a server has logged this so many times.
    pub(crate) async fn wait_for_count(&self, name: &str, text: &str, count: usize) {
        let begun = Instant::now();
        while self.log(name).matches(text).count() < count {
            let late = begun.elapsed() > READY_TIMEOUT;
            assert!(!late, "{name} never logged `{text}`:\n{}", self.log(name));
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// A new way to a server. The portal asks: every server knows its certificate.
    pub(crate) fn connection(&self, name: &str) -> Connection {
        let portal = self.identity("portal");
        Connection::from_files(
            &portal.certificate,
            &portal.key,
            &portal.issuer,
            &portal.broker_server_name,
            &self.server(name).address,
        )
        .unwrap()
    }

    fn server(&self, name: &str) -> &Server {
        let mut servers = self.servers.iter();
        servers.find(|server| server.name == name).unwrap()
    }

    fn server_mut(&mut self, name: &str) -> &mut Server {
        let mut servers = self.servers.iter_mut();
        servers.find(|server| server.name == name).unwrap()
    }
}

/// Whether a server says that it serves.
pub(crate) async fn serves(door: &Connection) -> bool {
    HealthClient::new(door.channel())
        .check(HealthCheckRequest::default())
        .await
        .is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}
