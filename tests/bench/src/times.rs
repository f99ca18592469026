//! How long calls took: sorted, and looked up by percentage.
//!
//! Must never give a percentage of calls that were not made.

use std::time::Duration;

/// Durations, the shortest first.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Of at least one call.
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort();
        Self(times)
    }

    /// So many percent of the calls took less; at 100 the longest.
    fn at(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[place]
    }

    pub(crate) fn micros(&self, percent: usize) -> f64 {
        self.at(percent).as_secs_f64() * 1e6
    }

    pub(crate) fn millis(&self, percent: usize) -> f64 {
        self.at(percent).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::Times;
    use std::time::Duration;

    #[test]
    fn percentages_are_of_the_sorted_times() {
        let times = Times::new((0..200).rev().map(Duration::from_millis).collect());
        let seen = [0, 50, 99, 100].map(|percent| times.at(percent).as_millis());
        assert_eq!(seen, [0, 100, 198, 199]);
        assert_eq!(times.millis(50), 100.0);
        assert_eq!(times.micros(50), 100_000.0);
    }
}
