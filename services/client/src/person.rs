//! A partner's own key of a person: a number in its own administration, never sent anywhere.
//!
//! Must never be printed: in most administrations it leads straight to the person. Must never be a citizen service
//! number itself.

use crate::number;
use rules::clock::Random;
use std::fmt;
use unicode_normalization::UnicodeNormalization as _;

/// Most octets in a person key.
pub const PERSON_KEY_BYTES_MAX: usize = 128;
/// What a key that was made up here begins with; hexadecimal digits follow.
const DRAWN: &str = "new-";
/// Octets of chance in a key that was made up here.
const DRAWN_BYTES: usize = 16;

/// Why a text is no person key; never which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonKeyError {
    /// It is empty or too long.
    #[error("a person key has 1 to {PERSON_KEY_BYTES_MAX} bytes")]
    Length,
    /// It has a character that nobody sees.
    #[error("a person key has no control characters and no other signs that nobody sees")]
    Unseen,
    /// It begins or ends with a blank.
    #[error("a person key does not begin or end with a blank")]
    Blank,
    /// Something that looks like a citizen service number stands in it.
    #[error("a person key has no BSN in it: from character {at} on it looks like one")]
    Bsn {
        /// At which character it begins, from 1.
        at: usize,
    },
}

/// The key under which the partner itself knows a person. Redacted in `Debug`; has no `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonKey(String);

impl PersonKey {
    /// Takes a key of 1 to 128 octets, in Unicode's normal form C: one name is one person, however it was typed.
    ///
    /// # Errors
    /// When it has another length, signs that nobody sees, blanks at its ends, or a citizen service number.
    pub fn new(text: &str) -> Result<Self, PersonKeyError> {
        let key: String = text.nfc().collect();
        if key.is_empty() || key.len() > PERSON_KEY_BYTES_MAX {
            return Err(PersonKeyError::Length);
        }
        if key.chars().any(is_unseen) {
            return Err(PersonKeyError::Unseen);
        }
        if key.trim() != key {
            return Err(PersonKeyError::Blank);
        }
        match number::find(&key).filter(|_| !is_drawn(&key)) {
            Some(at) => Err(PersonKeyError::Bsn { at }),
            None => Ok(Self(key)),
        }
    }

    /// A key as it lies in the store, where it was judged before; none for no key.
    pub(crate) fn kept(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// A fresh key for a person whom the partner did not know yet: `new-` and 32 hexadecimal digits.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut bytes = [0; DRAWN_BYTES];
        random.fill(&mut bytes);
        Self(format!("{DRAWN}{}", rules::hex::encode(&bytes)))
    }

    /// The key, for the partner's own administration.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Control characters, and marks without width by which two keys would look the same.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether a key was made up here: nine digits in a row are chance then.
fn is_drawn(key: &str) -> bool {
    let octets = key.strip_prefix(DRAWN).and_then(rules::hex::decode);
    octets.is_some_and(|octets| octets.len() == DRAWN_BYTES)
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PersonKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{PERSON_KEY_BYTES_MAX, PersonKey, PersonKeyError};

    #[test]
    fn one_name_is_one_person_however_it_is_typed() {
        let [composed, decomposed] = ["klant-Jos\u{e9}", "klant-Jose\u{301}"].map(PersonKey::new);
        assert_eq!(composed, decomposed);
        assert_eq!(composed.unwrap().expose(), "klant-Jos\u{e9}");
        // Half a line fits, though it is too long before it is brought together.
        let long = "e\u{301}".repeat(PERSON_KEY_BYTES_MAX / 2);
        assert_eq!(
            PersonKey::new(&long).unwrap().expose().len(),
            PERSON_KEY_BYTES_MAX
        );
    }

    #[test]
    fn what_nobody_sees_and_what_is_a_number_is_no_key() {
        for (text, expected) in [
            ("", PersonKeyError::Length),
            (
                &"x".repeat(PERSON_KEY_BYTES_MAX + 1),
                PersonKeyError::Length,
            ),
            ("a\u{7}b", PersonKeyError::Unseen),
            ("a\u{200b}", PersonKeyError::Unseen),
            (" klant", PersonKeyError::Blank),
            ("klant\u{a0}", PersonKeyError::Blank),
            ("999990019", PersonKeyError::Bsn { at: 1 }),
            ("klant 9999.90.019", PersonKeyError::Bsn { at: 7 }),
            ("new-999990019", PersonKeyError::Bsn { at: 5 }),
        ] {
            assert_eq!(PersonKey::new(text), Err(expected), "{text:?}");
        }
        // One that was made up here is typed again as it was printed.
        let drawn = format!("new-{}", "a999990019b".repeat(3).split_at(32).0);
        assert_eq!(PersonKey::new(&drawn).unwrap().expose(), drawn);
        assert!(PersonKey::new("klant-0999990019").is_ok());
    }
}
