//! What the databases hold when all is over: read beside the servers, after they were killed.
//!
//! Must never ask a server: it could answer from what it has not written.

use crate::database::Beside;
use rules::clock::Timestamp;
use rules::hex;
use rules::id::{ConsentId, EntryId, HandoverId};
use rules::secret::Secret;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use vault::digest::{sha256, sha256_parts};
use vault::keyfile::{KeyFile, Role, SecretName};
use vault::rest::{Crypter, IndexKey, Place};

/// Leaf hashes begin with this octet (RFC 9162 2.1.1).
const LEAF_PREFIX: u8 = 0x00;

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) entry: EntryId,
    pub(crate) leaf_sha256: [u8; 32],
    /// Whether the leaf hash is that of what the line holds.
    pub(crate) is_whole: bool,
    /// Greater when it was committed later.
    pub(crate) committed: i64,
    pub(crate) action: String,
    pub(crate) permitted: bool,
    pub(crate) repeat: bool,
    pub(crate) handover: Option<HandoverId>,
    pub(crate) consent: Option<ConsentId>,
    /// Of a batch: how many.
    pub(crate) items: u64,
}

/// A party's inbox: its head, and the positions in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    pub(crate) head: i64,
    pub(crate) held: Vec<i64>,
}

/// All that is looked at.
pub(crate) struct Records {
    pub(crate) lines: BTreeMap<EntryId, Line>,
    /// State's number and revision.
    pub(crate) handovers: BTreeMap<HandoverId, (i64, i64)>,
    pub(crate) payloads: i64,
    pub(crate) notices: BTreeMap<HandoverId, u64>,
    pub(crate) inboxes: BTreeMap<Vec<u8>, Positions>,
    /// Lines that the portal has not taken over.
    pub(crate) feed_left: i64,
    /// Lines that the portal keeps, by the keyed hash of their exchange.
    pub(crate) told: BTreeMap<Vec<u8>, u64>,
    portal_index: IndexKey,
}

impl Records {
    /// Reads everything.
    pub(crate) async fn read(sandbox: &Path) -> Self {
        let processes = sandbox.join("processes");
        let (broker, portal) = (processes.join("broker"), processes.join("portal"));
        let mut beside = Beside::of(&broker).await;
        let lines = lines(&mut beside, &keys(&broker, Role::Broker)).await;
        let mut handovers = BTreeMap::new();
        for (id, state) in beside
            .numbered("SELECT handover_id, state FROM handover")
            .await
        {
            handovers.insert(HandoverId::from_slice(&id).unwrap(), (state, 0));
        }
        for (id, revision) in beside
            .numbered("SELECT handover_id, revision FROM handover")
            .await
        {
            handovers
                .get_mut(&HandoverId::from_slice(&id).unwrap())
                .unwrap()
                .1 = revision;
        }
        let mut notices = BTreeMap::new();
        for (id, _) in beside
            .pairs("SELECT handover_id, notice_id FROM notice")
            .await
        {
            *notices
                .entry(HandoverId::from_slice(&id).unwrap())
                .or_default() += 1;
        }
        let mut inboxes: BTreeMap<_, Positions> = BTreeMap::new();
        for (party, head) in beside
            .numbered("SELECT party_tag, position FROM inbox_head")
            .await
        {
            inboxes.entry(party).or_default().head = head;
        }
        let held = "SELECT party_tag, position FROM inbox ORDER BY party_tag, position";
        for (party, position) in beside.numbered(held).await {
            inboxes.entry(party).or_default().held.push(position);
        }
        let payloads = beside.number("SELECT COUNT(*) FROM payload").await;
        let feed_left = beside.number("SELECT COUNT(*) FROM feed").await;
        beside.close().await;

        let mut beside = Beside::of(&portal).await;
        let mut told = BTreeMap::new();
        let stories = "SELECT exchange_index, line_id FROM line WHERE kind = 1";
        for (exchange, _) in beside.pairs(stories).await {
            *told.entry(exchange).or_default() += 1;
        }
        beside.close().await;
        let portal = keys(&portal, Role::Portal);
        Self {
            lines,
            handovers,
            payloads,
            notices,
            inboxes,
            feed_left,
            told,
            portal_index: IndexKey::from_secret(portal.require(SecretName::IndexKey).unwrap()),
        }
    }

    /// How far outside a span of time the log has a line, in milliseconds, at most: by so much the clock of the
    /// broker that wrote it was off. Refusals and faults have lines too.
    pub(crate) fn clock_off_millis(&self, (from, until): (Timestamp, Timestamp)) -> i64 {
        let off = |entry: &EntryId| {
            let time = entry.drawn_at().millis();
            (from.millis() - time).max(time - until.millis()).max(0)
        };
        self.lines.keys().map(off).max().unwrap_or_default()
    }

    /// Lines that the portal keeps about a handover.
    pub(crate) fn told_of(&self, handover: &HandoverId) -> u64 {
        let index = self.portal_index.index("exchange", handover.bytes());
        self.told.get(index.as_slice()).copied().unwrap_or_default()
    }
}

fn keys(home: &Path, role: Role) -> KeyFile {
    let text = std::fs::read_to_string(home.join("keys.toml")).unwrap();
    KeyFile::parse(role, &Secret::new(text)).unwrap()
}

async fn lines(beside: &mut Beside, keys: &KeyFile) -> BTreeMap<EntryId, Line> {
    let crypter = Crypter::new(&keys.rest_keys());
    let committed: BTreeMap<_, _> = beside.committed().await.into_iter().collect();
    let leaves = beside
        .pairs("SELECT entry_id, leaf_sha256 FROM audit_entry")
        .await;
    let leaves: BTreeMap<_, _> = leaves.into_iter().collect();
    let mut lines = BTreeMap::new();
    let closed = beside
        .pairs("SELECT entry_id, closed_part FROM audit_entry")
        .await;
    let closed: BTreeMap<_, _> = closed.into_iter().collect();
    let open = beside
        .pairs("SELECT entry_id, open_part FROM audit_entry")
        .await;
    for (id, open) in open {
        let unsealed = |column, sealed: &[u8]| {
            let place = Place {
                table: "audit_entry",
                row: &id,
                column,
            };
            crypter.open(&place, sealed).unwrap()
        };
        let json = unsealed("open_part", &open);
        let value: Value = serde_json::from_slice(json.expose()).unwrap();
        let told = &value["attributes"];
        let closed = unsealed("closed_part", &closed[&id]);
        let digest = hex::encode(&sha256(closed.expose()));
        assert_eq!(
            told["handover.closed_sha256"], digest,
            "each names the other"
        );
        let closed: Value = serde_json::from_slice(closed.expose()).unwrap();
        let closed = &closed["attributes"];
        let text = |key: &str| closed[key].as_str().or_else(|| told[key].as_str());
        let leaf_sha256: [u8; 32] = leaves[&id].as_slice().try_into().unwrap();
        let entry = EntryId::from_slice(&id).unwrap();
        let line = Line {
            entry,
            leaf_sha256,
            is_whole: sha256_parts(&[&[LEAF_PREFIX], json.expose()]) == leaf_sha256,
            committed: committed[&id],
            action: value["name"].as_str().unwrap().to_owned(),
            permitted: text("handover.decision") == Some("permitted"),
            repeat: told["handover.repeat"].as_bool() == Some(true),
            handover: text("handover.id").map(|id| id.parse().unwrap()),
            consent: text("handover.consent").map(|id| id.parse().unwrap()),
            items: told["handover.batch_items"].as_u64().unwrap_or_default(),
        };
        lines.insert(entry, line);
    }
    lines
}
