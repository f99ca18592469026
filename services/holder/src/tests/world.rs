//! A small world: three organisations, a broker, a portal and up to three key holders with databases of
//! their own.

use crate::{ConvertItem, Holder, Hop, Parts, Pinned, QuotaLimits, StepMade};
use papers::controllers::{Controller, ControllerSignature, SignedByAll};
use papers::paper::{ContextRequest, ContextStep, Form, Signed, SignedPaper, Voucher};
use rules::clock::{Clock, Steady, Timestamp};
use rules::directory::{DeskFile, Directory, DirectoryFile, EdgeFile, PeerFile, RealmFile};
use rules::hex;
use rules::id::{Oin, OrderId, Party};
use rules::limits::DAY_MILLIS;
use rules::pseudonym::{Context, Domain, Order, OrderKind, Relation, TargetDomain};
use rules::reason::{Outcome, Reason};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::{Database, Role, Settings};
use vault::context::{OpenedShare, Step, assemble};
use vault::digest::sha256;
use vault::holder::{HolderKeys, HolderSecrets};
use vault::keyfile::{KeyFile, Role as KeyRole, SecretName};
use vault::pseudonym::{Bsn, Ciphertext, ContextKey, ContextPoint};
use vault::rest::Crypter;
use vault::sealing::{OpeningKey, open_share};
use vault::sign::{Paper, SigningKey};

pub(super) const START: i64 = 1_790_000_000_000;
pub(super) const UWV: &str = "00000099000000001000";
pub(super) const GEMEENTE: &str = "00000099000000002000";
pub(super) const VAKBOND: &str = "00000099000000003000";
pub(super) const BROKER: &str = "00000099000000007000";
pub(super) const PORTAL: &str = "00000099000000008000";
const HOLDERS: [&str; 3] = [
    "00000099000000009100",
    "00000099000000009200",
    "00000099000000009300",
];

/// A wall clock and the count that it is compared with.
pub(super) struct HandClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl HandClock {
    /// Time goes on to this moment. Where it lies behind, the wall clock is set back.
    pub(super) fn set(&self, millis: i64) {
        let passed = millis - self.wall.swap(millis, Ordering::SeqCst);
        self.steady.fetch_add(passed.max(0), Ordering::SeqCst);
    }

    /// So much time goes by.
    pub(super) fn pass(&self, millis: i64) {
        self.set(self.now().millis() + millis);
    }

    /// The wall clock is set, in no time at all.
    pub(super) fn jump(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall.load(Ordering::SeqCst))
    }
}

impl Steady for HandClock {
    fn millis(&self) -> i64 {
        self.steady.load(Ordering::SeqCst)
    }
}

pub(super) fn main_of(oin: &str) -> Party {
    format!("{oin}/main").parse().unwrap()
}

pub(super) struct World {
    pub(super) clock: Arc<HandClock>,
    pub(super) file: DirectoryFile,
    pub(super) holders: Vec<Holder>,
    pub(super) contexts: BTreeMap<Party, ContextKey>,
    pub(super) quotas: QuotaLimits,
    desks: BTreeMap<(String, String), SigningKey>,
    openers: BTreeMap<String, OpeningKey>,
    key_files: Vec<KeyFile>,
    controller: SigningKey,
    folder: tempfile::TempDir,
    orders: u64,
}

impl World {
    /// Starts `count` holders and opens everybody's context.
    pub(super) async fn new(count: usize) -> Self {
        Self::with_quotas(count, QuotaLimits::default()).await
    }

