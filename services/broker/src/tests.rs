//! A broker's broker with a clock that is set by hand, on a real database and the real policies.
//!
//! Its key holders are away. Must never test what needs one: that is for the whole system.

mod look;
mod told;

use crate::Error;
use crate::audit::SearchEntries;
use crate::broker::{
    Boxed, Broker, ConversionRequest, Converted, InForce, KeyHolders, Keys, Settings,
};
use crate::call::{Call, Caller};
use papers::controllers::{Controller, ControllerSignature, PolicyFiles, SignedByAll};
use papers::directory::verify_directory;
use papers::paper::{self, ContextRequest, ContextWalk};
use rules::audit::Trace;
use rules::clock::{Clock, Timestamp};
use rules::directory::{DeskFile, DirectoryFile, PeerFile, RealmFile, Right};
use rules::hex;
use rules::id::{EntryId, Oin, PeerKind};
use rules::limits::DAY_MILLIS;
use rules::policy::PolicyBundle;
use rules::pseudonym::Context;
use rules::reason::{Outcome, Reason};
use rules::secret::Secret;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use store::{Database, Role};
use vault::chance::SystemChance;
use vault::digest::sha256;
use vault::pseudonym::ContextKey;
use vault::rest::{Crypter, DayKeys, IndexKey};
use vault::sign::{Paper, SigningKey};

const OPERATOR: &str = "00000099000000007000";
const OFFICER: &str = "00000099000000002000";
const PEERS: &[(&str, &str, &str)] = &[
    (OPERATOR, "BROKER", "broker"),
    ("00000099000000008000", "PORTAL", "portal"),
    ("00000099000000009100", "HOLDER", "holder"),
    (OFFICER, "GEMEENTE", "fg"),
];
/// The last second of 2026 in UTC.
const NEW_YEARS_EVE: i64 = 1_798_761_599_000;

/// The moment, and by how much each look at it moves it on.
struct HandClock(AtomicI64, AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        let step = self.1.load(Ordering::SeqCst);
        Timestamp::from_millis(self.0.fetch_add(step, Ordering::SeqCst))
    }
}

/// Key holders that cannot be reached.
struct Away;

impl KeyHolders for Away {
    fn convert(
        &self,
        _requests: Vec<ConversionRequest>,
    ) -> Boxed<'_, Result<Vec<Outcome<Converted>>, Error>> {
        Box::pin(async { Err(Error::HolderUnavailable) })
    }

    fn is_open<'a>(&'a self, _context: &'a Context) -> Boxed<'a, Result<bool, Error>> {
        Box::pin(async { Err(Error::HolderUnavailable) })
    }

    fn open_context(
        &self,
        _request: paper::Signed<ContextRequest>,
    ) -> Boxed<'_, Result<Outcome<ContextWalk>, Error>> {
        Box::pin(async { Err(Error::HolderUnavailable) })
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([number; 32]))
}

fn directory_file() -> DirectoryFile {
    let peers = PEERS.iter().zip(1_u8..).map(|((oin, kind, desk), number)| {
        let rights = if *oin == OFFICER {
            vec!["officer".to_owned()]
        } else {
            Vec::new()
        };
        PeerFile {
            oin: (*oin).to_owned(),
            name: (*kind).to_owned(),
            kind: (*kind).to_owned(),
            realms: vec![RealmFile {
                name: "main".to_owned(),
                epoch: 1,
                context: 1,
                ..RealmFile::default()
            }],
            desks: vec![DeskFile {
                name: (*desk).to_owned(),
                realm: "main".to_owned(),
                spki_sha256: hex::encode(&sha256(desk.as_bytes())),
                signing_key: hex::encode(key(number).public().bytes()),
                rights,
                ..DeskFile::default()
            }],
        }
    });
    DirectoryFile {
        version: 1,
        issued_at_millis: NEW_YEARS_EVE - 1_000,
        valid_until_millis: NEW_YEARS_EVE + 399 * DAY_MILLIS,
        portal_epoch: 1,
        relation_epoch: 1,
        holders: vec![PEERS[2].0.to_owned()],
        peers: peers.collect(),
        ..DirectoryFile::default()
    }
}

/// All files below a folder, by their path within it.
fn files(root: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
}

fn signed<T>(content: T, paper: Paper, bytes: &[u8]) -> SignedByAll<T> {
    let signature = key(99).sign(paper, bytes);
    SignedByAll {
        content,
        signatures: vec![ControllerSignature {
            controller: "first".to_owned(),
            signature: signature.bytes().to_vec(),
        }],
    }
}

struct Office {
    broker: Broker,
    clock: Arc<HandClock>,
    _folder: tempfile::TempDir,
}

