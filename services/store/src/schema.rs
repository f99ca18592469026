//! Which tables a database has, and whether this program may run on them.
//!
//! Must never take tables for its own by their names: the migrations that made them must be this program's, byte
//! for byte, or newer ones that say of themselves that this program may run beside them.

use crate::Error;
use crate::engine::{File, Role, Server};
use crate::opening::{OpenFault, of_file, of_server};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

/// Tables that sqlx keeps its migrations in, by engine.
const SELECT_SQLITE_SCHEMA: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const SELECT_POSTGRES_SCHEMA: &str = "SELECT COUNT(*) FROM information_schema.tables \
     WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'";
const SELECT_MIGRATIONS: &str =
    "SELECT version, checksum, description FROM _sqlx_migrations WHERE success ORDER BY version";
/// What the name of a migration begins with, behind its number, when programs of an older schema may run on its
/// tables: `0003_from_0002_…` may meet programs that know migration 2 and not this one.
const FROM: &str = "from ";

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) version: i64,
    checksum: Vec<u8>,
    description: String,
}

impl Applied {
    /// Whether a program whose last migration is `own` may run on the tables that this one left.
    fn allows(&self, own: i64) -> bool {
        let from = self.description.strip_prefix(FROM);
        let number = from.and_then(|rest| rest.split(' ').next());
        number
            .and_then(|number| number.parse::<i64>().ok())
            .is_some_and(|from| from <= own)
    }
}

fn applied((version, checksum, description): (i64, Vec<u8>, String)) -> Applied {
    Applied {
        version,
        checksum,
        description,
    }
}

/// The migrations that made the tables in a file, with their checksums; none in a new one.
pub(crate) async fn sqlite_migrations(
    file: &File,
    connection: &mut SqliteConnection,
) -> Result<Vec<Applied>, Error> {
    let found = async {
        let tables: i64 = sqlx::query_scalar(SELECT_SQLITE_SCHEMA)
            .fetch_one(&mut *connection)
            .await?;
        if tables == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as(SELECT_MIGRATIONS)
            .fetch_all(connection)
            .await?;
        Ok(rows.into_iter().map(applied).collect())
    };
    found
        .await
        .map_err(|source| Error::open(file, of_file(&file.path, &source), source))
}

/// The same on a server.
pub(crate) async fn postgres_migrations(
    server: &Server,
    connection: &mut PgConnection,
) -> Result<Vec<Applied>, Error> {
    let found = async {
        let tables: i64 = sqlx::query_scalar(SELECT_POSTGRES_SCHEMA)
            .fetch_one(&mut *connection)
            .await?;
        if tables == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as(SELECT_MIGRATIONS)
            .fetch_all(connection)
            .await?;
        Ok(rows.into_iter().map(applied).collect())
    };
    found
        .await
        .map_err(|source| Error::open(server, of_server(&source), source))
}

fn own(of: &Migrator) -> Vec<Applied> {
    let migrations = of.iter().map(|migration| Applied {
        version: migration.version,
        checksum: migration.checksum.to_vec(),
        description: migration.description.to_string(),
    });
    migrations.collect()
}

/// What these migrations are to a role.
enum Fit {
    /// This program's own.
    Own,
    /// Newer ones besides, with which this program may go on: another was brought up to date first.
    Beside,
    /// Neither.
    Unfit(OpenFault),
}

fn fit(role: Role, migrator: fn(Role) -> Migrator, found: &[Applied]) -> Fit {
    let own_ones = own(&migrator(role));
    if found == own_ones {
        return Fit::Own;
    }
    let last = |migrations: &[Applied]| migrations.last().map_or(0, |applied| applied.version);
    let (is, needed) = (last(found), last(&own_ones));
    let newer = found.strip_prefix(own_ones.as_slice());
    if newer.is_some_and(|newer| newer.iter().all(|applied| applied.allows(needed))) {
        return Fit::Beside;
    }
    let others = Role::ALL.into_iter().filter(|other| *other != role);
    let mut others = others.filter(|other| own(&migrator(*other)).starts_with(found));
    Fit::Unfit(if found.is_empty() {
        OpenFault::NoTables
    } else if own_ones.starts_with(found) {
        OpenFault::Older(is, needed)
    } else if let Some(other) = others.next() {
        OpenFault::OtherRole(other)
    } else if is > needed {
        OpenFault::Newer(is, needed)
    } else {
        OpenFault::Edited(is)
    })
}

/// Refuses any schema but this program's own, and newer ones that allow it.
pub(crate) fn check_schema(
    place: &impl std::fmt::Display,
    role: Role,
    migrator: fn(Role) -> Migrator,
    found: &[Applied],
) -> Result<(), Error> {
    match fit(role, migrator, found) {
        Fit::Own => Ok(()),
        Fit::Beside => {
            tracing::warn!(
                place = %place,
                "the tables are a newer program's, which lets this one go on; bring it up to date as well"
            );
            Ok(())
        }
        Fit::Unfit(fault) => Err(Error::unfit(place, fault)),
    }
}

/// Whether there is something to migrate; refuses what is not an older schema of this role.
pub(crate) fn must_migrate(
    place: &impl std::fmt::Display,
    role: Role,
    migrator: fn(Role) -> Migrator,
    found: &[Applied],
) -> Result<bool, Error> {
    match fit(role, migrator, found) {
        Fit::Own | Fit::Beside => Ok(false),
        Fit::Unfit(OpenFault::NoTables | OpenFault::Older(..)) => Ok(true),
        Fit::Unfit(fault) => Err(Error::unfit(place, fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(description: &str, beside: bool) {
        let mut found = own(&Role::Broker.on_sqlite());
        let last = found.last().unwrap().version;
        found.push(Applied {
            version: last + 1,
            checksum: vec![7; 48],
            description: description.to_owned(),
        });
        let fit = fit(Role::Broker, Role::on_sqlite, &found);
        assert_eq!(matches!(fit, Fit::Beside), beside, "{description}");
        let newer = matches!(fit, Fit::Unfit(OpenFault::Newer(..)));
        assert_eq!(newer, !beside, "{description}");
    }

    #[test]
    fn a_newer_schema_is_run_on_only_when_it_says_so() {
        let last = own(&Role::Broker.on_sqlite()).last().unwrap().version;
        check(&format!("from {last:04} more columns"), true);
        check(&format!("from {:04} more columns", last - 1), true);
        check(&format!("from {:04} other columns", last + 1), false);
        for unclear in ["more columns", "from here on", "from", ""] {
            check(unclear, false);
        }
    }
}
