//! The house's own rules, checked on every run: arrows between rooms, homes of outside crates,
//! lengths, headers, secrets, reasons, links, migrations.
//!
//! A check may only tighten. It must never be switched off for one file: change the file.

mod features;
mod headers;
mod links;
mod lists;
mod looks;
mod migrations;
mod reasons;
mod rooms;
mod secrets;
mod sizes;
mod source;

/// Fails with every finding at once, so that one run is enough to repair all of them.
#[track_caller]
fn nothing_found(rule: &str, findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{rule}\n  {}\n({} findings)",
        findings.join("\n  "),
        findings.len()
    );
}
