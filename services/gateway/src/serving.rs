//! The serve loop of every role: the door, admission, health, reflection and the role's own services,
//! until the process is told to stop.
//!
//! Must never mount a service in front of admission, health and reflection included.

pub mod health;

use crate::configuration::Configuration;
use crate::door::admission::{AdmissionLayer, Registry};
use crate::door::budgets::Ledger;
use crate::door::reload::{DoorError, DoorKeys};
use crate::door::{self, CONNECTION_AGE_GRACE, CONNECTION_AGE_MAX};
use crate::files::check_private;
use client::credentials::{CredentialError, LiveCredentials, TlsFiles};
use health::Stored;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

/// Calls at the same time on one connection.
const STREAMS_MAX: u32 = 128;
/// Octets that a peer may send on one stream, and on all streams of a connection together, before they are read.
const WINDOW_BYTES: (u32, u32) = (128 * 1024, 256 * 1024);
/// Handles that a process needs beside its connections: database, files, calls of its own, handshakes.
const HANDLES_BESIDE: u64 = 1_200;
/// Largest set of request headers, in bytes.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// How often a silent connection is asked for a sign of life, and how long that may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How long running calls may finish once the process is told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// Why a role cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificate, key or issuers are not good.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The door cannot be made of them.
    #[error("the door cannot be made")]
    Door(#[from] DoorError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system's signals cannot be heard.
    #[error("cannot hear the system's signals")]
    Signal(#[source] std::io::Error),
    /// The descriptors do not describe the services.
    #[error("the services cannot be described")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the server failed")]
    Server(#[from] tonic::transport::Error),
}

/// Says when the process is told to stop (SIGTERM or SIGINT).
///
/// # Errors
/// When the system's signals cannot be heard.
pub fn stopping() -> Result<watch::Receiver<bool>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop; running calls may finish");
        tell.send_replace(true);
        // The channel stays open, so that `changed` never fails while calls finish.
        std::future::pending::<()>().await;
    });
    Ok(told)
}

/// Waits until the process is told to stop. The channel's end means the same.
pub async fn stop(told: &mut watch::Receiver<bool>) {
    drop(told.wait_for(|stop| *stop).await);
}

/// The process's certificate, key and issuers, for its door and for its own calls; SIGHUP has them read anew. Bad new
/// files leave the old ones in use.
///
/// # Errors
/// When the files are not good, or the system's signals cannot be heard.
pub fn credentials(files: &TlsFiles) -> Result<Arc<LiveCredentials>, ServeError> {
    let check = |key: &Path| check_private(key).map_err(|error| error.to_string());
    let credentials = LiveCredentials::checked(files, check)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::Signal)?;
    let live = Arc::clone(&credentials);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            live.renew().await;
        }
    });
    Ok(credentials)
}

/// Services with their names, as they are mounted.
pub struct Mounted {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
}

impl Mounted {
    /// No services yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            routes: Routes::builder(),
            names: Vec::new(),
        }
    }

    /// Mounts one more service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: tower::Service<
                Request<Body>,
                Response = Response<Body>,
                Error = std::convert::Infallible,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }
}

impl Default for Mounted {
    fn default() -> Self {
        Self::new()
    }
}

/// A generated server with the limit on messages, both ways.
#[macro_export]
macro_rules! limited {
    ($server:ty, $service:expr) => {
        <$server>::new($service)
            .max_decoding_message_size(::rules::limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(::rules::limits::MESSAGE_BYTES_MAX)
    };
}

/// Health and reflection beside the mounted services; all of them, and their names.
fn described(mounted: Mounted) -> Result<(HealthReporter, Routes, Vec<&'static str>), ServeError> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let descriptions = || {
        let described = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        let names = mounted.names.iter();
        names.fold(described, |described, name| {
            described.with_service_name(*name)
        })
    };
    let (reflection, older) = (descriptions().build_v1()?, descriptions().build_v1alpha()?);
    let mut routes = mounted.routes;
    routes
        .add_service(health_service)
        .add_service(reflection)
        // Many tools still ask in the words of before.
        .add_service(older);
    Ok((reporter, routes.routes(), mounted.names))
}

/// Lets the process have a handle for each connection, as far as the system's hard limit goes.
fn allow_connections(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Up to the hard limit everybody may; where it did not go, the lower one is told below.
    let raised = setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum);
    if let Some(handles) = raised.filter(|handles| *handles < wanted.saturating_add(HANDLES_BESIDE))
    {
        tracing::warn!(
            handles,
            connections_max = wanted,
            "fewer handles than connections: raise the limit (systemd: LimitNOFILE) or lower connections_max"
        );
    }
}

/// Opens the door and serves until told to stop.
///
/// # Errors
/// When the door cannot be opened or the server fails.
pub async fn serve(
    configuration: &Configuration,
    credentials: Arc<LiveCredentials>,
    registry: Arc<dyn Registry>,
    mounted: Mounted,
    stored: Arc<dyn Stored>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    allow_connections(configuration.budgets.process.connections);
    let keys = Arc::new(DoorKeys::new(credentials)?);
    let address = configuration.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let ledger = Ledger::new(configuration.budgets);
    let guests = door::accept(
        listener,
        keys,
        door::Reading {
            oin_element: configuration.oin_element,
            proxies: configuration.proxies.clone(),
        },
        Arc::clone(&registry),
        Arc::clone(&ledger),
    );

    let (reporter, routes, names) = described(mounted)?;
    let telling = tokio::spawn(health::tell(reporter, names, stored, stopping.clone()));
    let mut told = stopping.clone();
    let server = Server::builder()
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES.0)
        .initial_connection_window_size(WINDOW_BYTES.1)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .layer(AdmissionLayer::new(registry, ledger))
        .serve_with_incoming_shutdown(routes, guests, async move {
            stop(&mut told).await;
        });
    tracing::info!(%address, role = configuration.role.name(), "the door is open");
    let late = async {
        stop(&mut stopping).await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    let served = tokio::select! {
        served = server => served,
        () = late => {
            tracing::warn!("calls that were still running were cut off");
            Ok(())
        }
    };
    telling.abort();
    served?;
    tracing::info!("the door is closed");
    Ok(())
}

#[cfg(test)]
mod tests;
