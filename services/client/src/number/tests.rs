//! What is found and what is not, as one table, and how often other numbers are taken for one.
//!
//! Must never hold a number of somebody: those that begin with 9999 are nobody's.

use super::{Bsn, find, mask_bsn};
use rules::clock::Random;
use vault::chance::SystemChance;

/// A test number that nobody has; it passes the eleven-test, and the one after it does not.
const NUMBER: &str = "999990019";

/// Texts with a number in them, and at which character it begins, from 1.
const FOUND: &[(&str, usize)] = &[
    (NUMBER, 1),
    ("BSN 999990019.", 5),
    ("bsn999990019", 4),
    ("999990019bsn", 1),
    ("klant999990019", 6),
    ("bsn: 9999.90.019, bel morgen", 6),
    ("9-9-9-9-9-0-0-1-9", 1),
    ("9 9 9 9 9 0 0 1 9", 1),
    ("999 990\u{a0}019", 1),
    ("999–990–019", 1),
    ("999\u{2212}990\u{2015}019", 1),
    ("999\t990\t019", 1),
    ("999/990/019", 1),
    ("999\\990\\019", 1),
    ("999_990_019", 1),
    ("999\u{202f}990\u{2009}019", 1),
    ("999\u{3000}990\u{2003}019", 1),
    ("999·990·019", 1),
    ("999.990 019", 1),
    ("99\u{200b}9990\u{ad}019", 1),
    ("\u{feff}9\u{2060}9\u{200d}9\u{202e}990019", 2),
    ("9\u{336}9\u{336}9\u{336}990019", 1),
    ("９９９９９００１９", 1),
    ("٩٩٩٩٩٠٠١٩", 1),
    ("۹۹۹۹۹۰۰۱۹", 1),
    ("९९९९९००१९", 1),
    ("\u{1d7d7}\u{1d7d7}999\u{1d7ce}\u{1d7ce}19", 1),
    ("9999.90.019 2 kinderen", 1),
    ("999 990 019 06-12345678", 1),
    ("999 990 019 06 12 34 56 78", 1),
    ("06-12345678 999 990 019", 13),
    ("06 12345678 999990019", 13),
    ("+31 6 12345678 999990019", 16),
    ("999990019 06-12345678", 1),
    ("999.990.019/06-12345678", 1),
    ("2 kinderen, 3 999990019", 15),
    ("nr 5 999990019", 6),
    ("op 30-11-2026 999990019", 15),
    ("999990019 op 30-11-2026", 1),
    ("30-11-2026 999.990.019", 12),
    ("1234 AB 12 999990019", 12),
    ("1\n999990019", 3),
    ("1\r\n999990019", 4),
    ("1,999990019,Jansen", 3),
    ("999990019,999990020", 1),
    ("999990019;061234", 1),
    ("new-999990019", 5),
    ("dossier_2026_999990019", 14),
    ("(1) 999990019", 5),
    ("é 999990019", 3),
];

/// Texts without one. What has nine digits in a row, but for the reason why they are none, passes the eleven-test.
const NOT_FOUND: &[&str] = &[
    "",
    "999990018",
    "000000000",
    "99999001",
    "0999990019",
    "9999900190",
    "999990019-1",
    "1.999990019",
    "1/999/990/019",
    "999_990_019_1",
    "999  990019",
    "999 - 990 - 019",
    "999,990,019",
    "999\n990\n019",
    "999990019,50",
    "999.990.019,00",
    "€ 999 990 019,5",
    "0,999990019",
    // Days: the digits of each but the last make a number, or do with the sign beside it.
    "30-11-2026 2",
    "8 2026-11-30",
    "30.11.2026 2",
    "30/11/2026 2",
    "2026-11-30-9",
    "1-12-26 1231",
    // Telephones.
    "+31 999990019",
    "+31999990019",
    "+31-999990019",
    "0031 999990019",
    "00 31 999990019",
    "+31 (0)999990019",
    "+31 (0) 999990019",
    "(+31) 999990019",
    "(0031)999990019",
    "(0)9 99990019",
    "0999990019",
    "06 12345679 4",
    // Codes.
    "NL91 ABNA 0417 1643 00",
    "NL91ABNA0417164300",
    "NL999990019B01",
    "x9Kq999990019",
    "999990019e",
    "9b1deb4d-3b7d-4bad-9bdd-abc999990019",
    "0b1deb4d-3b7d-4bad-9999-90019abcdef0",
    "hnd_01a207c6b999990019a3e70eb3420b1f",
];

#[test]
fn what_looks_like_a_number_is_found_and_the_rest_is_not() {
    for (text, place) in FOUND {
        assert_eq!(find(text), Some(*place), "{text:?}");
    }
    for text in NOT_FOUND {
        assert_eq!(find(text), None, "{text:?}");
    }
}

#[test]
fn a_number_is_shown_as_nine_x() {
    for (text, shown) in [
        ("bsn 9999.90.019, bel", "bsn xxxxxxxxx, bel"),
        ("٩٩٩٩٩٠٠١٩ 999990020!", "xxxxxxxxx xxxxxxxxx!"),
        ("'99\u{200b}9990019'", "'xxxxxxxxx'"),
    ] {
        assert_eq!(mask_bsn(text).as_deref(), Some(shown));
    }
    assert_eq!(mask_bsn("klant 7"), None);
    for (text, _) in FOUND {
        let shown = mask_bsn(text).unwrap();
        assert_eq!(find(&shown), None, "{text:?} becomes {shown:?}");
    }
}

