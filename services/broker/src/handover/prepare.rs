//! Prepare: may this person be handed over to that recipient, for this purpose, with these labels?
//!
//! Decided anew on every call. Must never answer differently for a person who is unknown and one who
//! did not consent, and must never call the holders for what can be refused without a person.

use super::body::{Body, Course};
use super::person::{Subject, TARGET_HANDLE, TARGET_PORTAL};
use super::{HandoverReceipt, day_of, wrap};
use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted, InForce};
use crate::call::{Answer, Call, Caller};
use crate::decision::{self, Asked, Facts};
use crate::feed;
use crate::lines::{self, About};
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use papers::paper::SignedPaper;
use rules::audit::Audience;
use rules::feed::FeedKind;
use rules::handover::{Side, State};
use rules::id::{Basis, GroupId, HandoverId, Label, Party, Purpose, RequestId, Tag};
use rules::policy::{Action, Permit, Stage};
use rules::pseudonym::{Order, OrderKind, Relation, TargetDomain};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeSet;
use std::sync::Mutex;
use store::handover::HandoverRow;
use store::pseudonym::SubjectRow;
use store::{Queue, Tx, Work};
use vault::rest::DataKey;

/// Asks whether a person may be handed over.
#[derive(Clone, Debug)]
pub struct Prepare {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// To whom.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// On which legal basis the sender acts.
    pub basis: Basis,
    /// Labels wanted in the summary.
    pub summary_labels: Vec<Label>,
    /// Labels wanted in the dossier.
    pub dossier_labels: Vec<Label>,
    /// The sender's group, if there is one.
    pub group: Option<GroupId>,
    /// The order PREPARE or UNBOUND, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The sender's pseudonym, encrypted under the sender's context key.
    pub ciphertext: [u8; 64],
}

/// It may.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The handover in state PREPARED.
    pub receipt: HandoverReceipt,
    /// Labels that the summary may have.
    pub summary_labels: BTreeSet<Label>,
    /// Labels that the dossier may have.
    pub dossier_labels: BTreeSet<Label>,
    /// Every holder's voucher, for the release.
    pub vouchers: Vec<SignedPaper>,
}

impl Prepare {
    fn relation(&self, sender: &Party) -> Relation {
        Relation {
            from: sender.clone(),
            to: self.recipient.clone(),
            purpose: self.purpose.clone(),
        }
    }

    fn asked<'a>(&'a self, call: &'a Call) -> Asked<'a> {
        Asked {
            action: Action::Prepare,
            stage: Stage::Dossier,
            sender: &call.caller.party,
            region: call.caller.region.as_ref(),
            recipient: &self.recipient,
            purpose: &self.purpose,
            basis: &self.basis,
            unbound: self.order.kind == OrderKind::Unbound,
        }
    }

    fn wanted(&self) -> BTreeSet<Label> {
        self.summary_labels
            .iter()
            .chain(&self.dossier_labels)
            .cloned()
            .collect()
    }

    /// What the log is told of it before anything is known of a person.
    #[must_use]
    pub fn record(&self, call: &Call) -> Record {
        Record {
            audience: Audience::Sender,
            sender: Some(call.caller.party.clone()),
            recipient: Some(self.recipient.clone()),
            purpose: Some(self.purpose.clone()),
            basis: Some((self.basis.to_string(), String::new())),
            ..Record::default()
        }
    }

