//! A role's database, on either engine: the one door to SQL is a named transaction around one command,
//! counted and begun anew after a passing fault.
//!
//! Must never let a command wait for anything but the database while its transaction is open, and must
//! never answer it before its commit.

use crate::engine::{self, File, Settings, settings_of_session};
use crate::freshness::Freshness;
use crate::group::Writer;
use crate::sql::{Sql, sql};
use crate::turns::{Queue, Seat, Turns};
use crate::{Error, Role, Tx};
use sqlx::postgres::Postgres;
use sqlx::sqlite::Sqlite;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, Transaction};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a command is begun anew after a transient fault before the caller hears of it.
const ATTEMPTS_MAX: u32 = 6;
/// How long to wait before the second attempt; each further one waits twice as long.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a command may have taken and still be begun anew. What comes later than that is a limit of the
/// database that was reached (a lock, a statement, no free connection): the caller is told at once, and not
/// after so many times that limit that its own deadline has passed.
const ANEW_MAX: Duration = Duration::from_secs(2);

/// A role's database. Cheap to share; the pools are private so that [`Tx`] stays the only door.
#[derive(Debug)]
pub struct Database {
    pools: Pools,
    /// How a writing transaction begins on PostgreSQL.
    begin: &'static str,
}

/// How long readers are waited for when the journal is emptied.
const JOURNAL_TIMEOUT: Duration = Duration::from_millis(200);
/// Its first column is 0 when it was done.
const EMPTY_JOURNAL: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The broker's commands lock what they decide on, the person's row first, and see what was committed
/// before they got the lock.
const BEGIN_LOCKING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// The other roles' few commands read and write without locks: that what they read still holds when they
/// commit is the server's to see to, and what does not is begun anew.
const BEGIN_SERIALIZABLE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
/// How a reading transaction begins on PostgreSQL: all of it sees one moment.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How long a command waits for its turn at a connection.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to come and to begin: longer than the pool itself waits for one.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(7);
/// One of so many connections to a server, and one at least, is for what stops something only.
const CONNECTIONS_FOR_A_STOP: u32 = 10;

#[derive(Debug)]
enum Pools {
    Sqlite {
        file: File,
        writer: Writer,
        readers: Pool<Sqlite>,
    },
    Postgres {
        pool: Pool<Postgres>,
        freshness: Freshness,
    },
}

/// Connections, and the turns at them.
#[derive(Debug)]
struct Pool<D: sqlx::Database> {
    connections: sqlx::Pool<D>,
    turns: Turns<()>,
}

impl<D: sqlx::Database> Pool<D> {
    /// All connections of a pool, some of which are kept for what stops something.
    fn new(connections: sqlx::Pool<D>, kept: u32) -> Self {
        let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let all = count(connections.options().get_max_connections());
        Self {
            connections,
            turns: Turns::new(all, count(kept)),
        }
    }

    /// A transaction on a connection, for as long as the seat is held.
    async fn begin(
        &self,
        job: &dyn Job,
        begin: &'static str,
    ) -> Result<(Seat<()>, Transaction<'static, D>), Error> {
        let seat = tokio::time::timeout(TURN_TIMEOUT, self.turns.enter(job.queue()));
        let seat = seat.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        tell_turn(job, seat.waited());
        let begun = tokio::time::timeout(BEGIN_TIMEOUT, self.connections.begin_with(begin)).await;
        Ok((seat, begun.map_err(|_| sqlx::Error::PoolTimedOut)??))
    }
}

/// One command's work inside a transaction. A type and not a closure, so that it can be begun anew
/// after a transient fault and so that its future is `Send`.
pub trait Work: Send + Sync {
    /// What it gives back once committed.
    type Output: Send;
    /// What can go wrong.
    type Error: From<Error> + Send;
    /// Name of the transaction: the command's, and so the span's, the metric's and the entry's.
    fn name(&self) -> &'static str;

    /// In which queue it waits for its turn.
    fn queue(&self) -> Queue {
        Queue::Own
    }

