//! Why a database cannot be opened: what is wrong, where, and what to do about it.
//!
//! Must never hold a password: a place is a file, or user, host, port, database and schema of a server.

use crate::Role;
use crate::engine::{File, Server, Settings};
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::path::Path;

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>).
const SQLITE_BUSY: u32 = 5;
const SQLITE_READONLY: u32 = 8;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;

/// What keeps a database from being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFault {
    /// There is no such file.
    NoFile,
    /// There is no such folder.
    NoFolder,
    /// File or folder may not be read or written by this process.
    Permission,
    /// The file holds something else than a database.
    NotADatabase,
    /// Another process writes and does not stop.
    Busy,
    /// There is no room on the disk, or the file has its most pages.
    Full,
    /// The address cannot be read.
    Address,
    /// Nobody answers at the address.
    Unreachable,
    /// No protected connection comes about.
    Tls,
    /// The server does not take the password.
    Password,
    /// The server does not let this user in from here.
    User,
    /// The server has no such database.
    NoDatabase,
    /// The server has no connection left.
    TooManyConnections,
    /// The server is starting or stopping.
    Starting,
    /// The user lacks a right on the schema or its tables.
    Rights,
    /// The server takes no changes.
    ReadOnlyServer,
    /// The server is of this version (`server_version_num`), which is too old.
    TooOld(i64),
    /// What stands between drops the settings of the session, or changes the server below it.
    Pooler,
    /// There are no tables yet.
    NoTables,
    /// An older program's tables, with this last version; this program's has the second number.
    Older(i64, i64),
    /// A newer program's tables, with this last version; this program's has the second number.
    Newer(i64, i64),
    /// The tables of another role.
    OtherRole(Role),
    /// Pages or references are broken.
    Damaged,
    /// There is something already, where nothing may be.
    NotEmpty,
    /// The migrations that made the tables are not this program's.
    Edited(i64),
    /// Anything else; the source says it.
    Other,
}

impl OpenFault {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NoFile => "run `sluis migrate`, which makes it, or correct `path`",
            Self::NoFolder => "make the folder, or correct `path`",
            Self::Permission => {
                "give the process's user the right to read and write the file and its folder"
            }
            Self::NotADatabase => "correct `path`, or restore the file from a backup",
            Self::Busy => "stop the other process that uses the file",
            Self::Full => "make room on the disk, or raise `pages_max`",
            Self::Address => "correct `url`, as in postgres://user@host:5432/database",
            Self::Unreachable => {
                "check host and port in `url`, the firewall, and that the server runs"
            }
            Self::Tls => {
                "check `sslmode` and `sslrootcert` in `url` against the server's certificate"
            }
            Self::Password => "put the user's password into the file that `password_file` names",
            Self::User => "check the user in `url`, and the server's pg_hba.conf",
            Self::NoDatabase => "make the database on the server, or correct its name in `url`",
            Self::TooManyConnections => {
                "lower `connections_max` of the processes, or raise the server's max_connections"
            }
            Self::Starting => "wait until the server is there, and start again",
            Self::Rights => {
                "run `sluis migrate` and the role as the same user of the server, with the right to create on the database"
            }
            Self::ReadOnlyServer => {
                "name the server that takes changes, or take default_transaction_read_only off"
            }
            Self::TooOld(_) => "use a server of PostgreSQL 15 or newer",
            Self::Pooler => {
                "connect to the server itself: a pooler such as PgBouncer in transaction mode cannot be used"
            }
            Self::Damaged => "restore another backup",
            Self::NotEmpty => {
                "name a place where nothing is: what is there is never written over; move it aside first"
            }
            Self::NoTables | Self::Older(..) => "run `sluis migrate`",
            Self::Newer(..) => {
                "run the newer program, or restore the backup from before its migration"
            }
            Self::OtherRole(_) => "give each role a database or a schema of its own",
            Self::Edited(_) => "restore the tables from a backup that this program made",
            Self::Other => "see the cause",
        }
    }
}

