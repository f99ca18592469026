//! What is not this program's database is not opened, and a full one keeps nothing of the command.
//!
//! Must never count on a message's words: the fault's kind is what callers go by.

use super::{CountEntries, WriteEntries, both, file, open, schema};
use crate::engine::migrate;
use crate::{Database, Error, OpenFault, Role, Server, Settings};

#[tokio::test]
async fn a_database_without_this_schema_is_not_opened() {
    for place in both() {
        let none = Database::open(&place.settings, Role::Broker).await;
        assert!(none.is_err(), "there is nothing: {:?}", place.settings);
        migrate(&place.settings, Role::Holder).await.unwrap();
        let wrong = Database::open(&place.settings, Role::Broker)
            .await
            .unwrap_err();
        assert!(
            matches!(
                wrong,
                Error::Open {
                    fault: OpenFault::OtherRole(Role::Holder),
                    ..
                }
            ),
            "a holder's tables are not a broker's: {wrong:?}"
        );
        // Twice is once.
        migrate(&place.settings, Role::Holder).await.unwrap();
        Database::open(&place.settings, Role::Holder).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let url = "postgres://sluis@localhost/none?host=/nowhere".to_owned();
    let settings = Settings::Postgres(Server {
        url,
        password: None,
        schema: None,
        connections_max: 1,
    });
    let away = Database::open(&settings, Role::Broker).await.unwrap_err();
    let unreachable = OpenFault::Unreachable;
    assert!(
        matches!(away, Error::Open { fault, .. } if fault == unreachable),
        "{away:?}"
    );
}

#[tokio::test]
async fn a_command_that_fails_keeps_nothing() {
    for place in both() {
        let database = open(&place, Role::Broker).await;
        let failing = WriteEntries {
            fails: true,
            ..WriteEntries::new(1, 3)
        };
        assert!(database.write(&failing).await.is_err());
        assert_eq!(database.read(&CountEntries).await.unwrap(), 0);
        database.write(&WriteEntries::new(1, 3)).await.unwrap();
        assert_eq!(database.read(&CountEntries).await.unwrap(), 3);
        // The same entries once more: that cannot be, and stays so however often it is tried.
        assert!(database.write(&WriteEntries::new(1, 3)).await.is_err());
        assert_eq!(database.read(&CountEntries).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_full_database_says_so_and_keeps_nothing_of_the_command() {
    let place = file(Some(190));
    let database = open(&place, Role::Broker).await;
    database.write(&WriteEntries::new(1, 200)).await.unwrap();
    let mut full = None;
    for round in 2..10 {
        if let Err(error) = database.write(&WriteEntries::new(round, 200)).await {
            full = Some((round, error));
            break;
        }
    }
    let (round, error) = full.unwrap();
    assert!(matches!(error, Error::Full(_)), "{error:?}");
    for _ in 0..3 {
        let again = WriteEntries::new(round, 200);
        let error = database.write(&again).await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "each time: {error:?}");
    }
    let kept = database.read(&CountEntries).await.unwrap();
    assert_eq!(kept, i64::from(round - 1) * 200, "whole commands only");
}

#[tokio::test]
async fn two_that_write_the_same_row_at_once_come_one_after_the_other() {
    let place = schema();
    let database = open(&place, Role::Broker).await;
    for round in 1..=20 {
        let work = [WriteEntries::new(round, 5), WriteEntries::new(round, 5)];
        let (one, other) = tokio::join!(database.write(&work[0]), database.write(&work[1]));
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    }
    assert_eq!(database.read(&CountEntries).await.unwrap(), 100);
}
