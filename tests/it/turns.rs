//! Turns at the database, counted where they are waited for: an officer who searches without pause keeps a stop, and
//! another desk, waiting for hardly more than one turn, however many searches it has at once.
//!
//! Must never pass because nobody waited: the officer's own searches have to wait for one another.

use crate::consent::{Scene, withdrawal};
use crate::house::{bsn, person};
use crate::laid::Laid;
use rules::id::PeerKind;
use serde_json::Value;
use wire::audit::v1::SearchEntriesRequest;

/// Searches at once: more than there are seats for one organisation on either engine.
const SEARCHES: usize = 48;
const STOPS: usize = 12;
/// One turn of the officer's, and one of each other that may wait as well: the broker's own work, the desk, the portal.
const WAITED_MAX: u64 = 4;

/// For how many turns of others the transactions of one name have waited, by the broker's log.
fn waited(laid: &Laid, transaction: &str) -> Vec<u64> {
    let log = laid.log("broker");
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .map(|line| line["fields"].clone())
        .filter(|fields| {
            fields["message"] == "has its turn" && fields["transaction"] == transaction
        })
        .filter_map(|fields| fields["waited"].as_u64())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_who_searches_without_pause_keeps_nobody_waiting() {
    let mut laid = Laid::lay();
    laid.configure("broker", "level = \"info\"", "level = \"debug\"");
    // More than the door lets one organisation do: what is counted here is what lies behind it.
    let many = format!(
        "searches_per_organisation = {SEARCHES}\nsearches_max = {SEARCHES}\n\
         calls_per_second = 100000\ncalls_burst = 100000\nlisten = "
    );
    laid.configure("broker", "listen = ", &many);
    for name in ["holder-1", "holder-2", "broker"] {
        laid.start(name).await;
    }
    let scene = Scene::on(laid).await;
    let mut given = Vec::new();
    for number in 0..STOPS {
        let (who, number) = (person(&format!("lid-{}", 60 + number)), bsn(60 + number));
        scene.link(&who, &number).await;
        let statement = scene.statement("vakbond", PeerKind::Vakbond, "portal");
        let registered = scene.portal.register_consent(&number, &statement).await;
        registered.unwrap();
        given.push((statement, scene.prepare(&who).await.unwrap()));
    }
    let officer = scene.house.identity("officer").client().unwrap();
    let searching: Vec<_> = (0..SEARCHES)
        .map(|_| {
            let officer = officer.clone();
            tokio::spawn(async move {
                loop {
                    let question = SearchEntriesRequest {
                        purpose: Some("HANDOVER".to_owned()),
                        ..SearchEntriesRequest::default()
                    };
                    drop(officer.search_log(question).await);
                }
            })
        })
        .collect();
    while waited(&scene.house, "SearchEntries").len() < SEARCHES * 2 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (statement, handover) in &given {
        scene.union.show(handover).await.unwrap();
        let stopped = scene
            .portal
            .withdraw_consent(&withdrawal(statement, 2))
            .await;
        assert_eq!(stopped.unwrap().receipt.ended_handovers, 1);
    }
    for search in searching {
        search.abort();
    }
    let most = |name: &str| waited(&scene.house, name).into_iter().max();
    let (stops, shown, searches) = (
        waited(&scene.house, "WithdrawConsent"),
        waited(&scene.house, "GetHandover"),
        most("SearchEntries").unwrap_or_default(),
    );
    println!(
        "turns waited for: stops {stops:?}, another desk {shown:?}; a search up to {searches}"
    );
    assert!(stops.len() >= STOPS && shown.len() >= STOPS);
    assert!(stops.iter().chain(&shown).all(|turns| *turns <= WAITED_MAX));
    assert!(searches > WAITED_MAX, "nobody waited: that proves nothing");
}
