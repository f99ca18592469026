//! What officers, operators and the candidate's channel do: objections, the log, the directory, policy.
//!
//! Must never trust a log line whose hash does not fit its bytes, nor a closed part that its open part does not
//! name.

use super::{Client, ask};
use crate::connection::{stub, with_deadline};
use crate::directory::{parts_to_send, verify_aside};
use crate::error::{ClientError, ProtocolError, from_status};
use crate::receipt::{ConsentReceipt, Receipt};
use rules::audit::CLOSED_SHA256;
use rules::directory::head;
use rules::hex;
use rules::id::{ConsentId, EntryId, HandoverId, RequestId};
use wire::audit::v1::audit_service_client::AuditServiceClient;
use wire::audit::v1::{
    GetEntryRequest, GetEntryResponse, SearchEntriesRequest, SearchEntriesResponse,
};
use wire::consent::v1::InvalidateConsentRequest;
use wire::directory::v1::{ControllerSignature, ImportDirectoryRequest};
use wire::handover::v1 as message;
use wire::policy::v1::policy_service_client::PolicyServiceClient;
use wire::policy::v1::{ActivatePolicySetRequest, ExplainDecisionRequest, ExplainDecisionResponse};

pub use wire::policy::v1::PolicyFile;

/// Octet in front of a log entry when it is hashed as a leaf (RFC 9162 2.1.1).
const LEAF_PREFIX: &[u8] = &[0];

/// Whether the open part has the digest of the closed one. In canonical JSON a member has one spelling, which no
/// text within a value can have: its quotes would be escaped.
fn names_closed(entry: &GetEntryResponse) -> bool {
    let digest = hex::encode(&vault::digest::sha256(&entry.closed_json));
    let member = format!("\"{CLOSED_SHA256}\":\"{digest}\"");
    let open = &entry.open_json;
    open.windows(member.len())
        .any(|part| part == member.as_bytes())
}

impl Client {
    /// Candidate's channel: files an objection (AVG article 21). Nothing is released until it is decided.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn object(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::ObjectToHandoverRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            sealed_person: Vec::new(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Candidate's channel: restricts processing (AVG article 18).
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn restrict(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::RestrictHandoverRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            sealed_person: Vec::new(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Candidate's channel: the same two under an id that the portal keeps until it is answered. Nothing waits in the
    /// outbox.
    ///
    /// # Errors
    ///
    /// A refusal or a fault; after a fault it is to be given again.
    pub async fn object_kept(
        &self,
        request: &RequestId,
        handover: &HandoverId,
        restrict: bool,
    ) -> Result<Receipt, ClientError> {
        let (request_id, handover_id) = (Vec::new(), handover.bytes().to_vec());
        let settled = if restrict {
            let message = message::RestrictHandoverRequest {
                request_id,
                handover_id,
                sealed_person: Vec::new(),
            };
            self.run_kept(request, message).await?
        } else {
            let message = message::ObjectToHandoverRequest {
                request_id,
                handover_id,
                sealed_person: Vec::new(),
            };
            self.run_kept(request, message).await?
        };
        Ok(settled.receipt()?)
    }

    /// Officer: upholds or rejects an objection, or lifts a restriction.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn decide_objection(
        &self,
        handover: &HandoverId,
        decision: message::ObjectionDecision,
    ) -> Result<Receipt, ClientError> {
        let message = message::DecideObjectionRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            decision: decision.into(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Officer of a party, or the joint one: a consent was not free or not informed. Everything open on it
    /// ends, and whoever opened something is told to erase it.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn invalidate_consent(
        &self,
        record: &ConsentId,
    ) -> Result<ConsentReceipt, ClientError> {
        let message = InvalidateConsentRequest {
            request_id: Vec::new(),
            record_id: record.bytes().to_vec(),
        };
        Ok(self.run(message).await?.consent()?)
    }

    /// Searches the log, newest first: one page. At least one of handover, peer, purpose, subject tag or
    /// findings must be given. While the answer has a page token there may be more, also behind a page that is
    /// empty. Every search is logged itself.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn search_log(
        &self,
        search: SearchEntriesRequest,
    ) -> Result<SearchEntriesResponse, ClientError> {
        ask!(
            self,
            "SearchEntries",
            AuditServiceClient.search_entries,
            search
        )
    }

    /// Reads one log entry as far as this desk may, and checks its leaf hash against the open part, and the closed
    /// part against the digest in the open one.
    ///
    /// # Errors
    ///
    /// `NOT_AVAILABLE`, a fault, or a [`ProtocolError`] when a hash does not fit.
    pub async fn show_entry(&self, entry: &EntryId) -> Result<GetEntryResponse, ClientError> {
        let question = GetEntryRequest {
            entry_id: entry.bytes().to_vec(),
        };
        let answer = ask!(self, "GetEntry", AuditServiceClient.get_entry, question)?;
        let hash = vault::digest::sha256_parts(&[LEAF_PREFIX, &answer.open_json]);
        if answer.leaf_sha256 != hash {
            let error = ProtocolError::new("log entry", "does not have the hash that it claims");
            return Err(error.into());
        }
        if !answer.closed_json.is_empty() && !names_closed(&answer) {
            let error = ProtocolError::new("log entry", "has a closed part of another");
            return Err(error.into());
        }
        Ok(answer)
    }

    /// Operator: puts a newer directory in force at the gateway. It is verified here first, so that a
    /// mistake is found before anything is sent. Of a directory in parts those are sent that the gateway lacks.
    ///
    /// # Errors
    ///
    /// A directory that does not verify, a refusal, or a fault.
    pub async fn import_directory(
        &self,
        file: Vec<u8>,
        signatures: Vec<ControllerSignature>,
    ) -> Result<i64, ClientError> {
        let trusted = self.trust.controllers.clone();
        verify_aside(file.clone(), signatures.clone(), trusted, None).await?;
        let mut message = ImportDirectoryRequest {
            request_id: Vec::new(),
            directory_toml: head(&file).to_vec(),
            signatures,
            parts: Vec::new(),
        };
        let mut left = usize::MAX;
        loop {
            let (version, missing) = self.run(message.clone()).await?.directory()?;
            if missing.is_empty() {
                return Ok(version);
            }
            if missing.len() >= left {
                let what = "asks again for parts that were sent";
                return Err(ProtocolError::new("answer", what).into());
            }
            left = missing.len();
            message.parts = parts_to_send(&file, &missing)?;
        }
    }

    /// Operator: puts a policy set in force at the gateway; answers its SHA-256.
    ///
    /// # Errors
    ///
    /// A refusal, or a fault.
    pub async fn activate_policy(
        &self,
        files: Vec<PolicyFile>,
        signatures: Vec<ControllerSignature>,
    ) -> Result<Vec<u8>, ClientError> {
        let message = ActivatePolicySetRequest {
            request_id: Vec::new(),
            files,
            signatures,
        };
        Ok(self.run(message).await?.policy_set()?)
    }

    /// What the active policy set answers to a question about no person, and why.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn explain(
        &self,
        question: ExplainDecisionRequest,
    ) -> Result<ExplainDecisionResponse, ClientError> {
        ask!(
            self,
            "ExplainDecision",
            PolicyServiceClient.explain_decision,
            question
        )
    }
}
