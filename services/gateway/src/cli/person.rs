//! What a person does at the portal, on the command line: the same calls as the portal's pages will make.
//!
//! Must never keep or print a number: it goes to the portal's login and nowhere else.

use super::arguments::{ConsentVerb, Exchange, Person, Verb};
use super::day::{end_of, last_day, moment};
use super::error::CliError;
use super::output::{Answer, facts};
use super::people::digits;
use super::portal::{Portal, ask, request_id};
use rules::consent::ConsentState;
use rules::id::{ConsentId, HandoverId};
use serde_json::{Value, json};
use std::path::Path;
use vault::digest::sha256;
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
        Verb::Overview { person, lang } => overview(sandbox, person, lang).await,
        Verb::Consent(verb) => consent(sandbox, verb).await,
        Verb::Object {
            person,
            handover,
            restrict,
        } => object(sandbox, person, handover, *restrict).await,
        Verb::Block {
            person,
            organisation,
        } => block(sandbox, person, organisation).await,
        Verb::Link {
            person,
            organisation,
        } => link(sandbox, person, organisation).await,
        _ => return None,
    })
}

/// A consent's id.
///
/// # Errors
///
/// When it is none.
pub(super) fn consent_id(text: &str) -> Result<ConsentId, CliError> {
    text.parse().map_err(|_| {
        CliError::usage(
            "that is no consent's id",
            "give `cns_` and 32 digits, as `consent list` prints it",
        )
    })
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
                ..asked(&portal, exchange)
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
                ..asked(&portal, exchange)
            };
            give(&mut portal, person, request).await
        }
        ConsentVerb::Narrow {
            person,
            consent,
            categories,
            until,
        } => narrow(&mut portal, person, consent, (categories, until)).await,
        ConsentVerb::Stop { person, consent } => stop(&mut portal, person, consent).await,
        ConsentVerb::StopByCode { code } => stop_by_code(&mut portal, code).await,
        ConsentVerb::List { person } => {
            let overview = read(&mut portal, person, "nl").await?;
            Ok(list(&portal, &overview.consents))
        }
    }
}

async fn narrow(
    portal: &mut Portal,
    person: &Person,
    consent: &str,
    (categories, until): (&[String], &str),
) -> Result<Answer, CliError> {
    let (record_id, valid_until_millis) = (consent_id(consent)?.bytes().to_vec(), end_of(until)?);
    let request = message::NarrowConsentRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        request_id: request_id(),
        record_id,
        categories: categories.to_vec(),
        valid_until_millis,
    };
    let answer = ask!(portal, narrow_consent, "NarrowConsent", request)?;
    let text = format!(
        "narrower from now on; the new statement to keep:\n{}",
        answer.statement_jws
    );
    Ok(Answer::new(
        text,
        json!({ "statement": answer.statement_jws }),
    ))
}

async fn stop(portal: &mut Portal, person: &Person, consent: &str) -> Result<Answer, CliError> {
    let record_id = consent_id(consent)?.bytes().to_vec();
    let request = message::StopConsentRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        request_id: request_id(),
        record_id,
    };
    let answer = ask!(portal, stop_consent, "StopConsent", request)?;
    let text = format!(
        "stopped: nothing is handed over on it from now on.\nThe statement to keep:\n{}",
        answer.statement_jws
    );
    Ok(Answer::new(
        text,
        json!({ "statement": answer.statement_jws }),
    ))
}

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

fn asked(portal: &Portal, exchange: &Exchange) -> message::GiveConsentRequest {
    message::GiveConsentRequest {
        request_id: request_id(),
        sender: portal.party(&exchange.from),
        recipient: portal.party(&exchange.to),
        purpose: exchange.purpose.clone(),
        ..message::GiveConsentRequest::default()
    }
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
    let stop_code = (!refused).then_some(answer.stop_code.as_str());
    Ok(chosen(&id, stop_code, &answer.statement_jws))
}

