//! The whole play, and then a search of everything that broker, holders and portal wrote: none of its
//! BSNs, names, points, handles and codes may be anywhere, nor that a vakbond takes part.
//!
//! A search that finds nothing proves nothing until it finds what was planted: that is tried too.
//! Must never print what it found, only what kind of thing and where.

use crate::database::{Beside, engine_arguments};
use crate::house::{files, program};
use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use gateway::cli::identity::Identity;
use gateway::configuration::{Configuration, DatabaseSettings};
use rules::pseudonym::Domain;
use rules::secret::Secret;
use sqlx::Connection as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault::keyfile::{KeyFile, Role};
use vault::rest::{Crypter, Place};

/// The OIN of the sandbox's vakbond.
const UNION: &str = "00000099000000005000";

/// What must not be found, in every form in which it might lie: raw, hexadecimal, base64 of both alphabets.
#[derive(Default)]
pub(crate) struct Wanted {
    forms: Vec<Vec<u8>>,
    names: Vec<String>,
}

impl Wanted {
    pub(crate) fn add(&mut self, what: &str, value: &[u8]) {
        let hex = rules::hex::encode(value);
        let forms = [
            value.to_vec(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
        ];
        for form in forms.into_iter().chain(base64_forms(value)) {
            self.forms.push(form);
            self.names.push(what.to_owned());
        }
    }

    /// Where anything of it lies, as kind and file; never the value.
    pub(crate) fn search(&self, paths: &[PathBuf]) -> Vec<String> {
        let automaton = AhoCorasick::new(&self.forms).unwrap();
        let mut found = Vec::new();
        for path in paths {
            let content = std::fs::read(path).unwrap();
            for hit in automaton.find_overlapping_iter(&content) {
                let name = &self.names[hit.pattern().as_usize()];
                found.push(format!("{name} in {} at {}", path.display(), hit.start()));
            }
        }
        found
    }
}

/// The three ways in which octets can lie within base64 text, without their ends, which depend on what
/// stands beside them; once in the plain alphabet, and in the one for addresses where that differs.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let for_addresses = |octet: &u8| match octet {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    let plain: Vec<Vec<u8>> = (0..3_usize)
        .map(|shift| {
            let padded: Vec<u8> = std::iter::repeat_n(0, shift)
                .chain(value.iter().copied())
                .collect();
            let bits: Vec<u8> = padded
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
                .collect();
            let text: Vec<u8> = bits
                .chunks(6)
                .filter(|chunk| chunk.len() == 6)
                .map(|chunk| {
                    ALPHABET[chunk
                        .iter()
                        .fold(0, |sum, bit| sum << 1 | usize::from(*bit))]
                })
                .collect();
            text[(shift * 8).div_ceil(6)..].to_vec()
        })
        .collect();
    let other = plain
        .iter()
        .filter(|text| text.iter().any(|octet| b"+/".contains(octet)))
        .map(|text| text.iter().map(for_addresses).collect());
    let other: Vec<Vec<u8>> = other.collect();
    plain.into_iter().chain(other).collect()
}

