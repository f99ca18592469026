//! The broker's standing among the roles: who may come in, and what it says of itself.
//!
//! Must never look at another directory than the one in force.

use super::chain::Chain;
use crate::door::admission::{Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::grpc::call::{Incoming, answer, arrived};
use crate::grpc::directory::{Boxed, Standing, signatures};
use crate::grpc::reading::Reading;
use crate::grpc::status::{self, Logged};
use counter::directory::{Signed, decode_signatures};
use counter::{Call, Caller, Counter};
use rules::audit::Trace;
use rules::id::{Oin, RequestId};
use rules::reason::{Reason, Refusal};
use std::sync::Arc;
use tonic::{Request, Status};
use wire::directory::v1 as message;

/// The name in the log of a call whose message could not be read, whichever call it was.
const UNREADABLE: &str = "UnreadableMessage";

/// The broker as a server of the directory, and as the one who knows the callers.
pub struct BrokerStanding {
    counter: Arc<Counter>,
    chain: Arc<Chain>,
}

impl BrokerStanding {
    /// The standing of this counter.
    #[must_use]
    pub const fn new(counter: Arc<Counter>, chain: Arc<Chain>) -> Self {
        Self { counter, chain }
    }
}

impl Registry for BrokerStanding {
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
        caller_of(&self.counter.in_force().directory, certificate)
    }

    fn unreadable(&self, caller: Caller, refusal: Refusal) -> Boxed<'_, Option<Logged>> {
        Box::pin(async move {
            let call = Call {
                caller,
                trace: Trace::draw(self.counter.random()),
                now: self.counter.now(),
            };
            match self.counter.refuse(&call, UNREADABLE, refusal).await {
                Ok(answer) => Some(Logged::from(&answer.promise)),
                Err(fault) => {
                    // The caller is refused either way; the operator hears of the missing line.
                    drop(status::fault(&fault, None));
                    None
                }
            }
        })
    }
}

impl Incoming for message::ImportDirectoryRequest {
    type Command = Signed<Vec<u8>>;
    const NAME: &'static str = "ImportDirectory";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Signed<Vec<u8>>> {
        reading.request_id(&self.request_id)?;
        Some(Signed {
            content: self.directory_toml,
            signatures: signatures(self.signatures),
        })
    }
}

impl Standing for BrokerStanding {
    fn directory_version(&self) -> i64 {
        self.counter.in_force().directory_version()
    }

    fn organisation_name(&self, oin: &Oin) -> String {
        let in_force = self.counter.in_force();
        in_force
            .directory
            .peer(oin)
            .map(|peer| peer.name().to_owned())
            .unwrap_or_default()
    }

    fn signed_directory(&self) -> (Vec<u8>, Vec<message::ControllerSignature>) {
        let in_force = self.counter.in_force();
        let file = &in_force.directory_file;
        // The signatures were decoded when the directory was put in force.
        let signatures = decode_signatures(&file.signatures).unwrap_or_default();
        let signatures = signatures
            .into_iter()
            .map(|signed| message::ControllerSignature {
                controller: signed.controller,
                signature: signed.signature,
            })
            .collect();
        (file.content.clone(), signatures)
    }

    fn status(&self) -> message::GetStatusResponse {
        let in_force = self.counter.in_force();
        message::GetStatusResponse {
            role: "broker".to_owned(),
            operator_oin: self.counter.operator().party.oin.to_string(),
            trust_level: i32::try_from(self.counter.trust_level()).unwrap_or(i32::MAX),
            directory_version: in_force.directory_version(),
            policy_set_sha256: in_force.policy.hash().to_vec(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            promise_public_key: self.counter.operator().signing_key.to_vec(),
        }
    }

    fn note<'a>(
        &'a self,
        request: &'a Request<()>,
        name: &'static str,
    ) -> Boxed<'a, Result<(), Status>> {
        Box::pin(async move {
            let call = arrived(&self.counter, request)?;
            match self.counter.note(&call, name).await {
                Ok(_) => Ok(()),
                Err(fault) => Err(status::fault(&fault, None)),
            }
        })
    }

    fn import(
        &self,
        request: Request<message::ImportDirectoryRequest>,
    ) -> Boxed<'_, Result<message::ImportDirectoryResponse, Status>> {
        Box::pin(async move {
            let call = arrived(&self.counter, &request)?;
            let (row, promise) = answer(&self.counter, &call, request.into_inner(), async |file| {
                self.counter.import_directory(&call, &file).await
            })
            .await?;
            self.chain.follow(&self.counter.in_force().directory);
            Ok(message::ImportDirectoryResponse {
                version: row.directory_version,
                entry_id: promise.entry_id.bytes().to_vec(),
            })
        })
    }
}
