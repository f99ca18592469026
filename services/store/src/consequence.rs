//! What follows from a stop, an objection or a release and is not done yet, oldest first for each person or group.
//!
//! Must never be what a decision rests on: that is the number on the person's row. A row here only says that keys,
//! inboxes and notices still have to follow.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::HandoverId;

const INSERT: Sql = sql!(
    "INSERT INTO consequence (about, number, cause, ends_below, happened_at, behind, at_once) \
     VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM consequence WHERE about = $1), $2, $3, $4, $5, $6)"
);
const SELECT_WAITING: Sql = sql!(
    "SELECT about, MIN(happened_at) AS since FROM consequence WHERE about > $2 \
     GROUP BY about ORDER BY about LIMIT $1"
);
const LOCK_FIRST: Sql = sql!("SELECT about, number, cause, ends_below, happened_at, behind, at_once FROM consequence \
     WHERE about = $1 ORDER BY number LIMIT 1", for update);
/// The one that ended what was made under a number: the first that ends it.
const SELECT_THAT_ENDED: Sql = sql!(
    "SELECT about, number, cause, ends_below, happened_at, behind, at_once FROM consequence \
     WHERE about = $1 AND ends_below > $2 ORDER BY number LIMIT 1"
);
const MOVE_ON: Sql = sql!("UPDATE consequence SET behind = $3 WHERE about = $1 AND number = $2");
const DELETE: Sql = sql!("DELETE FROM consequence WHERE about = $1 AND number = $2");
const SELECT_OLDEST: Sql = sql!("SELECT happened_at FROM consequence ORDER BY happened_at LIMIT 1");
const SELECT_OF_SUBJECT: Sql = sql!(
    "SELECT handover_id FROM handover WHERE subject_index = $1 AND handover_id > $2 \
     AND (wrapped_key IS NOT NULL OR opened_at IS NOT NULL) ORDER BY handover_id LIMIT $3"
);
const SELECT_OF_GROUP: Sql = sql!(
    "SELECT handover_id FROM handover WHERE group_tag = $1 AND handover_id > $2 \
     AND wrapped_key IS NOT NULL ORDER BY handover_id LIMIT $3"
);
const COUNT_TO_FOLLOW: Sql = sql!(
    "SELECT COUNT(CASE WHEN wrapped_key IS NOT NULL AND stop_number = $2 THEN 1 END) AS open, \
     COUNT(*) AS concerned FROM handover \
     WHERE subject_index = $1 AND (wrapped_key IS NOT NULL OR opened_at IS NOT NULL)"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT,
    SELECT_WAITING,
    LOCK_FIRST,
    SELECT_THAT_ENDED,
    MOVE_ON,
    DELETE,
    SELECT_OLDEST,
    SELECT_OF_SUBJECT,
    SELECT_OF_GROUP,
    COUNT_TO_FOLLOW,
];

/// A consequence as it lies in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsequenceRow {
    /// Whose handovers are concerned: the index of a person's row (32 octets), or a group's tag (16).
    pub about: Vec<u8>,
    /// Its place among those that wait for this person or group.
    pub number: i64,
    /// The number of its cause.
    pub cause: i64,
    /// What was made under a lower number has ended by it; 0 when it ends nothing.
    pub ends_below: i64,
    /// When the stop, the objection or the release happened.
    pub happened_at: Timestamp,
    /// The last handover that was dealt with; zeros before the first.
    pub behind: [u8; 16],
    /// The handover that was dealt with in the stop's own transaction, if there was one.
    pub at_once: Option<HandoverId>,
}

/// How many handovers a stop concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    /// Open ones, which it ends.
    pub open: i64,
    /// Those and the ended ones of which something was opened: each is dealt with.
    pub all: i64,
}

