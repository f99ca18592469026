//! Copies at the broker: blocks, errands and the papers of late stops and refusals, for the day on which the portal is
//! put back from a backup.
//!
//! Each is sealed to the portal, padded to a fixed size and named by a keyed hash: the broker learns how many there
//! are, and nothing of whom or what. Must never open the portal after a restoration before all of them are back, or
//! somebody decided to go on without, and must never take one away because its row is missing here: only what deletes a
//! row does.

use super::{Portal, PortalError};
use crate::broker::CopyAtBroker;
use crate::feed::ask_ours;
use crate::rows::copies::{
    CopiesDue, CopiesFollowed, EndOldCopies, Held, HeldHere, IsShut, MakeDue, OpenDoor, PutBack,
    Source,
};
use papers::frame::{FrameReader, FrameWriter};
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

    /// Makes copies at the broker follow the rows here; gives how many did. A portal that is shut changes none there:
    /// what is due is of its backup, and what lies at the broker is younger.
    ///
    /// # Errors
    /// When the broker or the database is away: they follow later.
    pub async fn copy_out(&self) -> Result<usize, PortalError> {
        let _turn = self.0.copy_turn.lock().await;
        if self.is_shut() {
            return Ok(0);
        }
        // What goes first: it makes room for what comes, and a broker without room refuses only that.
        let taken = self.follow_due(false).await?;
        let put = self.follow_due(true).await?;
        Ok(taken.saturating_add(put))
    }

    /// Makes those copies follow that are to lie at the broker, or those that are not.
    async fn follow_due(&self, is_to_lie: bool) -> Result<usize, PortalError> {
        let (mut followed, mut after) = (0_usize, [0; 16]);
        loop {
            let mut due = self.database().read(&CopiesDue { after }).await?;
            let Some((last, _)) = due.last() else {
                return Ok(followed);
            };
            after = last.copy_id;
            due.retain(|(_, source)| source.is_some() == is_to_lie);
            let (mut put, mut done) = (Vec::new(), Vec::new());
            for (copy, source) in due {
                match source.map(|source| self.seal_copy(&copy.copy_id, &source)) {
                    Some(Ok(sealed)) => put.push(CopyAtBroker {
                        name: copy.copy_id,
                        sealed,
                    }),
                    Some(Err(error)) => {
                        self.name_once(copy.copy_id, &error, "a copy cannot be made");
                        continue;
                    }
                    None => {}
                }
                done.push(copy);
            }
            if done.is_empty() {
                continue;
            }
            if is_to_lie {
                ask_ours(self.broker().put_copies(&put)).await?;
            } else {
                let names: Vec<_> = done.iter().map(|copy| copy.copy_id).collect();
                ask_ours(self.broker().take_copies(&names)).await?;
            }
            followed = followed.saturating_add(done.len());
            self.database().write(&CopiesFollowed(done)).await?;
        }
    }

    /// Compares what lies at the broker with what is here: copies without a row are put back as rows, and rows without
    /// a copy are copied again. Either side may have been put back from a backup. After that the portal is open.
    ///
    /// A copy that does not open is named once; on an open portal the rest goes on without it.
    ///
    /// # Errors
    /// When the broker or the database is away, or more copies do not open than the portal may go on without: then it
    /// stays shut.
    pub async fn reconcile(&self) -> Result<(), PortalError> {
        let _turn = self.0.copy_turn.lock().await;
        let is_shut = self.is_shut();
        let there = self.names_there().await?;
        let Held { rows, due } = self.database().read(&HeldHere).await?;
        let here: BTreeMap<[u8; 16], CopyName> = rows
            .into_iter()
            .map(|(kind, name)| self.copy_name(kind, &name))
            .map(|copy| (copy.id, copy))
            .collect();
        let is_wanted = |name: &[u8; 16]| match here.get(name) {
            // Ids of errands come again: what lies at the broker is younger than a backup.
            Some(copy) => is_shut && copy.kind == ERRAND,
            None => is_shut || !(due.contains(name) || self.is_named(name)),
        };
        let wanted: BTreeSet<[u8; 16]> = there
            .iter()
            .copied()
            .filter(|name| is_wanted(name))
            .collect();
        let unopened = if wanted.is_empty() {
            0
        } else {
            self.put_back(&wanted, is_shut).await?
        };
        let absent = here.into_values().filter(|copy| !there.contains(&copy.id));
        let absent: Vec<CopyName> = absent.collect();
        if is_shut {
            self.open_door(absent, &due, unopened).await?;
        } else if !absent.is_empty() {
            self.database().write(&MakeDue(absent)).await?;
        }
        self.0.copies_wait.notify_one();
        Ok(())
    }

    /// Opens a portal that has its copies back. A row of the backup whose copy was at the broker when the backup was
    /// made, and is gone, ended since: a block was undone, an errand answered. What was still due then is no proof.
    async fn open_door(
        &self,
        absent: Vec<CopyName>,
        due: &BTreeSet<[u8; 16]>,
        unopened: usize,
    ) -> Result<(), PortalError> {
        if unopened > self.0.without_copies {
            return Err(PortalError::CopiesUnopened(unopened));
        }
        // A broker that was put back itself has lost copies, and their absence says nothing.
        let is_proof = !self.broker().is_restoring().await?;
        let (ended, missing): (Vec<_>, Vec<_>) = absent
            .into_iter()
            .partition(|copy| is_proof && copy.kind != LINE && !due.contains(&copy.id));
        let count = ended.len();
        let open = OpenDoor {
            ended,
            missing,
            now: self.now(),
        };
        self.database().write(&open).await?;
        self.0.is_shut.store(false, Ordering::SeqCst);
        if unopened > 0 {
            tracing::error!(
                copies = unopened,
                "the portal goes on without copies that do not open, as its configuration says"
            );
        }
        tracing::info!(
            ended = count,
            "blocks, refusals and stops are back; the portal is open"
        );
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

    /// Puts rows back from these copies; gives how many do not open.
    async fn put_back(
        &self,
        names: &BTreeSet<[u8; 16]>,
        replaces: bool,
    ) -> Result<usize, PortalError> {
        let (mut after, mut unopened) = (None, 0_usize);
        loop {
            let page = self
                .broker()
                .list_copies(after, PORTAL_COPIES_AT_ONCE, false);
            let page = ask_ours(page).await?;
            let is_last = page.len() < PORTAL_COPIES_AT_ONCE;
            after = page.last().map(|copy| copy.name);
            let mut sources = Vec::new();
            for copy in page.iter().filter(|copy| names.contains(&copy.name)) {
                match self.open_copy(copy) {
                    Ok(source) => sources.push(source),
                    Err(error) => {
                        unopened = unopened.saturating_add(1);
                        self.name_once(copy.name, &error, "a copy does not open");
                    }
                }
            }
            self.database()
                .write(&PutBack { sources, replaces })
                .await?;
            if is_last {
                return Ok(unopened);
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
