//! One portal with its database, a broker of paper, and a few test persons.

use crate::broker::Boxed;
use crate::{
    Asking, Broker, CopyAtBroker, ENCRYPTED_PERSON_BYTES, Identities, Overview, Pages, Parts,
    Portal, PortalError, Standing,
};
use papers::author::Choice;
use papers::feed::{FeedLine, Told};
use rules::clock::{Clock, Timestamp};
use rules::consent::{ConsentState, Language, LinkCode, Statement, StatementEvent, StopCode};
use rules::directory::{DeskFile, Directory, DirectoryFile, PeerFile, RealmFile};
use rules::feed::FeedKind;
use rules::id::{ConsentId, EntryId, HandoverId, Party, RequestId};
use rules::limits::{DAY_MILLIS, MINUTE_MILLIS};
use rules::reason::{Outcome, Reason, Refusal};
use rules::register::Register;
use rules::secret::Secret;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use store::{Database, Role, Settings};
use vault::chance::SystemChance;
use vault::pseudonym::{Bsn, Ciphertext, ContextKey, Pseudonym};
use vault::rest::{Crypter, IndexKey};

pub(super) const START: i64 = 1_790_000_000_000;
pub(super) const UWV: &str = "00000099000000001000";
pub(super) const GEMEENTE: &str = "00000099000000002000";
pub(super) const VAKBOND: &str = "00000099000000005000";
pub(super) const PORTAL: &str = "00000099000000007000";
pub(super) const ANNA: &str = "999990019";
pub(super) const BRAM: &str = "999990020";

pub(super) struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// What the broker of paper was asked and what it has.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) feed: VecDeque<FeedLine>,
    pub(super) consents: BTreeMap<ConsentId, Statement>,
    pub(super) objections: Vec<HandoverId>,
    pub(super) copies: BTreeMap<[u8; 16], Vec<u8>>,
    /// Whether the key holders are away: then nothing is registered.
    pub(super) holders_away: bool,
    /// Statements in the order in which they came.
    pub(super) heard: Vec<StatementEvent>,
    /// How many calls from now on do not arrive.
    pub(super) away: usize,
    /// After so many more changes nobody hears anything.
    pub(super) away_after: Option<usize>,
    /// The next change is refused with this.
    pub(super) refuse: Option<Reason>,
    /// Every refusal of a person is refused with this.
    pub(super) refuse_refusals: Option<Reason>,
    /// Whether the broker was put back from a backup and is shut.
    pub(super) is_restoring: bool,
    /// So many copies at most.
    pub(super) copies_max: Option<usize>,
    /// Every objection is refused with this.
    pub(super) refuse_objections: Option<Reason>,
    pub(super) registered: usize,
}

pub(super) struct PaperBroker {
    key: ContextKey,
    directory: Arc<Directory>,
    pub(super) desk: Mutex<Desk>,
}

fn jws(statement: &Statement) -> String {
    format!("statement {}", statement.record.version)
}

impl PaperBroker {
    fn point(&self, bsn: &Bsn) -> Pseudonym {
        self.key.decrypt(&self.key.encrypt_bsn(bsn)).unwrap()
    }

    /// The portal's pseudonym of a test person.
    pub(super) fn point_of(&self, number: &str) -> [u8; 32] {
        *self.point(&number.parse().unwrap()).bytes()
    }

    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk) -> Outcome<T>,
    ) -> Asking<'_, T> {
        let mut desk = self.desk.lock().unwrap();
        if desk.away > 0 {
            desk.away -= 1;
            return Box::pin(async { Err(PortalError::BrokerAway("away".to_owned())) });
        }
        let outcome = work(&mut desk);
        Box::pin(async move { Ok(outcome) })
    }

    fn change(&self, statement: &Statement) -> Asking<'_, String> {
        {
            let mut desk = self.desk.lock().unwrap();
            if let Some(left) = desk.away_after {
                if left == 0 {
                    return Box::pin(async { Err(PortalError::BrokerAway("away".to_owned())) });
                }
                desk.away_after = Some(left - 1);
            }
        }
        let statement = statement.clone();
        self.answer(move |desk| {
            let known = desk.consents.get(&statement.record.id);
            let is_withdrawal = statement.event == StatementEvent::Withdrawn;
            if is_withdrawal && known.is_none_or(|known| known.record.state.is_terminal()) {
                return Outcome::Refused(Refusal::new(Reason::ConsentNotActive));
            }
            if let Some(reason) = desk.refuse.take() {
                return Outcome::Refused(Refusal::new(reason));
            }
            desk.registered += 1;
            desk.heard.push(statement.event);
            let jws = jws(&statement);
            desk.consents.insert(statement.record.id, statement);
            Outcome::Permitted(jws)
        })
    }
}

