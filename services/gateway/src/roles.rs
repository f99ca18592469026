//! What each role is made of, put together once at start-up.
//!
//! Must never open a socket before everything that can be wrong has been looked at.

pub mod broker;
pub(crate) mod ending;
pub mod holder;
pub mod own_files;
pub mod portal;
pub mod trust;

use crate::configuration::{Configuration, ConfigurationError, Role};
use crate::door::reload::DoorError;
use crate::files::FileError;
use crate::grpc::status::causes;
use crate::policies::PolicyCommandError;
use crate::serving::ServeError;
use client::connection::ConnectionError;
use client::credentials::{CredentialError, LiveCredentials};
use rules::id::Oin;
use rules::reason::{Reason, Refusal};
use std::net::SocketAddr;
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
    /// The broker failed.
    #[error("what is stored cannot be used")]
    Broker(#[from] ::broker::Error),
    /// Several things are wrong.
    #[error("{} things are wrong:{}", .0.len(), .0.iter().map(|one| format!("\n- {}", causes(one))).collect::<String>())]
    Several(Vec<StartError>),
    /// Certificate and key cannot serve at a door.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The directory or the policy set that the configuration names is not good.
    #[error(
        "the {what} that the configuration names was refused: {}: {}{}",
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
    Portal(#[from] ::portal::PortalError),
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
    KeyHolder(#[from] ::holder::StartError),
    /// The server failed.
    #[error("the role cannot serve")]
    Serve(#[from] ServeError),
}

impl StartError {
    /// All that is wrong, as one.
    fn all(found: impl IntoIterator<Item = Option<Self>>) -> Self {
        let mut all = Vec::new();
        for one in found.into_iter().flatten() {
            match one {
                Self::Several(more) => all.extend(more),
                one => all.push(one),
            }
        }
        if all.len() == 1
            && let Some(one) = all.pop()
        {
            return one;
        }
        Self::Several(all)
    }
}

/// Looks everything over that keeps a role from starting and needs no other process, by what a start looks at. Gives what
/// is still to be done before it.
///
/// # Errors
/// Everything that is wrong with the files, or the first thing beyond them.
pub async fn check(configuration: &Configuration) -> Result<Vec<String>, StartError> {
    let own = own_files::read(configuration)?;
    let credentials = LiveCredentials::checked(&configuration.tls, |_| Ok(()))?;
    match &configuration.role {
        Role::Broker(settings) => drop(broker::connections(&credentials, settings)?),
        Role::Holder(_) => {}
        Role::Portal(settings) => portal::look(settings, &own, &credentials)?,
    }
    let mut to_do = Vec::new();
    to_do.extend(port(configuration.listen)?);
    let database = match store::Database::open(&own.database, configuration.role.of_store()).await {
        Ok(database) => database,
        Err(store::Error::Open {
            fault:
                store::OpenFault::NoFile | store::OpenFault::NoTables | store::OpenFault::Older(..),
            ..
        }) => {
            let place = configuration.database();
            to_do.push(format!(
                "{place} is not of this program yet: run `sluis migrate`"
            ));
            return Ok(to_do);
        }
        Err(error) => return Err(error.into()),
    };
    match &configuration.role {
        Role::Broker(settings) => drop(broker::look(configuration, settings, own, database).await?),
        Role::Holder(settings) => holder::look(configuration, settings, own, database).await?,
        Role::Portal(_) => {}
    }
    Ok(to_do)
}

/// Whether the role can listen at this address; what is to be done when somebody does already.
fn port(address: SocketAddr) -> Result<Option<String>, StartError> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(Some(format!(
            "{address} is taken: if this role does not run there now, stop what does, or name another port in `listen`"
        ))),
        Err(source) => Err(ServeError::Listen { address, source }.into()),
    }
}

fn listed(refusal: &Refusal) -> String {
    refusal
        .violations
        .iter()
        .map(|violation| format!("\n  `{}` {}", violation.field, violation.description))
        .collect()
}
