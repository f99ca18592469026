//! What an organisation may hold of a process at the same time, and how often it may call. Looked at before a body is
//! read.
//!
//! Must never let what one organisation does use up another's part, and must never let anything but the portal's own
//! stops use up what is kept for them.

use broker::Caller;
use rules::id::{Oin, PeerKind};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who acts for everybody (the portal at the broker, the broker at a key holder) has so many times the part of one
/// organisation.
const CARRIER_PARTS: u32 = 8;

/// So many octets of a request count as one more call: a thousand items are not one.
const CALL_BYTES: f64 = 16.0 * 1024.0;
/// New connections of one organisation in a second, in the long run, and at once: each costs a handshake.
const CONNECTIONS_PER_SECOND: f64 = 8.0;
const CONNECTIONS_BURST: f64 = 64.0;
/// Octets of one organisation in a second that no call reads (frames that are no calls, heads of calls, bodies of refused
/// ones), and at once: what is under way on all its connections is among them.
const OVERHEAD_PER_SECOND: f64 = 512.0 * 1024.0;
const OVERHEAD_BURST: f64 = 8.0 * 1024.0 * 1024.0;
/// The longest that a connection is not read for that.
const OVERHEAD_PAUSE_MAX: Duration = Duration::from_secs(1);

/// So much may be held at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Connections.
    pub connections: u64,
    /// Calls in progress, from the first octet to the last that the caller has read; streams of a watch aside.
    pub calls: u64,
    /// Octets of requests that have come in of calls in progress.
    pub unfinished: u64,
    /// Octets of answers that the caller has not read.
    pub unread: u64,
    /// Streams of a watch.
    pub watches: u64,
    /// Searches of the log.
    pub searches: u64,
}

impl Part {
    /// What it comes to in memory at its worst, in octets: an octet that came in is held five times on its way through
    /// TLS, HTTP/2, decoding and sealing, one that goes out three times, and a call that was begun may still be given
    /// the largest answer. Measured by `tests/abuse`.
    #[must_use]
    pub const fn memory_bytes(&self) -> u64 {
        const CONNECTION_BYTES: u64 = 512 * 1024;
        const MESSAGE_BYTES: u64 = rules::limits::MESSAGE_BYTES_MAX as u64;
        self.connections
            .saturating_mul(CONNECTION_BYTES)
            .saturating_add(self.unfinished.saturating_mul(5))
            .saturating_add(self.unread.saturating_mul(3))
            .saturating_add(self.calls.saturating_mul(MESSAGE_BYTES))
    }
}

/// The budgets of a process. The defaults are for 500 to 1,000 clients and 50 calls a second: an
/// organisation alone may do what all of them together do on a day of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Of one organisation.
    pub organisation: Part,
    /// Of all together. What the portal stops is not counted here: it has a part of its own.
    pub process: Part,
    /// Calls that one organisation may begin in a second, in the long run.
    pub calls_per_second: u32,
    /// Calls that it may begin at once after a quiet time.
    pub calls_burst: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            organisation: Part {
                connections: 32,
                calls: 64,
                unfinished: 8 * MIB,
                unread: 8 * MIB,
                watches: 16,
                searches: 4,
            },
            process: Part {
                connections: 2_048,
                calls: 512,
                unfinished: 48 * MIB,
                unread: 48 * MIB,
                watches: 2_048,
                searches: 16,
            },
            calls_per_second: 50,
            calls_burst: 200,
        }
    }
}

/// Which budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Budget {
    /// Connections.
    Connections,
    /// Calls in progress.
    Calls,
    /// Octets of unfinished requests.
    Unfinished,
    /// Octets of unread answers.
    Unread,
    /// Streams of a watch.
    Watches,
    /// Searches.
    Searches,
    /// Calls a second.
    Rate,
}

impl Budget {
    /// Its name, as in a configuration and in the process's log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Calls => "calls",
            Self::Unfinished => "unfinished_bytes",
            Self::Unread => "unread_bytes",
            Self::Watches => "watches",
            Self::Searches => "searches",
            Self::Rate => "calls_per_second",
        }
    }

    /// What of a part it is; of the rate, which is counted by time, nothing.
    const fn of(self, part: &mut Part) -> Option<&mut u64> {
        match self {
            Self::Connections => Some(&mut part.connections),
            Self::Calls => Some(&mut part.calls),
            Self::Unfinished => Some(&mut part.unfinished),
            Self::Unread => Some(&mut part.unread),
            Self::Watches => Some(&mut part.watches),
            Self::Searches => Some(&mut part.searches),
            Self::Rate => None,
        }
    }
}

