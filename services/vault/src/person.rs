//! The keys of one person at the portal, derived from the portal's own pseudonym of that person and from
//! nothing else: whoever cannot have that pseudonym made again, by a login, opens no line.
//!
//! Must never show the pseudonym or keep it: it is gone when the keys are derived.

use crate::pseudonym::Pseudonym;
use crate::sealing::{self, OpeningKey, SealingError, SealingKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use rules::secret::Secret;
use std::fmt;

/// What the derivation is for; a change of it would orphan every line.
const INFO: &[u8] = b"sluis/portal-person/1";
/// Which output seeds the opening key.
const OPENING: &[u8] = b"/opening";
/// Which output the index is made of.
const INDEX: &[u8] = b"/index";

/// Thirty-two octets of output.
struct Octets32;

impl KeyType for Octets32 {
    fn len(&self) -> usize {
        32
    }
}

/// One person's keys at the portal.
pub struct PersonKeys {
    opening: OpeningKey,
    index_value: Secret<[u8; 32]>,
}

impl fmt::Debug for PersonKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PersonKeys(..)")
    }
}

impl PersonKeys {
    /// The keys of the person whom the portal knows by this pseudonym (HKDF-SHA256, RFC 5869).
    #[must_use]
    pub fn derive(portal_pseudonym: &Pseudonym) -> Self {
        // A pseudonym is a point that nobody can choose, so no salt is needed (RFC 5869 section 3.1).
        let material = Salt::new(HKDF_SHA256, &[]).extract(portal_pseudonym.bytes());
        let output = |which: &[u8]| {
            let mut octets = [0; 32];
            #[expect(
                clippy::expect_used,
                reason = "HKDF refuses only outputs of more than 255 blocks, and this is one"
            )]
            material
                .expand(&[INFO, which], Octets32)
                .and_then(|key| key.fill(&mut octets))
                .expect("one block of output");
            Secret::new(octets)
        };
        Self {
            opening: OpeningKey::from_seed(&output(OPENING)),
            index_value: output(INDEX),
        }
    }

    /// The key that opens this person's lines; its public half seals them.
    #[must_use]
    pub const fn opening_key(&self) -> &OpeningKey {
        &self.opening
    }

    /// What the portal's index key makes this person's index of.
    #[must_use]
    pub const fn index_value(&self) -> &Secret<[u8; 32]> {
        &self.index_value
    }
}

/// Seals a line to a person.
///
/// # Errors
/// When the line is longer than a field may be.
pub fn seal_line(
    recipient: &SealingKey,
    line_id: &[u8; 16],
    plain: &[u8],
) -> Result<Vec<u8>, SealingError> {
    sealing::seal_line(recipient, line_id, plain)
}

/// Opens a line with the person's key.
///
/// # Errors
/// When it was sealed to somebody else or under another id, or was changed.
pub fn open_line(
    key: &OpeningKey,
    line_id: &[u8; 16],
    sealed: &[u8],
) -> Result<Secret<Vec<u8>>, SealingError> {
    sealing::open_line(key, line_id, sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::limits::FIELD_BYTES_MAX;

    /// Computed outside with HMAC-SHA-256: a change here orphans every line that is stored.
    #[test]
    fn the_derivation_is_frozen() {
        let generator = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76";
        let octets = rules::hex::decode(generator).expect("hex");
        let keys = PersonKeys::derive(&Pseudonym::parse(&octets).expect("a point"));
        let seed: [u8; 32] =
            rules::hex::decode("3a16d1c4badde3cee65ff3798ba864c283c258f2614db92a88086b70c79b016a")
                .and_then(|seed| seed.try_into().ok())
                .expect("32 octets");
        let opening = OpeningKey::from_seed(&Secret::new(seed));
        assert!(keys.opening_key().public() == opening.public());
        assert_eq!(
            rules::hex::encode(keys.index_value().expose()),
            "8f42c2f0777cb2700aa6caa6e110027ec8bc7b26bd862ea76928015f54503c47"
        );
        assert_eq!(format!("{keys:?}"), "PersonKeys(..)");
    }

    #[test]
    fn one_person_opens_her_own_lines_and_nobody_elses() {
        let pseudonym = Pseudonym::random();
        let (hers, again) = (
            PersonKeys::derive(&pseudonym),
            PersonKeys::derive(&pseudonym),
        );
        let his = PersonKeys::derive(&Pseudonym::random());
        assert_eq!(hers.index_value().expose(), again.index_value().expose());
        assert_ne!(hers.index_value().expose(), his.index_value().expose());
        let line = seal_line(&hers.opening_key().public(), &[7; 16], b"a line").expect("sealed");
        let opened = open_line(again.opening_key(), &[7; 16], &line).expect("opened");
        assert_eq!(opened.expose(), b"a line");
        assert!(
            open_line(his.opening_key(), &[7; 16], &line).is_err(),
            "another person"
        );
        assert!(
            open_line(hers.opening_key(), &[8; 16], &line).is_err(),
            "another line"
        );
        for place in (0..line.len()).step_by(37).chain([line.len() - 1]) {
            let mut changed = line.clone();
            changed[place] ^= 1;
            assert!(
                open_line(hers.opening_key(), &[7; 16], &changed).is_err(),
                "{place}"
            );
        }
        for length in [0, 1_119, 1_120, line.len() - 1] {
            let cut = &line[..length];
            assert!(
                open_line(hers.opening_key(), &[7; 16], cut).is_err(),
                "{length}"
            );
        }
        let again = seal_line(&hers.opening_key().public(), &[7; 16], b"a line").expect("sealed");
        assert_ne!(again, line, "two seals of one line tell nothing");
        let longer = seal_line(&hers.opening_key().public(), &[9; 16], &[1; 100]).expect("sealed");
        assert_eq!(longer.len(), line.len(), "the length says little");
        assert_eq!(
            seal_line(
                &hers.opening_key().public(),
                &[9; 16],
                &vec![1; FIELD_BYTES_MAX + 1]
            ),
            Err(SealingError::FieldTooLong)
        );
    }
}
