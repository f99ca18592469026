//! What a person stops, refuses and blocks while something is away, or while the portal is killed: it is told as it is,
//! and done in the end.

use super::world::{ANNA, BRAM, GEMEENTE, START, UWV, VAKBOND, World, granted, main_of, refused};
use super::{REST_MILLIS, later, no};
use crate::{Need, Objected, Pages, PortalError, Remedy, Stopped};
use papers::author::{Author, Choice, Place};
use papers::feed::Told;
use rules::clock::Timestamp;
use rules::consent::{AuthenticationLevel, ConsentState, Language, Statement, StatementEvent};
use rules::feed::FeedKind;
use rules::id::{ConsentId, HandoverId, Party};
use rules::limits::{DAY_MILLIS, PORTAL_COPIED_DAYS, PORTAL_COPY_STEP_BYTES};
use rules::reason::Reason;
use std::collections::BTreeSet;
use vault::chance::SystemChance;

/// Nobody hears anything until it is said.
const ALWAYS: usize = usize::MAX;

fn away(world: &World, calls: usize) {
    world.broker.desk.lock().unwrap().away = calls;
}

fn holders_away(world: &World, away: bool) {
    world.broker.desk.lock().unwrap().holders_away = away;
}

fn heard(world: &World) -> Vec<StatementEvent> {
    world.broker.desk.lock().unwrap().heard.clone()
}

async fn give(world: &World, session: &[u8]) -> ConsentId {
    world.pass(10);
    let given = world.portal.give(session, world.request(), world.choice());
    granted(given.await.unwrap()).record
}

#[tokio::test]
async fn a_no_ends_what_stands_also_without_a_key_holder() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let record = give(&world, &session).await;
    holders_away(&world, true);
    let (request, no) = (world.request(), no(&world));
    let said = world.portal.give(&session, request, no.clone()).await;
    let said = granted(said.unwrap());
    assert_eq!((said.stopped, said.still_to_do), (1, 1));
    assert!(said.statement_jws.is_empty());
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
    let overview = world.look(&session).await;
    assert_eq!(overview.consents[0].state, ConsentState::Withdrawn);
    let [waiting] = overview.still_to_do.as_slice() else {
        panic!("{:?}", overview.still_to_do);
    };
    assert!(waiting.sentence.contains("may not share"), "{waiting:?}");
    // The same request again is the same no.
    let again = world.portal.give(&session, request, no.clone()).await;
    let again = granted(again.unwrap());
    assert_eq!((again.record, again.still_to_do), (said.record, 1));
    later(&world).await;
    assert_eq!(world.state_at_broker(said.record), None);
    holders_away(&world, false);
    later(&world).await;
    assert_eq!(
        world.state_at_broker(said.record),
        Some(ConsentState::Refused)
    );
    let again = granted(world.portal.give(&session, request, no).await.unwrap());
    assert_eq!((again.record, again.still_to_do), (said.record, 0));
    assert!(!again.statement_jws.is_empty());
    assert!(world.look(&session).await.still_to_do.is_empty());
}

#[tokio::test]
async fn a_no_outlives_the_portal_and_comes_after_its_stop() {
    let mut world = World::new().await;
    let session = world.login(ANNA).await;
    let record = give(&world, &session).await;
    away(&world, ALWAYS);
    let said = world.portal.give(&session, world.request(), no(&world));
    let said = granted(said.await.unwrap());
    assert_eq!((said.stopped, said.still_to_do), (0, 2));
    let overview = world.look(&session).await;
    assert_eq!(
        overview.consents[0].state,
        ConsentState::Given,
        "as it is true"
    );
    assert_eq!(overview.still_to_do_count, 2);
    // What is on its way cannot be asked for once more.
    assert!(overview.lines.iter().all(|line| line.remedy.is_none()));
    world.start_again().await;
    later(&world).await;
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Given));
    away(&world, 0);
    later(&world).await;
    let events = heard(&world);
    assert_eq!(
        events,
        [
            StatementEvent::Given,
            StatementEvent::Withdrawn,
            StatementEvent::Refused
        ]
    );
    let session = world.login(ANNA).await;
    let overview = world.look(&session).await;
    assert_eq!(overview.still_to_do_count, 0);
    let states: BTreeSet<_> = overview.consents.iter().map(|one| one.state).collect();
    assert_eq!(
        states,
        [ConsentState::Withdrawn, ConsentState::Refused].into()
    );
}

