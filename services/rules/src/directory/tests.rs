//! A directory in a file, and every way in which one can be wrong.

mod ending;
mod realms;

use super::{
    DeskFile, Directory, DirectoryFile, EdgeFile, EdgeTimers, PeerFile, RealmFile, RevokedFile,
    Right,
};
use super::{Head, PartEntry, PartFile, join};
use crate::clock::Timestamp;
use crate::hex;
use crate::id::{Oin, Party, PeerKind};
use crate::limits::{DIRECTORY_PART_BYTES_MAX, DIRECTORY_PARTS_MAX, HOLDERS_MAX};
use crate::reason::{Outcome, Reason};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn oin(number: u32) -> Oin {
    format!("00000099{number:09}000").parse().unwrap()
}

pub(crate) fn party(number: u32, realm: &str) -> Party {
    Party {
        oin: oin(number),
        realm: realm.parse().unwrap(),
    }
}

fn octets(seed: u32, length: usize) -> String {
    let bytes: Vec<u8> = seed
        .to_be_bytes()
        .into_iter()
        .cycle()
        .take(length)
        .collect();
    hex::encode(&bytes)
}

fn desk(peer: u32, number: u32, name: &str, realm: &str, rights: &[Right]) -> DeskFile {
    DeskFile {
        name: name.to_owned(),
        realm: realm.to_owned(),
        region: "NHN".to_owned(),
        function: "Loket".to_owned(),
        spki_sha256: octets(peer * 100 + number, 32),
        signing_key: octets(peer * 100 + number + 50, 32),
        rights: rights.iter().map(|right| right.code().to_owned()).collect(),
    }
}

/// The desks of the test directory: a UWV (1) with two realms, two gemeenten (2, 3), a vakbond (4), supervision (5),
/// broker (6), holders (7, 8), portal (9).
pub(crate) const PEERS: &[(u32, PeerKind)] = &[
    (1, PeerKind::Uwv),
    (2, PeerKind::Gemeente),
    (3, PeerKind::Gemeente),
    (4, PeerKind::Vakbond),
    (5, PeerKind::Toezicht),
    (6, PeerKind::Broker),
    (7, PeerKind::Holder),
    (8, PeerKind::Holder),
    (9, PeerKind::Portal),
];

fn peer(number: u32, kind: PeerKind) -> PeerFile {
    let realm = |name: &str, epoch| RealmFile {
        name: name.to_owned(),
        epoch,
        context: 10 * number + epoch,
        sealing_key: Some(octets(number, super::SEALING_KEY_BYTES)),
        sealing_key_valid_until_millis: Some(NOW.millis() + 1_000),
        sealing_key_signature: Some(octets(number, 64)),
        sealing_key_signed_by: Some(if name == "main" { "keys" } else { "side" }.to_owned()),
        ..RealmFile::default()
    };
    let role = [
        (PeerKind::Broker, "broker"),
        (PeerKind::Holder, "holder"),
        (PeerKind::Portal, "portal"),
    ]
    .into_iter()
    .find(|(role, _)| *role == kind)
    .map_or("front", |(_, desk)| desk);
    PeerFile {
        oin: oin(number).to_string(),
        name: format!("Organisatie {number}"),
        kind: kind.code().to_owned(),
        realms: vec![realm("main", 1), realm("kassier", 3)],
        desks: vec![
            desk(number, 0, role, "main", &[Right::Bsn, Right::Assist]),
            desk(number, 1, "keys", "main", &[Right::Represent]),
            desk(
                number,
                2,
                "side",
                "kassier",
                &[Right::Represent, Right::Bsn, Right::Assist],
            ),
            desk(number, 3, "gone", "main", &[Right::Bsn, Right::Assist]),
            desk(
                number,
                4,
                "fg",
                "main",
                &[Right::Bsn, Right::Assist, Right::Officer],
            ),
        ],
    }
}

pub(crate) fn edge(from: u32, to: u32, purpose: &str) -> EdgeFile {
    EdgeFile {
        from: party(from, "main").to_string(),
        to: party(to, "main").to_string(),
        purpose: purpose.to_owned(),
        regions: Vec::new(),
        valid_from_millis: NOW.millis() - 1_000,
        valid_until_millis: NOW.millis() + 1_000,
        from_desk: "keys".to_owned(),
        from_signature: octets(from, 64),
        to_desk: "keys".to_owned(),
        to_signature: octets(to, 64),
        timers: None,
    }
}

