//! Registering a consent that was given or refused.
//!
//! Must never store what the person's statement does not say, and must never tell a desk whether the
//! person had consented before.

use super::withdraw::end;
use super::{Signed, Stored, append, open_statement, seal_body, successor};
use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted, InForce};
use crate::call::{Answer, Call};
use crate::consequence::{Cause, stop};
use crate::feed;
use crate::handover::person::{Subject, TARGET_HANDLE, TARGET_PORTAL};
use crate::lines::{self, About};
use crate::record::Record;
use crate::retention;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use papers::paper::SignedPaper;
use rules::audit::Audience;
use rules::consent::{ConsentState, Signer, check_new};
use rules::directory::Right;
use rules::feed::FeedKind;
use rules::handover::Side;
use rules::id::{ConsentId, HandoverId, PeerKind, RequestId};
use rules::pseudonym::{Order, OrderKind, Relation, TargetDomain};
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;
use store::consent::ConsentRow;
use store::pseudonym::SubjectRow;

/// Registers a person's choice.
#[derive(Clone, Debug)]
pub struct RegisterConsent {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The statement, a compact JWS.
    pub statement_jws: String,
    /// The order CONSENT or ASSIST, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The person, encrypted under the caller's own context key.
    pub ciphertext: [u8; 64],
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The record.
    pub consent: ConsentId,
    /// Its state.
    pub state: ConsentState,
    /// Its version.
    pub version: u64,
}

impl Registered {
    pub(super) fn of(stored: &Stored) -> Self {
        Self {
            consent: stored.record.id,
            state: stored.record.state,
            version: stored.record.version,
        }
    }

    pub(super) fn stored(self) -> Receipt {
        Receipt {
            consent: self.consent.to_string(),
            state: i64::from(self.state.number()),
            revision: i64::try_from(self.version).unwrap_or(i64::MAX),
            ..Receipt::default()
        }
    }

    pub(super) fn replay(receipt: &Receipt) -> Result<Self, Error> {
        let wrong = || Error::Malformed("a stored outcome");
        Ok(Self {
            consent: receipt.consent.parse().map_err(|_| wrong())?,
            state: i32::try_from(receipt.state)
                .ok()
                .and_then(ConsentState::from_number)
                .ok_or_else(wrong)?,
            version: u64::try_from(receipt.revision).map_err(|_| wrong())?,
        })
    }
}

/// What the caller is told of a choice that was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What became of it.
    pub registered: Registered,
    /// The person's row, sealed for a gateway that loses the record ([`successor`]).
    pub sealed_subject: Vec<u8>,
}

/// The relation of a statement.
fn relation_of(signed: &Signed) -> Relation {
    let record = &signed.statement.record;
    Relation {
        from: record.sender.clone(),
        to: record.recipient.clone(),
        purpose: record.purpose.clone(),
    }
}

/// What the log is told of a statement: it is the person's own act.
pub(super) fn record_of(signed: &Signed) -> Record {
    let record = &signed.statement.record;
    Record {
        audience: Audience::Caller,
        sender: Some(record.sender.clone()),
        recipient: Some(record.recipient.clone()),
        purpose: Some(record.purpose.clone()),
        consent: Some((record.id, record.version)),
        statement_sha256: Some(vault::digest::sha256(signed.jws.as_bytes())),
        event_code: Some(signed.statement.event.code()),
        ..Record::default()
    }
}

/// The same of a choice that is registered: a desk that helps the person is the sender's own.
fn told_to(call: &Call, signed: &Signed) -> Record {
    let mut record = record_of(signed);
    if signed.statement.record.sender == call.caller.party {
        record.audience = Audience::Sender;
    }
    record
}

impl RegisterConsent {
    /// What the log is told of it before anything is known of a person: nothing, unless the statement is
    /// the caller's own.
    #[must_use]
    pub fn record(&self, call: &Call) -> Record {
        open_statement(call, &self.statement_jws)
            .map(|signed| told_to(call, &signed))
            .unwrap_or_default()
    }

    /// All that can be refused without the person: signature, form, order, register, edge.
    fn check(&self, call: &Call, in_force: &InForce) -> Result<Signed, Refusal> {
        let caller = &call.caller;
        let signer = if caller.kind == PeerKind::Portal {
            Signer::Portal
        } else {
            Signer::Desk {
                assist: caller.may(Right::Assist),
            }
        };
        let signed = open_statement(call, &self.statement_jws)?;
        let record = &signed.statement.record;
        let kinds = (
            in_force.kind_of(&record.sender)?,
            in_force.kind_of(&record.recipient)?,
        );
        let register = in_force.policy.register();
        if let Outcome::Refused(refusal) =
            check_new(&signed.statement, register, kinds, signer, call.now)
        {
            return Err(refusal);
        }
        self.check_order(call, &signed, signer)?;
        let edge =
            in_force
                .directory
                .edge(&record.sender, &record.recipient, &record.purpose, call.now);
        if edge.is_none() {
            return Err(Refusal::new(Reason::NoAgreement));
        }
        Ok(signed)
    }

