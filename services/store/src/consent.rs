//! Consent records with their events, and the questions that wait for one.
//!
//! Must never change or delete an event (`retention` does, when its term is over), and must never bring a record
//! back: a change is a new version.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{ConsentId, HandoverId};

const INSERT_CONSENT: Sql = sql!(
    "INSERT INTO consent (consent_id, subject_index, version, state, \
     valid_until, stop_tag, created_at, body, erase_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (consent_id) DO NOTHING"
);
const LOCK_CONSENT: Sql = sql!("SELECT consent_id, subject_index, version, state, valid_until, stop_tag, \
     created_at, body, erase_at FROM consent WHERE consent_id = $1", for update);
const FIND_BY_STOP_TAG: Sql = sql!("SELECT consent_id FROM consent WHERE stop_tag = $1");
const UPDATE_CONSENT: Sql = sql!(
    "UPDATE consent SET version = $2, state = $3, valid_until = $4, body = $5, erase_at = $6 \
     WHERE consent_id = $1"
);
const INSERT_EVENT: Sql = sql!(
    "INSERT INTO consent_event (consent_id, version, state, time, body) \
     VALUES ($1, $2, $3, $4, $5)"
);
const SET_CURRENT: Sql =
    sql!("UPDATE relation_subject SET standing_consent_id = $2 WHERE subject_index = $1");
const INSERT_QUESTION: Sql = sql!(
    "INSERT INTO question (question_id, subject_index, created_at, body, stop_number) \
     VALUES ($1, $2, $3, $4, $5)"
);
const SELECT_QUESTIONS: Sql = sql!(
    "SELECT question_id, body FROM question \
     WHERE subject_index = $1 AND stop_number = $2 ORDER BY question_id"
);
const COUNT_QUESTIONS: Sql = sql!(
    "SELECT COUNT(*) AS questions FROM (SELECT 1 FROM question WHERE subject_index = $1 LIMIT $2) AS found"
);
const SELECT_OLD_QUESTIONS: Sql = sql!(
    "SELECT question_id FROM question WHERE created_at < $1 \
     ORDER BY created_at, question_id LIMIT $2 OFFSET $3"
);
const SELECT_OLD_QUESTION: Sql = sql!(
    "SELECT question_id, body, question.stop_number, relation_subject.stop_number AS subject_stop_number \
     FROM question \
     JOIN relation_subject ON relation_subject.subject_index = question.subject_index \
     WHERE question_id = $1 AND question.created_at < $2"
);
const SELECT_SUBJECT_OF_QUESTION: Sql =
    sql!("SELECT subject_index FROM question WHERE question_id = $1");
const DELETE_QUESTION: Sql = sql!("DELETE FROM question WHERE question_id = $1");
const DELETE_QUESTIONS: Sql =
    sql!("DELETE FROM question WHERE subject_index = $1 AND stop_number = $2");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_CONSENT,
    LOCK_CONSENT,
    FIND_BY_STOP_TAG,
    UPDATE_CONSENT,
    INSERT_EVENT,
    SET_CURRENT,
    INSERT_QUESTION,
    SELECT_QUESTIONS,
    COUNT_QUESTIONS,
    SELECT_OLD_QUESTIONS,
    SELECT_OLD_QUESTION,
    SELECT_SUBJECT_OF_QUESTION,
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
    /// When it is no longer needed to show that it was given.
    pub erase_at: Timestamp,
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

