//! An organisation that has its orders refused: it takes nothing from the others, and not for long from itself.
//!
//! Must never look at what a holder keeps in its place of how it answers.

use super::world::{GEMEENTE, UWV, World, item, one, value};
use crate::{ConvertItem, QuotaLimits};
use rules::limits::{MINUTE_MILLIS, REPLAY_ORDER_BYTES_MAX};
use rules::pseudonym::OrderKind;
use rules::reason::Reason;
use std::collections::BTreeMap;
use vault::pseudonym::Ciphertext;

const PERSON: &str = "999990019";
const REFUSED: u32 = 40;

fn quotas() -> QuotaLimits {
    QuotaLimits {
        enrol: 60,
        prepare: 30,
        handover: 30,
        portal: 30,
        check: 30,
        mismatch: 30,
        refused: REFUSED,
    }
}

/// A signed order, in its window, that names another ciphertext than it comes with: it costs no quota.
fn refused(world: &mut World, from: &str, source: &Ciphertext) -> ConvertItem {
    let mut order = world.order(OrderKind::Enrol, from, from, source);
    order.ciphertext_sha256 = [9; 32];
    let signed = world.sign(order);
    item(&signed, source, &[], None)
}

async fn enrol(world: &mut World, from: &str) -> Result<(), Reason> {
    let source = world.number(from, PERSON);
    let order = world.order(OrderKind::Enrol, from, from, &source);
    let signed = world.sign(order);
    one(&world.holders[0], item(&signed, &source, &[], None))
        .await
        .map(drop)
}

#[tokio::test]
async fn who_has_orders_refused_without_end_shuts_out_nobody_else_and_itself_for_a_minute() {
    let mut world = World::with_quotas(1, quotas()).await;
    let source = world.number(UWV, PERSON);
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..10 {
        let batch = (0..100)
            .map(|_| refused(&mut world, UWV, &source))
            .collect();
        for answer in world.holders[0].convert(batch).await.unwrap() {
            let reason = value(answer).map(drop).unwrap_err();
            *answers.entry(reason.code()).or_default() += 1;
        }
        assert_eq!(
            enrol(&mut world, GEMEENTE).await,
            Ok(()),
            "the others go on"
        );
    }
    let heard = answers["ORDER_CIPHERTEXT_MISMATCH"];
    // Those that are judged at once may go beyond it together.
    assert!((40..=40 + 64).contains(&heard), "{answers:?}");
    assert_eq!(answers["QUOTA_EXCEEDED"], 1_000 - heard);
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!(enrol(&mut world, UWV).await, Err(Reason::QuotaExceeded));
    world.clock.pass(MINUTE_MILLIS);
    assert_eq!(enrol(&mut world, UWV).await, Ok(()), "the minute is over");
}

#[tokio::test]
async fn what_is_refused_takes_no_room() {
    let refused_max = QuotaLimits {
        refused: 10_000,
        ..quotas()
    };
    let mut world = World::with_quotas(1, refused_max).await;
    let source = world.number(UWV, PERSON);
    // More than the whole room of an issuer, which is a day of its quotas.
    let batch = (0..300)
        .map(|_| refused(&mut world, UWV, &source))
        .collect();
    for answer in world.holders[0].convert(batch).await.unwrap() {
        let answer = value(answer).map(drop);
        assert_eq!(answer, Err(Reason::OrderCiphertextMismatch));
    }
    for _ in 0..60 {
        assert_eq!(enrol(&mut world, UWV).await, Ok(()));
    }
}

#[tokio::test]
async fn orders_whose_quota_is_used_up_are_refusals_too() {
    let mut world = World::with_quotas(1, quotas()).await;
    for _ in 0..60 {
        assert_eq!(enrol(&mut world, UWV).await, Ok(()));
    }
    for _ in 0..REFUSED {
        assert_eq!(enrol(&mut world, UWV).await, Err(Reason::QuotaExceeded));
    }
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Prepare, UWV, GEMEENTE, &source);
    let signed = world.sign(order);
    let prepared = item(&signed, &source, &[], None);
    let again = prepared.order.clone();
    let answer = one(&world.holders[0], prepared).await;
    assert_eq!(answer.map(drop), Err(Reason::QuotaExceeded), "unheard");
    world.clock.pass(50_000);
    world.clock.pass(10_000);
    let answer = one(&world.holders[0], item(&again, &source, &[], None)).await;
    assert_eq!(answer.map(drop), Ok(()), "another quota, in another minute");
}

#[tokio::test]
async fn what_a_restart_makes_old_is_not_its_issuers_doing() {
    let mut world = World::with_quotas(1, quotas()).await;
    let source = world.number(UWV, PERSON);
    let mut under_way = Vec::new();
    for _ in 0..3 * REFUSED {
        let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
        let signed = world.sign(order);
        under_way.push(item(&signed, &source, &[], None));
    }
    world.clock.pass(2_000);
    world.restart(0).await;
    for answer in world.holders[0].convert(under_way).await.unwrap() {
        assert_eq!(value(answer).map(drop), Err(Reason::OrderExpired));
    }
    assert_eq!(enrol(&mut world, UWV).await, Ok(()), "it is heard");
    // Orders whose window is over are.
    let mut late = Vec::new();
    for _ in 0..3 * REFUSED {
        let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
        let signed = world.sign(order);
        late.push(item(&signed, &source, &[], None));
    }
    world.clock.pass(2 * MINUTE_MILLIS);
    world.holders[0].convert(late).await.unwrap();
    assert_eq!(enrol(&mut world, UWV).await, Err(Reason::QuotaExceeded));
}

#[tokio::test]
async fn two_at_once_get_one_answer_or_the_second_is_a_replay() {
    let mut world = World::with_quotas(1, quotas()).await;
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let same = world.sign(order.clone());
    let mut other = order;
    other.not_after = other.not_after.plus_millis(1);
    let other = world.sign(other);
    let item = |order| item(order, &source, &[], None);
    let batch = vec![item(&same), item(&same), item(&other)];
    let answers = world.holders[0].convert(batch).await.unwrap();
    let mut answers = answers.into_iter().map(value);
    let first = answers.next().unwrap().unwrap();
    assert_eq!(answers.next().unwrap().unwrap(), first);
    assert_eq!(answers.next().unwrap(), Err(Reason::OrderReplayed));
    assert!(answers.next().is_none());
}

#[tokio::test]
async fn an_order_takes_no_more_of_the_memory_than_is_counted_for_it() {
    let mut world = World::with_quotas(1, quotas()).await;
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Prepare, UWV, GEMEENTE, &source);
    let signed = world.sign(order);
    let hop = one(&world.holders[0], item(&signed, &source, &[], None)).await;
    let hop = hop.unwrap();
    // Two keys with an id of 20 digits, the
    // entry, the place in the heap, and as much again for tables that are half empty.
    let answer = hop.ciphertexts.len() * 64 + hop.voucher.bytes.len() + 64 + 100;
    let places = 2 * (2 * (24 + 20 + 16) + 32 + 8 + 8);
    assert!(
        answer + places <= REPLAY_ORDER_BYTES_MAX,
        "{answer} and {places}"
    );
}
