//! What a benchmark needs to print a hop beside its cryptographic minimum.
//!
//! Must never be called by a service: these calls have keys of their own, drawn for the occasion.

use crate::bsn::Bsn;
use crate::chance::Chance;
use crate::context::first_point;
use crate::holder::{DomainSecret, domain_factor};
use crate::pseudonym::{Ciphertext, ContextPoint, Pseudonym};
use crate::sign::{Paper, Signature, SigningKey};
use libpep::client::encrypt;
use libpep::data::simple::{ElGamalEncryptable, EncryptedPseudonym, Pseudonym as Element};
use libpep::factors::{Factor, PseudonymRekeyFactor, PseudonymizationInfo, RekeyPublicKey};
use libpep::keys::PseudonymSessionPublicKey;
use libpep::transcryptor::{pseudonymize, rerandomize};

/// libpep's conversion with everything that can be prepared prepared: the factors, the key and the
/// decoded ciphertext. What remains is the floor under every hop.
pub struct BareConversion {
    information: PseudonymizationInfo,
    key: PseudonymSessionPublicKey,
    input: EncryptedPseudonym,
    encoded: Ciphertext,
    signing: SigningKey,
    paper: Vec<u8>,
    signature: Signature,
}

impl BareConversion {
    /// Draws factors, a key, a ciphertext and a paper of 240 octets (an order's size).
    #[must_use]
    pub fn new() -> Self {
        let factor = |label: &str| {
            let secret = libpep::factors::PseudonymizationSecret::from(
                DomainSecret::generate().to_secret().expose().as_slice(),
            );
            domain_factor(&secret, label)
        };
        let key = *first_point().value();
        let input = encrypt(&Element::random(&mut Chance), &key, &mut Chance);
        let signing = SigningKey::from_seed(&SigningKey::generate());
        let paper = vec![7; 240];
        Self {
            information: PseudonymizationInfo {
                s: factor("measure/s"),
                k: PseudonymRekeyFactor::from_scalar(factor("measure/k").scalar()),
            },
            key,
            input,
            encoded: Ciphertext::from_value(input),
            signature: signing.sign(Paper::Order, &paper),
            signing,
            paper,
        }
    }

    /// One bare conversion: rerandomise, reshuffle, rekey. No decoding, no encoding, no signature.
    pub fn convert(&self) {
        std::hint::black_box(pseudonymize(
            &self.input,
            &self.information,
            &self.key,
            &mut Chance,
        ));
    }

    /// Every primitive of a hop by name, each a call to be timed.
    #[must_use]
    pub fn primitives(&self) -> Vec<Primitive<'_>> {
        let public = self.signing.public();
        vec![
            primitive("libpep conversion", || self.convert()),
            primitive("libpep rerandomise", || {
                rerandomize(&self.input, &self.key, &mut Chance)
            }),
            primitive("decode a ciphertext", || {
                Ciphertext::parse(self.encoded.bytes())
            }),
            primitive("encode a ciphertext", || Ciphertext::from_value(self.input)),
            primitive("next public key", || {
                ContextPoint::from_value(self.information.rekey_public_key(&self.key))
            }),
            primitive("sign", || self.signing.sign(Paper::Order, &self.paper)),
            primitive("verify", move || {
                public.verify(Paper::Order, &self.paper, &self.signature)
            }),
            primitive("hash a number to the group", || {
                "999990019".parse::<Bsn>().map(|bsn| bsn.anchor())
            }),
            primitive("draw a random point", Pseudonym::random),
        ]
    }
}

/// One primitive of a hop.
pub struct Primitive<'a> {
    /// What it is, in English.
    pub name: &'static str,
    /// Does it once.
    pub run: Box<dyn Fn() + 'a>,
}

impl std::fmt::Debug for Primitive<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Primitive({})", self.name)
    }
}

fn primitive<'a, T>(name: &'static str, work: impl Fn() -> T + 'a) -> Primitive<'a> {
    let run = Box::new(move || {
        std::hint::black_box(work());
    });
    Primitive { name, run }
}

impl Default for BareConversion {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for BareConversion {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BareConversion(..)")
    }
}
