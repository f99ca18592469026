//! What a handover is about: the part of its row that only the broker can open, and the payloads that
//! only the recipient can.
//!
//! Must never hold a field's value, a person's name or a pseudonym in clear.

use crate::Error;
use crate::broker::Keys;
use papers::frame::{FrameReader, FrameWriter};
use papers::paper::{Signed, SignedManifest, SignedPaper};
use rules::clock::Timestamp;
use rules::id::{Basis, DeskName, HandoverId, Label, Party, Purpose};
use rules::policy::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::str::FromStr;
use store::handover::HandoverRow;
use vault::rest::Place;

/// What a handover is about. Stays when the payload is gone, because a notice may still have to reach
/// the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Who hands over.
    pub sender: Party,
    /// The sender's desk that prepared it.
    pub sender_desk: DeskName,
    /// To whom.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// On which legal basis.
    pub basis: Basis,
    /// Under which article.
    pub article: String,
    /// Under which register entry (a versioned URI).
    pub processing_activity: String,
    /// Id of the order PREPARE or UNBOUND, as text.
    pub prepare_order: String,
    /// Whether the sender made the person known without a number: the order was UNBOUND.
    pub unbound: bool,
    /// When it was prepared.
    pub prepared_at: Timestamp,
    /// Labels that the summary may have.
    pub summary_labels: BTreeSet<Label>,
    /// Labels that the dossier may have.
    pub dossier_labels: BTreeSet<Label>,
    /// What changed along the way.
    pub course: Course,
}

/// What changed along the way; every field is a code, a date or a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Why it ended or waits.
    #[serde(default)]
    pub code: String,
    /// Who may be competent instead, as the recipient said.
    #[serde(default)]
    pub other_party: String,
    /// When it was offered, in milliseconds since 1970 UTC. Before that the recipient has no part in it.
    #[serde(default)]
    pub offered_millis: Option<i64>,
    /// When the recipient took notice, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub received_millis: Option<i64>,
    /// When the dossier was released, in milliseconds since 1970 UTC.
    #[serde(default)]
    pub released_millis: Option<i64>,
    /// Id of the order HANDOVER, as text, once it was released.
    #[serde(default)]
    pub release_order: String,
    /// Whether the recipient found that the number in the dossier is of another person.
    #[serde(default)]
    pub person_unequal: bool,
    /// How often the recipient had the number in the dossier converted.
    #[serde(default)]
    pub person_checks: u32,
    /// Whether the person of that number was told.
    #[serde(default)]
    pub mismatch_told: bool,
    /// Date of the contact with the candidate, YYYY-MM-DD.
    #[serde(default)]
    pub contact_date: String,
    /// The report of what became of it, as far as the broker may know.
    #[serde(default)]
    pub report: Option<ReportCourse>,
    /// Date that the recipient proposed, YYYY-MM-DD.
    #[serde(default)]
    pub proposed_date: String,
}

/// That there was a report: never what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportCourse {
    /// When the recipient sent it, in milliseconds since 1970 UTC.
    pub sent_millis: i64,
    /// When the sender first fetched it, in milliseconds since 1970 UTC.
    pub fetched_millis: Option<i64>,
    /// Whether the sender ever read one, this or one that it replaced: a stop reaches it with a notice.
    #[serde(default)]
    pub was_read: bool,
    /// Digest of the sender's sealing key that it was sealed to, in hexadecimal.
    pub key_sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    sender: String,
    sender_desk: String,
    recipient: String,
    purpose: String,
    basis: String,
    article: String,
    processing_activity: String,
    prepare_order: String,
    unbound: bool,
    prepared_millis: i64,
    summary_labels: Vec<String>,
    dossier_labels: Vec<String>,
    course: Course,
}

fn read<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse()
        .map_err(|_| Error::Malformed("a handover's body"))
}

fn read_labels(texts: &[String]) -> Result<BTreeSet<Label>, Error> {
    texts.iter().map(|text| read(text)).collect()
}

fn texts(labels: &BTreeSet<Label>) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

