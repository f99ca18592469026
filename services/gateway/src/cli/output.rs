//! What a command prints: short lines and tables for people, one JSON value for programs.
//!
//! Must never be used for anything but the answer itself (progress and errors go to standard error), and must never let
//! half an answer pass for a whole one.

use super::error::EXIT_UNWRITTEN;
use serde_json::Value;
use std::io::Write as _;
use std::process::ExitCode;

/// An answer in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
}

impl Answer {
    /// An answer in both forms.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
        }
    }
}

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody, or a file.
    There,
    /// Nobody any more: the pipe is closed.
    Gone,
}

/// Standard output took an answer in part or not at all.
#[derive(Debug, thiserror::Error)]
#[error(
    "what was asked for is done, but the answer could not be written to standard output whole: {0}; \
     make room there"
)]
pub struct Unwritten(#[from] std::io::Error);

/// Prints one answer.
///
/// # Errors
/// When it is not written whole. A reader that went away is no fault of the command.
pub fn print(answer: &Answer, as_json: bool) -> Result<Reader, Unwritten> {
    if as_json {
        line(&answer.json.to_string())
    } else if answer.text.is_empty() {
        Ok(Reader::There)
    } else {
        line(&answer.text)
    }
}

/// One line to standard output.
///
/// # Errors
/// As [`print()`].
pub fn line(text: &str) -> Result<Reader, Unwritten> {
    let mut out = std::io::stdout().lock();
    settle(writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()))
}

/// What has become of something that was written to standard output.
///
/// # Errors
/// As [`print()`].
pub fn settle(written: std::io::Result<()>) -> Result<Reader, Unwritten> {
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error.into()),
    }
}

/// With which code a command ends that has done its work with this one and printed its answer.
pub fn end(printed: Result<Reader, Unwritten>, code: ExitCode) -> ExitCode {
    match printed {
        Ok(_) => code,
        Err(unwritten) => {
            note(&format!("sluis: {unwritten}"));
            ExitCode::from(EXIT_UNWRITTEN)
        }
    }
}

/// Says that a command did not do what was asked: for people on standard error, for programs on standard output too.
pub fn fail(text: &str, value: Option<&Value>) {
    if let Some(value) = value {
        // It is said below as well, and the exit code says it in any case.
        drop(line(&value.to_string()));
    }
    note(text);
}

/// One line to standard error: progress, errors, hints.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Names and values under each other.
#[must_use]
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

/// A table with its columns aligned. Columns whose title begins with `#` are numbers.
#[must_use]
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let longest = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max();
            longest
                .unwrap_or(0)
                .max(title.trim_start_matches('#').chars().count())
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(titles.iter().zip(&widths))
            .map(|(cell, (title, width))| {
                if title.starts_with('#') {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let head = line(
        titles
            .iter()
            .map(|title| title.trim_start_matches('#'))
            .collect(),
    );
    let body: String = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()))
        .collect();
    format!("{head}{body}")
}

/// Columns that a line for people has at most.
const COLUMNS_MAX: usize = 80;
/// What the rest of a line that is too long begins with.
const CONTINUED: &str = "        ";

/// The same text with no line longer than a screen is wide: what is behind the last space that fits, or behind the
/// last column, goes on below.
#[must_use]
pub fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest: Vec<char> = line.chars().collect();
        while rest.len() > COLUMNS_MAX {
            let mut fits = rest.iter().take(COLUMNS_MAX);
            let indent = rest.iter().take_while(|c| **c == ' ').count();
            let space = fits.rposition(|c| *c == ' ').filter(|at| *at > indent);
            let at = space.unwrap_or(COLUMNS_MAX);
            let after = rest.split_off(at);
            folded.extend(rest);
            folded.push('\n');
            rest = CONTINUED.chars().collect();
            rest.extend(after.into_iter().skip(usize::from(space.is_some())));
        }
        folded.extend(rest);
        folded.push('\n');
    }
    folded
}

/// The first digits of a long hexadecimal text, enough to recognise it by.
#[must_use]
pub fn short(bytes: &[u8]) -> String {
    let digits = rules::hex::encode(bytes);
    format!("{}…", digits.get(..12).unwrap_or(&digits))
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS_MAX, facts, folded, short, table};

    #[test]
    fn no_line_is_wider_than_a_screen_and_nothing_is_lost() {
        let digest = "0".repeat(300);
        let text = format!(
            "  \"handover.closed_sha256\": \"{digest}\"\nshort\n{}",
            "word ".repeat(40)
        );
        let narrow = folded(&text);
        assert!(
            narrow
                .lines()
                .all(|line| line.chars().count() <= COLUMNS_MAX)
        );
        let letters = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(letters(&narrow), letters(&text));
        assert!(narrow.contains("\nshort\n"));
    }

    #[test]
    fn columns_stand_under_their_titles() {
        let rows = [
            vec!["WW".into(), "55".into()],
            vec!["Banenafspraak".into(), "4".into()],
        ];
        assert_eq!(
            table(&["group", "#count"], &rows),
            "group          count\nWW                55\nBanenafspraak      4\n"
        );
        assert_eq!(
            facts(&[("a", "1".into()), ("long", String::new())]),
            "a     1\n"
        );
        assert_eq!(short(&[0xab; 32]), "abababababab…");
    }
}