impl fmt::Display for OpenFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older(found, needed) => write!(
                out,
                "has schema version {found}, and this program needs {needed}"
            ),
            Self::Newer(found, needed) => write!(
                out,
                "has schema version {found} of a newer program, and this one knows {needed}"
            ),
            Self::OtherRole(role) => write!(out, "has the tables of another role: {}", role.name()),
            Self::Edited(version) => write!(
                out,
                "has schema version {version}, made by other migrations than this program's"
            ),
            Self::TooOld(version) => write!(
                out,
                "is on a server of PostgreSQL {}, and 15 is needed",
                version / 10_000
            ),
            Self::NoFile => out.write_str("is not there"),
            Self::NoFolder => out.write_str("would lie in a folder that is not there"),
            Self::Permission => out.write_str("may not be read and written by this process"),
            Self::Damaged => out.write_str("is damaged"),
            Self::NotEmpty => out.write_str("has something in it already"),
            Self::NotADatabase => out.write_str("is not a database of SQLite"),
            Self::Busy => out.write_str("is being written by another process"),
            Self::Full => out.write_str("has no room left"),
            Self::Address => out.write_str("has an address that cannot be read"),
            Self::Unreachable => out.write_str("cannot be reached: nobody answers"),
            Self::Tls => out.write_str("cannot be reached over TLS"),
            Self::Password => out.write_str("does not open: the server refuses the password"),
            Self::User => out.write_str("does not open: the server does not let this user in"),
            Self::NoDatabase => out.write_str("does not exist on the server"),
            Self::TooManyConnections => out.write_str("has no connection left"),
            Self::Starting => out.write_str("is starting or stopping"),
            Self::Rights => out.write_str("does not let this user at its tables"),
            Self::ReadOnlyServer => {
                out.write_str("takes no changes: the server is a standby or set to read only")
            }
            Self::Pooler => {
                out.write_str("is behind a pooler that does not keep a session together")
            }
            Self::NoTables => out.write_str("has no tables yet"),
            Self::Other => out.write_str("cannot be opened"),
        }
    }
}

/// What keeps a file from being opened.
pub(crate) fn of_file(path: &Path, error: &sqlx::Error) -> OpenFault {
    let sqlx::Error::Database(fault) = error else {
        return OpenFault::Other;
    };
    let code = fault.code().and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(SQLITE_READONLY) => OpenFault::Permission,
        Some(SQLITE_NOTADB | SQLITE_CORRUPT) => OpenFault::NotADatabase,
        Some(SQLITE_BUSY) => OpenFault::Busy,
        Some(SQLITE_FULL) => OpenFault::Full,
        _ if path.exists() => OpenFault::Permission,
        _ if path.parent().is_none_or(is_folder) => OpenFault::NoFile,
        _ => OpenFault::NoFolder,
    }
}

/// Whether a folder is there; a path without one lies in the process's own.
fn is_folder(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.is_dir()
}

/// What keeps a server from being used (SQLSTATE: PostgreSQL 15, appendix A).
pub(crate) fn of_server(error: &sqlx::Error) -> OpenFault {
    let fault = match error {
        sqlx::Error::Database(fault) => fault,
        sqlx::Error::Configuration(_) => return OpenFault::Address,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => return OpenFault::Unreachable,
        sqlx::Error::Tls(_) => return OpenFault::Tls,
        _ => return OpenFault::Other,
    };
    match &*fault.code().unwrap_or_default() {
        "28P01" => OpenFault::Password,
        "28000" => OpenFault::User,
        "3D000" => OpenFault::NoDatabase,
        "53300" => OpenFault::TooManyConnections,
        "53100" => OpenFault::Full,
        "57P01" | "57P02" | "57P03" => OpenFault::Starting,
        "42501" | "3F000" => OpenFault::Rights,
        "25006" => OpenFault::ReadOnlyServer,
        // protocol_violation: what PgBouncer says of a setting that it does not know. Prepared statements
        // that are gone or there already: it gave the session another server.
        "08P01" | "26000" | "42P05" => OpenFault::Pooler,
        _ => OpenFault::Other,
    }
}

impl fmt::Display for Settings {
    /// Where the database is, without a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.fmt(out),
            Self::Postgres(server) => server.fmt(out),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.path.display())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.url.parse::<PgConnectOptions>() else {
            return out.write_str("[database] url");
        };
        write!(out, "{}@", options.get_username())?;
        match options.get_socket() {
            Some(socket) => write!(out, "{}", socket.display())?,
            None => out.write_str(options.get_host())?,
        }
        let database = options.get_database().unwrap_or_default();
        let schema = self.schema.as_deref().unwrap_or("public");
        write!(out, ":{}/{database} schema {schema}", options.get_port())
    }
}
