//! Consent from the side of whoever records a person's choice: the portal, or a desk that helps.
//!
//! Registering names its order in the signed statement, so it is signed anew at each attempt and does
//! not wait in the outbox; narrowing and stopping do, because a choice must not be lost. Must never
//! send a statement that says another thing than the one that was given.

use super::portal::EncryptedPerson;
use super::{Client, ask};
use crate::connection::{stub, with_deadline};
use crate::directory::DirectoryCopy;
use crate::error::{ClientError, ProtocolError, from_status};
use crate::mutation::Mutation as _;
use crate::outbox::Beside;
use crate::person::PersonKey;
use crate::receipt::{ConsentReceipt, Question, verified_promise};
use prost::Message as _;
use rules::consent::{ConsentRecord, ConsentState, Statement, StopCode};
use rules::id::{Category, ConsentId, Party, Purpose, RequestId};
use rules::pseudonym::{OrderKind, Relation};
use vault::pseudonym::{Bsn, Ciphertext};
use vault::sign::VerifyingKey;
use wire::consent::v1 as message;
use wire::consent::v1::consent_service_client::ConsentServiceClient;
use wire::consent::v1::withdraw_consent_request::Consent as Which;
use wire::pseudonym::v1::Order as OrderMessage;

/// A consent as it was registered, with the statement to keep.
#[derive(Clone, Debug)]
pub struct RegisteredConsent {
    /// The consent statement (toestemmingsverklaring): a compact JWS.
    pub statement_jws: String,
    /// The record's state, its version, and the promise.
    pub receipt: ConsentReceipt,
}

/// A consent as it stands at the gateway.
#[derive(Clone, Debug)]
pub struct StandingConsent {
    /// The latest statement, verified.
    pub statement: Statement,
    /// The same as a compact JWS.
    pub statement_jws: String,
    /// The record, with the state and version that it has now.
    pub record: ConsentRecord,
}

impl Client {
    /// Portal: registers the choice of the person who logged in (order CONSENT). The statement is signed
    /// here with the portal's own key. Giving the same statement again is a repeat, not a second choice.
    ///
    /// # Errors
    ///
    /// A refusal or a fault. After a fault the choice may have been registered: give it again.
    pub async fn register_consent(
        &self,
        bsn: &Bsn,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let person = self.encrypted(bsn).await?;
        self.register_consent_of(&person, statement).await
    }

    /// Portal: the same of a person whom the portal encrypted when they were there, for a refusal that could not be
    /// registered at once.
    ///
    /// # Errors
    ///
    /// As [`Client::register_consent`]; also when `person` was encrypted under an earlier context.
    pub async fn register_consent_of(
        &self,
        person: &EncryptedPerson,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let directory = self.directory().await?;
        let (context, _) = self.own_context(&directory)?;
        let wrong = |_| ProtocolError::new("person", "is not encrypted as one");
        let ciphertext = Ciphertext::parse(&person.0).map_err(wrong)?;
        let mut order = self.order_of_origin(&context, &ciphertext, OrderKind::Consent);
        let record = &statement.record;
        order.targets = vec![super::sender::relation_target(
            &directory,
            relation_of(record),
        )?];
        order.purpose = record.purpose.to_string();
        self.register(&directory, &order, &ciphertext, statement)
            .await
    }

    /// Desk with the right `assist`: registers the choice that a person made at the desk (order ASSIST).
    /// The statement is signed here with the desk's own key; the person sees it in the portal.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or [`ClientError::Input`] when the person is not enrolled. After a fault the
    /// choice may have been registered: give it again.
    pub async fn assist_consent(
        &self,
        person: &PersonKey,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let directory = self.directory_not_ended().await?;
        let (mut order, ciphertext) = self.order_about(&directory, person, OrderKind::Assist)?;
        let record = &statement.record;
        order.targets = super::sender::prepare_targets(&directory, relation_of(record))?;
        order.purpose = record.purpose.to_string();
        self.register(&directory, &order, &ciphertext, statement)
            .await
    }

