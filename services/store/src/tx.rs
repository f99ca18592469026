//! An open transaction: the only thing that statements run on, on either engine.
//!
//! Must never let a statement run outside a transaction, and must never be open while a command waits for
//! anything but the database.

use crate::Error;
use crate::sql::{Arg, Row, Sql, query};
use sqlx::postgres::Postgres;
use sqlx::sqlite::Sqlite;
use sqlx::{Executor as _, Transaction};

/// An open transaction.
#[derive(Debug)]
pub struct Tx<'t> {
    engine: Engine<'t>,
    statements: u32,
}

#[derive(Debug)]
enum Engine<'t> {
    Sqlite(Transaction<'t, Sqlite>),
    Postgres {
        inner: Transaction<'t, Postgres>,
        writes: bool,
    },
}

/// Runs one statement on whichever engine it is; both arms are the same text.
macro_rules! on {
    ($tx:expr, $sql:expr, $args:expr, $run:ident) => {{
        let tx = $tx;
        tx.statements = tx.statements.saturating_add(1);
        match &mut tx.engine {
            Engine::Sqlite(inner) => {
                let done = inner.$run(query::<Sqlite>($sql.text, $args)).await;
                Done::Sqlite(done.map_err(Error::from)?)
            }
            Engine::Postgres { inner, writes } => {
                let text = if *writes { $sql.locking } else { $sql.text };
                let done = inner.$run(query::<Postgres>(text, $args)).await;
                Done::Postgres(done.map_err(Error::from)?)
            }
        }
    }};
}

/// What a statement gave, by engine.
enum Done<S, P> {
    Sqlite(S),
    Postgres(P),
}

impl<'t> Tx<'t> {
    pub(crate) fn sqlite(inner: Transaction<'t, Sqlite>) -> Self {
        Self {
            engine: Engine::Sqlite(inner),
            statements: 0,
        }
    }

    /// `writes` is false when the transaction only reads: then no row is locked.
    pub(crate) fn postgres(inner: Transaction<'t, Postgres>, writes: bool) -> Self {
        Self {
            engine: Engine::Postgres { inner, writes },
            statements: 0,
        }
    }

    /// How many statements have run so far (round trips are budgeted: a test pins each command's).
    #[must_use]
    pub fn statements(&self) -> u32 {
        self.statements
    }

    /// Commits; a savepoint within a group is kept for the group's commit.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self.engine {
            Engine::Sqlite(inner) => inner.commit().await,
            Engine::Postgres { inner, .. } => inner.commit().await,
        }
        .map_err(Error::from)
    }

    /// Undoes everything.
    pub(crate) async fn rollback(self) -> Result<(), Error> {
        match self.engine {
            Engine::Sqlite(inner) => inner.rollback().await,
            Engine::Postgres { inner, .. } => inner.rollback().await,
        }
        .map_err(Error::from)
    }

    /// Runs a statement; gives how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<u64, Error> {
        Ok(match on!(self, sql, args, execute) {
            Done::Sqlite(done) => done.rows_affected(),
            Done::Postgres(done) => done.rows_affected(),
        })
    }

    /// The one row of a statement.
    pub(crate) async fn one(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<Row, Error> {
        Ok(match on!(self, sql, args, fetch_one) {
            Done::Sqlite(row) => Row::Sqlite(row),
            Done::Postgres(row) => Row::Postgres(row),
        })
    }

    /// The row of a statement, if there is one.
    pub(crate) async fn optional(
        &mut self,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> Result<Option<Row>, Error> {
        Ok(match on!(self, sql, args, fetch_optional) {
            Done::Sqlite(row) => row.map(Row::Sqlite),
            Done::Postgres(row) => row.map(Row::Postgres),
        })
    }

    /// All rows of a statement.
    pub(crate) async fn all(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<Vec<Row>, Error> {
        Ok(match on!(self, sql, args, fetch_all) {
            Done::Sqlite(rows) => rows.into_iter().map(Row::Sqlite).collect(),
            Done::Postgres(rows) => rows.into_iter().map(Row::Postgres).collect(),
        })
    }

    /// Prepares a statement without running it.
    #[cfg(test)]
    pub(crate) async fn prepare(&mut self, sql: Sql) -> Result<(), Error> {
        match &mut self.engine {
            Engine::Sqlite(inner) => {
                let text = sqlx::SqlStr::from_static(sql.text);
                inner.prepare(text).await.map(drop)
            }
            Engine::Postgres { inner, .. } => {
                let text = sqlx::SqlStr::from_static(sql.locking);
                inner.prepare(text).await.map(drop)
            }
        }
        .map_err(Error::from)
    }
}
