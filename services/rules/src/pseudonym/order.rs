//! An order (opdracht): what the owner of a pseudonym asks the key holders to do.
//!
//! This is the meaning of a decoded order; the signed bytes stay with whoever received them. Must
//! never be made by the broker: it has no key that a row of the table accepts.

use crate::clock::Timestamp;
use crate::id::{DeskName, Oin, OrderId, Purpose};
use crate::pseudonym::{Context, Domain, TargetDomain};

/// What an order asks for (`sluis.pseudonym.v1.OrderKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderKind {
    /// Origin to the issuer's own domain.
    Enrol,
    /// Origin to the portal's domain.
    Login,
    /// Origin to a vakbond's domain.
    Link,
    /// Origin to a relation.
    Consent,
    /// A sender's domain to a relation and the portal, for a consent registered at a desk.
    Assist,
    /// A sender's domain to a relation and the portal, to ask whether a handover may be.
    Prepare,
    /// A sender's domain to the recipient's domain and the relation.
    Handover,
    /// A domain to its next epoch or to a named successor.
    Rotate,
    /// As PREPARE, of a point that the sender drew itself: a person whom it made known without a number.
    Unbound,
    /// Origin to the issuer's own domain, for the number in a dossier that was released to it.
    Check,
    /// Origin to the portal's domain, for such a number that is not the one of the person handed over.
    Mismatch,
}

impl OrderKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Enrol,
        Self::Login,
        Self::Link,
        Self::Consent,
        Self::Assist,
        Self::Prepare,
        Self::Handover,
        Self::Rotate,
        Self::Unbound,
        Self::Check,
        Self::Mismatch,
    ];

    /// The code, as in logs and counts.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Enrol => "ENROL",
            Self::Login => "LOGIN",
            Self::Link => "LINK",
            Self::Consent => "CONSENT",
            Self::Assist => "ASSIST",
            Self::Prepare => "PREPARE",
            Self::Handover => "HANDOVER",
            Self::Rotate => "ROTATE",
            Self::Unbound => "UNBOUND",
            Self::Check => "CHECK",
            Self::Mismatch => "MISMATCH",
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Enrol => 1,
            Self::Login => 2,
            Self::Link => 3,
            Self::Consent => 4,
            Self::Assist => 5,
            Self::Prepare => 6,
            Self::Handover => 7,
            Self::Rotate => 8,
            Self::Unbound => 9,
            Self::Check => 10,
            Self::Mismatch => 11,
        }
    }

    /// Whether it goes on from an earlier order, and so names that one and comes with its vouchers.
    #[must_use]
    pub const fn has_parent(self) -> bool {
        match self {
            Self::Handover | Self::Check | Self::Mismatch => true,
            Self::Enrol
            | Self::Login
            | Self::Link
            | Self::Consent
            | Self::Assist
            | Self::Prepare
            | Self::Rotate
            | Self::Unbound => false,
        }
    }

    /// Whether it asks if a handover may be: what a HANDOVER goes on from.
    #[must_use]
    pub const fn prepares(self) -> bool {
        matches!(self, Self::Prepare | Self::Unbound)
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.number() == number)
    }
}

/// A decoded order. Whether it may be carried out is for [`judge`](crate::pseudonym::judge()) to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Version of the form: [`Order::VERSION`].
    pub version: u32,
    /// Drawn by the issuer; a holder answers one id with one result.
    pub id: OrderId,
    /// What it asks for.
    pub kind: OrderKind,
    /// The issuing organisation.
    pub issuer: Oin,
    /// The issuing desk, whose key signed.
    pub desk: DeskName,
    /// Where the source ciphertext's pseudonym lives.
    pub source: Domain,
    /// Under which key the source ciphertext is encrypted.
    pub source_context: Context,
    /// Where to, and under which keys: all of them, in one pass.
    pub targets: Vec<(TargetDomain, Context)>,
    /// The purpose, for kinds that name a relation.
    pub purpose: Option<Purpose>,
    /// SHA-256 of the source ciphertext.
    pub ciphertext_sha256: [u8; 32],
    /// Start of the window.
    pub not_before: Timestamp,
    /// End of the window, itself still inside.
    pub not_after: Timestamp,
    /// For a handover: the PREPARE order that it continues.
    pub parent: Option<OrderId>,
}

impl Order {
    /// The only version of the form that there is.
    pub const VERSION: u32 = 1;
}
