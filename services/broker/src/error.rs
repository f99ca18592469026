//! Faults: what goes wrong on our side. Refusals are values and live in `rules::reason`.
//!
//! Must never carry personal data; a caller sees the reason only, the source goes to the operator.

use papers::Malformed;
use rules::reason::{Reason, Refusal};

/// A fault while serving a call. Nothing was released and nothing half-written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] store::Error),
    /// A key or a seal failed: a wrong key file, or a row that was tampered with.
    #[error("a seal or a key failed: {0}")]
    Vault(&'static str),
    /// A row or a file has a form that this program never writes.
    #[error("{0} does not have the form this program writes")]
    Malformed(&'static str),
    /// What is in force is not signed as the configuration says.
    #[error(
        "the database has another directory or policy set in force than the configured controllers signed ({}){}; \
         put back the controllers' public keys under which it was put in force, or the right database",
        .0.reason,
        listed(.0)
    )]
    Unverified(Box<Refusal>),
    /// A key holder cannot be reached.
    #[error("a key holder cannot be reached")]
    HolderUnavailable,
    /// The key holders answered something that does not verify.
    #[error("the key holders' answer does not verify")]
    HolderDishonest(Reason),
    /// The directory or the policy set changed while the call was decided.
    #[error("the directory or the policy set changed while the call was decided")]
    Stale,
}

fn listed(refusal: &Refusal) -> String {
    let violations = refusal.violations.iter();
    violations
        .map(|one| format!("; `{}` {}", one.field, one.description))
        .collect()
}

impl From<Malformed> for Error {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl Error {
    /// The reason that the caller is told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Store(store::Error::Full(_)) => Reason::StorageFull,
            Self::Store(store::Error::Unavailable(_)) => Reason::StorageUnavailable,
            Self::Store(_) | Self::Vault(_) | Self::Malformed(_) | Self::Unverified(_) => {
                Reason::Internal
            }
            Self::HolderUnavailable => Reason::HolderUnavailable,
            Self::HolderDishonest(reason) => *reason,
            Self::Stale => Reason::PolicyStale,
        }
    }

    /// Whether the same work, begun anew, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(fault) if fault.is_transient())
    }

    /// Whether it is a fault of one row, and not of the database or of what is in force: then other rows go on.
    #[must_use]
    pub const fn is_of_one_row(&self) -> bool {
        matches!(
            self,
            Self::Vault(_) | Self::Malformed(_) | Self::Store(store::Error::Malformed(_))
        )
    }
}