pub(crate) fn file() -> DirectoryFile {
    DirectoryFile {
        version: 4,
        issued_at_millis: NOW.millis(),
        valid_until_millis: NOW.millis() + 2_000,
        portal_epoch: 2,
        relation_epoch: 5,
        holders: vec![oin(8).to_string(), oin(7).to_string()],
        peers: PEERS
            .iter()
            .map(|(number, kind)| peer(*number, *kind))
            .collect(),
        edges: vec![edge(1, 2, "HANDOVER"), edge(2, 4, "HANDOVER")],
        parts: Vec::new(),
        revoked: PEERS
            .iter()
            .map(|(number, _)| RevokedFile {
                spki_sha256: octets(number * 100 + 3, 32),
                at_millis: NOW.millis(),
            })
            .collect(),
    }
}

/// In the place of SHA-256: enough to tell the parts of these tests apart.
pub(crate) fn digest(octets: &[u8]) -> [u8; 32] {
    let mut digest = [0_u8; 32];
    for (index, octet) in octets.iter().enumerate() {
        let place = &mut digest[index % 32];
        *place = place.wrapping_mul(31).wrapping_add(*octet);
    }
    digest
}

pub(crate) fn directory(file: &DirectoryFile) -> Directory {
    Directory::parse(&toml::to_string(file).unwrap(), &digest).unwrap()
}

/// The places of all mistakes after `change`.
fn check(change: fn(&mut DirectoryFile), expected: &[&str]) {
    let mut file = file();
    change(&mut file);
    let found = match Directory::parse(&toml::to_string(&file).unwrap(), &digest) {
        Ok(_) => Vec::new(),
        Err(violations) => violations
            .into_iter()
            .map(|violation| violation.field)
            .collect(),
    };
    assert_eq!(found, expected);
}

#[test]
fn times_of_an_edge_are_read_and_bounded() {
    /// The times of the first edge, in hours, working days twice, and days.
    fn with(file: &mut DirectoryFile, numbers: [u32; 4]) {
        let [
            prepared_hours,
            offer_working_days,
            release_working_days,
            complete_days,
        ] = numbers;
        file.edges[0].timers = Some(EdgeTimers {
            prepared_hours,
            offer_working_days,
            release_working_days,
            complete_days,
        });
    }
    check(|file| with(file, [1, 1, 1, 1]), &[]);
    check(|file| with(file, [24, 5, 2, 45]), &[]);
    check(|file| with(file, [24, 5, 2, 46]), &["edge[0].timers"]);
    check(|file| with(file, [25, 5, 2, 45]), &["edge[0].timers"]);
    check(|file| with(file, [24, 6, 2, 45]), &["edge[0].timers"]);
    check(|file| with(file, [0, 5, 2, 14]), &["edge[0].timers"]);
    check(|file| with(file, [24, 5, 2, 0]), &["edge[0].timers"]);
    check(
        |file| with(file, [u32::MAX, u32::MAX, u32::MAX, u32::MAX]),
        &["edge[0].timers"],
    );
    let mut agreed = file();
    with(&mut agreed, [3, 2, 1, 7]);
    let directory = Directory::parse(&toml::to_string(&agreed).unwrap(), &digest).unwrap();
    let edges: Vec<_> = directory.edges().filter_map(|edge| edge.timers).collect();
    assert_eq!(edges.len(), 1);
    assert_eq!(edges[0].numbers(), [3, 2, 1, 7]);
    let edge = directory
        .edges()
        .find(|edge| edge.timers.is_some())
        .unwrap();
    assert_eq!(edge.signed_bytes(), agreed.edges[0].signed_bytes());
    assert_ne!(edge.signed_bytes(), file().edges[0].signed_bytes());
}

#[test]
fn a_right_file_is_read() {
    let directory = directory(&file());
    assert_eq!(directory.version(), 4);
    assert_eq!(directory.holders(), [oin(8), oin(7)], "walking order");
    assert_eq!(*directory.broker(), party(6, "main"));
    assert_eq!(*directory.portal(), party(9, "main"));
    assert_eq!(
        directory
            .realm(&party(1, "kassier"))
            .map(|realm| realm.epoch),
        Some(3)
    );
    assert!(directory.realm(&party(1, "elders")).is_none());
    assert_eq!(
        directory.signatures(None).len(),
        PEERS.len() * 2 + 2 * 2,
        "each realm's key once, each edge twice"
    );
}

