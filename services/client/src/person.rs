//! A partner's own key of a person: a number in its own administration, never sent anywhere.
//!
//! Must never be printed: in most administrations it leads straight to the person.

use rules::clock::Random;
use std::fmt;

/// Most octets in a person key.
pub const PERSON_KEY_BYTES_MAX: usize = 128;

/// The key under which the partner itself knows a person. Redacted in `Debug`; has no `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonKey(String);

impl PersonKey {
    /// Takes a key of 1 to 128 octets without control characters; nothing for another text.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= PERSON_KEY_BYTES_MAX
            && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// A fresh key for a person whom the partner did not know yet: `new-` and 32 hexadecimal digits.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(format!("new-{}", rules::hex::encode(&bytes)))
    }

    /// The key, for the partner's own administration.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PersonKey(..)")
    }
}
