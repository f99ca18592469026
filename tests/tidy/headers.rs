//! Every module opens with `//!`: what it is for, and what it must never do.
//!
//! Must never accept a header that only repeats the module's name.

use crate::{nothing_found, source};

#[test]
fn every_module_says_what_it_is_for_and_what_it_must_never_do() {
    let findings: Vec<String> = source::rust()
        .iter()
        .filter_map(|(path, text)| Some(format!("{path}: {}", wrong(text)?)))
        .collect();
    nothing_found("every module opens with `//!` (STYLE.md 2)", &findings);
}

/// What is wrong with the header, if anything.
fn wrong(text: &str) -> Option<&'static str> {
    let header: Vec<&str> = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    if header.is_empty() {
        return Some("does not begin with `//!`");
    }
    if header.join(" ").len() < 60 {
        return Some("the header says too little");
    }
    let says_never = header
        .iter()
        .any(|line| line.to_lowercase().contains("never"));
    (!says_never).then_some("the header has no sentence on what the module must never do")
}

#[test]
fn headers_are_judged() {
    let good = "//! Reads the clock for everyone who needs the time.\n//! Must never be used below counter.\n";
    assert_eq!(wrong(good), None);
    assert!(wrong("use std::fmt;\n").is_some());
    assert!(wrong("//! x\n").is_some());
    assert!(wrong(&good.replace("never", "always")).is_some());
}
