//! A block and a no hold before a line is opened, and what they stop is found whatever becomes of the call.
//!
//! Must never take what was found once for what was kept.

use super::world::{ANNA, Desk, GEMEENTE, UWV, VAKBOND, World, granted, main_of, refused};
use super::{REST_MILLIS, no};
use crate::Need;
use crate::find::Scope;
use crate::line::Paper;
use crate::rows::Keep;
use papers::author::Choice;
use rules::clock::Timestamp;
use rules::consent::{ConsentState, StatementEvent};
use rules::id::{ConsentId, EntryId};
use rules::pseudonym::Relation;
use rules::reason::Reason;
use store::portal::{ExchangeRow, LineRow};

/// A while later the portal's own work is done some times more.
async fn later(world: &World) {
    for need in [Need::Holders, Need::Broker, Need::Holders] {
        world.pass(REST_MILLIS);
        drop(world.portal.run_errands(need).await);
    }
}

async fn give(world: &World, token: &[u8]) -> ConsentId {
    let given = world.portal.give(token, world.request(), world.choice());
    granted(given.await.unwrap()).record
}

/// A line of the person that cannot be opened: whoever opens all lines gets no further.
async fn damage(world: &World, token: &[u8]) -> Keep {
    let session = world.portal.session(token);
    let session = session.unwrap_or_else(|_| panic!("no session"));
    let (exchange_index, person_index) = ([9; 32], *session.indexes().next().unwrap());
    let line_id = EntryId::from_slice(world.request().bytes()).unwrap();
    let created_at = Timestamp::from_millis(super::world::START);
    let keep = Keep {
        exchanges: vec![ExchangeRow {
            exchange_index,
            person_index,
            sealing_key: vec![9; 32],
            created_at,
        }],
        lines: vec![LineRow {
            line_id,
            exchange_index,
            person_index,
            kind: 2,
            sealed: vec![9; 64],
            created_at,
            copied_until: None,
        }],
        instead_of: None,
    };
    world.portal.database().write(&keep).await.unwrap();
    Keep {
        instead_of: Some(line_id),
        ..Keep::default()
    }
}

#[tokio::test]
async fn a_block_holds_before_a_line_is_opened() {
    let mut world = World::new().await;
    let token = world.login(ANNA).await;
    let record = give(&world, &token).await;
    let mend = damage(&world, &token).await;
    for _ in 0..2 {
        let blocking = world.portal.block(&token, &main_of(VAKBOND)).await.unwrap();
        let blocking = granted(blocking);
        assert_eq!((blocking.stopped, blocking.still_to_do), (0, 1));
    }
    let blocks = granted(world.portal.blocks(&token).await.unwrap());
    assert_eq!(blocks[0].blocked, Some(main_of(VAKBOND)));
    later(&world).await;
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Given));
    // The portal is killed, and nobody logs in again.
    world.portal.database().write(&mend).await.unwrap();
    world.start_again().await;
    later(&world).await;
    assert_eq!(world.state_at_broker(record), Some(ConsentState::Withdrawn));
    let token = world.login(ANNA).await;
    assert_eq!(world.look(&token).await.still_to_do_count, 0);
}

#[tokio::test]
async fn a_no_is_kept_before_a_line_is_opened_and_registered_after_its_stops() {
    let mut world = World::new().await;
    let token = world.login(ANNA).await;
    give(&world, &token).await;
    let mend = damage(&world, &token).await;
    let said = world.portal.give(&token, world.request(), no(&world)).await;
    let said = granted(said.unwrap());
    assert_eq!((said.stopped, said.still_to_do), (0, 2));
    later(&world).await;
    let heard = world.broker.desk.lock().unwrap().heard.clone();
    assert_eq!(heard, [StatementEvent::Given], "its stop is not found yet");
    world.portal.database().write(&mend).await.unwrap();
    world.start_again().await;
    later(&world).await;
    let heard = world.broker.desk.lock().unwrap().heard.clone();
    assert_eq!(
        heard,
        [
            StatementEvent::Given,
            StatementEvent::Withdrawn,
            StatementEvent::Refused
        ]
    );
}

#[tokio::test]
async fn what_a_killed_portal_left_is_told_found_and_done_before_the_next_yes() {
    let mut world = World::new().await;
    let token = world.login(ANNA).await;
    let first = give(&world, &token).await;
    let session = world.portal.session(&token);
    let session = session.unwrap_or_else(|_| panic!("no session"));
    let relation = Relation {
        from: main_of(UWV),
        to: main_of(VAKBOND),
        purpose: "HANDOVER".parse().unwrap(),
    };
    // Killed behind the first transaction.
    for scope in [Scope::Blocked(main_of(UWV)), Scope::Relation(relation)] {
        let find = world.portal.finding(&session, scope).await.unwrap();
        let kept = world.portal.keep_errands(Vec::new(), &[find]).await;
        kept.unwrap();
    }
    world.start_again().await;
    world.broker.desk.lock().unwrap().holders_away = true;
    later(&world).await;
    let token = world.login(ANNA).await;
    let overview = world.look(&token).await;
    let [waits] = overview.still_to_do.as_slice() else {
        panic!("{:?}", overview.still_to_do);
    };
    assert!(waits.sentence.contains("you blocked UWV"), "{waits:?}");
    assert_eq!(world.state_at_broker(first), Some(ConsentState::Given));
    // Whoever is logged in needs no holder for it, and what they say now is not what they said then.
    let second = give(&world, &token).await;
    assert_eq!(world.state_at_broker(first), Some(ConsentState::Withdrawn));
    world.broker.desk.lock().unwrap().holders_away = false;
    later(&world).await;
    assert_eq!(world.state_at_broker(second), Some(ConsentState::Given));
    assert_eq!(world.look(&token).await.still_to_do_count, 0);
}

#[tokio::test]
async fn a_no_that_cannot_be_written_stops_what_stands_all_the_same() {
    let world = World::new().await;
    let token = world.login(ANNA).await;
    let given = give(&world, &token).await;
    // A consent for which the register has no basis any more.
    let recipient = main_of(GEMEENTE);
    let id = ConsentId::from_slice(world.request().bytes()).unwrap();
    let mut statement = world.broker.desk.lock().unwrap().consents[&given].clone();
    (statement.record.id, statement.record.recipient) = (id, recipient.clone());
    let session = world.portal.session(&token);
    let session = session.unwrap_or_else(|_| panic!("no session"));
    let exchange = world.portal.exchange_for(&session.known, &statement).await;
    let paper = Paper {
        statement: statement.clone(),
        jws: "statement 1".to_owned(),
    };
    let line = EntryId::from_slice(world.request().bytes()).unwrap();
    let exchange = exchange.unwrap();
    let kept = world.portal.keep_paper(&exchange, line, &paper);
    kept.await.unwrap();
    let arrives = |desk: &mut Desk| desk.consents.insert(id, statement);
    arrives(&mut world.broker.desk.lock().unwrap());
    let no = Choice {
        recipient,
        ..no(&world)
    };
    let said = world.portal.give(&token, world.request(), no).await;
    refused(said, Reason::BasisMissing);
    assert_eq!(world.state_at_broker(id), Some(ConsentState::Withdrawn));
    assert_eq!(world.state_at_broker(given), Some(ConsentState::Given));
}
