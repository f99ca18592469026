//! The gRPC services: messages in, commands to the broker, answers out.
//!
//! Must never decide anything: what cannot be read is refused here, everything else at the broker.

pub mod audit;
pub mod call;
pub mod consent;
pub mod directory;
pub mod feed;
pub mod handover;
pub mod key_holder;
pub mod policy;
pub mod portal;
pub mod portal_copy;
pub mod pseudonym;
pub mod reading;
pub mod restoration;
pub mod status;
