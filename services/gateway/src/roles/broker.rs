//! The broker: database, keys, directory, policy, the way to the key holders, services and its own
//! work, put together.
//!
//! Must never hold a BSN, a partner's pseudonym or a field's content; nothing that is assembled here
//! can make one.

pub mod chain;
pub mod context_keys;
pub mod day_keys;
pub mod own_context;
mod own_work;
pub mod standing;

use super::own_files::{self, OwnFiles, SignedFiles};
use super::{StartError, ending, trust};
use crate::clock::SystemClock;
use crate::configuration::{BrokerSettings, Configuration, Profile};
use crate::door::admission::{Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::grpc::audit::Audits;
use crate::grpc::consent::Consents;
use crate::grpc::directory::Directories;
use crate::grpc::feed::Feed;
use crate::grpc::handover::Handovers;
use crate::grpc::policy::Policies;
use crate::grpc::portal_copy::Copies;
use crate::grpc::pseudonym::Pseudonyms;
use crate::grpc::restoration::Restorations;
use crate::grpc::status::causes;
use crate::limited;
use crate::serving::{self, Mounted};
use ::broker::InForce;
use ::broker::directory::stored;
use ::broker::{Broker, Caller, Keys, Settings};
use chain::Chain;
use client::connection::Connection;
use client::credentials::LiveCredentials;
use context_keys::ContextKeys;
use day_keys::DayKeyFolder;
use own_context::Opening;
use papers::controllers::{PolicyFiles, SignedByAll};
use rules::clock::Clock;
use rules::directory::Directory;
use rules::hex;
use rules::id::{Oin, PeerKind};
use rules::policy::PolicyBundle;
use rules::reason::{Outcome, Reason};
use standing::BrokerStanding;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use store::Database;
use tokio::sync::watch;
use vault::chance::SystemChance;
use vault::keyfile::{KeyFile, SecretName};
use vault::rest::{Crypter, IndexKey};
use vault::sign::{SigningKey, VerifyingKey};
use wire::audit::v1::audit_service_server::AuditServiceServer;
use wire::consent::v1::consent_service_server::ConsentServiceServer;
use wire::directory::v1::directory_service_server::DirectoryServiceServer;
use wire::handover::v1::handover_service_server::HandoverServiceServer;
use wire::policy::v1::policy_service_server::PolicyServiceServer;
use wire::portal::v1::copy_service_server::CopyServiceServer;
use wire::portal::v1::feed_service_server::FeedServiceServer;
use wire::pseudonym::v1::pseudonym_service_server::PseudonymServiceServer;
use wire::restoration::v1::restoration_service_server::RestorationServiceServer;

/// The files for the first start, which put themselves in force by a logged command.
struct FirstFiles {
    directory: SignedByAll<Vec<u8>>,
    policy: SignedByAll<PolicyFiles>,
}

/// Runs a broker until the process is told to stop.
///
/// # Errors
/// Everything that keeps it from starting, with what to do about it.
pub async fn run(
    configuration: &Configuration,
    settings: &BrokerSettings,
) -> Result<(), StartError> {
    let stopping = serving::stopping()?;
    let own = own_files::read(configuration)?;
    let credentials = serving::credentials(&configuration.tls)?;
    let mut stopped = stopping.clone();
    let started = tokio::select! {
        () = serving::stop(&mut stopped) => return Ok(()),
        started = start(configuration, (own, &credentials), settings) => started?,
    };
    let Started {
        broker,
        chain,
        days,
    } = started;
    let standing = Arc::new(BrokerStanding::new(Arc::clone(&broker), Arc::clone(&chain)));
    let registry: Arc<dyn Registry> = Arc::<BrokerStanding>::clone(&standing);
    let mounted = mounted(&broker, &registry, standing, &stopping);
    let candidate = broker.candidate();
    let mut own = candidate;
    let (worker, told) = (Arc::clone(&broker), stopping.clone());
    let work = tokio::spawn(async move {
        own_work::run(&worker, &mut own, &chain, &days, told).await;
    });
    let looked = Arc::clone(&broker);
    let look = move |tell: &mut dyn FnMut(&Directory)| tell(&looked.in_force().directory);
    let telling = tokio::spawn(ending::watch(look, stopping.clone()));
    let stored = Arc::<Broker>::clone(&broker);
    let served = serving::serve(
        configuration,
        credentials,
        registry,
        mounted,
        stored,
        stopping,
    )
    .await;
    // A fault of the server ends the broker's own work as well; nothing is half-written by that.
    telling.abort();
    work.abort();
    drop(work.await);
    if let Err(fault) = broker.give_up_lead(&candidate).await {
        tracing::warn!(
            causes = causes(&fault),
            "the lead was not given up; it runs out by itself"
        );
    }
    broker.database().close().await;
    Ok(served?)
}

/// The services at its door.
fn mounted(
    broker: &Arc<Broker>,
    registry: &Arc<dyn Registry>,
    standing: Arc<BrokerStanding>,
    stopping: &watch::Receiver<bool>,
) -> Mounted {
    Mounted::new()
        .with(limited!(
            HandoverServiceServer<_>,
            Handovers::new(Arc::clone(broker), Arc::clone(registry), stopping.clone())
        ))
        .with(limited!(
            PseudonymServiceServer<_>,
            Pseudonyms::new(Arc::clone(broker))
        ))
        .with(limited!(
            DirectoryServiceServer<_>,
            Directories::new(standing)
        ))
        .with(limited!(
            PolicyServiceServer<_>,
            Policies::new(Arc::clone(broker))
        ))
        .with(limited!(
            AuditServiceServer<_>,
            Audits::new(Arc::clone(broker))
        ))
        .with(limited!(
            ConsentServiceServer<_>,
            Consents::new(Arc::clone(broker))
        ))
        .with(limited!(
            FeedServiceServer<_>,
            Feed::new(Arc::clone(broker))
        ))
        .with(limited!(
            CopyServiceServer<_>,
            Copies::new(Arc::clone(broker))
        ))
        .with(limited!(
            RestorationServiceServer<_>,
            Restorations::new(Arc::clone(broker))
        ))
}

/// What has been put together before the door opens.
struct Started {
    broker: Arc<Broker>,
    chain: Arc<Chain>,
    days: DayKeyFolder,
}

/// What a broker is made of that needs no other process.
pub(super) struct Looked {
    key_file: KeyFile,
    database: Database,
    in_force: InForce,
    /// In a database that has nothing yet.
    first: Option<FirstFiles>,
    promise: SigningKey,
    operator: Caller,
}

/// Looks over what needs no other process.
///
/// # Errors
/// The first thing that is wrong.
pub(super) async fn look(
    configuration: &Configuration,
    settings: &BrokerSettings,
    own: OwnFiles,
    database: Database,
) -> Result<Looked, StartError> {
    let SignedFiles {
        directory,
        directory_file,
        policy,
    } = own.signed;
    let verified = Arc::new(directory);
    let controllers = controllers(configuration);
    let policy = policy.ok_or(StartError::Role {
        found: "broker",
        needed: "a policy set",
    })?;
    let stored = stored(&database, &controllers, Some(Arc::clone(&verified))).await?;
    let (in_force, first) = match stored {
        Some(in_force) => {
            tell_difference(&in_force, &policy.0);
            (in_force, None)
        }
        None => {
            let directory = Arc::unwrap_or_clone(verified);
            let (bundle, policy) = policy;
            let in_force = InForce::new(directory, &directory_file, bundle)?;
            (
                in_force,
                Some(FirstFiles {
                    directory: directory_file,
                    policy,
                }),
            )
        }
    };
    let known: Vec<&Oin> = settings.holders.iter().map(|holder| &holder.oin).collect();
    trust::check_addresses(&in_force.directory, &known)?;
    let promise = SigningKey::from_seed(own.key_file.require(SecretName::SigningSeed)?);
    let operator = operator(&own.certificate, &in_force, &promise)?;
    Ok(Looked {
        key_file: own.key_file,
        database,
        in_force,
        first,
        promise,
        operator,
    })
}

/// Says that the policies folder holds another set than the one in force.
fn tell_difference(in_force: &InForce, folder: &PolicyBundle) {
    let present = &in_force.policy;
    if present.hash() == folder.hash() {
        return;
    }
    let to_do = if folder.follows(present).is_ok() {
        "put it in force with `sluis policy activate`"
    } else if folder.version() > present.version() {
        "put the sets in between and this one in force with `sluis policy activate`, oldest first"
    } else {
        "put the files of the set in force into the folder"
    };
    tracing::warn!(
        in_force = hex::encode(&present.hash()),
        version = present.version(),
        in_folder = hex::encode(&folder.hash()),
        version_in_folder = folder.version(),
        to_do,
        "the policies folder holds another set than the one in force"
    );
}

async fn start(
    configuration: &Configuration,
    (own, credentials): (OwnFiles, &Arc<LiveCredentials>),
    settings: &BrokerSettings,
) -> Result<Started, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let days = DayKeyFolder::open(&settings.day_keys)?;
    let day_keys = days.load(clock.now())?;
    let database = Database::open(&own.database, store::Role::Broker).await?;
    let own_database = Arc::new(Database::open(&own.database, store::Role::Broker).await?);
    let looked = look(configuration, settings, own, database).await?;
    let Looked {
        key_file,
        database,
        in_force,
        first,
        promise,
        operator,
    } = looked;
    let controllers = controllers(configuration);
    let holders = connections(credentials, settings)?;
    let trust_level = trust_level(configuration, settings, &holders, &in_force).await?;
    let directory = Arc::new(in_force.directory.clone());
    let index = IndexKey::from_secret(key_file.require(SecretName::IndexKey)?);
    let contexts = ContextKeys::new(own_database, Arc::clone(&clock), index);
    let chain = Arc::new(Chain::new(holders, Arc::clone(&directory), contexts));
    let rest = Crypter::new(&key_file.rest_keys());
    let opening = Opening {
        database: &database,
        chain: &chain,
        directory: &directory,
        commitments: &configuration.commitments,
        key_file: &key_file,
        desk: &operator.desk,
        rest: &rest,
        clock: clock.as_ref(),
    };
    let (context_label, context) = opening.run().await?;
    let keys = Keys {
        index: IndexKey::from_secret(key_file.require(SecretName::IndexKey)?),
        rest,
        days: RwLock::new(day_keys),
        promise,
        context,
        context_label,
    };
    let broker = Arc::new(Broker::new(
        Settings {
            database,
            keys,
            holders: Arc::<Chain>::clone(&chain),
            clock,
            random: Arc::new(SystemChance::new()),
            controllers,
            operator,
            trust_level,
            limits: settings.limits,
        },
        in_force,
    ));
    found(&broker, settings, first, trust_level).await?;
    Ok(Started {
        broker,
        chain,
        days,
    })
}

