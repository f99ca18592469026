//! The same person by every route, any number of holders, any order; nobody else by any other.

use super::kit::{GEMEENTE, Holders, ORIGIN, Owner, PORTAL, RELATION, UWV};
use crate::holder::{HolderKeys, HopError, Inputs, Keyed, Side};
use crate::pseudonym::{Bsn, Pseudonym, PseudonymRef};

const PERSON: &str = "999990019";
const OTHER: &str = "999990032";

fn forward(count: usize) -> Vec<usize> {
    (0..count).collect()
}

#[track_caller]
fn check_routes(count: usize, orders: &[Vec<usize>]) {
    let holders = Holders::new(count);
    let uwv = Owner::new(&holders, UWV, "ctx/00000099000000001000/main/1");
    let gemeente = Owner::new(&holders, GEMEENTE, "ctx/00000099000000002000/main/1");
    let broker = Owner::new(&holders, RELATION, "ctx/00000099000000009000/main/1");
    let person = gemeente.enrol(&holders, &forward(count), PERSON);
    for order in orders {
        let at_uwv = uwv.enrol(&holders, order, PERSON);
        let handed = uwv.hand_over(&holders, order, &at_uwv, &gemeente);
        assert_eq!(handed, person, "origin to B, and origin to A to B");
        let handle = uwv.hand_over(&holders, order, &at_uwv, &broker);
        assert_eq!(
            handle,
            gemeente.hand_over(&holders, order, &person, &broker),
            "A to C, B to C"
        );
        let back = gemeente.hand_over(&holders, order, &handed, &uwv);
        assert_eq!(back, at_uwv, "there and back");
        assert!(
            at_uwv != person && at_uwv != handle && person != handle,
            "each its own point"
        );
        assert_ne!(uwv.enrol(&holders, order, OTHER), at_uwv, "another person");
    }
}

#[test]
fn one_holder() {
    check_routes(1, &[vec![0]]);
}

#[test]
fn two_holders_in_either_order() {
    check_routes(2, &[vec![0, 1], vec![1, 0]]);
}

#[test]
fn three_holders_in_every_order() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    check_routes(3, &orders.map(Vec::from));
}

#[test]
fn four_holders_in_some_orders() {
    check_routes(4, &[vec![0, 1, 2, 3], vec![3, 1, 0, 2]]);
}

#[test]
fn two_targets_in_one_pass_are_two_single_ones() {
    let holders = Holders::new(2);
    let uwv = Owner::new(&holders, UWV, "ctx/uwv/1");
    let broker = Owner::new(&holders, RELATION, "ctx/broker/1");
    let portal = Owner::new(&holders, PORTAL, "ctx/portal/1");
    let person = uwv.enrol(&holders, &[0, 1], PERSON);
    let input = uwv.keyed(uwv.key.encrypt(&person));
    let made = holders.convert(
        &[0, 1],
        uwv.target(),
        &[broker.target(), portal.target()],
        &input,
    );
    assert_eq!(made.len(), 2);
    assert_eq!(
        broker.take(&made[0]),
        uwv.hand_over(&holders, &[1, 0], &person, &broker)
    );
    assert_eq!(
        portal.take(&made[1]),
        uwv.hand_over(&holders, &[1, 0], &person, &portal)
    );
}

#[test]
fn a_new_context_keeps_the_pseudonym() {
    let holders = Holders::new(2);
    let uwv = Owner::new(&holders, UWV, "ctx/uwv/1");
    let later = Owner::new(&holders, UWV, "ctx/uwv/2");
    let person = uwv.enrol(&holders, &[0, 1], PERSON);
    assert_eq!(later.enrol(&holders, &[0, 1], PERSON), person);
    assert_eq!(uwv.hand_over(&holders, &[0, 1], &person, &later), person);
}

