//! What was acknowledged is there after any crash; what was not is gone; and nothing lies open.

use super::*;
use std::fs::OpenOptions;
use std::io::Write as _;
use vault::chance::{SystemChance, draw_secret};

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let mut bytes = [0; 8];
        SystemChance::new().fill(&mut bytes);
        let name = format!("sluis-store-{name}-{}", rules::hex::encode(&bytes));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("store.journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Folder, key: &Secret<[u8; 32]>) -> Result<Store, StoreError> {
    let crypter = Crypter::new(&[key]);
    Store::open(&folder.journal(), crypter, Arc::new(SystemChance::new()))
}

fn person(number: usize) -> PersonKey {
    PersonKey::new(&format!("dossier-{number}")).unwrap()
}

fn domain() -> Domain {
    "partner/00000099000000001000/main/1".parse().unwrap()
}

#[test]
fn what_was_kept_is_there_again_and_sealed() {
    let (folder, key) = (Folder::new("kept"), draw_secret());
    let pseudonyms: Vec<_> = (0..3).map(|n| (person(n), Pseudonym::random())).collect();
    let context: Context = "ctx/00000099000000001000/main/1".parse().unwrap();
    {
        let store = open(&folder, &key).unwrap();
        store.keep_pseudonyms(&domain(), &pseudonyms).unwrap();
        store
            .commit(vec![put_octets(Table::Cursor, b"inbox", b"c1".to_vec())])
            .unwrap();
        store.commit(vec![remove(Table::Cursor, b"inbox")]).unwrap();
        assert!(matches!(open(&folder, &key), Err(StoreError::InUse { .. })));
    }
    let store = open(&folder, &key).unwrap();
    for (person, pseudonym) in &pseudonyms {
        let kept = store.pseudonym(&domain(), person).unwrap();
        assert_eq!(kept.as_ref(), Some(pseudonym));
        let back = store.person(&domain(), pseudonym).unwrap();
        assert_eq!(back.as_ref(), Some(person));
    }
    assert!(store.octets(Table::Cursor, b"inbox").is_none());
    assert!(!store.has_context(&context));
    assert!(
        store
            .person(&domain(), &Pseudonym::random())
            .unwrap()
            .is_none()
    );
    let other = "partner/00000099000000001000/main/2".parse().unwrap();
    assert!(store.pseudonym(&other, &person(0)).unwrap().is_none());

    store
        .rename_person(&domain(), &person(0), &person(9))
        .unwrap();
    assert!(store.pseudonym(&domain(), &person(0)).unwrap().is_none());
    let renamed = store.person(&domain(), &pseudonyms[0].1).unwrap();
    assert_eq!(renamed, Some(person(9)));

    let file = std::fs::read(folder.journal()).unwrap();
    let holds = |what: &[u8]| file.windows(what.len()).any(|window| window == what);
    assert!(!holds(b"dossier-") && !holds(pseudonyms[1].1.bytes()));
}

#[test]
fn changes_that_come_together_are_all_kept_and_one_that_is_too_large_spoils_none() {
    const THREADS: u8 = 8;
    const CHANGES: u8 = 40;
    let (folder, key) = (Folder::new("together"), draw_secret());
    let store = open(&folder, &key).unwrap();
    let too_large = 16 * 1024 * 1024;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for number in 0..CHANGES {
                    let change = put_octets(Table::Cursor, &[thread, number], vec![number; 100]);
                    store.commit(vec![change]).unwrap();
                    // What was acknowledged is visible, whoever wrote it.
                    let seen = store.octets(Table::Cursor, &[thread, number]);
                    assert_eq!(seen, Some(vec![number; 100]));
                }
                let refused = put_octets(Table::Cursor, &[thread], vec![0; too_large]);
                let refused = store.commit(vec![refused]);
                assert!(matches!(refused, Err(StoreError::RecordTooLarge)));
            });
        }
    });
    drop(store);
    let store = open(&folder, &key).unwrap();
    for thread in 0..THREADS {
        for number in 0..CHANGES {
            let kept = store.octets(Table::Cursor, &[thread, number]);
            assert_eq!(kept, Some(vec![number; 100]), "{thread} {number}");
        }
        assert_eq!(store.octets(Table::Cursor, &[thread]), None);
    }
}

