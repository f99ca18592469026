//! What went wrong once with what a person stops, and must not come back.
//!
//! Must never take an answer that nobody gave for an answer.

use super::world::{ANNA, Desk, GEMEENTE, UWV, VAKBOND, World, granted, main_of};
use super::{REST_MILLIS, later, no};
use crate::session::Session;
use crate::{Need, Objected, PortalError, Stopped};
use rules::consent::{ConsentState, StatementEvent};
use rules::feed::FeedKind;
use rules::id::{HandoverId, Party};
use rules::reason::Reason;
use std::sync::Arc;
use std::time::Duration;
use store::{Queue, Tx, Work};

fn session_of(world: &World, token: &[u8]) -> Arc<Session> {
    let session = world.portal.session(token);
    session.unwrap_or_else(|_| panic!("no session"))
}

async fn still_to_do(world: &World, token: &[u8]) -> usize {
    world.look(token).await.still_to_do_count
}

#[tokio::test]
async fn an_objection_is_over_only_when_there_is_nothing_to_object_to() {
    let over = [Reason::StateForbidsEvent, Reason::NotAvailable];
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let mut handovers = Vec::new();
    for reason in Reason::ALL {
        let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
        let handover = HandoverId::from_slice(&told.exchange).unwrap();
        world.send(&world.introduction(ANNA, told));
        world.portal.take_in().await.unwrap();
        world.broker.desk.lock().unwrap().refuse_objections = Some(*reason);
        let object = world.portal.object(&token, handover, false).await.unwrap();
        if over.contains(reason) {
            super::world::refused(Ok(object), *reason);
        } else {
            assert_eq!(granted(object), Objected::StillToDo, "{reason:?}");
            handovers.push(handover);
        }
    }
    later(&world).await;
    assert_eq!(still_to_do(&world, &token).await, handovers.len());
    world.broker.desk.lock().unwrap().refuse_objections = None;
    later(&world).await;
    let mut objections = world.broker.desk.lock().unwrap().objections.clone();
    objections.sort();
    assert_eq!(objections, handovers);
    assert_eq!(still_to_do(&world, &token).await, 0);
}

#[tokio::test]
async fn a_slow_round_ends_no_later_errand_of_the_same_id() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let session = session_of(&world, &token);
    let holders_away = |away| world.broker.desk.lock().unwrap().holders_away = away;
    let mut errands = Vec::new();
    for _ in 0..2 {
        holders_away(true);
        let said = world.portal.give(&token, world.request(), no(&world));
        assert_eq!(granted(said.await.unwrap()).still_to_do, 1);
        errands.extend(
            world
                .portal
                .own_errands(&session, Queue::Own)
                .await
                .unwrap(),
        );
        holders_away(false);
        if errands.len() < 2 {
            // The first is answered, and a yes comes in between.
            later(&world).await;
            let yes = world.portal.give(&token, world.request(), world.choice());
            granted(yes.await.unwrap());
        }
    }
    let [first, second] = errands.as_slice() else {
        panic!("{}", errands.len());
    };
    assert_eq!(first.id, second.id);
    // A round that had read the first before it was answered comes to it only now.
    world.portal.deliver(first).await.unwrap();
    let left = world
        .portal
        .own_errands(&session, Queue::Own)
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].request, second.request);
}

fn copies(world: &World) -> Vec<[u8; 16]> {
    let desk = world.broker.desk.lock().unwrap();
    desk.copies.keys().copied().collect()
}

async fn block(world: &World, token: &[u8], blocked: &Party) {
    granted(world.portal.block(token, blocked).await.unwrap());
}

/// What is blocked, in order.
async fn blocked(world: &World, token: &[u8]) -> Vec<Option<Party>> {
    let blocks = granted(world.portal.blocks(token).await.unwrap());
    let mut blocked: Vec<_> = blocks.into_iter().map(|view| view.blocked).collect();
    blocked.sort();
    blocked
}

async fn unblock(world: &World, token: &[u8], blocked: &Party) {
    let blocks = granted(world.portal.blocks(token).await.unwrap());
    let mut blocks = blocks.into_iter();
    let view = blocks.find(|view| view.blocked.as_ref() == Some(blocked));
    let undone = world.portal.unblock(token, view.unwrap().id).await.unwrap();
    assert!(granted(undone).0);
}

