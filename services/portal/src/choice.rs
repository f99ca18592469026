//! What a person asked for in a session, and what was made of it.
//!
//! Must never take one request for another under the same id.

use papers::author::{Choice, Narrowing};
use rules::consent::Statement;
use rules::id::{ConsentId, EntryId};

/// What was asked under a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Give(Choice),
    Narrow(Narrowing),
    Stop(ConsentId),
}

/// What was made of it: the statement, where it lies, and its signed form once the broker has it.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) statement: Statement,
    pub(super) line: EntryId,
    pub(super) jws: Option<String>,
}
