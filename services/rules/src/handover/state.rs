//! Where a handover stands.
//!
//! Must never get a state from which an ended handover returns.

use std::fmt;

/// The state of a handover (`sluis.handover.v1.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Permitted; nothing offered yet. The recipient does not know of it.
    Prepared,
    /// The recipient has been offered a summary.
    Offered,
    /// The recipient asked for a change.
    OnHold,
    /// The recipient takes it.
    Accepted,
    /// The dossier can be fetched.
    Released,
    /// Contact was had; responsibility has moved.
    Completed,
    /// The recipient did not take it.
    Declined,
    /// The recipient gave it back.
    Returned,
    /// The sender, the officer or the broker called it off.
    Cancelled,
    /// The person withdrew consent.
    Withdrawn,
    /// A deadline passed.
    Expired,
}

impl State {
    /// All states, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Prepared,
        Self::Offered,
        Self::OnHold,
        Self::Accepted,
        Self::Released,
        Self::Completed,
        Self::Declined,
        Self::Returned,
        Self::Cancelled,
        Self::Withdrawn,
        Self::Expired,
    ];

    /// The open states: those that are not ended.
    pub const OPEN: &'static [Self] = &[
        Self::Prepared,
        Self::Offered,
        Self::OnHold,
        Self::Accepted,
        Self::Released,
    ];

    /// The code, as in rows, logs and documentation.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Prepared => "PREPARED",
            Self::Offered => "OFFERED",
            Self::OnHold => "ON_HOLD",
            Self::Accepted => "ACCEPTED",
            Self::Released => "RELEASED",
            Self::Completed => "COMPLETED",
            Self::Declined => "DECLINED",
            Self::Returned => "RETURNED",
            Self::Cancelled => "CANCELLED",
            Self::Withdrawn => "WITHDRAWN",
            Self::Expired => "EXPIRED",
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Prepared => 1,
            Self::Offered => 2,
            Self::OnHold => 3,
            Self::Accepted => 4,
            Self::Released => 5,
            Self::Completed => 6,
            Self::Declined => 7,
            Self::Returned => 8,
            Self::Cancelled => 9,
            Self::Withdrawn => 10,
            Self::Expired => 11,
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

    /// Whether it has ended, for good.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Prepared | Self::Offered | Self::OnHold | Self::Accepted | Self::Released => {
                false
            }
            Self::Completed
            | Self::Declined
            | Self::Returned
            | Self::Cancelled
            | Self::Withdrawn
            | Self::Expired => true,
        }
    }

    /// Who is responsible for the candidate: the recipient only once contact was had.
    #[must_use]
    pub const fn recipient_is_responsible(self) -> bool {
        matches!(self, Self::Completed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}
