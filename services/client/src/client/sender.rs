//! The sender's steps: prepare, offer, release, and what may follow.
//!
//! Must never seal a value whose label the gateway did not permit, and never seal to a key that the
//! recipient did not sign.

use super::{Client, context_label};
use crate::directory::{DirectoryCopy, Lasting};
use crate::error::ClientError;
use crate::outbox::Beside;
use crate::person::PersonKey;
use crate::receipt::{NoticeReceipt, Prepared, Receipt};
use crate::store::{Change, PreparedRow, Table, put};
use papers::paper::{Manifest, ManifestField, ManifestStage, Signed, SignedManifest};
use rules::clock::Timestamp;
use rules::handover::CancelCode;
use rules::id::{Basis, GroupId, HandoverId, Label, Party, Purpose, RequestId};
use rules::notice::NoticeKind;
use rules::pseudonym::{Domain, OrderKind, Relation, TargetDomain};
use rules::secret::Secret;
use vault::pseudonym::Ciphertext;
use vault::sealing::{Sealed, SealingKey, seal_fields};
use wire::handover::v1 as message;
use wire::pseudonym::v1::{Order as OrderMessage, OrderTarget};

/// What is asked of the gateway before a handover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Who is to take over.
    pub recipient: Party,
    /// The purpose.
    pub purpose: Purpose,
    /// The legal basis on which the sender acts, as in the register. There is no default.
    pub basis: Basis,
    /// Labels wanted in the summary.
    pub summary_labels: Vec<Label>,
    /// Labels wanted in the dossier.
    pub dossier_labels: Vec<Label>,
    /// The group, when several recipients are asked for one candidate.
    pub group: Option<GroupId>,
}

/// Values to be sealed, by label. Wiped when dropped.
pub(super) type Values<'a> = &'a [(Label, Secret<Vec<u8>>)];

/// A sealed set with its manifest, and what became of the values.
struct SealedSet {
    manifest: message::SignedManifest,
    fields: message::SealedFields,
    became: Became,
}

/// Labels that were not permitted, and those under which a number stands.
struct Became {
    unsealed: Vec<Label>,
    numbers: Vec<Label>,
}

impl Became {
    /// The receipt, with what became of the values here.
    fn told(self, receipt: Receipt) -> Receipt {
        Receipt {
            unsealed_labels: self.unsealed,
            number_labels: self.numbers,
            ..receipt
        }
    }
}

impl Client {
    /// Asks whether an enrolled person may be handed over, and with which labels. Keeps the holders'
    /// vouchers for the release.
    ///
    /// # Errors
    ///
    /// `NOT_AVAILABLE` when the answer is no for a reason about the person; a typed refusal when it is
    /// no for everybody; a fault; or [`ClientError::Input`] when person or context is not here yet.
    pub async fn prepare(
        &self,
        person: &PersonKey,
        preparation: &Preparation,
    ) -> Result<Prepared, ClientError> {
        self.prepare_beside(person, preparation, Beside::default())
            .await
    }

    /// The same, with what is kept together with the request.
    pub(super) async fn prepare_beside(
        &self,
        person: &PersonKey,
        preparation: &Preparation,
        beside: Beside,
    ) -> Result<Prepared, ClientError> {
        let directory = self.directory_not_ended().await?;
        let relation = Relation {
            from: self.party().clone(),
            to: preparation.recipient.clone(),
            purpose: preparation.purpose.clone(),
        };
        let targets = prepare_targets(&directory, relation)?;
        let kind = self.asking_kind(&directory, person)?;
        let (mut order, ciphertext) = self.order_about(&directory, person, kind)?;
        order.targets = targets;
        order.purpose = preparation.purpose.to_string();
        let message = message::PrepareRequest {
            request_id: Vec::new(),
            recipient: preparation.recipient.to_string(),
            purpose: preparation.purpose.to_string(),
            basis: preparation.basis.to_string(),
            summary_labels: texts(&preparation.summary_labels),
            dossier_labels: texts(&preparation.dossier_labels),
            group_id: preparation
                .group
                .map(|group| group.bytes().to_vec())
                .unwrap_or_default(),
            order: None,
            ciphertext: ciphertext.bytes().to_vec(),
        };
        let beside = Beside {
            order: Some(order),
            person: person.expose().to_owned(),
            ..beside
        };
        Ok(self.run_beside(message, beside).await?.prepared()?)
    }

