//! What is allowed and what things are called: ids, codes, decisions, state tables, log entries.
//!
//! Everything here is a pure function over values. This crate must never do IO, read a clock, draw
//! chance, or know a wire format or a database; it is what a lawyer and an auditor can be shown.
#![warn(missing_docs)]

pub mod audit;
pub mod calendar;
pub mod clock;
pub mod consent;
pub mod directory;
pub mod feed;
pub mod handover;
pub mod hex;
pub mod id;
pub mod json;
pub mod limits;
pub mod notice;
pub mod policy;
pub mod pseudonym;
pub mod reason;
pub mod register;
pub mod secret;
