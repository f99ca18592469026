//! A partner's own key of a person: a number in its own administration, never sent anywhere.
//!
//! Must never be printed: in most administrations it leads straight to the person. Must never be a citizen service
//! number itself.

use crate::number;
use crate::unseen::is_unseen;
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
    /// It has a character that nobody sees, or a blank that only looks like the plain one.
    #[error(
        "a person key has plain blanks and signs that are seen, so that no two look alike: its character {at} is \
         U+{:04X}",
        u32::from(*character)
    )]
    Unseen {
        /// At which character it stands, from 1.
        at: usize,
        /// Which it is.
        character: char,
    },
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
    /// When it has another length, signs that nobody sees, blanks at its ends or other ones than the plain, or a citizen
    /// service number. A place is told as in the text that was given.
    pub fn new(text: &str) -> Result<Self, PersonKeyError> {
        let key: String = text.nfc().collect();
        if key.is_empty() || key.len() > PERSON_KEY_BYTES_MAX {
            return Err(PersonKeyError::Length);
        }
        if let Some((before, character)) = text.chars().enumerate().find(|(_, c)| is_odd(*c)) {
            let at = before.saturating_add(1);
            return Err(PersonKeyError::Unseen { at, character });
        }
        if key.trim() != key {
            return Err(PersonKeyError::Blank);
        }
        match number::find(text).filter(|_| !is_drawn(&key)) {
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

/// What nobody tells from nothing, or from a plain blank.
fn is_odd(character: char) -> bool {
    is_unseen(character) || (character.is_whitespace() && character != ' ')
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
    fn no_two_keys_look_alike_by_what_nobody_sees() {
        for code in [
            0x07, 0x1b, 0x7f, 0x85, 0xa0, 0xad, 0x34f, 0x61c, 0x115f, 0x180e, 0x2003, 0x200b,
            0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x202a, 0x202e, 0x202f, 0x205f, 0x2060, 0x2064,
            0x2066, 0x206a, 0x2800, 0x3000, 0x3164, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0x1d173,
            0xe0001, 0xe0020, 0xe0100,
        ] {
            let character = char::from_u32(code).unwrap();
            for (text, at) in [
                ("klant-1\u{0}", 8),
                ("kl\u{0}ant-1", 3),
                ("\u{0}klant-1", 1),
            ] {
                let text = text.replace('\u{0}', &character.to_string());
                let refused = PersonKey::new(&text).unwrap_err();
                assert_eq!(refused, PersonKeyError::Unseen { at, character });
                let said = refused.to_string();
                let wanted = format!("character {at} is U+{code:04X}");
                assert!(said.ends_with(&wanted) && !said.contains("ant"), "{said}");
            }
        }
        for seen in ["klant 1", "Zoë-1", "मरीज-1", "顧客-1", "a+b_c/d"] {
            assert!(PersonKey::new(seen).is_ok(), "{seen}");
        }
    }

    #[test]
    fn what_is_a_number_or_has_no_plain_ends_is_no_key() {
        for (text, expected) in [
            ("", PersonKeyError::Length),
            (
                &"x".repeat(PERSON_KEY_BYTES_MAX + 1),
                PersonKeyError::Length,
            ),
            (" klant", PersonKeyError::Blank),
            ("klant ", PersonKeyError::Blank),
            ("999990019", PersonKeyError::Bsn { at: 1 }),
            ("klant 9999.90.019", PersonKeyError::Bsn { at: 7 }),
            ("new-999990019", PersonKeyError::Bsn { at: 5 }),
        ] {
            assert_eq!(PersonKey::new(text), Err(expected), "{text:?}");
        }
        // The place counts in what was typed, not in what comes of it.
        assert_eq!(
            PersonKey::new("e\u{301}e\u{301} 999990019"),
            Err(PersonKeyError::Bsn { at: 6 })
        );
        // One that was made up here is typed again as it was printed.
        let drawn = format!("new-{}", "a999990019b".repeat(3).split_at(32).0);
        assert_eq!(PersonKey::new(&drawn).unwrap().expose(), drawn);
        assert!(PersonKey::new("klant-0999990019").is_ok());
    }
}
