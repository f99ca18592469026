//! An open transaction: the only thing that statements run on, on either engine.
//!
//! Must never let a statement run outside a transaction, must never be open while a command waits for
//! anything but the database, must never read before its own changes have been sent, and must never change anything
//! where something is only looked up.

use crate::Error;
use crate::batch::Batch;
use crate::freshness::Freshness;
use crate::sql::{Arg, Row, Sql, query};
use sqlx::postgres::Postgres;
use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{Executor as _, SqlSafeStr as _, SqlStr, Transaction};

/// What a command's own changes go into within a group, so that they can be undone alone.
const SAVEPOINT: &str = "SAVEPOINT command;";
const RELEASE: &str = "RELEASE command";
const UNDO: &str = "ROLLBACK TO command; RELEASE command";

/// An open transaction.
#[derive(Debug)]
pub struct Tx<'t> {
    engine: Engine<'t>,
    waiting: Batch,
    round_trips: u32,
}

#[derive(Debug)]
enum Engine<'t> {
    /// Alone in a file.
    Sqlite {
        inner: Transaction<'t, Sqlite>,
        writes: bool,
    },
    /// Has its turn in a group of commands.
    Turn(Turn<'t>),
    Postgres {
        inner: Transaction<'t, Postgres>,
        writes: bool,
        /// Of the connections in whose pool this one is.
        freshness: Freshness,
    },
}

/// A command's turn on the one connection that writes.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    pub(crate) connection: &'t mut SqliteConnection,
    /// Whether the command has a savepoint that is still open. It outlives the turn: whoever is next undoes
    /// what was given up.
    pub(crate) is_open: &'t mut bool,
}

impl Turn<'_> {
    /// What has to come before a change: the savepoint, once.
    fn begin(&mut self) -> &'static str {
        if std::mem::replace(self.is_open, true) {
            ""
        } else {
            SAVEPOINT
        }
    }

    /// A statement's text, with what has to come before it.
    fn text(&mut self, sql: Sql) -> SqlStr {
        if sql.only_reads() {
            return sql.text.into_sql_str();
        }
        match self.begin() {
            "" => sql.text.into_sql_str(),
            before => Batch::of(sql).in_turn(before, ""),
        }
    }

    /// Undoes what the command changed, if it changed anything.
    pub(crate) async fn undo(&mut self) -> Result<(), Error> {
        if *self.is_open {
            self.connection.execute(UNDO).await?;
            *self.is_open = false;
        }
        Ok(())
    }
}

/// Runs one statement on whichever engine it is; all arms are the same text.
macro_rules! on {
    ($tx:expr, $sql:expr, $args:expr, $run:ident) => {{
        let tx = $tx;
        let args = $args.iter().copied();
        tx.check($sql)?;
        tx.flush().await?;
        tx.round_trips = tx.round_trips.saturating_add(1);
        match &mut tx.engine {
            Engine::Sqlite { inner, .. } => {
                let done = inner.$run(query::<Sqlite>($sql.text, args)).await;
                Done::Sqlite(done.map_err(Error::from)?)
            }
            Engine::Turn(turn) => {
                let text = turn.text($sql);
                let done = turn.connection.$run(query::<Sqlite>(text, args)).await;
                Done::Sqlite(done.map_err(Error::from)?)
            }
            Engine::Postgres {
                inner,
                writes,
                freshness,
            } => {
                let text = if *writes { $sql.locking } else { $sql.text };
                let done = inner.$run(query::<Postgres>(text, args));
                Done::Postgres(freshness.heed(done).await?)
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
    fn new(engine: Engine<'t>) -> Self {
        Self {
            engine,
            waiting: Batch::default(),
            round_trips: 0,
        }
    }

    /// `writes` is false when the transaction only reads.
    pub(crate) fn sqlite(inner: Transaction<'t, Sqlite>, writes: bool) -> Self {
        Self::new(Engine::Sqlite { inner, writes })
    }

    pub(crate) fn turn(turn: Turn<'t>) -> Self {
        Self::new(Engine::Turn(turn))
    }

    /// `writes` is false when the transaction only reads: then no row is locked.
    pub(crate) fn postgres(
        inner: Transaction<'t, Postgres>,
        writes: bool,
        freshness: Freshness,
    ) -> Self {
        Self::new(Engine::Postgres {
            inner,
            writes,
            freshness,
        })
    }

    /// Commits; gives how often it went to the database and back, its beginning and its end not counted.
    /// Within a group what was done is kept for the group's commit.
    pub(crate) async fn commit(mut self) -> Result<u32, Error> {
        if !matches!(self.engine, Engine::Turn(_)) {
            self.flush().await?;
        }
        match self.engine {
            Engine::Sqlite { inner, .. } => inner.commit().await?,
            Engine::Turn(mut turn) => {
                if !self.waiting.is_empty() {
                    let text = self.waiting.in_turn(turn.begin(), RELEASE);
                    let query = self.waiting.query::<Sqlite>(text);
                    turn.connection.execute(query).await?;
                    self.round_trips = self.round_trips.saturating_add(1);
                } else if *turn.is_open {
                    turn.connection.execute(RELEASE).await?;
                }
                *turn.is_open = false;
            }
            Engine::Postgres {
                inner, freshness, ..
            } => freshness.heed(inner.commit()).await?,
        }
        Ok(self.round_trips)
    }

    /// Whether a statement may run here: no change where only something is looked up.
    fn check(&self, sql: Sql) -> Result<(), Error> {
        let writes = match self.engine {
            Engine::Sqlite { writes, .. } | Engine::Postgres { writes, .. } => writes,
            Engine::Turn(_) => true,
        };
        if writes || sql.only_reads() {
            Ok(())
        } else {
            Err(Error::OnlyReads)
        }
    }

    /// Leaves a change to go with the next ones, before anything is read again and before the commit. What is
    /// wrong with it is heard then.
    pub(crate) async fn later(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<(), Error> {
        self.check(sql)?;
        if !self.waiting.takes(sql) {
            self.flush().await?;
        }
        self.waiting.push(sql, args);
        Ok(())
    }

    /// Sends the changes that wait.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.round_trips = self.round_trips.saturating_add(1);
        match &mut self.engine {
            Engine::Sqlite { inner, .. } => {
                let text = waiting.in_turn("", "");
                inner.execute(waiting.query::<Sqlite>(text)).await?;
            }
            Engine::Turn(turn) => {
                let text = waiting.in_turn(turn.begin(), "");
                turn.connection
                    .execute(waiting.query::<Sqlite>(text))
                    .await?;
            }
            Engine::Postgres {
                inner, freshness, ..
            } => {
                let text = waiting.at_once();
                let done = inner.execute(waiting.query::<Postgres>(text));
                freshness.heed(done).await?;
            }
        }
        Ok(())
    }

    /// Runs a change now; gives how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<u64, Error> {
        if let Engine::Turn(turn) = &mut self.engine {
            // Apart, because SQLite counts the rows of the change before for what changes none.
            let before = turn.begin();
            if !before.is_empty() {
                turn.connection.execute(before).await?;
            }
        }
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
        let text = SqlStr::from_static(sql.text);
        match &mut self.engine {
            Engine::Sqlite { inner, .. } => inner.prepare(text).await.map(drop),
            Engine::Turn(turn) => turn.connection.prepare(text).await.map(drop),
            Engine::Postgres { inner, .. } => {
                let text = SqlStr::from_static(sql.locking);
                inner.prepare(text).await.map(drop)
            }
        }
        .map_err(Error::from)
    }
}
