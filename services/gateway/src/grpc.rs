//! The gRPC services: messages in, commands to the counter, answers out.
//!
//! Must never decide anything: what cannot be read is refused here, everything else at the counter.

pub mod status;
