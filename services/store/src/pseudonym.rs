//! The broker's rows about pseudonyms: its own context keys, and one row for each person in each
//! relation, found by a keyed index.
//!
//! Must never hold a handle or a key outside its seal.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{ConsentId, Tag};

const SELECT_CONTEXT_KEY: Sql =
    sql!("SELECT public_key, sealed_key FROM context_key WHERE label = $1");
const INSERT_CONTEXT_KEY: Sql = sql!(
    "INSERT INTO context_key (label, public_key, sealed_key, opened_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (label) DO NOTHING"
);
const UPSERT_SUBJECT: Sql = sql!(
    "INSERT INTO relation_subject \
     (subject_index, relation_tag, sealed_handle, objected_at, restricted_at, created_at) \
     VALUES ($1, $2, $3, NULL, NULL, $4) ON CONFLICT (subject_index) DO NOTHING"
);
const LOCK_SUBJECT: Sql = sql!("SELECT relation_tag, objected_at, restricted_at, standing_consent_id, \
     stop_number AS subject_stop_number, lines_day, sender_lines, recipient_lines, folded \
     FROM relation_subject \
     WHERE subject_index = $1", for update);
const LOCK_SUBJECT_OF_CONSENT: Sql = sql!("SELECT relation_tag, objected_at, restricted_at, standing_consent_id, \
     stop_number AS subject_stop_number, lines_day, sender_lines, recipient_lines, folded \
     FROM relation_subject \
     WHERE subject_index = (SELECT subject_index FROM consent WHERE consent_id = $1)", for update);
const SELECT_HANDLE: Sql =
    sql!("SELECT relation_tag, sealed_handle FROM relation_subject WHERE subject_index = $1");
const RAISE_STOP: Sql =
    sql!("UPDATE relation_subject SET stop_number = stop_number + 1 WHERE subject_index = $1");
const UPDATE_SUBJECT_FLAGS: Sql = sql!(
    "UPDATE relation_subject \
     SET objected_at = $2, restricted_at = $3 WHERE subject_index = $1"
);

const UPDATE_LINES: Sql = sql!(
    "UPDATE relation_subject SET lines_day = $2, sender_lines = $3, recipient_lines = $4, folded = $5 \
     WHERE subject_index = $1"
);
const FOLD_LINES: Sql =
    sql!("UPDATE relation_subject SET folded = $2, folded_line = $3 WHERE subject_index = $1");
const SELECT_FOLDED: Sql = sql!(
    "SELECT subject_index FROM relation_subject WHERE folded > 0 AND lines_day < $1 \
     ORDER BY lines_day LIMIT $2 OFFSET $3"
);
const SELECT_FOLDED_LINE: Sql = sql!("SELECT folded_line FROM relation_subject \
     WHERE subject_index = $1 AND folded > 0", for update);

/// How often a person's row is made before it is locked.
const MAKE_ATTEMPTS_MAX: u32 = 3;

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_CONTEXT_KEY,
    INSERT_CONTEXT_KEY,
    UPSERT_SUBJECT,
    LOCK_SUBJECT,
    LOCK_SUBJECT_OF_CONSENT,
    SELECT_HANDLE,
    RAISE_STOP,
    UPDATE_SUBJECT_FLAGS,
    UPDATE_LINES,
    FOLD_LINES,
    SELECT_FOLDED,
    SELECT_FOLDED_LINE,
];

/// One of the broker's context keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextKeyRow {
    /// The public key.
    pub public_key: [u8; 32],
    /// The secret key, sealed.
    pub sealed_key: Vec<u8>,
}

/// What a decision about a person in a relation rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectRow {
    /// Tag of the relation.
    pub relation_tag: Tag,
    /// Since when an objection is pending.
    pub objected_at: Option<Timestamp>,
    /// Since when processing is restricted.
    pub restricted_at: Option<Timestamp>,
    /// The consent record that decisions look at.
    pub consent: Option<ConsentId>,
    /// How often the person stopped something in this relation, or an objection was upheld. Only rises. What was
    /// made under another number has ended.
    pub stop_number: i64,
    /// The lines that the two sides have caused on the day of the last one.
    pub lines: Lines,
}

/// Lines to a person and to inboxes that the two sides of a relation have caused on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The day in Amsterdam, as days since 1970-01-01.
    pub day: i64,
    /// How many the sender has.
    pub by_sender: i64,
    /// How many the recipient has.
    pub by_recipient: i64,
    /// How many more were refused; the person is told once of all.
    pub folded: i64,
}

