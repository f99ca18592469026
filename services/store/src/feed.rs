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
const DELETE_LINE: Sql = sql!("DELETE FROM feed WHERE line_id = $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[INSERT_LINE, SELECT_LINES, DELETE_LINE];

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
        self.execute(
            INSERT_LINE,
            &[
                Arg::from(row.line_id.bytes().as_slice()),
                Arg::from(row.wrapped_key.as_slice()),
                Arg::from(row.sealed.as_slice()),
            ],
        )
        .await?;
        Ok(())
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

    /// Deletes a line; `false` when it was gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_feed_line(&mut self, id: EntryId) -> Result<bool, Error> {
        let deleted = self
            .execute(DELETE_LINE, &[Arg::from(id.bytes().as_slice())])
            .await?;
        Ok(deleted == 1)
    }
}
