//! Offer and read-out of the summary.
//!
//! Must never store a field whose label is not permitted at this very moment.

use super::body::{Payload, SealedFields};
use super::manifest::{Received, labels_of};
use super::{Attempt, HandoverReceipt, Loaded, enter, judge, load_as, save};
use crate::Error;
use crate::decision::{self, Asked, Facts};
use crate::feed;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use papers::paper::SignedManifest;
use rules::feed::FeedKind;
use rules::handover::{Actor, Event};
use rules::id::{HandoverId, Label, Party, RequestId};
use rules::policy::{Action, Permit, Stage};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeSet;
use store::Tx;
use vault::rest::Place;

/// Offers a summary.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// The revision on which the caller decides.
    pub expected_revision: i64,
    /// The manifest of whoever sealed.
    pub manifest: SignedManifest,
    /// The sealed summary.
    pub summary: SealedFields,
}

impl Command for Offer {
    type Reply = HandoverReceipt;
    fn name(&self) -> &'static str {
        "Offer"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"Offer")
            .add(self.handover.bytes())
            .add(&self.expected_revision.to_be_bytes())
            .add_labels(&labels_of(self.manifest.paper()))
            .add_labels(self.manifest.paper().dossier_labels());
        Some((self.request_id, fingerprint))
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let mut loaded = match load_as(room, tx, self.handover, Actor::Sender).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        let attempt = Attempt {
            event: Event::Offer,
            actor: Actor::Sender,
            expected_revision: Some(self.expected_revision),
        };
        let step = match judge(room, &loaded, attempt)? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        if let Err(refusal) = loaded.count_line(room, tx).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let received = Received {
            manifest: &self.manifest,
            sealed: &self.summary,
            stage: Stage::Offer,
        };
        if let Err(refusal) = received.check(room, &loaded) {
            return Ok(Verdict::refused(refusal, record));
        }
        let permit = match decide(
            room,
            &loaded,
            (Action::Offer, Stage::Offer),
            &labels_of(self.manifest.paper()),
            &mut record,
        ) {
            Ok(permit) => permit,
            Err(verdict) => {
                return tell_refused(room, tx, &loaded, (FeedKind::StepRefused, verdict)).await;
            }
        };
        let permitted = intersect(&permit, &loaded.body.summary_labels);
        let (sealed, mut dropped) = match minimise(&received, &permitted, &mut record) {
            Ok(minimised) => minimised,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let payload = Payload {
            manifest: self.manifest.clone(),
            sealed,
            pseudonym: None,
        };
        dropped.extend(narrow_dossier(
            &mut loaded,
            self.manifest.paper().dossier_labels(),
        ));
        put(room, tx, &permit, &loaded, Stage::Offer, &payload).await?;
        loaded.body.course.offered_millis = Some(room.call.now.millis());
        enter(room, tx, &mut loaded, &step).await?;
        Ok(Verdict::permitted(
            HandoverReceipt {
                dropped,
                ..loaded.receipt()?
            },
            record,
        ))
    }

    fn receipt(&self, reply: &HandoverReceipt) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<HandoverReceipt, Error> {
        HandoverReceipt::replay(receipt)
    }
}

/// What both the permit of this moment and the answer to Prepare allow.
#[must_use]
pub fn intersect(permit: &Permit, prepared: &BTreeSet<Label>) -> BTreeSet<Label> {
    prepared
        .iter()
        .filter(|label| permit.labels().contains(*label))
        .cloned()
        .collect()
}

/// What of the received fields may be kept, and the labels of what was dropped; the log is told of what is
/// kept.
///
/// # Errors
/// `LABELS_NONE_ALLOWED` when nothing is left.
pub fn minimise(
    received: &Received<'_>,
    permitted: &BTreeSet<Label>,
    record: &mut Record,
) -> Result<(SealedFields, Vec<Label>), Refusal> {
    let (sealed, dropped) = received.minimise(permitted);
    if sealed.fields.is_empty() {
        return Err(Refusal::new(Reason::LabelsNoneAllowed));
    }
    record.labels = sealed.labels();
    Ok((sealed, dropped))
}

