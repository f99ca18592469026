//! The command line as a whole: what was typed, and who does it.
//!
//! Must never be `async` on its outside: the runtime begins here, so that everything below is compiled once, in
//! this library, and not once more in each program that calls it.

use crate::arguments::OperatorVerb;
use crate::cli::{self, Verb, Who, output};
use crate::{memory, operator, sandbox};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
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

/// Does what the process's arguments say.
#[must_use]
#[tokio::main]
pub async fn run() -> ExitCode {
    memory::leave_no_core();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) if told.use_stderr() => told.exit(),
        // Help or the version, which was asked for.
        Err(told) => return output::end(output::settle(told.print()), ExitCode::SUCCESS),
    };
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
