//! Budgets, one by one, without a connection.
//!
//! Must never wait for time: moments are given.

use super::*;
use std::collections::BTreeSet;

const PATH: &str = "/sluis.handover.v1.HandoverService/Prepare";

fn caller(number: u8, kind: PeerKind) -> Caller {
    let oin = format!("000000990000000{number:02}000");
    Caller {
        party: format!("{oin}/main").parse().unwrap(),
        desk: "desk".parse().unwrap(),
        kind,
        region: None,
        rights: BTreeSet::new(),
        signing_key: [0; 32],
    }
}

fn small() -> Arc<Ledger> {
    Ledger::new(Budgets {
        organisation: Part {
            connections: 2,
            calls: 3,
            unfinished: 1_000,
            unread: 1_000,
            watches: 2,
            searches: 1,
        },
        process: Part {
            connections: 3,
            calls: 5,
            unfinished: 1_500,
            unread: 1_500,
            watches: 3,
            searches: 2,
        },
        calls_per_second: 10,
        calls_burst: 1_000,
    })
}

#[test]
fn one_organisation_gets_its_part_and_no_more_than_all_together() {
    let (ledger, one) = (small(), caller(1, PeerKind::Uwv));
    let other = caller(2, PeerKind::Gemeente);
    let mut held: Vec<_> = (0..3).map(|_| ledger.begin(&one, PATH).unwrap()).collect();
    assert_eq!(ledger.begin(&one, PATH).unwrap_err(), Budget::Calls);
    held.extend((0..2).map(|_| ledger.begin(&other, PATH).unwrap()));
    assert_eq!(ledger.begin(&other, PATH).unwrap_err(), Budget::Calls);
    // What the portal stops does not wait for what others hold.
    let portal = caller(3, PeerKind::Portal);
    assert_eq!(ledger.begin(&portal, PATH).unwrap_err(), Budget::Calls);
    for stop in STOPS {
        assert!(ledger.begin(&portal, stop).is_ok(), "{stop}");
        assert!(
            ledger.begin(&one, stop).is_err(),
            "a desk's come out of its part"
        );
    }
    held.clear();
    assert_eq!(ledger.held(), Part::default(), "everything comes back");
    assert!(ledger.begin(&one, PATH).is_ok());
}

#[test]
fn searches_and_watches_have_budgets_of_their_own() {
    let (ledger, one) = (small(), caller(1, PeerKind::Toezicht));
    let search = ledger.begin(&one, SEARCHES[0]).unwrap();
    assert_eq!(
        ledger.begin(&one, SEARCHES[0]).unwrap_err(),
        Budget::Searches
    );
    let watches = [(); 2].map(|()| ledger.begin(&one, WATCHES[0]).unwrap());
    assert!(watches.iter().all(|watch| watch.is_watch()));
    assert_eq!(ledger.begin(&one, WATCHES[0]).unwrap_err(), Budget::Watches);
    assert!(ledger.begin(&one, PATH).is_ok());
    drop(search);
    assert!(ledger.begin(&one, SEARCHES[0]).is_ok());
}

#[test]
fn octets_are_taken_as_they_come_and_given_back_with_the_call() {
    let (ledger, one) = (small(), caller(1, PeerKind::Uwv));
    let call = ledger.begin(&one, PATH).unwrap();
    assert!(call.came_in(1_000).is_ok());
    assert_eq!(call.came_in(1).unwrap_err(), Budget::Unfinished);
    assert_eq!(ledger.begin(&one, PATH).unwrap_err(), Budget::Unfinished);
    let other = ledger.begin(&caller(2, PeerKind::Gemeente), PATH).unwrap();
    assert_eq!(
        other.came_in(501).unwrap_err(),
        Budget::Unfinished,
        "the process's"
    );
    drop(call);
    assert!(other.came_in(501).is_ok());
    let call = ledger.begin(&one, PATH).unwrap();
    call.waits(5_000);
    assert_eq!(ledger.begin(&one, PATH).unwrap_err(), Budget::Unread);
    call.went_on(4_500);
    assert!(ledger.begin(&one, PATH).is_ok());
    drop((call, other));
    assert_eq!(ledger.held(), Part::default());
}

#[test]
fn calls_come_in_bursts_and_then_at_a_rate() {
    let ledger = Ledger::new(Budgets {
        calls_per_second: 20,
        calls_burst: 4,
        ..Budgets::default()
    });
    let one = caller(1, PeerKind::Uwv);
    for _ in 0..4 {
        assert!(ledger.begin(&one, PATH).is_ok());
    }
    assert_eq!(ledger.begin(&one, PATH).unwrap_err(), Budget::Rate);
    assert!(ledger.begin(&caller(2, PeerKind::Uwv), PATH).is_ok());
    let carrier = caller(3, PeerKind::Portal);
    for _ in 0..4 * CARRIER_PARTS {
        assert!(ledger.begin(&carrier, PATH).is_ok());
    }
    assert_eq!(ledger.begin(&carrier, PATH).unwrap_err(), Budget::Rate);
    let broker = caller(4, PeerKind::Broker);
    for _ in 0..100 * CARRIER_PARTS {
        assert!(ledger.begin(&broker, PATH).is_ok());
    }
    let holding = Holding::of(&one, false);
    let soon = Instant::now() + Duration::from_secs(1);
    for _ in 0..4 {
        assert!(ledger.take_token(&holding, soon).is_ok());
    }
    assert!(
        ledger.take_token(&holding, soon).is_err(),
        "no more than a burst"
    );
    let later = soon + Duration::from_millis(51);
    assert!(ledger.take_token(&holding, later).is_ok(), "one in 50 ms");
}

#[test]
fn every_path_that_is_named_is_a_call() {
    let text = String::from_utf8_lossy(wire::DESCRIPTORS);
    for path in [SEARCHES, &WATCHES[..1], STOPS].concat() {
        let (service, call) = path.trim_start_matches('/').split_once('/').unwrap();
        let (_, service) = service.rsplit_once('.').unwrap();
        assert!(text.contains(service) && text.contains(call), "{path}");
    }
}
