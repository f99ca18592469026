//! The binary `sluis`.
//!
//! Must never hold more than the reading of the command line.

use clap::{Parser, Subcommand};
use gateway::configuration::Configuration;
use std::path::PathBuf;
use std::process::ExitCode;

/// Sluis: a warm handover between organisations, in which nobody between them can read along.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at a configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Reads the file and the files it names, and says everything that is wrong.
    ///
    /// Example: sluis config check --config broker.toml
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Config(ConfigCommand::Check { config }) => check(&config),
    }
}

fn check(path: &std::path::Path) -> ExitCode {
    match Configuration::load(path) {
        Ok(configuration) => {
            println!("{configuration}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