/// Searches of the log.
const SEARCHES: &[&str] = &["/sluis.audit.v1.AuditService/SearchEntries"];
/// Streams of a watch.
const WATCHES: &[&str] = &[
    "/sluis.handover.v1.HandoverService/WatchInbox",
    "/grpc.health.v1.Health/Watch",
];
/// What stops something, at the broker and at the portal.
const STOPS: &[&str] = &[
    "/sluis.consent.v1.ConsentService/WithdrawConsent",
    "/sluis.consent.v1.ConsentService/NarrowConsent",
    "/sluis.consent.v1.ConsentService/RegisterConsent",
    "/sluis.handover.v1.HandoverService/ObjectToHandover",
    "/sluis.portal.v1.PortalService/StopConsent",
    "/sluis.portal.v1.PortalService/StopByCode",
    "/sluis.portal.v1.PortalService/NarrowConsent",
    "/sluis.portal.v1.PortalService/BlockOrganisation",
    "/sluis.portal.v1.PortalService/Object",
];

/// Whose part it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Organisation(Oin),
    /// What is kept for the portal: its connections, and what it stops.
    Kept,
}

/// Who holds something, and how many times the usual part it has.
#[derive(Clone, Debug)]
struct Holding {
    owner: Owner,
    parts: u32,
}

impl Holding {
    /// Of this caller; or of what is kept for the portal.
    fn of(caller: &Caller, is_kept: bool) -> Self {
        Self {
            owner: if is_kept {
                Owner::Kept
            } else {
                Owner::Organisation(caller.party.oin.clone())
            },
            parts: match caller.kind {
                PeerKind::Portal | PeerKind::Broker => CARRIER_PARTS,
                _ => 1,
            },
        }
    }
}

/// What one organisation holds, and how many calls it may begin at this moment.
#[derive(Debug)]
struct Account {
    held: Part,
    calls: Bucket,
    connections: Bucket,
    overhead: Bucket,
}

/// So much may be done at once, and so much in a second in the long run. May fall below nothing: what came was more.
#[derive(Debug)]
struct Bucket {
    left: f64,
    counted: Instant,
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self {
            // More than any burst: it is brought down to that at the first look.
            left: f64::MAX,
            counted: now,
        }
    }

    fn fill(&mut self, (burst, rate): (f64, f64), now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        self.left = (self.left + passed.as_secs_f64() * rate).min(burst);
        self.counted = now;
    }
}

#[derive(Debug, Default)]
struct Accounts {
    process: Part,
    /// One for each organisation that ever came: they stand in the directory, so their number has an end.
    of: HashMap<Owner, Account>,
}

/// Where it is counted who holds what.
#[derive(Debug)]
pub struct Ledger {
    budgets: Budgets,
    accounts: Mutex<Accounts>,
}

impl Ledger {
    /// Nobody holds anything.
    #[must_use]
    pub fn new(budgets: Budgets) -> Arc<Self> {
        Arc::new(Self {
            budgets,
            accounts: Mutex::default(),
        })
    }

    /// A connection of this caller, if its part and the process's have room for one.
    pub(super) fn connect(self: &Arc<Self>, caller: &Caller) -> Option<Place> {
        let holding = Holding::of(caller, caller.kind == PeerKind::Portal);
        if !self.may_connect(&holding, Instant::now()) {
            return None;
        }
        let taken = self.take(&holding, &[(Budget::Connections, 1)]);
        taken.is_ok().then(|| Place {
            ledger: Arc::clone(self),
            holding,
            organisation: Holding::of(caller, false),
        })
    }

