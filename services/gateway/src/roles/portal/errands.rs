//! The portal's own work: errands that the broker has not answered, and copies of them there.
//!
//! Must never let one kind of work hold up another: stops wait for no key holder, and for no copy.

use crate::grpc::status;
use crate::serving;
use portal::{Need, Portal, PortalError};
use std::time::Duration;
use tokio::sync::watch;

/// How often errands that wait are tried again.
const ERRAND_INTERVAL: Duration = Duration::from_secs(1);
/// How often what lies at the broker is compared with what is here: either side may have been put back from a backup.
const COMPARE_INTERVAL: Duration = Duration::from_secs(300);
/// How long copies that could not follow wait.
const COPY_PAUSE: Duration = Duration::from_secs(2);

/// Does the errands that need the same, until the process is told to stop.
pub(super) async fn follow(portal: Portal, need: Need, mut stopping: watch::Receiver<bool>) {
    let mut away = false;
    loop {
        match portal.run_errands(need).await {
            Ok(_) => away = false,
            Err(error) => {
                if !away {
                    let causes = status::causes(&error);
                    tracing::warn!(causes, "what persons asked for waits");
                }
                away = true;
            }
        }
        tokio::select! {
            () = serving::stop(&mut stopping) => return,
            () = tokio::time::sleep(ERRAND_INTERVAL) => {}
        }
    }
}

/// Compares what lies at the broker with what is here, and opens a portal that was put back from a backup; and makes
/// copies follow, whatever came of the comparison, until the process is told to stop.
pub(super) async fn follow_copies(portal: Portal, mut stopping: watch::Receiver<bool>) {
    let mut compared: Option<tokio::time::Instant> = None;
    let (mut comparing, mut copying) = (Told::default(), Told::default());
    loop {
        let mut waits = false;
        if compared.is_none_or(|at| at.elapsed() >= COMPARE_INTERVAL) {
            let done = portal.reconcile().await;
            // What no second attempt mends is not asked for anew every two seconds.
            if comparing.is_over(done) {
                compared = Some(tokio::time::Instant::now());
            } else {
                waits = true;
            }
        }
        waits |= !copying.is_over(portal.copy_out().await.map(drop));
        let pause = if waits { COPY_PAUSE } else { COMPARE_INTERVAL };
        tokio::select! {
            () = serving::stop(&mut stopping) => return,
            () = portal.copies_wait(), if !waits => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether somebody was told that copies wait, or cannot be used: once until they do not.
#[derive(Default)]
struct Told(bool);

impl Told {
    /// Whether nothing is gained by trying again in a moment.
    fn is_over(&mut self, done: Result<(), PortalError>) -> bool {
        let Err(error) = done else {
            self.0 = false;
            return true;
        };
        if !self.0 {
            let causes = status::causes(&error);
            if error.is_transient() {
                tracing::warn!(causes, "copies at the broker wait");
            } else {
                tracing::error!(causes, "copies at the broker cannot be used");
            }
        }
        self.0 = true;
        !error.is_transient()
    }
}
