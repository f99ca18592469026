//! The log's rows: written in the action's transaction, found again by keyed tags.
//!
//! Must never update or delete an entry; the sequencer's index is the one column that comes later.

use crate::tx::{column, fixed};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};
use sqlx::sqlite::SqliteRow;

const INSERT_ENTRY: &str = "INSERT INTO audit_entry (entry_id, leaf_index, leaf_sha256, year, time, \
     handover_tag, sender_tag, recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, body) \
     VALUES ($1, NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const SELECT_ENTRY: &str = "SELECT entry_id, leaf_index, leaf_sha256, year, time, handover_tag, \
     sender_tag, recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, body \
     FROM audit_entry WHERE entry_id = $1";
/// An absent condition is NULL. Entry ids are time-ordered, so they are the order and the page mark.
const SEARCH_ENTRIES: &str = "SELECT entry_id, leaf_index, leaf_sha256, year, time, handover_tag, \
     sender_tag, recipient_tag, caller_tag, purpose_tag, subject_tag, finding_tag, body \
     FROM audit_entry \
     WHERE year = $1 AND time >= $2 AND time < $3 AND entry_id < $4 \
     AND ($5 IS NULL OR handover_tag = $5) \
     AND ($6 IS NULL OR sender_tag = $6 OR recipient_tag = $6 OR caller_tag = $6) \
     AND ($7 IS NULL OR sender_tag = $7 OR recipient_tag = $7 OR caller_tag = $7) \
     AND ($8 IS NULL OR purpose_tag = $8) \
     AND ($9 IS NULL OR subject_tag = $9) \
     AND ($10 IS NULL OR finding_tag = $10) \
     ORDER BY entry_id DESC LIMIT $11";
const COUNT_ENTRIES: &str = "SELECT COUNT(*) AS entries FROM audit_entry";

/// The statements of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[INSERT_ENTRY, SELECT_ENTRY, SEARCH_ENTRIES, COUNT_ENTRIES];

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

impl Tx {
    /// Writes an entry.
    ///
    /// # Errors
    /// When the database fails; the action is then undone too.
    pub async fn insert_entry(&mut self, entry: &EntryRow) -> Result<(), Error> {
        sqlx::query(INSERT_ENTRY)
            .bind(entry.entry_id.bytes().as_slice())
            .bind(entry.leaf_sha256.as_slice())
            .bind(entry.year)
            .bind(entry.time.millis())
            .bind(octets(&entry.tags.handover))
            .bind(octets(&entry.tags.sender))
            .bind(octets(&entry.tags.recipient))
            .bind(entry.tags.caller.bytes().as_slice())
            .bind(octets(&entry.tags.purpose))
            .bind(octets(&entry.tags.subject))
            .bind(octets(&entry.tags.finding))
            .bind(entry.body.as_slice())
            .execute(self.statement())
            .await?;
        Ok(())
    }

    /// The entry with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entry(&mut self, entry_id: EntryId) -> Result<Option<EntryRow>, Error> {
        sqlx::query(SELECT_ENTRY)
            .bind(entry_id.bytes().as_slice())
            .fetch_optional(self.statement())
            .await?
            .map(|row| entry_row(&row))
            .transpose()
    }

    /// Entries that fit `search`, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn search_entries(&mut self, search: &EntrySearch) -> Result<Vec<EntryRow>, Error> {
        sqlx::query(SEARCH_ENTRIES)
            .bind(search.year)
            .bind(search.from.millis())
            .bind(search.until.millis())
            .bind(search.before.as_slice())
            .bind(octets(&search.handover))
            .bind(octets(&search.peer))
            .bind(octets(&search.scope))
            .bind(octets(&search.purpose))
            .bind(octets(&search.subject))
            .bind(octets(&search.finding))
            .bind(search.rows_max)
            .fetch_all(self.statement())
            .await?
            .iter()
            .map(entry_row)
            .collect()
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_entries(&mut self) -> Result<i64, Error> {
        let row = sqlx::query(COUNT_ENTRIES)
            .fetch_one(self.statement())
            .await?;
        column(&row, "entries")
    }
}

fn tag(row: &SqliteRow, name: &'static str) -> Result<Option<Tag>, Error> {
    let octets: Option<Vec<u8>> = column(row, name)?;
    octets
        .map(|octets| Tag::from_slice(&octets).ok_or(Error::Malformed("audit_entry")))
        .transpose()
}

fn entry_row(row: &SqliteRow) -> Result<EntryRow, Error> {
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
