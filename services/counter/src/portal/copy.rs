//! Copies at the broker: blocks, errands and the papers of late stops and refusals, for the day on which the portal is
//! put back from a backup.
//!
//! Each is sealed to the portal, padded to a fixed size and named by a keyed hash: the broker learns how many there
//! are, and nothing of whom or what. Must never open the portal after a restoration before all of them are back, and
//! must never take one away because its row is missing here: only what deletes a row does.

use super::{Portal, PortalError};
use crate::frame::{FrameReader, FrameWriter};
use crate::portal::broker::CopyAtBroker;
use crate::portal::feed::ask_ours;
use crate::portal::rows::copies::{
    CopiesDue, CopiesFollowed, EndOldCopies, Held, HeldHere, IsShut, MakeDue, OpenDoor, PutBack,
    Source,
};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};
use rules::limits::{PORTAL_COPIES_AT_ONCE, PORTAL_COPY_BYTES_MAX, PORTAL_COPY_STEP_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use store::errand::ErrandRow;
use store::portal::{ExchangeRow, LineRow};
use vault::rest::{Place, SEALED_EXTRA_BYTES};

/// Kind of a row that is a block.
pub(super) const BLOCK: i64 = 1;
/// Kind of a row that is an errand.
pub(super) const ERRAND: i64 = 2;
/// Kind of a row that is a line.
pub(super) const LINE: i64 = 3;
/// Names asked for at once.
const NAMES_AT_ONCE: usize = 1_000;
const WRONG: PortalError = PortalError::Malformed("a copy");

/// The name of a row's copy, and the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyName {
    pub(super) id: [u8; 16],
    pub(super) kind: i64,
    pub(super) name: Vec<u8>,
}

impl Portal {
    pub(super) fn copy_name(&self, kind: i64, name: &[u8]) -> CopyName {
        let value = [kind.to_be_bytes().as_slice(), name].concat();
        CopyName {
            id: self.0.index.tag("copy", &value),
            kind,
            name: name.to_vec(),
        }
    }

    /// Waits until a copy has to follow, or an errand was kept.
    pub async fn copies_wait(&self) {
        self.0.copies_wait.notified().await;
    }

    /// Makes copies at the broker follow the rows here; gives how many did.
    ///
    /// # Errors
    /// When the broker or the database is away: they follow later.
    pub async fn copy_out(&self) -> Result<usize, PortalError> {
        let _turn = self.0.copy_turn.lock().await;
        let mut followed = 0_usize;
        loop {
            let due = self.database().read(&CopiesDue).await?;
            if due.is_empty() {
                return Ok(followed);
            }
            let (mut put, mut taken) = (Vec::new(), Vec::new());
            for (copy, source) in &due {
                match source {
                    Some(source) => put.push(CopyAtBroker {
                        name: copy.copy_id,
                        sealed: self.seal_copy(&copy.copy_id, source)?,
                    }),
                    None => taken.push(copy.copy_id),
                }
            }
            if !put.is_empty() {
                ask_ours(self.broker().put_copies(&put)).await?;
            }
            if !taken.is_empty() {
                ask_ours(self.broker().take_copies(&taken)).await?;
            }
            followed = followed.saturating_add(due.len());
            let due = due.into_iter().map(|(copy, _)| copy).collect();
            self.database().write(&CopiesFollowed(due)).await?;
        }
    }

    /// Compares what lies at the broker with what is here: copies without a row are put back as rows, and rows without
    /// a copy are copied again. Either side may have been put back from a backup. After that the portal is open.
    ///
    /// # Errors
    /// When the broker or the database is away, or a copy does not open: the portal stays as it is.
    pub async fn reconcile(&self) -> Result<(), PortalError> {
        let turn = self.0.copy_turn.lock().await;
        let there = self.names_there().await?;
        let Held { rows, due } = self.database().read(&HeldHere).await?;
        let here: BTreeMap<[u8; 16], CopyName> = rows
            .into_iter()
            .map(|(kind, name)| self.copy_name(kind, &name))
            .map(|copy| (copy.id, copy))
            .collect();
        let strange: BTreeSet<[u8; 16]> = there
            .iter()
            .filter(|name| !here.contains_key(*name) && !due.contains(*name))
            .copied()
            .collect();
        if !strange.is_empty() {
            self.put_back(&strange).await?;
        }
        let missing = here.into_values().filter(|copy| !there.contains(&copy.id));
        let missing: Vec<CopyName> = missing.collect();
        if !missing.is_empty() {
            self.database().write(&MakeDue(missing)).await?;
        }
        drop(turn);
        if self.is_shut() {
            self.database().write(&OpenDoor(self.now())).await?;
            self.0.is_shut.store(false, Ordering::SeqCst);
            tracing::info!("blocks, refusals and stops are back; the portal is open");
        }
        self.0.copies_wait.notify_one();
        Ok(())
    }

