//! The binary `sluis`.
//!
//! Must never hold more than the reading of the command line.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use gateway::arguments::OperatorVerb;
use gateway::cli::{self, Verb, Who};
use gateway::{operator, sandbox};
use std::process::ExitCode;

/// Sluis: a warm handover between organisations, in which nobody between them can read along.
#[derive(Parser)]
#[command(name = "sluis", version)]
struct Arguments {
    #[command(flatten)]
    who: Who,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a year of handovers with invented people on this machine, and shows what came of it.
    Sandbox(sandbox::Arguments),
    #[command(flatten)]
    Desk(Verb),
    #[command(flatten)]
    Operator(OperatorVerb),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !matches!(arguments.command, Command::Desk(_))
        && let Some(flag) = arguments.who.flag_of_a_desk()
    {
        let text = format!("`{flag}` is for what a desk does; this acts as no desk");
        Arguments::command()
            .error(ErrorKind::ArgumentConflict, text)
            .exit();
    }
    match arguments.command {
        Command::Sandbox(options) => sandbox::run(options, arguments.who.json).await,
        Command::Desk(verb) => cli::run(&arguments.who, &verb).await,
        Command::Operator(verb) => operator::run(verb, arguments.who.json).await,
    }
}
