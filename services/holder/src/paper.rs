//! The papers that a key holder reads and writes, as values beside the bytes that carry the signature.
//!
//! Bytes are decoded and encoded at the edge, which implements [`Forms`]. Must never check a signature
//! over anything but the bytes as they came.

use rules::clock::Timestamp;
use rules::id::{DeskName, Oin, OrderId};
use rules::pseudonym::{Context, Domain, OrderKind, TargetDomain};
use std::fmt;
use vault::sign::{Paper, Signature, VerifyingKey};

/// A paper as it was received: its meaning, its bytes and the signature, which is yet to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Received<T> {
    /// What it says.
    pub paper: T,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// The signature as it came.
    pub signature: Signature,
}

impl<T> Received<T> {
    /// Whether `key` signed these bytes as a paper of this kind.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifyingKey, kind: Paper) -> bool {
        key.verify(kind, &self.bytes, &self.signature)
    }
}

impl<T> fmt::Debug for Received<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Received({} bytes)", self.bytes.len())
    }
}

/// A paper that this holder made: bytes and signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The bytes as signed.
    pub bytes: Vec<u8>,
    /// The signature over them.
    pub signature: Signature,
}

impl fmt::Debug for Issued {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Issued({} bytes)", self.bytes.len())
    }
}

/// What one holder says it did for one order (bewijs van omzetting).
#[derive(Clone, PartialEq, Eq)]
pub struct Voucher {
    /// The order's id.
    pub order: OrderId,
    /// SHA-256 of the order's bytes.
    pub order_sha256: [u8; 32],
    /// What the order asked for.
    pub kind: OrderKind,
    /// The source domain.
    pub source: Domain,
    /// The target domains, in the order's order.
    pub targets: Vec<TargetDomain>,
    /// Which hop this was: 1 for the first holder.
    pub hop: u32,
    /// The holder's organisation.
    pub holder: Oin,
    /// SHA-256 of each ciphertext that came in: one at hop 1, then one for each target.
    pub inputs_sha256: Vec<[u8; 32]>,
    /// SHA-256 of each ciphertext that went out: one for each target.
    pub outputs_sha256: Vec<[u8; 32]>,
    /// The public key under which each output is encrypted: one for each target.
    pub output_keys: Vec<[u8; 32]>,
    /// When.
    pub time: Timestamp,
    /// Number of distinct operators among the key holders, by this holder's directory.
    pub trust_level: u32,
    /// Version of that directory.
    pub directory_version: u64,
}

/// A request to open a context, by a desk of its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct ContextRequest {
    /// The context.
    pub context: Context,
    /// The owner's organisation.
    pub owner: Oin,
    /// The signing desk.
    pub desk: DeskName,
    /// SHA-256 of the owner's sealing key.
    pub sealing_key_sha256: [u8; 32],
    /// When.
    pub time: Timestamp,
}

/// One holder's step in the walk that opens a context.
#[derive(Clone, PartialEq, Eq)]
pub struct ContextStep {
    /// The context.
    pub context: Context,
    /// Which step: 1 for the first holder.
    pub hop: u32,
    /// The holder's organisation.
    pub holder: Oin,
    /// The point before.
    pub previous_point: [u8; 32],
    /// The point after.
    pub point: [u8; 32],
    /// The commitment to the share.
    pub share_commitment: [u8; 32],
    /// Proof that the step used the committed share.
    pub proof: Vec<u8>,
    /// When.
    pub time: Timestamp,
}

/// Prints the name alone: papers name domains and points, which belong in no log.
macro_rules! silent {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(concat!(stringify!($name), "(..)"))
            }
        })*
    };
}

silent!(Voucher, ContextRequest, ContextStep);

/// How papers are written down. The edge implements it with the codec that partners use too.
pub trait Forms: Send + Sync {
    /// The bytes of a voucher, to be signed.
    fn voucher(&self, voucher: &Voucher) -> Vec<u8>;
    /// The bytes of a step, to be signed.
    fn step(&self, step: &ContextStep) -> Vec<u8>;
}