/// Everybody who was invented, with the pseudonyms that both sides know them by.
fn wanted(sandbox: &Path) -> Wanted {
    let mut wanted = Wanted::default();
    let people: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.join("people.json")).unwrap()).unwrap();
    let people = people.as_array().unwrap();
    assert!(people.len() > 1_600, "the play has {} people", people.len());
    let mut points = 0;
    for person in people {
        let text = |key: &str| person[key].as_str().unwrap().to_owned();
        wanted.add("a BSN", text("bsn").as_bytes());
        wanted.add("a name", text("name").as_bytes());
    }
    let codes = std::fs::read(sandbox.join("codes.json")).unwrap();
    let codes: serde_json::Value = serde_json::from_slice(&codes).unwrap();
    // What became of those of whom it was told: values of a sealed field, and of nothing else.
    for outcome in [
        "DUURZAME_BAAN",
        "VAST_CONTRACT",
        "VOLGT_OPLEIDING",
        "VERVOLGOPLEIDING",
    ] {
        wanted.add("an outcome", outcome.as_bytes());
    }
    let (mut number, mut statements) = (0, 0);
    for one in codes.as_array().unwrap() {
        let code = one["code"].as_str().unwrap();
        if code.is_empty() {
            continue; // Whoever says no gets no code.
        }
        let kind = one["kind"].as_str().unwrap();
        wanted.add(kind, code.as_bytes());
        wanted.add(kind, code.replace('-', "").as_bytes());
        if let Some(statement) = one["statement"].as_str() {
            // Its payload says who and what; the broker keeps it sealed. As text and as it was signed.
            let payload = statement.split('.').nth(1).unwrap();
            wanted.add("a consent statement", &payload.as_bytes()[..64]);
            let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
            let parties = [&b"\"recipient\":\""[..], &b"\"pii_information\":["[..]];
            for part in parties {
                let begin = payload
                    .windows(part.len())
                    .position(|octets| octets == part);
                let begin = begin.unwrap();
                wanted.add("a consent statement", &payload[begin..begin + 60]);
            }
            statements += 1;
        }
        number += 1;
    }
    assert!(number > 40, "{number} codes");
    assert!(statements > 20, "{statements} statements");
    for name in ["uwv", "regio", "centrum", "vakbond"] {
        let identity = Identity::load(sandbox, name).unwrap();
        let client = identity.client().unwrap();
        let party = identity.party().parse().unwrap();
        let domain = Domain::Partner { party, epoch: 1 };
        for person in people.iter().filter(|person| person["sender"] == name) {
            let key = client::PersonKey::new(person["key"].as_str().unwrap()).unwrap();
            if let Some(pseudonym) = client.store().pseudonym(&domain, &key).unwrap() {
                wanted.add("a point", pseudonym.bytes());
                points += 1;
            }
        }
    }
    assert!(points > 1_600, "{points} points");
    wanted
}

/// What the servers keep in a database, as files: their own on SQLite, what is dumped from them on PostgreSQL.
fn databases(processes: &Path, folder: &Path) -> Vec<PathBuf> {
    let servers = ["broker", "holder-1", "holder-2", "portal"];
    let dumps = servers.iter().filter_map(|server| {
        let to = folder.join(format!("{server}.dump"));
        dump(&processes.join(server), &to, &[]).then_some(to)
    });
    dumps.collect()
}

/// Writes all rows of a server's schema as text, octets in hexadecimal; `false` when it has a file of SQLite.
fn dump(home: &Path, to: &Path, more: &[&str]) -> bool {
    let configuration = Configuration::load(&home.join("sluis.toml")).unwrap();
    let DatabaseSettings::Server { url, schema, .. } = configuration.database() else {
        return false;
    };
    let schema = format!("--schema={}", schema.as_ref().unwrap());
    let dumped = Command::new("pg_dump")
        .args(["--data-only", "--dbname", url, &schema, "--file"])
        .arg(to)
        .args(more)
        .status()
        .unwrap();
    assert!(dumped.success());
    let raw = without_hexadecimal(&std::fs::read(to).unwrap());
    assert!(raw.len() > 1_000);
    std::fs::write(to, raw).unwrap();
    true
}

/// A dump with its octets as they are: nine digits of hexadecimal text may be anybody's number by chance.
fn without_hexadecimal(dump: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = br"\\x";
    let mut raw = Vec::with_capacity(dump.len());
    let mut rest = dump;
    while let Some(place) = rest.windows(MARK.len()).position(|octets| octets == MARK) {
        raw.extend_from_slice(&rest[..place]);
        rest = &rest[place + MARK.len()..];
        let digits = rest.iter().take_while(|octet| octet.is_ascii_hexdigit());
        let (digits, after) = rest.split_at(digits.count());
        let digits = std::str::from_utf8(digits).unwrap();
        raw.extend(rules::hex::decode(digits).unwrap());
        rest = after;
    }
    raw.extend_from_slice(rest);
    raw
}