    /// What can be refused without looking at a person: the order is the caller's own and asks for
    /// this relation; labels, edge, purpose, basis and policy allow it for somebody.
    fn check_without_person(
        &self,
        call: &Call,
        in_force: &InForce,
        follows_completed: bool,
    ) -> Result<(), Refusal> {
        let caller = &call.caller;
        let order = &self.order;
        if order.issuer != caller.party.oin || order.desk != caller.desk {
            return Err(Refusal::new(Reason::ActingForAnother));
        }
        let relation = self.relation(&caller.party);
        let same_relation = order.targets.iter().any(|(target, _)| {
            matches!(target, TargetDomain::Relation { relation: named, .. } if *named == relation)
        });
        if !order.kind.prepares() || !same_relation {
            return Err(Refusal::new(Reason::OrderForbidden));
        }
        in_force.check_labels("summary_labels", &self.summary_labels)?;
        in_force.check_labels("dossier_labels", &self.dossier_labels)?;
        let facts = Facts::favourable(call.now, follows_completed);
        let decide = |labels: &BTreeSet<Label>| in_force.decide(&self.asked(call), labels, &facts);
        if let Outcome::Refused(refusal) = decide(&self.wanted())?.outcome {
            return Err(self.name_number(caller, in_force, refusal));
        }
        // A number in the summary alone is none in the dossier: what Release would refuse is refused now.
        let in_summary = in_force.number_label(&self.summary_labels);
        let dossier: BTreeSet<Label> = self.dossier_labels.iter().cloned().collect();
        let is_missing = in_summary.is_some_and(|label| !dossier.contains(label));
        if is_missing
            && let Outcome::Refused(refusal) = decide(&dossier)?.outcome
            && refusal.reason == Reason::NumberMissing
        {
            return Err(self.name_number(caller, in_force, refusal));
        }
        Ok(())
    }

    /// Names the label of the number, where the refusal is about that it goes along or does not.
    fn name_number(&self, caller: &Caller, in_force: &InForce, refusal: Refusal) -> Refusal {
        const FIELD: &str = "dossier_labels";
        let reason = refusal.reason;
        let wanted = in_force.number_label(self.summary_labels.iter().chain(&self.dossier_labels));
        let kinds = (
            in_force.kind_of(&caller.party),
            in_force.kind_of(&self.recipient),
        );
        let (Ok(sender), Ok(recipient)) = kinds else {
            return refusal;
        };
        let register = in_force.policy.register();
        let entry = register.entry(&self.purpose, sender, recipient);
        let needed = entry.and_then(|entry| in_force.number_label(&entry.labels_dossier));
        match (reason, wanted, needed) {
            (Reason::BsnNotAllowed, Some(label), _) => {
                let text = format!("`{label}` may not go to this recipient; leave it out");
                Refusal::about(reason, FIELD, text)
            }
            (Reason::NumberMissing, _, Some(label)) => {
                Refusal::about(reason, FIELD, format!("lacks `{label}`"))
            }
            _ => refusal,
        }
    }
}

impl Broker {
    /// Prepares a handover: refuses what depends on no person, has the holders convert, and then
    /// decides in one transaction.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn prepare(&self, call: &Call, request: Prepare) -> Result<Answer<Prepared>, Error> {
        let follows = self.look_back(call, &request).await?;
        if let Err(refusal) = request.check_without_person(call, &self.in_force(), follows) {
            let record = request.record(call);
            return self.serve(call, &RefusedBefore { refusal, record }).await;
        }
        let conversion = ConversionRequest {
            order: request.order.clone(),
            signed: request.signed_order.clone(),
            ciphertext: request.ciphertext,
            parents: Vec::new(),
        };
        match self.convert_one(conversion).await? {
            Outcome::Permitted(converted) => {
                let relation = request.relation(&call.caller.party);
                let subject = self.subject(&relation, &converted, TARGET_HANDLE)?;
                self.serve(
                    call,
                    &Decided {
                        request: &request,
                        converted: &converted,
                        subject,
                    },
                )
                .await
            }
            Outcome::Refused(refusal) => {
                let record = request.record(call);
                self.serve(call, &RefusedBefore { refusal, record }).await
            }
        }
    }

    /// Looks back, reading only, whether the exchange follows a completed handover between the two: that is
    /// about no person, so it is refused before one is looked at.
    async fn look_back(&self, call: &Call, request: &Prepare) -> Result<bool, Error> {
        let pair = (&call.caller.party, &request.recipient);
        if !self.in_force().follows_another(pair, &request.purpose) {
            return Ok(false);
        }
        let told = Mutex::default();
        let room = Room {
            broker: self,
            call,
            in_force: self.in_force(),
            told: &told,
        };
        self.database().read(&LookBack { room, request }).await
    }
}

