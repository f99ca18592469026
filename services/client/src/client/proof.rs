//! The recipient's own proof of whom a dossier is about: the number in it is converted to the realm's own pseudonym
//! (order CHECK) and compared with the one that came with the release.
//!
//! Must never keep a person, a number or a field before the two are equal, and must never let a handover be completed
//! whose dossier it found to be about somebody else.

use super::{Client, enrol::open_conversion};
use crate::connection::{stub, with_deadline};
use crate::directory::DirectoryCopy;
use crate::error::{ClientError, ProtocolError, Refused, from_status};
use crate::mutation::revision_change;
use crate::store::{Change, ProofRow, Table, put};
use papers::paper::{Manifest, ManifestField, Order, Signed};
use rules::handover::MismatchKind;
use rules::id::{HandoverId, Label};
use rules::pseudonym::{Domain, OrderKind, TargetDomain};
use rules::reason::Reason;
use std::collections::BTreeSet;
use vault::pseudonym::{Bsn, Ciphertext, ContextKey, Pseudonym};
use vault::sealing::OpenedField;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::pseudonym::v1::{OrderTarget, SignedVoucher};

/// Whether a dossier is about the person whose pseudonym came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// There is nothing to compare: the dossier has no number, or this realm does not use it.
    NoNumber,
    /// It is: the number in it has the same pseudonym.
    Proven,
    /// Not known yet, and why as far as there is a reason: a key holder is away, or the day's checks are used up. The
    /// dossier can be read; nothing of it is kept, and it can't be completed.
    NotYet(Option<Reason>),
    /// It can't be known: the number's field was dropped on the way or does not open. The dossier can be read; nothing of
    /// it is kept, and it can't be completed. It is the sender's turn.
    Unreadable,
    /// It is not: the number is of another person. Reported; it can only be returned.
    Unequal,
}

/// Where a proof stands, as the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Standing {
    /// There was nothing to compare.
    NoNumber = 0,
    /// To be made.
    Waiting = 1,
    /// Equal.
    Proven = 2,
    /// Unequal and reported; the person of the number is still to be told.
    Unequal = 3,
    /// Unequal and reported, and the person of the number was told.
    Told = 4,
}

/// What came with a dossier that the proof needs.
pub(super) struct Evidence<'a> {
    pub(super) directory: &'a DirectoryCopy,
    pub(super) handover: &'a HandoverId,
    pub(super) manifest: &'a Manifest,
    /// By the register, as the gateway says it; what this realm's own settings say goes before it.
    pub(super) number_label: &'a str,
    pub(super) fields: &'a [OpenedField],
    /// The realm's own pseudonym that the release gave.
    pub(super) pseudonym: &'a Pseudonym,
    /// The order HANDOVER.
    pub(super) order: &'a Signed<Order>,
    /// Every holder's voucher of it.
    pub(super) vouchers: &'a [SignedVoucher],
    /// The handover's revision as it was read.
    pub(super) revision: i64,
}

/// The number in a dossier.
struct Number {
    label: Label,
    /// The sealed field, by which a dossier that was sealed anew is known to be another.
    sealed_sha256: [u8; 32],
    /// Whether its field could be read.
    opened: bool,
    /// None when the value is no number.
    bsn: Option<Bsn>,
}

impl Number {
    /// What is reported where it is unequal: of another person; or that the field is wrong, where it is no number at all,
    /// which says nothing about anybody.
    const fn mismatch(&self) -> MismatchKind {
        match self.bsn {
            Some(_) => MismatchKind::Person,
            None => MismatchKind::Fields,
        }
    }
}

