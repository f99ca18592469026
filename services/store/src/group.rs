//! Group commit on SQLite: one writer, one savepoint for each command, one sync for many of them.
//!
//! Commands take turns on the one writing connection. Whoever finds nobody waiting behind it commits for
//! all since the last commit; none is answered before that. A savepoint goes with a command's first change and
//! comes off with its last, so that it costs no round trip. Must never answer a command before its
//! commit, and must never let a command that fails or is given up take others along.

use crate::database::{Work, run};
use crate::tx::Turn;
use crate::{Error, Tx};
use sqlx::Transaction;
use sqlx::sqlite::{Sqlite, SqlitePool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

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
    lane: Arc<Mutex<Lane>>,
    waiting: AtomicUsize,
}

/// Where commands take turns.
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

/// One that waits for its turn, for as long as it does.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn begin(count: &'w AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Writer {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self {
            pool,
            lane: Arc::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Runs a command and answers once it is committed.
    pub(crate) async fn run<W: Work>(&self, work: &W) -> Result<W::Output, W::Error> {
        let (output, mut committed) = self.take_turn(work).await?;
        loop {
            match tokio::time::timeout(OTHERS_WAIT_MAX, &mut committed).await {
                Ok(Ok(Ok(()))) => return Ok(output),
                Ok(Ok(Err(error))) => return Err(error.into()),
                // The group went down with its connection: nothing of it was kept.
                Ok(Err(_)) => return Err(lost().into()),
                Err(_) => self.commit_for_all().await,
            }
        }
    }

    /// One command in its savepoint, in a group that may have others.
    async fn take_turn<W: Work>(
        &self,
        work: &W,
    ) -> Result<(W::Output, oneshot::Receiver<Result<(), Error>>), W::Error> {
        let mut lane = self.enter().await;
        let mut given_up = GivenUp(Some(Arc::clone(&self.lane)));
        let group = match &mut lane.group {
            Some(group) => group,
            none @ None => none.insert(self.begin().await?),
        };
        let output = match group.perform(work).await {
            Ok(output) => {
                let (answer, committed) = oneshot::channel();
                group.members.push(answer);
                Ok((output, committed))
            }
            Err(Failed::Command(error)) => Err(error),
            Err(Failed::Group(error)) => {
                lane.group = None;
                Err(error)
            }
        };
        given_up.0 = None;
        if self.is_to_commit(&lane) {
            commit(lane);
        }
        output
    }

    async fn enter(&self) -> OwnedMutexGuard<Lane> {
        let _waiting = Waiting::begin(&self.waiting);
        Arc::clone(&self.lane).lock_owned().await
    }

    async fn begin(&self) -> Result<Group, Error> {
        Ok(Group {
            transaction: self.pool.begin_with("BEGIN IMMEDIATE").await?,
            is_open: false,
            begun: Instant::now(),
            members: Vec::new(),
        })
    }

    fn is_to_commit(&self, lane: &Lane) -> bool {
        let is_full = lane.group.as_ref().is_some_and(|group| {
            group.members.len() >= GROUP_COMMANDS_MAX || group.begun.elapsed() >= GROUP_OPEN_MAX
        });
        is_full || self.waiting.load(Ordering::Acquire) == 0
    }

    /// Commits what is open, if anything is.
    async fn commit_for_all(&self) {
        commit(self.enter().await);
    }

    pub(crate) async fn close(&self) {
        drop(self.enter().await.group.take());
        self.pool.close().await;
    }
}

/// Why a command was not done.
enum Failed<E> {
    /// It failed, and was undone alone.
    Command(E),
    /// It could not be undone alone: the whole group is.
    Group(E),
}

impl Group {
    async fn perform<W: Work>(&mut self, work: &W) -> Result<W::Output, Failed<W::Error>> {
        let whole = |error: Error| Failed::Group(error.into());
        // What somebody gave up half-way goes first.
        self.undo().await.map_err(whole)?;
        let failed = match run(Tx::turn(self.turn()), work).await {
            Ok(output) => return Ok(output),
            Err(error) => error,
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

/// Sees to it that what others have done is committed when whoever has its turn gives up half-way.
struct GivenUp(Option<Arc<Mutex<Lane>>>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            tokio::spawn(async move { commit(lane.lock_owned().await) });
        }
    }
}

/// Commits a group and answers its members. In a task of its own: whoever gives up waiting must not take
/// the others along.
fn commit(mut lane: OwnedMutexGuard<Lane>) {
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
