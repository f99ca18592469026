//! Arrows between the rooms and the home of every outside crate, read from `cargo metadata`.
//!
//! A new arrow or a second home must never enter by the back door of a manifest: it is added here,
//! in review, and in ARCHITECTURE.md.

use crate::{nothing_found, source};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;

/// Which rooms a room may see. `tests` looks at the house from outside and may see all of it.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("rules", &[]),
    ("vault", &["rules"]),
    ("store", &["rules"]),
    ("papers", &["wire", "vault", "rules"]),
    // None of the three sees another: who may know what.
    ("broker", &["papers", "store", "vault", "rules"]),
    ("holder", &["papers", "store", "vault", "rules"]),
    ("portal", &["papers", "store", "vault", "rules"]),
    ("client", &["papers", "vault", "wire", "rules"]),
    (
        "gateway",
        &[
            "broker", "holder", "portal", "papers", "store", "vault", "client", "wire", "rules",
        ],
    ),
];

/// The only rooms in which an outside crate may be used. Tests, a room's own and `tests`, may use any
/// that stands here.
const HOMES: &[(&str, &[&str])] = &[
    ("cedar-policy", &["rules"]),
    ("jiff", &["rules"]),
    ("secrecy", &["rules"]),
    ("hpke", &["vault"]),
    ("libpep", &["vault"]),
    ("ring", &["vault"]),
    ("base64", &["vault"]),
    ("sqlx", &["store"]),
    ("protox", &["wire"]),
    ("tonic-prost-build", &["wire"]),
    ("prost", &["wire", "papers", "client", "gateway"]),
    ("prost-types", &["wire", "client", "gateway"]),
    ("tonic", &["wire", "client", "gateway"]),
    ("tonic-prost", &["wire", "client", "gateway"]),
    ("tonic-types", &["client", "gateway"]),
    ("tonic-health", &["gateway"]),
    ("tonic-reflection", &["gateway"]),
    ("hyper-util", &["client", "gateway"]),
    ("http-body", &["gateway"]),
    ("proxy-header", &["gateway"]),
    ("tower", &["client", "gateway"]),
    ("rustls", &["client", "gateway"]),
    ("tokio-rustls", &["client", "gateway"]),
    ("rcgen", &["gateway"]),
    ("x509-parser", &["client", "gateway"]),
    ("clap", &["gateway"]),
    ("tracing-subscriber", &["gateway"]),
    (
        "tokio",
        &["store", "broker", "holder", "portal", "client", "gateway"],
    ),
    ("tokio-stream", &["client", "gateway"]),
    ("serde", EVERYWHERE),
    ("serde_json", EVERYWHERE),
    ("thiserror", EVERYWHERE),
    ("toml", EVERYWHERE),
    ("tracing", EVERYWHERE),
    ("proptest", TESTS_ONLY),
    ("tempfile", TESTS_ONLY),
    ("aho-corasick", TESTS_ONLY),
    ("rustix", &["gateway"]),
    ("unicode-normalization", &["client"]),
    ("h2", TESTS_ONLY),
    ("jsonwebtoken", TESTS_ONLY),
];

const TESTS_ONLY: &[&str] = &[];
const EVERYWHERE: &[&str] = &[
    "rules", "vault", "papers", "store", "broker", "holder", "portal", "client", "gateway",
];

/// The one version of libpep, and the features that we chose. Any crate could switch others on for all: `offline`
/// gives contexts a factor of 1, `global-pseudonyms`, `legacy` and `insecure` bring global secret keys back.
const LIBPEP: (&str, &[&str]) = ("0.14.0", &["serde", "verifiable"]);

/// The workspace and all that it is built of here. Packages of other platforms are left out: a fresh
/// machine has never fetched them.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &host()])
        .current_dir(source::root())
        .output()
        .expect("cargo runs, for it runs us");
    assert!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
});

/// The platform that cargo builds for when nobody names one.
fn host() -> String {
    let output = Command::new(env!("CARGO"))
        .arg("-vV")
        .output()
        .expect("cargo runs, for it runs us");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("cargo names its host")
        .to_owned()
}

