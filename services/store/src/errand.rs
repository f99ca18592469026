//! What the portal still has to do at the broker: errands of persons, and copies that are not there as they are here.
//!
//! Must never lose an errand before its answer: what deletes one runs in the transaction that keeps what came of it.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;

/// An errand is asked for once: the same one again changes nothing.
const INSERT_ERRAND: Sql = sql!(
    "INSERT INTO errand (errand_id, person_index, stage, tried_at, sealed) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (errand_id) DO NOTHING"
);
/// What was tried in the future was tried before a clock was set back, and does not rest until it is that time again.
const SELECT_DUE: Sql = sql!(
    "SELECT errand_id, person_index, stage, tried_at, sealed FROM errand \
     WHERE stage = $1 AND (tried_at < $2 OR tried_at > $3) ORDER BY tried_at, errand_id LIMIT $4"
);
const SELECT_OF_PERSON: Sql = sql!(
    "SELECT errand_id, person_index, stage, tried_at, sealed FROM errand \
     WHERE person_index = $1 AND errand_id > $2 ORDER BY errand_id LIMIT $3"
);
const SELECT_ERRANDS: Sql =
    sql!("SELECT errand_id FROM errand WHERE errand_id > $1 ORDER BY errand_id LIMIT $2");
const SELECT_ERRAND: Sql = sql!(
    "SELECT errand_id, person_index, stage, tried_at, sealed FROM errand WHERE errand_id = $1"
);
const MARK_TRIED: Sql = sql!("UPDATE errand SET tried_at = $2 WHERE errand_id = $1");
const DELETE_ERRAND: Sql = sql!("DELETE FROM errand WHERE errand_id = $1 AND sealed = $2");
const INSERT_DUE: Sql = sql!(
    "INSERT INTO copy_due (copy_id, kind, name, turn) VALUES ($1, $2, $3, 0) \
     ON CONFLICT (copy_id) DO UPDATE SET turn = copy_due.turn + 1"
);
const SELECT_DUE_COPIES: Sql = sql!(
    "SELECT copy_id, kind, name, turn FROM copy_due WHERE copy_id > $1 ORDER BY copy_id LIMIT $2"
);
const DELETE_ALL_DUE: Sql = sql!("DELETE FROM copy_due");
const DELETE_DUE: Sql = sql!("DELETE FROM copy_due WHERE copy_id = $1 AND turn = $2");
const SELECT_ALL_BLOCKS: Sql = sql!(
    "SELECT person_index, oin_tag FROM block WHERE (person_index, oin_tag) > ($1, $2) \
     ORDER BY person_index, oin_tag LIMIT $3"
);
const SELECT_COPIED: Sql = sql!(
    "SELECT line_id FROM line WHERE copied_until IS NOT NULL AND line_id > $1 \
     ORDER BY line_id LIMIT $2"
);
const SELECT_COPIED_LONG_ENOUGH: Sql = sql!(
    "SELECT line_id FROM line WHERE copied_until IS NOT NULL AND copied_until < $1 \
     ORDER BY copied_until LIMIT $2"
);
const SET_COPIED: Sql = sql!("UPDATE line SET copied_until = $2 WHERE line_id = $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_ERRAND,
    SELECT_DUE,
    SELECT_OF_PERSON,
    SELECT_ERRANDS,
    SELECT_ERRAND,
    MARK_TRIED,
    DELETE_ERRAND,
    INSERT_DUE,
    SELECT_DUE_COPIES,
    DELETE_ALL_DUE,
    DELETE_DUE,
    SELECT_ALL_BLOCKS,
    SELECT_COPIED,
    SELECT_COPIED_LONG_ENOUGH,
    SET_COPIED,
];

/// Statements that must go by an index that is made for them, with its name.
#[cfg(test)]
pub(crate) const BY_INDEX: &[(Sql, &str)] = &[
    (SELECT_COPIED, "line_copies"),
    (SELECT_COPIED_LONG_ENOUGH, "line_copied"),
];

/// What the broker has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrandRow {
    /// Its id: the same for the same errand, so that asking twice is asking once.
    pub errand_id: [u8; 16],
    /// Whose it is.
    pub person_index: [u8; 32],
    /// Whom it needs, by number: 1 the broker only, 2 the key holders too.
    pub stage: i64,
    /// When it was last tried.
    pub tried_at: Timestamp,
    /// What is to be done, sealed to the portal.
    pub sealed: Vec<u8>,
}

/// A row whose copy at the broker may differ from what is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCopy {
    /// The copy's name at the broker.
    pub copy_id: [u8; 16],
    /// Of which table the row is, by number.
    pub kind: i64,
    /// The row's key.
    pub name: Vec<u8>,
    /// How often it changed since it became due.
    pub turn: i64,
}