impl Body {
    fn place(id: &HandoverId) -> Place<'_> {
        Place {
            table: "handover",
            row: id.bytes(),
            column: "body",
        }
    }

    /// Labels that were prepared for a stage; what a report may have is the register's alone.
    pub fn prepared(&self, stage: Stage) -> impl Iterator<Item = &Label> {
        let prepared = match stage {
            Stage::Offer => Some(&self.summary_labels),
            Stage::Dossier => Some(&self.dossier_labels),
            Stage::Report => None,
        };
        prepared.into_iter().flatten()
    }

    /// The body, sealed into its row.
    ///
    /// # Errors
    /// When the cipher fails.
    pub fn seal(&self, keys: &Keys, id: &HandoverId) -> Result<Vec<u8>, Error> {
        let stored = Stored {
            sender: self.sender.to_string(),
            sender_desk: self.sender_desk.to_string(),
            recipient: self.recipient.to_string(),
            purpose: self.purpose.to_string(),
            basis: self.basis.to_string(),
            article: self.article.clone(),
            processing_activity: self.processing_activity.clone(),
            prepare_order: self.prepare_order.clone(),
            unbound: self.unbound,
            prepared_millis: self.prepared_at.millis(),
            summary_labels: texts(&self.summary_labels),
            dossier_labels: texts(&self.dossier_labels),
            course: self.course.clone(),
        };
        let plain =
            serde_json::to_vec(&stored).map_err(|_| Error::Malformed("a handover's body"))?;
        keys.seal(&Self::place(id), &plain)
    }

    /// The body of a row.
    ///
    /// # Errors
    /// When the row was tampered with or is not of this program's making.
    pub fn open(keys: &Keys, row: &HandoverRow) -> Result<Self, Error> {
        let plain = keys.open(&Self::place(&row.handover_id), &row.body)?;
        let stored: Stored =
            serde_json::from_slice(&plain).map_err(|_| Error::Malformed("a handover's body"))?;
        Ok(Self {
            sender: read(&stored.sender)?,
            sender_desk: read(&stored.sender_desk)?,
            recipient: read(&stored.recipient)?,
            purpose: read(&stored.purpose)?,
            basis: read(&stored.basis)?,
            article: stored.article,
            processing_activity: stored.processing_activity,
            prepare_order: stored.prepare_order,
            unbound: stored.unbound,
            prepared_at: Timestamp::from_millis(stored.prepared_millis),
            summary_labels: read_labels(&stored.summary_labels)?,
            dossier_labels: read_labels(&stored.dossier_labels)?,
            course: stored.course,
        })
    }
}

/// A set of sealed fields as whoever sealed it sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedFields {
    /// The X-Wing encapsulation.
    pub encapsulation: Vec<u8>,
    /// Label and sealed value.
    pub fields: Vec<(Label, Vec<u8>)>,
}

impl SealedFields {
    /// The labels, in the order of the fields.
    #[must_use]
    pub fn labels(&self) -> Vec<Label> {
        self.fields.iter().map(|(label, _)| label.clone()).collect()
    }

    /// Octets of all sealed values together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fields
            .iter()
            .fold(0, |sum, (_, sealed)| sum.saturating_add(sealed.len()))
    }
}

/// What is released with a dossier: the recipient's pseudonym, still encrypted, and its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedPseudonym {
    /// Under the recipient's context key.
    pub ciphertext: [u8; 64],
    /// The order HANDOVER.
    pub order: SignedPaper,
    /// Every holder's voucher.
    pub vouchers: Vec<SignedPaper>,
}

/// A payload: a summary, a dossier with the pseudonym, or a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The manifest of whoever sealed.
    pub manifest: SignedManifest,
    /// The sealed fields.
    pub sealed: SealedFields,
    /// Dossier only.
    pub pseudonym: Option<ReleasedPseudonym>,
}