/// One dependency line of one of our crates.
struct Dependency {
    from: String,
    to: String,
    ours: bool,
    in_tests: bool,
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn dependencies() -> Vec<Dependency> {
    let members = array(&METADATA, "workspace_members");
    array(&METADATA, "packages")
        .iter()
        .filter(|package| members.contains(&package["id"]))
        .flat_map(|package| {
            array(package, "dependencies")
                .iter()
                .map(move |dependency| Dependency {
                    from: text(package, "name"),
                    to: text(dependency, "name"),
                    ours: dependency["path"].is_string(),
                    in_tests: package["name"] == "tests"
                        || package["name"] == "bench"
                        || package["name"] == "faults"
                        || dependency["kind"] == "dev",
                })
        })
        .collect()
}

fn allowed(table: &[(&str, &[&str])], key: &str, value: &str) -> bool {
    table
        .iter()
        .any(|(name, values)| *name == key && values.contains(&value))
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let findings: Vec<String> = dependencies()
        .iter()
        .filter(|dependency| dependency.ours && !dependency.in_tests)
        .filter(|dependency| !allowed(ARROWS, &dependency.from, &dependency.to))
        .map(|dependency| format!("{} → {}", dependency.from, dependency.to))
        .collect();
    nothing_found("these arrows are not in ARCHITECTURE.md", &findings);
}

/// The three roles between which a person's data would come together, and what none of them may see.
const ROLES: &[&str] = &["broker", "holder", "portal"];

#[test]
fn no_role_may_see_another() {
    for from in ROLES {
        let others = ROLES.iter().filter(|other| *other != from);
        for planted in others.chain(["gateway", "client", "wire"].iter()) {
            assert!(
                !allowed(ARROWS, from, planted),
                "{from} → {planted} must never be in the table"
            );
        }
    }
}

/// What a room says is written only when the log knows the room as ours: a crate that was split off goes silent else.
#[test]
fn every_room_may_write_to_the_log() {
    let listed = source::root().join("services/gateway/src/logging.rs");
    let listed = std::fs::read_to_string(listed).expect("the home of logging");
    let silent: Vec<String> = ARROWS
        .iter()
        .filter(|(room, _)| *room != "wire" && !listed.contains(&format!("\"{room}\",")))
        .map(|(room, _)| (*room).to_owned())
        .collect();
    nothing_found("what these rooms log is dropped", &silent);
}

#[test]
fn every_outside_crate_keeps_to_its_home() {
    let findings: Vec<String> = dependencies()
        .iter()
        .filter(|dependency| !dependency.ours)
        .filter(|dependency| {
            if dependency.in_tests {
                !HOMES.iter().any(|(name, _)| *name == dependency.to)
            } else {
                !allowed(HOMES, &dependency.to, &dependency.from)
            }
        })
        .map(|dependency| format!("{} in {}", dependency.to, dependency.from))
        .collect();
    nothing_found("these outside crates are away from home", &findings);
}

#[test]
fn every_outside_crate_has_its_line_in_the_docs() {
    let page = source::root().join("docs/decisions/dependencies.md");
    let page = std::fs::read_to_string(page).expect("the page of dependencies exists");
    let findings: Vec<String> = dependencies()
        .iter()
        .filter(|dependency| !dependency.ours)
        .filter(|dependency| !page.contains(&format!("| `{}` |", dependency.to)))
        .map(|dependency| format!("{} (used by {})", dependency.to, dependency.from))
        .collect();
    nothing_found("docs/decisions/dependencies.md lacks a line", &findings);
}

#[test]
fn libpep_is_pinned_and_has_the_features_that_we_chose() {
    let packages = array(&METADATA, "packages").iter();
    let nodes = array(&METADATA["resolve"], "nodes");
    let mut found = Vec::new();
    for package in packages.filter(|package| package["name"] == "libpep") {
        for node in nodes.iter().filter(|node| node["id"] == package["id"]) {
            let features = array(node, "features").iter().filter_map(Value::as_str);
            let features: BTreeSet<&str> = features.collect();
            found.push((package["version"].as_str().unwrap_or_default(), features));
        }
    }
    let (version, features) = LIBPEP;
    assert_eq!(
        found,
        [(version, features.iter().copied().collect())],
        "one libpep, the pinned one, with the features that we chose and no other"
    );
}
