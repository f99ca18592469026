//! Commands that share a commit: each is whole or not there, whoever of them fails or gives up.
//!
//! Must never pass because each had a commit of its own: they are many at once.

use super::{CountEntries, WriteEntries, file, open, schema};
use crate::{Database, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Commands at once.
const COMMANDS: u8 = 120;
/// Entries of each.
const ENTRIES: u8 = 3;

async fn many(database: &Arc<Database>, fails: impl Fn(u8) -> bool) -> i64 {
    let mut tasks = JoinSet::new();
    for number in 1..=COMMANDS {
        let (database, fails) = (Arc::clone(database), fails(number));
        tasks.spawn(async move {
            let work = WriteEntries {
                fails,
                ..WriteEntries::new(number, ENTRIES)
            };
            assert_eq!(database.write(&work).await.is_ok(), !fails, "{number}");
            i64::from(!fails)
        });
    }
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_spoils_no_other() {
    for place in [file(None), schema()] {
        let database = Arc::new(open(&place, Role::Broker).await);
        let done = many(&database, |number| number % 3 == 0).await;
        let kept = database.read(&CountEntries).await.unwrap();
        assert_eq!(kept, done * i64::from(ENTRIES));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_committed() {
    let place = file(None);
    let database = Arc::new(open(&place, Role::Broker).await);
    let other = Database::open(&place.settings, Role::Broker).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 1..=COMMANDS {
        let database = Arc::clone(&database);
        tasks.spawn(async move {
            let work = WriteEntries::new(number, ENTRIES);
            database.write(&work).await.unwrap();
        });
    }
    let mut answered = 0;
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
        answered += i64::from(ENTRIES);
        // Another connection sees what was committed and nothing else.
        let seen = other.read(&CountEntries).await.unwrap();
        assert!(seen >= answered, "{seen} of {answered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_given_up_takes_no_other_along() {
    let place = file(None);
    let database = Arc::new(open(&place, Role::Broker).await);
    let mut given_up = JoinSet::new();
    for number in 0..COMMANDS {
        let database = Arc::clone(&database);
        given_up.spawn(async move {
            let work = WriteEntries::new(number + COMMANDS, 200);
            let patience = Duration::from_micros(u64::from(number) * 50);
            tokio::time::timeout(patience, database.write(&work)).await
        });
    }
    let done = many(&database, |_| false).await;
    assert_eq!(done, i64::from(COMMANDS));
    let whole = given_up
        .join_all()
        .await
        .into_iter()
        .filter(Result::is_ok)
        .count();
    // One that was given up while its group was being committed is there as well, and is whole.
    let kept = database.read(&CountEntries).await.unwrap() - done * i64::from(ENTRIES);
    assert_eq!(kept % 200, 0, "whole commands only");
    assert!(kept >= i64::try_from(whole).unwrap() * 200);
}
