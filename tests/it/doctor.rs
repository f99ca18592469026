//! `sluis doctor`: on what is in order it finds nothing, and of what was spoiled it says what, where and what
//! to do.
//!
//! Must never spoil more than one thing at a time, so that a finding has one cause.

use crate::authority::{Authority, Wish};
use crate::database::Beside;
use crate::house::program;
use crate::laid::Laid;
use crate::private::PrivateServer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the portal's first call may take to be in the log, and how often the log is looked at.
const LINE_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The servers of a sandbox.
const SERVERS: [&str; 4] = ["holder-1", "holder-2", "broker", "portal"];

/// One check's outcome, and what it said with what to do.
pub(crate) type Found = BTreeMap<String, (String, String)>;

/// Asks the doctor in both forms, which must say the same; gives the exit code and what was found.
pub(crate) async fn examine(laid: &Laid, name: &str) -> (i32, Found) {
    let told = laid.say(name, &["doctor"]).await;
    let said = laid.say(name, &["doctor", "--json"]).await;
    assert_eq!(said.code, told.code, "{}\n{}", told.out, said.out);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let lines: Vec<_> = told.out.lines().collect();
    assert_eq!(lines.len(), checks.len() + 1, "{}", told.out);
    let mut found = Found::new();
    for (check, line) in checks.iter().zip(&lines) {
        let text = |key: &str| check[key].as_str().unwrap().to_owned();
        let (name, outcome, remedy) = (text("name"), text("outcome"), text("remedy"));
        assert!(line.starts_with(&outcome) && line.contains(&name), "{line}");
        let is_bad = outcome == "warning" || outcome == "fault";
        assert_eq!(is_bad, !remedy.is_empty(), "{line}");
        assert_eq!(is_bad, line.contains("; to do: "), "{line}");
        found.insert(name, (outcome, format!("{}; {remedy}", text("text"))));
    }
    let count = |wanted: &str| {
        found
            .values()
            .filter(|(outcome, _)| outcome == wanted)
            .count()
    };
    let (faults, warnings) = (count("fault"), count("warning"));
    assert_eq!(report["faults"], faults);
    assert_eq!(report["warnings"], warnings);
    let last = format!(
        "{} checks; faults: {faults}, warnings: {warnings}",
        checks.len()
    );
    assert_eq!(*lines.last().unwrap(), last);
    (told.code, found)
}

/// That one check has this outcome and says these words; and that it is the only finding besides those that
/// follow from it.
async fn check(laid: &Laid, server: &str, name: &str, outcome: &str, words: &[&str]) {
    check_with(laid, server, name, outcome, words, &[]).await;
}

