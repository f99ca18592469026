//! `ConsentService`: giving, narrowing, stopping, asking for and reading consent.
//!
//! Must never decide or remember anything: each call is read, served at the broker, and shown.

use super::call::{Incoming, answer, arrived, serve};
use super::reading::Reading;
use broker::consent::ask::RequestConsent;
use broker::consent::change::{GetConsent, NarrowConsent};
use broker::consent::invalidate::InvalidateConsent;
use broker::consent::register::RegisterConsent;
use broker::consent::withdraw::{Named, WithdrawConsent};
use broker::record::Record;
use broker::{Broker, Call};
use rules::consent::{CollectionMethod, ConsentRecord};
use rules::id::{ConsentId, RequestId};
use rules::limits::MANIFEST_LABELS_MAX;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use wire::consent::v1 as message;
use wire::consent::v1::consent_service_server::ConsentService;

/// Version of the form of a record.
const SCHEMA_VERSION: &str = "1";
/// The lawful basis of every consent (GDPR article 6(1)(a)), as the vocabulary names it.
const LAWFUL_BASIS: &str = "eu-gdpr:A6-1-a";

/// The consent service of a broker.
pub struct Consents {
    broker: Arc<Broker>,
}

impl Consents {
    /// The service at this broker.
    #[must_use]
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl Incoming for message::RegisterConsentRequest {
    type Command = RegisterConsent;
    const NAME: &'static str = "RegisterConsent";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<RegisterConsent> {
        let request_id = reading.request_id(&self.request_id);
        let order = reading
            .present("order", self.order)
            .and_then(|order| reading.paper("order", order.try_into()));
        let ciphertext = reading.octets("ciphertext", &self.ciphertext);
        let (order, signed_order) = order?;
        Some(RegisterConsent {
            request_id: request_id?,
            statement_jws: self.statement_jws,
            order,
            signed_order,
            ciphertext: ciphertext?,
        })
    }

    fn about(command: &RegisterConsent, call: &Call) -> Record {
        command.record(call)
    }
}

impl Incoming for message::NarrowConsentRequest {
    type Command = NarrowConsent;
    const NAME: &'static str = "NarrowConsent";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<NarrowConsent> {
        Some(NarrowConsent {
            request_id: reading.request_id(&self.request_id)?,
            statement_jws: self.statement_jws,
        })
    }
}

impl Incoming for message::WithdrawConsentRequest {
    type Command = WithdrawConsent;
    const NAME: &'static str = "WithdrawConsent";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<WithdrawConsent> {
        use message::withdraw_consent_request::Consent;
        let request_id = reading.request_id(&self.request_id);
        let source = if self.source_sha256.is_empty() {
            Some(None)
        } else {
            reading
                .octets("source_sha256", &self.source_sha256)
                .map(Some)
        };
        let named = match reading.present("consent", self.consent)? {
            Consent::StatementJws(jws) => Named::Statement(jws),
            Consent::StopCode(text) => Named::StopCode {
                code: reading.name("stop_code", &text)?,
                source: source?,
            },
            Consent::SealedSubject(sealed) => {
                Named::Successor(reading.octets("sealed_subject", &sealed)?)
            }
        };
        Some(WithdrawConsent {
            request_id: request_id?,
            named,
        })
    }
}

impl Incoming for message::InvalidateConsentRequest {
    type Command = InvalidateConsent;
    const NAME: &'static str = "InvalidateConsent";

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<InvalidateConsent> {
        let request_id = reading.request_id(&self.request_id);
        let consent = reading.id("record_id", &self.record_id, ConsentId::from_slice);
        Some(InvalidateConsent {
            request_id: request_id?,
            consent: consent?,
        })
    }
}

impl Incoming for message::GetConsentRequest {
    type Command = GetConsent;
    const NAME: &'static str = "GetConsent";

    fn read(self, reading: &mut Reading) -> Option<GetConsent> {
        let consent = reading.id("record_id", &self.record_id, ConsentId::from_slice)?;
        Some(GetConsent { consent })
    }
}

impl Incoming for message::RequestConsentRequest {
    type Command = RequestConsent;
    const NAME: &'static str = "RequestConsent";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<RequestConsent> {
        let request_id = reading.request_id(&self.request_id);
        let recipient = reading.name("recipient", &self.recipient);
        let purpose = reading.name("purpose", &self.purpose);
        if self.categories.len() > MANIFEST_LABELS_MAX {
            reading.wrong("categories", "has more categories than the limit");
        }
        let categories: Option<BTreeSet<_>> = self
            .categories
            .iter()
            .take(MANIFEST_LABELS_MAX)
            .map(|text| reading.name("categories", text))
            .collect();
        let order = reading
            .present("order", self.order)
            .and_then(|order| reading.paper("order", order.try_into()));
        let ciphertext = reading.octets("ciphertext", &self.ciphertext);
        let (order, signed_order) = order?;
        Some(RequestConsent {
            request_id: request_id?,
            recipient: recipient?,
            purpose: purpose?,
            categories: categories?,
            order,
            signed_order,
            ciphertext: ciphertext?,
        })
    }

    fn about(command: &RequestConsent, call: &Call) -> Record {
        command.record(call)
    }
}

