//! Where a role's database is: a file of SQLite, or a server of PostgreSQL.
//!
//! Must never take a password out of the configuration: it lies in a file that only its owner reads.

use super::fields::Fields;
use crate::files::{FileError, secret};
use rules::secret::Secret;
use std::fmt;
use std::path::PathBuf;

/// Connections to a server when the configuration says nothing.
const CONNECTIONS: u32 = 16;
/// Longest name of a schema (PostgreSQL's `NAMEDATALEN` less one).
const SCHEMA_BYTES_MAX: usize = 63;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseSettings {
    /// A file of SQLite.
    File {
        /// The file.
        path: PathBuf,
        /// Most pages that it may have; the database's own bound when absent.
        pages_max: Option<u32>,
    },
    /// A database of PostgreSQL.
    Server {
        /// `postgres://user@host:port/database`, without a password.
        url: String,
        /// The file with the password, where the server asks for one.
        password_file: Option<PathBuf>,
        /// The schema in which the role's tables are; `public` when absent.
        schema: Option<String>,
        /// Most connections that this process opens.
        connections_max: u32,
    },
}

impl DatabaseSettings {
    /// The same, as the store takes it: with the password.
    ///
    /// # Errors
    /// When the password file cannot be read, or others may read it.
    pub fn open(&self) -> Result<store::Settings, FileError> {
        Ok(match self {
            Self::File { path, pages_max } => store::Settings::Sqlite(store::File {
                path: path.clone(),
                pages_max: *pages_max,
            }),
            Self::Server {
                url,
                password_file,
                schema,
                connections_max,
            } => store::Settings::Postgres(store::Server {
                url: url.clone(),
                password: match password_file {
                    Some(path) => Some(Secret::new(secret(path)?.expose().trim().to_owned())),
                    None => None,
                },
                schema: schema.clone(),
                connections_max: *connections_max,
            }),
        })
    }
}

impl fmt::Display for DatabaseSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(out, "{}", path.display()),
            Self::Server { url, schema, .. } => {
                let schema = schema.as_deref().unwrap_or("public");
                write!(out, "{url} schema {schema}")
            }
        }
    }
}

/// Reads the table: `path`, or `url`.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<DatabaseSettings> {
    let Some(url) = fields.optional_text("url") else {
        let path = fields.path("path");
        let pages_max = fields.optional_count("pages_max");
        return Some(DatabaseSettings::File {
            path: path?,
            pages_max,
        });
    };
    let password_file = fields.optional_path("password_file");
    let schema = fields.optional_text("schema");
    let connections_max = fields.optional_count("connections_max");
    if let Err(wrong) = check(&url) {
        fields.mistake("url", wrong);
        return None;
    }
    let is_name = |name: &str| {
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        name.len() <= SCHEMA_BYTES_MAX && name.bytes().all(is_plain)
    };
    if schema.as_deref().is_some_and(|schema| !is_name(schema)) {
        fields.mistake(
            "schema",
            "must be of lower-case letters, digits and `_`, at most 63",
        );
        return None;
    }
    Some(DatabaseSettings::Server {
        url,
        password_file,
        schema,
        connections_max: connections_max.unwrap_or(CONNECTIONS),
    })
}

/// Whether an address names a server of PostgreSQL, and no password.
fn check(url: &str) -> Result<(), &'static str> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or("must begin with postgres://")?;
    let (authority, _) = rest
        .split_once('/')
        .ok_or("must name a database, as in postgres://user@host/database")?;
    let (user, _) = authority.split_once('@').unwrap_or((authority, ""));
    if user.contains(':') || url.contains("password=") {
        return Err("must have no password: put it in a file and name that in `password_file`");
    }
    Ok(())
}
