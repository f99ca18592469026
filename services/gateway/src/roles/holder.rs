//! The key holder: its factors, its own copy of the directory, its database and its services, put
//! together.
//!
//! Must never hold a person, a handle or a field's content, and must never start with keys that are not
//! those of its place in the directory.

use super::{StartError, broker};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, HolderSettings};
use crate::door::admission::{Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::files;
use crate::grpc::directory::{
    Boxed, Directories, Standing, caller, imported, parts as wanted_parts, signatures,
};
use crate::grpc::key_holder::{KeyHolders, WireForms, fault};
use crate::grpc::status;
use crate::limited;
use crate::serving::{self, Mounted};
use client::credentials::Credentials;
use counter::Caller;
use counter::directory::{ControllerSignature, Signed};
use counter::holder::{Holder, Parts, Pinned};
use rules::directory::Right;
use rules::directory::head;
use rules::id::{Oin, PeerKind, RequestId};
use rules::reason::{Outcome, Reason};
use rules::secret::Secret;
use std::sync::Arc;
use std::time::Duration;
use store::Database;
use tokio::time::MissedTickBehavior;
use tonic::server::NamedService;
use tonic::{Request, Status};
use vault::context::HolderCommitment;
use vault::holder::{HolderKeys, HolderSecrets};
use vault::keyfile::{KeyFile, Role as KeyRole, SecretName};
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
    let credentials = serving::credentials(&configuration.tls)?;
    let holder = assemble(configuration, settings).await?;
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
    let parts = parts(configuration, settings).await?;
    let holder = Holder::start(parts).await?;
    check_certificate(configuration, &holder)?;
    Ok(holder)
}

async fn parts(
    configuration: &Configuration,
    settings: &HolderSettings,
) -> Result<Parts, StartError> {
    let key_file = files::key_file(&configuration.key_file, KeyRole::Holder)?;
    let database = settings.database.open()?;
    let signatures = files::signatures(&configuration.directory.signatures)?
        .into_iter()
        .map(|(controller, signature)| ControllerSignature {
            controller,
            signature,
        })
        .collect();
    Ok(Parts {
        oin: own_oin(configuration)?,
        keys: holder_keys(&key_file)?,
        signing: SigningKey::from_seed(key_file.require(SecretName::SigningSeed)?),
        crypter: Crypter::new(&key_file.rest_keys()),
        database: Database::open(&database, store::Role::Holder).await?,
        clock: Arc::new(SystemClock),
        steady: Arc::new(SystemClock),
        forms: Arc::new(WireForms),
        controllers: broker::controllers(configuration),
        pinned: pinned(configuration)?,
        quotas: settings.quotas,
        directory: Signed {
            content: files::read(&configuration.directory.path)?,
            signatures,
        },
    })
}

fn holder_keys(key_file: &KeyFile) -> Result<HolderKeys, StartError> {
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

/// Every holder's commitment, as configured once: a context's walk is checked against these and nothing
/// that comes with it.
fn pinned(configuration: &Configuration) -> Result<Pinned, StartError> {
    configuration
        .commitments
        .iter()
        .map(|(oin, octets)| match HolderCommitment::parse(octets) {
            Ok(commitment) => Ok((oin.clone(), commitment)),
            Err(_) => Err(StartError::Disagreement(format!(
                "the commitment of {oin} is not one"
            ))),
        })
        .collect()
}

fn own_certificate(configuration: &Configuration) -> Result<PeerCertificate, StartError> {
    let credentials = Credentials::load(&configuration.tls)?;
    credentials
        .chain
        .first()
        .and_then(|leaf| PeerCertificate::read(leaf, configuration.oin_element))
        .ok_or_else(|| StartError::Disagreement("the own certificate cannot be read".to_owned()))
}

fn own_oin(configuration: &Configuration) -> Result<Oin, StartError> {
    own_certificate(configuration)?
        .oin
        .ok_or_else(|| StartError::Disagreement("the own certificate carries no OIN".to_owned()))
}

/// The directory knows the own certificate as that of a key holder.
fn check_certificate(configuration: &Configuration, holder: &Holder) -> Result<(), StartError> {
    let certificate = own_certificate(configuration)?;
    let own = caller_of(&holder.directory(), &certificate).map_err(|reason| {
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
            let signed = Signed {
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