impl Office {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = store::Settings::Sqlite(store::File {
            path: folder.path().join("broker.sqlite"),
            pages_max: None,
        });
        store::engine::migrate(&settings, Role::Broker)
            .await
            .unwrap();
        let database = Database::open(&settings, Role::Broker).await.unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(NEW_YEARS_EVE), AtomicI64::new(0)));
        let controllers = vec![Controller {
            name: "first".to_owned(),
            key: key(99).public(),
        }];
        let text = toml::to_string(&directory_file()).unwrap().into_bytes();
        let directory_file = signed(text.clone(), Paper::Directory, &text);
        let parsed = verify_directory(&controllers, &directory_file, None).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
        let mut found = Vec::new();
        files(&root, &root, &mut found);
        let bundle = PolicyBundle::load(&found, &sha256).unwrap();
        let policy = signed(
            PolicyFiles(found),
            Paper::PolicyBundle,
            bundle.signed_text(),
        );
        let context_label: Context = format!("ctx/{OPERATOR}/main/1").parse().unwrap();
        let mut scalar = [0; 32];
        scalar[0] = 5;
        let broker = Broker::new(
            Settings {
                database,
                keys: Keys {
                    index: IndexKey::from_secret(&Secret::new([7; 32])),
                    rest: Crypter::new(&[&Secret::new([8; 32])]),
                    days: RwLock::new(DayKeys::default()),
                    promise: key(1),
                    context: ContextKey::from_secret(&Secret::new(scalar)).unwrap(),
                    context_label,
                },
                holders: Arc::new(Away),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                random: Arc::new(SystemChance::new()),
                controllers,
                operator: caller(OPERATOR, PeerKind::Broker, "broker", &[]),
                trust_level: 1,
                limits: crate::Limits::default(),
            },
            InForce::new(parsed, &directory_file, bundle).unwrap(),
        );
        let started = broker.first_start(&directory_file, &policy).await.unwrap();
        assert!(matches!(started, Outcome::Permitted(_)), "{started:?}");
        Self {
            broker,
            clock,
            _folder: folder,
        }
    }

    fn call(&self) -> Call {
        self.call_of(caller(OFFICER, PeerKind::Gemeente, "fg", &[Right::Officer]))
    }

    fn call_of(&self, caller: Caller) -> Call {
        Call {
            caller,
            trace: Trace::draw(self.broker.random()),
            now: self.broker.now(),
        }
    }

    /// One call of the officer's that leaves a line, a second after the one before.
    async fn look(&self) -> EntryId {
        self.clock.0.fetch_add(1_000, Ordering::SeqCst);
        let noted = self.broker.note(&self.call(), "GetStatus").await.unwrap();
        noted.promise.entry
    }

    /// A page of the lines in which the officer's organisation has a part, and the token behind it.
    async fn page(&self, rows: u32, token: &str) -> Result<(Vec<EntryId>, String), Reason> {
        let search = SearchEntries {
            peer: OFFICER.parse::<Oin>().ok(),
            until: Some(Timestamp::from_millis(NEW_YEARS_EVE + 60_000)),
            page_rows: rows,
            page_token: token.to_owned(),
            ..SearchEntries::default()
        };
        let answer = self.broker.serve(&self.call(), &search).await.unwrap();
        match answer.outcome {
            Outcome::Permitted(page) => {
                let rows = page.entries.iter().map(|entry| entry.row.entry_id);
                Ok((rows.collect(), page.next_page_token))
            }
            Outcome::Refused(refusal) => Err(refusal.reason),
        }
    }
}

fn caller(oin: &str, kind: PeerKind, desk: &str, rights: &[Right]) -> Caller {
    Caller {
        party: format!("{oin}/main").parse().unwrap(),
        desk: desk.parse().unwrap(),
        kind,
        region: None,
        rights: rights.iter().copied().collect::<BTreeSet<_>>(),
        signing_key: [0; 32],
    }
}

#[tokio::test]
async fn pages_of_one_line_go_over_the_turn_of_the_year_without_a_gap_or_a_double() {
    let office = Office::open().await;
    // The clock goes on a second each: one line in the old year, the others in the new one.
    office
        .clock
        .0
        .store(NEW_YEARS_EVE - 3_000, Ordering::SeqCst);
    let mut written = Vec::new();
    for _ in 0..6 {
        written.push(office.look().await);
    }
    written.reverse();
    // The searches leave lines too: beyond the period that is asked about.
    office
        .clock
        .0
        .store(NEW_YEARS_EVE + 120_000, Ordering::SeqCst);
    for rows in [1, 2, 4, 100] {
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let (page, next) = office.page(rows, &token).await.unwrap();
            assert!(page.len() <= usize::try_from(rows).unwrap());
            seen.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, written, "{rows} on a page");
    }
    // A token is of one question and one caller.
    let (_, token) = office.page(1, "").await.unwrap();
    let turned = format!("{}0", &token[..token.len() - 1]);
    for wrong in [turned.as_str(), &token[2..], "00"] {
        if wrong != token {
            let refused = office.page(1, wrong).await;
            assert_eq!(refused, Err(Reason::PageTokenInvalid), "{wrong}");
        }
    }
}
