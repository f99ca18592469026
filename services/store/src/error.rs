//! What can go wrong with a database, sorted by what helps.
//!
//! Must never carry a value from a row: a database's message may, so it stays in the source and is
//! never printed to a caller.

use crate::opening::OpenFault;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::fmt::Display;
use std::sync::Arc;

/// A fault of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room left (disk full, or the page limit of the file).
    #[error("the database has no room left")]
    Full(#[source] Arc<sqlx::Error>),
    /// Busy, locked, closed or unreachable, or no longer the server that takes changes; the same command may succeed
    /// later.
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
const SQLITE_NOMEM: u32 = 7;
const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_PROTOCOL: u32 = 15;

/// What helps against a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Full,
    /// The same command later.
    Later,
    /// The same command on another connection: this one is broken, or leads to a server that is no longer the one.
    Elsewhere,
    Broken,
}

/// SQLSTATE (PostgreSQL 15, appendix A). What begins with 08 is about the connection, with 28 about who comes in,
/// with 53 about resources, with 57P about the server being stopped, with 58 about the machine under it.
fn sort_postgres(code: &str, ends_session: bool) -> Sort {
    match code {
        // disk_full
        "53100" => Sort::Full,
        // serialization_failure, deadlock_detected, lock_not_available, query_canceled (its time limit),
        // unique_violation (two commands wrote the same row at once: begun anew, the second one finds the first
        // one's), idle_in_transaction_session_timeout and transaction_timeout.
        "40001" | "40P01" | "55P03" | "57014" | "23505" | "25P03" | "25P04" => Sort::Later,
        // read_only_sql_transaction, and feature_not_supported: what a standby says of a serializable transaction,
        // and any server of a statement that was prepared for other tables. Statements that are not there, or there
        // already: something between here and the server gave the session another one.
        "25006" | "0A000" | "26000" | "42P05" => Sort::Elsewhere,
        _ if code.starts_with("53") => Sort::Later,
        _ if ends_session
            || ["08", "28", "57P", "58"]
                .iter()
                .any(|of| code.starts_with(of)) =>
        {
            Sort::Elsewhere
        }
        _ => Sort::Broken,
    }
}

fn sort_sqlite(code: &str) -> Sort {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(SQLITE_FULL) => Sort::Full,
        Ok(
            SQLITE_BUSY | SQLITE_LOCKED | SQLITE_NOMEM | SQLITE_READONLY | SQLITE_IOERR
            | SQLITE_CANTOPEN | SQLITE_PROTOCOL,
        ) => Sort::Later,
        _ => Sort::Broken,
    }
}

fn sort(error: &sqlx::Error) -> Sort {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            Sort::Later
        }
        // Settings are read at the start; what is wrong with them later is a file of theirs, or a name.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Configuration(_)
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement => Sort::Elsewhere,
        sqlx::Error::Database(fault) => {
            let code = fault.code().unwrap_or_default();
            match fault.try_downcast_ref::<PgDatabaseError>() {
                Some(fault) => {
                    let ends = matches!(fault.severity(), PgSeverity::Fatal | PgSeverity::Panic);
                    sort_postgres(&code, ends)
                }
                None => sort_sqlite(&code),
            }
        }
        _ => Sort::Broken,
    }
}

