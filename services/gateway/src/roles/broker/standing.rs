//! The broker's standing among the roles: who may come in, and what it says of itself.
//!
//! Must never look at another directory than the one in force.

use super::chain::Chain;
use crate::door::admission::{Logging, Registry, caller_of};
use crate::door::certificate::PeerCertificate;
use crate::grpc::call::{Incoming, answer, arrived};
use crate::grpc::directory::{Boxed, Standing, imported, parts, signatures};
use crate::grpc::reading::Reading;
use crate::grpc::status;
use broker::{Answer, Broker, Call, Caller};
use papers::controllers::{SignedByAll, decode_signatures};
use papers::promise::Promise;
use rules::audit::{Stranger, Trace};
use rules::clock::Timestamp;
use rules::directory::head;
use rules::id::{Oin, RequestId};
use rules::reason::{Reason, Refusal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::{Request, Status};
use wire::directory::v1 as message;

/// The name in the log of a call whose message could not be read, whichever call it was.
const UNREADABLE: &str = "UnreadableMessage";

/// How long after a line about a stranger's certificate the next may be written.
const STRANGER_INTERVAL_MILLIS: i64 = 60_000;
/// Strangers that are kept apart at the same time; beyond, only the process's own log tells of them.
const STRANGERS_MAX: usize = 1_024;

/// The broker as a server of the directory, and as the one who knows the callers.
pub struct BrokerStanding {
    broker: Arc<Broker>,
    chain: Arc<Chain>,
    strangers: Strangers,
}

impl BrokerStanding {
    /// The standing of this broker.
    #[must_use]
    pub fn new(broker: Arc<Broker>, chain: Arc<Chain>) -> Self {
        Self {
            broker,
            chain,
            strangers: Strangers::default(),
        }
    }
}

impl Registry for BrokerStanding {
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
        caller_of(&self.broker.in_force().directory, certificate)
    }

    fn unreadable(&self, caller: Caller, refusal: Refusal) -> Logging<'_> {
        Box::pin(async move {
            let call = Call {
                caller,
                trace: Trace::draw(self.broker.random()),
                now: self.broker.now(),
            };
            line_of(self.broker.refuse(&call, UNREADABLE, refusal).await)
        })
    }

    fn held_back(&self, caller: Caller, budget: &'static str, times: u64) -> Logging<'_> {
        Box::pin(async move { line_of(self.broker.hold_back(caller, budget, times).await) })
    }

    fn turned_away(&self, certificate: PeerCertificate, refusal: Refusal) -> Logging<'_> {
        Box::pin(async move {
            if !self
                .strangers
                .is_due(certificate.spki_sha256, self.broker.now())
            {
                return None;
            }
            let stranger = Stranger {
                oin: certificate.oin,
                spki_sha256: certificate.spki_sha256,
            };
            line_of(self.broker.turn_away(stranger, refusal).await)
        })
    }
}

/// The line of a refusal. When it could not be written the caller is refused all the same, and the
/// operator hears of it.
fn line_of(written: Result<Answer<()>, broker::Error>) -> Option<Promise> {
    match written {
        Ok(answer) => Some(answer.promise),
        Err(fault) => {
            drop(status::fault(&fault, None, None));
            None
        }
    }
}

/// When each stranger was last logged, so that nobody without a desk can fill the log.
#[derive(Debug, Default)]
struct Strangers(Mutex<HashMap<[u8; 32], Timestamp>>);

impl Strangers {
    /// Whether a line is due for this certificate; if so, the next is due a while later.
    fn is_due(&self, spki_sha256: [u8; 32], now: Timestamp) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|_, time| time.plus_millis(STRANGER_INTERVAL_MILLIS) > now);
        if logged.contains_key(&spki_sha256) || logged.len() >= STRANGERS_MAX {
            return false;
        }
        logged.insert(spki_sha256, now);
        true
    }
}

impl Incoming for message::ImportDirectoryRequest {
    type Command = (SignedByAll<Vec<u8>>, Vec<Vec<u8>>);
    const NAME: &'static str = "ImportDirectory";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Self::Command> {
        reading.request_id(&self.request_id)?;
        let file = SignedByAll {
            content: self.directory_toml,
            signatures: signatures(self.signatures),
        };
        Some((file, self.parts))
    }
}

impl Standing for BrokerStanding {
    fn directory_version(&self) -> i64 {
        self.broker.in_force().directory_version()
    }

    fn organisation_name(&self, oin: &Oin) -> String {
        let in_force = self.broker.in_force();
        in_force
            .directory
            .peer(oin)
            .map(|peer| peer.name().to_owned())
            .unwrap_or_default()
    }

    fn signed_directory(&self) -> (Vec<u8>, Vec<message::ControllerSignature>) {
        let in_force = self.broker.in_force();
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
        (head(&file.content).to_vec(), signatures)
    }

    fn directory_parts(&self, wanted: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let in_force = self.broker.in_force();
        let content = &in_force.directory_file.content;
        parts(&in_force.directory, content, wanted)
    }

    fn status(&self) -> message::GetStatusResponse {
        let in_force = self.broker.in_force();
        message::GetStatusResponse {
            role: "broker".to_owned(),
            operator_oin: self.broker.operator().party.oin.to_string(),
            trust_level: i32::try_from(self.broker.trust_level()).unwrap_or(i32::MAX),
            directory_version: in_force.directory_version(),
            policy_set_sha256: in_force.policy.hash().to_vec(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            promise_public_key: self.broker.operator().signing_key.to_vec(),
            directory_valid_until_millis: in_force.directory.valid_until().millis(),
            policy_version: i64::try_from(in_force.policy.version()).unwrap_or(i64::MAX),
        }
    }

    fn note<'a>(
        &'a self,
        request: &'a Request<()>,
        name: &'static str,
    ) -> Boxed<'a, Result<(), Status>> {
        Box::pin(async move {
            let call = arrived(&self.broker, request)?;
            match self.broker.note(&call, name).await {
                Ok(_) => Ok(()),
                Err(fault) => Err(status::fault(&fault, None, None)),
            }
        })
    }

    fn import(
        &self,
        request: Request<message::ImportDirectoryRequest>,
    ) -> Boxed<'_, Result<message::ImportDirectoryResponse, Status>> {
        Box::pin(async move {
            let call = arrived(&self.broker, &request)?;
            let (came, promise) = answer(
                &self.broker,
                &call,
                request.into_inner(),
                async |(file, parts)| self.broker.import_directory(&call, file, parts).await,
            )
            .await?;
            self.chain.follow(&self.broker.in_force().directory);
            Ok(imported(came, promise.entry.bytes().to_vec()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_logged_once_in_a_while_and_never_in_anothers_place() {
        let strangers = Strangers::default();
        let begin = Timestamp::from_millis(1_000_000);
        assert!(strangers.is_due([1; 32], begin));
        assert!(!strangers.is_due([1; 32], begin.plus_millis(STRANGER_INTERVAL_MILLIS - 1)));
        assert!(strangers.is_due([2; 32], begin.plus_millis(1)));
        assert!(strangers.is_due([1; 32], begin.plus_millis(STRANGER_INTERVAL_MILLIS)));
    }
}
