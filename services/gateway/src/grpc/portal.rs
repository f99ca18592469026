//! `PortalService`: what a person who is logged in can do. Messages in, calls to the portal, answers out.
//!
//! Must never serve anybody but a desk of the portal's own organisation, and never put a session, a code
//! or anything of a person in a log.

use super::consent::record_message;
use super::directory::caller;
use super::reading::Reading;
use super::status;
use counter::consent::author::{Choice, Narrowing};
use counter::portal::{Portal, PortalError, Remedy};
use rules::clock::Timestamp;
use rules::consent::{Language, StopCode};
use rules::id::{Category, ConsentId, HandoverId, Oin, RequestId};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeSet;
use tonic::{Request, Response, Status};
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_server::PortalService;

/// Most categories in one message.
const CATEGORIES_MAX: usize = 64;
/// Longest assertion or source, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The portal's service.
pub struct Portals {
    portal: Portal,
    own: Oin,
}

impl Portals {
    /// The service of this portal, for desks of `own`.
    #[must_use]
    pub const fn new(portal: Portal, own: Oin) -> Self {
        Self { portal, own }
    }

    fn need_own_desk<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if caller(request)?.party.oin == self.own {
            Ok(())
        } else {
            Err(refused(&Refusal::new(Reason::RightMissing), None))
        }
    }
}

fn refused(refusal: &Refusal, request: Option<RequestId>) -> Status {
    tracing::info!(reason = refusal.reason.code(), "a call was refused");
    status::refused(refusal, request, None)
}

/// The status of a fault; what lies behind it goes to the operator's log.
fn fault(error: &PortalError, request: Option<RequestId>) -> Status {
    let (reason, causes) = (error.reason(), status::causes(error));
    if error.is_transient() {
        tracing::warn!(reason = reason.code(), causes, "a call could not be served");
    } else {
        tracing::error!(reason = reason.code(), causes, "a call failed");
    }
    status::refused(&reason.into(), request, None)
}

fn answered<T>(
    answer: Result<Outcome<T>, PortalError>,
    request: Option<RequestId>,
) -> Result<T, Status> {
    match answer {
        Ok(Outcome::Permitted(value)) => Ok(value),
        Ok(Outcome::Refused(refusal)) => Err(refused(&refusal, request)),
        Err(error) => Err(fault(&error, request)),
    }
}

fn finish<T>(reading: Reading, value: Option<T>) -> Result<T, Status> {
    reading
        .finish(value)
        .map_err(|refusal| refused(&refusal, None))
}

fn language(reading: &mut Reading, text: &str) -> Option<Language> {
    match text {
        "nl" => Some(Language::Nl),
        "en" => Some(Language::En),
        _ => {
            reading.wrong("language", "is not one of nl, en");
            None
        }
    }
}

fn categories(reading: &mut Reading, texts: &[String]) -> Option<BTreeSet<Category>> {
    if texts.len() > CATEGORIES_MAX {
        reading.wrong("categories", "has more than 64 categories");
        return None;
    }
    let read: Vec<Option<Category>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| reading.name(&format!("categories[{index}]"), text))
        .collect();
    read.into_iter().collect()
}

fn stop_code(reading: &mut Reading, text: &str) -> Option<StopCode> {
    let code = text.parse::<StopCode>().ok();
    if code.is_none() {
        reading.wrong("stop_code", "is not 16 letters and digits of a stop code");
    }
    code
}

fn bounded(reading: &mut Reading, field: &str, text: &str) -> Option<()> {
    if text.len() <= TEXT_BYTES_MAX {
        Some(())
    } else {
        reading.wrong(field, "is longer than 16 KiB");
        None
    }
}

fn choice(
    reading: &mut Reading,
    request: &message::GiveConsentRequest,
) -> Option<(RequestId, Choice)> {
    let request_id = reading.request_id(&request.request_id);
    let sender = reading.name("sender", &request.sender);
    let recipient = reading.name("recipient", &request.recipient);
    let purpose = reading.name("purpose", &request.purpose);
    let categories = categories(reading, &request.categories);
    let language = language(reading, &request.language);
    Some((
        request_id?,
        Choice {
            sender: sender?,
            recipient: recipient?,
            purpose: purpose?,
            categories: categories?,
            valid_until: Timestamp::from_millis(request.valid_until_millis),
            refused: request.refused,
            secrecy_waived: request.secrecy_waived,
            language: language?,
        },
    ))
}

