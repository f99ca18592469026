//! Ids as people type them: whole, or as many of the first or last digits as tell it from the others that they can mean.
//!
//! Must never choose among several: they are listed.

use super::error::CliError;
use std::fmt::Display;
use std::str::FromStr;

/// Fewest digits that stand for an id: with fewer a slip of the finger finds something too.
const DIGITS_MIN: usize = 4;
/// Most ids that are listed when several are meant.
const LISTED_MAX: usize = 5;

/// How an id is called.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// What it is an id of.
    pub(crate) what: &'static str,
    /// What stands before its digits.
    pub(crate) prefix: &'static str,
    /// Where whole ids are printed.
    pub(crate) printed_by: &'static str,
}

/// What was typed, when it is a whole id.
pub(crate) fn whole<T: FromStr>(typed: &str) -> Option<T> {
    typed.parse().ok()
}

/// The one of `known` that was meant by its first or its last digits, with or without the prefix; `…` stands for digits
/// that are left out.
///
/// # Errors
///
/// When none or several are.
pub(crate) fn find<T: Display + Ord>(
    typed: &str,
    kind: Kind,
    known: impl IntoIterator<Item = T>,
) -> Result<T, CliError> {
    let Kind {
        what,
        prefix,
        printed_by,
    } = kind;
    let typed_digits = typed
        .strip_prefix(prefix)
        .unwrap_or(typed)
        .replace("...", "…");
    let (begin, end) = match typed_digits.split_once('…') {
        Some(parts) => parts,
        None => (typed_digits.as_str(), ""),
    };
    let is_either = !typed_digits.contains('…');
    let whole = format!(
        "give the whole id, `{prefix}` and 32 digits, as `{printed_by}` prints it, or the first or last {DIGITS_MIN} or more"
    );
    if begin.len() + end.len() < DIGITS_MIN {
        return Err(CliError::usage(
            format!("`{typed}` is no {what}'s id"),
            whole,
        ));
    }
    let is_meant = |id: &T| {
        let text = id.to_string();
        let digits = text.strip_prefix(prefix).unwrap_or(&text);
        let begins = digits.starts_with(begin) && digits.ends_with(end);
        begins || (is_either && digits.ends_with(begin))
    };
    let mut found: Vec<T> = known.into_iter().filter(is_meant).collect();
    found.sort();
    found.dedup();
    if found.len() > 1 {
        let mut listed: Vec<String> = found
            .iter()
            .take(LISTED_MAX)
            .map(ToString::to_string)
            .collect();
        if found.len() > LISTED_MAX {
            listed.push("…".to_owned());
        }
        let several = format!(
            "`{typed}` may be {} {what}s: {}",
            found.len(),
            listed.join(", ")
        );
        return Err(CliError::usage(
            several,
            "give more digits, or its last ones",
        ));
    }
    found
        .pop()
        .ok_or_else(|| CliError::usage(format!("there is no {what} `{typed}` among yours"), whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::id::HandoverId;

    const KIND: Kind = Kind {
        what: "handover",
        prefix: HandoverId::PREFIX,
        printed_by: "inbox",
    };

    fn known() -> Vec<HandoverId> {
        [
            "00010001aaaaaaaabbbbbbbb11112222",
            "00010001aaaaaaaabbbbbbbb33334444",
            "00020001aaaaaaaabbbbbbbb55556666",
        ]
        .map(|digits| format!("hnd_{digits}").parse().unwrap())
        .into()
    }

    fn check(typed: &str, expected: Option<usize>) {
        let found = find(typed, KIND, known()).ok();
        assert_eq!(found, expected.map(|place| known()[place]), "{typed}");
    }

    #[test]
    fn the_first_or_the_last_digits_do_when_they_mean_one() {
        check("hnd_0002", Some(2));
        check("0002", Some(2));
        check("2222", Some(0));
        check("hnd_…3333", None);
        check("…4444", Some(1));
        check("hnd_0001…4444", Some(1));
        check("0001...2222", Some(0));
        check("0001", None);
        check("hnd_00", None);
        check("hnd_", None);
        check("", None);
        check("9999", None);
        check("ent_0002", None);
    }

    #[test]
    fn several_are_listed() {
        let told = find("hnd_0001", KIND, known()).unwrap_err().text();
        for id in &known()[..2] {
            assert!(told.contains(&id.to_string()), "{told}");
        }
        assert!(!told.contains(&known()[2].to_string()), "{told}");
    }
}
