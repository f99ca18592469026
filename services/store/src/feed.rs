//! The transparency feed: what the portal has not taken over yet.
//!
//! Must never keep a line after the portal has acknowledged it.

use crate::sql::{Arg, Sql, column, sql};
use crate::{Error, Tx};
use rules::id::EntryId;

const INSERT_LINE: Sql =
    sql!("INSERT INTO feed (line_id, wrapped_key, sealed) VALUES ($1, $2, $3)");
const SELECT_LINES: Sql =
    sql!("SELECT line_id, wrapped_key, sealed FROM feed ORDER BY line_id LIMIT $1");
const DELETE_LINES: Sql = sql!(
    "DELETE FROM feed WHERE line_id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50)"
);
/// How many lines go in one statement.
const DELETED_AT_ONCE: usize = 50;

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[INSERT_LINE, SELECT_LINES, DELETE_LINES];

/// A line as it lies in the table.
#[derive(Clone, Debug)]
pub struct FeedRow {
    /// Its id, which orders it by time.
    pub line_id: EntryId,
    /// Its data key, wrapped under a day key.
    pub wrapped_key: Vec<u8>,
    /// The line, sealed.
    pub sealed: Vec<u8>,
}

impl Tx<'_> {
    /// Writes a line.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_feed_line(&mut self, row: &FeedRow) -> Result<(), Error> {
        self.later(
            INSERT_LINE,
            &[
                Arg::from(row.line_id.bytes().as_slice()),
                Arg::from(row.wrapped_key.as_slice()),
                Arg::from(row.sealed.as_slice()),
            ],
        )
        .await
    }

    /// The oldest lines.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_lines(&mut self, rows_max: i64) -> Result<Vec<FeedRow>, Error> {
        self.all(SELECT_LINES, &[Arg::from(rows_max)])
            .await?
            .iter()
            .map(|row| {
                let octets: Vec<u8> = column(row, "line_id")?;
                Ok(FeedRow {
                    line_id: EntryId::from_slice(&octets).ok_or(Error::Malformed("feed"))?,
                    wrapped_key: column(row, "wrapped_key")?,
                    sealed: column(row, "sealed")?,
                })
            })
            .collect()
    }

    /// Deletes lines; gives how many were there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_feed_lines(&mut self, ids: &[EntryId]) -> Result<u64, Error> {
        let mut deleted = 0;
        for some in ids.chunks(DELETED_AT_ONCE) {
            // The last one once more in each place that is left over.
            let last = some.last().into_iter().cycle();
            let all = some.iter().chain(last).take(DELETED_AT_ONCE);
            let args: Vec<_> = all.map(|id| Arg::from(id.bytes().as_slice())).collect();
            deleted += self.execute(DELETE_LINES, &args).await?;
        }
        Ok(deleted)
    }
}
