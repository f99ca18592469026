//! From file to directory: every rule that a directory must keep in itself, and all mistakes at once.
//!
//! Must never repair anything: a directory is signed by the controllers as it stands.

use super::file::{
    DeskFile, DirectoryFile, EdgeFile, EdgeTimers, PartFile, PeerFile, RealmFile, RevokedFile,
};
use super::pieces::{self, PART_LINE, Part};
use super::{
    Desk, Directory, Edge, MAIN_REALM, Peer, Realm, Right, SEALING_KEY_BYTES, SealingKey, exchanges,
};
use crate::clock::Timestamp;
use crate::hex;
use crate::id::{DeskName, Oin, Party, PeerKind, RealmName, Region};
use crate::limits::{DAY_MILLIS, DIRECTORY_DAYS_MAX, HOLDERS_MAX, PARENT_VOUCHER_MILLIS_MAX};
use crate::pseudonym::Relation;
use crate::reason::Violation;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::str::FromStr;

/// Longest name or function of an organisation or desk, in characters.
const TEXT_CHARACTERS_MAX: usize = 120;

/// The desk with which each of the gateway's own roles signs.
const ROLE_DESKS: [(PeerKind, &str); 3] = [
    (PeerKind::Broker, "broker"),
    (PeerKind::Holder, "holder"),
    (PeerKind::Portal, "portal"),
];

pub(super) fn directory(
    text: &str,
    sha256: &dyn Fn(&[u8]) -> [u8; 32],
) -> Result<Directory, Vec<Violation>> {
    let head = text.split(PART_LINE).next().unwrap_or(text);
    let file = pieces::file(head)?;
    let (places, texts): (Vec<_>, Vec<_>) = pieces::parts(text, head, &file.parts, sha256)?
        .into_iter()
        .unzip();
    let mut parts: Vec<PartFile> = Vec::new();
    for (index, text) in texts.into_iter().enumerate() {
        parts.push(toml::from_str(text).map_err(|error| {
            let shape = format!("not the shape of a part: {}", error.message());
            vec![Violation::new(format!("part[{index}]"), shape)]
        })?);
    }
    let mut check = Check::default();
    let directory = check.directory(&file, &parts, places);
    match directory {
        Some(directory) if check.violations.is_empty() => Ok(directory),
        _ => Err(check.violations),
    }
}

/// The mistakes so far, and what must occur only once in the whole file.
#[derive(Default)]
struct Check {
    violations: Vec<Violation>,
    signing_keys: HashSet<[u8; 32]>,
    desks_by_key: HashMap<[u8; 32], (Oin, DeskName)>,
    centres: HashSet<Region>,
}

impl Check {
    fn directory(
        &mut self,
        file: &DirectoryFile,
        parts: &[PartFile],
        places: Vec<Part>,
    ) -> Option<Directory> {
        let mut peers = BTreeMap::new();
        let theirs = parts.iter().map(|part| part.peers.as_slice());
        for (at, peer) in placed("peer", &file.peers, theirs) {
            if let Some(peer) = self.peer(&at, peer)
                && let Some(twice) = peers.insert(peer.oin.clone(), peer)
            {
                self.wrong(&at, "oin", &format!("`{}` occurs twice", twice.oin));
            }
        }
        if file.valid_until_millis <= file.issued_at_millis {
            self.wrong("", "valid_until_millis", "not after the file was issued");
        }
        let longest = DIRECTORY_DAYS_MAX.saturating_mul(DAY_MILLIS);
        if file.valid_until_millis > file.issued_at_millis.saturating_add(longest) {
            let text = format!("more than {DIRECTORY_DAYS_MAX} days after the file was issued");
            self.wrong("", "valid_until_millis", &text);
        }
        for (field, epoch) in [
            ("portal_epoch", file.portal_epoch),
            ("relation_epoch", file.relation_epoch),
        ] {
            if epoch == 0 {
                self.wrong("", field, "epochs count from 1");
            }
        }
        let broker = self.only_role(&peers, PeerKind::Broker);
        let portal = self.only_role(&peers, PeerKind::Portal);
        let holders = self.holders(&file.holders, &peers);
        let theirs = parts.iter().map(|part| part.edges.as_slice());
        let edges = self.edges(placed("edge", &file.edges, theirs), &peers);
        let revoked = self.revoked(&file.revoked, file.issued_at_millis);
        Some(Directory {
            version: file.version,
            issued_at: Timestamp::from_millis(file.issued_at_millis),
            valid_until: Timestamp::from_millis(file.valid_until_millis),
            portal_epoch: file.portal_epoch,
            relation_epoch: file.relation_epoch,
            holders,
            broker: broker?,
            portal: portal?,
            peers,
            edges,
            revoked,
            desks_by_key: std::mem::take(&mut self.desks_by_key),
            parts: places,
        })
    }

