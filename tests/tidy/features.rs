//! One feature set: the sandbox, the whole workspace and the tests are built of the same packages with the same
//! features, so that none is built twice.
//!
//! Must never be repaired by a feature that the program uses only for the tests' sake where a test can do with less.

use crate::{nothing_found, source};
use std::collections::BTreeSet;
use std::process::Command;

/// Packages with their features, as cargo resolves them for these arguments.
fn resolved(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none"])
        .args(["--format", "{p} [{f}]"])
        .args(arguments)
        .current_dir(source::root())
        .output()
        .expect("cargo runs, for it runs us");
    assert!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect()
}

#[test]
fn the_sandbox_and_the_tests_share_every_build() {
    let edges = "normal,dev,no-proc-macro";
    let whole = resolved(&["--workspace", "--edges", edges]);
    let parts = [
        ("cargo build", "normal,no-proc-macro", &[][..]),
        ("-p tests", edges, &["-p", "tests"][..]),
    ];
    let mut findings = Vec::new();
    for (name, edges, package) in parts {
        let part = resolved(&[package, &["--edges", edges]].concat());
        assert!(part.len() > 100, "{name}: {} packages", part.len());
        let other = part.difference(&whole);
        findings.extend(other.map(|package| format!("{package} in {name}, not in --workspace")));
    }
    nothing_found("a package is built twice, with other features", &findings);
}