impl Broker for PaperBroker {
    fn login<'a>(&'a self, bsn: &'a Bsn) -> Asking<'a, Vec<Pseudonym>> {
        let point = self.point(bsn);
        self.answer(move |_| Outcome::Permitted(vec![point]))
    }

    fn login_of<'a>(
        &'a self,
        person: &'a [u8; ENCRYPTED_PERSON_BYTES],
    ) -> Asking<'a, Vec<Pseudonym>> {
        if self.desk.lock().unwrap().holders_away {
            return Box::pin(async { Err(PortalError::BrokerAway("no holder".to_owned())) });
        }
        let point = Ciphertext::parse(person).and_then(|person| self.key.decrypt(&person));
        self.answer(move |_| Outcome::Permitted(vec![point.unwrap()]))
    }

    fn introduced<'a>(
        &'a self,
        introduction: &'a [u8; 64],
    ) -> Boxed<'a, Result<Pseudonym, PortalError>> {
        let ciphertext = Ciphertext::parse(introduction);
        let point = ciphertext.and_then(|ciphertext| self.key.decrypt(&ciphertext));
        Box::pin(async move { point.map_err(|_| PortalError::Broker("no person".to_owned())) })
    }

    fn register<'a>(&'a self, _: &'a Bsn, statement: &'a Statement) -> Asking<'a, String> {
        self.change(statement)
    }

    fn encrypted<'a>(
        &'a self,
        bsn: &'a Bsn,
    ) -> Boxed<'a, Result<[u8; ENCRYPTED_PERSON_BYTES], PortalError>> {
        let person = *self.key.encrypt_bsn(bsn).bytes();
        Box::pin(async move { Ok(person) })
    }

    fn register_of<'a>(
        &'a self,
        _: &'a [u8; ENCRYPTED_PERSON_BYTES],
        statement: &'a Statement,
    ) -> Asking<'a, String> {
        if self.desk.lock().unwrap().holders_away {
            return Box::pin(async { Err(PortalError::BrokerAway("no holder".to_owned())) });
        }
        let refused = self.desk.lock().unwrap().refuse_refusals;
        if let Some(reason) = refused {
            return self.answer(move |_| Outcome::Refused(Refusal::new(reason)));
        }
        self.change(statement)
    }

    fn narrow<'a>(&'a self, statement: &'a Statement) -> Asking<'a, String> {
        self.change(statement)
    }

    fn withdraw<'a>(&'a self, _: RequestId, statement: &'a Statement) -> Asking<'a, String> {
        self.change(statement)
    }

    fn withdraw_by_code<'a>(&'a self, code: &'a StopCode, _: [u8; 32]) -> Asking<'a, u32> {
        let canonical = code.canonical().to_owned();
        self.answer(move |desk| {
            let found = desk.consents.values().any(|statement| {
                statement
                    .stop_code
                    .as_ref()
                    .is_some_and(|code| code.canonical() == canonical)
            });
            if found {
                Outcome::Permitted(0)
            } else {
                Outcome::Refused(Refusal::new(Reason::NotAvailable))
            }
        })
    }

    fn consent(&self, record: ConsentId) -> Asking<'_, Standing> {
        self.answer(move |desk| match desk.consents.get(&record) {
            Some(statement) => Outcome::Permitted(Standing {
                statement: statement.clone(),
                jws: jws(statement),
                record: statement.record.clone(),
            }),
            None => Outcome::Refused(Refusal::new(Reason::NotAvailable)),
        })
    }

    fn object(&self, _: RequestId, handover: HandoverId, _: bool) -> Asking<'_, Timestamp> {
        self.answer(move |desk| {
            if let Some(reason) = desk.refuse_objections {
                return Outcome::Refused(Refusal::new(reason));
            }
            desk.objections.push(handover);
            Outcome::Permitted(Timestamp::from_millis(START))
        })
    }

    fn link<'a>(&'a self, _: &'a Bsn, _: &'a Party) -> Asking<'a, (LinkCode, Timestamp)> {
        let code = LinkCode::draw(&SystemChance::new());
        self.answer(move |_| {
            Outcome::Permitted((code, Timestamp::from_millis(START + 10 * MINUTE_MILLIS)))
        })
    }

    fn pull(&self, limit: usize) -> Asking<'_, Vec<FeedLine>> {
        self.answer(move |desk| Outcome::Permitted(desk.feed.iter().take(limit).cloned().collect()))
    }

    fn acknowledge<'a>(&'a self, lines: &'a [EntryId]) -> Asking<'a, ()> {
        let lines = lines.to_vec();
        self.answer(move |desk| {
            desk.feed.retain(|line| !lines.contains(&line.id));
            Outcome::Permitted(())
        })
    }

    fn put_copies<'a>(&'a self, copies: &'a [CopyAtBroker]) -> Asking<'a, ()> {
        let copies = copies.to_vec();
        self.answer(move |desk| {
            let held = desk.copies.len().saturating_add(copies.len());
            if desk.copies_max.is_some_and(|most| held > most) {
                return Outcome::Refused(Refusal::new(Reason::StorageFull));
            }
            for copy in copies {
                desk.copies.insert(copy.name, copy.sealed);
            }
            Outcome::Permitted(())
        })
    }

    fn list_copies(
        &self,
        after: Option<[u8; 16]>,
        limit: usize,
        names_only: bool,
    ) -> Asking<'_, Vec<CopyAtBroker>> {
        self.answer(move |desk| {
            let behind = desk
                .copies
                .iter()
                .filter(|(name, _)| after.is_none_or(|after| **name > after));
            let copies = behind.take(limit).map(|(name, sealed)| CopyAtBroker {
                name: *name,
                sealed: if names_only {
                    Vec::new()
                } else {
                    sealed.clone()
                },
            });
            Outcome::Permitted(copies.collect())
        })
    }

    fn take_copies<'a>(&'a self, names: &'a [[u8; 16]]) -> Asking<'a, ()> {
        let names = names.to_vec();
        self.answer(move |desk| {
            desk.copies.retain(|name, _| !names.contains(name));
            Outcome::Permitted(())
        })
    }

    fn is_restoring(&self) -> Boxed<'_, Result<bool, PortalError>> {
        let is_restoring = self.desk.lock().unwrap().is_restoring;
        Box::pin(async move { Ok(is_restoring) })
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }
}

