//! One SQL text for both engines: how a statement is written, what goes into it, and what comes out.
//!
//! Must never build a text at run time: every statement is a constant, so that a test can prepare each on
//! both engines.

use crate::Error;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Database, Decode, Encode, Row as _, SqlSafeStr, Type};

/// A statement. Its text is the same on both engines, but for a row lock: SQLite has one writer, which is
/// the lock, and a transaction that only reads takes none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    /// The text.
    pub(crate) text: &'static str,
    /// The same with the lock that it takes in a writing transaction on PostgreSQL.
    pub(crate) locking: &'static str,
}

/// A statement's text; with `for update` it locks the rows that it reads until the transaction ends, with
/// `for share of` those of one table, and against change only.
macro_rules! sql {
    ($text:literal) => {
        crate::sql::Sql {
            text: $text,
            locking: $text,
        }
    };
    ($text:literal, for update) => {
        crate::sql::Sql {
            text: $text,
            locking: concat!($text, " FOR UPDATE"),
        }
    };
    ($text:literal, for share of $table:literal) => {
        crate::sql::Sql {
            text: $text,
            locking: concat!($text, " FOR SHARE OF ", $table),
        }
    };
}
pub(crate) use sql;

/// What goes into a statement: the only kinds of value that both engines store alike.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    /// A number or a time.
    Number(Option<i64>),
    /// Octets.
    Octets(Option<&'a [u8]>),
    /// A text.
    Text(&'a str),
}

impl Sql {
    /// A statement of a text that was put together when the program was built, and that locks nothing.
    pub(crate) const fn reading(text: &'static str) -> Self {
        Self {
            text,
            locking: text,
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn only_reads(self) -> bool {
        self.text.starts_with("SELECT")
    }
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Self::Number(Some(value))
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Number(value)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Octets(Some(value))
    }
}

impl<'a> From<Option<&'a [u8]>> for Arg<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        Self::Octets(value)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

/// A statement with its arguments, for one engine.
pub(crate) fn query<'v, D>(
    text: impl SqlSafeStr,
    args: impl IntoIterator<Item = Arg<'v>>,
) -> Query<'static, D, D::Arguments>
where
    D: Database,
    for<'e> Option<i64>: Encode<'e, D> + Type<D>,
    for<'e> Option<&'e [u8]>: Encode<'e, D> + Type<D>,
    for<'e> &'e str: Encode<'e, D> + Type<D>,
{
    args.into_iter()
        .fold(sqlx::query(text), |query, arg| match arg {
            Arg::Number(number) => query.bind(number),
            Arg::Octets(octets) => query.bind(octets),
            Arg::Text(text) => query.bind(text),
        })
}

/// A row, of either engine.
#[derive(Debug)]
pub(crate) enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

/// A type that both engines read alike.
pub(crate) trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

/// A column's value; a value of another type is a fault, never a default.
pub(crate) fn column<T: Column>(row: &Row, name: &'static str) -> Result<T, Error> {
    match row {
        Row::Sqlite(row) => row.try_get(name).map_err(Error::from),
        Row::Postgres(row) => row.try_get(name).map_err(Error::from),
    }
}

/// A column that holds exactly `N` octets.
pub(crate) fn fixed<const N: usize>(row: &Row, name: &'static str) -> Result<[u8; N], Error> {
    let octets: Vec<u8> = column(row, name)?;
    octets.try_into().map_err(|_| Error::Malformed(name))
}
