//! Logging in, and what a person chooses.

use super::world::{ANNA, BRAM, GEMEENTE, START, UWV, VAKBOND, World, granted, refused};
use crate::{Identities, Pages, Remedy, SESSION_MILLIS};
use papers::author::{Choice, Narrowing};
use rules::calendar::Day;
use rules::clock::Timestamp;
use rules::consent::{ConsentState, Language};
use rules::id::HandoverId;
use rules::limits::{DAY_MILLIS, PORTAL_LINE_DAYS};
use rules::reason::Reason;

#[tokio::test]
async fn only_test_persons_log_in_and_only_in_a_sandbox() {
    let world = World::new().await;
    for wrong in [
        "",
        "test:",
        "test:123456782",
        "test:999990018",
        "999990019",
        "test:9999900190",
        "test:99999001",
        "TEST:999990019",
    ] {
        refused(world.portal.login(wrong).await, Reason::LoginRefused);
    }
    let begun = granted(world.portal.login("test:999990019").await.unwrap());
    assert_eq!(begun.until, Timestamp::from_millis(START + SESSION_MILLIS));
    let outside = World::trusting(Identities::Nobody).await;
    refused(
        outside.portal.login("test:999990019").await,
        Reason::LoginRefused,
    );
}

#[tokio::test]
async fn a_session_ends() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    world.pass(SESSION_MILLIS - 1);
    world.look(&session).await;
    world.pass(1);
    let late = world
        .portal
        .overview(&session, &Pages::first(Language::Nl))
        .await;
    refused(late, Reason::LoginRefused);
    let stranger = world
        .portal
        .overview(&[7; 32], &Pages::first(Language::Nl))
        .await;
    refused(stranger, Reason::LoginRefused);
    world.portal.end_old_sessions();
}

#[tokio::test]
async fn a_consent_is_given_narrowed_and_stopped() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let request = world.request();
    let given = world.portal.give(&session, request, world.choice()).await;
    let given = granted(given.unwrap());
    assert!(given.stop_code.is_some());
    assert_eq!(
        world.state_at_broker(given.record),
        Some(ConsentState::Given)
    );
    let overview = world.look(&session).await;
    assert_eq!(overview.consents.len(), 1);
    assert_eq!(overview.consents[0].state, ConsentState::Given);
    assert_eq!(overview.lines.len(), 1);
    assert!(overview.lines[0].sentence.contains("Vakbond De Schakel"));
    assert_eq!(overview.lines[0].remedy, Some(Remedy::Stop(given.record)));

    world.pass(1_000);
    let last: Day = "2026-09-30".parse().unwrap();
    let narrowing = Narrowing {
        record: given.record,
        categories: [("WORK").parse().unwrap()].into(),
        valid_until: last.end().unwrap(),
    };
    let narrowed = world.portal.narrow(&session, world.request(), narrowing);
    granted(narrowed.await.unwrap());
    let overview = world.look(&session).await;
    assert_eq!(overview.consents[0].version, 2);
    assert_eq!(overview.consents[0].categories.len(), 1);
    let told = &overview.lines[0].sentence;
    assert!(
        told.contains("up to and including 30 September 2026"),
        "{told}"
    );
    let wider = Narrowing {
        record: given.record,
        categories: world.choice().categories,
        valid_until: Timestamp::from_millis(START + 10 * DAY_MILLIS),
    };
    let wider = world.portal.narrow(&session, world.request(), wider).await;
    refused(wider, Reason::ConsentWidened);

    world.pass(1_000);
    let stopped = world.portal.stop(&session, world.request(), given.record);
    let stopped = granted(stopped.await.unwrap());
    let overview = world.look(&session).await;
    assert_eq!(overview.consents[0].state, ConsentState::Withdrawn);
    assert_eq!(overview.lines.len(), 3);
    assert!(overview.lines.iter().all(|line| line.remedy.is_none()));
    // Once more, in another session, as whoever did not hear of the first time: the same paper, and no other line.
    let session = world.login(ANNA).await;
    let again = world
        .portal
        .stop(&session, world.request(), given.record)
        .await;
    assert_eq!(granted(again.unwrap()), stopped);
    assert_eq!(world.look(&session).await.lines.len(), 3);
}

#[tokio::test]
async fn a_line_is_forgotten_when_its_term_is_over_and_not_before() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let given = world.portal.give(&session, world.request(), world.choice());
    granted(given.await.unwrap());
    world.pass(PORTAL_LINE_DAYS * DAY_MILLIS);
    assert_eq!(world.portal.erase_old_lines().await.unwrap(), 0);
    let session = world.login(ANNA).await;
    assert_eq!(world.look(&session).await.lines.len(), 1);
    world.pass(1);
    assert_eq!(world.portal.erase_old_lines().await.unwrap(), 1);
    let overview = world.look(&session).await;
    assert!(overview.lines.is_empty() && overview.consents.is_empty());
}