impl Tx<'_> {
    /// The broker's key for a context.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn context_key(&mut self, label: &str) -> Result<Option<ContextKeyRow>, Error> {
        let row = self
            .optional(SELECT_CONTEXT_KEY, &[Arg::from(label)])
            .await?;
        row.map(|row| {
            Ok(ContextKeyRow {
                public_key: fixed(&row, "public_key")?,
                sealed_key: column(&row, "sealed_key")?,
            })
        })
        .transpose()
    }

    /// Keeps the broker's key for a context; an earlier one stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_context_key(
        &mut self,
        label: &str,
        key: &ContextKeyRow,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_CONTEXT_KEY,
            &[
                Arg::from(label),
                Arg::from(key.public_key.as_slice()),
                Arg::from(key.sealed_key.as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// Makes sure that there is a row for this person in this relation, known or not, and locks it as
    /// [`Tx::lock_subject`] does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn make_and_lock_subject(
        &mut self,
        index: &[u8; 32],
        relation: Tag,
        sealed_handle: &[u8],
        now: Timestamp,
    ) -> Result<SubjectRow, Error> {
        // On PostgreSQL a row that is there may be erased before it is locked; the next one is ours.
        for _ in 0..MAKE_ATTEMPTS_MAX {
            self.later(
                UPSERT_SUBJECT,
                &[
                    Arg::from(index.as_slice()),
                    Arg::from(relation.bytes().as_slice()),
                    Arg::from(sealed_handle),
                    Arg::from(now.millis()),
                ],
            )
            .await?;
            if let Some(locked) = self.lock_subject(index).await? {
                return Ok(locked);
            }
        }
        Err(Error::Malformed("relation_subject"))
    }

    /// Locks the row of this person in this relation against change until commit, and reads it. It is the
    /// first lock that every deciding command takes, so that none waits for another in a circle.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_subject(&mut self, index: &[u8; 32]) -> Result<Option<SubjectRow>, Error> {
        self.lock_by(LOCK_SUBJECT, index).await
    }

    /// The same for the person of a consent record; `None` when there is no such record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_subject_of_consent(
        &mut self,
        id: ConsentId,
    ) -> Result<Option<SubjectRow>, Error> {
        self.lock_by(LOCK_SUBJECT_OF_CONSENT, id.bytes()).await
    }

    async fn lock_by(&mut self, sql: Sql, key: &[u8]) -> Result<Option<SubjectRow>, Error> {
        let row = self.optional(sql, &[Arg::from(key)]).await?;
        row.map(|row| subject_row(&row)).transpose()
    }

    /// Writes how many lines the two sides have caused.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_lines(&mut self, index: &[u8; 32], lines: Lines) -> Result<(), Error> {
        let args = [
            Arg::from(index.as_slice()),
            Arg::from(lines.day),
            Arg::from(lines.by_sender),
            Arg::from(lines.by_recipient),
            Arg::from(lines.folded),
        ];
        self.later(UPDATE_LINES, &args).await
    }

    /// Writes how many lines were refused and what the person is to be told of them at the end of the day; none when
    /// that was told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fold_lines(
        &mut self,
        index: &[u8; 32],
        folded: i64,
        line: Option<&[u8]>,
    ) -> Result<(), Error> {
        let args = [
            Arg::from(index.as_slice()),
            Arg::from(folded),
            Arg::from(line),
        ];
        self.later(FOLD_LINES, &args).await
    }

    /// People of whom lines were refused on a day before this one, without the first `skipped`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn people_with_folded_lines(
        &mut self,
        day: i64,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<[u8; 32]>, Error> {
        let args = [Arg::from(day), Arg::from(rows_max), Arg::from(skipped)];
        let rows = self.all(SELECT_FOLDED, &args).await?;
        rows.iter().map(|row| fixed(row, "subject_index")).collect()
    }

    /// Locks a person's row and reads what is to be told of lines that were refused; none when nothing is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_folded_line(&mut self, index: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        let args = [Arg::from(index.as_slice())];
        let row = self.optional(SELECT_FOLDED_LINE, &args).await?;
        let line = row.map(|row| column::<Option<Vec<u8>>>(&row, "folded_line"));
        Ok(line.transpose()?.flatten())
    }

    /// The relation and the sealed handle of a person that is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subject_handle(&mut self, index: &[u8; 32]) -> Result<(Tag, Vec<u8>), Error> {
        let row = self
            .one(SELECT_HANDLE, &[Arg::from(index.as_slice())])
            .await?;
        let relation = Tag::new(fixed(&row, "relation_tag")?);
        Ok((relation, column(&row, "sealed_handle")?))
    }

    /// Raises the stop number of a person's row, which must be locked: everything made before has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_stop_number(&mut self, index: &[u8; 32]) -> Result<(), Error> {
        self.later(RAISE_STOP, &[Arg::from(index.as_slice())]).await
    }

    /// Sets or clears objection and restriction.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_subject_flags(
        &mut self,
        index: &[u8; 32],
        objected_at: Option<Timestamp>,
        restricted_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.later(
            UPDATE_SUBJECT_FLAGS,
            &[
                Arg::from(index.as_slice()),
                Arg::from(objected_at.map(Timestamp::millis)),
                Arg::from(restricted_at.map(Timestamp::millis)),
            ],
        )
        .await
    }
}

pub(crate) fn subject_row(row: &Row) -> Result<SubjectRow, Error> {
    let objected_at: Option<i64> = column(row, "objected_at")?;
    let restricted_at: Option<i64> = column(row, "restricted_at")?;
    let consent: Option<Vec<u8>> = column(row, "standing_consent_id")?;
    let consent = consent
        .map(|octets| ConsentId::from_slice(&octets).ok_or(Error::Malformed("relation_subject")))
        .transpose()?;
    Ok(SubjectRow {
        relation_tag: Tag::new(fixed(row, "relation_tag")?),
        objected_at: objected_at.map(Timestamp::from_millis),
        restricted_at: restricted_at.map(Timestamp::from_millis),
        consent,
        stop_number: column(row, "subject_stop_number")?,
        lines: Lines {
            day: column(row, "lines_day")?,
            by_sender: column(row, "sender_lines")?,
            by_recipient: column(row, "recipient_lines")?,
            folded: column(row, "folded")?,
        },
    })
}
