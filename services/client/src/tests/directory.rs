//! A directory is taken over only when everybody who must have signed it has.

use super::world::{NOW, UWV, controller_key, controllers, file, seed, signed};
use crate::{Controller, DirectoryCopy, DirectoryError};
use rules::directory::{DirectoryFile, sealing_key_bytes};
use rules::reason::Reason;
use vault::sealing::OpeningKey;
use vault::sign::{Paper, SigningKey};
use wire::handover::v1::SealingKey;

fn verify(file: &DirectoryFile) -> Result<DirectoryCopy, DirectoryError> {
    let (bytes, signatures) = signed(file);
    DirectoryCopy::verify(bytes, signatures, &controllers(), None)
}

#[track_caller]
fn check(outcome: Result<DirectoryCopy, DirectoryError>, expected: Option<Reason>) {
    assert_eq!(outcome.err().map(|error| error.reason()), expected);
}

#[test]
fn all_signatures_count() {
    check(verify(&file(4)), None);
    let (bytes, signatures) = signed(&file(4));
    let mut changed = bytes.clone();
    changed.push(b'\n');
    let unsigned = Some(Reason::DirectorySignatureInvalid);
    check(
        DirectoryCopy::verify(changed, signatures.clone(), &controllers(), None),
        unsigned,
    );
    check(
        DirectoryCopy::verify(bytes.clone(), Vec::new(), &controllers(), None),
        unsigned,
    );
    check(
        DirectoryCopy::verify(bytes.clone(), signatures.clone(), &[], None),
        unsigned,
    );
    let second = Controller {
        name: "gemeente".to_owned(),
        key: SigningKey::from_seed(&SigningKey::generate()).public(),
    };
    let both = [controllers(), vec![second]].concat();
    check(
        DirectoryCopy::verify(bytes.clone(), signatures.clone(), &both, None),
        unsigned,
    );
    let mut renamed = signatures;
    renamed[0].controller = "gemeente".to_owned();
    check(
        DirectoryCopy::verify(bytes, renamed, &controllers(), None),
        unsigned,
    );
}

#[test]
fn what_is_signed_inside_counts_too() {
    let mut tampered = file(4);
    tampered.peers[0].realms[0].sealing_key_valid_until_millis = Some(i64::MAX);
    check(verify(&tampered), Some(Reason::DirectorySignatureInvalid));
    let mut broken = file(4);
    broken.holders.clear();
    check(verify(&broken), Some(Reason::DirectoryInvalid));
}

#[test]
fn a_lower_version_is_refused() {
    let present = verify(&file(4)).unwrap();
    for (version, expected) in [
        (3, Some(Reason::DirectoryVersionLower)),
        (4, Some(Reason::DirectoryVersionLower)),
        (5, None),
    ] {
        check(
            verify(&file(version)).unwrap().newer_than(Some(&present)),
            expected,
        );
    }
    check(verify(&file(1)).unwrap().newer_than(None), None);
}

#[test]
fn keys_are_read_from_it() {
    let copy = verify(&file(4)).unwrap();
    assert_eq!(copy.holder_keys().unwrap().len(), 2);
    assert!(copy.promise_key().is_some());
    assert_ne!(copy.promise_key(), Some(controller_key().public()));
    let uwv = "00000099000000001000/main".parse().unwrap();
    assert!(copy.signer(&uwv, &"werkplein".parse().unwrap()).is_ok());
    assert!(copy.signer(&uwv, &"broker".parse().unwrap()).is_err());
    let other = "00000099000000001000/kassier".parse().unwrap();
    assert!(copy.signer(&other, &"werkplein".parse().unwrap()).is_err());
}

/// A sealing key of the UWV as the gateway sends it: of this seed, valid for so long after now.
fn sent(number: usize, millis: i64) -> SealingKey {
    let party = format!("{UWV}/main");
    let key = OpeningKey::from_seed(&seed(number)).public();
    let until = NOW.plus_millis(millis).millis();
    let bytes = sealing_key_bytes(&party, key.bytes(), until);
    let signing = SigningKey::from_seed(&seed(0));
    SealingKey {
        public_key: key.bytes().to_vec(),
        valid_until_millis: until,
        signature: signing.sign(Paper::SealingKey, &bytes).bytes().to_vec(),
        signed_by_desk: "werkplein".to_owned(),
    }
}

#[test]
fn a_sealing_key_older_than_the_own_directorys_is_refused() {
    let copy = verify(&file(4)).unwrap();
    let party = format!("{UWV}/main").parse().unwrap();
    // The directory has the key of seed 0, for a second.
    for (key, fits) in [
        (sent(0, 1_000), true),
        (sent(1, 1_001), true),
        (sent(1, 1_000), false),
        (sent(1, 999), false),
    ] {
        let until = key.valid_until_millis;
        let verified = copy.verify_sealing_key(&party, &key, NOW);
        assert_eq!(verified.is_ok(), fits, "until {until}: {verified:?}");
    }
}

#[test]
fn a_directory_past_its_end_says_so() {
    let mut ended = file(4);
    ended.valid_until_millis = NOW.millis() + 1;
    let copy = verify(&ended).unwrap();
    assert!(copy.check_end(NOW.plus_millis(1)).is_ok());
    let error = copy.check_end(NOW.plus_millis(2)).unwrap_err();
    assert_eq!(error.reason(), Reason::DirectoryExpired);
    assert!(error.to_string().contains("version 4"), "{error}");
    assert!(error.to_string().contains("CET"), "{error}");
}
