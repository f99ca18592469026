//! Changes that wait for the disk together: whoever gets the journal first writes for all that wait.
//!
//! Must never give an outcome before the disk has what it is about.

use super::StoreError;
use super::journal::{Change, Journal};
use rules::clock::Random;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Outcome = Result<(), StoreError>;

/// One that waits, and what became of it.
#[derive(Default)]
struct Ticket(Mutex<Option<Outcome>>);

impl Ticket {
    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that wait.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<(Vec<Change>, Arc<Ticket>)>>);

impl Queue {
    /// Makes changes durable, all together or none, with as many others as wait at the time: one sync of the
    /// disk for all of them.
    pub(super) fn commit<'j>(
        &self,
        changes: Vec<Change>,
        journal: impl FnOnce() -> MutexGuard<'j, Journal>,
        random: &dyn Random,
    ) -> Outcome {
        let own = Arc::new(Ticket::default());
        self.waiting().push((changes, Arc::clone(&own)));
        let mut journal = journal();
        if let Some(outcome) = own.outcome().take() {
            return outcome;
        }
        let (changes, tickets): (Vec<_>, Vec<_>) = self.waiting().drain(..).unzip();
        for (ticket, outcome) in tickets.iter().zip(journal.commit(changes, random)) {
            *ticket.outcome() = Some(outcome);
        }
        // Everybody in the queue got an outcome, this one too.
        own.outcome().take().unwrap_or(Err(StoreError::Interrupted))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Vec<Change>, Arc<Ticket>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
