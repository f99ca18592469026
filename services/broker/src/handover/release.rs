//! Release and fetch of the dossier: only now does the recipient learn whom it is about.
//!
//! Each release and each fetch decides anew on the locked row. Must never release one person's
//! pseudonym on another person's handover.

use super::body::{Payload, ReleasedPseudonym, SealedFields};
use super::manifest::{Received, labels_of};
use super::offer::{ReadOut, decide, intersect, minimise, put, read_out, tell_refused};
use super::person::Subject;
use super::{Attempt, HandoverReceipt, Loaded, enter, judge, load, load_as};
use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted};
use crate::call::{Answer, Call};
use crate::consequence::supersede;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::paper::{SignedManifest, SignedPaper};
use rules::feed::FeedKind;
use rules::handover::{Actor, Event, check_release};
use rules::id::{HandoverId, OrderId, RequestId};
use rules::policy::{Action, Stage};
use rules::pseudonym::{Order, OrderKind, Relation, TargetDomain};
use rules::reason::{Outcome, Reason, Refusal};
use std::sync::Mutex;
use store::Tx;

/// Where in the order HANDOVER the recipient's pseudonym and the relation handle stand.
const TARGET_RECIPIENT: usize = 0;
const TARGET_RELATION: usize = 1;

/// Releases the dossier.
#[derive(Clone, Debug)]
pub struct Release {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// The revision on which the caller decides.
    pub expected_revision: i64,
    /// The order HANDOVER, decoded.
    pub order: Order,
    /// The order HANDOVER as signed.
    pub signed_order: SignedPaper,
    /// The sender's pseudonym, encrypted under the sender's context key.
    pub ciphertext: [u8; 64],
    /// Every holder's voucher of the PREPARE or UNBOUND.
    pub prepare_vouchers: Vec<SignedPaper>,
    /// The manifest of whoever sealed.
    pub manifest: SignedManifest,
    /// The sealed dossier.
    pub dossier: SealedFields,
}

impl Release {
    fn attempt(&self) -> Attempt {
        Attempt {
            event: Event::Release,
            actor: Actor::Sender,
            expected_revision: Some(self.expected_revision),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"Release")
            .add(self.handover.bytes())
            .add(&self.expected_revision.to_be_bytes())
            .add_labels(&labels_of(self.manifest.paper()));
        fingerprint
    }

    /// All that can be checked before a holder is asked: the caller's side, the state, the order's
    /// relation and parent, the manifest.
    fn check(&self, room: &Room<'_>, loaded: &Loaded) -> Result<Outcome<()>, Error> {
        if let Outcome::Refused(refusal) = judge(room, loaded, self.attempt())? {
            return Ok(Outcome::Refused(refusal));
        }
        let caller = &room.call.caller;
        if self.order.issuer != caller.party.oin || self.order.desk != caller.desk {
            return Ok(Outcome::Refused(Refusal::new(Reason::ActingForAnother)));
        }
        if !self.order_fits(loaded) {
            return Ok(Outcome::Refused(Refusal::new(Reason::OrderForbidden)));
        }
        let parent = self.order.parent.map(|id: OrderId| id.to_string());
        if parent.as_deref() != Some(loaded.body.prepare_order.as_str()) {
            return Ok(Outcome::Refused(Refusal::new(Reason::OrderParentInvalid)));
        }
        let ciphertext_sha256 = vault::digest::sha256(&self.ciphertext);
        if let Err(error) = self.manifest.paper().verify_ciphertext(&ciphertext_sha256) {
            return Ok(Outcome::Refused(error.into()));
        }
        let received = Received {
            manifest: &self.manifest,
            sealed: &self.dossier,
            stage: Stage::Dossier,
        };
        Ok(match received.check(room, loaded) {
            Ok(()) => Outcome::Permitted(()),
            Err(refusal) => Outcome::Refused(refusal),
        })
    }

    /// The order asks for this handover's recipient and relation, in that order.
    fn order_fits(&self, loaded: &Loaded) -> bool {
        let body = &loaded.body;
        let to_recipient = matches!(
            self.order.targets.get(TARGET_RECIPIENT),
            Some((TargetDomain::Partner { party, .. }, _)) if *party == body.recipient
        );
        let to_relation = matches!(
            self.order.targets.get(TARGET_RELATION),
            Some((TargetDomain::Relation { relation, .. }, _)) if *relation == relation_of(loaded)
        );
        self.order.kind == OrderKind::Handover && to_recipient && to_relation
    }
}

/// The relation of a handover.
#[must_use]
pub fn relation_of(loaded: &Loaded) -> Relation {
    Relation {
        from: loaded.body.sender.clone(),
        to: loaded.body.recipient.clone(),
        purpose: loaded.body.purpose.clone(),
    }
}

