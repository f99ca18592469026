//! What a command prints: short lines and tables for people, one JSON value for programs.
//!
//! Must never be used for anything but the answer itself; progress and errors go to standard error.

use serde_json::Value;
use std::io::Write as _;

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

/// Prints one answer. A reader that went away is no fault of the command.
pub fn print(answer: &Answer, as_json: bool) {
    let text = if as_json {
        answer.json.to_string()
    } else {
        answer.text.clone()
    };
    line(&text);
}

/// One line to standard output.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
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