    pub(super) async fn with_quotas(count: usize, quotas: QuotaLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            clock: Arc::new(HandClock {
                wall: AtomicI64::new(START),
                steady: AtomicI64::new(0),
            }),
            file: DirectoryFile::default(),
            holders: Vec::new(),
            contexts: BTreeMap::new(),
            quotas,
            desks: BTreeMap::new(),
            openers: BTreeMap::new(),
            key_files: (0..count)
                .map(|_| KeyFile::generate(KeyRole::Holder))
                .collect(),
            controller: SigningKey::from_seed(&SigningKey::generate()),
            folder,
            orders: 0,
        };
        world.file = world.directory_file();
        for index in 0..count {
            let holder = world.start(index).await;
            world.holders.push(holder);
        }
        for oin in [UWV, GEMEENTE, VAKBOND, BROKER, PORTAL] {
            world.open_context(oin).await;
        }
        world
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now().millis()
    }

    pub(super) fn parts(&self, index: usize, database: Database) -> Parts {
        let file = &self.key_files[index];
        let copy = |name| Secret::new(*file.require(name).unwrap().expose());
        Parts {
            oin: HOLDERS[index].parse().unwrap(),
            keys: self.keys(index),
            signing: SigningKey::from_seed(file.require(SecretName::SigningSeed).unwrap()),
            crypter: Crypter::new(&[&copy(SecretName::RestKey)]),
            database,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            steady: Arc::clone(&self.clock) as Arc<dyn Steady>,
            controllers: vec![Controller {
                name: "first".to_owned(),
                key: self.controller.public(),
            }],
            pinned: self.pinned(),
            quotas: self.quotas,
            directory: self.sign_directory(&self.file),
        }
    }

    pub(super) fn keys(&self, index: usize) -> HolderKeys {
        let file = &self.key_files[index];
        let copy = |name| Secret::new(*file.require(name).unwrap().expose());
        HolderKeys::from_secrets(&HolderSecrets {
            rekeying: copy(SecretName::RekeyingSecret),
            blinding: copy(SecretName::BlindingFactor),
        })
        .unwrap()
    }

    fn pinned(&self) -> Pinned {
        (0..self.key_files.len())
            .map(|index| {
                (
                    HOLDERS[index].parse().unwrap(),
                    self.keys(index).commitment(),
                )
            })
            .collect()
    }

    pub(super) async fn database(&self, index: usize) -> Database {
        let settings = Settings::Sqlite(store::File {
            path: self.folder.path().join(format!("holder-{index}.sqlite")),
            pages_max: None,
        });
        store::engine::migrate(&settings, Role::Holder)
            .await
            .unwrap();
        Database::open(&settings, Role::Holder).await.unwrap()
    }

    /// Starts a holder on its database, again if it was there.
    pub(super) async fn start(&self, index: usize) -> Holder {
        let parts = self.parts(index, self.database(index).await);
        Holder::start(parts).await.unwrap()
    }

    pub(super) async fn restart(&mut self, index: usize) {
        self.holders[index] = self.start(index).await;
    }

    pub(super) fn desk_key(&self, oin: &str, desk: &str) -> &SigningKey {
        &self.desks[&(oin.to_owned(), desk.to_owned())]
    }

    pub(super) fn sign_directory(&self, file: &DirectoryFile) -> SignedByAll<Vec<u8>> {
        let content = toml::to_string(file).unwrap().into_bytes();
        let signature = self.controller.sign(Paper::Directory, &content);
        SignedByAll {
            content,
            signatures: vec![ControllerSignature {
                controller: "first".to_owned(),
                signature: signature.bytes().to_vec(),
            }],
        }
    }

    fn directory_file(&mut self) -> DirectoryFile {
        let count = self.key_files.len();
        let mut peers = vec![
            self.peer(
                UWV,
                "UWV",
                &[("werkplein", &["bsn", "represent"]), ("balie", &["assist"])],
            ),
            self.peer(GEMEENTE, "GEMEENTE", &[("loket", &["bsn", "represent"])]),
            self.peer(
                VAKBOND,
                "VAKBOND",
                &[("consulent", &["assist", "represent"])],
            ),
            self.peer(BROKER, "BROKER", &[("broker", &["represent", "operator"])]),
            self.peer(PORTAL, "PORTAL", &[("portal", &["represent"])]),
        ];
        for (index, oin) in HOLDERS.iter().enumerate().take(count) {
            let file = &self.key_files[index];
            let key = SigningKey::from_seed(file.require(SecretName::SigningSeed).unwrap());
            self.desks
                .insert(((*oin).to_owned(), "holder".to_owned()), key);
            peers.push(self.peer(oin, "HOLDER", &[("holder", &[])]));
        }
        let edges = vec![
            self.edge((UWV, "werkplein"), (GEMEENTE, "loket")),
            self.edge((GEMEENTE, "loket"), (UWV, "werkplein")),
            self.edge((UWV, "werkplein"), (VAKBOND, "consulent")),
            self.edge((VAKBOND, "consulent"), (GEMEENTE, "loket")),
        ];
        DirectoryFile {
            version: 1,
            issued_at_millis: START,
            valid_until_millis: START + 400 * DAY_MILLIS,
            portal_epoch: 1,
            relation_epoch: 1,
            holders: HOLDERS
                .iter()
                .take(count)
                .map(ToString::to_string)
                .collect(),
            peers,
            edges,
            parts: Vec::new(),
            revoked: Vec::new(),
        }
    }

    fn peer(&mut self, oin: &str, kind: &str, desks: &[(&str, &[&str])]) -> PeerFile {
        let desks: Vec<DeskFile> = desks
            .iter()
            .map(|(name, rights)| {
                let key = self
                    .desks
                    .entry((oin.to_owned(), (*name).to_owned()))
                    .or_insert_with(|| SigningKey::from_seed(&SigningKey::generate()));
                DeskFile {
                    name: (*name).to_owned(),
                    realm: "main".to_owned(),
                    spki_sha256: hex::encode(&sha256(format!("{oin}/{name}").as_bytes())),
                    signing_key: hex::encode(key.public().bytes()),
                    rights: rights.iter().map(ToString::to_string).collect(),
                    ..DeskFile::default()
                }
            })
            .collect();
        let mut realm = RealmFile {
            name: "main".to_owned(),
            epoch: 1,
            context: 1,
            ..RealmFile::default()
        };
        if let Some(signer) = desks
            .iter()
            .find(|desk| desk.rights.contains(&"represent".to_owned()))
        {
            let opener = OpeningKey::from_seed(&OpeningKey::generate());
            realm.sealing_key = Some(hex::encode(opener.public().bytes()));
            realm.sealing_key_valid_until_millis = Some(START + 90 * DAY_MILLIS);
            let bytes = realm.signed_bytes(oin).unwrap();
            let signature = self
                .desk_key(oin, &signer.name)
                .sign(Paper::SealingKey, &bytes);
            realm.sealing_key_signature = Some(hex::encode(signature.bytes()));
            realm.sealing_key_signed_by = Some(signer.name.clone());
            self.openers.insert(oin.to_owned(), opener);
        }
        PeerFile {
            oin: oin.to_owned(),
            name: kind.to_owned(),
            kind: kind.to_owned(),
            realms: vec![realm],
            desks,
        }
    }

    fn edge(&self, from: (&str, &str), to: (&str, &str)) -> EdgeFile {
        let mut edge = EdgeFile {
            from: main_of(from.0).to_string(),
            to: main_of(to.0).to_string(),
            purpose: "HANDOVER".to_owned(),
            regions: Vec::new(),
            valid_from_millis: START - DAY_MILLIS,
            valid_until_millis: START + 90 * DAY_MILLIS,
            from_desk: from.1.to_owned(),
            to_desk: to.1.to_owned(),
            ..EdgeFile::default()
        };
        let bytes = edge.signed_bytes();
        let sign = |(oin, desk)| self.desk_key(oin, desk).sign(Paper::Edge, &bytes);
        edge.from_signature = hex::encode(sign(from).bytes());
        edge.to_signature = hex::encode(sign(to).bytes());
        edge
    }

    /// A request of a party's representing desk to open its context.
    pub(super) fn context_request(&self, oin: &str) -> Signed<ContextRequest> {
        let directory = self.directory();
        let party = main_of(oin);
        let realm = directory.realm(&party).unwrap();
        let sealing = realm.sealing_key.as_ref().unwrap();
        let paper = ContextRequest {
            context: Context {
                party,
                number: realm.context,
            },
            owner: oin.parse().unwrap(),
            desk: sealing.signed_by.clone(),
            sealing_key_sha256: sha256(&sealing.public_key),
            time: self.clock.now(),
        };
        self.sign_request(paper)
    }

    pub(super) fn sign_request(&self, paper: ContextRequest) -> Signed<ContextRequest> {
        let key = self.desk_key(paper.owner.as_str(), paper.desk.as_str());
        Signed::sign(paper, key)
    }

    pub(super) fn directory(&self) -> Directory {
        Directory::parse(&toml::to_string(&self.file).unwrap(), &sha256).unwrap()
    }

    /// The walk along all holders; gives every step made.
    pub(super) fn walk(&self, request: &Signed<ContextRequest>) -> Result<Vec<StepMade>, Reason> {
        let mut made: Vec<StepMade> = Vec::new();
        for holder in &self.holders {
            let earlier: Vec<_> = made.iter().map(|made| received(&made.step)).collect();
            made.push(value(holder.step(request, &earlier).unwrap())?);
        }
        Ok(made)
    }

    async fn open_context(&mut self, oin: &str) {
        let request = self.context_request(oin);
        let made = self.walk(&request).unwrap();
        let steps: Vec<_> = made.iter().map(|made| received(&made.step)).collect();
        let label = request.paper().context.to_string();
        let mut end = None;
        for holder in &self.holders {
            end = Some(value(holder.close(&request, &steps).await.unwrap()).unwrap());
        }
        let pinned = self.pinned();
        let read: Vec<_> = steps
            .iter()
            .zip(&made)
            .map(|(step, made)| {
                let share = open_share(&self.openers[oin], &label, &made.share).unwrap();
                let point = |bytes: &[u8; 32]| ContextPoint::parse(bytes).unwrap();
                let read = Step {
                    previous: point(&step.paper().previous_point),
                    point: point(&step.paper().point),
                    share_commitment: step.paper().share_commitment,
                    proof: step.paper().proof.clone(),
                };
                (pinned[&step.paper().holder], read, share)
            })
            .collect();
        let opened: Vec<_> = read
            .iter()
            .map(|(holder, step, share)| OpenedShare {
                holder,
                step,
                share,
            })
            .collect();
        let key = assemble(&opened).unwrap();
        assert_eq!(
            Some(*key.public().bytes()),
            end,
            "the owner's key is the walk's end"
        );
        self.contexts.insert(main_of(oin), key);
    }

    /// An order of a kind from one party about another, with a fresh id, not yet signed.
    pub(super) fn order(
        &mut self,
        kind: OrderKind,
        from: &str,
        to: &str,
        source: &Ciphertext,
    ) -> Order {
        self.orders += 1;
        let mut id = [7_u8; 16];
        id[..8].copy_from_slice(&self.orders.to_be_bytes());
        let party = main_of(from);
        let partner = |oin: &str| TargetDomain::Partner {
            party: main_of(oin),
            epoch: 1,
        };
        let relation = TargetDomain::Relation {
            relation: Relation {
                from: party.clone(),
                to: main_of(to),
                purpose: "HANDOVER".parse().unwrap(),
            },
            epoch: 1,
        };
        let context = |oin: &str| Context {
            party: main_of(oin),
            number: 1,
        };
        let portal = (TargetDomain::Portal { epoch: 1 }, context(PORTAL));
        let relation = (relation, context(BROKER));
        let (source_domain, targets) = match kind {
            OrderKind::Enrol | OrderKind::Check => {
                (Domain::Origin, vec![(partner(from), context(from))])
            }
            OrderKind::Mismatch => (Domain::Origin, vec![portal]),
            OrderKind::Link => (Domain::Origin, vec![(partner(to), context(to))]),
            OrderKind::Handover => (
                partner(from).into(),
                vec![(partner(to), context(to)), relation],
            ),
            _ => (partner(from).into(), vec![relation, portal]),
        };
        let directory = self.directory();
        let desk = directory
            .peer(&from.parse().unwrap())
            .unwrap()
            .desks()
            .last()
            .unwrap();
        let is_relational = matches!(
            kind,
            OrderKind::Prepare | OrderKind::Unbound | OrderKind::Handover | OrderKind::Assist
        );
        Order {
            version: 1,
            id: OrderId::from_slice(&id).unwrap(),
            kind,
            issuer: from.parse().unwrap(),
            desk: desk.name.clone(),
            source: source_domain,
            source_context: context(from),
            targets,
            purpose: is_relational.then(|| "HANDOVER".parse().unwrap()),
            ciphertext_sha256: sha256(source.bytes()),
            not_before: self.clock.now(),
            not_after: self.clock.now().plus_millis(60_000),
            parent: None,
        }
    }

    pub(super) fn sign(&self, order: Order) -> Signed<Order> {
        let key = self.desk_key(order.issuer.as_str(), order.desk.as_str());
        sign_with(order, key)
    }

    /// Carries a signed order along all holders; gives what each made.
    pub(super) async fn carry(
        &self,
        order: &Signed<Order>,
        source: &Ciphertext,
        parents: Option<&[Hop]>,
    ) -> Result<Vec<Hop>, Reason> {
        let mut hops: Vec<Hop> = Vec::new();
        for (index, holder) in self.holders.iter().enumerate() {
            let item = item(order, source, &hops, parents.map(|hops| &hops[index]));
            hops.push(one(holder, item).await?);
        }
        Ok(hops)
    }

    /// A person's number, hashed and encrypted under a party's own key.
    pub(super) fn number(&self, oin: &str, number: &str) -> Ciphertext {
        let bsn: Bsn = number.parse().unwrap();
        self.contexts[&main_of(oin)].encrypt_bsn(&bsn)
    }
}

