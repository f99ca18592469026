//! The broker's own work: deadlines, notices, old outcomes, old wraps, what has been kept long enough, day keys.
//!
//! Must never let one kind of work wait for another: a long sweep keeps neither a deadline nor the lead waiting.

use super::chain::Chain;
use super::day_keys::DayKeyFolder;
use crate::clock::SystemClock;
use crate::files::FileError;
use crate::grpc::status::causes;
use crate::serving;
use broker::Broker;
use broker::lead::Candidate;
use rules::clock::{ClockWatch, Reading, Standing, Timestamp};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

/// How often deadlines and notices are looked at.
const TIMERS_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether something follows from a stop.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// How often a broker looks whether it has the lead. With the time that a lease is held
/// ([`LEASE_MILLIS`](broker::lead::LEASE_MILLIS)) it bounds how long nobody does the work when one is gone: ten seconds.
const LEAD_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked whether something has been kept long enough.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long a sweep that found more than it erases at once leaves the database to others.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);
/// How often the day keys are looked at.
const DAY_KEYS_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The term while this process has the lead.
type Lead = watch::Receiver<Option<i64>>;

/// Does all of it until the process is told to stop. Of several brokers on one database the one that has the
/// lead does what is done to rows; each has its own keys.
pub(super) async fn run(
    broker: &Broker,
    candidate: &mut Candidate,
    chain: &Chain,
    days: &DayKeyFolder,
    stopping: watch::Receiver<bool>,
) {
    let (tell, lead) = watch::channel(None);
    let clock = OwnClock::new();
    tokio::join!(
        keep_lead(broker, candidate, (&tell, &clock), &stopping),
        run_timers(broker, chain, (&lead, &clock), &stopping),
        follow_stops(broker, &lead, &stopping),
        sweep(broker, lead.clone(), &clock, stopping.clone()),
        renew_day_keys(broker, chain, days, &clock, &stopping),
    );
}

/// This process's clock. While it does not go as time does nothing ends, is erased or destroyed by what it shows.
struct OwnClock(Mutex<ClockWatch>);

impl OwnClock {
    fn new() -> Self {
        let first = Reading::take(&SystemClock, &SystemClock);
        Self(Mutex::new(ClockWatch::new(first)))
    }

    /// Whether it goes well at this moment.
    fn goes_well(&self) -> bool {
        self.has_gone_well(Duration::ZERO)
    }

    /// Whether it has gone well for so long.
    fn has_gone_well(&self, span: Duration) -> bool {
        // Nothing that can panic runs while the lock is held.
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = Reading::take(&SystemClock, &SystemClock);
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match watch.look(reading) {
            Standing::Agrees | Standing::Settled => watch.agreed_millis(reading) >= span,
            Standing::Jumped(millis) => {
                tracing::error!(
                    millis,
                    "the clock jumped: nothing ends by it until it goes well"
                );
                false
            }
            Standing::Unsettled => false,
        }
    }
}

/// Comes round once each period, at once for the first time.
struct Beat {
    interval: Interval,
    stopping: watch::Receiver<bool>,
}

impl Beat {
    fn every(period: Duration, stopping: &watch::Receiver<bool>) -> Self {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            interval,
            stopping: stopping.clone(),
        }
    }

    /// False when the process is told to stop.
    async fn comes(&mut self) -> bool {
        tokio::select! {
            biased;
            () = serving::stop(&mut self.stopping) => false,
            _ = self.interval.tick() => true,
        }
    }
}

async fn keep_lead(
    broker: &Broker,
    candidate: &mut Candidate,
    (tell, clock): (&watch::Sender<Option<i64>>, &OwnClock),
    stopping: &watch::Receiver<bool>,
) {
    let mut beat = Beat::every(LEAD_INTERVAL, stopping);
    while beat.comes().await {
        // Looked at often, so that a jump is seen before something rests on the clock.
        clock.goes_well();
        let before = *tell.borrow();
        let term = look_for_lead(broker, candidate, before).await;
        tell.send_if_modified(|known| std::mem::replace(known, term) != term);
    }
}

