//! What looks like a citizen service number in a text where none may stand.
//!
//! Must never tell which digits it found: a place in the text, and no more.

use crate::unseen::is_unseen;
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;
use vault::pseudonym::Bsn;

/// Digits of a citizen service number.
const DIGITS: usize = 9;
/// What a number is shown as.
const MASK: &str = "xxxxxxxxx";
/// Digits of a telephone number at home, with its zero; after that zero; and with the code of a country, at least.
const TELEPHONE_DIGITS: usize = 10;
const TELEPHONE_DIGITS_ABROAD: usize = 10;
/// What stands before the code of a country where no plus does.
const ABROAD: &str = "00";
/// Most digits behind the comma of an amount.
const CENTS: usize = 2;
/// Years that are taken for one.
const YEARS: Range<u32> = 1_900..2_101;
/// The digits 0 of all scripts (Unicode 16, category Nd); each has its 1 to 9 behind it.
const ZEROS: [u32; 76] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50,
    0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8,
    0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// What may stand between two digits of one number, by its shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Blank,
    Dash,
    Dot,
    Slash,
    Line,
}

impl Mark {
    fn of(character: char) -> Option<Self> {
        match character {
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => None,
            '-' | '\u{58a}' | '\u{5be}' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' => {
                Some(Self::Dash)
            }
            '\u{2e3a}' | '\u{2e3b}' | '\u{301c}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
                Some(Self::Dash)
            }
            '.' | '\u{b7}' | '\u{30fb}' | '\u{2022}' | '\u{2024}' | '\u{2027}' | '\u{2219}'
            | '\u{22c5}' | '\u{ff0e}' => Some(Self::Dot),
            '/' | '\\' | '\u{2044}' | '\u{2215}' | '\u{ff0f}' => Some(Self::Slash),
            '_' | '\u{203f}' | '\u{ff3f}' => Some(Self::Line),
            // An empty braille cell and a Hangul filler are drawn as a blank.
            '\u{2800}' | '\u{3164}' => Some(Self::Blank),
            blank => blank.is_whitespace().then_some(Self::Blank),
        }
    }
}

/// One character that is seen.
#[derive(Clone, Copy)]
struct Sign {
    character: char,
    digit: Option<char>,
    /// Where it stands in the text: which character, from 0, and which octet.
    place: usize,
    octet: usize,
}

/// Digits that follow each other without anything between that is seen.
struct Group {
    /// Its signs.
    signs: Range<usize>,
    digits: String,
    /// The one mark between this group and the one before.
    before: Option<Mark>,
    /// Whether it is part of a day or of a telephone number.
    is_taken: bool,
}

impl Group {
    fn within(&self, digits_max: usize, numbers: Range<u32>) -> bool {
        let number = self.digits.parse::<u32>();
        self.digits.len() <= digits_max && number.is_ok_and(|number| numbers.contains(&number))
    }

    fn is_year(&self) -> bool {
        self.within(4, YEARS)
    }
}

/// What was found, in the text as it was given.
struct Found {
    /// At which character it begins, from 0.
    place: usize,
    octets: Range<usize>,
}

/// A text as digits and what parts them.
struct Read {
    signs: Vec<Sign>,
    groups: Vec<Group>,
}

/// At which character, from 1, the first run begins that looks like a citizen service number; none where there is none.
///
/// A run is whole groups of digits, nine together, that pass the eleven-test, with at most one mark between two: a
/// blank, a dash, a dot, a slash or a low line, in any of Unicode's forms. Digits of every script count; what nobody
/// sees does not. A run is none where it is part of something longer:
///
/// - a dash or a dot, or the mark that stands within it, parts it from more digits (a blank does not: what follows a
///   blank is another number);
/// - a letter beside it belongs to a code: letters that could be hexadecimal, or that have a digit on their other side;
/// - it is in a day (2026-11-30, 30-11-2026, 30-11-26), in a telephone number (ten digits from a zero on, or what
///   follows `+31`, `0031` or `(0)`), or in an amount (`,50` behind it) or fraction (`0,` before it).
#[must_use]
pub(crate) fn find(text: &str) -> Option<usize> {
    let found = Read::new(text).found();
    found.first().map(|found| found.place.saturating_add(1))
}

/// The same text with everything in it that looks like a citizen service number as nine `x`; none where there is none.
#[must_use]
pub fn mask_bsn(text: &str) -> Option<String> {
    let found = Read::new(text).found();
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for Found { octets, .. } in &found {
        masked.push_str(text.get(end..octets.start).unwrap_or_default());
        masked.push_str(MASK);
        end = octets.end;
    }
    masked.push_str(text.get(end..).unwrap_or_default());
    (!found.is_empty()).then_some(masked)
}

