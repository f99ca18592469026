//! Values at rest: they open where they lie and nowhere else; tags and key files.

use crate::keyfile::{KeyFile, KeyFileError, PREFIX, Role, SecretName};
use crate::rest::{
    Crypter, DataKey, DayKey, DayKeys, IndexKey, Place, RestError, SEALED_EXTRA_BYTES, wrapped_day,
};
use rules::secret::Secret;

const PLACE: Place<'_> = Place {
    table: "handover",
    row: &[1; 16],
    column: "body",
};

const ELSEWHERE: [Place<'_>; 5] = [
    Place {
        row: &[2; 16],
        ..PLACE
    },
    Place {
        column: "note",
        ..PLACE
    },
    Place {
        table: "entry",
        ..PLACE
    },
    Place {
        table: "handove",
        row: &[b'r'; 16],
        column: "body",
    },
    Place {
        table: "",
        row: &[],
        column: "",
    },
];

#[test]
fn a_value_opens_in_its_place_only() {
    let secret = IndexKey::generate();
    let crypter = Crypter::new(&[&secret]);
    let data_key = DataKey::generate();
    for length in [0, 1, 16, 10_000] {
        let value = vec![3; length];
        let by_rest_key = crypter.seal(&PLACE, &value).unwrap();
        let by_data_key = data_key.seal(&PLACE, &value).unwrap();
        assert_eq!(by_rest_key.len(), length + SEALED_EXTRA_BYTES);
        assert_eq!(crypter.open(&PLACE, &by_rest_key).unwrap().expose(), &value);
        assert_eq!(
            data_key.open(&PLACE, &by_data_key).unwrap().expose(),
            &value
        );
        for place in ELSEWHERE {
            assert_eq!(
                crypter.open(&place, &by_rest_key).err(),
                Some(RestError::NotOpened)
            );
            assert_eq!(
                data_key.open(&place, &by_data_key).err(),
                Some(RestError::NotOpened)
            );
        }
    }
    assert_ne!(
        crypter.seal(&PLACE, b"x").unwrap(),
        crypter.seal(&PLACE, b"x").unwrap()
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let data_key = DataKey::generate();
    let sealed = data_key.seal(&PLACE, b"value").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut forged = sealed.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(data_key.open(&PLACE, &forged).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(
            data_key.open(&PLACE, &sealed[..length]).is_err(),
            "length {length}"
        );
    }
    assert!(DataKey::generate().open(&PLACE, &sealed).is_err());
}

#[test]
fn a_new_rest_key_seals_and_the_old_one_still_opens() {
    let (old, new) = (IndexKey::generate(), IndexKey::generate());
    let before = Crypter::new(&[&old]).seal(&PLACE, b"value").unwrap();
    let both = Crypter::new(&[&new, &old]);
    assert_eq!(both.open(&PLACE, &before).unwrap().expose(), b"value");
    let after = both.seal(&PLACE, b"value").unwrap();
    let only_new = Crypter::new(&[&new]);
    assert_eq!(only_new.open(&PLACE, &after).unwrap().expose(), b"value");
    assert_eq!(only_new.open(&PLACE, &before).err(), Some(RestError::NoKey));
    assert_eq!(
        Crypter::new(&[]).seal(&PLACE, b"").err(),
        Some(RestError::NotSealed)
    );
}

#[test]
fn destroying_a_day_key_destroys_what_it_wrapped() {
    let mut days = DayKeys::new([(20_000, DayKey::generate()), (20_001, DayKey::generate())]);
    assert!(
        days.current(20_002).is_none(),
        "no other day's key stands in"
    );
    let nearest = |day| days.nearest(day).map(DayKey::day);
    assert_eq!(nearest(20_000), Some(20_000));
    assert_eq!(nearest(20_009), Some(20_001));
    assert_eq!(nearest(7), Some(20_000));
    assert!(DayKeys::default().nearest(20_000).is_none());
    days.insert(DayKey::from_secret(20_002, &DayKey::generate()));
    let data_key = DataKey::generate();
    let sealed = data_key.seal(&PLACE, b"value").unwrap();
    let place = Place {
        column: "data_key",
        ..PLACE
    };
    let wrapped = days
        .current(20_001)
        .unwrap()
        .wrap(&place, &data_key)
        .unwrap();
    assert_eq!(wrapped_day(&wrapped), Some(20_001));
    assert_eq!(days.of(&wrapped).map(DayKey::day), Some(20_001));
    let read = days.unwrap(&place, &wrapped).unwrap();
    assert_eq!(read.open(&PLACE, &sealed).unwrap().expose(), b"value");
    assert_eq!(
        days.unwrap(&PLACE, &wrapped).err(),
        Some(RestError::NotOpened),
        "moved"
    );
    let wrong_day = days.current(20_000).unwrap().unwrap(&place, &wrapped);
    assert_eq!(wrong_day.err(), Some(RestError::NoKey));
    let mut renumbered = wrapped.clone();
    renumbered[..4].copy_from_slice(&20_000_u32.to_be_bytes());
    assert_eq!(
        days.unwrap(&place, &renumbered).err(),
        Some(RestError::NotOpened)
    );
    days.remove(20_001);
    assert_eq!(days.unwrap(&place, &wrapped).err(), Some(RestError::NoKey));
    assert_eq!(days.unwrap(&place, &[]).err(), Some(RestError::NoKey));
}

#[test]
fn tags_keep_kinds_keys_and_years_apart() {
    let key = IndexKey::from_secret(&IndexKey::generate());
    let tag = key.tag("subject", b"value");
    assert_eq!(tag, key.tag("subject", b"value"));
    assert_eq!(tag[..], key.index("subject", b"value")[..16]);
    let others = [
        key.tag("sender", b"value"),
        key.tag("subjectv", b"alue"),
        key.tag("subject", b"values"),
        key.for_year(2026).tag("subject", b"value"),
        key.for_year(2027).tag("subject", b"value"),
        IndexKey::from_secret(&IndexKey::generate()).tag("subject", b"value"),
    ];
    for (position, other) in others.iter().enumerate() {
        assert_ne!(tag, *other, "{position}");
        assert!(others.iter().skip(position + 1).all(|later| later != other));
    }
}

const ROLES: [Role; 4] = [Role::Broker, Role::Holder, Role::Portal, Role::Desk];

#[test]
fn a_key_file_reads_back() {
    for role in ROLES {
        let written = KeyFile::generate(role);
        let text = written.to_text();
        assert_eq!(
            text.expose().matches(PREFIX).count(),
            role.compulsory().len()
        );
        let read = KeyFile::parse(role, &text).unwrap();
        for name in SecretName::ALL {
            let secrets = (written.secret(*name), read.secret(*name));
            assert_eq!(
                secrets.0.map(Secret::expose),
                secrets.1.map(Secret::expose),
                "{name}"
            );
            assert_eq!(
                read.require(*name).is_ok(),
                role.compulsory().contains(name)
            );
        }
        assert_eq!(read.rest_keys().len(), 1);
    }
    let holder = KeyFile::generate(Role::Holder);
    assert!(holder.holder_secrets().is_ok());
    assert!(KeyFile::generate(Role::Broker).holder_secrets().is_err());
}

#[track_caller]
fn check_refused(change: impl FnOnce(String) -> String, expected: KeyFileError) {
    let text = change(KeyFile::generate(Role::Desk).to_text().expose().clone());
    let read = KeyFile::parse(Role::Desk, &Secret::new(text));
    assert_eq!(read.err(), Some(expected));
}

#[test]
fn a_wrong_key_file_is_refused_without_repeating_it() {
    use KeyFileError::{Form, Missing, UnknownName, Value};
    let digits = "00".repeat(32);
    check_refused(|_| String::new(), Missing(SecretName::SigningSeed));
    check_refused(|_| "signing_seed".to_owned(), Form);
    check_refused(|_| "signing_seed = 1".to_owned(), Form);
    check_refused(|text| text.clone() + &text, Form);
    check_refused(|text| text.replace("rest_key", "rest_kye"), UnknownName);
    check_refused(
        |text| format!("{text}blinding_factor = \"{PREFIX}{digits}\""),
        UnknownName,
    );
    check_refused(
        |text| text.replace(PREFIX, ""),
        Value(SecretName::OpeningSeed),
    );
    check_refused(
        |text| text.replacen(PREFIX, &format!("{PREFIX}00"), 1),
        Value(SecretName::SigningSeed),
    );
    let printed = format!("{:?}", KeyFile::generate(Role::Desk));
    assert!(!printed.contains(PREFIX) && printed.contains("Secret(..)"));
    assert!(!format!("{UnknownName} {:?}", Value(SecretName::RestKey)).contains(&digits));
}

#[test]
fn the_primitives_that_benchmarks_time_all_run() {
    let bare = crate::measure::BareConversion::new();
    let mut names: Vec<_> = bare
        .primitives()
        .iter()
        .map(|primitive| primitive.name)
        .collect();
    bare.primitives()
        .iter()
        .for_each(|primitive| (primitive.run)());
    names.dedup();
    assert_eq!(names.len(), 9);
}
