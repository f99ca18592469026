//! Turns: who is next where more wait than there are seats, at the one writer and at the connections of a pool.
//!
//! Turns go round the queues in which somebody waits, and not by arrival: whoever comes with a thousand things keeps
//! another waiting for one of them. Must never know who anybody is, and must never let anybody wait for ever while
//! others go on.

use crate::Error;
use rules::id::Tag;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// In which queue something waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Of what stops something and has a share of its own: it waits for one turn of anybody else at most.
    Stop,
    /// Of one organisation, by a tag that says nothing here.
    Of(Tag),
    /// Of the role's own work.
    Own,
}

/// Where turns are waited for. Each seat has a value, which whoever has the seat may use.
#[derive(Debug)]
pub struct Turns<T: Default>(Arc<Mutex<Hall<T>>>);

/// A turn: a seat until it is dropped.
#[derive(Debug)]
pub struct Seat<T: Default> {
    value: T,
    queue: Queue,
    waited: u64,
    turns: Turns<T>,
}

#[derive(Debug)]
struct Hall<T: Default> {
    /// The seats that nobody has.
    free: Vec<T>,
    /// So many of them are for what stops something only.
    kept: usize,
    /// So many one organisation has at most: where there are several, another finds one.
    share_max: usize,
    /// One for each queue that has a seat or in which somebody waits.
    rows: Vec<Row<T>>,
    /// Whether the last turn was of what stops something.
    was_stop: bool,
    /// Goes on with each arrival and each end of a turn.
    moment: u64,
    /// How many turns have ended.
    ended: u64,
}

#[derive(Debug)]
struct Row<T: Default> {
    queue: Queue,
    /// The seats that it has.
    seats: usize,
    /// Since when it waits: its arrival, or the end of its last turn.
    since: u64,
    waiting: VecDeque<Waiter<T>>,
}

#[derive(Debug)]
struct Waiter<T: Default> {
    seat: oneshot::Sender<Seat<T>>,
    /// How many turns had ended when it came.
    ended_before: u64,
}

impl<T: Default> Turns<T> {
    /// So many seats, of which some are kept for what stops something; never all.
    #[must_use]
    pub fn new(seats: usize, kept: usize) -> Self {
        let kept = kept.min(seats.saturating_sub(1));
        let others = seats.saturating_sub(kept);
        Self(Arc::new(Mutex::new(Hall {
            free: std::iter::repeat_with(T::default).take(seats).collect(),
            kept,
            share_max: others.saturating_sub(1).max(1),
            rows: Vec::new(),
            was_stop: false,
            moment: 0,
            ended: 0,
        })))
    }

    /// Waits for a turn. Whoever gives up waiting loses its place in the queue and keeps nobody.
    ///
    /// # Errors
    /// When there are no turns any more.
    pub async fn enter(&self, queue: Queue) -> Result<Seat<T>, Error> {
        let (sender, seat) = oneshot::channel();
        self.hall().arrive(queue, sender);
        self.hand_out();
        // Whoever waits is only ever sent a seat.
        seat.await
            .map_err(|_| Error::from(sqlx::Error::WorkerCrashed))
    }

    fn hall(&self) -> MutexGuard<'_, Hall<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what is free to those who are next.
    fn hand_out(&self) {
        loop {
            let next = self.hall().call_next();
            let Some((queue, waiter, waited, value)) = next else {
                return;
            };
            let turns = Self(Arc::clone(&self.0));
            // From whoever gave up at this very moment it comes back by being dropped.
            drop(waiter.send(Seat {
                value,
                queue,
                waited,
                turns,
            }));
        }
    }
}

impl<T: Default> Hall<T> {
    fn tick(&mut self) -> u64 {
        self.moment = self.moment.saturating_add(1);
        self.moment
    }

    fn arrive(&mut self, queue: Queue, seat: oneshot::Sender<Seat<T>>) {
        let now = self.tick();
        let waiter = Waiter {
            seat,
            ended_before: self.ended,
        };
        match self.rows.iter_mut().find(|row| row.queue == queue) {
            Some(row) => {
                if row.waiting.is_empty() {
                    row.since = now;
                }
                row.waiting.push_back(waiter);
            }
            None => self.rows.push(Row {
                queue,
                seats: 0,
                since: now,
                waiting: VecDeque::from([waiter]),
            }),
        }
    }

    /// Takes back a seat. Its queue goes behind those that have been waiting meanwhile.
    fn leave(&mut self, queue: Queue, value: T) {
        let now = self.tick();
        self.free.push(value);
        self.ended = self.ended.saturating_add(1);
        if let Some(row) = self.rows.iter_mut().find(|row| row.queue == queue) {
            row.seats = row.seats.saturating_sub(1);
            row.since = now;
        }
    }

    /// Forgets those who gave up, as far as one of them would be next, and queues without anybody.
    fn forget(&mut self) {
        for row in &mut self.rows {
            while row
                .waiting
                .front()
                .is_some_and(|first| first.seat.is_closed())
            {
                row.waiting.pop_front();
            }
        }
        self.rows
            .retain(|row| row.seats > 0 || !row.waiting.is_empty());
    }

    fn is_waited_for(&mut self) -> bool {
        self.forget();
        self.rows.iter().any(|row| !row.waiting.is_empty())
    }

    /// The queue whose turn it is, if somebody waits for whom there is a seat.
    fn next(&self) -> Option<Queue> {
        if self.free.is_empty() {
            return None;
        }
        let stops = self.rows.iter().find(|row| row.queue == Queue::Stop);
        let kept = self.kept.saturating_sub(stops.map_or(0, |row| row.seats));
        let is_open = self.free.len() > kept;
        let waiting = self.rows.iter().filter(|row| !row.waiting.is_empty());
        let others =
            waiting.filter(|row| row.queue != Queue::Stop && is_open && row.seats < self.share_max);
        let other = others.min_by_key(|row| (row.seats, row.since));
        let is_stop_waiting = stops.is_some_and(|row| !row.waiting.is_empty());
        match other {
            Some(other) if !is_stop_waiting || self.was_stop => Some(other.queue),
            _ => is_stop_waiting.then_some(Queue::Stop),
        }
    }

    /// Who is next, for how many turns it has waited, and a seat.
    fn call_next(&mut self) -> Option<(Queue, oneshot::Sender<Seat<T>>, u64, T)> {
        self.forget();
        let queue = self.next()?;
        let row = self.rows.iter_mut().find(|row| row.queue == queue)?;
        let waiter = row.waiting.pop_front()?;
        row.seats = row.seats.saturating_add(1);
        self.was_stop = queue == Queue::Stop;
        let waited = self.ended.saturating_sub(waiter.ended_before);
        let value = self.free.pop().unwrap_or_default();
        Some((queue, waiter.seat, waited, value))
    }
}

impl<T: Default> Seat<T> {
    /// In which queue it was waited for.
    pub(crate) fn queue(&self) -> Queue {
        self.queue
    }

    /// How many turns of others ended while it was waited for.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.waited
    }

    /// Whether anybody waits for a turn.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.turns.hall().is_waited_for()
    }
}

impl<T: Default> Deref for Seat<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Seat<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Seat<T> {
    fn drop(&mut self) {
        let value = std::mem::take(&mut self.value);
        self.turns.hall().leave(self.queue, value);
        self.turns.hand_out();
    }
}
