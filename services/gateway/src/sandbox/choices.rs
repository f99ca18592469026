//! What the people of the year choose: consent given, refused, narrowed and withdrawn, each through the
//! portal as its own pages will do it, and what the choice does to the next call.
//!
//! Must never take a choice for granted: each is followed by the call that it allows or stops.

use super::dossier::{Case, Rests};
use super::ground::Ground;
use super::people;
use super::year::{Clients, Done, at, client_of, hand_over, person_key, preparation, values};
use super::{SandboxError, write_secret};
use crate::cli::assist::Draft;
use crate::cli::portal::{Portal, ask, request_id};
use crate::clock::SystemClock;
use client::{Client, PersonKey};
use papers::author::{Choice, Place};
use rules::calendar::Day;
use rules::clock::{Clock as _, Timestamp};
use rules::consent::{AuthenticationLevel, Language, StopCode};
use rules::handover::State;
use rules::reason::Reason;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::portal::v1 as message;

/// What a member of the vakbond agrees to, and what is left after narrowing.
const CATEGORIES: &[&str] = &[
    "AGE_BAND",
    "CONTACT",
    "IDENTITY",
    "INTERVENTION",
    "OUTCOME",
    "QUESTION",
    "REGION",
    "ROUTE",
    "TARGET_GROUP",
    "WORK",
];
/// The category that those who narrow take back.
const TAKEN_BACK: &str = "CONTACT";
/// What is agreed to for monitoring: no name, no way to reach anybody.
const MONITORED: &[&str] = &[
    "AGE_BAND",
    "CHANNEL",
    "FUNDING",
    "INTERVENTION",
    "QUESTION",
    "REGION",
    "ROUTE",
];
/// Members who narrow what they gave, who refuse UWV, and who withdraw while the handover is open.
const NARROW: usize = 2;
const REFUSE_UWV: usize = 3;
pub(crate) const WITHDRAW: usize = 2;
/// Members who, after those who narrow or refuse UWV, choose at the vakbond's desk with a worker's help.
const ASSISTED: std::ops::Range<usize> = NARROW + REFUSE_UWV..NARROW + REFUSE_UWV + 4;
/// People of UWV who are asked about monitoring, and how many say yes.
const ASKED_TO_MONITOR: usize = 5;
pub(crate) const MONITOR_YES: u32 = 3;
/// Days for which consent is given, the day on which it is given among them.
const DAYS: i64 = 60;

/// How often each was chosen, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Choices {
    /// Consents given, for a handover or for monitoring.
    pub(crate) given: u32,
    /// Of these, given at a desk with a worker's help.
    pub(crate) assisted: u32,
    /// Refused, recorded as such.
    pub(crate) refused: u32,
    /// Narrowed.
    pub(crate) narrowed: u32,
    /// Withdrawn, at the portal or by stop code.
    pub(crate) withdrawn: u32,
    /// Handovers that a withdrawal ended while they were open.
    pub(crate) ended: u32,
    /// Calls that found no consent, and were refused like calls about nobody.
    pub(crate) calls_refused: u32,
    /// People who were asked about monitoring.
    pub(crate) monitoring_asked: u32,
    /// Records for monitoring that the neutral desk opened.
    pub(crate) monitoring_opened: u32,
}

/// The portal, and the codes that people got from it: for a search that must not find them anywhere.
struct Front {
    portal: Portal,
    codes: Vec<Value>,
}

/// One person at the portal.
struct AtPortal<'a> {
    portal: &'a mut Portal,
    codes: &'a mut Vec<Value>,
    session: Vec<u8>,
}

/// A consent as its person keeps it.
struct Given {
    record: Vec<u8>,
    stop_code: String,
    until_millis: i64,
}

impl<'a> AtPortal<'a> {
    async fn login(front: &'a mut Front, who: &people::Person) -> Result<Self, SandboxError> {
        let session = front.portal.login(&who.bsn).await?;
        Ok(Self {
            portal: &mut front.portal,
            codes: &mut front.codes,
            session,
        })
    }

    async fn link(&mut self, union: &Client, who: &PersonKey) -> Result<(), SandboxError> {
        let request = message::MakeLinkCodeRequest {
            session: self.session.clone(),
            oin: self.portal.oin("vakbond")?,
        };
        let answer = ask!(self.portal, make_link_code, "MakeLinkCode", request)?;
        self.codes
            .push(json!({ "kind": "a link code", "code": answer.code }));
        let code = answer
            .code
            .parse()
            .map_err(|_| unexpected("the portal gave a link code that is none"))?;
        union
            .redeem_link(who, &code)
            .await
            .map_err(at("RedeemLink"))
    }