impl Tx<'_> {
    /// Writes that something has to follow. The row of the person or the group must be locked: its own number
    /// comes from those that wait already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_consequence(
        &mut self,
        about: &[u8],
        (cause, ends_below): (i64, i64),
        (happened_at, at_once): (Timestamp, Option<HandoverId>),
    ) -> Result<(), Error> {
        self.execute(
            INSERT,
            &[
                Arg::from(about),
                Arg::from(cause),
                Arg::from(ends_below),
                Arg::from(happened_at.millis()),
                Arg::from([0; 16].as_slice()),
                Arg::from(at_once.as_ref().map(|id| id.bytes().as_slice())),
            ],
        )
        .await?;
        Ok(())
    }

    /// About whom something waits and since when: each once, those behind one, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_consequences(
        &mut self,
        rows_max: i64,
        behind: &[u8],
    ) -> Result<Vec<(Vec<u8>, Timestamp)>, Error> {
        let rows = self
            .all(SELECT_WAITING, &[Arg::from(rows_max), Arg::from(behind)])
            .await?;
        rows.iter()
            .map(|row| {
                let since = Timestamp::from_millis(column(row, "since")?);
                Ok((column(row, "about")?, since))
            })
            .collect()
    }

    /// Locks what has to be done first for this person or group, until commit, and reads it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_first_consequence(
        &mut self,
        about: &[u8],
    ) -> Result<Option<ConsequenceRow>, Error> {
        let row = self.optional(LOCK_FIRST, &[Arg::from(about)]).await?;
        row.map(|row| consequence_row(&row)).transpose()
    }

    /// What ended a handover that was made under `made_under` and whose own row does not say it yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consequence_that_ended(
        &mut self,
        about: &[u8],
        made_under: i64,
    ) -> Result<Option<ConsequenceRow>, Error> {
        let args = [Arg::from(about), Arg::from(made_under)];
        let row = self.optional(SELECT_THAT_ENDED, &args).await?;
        row.map(|row| consequence_row(&row)).transpose()
    }

    /// Remembers up to where a consequence was done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_consequence_on(
        &mut self,
        row: &ConsequenceRow,
        behind: HandoverId,
    ) -> Result<(), Error> {
        let behind = Arg::from(behind.bytes().as_slice());
        let args = [
            Arg::from(row.about.as_slice()),
            Arg::from(row.number),
            behind,
        ];
        self.later(MOVE_ON, &args).await
    }

    /// A consequence is done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_consequence(&mut self, row: &ConsequenceRow) -> Result<(), Error> {
        let args = [Arg::from(row.about.as_slice()), Arg::from(row.number)];
        self.later(DELETE, &args).await
    }

    /// Since when the oldest consequence waits; none when none does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_consequence(&mut self) -> Result<Option<Timestamp>, Error> {
        let row = self.optional(SELECT_OLDEST, &[]).await?;
        row.map(|row| Ok(Timestamp::from_millis(column(&row, "happened_at")?)))
            .transpose()
    }

    /// The next handovers behind a place that a consequence concerns: a person's open ones and those of which
    /// something was opened, or a group's open ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn concerned_handovers(
        &mut self,
        row: &ConsequenceRow,
        rows_max: i64,
    ) -> Result<Vec<HandoverId>, Error> {
        let statement = if row.about.len() == SUBJECT_BYTES {
            SELECT_OF_SUBJECT
        } else {
            SELECT_OF_GROUP
        };
        let args = [
            Arg::from(row.about.as_slice()),
            Arg::from(row.behind.as_slice()),
            Arg::from(rows_max),
        ];
        let rows = self.all(statement, &args).await?;
        rows.iter()
            .map(|row| {
                let octets: Vec<u8> = column(row, "handover_id")?;
                HandoverId::from_slice(&octets).ok_or(Error::Malformed("handover"))
            })
            .collect()
    }

    /// How many handovers of a person a stop concerns; `number` is the person's stop number before it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_concerned(
        &mut self,
        index: &[u8; 32],
        number: i64,
    ) -> Result<Concerned, Error> {
        let args = [Arg::from(index.as_slice()), Arg::from(number)];
        let row = self.one(COUNT_TO_FOLLOW, &args).await?;
        Ok(Concerned {
            open: column(&row, "open")?,
            all: column(&row, "concerned")?,
        })
    }
}

/// Octets of the index of a person's row; a group's tag is shorter.
const SUBJECT_BYTES: usize = 32;

fn consequence_row(row: &Row) -> Result<ConsequenceRow, Error> {
    let at_once: Option<Vec<u8>> = column(row, "at_once")?;
    Ok(ConsequenceRow {
        about: column(row, "about")?,
        number: column(row, "number")?,
        cause: column(row, "cause")?,
        ends_below: column(row, "ends_below")?,
        happened_at: Timestamp::from_millis(column(row, "happened_at")?),
        behind: fixed(row, "behind")?,
        at_once: at_once
            .map(|octets| HandoverId::from_slice(&octets).ok_or(Error::Malformed("consequence")))
            .transpose()?,
    })
}
