//! A person's choice at a desk: written down, signed by the desk and registered, with the person beside it.
//!
//! Must never fill in what the person did not say: what is not typed comes from the register.

use super::arguments::AssistedChoice;
use super::error::CliError;
use super::output::Answer;
use super::people::person_key;
use super::person::{chosen, end_of};
use super::session::Session;
use crate::clock::SystemClock;
use counter::consent::author::{Author, Choice, Place};
use rules::clock::{Clock as _, Random as _, Timestamp};
use rules::consent::{AuthenticationLevel, Language, Statement, StopCode};
use rules::id::ConsentId;
use rules::register::Register;
use vault::chance::SystemChance;

/// Registers what the person chose.
///
/// # Errors
///
/// As the call, or when something typed is wrong.
pub(super) async fn assist_consent(
    session: &Session,
    person: &str,
    choice: &AssistedChoice,
) -> Result<Answer, CliError> {
    let key = person_key(person)?;
    let statement = statement(session, choice).await?;
    let registered = session.client.assist_consent(&key, &statement).await?;
    let code = statement.stop_code.as_ref().map(StopCode::shown);
    let id = statement.record.id.to_string();
    Ok(chosen(&id, code.as_deref(), &registered.statement_jws))
}

async fn statement(session: &Session, choice: &AssistedChoice) -> Result<Statement, CliError> {
    let register = register(session)?;
    let directory = session.client.directory().await?;
    let identity = &session.identity;
    let own = CliError::usage("this identity is no desk", "use --as with another name");
    let desk = match (identity.oin.parse(), identity.desk.parse()) {
        (Ok(oin), Ok(desk)) => (oin, desk),
        _ => return Err(own),
    };
    let author = Author {
        desk: &desk,
        place: if choice.by_phone {
            Place::Phone
        } else {
            Place::Desk
        },
        level: AuthenticationLevel::from_code(&choice.level).ok_or_else(|| {
            CliError::usage(
                format!("`{}` is no level", choice.level),
                "use low, substantial, high or test",
            )
        })?,
        directory: directory.directory(),
        register: &register,
        now: SystemClock.now(),
    };
    let random = SystemChance::new();
    let mut octets = [0; 16];
    random.fill(&mut octets);
    let id = ConsentId::from_slice(&octets)
        .ok_or_else(|| CliError::usage("no id could be drawn", "try again"))?;
    author
        .given(&read(session, choice)?, id, None, &random)
        .map_err(CliError::NotAllowed)
}

/// The choice in words, as what it stands for.
fn read(session: &Session, choice: &AssistedChoice) -> Result<Choice, CliError> {
    let wrong = |what: &str| {
        CliError::usage(
            format!("that is no {what}"),
            "see policies/register.toml for purposes and categories",
        )
    };
    let categories = choice.categories.iter();
    Ok(Choice {
        sender: session.client.party().clone(),
        recipient: session.party(&choice.to)?,
        purpose: choice.purpose.parse().map_err(|_| wrong("purpose"))?,
        categories: categories
            .map(|text| text.parse().map_err(|_| wrong("category")))
            .collect::<Result<_, _>>()?,
        valid_until: match &choice.until {
            Some(day) => Timestamp::from_millis(end_of(day)?),
            None => SystemClock.now(),
        },
        refused: choice.refuse,
        secrecy_waived: choice.waive_secrecy,
        language: Language::from_code(&choice.lang).ok_or_else(|| {
            CliError::usage(format!("`{}` is no language", choice.lang), "use nl or en")
        })?,
    })
}

/// The register as this desk has it; the broker decides on its own.
fn register(session: &Session) -> Result<Register, CliError> {
    let path = session.sandbox.join("policies/register.toml");
    let text = std::fs::read_to_string(&path).map_err(|source| CliError::File {
        path: path.clone(),
        source,
    })?;
    Register::parse("register.toml", &text).map_err(|errors| CliError::Toml {
        message: errors.first().map(ToString::to_string).unwrap_or_default(),
        path,
    })
}
