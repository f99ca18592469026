//! Vouchers: what earlier holders say, what a PREPARE leaves behind, and what shows at the end.

use super::world::{BROKER, GEMEENTE, UWV, VAKBOND, World, forge, holder_oin, item, one, received};
use crate::{Holder, Hop};
use papers::paper::{Signed, Voucher};
use rules::limits::PARENT_VOUCHER_MILLIS_MAX;
use rules::pseudonym::{Order, OrderKind};
use rules::reason::{Outcome, Reason};
use vault::pseudonym::Ciphertext;
use vault::sign::SigningKey;

const PERSON: &str = "999990019";

/// A PREPARE, carried along all holders.
async fn prepared(
    world: &mut World,
    from: &str,
    to: &str,
) -> (Signed<Order>, Ciphertext, Vec<Hop>) {
    let source = world.number(from, PERSON);
    let order = world.order(OrderKind::Prepare, from, to, &source);
    let order = world.sign(order);
    let hops = world.carry(&order, &source, None).await.unwrap();
    (order, source, hops)
}

fn handover(
    world: &mut World,
    parent: &Signed<Order>,
    from: &str,
    to: &str,
    source: &Ciphertext,
) -> Signed<Order> {
    let mut order = world.order(OrderKind::Handover, from, to, source);
    order.parent = Some(parent.paper().id);
    world.sign(order)
}

#[tokio::test]
async fn a_handover_needs_each_holders_own_voucher_of_its_prepare() {
    let mut world = World::new(2).await;
    let (prepare, source, hops) = prepared(&mut world, UWV, GEMEENTE).await;
    let (_, _, unions) = prepared(&mut world, UWV, VAKBOND).await;
    let other = world.number(GEMEENTE, PERSON);
    let enrol = world.order(OrderKind::Enrol, GEMEENTE, GEMEENTE, &other);
    let enrol = world.sign(enrol);
    let enrolled = world.carry(&enrol, &other, None).await.unwrap();
    let order = handover(&mut world, &prepare, UWV, GEMEENTE, &source);
    let own = SigningKey::from_seed(&SigningKey::generate());
    let genuine = received(&hops[0].voucher);
    let parents = [
        (None, "none"),
        (Some(received(&hops[1].voucher)), "the other holder's"),
        (Some(received(&unions[0].voucher)), "of another relation"),
        (Some(received(&enrolled[0].voucher)), "of an ENROL"),
        (Some(forge(&genuine, &own, |_| {})), "forged"),
        (
            Some(forge(&genuine, world.desk_key(UWV, "balie"), |_| {})),
            "by the sender",
        ),
    ];
    for (parent, what) in parents {
        let mut item = item(&order, &source, &[], None);
        item.parent = parent;
        let answer = one(&world.holders[0], item).await;
        assert_eq!(answer, Err(Reason::OrderParentInvalid), "{what}");
    }
    let right = item(&order, &source, &[], Some(&hops[0]));
    assert!(one(&world.holders[0], right).await.is_ok());
    let mut superfluous = item(&prepare, &source, &[], Some(&hops[0]));
    superfluous.order = {
        let order = world.order(OrderKind::Prepare, UWV, GEMEENTE, &source);
        world.sign(order)
    };
    let answer = one(&world.holders[0], superfluous).await;
    assert_eq!(
        answer,
        Err(Reason::OrderParentInvalid),
        "a parent that nobody asked for"
    );
}

#[tokio::test]
async fn a_prepare_is_no_parent_for_ever() {
    let mut world = World::new(1).await;
    let (prepare, source, hops) = prepared(&mut world, UWV, GEMEENTE).await;
    let begin = world.now();
    for (age_millis, expected) in [
        (PARENT_VOUCHER_MILLIS_MAX, Ok(())),
        (
            PARENT_VOUCHER_MILLIS_MAX + 1,
            Err(Reason::OrderParentInvalid),
        ),
    ] {
        world.clock.set(begin + age_millis);
        let order = handover(&mut world, &prepare, UWV, GEMEENTE, &source);
        let answer = one(
            &world.holders[0],
            item(&order, &source, &[], Some(&hops[0])),
        )
        .await;
        assert_eq!(answer.map(drop), expected, "{age_millis}");
    }
}

/// Offers the last of three holders the work of the two before with their vouchers changed.
async fn check(
    world: &mut World,
    change: impl FnOnce(&World, &mut Vec<Signed<Voucher>>, &mut Vec<Vec<u8>>),
    expected: Result<(), Reason>,
    what: &str,
) {
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Prepare, UWV, GEMEENTE, &source);
    let order = world.sign(order);
    let mut hops = Vec::new();
    for holder in &world.holders[..2] {
        hops.push(
            one(holder, item(&order, &source, &hops, None))
                .await
                .unwrap(),
        );
    }
    let mut last = item(&order, &source, &hops, None);
    change(world, &mut last.earlier, &mut last.ciphertexts);
    let answer = one(&world.holders[2], last).await;
    assert_eq!(answer.map(drop), expected, "{what}");
}

