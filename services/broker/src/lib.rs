//! The broker (makelaar): the use cases, one command per kind of request, and the only order of work.
//!
//! gRPC, pages and command line come to the same commands and get the same treatment. Must never see
//! a wire type, a web framework or a socket, and must never answer before the log line is committed.

pub mod audit;
mod broker;
pub mod call;
pub mod consent;
pub mod consequence;
pub mod decision;
pub mod directory;
pub mod error;
pub mod feed;
pub mod handover;
pub mod inbox;
pub mod lead;
mod lines;
pub mod link;
mod note;
pub mod notice;
pub mod policy;
pub mod portal_copy;
pub mod pseudonym;
pub mod record;
pub mod restoration;
pub mod retention;
pub mod rowkey;
pub mod sealed_person;
pub mod serve;
#[cfg(test)]
mod tests;
pub mod timers;

pub use broker::{
    Boxed, Broker, ConversionRequest, Converted, InForce, KeyHolders, Keys, Limits, Settings,
};
pub use call::{Answer, Call, Caller};
pub use error::Error;
