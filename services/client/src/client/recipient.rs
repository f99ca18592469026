//! The recipient's steps: take notice, read the summary, decide, fetch, complete, answer notices.
//!
//! Must never hand a value on whose way from the sender's desk was not verified, and must never keep
//! quiet about one that does not equal the manifest.

use super::proof::{Evidence, Proof};
use super::{Client, ask, enrol::open_conversion};
use crate::connection::{stub, with_deadline};
use crate::directory::{DirectoryCopy, Lasting};
use crate::error::{ClientError, ProtocolError, from_status};
use crate::person::PersonKey;
use crate::receipt::{NoticeReceipt, Receipt};
use crate::store::{Change, FieldRow, OpenedRow, Table, opened_key, pseudonym_change, put};
use papers::paper::{Manifest, ManifestStage, NoticeAnswer, Order, Signed, SignedManifest};
use rules::handover::{DeclineCode, MismatchKind, QuestionCode, ReturnCode};
use rules::id::{Basis, HandoverId, Label, NoticeId, Party, Purpose};
use rules::notice::AnswerCode;
use rules::pseudonym::{Context, Domain, OrderKind, Relation, TargetDomain};
use rules::secret::Secret;
use std::collections::BTreeSet;
use vault::pseudonym::Pseudonym;
use vault::sealing::{FieldOpener, OpenedField, Stage};
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

/// An opened summary: about somebody, but not yet about anybody known.
#[derive(Debug)]
pub struct Summary {
    /// The handover.
    pub receipt: Receipt,
    /// The sender.
    pub sender: Party,
    /// The purpose.
    pub purpose: Purpose,
    /// The values.
    pub fields: Vec<OpenedField>,
    /// Labels that the dossier will have.
    pub dossier_labels: Vec<Label>,
    /// Labels that the sender sealed and the gateway dropped.
    pub dropped_labels: Vec<Label>,
    /// Labels whose content does not equal the manifest or does not open. Decline, or tell the sender.
    pub mismatched_labels: Vec<Label>,
}

/// An opened dossier.
#[derive(Debug)]
pub struct Fetched {
    /// The handover.
    pub receipt: Receipt,
    /// The partner's own key of the person; none while it is not proven that the dossier is about this person.
    pub person: Option<PersonKey>,
    /// Whether the number in the dossier is that of the person whose pseudonym came with it.
    pub proof: Proof,
    /// False when nobody here had this pseudonym: the key is new, and `Store::rename_person` puts the
    /// partner's own in its place.
    pub known: bool,
    /// The sender.
    pub sender: Party,
    /// The purpose.
    pub purpose: Purpose,
    /// The values.
    pub fields: Vec<OpenedField>,
    /// Labels that the sender sealed and the gateway dropped.
    pub dropped_labels: Vec<Label>,
    /// Labels whose content does not equal the manifest or does not open; reported already.
    pub mismatched_labels: Vec<Label>,
}

/// What opening a sealed set gave.
pub(super) struct OpenedSet {
    pub(super) fields: Vec<OpenedField>,
    pub(super) dropped: Vec<Label>,
    pub(super) mismatched: Vec<Label>,
}

impl Client {
    /// Has taken notice of an offer; sets the time of receipt.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn ack(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::AckNotificationRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Reads the summary. From then on notices about this handover come here.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or a [`ProtocolError`] when the manifest is not the sender's.
    pub async fn fetch_offer(&self, handover: &HandoverId) -> Result<Summary, ClientError> {
        let directory = self.directory_not_ended().await?;
        let question = message::FetchOfferRequest {
            handover_id: handover.bytes().to_vec(),
        };
        let answer = ask!(
            self,
            "FetchOffer",
            HandoverServiceClient.fetch_offer,
            question
        )?;
        let receipt = Receipt::verify(answer.receipt, Some(handover), &directory)?;
        let sender = party(&answer.sender)?;
        let manifest = self.manifest(answer.manifest, handover, &sender, &directory)?;
        let ManifestStage::Offer { dossier_labels } = &manifest.stage else {
            return Err(ProtocolError::new("manifest", "is not that of an offer").into());
        };
        let sealed = answer.summary.ok_or(NO_FIELDS)?;
        let set = self.open_set(&directory, &manifest, (Stage::Offer, &sealed))?;
        let row = self.opened_row(&sender, &manifest, None, &set);
        let changes = vec![
            put(Table::Opened, &opened_key(handover, Stage::Offer), &row),
            crate::mutation::revision_change(handover, receipt.revision),
        ];
        self.outbox.commit(changes).await?;
        Ok(Summary {
            receipt,
            sender,
            purpose: manifest.purpose.clone(),
            dossier_labels: dossier_labels.clone(),
            fields: set.fields,
            dropped_labels: set.dropped,
            mismatched_labels: set.mismatched,
        })
    }

