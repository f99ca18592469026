//! Outcomes of changing calls, by the caller's request id, so that a repeat gets the same answer.
//!
//! Must never hold what a call released: code, ids, revision and entry id only.

use crate::directory::{Asking, InForce, in_force};
use crate::sql::{Arg, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{RequestId, Tag};

const SELECT_IN_FORCE_AND_OUTCOME: Sql = sql!(
    "SELECT directory_version, policy_sha256, \
     (SELECT MAX(restored_at) FROM restoration WHERE opened_at IS NULL OR (NOT EXISTS \
     (SELECT 1 FROM resent WHERE caller_tag = $4 AND resent.restored_at >= restoration.restored_at) \
     AND $4 IS NOT NULL)) AS shut_at, \
     (SELECT found_at FROM unreadable_stop WHERE organisation_tag = $3) AS barred_at, \
     body_sha256, outcome FROM in_force \
     LEFT JOIN request_outcome ON caller_tag = $1 AND request_id = $2 WHERE singleton = 1",
    for share of "in_force"
);
const INSERT_OUTCOME: Sql = sql!(
    "INSERT INTO request_outcome \
     (caller_tag, request_id, body_sha256, outcome, created_at) VALUES ($1, $2, $3, $4, $5)"
);
const DELETE_OLD_OUTCOMES: Sql = sql!(
    "DELETE FROM request_outcome WHERE (caller_tag, request_id) IN \
     (SELECT caller_tag, request_id FROM request_outcome AS old \
     WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_IN_FORCE_AND_OUTCOME,
    INSERT_OUTCOME,
    DELETE_OLD_OUTCOMES,
];

/// A stored outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOutcome {
    /// Digest of the request without order, ciphertexts and signatures.
    pub body_sha256: [u8; 32],
    /// The outcome, sealed.
    pub outcome: Vec<u8>,
}

impl Tx<'_> {
    /// What is in force for whoever asks, and the outcome of a caller's request if it was made before: one round trip for
    /// the two things that every changing call begins with. `None` in a new database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn in_force_and_outcome(
        &mut self,
        (asking, caller): (Option<Asking>, Tag),
        request_id: RequestId,
    ) -> Result<Option<(InForce, Option<StoredOutcome>)>, Error> {
        let [organisation, desk] = Asking::args(asking.as_ref());
        let row = self
            .optional(
                SELECT_IN_FORCE_AND_OUTCOME,
                &[
                    Arg::from(caller.bytes().as_slice()),
                    Arg::from(request_id.bytes().as_slice()),
                    organisation,
                    desk,
                ],
            )
            .await?;
        row.map(|row| {
            let outcome: Option<Vec<u8>> = column(&row, "outcome")?;
            let stored = outcome.map(|outcome| {
                Ok::<_, Error>(StoredOutcome {
                    body_sha256: fixed(&row, "body_sha256")?,
                    outcome,
                })
            });
            Ok((in_force(&row)?, stored.transpose()?))
        })
        .transpose()
    }

    /// The outcome of this caller's request, if it was made before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_outcome(
        &mut self,
        caller: Tag,
        request_id: RequestId,
    ) -> Result<Option<StoredOutcome>, Error> {
        let found = self
            .in_force_and_outcome((None, caller), request_id)
            .await?;
        Ok(found.and_then(|(_, stored)| stored))
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
        self.later(
            INSERT_OUTCOME,
            &[
                Arg::from(caller.bytes().as_slice()),
                Arg::from(request_id.bytes().as_slice()),
                Arg::from(stored.body_sha256.as_slice()),
                Arg::from(stored.outcome.as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// Forgets outcomes from before `moment`, so many at most; gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_request_outcomes_before(
        &mut self,
        moment: Timestamp,
        rows_max: i64,
    ) -> Result<u64, Error> {
        let args = [Arg::from(moment.millis()), Arg::from(rows_max)];
        self.execute(DELETE_OLD_OUTCOMES, &args).await
    }
}
