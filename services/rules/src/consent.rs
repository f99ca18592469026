//! Consent (toestemming): the record, its states, the signed statement of it, and what a new one must be.
//!
//! Must never let a record count by its state alone: its end is judged by the clock, so that it
//! holds when every background job is dead.

mod check;
mod code;
mod record;
mod statement;
#[cfg(test)]
mod tests;

pub use check::{Signer, check_narrowed, check_new, check_withdrawn};
pub use code::{CodeError, LinkCode, StopCode};
pub use record::{
    AuthenticationLevel, CollectionMethod, ConsentRecord, Language, NoticeSeen, SecrecyWaiver,
};
pub use statement::{Statement, StatementError, StatementEvent};

use crate::reason::{Outcome, Reason, Refusal};

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

    /// The state with this code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.code() == code)
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
