//! The two parts of a line as canonical JSON (RFC 8785), under the names of LDV and ADL and our own.
//!
//! The open part is what those who had a share in the call were told; it is what is hashed as a leaf. The
//! closed part is the rest: what depends on the person, and what nobody was told. Every line has both, and the
//! closed one has always the same members and a length that tells nothing. Must never put into the open part
//! what the caller, or a side that reads it, was not told.

use super::{Audience, Determining, Entry, EntryTooLong, Subject};
use crate::hex;
use crate::json::canonical;
use crate::limits::{CLOSED_PADDING_BYTES, ENTRY_BYTES_MAX};
use crate::reason::Reason;
use serde_json::{Map, Value, json};

/// Name of the open part's attribute that holds the SHA-256 of the closed part's octets.
pub const CLOSED_SHA256: &str = "handover.closed_sha256";
/// URI of our kind of subject tag (`dpl.core.data_subject_id_type`).
const SUBJECT_TYPE: &str = "urn:sluis:subject-tag:relation:1";
/// Beginning of the URI of the gateway's own work; the action's name follows.
const OWN_ACTIVITY: &str = "urn:sluis:activity:gateway:1:";
/// LDV's name of the processing activity, which no line may lack.
const ACTIVITY: &str = "dpl.core.processing_activity_id";
/// Name of the event of a decision, from the Authorization Decision Log.
const EVENT_NAME: &str = "adl.access_evaluation";

/// An attribute that stands in the open part or in the closed one, as the line was told.
struct Attribute {
    name: &'static str,
    /// Whether the caller itself said it, so that it knows it also when it was told nothing.
    asked: bool,
    value: Option<Value>,
}

const fn asked(name: &'static str, value: Option<Value>) -> Attribute {
    Attribute {
        name,
        asked: true,
        value,
    }
}

const fn found(name: &'static str, value: Option<Value>) -> Attribute {
    Attribute {
        name,
        asked: false,
        value,
    }
}

impl Attribute {
    fn is_open(&self, audience: Audience) -> bool {
        match audience {
            Audience::Sides | Audience::Sender => true,
            Audience::Nobody => self.asked,
            Audience::Caller => false,
        }
    }
}

impl Entry {
    /// The closed part: with a nonce of its own, and padded.
    ///
    /// # Errors
    /// When it is longer than the log can take.
    pub fn closed_part(&self) -> Result<Vec<u8>, EntryTooLong> {
        let subject = &self.subject;
        let code = subject.codes.first().map(|code| json!(code.code()));
        let (consent, version) = subject.consent.unzip();
        let person = subject.person.map(|tag| json!(hex::encode(tag.bytes())));
        let kind = subject.person.map(|_| json!(SUBJECT_TYPE));
        let never_open = [
            ("dpl.core.data_subject_id", person),
            ("dpl.core.data_subject_id_type", kind),
            ("handover.code", code),
            ("handover.consent", text(consent)),
            ("handover.consent_version", version.map(Value::from)),
        ];
        let closed = self.told_attributes().into_iter().map(|attribute| {
            let value = attribute.value.clone();
            let value = value.filter(|_| !attribute.is_open(subject.audience));
            (attribute.name, value)
        });
        // A member that has nothing to say is there all the same.
        let attributes: Map<String, Value> = closed
            .chain(never_open)
            .map(|(name, value)| (name.to_owned(), value.unwrap_or(Value::Null)))
            .collect();
        let part = |padding: String| {
            let response = response(subject, &subject.codes, subject.determining.iter());
            canonical(&json!({
                "attributes": attributes,
                "body": { "adl.core.response": response },
                "entry_id": self.id.to_string(),
                "nonce": hex::encode(&self.closed_nonce),
                "padding": padding,
            }))
        };
        let bare = part(String::new()).len();
        let padded = bare.next_multiple_of(CLOSED_PADDING_BYTES);
        checked(part("0".repeat(padded.saturating_sub(bare))))
    }

