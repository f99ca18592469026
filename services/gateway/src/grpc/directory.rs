//! `DirectoryService`: who the caller is, which directory is in force, and what this process is. Every
//! role that is a server offers it.
//!
//! Must never answer from anything but the verified directory in force.

use super::status;
use crate::clock::SystemClock;
use crate::door::certificate::PeerCertificate;
use broker::Caller;
use papers::controllers::ControllerSignature;
use papers::directory::Imported;
use rules::clock::Clock as _;
use rules::directory::{Directory, Right};
use rules::id::Oin;
use rules::limits::{DIRECTORY_PARTS_MAX, DIRECTORY_REST_BYTES_MAX, MESSAGE_BYTES_MAX};
use rules::reason::{Reason, Refusal, Violation};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::directory::v1 as message;
use wire::directory::v1::directory_service_server::DirectoryService;

/// A future that may move between threads.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The directory in force at a role, and what the role is.
pub trait Standing: Send + Sync {
    /// Version of the directory in force.
    fn directory_version(&self) -> i64;

    /// Name of an organisation; empty when it is not in the directory.
    fn organisation_name(&self, oin: &Oin) -> String;

    /// What was signed of the directory, and the signatures.
    fn signed_directory(&self) -> (Vec<u8>, Vec<message::ControllerSignature>);

    /// Those parts of the directory in force that are wanted, as many as fit in a message.
    fn directory_parts(&self, wanted: &[Vec<u8>]) -> Vec<Vec<u8>>;

    /// What this process is.
    fn status(&self) -> message::GetStatusResponse;

    /// Writes the log line of a look-up; roles without a log have nothing to do.
    fn note<'a>(
        &'a self,
        request: &'a Request<()>,
        name: &'static str,
    ) -> Boxed<'a, Result<(), Status>>;

    /// Puts a newer directory in force.
    fn import(
        &self,
        request: Request<message::ImportDirectoryRequest>,
    ) -> Boxed<'_, Result<message::ImportDirectoryResponse, Status>>;
}

/// The directory service of a role.
pub struct Directories {
    standing: Arc<dyn Standing>,
}

impl Directories {
    /// The service of a role with this standing.
    #[must_use]
    pub const fn new(standing: Arc<dyn Standing>) -> Self {
        Self { standing }
    }

    async fn note<T>(&self, request: &Request<T>, name: &'static str) -> Result<(), Status> {
        let mut bare = Request::new(());
        *bare.metadata_mut() = request.metadata().clone();
        *bare.extensions_mut() = request.extensions().clone();
        self.standing.note(&bare, name).await
    }
}

/// Controllers' signatures as the broker takes them.
#[must_use]
pub fn signatures(sent: Vec<message::ControllerSignature>) -> Vec<ControllerSignature> {
    sent.into_iter()
        .map(|signature| ControllerSignature {
            controller: signature.controller,
            signature: signature.signature,
        })
        .collect()
}

/// The parts that are wanted of a directory with these contents, in that order, as many as fit in a message.
#[must_use]
pub fn parts(directory: &Directory, content: &[u8], wanted: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut room = MESSAGE_BYTES_MAX.saturating_sub(DIRECTORY_REST_BYTES_MAX);
    let mut found = Vec::new();
    for digest in wanted {
        let mut known = directory.parts().iter();
        let part = known.find(|part| part.sha256.as_slice() == digest);
        let Some(part) = part.and_then(|part| content.get(part.place.clone())) else {
            continue;
        };
        let Some(left) = room.checked_sub(part.len()) else {
            break;
        };
        room = left;
        found.push(part.to_vec());
    }
    found
}

/// What an import came to, as it is answered.
#[must_use]
pub fn imported(imported: Imported, entry_id: Vec<u8>) -> message::ImportDirectoryResponse {
    message::ImportDirectoryResponse {
        version: imported.version,
        entry_id,
        missing_parts: imported
            .missing
            .iter()
            .map(|digest| digest.to_vec())
            .collect(),
    }
}

/// The caller that the door admitted.
///
/// # Errors
/// When the request did not come through the door.
pub fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .ok_or_else(|| status::refused(&Refusal::new(Reason::DeskUnknown), None, None))
}

/// Refuses a caller without the right `operator`.
///
/// # Errors
/// `RIGHT_MISSING`.
pub fn need_operator<T>(request: &Request<T>) -> Result<(), Status> {
    if caller(request)?.may(Right::Operator) {
        Ok(())
    } else {
        let lacks = Refusal::lacks("needs `operator`");
        Err(status::refused(&lacks, None, None))
    }
}

#[tonic::async_trait]
impl DirectoryService for Directories {
    async fn who_am_i(
        &self,
        request: Request<message::WhoAmIRequest>,
    ) -> Result<Response<message::WhoAmIResponse>, Status> {
        let caller = caller(&request)?;
        let certificate = request.extensions().get::<PeerCertificate>();
        Ok(Response::new(message::WhoAmIResponse {
            oin: caller.party.oin.to_string(),
            name: self.standing.organisation_name(&caller.party.oin),
            kind: caller.kind.code().to_owned(),
            desk: caller.desk.to_string(),
            realm: caller.party.realm.to_string(),
            region: caller
                .region
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            rights: caller
                .rights
                .iter()
                .map(|right| right.code().to_owned())
                .collect(),
            certificate_valid_until_millis: certificate
                .map_or(0, |certificate| certificate.valid_until.millis()),
            trust_level: self.standing.status().trust_level,
            directory_version: self.standing.directory_version(),
            time_millis: SystemClock.now().millis(),
        }))
    }

    async fn get_directory(
        &self,
        request: Request<message::GetDirectoryRequest>,
    ) -> Result<Response<message::GetDirectoryResponse>, Status> {
        self.note(&request, "GetDirectory").await?;
        let asked = request.into_inner();
        if asked.part_sha256.len() > DIRECTORY_PARTS_MAX {
            let most = format!("more than {DIRECTORY_PARTS_MAX}");
            let refusal = Refusal::invalid(vec![Violation::new("part_sha256", most)]);
            return Err(status::refused(&refusal, None, None));
        }
        let version = self.standing.directory_version();
        let wants_file = asked.part_sha256.is_empty() && version > asked.known_version;
        let (directory_toml, signatures) = if wants_file {
            self.standing.signed_directory()
        } else {
            (Vec::new(), Vec::new())
        };
        Ok(Response::new(message::GetDirectoryResponse {
            version,
            directory_toml,
            signatures,
            parts: self.standing.directory_parts(&asked.part_sha256),
        }))
    }

    async fn import_directory(
        &self,
        request: Request<message::ImportDirectoryRequest>,
    ) -> Result<Response<message::ImportDirectoryResponse>, Status> {
        self.standing.import(request).await.map(Response::new)
    }

    async fn get_status(
        &self,
        request: Request<message::GetStatusRequest>,
    ) -> Result<Response<message::GetStatusResponse>, Status> {
        self.note(&request, "GetStatus").await?;
        Ok(Response::new(self.standing.status()))
    }
}
