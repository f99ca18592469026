//! The recipient's check of a dossier: is the number in it that of the person whose pseudonym came with it?
//!
//! The broker carries the number, encrypted, to the recipient's own pseudonym (CheckPerson), and where it is somebody
//! else's to the portal (TellMismatch). Must never carry either but for a dossier that was released to the caller, and
//! must never learn what the recipient compared.

use super::{Attempt, Loaded, judge, load, load_as, save};
use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted};
use crate::call::{Answer, Call};
use crate::feed;
use crate::serve::{Command, Room, Verdict};
use papers::feed::Told;
use papers::paper::SignedPaper;
use rules::feed::FeedKind;
use rules::handover::{Actor, Event};
use rules::id::HandoverId;
use rules::limits::PERSON_CHECKS_MAX;
use rules::pseudonym::{Order, OrderKind};
use rules::reason::{Outcome, Reason, Refusal};
use std::sync::Mutex;
use store::Tx;

/// A number in a dossier, encrypted, with the order that has it converted.
#[derive(Clone, Debug)]
pub struct NumberOrder {
    /// The handover.
    pub handover: HandoverId,
    /// The order CHECK or MISMATCH, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The hashed number, encrypted under the caller's context key.
    pub ciphertext: [u8; 64],
    /// Every holder's voucher of the HANDOVER.
    pub release_vouchers: Vec<SignedPaper>,
}

/// What a number is carried for: to compare it, or to tell its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Check,
    Tell,
}

impl Aim {
    const fn kind(self) -> OrderKind {
        match self {
            Self::Check => OrderKind::Check,
            Self::Tell => OrderKind::Mismatch,
        }
    }
}

impl NumberOrder {
    /// All that can be said without a holder: the state, and that the order is the caller's own and goes on from the
    /// release of this handover. A person is told only after the mismatch was reported.
    fn check(&self, room: &Room<'_>, loaded: &Loaded, aim: Aim) -> Result<Outcome<()>, Error> {
        // Comparing uses the person's number, as fetching does, and waits as that does; what was found may be told
        // while something waits.
        let attempt = Attempt {
            event: match aim {
                Aim::Check => Event::Fetch,
                Aim::Tell => Event::ReportMismatch,
            },
            actor: Actor::Recipient,
            expected_revision: None,
        };
        if let Outcome::Refused(refusal) = judge(room, loaded, attempt)? {
            return Ok(Outcome::Refused(refusal));
        }
        let (caller, order) = (&room.call.caller, &self.order);
        let course = &loaded.body.course;
        let number = room.in_force.number_label(&loaded.body.dossier_labels);
        let parent = order.parent.map(|id| id.to_string());
        let reason = if order.issuer != caller.party.oin || order.desk != caller.desk {
            Reason::ActingForAnother
        } else if order.kind != aim.kind() {
            Reason::OrderForbidden
        } else if number.is_none() {
            // Nothing came with the dossier that could be compared.
            Reason::OrderForbidden
        } else if parent.as_deref() != Some(course.release_order.as_str()) {
            Reason::OrderParentInvalid
        } else if aim == Aim::Check && course.person_checks >= PERSON_CHECKS_MAX {
            Reason::QuotaExceeded
        } else if aim == Aim::Tell && !course.person_unequal {
            let text = "has no mismatch of kind PERSON; now the recipient may: ReportMismatch";
            let refused = Refusal::about(Reason::StateForbidsEvent, "state", text);
            return Ok(Outcome::Refused(refused));
        } else {
            return Ok(Outcome::Permitted(()));
        };
        Ok(Outcome::Refused(reason.into()))
    }
}

impl Broker {
    /// Has the number in a dossier converted to the caller's own pseudonym.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn check_person(
        &self,
        call: &Call,
        request: NumberOrder,
    ) -> Result<Answer<Converted>, Error> {
        let converted = self.carry_number(call, &request, Aim::Check).await?;
        let command = CheckPerson {
            request: &request,
            converted,
        };
        self.serve(call, &command).await
    }

    /// Has the person told whose number stood in a dossier about somebody else. A second time changes nothing.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn tell_mismatch(
        &self,
        call: &Call,
        request: NumberOrder,
    ) -> Result<Answer<()>, Error> {
        let converted = self.carry_number(call, &request, Aim::Tell).await?;
        let command = TellMismatch {
            request: &request,
            converted,
        };
        self.serve(call, &command).await
    }

    /// Looks ahead, reading only, and has the holders convert; none when the command itself says no or has nothing to
    /// do. What was seen is looked at again in the deciding transaction.
    async fn carry_number(
        &self,
        call: &Call,
        request: &NumberOrder,
        aim: Aim,
    ) -> Result<Option<Outcome<Converted>>, Error> {
        let told = Mutex::default();
        let room = Room {
            broker: self,
            call,
            in_force: self.in_force(),
            told: &told,
        };
        let ahead = LookAhead { room, request, aim };
        if !self.database().read(&ahead).await? {
            return Ok(None);
        }
        let conversion = ConversionRequest {
            order: request.order.clone(),
            signed: request.signed_order.clone(),
            ciphertext: request.ciphertext,
            parents: request.release_vouchers.clone(),
        };
        Ok(Some(self.convert_one(conversion).await?))
    }
}