#[tokio::test]
async fn a_broker_without_room_is_relieved_first() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    for (first, second) in [(VAKBOND, GEMEENTE), (GEMEENTE, VAKBOND)] {
        block(&world, &token, &main_of(first)).await;
        world.portal.copy_out().await.unwrap();
        world.broker.desk.lock().unwrap().copies_max = Some(1);
        block(&world, &token, &main_of(second)).await;
        assert!(world.portal.copy_out().await.is_err());
        unblock(&world, &token, &main_of(first)).await;
        assert_eq!(world.portal.copy_out().await.unwrap(), 2);
        unblock(&world, &token, &main_of(second)).await;
        assert_eq!(world.portal.copy_out().await.unwrap(), 1);
        assert!(copies(&world).is_empty());
    }
}

#[tokio::test]
async fn a_copy_that_does_not_open_keeps_no_open_portal_and_shuts_one_until_somebody_decides() {
    let mut world = World::new().await;
    let token = world.login(ANNA).await;
    let backup = world.back_up().await;
    for oin in [VAKBOND, GEMEENTE, UWV] {
        block(&world, &token, &main_of(oin)).await;
    }
    world.portal.copy_out().await.unwrap();
    let names = copies(&world);
    let strange = [[0; 16], [255; 16]];
    for name in strange {
        let mut desk = world.broker.desk.lock().unwrap();
        desk.copies.insert(name, vec![7; 4_096]);
    }
    for _ in 0..2 {
        world.portal.reconcile().await.unwrap();
    }
    unblock(&world, &token, &main_of(UWV)).await;
    assert_eq!(world.portal.copy_out().await.unwrap(), 1);

    world.put_back(&backup).await;
    let shut = world.portal.reconcile().await;
    assert!(matches!(shut, Err(PortalError::CopiesUnopened(2))));
    assert!(world.portal.is_shut());
    world.without_copies = 1;
    world.start_again().await;
    let shut = world.portal.reconcile().await;
    assert!(matches!(shut, Err(PortalError::CopiesUnopened(2))));
    world.without_copies = 2;
    world.start_again().await;
    world.portal.reconcile().await.unwrap();
    assert!(!world.portal.is_shut());
    let token = world.login(ANNA).await;
    let expected = [Some(main_of(GEMEENTE)), Some(main_of(VAKBOND))];
    assert_eq!(blocked(&world, &token).await, expected);
    // They are left where they are.
    let left = copies(&world);
    assert!(strange.iter().all(|name| left.contains(name)) && left.len() == names.len() + 1);
}

#[tokio::test]
async fn what_was_due_when_a_backup_was_made_takes_no_living_copy_away() {
    let mut world = World::new().await;
    let token = world.login(ANNA).await;
    block(&world, &token, &main_of(VAKBOND)).await;
    unblock(&world, &token, &main_of(VAKBOND)).await;
    // It has to be seen to that there is no copy, says the backup.
    let backup = world.back_up().await;
    block(&world, &token, &main_of(VAKBOND)).await;
    world.portal.copy_out().await.unwrap();
    let living = copies(&world);
    assert_eq!(living.len(), 1);
    world.put_back(&backup).await;
    assert_eq!(world.portal.copy_out().await.unwrap(), 0, "it is shut");
    world.portal.reconcile().await.unwrap();
    world.portal.copy_out().await.unwrap();
    assert_eq!(copies(&world), living);
    let token = world.login(ANNA).await;
    assert_eq!(blocked(&world, &token).await, [Some(main_of(VAKBOND))]);
}

/// The name of the copy of a block.
fn copy_of(world: &World, token: &[u8], blocked: &Party) -> [u8; 16] {
    let session = session_of(world, token);
    let index = session.indexes().next().unwrap();
    let tag = world.portal.block_tag(index, blocked);
    world.portal.copy_of_block(index, tag).id
}