    /// A call of this caller.
    ///
    /// # Errors
    /// Which budget it would go beyond.
    pub(super) fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        path: &str,
    ) -> Result<Arc<Permit>, Budget> {
        let is_stop = caller.kind == PeerKind::Portal && STOPS.contains(&path);
        let holding = Holding::of(caller, is_stop);
        let is_watch = WATCHES.contains(&path);
        let is_search = SEARCHES.contains(&path);
        // The broker has turns for whom it calls: were it held back, so would be those who did nothing.
        if caller.kind != PeerKind::Broker {
            self.take_token(&holding, Instant::now())?;
        }
        let kind = if is_watch {
            Budget::Watches
        } else {
            Budget::Calls
        };
        // Who sends without end, or does not read, begins nothing more until it has.
        self.take(
            &holding,
            &[
                (kind, 1),
                (Budget::Searches, u64::from(is_search)),
                (Budget::Unfinished, 0),
                (Budget::Unread, 0),
            ],
        )?;
        Ok(Arc::new(Permit {
            ledger: Arc::clone(self),
            holding,
            kind,
            is_search,
            // What is stopped is paid for by what is kept; its octets are the organisation's all the same.
            organisation: is_stop.then(|| Holding::of(caller, false)),
            has_rate: caller.kind != PeerKind::Broker,
            unfinished: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            began: Instant::now(),
            moved: AtomicU64::new(0),
        }))
    }

    fn take_token(&self, holding: &Holding, now: Instant) -> Result<(), Budget> {
        let parts = f64::from(holding.parts);
        let burst = f64::from(self.budgets.calls_burst) * parts;
        let rate = f64::from(self.budgets.calls_per_second) * parts;
        let mut accounts = self.lock();
        let calls = &mut accounts.of(&holding.owner, now).calls;
        calls.fill((burst, rate), now);
        if calls.left < 1.0 {
            return Err(Budget::Rate);
        }
        calls.left -= 1.0;
        Ok(())
    }

    /// Whether the organisation may come in by one more connection: each costs a handshake.
    fn may_connect(&self, holding: &Holding, now: Instant) -> bool {
        let parts = f64::from(holding.parts);
        let burst = CONNECTIONS_BURST * parts;
        let mut accounts = self.lock();
        let connections = &mut accounts.of(&holding.owner, now).connections;
        connections.fill((burst, CONNECTIONS_PER_SECOND * parts), now);
        let may = connections.left >= 1.0;
        connections.left -= f64::from(u8::from(may));
        may
    }

    /// Takes all of these, or nothing when one would go beyond the part or the process's budget. Where nothing is
    /// wanted, there must be room for something.
    fn take(&self, holding: &Holding, wanted: &[(Budget, u64)]) -> Result<(), Budget> {
        let mut budgets = self.budgets;
        let mut accounts = self.lock();
        for (budget, amount) in wanted {
            let (Some(part), Some(process)) = (
                budget.of(&mut budgets.organisation).copied(),
                budget.of(&mut budgets.process).copied(),
            ) else {
                continue;
            };
            let part = part.saturating_mul(u64::from(holding.parts)).min(process);
            let amount = if *budget == Budget::Searches {
                *amount
            } else {
                (*amount).max(1)
            };
            let (held, of_all) = accounts.held(&holding.owner, *budget);
            if held.saturating_add(amount) > part || of_all.saturating_add(amount) > process {
                return Err(*budget);
            }
        }
        for (budget, amount) in wanted {
            accounts.change(&holding.owner, *budget, |held| held.saturating_add(*amount));
        }
        Ok(())
    }

    /// Octets that came in and are not, or no longer, of a call that reads them: frames that are no calls, heads of calls,
    /// bodies of refused ones. `octets` may be less than nothing, when a call read some.
    fn overhead(&self, holding: &Holding, octets: f64, now: Instant) -> Option<Duration> {
        let parts = f64::from(holding.parts);
        let rate = OVERHEAD_PER_SECOND * parts;
        let mut accounts = self.lock();
        let overhead = &mut accounts.of(&holding.owner, now).overhead;
        overhead.fill((OVERHEAD_BURST * parts, rate), now);
        overhead.left -= octets;
        (overhead.left < 0.0).then(|| {
            let wait = Duration::from_secs_f64(-overhead.left / rate);
            wait.min(OVERHEAD_PAUSE_MAX)
        })
    }

    /// Takes so much that is there already, whatever the budget says.
    fn take_anyhow(&self, holding: &Holding, budget: Budget, amount: u64) {
        self.lock()
            .change(&holding.owner, budget, |held| held.saturating_add(amount));
    }

    fn give_back(&self, holding: &Holding, budget: Budget, amount: u64) {
        self.lock()
            .change(&holding.owner, budget, |held| held.saturating_sub(amount));
    }

    /// What is held at this moment by all together, the portal's stops aside.
    #[cfg(test)]
    fn held(&self) -> Part {
        self.lock().process
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        // Nothing that can panic runs while the lock is held.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn of(&mut self, owner: &Owner, now: Instant) -> &mut Account {
        self.of.entry(owner.clone()).or_insert_with(|| Account {
            held: Part::default(),
            calls: Bucket::full(now),
            connections: Bucket::full(now),
            overhead: Bucket::full(now),
        })
    }

    /// How much the owner holds, and how much all together do. What is stopped never waits for what others hold.
    fn held(&mut self, owner: &Owner, budget: Budget) -> (u64, u64) {
        let of_all = match owner {
            Owner::Kept => 0,
            Owner::Organisation(_) => budget.of(&mut self.process).copied().unwrap_or_default(),
        };
        let account = self.of.get_mut(owner);
        let held = account.and_then(|account| budget.of(&mut account.held).copied());
        (held.unwrap_or_default(), of_all)
    }

    fn change(&mut self, owner: &Owner, budget: Budget, change: impl Fn(u64) -> u64) {
        let account = self.of(owner, Instant::now());
        if let Some(held) = budget.of(&mut account.held) {
            *held = change(*held);
        }
        if *owner == Owner::Kept {
            return;
        }
        if let Some(held) = budget.of(&mut self.process) {
            *held = change(*held);
        }
    }
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    ledger: Arc<Ledger>,
    holding: Holding,
    organisation: Holding,
}

