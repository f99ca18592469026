//! One hop at a key holder, from the request's message to the answer's: papers decoded and verified, the
//! order judged, quota, conversion, voucher. The holder is assembled from the sandbox's files.
//!
//! Must never reuse an order: a repeated one is answered from memory.

use crate::floor::{Floor, timed};
use crate::table::{Table, Target};
use broker::Caller;
use gateway::clock::SystemClock;
use gateway::configuration::{Configuration, DatabaseSettings, Role};
use gateway::grpc::key_holder::KeyHolders;
use holder::QuotaLimits;
use papers::paper::{Order, Signed, encode};
use rules::clock::{Clock as _, Random as _};
use rules::directory::Directory;
use rules::id::{OrderId, Party, PeerKind};
use rules::pseudonym::{Context, Domain, OrderKind, Relation, TargetDomain};
use rules::secret::Secret;
use std::path::{Path, PathBuf};
use tonic::Request;
use vault::chance::SystemChance;
use vault::digest::sha256;
use vault::holder::HolderKeys;
use vault::keyfile::{KeyFile, Role as KeyRole, SecretName};
use vault::pseudonym::{Ciphertext, ContextKey, Pseudonym};
use vault::sign::SigningKey;
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::convert_result::Outcome;
use wire::pseudonym::v1::key_holder_service_server::KeyHolderService as _;

/// Orders of each kind.
const ORDERS: usize = 400;
/// Sender and recipient of the measured orders, by their OIN and realm in the sandbox.
const SENDER: &str = "00000099000000001000/main";
/// The sender's desk, whose key signs.
const DESK: &str = "ww";
const RECIPIENT: &str = "00000099000000002000/neutraal";
const PURPOSE: &str = "HANDOVER";

/// The issuing desk of the sandbox, and the directory.
struct Bench {
    directory: Directory,
    key: SigningKey,
    context_key: ContextKey,
}

impl Bench {
    fn open(home: &Path) -> Self {
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("a file of the sandbox");
        let keys = Secret::new(read(home.join("identities/uwv/keys.toml")));
        let keys = KeyFile::parse(KeyRole::Desk, &keys).expect("the sandbox's key file");
        let seed = keys.require(SecretName::SigningSeed).expect("a seed");
        let directory = read(home.join("directory.toml"));
        Self {
            directory: Directory::parse(&directory, &sha256).expect("the sandbox's directory"),
            key: SigningKey::from_seed(seed),
            // Holders cannot tell under which key a ciphertext is, so any key will do.
            context_key: ContextKey::from_secret(&HolderKeys::generate().blinding).expect("a key"),
        }
    }

    fn context(&self, party: &Party) -> Context {
        let number = self.directory.realm(party).expect("a realm").context;
        Context {
            party: party.clone(),
            number,
        }
    }

    fn order(&self, kind: OrderKind, parent: Option<OrderId>) -> (Signed<Order>, Ciphertext) {
        let sender: Party = SENDER.parse().expect("a party");
        let recipient: Party = RECIPIENT.parse().expect("a party");
        let source = self.context_key.encrypt(&Pseudonym::random());
        let own = |party: &Party| TargetDomain::Partner {
            party: party.clone(),
            epoch: self.directory.realm(party).expect("a realm").epoch,
        };
        let relation = TargetDomain::Relation {
            relation: Relation {
                from: sender.clone(),
                to: recipient.clone(),
                purpose: PURPOSE.parse().expect("a purpose"),
            },
            epoch: self.directory.relation_epoch(),
        };
        let relation = (relation, self.context(self.directory.broker()));
        let portal = TargetDomain::Portal {
            epoch: self.directory.portal_epoch(),
        };
        let portal = (portal, self.context(self.directory.portal()));
        let (domain, targets) = match kind {
            OrderKind::Enrol => (Domain::Origin, vec![(own(&sender), self.context(&sender))]),
            OrderKind::Handover => {
                let target = (own(&recipient), self.context(&recipient));
                (own(&sender).into(), vec![target, relation])
            }
            _ => (own(&sender).into(), vec![relation, portal]),
        };
        let mut id = [0; 16];
        SystemChance::new().fill(&mut id);
        let now = SystemClock.now();
        let order = Order {
            version: Order::VERSION,
            id: OrderId::from_slice(&id).expect("chance is not zero"),
            kind,
            issuer: sender.oin.clone(),
            desk: DESK.parse().expect("a desk"),
            source: domain,
            source_context: self.context(&sender),
            targets,
            purpose: (kind != OrderKind::Enrol).then(|| PURPOSE.parse().expect("a purpose")),
            ciphertext_sha256: sha256(source.bytes()),
            not_before: now,
            not_after: now.plus_millis(4 * 60_000),
            parent,
        };
        (Signed::sign(order, &self.key), source)
    }

    fn item(&self, kind: OrderKind) -> message::ConvertItem {
        self.item_after(kind, None)
    }

    fn item_after(
        &self,
        kind: OrderKind,
        parent: Option<(OrderId, message::SignedVoucher)>,
    ) -> message::ConvertItem {
        let (order, source) = self.order(kind, parent.as_ref().map(|(id, _)| *id));
        message::ConvertItem {
            order: Some(message::SignedOrder {
                order: encode(order.paper()),
                signature: order.signature().bytes().to_vec(),
            }),
            ciphertexts: vec![source.bytes().to_vec()],
            earlier: Vec::new(),
            parent: parent.map(|(_, voucher)| voucher),
        }
    }

    /// A request as the broker sends it.
    fn request(&self, item: message::ConvertItem) -> Request<message::ConvertRequest> {
        let mut request = Request::new(message::ConvertRequest { items: vec![item] });
        request.extensions_mut().insert(Caller {
            party: self.directory.broker().clone(),
            desk: "broker".parse().expect("a desk"),
            kind: PeerKind::Broker,
            region: None,
            rights: std::collections::BTreeSet::new(),
            signing_key: [0; 32],
        });
        request
    }
}

