//! Handovers, and what waits in them for the recipient.
//!
//! Must never write a payload without the permit of the decision it rests on, and must never leave
//! one behind when its handover has ended.

use crate::pseudonym::{SubjectRow, subject_row};
use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{HandoverId, Tag};
use rules::policy::Permit;

const INSERT_HANDOVER: Sql = sql!(
    "INSERT INTO handover (handover_id, revision, state, sender_tag, \
     recipient_tag, purpose_tag, subject_index, group_tag, entered_at, deadline_at, \
     remaining_millis, opened_at, undelivered_at, day, wrapped_key, body, stop_number, group_number) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, NULL, NULL, $11, $12, $13, $14, $15)"
);
/// The person's row is named first: PostgreSQL locks the rows of a result in that order.
const LOCK_WITH_SUBJECT: Sql = sql!("SELECT handover_id, revision, state, sender_tag, recipient_tag, \
     purpose_tag, handover.subject_index, group_tag, entered_at, deadline_at, remaining_millis, opened_at, \
     undelivered_at, erase_at, day, wrapped_key, body, handover.stop_number, group_number, relation_tag, \
     objected_at, restricted_at, standing_consent_id, relation_subject.stop_number AS subject_stop_number, \
     lines_day, sender_lines, recipient_lines, folded \
     FROM relation_subject JOIN handover ON handover.subject_index = relation_subject.subject_index \
     WHERE handover_id = $1", for update);
const UPDATE_HANDOVER: Sql = sql!(
    "UPDATE handover SET revision = $2, state = $3, entered_at = $4, \
     deadline_at = $5, remaining_millis = $6, opened_at = $7, undelivered_at = $8, day = $9, \
     wrapped_key = $10, body = $11, erase_at = $12, group_number = $13 WHERE handover_id = $1"
);
const INSERT_GROUP: Sql = sql!(
    "INSERT INTO handover_group (group_tag, group_number, released) VALUES ($1, 0, $2) \
     ON CONFLICT (group_tag) DO NOTHING"
);
const LOCK_GROUP: Sql =
    sql!("SELECT group_number, released FROM handover_group WHERE group_tag = $1", for update);
const SELECT_GROUP_NUMBER: Sql =
    sql!("SELECT group_number FROM handover_group WHERE group_tag = $1");
const UPDATE_GROUP: Sql =
    sql!("UPDATE handover_group SET group_number = $2, released = $3 WHERE group_tag = $1");
const SELECT_STATE: Sql = sql!("SELECT state FROM handover WHERE handover_id = $1");
const HAS_OTHERS_OPEN: Sql = sql!(
    "SELECT COUNT(*) AS others FROM (SELECT 1 FROM handover WHERE group_tag = $1 \
     AND wrapped_key IS NOT NULL AND handover_id <> $2 LIMIT 1) AS found"
);
const COUNT_OPEN: Sql = sql!(
    "SELECT COUNT(*) AS open FROM (SELECT 1 FROM handover WHERE subject_index = $1 \
     AND wrapped_key IS NOT NULL AND stop_number = $2 LIMIT $3) AS found"
);
const END_UNREADABLE: Sql = sql!(
    "UPDATE handover SET state = $2, wrapped_key = NULL, deadline_at = NULL, remaining_millis = NULL, \
     undelivered_at = NULL, entered_at = $3, erase_at = $3 WHERE handover_id = $1"
);
/// What a stop has ended is not due any more: it is followed.
const SELECT_DUE: Sql = sql!(
    "SELECT handover_id FROM handover \
     WHERE deadline_at IS NOT NULL AND deadline_at <= $1 \
     AND stop_number = (SELECT person.stop_number FROM relation_subject AS person \
     WHERE person.subject_index = handover.subject_index) \
     ORDER BY deadline_at, handover_id LIMIT $2 OFFSET $3"
);
const SELECT_UNDELIVERED: Sql = sql!(
    "SELECT handover_id FROM handover \
     WHERE undelivered_at IS NOT NULL AND undelivered_at <= $1 \
     AND stop_number = (SELECT person.stop_number FROM relation_subject AS person \
     WHERE person.subject_index = handover.subject_index) \
     ORDER BY undelivered_at, handover_id LIMIT $2 OFFSET $3"
);
const SELECT_OF_DAYS_BEFORE: Sql = sql!(
    "SELECT handover_id FROM handover \
     WHERE wrapped_key IS NOT NULL AND day < $1 \
     AND stop_number = (SELECT person.stop_number FROM relation_subject AS person \
     WHERE person.subject_index = handover.subject_index) ORDER BY day, handover_id LIMIT $2 OFFSET $3"
);
const HAS_COMPLETED: Sql = sql!(
    "SELECT COUNT(*) AS handovers FROM (SELECT 1 FROM handover \
     WHERE sender_tag = $1 AND recipient_tag = $2 AND state = $3 AND purpose_tag <> $4 LIMIT 1) AS found"
);
const UPSERT_PAYLOAD: Sql = sql!(
    "INSERT INTO payload (handover_id, stage, sealed) VALUES ($1, $2, $3) \
     ON CONFLICT (handover_id, stage) DO UPDATE SET sealed = excluded.sealed"
);
const SELECT_PAYLOAD: Sql =
    sql!("SELECT sealed FROM payload WHERE handover_id = $1 AND stage = $2");
