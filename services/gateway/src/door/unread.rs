//! Answers that nobody reads: after a while the connection goes.
//!
//! Must never cut off who still may read: only calls that were answered half a minute ago and are not read yet.

use super::budgets::Permit;
use super::room::Line;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a caller may take to read an answer.
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

    /// Ends the connections with answers that were not read in time.
    pub(super) fn cut_off(&self, now: Instant) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = answered.front()
            && now.saturating_duration_since(first.at) >= READ_TIMEOUT
        {
            // Whose permit is gone has read everything.
            if first.permit.strong_count() > 0 {
                tracing::info!("a connection was cut off: an answer was not read in time");
                first.line.cut();
            }
            answered.pop_front();
        }
    }
}
