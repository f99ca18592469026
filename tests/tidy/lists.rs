//! Every list that travels has a limit: its comment in the proto says "at most …".
//!
//! Must never accept a list whose length is whatever a table happens to hold: it gets a page and a place from
//! which the next one goes on.

use crate::{nothing_found, source};

#[test]
fn every_list_says_how_long_it_can_be() {
    let findings: Vec<String> = source::texts(|path| path.ends_with(".proto"))
        .iter()
        .flat_map(|(path, text)| {
            let wrong = without_limit(text).into_iter();
            wrong.map(move |(line, field)| format!("{path}:{line}: {field}"))
        })
        .collect();
    nothing_found(
        "a list says how long it is at most (STYLE.md 20)",
        &findings,
    );
}

/// Lists whose comment names no limit: the line and the field.
fn without_limit(text: &str) -> Vec<(usize, String)> {
    let mut comment = String::new();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(more) = line.strip_prefix("//") {
            comment.push_str(more);
            continue;
        }
        let is_list = line.starts_with("repeated ") || line.starts_with("map<");
        if is_list && !comment.to_lowercase().contains("at most") {
            found.push((index + 1, line.to_owned()));
        }
        comment.clear();
    }
    found
}

#[test]
fn lists_are_judged() {
    let good = "message A {\n  // Rows,\n  // at most 100.\n  repeated B rows = 1;\n}\n";
    assert!(without_limit(good).is_empty());
    let silent = "message A {\n  // At most 1.\n  B row = 1;\n  repeated B rows = 2;\n}\n";
    assert_eq!(
        without_limit(silent),
        [(4, "repeated B rows = 2;".to_owned())]
    );
    assert_eq!(without_limit(&good.replace("most", "least")).len(), 1);
}
