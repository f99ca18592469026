//! The log's rows: written in the action's transaction, found again by keyed tags.
//!
//! Must never update or delete an entry (`retention` does, when its term is over); the sequencer's index is the one
//! column that comes later.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};

const INSERT_ENTRY: Sql = sql!(
    "INSERT INTO audit_entry (entry_id, leaf_index, leaf_sha256, year, time, \
     handover_tag, sender_tag, recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, body) \
     VALUES ($1, NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
);
const SELECT_ENTRY: Sql = sql!(
    "SELECT entry_id, leaf_index, leaf_sha256, year, time, handover_tag, \
     sender_tag, recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, body \
     FROM audit_entry WHERE entry_id = $1"
);
/// An absent condition is NULL; the comparison comes first, because PostgreSQL takes an argument's type from
/// where it stands first. Entry ids are time-ordered, so they are the order and the page mark.
const SEARCH_ENTRIES: Sql = sql!(
    "SELECT entry_id, leaf_index, leaf_sha256, year, time, handover_tag, \
     sender_tag, recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, body \
     FROM audit_entry \
     WHERE year = $1 AND time >= $2 AND time < $3 AND entry_id < $4 \
     AND (handover_tag = $5 OR $5 IS NULL) \
     AND (sender_tag = $6 OR recipient_tag = $6 OR caller_tag = $6 OR $6 IS NULL) \
     AND (sender_tag = $7 OR recipient_tag = $7 OR caller_tag = $7 OR $7 IS NULL) \
     AND (purpose_tag = $8 OR $8 IS NULL) \
     AND (subject_tag = $9 OR $9 IS NULL) \
     AND (finding_tag = $10 OR $10 IS NULL) \
     ORDER BY entry_id DESC LIMIT $11"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[INSERT_ENTRY, SELECT_ENTRY, SEARCH_ENTRIES];

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
}

/// One entry as it lies in the table.
#[derive(Clone, Debug)]
pub struct EntryRow {
    /// Its id.
    pub entry_id: EntryId,
    /// Place in the tree, once sequenced.
    pub leaf_index: Option<i64>,
    /// SHA-256 of 0x00 and the plaintext (RFC 9162 2.1.1).
    pub leaf_sha256: [u8; 32],
    /// The calendar year whose key made the tags.
    pub year: i64,
    /// When it was written.
    pub time: Timestamp,
    /// How it is found.
    pub tags: EntryTags,
    /// The canonical JSON, sealed.
    pub body: Vec<u8>,
}

/// What to search for within one year; all conditions hold together.
#[derive(Clone, Debug)]
pub struct EntrySearch {
    /// The calendar year.
    pub year: i64,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub until: Timestamp,
    /// Only entries before this one (page mark); sixteen times 0xff for the first page.
    pub before: [u8; 16],
    /// Of this handover.
    pub handover: Option<Tag>,
    /// With this organisation as sender, recipient or caller.
    pub peer: Option<Tag>,
    /// And with this one too: the organisation beyond which the asker may not see.
    pub scope: Option<Tag>,
    /// For this purpose.
    pub purpose: Option<Tag>,
    /// About this person in this relation.
    pub subject: Option<Tag>,
    /// That an officer must look at.
    pub finding: Option<Tag>,
    /// At most this many.
    pub rows_max: i64,
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
                Arg::from(entry.body.as_slice()),
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

    /// Entries that fit `search`, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn search_entries(&mut self, search: &EntrySearch) -> Result<Vec<EntryRow>, Error> {
        self.all(
            SEARCH_ENTRIES,
            &[
                Arg::from(search.year),
                Arg::from(search.from.millis()),
                Arg::from(search.until.millis()),
                Arg::from(search.before.as_slice()),
                Arg::from(octets(&search.handover)),
                Arg::from(octets(&search.peer)),
                Arg::from(octets(&search.scope)),
                Arg::from(octets(&search.purpose)),
                Arg::from(octets(&search.subject)),
                Arg::from(octets(&search.finding)),
                Arg::from(search.rows_max),
            ],
        )
        .await?
        .iter()
        .map(entry_row)
        .collect()
    }
}

fn tag(row: &Row, name: &'static str) -> Result<Option<Tag>, Error> {
    let octets: Option<Vec<u8>> = column(row, name)?;
    octets
        .map(|octets| Tag::from_slice(&octets).ok_or(Error::Malformed("audit_entry")))
        .transpose()
}

fn entry_row(row: &Row) -> Result<EntryRow, Error> {
    let wrong = || Error::Malformed("audit_entry");
    let id: Vec<u8> = column(row, "entry_id")?;
    Ok(EntryRow {
        entry_id: EntryId::from_slice(&id).ok_or_else(wrong)?,
        leaf_index: column(row, "leaf_index")?,
        leaf_sha256: fixed(row, "leaf_sha256")?,
        year: column(row, "year")?,
        time: Timestamp::from_millis(column(row, "time")?),
        tags: EntryTags {
            handover: tag(row, "handover_tag")?,
            sender: tag(row, "sender_tag")?,
            recipient: tag(row, "recipient_tag")?,
            caller: tag(row, "caller_tag")?.ok_or_else(wrong)?,
            purpose: tag(row, "purpose_tag")?,
            subject: tag(row, "subject_tag")?,
            finding: tag(row, "finding_tag")?,
        },
        body: column(row, "body")?,
    })
}
