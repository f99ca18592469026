//! The same person by every route, for one, two and three holders.

use super::world::{BROKER, GEMEENTE, PORTAL, UWV, VAKBOND, World, main_of, received};
use papers::paper::Voucher;
use rules::pseudonym::OrderKind;
use vault::pseudonym::{Ciphertext, Pseudonym};

const PERSON: &str = "999990019";
const OTHER: &str = "999990020";

impl World {
    fn opened(&self, oin: &str, ciphertext: &[u8; 64]) -> Pseudonym {
        let ciphertext = Ciphertext::parse(ciphertext).unwrap();
        self.contexts[&main_of(oin)].decrypt(&ciphertext).unwrap()
    }

    async fn enrolled(&mut self, oin: &str, number: &str) -> Pseudonym {
        let source = self.number(oin, number);
        let order = self.order(OrderKind::Enrol, oin, oin, &source);
        let hops = self.carry(&self.sign(order), &source, None).await.unwrap();
        self.opened(oin, &hops.last().unwrap().ciphertexts[0])
    }

    /// PREPARE and then HANDOVER; gives the handle of each and the recipient's pseudonym.
    async fn handed_over(&mut self, from: &str, to: &str, person: &Pseudonym) -> [Pseudonym; 4] {
        let source = self.contexts[&main_of(from)].encrypt(person);
        let prepare = self.order(OrderKind::Prepare, from, to, &source);
        let parent = prepare.id;
        let prepared = self
            .carry(&self.sign(prepare), &source, None)
            .await
            .unwrap();
        let mut order = self.order(OrderKind::Handover, from, to, &source);
        order.parent = Some(parent);
        let hops = self
            .carry(&self.sign(order), &source, Some(&prepared))
            .await
            .unwrap();
        let (first, last) = (prepared.last().unwrap(), hops.last().unwrap());
        [
            self.opened(to, &last.ciphertexts[0]),
            self.opened(BROKER, &last.ciphertexts[1]),
            self.opened(BROKER, &first.ciphertexts[0]),
            self.opened(PORTAL, &first.ciphertexts[1]),
        ]
    }
}

async fn check(count: usize) {
    let mut world = World::new(count).await;
    let at_uwv = world.enrolled(UWV, PERSON).await;
    let at_gemeente = world.enrolled(GEMEENTE, PERSON).await;
    assert!(at_uwv != at_gemeente, "another domain, another point");
    assert!(
        world.enrolled(UWV, OTHER).await != at_uwv,
        "another person, another point"
    );
    assert!(
        world.enrolled(UWV, PERSON).await == at_uwv,
        "again the same"
    );

    let [direct, handle, prepared, portal] = world.handed_over(UWV, GEMEENTE, &at_uwv).await;
    assert!(direct == at_gemeente, "handed over as enrolled");
    assert!(
        handle == prepared,
        "the handle of the release is that of the preparation"
    );
    assert!(handle != portal && handle != direct);
    let [at_vakbond, other_handle, ..] = world.handed_over(UWV, VAKBOND, &at_uwv).await;
    assert!(other_handle != handle, "another relation, another handle");
    let [by_vakbond, _, _, portal_by_vakbond] =
        world.handed_over(VAKBOND, GEMEENTE, &at_vakbond).await;
    assert!(
        by_vakbond == at_gemeente,
        "by way of the vakbond as enrolled"
    );
    assert!(
        portal_by_vakbond == portal,
        "the portal knows one person by every route"
    );
    let [back, ..] = world.handed_over(GEMEENTE, UWV, &at_gemeente).await;
    assert!(back == at_uwv, "and back");
}

#[tokio::test]
async fn one_holder_gives_one_pseudonym_by_every_route() {
    check(1).await;
}

#[tokio::test]
async fn two_holders_give_one_pseudonym_by_every_route() {
    check(2).await;
}

#[tokio::test]
async fn three_holders_give_one_pseudonym_by_every_route() {
    check(3).await;
}

#[tokio::test]
async fn pseudonyms_outlive_a_restart() {
    let mut world = World::new(2).await;
    let before = world.enrolled(UWV, PERSON).await;
    world.clock.set(world.now() + 1_000);
    world.restart(0).await;
    world.restart(1).await;
    assert!(world.enrolled(UWV, PERSON).await == before);
}

#[tokio::test]
async fn a_batch_answers_in_its_own_order() {
    let mut world = World::new(1).await;
    let mut items = Vec::new();
    for index in 0..100 {
        let source = world.number(UWV, PERSON);
        let mut order = world.order(OrderKind::Enrol, UWV, UWV, &source);
        if index % 3 == 0 {
            order.not_after = order.not_before;
        }
        let order = world.sign(order);
        items.push(super::world::item(&order, &source, &[], None));
    }
    let ids: Vec<_> = items.iter().map(|item| item.order.paper().id).collect();
    let answers = world.holders[0].convert(items).await.unwrap();
    assert_eq!(answers.len(), 100);
    for (index, answer) in answers.into_iter().enumerate() {
        match super::world::value(answer) {
            Ok(hop) => assert_eq!(received::<Voucher>(&hop.voucher).paper().order, ids[index]),
            Err(reason) => assert_eq!((index % 3, reason.code()), (0, "ORDER_MALFORMED")),
        }
    }
}
