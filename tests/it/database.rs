//! A server's database, opened beside it: for what no call would show or change.
//!
//! Must never be used for what a call can do, and must never assume an engine: it asks the server's own
//! configuration.

use gateway::configuration::{Configuration, DatabaseSettings};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;

/// The engine on which the suite runs: SQLite unless this says `postgres`.
const ENGINE: &str = "SLUIS_TEST_ENGINE";
/// The address of a PostgreSQL server on which schemas may be made.
const SERVER: &str = "SLUIS_TEST_POSTGRES";

/// What a sandbox is told of the engine on which the suite runs.
pub(crate) fn engine_arguments() -> Vec<String> {
    match std::env::var(ENGINE).as_deref() {
        Ok("postgres") => {
            let url = std::env::var(SERVER)
                .unwrap_or_else(|_| panic!("{SERVER} names no server: run tests/run"));
            vec!["--postgres".to_owned(), url]
        }
        Ok("sqlite") | Err(_) => Vec::new(),
        Ok(other) => panic!("{ENGINE} is `{other}`; it is sqlite or postgres"),
    }
}

/// A connection of the test's own.
pub(crate) enum Beside {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Runs one statement on either engine.
macro_rules! on {
    ($self:expr, $query:expr, $run:ident) => {
        match $self {
            Self::Sqlite(connection) => $query.$run(connection).await.unwrap(),
            Self::Postgres(connection) => $query.$run(connection).await.unwrap(),
        }
    };
}

impl Beside {
    /// Opens the database of the server whose files are in `home`.
    pub(crate) async fn of(home: &Path) -> Self {
        let configuration = Configuration::load(&home.join("sluis.toml")).unwrap();
        match configuration.database() {
            DatabaseSettings::File { path, .. } => Self::file(path).await,
            DatabaseSettings::Server { url, schema, .. } => {
                let options: PgConnectOptions = url.parse().unwrap();
                let options = options.options([("search_path", schema.as_ref().unwrap())]);
                Self::Postgres(options.connect().await.unwrap())
            }
        }
    }

    /// Opens a file of SQLite: a copy, where the first one's log must stay as it is.
    pub(crate) async fn file(path: &Path) -> Self {
        let url = format!("sqlite://{}", path.display());
        Self::Sqlite(SqliteConnection::connect(&url).await.unwrap())
    }

    /// Changes rows; gives how many.
    pub(crate) async fn execute(&mut self, sql: &'static str) -> u64 {
        match self {
            Self::Sqlite(connection) => {
                let done = sqlx::query(sql).execute(connection).await;
                done.unwrap().rows_affected()
            }
            Self::Postgres(connection) => {
                let done = sqlx::query(sql).execute(connection).await;
                done.unwrap().rows_affected()
            }
        }
    }

    /// Makes 20,000 copies of the one open handover, which have a key and which nobody can read; gives how many.
    pub(crate) async fn copy_the_open_handover(&mut self) -> u64 {
        macro_rules! copy {
            ($id:literal) => {
                concat!(
                    "INSERT INTO handover (handover_id, revision, state, sender_tag, recipient_tag, purpose_tag, \
                     subject_index, stop_number, entered_at, deadline_at, day, wrapped_key, body) \
                     WITH RECURSIVE counted (n) AS \
                     (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 20000) SELECT ",
                    $id,
                    ", revision, state, sender_tag, recipient_tag, purpose_tag, subject_index, stop_number, \
                     entered_at, deadline_at, day, wrapped_key, body \
                     FROM handover, counted WHERE wrapped_key IS NOT NULL"
                )
            };
        }
        let sql = match self {
            Self::Sqlite(_) => copy!("randomblob(16)"),
            Self::Postgres(_) => copy!("decode(md5(CAST(random() AS TEXT) || n), 'hex')"),
        };
        self.execute(sql).await
    }

    /// The same with one argument.
    pub(crate) async fn execute_with(&mut self, sql: &'static str, octets: &[u8]) -> u64 {
        match self {
            Self::Sqlite(connection) => {
                let done = sqlx::query(sql).bind(octets).execute(connection).await;
                done.unwrap().rows_affected()
            }
            Self::Postgres(connection) => {
                let done = sqlx::query(sql).bind(octets).execute(connection).await;
                done.unwrap().rows_affected()
            }
        }
    }

    /// One number.
    pub(crate) async fn number(&mut self, sql: &'static str) -> i64 {
        on!(self, sqlx::query_scalar(sql), fetch_one)
    }

    /// All rows of two columns of octets.
    pub(crate) async fn pairs(&mut self, sql: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
        on!(self, sqlx::query_as(sql), fetch_all)
    }

    /// The lines of the log, by id, with numbers in the order in which they were committed: SQLite numbers
    /// the rows of its one writer; PostgreSQL notes when each transaction was committed, and of two that
    /// waited for one lock the second is noted later.
    pub(crate) async fn committed(&mut self) -> Vec<(Vec<u8>, i64)> {
        let numbered = "SELECT entry_id, rowid FROM audit_entry";
        let timed = "SELECT entry_id, CAST(EXTRACT(EPOCH FROM pg_xact_commit_timestamp(xmin)) * 1000000 \
                     AS BIGINT) FROM audit_entry";
        let sql = match self {
            Self::Sqlite(_) => numbered,
            Self::Postgres(_) => timed,
        };
        self.numbered(sql).await
    }

    /// All rows of a column of octets and one of numbers.
    pub(crate) async fn numbered(&mut self, sql: &'static str) -> Vec<(Vec<u8>, i64)> {
        on!(self, sqlx::query_as(sql), fetch_all)
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}
