//! The two engines: how each is opened, and how its tables come about. SQLite is the default and needs
//! nothing beside it; PostgreSQL is for everybody who runs one.
//!
//! Must never open a database with another schema than this program's own, and must never put a password
//! into an error or a log.

use crate::Error;
use crate::freshness::Freshness;
use crate::opening::{OpenFault, of_file, of_server};
use crate::schema::{check_schema, must_migrate, postgres_migrations, sqlite_migrations};
use rules::secret::Secret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// How long a statement waits for another process's lock on SQLite.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections for looking things up on SQLite; writing has one of its own.
const READERS_MAX: u32 = 4;
/// The mode of a new file: only its owner reads it, whatever the process's mask.
const FILE_MODE: u32 = 0o600;
/// How long a command waits for a connection to PostgreSQL.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to let a first connection in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The oldest server (`server_version_num`).
const SERVER_VERSION_MIN: i64 = 150_000;
/// Bounds on PostgreSQL's side: a statement, the wait for a lock, and a transaction of a client that is
/// gone, in milliseconds; and a mark.
const SERVER_LIMITS: [(&str, &str); 4] = [
    ("statement_timeout", "5000"),
    ("lock_timeout", "4000"),
    ("idle_in_transaction_session_timeout", "10000"),
    // By this the session knows that it got the others.
    ("sluis.session", "kept"),
];

/// Makes the schema that the connection's own setting names: a name cannot be an argument.
const CREATE_SCHEMA: &str = "DO $$ BEGIN \
     EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', current_setting('sluis.schema')); END $$";
/// Removes the schema that the connection's own setting names, with everything in it.
const DROP_SCHEMA: &str = "DO $$ BEGIN \
     EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', current_setting('sluis.schema')); END $$";
/// What a server must be before anything is asked of it: its version, whether it takes changes, and
/// whether it kept the settings with which the session began.
const SELECT_SERVER: &str = "SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version, \
     CAST(CASE current_setting('transaction_read_only') WHEN 'on' THEN 1 ELSE 0 END AS BIGINT) AS read_only, \
     CAST(CASE current_setting('sluis.session', true) WHEN 'kept' THEN 1 ELSE 0 END AS BIGINT) AS kept";
/// Writes nothing, and gives it back: SQLite opens a file that it may not write without a word.
const PROBE_WRITING: &str = "BEGIN IMMEDIATE; PRAGMA user_version = 0; ROLLBACK";

/// Whose tables a database has. Each role has its own database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The gateway's broker.
    Broker,
    /// A key holder.
    Holder,
    /// The portal.
    Portal,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Broker, Self::Holder, Self::Portal];

    /// The role's name, as in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Holder => "holder",
            Self::Portal => "portal",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Where the database is and how it is opened.
#[derive(Debug)]
pub enum Settings {
    /// A file of SQLite.
    Sqlite(File),
    /// A server of PostgreSQL, 15 or newer.
    Postgres(Server),
}

/// A file of SQLite.
#[derive(Clone, Debug)]
pub struct File {
    /// The database file.
    pub path: PathBuf,
    /// Most pages that the file may have (`PRAGMA max_page_count`); `None` for SQLite's own bound.
    pub pages_max: Option<u32>,
}

/// A database of PostgreSQL.
#[derive(Debug)]
pub struct Server {
    /// `postgres://user@host:port/database`, with `sslmode` and `sslrootcert` where needed.
    pub url: String,
    /// The user's password, where there is one; never part of the URL.
    pub password: Option<Secret<String>>,
    /// The schema in which this role's tables are: lower-case letters, digits and `_`. `public` when there
    /// is none.
    pub schema: Option<String>,
    /// Most connections that this process opens.
    pub connections_max: u32,
}

