//! Both engines have the same tables with the same columns, and give back what was put in.
//!
//! Must never compare one engine with itself.

use super::{both, entry, open};
use crate::sql::{Sql, column, sql};
use crate::{Error, Role, Tx, Work};
use std::collections::BTreeMap;

const SQLITE_COLUMNS: Sql = sql!(
    "SELECT m.name AS table_name, c.name AS column_name, c.type AS kind, \
     c.\"notnull\" AS needed FROM sqlite_master m JOIN pragma_table_info(m.name) c \
     WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'"
);
const POSTGRES_COLUMNS: Sql = sql!(
    "SELECT CAST(table_name AS TEXT) AS table_name, CAST(column_name AS TEXT) AS column_name, \
     CAST(data_type AS TEXT) AS kind, CAST(CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END AS BIGINT) AS needed \
     FROM information_schema.columns \
     WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_%' ESCAPE '\\'"
);
const SQLITE_INDEXES: Sql =
    sql!("SELECT name AS index_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL");
const POSTGRES_INDEXES: Sql = sql!(
    "SELECT CAST(indexname AS TEXT) AS index_name FROM pg_indexes \
     WHERE schemaname = current_schema() AND indexname NOT LIKE '%pkey'"
);

type Columns = BTreeMap<(String, String), (String, bool)>;

/// Reads what a database has.
struct Shape {
    columns: Sql,
    indexes: Sql,
}

impl Work for Shape {
    type Output = (Columns, Vec<String>);
    type Error = Error;

    fn name(&self) -> &'static str {
        "Shape"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, Error> {
        let mut columns = Columns::new();
        for row in tx.all(self.columns, &[]).await? {
            let kind: String = column(&row, "kind")?;
            let kind = match kind.as_str() {
                "BLOB" | "bytea" => "octets",
                "INTEGER" | "bigint" => "number",
                "TEXT" | "text" => "text",
                other => panic!("{other} is not a kind that both engines have"),
            };
            let needed: i64 = column(&row, "needed")?;
            let name = (column(&row, "table_name")?, column(&row, "column_name")?);
            columns.insert(name, (kind.to_owned(), needed == 1));
        }
        let rows = tx.all(self.indexes, &[]).await?;
        let indexes: Result<Vec<String>, Error> =
            rows.iter().map(|row| column(row, "index_name")).collect();
        let mut indexes = indexes?;
        indexes.sort();
        Ok((columns, indexes))
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_and_indexes() {
    for (role, tables) in [(Role::Broker, 29), (Role::Holder, 5), (Role::Portal, 6)] {
        let [sqlite, postgres] = both();
        let on_sqlite = Shape {
            columns: SQLITE_COLUMNS,
            indexes: SQLITE_INDEXES,
        };
        let on_postgres = Shape {
            columns: POSTGRES_COLUMNS,
            indexes: POSTGRES_INDEXES,
        };
        let sqlite = open(&sqlite, role).await.read(&on_sqlite).await.unwrap();
        let postgres = open(&postgres, role).await.read(&on_postgres).await;
        assert_eq!(sqlite, postgres.unwrap());
        let mut names: Vec<_> = sqlite.0.keys().map(|(table, _)| table).collect();
        names.dedup();
        assert_eq!(names.len(), tables, "{names:?}");
    }
}

/// Writes an entry and reads it back.
struct ThereAndBack;

impl Work for ThereAndBack {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "ThereAndBack"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        let put = entry(7, 0);
        tx.insert_entry(&put).await?;
        let got = tx.entry(put.entry_id).await?.unwrap();
        assert_eq!(format!("{put:?}"), format!("{got:?}"));
        Ok(())
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

#[tokio::test]
async fn what_is_put_in_comes_out_on_both() {
    for place in both() {
        let database = open(&place, Role::Broker).await;
        database.write(&ThereAndBack).await.unwrap();
    }
}
