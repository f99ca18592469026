//! Configurations in, mistakes out.

use super::{Configuration, DatabaseSettings, Role, read};
use std::path::Path;

const BROKER: &str = r#"
role = "broker"
profile = "sandbox"
listen = "127.0.0.1:7443"
oin_element = "serialNumber"
key_file = "Cargo.toml"
day_keys = "day-keys"
[tls]
certificate = "Cargo.toml"
key = "Cargo.toml"
issuer = "Cargo.toml"
[database]
path = "broker.sqlite"
[directory]
file = "Cargo.toml"
signatures = "Cargo.toml"
[policies]
folder = "policies"
signatures = "Cargo.toml"
[log]
level = "info"
format = "json"
[[controllers]]
name = "first"
public_key = "0000000000000000000000000000000000000000000000000000000000000001"
[[commitments]]
holder = "00000099000000007000"
commitment = "0000000000000000000000000000000000000000000000000000000000000002"
[[holders]]
oin = "00000099000000007000"
address = "127.0.0.1:7451"
server_name = "localhost"
"#;

/// Replaces each `from` by `to` and compares the fields with mistakes.
fn check(replacements: &[(&str, &str)], expected: &[&str]) {
    let text = replacements
        .iter()
        .fold(BROKER.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} is not in the sample");
            text.replacen(from, to, 1)
        });
    let table = text.parse().expect("the sample is TOML");
    let found = match read(table, Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(configuration) => {
            assert!(matches!(configuration.role, Role::Broker(_)));
            Vec::new()
        }
        Err(mistakes) => mistakes.into_iter().map(|mistake| mistake.field).collect(),
    };
    assert_eq!(found, expected, "{replacements:?}");
}

#[test]
fn a_right_file_is_read_and_a_wrong_one_says_everything_at_once() {
    check(&[], &[]);
    check(&[("role = \"broker\"", "role = \"brokr\"")], &["role"]);
    check(
        &[
            ("profile = \"sandbox\"\n", ""),
            ("127.0.0.1:7443", "here"),
            ("certificate = \"Cargo.toml\"", "certificate = \"none.pem\""),
            ("level = \"info\"", "level = \"loud\""),
            ("oin = \"00000099000000007000\"", "oin = \"7\"\nextra = 1"),
            ("oin_element = \"serialNumber\"\n", ""),
        ],
        &[
            "holders[0].oin",
            "holders[0].extra",
            "profile",
            "listen",
            "oin_element",
            "tls.certificate",
            "log.level",
        ],
    );
}

#[test]
fn a_mistake_has_its_line() {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("mistakes-{}.toml", std::process::id()));
    let text = BROKER.replace("level = \"info\"", "level = \"loud\"");
    std::fs::write(&path, text.replace("server_name = \"localhost\"\n", "")).unwrap();
    let told = Configuration::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<&str> = told.lines().skip(1).collect();
    for (field, place, wanted) in [
        ("log.level", "log.level", "is not one of error"),
        ("holders[0].server_name", "holders[0]", "is missing"),
    ] {
        let line = super::toml_line(BROKER, place);
        let found = lines
            .iter()
            .find(|told| told.contains(&format!("`{field}` {wanted}")));
        let begin = format!("  line {}: ", line.unwrap());
        assert!(
            found.is_some_and(|told| told.starts_with(&begin)),
            "{field} {begin}\n{told}"
        );
    }
}

/// A portal's file out of the broker's.
fn portal(own: &str) -> Result<Role, Vec<String>> {
    let (first, rest) = BROKER.split_once("day_keys = \"day-keys\"\n").unwrap();
    let (shared, _) = rest.split_once("[[holders]]").unwrap();
    let first = first.replace("role = \"broker\"", "role = \"portal\"");
    let text = format!("{first}{own}{shared}");
    let table = text.parse().expect("the sample is TOML");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    read(table, folder)
        .map(|configuration| configuration.role)
        .map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.field).collect())
}

#[test]
fn a_portal_has_a_store_a_database_a_broker_and_policies() {
    let broker = "broker = { address = \"127.0.0.1:7443\", server_name = \"localhost\" }\n";
    let whole = portal(&format!("store = \"store\"\n{broker}"));
    let Ok(Role::Portal(settings)) = whole else {
        panic!("{whole:?}")
    };
    let DatabaseSettings::File { path, .. } = &settings.database else {
        panic!("{settings:?}")
    };
    assert!(path.ends_with("broker.sqlite"));
    assert!(settings.policies.path.ends_with("policies"));
    let bare = portal("day_keys = \"day-keys\"\n").unwrap_err();
    assert_eq!(bare, ["store", "broker", "day_keys"]);
}

#[test]
fn one_key_under_two_names_is_refused() {
    check(
        &[(
            "[[commitments]]",
            "[[controllers]]\nname = \"second\"\npublic_key = \
             \"0000000000000000000000000000000000000000000000000000000000000001\"\n[[commitments]]",
        )],
        &["controllers[1]"],
    );
}

#[test]
fn a_count_is_at_least_one() {
    for wrong in ["0", "-1", "\"many\""] {
        check(
            &[(
                "path = \"broker.sqlite\"",
                &format!("path = \"broker.sqlite\"\npages_max = {wrong}"),
            )],
            &["database.pages_max"],
        );
    }
}

#[test]
fn a_server_has_an_address_without_a_password_and_a_plain_schema() {
    let file = "path = \"broker.sqlite\"";
    let good = "url = \"postgres://sluis@localhost/sluis\"\nschema = \"broker_1\"";
    check(&[(file, good)], &[]);
    for (wrong, fields) in [
        ("url = \"mysql://localhost/sluis\"", ["database.url"]),
        ("url = \"postgres://localhost\"", ["database.url"]),
        (
            "url = \"postgres://sluis:secret@localhost/sluis\"",
            ["database.url"],
        ),
        (
            "url = \"postgres://localhost/sluis?password=secret\"",
            ["database.url"],
        ),
        (
            "url = \"postgres://localhost/sluis\"\nschema = \"a; DROP\"",
            ["database.schema"],
        ),
        (
            "url = \"postgres://localhost/sluis\"\npath = \"x\"",
            ["database.path"],
        ),
        (
            "url = \"postgres://localhost/sluis\"\nconnections_max = 0",
            ["database.connections_max"],
        ),
        ("", ["database.path"]),
    ] {
        check(&[(file, wrong)], &fields);
    }
}