#[test]
fn a_restarted_holder_and_one_that_forgot_its_factors_give_the_same() {
    let secrets = HolderKeys::generate();
    let holder = super::kit::Holder::new();
    let (origin, own) = (holder.secret(ORIGIN), holder.secret(UWV));
    let first = HolderKeys::from_secrets(&secrets).unwrap();
    let again = HolderKeys::from_secrets(&secrets).unwrap();
    let input = Keyed {
        ciphertext: random_ciphertext(&first),
        key: first
            .context_step("ctx/a/1", &crate::context::first_point())
            .unwrap()
            .point,
    };
    let source = Side::new(ORIGIN, &origin, "ctx/a/1").unwrap();
    let target = Side::new(UWV, &own, "ctx/b/1").unwrap();
    let key = context_key(&first, "ctx/b/1");
    let mut seen = Vec::new();
    for keys in [&first, &again, &first] {
        let made = keys
            .convert(&source, &[target], Inputs::Source(&input))
            .unwrap();
        assert_eq!(made[0].key, *key.public());
        seen.push(key.decrypt(&made[0].ciphertext).unwrap());
        keys.forget_derived();
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

fn context_key(keys: &HolderKeys, label: &str) -> crate::pseudonym::ContextKey {
    let step = keys
        .context_step(label, &crate::context::first_point())
        .unwrap();
    let share = keys.context_share(label).unwrap().to_secret();
    let holder = keys.commitment();
    let opened = crate::context::OpenedShare {
        holder: &holder,
        step: &step,
        share: &share,
    };
    crate::context::assemble(&[opened]).unwrap()
}

fn random_ciphertext(keys: &HolderKeys) -> crate::pseudonym::Ciphertext {
    context_key(keys, "ctx/a/1").encrypt(&Pseudonym::random())
}

#[test]
fn the_same_ciphertext_never_comes_out_alike() {
    // A conversion without rerandomising would give C' = s·C: the same at every call, and what a
    // sender who planted a plaintext could read.
    let holders = Holders::new(1);
    let uwv = Owner::new(&holders, UWV, "ctx/uwv/1");
    let input = uwv.keyed(uwv.key.encrypt_bsn(&PERSON.parse::<Bsn>().unwrap()));
    let convert = || {
        let made = holders.convert(&[0], (ORIGIN, &uwv.context), &[uwv.target()], &input);
        *made[0].ciphertext.bytes()
    };
    let (first, second) = (convert(), convert());
    assert_ne!(first[..32], second[..32]);
    assert_ne!(first[32..], second[32..]);
    assert_ne!(
        uwv.key.encrypt_bsn(&PERSON.parse().unwrap()),
        input.ciphertext
    );
}

/// Runs a handover along `order`; says whether the final key is the registered one, and whether the
/// pseudonym is right all the same.
#[track_caller]
fn check_wrong(holders: &Holders, order: &[usize], source_context: &str, target_context: &str) {
    let uwv = Owner::new(holders, UWV, "ctx/uwv/1");
    let gemeente = Owner::new(holders, GEMEENTE, "ctx/gemeente/1");
    let all = forward(holders.0.len());
    let person = uwv.enrol(holders, &all, PERSON);
    let right = uwv.hand_over(holders, &all, &person, &gemeente);
    let input = uwv.keyed(uwv.key.encrypt(&person));
    let made = holders.convert(
        order,
        (UWV, source_context),
        &[(GEMEENTE, target_context)],
        &input,
    );
    assert_ne!(
        made[0].key,
        *gemeente.key.public(),
        "the check of the final key fires"
    );
    assert_ne!(gemeente.key.decrypt(&made[0].ciphertext).unwrap(), right);
}

#[test]
fn a_missing_or_repeated_hop_is_found() {
    let holders = Holders::new(3);
    for order in [&[0][..], &[0, 1], &[1, 2], &[0, 1, 1], &[0, 1, 2, 2]] {
        check_wrong(&holders, order, "ctx/uwv/1", "ctx/gemeente/1");
    }
}

#[test]
fn a_wrong_context_is_found() {
    let holders = Holders::new(2);
    check_wrong(&holders, &[0, 1], "ctx/uwv/1", "ctx/gemeente/2");
    check_wrong(&holders, &[0, 1], "ctx/uwv/2", "ctx/gemeente/1");
    check_wrong(&holders, &[0, 1], "ctx/gemeente/1", "ctx/uwv/1");
}

#[test]
fn another_key_or_another_domain_gives_another_point() {
    let holders = Holders::new(2);
    let uwv = Owner::new(&holders, UWV, "ctx/uwv/1");
    let gemeente = Owner::new(&holders, GEMEENTE, "ctx/gemeente/1");
    let person = uwv.enrol(&holders, &[0, 1], PERSON);
    assert_ne!(
        gemeente.key.decrypt(&uwv.key.encrypt(&person)).unwrap(),
        person
    );
    let input = uwv.keyed(uwv.key.encrypt(&person));
    // A holder that is told another source domain makes another point, though the key is right.
    let made = holders.convert(
        &[0, 1],
        (PORTAL, &uwv.context),
        &[gemeente.target()],
        &input,
    );
    let right = uwv.hand_over(&holders, &[0, 1], &person, &gemeente);
    assert_ne!(gemeente.take(&made[0]), right);
    // Other holders know nothing of these persons.
    let strangers = Holders::new(2);
    let stranger = Owner::new(&strangers, UWV, "ctx/uwv/1");
    assert_ne!(stranger.enrol(&strangers, &[0, 1], PERSON), person);
}

#[test]
fn inputs_and_labels_are_counted() {
    let holder = super::kit::Holder::new();
    let secret = holder.secret(UWV);
    assert_eq!(
        Side::new("", &secret, "ctx/a/1").err(),
        Some(HopError::Label)
    );
    assert_eq!(Side::new(UWV, &secret, "").err(), Some(HopError::Label));
    assert_eq!(
        Side::new(&"x".repeat(256), &secret, "c").err(),
        Some(HopError::Label)
    );
    assert!(Side::new(&"x".repeat(255), &secret, "c").is_ok());
    assert!(holder.keys.context_share("").is_err());
    let side = Side::new(UWV, &secret, "ctx/a/1").unwrap();
    let made = holder
        .keys
        .convert(&side, &[side, side], Inputs::Previous(&[]));
    assert_eq!(made.err(), Some(HopError::InputCount));
}

#[test]
fn a_random_pseudonym_hands_over_like_any() {
    let holders = Holders::new(2);
    let vakbond = Owner::new(&holders, UWV, "ctx/vakbond/1");
    let gemeente = Owner::new(&holders, GEMEENTE, "ctx/gemeente/1");
    let member = Pseudonym::random();
    assert_ne!(member, Pseudonym::random());
    let handed = vakbond.hand_over(&holders, &[0, 1], &member, &gemeente);
    assert_eq!(
        gemeente.hand_over(&holders, &[1, 0], &handed, &vakbond),
        member
    );
}

#[test]
fn a_context_key_survives_its_store() {
    let holders = Holders::new(2);
    let uwv = Owner::new(&holders, UWV, "ctx/uwv/1");
    let read = crate::pseudonym::ContextKey::from_secret(&uwv.key.to_secret()).unwrap();
    assert_eq!(read.public(), uwv.key.public());
    let person = Pseudonym::random();
    assert_eq!(read.decrypt(&uwv.key.encrypt(&person)).unwrap(), person);
    for wrong in [[0_u8; 32], [0xff; 32]] {
        let secret = rules::secret::Secret::new(wrong);
        assert!(crate::pseudonym::ContextKey::from_secret(&secret).is_err());
    }
}

#[test]
fn a_reference_reads_back_and_refuses_the_rest() {
    let reference = PseudonymRef {
        domain_number: 7,
        epoch: 3,
        pseudonym: Pseudonym::random(),
    };
    let bytes = reference.to_bytes();
    assert_eq!(bytes[..7], [1, 0, 0, 0, 7, 0, 3]);
    assert_eq!(PseudonymRef::parse(&bytes).unwrap(), reference);
    for length in [0, 1, 6, 7, 38] {
        assert!(PseudonymRef::parse(&bytes[..length]).is_err(), "{length}");
    }
    assert!(PseudonymRef::parse(&[&bytes[..], &[0]].concat()).is_err());
    assert!(
        PseudonymRef::parse(&[&[2], &bytes[1..]].concat()).is_err(),
        "another scheme"
    );
}

#[test]
fn consecutive_numbers_look_alike_nowhere() {
    // A smoke test, no proof: no collisions, and every bit about as often one as zero.
    let holders = Holders::new(1);
    let uwv = Owner::new(&holders, UWV, "ctx/uwv/1");
    let points: std::collections::BTreeSet<[u8; 32]> = (999_900_000_u32..999_910_000)
        .map(|number| number.to_string())
        .filter(|text| text.parse::<Bsn>().is_ok())
        .map(|text| *uwv.enrol(&holders, &[0], &text).bytes())
        .collect();
    assert_eq!(points.len(), 909, "as many points as numbers that pass");
    // The lowest bit is the sign and always zero, the highest belongs to the field's excess.
    for bit in 1..254 {
        let ones = points
            .iter()
            .filter(|point| point[bit / 8] >> (bit % 8) & 1 == 1)
            .count();
        assert!((330..580).contains(&ones), "bit {bit}: {ones} of 909");
    }
}
