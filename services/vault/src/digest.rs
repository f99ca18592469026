//! SHA-256, the one digest of the system.
//!
//! Must never be used on a secret or a person's number: what can be guessed can be found in a digest.

use ring::digest::{Context, SHA256, digest};

/// Octets that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// SHA-256 (FIPS 180-4) of `bytes`, 32 octets.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    whole(digest(&SHA256, bytes).as_ref())
}

/// SHA-256 of the parts one after another, without copying them together. The parts' borders leave no
/// trace: whoever needs them adds lengths.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    whole(context.finish().as_ref())
}

/// SHA-256 of all that a reader gives, a piece at a time.
///
/// # Errors
/// Whatever reading gives.
pub fn sha256_of(reader: &mut impl std::io::Read) -> std::io::Result<[u8; 32]> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = reader.read(&mut piece)?;
        match piece.get(..count) {
            Some([]) | None => return Ok(whole(context.finish().as_ref())),
            Some(read) => context.update(read),
        }
    }
}

/// The first octets of a ring digest or tag; both are at least as long as what we ask for.
pub(crate) fn whole<const LENGTH: usize>(digest: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0_u8; LENGTH];
    for (target, source) in bytes.iter_mut().zip(digest) {
        *target = *source;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_fips_180_4() {
        for (text, expected) in [
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ] {
            assert_eq!(rules::hex::encode(&sha256(text.as_bytes())), expected);
        }
        assert_eq!(sha256_parts(&[b"a", b"", b"bc"]), sha256(b"abc"));
        let long = vec![7; 3 * PIECE_BYTES + 1];
        assert_eq!(sha256_of(&mut long.as_slice()).unwrap(), sha256(&long));
    }
}