    /// Portal: fewer categories or a nearer end. Waits in the outbox when the gateway is away.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn narrow_consent(
        &self,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let statement_jws = self.sign_statement(statement);
        let message = message::NarrowConsentRequest {
            request_id: Vec::new(),
            statement_jws: statement_jws.clone(),
        };
        let receipt = self.run(message).await?.consent()?;
        Ok(RegisteredConsent {
            statement_jws,
            receipt,
        })
    }

    /// Portal: stops the sharing, with a signed statement of withdrawal. Waits in the outbox when the
    /// gateway is away, so that it is never lost.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn withdraw_consent(
        &self,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let statement_jws = self.sign_statement(statement);
        let message = message::WithdrawConsentRequest {
            request_id: Vec::new(),
            consent: Some(Which::StatementJws(statement_jws.clone())),
            source_sha256: Vec::new(),
        };
        let receipt = self.run(message).await?.consent()?;
        Ok(RegisteredConsent {
            statement_jws,
            receipt,
        })
    }

    /// Portal: the same under an id that the portal keeps with the statement until it is answered. Nothing waits in
    /// the outbox.
    ///
    /// # Errors
    ///
    /// A refusal or a fault; after a fault it is to be given again.
    pub async fn withdraw_kept_consent(
        &self,
        request: &RequestId,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let statement_jws = self.sign_statement(statement);
        let message = message::WithdrawConsentRequest {
            request_id: Vec::new(),
            consent: Some(Which::StatementJws(statement_jws.clone())),
            source_sha256: Vec::new(),
        };
        let receipt = self.run_kept(request, message).await?.consent()?;
        Ok(RegisteredConsent {
            statement_jws,
            receipt,
        })
    }

    /// Anyone: stops the sharing by the stop code on the consent statement. `source` is the SHA-256 of
    /// where the code was typed in, from the portal only. A code is kept only once it has stopped
    /// something (for a gateway that is put back from a backup), so nothing waits in the outbox.
    ///
    /// # Errors
    ///
    /// `NOT_AVAILABLE` when it is no code; `TRIES_EXHAUSTED` after too many of those; or a fault, after
    /// which it is to be given again.
    pub async fn withdraw_by_code(
        &self,
        code: &StopCode,
        source: Option<[u8; 32]>,
    ) -> Result<ConsentReceipt, ClientError> {
        let directory = self.directory().await?;
        let request = self.request_id();
        let message = message::WithdrawConsentRequest {
            request_id: request.bytes().to_vec(),
            consent: Some(Which::StopCode(code.canonical().to_owned())),
            source_sha256: source.map(|digest| digest.to_vec()).unwrap_or_default(),
        };
        let sent = message.encode_to_vec();
        let answer = ask!(
            self,
            "WithdrawConsent",
            ConsentServiceClient.withdraw_consent,
            message
        )?;
        let number = message::WithdrawConsentRequest::NUMBER;
        let mut kept = self.outbox.keep_stopped(&request, number, sent)?;
        kept.extend(self.outbox.keep_sealed(&answer.sealed_subject)?);
        self.outbox.commit(kept).await?;
        Ok(ConsentReceipt::withdrawn(
            (answer.ended_handovers, answer.to_follow),
            (answer.promise, answer.sealed_subject),
            &directory,
        )?)
    }

    /// Portal: one record as it stands, with its latest statement. The statement's signature is checked
    /// against the desk that it names.
    ///
    /// # Errors
    ///
    /// `NOT_AVAILABLE`, a fault, or a [`ProtocolError`] when record and statement do not go together.
    pub async fn get_consent(&self, record: &ConsentId) -> Result<StandingConsent, ClientError> {
        let directory = self.directory().await?;
        let message = message::GetConsentRequest {
            record_id: record.bytes().to_vec(),
        };
        let answer = ask!(
            self,
            "GetConsent",
            ConsentServiceClient.get_consent,
            message
        )?;
        Ok(read_standing(&directory, record, answer)?)
    }

    /// Sender: asks a person for consent, through the portal. The answer is always that it was asked,
    /// whether or not the person can be reached. When consent is given, `READY` comes in the inbox with
    /// the question's id.
    ///
    /// # Errors
    ///
    /// A typed refusal when nobody could be asked this, a fault, or [`ClientError::Input`] when the
    /// person is not enrolled.
    pub async fn request_consent(
        &self,
        person: &PersonKey,
        recipient: &Party,
        purpose: &Purpose,
        categories: &[Category],
    ) -> Result<Question, ClientError> {
        let directory = self.directory_not_ended().await?;
        let kind = self.asking_kind(&directory, person)?;
        let (mut order, ciphertext) = self.order_about(&directory, person, kind)?;
        let relation = Relation {
            from: self.party().clone(),
            to: recipient.clone(),
            purpose: purpose.clone(),
        };
        order.targets = super::sender::prepare_targets(&directory, relation)?;
        order.purpose = purpose.to_string();
        let message = message::RequestConsentRequest {
            request_id: Vec::new(),
            recipient: recipient.to_string(),
            purpose: purpose.to_string(),
            categories: categories.iter().map(ToString::to_string).collect(),
            order: None,
            ciphertext: ciphertext.bytes().to_vec(),
        };
        let beside = Beside {
            order: Some(order),
            person: person.expose().to_owned(),
            ..Beside::default()
        };
        Ok(self.run_beside(message, beside).await?.question()?)
    }

    /// Sends a choice until there is a definite answer. The order is fresh at each attempt and the
    /// statement names it, so both are signed anew; the request's id is the record's, so that the gateway
    /// knows a repeat when it sees one.
    async fn register(
        &self,
        directory: &DirectoryCopy,
        template: &OrderMessage,
        ciphertext: &Ciphertext,
        statement: &Statement,
    ) -> Result<RegisteredConsent, ClientError> {
        let request_id =
            RequestId::from_slice(statement.record.id.bytes()).unwrap_or_else(|| self.request_id());
        let (statement_jws, answer) = self
            .outbox
            .repeat(|| {
                let signed = self.sign(template);
                let mut stub = stub!(ConsentServiceClient<_>, self.outbox.connection);
                let (request_id, ciphertext) = (request_id.bytes(), ciphertext.bytes());
                async move {
                    let order = signed?;
                    let mut statement = statement.clone();
                    statement.order = Some(order.paper().id);
                    let statement_jws = self.sign_statement(&statement);
                    let message = message::RegisterConsentRequest {
                        request_id: request_id.to_vec(),
                        statement_jws: statement_jws.clone(),
                        order: Some((&order).into()),
                        ciphertext: ciphertext.to_vec(),
                    };
                    let answer = stub.register_consent(with_deadline(message)).await;
                    let answer =
                        answer.map_err(|status| from_status("RegisterConsent", &status))?;
                    Ok((statement_jws, answer.into_inner()))
                }
            })
            .await?;
        let receipt = ConsentReceipt {
            state: read_state(answer.state)?,
            version: read_version(answer.version)?,
            ended_handovers: 0,
            to_follow: 0,
            promise: verified_promise(answer.promise, directory)?,
            sealed_subject: answer.sealed_subject,
        };
        let kept = self.outbox.keep_sealed(&receipt.sealed_subject)?;
        self.outbox.commit(kept).await?;
        Ok(RegisteredConsent {
            statement_jws,
            receipt,
        })
    }

    /// The statement as a compact JWS by this desk.
    fn sign_statement(&self, statement: &Statement) -> String {
        let identity = &self.outbox.identity;
        let kid = format!("{}/{}", identity.party.oin, identity.desk);
        vault::statement::sign(&identity.signing_key, &kid, &statement.canonical_json())
    }
}

