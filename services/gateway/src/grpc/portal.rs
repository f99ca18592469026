//! `PortalService`: what a person who is logged in can do. Messages in, calls to the portal, answers out.
//!
//! Must never serve anybody but a desk of the portal's own organisation, and never put a session, a code
//! or anything of a person in a log.

use super::consent::record_message;
use super::directory::caller;
use super::reading::Reading;
use super::status;
use papers::author::{Choice, Narrowing};
use portal::{BlockView, Objected, Pages, Portal, PortalError, Remedy, Stopped};
use rules::clock::Timestamp;
use rules::consent::{Language, StopCode};
use rules::id::{Category, ConsentId, HandoverId, Oin, Party, RequestId, Tag};
use rules::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::{Request, Response, Status};
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_server::PortalService;

/// Most categories in one message.
const CATEGORIES_MAX: usize = 64;
/// How long a call waits for what it brought about.
const FOLLOW_MAX: Duration = Duration::from_millis(500);
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
            Err(refused(
                &Refusal::lacks("this call is the portal's own"),
                None,
            ))
        }
    }

    /// A desk of the own organisation, and a portal that has got back what lay at the broker.
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.need_own_desk(request)?;
        if self.portal.is_shut() {
            Err(refused(&Refusal::new(Reason::Restoring), None))
        } else {
            Ok(())
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

fn number(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

fn tag(octets: &[u8]) -> Option<Tag> {
    octets.try_into().ok().map(Tag::new)
}

fn block_message(view: BlockView) -> message::Block {
    message::Block {
        block_id: view.id.bytes().to_vec(),
        party: view
            .blocked
            .map_or_else(String::new, |party| party.to_string()),
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
        self.admit(&request)?;
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
        self.admit(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let language = language(&mut reading, &request.language);
        let language = finish(reading, language)?;
        let pages = Pages {
            limit: u32::try_from(request.limit).unwrap_or(0),
            lines_after: request.lines_after,
            consents_after: request.consents_after,
            language,
        };
        let overview = self.portal.overview(&request.session, &pages).await;
        let overview = answered(overview, None)?;
        let line = |line: portal::OverviewLine| message::OverviewLine {
            time_millis: line.time.millis(),
            sentence: line.sentence,
            count: number(line.count),
            remedy: line.remedy.map(|remedy| match remedy {
                Remedy::Object(id) => {
                    message::overview_line::Remedy::HandoverId(id.bytes().to_vec())
                }
                Remedy::Stop(id) => message::overview_line::Remedy::RecordId(id.bytes().to_vec()),
            }),
        };
        let waiting = overview.still_to_do.into_iter();
        let waiting = waiting.map(|waiting| message::StillToDo {
            asked_millis: waiting.asked_at.millis(),
            sentence: waiting.sentence,
        });
        let (more_lines, more_consents) = overview.more;
        Ok(Response::new(message::GetOverviewResponse {
            lines: overview.lines.into_iter().map(line).collect(),
            consents: overview.consents.iter().map(record_message).collect(),
            still_to_do: waiting.collect(),
            still_to_do_count: number(overview.still_to_do_count),
            more_lines,
            more_consents,
        }))
    }

    async fn give_consent(
        &self,
        request: Request<message::GiveConsentRequest>,
    ) -> Result<Response<message::GiveConsentResponse>, Status> {
        self.admit(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let read = choice(&mut reading, &request);
        let (id, choice) = finish(reading, read)?;
        let given = self.portal.give(&request.session, id, choice).await;
        let given = answered(given, Some(id))?;
        self.follow_unless(given.still_to_do).await;
        Ok(Response::new(message::GiveConsentResponse {
            statement_jws: given.statement_jws,
            stop_code: given.stop_code.map(|code| code.shown()).unwrap_or_default(),
            record_id: given.record.bytes().to_vec(),
            stopped_consents: number(given.stopped),
            still_to_do: number(given.still_to_do),
        }))
    }

    async fn narrow_consent(
        &self,
        request: Request<message::NarrowConsentRequest>,
    ) -> Result<Response<message::NarrowConsentResponse>, Status> {
        self.admit(&request)?;
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
        self.admit(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let record = reading.id("record_id", &request.record_id, ConsentId::from_slice);
        let (id, record) = finish(reading, id.zip(record))?;
        let stopped = self.portal.stop(&request.session, id, record).await;
        let (statement_jws, still_to_do) = match answered(stopped, Some(id))? {
            Stopped::Done(jws) => (jws, 0),
            Stopped::StillToDo => (String::new(), 1),
        };
        // The answer waits for nothing that follows: the statement is kept, and the feed's lines come by themselves.
        Ok(Response::new(message::StopConsentResponse {
            statement_jws,
            still_to_do: number(still_to_do),
        }))
    }

    async fn stop_by_code(
        &self,
        request: Request<message::StopByCodeRequest>,
    ) -> Result<Response<message::StopByCodeResponse>, Status> {
        // It needs nothing that lies here.
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
        self.admit(&request)?;
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
        let (time_millis, still_to_do) = match answered(noted, Some(id))? {
            Objected::Noted(time) => (time.millis(), 0),
            Objected::StillToDo => (0, 1),
        };
        self.follow_unless(still_to_do).await;
        Ok(Response::new(message::ObjectResponse {
            time_millis,
            still_to_do: number(still_to_do),
        }))
    }

    async fn block_organisation(
        &self,
        request: Request<message::BlockOrganisationRequest>,
    ) -> Result<Response<message::BlockOrganisationResponse>, Status> {
        self.admit(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let party = reading.name::<Party>("party", &request.party);
        let (id, blocked) = finish(reading, id.zip(party))?;
        let blocking = self.portal.block(&request.session, &blocked).await;
        let blocking = answered(blocking, Some(id))?;
        self.follow_unless(blocking.still_to_do).await;
        Ok(Response::new(message::BlockOrganisationResponse {
            stopped_consents: number(blocking.stopped),
            objections: number(blocking.objections),
            still_to_do: number(blocking.still_to_do),
        }))
    }

    async fn list_blocks(
        &self,
        request: Request<message::ListBlocksRequest>,
    ) -> Result<Response<message::ListBlocksResponse>, Status> {
        self.admit(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let after = reading.optional_id("after", &request.after, tag);
        let after = finish(reading, after)?;
        let limit = match u32::try_from(request.limit).unwrap_or(0) {
            0 => PAGE_ROWS_DEFAULT,
            limit => limit.min(PAGE_ROWS_MAX),
        };
        let limit = usize::try_from(limit).unwrap_or(1);
        let mut blocks = answered(self.portal.blocks(&request.session).await, None)?;
        if let Some(after) = after {
            blocks.retain(|block| block.id.bytes() > after.bytes());
        }
        let more = blocks.len() > limit;
        blocks.truncate(limit);
        let more = blocks.last().filter(|_| more);
        Ok(Response::new(message::ListBlocksResponse {
            more: more
                .map(|block| block.id.bytes().to_vec())
                .unwrap_or_default(),
            blocks: blocks.into_iter().map(block_message).collect(),
        }))
    }

    async fn unblock_organisation(
        &self,
        request: Request<message::UnblockOrganisationRequest>,
    ) -> Result<Response<message::UnblockOrganisationResponse>, Status> {
        self.admit(&request)?;
        let request = request.into_inner();
        let mut reading = Reading::default();
        let id = reading.request_id(&request.request_id);
        let block = reading.id("block_id", &request.block_id, tag);
        let (id, block) = finish(reading, id.zip(block))?;
        let undone = self.portal.unblock(&request.session, block).await;
        let (undone, still_to_do) = answered(undone, Some(id))?;
        Ok(Response::new(message::UnblockOrganisationResponse {
            undone,
            still_to_do: number(still_to_do),
        }))
    }

    async fn make_link_code(
        &self,
        request: Request<message::MakeLinkCodeRequest>,
    ) -> Result<Response<message::MakeLinkCodeResponse>, Status> {
        self.admit(&request)?;
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
    /// Takes over what a call brought about, unless the broker did not answer it.
    async fn follow_unless(&self, still_to_do: u32) {
        if still_to_do == 0 {
            self.follow().await;
        }
    }

    /// Takes over what the call brought about, for a moment: nobody waits for what others have in the feed. The rest, and
    /// what cannot be had now, comes by itself.
    async fn follow(&self) {
        match tokio::time::timeout(FOLLOW_MAX, self.portal.take_in()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let causes = status::causes(&error);
                tracing::info!(causes, "the feed could not be taken over after a call");
            }
            Err(_) => tracing::info!("the feed is long; a call does not wait for it"),
        }
    }
}