pub(super) fn sign_with(order: Order, key: &SigningKey) -> Signed<Order> {
    Signed::sign(order, key)
}

/// A paper as the next one receives it.
pub(super) fn received<P: Form>(paper: &SignedPaper) -> Signed<P> {
    Signed::receive(paper.bytes.clone(), &paper.signature).unwrap()
}

/// The same paper, with a signature of which one bit is another.
pub(super) fn flipped<P: Form>(paper: &Signed<P>) -> Signed<P> {
    let mut carried = paper.carried();
    carried.signature[3] ^= 1;
    received(&carried)
}

/// What is sent to the next holder after `hops`.
pub(super) fn item(
    order: &Signed<Order>,
    source: &Ciphertext,
    hops: &[Hop],
    parent: Option<&Hop>,
) -> ConvertItem {
    let ciphertexts = match hops.last() {
        Some(hop) => hop.ciphertexts.iter().map(|bytes| bytes.to_vec()).collect(),
        None => vec![source.bytes().to_vec()],
    };
    ConvertItem {
        order: order.clone(),
        ciphertexts,
        earlier: hops.iter().map(|hop| received(&hop.voucher)).collect(),
        parent: parent.map(|hop| received(&hop.voucher)),
    }
}

pub(super) async fn one(holder: &Holder, item: ConvertItem) -> Result<Hop, Reason> {
    let mut answers = holder.convert(vec![item]).await.unwrap();
    assert_eq!(answers.len(), 1);
    value(answers.remove(0)).map(|hop| hop.as_ref().clone())
}

pub(super) fn value<T>(outcome: Outcome<T>) -> Result<T, Reason> {
    match outcome {
        Outcome::Permitted(value) => Ok(value),
        Outcome::Refused(refusal) => Err(refusal.reason),
    }
}

/// Signs a changed voucher with a key of choice.
pub(super) fn forge(
    voucher: &Signed<Voucher>,
    key: &SigningKey,
    change: impl FnOnce(&mut Voucher),
) -> Signed<Voucher> {
    let mut changed = voucher.paper().clone();
    change(&mut changed);
    Signed::sign(changed, key)
}

pub(super) fn holder_oin(index: usize) -> Oin {
    HOLDERS[index].parse().unwrap()
}

/// Signs a changed step with its holder's own key.
pub(super) fn forge_step(
    world: &World,
    index: usize,
    step: &Signed<ContextStep>,
    change: impl FnOnce(&mut ContextStep),
) -> Signed<ContextStep> {
    let mut changed = step.paper().clone();
    change(&mut changed);
    let key = world.desk_key(HOLDERS[index], "holder");
    Signed::sign(changed, key)
}
