//! Every statement is prepared on a real database, and the door behaves: budgets, refusals, room.
//!
//! Must never test what a statement means: that is for the use cases.

use crate::tx::migrate;
use crate::{Database, Error, Role, Settings, Tx, Work};
use rules::clock::Timestamp;
use rules::id::{EntryId, Tag};
use sqlx::Executor as _;

fn settings(folder: &tempfile::TempDir, pages_max: Option<u32>) -> Settings {
    Settings {
        path: folder.path().join("test.sqlite"),
        pages_max,
    }
}

struct PrepareAll(&'static [&'static [&'static str]]);

impl Work for PrepareAll {
    type Output = usize;
    type Error = Error;

    fn name(&self) -> &'static str {
        "PrepareAll"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx) -> Result<usize, Error> {
        let mut prepared = 0;
        for place in 0..self.0.len() {
            for number in 0..self.0[place].len() {
                let sql = sqlx::SqlStr::from_static(self.0[place][number]);
                tx.statement().prepare(sql).await.map_err(Error::from)?;
                prepared += 1;
            }
        }
        Ok(prepared)
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

#[tokio::test]
async fn every_statement_of_the_broker_can_be_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    migrate(&settings, Role::Broker).await.unwrap();
    let database = Database::open(&settings, Role::Broker).await.unwrap();
    let all = PrepareAll(&[
        crate::audit::STATEMENTS,
        crate::consent::STATEMENTS,
        crate::directory::STATEMENTS,
        crate::feed::STATEMENTS,
        crate::handover::STATEMENTS,
        crate::inbox::STATEMENTS,
        crate::link::STATEMENTS,
        crate::notice::STATEMENTS,
        crate::pseudonym::STATEMENTS,
        crate::request::STATEMENTS,
    ]);
    assert!(database.write(&all).await.unwrap() > 30);
}

#[tokio::test]
async fn every_statement_of_a_holder_can_be_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    migrate(&settings, Role::Holder).await.unwrap();
    let database = Database::open(&settings, Role::Holder).await.unwrap();
    let all = PrepareAll(&[crate::holder::STATEMENTS]);
    assert!(database.write(&all).await.unwrap() > 10);
}

#[tokio::test]
async fn every_statement_of_the_portal_can_be_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    migrate(&settings, Role::Portal).await.unwrap();
    let database = Database::open(&settings, Role::Portal).await.unwrap();
    let all = PrepareAll(&[crate::portal::STATEMENTS]);
    assert_eq!(database.write(&all).await.unwrap(), 8);
}

#[tokio::test]
async fn a_database_without_this_schema_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    assert!(
        Database::open(&settings, Role::Broker).await.is_err(),
        "there is no file"
    );
    migrate(&settings, Role::Holder).await.unwrap();
    let wrong = Database::open(&settings, Role::Broker).await.unwrap_err();
    assert!(
        matches!(wrong, Error::Schema { .. }),
        "a holder's tables are not a broker's: {wrong:?}"
    );
}

struct WriteEntries(u8);

impl Work for WriteEntries {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "WriteEntries"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx) -> Result<(), Error> {
        let mut id = [self.0; 16];
        for number in 0..200_u8 {
            id[15] = number;
            let row = crate::audit::EntryRow {
                entry_id: EntryId::from_slice(&id).unwrap(),
                leaf_index: None,
                leaf_sha256: [0; 32],
                year: 2026,
                time: Timestamp::from_millis(1),
                tags: crate::audit::EntryTags {
                    caller: Tag::new([1; 16]),
                    ..Default::default()
                },
                body: vec![0; 1_000],
            };
            tx.insert_entry(&row).await?;
        }
        Ok(())
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

struct CountEntries;

impl Work for CountEntries {
    type Output = i64;
    type Error = Error;

    fn name(&self) -> &'static str {
        "CountEntries"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx) -> Result<i64, Error> {
        tx.count_entries().await
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

#[tokio::test]
async fn a_full_database_says_so_and_keeps_nothing_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    migrate(&settings(&folder, None), Role::Broker)
        .await
        .unwrap();
    let database = Database::open(&settings(&folder, Some(150)), Role::Broker)
        .await
        .unwrap();
    database.write(&WriteEntries(1)).await.unwrap();
    let mut full = None;
    for round in 2..10 {
        if let Err(error) = database.write(&WriteEntries(round)).await {
            full = Some((round, error));
            break;
        }
    }
    let (round, error) = full.unwrap();
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    for _ in 0..3 {
        let error = database.write(&WriteEntries(round)).await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "each time: {error:?}");
    }
    let kept = database.read(&CountEntries).await.unwrap();
    assert_eq!(kept, i64::from(round - 1) * 200, "whole commands only");
}