    /// Offers the summary, sealed to the recipient. Values with a label that was not permitted at
    /// `prepare` stay here and are named in the receipt.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or [`ClientError::Input`] when nothing may be sealed.
    pub async fn offer(
        &self,
        handover: &HandoverId,
        values: Values<'_>,
    ) -> Result<Receipt, ClientError> {
        let request = RequestId::draw(&*self.outbox.clock, &*self.outbox.random);
        self.offer_as(request, handover, values).await
    }

    /// The same under an id that the caller names.
    pub(super) async fn offer_as(
        &self,
        request: RequestId,
        handover: &HandoverId,
        values: Values<'_>,
    ) -> Result<Receipt, ClientError> {
        let directory = self.directory_not_ended().await?;
        let mut prepared = self.prepared_row(handover)?;
        let stage = ManifestStage::Offer {
            dossier_labels: labels(&prepared.dossier_labels)?,
        };
        let set = self.seal(handover, &prepared, &directory, values, stage)?;
        let message = message::OfferRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            manifest: Some(set.manifest),
            summary: Some(set.fields),
        };
        let beside = Beside {
            changes: noted(handover, &mut prepared, &set.became),
            ..Beside::default()
        };
        let outcome = self.outbox.run(request, message, beside, &directory).await;
        Ok(set.became.told(outcome?.receipt()?))
    }

    /// Releases the dossier, sealed to the recipient, with the order that gives the recipient its own
    /// pseudonym of the person.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or [`ClientError::Input`] when nothing may be sealed.
    pub async fn release(
        &self,
        handover: &HandoverId,
        values: Values<'_>,
    ) -> Result<Receipt, ClientError> {
        let directory = self.directory_not_ended().await?;
        let mut prepared = self.prepared_row(handover)?;
        let person = PersonKey::kept(&prepared.person).ok_or(UNREADABLE)?;
        let (mut order, ciphertext) = self.order_about(&directory, &person, OrderKind::Handover)?;
        let (recipient, purpose) = relation_of(&prepared)?;
        order.targets = vec![
            partner_target(&directory, &recipient)?,
            relation_target(
                &directory,
                Relation {
                    from: self.party().clone(),
                    to: recipient,
                    purpose,
                },
            )?,
        ];
        order.purpose.clone_from(&prepared.purpose);
        order.parent_order_id.clone_from(&prepared.order_id);
        let ciphertext_sha256 = vault::digest::sha256(ciphertext.bytes());
        let stage = ManifestStage::Release { ciphertext_sha256 };
        let set = self.seal(handover, &prepared, &directory, values, stage)?;
        let message = message::ReleaseRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            order: None,
            ciphertext: ciphertext.bytes().to_vec(),
            prepare_vouchers: prepared.vouchers.clone(),
            manifest: Some(set.manifest),
            dossier: Some(set.fields),
        };
        // A later reseal names the same ciphertext.
        prepared.ciphertext_sha256 = ciphertext_sha256.to_vec();
        let beside = Beside {
            order: Some(order),
            changes: noted(handover, &mut prepared, &set.became),
            ..Beside::default()
        };
        let receipt = self.run_beside(message, beside).await?.receipt()?;
        Ok(set.became.told(receipt))
    }

    /// Seals the dossier to the recipient's new key, after `RESEAL_REQUESTED` in the inbox.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or [`ClientError::Input`] when the handover was not released from here.
    pub async fn reseal(
        &self,
        handover: &HandoverId,
        values: Values<'_>,
    ) -> Result<Receipt, ClientError> {
        let directory = self.newest_not_ended().await?;
        let prepared = self.prepared_row(handover)?;
        let ciphertext_sha256 = <[u8; 32]>::try_from(prepared.ciphertext_sha256.as_slice())
            .map_err(|_| ClientError::Input {
                what: "this handover was not released from this store",
                remedy: "reseal where it was released",
            })?;
        let stage = ManifestStage::Release { ciphertext_sha256 };
        let set = self.seal(handover, &prepared, &directory, values, stage)?;
        let message = message::ResealRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            manifest: Some(set.manifest),
            dossier: Some(set.fields),
        };
        let receipt = self.run(message).await?.receipt()?;
        Ok(set.became.told(receipt))
    }

    /// Goes along with the change that the recipient proposed.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn accept_change(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::AcceptChangeRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Does not go along with the change; the handover ends.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn reject_change(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let message = message::RejectChangeRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Calls the handover off. Only the codes that a sender may give are accepted.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn cancel(
        &self,
        handover: &HandoverId,
        code: CancelCode,
    ) -> Result<Receipt, ClientError> {
        let message = message::CancelRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            expected_revision: self.revision(handover).await?,
            code: code.number(),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Sends the recipient a notice: rectification, erasure or access.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn send_notice(
        &self,
        handover: &HandoverId,
        kind: NoticeKind,
    ) -> Result<NoticeReceipt, ClientError> {
        let message = message::SendNoticeRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            kind: kind.number(),
        };
        Ok(self.run(message).await?.notice()?)
    }

    /// With which order is asked about a person. A point that was drawn here is nobody's at the portal: the gateway is
    /// told so.
    pub(super) fn asking_kind(
        &self,
        directory: &DirectoryCopy,
        person: &PersonKey,
    ) -> Result<OrderKind, ClientError> {
        let domain = self.own_domain(directory)?;
        Ok(if self.store().is_unbound(&domain, person)? {
            OrderKind::Unbound
        } else {
            OrderKind::Prepare
        })
    }

    /// The order's template and the source ciphertext: the person's pseudonym, encrypted afresh.
    pub(super) fn order_about(
        &self,
        directory: &Lasting,
        person: &PersonKey,
        kind: OrderKind,
    ) -> Result<(OrderMessage, Ciphertext), ClientError> {
        let domain = self.own_domain(directory)?;
        let (context, key) = self.own_context(directory)?;
        let pseudonym = self
            .store()
            .pseudonym(&domain, person)?
            .ok_or(ClientError::Input {
                what: "this person is not enrolled in the realm's present epoch",
                remedy: "enrol the person first",
            })?;
        let ciphertext = key.encrypt(&pseudonym);
        let order = OrderMessage {
            kind: kind.number(),
            source_domain: domain.to_string(),
            ..self.order_template(&context, &ciphertext)
        };
        Ok((order, ciphertext))
    }

    pub(super) fn prepared_row(&self, handover: &HandoverId) -> Result<PreparedRow, ClientError> {
        let row = self.store().row::<PreparedRow>(
            Table::Prepared,
            handover.bytes(),
            "prepared handover",
        )?;
        row.ok_or(ClientError::Input {
            what: "this handover was not prepared from this store",
            remedy: "prepare it here, or go on where it was prepared",
        })
    }

    fn seal(
        &self,
        handover: &HandoverId,
        prepared: &PreparedRow,
        directory: &Lasting,
        values: Values<'_>,
        stage: ManifestStage,
    ) -> Result<SealedSet, ClientError> {
        let permitted = match &stage {
            ManifestStage::Offer { .. } => &prepared.summary_labels,
            ManifestStage::Release { .. } | ManifestStage::Report => &prepared.dossier_labels,
        };
        let numbers = self.look_at(values)?;
        let (recipient, purpose) = relation_of(prepared)?;
        let may = |label: &Label| permitted.iter().any(|text| text == label.as_str());
        let (sealable, left): (Vec<_>, Vec<_>) = values.iter().partition(|(label, _)| may(label));
        if sealable.is_empty() {
            return Err(ClientError::Input {
                what: "none of the values has a label that was permitted for this step",
                remedy: "give values for the labels that `prepare` answered",
            });
        }
        let key = sealing_key(prepared, directory, &recipient, self.outbox.clock.now())?;
        let to = (recipient, purpose);
        let sealed = self.seal_to(handover, to, (directory, &key), &sealable, stage)?;
        let (manifest, fields) = sealed;
        Ok(SealedSet {
            manifest,
            fields,
            became: Became {
                unsealed: left.into_iter().map(|(label, _)| label.clone()).collect(),
                numbers: numbers.into_iter().filter(may).collect(),
            },
        })
    }

    /// Seals values of one stage to somebody's key, with the manifest of that: under a directory that still holds.
    pub(super) fn seal_to(
        &self,
        handover: &HandoverId,
        (recipient, purpose): (Party, Purpose),
        (_, key): (&Lasting, &SealingKey),
        values: &[&(Label, Secret<Vec<u8>>)],
        stage: ManifestStage,
    ) -> Result<(message::SignedManifest, message::SealedFields), ClientError> {
        let fields: Vec<(Label, &[u8])> = values
            .iter()
            .map(|(label, value)| (label.clone(), value.expose().as_slice()))
            .collect();
        let sealed =
            seal_fields(key, handover, stage.sealing(), &fields).map_err(|_| CANNOT_SEAL)?;
        let manifest = Manifest {
            handover: *handover,
            recipient,
            purpose,
            sealing_key_sha256: key.sha256(),
            encapsulation_sha256: vault::digest::sha256(&sealed.encapsulation),
            fields: sealed
                .fields
                .iter()
                .map(|field| ManifestField {
                    label: field.label.clone(),
                    sealed_sha256: vault::digest::sha256(&field.sealed),
                })
                .collect(),
            stage,
        };
        let identity = &self.outbox.identity;
        let manifest = SignedManifest {
            signed: Signed::sign(manifest, &identity.signing_key),
            desk: identity.desk.clone(),
        };
        Ok(((&manifest).into(), to_message(sealed)))
    }
}

