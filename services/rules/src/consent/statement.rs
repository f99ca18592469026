//! The consent statement (toestemmingsverklaring): what the person keeps and what is signed, as canonical
//! JSON (RFC 8785) in the names of ISO/IEC TS 27560 and DPV.
//!
//! Must never accept two texts for one statement: what is read must come out again octet for octet.

use super::record::{
    AuthenticationLevel, CollectionMethod, ConsentRecord, Language, NoticeSeen, SecrecyWaiver,
    codes,
};
use super::{ConsentState, StopCode};
use crate::clock::Timestamp;
use crate::hex;
use crate::id::{Category, DeskName, Oin, OrderId};
use crate::json::canonical;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::str::FromStr;

/// Version of this form.
const SCHEMA_VERSION: &str = "1";
/// Consent as the lawful basis (AVG article 6(1)(a)), in DPV's spelling.
const LAWFUL_BASIS: &str = "eu-gdpr:A6-1-a";
/// Explicit consent for special categories (AVG article 9(2)(a)).
pub(super) const SPECIAL_BASIS: &str = "eu-gdpr:A9-2-a";
/// Largest number, either way from nought.
const NUMBER_MAX: u64 = (1 << 53) - 1;

codes!(
    /// What happened to the record.
    StatementEvent {
        /// It was given.
        Given = "consent_given",
        /// It was refused.
        Refused = "consent_refused",
        /// It was made narrower.
        Narrowed = "consent_narrowed",
        /// It was withdrawn.
        Withdrawn = "consent_withdrawn",
        /// It came to its end.
        Expired = "consent_expired",
    }
);

/// A statement: the record as it stands after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The record.
    pub record: ConsentRecord,
    /// What happened to it.
    pub event: StatementEvent,
    /// When.
    pub event_time: Timestamp,
    /// The desk that wrote it down: the portal's, or the one that helped.
    pub entity: (Oin, DeskName),
    /// The order that it came with, for a new record.
    pub order: Option<OrderId>,
    /// The code that stops it, for a record that permits.
    pub stop_code: Option<StopCode>,
}

/// Why a text is not a statement. Never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {wrong}")]
pub struct StatementError {
    /// Which member.
    pub field: String,
    /// What is wrong with it.
    pub wrong: String,
}

