//! Orders that are not carried out: tampered with, replayed, out of their window, outside the table,
//! about something else than came with them, or beyond the quota.

use super::world::{
    BROKER, GEMEENTE, START, UWV, VAKBOND, World, holder_oin, item, one, sign_with, value,
};
use crate::{QuotaLimits, StartError};
use papers::paper::Signed;
use rules::clock::Timestamp;
use rules::limits::{
    CLOCK_SKEW_MILLIS_MAX, CONTROLLERS_MAX, DAY_MILLIS, ORDER_WINDOW_MILLIS_MAX, QUOTA_BLOCK_ORDERS,
};
use rules::pseudonym::{Order, OrderKind};
use rules::reason::Reason;
use vault::pseudonym::Ciphertext;
use vault::sign::SigningKey;

const PERSON: &str = "999990019";

/// Offers a changed ENROL order to the first holder and compares the answer.
async fn check(
    world: &mut World,
    change: impl FnOnce(&mut Order),
    expected: Result<(), Reason>,
    what: &str,
) {
    let source = world.number(UWV, PERSON);
    let mut order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    order.desk = "werkplein".parse().unwrap();
    change(&mut order);
    let order = world.sign(order);
    let answer = one(&world.holders[0], item(&order, &source, &[], None)).await;
    assert_eq!(answer.map(drop), expected, "{what}");
}

