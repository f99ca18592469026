//! Link codes that wait to be redeemed, and the count of wrong codes.
//!
//! Must never give a code's content to two requests: the first one takes it, and only its repeats get it again.

use crate::sql::{Arg, Sql, column, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{RequestId, Tag};

const INSERT_CODE: Sql = sql!(
    "INSERT INTO link_code (code_sha256, party_tag, expires_at, wrapped_key, \
     sealed) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (code_sha256) DO NOTHING"
);
const TAKE_CODE: Sql = sql!(
    "UPDATE link_code SET taken_by = $4 WHERE code_sha256 = $1 AND party_tag = $2 \
     AND expires_at > $3 AND (taken_by IS NULL OR taken_by = $4) RETURNING wrapped_key, sealed"
);
const DELETE_EXPIRED: Sql = sql!("DELETE FROM link_code WHERE expires_at <= $1");
const INSERT_WRONG: Sql = sql!(
    "INSERT INTO wrong_code (attempt_id, source_tag, time, number) VALUES ($1, $2, $3, \
     (SELECT COALESCE(MAX(number), 0) + 1 FROM wrong_code WHERE source_tag = $2))"
);
const COUNT_WRONG: Sql =
    sql!("SELECT COUNT(*) AS wrong FROM wrong_code WHERE source_tag = $1 AND time > $2");
const DELETE_OLD_WRONG: Sql = sql!("DELETE FROM wrong_code WHERE time <= $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_CODE,
    TAKE_CODE,
    DELETE_EXPIRED,
    INSERT_WRONG,
    COUNT_WRONG,
    DELETE_OLD_WRONG,
];

/// A link code's content.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// Its data key, wrapped under a day key.
    pub wrapped_key: Vec<u8>,
    /// Ciphertext and vouchers, sealed.
    pub sealed: Vec<u8>,
}

impl Tx<'_> {
    /// Keeps a code for one party until it expires; `false` when the code is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_link_code(
        &mut self,
        code_sha256: &[u8; 32],
        party: Tag,
        expires_at: Timestamp,
        row: &LinkRow,
    ) -> Result<bool, Error> {
        let written = self
            .execute(
                INSERT_CODE,
                &[
                    Arg::from(code_sha256.as_slice()),
                    Arg::from(party.bytes().as_slice()),
                    Arg::from(expires_at.millis()),
                    Arg::from(row.wrapped_key.as_slice()),
                    Arg::from(row.sealed.as_slice()),
                ],
            )
            .await?;
        Ok(written == 1)
    }

    /// Takes a code for a request, if it is this party's, has not expired and was taken by no other request.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_link_code(
        &mut self,
        code_sha256: &[u8; 32],
        party: Tag,
        now: Timestamp,
        request: RequestId,
    ) -> Result<Option<LinkRow>, Error> {
        self.optional(
            TAKE_CODE,
            &[
                Arg::from(code_sha256.as_slice()),
                Arg::from(party.bytes().as_slice()),
                Arg::from(now.millis()),
                Arg::from(request.bytes().as_slice()),
            ],
        )
        .await?
        .map(|row| {
            Ok(LinkRow {
                wrapped_key: column(&row, "wrapped_key")?,
                sealed: column(&row, "sealed")?,
            })
        })
        .transpose()
    }

    /// Deletes codes that have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired_link_codes(&mut self, now: Timestamp) -> Result<(), Error> {
        self.later(DELETE_EXPIRED, &[Arg::from(now.millis())]).await
    }

    /// Counts a wrong code against its source, and forgets those before `since`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_wrong_code(
        &mut self,
        attempt: RequestId,
        source: Tag,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<(), Error> {
        self.later(DELETE_OLD_WRONG, &[Arg::from(since.millis())])
            .await?;
        self.later(
            INSERT_WRONG,
            &[
                Arg::from(attempt.bytes().as_slice()),
                Arg::from(source.bytes().as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// How many wrong codes a source tried after a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wrong_codes(&mut self, source: Tag, since: Timestamp) -> Result<i64, Error> {
        let row = self
            .one(
                COUNT_WRONG,
                &[
                    Arg::from(source.bytes().as_slice()),
                    Arg::from(since.millis()),
                ],
            )
            .await?;
        column(&row, "wrong")
    }
}
