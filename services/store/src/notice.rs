//! Notices (kennisgevingen) to those who received something, and their answers.
//!
//! Must never delete a notice: that it was sent, received and answered is what the person is shown.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{HandoverId, NoticeId, Tag};

const INSERT_NOTICE: Sql = sql!(
    "INSERT INTO notice (notice_id, handover_id, recipient_tag, kind, state, \
     sent_at, due_at, received_at, answered_at, body) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL, $8)"
);
const LOCK_NOTICE: Sql = sql!("SELECT notice_id, handover_id, recipient_tag, kind, state, sent_at, due_at, \
     received_at, answered_at, body FROM notice WHERE notice_id = $1", for update);
const UPDATE_NOTICE: Sql = sql!(
    "UPDATE notice SET state = $2, received_at = $3, answered_at = $4, \
     body = $5 WHERE notice_id = $1"
);
const SELECT_NOTICES: Sql = sql!(
    "SELECT notice_id, handover_id, recipient_tag, kind, state, sent_at, \
     due_at, received_at, answered_at, body FROM notice WHERE handover_id = $1 ORDER BY notice_id"
);
const SELECT_NOTICE_PAGE: Sql = sql!(
    "SELECT notice_id, handover_id, recipient_tag, kind, state, sent_at, \
     due_at, received_at, answered_at, body FROM notice \
     WHERE handover_id = $1 AND notice_id > $2 ORDER BY notice_id LIMIT $3"
);
const SELECT_OVERDUE: Sql = sql!(
    "SELECT notice_id FROM notice \
     WHERE answered_at IS NULL AND due_at <= $1 AND state <> $2 \
     ORDER BY due_at, notice_id LIMIT $3 OFFSET $4"
);

const SELECT_OLDEST_DUE: Sql = sql!(
    "SELECT due_at FROM notice WHERE answered_at IS NULL AND due_at <= $1 ORDER BY due_at LIMIT 1"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_NOTICE,
    LOCK_NOTICE,
    UPDATE_NOTICE,
    SELECT_NOTICES,
    SELECT_NOTICE_PAGE,
    SELECT_OVERDUE,
    SELECT_OLDEST_DUE,
];

/// A notice as it lies in the table.
#[derive(Clone, Debug)]
pub struct NoticeRow {
    /// Its id.
    pub notice_id: NoticeId,
    /// The handover it is about.
    pub handover_id: HandoverId,
    /// Tag of who must answer: the recipient of the handover, or the sender that fetched a report.
    pub recipient: Tag,
    /// The number of its kind in `sluis.handover.v1.NoticeKind`.
    pub kind: i64,
    /// The number of its state in `sluis.handover.v1.NoticeState`.
    pub state: i64,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Until when an answer is in time.
    pub due_at: Timestamp,
    /// When it was received.
    pub received_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// The signed answer, sealed; empty before there is one.
    pub body: Vec<u8>,
}

impl Tx<'_> {
    /// Writes a new notice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_notice(&mut self, row: &NoticeRow) -> Result<(), Error> {
        self.later(
            INSERT_NOTICE,
            &[
                Arg::from(row.notice_id.bytes().as_slice()),
                Arg::from(row.handover_id.bytes().as_slice()),
                Arg::from(row.recipient.bytes().as_slice()),
                Arg::from(row.kind),
                Arg::from(row.state),
                Arg::from(row.sent_at.millis()),
                Arg::from(row.due_at.millis()),
                Arg::from(row.body.as_slice()),
            ],
        )
        .await
    }

    /// Locks a notice until commit, and reads it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_notice(&mut self, id: NoticeId) -> Result<Option<NoticeRow>, Error> {
        self.optional(LOCK_NOTICE, &[Arg::from(id.bytes().as_slice())])
            .await?
            .map(|row| notice_row(&row))
            .transpose()
    }

    /// Writes what can change of a notice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_notice(&mut self, row: &NoticeRow) -> Result<(), Error> {
        self.later(
            UPDATE_NOTICE,
            &[
                Arg::from(row.notice_id.bytes().as_slice()),
                Arg::from(row.state),
                Arg::from(row.received_at.map(Timestamp::millis)),
                Arg::from(row.answered_at.map(Timestamp::millis)),
                Arg::from(row.body.as_slice()),
            ],
        )
        .await
    }

    /// All notices about a handover, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notices_of_handover(&mut self, id: HandoverId) -> Result<Vec<NoticeRow>, Error> {
        self.all(SELECT_NOTICES, &[Arg::from(id.bytes().as_slice())])
            .await?
            .iter()
            .map(notice_row)
            .collect()
    }

    /// Notices about a handover, oldest first, from the one after `after` on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notice_page(
        &mut self,
        id: HandoverId,
        after: Option<NoticeId>,
        rows_max: i64,
    ) -> Result<Vec<NoticeRow>, Error> {
        let after = after.map_or([0; 16], |notice| *notice.bytes());
        self.all(
            SELECT_NOTICE_PAGE,
            &[
                Arg::from(id.bytes().as_slice()),
                Arg::from(after.as_slice()),
                Arg::from(rows_max),
            ],
        )
        .await?
        .iter()
        .map(notice_row)
        .collect()
    }

    /// Notices whose answer is due and that are not marked `overdue_state` yet, without the first `skipped`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overdue_notices(
        &mut self,
        now: Timestamp,
        overdue_state: i64,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<NoticeId>, Error> {
        self.all(
            SELECT_OVERDUE,
            &[
                Arg::from(now.millis()),
                Arg::from(overdue_state),
                Arg::from(rows_max),
                Arg::from(skipped),
            ],
        )
        .await?
        .iter()
        .map(notice_id)
        .collect()
    }

    /// When the answer was due that is waited for longest; none when every answer came or may still come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_due_notice(&mut self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let row = self
            .optional(SELECT_OLDEST_DUE, &[Arg::from(now.millis())])
            .await?;
        row.map(|row| Ok(Timestamp::from_millis(column(&row, "due_at")?)))
            .transpose()
    }
}

fn notice_id(row: &Row) -> Result<NoticeId, Error> {
    let octets: Vec<u8> = column(row, "notice_id")?;
    NoticeId::from_slice(&octets).ok_or(Error::Malformed("notice"))
}

fn notice_row(row: &Row) -> Result<NoticeRow, Error> {
    let handover: Vec<u8> = column(row, "handover_id")?;
    let received_at: Option<i64> = column(row, "received_at")?;
    let answered_at: Option<i64> = column(row, "answered_at")?;
    Ok(NoticeRow {
        notice_id: notice_id(row)?,
        handover_id: HandoverId::from_slice(&handover).ok_or(Error::Malformed("notice"))?,
        recipient: Tag::new(fixed(row, "recipient_tag")?),
        kind: column(row, "kind")?,
        state: column(row, "state")?,
        sent_at: Timestamp::from_millis(column(row, "sent_at")?),
        due_at: Timestamp::from_millis(column(row, "due_at")?),
        received_at: received_at.map(Timestamp::from_millis),
        answered_at: answered_at.map(Timestamp::from_millis),
        body: column(row, "body")?,
    })
}
