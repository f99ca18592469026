//! Objection (AVG article 21) and restriction (article 18) under statute, and the officer's decision.
//!
//! Both stop the release and the fetch of every open handover of the person in the relation, at once; that clocks
//! stand still and both sides are told follows ([`crate::consequence`]).
//! Must never be refused for a missing holder, a lagging log or a stale policy: nothing here asks them.

use super::{Attempt, HandoverReceipt, Loaded, enter, judge, load};
use crate::Error;
use crate::consequence::{Cause, pause_others, stop};
use crate::decision;
use crate::feed;
use crate::record::Record;
use crate::restoration::refuse_unreadable;
use crate::sealed_person::{self, SEALED_PERSON_BYTES};
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use rules::audit::Audience;
use rules::directory::Right;
use rules::feed::FeedKind;
use rules::handover::{Actor, Event, State, Step};
use rules::id::{HandoverId, PeerKind, RequestId};
use rules::policy::OversightAction;
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;

/// What the candidate's channel or an officer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// The person objects.
    Object,
    /// The person asks for a restriction.
    Restrict,
    /// The officer finds the objection right.
    Uphold,
    /// The officer finds that it does not hold.
    Reject,
    /// The officer lifts the restriction.
    LiftRestriction,
}

impl Objection {
    fn event(self) -> (Event, Actor) {
        match self {
            Self::Object => (Event::Object, Actor::Candidate),
            Self::Restrict => (Event::Restrict, Actor::Candidate),
            Self::Uphold => (Event::UpholdObjection, Actor::Officer),
            Self::Reject => (Event::RejectObjection, Actor::Officer),
            Self::LiftRestriction => (Event::LiftRestriction, Actor::Officer),
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Object => "OBJECT",
            Self::Restrict => "RESTRICT",
            Self::Uphold => "UPHOLD",
            Self::Reject => "REJECT",
            Self::LiftRestriction => "LIFT_RESTRICTION",
        }
    }
}

/// An objection, a restriction, or the decision about one.
#[derive(Clone, Debug)]
pub struct Object {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover through which the person and the relation are named.
    pub handover: HandoverId,
    /// What is done.
    pub objection: Objection,
    /// When it is sent again after a restore: the person's row as the first answer sealed it.
    pub sealed_person: Option<[u8; SEALED_PERSON_BYTES]>,
}

impl Command for Object {
    type Reply = HandoverReceipt;

    fn name(&self) -> &'static str {
        match self.objection {
            Objection::Object => "ObjectToHandover",
            Objection::Restrict => "RestrictHandover",
            Objection::Uphold | Objection::Reject | Objection::LiftRestriction => "DecideObjection",
        }
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(self.name().as_bytes())
            .add(self.handover.bytes())
            .add(self.objection.code().as_bytes());
        Some((self.request_id, fingerprint))
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        if !self.decides() && room.call.caller.kind != PeerKind::Portal {
            return Ok(Verdict::refused(
                Refusal::lacks("this call is the portal's"),
                Record::default(),
            ));
        }
        let Some(mut loaded) = load(room, tx, self.handover).await? else {
            return self.set_again(room, tx).await;
        };
        if !self.may_see(room, &loaded) {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        }
        let mut record = loaded.record(room);
        record.event_code = Some(self.objection.code());
        let audience = record.audience;
        if !self.decides() {
            // What the person tried is nothing that a desk is told, unless it was done.
            record.audience = Audience::Caller;
        }
        let (event, actor) = self.objection.event();
        let attempt = Attempt {
            event,
            actor,
            expected_revision: None,
        };
        if let Err(refusal) = self.oversee(room, &loaded, &mut record) {
            return Ok(Verdict::refused(refusal, record));
        }
        let step = match self.judge_named(room, &loaded, attempt)? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        if self.stands_already(&loaded) {
            // To object twice is to object once: nothing moves, and nobody is told once more.
            let receipt = self.answer(room, tx, &loaded).await?;
            return Ok(Verdict::permitted(receipt, record));
        }
        // The named handover at once; the person's row, at which all steps look; and the others follow.
        if let Some(step) = step {
            if let Some(code) = self.cause().cancel_code() {
                code.code().clone_into(&mut loaded.body.course.code);
            }
            enter(room, tx, &mut loaded, &step).await?;
        }
        let index = loaded.row.subject_index;
        let (subject, cause) = (&loaded.subject, self.cause());
        if self.objection == Objection::Uphold {
            stop(room, tx, &index, (subject, cause)).await?;
        } else {
            pause_others(room, tx, &index, (subject, cause, self.handover)).await?;
        }
        self.write_flags(room, tx, &mut loaded).await?;
        let told = Told {
            code: self.objection.code().to_owned(),
            ..feed::about(&loaded, FeedKind::Objection)
        };
        feed::write(room, tx, &told).await?;
        record.audience = audience;
        let receipt = self.answer(room, tx, &loaded).await?;
        Ok(Verdict::permitted(receipt, record))
    }

    fn receipt(&self, reply: &HandoverReceipt) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<HandoverReceipt, Error> {
        HandoverReceipt::replay(receipt)
    }
}

