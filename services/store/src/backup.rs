//! Backups: a role's tables as one SQLite file, whichever engine they come from, and back again into either.
//!
//! Must never read while others write in between: a backup is one moment. Must never write where something is.
//! Texts are put together here, and only here, from the names in this program's own schema.

use crate::engine::{
    File, Role, Server, Settings, connect_postgres, connect_sqlite, migrate, migrate_server,
    settings_of_session,
};
use crate::freshness::Freshness;
use crate::opening::{OpenFault, of_file};
use crate::restoration::Shut;
use crate::schema::{check_schema, sqlite_migrations};
use crate::sql::{Arg, query};
use crate::{Database, Error, Tx, Work};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _, SqlStr,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Rows on their way at a time.
const ROWS: usize = 400;
/// Tables in the order in which they came about: what a row refers to is in an earlier one.
const SELECT_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' \
     AND substr(name, 1, 1) <> '_' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid";
const SELECT_COLUMNS: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
const CHECK_FILE: &str = "PRAGMA integrity_check";
const CHECK_REFERENCES: &str = "SELECT COUNT(*) FROM pragma_foreign_key_check";
const NO_TIMEOUT: &str = "SET statement_timeout = 0";
/// One moment of all tables, for as long as it takes to read them.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Rows by table, in alphabetical order.
pub type Counts = BTreeMap<String, i64>;

/// A table as it is copied.
struct Table {
    name: String,
    columns: Vec<(String, Kind)>,
}

/// What a column holds: there is nothing else in either schema.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    Octets,
    Text,
}

/// One value on its way.
enum Value {
    Number(Option<i64>),
    Octets(Option<Vec<u8>>),
    Text(String),
}

impl Value {
    fn arg(&self) -> Arg<'_> {
        match self {
            Self::Number(number) => Arg::Number(*number),
            Self::Octets(octets) => Arg::Octets(octets.as_deref()),
            Self::Text(text) => Arg::Text(text),
        }
    }
}

/// The values of a row, after `skip` columns that are not the table's.
macro_rules! values {
    ($row:expr, $table:expr, $skip:literal) => {{
        let columns = $table.columns.iter().enumerate();
        let values = columns.map(|(place, (_, kind))| {
            let place = place.saturating_add($skip);
            Ok(match kind {
                Kind::Number => Value::Number($row.try_get(place)?),
                Kind::Octets => Value::Octets($row.try_get(place)?),
                Kind::Text => Value::Text($row.try_get(place)?),
            })
        });
        values.collect::<Result<Vec<Value>, sqlx::Error>>()
    }};
}

