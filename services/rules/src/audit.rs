//! The shape of a log line (logboekregel): LDV and ADL names, our own keys beside them, and nothing
//! that could name a person.
//!
//! Every value is an id, a code, a number, a time, a digest or a name from the directory and the
//! register. Must never hold a BSN, a name, contact data, a payload, free text, a token or a point.

use crate::clock::{Random, Timestamp};
use crate::hex;
use crate::id::{ConsentId, EntryId, HandoverId, Label, NoticeId, Oin, Party, Purpose, Tag};
use crate::json::canonical;
use crate::limits::ENTRY_BYTES_MAX;
use crate::reason::Reason;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// URI of our kind of subject tag (`dpl.core.data_subject_id_type`).
const SUBJECT_TYPE: &str = "urn:sluis:subject-tag:relation:1";
/// Beginning of the URI of the gateway's own work; the action's name follows.
const OWN_ACTIVITY: &str = "urn:sluis:activity:gateway:1:";
/// Name of the event of a decision, from the Authorization Decision Log.
const EVENT_NAME: &str = "adl.access_evaluation";

/// The trace that a call belongs to (W3C Trace Context), and its own span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent_span_id: Option<[u8; 8]>,
}

impl Trace {
    /// A new trace.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut trace_id = [0; 16];
        random.fill(&mut trace_id);
        Self {
            trace_id,
            span_id: draw_span(random),
            parent_span_id: None,
        }
    }

    /// A span of our own in the caller's trace, from its `traceparent`; a new trace when the header is
    /// not one (W3C Trace Context 3.2.2).
    #[must_use]
    pub fn continued(traceparent: &str, random: &dyn Random) -> Self {
        Self::parse(traceparent, random).unwrap_or_else(|| Self::draw(random))
    }

    fn parse(traceparent: &str, random: &dyn Random) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let version = parts.next().filter(|version| *version == "00");
        let trace_id: [u8; 16] = hex::decode(parts.next()?)?.try_into().ok()?;
        let parent: [u8; 8] = hex::decode(parts.next()?)?.try_into().ok()?;
        let flags = parts
            .next()
            .filter(|flags| hex::decode(flags).is_some_and(|f| f.len() == 1));
        let whole = version.is_some() && flags.is_some() && parts.next().is_none();
        let named = trace_id != [0; 16] && parent != [0; 8];
        (whole && named).then(|| Self {
            trace_id,
            span_id: draw_span(random),
            parent_span_id: Some(parent),
        })
    }

    /// The `traceparent` for calls that we make ourselves.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!(
            "00-{}-{}-01",
            hex::encode(&self.trace_id),
            hex::encode(&self.span_id)
        )
    }
}

/// The year that it is in UTC at a moment: entries are tagged under a key for each such year.
#[must_use]
pub fn year_of(moment: Timestamp) -> i64 {
    let moment = jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default();
    i64::from(jiff::tz::TimeZone::UTC.to_datetime(moment).year())
}

fn draw_span(random: &dyn Random) -> [u8; 8] {
    let mut span_id = [0; 8];
    random.fill(&mut span_id);
    span_id
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Determining {
    /// Its `@id`.
    pub policy: String,
    /// True for a permit, false for a forbid.
    pub permits: bool,
    /// Its `@deny` code; empty for a permit.
    pub code: String,
    /// Its `@article`.
    pub article: String,
}

/// All that a line says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Sixteen octets of chance, so that a leaf hash does not reveal a line that could be guessed.
    pub nonce: [u8; 16],
    /// The trace.
    pub trace: Trace,
    /// What was done: the command's name.
    pub action: &'static str,
    /// When the call arrived.
    pub start: Timestamp,
    /// When the line was written.
    pub end: Timestamp,
    /// Who called: organisation, realm and desk.
    pub caller: (Party, String),
    /// Which broker wrote it: the operator's OIN and the program's version.
    pub written_by: (String, &'static str),
    /// Version of the directory in force.
    pub directory_version: i64,
    /// What the command told.
    pub subject: Subject,
}

/// Somebody with a valid certificate who is no desk of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The OIN in its certificate, when that has one.
    pub oin: Option<Oin>,
    /// SHA-256 of its certificate's public key info (RFC 7469 section 2.4).
    pub spki_sha256: [u8; 32],
}