#[tokio::test]
async fn earlier_vouchers_are_complete_genuine_and_chained() {
    let mut world = World::new(3).await;
    let invalid = Err(Reason::VoucherInvalid);
    check(&mut world, |_, _, _| {}, Ok(()), "as it should be").await;
    check(&mut world, |_, earlier, _| earlier.clear(), invalid, "none").await;
    check(
        &mut world,
        |_, earlier, _| drop(earlier.pop()),
        invalid,
        "one missing",
    )
    .await;
    check(
        &mut world,
        |_, earlier, _| earlier.swap(0, 1),
        invalid,
        "swapped",
    )
    .await;
    let doubled = |_: &World, earlier: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {
        earlier.push(earlier[1].clone());
    };
    check(&mut world, doubled, invalid, "one too many").await;
    let stranger = |_: &World, earlier: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {
        let key = SigningKey::from_seed(&SigningKey::generate());
        earlier[0] = forge(&earlier[0], &key, |_| {});
    };
    check(&mut world, stranger, invalid, "signed by a stranger").await;
    let broker = |world: &World, earlier: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {
        let key = world.desk_key(BROKER, "broker");
        earlier[1] = forge(&earlier[1], key, |_| {});
    };
    check(&mut world, broker, invalid, "signed by the broker").await;
    let mismatch = Err(Reason::OrderCiphertextMismatch);
    check(
        &mut world,
        |_, _, inputs| inputs.swap(0, 1),
        mismatch,
        "outputs swapped",
    )
    .await;
    check(
        &mut world,
        |_, _, inputs| drop(inputs.pop()),
        mismatch,
        "an output missing",
    )
    .await;
}

#[tokio::test]
async fn a_holder_that_lies_about_what_it_did_is_refused() {
    let mut world = World::new(3).await;
    type Change = fn(&mut Voucher);
    let lies: [(Change, &str); 9] = [
        (
            |voucher| voucher.outputs_sha256.swap(0, 1),
            "other outputs than the next took in",
        ),
        (
            |voucher| voucher.inputs_sha256[0][0] ^= 1,
            "another input than the order's",
        ),
        (|voucher| voucher.hop = 2, "another hop"),
        (|voucher| voucher.targets.swap(0, 1), "other targets"),
        (|voucher| voucher.kind = OrderKind::Assist, "another kind"),
        (|voucher| voucher.order_sha256[0] ^= 1, "another order"),
        (|voucher| voucher.output_keys.truncate(1), "a key missing"),
        (|voucher| voucher.holder = holder_oin(1), "another holder"),
        (
            |voucher| voucher.time = voucher.time.plus_millis(31_000),
            "from the future",
        ),
    ];
    for (lie, what) in lies {
        let change = |world: &World, earlier: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {
            let key = world.desk_key(holder_oin(0).as_str(), "holder");
            earlier[0] = forge(&earlier[0], key, lie);
        };
        check(&mut world, change, Err(Reason::VoucherInvalid), what).await;
    }
    let other_key = |world: &World, earlier: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {
        let key = world.desk_key(holder_oin(1).as_str(), "holder");
        earlier[1] = forge(&earlier[1], key, |voucher| voucher.output_keys.swap(0, 1));
    };
    let keys = Err(Reason::KeyMismatch);
    check(
        &mut world,
        other_key,
        keys,
        "another key than the outputs are under",
    )
    .await;
}

#[tokio::test]
async fn a_holder_judges_by_no_older_directory_than_the_holders_before_it() {
    let mut world = World::new(3).await;
    let mut newer = world.file.clone();
    newer.version = 2;
    let newer = world.sign_directory(&newer);
    let (broker, desk) = (BROKER.parse().unwrap(), "broker".parse().unwrap());
    let import = async |holder: &Holder| {
        let imported = holder
            .import_directory(&broker, &desk, newer.clone(), Vec::new())
            .await
            .unwrap();
        assert!(matches!(imported, Outcome::Permitted(_)), "{imported:?}");
    };
    let nothing = |_: &World, _: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {};
    import(&world.holders[2]).await;
    check(&mut world, nothing, Ok(()), "only the last is newer").await;
    // The second one would be behind the first, as the third was of neither.
    import(&world.holders[1]).await;
    check(&mut world, nothing, Ok(()), "all after the first").await;
    import(&world.holders[0]).await;
    check(&mut world, nothing, Ok(()), "all").await;
    let ahead = |world: &World, earlier: &mut Vec<Signed<Voucher>>, _: &mut Vec<Vec<u8>>| {
        let key = world.desk_key(holder_oin(0).as_str(), "holder");
        earlier[0] = forge(&earlier[0], key, |voucher| voucher.directory_version = 3);
    };
    let behind = Err(Reason::DirectoryBehind);
    check(&mut world, ahead, behind, "the first is newer").await;
}

#[tokio::test]
async fn a_holder_with_wrong_keys_shows_at_the_end() {
    let mut world = World::new(2).await;
    let database = world.database(0).await;
    let mut parts = world.parts(0, database);
    // Its signing key and its place are right; its factors are another's.
    parts.keys = world.keys(1);
    parts.pinned.insert(holder_oin(0), parts.keys.commitment());
    world.clock.set(world.now() + 1_000);
    let wrong = Holder::start(parts).await.unwrap();
    let source = world.number(UWV, PERSON);
    let order = world.order(OrderKind::Prepare, UWV, GEMEENTE, &source);
    let order = world.sign(order);
    let first = one(&wrong, item(&order, &source, &[], None)).await.unwrap();
    let answer = one(&world.holders[1], item(&order, &source, &[first], None)).await;
    assert_eq!(answer, Err(Reason::KeyMismatch));
}
