//! Outcomes of changing calls, by the caller's request id, so that a repeat gets the same answer.
//!
//! Must never hold what a call released: code, ids, revision and entry id only.

use crate::sql::{Arg, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{RequestId, Tag};

const SELECT_OUTCOME: Sql = sql!(
    "SELECT body_sha256, outcome FROM request_outcome \
     WHERE caller_tag = $1 AND request_id = $2"
);
const INSERT_OUTCOME: Sql = sql!(
    "INSERT INTO request_outcome \
     (caller_tag, request_id, body_sha256, outcome, created_at) VALUES ($1, $2, $3, $4, $5)"
);
const DELETE_OLD_OUTCOMES: Sql = sql!("DELETE FROM request_outcome WHERE created_at < $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[SELECT_OUTCOME, INSERT_OUTCOME, DELETE_OLD_OUTCOMES];

/// A stored outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOutcome {
    /// Digest of the request without order, ciphertexts and signatures.
    pub body_sha256: [u8; 32],
    /// The outcome, sealed.
    pub outcome: Vec<u8>,
}

impl Tx<'_> {
    /// The outcome of this caller's request, if it was made before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_outcome(
        &mut self,
        caller: Tag,
        request_id: RequestId,
    ) -> Result<Option<StoredOutcome>, Error> {
        let row = self
            .optional(
                SELECT_OUTCOME,
                &[
                    Arg::from(caller.bytes().as_slice()),
                    Arg::from(request_id.bytes().as_slice()),
                ],
            )
            .await?;
        row.map(|row| {
            Ok(StoredOutcome {
                body_sha256: fixed(&row, "body_sha256")?,
                outcome: column(&row, "outcome")?,
            })
        })
        .transpose()
    }

    /// Keeps the outcome of a request.
    ///
    /// # Errors
    /// When the database fails, or the caller used this id before.
    pub async fn insert_request_outcome(
        &mut self,
        caller: Tag,
        request_id: RequestId,
        stored: &StoredOutcome,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.execute(
            INSERT_OUTCOME,
            &[
                Arg::from(caller.bytes().as_slice()),
                Arg::from(request_id.bytes().as_slice()),
                Arg::from(stored.body_sha256.as_slice()),
                Arg::from(stored.outcome.as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await?;
        Ok(())
    }

    /// Forgets outcomes from before `moment`; gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_request_outcomes_before(
        &mut self,
        moment: Timestamp,
    ) -> Result<u64, Error> {
        let done = self
            .execute(DELETE_OLD_OUTCOMES, &[Arg::from(moment.millis())])
            .await?;
        Ok(done)
    }
}