#[tokio::test]
async fn a_person_sees_and_stops_nothing_of_another() {
    let world = World::new().await;
    let (anna, bram) = (world.login(ANNA).await, world.login(BRAM).await);
    let given = world
        .portal
        .give(&anna, world.request(), world.choice())
        .await;
    let record = granted(given.unwrap()).record;
    let overview = world.look(&bram).await;
    assert!(overview.lines.is_empty() && overview.consents.is_empty());
    let stop = world.portal.stop(&bram, world.request(), record).await;
    refused(stop, Reason::NotAvailable);
    let handover = HandoverId::from_slice(record.bytes()).unwrap();
    let object = world.portal.object(&bram, handover, false).await;
    refused(object, Reason::NotAvailable);
}

#[tokio::test]
async fn no_is_recorded_without_consequence() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let choice = Choice {
        categories: [].into(),
        refused: true,
        ..world.choice()
    };
    let given = world.portal.give(&session, world.request(), choice).await;
    let given = granted(given.unwrap());
    assert!(given.stop_code.is_none());
    let overview = world.look(&session).await;
    assert_eq!(overview.consents[0].state, ConsentState::Refused);
    assert_eq!(overview.lines[0].remedy, None);
}

#[tokio::test]
async fn what_the_register_does_not_allow_is_refused_before_anything_is_kept() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let cases = [
        (
            Choice {
                recipient: super::world::main_of(GEMEENTE),
                ..world.choice()
            },
            Reason::BasisMissing,
        ),
        (
            Choice {
                secrecy_waived: false,
                ..world.choice()
            },
            Reason::SecrecyNotWaived,
        ),
        (
            Choice {
                categories: ["BSN".parse().unwrap()].into(),
                ..world.choice()
            },
            Reason::ConsentScopeExceeded,
        ),
        (
            Choice {
                valid_until: Timestamp::from_millis(START + 4_000 * DAY_MILLIS),
                ..world.choice()
            },
            Reason::ConsentTermExceeded,
        ),
    ];
    for (choice, reason) in cases {
        let given = world.portal.give(&session, world.request(), choice).await;
        refused(given, reason);
    }
    assert!(world.look(&session).await.consents.is_empty());
    world.broker.desk.lock().unwrap().refuse = Some(Reason::NoAgreement);
    let given = world
        .portal
        .give(&session, world.request(), world.choice())
        .await;
    refused(given, Reason::NoAgreement);
    assert!(world.look(&session).await.consents.is_empty());
}

#[tokio::test]
async fn a_repeat_is_one_choice_also_when_the_broker_was_away() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let request = world.request();
    world.broker.desk.lock().unwrap().away = 1;
    let first = world.portal.give(&session, request, world.choice()).await;
    assert!(first.is_err_and(|error| error.is_transient()));
    // What may have been registered can be seen, and so be stopped.
    assert_eq!(world.look(&session).await.consents.len(), 1);
    let mut records = Vec::new();
    for _ in 0..2 {
        let given = world.portal.give(&session, request, world.choice()).await;
        records.push(granted(given.unwrap()).record);
    }
    assert_eq!(records[0], records[1]);
    assert_eq!(world.broker.desk.lock().unwrap().registered, 1);
    let overview = world.look(&session).await;
    assert_eq!((overview.consents.len(), overview.lines.len()), (1, 1));
    let other = Choice {
        secrecy_waived: false,
        ..world.choice()
    };
    let other = world.portal.give(&session, request, other).await;
    refused(other, Reason::RequestIdReused);
}

#[tokio::test]
async fn a_new_choice_replaces_the_one_before() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    for _ in 0..2 {
        let given = world.portal.give(&session, world.request(), world.choice());
        granted(given.await.unwrap());
        world.pass(10);
    }
    let consents = world.look(&session).await.consents;
    let states: Vec<_> = consents.iter().map(|consent| consent.state).collect();
    assert_eq!(states, [ConsentState::Given, ConsentState::Superseded]);
    assert_eq!(consents[0].supersedes, Some(consents[1].id));
}

#[tokio::test]
async fn a_code_stops_without_a_session() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let given = world
        .portal
        .give(&session, world.request(), world.choice())
        .await;
    let code = granted(given.unwrap()).stop_code.unwrap();
    granted(world.portal.stop_by_code(&code, "here").await.unwrap());
    let other = rules::consent::StopCode::draw(&vault::chance::SystemChance::new());
    let wrong = world.portal.stop_by_code(&other, "here").await;
    refused(wrong, Reason::NotAvailable);
}

#[tokio::test]
async fn a_link_code_is_for_a_vakbond_only() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    for (oin, expected) in [(VAKBOND, None), (UWV, Some(Reason::NotAvailable))] {
        let made = world
            .portal
            .make_link_code(&session, &oin.parse().unwrap())
            .await;
        match expected {
            Some(reason) => refused(made, reason),
            None => drop(granted(made.unwrap())),
        }
    }
}
