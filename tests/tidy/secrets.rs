//! Nothing secret and nothing personal in git: no key or certificate, no BSN, no path of somebody's
//! machine, no unknown host.
//!
//! Must never print what it found, only where: the finding may be real.

use crate::{nothing_found, source};

/// The one number that passes the eleven-test and is in the documents: the test vector of the
/// pseudonyms. All others begin with 9999.
const VECTOR: &str = "123456782";

/// Hosts that addresses in our files may name; names of nobody (`.invalid`, `.example`, `.test`) are free.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "localhost",
    "crates.io",
    "docs.rs",
    "github.com",
    "joinup.ec.europa.eu",
    "eur-lex.europa.eu",
    "wetten.overheid.nl",
    "www.rfc-editor.org",
    "www.rust-lang.org",
    "sqlite.org",
    "www.w3.org",
    "w3id.org",
    "c2sp.org",
];

/// Folders that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/root/", "/home/", "/work/", "/Users/"];

/// The lines of every text file that pass `wrong`, as `path:line`.
fn lines_where(wrong: impl Fn(&str, &str) -> bool) -> Vec<String> {
    source::texts(|_| true)
        .iter()
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .filter(|(_, line)| wrong(path, line))
                .map(|(index, _)| format!("{path}:{}", index + 1))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn no_key_and_no_certificate() {
    let mut findings = lines_where(|_, line| is_pem(line));
    findings.extend(source::files().into_iter().filter(|path| {
        [".pem", ".key", ".p12", ".pfx", ".jks", ".der", ".crt"]
            .iter()
            .any(|ending| path.ends_with(ending))
    }));
    nothing_found("keys and certificates are made, never kept", &findings);
}

fn is_pem(line: &str) -> bool {
    line.split_once(concat!("-----", "BEGIN "))
        .is_some_and(|(_, rest)| rest.contains("-----"))
}

#[test]
fn no_bsn_but_test_numbers() {
    let findings = lines_where(|_, line| {
        nine_digits(line)
            .into_iter()
            .any(|number| number != VECTOR && !number.starts_with("9999") && passes_eleven(number))
    });
    nothing_found("numbers that may be somebody's BSN", &findings);
}

/// Every run of exactly nine digits that is not part of a longer word.
fn nine_digits(line: &str) -> Vec<&str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| word.len() == 9 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

/// The eleven-test (elfproef): 9a + 8b + … + 2h − i is a multiple of eleven, and not nought.
fn passes_eleven(number: &str) -> bool {
    let sum: i32 = number
        .bytes()
        .zip([9, 8, 7, 6, 5, 4, 3, 2, -1])
        .map(|(byte, weight)| i32::from(byte - b'0') * weight)
        .sum();
    sum != 0 && sum % 11 == 0
}

#[test]
fn no_path_of_one_machine() {
    let findings = lines_where(|path, line| {
        path != "tests/tidy/secrets.rs" && MACHINE_PATHS.iter().any(|folder| names(line, folder))
    });
    nothing_found("these paths exist on one machine only", &findings);
}

/// Whether `line` has `folder` as the beginning of a path, and not as the middle of one.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && !"./-_}".contains(before))
    })
}

#[test]
fn no_unknown_host() {
    let findings = lines_where(|path, line| {
        path != "tests/tidy/secrets.rs" && hosts(line).into_iter().any(|host| !is_known(host))
    });
    nothing_found(
        "hosts that are not in the list of tests/tidy/secrets.rs",
        &findings,
    );
}

/// The hosts of all addresses in `line`; a host that is filled in at run time is none.
fn hosts(line: &str) -> Vec<&str> {
    line.match_indices("://")
        .filter(|(at, _)| line[..*at].ends_with("http") || line[..*at].ends_with("https"))
        .map(|(at, _)| {
            let rest = &line[at + 3..];
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || ".-_".contains(c)))
                .unwrap_or(rest.len());
            rest[..end].trim_end_matches('.')
        })
        .filter(|host| !host.is_empty())
        .collect()
}

fn is_known(host: &str) -> bool {
    HOSTS.contains(&host)
        || [".invalid", ".example", ".test", ".localhost"]
            .iter()
            .any(|ending| host.ends_with(ending))
}

#[test]
fn the_searches_find() {
    assert!(is_pem(concat!("-----", "BEGIN PRIVATE KEY-----")));
    assert!(!is_pem("it begins with -----BEGIN"));
    assert!(passes_eleven(VECTOR));
    assert!(!passes_eleven("123456789"));
    assert!(!passes_eleven("000000000"));
    assert_eq!(nine_digits("bsn=123456782, id 1234567820"), [VECTOR]);
    assert_eq!(nine_digits("a123456782"), [""; 0]);
    assert!(names("in /root/x", "/root/"));
    assert!(!names("tree/root/x", "/root/"));
    assert_eq!(
        hosts("see https://crates.io/x and http://a.b."),
        ["crates.io", "a.b"]
    );
    assert_eq!(hosts("https://{address}/"), [""; 0]);
    assert!(!is_known("a.b"));
}
