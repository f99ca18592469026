//! A function has at most 70 lines, a file at most 600.
//!
//! The bounds must never grow; a function that does not fit needs a better shape, not a cut.

use crate::{nothing_found, source};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

#[test]
fn functions_and_files_are_short() {
    let mut findings = Vec::new();
    for (path, text) in source::rust() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{path}: {lines} lines"));
        }
        for (name, line, lines) in functions(&source::blanked(&text)) {
            if lines > FUNCTION_LINES_MAX {
                findings.push(format!("{path}:{line}: fn {name} has {lines} lines"));
            }
        }
    }
    nothing_found(
        "functions have at most 70 lines and files at most 600",
        &findings,
    );
}

/// Name, first line and number of lines of every function with a body, in blanked source.
fn functions(source: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (start, _) in source.match_indices("fn ") {
        let in_word = source[..start]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_');
        if in_word {
            continue;
        }
        let rest = &source[start..];
        let Some(length) = length_of_function(rest) else {
            continue;
        };
        let name = rest[3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '$')
            .collect();
        let line = 1 + source[..start].matches('\n').count();
        found.push((name, line, 1 + rest[..length].matches('\n').count()));
    }
    found
}

/// Length up to and including the closing brace; none for a function without a body.
fn length_of_function(source: &str) -> Option<usize> {
    let mut nesting = 0_i32;
    let mut braces = 0_i32;
    for (at, character) in source.char_indices() {
        match character {
            '(' | '[' if braces == 0 => nesting += 1,
            ')' | ']' if braces == 0 => nesting -= 1,
            ';' if braces == 0 && nesting == 0 => return None,
            '{' if nesting == 0 => braces += 1,
            '}' if nesting == 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(at + 1);
                }
                if braces < 0 {
                    return None;
                }
            }
            _ => {}
        }
        if nesting < 0 {
            return None;
        }
    }
    None
}

#[test]
fn functions_are_found_with_their_lines() {
    #[track_caller]
    fn check(source: &str, expected: &[(&str, usize, usize)]) {
        let found = functions(&source::blanked(source));
        let found: Vec<_> = found
            .iter()
            .map(|(name, line, lines)| (name.as_str(), *line, *lines))
            .collect();
        assert_eq!(found, expected);
    }
    check("fn a() {\n}\n", &[("a", 1, 2)]);
    check("\npub fn a(x: [u8; 3])\n -> u8 {\n {} }", &[("a", 2, 3)]);
    check("trait T { fn a(); fn b() {} }", &[("b", 1, 1)]);
    check("let f: fn (u8) -> u8 = g;", &[]);
    check("struct A { f: fn (u8) }", &[]);
    check("// fn a() {\n", &[]);
}
