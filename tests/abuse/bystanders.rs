//! Those who want nothing but to work: a desk that looks at its handover and enrols somebody, a person who stops.
//!
//! Must never try again where it was refused without saying so.

use crate::consent::{Scene, withdrawal};
use crate::house::{bsn, enrol, person};
use crate::laid::Laid;
use client::Client;
use rules::consent::Statement;
use rules::id::{HandoverId, PeerKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Persons of the tests from this one on are enrolled meanwhile; those before have the consents.
const FIRST_ENROLLED: usize = 1_000;
/// The longest that a desk, or a stop, may take under any attack before it counts as not served.
const SERVED_MAX: Duration = Duration::from_secs(20);

/// A scene with consents that stand.
pub(crate) struct Bystanders {
    pub(crate) scene: Scene<Laid>,
    region: Client,
    given: Mutex<Vec<Statement>>,
    handover: HandoverId,
    enrolled: AtomicUsize,
}

/// How long things took, and what was wrong.
#[derive(Default)]
pub(crate) struct Times {
    desk: Vec<Duration>,
    stop: Vec<Duration>,
    pub(crate) wrong: Vec<String>,
}

impl Times {
    /// Each as its median and its ninety-ninth percentile in milliseconds, the latter also as a multiple of the calm's.
    pub(crate) fn beside(&self, calm: &Self) -> String {
        let one = |name: &str, times: &[Duration], calm: &[Duration]| {
            let (median, most) = (percentile(times, 50), percentile(times, 99));
            let times = most.as_secs_f64() / percentile(calm, 99).as_secs_f64().max(f64::EPSILON);
            let (median, most) = (median.as_millis(), most.as_millis());
            format!("{name} p50 {median} ms, p99 {most} ms ({times:.1} x calm)")
        };
        let desk = one("desk", &self.desk, &calm.desk);
        format!("{desk}; {}", one("stop", &self.stop, &calm.stop))
    }
}

/// The smallest time that so many of a hundred took at most.
fn percentile(times: &[Duration], of_a_hundred: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * of_a_hundred)
        .div_ceil(100)
        .saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

impl Bystanders {
    /// With so many consents that people may stop.
    pub(crate) async fn gather(scene: Scene<Laid>, consents: usize) -> Self {
        let mut given = Vec::new();
        for number in 0..consents {
            let (who, number) = (person(&format!("lid-{}", 60 + number)), bsn(60 + number));
            scene.link(&who, &number).await;
            let statement = scene.statement("vakbond", PeerKind::Vakbond, "portal");
            let registered = scene.portal.register_consent(&number, &statement).await;
            registered.unwrap();
            given.push(statement);
        }
        let statement = scene.statement("vakbond", PeerKind::Vakbond, "portal");
        let registered = scene.portal.register_consent(&scene.number, &statement);
        registered.await.unwrap();
        let handover = scene.prepare(&scene.who).await.unwrap();
        Self {
            region: scene.house.client("regio").await,
            scene,
            given: Mutex::new(given),
            handover,
            enrolled: AtomicUsize::new(FIRST_ENROLLED),
        }
    }

    /// So many times: a desk looks at its handover and enrols a person, and a person stops a consent.
    pub(crate) async fn work(&self, times: usize) -> Times {
        // An attack takes a moment to be under way.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut taken = Times::default();
        for _ in 0..times {
            let number = self.enrolled.fetch_add(1, Ordering::Relaxed);
            let (desk, stop) = tokio::join!(self.desk(number), self.stop());
            for (what, took, into) in [
                ("a desk", desk, &mut taken.desk),
                ("a stop", stop, &mut taken.stop),
            ] {
                match took {
                    Ok(took) => into.push(took),
                    Err(fault) => taken.wrong.push(format!("{what}: {fault}")),
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        taken
    }

    async fn desk(&self, number: usize) -> Result<Duration, String> {
        let begun = Instant::now();
        within(async {
            let shown = self.scene.union.show(&self.handover).await;
            shown.map(drop).map_err(|fault| fault.to_string())
        })
        .await?;
        // A conversion, which the key holders make.
        let key = format!("inwoner-{number}");
        within(async {
            enrol(&self.region, &key, number).await;
            Ok(())
        })
        .await?;
        Ok(begun.elapsed())
    }

    async fn stop(&self) -> Result<Duration, String> {
        let statement = self.given.lock().unwrap().pop().ok_or("no consents left")?;
        let begun = Instant::now();
        let withdrawal = withdrawal(&statement, 2);
        within(async {
            let stopped = self.scene.portal.withdraw_consent(&withdrawal).await;
            stopped.map(drop).map_err(|fault| fault.to_string())
        })
        .await?;
        Ok(begun.elapsed())
    }
}

async fn within(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let worked = tokio::time::timeout(SERVED_MAX, work).await;
    worked.map_err(|_| "not served".to_owned())?
}