/// What a search of the log looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The organisation.
    pub peer: Option<Oin>,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub until: Timestamp,
}

/// What a command tells of itself. All of it is optional, because a line about an enrolment has no
/// handover and a refusal may know nothing yet.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The handover it was about.
    pub handover: Option<HandoverId>,
    /// The notice it was about.
    pub notice: Option<NoticeId>,
    /// Sender of the exchange.
    pub sender: Option<Party>,
    /// Recipient of the exchange.
    pub recipient: Option<Party>,
    /// Purpose of the exchange.
    pub purpose: Option<Purpose>,
    /// Legal basis and article, from the register.
    pub basis: Option<(String, String)>,
    /// The register entry (a versioned URI).
    pub processing_activity: Option<String>,
    /// Tag of the person in this relation.
    pub person: Option<Tag>,
    /// The consent record that was looked at, and its version.
    pub consent: Option<(ConsentId, u64)>,
    /// SHA-256 of the consent statement (the compact JWS) that came with the call.
    pub statement_sha256: Option<[u8; 32]>,
    /// Labels that were exchanged or allowed.
    pub labels: Vec<Label>,
    /// Policies that decided.
    pub determining: Vec<Determining>,
    /// All codes behind a refusal, the primary one first; empty when permitted.
    pub codes: Vec<Reason>,
    /// SHA-256 of the policy set that decided.
    pub policy_set: Option<[u8; 32]>,
    /// A code of the event (decline, return, cancel, answer …).
    pub event_code: Option<&'static str>,
    /// How many items a batch had, and how many were refused.
    pub batch: Option<(u64, u64)>,
    /// Why items of a batch were refused, and how many for each reason.
    pub batch_reasons: BTreeMap<Reason, u64>,
    /// What a search of the log looked for, besides what the other fields say.
    pub searched: Option<Searched>,
    /// What an officer must look at, as a code; none for most lines.
    pub finding: Option<&'static str>,
    /// The line that was read whole.
    pub entry: Option<EntryId>,
    /// True when the call repeated an earlier one and got its stored outcome.
    pub repeat: bool,
    /// Who was turned away at the door; then the line's caller is the broker itself.
    pub stranger: Option<Stranger>,
}

/// A line longer than the log can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log entry is longer than {ENTRY_BYTES_MAX} bytes")]
pub struct EntryTooLong;

impl Entry {
    /// The line as canonical JSON (RFC 8785): keys sorted, no white space, numbers as integers. It is
    /// these bytes that are hashed.
    ///
    /// # Errors
    /// When it is longer than a tile's bundle can hold (64 KiB).
    pub fn canonical_json(&self) -> Result<Vec<u8>, EntryTooLong> {
        let text = canonical(&self.value());
        if text.len() > ENTRY_BYTES_MAX {
            Err(EntryTooLong)
        } else {
            Ok(text.into_bytes())
        }
    }

    fn value(&self) -> Value {
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
        put(
            "status",
            json!(if self.subject.codes.is_empty() {
                "Ok"
            } else {
                "Unset"
            }),
        );
        put("event_name", json!(EVENT_NAME));
        put("timestamp", json!(self.end.millis()));
        put("start_time", json!(self.start.millis()));
        put("end_time", json!(self.end.millis()));
        put("resource", self.resource());
        put("attributes", Value::Object(self.attributes()));
        put("body", self.body());
        Value::Object(entry)
    }

    fn resource(&self) -> Value {
        json!({
            "service.name": "sluis-broker",
            "service.version": self.written_by.1,
            "handover.operator": self.written_by.0,
            "handover.directory_version": self.directory_version,
        })
    }

    fn attributes(&self) -> Map<String, Value> {
        let standard = self.standard_attributes().into_iter();
        standard
            .chain(self.own_attributes())
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect()
    }