impl Payload {
    /// As octets, before they go under the handover's data key.
    ///
    /// # Errors
    /// When a part is longer than a frame can say.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut writer = FrameWriter::default();
        writer.put(self.manifest.signed.bytes())?;
        writer.put(self.manifest.signed.signature().bytes())?;
        writer.put(self.manifest.desk.as_str().as_bytes())?;
        writer.put(&self.sealed.encapsulation)?;
        writer.put(&count(self.sealed.fields.len()))?;
        for (label, sealed) in &self.sealed.fields {
            writer.put(label.as_str().as_bytes())?;
            writer.put(sealed)?;
        }
        if let Some(released) = &self.pseudonym {
            writer.put(&released.ciphertext)?;
            writer.put(&released.order.bytes)?;
            writer.put(&released.order.signature)?;
            for voucher in &released.vouchers {
                writer.put(&voucher.bytes)?;
                writer.put(&voucher.signature)?;
            }
        }
        Ok(writer.finish())
    }

    /// From the octets under the data key.
    ///
    /// # Errors
    /// When they are not of this program's making.
    pub fn decode(octets: &[u8]) -> Result<Self, Error> {
        let mut reader = FrameReader::new(octets);
        let paper = take_paper(&mut reader)?;
        let signed = Signed::receive(paper.bytes, &paper.signature)
            .map_err(|_| Error::Malformed("a payload"))?;
        let desk = read(reader.take_text()?)?;
        let encapsulation = reader.take()?.to_vec();
        let wrong = || Error::Malformed("a payload");
        let fields_count = u16::from_be_bytes(reader.take()?.try_into().map_err(|_| wrong())?);
        let fields = (0..fields_count)
            .map(|_| Ok((read(reader.take_text()?)?, reader.take()?.to_vec())))
            .collect::<Result<Vec<_>, Error>>()?;
        let pseudonym = if reader.is_empty() {
            None
        } else {
            Some(take_released(&mut reader)?)
        };
        Ok(Self {
            manifest: SignedManifest { signed, desk },
            sealed: SealedFields {
                encapsulation,
                fields,
            },
            pseudonym,
        })
    }
}

fn count(fields: usize) -> [u8; 2] {
    u16::try_from(fields).unwrap_or(u16::MAX).to_be_bytes()
}

fn take_paper(reader: &mut FrameReader<'_>) -> Result<SignedPaper, Error> {
    Ok(SignedPaper {
        bytes: reader.take()?.to_vec(),
        signature: reader.take()?.to_vec(),
    })
}

fn take_released(reader: &mut FrameReader<'_>) -> Result<ReleasedPseudonym, Error> {
    let ciphertext = reader
        .take()?
        .try_into()
        .map_err(|_| Error::Malformed("a payload"))?;
    let order = take_paper(reader)?;
    let mut vouchers = Vec::new();
    while !reader.is_empty() {
        vouchers.push(take_paper(reader)?);
    }
    Ok(ReleasedPseudonym {
        ciphertext,
        order,
        vouchers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use papers::paper::{Manifest, ManifestField, ManifestStage};
    use rules::id::HandoverId;
    use vault::sign::SigningKey;

    fn paper(mark: u8) -> SignedPaper {
        SignedPaper {
            bytes: vec![mark; 10],
            signature: vec![mark; 64],
        }
    }

    fn manifest() -> SignedManifest {
        let key = SigningKey::from_seed(&SigningKey::generate());
        let manifest = Manifest {
            handover: HandoverId::from_slice(&[7; 16]).unwrap(),
            recipient: "00000099000000002000/main".parse().unwrap(),
            purpose: "HANDOVER".parse().unwrap(),
            sealing_key_sha256: [1; 32],
            encapsulation_sha256: [2; 32],
            fields: vec![ManifestField {
                label: "regio.pc4".parse().unwrap(),
                sealed_sha256: [3; 32],
            }],
            stage: ManifestStage::Report,
        };
        SignedManifest {
            signed: Signed::sign(manifest, &key),
            desk: "ww".parse().unwrap(),
        }
    }

    fn check(pseudonym: Option<ReleasedPseudonym>) {
        let payload = Payload {
            manifest: manifest(),
            sealed: SealedFields {
                encapsulation: vec![2; 1120],
                fields: vec![("regio.pc4".parse().unwrap(), vec![3; 272])],
            },
            pseudonym,
        };
        let octets = payload.encode().unwrap();
        assert_eq!(Payload::decode(&octets).unwrap(), payload);
        assert!(Payload::decode(&octets[..octets.len() - 1]).is_err());
    }

    #[test]
    fn payloads_read_back_and_refuse_what_is_cut_off() {
        check(None);
        check(Some(ReleasedPseudonym {
            ciphertext: [4; 64],
            order: paper(5),
            vouchers: vec![paper(6), paper(7)],
        }));
    }
}
