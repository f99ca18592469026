//! What README and the sandbox print, typed as it stands. A reader puts in the ids and codes that the
//! commands before gave.
//!
//! Must never type anything else: a line that needs a change is a line that is wrong.

use super::{Terminal, repository, said};
use crate::house::program;
use std::path::Path;
use std::process::Command;

/// Types lines one after the other, with the placeholders that their readers fill in.
struct Reader<'a> {
    terminal: &'a Terminal,
    at: &'a Path,
    handover: String,
    entry: String,
    link: String,
    stop: String,
}

impl Reader<'_> {
    fn filled(&self, line: &str) -> String {
        line.replace("hnd_…", &self.handover)
            .replace("ent_…", &self.entry)
            .replace("XXXX-XXXX-XXXX-XXXX", &self.stop)
            .replace("XXXXX-XXXXX", &self.link)
    }

    /// Types one line; keeps the ids and codes that it prints.
    #[track_caller]
    fn types(&mut self, line: &str) -> String {
        // What a reader understands as a remark.
        let line = line.split("          (").next().unwrap();
        let line = self.filled(line);
        let folder = self.terminal.folder();
        let script = format!(
            "sluis() {{ {} --sandbox {} \"$@\"; }}\n{line}\n",
            program().display(),
            folder.display()
        );
        let answer = said(
            Command::new("bash")
                .args(["-c", &script])
                .current_dir(self.at),
            "",
        );
        assert_eq!(answer.code, 0, "{line}\n{}", answer.err);
        self.keep(&answer.out);
        answer.out
    }

    fn keep(&mut self, printed: &str) {
        let is_code = |word: &str, groups: usize, length: usize| {
            let parts: Vec<_> = word.split('-').collect();
            parts.len() == groups
                && parts.iter().all(|part| {
                    part.len() == length && part.chars().all(|c| c.is_ascii_alphanumeric())
                })
        };
        for word in printed.split(|c: char| c.is_whitespace() || c == '(' || c == ')') {
            match word {
                word if word.starts_with("hnd_") && word.len() == 36 => {
                    word.clone_into(&mut self.handover)
                }
                word if word.starts_with("ent_") && word.len() == 36 => {
                    word.clone_into(&mut self.entry)
                }
                word if is_code(word, 2, 5) => word.clone_into(&mut self.link),
                word if is_code(word, 4, 4) => word.clone_into(&mut self.stop),
                _ => (),
            }
        }
    }
}

fn reader<'a>(terminal: &'a Terminal, at: &'a Path) -> Reader<'a> {
    Reader {
        terminal,
        at,
        handover: String::new(),
        entry: String::new(),
        link: String::new(),
        stop: String::new(),
    }
}

#[tokio::test]
async fn what_the_sandbox_prints_can_be_typed_as_it_stands() {
    let terminal = Terminal::open().await;
    // It prints how to call it after it wrote that it serves.
    let mut printed = String::new();
    while !printed.contains("the servers stay up") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        printed = std::fs::read_to_string(terminal.house.beside("sandbox.log")).unwrap();
    }
    let folder = terminal.folder();
    let lines: Vec<_> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.contains("sluis ") && !line.contains("sluis()"))
        .collect();
    assert!(lines.len() >= 9, "{printed}");
    let mut reader = reader(&terminal, &folder);
    let mut last = String::new();
    for line in &lines {
        last = reader.types(line);
    }
    assert!(
        last.contains("Complete"),
        "the log has the last step: {last}"
    );
}

#[tokio::test]
async fn what_readme_says_can_be_typed_as_it_stands() {
    let terminal = Terminal::open().await;
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let by_hand = readme.split("## Make a handover by hand").nth(1).unwrap();
    let by_hand = by_hand.split("## Read on").next().unwrap();
    let lines: Vec<_> = by_hand
        .lines()
        .filter(|line| line.starts_with("sluis ") || line.starts_with("echo "))
        .collect();
    assert!(lines.len() >= 17, "{lines:#?}");
    let mut reader = reader(&terminal, repository());
    let mut seen = String::new();
    for line in &lines {
        seen.push_str(&reader.types(line));
    }
    for wanted in [
        "Okke Blikwijk",
        "SUWI",
        "COMPLETED",
        "Vakbond De Schakel",
        "WITHDRAWN",
    ] {
        assert!(seen.contains(wanted), "{wanted} in\n{seen}");
    }
}

#[test]
fn the_whole_play_succeeds_twice_in_one_folder_and_never_under_another() {
    let folder = tempfile::tempdir().unwrap();
    let play = || {
        let mut command = Command::new(program());
        command.args(["sandbox", "--json"]).current_dir(&folder);
        said(&mut command, "")
    };
    let (first, second) = (play(), play());
    for played in [&first, &second] {
        assert_eq!(played.code, 0, "{}", played.err);
        let answer: serde_json::Value = serde_json::from_str(&played.out).unwrap();
        assert!(answer.is_object());
        assert!(!played.err.is_empty(), "it shows progress");
    }
    // A folder that is something else stays as it is.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("thesis.txt"), "mine").unwrap();
    let refused = said(
        Command::new(program())
            .args(["sandbox", "--folder"])
            .arg(other.path()),
        "",
    );
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("--folder"), "{}", refused.err);
    assert!(other.path().join("thesis.txt").is_file());
}