#[tokio::test]
async fn refusals_of_others_keep_no_stop_waiting() {
    let world = World::new().await;
    let (anna, bram) = (world.login(ANNA).await, world.login(BRAM).await);
    holders_away(&world, true);
    for session in [&anna, &bram] {
        let said = world.portal.give(session, world.request(), no(&world));
        assert_eq!(granted(said.await.unwrap()).still_to_do, 1);
    }
    holders_away(&world, false);
    let record = {
        // Whoever says yes after a no: the no first.
        let given = world.portal.give(&anna, world.request(), world.choice());
        granted(given.await.unwrap()).record
    };
    assert_eq!(
        heard(&world),
        [StatementEvent::Refused, StatementEvent::Given]
    );
    holders_away(&world, true);
    away(&world, 1);
    let stopped = world.portal.stop(&anna, world.request(), record).await;
    assert_eq!(granted(stopped.unwrap()), Stopped::StillToDo);
    world.pass(REST_MILLIS);
    assert_eq!(world.portal.run_errands(Need::Broker).await.unwrap(), 1);
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
}

#[tokio::test]
async fn a_yes_waits_for_the_no_that_was_said_before() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    holders_away(&world, true);
    let said = world.portal.give(&session, world.request(), no(&world));
    assert_eq!(granted(said.await.unwrap()).still_to_do, 1);
    let yes = world.portal.give(&session, world.request(), world.choice());
    assert!(matches!(yes.await, Err(PortalError::BrokerAway(_))));
    holders_away(&world, false);
    let record = give(&world, &session).await;
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Given));
    later(&world).await;
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Given));
}

#[tokio::test]
async fn a_stop_that_was_changed_meanwhile_is_written_anew() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let record = give(&world, &session).await;
    away(&world, 1);
    let stop = world.portal.stop(&session, world.request(), record).await;
    assert_eq!(granted(stop.unwrap()), Stopped::StillToDo);
    // The answer is a no of the moment: the consent stands, so the stop stays.
    world.broker.desk.lock().unwrap().refuse = Some(Reason::StatementInvalid);
    later(&world).await;
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
    assert_eq!(world.look(&session).await.still_to_do_count, 0);
}

/// A consent that a desk of the vakbond registered with the person, and the line that tells of it.
fn assisted(world: &World, recipient: &str) -> ConsentId {
    let id = ConsentId::from_slice(world.request().bytes()).unwrap();
    assisted_as(world, recipient, id);
    id
}

/// The same under an id that the desk chose.
fn assisted_as(world: &World, recipient: &str, id: ConsentId) {
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
        recipient: main_of(recipient),
        ..world.choice()
    };
    let given = author.given(&choice, id, None, &SystemChance::new());
    let statement: Statement = given.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let told = Told {
        exchange: *id.bytes(),
        code: "GIVEN".to_owned(),
        labels: vec!["WORK".to_owned()],
        ..world.told(FeedKind::ConsentAssisted, VAKBOND, recipient)
    };
    let mut desk = world.broker.desk.lock().unwrap();
    desk.consents.insert(id, statement);
    drop(desk);
    world.send(&world.introduction(ANNA, told));
}

#[tokio::test]
async fn an_id_that_a_desk_chose_meets_no_other_exchange() {
    let world = World::new().await;
    let anna = world.login(ANNA).await;
    // A question about somebody else, and then a record of the same id, registered with Anna present.
    let asked = world.told(FeedKind::ConsentAsked, VAKBOND, GEMEENTE);
    let lapsed = Told {
        kind: FeedKind::Consent,
        code: ConsentState::Lapsed.code().to_owned(),
        ..asked.clone()
    };
    let record = ConsentId::from_slice(&asked.exchange).unwrap();
    world.send(&world.introduction(BRAM, asked));
    world.portal.take_in().await.unwrap();
    assisted_as(&world, GEMEENTE, record);
    // The question lapses, and the record does not.
    world.send(&world.line(lapsed));
    let seen = world.look(&anna).await;
    let states: Vec<_> = seen.consents.iter().map(|consent| consent.state).collect();
    assert_eq!(states, [ConsentState::Given]);
    let stopped = world.portal.stop(&anna, world.request(), record).await;
    assert!(matches!(granted(stopped.unwrap()), Stopped::Done(_)));
}

