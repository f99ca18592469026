//! The manifest: what whoever sealed says it sealed, held against what came and what is allowed.
//!
//! Minimisation happens here, on labels and digests. Must never need a value, and must never let a
//! field through that the manifest does not name with its digest.

use super::Loaded;
use super::body::{SealedFields, SignedManifest};
use crate::counter::InForce;
use crate::serve::Room;
use rules::id::{DeskName, HandoverId, Label, Party, Purpose};
use rules::limits::{DOSSIER_BYTES_MAX, FIELD_BYTES_MAX, FIELD_PADDING_BYTES, MANIFEST_LABELS_MAX};
use rules::policy::Stage;
use rules::reason::{Reason, Refusal};
use std::collections::BTreeSet;
use vault::digest::sha256;
use vault::sign::{Paper, Signature, VerifyingKey};

/// Octets that AES-GCM adds to a sealed field.
const SEAL_TAG_BYTES: usize = 16;
/// Octets in front of a value inside its seal: its length.
const SEAL_LENGTH_BYTES: usize = 4;

/// A manifest, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The handover.
    pub handover: HandoverId,
    /// Summary, dossier or report.
    pub stage: Stage,
    /// For whom it is sealed: the recipient, and in a report the sender of the handover.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// Digest of the sealing key of whom it is for.
    pub sealing_key_sha256: [u8; 32],
    /// Digest of the encapsulation.
    pub encapsulation_sha256: [u8; 32],
    /// Label and digest of each sealed field.
    pub fields: Vec<(Label, [u8; 32])>,
    /// Offer only: labels that the dossier will have.
    pub dossier_labels: Vec<Label>,
    /// Release only: digest of the source ciphertext of the order HANDOVER.
    pub ciphertext_sha256: Option<[u8; 32]>,
}

impl InForce {
    /// Refuses labels that are too many, doubled or not in the register.
    ///
    /// # Errors
    /// The refusal, naming the field.
    pub fn check_labels(&self, field: &str, labels: &[Label]) -> Result<(), Refusal> {
        if labels.len() > MANIFEST_LABELS_MAX {
            let text = format!("has {} labels; at most {MANIFEST_LABELS_MAX}", labels.len());
            return Err(Refusal::about(Reason::LabelsTooMany, field, text));
        }
        let mut seen = BTreeSet::new();
        for (place, label) in labels.iter().enumerate() {
            if !seen.insert(label) {
                let text = format!("has the label `{label}` twice (place {place}, from 0)");
                return Err(Refusal::about(Reason::LabelDoubled, field, text));
            }
            if !self.knows_label(label) {
                let text = format!(
                    "has the label `{label}`, which is not in the register (place {place}, from 0)"
                );
                return Err(Refusal::about(Reason::LabelUnknown, field, text));
            }
        }
        Ok(())
    }
}

/// A manifest with what it is about, as it came from whoever sealed.
#[derive(Debug)]
pub struct Received<'a> {
    /// Decoded.
    pub manifest: &'a Manifest,
    /// As signed.
    pub signed: &'a SignedManifest,
    /// The sealed fields.
    pub sealed: &'a SealedFields,
    /// Which stage it must be about.
    pub stage: Stage,
}

impl Received<'_> {
    /// Holds the manifest against the caller, the handover, the key of whom it is for and the fields.
    ///
    /// # Errors
    /// The refusal: the first thing that is wrong, in the order signature, subject, labels, digests,
    /// sizes.
    pub fn check(&self, room: &Room<'_>, loaded: &Loaded) -> Result<(), Refusal> {
        let caller = &room.call.caller;
        check_signature(self.signed, &caller.desk, caller.signing_key)?;
        let manifest = self.manifest;
        let to = match self.stage {
            Stage::Offer | Stage::Dossier => &loaded.body.recipient,
            Stage::Report => &loaded.body.sender,
        };
        let about_this = manifest.handover == loaded.row.handover_id
            && manifest.stage == self.stage
            && manifest.recipient == *to
            && manifest.purpose == loaded.body.purpose
            && manifest.ciphertext_sha256.is_some() == (self.stage == Stage::Dossier);
        if !about_this {
            return Err(Refusal::new(Reason::ManifestInvalid));
        }
        let labels: Vec<Label> = manifest
            .fields
            .iter()
            .map(|(label, _)| label.clone())
            .collect();
        room.in_force.check_labels("manifest.fields", &labels)?;
        room.in_force
            .check_labels("manifest.dossier_labels", &manifest.dossier_labels)?;
        let current = room
            .in_force
            .directory
            .sealing_key(to, room.call.now)
            .ok_or(Reason::ReceiverNotReady)?;
        if sha256(&current.public_key) != manifest.sealing_key_sha256 {
            return Err(Refusal::new(Reason::SealingKeyOutdated));
        }
        self.check_digests()?;
        self.check_sizes()
    }

    fn check_digests(&self) -> Result<(), Refusal> {
        let mismatch = |field: &str| {
            Refusal::about(
                Reason::ManifestDigestMismatch,
                field,
                "does not match the manifest",
            )
        };
        if sha256(&self.sealed.encapsulation) != self.manifest.encapsulation_sha256 {
            return Err(mismatch("encapsulation"));
        }
        if self.sealed.fields.len() != self.manifest.fields.len() {
            return Err(mismatch("fields"));
        }
        for ((label, sealed), (named, digest)) in
            self.sealed.fields.iter().zip(&self.manifest.fields)
        {
            if label != named || sha256(sealed) != *digest {
                return Err(mismatch("fields"));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), Refusal> {
        if self.sealed.bytes() > DOSSIER_BYTES_MAX {
            return Err(Refusal::new(Reason::MessageTooLarge));
        }
        let padded_max =
            (FIELD_BYTES_MAX + SEAL_LENGTH_BYTES).next_multiple_of(FIELD_PADDING_BYTES);
        for (place, (_, sealed)) in self.sealed.fields.iter().enumerate() {
            let padded = sealed.len().saturating_sub(SEAL_TAG_BYTES);
            let right =
                padded > 0 && padded <= padded_max && padded.is_multiple_of(FIELD_PADDING_BYTES);
            if !right {
                let text = format!("field {place} is not a padded size of at most 64 KiB");
                return Err(Refusal::about(Reason::FieldTooLarge, "fields", text));
            }
        }
        Ok(())
    }

    /// The fields whose labels are permitted, and the labels that are not.
    #[must_use]
    pub fn minimise(&self, permitted: &BTreeSet<Label>) -> (SealedFields, Vec<Label>) {
        let (kept, dropped): (Vec<_>, Vec<_>) = self
            .sealed
            .fields
            .iter()
            .cloned()
            .partition(|(label, _)| permitted.contains(label));
        let sealed = SealedFields {
            encapsulation: self.sealed.encapsulation.clone(),
            fields: kept,
        };
        (
            sealed,
            dropped.into_iter().map(|(label, _)| label).collect(),
        )
    }
}

fn check_signature(
    signed: &SignedManifest,
    desk: &DeskName,
    signing_key: [u8; 32],
) -> Result<(), Refusal> {
    let signature = Signature::from_slice(&signed.paper.signature);
    let right = signed.desk == *desk
        && signature.is_some_and(|signature| {
            VerifyingKey::from_bytes(signing_key).verify(
                Paper::Manifest,
                &signed.paper.bytes,
                &signature,
            )
        });
    if right {
        Ok(())
    } else {
        Err(Refusal::new(Reason::ManifestSignatureInvalid))
    }
}
