//! The key holder: its factors, its own copy of the directory, its database and its services, put
//! together.
//!
//! Must never hold a person, a handle or a field's content, and must never start with keys that are not
//! those of its place in the directory.

use super::own_files::{self, OwnFiles};
use super::{StartError, broker, ending};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, HolderSettings};
use crate::door::admission::{Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::grpc::directory::{
    Boxed, Directories, Standing, caller, imported, parts as wanted_parts, signatures,
};
use crate::grpc::key_holder::{KeyHolders, fault};
use crate::grpc::status;
use crate::limited;
use crate::serving::{self, Mounted};
use ::broker::Caller;
use holder::{Holder, Parts};
use papers::controllers::SignedByAll;
use rules::directory::{Directory, Right, head};
use rules::id::{Oin, PeerKind, RequestId};
use rules::reason::{Outcome, Reason};
use rules::secret::Secret;
use std::sync::Arc;
use std::time::Duration;
use store::Database;
use tokio::time::MissedTickBehavior;
use tonic::server::NamedService;
use tonic::{Request, Status};
use vault::holder::{HolderKeys, HolderSecrets};
use vault::keyfile::{KeyFile, SecretName};
use vault::rest::Crypter;
use vault::sign::SigningKey;
use wire::directory::v1 as message;
use wire::directory::v1::directory_service_server::DirectoryServiceServer;
use wire::pseudonym::v1::key_holder_service_server::KeyHolderServiceServer;

/// How often a holder looks at its clock. With the time that a clock must have gone well
/// ([`rules::limits::CLOCK_SETTLE_MILLIS`]) it bounds how long nothing is judged after a jump: five seconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a key holder until the process is told to stop.
///
/// # Errors
/// Everything that keeps it from starting, with what to do about it.
pub async fn run(
    configuration: &Configuration,
    settings: &HolderSettings,
) -> Result<(), StartError> {
    let stopping = serving::stopping()?;
    let holder = assemble(configuration, settings).await?;
    let credentials = serving::credentials(&configuration.tls)?;
    tracing::info!(
        trust_level = holder.trust_level(),
        directory = holder.directory().version(),
        "operators among the key holders"
    );
    let standing = Arc::new(HolderStanding {
        holder: holder.clone(),
    });
    let registry: Arc<dyn Registry> = Arc::<HolderStanding>::clone(&standing);
    let mounted = Mounted::new()
        .with(limited!(
            KeyHolderServiceServer<_>,
            KeyHolders::new(holder.clone())
        ))
        .with(limited!(
            DirectoryServiceServer<_>,
            Directories::new(standing)
        ));
    let looking = tokio::spawn(look_round(holder.clone()));
    let looked = holder.clone();
    let look = move |tell: &mut dyn FnMut(&Directory)| tell(&looked.directory());
    let telling = tokio::spawn(ending::watch(look, stopping.clone()));
    let stored = Arc::new(holder.clone());
    let served = serving::serve(
        configuration,
        credentials,
        registry,
        mounted,
        stored,
        stopping,
    )
    .await;
    telling.abort();
    looking.abort();
    holder.close_database().await;
    Ok(served?)
}

/// Looks at the clock whether or not anybody asks for anything.
async fn look_round(holder: Holder) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        holder.look_round();
    }
}

/// A key holder from its files and its database, checked; no socket is open yet.
///
/// # Errors
/// When a file, the database or the directory is not good.
pub async fn assemble(
    configuration: &Configuration,
    settings: &HolderSettings,
) -> Result<Holder, StartError> {
    let own = own_files::read(configuration)?;
    let database = Database::open(&own.database, store::Role::Holder).await?;
    let certificate = own.certificate.clone();
    let holder = Holder::start(parts(configuration, settings, own, database)?).await?;
    check_certificate(&certificate, &holder.directory())?;
    Ok(holder)
}

/// Looks over what needs no other process, and changes nothing.
///
/// # Errors
/// The first thing that is wrong.
pub(super) async fn look(
    configuration: &Configuration,
    settings: &HolderSettings,
    own: OwnFiles,
    database: Database,
) -> Result<(), StartError> {
    let certificate = own.certificate.clone();
    let parts = parts(configuration, settings, own, database)?;
    let directory = Holder::look(&parts).await?;
    check_certificate(&certificate, &directory)
}

