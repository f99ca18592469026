//! The migrations of each role on each engine, compiled in, in order.
//!
//! Must never leave out a file of `migrations/`: a test compares the two.

use crate::Role;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

/// A migration's file name, without its ending, and its text.
type File = (&'static str, &'static str);

/// Both files of each migration: on SQLite and on PostgreSQL.
macro_rules! migrations {
    ($($role:literal: $($name:literal),+;)+) => {
        &[$(($role, &[$($name),+],
            &[$(include_str!(concat!("../migrations/", $role, "/sqlite/", $name, ".sql"))),+],
            &[$(include_str!(concat!("../migrations/", $role, "/postgres/", $name, ".sql"))),+],
        )),+]
    };
}

/// A role's name, the names of its migrations, and their texts on SQLite and on PostgreSQL.
type OfRole = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const ALL: &[OfRole] = migrations!(
    "broker": "0001_first", "0002_from_0002_stop_numbers", "0003_from_0003_open_and_closed",
        "0005_from_0002_portal_copies", "0006_from_0006_unreadable_stops",
        "0007_from_0007_reports";
    "holder": "0001_first", "0002_from_0002_carried";
    "portal": "0001_first", "0002_from_0002_errands", "0003_from_0002_copied_lines";
);

fn of_role(role: Role) -> impl Iterator<Item = (File, File)> {
    let (_, names, sqlite, postgres) = ALL
        .iter()
        .find(|(name, ..)| *name == role.name())
        .copied()
        .unwrap_or_default();
    let texts = sqlite.iter().copied().zip(postgres.iter().copied());
    let names = names.iter().copied();
    names
        .zip(texts)
        .map(|(name, (sqlite, postgres))| ((name, sqlite), (name, postgres)))
}

/// A migration as sqlx wants it: `0003_from_0002_more_columns` has version 3 and that description.
fn migration((name, text): File) -> Migration {
    let (number, description) = name.split_once('_').unwrap_or((name, ""));
    let description = description.replace('_', " ");
    Migration::new(
        number.parse().unwrap_or_default(),
        Cow::Owned(description),
        MigrationType::Simple,
        text.into_sql_str(),
        false,
    )
}

impl Role {
    pub(crate) fn on_sqlite(self) -> Migrator {
        Migrator::with_migrations(of_role(self).map(|(file, _)| migration(file)).collect())
    }

    pub(crate) fn on_postgres(self) -> Migrator {
        Migrator::with_migrations(of_role(self).map(|(_, file)| migration(file)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(role: Role, engine: &str, listed: &[Migration]) {
        let folder = format!(
            "{}/migrations/{}/{engine}",
            env!("CARGO_MANIFEST_DIR"),
            role.name()
        );
        let mut found: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let names = listed.iter().map(|one| {
            let description = one.description.replace(' ', "_");
            format!("{:04}_{description}.sql", one.version)
        });
        assert_eq!(names.collect::<Vec<_>>(), found, "{folder}");
    }

    #[test]
    fn every_file_is_compiled_in_and_has_its_number_and_name() {
        for role in Role::ALL {
            check(role, "sqlite", &role.on_sqlite().migrations);
            check(role, "postgres", &role.on_postgres().migrations);
        }
    }
}
