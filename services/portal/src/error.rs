//! What can break at the portal.
//!
//! Must never stand for a refusal, and must never carry anything of a person.

use rules::reason::Reason;

/// A fault while serving a person.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The vault refused what it never refuses.
    #[error("the vault could not make {0}")]
    Vault(&'static str),
    /// A row or a line does not hold what this program writes.
    #[error("{0} does not have the form this program writes")]
    Malformed(&'static str),
    /// The broker cannot be reached; what was asked may or may not have been done.
    #[error("the broker cannot be reached: {0}")]
    BrokerAway(String),
    /// The broker answered something that does not verify, or a thing of our own is missing.
    #[error("the broker's answer cannot be used: {0}")]
    Broker(String),
    /// So many copies at the broker do not open, and the portal may not go on without so many.
    #[error(
        "{0} copies at the broker do not open; the portal stays shut until they do, or `without_copies` in its \
         configuration is {0}"
    )]
    CopiesUnopened(usize),
}

impl PortalError {
    /// The reason that the caller is given.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Store(store::Error::Full(_)) => Reason::StorageFull,
            Self::Store(store::Error::Unavailable(_)) => Reason::StorageUnavailable,
            Self::BrokerAway(_) => Reason::BrokerUnavailable,
            Self::Store(_)
            | Self::Vault(_)
            | Self::Malformed(_)
            | Self::Broker(_)
            | Self::CopiesUnopened(_) => Reason::Internal,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::BrokerAway(_) => true,
            Self::Vault(_) | Self::Malformed(_) | Self::Broker(_) | Self::CopiesUnopened(_) => {
                false
            }
        }
    }
}