pub(super) struct World {
    pub(super) portal: Portal,
    pub(super) broker: Arc<PaperBroker>,
    pub(super) register: Register,
    clock: Arc<HandClock>,
    identities: Identities,
    pub(super) without_copies: usize,
    /// Of indexes and tags, and of what lies at rest.
    keys: (Secret<[u8; 32]>, Secret<[u8; 32]>),
    settings: Settings,
    folder: tempfile::TempDir,
}

pub(super) fn register() -> Register {
    let text = include_str!("../../../../policies/register.toml");
    Register::parse("register.toml", text).unwrap()
}

pub(super) fn main_of(oin: &str) -> Party {
    format!("{oin}/main").parse().unwrap()
}

fn peer(oin: &str, name: &str, kind: &str, desk: &str) -> PeerFile {
    let digest =
        |what: &str| rules::hex::encode(&vault::digest::sha256(format!("{oin}/{what}").as_bytes()));
    PeerFile {
        oin: oin.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        realms: vec![RealmFile {
            name: "main".to_owned(),
            epoch: 1,
            context: 1,
            ..RealmFile::default()
        }],
        desks: vec![DeskFile {
            name: desk.to_owned(),
            realm: "main".to_owned(),
            spki_sha256: digest("certificate"),
            signing_key: digest("key"),
            ..DeskFile::default()
        }],
    }
}

