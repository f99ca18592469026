//! The harm: what is done to the processes and the ways between them, at random moments, and its undoing.
//!
//! Must never do what an operator could not meet: a process gone, a network that fails, a disk that is full, a
//! clock that is wrong.

use crate::clock::Clock;
use crate::database::Beside;
use crate::dice::Dice;
use crate::postgres::Postgres;
use crate::proxy::{Proxy, Weather};
use crate::servers::Server;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The line in the broker's configuration behind which the bound on its pages goes.
const DATABASE_PATH: &str = "path = \"broker.sqlite\"";
/// Pages that are left when the disk becomes full.
const PAGES_LEFT: usize = 60;
/// The furthest that a clock jumps, in minutes.
const JUMP_MINUTES: usize = 600;

/// A kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Processes and the database are killed (SIGKILL) and started again.
    Kill,
    /// Connections are cut, slowed down, left half-open or forgotten.
    Network,
    /// There is no room left for the broker's database.
    Disk,
    /// A broker's wall clock jumps by minutes or hours, forward or back.
    Clock,
}

/// All that can be harmed.
pub(crate) struct Yard {
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) proxies: Vec<Arc<Proxy>>,
    pub(crate) postgres: Option<Postgres>,
    /// Each broker's.
    pub(crate) clocks: Vec<Clock>,
    /// What was done, and how often.
    pub(crate) done: Mutex<BTreeMap<String, u64>>,
}

impl Yard {
    /// Which kinds can be done here.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = [Kind::Kill, Kind::Network].repeat(3);
        if self
            .postgres
            .as_ref()
            .is_none_or(|server| server.is_bounded)
        {
            kinds.push(Kind::Disk);
        }
        if !self.clocks.is_empty() {
            kinds.push(Kind::Clock);
        }
        kinds
    }

    /// Does harm until the time is over, sometimes two at once; all of it is undone then.
    pub(crate) async fn harm(&self, kinds: &[Kind], until: Instant, dice: &mut Dice) {
        while Instant::now() < until {
            tokio::time::sleep(dice.millis(100, 1_000)).await;
            let (mut first, mut second) = (dice.apart(1), dice.apart(2));
            let (one, other) = (*dice.one(kinds), *dice.one(kinds));
            // Two kinds never take the same thing in hand: the broker's configuration, a clock, the ways.
            if dice.happens(30) && one != other {
                tokio::join!(self.one(one, &mut first), self.one(other, &mut second));
            } else {
                self.one(one, &mut first).await;
            }
        }
        for proxy in &self.proxies {
            proxy.heal();
        }
    }

    fn note(&self, what: String) {
        *self.done.lock().unwrap().entry(what).or_default() += 1;
    }

    /// How often something was done whose name begins so.
    pub(crate) fn times(&self, begins: &str) -> u64 {
        let done = self.done.lock().unwrap();
        let found = done.iter().filter(|(what, _)| what.starts_with(begins));
        found.map(|(_, times)| times).sum()
    }

    async fn one(&self, kind: Kind, dice: &mut Dice) {
        match kind {
            Kind::Kill => self.kill(dice).await,
            Kind::Network => self.network(dice).await,
            Kind::Disk => self.disk(dice).await,
            Kind::Clock => self.clock(dice).await,
        }
    }

    fn brokers(&self) -> Vec<&Arc<Server>> {
        let servers = self.servers.iter();
        servers
            .filter(|server| server.name.starts_with("broker"))
            .collect()
    }

    async fn kill(&self, dice: &mut Dice) {
        let away = dice.millis(0, 1_500);
        // As often a broker as any other; with PostgreSQL as often its server.
        let brokers = self.brokers();
        if let Some(postgres) = self.postgres.as_ref().filter(|_| dice.happens(25)) {
            self.note("kill database".to_owned());
            return postgres.kill(away).await;
        }
        let server = if dice.happens(40) {
            dice.one(&brokers)
        } else {
            dice.one(&self.servers)
        };
        self.note(format!("kill {}", server.name));
        let down = server.down().await;
        tokio::time::sleep(away).await;
        drop(down);
    }

    async fn network(&self, dice: &mut Dice) {
        let clients = |proxy: &&Arc<Proxy>| proxy.name.starts_with("clients");
        let clients: Vec<_> = self.proxies.iter().filter(clients).collect();
        let proxy = if dice.happens(40) {
            dice.one(&clients)
        } else {
            dice.one(&self.proxies)
        };
        let lasts = dice.millis(200, 4_000);
        let what = match dice.below(5) {
            0 => {
                proxy.cut();
                "cut"
            }
            1 => {
                proxy.set(Weather::Shut);
                tokio::time::sleep(lasts).await;
                "shut"
            }
            2 => {
                proxy.set(Weather::Slow(dice.millis(20, 400)));
                tokio::time::sleep(lasts).await;
                "slow"
            }
            3 => {
                proxy.set(Weather::Silent);
                tokio::time::sleep(lasts).await;
                "half-open"
            }
            _ => {
                // Nobody tells the two ends: they must find out.
                proxy.forget();
                return self.note(format!("forgotten: {}", proxy.name));
            }
        };
        // Half of what was held up goes on, half is cut off.
        if dice.happens(50) {
            proxy.cut();
        }
        proxy.heal();
        self.note(format!("{what}: {}", proxy.name));
    }

    /// Leaves the database no room for a while: the server's disk, or a bound on the file's pages with which the
    /// broker is started.
    async fn disk(&self, dice: &mut Dice) {
        self.note("full disk".to_owned());
        if let Some(postgres) = &self.postgres {
            return postgres.fill(dice.millis(2_000, 5_000)).await;
        }
        let broker = self.brokers()[0];
        let down = broker.down().await;
        let mut database = Beside::of(broker.home()).await;
        let pages = database.number("PRAGMA page_count").await;
        database.close().await;
        let pages = pages + i64::try_from(dice.below(PAGES_LEFT)).unwrap();
        let bounded = format!("{DATABASE_PATH}\npages_max = {pages}");
        broker.configure(DATABASE_PATH, &bounded);
        drop(down);
        tokio::time::sleep(dice.millis(2_000, 5_000)).await;
        let down = broker.down().await;
        broker.configure(&bounded, DATABASE_PATH);
        drop(down);
    }

    /// Sets one broker's clock ahead or back, and right again.
    async fn clock(&self, dice: &mut Dice) {
        let clock = dice.one(&self.clocks);
        let ahead = dice.happens(50);
        let seconds = i64::try_from(60 * (1 + dice.below(JUMP_MINUTES))).unwrap();
        self.note(format!("clock {}", if ahead { "ahead" } else { "back" }));
        clock.jump(if ahead { seconds } else { -seconds });
        tokio::time::sleep(dice.millis(1_500, 5_000)).await;
        clock.jump(0);
    }
}
