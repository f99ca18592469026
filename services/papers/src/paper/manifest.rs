//! The codec of manifests: which labels travel in which sealed form, and no values.
//!
//! Must never hold or derive a field's value: the broker reads manifests.

use super::{Form, PaperError, Signed, VERSION, named, refused, sized, version};
use rules::id::{DeskName, HandoverId, Label, Party, Purpose};
use rules::limits::MANIFEST_LABELS_MAX;
use rules::reason::Reason;
use std::collections::BTreeSet;
use wire::handover::v1 as message;

/// What is sealed and to whom, at one stage of one handover. Signed by the desk that sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The handover.
    pub handover: HandoverId,
    /// For whom it is sealed: the recipient, and in a report the sender of the handover.
    pub recipient: Party,
    /// The purpose.
    pub purpose: Purpose,
    /// SHA-256 of the sealing key of whom it is for.
    pub sealing_key_sha256: [u8; 32],
    /// SHA-256 of the encapsulation.
    pub encapsulation_sha256: [u8; 32],
    /// The fields: 1 to 64, each label once.
    pub fields: Vec<ManifestField>,
    /// What belongs to the stage only.
    pub stage: ManifestStage,
}

/// The stage of a manifest, with what only that stage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestStage {
    /// The summary.
    Offer {
        /// Labels that the dossier will have: at most 64, each once.
        dossier_labels: Vec<Label>,
    },
    /// The dossier.
    Release {
        /// SHA-256 of the source ciphertext of the order HANDOVER.
        ciphertext_sha256: [u8; 32],
    },
    /// The report of what became of it.
    Report,
}

impl ManifestStage {
    /// The stage in the seal of the fields.
    #[must_use]
    pub const fn sealing(&self) -> vault::sealing::Stage {
        match self {
            Self::Offer { .. } => vault::sealing::Stage::Offer,
            Self::Release { .. } => vault::sealing::Stage::Release,
            Self::Report => vault::sealing::Stage::Report,
        }
    }
}

/// One field of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestField {
    /// The label, from the register.
    pub label: Label,
    /// SHA-256 of the sealed field.
    pub sealed_sha256: [u8; 32],
}

impl Manifest {
    /// Labels of the fields, in the manifest's order.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.fields.iter().map(|field| &field.label)
    }

    /// Checks that this is the encapsulation that the manifest names.
    ///
    /// # Errors
    ///
    /// `MANIFEST_DIGEST_MISMATCH` when it is another one.
    pub fn verify_encapsulation(&self, encapsulation: &[u8]) -> Result<(), PaperError> {
        if vault::digest::sha256(encapsulation) == self.encapsulation_sha256 {
            Ok(())
        } else {
            Err(mismatch("encapsulation", "is not the one in the manifest"))
        }
    }

    /// Checks that the manifest names this sealed field under this label.
    ///
    /// # Errors
    ///
    /// `MANIFEST_DIGEST_MISMATCH` when it names another one, or none.
    pub fn verify_field(&self, label: &Label, sealed: &[u8]) -> Result<(), PaperError> {
        let listed = self.fields.iter().find(|listed| listed.label == *label);
        let same =
            listed.is_some_and(|listed| vault::digest::sha256(sealed) == listed.sealed_sha256);
        if same {
            Ok(())
        } else {
            Err(mismatch("fields", "have one that is not in the manifest"))
        }
    }

    /// Checks that these are the fields that the manifest names: all of them, in its order.
    ///
    /// # Errors
    ///
    /// `MANIFEST_DIGEST_MISMATCH` when one is missing, too many, another one or out of order.
    pub fn verify_fields(&self, sealed: &[(Label, Vec<u8>)]) -> Result<(), PaperError> {
        if !self.labels().eq(sealed.iter().map(|(label, _)| label)) {
            return Err(mismatch("fields", "are not those in the manifest"));
        }
        sealed
            .iter()
            .try_for_each(|(label, sealed)| self.verify_field(label, sealed))
    }

    /// Labels that the dossier will have, which an offer says; of another stage none.
    #[must_use]
    pub fn dossier_labels(&self) -> &[Label] {
        match &self.stage {
            ManifestStage::Offer { dossier_labels } => dossier_labels,
            ManifestStage::Release { .. } | ManifestStage::Report => &[],
        }
    }

    /// Checks that a release names this source ciphertext.
    ///
    /// # Errors
    ///
    /// `MANIFEST_DIGEST_MISMATCH` when it names another one, or is no release.
    pub fn verify_ciphertext(&self, ciphertext_sha256: &[u8; 32]) -> Result<(), PaperError> {
        match &self.stage {
            ManifestStage::Release {
                ciphertext_sha256: named,
            } if named == ciphertext_sha256 => Ok(()),
            ManifestStage::Release { .. } | ManifestStage::Offer { .. } | ManifestStage::Report => {
                Err(mismatch("ciphertext_sha256", "is not the one of the order"))
            }
        }
    }
}

impl Form for Manifest {
    type Message = message::Manifest;
    const KIND: vault::sign::Paper = vault::sign::Paper::Manifest;
    const MALFORMED: Reason = Reason::ManifestInvalid;
    const FORGED: Reason = Reason::ManifestSignatureInvalid;