/// What the broker writes before the door opens: the first files in force, and an override of trust.
async fn found(
    broker: &Broker,
    settings: &BrokerSettings,
    first: Option<FirstFiles>,
    trust_level: u32,
) -> Result<(), StartError> {
    if let Some(first) = first {
        match broker.first_start(&first.directory, &first.policy).await? {
            Outcome::Permitted(_) => {
                tracing::info!("put the first directory and policy set in force");
            }
            // There was none when this broker looked: another one was faster.
            Outcome::Refused(refusal) if refusal.reason == Reason::DirectoryVersionLower => {
                tracing::info!("another broker put the first directory and policy set in force");
            }
            Outcome::Refused(refusal) => {
                return Err(StartError::Refused {
                    what: "directory and policy set",
                    refusal,
                });
            }
        }
    }
    if settings.trust_override.is_some() && trust_level < 2 {
        broker.note(&broker.own_call(), "TrustOverride").await?;
    }
    Ok(())
}

/// The controllers, as the broker knows them.
#[must_use]
pub fn controllers(configuration: &Configuration) -> Vec<papers::controllers::Controller> {
    configuration
        .controllers
        .iter()
        .map(|controller| papers::controllers::Controller {
            name: controller.name.clone(),
            key: VerifyingKey::from_bytes(controller.public_key),
        })
        .collect()
}