    async fn choose(
        &mut self,
        (from, to, purpose): (&str, &str, &str),
        categories: &[&str],
    ) -> Result<Given, SandboxError> {
        let refused = categories.is_empty();
        let until_millis = if refused { 0 } else { end()?.millis() };
        let request = message::GiveConsentRequest {
            session: self.session.clone(),
            request_id: request_id(),
            sender: self.portal.party(from)?,
            recipient: self.portal.party(to)?,
            purpose: purpose.to_owned(),
            categories: categories.iter().map(ToString::to_string).collect(),
            valid_until_millis: until_millis,
            refused,
            // Where nobody must keep a secret it means nothing.
            secrecy_waived: !refused,
            language: "nl".to_owned(),
        };
        let answer = ask!(self.portal, give_consent, "GiveConsent", request)?;
        self.codes.push(json!({
            "kind": "a stop code", "code": answer.stop_code, "statement": answer.statement_jws,
        }));
        Ok(Given {
            record: answer.record_id,
            stop_code: answer.stop_code,
            until_millis,
        })
    }

    async fn narrow(&mut self, given: &Given) -> Result<(), SandboxError> {
        let left = CATEGORIES.iter().filter(|name| **name != TAKEN_BACK);
        let request = message::NarrowConsentRequest {
            session: self.session.clone(),
            request_id: request_id(),
            record_id: given.record.clone(),
            categories: left.map(ToString::to_string).collect(),
            valid_until_millis: given.until_millis,
        };
        ask!(self.portal, narrow_consent, "NarrowConsent", request)?;
        Ok(())
    }

    async fn stop(&mut self, given: &Given, by_code: bool) -> Result<(), SandboxError> {
        if by_code {
            let request = message::StopByCodeRequest {
                request_id: request_id(),
                stop_code: given.stop_code.clone(),
                source: "sandbox".to_owned(),
            };
            ask!(self.portal, stop_by_code, "StopByCode", request)?;
        } else {
            let request = message::StopConsentRequest {
                session: self.session.clone(),
                request_id: request_id(),
                record_id: given.record.clone(),
            };
            ask!(self.portal, stop_consent, "StopConsent", request)?;
        }
        Ok(())
    }
}

/// The vakbond's members: linked by a code, each with a choice of their own.
///
/// # Errors
///
/// The first step that fails, or a call that was not refused although it had to be.
pub(crate) async fn members(
    ground: &Ground,
    clients: &Clients,
    cases: &[Case],
    first_free: usize,
) -> Result<Choices, SandboxError> {
    let (union, uwv) = (client_of(clients, "vakbond")?, client_of(clients, "uwv")?);
    let neutral = client_of(clients, "neutraal")?;
    let mut front = Front {
        portal: Portal::open(&ground.folder)?,
        codes: Vec::new(),
    };
    let mut choices = Choices::default();
    let members = cases.iter().filter(|case| case.rests == Rests::OnConsent);
    for (index, case) in members.enumerate() {
        let key = person_key(case)?;
        let mut person = AtPortal::login(&mut front, &case.person).await?;
        person.link(&union, &key).await?;
        refused_without_consent(&union, case, &neutral, &mut choices).await?;
        if ASSISTED.contains(&index) {
            let kept = choose_at_desk(ground, &union, &neutral, &key).await?;
            person.codes.push(kept);
            count(&mut choices.given);
            count(&mut choices.assisted);
            continue;
        }
        let given = person
            .choose(("vakbond", "neutraal", "HANDOVER"), CATEGORIES)
            .await?;
        count(&mut choices.given);
        if index < NARROW {
            person.narrow(&given).await?;
            count(&mut choices.narrowed);
        } else if index < NARROW.saturating_add(REFUSE_UWV) {
            person.choose(("vakbond", "uwv", "HANDOVER"), &[]).await?;
            count(&mut choices.refused);
            refused_without_consent(&union, case, &uwv, &mut choices).await?;
        }
    }
    withdrawing(clients, cases, first_free, (&mut front, &mut choices)).await?;
    write_secret(
        &ground.folder.join("codes.json"),
        Value::from(front.codes).to_string().as_bytes(),
    )?;
    Ok(choices)
}

/// Members who stop while their handover is open, at the portal and by code.
async fn withdrawing(
    clients: &Clients,
    cases: &[Case],
    first_free: usize,
    (front, choices): (&mut Front, &mut Choices),
) -> Result<(), SandboxError> {
    let (union, neutral) = (
        client_of(clients, "vakbond")?,
        client_of(clients, "neutraal")?,
    );
    let like = cases
        .iter()
        .find(|case| case.rests == Rests::OnConsent)
        .ok_or_else(|| unexpected("the year has nobody of a vakbond"))?;
    for index in 0..WITHDRAW {
        let case = like.of(people::person(first_free.saturating_add(index)));
        let key = person_key(&case)?;
        let mut person = AtPortal::login(front, &case.person).await?;
        person.link(&union, &key).await?;
        let given = person
            .choose(("vakbond", "neutraal", "HANDOVER"), CATEGORIES)
            .await?;
        count(&mut choices.given);
        let prepared = union
            .prepare(&key, &preparation(&case, &neutral)?)
            .await
            .map_err(at("Prepare"))?;
        let id = prepared.receipt.handover;
        union
            .offer(&id, &values(&case.summary)?)
            .await
            .map_err(at("Offer"))?;
        person.stop(&given, index > 0).await?;
        count(&mut choices.withdrawn);
        let shown = union.show(&id).await.map_err(at("GetHandover"))?;
        let state = shown.handover.map(|view| view.state);
        if state != Some(State::Withdrawn.number()) {
            return Err(unexpected("a withdrawal did not end an open handover"));
        }
        count(&mut choices.ended);
        refused_without_consent(&union, &case, &neutral, choices).await?;
    }
    Ok(())
}

