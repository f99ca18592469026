//! What can break at a key holder.
//!
//! Must never stand for a refusal: those are values.

use rules::reason::{Reason, Violation};

/// A fault of a key holder; nothing was given out.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A sealed secret does not open: the key file is not the one of this database.
    #[error("a sealed secret does not open with this key file")]
    Rest(#[from] vault::rest::RestError),
    /// A row does not hold what this program writes.
    #[error("a row of {0} does not have the form this program writes")]
    Malformed(&'static str),
    /// The vault refused what it never refuses.
    #[error("the vault could not make {0}")]
    Vault(&'static str),
    /// The wall clock jumped a moment ago.
    #[error("the wall clock does not go as time does: set it, or wait some seconds")]
    Clock,
    /// Work on another thread did not end.
    #[error("work on another thread did not end")]
    Thread,
}

impl HolderError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Clock => true,
            Self::Rest(_) | Self::Malformed(_) | Self::Vault(_) | Self::Thread => false,
        }
    }

    /// The reason that a caller is given.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Store(store::Error::Full(_)) => Reason::StorageFull,
            Self::Store(store::Error::Unavailable(_)) => Reason::StorageUnavailable,
            Self::Clock => Reason::HolderUnavailable,
            Self::Store(_) | Self::Rest(_) | Self::Malformed(_) | Self::Vault(_) | Self::Thread => {
                Reason::Internal
            }
        }
    }
}

/// Why a key holder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A fault.
    #[error(transparent)]
    Fault(#[from] HolderError),
    /// The directory cannot be accepted: every mistake.
    #[error("the directory cannot be accepted ({reason}):{}", lines(violations))]
    Directory {
        /// Why.
        reason: Reason,
        /// Every mistake.
        violations: Vec<Violation>,
    },
    /// The directory does not have this holder, or has another voucher key for it.
    #[error(
        "the directory has no key holder with the OIN of this certificate and the signing key of this key file; \
         compare `key_file` and `tls.certificate` with the directory"
    )]
    NotInDirectory,
    /// The pinned commitment of this holder is not that of its key file.
    #[error(
        "the commitment under `commitments` for this holder is not that of its key file; put there what \
         `sluis keys new` printed when the key file was made"
    )]
    CommitmentDiffers,
}

fn lines(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| format!("\n  {}: {}", violation.field, violation.description))
        .collect()
}
