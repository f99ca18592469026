//! What only looks something up is a closed list: ARCHITECTURE.md names exactly the commands that do.
//!
//! Must never let a command on the list that answers a repeat from what was stored, or that hands out a sealed field,
//! a key or a pseudonym.

use super::{nothing_found, source};
use std::collections::BTreeSet;

/// The list's heading in ARCHITECTURE.md.
const HEADING: &str = "## What only looks something up";
/// What marks a command as one.
const MARK: &str = "    looks_up!();\n";
/// These hand out what must not be shown without a decision in the writer: never on the list.
const HAND_OUT: [&str; 8] = [
    "CheckPerson",
    "Enrol",
    "Fetch",
    "FetchOffer",
    "FetchReport",
    "Link",
    "Prepare",
    "PullFeed",
];

/// The commands of a file: what is written between the braces of each.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\nimpl Command for ").skip(1);
    blocks.map(|block| block.split_once("\n}\n").map_or(block, |(block, _)| block))
}

/// The name that a command gives itself.
fn name(command: &str) -> Option<&str> {
    let (_, rest) = command.split_once("fn name(&self) -> &'static str {")?;
    rest.split('"').nth(1)
}

#[test]
fn the_list_of_what_only_looks_something_up_is_closed() {
    let mut found = Vec::new();
    let mut in_code = BTreeSet::new();
    let services = source::rust();
    let services = services
        .iter()
        .filter(|(path, _)| path.starts_with("services/") && !path.contains("/tests/"));
    for (path, text) in services {
        for command in commands(text).filter(|command| command.contains(MARK)) {
            let name = name(command).unwrap_or("a command without a name of its own");
            if command.contains("fn repeatable") {
                found.push(format!(
                    "{path}: {name} looks something up and is repeatable"
                ));
            }
            in_code.insert(name.to_owned());
        }
    }
    assert!(!in_code.is_empty(), "the mark is not found any more");
    let text = std::fs::read_to_string(source::root().join("ARCHITECTURE.md")).expect("a text");
    let section = text.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let in_text: BTreeSet<_> = rows
        .filter_map(|row| row.split('`').next())
        .map(str::to_owned)
        .collect();
    for name in in_code.symmetric_difference(&in_text) {
        found.push(format!(
            "{name} is in the code or in ARCHITECTURE.md, and not in both"
        ));
    }
    for name in HAND_OUT.iter().filter(|name| in_code.contains(**name)) {
        found.push(format!("{name} hands out what is not on the list"));
    }
    nothing_found("what only looks something up", &found);
}
