//! Frozen vectors: what a newer library must not change under stored pseudonyms, tags and seals.
//!
//! Must never be made to pass by writing a file anew: a changed value orphans what is stored.

use crate::context::first_point;
use crate::holder::{HolderKeys, HolderSecrets, domain_factor};
use crate::pseudonym::{Bsn, Ciphertext, ContextKey, Pseudonym, PseudonymRef};
use crate::rest::{Crypter, IndexKey, Place};
use crate::sealing::{OpeningKey, SealedField, SealedShare, Stage, open_field, open_share};
use crate::sign::{Paper, SigningKey};
use libpep::data::simple::ElGamalEncryptable;
use libpep::factors::{Factor, PseudonymizationSecret};
use rules::hex::{decode, encode};
use rules::id::HandoverId;
use rules::secret::Secret;
use serde_json::{Value, json};

fn seed(number: u8) -> Secret<[u8; 32]> {
    Secret::new([number; 32])
}

#[track_caller]
fn check(file: &str, computed: &Value) {
    let frozen: Value = serde_json::from_str(file).unwrap();
    assert_eq!(&frozen["values"], computed);
}

fn text<'a>(file: &'a Value, name: &str) -> &'a str {
    file["values"][name].as_str().unwrap()
}

#[test]
fn pseudonyms() {
    let secret = PseudonymizationSecret::from(&b"frozen-secret"[..]);
    let factor = domain_factor(&secret, "partner/uwv/1");
    let anchor = "123456782".parse::<Bsn>().unwrap().anchor();
    let product = factor.scalar() * *anchor.value();
    let factor_bytes =
        libpep::elgamal::arithmetic::scalars::ScalarTraits::to_bytes(&factor.scalar());
    let secrets = HolderSecrets {
        rekeying: seed(1),
        blinding: Secret::new(small_scalar(2)),
    };
    let keys = HolderKeys::from_secrets(&secrets).unwrap();
    let step = keys
        .context_step("ctx/00000099000000001000/main/1", &first_point())
        .unwrap();
    let reference = PseudonymRef {
        domain_number: 258,
        epoch: 772,
        pseudonym: Pseudonym::parse(&product.to_bytes()).unwrap(),
    };
    check(
        include_str!("../../../../tests/vectors/pseudonym.json"),
        &json!({
            "factor": encode(&factor_bytes),
            "anchor": encode(&ElGamalEncryptable::to_bytes(&anchor)),
            "pseudonym": encode(&product.to_bytes()),
            "first_point": encode(first_point().bytes()),
            "holder_commitment": encode(&keys.commitment().bytes()),
            "share": encode(&keys.context_share("ctx/00000099000000001000/main/1").unwrap().to_secret().expose()[..32]),
            "share_commitment": encode(&step.share_commitment),
            "step_point": encode(step.point.bytes()),
            "pseudonym_ref": encode(&reference.to_bytes()),
        }),
    );
}

/// A small number as a scalar: 32 octets, little-endian.
fn small_scalar(number: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = number;
    bytes
}

#[test]
fn signatures() {
    let key = SigningKey::from_seed(&seed(3));
    let signatures: serde_json::Map<String, Value> = Paper::ALL
        .iter()
        .map(|paper| {
            (
                paper.name().to_owned(),
                encode(key.sign(*paper, b"paper").bytes()).into(),
            )
        })
        .collect();
    check(
        include_str!("../../../../tests/vectors/sign.json"),
        &json!({ "public_key": encode(key.public().bytes()), "signatures": signatures }),
    );
}

#[test]
fn tags() {
    let key = IndexKey::from_secret(&seed(4));
    check(
        include_str!("../../../../tests/vectors/index.json"),
        &json!({
            "tag": encode(&key.tag("subject", b"value")),
            "index": encode(&key.index("relation", b"value")),
            "tag_2026": encode(&key.for_year(2026).tag("subject", b"value")),
        }),
    );
}

#[test]
fn sealed_at_rest() {
    let file = serde_json::from_str(include_str!("../../../../tests/vectors/rest.json")).unwrap();
    let place = Place {
        table: "handover",
        row: &[5; 16],
        column: "body",
    };
    let sealed = decode(text(&file, "sealed")).unwrap();
    let opened = Crypter::new(&[&seed(6)]).open(&place, &sealed).unwrap();
    assert_eq!(encode(opened.expose()), text(&file, "value"));
}

#[test]
fn ciphertexts() {
    let file =
        serde_json::from_str(include_str!("../../../../tests/vectors/ciphertext.json")).unwrap();
    let key = ContextKey::from_secret(&Secret::new(small_scalar(9))).unwrap();
    assert_eq!(encode(key.public().bytes()), text(&file, "public_key"));
    let ciphertext = decode(text(&file, "ciphertext")).unwrap();
    let opened = key.decrypt(&Ciphertext::parse(&ciphertext).unwrap());
    assert_eq!(encode(opened.unwrap().bytes()), text(&file, "pseudonym"));
}

#[test]
fn sealed_shares() {
    let file = serde_json::from_str(include_str!("../../../../tests/vectors/share.json")).unwrap();
    let share = SealedShare {
        encapsulation: decode(text(&file, "encapsulation")).unwrap(),
        sealed: decode(text(&file, "sealed")).unwrap(),
    };
    let key = OpeningKey::from_seed(&seed(7));
    let opened = open_share(&key, text(&file, "context"), &share).unwrap();
    assert_eq!(encode(opened.expose()), text(&file, "share"));
}

#[test]
fn sealed_fields() {
    let file =
        serde_json::from_str(include_str!("../../../../tests/vectors/sealing.json")).unwrap();
    let key = OpeningKey::from_seed(&seed(7));
    assert_eq!(
        encode(&key.public().sha256()),
        text(&file, "sealing_key_sha256")
    );
    let field = SealedField {
        label: text(&file, "label").parse().unwrap(),
        sealed: decode(text(&file, "sealed")).unwrap(),
    };
    let encapsulation = decode(text(&file, "encapsulation")).unwrap();
    let handover = HandoverId::from_slice(&[8; 16]).unwrap();
    let opened = open_field(&key, &handover, Stage::Release, &encapsulation, &field).unwrap();
    assert_eq!(encode(opened.expose()), text(&file, "value"));
}
