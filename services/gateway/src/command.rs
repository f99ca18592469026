//! The command line as a whole: what was typed, and who does it.
//!
//! Must never be `async` on its outside: the runtime begins here, so that everything below is compiled once, in
//! this library, and not once more in each program that calls it.

use crate::arguments::OperatorVerb;
use crate::cli::{self, Verb, Who, output};
use crate::{memory, operator, sandbox};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Exit code: what was typed is no command.
const USAGE: u8 = 2;
/// What clap writes in front of a usage.
const USAGE_TITLE: &str = "Usage: ";
/// Where a command goes on in the next line.
const INDENT: &str = "    ";
/// What is said besides where a BSN was typed.
const NOT_HERE: &str = "
A BSN is not taken from the command line: the shell's history and the list of
processes keep it. Where a command needs one, give `--bsn -`: it is asked for
and typed unseen, or read from standard input. Remove it from the history.
";
/// Columns that help has at most.
const COLUMNS: usize = 80;

/// Sluis: a warm handover between organisations, in which nobody between them can read along.
#[derive(Parser)]
#[command(name = "sluis", version, max_term_width = COLUMNS)]
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
    let typed = fitted(Arguments::command()).try_get_matches();
    let arguments = match typed.and_then(|typed| Arguments::from_arg_matches(&typed)) {
        Ok(arguments) => arguments,
        Err(told) if told.use_stderr() => return not_a_command(&told),
        // Help or the version, which was asked for.
        Err(told) => return output::end(output::settle(told.print()), ExitCode::SUCCESS),
    };
    if !matches!(arguments.command, Command::Desk(_))
        && let Some(flag) = arguments.who.flag_of_a_desk()
    {
        let text = format!("`{flag}` is for what a desk does; this acts as no desk");
        let told = fitted(Arguments::command()).error(ErrorKind::ArgumentConflict, text);
        return not_a_command(&told);
    }
    match arguments.command {
        Command::Sandbox(options) => sandbox::run(options, arguments.who.json).await,
        Command::Desk(verb) => cli::run(&arguments.who, &verb).await,
        Command::Operator(verb) => operator::run(verb, arguments.who.json).await,
    }
}

/// Says why what was typed is no command, to people and programs.
fn not_a_command(told: &clap::Error) -> ExitCode {
    let said = told.render().to_string();
    let mut text = output::unrepeated(&said);
    if text != said {
        text.push_str(NOT_HERE);
    }
    let value = json!({ "error": { "kind": "usage", "text": text } });
    // What was typed cannot be read as a whole; whether a program typed it can.
    let as_json = std::env::args_os().any(|argument| argument == "--json");
    output::fail(text.trim_end(), as_json.then_some(&value));
    ExitCode::from(USAGE)
}

/// The same command line, of which usage and examples fit a terminal too: clap leaves the one as wide as it is, and breaks the
/// other where no shell goes on.
fn fitted(mut command: clap::Command) -> clap::Command {
    command.build();
    fit(&mut command);
    command
}

fn fit(command: &mut clap::Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches(USAGE_TITLE).trim();
    let usage = broken(usage, COLUMNS - USAGE_TITLE.len(), "");
    let taken = std::mem::take(command).override_usage(usage);
    *command = match taken.get_after_help().map(ToString::to_string) {
        Some(help) => {
            let lines = help.lines().map(|line| broken(line, COLUMNS, " \\"));
            taken.after_help(lines.collect::<Vec<_>>().join("\n"))
        }
        None => taken,
    };
    command.get_subcommands_mut().for_each(fit);
}

/// A command in lines of at most so many columns, each broken before an option; a shell takes `mark` for a line that goes
/// on.
fn broken(command: &str, columns: usize, mark: &str) -> String {
    let mut lines = vec![String::new()];
    for (place, word) in command.split(" --").enumerate() {
        let word = if place == 0 {
            word.to_owned()
        } else {
            format!(" --{word}")
        };
        let width = |text: &str| text.chars().count();
        let last = lines.last().map_or(0, |line| width(line));
        if place > 0 && last + width(&word) + width(mark) > columns {
            if let Some(line) = lines.last_mut() {
                line.push_str(mark);
            }
            lines.push(format!("{INDENT}{}", word.trim_start()));
        } else if let Some(line) = lines.last_mut() {
            line.push_str(&word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Arguments, COLUMNS, fitted};
    use clap::{Command, CommandFactory as _};

    fn wide_lines(mut command: Command, path: &str, found: &mut Vec<String>) {
        let help = command.render_long_help().to_string();
        let wide = help.lines().filter(|line| line.chars().count() > COLUMNS);
        found.extend(wide.map(|line| format!("{path}: {line}")));
        for verb in command.get_subcommands().cloned().collect::<Vec<_>>() {
            let path = format!("{path} {}", verb.get_name());
            wide_lines(verb, &path, found);
        }
    }

    #[test]
    fn every_help_fits_a_terminal() {
        let mut found = Vec::new();
        wide_lines(fitted(Arguments::command()), "sluis", &mut found);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
