//! Consent records with their events, and the questions that wait for one.
//!
//! Must never change or delete an event, and must never bring a record back: a change is a new version.

use crate::tx::{column, fixed};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{ConsentId, HandoverId};
use sqlx::sqlite::SqliteRow;

const INSERT_CONSENT: &str = "INSERT INTO consent (consent_id, subject_index, version, state, \
     valid_until, stop_tag, created_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (consent_id) DO NOTHING";
/// On PostgreSQL this ends in FOR SHARE; on SQLite every deciding command holds the only writer.
const LOCK_CONSENT: &str = "SELECT consent_id, subject_index, version, state, valid_until, stop_tag, \
     created_at, body FROM consent WHERE consent_id = $1";
const FIND_BY_STOP_TAG: &str = "SELECT consent_id FROM consent WHERE stop_tag = $1";
const UPDATE_CONSENT: &str = "UPDATE consent SET version = $2, state = $3, valid_until = $4, body = $5 \
     WHERE consent_id = $1";
const INSERT_EVENT: &str = "INSERT INTO consent_event (consent_id, version, state, time, body) \
     VALUES ($1, $2, $3, $4, $5)";
const SET_CURRENT: &str = "UPDATE relation_subject SET consent_id = $2 WHERE subject_index = $1";
const INSERT_QUESTION: &str = "INSERT INTO question (question_id, subject_index, created_at, body) \
     VALUES ($1, $2, $3, $4)";
const SELECT_QUESTIONS: &str = "SELECT question_id, body FROM question \
     WHERE subject_index = $1 ORDER BY question_id";
const SELECT_OLD_QUESTIONS: &str = "SELECT question_id FROM question WHERE created_at < $1 \
     ORDER BY created_at, question_id LIMIT $2 OFFSET $3";
const SELECT_OLD_QUESTION: &str = "SELECT question_id, body FROM question \
     WHERE question_id = $1 AND created_at < $2";
const DELETE_QUESTION: &str = "DELETE FROM question WHERE question_id = $1";
const DELETE_QUESTIONS: &str = "DELETE FROM question WHERE subject_index = $1";

/// The statements of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    INSERT_CONSENT,
    LOCK_CONSENT,
    FIND_BY_STOP_TAG,
    UPDATE_CONSENT,
    INSERT_EVENT,
    SET_CURRENT,
    INSERT_QUESTION,
    SELECT_QUESTIONS,
    SELECT_OLD_QUESTIONS,
    SELECT_OLD_QUESTION,
    DELETE_QUESTION,
    DELETE_QUESTIONS,
];

/// A consent record as it lies in the table.
#[derive(Clone, Debug)]
pub struct ConsentRow {
    /// Its id.
    pub consent_id: ConsentId,
    /// The person in the relation.
    pub subject_index: [u8; 32],
    /// One more at every change, from 1.
    pub version: i64,
    /// The number of its state in `sluis.consent.v1.ConsentState`.
    pub state: i64,
    /// Before this moment it permits.
    pub valid_until: Timestamp,
    /// Tag of its stop code, if it was ever given.
    pub stop_tag: Option<[u8; 32]>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// The consent statement and what belongs to it, sealed.
    pub body: Vec<u8>,
}

/// A change of a record.
#[derive(Clone, Debug)]
pub struct ConsentEvent {
    /// The record.
    pub consent_id: ConsentId,
    /// Its version after the change.
    pub version: i64,
    /// The number of its state after the change.
    pub state: i64,
    /// When.
    pub time: Timestamp,
    /// The statement of the change, sealed.
    pub body: Vec<u8>,
}

/// A question that waits for consent.
#[derive(Clone, Debug)]
pub struct QuestionRow {
    /// Its id, of the form of a handover's: an inbox item names it in that place.
    pub question_id: HandoverId,
    /// Who asked, sealed.
    pub body: Vec<u8>,
}

