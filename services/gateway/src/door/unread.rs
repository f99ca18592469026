//! Answers that nobody reads: after a while the connection goes.
//!
//! Must never cut off who reads, however slowly: only where octets wait of which none has moved for half a minute.

use super::budgets::Permit;
use super::room::Line;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a caller may take to read any of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The calls that were answered, oldest first, until they are looked at.
#[derive(Debug, Default)]
pub(super) struct Watchman(Mutex<VecDeque<Answered>>);

#[derive(Debug)]
struct Answered {
    at: Instant,
    permit: Weak<Permit>,
    line: Line,
}

impl Watchman {
    /// How often to look.
    pub(super) const INTERVAL: Duration = Duration::from_secs(5);

    /// Looks at this call when its time is over.
    pub(super) fn remember(&self, permit: &Arc<Permit>, line: &Line, now: Instant) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.push_back(Answered {
            at: now,
            permit: Arc::downgrade(permit),
            line: line.clone(),
        });
    }

    /// Ends the connections with answers of which nothing was read in time; how many.
    pub(super) fn cut_off(&self, now: Instant) -> usize {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cut = 0_usize;
        let mut again = Vec::new();
        while let Some(first) = answered.front()
            && now.saturating_duration_since(first.at) >= READ_TIMEOUT
        {
            let Some(mut first) = answered.pop_front() else {
                break;
            };
            // Whose permit is gone has read everything.
            let Some(permit) = first.permit.upgrade() else {
                continue;
            };
            if permit.is_stuck(READ_TIMEOUT, now) {
                cut = cut.saturating_add(usize::from(first.line.cut()));
            } else {
                first.at = now;
                again.push(first);
            }
        }
        answered.extend(again);
        cut
    }
}