async fn check_with(
    laid: &Laid,
    server: &str,
    name: &str,
    outcome: &str,
    words: &[&str],
    follow: &[&str],
) {
    let (code, found) = examine(laid, server).await;
    let (seen, text) = &found[name];
    assert_eq!(seen, outcome, "{name}: {text}");
    for expected in words {
        assert!(text.contains(expected), "`{expected}` is not in: {text}");
    }
    assert_eq!(code, i32::from(outcome == "fault"), "{found:#?}");
    let others = found
        .iter()
        .filter(|(_, (seen, _))| seen == "fault" || seen == "warning");
    let others: Vec<_> = others
        .filter(|(other, _)| *other != name && !follow.contains(&other.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_order_is_found_in_order_in_every_role() {
    let laid = Laid::open().await;
    for server in SERVERS {
        let (code, found) = examine(&laid, server).await;
        let bad = |outcome: &str| outcome == "warning" || outcome == "fault";
        assert!(
            found.values().all(|(outcome, _)| !bad(outcome)),
            "{found:#?}"
        );
        assert_eq!(code, 0, "{server}");
        for name in [
            "configuration",
            "key file",
            "certificate",
            "directory",
            "schema",
        ] {
            assert_eq!(found[name].0, "ok", "{server}: {name}");
        }
    }
    let (_, broker) = examine(&laid, "broker").await;
    for name in [
        "own work",
        "stops",
        "lead",
        "feed",
        "notices",
        "inboxes",
        "day keys",
        "trust level",
    ] {
        assert_eq!(broker[name].0, "ok", "{name}");
    }
    for holder in ["00000099000000011000", "00000099000000012000"] {
        assert!(
            broker[&format!("holder {holder}")]
                .1
                .contains("trust level 2")
        );
        assert_eq!(broker[&format!("clock of holder {holder}")].0, "ok");
    }
    let (_, portal) = examine(&laid, "portal").await;
    assert_eq!(portal["broker"].0, "ok");
    assert_eq!(portal["clock of broker"].0, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_leaves_no_line_in_the_log() {
    let mut laid = Laid::lay();
    // The portal's server takes over the feed every second, so it does not run yet. Killing it would not do: the
    // broker may still be writing the line of its last call.
    for server in ["holder-1", "holder-2", "broker"] {
        laid.start(server).await;
    }
    laid.migrate("portal");
    let mut beside = Beside::of(laid.home("broker")).await;
    let count = "SELECT COUNT(*) FROM audit_entry";
    let before = beside.number(count).await;
    for server in SERVERS {
        let (code, found) = examine(&laid, server).await;
        assert_eq!(code, 0, "{found:#?}");
    }
    assert_eq!(beside.number(count).await, before);
    laid.start("portal").await;
    let begun = Instant::now();
    while beside.number(count).await == before {
        let waited = begun.elapsed();
        assert!(waited < LINE_TIMEOUT, "no line after {waited:?}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    beside.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_reached_is_named() {
    let mut laid = Laid::open().await;
    laid.kill("holder-2");
    let name = "holder 00000099000000012000";
    let words = ["127.0.0.1:", "TCP failed", "that the gateway runs"];
    check_with(&laid, "broker", name, "fault", &words, &["trust level"]).await;
    let (_, sandbox) = examine(&laid, "broker").await;
    let profiles = ["profile = \"sandbox\"", "profile = \"production\""];
    laid.configure("broker", profiles[0], profiles[1]);
    let (_, production) = examine(&laid, "broker").await;
    for (found, outcome) in [(sandbox, "warning"), (production, "fault")] {
        assert_eq!(found["trust level"].0, outcome);
        assert!(found["trust level"].1.contains("1 operators"));
    }
    laid.kill("broker");
    check(&laid, "portal", "broker", "fault", &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_found() {
    let laid = Laid::open().await;
    let peer = "clock of holder 00000099000000011000";
    for (shift, outcome, words) in [
        ("+8s", "warning", "s behind this machine's"),
        ("-50s", "fault", "s ahead of this machine's"),
    ] {
        let said = Command::new("faketime")
            .args(["-f", shift])
            .arg(program())
            .args(["doctor", "--json", "--config"])
            .arg(laid.home("broker").join("sluis.toml"))
            .output()
            .expect("faketime is there: on Debian, apt-get install faketime");
        let report: Value = serde_json::from_slice(&said.stdout).unwrap();
        let found = |name: &str| {
            let mut checks = report["checks"].as_array().unwrap().iter();
            checks.find(|check| check["name"] == name).unwrap().clone()
        };
        for name in [peer, "database clock"] {
            let check = found(name);
            // A file has no clock.
            if check["outcome"] != "not applicable" {
                assert_eq!(check["outcome"], outcome, "{check}");
                assert!(check["text"].as_str().unwrap().contains(words), "{check}");
            }
        }
        assert_eq!(found(peer)["outcome"], outcome);
        assert_eq!(said.status.code(), Some(i32::from(outcome == "fault")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_may_read_and_one_that_is_too_old_are_found() {
    let mut laid = Laid::open().await;
    let home = laid.home("broker").to_owned();
    for (file, name, follow) in [
        ("keys.toml", "key file", &[][..]),
        ("certificate.key.pem", "door key", &["configuration"]),
    ] {
        set_mode(&home.join(file), 0o640);
        let words = [file, "run chmod 600"];
        check_with(&laid, "broker", name, "fault", &words, follow).await;
        set_mode(&home.join(file), 0o600);
    }
    let touched = Command::new("touch")
        .args(["--date", "400 days ago"])
        .arg(home.join("keys.toml"))
        .status();
    assert!(touched.unwrap().success());
    check(
        &laid,
        "broker",
        "key file",
        "warning",
        &["400 d", "sluis keys new"],
    )
    .await;
    std::fs::File::open(home.join("keys.toml"))
        .and_then(|file| file.set_modified(std::fs::metadata("/proc/self")?.modified()?))
        .unwrap();

    laid.kill("broker");
    let old = home.join("day-keys/100.key");
    std::fs::write(&old, "0".repeat(64)).unwrap();
    check(
        &laid,
        "broker",
        "day keys",
        "fault",
        &["chmod 600", "100.key"],
    )
    .await;
    set_mode(&old, 0o600);
    check(
        &laid,
        "broker",
        "day keys",
        "fault",
        &["which is too long", "start the broker"],
    )
    .await;
    for entry in std::fs::read_dir(home.join("day-keys")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    check(
        &laid,
        "broker",
        "day keys",
        "warning",
        &["0 keys", "today's is not there"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ended_and_one_that_nobody_knows_are_found() {
    let laid = Laid::lay();
    laid.migrate("holder-1");
    let own = Authority::new("An authority of this test");
    let home = laid.home("holder-1");
    let (certificate, key) = (
        home.join("certificate.pem"),
        home.join("certificate.key.pem"),
    );
    let oin = Some("00000099000000011000");
    let ended = Wish {
        oin,
        key_pem: Some(std::fs::read_to_string(&key).unwrap()),
        begins: Some(2019),
        ends: Some(2020),
    };
    let ended = own.issue(&laid, "ended", ended);
    std::fs::copy(&ended.certificate, &certificate).unwrap();
    let words = [
        "certificate.pem ended on 2020-01-01",
        "get a new one",
        "SIGHUP",
    ];
    check(&laid, "holder-1", "certificate", "fault", &words).await;

    let unknown = Wish {
        oin,
        ..Wish::default()
    };
    let unknown = own.issue(&laid, "unknown", unknown);
    std::fs::copy(&unknown.certificate, &certificate).unwrap();
    std::fs::copy(&unknown.key, &key).unwrap();
    set_mode(&key, 0o600);
    let words = ["version 1", "DESK_UNKNOWN", "taken up in the directory"];
    check(&laid, "holder-1", "directory", "fault", &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_or_a_database_that_is_not_there_is_no_panic() {
    let laid = Laid::lay();
    for json in [&["--json"][..], &[]] {
        let nowhere = Command::new(program())
            .args(["doctor", "--config", "/nowhere/sluis.toml"])
            .args(json)
            .output()
            .unwrap();
        assert_eq!(nowhere.status.code(), Some(2));
        let told = String::from_utf8(nowhere.stderr).unwrap();
        assert!(told.contains("/nowhere/sluis.toml"), "{told}");
        let answer: Option<Value> = serde_json::from_slice(&nowhere.stdout).ok();
        assert_eq!(answer.is_some(), !json.is_empty());
    }
    let (code, found) = examine(&laid, "holder-1").await;
    assert_eq!(code, 1, "{found:#?}");
    let name = if found["database"].0 == "ok" {
        "schema"
    } else {
        "database"
    };
    assert!(found[name].1.contains("run `sluis migrate`"), "{found:#?}");
    assert_eq!(found[name].0, "fault");
    assert_eq!(found["own work"].0, "not applicable");
}

/// Rows that wait, as the broker writes them, from the first millisecond of 1970.
const WAITING: [&str; 6] = [
    "INSERT INTO relation_subject (subject_index, relation_tag, sealed_handle, created_at) \
     VALUES ($1, $1, $1, 1)",
    "INSERT INTO handover (handover_id, revision, state, sender_tag, recipient_tag, purpose_tag, \
     subject_index, entered_at, deadline_at, day, body) VALUES ($1, 1, 1, $1, $1, $1, $1, 1, 1, 1, $1)",
    "INSERT INTO notice (notice_id, handover_id, recipient_tag, kind, state, sent_at, due_at, body) \
     VALUES ($1, $1, $1, 1, 1, 1, 1, $1)",
    "INSERT INTO feed (line_id, wrapped_key, sealed) VALUES ($1, $1, $1)",
    "INSERT INTO inbox_head (party_tag, position) VALUES ($1, 1)",
    "INSERT INTO inbox (party_tag, position, created_at, body) VALUES ($1, 1, 1, $1)",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_is_found_and_said_without_a_name() {
    let mut laid = Laid::open().await;
    laid.kill("portal");
    laid.kill("broker");
    let mut beside = Beside::of(laid.home("broker")).await;
    let id = [0, 0, 0, 0, 0, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
    for insert in WAITING {
        assert_eq!(beside.execute_with(insert, &id).await, 1);
    }
    beside.close().await;
    let (code, found) = examine(&laid, "broker").await;
    assert_eq!(code, 1);
    for (name, words) in [
        ("own work", "nobody ended it"),
        ("feed", "waits for the portal for 2"),
        ("notices", "an answer to a notice is 2"),
        ("inboxes", "1 organisations have not shown"),
    ] {
        let (outcome, text) = &found[name];
        assert_eq!(outcome, "fault", "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
        assert!(!text.contains("0707"), "{text}");
    }
    let mut beside = Beside::of(laid.home("broker")).await;
    let expired = "UPDATE lease SET held_until = 1 WHERE $1 = $1";
    assert_eq!(beside.execute_with(expired, &[]).await, 1);
    beside.close().await;
    let (_, found) = examine(&laid, "broker").await;
    let (outcome, text) = &found["lead"];
    assert_eq!(outcome, "warning", "{text}");
    assert!(text.contains("no broker has done"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_or_takes_no_changes_is_found() {
    let server = PrivateServer::start();
    let laid = Laid::lay_at(&server.url());
    laid.migrate("holder-1");
    check(
        &laid,
        "holder-1",
        "database",
        "ok",
        &["PostgreSQL", "sluis@"],
    )
    .await;
    let (_, found) = examine(&laid, "holder-1").await;
    for name in ["database clock", "pooler", "sync settings"] {
        assert_eq!(found[name].0, "ok", "{name}");
    }
    for (spoil, mend, words) in [
        (
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM RESET fsync",
            "fsync = off",
        ),
        (
            "ALTER SYSTEM SET full_page_writes = off",
            "ALTER SYSTEM RESET full_page_writes",
            "full_page_writes = off",
        ),
        (
            "ALTER ROLE sluis SET synchronous_commit = off",
            "ALTER ROLE sluis RESET synchronous_commit",
            "synchronous_commit = off",
        ),
    ] {
        let reload = "SELECT pg_reload_conf()";
        server.run(&[spoil, reload]).await;
        let words = [words, "may be lost"];
        check(&laid, "holder-1", "sync settings", "fault", &words).await;
        server.run(&[mend, reload]).await;
    }
    let read_only = "ALTER DATABASE postgres SET default_transaction_read_only = on";
    server.run(&[read_only]).await;
    check(
        &laid,
        "holder-1",
        "database",
        "fault",
        &["takes no changes"],
    )
    .await;
    let mend = "ALTER DATABASE postgres RESET default_transaction_read_only";
    server
        .run(&["SET default_transaction_read_only = off", mend])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_mixes_sessions_or_drops_their_settings_is_found() {
    let server = PrivateServer::start();
    let laid = Laid::lay_at(&server.url());
    laid.migrate("holder-1");
    laid.configure("holder-1", "/postgres?host", "/postgres?port=6432&host");
    let ignoring = "ignore_startup_parameters = extra_float_digits,options\n";
    for (settings, is_mixed) in [
        (format!("pool_mode = transaction\n{ignoring}"), true),
        (format!("pool_mode = session\n{ignoring}"), false),
    ] {
        let _pooler = server.behind_pgbouncer(&settings);
        let (code, found) = examine(&laid, "holder-1").await;
        assert_eq!(code, 1, "{found:#?}");
        assert_eq!(found["database"].0, "fault", "{found:#?}");
        assert!(found["database"].1.contains("does not keep a session"));
        let expected = if is_mixed { "fault" } else { "ok" };
        assert_eq!(found["pooler"].0, expected, "{found:#?}");
        let said = laid.say("holder-1", &["serve"]).await;
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(
            said.err.contains("connect to the server itself"),
            "{}",
            said.err
        );
    }
    let _pooler = server.behind_pgbouncer("pool_mode = transaction\n");
    let words = ["does not keep a session", "unsupported startup parameter"];
    check(&laid, "holder-1", "database", "fault", &words).await;
}
