//! Past the end that the controllers gave the directory nothing is shared or converted; stopping, objecting, answering and
//! taking in a newer one go on. And a key holder with an older directory than the one before it judges nothing.
//!
//! Must never sleep past an end longer than the clock needs.

use crate::controllers::{Controllers, directory, directory_text};
use crate::house::{DOSSIER, bsn, enrol, offer, preparation, reason, release, values};
use crate::laid::Laid;
use client::{Client, ClientError, DirectoryError};
use gateway::clock::SystemClock;
use rules::clock::Clock as _;
use rules::handover::{DeclineCode, InboxKind};
use rules::id::HandoverId;
use rules::notice::AnswerCode;
use rules::reason::Reason;
use std::time::Duration;
use wire::handover::v1::ObjectionDecision;

/// How long a directory that is about to end still holds: long enough to be taken in everywhere.
const HOLDS: Duration = Duration::from_secs(4);

/// Signs a directory of this version that holds so long from now on, and imports it at these doors.
async fn import(laid: &Laid, version: u64, holds: Duration, doors: &[&str]) {
    let mut newer = directory(laid);
    newer.version = version;
    newer.issued_at_millis = SystemClock.now().millis() - 1_000;
    let holds = i64::try_from(holds.as_millis()).unwrap();
    newer.valid_until_millis = SystemClock.now().plus_millis(holds).millis();
    let text = directory_text(&newer).into_bytes();
    let signatures = Controllers::of(laid).sign_directory(&text);
    for name in doors {
        let mut operator = laid.identity("operator");
        let door = laid.connection(name);
        door.address().clone_into(&mut operator.broker_address);
        let store = laid.beside(&format!("{name}-{version}"));
        let client = operator.client_at(&store).unwrap();
        let (text, signatures) = (text.clone(), signatures.clone());
        let imported = client.import_directory(text, signatures).await.unwrap();
        assert_eq!(u64::try_from(imported).unwrap(), version, "{name}");
    }
}

/// Declining, objecting, deciding and answering.
async fn what_ends_or_answers_goes_on(
    laid: &Laid,
    desk: &Client,
    (declined, objected): (&HandoverId, &HandoverId),
) {
    let portal = laid.identity("portal").client().unwrap();
    let fg = laid.identity("uwv-fg").client().unwrap();
    desk.decline(declined, DeclineCode::NoCapacity, None)
        .await
        .unwrap();
    portal.object(objected).await.unwrap();
    fg.decide_objection(objected, ObjectionDecision::Uphold)
        .await
        .unwrap();
    let mut inbox = desk.inbox(Some(String::new()));
    let mut notice = None;
    while let Some(event) = inbox.next().await.unwrap() {
        if event.kind == InboxKind::Notice {
            notice = event.notice;
        }
    }
    let (notice, _) = notice.expect("the desk read the summary, so it gets a notice");
    desk.answer_notice(&notice, AnswerCode::Erased, None)
        .await
        .unwrap();
}

/// Past the end nothing is asked for that would be shared.
#[track_caller]
fn refuses_by_itself<T: std::fmt::Debug>(answer: Result<T, ClientError>) {
    let ended = matches!(
        answer,
        Err(ClientError::Directory(DirectoryError::Ended { .. }))
    );
    assert!(ended, "{answer:?}");
}

const ALL: &[&str] = &["broker", "holder-1", "holder-2", "portal"];