fn digit(character: char) -> Option<char> {
    let code = u32::from(character);
    let zero = ZEROS
        .iter()
        .find(|zero| (**zero..zero.saturating_add(10)).contains(&code))?;
    char::from_digit(code.checked_sub(*zero)?, 10)
}

impl Read {
    fn new(text: &str) -> Self {
        let places = text.char_indices().enumerate();
        let signs: Vec<Sign> = places
            .filter(|(_, (_, character))| is_seen(*character))
            .map(|(place, (octet, character))| Sign {
                character,
                digit: digit(character),
                place,
                octet,
            })
            .collect();
        let mut groups: Vec<Group> = Vec::new();
        for (at, sign) in signs.iter().enumerate() {
            let Some(digit) = sign.digit else { continue };
            let gap = groups.last().and_then(|last| signs.get(last.signs.end..at));
            if let (Some([]), Some(last)) = (gap, groups.last_mut()) {
                last.digits.push(digit);
                last.signs.end = at.saturating_add(1);
                continue;
            }
            let before = match gap {
                Some([one]) => Mark::of(one.character),
                _ => None,
            };
            groups.push(Group {
                signs: at..at.saturating_add(1),
                digits: digit.to_string(),
                before,
                is_taken: false,
            });
        }
        let mut read = Self { signs, groups };
        read.take_dates();
        read.take_telephones();
        read
    }

    fn take(&mut self, groups: Range<usize>) {
        let taken = self.groups.get_mut(groups).unwrap_or_default();
        taken.iter_mut().for_each(|group| group.is_taken = true);
    }

    fn take_dates(&mut self) {
        let mut at = 0_usize;
        while at < self.groups.len() {
            let end = at.saturating_add(3);
            if self.is_date(at) {
                self.take(at..end);
                at = end;
            } else {
                at = at.saturating_add(1);
            }
        }
    }

    fn is_date(&self, at: usize) -> bool {
        let three = self.groups.get(at..at.saturating_add(3));
        let Some([first, second, third]) = three else {
            return false;
        };
        let mark = second.before;
        let in_date = [Mark::Dash, Mark::Dot, Mark::Slash].map(Some);
        let is_month = second.within(2, 1..13);
        if mark != third.before || !in_date.contains(&mark) || !is_month {
            return false;
        }
        let after = self.groups.get(at.saturating_add(3));
        let stands_alone = first.before != mark && after.is_none_or(|after| after.before != mark);
        let is_day = |group: &Group| group.within(2, 1..32);
        let is_short_year = third.digits.len() == 2 && stands_alone;
        (is_day(first) && (third.is_year() || is_short_year)) || (first.is_year() && is_day(third))
    }

    fn take_telephones(&mut self) {
        let mut at = 0_usize;
        while at < self.groups.len() {
            let end = at.saturating_add(self.telephone(at));
            self.take(at..end);
            at = end.max(at.saturating_add(1));
        }
    }

    /// How many groups from this one on are a telephone number.
    fn telephone(&self, at: usize) -> usize {
        let Some(first) = self.groups.get(at).filter(|first| !first.is_taken) else {
            return 0;
        };
        let is_code = self.sign_before(first, 1) == Some('+') && first.digits.len() != DIGITS;
        let is_abroad = first.digits.starts_with(ABROAD) && first.digits.len() != DIGITS;
        let is_home = first.digits.starts_with('0')
            && !first.digits.starts_with(ABROAD)
            && (2..DIGITS).contains(&first.digits.len())
            && matches!(first.before, None | Some(Mark::Blank));
        let digits_min = if is_code {
            TELEPHONE_DIGITS_ABROAD
        } else if is_abroad {
            TELEPHONE_DIGITS_ABROAD + ABROAD.len()
        } else if self.follows_code(at) {
            TELEPHONE_DIGITS - 1
        } else if is_home {
            TELEPHONE_DIGITS
        } else {
            return 0;
        };
        let (mut count, mut digits) = (0_usize, 0_usize);
        for group in self.groups.get(at..).unwrap_or_default() {
            let is_next = count == 0 || (group.before.is_some() && !group.is_taken);
            if !is_next || digits >= digits_min {
                break;
            }
            digits = digits.saturating_add(group.digits.len());
            count = count.saturating_add(1);
        }
        // A number at home has its ten digits, or is another number.
        if is_home && !self.follows_code(at) && digits != digits_min {
            return 0;
        }
        count
    }

    /// The character so many signs before a group.
    fn sign_before(&self, group: &Group, signs: usize) -> Option<char> {
        let at = group.signs.start.checked_sub(signs)?;
        self.signs.get(at).map(|sign| sign.character)
    }