const DELETE_PAYLOADS: Sql = sql!("DELETE FROM payload WHERE handover_id = $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_HANDOVER,
    LOCK_WITH_SUBJECT,
    UPDATE_HANDOVER,
    INSERT_GROUP,
    LOCK_GROUP,
    SELECT_GROUP_NUMBER,
    UPDATE_GROUP,
    SELECT_STATE,
    HAS_OTHERS_OPEN,
    COUNT_OPEN,
    END_UNREADABLE,
    SELECT_DUE,
    SELECT_UNDELIVERED,
    SELECT_OF_DAYS_BEFORE,
    HAS_COMPLETED,
    UPSERT_PAYLOAD,
    SELECT_PAYLOAD,
    DELETE_PAYLOADS,
];

/// A handover as it lies in the table.
#[derive(Clone, Debug)]
pub struct HandoverRow {
    /// Its id.
    pub handover_id: HandoverId,
    /// One more at every change.
    pub revision: i64,
    /// The number of its state in `sluis.handover.v1.State`.
    pub state: i64,
    /// Tag of the sender.
    pub sender: Tag,
    /// Tag of the recipient.
    pub recipient: Tag,
    /// Tag of the purpose.
    pub purpose: Tag,
    /// Index of the person in this relation.
    pub subject_index: [u8; 32],
    /// The person's stop number when it was made: at any other it has ended.
    pub stop_number: i64,
    /// Tag of the sender's group.
    pub group: Option<Tag>,
    /// The group's number when it was made or released: at a higher one another of the group was released, and
    /// this one has ended.
    pub group_number: i64,
    /// When it came into its state.
    pub entered_at: Timestamp,
    /// Until when it may stay there; `None` while paused or ended.
    pub deadline_at: Option<Timestamp>,
    /// What was left of the deadline when it was paused, in milliseconds.
    pub remaining_millis: Option<i64>,
    /// When the recipient first opened an offer or a dossier, or sent a report without having done so.
    pub opened_at: Option<Timestamp>,
    /// When the sender is told that the recipient took no notice; `None` when there is nothing to tell.
    pub undelivered_at: Option<Timestamp>,
    /// When it is looked whether it has been kept as long as the register says; `None` before it ends.
    pub erase_at: Option<Timestamp>,
    /// The day whose key wraps the data key: days since 1970-01-01.
    pub day: i64,
    /// The wrapped data key; `None` once destroyed, which is when the handover has ended.
    pub wrapped_key: Option<Vec<u8>>,
    /// What the handover is about, sealed.
    pub body: Vec<u8>,
}

