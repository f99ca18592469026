//! What people do wrong, each with the whole text that it brings them: tables in `mistakes/`, one for each kind.
//!
//! A table is read top-down. Before the first mistake stand lines of shell that make the ground (`> `). A mistake is a
//! heading (`## `), what makes the ground for it alone (`> `), what is typed (`$ `), and what comes of it: the exit code
//! and the text (`| `), with ids, digests, days, ports and folders even. Where the command knows `--json`, it is typed a
//! second time with it: a program is told the same, and a mistake has changed nothing.
//!
//! `SLUIS_BLESS=1` writes what is said now; whoever does so reads each text aloud: what is wrong, where, what to do.
//!
//! Must never accept a text that repeats a number, that is wider than a terminal, or that lets the transport speak.

mod even;
mod table;

use crate::database::engine_arguments;
use crate::house::{Folder, House, program};
use crate::laid::Laid;
use std::path::{Path, PathBuf};
use std::process::Command;
use table::{Mistake, Table};

/// The width that a text fits, in columns.
const WIDTH: usize = 80;
/// What a mistake may take at most, as `timeout` of coreutils has it.
const LONGEST: &str = "60";
/// The line of shell that brings back what the ground named.
const KNOWN: &str = "[ ! -f ../names.sh ] || . ../names.sh";
/// Words of libraries, which tell a person nothing.
const OF_LIBRARIES: &[&str] = &[
    "tonic",
    "hyper",
    "h2 ",
    "transport error",
    "os error",
    "panicked",
    "RUST_BACKTRACE",
    "sqlx",
];

/// A place to type in: a folder with a sandbox in it, and the program on the path.
struct Place {
    folder: PathBuf,
    path: String,
}

impl Place {
    /// Beside a sandbox, which is `./sluis-sandbox` there.
    fn beside(folder: &Folder) -> Self {
        let place = folder.beside("typed");
        let programs = folder.beside("programs");
        for made in [&place, &programs] {
            std::fs::create_dir(made).unwrap();
        }
        link(&folder.path(), &place.join("sluis-sandbox"));
        link(&program(), &programs.join("sluis"));
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        link(&data, &place.join("data"));
        let path = std::env::var("PATH").unwrap();
        Self {
            folder: place,
            path: format!("{}:{path}", programs.display()),
        }
    }

    /// Runs lines of shell; standard output and error as one text, and the exit code.
    fn run(&self, lines: &str) -> (i32, String) {
        let done = Command::new("timeout")
            .args([LONGEST, "sh", "-c"])
            .arg(format!("exec 2>&1\n{lines}"))
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("COLUMNS", WIDTH.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        (done.status.code().unwrap_or(-1), text)
    }

    /// Makes the ground for all mistakes of a table; what it names, each of them knows.
    fn prepare(&self, lines: &str) {
        let kept = "set +a\nexport -p > ../names.sh";
        let (code, text) = self.run(&format!("{KNOWN}\nset -eua\n{lines}\n{kept}"));
        assert_eq!(code, 0, "the ground: {text}");
    }

    /// Makes the ground for one mistake, and makes the mistake.
    fn make(&self, mistake: &Mistake, more: &str) -> (i32, String) {
        let (code, text) = self.run(&format!("{KNOWN}\nset -eu\n{}", mistake.ground));
        assert_eq!(code, 0, "{}: the ground: {text}", mistake.title);
        let (code, text) = self.run(&format!("{KNOWN}\n{}{more}", mistake.typed));
        (code, even::text(&text, &self.folder))
    }
}

fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

/// What is wrong with the text that a mistake brings, whatever it says.
fn faults_in(title: &str, code: i32, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if code == 0 {
        faults.push(format!("{title}: ends as if all were well"));
    }
    for line in text.lines().filter(|line| line.chars().count() > WIDTH) {
        faults.push(format!("{title}: wider than {WIDTH}: {line}"));
    }
    for word in OF_LIBRARIES.iter().filter(|word| text.contains(**word)) {
        faults.push(format!("{title}: the words of a library: {word}"));
    }
    if text.contains("99999") {
        faults.push(format!("{title}: repeats a number"));
    }
    faults
}

/// The same mistake once more, for a program: one JSON object that says what the text says.
fn faults_for_programs(place: &Place, mistake: &Mistake, code: i32, text: &str) -> Vec<String> {
    let (again, answer) = place.make(mistake, " --json 2>/dev/null");
    let title = &mistake.title;
    let Ok(answer) = serde_json::from_str::<serde_json::Value>(&answer) else {
        return vec![format!("{title}: --json is no JSON: {answer}")];
    };
    let told = answer["error"]["text"].as_str().unwrap_or_default();
    let even = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut faults = Vec::new();
    if again != code {
        faults.push(format!(
            "{title}: ends with {again} instead of {code} with --json"
        ));
    }
    if told.is_empty() || !even(text).contains(&even(told)) {
        faults.push(format!("{title}: --json says something else: {told}"));
    }
    faults
}

/// Makes every mistake of a table, and compares: what is not as it was.
fn faults_of(name: &str, place: &Place) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("it/mistakes/{name}.txt"));
    let mut table = Table::read(&std::fs::read_to_string(&path).unwrap());
    let mut faults = Vec::new();
    tokio::task::block_in_place(|| {
        place.prepare(&table.ground);
        for mistake in &mut table.mistakes {
            let (code, text) = place.make(mistake, "");
            faults.extend(faults_in(&mistake.title, code, &text));
            if mistake.is_for_programs() {
                faults.extend(faults_for_programs(place, mistake, code, &text));
            }
            if (code, &text) != (mistake.code, &mistake.text) {
                let title = &mistake.title;
                faults.push(format!("{title}: now says\nexit {code}\n{text}"));
                (mistake.code, mistake.text) = (code, text);
            }
        }
    });
    if std::env::var_os("SLUIS_BLESS").is_some() {
        std::fs::write(&path, table.to_string()).unwrap();
    }
    faults
}

#[track_caller]
fn none_of(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_desk() {
    if !engine_arguments().is_empty() {
        println!("not tested again: no text depends on the engine");
        return;
    }
    let house = House::start().await;
    let place = Place::beside(&house);
    let mut faults = Vec::new();
    for table in [
        "arguments",
        "files",
        "state",
        "rights",
        "people",
        "officers",
    ] {
        faults.extend(faults_of(table, &place));
    }
    none_of(&faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_operator() {
    let laid = Laid::lay_files();
    none_of(&faults_of("configuration", &Place::beside(&laid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_something_is_away() {
    let mut laid = Laid::open_files().await;
    let place = Place::beside(&laid);
    let mut faults = faults_of("before", &place);
    for (server, table) in [("holder-2", "holder-away"), ("broker", "broker-away")] {
        laid.kill(server);
        faults.extend(faults_of(table, &place));
    }
    none_of(&faults);
}

#[test]
fn there_are_a_hundred() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/mistakes");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    let count = |path: PathBuf| {
        Table::read(&std::fs::read_to_string(path).unwrap())
            .mistakes
            .len()
    };
    let count: usize = tables.map(count).sum();
    assert!(count >= 100, "{count}");
}