    /// Whether a group follows `(0)`, `(+31)` or `(0031)`, with or without a blank between.
    fn follows_code(&self, at: usize) -> bool {
        let pair = at
            .checked_sub(1)
            .and_then(|code| self.groups.get(code).zip(self.groups.get(at)));
        let Some((code, group)) = pair else {
            return false;
        };
        let gap = self.signs.get(code.signs.end..group.signs.start);
        let gap: Vec<char> = gap
            .unwrap_or_default()
            .iter()
            .map(|sign| sign.character)
            .collect();
        let closes = match gap.as_slice() {
            [')'] => true,
            [')', blank] => Mark::of(*blank) == Some(Mark::Blank),
            _ => false,
        };
        let opens = match self.sign_before(code, 1) {
            Some('(') => code.digits == "0" || code.digits.starts_with(ABROAD),
            Some('+') => self.sign_before(code, 2) == Some('('),
            _ => false,
        };
        closes && opens
    }

    /// Every run that looks like a number, from the left, none within another.
    fn found(&self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut at = 0_usize;
        while at < self.groups.len() {
            match self.number(at) {
                Some((end, one)) => {
                    found.push(one);
                    at = end;
                }
                None => at = at.saturating_add(1),
            }
        }
        found
    }

    /// The number that begins with this group, and the group behind it.
    fn number(&self, at: usize) -> Option<(usize, Found)> {
        let mut end = at;
        let mut digits = String::new();
        let mut within = Vec::new();
        while digits.len() < DIGITS {
            let group = self.groups.get(end).filter(|group| !group.is_taken)?;
            if end > at {
                within.push(group.before?);
            }
            digits.push_str(&group.digits);
            end = end.saturating_add(1);
        }
        let first = self.groups.get(at)?;
        let last = self.groups.get(end.checked_sub(1)?)?;
        let is_longer = self.is_glued(at, &within) || self.is_glued(end, &within);
        let is_number = digits.len() == DIGITS
            && !is_longer
            && !self.is_in_code(first.signs.start, last.signs.end)
            && !self.is_in_amount(at, end)
            && digits.parse::<Bsn>().is_ok();
        let begin = self.signs.get(first.signs.start)?;
        let close = self.signs.get(last.signs.end.checked_sub(1)?)?;
        let octets = begin.octet..close.octet.saturating_add(close.character.len_utf8());
        let place = begin.place;
        is_number.then_some((end, Found { place, octets }))
    }

    /// Whether the mark before a group makes one number of what stands on both sides of it.
    fn is_glued(&self, at: usize, within: &[Mark]) -> bool {
        let mark = self.groups.get(at).and_then(|group| group.before);
        match mark {
            None | Some(Mark::Blank) => false,
            Some(Mark::Dash | Mark::Dot) => true,
            Some(mark) => within.contains(&mark),
        }
    }

    /// Whether the letters beside these signs make a code of them.
    fn is_in_code(&self, begin: usize, end: usize) -> bool {
        let before = self.signs.get(..begin).unwrap_or_default();
        let after = self.signs.get(end..).unwrap_or_default();
        is_code(&mut before.iter().rev()) || is_code(&mut after.iter())
    }

    /// Whether cents follow these groups, or `0,` stands before them.
    fn is_in_amount(&self, begin: usize, end: usize) -> bool {
        let parted_by_comma = |at: usize| {
            let pair = at
                .checked_sub(1)
                .and_then(|before| self.groups.get(before).zip(self.groups.get(at)))?;
            let gap = self.signs.get(pair.0.signs.end..pair.1.signs.start)?;
            matches!(gap, [comma] if comma.character == ',').then_some(pair)
        };
        let is_fraction = parted_by_comma(begin).is_some_and(|(whole, _)| whole.digits == "0");
        let has_cents = parted_by_comma(end).is_some_and(|(_, cents)| {
            let next = self.signs.get(cents.signs.end);
            cents.digits.len() <= CENTS && next.is_none_or(|next| next.character != ',')
        });
        is_fraction || has_cents
    }
}

/// Whether a character parts digits for who reads them. A blank or the end of a line does, whatever its kind.
fn is_seen(character: char) -> bool {
    character.is_whitespace()
        || Mark::of(character).is_some()
        || !(is_unseen(character) || is_combining_mark(character))
}

/// Whether the letters that come first belong to a code.
fn is_code(signs: &mut dyn Iterator<Item = &Sign>) -> bool {
    let (mut letters, mut is_hexadecimal) = (0_usize, true);
    for sign in signs {
        if sign.digit.is_some() {
            return letters > 0;
        }
        if !sign.character.is_alphabetic() {
            break;
        }
        letters = letters.saturating_add(1);
        is_hexadecimal &= sign.character.is_ascii_hexdigit();
    }
    letters > 0 && is_hexadecimal
}

#[cfg(test)]
mod tests;
