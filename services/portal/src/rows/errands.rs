//! The transactions of errands and of the blocks that bring them about.
//!
//! Must never write one without saying that its copy at the broker has to follow.

use super::{PAGE_LINES, PAGE_ROWS};
use crate::PortalError;
use crate::copy::CopyName;
use rules::clock::Timestamp;
use rules::id::Tag;
use store::errand::ErrandRow;
use store::portal::{ExchangeRow, LineRow};
use store::{Queue, Tx, Work};

/// Says of each of these rows that its copy at the broker has to follow.
async fn follow(tx: &mut Tx<'_>, copies: &[CopyName]) -> Result<(), PortalError> {
    for copy in copies {
        tx.insert_due_copy(&copy.id, copy.kind, &copy.name).await?;
    }
    Ok(())
}

/// Remembers blocks and errands, all or none.
#[derive(Default)]
pub(crate) struct KeepErrands {
    pub(crate) blocks: Vec<([u8; 32], Tag)>,
    pub(crate) errands: Vec<ErrandRow>,
    pub(crate) copies: Vec<CopyName>,
}

impl Work for KeepErrands {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "KeepErrands"
    }

    fn queue(&self) -> Queue {
        Queue::Stop
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for (person_index, tag) in &self.blocks {
            tx.insert_block(person_index, *tag).await?;
        }
        for errand in &self.errands {
            tx.insert_errand(errand).await?;
        }
        follow(tx, &self.copies).await
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Forgets blocks; gives whether any was there.
pub(crate) struct Unblock {
    pub(crate) blocks: Vec<([u8; 32], Tag)>,
    pub(crate) copies: Vec<CopyName>,
}

impl Work for Unblock {
    type Output = bool;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "UnblockOrganisation"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<bool, PortalError> {
        let mut any = false;
        for (person_index, tag) in &self.blocks {
            any |= tx.delete_block(person_index, *tag).await?;
        }
        follow(tx, &self.copies).await?;
        Ok(any)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Whether a row is of one errand.
type IsRowOf<'a> = dyn Fn(&ErrandRow) -> bool + Sync + 'a;

/// An errand was answered: it goes, and what came of it is kept for its person.
pub(crate) struct FinishErrand<'a> {
    /// Its id, and whether a row of that id is of it: ids come again, and a slow round must end no later one.
    pub(crate) errand: ([u8; 16], &'a IsRowOf<'a>),
    pub(crate) paper: Option<(&'a ExchangeRow, LineRow)>,
    /// What was found to be done in its place.
    pub(crate) found: Vec<ErrandRow>,
    pub(crate) copies: Vec<CopyName>,
}

impl Work for FinishErrand<'_> {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "FinishErrand"
    }

    fn queue(&self) -> Queue {
        Queue::Stop
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        if let Some((exchange, line)) = &self.paper {
            tx.insert_exchange(exchange).await?;
            tx.insert_line(line).await?;
        }
        let (id, is_same) = self.errand;
        if let Some(row) = tx.errand(&id).await?.filter(|row| is_same(row)) {
            tx.delete_errand(&row).await?;
            for errand in &self.found {
                tx.insert_errand(errand).await?;
            }
        }
        follow(tx, &self.copies).await
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// An errand was tried and not answered.
pub(crate) struct MarkTried(pub(crate) [u8; 16], pub(crate) Timestamp);

impl Work for MarkTried {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "MarkTried"
    }

    fn queue(&self) -> Queue {
        Queue::Stop
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        Ok(tx.mark_tried(&self.0, self.1).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Errands that were last tried before a moment, those first that have waited longest.
pub(crate) struct DueErrands {
    pub(crate) stage: i64,
    pub(crate) before: Timestamp,
    pub(crate) now: Timestamp,
}

impl Work for DueErrands {
    type Output = Vec<ErrandRow>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "DueErrands"
    }

    fn queue(&self) -> Queue {
        Queue::Stop
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        let moments = (self.before, self.now);
        Ok(tx.due_errands(self.stage, moments, PAGE_LINES).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Every errand of these persons.
pub(crate) struct ErrandsOf {
    pub(crate) persons: Vec<[u8; 32]>,
    pub(crate) queue: Queue,
}

impl Work for ErrandsOf {
    type Output = Vec<ErrandRow>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "ErrandsOf"
    }

    fn queue(&self) -> Queue {
        self.queue
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        let mut errands = Vec::new();
        for person_index in &self.persons {
            let mut after = [0; 16];
            loop {
                let page = tx.errands_of(person_index, after, PAGE_LINES).await?;
                let is_last = page.len() < PAGE_ROWS;
                if let Some(last) = page.last() {
                    after = last.errand_id;
                }
                errands.extend(page);
                if is_last {
                    break;
                }
            }
        }
        Ok(errands)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}
