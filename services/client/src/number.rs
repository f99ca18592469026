//! What looks like a citizen service number in a text where none may stand.
//!
//! Must never tell which digits it found: a place in the text, and no more.

use vault::pseudonym::Bsn;

/// Digits of a citizen service number.
const DIGITS: usize = 9;
/// Digits of a year, a day or a month.
const YEAR_DIGITS: usize = 4;
const DAY_DIGITS: usize = 2;
/// What may stand between two digits of one number: a blank, a dot or a hyphen, also in the forms that a word
/// processor makes of them.
const BETWEEN: [char; 7] = [' ', '.', '-', '\u{a0}', '\u{2010}', '\u{2011}', '\u{2013}'];
/// What stands between the parts of a date.
const IN_DATES: [char; 3] = ['-', '.', '/'];
/// What stands before the rest of a telephone number: `+31 (0)6 …`.
const TRUNK_ZERO: [char; 3] = ['(', '0', ')'];

/// Digits that follow each other without anything between.
struct Group {
    /// Its first character, from 0.
    begin: usize,
    digits: String,
    /// The one character between this group and the one before, where it is one that may stand there or in a date.
    before: Option<char>,
    is_date: bool,
}

impl Group {
    const fn len(&self) -> usize {
        self.digits.len()
    }

    fn is_joined(&self) -> bool {
        self.before.is_some_and(|mark| BETWEEN.contains(&mark))
    }
}

/// At which character, from 1, the first run of exactly nine digits begins that passes the eleven-test, has at most
/// one mark between two digits, and is no part of a longer number or of a date; none where there is none.
#[must_use]
pub(crate) fn find(text: &str) -> Option<usize> {
    let characters: Vec<char> = text.chars().collect();
    let mut groups = groups(&characters);
    mark_dates(&mut groups);
    runs(&groups).into_iter().find_map(|run| {
        let begin = run.first()?.begin;
        let follows_trunk = begin
            .checked_sub(TRUNK_ZERO.len())
            .and_then(|at| characters.get(at..begin))
            .is_some_and(|before| before == TRUNK_ZERO);
        let digits: String = run.iter().map(|group| group.digits.as_str()).collect();
        let is_number = digits.len() == DIGITS && !follows_trunk && digits.parse::<Bsn>().is_ok();
        is_number.then(|| begin.saturating_add(1))
    })
}

fn groups(characters: &[char]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut end_before = None;
    let mut at = 0_usize;
    while let Some(rest) = characters.get(at..).filter(|rest| !rest.is_empty()) {
        let digits: String = rest.iter().take_while(|c| c.is_ascii_digit()).collect();
        if digits.is_empty() {
            at = at.saturating_add(1);
            continue;
        }
        let gap = end_before.and_then(|end| characters.get(end..at));
        let before = match gap {
            Some([mark]) if BETWEEN.contains(mark) || IN_DATES.contains(mark) => Some(*mark),
            _ => None,
        };
        let begin = at;
        at = at.saturating_add(digits.len());
        end_before = Some(at);
        groups.push(Group {
            begin,
            digits,
            before,
            is_date: false,
        });
    }
    groups
}

/// Marks every three groups that are a day, written 2026-11-30, 30-11-2026, 30.11.2026 or 30/11/2026.
fn mark_dates(groups: &mut [Group]) {
    let mut at = 0_usize;
    while let Some(three) = groups.get_mut(at..at.saturating_add(3)) {
        let is_one = is_date(three);
        if is_one {
            three.iter_mut().for_each(|group| group.is_date = true);
        }
        at = at.saturating_add(if is_one { 3 } else { 1 });
    }
}