    /// Whether the portal was put back from a backup and has not got its copies yet.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.0.is_shut.load(Ordering::SeqCst)
    }

    /// Learns from the database whether the portal is shut.
    pub(super) async fn look_at_door(&self) -> Result<(), PortalError> {
        let is_shut = self.database().read(&IsShut).await?;
        self.0.is_shut.store(is_shut, Ordering::SeqCst);
        Ok(())
    }

    /// Ends the copies of papers that have lain at the broker long enough.
    pub(super) async fn end_old_copies(&self) -> Result<(), PortalError> {
        let copy = |line: &[u8; 16]| self.copy_name(LINE, line);
        let end = EndOldCopies {
            before: self.now(),
            copy: &copy,
        };
        while self.database().write(&end).await? > 0 {}
        self.0.copies_wait.notify_one();
        Ok(())
    }

    async fn names_there(&self) -> Result<BTreeSet<[u8; 16]>, PortalError> {
        let mut names = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.broker().list_copies(after, NAMES_AT_ONCE, true);
            let page = ask_ours(page).await?;
            let is_last = page.len() < NAMES_AT_ONCE;
            after = page.last().map(|copy| copy.name);
            names.extend(page.into_iter().map(|copy| copy.name));
            if is_last {
                return Ok(names);
            }
        }
    }

    async fn put_back(&self, names: &BTreeSet<[u8; 16]>) -> Result<(), PortalError> {
        let mut after = None;
        loop {
            let page = self
                .broker()
                .list_copies(after, PORTAL_COPIES_AT_ONCE, false);
            let page = ask_ours(page).await?;
            let is_last = page.len() < PORTAL_COPIES_AT_ONCE;
            after = page.last().map(|copy| copy.name);
            let wanted = page.iter().filter(|copy| names.contains(&copy.name));
            let sources = wanted.map(|copy| self.open_copy(copy));
            let sources = sources.collect::<Result<Vec<Source>, _>>()?;
            self.database().write(&PutBack(sources)).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn seal_copy(&self, name: &[u8; 16], source: &Source) -> Result<Vec<u8>, PortalError> {
        let mut writer = FrameWriter::default();
        writer.put(&plain(source)?).map_err(|_| WRONG)?;
        let mut plain = writer.finish();
        let sealed_bytes = plain
            .len()
            .saturating_add(SEALED_EXTRA_BYTES)
            .next_multiple_of(PORTAL_COPY_STEP_BYTES);
        if sealed_bytes > PORTAL_COPY_BYTES_MAX {
            return Err(PortalError::Malformed("a row that is too long for a copy"));
        }
        plain.resize(sealed_bytes.saturating_sub(SEALED_EXTRA_BYTES), 0);
        let sealed = self.0.crypter.seal(&place(name), &plain);
        sealed.map_err(|_| PortalError::Vault("a sealed copy"))
    }

    fn open_copy(&self, copy: &CopyAtBroker) -> Result<Source, PortalError> {
        let opened = self.0.crypter.open(&place(&copy.name), &copy.sealed);
        let opened = opened.map_err(|_| PortalError::Malformed("a copy at the broker"))?;
        let mut reader = FrameReader::new(opened.expose());
        read(reader.take().map_err(|_| WRONG)?)
    }
}

fn place(name: &[u8; 16]) -> Place<'_> {
    Place {
        table: "portal_copy",
        row: name,
        column: "sealed",
    }
}

fn plain(source: &Source) -> Result<Vec<u8>, PortalError> {
    let mut writer = FrameWriter::default();
    let mut put = |octets: &[u8]| writer.put(octets).map_err(|_| WRONG);
    match source {
        Source::Block(person_index, tag) => {
            put(&BLOCK.to_be_bytes())?;
            put(person_index)?;
            put(tag.bytes())?;
        }
        Source::Errand(row) => {
            put(&ERRAND.to_be_bytes())?;
            put(&row.errand_id)?;
            put(&row.person_index)?;
            put(&row.stage.to_be_bytes())?;
            put(&row.sealed)?;
        }
        Source::Line(exchange, line) => {
            put(&LINE.to_be_bytes())?;
            put(&exchange.exchange_index)?;
            put(&exchange.person_index)?;
            put(&exchange.sealing_key)?;
            put(&exchange.created_at.millis().to_be_bytes())?;
            put(line.line_id.bytes())?;
            put(&line.person_index)?;
            put(&line.kind.to_be_bytes())?;
            put(&line.sealed)?;
            put(&line.created_at.millis().to_be_bytes())?;
            let until = line.copied_until.map_or(0, Timestamp::millis);
            put(&until.to_be_bytes())?;
        }
    }
    Ok(writer.finish())
}

fn read(plain: &[u8]) -> Result<Source, PortalError> {
    let reader = &mut FrameReader::new(plain);
    match number(reader)? {
        BLOCK => Ok(Source::Block(fixed(reader)?, Tag::new(fixed(reader)?))),
        ERRAND => Ok(Source::Errand(ErrandRow {
            errand_id: fixed(reader)?,
            person_index: fixed(reader)?,
            stage: number(reader)?,
            tried_at: Timestamp::from_millis(0),
            sealed: octets(reader)?,
        })),
        LINE => {
            let exchange = ExchangeRow {
                exchange_index: fixed(reader)?,
                person_index: fixed(reader)?,
                sealing_key: octets(reader)?,
                created_at: Timestamp::from_millis(number(reader)?),
            };
            let line = LineRow {
                line_id: EntryId::from_slice(&octets(reader)?).ok_or(WRONG)?,
                exchange_index: exchange.exchange_index,
                person_index: fixed(reader)?,
                kind: number(reader)?,
                sealed: octets(reader)?,
                created_at: Timestamp::from_millis(number(reader)?),
                copied_until: Some(Timestamp::from_millis(number(reader)?)),
            };
            Ok(Source::Line(exchange, Box::new(line)))
        }
        _ => Err(WRONG),
    }
}

fn octets(reader: &mut FrameReader<'_>) -> Result<Vec<u8>, PortalError> {
    Ok(reader.take().map_err(|_| WRONG)?.to_vec())
}

fn fixed<const N: usize>(reader: &mut FrameReader<'_>) -> Result<[u8; N], PortalError> {
    let octets = reader.take().map_err(|_| WRONG)?;
    octets.try_into().map_err(|_| WRONG)
}

fn number(reader: &mut FrameReader<'_>) -> Result<i64, PortalError> {
    fixed(reader).map(i64::from_be_bytes)
}
