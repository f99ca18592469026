//! The transactions of copies at the broker, and of the door that is shut until they are back.
//!
//! Must never call a copy followed whose row changed while it was on its way.

use super::{PAGE_LINES, PAGE_ROWS};
use crate::PortalError;
use crate::copy::{BLOCK, CopyName, ERRAND, LINE};
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
pub(crate) enum Source {
    Block([u8; 32], Tag),
    Errand(ErrandRow),
    Line(ExchangeRow, Box<LineRow>),
}

/// A page of the copies that have to follow, each with its row; none where that is gone.
pub(crate) struct CopiesDue {
    pub(crate) after: [u8; 16],
}

impl Work for CopiesDue {
    type Output = Vec<(DueCopy, Option<Source>)>;
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "CopiesDue"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, PortalError> {
        let most = i64::try_from(PORTAL_COPIES_AT_ONCE).unwrap_or(1);
        let mut found = Vec::new();
        for due in tx.due_copies(self.after, most).await? {
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
            let block = block_key(name)?;
            let stands = tx.blocks(&[block.0]).await?.contains(&block);
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

/// Person and tag of a block, of which its copy's name is made.
fn block_key(name: &[u8]) -> Result<([u8; 32], Tag), PortalError> {
    let (person, tag) = name.split_first_chunk::<32>().ok_or(WRONG)?;
    Ok((*person, Tag::new(tag.try_into().map_err(|_| WRONG)?)))
}

/// Copies that have followed.
pub(crate) struct CopiesFollowed(pub(crate) Vec<DueCopy>);

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
pub(crate) struct MakeDue(pub(crate) Vec<CopyName>);

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
pub(crate) struct Held {
    /// Every row that has a copy: its kind and key.
    pub(crate) rows: Vec<(i64, Vec<u8>)>,
    /// Copies that have to follow.
    pub(crate) due: BTreeSet<[u8; 16]>,
}

/// Reads what is here, to the last row.
pub(crate) struct HeldHere;

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
            let page = tx.errand_ids(after, PAGE_LINES).await?;
            after = page.last().copied().unwrap_or(after);
            rows.extend(page.iter().map(|errand| (ERRAND, errand.to_vec())));
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
        let (mut due, mut after) = (BTreeSet::new(), [0; 16]);
        loop {
            let page = tx.due_copies(after, PAGE_LINES).await?;
            after = page.last().map_or(after, |due| due.copy_id);
            due.extend(page.iter().map(|due| due.copy_id));
            if page.len() < PAGE_ROWS {
                return Ok(Held { rows, due });
            }
        }
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}

/// Puts rows back from their copies.
pub(crate) struct PutBack {
    pub(crate) sources: Vec<Source>,
    /// Whether an errand that is here makes room for its copy, because it is of a backup; otherwise it stays.
    pub(crate) replaces: bool,
}

impl Work for PutBack {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "PutBackCopies"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for source in &self.sources {
            match source {
                Source::Block(person_index, tag) => tx.insert_block(person_index, *tag).await?,
                Source::Errand(row) => {
                    if self.replaces
                        && let Some(old) = tx.errand(&row.errand_id).await?
                    {
                        tx.delete_errand(&old).await?;
                    }
                    tx.insert_errand(row).await?;
                }
                Source::Line(exchange, line) => {
                    tx.insert_exchange(exchange).await?;
                    tx.insert_line(line).await?;
                    // The line may be here, and known to have no copy.
                    tx.set_copied(line.line_id.bytes(), line.copied_until)
                        .await?;
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
pub(crate) struct EndOldCopies<'a> {
    pub(crate) before: Timestamp,
    pub(crate) copy: &'a (dyn Fn(&[u8; 16]) -> CopyName + Sync),
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
            tx.set_copied(line, None).await?;
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
pub(crate) struct IsShut;

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

/// Opens the door of a portal that has its copies back, with what they tell of its rows.
pub(crate) struct OpenDoor {
    /// Rows of the backup that ended since: they go.
    pub(crate) ended: Vec<CopyName>,
    /// Rows without a copy: it has to follow, and nothing else has to.
    pub(crate) missing: Vec<CopyName>,
    pub(crate) now: Timestamp,
}

impl Work for OpenDoor {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "OpenDoor"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), PortalError> {
        for copy in &self.ended {
            let name = copy.name.as_slice();
            if copy.kind == BLOCK {
                let (person, tag) = block_key(name)?;
                tx.delete_block(&person, tag).await?;
            } else if copy.kind == ERRAND
                && let Some(row) = tx.errand(&name.try_into().map_err(|_| WRONG)?).await?
            {
                tx.delete_errand(&row).await?;
            }
        }
        // What was due when the backup was made has followed since, or changed once more.
        tx.delete_due_copies().await?;
        for copy in &self.missing {
            tx.insert_due_copy(&copy.id, copy.kind, &copy.name).await?;
        }
        Ok(tx.open_door(self.now).await?)
    }

    fn is_transient(error: &PortalError) -> bool {
        error.is_transient()
    }
}
