//! A holder whose clock is set: ahead or back, for a moment or for good, while it runs or while it does not.
//!
//! Must never sleep: time is the test's own, and the wall clock apart from it.

use super::world::{START, UWV, World, item, one};
use crate::{HolderError, QuotaLimits};
use rules::limits::{DAY_MILLIS, HOUR_MILLIS};
use rules::pseudonym::{Order, OrderKind};
use rules::reason::Reason;
use vault::pseudonym::Ciphertext;

const PERSON: &str = "999990019";
/// Within this it goes on once the clock goes well again.
const GOES_ON_SECONDS: i64 = 5;

/// A world with one holder that looks at its clock once a second.
struct Scene {
    world: World,
    source: Ciphertext,
}

impl Scene {
    async fn set() -> Self {
        Self::with_quotas(QuotaLimits::default()).await
    }

    async fn with_quotas(quotas: QuotaLimits) -> Self {
        let world = World::with_quotas(1, quotas).await;
        let source = world.number(UWV, PERSON);
        Self { world, source }
    }

    fn pass(&self, seconds: i64) {
        for _ in 0..seconds {
            self.world.clock.pass(1_000);
            self.world.holders[0].look_round();
        }
    }

    /// As it goes where nobody looks at the clock but the holder.
    fn jump(&self, millis: i64) {
        self.world.clock.jump(millis);
        self.world.holders[0].look_round();
    }

    /// An order of a desk whose own clock is so much ahead of the holder's.
    fn order(&mut self, ahead: i64) -> Order {
        let mut order = self.world.order(OrderKind::Enrol, UWV, UWV, &self.source);
        order.not_before = order.not_before.plus_millis(ahead);
        order.not_after = order.not_after.plus_millis(ahead);
        order
    }

    async fn offer(&self, order: &Order) -> Result<(), Reason> {
        let signed = self.world.sign(order.clone());
        let item = item(&signed, &self.source, &[], None);
        one(&self.world.holders[0], item).await.map(drop)
    }

    async fn fresh(&mut self) -> Result<(), Reason> {
        let order = self.order(0);
        self.offer(&order).await
    }

