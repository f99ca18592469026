//! The owner's side of pairwise pseudonyms: numbers become ciphertexts, ciphertexts become pseudonyms.
//!
//! Must never convert: a pseudonym changes hands only through the key holders, on a signed order.

use crate::chance::Chance;
use libpep::client::{decrypt, encrypt};
use libpep::data::simple::{
    ElGamalEncryptable, ElGamalEncrypted, EncryptedPseudonym, Pseudonym as Element,
};
use libpep::elgamal::arithmetic::scalars::{ScalarNonZero, ScalarTraits};
use libpep::elgamal::arithmetic::{Group, Ristretto255};
use libpep::keys::{PseudonymSessionPublicKey, PseudonymSessionSecretKey, PublicKey, SecretKey};
use rules::secret::Secret;
use std::fmt;

pub use crate::bsn::{Bsn, BsnError};

/// Octets of a ciphertext: two points.
pub const CIPHERTEXT_BYTES: usize = 64;
/// Octets of a pseudonym, a handle and a public key: one point.
pub const POINT_BYTES: usize = 32;
/// Octets of a [`PseudonymRef`].
pub const PSEUDONYM_REF_BYTES: usize = 39;
/// The scheme that [`PseudonymRef`] names: ristretto255 with libpep 0.14's derivation.
pub const SCHEME: u8 = 1;

/// Bytes that are no point, no ciphertext or no key; never which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct PointError {
    /// What was being read, for example `ciphertext`.
    pub kind: &'static str,
}

/// An encrypted point: B then C, each in the canonical encoding of RFC 9496 and neither the identity.
#[derive(Clone)]
pub struct Ciphertext {
    bytes: [u8; CIPHERTEXT_BYTES],
    value: EncryptedPseudonym,
}

impl Ciphertext {
    /// Reads exactly 64 octets.
    ///
    /// # Errors
    /// When the length differs, or either half is not a canonical encoding or is the identity.
    pub fn parse(bytes: &[u8]) -> Result<Self, PointError> {
        let wrong = PointError { kind: "ciphertext" };
        let bytes: [u8; CIPHERTEXT_BYTES] = bytes.try_into().map_err(|_| wrong)?;
        let value = EncryptedPseudonym::from_slice(&bytes).ok_or(wrong)?;
        Ok(Self { bytes, value })
    }

    /// The 64 octets.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; CIPHERTEXT_BYTES] {
        &self.bytes
    }

    pub(crate) fn from_value(value: EncryptedPseudonym) -> Self {
        Self {
            bytes: crate::digest::whole(&value.to_bytes()),
            value,
        }
    }

    pub(crate) const fn value(&self) -> &EncryptedPseudonym {
        &self.value
    }
}

impl PartialEq for Ciphertext {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Ciphertext {}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ciphertext(..)")
    }
}

/// The public key of a context, or a point of the walk towards one: 32 octets (RFC 9496), not the
/// identity.
#[derive(Clone)]
pub struct ContextPoint {
    bytes: [u8; POINT_BYTES],
    value: PseudonymSessionPublicKey,
}

impl ContextPoint {
    /// Reads exactly 32 octets.
    ///
    /// # Errors
    /// When the length differs, or the octets are not a canonical encoding or are the identity.
    pub fn parse(bytes: &[u8]) -> Result<Self, PointError> {
        let wrong = PointError {
            kind: "context point",
        };
        let bytes: [u8; POINT_BYTES] = bytes.try_into().map_err(|_| wrong)?;
        let value = PseudonymSessionPublicKey::from_slice(&bytes).ok_or(wrong)?;
        Ok(Self { bytes, value })
    }

    /// The 32 octets.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; POINT_BYTES] {
        &self.bytes
    }

    pub(crate) fn from_value(value: PseudonymSessionPublicKey) -> Self {
        Self {
            bytes: value.to_bytes(),
            value,
        }
    }

    pub(crate) const fn value(&self) -> &PseudonymSessionPublicKey {
        &self.value
    }
}

impl PartialEq for ContextPoint {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for ContextPoint {}

impl fmt::Debug for ContextPoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ContextPoint(..)")
    }
}

/// One person's point in one domain: a partner's pseudonym or the broker's handle. Has no `Display`
/// and no `Hash`, so that it lands in no text and keys no map. Not wiped when dropped.
#[derive(Clone)]
pub struct Pseudonym {
    bytes: [u8; POINT_BYTES],
    value: Element,
}

impl Pseudonym {
    /// Reads exactly 32 octets.
    ///
    /// # Errors
    /// When the length differs, or the octets are not a canonical encoding or are the identity.
    pub fn parse(bytes: &[u8]) -> Result<Self, PointError> {
        let wrong = PointError { kind: "pseudonym" };
        let bytes: [u8; POINT_BYTES] = bytes.try_into().map_err(|_| wrong)?;
        let value = Element::from_slice(&bytes).ok_or(wrong)?;
        Ok(Self { bytes, value })
    }