impl Tx<'_> {
    /// Writes a new record; `false` when its id is taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_consent(&mut self, row: &ConsentRow) -> Result<bool, Error> {
        let written = self
            .execute(
                INSERT_CONSENT,
                &[
                    Arg::from(row.consent_id.bytes().as_slice()),
                    Arg::from(row.subject_index.as_slice()),
                    Arg::from(row.version),
                    Arg::from(row.state),
                    Arg::from(row.valid_until.millis()),
                    Arg::from(row.stop_tag.as_ref().map(<[u8; 32]>::as_slice)),
                    Arg::from(row.created_at.millis()),
                    Arg::from(row.body.as_slice()),
                    Arg::from(row.erase_at.millis()),
                ],
            )
            .await?;
        Ok(written == 1)
    }

    /// Locks a record against change until commit, and reads it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_consent(&mut self, id: ConsentId) -> Result<Option<ConsentRow>, Error> {
        self.optional(LOCK_CONSENT, &[Arg::from(id.bytes().as_slice())])
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
        self.optional(FIND_BY_STOP_TAG, &[Arg::from(tag.as_slice())])
            .await?
            .map(|row| consent_id(&row))
            .transpose()
    }

    /// Writes what can change of a record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_consent(&mut self, row: &ConsentRow) -> Result<(), Error> {
        self.later(
            UPDATE_CONSENT,
            &[
                Arg::from(row.consent_id.bytes().as_slice()),
                Arg::from(row.version),
                Arg::from(row.state),
                Arg::from(row.valid_until.millis()),
                Arg::from(row.body.as_slice()),
                Arg::from(row.erase_at.millis()),
            ],
        )
        .await
    }

    /// Appends a change of a record.
    ///
    /// # Errors
    /// When the database fails, or the version was written before.
    pub async fn insert_consent_event(&mut self, event: &ConsentEvent) -> Result<(), Error> {
        self.later(
            INSERT_EVENT,
            &[
                Arg::from(event.consent_id.bytes().as_slice()),
                Arg::from(event.version),
                Arg::from(event.state),
                Arg::from(event.time.millis()),
                Arg::from(event.body.as_slice()),
            ],
        )
        .await
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
        self.later(
            SET_CURRENT,
            &[
                Arg::from(subject.as_slice()),
                Arg::from(id.bytes().as_slice()),
            ],
        )
        .await
    }

    /// Keeps that somebody asked, under the person's present stop number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_question(
        &mut self,
        subject: &[u8; 32],
        question: &QuestionRow,
        (now, stop_number): (Timestamp, i64),
    ) -> Result<(), Error> {
        self.later(
            INSERT_QUESTION,
            &[
                Arg::from(question.question_id.bytes().as_slice()),
                Arg::from(subject.as_slice()),
                Arg::from(now.millis()),
                Arg::from(question.body.as_slice()),
                Arg::from(stop_number),
            ],
        )
        .await
    }

    /// How many questions there are for this person in this relation, those that a stop ended included; counted
    /// up to `most`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_questions(&mut self, subject: &[u8; 32], most: i64) -> Result<i64, Error> {
        let args = [Arg::from(subject.as_slice()), Arg::from(most)];
        column(&self.one(COUNT_QUESTIONS, &args).await?, "questions")
    }

    /// Takes out all questions that wait for this person in this relation. Those of another stop number have
    /// ended, and stay until they lapse: whoever asked must not find out by asking once more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_questions(
        &mut self,
        subject: &[u8; 32],
        stop_number: i64,
    ) -> Result<Vec<QuestionRow>, Error> {
        let args = [Arg::from(subject.as_slice()), Arg::from(stop_number)];
        let questions = self
            .all(SELECT_QUESTIONS, &args)
            .await?
            .iter()
            .map(question_row)
            .collect::<Result<Vec<_>, Error>>()?;
        self.later(DELETE_QUESTIONS, &args).await?;
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
        self.all(
            SELECT_OLD_QUESTIONS,
            &[
                Arg::from(moment.millis()),
                Arg::from(rows_max),
                Arg::from(skipped),
            ],
        )
        .await?
        .iter()
        .map(question_id)
        .collect()
    }

    /// Takes out a question, if it is from before `moment`; with whether it still waited, and no stop had ended it. The
    /// person's row is locked first, as an answer that comes at this moment does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_old_question(
        &mut self,
        id: HandoverId,
        moment: Timestamp,
    ) -> Result<Option<(QuestionRow, bool)>, Error> {
        let of = self
            .optional(
                SELECT_SUBJECT_OF_QUESTION,
                &[Arg::from(id.bytes().as_slice())],
            )
            .await?;
        let Some(of) = of else {
            return Ok(None);
        };
        self.lock_subject(&fixed(&of, "subject_index")?).await?;
        let row = self
            .optional(
                SELECT_OLD_QUESTION,
                &[Arg::from(id.bytes().as_slice()), Arg::from(moment.millis())],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        self.later(DELETE_QUESTION, &[Arg::from(id.bytes().as_slice())])
            .await?;
        let made_under: i64 = column(&row, "stop_number")?;
        let waited = made_under == column::<i64>(&row, "subject_stop_number")?;
        Ok(Some((question_row(&row)?, waited)))
    }
}

fn question_id(row: &Row) -> Result<HandoverId, Error> {
    let octets: Vec<u8> = column(row, "question_id")?;
    HandoverId::from_slice(&octets).ok_or(Error::Malformed("question"))
}

fn question_row(row: &Row) -> Result<QuestionRow, Error> {
    Ok(QuestionRow {
        question_id: question_id(row)?,
        body: column(row, "body")?,
    })
}

fn consent_id(row: &Row) -> Result<ConsentId, Error> {
    let octets: Vec<u8> = column(row, "consent_id")?;
    ConsentId::from_slice(&octets).ok_or(Error::Malformed("consent"))
}

fn consent_row(row: &Row) -> Result<ConsentRow, Error> {
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
        erase_at: Timestamp::from_millis(column(row, "erase_at")?),
        stop_tag,
        created_at: Timestamp::from_millis(column(row, "created_at")?),
        body: column(row, "body")?,
    })
}
