//! The portal: its own context, its own verified copy of the directory, its database of sealed lines, and
//! its services, put together; and the tasks that follow the broker.
//!
//! Must never serve before its context is open, and must never keep a pseudonym or a person.

mod broker;
mod errands;

use super::own_files::{self, OwnFiles};
use super::{StartError, broker as broker_role, ending};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, PortalSettings, Profile};
use crate::door::admission::{Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::grpc::directory::{
    Boxed, Directories, Standing, imported, need_operator, parts, signatures,
};
use crate::grpc::portal::Portals;
use crate::grpc::status;
use crate::limited;
use crate::serving::{self, Mounted};
use ::broker::Caller;
use ::portal::{Broker, Identities, Need, Parts, Portal};
use broker::RemoteBroker;
use client::connection::Connection;
use client::credentials::LiveCredentials;
use client::directory::{Controller, DirectoryCopy, DirectoryError};
use client::identity::{Identity, Trust};
use client::store::Store;
use client::{Client, ClientParts, RetryPolicy};
use papers::controllers::SignedByAll;
use papers::directory::{Came, Imported, Waiting};
use rules::clock::Clock;
use rules::directory::{Directory, head};
use rules::hex;
use rules::id::{Oin, PeerKind, RequestId};
use rules::policy::PolicyBundle;
use rules::reason::{Reason, Refusal, Violation};
use std::cmp::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use store::Database;
use tokio::sync::watch;
use tonic::{Request, Status};
use vault::chance::SystemChance;
use vault::keyfile::{KeyFile, SecretName};
use vault::rest::{Crypter, IndexKey};
use wire::directory::v1 as message;
use wire::directory::v1::directory_service_server::DirectoryServiceServer;
use wire::portal::v1::portal_service_server::PortalServiceServer;

/// How often the broker is asked for a newer directory.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// How often lines that are too old are erased.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);
/// After so many misses the pause grows no more: 15 seconds.
const MISSES_MAX: u32 = 4;
/// How long the portal waits before it asks a broker that is away again.
const PAUSE: Duration = Duration::from_secs(1);
/// A portal's configuration names a policy set.
const NO_POLICIES: StartError = StartError::Role {
    found: "portal",
    needed: "a policy set",
};
/// How often the feed is taken over.
const FEED_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a portal until the process is told to stop.
///
/// # Errors
/// Everything that keeps it from starting.
pub async fn run(
    configuration: &Configuration,
    settings: &PortalSettings,
) -> Result<(), StartError> {
    let stopping = serving::stopping()?;
    let own = own_files::read(configuration)?;
    let caller = own_desk(&own)?;
    let database = Database::open(&own.database, store::Role::Portal).await?;
    let credentials = serving::credentials(&configuration.tls)?;
    let controllers = controllers(configuration);
    let client = client(configuration, (&own, &credentials), settings, &caller)?;
    let OwnFiles {
        key_file, signed, ..
    } = own;
    let first = first_directory(signed.directory_file, &controllers)?;
    let (policy, _) = signed.policy.ok_or(NO_POLICIES)?;
    let mut stopped = stopping.clone();
    tokio::select! {
        () = serving::stop(&mut stopped) => return Ok(()),
        opened = open_context(&client) => opened?,
    }
    let newest = newer(first, client.directory().await?);
    let status = client.status().await?;
    tell_difference((&status.policy_set_sha256, status.policy_version), &policy);
    let broker = Arc::new(RemoteBroker::new(client.clone(), &newest));
    let others = (
        Arc::<RemoteBroker>::clone(&broker) as Arc<dyn Broker>,
        database,
    );
    let portal = assemble(
        configuration,
        settings,
        &caller,
        (&key_file, &policy),
        others,
    )
    .await?;
    let standing = Arc::new(PortalStanding {
        operator: caller,
        controllers,
        directory: RwLock::new(newest),
        broker,
        trust_level: status.trust_level,
        waiting: Waiting::default(),
    });
    serve(
        configuration,
        credentials,
        (client, portal, standing),
        stopping,
    )
    .await
}

/// Opens the door, and follows the broker beside it.
async fn serve(
    configuration: &Configuration,
    credentials: Arc<LiveCredentials>,
    (client, portal, standing): (Client, Portal, Arc<PortalStanding>),
    stopping: watch::Receiver<bool>,
) -> Result<(), StartError> {
    let registry: Arc<dyn Registry> = Arc::<PortalStanding>::clone(&standing);
    let mounted = Mounted::new()
        .with(limited!(
            DirectoryServiceServer<_>,
            Directories::new(Arc::<PortalStanding>::clone(&standing))
        ))
        .with(limited!(
            PortalServiceServer<_>,
            Portals::new(portal.clone(), standing.operator.party.oin.clone())
        ));
    let looked = Arc::clone(&standing);
    let look = move |tell: &mut dyn FnMut(&Directory)| tell(looked.copy().directory());
    let errands = |need| tokio::spawn(errands::follow(portal.clone(), need, stopping.clone()));
    let tasks = [
        errands(Need::Broker),
        errands(Need::Holders),
        tokio::spawn(errands::follow_copies(portal.clone(), stopping.clone())),
        tokio::spawn(refresh(client.clone(), standing, stopping.clone())),
        tokio::spawn(ending::watch(look, stopping.clone())),
        tokio::spawn(follow_feed(client, portal.clone(), stopping.clone())),
    ];
    let stored = Arc::new(portal.clone());
    let served = serving::serve(
        configuration,
        credentials,
        registry,
        mounted,
        stored,
        stopping,
    )
    .await;
    for task in tasks {
        task.abort();
    }
    portal.close_database().await;
    Ok(served?)
}

/// The portal behind the services: its broker, its database, its keys and the register.
async fn assemble(
    configuration: &Configuration,
    settings: &PortalSettings,
    caller: &Caller,
    (key_file, policy): (&KeyFile, &PolicyBundle),
    (broker, database): (Arc<dyn Broker>, Database),
) -> Result<Portal, StartError> {
    Ok(Portal::new(Parts {
        desk: (caller.party.oin.clone(), caller.desk.clone()),
        // Outside a sandbox nobody logs in without an identity provider.
        identities: match configuration.profile {
            Profile::Sandbox => Identities::Test,
            Profile::Production => Identities::Nobody,
        },
        broker,
        database,
        index: IndexKey::from_secret(key_file.require(SecretName::IndexKey)?),
        crypter: Crypter::new(&key_file.rest_keys()),
        without_copies: settings.without_copies,
        register: policy.register().clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemChance::new()),
    })
    .await?)
}