impl Client {
    /// Compares, unless that was done for this very field before. The changes are to be kept with whatever else the
    /// fetch keeps.
    pub(super) async fn prove(
        &self,
        evidence: &Evidence<'_>,
    ) -> Result<(Proof, Vec<Change>), ClientError> {
        let handover = evidence.handover;
        let read = revision_change(handover, evidence.revision);
        if !evidence.directory.directory().has_bsn(self.party()) {
            return Ok((Proof::NoNumber, vec![read]));
        }
        let Some(number) = number(evidence, &self.number_labels)? else {
            let standing = standing_change(handover, Standing::NoNumber, &[]);
            return Ok((Proof::NoNumber, vec![read, standing]));
        };
        let before = self.proof_row(handover)?;
        let same = before.filter(|row| row.sealed_sha256 == number.sealed_sha256);
        let standing = same.map(|row| row.standing());
        let proof = match standing {
            Some(Standing::Proven) => Proof::Proven,
            Some(Standing::Unequal | Standing::Told) => Proof::Unequal,
            Some(Standing::Waiting | Standing::NoNumber) | None => {
                self.compare(evidence, &number).await?
            }
        };
        let (now, read) = match (proof, standing) {
            (Proof::NoNumber | Proof::NotYet(_) | Proof::Unreadable, _) => {
                (Standing::Waiting, Some(read))
            }
            (Proof::Proven, _) => (Standing::Proven, Some(read)),
            (Proof::Unequal, Some(Standing::Told)) => (Standing::Told, Some(read)),
            (Proof::Unequal, Some(Standing::Unequal)) => {
                (self.tell_person(evidence, &number).await?, Some(read))
            }
            (Proof::Unequal, _) => {
                let labels = std::slice::from_ref(&number.label);
                self.report(handover, number.mismatch(), labels).await?;
                // What the report gave is newer than what was read.
                (self.tell_person(evidence, &number).await?, None)
            }
        };
        let standing = standing_change(handover, now, &number.sealed_sha256);
        Ok((proof, read.into_iter().chain([standing]).collect()))
    }

    async fn compare(
        &self,
        evidence: &Evidence<'_>,
        number: &Number,
    ) -> Result<Proof, ClientError> {
        // A field that does not open says nothing about whom it is; that it does not open is reported apart.
        if !number.opened {
            return Ok(Proof::Unreadable);
        }
        let Some(bsn) = &number.bsn else {
            return Ok(Proof::Unequal);
        };
        let own = self.own_domain(evidence.directory)?;
        let (context, key) = self.own_context(evidence.directory)?;
        let target = OrderTarget {
            domain: own.to_string(),
            context: context.to_string(),
        };
        let (order, ciphertext) = self.number_order(evidence, bsn, OrderKind::Check, target)?;
        let question = message::CheckPersonRequest {
            handover_id: evidence.handover.bytes().to_vec(),
            order: Some((&order).into()),
            ciphertext: ciphertext.bytes().to_vec(),
            release_vouchers: evidence.vouchers.to_vec(),
        };
        // Once: reading waits for no holder. Completing tries again.
        let mut stub = stub!(HandoverServiceClient<_>, self.outbox.connection);
        let answer = stub.check_person(with_deadline(question)).await;
        let answer = match answer.map_err(|status| from_status("CheckPerson", &status)) {
            Ok(answer) => answer.into_inner(),
            Err(error @ (ClientError::Refused(_) | ClientError::Transport(_))) => {
                return Ok(Proof::NotYet(error.reason()));
            }
            Err(error) => return Err(error),
        };
        let found = converted(answer, &order, evidence.directory, &key)?;
        Ok(if found == *evidence.pseudonym {
            Proof::Proven
        } else {
            Proof::Unequal
        })
    }

    /// Has the person of the number told. What can't be done now is done by the next fetch.
    async fn tell_person(
        &self,
        evidence: &Evidence<'_>,
        number: &Number,
    ) -> Result<Standing, ClientError> {
        // A value that is no number is nobody's.
        let Some(bsn) = &number.bsn else {
            return Ok(Standing::Told);
        };
        let directory = evidence.directory;
        let portal = directory.directory().portal();
        let domain = TargetDomain::Portal {
            epoch: directory.directory().portal_epoch(),
        };
        let target = OrderTarget {
            domain: domain.to_string(),
            context: super::context_label(directory, portal)?,
        };
        let (order, ciphertext) = self.number_order(evidence, bsn, OrderKind::Mismatch, target)?;
        let question = message::TellMismatchRequest {
            handover_id: evidence.handover.bytes().to_vec(),
            order: Some((&order).into()),
            ciphertext: ciphertext.bytes().to_vec(),
            release_vouchers: evidence.vouchers.to_vec(),
        };
        let mut stub = stub!(HandoverServiceClient<_>, self.outbox.connection);
        let told = stub.tell_mismatch(with_deadline(question)).await;
        match told.map_err(|status| from_status("TellMismatch", &status)) {
            Ok(_) => Ok(Standing::Told),
            Err(ClientError::Refused(_) | ClientError::Transport(_)) => Ok(Standing::Unequal),
            Err(error) => Err(error),
        }
    }