/// The dossier will have the labels that the sender names now, of those that were permitted; gives
/// those that were not.
fn narrow_dossier(loaded: &mut Loaded, named: &[Label]) -> Vec<Label> {
    let (kept, dropped): (Vec<_>, Vec<_>) = named
        .iter()
        .cloned()
        .partition(|label| loaded.body.dossier_labels.contains(label));
    loaded.body.dossier_labels = kept.into_iter().collect();
    dropped
}

/// Asks the policy about a handover as it stands, for these labels.
///
/// # Errors
/// The verdict when it is refused: the precise code, because both sides know the handover.
pub fn decide<T>(
    room: &Room<'_>,
    loaded: &Loaded,
    what: (Action, Stage),
    labels: &[Label],
    record: &mut Record,
) -> Result<Permit, Box<Verdict<T>>> {
    decide_on(room, loaded, what, labels, (&loaded.facts(room), record))
}

/// Asks the policy about a handover on these facts, for these labels.
///
/// # Errors
/// As [`decide`].
pub fn decide_on<T>(
    room: &Room<'_>,
    loaded: &Loaded,
    (action, stage): (Action, Stage),
    labels: &[Label],
    (facts, record): (&Facts, &mut Record),
) -> Result<Permit, Box<Verdict<T>>> {
    let body = &loaded.body;
    let sender_desk = room
        .in_force
        .directory
        .desk(&body.sender.oin, &body.sender_desk);
    let asked = Asked {
        action,
        stage,
        sender: &body.sender,
        region: sender_desk.and_then(|desk| desk.region.as_ref()),
        recipient: &body.recipient,
        purpose: &body.purpose,
        basis: &body.basis,
        unbound: body.unbound,
    };
    let wanted = labels.iter().cloned().collect();
    let decision = match room.in_force.decide(&asked, &wanted, facts) {
        Ok(decision) => decision,
        Err(refusal) => return Err(Box::new(Verdict::refused(refusal, record.clone()))),
    };
    decision::tell(record, &decision);
    match decision.outcome {
        Outcome::Permitted(permit) => Ok(permit),
        Outcome::Refused(refusal) => Err(Box::new(Verdict::refused(refusal, record.clone()))),
    }
}

/// Tells the person, as a line of this kind, that a step with their data was refused, and gives the refusal on.
///
/// # Errors
/// When the database or a seal fails.
pub async fn tell_refused<T>(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    (kind, verdict): (FeedKind, Box<Verdict<T>>),
) -> Result<Verdict<T>, Error> {
    let code = verdict.record.codes.first();
    let told = Told {
        code: code.map_or_else(String::new, |code| code.code().to_owned()),
        ..feed::about(loaded, kind)
    };
    feed::write(room, tx, &told).await?;
    Ok(*verdict)
}

/// The number of a stage in rows and on the wire.
#[must_use]
pub const fn stage_number(stage: Stage) -> i32 {
    match stage {
        Stage::Offer => 1,
        Stage::Dossier => 2,
        Stage::Report => 3,
    }
}

fn payload_place(id: &HandoverId, stage: Stage) -> Place<'_> {
    Place {
        table: "payload",
        row: id.bytes(),
        column: stage.code(),
    }
}

/// Seals a payload under the handover's data key and stores it.
///
/// # Errors
/// When the database or the seal fails.
pub async fn put(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    permit: &Permit,
    loaded: &Loaded,
    stage: Stage,
    payload: &Payload,
) -> Result<(), Error> {
    let id = loaded.row.handover_id;
    let sealed = loaded
        .data_key(room.broker)?
        .seal(&payload_place(&id, stage), &payload.encode()?)
        .map_err(|_| Error::Vault("sealing a payload"))?;
    tx.put_payload(permit, id, i64::from(stage_number(stage)), &sealed)
        .await?;
    Ok(())
}