/// A copy of the broker's database without the directory's own table.
async fn without_directory(home: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("broker-copy");
    if dump(home, &copy, &["--exclude-table-data=*.directory_file"]) {
        return copy;
    }
    let database = home.join("broker.sqlite");
    for ending in ["", "-wal"] {
        let from = PathBuf::from(format!("{}{ending}", database.display()));
        if from.is_file() {
            std::fs::copy(from, format!("{}{ending}", copy.display())).unwrap();
        }
    }
    let url = format!("sqlite://{}", copy.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for statement in [
        "DELETE FROM directory_file",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "VACUUM",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
    copy
}

/// The handles by which the broker knows people in a relation, opened from its own rows with its own key.
async fn handles(broker: &Path, copy: &Path) -> Vec<Vec<u8>> {
    let keys = Secret::new(std::fs::read_to_string(broker.join("keys.toml")).unwrap());
    let keys = KeyFile::parse(Role::Broker, &keys).unwrap();
    let crypter = Crypter::new(&keys.rest_keys());
    let configuration = Configuration::load(&broker.join("sluis.toml")).unwrap();
    let mut database = match configuration.database() {
        DatabaseSettings::File { .. } => Beside::file(copy).await,
        DatabaseSettings::Server { .. } => Beside::of(broker).await,
    };
    let rows = "SELECT subject_index, sealed_handle FROM relation_subject";
    let rows = database.pairs(rows).await;
    database.close().await;
    rows.iter()
        .map(|(row, sealed)| {
            let place = Place {
                table: "relation_subject",
                row,
                column: "sealed_handle",
            };
            crypter.open(&place, sealed).unwrap().expose().clone()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_play_leaves_nobody_in_any_database_or_log() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = folder.path().join("sandbox");
    let played = Command::new(program())
        .args(["sandbox", "--json", "--folder"])
        .arg(&sandbox)
        .args(engine_arguments())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&played.stderr).into_owned();
    assert!(played.status.success(), "{told}");

    let processes = sandbox.join("processes");
    let written: Vec<PathBuf> = files(&processes)
        .into_iter()
        .filter(|path| !path.to_string_lossy().ends_with(".pem"))
        .chain(databases(&processes, folder.path()))
        .collect();
    for server in ["broker", "holder-1", "holder-2", "portal"] {
        let log = processes.join(server).join("log.txt");
        assert!(
            std::fs::metadata(&log).unwrap().len() > 0,
            "{server} logged nothing"
        );
    }
    let mut wanted = wanted(&sandbox);
    assert_eq!(wanted.search(&written), Vec::<String>::new());
    assert_eq!(
        wanted.search(&[save(folder.path(), "stderr", &played.stderr)]),
        Vec::<String>::new()
    );

    let copy = without_directory(&processes.join("broker"), folder.path()).await;
    let handles = handles(&processes.join("broker"), &copy).await;
    assert!(handles.len() > 500, "{} handles", handles.len());
    let mut known = Wanted::default();
    for handle in &handles {
        assert_eq!(handle.len(), 32);
        known.add("a handle", handle);
    }
    let told = save(folder.path(), "stderr", &played.stderr);
    let everywhere: Vec<PathBuf> = written.iter().cloned().chain([told]).collect();
    assert_eq!(known.search(&everywhere), Vec::<String>::new());
    // Planted, each is found: a search that could not find one would have proved nothing.
    let planted = save(folder.path(), "planted", &handles[0]);
    assert_eq!(known.search(&[planted]).len(), 1);

    let logs: Vec<PathBuf> = written
        .iter()
        .filter(|path| path.ends_with("log.txt"))
        .cloned()
        .chain([copy])
        .collect();
    let mut union = Wanted::default();
    union.add("a vakbond's OIN", UNION.as_bytes());
    assert_eq!(union.search(&logs), Vec::<String>::new());

    finds_what_is_planted(&mut wanted, folder.path(), &some_code(&sandbox));
}

/// What is planted is found, in each form.
fn finds_what_is_planted(wanted: &mut Wanted, folder: &Path, code: &str) {
    wanted.add("a planted BSN", b"999999990");
    let odd = [0xfb, 0xff, 0xbe, 0xfb, 0xef, 0xbe, 0xff, 0xff, 0xfb];
    wanted.add("planted octets", &odd);
    for planted in [
        "x999999990y".to_owned(),
        "393939393939393930".to_owned(),
        "eDk5OTk5OTk5MHk".to_owned(),
        STANDARD_NO_PAD.encode(odd),
        URL_SAFE_NO_PAD.encode(odd),
        format!("a code {code}"),
    ] {
        let path = save(folder, "planted", planted.as_bytes());
        assert!(!wanted.search(&[path]).is_empty(), "{planted}");
    }
}

/// One of the codes that were given out.
fn some_code(sandbox: &Path) -> String {
    let codes = std::fs::read(sandbox.join("codes.json")).unwrap();
    let codes: serde_json::Value = serde_json::from_slice(&codes).unwrap();
    let mut codes = codes.as_array().unwrap().iter();
    let code = codes.find_map(|one| one["code"].as_str().filter(|code| !code.is_empty()));
    code.unwrap().to_owned()
}

fn save(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}
