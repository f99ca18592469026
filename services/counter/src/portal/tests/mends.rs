//! What went wrong once with what a person stops, and must not come back.
//!
//! Must never take an answer that nobody gave for an answer.

use super::world::{ANNA, GEMEENTE, UWV, World, granted};
use crate::consent::author::Choice;
use crate::portal::{Need, Objected};
use rules::feed::FeedKind;
use rules::id::HandoverId;
use rules::reason::Reason;

/// More than an errand rests.
const REST_MILLIS: i64 = 5_000;

fn no(world: &World) -> Choice {
    Choice {
        categories: [].into(),
        refused: true,
        ..world.choice()
    }
}

/// A while later the portal's own work is done once more.
async fn later(world: &World) {
    world.pass(REST_MILLIS);
    for need in [Need::Broker, Need::Holders] {
        drop(world.portal.run_errands(need).await);
    }
}

async fn still_to_do(world: &World, token: &[u8]) -> usize {
    world.look(token).await.still_to_do_count
}

#[tokio::test]
async fn an_objection_is_over_only_when_there_is_nothing_to_object_to() {
    let over = [Reason::StateForbidsEvent, Reason::NotAvailable];
    for reason in Reason::ALL {
        let world = World::new().await;
        let token = world.login(ANNA).await;
        let told = world.told(FeedKind::Prepared, UWV, GEMEENTE);
        let handover = HandoverId::from_slice(&told.exchange).unwrap();
        world.send(&world.introduction(ANNA, told));
        world.look(&token).await;
        world.broker.desk.lock().unwrap().refuse_objections = Some(*reason);
        let object = world.portal.object(&token, handover, false).await.unwrap();
        if over.contains(reason) {
            super::world::refused(Ok(object), *reason);
            continue;
        }
        assert_eq!(granted(object), Objected::StillToDo, "{reason:?}");
        later(&world).await;
        assert_eq!(still_to_do(&world, &token).await, 1, "{reason:?}");
        world.broker.desk.lock().unwrap().refuse_objections = None;
        later(&world).await;
        assert_eq!(world.broker.desk.lock().unwrap().objections, [handover]);
        assert_eq!(still_to_do(&world, &token).await, 0);
    }
}

#[tokio::test]
async fn a_slow_round_ends_no_later_errand_of_the_same_id() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let session = world.portal.session(&token);
    let session = session.unwrap_or_else(|_| panic!("no session"));
    let holders_away = |away| world.broker.desk.lock().unwrap().holders_away = away;
    let mut errands = Vec::new();
    for _ in 0..2 {
        holders_away(true);
        let said = world.portal.give(&token, world.request(), no(&world));
        assert_eq!(granted(said.await.unwrap()).still_to_do, 1);
        errands.extend(world.portal.own_errands(&session).await.unwrap());
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
    let left = world.portal.own_errands(&session).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].request, second.request);
}
