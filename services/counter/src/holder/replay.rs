//! The memory of orders inside their window: the same bytes get the same answer, other bytes under the
//! same id get none.
//!
//! Lives in memory alone; what a restart forgets is refused by its age. Must never grow without bound,
//! and must never forget an order that could still be carried out.

use crate::holder::convert::Hop;
use rules::clock::Timestamp;
use rules::id::{Oin, OrderId};
use rules::reason::Reason;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most orders remembered at once. At about 1 KiB each this bounds the memory to some 200 MiB; the
/// design load of 200 handovers a second leaves 120,000 orders in a window of five minutes.
pub const REPLAY_ORDERS_MAX: usize = 200_000;

/// Which order: ids are drawn by issuers, so one issuer cannot spoil another's.
pub(crate) type OrderKey = (Oin, OrderId);

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
    orders: HashMap<OrderKey, Entry>,
    ends: BinaryHeap<Reverse<(Timestamp, OrderKey)>>,
}

/// The memory. Every order has one place in `orders` and one in `ends`.
pub(crate) struct Replay {
    capacity: usize,
    inner: Mutex<Inner>,
}

impl Replay {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
        }
    }

    /// Looks an order up, and remembers it until its window's end when it is new. To be called only with
    /// orders whose signature and window are right, as anything else could fill the memory.
    pub(crate) fn see(
        &self,
        key: &OrderKey,
        order_sha256: &[u8; 32],
        not_after: Timestamp,
        now: Timestamp,
    ) -> Result<Seen, Reason> {
        let mut inner = self.lock();
        forget(&mut inner, now);
        match inner.orders.get(key) {
            Some(entry) if entry.order_sha256 != *order_sha256 => Err(Reason::OrderReplayed),
            Some(Entry {
                answer: Some(hop), ..
            }) => Ok(Seen::Answered(Arc::clone(hop))),
            Some(_) => Ok(Seen::Fresh),
            // Refusing for five minutes at most is better than forgetting what could be replayed.
            None if inner.orders.len() >= self.capacity => Err(Reason::HolderUnavailable),
            None => {
                let entry = Entry {
                    order_sha256: *order_sha256,
                    answer: None,
                };
                inner.orders.insert(key.clone(), entry);
                inner.ends.push(Reverse((not_after, key.clone())));
                Ok(Seen::Fresh)
            }
        }
    }

    /// Keeps the answer to an order and gives the one that stands: of two calls at once with the same
    /// bytes the first to finish wins, and both answer the same.
    pub(crate) fn answer(&self, key: &OrderKey, hop: Arc<Hop>) -> Arc<Hop> {
        let mut inner = self.lock();
        match inner.orders.get_mut(key) {
            Some(entry) => Arc::clone(entry.answer.get_or_insert(hop)),
            // Its window ended while it was being carried out.
            None => hop,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs while the lock is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets orders whose window has ended: from then on their age refuses them.
fn forget(inner: &mut Inner, now: Timestamp) {
    while let Some(Reverse((end, _))) = inner.ends.peek() {
        if *end >= now {
            return;
        }
        if let Some(Reverse((_, key))) = inner.ends.pop() {
            inner.orders.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault::sign::Signature;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn key(number: u8) -> OrderKey {
        (
            "00000099000000001000".parse().unwrap(),
            OrderId::from_slice(&[number; 16]).unwrap(),
        )
    }

    fn hop(mark: u8) -> Arc<Hop> {
        Arc::new(Hop::new(
            vec![[mark; 64]],
            vec![mark],
            Signature::from_bytes([mark; 64]),
        ))
    }

    #[test]
    fn the_first_answer_stands_until_the_window_ends() {
        let replay = Replay::new(10);
        assert!(matches!(
            replay.see(&key(1), &[1; 32], at(100), at(0)),
            Ok(Seen::Fresh)
        ));
        assert!(matches!(
            replay.see(&key(1), &[1; 32], at(100), at(1)),
            Ok(Seen::Fresh)
        ));
        assert_eq!(replay.answer(&key(1), hop(1)), hop(1));
        assert_eq!(
            replay.answer(&key(1), hop(2)),
            hop(1),
            "the second to finish"
        );
        let again = replay.see(&key(1), &[1; 32], at(100), at(100));
        assert!(matches!(again, Ok(Seen::Answered(known)) if known == hop(1)));
        let other = replay.see(&key(1), &[2; 32], at(100), at(100));
        assert!(matches!(other, Err(Reason::OrderReplayed)));
        assert!(matches!(
            replay.see(&key(1), &[2; 32], at(200), at(101)),
            Ok(Seen::Fresh)
        ));
    }

    #[test]
    fn a_full_memory_refuses_and_empties_with_time() {
        let replay = Replay::new(3);
        for number in 1..=3 {
            assert!(
                replay
                    .see(&key(number), &[1; 32], at(i64::from(number)), at(0))
                    .is_ok()
            );
        }
        let full = replay.see(&key(4), &[1; 32], at(9), at(1));
        assert!(matches!(full, Err(Reason::HolderUnavailable)));
        assert!(
            replay.see(&key(2), &[1; 32], at(2), at(1)).is_ok(),
            "known ones go on"
        );
        assert!(replay.see(&key(4), &[1; 32], at(9), at(2)).is_ok());
        let inner = replay.lock();
        assert_eq!((inner.orders.len(), inner.ends.len()), (3, 3));
    }
}
