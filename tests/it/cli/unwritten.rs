//! Standard output that takes nothing more: a disk that is full, a reader that went away. Every verb of an operator, and
//! those of a desk that read, change and stay.
//!
//! Must never be content with what a verb printed: its code is what a script goes by.

use super::Terminal;
use crate::house::program;
use crate::laid::Laid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Done, but the answer is not written.
const UNWRITTEN: i32 = 4;

/// Of no use, because nobody read it.
const NO_READER: i32 = 141;

/// Where a verb's standard output and standard error go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// A disk that has no room.
    FullDisk,
    /// A pipe that nobody reads; standard error too.
    Nobody,
}

/// Runs a verb; gives its code and what it said on standard error, where somebody reads that.
fn run(words: &[String], to: To) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(program());
    command.args(words).stdin(Stdio::null());
    match to {
        To::FullDisk => command
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .stderr(Stdio::piped()),
        To::Nobody => command.stdout(writer.try_clone().unwrap()).stderr(writer),
    };
    let said = command.output().unwrap();
    let told = String::from_utf8(said.stderr).unwrap();
    (said.status.code().unwrap_or(-1), told)
}

/// That a verb which ends with `code` says so whatever becomes of its answer, and that a full disk is told.
fn check(words: &str, code: i32) {
    for json in [false, true] {
        let mut words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        if json {
            words.push("--json".to_owned());
        }
        let (ended, told) = run(&words, To::FullDisk);
        if code == 0 {
            assert_eq!(ended, UNWRITTEN, "{words:?}: {told}");
            assert!(told.contains("could not be written"), "{words:?}: {told}");
        } else {
            assert_eq!(ended, code, "{words:?}: {told}");
        }
        assert!(!told.contains("panicked"), "{words:?}: {told}");
        let (ended, _) = run(&words, To::Nobody);
        assert_eq!(ended, code, "{words:?}: nobody reads");
    }
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_s_answer_that_is_not_written_is_told() {
    let mut laid = Laid::lay_files();
    let role = "holder-1";
    laid.start(role).await;
    let configuration = laid.home(role).join("sluis.toml");
    let (configuration, policies) = (configuration.display(), policies());
    let policies = policies.display();
    let place = laid.beside("");
    let beside = |name: &str| place.join(name).display().to_string();
    check(&format!("doctor --config {configuration}"), 0);
    check(&format!("config check --config {configuration}"), 0);
    check(&format!("migrate --config {configuration}"), 0);
    check(&format!("policy check --folder {policies}"), 0);
    check(&format!("policy matrix --folder {policies}"), 0);
    check("config check --config nowhere.toml", 1);
    check("doctor --config nowhere.toml", 2);
    check("policy check --folder nowhere", 1);
    for help in [
        "--help",
        "--version",
        "policy --help",
        "backup create --help",
    ] {
        let words: Vec<_> = help.split_whitespace().map(str::to_owned).collect();
        assert_eq!(run(&words, To::FullDisk).0, UNWRITTEN, "{help}");
        assert_eq!(run(&words, To::Nobody).0, 0, "{help}");
    }

    // The backup is there, though nobody was told.
    let words = |out: &str| {
        let words = format!(
            "backup create --config {configuration} --out {}",
            beside(out)
        );
        words
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(run(&words("one"), To::FullDisk).0, UNWRITTEN);
    assert_eq!(run(&words("two"), To::Nobody).0, 0);
    for made in ["one", "two"] {
        check(&format!("backup verify {}", beside(made)), 0);
    }
    laid.kill(role);
    laid.configure(role, "holder.sqlite", "again.sqlite");
    let restore = format!("backup restore --config {configuration} {}", beside("one"));
    let restore: Vec<_> = restore.split_whitespace().map(str::to_owned).collect();
    assert_eq!(run(&restore, To::Nobody).0, 0);
    laid.configure(role, "again.sqlite", "once-more.sqlite");
    assert_eq!(run(&restore, To::FullDisk).0, UNWRITTEN);
    laid.start(role).await;
}

#[test]
fn keys_whose_public_halves_nobody_saw_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    for owner in ["broker", "holder", "portal", "desk", "controller"] {
        let out = folder.path().join(owner);
        let words = format!("keys new --role {owner} --out {}", out.display());
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        for (to, expected) in [(To::FullDisk, UNWRITTEN), (To::Nobody, NO_READER)] {
            let (code, told) = run(&words, to);
            assert_eq!(code, expected, "{owner} {to:?}: {told}");
            assert!(!out.exists(), "{owner} {to:?}");
        }
        assert!(
            Command::new(program())
                .args(&words)
                .output()
                .unwrap()
                .status
                .success()
        );
        assert!(out.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_s_answer_that_is_not_written_is_told() {
    let terminal = Terminal::open().await;
    let sandbox = terminal.folder().display().to_string();
    let desk = |words: &str| format!("--sandbox {sandbox} --as uwv {words}");
    check(&desk("whoami"), 0);
    check(&desk("connect-check"), 0);
    check(&desk("inbox"), 0);
    check(&desk("show hnd_00000000000000000000000000000000"), 2);
    check(&format!("--sandbox {sandbox} --as nobody whoami"), 2);
    check("--sandbox nowhere --as uwv whoami", 2);
}
