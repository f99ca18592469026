//! What each role is made of, put together once at start-up.
//!
//! Must never open a socket before everything that can be wrong has been looked at.

pub mod broker;
pub mod holder;
pub mod portal;
pub mod trust;

use crate::configuration::ConfigurationError;
use crate::files::FileError;
use crate::policies::PolicyCommandError;
use crate::serving::ServeError;
use client::connection::ConnectionError;
use client::credentials::CredentialError;
use rules::id::Oin;
use rules::reason::{Reason, Refusal};
use vault::keyfile::KeyFileError;

/// Why a role does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not good.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The command is for another role.
    #[error("this configuration is for the role {found}; the command needs {needed}")]
    Role {
        /// The role in the file.
        found: &'static str,
        /// What the command needs.
        needed: &'static str,
    },
    /// A file that the configuration names is not good.
    #[error(transparent)]
    File(#[from] FileError),
    /// The policies folder is not in order.
    #[error("the policies folder cannot be used")]
    Policies(#[from] PolicyCommandError),
    /// The key file lacks a secret.
    #[error("the key file cannot be used: {0}")]
    KeyFile(#[from] KeyFileError),
    /// The database cannot be used.
    #[error("the role does not start")]
    Store(#[from] store::Error),
    /// The counter failed.
    #[error("what is stored cannot be used")]
    Counter(#[from] counter::Error),
    /// The directory or the policy set for the first start is not good.
    #[error(
        "the {what} for the first start was refused: {}: {}{}",
        refusal.reason,
        refusal.reason.english(),
        listed(refusal)
    )]
    Refused {
        /// Directory or policy set.
        what: &'static str,
        /// Why.
        refusal: Refusal,
    },
    /// Own certificate, directory and configuration do not agree.
    #[error("{0}")]
    Disagreement(String),
    /// A key holder's certificate is not what the configuration and the directory say.
    #[error("the key holder {holder} shows a certificate that is not good: {reason}")]
    Holder {
        /// Which.
        holder: Oin,
        /// Why.
        reason: Reason,
    },
    /// The key holders are run by too few operators for production.
    #[error(
        "the key holders have {0} operator(s), and production needs two; with one operator, that one \
         party could convert alone. To start anyhow, name the reason in `trust_override`"
    )]
    Trust(u32),
    /// The way to another role cannot be made.
    #[error("the way to another role cannot be made")]
    Connection(#[from] ConnectionError),
    /// The broker's own context cannot be had.
    #[error(transparent)]
    Context(#[from] broker::own_context::OwnContextError),
    /// The portal cannot start.
    #[error("the portal cannot start")]
    Portal(#[from] counter::portal::PortalError),
    /// The portal's own calls failed.
    #[error("the portal's call to the broker failed")]
    Client(#[from] client::error::ClientError),
    /// The portal's store cannot be used.
    #[error("the portal's store cannot be used")]
    ClientStore(#[from] client::store::StoreError),
    /// The portal's directory is not good.
    #[error("the directory is not good")]
    Directory(#[from] client::directory::DirectoryError),
    /// Certificate, key or issuers are not good.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The key holder cannot start.
    #[error("the key holder cannot start: {0}")]
    KeyHolder(#[from] counter::holder::StartError),
    /// The server failed.
    #[error("the role cannot serve")]
    Serve(#[from] ServeError),
}

fn listed(refusal: &Refusal) -> String {
    refusal
        .violations
        .iter()
        .map(|violation| format!("\n  `{}` {}", violation.field, violation.description))
        .collect()
}
