//! Codes that a person reads from paper or a screen: the stop code and the link code, in Crockford's
//! base 32.
//!
//! Must never print one: whoever holds a code can use it.

use crate::clock::Random;
use crate::secret::Secret;
use std::fmt;
use std::str::FromStr;

/// Crockford's alphabet: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Text that is not a code. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a code of {0} letters and digits; hyphens and spaces do not count")]
pub struct CodeError(usize);

/// Draws `N` characters, five bits each.
fn draw<const N: usize>(random: &dyn Random) -> Secret<String> {
    let mut octets = [0; N];
    random.fill(&mut octets);
    let text = octets
        .iter()
        .filter_map(|octet| ALPHABET.get(usize::from(octet & 31)))
        .map(|letter| char::from(*letter))
        .collect();
    Secret::new(text)
}

/// Reads `N` characters as a person may have written them.
fn read<const N: usize>(text: &str) -> Result<Secret<String>, CodeError> {
    let mut read = String::with_capacity(N);
    for letter in text.chars() {
        let letter = match letter.to_ascii_uppercase() {
            // Pasted text has hyphens and spaces of its own.
            '-' | '\u{2010}'..='\u{2015}' => continue,
            space if space.is_whitespace() => continue,
            'I' | 'L' => '1',
            'O' => '0',
            letter => letter,
        };
        let known = u8::try_from(letter).is_ok_and(|octet| ALPHABET.contains(&octet));
        if !known || read.len() == N {
            return Err(CodeError(N));
        }
        read.push(letter);
    }
    if read.len() == N {
        Ok(Secret::new(read))
    } else {
        Err(CodeError(N))
    }
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $letters:literal, $group:literal) => {
        $(#[$doc])*
        pub struct $name(Secret<String>);

        impl $name {
            /// Draws one.
            #[must_use]
            pub fn draw(random: &dyn Random) -> Self {
                Self(draw::<$letters>(random))
            }

            /// Upper case, without hyphens: what is digested and compared.
            #[must_use]
            pub fn canonical(&self) -> &str {
                self.0.expose()
            }

            /// In groups with hyphens between, for people.
            #[must_use]
            pub fn shown(&self) -> String {
                let letters: Vec<char> = self.canonical().chars().collect();
                let groups: Vec<String> = letters
                    .chunks($group)
                    .map(|group| group.iter().collect())
                    .collect();
                groups.join("-")
            }
        }

        impl FromStr for $name {
            type Err = CodeError;

            fn from_str(text: &str) -> Result<Self, CodeError> {
                read::<$letters>(text).map(Self)
            }
        }

        impl Clone for $name {
            fn clone(&self) -> Self {
                Self(Secret::new(self.canonical().to_owned()))
            }
        }

        // For statements as a whole. A code that somebody typed is looked up by its keyed digest.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.canonical() == other.canonical()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

code!(
    /// Stands on every consent statement and stops that consent without a login: 16 characters, 80 bits,
    /// shown as XXXX-XXXX-XXXX-XXXX.
    StopCode,
    16,
    4
);

code!(
    /// Links a person to a vakbond within ten minutes: 10 characters, 50 bits, shown as XXXXX-XXXXX.
    LinkCode,
    10,
    5
);
