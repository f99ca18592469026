//! What can go wrong with a database, sorted by what helps.
//!
//! Must never carry a value from a row: a database's message may, so it stays in the source and is
//! never printed to a caller.

/// A fault of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room left (disk full, or the page limit of the file).
    #[error("the database has no room left")]
    Full(#[source] sqlx::Error),
    /// Busy, locked, closed or unreachable; the same command may succeed later.
    #[error("the database is busy or cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The database does not have the tables this program was built for.
    #[error(
        "the database has schema version {found} and this program needs {needed} of its own role; \
         run `sluis migrate`, or check that the path is this role's database"
    )]
    Schema {
        /// The version in the database; 0 for none.
        found: i64,
        /// The version of this program.
        needed: i64,
    },
    /// A migration failed.
    #[error("a migration failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A row has a value that this program never writes.
    #[error("a row of {0} does not have the form this program writes")]
    Malformed(&'static str),
    /// Anything else: a wrong statement, a broken file.
    #[error("the database failed")]
    Broken(#[source] sqlx::Error),
}

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>); extended codes keep them in the
/// low octet.
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(error)
            }
            sqlx::Error::Database(fault) => {
                let primary = fault
                    .code()
                    .and_then(|code| code.parse::<u32>().ok())
                    .map(|code| code & 0xff);
                match primary {
                    Some(SQLITE_FULL) => Self::Full(error),
                    Some(SQLITE_BUSY | SQLITE_LOCKED | SQLITE_CANTOPEN) => Self::Unavailable(error),
                    _ => Self::Broken(error),
                }
            }
            _ => Self::Broken(error),
        }
    }
}

impl Error {
    /// Whether the same command, begun anew, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