    /// The open part, with the digest of the closed one: it is these octets that are hashed as a leaf.
    ///
    /// # Errors
    /// When it is longer than a tile's bundle can hold (64 KiB).
    pub fn open_part(&self, closed_sha256: &[u8; 32]) -> Result<Vec<u8>, EntryTooLong> {
        let subject = &self.subject;
        let told_code = subject.told_code();
        // A policy is told by its code: what else forbade the exchange, the caller was not told.
        let determining = subject.determining.iter().filter(|policy| {
            subject.audience != Audience::Nobody
                && policy.code == told_code.map_or("", |code| code.code())
        });
        let codes: Vec<Reason> = told_code.into_iter().collect();
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| {
            entry.insert(key.to_owned(), value);
        };
        put("entry_id", json!(self.id.to_string()));
        put("nonce", json!(hex::encode(&self.nonce)));
        put("trace_id", json!(hex::encode(&self.trace.trace_id)));
        put("span_id", json!(hex::encode(&self.trace.span_id)));
        if let Some(parent) = self.trace.parent_span_id {
            put("parent_span_id", json!(hex::encode(&parent)));
        }
        put("name", json!(self.action));
        // A refusal by the rules is no error (LDV 1.0.0; ADL).
        let status = if codes.is_empty() { "Ok" } else { "Unset" };
        put("status", json!(status));
        put("event_name", json!(EVENT_NAME));
        put("timestamp", json!(self.end.millis()));
        put("start_time", json!(self.start.millis()));
        put("end_time", json!(self.end.millis()));
        put("resource", self.resource());
        put("attributes", self.open_attributes(closed_sha256));
        put(
            "body",
            json!({
                "adl.core.request": { "action": { "name": self.action } },
                "adl.core.response": response(subject, &codes, determining),
            }),
        );
        checked(canonical(&Value::Object(entry)))
    }

    fn resource(&self) -> Value {
        json!({
            "service.name": "sluis-broker",
            "service.version": self.written_by.1,
            "handover.operator": self.written_by.0,
            "handover.directory_version": self.directory_version,
        })
    }

    /// What stands in the open part where it was told, and in the closed one where not.
    fn told_attributes(&self) -> [Attribute; 13] {
        let subject = &self.subject;
        let basis = subject.basis.as_ref().map(|(basis, _)| json!(basis));
        let activity = subject.processing_activity.as_ref();
        let policies = subject.policy_set.map(|hash| hex::encode(&hash));
        let statement = subject.statement_sha256.map(|sha256| hex::encode(&sha256));
        [
            asked("handover.sender", text(subject.sender.as_ref())),
            asked("handover.recipient", text(subject.recipient.as_ref())),
            asked("handover.purpose", text(subject.purpose.as_ref())),
            asked("handover.basis", basis),
            asked("handover.statement", text(statement)),
            found(ACTIVITY, text(activity)),
            found(
                "adl.core.policies",
                policies.map(|hash| json!({ "cedar": hash })),
            ),
            found("handover.id", text(subject.handover.as_ref())),
            found("handover.notice", text(subject.notice.as_ref())),
            found("handover.article", text(subject.article())),
            found("handover.categories", subject.labels_value()),
            found("handover.event_code", text(subject.event_code)),
            found("handover.finding", text(subject.finding)),
        ]
    }

    fn open_attributes(&self, closed_sha256: &[u8; 32]) -> Value {
        let told = self.told_attributes().into_iter();
        let told = told
            .filter(|attribute| attribute.is_open(self.subject.audience))
            .map(|attribute| (attribute.name, attribute.value));
        // LDV knows no line without a processing activity: what serves no purpose of the register, or of which
        // nothing was told, is the gateway's own administration.
        let own = format!("{OWN_ACTIVITY}{}", self.action);
        let mut attributes = Map::from_iter([(ACTIVITY.to_owned(), json!(own))]);
        let all = told.chain(self.references()).chain(self.calls_attributes());
        attributes.extend(all.filter_map(|(name, value)| Some((name.to_owned(), value?))));
        let digest = json!(hex::encode(closed_sha256));
        attributes.insert(CLOSED_SHA256.to_owned(), digest);
        Value::Object(attributes)
    }