const UNREADABLE: ClientError = ClientError::Store(crate::store::StoreError::Unreadable {
    kind: "prepared handover",
});

const CANNOT_SEAL: ClientError = ClientError::Input {
    what: "the values cannot be sealed to the recipient's key",
    remedy: "call refresh_directory; if that does not help, the recipient must publish a new key",
};

/// What is kept of a step: labels under which something was sealed that looks like a citizen service number.
fn noted(handover: &HandoverId, prepared: &mut PreparedRow, became: &Became) -> Vec<Change> {
    for label in &became.numbers {
        tracing::info!(%handover, %label, "sealed what looks like a BSN, as the settings allow");
        prepared.number_labels.push(label.to_string());
    }
    vec![put(Table::Prepared, handover.bytes(), prepared)]
}

/// The key to seal to: that of `prepare` or the directory's, whichever holds longer. Both are verified.
fn sealing_key(
    prepared: &PreparedRow,
    directory: &DirectoryCopy,
    recipient: &Party,
    now: Timestamp,
) -> Result<SealingKey, ClientError> {
    let kept = SealingKey::parse(&prepared.sealing_key).map_err(|_| UNREADABLE)?;
    let kept_until = prepared.sealing_key_valid_until_millis;
    match directory.sealing_key(recipient, now) {
        Some((key, until)) if until.millis() > kept_until => Ok(key),
        Some(_) | None if kept_until >= now.millis() => Ok(kept),
        Some(_) | None => Err(ClientError::Input {
            what: "the recipient has no sealing key that is valid now",
            remedy: "call refresh_directory; if that does not help, the recipient must publish a new key",
        }),
    }
}

