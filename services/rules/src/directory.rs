//! Who takes part: organisations, realms, desks, keys and edges, as read from `directory.toml`.
//!
//! Every role has its own copy and judges by it. Must never be trusted before the controllers'
//! signatures over the file and [`Directory::signatures`] have been verified, which `vault` does.

mod check;
mod file;
mod paper;
mod pieces;

pub use file::{
    DeskFile, DirectoryFile, EdgeFile, EdgeTimers, PartEntry, PartFile, PeerFile, RealmFile,
    RevokedFile,
};
pub use paper::{Paper, PaperSignature, edge_bytes, sealing_key_bytes};
pub use pieces::{Head, PART_LINE, Part, head, join};

use crate::clock::Timestamp;
use crate::id::{DeskName, Oin, Party, PeerKind, Purpose, RealmName, Region};
use crate::limits::DIRECTORY_END_MILLIS_WARNING;
use crate::pseudonym::{Relation, TargetDomain};
use crate::reason::{Outcome, Reason, Refusal, Violation};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Length of a sealing key (X-Wing public key), in bytes.
pub const SEALING_KEY_BYTES: usize = 1_216;

/// Name of the realm of the broker, the portal and the holders.
pub const MAIN_REALM: &str = "main";

/// What a desk may do beyond its organisation's share in handovers. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// May sign ENROL orders: its realm processes the BSN under the law.
    Bsn,
    /// May register a consent that a person gave at the desk.
    Assist,
    /// Signs edges, sealing keys and context requests for its realm.
    Represent,
    /// Privacy officer (FG) of its own organisation.
    Officer,
    /// Privacy officer of the joint controllers.
    JointOfficer,
    /// Puts a directory or a policy set in force.
    Operator,
}

impl Right {
    /// All rights.
    pub const ALL: &'static [Self] = &[
        Self::Bsn,
        Self::Assist,
        Self::Represent,
        Self::Officer,
        Self::JointOfficer,
        Self::Operator,
    ];

    /// Whether a desk with it watches over exchanges, and so has no part in any of them.
    #[must_use]
    pub const fn oversees(self) -> bool {
        match self {
            Self::Officer | Self::JointOfficer => true,
            Self::Bsn | Self::Assist | Self::Represent | Self::Operator => false,
        }
    }

    /// The code, as in the directory.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Bsn => "bsn",
            Self::Assist => "assist",
            Self::Represent => "represent",
            Self::Officer => "officer",
            Self::JointOfficer => "joint-officer",
            Self::Operator => "operator",
        }
    }

    /// The right with this code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|right| right.code() == code)
    }
}

/// Whether organisations of this kind hand persons over, and so have pseudonyms and edges. The others
/// are the gateway's own roles and its supervision.
#[must_use]
pub const fn exchanges(kind: PeerKind) -> bool {
    match kind {
        PeerKind::Uwv
        | PeerKind::Gemeente
        | PeerKind::Vakbond
        | PeerKind::Sbb
        | PeerKind::Leerwerkloket
        | PeerKind::Wsp
        | PeerKind::Onderwijs
        | PeerKind::SwBedrijf => true,
        PeerKind::Toezicht | PeerKind::Broker | PeerKind::Holder | PeerKind::Portal => false,
    }
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    oin: Oin,
    name: String,
    kind: PeerKind,
    realms: BTreeMap<RealmName, Realm>,
    desks: BTreeMap<DeskName, Desk>,
}