    fn peer(&mut self, at: &str, file: &PeerFile) -> Option<Peer> {
        let oin: Option<Oin> = self.parse(at, "oin", &file.oin);
        self.text(at, "name", &file.name);
        if file.name.is_empty() {
            self.wrong(at, "name", "is empty");
        }
        let kind = PeerKind::from_code(&file.kind);
        if kind.is_none() {
            self.wrong(at, "kind", "not a kind of organisation");
        }
        let (oin, kind) = (oin?, kind?);
        let mut realms = BTreeMap::new();
        for (index, realm) in file.realms.iter().enumerate() {
            let at = format!("{at}.realm[{index}]");
            if let Some(realm) = self.realm(&at, &oin, realm)
                && let Some(twice) = realms.insert(realm.party.realm.clone(), realm)
            {
                self.wrong(
                    &at,
                    "name",
                    &format!("`{}` occurs twice", twice.party.realm),
                );
            }
        }
        let mut desks = BTreeMap::new();
        for (index, desk) in file.desks.iter().enumerate() {
            let at = format!("{at}.desk[{index}]");
            if let Some(desk) = self.desk(&at, &oin, &realms, desk)
                && let Some(twice) = desks.insert(desk.name.clone(), desk)
            {
                self.wrong(&at, "name", &format!("`{}` occurs twice", twice.name));
            }
        }
        self.role(at, kind, &realms, &desks);
        for (index, realm) in file.realms.iter().enumerate() {
            let at = format!("{at}.realm[{index}]");
            self.sealing_key_desk(&at, realm, &desks);
            let enrols = |desk: &Desk| {
                desk.realm.as_str() == realm.name && desk.rights.contains(&Right::Bsn)
            };
            if realm.neutral && desks.values().any(enrols) {
                self.wrong(&at, "neutral", "a desk of this realm has the right `bsn`");
            }
        }
        Some(Peer {
            oin,
            name: file.name.clone(),
            kind,
            realms,
            desks,
        })
    }

    /// The gateway's own roles have the realm and the desk by which the others know them.
    fn role(
        &mut self,
        at: &str,
        kind: PeerKind,
        realms: &BTreeMap<RealmName, Realm>,
        desks: &BTreeMap<DeskName, Desk>,
    ) {
        let Some((_, desk)) = ROLE_DESKS.iter().find(|(role, _)| *role == kind) else {
            return;
        };
        if !realms.keys().any(|name| name.as_str() == MAIN_REALM) {
            self.wrong(
                at,
                "realm",
                "this kind of organisation needs the realm `main`",
            );
        }
        let signs = desks
            .values()
            .any(|known| known.name.as_str() == *desk && known.realm.as_str() == MAIN_REALM);
        if !signs {
            let needed =
                format!("this kind of organisation needs the desk `{desk}` in the realm `main`");
            self.wrong(at, "desk", &needed);
        }
    }

    fn realm(&mut self, at: &str, oin: &Oin, file: &RealmFile) -> Option<Realm> {
        let name: Option<RealmName> = self.parse(at, "name", &file.name);
        for (field, number) in [("epoch", file.epoch), ("context", file.context)] {
            if number == 0 {
                self.wrong(at, field, "counts from 1");
            }
        }
        let sealing_key = self.sealing_key(at, file);
        self.text(at, "title", &file.title);
        let centre_of = self.centre_of(at, file);
        Some(Realm {
            party: Party {
                oin: oin.clone(),
                realm: name?,
            },
            epoch: file.epoch,
            context: file.context,
            sealing_key,
            title: file.title.clone(),
            neutral: file.neutral,
            centre_of,
        })
    }

