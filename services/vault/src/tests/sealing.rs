//! Sealed fields: any subset opens, nothing opens anywhere else.

use crate::sealing::{
    ENCAPSULATION_BYTES, OpeningKey, SEALING_KEY_BYTES, Sealed, SealedField, SealingError,
    SealingKey, Stage, open_field, open_fields, seal_fields,
};
use rules::id::{HandoverId, Label};
use rules::limits::{FIELD_BYTES_MAX, MANIFEST_LABELS_MAX};

fn handover(number: u8) -> HandoverId {
    HandoverId::from_slice(&[number; 16]).unwrap()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

const VALUES: [(&str, &[u8]); 4] = [
    ("contact.naam", b"A. Test"),
    ("contact.telefoon", b""),
    ("profiel.beroep", &[0; 300]),
    ("profiel.beroep_2", b"x"),
];

fn seal(key: &OpeningKey) -> Sealed {
    let fields: Vec<_> = VALUES
        .iter()
        .map(|(text, value)| (label(text), *value))
        .collect();
    seal_fields(&key.public(), &handover(1), Stage::Release, &fields).unwrap()
}

#[test]
fn every_subset_opens() {
    let key = OpeningKey::from_seed(&OpeningKey::generate());
    let whole = seal(&key);
    for subset in 0_usize..16 {
        let keep = |position: &usize| subset >> position & 1 == 1;
        let fields = (0..4)
            .filter(keep)
            .map(|position| whole.fields[position].clone())
            .collect();
        let sealed = Sealed {
            fields,
            ..whole.clone()
        };
        let opened = open_fields(&key, &handover(1), Stage::Release, &sealed).unwrap();
        let expected: Vec<_> = (0..4)
            .filter(keep)
            .map(|position| VALUES[position])
            .collect();
        assert_eq!(opened.len(), expected.len());
        for (opened, (text, value)) in opened.iter().zip(expected) {
            assert_eq!(opened.label.as_str(), text);
            assert_eq!(opened.value.expose(), value);
        }
    }
}

#[test]
fn sizes_tell_little() {
    let key = OpeningKey::from_seed(&OpeningKey::generate());
    let lengths = [
        (0, 256),
        (1, 256),
        (252, 256),
        (253, 512),
        (FIELD_BYTES_MAX, 65_792),
    ];
    for (length, expected) in lengths {
        let value = vec![7; length];
        let sealed = seal_fields(
            &key.public(),
            &handover(1),
            Stage::Offer,
            &[(label("a"), &value)],
        )
        .unwrap();
        assert_eq!(sealed.fields[0].sealed.len(), expected + 16, "{length}");
        assert_eq!(sealed.encapsulation.len(), ENCAPSULATION_BYTES);
        let opened = open_fields(&key, &handover(1), Stage::Offer, &sealed).unwrap();
        assert_eq!(opened[0].value.expose(), &value);
    }
    assert_eq!(key.public().bytes().len(), SEALING_KEY_BYTES);
}

/// Opens the first field after one change, and expects a refusal.
#[track_caller]
fn check_refused(change: impl FnOnce(&mut Opening)) {
    let key = OpeningKey::from_seed(&OpeningKey::generate());
    let sealed = seal(&key);
    let mut opening = Opening {
        handover: handover(1),
        stage: Stage::Release,
        field: sealed.fields[0].clone(),
        sealed,
        key,
    };
    opening.open().unwrap();
    change(&mut opening);
    assert_eq!(opening.open(), Err(SealingError::NotOpened));
}

struct Opening {
    key: OpeningKey,
    handover: HandoverId,
    stage: Stage,
    sealed: Sealed,
    field: SealedField,
}

impl Opening {
    fn open(&self) -> Result<Vec<u8>, SealingError> {
        let encapsulation = &self.sealed.encapsulation;
        open_field(
            &self.key,
            &self.handover,
            self.stage,
            encapsulation,
            &self.field,
        )
        .map(|value| value.expose().clone())
    }
}

#[test]
fn nothing_opens_elsewhere() {
    check_refused(|opening| opening.handover = handover(2));
    check_refused(|opening| opening.stage = Stage::Offer);
    check_refused(|opening| opening.stage = Stage::Report);
    check_refused(|opening| opening.field.label = label("contact.telefoon"));
    check_refused(|opening| opening.field.sealed = opening.sealed.fields[1].sealed.clone());
    check_refused(|opening| opening.key = OpeningKey::from_seed(&OpeningKey::generate()));
    check_refused(|opening| opening.sealed.encapsulation = seal(&opening.key).encapsulation);
    check_refused(|opening| opening.sealed.encapsulation[0] ^= 1);
    check_refused(|opening| {
        opening
            .sealed
            .encapsulation
            .truncate(opening.sealed.encapsulation.len() - 1)
    });
    check_refused(|opening| opening.sealed.encapsulation.clear());
    check_refused(|opening| opening.field.sealed[0] ^= 1);
    check_refused(|opening| {
        opening
            .field
            .sealed
            .truncate(opening.field.sealed.len() - 1)
    });
    check_refused(|opening| opening.field.sealed.clear());
    check_refused(|opening| opening.field.sealed.resize(1 << 20, 0));
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    let key = OpeningKey::from_seed(&OpeningKey::generate()).public();
    let seal = |fields: &[(Label, &[u8])]| {
        seal_fields(&key, &handover(1), Stage::Offer, fields).map(|sealed| sealed.fields.len())
    };
    let twice: [(Label, &[u8]); 2] = [(label("a"), b"1"), (label("a"), b"2")];
    assert_eq!(seal(&twice), Err(SealingError::LabelTwice));
    let long = vec![0; FIELD_BYTES_MAX + 1];
    assert_eq!(
        seal(&[(label("a"), &long)]),
        Err(SealingError::FieldTooLong)
    );
    let many: Vec<(Label, &[u8])> = (0..=MANIFEST_LABELS_MAX)
        .map(|number| (label(&format!("a{number}")), &b""[..]))
        .collect();
    assert_eq!(seal(&many), Err(SealingError::TooManyFields));
    assert_eq!(seal(&many[1..]), Ok(MANIFEST_LABELS_MAX));
    assert_eq!(seal(&[]), Ok(0));
}

#[test]
fn two_seals_share_nothing() {
    let key = OpeningKey::from_seed(&OpeningKey::generate());
    let (first, second) = (seal(&key), seal(&key));
    assert_ne!(first.encapsulation, second.encapsulation);
    for (one, other) in first.fields.iter().zip(&second.fields) {
        assert_ne!(one.sealed, other.sealed);
    }
}

#[test]
fn a_sealing_key_has_one_length_and_one_form() {
    let key = OpeningKey::from_seed(&OpeningKey::generate()).public();
    assert_eq!(SealingKey::parse(key.bytes()).unwrap(), key);
    for length in [0, 32, 1_215, 1_217] {
        assert_eq!(
            SealingKey::parse(&vec![0; length]).err(),
            Some(SealingError::Key),
            "{length}"
        );
    }
    // Coefficients of the ML-KEM half beyond the modulus (FIPS 203 7.2).
    assert_eq!(
        SealingKey::parse(&[0xff; SEALING_KEY_BYTES]).err(),
        Some(SealingError::Key)
    );
}