    /// A random point, for a vakbond's member who does not log in. Nobody can derive it from anything.
    #[must_use]
    pub fn random() -> Self {
        Self::from_value(Element::random(&mut Chance))
    }

    /// The 32 octets. Whoever stores them does so sealed or under an index key.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; POINT_BYTES] {
        &self.bytes
    }

    fn from_value(value: Element) -> Self {
        Self {
            bytes: ElGamalEncryptable::to_bytes(&value),
            value,
        }
    }
}

impl PartialEq for Pseudonym {
    fn eq(&self, other: &Self) -> bool {
        // On points and not on octets: dalek compares in constant time.
        self.value == other.value
    }
}

impl Eq for Pseudonym {}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Pseudonym(..)")
    }
}

/// A pseudonym with what is needed to move it to another key or scheme later. A pseudonym is stored
/// in this form only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PseudonymRef {
    /// Number of the domain in the directory.
    pub domain_number: u32,
    /// Epoch of the domain.
    pub epoch: u16,
    /// The point.
    pub pseudonym: Pseudonym,
}

impl PseudonymRef {
    /// 39 octets: scheme, domain number, epoch (big-endian), point.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PSEUDONYM_REF_BYTES] {
        crate::digest::whole(
            &[
                &[SCHEME],
                self.domain_number.to_be_bytes().as_slice(),
                self.epoch.to_be_bytes().as_slice(),
                self.pseudonym.bytes(),
            ]
            .concat(),
        )
    }

    /// Reads exactly 39 octets of the present scheme.
    ///
    /// # Errors
    /// When the length or the scheme differs, or the point is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, PointError> {
        let wrong = PointError {
            kind: "pseudonym reference",
        };
        let (head, point) = bytes.split_at_checked(7).ok_or(wrong)?;
        let [SCHEME, d0, d1, d2, d3, e0, e1] = *head else {
            return Err(wrong);
        };
        Ok(Self {
            domain_number: u32::from_be_bytes([d0, d1, d2, d3]),
            epoch: u16::from_be_bytes([e0, e1]),
            pseudonym: Pseudonym::parse(point)?,
        })
    }
}

/// The secret key of one context of its owner: encrypts and decrypts that owner's pseudonyms. Made by
/// [`crate::context::assemble`]; wiped when dropped.
pub struct ContextKey {
    secret: Secret<PseudonymSessionSecretKey>,
    public: ContextPoint,
}

impl ContextKey {
    /// Reads the 32 octets that [`Self::to_secret`] gave.
    ///
    /// # Errors
    /// When they are not a canonical scalar other than zero.
    pub fn from_secret(bytes: &Secret<[u8; 32]>) -> Result<Self, PointError> {
        let scalar = ScalarNonZero::from_bytes(bytes.expose()).ok_or(PointError {
            kind: "context key",
        })?;
        Ok(Self::from_value(PseudonymSessionSecretKey::from_scalar(
            scalar,
        )))
    }

    /// The key as 32 octets, for a sealed store.
    #[must_use]
    pub fn to_secret(&self) -> Secret<[u8; 32]> {
        Secret::new(self.secret.expose().value().to_bytes())
    }

    /// The context's public key. Equal to the last point of the walk, or the walk was false.
    #[must_use]
    pub const fn public(&self) -> &ContextPoint {
        &self.public
    }

    /// Hashes a person's number to the group and encrypts it; two encryptions never look alike.
    #[must_use]
    pub fn encrypt_bsn(&self, bsn: &Bsn) -> Ciphertext {
        self.encrypt_value(&bsn.anchor())
    }

    /// Encrypts one of the owner's pseudonyms; two encryptions never look alike.
    #[must_use]
    pub fn encrypt(&self, pseudonym: &Pseudonym) -> Ciphertext {
        self.encrypt_value(&pseudonym.value)
    }

    /// Decrypts what the holders converted for this context. A ciphertext for another key gives
    /// another point, not an error: compare the last hop's key with [`Self::public`] first.
    ///
    /// # Errors
    /// When the point inside is the identity, which is nobody's.
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Result<Pseudonym, PointError> {
        let value = decrypt(ciphertext.value(), self.secret.expose());
        if *value.value() == Ristretto255::identity() {
            return Err(PointError { kind: "pseudonym" });
        }
        Ok(Pseudonym::from_value(value))
    }

    pub(crate) fn from_value(secret: PseudonymSessionSecretKey) -> Self {
        let public = ContextPoint::from_value(secret.public_key());
        Self {
            secret: Secret::new(secret),
            public,
        }
    }

    fn encrypt_value(&self, value: &Element) -> Ciphertext {
        Ciphertext::from_value(encrypt(value, self.public.value(), &mut Chance))
    }
}

impl fmt::Debug for ContextKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ContextKey(..)")
    }
}
