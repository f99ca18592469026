//! What a newcomer types wrong: each gets what, where and what to do, in both forms, and an exit code
//! that says which kind of fault it was (1 refused, 2 wrong use, 3 not reachable).
//!
//! Must never accept a text that says the same thing twice or repeats a number.

use super::{NUMBER, Terminal, said};
use crate::house::program;
use std::process::Command;

#[tokio::test]
async fn every_mistake_says_what_to_do() {
    let terminal = Terminal::open().await;
    let unknown = "hnd_01a207c62b027df0a3e70eb3420b1ff0";
    for (words, input, code, wanted) in [
        ("whoami", "", 2, "--as"),
        ("--as koning whoami", "", 2, "use one of: "),
        (
            "--as uwv enrol --person a --bsn -",
            "123456789",
            2,
            "eleven-test",
        ),
        (
            "--as uwv enrol --person a --bsn -",
            "12",
            2,
            "nothing was sent",
        ),
        (
            "--as vakbond enrol --person a --bsn -",
            NUMBER,
            1,
            "RIGHT_MISSING",
        ),
        (
            "--as uwv offer --person a --to neutraal --file nowhere.toml",
            "",
            2,
            "nowhere.toml",
        ),
        ("--as uwv show hnd_1", "", 2, "whole id"),
        (
            "--as neutraal decline hnd_1 --code tired",
            "",
            2,
            "no-capacity",
        ),
        ("--as uwv audit search --peer uwv", "", 1, "RIGHT_MISSING"),
        ("--as officer audit show ent_1", "", 2, "32 digits"),
        (
            "--as officer audit search --peer uwv --from gisteren",
            "",
            2,
            "YYYY-MM-DD",
        ),
        ("consent stop cns_1", NUMBER, 2, "32 digits"),
        ("consent stop-by-code 1234", "", 1, "16 letters and digits"),
        ("overview --lang fr", NUMBER, 1, "is not one of nl, en"),
        ("--as vakbond redeem-link --person a 0", "", 2, "portal"),
    ] {
        let (exit, text, error) = terminal.refused(words, input);
        assert_eq!(exit, code, "{words}: {text}");
        assert!(text.contains(wanted), "{words}: {text}");
        assert!(!text.contains(NUMBER), "{words} repeats a number");
        assert!(error["kind"].is_string());
        said_once(&text);
    }
    let (exit, text, error) = terminal.refused(&format!("--as uwv show {unknown}"), "");
    assert_eq!(exit, 1, "{text}");
    assert!(text.contains("en: ") && text.contains("nl: "), "{text}");
    assert_eq!(error["reason"], "NOT_AVAILABLE");
}

/// No clause of an error stands in it twice.
#[track_caller]
fn said_once(text: &str) {
    let mut clauses: Vec<_> = text
        .split(": ")
        .map(str::trim)
        .filter(|clause| clause.len() > 12)
        .collect();
    clauses.sort_unstable();
    let all = clauses.len();
    clauses.dedup();
    assert_eq!(clauses.len(), all, "doubled: {text}");
}

#[test]
fn operators_mistakes_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let sluis = |words: &str| {
        let mut command = Command::new(program());
        command.args(words.split_whitespace()).current_dir(&folder);
        said(&mut command, "")
    };
    let made = sluis("keys new --role desk --out desk.keys.toml");
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.contains("signing_key"));
    for (words, wanted) in [
        (
            "keys new --role desk --out desk.keys.toml",
            "is there already",
        ),
        ("serve --config broker.toml", "broker.toml"),
        ("migrate --config broker.toml", "broker.toml"),
        ("policy check --folder nowhere", "nowhere"),
        ("--as uwv policy check", "--as"),
        ("--sandbox x config check --config broker.toml", "--sandbox"),
        ("--as uwv sandbox", "--as"),
        ("--sandbox nowhere --as uwv whoami", "sluis sandbox --stay"),
    ] {
        let answer = sluis(words);
        assert_ne!(answer.code, 0, "{words}");
        let told = answer.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(wanted), "{words}: {told}");
        said_once(&told);
    }
    assert!(!folder.path().join("sluis-sandbox").exists());
}

#[tokio::test]
async fn a_second_sandbox_leaves_a_running_one_alone() {
    let terminal = Terminal::open().await;
    let folder = terminal.folder();
    for more in [&["--lay"][..], &[]] {
        let second = said(
            Command::new(program())
                .arg("sandbox")
                .args(more)
                .arg("--folder")
                .arg(&folder),
            "",
        );
        assert_eq!(second.code, 1, "{}", second.err);
        assert!(second.err.contains("is running in"), "{}", second.err);
    }
    terminal.text("--as uwv whoami", "");
}