/// The broker's own desk: its certificate is in the directory as the broker, and its promise key is
/// that desk's.
fn operator(
    certificate: &PeerCertificate,
    in_force: &InForce,
    promise: &SigningKey,
) -> Result<Caller, StartError> {
    let operator = caller_of(&in_force.directory, certificate).map_err(|reason| {
        StartError::Disagreement(format!(
            "the directory does not know the own certificate: {reason}"
        ))
    })?;
    let disagree = |text: &str| Err(StartError::Disagreement(text.to_owned()));
    if operator.kind != PeerKind::Broker || operator.party != *in_force.directory.broker() {
        return disagree("the own certificate is not of the directory's broker");
    }
    if operator.signing_key != *promise.public().bytes() {
        return disagree("the key file's signing key is not that of the own desk in the directory");
    }
    Ok(operator)
}

async fn trust_level(
    configuration: &Configuration,
    settings: &BrokerSettings,
    holders: &BTreeMap<Oin, Connection>,
    in_force: &InForce,
) -> Result<u32, StartError> {
    let level = trust::level(holders, &in_force.directory, configuration.oin_element).await?;
    tracing::info!(trust_level = level, "operators among the key holders");
    if level >= 2 {
        return Ok(level);
    }
    match (configuration.profile, &settings.trust_override) {
        (Profile::Production, None) => Err(StartError::Trust(level)),
        (Profile::Production, Some(reason)) => {
            tracing::warn!(reason, "starts in production below trust level 2");
            Ok(level)
        }
        (Profile::Sandbox, _) => Ok(level),
    }
}

pub(super) fn connections(
    credentials: &Arc<LiveCredentials>,
    settings: &BrokerSettings,
) -> Result<BTreeMap<Oin, Connection>, StartError> {
    settings
        .holders
        .iter()
        .map(|holder| {
            let connection = Connection::new(credentials, &holder.server_name, &holder.address)?;
            Ok((holder.oin.clone(), connection))
        })
        .collect()
}
