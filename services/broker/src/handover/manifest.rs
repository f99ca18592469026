//! The manifest: what whoever sealed says it sealed, held against what came and what is allowed.
//!
//! Minimisation happens here, on labels and digests. Must never need a value, and must never let a
//! field through that the manifest does not name with its digest.

use super::Loaded;
use super::body::SealedFields;
use crate::broker::InForce;
use crate::serve::Room;
use papers::paper::{Manifest, ManifestStage, SignedManifest};
use rules::id::{DeskName, Label};
use rules::limits::{DOSSIER_BYTES_MAX, FIELD_BYTES_MAX, FIELD_PADDING_BYTES, MANIFEST_LABELS_MAX};
use rules::policy::Stage;
use rules::reason::{Reason, Refusal};
use std::collections::BTreeSet;
use vault::digest::sha256;
use vault::sign::VerifyingKey;

/// Octets that AES-GCM adds to a sealed field.
const SEAL_TAG_BYTES: usize = 16;
/// Octets in front of a value inside its seal: its length.
const SEAL_LENGTH_BYTES: usize = 4;

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
    /// What was signed.
    pub manifest: &'a SignedManifest,
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
        check_signature(self.manifest, &caller.desk, caller.signing_key)?;
        let manifest = self.manifest.paper();
        let to = match self.stage {
            Stage::Offer | Stage::Dossier => &loaded.body.recipient,
            Stage::Report => &loaded.body.sender,
        };
        let about_this = manifest.handover == loaded.row.handover_id
            && stage_of(&manifest.stage) == self.stage
            && manifest.recipient == *to
            && manifest.purpose == loaded.body.purpose;
        if !about_this {
            return Err(Refusal::new(Reason::ManifestInvalid));
        }
        room.in_force
            .check_labels("manifest.fields", &labels_of(manifest))?;
        room.in_force
            .check_labels("manifest.dossier_labels", manifest.dossier_labels())?;
        let current = room
            .in_force
            .directory
            .sealing_key(to, room.call.now)
            .ok_or(Reason::ReceiverNotReady)?;
        if sha256(&current.public_key) != manifest.sealing_key_sha256 {
            return Err(Refusal::new(Reason::SealingKeyOutdated));
        }
        manifest.verify_encapsulation(&self.sealed.encapsulation)?;
        manifest.verify_fields(&self.sealed.fields)?;
        self.check_sizes()
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

/// The labels of a manifest's fields.
#[must_use]
pub fn labels_of(manifest: &Manifest) -> Vec<Label> {
    manifest.labels().cloned().collect()
}

const fn stage_of(stage: &ManifestStage) -> Stage {
    match stage {
        ManifestStage::Offer { .. } => Stage::Offer,
        ManifestStage::Release { .. } => Stage::Dossier,
        ManifestStage::Report => Stage::Report,
    }
}

fn check_signature(
    manifest: &SignedManifest,
    desk: &DeskName,
    signing_key: [u8; 32],
) -> Result<(), Refusal> {
    if manifest.desk != *desk {
        return Err(Refusal::new(Reason::ManifestSignatureInvalid));
    }
    let key = VerifyingKey::from_bytes(signing_key);
    Ok(manifest.signed.verify(&key)?)
}
