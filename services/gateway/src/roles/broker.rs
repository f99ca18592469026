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

use super::{StartError, trust};
use crate::clock::SystemClock;
use crate::configuration::{BrokerSettings, Configuration, Profile};
use crate::door::admission::{Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::files;
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
use crate::policies;
use crate::serving::{self, Mounted};
use chain::Chain;
use client::connection::Connection;
use client::credentials::LiveCredentials;
use context_keys::ContextKeys;
use counter::counter::InForce;
use counter::directory::{
    ControllerSignature, PolicyFiles, Signed, stored, verify_directory, verify_policy_set,
};
use counter::{Caller, Counter, Keys, Settings};
use day_keys::DayKeyFolder;
use own_context::Opening;
use rules::clock::Clock;
use rules::id::{Oin, PeerKind};
use rules::reason::{Outcome, Reason};
use standing::BrokerStanding;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};
use store::Database;
use tokio::sync::watch;
use vault::chance::SystemChance;
use vault::keyfile::{Role as KeyRole, SecretName};
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
    directory: Signed<Vec<u8>>,
    policy: Signed<PolicyFiles>,
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
    let credentials = serving::credentials(&configuration.tls)?;
    let mut stopped = stopping.clone();
    let started = tokio::select! {
        () = serving::stop(&mut stopped) => return Ok(()),
        started = start(configuration, &credentials, settings) => started?,
    };
    let Started {
        counter,
        chain,
        days,
    } = started;
    let standing = Arc::new(BrokerStanding::new(
        Arc::clone(&counter),
        Arc::clone(&chain),
    ));
    let registry: Arc<dyn Registry> = Arc::<BrokerStanding>::clone(&standing);
    let mounted = mounted(&counter, &registry, standing, &stopping);
    let candidate = counter.candidate();
    let mut own = candidate;
    let (worker, told) = (Arc::clone(&counter), stopping.clone());
    let work = tokio::spawn(async move {
        own_work::run(&worker, &mut own, &chain, &days, told).await;
    });
    let stored = Arc::<Counter>::clone(&counter);
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
    work.abort();
    drop(work.await);
    if let Err(fault) = counter.give_up_lead(&candidate).await {
        tracing::warn!(
            causes = causes(&fault),
            "the lead was not given up; it runs out by itself"
        );
    }
    counter.database().close().await;
    Ok(served?)
}

/// The services at its door.
fn mounted(
    counter: &Arc<Counter>,
    registry: &Arc<dyn Registry>,
    standing: Arc<BrokerStanding>,
    stopping: &watch::Receiver<bool>,
) -> Mounted {
    Mounted::new()
        .with(limited!(
            HandoverServiceServer<_>,
            Handovers::new(Arc::clone(counter), Arc::clone(registry), stopping.clone())
        ))
        .with(limited!(
            PseudonymServiceServer<_>,
            Pseudonyms::new(Arc::clone(counter))
        ))
        .with(limited!(
            DirectoryServiceServer<_>,
            Directories::new(standing)
        ))
        .with(limited!(
            PolicyServiceServer<_>,
            Policies::new(Arc::clone(counter))
        ))
        .with(limited!(
            AuditServiceServer<_>,
            Audits::new(Arc::clone(counter))
        ))
        .with(limited!(
            ConsentServiceServer<_>,
            Consents::new(Arc::clone(counter))
        ))
        .with(limited!(
            FeedServiceServer<_>,
            Feed::new(Arc::clone(counter))
        ))
        .with(limited!(
            CopyServiceServer<_>,
            Copies::new(Arc::clone(counter))
        ))
        .with(limited!(
            RestorationServiceServer<_>,
            Restorations::new(Arc::clone(counter))
        ))
}

/// What has been put together before the door opens.
struct Started {
    counter: Arc<Counter>,
    chain: Arc<Chain>,
    days: DayKeyFolder,
}

