//! The consent record (toestemming) as far as decisions must know it: its states and what it covers.
//!
//! Must never let a record count by its state alone: its end is judged by the clock, so that it
//! holds when every background job is dead.

use crate::clock::Timestamp;
use crate::id::{Category, ConsentId};
use crate::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeSet;

/// Where a consent record stands (`sluis.consent.v1.ConsentState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsentState {
    /// Asked.
    Requested,
    /// Given; the only state that permits, and only until its end.
    Given,
    /// Withdrawn by the person.
    Withdrawn,
    /// Past its end.
    Expired,
    /// Replaced by a newer record.
    Superseded,
    /// Found not to have been free or informed.
    Invalidated,
    /// Refused; without consequence.
    Refused,
    /// Not answered.
    Lapsed,
}

impl ConsentState {
    /// All states, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Requested,
        Self::Given,
        Self::Withdrawn,
        Self::Expired,
        Self::Superseded,
        Self::Invalidated,
        Self::Refused,
        Self::Lapsed,
    ];

    /// The code, as in rows and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Given => "GIVEN",
            Self::Withdrawn => "WITHDRAWN",
            Self::Expired => "EXPIRED",
            Self::Superseded => "SUPERSEDED",
            Self::Invalidated => "INVALIDATED",
            Self::Refused => "REFUSED",
            Self::Lapsed => "LAPSED",
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Requested => 1,
            Self::Given => 2,
            Self::Withdrawn => 3,
            Self::Expired => 4,
            Self::Superseded => 5,
            Self::Invalidated => 6,
            Self::Refused => 7,
            Self::Lapsed => 8,
        }
    }

    /// The state with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|state| state.number() == number)
    }

    /// Whether it has ended, for good: renewed consent is a new record.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Requested | Self::Given => false,
            Self::Withdrawn
            | Self::Expired
            | Self::Superseded
            | Self::Invalidated
            | Self::Refused
            | Self::Lapsed => true,
        }
    }
}

/// The whole table: from, to. The record begins as asked, or at once as given or refused.
pub const TABLE: &[(ConsentState, ConsentState)] = &[
    (ConsentState::Requested, ConsentState::Given),
    (ConsentState::Requested, ConsentState::Refused),
    (ConsentState::Requested, ConsentState::Lapsed),
    (ConsentState::Given, ConsentState::Withdrawn),
    (ConsentState::Given, ConsentState::Expired),
    (ConsentState::Given, ConsentState::Superseded),
    (ConsentState::Given, ConsentState::Invalidated),
];

/// Moves a record. Refuses with `CONSENT_NOT_ACTIVE` what the table does not have.
#[must_use]
pub fn apply(from: ConsentState, to: ConsentState) -> Outcome<ConsentState> {
    if TABLE.contains(&(from, to)) {
        Outcome::Permitted(to)
    } else {
        Outcome::Refused(Refusal::new(Reason::ConsentNotActive))
    }
}

/// What decisions read from the locked row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentFacts {
    /// The record.
    pub id: ConsentId,
    /// Its version, one higher with each change.
    pub version: u64,
    /// Its state as stored.
    pub state: ConsentState,
    /// From this moment on.
    pub valid_from: Timestamp,
    /// Before this moment.
    pub valid_until: Timestamp,
    /// Categories of data that it covers.
    pub categories: BTreeSet<Category>,
    /// Whether the person waived the sender's secrecy in writing.
    pub secrecy_waived: bool,
}

impl ConsentFacts {
    /// Whether it permits anything at this moment.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.state == ConsentState::Given && self.valid_from <= now && now < self.valid_until
    }

    /// Whether it covers this category.
    #[must_use]
    pub fn covers(&self, category: &Category) -> bool {
        self.categories.contains(category)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_consent_never_returns() {
        for from in ConsentState::ALL.iter().copied() {
            let leaves = ConsentState::ALL
                .iter()
                .any(|to| matches!(apply(from, *to), Outcome::Permitted(_)));
            assert_eq!(leaves, !from.is_terminal(), "{from:?}");
            assert_eq!(ConsentState::from_number(from.number()), Some(from));
        }
    }

    #[test]
    fn only_given_and_in_time_permits() {
        let at = Timestamp::from_millis;
        for state in ConsentState::ALL.iter().copied() {
            let facts = ConsentFacts {
                id: ConsentId::from_slice(&[1; 16]).unwrap(),
                version: 1,
                state,
                valid_from: at(10),
                valid_until: at(20),
                categories: BTreeSet::new(),
                secrecy_waived: false,
            };
            for (now, in_time) in [(9, false), (10, true), (19, true), (20, false)] {
                let expected = in_time && state == ConsentState::Given;
                assert_eq!(facts.is_active(at(now)), expected, "{state:?} at {now}");
            }
        }
    }
}