    /// Nothing is judged at all: neither an order nor the opening of a context.
    async fn check_unavailable(&mut self) {
        let signed = self.order(0);
        let signed = self.world.sign(signed);
        let holder = &self.world.holders[0];
        let orders = vec![item(&signed, &self.source, &[], None)];
        let converted = holder.convert(orders).await.map(drop);
        let request = self.world.context_request(UWV);
        let stepped = holder.step(&request, &[]).map(drop);
        for answer in [converted, stepped] {
            let error = answer.unwrap_err();
            assert!(matches!(error, HolderError::Clock));
            assert_eq!(error.reason(), Reason::HolderUnavailable);
            assert!(error.is_transient());
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_two_seconds_leaves_nothing_behind() {
    for jump in [HOUR_MILLIS, 40 * DAY_MILLIS, 2_000] {
        let mut scene = Scene::set().await;
        let before = scene.order(0);
        assert_eq!(scene.offer(&before).await, Ok(()));
        scene.pass(20);
        scene.jump(jump);
        scene.check_unavailable().await;
        // Signed by the time that the holder shows: it is not judged by it.
        let ahead = scene.order(0);
        scene.pass(2);
        scene.check_unavailable().await;
        scene.jump(-jump);
        scene.check_unavailable().await;
        scene.pass(GOES_ON_SECONDS);
        assert_eq!(scene.fresh().await, Ok(()), "ahead by {jump} ms");
        assert_eq!(scene.offer(&before).await, Err(Reason::OrderExpired));
        let early = scene.offer(&ahead).await;
        assert!(early.is_err() || jump == 2_000, "{early:?}");
        scene.world.restart(0).await;
        scene.pass(2);
        assert_eq!(scene.fresh().await, Ok(()), "after a restart too");
    }
}

#[tokio::test]
async fn a_clock_that_stays_ahead_is_gone_by_and_right_again_at_once_when_it_is_set() {
    let mut scene = Scene::set().await;
    assert_eq!(scene.fresh().await, Ok(()));
    scene.jump(40 * DAY_MILLIS);
    scene.pass(GOES_ON_SECONDS);
    let right = scene.order(-40 * DAY_MILLIS);
    let answer = scene.offer(&right).await;
    assert_eq!(answer, Err(Reason::OrderExpired), "of a desk that is right");
    // A desk that is as wrong as the holder has its order carried out: once.
    let wrong = scene.order(0);
    assert_eq!(scene.offer(&wrong).await, Ok(()));
    scene.jump(-40 * DAY_MILLIS);
    scene.pass(GOES_ON_SECONDS);
    assert_eq!(scene.fresh().await, Ok(()));
    scene.world.restart(0).await;
    scene.pass(2);
    assert_eq!(
        scene.fresh().await,
        Ok(()),
        "what is far ahead is in no way"
    );
    scene.jump(40 * DAY_MILLIS - 20_000);
    scene.pass(GOES_ON_SECONDS);
    let again = scene.offer(&wrong).await;
    assert_eq!(again, Err(Reason::OrderExpired), "nor when its time comes");
}

#[tokio::test]
async fn a_clock_that_is_set_back_revives_no_order_however_it_is_done() {
    for (back, restarts) in [(HOUR_MILLIS, false), (HOUR_MILLIS, true), (2_000, false)] {
        let mut scene = Scene::set().await;
        scene.pass(3_600);
        let mut carried = Vec::new();
        for _ in 0..3 {
            let order = scene.order(0);
            assert_eq!(scene.offer(&order).await, Ok(()));
            carried.push(order);
            scene.pass(60);
        }
        scene.jump(-180_000 - back);
        if restarts {
            scene.world.restart(0).await;
        }
        // All the while until it shows again what it showed when it was set back, and after.
        for _ in 0..(back + 240_000) / 20_000 {
            scene.pass(20);
            for order in &carried {
                let answer = scene.offer(order).await;
                assert!(answer.is_err(), "back by {back} ms: {answer:?}");
            }
        }
        assert_eq!(scene.fresh().await, Ok(()), "by its time all is well");
    }
}

#[tokio::test]
async fn a_day_of_the_quota_is_counted_only_where_an_order_reached_it() {
    let quotas = QuotaLimits {
        enrol: 60,
        ..QuotaLimits::default()
    };
    let mut scene = Scene::with_quotas(quotas).await;
    for _ in 0..10 {
        assert_eq!(scene.fresh().await, Ok(()));
    }
    scene.pass(2);
    for ahead in [DAY_MILLIS, 40 * DAY_MILLIS] {
        scene.jump(ahead);
        scene.pass(GOES_ON_SECONDS);
        let right = scene.order(-ahead);
        assert_eq!(scene.offer(&right).await, Err(Reason::OrderExpired));
        scene.jump(-ahead);
        scene.pass(GOES_ON_SECONDS);
    }
    // Ten are gone, and no more: neither blocks nor days were spent on what was only shown.
    for _ in 0..50 {
        assert_eq!(scene.fresh().await, Ok(()));
    }
    assert_eq!(scene.fresh().await, Err(Reason::QuotaExceeded));
    scene.world.clock.set(START - DAY_MILLIS);
    scene.world.restart(0).await;
    let back = scene.fresh().await;
    assert_eq!(back, Err(Reason::QuotaExceeded), "yesterday is not fresh");
}

#[tokio::test]
async fn what_was_judged_before_a_jump_is_not_carried_out_after_it() {
    let mut scene = Scene::set().await;
    let order = scene.order(0);
    let signed = scene.world.sign(order.clone());
    let holder = scene.world.holders[0].clone();
    let at = holder.0.time.moment().unwrap();
    let judged = holder.judge(item(&signed, &scene.source, &[], None), &at);
    let Ok(crate::Judged::Planned(plan)) = judged else {
        panic!("a fresh order")
    };
    scene.jump(HOUR_MILLIS);
    scene.pass(GOES_ON_SECONDS);
    assert_eq!(scene.fresh().await, Ok(()));
    let late = holder.prepare(plan, &at).await.unwrap().map(drop);
    assert_eq!(late, Err(Reason::HolderUnavailable));
}