async fn start(
    configuration: &Configuration,
    credentials: &Arc<LiveCredentials>,
    settings: &BrokerSettings,
) -> Result<Started, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key_file = files::key_file(&configuration.key_file, KeyRole::Broker)?;
    let database = open(settings).await?;
    let controllers = controllers(configuration);
    let (in_force, first) = match stored(&database, &controllers, None).await? {
        Some(in_force) => (in_force, None),
        None => first_start(configuration, settings, &controllers)?,
    };
    let promise = SigningKey::from_seed(key_file.require(SecretName::SigningSeed)?);
    let operator = operator(configuration, credentials, &in_force, &promise)?;
    let holders = connections(credentials, settings)?;
    let trust_level = trust_level(configuration, settings, &holders, &in_force).await?;
    let directory = Arc::new(in_force.directory.clone());
    let own_database = Arc::new(open(settings).await?);
    let chain = Arc::new(Chain::new(
        holders,
        Arc::clone(&directory),
        ContextKeys::new(
            own_database,
            Arc::clone(&clock),
            IndexKey::from_secret(key_file.require(SecretName::IndexKey)?),
        ),
    ));
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
    let days = DayKeyFolder::open(&settings.day_keys)?;
    let keys = Keys {
        index: IndexKey::from_secret(key_file.require(SecretName::IndexKey)?),
        rest,
        days: RwLock::new(days.load(clock.now())?),
        promise,
        context,
        context_label,
    };
    let counter = Arc::new(Counter::new(
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
    found(&counter, settings, first, trust_level).await?;
    Ok(Started {
        counter,
        chain,
        days,
    })
}

/// What the broker writes before the door opens: the first files in force, and an override of trust.
async fn found(
    counter: &Counter,
    settings: &BrokerSettings,
    first: Option<FirstFiles>,
    trust_level: u32,
) -> Result<(), StartError> {
    if let Some(first) = first {
        match counter.first_start(&first.directory, &first.policy).await? {
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
        counter.note(&counter.own_call(), "TrustOverride").await?;
    }
    Ok(())
}

async fn open(settings: &BrokerSettings) -> Result<Database, StartError> {
    let settings = settings.database.open()?;
    Ok(Database::open(&settings, store::Role::Broker).await?)
}

/// The controllers, as the counter knows them.
#[must_use]
pub fn controllers(configuration: &Configuration) -> Vec<counter::counter::Controller> {
    configuration
        .controllers
        .iter()
        .map(|controller| counter::counter::Controller {
            name: controller.name.clone(),
            key: VerifyingKey::from_bytes(controller.public_key),
        })
        .collect()
}

fn signatures(path: &Path) -> Result<Vec<ControllerSignature>, StartError> {
    let lines = files::signatures(path)?;
    let signatures = lines
        .into_iter()
        .map(|(controller, signature)| ControllerSignature {
            controller,
            signature,
        })
        .collect();
    Ok(signatures)
}

/// Reads a policies folder as it is signed and sent: only the files that are part of the signed set.
///
/// # Errors
/// When a file cannot be read, or the set has mistakes: what has no place in it is one, as for every other program.
pub fn policy_files(folder: &Path) -> Result<PolicyFiles, StartError> {
    Ok(PolicyFiles(policies::signed(folder)?))
}

fn first_start(
    configuration: &Configuration,
    settings: &BrokerSettings,
    controllers: &[counter::counter::Controller],
) -> Result<(InForce, Option<FirstFiles>), StartError> {
    let directory = Signed {
        content: files::read(&configuration.directory.path)?,
        signatures: signatures(&configuration.directory.signatures)?,
    };
    let policy = Signed {
        content: policy_files(&settings.policies.path)?,
        signatures: signatures(&settings.policies.signatures)?,
    };
    let refused = |what| move |refusal| StartError::Refused { what, refusal };
    let verified = verify_directory(controllers, &directory, None).map_err(refused("directory"))?;
    let bundle = verify_policy_set(controllers, &policy).map_err(refused("policy set"))?;
    let in_force = InForce::new(verified, &directory, bundle)?;
    Ok((in_force, Some(FirstFiles { directory, policy })))
}

/// The broker's own desk: its certificate is in the directory as the broker, and its promise key is
/// that desk's.
fn operator(
    configuration: &Configuration,
    credentials: &LiveCredentials,
    in_force: &InForce,
    promise: &SigningKey,
) -> Result<Caller, StartError> {
    let credentials = credentials.current();
    let certificate = credentials
        .chain
        .first()
        .and_then(|leaf| PeerCertificate::read(leaf, configuration.oin_element))
        .ok_or_else(|| StartError::Disagreement("the own certificate cannot be read".to_owned()))?;
    let operator = caller_of(&in_force.directory, &certificate).map_err(|reason| {
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

fn connections(
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
