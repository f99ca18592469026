//! What has been kept long enough: finding it, and erasing it.
//!
//! Must never erase what something else still refers to, and must never leave less of a log entry than its leaf
//! hash.

use crate::audit::first_id;
use crate::sql::{Arg, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};

/// Not one about which an answer is still due: until then nobody knows that the recipient erased it too.
const SELECT_HANDOVERS: Sql = sql!(
    "SELECT handover_id, subject_index FROM handover WHERE erase_at IS NOT NULL AND erase_at <= $1 \
     AND NOT EXISTS (SELECT 1 FROM notice WHERE notice.handover_id = handover.handover_id \
     AND notice.answered_at IS NULL) ORDER BY erase_at, handover_id LIMIT $2"
);
/// Once more under the person's lock: since it was found a notice may have gone out, or another swept it.
const IS_ERASABLE: Sql = sql!(
    "SELECT COUNT(*) AS rows FROM handover WHERE handover_id = $1 AND erase_at IS NOT NULL \
     AND erase_at <= $2 AND NOT EXISTS (SELECT 1 FROM notice \
     WHERE notice.handover_id = handover.handover_id AND notice.answered_at IS NULL)"
);
const DELETE_NOTICES: Sql = sql!("DELETE FROM notice WHERE handover_id = $1");
const DELETE_PAYLOADS: Sql = sql!("DELETE FROM payload WHERE handover_id = $1");
const DELETE_REPORT: Sql = sql!("DELETE FROM report WHERE handover_id = $1");
const DELETE_HANDOVER: Sql = sql!("DELETE FROM handover WHERE handover_id = $1");
/// With the last handover of a group; while the handover is still there.
const DELETE_GROUP: Sql = sql!(
    "DELETE FROM handover_group WHERE group_tag = (SELECT group_tag FROM handover WHERE handover_id = $1) \
     AND NOT EXISTS (SELECT 1 FROM handover WHERE handover.group_tag = handover_group.group_tag \
     AND handover.handover_id <> $1)"
);
const SELECT_CONSENTS: Sql = sql!(
    "SELECT consent_id, subject_index FROM consent WHERE erase_at <= $1 \
     ORDER BY erase_at, consent_id LIMIT $2"
);
const DELETE_EVENTS: Sql = sql!("DELETE FROM consent_event WHERE consent_id = $1");
const DELETE_CONSENT: Sql = sql!("DELETE FROM consent WHERE consent_id = $1");
const CLEAR_CURRENT: Sql = sql!(
    "UPDATE relation_subject SET standing_consent_id = NULL WHERE subject_index = $1 \
     AND standing_consent_id = $2"
);
/// People who were asked about and of whom nothing came, nor an objection: by age, within a window.
const SELECT_SUBJECTS: Sql = sql!(
    "SELECT subject_index FROM relation_subject WHERE created_at <= $1 AND created_at > $2 \
     AND objected_at IS NULL AND restricted_at IS NULL AND standing_consent_id IS NULL \
     AND NOT EXISTS (SELECT 1 FROM handover \
     WHERE handover.subject_index = relation_subject.subject_index) \
     AND NOT EXISTS (SELECT 1 FROM consent \
     WHERE consent.subject_index = relation_subject.subject_index) \
     AND NOT EXISTS (SELECT 1 FROM question \
     WHERE question.subject_index = relation_subject.subject_index) \
     ORDER BY created_at, subject_index LIMIT $3"
);
const DELETE_SUBJECT: Sql = sql!(
    "DELETE FROM relation_subject WHERE subject_index = $1 \
     AND objected_at IS NULL AND restricted_at IS NULL AND standing_consent_id IS NULL \
     AND NOT EXISTS (SELECT 1 FROM handover WHERE handover.subject_index = $1) \
     AND NOT EXISTS (SELECT 1 FROM consent WHERE consent.subject_index = $1) \
     AND NOT EXISTS (SELECT 1 FROM question WHERE question.subject_index = $1) \
     AND NOT EXISTS (SELECT 1 FROM consequence WHERE consequence.about = $1)"
);
const SELECT_ENTRIES_OF_PURPOSE: Sql = sql!(
    "SELECT entry_id FROM audit_entry WHERE purpose_tag = $1 AND entry_id < $2 \
     ORDER BY entry_id LIMIT $3"
);
const SELECT_ENTRIES: Sql =
    sql!("SELECT entry_id FROM audit_entry WHERE entry_id < $1 ORDER BY entry_id LIMIT $2");
