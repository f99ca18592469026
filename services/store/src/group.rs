//! Group commit on SQLite: one writer, one savepoint for each command, one sync for many of them.
//!
//! Commands take turns on the one writing connection, round the organisations. Whoever finds nobody waiting behind it
//! commits for all since the last commit, and so does what stops something; none is answered before that. A savepoint
//! goes with a command's first change and comes off with its last, so that it costs no round trip. Must never answer
//! a command before its commit, and must never let a command that fails or is given up take others along.

use crate::database::{Fault, Job, run, tell_turn};
use crate::turns::{Queue, Seat, Turns};
use crate::tx::Turn;
use crate::{Error, Tx};
use sqlx::Transaction;
use sqlx::sqlite::{Sqlite, SqlitePool};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most commands in one group.
const GROUP_COMMANDS_MAX: usize = 64;
/// How long a group may stay open while others keep coming.
const GROUP_OPEN_MAX: Duration = Duration::from_millis(20);
/// How long a command waits for somebody else to commit its group before it does so itself. It is needed
/// only when whoever was to come next has given up.
const OTHERS_WAIT_MAX: Duration = Duration::from_millis(5);

/// The one writer.
#[derive(Debug)]
pub(crate) struct Writer {
    pool: SqlitePool,
    turns: Turns<Lane>,
}

/// What whoever has its turn works in.
#[derive(Debug, Default)]
struct Lane {
    group: Option<Group>,
}

/// Commands since the last commit.
#[derive(Debug)]
struct Group {
    transaction: Transaction<'static, Sqlite>,
    /// Whether a command has a savepoint that is still open.
    is_open: bool,
    begun: Instant,
    members: Vec<oneshot::Sender<Result<(), Error>>>,
}

/// How a command hears of its commit.
type Committed = oneshot::Receiver<Result<(), Error>>;

impl Writer {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self {
            pool,
            turns: Turns::new(1, 0),
        }
    }

    /// Runs a command and answers once it is committed.
    pub(crate) async fn run(&self, job: &dyn Job) -> Result<(), Fault> {
        let mut committed = self.take_turn(job).await?;
        loop {
            tokio::select! {
                biased;
                answer = &mut committed => {
                    return match answer {
                        Ok(Ok(())) => Ok(()),
                        Ok(Err(error)) => Err(error.into()),
                        // The group went down with its connection: nothing of it was kept.
                        Err(_) => Err(lost().into()),
                    };
                }
                lane = self.wait_for_others(job.queue()) => commit(lane?),
            }
        }
    }

    /// One command in its savepoint, in a group that may have others.
    async fn take_turn(&self, job: &dyn Job) -> Result<Committed, Fault> {
        let seat = self.turns.enter(job.queue()).await?;
        tell_turn(job, seat.waited());
        let mut taken = Taken(Some(seat));
        let Some(lane) = taken.0.as_deref_mut() else {
            return Err(lost().into());
        };
        let group = match &mut lane.group {
            Some(group) => group,
            none @ None => none.insert(self.begin().await?),
        };
        let performed = match group.perform(job).await {
            Ok(()) => {
                let (answer, committed) = oneshot::channel();
                group.members.push(answer);
                Ok(committed)
            }
            Err(Failed::Command(fault)) => Err(fault),
            Err(Failed::Group(fault)) => {
                lane.group = None;
                Err(fault)
            }
        };
        if let Some(lane) = taken.0.take()
            && is_to_commit(&lane)
        {
            commit(lane);
        }
        performed
    }

    async fn begin(&self) -> Result<Group, Error> {
        Ok(Group {
            transaction: self.pool.begin_with("BEGIN IMMEDIATE").await?,
            is_open: false,
            begun: Instant::now(),
            members: Vec::new(),
        })
    }

    /// A turn to commit what is open, when nobody else has done so in good time.
    async fn wait_for_others(&self, queue: Queue) -> Result<Seat<Lane>, Error> {
        tokio::time::sleep(OTHERS_WAIT_MAX).await;
        self.turns.enter(queue).await
    }

    pub(crate) async fn close(&self) {
        if let Ok(mut lane) = self.turns.enter(Queue::Own).await {
            drop(lane.group.take());
        }
        self.pool.close().await;
    }
}

/// Whether a group is committed now: it is full or old, nobody waits to come into it, or the last one stops something,
/// whose answer waits for nobody else's turn.
fn is_to_commit(lane: &Seat<Lane>) -> bool {
    let is_full = lane.group.as_ref().is_some_and(|group| {
        group.members.len() >= GROUP_COMMANDS_MAX || group.begun.elapsed() >= GROUP_OPEN_MAX
    });
    is_full || lane.queue() == Queue::Stop || !lane.is_waited_for()
}

/// Why a command was not done.
enum Failed {
    /// It failed, and was undone alone.
    Command(Fault),
    /// It could not be undone alone: the whole group is.
    Group(Fault),
}

impl Group {
    async fn perform(&mut self, job: &dyn Job) -> Result<(), Failed> {
        let whole = |error: Error| Failed::Group(error.into());
        // What somebody gave up half-way goes first.
        self.undo().await.map_err(whole)?;
        let Err(failed) = run(Tx::turn(self.turn()), job).await else {
            return Ok(());
        };
        // A full disk makes SQLite roll back all by itself; then there is no savepoint to go back to.
        match self.undo().await {
            Ok(()) => Err(Failed::Command(failed)),
            Err(_) => Err(Failed::Group(failed)),
        }
    }

    fn turn(&mut self) -> Turn<'_> {
        Turn {
            connection: &mut self.transaction,
            is_open: &mut self.is_open,
        }
    }

    async fn undo(&mut self) -> Result<(), Error> {
        self.turn().undo().await
    }
}

/// A turn. When it is given up half-way, what others have done is committed.
struct Taken(Option<Seat<Lane>>);

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            commit(lane);
        }
    }
}

/// Commits a group and answers its members. In a task of its own: whoever gives up waiting must not take
/// the others along.
fn commit(mut lane: Seat<Lane>) {
    let Some(mut group) = lane.group.take() else {
        return;
    };
    if group.members.is_empty() {
        // Nothing was done; dropping it rolls back.
        return;
    }
    tokio::spawn(async move {
        let count = group.members.len();
        let committed = match group.undo().await {
            Ok(()) => group.transaction.commit().await.map_err(Error::from),
            Err(error) => Err(error),
        };
        drop(lane);
        tracing::debug!(commands = count, "commits a group");
        for member in group.members {
            let answer = match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(error.again()),
            };
            // Nobody is there any more who could be told.
            drop(member.send(answer));
        }
    });
}

/// The group was undone for another's sake; the same command may succeed.
fn lost() -> Error {
    Error::from(sqlx::Error::WorkerCrashed)
}