fn is_date(three: &[Group]) -> bool {
    let [first, second, third] = three else {
        return false;
    };
    let same_mark =
        second.before.is_some_and(|mark| IN_DATES.contains(&mark)) && second.before == third.before;
    let (day, year) = if first.len() == YEAR_DIGITS {
        (third, first)
    } else {
        (first, third)
    };
    let within = |group: &Group, digits_max: usize, from: u32, to: u32| {
        let number = group.digits.parse::<u32>();
        group.len() <= digits_max && number.is_ok_and(|number| (from..=to).contains(&number))
    };
    same_mark
        && within(day, DAY_DIGITS, 1, 31)
        && within(second, DAY_DIGITS, 1, 12)
        && year.len() == YEAR_DIGITS
        && within(year, YEAR_DIGITS, 1_900, 2_100)
}

/// What may be one number each: groups that are joined, as far as they go; and nine digits in one group that only
/// blanks part from others.
fn runs(groups: &[Group]) -> Vec<Vec<&Group>> {
    let mut runs: Vec<Vec<&Group>> = Vec::new();
    let mut open = false;
    for group in groups {
        if group.is_date {
            open = false;
            continue;
        }
        match runs.last_mut().filter(|_| open && group.is_joined()) {
            Some(run) => run.push(group),
            None => runs.push(vec![group]),
        }
        open = true;
    }
    let is_blank = |mark: Option<char>| mark.is_none_or(char::is_whitespace);
    let alone = groups.iter().enumerate().filter(|(at, group)| {
        let after = groups
            .get(at.saturating_add(1))
            .and_then(|next| next.before);
        group.len() == DIGITS && is_blank(group.before) && is_blank(after)
    });
    runs.extend(alone.map(|(_, group)| vec![group]));
    runs
}

#[cfg(test)]
mod tests {
    use super::find;

    /// A test number that nobody has; it passes the eleven-test, and the one after it does not.
    const NUMBER: &str = "999990019";

    #[track_caller]
    fn check(text: &str, expected: Option<usize>) {
        assert_eq!(find(text), expected, "{text}");
    }

    #[test]
    fn a_number_is_found_however_it_is_written() {
        check(NUMBER, Some(1));
        check("BSN 999990019.", Some(5));
        check("bsn999990019", Some(4));
        check("bsn: 9999.90.019, bel morgen", Some(6));
        check("9-9-9-9-9-0-0-1-9", Some(1));
        check("999 990\u{a0}019", Some(1));
        check("999–990–019", Some(1));
        check("é 999990019", Some(3));
        check("op 30-11-2026 999990019", Some(15));
        check("999990019 op 30-11-2026", Some(1));
        check("999990019 06-12345678", Some(1));
        check("nr 5 999990019", Some(6));
        check("1\n999990019", Some(3));
    }

    #[test]
    fn another_number_is_none() {
        check("999990018", None);
        check("000000000", None);
        check("99999001", None);
        check("0999990019", None);
        check("9999900190", None);
        check("999990019-1", None);
        check("1.999990019", None);
        check("999  990019", None);
        check("999,990,019", None);
        check("999/990/019", None);
        check("", None);
        // Each has nine digits in a row that pass the test, if a date were none.
        check("30-11-2026 2", None);
        check("8 2026-11-30", None);
        check("30.11.2026 2", None);
        check("30/11/2026 2", None);
    }

    /// Numbers that people write in a dossier, each in every way to end: none is taken for one.
    #[test]
    fn telephones_postcodes_accounts_and_registers_are_none() {
        for last in 0..10_000 {
            for text in [
                format!("06-1234{last:04}"),
                format!("06 12 34 {:02} {:02}", last / 100, last % 100),
                format!("+31 6 1234{last:04}"),
                format!("+31 (0)6 1234{last:04}"),
                format!("(0)6 1234{last:04}"),
                format!("1234 AB {last}"),
                format!("KvK 1234{last:04}"),
                format!("NL91 ABNA 0417 16{:02} {:02}", last / 100, last % 100),
                format!("NL91ABNA041716{last:04}"),
                format!("2026-11-30 {:02}:{:02}", last % 24, last % 60),
            ] {
                check(&text, None);
            }
        }
    }
}
