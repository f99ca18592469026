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
    let list = std::fs::read_to_string(source::root().join(LIST));
    if list.is_err() && !bless {
        // Nothing has been frozen yet: the first release does that.
        return;
    }
    let list = list.unwrap_or_default();
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
