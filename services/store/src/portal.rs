//! The portal's rows: exchanges, the lines sealed to their persons, and blocks.
//!
//! Must never hold what names a person or an organisation: indexes, tags and sealed bytes pass through
//! here, and nothing that leads back from them.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};

const SELECT_EXCHANGE: Sql = sql!(
    "SELECT exchange_index, person_index, sealing_key, created_at \
     FROM exchange WHERE exchange_index = $1"
);
/// An exchange is introduced once: a later introduction changes nothing.
const INSERT_EXCHANGE: Sql = sql!(
    "INSERT INTO exchange \
     (exchange_index, person_index, sealing_key, created_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (exchange_index) DO NOTHING"
);
const DELETE_EXCHANGE: Sql = sql!("DELETE FROM exchange WHERE exchange_index = $1");
/// A line comes again when it could not be acknowledged; the first copy stays.
const INSERT_LINE: Sql = sql!(
    "INSERT INTO line \
     (line_id, exchange_index, person_index, kind, sealed, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (line_id) DO NOTHING"
);
const DELETE_LINE: Sql = sql!("DELETE FROM line WHERE line_id = $1");
const SELECT_LINES: Sql = sql!(
    "SELECT line_id, exchange_index, person_index, kind, sealed, created_at \
     FROM line WHERE person_index = $1 AND kind = $2 \
     ORDER BY created_at DESC, line_id DESC LIMIT $3"
);
const INSERT_BLOCK: Sql = sql!(
    "INSERT INTO block (person_index, oin_tag) VALUES ($1, $2) \
     ON CONFLICT (person_index, oin_tag) DO NOTHING"
);
const SELECT_BLOCK: Sql =
    sql!("SELECT COUNT(*) AS found FROM block WHERE person_index = $1 AND oin_tag = $2");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_EXCHANGE,
    INSERT_EXCHANGE,
    DELETE_EXCHANGE,
    INSERT_LINE,
    DELETE_LINE,
    SELECT_LINES,
    INSERT_BLOCK,
    SELECT_BLOCK,
];

/// An exchange: a handover, a refused attempt, a question or a consent record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRow {
    /// By what it is found: a keyed hash of its id.
    pub exchange_index: [u8; 32],
    /// Whose it is.
    pub person_index: [u8; 32],
    /// The public key to which its lines are sealed.
    pub sealing_key: Vec<u8>,
    /// When it was introduced.
    pub created_at: Timestamp,
}

/// A line, sealed to its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRow {
    /// Its id.
    pub line_id: EntryId,
    /// The exchange that it is about.
    pub exchange_index: [u8; 32],
    /// Whose it is.
    pub person_index: [u8; 32],
    /// Which kind of line, by number.
    pub kind: i64,
    /// The line.
    pub sealed: Vec<u8>,
    /// When what it tells happened.
    pub created_at: Timestamp,
}

impl Tx<'_> {
    /// One exchange.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn exchange(&mut self, index: &[u8; 32]) -> Result<Option<ExchangeRow>, Error> {
        let row = self
            .optional(SELECT_EXCHANGE, &[Arg::from(index.as_slice())])
            .await?;
        row.map(|row| {
            Ok(ExchangeRow {
                exchange_index: fixed(&row, "exchange_index")?,
                person_index: fixed(&row, "person_index")?,
                sealing_key: column(&row, "sealing_key")?,
                created_at: Timestamp::from_millis(column(&row, "created_at")?),
            })
        })
        .transpose()
    }

    /// Keeps an exchange; an earlier one of the same index stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_exchange(&mut self, row: &ExchangeRow) -> Result<(), Error> {
        self.execute(
            INSERT_EXCHANGE,
            &[
                Arg::from(row.exchange_index.as_slice()),
                Arg::from(row.person_index.as_slice()),
                Arg::from(row.sealing_key.as_slice()),
                Arg::from(row.created_at.millis()),
            ],
        )
        .await?;
        Ok(())
    }

    /// Forgets an exchange that has no lines.
    ///
    /// # Errors
    /// When the database fails, or the exchange has lines.
    pub async fn delete_exchange(&mut self, index: &[u8; 32]) -> Result<(), Error> {
        self.execute(DELETE_EXCHANGE, &[Arg::from(index.as_slice())])
            .await?;
        Ok(())
    }

    /// Keeps a line; an earlier copy of the same line stays.
    ///
    /// # Errors
    /// When the database fails, or the exchange is not there.
    pub async fn insert_line(&mut self, row: &LineRow) -> Result<(), Error> {
        self.execute(
            INSERT_LINE,
            &[
                Arg::from(row.line_id.bytes().as_slice()),
                Arg::from(row.exchange_index.as_slice()),
                Arg::from(row.person_index.as_slice()),
                Arg::from(row.kind),
                Arg::from(row.sealed.as_slice()),
                Arg::from(row.created_at.millis()),
            ],
        )
        .await?;
        Ok(())
    }

    /// Forgets a line.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_line(&mut self, id: EntryId) -> Result<(), Error> {
        self.execute(DELETE_LINE, &[Arg::from(id.bytes().as_slice())])
            .await?;
        Ok(())
    }

    /// A person's newest lines of one kind, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines(
        &mut self,
        person_index: &[u8; 32],
        kind: i64,
        limit: i64,
    ) -> Result<Vec<LineRow>, Error> {
        self.all(
            SELECT_LINES,
            &[
                Arg::from(person_index.as_slice()),
                Arg::from(kind),
                Arg::from(limit),
            ],
        )
        .await?
        .iter()
        .map(read_line)
        .collect()
    }

    /// Remembers that a person blocked an organisation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_block(
        &mut self,
        person_index: &[u8; 32],
        oin_tag: Tag,
    ) -> Result<(), Error> {
        self.execute(
            INSERT_BLOCK,
            &[
                Arg::from(person_index.as_slice()),
                Arg::from(oin_tag.bytes().as_slice()),
            ],
        )
        .await?;
        Ok(())
    }

    /// Whether a person blocked an organisation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_blocked(
        &mut self,
        person_index: &[u8; 32],
        oin_tag: Tag,
    ) -> Result<bool, Error> {
        let row = self
            .one(
                SELECT_BLOCK,
                &[
                    Arg::from(person_index.as_slice()),
                    Arg::from(oin_tag.bytes().as_slice()),
                ],
            )
            .await?;
        let found: i64 = column(&row, "found")?;
        Ok(found > 0)
    }
}

fn read_line(row: &Row) -> Result<LineRow, Error> {
    let id: [u8; 16] = fixed(row, "line_id")?;
    Ok(LineRow {
        line_id: EntryId::from_slice(&id).ok_or(Error::Malformed("line"))?,
        exchange_index: fixed(row, "exchange_index")?,
        person_index: fixed(row, "person_index")?,
        kind: column(row, "kind")?,
        sealed: column(row, "sealed")?,
        created_at: Timestamp::from_millis(column(row, "created_at")?),
    })
}
