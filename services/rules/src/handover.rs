//! The handover (overdracht) as a table: states, events, who may do what, and what follows.
//!
//! Everything is read from one constant table, which is also what the documentation prints. Must
//! never decide on consent or policy: those are asked apart, in the same transaction.

mod apply;
mod code;
mod contact;
mod event;
mod group;
mod state;
mod table;
mod timer;

pub use apply::{Situation, Step, apply, forbidden};
pub use code::{CancelCode, DeclineCode, ExpiryCode, MismatchKind, QuestionCode, ReturnCode};
pub use contact::{ContactDate, contact_date, proposed_date};
pub use event::{Actor, Event, InboxKind, Side};
pub use group::check_release;
pub use state::State;
pub use table::{BasisKind, BasisRule, Row, TABLE, TimerChange};
pub use timer::{Timers, deadline, remaining_millis, resumed_deadline, undelivered_at};

#[cfg(test)]
mod tests;