/// What the person takes home: the stop code, of a consent that was given, and the statement.
pub(super) fn chosen(id: &str, stop_code: Option<&str>, statement: &str) -> Answer {
    let text = match stop_code {
        None => format!(
            "noted that the answer is no ({id}); it has no consequence.\nThe statement to keep:\n{statement}"
        ),
        Some(code) => format!(
            "given: {id}\nstop code: {code}  (stops it at once, without a login; keep it)\n\
             The statement to keep (SHA-256 {}):\n{statement}",
            rules::hex::encode(&sha256(statement.as_bytes())),
        ),
    };
    let code = stop_code.unwrap_or_default();
    Answer::new(
        text,
        json!({ "consent_id": id, "stop_code": code, "statement": statement }),
    )
}

fn list(portal: &Portal, consents: &[ConsentRecord]) -> Answer {
    let shown: Vec<(String, Value)> = consents.iter().map(|record| one(portal, record)).collect();
    let text = if shown.is_empty() {
        "no consents".to_owned()
    } else {
        let blocks: Vec<_> = shown.iter().map(|(text, _)| text.as_str()).collect();
        blocks.join("\n")
    };
    let values: Vec<_> = shown.into_iter().map(|(_, value)| value).collect();
    Answer::new(text, json!({ "consents": values }))
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
    language: &str,
) -> Result<message::GetOverviewResponse, CliError> {
    let request = message::GetOverviewRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        language: language.to_owned(),
    };
    ask!(portal, get_overview, "GetOverview", request)
}

async fn overview(sandbox: &Path, person: &Person, language: &str) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let overview = read(&mut portal, person, language).await?;
    let lines: Vec<String> = overview
        .lines
        .iter()
        .map(|line| {
            let remedy = match remedy(line) {
                (Some(handover), _) => format!("  [{handover}]"),
                (_, Some(consent)) => format!("  [{consent}]"),
                (None, None) => String::new(),
            };
            format!("{}  {}{remedy}", moment(line.time_millis), line.sentence)
        })
        .collect();
    let text = if lines.is_empty() {
        "nothing has happened with this person's data".to_owned()
    } else {
        lines.join("\n")
    };
    let values: Vec<_> = overview
        .lines
        .iter()
        .map(|line| {
            let (handover, consent) = remedy(line);
            json!({
                "time_millis": line.time_millis, "sentence": line.sentence,
                "handover_id": handover.map(|id| id.to_string()),
                "consent_id": consent.map(|id| id.to_string()),
            })
        })
        .collect();
    Ok(Answer::new(text, json!({ "lines": values })))
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
    let id: HandoverId = handover.parse().map_err(|_| {
        CliError::usage(
            "that is no handover's id",
            "give `hnd_` and 32 digits, as `overview` prints it",
        )
    })?;
    let mut portal = Portal::open(sandbox)?;
    let request = message::ObjectRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        request_id: request_id(),
        handover_id: id.bytes().to_vec(),
        restrict,
    };
    let answer = ask!(portal, object, "Object", request)?;
    Ok(Answer::new(
        format!(
            "noted at {}: nothing is released or fetched until the privacy officer has decided",
            moment(answer.time_millis)
        ),
        json!({ "time_millis": answer.time_millis }),
    ))
}

async fn block(sandbox: &Path, person: &Person, text: &str) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let request = message::BlockOrganisationRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        request_id: request_id(),
        oin: portal.oin(text),
    };
    let answer = ask!(portal, block_organisation, "BlockOrganisation", request)?;
    Ok(Answer::new(
        format!(
            "blocked; {} consents were stopped by it",
            answer.stopped_consents
        ),
        json!({ "stopped_consents": answer.stopped_consents }),
    ))
}

async fn link(sandbox: &Path, person: &Person, text: &str) -> Result<Answer, CliError> {
    let mut portal = Portal::open(sandbox)?;
    let request = message::MakeLinkCodeRequest {
        session: portal.login(&digits(&person.bsn)?).await?,
        oin: portal.oin(text),
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
