//! The test house: a sandbox that plays nothing, and the identities in it.
//!
//! Must never leave a process behind, and must never use a folder that it did not make.

use crate::database::{Beside, engine_arguments};
use client::{Client, ClientError, PersonKey, Preparation, Prepared};
use gateway::cli::identity::Identity;
use rules::id::{GroupId, HandoverId, Label};
use rules::reason::Reason;
use rules::secret::Secret;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tonic_types::StatusExt as _;
use vault::pseudonym::Bsn;
use wire::audit::v1::{EntrySummary, SearchEntriesRequest};

/// How long what follows from a stop may take here; as a rule it is a second.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(30);
/// How long servers may take until they serve.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The summary and dossier that tests hand over.
pub(crate) const SUMMARY: &[(&str, &str)] = &[("werk.denkniveau", "4"), ("regio.pc4", "1701")];
pub(crate) const DOSSIER: &[(&str, &str)] = &[
    ("identiteit.naam", "Jip Dijkwachter"),
    ("contact.telefoon", "0600000000"),
    ("doelgroep.code", "WW"),
];

/// What became of somebody, as tests report it.
pub(crate) const OUTCOME: &[(&str, &str)] = &[("uitstroom.code", "DUURZAME_BAAN")];

/// A sandbox's folder in a temporary place, and the identities in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Waits until nothing that follows from a stop waits any more.
    pub(crate) async fn settle(&self) {
        let mut broker = Beside::of(&self.path().join("processes/broker")).await;
        let begun = Instant::now();
        while broker.number("SELECT COUNT(*) FROM consequence").await > 0 {
            assert!(
                begun.elapsed() < SETTLED_TIMEOUT,
                "what follows from a stop waits"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        broker.close().await;
    }

    /// An empty place, in which nothing is laid yet.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The sandbox's folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("sandbox")
    }

    /// A place beside the sandbox.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The settings of an identity.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        Identity::load(&self.path(), name).unwrap()
    }

    /// The client library of an identity, with its own store, its context opened.
    pub(crate) async fn client(&self, name: &str) -> Client {
        let client = self.identity(name).client().unwrap();
        client.open_context().await.unwrap();
        client
    }

    /// The joint officer, who may search the whole log.
    pub(crate) fn officer(&self) -> Client {
        self.identity("officer").client().unwrap()
    }
}

/// A running sandbox.
pub(crate) struct House {
    folder: Folder,
    process: Child,
}

impl House {
    /// Lays a sandbox and waits until its broker serves.
    pub(crate) async fn start() -> Self {
        let folder = Folder::new();
        let process = Command::new(program())
            .args(["sandbox", "--stay", "--empty", "--folder"])
            .arg(folder.path())
            .args(engine_arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.beside("sandbox.log")).unwrap())
            .spawn()
            .unwrap();
        let house = Self { folder, process };
        house.wait().await;
        house
    }

    async fn wait(&self) {
        let begun = Instant::now();
        loop {
            if self.path().join("ready.txt").is_file() {
                return;
            }
            let log = std::fs::read_to_string(self.beside("sandbox.log"));
            assert!(
                begun.elapsed() < READY_TIMEOUT,
                "the sandbox does not serve:\n{log:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Deref for House {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A termination, not a kill: the sandbox then stops its own servers.
        let id = self.process.id().to_string();
        drop(Command::new("kill").args(["-TERM", &id]).status());
        drop(self.process.wait());
    }
}

/// The binary beside the test's own, or in the folder above: `target/release/sluis`.
pub(crate) fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut near = own.ancestors().skip(1).take(2);
    near.find_map(|folder| Some(folder.join("sluis")).filter(|program| program.is_file()))
        .expect("no `sluis` beside this program: run `cargo build --release` first")
}

/// A test person's number.
pub(crate) fn bsn(number: usize) -> Bsn {
    digits(number).parse().unwrap()
}

/// The digits of a test person's number: `9999xxxxx`, passing the eleven-test, the `number`th of them.
pub(crate) fn digits(number: usize) -> String {
    let digits = (999_900_000_u32..=999_999_999)
        .filter(|digits| {
            let places = (0..9).map(|place| i64::from(digits / 10_u32.pow(place) % 10));
            let sum: i64 = places
                .enumerate()
                .map(|(place, digit)| {
                    if place == 0 {
                        -digit
                    } else {
                        digit * (place as i64 + 1)
                    }
                })
                .sum();
            sum % 11 == 0
        })
        .nth(number)
        .unwrap();
    digits.to_string()
}

/// A person key.
pub(crate) fn person(name: &str) -> PersonKey {
    PersonKey::new(name).unwrap()
}