fn relation_of(record: &ConsentRecord) -> Relation {
    Relation {
        from: record.sender.clone(),
        to: record.recipient.clone(),
        purpose: record.purpose.clone(),
    }
}

/// Opens a statement as a person keeps it: signed by the desk that it names.
///
/// # Errors
///
/// When it is not, or is no statement.
pub fn open_statement(
    directory: &DirectoryCopy,
    statement_jws: &str,
) -> Result<Statement, ProtocolError> {
    let wrong = |what| ProtocolError::new("consent statement", what);
    let opened = vault::statement::open(statement_jws, |kid| signer(directory, kid))
        .map_err(|_| wrong("is not signed by the desk that it names"))?;
    let statement =
        Statement::parse(&opened.payload).map_err(|_| wrong("is not one of this gateway"))?;
    let (oin, desk) = &statement.entity;
    if opened.kid != format!("{oin}/{desk}") {
        return Err(wrong(
            "is signed by another desk than the one that wrote it",
        ));
    }
    Ok(statement)
}

/// Verifies a record with its statement.
fn read_standing(
    directory: &DirectoryCopy,
    asked: &ConsentId,
    answer: message::GetConsentResponse,
) -> Result<StandingConsent, ProtocolError> {
    let wrong = |what| ProtocolError::new("consent statement", what);
    let statement = open_statement(directory, &answer.statement_jws)?;
    if statement.record.id != *asked {
        return Err(wrong("is about another record"));
    }
    let sent = answer
        .record
        .ok_or(ProtocolError::new("record", "is missing"))?;
    let mut record = statement.record.clone();
    record.state = read_state(sent.state)?;
    record.version = read_version(sent.version)?;
    Ok(StandingConsent {
        statement,
        statement_jws: answer.statement_jws,
        record,
    })
}

/// The key of a desk by its name under a statement. A desk that was revoked meanwhile could still sign
/// at the time.
fn signer(directory: &DirectoryCopy, kid: &str) -> Option<VerifyingKey> {
    let (oin, desk) = kid.split_once('/')?;
    let desk = directory
        .directory()
        .desk(&oin.parse().ok()?, &desk.parse().ok()?)?;
    Some(VerifyingKey::from_bytes(desk.signing_key))
}

fn read_state(number: i32) -> Result<ConsentState, ProtocolError> {
    ConsentState::from_number(number).ok_or(ProtocolError::new("state", "is none of a consent"))
}

fn read_version(version: i64) -> Result<u64, ProtocolError> {
    u64::try_from(version).map_err(|_| ProtocolError::new("version", "is below zero"))
}