impl Table {
    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    /// The statement that puts so many rows in.
    fn insert(&self, rows: usize) -> SqlStr {
        let wide = self.columns.len();
        let row = |number: usize| {
            let first = number.saturating_mul(wide);
            let places = (1..=wide).map(|place| format!("${}", first.saturating_add(place)));
            format!("({})", places.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = (0..rows).map(row).collect();
        let (name, names) = (&self.name, self.names());
        made(format!(
            "INSERT INTO {name} ({names}) VALUES {}",
            rows.join(", ")
        ))
    }

    fn sqlite_values(&self, row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
        values!(row, self, 1)
    }

    fn postgres_values(&self, row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
        values!(row, self, 0)
    }
}

/// Writes what is in a role's tables at one moment into a new file at `to`, while the role runs. Gives the
/// number of rows of each table.
///
/// # Errors
/// When something is at `to`, or either place cannot be used. What was begun at `to` is left to whoever asked.
pub async fn take(from: &Settings, role: Role, to: &Path) -> Result<Counts, Error> {
    let copy = file(to);
    if to.exists() {
        return Err(Error::unfit(&copy, OpenFault::NotEmpty));
    }
    // Tables of another schema are refused as the role itself would refuse them.
    Database::open(from, role).await?.close().await;
    match from {
        Settings::Sqlite(place) => {
            let mut source = connect_sqlite(place).await?;
            let written = sqlx::query("VACUUM INTO $1").bind(to.to_string_lossy().into_owned());
            let written = written.execute(&mut source).await;
            written.map_err(|error| Error::open(&copy, of_file(to, &error), error))?;
            source.close().await?;
        }
        Settings::Postgres(server) => {
            migrate(&Settings::Sqlite(copy.clone()), role).await?;
            read_server(server, &copy).await?;
        }
    }
    sync(&copy)?;
    verify(to, role).await
}

async fn read_server(server: &Server, copy: &File) -> Result<(), Error> {
    let mut source = connect_postgres(server).await?;
    source.execute(NO_TIMEOUT).await?;
    let mut reading = source.begin_with(BEGIN_READING).await?;
    let mut target = settings_of_session(copy).connect().await?;
    let tables = tables(&mut target).await?;
    let mut writing = target.begin().await?;
    for table in &tables {
        let (name, names) = (&table.name, table.names());
        let declare = format!("DECLARE place NO SCROLL CURSOR FOR SELECT {names} FROM {name}");
        reading.execute(made(declare)).await?;
        loop {
            let fetch = format!("FETCH {ROWS} FROM place");
            let rows = reading.fetch_all(made(fetch)).await?;
            let Some(values) = all(&rows, |row| table.postgres_values(row))? else {
                break;
            };
            let args = values.iter().map(Value::arg);
            let put = query::<Sqlite>(table.insert(rows.len()), args);
            writing.execute(put).await?;
        }
        reading.execute("CLOSE place").await?;
    }
    writing.commit().await?;
    reading.rollback().await?;
    // All into the one file, with none beside it.
    target.execute("PRAGMA journal_mode = DELETE").await?;
    target.close().await?;
    source.close().await?;
    Ok(())
}

/// The values of all rows, one after the other; `None` when there are no rows.
fn all<R>(
    rows: &[R],
    of: impl Fn(&R) -> Result<Vec<Value>, sqlx::Error>,
) -> Result<Option<Vec<Value>>, Error> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut values = Vec::new();
    for row in rows {
        values.extend(of(row)?);
    }
    Ok(Some(values))
}

/// Looks whether a backup's file is whole: its pages, its references and its schema. Gives the number of rows of
/// each table.
///
/// # Errors
/// [`Error::Open`] when it is no backup of this role that this program can put back.
pub async fn verify(backup: &Path, role: Role) -> Result<Counts, Error> {
    let place = file(backup);
    let refused = |error| Error::open(&place, of_file(backup, &error), error);
    let mut connection = connect_sqlite(&place).await?;
    let found = sqlite_migrations(&place, &mut connection).await?;
    check_schema(&place, role, Role::on_sqlite, &found)?;
    let whole = sqlx::query_scalar::<_, String>(CHECK_FILE);
    let whole = whole.fetch_all(&mut connection).await.map_err(refused)?;
    let broken = sqlx::query_scalar::<_, i64>(CHECK_REFERENCES);
    let broken = broken.fetch_one(&mut connection).await.map_err(refused)?;
    if whole != ["ok"] || broken != 0 {
        return Err(Error::unfit(&place, OpenFault::Damaged));
    }
    let mut counts = Counts::new();
    for table in tables(&mut connection).await? {
        let count = made(format!("SELECT COUNT(*) FROM {}", table.name));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
        counts.insert(table.name, count);
    }
    connection.close().await?;
    Ok(counts)
}

/// Puts a verified backup into an empty place. With `shut` the door is shut before anybody can see a row.
///
/// # Errors
/// When there is something already, or the place cannot be used; nothing is there then that was not before.
pub async fn put_back(
    backup: &Path,
    to: &Settings,
    role: Role,
    shut: Option<Shut>,
) -> Result<(), Error> {
    match to {
        Settings::Sqlite(place) => write_file(backup, place, role, shut).await,
        Settings::Postgres(server) => write_server(&file(backup), server, role, shut).await,
    }
}

/// Beside first: what is not whole, or has no shut door, never gets the name.
async fn write_file(
    backup: &Path,
    place: &File,
    role: Role,
    shut: Option<Shut>,
) -> Result<(), Error> {
    if place.path.exists() {
        return Err(Error::unfit(place, OpenFault::NotEmpty));
    }
    let beside = File {
        path: place.path.with_extension("restoring"),
        pages_max: place.pages_max,
    };
    let refused = |error: std::io::Error| {
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound => OpenFault::NoFolder,
            std::io::ErrorKind::StorageFull => OpenFault::Full,
            _ => OpenFault::Permission,
        };
        Error::open(place, fault, sqlx::Error::Io(error))
    };
    let done = async {
        std::fs::copy(backup, &beside.path).map_err(refused)?;
        // Without a journal of its own beside it, which a new name would leave behind.
        let mut connection = settings_of_session(&beside).connect().await?;
        let mut tx = Tx::sqlite(connection.begin().await?, true);
        Shutting { shut, role }.perform(&mut tx).await?;
        tx.commit().await?;
        connection.close().await?;
        sync(&beside)?;
        std::fs::rename(&beside.path, &place.path).map_err(refused)
    }
    .await;
    if done.is_err() {
        for name in ["restoring", "restoring-journal"] {
            drop(std::fs::remove_file(place.path.with_extension(name)));
        }
    }
    done
}