    /// A region has one centre, and that is a neutral realm.
    fn centre_of(&mut self, at: &str, file: &RealmFile) -> Vec<Region> {
        let mut regions = Vec::new();
        for (index, text) in file.centre_of.iter().enumerate() {
            let field = format!("centre_of[{index}]");
            let Some(region) = self.parse::<Region>(at, &field, text) else {
                continue;
            };
            if !self.centres.insert(region.clone()) {
                self.wrong(at, &field, "this region has a centre already");
            }
            regions.push(region);
        }
        if !regions.is_empty() && !file.neutral {
            self.wrong(at, "centre_of", "the centre of a region is a neutral realm");
        }
        regions
    }

    fn sealing_key(&mut self, at: &str, file: &RealmFile) -> Option<SealingKey> {
        match (
            &file.sealing_key,
            file.sealing_key_valid_until_millis,
            &file.sealing_key_signature,
            &file.sealing_key_signed_by,
        ) {
            (None, None, None, None) => None,
            (Some(key), Some(valid_until_millis), Some(signature), Some(desk)) => {
                let public_key = hex::decode(key).filter(|key| key.len() == SEALING_KEY_BYTES);
                if public_key.is_none() {
                    self.wrong(
                        at,
                        "sealing_key",
                        "not 1,216 octets in lowercase hexadecimal",
                    );
                }
                let signature = self.octets(at, "sealing_key_signature", signature);
                let signed_by = self.parse(at, "sealing_key_signed_by", desk);
                Some(SealingKey {
                    public_key: public_key?,
                    valid_until: Timestamp::from_millis(valid_until_millis),
                    signature: signature?,
                    signed_by: signed_by?,
                })
            }
            _ => {
                self.wrong(
                    at,
                    "sealing_key",
                    "key, end, signature and signing desk come together or not at all",
                );
                None
            }
        }
    }

    fn sealing_key_desk(&mut self, at: &str, file: &RealmFile, desks: &BTreeMap<DeskName, Desk>) {
        let Some(name) = &file.sealing_key_signed_by else {
            return;
        };
        let desk = desks.values().find(|desk| desk.name.as_str() == name);
        if !desk.is_some_and(|desk| represents(desk, &file.name)) {
            self.wrong(at, "sealing_key_signed_by", REPRESENT_NEEDED);
        }
    }

    fn desk(
        &mut self,
        at: &str,
        oin: &Oin,
        realms: &BTreeMap<RealmName, Realm>,
        file: &DeskFile,
    ) -> Option<Desk> {
        let name: Option<DeskName> = self.parse(at, "name", &file.name);
        let realm: Option<RealmName> = self.parse(at, "realm", &file.realm);
        if realm
            .as_ref()
            .is_some_and(|realm| !realms.contains_key(realm))
        {
            self.wrong(at, "realm", "not a realm of this organisation");
        }
        let region = if file.region.is_empty() {
            None
        } else {
            self.parse(at, "region", &file.region)
        };
        self.text(at, "function", &file.function);
        let rights = self.rights(at, &file.rights);
        let spki_sha256: Option<[u8; 32]> = self.octets(at, "spki_sha256", &file.spki_sha256);
        let signing_key: Option<[u8; 32]> = self.octets(at, "signing_key", &file.signing_key);
        if signing_key.is_some_and(|key| !self.signing_keys.insert(key)) {
            self.wrong(at, "signing_key", "another desk has this key");
        }
        let (name, spki_sha256) = (name?, spki_sha256?);
        let owner = (oin.clone(), name.clone());
        if self.desks_by_key.insert(spki_sha256, owner).is_some() {
            self.wrong(at, "spki_sha256", "another desk has this key");
        }
        Some(Desk {
            name,
            realm: realm?,
            region,
            function: file.function.clone(),
            spki_sha256,
            signing_key: signing_key?,
            rights,
        })
    }

    fn rights(&mut self, at: &str, codes: &[String]) -> Vec<Right> {
        let mut rights = Vec::new();
        for (index, code) in codes.iter().enumerate() {
            match Right::from_code(code) {
                Some(right) if rights.contains(&right) => {
                    self.wrong(at, &format!("rights[{index}]"), "occurs twice");
                }
                Some(right) => rights.push(right),
                None => self.wrong(at, &format!("rights[{index}]"), "not a right"),
            }
        }
        rights
    }