/// A member chooses at the vakbond's desk, helped by a worker; gives what the person takes home.
async fn choose_at_desk(
    ground: &Ground,
    union: &Client,
    recipient: &Client,
    who: &PersonKey,
) -> Result<Value, SandboxError> {
    let identity = ground.identity("vakbond")?;
    let draft = Draft {
        client: union,
        identity: &identity,
        sandbox: &ground.folder,
        place: Place::Desk,
        level: AuthenticationLevel::Test,
    };
    let categories = CATEGORIES.iter().map(|name| name.parse());
    let choice = Choice {
        sender: union.party().clone(),
        recipient: recipient.party().clone(),
        purpose: "HANDOVER".parse().map_err(super::year::name_fault)?,
        categories: categories
            .collect::<Result<_, _>>()
            .map_err(super::year::name_fault)?,
        valid_until: end()?,
        refused: false,
        secrecy_waived: true,
        language: Language::Nl,
    };
    let statement = draft.statement(&choice).await?;
    let registered = union.assist_consent(who, &statement).await;
    let registered = registered.map_err(at("RegisterConsent"))?;
    let code = statement.stop_code.as_ref().map(StopCode::shown);
    Ok(json!({
        "kind": "a stop code", "code": code, "statement": registered.statement_jws,
    }))
}

/// Monitoring is a question of its own: asked apart, answered apart, and no is as good an answer as yes.
///
/// # Errors
///
/// The first step that fails, or a call that was not refused although it had to be.
pub(crate) async fn monitoring(
    ground: &Ground,
    clients: &Clients,
    cases: &[Case],
    contact_date: &Arc<str>,
    choices: &mut Choices,
) -> Result<Vec<Done>, SandboxError> {
    let (uwv, neutral) = (client_of(clients, "uwv")?, client_of(clients, "neutraal")?);
    let mut front = Front {
        portal: Portal::open(&ground.folder)?,
        codes: Vec::new(),
    };
    let categories: Vec<_> = MONITORED
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()
        .map_err(super::year::name_fault)?;
    let purpose = "MONITOR".parse().map_err(super::year::name_fault)?;
    let mut done = Vec::new();
    let asked = cases.iter().filter(|case| case.sender == "uwv");
    for case in asked.take(ASKED_TO_MONITOR) {
        let key = person_key(case)?;
        uwv.request_consent(&key, neutral.party(), &purpose, &categories)
            .await
            .map_err(at("RequestConsent"))?;
        count(&mut choices.monitoring_asked);
        let monitored = case.monitored();
        let mut person = AtPortal::login(&mut front, &case.person).await?;
        let exchange = ("uwv", "neutraal", "MONITOR");
        if choices.monitoring_asked > MONITOR_YES {
            person.choose(exchange, &[]).await?;
            count(&mut choices.refused);
            refused_without_consent(&uwv, &monitored, &neutral, choices).await?;
            continue;
        }
        person.choose(exchange, MONITORED).await?;
        count(&mut choices.given);
        let handing = super::year::Handing {
            case: monitored,
            sender: uwv.clone(),
            recipient: neutral.clone(),
            contact_date: Arc::clone(contact_date),
        };
        done.push(hand_over(&handing).await?);
    }
    Ok(done)
}

/// A call that has no consent must be refused, and like a call about nobody.
async fn refused_without_consent(
    sender: &Client,
    case: &Case,
    recipient: &Client,
    choices: &mut Choices,
) -> Result<(), SandboxError> {
    let asked = preparation(case, recipient)?;
    match sender.prepare(&person_key(case)?, &asked).await {
        Err(error) if error.reason() == Some(Reason::NotAvailable) => {
            count(&mut choices.calls_refused);
            Ok(())
        }
        Err(source) => Err(at("Prepare without consent")(source)),
        Ok(_) => Err(unexpected("a handover without consent was not refused")),
    }
}

/// The end of the last day for which consent is given.
fn end() -> Result<Timestamp, SandboxError> {
    Day::at(SystemClock.now())
        .and_then(|today| today.plus(DAYS.saturating_sub(1))?.end())
        .ok_or_else(|| unexpected("the last day of a consent cannot be found"))
}

fn count(broker: &mut u32) {
    *broker = broker.saturating_add(1);
}

fn unexpected(what: &str) -> SandboxError {
    SandboxError::Unexpected(what.to_owned())
}