#[test]
fn what_the_builder_signs_is_what_the_reader_verifies() {
    let file = file();
    let directory = directory(&file);
    for edge in &file.edges {
        assert!(
            directory
                .signatures(None)
                .iter()
                .any(|signature| signature.bytes == edge.signed_bytes())
        );
    }
    let bytes = file.peers[0].realms[0]
        .signed_bytes(&file.peers[0].oin)
        .unwrap();
    assert_eq!(
        directory
            .realm(&party(1, "main"))
            .and_then(super::Realm::signed_bytes),
        Some(bytes)
    );
}

#[test]
fn mistakes_of_organisations_are_found_where_they_are() {
    check(|_| (), &[]);
    check(|file| file.portal_epoch = 0, &["portal_epoch"]);
    check(|file| file.relation_epoch = 0, &["relation_epoch"]);
    check(|file| file.holders.clear(), &["holders"]);
    check(
        |file| file.holders = vec![oin(8).to_string(); HOLDERS_MAX + 1],
        &["holders"],
    );
    check(|file| file.holders[1] = oin(6).to_string(), &["holders[1]"]);
    check(|file| file.holders[1] = oin(8).to_string(), &["holders[1]"]);
    check(|file| file.holders[1] = "7".to_owned(), &["holders[1]"]);
    check(
        |file| file.peers[1].oin = "x".to_owned(),
        &["peer[1].oin", "edge[0].to", "edge[1].from"],
    );
    check(
        |file| file.peers[2].kind = "WINKEL".to_owned(),
        &["peer[2].kind"],
    );
    check(|file| file.peers[2].name.clear(), &["peer[2].name"]);
    check(
        |file| file.peers[2].name = "x\n".to_owned(),
        &["peer[2].name"],
    );
    check(
        |file| file.peers[2].realms[1].epoch = 0,
        &["peer[2].realm[1].epoch"],
    );
    check(
        |file| file.peers[2].realms[1].context = 0,
        &["peer[2].realm[1].context"],
    );
    check(
        |file| file.peers[2].realms[0].sealing_key = None,
        &["peer[2].realm[0].sealing_key"],
    );
    check(
        |file| file.peers[2].realms[0].sealing_key_signed_by = Some("front".to_owned()),
        &["peer[2].realm[0].sealing_key_signed_by"],
    );
    check(
        |file| file.peers[2].realms[1].sealing_key_signed_by = Some("keys".to_owned()),
        &["peer[2].realm[1].sealing_key_signed_by"],
    );
}

#[test]
fn mistakes_of_desks_are_found_where_they_are() {
    check(
        |file| file.peers[2].desks[0].realm = "elders".to_owned(),
        &["peer[2].desk[0].realm"],
    );
    check(
        |file| file.peers[2].desks[0].region = "nhn".to_owned(),
        &["peer[2].desk[0].region"],
    );
    check(
        |file| file.peers[2].desks[0].rights.push("all".to_owned()),
        &["peer[2].desk[0].rights[2]"],
    );
    check(
        |file| file.peers[2].desks[0].rights.push("bsn".to_owned()),
        &["peer[2].desk[0].rights[2]"],
    );
    check(
        |file| file.peers[2].desks[0].signing_key.push('0'),
        &["peer[2].desk[0].signing_key"],
    );
    check(
        |file| file.peers[2].desks[0].spki_sha256 = file.peers[1].desks[0].spki_sha256.clone(),
        &["peer[2].desk[0].spki_sha256"],
    );
    check(
        |file| file.peers[2].desks[0].signing_key = file.peers[1].desks[0].signing_key.clone(),
        &["peer[2].desk[0].signing_key"],
    );
    check(|file| file.peers[5].kind = "TOEZICHT".to_owned(), &["peer"]);
    check(
        |file| file.peers[4].kind = "PORTAL".to_owned(),
        &["peer[4].desk", "peer"],
    );
}

#[test]
fn mistakes_of_edges_are_found_where_they_are() {
    check(
        |file| file.edges[0].to = file.edges[0].from.clone(),
        &["edge[0].to"],
    );
    check(
        |file| file.edges[0].to = party(3, "elders").to_string(),
        &["edge[0].to"],
    );
    check(
        |file| file.edges[0].to = party(9, "main").to_string(),
        &["edge[0].to"],
    );
    check(
        |file| file.edges[0].to_desk = "front".to_owned(),
        &["edge[0].to_desk"],
    );
    check(
        |file| file.edges[0].to_desk = "side".to_owned(),
        &["edge[0].to_desk"],
    );
    check(
        |file| file.edges[0].purpose = "handover".to_owned(),
        &["edge[0].purpose"],
    );
    check(
        |file| file.edges[0].from_signature.clear(),
        &["edge[0].from_signature"],
    );
    check(
        |file| file.edges[0].valid_until_millis = file.edges[0].valid_from_millis,
        &["edge[0].valid_until_millis"],
    );
    check(
        |file| file.edges.push(edge(1, 2, "HANDOVER")),
        &["edge[2].valid_from_millis"],
    );
    check(
        |file| file.revoked[0].at_millis += 1,
        &["revoked[0].at_millis"],
    );
    check(
        |file| file.revoked[1] = file.revoked[0].clone(),
        &["revoked[1].spki_sha256"],
    );
}

