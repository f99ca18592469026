//! Neutral realms, centres of regions and titles.
//!
//! Must never know a realm by its name.

use super::{check, directory, file, party};
use crate::directory::{DirectoryFile, Right};

/// Makes a realm `main` the neutral centre of a region.
fn neutral(file: &mut DirectoryFile, peer: usize) {
    let peer = &mut file.peers[peer];
    for desk in &mut peer.desks {
        desk.rights.retain(|right| right != Right::Bsn.code());
    }
    peer.realms[0].neutral = true;
    peer.realms[0].centre_of = vec!["NHN".to_owned()];
}

#[test]
fn a_realm_is_known_by_what_the_directory_says_and_not_by_its_name() {
    let mut file = file();
    neutral(&mut file, 1);
    file.peers[1].realms[0].title = "het regioteam".to_owned();
    let directory = directory(&file);
    let (team, other) = (party(2, "main"), party(2, "kassier"));
    let region = "NHN".parse().unwrap();
    assert!(directory.is_neutral(&team) && !directory.is_neutral(&other));
    assert!(directory.is_centre(&team, Some(&region)));
    assert!(!directory.is_centre(&team, Some(&"ZKIJ".parse().unwrap())));
    assert!(!directory.is_centre(&team, None) && !directory.is_centre(&other, Some(&region)));
    assert!(!directory.has_bsn(&team) && directory.has_bsn(&party(3, "main")));
    assert_eq!(directory.title(&team), Some("het regioteam"));
    assert_eq!(directory.title(&other), Some("Organisatie 2"));
}

#[test]
fn a_neutral_realm_has_no_numbers_and_a_region_has_one_centre() {
    check(|file| neutral(file, 1), &[]);
    check(
        |file| file.peers[1].realms[0].neutral = true,
        &["peer[1].realm[0].neutral"],
    );
    check(
        |file| {
            neutral(file, 1);
            neutral(file, 2);
        },
        &["peer[2].realm[0].centre_of[0]"],
    );
    check(
        |file| file.peers[1].realms[0].centre_of = vec!["NHN".to_owned()],
        &["peer[1].realm[0].centre_of"],
    );
}
