//! The door as strangers and turned-away desks meet it: real TLS at the real broker, and what the joint
//! officer finds of it afterwards.
//!
//! Must never take silence for a refusal: an alert, a reason and a log line are looked at one by one.

use crate::authority::{Authority, Issued, Wish};
use crate::controllers::{Controllers, directory, directory_text};
use crate::desk::{Desk, enrol_request, prepare_request, request_id};
use crate::house::{Folder, House, bsn, decisions, enrol, lines, preparation, reason_of};
use crate::laid::{Laid, serves};
use client::{Client, Connection};
use gateway::clock::SystemClock;
use papers::paper::{ContextRequest, Signed};
use rules::clock::Clock as _;
use rules::directory::RevokedFile;
use rules::hex;
use rules::id::{DeskName, EntryId, Oin};
use rustls::AlertDescription;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tonic::Status;
use wire::audit::v1::EntrySummary;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{WhoAmIRequest, WhoAmIResponse};
use wire::handover::v1::WatchInboxRequest;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::pseudonym::v1::OpenContextRequest;
use wire::pseudonym::v1::enrol_result::Outcome;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;

/// An organisation that no directory knows.
const NOBODY: &str = "00000099000000009000";

/// How a peer with this certificate shakes hands with the broker.
fn connector(folder: &Folder, presented: Option<&Issued>) -> tokio_rustls::TlsConnector {
    let broker = folder.identity("uwv");
    let mut roots = rustls::RootCertStore::empty();
    for issuer in CertificateDer::pem_file_iter(&broker.issuer).unwrap() {
        roots.add(issuer.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut configuration = match presented {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = vec![CertificateDer::from_pem_file(&issued.certificate).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsConnector::from(Arc::new(configuration))
}

/// The alert with which the broker ends a handshake. The last word of TLS 1.3 is the server's, so the
/// client learns it when it reads.
async fn alert(folder: &Folder, presented: Option<&Issued>) -> AlertDescription {
    let broker = folder.identity("uwv");
    let connector = connector(folder, presented);
    let stream = TcpStream::connect(&broker.broker_address).await.unwrap();
    let name = ServerName::try_from(broker.broker_server_name).unwrap();
    let fault = match connector.connect(name, stream).await {
        Err(fault) => fault,
        Ok(mut stream) => match stream.read(&mut [0; 1]).await {
            Err(fault) => fault,
            Ok(read) => panic!("the door let it in: {read} octets"),
        },
    };
    let tls = fault.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("no alert: {other:?}"),
    }
}

async fn who_am_i(connection: &Connection) -> Result<WhoAmIResponse, Status> {
    let mut service = DirectoryServiceClient::new(connection.channel());
    let answer = service.who_am_i(WhoAmIRequest {}).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_of_the_issuers_no_handshake() {
    let mut laid = Laid::lay();
    let own = Authority::new("An authority that the group agreed on");
    own.become_trusted(&laid);
    laid.start_all().await;
    let uwv = laid.identity("uwv").oin;
    let wish = || Wish {
        oin: Some(&uwv),
        ..Wish::default()
    };
    let stranger = Authority::new("An authority that nobody knows").issue(&laid, "a", wish());
    // The name of a trusted authority, and another key.
    let forged = Authority::new("An authority that the group agreed on").issue(&laid, "b", wish());
    let ends = Some(2020);
    let expired = own.issue(&laid, "c", Wish { ends, ..wish() });
    let begins = Some(3000);
    let early = own.issue(&laid, "d", Wish { begins, ..wish() });

    let unknown = alert(&laid, Some(&stranger)).await;
    assert_eq!(unknown, AlertDescription::UnknownCA);
    laid.wait_for_log("broker", "certificate of an unknown issuer")
        .await;
    let wrong = alert(&laid, Some(&forged)).await;
    let refused = [AlertDescription::UnknownCA, AlertDescription::DecryptError];
    assert!(refused.contains(&wrong), "{wrong:?}");
    let old = alert(&laid, Some(&expired)).await;
    assert_eq!(old, AlertDescription::CertificateExpired);
    laid.wait_for_log("broker", "certificate expired").await;
    let new = alert(&laid, Some(&early)).await;
    assert_eq!(new, AlertDescription::CertificateExpired);
    laid.wait_for_log("broker", "certificate not valid yet")
        .await;
    let none = alert(&laid, None).await;
    assert_eq!(none, AlertDescription::CertificateRequired);
    laid.wait_for_log("broker", "no client certificate").await;

    for issued in [&stranger, &forged, &expired, &early] {
        let status = who_am_i(&issued.connect(&laid)).await.unwrap_err();
        assert_eq!(reason_of(&status), "", "no answer: {status:?}");
    }
    let lines = lines(&laid.officer(), &uwv).await;
    assert!(lines.is_empty(), "nobody was there: {lines:?}");
}

/// Comes from an address of loopback, sends this first, and shakes hands; whether the broker does.
async fn comes_from(folder: &Folder, last: u8, first: &[u8]) -> bool {
    let broker = folder.identity("uwv");
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, last], 0)))
        .unwrap();
    let address = broker.broker_address.parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    // In two pieces, as a slow proxy sends it.
    let (begin, end) = first.split_at(first.len() / 2);
    stream.write_all(begin).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(end).await.unwrap();
    let name = ServerName::try_from(broker.broker_server_name).unwrap();
    let shaken = connector(folder, None).connect(name, stream).await;
    // Without a certificate the last word is an alert: it comes after a handshake that was understood.
    match shaken {
        Ok(mut stream) => stream.read(&mut [0; 1]).await.is_err(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_proxy_says_from_where_a_connection_comes_and_no_other_may() {
    const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.8 40000 443\r\n";
    let mut laid = Laid::lay();
    laid.configure(
        "broker",
        "listen = ",
        "proxies = [\"127.0.0.2\"]\nlisten = ",
    );
    laid.start_all().await;
    assert!(comes_from(&laid, 2, VERSION_1).await);
    laid.wait_for_log("broker", "192.0.2.7").await;
    let version_2 = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"[..],
        &"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets(),
        &"2001:db8::8".parse::<Ipv6Addr>().unwrap().octets(),
        &[0x9c, 0x40, 0x01, 0xbb],
    ]
    .concat();
    assert!(comes_from(&laid, 2, &version_2).await);
    // A proxy's own check names nobody; a proxy that says nothing, or nonsense, is not let in.
    assert!(comes_from(&laid, 2, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0").await);
    assert!(!comes_from(&laid, 2, b"").await);
    assert!(!comes_from(&laid, 2, b"PROXY nonsense\r\n").await);
    assert!(comes_from(&laid, 1, b"").await);
    assert!(
        !comes_from(&laid, 1, VERSION_1).await,
        "who is not listed only spoils its handshake"
    );
    assert!(!comes_from(&laid, 3, VERSION_1).await);
}

/// The lines of those who were turned away, oldest first, with the fingerprint that each names.
async fn turned_away(officer: &Client, oin: &str) -> Vec<(EntrySummary, String)> {
    let mut found = Vec::new();
    for line in lines(officer, oin).await.into_iter().rev() {
        if line.action != "TurnAway" {
            continue;
        }
        let id = EntryId::from_slice(&line.entry_id).unwrap();
        let entry = officer.show_entry(&id).await.unwrap().open_json;
        let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        let attributes = &entry["attributes"];
        if !attributes["handover.stranger"].is_null() {
            assert_eq!(attributes["handover.stranger"], oin);
        }
        let fingerprint = attributes["handover.stranger_certificate"].as_str();
        found.push((line, fingerprint.unwrap().to_owned()));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_certificate_alone_opens_nothing_and_the_officer_sees_who_tried() {
    let mut laid = Laid::lay();
    let own = Authority::new("An authority that the group agreed on");
    own.become_trusted(&laid);
    laid.start_all().await;
    let (uwv, town) = (laid.identity("uwv"), laid.identity("regio").oin);
    let uwv_key = std::fs::read_to_string(&uwv.key).unwrap();
    let issue = |name: &str, oin, key_pem| {
        let wish = Wish {
            oin,
            key_pem,
            ..Wish::default()
        };
        own.issue(&laid, name, wish)
    };
    // Who tries, the reason, and the organisation under which the officer finds the line: the
    // broker's own when the certificate names nobody.
    let broker = "00000099000000010000";
    let cases = [
        (issue("a", Some(NOBODY), None), "OIN_UNKNOWN", NOBODY),
        (issue("b", Some(&uwv.oin), None), "DESK_UNKNOWN", &uwv.oin),
        // A registered key, in a certificate of another organisation that is registered too.
        (
            issue("c", Some(&town), Some(uwv_key)),
            "DESK_UNKNOWN",
            &town,
        ),
        (issue("d", None, None), "OIN_UNKNOWN", broker),
    ];
    let officer = laid.officer();
    for (issued, reason, oin) in &cases {
        let own = hex::encode(&issued.spki_sha256);
        // One answer on each connection.
        assert!(serves(&issued.connect(&laid)).await, "a probe is no desk");
        let found = turned_away(&officer, oin).await;
        assert!(found.iter().all(|(_, key)| *key != own), "it left a line");
        let status = who_am_i(&issued.connect(&laid)).await.unwrap_err();
        assert_eq!(reason_of(&status), *reason);
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        let found = turned_away(&officer, oin).await;
        assert!(!found.is_empty(), "{reason} has its line under {oin}");
        for (line, fingerprint) in &found {
            assert_eq!(line.code, *reason);
            assert_eq!(line.decision, "refused");
            assert_eq!(*fingerprint, own);
        }
    }
    // The registered key in a certificate of its own organisation, from another issuer of the group.
    let key_pem = Some(std::fs::read_to_string(&uwv.key).unwrap());
    let renewed = issue("e", Some(&uwv.oin), key_pem);
    let me = who_am_i(&renewed.connect(&laid)).await.unwrap();
    assert_eq!((me.oin, me.desk), (uwv.oin, uwv.desk));
}

/// An address that leads to `to`, and how many connections went over it.
async fn counted(to: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::SeqCst);
            let mut onward = TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut from, &mut onward).await);
            });
        }
    });
    (address, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_revoked_loses_its_next_call_and_its_stream_not_its_next_connection() {
    let house = House::start().await;
    let mut uwv = house.identity("uwv");
    let (address, connections) = counted(uwv.broker_address.clone()).await;
    uwv.broker_address = address;
    let connection = uwv.connect().unwrap();
    let me = who_am_i(&connection).await.unwrap();
    assert_eq!(me.desk, uwv.desk);
    let mut handovers = HandoverServiceClient::new(connection.channel());
    let question = WatchInboxRequest::default();
    let mut stream = handovers.watch_inbox(question).await.unwrap().into_inner();

    let mut newer = directory(&house);
    newer.version += 1;
    newer.issued_at_millis = SystemClock.now().millis();
    let peer = newer.peers.iter().find(|peer| peer.oin == uwv.oin).unwrap();
    let desk = peer.desks.iter().find(|desk| desk.name == uwv.desk);
    newer.revoked.push(RevokedFile {
        spki_sha256: desk.unwrap().spki_sha256.clone(),
        at_millis: newer.issued_at_millis,
    });
    let text = directory_text(&newer).into_bytes();
    let signatures = Controllers::of(&house).sign_directory(&text);
    let operator = house.identity("operator").client().unwrap();
    let version = operator.import_directory(text, signatures).await.unwrap();
    assert_eq!(version, 2);

    let status = who_am_i(&connection).await.unwrap_err();
    assert_eq!(reason_of(&status), "CERTIFICATE_REVOKED");
    let ended = stream.message().await.unwrap_err();
    assert_eq!(reason_of(&ended), "CERTIFICATE_REVOKED");
    let lines = decisions(&house.officer(), &uwv.oin, "WatchInbox").await;
    let expected = ("refused".to_owned(), "CERTIFICATE_REVOKED".to_owned());
    assert_eq!(
        lines.last(),
        Some(&expected),
        "the end of the watch has its line"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 1, "one and the same");
    let found = turned_away(&house.officer(), &uwv.oin).await;
    assert!(!found.is_empty(), "the officer sees the call that was lost");
    assert!(
        found
            .iter()
            .all(|(line, _)| line.code == "CERTIFICATE_REVOKED")
    );
    // The organisation's other desks go on.
    let other = house.identity("uwv-fg").connect().unwrap();
    who_am_i(&other).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_for_another() {
    let house = House::start().await;
    let uwv = Desk::of(&house, "uwv").await;
    let other: Oin = house.identity("regio").oin.parse().unwrap();
    let desk: DeskName = "fg".parse().unwrap();
    let who = enrol(&uwv.client, "ww-1", 22).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let mut handovers = HandoverServiceClient::new(uwv.connection.channel());
    let mut pseudonyms = PseudonymServiceClient::new(uwv.connection.channel());

    let (mut order, ciphertext) = uwv.prepare_order(&who, &asked).await;
    order.issuer = other.clone();
    let request = prepare_request(&asked, uwv.signed(order.clone()), &ciphertext);
    let status = handovers.prepare(request).await.unwrap_err();
    assert_eq!(reason_of(&status), "ACTING_FOR_ANOTHER", "an organisation");
    order.issuer = uwv.client.party().oin.clone();
    order.desk = desk.clone();
    let request = prepare_request(&asked, uwv.signed(order), &ciphertext);
    let status = handovers.prepare(request).await.unwrap_err();
    assert_eq!(reason_of(&status), "ACTING_FOR_ANOTHER", "a desk");

    let (mut order, ciphertext) = uwv.enrolment(&bsn(22)).await;
    order.issuer = other.clone();
    let item = (uwv.signed(order), ciphertext.bytes().to_vec());
    let answer = pseudonyms.enrol(enrol_request(vec![item])).await.unwrap();
    let outcome = answer.into_inner().results.remove(0).outcome;
    let refused = Outcome::RefusedReason("ACTING_FOR_ANOTHER".to_owned());
    assert_eq!(outcome, Some(refused));

    let own = uwv.client.directory().await.unwrap();
    let theirs = format!("{other}/main").parse().unwrap();
    for (party, owner, desk) in [
        (&theirs, &other, &uwv.identity.desk.parse().unwrap()),
        (&theirs, &uwv.client.party().oin, &desk),
        (uwv.client.party(), &uwv.client.party().oin, &desk),
    ] {
        let request = ContextRequest {
            context: own.context(party).unwrap(),
            owner: owner.clone(),
            desk: desk.clone(),
            sealing_key_sha256: [1; 32],
            time: SystemClock.now(),
        };
        let request = OpenContextRequest {
            request_id: request_id(),
            context_request: Some((&Signed::sign(request, &uwv.key)).into()),
        };
        let status = pseudonyms.open_context(request).await.unwrap_err();
        assert_eq!(reason_of(&status), "ACTING_FOR_ANOTHER", "a context");
    }

    let officer = house.officer();
    for (action, times) in [("Prepare", 2), ("OpenContext", 3)] {
        let lines = decisions(&officer, &uwv.identity.oin, action).await;
        let refused = lines
            .iter()
            .filter(|(_, code)| code == "ACTING_FOR_ANOTHER");
        assert_eq!(refused.count(), times, "{action}: {lines:?}");
    }
}
