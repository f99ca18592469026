//! What comes in by the feed: to whom it is sealed, what is kept of it, and what a block does.

use super::world::{ANNA, BRAM, GEMEENTE, START, UWV, VAKBOND, World, granted, main_of, refused};
use crate::Remedy;
use papers::author::{Author, Choice, Place};
use papers::feed::Told;
use rules::clock::Timestamp;
use rules::consent::{AuthenticationLevel, ConsentState, Statement};
use rules::feed::FeedKind;
use rules::id::{ConsentId, HandoverId};
use rules::reason::Reason;
use vault::chance::SystemChance;

#[tokio::test]
async fn lines_open_for_their_person_only() {
    let world = World::new().await;
    let first = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    let first = Told {
        labels: vec!["persoon.naam".to_owned()],
        basis: ("SUWI_62_1".to_owned(), "Wet SUWI 62(1)".to_owned()),
        ..first
    };
    world.send(&world.introduction(ANNA, first.clone()));
    let later = Told {
        kind: FeedKind::State,
        code: "OFFERED".to_owned(),
        ..first.clone()
    };
    world.send(&world.line(later));
    assert_eq!(world.portal.take_in().await.unwrap(), 2);
    assert_eq!(world.waiting(), 0);
    let anna = world.look(&world.login(ANNA).await).await;
    assert_eq!(anna.lines.len(), 2);
    assert!(anna.lines[0].sentence.contains("short description"));
    assert!(anna.lines[1].sentence.contains("Wet SUWI 62(1)"));
    let remedy = HandoverId::from_slice(&first.exchange).map(Remedy::Object);
    assert!(anna.lines.iter().all(|line| line.remedy == remedy));
    let bram = world.look(&world.login(BRAM).await).await;
    assert!(bram.lines.is_empty());
}

/// What happens to one handover, and whether it can be objected to then.
#[tokio::test]
async fn a_completed_handover_can_be_objected_to_while_its_report_waits() {
    let world = World::new().await;
    let first = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    world.send(&world.introduction(ANNA, first.clone()));
    let session = world.login(ANNA).await;
    for (kind, code, can_object) in [
        (FeedKind::State, "RELEASED", true),
        (FeedKind::State, "COMPLETED", false),
        (FeedKind::ReportSent, "", true),
        (FeedKind::ReportOpened, "", false),
    ] {
        let told = Told {
            kind,
            code: code.to_owned(),
            ..first.clone()
        };
        world.send(&world.line(told));
        world.portal.take_in().await.unwrap();
        let lines = world.look(&session).await.lines;
        assert_eq!(lines[0].remedy.is_some(), can_object, "{kind:?} {code}");
    }
}

#[tokio::test]
async fn nothing_of_a_person_or_an_organisation_lies_in_clear() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let given = world
        .portal
        .give(&session, world.request(), world.choice())
        .await;
    let code = granted(given.unwrap()).stop_code.unwrap();
    let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    let exchange = told.exchange;
    let line = world.introduction(ANNA, told);
    world.send(&line);
    let blocked = world.portal.block(&session, &main_of(VAKBOND)).await;
    granted(blocked.unwrap());
    world.portal.take_in().await.unwrap();
    let point = world.broker.point_of(ANNA);
    let disk = world.on_disk();
    let forbidden: [(&str, &[u8]); 8] = [
        ("exchange", &exchange),
        ("number", ANNA.as_bytes()),
        ("pseudonym", &point),
        ("sender", UWV.as_bytes()),
        ("recipient", VAKBOND.as_bytes()),
        ("name", b"Schakel"),
        ("purpose", b"HANDOVER"),
        ("stop code", code.canonical().as_bytes()),
    ];
    let lies = |octets: &[u8]| disk.windows(octets.len()).any(|window| window == octets);
    assert!(lies(line.id.bytes()), "the search finds what is there");
    for (what, octets) in forbidden {
        assert!(!lies(octets), "{what}");
    }
}

#[tokio::test]
async fn what_could_not_be_kept_comes_again_and_once() {
    let world = World::new().await;
    let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    let line = world.introduction(ANNA, told);
    world.send(&line);
    world.broker.desk.lock().unwrap().away = 1;
    assert!(world.portal.take_in().await.is_err());
    assert_eq!(world.waiting(), 1);
    world.portal.take_in().await.unwrap();
    // The broker did not hear that it was taken over.
    world.send(&line);
    world.portal.take_in().await.unwrap();
    let overview = world.look(&world.login(ANNA).await).await;
    assert_eq!(overview.lines.len(), 1);
}

#[tokio::test]
async fn a_line_that_nobody_introduced_does_not_hold_up_the_rest() {
    let world = World::new().await;
    let stray = world.told(FeedKind::State, UWV, GEMEENTE);
    world.send(&world.line(stray));
    let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    world.send(&world.introduction(ANNA, told));
    world.portal.take_in().await.unwrap();
    assert_eq!(world.waiting(), 0);
    assert_eq!(world.look(&world.login(ANNA).await).await.lines.len(), 1);
}

