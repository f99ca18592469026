//! Retention: what has ended is erased from the disk, and what has been kept as long as the register says goes.
//! Time passes by making rows older.
//!
//! Must never look for octets that it has not found before: what was never there is not erased.

use crate::database::Beside;
use crate::house::{DOSSIER, READY_TIMEOUT, enrol, lines, offer, release, today, values};
use crate::laid::Laid;
use std::path::Path;
use std::time::{Duration, Instant};

const OPERATOR_OIN: &str = "00000099000000010000";
/// Milliseconds of days, by which rows are made older: for as long as a recipient may keep what UWV handed over
/// (730 days) and as the log is kept (1,826), less and more than a day.
const ALMOST_LOG: i64 = 1_825 * 86_400_000;
const TWO_DAYS: i64 = 2 * 86_400_000;
const AGE_HANDOVERS: &str = "UPDATE handover SET erase_at = erase_at - 62985600000, \
     entered_at = entered_at - 62985600000 WHERE erase_at IS NOT NULL";
const AGE_HANDOVERS_MORE: &str = "UPDATE handover SET erase_at = erase_at - 172800000, entered_at = entered_at - 172800000 \
     WHERE erase_at IS NOT NULL";
/// As many items again behind those that there are.
const DOUBLE_ITEMS: &str = "INSERT INTO inbox (party_tag, position, created_at, body) \
     SELECT party_tag, position + (SELECT MAX(position) FROM inbox), created_at, body FROM inbox";
/// Beyond the 90 days for which anything waits in an inbox.
const AGE_ITEMS: &str = "UPDATE inbox SET created_at = created_at - 7862400000";
/// Somebody who was asked about, longer ago than the log is kept, and of whom nothing came.
const FORGOTTEN: &str = "INSERT INTO relation_subject (subject_index, relation_tag, sealed_handle, created_at) \
     SELECT $1, substr($1, 1, 16), $1, MIN(time) - 157852800000 FROM audit_entry";

/// A notice about the handover that ended, which nobody has answered.
const NOTICE: &str = "INSERT INTO notice (notice_id, handover_id, recipient_tag, kind, state, sent_at, due_at, body) \
     SELECT $1, handover_id, recipient_tag, 1, 1, 1, 9000000000000, $1 FROM handover WHERE wrapped_key IS NULL";

/// Gives entries ids of moments that lie further back; gives those.
async fn age_entries(beside: &mut Beside, ids: Vec<Vec<u8>>, millis: i64) -> Vec<Vec<u8>> {
    let mut aged_ids = Vec::new();
    for id in ids {
        let (moment, rest) = id.split_at(6);
        let moment = moment
            .iter()
            .fold(0, |sum, octet| sum << 8 | i64::from(*octet));
        let moment = (moment - millis).to_be_bytes();
        let both = [&id, &moment[2..], rest].concat();
        let aged = "UPDATE audit_entry SET entry_id = substr($1, 17, 16) WHERE entry_id = substr($1, 1, 16)";
        assert_eq!(beside.execute_with(aged, &both).await, 1);
        aged_ids.push(both[16..].to_vec());
    }
    aged_ids
}

async fn number(laid: &Laid, sql: &'static str) -> i64 {
    let mut beside = Beside::of(laid.home("broker")).await;
    let found = beside.number(sql).await;
    beside.close().await;
    found
}

