//! The directory of the whole country: 342 gemeenten in 35 regions, UWV and five vakbonden, with all their edges.
//!
//! Must never put it in force in another way than an operator does: part by part, at each role's own door.

use crate::backup::{call, create, put_back};
use crate::controllers::{Controllers, directory, directory_text};
use crate::desk::{key_of, request_id};
use crate::house::{DOSSIER, enrol, offer, reason, reason_of, release, today};
use crate::laid::Laid;
use client::Client;
use rules::clock::{Clock as _, Timestamp};
use rules::directory::{DirectoryFile, EdgeFile, PartEntry, PartFile, PeerFile, RealmFile, join};
use rules::hex;
use rules::limits::{DAY_MILLIS, DIRECTORY_PART_BYTES_MAX};
use rules::reason::Reason;
use std::path::Path;
use std::time::Instant;
use vault::digest::sha256;
use vault::keyfile::{KeyFile, Role, SecretName};
use vault::sealing::OpeningKey;
use vault::sign::{Paper, SigningKey};
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{GetDirectoryRequest, ImportDirectoryRequest};

const GEMEENTEN: usize = 342;
const REGIONS: usize = 35;
const VAKBONDEN: usize = 5;
/// The desk that signs for each.
const DESK: &str = "loket";

/// An organisation that can sign.
struct Signer {
    party: String,
    desk: String,
    key: SigningKey,
}

/// A fresh organisation with one realm and one desk.
fn organisation(number: usize, kind: &str, until: Timestamp) -> (PeerFile, Signer) {
    let keys = KeyFile::generate(Role::Desk);
    let secret = |name| keys.require(name).unwrap();
    let key = SigningKey::from_seed(secret(SecretName::SigningSeed));
    let sealing = OpeningKey::from_seed(secret(SecretName::OpeningSeed)).public();
    let oin = format!("00000099{:09}000", 100_000 + number);
    let mut realm = RealmFile {
        name: "main".to_owned(),
        epoch: 1,
        context: 1,
        sealing_key: Some(hex::encode(sealing.bytes())),
        sealing_key_valid_until_millis: Some(until.millis()),
        sealing_key_signed_by: Some(DESK.to_owned()),
        ..RealmFile::default()
    };
    let bytes = realm.signed_bytes(&oin).unwrap();
    let signature = key.sign(Paper::SealingKey, &bytes);
    realm.sealing_key_signature = Some(hex::encode(signature.bytes()));
    let desk = rules::directory::DeskFile {
        name: DESK.to_owned(),
        realm: "main".to_owned(),
        spki_sha256: hex::encode(&sha256(oin.as_bytes())),
        signing_key: hex::encode(key.public().bytes()),
        rights: vec!["represent".to_owned()],
        ..rules::directory::DeskFile::default()
    };
    let signer = Signer {
        party: format!("{oin}/main"),
        desk: DESK.to_owned(),
        key,
    };
    let peer = PeerFile {
        oin,
        name: format!("Organisatie {number}"),
        kind: kind.to_owned(),
        realms: vec![realm],
        desks: vec![desk],
    };
    (peer, signer)
}

fn edge(from: &Signer, to: &Signer, purpose: &str, now: Timestamp) -> EdgeFile {
    let mut edge = EdgeFile {
        from: from.party.clone(),
        to: to.party.clone(),
        purpose: purpose.to_owned(),
        valid_from_millis: now.plus_millis(-DAY_MILLIS).millis(),
        valid_until_millis: now.plus_millis(30 * DAY_MILLIS).millis(),
        from_desk: from.desk.clone(),
        to_desk: to.desk.clone(),
        ..EdgeFile::default()
    };
    let bytes = edge.signed_bytes();
    let sign = |signer: &Signer| hex::encode(signer.key.sign(Paper::Edge, &bytes).bytes());
    edge.from_signature = sign(from);
    edge.to_signature = sign(to);
    edge
}

/// The country: what the sandbox has stands in the head, each region in a part of its own.
struct Country {
    head: DirectoryFile,
    parts: Vec<PartFile>,
    controllers: Controllers,
}

