//! Backups: what is inside comes back on either engine, what was stopped since does not come back to life, and
//! what is no whole backup is not put back.
//!
//! Must never start the portal's server: its own store knows nothing of what these tests stop as the portal.

use crate::cli::said;
use crate::consent::{Scene, withdrawal};
use crate::database::Beside;
use crate::house::{bsn, lines, person, program, reason};
use crate::laid::{Laid, Said};
use client::{Client, ClientError, PersonKey};
use gateway::configuration::{Configuration, DatabaseSettings};
use rules::consent::{ConsentState, Statement};
use rules::handover::InboxKind;
use rules::id::{HandoverId, PeerKind};
use rules::reason::Reason;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault::pseudonym::Bsn;
use wire::audit::v1::SearchEntriesRequest;

/// Desks that must say that they have sent again what they had stopped, but for the portal, the vakbond and the
/// one at which a code was used.
const DESKS: [&str; 6] = ["centrum", "neutraal", "officer", "regio", "uwv", "uwv-fg"];
const OPERATOR_OIN: &str = "00000099000000010000";

/// A member of the vakbond and the consent they gave.
struct Member {
    key: PersonKey,
    number: Bsn,
    given: Statement,
    released: HandoverId,
}

type Stage = Scene<Laid>;

/// A stage on which holders and broker run, and no portal.
async fn stage() -> Stage {
    let mut laid = Laid::lay();
    for name in ["holder-1", "holder-2", "broker"] {
        laid.start(name).await;
    }
    Scene::on(laid).await
}

/// Somebody who consented, and of whom a dossier was released.
async fn member(stage: &Stage, number: usize) -> Member {
    let (key, number) = (person(&format!("lid-{number}")), bsn(number));
    stage.link(&key, &number).await;
    let given = stage.statement("vakbond", PeerKind::Vakbond, "portal");
    let registered = stage.portal.register_consent(&number, &given).await;
    assert_eq!(registered.unwrap().receipt.state, ConsentState::Given);
    let released = stage.released(&key).await;
    Member {
        key,
        number,
        given,
        released,
    }
}

pub(crate) async fn run(laid: &Laid, name: &str, verb: &[&str], folder: &Path) -> Said {
    let folder = folder.to_str().unwrap();
    let mut words = vec!["backup"];
    words.extend_from_slice(verb);
    words.push(folder);
    laid.say(name, &words).await
}

pub(crate) async fn create(laid: &Laid, name: &str, folder: &Path) -> Said {
    run(laid, name, &["create", "--out"], folder).await
}

fn configuration(laid: &Laid, name: &str) -> Configuration {
    Configuration::load(&laid.home(name).join("sluis.toml")).unwrap()
}

/// Takes a server's database out of the way.
pub(crate) fn lose(laid: &Laid, name: &str) {
    match configuration(laid, name).database() {
        DatabaseSettings::File { path, .. } => {
            for end in ["", "-wal", "-shm"] {
                let file = PathBuf::from(format!("{}{end}", path.display()));
                drop(std::fs::remove_file(file));
            }
        }
        DatabaseSettings::Server { schema, .. } => {
            let schema = schema.as_ref().unwrap();
            let (old, new) = (format!("\"{schema}\""), format!("\"{schema}_again\""));
            laid.configure(name, &old, &new);
        }
    }
}

/// What a verb on the broker's door says to somebody.
pub(crate) fn door(laid: &Laid, verb: &[&str], who: &str) -> (i32, String) {
    let identity = laid.identity(who);
    let mut command = Command::new(program());
    command
        .arg("door")
        .args(verb)
        .arg("--broker")
        .arg(&identity.broker_address)
        .arg("--server-name")
        .arg(&identity.broker_server_name)
        .arg("--certificate")
        .arg(&identity.certificate)
        .arg("--key")
        .arg(&identity.key)
        .arg("--issuer")
        .arg(&identity.issuer);
    let told = said(&mut command, "");
    (told.code, format!("{}{}", told.out, told.err))
}

/// Any call of a desk: from its answer the client learns that the gateway was restored.
pub(crate) async fn call(client: &Client) -> Result<(), ClientError> {
    client.inbox(Some(String::new())).next().await.map(drop)
}

/// The same by an officer's desk, which has no part in an exchange.
async fn look(client: &Client) -> Result<(), ClientError> {
    let question = SearchEntriesRequest {
        purpose: Some("HANDOVER".to_owned()),
        ..SearchEntriesRequest::default()
    };
    client.search_log(question).await.map(drop)
}