impl Peer {
    /// Its number.
    #[must_use]
    pub const fn oin(&self) -> &Oin {
        &self.oin
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> PeerKind {
        self.kind
    }

    /// One of its realms.
    #[must_use]
    pub fn realm(&self, name: &RealmName) -> Option<&Realm> {
        self.realms.get(name)
    }

    /// Its realms, by name.
    pub fn realms(&self) -> impl Iterator<Item = &Realm> {
        self.realms.values()
    }

    /// Its desks, by name.
    pub fn desks(&self) -> impl Iterator<Item = &Desk> {
        self.desks.values()
    }
}

/// A realm (kring) of an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// The organisation and the realm's name.
    pub party: Party,
    /// Present epoch of its pseudonyms.
    pub epoch: u32,
    /// Number of its present context.
    pub context: u32,
    /// Its sealing key, when it has one.
    pub sealing_key: Option<SealingKey>,
    /// What it is called towards people, where that is not its organisation's name.
    pub title: String,
    /// Whether it stands apart from every department that decides on benefits, and so gets no BSN.
    pub neutral: bool,
    /// The regions of which it is the centre.
    pub centre_of: Vec<Region>,
}

impl Realm {
    /// What a desk with the right `represent` signs for the sealing key, when there is one.
    #[must_use]
    pub fn signed_bytes(&self) -> Option<Vec<u8>> {
        let key = self.sealing_key.as_ref()?;
        Some(sealing_key_bytes(
            &self.party.to_string(),
            &key.public_key,
            key.valid_until.millis(),
        ))
    }
}

/// A realm's key for what is sealed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey {
    /// X-Wing public key, [`SEALING_KEY_BYTES`] long.
    pub public_key: Vec<u8>,
    /// Last moment at which it may be sealed to.
    pub valid_until: Timestamp,
    /// Ed25519 signature of the realm's own desk.
    pub signature: [u8; 64],
    /// That desk.
    pub signed_by: DeskName,
}

/// A desk (loket): a certificate and a signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desk {
    /// Its name within the organisation.
    pub name: DeskName,
    /// The one realm that it acts for.
    pub realm: RealmName,
    /// Its region, when it has one.
    pub region: Option<Region>,
    /// What it does, for people.
    pub function: String,
    /// SHA-256 of its certificate's public key (SubjectPublicKeyInfo).
    pub spki_sha256: [u8; 32],
    /// Its Ed25519 key.
    pub signing_key: [u8; 32],
    /// What it may do.
    pub rights: Vec<Right>,
}

/// A desk together with its organisation: who is calling or has signed.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The organisation.
    pub peer: &'a Peer,
    /// The desk.
    pub desk: &'a Desk,
}

impl Member<'_> {
    /// The organisation's kind.
    #[must_use]
    pub const fn kind(&self) -> PeerKind {
        self.peer.kind
    }

    /// The organisation and the desk's realm.
    #[must_use]
    pub fn party(&self) -> Party {
        Party {
            oin: self.peer.oin.clone(),
            realm: self.desk.realm.clone(),
        }
    }

    /// Whether the desk has this right.
    #[must_use]
    pub fn has(&self, right: Right) -> bool {
        self.desk.rights.contains(&right)
    }

    /// Whether the desk watches over exchanges.
    #[must_use]
    pub fn oversees(&self) -> bool {
        self.desk.rights.iter().any(|right| right.oversees())
    }
}

/// An approved exchange from one realm to another for one purpose, signed by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Sender, recipient and purpose.
    pub relation: Relation,
    /// Regions that it covers; empty means all.
    pub regions: Vec<Region>,
    /// From this moment on.
    pub valid_from: Timestamp,
    /// Up to and including this moment.
    pub valid_until: Timestamp,
    /// How long each step may take, where the two agreed on other times than the register's.
    pub timers: Option<EdgeTimers>,
    /// The sender's desk that signed.
    pub from_desk: DeskName,
    /// Its Ed25519 signature.
    pub from_signature: [u8; 64],
    /// The recipient's desk that signed.
    pub to_desk: DeskName,
    /// Its Ed25519 signature.
    pub to_signature: [u8; 64],
}

