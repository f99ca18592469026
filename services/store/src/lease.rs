//! Leases: which process does a kind of work that only one should do.
//!
//! Must never be what keeps two processes from doing the same thing twice: a lease only saves work. Whoever
//! acts looks at the row it acts on, in the transaction in which it does.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;

const LOCK_LEASE: Sql =
    sql!("SELECT holder, term, held_until FROM lease WHERE work = $1", for update);
const SELECT_LEASE: Sql = sql!("SELECT holder, term, held_until FROM lease WHERE work = $1");
const PUT_LEASE: Sql = sql!(
    "INSERT INTO lease (work, holder, term, held_until) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (work) DO UPDATE SET holder = excluded.holder, term = excluded.term, \
     held_until = excluded.held_until"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[LOCK_LEASE, SELECT_LEASE, PUT_LEASE];

/// A lease as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The number that the holding process drew when it started.
    pub holder: [u8; 16],
    /// How often the holder changed, from 1.
    pub term: i64,
    /// Until when it is held, by the holder's clock.
    pub held_until: Timestamp,
}

impl Tx<'_> {
    /// Locks a lease until commit, and reads it; `None` when nobody ever held it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_lease(&mut self, work: &str) -> Result<Option<LeaseRow>, Error> {
        let row = self.optional(LOCK_LEASE, &[Arg::from(work)]).await?;
        row.as_ref().map(lease).transpose()
    }

    /// Reads a lease without locking it; `None` when nobody ever held it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lease(&mut self, work: &str) -> Result<Option<LeaseRow>, Error> {
        let row = self.optional(SELECT_LEASE, &[Arg::from(work)]).await?;
        row.as_ref().map(lease).transpose()
    }

    /// Writes a lease.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_lease(&mut self, work: &str, lease: &LeaseRow) -> Result<(), Error> {
        self.later(
            PUT_LEASE,
            &[
                Arg::from(work),
                Arg::from(lease.holder.as_slice()),
                Arg::from(lease.term),
                Arg::from(lease.held_until.millis()),
            ],
        )
        .await
    }
}

fn lease(row: &Row) -> Result<LeaseRow, Error> {
    Ok(LeaseRow {
        holder: fixed(row, "holder")?,
        term: column(row, "term")?,
        held_until: Timestamp::from_millis(column(row, "held_until")?),
    })
}