const KEEP_LEAF: Sql = sql!(
    "INSERT INTO erased_entry (entry_id, leaf_index, leaf_sha256, year) \
     SELECT entry_id, leaf_index, leaf_sha256, year FROM audit_entry WHERE entry_id = $1"
);
const DELETE_ENTRY: Sql = sql!("DELETE FROM audit_entry WHERE entry_id = $1");
const DELETE_ITEMS: Sql = sql!(
    "DELETE FROM inbox WHERE (party_tag, position) IN (SELECT party_tag, position FROM inbox AS old \
     WHERE created_at < $1 AND (created_at < $2 OR position <= (SELECT confirmed FROM inbox_place \
     WHERE inbox_place.party_tag = old.party_tag)) ORDER BY created_at LIMIT $3)"
);
const COUNT_ITEMS: Sql = sql!(
    "SELECT COUNT(*) AS items FROM (SELECT 1 FROM inbox WHERE created_at < $1 \
     AND (created_at < $2 OR position <= (SELECT confirmed FROM inbox_place \
     WHERE inbox_place.party_tag = inbox.party_tag)) LIMIT $3) AS found"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_HANDOVERS,
    IS_ERASABLE,
    DELETE_NOTICES,
    DELETE_PAYLOADS,
    DELETE_REPORT,
    DELETE_HANDOVER,
    DELETE_GROUP,
    SELECT_CONSENTS,
    DELETE_EVENTS,
    DELETE_CONSENT,
    CLEAR_CURRENT,
    SELECT_SUBJECTS,
    DELETE_SUBJECT,
    SELECT_ENTRIES_OF_PURPOSE,
    SELECT_ENTRIES,
    KEEP_LEAF,
    DELETE_ENTRY,
    COUNT_ITEMS,
    DELETE_ITEMS,
];

/// A row that is due, and the person whose it is in its relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// Its id.
    pub id: [u8; 16],
    /// The person in the relation.
    pub subject_index: [u8; 32],
}