impl Tx<'_> {
    /// Writes a new handover. The permit is the decision it rests on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_handover(
        &mut self,
        _permit: &Permit,
        row: &HandoverRow,
    ) -> Result<(), Error> {
        self.later(
            INSERT_HANDOVER,
            &[
                Arg::from(row.handover_id.bytes().as_slice()),
                Arg::from(row.revision),
                Arg::from(row.state),
                Arg::from(row.sender.bytes().as_slice()),
                Arg::from(row.recipient.bytes().as_slice()),
                Arg::from(row.purpose.bytes().as_slice()),
                Arg::from(row.subject_index.as_slice()),
                Arg::from(row.group.as_ref().map(|tag| tag.bytes().as_slice())),
                Arg::from(row.entered_at.millis()),
                Arg::from(row.deadline_at.map(Timestamp::millis)),
                Arg::from(row.day),
                Arg::from(row.wrapped_key.as_deref()),
                Arg::from(row.body.as_slice()),
                Arg::from(row.stop_number),
                Arg::from(row.group_number),
            ],
        )
        .await
    }

    /// Locks the row of a handover's person and then the handover, until commit, and reads both; `None` when there
    /// is no such handover.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_handover(
        &mut self,
        id: HandoverId,
    ) -> Result<Option<(SubjectRow, HandoverRow)>, Error> {
        self.optional(LOCK_WITH_SUBJECT, &[Arg::from(id.bytes().as_slice())])
            .await?
            .map(|row| Ok((subject_row(&row)?, handover_row(&row)?)))
            .transpose()
    }

    /// Writes what can change of a handover.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_handover(&mut self, row: &HandoverRow) -> Result<(), Error> {
        self.later(
            UPDATE_HANDOVER,
            &[
                Arg::from(row.handover_id.bytes().as_slice()),
                Arg::from(row.revision),
                Arg::from(row.state),
                Arg::from(row.entered_at.millis()),
                Arg::from(row.deadline_at.map(Timestamp::millis)),
                Arg::from(row.remaining_millis),
                Arg::from(row.opened_at.map(Timestamp::millis)),
                Arg::from(row.undelivered_at.map(Timestamp::millis)),
                Arg::from(row.day),
                Arg::from(row.wrapped_key.as_deref()),
                Arg::from(row.body.as_slice()),
                Arg::from(row.erase_at.map(Timestamp::millis)),
                Arg::from(row.group_number),
            ],
        )
        .await
    }

    /// How many handovers of the group were released before now; 0 for a group of which none was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn group_number(&mut self, group: Tag) -> Result<i64, Error> {
        let args = [Arg::from(group.bytes().as_slice())];
        let row = self.optional(SELECT_GROUP_NUMBER, &args).await?;
        row.map_or(Ok(0), |row| column(&row, "group_number"))
    }

    /// Makes sure that the group has a row, and locks it until commit; gives its number and the handover that was
    /// released last, if that is another than `own`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_group(
        &mut self,
        group: Tag,
        own: HandoverId,
    ) -> Result<(i64, Option<HandoverId>), Error> {
        let tag = Arg::from(group.bytes().as_slice());
        let args = [tag, Arg::from(own.bytes().as_slice())];
        self.later(INSERT_GROUP, &args).await?;
        let row = self.one(LOCK_GROUP, &[tag]).await?;
        let released: Vec<u8> = column(&row, "released")?;
        let released =
            HandoverId::from_slice(&released).ok_or(Error::Malformed("handover_group"))?;
        let other = (released != own).then_some(released);
        Ok((column(&row, "group_number")?, other))
    }

    /// A handover of the group is released: the group, which must be locked, gets the next number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_in_group(
        &mut self,
        group: Tag,
        number: i64,
        released: HandoverId,
    ) -> Result<(), Error> {
        self.later(
            UPDATE_GROUP,
            &[
                Arg::from(group.bytes().as_slice()),
                Arg::from(number),
                Arg::from(released.bytes().as_slice()),
            ],
        )
        .await
    }

    /// The number of a handover's state; none when there is no such handover any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn handover_state(&mut self, id: HandoverId) -> Result<Option<i64>, Error> {
        let args = [Arg::from(id.bytes().as_slice())];
        let row = self.optional(SELECT_STATE, &args).await?;
        row.map(|row| column(&row, "state")).transpose()
    }

    /// Whether others of a group are open.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_others_open(&mut self, group: Tag, except: HandoverId) -> Result<bool, Error> {
        let args = [
            Arg::from(group.bytes().as_slice()),
            Arg::from(except.bytes().as_slice()),
        ];
        let others: i64 = column(&self.one(HAS_OTHERS_OPEN, &args).await?, "others")?;
        Ok(others > 0)
    }

    /// How many handovers of a person in a relation are open under this stop number, counted up to `most`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_open_handovers(
        &mut self,
        index: &[u8; 32],
        stop_number: i64,
        most: i64,
    ) -> Result<i64, Error> {
        let args = [
            Arg::from(index.as_slice()),
            Arg::from(stop_number),
            Arg::from(most),
        ];
        column(&self.one(COUNT_OPEN, &args).await?, "open")
    }

    /// Ends a handover whose row cannot be read: its key goes, and with it all that waits in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_unreadable_handover(
        &mut self,
        id: HandoverId,
        state: i64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let args = [
            Arg::from(id.bytes().as_slice()),
            Arg::from(state),
            Arg::from(now.millis()),
        ];
        self.later(END_UNREADABLE, &args).await?;
        self.delete_report(id).await?;
        self.delete_payloads(id).await
    }

    /// Whether this sender ever handed somebody over to this recipient, for another purpose than this one,
    /// and the handover came to `completed_state`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_completed_handover(
        &mut self,
        sender: Tag,
        recipient: Tag,
        completed_state: i64,
        except_purpose: Tag,
    ) -> Result<bool, Error> {
        let row = self
            .one(
                HAS_COMPLETED,
                &[
                    Arg::from(sender.bytes().as_slice()),
                    Arg::from(recipient.bytes().as_slice()),
                    Arg::from(completed_state),
                    Arg::from(except_purpose.bytes().as_slice()),
                ],
            )
            .await?;
        let handovers: i64 = column(&row, "handovers")?;
        Ok(handovers > 0)
    }

    /// Handovers whose deadline has passed, the longest due first, without the first `skipped`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_handovers(
        &mut self,
        now: Timestamp,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<HandoverId>, Error> {
        self.handover_ids(SELECT_DUE, now.millis(), rows_max, skipped)
            .await
    }

    /// Offered handovers of which the recipient took no notice in time, the oldest first, without the first
    /// `skipped`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn undelivered_handovers(
        &mut self,
        now: Timestamp,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<HandoverId>, Error> {
        self.handover_ids(SELECT_UNDELIVERED, now.millis(), rows_max, skipped)
            .await
    }

    /// Open handovers whose data key is wrapped by a day key of before `day`, without the first `skipped`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn handovers_of_days_before(
        &mut self,
        day: i64,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<HandoverId>, Error> {
        self.handover_ids(SELECT_OF_DAYS_BEFORE, day, rows_max, skipped)
            .await
    }

    async fn handover_ids(
        &mut self,
        statement: Sql,
        bound: i64,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<HandoverId>, Error> {
        let rows = self
            .all(
                statement,
                &[Arg::from(bound), Arg::from(rows_max), Arg::from(skipped)],
            )
            .await?;
        rows.iter().map(handover_id).collect()
    }

    /// Puts a sealed summary or dossier in a handover; an earlier one of the stage is replaced. The
    /// permit is the decision it rests on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_payload(
        &mut self,
        _permit: &Permit,
        id: HandoverId,
        stage: i64,
        sealed: &[u8],
    ) -> Result<(), Error> {
        self.later(
            UPSERT_PAYLOAD,
            &[
                Arg::from(id.bytes().as_slice()),
                Arg::from(stage),
                Arg::from(sealed),
            ],
        )
        .await
    }

    /// The sealed summary or dossier. The permit is the decision on which it is read out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn payload(
        &mut self,
        _permit: &Permit,
        id: HandoverId,
        stage: i64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let row = self
            .optional(
                SELECT_PAYLOAD,
                &[Arg::from(id.bytes().as_slice()), Arg::from(stage)],
            )
            .await?;
        row.map(|row| column(&row, "sealed")).transpose()
    }

    /// Deletes all that waits in a handover.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_payloads(&mut self, id: HandoverId) -> Result<(), Error> {
        self.later(DELETE_PAYLOADS, &[Arg::from(id.bytes().as_slice())])
            .await
    }
}

