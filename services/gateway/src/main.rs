//! The binary `sluis`.
//!
//! Must never hold anything: the library has it all, the command line too.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::command::run()
}