    /// LDV's and ADL's keys. With the references to the policy set, the directory (which has the
    /// agreement) and the engine, a decision can be made again from what is kept (ADL level 4).
    fn standard_attributes(&self) -> [(&'static str, Option<Value>); 6] {
        let subject = &self.subject;
        let decided = |reference: Value| subject.policy_set.map(|_| reference);
        // LDV knows no line without a processing activity: what serves no purpose of the register is
        // the gateway's own administration.
        let activity = subject.processing_activity.clone();
        let activity = activity.unwrap_or_else(|| format!("{OWN_ACTIVITY}{}", self.action));
        let engine = format!("cedar-policy@{}", cedar_policy::get_sdk_version());
        [
            ("dpl.core.processing_activity_id", Some(json!(activity))),
            (
                "dpl.core.data_subject_id",
                subject.person.map(|tag| json!(hex::encode(tag.bytes()))),
            ),
            (
                "dpl.core.data_subject_id_type",
                subject.person.map(|_| json!(SUBJECT_TYPE)),
            ),
            (
                "adl.core.policies",
                subject
                    .policy_set
                    .map(|hash| json!({ "cedar": hex::encode(&hash) })),
            ),
            (
                "adl.core.information",
                decided(json!({ "agreement": format!("directory@{}", self.directory_version) })),
            ),
            (
                "adl.core.configuration",
                decided(json!({ "build": self.written_by.1, "engine": engine })),
            ),
        ]
    }

    fn own_attributes(&self) -> [(&'static str, Option<Value>); 26] {
        let subject = &self.subject;
        let caller = format!("{}/{}", self.caller.0, self.caller.1);
        let basis = subject.basis.as_ref().map(|(basis, _)| json!(basis));
        let code = subject.codes.first().map(|code| json!(code.code()));
        let (items, refused) = subject.batch.unzip();
        let stranger = subject.stranger.as_ref();
        let searched = subject.searched.as_ref();
        let (consent, version) = subject.consent.unzip();
        [
            ("handover.id", text(subject.handover.as_ref())),
            ("handover.notice", text(subject.notice.as_ref())),
            ("handover.caller", Some(json!(caller))),
            ("handover.sender", text(subject.sender.as_ref())),
            ("handover.recipient", text(subject.recipient.as_ref())),
            ("handover.purpose", text(subject.purpose.as_ref())),
            ("handover.basis", basis),
            ("handover.article", text(subject.article())),
            ("handover.categories", subject.labels_value()),
            ("handover.decision", Some(json!(subject.decision()))),
            ("handover.code", code),
            ("handover.event_code", text(subject.event_code)),
            ("handover.finding", text(subject.finding)),
            ("handover.batch_items", items.map(|items| json!(items))),
            (
                "handover.batch_refused",
                refused.map(|refused| json!(refused)),
            ),
            ("handover.batch_reasons", subject.batch_reasons_value()),
            (
                "handover.searched_peer",
                text(searched.and_then(|it| it.peer.as_ref())),
            ),
            (
                "handover.searched_from",
                searched.map(|it| json!(it.from.millis())),
            ),
            (
                "handover.searched_until",
                searched.map(|it| json!(it.until.millis())),
            ),
            ("handover.entry", text(subject.entry.as_ref())),
            ("handover.consent", text(consent.as_ref())),
            (
                "handover.consent_version",
                version.map(|version| json!(version)),
            ),
            (
                "handover.statement",
                subject
                    .statement_sha256
                    .map(|sha256| json!(hex::encode(&sha256))),
            ),
            ("handover.repeat", subject.repeat.then(|| json!(true))),
            (
                "handover.stranger",
                text(stranger.and_then(|stranger| stranger.oin.as_ref())),
            ),
            (
                "handover.stranger_certificate",
                stranger.map(|stranger| json!(hex::encode(&stranger.spki_sha256))),
            ),
        ]
    }

    /// ADL's request and response, minimised: who asked for what, and which policies said what.
    fn body(&self) -> Value {
        let subject = &self.subject;
        let determining: Vec<Value> = subject
            .determining
            .iter()
            .map(|policy| {
                json!({
                    "policy": policy.policy,
                    "effect": if policy.permits { "permit" } else { "forbid" },
                    "code": policy.code,
                    "article": policy.article,
                })
            })
            .collect();
        let codes: Vec<Value> = subject
            .codes
            .iter()
            .map(|code| json!(code.code()))
            .collect();
        json!({
            "adl.core.request": { "action": { "name": self.action } },
            "adl.core.response": {
                "decision": subject.codes.is_empty(),
                "context": { "codes": codes, "determining": determining },
            },
        })
    }
}

impl Subject {
    /// "permitted" or "refused".
    #[must_use]
    pub fn decision(&self) -> &'static str {
        if self.codes.is_empty() {
            "permitted"
        } else {
            "refused"
        }
    }

    /// The article, where the register names one.
    #[must_use]
    pub fn article(&self) -> Option<&str> {
        self.basis
            .as_ref()
            .map(|(_, article)| article.as_str())
            .filter(|article| !article.is_empty())
    }

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

fn text<T: ToString>(value: Option<T>) -> Option<Value> {
    value.map(|value| json!(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;

    impl Random for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn entry(subject: Subject) -> Entry {
        Entry {
            id: EntryId::from_slice(&[1; 16]).unwrap(),
            nonce: [2; 16],
            trace: Trace::draw(&Sevens),
            action: "Prepare",
            start: Timestamp::from_millis(1),
            end: Timestamp::from_millis(2),
            caller: (
                "00000099000000001000/main".parse().unwrap(),
                "ww".to_owned(),
            ),
            written_by: ("00000099000000009000".to_owned(), "0.1.0"),
            directory_version: 1,
            subject,
        }
    }

    #[test]
    fn a_line_is_sorted_json_with_the_standard_names() {
        let subject = Subject {
            codes: vec![Reason::NoAgreement],
            person: Some(Tag::new([3; 16])),
            ..Subject::default()
        };
        let json = String::from_utf8(entry(subject).canonical_json().unwrap()).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(canonical(&value), json, "canonical already");
        for name in [
            "trace_id",
            "span_id",
            "name",
            "status",
            "start_time",
            "end_time",
            "attributes",
        ] {
            assert!(value.get(name).is_some(), "{name} is compulsory in LDV");
        }
        assert_eq!(value["status"], "Unset");
        assert_eq!(
            value["attributes"]["dpl.core.processing_activity_id"],
            "urn:sluis:activity:gateway:1:Prepare",
            "compulsory in LDV, also without a register entry"
        );
        assert_eq!(value["attributes"]["handover.code"], "NO_AGREEMENT");
        assert_eq!(
            value["attributes"]["dpl.core.data_subject_id"],
            "03".repeat(16)
        );
    }

    #[test]
    fn only_ldv_and_adl_and_our_own_keys_occur() {
        let subject = Subject {
            handover: HandoverId::from_slice(&[4; 16]),
            batch: Some((2, 1)),
            batch_reasons: BTreeMap::from([(Reason::QuotaExceeded, 1)]),
            searched: Some(Searched {
                peer: "00000099000000001000".parse().ok(),
                from: Timestamp::from_millis(3),
                until: Timestamp::from_millis(4),
            }),
            entry: EntryId::from_slice(&[6; 16]),
            policy_set: Some([5; 32]),
            repeat: true,
            ..Subject::default()
        };
        let attributes = entry(subject).attributes();
        for key in attributes.keys() {
            let known = ["dpl.core.", "adl.core.", "handover."]
                .iter()
                .any(|p| key.starts_with(p));
            assert!(known, "{key}");
        }
        for key in ["policies", "information", "configuration"] {
            assert!(attributes.contains_key(&format!("adl.core.{key}")), "{key}");
        }
        assert_eq!(
            attributes["handover.batch_reasons"],
            json!({ "QUOTA_EXCEEDED": 1 })
        );
        for (key, value) in [
            ("searched_peer", json!("00000099000000001000")),
            ("searched_from", json!(3)),
            ("searched_until", json!(4)),
        ] {
            assert_eq!(attributes[&format!("handover.{key}")], value, "{key}");
        }
        assert!(attributes.contains_key("handover.entry"));
    }

    #[test]
    fn a_traceparent_is_continued_and_a_wrong_one_begins_anew() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::continued(given, &Sevens);
        assert_eq!(
            trace.traceparent(),
            "00-0af7651916cd43dd8448eb211c80319c-0707070707070707-01"
        );
        for wrong in [
            "",
            "00-00-00-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(
                Trace::continued(wrong, &Sevens),
                Trace::draw(&Sevens),
                "{wrong}"
            );
        }
        let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        assert_eq!(Trace::continued(&zero, &Sevens), Trace::draw(&Sevens));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let labels = (0..8_000)
            .map(|n| format!("label.number{n}").parse().unwrap())
            .collect();
        let subject = Subject {
            labels,
            ..Subject::default()
        };
        assert_eq!(entry(subject).canonical_json(), Err(EntryTooLong));
    }
}