#[tokio::test]
async fn every_flipped_byte_of_order_and_signature_is_refused() {
    let mut world = World::new(1).await;
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let signed = world.sign(order);
    let carried = signed.carried();
    for position in 0..carried.bytes.len() {
        let mut flipped = carried.clone();
        flipped.bytes[position] ^= 1;
        // What is no order any more never reaches the judge.
        let Ok(flipped) = Signed::receive(flipped.bytes, &flipped.signature) else {
            continue;
        };
        let answer = one(&world.holders[0], item(&flipped, &source, &[], None)).await;
        // Another issuer or desk is nobody that this holder knows.
        let refused = matches!(
            answer.map(drop),
            Err(Reason::OrderSignatureInvalid | Reason::OinUnknown | Reason::DeskUnknown)
        );
        assert!(refused, "byte {position}");
    }
    for position in 0..64 {
        let mut flipped = carried.clone();
        flipped.signature[position] ^= 1;
        let flipped = Signed::receive(flipped.bytes, &flipped.signature).unwrap();
        let answer = one(&world.holders[0], item(&flipped, &source, &[], None)).await;
        assert_eq!(
            answer.map(drop),
            Err(Reason::OrderSignatureInvalid),
            "signature {position}"
        );
    }
    assert!(
        one(&world.holders[0], item(&signed, &source, &[], None))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_window_is_kept_to_the_millisecond() {
    let mut world = World::new(1).await;
    let at = |millis: i64| Timestamp::from_millis(START + 600_000 + millis);
    world.clock.set(at(0).millis());
    for (begin, end, expected) in [
        (0, ORDER_WINDOW_MILLIS_MAX, Ok(())),
        (
            0,
            ORDER_WINDOW_MILLIS_MAX + 1,
            Err(Reason::OrderWindowTooLong),
        ),
        (-10, 0, Ok(())),
        (-10, -1, Err(Reason::OrderExpired)),
        (CLOCK_SKEW_MILLIS_MAX, 100_000, Ok(())),
        (
            CLOCK_SKEW_MILLIS_MAX + 1,
            100_000,
            Err(Reason::OrderNotYetValid),
        ),
    ] {
        let change = |order: &mut Order| {
            order.not_before = at(begin);
            order.not_after = at(end);
        };
        check(&mut world, change, expected, &format!("{begin} to {end}")).await;
    }
}

#[tokio::test]
async fn the_same_bytes_get_the_same_answer_and_other_bytes_none() {
    let mut world = World::new(2).await;
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let signed = world.sign(order.clone());
    let hops = world.carry(&signed, &source, None).await.unwrap();
    world.clock.set(START + 10_000);
    assert_eq!(
        world.carry(&signed, &source, None).await.as_ref(),
        Ok(&hops)
    );
    let twice = vec![
        item(&signed, &source, &[], None),
        item(&signed, &source, &[], None),
    ];
    for answer in world.holders[0].convert(twice).await.unwrap() {
        assert_eq!(
            value(answer).map(|hop| hop.as_ref().clone()).as_ref(),
            Ok(&hops[0])
        );
    }
    let mut other = order;
    other.not_after = other.not_after.plus_millis(1);
    let other = world.sign(other);
    let answer = one(&world.holders[0], item(&other, &source, &[], None)).await;
    assert_eq!(answer, Err(Reason::OrderReplayed));
}

#[tokio::test]
async fn after_a_restart_orders_from_before_are_refused() {
    let mut world = World::new(1).await;
    let source = world.number(UWV, PERSON);
    let before = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let mut ahead = world.order(OrderKind::Enrol, UWV, UWV, &source);
    ahead.not_before = Timestamp::from_millis(START + 20_000);
    let (before, ahead) = (world.sign(before), world.sign(ahead));
    for order in [&before, &ahead] {
        assert!(
            one(&world.holders[0], item(order, &source, &[], None))
                .await
                .is_ok()
        );
    }
    world.clock.set(START + 5_000);
    world.restart(0).await;
    for order in [&before, &ahead] {
        let answer = one(&world.holders[0], item(order, &source, &[], None)).await;
        assert_eq!(answer, Err(Reason::OrderExpired));
    }
    world.clock.set(START + 30_000);
    check(&mut world, |_| {}, Ok(()), "a fresh order").await;
}

#[tokio::test]
async fn what_the_table_does_not_have_is_refused() {
    let mut world = World::new(1).await;
    let foreign = world.order(
        OrderKind::Enrol,
        GEMEENTE,
        GEMEENTE,
        &world.number(UWV, PERSON),
    );
    let context = foreign.source_context.clone();
    check(
        &mut world,
        |order| order.source_context = context.clone(),
        Err(Reason::OrderForbidden),
        "a foreign source context",
    )
    .await;
    check(
        &mut world,
        |order| order.targets[0].1 = context.clone(),
        Err(Reason::OrderForbidden),
        "a foreign target context",
    )
    .await;
    check(
        &mut world,
        |order| order.targets[0].1.number = 2,
        Err(Reason::ContextUnknown),
        "a context that is not open",
    )
    .await;
    check(
        &mut world,
        |order| order.desk = "balie".parse().unwrap(),
        Err(Reason::RightMissing),
        "a desk without the right",
    )
    .await;
    check(
        &mut world,
        |order| order.targets = foreign.targets.clone(),
        Err(Reason::OrderForbidden),
        "another's domain",
    )
    .await;
}

#[tokio::test]
async fn the_broker_and_strangers_command_nothing() {
    let mut world = World::new(1).await;
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let broker = sign_with(order.clone(), world.desk_key(BROKER, "broker"));
    let stranger = sign_with(
        order.clone(),
        &SigningKey::from_seed(&SigningKey::generate()),
    );
    for order in [&broker, &stranger] {
        let answer = one(&world.holders[0], item(order, &source, &[], None)).await;
        assert_eq!(answer, Err(Reason::OrderSignatureInvalid));
    }
    for kind in OrderKind::ALL {
        let mut order = world.order(*kind, UWV, GEMEENTE, &source);
        order.issuer = BROKER.parse().unwrap();
        order.desk = "broker".parse().unwrap();
        if kind.has_parent() {
            order.parent = Some(broker.paper().id);
        }
        let order = world.sign(order);
        let answer = one(&world.holders[0], item(&order, &source, &[], None)).await;
        let expected = match kind {
            OrderKind::Assist => Reason::RightMissing,
            _ => Reason::OrderForbidden,
        };
        assert_eq!(answer, Err(expected), "{kind:?}");
    }
    let mut nobody = order;
    nobody.issuer = "00000099000000005000".parse().unwrap();
    let nobody = sign_with(nobody, world.desk_key(BROKER, "broker"));
    let answer = one(&world.holders[0], item(&nobody, &source, &[], None)).await;
    assert_eq!(answer, Err(Reason::OinUnknown));
}

#[tokio::test]
async fn a_foreign_or_broken_ciphertext_is_refused() {
    let mut world = World::new(1).await;
    let source = world.number(UWV, PERSON);
    let foreign = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let order = world.sign(order);
    let holder = &world.holders[0];
    let answer = one(holder, item(&order, &foreign, &[], None)).await;
    assert_eq!(answer, Err(Reason::OrderCiphertextMismatch));
    let mut none = item(&order, &source, &[], None);
    none.ciphertexts.clear();
    assert_eq!(
        one(holder, none).await,
        Err(Reason::OrderCiphertextMismatch)
    );
    for broken in [
        vec![0_u8; 64],
        vec![0xff; 64],
        vec![1; 63],
        vec![2; 65],
        Vec::new(),
    ] {
        let mut order = world.order(OrderKind::Enrol, UWV, UWV, &source);
        order.ciphertext_sha256 = vault::digest::sha256(&broken);
        let order = world.sign(order);
        let mut wrong = item(&order, &source, &[], None);
        wrong.ciphertexts = vec![broken];
        assert_eq!(
            one(&world.holders[0], wrong).await,
            Err(Reason::PointInvalid)
        );
    }
}

#[tokio::test]
async fn a_relation_without_an_edge_is_refused() {
    let mut world = World::new(1).await;
    let source = world.number(VAKBOND, PERSON);
    let order = world.order(OrderKind::Prepare, VAKBOND, UWV, &source);
    let order = world.sign(order);
    let answer = one(&world.holders[0], item(&order, &source, &[], None)).await;
    assert_eq!(answer, Err(Reason::NoAgreement));
}

/// Carries out fresh orders until one is refused; gives how many there were.
async fn exhaust(world: &mut World, from: &str, kind: OrderKind, source: &Ciphertext) -> u32 {
    for done in 0.. {
        let order = world.order(kind, from, GEMEENTE, source);
        let order = world.sign(order);
        match one(&world.holders[0], item(&order, source, &[], None)).await {
            Ok(_) => {}
            Err(reason) => {
                assert_eq!(reason, Reason::QuotaExceeded);
                return done;
            }
        }
    }
    unreachable!("an endless quota")
}

#[tokio::test]
async fn the_quota_ends_exactly_for_each_issuer_and_kind() {
    let quotas = QuotaLimits {
        enrol: 120,
        prepare: 70,
        ..QuotaLimits::default()
    };
    let mut world = World::with_quotas(1, quotas).await;
    let source = world.number(UWV, PERSON);
    assert_eq!(
        exhaust(&mut world, UWV, OrderKind::Enrol, &source).await,
        120
    );
    assert_eq!(
        exhaust(&mut world, UWV, OrderKind::Prepare, &source).await,
        70
    );
    assert_eq!(
        exhaust(&mut world, GEMEENTE, OrderKind::Enrol, &source).await,
        120
    );
    world.clock.set(START + DAY_MILLIS);
    assert_eq!(
        exhaust(&mut world, UWV, OrderKind::Enrol, &source).await,
        120,
        "the next day"
    );
    world.clock.set(START - DAY_MILLIS + 1);
    world.restart(0).await;
    let gone_back = exhaust(&mut world, UWV, OrderKind::Enrol, &source).await;
    assert_eq!(gone_back, 0, "a clock that goes back gives no fresh quota");
}

#[tokio::test]
async fn a_restart_gives_no_fresh_quota() {
    let quotas = QuotaLimits {
        enrol: 120,
        ..QuotaLimits::default()
    };
    let mut world = World::with_quotas(1, quotas).await;
    for _ in 0..10 {
        check(&mut world, |_| {}, Ok(()), "within the quota").await;
    }
    world.clock.set(START + 1_000);
    world.restart(0).await;
    let source = world.number(UWV, PERSON);
    let left = exhaust(&mut world, UWV, OrderKind::Enrol, &source).await;
    assert_eq!(
        left,
        120 - QUOTA_BLOCK_ORDERS,
        "the rest of a block is lost"
    );
    world.clock.set(START + 2_000);
    world.restart(0).await;
    assert_eq!(exhaust(&mut world, UWV, OrderKind::Enrol, &source).await, 0);
}

#[tokio::test]
async fn an_answer_given_again_costs_no_quota() {
    let quotas = QuotaLimits {
        enrol: 1,
        ..QuotaLimits::default()
    };
    let mut world = World::with_quotas(1, quotas).await;
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Enrol, UWV, UWV, &source);
    let order = world.sign(order);
    for _ in 0..5 {
        assert!(
            one(&world.holders[0], item(&order, &source, &[], None))
                .await
                .is_ok()
        );
    }
    check(
        &mut world,
        |_| {},
        Err(Reason::QuotaExceeded),
        "another order",
    )
    .await;
}

#[tokio::test]
async fn only_a_newer_directory_of_all_controllers_is_put_in_force() {
    let mut world = World::new(1).await;
    let (broker, desk) = (BROKER.parse().unwrap(), "broker".parse().unwrap());
    let (uwv, werkplein) = (UWV.parse().unwrap(), "werkplein".parse().unwrap());
    let holder = world.holders[0].clone();
    let mut newer = world.file.clone();
    newer.version = 2;
    let signed = world.sign_directory(&newer);
    let mut unsigned = signed.clone();
    unsigned.content.push(b'\n');
    let mut crowded = signed.clone();
    let again = crowded.signatures[0].clone();
    crowded.signatures.resize(CONTROLLERS_MAX + 1, again);
    let mut inner = newer.clone();
    inner.version = 3;
    inner.edges[0].from_signature = inner.edges[0].to_signature.clone();
    for (caller, desk, file, expected) in [
        (&uwv, &werkplein, signed.clone(), Err(Reason::RightMissing)),
        (
            &broker,
            &desk,
            unsigned,
            Err(Reason::DirectorySignatureInvalid),
        ),
        (
            &broker,
            &desk,
            crowded,
            Err(Reason::DirectorySignatureInvalid),
        ),
        (
            &broker,
            &desk,
            world.sign_directory(&inner),
            Err(Reason::DirectoryInvalid),
        ),
        (&broker, &desk, signed.clone(), Ok(2)),
        (
            &broker,
            &desk,
            signed.clone(),
            Err(Reason::DirectoryVersionLower),
        ),
    ] {
        let answer = holder
            .import_directory(caller, desk, file, Vec::new())
            .await
            .unwrap();
        assert_eq!(value(answer).map(|imported| imported.version), expected);
    }
    world.clock.set(START + 1_000);
    world.restart(0).await;
    assert_eq!(
        world.holders[0].directory().version(),
        2,
        "the stored one stands"
    );
}

#[tokio::test]
async fn a_holder_starts_with_its_own_keys_only() {
    let world = World::new(2).await;
    let mut parts = world.parts(0, world.database(0).await);
    parts.oin = holder_oin(1);
    let answer = crate::Holder::start(parts).await;
    assert!(matches!(answer, Err(StartError::NotInDirectory)));
    let mut parts = world.parts(0, world.database(0).await);
    parts.keys = world.keys(1);
    let answer = crate::Holder::start(parts).await;
    assert!(matches!(answer, Err(StartError::CommitmentDiffers)));
}
