//! Which connections of a pool may still be used: after one of them failed, only those that are younger.
//!
//! A server that switched over leaves a whole pool of connections to the old one, which answer and take no changes.
//! Must never close a connection in the middle of a transaction: it is closed when it comes back, or before it is
//! handed out.

use crate::Error;
use crate::error::is_of_the_way;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection that was idle may take for a sign of life.
const SIGN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the server may take for one round trip: longer than any limit that it has been given itself. Who waits longer
/// waits for a machine that is gone, or for a commit that its standby never hears of.
const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(7);

/// Since when connections count as fresh: the last moment at which one of them failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freshness(Arc<Mutex<Option<Instant>>>);

impl Freshness {
    /// What comes of a round trip on a connection. A fault of the way to the database is a sign against every
    /// connection that was made until now.
    pub(crate) async fn heed<T>(
        &self,
        round_trip: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        self.heed_within(ROUND_TRIP_TIMEOUT, round_trip).await
    }

    async fn heed_within<T>(
        &self,
        limit: Duration,
        round_trip: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        let lost = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let done = tokio::time::timeout(limit, round_trip).await;
        done.map_err(lost).flatten().map_err(|error| {
            if is_of_the_way(&error) {
                self.end();
            }
            error.into()
        })
    }

    /// Nothing that was made until now is fresh any more.
    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age is younger than the last fault.
    fn covers(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age < since.elapsed())
    }

    /// Has a pool close what is not fresh, and what gives no sign of life.
    pub(crate) fn watch(&self, pool: PgPoolOptions) -> PgPoolOptions {
        let (before, after) = (self.clone(), self.clone());
        // The pool's own test would wait for a sign of life for as long as the system waits for a lost peer.
        pool.test_before_acquire(false)
            .before_acquire(move |connection, about| {
                let before = before.clone();
                Box::pin(async move {
                    if !before.covers(about.age) {
                        return Ok(false);
                    }
                    let is_alive = is_alive(connection).await;
                    if !is_alive {
                        before.end();
                    }
                    Ok(is_alive)
                })
            })
            .after_release(move |_, about| {
                Box::pin(std::future::ready(Ok(after.covers(about.age))))
            })
    }
}

async fn is_alive(connection: &mut PgConnection) -> bool {
    let sign = tokio::time::timeout(SIGN_TIMEOUT, connection.ping()).await;
    matches!(sign, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heed(freshness: &Freshness, error: sqlx::Error) -> Error {
        let failed = std::future::ready(Err::<(), _>(error));
        freshness.heed(failed).await.unwrap_err()
    }

    #[tokio::test]
    async fn one_that_failed_speaks_for_those_that_are_as_old() {
        let freshness = Freshness::default();
        let old = Duration::from_secs(3_600);
        let no_row = heed(&freshness, sqlx::Error::RowNotFound).await;
        assert!(matches!(no_row, Error::Broken(_)));
        assert!(
            freshness.covers(old),
            "a statement's own fault says nothing"
        );
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let gone = heed(&freshness, sqlx::Error::Io(gone)).await;
        assert!(matches!(gone, Error::Unavailable(_)));
        assert!(!freshness.covers(old));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(
            freshness.covers(Duration::ZERO),
            "what is made later is fresh"
        );
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let freshness = Freshness::default();
        let never = std::future::pending::<Result<(), sqlx::Error>>();
        let silent = freshness.heed_within(Duration::from_millis(1), never).await;
        let silent = silent.unwrap_err();
        assert!(silent.is_transient(), "{silent:?}");
        assert!(!freshness.covers(Duration::from_secs(3_600)));
    }
}