/// Says that the policies folder holds another set than the broker has in force: persons read its titles, not that one's.
fn tell_difference((in_force, version): (&[u8], i64), folder: &PolicyBundle) {
    if in_force == folder.hash() {
        return;
    }
    let of_folder = i64::try_from(folder.version()).unwrap_or(i64::MAX);
    let age = match of_folder.cmp(&version) {
        Ordering::Less => "older",
        Ordering::Equal => "of the same version",
        Ordering::Greater => "newer",
    };
    tracing::warn!(
        in_force = hex::encode(in_force),
        version,
        in_folder = hex::encode(&folder.hash()),
        version_in_folder = of_folder,
        the_folders_is = age,
        to_do = "put the files of the set in force into the folder, and start the portal again",
        "the policies folder holds another set than the one in force at the broker: persons read its titles"
    );
}

/// Takes over the feed, sends what still waits, and ends old sessions, every second; a broker that is away or
/// shut is asked less and less often. Lines that are too old go once an hour.
async fn follow_feed(client: Client, portal: Portal, mut stopping: watch::Receiver<bool>) {
    let (mut away, mut misses, mut left_out) = (false, 0_u32, 0_u32);
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            () = serving::stop(&mut stopping) => return,
            _ = sweep.tick() => sweep_lines(&portal).await,
            () = tokio::time::sleep(FEED_INTERVAL) => {}
        }
        portal.end_old_sessions();
        if portal.is_shut() {
            // Blocks may be missing: what they call for would not be done.
            continue;
        }
        if left_out > 0 {
            left_out -= 1;
            continue;
        }
        match client.resume().await {
            Ok(resumed) => {
                for request in resumed {
                    if let Err(error) = &request.outcome {
                        tracing::warn!(
                            call = request.call,
                            causes = status::causes(error),
                            "what waited was not done"
                        );
                    }
                }
            }
            Err(error) => {
                tracing::warn!(
                    causes = status::causes(&error),
                    "what waits could not be sent"
                );
            }
        }
        match portal.take_in().await {
            Ok(_) => (away, misses) = (false, 0),
            Err(error) => {
                misses = misses.saturating_add(1).min(MISSES_MAX);
                left_out = (1 << misses) - 2;
                if !away {
                    let causes = status::causes(&error);
                    tracing::warn!(causes, "the feed could not be taken over");
                }
                away = true;
            }
        }
    }
}