/// A consent, given in the place of the one before.
async fn replaced(stage: &Stage, member: &Member) -> Statement {
    let mut given = stage.statement("vakbond", PeerKind::Vakbond, "portal");
    given.record.supersedes = Some(member.given.record.id);
    let registered = stage.portal.register_consent(&member.number, &given).await;
    registered.unwrap();
    given
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_since_the_backup_does_not_come_back_to_life() {
    let mut stage = stage().await;
    let mut members = Vec::new();
    for number in 41..=47 {
        members.push(member(&stage, number).await);
    }
    let standing = members.last().unwrap();
    // The backup knows what came in its place, so nothing of it is lost.
    replaced(&stage, standing).await;
    let folder = stage.house.beside("backup");
    let made = create(&stage.house, "broker", &folder).await;
    assert_eq!(made.code, 0, "{}", made.err);
    for apart in ["not inside: the key file", "not inside: the day keys"] {
        assert!(made.out.contains(apart), "{}", made.out);
    }
    let elsewhere = stage.house.client("elders").await;
    stop_all(&stage, &elsewhere, &members).await;
    let lost = stage.released(&standing.key).await;
    // The recipient has seen more of its inbox than the backup knows.
    let mut inbox = stage.desk.inbox(None);
    while inbox.next().await.unwrap().is_some() {}
    inbox.save().await.unwrap();

    put_back(&mut stage.house, &folder).await;
    check_shut(&stage, &members).await;
    assert_eq!(reason(call(&elsewhere).await), Reason::Restoring);
    everybody_but_the_portal(&stage).await;
    call(&stage.portal).await.unwrap();

    for (who, how) in members.iter().zip(WAYS) {
        stopped(&stage, who, how).await;
    }
    stage.prepare(&standing.key).await.unwrap();
    stage.desk.fetch(&standing.released).await.unwrap();
    assert_eq!(reason(stage.desk.fetch(&lost).await), Reason::NotAvailable);
    stage.house.settle().await;
    // What was told since the restore comes behind the place that the recipient had.
    let mut inbox = stage.desk.inbox(None);
    let mut ended = 0_usize;
    while let Some(event) = inbox.next().await.unwrap() {
        ended += usize::from(event.kind == InboxKind::Withdrawn);
    }
    assert_eq!(ended, WAYS.len());
}

/// What happens to each member's consent after the backup; the last member's stands.
const WAYS: [&str; 6] = [
    "withdrawn in the portal",
    "stopped by code",
    "replaced, and that withdrawn",
    "replaced twice",
    "replaced, and stopped by the new code",
    "replaced at a desk",
];

/// Ends each consent but the last in its own way.
async fn stop_all(stage: &Stage, elsewhere: &Client, members: &[Member]) {
    let [
        by_statement,
        by_code,
        after_another,
        twice,
        by_new_code,
        helped,
        _,
    ] = members
    else {
        panic!("seven members");
    };
    let withdrawn = withdrawal(&by_statement.given, 2);
    stage.portal.withdraw_consent(&withdrawn).await.unwrap();
    let code = by_code.given.stop_code.clone().unwrap();
    elsewhere.withdraw_by_code(&code, None).await.unwrap();
    let second = replaced(stage, after_another).await;
    let withdrawn = withdrawal(&second, 2);
    stage.portal.withdraw_consent(&withdrawn).await.unwrap();
    for _ in 0..2 {
        replaced(stage, twice).await;
    }
    let second = replaced(stage, by_new_code).await;
    let code = second.stop_code.unwrap();
    elsewhere.withdraw_by_code(&code, None).await.unwrap();
    let at_desk = stage.statement("vakbond", PeerKind::Vakbond, "vakbond");
    let registered = stage.union.assist_consent(&helped.key, &at_desk).await;
    registered.unwrap();
}

/// Kills the broker, loses its database, puts the backup in its place and starts it.
pub(crate) async fn put_back(laid: &mut Laid, folder: &Path) {
    laid.kill("broker");
    lose(laid, "broker");
    let back = run(laid, "broker", &["restore"], folder).await;
    assert_eq!(back.code, 0, "{}", back.err);
    let again = run(laid, "broker", &["restore"], folder).await;
    assert_eq!(again.code, 1);
    let why = "has something in it already";
    assert!(again.err.contains(why), "{}", again.err);
    laid.start("broker").await;
}

/// Nothing is released and nothing begins, and the operator hears who is missing.
async fn check_shut(stage: &Stage, members: &[Member]) {
    for who in members {
        let refused = stage.desk.fetch(&who.released).await;
        assert_eq!(reason(refused), Reason::Restoring);
        let refused = stage.prepare(&who.key).await;
        let waits = matches!(refused, Err(ClientError::Waiting { .. }));
        assert!(waits, "{refused:?}");
    }
    let (code, text) = door(&stage.house, &["show"], "operator");
    assert_eq!(code, 0, "{text}");
    for missing in ["00000099000000007000/portal", "00000099000000006000/fg"] {
        assert!(text.contains(missing), "{missing} in {text}");
    }
    let vakbond = "00000099000000005000";
    assert!(!text.contains(vakbond), "the vakbond came: {text}");
    let (_, others) = door(&stage.house, &["show"], "uwv");
    let nobody = others.contains("the operator is told");
    assert!(nobody, "only the operator hears who: {others}");
}

/// Every other desk makes a call, and the door stays shut.
async fn everybody_but_the_portal(stage: &Stage) {
    for name in DESKS {
        // The recipient's store is open here already.
        let refused = if name == "neutraal" {
            call(&stage.desk).await
        } else if name == "officer" || name == "uwv-fg" {
            look(&stage.house.identity(name).client().unwrap()).await
        } else {
            call(&stage.house.identity(name).client().unwrap()).await
        };
        assert_eq!(reason(refused), Reason::Restoring, "{name}");
    }
    let (_, text) = door(&stage.house, &["show"], "operator");
    assert!(text.contains("1 desks have not"), "{text}");
}

async fn stopped(stage: &Stage, member: &Member, how: &str) {
    let refused = reason(stage.desk.fetch(&member.released).await);
    assert_eq!(refused, Reason::StateForbidsEvent, "{how}");
    // What waited in the outbox since the door was shut has its answer now.
    let refused = reason(stage.prepare(&member.key).await);
    assert_eq!(refused, Reason::NotAvailable, "{how}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_opens_the_door_by_name() {
    let mut stage = stage().await;
    let who = member(&stage, 41).await;
    let folder = stage.house.beside("backup");
    assert_eq!(create(&stage.house, "broker", &folder).await.code, 0);
    put_back(&mut stage.house, &folder).await;
    assert_eq!(
        reason(stage.desk.fetch(&who.released).await),
        Reason::Restoring
    );
    // Stopping works meanwhile, and is for everybody.
    let code = who.given.stop_code.clone().unwrap();
    let stopped = stage.desk.withdraw_by_code(&code, None).await.unwrap();
    assert_eq!(stopped.ended_handovers, 1);
    let (code, text) = door(&stage.house, &["open"], "uwv");
    assert_eq!(code, 1);
    assert!(text.contains("RIGHT_MISSING"), "{text}");
    assert_eq!(
        reason(stage.desk.fetch(&who.released).await),
        Reason::Restoring
    );
    let (code, text) = door(&stage.house, &["open"], "operator");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the door is open; 8 desks had not"), "{text}");
    assert_eq!(
        reason(stage.desk.fetch(&who.released).await),
        Reason::StateForbidsEvent
    );
    let opened: Vec<_> = lines(&stage.house.officer(), OPERATOR_OIN).await;
    let opened = opened.iter().filter(|line| line.action == "OpenDoor");
    assert_eq!(opened.count(), 1, "the log keeps that the operator did it");
    let (_, text) = door(&stage.house, &["show"], "operator");
    assert!(text.contains("the door is open"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_missing_when_the_door_was_opened_sends_again_before_anything_else() {
    let mut stage = stage().await;
    let who = member(&stage, 41).await;
    let folder = stage.house.beside("backup");
    assert_eq!(create(&stage.house, "broker", &folder).await.code, 0);
    let elsewhere = stage.house.client("elders").await;
    let code = who.given.stop_code.clone().unwrap();
    elsewhere.withdraw_by_code(&code, None).await.unwrap();
    put_back(&mut stage.house, &folder).await;
    let (code, text) = door(&stage.house, &["open"], "operator");
    assert_eq!(code, 0, "{text}");
    // Its own desks are back, and the one that stopped it is not.
    stage.prepare(&who.key).await.unwrap();
    stage.desk.fetch(&who.released).await.unwrap();
    call(&elsewhere).await.unwrap();
    assert_eq!(reason(stage.prepare(&who.key).await), Reason::NotAvailable);
    let refused = reason(stage.desk.fetch(&who.released).await);
    assert_eq!(refused, Reason::StateForbidsEvent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_of_this_role_is_not_put_back() {
    let mut laid = Laid::lay();
    for name in ["holder-1", "holder-2", "broker"] {
        laid.start(name).await;
    }
    for name in ["broker", "holder-1"] {
        let made = create(&laid, name, &laid.beside(name)).await;
        assert_eq!(made.code, 0, "{}", made.err);
    }
    let (good, other) = (laid.beside("broker"), laid.beside("holder-1"));
    let there = create(&laid, "broker", &good).await;
    assert_eq!(there.code, 1);
    assert!(there.err.contains("is there already"), "{}", there.err);

    let verify = |folder: &Path| {
        let mut command = Command::new(program());
        said(command.args(["backup", "verify"]).arg(folder), "")
    };
    let sound = verify(&good);
    assert_eq!(sound.code, 0, "{}", sound.err);
    assert!(
        sound.out.contains("in order: broker backup"),
        "{}",
        sound.out
    );
    let wrong = run(&laid, "broker", &["restore"], &other).await;
    assert!(wrong.err.contains("of a holder"), "{}", wrong.err);
    let occupied = run(&laid, "broker", &["restore"], &good).await;
    assert!(
        occupied.err.contains("has something in it"),
        "{}",
        occupied.err
    );
    let nothing = verify(&laid.beside("nothing"));
    assert!(nothing.err.contains("cannot be read"), "{}", nothing.err);

    laid.kill("broker");
    lose(&laid, "broker");
    let manifest = good.join("manifest.json");
    let tables = good.join("tables.sqlite");
    let (text, octets) = (
        std::fs::read_to_string(&manifest).unwrap(),
        std::fs::read(&tables).unwrap(),
    );
    let mut flipped = octets.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&tables, &flipped).unwrap();
    refused(&laid, &good, "its digest differs").await;
    std::fs::write(&tables, &octets).unwrap();
    std::fs::write(&manifest, text.replace("\"form\": 1", "\"form\": 2")).unwrap();
    refused(&laid, &good, "has form 2").await;
    std::fs::write(&manifest, text.replace("\"lease\": 1", "\"lease\": 2")).unwrap();
    refused(&laid, &good, "it has other rows").await;
    std::fs::write(&manifest, "{}").unwrap();
    refused(&laid, &good, "is no manifest").await;
    std::fs::write(&manifest, &text).unwrap();
    let back = run(&laid, "broker", &["restore"], &good).await;
    assert_eq!(back.code, 0, "{}", back.err);
    // A holder's has no door to shut, and serves at once.
    laid.kill("holder-1");
    lose(&laid, "holder-1");
    let back = run(&laid, "holder-1", &["restore"], &other).await;
    assert_eq!(back.code, 0, "{}", back.err);
    laid.start("holder-1").await;
    laid.start("broker").await;
}

async fn refused(laid: &Laid, folder: &Path, why: &str) {
    let told = run(laid, "broker", &["restore"], folder).await;
    assert_eq!(told.code, 1, "{why}");
    assert!(told.err.contains(why), "{why}: {}", told.err);
    if let DatabaseSettings::File { path, .. } = configuration(laid, "broker").database() {
        assert!(!path.exists(), "{why}: something was put there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_one_engine_is_put_back_on_the_other() {
    let Ok(url) = std::env::var("SLUIS_TEST_POSTGRES") else {
        panic!("SLUIS_TEST_POSTGRES names no server: run tests/run");
    };
    let (file, server) = (Laid::lay_files(), Laid::lay_at(&url));
    let mut tables = Vec::new();
    for laid in [&file, &server] {
        laid.migrate("portal");
        let mut beside = Beside::of(laid.home("portal")).await;
        let rows = [
            "INSERT INTO exchange (exchange_index, person_index, sealing_key, created_at) VALUES ($1, $1, $1, 7)",
            "INSERT INTO line (line_id, exchange_index, person_index, kind, sealed, created_at) \
             VALUES ($1, $1, $1, 2, $1, -9)",
        ];
        for row in rows {
            assert_eq!(beside.execute_with(row, &[0, 255, 39, 92]).await, 1);
        }
        beside.close().await;
        let folder = laid.beside("backup");
        let made = create(laid, "portal", &folder).await;
        assert_eq!(made.code, 0, "{}", made.err);
        tables.push(folder);
    }
    for (from, to) in [(&tables[0], &server), (&tables[1], &file)] {
        lose(to, "portal");
        let back = run(to, "portal", &["restore"], from).await;
        assert_eq!(back.code, 0, "{}", back.err);
        let mut beside = Beside::of(to.home("portal")).await;
        let moved = beside.pairs("SELECT line_id, sealed FROM line").await;
        assert_eq!(moved, [(vec![0, 255, 39, 92], vec![0, 255, 39, 92])]);
        assert_eq!(beside.number("SELECT created_at FROM line").await, -9);
        beside.close().await;
    }
}
