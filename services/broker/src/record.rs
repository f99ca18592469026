//! How what a command tells becomes a line of the log: two parts, leaf hash, keyed tags, seals.
//!
//! Must never put in a value that came as free text, must never write a line outside the transaction of what it
//! tells, and must never let an organisation's tag find a line of which its desks were not told.

use crate::Error;
use crate::broker::Keys;
use crate::call::Caller;
use crate::serve::Room;
use rules::audit::{Audience, CLOSED_SHA256, Entry, Subject, year_of};
use rules::clock::Timestamp;
use rules::hex;
use rules::id::{EntryId, HandoverId, Oin, Party, Purpose, Tag};
use serde_json::Value;
use store::Tx;
use store::audit::{EntryRow, EntryTags};
use vault::rest::{IndexKey, Place};

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

/// Column of the part that those who had a share in the call may read.
const OPEN: &str = "open_part";
/// Column of the rest.
const CLOSED: &str = "closed_part";

fn place<'a>(id: &'a EntryId, column: &'a str) -> Place<'a> {
    Place {
        table: "audit_entry",
        row: id.bytes(),
        column,
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
        let broker = self.broker;
        let id = EntryId::draw(broker.clock(), broker.random());
        let [nonce, closed_nonce] = [(); 2].map(|()| {
            let mut nonce = [0; 16];
            broker.random().fill(&mut nonce);
            nonce
        });
        let caller = &self.call.caller;
        let end = broker.now();
        let entry = Entry {
            id,
            nonce,
            closed_nonce,
            trace: self.call.trace,
            action,
            start: self.call.now,
            end,
            caller: (caller.party.clone(), caller.desk.to_string()),
            written_by: (
                broker.operator().party.oin.to_string(),
                env!("CARGO_PKG_VERSION"),
            ),
            directory_version: self.in_force.directory_version(),
            subject: record.clone(),
        };
        let too_long = |_| Error::Malformed("a log entry");
        let closed = entry.closed_part().map_err(too_long)?;
        let open = entry.open_part(&vault::digest::sha256(&closed));
        let open = open.map_err(too_long)?;
        let keys = broker.keys();
        // A search goes back by ids, so the id says whose year's key makes the tags.
        let year = year_of(id.drawn_at());
        let row = EntryRow {
            entry_id: id,
            leaf_index: None,
            leaf_sha256: vault::digest::sha256_parts(&[&[LEAF_PREFIX], &open]),
            year,
            time: end,
            tags: tags(&YearTags::of(keys, year), record, caller_of(record, caller)),
            open_part: keys.seal(&place(&id, OPEN), &open)?,
            closed_part: keys.seal(&place(&id, CLOSED), &closed)?,
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

/// Makes the tags of one year's entries. An organisation and a handover have two: by the open one they are found
/// by whoever was told, by the closed one only by who may read both parts.
pub(crate) struct YearTags(IndexKey);

impl YearTags {
    pub(crate) fn of(keys: &Keys, year: i64) -> Self {
        Self(keys.year(year))
    }

    fn tag(&self, kind: &str, value: &[u8]) -> Tag {
        Tag::new(self.0.tag(kind, value))
    }

    pub(crate) fn peer(&self, oin: &Oin, is_open: bool) -> Tag {
        let kind = if is_open { "peer" } else { "closed-peer" };
        self.tag(kind, oin.as_str().as_bytes())
    }

    pub(crate) fn handover(&self, id: HandoverId, is_open: bool) -> Tag {
        let kind = if is_open {
            "handover"
        } else {
            "closed-handover"
        };
        self.tag(kind, id.bytes())
    }

    pub(crate) fn purpose(&self, purpose: &Purpose) -> Tag {
        self.tag("purpose", purpose.as_str().as_bytes())
    }

    pub(crate) fn subject(&self, person: Tag) -> Tag {
        self.tag("subject", person.bytes())
    }

    /// That all findings share.
    pub(crate) fn finding(&self) -> Tag {
        self.tag("finding", &[])
    }

    /// That those of which one organisation was told share, as sender or as recipient.
    pub(crate) fn finding_of(&self, oin: &Oin) -> Tag {
        self.tag("finding-of", oin.as_str().as_bytes())
    }
}

fn tags(keys: &YearTags, record: &Subject, caller: &Oin) -> EntryTags {
    let (sender_told, recipient_told) = match record.audience {
        Audience::Sides => (true, true),
        Audience::Sender => (true, false),
        Audience::Caller | Audience::Nobody => (false, false),
    };
    // Who looked a handover up is nothing that its sides were told.
    let searched = record.searched.as_ref().and_then(|it| it.handover);
    let handover = record.handover.map(|id| keys.handover(id, sender_told));
    let finding_of = |side: Option<&Party>, is_told: bool| {
        let side = side.filter(|_| is_told && record.finding.is_some());
        side.map(|party| keys.finding_of(&party.oin))
    };
    EntryTags {
        handover: handover.or_else(|| searched.map(|id| keys.handover(id, false))),
        sender: record
            .sender
            .as_ref()
            .map(|party| keys.peer(&party.oin, sender_told)),
        recipient: record
            .recipient
            .as_ref()
            .map(|party| keys.peer(&party.oin, recipient_told)),
        caller: keys.peer(caller, true),
        purpose: record.purpose.as_ref().map(|it| keys.purpose(it)),
        subject: record.person.map(|person| keys.subject(person)),
        finding: record.finding.map(|_| keys.finding()),
        sender_finding: finding_of(record.sender.as_ref(), sender_told),
        recipient_finding: finding_of(record.recipient.as_ref(), recipient_told),
    }
}

/// One part of a line.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its canonical JSON, byte for byte as written.
    pub json: Vec<u8>,
    /// The same, read.
    pub value: Value,
}

impl Part {
    fn read(json: Vec<u8>) -> Result<Self, Error> {
        let value = serde_json::from_slice(&json);
        let value = value.map_err(|_| Error::Malformed("a log entry"))?;
        Ok(Self { json, value })
    }

    /// One attribute; none where the part has none, or none of this line.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        let value = self.value.get("attributes")?.get(name)?;
        Some(value).filter(|value| !value.is_null())
    }

    /// One attribute that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name)?.as_str()
    }
}