impl Tx<'_> {
    /// Keeps an errand; the same one from before stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_errand(&mut self, row: &ErrandRow) -> Result<(), Error> {
        self.later(
            INSERT_ERRAND,
            &[
                Arg::from(row.errand_id.as_slice()),
                Arg::from(row.person_index.as_slice()),
                Arg::from(row.stage),
                Arg::from(row.tried_at.millis()),
                Arg::from(row.sealed.as_slice()),
            ],
        )
        .await
    }

    /// Errands of a stage that were last tried before a moment, or behind the present one, those first that have waited
    /// longest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_errands(
        &mut self,
        stage: i64,
        (before, now): (Timestamp, Timestamp),
        rows_max: i64,
    ) -> Result<Vec<ErrandRow>, Error> {
        let args = [
            Arg::from(stage),
            Arg::from(before.millis()),
            Arg::from(now.millis()),
            Arg::from(rows_max),
        ];
        let rows = self.all(SELECT_DUE, &args).await?;
        rows.iter().map(read_errand).collect()
    }

    /// A page of a person's errands, by their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn errands_of(
        &mut self,
        person_index: &[u8; 32],
        after: [u8; 16],
        rows_max: i64,
    ) -> Result<Vec<ErrandRow>, Error> {
        let args = [
            Arg::from(person_index.as_slice()),
            Arg::from(after.as_slice()),
            Arg::from(rows_max),
        ];
        let rows = self.all(SELECT_OF_PERSON, &args).await?;
        rows.iter().map(read_errand).collect()
    }

    /// A page of the ids of everybody's errands, in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn errand_ids(
        &mut self,
        after: [u8; 16],
        rows_max: i64,
    ) -> Result<Vec<[u8; 16]>, Error> {
        let args = [Arg::from(after.as_slice()), Arg::from(rows_max)];
        let rows = self.all(SELECT_ERRANDS, &args).await?;
        rows.iter().map(|row| fixed(row, "errand_id")).collect()
    }

    /// One errand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn errand(&mut self, id: &[u8; 16]) -> Result<Option<ErrandRow>, Error> {
        let row = self
            .optional(SELECT_ERRAND, &[Arg::from(id.as_slice())])
            .await?;
        row.as_ref().map(read_errand).transpose()
    }

    /// Says that an errand was tried, so that others come first the next time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_tried(&mut self, id: &[u8; 16], now: Timestamp) -> Result<(), Error> {
        let args = [Arg::from(id.as_slice()), Arg::from(now.millis())];
        self.later(MARK_TRIED, &args).await
    }

    /// Forgets an errand that was answered; another of the same id, which came meanwhile, stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_errand(&mut self, row: &ErrandRow) -> Result<(), Error> {
        let args = [
            Arg::from(row.errand_id.as_slice()),
            Arg::from(row.sealed.as_slice()),
        ];
        self.later(DELETE_ERRAND, &args).await
    }

    /// Says that a row has changed, so that its copy at the broker is made to follow.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_due_copy(
        &mut self,
        copy_id: &[u8; 16],
        kind: i64,
        name: &[u8],
    ) -> Result<(), Error> {
        let args = [
            Arg::from(copy_id.as_slice()),
            Arg::from(kind),
            Arg::from(name),
        ];
        self.later(INSERT_DUE, &args).await
    }

    /// A page of the copies that have to follow, by their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_copies(
        &mut self,
        after: [u8; 16],
        rows_max: i64,
    ) -> Result<Vec<DueCopy>, Error> {
        let args = [Arg::from(after.as_slice()), Arg::from(rows_max)];
        let rows = self.all(SELECT_DUE_COPIES, &args).await?;
        rows.iter()
            .map(|row| {
                Ok(DueCopy {
                    copy_id: fixed(row, "copy_id")?,
                    kind: column(row, "kind")?,
                    name: column(row, "name")?,
                    turn: column(row, "turn")?,
                })
            })
            .collect()
    }

    /// Says that a copy has followed; one whose row changed meanwhile stays due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_due_copy(&mut self, due: &DueCopy) -> Result<(), Error> {
        let args = [Arg::from(due.copy_id.as_slice()), Arg::from(due.turn)];
        self.later(DELETE_DUE, &args).await
    }

    /// Says that no copy has to follow: what was due is of another time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_due_copies(&mut self) -> Result<(), Error> {
        self.later(DELETE_ALL_DUE, &[]).await
    }

    /// A page of everybody's blocks, by their keys: person and tag.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all_blocks(
        &mut self,
        (person_index, tag): ([u8; 32], [u8; 16]),
        rows_max: i64,
    ) -> Result<Vec<([u8; 32], [u8; 16])>, Error> {
        let args = [
            Arg::from(person_index.as_slice()),
            Arg::from(tag.as_slice()),
            Arg::from(rows_max),
        ];
        let rows = self.all(SELECT_ALL_BLOCKS, &args).await?;
        rows.iter()
            .map(|row| Ok((fixed(row, "person_index")?, fixed(row, "oin_tag")?)))
            .collect()
    }

    /// A page of the lines that have a copy at the broker, by their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn copied_lines(
        &mut self,
        after: [u8; 16],
        rows_max: i64,
    ) -> Result<Vec<[u8; 16]>, Error> {
        let args = [Arg::from(after.as_slice()), Arg::from(rows_max)];
        let rows = self.all(SELECT_COPIED, &args).await?;
        rows.iter().map(|row| fixed(row, "line_id")).collect()
    }

    /// Lines whose copy was to lie at the broker until before a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines_copied_until(
        &mut self,
        before: Timestamp,
        rows_max: i64,
    ) -> Result<Vec<[u8; 16]>, Error> {
        let args = [Arg::from(before.millis()), Arg::from(rows_max)];
        let rows = self.all(SELECT_COPIED_LONG_ENOUGH, &args).await?;
        rows.iter().map(|row| fixed(row, "line_id")).collect()
    }

    /// Says until when a line has a copy; none when it needs none any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_copied(
        &mut self,
        line_id: &[u8; 16],
        until: Option<Timestamp>,
    ) -> Result<(), Error> {
        let args = [
            Arg::from(line_id.as_slice()),
            Arg::from(until.map(Timestamp::millis)),
        ];
        self.later(SET_COPIED, &args).await
    }
}

fn read_errand(row: &Row) -> Result<ErrandRow, Error> {
    Ok(ErrandRow {
        errand_id: fixed(row, "errand_id")?,
        person_index: fixed(row, "person_index")?,
        stage: column(row, "stage")?,
        tried_at: Timestamp::from_millis(column(row, "tried_at")?),
        sealed: column(row, "sealed")?,
    })
}
