//! Every module opens with `//!`: what it is for, and what it must never do.
//!
//! Must never accept a header that only repeats the module's name.

use crate::{nothing_found, source};

#[test]
fn every_module_says_what_it_is_for_and_what_it_must_never_do() {
    let findings: Vec<String> = source::rust()
        .iter()
        .filter_map(|(path, text)| Some(format!("{path}: {}", wrong(text, is_test(path))?)))
        .collect();
    nothing_found("every module opens with `//!` (STYLE.md 2)", &findings);
}

/// Whether the file holds the tests of a room: it serves nobody, so what it is for is enough.
fn is_test(path: &str) -> bool {
    path.starts_with("services/") && (path.ends_with("/tests.rs") || path.contains("/tests/"))
}

/// What is wrong with the header, if anything.
fn wrong(text: &str, test: bool) -> Option<&'static str> {
    let header: Vec<&str> = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    if header.is_empty() {
        return Some("does not begin with `//!`");
    }
    if header.join(" ").len() < if test { 20 } else { 60 } {
        return Some("the header says too little");
    }
    let says_never = header
        .iter()
        .any(|line| line.to_lowercase().contains("never"));
    (!test && !says_never).then_some("the header has no sentence on what the module must never do")
}

#[test]
fn headers_are_judged() {
    let good = "//! Reads the clock for everyone who needs the time.\n//! Must never be used below the broker.\n";
    let silent = good.replace("never", "always");
    assert_eq!(wrong(good, false), None);
    assert!(wrong("use std::fmt;\n", true).is_some());
    assert!(wrong("//! x\n", true).is_some());
    assert!(wrong(&silent, false).is_some());
    assert_eq!(wrong(&silent, true), None);
    assert!(is_test("services/vault/src/tests/points.rs"));
    assert!(!is_test("tests/it/main.rs"));
}
