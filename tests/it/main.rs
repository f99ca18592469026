//! The whole system from outside: real processes, real TLS, real databases, the real binary.
//!
//! Every test lays a sandbox of its own in a temporary folder and stops it. Must never replace a part
//! by something that only looks like it.

mod existence;
mod handover;
mod house;
mod input;
mod leak;
mod objection;