struct LookBack<'a> {
    room: Room<'a>,
    request: &'a Prepare,
}

impl Work for LookBack<'_> {
    type Output = bool;
    type Error = Error;

    fn name(&self) -> &'static str {
        "PrepareLookBack"
    }

    fn queue(&self) -> Queue {
        self.room.queue(false)
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<bool, Error> {
        let pair = (&self.room.call.caller.party, &self.request.recipient);
        decision::follows_completed(&self.room, tx, pair, &self.request.purpose).await
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// A Prepare that was refused before any person was looked at: only its entry is written.
struct RefusedBefore {
    refusal: Refusal,
    record: Record,
}

impl Command for RefusedBefore {
    type Reply = Prepared;
    fn name(&self) -> &'static str {
        "Prepare"
    }

    async fn perform<'a>(
        &'a self,
        _room: &'a Room<'a>,
        _tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Prepared>, Error> {
        Ok(Verdict::refused(self.refusal.clone(), self.record.clone()))
    }
}

/// A Prepare with its conversion, decided on the locked row of the person.
struct Decided<'r> {
    request: &'r Prepare,
    converted: &'r Converted,
    subject: Subject,
}

impl Command for Decided<'_> {
    type Reply = Prepared;
    fn name(&self) -> &'static str {
        "Prepare"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Prepared>, Error> {
        let now = room.call.now;
        let subject = &self.subject;
        let locked = subject.make_and_lock(tx, now).await?;
        let mut record = self.request.record(room.call);
        record.person = Some(room.broker.keys().tag("subject", &subject.index));
        let request = self.request;
        let introduction = self.introduction()?;
        let sender = room.call.caller.party.clone();
        let about = About {
            exchange: *HandoverId::draw(room.broker.clock(), room.broker.random()).bytes(),
            introduction: Some(introduction),
            sender: &sender,
            recipient: &request.recipient,
            purpose: &request.purpose,
        };
        let person = (&subject.index, &locked);
        if let Err(refusal) = lines::count(room, tx, person, (Side::Sender, &about)).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let consent = crate::consent::current(room, tx, &locked).await?;
        record.consent = consent
            .as_ref()
            .map(|consent| (consent.id, consent.version));
        let asked = request.asked(room.call);
        let pair = (asked.sender, asked.recipient);
        let follows = decision::follows_completed(room, tx, pair, asked.purpose).await?;
        let facts = Facts::of(&locked, consent.as_ref(), follows, now, None);
        let decision = match room.in_force.decide(&asked, &request.wanted(), &facts) {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        decision::tell(&mut record, &decision);
        let hides = decision.hides();
        match decision.outcome {
            Outcome::Permitted(permit) => {
                let known = (&permit, &locked);
                self.write(room, tx, known, record).await
            }
            Outcome::Refused(refusal) => {
                self.tell_refused(room, tx, refusal.reason).await?;
                if hides {
                    Ok(Verdict::hidden(refusal.reason, record))
                } else {
                    Ok(Verdict::refused(refusal, record))
                }
            }
        }
    }
}

