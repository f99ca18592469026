//! The two engines: how each is opened, and how its tables come about. SQLite is the default and needs
//! nothing beside it; PostgreSQL is for everybody who runs one.
//!
//! Must never open a database with another schema than this program's own, and must never put a password
//! into an error or a log.

use crate::Error;
use rules::secret::Secret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::PathBuf;
use std::time::Duration;

/// How long a statement waits for another process's lock on SQLite.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections for looking things up on SQLite; writing has one of its own.
const READERS_MAX: u32 = 4;
/// How long a command waits for a connection to PostgreSQL.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bounds on PostgreSQL's side: a statement, the wait for a lock, and a transaction of a client that is
/// gone, in milliseconds.
const SERVER_LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "5000"),
    ("lock_timeout", "4000"),
    ("idle_in_transaction_session_timeout", "10000"),
];

/// Makes the schema that the connection's own setting names: a name cannot be an argument.
const CREATE_SCHEMA: &str = "DO $$ BEGIN \
     EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', current_setting('sluis.schema')); END $$";
/// Removes the schema that the connection's own setting names, with everything in it.
const DROP_SCHEMA: &str = "DO $$ BEGIN \
     EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', current_setting('sluis.schema')); END $$";
/// Tables that sqlx keeps its migrations in, by engine.
const SELECT_SQLITE_SCHEMA: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const SELECT_POSTGRES_SCHEMA: &str = "SELECT COUNT(*) FROM information_schema.tables \
     WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'";
const SELECT_MIGRATIONS: &str =
    "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";

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
    fn on_sqlite(self) -> Migrator {
        match self {
            Self::Broker => sqlx::migrate!("migrations/broker/sqlite"),
            Self::Holder => sqlx::migrate!("migrations/holder/sqlite"),
            Self::Portal => sqlx::migrate!("migrations/portal/sqlite"),
        }
    }

    fn on_postgres(self) -> Migrator {
        match self {
            Self::Broker => sqlx::migrate!("migrations/broker/postgres"),
            Self::Holder => sqlx::migrate!("migrations/holder/postgres"),
            Self::Portal => sqlx::migrate!("migrations/portal/postgres"),
        }
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
/// When it cannot be opened or a migration fails; a failed migration leaves what was.
pub async fn migrate(settings: &Settings, role: Role) -> Result<(), Error> {
    match settings {
        Settings::Sqlite(file) => {
            let mut connection = sqlite(file).create_if_missing(true).connect().await?;
            let done = role.on_sqlite().run(&mut connection).await;
            done.map_err(Error::Migration)?;
            connection.close().await?;
        }
        Settings::Postgres(server) => {
            let mut connection = postgres(server)?.connect().await?;
            if server.schema.is_some() {
                sqlx::query(CREATE_SCHEMA).execute(&mut connection).await?;
            }
            let done = role.on_postgres().run(&mut connection).await;
            done.map_err(Error::Migration)?;
            connection.close().await?;
        }
    }
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
        let mut connection = postgres(server)?.connect().await?;
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
    let writer = sqlite_pool(1).connect_with(sqlite(file)).await?;
    let readers = sqlite_pool(READERS_MAX)
        .connect_with(sqlite(file).read_only(true))
        .await?;
    let tables: i64 = sqlx::query_scalar(SELECT_SQLITE_SCHEMA)
        .fetch_one(&readers)
        .await?;
    let found = if tables == 0 {
        Vec::new()
    } else {
        sqlx::query_as(SELECT_MIGRATIONS)
            .fetch_all(&readers)
            .await?
    };
    check_schema(&role.on_sqlite(), &found)?;
    Ok((writer, readers))
}

pub(crate) async fn open_postgres(server: &Server, role: Role) -> Result<PgPool, Error> {
    let pool = PgPoolOptions::new()
        .max_connections(server.connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(postgres(server)?)
        .await?;
    let tables: i64 = sqlx::query_scalar(SELECT_POSTGRES_SCHEMA)
        .fetch_one(&pool)
        .await?;
    let found = if tables == 0 {
        Vec::new()
    } else {
        sqlx::query_as(SELECT_MIGRATIONS).fetch_all(&pool).await?
    };
    check_schema(&role.on_postgres(), &found)?;
    Ok(pool)
}

/// Refuses any schema but this program's own: older, newer, edited, or another role's.
fn check_schema(own: &Migrator, found: &[(i64, Vec<u8>)]) -> Result<(), Error> {
    let needed: Vec<(i64, Vec<u8>)> = own
        .iter()
        .map(|migration| (migration.version, migration.checksum.to_vec()))
        .collect();
    if found == needed {
        return Ok(());
    }
    let last = |migrations: &[(i64, Vec<u8>)]| migrations.last().map_or(0, |(version, _)| *version);
    Err(Error::Schema {
        found: last(found),
        needed: last(&needed),
    })
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
    let options = SqliteConnectOptions::new()
        .filename(&file.path)
        .journal_mode(SqliteJournalMode::Wal)
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
    let options: PgConnectOptions = server.url.parse().map_err(Error::from)?;
    let mut options = options.application_name("sluis").options(SERVER_LIMITS);
    if let Some(schema) = &server.schema {
        options = options.options([("search_path", schema), ("sluis.schema", schema)]);
    }
    Ok(match &server.password {
        Some(password) => options.password(password.expose()),
        None => options,
    })
}
