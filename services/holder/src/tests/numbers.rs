//! The number in a dossier: only for whom it was released to, as often as the quota says, and equal when it is right.

use super::world::{GEMEENTE, UWV, VAKBOND, World, item, main_of, one, received};
use crate::{Hop, QuotaLimits};
use rules::id::OrderId;
use rules::pseudonym::OrderKind;
use rules::reason::Reason;
use vault::pseudonym::{Ciphertext, Pseudonym};

const PERSON: &str = "999990019";
const OTHER: &str = "999990020";

/// A HANDOVER from UWV, carried along all holders: the order's id and each hop, after those of its PREPARE.
async fn released(world: &mut World, to: &str) -> (OrderId, Vec<Hop>, Vec<Hop>) {
    let source = world.number(UWV, PERSON);
    let prepare = world.order(OrderKind::Prepare, UWV, to, &source);
    let parent = prepare.id;
    let prepared = world.carry(&world.sign(prepare), &source, None).await;
    let prepared = prepared.unwrap();
    let mut order = world.order(OrderKind::Handover, UWV, to, &source);
    order.parent = Some(parent);
    let id = order.id;
    let order = world.sign(order);
    let hops = world.carry(&order, &source, Some(&prepared)).await;
    (id, hops.unwrap(), prepared)
}

/// What an order of the gemeente about a number gives, after a release.
async fn carried(
    world: &mut World,
    (kind, number): (OrderKind, &str),
    parent: Option<(OrderId, &[Hop])>,
) -> Result<Vec<Hop>, Reason> {
    let source = world.number(GEMEENTE, number);
    let mut order = world.order(kind, GEMEENTE, GEMEENTE, &source);
    order.parent = parent.map(|(id, _)| id);
    let signed = world.sign(order);
    world
        .carry(&signed, &source, parent.map(|(_, hops)| hops))
        .await
}

fn opened(world: &World, hops: &[Hop]) -> Pseudonym {
    let ciphertext = Ciphertext::parse(&hops.last().unwrap().ciphertexts[0]).unwrap();
    world.contexts[&main_of(GEMEENTE)]
        .decrypt(&ciphertext)
        .unwrap()
}

#[tokio::test]
async fn a_check_gives_what_enrolling_gives_and_so_shows_another_person() {
    let mut world = World::new(2).await;
    let (release, hops, _) = released(&mut world, GEMEENTE).await;
    let enrolled = carried(&mut world, (OrderKind::Enrol, PERSON), None).await;
    let enrolled = opened(&world, &enrolled.unwrap());
    let other = carried(&mut world, (OrderKind::Enrol, OTHER), None).await;
    let other = opened(&world, &other.unwrap());
    for (number, expected) in [(PERSON, enrolled), (OTHER, other)] {
        let parent = Some((release, hops.as_slice()));
        let checked = carried(&mut world, (OrderKind::Check, number), parent).await;
        assert!(opened(&world, &checked.unwrap()) == expected, "{number}");
    }
    // What the portal gets is nobody's but the portal's.
    let parent = Some((release, hops.as_slice()));
    let told = carried(&mut world, (OrderKind::Mismatch, OTHER), parent).await;
    assert_eq!(told.unwrap().len(), 2);
}

#[tokio::test]
async fn a_number_is_converted_only_for_whom_a_dossier_was_released_to() {
    let mut world = World::new(2).await;
    let (release, hops, prepared) = released(&mut world, GEMEENTE).await;
    let (other_release, to_union, _) = released(&mut world, VAKBOND).await;
    let swapped: Vec<Hop> = hops.iter().rev().cloned().collect();
    for kind in [OrderKind::Check, OrderKind::Mismatch] {
        for (parent, what) in [
            (None, "no release"),
            (Some((other_release, to_union.as_slice())), "to another"),
            (Some((release, to_union.as_slice())), "vouchers of another"),
            (Some((release, prepared.as_slice())), "a PREPARE"),
            (Some((release, swapped.as_slice())), "the other holder's"),
        ] {
            let answer = carried(&mut world, (kind, PERSON), parent).await;
            let answer = answer.map(|_| ());
            assert_eq!(answer, Err(Reason::OrderParentInvalid), "{kind:?}, {what}");
        }
    }
    // And no voucher makes an ENROL of it.
    let source = world.number(GEMEENTE, PERSON);
    let order = world.order(OrderKind::Enrol, GEMEENTE, GEMEENTE, &source);
    let mut enrol = item(&world.sign(order), &source, &[], None);
    enrol.parent = Some(received(&hops[0].voucher));
    let answer = one(&world.holders[0], enrol).await;
    assert_eq!(answer.map(drop), Err(Reason::OrderParentInvalid));
}

#[tokio::test]
async fn checks_have_a_quota_of_their_own() {
    let quotas = QuotaLimits {
        check: 60,
        mismatch: 3,
        ..QuotaLimits::default()
    };
    let mut world = World::with_quotas(1, quotas).await;
    let (release, hops, _) = released(&mut world, GEMEENTE).await;
    for (kind, limit) in [(OrderKind::Check, 60), (OrderKind::Mismatch, 3)] {
        let parent = Some((release, hops.as_slice()));
        for done in 0..limit {
            let answer = carried(&mut world, (kind, OTHER), parent).await;
            assert!(answer.is_ok(), "{kind:?} {done}");
        }
        let answer = carried(&mut world, (kind, OTHER), parent).await.map(|_| ());
        assert_eq!(answer, Err(Reason::QuotaExceeded), "{kind:?}");
    }
    let enrolled = carried(&mut world, (OrderKind::Enrol, OTHER), None).await;
    assert!(enrolled.is_ok(), "enrolling goes on");
}

#[tokio::test]
async fn unbound_is_for_realms_without_numbers_and_goes_on_to_a_handover() {
    let mut world = World::new(2).await;
    for (from, expected) in [(UWV, Err(Reason::SubjectUnbound)), (VAKBOND, Ok(()))] {
        let point = Pseudonym::random();
        let source = world.contexts[&main_of(from)].encrypt(&point);
        let order = world.order(OrderKind::Unbound, from, GEMEENTE, &source);
        let parent = order.id;
        let asked = world.carry(&world.sign(order), &source, None).await;
        assert_eq!(asked.as_ref().err(), expected.as_ref().err(), "{from}");
        let Ok(asked) = asked else {
            continue;
        };
        let mut order = world.order(OrderKind::Handover, from, GEMEENTE, &source);
        order.parent = Some(parent);
        let hops = world.carry(&world.sign(order), &source, Some(&asked)).await;
        assert!(hops.is_ok());
    }
}