    /// Does the work. Must await nothing but `tx`, and must change nothing but rows, because it may
    /// run more than once.
    ///
    /// # Errors
    /// Any error rolls everything back.
    fn perform<'a>(
        &'a self,
        tx: &'a mut Tx<'_>,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send + 'a;

    /// Whether `error` is a passing fault of the database after which the work may be begun anew.
    fn is_transient(error: &Self::Error) -> bool;
}

/// A work as the database drives it: one shape for all, so that turns, groups and new beginnings are compiled once
/// and not for each of a hundred works.
pub(crate) trait Job: Send + Sync {
    fn name(&self) -> &'static str;
    fn queue(&self) -> Queue;
    /// Does the work; what comes of it is kept aside.
    fn perform<'a>(
        &'a self,
        tx: &'a mut Tx<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;
}

/// Why a job was not done.
pub(crate) enum Fault {
    /// By the work's own word, which is kept aside.
    Kept { is_transient: bool },
    /// The database failed around it.
    Database(Error),
}

impl Fault {
    fn is_transient(&self) -> bool {
        match self {
            Self::Kept { is_transient } => *is_transient,
            Self::Database(error) => error.is_transient(),
        }
    }
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// A work and what came of it.
struct Slot<'w, W: Work> {
    work: &'w W,
    kept: Mutex<Option<Result<W::Output, W::Error>>>,
}

impl<'w, W: Work> Slot<'w, W> {
    const fn new(work: &'w W) -> Self {
        Self {
            work,
            kept: Mutex::new(None),
        }
    }

    fn keep(&self, result: Result<W::Output, W::Error>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn into_result(self, driven: Result<(), Fault>) -> Result<W::Output, W::Error> {
        if let Err(Fault::Database(error)) = driven {
            return Err(error.into());
        }
        let kept = self.kept.into_inner();
        kept.unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_else(|| Err(Error::from(sqlx::Error::WorkerCrashed).into()))
    }
}

impl<W: Work> Job for Slot<'_, W> {
    fn name(&self) -> &'static str {
        self.work.name()
    }

    fn queue(&self) -> Queue {
        self.work.queue()
    }

    fn perform<'a>(
        &'a self,
        tx: &'a mut Tx<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>> {
        Box::pin(async move {
            let result = self.work.perform(tx).await;
            let driven = match &result {
                Ok(_) => Ok(()),
                Err(error) => Err(Fault::Kept {
                    is_transient: W::is_transient(error),
                }),
            };
            self.keep(result);
            driven
        })
    }
}

impl Database {
    /// Opens a migrated database.
    ///
    /// # Errors
    /// [`Error::Open`] with what is wrong: it cannot be reached or used, or has another schema than this
    /// program's (older, newer, edited, or another role's).
    pub async fn open(settings: &Settings, role: Role) -> Result<Self, Error> {
        let pools = match settings {
            Settings::Sqlite(file) => {
                let (writer, readers) = engine::open_sqlite(file, role).await?;
                Pools::Sqlite {
                    file: file.clone(),
                    writer: Writer::new(writer),
                    readers: Pool::new(readers, 0),
                }
            }
            Settings::Postgres(server) => {
                let (connections, freshness) = engine::open_postgres(server, role).await?;
                let kept = server.connections_max / CONNECTIONS_FOR_A_STOP;
                Pools::Postgres {
                    pool: Pool::new(connections, kept.max(1)),
                    freshness,
                }
            }
        };
        let begin = match role {
            Role::Broker => BEGIN_LOCKING,
            Role::Holder | Role::Portal => BEGIN_SERIALIZABLE,
        };
        Ok(Self { pools, begin })
    }