impl Broker {
    /// Releases a dossier: checks all that needs no holder, has the order HANDOVER converted, and then
    /// decides and writes in one transaction.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn release(
        &self,
        call: &Call,
        request: Release,
    ) -> Result<Answer<HandoverReceipt>, Error> {
        let checked = self.serve_check(call, &request).await?;
        let Some(relation) = checked else {
            // Refused, or a repeat: the command itself gives the same answer with its entry.
            let command = Releasing {
                request: &request,
                converted: None,
                refusal: None,
            };
            return self.serve(call, &command).await;
        };
        let conversion = ConversionRequest {
            order: request.order.clone(),
            signed: request.signed_order.clone(),
            ciphertext: request.ciphertext,
            parents: request.prepare_vouchers.clone(),
        };
        let command = match self.convert_for(&relation.to, conversion).await? {
            Outcome::Permitted(converted) => {
                let subject = self.subject(&relation, &converted, TARGET_RELATION)?;
                Releasing {
                    request: &request,
                    converted: Some((converted, subject)),
                    refusal: None,
                }
            }
            Outcome::Refused(refusal) => Releasing {
                request: &request,
                converted: None,
                refusal: Some(refusal),
            },
        };
        self.serve(call, &command).await
    }

    /// Looks ahead, reading only: the relation to convert for, or `None` when the command will be
    /// refused or is a repeat. What it sees is looked at again in the deciding transaction.
    async fn serve_check(&self, call: &Call, request: &Release) -> Result<Option<Relation>, Error> {
        let told = Mutex::default();
        let room = Room {
            broker: self,
            call,
            in_force: self.in_force(),
            told: &told,
        };
        self.database().read(&LookAhead { room, request }).await
    }
}

struct LookAhead<'a> {
    room: Room<'a>,
    request: &'a Release,
}

impl store::Work for LookAhead<'_> {
    type Output = Option<Relation>;
    type Error = Error;
    fn name(&self) -> &'static str {
        "ReleaseLookAhead"
    }

    fn queue(&self) -> store::Queue {
        self.room.queue(false)
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Option<Relation>, Error> {
        let caller = self.room.broker.keys().caller_tag(&self.room.call.caller);
        if tx
            .request_outcome(caller, self.request.request_id)
            .await?
            .is_some()
        {
            return Ok(None);
        }
        let Some(loaded) = load(&self.room, tx, self.request.handover).await? else {
            return Ok(None);
        };
        if loaded.side(&self.room.call.caller.party) != Some(Actor::Sender) {
            return Ok(None);
        }
        match self.request.check(&self.room, &loaded)? {
            Outcome::Permitted(()) => Ok(Some(relation_of(&loaded))),
            Outcome::Refused(_) => Ok(None),
        }
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// A release with its conversion, decided on the locked row.
struct Releasing<'r> {
    request: &'r Release,
    converted: Option<(Converted, Subject)>,
    refusal: Option<Refusal>,
}

impl Command for Releasing<'_> {
    type Reply = HandoverReceipt;
    fn name(&self) -> &'static str {
        "Release"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        Some((self.request.request_id, self.request.fingerprint()))
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let request = self.request;
        let mut loaded = match load_as(room, tx, request.handover, Actor::Sender).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        if let Outcome::Refused(refusal) = request.check(room, &loaded)? {
            return Ok(Verdict::refused(refusal, record));
        }
        if let Some(refusal) = &self.refusal {
            return Ok(Verdict::refused(refusal.clone(), record));
        }
        // The look-ahead saw something else than the transaction does: the client reads and repeats.
        let Some((converted, subject)) = &self.converted else {
            return Ok(Verdict::refused(Reason::RevisionMismatch, record));
        };
        if subject.index != loaded.row.subject_index {
            record.finding = Some("SUBJECT_MISMATCH");
            return Ok(Verdict::refused(Reason::SubjectMismatch, record));
        }
        self.write(room, tx, &mut loaded, converted, record).await
    }

    fn receipt(&self, reply: &HandoverReceipt) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<HandoverReceipt, Error> {
        HandoverReceipt::replay(receipt)
    }
}

