//! The transactions of copies at the broker, and of the door that is shut until they are back.
//!
//! Must never call a copy followed whose row changed while it was on its way.

use super::{PAGE_LINES, PAGE_ROWS};
use crate::portal::PortalError;
use crate::portal::copy::{BLOCK, CopyName, ERRAND, LINE};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};
use rules::limits::PORTAL_COPIES_AT_ONCE;
use std::collections::BTreeSet;
use store::errand::{DueCopy, ErrandRow};
use store::portal::{ExchangeRow, LineRow};
use store::{Tx, Work};

const WRONG: PortalError = PortalError::Malformed("a row of copy_due");

/// A row that has a copy.
#[derive(Clone, Debug)]
pub(in crate::portal) enum Source {
    Block([u8; 32], Tag),
    Errand(ErrandRow),
    Line(ExchangeRow, Box<LineRow>),
}

/// Copies that have to follow, each with its row; none where that is gone.
pub(in crate::portal) struct CopiesDue;

impl Work for CopiesDue {
    type Output = Vec<(DueCopy, Option<Source>)>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "CopiesDue"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        let most = i64::try_from(PORTAL_COPIES_AT_ONCE).unwrap_or(1);
        let mut found = Vec::new();
        for due in tx.due_copies(most).await? {
            let source = source(tx, &due).await?;
            found.push((due, source));
        }
        Ok(found)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

async fn source(tx: &mut Tx<'_>, due: &DueCopy) -> Result<Option<Source>, PortalError> {
    let name = due.name.as_slice();
    match due.kind {
        BLOCK => {
            let (person, tag) = name.split_first_chunk::<32>().ok_or(WRONG)?;
            let block = (*person, Tag::new(tag.try_into().map_err(|_| WRONG)?));
            let stands = tx.blocks(&[*person]).await?.contains(&block);
            Ok(stands.then_some(Source::Block(block.0, block.1)))
        }
        ERRAND => {
            let id = name.try_into().map_err(|_| WRONG)?;
            Ok(tx.errand(&id).await?.map(Source::Errand))
        }
        LINE => {
            let id = EntryId::from_slice(name).ok_or(WRONG)?;
            let line = tx.line(id).await?;
            let Some(line) = line.filter(|line| line.copied_until.is_some()) else {
                return Ok(None);
            };
            let exchange = tx.exchanges(&[line.exchange_index]).await?.pop();
            Ok(exchange.map(|exchange| Source::Line(exchange, Box::new(line))))
        }
        _ => Err(WRONG),
    }
}

/// Copies that have followed.
pub(in crate::portal) struct CopiesFollowed(pub(in crate::portal) Vec<DueCopy>);

impl Work for CopiesFollowed {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "CopiesFollowed"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for due in &self.0 {
            tx.delete_due_copy(due).await?;
        }
        Ok(())
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Says of rows that their copies have to follow.
pub(in crate::portal) struct MakeDue(pub(in crate::portal) Vec<CopyName>);

impl Work for MakeDue {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "MakeDue"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for copy in &self.0 {
            tx.insert_due_copy(&copy.id, copy.kind, &copy.name).await?;
        }
        Ok(())
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// What is here at one moment.
pub(in crate::portal) struct Held {
    /// Every row that has a copy: its kind and key.
    pub(in crate::portal) rows: Vec<(i64, Vec<u8>)>,
    /// Copies that have to follow.
    pub(in crate::portal) due: BTreeSet<[u8; 16]>,
}

/// Reads what is here, to the last row.
pub(in crate::portal) struct HeldHere;

impl Work for HeldHere {
    type Output = Held;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "HeldHere"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Held, PortalError> {
        let mut rows: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut after = ([0; 32], [0; 16]);
        loop {
            let page = tx.all_blocks(after, PAGE_LINES).await?;
            after = page.last().copied().unwrap_or(after);
            let names = page.iter().map(|(person, tag)| [&person[..], tag].concat());
            rows.extend(names.map(|name| (BLOCK, name)));
            if page.len() < PAGE_ROWS {
                break;
            }
        }
        let mut after = [0; 16];
        loop {
            let page = tx.errands(after, PAGE_LINES).await?;
            after = page.last().map_or(after, |row| row.errand_id);
            rows.extend(page.iter().map(|row| (ERRAND, row.errand_id.to_vec())));
            if page.len() < PAGE_ROWS {
                break;
            }
        }
        let mut after = [0; 16];
        loop {
            let page = tx.copied_lines(after, PAGE_LINES).await?;
            after = page.last().copied().unwrap_or(after);
            rows.extend(page.iter().map(|line| (LINE, line.to_vec())));
            if page.len() < PAGE_ROWS {
                break;
            }
        }
        let due = tx.due_copies(i64::MAX).await?;
        Ok(Held {
            rows,
            due: due.into_iter().map(|due| due.copy_id).collect(),
        })
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Puts rows back from their copies; what is here already stays.
pub(in crate::portal) struct PutBack(pub(in crate::portal) Vec<Source>);

impl Work for PutBack {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "PutBackCopies"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for source in &self.0 {
            match source {
                Source::Block(person_index, tag) => tx.insert_block(person_index, *tag).await?,
                Source::Errand(row) => tx.insert_errand(row).await?,
                Source::Line(exchange, line) => {
                    tx.insert_exchange(exchange).await?;
                    tx.insert_line(line).await?;
                }
            }
        }
        Ok(())
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Ends the copies of lines that were to lie at the broker until before a moment; gives how many.
pub(in crate::portal) struct EndOldCopies<'a> {
    pub(in crate::portal) before: Timestamp,
    pub(in crate::portal) copy: &'a (dyn Fn(&[u8; 16]) -> CopyName + Sync),
}

impl Work for EndOldCopies<'_> {
    type Output = usize;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "EndOldCopies"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<usize, PortalError> {
        let lines = tx.lines_copied_until(self.before, PAGE_LINES).await?;
        for line in &lines {
            tx.end_copy(line).await?;
            let copy = (self.copy)(line);
            tx.insert_due_copy(&copy.id, copy.kind, &copy.name).await?;
        }
        Ok(lines.len())
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Whether the door is shut after a restoration.
pub(in crate::portal) struct IsShut;

impl Work for IsShut {
    type Output = bool;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "IsShut"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<bool, PortalError> {
        Ok(tx.is_shut().await?.is_some())
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Opens the door.
pub(in crate::portal) struct OpenDoor(pub(in crate::portal) Timestamp);

impl Work for OpenDoor {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "OpenDoor"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        Ok(tx.open_door(self.0).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}
