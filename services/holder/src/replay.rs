//! The memory of orders inside their window: the same bytes get the same answer, other bytes under the
//! same id get none.
//!
//! Lives in memory alone; what a restart forgets is refused by when it began. An order takes room last, once it
//! has been taken from its issuer's quota, and each issuer has room of its own. Must never grow without bound,
//! and must never forget an order that could still be carried out.

use crate::convert::Hop;
use crate::time::Moment;
use rules::clock::Timestamp;
use rules::id::{Oin, OrderId};
use rules::limits::{REPLAY_BYTES_MAX, REPLAY_ORDER_BYTES_MAX, REPLAY_ORDERS_SURE};
use rules::reason::Reason;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Orders that fit the memory.
const ORDERS_MAX: usize = REPLAY_BYTES_MAX / REPLAY_ORDER_BYTES_MAX;

/// Which order: ids are drawn by issuers, so one issuer cannot spoil another's.
pub(crate) type OrderKey = (Oin, OrderId);

/// How many orders are remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    /// Of all issuers together, besides [`Rooms::sure`] of each.
    total: usize,
    /// Of one issuer.
    issuer: usize,
    /// Of one issuer, whatever the others have.
    sure: usize,
}

impl Rooms {
    /// Room for each issuer's whole quota of a day at once, as far as that is no more than half of all.
    pub(crate) fn for_quota(quota: u32) -> Self {
        let quota = usize::try_from(quota).unwrap_or(usize::MAX);
        Self {
            total: ORDERS_MAX,
            issuer: quota.min(ORDERS_MAX / 2),
            sure: REPLAY_ORDERS_SURE,
        }
    }
}

/// What is known of an order.
pub(crate) enum Seen {
    /// Not carried out before, or only without success.
    Fresh,
    /// Carried out before: this was the answer.
    Answered(Arc<Hop>),
}

struct Entry {
    order_sha256: [u8; 32],
    answer: Option<Arc<Hop>>,
}

#[derive(Default)]
struct Inner {
    /// The period that all of this is of.
    period: u64,
    orders: HashMap<OrderKey, Entry>,
    ends: BinaryHeap<Reverse<(Timestamp, OrderKey)>>,
    counts: HashMap<Oin, usize>,
}

/// The memory. Every order has one place in `orders` and one in `ends`, and is counted for its issuer.
pub(crate) struct Replay {
    rooms: Rooms,
    inner: Mutex<Inner>,
}

impl Replay {
    pub(crate) fn new(rooms: Rooms) -> Self {
        Self {
            rooms,
            inner: Mutex::default(),
        }
    }

    /// Looks an order up, and remembers nothing. To be called only with orders whose signature and window are right.
    pub(crate) fn see(
        &self,
        key: &OrderKey,
        order_sha256: &[u8; 32],
        at: &Moment,
    ) -> Result<Seen, Reason> {
        self.lock_at(at)?.see(key, order_sha256)
    }

    /// Remembers an order until its window's end, unless it is known. To be called with what its issuer's quota has
    /// paid for, before it is carried out and after the span of its period covers it.
    pub(crate) fn enter(
        &self,
        key: &OrderKey,
        order_sha256: &[u8; 32],
        (not_before, not_after): (Timestamp, Timestamp),
        at: &Moment,
    ) -> Result<Seen, Reason> {
        let mut inner = self.lock_at(at)?;
        // Again: it may have been carried out since it was judged, as the last of the period before.
        if at.period.may_be_repeated(not_before) {
            return Err(Reason::OrderExpired);
        }
        if inner.orders.contains_key(key) {
            return inner.see(key, order_sha256);
        }
        let (all, own) = (
            inner.orders.len(),
            inner.counts.get(&key.0).copied().unwrap_or(0),
        );
        // Refusing for five minutes at most is better than forgetting what could be replayed.
        if own >= self.rooms.issuer {
            return Err(Reason::QuotaExceeded);
        }
        if all >= self.rooms.total && own >= self.rooms.sure {
            return Err(Reason::HolderUnavailable);
        }
        let entry = Entry {
            order_sha256: *order_sha256,
            answer: None,
        };
        inner.orders.insert(key.clone(), entry);
        inner.ends.push(Reverse((not_after, key.clone())));
        inner.counts.insert(key.0.clone(), own.saturating_add(1));
        Ok(Seen::Fresh)
    }