/// A consent that a desk of the vakbond registered with the person.
fn assisted(world: &World) -> Statement {
    let directory = super::world::directory();
    let desk = (VAKBOND.parse().unwrap(), "loopbaan".parse().unwrap());
    let author = Author {
        desk: &desk,
        place: Place::Desk,
        level: AuthenticationLevel::Low,
        directory: &directory,
        register: &world.register,
        now: Timestamp::from_millis(START),
    };
    let choice = Choice {
        sender: main_of(VAKBOND),
        recipient: main_of(GEMEENTE),
        ..world.choice()
    };
    let id = ConsentId::from_slice(world.request().bytes()).unwrap();
    let statement = author.given(&choice, id, None, &SystemChance::new());
    statement.unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

#[tokio::test]
async fn an_assisted_consent_is_the_persons_own_and_a_block_stops_it_on_arrival() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let oin = main_of(VAKBOND);
    for (blocked, expected) in [
        (false, ConsentState::Given),
        (true, ConsentState::Withdrawn),
    ] {
        if blocked {
            let stopped = world.portal.block(&session, &oin).await.unwrap();
            assert_eq!(granted(stopped).stopped, 1, "the one of the first round");
        }
        let statement = assisted(&world);
        let id = statement.record.id;
        let told = Told {
            exchange: *id.bytes(),
            code: "GIVEN".to_owned(),
            labels: vec!["WORK".to_owned()],
            ..world.told(FeedKind::ConsentAssisted, VAKBOND, GEMEENTE)
        };
        world
            .broker
            .desk
            .lock()
            .unwrap()
            .consents
            .insert(id, statement);
        world.send(&world.introduction(ANNA, told));
        world.portal.take_in().await.unwrap();
        assert_eq!(world.state_at_broker(id), Some(expected));
        let overview = world.look(&session).await;
        let found = overview.consents.iter().find(|consent| consent.id == id);
        assert_eq!(found.map(|consent| consent.state), Some(expected));
    }
}

#[tokio::test]
async fn a_question_of_a_blocked_organisation_is_declined() {
    let world = World::new().await;
    let (anna, bram) = (world.login(ANNA).await, world.login(BRAM).await);
    let oin = main_of(VAKBOND);
    granted(world.portal.block(&anna, &oin).await.unwrap());
    for number in [ANNA, BRAM] {
        let told = world.told(FeedKind::ConsentAsked, VAKBOND, GEMEENTE);
        world.send(&world.introduction(number, told));
    }
    for (session, declined) in [(&anna, true), (&bram, false)] {
        let overview = world.look(session).await;
        assert_eq!(overview.lines.len(), 1);
        let sentence = &overview.lines[0].sentence;
        assert_eq!(
            sentence.contains("because you blocked"),
            declined,
            "{sentence}"
        );
        assert_eq!(sentence.contains("You may say no"), !declined, "{sentence}");
    }
    assert_eq!(world.waiting(), 0);
}

#[tokio::test]
async fn under_statute_a_block_is_an_objection() {
    let world = World::new().await;
    let (anna, bram) = (world.login(ANNA).await, world.login(BRAM).await);
    let oin = main_of(GEMEENTE);
    granted(world.portal.block(&anna, &oin).await.unwrap());
    let mut exchanges = Vec::new();
    for number in [ANNA, BRAM] {
        let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
        exchanges.push(told.exchange);
        world.send(&world.introduction(number, told));
    }
    world.portal.take_in().await.unwrap();
    let objected = world.broker.desk.lock().unwrap().objections.clone();
    let handover = |exchange: &[u8; 16]| HandoverId::from_slice(exchange).unwrap();
    assert_eq!(objected, [handover(&exchanges[0])]);
    let own = world
        .portal
        .object(&bram, handover(&exchanges[1]), true)
        .await;
    granted(own.unwrap());
    let other = world
        .portal
        .object(&bram, handover(&exchanges[0]), true)
        .await;
    refused(other, Reason::NotAvailable);
    let nobody = main_of("00000099000000006666");
    refused(
        world.portal.block(&anna, &nobody).await,
        Reason::NotAvailable,
    );
}

#[tokio::test]
async fn a_consent_that_was_stopped_by_code_is_shown_as_stopped() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let given = world
        .portal
        .give(&session, world.request(), world.choice())
        .await;
    let record = granted(given.unwrap()).record;
    let told = Told {
        exchange: *record.bytes(),
        code: "WITHDRAWN".to_owned(),
        ..world.told(FeedKind::Consent, UWV, VAKBOND)
    };
    world.send(&world.line(told));
    let overview = world.look(&session).await;
    assert_eq!(overview.consents[0].state, ConsentState::Withdrawn);
    assert_eq!(overview.lines.len(), 2);
    assert!(overview.lines.iter().all(|line| line.remedy.is_none()));
}
