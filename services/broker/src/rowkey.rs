//! Rows under a data key of their own, wrapped under the key of the day: link codes and feed lines.
//!
//! Must never seal two rows under one data key, nor keep one in clear.

use crate::Error;
use crate::broker::Broker;
use crate::handover::day_of;
use rules::clock::Timestamp;
use vault::rest::{DataKey, Place};

/// A row as it is stored.
#[derive(Clone, Debug)]
pub struct SealedRow {
    /// Its data key, wrapped.
    pub wrapped_key: Vec<u8>,
    /// Its content, sealed under that key.
    pub sealed: Vec<u8>,
}

fn place<'a>(table: &'static str, row: &'a [u8], column: &'static str) -> Place<'a> {
    Place { table, row, column }
}

/// Seals a row of `table` under a fresh data key, and that under the key of the day of `now`, or of the nearest day
/// that has one: with a clock that is days off nothing is handed over, but a person still stops what they want, and
/// a line of that has to be written.
///
/// # Errors
/// When there is no day key at all or the cipher fails.
pub fn seal(
    broker: &Broker,
    table: &'static str,
    row: &[u8],
    plain: &[u8],
    now: Timestamp,
) -> Result<SealedRow, Error> {
    let key = DataKey::generate();
    let days = broker.keys().days();
    let day = days
        .nearest(day_of(now))
        .ok_or(Error::Vault("finding a day key"))?;
    Ok(SealedRow {
        wrapped_key: day
            .wrap(&place(table, row, "wrapped_key"), &key)
            .map_err(|_| Error::Vault("wrapping a data key"))?,
        sealed: key
            .seal(&place(table, row, "sealed"), plain)
            .map_err(|_| Error::Vault("sealing a row"))?,
    })
}

/// Opens a row of `table`.
///
/// # Errors
/// When it was sealed elsewhere, was changed since, or its day's key is gone.
pub fn open(
    broker: &Broker,
    table: &'static str,
    row: &[u8],
    sealed: &SealedRow,
) -> Result<Vec<u8>, Error> {
    let days = broker.keys().days();
    let key = days
        .unwrap(&place(table, row, "wrapped_key"), &sealed.wrapped_key)
        .map_err(|_| Error::Vault("unwrapping a data key"))?;
    let plain = key
        .open(&place(table, row, "sealed"), &sealed.sealed)
        .map_err(|_| Error::Vault("opening a row"))?;
    Ok(plain.expose().clone())
}
