//! Values that must not be printed, copied or left in memory.
//!
//! Must never grow a `Display`, `Serialize` or `Clone`: whoever needs the value says `expose`.

use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretBox};
use std::fmt;

/// A secret value: redacted in `Debug`, wiped when dropped.
pub struct Secret<T: Zeroize>(SecretBox<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` in; the caller's own copy, if any, stays the caller's to wipe.
    pub fn new(value: T) -> Self {
        Self(SecretBox::new(Box::new(value)))
    }

    /// The value, for the one line that needs it.
    pub fn expose(&self) -> &T {
        self.0.expose_secret()
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}
