//! Words that are in no list: refused by name, with those that were perhaps meant.
//!
//! Must never take one word for another: it only says what there is.

use super::error::CliError;
use super::output::quoted;

/// How many letters may differ in a word that was perhaps meant.
const LETTERS_MAX: usize = 3;
/// Most words that are named.
const NAMED_MAX: usize = 12;

/// The error of a word that is no `what`: with those that are near, or else with all there are.
pub(crate) fn unknown<'k>(
    what: &str,
    typed: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> CliError {
    CliError::usage(
        format!("`{}` is no {what} here", quoted(typed)),
        meant(typed, known),
    )
}

/// What was perhaps meant, as advice.
pub(crate) fn meant<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let typed = typed.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|word| (distance(&typed, &word.to_lowercase()), *word))
        .filter(|(letters, word)| *letters <= LETTERS_MAX && *letters < word.chars().count())
        .collect();
    near.sort_unstable();
    let words = |words: &[&str]| words.join(", ");
    if let Some(nearest) = near.first().map(|(letters, _)| *letters) {
        let near = near.iter().filter(|(letters, _)| *letters == nearest);
        let near: Vec<&str> = near.map(|(_, word)| *word).take(NAMED_MAX).collect();
        return format!("did you mean {}?", near.join(" or "));
    }
    match known.get(..NAMED_MAX) {
        Some(some) if known.len() > NAMED_MAX => format!("use one of: {}, …", words(some)),
        _ => format!("use one of: {}", words(&known)),
    }
}

/// How many letters are to be put in, taken out or changed to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut left = row.saturating_add(1);
        let mut now = vec![left];
        for (same, pair) in other.iter().map(|o| *o == letter).zip(before.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            let change = diagonal.saturating_add(usize::from(!same));
            left = change
                .min(above.saturating_add(1))
                .min(left.saturating_add(1));
            now.push(left);
        }
        before = now;
    }
    before.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[track_caller]
    fn check(typed: &str, expected: &str) {
        let known = ["HANDOVER", "TRIAGE", "NAZORG", "MONITOR"];
        assert_eq!(meant(typed, known), expected, "{typed}");
    }

    #[test]
    fn what_was_meant_is_named_and_otherwise_everything() {
        check("HANDOVR", "did you mean HANDOVER?");
        check("handover", "did you mean HANDOVER?");
        check("TIRAGE", "did you mean TRIAGE?");
        let all = "use one of: HANDOVER, TRIAGE, NAZORG, MONITOR";
        check("", all);
        check("overdracht", all);
        let many: Vec<String> = (0..30)
            .map(|number| format!("LONGER_WORD_{number}"))
            .collect();
        let told = meant("x", many.iter().map(String::as_str));
        assert!(told.ends_with("LONGER_WORD_11, …"), "{told}");
    }
}
