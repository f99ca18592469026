//! Calls in a closed loop (so many at a time, as fast as they go) and in an open one (each at its scheduled
//! moment, whatever became of those before it).
//!
//! Must never begin an open loop's call later because others are slow, must never count its latency from
//! anything but the scheduled moment, and must never count a call that was refused as done.

use crate::table::{Table, Target};
use crate::times::Times;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// From the order to begin until the first call is scheduled.
const LEAD: Duration = Duration::from_millis(20);
/// Texts of failed calls that are shown.
const SHOWN_MAX: usize = 3;

/// Does `work` for every number below `count`, so many at a time; gives how many a second.
pub(crate) async fn closed<F, W>(count: usize, concurrency: usize, work: W) -> f64
where
    W: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| {
            let (next, work) = (Arc::clone(&next), work.clone());
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    work(index).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no call failed");
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// What an open loop saw.
pub(crate) struct Flow {
    scheduled: usize,
    window: Duration,
    took: Vec<Duration>,
    /// Calls that were done when the last one's turn was over.
    done_in_time: usize,
    /// The most calls under way at the same time.
    most: usize,
    failed: Vec<String>,
}

/// Schedules `count` calls, `rate` a second. `work` gives why a call failed.
pub(crate) async fn open<F, W>(rate: u32, count: usize, work: W) -> Flow
where
    W: Fn(usize) -> F,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let gap = Duration::from_secs(1) / rate;
    let window = gap * u32::try_from(count).expect("a number of calls");
    let begun = Instant::now() + LEAD;
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let mut due = begun;
    for index in 0..count {
        tokio::time::sleep_until(due.into()).await;
        let (scheduled, call) = (due, work(index));
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        tasks.spawn(async move {
            most.fetch_max(
                under_way.fetch_add(1, Ordering::SeqCst) + 1,
                Ordering::SeqCst,
            );
            let outcome = call.await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            (scheduled.elapsed(), Instant::now(), outcome)
        });
        due += gap;
    }
    let mut flow = Flow {
        scheduled: count,
        window,
        took: Vec::with_capacity(count),
        done_in_time: 0,
        most: 0,
        failed: Vec::new(),
    };
    for (took, ended, outcome) in tasks.join_all().await {
        match outcome {
            Ok(()) => {
                flow.took.push(took);
                flow.done_in_time += usize::from(ended <= begun + window);
            }
            Err(why) => flow.failed.push(why),
        }
    }
    flow.most = most.load(Ordering::SeqCst);
    flow
}

impl Flow {
    /// Prints it under the present heading. `p99_millis` is the target, where there is one.
    pub(crate) fn print(self, name: &str, p99_millis: Option<f64>, table: &mut Table) {
        self.print_times(name, p99_millis, table);
        let (row, failed) = (|what: &str| format!("{name}: {what}"), self.failed.len());
        table.target(&row("refused"), failed as f64, "", Target::AtMost(0.0));
        for why in self.failed.iter().take(SHOWN_MAX) {
            table.failed(&row(why));
        }
    }

    /// The same for calls of which some are meant to be refused: who made them judges that.
    pub(crate) fn print_times(&self, name: &str, p99_millis: Option<f64>, table: &mut Table) {
        let seconds = self.window.as_secs_f64();
        let row = |what: &str| format!("{name}: {what}");
        let achieved = self.done_in_time as f64 / seconds;
        table.number(&row("done within the time"), achieved, "a second");
        if !self.took.is_empty() {
            let times = Times::new(self.took.clone());
            for (part, percent) in [("p50", 50), ("p95", 95)] {
                table.number(&row(part), times.millis(percent), "ms");
            }
            let p99 = times.millis(99);
            match p99_millis {
                Some(bound) => table.target(&row("p99"), p99, "ms", Target::AtMost(bound)),
                None => table.number(&row("p99"), p99, "ms"),
            }
            table.number(&row("max"), times.millis(100), "ms");
        }
        table.number(&row("most under way at once"), self.most as f64, "");
        let left = self.scheduled - self.done_in_time - self.failed.len();
        table.number(&row("not done when the time was over"), left as f64, "");
    }
}

#[cfg(test)]
mod tests {
    use super::open;
    use std::time::Duration;

    #[tokio::test]
    async fn latency_counts_from_the_schedule_and_nobody_waits_for_the_slow() {
        let slow = Duration::from_millis(120);
        let work = move |index| async move {
            tokio::time::sleep(slow).await;
            if index == 3 {
                Err("no".to_owned())
            } else {
                Ok(())
            }
        };
        let flow = open(100, 10, work).await;
        assert_eq!((flow.took.len(), flow.failed.len()), (9, 1));
        // In a closed loop ten would have taken 1.2 s one after the other.
        assert!(flow.took.iter().all(|took| *took >= slow));
        assert!(flow.most >= 5, "{} at the same time", flow.most);
        assert!(flow.done_in_time < 9, "the last began 10 ms before the end");
    }
}