/// Enrols one person.
pub(crate) async fn enrol(client: &Client, name: &str, number: usize) -> PersonKey {
    let key = person(name);
    let enrolled = client.enrol(&[(key.clone(), bsn(number))]).await.unwrap();
    assert_eq!(enrolled.len(), 1);
    assert_eq!(enrolled[0].refused, None);
    key
}

/// The label of a person's number. It goes to every realm that tests hand over to, but not to the neutral one.
pub(crate) const NUMBER: &str = "identiteit.bsn";

/// Somebody whom a desk has under a point that is nobody's, as no library would make it at a realm with the BSN.
pub(crate) fn nobody(client: &Client, name: &str) -> PersonKey {
    let key = person(name);
    let domain = format!("partner/{}/1", client.party()).parse().unwrap();
    let drawn = [(key.clone(), vault::pseudonym::Pseudonym::random())];
    client.store().keep_pseudonyms(&domain, &drawn).unwrap();
    key
}

/// What is asked before a handover.
pub(crate) fn preparation(to: &Identity, group: Option<GroupId>) -> Preparation {
    let labels = |values: &[(&str, &str)]| -> Vec<Label> {
        values
            .iter()
            .map(|(label, _)| label.parse().unwrap())
            .collect()
    };
    Preparation {
        recipient: to.party().parse().unwrap(),
        purpose: "HANDOVER".parse().unwrap(),
        basis: "SUWI_62_1".parse().unwrap(),
        summary_labels: labels(SUMMARY),
        dossier_labels: {
            let mut dossier = labels(DOSSIER);
            if !to.party().ends_with("/neutraal") {
                dossier.push(NUMBER.parse().unwrap());
            }
            dossier
        },
        group,
    }
}

/// The same to somebody who may not use the number.
pub(crate) fn without_number(mut asked: Preparation) -> Preparation {
    asked
        .dossier_labels
        .retain(|label| label.as_str() != NUMBER);
    asked
}

/// Values to be sealed.
pub(crate) fn values(pairs: &[(&str, &str)]) -> Vec<(Label, Secret<Vec<u8>>)> {
    pairs
        .iter()
        .map(|(label, value)| {
            (
                label.parse().unwrap(),
                Secret::new(value.as_bytes().to_vec()),
            )
        })
        .collect()
}

/// Prepares and offers.
pub(crate) async fn offer(from: &Client, who: &PersonKey, to: &Identity) -> HandoverId {
    let prepared: Prepared = from.prepare(who, &preparation(to, None)).await.unwrap();
    let handover = prepared.receipt.handover;
    from.offer(&handover, &values(SUMMARY)).await.unwrap();
    handover
}

/// Reads a handover anew, as a sender does before it decides, and releases it.
pub(crate) async fn release(
    from: &Client,
    handover: &HandoverId,
) -> Result<client::Receipt, ClientError> {
    from.show(handover).await.unwrap();
    from.release(handover, &values(DOSSIER)).await
}

/// The reason of a refusal.
#[track_caller]
pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Reason {
    match result {
        Ok(reply) => panic!("was not refused: {reply:?}"),
        Err(error) => error
            .reason()
            .unwrap_or_else(|| panic!("no refusal: {error:?}")),
    }
}

/// The reason of a refusal that came as a status; empty when it is no refusal of ours.
pub(crate) fn reason_of(status: &tonic::Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// The lines that an officer finds about an organisation, newest first.
pub(crate) async fn lines(officer: &Client, oin: &str) -> Vec<EntrySummary> {
    let question = SearchEntriesRequest {
        peer_oin: Some(oin.to_owned()),
        ..SearchEntriesRequest::default()
    };
    search(officer, question).await
}

/// The lines that an officer finds, newest first, on all pages.
pub(crate) async fn search(
    officer: &Client,
    mut question: SearchEntriesRequest,
) -> Vec<EntrySummary> {
    question.page_size = 1_000;
    let mut found = Vec::new();
    loop {
        let page = officer.search_log(question.clone()).await.unwrap();
        found.extend(page.entries);
        question.page_token = page.next_page_token;
        if question.page_token.is_empty() {
            return found;
        }
    }
}

/// Lines of one action, as decision and code, oldest first.
pub(crate) async fn decisions(officer: &Client, oin: &str, action: &str) -> Vec<(String, String)> {
    let found = lines(officer, oin).await.into_iter().rev();
    found
        .filter(|line| line.action == action)
        .map(|line| (line.decision, line.code))
        .collect()
}

/// Today in Amsterdam, as YYYY-MM-DD.
pub(crate) fn today() -> String {
    gateway::clock::today().unwrap()
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