/// What the other numbers are drawn with.
struct Drawn(SystemChance);

impl Drawn {
    fn below(&self, end: u64) -> u64 {
        let mut octets = [0; 8];
        self.0.fill(&mut octets);
        u64::from_le_bytes(octets) % end
    }

    fn uuid(&self) -> String {
        let hex = format!("{:016x}{:016x}", self.below(u64::MAX), self.below(u64::MAX));
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }

    fn day(&self) -> (u64, u64, u64) {
        (
            1_940 + self.below(100),
            1 + self.below(12),
            1 + self.below(28),
        )
    }
}

/// Draws one number as somebody writes it.
type Writing = fn(&Drawn) -> String;

/// Other numbers, each in the ways in which people write it. None may ever be taken for a number, whatever its digits.
const KINDS: &[(&str, Writing)] = &[
    ("telephones at home", |drawn| {
        let (rest, way) = (drawn.below(100_000_000), drawn.below(4));
        let rest = format!("{rest:08}");
        match way {
            0 => format!("06-{rest}"),
            1 => format!("06 {rest} {}", drawn.below(10)),
            2 => format!(
                "06 {} {} {} {}",
                &rest[..2],
                &rest[2..4],
                &rest[4..6],
                &rest[6..]
            ),
            _ => format!("0{} - {}", &rest[..2], &rest[1..]),
        }
    }),
    ("telephones from abroad", |drawn| {
        let rest = format!("6{:08}", drawn.below(100_000_000));
        let code = [
            "+31 ", "+31", "+31-", "0031 ", "0031", "+31 (0)", "+31 (0) ", "(+31) ",
        ];
        format!("{}{rest}", code[drawn.below(8) as usize])
    }),
    ("UUIDs", Drawn::uuid),
    ("hexadecimal ids", |drawn| {
        format!("hnd_{}", drawn.uuid().replace('-', ""))
    }),
    ("amounts with cents", |drawn| {
        let (whole, cents) = (drawn.below(1_000_000_000), drawn.below(100));
        let dots = format!(
            "{}.{:03}.{:03}",
            whole / 1_000_000,
            whole / 1_000 % 1_000,
            whole % 1_000
        );
        let whole = if drawn.below(2) == 0 {
            dots
        } else {
            whole.to_string()
        };
        format!("€ {whole},{cents:02}")
    }),
    ("days beside a digit", |drawn| {
        let (year, month, day) = drawn.day();
        let mark = ["-", ".", "/"][drawn.below(3) as usize];
        let digit = drawn.below(10);
        if drawn.below(2) == 0 {
            format!("{digit} {year}{mark}{month:02}{mark}{day:02} {digit}")
        } else {
            format!("{digit} {day:02}{mark}{month:02}{mark}{year} {digit}")
        }
    }),
    ("moments", |drawn| {
        let (year, month, day) = drawn.day();
        let rest = drawn.below(86_400_000);
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, part) = (rest / 1_000 % 60, rest % 1_000);
        let between = ["T", " "][drawn.below(2) as usize];
        format!("{year}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}.{part:03}Z")
    }),
    ("postcodes with a house", |drawn| {
        format!("{} AB {}", 1_000 + drawn.below(9_000), drawn.below(1_000))
    }),
    ("accounts", |drawn| {
        let account = format!("{:010}", drawn.below(10_000_000_000));
        let (a, b, c) = (&account[..4], &account[4..8], &account[8..]);
        if drawn.below(2) == 0 {
            format!("NL{:02} INGB {a} {b} {c}", drawn.below(100))
        } else {
            format!("NL{:02}INGB{account}", drawn.below(100))
        }
    }),
    ("chambers of commerce", |drawn| {
        format!("KvK {:08}", drawn.below(100_000_000))
    }),
];

#[test]
fn other_numbers_are_not_taken_for_one() {
    const TEXTS: u64 = 20_000;
    let drawn = Drawn(SystemChance::new());
    let mut wrong = Vec::new();
    for (kind, draw) in KINDS {
        let texts = (0..TEXTS).map(|_| draw(&drawn));
        let taken: Vec<String> = texts.filter(|text| find(text).is_some()).collect();
        eprintln!("{kind}: {} of {TEXTS} taken for a number", taken.len());
        wrong.extend(taken.into_iter().take(3));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    // What the eleven-test alone leaves of nine digits: one of eleven.
    let nine = (0..TEXTS).map(|_| format!("{:09}", drawn.below(1_000_000_000)));
    let (passing, found) = nine.fold((0, 0), |(passing, found), text| {
        let passes = text.parse::<Bsn>().is_ok();
        (
            passing + u64::from(passes),
            found + u64::from(find(&text).is_some()),
        )
    });
    eprintln!("nine digits: {found} of {TEXTS} taken for a number");
    assert_eq!(passing, found);
    assert!((TEXTS / 13..TEXTS / 9).contains(&found), "{found}");
}
