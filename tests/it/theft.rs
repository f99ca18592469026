//! Whoever steals all of the portal's files, but not its key file, opens no line: neither by looking
//! into them nor by starting a portal on them with a key of their own.
//!
//! Must never find nothing because there was nothing: the same person, logged in, sees the lines.

use crate::cli::{NUMBER, Terminal, said, text_of};
use crate::house::{files, program};
use aho_corasick::AhoCorasick;
use sqlx::Connection as _;
use std::path::Path;
use std::process::Command;
use vault::keyfile::{KeyFile, Role};

/// What lies in clear in what the person may see: organisations, states, categories, words of sentences.
const CLEAR: [&str; 9] = [
    "00000099000000005000",
    "00000099000000002000",
    "Vakbond",
    "Dijkerwaard",
    "HANDOVER",
    "IDENTITY",
    "WITHDRAWN",
    "consent_given",
    "privacy_notice",
];

/// Copies the portal's folder without its keys, and puts a new key file in their place.
fn steal(portal: &Path) -> std::path::PathBuf {
    let stolen = portal.with_file_name("stolen");
    std::fs::create_dir(&stolen).unwrap();
    for path in files(portal) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The door's own certificate is part of what is stolen; the log goes on with the thief's.
        if name != "keys.toml" && name != "store.lock" {
            std::fs::copy(&path, stolen.join(name)).unwrap();
        }
    }
    stolen
}

#[tokio::test]
async fn the_portals_files_without_its_key_file_open_no_line() {
    let terminal = Terminal::open().await;
    let code = text_of(&terminal.json("link vakbond", NUMBER), "code");
    let redeem = format!("--as vakbond redeem-link --person lid-1 {code}");
    terminal.json(&redeem, "");
    let until = crate::cli::in_days(30);
    let give = format!(
        "consent give --from vakbond --to neutraal --category IDENTITY --category WORK --until {until}"
    );
    let given = terminal.json(&give, NUMBER);
    let (stop, record) = (text_of(&given, "stop_code"), text_of(&given, "consent_id"));
    terminal.json("--as uwv enrol --person klant-1 --bsn -", NUMBER);
    let offer = format!(
        "--as uwv offer --person klant-1 --to neutraal --file {}",
        terminal.folder().join("offer.example.toml").display()
    );
    terminal.json(&offer, "");
    let told = terminal.text("overview --lang nl", NUMBER);
    assert!(told.contains("Dijkerwaard"), "the person sees: {told}");
    let lines = terminal.json("overview", NUMBER);
    assert!(lines["lines"].as_array().unwrap().len() >= 3, "{lines}");

    let portal = terminal.folder().join("processes/portal");
    let stolen = steal(&portal);
    let copy = stolen.join("portal.sqlite");
    let mut database = sqlx::SqliteConnection::connect(&format!("sqlite://{}", copy.display()))
        .await
        .unwrap();
    let sealed: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as("SELECT sealed, person_index FROM line")
        .fetch_all(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    assert!(sealed.len() >= 3, "{} lines are stolen", sealed.len());
    let mut wanted: Vec<Vec<u8>> = CLEAR.iter().map(|text| text.as_bytes().to_vec()).collect();
    for secret in [NUMBER, &stop, &stop.replace('-', ""), &record[4..]] {
        wanted.push(secret.as_bytes().to_vec());
    }
    let search = AhoCorasick::new(&wanted).unwrap();
    for name in ["portal.sqlite", "portal.sqlite-wal", "store"] {
        let content = std::fs::read(stolen.join(name)).unwrap_or_default();
        let found = search.find_iter(&content).next();
        assert!(found.is_none(), "{name} says something in clear: {found:?}");
    }
    for (line, _) in &sealed {
        assert!(search.find(line).is_none());
    }

    let key = KeyFile::generate(Role::Portal);
    let path = stolen.join("keys.toml");
    std::fs::write(&path, key.to_text().expose()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let settings = std::fs::read_to_string(stolen.join("sluis.toml")).unwrap();
    let listen = settings.lines().find(|line| line.starts_with("listen"));
    let settings = settings.replace(listen.unwrap(), "listen = \"127.0.0.1:0\"");
    std::fs::write(stolen.join("sluis.toml"), settings).unwrap();
    let started = said(
        Command::new("timeout")
            .arg("30")
            .arg(program())
            .args(["serve", "--config"])
            .arg(stolen.join("sluis.toml")),
        "",
    );
    assert_eq!(started.code, 1, "{}{}", started.out, started.err);
    let answer = format!("{}{}", started.out, started.err);
    assert!(answer.contains("key"), "{answer}");
    assert!(!answer.contains("Dijkerwaard"), "{answer}");
}