async fn write_server(
    backup: &File,
    server: &Server,
    role: Role,
    shut: Option<Shut>,
) -> Result<(), Error> {
    // Empty tables may be there: of a restore that broke off, or made beforehand.
    migrate_server(server, role).await?;
    let mut target = connect_postgres(server).await?;
    target.execute(NO_TIMEOUT).await?;
    let mut source = connect_sqlite(backup).await?;
    let tables = tables(&mut source).await?;
    let mut writing = target.begin().await?;
    for table in &tables {
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.name);
        writing.execute(made(lock)).await?;
        let any = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
        let any: bool = sqlx::query_scalar(made(any))
            .fetch_one(&mut *writing)
            .await?;
        if any {
            return Err(Error::unfit(server, OpenFault::NotEmpty));
        }
    }
    for table in &tables {
        let mut behind = 0_i64;
        let (name, names) = (&table.name, table.names());
        let select = format!(
            "SELECT rowid, {names} FROM {name} WHERE rowid > $1 ORDER BY rowid LIMIT {ROWS}"
        );
        loop {
            let rows = sqlx::query(made(select.clone())).bind(behind);
            let rows = rows.fetch_all(&mut source).await?;
            let Some(values) = all(&rows, |row| table.sqlite_values(row))? else {
                break;
            };
            let args = values.iter().map(Value::arg);
            let put = query::<Postgres>(table.insert(rows.len()), args);
            writing.execute(put).await?;
            if let Some(last) = rows.last() {
                behind = last.try_get(0)?;
            }
        }
    }
    let mut tx = Tx::postgres(writing, true, Freshness::default());
    Shutting { shut, role }.perform(&mut tx).await?;
    tx.commit().await?;
    target.close().await?;
    source.close().await?;
    Ok(())
}

/// Shuts the door, where there is one.
struct Shutting {
    shut: Option<Shut>,
    role: Role,
}

impl Work for Shutting {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "PutBack"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        match self.shut {
            Some(shut) => tx.shut(shut, self.role).await,
            None => Ok(()),
        }
    }

    fn is_transient(_error: &Error) -> bool {
        false
    }
}

fn file(path: &Path) -> File {
    File {
        path: path.to_owned(),
        pages_max: None,
    }
}

/// A text that was put together from names in a schema, which [`tables`] has looked at.
#[expect(
    clippy::disallowed_methods,
    reason = "the names of tables and columns cannot be arguments; they are of this program's own schema"
)]
fn made(text: String) -> SqlStr {
    sqlx::AssertSqlSafe(text).into_sql_str()
}

/// Whether a name can be part of a text as it is: a backup comes from outside.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_')
}

async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, Error> {
    let names: Vec<String> = sqlx::query_scalar(SELECT_TABLES)
        .fetch_all(&mut *connection)
        .await?;
    let mut tables = Vec::new();
    for name in names {
        let columns: Vec<(String, String)> = sqlx::query_as(SELECT_COLUMNS)
            .bind(&name)
            .fetch_all(&mut *connection)
            .await?;
        if !is_plain(&name) || !columns.iter().all(|(column, _)| is_plain(column)) {
            return Err(Error::Malformed("the name of a table or column"));
        }
        let columns = columns.into_iter().map(|(column, kind)| {
            let kind = match kind.as_str() {
                "INTEGER" => Kind::Number,
                "BLOB" => Kind::Octets,
                "TEXT" => Kind::Text,
                _ => return Err(Error::Malformed("a column's type")),
            };
            Ok((column, kind))
        });
        let columns = columns.collect::<Result<_, _>>()?;
        tables.push(Table { name, columns });
    }
    Ok(tables)
}

/// Makes a file and its name durable.
fn sync(place: &File) -> Result<(), Error> {
    let folder = place
        .path
        .parent()
        .filter(|path| !path.as_os_str().is_empty());
    let synced = std::fs::File::open(&place.path)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all());
    synced.map_err(|error| Error::open(place, OpenFault::Other, sqlx::Error::Io(error)))
}