    /// There is one broker and one portal: relations and the portal's domain need one owner each.
    fn only_role(&mut self, peers: &BTreeMap<Oin, Peer>, kind: PeerKind) -> Option<Party> {
        let mut found = peers.values().filter(|peer| peer.kind == kind);
        let (only, next) = (found.next(), found.next());
        match (only, next) {
            (Some(peer), None) => Some(Party {
                oin: peer.oin.clone(),
                realm: MAIN_REALM.parse().ok()?,
            }),
            _ => {
                self.wrong(
                    "",
                    "peer",
                    &format!("exactly one of kind `{kind}` is needed"),
                );
                None
            }
        }
    }

    fn holders(&mut self, texts: &[String], peers: &BTreeMap<Oin, Peer>) -> Vec<Oin> {
        if texts.is_empty() {
            self.wrong("", "holders", "at least one is needed");
        }
        if texts.len() > HOLDERS_MAX {
            self.wrong("", "holders", &format!("at most {HOLDERS_MAX} are allowed"));
            return Vec::new();
        }
        let mut holders = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let field = format!("holders[{index}]");
            let Some(oin) = self.parse::<Oin>("", &field, text) else {
                continue;
            };
            if peers
                .get(&oin)
                .is_none_or(|peer| peer.kind != PeerKind::Holder)
            {
                self.wrong("", &field, "not an organisation of kind `HOLDER`");
            } else if holders.contains(&oin) {
                self.wrong("", &field, "occurs twice");
            } else {
                holders.push(oin);
            }
        }
        holders
    }

    fn edges<'a>(
        &mut self,
        files: impl Iterator<Item = (String, &'a EdgeFile)>,
        peers: &BTreeMap<Oin, Peer>,
    ) -> BTreeMap<Relation, Vec<Edge>> {
        let mut edges: BTreeMap<Relation, Vec<Edge>> = BTreeMap::new();
        for (at, file) in files {
            let Some(edge) = self.edge(&at, file, peers) else {
                continue;
            };
            let others = edges.entry(edge.relation.clone()).or_default();
            let overlaps = others.iter().any(|other| {
                edge.valid_from <= other.valid_until && other.valid_from <= edge.valid_until
            });
            others.push(edge);
            if overlaps {
                self.wrong(
                    &at,
                    "valid_from_millis",
                    "overlaps another edge of the same relation",
                );
            }
        }
        edges
    }

    fn edge(&mut self, at: &str, file: &EdgeFile, peers: &BTreeMap<Oin, Peer>) -> Option<Edge> {
        let from = self.end(
            at,
            ["from", "from_desk"],
            [&file.from, &file.from_desk],
            peers,
        );
        let to = self.end(at, ["to", "to_desk"], [&file.to, &file.to_desk], peers);
        let purpose = self.parse(at, "purpose", &file.purpose);
        let mut regions = Vec::new();
        for (index, text) in file.regions.iter().enumerate() {
            let field = format!("regions[{index}]");
            if let Some(region) = self.parse(at, &field, text) {
                if regions.contains(&region) {
                    self.wrong(at, &field, "occurs twice");
                }
                regions.push(region);
            }
        }
        if file.from == file.to {
            self.wrong(at, "to", "sender and recipient are the same realm");
        }
        if file.valid_until_millis <= file.valid_from_millis {
            self.wrong(at, "valid_until_millis", "not after the beginning");
        }
        if let Some(timers) = &file.timers {
            self.timers(at, timers);
        }
        let from_signature = self.octets(at, "from_signature", &file.from_signature);
        let to_signature = self.octets(at, "to_signature", &file.to_signature);
        let ((from, from_desk), (to, to_desk)) = (from?, to?);
        Some(Edge {
            relation: Relation {
                from,
                to,
                purpose: purpose?,
            },
            regions,
            valid_from: Timestamp::from_millis(file.valid_from_millis),
            valid_until: Timestamp::from_millis(file.valid_until_millis),
            timers: file.timers,
            from_desk,
            from_signature: from_signature?,
            to_desk,
            to_signature: to_signature?,
        })
    }

    /// Every step has time, and no handover stays open for longer than a holder accepts its own voucher.
    fn timers(&mut self, at: &str, timers: &EdgeTimers) {
        if timers.numbers().contains(&0) {
            self.wrong(at, "timers", "a timer of zero leaves no time for its step");
        }
        let days_max = PARENT_VOUCHER_MILLIS_MAX.unsigned_abs() / DAY_MILLIS.unsigned_abs();
        if timers.open_days_max() > days_max {
            self.wrong(
                at,
                "timers",
                "together longer than 60 days, a working day counted as two",
            );
        }
    }

    /// One end of an edge: a realm of an exchanging organisation, and the desk that signs for it.
    fn end(
        &mut self,
        at: &str,
        fields: [&str; 2],
        texts: [&str; 2],
        peers: &BTreeMap<Oin, Peer>,
    ) -> Option<(Party, DeskName)> {
        let party: Option<Party> = self.parse(at, fields[0], texts[0]);
        let desk: Option<DeskName> = self.parse(at, fields[1], texts[1]);
        let (party, desk) = (party?, desk?);
        let Some(peer) = peers
            .get(&party.oin)
            .filter(|peer| peer.realms.contains_key(&party.realm))
        else {
            self.wrong(at, fields[0], "not a realm in this directory");
            return None;
        };
        if !exchanges(peer.kind) {
            self.wrong(at, fields[0], "this kind of organisation hands nobody over");
        }
        let signer = peer.desks.get(&desk);
        if !signer.is_some_and(|signer| represents(signer, party.realm.as_str())) {
            self.wrong(at, fields[1], REPRESENT_NEEDED);
        }
        Some((party, desk))
    }

    fn revoked(&mut self, files: &[RevokedFile], issued_at_millis: i64) -> HashSet<[u8; 32]> {
        let mut revoked = HashSet::new();
        for (index, file) in files.iter().enumerate() {
            let at = format!("revoked[{index}]");
            if file.at_millis > issued_at_millis {
                self.wrong(&at, "at_millis", "after the file was issued");
            }
            if let Some(key) = self.octets(&at, "spki_sha256", &file.spki_sha256)
                && !revoked.insert(key)
            {
                self.wrong(&at, "spki_sha256", "occurs twice");
            }
        }
        revoked
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, at: &str, field: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(at, field, &error.to_string());
                None
            }
        }
    }

    fn octets<const LENGTH: usize>(
        &mut self,
        at: &str,
        field: &str,
        text: &str,
    ) -> Option<[u8; LENGTH]> {
        let octets = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
        if octets.is_none() {
            let wanted = format!("not {LENGTH} octets in lowercase hexadecimal");
            self.wrong(at, field, &wanted);
        }
        octets
    }

    fn text(&mut self, at: &str, field: &str, text: &str) {
        if text.chars().count() > TEXT_CHARACTERS_MAX || text.chars().any(char::is_control) {
            self.wrong(
                at,
                field,
                "longer than 120 characters, or has control characters",
            );
        }
    }

    fn wrong(&mut self, at: &str, field: &str, description: &str) {
        let place = if at.is_empty() {
            field.to_owned()
        } else {
            format!("{at}.{field}")
        };
        self.violations.push(Violation::new(place, description));
    }
}

/// What stands in the head and in every part, each with its place.
fn placed<'a, T: 'a>(
    name: &'static str,
    head: &'a [T],
    parts: impl Iterator<Item = &'a [T]>,
) -> impl Iterator<Item = (String, &'a T)> {
    let at = move |index: usize| format!("{name}[{index}]");
    let first = head.iter().enumerate();
    let first = first.map(move |(index, item)| (at(index), item));
    let rest = parts.enumerate().flat_map(move |(part, items)| {
        let items = items.iter().enumerate();
        items.map(move |(index, item)| (format!("part[{part}].{}", at(index)), item))
    });
    first.chain(rest)
}

const REPRESENT_NEEDED: &str = "not a desk of that realm with the right `represent`";

fn represents(desk: &Desk, realm: &str) -> bool {
    desk.realm.as_str() == realm && desk.rights.contains(&Right::Represent)
}