#[tokio::test(flavor = "multi_thread")]
async fn past_the_directorys_end_what_stops_works_and_what_shares_does_not() {
    let laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let to = laid.identity("neutraal");
    let mut handovers = Vec::new();
    for number in 61..65 {
        let who = enrol(&uwv, &format!("ww-{number}"), number).await;
        handovers.push((who.clone(), offer(&uwv, &who, &to).await));
    }
    let [(who, accepted), (_, released), (_, declined), (_, objected)] = &handovers[..] else {
        panic!("four were offered");
    };
    desk.accept(accepted).await.unwrap();
    desk.accept(released).await.unwrap();
    release(&uwv, released).await.unwrap();
    desk.fetch_offer(objected).await.unwrap();

    import(&laid, 2, HOLDS, ALL).await;
    uwv.prepare(who, &preparation(&to, None)).await.unwrap();
    tokio::time::sleep(HOLDS).await;

    // The sender's own copy is the one of before: the gateway and the key holders refuse.
    uwv.show(accepted).await.unwrap();
    let expired = Reason::DirectoryExpired;
    let prepared = uwv.prepare(who, &preparation(&to, None)).await;
    assert_eq!(reason(prepared), expired);
    assert_eq!(
        reason(uwv.release(accepted, &values(DOSSIER)).await),
        expired
    );
    assert_eq!(reason(desk.fetch(released).await), expired);
    assert_eq!(reason(desk.fetch_offer(declined).await), expired);
    assert_eq!(reason(desk.accept(declined).await), expired);
    // With the newest copy it refuses by itself.
    assert_eq!(
        uwv.refresh_directory().await.unwrap().directory().version(),
        2
    );
    refuses_by_itself(uwv.prepare(who, &preparation(&to, None)).await);
    desk.refresh_directory().await.unwrap();
    let told = "the directory has ended";
    let silent = |name: &&&str| !laid.log(name).contains(told);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let silent: Vec<_> = ALL.iter().filter(silent).collect();
    assert!(silent.is_empty(), "at the moment itself: {silent:?}");
    refuses_by_itself(desk.fetch_offer(declined).await);
    refuses_by_itself(desk.fetch(released).await);
    refuses_by_itself(desk.send_report(released, &values(DOSSIER)).await);
    refuses_by_itself(uwv.fetch_report(released).await);
    refuses_by_itself(uwv.reseal(released, &values(DOSSIER)).await);

    what_ends_or_answers_goes_on(&laid, &desk, (declined, objected)).await;
    let (code, found) = crate::doctor::examine(&laid, "broker").await;
    assert_eq!((code, found["directory end"].0.as_str()), (1, "fault"));

    import(&laid, 3, Duration::from_secs(3_600), ALL).await;
    uwv.refresh_directory().await.unwrap();
    uwv.prepare(who, &preparation(&to, None)).await.unwrap();
    desk.fetch(released).await.unwrap();
    let (code, found) = crate::doctor::examine(&laid, "holder-1").await;
    assert_eq!((code, found["directory end"].0.as_str()), (0, "warning"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_starts_on_a_directory_near_its_end_says_so() {
    let mut laid = Laid::open().await;
    import(
        &laid,
        2,
        Duration::from_secs(3_600),
        &["broker", "holder-1"],
    )
    .await;
    for name in ["broker", "holder-1"] {
        laid.kill(name);
        laid.start(name).await;
        let log = laid.log(name);
        assert!(log.contains("the directory ends soon"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holder_that_is_behind_says_so_until_it_has_the_newer_one() {
    let laid = Laid::open().await;
    let uwv = laid.client("uwv").await;
    let to = laid.identity("neutraal");
    let who = enrol(&uwv, "ww-1", 65).await;
    let day = Duration::from_secs(24 * 3_600);
    let once = uwv.once();
    let portal = laid.client("portal").await;
    // The last one first: nobody is behind the one before.
    import(&laid, 2, day, &["holder-2"]).await;
    once.prepare(&who, &preparation(&to, None)).await.unwrap();
    import(&laid, 3, day, &["holder-1"]).await;
    let refused = once.prepare(&who, &preparation(&to, None)).await;
    assert_eq!(reason(refused), Reason::DirectoryBehind);
    assert!(
        laid.log("holder-2")
            .contains("this holder's directory is older")
    );
    // Nobody who comes to look, to say no or to stop waits for that.
    portal.login(&bsn(65)).await.unwrap();
    import(&laid, 3, day, &["holder-2"]).await;
    for resumed in uwv.resume().await.unwrap() {
        resumed.outcome.unwrap();
    }
    once.prepare(&who, &preparation(&to, None)).await.unwrap();
}