#[test]
fn all_mistakes_are_found_at_once() {
    check(
        |file| {
            file.portal_epoch = 0;
            file.peers[2].desks[0].region = "nhn".to_owned();
            file.edges[1].purpose = String::new();
        },
        &["peer[2].desk[0].region", "portal_epoch", "edge[1].purpose"],
    );
}

#[test]
fn unknown_keys_and_no_toml_are_refused() {
    let text = toml::to_string(&file()).unwrap();
    for wrong in [
        format!("surprise = 1\n{text}"),
        text.replace("function = ", "functie = "),
        text.replace("version = 4", ""),
        "version = ".to_owned(),
        String::new(),
    ] {
        let violations = Directory::parse(&wrong, &digest).unwrap_err();
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "directory");
    }
}

#[test]
fn a_caller_is_known_by_both_its_number_and_its_key() {
    let directory = directory(&file());
    let key =
        |number: u32| <[u8; 32]>::try_from(hex::decode(&octets(number, 32)).unwrap()).unwrap();
    let answer = |number, spki| match directory.caller(&oin(number), &key(spki)) {
        Outcome::Permitted(member) => Ok((member.party(), member.desk.name.to_string())),
        Outcome::Refused(refusal) => Err(refusal.reason),
    };
    assert_eq!(answer(1, 100), Ok((party(1, "main"), "front".to_owned())));
    assert_eq!(answer(1, 102), Ok((party(1, "kassier"), "side".to_owned())));
    assert_eq!(answer(1, 103), Err(Reason::CertificateRevoked));
    assert_eq!(answer(77, 103), Err(Reason::CertificateRevoked));
    assert_eq!(answer(77, 100), Err(Reason::OinUnknown));
    assert_eq!(
        answer(1, 200),
        Err(Reason::DeskUnknown),
        "another organisation's key"
    );
    assert_eq!(answer(1, 999), Err(Reason::DeskUnknown));
}

#[test]
fn edges_and_sealing_keys_end() {
    let mut source = file();
    let mut next = edge(1, 2, "HANDOVER");
    next.valid_from_millis = NOW.millis() + 1_001;
    next.valid_until_millis = NOW.millis() + 2_000;
    source.edges.push(next);
    let directory = directory(&source);
    let purpose = "HANDOVER".parse().unwrap();
    let holds = |from, to, millis| {
        directory
            .edge(
                &party(from, "main"),
                &party(to, "main"),
                &purpose,
                NOW.plus_millis(millis),
            )
            .is_some()
    };
    for (millis, expected) in [
        (-1_001, false),
        (-1_000, true),
        (1_000, true),
        (1_001, true),
        (2_001, false),
    ] {
        assert_eq!(holds(1, 2, millis), expected, "{millis}");
    }
    assert!(!holds(2, 1, 0), "the way back is another relation");
    assert!(!holds(1, 3, 0));
    let sealing = |millis| {
        directory
            .sealing_key(&party(2, "main"), NOW.plus_millis(millis))
            .is_some()
    };
    assert!(sealing(1_000) && !sealing(1_001));
}

#[test]
fn a_region_is_covered_or_the_edge_has_none() {
    let mut source = file();
    source.edges[0].regions = vec!["NHN".to_owned()];
    let directory = directory(&source);
    let covers = |from, to, region: &str| {
        let purpose = "HANDOVER".parse().unwrap();
        directory
            .edge(&party(from, "main"), &party(to, "main"), &purpose, NOW)
            .is_some_and(|edge| edge.covers(region.parse().ok().as_ref()))
    };
    assert!(covers(1, 2, "NHN") && !covers(1, 2, "ZHN") && !covers(1, 2, ""));
    assert!(covers(2, 4, "ZHN") && covers(2, 4, ""));
}

