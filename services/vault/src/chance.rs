//! Chance from the operating system, by way of ring.
//!
//! Must never fall back to anything predictable: without chance the process stops.

use hpke::rand_core::{TryCryptoRng, TryRng};
use ring::rand::{SecureRandom, SystemRandom};
use rules::clock::Random;
use rules::secret::Secret;
use std::convert::Infallible;

/// The system's generator (`getrandom` on Linux) behind [`rules::clock::Random`]. Stops the process
/// when the system has no chance to give.
#[derive(Clone, Debug, Default)]
pub struct SystemChance(());

impl SystemChance {
    /// The system's generator.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Random for SystemChance {
    fn fill(&self, bytes: &mut [u8]) {
        if SystemRandom::new().fill(bytes).is_err() {
            // Going on would mean predictable keys; there is nobody to report to who could help.
            std::process::abort();
        }
    }
}

/// The same generator in the shape that libpep and hpke ask for.
pub(crate) struct Chance;

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0_u8; 4];
        SystemChance::new().fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0_u8; 8];
        SystemChance::new().fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        SystemChance::new().fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

/// Draws a fresh secret of `LENGTH` octets.
pub(crate) fn draw<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0_u8; LENGTH];
    SystemChance::new().fill(&mut bytes);
    bytes
}

/// Draws a fresh secret of 32 octets: a seed or a symmetric key.
#[must_use]
pub fn draw_secret() -> Secret<[u8; 32]> {
    Secret::new(draw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_fill_every_octet() {
        assert_ne!(draw::<32>(), draw::<32>());
        let mut seen = [0_u8; 64];
        for _ in 0..64 {
            let mut bytes = [0_u8; 64];
            SystemChance::new().fill(&mut bytes);
            for (mark, byte) in seen.iter_mut().zip(bytes) {
                *mark |= byte;
            }
        }
        assert!(
            seen.iter().all(|mark| *mark != 0),
            "an octet is never filled"
        );
    }
}