fn parts(
    configuration: &Configuration,
    settings: &HolderSettings,
    own: OwnFiles,
    database: Database,
) -> Result<Parts, StartError> {
    let OwnFiles {
        key_file,
        certificate,
        pinned,
        signed,
        ..
    } = own;
    let no_oin = || StartError::Disagreement("the own certificate carries no OIN".to_owned());
    Ok(Parts {
        oin: certificate.oin.ok_or_else(no_oin)?,
        keys: holder_keys(&key_file)?,
        signing: SigningKey::from_seed(key_file.require(SecretName::SigningSeed)?),
        crypter: Crypter::new(&key_file.rest_keys()),
        database,
        clock: Arc::new(SystemClock),
        steady: Arc::new(SystemClock),
        controllers: broker::controllers(configuration),
        pinned,
        quotas: settings.quotas,
        directory: signed.directory_file,
    })
}

pub(super) fn holder_keys(key_file: &KeyFile) -> Result<HolderKeys, StartError> {
    let copy = |name| -> Result<Secret<[u8; 32]>, StartError> {
        Ok(Secret::new(*key_file.require(name)?.expose()))
    };
    let secrets = HolderSecrets {
        rekeying: copy(SecretName::RekeyingSecret)?,
        blinding: copy(SecretName::BlindingFactor)?,
    };
    HolderKeys::from_secrets(&secrets).map_err(|_| {
        StartError::Disagreement("the key file's blinding factor is not one".to_owned())
    })
}

/// The directory knows the own certificate as that of a key holder.
fn check_certificate(
    certificate: &PeerCertificate,
    directory: &Directory,
) -> Result<(), StartError> {
    let own = caller_of(directory, certificate).map_err(|reason| {
        StartError::Disagreement(format!(
            "the directory does not know the own certificate: {reason}"
        ))
    })?;
    if own.kind == PeerKind::Holder {
        Ok(())
    } else {
        Err(StartError::Disagreement(
            "the own certificate is not of a key holder".to_owned(),
        ))
    }
}

/// The holder's standing among the roles: who may come in, and what it says of itself.
struct HolderStanding {
    holder: Holder,
}

impl Registry for HolderStanding {
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
        caller_of(&self.holder.directory(), certificate)
    }

    /// The key holders' service answers a broker and nobody else: a partner that could ask a holder itself would go
    /// round the log. A directory comes in by a desk with the right to bring one.
    fn may_call(&self, caller: &Caller, path: &str) -> Result<(), Reason> {
        let (service, method) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .unwrap_or_default();
        let may = if service == <KeyHolderServiceServer<KeyHolders> as NamedService>::NAME {
            caller.kind == PeerKind::Broker
        } else if method == "ImportDirectory" {
            caller.rights.contains(&Right::Operator)
        } else {
            true
        };
        if may {
            Ok(())
        } else {
            Err(Reason::RightMissing)
        }
    }
}

impl Standing for HolderStanding {
    fn directory_version(&self) -> i64 {
        i64::try_from(self.holder.directory().version()).unwrap_or(i64::MAX)
    }

    fn organisation_name(&self, oin: &Oin) -> String {
        let directory = self.holder.directory();
        directory
            .peer(oin)
            .map(|peer| peer.name().to_owned())
            .unwrap_or_default()
    }

    fn signed_directory(&self) -> (Vec<u8>, Vec<message::ControllerSignature>) {
        let signed = self.holder.signed_directory();
        let signatures = signed
            .signatures
            .iter()
            .map(|signature| message::ControllerSignature {
                controller: signature.controller.clone(),
                signature: signature.signature.clone(),
            })
            .collect();
        (head(&signed.content).to_vec(), signatures)
    }

    fn directory_parts(&self, wanted: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let content = self.holder.signed_directory();
        wanted_parts(&self.holder.directory(), &content.content, wanted)
    }

    fn status(&self) -> message::GetStatusResponse {
        message::GetStatusResponse {
            role: "holder".to_owned(),
            operator_oin: self.holder.oin().to_string(),
            trust_level: i32::try_from(self.holder.trust_level()).unwrap_or(i32::MAX),
            directory_version: self.directory_version(),
            policy_set_sha256: Vec::new(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            promise_public_key: Vec::new(),
            directory_valid_until_millis: self.holder.directory().valid_until().millis(),
            policy_version: 0,
        }
    }

    /// A key holder keeps no log of its own; what it did is in its vouchers.
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
            let caller = caller(&request)?.clone();
            let request = request.into_inner();
            let request_id = RequestId::from_slice(&request.request_id);
            let signed = SignedByAll {
                content: request.directory_toml,
                signatures: signatures(request.signatures),
            };
            let answer = self
                .holder
                .import_directory(&caller.party.oin, &caller.desk, signed, request.parts)
                .await;
            match answer {
                Ok(Outcome::Permitted(came)) => Ok(imported(came, Vec::new())),
                Ok(Outcome::Refused(refusal)) => {
                    tracing::info!(reason = refusal.reason.code(), "a directory was refused");
                    Err(status::refused(&refusal, request_id, None))
                }
                Err(error) => Err(fault(&error)),
            }
        })
    }
}
