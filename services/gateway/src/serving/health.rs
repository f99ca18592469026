//! What health answers: that the role serves only while its database takes changes, and until it is told to stop.
//!
//! Must never ask the database for a caller: it is looked at at its own pace, however many ask.

use super::stop;
use broker::Broker;
use holder::Holder;
use portal::Portal;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often the database is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to say that it takes changes.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long whoever follows health may take to hear that the process stops, before they are let go: nobody who only
/// looks keeps it from ending.
const FAREWELL: Duration = Duration::from_secs(2);
/// The name under which health answers for the process as a whole.
pub const WHOLE: &str = "";

/// A look at a database.
type Look<'a> = Pin<Box<dyn Future<Output = Result<(), store::Error>> + Send + 'a>>;

/// Something that serves from a database.
pub trait Stored: Send + Sync {
    /// That the database takes changes at this moment.
    ///
    /// # Errors
    /// When it does not.
    fn check_database(&self) -> Look<'_>;
}

impl Stored for Broker {
    fn check_database(&self) -> Look<'_> {
        Box::pin(self.database().check())
    }
}

impl Stored for Holder {
    fn check_database(&self) -> Look<'_> {
        Box::pin(self.check_database())
    }
}

impl Stored for Portal {
    fn check_database(&self) -> Look<'_> {
        Box::pin(self.check_database())
    }
}

/// Says of these services whether they are served, until told to stop; then that they are not.
pub(super) async fn tell(
    mut reporter: HealthReporter,
    services: Vec<&'static str>,
    stored: Arc<dyn Stored>,
    mut stopping: watch::Receiver<bool>,
) {
    let told = reporter.clone();
    let say = async |status| {
        for service in services.iter().chain([&WHOLE]) {
            told.set_service_status(service, status).await;
        }
    };
    // The role has read and written before its door opened.
    say(ServingStatus::Serving).await;
    let follow = async {
        let mut serves = true;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let served = look(stored.as_ref(), serves).await;
            if served != serves {
                serves = served;
                say(if serves {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                })
                .await;
            }
        }
    };
    tokio::select! {
        () = stop(&mut stopping) => {}
        () = follow => {}
    }
    say(ServingStatus::NotServing).await;
    tokio::time::sleep(FAREWELL).await;
    for service in services.iter().chain([&WHOLE]) {
        reporter.clear_service_status(service).await;
    }
}

/// Whether the database takes changes; what is new about it goes to the log.
async fn look(stored: &dyn Stored, served: bool) -> bool {
    let causes = match tokio::time::timeout(LOOK_TIMEOUT, stored.check_database()).await {
        Ok(Ok(())) => {
            if !served {
                tracing::info!("the database takes changes again; health says SERVING");
            }
            return true;
        }
        Ok(Err(error)) => crate::grpc::status::causes(&error),
        Err(_) => format!("no answer within {} s", LOOK_TIMEOUT.as_secs()),
    };
    if served {
        tracing::error!(
            causes,
            "the database takes no changes; health says NOT_SERVING until it does"
        );
    }
    false
}
