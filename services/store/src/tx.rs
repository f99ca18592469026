//! The one door to SQL: a named transaction around one command, counted, retried, and nothing else.
//!
//! Must never let a statement run outside a transaction, and a command must never wait for anything
//! but the database while it holds one.

use crate::Error;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _, Sqlite, SqlitePool, Transaction};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

static BROKER: sqlx::migrate::Migrator = sqlx::migrate!("migrations/broker/sqlite");
static HOLDER: sqlx::migrate::Migrator = sqlx::migrate!("migrations/holder/sqlite");
static PORTAL: sqlx::migrate::Migrator = sqlx::migrate!("migrations/portal/sqlite");

/// How often a command is begun anew after a transient fault before the caller hears of it.
const ATTEMPTS_MAX: u32 = 4;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections for looking things up; writing has one of its own.
const READERS_MAX: u32 = 4;

const SELECT_SCHEMA_TABLE: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
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
    fn migrator(self) -> &'static sqlx::migrate::Migrator {
        match self {
            Self::Broker => &BROKER,
            Self::Holder => &HOLDER,
            Self::Portal => &PORTAL,
        }
    }
}

/// Where the database is and how it is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database file.
    pub path: PathBuf,
    /// Most pages that the file may have (`PRAGMA max_page_count`); `None` for SQLite's own bound.
    pub pages_max: Option<u32>,
}

/// A role's database. Cheap to share; the pools are private so that [`Tx`] stays the only door.
#[derive(Debug)]
pub struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// One command's work inside a transaction. A type and not a closure, so that it can be begun anew
/// after a transient fault and so that its future is `Send`.
pub trait Work: Send + Sync {
    /// What it gives back once committed.
    type Output: Send;
    /// What can go wrong.
    type Error: From<Error> + Send;
    /// Name of the transaction: the command's, and so the span's, the metric's and the entry's.
    fn name(&self) -> &'static str;

    /// Does the work. Must await nothing but `tx`, and must change nothing but rows, because it may
    /// run more than once.
    ///
    /// # Errors
    /// Any error rolls everything back.
    fn perform<'a>(
        &'a self,
        tx: &'a mut Tx,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send + 'a;

    /// Whether `error` is a passing fault of the database after which the work may be begun anew.
    fn is_transient(error: &Self::Error) -> bool;
}

/// An open transaction: the only thing that statements run on.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    statements: u32,
}

impl Tx {
    /// The connection for one statement, which is counted.
    pub(crate) fn statement(&mut self) -> &mut sqlx::SqliteConnection {
        self.statements = self.statements.saturating_add(1);
        &mut self.inner
    }

    /// How many statements have run so far (round trips are budgeted: a test pins each command's).
    #[must_use]
    pub fn statements(&self) -> u32 {
        self.statements
    }
}

/// Brings the database at `settings` to this program's schema, making the file when there is none.
///
/// # Errors
/// When the file cannot be opened or a migration fails; a failed migration leaves what was.
pub async fn migrate(settings: &Settings, role: Role) -> Result<(), Error> {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options(settings).create_if_missing(true))
        .await?;
    role.migrator().run(&pool).await.map_err(Error::Migration)?;
    pool.close().await;
    Ok(())
}

impl Database {
    /// Opens a migrated database.
    ///
    /// # Errors
    /// [`Error::Schema`] when it has another schema than this program's: older, newer, edited, or
    /// another role's; otherwise when it cannot be opened.
    pub async fn open(settings: &Settings, role: Role) -> Result<Self, Error> {
        let writer = pool(1).connect_with(options(settings)).await?;
        let readers = pool(READERS_MAX)
            .connect_with(options(settings).read_only(true))
            .await?;
        let database = Self { writer, readers };
        database.check_schema(role).await?;
        Ok(database)
    }

    /// Refuses any schema but this program's own: older, newer, edited, or another role's.
    async fn check_schema(&self, role: Role) -> Result<(), Error> {
        let needed: Vec<(i64, Vec<u8>)> = role
            .migrator()
            .iter()
            .map(|migration| (migration.version, migration.checksum.to_vec()))
            .collect();
        let found = self.migrations().await?;
        if found == needed {
            return Ok(());
        }
        let last =
            |migrations: &[(i64, Vec<u8>)]| migrations.last().map_or(0, |(version, _)| *version);
        Err(Error::Schema {
            found: last(&found),
            needed: last(&needed),
        })
    }

    async fn migrations(&self) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        let mut connection = self.readers.acquire().await?;
        let tables: i64 = sqlx::query_scalar(SELECT_SCHEMA_TABLE)
            .fetch_one(&mut *connection)
            .await?;
        if tables == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(SELECT_MIGRATIONS)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter()
            .map(|row| Ok((column(row, "version")?, column(row, "checksum")?)))
            .collect()
    }

    /// Runs `work` in one writing transaction and commits it; begins anew after a transient fault.
    ///
    /// # Errors
    /// What `work` gives, or the database's own fault. Nothing is half-written.
    pub async fn write<W: Work>(&self, work: &W) -> Result<W::Output, W::Error> {
        let mut attempt = 1;
        loop {
            let result = self.attempt(work, &self.writer, "BEGIN IMMEDIATE").await;
            match result {
                Err(error) if attempt < ATTEMPTS_MAX && W::is_transient(&error) => {
                    tracing::info!(
                        transaction = work.name(),
                        attempt,
                        "begins anew after a passing fault"
                    );
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    /// Runs `work` in one transaction that only reads.
    ///
    /// # Errors
    /// What `work` gives, or the database's own fault.
    pub async fn read<W: Work>(&self, work: &W) -> Result<W::Output, W::Error> {
        self.attempt(work, &self.readers, "BEGIN").await
    }

    async fn attempt<W: Work>(
        &self,
        work: &W,
        pool: &SqlitePool,
        begin: &'static str,
    ) -> Result<W::Output, W::Error> {
        let inner = pool.begin_with(begin).await.map_err(Error::from)?;
        let mut tx = Tx {
            inner,
            statements: 0,
        };
        let output = work.perform(&mut tx).await?;
        tracing::debug!(
            transaction = work.name(),
            statements = tx.statements,
            "commits"
        );
        tx.inner.commit().await.map_err(Error::from)?;
        Ok(output)
    }

    /// Closes the database after the running commands.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

/// A column's value; a value of another type is a fault, never a default.
pub(crate) fn column<'r, T>(row: &'r SqliteRow, name: &'static str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(name).map_err(Error::from)
}

/// A column that holds exactly `N` octets.
pub(crate) fn fixed<const N: usize>(row: &SqliteRow, name: &'static str) -> Result<[u8; N], Error> {
    let octets: Vec<u8> = column(row, name)?;
    octets.try_into().map_err(|_| Error::Malformed(name))
}

/// At most this many connections, each free of what an earlier transaction may have left.
///
/// When the disk is full SQLite rolls back by itself; sqlx's own rollback then fails and leaves the
/// connection counting a transaction that is gone, so that none could ever begin on it again. Such a
/// connection is closed, and a fresh one takes its place.
fn pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(std::future::ready(Ok(is_free)))
        })
}

fn options(settings: &Settings) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(&settings.path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // What is deleted is overwritten, so that a destroyed payload is not found in the file.
        .pragma("secure_delete", "ON");
    match settings.pages_max {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}