/// Brings the database at `settings` to this program's schema, making the file when there is none.
///
/// # Errors
/// When it cannot be opened, has another role's or a newer program's tables, or a migration fails; what was
/// there stays as it was.
pub async fn migrate(settings: &Settings, role: Role) -> Result<(), Error> {
    match settings {
        Settings::Sqlite(file) => {
            let refused = |source| Error::open(file, of_file(&file.path, &source), source);
            make(file);
            let options = sqlite(file).create_if_missing(true);
            let mut connection = options.connect().await.map_err(refused)?;
            let probed = sqlx::raw_sql(PROBE_WRITING).execute(&mut connection).await;
            probed.map_err(refused)?;
            let found = sqlite_migrations(file, &mut connection).await?;
            if must_migrate(settings, role, Role::on_sqlite, &found)? {
                let done = role.on_sqlite().run(&mut connection).await;
                done.map_err(|source| Error::Migration {
                    place: settings.to_string(),
                    source,
                })?;
            }
            connection.close().await?;
        }
        Settings::Postgres(server) => migrate_server(server, role).await?,
    }
    Ok(())
}

/// Makes an empty file that only its owner reads, where there is none; what SQLite puts beside it has the same mode. What
/// keeps it from being made keeps SQLite from opening it, which says why.
fn make(file: &File) {
    let mut new = std::fs::OpenOptions::new();
    new.write(true).create_new(true).mode(FILE_MODE);
    drop(new.open(&file.path));
}

/// The same on a server.
pub(crate) async fn migrate_server(server: &Server, role: Role) -> Result<(), Error> {
    let refused = |source| Error::open(server, of_server(&source), source);
    let mut connection = connect_postgres(server).await?;
    check_server(server, &mut connection).await?;
    if server.schema.is_some() {
        let made = sqlx::query(CREATE_SCHEMA).execute(&mut connection).await;
        made.map_err(refused)?;
    }
    let found = postgres_migrations(server, &mut connection).await?;
    if must_migrate(server, role, Role::on_postgres, &found)? {
        let done = role.on_postgres().run(&mut connection).await;
        done.map_err(|source| Error::Migration {
            place: server.to_string(),
            source,
        })?;
    }
    connection.close().await?;
    Ok(())
}

/// Removes a role's schema from a PostgreSQL server with everything in it: for throw-away databases. A file
/// of SQLite and the schema `public` are left alone.
///
/// # Errors
/// When the server cannot be used.
pub async fn remove_schema(settings: &Settings) -> Result<(), Error> {
    let Settings::Postgres(server) = settings else {
        return Ok(());
    };
    if server.schema.is_some() {
        let mut connection = connect_postgres(server).await?;
        sqlx::query(DROP_SCHEMA).execute(&mut connection).await?;
        connection.close().await?;
    }
    Ok(())
}

/// The writing connection and the reading ones.
pub(crate) async fn open_sqlite(
    file: &File,
    role: Role,
) -> Result<(SqlitePool, SqlitePool), Error> {
    let refused = |source| Error::open(file, of_file(&file.path, &source), source);
    let writer = sqlite_pool(1).connect_with(sqlite(file)).await;
    let writer = writer.map_err(refused)?;
    let probed = sqlx::raw_sql(PROBE_WRITING).execute(&writer).await;
    probed.map_err(refused)?;
    let readers = sqlite_pool(READERS_MAX)
        .connect_with(sqlite(file).read_only(true))
        .await
        .map_err(refused)?;
    let mut reader = readers.acquire().await.map_err(refused)?;
    let found = sqlite_migrations(file, &mut reader).await?;
    check_schema(file, role, Role::on_sqlite, &found)?;
    drop(reader);
    Ok((writer, readers))
}