/// A holder from the sandbox's files, on a copy of its database so that the sandbox's own is left alone.
async fn holder(home: &Path, copies: &Path, name: &str) -> KeyHolders {
    let folder = home.join("processes").join(name);
    let configuration = Configuration::load(&folder.join("sluis.toml")).expect("its configuration");
    let Role::Holder(mut settings) = configuration.role.clone() else {
        panic!("{name} is not a holder");
    };
    let DatabaseSettings::File { path, .. } = &mut settings.database else {
        panic!("{name} has no file");
    };
    let copy = copies.join(format!("{name}.sqlite"));
    for ending in ["", "-wal"] {
        let from = PathBuf::from(format!("{}{ending}", path.display()));
        if from.is_file() {
            let to = PathBuf::from(format!("{}{ending}", copy.display()));
            std::fs::copy(from, to).expect("a copy");
        }
    }
    *path = copy;
    // The design's quotas would end the measurement; counting and reserving stay on.
    settings.quotas = QuotaLimits {
        enrol: 1_000_000,
        prepare: 1_000_000,
        handover: 1_000_000,
        portal: 1_000_000,
        ..QuotaLimits::default()
    };
    let holder = gateway::roles::holder::assemble(&configuration, &settings).await;
    KeyHolders::new(holder.expect("the holder starts"))
}

fn made(answer: message::ConvertResponse) -> message::Hop {
    match answer
        .results
        .into_iter()
        .next()
        .and_then(|result| result.outcome)
    {
        Some(Outcome::Hop(hop)) => hop,
        Some(Outcome::RefusedReason(reason)) => panic!("an order was refused: {reason}"),
        None => panic!("an order was not answered"),
    }
}

/// A measurement under way.
struct Measurement<'a> {
    runtime: tokio::runtime::Runtime,
    bench: Bench,
    floor: &'a Floor,
    table: &'a mut Table,
}

impl Measurement<'_> {
    fn ask(&self, holder: &KeyHolders, item: message::ConvertItem) -> message::Hop {
        let answer = self
            .runtime
            .block_on(holder.convert(self.bench.request(item)));
        made(answer.expect("an answer").into_inner())
    }

    fn items(&self, kind: OrderKind) -> Vec<message::ConvertItem> {
        (0..ORDERS).map(|_| self.bench.item(kind)).collect()
    }

    /// Has every item carried out, one after the other, and prints what one took.
    fn run(
        &mut self,
        holder: &KeyHolders,
        name: &str,
        items: Vec<message::ConvertItem>,
        least: f64,
    ) -> Vec<message::Hop> {
        let count = items.len() as f64;
        let mut hops = Vec::with_capacity(items.len());
        let (processor, wall) =
            timed(|| hops.extend(items.into_iter().map(|item| self.ask(holder, item))));
        let (processor, wall) = (processor / count, wall / count);
        let bare = processor / self.floor.of("libpep conversion");
        let table = &mut *self.table;
        table.heading(name);
        table.number(&format!("{name}: processor"), processor, "µs");
        table.number(&format!("{name}: wall"), wall, "µs");
        table.number(&format!("{name}: minimum"), least, "µs");
        let over = processor / least;
        table.target(&format!("{name}: ratio"), over, "", Target::AtMost(1.5));
        table.number(&format!("{name}: bare conversions"), bare, "×");
        hops
    }
}

/// Measures hops and prints each beside its floor.
pub(crate) fn measure(home: &Path, copies: &Path, floor: &Floor, table: &mut Table) {
    // One thread, so that its processor time is the hop's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let first = runtime.block_on(holder(home, copies, "holder-1"));
    let second = runtime.block_on(holder(home, copies, "holder-2"));
    let bench = Bench::open(home);
    let mut measurement = Measurement {
        runtime,
        bench,
        floor,
        table,
    };
    for kind in [OrderKind::Enrol, OrderKind::Prepare] {
        // The first order of a kind reads the domains' secrets.
        drop(measurement.ask(&first, measurement.bench.item(kind)));
    }
    let enrols = measurement.items(OrderKind::Enrol);
    measurement.run(&first, "hop 1, ENROL, 1 target", enrols, floor.hop(1, 1, 0));
    let sent = measurement.items(OrderKind::Prepare);
    let least = floor.hop(1, 2, 0);
    let hops = measurement.run(&first, "hop 1, PREPARE, 2 targets", sent.clone(), least);
    let onward = |(mut item, hop): (message::ConvertItem, &message::Hop)| {
        item.ciphertexts.clone_from(&hop.ciphertexts);
        item.earlier = hop.voucher.iter().cloned().collect();
        item
    };
    // The ciphertexts are under a key of ours. The final check compares what the vouchers say with the
    // registered keys, so it is made, and passes.
    let later = sent.iter().cloned().zip(&hops).map(onward).collect();
    let least = floor.hop(2, 2, 1);
    measurement.run(
        &second,
        "hop 2, PREPARE, 2 targets, 1 earlier voucher",
        later,
        least,
    );
    let handovers = sent
        .iter()
        .zip(hops)
        .map(|(item, hop)| {
            let order = item.order.as_ref().expect("its order");
            let parent: Order = papers::paper::decode(&order.order).expect("an order of ours");
            let voucher = hop.voucher.expect("a voucher");
            measurement
                .bench
                .item_after(OrderKind::Handover, Some((parent.id, voucher)))
        })
        .collect();
    let least = floor.hop(1, 2, 1);
    measurement.run(
        &first,
        "hop 1, HANDOVER, 2 targets, 1 parent",
        handovers,
        least,
    );
}
