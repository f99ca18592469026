//! What a command prints: short lines and tables for people, one JSON value for programs.
//!
//! Must never be used for anything but the answer itself (progress and errors go to standard error), must never let
//! half an answer pass for a whole one, and must never write a character that a terminal obeys: what others typed
//! goes through here.

use super::error::EXIT_UNWRITTEN;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};
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
    settle(writeln!(out, "{}", escaped(text.trim_end())).and_then(|()| out.flush()))
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

/// The same text with each BSN in it as nine `x`, where one was typed as an argument: the screen does not repeat it.
#[must_use]
pub fn unrepeated(text: &str) -> String {
    let typed: Vec<_> = std::env::args_os().collect();
    let typed = typed.join(OsStr::new(" "));
    let is_typed = client::mask_bsn(&typed.to_string_lossy()).is_some();
    let masked = is_typed.then(|| client::mask_bsn(text)).flatten();
    masked.unwrap_or_else(|| text.to_owned())
}

/// The same for what a program reads.
#[must_use]
pub fn unrepeated_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(unrepeated(&text)),
        Value::Array(values) => values.into_iter().map(unrepeated_json).collect(),
        Value::Object(values) => values
            .into_iter()
            .map(|(name, value)| (name, unrepeated_json(value)))
            .collect(),
        other => other,
    }
}

/// Says that a command did not do what was asked: for people on standard error, for programs on standard output too.
pub fn fail(text: &str, value: Option<&Value>) {
    if let Some(value) = value {
        // It is said below as well, and the exit code says it in any case.
        drop(line(&value.to_string()));
    }
    // Whoever reads through a pipe gets whole lines, to search in.
    let is_read_here = std::io::stderr().is_terminal() || std::env::var_os("COLUMNS").is_some();
    if is_read_here {
        note(sentences(&without_numbers(text)).trim_end());
    } else {
        note(text);
    }
}

/// One line to standard error: progress, errors, hints.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", escaped(&without_numbers(text)));
}

/// The same text without the numbers that the system's errors carry: their words say what it is.
#[must_use]
pub fn without_numbers(text: &str) -> String {
    const MARK: &str = " (os error ";
    let mut parts = text.split(MARK);
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        left.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    left
}

/// Columns that a line for people has at most.
const COLUMNS_MAX: usize = 80;
/// Columns between two cells of a table.
const GAP: usize = 2;
/// Fewest columns in which a long cell is still readable; with less it goes on below.
const CELL_COLUMNS_MIN: usize = 36;
/// How much further the rest of a line that is too long stands to the right.
const CONTINUED: usize = 4;

/// The same text with every character that a terminal would obey, instead of showing it, as its escape: control
/// characters but the end of a line, and the marks that turn the direction of what is read. In JSON such a character
/// stands within a text only, where the escape means the same character.
#[must_use]
pub fn escaped(text: &str) -> String {
    let is_obeyed = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A value of somebody else within a sentence: on one line, and harmless to a terminal.
#[must_use]
pub fn quoted(text: &str) -> String {
    escaped(text).replace('\n', "\\u000a")
}

/// A text as lines of at most `width` columns, harmless to a terminal. A line is cut behind its last space that fits;
/// a word that does not fit in any line is cut where `hard`, and stands out otherwise.
fn wrapped(text: &str, (first, rest): (usize, usize), hard: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for line in escaped(&text.replace("\r\n", "\n")).split('\n') {
        let characters: Vec<char> = line.chars().collect();
        let indent = characters.iter().take_while(|c| **c == ' ').count();
        let (mut begin, mut width) = (0, first);
        loop {
            let left = characters.get(begin..).unwrap_or_default();
            if left.len() <= width {
                lines.push(left.iter().collect());
                break;
            }
            let is_break = |at: &usize| begin + at > indent && left.get(*at) == Some(&' ');
            let cut = match (1..=width).rev().find(is_break) {
                Some(space) => Some((space, space + 1)),
                None if hard => Some((width, width)),
                None => (width..left.len()).find(is_break).map(|at| (at, at + 1)),
            };
            let (end, next) = cut.unwrap_or((left.len(), left.len()));
            lines.push(left.get(..end).unwrap_or_default().iter().collect());
            if next >= left.len() {
                break;
            }
            (begin, width) = (begin + next, rest);
        }
    }
    lines
}

/// Names and values under each other. A value that is too long, or has lines of its own, goes on under itself.
#[must_use]
pub fn facts(rows: &[(&str, String)]) -> String {
    let names = rows.iter().map(|(name, _)| name.chars().count());
    let start = names.max().unwrap_or(0).saturating_add(GAP);
    let width = COLUMNS_MAX.saturating_sub(start).max(1);
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        for (number, line) in wrapped(value, (width, width), true).iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            push_cells(&mut text, &[(0, name.to_owned()), (start, line.clone())]);
        }
    }
    text
}

