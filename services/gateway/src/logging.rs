//! The process's own log: what happened to the process, as lines of text or JSON.
//!
//! Must never be given personal data; nothing here could take it out again.

use crate::configuration::{LogFormat, LogLevel, LogSettings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, filter};

/// Crates of ours, which may log at the configured level; of others only warnings are written, because
/// their words are not ours to vouch for.
const OWN_CRATES: &[&str] = &[
    "gateway", "broker", "holder", "portal", "papers", "store", "vault", "client", "rules", "sluis",
];

/// Begins to log to standard error.
pub fn begin(settings: LogSettings) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let own = OWN_CRATES.iter().map(|name| (*name, level));
    let targets = filter::Targets::new()
        .with_default(LevelFilter::WARN)
        // It writes a line for whatever a peer does wrong.
        .with_target("h2", LevelFilter::ERROR)
        .with_targets(own);
    // A log that nobody takes any more ends no call: what went wrong with it would be said where it went wrong.
    let lines = match settings.format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .log_internal_errors(false)
            .with_filter(targets)
            .boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .log_internal_errors(false)
            .with_filter(targets)
            .boxed(),
    };
    // A second call, as tests make it, keeps the first log.
    drop(tracing_subscriber::registry().with(lines).try_init());
}