struct LookAhead<'a> {
    room: Room<'a>,
    request: &'a NumberOrder,
    aim: Aim,
}

impl store::Work for LookAhead<'_> {
    type Output = bool;
    type Error = Error;

    fn name(&self) -> &'static str {
        "CheckPersonLookAhead"
    }

    fn queue(&self) -> store::Queue {
        self.room.queue(false)
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<bool, Error> {
        let Some(loaded) = load(&self.room, tx, self.request.handover).await? else {
            return Ok(false);
        };
        let is_recipient = loaded.side(&self.room.call.caller.party) == Some(Actor::Recipient);
        let is_done = self.aim == Aim::Tell && loaded.body.course.mismatch_told;
        if !is_recipient || is_done {
            return Ok(false);
        }
        let checked = self.request.check(&self.room, &loaded, self.aim)?;
        Ok(matches!(checked, Outcome::Permitted(())))
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// What the transaction found otherwise than the look-ahead: the client reads and repeats.
const CHANGED: Reason = Reason::RevisionMismatch;

/// The number's pseudonym of the recipient.
struct CheckPerson<'r> {
    request: &'r NumberOrder,
    converted: Option<Outcome<Converted>>,
}

impl Command for CheckPerson<'_> {
    type Reply = Converted;

    fn name(&self) -> &'static str {
        "CheckPerson"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Converted>, Error> {
        let mut loaded = match load_as(room, tx, self.request.handover, Actor::Recipient).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let record = loaded.record(room);
        if let Outcome::Refused(refusal) = self.request.check(room, &loaded, Aim::Check)? {
            return Ok(Verdict::refused(refusal, record));
        }
        if matches!(self.converted, Some(Outcome::Permitted(_))) {
            let checks = &mut loaded.body.course.person_checks;
            *checks = checks.saturating_add(1);
            save(room, tx, &mut loaded).await?;
        }
        Ok(match &self.converted {
            Some(Outcome::Permitted(converted)) => Verdict::permitted(converted.clone(), record),
            Some(Outcome::Refused(refusal)) => Verdict::refused(refusal.clone(), record),
            None => Verdict::refused(CHANGED, record),
        })
    }
}

/// A line to the person of the number.
struct TellMismatch<'r> {
    request: &'r NumberOrder,
    converted: Option<Outcome<Converted>>,
}

impl Command for TellMismatch<'_> {
    type Reply = ();

    fn name(&self) -> &'static str {
        "TellMismatch"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let mut loaded = match load_as(room, tx, self.request.handover, Actor::Recipient).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        if let Outcome::Refused(refusal) = self.request.check(room, &loaded, Aim::Tell)? {
            return Ok(Verdict::refused(refusal, record));
        }
        if loaded.body.course.mismatch_told {
            record.repeat = true;
            return Ok(Verdict::permitted((), record));
        }
        let converted = match &self.converted {
            Some(Outcome::Permitted(converted)) => converted,
            Some(Outcome::Refused(refusal)) => {
                return Ok(Verdict::refused(refusal.clone(), record));
            }
            None => return Ok(Verdict::refused(Refusal::from(CHANGED), record)),
        };
        let introduction = converted.ciphertexts.first().copied();
        // An exchange of its own: to this person the handover itself is nothing, for it is about another.
        let exchange = HandoverId::draw(room.broker.clock(), room.broker.random());
        let told = Told {
            exchange: *exchange.bytes(),
            introduction: Some(introduction.ok_or(Error::HolderDishonest(Reason::VoucherInvalid))?),
            ..feed::about(&loaded, FeedKind::WrongPerson)
        };
        feed::write(room, tx, &told).await?;
        loaded.body.course.mismatch_told = true;
        save(room, tx, &mut loaded).await?;
        Ok(Verdict::permitted((), record))
    }
}
