//! How SQLite goes about each statement of the broker and the portal, and both engines about a search of the log and about
//! what the portal compares with its copies: no call may take longer because tables have grown.
//!
//! Must never excuse a table that grows with what is handed over.

use super::statements::{BROKER, PORTAL};
use super::{both, file, open};
use crate::audit::SEARCHES;
use crate::sql::{Arg, Row, Sql, column};
use crate::{Error, Role, Settings, Tx, Work};

/// What may be read from one end to the other: one row for each party, each restoration, each wrong code of ten
/// minutes, each migration, each line that the portal has not taken over, each stop that something follows from, each organisation of which a stop does
/// not open; and what a statement has found by an index.
const SMALL: [&str; 9] = [
    "_sqlx_migrations",
    "consequence",
    "found",
    "head",
    "inbox_head",
    "restoration",
    "unreadable_stop",
    "wrong_code",
    "feed",
];

/// The portal's: one row for each restoration and each migration; and rows of which none is left when they have followed, all of which go at
/// once after one.
const SMALL_AT_PORTAL: [&str; 3] = ["_sqlx_migrations", "restoration", "copy_due"];

/// Explains every statement; gives those that read a table from one end to the other that is none of the small ones.
struct Explain {
    all: &'static [&'static [Sql]],
    small: &'static [&'static str],
}

impl Work for Explain {
    type Output = Vec<String>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "Explain"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for sql in self.all.concat() {
            let plan = Sql::reading(format!("EXPLAIN QUERY PLAN {}", sql.text).leak());
            for row in tx.all(plan, &[]).await? {
                let step: String = column(&row, "detail")?;
                let mut words = step.split_whitespace();
                let scanned = words
                    .next()
                    .filter(|word| *word == "SCAN")
                    .and(words.next());
                if scanned.is_some_and(|table| !self.small.contains(&table)) {
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
    let (broker, portal): (&[&str], &[&str]) = (&SMALL, &SMALL_AT_PORTAL);
    for (role, all, small) in [
        (Role::Broker, BROKER, broker),
        (Role::Portal, PORTAL, portal),
    ] {
        let place = file(None);
        let database = open(&place, role).await;
        let found = database.write(&Explain { all, small }).await.unwrap();
        assert!(found.is_empty(), "{role:?} {found:#?}");
        database.close().await;
    }
}

/// On a server whose tables are empty it would do to read them whole.
const AS_IF_GROWN: Sql = Sql::reading("SET LOCAL enable_seqscan = off");

const SOME_OCTETS: &[u8] = &[1; 16];

/// Explains statements; gives those that go by another index than they name.
struct ExplainIndexes {
    all: &'static [(Sql, &'static str)],
    args: &'static [Arg<'static>],
    is_file: bool,
}

impl Work for ExplainIndexes {
    type Output = Vec<String>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "ExplainIndexes"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let explain = if self.is_file {
            "EXPLAIN QUERY PLAN"
        } else {
            tx.execute(AS_IF_GROWN, &[]).await?;
            "EXPLAIN"
        };
        for (sql, index) in self.all {
            let plan = Sql::reading(format!("{explain} {}", sql.text).leak());
            let rows = tx.all(plan, self.args).await?;
            let steps: Result<Vec<String>, Error> = rows
                .iter()
                .map(|row| match row {
                    Row::Sqlite(_) => column(row, "detail"),
                    Row::Postgres(_) => column(row, "QUERY PLAN"),
                })
                .collect();
            let steps = steps?.join("\n");
            // The index alone gives the order too: nothing is sorted, and the limit ends the reading.
            let named = steps.split_whitespace().any(|word| word == *index);
            if !named || steps.contains("Sort") || steps.contains("TEMP B-TREE") {
                found.push(format!("{index}: {steps}"));
            }
        }
        Ok(found)
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

async fn check(role: Role, all: &'static [(Sql, &str)], args: &'static [Arg<'static>]) {
    for place in both() {
        let database = open(&place, role).await;
        let is_file = matches!(place.settings, Settings::Sqlite(_));
        let explain = ExplainIndexes { all, args, is_file };
        let found = database.write(&explain).await.unwrap();
        assert!(found.is_empty(), "{found:#?}");
        database.close().await;
    }
}

#[tokio::test]
async fn each_condition_of_a_search_goes_by_the_index_of_its_own() {
    const TAG: Arg<'_> = Arg::Octets(Some(SOME_OCTETS));
    check(
        Role::Broker,
        SEARCHES,
        &[TAG, TAG, TAG, Arg::Number(Some(10))],
    )
    .await;
}

#[tokio::test]
async fn lines_that_have_a_copy_go_by_the_index_of_their_own() {
    const TAG: Arg<'_> = Arg::Octets(Some(SOME_OCTETS));
    const TEN: Arg<'_> = Arg::Number(Some(10));
    let [by_id, by_time] = crate::errand::BY_INDEX else {
        panic!("there are two");
    };
    check(Role::Portal, std::slice::from_ref(by_id), &[TAG, TEN]).await;
    check(Role::Portal, std::slice::from_ref(by_time), &[TEN, TEN]).await;
}