/// Whether a fault is a sign against the connection on which it came, and against those that are as old.
pub(crate) fn is_of_the_way(error: &sqlx::Error) -> bool {
    sort(error) == Sort::Elsewhere
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let sort = sort(&error);
        let source = Arc::new(error);
        match sort {
            Sort::Full => Self::Full(source),
            Sort::Later | Sort::Elsewhere => Self::Unavailable(source),
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

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::ConnectOptions as _;
    use sqlx::postgres::PgConnectOptions;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// What comes of a connection to a server that answers the first message with these octets and hangs up.
    async fn said(answer: Vec<u8>, mode: &str) -> sqlx::Error {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = door.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = door.accept().await.unwrap();
            let mut first = [0; 1_024];
            assert!(stream.read(&mut first).await.unwrap() > 0);
            stream.write_all(&answer).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let url = format!("postgres://sluis@127.0.0.1:{port}/postgres?sslmode={mode}");
        let options: PgConnectOptions = url.parse().unwrap();
        let (_, answer) = tokio::join!(server, options.connect());
        answer.unwrap_err()
    }

    /// PostgreSQL's message ErrorResponse.
    fn fault(severity: &str, code: &str) -> Vec<u8> {
        let fields = format!("S{severity}\0V{severity}\0C{code}\0Mno more\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap();
        [b"E", length.to_be_bytes().as_slice(), fields.as_bytes()].concat()
    }

    #[tokio::test]
    async fn what_a_server_says_is_sorted_by_what_helps() {
        for (severity, code, expected) in [
            ("ERROR", "53100", Sort::Full),
            ("ERROR", "40001", Sort::Later),
            ("ERROR", "57014", Sort::Later),
            ("ERROR", "23505", Sort::Later),
            ("FATAL", "25P03", Sort::Later),
            ("FATAL", "53300", Sort::Later),
            ("ERROR", "25006", Sort::Elsewhere),
            ("ERROR", "0A000", Sort::Elsewhere),
            ("ERROR", "26000", Sort::Elsewhere),
            ("ERROR", "08006", Sort::Elsewhere),
            ("FATAL", "08P01", Sort::Elsewhere),
            ("FATAL", "28P01", Sort::Elsewhere),
            ("FATAL", "3D000", Sort::Elsewhere),
            ("FATAL", "57P01", Sort::Elsewhere),
            ("FATAL", "57P02", Sort::Elsewhere),
            ("FATAL", "57P03", Sort::Elsewhere),
            ("ERROR", "58030", Sort::Elsewhere),
            ("PANIC", "XX000", Sort::Elsewhere),
            ("ERROR", "XX000", Sort::Broken),
            ("ERROR", "42P01", Sort::Broken),
            ("ERROR", "22001", Sort::Broken),
        ] {
            let error = said(fault(severity, code), "disable").await;
            assert_eq!(sort(&error), expected, "{severity} {code}: {error}");
        }
    }

    #[tokio::test]
    async fn whatever_happens_on_the_way_is_unavailable_and_never_the_command_s_fault() {
        let of_the_way = [
            (said(Vec::new(), "disable").await, "Io"),
            (
                said(b"HTTP/1.0 503 no leader\r\n\r\n".to_vec(), "disable").await,
                "Io",
            ),
            (said(b"!\0\0\0\x04".to_vec(), "disable").await, "Protocol"),
            (said(b"N".to_vec(), "require").await, "Tls"),
            (said(b"Sno handshake".to_vec(), "require").await, "Io"),
            (
                sqlx::Error::Configuration("no such file".into()),
                "Configuration",
            ),
            (sqlx::Error::BeginFailed, "BeginFailed"),
            (
                sqlx::Error::InvalidSavePointStatement,
                "InvalidSavePointStatement",
            ),
        ];
        for (error, kind) in of_the_way {
            let told = format!("{error:?}");
            assert!(told.starts_with(kind), "{kind}: {told}");
            assert!(is_of_the_way(&error), "{told}");
            assert!(Error::from(error).is_transient(), "{told}");
        }
        for error in [
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::WorkerCrashed,
        ] {
            assert!(!is_of_the_way(&error), "{error}");
            assert!(Error::from(error).is_transient());
        }
        for error in [
            sqlx::Error::RowNotFound,
            sqlx::Error::ColumnNotFound("none".to_owned()),
            sqlx::Error::Decode("no number".into()),
            sqlx::Error::Encode("too long".into()),
            sqlx::Error::InvalidArgument("none".to_owned()),
        ] {
            assert!(matches!(Error::from(error), Error::Broken(_)));
        }
    }

    #[test]
    fn a_file_whose_disk_fails_may_be_there_again_later() {
        for (code, expected) in [
            ("5", Sort::Later),
            ("266", Sort::Later),
            ("1032", Sort::Later),
            ("15", Sort::Later),
            ("13", Sort::Full),
            ("11", Sort::Broken),
            ("1", Sort::Broken),
        ] {
            assert_eq!(sort_sqlite(code), expected, "{code}");
        }
    }
}
