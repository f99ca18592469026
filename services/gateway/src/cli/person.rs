//! What a person does at the portal, on the command line: the same calls as the portal's pages will make.
//!
//! Must never keep or print a number: it goes to the portal's login and nowhere else.

use super::arguments::{ConsentVerb, Exchange, Page, Person, StatementVerb, Verb};
use super::day::{end_of, last_day, moment};
use super::error::CliError;
use super::output::{Answer, facts, quoted};
use super::people::digits;
use super::portal::{Portal, ask, request_id};
use super::session::HANDOVER;
use super::short::{self, Kind};
use super::statement::{Kept, show};
use rules::consent::ConsentState;
use rules::id::{ConsentId, HandoverId};
use serde_json::{Value, json};
use std::path::Path;
use wire::consent::v1::ConsentRecord;
use wire::portal::v1 as message;
use wire::portal::v1::overview_line::Remedy;

/// Does one of the person's verbs; `None` when it is somebody else's.
///
/// # Errors
///
/// As the call, or when something typed is wrong.
pub(crate) async fn run(sandbox: &Path, verb: &Verb) -> Option<Result<Answer, CliError>> {
    Some(match verb {
        Verb::Overview { person, lang, page } => overview(sandbox, person, lang, page).await,
        Verb::Consent(verb) => consent(sandbox, verb).await,
        Verb::Object {
            person,
            handover,
            restrict,
        } => object(sandbox, person, handover, *restrict).await,
        Verb::Link {
            person,
            organisation,
        } => link(sandbox, person, organisation).await,
        _ => return super::blocks::run(sandbox, verb).await,
    })
}

/// A consent's id.
const CONSENT: Kind = Kind {
    what: "consent",
    prefix: ConsentId::PREFIX,
    printed_by: "consent list",
};

/// The consent that a whole id or some of its digits stand for; digits are looked up among the person's own.
async fn consent_id(
    portal: &mut Portal,
    session: &[u8],
    text: &str,
) -> Result<ConsentId, CliError> {
    if let Some(id) = short::whole(text) {
        return Ok(id);
    }
    let overview = look(portal, session).await?;
    let records = overview.consents.iter();
    let ids = records.filter_map(|record| ConsentId::from_slice(&record.record_id));
    short::find(text, CONSENT, ids)
}

/// The handover that a whole id or some of its digits stand for; digits are looked up in the person's overview.
async fn handover_id(
    portal: &mut Portal,
    session: &[u8],
    text: &str,
) -> Result<HandoverId, CliError> {
    if let Some(id) = short::whole(text) {
        return Ok(id);
    }
    let overview = look(portal, session).await?;
    let kind = Kind {
        printed_by: "overview",
        ..HANDOVER
    };
    short::find(
        text,
        kind,
        overview.lines.iter().filter_map(|line| remedy(line).0),
    )
}

/// As much of a person's overview as one page holds.
async fn look(
    portal: &mut Portal,
    session: &[u8],
) -> Result<message::GetOverviewResponse, CliError> {
    let request = message::GetOverviewRequest {
        session: session.to_vec(),
        language: "nl".to_owned(),
        limit: i32::try_from(rules::limits::PAGE_ROWS_MAX).unwrap_or(i32::MAX),
        ..message::GetOverviewRequest::default()
    };
    ask!(portal, get_overview, "GetOverview", request)
}

async fn consent(sandbox: &Path, verb: &ConsentVerb) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    match verb {
        ConsentVerb::Give {
            person,
            exchange,
            categories,
            until,
            waive_secrecy,
            lang,
        } => {
            let request = message::GiveConsentRequest {
                categories: categories.clone(),
                valid_until_millis: end_of(until)?,
                secrecy_waived: *waive_secrecy,
                language: lang.clone(),
                ..asked(&portal, exchange)?
            };
            give(&mut portal, person, request).await
        }
        ConsentVerb::Refuse {
            person,
            exchange,
            lang,
        } => {
            let request = message::GiveConsentRequest {
                refused: true,
                language: lang.clone(),
                ..asked(&portal, exchange)?
            };
            give(&mut portal, person, request).await
        }
        ConsentVerb::Narrow {
            person,
            consent,
            categories,
            until,
        } => narrow(&mut portal, person, consent, (categories, until)).await,
        ConsentVerb::Statement(StatementVerb::Show { file }) => show(sandbox, file),
        ConsentVerb::Stop { person, consent } => stop(&mut portal, person, consent).await,
        ConsentVerb::StopByCode { code } => stop_by_code(&mut portal, code).await,
        ConsentVerb::List { person, page } => {
            let request = message::GetOverviewRequest {
                consents_after: octets(&page.after)?,
                ..asked_for(page, "nl")
            };
            let overview = read(&mut portal, person, request).await?;
            Ok(list(&portal, &overview))
        }
    }
}

