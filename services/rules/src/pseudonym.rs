//! Pairwise pseudonyms as the rules see them: labels, orders, and the closed table of conversions.
//!
//! Every key holder, the broker and the client judge an order with these same functions. Must never
//! hold a point, a key or a ciphertext, and must never offer a way to write "origin" as a target.

mod judge;
mod label;
mod order;

pub use judge::{OrderPlan, Quota, judge};
pub use label::{Context, Domain, LabelError, Relation, TargetDomain};
pub use order::{Order, OrderKind};

#[cfg(test)]
mod tests;