impl Tx<'_> {
    /// Ended handovers that have been kept long enough, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erasable_handovers(
        &mut self,
        now: Timestamp,
        rows_max: i64,
    ) -> Result<Vec<DueRow>, Error> {
        self.due(SELECT_HANDOVERS, "handover_id", now, rows_max)
            .await
    }

    /// Erases a handover with its notices, if it is still due; gives how many rows of the table that were. The
    /// person's row must be locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_handover(&mut self, row: &DueRow, now: Timestamp) -> Result<u64, Error> {
        let args = [Arg::from(row.id.as_slice()), Arg::from(now.millis())];
        let still: i64 = column(&self.one(IS_ERASABLE, &args).await?, "rows")?;
        if still == 0 {
            return Ok(0);
        }
        for sql in [DELETE_NOTICES, DELETE_PAYLOADS, DELETE_REPORT, DELETE_GROUP] {
            self.later(sql, &[Arg::from(row.id.as_slice())]).await?;
        }
        let args = [Arg::from(row.id.as_slice())];
        let erased = self.execute(DELETE_HANDOVER, &args).await?;
        self.erase_subject(&row.subject_index).await?;
        Ok(erased)
    }

    /// Consent records that have been kept long enough, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erasable_consents(
        &mut self,
        now: Timestamp,
        rows_max: i64,
    ) -> Result<Vec<DueRow>, Error> {
        self.due(SELECT_CONSENTS, "consent_id", now, rows_max).await
    }

    /// Erases a consent record with its events; gives how many records that were. The person's row must be locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_consent(&mut self, row: &DueRow) -> Result<u64, Error> {
        let id = Arg::from(row.id.as_slice());
        let subject = Arg::from(row.subject_index.as_slice());
        self.later(CLEAR_CURRENT, &[subject, id]).await?;
        self.later(DELETE_EVENTS, &[id]).await?;
        let erased = self.execute(DELETE_CONSENT, &[id]).await?;
        self.erase_subject(&row.subject_index).await?;
        Ok(erased)
    }

    async fn due(
        &mut self,
        sql: Sql,
        id: &'static str,
        now: Timestamp,
        rows_max: i64,
    ) -> Result<Vec<DueRow>, Error> {
        let rows = self
            .all(sql, &[Arg::from(now.millis()), Arg::from(rows_max)])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DueRow {
                    id: fixed(row, id)?,
                    subject_index: fixed(row, "subject_index")?,
                })
            })
            .collect()
    }

    /// People who were first asked about between two moments, of whom nothing is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erasable_subjects(
        &mut self,
        (after, until): (Timestamp, Timestamp),
        rows_max: i64,
    ) -> Result<Vec<[u8; 32]>, Error> {
        let args = [
            Arg::from(until.millis()),
            Arg::from(after.millis()),
            Arg::from(rows_max),
        ];
        let rows = self.all(SELECT_SUBJECTS, &args).await?;
        rows.iter().map(|row| fixed(row, "subject_index")).collect()
    }

    /// Erases a person's row in a relation, if nothing refers to it and no objection stands; gives how many rows
    /// that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_subject(&mut self, index: &[u8; 32]) -> Result<u64, Error> {
        self.execute(DELETE_SUBJECT, &[Arg::from(index.as_slice())])
            .await
    }

    /// Entries from before a moment, oldest first; with a tag those of one purpose in one year.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erasable_entries(
        &mut self,
        purpose: Option<Tag>,
        before: Timestamp,
        rows_max: i64,
    ) -> Result<Vec<EntryId>, Error> {
        let first = first_id(before);
        let first = Arg::from(first.as_slice());
        let rows_max = Arg::from(rows_max);
        let rows = match &purpose {
            Some(tag) => {
                let args = [Arg::from(tag.bytes().as_slice()), first, rows_max];
                self.all(SELECT_ENTRIES_OF_PURPOSE, &args).await?
            }
            None => self.all(SELECT_ENTRIES, &[first, rows_max]).await?,
        };
        rows.iter()
            .map(|row| {
                let id: Vec<u8> = column(row, "entry_id")?;
                EntryId::from_slice(&id).ok_or(Error::Malformed("audit_entry"))
            })
            .collect()
    }

    /// Erases what an entry says and how it is found; its leaf hash stays. Gives how many entries that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_entry(&mut self, id: EntryId) -> Result<u64, Error> {
        let args = [Arg::from(id.bytes().as_slice())];
        self.later(KEEP_LEAF, &args).await?;
        self.execute(DELETE_ENTRY, &args).await
    }

    /// How many items [`Tx::erase_inbox_items`] would erase; it is counted no further than asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erasable_inbox_items(
        &mut self,
        read_before: Timestamp,
        all_before: Timestamp,
        rows_max: i64,
    ) -> Result<u64, Error> {
        let args = [
            Arg::from(read_before.millis()),
            Arg::from(all_before.millis()),
            Arg::from(rows_max),
        ];
        let row = self.one(COUNT_ITEMS, &args).await?;
        let items: i64 = column(&row, "items")?;
        Ok(u64::try_from(items).unwrap_or(0))
    }

    /// Erases inbox items, so many at most: those that their readers have from before one moment, and all from
    /// before another. Gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_inbox_items(
        &mut self,
        read_before: Timestamp,
        all_before: Timestamp,
        rows_max: i64,
    ) -> Result<u64, Error> {
        let args = [
            Arg::from(read_before.millis()),
            Arg::from(all_before.millis()),
            Arg::from(rows_max),
        ];
        self.execute(DELETE_ITEMS, &args).await
    }
}