    fn to_message(&self) -> message::Manifest {
        let (stage, dossier_labels, ciphertext_sha256) = match &self.stage {
            ManifestStage::Offer { dossier_labels } => (
                message::Stage::Offer,
                dossier_labels.iter().map(ToString::to_string).collect(),
                Vec::new(),
            ),
            ManifestStage::Release { ciphertext_sha256 } => (
                message::Stage::Release,
                Vec::new(),
                ciphertext_sha256.to_vec(),
            ),
            ManifestStage::Report => (message::Stage::Report, Vec::new(), Vec::new()),
        };
        message::Manifest {
            version: VERSION,
            handover_id: self.handover.bytes().to_vec(),
            stage: stage.into(),
            recipient: self.recipient.to_string(),
            purpose: self.purpose.to_string(),
            sealing_key_sha256: self.sealing_key_sha256.to_vec(),
            encapsulation_sha256: self.encapsulation_sha256.to_vec(),
            fields: self
                .fields
                .iter()
                .map(|field| message::ManifestField {
                    label: field.label.to_string(),
                    sealed_sha256: field.sealed_sha256.to_vec(),
                })
                .collect(),
            dossier_labels,
            ciphertext_sha256,
        }
    }

    fn from_message(manifest: message::Manifest) -> Result<Self, PaperError> {
        version::<Self>(manifest.version)?;
        let stage = read_stage(&manifest)?;
        if manifest.fields.is_empty() {
            return Err(refused::<Self>("fields", "is missing"));
        }
        let fields: Result<Vec<_>, PaperError> = manifest
            .fields
            .iter()
            .map(|field| {
                Ok(ManifestField {
                    label: named::<Self, _>("fields.label", &field.label)?,
                    sealed_sha256: sized::<Self, 32>("fields.sealed_sha256", &field.sealed_sha256)?,
                })
            })
            .collect();
        let read = Self {
            handover: HandoverId::from_slice(&manifest.handover_id)
                .ok_or_else(|| refused::<Self>("handover_id", "is not an id of 16 bytes"))?,
            recipient: named::<Self, _>("recipient", &manifest.recipient)?,
            purpose: named::<Self, _>("purpose", &manifest.purpose)?,
            sealing_key_sha256: sized::<Self, 32>(
                "sealing_key_sha256",
                &manifest.sealing_key_sha256,
            )?,
            encapsulation_sha256: sized::<Self, 32>(
                "encapsulation_sha256",
                &manifest.encapsulation_sha256,
            )?,
            fields: fields?,
            stage,
        };
        bounded_and_distinct("fields", read.labels())?;
        Ok(read)
    }
}

fn read_stage(manifest: &message::Manifest) -> Result<ManifestStage, PaperError> {
    let wrong = refused::<Manifest>;
    match message::Stage::try_from(manifest.stage) {
        Ok(message::Stage::Offer) => {
            if !manifest.ciphertext_sha256.is_empty() {
                return Err(wrong("ciphertext_sha256", "does not belong in an offer"));
            }
            let labels: Result<Vec<Label>, PaperError> = manifest
                .dossier_labels
                .iter()
                .map(|label| named::<Manifest, _>("dossier_labels", label))
                .collect();
            let dossier_labels = labels?;
            bounded_and_distinct("dossier_labels", dossier_labels.iter())?;
            Ok(ManifestStage::Offer { dossier_labels })
        }
        Ok(message::Stage::Release) => {
            if !manifest.dossier_labels.is_empty() {
                return Err(wrong("dossier_labels", "does not belong in a release"));
            }
            let digest = sized::<Manifest, 32>("ciphertext_sha256", &manifest.ciphertext_sha256)?;
            Ok(ManifestStage::Release {
                ciphertext_sha256: digest,
            })
        }
        Ok(message::Stage::Report) => {
            if !manifest.dossier_labels.is_empty() || !manifest.ciphertext_sha256.is_empty() {
                return Err(wrong("stage", "of a report has labels and digests only"));
            }
            Ok(ManifestStage::Report)
        }
        Ok(message::Stage::Unspecified) | Err(_) => Err(wrong("stage", "is missing or unknown")),
    }
}

fn bounded_and_distinct<'a>(
    field: &'static str,
    labels: impl Iterator<Item = &'a Label>,
) -> Result<(), PaperError> {
    let mut seen = BTreeSet::new();
    for label in labels {
        if !seen.insert(label) {
            return Err(doubled(field));
        }
    }
    if seen.len() > MANIFEST_LABELS_MAX {
        return Err(PaperError {
            reason: Reason::LabelsTooMany,
            ..refused::<Manifest>(field, "has more than 64 labels")
        });
    }
    Ok(())
}

fn doubled(field: &'static str) -> PaperError {
    PaperError {
        reason: Reason::LabelDoubled,
        ..refused::<Manifest>(field, "has a label twice")
    }
}

fn mismatch(field: &'static str, wrong: &'static str) -> PaperError {
    PaperError {
        reason: Reason::ManifestDigestMismatch,
        ..refused::<Manifest>(field, wrong)
    }
}

/// A manifest with its bytes, its signature and the desk that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// The manifest and what was signed.
    pub signed: Signed<Manifest>,
    /// The desk whose key signed.
    pub desk: DeskName,
}

impl SignedManifest {
    /// What it says.
    #[must_use]
    pub const fn paper(&self) -> &Manifest {
        self.signed.paper()
    }
}

impl TryFrom<message::SignedManifest> for SignedManifest {
    type Error = PaperError;

    fn try_from(signed: message::SignedManifest) -> Result<Self, PaperError> {
        Ok(Self {
            desk: named::<Manifest, _>("desk", &signed.desk)?,
            signed: Signed::receive(signed.manifest, &signed.signature)?,
        })
    }
}

impl From<&SignedManifest> for message::SignedManifest {
    fn from(manifest: &SignedManifest) -> Self {
        Self {
            manifest: manifest.signed.bytes().to_vec(),
            signature: manifest.signed.signature().bytes().to_vec(),
            desk: manifest.desk.to_string(),
        }
    }
}
