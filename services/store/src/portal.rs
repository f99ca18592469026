//! The portal's rows: exchanges, the lines sealed to their persons, and blocks.
//!
//! Must never hold what names a person or an organisation: indexes, tags and sealed bytes pass through
//! here, and nothing that leads back from them.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};

const SELECT_EXCHANGES: Sql = sql!(
    "SELECT exchange_index, person_index, sealing_key, created_at FROM exchange \
     WHERE exchange_index IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50)"
);
/// How many are looked up in one statement.
const FOUND_AT_ONCE: usize = 50;
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
     (line_id, exchange_index, person_index, kind, sealed, created_at, copied_until) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (line_id) DO NOTHING"
);
const DELETE_OLD_LINES: Sql = sql!(
    "DELETE FROM line WHERE line_id IN \
     (SELECT line_id FROM line WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);
const DELETE_OLD_EXCHANGES: Sql = sql!(
    "DELETE FROM exchange WHERE created_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM line WHERE line.exchange_index = exchange.exchange_index)"
);
const DELETE_LINE: Sql = sql!("DELETE FROM line WHERE line_id = $1");
const SELECT_LINES: Sql = sql!(
    "SELECT line_id, exchange_index, person_index, kind, sealed, created_at, copied_until \
     FROM line WHERE person_index = $1 AND kind = $2 AND (created_at, line_id) < ($3, $4) \
     ORDER BY created_at DESC, line_id DESC LIMIT $5"
);
const SELECT_LINES_OF_EXCHANGE: Sql = sql!(
    "SELECT line_id, exchange_index, person_index, kind, sealed, created_at, copied_until \
     FROM line WHERE exchange_index = $1 AND line_id > $2 ORDER BY line_id LIMIT $3"
);
const SELECT_LINE: Sql = sql!(
    "SELECT line_id, exchange_index, person_index, kind, sealed, created_at, copied_until \
     FROM line WHERE line_id = $1"
);
const INSERT_BLOCK: Sql = sql!(
    "INSERT INTO block (person_index, oin_tag) VALUES ($1, $2) \
     ON CONFLICT (person_index, oin_tag) DO NOTHING"
);
const DELETE_BLOCK: Sql = sql!("DELETE FROM block WHERE person_index = $1 AND oin_tag = $2");
const SELECT_BLOCKS: Sql = sql!(
    "SELECT person_index, oin_tag FROM block WHERE person_index IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50)"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    SELECT_EXCHANGES,
    INSERT_EXCHANGE,
    DELETE_EXCHANGE,
    INSERT_LINE,
    DELETE_OLD_LINES,
    DELETE_OLD_EXCHANGES,
    DELETE_LINE,
    SELECT_LINES,
    SELECT_LINES_OF_EXCHANGE,
    SELECT_LINE,
    INSERT_BLOCK,
    DELETE_BLOCK,
    SELECT_BLOCKS,
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
    /// Until when a copy of it lies at the broker; none for most.
    pub copied_until: Option<Timestamp>,
}

/// From where on lines are read: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When what the last line read tells happened.
    pub created_at: Timestamp,
    /// The last line read.
    pub line_id: EntryId,
}

