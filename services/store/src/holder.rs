//! A key holder's rows: its sealed domain secrets, the contexts it helped to open, reserved quotas, when
//! orders were carried out, and its own copy of the directory.
//!
//! Must never hold anything about a person: no order, no point of one, no handle passes through here.

use crate::directory::SignedFile;
use crate::sql::{Arg, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::Oin;

const SELECT_DOMAIN_SECRET: Sql = sql!("SELECT sealed FROM domain_secret WHERE domain = $1");
/// A secret is drawn once: whoever comes second reads the first one back.
const INSERT_DOMAIN_SECRET: Sql = sql!(
    "INSERT INTO domain_secret (domain, sealed, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (domain) DO NOTHING"
);
const SELECT_CONTEXTS: Sql = sql!("SELECT label, public_key FROM context ORDER BY label");
const SELECT_CONTEXT: Sql = sql!("SELECT public_key FROM context WHERE label = $1");
const INSERT_CONTEXT: Sql = sql!(
    "INSERT INTO context (label, public_key, closed_at) \
     VALUES ($1, $2, $3) ON CONFLICT (label) DO NOTHING"
);
/// What was reserved from a later day counts too: a clock that is set back finds what was taken before.
const SELECT_QUOTA: Sql = sql!(
    "SELECT CAST(COALESCE(SUM(reserved), 0) AS BIGINT) AS reserved FROM quota \
     WHERE issuer = $1 AND kind = $2 AND day >= $3"
);
const UPSERT_QUOTA: Sql = sql!(
    "INSERT INTO quota (issuer, kind, day, reserved) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (issuer, kind, day) DO UPDATE \
     SET reserved = quota.reserved + excluded.reserved"
);
const SELECT_CARRIED: Sql = sql!("SELECT began, ended FROM carried ORDER BY ended, began");
const UPSERT_CARRIED: Sql = sql!(
    "INSERT INTO carried (began, ended) VALUES ($1, $2) ON CONFLICT (began) DO UPDATE SET ended = \
     CASE WHEN carried.ended < excluded.ended THEN excluded.ended ELSE carried.ended END"
);
const DELETE_CARRIED: Sql = sql!("DELETE FROM carried WHERE began = $1");
const SELECT_NEWEST_DIRECTORY: Sql = sql!(
    "SELECT version, content, signatures FROM directory_file \
     ORDER BY version DESC LIMIT 1"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_DOMAIN_SECRET,
    INSERT_DOMAIN_SECRET,
    SELECT_CONTEXTS,
    SELECT_CONTEXT,
    INSERT_CONTEXT,
    SELECT_QUOTA,
    UPSERT_QUOTA,
    SELECT_CARRIED,
    UPSERT_CARRIED,
    DELETE_CARRIED,
    SELECT_NEWEST_DIRECTORY,
];

/// A context that was opened: its label and its public key (32 bytes, RFC 9496).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRow {
    /// The label.
    pub label: String,
    /// The final point of the walk.
    pub public_key: [u8; 32],
}

/// A span of time in which orders began that were carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// No later than the first of them began.
    pub began: Timestamp,
    /// Later than every one of them began.
    pub ended: Timestamp,
}

/// From which quota a reservation is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaKey {
    /// The issuing organisation.
    pub issuer: Oin,
    /// Which quota, by its code.
    pub kind: &'static str,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
}

impl Tx<'_> {
    /// The sealed secret of a domain.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn domain_secret(&mut self, domain: &str) -> Result<Option<Vec<u8>>, Error> {
        let row = self
            .optional(SELECT_DOMAIN_SECRET, &[Arg::from(domain)])
            .await?;
        row.map(|row| column(&row, "sealed")).transpose()
    }

    /// Keeps the sealed secret of a domain; an earlier one stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_domain_secret(
        &mut self,
        domain: &str,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_DOMAIN_SECRET,
            &[
                Arg::from(domain),
                Arg::from(sealed),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// Every context that was opened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contexts(&mut self) -> Result<Vec<ContextRow>, Error> {
        self.all(SELECT_CONTEXTS, &[])
            .await?
            .iter()
            .map(|row| {
                Ok(ContextRow {
                    label: column(row, "label")?,
                    public_key: fixed(row, "public_key")?,
                })
            })
            .collect()
    }

    /// The public key of one context.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn context(&mut self, label: &str) -> Result<Option<[u8; 32]>, Error> {
        let row = self.optional(SELECT_CONTEXT, &[Arg::from(label)]).await?;
        row.map(|row| fixed(&row, "public_key")).transpose()
    }

    /// Keeps the final point of a context; an earlier one stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_context(
        &mut self,
        label: &str,
        public_key: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_CONTEXT,
            &[
                Arg::from(label),
                Arg::from(public_key.as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// How many orders have been reserved from a quota on its day and all later ones; 0 when none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quota_reserved(&mut self, key: &QuotaKey) -> Result<i64, Error> {
        let row = self
            .one(
                SELECT_QUOTA,
                &[
                    Arg::from(key.issuer.as_str()),
                    Arg::from(key.kind),
                    Arg::from(key.day),
                ],
            )
            .await?;
        column(&row, "reserved")
    }

    /// Reserves so many more orders from a quota.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve_quota(&mut self, key: &QuotaKey, reserved: i64) -> Result<(), Error> {
        self.later(
            UPSERT_QUOTA,
            &[
                Arg::from(key.issuer.as_str()),
                Arg::from(key.kind),
                Arg::from(key.day),
                Arg::from(reserved),
            ],
        )
        .await
    }

    /// Every span in which orders were carried out, the one that ended first before the others.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carried(&mut self) -> Result<Vec<Carried>, Error> {
        let rows = self.all(SELECT_CARRIED, &[]).await?;
        let moment = |row, name| column(row, name).map(Timestamp::from_millis);
        rows.iter()
            .map(|row| {
                Ok(Carried {
                    began: moment(row, "began")?,
                    ended: moment(row, "ended")?,
                })
            })
            .collect()
    }

    /// Keeps a span; the one that began with it ends no earlier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_carried(&mut self, span: Carried) -> Result<(), Error> {
        let args = [span.began.millis(), span.ended.millis()].map(Arg::from);
        self.later(UPSERT_CARRIED, &args).await
    }

    /// Forgets the span that began then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_carried(&mut self, began: Timestamp) -> Result<(), Error> {
        self.later(DELETE_CARRIED, &[Arg::from(began.millis())])
            .await
    }

    /// The directory file with the highest version, and that version.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_directory(&mut self) -> Result<Option<(i64, SignedFile)>, Error> {
        let row = self.optional(SELECT_NEWEST_DIRECTORY, &[]).await?;
        row.map(|row| {
            let file = SignedFile {
                content: column(&row, "content")?,
                signatures: column(&row, "signatures")?,
            };
            Ok((column(&row, "version")?, file))
        })
        .transpose()
    }
}