impl Edge {
    /// Whether it holds at this moment.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_from <= now && now <= self.valid_until
    }

    /// Whether it covers a desk of this region. A desk without a region needs an edge without regions.
    #[must_use]
    pub fn covers(&self, region: Option<&Region>) -> bool {
        self.regions.is_empty() || region.is_some_and(|region| self.regions.contains(region))
    }

    /// What both desks sign.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let regions: Vec<&str> = self.regions.iter().map(Region::as_str).collect();
        edge_bytes(
            &self.relation.from.to_string(),
            &self.relation.to.to_string(),
            self.relation.purpose.as_str(),
            &regions,
            self.valid_from.millis(),
            self.valid_until.millis(),
            self.timers.as_ref(),
        )
    }
}

/// The directory. Parsed means well formed and consistent in itself; not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    version: u64,
    issued_at: Timestamp,
    valid_until: Timestamp,
    portal_epoch: u32,
    relation_epoch: u32,
    holders: Vec<Oin>,
    broker: Party,
    portal: Party,
    peers: BTreeMap<Oin, Peer>,
    edges: BTreeMap<Relation, Vec<Edge>>,
    revoked: HashSet<[u8; 32]>,
    desks_by_key: HashMap<[u8; 32], (Oin, DeskName)>,
    parts: Vec<Part>,
}

impl Directory {
    /// Reads `directory.toml`, head and parts. `sha256` is the digest by which the head lists its parts.
    ///
    /// # Errors
    /// Every mistake in the file, each with its place (for example `peer[2].desk[0].signing_key`, or
    /// `part[7].edge[12].to`); one alone when a piece is no TOML or has an unknown or missing key, or when the parts
    /// are not those that the head lists.
    pub fn parse(text: &str, sha256: &dyn Fn(&[u8]) -> [u8; 32]) -> Result<Self, Vec<Violation>> {
        check::directory(text, sha256)
    }

