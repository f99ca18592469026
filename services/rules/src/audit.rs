//! What a log line (logboekregel) says, and who was told of it; `part` lays it out.
//!
//! Every value is an id, a code, a number, a time, a digest or a name from the directory and the
//! register. Must never hold a BSN, a name, contact data, a payload, free text, a token or a point.

mod part;
#[cfg(test)]
mod tests;

pub use part::CLOSED_SHA256;

use crate::clock::{Random, Timestamp};
use crate::hex;
use crate::id::{ConsentId, EntryId, HandoverId, Label, NoticeId, Oin, Party, Purpose, Tag};
use crate::limits::ENTRY_BYTES_MAX;
use crate::reason::Reason;
use std::collections::BTreeMap;

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

/// The moment at which a year begins in UTC.
#[must_use]
pub fn begin_of_year(year: i64) -> Timestamp {
    let first = i16::try_from(year)
        .ok()
        .and_then(|year| jiff::civil::Date::new(year, 1, 1).ok())
        .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    Timestamp::from_millis(first.map_or(0, |first| first.timestamp().as_millisecond()))
}

/// Who was told of what a line says. It decides what stands in the open part, and which officers find it
/// there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// The caller, and both sides of the exchange.
    #[default]
    Sides,
    /// The caller and the sender: the recipient has been offered nothing, so it has no part in it.
    Sender,
    /// The caller, and that alone: a person's own act, or what was found out about one.
    Caller,
    /// Nobody: the caller got the uniform refusal, that it is not available.
    Nobody,
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
    /// Sixteen octets of chance, so that a leaf hash does not reveal an open part that could be guessed.
    pub nonce: [u8; 16],
    /// Sixteen others, so that the open part's digest does not reveal a closed part that could be guessed.
    pub closed_nonce: [u8; 16],
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// The handover.
    pub handover: Option<HandoverId>,
    /// The organisation.
    pub peer: Option<Oin>,
    /// The purpose.
    pub purpose: Option<Purpose>,
    /// The person in a relation.
    pub person: Option<Tag>,
    /// Only what an officer must look at.
    pub findings: bool,
    /// From this moment on; from the log's beginning when absent.
    pub from: Option<Timestamp>,
    /// Before this moment; until the log's own end when absent.
    pub until: Option<Timestamp>,
}

/// What a command tells of itself. All of it is optional, because a line about an enrolment has no
/// handover and a refusal may know nothing yet.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Who was told of it.
    pub audience: Audience,
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
    /// What a search of the log looked for.
    pub searched: Option<Searched>,
    /// What an officer must look at, as a code; none for most lines.
    pub finding: Option<&'static str>,
    /// The line that was read whole.
    pub entry: Option<EntryId>,
    /// True when the call repeated an earlier one and got its stored outcome.
    pub repeat: bool,
    /// The organisation that an officer decided about.
    pub organisation: Option<Oin>,
    /// Who was turned away at the door; then the line's caller is the broker itself.
    pub stranger: Option<Stranger>,
}

/// A line longer than the log can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of a log entry is longer than {ENTRY_BYTES_MAX} bytes")]
pub struct EntryTooLong;

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

    /// The code that the caller was told; none when permitted.
    #[must_use]
    pub fn told_code(&self) -> Option<Reason> {
        let precise = self.codes.first().copied()?;
        Some(match self.audience {
            Audience::Nobody => Reason::NotAvailable,
            Audience::Sides | Audience::Sender | Audience::Caller => precise,
        })
    }
}
