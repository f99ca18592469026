//! What is no point, no ciphertext and no key is refused, and nothing panics.

use crate::chance::SystemChance;
use crate::context::HolderCommitment;
use crate::pseudonym::{Ciphertext, ContextPoint, Pseudonym, PseudonymRef};
use rules::clock::Random;

/// Valid encoding of the generator (RFC 9496 A.1).
const GENERATOR: &str = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76";

#[track_caller]
fn check_refused(point: &[u8]) {
    assert!(Pseudonym::parse(point).is_err());
    assert!(ContextPoint::parse(point).is_err());
    assert!(HolderCommitment::parse(point).is_err());
    let generator = rules::hex::decode(GENERATOR).unwrap();
    assert!(
        Ciphertext::parse(&[point, &generator].concat()).is_err(),
        "in B"
    );
    assert!(
        Ciphertext::parse(&[&generator, point].concat()).is_err(),
        "in C"
    );
    let reference = [&[1, 0, 0, 0, 1, 0, 1], point].concat();
    assert!(PseudonymRef::parse(&reference).is_err());
}

#[test]
fn a_right_one_is_read() {
    let generator = rules::hex::decode(GENERATOR).unwrap();
    assert!(Pseudonym::parse(&generator).is_ok());
    assert!(ContextPoint::parse(&generator).is_ok());
    assert!(Ciphertext::parse(&generator.repeat(2)).is_ok());
    assert!(
        HolderCommitment::parse(&generator).is_err(),
        "the factor one blinds nothing"
    );
}

#[test]
fn the_bad_encodings_of_rfc_9496_are_refused() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/rfc9496.json")).unwrap();
    let groups = file["invalid"].as_object().unwrap();
    let mut count = 0;
    for encodings in groups.values() {
        for encoding in encodings.as_array().unwrap() {
            check_refused(&rules::hex::decode(encoding.as_str().unwrap()).unwrap());
            count += 1;
        }
    }
    assert_eq!(count, 29);
    for encoding in file["multiples"].as_array().unwrap() {
        let bytes = rules::hex::decode(encoding.as_str().unwrap()).unwrap();
        assert!(Pseudonym::parse(&bytes).is_ok());
    }
}

#[test]
fn zeros_ones_and_other_lengths_are_refused() {
    check_refused(&[0; 32]);
    check_refused(&[0xff; 32]);
    for length in [0, 1, 31, 33, 63, 65, 128] {
        for fill in [0_u8, 2, 0xff] {
            let bytes = vec![fill; length];
            assert!(Pseudonym::parse(&bytes).is_err());
            assert!(ContextPoint::parse(&bytes).is_err());
            assert!(Ciphertext::parse(&bytes).is_err());
            assert!(PseudonymRef::parse(&bytes).is_err());
            assert!(HolderCommitment::parse(&bytes).is_err());
        }
    }
}

#[test]
fn random_octets_never_panic_and_read_back_when_they_read() {
    let chance = SystemChance::new();
    let mut bytes = [0_u8; 64];
    let mut read = 0_u32;
    for _ in 0..1 << 16 {
        chance.fill(&mut bytes);
        assert!(bytes == [0; 64] || Ciphertext::parse(&bytes).is_err() || bytes[0] & 1 == 0);
        if let Ok(pseudonym) = Pseudonym::parse(&bytes[..32]) {
            assert_eq!(pseudonym.bytes(), &bytes[..32]);
            read += 1;
        }
    }
    // One in sixteen 32-octet strings is an encoding.
    assert!((3_000..5_300).contains(&read), "{read}");
}

#[test]
fn an_encrypted_identity_is_nobody() {
    let holders = super::kit::Holders::new(1);
    let key = holders.open_context("ctx/a/1");
    // B = r·G and C = r·Y: the encryption of the identity, which anyone can make. With r = 1 both are
    // at hand.
    let planted = [
        rules::hex::decode(GENERATOR).unwrap(),
        key.public().bytes().to_vec(),
    ]
    .concat();
    let ciphertext = Ciphertext::parse(&planted).unwrap();
    assert!(key.decrypt(&ciphertext).is_err());
}
