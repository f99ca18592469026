//! Which of several brokers on one database does the broker's own work.
//!
//! Must never be what keeps something from being done twice: each piece of work looks at its row again. What
//! a broker gains from the lead is that the others need not look.

use crate::Error;
use crate::counter::Counter;
use rules::clock::Timestamp;
use store::lease::LeaseRow;
use store::{Tx, Work};

/// The broker's own work, as the lease names it.
pub const OWN_WORK: &str = "own-work";
/// How long a lease is held, in milliseconds. A broker that is gone is followed when it has run out.
pub const LEASE_MILLIS: i64 = 6_000;

/// A process that may have the lead: a number that it drew when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate([u8; 16]);

/// Takes the lead or keeps it, or gives it up.
struct Lead {
    candidate: Candidate,
    now: Timestamp,
    gives_up: bool,
}

impl Work for Lead {
    /// The term, when the candidate has the lead.
    type Output = Option<i64>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "Lead"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Option<i64>, Error> {
        let found = tx.lock_lease(OWN_WORK).await?;
        let is_own = found.is_some_and(|lease| lease.holder == self.candidate.0);
        let is_held = found.is_some_and(|lease| lease.held_until > self.now);
        let is_free = !is_held && !self.gives_up;
        if !is_own && !is_free {
            return Ok(None);
        }
        let term = found.map_or(0, |lease| lease.term);
        let term = if is_own { term } else { term.saturating_add(1) };
        let millis = if self.gives_up { 0 } else { LEASE_MILLIS };
        let lease = LeaseRow {
            holder: self.candidate.0,
            term,
            held_until: self.now.plus_millis(millis),
        };
        tx.put_lease(OWN_WORK, &lease).await?;
        Ok((!self.gives_up).then_some(term))
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl Counter {
    /// A number for this process.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let mut number = [0; 16];
        self.random().fill(&mut number);
        Candidate(number)
    }

    /// Takes the lead, or keeps it for another while; gives the term, or `None` while another has it.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn take_lead(&self, candidate: Candidate) -> Result<Option<i64>, Error> {
        let lead = Lead {
            candidate,
            now: self.now(),
            gives_up: false,
        };
        self.database().write(&lead).await
    }

    /// Gives the lead up, if this process has it, so that another takes it at once.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn give_up_lead(&self, candidate: Candidate) -> Result<(), Error> {
        let lead = Lead {
            candidate,
            now: self.now(),
            gives_up: true,
        };
        self.database().write(&lead).await.map(drop)
    }
}