#[test]
fn a_torn_end_is_cut_off_and_nothing_else_is_lost() {
    let (folder, key) = (Folder::new("torn"), draw_secret());
    let store = open(&folder, &key).unwrap();
    store
        .commit(vec![put_octets(Table::Cursor, b"a", vec![1; 50])])
        .unwrap();
    let before = std::fs::metadata(folder.journal()).unwrap().len();
    store
        .commit(vec![put_octets(Table::Cursor, b"b", vec![2; 50])])
        .unwrap();
    drop(store);
    let whole = std::fs::read(folder.journal()).unwrap();
    let first = usize::try_from(before).unwrap();
    for length in first..whole.len() {
        std::fs::write(folder.journal(), &whole[..length]).unwrap();
        let store = open(&folder, &key).unwrap();
        assert_eq!(
            store.octets(Table::Cursor, b"a"),
            Some(vec![1; 50]),
            "{length}"
        );
        assert_eq!(store.octets(Table::Cursor, b"b"), None, "{length}");
        store
            .commit(vec![put_octets(Table::Cursor, b"c", vec![3])])
            .unwrap();
        drop(store);
        let store = open(&folder, &key).unwrap();
        assert_eq!(store.octets(Table::Cursor, b"c"), Some(vec![3]), "{length}");
    }
    // Octets that the file system reserved and never filled.
    std::fs::write(folder.journal(), &whole).unwrap();
    let mut file = OpenOptions::new()
        .append(true)
        .open(folder.journal())
        .unwrap();
    file.write_all(&[0; 300]).unwrap();
    let store = open(&folder, &key).unwrap();
    assert_eq!(store.octets(Table::Cursor, b"b"), Some(vec![2; 50]));
}

#[test]
fn damage_another_key_and_another_file_are_told_apart() {
    let (folder, key) = (Folder::new("damage"), draw_secret());
    let store = open(&folder, &key).unwrap();
    for number in 0..3 {
        store
            .commit(vec![put_octets(Table::Cursor, &[number], vec![1; 20])])
            .unwrap();
    }
    drop(store);
    assert!(matches!(
        open(&folder, &draw_secret()),
        Err(StoreError::Damaged { record: 0, .. })
    ));
    let whole = std::fs::read(folder.journal()).unwrap();
    let record = (whole.len() - 32) / 3;
    let check = |bytes: &[u8], expected: u64| {
        std::fs::write(folder.journal(), bytes).unwrap();
        match open(&folder, &key) {
            Err(StoreError::Damaged { record, .. }) => assert_eq!(record, expected),
            other => panic!("{other:?}"),
        }
    };
    let mut flipped = whole.clone();
    flipped[32 + record + 40] ^= 1;
    check(&flipped, 1);
    let mut swapped = whole.clone();
    swapped[32..].rotate_left(record);
    check(&swapped, 0);
    let mut other_file = whole;
    other_file[20] ^= 1;
    check(&other_file, 0);
    std::fs::write(folder.journal(), b"something else altogether, thirty-two").unwrap();
    assert!(matches!(
        open(&folder, &key),
        Err(StoreError::NoJournal { .. })
    ));
}

#[test]
fn rewriting_keeps_what_lives_and_drops_what_does_not() {
    let (folder, key) = (Folder::new("compact"), draw_secret());
    let store = open(&folder, &key).unwrap();
    for round in 0..40_u8 {
        store
            .commit(vec![put_octets(
                Table::Cursor,
                b"big",
                vec![round; 64 * 1024],
            )])
            .unwrap();
    }
    store
        .commit(vec![put_octets(Table::Cursor, b"small", vec![7])])
        .unwrap();
    let length = std::fs::metadata(folder.journal()).unwrap().len();
    assert!(length < 1_400_000, "{length}");
    drop(store);
    let store = open(&folder, &key).unwrap();
    assert_eq!(
        store.octets(Table::Cursor, b"big"),
        Some(vec![39; 64 * 1024])
    );
    assert_eq!(store.octets(Table::Cursor, b"small"), Some(vec![7]));
    let handover = HandoverId::from_slice(&[1; 16]).unwrap();
    store.erase_opened(&handover).unwrap();
    let length = std::fs::metadata(folder.journal()).unwrap().len();
    assert!(length < 70_000, "{length}");
}
