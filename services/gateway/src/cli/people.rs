//! People: making them known to this desk, by number, by code or without either, and asking for consent.
//!
//! Must never keep, print or repeat a number: it is hashed and encrypted by the client library.

use super::error::CliError;
use super::output::Answer;
use super::session::Session;
use client::PersonKey;
use rules::secret::Secret;
use serde_json::json;
use vault::pseudonym::Bsn;

/// Makes a person known by number.
///
/// # Errors
///
/// As the call.
pub(super) async fn enrol(session: &Session, person: &str, bsn: &str) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    let number = number(bsn)?;
    session.client.open_context().await?;
    let enrolled = session.client.enrol(&[(key, number)]).await?;
    match enrolled.first().map(|one| one.refused) {
        Some(None) => Ok(Answer::new(
            format!(
                "{person} is enrolled: your own pseudonym is kept here under your own key.\n\
                 The number was hashed and encrypted here and has not left this program."
            ),
            json!({ "person": person, "enrolled": true }),
        )),
        Some(Some(reason)) => Err(CliError::Person(reason)),
        None => Err(CliError::usage("the gateway answered nothing", "try again")),
    }
}

/// A member without DigiD: the pseudonym is drawn here and is nobody's elsewhere.
pub(super) async fn enrol_without_number(
    session: &Session,
    person: &str,
) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    session.client.open_context().await?;
    session.client.enrol_without_number(&key).await?;
    Ok(Answer::new(
        format!(
            "{person} is enrolled with a random pseudonym, made here from no number.\n\
             You can hand this person over on their consent; nobody can hand them over to you."
        ),
        json!({ "person": person, "enrolled": true }),
    ))
}

/// The desk's own key for a person.
///
/// # Errors
///
/// When it is none.
pub(super) fn person_key(text: &str) -> Result<PersonKey, CliError> {
    PersonKey::new(text).ok_or_else(|| {
        CliError::usage(
            "that is no person key",
            "use 1 to 128 bytes without control characters",
        )
    })
}

/// The number, from the command line or from standard input. Never repeated in an error.
fn number(text: &str) -> Result<Bsn, CliError> {
    let digits = digits(text)?;
    digits.expose().parse().map_err(|error| bad_number(&error))
}

/// The number's digits, from the command line or from standard input, tested here.
///
/// # Errors
///
/// When they cannot be read or are no number.
pub(crate) fn digits(text: &str) -> Result<Secret<String>, CliError> {
    let mut typed = Secret::new(text.to_owned());
    if text == "-" {
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .map_err(|source| CliError::File {
                path: "standard input".into(),
                source,
            })?;
        typed = Secret::new(line);
    }
    let digits = Secret::new(typed.expose().trim().to_owned());
    let tested: Result<Bsn, _> = digits.expose().parse();
    tested.map(|_| digits).map_err(|error| bad_number(&error))
}

fn bad_number(error: &vault::pseudonym::BsnError) -> CliError {
    CliError::usage(error.to_string(), "nothing was sent; check the number")
}

/// Asks a person for consent.
///
/// # Errors
///
/// As the call.
pub(super) async fn ask_consent(
    session: &Session,
    person: &str,
    to: &str,
    (purpose, categories): (&str, &[String]),
) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    let wrong = |what: &str| {
        CliError::usage(
            format!("that is no {what}"),
            "see policies/register.toml for purposes and categories",
        )
    };
    let recipient = session.party(to)?;
    let purpose = purpose.parse().map_err(|_| wrong("purpose"))?;
    let categories = categories
        .iter()
        .map(|text| text.parse().map_err(|_| wrong("category")))
        .collect::<Result<Vec<_>, _>>()?;
    let asked = session
        .client
        .request_consent(&key, &recipient, &purpose, &categories)
        .await?;
    Ok(Answer::new(
        format!(
            "asked ({}). When consent is given, READY comes in the inbox and names it; if not, nothing does.",
            asked.id
        ),
        json!({ "question_id": asked.id.to_string() }),
    ))
}

/// Keeps the pseudonym of a member who read out a code.
///
/// # Errors
///
/// As the call.
pub(super) async fn redeem_link(
    session: &Session,
    person: &str,
    code: &str,
) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    let code = code.parse().map_err(|error: rules::consent::CodeError| {
        CliError::usage(error.to_string(), "read it again from the portal")
    })?;
    session.client.open_context().await?;
    session.client.redeem_link(&key, &code).await?;
    Ok(Answer::new(
        format!("{person} is linked: your own pseudonym is kept here under your own key"),
        json!({ "person": person, "linked": true }),
    ))
}