    /// Takes the handover.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn accept(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::AcceptRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Does not take the handover. With `NOT_COMPETENT`, `other` may name who is.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn decline(
        &self,
        handover: &HandoverId,
        code: DeclineCode,
        other: Option<&Party>,
    ) -> Result<Receipt, ClientError> {
        let message = message::DeclineRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            code: code.number(),
            other_party: other.map(ToString::to_string).unwrap_or_default(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Asks for a change first; the handover waits. `proposed_date` is YYYY-MM-DD.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn propose_change(
        &self,
        handover: &HandoverId,
        question: QuestionCode,
        proposed_date: Option<&str>,
    ) -> Result<Receipt, ClientError> {
        let message = message::ProposeChangeRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            proposed_date: proposed_date.unwrap_or_default().to_owned(),
            question: question.number(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Fetches the dossier: checks order, vouchers, final key, manifest and digests; decrypts the
    /// realm's own pseudonym; opens the fields; has the number in them converted and compares ([`Proof`]).
    /// Keeps all of it when the two are equal or there is nothing to compare, and otherwise nothing about a
    /// person. What does not equal is reported to both officers. May be repeated while the handover is open.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or a [`ProtocolError`] when anything on the way from the sender's desk does
    /// not verify.
    pub async fn fetch(&self, handover: &HandoverId) -> Result<Fetched, ClientError> {
        let directory = self.directory_not_ended().await?;
        let question = message::FetchRequest {
            handover_id: handover.bytes().to_vec(),
        };
        let answer = ask!(self, "Fetch", HandoverServiceClient.fetch, question)?;
        let receipt = Receipt::verify(answer.receipt, Some(handover), &directory)?;
        let sender = party(&answer.sender)?;
        let manifest = self.manifest(answer.manifest, handover, &sender, &directory)?;
        let order = answer
            .order
            .ok_or(ProtocolError::new("order", "is missing"))?;
        let order = Signed::<Order>::try_from(order)?;
        let (domain, context) = self.check_order(&order, &sender, &manifest, &directory)?;
        let key = self.store().context_key(&context)?;
        let key = key.ok_or(ClientError::Input {
            what: "the pseudonym is encrypted under a context whose key is not here",
            remedy: "restore the store of the desk that opened it, or ask the sender to release anew",
        })?;
        let conversion = answer
            .conversion
            .ok_or(ProtocolError::new("conversion", "is missing"))?;
        let holders = directory.holder_keys()?;
        let vouchers = conversion.vouchers.clone();
        let pseudonym = open_conversion(conversion, &order, 0, &holders, &key)?;
        let sealed = answer.dossier.ok_or(NO_FIELDS)?;
        let set = self.open_set(&directory, &manifest, (Stage::Release, &sealed))?;
        let evidence = Evidence {
            directory: &directory,
            handover,
            manifest: &manifest,
            number_label: &answer.number_label,
            fields: &set.fields,
            pseudonym: &pseudonym,
            order: &order,
            vouchers: &vouchers,
            revision: receipt.revision,
        };
        let (proof, mut changes) = self.prove(&evidence).await?;
        let (mut person, mut known) = (None, false);
        if matches!(proof, Proof::NoNumber | Proof::Proven) {
            let (key, is_known, change) = self.person_of(&domain, &pseudonym)?;
            let row = self.opened_row(&sender, &manifest, Some(&key), &set);
            let place = opened_key(handover, Stage::Release);
            changes.push(put(Table::Opened, &place, &row));
            changes.extend(change);
            (person, known) = (Some(key), is_known);
        }
        self.outbox.commit(changes).await?;
        if !set.mismatched.is_empty() {
            self.report_mismatch(handover, &set.mismatched).await?;
        }
        Ok(Fetched {
            receipt,
            person,
            proof,
            known,
            sender,
            purpose: manifest.purpose.clone(),
            fields: set.fields,
            dropped_labels: set.dropped,
            mismatched_labels: set.mismatched,
        })
    }

    /// Reports labels whose content does not equal the manifest.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn report_mismatch(
        &self,
        handover: &HandoverId,
        labels: &[Label],
    ) -> Result<Receipt, ClientError> {
        self.report(handover, MismatchKind::Fields, labels).await
    }

    pub(super) async fn report(
        &self,
        handover: &HandoverId,
        kind: MismatchKind,
        labels: &[Label],
    ) -> Result<Receipt, ClientError> {
        let message = message::ReportMismatchRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            labels: labels.iter().map(ToString::to_string).collect(),
            kind: kind.number(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Asks for the dossier anew, after the realm's sealing key changed.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn request_reseal(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::RequestResealRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Has had contact with the candidate on this date (YYYY-MM-DD). Only now responsibility moves. Waits for the proof
    /// that the dossier is about this person, which is made now where it was not yet. A dossier that was not fetched here
    /// is fetched first and kept: afterwards nobody can.
    ///
    /// # Errors
    ///
    /// A refusal or a fault; `PERSON_NOT_PROVEN`, `PERSON_UNEQUAL` or `NUMBER_UNREADABLE`, before anything is sent.
    pub async fn complete(
        &self,
        handover: &HandoverId,
        contact_date: &str,
    ) -> Result<Receipt, ClientError> {
        self.need_proof(handover).await?;
        let message = message::CompleteRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            contact_date: contact_date.to_owned(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Gives the handover back.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn return_handover(
        &self,
        handover: &HandoverId,
        code: ReturnCode,
    ) -> Result<Receipt, ClientError> {
        self.try_telling(handover).await?;
        let message = message::ReturnRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            code: code.number(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Has received a notice.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn ack_notice(&self, notice: &NoticeId) -> Result<NoticeReceipt, ClientError> {
        let message = message::AckNoticeRequest {
            request_id: Vec::new(),
            notice_id: notice.bytes().to_vec(),
        };
        Ok(self.run(message).await?.notice()?)
    }

    /// Answers a notice, signed by this desk. `RETAINED` needs a legal ground; nothing else has one.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn answer_notice(
        &self,
        notice: &NoticeId,
        answer: AnswerCode,
        ground: Option<Basis>,
    ) -> Result<NoticeReceipt, ClientError> {
        if (answer == AnswerCode::Retained) != ground.is_some() {
            return Err(ClientError::Input {
                what: "an answer RETAINED has a legal ground, and no other answer has one",
                remedy: "name the ground, or leave it out",
            });
        }
        let paper = NoticeAnswer {
            notice: *notice,
            answer,
            ground,
            time: self.outbox.clock.now(),
        };
        let signed = Signed::sign(paper, &self.outbox.identity.signing_key);
        let message = message::AnswerNoticeRequest {
            request_id: Vec::new(),
            notice_id: notice.bytes().to_vec(),
            answer: signed.bytes().to_vec(),
            signature: signed.signature().bytes().to_vec(),
        };
        Ok(self.run(message).await?.notice()?)
    }

    /// The manifest of this handover to us by whoever sealed, verified.
    pub(super) fn manifest(
        &self,
        sent: Option<message::SignedManifest>,
        handover: &HandoverId,
        by: &Party,
        directory: &DirectoryCopy,
    ) -> Result<Manifest, ClientError> {
        let sent = sent.ok_or(ProtocolError::new("manifest", "is missing"))?;
        let manifest = SignedManifest::try_from(sent)?;
        manifest
            .signed
            .verify(&directory.signer(by, &manifest.desk)?)?;
        let manifest = manifest.signed.into_paper();
        if manifest.handover != *handover || manifest.recipient != *self.party() {
            let error = ProtocolError::new("manifest", "is of another handover or to another");
            return Err(error.into());
        }
        Ok(manifest)
    }

    /// Checks that the order HANDOVER is the sender's, about this relation, to our own domain, and the
    /// one that the manifest names. Answers our domain and context in it.
    fn check_order(
        &self,
        order: &Signed<Order>,
        sender: &Party,
        manifest: &Manifest,
        directory: &DirectoryCopy,
    ) -> Result<(Domain, Context), ClientError> {
        let paper = order.paper();
        order.verify(&directory.signer(sender, &paper.desk)?)?;
        manifest.verify_ciphertext(&paper.ciphertext_sha256)?;
        let ours = Relation {
            from: sender.clone(),
            to: self.party().clone(),
            purpose: manifest.purpose.clone(),
        };
        let from_sender = paper.issuer == sender.oin
            && matches!(&paper.source, Domain::Partner { party, .. } if party == sender);
        let wrong = ProtocolError::new("order", "is not of this handover to us");
        match paper.targets.as_slice() {
            [
                (TargetDomain::Partner { party, epoch }, context),
                (TargetDomain::Relation { relation, .. }, _),
            ] if from_sender
                && paper.kind == OrderKind::Handover
                && party == self.party()
                && context.party == *party
                && *relation == ours
                && paper.purpose.as_ref() == Some(&manifest.purpose) =>
            {
                let domain = Domain::Partner {
                    party: party.clone(),
                    epoch: *epoch,
                };
                Ok((domain, context.clone()))
            }
            _ => Err(wrong.into()),
        }
    }

    /// Opens every field that equals the manifest, under a directory that still holds; the rest is a mismatch.
    pub(super) fn open_set(
        &self,
        _: &Lasting,
        manifest: &Manifest,
        (stage, sealed): (Stage, &message::SealedFields),
    ) -> Result<OpenedSet, ClientError> {
        let key = self
            .outbox
            .identity
            .opening_key(&manifest.sealing_key_sha256)?;
        let same = manifest.verify_encapsulation(&sealed.encapsulation);
        let opener = same.ok().and_then(|()| {
            key.open(&sealed.encapsulation, &manifest.handover, stage)
                .ok()
        });
        let mut seen = BTreeSet::new();
        let mut set = OpenedSet {
            fields: Vec::new(),
            dropped: Vec::new(),
            mismatched: Vec::new(),
        };
        for field in &sealed.fields {
            let label: Label = field
                .label
                .parse()
                .map_err(|_| ProtocolError::new("fields", "have a label that is none"))?;
            if !seen.insert(label.clone()) {
                return Err(ProtocolError::new("fields", "have a label twice").into());
            }
            match open_field(manifest, opener.as_ref(), &label, &field.sealed) {
                Some(value) => set.fields.push(OpenedField { label, value }),
                None => set.mismatched.push(label),
            }
        }
        let dropped = manifest.labels().filter(|label| !seen.contains(label));
        set.dropped = dropped.cloned().collect();
        Ok(set)
    }

    pub(super) fn opened_row(
        &self,
        by: &Party,
        manifest: &Manifest,
        person: Option<&PersonKey>,
        set: &OpenedSet,
    ) -> OpenedRow {
        OpenedRow {
            sender: by.to_string(),
            purpose: manifest.purpose.to_string(),
            person: person
                .map(|key| key.expose().to_owned())
                .unwrap_or_default(),
            fields: set
                .fields
                .iter()
                .map(|field| FieldRow {
                    label: field.label.to_string(),
                    value: field.value.expose().clone(),
                })
                .collect(),
            opened_millis: self.outbox.clock.now().millis(),
        }
    }

    /// The person with this pseudonym; a fresh key, to be kept, when it is nobody known here.
    fn person_of(
        &self,
        domain: &Domain,
        pseudonym: &Pseudonym,
    ) -> Result<(PersonKey, bool, Option<Change>), ClientError> {
        if let Some(person) = self.store().person(domain, pseudonym)? {
            return Ok((person, true, None));
        }
        let person = PersonKey::draw(&*self.outbox.random);
        let change = pseudonym_change(domain, &person, pseudonym, false);
        Ok((person, false, Some(change)))
    }
}

pub(super) const NO_FIELDS: ProtocolError = ProtocolError::new("sealed fields", "are missing");

fn open_field(
    manifest: &Manifest,
    opener: Option<&FieldOpener>,
    label: &Label,
    sealed: &[u8],
) -> Option<Secret<Vec<u8>>> {
    manifest.verify_field(label, sealed).ok()?;
    opener?.field(label, sealed).ok()
}

pub(super) fn party(text: &str) -> Result<Party, ProtocolError> {
    text.parse()
        .map_err(|_| ProtocolError::new("the other side", "is not a party"))
}
