//! Asking a person for consent through the portal.
//!
//! Must never answer differently for a person who is unknown, who said no or who consented already:
//! the answer is always that the question was asked.

use super::question::Asked;
use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted, InForce};
use crate::call::{Answer, Call};
use crate::feed;
use crate::handover::person::{Subject, TARGET_HANDLE, TARGET_PORTAL};
use crate::lines::{self, About};
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use papers::paper::SignedPaper;
use rules::audit::Audience;
use rules::feed::FeedKind;
use rules::handover::Side;
use rules::id::{Category, HandoverId, Party, Purpose, RequestId};
use rules::pseudonym::{Order, Relation, TargetDomain};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeSet;
use store::Tx;
use store::consent::QuestionRow;

/// Asks for consent.
#[derive(Clone, Debug)]
pub struct RequestConsent {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// To whom the person would be handed over.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// Categories of data.
    pub categories: BTreeSet<Category>,
    /// The order PREPARE or UNBOUND, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The sender's pseudonym, encrypted under the sender's context key.
    pub ciphertext: [u8; 64],
}

impl RequestConsent {
    fn relation(&self, sender: &Party) -> Relation {
        Relation {
            from: sender.clone(),
            to: self.recipient.clone(),
            purpose: self.purpose.clone(),
        }
    }

    /// What the log is told of it before anything is known of a person.
    #[must_use]
    pub fn record(&self, call: &Call) -> Record {
        Record {
            audience: Audience::Sender,
            sender: Some(call.caller.party.clone()),
            recipient: Some(self.recipient.clone()),
            purpose: Some(self.purpose.clone()),
            ..Record::default()
        }
    }

    /// All that can be refused without the person.
    fn check(&self, call: &Call, in_force: &InForce) -> Result<(), Refusal> {
        let caller = &call.caller;
        let order = &self.order;
        if order.issuer != caller.party.oin || order.desk != caller.desk {
            return Err(Refusal::new(Reason::ActingForAnother));
        }
        let relation = self.relation(&caller.party);
        let same = matches!(
            order.targets.get(TARGET_HANDLE),
            Some((TargetDomain::Relation { relation: named, .. }, _)) if *named == relation
        );
        if !order.kind.prepares() || !same {
            return Err(Refusal::new(Reason::OrderForbidden));
        }
        let edge = in_force
            .directory
            .edge(&caller.party, &self.recipient, &self.purpose, call.now);
        if edge.is_none() {
            return Err(Refusal::new(Reason::NoAgreement));
        }
        let kinds = (
            in_force.kind_of(&caller.party)?,
            in_force.kind_of(&self.recipient)?,
        );
        let register = in_force.policy.register();
        let entry = register
            .entry(&self.purpose, kinds.0, kinds.1)
            .filter(|entry| entry.needs_consent())
            .ok_or_else(|| Refusal::new(Reason::BasisMissing))?;
        let allowed = register.categories_of(entry.labels());
        let covered = self.categories.iter().all(|wish| allowed.contains(wish));
        if self.categories.is_empty() || !covered {
            return Err(Refusal::new(Reason::ConsentScopeExceeded));
        }
        Ok(())
    }
}

impl Broker {
    /// Asks for consent: has the holders convert, writes the question and tells the portal.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn request_consent(
        &self,
        call: &Call,
        request: RequestConsent,
    ) -> Result<Answer<HandoverId>, Error> {
        let known = match request.check(call, &self.in_force()) {
            Err(refusal) => Err(refusal),
            Ok(()) => {
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
                        Ok((converted, subject))
                    }
                    Outcome::Refused(refusal) => Err(refusal),
                }
            }
        };
        let command = Asking {
            request: &request,
            known,
        };
        self.serve(call, &command).await
    }
}

struct Asking<'r> {
    request: &'r RequestConsent,
    known: Result<(Converted, Subject), Refusal>,
}

impl Command for Asking<'_> {
    type Reply = HandoverId;

    fn name(&self) -> &'static str {
        "RequestConsent"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let request = self.request;
        self.known.as_ref().ok()?;
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"RequestConsent")
            .add(request.recipient.to_string().as_bytes())
            .add(request.purpose.as_str().as_bytes());
        for category in &request.categories {
            fingerprint.add(category.to_string().as_bytes());
        }
        Some((request.request_id, fingerprint))
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverId>, Error> {
        let request = self.request;
        let mut record = request.record(room.call);
        let (converted, subject) = match &self.known {
            Ok(known) => known,
            Err(refusal) => return Ok(Verdict::refused(refusal.clone(), record)),
        };
        let now = room.call.now;
        record.person = Some(room.broker.keys().tag("subject", &subject.index));
        let locked = subject.make_and_lock(tx, now).await?;
        let id = HandoverId::draw(room.broker.clock(), room.broker.random());
        let introduction = converted.ciphertexts.get(TARGET_PORTAL);
        let introduction = introduction.ok_or(Error::HolderDishonest(Reason::VoucherInvalid))?;
        let about = About {
            exchange: *id.bytes(),
            introduction: Some(*introduction),
            sender: &room.call.caller.party,
            recipient: &request.recipient,
            purpose: &request.purpose,
        };
        let person = (&subject.index, &locked);
        if let Err(refusal) = lines::count(room, tx, person, (Side::Sender, &about)).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let most = i64::from(room.broker.limits().questions);
        if tx.count_questions(&subject.index, most).await? >= most {
            return Ok(Verdict::refused(Reason::TooManyOpen, record));
        }
        let sender = &room.call.caller.party;
        let asked = Asked {
            sender: sender.clone(),
            recipient: request.recipient.clone(),
            purpose: request.purpose.clone(),
        };
        let question = QuestionRow {
            question_id: id,
            body: asked.seal(room, id)?,
        };
        let made = (now, locked.stop_number);
        tx.insert_question(&subject.index, &question, made).await?;
        let told = Told {
            exchange: *id.bytes(),
            introduction: Some(*introduction),
            kind: FeedKind::ConsentAsked,
            sender: sender.clone(),
            recipient: request.recipient.clone(),
            purpose: request.purpose.clone(),
            basis: (String::new(), String::new()),
            labels: request.categories.iter().map(ToString::to_string).collect(),
            code: String::new(),
        };
        feed::write(room, tx, &told).await?;
        Ok(Verdict::permitted(id, record))
    }

    fn receipt(&self, reply: &HandoverId) -> Receipt {
        Receipt {
            handover: reply.to_string(),
            ..Receipt::default()
        }
    }

    fn replay(&self, receipt: Receipt) -> Result<HandoverId, Error> {
        receipt.handover_id()
    }
}