    /// Runs `work` in one writing transaction and commits it; begins anew after a transient fault.
    ///
    /// # Errors
    /// What `work` gives, or the database's own fault. Nothing is half-written.
    pub fn write<'a, W: Work>(
        &'a self,
        work: &'a W,
    ) -> impl Future<Output = Result<W::Output, W::Error>> + Send + 'a {
        self.run(work, true)
    }

    /// Runs `work` in one transaction that only reads, beside those that write; begins anew as they do.
    ///
    /// # Errors
    /// What `work` gives, or the database's own fault; [`Error::OnlyReads`] when it wants to change something.
    pub fn read<'a, W: Work>(
        &'a self,
        work: &'a W,
    ) -> impl Future<Output = Result<W::Output, W::Error>> + Send + 'a {
        self.run(work, false)
    }

    async fn run<W: Work>(&self, work: &W, writes: bool) -> Result<W::Output, W::Error> {
        let slot = Slot::new(work);
        let driven = self.drive(&slot, writes).await;
        slot.into_result(driven)
    }

    async fn drive(&self, job: &dyn Job, writes: bool) -> Result<(), Fault> {
        let mut attempt = 1;
        let mut pause = PAUSE;
        let begun = Instant::now();
        loop {
            let result = match &self.pools {
                Pools::Sqlite { writer, .. } if writes => writer.run(job).await,
                Pools::Sqlite { readers, .. } => match readers.begin(job, "BEGIN").await {
                    Ok((_seat, inner)) => run(Tx::sqlite(inner, false), job).await,
                    Err(error) => Err(error.into()),
                },
                Pools::Postgres { pool, freshness } => {
                    let begin = if writes { self.begin } else { BEGIN_READING };
                    match pool.begin(job, begin).await {
                        Ok((_seat, inner)) => {
                            run(Tx::postgres(inner, writes, freshness.clone()), job).await
                        }
                        Err(error) => Err(error.into()),
                    }
                }
            };
            match result {
                Err(fault)
                    if attempt < ATTEMPTS_MAX
                        && begun.elapsed() < ANEW_MAX
                        && fault.is_transient() =>
                {
                    tracing::info!(
                        transaction = job.name(),
                        attempt,
                        "begins anew after a passing fault"
                    );
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                    pause *= 2;
                }
                other => return other,
            }
        }
    }

    /// That the database takes changes at this moment, on the way that commands take: locks a row that nobody
    /// changes, as a command would.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check(&self) -> Result<(), Error> {
        self.write(&Check).await
    }

    /// Brings what was erased to an end on the disk as well: SQLite keeps old pages in its journal until they are
    /// written over. Gives whether that was done: while somebody reads (a backup, for example) it is not, and is to be
    /// asked for again. On PostgreSQL VACUUM does it, which the server runs by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn empty_journal(&self) -> Result<bool, Error> {
        let Pools::Sqlite { file, .. } = &self.pools else {
            return Ok(true);
        };
        // Writers wait as long as this waits for readers.
        let options = settings_of_session(file).busy_timeout(JOURNAL_TIMEOUT);
        let mut connection = options.connect().await?;
        let row = sqlx::raw_sql(EMPTY_JOURNAL)
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(row.try_get::<i64, _>(0)? == 0)
    }

    /// Closes the database after the running commands.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite {
                writer, readers, ..
            } => {
                writer.close().await;
                readers.connections.close().await;
            }
            Pools::Postgres { pool, .. } => pool.connections.close().await,
        }
    }
}

/// Locks the row of the newest migration, which PostgreSQL refuses where it takes no changes; on SQLite the turn at the
/// writer is the lock.
const LOCK_NEWEST_MIGRATION: Sql =
    sql!("SELECT version FROM _sqlx_migrations ORDER BY version DESC LIMIT 1", for update);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[LOCK_NEWEST_MIGRATION];

struct Check;

impl Work for Check {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "Check"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        tx.one(LOCK_NEWEST_MIGRATION, &[]).await.map(drop)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// For how many turns of others a work has waited.
pub(crate) fn tell_turn(job: &dyn Job, waited: u64) {
    tracing::debug!(transaction = job.name(), waited, "has its turn");
}

/// Does the work in a transaction and commits it.
pub(crate) async fn run(mut tx: Tx<'_>, job: &dyn Job) -> Result<(), Fault> {
    job.perform(&mut tx).await?;
    let round_trips = tx.commit().await?;
    tracing::debug!(transaction = job.name(), round_trips, "commits");
    Ok(())
}