impl Decided<'_> {
    /// Writes the handover, or finds the one that an earlier identical request wrote.
    async fn write(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        (permit, locked): (&Permit, &SubjectRow),
        mut record: Record,
    ) -> Result<Verdict<Prepared>, Error> {
        let request = self.request;
        let keys = room.broker.keys();
        let caller = keys.caller_tag(&room.call.caller);
        let fingerprint = request.fingerprint();
        if let Some(stored) = tx.request_outcome(caller, request.request_id).await? {
            return self.again(room, tx, &stored, fingerprint, record).await;
        }
        if self.is_full(room, tx, locked).await? {
            self.tell_refused(room, tx, Reason::TooManyOpen).await?;
            return Ok(Verdict::refused(Reason::TooManyOpen, record));
        }
        let id = HandoverId::draw(room.broker.clock(), room.broker.random());
        let body = self.body(room, permit);
        let (group, group_number) = group_of(room, tx, request, id).await?;
        let day = day_of(room.call.now);
        let row = HandoverRow {
            handover_id: id,
            revision: 1,
            state: i64::from(State::Prepared.number()),
            sender: keys.party_tag(&body.sender),
            recipient: keys.party_tag(&body.recipient),
            purpose: keys.purpose_tag(&body.purpose),
            subject_index: self.subject.index,
            stop_number: locked.stop_number,
            group,
            group_number,
            entered_at: room.call.now,
            deadline_at: room
                .in_force
                .deadline(&body, State::Prepared, room.call.now),
            remaining_millis: None,
            opened_at: None,
            undelivered_at: None,
            erase_at: None,
            day: i64::from(day),
            wrapped_key: Some(wrap(room.broker, id, day, &DataKey::generate())?),
            body: body.seal(keys, &id)?,
        };
        tx.insert_handover(permit, &row).await?;
        record.handover = Some(id);
        let labels = body.summary_labels.union(&body.dossier_labels);
        record.labels = labels.cloned().collect();
        let receipt = HandoverReceipt {
            handover: id,
            state: State::Prepared,
            revision: row.revision,
            deadline: row.deadline_at,
            dropped: self.dropped(&body),
            sealed_person: Vec::new(),
        };
        let outcome = room.receipt_to_store(request.request_id, &fingerprint, &receipt.stored())?;
        tx.insert_request_outcome(caller, request.request_id, &outcome, room.call.now)
            .await?;
        let told = Told {
            basis: (body.basis.to_string(), body.article.clone()),
            labels: feed::texts(&record.labels),
            ..self.told(room, FeedKind::Prepared, *id.bytes())?
        };
        feed::write(room, tx, &told).await?;
        Ok(Verdict::permitted(self.reply(receipt, &body), record))
    }

    /// Whether as many handovers of the person are open in this relation as may be.
    async fn is_full(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        locked: &SubjectRow,
    ) -> Result<bool, Error> {
        let most = i64::from(room.broker.limits().open_handovers);
        let index = &self.subject.index;
        let open = tx.count_open_handovers(index, locked.stop_number, most);
        Ok(open.await? >= most)
    }

    /// Tells the person of the attempt: that is all that comes of it.
    async fn tell_refused(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        reason: Reason,
    ) -> Result<(), Error> {
        let id = HandoverId::draw(room.broker.clock(), room.broker.random());
        let told = Told {
            code: reason.code().to_owned(),
            ..self.told(room, FeedKind::AttemptRefused, *id.bytes())?
        };
        feed::write(room, tx, &told).await
    }

    /// The portal's pseudonym of the person, encrypted to the portal.
    fn introduction(&self) -> Result<[u8; 64], Error> {
        let introduction = self.converted.ciphertexts.get(TARGET_PORTAL);
        introduction
            .copied()
            .ok_or(Error::HolderDishonest(Reason::VoucherInvalid))
    }

    /// A line that introduces an exchange to the portal.
    fn told(&self, room: &Room<'_>, kind: FeedKind, exchange: [u8; 16]) -> Result<Told, Error> {
        Ok(Told {
            exchange,
            introduction: Some(self.introduction()?),
            kind,
            sender: room.call.caller.party.clone(),
            recipient: self.request.recipient.clone(),
            purpose: self.request.purpose.clone(),
            basis: (self.request.basis.to_string(), String::new()),
            labels: Vec::new(),
            code: String::new(),
        })
    }

    /// A repeat: decided anew above, and given the handover that the first one made.
    async fn again(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        stored: &store::request::StoredOutcome,
        fingerprint: Fingerprint,
        mut record: Record,
    ) -> Result<Verdict<Prepared>, Error> {
        if stored.body_sha256 != fingerprint.sha256() {
            return Ok(Verdict::refused(Reason::RequestIdReused, record));
        }
        record.repeat = true;
        let receipt: Receipt = room.open_receipt(self.request.request_id, &stored.outcome)?;
        let id = receipt.handover_id()?;
        let Some(mut loaded) = super::load(room, tx, id).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        record.handover = Some(id);
        if loaded.state()? != State::Prepared || loaded.row.subject_index != self.subject.index {
            let refusal = rules::handover::forbidden(&loaded.situation(room)?);
            return Ok(Verdict::refused(refusal, record));
        }
        // The caller holds the vouchers of this order, not of the first: the release continues this one.
        loaded.body.prepare_order = self.request.order.id.to_string();
        super::save(room, tx, &mut loaded).await?;
        let receipt = HandoverReceipt {
            dropped: self.dropped(&loaded.body),
            ..loaded.receipt()?
        };
        Ok(Verdict::permitted(
            self.reply(receipt, &loaded.body),
            record,
        ))
    }

    fn body(&self, room: &Room<'_>, permit: &Permit) -> Body {
        let request = self.request;
        let asked = request.asked(room.call);
        let allowed = |stage: Stage, labels: &[Label]| {
            let mut allowed = room.in_force.labels_of_stage(&asked, stage, labels);
            allowed.retain(|label| permit.labels().contains(label));
            allowed
        };
        Body {
            sender: room.call.caller.party.clone(),
            sender_desk: room.call.caller.desk.clone(),
            recipient: request.recipient.clone(),
            purpose: request.purpose.clone(),
            basis: request.basis.clone(),
            article: permit.article().to_owned(),
            processing_activity: permit.processing_activity().to_owned(),
            prepare_order: request.order.id.to_string(),
            unbound: asked.unbound,
            prepared_at: room.call.now,
            summary_labels: allowed(Stage::Offer, &request.summary_labels),
            dossier_labels: allowed(Stage::Dossier, &request.dossier_labels),
            course: Course::default(),
        }
    }

    fn dropped(&self, body: &Body) -> Vec<Label> {
        let request = self.request;
        let summary = request
            .summary_labels
            .iter()
            .filter(|label| !body.summary_labels.contains(*label));
        let dossier = request
            .dossier_labels
            .iter()
            .filter(|label| !body.dossier_labels.contains(*label));
        summary.chain(dossier).cloned().collect()
    }

    fn reply(&self, receipt: HandoverReceipt, body: &Body) -> Prepared {
        Prepared {
            receipt,
            summary_labels: body.summary_labels.clone(),
            dossier_labels: body.dossier_labels.clone(),
            vouchers: self.converted.vouchers.clone(),
        }
    }
}

impl Prepare {
    fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"Prepare")
            .add(self.recipient.to_string().as_bytes())
            .add(self.purpose.as_str().as_bytes())
            .add(self.basis.as_str().as_bytes())
            .add(
                self.group
                    .as_ref()
                    .map_or(&[][..], |group| group.bytes().as_slice()),
            )
            .add_labels(&self.summary_labels)
            .add_labels(&self.dossier_labels);
        fingerprint
    }
}

/// The tag and the number of the group that a handover is made in, if it is. The group's row is locked: a release either
/// sees this handover, or has raised the number before it is made.
async fn group_of(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    request: &Prepare,
    id: HandoverId,
) -> Result<(Option<Tag>, i64), Error> {
    let Some(group) = request.group else {
        return Ok((None, 0));
    };
    let tag = group_tag(room, &room.call.caller.party, group);
    let (number, _) = tx.lock_group(tag, id).await?;
    Ok((Some(tag), number))
}

/// A group belongs to its sender: another's group with the same number is another group.
fn group_tag(room: &Room<'_>, sender: &Party, group: GroupId) -> Tag {
    let value = [sender.to_string().as_bytes(), group.bytes().as_slice()].concat();
    room.broker.keys().tag("group", &value)
}