#[tokio::test]
async fn a_block_undone_during_its_stops_brings_no_consent_back() {
    let mut world = World::new().await;
    let session = world.login(ANNA).await;
    let own = give(&world, &session).await;
    let helped = [assisted(&world, GEMEENTE), assisted(&world, UWV)];
    world.look(&session).await;
    away(&world, ALWAYS);
    let blocking = world
        .portal
        .block(&session, &main_of(VAKBOND))
        .await
        .unwrap();
    let blocking = granted(blocking);
    assert_eq!((blocking.stopped, blocking.still_to_do), (0, 3));
    let blocks = granted(world.portal.blocks(&session).await.unwrap());
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].blocked, Some(main_of(VAKBOND)));
    // One of the three stops arrives, and then it is undone.
    away(&world, 0);
    world.pass(REST_MILLIS);
    world.broker.desk.lock().unwrap().away_after = Some(1);
    drop(world.portal.run_errands(Need::Broker).await);
    let undone = world.portal.unblock(&session, blocks[0].id).await.unwrap();
    assert_eq!(granted(undone), (true, 2));
    assert!(granted(world.portal.blocks(&session).await.unwrap()).is_empty());
    world.broker.desk.lock().unwrap().away_after = None;
    world.start_again().await;
    later(&world).await;
    for record in helped.iter().chain([&own]) {
        assert_eq!(
            world.state_at_broker(*record),
            Some(ConsentState::Withdrawn)
        );
    }
    let session = world.login(ANNA).await;
    assert_eq!(world.look(&session).await.still_to_do_count, 0);
    // What comes now is not blocked.
    let late = assisted(&world, GEMEENTE);
    world.look(&session).await;
    assert_eq!(world.state_at_broker(late), Some(ConsentState::Given));
    let again = world.portal.unblock(&session, blocks[0].id).await.unwrap();
    assert_eq!(granted(again), (false, 0));
}

#[tokio::test]
async fn a_realm_is_blocked_alone() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let realm = |name: &str| Party {
        realm: name.parse().unwrap(),
        ..main_of(VAKBOND)
    };
    refused(
        world.portal.block(&session, &realm("other")).await,
        Reason::NotAvailable,
    );
    let record = give(&world, &session).await;
    let blocking = world.portal.block(&session, &realm("main")).await.unwrap();
    assert_eq!(granted(blocking).stopped, 1);
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
    let blocks = granted(world.portal.blocks(&session).await.unwrap());
    assert_eq!(blocks[0].blocked, Some(realm("main")));
    let late = assisted(&world, GEMEENTE);
    world.look(&session).await;
    assert_eq!(world.state_at_broker(late), Some(ConsentState::Withdrawn));
    // Another person's block is nobody else's to see or undo.
    let bram = world.login(BRAM).await;
    assert!(granted(world.portal.blocks(&bram).await.unwrap()).is_empty());
    let undone = world.portal.unblock(&bram, blocks[0].id).await.unwrap();
    assert!(!granted(undone).0);
    assert_eq!(
        granted(world.portal.blocks(&session).await.unwrap()),
        blocks
    );
}

#[tokio::test]
async fn a_block_objects_to_what_goes_on_under_statute() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    let handover = HandoverId::from_slice(&told.exchange).unwrap();
    world.send(&world.introduction(ANNA, told));
    world.look(&session).await;
    away(&world, ALWAYS);
    let object = world.portal.object(&session, handover, false).await;
    assert_eq!(granted(object.unwrap()), Objected::StillToDo);
    away(&world, 0);
    let blocking = world.portal.block(&session, &main_of(GEMEENTE)).await;
    let blocking = granted(blocking.unwrap());
    // The objection waits already: it is one.
    assert_eq!((blocking.objections, blocking.still_to_do), (0, 0));
    later(&world).await;
    assert_eq!(world.broker.desk.lock().unwrap().objections, [handover]);
}

