//! How SQLite goes about each statement of the broker: no call may take longer because tables have grown.
//!
//! Must never excuse a table that grows with what is handed over.

use super::statements::BROKER;
use super::{file, open};
use crate::sql::{Sql, column};
use crate::{Error, Role, Tx, Work};

/// What may be read from one end to the other: one row for each party, each restoration, each wrong code of ten
/// minutes, each line that the portal has not taken over, each stop that something follows from; and what a statement has found by an index.
const SMALL: [&str; 7] = [
    "consequence",
    "found",
    "head",
    "inbox_head",
    "restoration",
    "wrong_code",
    "feed",
];

/// Explains every statement; gives those that read a table from one end to the other.
struct Explain;

impl Work for Explain {
    type Output = Vec<String>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "Explain"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for sql in BROKER.concat() {
            let text: &'static str = format!("EXPLAIN QUERY PLAN {}", sql.text).leak();
            let plan = Sql {
                text,
                locking: text,
            };
            for row in tx.all(plan, &[]).await? {
                let step: String = column(&row, "detail")?;
                let mut words = step.split_whitespace();
                let scanned = words
                    .next()
                    .filter(|word| *word == "SCAN")
                    .and(words.next());
                if scanned.is_some_and(|table| !SMALL.contains(&table)) {
                    found.push(format!("{step}: {}", sql.text));
                }
            }
        }
        Ok(found)
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

#[tokio::test]
async fn no_statement_reads_a_table_that_grows_from_one_end_to_the_other() {
    let place = file(None);
    let database = open(&place, Role::Broker).await;
    let found = database.write(&Explain).await.unwrap();
    assert!(found.is_empty(), "{found:#?}");
    database.close().await;
}