/// Reads a payload out.
///
/// # Errors
/// When there is none, or the database or the seal fails.
pub async fn take(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    permit: &Permit,
    loaded: &Loaded,
    stage: Stage,
) -> Result<Payload, Error> {
    let id = loaded.row.handover_id;
    let sealed = tx
        .payload(permit, id, i64::from(stage_number(stage)))
        .await?
        .ok_or(Error::Malformed("a handover without its payload"))?;
    let octets = loaded
        .data_key(room.broker)?
        .open(&payload_place(&id, stage), &sealed)
        .map_err(|_| Error::Vault("opening a payload"))?;
    Payload::decode(octets.expose())
}

/// What a recipient reads.
#[derive(Clone, Debug)]
pub struct ReadOut {
    /// The handover as it stands.
    pub receipt: HandoverReceipt,
    /// The payload, without what may not be read now.
    pub payload: Payload,
    /// Who handed over.
    pub sender: Party,
    /// The label that holds the person's national number, if the payload has one.
    pub number_label: Option<Label>,
}

/// Marks that the recipient has opened something: from now on notices reach it.
///
/// # Errors
/// When the database or the seal fails.
pub async fn mark_opened(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &mut Loaded,
) -> Result<(), Error> {
    if loaded.row.opened_at.is_none() {
        loaded.row.opened_at = Some(room.call.now);
        loaded.row.undelivered_at = None;
        save(room, tx, loaded).await?;
    }
    Ok(())
}

/// Reads the summary.
#[derive(Clone, Copy, Debug)]
pub struct FetchOffer {
    /// The handover.
    pub handover: HandoverId,
}

impl Command for FetchOffer {
    type Reply = ReadOut;
    fn name(&self) -> &'static str {
        "FetchOffer"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<ReadOut>, Error> {
        let mut loaded = match load_as(room, tx, self.handover, Actor::Recipient).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        let attempt = Attempt {
            event: Event::FetchOffer,
            actor: Actor::Recipient,
            expected_revision: None,
        };
        if let Outcome::Refused(refusal) = judge(room, &loaded, attempt)? {
            return Ok(Verdict::refused(refusal, record));
        }
        if let Err(refusal) = loaded.count_line(room, tx).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        read_out(room, tx, &mut loaded, &mut record, Stage::Offer).await
    }
}

/// Reads a payload out as the policy allows at this moment: manifest ∩ what is permitted now.
///
/// # Errors
/// When the database or a seal fails.
pub async fn read_out(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &mut Loaded,
    record: &mut Record,
    stage: Stage,
) -> Result<Verdict<ReadOut>, Error> {
    let wanted: Vec<Label> = loaded.body.prepared(stage).cloned().collect();
    let permit = match decide(room, loaded, (Action::Fetch, stage), &wanted, record) {
        Ok(permit) => permit,
        Err(verdict) => {
            return tell_refused(room, tx, loaded, (FeedKind::StepRefused, verdict)).await;
        }
    };
    let mut payload = take(room, tx, &permit, loaded, stage).await?;
    payload
        .sealed
        .fields
        .retain(|(label, _)| permit.labels().contains(label));
    if payload.sealed.fields.is_empty() {
        return Ok(Verdict::refused(
            Refusal::new(Reason::LabelsNoneAllowed),
            record.clone(),
        ));
    }
    record.labels = payload.sealed.labels();
    mark_opened(room, tx, loaded).await?;
    let told = Told {
        labels: feed::texts(&record.labels),
        ..feed::about(loaded, FeedKind::Opened)
    };
    feed::write(room, tx, &told).await?;
    let reply = ReadOut {
        receipt: loaded.receipt()?,
        number_label: room.in_force.number_label(&record.labels).cloned(),
        payload,
        sender: loaded.body.sender.clone(),
    };
    Ok(Verdict::permitted(reply, record.clone()))
}