    fn check_order(&self, call: &Call, signed: &Signed, signer: Signer) -> Result<(), Refusal> {
        let (caller, order) = (&call.caller, &self.order);
        if order.issuer != caller.party.oin || order.desk != caller.desk {
            return Err(Refusal::new(Reason::ActingForAnother));
        }
        let kind = match signer {
            Signer::Portal => OrderKind::Consent,
            Signer::Desk { .. } if signed.statement.record.sender != caller.party => {
                return Err(Refusal::new(Reason::ActingForAnother));
            }
            Signer::Desk { .. } => OrderKind::Assist,
        };
        let relation = relation_of(signed);
        let target = order.targets.get(TARGET_HANDLE);
        let same = matches!(
            target,
            Some((TargetDomain::Relation { relation: named, .. }, _)) if *named == relation
        );
        if order.kind != kind || !same {
            return Err(Refusal::new(Reason::OrderForbidden));
        }
        if signed.statement.order != Some(order.id) {
            let text = "does not name the order that it came with";
            return Err(Refusal::about(
                Reason::StatementInvalid,
                "statement_jws.order_id",
                text,
            ));
        }
        Ok(())
    }
}

impl Broker {
    /// Registers a consent: refuses what depends on no person, has the holders convert, and then writes
    /// in one transaction.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn register_consent(
        &self,
        call: &Call,
        request: RegisterConsent,
    ) -> Result<Answer<Registration>, Error> {
        let known = match request.check(call, &self.in_force()) {
            Ok(signed) => self.find(call, &request, signed).await?,
            Err(refusal) => Known::Refused(refusal, Box::default()),
        };
        let command = Registering {
            request: &request,
            known,
        };
        let answer = self.serve(call, &command).await?;
        let outcome = match answer.outcome {
            Outcome::Permitted(registered) => Outcome::Permitted(Registration {
                sealed_subject: command.sealed_subject(self, call, &registered)?,
                registered,
            }),
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
        };
        Ok(Answer {
            outcome,
            promise: answer.promise,
        })
    }

    /// Has the holders convert, and finds the person.
    async fn find(
        &self,
        call: &Call,
        request: &RegisterConsent,
        signed: Signed,
    ) -> Result<Known, Error> {
        let conversion = ConversionRequest {
            order: request.order.clone(),
            signed: request.signed_order.clone(),
            ciphertext: request.ciphertext,
            parents: Vec::new(),
        };
        Ok(match self.convert_one(conversion).await? {
            Outcome::Permitted(converted) => {
                let subject = self.subject(&relation_of(&signed), &converted, TARGET_HANDLE)?;
                Known::Person {
                    signed: Box::new(signed),
                    converted,
                    subject,
                }
            }
            Outcome::Refused(refusal) => Known::Refused(refusal, Box::new(told_to(call, &signed))),
        })
    }
}

/// What is known before the transaction.
enum Known {
    Refused(Refusal, Box<Record>),
    Person {
        signed: Box<Signed>,
        converted: Converted,
        subject: Subject,
    },
}

struct Registering<'r> {
    request: &'r RegisterConsent,
    known: Known,
}

