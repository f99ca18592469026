//! The log's rows: written in the action's transaction, found again by keyed tags.
//!
//! Must never update or delete an entry (`retention` does, when its term is over); the sequencer's index is the one
//! column that comes later. Must never serve two conditions by one statement: each has its own, on its own index.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};

const INSERT_ENTRY: Sql = sql!(
    "INSERT INTO audit_entry (entry_id, leaf_index, leaf_sha256, year, time, handover_tag, sender_tag, \
     recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, sender_finding_tag, \
     recipient_finding_tag, open_part, closed_part) \
     VALUES ($1, NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
);
/// The newest of a period: how far a search has to go back at all.
const SELECT_LAST: Sql = sql!(
    "SELECT entry_id FROM audit_entry WHERE entry_id >= $1 AND entry_id < $2 \
     ORDER BY entry_id DESC LIMIT 1"
);

/// A statement that reads whole entries.
macro_rules! entries {
    ($($where:literal),+) => {
        Sql::reading(concat!(
            "SELECT entry_id, leaf_index, leaf_sha256, year, time, handover_tag, sender_tag, recipient_tag, \
             caller_tag, purpose_tag, subject_tag, finding_tag, sender_finding_tag, recipient_finding_tag, \
             open_part, closed_part FROM audit_entry WHERE ",
            $($where),+
        ))
    };
}

/// One that reads those of a period that have a tag, newest first. Entry ids are time-ordered, so they are the
/// order, the period and the page mark.
macro_rules! tagged {
    ($tag:literal) => {
        entries!(
            $tag,
            " = $1 AND entry_id >= $2 AND entry_id < $3 ORDER BY entry_id DESC LIMIT $4"
        )
    };
}

const SELECT_ENTRY: Sql = entries!("entry_id = $1");
const OF_HANDOVER: Sql = tagged!("handover_tag");
const OF_SENDER: Sql = tagged!("sender_tag");
const OF_RECIPIENT: Sql = tagged!("recipient_tag");
const OF_CALLER: Sql = tagged!("caller_tag");
const OF_PURPOSE: Sql = tagged!("purpose_tag");
const OF_SUBJECT: Sql = tagged!("subject_tag");
const FINDINGS: Sql = tagged!("finding_tag");
const FINDINGS_OF_SENDER: Sql = tagged!("sender_finding_tag");
const FINDINGS_OF_RECIPIENT: Sql = tagged!("recipient_finding_tag");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_ENTRY,
    SELECT_ENTRY,
    SELECT_LAST,
    OF_HANDOVER,
    OF_SENDER,
    OF_RECIPIENT,
    OF_CALLER,
    OF_PURPOSE,
    OF_SUBJECT,
    FINDINGS,
    FINDINGS_OF_SENDER,
    FINDINGS_OF_RECIPIENT,
];

/// The statements of a search with the index that each goes by, for the test of plans.
#[cfg(test)]
pub(crate) const SEARCHES: &[(Sql, &str)] = &[
    (OF_HANDOVER, "audit_entry_handover"),
    (OF_SENDER, "audit_entry_sender"),
    (OF_RECIPIENT, "audit_entry_recipient"),
    (OF_CALLER, "audit_entry_caller"),
    (OF_PURPOSE, "audit_entry_purpose"),
    (OF_SUBJECT, "audit_entry_subject"),
    (FINDINGS, "audit_entry_finding"),
    (FINDINGS_OF_SENDER, "audit_entry_sender_finding"),
    (FINDINGS_OF_RECIPIENT, "audit_entry_recipient_finding"),
];

/// The keyed tags under which an entry is found, each under its year's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryTags {
    /// Of the handover.
    pub handover: Option<Tag>,
    /// Of the sender's organisation.
    pub sender: Option<Tag>,
    /// Of the recipient's organisation.
    pub recipient: Option<Tag>,
    /// Of the caller's organisation.
    pub caller: Tag,
    /// Of the purpose.
    pub purpose: Option<Tag>,
    /// Of the person in the relation.
    pub subject: Option<Tag>,
    /// The same for all entries that an officer must look at.
    pub finding: Option<Tag>,
    /// The same for those of one sender.
    pub sender_finding: Option<Tag>,
    /// The same for those of one recipient.
    pub recipient_finding: Option<Tag>,
}

/// One entry as it lies in the table.
#[derive(Clone, Debug)]
pub struct EntryRow {
    /// Its id.
    pub entry_id: EntryId,
    /// Place in the tree, once sequenced.
    pub leaf_index: Option<i64>,
    /// SHA-256 of 0x00 and the open part (RFC 9162 2.1.1).
    pub leaf_sha256: [u8; 32],
    /// The calendar year whose key made the tags.
    pub year: i64,
    /// When it was written.
    pub time: Timestamp,
    /// How it is found.
    pub tags: EntryTags,
    /// The open part as canonical JSON, sealed.
    pub open_part: Vec<u8>,
    /// The closed part, likewise; empty in an entry from before there were two parts.
    pub closed_part: Vec<u8>,
}

/// By what entries are found: the tags of one year's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// About this handover.
    Handover(Tag),
    /// With this organisation as sender.
    Sender(Tag),
    /// With this organisation as recipient.
    Recipient(Tag),
    /// Called by this organisation.
    Caller(Tag),
    /// For this purpose.
    Purpose(Tag),
    /// About this person in this relation.
    Subject(Tag),
    /// That an officer must look at.
    Finding(Tag),
    /// The same, with this organisation as sender.
    SenderFinding(Tag),
    /// The same, with this organisation as recipient.
    RecipientFinding(Tag),
}

