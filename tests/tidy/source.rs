//! The files that git knows or would take in, and Rust source with its texts and comments blanked.
//!
//! Must never read what git ignores: build output and a sandbox's keys are nobody's source.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the root")
        .to_path_buf()
}

/// Paths relative to the root of every file that is in git, or would be after `git add`.
pub(crate) fn files() -> Vec<String> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git is needed to know which files are ours");
    assert!(listing.status.success(), "git ls-files failed");
    let mut paths: Vec<String> = String::from_utf8(listing.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The Rust files of the services and the tests, with their text.
pub(crate) fn rust() -> Vec<(String, String)> {
    texts(|path| {
        path.ends_with(".rs") && (path.starts_with("services/") || path.starts_with("tests/"))
    })
}

/// Files that `wanted` picks and that are text, with their text.
pub(crate) fn texts(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|path| wanted(path))
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).ok()?;
            Some((path, text))
        })
        .collect()
}

/// Rust source of the same length and lines in which comments, strings and characters are spaces, so
/// that every brace left is a brace.
pub(crate) fn blanked(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < source.len() {
        let end = end_of_text(&source, at);
        if end > at {
            out.extend(
                source[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            out.push(source[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment, string or character that begins at `at` ends; `at` itself when none begins.
fn end_of_text(source: &[char], at: usize) -> usize {
    let next = source.get(at + 1).copied();
    let before = at.checked_sub(1).map(|index| source[index]);
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match source[at] {
        '/' if next == Some('/') => find(source, at, "\n").unwrap_or(source.len()),
        '/' if next == Some('*') => find(source, at + 2, "*/").map_or(source.len(), |end| end + 2),
        '"' => end_of_string(source, at),
        'b' if !in_word && next == Some('"') => end_of_string(source, at + 1),
        'r' | 'b' if !in_word => end_of_raw_string(source, at).unwrap_or(at),
        '\'' => end_of_char(source, at).unwrap_or(at),
        _ => at,
    }
}

fn find(source: &[char], from: usize, pattern: &str) -> Option<usize> {
    let pattern: Vec<char> = pattern.chars().collect();
    (from..source.len()).find(|&at| source[at..].starts_with(&pattern))
}

fn end_of_string(source: &[char], open: usize) -> usize {
    let mut at = open + 1;
    while at < source.len() && source[at] != '"' {
        at += if source[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(source.len())
}

fn end_of_raw_string(source: &[char], at: usize) -> Option<usize> {
    let after_r = match source[at..] {
        ['r', ..] => at + 1,
        ['b', 'r', ..] => at + 2,
        _ => return None,
    };
    let hashes = source[after_r..].iter().take_while(|&&c| c == '#').count();
    if source.get(after_r + hashes) != Some(&'"') {
        return None;
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = find(source, after_r + hashes + 1, &closing)?;
    Some(end + closing.len())
}

/// A character ends within a few places; a lifetime has no closing quote there.
fn end_of_char(source: &[char], at: usize) -> Option<usize> {
    if source.get(at + 1) == Some(&'\\') {
        return (at + 3..(at + 14).min(source.len()))
            .find(|&end| source[end] == '\'')
            .map(|end| end + 1);
    }
    (source.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

#[test]
fn blanking_leaves_code_and_takes_texts() {
    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(blanked(source), expected);
    }
    check("a // {\nb", "a     \nb");
    check("a /* { */ b", "a         b");
    check("f(\"{\\\"{\") {", "f(      ) {");
    check("f('{') {", "f(   ) {");
    check("f('\\'') {", "f(    ) {");
    check("fn f<'a>(x: &'a str) {", "fn f<'a>(x: &'a str) {");
    check("r#\"{\"{\"# {", "         {");
    check("br\"{\" {", "      {");
    check("b'{' {", "b    {");
    check("number\"{\"", "number   ");
}