async fn narrow(
    portal: &mut Portal,
    person: &Person,
    consent: &str,
    (categories, until): (&[String], &str),
) -> Result<Answer, CliError> {
    let valid_until_millis = end_of(until)?;
    let session = portal.login(&digits(&person.bsn)?).await?;
    let record = consent_id(portal, &session, consent).await?;
    let request = message::NarrowConsentRequest {
        session,
        request_id: request_id(),
        record_id: record.bytes().to_vec(),
        categories: categories.to_vec(),
        valid_until_millis,
    };
    let answer = ask!(portal, narrow_consent, "NarrowConsent", request)?;
    let kept = portal.keep(&record.to_string(), &answer.statement_jws);
    let text = format!("narrower from now on; {}", kept.text());
    let json = json!({ "statement": answer.statement_jws, "statement_file": kept.path() });
    Ok(Answer::new(text, json))
}

async fn stop(portal: &mut Portal, person: &Person, consent: &str) -> Result<Answer, CliError> {
    let session = portal.login(&digits(&person.bsn)?).await?;
    let record = consent_id(portal, &session, consent).await?;
    let request = message::StopConsentRequest {
        session,
        request_id: request_id(),
        record_id: record.bytes().to_vec(),
    };
    let answer = ask!(portal, stop_consent, "StopConsent", request)?;
    let (mut text, mut file) = (WAITS.to_owned(), None);
    if answer.still_to_do == 0 {
        let kept = portal.keep(&record.to_string(), &answer.statement_jws);
        let done = "stopped: nothing is handed over on it from now on";
        (text, file) = (format!("{done}; {}", kept.text()), kept.path());
    }
    let json = json!({
        "statement": answer.statement_jws, "statement_file": file, "still_to_do": answer.still_to_do,
    });
    Ok(Answer::new(text, json))
}

/// What is said of a stop that the gateway has not answered.
const WAITS: &str = "noted: it is stopped as soon as the gateway answers, and the portal sees\n\
    to that. `sluis overview` tells what is still to be done";

async fn stop_by_code(portal: &mut Portal, code: &str) -> Result<Answer, CliError> {
    let request = message::StopByCodeRequest {
        request_id: request_id(),
        stop_code: code.to_owned(),
        source: "command line".to_owned(),
    };
    let answer = ask!(portal, stop_by_code, "StopByCode", request)?;
    let ended = answer.ended_handovers;
    Ok(Answer::new(
        format!("stopped: nothing is handed over on it from now on ({ended} open handovers ended)"),
        json!({ "ended_handovers": ended }),
    ))
}

fn asked(portal: &Portal, exchange: &Exchange) -> Result<message::GiveConsentRequest, CliError> {
    Ok(message::GiveConsentRequest {
        request_id: request_id(),
        sender: portal.party(&exchange.from)?,
        recipient: portal.party(&exchange.to)?,
        purpose: exchange.purpose.clone(),
        ..message::GiveConsentRequest::default()
    })
}