fn relation_of(prepared: &PreparedRow) -> Result<(Party, Purpose), ClientError> {
    let recipient = prepared.recipient.parse().map_err(|_| UNREADABLE)?;
    let purpose = prepared.purpose.parse().map_err(|_| UNREADABLE)?;
    Ok((recipient, purpose))
}

/// The two targets of PREPARE and ASSIST: the relation's handle for the broker, and the portal's own
/// pseudonym, so that the person sees what is asked.
pub(super) fn prepare_targets(
    directory: &DirectoryCopy,
    relation: Relation,
) -> Result<Vec<OrderTarget>, ClientError> {
    let rules = directory.directory();
    let portal = TargetDomain::Portal {
        epoch: rules.portal_epoch(),
    };
    Ok(vec![
        relation_target(directory, relation)?,
        OrderTarget {
            domain: portal.to_string(),
            context: context_label(directory, rules.portal())?,
        },
    ])
}

pub(super) fn relation_target(
    directory: &DirectoryCopy,
    relation: Relation,
) -> Result<OrderTarget, ClientError> {
    let domain = TargetDomain::Relation {
        relation,
        epoch: directory.directory().relation_epoch(),
    };
    Ok(OrderTarget {
        domain: domain.to_string(),
        context: context_label(directory, directory.directory().broker())?,
    })
}

fn partner_target(
    directory: &DirectoryCopy,
    recipient: &Party,
) -> Result<OrderTarget, ClientError> {
    let context = context_label(directory, recipient)?;
    let epoch = directory
        .directory()
        .realm(recipient)
        .map_or(1, |realm| realm.epoch);
    let domain = Domain::Partner {
        party: recipient.clone(),
        epoch,
    };
    Ok(OrderTarget {
        domain: domain.to_string(),
        context,
    })
}

fn texts(labels: &[Label]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

fn labels(texts: &[String]) -> Result<Vec<Label>, ClientError> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| UNREADABLE))
        .collect()
}

fn to_message(sealed: Sealed) -> message::SealedFields {
    message::SealedFields {
        encapsulation: sealed.encapsulation,
        fields: sealed
            .fields
            .into_iter()
            .map(|field| message::SealedField {
                label: field.label.to_string(),
                sealed: field.sealed,
            })
            .collect(),
    }
}
