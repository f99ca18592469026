//! Writes that wait for each other: a command's changes go to the database together, in one round trip,
//! because a round trip costs more than a change.
//!
//! Must never hold two changes that could meet in one row: on PostgreSQL the order of what goes together
//! is not defined, and none sees what another does.

use crate::sql::{Arg, Sql, query};
use sqlx::query::Query;
use sqlx::{Database, Encode, SqlSafeStr as _, SqlStr, Type};

/// Most changes that go together. It bounds the number of texts that the engines keep prepared.
const STATEMENTS_MAX: usize = 16;

/// A value that waits.
#[derive(Debug)]
enum Value {
    Number(Option<i64>),
    Octets(Option<Vec<u8>>),
    Text(String),
}

impl From<&Arg<'_>> for Value {
    fn from(arg: &Arg<'_>) -> Self {
        match *arg {
            Arg::Number(number) => Self::Number(number),
            Arg::Octets(octets) => Self::Octets(octets.map(<[u8]>::to_vec)),
            Arg::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

impl<'v> From<&'v Value> for Arg<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Octets(octets) => Self::Octets(octets.as_deref()),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// Changes that wait.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    statements: Vec<Waiting>,
    values: Vec<Value>,
}

/// One change that waits.
#[derive(Debug)]
struct Waiting {
    text: &'static str,
    /// How many values come before its own.
    offset: usize,
}

impl Batch {
    /// One statement, whose values are given elsewhere.
    pub(crate) fn of(sql: Sql) -> Self {
        let mut batch = Self::default();
        batch.push(sql, &[]);
        batch
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether a change may wait with those that wait already. New rows of one table go together (of two with
    /// the same key one stays, where the statement says so); any other change must be the only one of its table.
    pub(crate) fn takes(&self, sql: Sql) -> bool {
        let (is_new, table) = changed(sql.text);
        self.statements.len() < STATEMENTS_MAX
            && self.statements.iter().all(|waiting| {
                let (was_new, other) = changed(waiting.text);
                table != other || (is_new && was_new)
            })
    }

    pub(crate) fn push(&mut self, sql: Sql, args: &[Arg<'_>]) {
        self.statements.push(Waiting {
            text: sql.text,
            offset: self.values.len(),
        });
        self.values.extend(args.iter().map(Value::from));
    }

    /// All of it as one text with several statements, which SQLite does one after the other, between what
    /// comes before and what comes after.
    pub(crate) fn in_turn(&self, before: &'static str, after: &'static str) -> SqlStr {
        let mut text = before.to_owned();
        for waiting in &self.statements {
            number(&mut text, waiting);
            text.push(';');
        }
        text.push_str(after);
        of_constants(text)
    }

    /// All of it as one statement of PostgreSQL (SELECT, "Data-Modifying Statements in WITH").
    pub(crate) fn at_once(&self) -> SqlStr {
        let mut text = String::new();
        let last = self.statements.len().saturating_sub(1);
        for (place, waiting) in self.statements.iter().enumerate() {
            if place < last {
                text.push_str(if place == 0 { "WITH c" } else { ", c" });
                text.push_str(&place.to_string());
                text.push_str(" AS (");
            } else if place > 0 {
                text.push(' ');
            }
            number(&mut text, waiting);
            if place < last {
                text.push(')');
            }
        }
        of_constants(text)
    }

    /// The values, for one of the two texts.
    pub(crate) fn query<D>(&self, text: SqlStr) -> Query<'static, D, D::Arguments>
    where
        D: Database,
        for<'v> Option<i64>: Encode<'v, D> + Type<D>,
        for<'v> Option<&'v [u8]>: Encode<'v, D> + Type<D>,
        for<'v> &'v str: Encode<'v, D> + Type<D>,
    {
        query(text, self.values.iter().map(Arg::from))
    }
}

/// Whether a statement only makes new rows, and of which table it changes rows.
fn changed(text: &str) -> (bool, &str) {
    let mut words = text.split_whitespace();
    let (verb, second, third) = (words.next(), words.next(), words.next());
    let table = if verb == Some("UPDATE") {
        second
    } else {
        third
    };
    let is_new = verb == Some("INSERT") && !text.contains("DO UPDATE");
    (is_new, table.unwrap_or_default())
}

/// Adds a statement, its arguments counted from its own first value.
fn number(out: &mut String, waiting: &Waiting) {
    let mut parts = waiting.text.split('$');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (own, rest) = part.split_at(digits);
        let own: usize = own.parse().unwrap_or_default();
        out.push('$');
        out.push_str(&own.saturating_add(waiting.offset).to_string());
        out.push_str(rest);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "made of this crate's constants and of numbers, of nothing else"
)]
fn of_constants(text: String) -> SqlStr {
    sqlx::AssertSqlSafe(text).into_sql_str()
}

#[cfg(test)]
mod tests {
    //! Must never hold what PostgreSQL would do in an order of its own.

    use super::Batch;
    use crate::sql::{Arg, Sql, sql};

    const NEW: Sql = sql!("INSERT INTO one (a, b) VALUES ($1, $2)");
    const NEW_UNLESS: Sql = sql!("INSERT INTO one (a) VALUES ($1) ON CONFLICT (a) DO NOTHING");
    const NEW_OR: Sql =
        sql!("INSERT INTO one (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $2");
    const CHANGE: Sql = sql!("UPDATE one SET a = $2 WHERE b = $1");
    const DELETE: Sql = sql!("DELETE FROM two WHERE a = $1");

    fn batch(of: &[Sql]) -> Batch {
        let mut batch = Batch::default();
        for sql in of {
            assert!(batch.takes(*sql));
            batch.push(*sql, &[Arg::from(1), Arg::from(2)]);
        }
        batch
    }

    #[test]
    fn changes_that_could_meet_in_a_row_do_not_wait_together() {
        assert!(batch(&[NEW]).takes(NEW));
        assert!(batch(&[NEW]).takes(NEW_UNLESS));
        assert!(batch(&[NEW]).takes(DELETE));
        assert!(batch(&[DELETE]).takes(CHANGE));
        for (first, second) in [
            (NEW, NEW_OR),
            (NEW_OR, NEW),
            (NEW_OR, NEW_OR),
            (NEW, CHANGE),
            (CHANGE, NEW),
            (CHANGE, CHANGE),
            (DELETE, DELETE),
        ] {
            assert!(!batch(&[first]).takes(second), "{first:?} {second:?}");
        }
    }

    #[test]
    fn the_two_texts_are_of_the_same_statements() {
        let both = batch(&[NEW, DELETE]);
        assert_eq!(
            both.in_turn("SAVEPOINT c;", "RELEASE c").as_str(),
            "SAVEPOINT c;INSERT INTO one (a, b) VALUES ($1, $2);DELETE FROM two WHERE a = $3;RELEASE c"
        );
        assert_eq!(
            both.at_once().as_str(),
            "WITH c0 AS (INSERT INTO one (a, b) VALUES ($1, $2)) DELETE FROM two WHERE a = $3"
        );
        let one = batch(&[CHANGE]).at_once();
        assert_eq!(one.as_str(), CHANGE.text);
        let three = batch(&[NEW, NEW, DELETE]).at_once();
        assert_eq!(
            three.as_str(),
            "WITH c0 AS (INSERT INTO one (a, b) VALUES ($1, $2)), \
             c1 AS (INSERT INTO one (a, b) VALUES ($3, $4)) DELETE FROM two WHERE a = $5"
        );
    }
}
