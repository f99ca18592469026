//! `PolicyService`: what the policy set in force answers to a question about nobody, and putting a set
//! in force.
//!
//! Must never explain a decision about a person: that is in the log, for officers.

use super::call::{Incoming, answer, arrived};
use super::directory::signatures;
use super::reading::Reading;
use crate::policies::consent_state;
use broker::Broker;
use broker::policy::ExplainDecision;
use papers::controllers::{PolicyFiles, SignedByAll};
use rules::id::{PeerKind, RequestId};
use rules::policy::{Action, AssumedConsent, Question, Surplus};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::policy::v1 as message;
use wire::policy::v1::policy_service_server::PolicyService;

/// The policy service of a broker.
pub struct Policies {
    broker: Arc<Broker>,
}

impl Policies {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl Incoming for message::ExplainDecisionRequest {
    type Command = ExplainDecision;
    const NAME: &'static str = "ExplainDecision";

    fn read(self, reading: &mut Reading) -> Option<ExplainDecision> {
        let action = known(reading, "action", Action::from_code(&self.action));
        let sender = known(
            reading,
            "sender_kind",
            PeerKind::from_code(&self.sender_kind),
        );
        let recipient = PeerKind::from_code(&self.recipient_kind);
        let recipient = known(reading, "recipient_kind", recipient);
        let purpose = reading.name("purpose", &self.purpose);
        let basis = reading.name("basis", &self.basis);
        let labels = reading.labels("labels", &self.labels);
        let consent = match self.consent_state.as_str() {
            "" | "none" => Some(None),
            code => known(reading, "consent_state", consent_state(code)).map(Some),
        };
        let mut question = Question::new(action?, (sender?, recipient?), purpose?, basis?);
        let labels = labels?;
        question.labels = (!labels.is_empty()).then(|| labels.into_iter().collect());
        question.surplus = Surplus::Drop;
        question.consent = consent?.map(AssumedConsent::new);
        Some(ExplainDecision { question })
    }
}

fn known<T>(reading: &mut Reading, field: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        reading.wrong(field, "is not in its list of codes");
    }
    value
}

impl Incoming for message::ActivatePolicySetRequest {
    type Command = SignedByAll<PolicyFiles>;
    const NAME: &'static str = "ActivatePolicySet";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<SignedByAll<PolicyFiles>> {
        reading.request_id(&self.request_id)?;
        let files = self.files.into_iter().map(|file| (file.path, file.content));
        Some(SignedByAll {
            content: PolicyFiles(files.collect()),
            signatures: signatures(self.signatures),
        })
    }
}

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn explain_decision(
        &self,
        request: Request<message::ExplainDecisionRequest>,
    ) -> Result<Response<message::ExplainDecisionResponse>, Status> {
        let (explanation, _) = super::call::serve(&self.broker, request).await?;
        let field = |name: &str| explanation.value.pointer(name);
        Ok(Response::new(message::ExplainDecisionResponse {
            decision: field("/decision")
                .and_then(serde_json::Value::as_bool)
                .unwrap_or(false),
            code: field("/context/code")
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            authzen_json: explanation.value.to_string(),
            permitted_labels: explanation.labels.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn activate_policy_set(
        &self,
        request: Request<message::ActivatePolicySetRequest>,
    ) -> Result<Response<message::ActivatePolicySetResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (row, promise) = answer(&self.broker, &call, request.into_inner(), async |files| {
            self.broker.activate_policy_set(&call, &files).await
        })
        .await?;
        Ok(Response::new(message::ActivatePolicySetResponse {
            policy_set_sha256: row.policy_sha256.to_vec(),
            entry_id: promise.entry.bytes().to_vec(),
        }))
    }
}
