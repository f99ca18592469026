//! After the play: the servers stay up, and the screen says how to call them.
//!
//! Must never print a command that does not work as it stands.

use super::SandboxError;
use super::people::numbers_by_hand;
use super::processes::{Plan, Server};
use crate::cli::output::{Answer, note};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How often the servers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Prints how to call the servers and keeps them up until one ends or the sandbox is stopped.
///
/// # Errors
///
/// When a server ends by itself.
pub(crate) async fn stay(folder: &Path, servers: &mut [Server]) -> Result<(), SandboxError> {
    note(&commands(folder));
    note("sandbox: the servers stay up; stop them with Ctrl-C");
    loop {
        for server in servers.iter_mut() {
            server.check()?;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// How to start each server of a folder that was only laid, in the order in which they need each other.
pub(crate) fn by_hand(plans: &[Plan]) -> Answer {
    let program = program();
    let mut lines =
        vec!["Nothing runs yet. Start each in a terminal of its own, in this order:\n".to_owned()];
    let mut servers = Vec::new();
    for plan in plans {
        let configuration = plan.configuration.display().to_string();
        lines.push(format!("  {program} migrate --config {configuration}"));
        lines.push(format!("  {program} serve --config {configuration}\n"));
        servers.push(json!({
            "name": plan.name, "configuration": configuration, "address": plan.address,
        }));
    }
    Answer::new(lines.join("\n"), json!({ "servers": servers }))
}

fn program() -> String {
    std::env::current_exe().map_or_else(|_| "sluis".to_owned(), |path| path.display().to_string())
}

fn commands(folder: &Path) -> String {
    let program = program();
    // Commands are to be copied as they stand, so the folder is named unless it is the default.
    let sandbox = if folder == Path::new("./sluis-sandbox") {
        String::new()
    } else {
        format!(" --sandbox {}", folder.display())
    };
    let number = numbers_by_hand(1).pop().unwrap_or_default();
    format!(
        "\nThe next handover by hand. In another terminal, in this folder:\n\n\
         \x20 sluis() {{ {program}{sandbox} \"$@\"; }}\n\n\
         \x20 sluis --as uwv whoami\n\
         \x20 echo {number} | sluis --as uwv enrol --person klant-1 --bsn -\n\
         \x20 sluis --as uwv offer --person klant-1 --to neutraal --file {example}\n\
         \x20 sluis --as neutraal inbox\n\
         \x20 sluis --as neutraal fetch-offer hnd_…          (the id that `offer` printed)\n\
         \x20 sluis --as neutraal accept hnd_…\n\
         \x20 sluis --as uwv release hnd_…\n\
         \x20 sluis --as neutraal fetch hnd_…\n\
         \x20 sluis --as neutraal complete hnd_… --contact-date today\n\
         \x20 sluis --as officer audit search --handover hnd_…\n\n\
         Everybody: uwv, uwv-fg, centrum, neutraal, regio, elders, vakbond, officer, operator, portal.\n\
         `sluis help` lists all verbs, `sluis help offer` one with an example; --json answers as JSON.\n",
        example = folder.join("offer.example.toml").display(),
    )
}
