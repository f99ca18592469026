//! A merged migration never changes: its SHA-256 stands in `frozen.txt`, and the next change is a new
//! file.
//!
//! `SLUIS_BLESS=1` adds hashes of new files; it must never replace one.

use crate::{nothing_found, source};
use ring::digest::{SHA256, digest};
use std::fmt::Write as _;

const FOLDER: &str = "services/store/migrations/";
const LIST: &str = "services/store/migrations/frozen.txt";

#[test]
fn merged_migrations_do_not_change() {
    let bless = std::env::var_os("SLUIS_BLESS").is_some();
    let list = std::fs::read_to_string(source::root().join(LIST)).expect("the list is there");
    let mut frozen: Vec<(&str, &str)> = list
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    let present: Vec<(String, String)> =
        source::texts(|path| path.starts_with(FOLDER) && path.ends_with(".sql"))
            .into_iter()
            .map(|(path, text)| {
                (
                    path,
                    rules::hex::encode(digest(&SHA256, text.as_bytes()).as_ref()),
                )
            })
            .collect();
    let mut findings = Vec::new();
    for (hash, path) in &frozen {
        match present.iter().find(|(present, _)| present == path) {
            None => findings.push(format!("{path} is gone")),
            Some((_, now)) if now != hash => findings.push(format!("{path} has changed")),
            Some(_) => {}
        }
    }
    nothing_found("merged migrations are frozen; add a new file", &findings);

    for (path, hash) in &present {
        if frozen.iter().all(|(_, known)| known != path) {
            findings.push(format!("{path} is not in {LIST} (SLUIS_BLESS=1 adds it)"));
            frozen.push((hash, path));
        }
    }
    if bless && !findings.is_empty() {
        let mut text = String::new();
        for (hash, path) in &frozen {
            writeln!(text, "{hash}  {path}").expect("writing to a String cannot fail");
        }
        std::fs::write(source::root().join(LIST), text).expect("the list can be written");
        return;
    }
    nothing_found("every migration is frozen from its merge on", &findings);
}

/// What is wrong with the name of a migration, if something is. From the second on it says from which schema on
/// programs may run beside it: `0003_from_0002_…`, or `0003_from_0003_…` when none may (`store::schema`).
fn misnamed(name: &str) -> Option<&'static str> {
    let stem = name.strip_suffix(".sql")?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 4);
    let (own, rest) = stem.split_once('_').unwrap_or((stem, ""));
    let Some(own) = number(own) else {
        return Some("begins with no number of four digits");
    };
    if own == 1 {
        return None;
    }
    let from = rest.strip_prefix("from_").and_then(|rest| {
        let (from, what) = rest.split_once('_')?;
        number(from).filter(|from| (1..=own).contains(from) && !what.is_empty())
    });
    from.is_none()
        .then_some("does not say from which schema on programs may run beside it")
}

#[test]
fn a_migration_says_who_may_run_beside_it() {
    for (name, right) in [
        ("0001_first.sql", true),
        ("0002_from_0001_more.sql", true),
        ("0002_from_0002_other.sql", true),
        ("0002_from_0003_more.sql", false),
        ("0002_more.sql", false),
        ("0002_from_0001.sql", false),
        ("2_from_0001_more.sql", false),
    ] {
        assert_eq!(misnamed(name).is_none(), right, "{name}");
    }
    let files = source::texts(|path| path.starts_with(FOLDER) && path.ends_with(".sql"));
    let findings: Vec<String> = files
        .iter()
        .filter_map(|(path, _)| {
            let name = path.rsplit('/').next()?;
            Some(format!("{path} {}", misnamed(name)?))
        })
        .collect();
    nothing_found("migrations say who may run beside them", &findings);
}