    /// The order that goes on from the release, and the number encrypted for it.
    fn number_order(
        &self,
        evidence: &Evidence<'_>,
        bsn: &Bsn,
        kind: OrderKind,
        target: OrderTarget,
    ) -> Result<(Signed<Order>, Ciphertext), ClientError> {
        let (context, key) = self.own_context(evidence.directory)?;
        let ciphertext = key.encrypt_bsn(bsn);
        let template = wire::pseudonym::v1::Order {
            kind: kind.number(),
            source_domain: Domain::Origin.to_string(),
            targets: vec![target],
            parent_order_id: evidence.order.paper().id.bytes().to_vec(),
            ..self.order_template(&context, &ciphertext)
        };
        let (clock, random) = (&*self.outbox.clock, &*self.outbox.random);
        let order = self.outbox.identity.sign_order(&template, clock, random)?;
        Ok((order, ciphertext))
    }

    /// Refuses to complete what is not proven. Where nothing was fetched here, or the check waits, it is fetched and
    /// compared now: after Complete nobody can fetch the dossier any more.
    pub(super) async fn need_proof(&self, handover: &HandoverId) -> Result<(), ClientError> {
        let directory = self.directory().await?;
        if !directory.directory().has_bsn(self.party()) {
            if !self.store().has_dossier(handover)? {
                self.fetch(handover).await?;
            }
            return Ok(());
        }
        let standing = self.proof_row(handover)?.map(|row| row.standing());
        let proof = match standing {
            Some(Standing::NoNumber | Standing::Proven) => return Ok(()),
            Some(Standing::Told) => Proof::Unequal,
            Some(Standing::Waiting | Standing::Unequal) | None => self.fetch(handover).await?.proof,
        };
        match proof {
            Proof::NoNumber | Proof::Proven => Ok(()),
            Proof::NotYet(_) => Err(Refused::here(Reason::PersonNotProven).into()),
            Proof::Unreadable => Err(Refused::here(Reason::NumberUnreadable).into()),
            Proof::Unequal => Err(Refused::here(Reason::PersonUnequal).into()),
        }
    }

    /// Before a handover leaves this desk: the person of a number that was another's is told, if that is still to be and
    /// can be. Giving back waits for no holder, no quota and no officer: what can't be told now isn't.
    pub(super) async fn try_telling(&self, handover: &HandoverId) -> Result<(), ClientError> {
        let row = self.proof_row(handover)?;
        if row.is_some_and(|row| row.standing() == Standing::Unequal) {
            drop(self.fetch(handover).await);
        }
        Ok(())
    }

    fn proof_row(&self, handover: &HandoverId) -> Result<Option<ProofRow>, ClientError> {
        Ok(self
            .store()
            .row(Table::Proof, handover.bytes(), "proof of a dossier")?)
    }
}

/// The number in the dossier, where it has one. A number whose field does not open proves nothing.
fn number(
    evidence: &Evidence<'_>,
    number_labels: &BTreeSet<Label>,
) -> Result<Option<Number>, ClientError> {
    let field = number_field(evidence.manifest, evidence.number_label, number_labels)?;
    let Some((label, sealed_sha256)) = field else {
        return Ok(None);
    };
    let opened = evidence.fields.iter().find(|field| field.label == label);
    let text = opened.and_then(|field| std::str::from_utf8(field.value.expose()).ok());
    Ok(Some(Number {
        sealed_sha256,
        opened: opened.is_some(),
        bsn: text.and_then(|text| text.trim().parse().ok()),
        label,
    }))
}