/// How many consents a desk registers with one person.
const MANY: usize = 1_010;

#[tokio::test]
async fn no_number_of_assisted_consents_hides_the_persons_own() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let own = give(&world, &session).await;
    for _ in 0..MANY {
        assisted(&world, GEMEENTE);
    }
    let overview = world.look(&session).await;
    assert_eq!(world.waiting(), 0);
    // Those that stand come first, and only one of a relation stands.
    let standing: Vec<_> = overview
        .consents
        .iter()
        .take_while(|consent| consent.state == ConsentState::Given)
        .collect();
    assert_eq!(standing.len(), 2);
    assert!(standing.iter().any(|consent| consent.id == own));
    let equal = overview.lines.iter().map(|line| line.count).max();
    assert_eq!(equal, Some(u32::try_from(MANY - 1).unwrap()));
    let folded = "This happened 1009 times.";
    let told = overview.lines.iter();
    assert_eq!(
        told.filter(|line| line.sentence.ends_with(folded)).count(),
        1
    );
    let stoppable = |id| {
        let mut lines = overview.lines.iter();
        lines.any(|line| line.remedy == Some(Remedy::Stop(id)))
    };
    assert!(stoppable(own));
    // Page by page it is the same, each once.
    let (mut seen, mut pages) = (
        Vec::new(),
        Pages {
            limit: 100,
            ..Pages::first(Language::En)
        },
    );
    loop {
        let page = world.portal.overview(&session, &pages).await.unwrap();
        let page = granted(page);
        assert!(page.consents.len() <= 100 && page.lines.len() <= 100);
        seen.extend(page.consents.into_iter().map(|consent| consent.id));
        pages.consents_after = page.more.1;
        if pages.consents_after.is_empty() {
            break;
        }
    }
    let different: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!((seen.len(), different.len()), (MANY + 1, MANY + 1));
    let stopped = world.portal.stop(&session, world.request(), own).await;
    assert!(matches!(granted(stopped.unwrap()), Stopped::Done(_)));
    assert_eq!(world.state_at_broker(own), Some(ConsentState::Withdrawn));
    let wrong = Pages {
        lines_after: vec![1; 23],
        ..Pages::first(Language::En)
    };
    refused(
        world.portal.overview(&session, &wrong).await,
        Reason::PageTokenInvalid,
    );
}

#[tokio::test]
async fn a_portal_that_is_put_back_opens_with_what_lay_at_the_broker() {
    let mut world = World::new().await;
    let session = world.login(ANNA).await;
    let first = give(&world, &session).await;
    world.portal.copy_out().await.unwrap();
    let backup = world.back_up().await;
    // Since the backup: a stop that was done, a block, and a no that waits.
    let stopped = world.portal.stop(&session, world.request(), first).await;
    assert!(matches!(granted(stopped.unwrap()), Stopped::Done(_)));
    granted(
        world
            .portal
            .block(&session, &main_of(GEMEENTE))
            .await
            .unwrap(),
    );
    holders_away(&world, true);
    let said = world.portal.give(&session, world.request(), no(&world));
    let said = granted(said.await.unwrap());
    assert_eq!(said.still_to_do, 1);
    // Two errands that found what to stop have come and gone.
    assert_eq!(world.portal.copy_out().await.unwrap(), 6);

    away(&world, ALWAYS);
    world.put_back(&backup).await;
    assert!(world.portal.is_shut());
    assert!(world.portal.reconcile().await.is_err());
    assert!(world.portal.is_shut(), "nobody answered");
    world.start_again().await;
    assert!(world.portal.is_shut(), "also after another start");
    away(&world, 0);
    world.portal.reconcile().await.unwrap();
    assert!(!world.portal.is_shut());

    let session = world.login(ANNA).await;
    let overview = world.look(&session).await;
    assert_eq!(overview.consents[0].state, ConsentState::Withdrawn);
    assert_eq!(overview.still_to_do_count, 1);
    let blocks = granted(world.portal.blocks(&session).await.unwrap());
    assert_eq!(blocks[0].blocked, Some(main_of(GEMEENTE)));
    holders_away(&world, false);
    later(&world).await;
    assert_eq!(
        world.state_at_broker(said.record),
        Some(ConsentState::Refused)
    );
    world.start_again().await;
    assert!(!world.portal.is_shut(), "it is open once and for all");
}

