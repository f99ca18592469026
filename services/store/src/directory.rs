//! What is in force: the directory's and the policy set's versions, with the files themselves.
//!
//! Must never put a file in force without keeping it: entries refer to it for as long as they live.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::Tag;

const SELECT_IN_FORCE: Sql = sql!(
    "SELECT directory_version, policy_sha256, \
     (SELECT MAX(restored_at) FROM restoration WHERE opened_at IS NULL OR (NOT EXISTS \
     (SELECT 1 FROM resent WHERE caller_tag = $2 AND resent.restored_at >= restoration.restored_at) \
     AND $2 IS NOT NULL)) AS shut_at, \
     (SELECT found_at FROM unreadable_stop WHERE organisation_tag = $1) AS barred_at \
     FROM in_force WHERE singleton = 1",
    for share of "in_force"
);
const UPSERT_IN_FORCE: Sql = sql!(
    "INSERT INTO in_force (singleton, directory_version, policy_sha256) \
     VALUES (1, $1, $2) ON CONFLICT (singleton) DO UPDATE \
     SET directory_version = excluded.directory_version, policy_sha256 = excluded.policy_sha256"
);
const INSERT_DIRECTORY: Sql = sql!(
    "INSERT INTO directory_file (version, content, signatures, imported_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (version) DO NOTHING"
);
const SELECT_DIRECTORY: Sql =
    sql!("SELECT content, signatures FROM directory_file WHERE version = $1");
const INSERT_POLICY_SET: Sql = sql!(
    "INSERT INTO policy_set (sha256, content, signatures, activated_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (sha256) DO NOTHING"
);
const SELECT_POLICY_SET: Sql = sql!("SELECT content, signatures FROM policy_set WHERE sha256 = $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_IN_FORCE,
    UPSERT_IN_FORCE,
    INSERT_DIRECTORY,
    SELECT_DIRECTORY,
    INSERT_POLICY_SET,
    SELECT_POLICY_SET,
];

/// Who asks what is in force: its organisation and its desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The organisation.
    pub organisation: Tag,
    /// The desk; none where nothing can have been stopped from it.
    pub desk: Option<Tag>,
}

impl Asking {
    /// Both as arguments of a statement.
    pub(crate) fn args(asking: Option<&Self>) -> [Arg<'_>; 2] {
        let desk = asking.and_then(|asking| asking.desk.as_ref());
        [asking.map(|asking| &asking.organisation), desk]
            .map(|tag| Arg::from(tag.map(|tag| tag.bytes().as_slice())))
    }
}

/// What every decision is made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Version of the directory.
    pub directory_version: i64,
    /// SHA-256 of the policy set.
    pub policy_sha256: [u8; 32],
    /// Whether the tables were put back from a backup, and the door has not been opened since, or the asking desk has not
    /// sent again what it had stopped.
    pub is_shut: bool,
    /// Whether something that the asking organisation had stopped could not be read after a restoration, and nobody has
    /// decided about it.
    pub is_barred: bool,
}

/// A signed file as it was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedFile {
    /// Byte for byte as signed.
    pub content: Vec<u8>,
    /// The controllers' signatures, encoded by the caller.
    pub signatures: Vec<u8>,
}

impl Tx<'_> {
    /// What is in force, for whoever asks; `None` in a new database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn in_force(&mut self, asking: Option<Asking>) -> Result<Option<InForce>, Error> {
        let args = Asking::args(asking.as_ref());
        let row = self.optional(SELECT_IN_FORCE, &args).await?;
        row.map(|row| in_force(&row)).transpose()
    }

    /// Puts a directory version and a policy set in force. Opens and shuts no door.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_in_force(&mut self, in_force: InForce) -> Result<(), Error> {
        self.later(
            UPSERT_IN_FORCE,
            &[
                Arg::from(in_force.directory_version),
                Arg::from(in_force.policy_sha256.as_slice()),
            ],
        )
        .await
    }

    /// Keeps a directory file.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_directory(
        &mut self,
        version: i64,
        file: &SignedFile,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_DIRECTORY,
            &[
                Arg::from(version),
                Arg::from(file.content.as_slice()),
                Arg::from(file.signatures.as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// The directory file of this version.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn directory(&mut self, version: i64) -> Result<Option<SignedFile>, Error> {
        let row = self
            .optional(SELECT_DIRECTORY, &[Arg::from(version)])
            .await?;
        row.map(|row| signed_file(&row)).transpose()
    }

    /// Keeps a policy set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_policy_set(
        &mut self,
        sha256: &[u8; 32],
        file: &SignedFile,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_POLICY_SET,
            &[
                Arg::from(sha256.as_slice()),
                Arg::from(file.content.as_slice()),
                Arg::from(file.signatures.as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// The policy set with this digest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn policy_set(&mut self, sha256: &[u8; 32]) -> Result<Option<SignedFile>, Error> {
        let row = self
            .optional(SELECT_POLICY_SET, &[Arg::from(sha256.as_slice())])
            .await?;
        row.map(|row| signed_file(&row)).transpose()
    }
}

pub(crate) fn in_force(row: &Row) -> Result<InForce, Error> {
    Ok(InForce {
        directory_version: column(row, "directory_version")?,
        policy_sha256: fixed(row, "policy_sha256")?,
        is_shut: column::<Option<i64>>(row, "shut_at")?.is_some(),
        is_barred: column::<Option<i64>>(row, "barred_at")?.is_some(),
    })
}

fn signed_file(row: &Row) -> Result<SignedFile, Error> {
    Ok(SignedFile {
        content: column(row, "content")?,
        signatures: column(row, "signatures")?,
    })
}
