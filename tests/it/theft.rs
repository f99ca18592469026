//! Whoever steals all of the portal's files, but not its key file, opens no line: neither by looking into
//! them nor by starting a portal on them with keys of their own.
//!
//! Must never find nothing because there was nothing: with its own key file the same copy tells the person
//! everything.

use crate::cli::{NUMBER, in_days, said, text_of};
use crate::house::{files, program};
use crate::laid::Laid;
use crate::leak::Wanted;
use serde_json::Value;
use sqlx::Connection as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault::keyfile::{KeyFile, Role};

/// What lies in clear in what the person may see, and in nothing that the portal writes.
const CLEAR: [&str; 5] = [
    "Dijkerwaard",
    "IDENTITY",
    "consent_given",
    "privacy_notice",
    "urn:sluis:notice",
];
/// The vakbond, and whom it hands over to.
const PARTIES: [&str; 2] = ["00000099000000005000", "00000099000000002000"];

fn sluis(laid: &Laid, words: &str, input: &str) -> Value {
    let mut command = Command::new(program());
    command.arg("--sandbox").arg(laid.path());
    let answer = said(command.args(words.split(' ')).arg("--json"), input);
    serde_json::from_str(&answer.out)
        .unwrap_or_else(|error| panic!("{words}: {error}: {}{}", answer.out, answer.err))
}

/// A person whose consent, handover and withdrawal the portal has lines of; gives their codes.
async fn life(laid: &Laid) -> Vec<String> {
    for name in ["vakbond", "neutraal", "portal"] {
        drop(laid.client(name).await);
    }
    let link = text_of(&sluis(laid, "link vakbond", NUMBER), "code");
    let redeem = format!("--as vakbond redeem-link --person lid-1 {link}");
    sluis(laid, &redeem, "");
    let give = format!(
        "consent give --from vakbond --to neutraal --category IDENTITY --category WORK --until {}",
        in_days(30)
    );
    let given = sluis(laid, &give, NUMBER);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/offer-consent.example.toml"
    );
    let offer = format!("--as vakbond offer --person lid-1 --to neutraal --file {file}");
    let offered = text_of(&sluis(laid, &offer, ""), "handover_id");
    let told = sluis(laid, "overview", NUMBER);
    assert!(told["lines"].as_array().unwrap().len() >= 3, "{told}");
    vec![
        link,
        text_of(&given, "stop_code"),
        text_of(&given, "consent_id"),
        offered,
    ]
}

/// Takes a copy of everything in the portal's folder but its key file.
fn steal(portal: &Path, to: &Path) -> Vec<PathBuf> {
    std::fs::create_dir(to).unwrap();
    let stolen = files(portal).into_iter().filter_map(|path| {
        let name = path.file_name().unwrap().to_owned();
        let copy = to.join(&name);
        std::fs::copy(&path, &copy).unwrap();
        (name != "keys.toml").then_some(copy)
    });
    let stolen = stolen.collect();
    std::fs::remove_file(to.join("keys.toml")).unwrap();
    stolen
}

/// Looks into every stolen file for what the person may see, in every form.
async fn look_into(stolen: &[PathBuf], codes: &[String]) {
    let (mut wanted, mut parties) = (Wanted::default(), Wanted::default());
    for text in CLEAR {
        wanted.add(text, text.as_bytes());
    }
    wanted.add("the number", NUMBER.as_bytes());
    for code in codes {
        let plain = code.split_once('_').map_or(code.as_str(), |(_, id)| id);
        wanted.add("a code or an id", code.as_bytes());
        wanted.add("a code or an id", plain.replace('-', "").as_bytes());
        if let Some(octets) = rules::hex::decode(plain) {
            wanted.add("an id", &octets);
        }
    }
    for party in PARTIES {
        parties.add(party, party.as_bytes());
    }
    let of = |names: &[&str]| -> Vec<PathBuf> {
        let is_one = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            names.iter().any(|ending| name.ends_with(ending))
        };
        stolen.iter().filter(is_one).cloned().collect()
    };
    let written = of(&[".sqlite", ".sqlite-wal", "store", "log.txt"]);
    assert_eq!(written.len(), 4, "{stolen:?}");
    assert_eq!(wanted.search(&written), Vec::<String>::new());
    // Its settings and its store name partners; what is kept of persons does not.
    let kept = of(&[".sqlite", ".sqlite-wal"]);
    assert_eq!(parties.search(&kept), Vec::<String>::new());

    let database = format!("sqlite://{}", kept[0].display());
    let mut database = sqlx::SqliteConnection::connect(&database).await.unwrap();
    let lines: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM line")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert!(lines >= 3, "{lines} lines are stolen");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portals_files_without_its_key_file_open_no_line() {
    let mut laid = Laid::open_files().await;
    let codes = life(&laid).await;
    laid.kill("portal");
    let home = laid.home("portal").to_owned();
    let own = std::fs::read(home.join("keys.toml")).unwrap();
    let stolen = steal(&home, &laid.beside("stolen"));
    look_into(&stolen, &codes).await;

    // The thief takes the portal's place, certificate and address included, with keys of their own.
    let keys = home.join("keys.toml");
    let thiefs = KeyFile::generate(Role::Portal).to_text();
    std::fs::write(&keys, thiefs.expose()).unwrap();
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
    let refused = laid.refusal_to_start("portal").await;
    println!("{refused}");
    assert!(refused.contains("key"), "{refused}");
    // Without the store, which the keys do not open, it may start; but nobody logs in there.
    let store = home.join("store");
    let kept = std::fs::read(&store).unwrap();
    std::fs::remove_file(&store).unwrap();
    let refused = laid.refusal_to_start("portal").await;
    println!("{refused}");
    assert!(refused.contains("key"), "{refused}");

    std::fs::write(&keys, own).unwrap();
    std::fs::write(&store, kept).unwrap();
    laid.start("portal").await;
    let told = sluis(&laid, "overview", NUMBER);
    assert!(told["lines"].as_array().unwrap().len() >= 3, "{told}");
    assert!(told.to_string().contains("het regioteam"), "{told}");
}