    /// With these references, and the one to the policy set, a decision can be made again from what is kept (ADL
    /// level 4): to the directory, which has the agreement, and to the engine. A uniform refusal has them always.
    fn references(&self) -> [(&'static str, Option<Value>); 2] {
        let subject = &self.subject;
        let decided = subject.policy_set.is_some() || subject.audience == Audience::Nobody;
        let agreement = format!("directory@{}", self.directory_version);
        let engine = format!("cedar-policy@{}", cedar_policy::get_sdk_version());
        let information = json!({ "agreement": agreement });
        let configuration = json!({ "build": self.written_by.1, "engine": engine });
        [
            ("adl.core.information", decided.then_some(information)),
            ("adl.core.configuration", decided.then_some(configuration)),
        ]
    }

    /// What is open in every line: who called, what it asked of the log or of the door, and what it was told.
    fn calls_attributes(&self) -> [(&'static str, Option<Value>); 18] {
        let subject = &self.subject;
        let caller = format!("{}/{}", self.caller.0, self.caller.1);
        let code = subject.told_code().map(|code| json!(code.code()));
        let (items, refused) = subject.batch.unzip();
        let stranger = subject.stranger.as_ref();
        let certificate = stranger.map(|stranger| hex::encode(&stranger.spki_sha256));
        let searched = subject.searched.as_ref();
        let person = searched.and_then(|it| it.person);
        let from = searched.and_then(|it| it.from);
        let until = searched.and_then(|it| it.until);
        [
            ("handover.caller", Some(json!(caller))),
            ("handover.decision", Some(json!(subject.decision()))),
            ("handover.code", code),
            ("handover.repeat", subject.repeat.then_some(json!(true))),
            ("handover.batch_items", items.map(Value::from)),
            ("handover.batch_refused", refused.map(Value::from)),
            ("handover.batch_reasons", subject.batch_reasons_value()),
            (
                "handover.searched_handover",
                text(searched.and_then(|it| it.handover)),
            ),
            (
                "handover.searched_peer",
                text(searched.and_then(|it| it.peer.as_ref())),
            ),
            (
                "handover.searched_purpose",
                text(searched.and_then(|it| it.purpose.as_ref())),
            ),
            (
                "handover.searched_subject",
                person.map(|tag| json!(hex::encode(tag.bytes()))),
            ),
            (
                "handover.searched_findings",
                searched.filter(|it| it.findings).map(|_| json!(true)),
            ),
            (
                "handover.searched_from",
                from.map(|from| json!(from.millis())),
            ),
            (
                "handover.searched_until",
                until.map(|until| json!(until.millis())),
            ),
            ("handover.entry", text(subject.entry.as_ref())),
            ("handover.organisation", text(subject.organisation.as_ref())),
            (
                "handover.stranger",
                text(stranger.and_then(|stranger| stranger.oin.as_ref())),
            ),
            ("handover.stranger_certificate", text(certificate)),
        ]
    }
}

/// ADL's response, minimised: what was decided, and which policies said so.
fn response<'p>(
    subject: &Subject,
    codes: &[Reason],
    determining: impl Iterator<Item = &'p Determining>,
) -> Value {
    let determining: Vec<Value> = determining
        .map(|policy| {
            json!({
                "policy": policy.policy,
                "effect": if policy.permits { "permit" } else { "forbid" },
                "code": policy.code,
                "article": policy.article,
            })
        })
        .collect();
    let codes: Vec<Value> = codes.iter().map(|code| json!(code.code())).collect();
    json!({
        "decision": subject.codes.is_empty(),
        "context": { "codes": codes, "determining": determining },
    })
}

impl Subject {
    fn batch_reasons_value(&self) -> Option<Value> {
        let reasons = self.batch_reasons.iter();
        let counts: Map<String, Value> = reasons
            .map(|(reason, count)| (reason.code().to_owned(), json!(count)))
            .collect();
        (!counts.is_empty()).then_some(Value::Object(counts))
    }

    fn labels_value(&self) -> Option<Value> {
        let mut labels: Vec<String> = self.labels.iter().map(ToString::to_string).collect();
        labels.sort();
        (!labels.is_empty()).then(|| json!(labels))
    }
}

fn checked(text: String) -> Result<Vec<u8>, EntryTooLong> {
    if text.len() > ENTRY_BYTES_MAX {
        Err(EntryTooLong)
    } else {
        Ok(text.into_bytes())
    }
}

fn text<T: ToString>(value: Option<T>) -> Option<Value> {
    value.map(|value| json!(value.to_string()))
}
