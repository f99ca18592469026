//! Ed25519 signatures over papers, each kind of paper under a prefix of its own (RFC 8032, ring).
//!
//! Must never sign bytes without their kind: a signature that fits two kinds of paper is a forged one.

use crate::chance::draw_secret;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rules::secret::Secret;
use std::fmt;

/// The kinds of signed papers. The signature is over `sluis/<name>/v1`, a zero octet and the paper's
/// bytes, so that a signature on one kind is none on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Paper {
    /// An order to the key holders (opdracht), signed by a desk.
    Order,
    /// What one holder did for one order (bewijs van omzetting), signed by the holder.
    Voucher,
    /// The labels and digests of an offer or a dossier, signed by the sender's desk.
    Manifest,
    /// The file `directory.toml`, signed by each controller.
    Directory,
    /// An edge between two realms, signed by both.
    Edge,
    /// A realm's sealing key, signed by a desk with the right `represent`.
    SealingKey,
    /// A policy bundle, signed by each controller.
    PolicyBundle,
    /// The broker's promise that an entry will be in the log.
    Promise,
    /// A request to open a context, signed by the owner's desk.
    ContextRequest,
    /// One holder's step in opening a context.
    ContextStep,
    /// One holder's sealed share of a context key.
    ContextShare,
    /// A recipient's answer to a notice.
    NoticeAnswer,
    /// The broker's own token that names the next page of a list.
    PageToken,
}

impl Paper {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Order,
        Self::Voucher,
        Self::Manifest,
        Self::Directory,
        Self::Edge,
        Self::SealingKey,
        Self::PolicyBundle,
        Self::Promise,
        Self::ContextRequest,
        Self::ContextStep,
        Self::ContextShare,
        Self::NoticeAnswer,
        Self::PageToken,
    ];

    /// The kind's name in the prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Voucher => "voucher",
            Self::Manifest => "manifest",
            Self::Directory => "directory",
            Self::Edge => "edge",
            Self::SealingKey => "sealing-key",
            Self::PolicyBundle => "policy-bundle",
            Self::Promise => "promise",
            Self::ContextRequest => "context-request",
            Self::ContextStep => "context-step",
            Self::ContextShare => "context-share",
            Self::NoticeAnswer => "notice-answer",
            Self::PageToken => "page-token",
        }
    }

    /// Prefix and paper as they are signed.
    fn signed_bytes(self, bytes: &[u8]) -> Vec<u8> {
        [b"sluis/", self.name().as_bytes(), b"/v1\0", bytes].concat()
    }
}

/// A key that signs. ring keeps the expanded key until it is dropped and does not promise to wipe it.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key of a seed (RFC 8032 5.1.5), 32 octets.
    #[must_use]
    pub fn from_seed(seed: &Secret<[u8; 32]>) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "ring refuses a seed only for its length, and the type fixes that"
        )]
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed has 32 octets");
        let public = VerifyingKey(crate::digest::whole(pair.public_key().as_ref()));
        Self { pair, public }
    }

    /// A fresh seed, for the key file.
    #[must_use]
    pub fn generate() -> Secret<[u8; 32]> {
        draw_secret()
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub const fn public(&self) -> VerifyingKey {
        self.public
    }

    /// Signs `bytes` as a paper of this kind. The same bytes give the same signature.
    #[must_use]
    pub fn sign(&self, paper: Paper, bytes: &[u8]) -> Signature {
        let signature = self.pair.sign(&paper.signed_bytes(bytes));
        Signature(crate::digest::whole(signature.as_ref()))
    }
}

impl SigningKey {
    /// Signs the signing input of a JWS (RFC 7515 section 5.1), whose form leaves no room for our prefix.
    /// It begins with the letters of an encoded `{"alg"`, and no paper of ours does.
    pub(crate) fn sign_jws(&self, signing_input: &str) -> Signature {
        let signature = self.pair.sign(signing_input.as_bytes());
        Signature(crate::digest::whole(signature.as_ref()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SigningKey(..)")
    }
}

/// A key that verifies: 32 octets as in RFC 8032. Public, so it may be printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// From its 32 octets. Octets that are no point verify nothing, so they need no refusal here.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From a slice, `None` unless it has 32 octets.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 octets.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's over `bytes` as a paper of this kind.
    #[must_use]
    pub fn verify(&self, paper: Paper, bytes: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&paper.signed_bytes(bytes), &signature.0)
            .is_ok()
    }
}

impl VerifyingKey {
    /// Whether `signature` is this key's over a JWS's signing input.
    pub(crate) fn verify_jws(&self, signing_input: &str, signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(signing_input.as_bytes(), &signature.0)
            .is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VerifyingKey({})", rules::hex::encode(&self.0))
    }
}

/// A signature: 64 octets as in RFC 8032.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// From its 64 octets.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// From a slice, `None` unless it has 64 octets.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 64 octets.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Signature(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_one_key_one_kind_and_one_text() {
        let key = SigningKey::from_seed(&SigningKey::generate());
        let other = SigningKey::from_seed(&SigningKey::generate()).public();
        for paper in Paper::ALL {
            let signature = key.sign(*paper, b"text");
            for kind in Paper::ALL {
                assert_eq!(
                    key.public().verify(*kind, b"text", &signature),
                    kind == paper,
                    "{kind:?}"
                );
            }
            assert!(!key.public().verify(*paper, b"texts", &signature));
            assert!(!key.public().verify(*paper, b"", &signature));
            assert!(!other.verify(*paper, b"text", &signature));
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let key = SigningKey::from_seed(&SigningKey::generate());
        let signature = key.sign(Paper::Order, b"text");
        for position in 0..512 {
            let mut bytes = *signature.bytes();
            bytes[position / 8] ^= 1 << (position % 8);
            let forged = Signature::from_bytes(bytes);
            assert!(
                !key.public().verify(Paper::Order, b"text", &forged),
                "{position}"
            );
        }
    }

    #[test]
    fn names_differ_and_nothing_but_the_right_length_is_read() {
        for (position, paper) in Paper::ALL.iter().enumerate() {
            for other in Paper::ALL.iter().skip(position + 1) {
                assert_ne!(paper.name(), other.name());
            }
        }
        for length in [0, 31, 33, 63, 65] {
            assert!(VerifyingKey::from_slice(&vec![1; length]).is_none());
            assert!(Signature::from_slice(&vec![1; length]).is_none());
        }
        assert_eq!(
            format!("{:?}", SigningKey::from_seed(&Secret::new([7; 32]))),
            "SigningKey(..)"
        );
    }
}