impl Releasing<'_> {
    async fn write(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        loaded: &mut Loaded,
        converted: &Converted,
        mut record: Record,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let request = self.request;
        let step = match judge(room, loaded, request.attempt())? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let labels = labels_of(request.manifest.paper());
        let permit = match decide(
            room,
            loaded,
            (Action::Release, Stage::Dossier),
            &labels,
            &mut record,
        ) {
            Ok(permit) => permit,
            Err(verdict) => {
                return tell_refused(room, tx, loaded, (FeedKind::StepRefused, verdict)).await;
            }
        };
        let received = Received {
            manifest: &request.manifest,
            sealed: &request.dossier,
            stage: Stage::Dossier,
        };
        let permitted = intersect(&permit, &loaded.body.dossier_labels);
        let (sealed, dropped) = match minimise(&received, &permitted, &mut record) {
            Ok(minimised) => minimised,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        if let Outcome::Refused(refusal) = take_group(room, tx, loaded).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let ciphertext = *converted
            .ciphertexts
            .get(TARGET_RECIPIENT)
            .ok_or(Error::HolderDishonest(Reason::VoucherInvalid))?;
        let pseudonym = Some(ReleasedPseudonym {
            ciphertext,
            order: request.signed_order.clone(),
            vouchers: converted.vouchers.clone(),
        });
        let payload = Payload {
            manifest: request.manifest.clone(),
            sealed,
            pseudonym,
        };
        put(room, tx, &permit, loaded, Stage::Dossier, &payload).await?;
        loaded.body.course.released_millis = Some(room.call.now.millis());
        loaded.body.course.release_order = request.order.id.to_string();
        enter(room, tx, loaded, &step).await?;
        Ok(Verdict::permitted(
            HandoverReceipt {
                dropped,
                ..loaded.receipt()?
            },
            record,
        ))
    }
}

/// Takes the group's place: refuses while another one of it is released or completed. The group's row is locked, and
/// gets the next number, at which the others have ended; that their keys go follows.
async fn take_group(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &mut Loaded,
) -> Result<Outcome<()>, Error> {
    let (Some(group), own) = (loaded.row.group, loaded.row.handover_id) else {
        return Ok(Outcome::Permitted(()));
    };
    let (number, other) = tx.lock_group(group, own).await?;
    let state = match other {
        Some(other) => tx.handover_state(other).await?,
        None => None,
    };
    let states: Vec<_> = state
        .map(super::state_of)
        .transpose()?
        .into_iter()
        .collect();
    if let Outcome::Refused(refusal) = check_release(&states) {
        return Ok(Outcome::Refused(refusal));
    }
    // Another release came between reading this handover and locking the group.
    if number != loaded.row.group_number {
        return Ok(Outcome::Refused(Refusal::new(Reason::RevisionMismatch)));
    }
    let next = number.saturating_add(1);
    loaded.row.group_number = next;
    tx.release_in_group(group, next, own).await?;
    if tx.has_others_open(group, own).await? {
        supersede(room, tx, group, next).await?;
    }
    Ok(Outcome::Permitted(()))
}

/// Fetches the dossier.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// The handover.
    pub handover: HandoverId,
}

impl Command for Fetch {
    type Reply = ReadOut;
    fn name(&self) -> &'static str {
        "Fetch"
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
            event: Event::Fetch,
            actor: Actor::Recipient,
            expected_revision: None,
        };
        if let Outcome::Refused(refusal) = judge(room, &loaded, attempt)? {
            return Ok(Verdict::refused(refusal, record));
        }
        if let Err(refusal) = loaded.count_line(room, tx).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        read_out(room, tx, &mut loaded, &mut record, Stage::Dossier).await
    }
}

/// The dossier again, sealed to the recipient's current key.
#[derive(Clone, Debug)]
pub struct Reseal {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// The revision on which the caller decides.
    pub expected_revision: i64,
    /// The manifest of whoever sealed.
    pub manifest: SignedManifest,
    /// The sealed dossier.
    pub dossier: SealedFields,
}

impl Command for Reseal {
    type Reply = HandoverReceipt;
    fn name(&self) -> &'static str {
        "Reseal"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"Reseal")
            .add(self.handover.bytes())
            .add(&self.expected_revision.to_be_bytes())
            .add_labels(&labels_of(self.manifest.paper()));
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
            event: Event::Reseal,
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
            sealed: &self.dossier,
            stage: Stage::Dossier,
        };
        if let Err(refusal) = received.check(room, &loaded) {
            return Ok(Verdict::refused(refusal, record));
        }
        let labels = labels_of(self.manifest.paper());
        let permit = match decide(
            room,
            &loaded,
            (Action::Release, Stage::Dossier),
            &labels,
            &mut record,
        ) {
            Ok(permit) => permit,
            Err(verdict) => {
                return tell_refused(room, tx, &loaded, (FeedKind::StepRefused, verdict)).await;
            }
        };
        let before = super::offer::take(room, tx, &permit, &loaded, Stage::Dossier).await?;
        let mut permitted = intersect(&permit, &loaded.body.dossier_labels);
        permitted.retain(|label| before.sealed.fields.iter().any(|(known, _)| known == label));
        let (sealed, dropped) = match minimise(&received, &permitted, &mut record) {
            Ok(minimised) => minimised,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let payload = Payload {
            manifest: self.manifest.clone(),
            sealed,
            ..before
        };
        put(room, tx, &permit, &loaded, Stage::Dossier, &payload).await?;
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