impl Condition {
    const fn statement(&self) -> (Sql, &Tag) {
        match self {
            Self::Handover(tag) => (OF_HANDOVER, tag),
            Self::Sender(tag) => (OF_SENDER, tag),
            Self::Recipient(tag) => (OF_RECIPIENT, tag),
            Self::Caller(tag) => (OF_CALLER, tag),
            Self::Purpose(tag) => (OF_PURPOSE, tag),
            Self::Subject(tag) => (OF_SUBJECT, tag),
            Self::Finding(tag) => (FINDINGS, tag),
            Self::SenderFinding(tag) => (FINDINGS_OF_SENDER, tag),
            Self::RecipientFinding(tag) => (FINDINGS_OF_RECIPIENT, tag),
        }
    }
}

/// A stretch of the log, by the octets of entry ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From this id on.
    pub from: [u8; 16],
    /// Before this one.
    pub before: [u8; 16],
}

/// The octets with which the ids begin that are drawn from a moment on: ids begin with their moment.
#[must_use]
pub fn first_id(moment: Timestamp) -> [u8; 16] {
    const MILLIS_MAX: i64 = (1 << 48) - 1;
    let millis = moment.millis().clamp(0, MILLIS_MAX);
    let mut first = [0; 16];
    for (place, octet) in first
        .iter_mut()
        .zip(millis.to_be_bytes().into_iter().skip(2))
    {
        *place = octet;
    }
    first
}

fn octets(tag: &Option<Tag>) -> Option<&[u8]> {
    tag.as_ref().map(|tag| tag.bytes().as_slice())
}

impl Tx<'_> {
    /// Writes an entry.
    ///
    /// # Errors
    /// When the database fails; the action is then undone too.
    pub async fn insert_entry(&mut self, entry: &EntryRow) -> Result<(), Error> {
        self.later(
            INSERT_ENTRY,
            &[
                Arg::from(entry.entry_id.bytes().as_slice()),
                Arg::from(entry.leaf_sha256.as_slice()),
                Arg::from(entry.year),
                Arg::from(entry.time.millis()),
                Arg::from(octets(&entry.tags.handover)),
                Arg::from(octets(&entry.tags.sender)),
                Arg::from(octets(&entry.tags.recipient)),
                Arg::from(entry.tags.caller.bytes().as_slice()),
                Arg::from(octets(&entry.tags.purpose)),
                Arg::from(octets(&entry.tags.subject)),
                Arg::from(octets(&entry.tags.finding)),
                Arg::from(octets(&entry.tags.sender_finding)),
                Arg::from(octets(&entry.tags.recipient_finding)),
                Arg::from(entry.open_part.as_slice()),
                Arg::from(entry.closed_part.as_slice()),
            ],
        )
        .await
    }

    /// The entry with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entry(&mut self, entry_id: EntryId) -> Result<Option<EntryRow>, Error> {
        self.optional(SELECT_ENTRY, &[Arg::from(entry_id.bytes().as_slice())])
            .await?
            .map(|row| entry_row(&row))
            .transpose()
    }

    /// The newest entry of a stretch.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_entry(&mut self, stretch: &Stretch) -> Result<Option<EntryId>, Error> {
        let args = [
            Arg::from(stretch.from.as_slice()),
            Arg::from(stretch.before.as_slice()),
        ];
        let row = self.optional(SELECT_LAST, &args).await?;
        row.map(|row| entry_id(&row)).transpose()
    }

    /// Entries of a stretch that meet one condition, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entries(
        &mut self,
        condition: &Condition,
        stretch: &Stretch,
        rows_max: i64,
    ) -> Result<Vec<EntryRow>, Error> {
        let (sql, tag) = condition.statement();
        let args = [
            Arg::from(tag.bytes().as_slice()),
            Arg::from(stretch.from.as_slice()),
            Arg::from(stretch.before.as_slice()),
            Arg::from(rows_max),
        ];
        let rows = self.all(sql, &args).await?;
        rows.iter().map(entry_row).collect()
    }
}

fn entry_id(row: &Row) -> Result<EntryId, Error> {
    let id: Vec<u8> = column(row, "entry_id")?;
    EntryId::from_slice(&id).ok_or(Error::Malformed("audit_entry"))
}

fn tag(row: &Row, name: &'static str) -> Result<Option<Tag>, Error> {
    let octets: Option<Vec<u8>> = column(row, name)?;
    octets
        .map(|octets| Tag::from_slice(&octets).ok_or(Error::Malformed("audit_entry")))
        .transpose()
}

fn entry_row(row: &Row) -> Result<EntryRow, Error> {
    Ok(EntryRow {
        entry_id: entry_id(row)?,
        leaf_index: column(row, "leaf_index")?,
        leaf_sha256: fixed(row, "leaf_sha256")?,
        year: column(row, "year")?,
        time: Timestamp::from_millis(column(row, "time")?),
        tags: EntryTags {
            handover: tag(row, "handover_tag")?,
            sender: tag(row, "sender_tag")?,
            recipient: tag(row, "recipient_tag")?,
            caller: tag(row, "caller_tag")?.ok_or(Error::Malformed("audit_entry"))?,
            purpose: tag(row, "purpose_tag")?,
            subject: tag(row, "subject_tag")?,
            finding: tag(row, "finding_tag")?,
            sender_finding: tag(row, "sender_finding_tag")?,
            recipient_finding: tag(row, "recipient_finding_tag")?,
        },
        open_part: column(row, "open_part")?,
        closed_part: column(row, "closed_part")?,
    })
}