impl Tx {
    /// Writes a new record; `false` when its id is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_consent(&mut self, row: &ConsentRow) -> Result<bool, Error> {
        let written = sqlx::query(INSERT_CONSENT)
            .bind(row.consent_id.bytes().as_slice())
            .bind(row.subject_index.as_slice())
            .bind(row.version)
            .bind(row.state)
            .bind(row.valid_until.millis())
            .bind(row.stop_tag.as_ref().map(<[u8; 32]>::as_slice))
            .bind(row.created_at.millis())
            .bind(row.body.as_slice())
            .execute(self.statement())
            .await?;
        Ok(written.rows_affected() == 1)
    }

    /// Locks a record against change until commit, and reads it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_consent(&mut self, id: ConsentId) -> Result<Option<ConsentRow>, Error> {
        sqlx::query(LOCK_CONSENT)
            .bind(id.bytes().as_slice())
            .fetch_optional(self.statement())
            .await?
            .map(|row| consent_row(&row))
            .transpose()
    }

    /// The record with this stop code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consent_by_stop_tag(
        &mut self,
        tag: &[u8; 32],
    ) -> Result<Option<ConsentId>, Error> {
        sqlx::query(FIND_BY_STOP_TAG)
            .bind(tag.as_slice())
            .fetch_optional(self.statement())
            .await?
            .map(|row| consent_id(&row))
            .transpose()
    }

    /// Writes what can change of a record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_consent(&mut self, row: &ConsentRow) -> Result<(), Error> {
        sqlx::query(UPDATE_CONSENT)
            .bind(row.consent_id.bytes().as_slice())
            .bind(row.version)
            .bind(row.state)
            .bind(row.valid_until.millis())
            .bind(row.body.as_slice())
            .execute(self.statement())
            .await?;
        Ok(())
    }

    /// Appends a change of a record.
    ///
    /// # Errors
    /// When the database fails, or the version was written before.
    pub async fn insert_consent_event(&mut self, event: &ConsentEvent) -> Result<(), Error> {
        sqlx::query(INSERT_EVENT)
            .bind(event.consent_id.bytes().as_slice())
            .bind(event.version)
            .bind(event.state)
            .bind(event.time.millis())
            .bind(event.body.as_slice())
            .execute(self.statement())
            .await?;
        Ok(())
    }

    /// Makes a record the one that decisions about this person in this relation look at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_current_consent(
        &mut self,
        subject: &[u8; 32],
        id: ConsentId,
    ) -> Result<(), Error> {
        sqlx::query(SET_CURRENT)
            .bind(subject.as_slice())
            .bind(id.bytes().as_slice())
            .execute(self.statement())
            .await?;
        Ok(())
    }

    /// Keeps that somebody asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_question(
        &mut self,
        subject: &[u8; 32],
        question: &QuestionRow,
        now: Timestamp,
    ) -> Result<(), Error> {
        sqlx::query(INSERT_QUESTION)
            .bind(question.question_id.bytes().as_slice())
            .bind(subject.as_slice())
            .bind(now.millis())
            .bind(question.body.as_slice())
            .execute(self.statement())
            .await?;
        Ok(())
    }

    /// Takes out all questions that wait for this person in this relation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_questions(&mut self, subject: &[u8; 32]) -> Result<Vec<QuestionRow>, Error> {
        let questions = sqlx::query(SELECT_QUESTIONS)
            .bind(subject.as_slice())
            .fetch_all(self.statement())
            .await?
            .iter()
            .map(question_row)
            .collect::<Result<Vec<_>, Error>>()?;
        sqlx::query(DELETE_QUESTIONS)
            .bind(subject.as_slice())
            .execute(self.statement())
            .await?;
        Ok(questions)
    }

    /// Questions from before `moment`, the oldest first, without the first `skipped`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn old_questions(
        &mut self,
        moment: Timestamp,
        rows_max: i64,
        skipped: i64,
    ) -> Result<Vec<HandoverId>, Error> {
        sqlx::query(SELECT_OLD_QUESTIONS)
            .bind(moment.millis())
            .bind(rows_max)
            .bind(skipped)
            .fetch_all(self.statement())
            .await?
            .iter()
            .map(question_id)
            .collect()
    }

    /// Takes out a question, if it is from before `moment`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_old_question(
        &mut self,
        id: HandoverId,
        moment: Timestamp,
    ) -> Result<Option<QuestionRow>, Error> {
        let row = sqlx::query(SELECT_OLD_QUESTION)
            .bind(id.bytes().as_slice())
            .bind(moment.millis())
            .fetch_optional(self.statement())
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        sqlx::query(DELETE_QUESTION)
            .bind(id.bytes().as_slice())
            .execute(self.statement())
            .await?;
        Ok(Some(question_row(&row)?))
    }
}

fn question_id(row: &SqliteRow) -> Result<HandoverId, Error> {
    let octets: Vec<u8> = column(row, "question_id")?;
    HandoverId::from_slice(&octets).ok_or(Error::Malformed("question"))
}

fn question_row(row: &SqliteRow) -> Result<QuestionRow, Error> {
    Ok(QuestionRow {
        question_id: question_id(row)?,
        body: column(row, "body")?,
    })
}

fn consent_id(row: &SqliteRow) -> Result<ConsentId, Error> {
    let octets: Vec<u8> = column(row, "consent_id")?;
    ConsentId::from_slice(&octets).ok_or(Error::Malformed("consent"))
}

fn consent_row(row: &SqliteRow) -> Result<ConsentRow, Error> {
    let stop_tag: Option<Vec<u8>> = column(row, "stop_tag")?;
    let stop_tag = stop_tag
        .map(|octets| octets.try_into().map_err(|_| Error::Malformed("consent")))
        .transpose()?;
    Ok(ConsentRow {
        consent_id: consent_id(row)?,
        subject_index: fixed(row, "subject_index")?,
        version: column(row, "version")?,
        state: column(row, "state")?,
        valid_until: Timestamp::from_millis(column(row, "valid_until")?),
        stop_tag,
        created_at: Timestamp::from_millis(column(row, "created_at")?),
        body: column(row, "body")?,
    })
}
