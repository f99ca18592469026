//! Reports of what became of completed handovers, while they wait for the sender.
//!
//! Must never write or read one out without the permit of the decision it rests on.

use crate::sql::{Arg, Sql, column, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::HandoverId;
use rules::policy::Permit;

const UPSERT: Sql = sql!(
    "INSERT INTO report (handover_id, gone_at, wrapped_key, sealed) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (handover_id) DO UPDATE SET gone_at = excluded.gone_at, \
     wrapped_key = excluded.wrapped_key, sealed = excluded.sealed"
);
const SELECT: Sql =
    sql!("SELECT gone_at, wrapped_key, sealed FROM report WHERE handover_id = $1 AND gone_at > $2");
const SHORTEN: Sql = sql!("UPDATE report SET gone_at = $2 WHERE handover_id = $1 AND gone_at > $2");
const DELETE: Sql = sql!("DELETE FROM report WHERE handover_id = $1");
const COUNT_GONE: Sql = sql!(
    "SELECT COUNT(*) AS reports FROM (SELECT 1 FROM report WHERE gone_at <= $1 LIMIT $2) AS found"
);
// Asked of the row itself as well: while this waited for it, a new report may have taken its place.
const DELETE_GONE: Sql = sql!(
    "DELETE FROM report WHERE gone_at <= $1 AND handover_id IN \
     (SELECT handover_id FROM report WHERE gone_at <= $1 ORDER BY gone_at LIMIT $2)"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[UPSERT, SELECT, SHORTEN, DELETE, COUNT_GONE, DELETE_GONE];

/// A report as it lies in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// From when on it is gone: nobody reads it any more, and the next sweep deletes it.
    pub gone_at: Timestamp,
    /// Its own data key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// Manifest and sealed fields, sealed under that key.
    pub sealed: Vec<u8>,
}

impl Tx<'_> {
    /// Puts a handover's report; an earlier one is replaced. The permit is the decision it rests on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_report(
        &mut self,
        _permit: &Permit,
        id: HandoverId,
        row: &ReportRow,
    ) -> Result<(), Error> {
        let args = [
            Arg::from(id.bytes().as_slice()),
            Arg::from(row.gone_at.millis()),
            Arg::from(row.wrapped_key.as_slice()),
            Arg::from(row.sealed.as_slice()),
        ];
        self.later(UPSERT, &args).await
    }

    /// A handover's report, unless it is gone by `now`. The permit is the decision on which it is read out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn report(
        &mut self,
        _permit: &Permit,
        id: HandoverId,
        now: Timestamp,
    ) -> Result<Option<ReportRow>, Error> {
        let args = [Arg::from(id.bytes().as_slice()), Arg::from(now.millis())];
        let row = self.optional(SELECT, &args).await?;
        row.map(|row| {
            Ok(ReportRow {
                gone_at: Timestamp::from_millis(column(&row, "gone_at")?),
                wrapped_key: column(&row, "wrapped_key")?,
                sealed: column(&row, "sealed")?,
            })
        })
        .transpose()
    }

    /// Lets a handover's report be gone at `gone_at`, if it would not be before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shorten_report(
        &mut self,
        id: HandoverId,
        gone_at: Timestamp,
    ) -> Result<(), Error> {
        let args = [
            Arg::from(id.bytes().as_slice()),
            Arg::from(gone_at.millis()),
        ];
        self.later(SHORTEN, &args).await
    }

    /// Deletes a handover's report with its key, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_report(&mut self, id: HandoverId) -> Result<(), Error> {
        let args = [Arg::from(id.bytes().as_slice())];
        self.later(DELETE, &args).await
    }

    /// How many reports are gone by `now` and not deleted yet, counted up to `most`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_gone_reports(&mut self, now: Timestamp, most: i64) -> Result<u64, Error> {
        let args = [Arg::from(now.millis()), Arg::from(most)];
        let reports: i64 = column(&self.one(COUNT_GONE, &args).await?, "reports")?;
        Ok(u64::try_from(reports).unwrap_or(0))
    }

    /// Deletes reports that are gone by `now`, at most so many; gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_gone_reports(&mut self, now: Timestamp, most: i64) -> Result<u64, Error> {
        let args = [Arg::from(now.millis()), Arg::from(most)];
        self.execute(DELETE_GONE, &args).await
    }
}