fn handover_id(row: &Row) -> Result<HandoverId, Error> {
    let octets: Vec<u8> = column(row, "handover_id")?;
    HandoverId::from_slice(&octets).ok_or(Error::Malformed("handover"))
}

fn handover_row(row: &Row) -> Result<HandoverRow, Error> {
    let group: Option<Vec<u8>> = column(row, "group_tag")?;
    let deadline_at: Option<i64> = column(row, "deadline_at")?;
    let opened_at: Option<i64> = column(row, "opened_at")?;
    let undelivered_at: Option<i64> = column(row, "undelivered_at")?;
    let erase_at: Option<i64> = column(row, "erase_at")?;
    Ok(HandoverRow {
        handover_id: handover_id(row)?,
        revision: column(row, "revision")?,
        state: column(row, "state")?,
        sender: Tag::new(fixed(row, "sender_tag")?),
        recipient: Tag::new(fixed(row, "recipient_tag")?),
        purpose: Tag::new(fixed(row, "purpose_tag")?),
        subject_index: fixed(row, "subject_index")?,
        stop_number: column(row, "stop_number")?,
        group_number: column(row, "group_number")?,
        group: group
            .map(|octets| Tag::from_slice(&octets).ok_or(Error::Malformed("handover")))
            .transpose()?,
        entered_at: Timestamp::from_millis(column(row, "entered_at")?),
        deadline_at: deadline_at.map(Timestamp::from_millis),
        remaining_millis: column(row, "remaining_millis")?,
        opened_at: opened_at.map(Timestamp::from_millis),
        undelivered_at: undelivered_at.map(Timestamp::from_millis),
        erase_at: erase_at.map(Timestamp::from_millis),
        day: column(row, "day")?,
        wrapped_key: column(row, "wrapped_key")?,
        body: column(row, "body")?,
    })
}