impl Tx<'_> {
    /// Erases lines from before a moment, so many at most, and exchanges from before it that have none. Gives how
    /// many lines.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase_old_lines(
        &mut self,
        before: Timestamp,
        rows_max: i64,
    ) -> Result<u64, Error> {
        let args = [Arg::from(before.millis()), Arg::from(rows_max)];
        let erased = self.execute(DELETE_OLD_LINES, &args).await?;
        self.execute(DELETE_OLD_EXCHANGES, &[Arg::from(before.millis())])
            .await?;
        Ok(erased)
    }

    /// Those of these exchanges that are there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn exchanges(&mut self, indexes: &[[u8; 32]]) -> Result<Vec<ExchangeRow>, Error> {
        let rows = self.rows_of(SELECT_EXCHANGES, indexes).await?;
        rows.iter()
            .map(|row| {
                Ok(ExchangeRow {
                    exchange_index: fixed(row, "exchange_index")?,
                    person_index: fixed(row, "person_index")?,
                    sealing_key: column(row, "sealing_key")?,
                    created_at: Timestamp::from_millis(column(row, "created_at")?),
                })
            })
            .collect()
    }

    /// What a statement finds for these indexes, so many at once.
    async fn rows_of(&mut self, sql: Sql, indexes: &[[u8; 32]]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for some in indexes.chunks(FOUND_AT_ONCE) {
            // The last one once more in each place that is left over.
            let all = some.iter().chain(some.last().into_iter().cycle());
            let args: Vec<_> = all
                .take(FOUND_AT_ONCE)
                .map(|index| Arg::from(index.as_slice()))
                .collect();
            rows.extend(self.all(sql, &args).await?);
        }
        Ok(rows)
    }

    /// Keeps an exchange; an earlier one of the same index stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_exchange(&mut self, row: &ExchangeRow) -> Result<(), Error> {
        self.later(
            INSERT_EXCHANGE,
            &[
                Arg::from(row.exchange_index.as_slice()),
                Arg::from(row.person_index.as_slice()),
                Arg::from(row.sealing_key.as_slice()),
                Arg::from(row.created_at.millis()),
            ],
        )
        .await
    }

    /// Forgets an exchange that has no lines.
    ///
    /// # Errors
    /// When the database fails, or the exchange has lines.
    pub async fn delete_exchange(&mut self, index: &[u8; 32]) -> Result<(), Error> {
        self.later(DELETE_EXCHANGE, &[Arg::from(index.as_slice())])
            .await
    }

    /// Keeps a line; an earlier copy of the same line stays.
    ///
    /// # Errors
    /// When the database fails, or the exchange is not there.
    pub async fn insert_line(&mut self, row: &LineRow) -> Result<(), Error> {
        self.later(
            INSERT_LINE,
            &[
                Arg::from(row.line_id.bytes().as_slice()),
                Arg::from(row.exchange_index.as_slice()),
                Arg::from(row.person_index.as_slice()),
                Arg::from(row.kind),
                Arg::from(row.sealed.as_slice()),
                Arg::from(row.created_at.millis()),
                Arg::from(row.copied_until.map(Timestamp::millis)),
            ],
        )
        .await
    }

    /// Forgets a line.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_line(&mut self, id: EntryId) -> Result<(), Error> {
        self.later(DELETE_LINE, &[Arg::from(id.bytes().as_slice())])
            .await
    }

    /// A page of a person's lines of one kind, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines(
        &mut self,
        person_index: &[u8; 32],
        kind: i64,
        after: Option<After>,
        limit: i64,
    ) -> Result<Vec<LineRow>, Error> {
        let (created_at, line_id) = after.map_or((i64::MAX, [u8::MAX; 16]), |after| {
            (after.created_at.millis(), *after.line_id.bytes())
        });
        let args = [
            Arg::from(person_index.as_slice()),
            Arg::from(kind),
            Arg::from(created_at),
            Arg::from(line_id.as_slice()),
            Arg::from(limit),
        ];
        let rows = self.all(SELECT_LINES, &args).await?;
        rows.iter().map(read_line).collect()
    }

    /// A page of the lines of one exchange, by their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines_of_exchange(
        &mut self,
        exchange_index: &[u8; 32],
        after: Option<EntryId>,
        limit: i64,
    ) -> Result<Vec<LineRow>, Error> {
        let after = after.map_or([0; 16], |line| *line.bytes());
        let args = [
            Arg::from(exchange_index.as_slice()),
            Arg::from(after.as_slice()),
            Arg::from(limit),
        ];
        let rows = self.all(SELECT_LINES_OF_EXCHANGE, &args).await?;
        rows.iter().map(read_line).collect()
    }

    /// One line.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn line(&mut self, id: EntryId) -> Result<Option<LineRow>, Error> {
        let args = [Arg::from(id.bytes().as_slice())];
        let row = self.optional(SELECT_LINE, &args).await?;
        row.as_ref().map(read_line).transpose()
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
        self.later(
            INSERT_BLOCK,
            &[
                Arg::from(person_index.as_slice()),
                Arg::from(oin_tag.bytes().as_slice()),
            ],
        )
        .await
    }

    /// Forgets a block; gives whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_block(
        &mut self,
        person_index: &[u8; 32],
        oin_tag: Tag,
    ) -> Result<bool, Error> {
        let args = [
            Arg::from(person_index.as_slice()),
            Arg::from(oin_tag.bytes().as_slice()),
        ];
        Ok(self.execute(DELETE_BLOCK, &args).await? > 0)
    }

    /// What these persons blocked: each with the tag of the organisation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn blocks(&mut self, persons: &[[u8; 32]]) -> Result<Vec<([u8; 32], Tag)>, Error> {
        let rows = self.rows_of(SELECT_BLOCKS, persons).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    fixed(row, "person_index")?,
                    Tag::new(fixed(row, "oin_tag")?),
                ))
            })
            .collect()
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
        copied_until: column::<Option<i64>>(row, "copied_until")?.map(Timestamp::from_millis),
    })
}