fn wrong(field: &str, wrong: &str) -> StatementError {
    StatementError {
        field: field.to_owned(),
        wrong: wrong.to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementFile {
    schema_version: String,
    record_id: String,
    pii_principal_id: String,
    privacy_notice: NoticeFile,
    sender: String,
    recipient: String,
    purpose: String,
    lawful_basis: String,
    special_basis: String,
    secrecy_waiver: Option<WaiverFile>,
    pii_information: Vec<InformationFile>,
    pii_controllers: Vec<ControllerFile>,
    collection_method: String,
    authentication_level: String,
    assisted_by: String,
    reflection_offered: bool,
    valid_from: i64,
    valid_until: i64,
    state: String,
    version: u64,
    supersedes: String,
    event: EventFile,
    order_id: String,
    stop_code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeFile {
    uri: String,
    version: u32,
    sha256: String,
    language: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiverFile {
    ground: String,
    text_sha256: String,
    given_at: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InformationFile {
    category: String,
    special: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControllerFile {
    oin: String,
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventFile {
    event_type: String,
    event_time: i64,
    entity: String,
}

impl Statement {
    /// The statement as it is signed.
    #[must_use]
    pub fn canonical_json(&self) -> Vec<u8> {
        canonical(&self.value()).into_bytes()
    }

    fn value(&self) -> Value {
        let record = &self.record;
        let information: Vec<Value> = record
            .categories
            .iter()
            .map(|category| {
                let special = record.special.contains(category);
                json!({ "category": category.to_string(), "special": special })
            })
            .collect();
        let waiver = record.waiver.as_ref().map(|waiver| {
            json!({
                "ground": waiver.ground,
                "text_sha256": hex::encode(&waiver.text_sha256),
                "given_at": waiver.given_at.millis(),
            })
        });
        json!({
            "schema_version": SCHEMA_VERSION,
            "record_id": record.id.to_string(),
            "pii_principal_id": record.id.to_string(),
            "privacy_notice": {
                "uri": record.notice.uri,
                "version": record.notice.version,
                "sha256": hex::encode(&record.notice.sha256),
                "language": record.notice.language.code(),
            },
            "sender": record.sender.to_string(),
            "recipient": record.recipient.to_string(),
            "purpose": record.purpose.to_string(),
            "lawful_basis": LAWFUL_BASIS,
            "special_basis": record.special_basis(),
            "secrecy_waiver": waiver,
            "pii_information": information,
            "pii_controllers": [
                { "oin": record.sender.oin.to_string(), "role": "sender" },
                { "oin": record.recipient.oin.to_string(), "role": "recipient" },
            ],
            "collection_method": record.method.code(),
            "authentication_level": record.authentication_level.code(),
            "assisted_by": record.assisted_by.as_ref().map(desk_text).unwrap_or_default(),
            "reflection_offered": record.reflection_offered,
            "valid_from": record.valid_from.millis(),
            "valid_until": record.valid_until.millis(),
            "state": record.state.code(),
            "version": record.version,
            "supersedes": text(record.supersedes.as_ref()),
            "event": {
                "event_type": self.event.code(),
                "event_time": self.event_time.millis(),
                "entity": desk_text(&self.entity),
            },
            "order_id": text(self.order.as_ref()),
            "stop_code": self.stop_code.as_ref().map(StopCode::shown).unwrap_or_default(),
        })
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// When a member is missing, unknown, doubled or wrong, or the text is not the canonical one.
    pub fn parse(octets: &[u8]) -> Result<Self, StatementError> {
        let file: StatementFile = serde_json::from_slice(octets)
            .map_err(|error| wrong("json", &format!("is not a statement: {}", kind_of(&error))))?;
        let statement = read(file)?;
        // INVARIANT: this finds all that the reader is lenient about: order, spaces, spelling of text and
        // numbers, and a waiver that is absent where it should be null.
        if statement.canonical_json() == octets {
            Ok(statement)
        } else {
            Err(wrong("json", "is not canonical (RFC 8785)"))
        }
    }
}

/// What is wrong with the JSON, without its values.
fn kind_of(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "not JSON",
        serde_json::error::Category::Data => {
            "a member is missing, unknown, doubled or of another kind"
        }
        serde_json::error::Category::Io => "cannot be read",
    }
}

fn desk_text((oin, desk): &(Oin, DeskName)) -> String {
    format!("{oin}/{desk}")
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn parse<T: FromStr>(field: &str, text: &str) -> Result<T, StatementError> {
    text.parse()
        .map_err(|_| wrong(field, "does not have the form of its kind"))
}

fn optional<T: FromStr>(field: &str, text: &str) -> Result<Option<T>, StatementError> {
    match text {
        "" => Ok(None),
        text => parse(field, text).map(Some),
    }
}

fn digest(field: &str, text: &str) -> Result<[u8; 32], StatementError> {
    hex::decode(text)
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| wrong(field, "is not 64 lowercase hexadecimal digits"))
}

fn desk(field: &str, text: &str) -> Result<(Oin, DeskName), StatementError> {
    let (oin, desk) = text
        .split_once('/')
        .ok_or_else(|| wrong(field, "is not <OIN>/<desk>"))?;
    Ok((parse(field, oin)?, parse(field, desk)?))
}

fn code<T>(field: &str, found: Option<T>) -> Result<T, StatementError> {
    found.ok_or_else(|| wrong(field, "is not in its list"))
}

fn same(field: &str, got: &str, expected: &str) -> Result<(), StatementError> {
    if got == expected {
        Ok(())
    } else {
        Err(wrong(field, "is not what it must be in this statement"))
    }
}

/// A number that every reader of JSON reads alike (RFC 8785 rests on I-JSON, RFC 7493 section 2.2).
fn exact(field: &str, number: u64) -> Result<(), StatementError> {
    if number <= NUMBER_MAX {
        Ok(())
    } else {
        Err(wrong(field, "is larger than 2^53 - 1"))
    }
}

fn moment(field: &str, millis: i64) -> Result<Timestamp, StatementError> {
    exact(field, millis.unsigned_abs())?;
    Ok(Timestamp::from_millis(millis))
}

fn read(file: StatementFile) -> Result<Statement, StatementError> {
    same("schema_version", &file.schema_version, SCHEMA_VERSION)?;
    same("lawful_basis", &file.lawful_basis, LAWFUL_BASIS)?;
    same("pii_principal_id", &file.pii_principal_id, &file.record_id)?;
    let record = record(&file)?;
    same("special_basis", &file.special_basis, record.special_basis())?;
    let roles = [
        (record.sender.oin.as_str(), "sender"),
        (record.recipient.oin.as_str(), "recipient"),
    ];
    let named = file.pii_controllers.iter();
    if !named
        .map(|one| (one.oin.as_str(), one.role.as_str()))
        .eq(roles)
    {
        return Err(wrong(
            "pii_controllers",
            "must be the one sender and the one recipient",
        ));
    }
    let event = file.event;
    Ok(Statement {
        event: code(
            "event.event_type",
            StatementEvent::from_code(&event.event_type),
        )?,
        event_time: moment("event.event_time", event.event_time)?,
        entity: desk("event.entity", &event.entity)?,
        order: optional("order_id", &file.order_id)?,
        stop_code: optional("stop_code", &file.stop_code)?,
        record,
    })
}

fn record(file: &StatementFile) -> Result<ConsentRecord, StatementError> {
    exact("version", file.version)?;
    let (categories, special) = categories(&file.pii_information)?;
    let method = CollectionMethod::from_code(&file.collection_method);
    let level = AuthenticationLevel::from_code(&file.authentication_level);
    let assisted_by = match file.assisted_by.as_str() {
        "" => None,
        text => Some(desk("assisted_by", text)?),
    };
    Ok(ConsentRecord {
        id: parse("record_id", &file.record_id)?,
        notice: notice(&file.privacy_notice)?,
        sender: parse("sender", &file.sender)?,
        recipient: parse("recipient", &file.recipient)?,
        purpose: parse("purpose", &file.purpose)?,
        waiver: file.secrecy_waiver.as_ref().map(waiver).transpose()?,
        categories,
        special,
        method: code("collection_method", method)?,
        authentication_level: code("authentication_level", level)?,
        assisted_by,
        reflection_offered: file.reflection_offered,
        valid_from: moment("valid_from", file.valid_from)?,
        valid_until: moment("valid_until", file.valid_until)?,
        state: code("state", ConsentState::from_code(&file.state))?,
        version: file.version,
        supersedes: optional("supersedes", &file.supersedes)?,
    })
}

fn notice(file: &NoticeFile) -> Result<NoticeSeen, StatementError> {
    let language = Language::from_code(&file.language);
    Ok(NoticeSeen {
        uri: file.uri.clone(),
        version: file.version,
        sha256: digest("privacy_notice.sha256", &file.sha256)?,
        language: code("privacy_notice.language", language)?,
    })
}

fn waiver(file: &WaiverFile) -> Result<SecrecyWaiver, StatementError> {
    Ok(SecrecyWaiver {
        ground: file.ground.clone(),
        text_sha256: digest("secrecy_waiver.text_sha256", &file.text_sha256)?,
        given_at: moment("secrecy_waiver.given_at", file.given_at)?,
    })
}

/// All categories, and those of them that are marked special.
fn categories(
    files: &[InformationFile],
) -> Result<(BTreeSet<Category>, BTreeSet<Category>), StatementError> {
    let mut categories = BTreeSet::new();
    let mut special = BTreeSet::new();
    for file in files {
        let category: Category = parse("pii_information", &file.category)?;
        if file.special {
            special.insert(category.clone());
        }
        if !categories.insert(category) {
            return Err(wrong("pii_information", "names a category twice"));
        }
    }
    Ok((categories, special))
}
