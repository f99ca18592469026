//! Whose turn it is: round the queues and not by arrival, on both engines, where something is written and where
//! something is read.
//!
//! Must never judge by time: turns are counted.

use super::{COUNT_ENTRIES, Place, file, open, schema};
use crate::turns::{Queue, Seat, Turns};
use crate::{Database, Error, Role, Tx, Work};
use rules::id::Tag;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet, yield_now};

const OFFICER: Queue = Queue::Of(Tag::new([1; 16]));
const DESK: Queue = Queue::Of(Tag::new([2; 16]));
/// What one organisation asks for at once.
const MANY: usize = 1_000;
/// The same of connections, where nobody waits for longer than a few seconds.
const SOME: usize = 50;
/// Long enough for a turn that comes, and for one that does not to be seen.
const MOMENT: Duration = Duration::from_millis(200);

/// Whose turns there were, in order.
#[derive(Default)]
struct Turned(Mutex<Vec<Queue>>);

impl Turned {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Those from the so-manyth on.
    fn since(&self, first: usize) -> Vec<Queue> {
        self.0.lock().unwrap()[first..].to_vec()
    }

    /// Waits for so many.
    async fn reach(&self, count: usize) {
        while self.count() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Writes down whose turn it is, and ends it when it may.
struct Look {
    queue: Queue,
    turned: Arc<Turned>,
    ends: Arc<Semaphore>,
}

impl Work for Look {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "Look"
    }

    fn queue(&self) -> Queue {
        self.queue
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        self.turned.0.lock().unwrap().push(self.queue);
        self.ends.acquire().await.unwrap().forget();
        tx.one(COUNT_ENTRIES, &[]).await.map(drop)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// A database at which turns are written down.
struct Hall {
    database: Arc<Database>,
    writes: bool,
    turned: Arc<Turned>,
    ends: Arc<Semaphore>,
    asked: JoinSet<()>,
}

impl Hall {
    async fn open(place: &Place, writes: bool) -> Self {
        Self {
            database: Arc::new(open(place, Role::Broker).await),
            writes,
            turned: Arc::default(),
            ends: Arc::new(Semaphore::new(0)),
            asked: JoinSet::new(),
        }
    }

    /// Asks for a turn, and leaves it at that.
    async fn ask(&mut self, queue: Queue, times: usize) {
        for _ in 0..times {
            let (database, writes) = (Arc::clone(&self.database), self.writes);
            let work = Look {
                queue,
                turned: Arc::clone(&self.turned),
                ends: Arc::clone(&self.ends),
            };
            self.asked.spawn(async move {
                let done = if writes {
                    database.write(&work).await
                } else {
                    database.read(&work).await
                };
                done.unwrap();
            });
        }
        // On one thread all of them are in their queue then.
        yield_now().await;
    }

    /// Ends one turn; gives whose turn comes then.
    async fn next(&self) -> Vec<Queue> {
        let before = self.turned.count();
        self.ends.add_permits(1);
        self.turned.reach(before + 1).await;
        self.turned.since(before)
    }

    /// Ends all turns; gives how many there were.
    async fn close(self) -> usize {
        self.ends.add_permits(Semaphore::MAX_PERMITS / 2);
        self.asked.join_all().await;
        self.turned.count()
    }
}

#[tokio::test]
async fn whoever_asks_a_thousand_times_keeps_a_writer_waiting_for_one_turn_at_most() {
    let mut hall = Hall::open(&file(None), true).await;
    hall.ask(OFFICER, MANY).await;
    hall.turned.reach(1).await;
    for (queue, times) in [(DESK, 2), (Queue::Own, 1), (Queue::Stop, 2)] {
        hall.ask(queue, times).await;
    }
    for queue in [
        Queue::Stop,
        DESK,
        Queue::Stop,
        Queue::Own,
        OFFICER,
        DESK,
        OFFICER,
        OFFICER,
    ] {
        assert_eq!(hall.next().await, [queue]);
    }
    hall.ask(Queue::Stop, 1).await;
    assert_eq!(hall.next().await, [Queue::Stop]);
    assert_eq!(hall.close().await, MANY + 6, "each has its turn");
}

/// At connections: whoever takes all that it gets leaves others theirs, and whoever is next is not who has most.
async fn check(place: Place, writes: bool, share: usize, kept: bool) {
    let mut hall = Hall::open(&place, writes).await;
    hall.ask(OFFICER, SOME).await;
    hall.turned.reach(share).await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(hall.turned.count(), share, "it has its share and no more");
    hall.ask(DESK, 1).await;
    hall.turned.reach(share + 1).await;
    hall.ask(Queue::Own, 1).await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(hall.turned.count(), share + 1, "there is no more");
    hall.ask(Queue::Stop, 1).await;
    if kept {
        hall.turned.reach(share + 2).await;
    } else {
        assert_eq!(hall.next().await, [Queue::Stop]);
    }
    assert_eq!(hall.turned.since(share), [DESK, Queue::Stop]);
    assert_eq!(hall.next().await, [Queue::Own]);
    assert_eq!(hall.close().await, SOME + 3, "each has its turn");
}

#[tokio::test]
async fn whoever_takes_all_connections_leaves_others_theirs_and_a_stop_its_own() {
    check(file(None), false, 3, false).await;
    for writes in [true, false] {
        check(schema(), writes, 6, true).await;
    }
}

/// One seat with whoever waits for it, by name.
struct Line {
    turns: Arc<Turns<()>>,
    order: Arc<Mutex<Vec<&'static str>>>,
}

impl Line {
    fn new(seats: usize, kept: usize) -> Self {
        Self {
            turns: Arc::new(Turns::new(seats, kept)),
            order: Arc::default(),
        }
    }

    /// Waits, writes down its name, and leaves at once.
    async fn wait(&self, queue: Queue, name: &'static str) -> JoinHandle<()> {
        let (turns, order) = (Arc::clone(&self.turns), Arc::clone(&self.order));
        let waiting = tokio::spawn(async move {
            let _seat = turns.enter(queue).await.unwrap();
            order.lock().unwrap().push(name);
        });
        yield_now().await;
        waiting
    }

    /// A seat, if there is one now.
    async fn sit(&self, queue: Queue) -> Option<Seat<()>> {
        tokio::select! {
            biased;
            seat = self.turns.enter(queue) => Some(seat.unwrap()),
            () = yield_now() => None,
        }
    }

    async fn order(&self, waiting: Vec<JoinHandle<()>>) -> Vec<&'static str> {
        for one in waiting {
            one.await.unwrap();
        }
        std::mem::take(&mut self.order.lock().unwrap())
    }
}

#[tokio::test]
async fn turns_go_round_and_stops_have_every_other_one() {
    let line = Line::new(1, 1);
    let held = line.sit(OFFICER).await.unwrap();
    let mut waiting = Vec::new();
    for (queue, name) in [
        (OFFICER, "officer 1"),
        (OFFICER, "officer 2"),
        (Queue::Own, "own 1"),
        (Queue::Own, "own 2"),
        (DESK, "desk"),
        (Queue::Stop, "stop 1"),
        (Queue::Stop, "stop 2"),
        (Queue::Stop, "stop 3"),
    ] {
        waiting.push(line.wait(queue, name).await);
    }
    assert!(held.is_waited_for());
    drop(held);
    let order = [
        "stop 1",
        "own 1",
        "stop 2",
        "desk",
        "stop 3",
        "officer 1",
        "own 2",
        "officer 2",
    ];
    assert_eq!(line.order(waiting).await, order);
}

#[tokio::test]
async fn whoever_gives_up_keeps_nobody_waiting() {
    let line = Line::new(1, 0);
    let held = line.sit(OFFICER).await.unwrap();
    let gone = line.wait(DESK, "gone").await;
    assert!(held.is_waited_for());
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert!(!held.is_waited_for());
    let waiting = vec![line.wait(DESK, "desk").await];
    drop(held);
    assert_eq!(line.order(waiting).await, ["desk"]);
    assert!(line.sit(OFFICER).await.is_some());
}

#[tokio::test]
async fn nobody_takes_the_last_seat_that_another_may_need_nor_one_that_is_kept() {
    let line = Line::new(4, 1);
    let officer = [line.sit(OFFICER).await, line.sit(OFFICER).await];
    assert!(officer.iter().all(Option::is_some));
    assert!(line.sit(OFFICER).await.is_none(), "one is left for others");
    let desk = line.sit(DESK).await;
    assert!(desk.is_some());
    assert!(line.sit(Queue::Own).await.is_none(), "one is kept");
    let stop = line.sit(Queue::Stop).await;
    assert!(stop.is_some());
    assert!(line.sit(Queue::Stop).await.is_none());
    drop(desk);
    assert!(line.sit(OFFICER).await.is_none());
    assert!(line.sit(Queue::Own).await.is_some());
    // Who has none goes before who has some, whoever came first.
    let _own = line.sit(Queue::Own).await.unwrap();
    let one = line.sit(Queue::Stop).await;
    assert!(one.is_none());
    let mut waiting = vec![line.wait(OFFICER, "officer").await];
    waiting.push(line.wait(DESK, "desk").await);
    let [first, _second] = officer;
    drop(first);
    assert_eq!(line.order(waiting).await, ["desk", "officer"]);
}