impl Registering<'_> {
    fn sealed_subject(
        &self,
        broker: &Broker,
        call: &Call,
        registered: &Registered,
    ) -> Result<Vec<u8>, Error> {
        match &self.known {
            Known::Person { subject, .. } => {
                successor::seal(broker.keys(), call, registered.consent, &subject.index)
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Command for Registering<'_> {
    type Reply = Registered;

    fn name(&self) -> &'static str {
        "RegisterConsent"
    }

    /// A repeat carries the same statement: order and ciphertext are fresh each time, so the statement
    /// is compared without the order that it names.
    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(b"RegisterConsent");
        match &self.known {
            Known::Refused(..) => return None,
            Known::Person { signed, .. } => {
                let mut statement = signed.statement.clone();
                statement.order = None;
                fingerprint.add(&statement.canonical_json());
            }
        }
        Some((self.request.request_id, fingerprint))
    }

    /// A no is a stop.
    fn stops(&self) -> bool {
        match &self.known {
            Known::Person { signed, .. } => signed.statement.record.state == ConsentState::Refused,
            Known::Refused(..) => false,
        }
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Registered>, Error> {
        let (signed, converted, subject) = match &self.known {
            Known::Refused(refusal, record) => {
                return Ok(Verdict::refused(refusal.clone(), (**record).clone()));
            }
            Known::Person {
                signed,
                converted,
                subject,
            } => (signed, converted, subject),
        };
        let now = room.call.now;
        let mut record = told_to(room.call, signed);
        record.person = Some(room.broker.keys().tag("subject", &subject.index));
        let locked = subject.make_and_lock(tx, now).await?;
        let stored = new_row(room, signed, subject, converted)?;
        let is_assisted = room.call.caller.kind != PeerKind::Portal;
        let counted = if is_assisted {
            count_assisted(room, tx, (subject, &locked), (&stored, converted)).await?
        } else {
            Ok(())
        };
        // A no is never refused for its number: beyond the bound the person reads it in the one line that counts.
        if let Err(refusal) = &counted
            && stored.record.state == ConsentState::Given
        {
            return Ok(Verdict::refused(refusal.clone(), record));
        }
        if let Some(tag) = &stored.row.stop_tag
            && tx.consent_by_stop_tag(tag).await?.is_some()
        {
            let text = "names a stop code that there is already; draw another";
            let refusal = Refusal::about(Reason::StatementInvalid, "statement_jws.stop_code", text);
            return Ok(Verdict::refused(refusal, record));
        }
        if !tx.insert_consent(&stored.row).await? {
            let text = "names a record that there is already";
            let refusal = Refusal::about(Reason::StatementInvalid, "statement_jws.record_id", text);
            return Ok(Verdict::refused(refusal, record));
        }
        append(room, tx, &stored).await?;
        if stored.record.state == ConsentState::Given {
            if let Some(before) = locked.consent {
                supersede(room, tx, before).await?;
            }
            tx.set_current_consent(&subject.index, stored.record.id)
                .await?;
            super::question::tell_askers(room, tx, (subject, &locked)).await?;
        } else {
            refuse(room, tx, (subject, &locked)).await?;
        }
        if is_assisted && counted.is_ok() {
            tell_portal(room, tx, &stored, converted).await?;
        }
        Ok(Verdict::permitted(Registered::of(&stored), record))
    }

    fn receipt(&self, reply: &Registered) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<Registered, Error> {
        Registered::replay(&receipt)
    }
}

fn new_row(
    room: &Room<'_>,
    signed: &Signed,
    subject: &Subject,
    converted: &Converted,
) -> Result<Stored, Error> {
    let broker = room.broker;
    let record = signed.statement.record.clone();
    let stop_tag = signed
        .statement
        .stop_code
        .as_ref()
        .map(|code| broker.stop_tag(code));
    let row = ConsentRow {
        consent_id: record.id,
        subject_index: subject.index,
        version: i64::try_from(record.version).unwrap_or(i64::MAX),
        state: i64::from(record.state.number()),
        valid_until: record.valid_until,
        erase_at: retention::consent_until(room, &record),
        stop_tag,
        created_at: room.call.now,
        body: seal_body(broker.keys(), record.id, &signed.jws, &converted.vouchers)?,
    };
    Ok(Stored {
        row,
        record,
        statement: signed.jws.clone(),
        vouchers: converted.vouchers.clone(),
    })
}

/// The record that the new one replaces has ended; what is open goes on under the new one.
async fn supersede(room: &Room<'_>, tx: &mut Tx<'_>, before: ConsentId) -> Result<(), Error> {
    let Some(mut old) = super::load(room, tx, before).await? else {
        return Ok(());
    };
    if !old.record.state.is_terminal() {
        old.advance(ConsentState::Superseded, None);
        super::save(room, tx, &mut old).await?;
    }
    Ok(())
}

/// A no ends what stands, as a withdrawal does, and what was asked before: also where nothing stood, so that nobody
/// can tell.
async fn refuse(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    (subject, locked): (&Subject, &SubjectRow),
) -> Result<(), Error> {
    let standing = match locked.consent {
        Some(id) => super::load(room, tx, id).await?,
        None => None,
    };
    match standing {
        Some(mut standing) if !standing.record.state.is_terminal() => {
            end(room, tx, &mut standing, (None, Cause::Refused)).await?;
            super::withdraw::tell_portal(room, tx, &standing).await
        }
        _ => {
            stop(room, tx, &subject.index, (locked, Cause::Refused)).await?;
            Ok(())
        }
    }
}

/// Counts a consent that a desk registers, of which the person is told.
async fn count_assisted(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    (subject, locked): (&Subject, &SubjectRow),
    (stored, converted): (&Stored, &Converted),
) -> Result<Result<(), Refusal>, Error> {
    let record = &stored.record;
    let about = About {
        // Not the record's own, which the desk chose: see `Portal::told_index`.
        exchange: *HandoverId::draw(room.broker.clock(), room.broker.random()).bytes(),
        introduction: Some(introduction(converted)?),
        sender: &record.sender,
        recipient: &record.recipient,
        purpose: &record.purpose,
    };
    let person = (&subject.index, locked);
    lines::count(room, tx, person, (Side::Sender, &about)).await
}

fn introduction(converted: &Converted) -> Result<[u8; 64], Error> {
    let introduction = converted.ciphertexts.get(TARGET_PORTAL);
    introduction
        .copied()
        .ok_or(Error::HolderDishonest(Reason::VoucherInvalid))
}

/// The portal is told of a consent that a desk registered.
async fn tell_portal(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    stored: &Stored,
    converted: &Converted,
) -> Result<(), Error> {
    let record = &stored.record;
    let told = Told {
        exchange: *record.id.bytes(),
        introduction: Some(introduction(converted)?),
        kind: FeedKind::ConsentAssisted,
        sender: record.sender.clone(),
        recipient: record.recipient.clone(),
        purpose: record.purpose.clone(),
        basis: (String::new(), String::new()),
        labels: record.categories.iter().map(ToString::to_string).collect(),
        code: record.state.code().to_owned(),
    };
    feed::write(room, tx, &told).await
}