#[tokio::test]
async fn what_ended_since_the_backup_does_not_return() {
    let mut world = World::new().await;
    let token = world.login(ANNA).await;
    let given = world.portal.give(&token, world.request(), world.choice());
    let record = granted(given.await.unwrap()).record;
    block(&world, &token, &main_of(GEMEENTE)).await;
    world.broker.desk.lock().unwrap().away = usize::MAX;
    let stop = world.portal.stop(&token, world.request(), record).await;
    assert_eq!(granted(stop.unwrap()), Stopped::StillToDo);
    world.broker.desk.lock().unwrap().away = 0;
    // With the errand that found what the block stops, which has come and gone.
    assert_eq!(world.portal.copy_out().await.unwrap(), 3);
    // This one has no copy when the backup is made.
    block(&world, &token, &main_of(UWV)).await;
    let backup = world.back_up().await;
    unblock(&world, &token, &main_of(GEMEENTE)).await;
    later(&world).await;
    world.portal.copy_out().await.unwrap();
    // The copy of that block never arrived.
    let lost = copy_of(&world, &token, &main_of(UWV));
    world.broker.desk.lock().unwrap().copies.remove(&lost);
    let heard = world.broker.desk.lock().unwrap().heard.len();

    for is_restoring in [true, false] {
        world.put_back(&backup).await;
        later(&world).await;
        let desk = world.broker.desk.lock().unwrap().heard.len();
        assert_eq!(desk, heard, "nothing of a backup is done again");
        world.broker.desk.lock().unwrap().is_restoring = is_restoring;
        let copies = world.broker.desk.lock().unwrap().copies.clone();
        world.portal.reconcile().await.unwrap();
        let token = world.login(ANNA).await;
        let both = [Some(main_of(UWV)), Some(main_of(GEMEENTE))];
        // A broker that lost copies itself says nothing by their absence.
        let expected = if is_restoring { &both[..] } else { &both[..1] };
        assert_eq!(blocked(&world, &token).await, expected);
        let overview = world.look(&token).await;
        assert_eq!(overview.still_to_do_count, usize::from(is_restoring));
        assert_eq!(overview.consents[0].state, ConsentState::Withdrawn);
        world.portal.copy_out().await.unwrap();
        assert!(self::copies(&world).len() > copies.len());
        world.broker.desk.lock().unwrap().copies = copies;
    }
    let desk = world.broker.desk.lock().unwrap();
    assert_eq!(
        desk.heard,
        [StatementEvent::Given, StatementEvent::Withdrawn]
    );
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_errand_waiting() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let given = world.portal.give(&token, world.request(), world.choice());
    let record = granted(given.await.unwrap()).record;
    world.broker.desk.lock().unwrap().away = 1;
    let stop = world.portal.stop(&token, world.request(), record).await;
    assert_eq!(granted(stop.unwrap()), Stopped::StillToDo);
    world.pass(-3_600_000);
    assert_eq!(world.portal.run_errands(Need::Broker).await.unwrap(), 1);
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
}

/// Answers after which a consent that the broker does not know is none.
const ANSWERS_MAX: usize = 660;

#[tokio::test]
async fn a_clock_that_is_set_ahead_ends_no_stop() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let given = world.portal.give(&token, world.request(), world.choice());
    let record = granted(given.await.unwrap()).record;
    // The consent is still on its way.
    let statement = world.broker.desk.lock().unwrap().consents.remove(&record);
    let stop = world.portal.stop(&token, world.request(), record).await;
    assert_eq!(granted(stop.unwrap()), Stopped::StillToDo);
    for _ in 0..3 {
        world.pass(3_600_000);
        assert!(world.portal.run_errands(Need::Broker).await.is_ok());
    }
    let arrives = |desk: &mut Desk| desk.consents.insert(record, statement.unwrap());
    arrives(&mut world.broker.desk.lock().unwrap());
    world.pass(REST_MILLIS);
    assert_eq!(world.portal.run_errands(Need::Broker).await.unwrap(), 1);
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
}

#[tokio::test]
async fn a_stop_of_what_the_broker_never_hears_of_is_over_some_time() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let given = world.portal.give(&token, world.request(), world.choice());
    let record = granted(given.await.unwrap()).record;
    world.broker.desk.lock().unwrap().consents.remove(&record);
    let stop = world.portal.stop(&token, world.request(), record).await;
    assert_eq!(granted(stop.unwrap()), Stopped::StillToDo);
    let mut tries = 1;
    while world.portal.run_errands(Need::Broker).await.unwrap() == 0 {
        world.pass(REST_MILLIS);
        tries += 1;
        assert!(tries <= ANSWERS_MAX + 1, "it is never over");
    }
    assert!(tries >= ANSWERS_MAX / 2, "{tries}");
}

