//! A person's choice at a desk: written down, signed by the desk and registered, with the person beside it.
//!
//! Must never fill in what the person did not say: what is not typed comes from the register.

use super::arguments::AssistedChoice;
use super::day::end_of;
use super::error::CliError;
use super::identity::Identity;
use super::near::unknown;
use super::output::Answer;
use super::people::person_key;
use super::person::chosen;
use super::session::Session;
use super::statement::keep;
use crate::clock::SystemClock;
use client::Client;
use papers::author::{Author, Choice, Place};
use rules::clock::{Clock as _, Random as _, Timestamp};
use rules::consent::{AuthenticationLevel, Language, Statement, StopCode};
use rules::id::{Category, ConsentId, Purpose};
use rules::register::Register;
use std::collections::BTreeSet;
use std::path::Path;
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
    let place = if choice.by_phone {
        Place::Phone
    } else {
        Place::Desk
    };
    let level = AuthenticationLevel::from_code(&choice.level).ok_or_else(|| {
        CliError::usage(
            format!("`{}` is no level", choice.level),
            "use low, substantial, high or test",
        )
    })?;
    let choice = read(session, choice)?;
    let draft = Draft {
        client: &session.client,
        identity: &session.identity,
        sandbox: &session.sandbox,
        place,
        level,
    };
    let statement = draft.statement(&choice).await?;
    let registered = session.client.assist_consent(&key, &statement).await?;
    let code = statement.stop_code.as_ref().map(StopCode::shown);
    let id = statement.record.id.to_string();
    let statement = registered.statement_jws.as_str();
    let kept = keep(&session.sandbox, &id, statement);
    Ok(chosen(&id, code.as_deref(), (statement, &kept)))
}

/// A desk that is about to write down a choice.
pub(crate) struct Draft<'a> {
    /// The desk's client.
    pub(crate) client: &'a Client,
    /// The desk's settings.
    pub(crate) identity: &'a Identity,
    /// The sandbox, in which the register lies.
    pub(crate) sandbox: &'a Path,
    /// Where the person is.
    pub(crate) place: Place,
    /// How sure it is who the person is.
    pub(crate) level: AuthenticationLevel,
}

impl Draft<'_> {
    /// The statement, with a new id and a new stop code.
    ///
    /// # Errors
    ///
    /// What the broker would refuse, or when the register or the directory cannot be had.
    pub(crate) async fn statement(&self, choice: &Choice) -> Result<Statement, CliError> {
        let register = register(self.sandbox)?;
        let directory = self.client.directory().await?;
        let (Ok(oin), Ok(desk)) = (self.identity.oin.parse(), self.identity.desk.parse()) else {
            let wrong = "this identity is no desk";
            return Err(CliError::usage(wrong, "use --as with another name"));
        };
        let desk = (oin, desk);
        let author = Author {
            desk: &desk,
            place: self.place,
            level: self.level,
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
            .given(choice, id, None, &random)
            .map_err(CliError::NotAllowed)
    }
}

/// The choice in words, as what it stands for.
fn read(session: &Session, choice: &AssistedChoice) -> Result<Choice, CliError> {
    let register = register(&session.sandbox)?;
    let categories = choice.categories.iter();
    Ok(Choice {
        sender: session.client.party().clone(),
        recipient: session.party(&choice.to)?,
        purpose: purpose_of(&register, &choice.purpose)?,
        categories: categories
            .map(|text| category_of(&register, text))
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

/// A purpose of the register.
///
/// # Errors
///
/// When it has none of that name: with those that are near, or all there are.
pub(super) fn purpose_of(register: &Register, text: &str) -> Result<Purpose, CliError> {
    let known: BTreeSet<&Purpose> = register.entries().map(|entry| &entry.purpose).collect();
    let found = known.iter().find(|purpose| purpose.as_str() == text);
    let names = known.iter().map(|purpose| purpose.as_str());
    found
        .map(|purpose| (**purpose).clone())
        .ok_or_else(|| unknown("purpose", text, names))
}

/// A category of the register.
///
/// # Errors
///
/// As [`purpose_of`].
pub(super) fn category_of(register: &Register, text: &str) -> Result<Category, CliError> {
    let known = register.categories();
    let found = known.keys().find(|category| category.as_str() == text);
    let names = known.keys().map(|category| category.as_str());
    found
        .map(|category| (**category).clone())
        .ok_or_else(|| unknown("category", text, names))
}

/// The register as this desk has it; the broker decides on its own.
pub(super) fn register(sandbox: &Path) -> Result<Register, CliError> {
    let path = sandbox.join("policies/register.toml");
    let text = std::fs::read_to_string(&path).map_err(|source| CliError::File {
        path: path.clone(),
        source,
    })?;
    Register::parse("register.toml", &text).map_err(|errors| CliError::Toml {
        message: errors.first().map(ToString::to_string).unwrap_or_default(),
        path,
    })
}