    /// Keeps the answer to an order and gives the one that stands: of two calls at once with the same
    /// bytes the first to finish wins, and both answer the same.
    pub(crate) fn answer(&self, key: &OrderKey, hop: Arc<Hop>) -> Arc<Hop> {
        let mut inner = self.lock();
        match inner.orders.get_mut(key) {
            Some(entry) => Arc::clone(entry.answer.get_or_insert(hop)),
            // Its window or its period ended while it was being carried out.
            None => hop,
        }
    }

    /// The memory as it is at a moment. A new period begins with nothing: what was carried out before it is refused
    /// by when it began. What was judged in a period that is over is not carried out any more.
    fn lock_at(&self, at: &Moment) -> Result<MutexGuard<'_, Inner>, Reason> {
        let mut inner = self.lock();
        if at.period.number < inner.period {
            return Err(Reason::HolderUnavailable);
        }
        if at.period.number > inner.period {
            *inner = Inner {
                period: at.period.number,
                ..Inner::default()
            };
        }
        inner.forget(at.now);
        Ok(inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs while the lock is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn see(&self, key: &OrderKey, order_sha256: &[u8; 32]) -> Result<Seen, Reason> {
        match self.orders.get(key) {
            Some(entry) if entry.order_sha256 != *order_sha256 => Err(Reason::OrderReplayed),
            Some(Entry {
                answer: Some(hop), ..
            }) => Ok(Seen::Answered(Arc::clone(hop))),
            Some(_) | None => Ok(Seen::Fresh),
        }
    }

    /// Forgets orders whose window has ended: from then on their age refuses them.
    fn forget(&mut self, now: Timestamp) {
        while let Some(Reverse((end, _))) = self.ends.peek() {
            if *end >= now {
                return;
            }
            let Some(Reverse((_, key))) = self.ends.pop() else {
                return;
            };
            self.orders.remove(&key);
            if let Some(count) = self.counts.get_mut(&key.0) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&key.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use papers::paper::SignedPaper;

    const UWV: &str = "00000099000000001000";
    const TOWN: &str = "00000099000000002000";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn moment(millis: i64) -> Moment {
        Moment::of(0, at(millis))
    }

    fn key(issuer: &str, number: u8) -> OrderKey {
        (
            issuer.parse().unwrap(),
            OrderId::from_slice(&[number; 16]).unwrap(),
        )
    }

    fn hop(mark: u8) -> Arc<Hop> {
        let voucher = SignedPaper {
            bytes: vec![mark],
            signature: vec![mark; 64],
        };
        Arc::new(Hop {
            ciphertexts: vec![[mark; 64]],
            voucher,
        })
    }

    /// Enters an order of an issuer; gives whether it was fresh.
    fn enter(replay: &Replay, key: &OrderKey, end: i64, now: &Moment) -> Result<bool, Reason> {
        let seen = replay.enter(key, &[1; 32], (now.now, at(end)), now)?;
        Ok(matches!(seen, Seen::Fresh))
    }

    fn rooms(total: usize, issuer: usize, sure: usize) -> Replay {
        Replay::new(Rooms {
            total,
            issuer,
            sure,
        })
    }

    #[test]
    fn the_first_answer_stands_until_the_window_ends() {
        let (replay, key) = (rooms(10, 10, 0), key(UWV, 1));
        assert_eq!(enter(&replay, &key, 100, &moment(0)), Ok(true));
        assert_eq!(
            enter(&replay, &key, 100, &moment(1)),
            Ok(true),
            "twice at once"
        );
        assert_eq!(replay.answer(&key, hop(1)), hop(1));
        assert_eq!(replay.answer(&key, hop(2)), hop(1), "the second to finish");
        let again = replay.see(&key, &[1; 32], &moment(100));
        assert!(matches!(again, Ok(Seen::Answered(known)) if known == hop(1)));
        let window = (at(100), at(100));
        let again = replay.enter(&key, &[1; 32], window, &moment(100));
        assert!(matches!(again, Ok(Seen::Answered(known)) if known == hop(1)));
        for other in [
            replay.see(&key, &[2; 32], &moment(100)),
            replay.enter(&key, &[2; 32], window, &moment(100)),
        ] {
            assert!(matches!(other, Err(Reason::OrderReplayed)));
        }
        let later = replay.see(&key, &[2; 32], &moment(101));
        assert!(matches!(later, Ok(Seen::Fresh)));
    }

    #[test]
    fn who_only_looks_takes_no_room() {
        let replay = rooms(1, 1, 0);
        for number in 1..100 {
            let seen = replay.see(&key(UWV, number), &[1; 32], &moment(0));
            assert!(matches!(seen, Ok(Seen::Fresh)));
        }
        assert_eq!(enter(&replay, &key(UWV, 1), 9, &moment(0)), Ok(true));
    }

    #[test]
    fn a_room_that_is_full_refuses_its_issuer_alone_and_empties_with_time() {
        let replay = rooms(100, 3, 0);
        for number in 1..=3 {
            let end = i64::from(number);
            assert_eq!(enter(&replay, &key(UWV, number), end, &moment(0)), Ok(true));
        }
        let full = enter(&replay, &key(UWV, 4), 9, &moment(1));
        assert_eq!(full, Err(Reason::QuotaExceeded));
        assert_eq!(
            enter(&replay, &key(UWV, 2), 2, &moment(1)),
            Ok(true),
            "known"
        );
        assert_eq!(enter(&replay, &key(TOWN, 4), 9, &moment(1)), Ok(true));
        assert_eq!(enter(&replay, &key(UWV, 4), 9, &moment(2)), Ok(true));
        let inner = replay.lock();
        assert_eq!((inner.orders.len(), inner.ends.len()), (4, 4));
        assert_eq!(inner.counts.values().sum::<usize>(), 4);
    }

    #[test]
    fn where_all_is_full_each_still_has_what_is_sure() {
        let replay = rooms(3, 3, 1);
        for number in 1..=3 {
            assert_eq!(enter(&replay, &key(UWV, number), 9, &moment(0)), Ok(true));
        }
        assert_eq!(enter(&replay, &key(TOWN, 1), 9, &moment(0)), Ok(true));
        let full = enter(&replay, &key(TOWN, 2), 9, &moment(0));
        assert_eq!(full, Err(Reason::HolderUnavailable));
    }

    #[test]
    fn another_period_begins_with_nothing_and_ends_what_is_under_way() {
        let replay = rooms(1, 1, 0);
        assert_eq!(enter(&replay, &key(UWV, 1), 9, &moment(0)), Ok(true));
        let next = Moment::of(1, at(0));
        assert_eq!(enter(&replay, &key(UWV, 2), 9, &next), Ok(true));
        let late = enter(&replay, &key(UWV, 1), 9, &moment(0));
        assert_eq!(late, Err(Reason::HolderUnavailable));
    }

    #[test]
    fn a_day_of_default_quotas_fits_its_issuers_room() {
        let rooms = Rooms::for_quota(14_000);
        assert_eq!(
            (rooms.total, rooms.issuer, rooms.sure),
            (131_072, 14_000, 300)
        );
        assert_eq!(Rooms::for_quota(u32::MAX).issuer, 65_536);
    }
}