/// A record on the wire.
#[must_use]
pub fn record_message(record: &ConsentRecord) -> message::ConsentRecord {
    let method = match record.method {
        CollectionMethod::Portal => message::CollectionMethod::Portal,
        CollectionMethod::Desk => message::CollectionMethod::Desk,
        CollectionMethod::Phone => message::CollectionMethod::Phone,
    };
    message::ConsentRecord {
        schema_version: SCHEMA_VERSION.to_owned(),
        record_id: record.id.bytes().to_vec(),
        privacy_notice: Some(message::PrivacyNotice {
            uri: record.notice.uri.clone(),
            version: record.notice.version.to_string(),
            sha256: record.notice.sha256.to_vec(),
            language: record.notice.language.code().to_owned(),
        }),
        sender: record.sender.to_string(),
        recipient: record.recipient.to_string(),
        purpose: record.purpose.to_string(),
        lawful_basis: LAWFUL_BASIS.to_owned(),
        special_basis: record.special_basis().to_owned(),
        secrecy_waiver: record.waiver.as_ref().map(|waiver| message::SecrecyWaiver {
            ground: waiver.ground.clone(),
            text_sha256: waiver.text_sha256.to_vec(),
            given_millis: waiver.given_at.millis(),
        }),
        categories: record.categories.iter().map(ToString::to_string).collect(),
        collection_method: method.into(),
        authentication_level: record.authentication_level.code().to_owned(),
        assisted_by: record
            .assisted_by
            .as_ref()
            .map(|(oin, desk)| broker::consent::desk_text(oin, desk))
            .unwrap_or_default(),
        reflection_offered: record.reflection_offered,
        valid_from_millis: record.valid_from.millis(),
        valid_until_millis: record.valid_until.millis(),
        state: record.state.number(),
        version: i64::try_from(record.version).unwrap_or(i64::MAX),
        supersedes: record
            .supersedes
            .map(|id| id.bytes().to_vec())
            .unwrap_or_default(),
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[tonic::async_trait]
impl ConsentService for Consents {
    async fn register_consent(
        &self,
        request: Request<message::RegisterConsentRequest>,
    ) -> Result<Response<message::RegisterConsentResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (reply, given) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.register_consent(&call, command)
        })
        .await?;
        Ok(Response::new(message::RegisterConsentResponse {
            state: reply.registered.state.number(),
            version: i64::try_from(reply.registered.version).unwrap_or(i64::MAX),
            promise: Some((&given).into()),
            sealed_subject: reply.sealed_subject,
        }))
    }

    async fn narrow_consent(
        &self,
        request: Request<message::NarrowConsentRequest>,
    ) -> Result<Response<message::NarrowConsentResponse>, Status> {
        let (reply, given) = serve(&self.broker, request).await?;
        Ok(Response::new(message::NarrowConsentResponse {
            version: i64::try_from(reply.registered.version).unwrap_or(i64::MAX),
            promise: Some((&given).into()),
            sealed_subject: reply.sealed_subject,
        }))
    }

    async fn withdraw_consent(
        &self,
        request: Request<message::WithdrawConsentRequest>,
    ) -> Result<Response<message::WithdrawConsentResponse>, Status> {
        let (reply, given) = serve(&self.broker, request).await?;
        Ok(Response::new(message::WithdrawConsentResponse {
            ended_handovers: count(reply.ended_handovers),
            to_follow: count(reply.to_follow),
            promise: Some((&given).into()),
            sealed_subject: reply.sealed_subject,
        }))
    }

    async fn invalidate_consent(
        &self,
        request: Request<message::InvalidateConsentRequest>,
    ) -> Result<Response<message::InvalidateConsentResponse>, Status> {
        let (reply, given) = serve(&self.broker, request).await?;
        Ok(Response::new(message::InvalidateConsentResponse {
            ended_handovers: count(reply.ended_handovers),
            to_follow: count(reply.to_follow),
            promise: Some((&given).into()),
            sealed_subject: reply.sealed_subject,
        }))
    }

    async fn get_consent(
        &self,
        request: Request<message::GetConsentRequest>,
    ) -> Result<Response<message::GetConsentResponse>, Status> {
        let (stored, _) = serve(&self.broker, request).await?;
        Ok(Response::new(message::GetConsentResponse {
            record: Some(record_message(&stored.record)),
            statement_jws: stored.statement,
        }))
    }

    async fn request_consent(
        &self,
        request: Request<message::RequestConsentRequest>,
    ) -> Result<Response<message::RequestConsentResponse>, Status> {
        let call = arrived(&self.broker, &request)?;
        let (question, given) = answer(&self.broker, &call, request.into_inner(), |command| {
            self.broker.request_consent(&call, command)
        })
        .await?;
        Ok(Response::new(message::RequestConsentResponse {
            question_id: question.bytes().to_vec(),
            promise: Some((&given).into()),
        }))
    }
}