/// A column of a table: where it stands, and how wide.
struct Column {
    index: usize,
    start: usize,
    width: usize,
    is_number: bool,
}

/// A table with its columns aligned. Columns whose title begins with `#` are numbers. What does not fit beside each
/// other on a screen stands below, further to the right; a cell goes on under itself.
#[must_use]
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = titles
        .iter()
        .map(|title| title.trim_start_matches('#').to_owned())
        .collect();
    let bands = bands(titles, &head, rows);
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        for (number, band) in bands.iter().enumerate() {
            let cell = |column: &Column| row.get(column.index).map_or("", String::as_str);
            if number > 0 && band.iter().all(|column| cell(column).is_empty()) {
                continue;
            }
            push_band(&mut text, band, cell);
        }
    }
    text
}

/// Which columns stand beside each other.
fn bands(titles: &[&str], head: &[String], rows: &[Vec<String>]) -> Vec<Vec<Column>> {
    let mut bands: Vec<Vec<Column>> = vec![Vec::new()];
    let mut start = 0_usize;
    for (index, title) in titles.iter().enumerate() {
        let cells = std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
        let lines = cells
            .filter_map(|row| row.get(index))
            .flat_map(|cell| cell.split('\n'));
        let longest = lines.map(|line| escaped(line).chars().count()).max();
        let longest = longest.unwrap_or(0);
        let mut left = COLUMNS_MAX.saturating_sub(start);
        let is_empty = bands.last().is_none_or(Vec::is_empty);
        if longest > left && left < CELL_COLUMNS_MIN && !is_empty {
            bands.push(Vec::new());
            start = GAP;
            left = COLUMNS_MAX - GAP;
        }
        let width = longest.min(left).max(1);
        if let Some(band) = bands.last_mut() {
            band.push(Column {
                index,
                start,
                width,
                is_number: title.starts_with('#'),
            });
        }
        start = start.saturating_add(width).saturating_add(GAP);
    }
    bands
}

fn push_band<'c>(text: &mut String, band: &[Column], cell: impl Fn(&Column) -> &'c str) {
    let cells: Vec<Vec<String>> = band
        .iter()
        .map(|column| wrapped(cell(column), (column.width, column.width), true))
        .collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..height {
        let line: Vec<(usize, String)> = band
            .iter()
            .zip(&cells)
            .filter_map(|(column, lines)| {
                let cell = lines.get(number)?;
                let right = column.width.saturating_sub(cell.chars().count());
                let shift = if column.is_number { right } else { 0 };
                Some((column.start + shift, cell.clone()))
            })
            .collect();
        push_cells(text, &line);
    }
}