/// The file with its last organisations in one part and its edges in another: the head, and the parts.
fn in_parts(mut file: DirectoryFile) -> (DirectoryFile, Vec<String>) {
    let peers = PartFile {
        peers: file.peers.split_off(2),
        ..PartFile::default()
    };
    let edges = PartFile {
        edges: std::mem::take(&mut file.edges),
        ..PartFile::default()
    };
    let texts = [peers, edges].map(|part| toml::to_string(&part).unwrap());
    file.parts = texts.iter().map(|text| entry(text)).collect();
    (file, texts.into())
}

fn entry(text: &str) -> PartEntry {
    PartEntry {
        sha256: hex::encode(&digest(text.as_bytes())),
        bytes: text.len(),
    }
}

fn joined(head: &DirectoryFile, parts: &[String]) -> String {
    let head = toml::to_string(head).unwrap();
    let content = join(head.as_bytes(), parts.iter().map(String::as_bytes));
    assert_eq!(super::head(&content), head.as_bytes());
    String::from_utf8(content).unwrap()
}

#[test]
fn a_directory_in_parts_says_what_it_says_in_one_piece() {
    let (head, texts) = in_parts(file());
    let content = joined(&head, &texts);
    let mut read = Directory::parse(&content, &digest).unwrap();
    assert_eq!(read.parts().len(), 2);
    for (part, text) in read.parts().iter().zip(&texts) {
        assert_eq!(content[part.place.clone()], **text);
        assert_eq!(part.sha256, digest(text.as_bytes()));
    }
    read.parts.clear();
    assert_eq!(read, directory(&file()));
    let listed = Head::parse(&toml::to_string(&head).unwrap()).unwrap();
    assert_eq!((listed.version, listed.parts.len()), (file().version, 2));
}

#[test]
fn only_the_listed_parts_in_their_order_are_taken() {
    let (head, texts) = in_parts(file());
    let places = |content: &str| -> Vec<String> {
        let wrong = Directory::parse(content, &digest).unwrap_err();
        wrong.into_iter().map(|one| one.field).collect()
    };
    assert_eq!(places(&joined(&head, &texts[..1])), ["part"]);
    let more = [texts.clone(), vec![String::new()]].concat();
    assert_eq!(places(&joined(&head, &more)), ["part"]);
    let swapped: Vec<_> = texts.iter().rev().cloned().collect();
    assert_eq!(places(&joined(&head, &swapped)), ["part[0]", "part[1]"]);
    let changed = texts[1].replacen("HANDOVER", "HANDOVES", 1);
    let changed = [texts[0].clone(), changed];
    assert_eq!(places(&joined(&head, &changed)), ["part[1]"]);

    // A mistake in a part is found in that part.
    let mut wrong = file();
    wrong.edges[1].to = "00000000000000000001/main".to_owned();
    let (head, texts) = in_parts(wrong);
    assert_eq!(places(&joined(&head, &texts)), ["part[1].edge[1].to"]);
    let (mut head, texts) = in_parts(file());
    head.parts[0].bytes = DIRECTORY_PART_BYTES_MAX + 1;
    head.parts[1].sha256 = head.parts[0].sha256.clone();
    let expected = ["part[0].bytes", "part[1].sha256"];
    assert_eq!(places(&joined(&head, &texts)), expected);
    head.parts = (0..=DIRECTORY_PARTS_MAX)
        .map(|n| entry(&n.to_string()))
        .collect();
    assert_eq!(places(&joined(&head, &texts)), ["part"]);
}

#[test]
fn a_signature_counts_as_verified_under_the_same_key_over_the_same_octets_only() {
    let known = directory(&file());
    assert!(known.signatures(Some(&known)).is_empty());
    let check = |change: fn(&mut DirectoryFile), expected: usize| {
        let mut changed = file();
        change(&mut changed);
        let left = directory(&changed).signatures(Some(&known));
        assert_eq!(left.len(), expected, "{left:?}");
    };
    check(|file| file.version += 1, 0);
    check(|file| file.edges[0].valid_until_millis += 1, 2);
    check(|file| file.edges[0].from_signature = octets(7, 64), 2);
    check(|file| file.edges.push(edge(4, 1, "HANDOVER")), 2);
    // A new key: the sealing key that its desk signed, and the edge with both its signatures.
    check(|file| file.peers[3].desks[1].signing_key = octets(7, 32), 3);
    check(
        |file| file.peers[0].realms[0].sealing_key_signature = Some(octets(7, 64)),
        1,
    );
}
