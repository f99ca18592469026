//! The gateway (poort): where strangers enter. Door, configuration, gRPC services, roles and command
//! line of the one binary `sluis`.
//!
//! Must never decide: it reads what comes in, asks the broker, and says what the broker said.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads; cli::output prints"
)]

pub mod arguments;
mod backup;
pub mod cli;
pub mod clock;
pub mod command;
pub mod configuration;
pub mod directories;
pub mod doctor;
pub mod door;
pub mod files;
pub mod grpc;
pub mod logging;
mod memory;
pub mod operator;
pub mod policies;
mod reopen;
pub mod roles;
pub mod sandbox;
pub mod serving;