async fn sweep_lines(portal: &Portal) {
    match portal.erase_old_lines().await {
        Ok(lines) => tracing::debug!(lines, "erased what was kept long enough"),
        Err(error) => {
            tracing::error!(causes = status::causes(&error), "the sweep failed");
        }
    }
}

fn controllers(configuration: &Configuration) -> Vec<Controller> {
    broker_role::controllers(configuration)
        .into_iter()
        .map(|controller| Controller {
            name: controller.name,
            key: controller.key,
        })
        .collect()
}

/// The directory on the disk, with what proves it.
fn first_directory(
    file: SignedByAll<Vec<u8>>,
    controllers: &[Controller],
) -> Result<Arc<DirectoryCopy>, StartError> {
    let signatures = file
        .signatures
        .into_iter()
        .map(|signed| message::ControllerSignature {
            controller: signed.controller,
            signature: signed.signature,
        });
    let copy = DirectoryCopy::verify(file.content, signatures.collect(), controllers, None)?;
    Ok(Arc::new(copy))
}

/// Looks over what a start needs besides its files and its database, and changes nothing.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn look(
    settings: &PortalSettings,
    own: &OwnFiles,
    credentials: &Arc<LiveCredentials>,
) -> Result<(), StartError> {
    own_desk(own)?;
    let (name, address) = (&settings.broker_server_name, &settings.broker_address);
    Connection::new(credentials, name, address)?;
    Ok(Store::look(&settings.store)?)
}

/// The portal's own desk, as the directory knows its certificate.
fn own_desk(own: &OwnFiles) -> Result<Caller, StartError> {
    let caller = caller_of(&own.signed.directory, &own.certificate).map_err(|reason| {
        StartError::Disagreement(format!(
            "the directory does not know the own certificate: {reason}"
        ))
    })?;
    if caller.kind == PeerKind::Portal {
        Ok(caller)
    } else {
        Err(StartError::Disagreement(
            "the own certificate is not of a portal".to_owned(),
        ))
    }
}

fn client(
    configuration: &Configuration,
    (own, credentials): (&OwnFiles, &Arc<LiveCredentials>),
    settings: &PortalSettings,
    caller: &Caller,
) -> Result<Client, StartError> {
    let key_file = &own.key_file;
    let random = Arc::new(SystemChance::new());
    let crypter = Crypter::new(&key_file.rest_keys());
    Ok(Client::new(ClientParts {
        connection: Connection::new(
            credentials,
            &settings.broker_server_name,
            &settings.broker_address,
        )?,
        identity: Identity::from_key_file(caller.party.clone(), caller.desk.clone(), key_file)?,
        trust: Trust {
            controllers: controllers(configuration),
            commitments: own.pinned.clone(),
        },
        store: Store::open(
            &settings.store,
            crypter,
            Arc::<SystemChance>::clone(&random),
        )?,
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        random,
        retry: RetryPolicy::default(),
        number_labels: std::collections::BTreeSet::new(),
        lookalike_labels: std::collections::BTreeSet::new(),
    })?)
}

