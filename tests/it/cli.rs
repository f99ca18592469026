//! The command line as somebody types it: what README and sandbox print, every verb in both forms.
//!
//! Must never call the library in the place of the program: what is tried here is what is typed.

mod days;
mod printed;
mod second_sandbox;
mod typed;
mod unwritten;
mod verbs;

use crate::house::{House, program};
use rules::calendar::Day;
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A test person's number that the play does not use.
pub(crate) const NUMBER: &str = "999990019";

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A terminal beside a running sandbox.
pub(crate) struct Terminal {
    house: House,
}

impl Terminal {
    pub(crate) async fn open() -> Self {
        Self {
            house: House::start().await,
        }
    }

    pub(crate) fn house(&self) -> &House {
        &self.house
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.house.path()
    }

    /// One command, words parted by spaces, with what is typed on its standard input.
    pub(crate) fn say(&self, words: &str, input: &str) -> Said {
        let folder = self.folder();
        let words = words.split_whitespace();
        let mut arguments = vec!["--sandbox", folder.to_str().unwrap()];
        arguments.extend(words);
        said(Command::new(program()).args(arguments), input)
    }

    /// A command that must be done, readable.
    #[track_caller]
    pub(crate) fn text(&self, words: &str, input: &str) -> String {
        let said = self.say(words, input);
        assert_eq!(said.code, 0, "{words}: {}", said.err);
        assert!(
            !said.out.trim_start().starts_with('{'),
            "{words}: {}",
            said.out
        );
        said.out
    }

    /// A command that must be done, as JSON.
    #[track_caller]
    pub(crate) fn json(&self, words: &str, input: &str) -> Value {
        let said = self.say(&format!("{words} --json"), input);
        assert_eq!(said.code, 0, "{words}: {}{}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// A command that must not be done: exit code and what was said, in both forms; for people on one line.
    #[track_caller]
    pub(crate) fn refused(&self, words: &str, input: &str) -> (i32, String, Value) {
        let readable = self.say(words, input);
        let program = self.say(&format!("{words} --json"), input);
        assert_ne!(readable.code, 0, "{words}: {}", readable.out);
        assert_eq!(readable.code, program.code, "{words}");
        assert!(readable.out.is_empty(), "{words}: {}", readable.out);
        let value: Value = serde_json::from_str(&program.out)
            .unwrap_or_else(|error| panic!("{words}: {error}: {}", program.out));
        assert!(
            !value["error"]["text"].as_str().unwrap().is_empty(),
            "{words}"
        );
        let told: Vec<&str> = readable.err.split_whitespace().collect();
        (readable.code, told.join(" "), value["error"].clone())
    }
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut standard = child.stdin.take().unwrap();
    // A command that reads nothing may be gone already.
    drop(standard.write_all(format!("{input}\n").as_bytes()));
    drop(standard);
    let done = child.wait_with_output().unwrap();
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// The repository's own folder, in which README's commands are typed.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A value of an answer, as text.
#[track_caller]
pub(crate) fn text_of(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
        .to_owned()
}

/// The day so many days from now in Amsterdam, as YYYY-MM-DD.
pub(crate) fn in_days(days: i64) -> String {
    let now = rules::clock::Clock::now(&gateway::clock::SystemClock);
    let day = Day::at(now).unwrap().plus(days).unwrap();
    day.to_string()
}
