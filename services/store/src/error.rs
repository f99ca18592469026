//! What can go wrong with a database, sorted by what helps.
//!
//! Must never carry a value from a row: a database's message may, so it stays in the source and is
//! never printed to a caller.

use crate::opening::OpenFault;
use sqlx::postgres::PgDatabaseError;
use std::fmt::Display;
use std::sync::Arc;

/// A fault of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room left (disk full, or the page limit of the file).
    #[error("the database has no room left")]
    Full(#[source] Arc<sqlx::Error>),
    /// Busy, locked, closed or unreachable; the same command may succeed later.
    #[error("the database is busy or cannot be reached")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database cannot be opened. Nothing was changed in it.
    #[error("the database `{place}` {fault}; {}", fault.remedy())]
    Open {
        /// The file or the server, without a password.
        place: String,
        /// What is wrong.
        fault: OpenFault,
        /// What the database said, where it said something.
        source: Option<Arc<sqlx::Error>>,
    },
    /// A migration failed.
    #[error(
        "a migration of the database `{place}` failed, and nothing of it was kept; repair the cause and \
         run `sluis migrate` again"
    )]
    Migration {
        /// The file or the server, without a password.
        place: String,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// A row has a value that this program never writes.
    #[error("a row of {0} does not have the form this program writes")]
    Malformed(&'static str),
    /// What only looks something up wanted to change something.
    #[error("what only reads may change nothing")]
    OnlyReads,
    /// Anything else: a wrong statement, a broken file.
    #[error("the database failed")]
    Broken(#[source] Arc<sqlx::Error>),
}

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>); extended codes keep them in the
/// low octet.
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_READONLY: u32 = 8;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;

/// What helps against a fault.
enum Sort {
    Full,
    Unavailable,
    Broken,
}

/// SQLSTATE (PostgreSQL 15, appendix A). What begins with 08 is about the
/// connection, with 53 about resources, with 57P about the server being stopped.
fn sort_postgres(code: &str) -> Sort {
    match code {
        // disk_full
        "53100" => Sort::Full,
        // serialization_failure, deadlock_detected, lock_not_available, query_canceled (its time limit),
        // read_only_sql_transaction (a server that is no longer the first one), unique_violation (two
        // commands wrote the same row at once: begun anew, the second one finds the first one's),
        // idle_in_transaction_session_timeout and transaction_timeout.
        "40001" | "40P01" | "55P03" | "57014" | "25006" | "23505" | "25P03" | "25P04" => {
            Sort::Unavailable
        }
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => {
            Sort::Unavailable
        }
        _ => Sort::Broken,
    }
}

fn sort_sqlite(code: &str) -> Sort {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(SQLITE_FULL) => Sort::Full,
        Ok(SQLITE_BUSY | SQLITE_LOCKED | SQLITE_READONLY | SQLITE_CANTOPEN) => Sort::Unavailable,
        _ => Sort::Broken,
    }
}

fn sort(error: &sqlx::Error) -> Sort {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_) => Sort::Unavailable,
        sqlx::Error::Database(fault) => {
            let code = fault.code().unwrap_or_default();
            if fault.try_downcast_ref::<PgDatabaseError>().is_some() {
                sort_postgres(&code)
            } else {
                sort_sqlite(&code)
            }
        }
        _ => Sort::Broken,
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let sort = sort(&error);
        let source = Arc::new(error);
        match sort {
            Sort::Full => Self::Full(source),
            Sort::Unavailable => Self::Unavailable(source),
            Sort::Broken => Self::Broken(source),
        }
    }
}

impl Error {
    /// That the database at `place` cannot be opened.
    pub(crate) fn open(place: &impl Display, fault: OpenFault, source: sqlx::Error) -> Self {
        Self::Open {
            place: place.to_string(),
            fault,
            source: Some(Arc::new(source)),
        }
    }

    /// The same, found by looking, without anything that the database said.
    pub(crate) fn unfit(place: &impl Display, fault: OpenFault) -> Self {
        Self::Open {
            place: place.to_string(),
            fault,
            source: None,
        }
    }

    /// The same fault once more, for another of those whom it befell.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Full(source) => Self::Full(Arc::clone(source)),
            Self::Unavailable(source) => Self::Unavailable(Arc::clone(source)),
            Self::Broken(source) => Self::Broken(Arc::clone(source)),
            Self::Open { .. } | Self::Migration { .. } | Self::Malformed(_) | Self::OnlyReads => {
                Self::Broken(Arc::new(sqlx::Error::WorkerCrashed))
            }
        }
    }

    /// Whether the same command, begun anew, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