async fn wait_for(laid: &Laid, sql: &'static str, expected: i64) {
    let begun = Instant::now();
    loop {
        let found = number(laid, sql).await;
        if found == expected {
            return;
        }
        let late = begun.elapsed() > READY_TIMEOUT;
        assert!(!late, "{sql}: {found}\n{}", laid.log("broker"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn rows(laid: &Laid, sql: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut beside = Beside::of(laid.home("broker")).await;
    let found = beside.pairs(sql).await;
    beside.close().await;
    found
}

/// How many of these are somewhere in the database's files; none on a server, whose VACUUM has its own time.
fn found_in_files(home: &Path, octets: &[(Vec<u8>, Vec<u8>)]) -> Option<usize> {
    let names = ["broker.sqlite", "broker.sqlite-wal"].map(|name| home.join(name));
    names[0].is_file().then(|| {
        let files: Vec<Vec<u8>> = names.iter().flat_map(std::fs::read).collect();
        let is_there = |wanted: &[u8]| {
            // Its middle: an overflow page begins anywhere in it.
            let part = &wanted[wanted.len() / 2..wanted.len() / 2 + 24];
            files
                .iter()
                .any(|file| file.windows(part.len()).any(|window| window == part))
        };
        octets.iter().filter(|(_, wanted)| is_there(wanted)).count()
    })
}

async fn wait_until_gone(laid: &Laid, octets: &[(Vec<u8>, Vec<u8>)], what: &str) {
    let begun = Instant::now();
    while found_in_files(laid.home("broker"), octets).is_some_and(|found| found > 0) {
        assert!(begun.elapsed() < READY_TIMEOUT, "{what} is in the files");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn check_there(laid: &Laid, octets: &[(Vec<u8>, Vec<u8>)], what: &str) {
    assert!(!octets.is_empty(), "{what}");
    if let Some(found) = found_in_files(laid.home("broker"), octets) {
        assert_eq!(found, octets.len(), "{what} was never in the files");
    }
}

/// A completed handover and one that stays open.
async fn life(laid: &Laid) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (uwv, desk) = (laid.client("uwv").await, laid.client("neutraal").await);
    let to = laid.identity("neutraal");
    let (one, other) = (enrol(&uwv, "one", 1).await, enrol(&uwv, "other", 2).await);
    let handover = offer(&uwv, &one, &to).await;
    desk.accept(&handover).await.unwrap();
    release(&uwv, &handover).await.unwrap();
    let payloads = rows(laid, "SELECT handover_id, sealed FROM payload").await;
    check_there(laid, &payloads, "a payload");
    let fetched = desk.fetch(&handover).await.unwrap();
    assert_eq!(fetched.fields.len(), values(DOSSIER).len());
    desk.complete(&handover, &today()).await.unwrap();
    offer(&uwv, &other, &to).await;
    payloads
}

/// Both parts of every entry.
async fn parts(laid: &Laid) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut parts = rows(laid, "SELECT entry_id, open_part FROM audit_entry").await;
    parts.extend(rows(laid, "SELECT entry_id, closed_part FROM audit_entry").await);
    parts
}

const PEOPLE: &str = "SELECT COUNT(*) FROM relation_subject";
const ERASED: &str = "SELECT COUNT(*) FROM erased_entry";
const KEYS: &str = "SELECT COUNT(*) FROM handover WHERE wrapped_key IS NOT NULL";
const HANDOVERS: &str = "SELECT COUNT(*) FROM handover WHERE wrapped_key IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_long_enough_goes_and_nothing_goes_before() {
    let mut laid = Laid::open().await;
    let payloads = life(&laid).await;
    assert_eq!(number(&laid, KEYS).await, 1, "of the open one");
    assert_eq!(number(&laid, "SELECT COUNT(*) FROM payload").await, 1);
    // The look at what is due, with which a broker begins, ends what its journal still had.
    laid.kill("broker");
    laid.start("broker").await;
    wait_until_gone(&laid, &payloads, "a payload of a handover that ended").await;

    laid.kill("broker");
    laid.kill("portal");
    let objection = "UPDATE relation_subject SET objected_at = created_at WHERE subject_index IN \
         (SELECT subject_index FROM handover WHERE wrapped_key IS NULL)";
    let mut beside = Beside::of(laid.home("broker")).await;
    assert_eq!(beside.execute(objection).await, 1);
    beside.close().await;
    let bodies = rows(&laid, "SELECT handover_id, body FROM handover").await;
    let ended = "SELECT handover_id, body FROM handover WHERE wrapped_key IS NULL";
    let ended = rows(&laid, ended).await;
    let entries = parts(&laid).await;
    let leaves = rows(&laid, "SELECT leaf_sha256, leaf_sha256 FROM audit_entry").await;
    check_there(&laid, &bodies, "a handover");
    check_there(&laid, &entries, "an entry");
    let look = "SELECT (erase_at - entered_at) / 86400000 FROM handover WHERE erase_at IS NOT NULL";
    assert_eq!(
        number(&laid, look).await,
        180,
        "the register's shortest term"
    );

    let mut beside = Beside::of(laid.home("broker")).await;
    assert_eq!(beside.execute(AGE_HANDOVERS).await, 1);
    for _ in 0..6 {
        beside.execute(DOUBLE_ITEMS).await;
    }
    let aged = beside.execute(AGE_ITEMS).await;
    assert!(aged > 200, "more than goes at once: {aged}");
    assert_eq!(beside.execute_with(FORGOTTEN, &[9; 32]).await, 1);
    let ids: std::collections::BTreeSet<_> = entries.iter().map(|(id, _)| id.clone()).collect();
    let ids = ids.into_iter().collect();
    let ids = age_entries(&mut beside, ids, ALMOST_LOG).await;
    beside.close().await;
    laid.start("broker").await;
    // Items of inboxes are looked at last.
    wait_for(&laid, "SELECT COUNT(*) FROM inbox", 0).await;
    assert_eq!(number(&laid, HANDOVERS).await, 1, "kept a day longer");
    assert_eq!(number(&laid, ERASED).await, 0, "kept a day longer");
    assert_eq!(number(&laid, PEOPLE).await, 2, "nobody refers to the third");

    laid.kill("broker");
    let mut beside = Beside::of(laid.home("broker")).await;
    assert_eq!(beside.execute(AGE_HANDOVERS_MORE).await, 1);
    assert_eq!(beside.execute_with(NOTICE, &[8; 16]).await, 1);
    age_entries(&mut beside, ids, TWO_DAYS).await;
    beside.close().await;
    laid.start("broker").await;
    // Entries are looked at after handovers.
    wait_for(&laid, ERASED, i64::try_from(leaves.len()).unwrap()).await;
    assert_eq!(number(&laid, HANDOVERS).await, 1, "an answer is due");
    answer_and_break(&mut laid).await;
    wait_until_gone(&laid, &ended, "a handover").await;
    wait_until_gone(&laid, &entries, "an entry").await;
    check_kept(&laid, &leaves).await;
}

/// The ended handover under another id, for which its body was not sealed.
const BROKEN: &str = "INSERT INTO handover (handover_id, revision, state, sender_tag, recipient_tag, purpose_tag, \
     subject_index, entered_at, erase_at, day, body) \
     SELECT $1, revision, state, sender_tag, recipient_tag, purpose_tag, subject_index, entered_at, erase_at, \
     day, body FROM handover WHERE wrapped_key IS NULL";

/// The answer comes that was due, and beside the ended handover is one that cannot be read: both go.
async fn answer_and_break(laid: &mut Laid) {
    laid.kill("broker");
    let mut beside = Beside::of(laid.home("broker")).await;
    let answered = "UPDATE notice SET answered_at = sent_at";
    assert_eq!(beside.execute(answered).await, 1);
    assert_eq!(beside.execute_with(BROKEN, &[7; 16]).await, 1);
    beside.close().await;
    laid.start("broker").await;
    wait_for(laid, HANDOVERS, 0).await;
    let told = laid
        .log("broker")
        .matches("kept for the longest term")
        .count();
    assert_eq!(told, 1, "it is named");
}

/// What stays: an objection, what is open, every leaf hash; and a line for each batch.
async fn check_kept(laid: &Laid, leaves: &[(Vec<u8>, Vec<u8>)]) {
    let objected = "SELECT COUNT(*) FROM relation_subject WHERE objected_at IS NOT NULL";
    assert_eq!(number(laid, objected).await, 1, "an objection stays");
    assert_eq!(number(laid, KEYS).await, 1, "what is open stays");
    let kept = rows(laid, "SELECT leaf_sha256, leaf_sha256 FROM erased_entry").await;
    let missing = leaves.iter().filter(|leaf| !kept.contains(leaf));
    assert_eq!(missing.count(), 0, "every leaf hash is kept");
    let told = lines(&laid.officer(), OPERATOR_OIN).await;
    let swept = told.iter().filter(|line| line.action == "EraseExpired");
    let batches =
        "a handover that was looked at, people, items four times, then handovers and entries";
    assert_eq!(swept.count(), 8, "{batches}");
}