#[tonic::async_trait]
impl PortalService for Portals {
    async fn login(
        &self,
        request: Request<message::LoginRequest>,
    ) -> Result<Response<message::LoginResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let fits = bounded(&mut reading, "assertion", &request.assertion);
        finish(reading, fits)?;
        let begun = answered(self.portal.login(&request.assertion).await, None)?;
        Ok(Response::new(message::LoginResponse {
            session: begun.token.to_vec(),
            valid_until_millis: begun.until.millis(),
        }))
    }

    async fn get_overview(
        &self,
        request: Request<message::GetOverviewRequest>,
    ) -> Result<Response<message::GetOverviewResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let language = language(&mut reading, &request.language);
        let language = finish(reading, language)?;
        let overview = answered(self.portal.overview(&request.session, language).await, None)?;
        let line = |line: counter::portal::OverviewLine| message::OverviewLine {
            time_millis: line.time.millis(),
            sentence: line.sentence,
            remedy: line.remedy.map(|remedy| match remedy {
                Remedy::Object(id) => {
                    message::overview_line::Remedy::HandoverId(id.bytes().to_vec())
                }
                Remedy::Stop(id) => message::overview_line::Remedy::RecordId(id.bytes().to_vec()),
            }),
        };
        Ok(Response::new(message::GetOverviewResponse {
            lines: overview.lines.into_iter().map(line).collect(),
            consents: overview.consents.iter().map(record_message).collect(),
        }))
    }

    async fn give_consent(
        &self,
        request: Request<message::GiveConsentRequest>,
    ) -> Result<Response<message::GiveConsentResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let read = choice(&mut reading, &request);
        let (id, choice) = finish(reading, read)?;
        let given = self.portal.give(&request.session, id, choice).await;
        self.follow().await;
        let given = answered(given, Some(id))?;
        Ok(Response::new(message::GiveConsentResponse {
            statement_jws: given.statement_jws,
            stop_code: given.stop_code.map(|code| code.shown()).unwrap_or_default(),
            record_id: given.record.bytes().to_vec(),
        }))
    }

    async fn narrow_consent(
        &self,
        request: Request<message::NarrowConsentRequest>,
    ) -> Result<Response<message::NarrowConsentResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let record = reading.id("record_id", &request.record_id, ConsentId::from_slice);
        let categories = categories(&mut reading, &request.categories);
        let read = id.zip(record).zip(categories);
        let ((id, record), categories) = finish(reading, read)?;
        let narrowing = Narrowing {
            record,
            categories,
            valid_until: Timestamp::from_millis(request.valid_until_millis),
        };
        let narrowed = self.portal.narrow(&request.session, id, narrowing).await;
        self.follow().await;
        let statement_jws = answered(narrowed, Some(id))?;
        Ok(Response::new(message::NarrowConsentResponse {
            statement_jws,
        }))
    }

    async fn stop_consent(
        &self,
        request: Request<message::StopConsentRequest>,
    ) -> Result<Response<message::StopConsentResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let record = reading.id("record_id", &request.record_id, ConsentId::from_slice);
        let (id, record) = finish(reading, id.zip(record))?;
        let stopped = self.portal.stop(&request.session, id, record).await;
        self.follow().await;
        let statement_jws = answered(stopped, Some(id))?;
        Ok(Response::new(message::StopConsentResponse {
            statement_jws,
        }))
    }

    async fn stop_by_code(
        &self,
        request: Request<message::StopByCodeRequest>,
    ) -> Result<Response<message::StopByCodeResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let code = stop_code(&mut reading, &request.stop_code);
        let fits = bounded(&mut reading, "source", &request.source);
        let ((id, code), ()) = finish(reading, id.zip(code).zip(fits))?;
        let stopped = self.portal.stop_by_code(&code, &request.source).await;
        self.follow().await;
        let ended = answered(stopped, Some(id))?;
        Ok(Response::new(message::StopByCodeResponse {
            ended_handovers: i32::try_from(ended).unwrap_or(i32::MAX),
        }))
    }

    async fn object(
        &self,
        request: Request<message::ObjectRequest>,
    ) -> Result<Response<message::ObjectResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let handover = reading.id("handover_id", &request.handover_id, HandoverId::from_slice);
        let (id, handover) = finish(reading, id.zip(handover))?;
        let session = &request.session;
        let noted = self
            .portal
            .object(session, handover, request.restrict)
            .await;
        self.follow().await;
        let time = answered(noted, Some(id))?;
        Ok(Response::new(message::ObjectResponse {
            time_millis: time.millis(),
        }))
    }

    async fn block_organisation(
        &self,
        request: Request<message::BlockOrganisationRequest>,
    ) -> Result<Response<message::BlockOrganisationResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let oin = reading.name::<Oin>("oin", &request.oin);
        let (id, oin) = finish(reading, id.zip(oin))?;
        let blocked = self.portal.block(&request.session, &oin).await;
        self.follow().await;
        let stopped = answered(blocked, Some(id))?;
        Ok(Response::new(message::BlockOrganisationResponse {
            stopped_consents: i32::try_from(stopped).unwrap_or(i32::MAX),
        }))
    }

    async fn make_link_code(
        &self,
        request: Request<message::MakeLinkCodeRequest>,
    ) -> Result<Response<message::MakeLinkCodeResponse>, Status> {
        self.need_own_desk(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let oin = reading.name::<Oin>("oin", &request.oin);
        let oin = finish(reading, oin)?;
        let made = self.portal.make_link_code(&request.session, &oin).await;
        let (code, until) = answered(made, None)?;
        Ok(Response::new(message::MakeLinkCodeResponse {
            code: code.shown(),
            valid_until_millis: until.millis(),
        }))
    }
}

impl Portals {
    /// Takes over what the call brought about; what cannot be had now comes within a second.
    async fn follow(&self) {
        if let Err(error) = self.portal.take_in().await {
            let causes = status::causes(&error);
            tracing::info!(causes, "the feed could not be taken over after a call");
        }
    }
}