impl Country {
    fn of(laid: &Laid) -> Self {
        let now = gateway::clock::SystemClock.now();
        let until = now.plus_millis(30 * DAY_MILLIS);
        let mut head = directory(laid);
        let uwv = laid.identity("uwv");
        let uwv = Signer {
            party: uwv.party(),
            desk: uwv.desk.clone(),
            key: key_of(&uwv),
        };
        let mut everywhere = vec![uwv];
        for number in 0..VAKBONDEN {
            let (peer, signer) = organisation(number, "VAKBOND", until);
            head.peers.push(peer);
            everywhere.push(signer);
        }
        let mut regions: Vec<(PartFile, Vec<Signer>)> = Vec::new();
        regions.resize_with(REGIONS, Default::default);
        for number in 0..GEMEENTEN {
            let (part, signers) = &mut regions[number % REGIONS];
            let (peer, signer) = organisation(1_000 + number, "GEMEENTE", until);
            part.peers.push(peer);
            for (place, one) in everywhere.iter().enumerate() {
                part.edges.push(edge(one, &signer, "HANDOVER", now));
                part.edges.push(edge(&signer, one, "HANDOVER", now));
                if place > 0 {
                    part.edges.push(edge(one, &signer, "TRIAGE", now));
                }
            }
            for other in signers.iter() {
                for purpose in ["HANDOVER", "NAZORG"] {
                    part.edges.push(edge(other, &signer, purpose, now));
                    part.edges.push(edge(&signer, other, purpose, now));
                }
            }
            signers.push(signer);
        }
        Self {
            head,
            parts: regions.into_iter().map(|(part, _)| part).collect(),
            controllers: Controllers::of(laid),
        }
    }