/// A line, opened as far as the asker may read it.
#[derive(Clone, Debug)]
pub struct OpenedEntry {
    /// The row.
    pub row: EntryRow,
    /// What those who had a share in the call were told.
    pub open: Part,
    /// The rest; none for an asker that may not read it.
    pub closed: Option<Part>,
}

/// Opens a line, and holds its open part against the leaf hash and its closed part, if that is wanted, against
/// the digest in the open one.
///
/// # Errors
/// When it was tampered with, or is from before a line had two parts.
pub fn open_entry(keys: &Keys, row: EntryRow, with_closed: bool) -> Result<OpenedEntry, Error> {
    if row.closed_part.is_empty() {
        return Err(Error::Malformed("a log entry from before it had two parts"));
    }
    let open = keys.open(&place(&row.entry_id, OPEN), &row.open_part)?;
    if vault::digest::sha256_parts(&[&[LEAF_PREFIX], &open]) != row.leaf_sha256 {
        return Err(Error::Malformed("a log entry"));
    }
    let open = Part::read(open)?;
    let closed = if with_closed {
        let closed = keys.open(&place(&row.entry_id, CLOSED), &row.closed_part)?;
        let digest = hex::encode(&vault::digest::sha256(&closed));
        if open.text(CLOSED_SHA256) != Some(digest.as_str()) {
            return Err(Error::Malformed("the closed part of a log entry"));
        }
        Some(Part::read(closed)?)
    } else {
        None
    };
    Ok(OpenedEntry { row, open, closed })
}
