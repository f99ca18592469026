//! Those who want nothing but to work: a desk that looks at its handover and enrols somebody, a person who stops.
//!
//! Must never try again where it was refused without saying so.

use crate::consent::{Scene, withdrawal};
use crate::house::{bsn, enrol, person};
use crate::laid::Laid;
use client::Client;
use rules::consent::Statement;
use rules::id::{HandoverId, PeerKind};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Consents that people may stop; an attack takes as many as it measures.
const CONSENTS: usize = 64;
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

/// How long things took, sorted, and what was wrong.
#[derive(Default)]
pub(crate) struct Times {
    desk: Vec<Duration>,
    stop: Vec<Duration>,
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Times {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |times: &[Duration]| -> Vec<u128> {
            let mut millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
            millis.sort_unstable();
            millis
        };
        write!(
            out,
            "desk (look, enrol) {:?} ms, stop {:?} ms",
            millis(&self.desk),
            millis(&self.stop)
        )
    }
}

impl Bystanders {
    pub(crate) async fn gather(scene: Scene<Laid>) -> Self {
        let mut given = Vec::new();
        for number in 0..CONSENTS {
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
            enrolled: AtomicUsize::new(500),
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
