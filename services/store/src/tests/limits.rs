//! What a server's limits do to a command: it is told that the database cannot be had at the moment, soon, and
//! nothing of it is kept.
//!
//! Must never lengthen a limit to make it pass: each is reached for real.

use super::{CountEntries, WriteEntries, entry, open, schema};
use crate::sql::{Sql, sql};
use crate::{Database, Error, Role, Server, Settings, Tx, Work};
use std::time::{Duration, Instant};

/// Longer than any limit of a server, and than a command goes on beginning anew.
const SOON: Duration = Duration::from_secs(12);

const SHORT_STATEMENT: Sql = sql!("SET LOCAL statement_timeout = 100");
const SHORT_IDLE: Sql = sql!("SET LOCAL idle_in_transaction_session_timeout = 100");
const SLEEP: Sql = sql!("SELECT CAST(pg_sleep(1) AS TEXT) AS slept");
const LOCK_ALL: Sql = sql!("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE");

/// Writes an entry and then runs into a limit.
enum Reach {
    Statement,
    Idle,
    Lock,
}

impl Work for Reach {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "Reach"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        match self {
            Self::Statement => {
                tx.insert_entry(&entry(1, 1)).await?;
                tx.execute(SHORT_STATEMENT, &[]).await?;
                tx.one(SLEEP, &[]).await?;
            }
            Self::Idle => {
                tx.insert_entry(&entry(1, 1)).await?;
                tx.execute(SHORT_IDLE, &[]).await?;
                tokio::time::sleep(Duration::from_millis(400)).await;
                tx.insert_entry(&entry(1, 2)).await?;
            }
            Self::Lock => drop(tx.execute(LOCK_ALL, &[]).await?),
        }
        Ok(())
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// Holds every row until it is told to go.
struct Hold {
    held: tokio::sync::Notify,
    go: tokio::sync::Notify,
}

impl Work for Hold {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "Hold"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        tx.execute(LOCK_ALL, &[]).await?;
        self.held.notify_one();
        self.go.notified().await;
        Ok(())
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

/// That a command was told that it may try later, in good time, and why in the words of the database.
fn check(answer: Result<(), Error>, begun: Instant, words: &str) {
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let said = format!("{error:?}");
    assert!(said.contains(words), "`{words}` is not in {said}");
    assert!(begun.elapsed() < SOON, "{words}: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_limit_of_the_server_is_told_and_nothing_is_kept() {
    let place = schema();
    let database = open(&place, Role::Broker).await;
    for (work, words) in [
        (Reach::Statement, "statement timeout"),
        // The server says why and hangs up; who writes then may only see that nobody listens.
        (Reach::Idle, ""),
    ] {
        check(database.write(&work).await, Instant::now(), words);
        assert_eq!(database.read(&CountEntries).await.unwrap(), 0, "{words}");
    }
    database.write(&WriteEntries::new(1, 2)).await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_lock_or_a_connection_is_told_in_time() {
    let mut place = schema();
    let beside = open(&place, Role::Broker).await;
    let Settings::Postgres(Server {
        connections_max, ..
    }) = &mut place.settings
    else {
        panic!("a schema is on a server");
    };
    *connections_max = 1;
    let database = Database::open(&place.settings, Role::Broker).await.unwrap();
    let hold = Hold {
        held: tokio::sync::Notify::new(),
        go: tokio::sync::Notify::new(),
    };
    let others = async {
        hold.held.notified().await;
        let begun = Instant::now();
        // One waits for the lock and has the only connection; the next but one waits for that too long.
        let works = [Reach::Lock, Reach::Lock, Reach::Lock];
        let (one, two, three) = tokio::join!(
            database.write(&works[0]),
            database.write(&works[1]),
            database.write(&works[2])
        );
        hold.go.notify_one();
        check(one, begun, "lock timeout");
        check(two, begun, "lock timeout");
        check(three, begun, "PoolTimedOut");
    };
    let (held, ()) = tokio::join!(beside.write(&hold), others);
    held.unwrap();
    database.write(&WriteEntries::new(1, 2)).await.unwrap();
}
