//! The binary `sluis`.
//!
//! Must never hold more than the reading of the command line.

use clap::{Parser, Subcommand};
use gateway::arguments::OperatorVerb;
use gateway::operator;
use std::process::ExitCode;

/// Sluis: a warm handover between organisations, in which nobody between them can read along.
#[derive(Parser)]
#[command(name = "sluis", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Operator(OperatorVerb),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Operator(verb) => operator::run(verb).await,
    }
}
