//! Frozen papers: the octets that another language must make and read, each signed by the key of one seed.
//!
//! Must never be made to pass by writing the file anew: a changed octet is another paper, which gets a version of its own.

use super::*;
use crate::promise::Promise;
use rules::consent::Statement;
use rules::directory::{EdgeTimers, edge_bytes, head, sealing_key_bytes};
use rules::hex::encode as hex;
use rules::id::EntryId;
use rules::policy::signed_text;
use rules::secret::Secret;
use serde_json::{Map, Value, json};
use vault::sign::Paper;

fn party(oin: &str) -> String {
    format!("{oin}/main")
}

fn voucher() -> Voucher {
    let order = order(OrderKind::Prepare, None, b"x");
    Voucher {
        order: order.id,
        order_sha256: vault::digest::sha256(&encode(&order)),
        kind: order.kind,
        source: order.source,
        targets: order
            .targets
            .iter()
            .map(|target| target.0.clone())
            .collect(),
        hop: 2,
        holder: name(BROKER),
        inputs_sha256: vec![[1; 32], [2; 32]],
        outputs_sha256: vec![[3; 32], [4; 32]],
        output_keys: vec![[5; 32], [6; 32]],
        time: Timestamp::from_millis(5),
        trust_level: 2,
        directory_version: 7,
    }
}

fn promise() -> Promise {
    Promise {
        entry: EntryId::from_slice(&[1; 16]).unwrap(),
        leaf_sha256: [2; 32],
        time: Timestamp::from_millis(5),
        signature: Signature::from_bytes([0; 64]),
    }
}

/// The papers that are messages, by name.
fn messages() -> Vec<(&'static str, Paper, Vec<u8>)> {
    let request = ContextRequest {
        context: name(&format!("ctx/{UWV}/main/1")),
        owner: name(UWV),
        desk: name("hoofd"),
        sealing_key_sha256: [4; 32],
        time: Timestamp::from_millis(5),
    };
    let step = ContextStep {
        context: request.context.clone(),
        hop: 1,
        holder: name(BROKER),
        previous_point: [1; 32],
        point: [2; 32],
        share_commitment: [3; 32],
        proof: vec![4; 224],
        time: Timestamp::from_millis(5),
    };
    let offer = ManifestStage::Offer {
        dossier_labels: vec![name("a.b")],
    };
    vec![
        (
            "order PREPARE",
            Paper::Order,
            encode(&order(OrderKind::Prepare, None, b"x")),
        ),
        (
            "order HANDOVER",
            Paper::Order,
            encode(&order(
                OrderKind::Handover,
                OrderId::from_slice(&[3; 16]),
                b"x",
            )),
        ),
        ("voucher", Paper::Voucher, encode(&voucher())),
        (
            "manifest of an offer",
            Paper::Manifest,
            encode(&manifest(offer)),
        ),
        (
            "manifest of a release",
            Paper::Manifest,
            encode(&manifest(release())),
        ),
        (
            "manifest of a report",
            Paper::Manifest,
            encode(&manifest(ManifestStage::Report)),
        ),
        ("context request", Paper::ContextRequest, encode(&request)),
        ("context step", Paper::ContextStep, encode(&step)),
        (
            "notice answer",
            Paper::NoticeAnswer,
            encode(&notice_answer(AnswerCode::Retained)),
        ),
        (
            "context share",
            Paper::ContextShare,
            context_share_bytes(&request.context, &[1; 1_120], &[2; 272]),
        ),
    ]
}

/// A directory in a head and two parts; only the head is signed.
const DIRECTORY: &[u8] = b"version = 1\n\n# ---- part ----\na = 1\n\n# ---- part ----\nb = 2\n";

/// Two files that controllers sign, not in order, and one that they do not.
fn policy_files() -> Vec<(String, Vec<u8>)> {
    ["register.toml", "guards.cedar", "cases/a.json"]
        .map(|path| (path.to_owned(), path.as_bytes().to_vec()))
        .to_vec()
}

/// The papers that are no messages.
fn lengths_and_octets() -> Vec<(&'static str, Paper, Vec<u8>)> {
    let timers = EdgeTimers {
        prepared_hours: 24,
        offer_working_days: 10,
        release_working_days: 5,
        complete_days: 14,
    };
    let (from, to) = (party(UWV), party(GEMEENTE));
    let edge = |timers| edge_bytes(&from, &to, "HANDOVER", &["35"], 1_000, 2_000, timers);
    vec![
        ("edge", Paper::Edge, edge(None)),
        ("edge with timers", Paper::Edge, edge(Some(&timers))),
        (
            "sealing key",
            Paper::SealingKey,
            sealing_key_bytes(&to, &[7; 1_216], 2_000),
        ),
        ("promise", Paper::Promise, promise().signed_bytes()),
        (
            "policy set",
            Paper::PolicyBundle,
            signed_text(&policy_files(), &vault::digest::sha256),
        ),
        ("directory", Paper::Directory, head(DIRECTORY).to_vec()),
    ]
}

#[test]
fn papers_are_the_octets_that_they_were() {
    let key = SigningKey::from_seed(&Secret::new([3; 32]));
    let made = messages()
        .into_iter()
        .chain(lengths_and_octets())
        .map(|(name, paper, bytes)| {
            let signature = hex(key.sign(paper, &bytes).bytes());
            (
                name.to_owned(),
                json!({ "bytes": hex(&bytes), "signature": signature }),
            )
        });
    let made = Value::Object(made.collect::<Map<_, _>>());
    let frozen = include_str!("../../../../../tests/vectors/papers.json");
    let frozen: Value = serde_json::from_str(frozen).unwrap();
    assert_eq!(frozen["values"], made, "{made:#}");
}

#[test]
fn a_statement_that_another_language_made_is_ours() {
    let frozen = include_str!("../../../../../tests/vectors/statement.json");
    let frozen: Value = serde_json::from_str(frozen).unwrap();
    let text = |name: &str| frozen["values"][name].as_str().unwrap();
    let statement = Statement::parse(text("payload").as_bytes()).unwrap();
    assert_eq!(statement.record.purpose.as_str(), "HANDOVER");
    let key = SigningKey::from_seed(&Secret::new([3; 32]));
    let signed = vault::statement::sign(&key, text("kid"), text("payload").as_bytes());
    assert_eq!(signed, text("jws"));
}