/// Which field of the dossier has the number: its label and the digest of what is sealed under it.
///
/// What the sender signed under one of this realm's own `number_labels` is the number, whatever the gateway names: it may
/// name none, or another, so that nothing or the wrong thing is compared.
fn number_field(
    manifest: &Manifest,
    named: &str,
    number_labels: &BTreeSet<Label>,
) -> Result<Option<(Label, [u8; 32])>, ProtocolError> {
    let mut fields = manifest.fields.iter();
    let found = |field: &ManifestField| (field.label.clone(), field.sealed_sha256);
    let own = fields.find(|field| number_labels.contains(&field.label));
    if own.is_some() || named.is_empty() {
        return Ok(own.map(found));
    }
    let wrong = |_| ProtocolError::new("number label", "is not a label");
    let named: Label = named.parse().map_err(wrong)?;
    let listed = manifest.fields.iter().find(|field| field.label == named);
    let listed = listed.ok_or(ProtocolError::new("number label", "is not in the manifest"))?;
    Ok(Some(found(listed)))
}

fn converted(
    answer: message::CheckPersonResponse,
    order: &Signed<Order>,
    directory: &DirectoryCopy,
    key: &ContextKey,
) -> Result<Pseudonym, ClientError> {
    let missing = ProtocolError::new("conversion", "is missing");
    let conversion = answer.conversion.ok_or(missing)?;
    open_conversion(conversion, order, 0, &directory.holder_keys()?, key)
}

fn standing_change(handover: &HandoverId, standing: Standing, sealed_sha256: &[u8]) -> Change {
    let row = ProofRow {
        standing: standing.into(),
        sealed_sha256: sealed_sha256.to_vec(),
    };
    put(Table::Proof, handover.bytes(), &row)
}

#[cfg(test)]
mod tests {
    use super::{Manifest, ManifestField, number_field};
    use papers::paper::ManifestStage;
    use rules::id::{HandoverId, Label};
    use std::collections::BTreeSet;

    const BSN: &str = "identiteit.bsn";

    fn labels(texts: &[&str]) -> Vec<Label> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A signed dossier with fields under these labels.
    fn manifest(texts: &[&str]) -> Manifest {
        let fields = labels(texts).into_iter();
        let fields = fields.map(|label| ManifestField {
            label,
            sealed_sha256: [4; 32],
        });
        Manifest {
            handover: HandoverId::from_slice(&[1; 16]).unwrap(),
            recipient: "00000099000000002000/main".parse().unwrap(),
            purpose: "HANDOVER".parse().unwrap(),
            sealing_key_sha256: [2; 32],
            encapsulation_sha256: [3; 32],
            fields: fields.collect(),
            stage: ManifestStage::Release {
                ciphertext_sha256: [5; 32],
            },
        }
    }

    #[track_caller]
    fn check(signed: &[&str], named: &str, own: &[&str], expected: Result<Option<&str>, ()>) {
        let own: BTreeSet<_> = labels(own).into_iter().collect();
        let found = number_field(&manifest(signed), named, &own);
        let found = found.map(|found| found.map(|(label, _)| label.to_string()));
        let expected = expected.map(|label| label.map(ToOwned::to_owned));
        assert_eq!(found.map_err(|_| ()), expected);
    }

    #[test]
    fn what_a_realm_knows_itself_goes_before_what_the_gateway_names() {
        let whole = ["contact.telefoon", BSN];
        let without = ["contact.telefoon"];
        for named in [BSN, "", "contact.telefoon", "No Label"] {
            check(&whole, named, &[BSN], Ok(Some(BSN)));
        }
        check(&whole, BSN, &[], Ok(Some(BSN)));
        check(&whole, "", &[], Ok(None));
        check(&without, "", &[BSN], Ok(None));
        check(&without, BSN, &[BSN], Err(()));
        check(&without, BSN, &[], Err(()));
    }
}
