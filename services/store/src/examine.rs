//! Looking at a role's database without running on it: its server, its schema, its settings and its clock.
//!
//! Must never write, and must never take a lock that a running role would wait for.

use crate::engine::{Settings, check_server, connect_postgres, connect_sqlite};
use crate::freshness::Freshness;
use crate::schema::{check_schema, postgres_migrations, sqlite_migrations};
use crate::{Error, Role, Server, Tx, Work};
use rules::clock::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

/// How often a connection is asked on which server process it is.
const PROBES: usize = 3;

const SELECT_CLOCK: &str =
    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS millis";
const SELECT_PROCESS: &str = "SELECT CAST(pg_backend_pid() AS BIGINT) AS process";
const SELECT_SYNC_SETTINGS: &str = "SELECT current_setting('fsync') AS fsync, \
     current_setting('full_page_writes') AS full_page_writes, \
     current_setting('synchronous_commit') AS synchronous_commit";
const SELECT_JOURNAL: &str = "PRAGMA journal_mode";
const SELECT_SYNCHRONOUS: &str = "PRAGMA synchronous";
const SELECT_SECURE_DELETE: &str = "PRAGMA secure_delete";

/// `PRAGMA synchronous`: each commit waits for the disk.
const SYNCHRONOUS_FULL: i64 = 2;

/// A setting on which durability or deletion rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as the engine calls it.
    pub name: &'static str,
    /// Its value, as the engine writes it.
    pub value: String,
    /// Whether with this value no acknowledged command is lost, and what is deleted is gone.
    pub is_safe: bool,
}

/// One connection to a role's database, for looking only.
#[derive(Debug)]
pub struct Examination<'s> {
    settings: &'s Settings,
    connection: Connection,
}

#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl<'s> Examination<'s> {
    /// Connects; says nothing yet of what is there.
    ///
    /// # Errors
    /// [`Error::Open`] with what is wrong.
    pub async fn open(settings: &'s Settings) -> Result<Self, Error> {
        let connection = match settings {
            Settings::Sqlite(file) => Connection::Sqlite(connect_sqlite(file).await?),
            Settings::Postgres(server) => Connection::Postgres(connect_postgres(server).await?),
        };
        Ok(Self {
            settings,
            connection,
        })
    }

    /// Whether the server can be used, and its version (`server_version_num`); none for a file.
    ///
    /// # Errors
    /// [`Error::Open`]: too old, read only, or behind a pooler that drops the session's settings.
    pub async fn server(&mut self) -> Result<Option<i64>, Error> {
        match (&mut self.connection, self.settings) {
            (Connection::Postgres(connection), Settings::Postgres(server)) => {
                check_server(server, connection).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The version of the schema, which is this program's own for `role`.
    ///
    /// # Errors
    /// [`Error::Open`]: none, older, newer, another role's, or edited.
    pub async fn schema(&mut self, role: Role) -> Result<i64, Error> {
        let found = match (&mut self.connection, self.settings) {
            (Connection::Sqlite(connection), Settings::Sqlite(file)) => {
                let found = sqlite_migrations(file, connection).await?;
                check_schema(file, role, Role::on_sqlite, &found)?;
                found
            }
            (Connection::Postgres(connection), Settings::Postgres(server)) => {
                let found = postgres_migrations(server, connection).await?;
                check_schema(server, role, Role::on_postgres, &found)?;
                found
            }
            _ => Vec::new(),
        };
        Ok(found.last().map_or(0, |applied| applied.version))
    }

    /// The server's clock; none for a file, which has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clock(&mut self) -> Result<Option<Timestamp>, Error> {
        let Connection::Postgres(connection) = &mut self.connection else {
            return Ok(None);
        };
        let row = sqlx::raw_sql(SELECT_CLOCK).fetch_one(connection).await?;
        Ok(Some(Timestamp::from_millis(row.try_get("millis")?)))
    }

    /// The settings on which durability rests and, on SQLite, deletion.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sync_settings(&mut self) -> Result<Vec<Setting>, Error> {
        let setting = |name, value: String, is_safe| Setting {
            name,
            value,
            is_safe,
        };
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                let journal: String = sqlx::query_scalar(SELECT_JOURNAL)
                    .fetch_one(&mut *connection)
                    .await?;
                let synchronous: i64 = sqlx::query_scalar(SELECT_SYNCHRONOUS)
                    .fetch_one(&mut *connection)
                    .await?;
                let secure: i64 = sqlx::query_scalar(SELECT_SECURE_DELETE)
                    .fetch_one(&mut *connection)
                    .await?;
                let is_wal = journal == "wal";
                Ok(vec![
                    setting("journal_mode", journal, is_wal),
                    setting(
                        "synchronous",
                        synchronous.to_string(),
                        synchronous >= SYNCHRONOUS_FULL,
                    ),
                    setting("secure_delete", secure.to_string(), secure == 1),
                ])
            }
            Connection::Postgres(connection) => {
                let asked = sqlx::raw_sql(SELECT_SYNC_SETTINGS);
                let row = asked.fetch_one(connection).await?;
                let mut settings = Vec::new();
                for name in ["fsync", "full_page_writes", "synchronous_commit"] {
                    let value: String = row.try_get(name)?;
                    let is_safe = value != "off";
                    settings.push(setting(name, value, is_safe));
                }
                Ok(settings)
            }
        }
    }

    /// Whether something between here and the server gives a session now this and now that process of the
    /// server, as PgBouncer does in transaction mode; none for a file.
    ///
    /// # Errors
    /// When the server fails, or the pooler refuses a transaction.
    pub async fn is_pooled(&self) -> Result<Option<bool>, Error> {
        match self.settings {
            Settings::Sqlite(_) => Ok(None),
            Settings::Postgres(server) => changes_process(server).await.map(Some),
        }
    }

    /// Runs `work` in one transaction that only reads.
    ///
    /// # Errors
    /// What `work` gives, or the database's own fault.
    pub async fn read<W: Work>(&mut self, work: &W) -> Result<W::Output, W::Error> {
        let mut tx = match &mut self.connection {
            Connection::Sqlite(connection) => {
                let begun = connection.begin_with("BEGIN").await;
                Tx::sqlite(begun.map_err(Error::from)?, false)
            }
            Connection::Postgres(connection) => {
                let begun = connection.begin_with("BEGIN READ ONLY").await;
                let begun = begun.map_err(Error::from)?;
                Tx::postgres(begun, false, Freshness::default())
            }
        };
        let output = work.perform(&mut tx).await?;
        tx.commit().await?;
        Ok(output)
    }
}

/// Two sessions that are in a transaction at the same time have two processes. A pooler then has two free
/// ones, and gives the first session the other one, at once or at the next turn.
async fn changes_process(server: &Server) -> Result<bool, Error> {
    let mut one = connect_postgres(server).await?;
    let mut other = connect_postgres(server).await?;
    sqlx::raw_sql("BEGIN READ ONLY").execute(&mut one).await?;
    let first = process(&mut one).await?;
    sqlx::raw_sql("BEGIN READ ONLY").execute(&mut other).await?;
    process(&mut other).await?;
    sqlx::raw_sql("ROLLBACK").execute(&mut one).await?;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await?;
    let mut changes = false;
    for _ in 0..PROBES {
        changes = changes || process(&mut one).await? != first;
    }
    Ok(changes)
}

async fn process(connection: &mut PgConnection) -> Result<i64, Error> {
    let row = sqlx::raw_sql(SELECT_PROCESS).fetch_one(connection).await?;
    Ok(row.try_get("process")?)
}
