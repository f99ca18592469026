//! A line of the transparency feed, as it goes from the broker to the portal.
//!
//! Must never name a person: the first line of an exchange introduces it with a ciphertext that only the portal can
//! read.

use rules::clock::Timestamp;
use rules::feed::FeedKind;
use rules::id::{EntryId, Party, Purpose};

/// A line, as the portal gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedLine {
    /// The line.
    pub id: EntryId,
    /// When it happened.
    pub time: Timestamp,
    /// What it tells.
    pub told: Told,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The exchange: a handover, a refused attempt, a question or a consent record.
    pub exchange: [u8; 16],
    /// On the first line of an exchange: the portal's pseudonym of the person, encrypted to the portal.
    pub introduction: Option<[u8; 64]>,
    /// What happened.
    pub kind: FeedKind,
    /// Who hands over.
    pub sender: Party,
    /// To whom.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// Legal basis and article; empty when none was decided on.
    pub basis: (String, String),
    /// Labels of fields, or categories where the kind says so.
    pub labels: Vec<String>,
    /// A state, reason, kind or answer, as the kind says; empty for none.
    pub code: String,
}