#[tokio::test]
async fn copies_say_nothing_and_follow_a_broker_that_was_put_back() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let blocking = world.portal.block(&session, &main_of(GEMEENTE)).await;
    granted(blocking.unwrap());
    let record = give(&world, &session).await;
    away(&world, ALWAYS);
    let stop = world.portal.stop(&session, world.request(), record).await;
    assert_eq!(granted(stop.unwrap()), Stopped::StillToDo);
    away(&world, 0);
    world.portal.copy_out().await.unwrap();
    let copies = world.broker.desk.lock().unwrap().copies.clone();
    assert_eq!(copies.len(), 2);
    for sealed in copies.values() {
        assert!(sealed.len().is_multiple_of(PORTAL_COPY_STEP_BYTES));
        let forbidden: [&[u8]; 4] = [
            VAKBOND.as_bytes(),
            UWV.as_bytes(),
            b"HANDOVER",
            b"WITHDRAWN",
        ];
        for forbidden in forbidden {
            let lies = sealed
                .windows(forbidden.len())
                .any(|window| window == forbidden);
            assert!(!lies);
        }
    }
    // The broker was put back: it has none, and then one that is gone here.
    world.broker.desk.lock().unwrap().copies.clear();
    world.portal.reconcile().await.unwrap();
    world.portal.copy_out().await.unwrap();
    let again: Vec<_> = world
        .broker
        .desk
        .lock()
        .unwrap()
        .copies
        .keys()
        .copied()
        .collect();
    assert_eq!(again, copies.keys().copied().collect::<Vec<_>>());
    later(&world).await;
    world.portal.copy_out().await.unwrap();
    // The stop is done: its paper has a copy in the errand's place, for a while.
    assert_eq!(world.broker.desk.lock().unwrap().copies.len(), 2);
    world.pass((PORTAL_COPIED_DAYS + 1) * DAY_MILLIS);
    world.portal.erase_old_lines().await.unwrap();
    world.portal.copy_out().await.unwrap();
    assert_eq!(world.broker.desk.lock().unwrap().copies.len(), 1);
    let session = world.login(ANNA).await;
    let blocks = granted(world.portal.blocks(&session).await.unwrap());
    granted(world.portal.unblock(&session, blocks[0].id).await.unwrap());
    world.portal.copy_out().await.unwrap();
    assert!(world.broker.desk.lock().unwrap().copies.is_empty());
    // One that somebody changed there does not open; it is named, and keeps nobody.
    let (name, mut sealed) = copies.into_iter().next().unwrap();
    sealed[40] ^= 1;
    world
        .broker
        .desk
        .lock()
        .unwrap()
        .copies
        .insert(name, sealed);
    world.portal.reconcile().await.unwrap();
}

#[tokio::test]
async fn nothing_of_what_waits_lies_in_clear() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let record = give(&world, &session).await;
    away(&world, ALWAYS);
    let said = world.portal.give(&session, world.request(), no(&world));
    assert_eq!(granted(said.await.unwrap()).still_to_do, 2);
    let disk = world.on_disk();
    let point = world.broker.point_of(ANNA);
    let forbidden: [(&str, &[u8]); 7] = [
        ("record", record.bytes()),
        ("number", ANNA.as_bytes()),
        ("pseudonym", &point),
        ("sender", UWV.as_bytes()),
        ("recipient", VAKBOND.as_bytes()),
        ("purpose", b"HANDOVER"),
        ("event", b"consent_refused"),
    ];
    for (what, octets) in forbidden {
        let lies = disk.windows(octets.len()).any(|window| window == octets);
        assert!(!lies, "{what}");
    }
}
