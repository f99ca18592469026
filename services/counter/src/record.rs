//! How what a command tells becomes a line of the log: canonical JSON, leaf hash, keyed tags, seal.
//!
//! Must never put in a value that came as free text, and must never write a line outside the
//! transaction of what it tells.

use crate::Error;
use crate::call::Caller;
use crate::counter::Keys;
use crate::serve::Room;
use rules::audit::{Entry, Subject, year_of};
use rules::clock::Timestamp;
use rules::id::{EntryId, Oin, Tag};
use store::Tx;
use store::audit::{EntryRow, EntryTags};
use vault::rest::Place;

/// Kind of the tag that all findings share.
pub(crate) const FINDING: &str = "finding";

/// What one command tells the log.
pub use rules::audit::Subject as Record;

/// Leaf hashes begin with this octet (RFC 9162 2.1.1).
const LEAF_PREFIX: u8 = 0x00;

/// A line that was written: what a promise is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub entry_id: EntryId,
    /// Its leaf hash.
    pub leaf_sha256: [u8; 32],
    /// When it was written.
    pub time: Timestamp,
}

impl Written {
    /// Of a row.
    #[must_use]
    pub fn of(row: &EntryRow) -> Self {
        Self {
            entry_id: row.entry_id,
            leaf_sha256: row.leaf_sha256,
            time: row.time,
        }
    }
}

fn body_place(id: &EntryId) -> Place<'_> {
    Place {
        table: "audit_entry",
        row: id.bytes(),
        column: "body",
    }
}

impl Room<'_> {
    /// Writes a line in the transaction of what it tells.
    ///
    /// # Errors
    /// When the line is too long, or the database or the seal fails; the command is undone then.
    pub async fn write_entry(
        &self,
        tx: &mut Tx<'_>,
        action: &'static str,
        record: &Record,
    ) -> Result<Written, Error> {
        let counter = self.counter;
        let id = EntryId::draw(counter.clock(), counter.random());
        let mut nonce = [0; 16];
        counter.random().fill(&mut nonce);
        let caller = &self.call.caller;
        let end = counter.now();
        let entry = Entry {
            id,
            nonce,
            trace: self.call.trace,
            action,
            start: self.call.now,
            end,
            caller: (caller.party.clone(), caller.desk.to_string()),
            written_by: (
                counter.operator().party.oin.to_string(),
                env!("CARGO_PKG_VERSION"),
            ),
            directory_version: self.in_force.directory_version(),
            subject: record.clone(),
        };
        let json = entry
            .canonical_json()
            .map_err(|_| Error::Malformed("a log entry"))?;
        let row = EntryRow {
            entry_id: id,
            leaf_index: None,
            leaf_sha256: vault::digest::sha256_parts(&[&[LEAF_PREFIX], &json]),
            year: year_of(end),
            time: end,
            tags: tags(
                counter.keys(),
                year_of(end),
                record,
                caller_of(record, caller),
            ),
            body: counter.keys().seal(&body_place(&id), &json)?,
        };
        tx.insert_entry(&row).await?;
        Ok(Written::of(&row))
    }
}

/// Under whose number a line is found: a stranger's own where somebody was turned away.
fn caller_of<'a>(record: &'a Subject, caller: &'a Caller) -> &'a Oin {
    let stranger = record.stranger.as_ref();
    stranger
        .and_then(|stranger| stranger.oin.as_ref())
        .unwrap_or(&caller.party.oin)
}

fn tags(keys: &Keys, year: i64, record: &Subject, caller: &Oin) -> EntryTags {
    let keys = keys.year(year);
    let peer = |oin: &Oin| Tag::new(keys.tag("peer", oin.as_str().as_bytes()));
    EntryTags {
        handover: record
            .handover
            .map(|id| Tag::new(keys.tag("handover", id.bytes()))),
        sender: record.sender.as_ref().map(|party| peer(&party.oin)),
        recipient: record.recipient.as_ref().map(|party| peer(&party.oin)),
        caller: peer(caller),
        purpose: record
            .purpose
            .as_ref()
            .map(|purpose| Tag::new(keys.tag("purpose", purpose.as_str().as_bytes()))),
        subject: record
            .person
            .map(|person| Tag::new(keys.tag("subject", person.bytes()))),
        finding: record.finding.map(|_| Tag::new(keys.tag(FINDING, &[]))),
    }
}

/// A line, opened: its row and its canonical JSON, byte for byte as hashed.
#[derive(Clone, Debug)]
pub struct OpenedEntry {
    /// The row.
    pub row: EntryRow,
    /// The canonical JSON.
    pub json: Vec<u8>,
    /// The same, read.
    pub value: serde_json::Value,
}

/// Opens a line, and holds it against its leaf hash.
///
/// # Errors
/// When it was tampered with.
pub fn open_entry(keys: &Keys, row: EntryRow) -> Result<OpenedEntry, Error> {
    let json = keys.open(&body_place(&row.entry_id), &row.body)?;
    if vault::digest::sha256_parts(&[&[LEAF_PREFIX], &json]) != row.leaf_sha256 {
        return Err(Error::Malformed("a log entry"));
    }
    let value = serde_json::from_slice(&json).map_err(|_| Error::Malformed("a log entry"))?;
    Ok(OpenedEntry { row, json, value })
}