impl Object {
    /// Sets what the person stopped once more where the handover is gone, because the tables were put back from an
    /// earlier backup: by the person's row, which is made anew where that is gone too. Nothing of theirs stands there.
    async fn set_again(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let mut record = Record {
            audience: Audience::Caller,
            event_code: Some(self.objection.code()),
            ..Record::default()
        };
        let Some(sealed) = &self.sealed_person else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        let Some(person) = sealed_person::open(room, sealed) else {
            return refuse_unreadable(room, tx, "sealed_person", record).await;
        };
        let index = person.subject.index;
        record.person = Some(room.broker.keys().tag("subject", &index));
        let subject = person.subject.make_and_lock(tx, room.call.now).await?;
        pause_others(room, tx, &index, (&subject, self.cause(), self.handover)).await?;
        let at = Some(person.stopped_at);
        let (objected, restricted) = match self.objection {
            Objection::Restrict => (subject.objected_at, subject.restricted_at.or(at)),
            _ => (subject.objected_at.or(at), subject.restricted_at),
        };
        tx.update_subject_flags(&index, objected, restricted)
            .await?;
        let receipt = HandoverReceipt {
            handover: self.handover,
            state: State::Prepared,
            revision: 0,
            deadline: None,
            dropped: Vec::new(),
            sealed_person: sealed.to_vec(),
        };
        Ok(Verdict::permitted(receipt, record))
    }

    /// The receipt; with the person's row for whoever stopped something.
    async fn answer(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        loaded: &Loaded,
    ) -> Result<HandoverReceipt, Error> {
        let mut receipt = loaded.receipt()?;
        if !self.decides() {
            receipt.sealed_person =
                sealed_person::seal(room, tx, &loaded.row.subject_index).await?;
        }
        Ok(receipt)
    }

    /// Whether the person has said the same before, and nobody has decided since.
    const fn stands_already(&self, loaded: &Loaded) -> bool {
        match self.objection {
            Objection::Object => loaded.subject.objected_at.is_some(),
            Objection::Restrict => loaded.subject.restricted_at.is_some(),
            Objection::Uphold | Objection::Reject | Objection::LiftRestriction => false,
        }
    }

    /// Whether it is an officer's decision, and not the person's own word.
    fn decides(&self) -> bool {
        match self.objection {
            Objection::Object | Objection::Restrict => false,
            Objection::Uphold | Objection::Reject | Objection::LiftRestriction => true,
        }
    }

    /// An officer decides as the policies for oversight say; the portal speaks for any person.
    fn oversee(
        &self,
        room: &Room<'_>,
        loaded: &Loaded,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        if !self.decides() {
            return Ok(());
        }
        let own = room.call.caller.party.oin == loaded.body.sender.oin;
        decision::oversee(room, OversightAction::DecideObjection, own, record)
    }

    /// From what the rest follows.
    const fn cause(&self) -> Cause {
        match self.objection {
            Objection::Object => Cause::Objected,
            Objection::Restrict => Cause::Restricted,
            Objection::Uphold => Cause::Upheld,
            Objection::Reject => Cause::Rejected,
            Objection::LiftRestriction => Cause::Lifted,
        }
    }

    /// Asks the table about the handover by which the person is named; gives its step. It may have ended meanwhile, and
    /// the objection has not, or the person objects to what may still be told of it: then it is about the objection alone.
    fn judge_named(
        &self,
        room: &Room<'_>,
        loaded: &Loaded,
        attempt: Attempt,
    ) -> Result<Outcome<Option<Step>>, Error> {
        let pending = match self.objection {
            Objection::Object | Objection::Restrict => false,
            Objection::Uphold | Objection::Reject => loaded.subject.objected_at.is_some(),
            Objection::LiftRestriction => loaded.subject.restricted_at.is_some(),
        };
        if pending && loaded.state()?.is_terminal() {
            return Ok(Outcome::Permitted(None));
        }
        if !self.decides() && super::report::may_come(room, loaded)? {
            return Ok(Outcome::Permitted(None));
        }
        Ok(match judge(room, loaded, attempt)? {
            Outcome::Permitted(step) => Outcome::Permitted(Some(step)),
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
        })
    }

    /// Only the portal and officers name handovers that are not their own; to an officer another
    /// organisation's is not there.
    fn may_see(&self, room: &Room<'_>, loaded: &Loaded) -> bool {
        let caller = &room.call.caller;
        caller.kind == PeerKind::Portal
            || caller.may(Right::JointOfficer)
            || caller.party.oin == loaded.body.sender.oin
    }

    async fn write_flags(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        loaded: &mut Loaded,
    ) -> Result<(), Error> {
        let now = room.call.now;
        let subject = &mut loaded.subject;
        match self.objection {
            Objection::Object => subject.objected_at = subject.objected_at.or(Some(now)),
            Objection::Restrict => subject.restricted_at = subject.restricted_at.or(Some(now)),
            Objection::Uphold | Objection::Reject => subject.objected_at = None,
            Objection::LiftRestriction => subject.restricted_at = None,
        }
        let (objected, restricted) = (subject.objected_at, subject.restricted_at);
        tx.update_subject_flags(&loaded.row.subject_index, objected, restricted)
            .await?;
        Ok(())
    }
}
