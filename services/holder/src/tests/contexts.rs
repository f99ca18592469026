//! Opening contexts: whose word counts, and what a walk must be.

use super::world::{
    BROKER, GEMEENTE, START, UWV, World, flipped, forge_step, main_of, received, value,
};
use papers::paper::{ContextRequest, ContextStep, Signed};
use rules::limits::{CLOCK_SKEW_MILLIS_MAX, ORDER_WINDOW_MILLIS_MAX};
use rules::reason::Reason;

/// Asks for a step with a changed request.
fn check(
    world: &World,
    change: impl FnOnce(&mut ContextRequest),
    expected: Result<(), Reason>,
    what: &str,
) {
    let mut paper = world.context_request(UWV).into_paper();
    change(&mut paper);
    let request = world.sign_request(paper);
    assert_eq!(world.walk(&request).map(drop), expected, "{what}");
}

#[tokio::test]
async fn only_the_owner_opens_its_present_context() {
    let world = World::new(2).await;
    let invalid = Err(Reason::ContextRequestInvalid);
    check(&world, |_| {}, Ok(()), "the owner");
    check(
        &world,
        |request| request.context.party = main_of(GEMEENTE),
        invalid,
        "of another",
    );
    let number = |request: &mut ContextRequest| request.context.number = 2;
    check(
        &world,
        number,
        Err(Reason::ContextUnknown),
        "another number",
    );
    let desk = |request: &mut ContextRequest| request.desk = "balie".parse().unwrap();
    check(
        &world,
        desk,
        Err(Reason::RightMissing),
        "a desk that does not represent",
    );
    let sealing = |request: &mut ContextRequest| request.sealing_key_sha256[0] ^= 1;
    check(&world, sealing, invalid, "another sealing key");
    for (millis, expected) in [
        (CLOCK_SKEW_MILLIS_MAX, Ok(())),
        (CLOCK_SKEW_MILLIS_MAX + 1, invalid),
        (-ORDER_WINDOW_MILLIS_MAX, Ok(())),
        (-ORDER_WINDOW_MILLIS_MAX - 1, invalid),
    ] {
        let time = |request: &mut ContextRequest| request.time = request.time.plus_millis(millis);
        check(&world, time, expected, &format!("{millis} ms from now"));
    }
    let signed = flipped(&world.context_request(UWV));
    assert_eq!(world.walk(&signed).map(drop), invalid, "another signature");
    let others = world.context_request(UWV).carried();
    let broker = world.context_request(BROKER).carried().signature;
    let others = Signed::receive(others.bytes, &broker).unwrap();
    assert_eq!(
        world.walk(&others).map(drop),
        invalid,
        "the broker's signature"
    );
}

/// Offers a changed walk to be closed.
async fn check_close(
    world: &World,
    change: impl FnOnce(&World, &mut Vec<Signed<ContextStep>>),
    expected: Result<(), Reason>,
    what: &str,
) {
    let request = world.context_request(UWV);
    let made = world.walk(&request).unwrap();
    let mut steps: Vec<_> = made.iter().map(|made| received(&made.step)).collect();
    change(world, &mut steps);
    let answer = world.holders[1].close(&request, &steps).await.unwrap();
    assert_eq!(value(answer).map(drop), expected, "{what}");
}

#[tokio::test]
async fn a_walk_is_whole_signed_joined_and_proven() {
    let world = World::new(2).await;
    let invalid = Err(Reason::ContextRequestInvalid);
    check_close(&world, |_, _| {}, Ok(()), "the same walk again").await;
    check_close(&world, |_, steps| drop(steps.pop()), invalid, "cut short").await;
    check_close(&world, |_, steps| steps.swap(0, 1), invalid, "swapped").await;
    let flip = |_: &World, steps: &mut Vec<Signed<ContextStep>>| {
        steps[0] = flipped(&steps[0]);
    };
    check_close(&world, flip, invalid, "not signed").await;
    let proof = |world: &World, steps: &mut Vec<Signed<ContextStep>>| {
        steps[1] = forge_step(world, 1, &steps[1], |step| step.proof[200] ^= 1);
    };
    check_close(&world, proof, invalid, "a proof that does not hold").await;
    let end = |world: &World, steps: &mut Vec<Signed<ContextStep>>| {
        let other = steps[0].paper().point;
        steps[1] = forge_step(world, 1, &steps[1], |step| step.point = other);
    };
    check_close(&world, end, invalid, "another end").await;
    let begin = |world: &World, steps: &mut Vec<Signed<ContextStep>>| {
        let other = steps[0].paper().point;
        steps[0] = forge_step(world, 0, &steps[0], |step| step.previous_point = other);
    };
    check_close(&world, begin, invalid, "another beginning").await;
}

#[tokio::test]
async fn a_step_on_a_point_of_somebodys_choosing_is_refused() {
    let world = World::new(2).await;
    let request = world.context_request(UWV);
    let made = world.walk(&request).unwrap();
    let first = received(&made[0].step);
    let others = world.walk(&world.context_request(GEMEENTE)).unwrap();
    let chosen = forge_step(&world, 0, &first, |step| step.point = step.share_commitment);
    for (earlier, what) in [
        (Vec::new(), "no step before"),
        (vec![chosen], "a chosen point"),
        (vec![received(&others[0].step)], "of another context"),
        (vec![first.clone(), first], "one too many"),
    ] {
        let answer = world.holders[1].step(&request, &earlier).unwrap();
        assert_eq!(
            value(answer).map(drop),
            Err(Reason::ContextRequestInvalid),
            "{what}"
        );
    }
}

#[tokio::test]
async fn contexts_outlive_a_restart() {
    let mut world = World::new(2).await;
    world.clock.set(START + 1_000);
    world.restart(1).await;
    check_close(&world, |_, _| {}, Ok(()), "the stored end is the same").await;
}
