//! A citizen service number (burgerservicenummer), for as long as it takes to hash and encrypt it.
//!
//! Must never be printed, stored or sent, and no error may repeat a digit of it.

use libpep::data::simple::{ElGamalEncryptable, Pseudonym};
use libpep::elgamal::arithmetic::hashing::hash_to_group;
use rules::secret::Secret;
use std::fmt;
use std::str::FromStr;

/// What stands before the nine digits when they are hashed to the group (version 1 of our derivation).
const ANCHOR_PREFIX: &[u8] = b"nl.bsn.v1\0";

/// Why a text is no citizen service number; never which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BsnError {
    /// Something else than digits, spaces and dots, or not eight or nine digits.
    #[error("not a citizen service number: expected eight or nine digits")]
    Form,
    /// The digits do not pass the eleven-test, or are all zero.
    #[error("not a citizen service number: it does not pass the eleven-test")]
    ElevenTest,
}

/// A citizen service number that passed the eleven-test. Wiped when dropped; has no `Display`.
pub struct Bsn(Secret<[u8; 9]>);

impl FromStr for Bsn {
    type Err = BsnError;

    /// Reads a number as people write it: with spaces or dots, and with eight digits where the leading
    /// zero was lost.
    fn from_str(text: &str) -> Result<Self, BsnError> {
        let mut digits = [0_u8; 9];
        let mut count = 0_usize;
        for character in text.bytes() {
            match character {
                b' ' | b'\t' | b'\r' | b'\n' | b'.' => {}
                b'0'..=b'9' if count < 9 => {
                    digits.rotate_left(1);
                    digits[8] = character - b'0';
                    count += 1;
                }
                _ => return Err(BsnError::Form),
            }
        }
        // The padding zero of an eight-digit number is where the rotation left it: in front.
        if count < 8 {
            return Err(BsnError::Form);
        }
        if passes_eleven_test(&digits) {
            Ok(Self(Secret::new(digits)))
        } else {
            Err(BsnError::ElevenTest)
        }
    }
}

/// Weights 9 to 2 for the first eight digits and -1 for the last; the sum is a multiple of eleven and
/// not all digits are zero (elfproef, Logisch Ontwerp BSN).
fn passes_eleven_test(digits: &[u8; 9]) -> bool {
    let sum = digits
        .iter()
        .zip([9_i32, 8, 7, 6, 5, 4, 3, 2, -1])
        .fold(0_i32, |sum, (digit, weight)| {
            sum + i32::from(*digit) * weight
        });
    sum % 11 == 0 && digits.iter().any(|digit| *digit != 0)
}

impl Bsn {
    /// The person's anchor point: the hash of the number to the group. Whoever has it can test numbers
    /// against it, so it leaves this crate encrypted only.
    pub(crate) fn anchor(&self) -> Pseudonym {
        let text = Secret::new(
            ANCHOR_PREFIX
                .iter()
                .copied()
                .chain(self.0.expose().iter().map(|digit| digit + b'0'))
                .collect::<Vec<u8>>(),
        );
        Pseudonym::from_point(hash_to_group(text.expose()))
    }
}

impl fmt::Debug for Bsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Bsn(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[u8; 9], BsnError>) {
        let read = text.parse::<Bsn>();
        assert_eq!(
            read.as_ref()
                .map(|bsn| bsn.0.expose())
                .map_err(|error| *error),
            expected
        );
    }

    #[test]
    fn reads_what_people_write() {
        let digits = &[9, 9, 9, 9, 9, 0, 0, 1, 9];
        check("999990019", Ok(digits));
        check(" 999990019\n", Ok(digits));
        check("9999.90.019", Ok(digits));
        check("999 990 019", Ok(digits));
        check("123456782", Ok(&[1, 2, 3, 4, 5, 6, 7, 8, 2]));
    }

    #[test]
    fn eight_digits_are_padded_to_nine() {
        check("10000008", Ok(&[0, 1, 0, 0, 0, 0, 0, 0, 8]));
        check("010000008", Ok(&[0, 1, 0, 0, 0, 0, 0, 0, 8]));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            " ",
            "1",
            "1234567",
            "1234567820",
            "12345678a",
            "-23456782",
            "１23456782",
            "12345678\u{0}",
        ] {
            check(text, Err(BsnError::Form));
        }
        for text in [
            "000000000",
            "00000000",
            "123456781",
            "123456783",
            "999999999",
            "111111111",
        ] {
            check(text, Err(BsnError::ElevenTest));
        }
    }

    #[test]
    fn one_in_eleven_passes() {
        let passed = (999_900_000..1_000_000_000_u32)
            .filter(|number| number.to_string().parse::<Bsn>().is_ok())
            .count();
        assert_eq!(
            passed, 9_091,
            "the test numbers 9999xxxxx, counted beforehand"
        );
    }

    #[test]
    fn nothing_prints_it() -> Result<(), BsnError> {
        assert_eq!(format!("{:?}", "123456782".parse::<Bsn>()?), "Bsn(..)");
        for error in [BsnError::Form, BsnError::ElevenTest] {
            assert!(
                !format!("{error} {error:?}")
                    .bytes()
                    .any(|byte| byte.is_ascii_digit())
            );
        }
        Ok(())
    }
}