async fn give(
    portal: &mut Portal,
    person: &Person,
    request: message::GiveConsentRequest,
) -> Result<Answer, CliError> {
    let refused = request.refused;
    let request = message::GiveConsentRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        ..request
    };
    let answer = ask!(portal, give_consent, "GiveConsent", request)?;
    let id = ConsentId::from_slice(&answer.record_id)
        .map(|id| id.to_string())
        .unwrap_or_default();
    let kept = |portal: &Portal| portal.keep(&id, &answer.statement_jws);
    if !refused {
        let kept = kept(portal);
        return Ok(chosen(
            &id,
            Some(&answer.stop_code),
            (&answer.statement_jws, &kept),
        ));
    }
    let (stopped, still_to_do) = (answer.stopped_consents, answer.still_to_do);
    let mut file = None;
    let done = if still_to_do > 0 {
        format!(
            "noted that the answer is no ({id}).\n{stopped} consents are stopped, and {still_to_do} things are still \
             to be done as soon as the\ngateway answers. The portal sees to that; `sluis overview` tells"
        )
    } else {
        let kept = kept(portal);
        file = kept.path();
        format!(
            "noted that the answer is no ({id}).\n{stopped} consents are stopped by it, and it has no other \
             consequence.\n{}",
            kept.text()
        )
    };
    let values = json!({
        "consent_id": id, "stop_code": "", "statement": answer.statement_jws, "statement_file": file,
        "stopped_consents": stopped, "still_to_do": still_to_do,
    });
    Ok(Answer::new(done, values))
}

/// What the person takes home: the stop code, of a consent that was given, and the statement.
pub(super) fn chosen(
    id: &str,
    stop_code: Option<&str>,
    (statement, kept): (&str, &Kept),
) -> Answer {
    let keep = kept.text();
    let text = match stop_code {
        None => format!(
            "noted that the answer is no ({id}).\nIt ends what stood, and has no other consequence.\n{keep}"
        ),
        Some(code) => format!(
            "given: {id}\nstop code: {code}  (stops it at once, without a login; keep it)\n{keep}"
        ),
    };
    let code = stop_code.unwrap_or_default();
    let json = json!({
        "consent_id": id, "stop_code": code, "statement": statement, "statement_file": kept.path(),
    });
    Answer::new(text, json)
}

fn list(portal: &Portal, overview: &message::GetOverviewResponse) -> Answer {
    let consents = overview.consents.iter();
    let shown: Vec<(String, Value)> = consents.map(|record| one(portal, record)).collect();
    let more = rules::hex::encode(&overview.more_consents);
    let text = if shown.is_empty() {
        "no consents".to_owned()
    } else {
        let blocks: Vec<_> = shown.iter().map(|(text, _)| text.as_str()).collect();
        blocks.join("\n")
    };
    let values: Vec<_> = shown.into_iter().map(|(_, value)| value).collect();
    let values = json!({ "consents": values, "more": more });
    Answer::new(goes_on(text, &more), values)
}

/// A page's text, with where it goes on.
pub(super) fn goes_on(mut text: String, more: &str) -> String {
    if !more.is_empty() {
        text.push_str(&format!("\nthere is more: --after {more}"));
    }
    text
}

/// Where a page goes on, as it was typed.
pub(super) fn octets(text: &str) -> Result<Vec<u8>, CliError> {
    rules::hex::decode(text).ok_or_else(|| {
        CliError::usage(
            "that is not where a page goes on",
            "give what the page before says behind `--after`",
        )
    })
}

fn asked_for(page: &Page, language: &str) -> message::GetOverviewRequest {
    message::GetOverviewRequest {
        language: language.to_owned(),
        limit: i32::try_from(page.limit).unwrap_or(i32::MAX),
        ..message::GetOverviewRequest::default()
    }
}

fn one(portal: &Portal, record: &ConsentRecord) -> (String, Value) {
    let id = ConsentId::from_slice(&record.record_id)
        .map(|id| id.to_string())
        .unwrap_or_default();
    let state = ConsentState::from_number(record.state).map_or("?", ConsentState::code);
    let last_day = last_day(record.valid_until_millis).map(|day| day.to_string());
    let until = match &last_day {
        Some(day) => format!("{day}, the whole day"),
        None => moment(record.valid_until_millis),
    };
    let text = facts(&[
        ("consent", id.clone()),
        ("state", state.to_owned()),
        ("from", portal.called(&record.sender)),
        ("to", portal.called(&record.recipient)),
        ("purpose", record.purpose.clone()),
        ("categories", record.categories.join(", ")),
        ("until", until),
    ]);
    let value = json!({
        "consent_id": id, "state": state, "sender": record.sender, "recipient": record.recipient,
        "purpose": record.purpose, "categories": record.categories,
        "valid_until_millis": record.valid_until_millis, "last_day": last_day, "version": record.version,
    });
    (text, value)
}