/// The connections to a server, and since when they are fresh.
pub(crate) async fn open_postgres(
    server: &Server,
    role: Role,
) -> Result<(PgPool, Freshness), Error> {
    // A connection by itself first: a pool tries again until it only knows that it waited.
    let mut first = connect_postgres(server).await?;
    check_server(server, &mut first).await?;
    let found = postgres_migrations(server, &mut first).await?;
    check_schema(server, role, Role::on_postgres, &found)?;
    first.close().await?;
    let freshness = Freshness::default();
    let pool = PgPoolOptions::new()
        .max_connections(server.connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = freshness.watch(pool).connect_lazy_with(postgres(server)?);
    Ok((pool, freshness))
}

/// One connection that only reads a file, made as the program makes its own.
pub(crate) async fn connect_sqlite(file: &File) -> Result<SqliteConnection, Error> {
    let connected = settings_of_session(file).read_only(true).connect().await;
    connected.map_err(|source| Error::open(file, of_file(&file.path, &source), source))
}

/// One connection to a server, within a bounded time.
pub(crate) async fn connect_postgres(server: &Server) -> Result<PgConnection, Error> {
    match tokio::time::timeout(CONNECT_TIMEOUT, postgres(server)?.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => Err(Error::open(server, of_server(&source), source)),
        Err(_) => Err(Error::unfit(server, OpenFault::Unreachable)),
    }
}

/// Refuses a server that is too old, takes no changes, or did not get the settings of the session; gives
/// its version (`server_version_num`).
pub(crate) async fn check_server(
    server: &Server,
    connection: &mut PgConnection,
) -> Result<i64, Error> {
    let refused = |source| Error::open(server, of_server(&source), source);
    let row = sqlx::raw_sql(SELECT_SERVER).fetch_one(connection).await;
    let row = row.map_err(refused)?;
    let number = |name| row.try_get::<i64, _>(name).map_err(refused);
    let version = number("version")?;
    match server_fault(version, number("kept")? == 1, number("read_only")? == 1) {
        None => Ok(version),
        Some(fault) => Err(Error::unfit(server, fault)),
    }
}

/// What is wrong with a server of this version, if something is.
fn server_fault(version: i64, is_kept: bool, is_read_only: bool) -> Option<OpenFault> {
    if version < SERVER_VERSION_MIN {
        Some(OpenFault::TooOld(version))
    } else if !is_kept {
        Some(OpenFault::Pooler)
    } else if is_read_only {
        Some(OpenFault::ReadOnlyServer)
    } else {
        None
    }
}

/// At most this many connections, each free of what an earlier transaction may have left.
///
/// When the disk is full SQLite rolls back by itself; sqlx's own rollback then fails and leaves the
/// connection counting a transaction that is gone, so that none could ever begin on it again. Such a
/// connection is closed, and a fresh one takes its place.
fn sqlite_pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(std::future::ready(Ok(is_free)))
        })
}

fn sqlite(file: &File) -> SqliteConnectOptions {
    settings_of_session(file).journal_mode(SqliteJournalMode::Wal)
}

/// What each connection sets for itself; the journal is a matter of the file.
pub(crate) fn settings_of_session(file: &File) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(&file.path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // What is deleted is overwritten, so that a destroyed payload is not found in the file.
        .pragma("secure_delete", "ON");
    match file.pages_max {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}

fn postgres(server: &Server) -> Result<PgConnectOptions, Error> {
    let options: PgConnectOptions = server
        .url
        .parse()
        .map_err(|source| Error::open(server, OpenFault::Address, source))?;
    let mut options = options.application_name("sluis").options(SERVER_LIMITS);
    if let Some(schema) = &server.schema {
        options = options.options([("search_path", schema), ("sluis.schema", schema)]);
    }
    Ok(match &server.password {
        Some(password) => options.password(password.expose()),
        None => options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one fault that cannot be made where there is no old server.
    #[test]
    fn a_server_older_than_15_is_told_its_version() {
        let old = server_fault(140_012, true, false).unwrap();
        assert_eq!(old, OpenFault::TooOld(140_012));
        assert!(old.to_string().contains("PostgreSQL 14, and 15 is needed"));
        assert_eq!(server_fault(SERVER_VERSION_MIN, true, false), None);
    }

    #[test]
    fn a_place_never_has_a_password() {
        let url = "postgres://sluis:hush@db.internal:6543/sluis?password=hush";
        let server = Server {
            url: url.to_owned(),
            password: Some(Secret::new("hush".to_owned())),
            schema: Some("broker".to_owned()),
            connections_max: 1,
        };
        let place = server.to_string();
        assert_eq!(place, "sluis@db.internal:6543/sluis schema broker");
    }
}