/// One line with each cell where it is to begin.
fn push_cells(text: &mut String, cells: &[(usize, String)]) {
    let mut line = String::new();
    let mut at = 0_usize;
    for (start, cell) in cells.iter().filter(|(_, cell)| !cell.is_empty()) {
        line.push_str(&" ".repeat(start.saturating_sub(at)));
        line.push_str(cell);
        at = (*start).max(at).saturating_add(cell.chars().count());
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The same text with no line longer than a screen is wide: what is behind the last space that fits, or behind the
/// last column, goes on below.
#[must_use]
pub fn folded(text: &str) -> String {
    fold(text, true)
}

/// The same for sentences: a word that does not fit stays whole, because it may be a path that somebody copies.
#[must_use]
pub fn sentences(text: &str) -> String {
    fold(text, false)
}

fn fold(text: &str, hard: bool) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        let indent = line.chars().take_while(|c| *c == ' ').count() + CONTINUED;
        let indent = indent.min(COLUMNS_MAX / 2);
        let parts = wrapped(line, (COLUMNS_MAX, COLUMNS_MAX - indent), hard);
        for (number, part) in parts.iter().enumerate() {
            let start = if number == 0 { 0 } else { indent };
            push_cells(&mut folded, &[(start, part.clone())]);
        }
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
    use super::{COLUMNS_MAX, escaped, facts, folded, quoted, sentences, short, table};

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

    /// What stands in a table or under a name, where nothing is to be obeyed or to begin a row of its own.
    #[track_caller]
    fn harmless(value: &str, shown: &str) {
        let cell = value.to_owned();
        let row = vec!["label".to_owned(), cell.clone()];
        for text in [
            table(&["label", "value"], &[row]),
            facts(&[("label", cell)]),
        ] {
            assert!(text.contains(shown), "{text:?}");
            assert!(
                text.chars().all(|c| c == '\n' || !c.is_control()),
                "{text:?}"
            );
            let begins = |line: &str| line.starts_with("label") || line.starts_with("  ");
            assert!(text.lines().all(begins), "{text:?}");
            let fits = |line: &str| line.chars().count() <= COLUMNS_MAX;
            assert!(text.lines().all(fits), "{text:?}");
        }
    }

    #[test]
    fn what_others_typed_does_nothing_to_a_terminal() {
        harmless("\u{1b}[2Jgone\u{7}", "\\u001b[2Jgone\\u0007");
        harmless("a\rb\u{7f}\u{9b}1A", "a\\u000db\\u007f\\u009b1A");
        harmless("\u{202e}txet\u{2066}", "\\u202etxet\\u2066");
        harmless("one\r\nidentiteit.bsn    111222334", "one\n");
        harmless("José 👋 e\u{301}", "José 👋 e\u{301}");
        harmless(&"x".repeat(65_536), &"x".repeat(40));
        harmless(&"word ".repeat(2_000), "word word");
        assert_eq!(quoted("a\nb\u{1b}"), "a\\u000ab\\u001b");
        // A program reads the same text.
        let json = serde_json::json!({ "a": "\u{9b}\u{7f}\u{202e}\u{1b}\n" });
        let read: serde_json::Value = serde_json::from_str(&escaped(&json.to_string())).unwrap();
        assert_eq!(read, json);
    }

    #[test]
    fn what_does_not_fit_beside_each_other_stands_below() {
        let id = "hnd_0123456789abcdef0123456789abcdef";
        let row = |what: &str, last: &str| {
            vec![
                id.to_owned(),
                what.to_owned(),
                id.to_owned(),
                last.to_owned(),
            ]
        };
        let rows = [row("OFFERED", "3"), row("NOTICE", "")];
        assert_eq!(
            table(&["one", "what", "two", "#count"], &rows),
            format!(
                "one                                   what\n  two                                   count\n\
                 {id}  OFFERED\n  {id}      3\n{id}  NOTICE\n  {id}\n"
            )
        );
        let path = format!("/{}", "x".repeat(100));
        let text = sentences(&format!(
            "error: {} `{path}` cannot be read",
            "word ".repeat(14)
        ));
        assert!(text.contains(&format!("`{path}`")), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
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
