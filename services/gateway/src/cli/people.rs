//! People: making them known to this desk, by number, by code or without either, and asking for consent.
//!
//! Must never keep, print or repeat a number: it is hashed and encrypted by the client library.

use super::assist::{category_of, purpose_of, register};
use super::error::CliError;
use super::output::{Answer, quoted, sentences};
use super::prompt;
use super::session::Session;
use client::{Client, PersonKey, PersonKeyError};
use rules::reason::{Reason, Refusal};
use rules::secret::Secret;
use serde_json::json;
use vault::pseudonym::Bsn;

/// Makes a person known: by number, or without one (a member who has no DigiD: the pseudonym is drawn here and is
/// nobody's elsewhere). A key that stands for another person does so until it is said that it is replaced.
///
/// # Errors
///
/// As the call.
pub(super) async fn enrol(
    session: &Session,
    person: &str,
    bsn: Option<&str>,
    replace: bool,
) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    let number = bsn.map(number).transpose()?;
    let client = client_of(session, replace);
    client.open_context().await?;
    let Some(number) = number else {
        client.enrol_without_number(&key).await?;
        let text = format!(
            "{person} is enrolled with a random pseudonym, made here from no number.\n\
             You can hand this person over on their consent; nobody can hand them over\nto you."
        );
        return Ok(Answer::new(
            text,
            json!({ "person": person, "enrolled": true }),
        ));
    };
    let enrolled = client.enrol(&[(key, number)]).await?;
    let Some(one) = enrolled.into_iter().next() else {
        return Err(CliError::usage("the gateway answered nothing", "try again"));
    };
    if let Some(reason) = one.refused {
        return Err(CliError::Person(reason.into()));
    }
    let also = one.also.as_ref().map(PersonKey::expose);
    let mut text = format!(
        "{person} is enrolled: your own pseudonym is kept here under your own key.\n\
         The number was hashed and encrypted here and has not left this program."
    );
    if let Some(also) = also {
        text.push_str(&sentences(&format!(
            "\nlook: `{}` and `{}` have the same number here. Both are kept; a dossier of this person comes under the \
             first of them in the alphabet.",
            quoted(also),
            quoted(person)
        )));
    }
    let json = json!({ "person": person, "enrolled": true, "same_number_as": also });
    Ok(Answer::new(text, json))
}

/// The session's client, for which a key may come to stand for another person where that was said.
fn client_of(session: &Session, replace: bool) -> Client {
    if replace {
        session.client.replacing()
    } else {
        session.client.clone()
    }
}

/// The desk's own key for a person.
///
/// # Errors
///
/// When it is none.
pub(super) fn person_key(text: &str) -> Result<PersonKey, CliError> {
    PersonKey::new(text).map_err(|error| match error {
        PersonKeyError::Bsn { at } => CliError::NotAllowed(Refusal::about(
            Reason::BsnInText,
            "person",
            format!(
                "looks like a BSN from character {at} on; use a key of your own administration. If it is one that only \
                 looks so, put one more digit before it"
            ),
        )),
        error => CliError::usage(error.to_string(), "use your own key for this person"),
    })
}

/// The number, typed unseen or from standard input. Never repeated in an error.
fn number(text: &str) -> Result<Bsn, CliError> {
    let digits = digits(text)?;
    digits.expose().parse().map_err(|error| bad_number(&error))
}

/// The number's digits, typed unseen or from standard input, tested here.
///
/// # Errors
///
/// When they stand on the command line, cannot be read or are no number.
pub(crate) fn digits(text: &str) -> Result<Secret<String>, CliError> {
    if text != "-" {
        return Err(CliError::usage(
            "a BSN is not taken from the command line: the shell's history and the list of processes keep it",
            "give `--bsn -`; then it is asked for and typed unseen, or read from standard input. Remove it from the history",
        ));
    }
    let typed = prompt::unseen("BSN (not shown): ").map_err(|source| CliError::File {
        path: "standard input".into(),
        source,
    })?;
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
    let recipient = session.party(to)?;
    let register = register(&session.sandbox)?;
    let purpose = purpose_of(&register, purpose)?;
    let categories = categories.iter().map(|text| category_of(&register, text));
    let categories = categories.collect::<Result<Vec<_>, _>>()?;
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
    replace: bool,
) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    let code = code.parse().map_err(|error: rules::consent::CodeError| {
        CliError::usage(error.to_string(), "read it again from the portal")
    })?;
    let client = client_of(session, replace);
    client.open_context().await?;
    client.redeem_link(&key, &code).await?;
    Ok(Answer::new(
        format!("{person} is linked: your own pseudonym is kept here under your own key"),
        json!({ "person": person, "linked": true }),
    ))
}