impl Place {
    /// So many octets were read. How long to read no more, where the organisation sent more than calls need.
    pub(super) fn read(&self, octets: u64, now: Instant) -> Option<Duration> {
        self.ledger.overhead(&self.organisation, octets as f64, now)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ledger.give_back(&self.holding, Budget::Connections, 1);
    }
}

/// What one call holds, until the caller has read the last of its answer.
#[derive(Debug)]
pub(super) struct Permit {
    ledger: Arc<Ledger>,
    holding: Holding,
    kind: Budget,
    is_search: bool,
    organisation: Option<Holding>,
    has_rate: bool,
    unfinished: AtomicU64,
    unread: AtomicU64,
    began: Instant,
    /// When octets of the answer last moved, in milliseconds since it began.
    moved: AtomicU64,
}

impl Permit {
    /// So many octets of the request came in.
    ///
    /// # Errors
    /// When they go beyond the budget.
    pub(super) fn came_in(&self, octets: usize) -> Result<(), Budget> {
        let octets = octets as u64;
        self.ledger
            .take(&self.holding, &[(Budget::Unfinished, octets)])?;
        self.unfinished.fetch_add(octets, Ordering::Relaxed);
        let now = Instant::now();
        let organisation = self.organisation.as_ref().unwrap_or(&self.holding);
        self.ledger.overhead(organisation, -(octets as f64), now);
        if self.has_rate {
            let mut accounts = self.ledger.lock();
            let calls = &mut accounts.of(&self.holding.owner, now).calls;
            calls.left -= octets as f64 / CALL_BYTES;
        }
        Ok(())
    }

    /// So many octets of the answer wait for the caller.
    pub(super) fn waits(&self, octets: usize) {
        let octets = octets as u64;
        self.ledger
            .take_anyhow(&self.holding, Budget::Unread, octets);
        self.unread.fetch_add(octets, Ordering::Relaxed);
        self.moves();
    }

    /// So many of them went on.
    pub(super) fn went_on(&self, octets: usize) {
        let octets = octets as u64;
        self.ledger.give_back(&self.holding, Budget::Unread, octets);
        self.unread.fetch_sub(octets, Ordering::Relaxed);
        self.moves();
    }

    fn moves(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(millis, Ordering::Relaxed);
    }

    /// Whether octets of the answer wait of which none has moved for so long.
    pub(super) fn is_stuck(&self, time: Duration, now: Instant) -> bool {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let rests = now
            .saturating_duration_since(self.began)
            .saturating_sub(moved);
        self.unread.load(Ordering::Relaxed) > 0 && rests >= time
    }

    /// Whether it is a stream that may wait for long.
    pub(super) fn is_watch(&self) -> bool {
        self.kind == Budget::Watches
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for (budget, amount) in [
            (self.kind, 1),
            (Budget::Searches, u64::from(self.is_search)),
            (Budget::Unfinished, *self.unfinished.get_mut()),
            (Budget::Unread, *self.unread.get_mut()),
        ] {
            self.ledger.give_back(&self.holding, budget, amount);
        }
    }
}

#[cfg(test)]
mod tests;
