//! Which of several brokers on one database does the broker's own work.
//!
//! Must never be what keeps something from being done twice: each piece of work looks at its row again. What
//! a broker gains from the lead is that the others need not look.

use crate::Error;
use crate::broker::Broker;
use rules::clock::Timestamp;
use std::time::{Duration, Instant};
use store::lease::LeaseRow;
use store::{Tx, Work};

/// The broker's own work, as the lease names it.
pub const OWN_WORK: &str = "own-work";
/// How long a lease is held, in milliseconds. A broker that is gone is followed when it has run out: by what it wrote,
/// or because nobody has renewed it for this long.
pub const LEASE_MILLIS: i64 = 6_000;

/// A process that may have the lead: a number that it drew when it started, and the lease as it last saw it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    number: [u8; 16],
    /// Since when the row has stood as it does, by this process's own count of time.
    seen: Option<(LeaseRow, Instant)>,
}

impl Candidate {
    /// The lease that nobody has renewed for as long as one is held. Its holder is gone, whatever time it says: one whose
    /// clock was ahead would keep everybody from the work for as long as it was ahead.
    fn run_out(&self) -> Option<LeaseRow> {
        let (lease, since) = self.seen?;
        let held = Duration::from_millis(LEASE_MILLIS.unsigned_abs());
        (since.elapsed() >= held).then_some(lease)
    }

    fn saw(&mut self, lease: Option<LeaseRow>) {
        if self.seen.map(|(known, _)| known) != lease {
            self.seen = lease.map(|lease| (lease, Instant::now()));
        }
    }
}

/// Takes the lead or keeps it, or gives it up.
struct Lead {
    candidate: [u8; 16],
    now: Timestamp,
    run_out: Option<LeaseRow>,
    gives_up: bool,
}

impl Work for Lead {
    /// The lease as it stands then.
    type Output = Option<LeaseRow>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "Lead"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Option<LeaseRow>, Error> {
        let found = tx.lock_lease(OWN_WORK).await?;
        let is_own = found.is_some_and(|lease| lease.holder == self.candidate);
        let is_held = found.is_some_and(|lease| lease.held_until > self.now);
        let is_free = !self.gives_up && (!is_held || found == self.run_out);
        if !is_own && !is_free {
            return Ok(found);
        }
        let term = found.map_or(0, |lease| lease.term);
        let term = if is_own { term } else { term.saturating_add(1) };
        let millis = if self.gives_up { 0 } else { LEASE_MILLIS };
        let lease = LeaseRow {
            holder: self.candidate,
            term,
            held_until: self.now.plus_millis(millis),
        };
        tx.put_lease(OWN_WORK, &lease).await?;
        Ok(Some(lease))
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl Broker {
    /// A number for this process.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let mut number = [0; 16];
        self.random().fill(&mut number);
        Candidate { number, seen: None }
    }

    /// Takes the lead, or keeps it for another while; gives the term, or `None` while another has it.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn take_lead(&self, candidate: &mut Candidate) -> Result<Option<i64>, Error> {
        let lead = Lead {
            candidate: candidate.number,
            now: self.now(),
            run_out: candidate.run_out(),
            gives_up: false,
        };
        let lease = self.database().write(&lead).await?;
        candidate.saw(lease);
        let own = lease.filter(|lease| lease.holder == candidate.number);
        Ok(own.map(|lease| lease.term))
    }

    /// Gives the lead up, if this process has it, so that another takes it at once.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn give_up_lead(&self, candidate: &Candidate) -> Result<(), Error> {
        let lead = Lead {
            candidate: candidate.number,
            now: self.now(),
            run_out: None,
            gives_up: true,
        };
        self.database().write(&lead).await.map(drop)
    }
}
