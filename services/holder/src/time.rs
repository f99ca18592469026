//! When it is, as far as a holder can know, and in what spans of time it carried orders out.
//!
//! An order lives by its window, so a wrong clock could give it a second life. While the wall clock does not go as
//! time does nothing is judged; once it does again the holder goes on as after a restart. Whether an order that begins
//! now may have been carried out before is read from spans, not from how far time has come: one that was ahead for a
//! while shuts out nothing but what was carried out then. Must never give a moment while the clock is not gone by.

use crate::HolderError;
use rules::clock::{Clock, ClockWatch, Reading, Standing, Steady, Timestamp};
use rules::limits::MINUTE_MILLIS;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::holder::Carried;
use store::{Database, Tx, Work};

/// How far a span is stored ahead of an order in it: one write in this time and not one for each order. A restart that
/// is quicker than this waits for the rest of it.
const SPAN_STEP_MILLIS: i64 = 1_000;
/// Most spans of before. Beyond it the oldest become one, which covers the time between them too.
const SPANS_MAX: usize = 64;

/// Most periods of this process whose spans are read as they are, because an order may still be under way in one.
const PERIODS_MAX: usize = 8;

/// The time between two jumps of the clock, or since the start.
pub(crate) struct Period {
    /// Counted from 0 in this process.
    pub(crate) number: u64,
    began: Timestamp,
    /// Spans of before this process, and of its own periods that are long over.
    spans: Vec<Carried>,
    /// The last periods before this one.
    earlier: Vec<Arc<Self>>,
    /// Where the stored span of this one ends, in milliseconds; less than its beginning while there is none.
    ended: AtomicI64,
}

impl Period {
    fn new(number: u64, began: Timestamp, spans: Vec<Carried>, earlier: Vec<Arc<Self>>) -> Self {
        Self {
            number,
            began,
            spans,
            earlier,
            ended: AtomicI64::new(i64::MIN),
        }
    }

    /// The next one, which begins now.
    fn next(this: &Arc<Self>, now: Timestamp) -> Self {
        let (mut spans, mut earlier) = (this.spans.clone(), this.earlier.clone());
        earlier.push(Arc::clone(this));
        if earlier.len() > PERIODS_MAX {
            spans.extend(earlier.remove(0).span());
            spans.sort_unstable_by_key(|span| (span.ended, span.began));
            join_oldest(&mut spans);
        }
        Self::new(this.number.saturating_add(1), now, spans, earlier)
    }

    /// The span of what was carried out in it; `None` when nothing was.
    fn span(&self) -> Option<Carried> {
        let ended = Timestamp::from_millis(self.ended.load(Ordering::Acquire));
        (ended > self.began).then_some(Carried {
            began: self.began,
            ended,
        })
    }

    /// Whether an order that begins at this moment may have been carried out before this period.
    pub(crate) fn may_be_repeated(&self, not_before: Timestamp) -> bool {
        let own = self.earlier.iter().filter_map(|period| period.span());
        let mut spans = self.spans.iter().copied().chain(own);
        not_before < self.began || spans.any(|span| (span.began..span.ended).contains(&not_before))
    }
}

/// A moment at which orders may be judged.
#[derive(Clone)]
pub(crate) struct Moment {
    /// When it is: never earlier than another moment of the same period.
    pub(crate) now: Timestamp,
    /// The period that it is of.
    pub(crate) period: Arc<Period>,
}

#[cfg(test)]
impl Moment {
    /// A moment of a period that began with it.
    pub(crate) fn of(period: u64, now: Timestamp) -> Self {
        let period = Arc::new(Period::new(period, now, Vec::new(), Vec::new()));
        Self { now, period }
    }
}

struct State {
    watch: ClockWatch,
    latest: Timestamp,
    period: Arc<Period>,
}

/// The clock of one holder.
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    steady: Arc<dyn Steady>,
    state: Mutex<State>,
    database: Arc<Database>,
    /// One write at a time, so that a crowd at the end of a span makes one and not many.
    covering: tokio::sync::Mutex<()>,
}

impl Time {
    /// Begins with the clock as it is and the spans of before.
    pub(crate) async fn open(
        (clock, steady): (Arc<dyn Clock>, Arc<dyn Steady>),
        database: Arc<Database>,
    ) -> Result<Self, HolderError> {
        let spans = database.write(&Spans).await?;
        // Else orders that are fresh would be refused until then.
        let now = clock.now();
        let rest = spans.iter().map(|span| span.ended.millis_since(now));
        let rest = rest.filter(|rest| (1..=SPAN_STEP_MILLIS).contains(rest));
        if let Some(rest) = rest.max() {
            tokio::time::sleep(Duration::from_millis(rest.unsigned_abs())).await;
        }
        let first = Reading::take(clock.as_ref(), steady.as_ref());
        let state = State {
            watch: ClockWatch::new(first),
            latest: first.wall,
            period: Arc::new(Period::new(0, first.wall, spans, Vec::new())),
        };
        Ok(Self {
            clock,
            steady,
            state: Mutex::new(state),
            database,
            covering: tokio::sync::Mutex::new(()),
        })
    }

