//! Every link in the documents leads somewhere, down to the heading.
//!
//! Must never ask the network: a link to the outside is checked for its host in `secrets`.

use crate::{nothing_found, source};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

#[test]
fn every_link_leads_somewhere() {
    let mut findings = Vec::new();
    for (path, text) in source::texts(|path| path.ends_with(".md")) {
        for (line, target) in links(&text) {
            if let Some(wrong) = wrong(&path, &text, target) {
                findings.push(format!("{path}:{line}: `{target}`: {wrong}"));
            }
        }
    }
    nothing_found("links in the documents resolve", &findings);
}

#[test]
fn every_path_named_in_the_documents_exists() {
    let mut findings = Vec::new();
    for (path, text) in source::texts(|path| path.ends_with(".md")) {
        for (line, named) in paths(&text) {
            if !source::root().join(named).exists() {
                findings.push(format!("{path}:{line}: `{named}`"));
            }
        }
    }
    nothing_found("the documents name files that exist", &findings);
}

#[test]
fn every_function_of_the_way_in_the_code_is_there() {
    let mut findings = Vec::new();
    let mut rows = 0;
    for (path, text) in source::texts(|path| path.ends_with("ARCHITECTURE.md")) {
        for (line, row) in (1..).zip(text.lines()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, _, file, function, _] = *cells else {
                continue;
            };
            let (Some(file), Some(function)) = (in_ticks(file), in_ticks(function)) else {
                continue;
            };
            if !file.ends_with(".rs") {
                continue;
            }
            rows += 1;
            let code = std::fs::read_to_string(source::root().join(file)).unwrap_or_default();
            let is_there = ["(", "<"]
                .iter()
                .any(|end| code.contains(&format!("fn {function}{end}")));
            if !is_there {
                findings.push(format!("{path}:{line}: `{function}` is not in `{file}`"));
            }
        }
    }
    assert!(rows > 20, "the tables were not read: {rows} rows");
    nothing_found("ARCHITECTURE names functions that are there", &findings);
}

/// What a cell holds, if it is one name in code.
fn in_ticks(cell: &str) -> Option<&str> {
    let name = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!name.contains('`')).then_some(name)
}

/// Targets of `[text](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    prose(text)
        .flat_map(|(line, content)| {
            content
                .match_indices("](")
                .filter_map(|(at, _)| {
                    let rest = &content[at + 2..];
                    Some((line, &rest[..rest.find(')')?]))
                })
                .collect::<Vec<_>>()
        })
        .filter(|(_, target)| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// Paths between backticks that begin with one of our folders and have no pattern in them.
fn paths(text: &str) -> Vec<(usize, &str)> {
    const FOLDERS: &[&str] = &[
        "services/",
        "tests/",
        "docs/",
        "proto/",
        "policies/",
        "certs/",
    ];
    prose(text)
        .flat_map(|(line, content)| {
            content
                .split('`')
                .skip(1)
                .step_by(2)
                .map(move |code| (line, code))
        })
        .filter(|(_, code)| FOLDERS.iter().any(|folder| code.starts_with(folder)))
        .filter(|(_, code)| !code.contains(|c: char| c.is_whitespace() || "<>*{}…".contains(c)))
        .map(|(line, code)| (line, code.split("::").next().unwrap_or(code)))
        .collect()
}

/// Lines outside fenced code, numbered from one.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines()
        .enumerate()
        .filter(move |(_, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .map(|(index, line)| (index + 1, line))
}

fn wrong(path: &str, text: &str, target: &str) -> Option<&'static str> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let other;
    let content = if file.is_empty() {
        text
    } else {
        let found = plain(&source::root().join(path).parent()?.join(file));
        if !found.exists() {
            return Some("no such file");
        }
        other = std::fs::read_to_string(found).unwrap_or_default();
        &other
    };
    (!heading.is_empty() && !headings(content).contains(heading)).then_some("no such heading")
}

/// `a/b/../c` as `a/c`, so that a link works in a checkout of any shape.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut out, part| {
        if part == Component::ParentDir {
            out.pop();
        } else {
            out.push(part);
        }
        out
    })
}

/// The names under which headings can be linked to: lower case, hyphens for spaces, no other marks.
fn headings(text: &str) -> HashSet<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn links_and_headings_are_read() {
    let text =
        "# One `two` (three)\n[a](b.md#c) `docs/x.md`\n```\n[d](e)\n```\n[f](https://crates.io)\n";
    assert_eq!(links(text), [(2, "b.md#c")]);
    assert_eq!(paths(text), [(2, "docs/x.md")]);
    assert!(headings(text).contains("one-two-three"));
    assert_eq!(plain(Path::new("a/b/../c")), Path::new("a/c"));
}
