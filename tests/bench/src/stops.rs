//! What a stop takes when nothing else goes on, and while one officer searches the log without pause.
//!
//! Must never count a stop that was refused, and must never let the officer rest between two searches.

use crate::consent::{LONG_MILLIS, Scene, request_id};
use crate::flow::{closed, open};
use crate::servers::{Sandbox, Site};
use crate::table::Table;
use rules::consent::StopCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wire::audit::v1::SearchEntriesRequest;
use wire::portal::v1::StopConsentRequest;

/// Stops a second, of either kind.
const RATE: u32 = 20;
/// Milliseconds that the design allows a stop's p99, also under the worst that one partner can do.
const P99_MILLIS_MAX: f64 = 50.0;
/// Members that are made at the same time.
const MEMBERS_AT_ONCE: usize = 8;
/// The first and the last moment that a search can name: the years 1 and 9999.
const EVER_MILLIS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_000);

/// A member who has agreed: by either of the two it can be stopped.
struct Member {
    session: Vec<u8>,
    record_id: Vec<u8>,
    code: StopCode,
}

/// Members who have agreed.
async fn members(scene: &Arc<Scene>, name: &'static str, count: usize) -> Arc<Vec<Member>> {
    let list = Arc::new(Mutex::new(Vec::with_capacity(count)));
    let (asking, made) = (Arc::clone(scene), Arc::clone(&list));
    closed(count, MEMBERS_AT_ONCE, move |number| {
        let (scene, list) = (Arc::clone(&asking), Arc::clone(&made));
        async move {
            let (_, session) = scene.member(&format!("{name}-{number}")).await;
            let (record_id, code) = scene.choose(&session, Some(LONG_MILLIS)).await;
            let code = code.parse().expect("a stop code");
            let member = Member {
                session,
                record_id,
                code,
            };
            list.lock().expect("no panic").push(member);
        }
    })
    .await;
    let members = std::mem::take(&mut *list.lock().expect("no panic"));
    Arc::new(members)
}

/// One search after the other for what is nowhere, in all time.
async fn search(scene: &Scene, searches: &AtomicUsize) {
    loop {
        let search = SearchEntriesRequest {
            handover_id: Some(request_id()),
            from_millis: Some(EVER_MILLIS.0),
            until_millis: Some(EVER_MILLIS.1),
            ..SearchEntriesRequest::default()
        };
        // Where a search is bounded it may be refused; it has taken its turn all the same.
        drop(scene.officer.search_log(search).await);
        searches.fetch_add(1, Ordering::Relaxed);
    }
}

/// Measures so many stops of each kind, calm and beside the officer, and prints.
pub(crate) async fn measure(site: &Site, stops: usize, table: &mut Table) {
    let sandbox = site.start("stops").await;
    let scene = Arc::new(Scene::open(&sandbox.folder, &sandbox.stores).await);
    for (name, is_searched) in [("calm", false), ("searched", true)] {
        let members = members(&scene, name, 2 * stops).await;
        let meanwhile = if is_searched {
            "while one officer searches the log without pause"
        } else {
            "while nothing else goes on"
        };
        table.heading(&format!(
            "{}: {stops} stops of each kind, {RATE} a second each, {meanwhile} (latency from the scheduled moment)",
            site.engine
        ));
        let searches = Arc::new(AtomicUsize::new(0));
        let searching = is_searched.then(|| {
            let (scene, searches) = (Arc::clone(&scene), Arc::clone(&searches));
            tokio::spawn(async move { search(&scene, &searches).await })
        });
        let at_the_portal = open(RATE, stops, |number| {
            let (scene, members) = (Arc::clone(&scene), Arc::clone(&members));
            async move { stop_at_the_portal(&scene, &members[number]).await }
        });
        let at_a_desk = open(RATE, stops, |number| {
            let (scene, members) = (Arc::clone(&scene), Arc::clone(&members));
            async move { stop_at_a_desk(&scene, &members[stops + number]).await }
        });
        let (at_the_portal, at_a_desk) = tokio::join!(at_the_portal, at_a_desk);
        at_the_portal.print("a stop at the portal", Some(P99_MILLIS_MAX), table);
        at_a_desk.print("a stop by code at a desk", Some(P99_MILLIS_MAX), table);
        if let Some(searching) = searching {
            searching.abort();
            let done = searches.load(Ordering::Relaxed) as f64;
            table.number("searches meanwhile", done, "");
        }
    }
    Sandbox::stop(sandbox).await;
}

async fn stop_at_the_portal(scene: &Scene, member: &Member) -> Result<(), String> {
    let request = StopConsentRequest {
        session: member.session.clone(),
        request_id: request_id(),
        record_id: member.record_id.clone(),
    };
    let stopped = scene.portal.clone().stop_consent(request).await;
    stopped.map(drop).map_err(|status| status.to_string())
}

async fn stop_at_a_desk(scene: &Scene, member: &Member) -> Result<(), String> {
    let stopped = scene.union.withdraw_by_code(&member.code, None).await;
    stopped.map(drop).map_err(|error| error.to_string())
}