    /// Head and parts of the next version, as octets.
    fn next(&mut self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let texts = self.parts.iter().map(|part| toml::to_string(part).unwrap());
        let texts: Vec<_> = texts.map(String::into_bytes).collect();
        let entries = texts.iter().map(|text| PartEntry {
            sha256: hex::encode(&sha256(text)),
            bytes: text.len(),
        });
        self.head.parts = entries.collect();
        self.head.version += 1;
        self.head.issued_at_millis = gateway::clock::SystemClock.now().millis();
        (directory_text(&self.head).into_bytes(), texts)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_country_is_one_directory() {
    let mut laid = Laid::open().await;
    let begun = Instant::now();
    let mut country = Country::of(&laid);
    let edges: usize = country.parts.iter().map(|part| part.edges.len()).sum();
    assert!(edges >= 11_500, "{edges} edges");
    let (head, parts) = country.next();
    let signatures = country.controllers.sign_directory(&head);
    let content = join(&head, parts.iter().map(Vec::as_slice));
    let largest = parts.iter().map(Vec::len).max().unwrap();
    assert!(largest <= DIRECTORY_PART_BYTES_MAX, "{largest}");
    println!(
        "{edges} edges, {} octets, head {}, largest part {largest}; made in {:?}",
        content.len(),
        head.len(),
        begun.elapsed()
    );

    let backup = laid.beside("backup");
    assert_eq!(create(&laid, "broker", &backup).await.code, 0);

    // At every role's own door, by the same words.
    for name in ["broker", "holder-1", "holder-2", "portal"] {
        let mut operator = laid.identity("operator");
        laid.connection(name)
            .address()
            .clone_into(&mut operator.broker_address);
        let client = operator.client_at(&laid.beside(name)).unwrap();
        let begun = Instant::now();
        let (file, signed) = (content.clone(), signatures.clone());
        let version = client.import_directory(file, signed).await.unwrap();
        println!(
            "{name}: in force after {:?}, {}",
            begun.elapsed(),
            laid.memory(name)
        );
        assert_eq!(version, 2, "{name}");
    }
    let uwv = laid.identity("uwv").client().unwrap();
    let begun = Instant::now();
    let copy = uwv.refresh_directory().await.unwrap();
    uwv.open_context().await.unwrap();
    println!("client: taken over after {:?}", begun.elapsed());
    assert_eq!(copy.directory().version(), 2);
    assert!(copy.directory().edges().count() > edges);

    hand_over(&laid, &uwv).await;
    one_gemeente_changes(&laid, &mut country).await;
    let begun = Instant::now();
    let copy = uwv.refresh_directory().await.unwrap();
    println!(
        "client: one gemeente taken over after {:?}",
        begun.elapsed()
    );
    assert_eq!(copy.directory().version(), 3);

    // What was kept is in force after a restart.
    laid.kill("broker");
    let begun = Instant::now();
    laid.start("broker").await;
    println!("broker: serves again after {:?}", begun.elapsed());
    assert_eq!(uwv.whoami().await.unwrap().directory_version, 3);
    a_broker_of_before_has_it_again(&mut laid, &uwv, &backup).await;
}

/// A handover on what is in force.
async fn hand_over(laid: &Laid, uwv: &Client) {
    let to = laid.identity("neutraal");
    let desk = laid.client("neutraal").await;
    let who = enrol(uwv, "ww-1", 51).await;
    let handover = offer(uwv, &who, &to).await;
    desk.accept(&handover).await.unwrap();
    release(uwv, &handover).await.unwrap();
    let fetched = desk.fetch(&handover).await.unwrap();
    assert_eq!(fetched.fields.len(), DOSSIER.len());
    desk.complete(&handover, &today()).await.unwrap();
}

/// A broker that is put back from a backup of before has it from the first desk that comes, part by part.
async fn a_broker_of_before_has_it_again(laid: &mut Laid, uwv: &Client, backup: &Path) {
    laid.kill("portal");
    put_back(laid, backup).await;
    assert_eq!(uwv.whoami().await.unwrap().directory_version, 1);
    let begun = Instant::now();
    assert_eq!(reason(call(uwv).await), Reason::Restoring);
    println!("broker: has it again after {:?}", begun.elapsed());
    assert_eq!(uwv.whoami().await.unwrap().directory_version, 3);
}

/// Only the part of that gemeente has to come, and nothing is in force before it has.
async fn one_gemeente_changes(laid: &Laid, country: &mut Country) {
    let place = 7;
    "Gemeente met een nieuwe naam".clone_into(&mut country.parts[place].peers[0].name);
    let (head, parts) = country.next();
    let mut request = ImportDirectoryRequest {
        request_id: request_id(),
        signatures: country.controllers.sign_directory(&head),
        directory_toml: head,
        parts: Vec::new(),
    };
    let connection = laid.identity("operator").connect().unwrap();
    let mut service = DirectoryServiceClient::new(connection.channel())
        .max_decoding_message_size(rules::limits::MESSAGE_BYTES_MAX);
    let answer = service
        .import_directory(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.version, answer.missing_parts.len()), (2, 1));
    let digest = answer.missing_parts[0].clone();
    assert_eq!(digest, sha256(&parts[place]));

    request.parts = vec![b"version = 3\n".to_vec()];
    let status = service.import_directory(request.clone()).await.unwrap_err();
    assert_eq!(reason_of(&status), "DIRECTORY_INVALID");
    let question = GetDirectoryRequest {
        known_version: 2,
        part_sha256: Vec::new(),
    };
    let shown = service
        .get_directory(question.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((shown.version, shown.directory_toml.len()), (2, 0));

    let begun = Instant::now();
    request.parts = vec![parts[place].clone()];
    let octets = request.directory_toml.len() + parts[place].len();
    let answer = service
        .import_directory(request)
        .await
        .unwrap()
        .into_inner();
    println!(
        "one gemeente: {octets} octets, in force after {:?}",
        begun.elapsed()
    );
    assert_eq!((answer.version, answer.missing_parts.len()), (3, 0));
    let shown = service
        .get_directory(GetDirectoryRequest {
            part_sha256: vec![digest, vec![1; 32]],
            ..question
        })
        .await;
    assert_eq!(shown.unwrap().into_inner().parts, [parts[place].clone()]);
}
