//! What is sealed to a person: a line of the feed, or a consent with its statement.
//!
//! Must never be stored or logged in clear.

use super::PortalError;
use papers::feed::{FeedLine, Told};
use rules::clock::Timestamp;
use rules::consent::Statement;
use rules::feed::FeedKind;
use serde::{Deserialize, Serialize};

/// Kind of a row that holds a line of the feed.
pub(super) const STORY: i64 = 1;
/// Kind of a row that holds a consent.
pub(super) const CONSENT: i64 = 2;

/// A line of the feed as its person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) time: Timestamp,
    pub(super) told: Told,
}

/// A version of a consent as its person keeps it.
#[derive(Clone, Debug)]
pub(super) struct Paper {
    pub(super) statement: Statement,
    /// The compact JWS; empty while it is not known whether the broker has it.
    pub(super) jws: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoryForm {
    exchange: String,
    time: i64,
    kind: i32,
    sender: String,
    recipient: String,
    purpose: String,
    basis: String,
    article: String,
    labels: Vec<String>,
    code: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperForm {
    statement: String,
    jws: String,
}

const WRONG_STORY: PortalError = PortalError::Malformed("a line of the feed");
const WRONG_PAPER: PortalError = PortalError::Malformed("a kept consent");

impl Story {
    /// A line without its introduction.
    pub(super) fn of(line: &FeedLine) -> Self {
        Self {
            time: line.time,
            told: Told {
                introduction: None,
                ..line.told.clone()
            },
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, PortalError> {
        let told = &self.told;
        let form = StoryForm {
            exchange: rules::hex::encode(&told.exchange),
            time: self.time.millis(),
            kind: told.kind.number(),
            sender: told.sender.to_string(),
            recipient: told.recipient.to_string(),
            purpose: told.purpose.to_string(),
            basis: told.basis.0.clone(),
            article: told.basis.1.clone(),
            labels: told.labels.clone(),
            code: told.code.clone(),
        };
        serde_json::to_vec(&form).map_err(|_| WRONG_STORY)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PortalError> {
        let form: StoryForm = serde_json::from_slice(bytes).map_err(|_| WRONG_STORY)?;
        let exchange = rules::hex::decode(&form.exchange)
            .and_then(|octets| octets.try_into().ok())
            .ok_or(WRONG_STORY)?;
        Ok(Self {
            time: Timestamp::from_millis(form.time),
            told: Told {
                exchange,
                introduction: None,
                kind: FeedKind::from_number(form.kind).ok_or(WRONG_STORY)?,
                sender: form.sender.parse().map_err(|_| WRONG_STORY)?,
                recipient: form.recipient.parse().map_err(|_| WRONG_STORY)?,
                purpose: form.purpose.parse().map_err(|_| WRONG_STORY)?,
                basis: (form.basis, form.article),
                labels: form.labels,
                code: form.code,
            },
        })
    }
}

impl Paper {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, PortalError> {
        let form = PaperForm {
            statement: String::from_utf8(self.statement.canonical_json())
                .map_err(|_| WRONG_PAPER)?,
            jws: self.jws.clone(),
        };
        serde_json::to_vec(&form).map_err(|_| WRONG_PAPER)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PortalError> {
        let form: PaperForm = serde_json::from_slice(bytes).map_err(|_| WRONG_PAPER)?;
        Ok(Self {
            statement: Statement::parse(form.statement.as_bytes()).map_err(|_| WRONG_PAPER)?,
            jws: form.jws,
        })
    }
}