async fn read(
    portal: &mut Portal,
    person: &Person,
    request: message::GetOverviewRequest,
) -> Result<message::GetOverviewResponse, CliError> {
    let request = message::GetOverviewRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        ..request
    };
    ask!(portal, get_overview, "GetOverview", request)
}

async fn overview(
    sandbox: &Path,
    person: &Person,
    language: &str,
    page: &Page,
) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let request = message::GetOverviewRequest {
        lines_after: octets(&page.after)?,
        ..asked_for(page, language)
    };
    let overview = read(&mut portal, person, request).await?;
    let waiting = overview.still_to_do.iter();
    let waiting =
        waiting.map(|one| format!("{}  {}", moment(one.asked_millis), quoted(&one.sentence)));
    let told = overview.lines.iter().map(|line| {
        let remedy = match remedy(line) {
            (Some(handover), _) => format!("  [{handover}]"),
            (_, Some(consent)) => format!("  [{consent}]"),
            (None, None) => String::new(),
        };
        format!(
            "{}  {}{remedy}",
            moment(line.time_millis),
            quoted(&line.sentence)
        )
    });
    let lines: Vec<String> = waiting.chain(told).collect();
    let text = if lines.is_empty() {
        "nothing has happened with this person's data".to_owned()
    } else {
        lines.join("\n")
    };
    let more = rules::hex::encode(&overview.more_lines);
    let values = overview.lines.iter().map(|line| {
        let (handover, consent) = remedy(line);
        json!({
            "time_millis": line.time_millis, "sentence": line.sentence, "count": line.count,
            "handover_id": handover.map(|id| id.to_string()),
            "consent_id": consent.map(|id| id.to_string()),
        })
    });
    let waiting = overview.still_to_do.iter();
    let waiting =
        waiting.map(|one| json!({ "asked_millis": one.asked_millis, "sentence": one.sentence }));
    let values = json!({
        "lines": values.collect::<Vec<_>>(), "more": more,
        "still_to_do": waiting.collect::<Vec<_>>(),
        "still_to_do_count": overview.still_to_do_count,
    });
    Ok(Answer::new(goes_on(text, &more), values))
}

/// What a person can do something about: the handover that `object` takes, or the consent that
/// `consent stop` takes.
fn remedy(line: &message::OverviewLine) -> (Option<HandoverId>, Option<ConsentId>) {
    match &line.remedy {
        Some(Remedy::HandoverId(octets)) => (HandoverId::from_slice(octets), None),
        Some(Remedy::RecordId(octets)) => (None, ConsentId::from_slice(octets)),
        None => (None, None),
    }
}

async fn object(
    sandbox: &Path,
    person: &Person,
    handover: &str,
    restrict: bool,
) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let session = portal.login(&digits(&person.bsn)?).await?;
    let id = handover_id(&mut portal, &session, handover).await?;
    let request = message::ObjectRequest {
        session,
        request_id: request_id(),
        handover_id: id.bytes().to_vec(),
        restrict,
    };
    let answer = ask!(portal, object, "Object", request)?;
    let text = if answer.still_to_do > 0 {
        WAITS.to_owned()
    } else {
        format!(
            "noted at {}: nothing is released or fetched until the privacy officer has decided",
            moment(answer.time_millis)
        )
    };
    Ok(Answer::new(
        text,
        json!({ "time_millis": answer.time_millis, "still_to_do": answer.still_to_do }),
    ))
}

async fn link(sandbox: &Path, person: &Person, text: &str) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let oin = portal.oin(text)?;
    let request = message::MakeLinkCodeRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        oin,
    };
    let answer = ask!(portal, make_link_code, "MakeLinkCode", request)?;
    Ok(Answer::new(
        format!(
            "{}  (to be read out before {})",
            answer.code,
            moment(answer.valid_until_millis)
        ),
        json!({ "code": answer.code, "valid_until_millis": answer.valid_until_millis }),
    ))
}
