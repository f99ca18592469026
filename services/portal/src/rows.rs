//! The portal's transactions: one for each thing that is written or looked up.
//!
//! Must never hold a line in clear: what arrives here is sealed.

pub(super) mod copies;
pub(super) mod errands;

use super::PortalError;
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};
use store::portal::{After, ExchangeRow, LineRow};
use store::{Queue, Tx, Work};

/// Rows read at once; what decides something is read on until the last one.
pub(super) const PAGE_ROWS: usize = 500;
const PAGE_LINES: i64 = 500;

/// Those of these exchanges that are there.
pub(super) struct FindExchanges {
    pub(super) indexes: Vec<[u8; 32]>,
    pub(super) queue: Queue,
}

impl Work for FindExchanges {
    type Output = Vec<ExchangeRow>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "FindExchanges"
    }

    fn queue(&self) -> Queue {
        self.queue
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        Ok(tx.exchanges(&self.indexes).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// What these persons blocked.
pub(super) struct FindBlocks(pub(super) Vec<[u8; 32]>);

impl Work for FindBlocks {
    type Output = Vec<([u8; 32], Tag)>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "FindBlocks"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        Ok(tx.blocks(&self.0).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Keeps lines, with the exchanges that they introduce; and takes one away.
#[derive(Default)]
pub(super) struct Keep {
    pub(super) exchanges: Vec<ExchangeRow>,
    pub(super) lines: Vec<LineRow>,
    pub(super) instead_of: Option<EntryId>,
}

impl Work for Keep {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "KeepLines"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for exchange in &self.exchanges {
            tx.insert_exchange(exchange).await?;
        }
        for line in &self.lines {
            tx.insert_line(line).await?;
        }
        if let Some(line) = self.instead_of {
            tx.delete_line(line).await?;
        }
        Ok(())
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Forgets a choice that was refused: its line and its exchange.
pub(super) struct Forget<'a> {
    pub(super) exchange_index: &'a [u8; 32],
    pub(super) line: EntryId,
}

impl Work for Forget<'_> {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "ForgetChoice"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        tx.delete_line(self.line).await?;
        Ok(tx.delete_exchange(self.exchange_index).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// A page of a person's lines of one kind, newest first.
pub(super) struct Lines<'a> {
    pub(super) person_index: &'a [u8; 32],
    pub(super) kind: i64,
    pub(super) after: Option<After>,
    pub(super) queue: Queue,
}

impl Work for Lines<'_> {
    type Output = Vec<LineRow>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "GetOverview"
    }

    fn queue(&self) -> Queue {
        self.queue
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        Ok(tx
            .lines(self.person_index, self.kind, self.after, PAGE_LINES)
            .await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Every line of an exchange, if it is there and one of these persons'.
pub(super) struct FindExchange<'a> {
    pub(super) exchange_index: [u8; 32],
    pub(super) persons: Vec<&'a [u8; 32]>,
}

impl Work for FindExchange<'_> {
    type Output = Option<(ExchangeRow, Vec<LineRow>)>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "FindExchange"
    }

    /// It is read on the way to a stop or an objection, and for nothing that is only looked at.
    fn queue(&self) -> Queue {
        Queue::Stop
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        let mut found = tx.exchanges(&[self.exchange_index]).await?;
        let Some(exchange) = found
            .pop()
            .filter(|exchange| self.persons.contains(&&exchange.person_index))
        else {
            return Ok(None);
        };
        let mut lines: Vec<LineRow> = Vec::new();
        loop {
            let after = lines.last().map(|line| line.line_id);
            let page = tx
                .lines_of_exchange(&self.exchange_index, after, PAGE_LINES)
                .await?;
            let is_last = page.len() < PAGE_ROWS;
            lines.extend(page);
            if is_last {
                return Ok(Some((exchange, lines)));
            }
        }
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Erases lines that are too old, and exchanges without any.
pub(super) struct EraseOld {
    pub(super) before: Timestamp,
}

/// Lines in one transaction.
const OLD_LINES: i64 = 500;

impl Work for EraseOld {
    type Output = u64;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "EraseOldLines"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<u64, PortalError> {
        Ok(tx.erase_old_lines(self.before, OLD_LINES).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}
