//! What each organisation's refused orders cost a holder, minute by minute.
//!
//! An order that is refused takes nothing from the day's quota, and its signature costs as much to check as any other's.
//! So refusals have a quota of their own: beyond it nothing of the organisation is heard until the minute is over, and
//! the log has one line for all of it. Must never cost anything but a look into a table.

use rules::id::Oin;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Count {
    refused: u32,
    unheard: u64,
}

#[derive(Default)]
struct Minute {
    number: i64,
    counts: HashMap<Oin, Count>,
}

/// The counts of one holder. Minutes are those of a count that nobody sets.
pub(crate) struct Refusals {
    limit: u32,
    minute: Mutex<Minute>,
}

impl Refusals {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            minute: Mutex::default(),
        }
    }

    /// Whether an organisation's next order is heard in this minute.
    pub(crate) fn hears(&self, issuer: &Oin, minute: i64) -> bool {
        match self.at(minute).counts.get_mut(issuer) {
            Some(count) if count.refused >= self.limit => {
                count.unheard = count.unheard.saturating_add(1);
                false
            }
            Some(_) | None => true,
        }
    }

    /// Counts one refusal. To be called only with organisations of the directory, as anything else could fill the
    /// table.
    pub(crate) fn count(&self, issuer: &Oin, minute: i64) {
        let mut state = self.at(minute);
        let count = state.counts.entry(issuer.clone()).or_default();
        count.refused = count.refused.saturating_add(1);
    }

    /// Begins a minute that is new, and tells of the one before. To be called now and then, so that the line does not
    /// wait for another order.
    pub(crate) fn turn(&self, minute: i64) {
        drop(self.at(minute));
    }

    fn at(&self, minute: i64) -> MutexGuard<'_, Minute> {
        // Nothing that can panic runs while the lock is held.
        let mut state = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute > state.number {
            for (issuer, count) in &state.counts {
                if count.unheard > 0 {
                    tracing::warn!(
                        organisation = %issuer,
                        refused = count.refused,
                        unheard = count.unheard,
                        "orders of an organisation were not heard: too many were refused in a minute"
                    );
                }
            }
            *state = Minute {
                number: minute,
                counts: HashMap::new(),
            };
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_quota_of_a_minute_nobody_but_its_organisation_is_unheard() {
        let refusals = Refusals::new(3);
        let [uwv, town]: [Oin; 2] =
            ["00000099000000001000", "00000099000000002000"].map(|oin| oin.parse().unwrap());
        for minute in [7, 8] {
            for _ in 0..3 {
                assert!(refusals.hears(&uwv, minute));
                refusals.count(&uwv, minute);
            }
            for _ in 0..100 {
                assert!(!refusals.hears(&uwv, minute));
            }
            assert!(refusals.hears(&town, minute));
            let state = refusals.at(minute);
            assert_eq!(state.counts[&uwv].unheard, 100);
            assert_eq!(state.counts.len(), 1, "who only looks is not counted");
        }
        refusals.turn(9);
        assert!(refusals.at(9).counts.is_empty());
    }
}
