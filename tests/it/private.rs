//! A PostgreSQL server of a test's own, which it may spoil, and PgBouncer in front of it.
//!
//! Must never leave a server behind, and must never touch the one on which the suite runs.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian puts it, which is outside the path of an ordinary user.
const PGBOUNCER: &str = "/usr/sbin/pgbouncer";
/// How long PgBouncer may take to listen.
const LISTENING_TIMEOUT: Duration = Duration::from_secs(20);

/// The server; it is stopped and gone when this is dropped.
pub(crate) struct PrivateServer(tempfile::TempDir);

impl PrivateServer {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let server = Self::place();
        server.script("start", &[]);
        server
    }

    /// Starts a standby that takes over all that `first` commits.
    pub(crate) fn follow(first: &Self) -> Self {
        let server = Self::place();
        server.script("follow", &[first.folder()]);
        server
    }

    /// Lets a standby take changes, and waits until it does.
    pub(crate) fn promote(&self) {
        self.script("promote", &[]);
    }

    /// Kills it with all its processes at once.
    pub(crate) fn kill(&self) {
        self.script("kill", &[]);
    }

    fn place() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Started by root it runs as another user, who must find its folder.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn script(&self, verb: &str, more: &[PathBuf]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let done = Command::new(root.join("postgres"))
            .arg(verb)
            .arg(self.folder())
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "tests/postgres {verb}");
    }

    /// The folder of its socket and its data.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("server")
    }

    /// The address of its database for a user.
    pub(crate) fn url_of(&self, user: &str) -> String {
        let folder = self.folder();
        format!(
            "postgres://{user}@localhost/postgres?host={}",
            folder.display()
        )
    }

    /// The address for the user who may do everything.
    pub(crate) fn url(&self) -> String {
        self.url_of("sluis")
    }

    /// Runs statements as the user who may do everything.
    pub(crate) async fn run(&self, statements: &[&'static str]) {
        let options: PgConnectOptions = self.url().parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        for statement in statements {
            let done = sqlx::raw_sql(*statement).execute(&mut connection).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.close().await.unwrap();
    }

    /// Lets nobody in but as these lines of pg_hba.conf say.
    pub(crate) async fn let_in(&self, lines: &str) {
        std::fs::write(self.folder().join("data/pg_hba.conf"), lines).unwrap();
        self.run(&["SELECT pg_reload_conf()"]).await;
    }

    /// Puts PgBouncer before it, on the port beside its own; it is gone when what is given is dropped.
    pub(crate) fn behind_pgbouncer(&self, settings: &str) -> Pooler {
        let folder = self.folder();
        let place = folder.display();
        let path = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\npostgres = host={place} user=sluis\n[pgbouncer]\nlisten_port = 6432\n\
             unix_socket_dir = {place}\nauth_type = any\n{settings}"
        );
        std::fs::write(&path, text).unwrap();
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(PGBOUNCER);
            command
        } else {
            Command::new(PGBOUNCER)
        };
        let socket = folder.join(".s.PGSQL.6432");
        drop(std::fs::remove_file(&socket));
        let log = std::fs::File::create(folder.join("pgbouncer.log")).unwrap();
        command.arg(path).stdin(Stdio::null()).stderr(log);
        let child = command.spawn();
        let pooler =
            Pooler(child.expect("pgbouncer is there: on Debian, apt-get install pgbouncer"));
        let begun = Instant::now();
        while !socket.exists() {
            let told = std::fs::read_to_string(folder.join("pgbouncer.log"));
            assert!(begun.elapsed() < LISTENING_TIMEOUT, "{told:?}");
            std::thread::yield_now();
        }
        pooler
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.script("stop", &[]);
    }
}

/// A running PgBouncer.
pub(crate) struct Pooler(Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Whether this test runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