/// Takes the lead or keeps it; gives the term while this process has it. Without the database nobody has it.
async fn look_for_lead(
    broker: &Broker,
    candidate: &mut Candidate,
    before: Option<i64>,
) -> Option<i64> {
    let term = match broker.take_lead(candidate).await {
        Ok(term) => term,
        Err(fault) => {
            tracing::warn!(causes = causes(&fault), "who has the lead cannot be found");
            None
        }
    };
    match (before, term) {
        (before, Some(term)) if before != Some(term) => {
            tracing::info!(term, "does the broker's own work from now on");
        }
        (Some(before), None) => {
            tracing::info!(term = before, "does the broker's own work no longer");
        }
        _ => {}
    }
    term
}

async fn run_timers(
    broker: &Broker,
    chain: &Chain,
    (lead, clock): (&Lead, &OwnClock),
    stopping: &watch::Receiver<bool>,
) {
    let mut beat = Beat::every(TIMERS_INTERVAL, stopping);
    while beat.comes().await {
        chain.follow(&broker.in_force().directory);
        if lead.borrow().is_none() || !clock.goes_well() {
            continue;
        }
        match broker.run_timers().await {
            Ok(round) => tracing::debug!(?round, "looked at what is due"),
            Err(fault) => {
                tracing::error!(causes = causes(&fault), "the broker's own work failed");
            }
        }
    }
}

/// Does what follows from stops until nothing waits, and looks again.
async fn follow_stops(broker: &Broker, lead: &Lead, stopping: &watch::Receiver<bool>) {
    let mut beat = Beat::every(FOLLOW_INTERVAL, stopping);
    while beat.comes().await {
        while lead.borrow().is_some() && !*stopping.borrow() {
            match broker.follow_stops().await {
                Ok(0) => break,
                Ok(batches) => tracing::debug!(batches, "did what follows from stops"),
                Err(fault) => {
                    tracing::error!(causes = causes(&fault), "what follows from stops failed");
                    break;
                }
            }
        }
    }
}

/// Sweeps when the lead is new, because who had it before may have been gone for long, and then each interval.
async fn sweep(
    broker: &Broker,
    mut lead: Lead,
    clock: &OwnClock,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let pause = if lead.borrow_and_update().is_none() || !clock.goes_well() {
            SWEEP_INTERVAL
        } else {
            match broker.sweep().await {
                Ok(swept) if swept.is_more => SWEEP_PAUSE,
                Ok(swept) => {
                    tracing::debug!(?swept, "erased what was kept long enough");
                    SWEEP_INTERVAL
                }
                Err(fault) => {
                    tracing::error!(causes = causes(&fault), "the sweep failed");
                    SWEEP_INTERVAL
                }
            }
        };
        tokio::select! {
            biased;
            () = serving::stop(&mut stopping) => return,
            _ = lead.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn renew_day_keys(
    broker: &Broker,
    chain: &Chain,
    days: &DayKeyFolder,
    clock: &OwnClock,
    stopping: &watch::Receiver<bool>,
) {
    let mut beat = Beat::every(DAY_KEYS_INTERVAL, stopping);
    while beat.comes().await {
        if let Err(fault) = renew_once(broker, chain, days, clock).await {
            tracing::error!(causes = causes(&fault), "the day keys could not be renewed");
        }
    }
}

/// A key that is destroyed does not come back, so it goes only where more than one clock says that its time has come:
/// this broker's own, which has gone as time does for a while, and that of every key holder.
async fn renew_once(
    broker: &Broker,
    chain: &Chain,
    days: &DayKeyFolder,
    clock: &OwnClock,
) -> Result<(), FileError> {
    let now = broker.now();
    let surely = match (days.has_old(now)?, clock.has_gone_well(DAY_KEYS_INTERVAL)) {
        (true, true) => chain.earliest_clock().await.map(|at| at.min(now)),
        (true, false) | (false, _) => None,
    };
    // Of a moment long ago nothing was too old.
    days.renew(broker, surely.unwrap_or(Timestamp::from_millis(0)))?;
    if days.has_old(now)? {
        tracing::warn!(
            "a day key is too old by this clock, and stays: it is not sure that its time has come"
        );
    }
    Ok(())
}