/// Opens the portal's own context through the broker; waits for a broker that is away.
async fn open_context(client: &Client) -> Result<(), StartError> {
    let mut waited = false;
    loop {
        match client.open_context().await {
            Ok(context) => {
                tracing::info!(%context, "the portal's own context is open");
                return Ok(());
            }
            Err(error) if error.is_repeatable() => {
                if !waited {
                    tracing::warn!("waits for the broker before the door opens");
                }
                waited = true;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn newer(one: Arc<DirectoryCopy>, other: Arc<DirectoryCopy>) -> Arc<DirectoryCopy> {
    if other.directory().version() > one.directory().version() {
        other
    } else {
        one
    }
}

/// Follows the broker's directory; only a newer one that verifies is taken over.
async fn refresh(
    client: Client,
    standing: Arc<PortalStanding>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = serving::stop(&mut stopping) => return,
            () = tokio::time::sleep(REFRESH_INTERVAL) => {}
        }
        match client.refresh_directory().await {
            Ok(copy) => standing.follow(copy),
            Err(error) => {
                tracing::warn!(
                    causes = status::causes(&error),
                    "no newer directory could be had"
                );
            }
        }
    }
}

/// The portal's standing among the roles.
struct PortalStanding {
    operator: Caller,
    controllers: Vec<Controller>,
    directory: RwLock<Arc<DirectoryCopy>>,
    broker: Arc<RemoteBroker>,
    trust_level: i32,
    /// What came of a directory whose parts are not all here.
    waiting: Waiting,
}

impl PortalStanding {
    fn copy(&self) -> Arc<DirectoryCopy> {
        Arc::clone(
            &self
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn follow(&self, copy: Arc<DirectoryCopy>) {
        let newest = newer(self.copy(), copy);
        self.broker.follow(&newest);
        *self
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner) = newest;
    }

    async fn take_over(
        &self,
        request: message::ImportDirectoryRequest,
    ) -> Result<message::ImportDirectoryResponse, Refusal> {
        let present = self.copy();
        let controllers: Vec<_> = self.controllers.iter().map(signer).collect();
        let sent = SignedByAll {
            content: request.directory_toml,
            signatures: signatures(request.signatures.clone()),
        };
        let in_force = (present.directory(), present.file());
        let came = self
            .waiting
            .take_in(&controllers, sent, request.parts, in_force)?;
        let file = match came {
            Came::Whole(file) => file.content,
            Came::Missing(missing) => {
                let version = self.directory_version();
                return Ok(imported(Imported { version, missing }, Vec::new()));
            }
        };
        let verified = client::directory::verify_aside(
            file,
            request.signatures,
            self.controllers.clone(),
            Some(present),
        );
        let copy = verified.await.map_err(|error| refusal(&error))?;
        self.follow(Arc::new(copy));
        let version = self.directory_version();
        let missing = Vec::new();
        Ok(imported(Imported { version, missing }, Vec::new()))
    }
}

/// A controller as the broker knows it.
fn signer(controller: &Controller) -> papers::controllers::Controller {
    papers::controllers::Controller {
        name: controller.name.clone(),
        key: controller.key,
    }
}

fn refusal(error: &DirectoryError) -> Refusal {
    let violations: Vec<Violation> = match error {
        DirectoryError::Invalid { mistakes, .. } => mistakes.clone(),
        DirectoryError::Unsigned { .. }
        | DirectoryError::NoControllers
        | DirectoryError::Inner { .. }
        | DirectoryError::Ended { .. }
        | DirectoryError::VersionLower { .. } => Vec::new(),
    };
    Refusal {
        reason: error.reason(),
        violations,
    }
}

impl Registry for PortalStanding {
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
        caller_of(self.copy().directory(), certificate)
    }
}

impl Standing for PortalStanding {
    fn directory_version(&self) -> i64 {
        i64::try_from(self.copy().directory().version()).unwrap_or(i64::MAX)
    }

    fn organisation_name(&self, oin: &Oin) -> String {
        let copy = self.copy();
        copy.directory()
            .peer(oin)
            .map(|peer| peer.name().to_owned())
            .unwrap_or_default()
    }

    fn signed_directory(&self) -> (Vec<u8>, Vec<message::ControllerSignature>) {
        let copy = self.copy();
        (head(copy.file()).to_vec(), copy.signatures().to_vec())
    }

    fn directory_parts(&self, wanted: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let copy = self.copy();
        parts(copy.directory(), copy.file(), wanted)
    }

    fn status(&self) -> message::GetStatusResponse {
        message::GetStatusResponse {
            role: "portal".to_owned(),
            operator_oin: self.operator.party.oin.to_string(),
            trust_level: self.trust_level,
            directory_version: self.directory_version(),
            policy_set_sha256: Vec::new(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            promise_public_key: Vec::new(),
            directory_valid_until_millis: self.copy().directory().valid_until().millis(),
            policy_version: 0,
        }
    }

    /// The portal keeps no log.
    fn note<'a>(
        &'a self,
        _request: &'a Request<()>,
        _name: &'static str,
    ) -> Boxed<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn import(
        &self,
        request: Request<message::ImportDirectoryRequest>,
    ) -> Boxed<'_, Result<message::ImportDirectoryResponse, Status>> {
        Box::pin(async move {
            need_operator(&request)?;
            let request = request.into_inner();
            let request_id = RequestId::from_slice(&request.request_id);
            let version = self.take_over(request).await;
            version.map_err(|refusal| status::refused(&refusal, request_id, None))
        })
    }
}
