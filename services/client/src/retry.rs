//! Repeating what failed on the way: how often, how long between, and what is never repeated.
//!
//! Must never repeat after a definite answer, and never without a bound.

use crate::error::ClientError;
use rules::clock::Random;
use std::future::Future;
use std::time::Duration;

/// Longest wait that a gateway may ask for; a longer wish ends the attempts, the outbox keeps the rest.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(60);

/// How often and how fast to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// Wait before the second attempt; doubles each time.
    pub first_wait: Duration,
    /// Longest wait between two attempts.
    pub wait_max: Duration,
}

impl RetryPolicy {
    /// One attempt: for whoever repeats by other means.
    pub const ONCE: Self = Self {
        attempts_max: 1,
        first_wait: Duration::ZERO,
        wait_max: Duration::ZERO,
    };
}

impl Default for RetryPolicy {
    /// Six attempts within about eight seconds.
    fn default() -> Self {
        Self {
            attempts_max: 6,
            first_wait: Duration::from_millis(250),
            wait_max: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// The wait after the attempt with this number (from 1): doubled each time, bounded, of which the
    /// second half is chance, so that many clients don't come back at the same moment. A wait that the
    /// gateway asked for is a minimum; none means that it is too long to stay for.
    fn wait(&self, attempt: u32, asked: Option<Duration>, random: &dyn Random) -> Option<Duration> {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let whole = self.first_wait.saturating_mul(doubled).min(self.wait_max);
        let mut octets = [0; 4];
        random.fill(&mut octets);
        let half = whole / 2;
        let share = f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX);
        let wait = half.saturating_add(half.mul_f64(share));
        match asked {
            Some(asked) if asked > ASKED_WAIT_MAX => None,
            Some(asked) => Some(wait.max(asked)),
            None => Some(wait),
        }
    }

    /// Waits as after the attempt with this number (from 1).
    pub(crate) async fn pause(&self, attempt: u32, random: &dyn Random) {
        if let Some(wait) = self.wait(attempt, None, random) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes attempts until one gives a definite answer or the attempts are used up, and then gives the
    /// last one's error. An order that expired is no definite answer, because each attempt signs its own.
    pub(crate) async fn repeat<T, Attempt, Answer>(
        &self,
        random: &dyn Random,
        mut attempt: Attempt,
    ) -> Result<T, ClientError>
    where
        Attempt: FnMut() -> Answer + Send,
        Answer: Future<Output = Result<T, ClientError>> + Send,
    {
        let mut number = 1;
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let asked = if let ClientError::Refused(refused) = &error {
                refused.retry_after
            } else {
                None
            };
            let wait = self.wait(number, asked, random);
            match wait {
                Some(wait) if may_pass(&error) && number < self.attempts_max => {
                    tokio::time::sleep(wait).await;
                }
                Some(_) | None => return Err(error),
            }
            number = number.saturating_add(1);
        }
    }
}

fn may_pass(error: &ClientError) -> bool {
    error.is_repeatable() || error.wants_fresh_order()
}

#[cfg(test)]
mod tests {
    use super::RetryPolicy;
    use std::time::Duration;
    use vault::chance::SystemChance;

    fn check(attempt: u32, asked_millis: Option<u64>, expected_millis: Option<(u64, u64)>) {
        let policy = RetryPolicy {
            attempts_max: 9,
            first_wait: Duration::from_millis(100),
            wait_max: Duration::from_secs(1),
        };
        let asked = asked_millis.map(Duration::from_millis);
        for _ in 0..50 {
            let wait = policy.wait(attempt, asked, &SystemChance::new());
            let millis = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap());
            match expected_millis {
                Some((low, high)) => assert!((low..=high).contains(&millis.unwrap())),
                None => assert_eq!(millis, None),
            }
        }
    }

    #[test]
    fn waits_double_stay_bounded_and_honour_the_gateway() {
        check(1, None, Some((50, 100)));
        check(2, None, Some((100, 200)));
        check(4, None, Some((400, 800)));
        check(5, None, Some((500, 1_000)));
        check(u32::MAX, None, Some((500, 1_000)));
        check(1, Some(3_000), Some((3_000, 3_000)));
        check(1, Some(1), Some((50, 100)));
        check(1, Some(61_000), None);
    }
}
