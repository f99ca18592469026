//! Every statement is prepared on both engines, and the door behaves alike on both: whole commands,
//! refusals, room, groups.
//!
//! Must never test what a statement means: that is for the use cases.

mod alike;
mod before;
mod erased;
mod groups;
mod limits;
mod plans;
mod room;
mod statements;
mod turns;

use crate::audit::{EntryRow, EntryTags};
use crate::engine::migrate;
use crate::sql::{Sql, column, sql};
use crate::{Database, Error, File, Role, Server, Settings, Tx, Work};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};
use std::sync::atomic::{AtomicU32, Ordering};

/// The address of a PostgreSQL server on which tests may make schemas.
const SERVER: &str = "SLUIS_TEST_POSTGRES";

/// Tells apart the schemas of one run; the process tells apart runs.
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// A database that is gone with the test.
struct Place {
    settings: Settings,
    /// Kept for as long as the file in it is used.
    _folder: tempfile::TempDir,
}

/// A file of SQLite, with at most so many pages.
fn file(pages_max: Option<u32>) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.sqlite");
    Place {
        settings: Settings::Sqlite(File { path, pages_max }),
        _folder: folder,
    }
}

/// A schema of its own on the server of `tests/run`.
fn schema() -> Place {
    let url = std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("{SERVER} names no server: run tests/run, or `tests/postgres start FOLDER` and export what it prints")
    });
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    let schema = format!("store_{}_{number}", std::process::id());
    Place {
        settings: Settings::Postgres(Server {
            url,
            password: None,
            schema: Some(schema),
            connections_max: 8,
        }),
        _folder: tempfile::tempdir().unwrap(),
    }
}

/// Both engines.
fn both() -> [Place; 2] {
    [file(None), schema()]
}

async fn open(place: &Place, role: Role) -> Database {
    migrate(&place.settings, role).await.unwrap();
    Database::open(&place.settings, role).await.unwrap()
}

/// Writes entries whose ids begin with a number of its own; then fails, where it is to.
struct WriteEntries {
    first: u8,
    count: u8,
    fails: bool,
}

impl WriteEntries {
    fn new(first: u8, count: u8) -> Self {
        Self {
            first,
            count,
            fails: false,
        }
    }
}

fn entry(first: u8, number: u8) -> EntryRow {
    let mut id = [first; 16];
    id[15] = number;
    EntryRow {
        entry_id: EntryId::from_slice(&id).unwrap(),
        leaf_index: None,
        leaf_sha256: [0; 32],
        year: 2026,
        time: Timestamp::from_millis(1),
        tags: EntryTags {
            caller: Tag::new([1; 16]),
            ..EntryTags::default()
        },
        open_part: vec![0; 500],
        closed_part: vec![1; 500],
    }
}

impl Work for WriteEntries {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "WriteEntries"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        for number in 0..self.count {
            tx.insert_entry(&entry(self.first, number)).await?;
        }
        if self.fails {
            return Err(Error::Malformed("what this test writes"));
        }
        Ok(())
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

const COUNT_ENTRIES: Sql = sql!("SELECT COUNT(*) AS entries FROM audit_entry");

struct CountEntries;

impl Work for CountEntries {
    type Output = i64;
    type Error = Error;

    fn name(&self) -> &'static str {
        "CountEntries"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<i64, Error> {
        let row = tx.one(COUNT_ENTRIES, &[]).await?;
        column(&row, "entries")
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}