pub(super) fn directory() -> Directory {
    let file = DirectoryFile {
        version: 1,
        issued_at_millis: START,
        valid_until_millis: START + 400 * DAY_MILLIS,
        portal_epoch: 1,
        relation_epoch: 1,
        holders: vec!["00000099000000009100".to_owned()],
        peers: vec![
            peer(UWV, "UWV", "UWV", "ww"),
            peer(GEMEENTE, "Gemeente Dijkerwaard", "GEMEENTE", "werkplein"),
            peer(VAKBOND, "Vakbond De Schakel", "VAKBOND", "loopbaan"),
            peer(PORTAL, "Stichting Burgerportaal", "PORTAL", "portal"),
            peer("00000099000000008000", "Sluisbeheer", "BROKER", "broker"),
            peer("00000099000000009100", "Sleutelhuis", "HOLDER", "holder"),
        ],
        edges: Vec::new(),
        parts: Vec::new(),
        revoked: Vec::new(),
    };
    let parsed = Directory::parse(&toml::to_string(&file).unwrap(), &vault::digest::sha256);
    parsed.unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

impl World {
    pub(super) async fn new() -> Self {
        Self::trusting(Identities::Test).await
    }

    pub(super) async fn trusting(identities: Identities) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::Sqlite(store::File {
            path: folder.path().join("portal.sqlite"),
            pages_max: None,
        });
        store::engine::migrate(&settings, Role::Portal)
            .await
            .unwrap();
        let mut scalar = [0; 32];
        scalar[0] = 7;
        let broker = Arc::new(PaperBroker {
            key: ContextKey::from_secret(&Secret::new(scalar)).unwrap(),
            directory: Arc::new(directory()),
            desk: Mutex::default(),
        });
        let clock = Arc::new(HandClock(AtomicI64::new(START)));
        let keys = (IndexKey::generate(), IndexKey::generate());
        let world = Self {
            portal: Self::start(&settings, &keys, (identities, 0), &broker, &clock).await,
            without_copies: 0,
            broker,
            register: register(),
            clock,
            identities,
            keys,
            settings,
            folder,
        };
        world.portal.reconcile().await.unwrap();
        world
    }

    async fn start(
        settings: &Settings,
        keys: &(Secret<[u8; 32]>, Secret<[u8; 32]>),
        (identities, without_copies): (Identities, usize),
        broker: &Arc<PaperBroker>,
        clock: &Arc<HandClock>,
    ) -> Portal {
        Portal::new(Parts {
            desk: (PORTAL.parse().unwrap(), "portal".parse().unwrap()),
            identities,
            broker: Arc::<PaperBroker>::clone(broker),
            database: Database::open(settings, Role::Portal).await.unwrap(),
            index: IndexKey::from_secret(&keys.0),
            crypter: Crypter::new(&[&keys.1]),
            without_copies,
            register: register(),
            clock: Arc::<HandClock>::clone(clock),
            random: Arc::new(SystemChance::new()),
        })
        .await
        .unwrap()
    }

    /// The portal is killed and started again: sessions are gone.
    pub(super) async fn start_again(&mut self) {
        self.portal.close_database().await;
        self.portal = Self::start(
            &self.settings,
            &self.keys,
            (self.identities, self.without_copies),
            &self.broker,
            &self.clock,
        )
        .await;
    }

    /// Where a backup of the portal's tables is made, and the moment of it.
    pub(super) async fn back_up(&self) -> std::path::PathBuf {
        let path = self.folder.path().join("backup.sqlite");
        store::backup::take(&self.settings, Role::Portal, &path)
            .await
            .unwrap();
        path
    }

    /// The portal's tables are lost and put back from a backup; the portal starts again.
    pub(super) async fn put_back(&mut self, backup: &std::path::Path) {
        self.portal.close_database().await;
        for file in ["portal.sqlite", "portal.sqlite-wal", "portal.sqlite-shm"] {
            drop(std::fs::remove_file(self.folder.path().join(file)));
        }
        let shut = store::restoration::Shut {
            restored_at: self.clock.now(),
            backup_at: self.clock.now(),
        };
        store::backup::put_back(backup, &self.settings, Role::Portal, Some(shut))
            .await
            .unwrap();
        self.start_again().await;
    }

    pub(super) fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(super) async fn login(&self, number: &str) -> Vec<u8> {
        let begun = self.portal.login(&format!("test:{number}")).await.unwrap();
        granted(begun).token.to_vec()
    }

    pub(super) async fn look(&self, session: &[u8]) -> Overview {
        granted(
            self.portal
                .overview(session, &Pages::first(Language::En))
                .await
                .unwrap(),
        )
    }

    /// A choice that the register allows: UWV to the vakbond, with the waiver that goes with it.
    pub(super) fn choice(&self) -> Choice {
        let (sender, recipient) = (main_of(UWV), main_of(VAKBOND));
        Choice {
            sender,
            recipient,
            purpose: "HANDOVER".parse().unwrap(),
            categories: ["WORK", "REGION"]
                .map(|category| category.parse().unwrap())
                .into(),
            valid_until: Timestamp::from_millis(START + 30 * DAY_MILLIS),
            refused: false,
            secrecy_waived: true,
            language: Language::Nl,
        }
    }

    pub(super) fn request(&self) -> RequestId {
        RequestId::draw(&*self.clock, &SystemChance::new())
    }

    /// The first line of an exchange: it introduces the person.
    pub(super) fn introduction(&self, number: &str, told: Told) -> FeedLine {
        let point = self.broker.point(&number.parse().unwrap());
        let introduction = *self.broker.key.encrypt(&point).bytes();
        self.line(Told {
            introduction: Some(introduction),
            ..told
        })
    }

    pub(super) fn line(&self, told: Told) -> FeedLine {
        let id = EntryId::draw(&*self.clock, &SystemChance::new());
        self.pass(1);
        FeedLine {
            id,
            time: self.clock.now(),
            told,
        }
    }

    pub(super) fn told(&self, kind: FeedKind, from: &str, to: &str) -> Told {
        Told {
            exchange: *self.request().bytes(),
            introduction: None,
            kind,
            sender: main_of(from),
            recipient: main_of(to),
            purpose: "HANDOVER".parse().unwrap(),
            basis: (String::new(), String::new()),
            labels: Vec::new(),
            code: String::new(),
        }
    }

    pub(super) fn send(&self, line: &FeedLine) {
        self.broker
            .desk
            .lock()
            .unwrap()
            .feed
            .push_back(line.clone());
    }

    pub(super) fn waiting(&self) -> usize {
        self.broker.desk.lock().unwrap().feed.len()
    }

    pub(super) fn state_at_broker(&self, record: ConsentId) -> Option<ConsentState> {
        let desk = self.broker.desk.lock().unwrap();
        desk.consents
            .get(&record)
            .map(|statement| statement.record.state)
    }

    /// Everything that the database has on the disk.
    pub(super) fn on_disk(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            octets.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        octets
    }
}

#[track_caller]
pub(super) fn granted<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Permitted(value) => value,
        Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
pub(super) fn refused<T>(outcome: Result<Outcome<T>, PortalError>, expected: Reason) {
    match outcome {
        Ok(Outcome::Refused(refusal)) => assert_eq!(refusal.reason, expected),
        Ok(Outcome::Permitted(_)) => panic!("permitted instead of {expected:?}"),
        Err(error) => panic!("{error}"),
    }
}