    /// Its parts, in the order in which the head lists them; none when it is of one piece.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Version: a lower or equal one is never put in force.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// When it was issued.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The end that the controllers gave it: the last moment at which anything may be shared or converted under it.
    #[must_use]
    pub const fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// Whether it is past its end. Then only what stops, objects or answers is done, and a newer one is taken in.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        now > self.valid_until
    }

    /// Whether its end is past, or so near ([`DIRECTORY_END_MILLIS_WARNING`]) that a new one must be signed.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        self.valid_until.millis_since(now) < DIRECTORY_END_MILLIS_WARNING
    }

    /// Present epoch of the portal's domain.
    #[must_use]
    pub const fn portal_epoch(&self) -> u32 {
        self.portal_epoch
    }

    /// Present epoch of all relations.
    #[must_use]
    pub const fn relation_epoch(&self) -> u32 {
        self.relation_epoch
    }

    /// The key holders in walking order; at least one.
    #[must_use]
    pub fn holders(&self) -> &[Oin] {
        &self.holders
    }

    /// The broker's realm, which owns the contexts of relations.
    #[must_use]
    pub const fn broker(&self) -> &Party {
        &self.broker
    }

    /// The portal's realm, which owns the portal's domain.
    #[must_use]
    pub const fn portal(&self) -> &Party {
        &self.portal
    }

    /// All organisations, by number.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// All edges, valid now or not.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values().flatten()
    }

    /// An organisation.
    #[must_use]
    pub fn peer(&self, oin: &Oin) -> Option<&Peer> {
        self.peers.get(oin)
    }

    /// A realm.
    #[must_use]
    pub fn realm(&self, party: &Party) -> Option<&Realm> {
        self.peer(&party.oin)?.realm(&party.realm)
    }

    /// A desk, revoked or not.
    #[must_use]
    pub fn desk(&self, oin: &Oin, name: &DeskName) -> Option<&Desk> {
        self.peer(oin)?.desks.get(name)
    }

    /// Whether a certificate's key (SHA-256 of its SubjectPublicKeyInfo) was revoked.
    #[must_use]
    pub fn is_revoked(&self, spki_sha256: &[u8; 32]) -> bool {
        self.revoked.contains(spki_sha256)
    }

    /// Who calls, from the two things that a certificate says. Refuses with `CERTIFICATE_REVOKED`,
    /// `OIN_UNKNOWN` or `DESK_UNKNOWN`; a desk of another organisation is unknown here.
    #[must_use]
    pub fn caller(&self, oin: &Oin, spki_sha256: &[u8; 32]) -> Outcome<Member<'_>> {
        match self.find_caller(oin, spki_sha256) {
            Ok(member) => Outcome::Permitted(member),
            Err(reason) => Outcome::Refused(Refusal::new(reason)),
        }
    }

    fn find_caller(&self, oin: &Oin, spki_sha256: &[u8; 32]) -> Result<Member<'_>, Reason> {
        if self.is_revoked(spki_sha256) {
            return Err(Reason::CertificateRevoked);
        }
        let peer = self.peer(oin).ok_or(Reason::OinUnknown)?;
        let desk = self
            .desks_by_key
            .get(spki_sha256)
            .filter(|(owner, _)| owner == oin)
            .and_then(|(_, name)| peer.desks.get(name))
            .ok_or(Reason::DeskUnknown)?;
        Ok(Member { peer, desk })
    }

    /// Who has signed as this desk. The same reasons as [`Directory::caller`].
    ///
    /// # Errors
    /// The reason why the desk's signature counts for nothing.
    pub fn member(&self, oin: &Oin, desk: &DeskName) -> Result<Member<'_>, Reason> {
        let peer = self.peer(oin).ok_or(Reason::OinUnknown)?;
        let desk = peer.desks.get(desk).ok_or(Reason::DeskUnknown)?;
        if self.is_revoked(&desk.spki_sha256) {
            return Err(Reason::CertificateRevoked);
        }
        Ok(Member { peer, desk })
    }

    /// The edge that holds now, if there is one.
    #[must_use]
    pub fn edge(
        &self,
        from: &Party,
        to: &Party,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Option<&Edge> {
        let relation = Relation {
            from: from.clone(),
            to: to.clone(),
            purpose: purpose.clone(),
        };
        self.edges
            .get(&relation)?
            .iter()
            .find(|edge| edge.is_valid(now))
    }

    /// The key to seal to now; none when the realm has none or it is past its end.
    #[must_use]
    pub fn sealing_key(&self, party: &Party, now: Timestamp) -> Option<&SealingKey> {
        let key = self.realm(party)?.sealing_key.as_ref()?;
        (now <= key.valid_until).then_some(key)
    }

    /// Whether a realm processes the BSN under the law: one of its desks enrols with it.
    #[must_use]
    pub fn has_bsn(&self, party: &Party) -> bool {
        self.peer(&party.oin).is_some_and(|peer| {
            peer.desks()
                .any(|desk| desk.realm == party.realm && desk.rights.contains(&Right::Bsn))
        })
    }

    /// Whether a realm is neutral: what comes to it is told without a BSN. One that is not known is not.
    #[must_use]
    pub fn is_neutral(&self, party: &Party) -> bool {
        self.realm(party).is_some_and(|realm| realm.neutral)
    }

    /// Whether a realm is the centre of a region. A desk without a region has no centre.
    #[must_use]
    pub fn is_centre(&self, party: &Party, region: Option<&Region>) -> bool {
        self.realm(party)
            .zip(region)
            .is_some_and(|(realm, region)| realm.centre_of.contains(region))
    }

    /// What a realm is called towards people: by its own title, or by its organisation's name.
    #[must_use]
    pub fn title(&self, party: &Party) -> Option<&str> {
        let peer = self.peer(&party.oin)?;
        let own = peer.realm(&party.realm).map(|realm| realm.title.as_str());
        own.filter(|title| !title.is_empty()).or(Some(peer.name()))
    }

    /// Who owns a target domain, and so the contexts under which it may be encrypted.
    #[must_use]
    pub const fn owner<'a>(&'a self, domain: &'a TargetDomain) -> &'a Party {
        match domain {
            TargetDomain::Partner { party, .. } => party,
            TargetDomain::Relation { .. } => &self.broker,
            TargetDomain::Portal { .. } => &self.portal,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
