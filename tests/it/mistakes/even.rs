//! Makes a text even: what differs from run to run gives way to a word that says what stood there.
//!
//! Must never even out what is said: only folders, ports, ids, digests, days and times.

use std::path::Path;

/// From how many hexadecimal digits on a word is an id, a key or a digest.
const DIGITS_OF_ID: usize = 12;

/// A text without what differs from run to run. Each line loses its trailing spaces.
pub(super) fn text(text: &str, folder: &Path) -> String {
    let above = folder.parent().unwrap();
    let whole = std::fs::canonicalize(above).unwrap();
    let text = text
        .replace(&*whole.join("sandbox").to_string_lossy(), "SANDBOX")
        .replace(&*whole.to_string_lossy(), "FOLDER")
        .replace(&*above.to_string_lossy(), "FOLDER");
    let mut even = String::new();
    for line in text.lines() {
        let mut rest = line.trim_end();
        while let Some(next) = rest.chars().next() {
            if let Some((name, length)) = time(rest) {
                even.push_str(name);
                rest = rest.get(length..).unwrap();
                continue;
            }
            let length = word(rest);
            if length == 0 {
                even.push(next);
                rest = rest.get(next.len_utf8()..).unwrap();
            } else {
                let (word, after) = rest.split_at(length);
                even.push_str(&evened(word, even.chars().last()));
                rest = after;
            }
        }
        even.push('\n');
    }
    even
}

/// The day or the time that a text begins with, and its octets.
fn time(text: &str) -> Option<(&'static str, usize)> {
    let forms = [
        ("DAY", "dddd-dd-dd"),
        ("TIME", "dd:dd:dd"),
        ("TIME", "dd:dd"),
    ];
    forms.into_iter().find_map(|(name, form)| {
        let start = text.get(..form.len())?;
        let alike = |(c, f): (char, char)| if f == 'd' { c.is_ascii_digit() } else { c == f };
        start
            .chars()
            .zip(form.chars())
            .all(alike)
            .then_some((name, form.len()))
    })
}

/// The octets of the word that a text begins with: letters and digits.
fn word(text: &str) -> usize {
    let within = |c: char| c.is_ascii_alphanumeric();
    text.find(|c| !within(c)).unwrap_or(text.len())
}

fn evened(word: &str, before: Option<char>) -> String {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = word.bytes().all(|octet| octet.is_ascii_hexdigit());
    if word.len() >= DIGITS_OF_ID && hexadecimal && digits > 0 && !word.starts_with("0000") {
        return "…".to_owned();
    }
    let number: Option<u32> = word.parse().ok();
    match (before, number) {
        (Some(':'), Some(10_000..=65_535)) => "PORT".to_owned(),
        _ => word.to_owned(),
    }
}