    /// The present moment.
    ///
    /// # Errors
    /// [`HolderError::Clock`] while the clock is not gone by.
    pub(crate) fn moment(&self) -> Result<Moment, HolderError> {
        let mut state = self.lock();
        let reading = Reading::take(self.clock.as_ref(), self.steady.as_ref());
        match state.watch.look(reading) {
            Standing::Agrees => {}
            Standing::Jumped(millis) => {
                tracing::error!(
                    millis,
                    "the clock jumped: no order is judged until it goes well"
                );
                return Err(HolderError::Clock);
            }
            Standing::Unsettled => return Err(HolderError::Clock),
            Standing::Settled => {
                tracing::warn!("the clock goes well again: orders from before are refused");
                state.period = Arc::new(Period::next(&state.period, reading.wall));
                state.latest = reading.wall;
            }
        }
        state.latest = state.latest.max(reading.wall);
        Ok(Moment {
            now: state.latest,
            period: Arc::clone(&state.period),
        })
    }

    /// What the clock shows, right or not: for what is only written down.
    pub(crate) fn shown(&self) -> Timestamp {
        self.clock.now()
    }

    /// Which minute it is by the count that nobody sets.
    pub(crate) fn minute(&self) -> i64 {
        self.steady.millis().div_euclid(MINUTE_MILLIS)
    }

    /// Stores, before it is carried out, that an order which begins then was.
    pub(crate) async fn cover(
        &self,
        period: &Period,
        not_before: Timestamp,
    ) -> Result<(), HolderError> {
        let is_covered = || not_before.millis() < period.ended.load(Ordering::Acquire);
        if is_covered() {
            return Ok(());
        }
        let _turn = self.covering.lock().await;
        if is_covered() {
            return Ok(());
        }
        let ended = not_before.plus_millis(SPAN_STEP_MILLIS);
        let span = Carried {
            began: period.began,
            ended,
        };
        self.database.write(&Cover(span)).await?;
        period.ended.fetch_max(ended.millis(), Ordering::AcqRel);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes one of the oldest spans, where there are too many; gives those that it took the place of.
fn join_oldest(spans: &mut Vec<Carried>) -> Vec<Carried> {
    let Some(more) = spans.len().checked_sub(SPANS_MAX).filter(|more| *more > 0) else {
        return Vec::new();
    };
    let joined: Vec<Carried> = spans.drain(..=more).collect();
    let began = joined.iter().map(|span| span.began).min();
    if let (Some(began), Some(last)) = (began, joined.last()) {
        let ended = last.ended;
        spans.insert(0, Carried { began, ended });
    }
    joined
}

/// Reads the spans of before, and joins the oldest where there are too many.
struct Spans;

impl Work for Spans {
    type Output = Vec<Carried>;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "ReadCarried"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Self::Output, HolderError> {
        let mut spans = tx.carried().await?;
        let joined = join_oldest(&mut spans);
        for span in &joined {
            tx.delete_carried(span.began).await?;
        }
        if let (false, Some(one)) = (joined.is_empty(), spans.first()) {
            tx.put_carried(*one).await?;
        }
        Ok(spans)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}

struct Cover(Carried);

impl Work for Cover {
    type Output = ();
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "CoverCarried"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), HolderError> {
        Ok(tx.put_carried(self.0).await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(began: i64, ended: i64) -> Carried {
        Carried {
            began: Timestamp::from_millis(began),
            ended: Timestamp::from_millis(ended),
        }
    }

    #[test]
    fn the_oldest_spans_become_one_and_the_latest_stay() {
        let many =
            |count: i64| -> Vec<Carried> { (0..count).map(|n| span(n * 10, n * 10 + 5)).collect() };
        let max = i64::try_from(SPANS_MAX).unwrap();
        let mut spans = many(max);
        assert!(join_oldest(&mut spans).is_empty());
        assert_eq!(spans, many(max), "that many are kept");
        let mut spans = many(max + 3);
        assert_eq!(join_oldest(&mut spans), many(4));
        assert_eq!(spans.len(), SPANS_MAX);
        assert_eq!(spans[0], span(0, 35));
        assert_eq!(spans[1..], many(max + 3)[4..]);
    }
}
