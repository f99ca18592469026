//! What happens often is told once, and then in sums: the first of a kind at once, the rest of its minute in one line.
//!
//! Must never let anybody write a line for each thing that it does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long things of one kind are summed up.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// Kinds that are kept apart at the same time; beyond, they are told with the last of them.
const KINDS_MAX: usize = 4_096;

/// How often each kind of thing happened since it was last told, with the last one of each.
#[derive(Debug)]
pub struct Sums<K, V>(Mutex<BTreeMap<K, Sum<V>>>);

#[derive(Debug)]
struct Sum<V> {
    since: Instant,
    count: u64,
    last: V,
}

impl<K: Ord + Clone, V: Clone> Sums<K, V> {
    /// Nothing happened.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// It happened; whether it is to be told at once, because nothing of its kind was in this minute.
    pub fn is_first(&self, kind: K, this: V, now: Instant) -> bool {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = sums.get_mut(&kind) {
            sum.count = sum.count.saturating_add(1);
            sum.last = this;
            return false;
        }
        if sums.len() < KINDS_MAX {
            let sum = Sum {
                since: now,
                count: 0,
                last: this,
            };
            sums.insert(kind, sum);
            return true;
        }
        if let Some(mut other) = sums.last_entry() {
            let other = other.get_mut();
            other.count = other.count.saturating_add(1);
        }
        false
    }

    /// What is to be told now: kinds whose minute is over, with the last of each and how often it happened after the
    /// one that was told.
    pub fn due(&self, now: Instant) -> Vec<(K, V, u64)> {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        sums.retain(|kind, sum| {
            if now.saturating_duration_since(sum.since) < INTERVAL {
                return true;
            }
            if sum.count == 0 {
                return false;
            }
            due.push((kind.clone(), sum.last.clone(), sum.count));
            (sum.since, sum.count) = (now, 0);
            true
        });
        due
    }
}

impl<K: Ord + Clone, V: Clone> Default for Sums<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_of_the_minute_in_one() {
        let (sums, begin) = (Sums::new(), Instant::now());
        assert!(sums.is_first("a", 1, begin));
        for _ in 0..999 {
            assert!(!sums.is_first("a", 1, begin));
        }
        assert!(sums.is_first("b", 1, begin));
        assert!(sums.due(begin + INTERVAL / 2).is_empty());
        assert_eq!(sums.due(begin + INTERVAL), [("a", 1, 999)]);
        assert!(!sums.is_first("a", 2, begin + INTERVAL));
        assert_eq!(sums.due(begin + INTERVAL * 2), [("a", 2, 1)]);
        assert!(sums.due(begin + INTERVAL * 3).is_empty());
        assert!(
            sums.is_first("a", 3, begin + INTERVAL * 3),
            "forgotten after a quiet minute"
        );
    }

    #[test]
    fn kinds_without_end_are_told_with_the_last() {
        let (sums, begin) = (Sums::new(), Instant::now());
        for kind in 0..KINDS_MAX {
            assert!(sums.is_first(kind, (), begin));
        }
        assert!(!sums.is_first(KINDS_MAX, (), begin));
        assert_eq!(sums.due(begin + INTERVAL), [(KINDS_MAX - 1, (), 1)]);
    }
}