#[tokio::test]
async fn a_no_that_can_never_be_registered_makes_room_for_a_later_yes_and_for_nothing_else() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let give = || world.portal.give(&token, world.request(), world.choice());
    let first = granted(give().await.unwrap()).record;
    world.broker.desk.lock().unwrap().refuse_refusals = Some(Reason::OrderForbidden);
    // Its stop waits, and so does the yes.
    world.broker.desk.lock().unwrap().away = usize::MAX;
    let said = world.portal.give(&token, world.request(), no(&world)).await;
    assert_eq!(granted(said.unwrap()).still_to_do, 2);
    assert!(matches!(give().await, Err(PortalError::BrokerAway(_))));
    assert_eq!(still_to_do(&world, &token).await, 2);
    // What may still be registered is not replaced.
    world.broker.desk.lock().unwrap().away = 0;
    world.broker.desk.lock().unwrap().holders_away = true;
    assert!(matches!(give().await, Err(PortalError::BrokerAway(_))));
    world.broker.desk.lock().unwrap().holders_away = false;
    assert_eq!(still_to_do(&world, &token).await, 1);
    let second = granted(give().await.unwrap()).record;
    assert_eq!(still_to_do(&world, &token).await, 0);
    later(&world).await;
    assert_eq!(world.state_at_broker(first), Some(ConsentState::Withdrawn));
    assert_eq!(world.state_at_broker(second), Some(ConsentState::Given));
}

/// Somebody looks something up, and takes their time.
struct Looks;

/// So many of them wait.
const LOOKS: usize = 300;

impl Work for Looks {
    type Output = ();
    type Error = PortalError;

    fn name(&self) -> &'static str {
        "Looks"
    }

    async fn perform<'a>(&'a self, _: &'a mut Tx<'_>) -> Result<(), PortalError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    fn is_transient(_: &PortalError) -> bool {
        false
    }
}

#[tokio::test]
async fn what_stops_something_waits_for_nobody_who_looks() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let given = world.portal.give(&token, world.request(), world.choice());
    let record = granted(given.await.unwrap()).record;
    let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
    let handover = HandoverId::from_slice(&told.exchange).unwrap();
    world.send(&world.introduction(ANNA, told));
    world.portal.take_in().await.unwrap();
    let mut looks = tokio::task::JoinSet::new();
    for _ in 0..LOOKS {
        let portal = world.portal.clone();
        looks.spawn(async move { portal.database().read(&Looks).await });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stop = world.portal.stop(&token, world.request(), record).await;
    assert!(matches!(granted(stop.unwrap()), Stopped::Done(_)));
    let object = world.portal.object(&token, handover, false).await.unwrap();
    assert!(matches!(granted(object), Objected::Noted(_)));
    block(&world, &token, &main_of(VAKBOND)).await;
    let said = world.portal.give(&token, world.request(), no(&world));
    assert_eq!(granted(said.await.unwrap()).still_to_do, 0);
    world.portal.run_errands(Need::Broker).await.unwrap();
    let mut looked = 0;
    while looks.try_join_next().is_some() {
        looked += 1;
    }
    assert!(looked < LOOKS / 2, "{looked} came first");
}

#[tokio::test]
async fn no_yes_goes_to_what_is_blocked_until_that_is_undone() {
    let world = World::new().await;
    let session = world.login(ANNA).await;
    let blocks = world.portal.block(&session, &main_of(VAKBOND)).await;
    granted(blocks.unwrap());
    let yes = || world.portal.give(&session, world.request(), world.choice());
    super::world::refused(yes().await, Reason::StateForbidsEvent);
    let listed = granted(world.portal.blocks(&session).await.unwrap());
    let undone = world.portal.unblock(&session, listed[0].id).await;
    assert!(granted(undone.unwrap()).0);
    granted(yes().await.unwrap());
}
