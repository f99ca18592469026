//! The steps that move a handover without moving data: acknowledge, change, accept, decline, complete,
//! return, cancel.
//!
//! Must never take free text about a person: every answer is a code or a date.

use super::offer::decide_on;
use super::{Attempt, HandoverReceipt, Loaded, enter, judge, load_as};
use crate::Error;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use rules::clock::Timestamp;
use rules::handover::{
    Actor, CancelCode, DeclineCode, Event, MismatchKind, QuestionCode, ReturnCode, Step,
};
use rules::id::{HandoverId, Label, Party, RequestId};
use rules::policy::{Action, Stage};
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;

/// What is done to a handover.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The recipient has taken notice.
    AckNotification,
    /// The recipient asks for a change first.
    ProposeChange {
        /// The date proposed, if the question is about one.
        date: String,
        /// What is asked.
        question: QuestionCode,
    },
    /// The sender goes along.
    AcceptChange,
    /// The sender does not go along.
    RejectChange,
    /// The recipient does not take it.
    Decline {
        /// Why.
        code: DeclineCode,
        /// Who may be competent instead.
        other: Option<Party>,
    },
    /// The recipient takes it.
    Accept,
    /// The recipient's sealing key changed.
    RequestReseal,
    /// What was opened does not equal the manifest.
    ReportMismatch {
        /// The labels concerned.
        labels: Vec<Label>,
        /// What about them.
        kind: MismatchKind,
    },
    /// The recipient has had contact: responsibility moves.
    Complete {
        /// When.
        contact: String,
    },
    /// The recipient gives it back.
    Return {
        /// Why.
        code: ReturnCode,
    },
    /// The sender calls it off.
    Cancel {
        /// Why.
        code: CancelCode,
    },
}

impl Deed {
    /// The event in the table of states, and whose it is.
    #[must_use]
    pub fn event(&self) -> (Event, Actor) {
        match self {
            Self::AckNotification => (Event::AckNotification, Actor::Recipient),
            Self::ProposeChange { .. } => (Event::ProposeChange, Actor::Recipient),
            Self::AcceptChange => (Event::AcceptChange, Actor::Sender),
            Self::RejectChange => (Event::RejectChange, Actor::Sender),
            Self::Decline { .. } => (Event::Decline, Actor::Recipient),
            Self::Accept => (Event::Accept, Actor::Recipient),
            Self::RequestReseal => (Event::RequestReseal, Actor::Recipient),
            Self::ReportMismatch { .. } => (Event::ReportMismatch, Actor::Recipient),
            Self::Complete { .. } => (Event::Complete, Actor::Recipient),
            Self::Return { .. } => (Event::Return, Actor::Recipient),
            Self::Cancel { .. } => (Event::Cancel, Actor::Sender),
        }
    }

    /// The event's code, for the log and the inbox.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::ProposeChange { question, .. } => Some(question.code()),
            Self::RejectChange => Some(CancelCode::ChangeRejected.code()),
            Self::Decline { code, .. } => Some(code.code()),
            Self::Return { code } => Some(code.code()),
            Self::Cancel { code } => Some(code.code()),
            Self::ReportMismatch {
                kind: kind @ MismatchKind::Person,
                ..
            } => Some(kind.code()),
            Self::AckNotification
            | Self::AcceptChange
            | Self::Accept
            | Self::RequestReseal
            | Self::ReportMismatch { .. }
            | Self::Complete { .. } => None,
        }
    }

    /// Adds what is the same in a repeat: the numbers of codes and the texts of dates, parties and labels.
    /// The event's name, which says which of them follow, comes before.
    fn add_to(&self, fingerprint: &mut Fingerprint) {
        match self {
            Self::AckNotification
            | Self::AcceptChange
            | Self::RejectChange
            | Self::Accept
            | Self::RequestReseal => fingerprint,
            Self::ProposeChange { date, question } => fingerprint
                .add(date.as_bytes())
                .add(&question.number().to_be_bytes()),
            Self::Decline { code, other } => {
                let other = other.as_ref().map(ToString::to_string).unwrap_or_default();
                fingerprint
                    .add(&code.number().to_be_bytes())
                    .add(other.as_bytes())
            }
            Self::ReportMismatch { labels, kind } => fingerprint
                .add_labels(labels)
                .add(&kind.number().to_be_bytes()),
            Self::Complete { contact } => fingerprint.add(contact.as_bytes()),
            Self::Return { code } => fingerprint.add(&code.number().to_be_bytes()),
            Self::Cancel { code } => fingerprint.add(&code.number().to_be_bytes()),
        };
    }

    /// Whether it ends the handover or answers what the other side asked: that is never refused for how much there was.
    const fn ends_or_answers(&self) -> bool {
        match self {
            Self::AckNotification
            | Self::AcceptChange
            | Self::RejectChange
            | Self::Decline { .. }
            | Self::Accept
            | Self::Complete { .. }
            | Self::Return { .. }
            | Self::Cancel { .. } => true,
            Self::ProposeChange { .. } | Self::RequestReseal | Self::ReportMismatch { .. } => false,
        }
    }

    /// Whether the step brings the handover nearer to completion: then the agreement and the legal basis
    /// must stand at that instant. What ends a handover or reports a fault is never refused for theirs.
    const fn goes_on(&self) -> bool {
        match self {
            Self::ProposeChange { .. }
            | Self::AcceptChange
            | Self::Accept
            | Self::RequestReseal
            | Self::Complete { .. } => true,
            Self::AckNotification
            | Self::RejectChange
            | Self::Decline { .. }
            | Self::ReportMismatch { .. }
            | Self::Return { .. }
            | Self::Cancel { .. } => false,
        }
    }

    /// What the deed leaves behind in the handover.
    fn leave(&self, loaded: &mut Loaded, step: &Step, now: Timestamp) {
        let moves = loaded.state().is_ok_and(|state| state != step.state);
        let course = &mut loaded.body.course;
        // Why it waits or ended stays until something else is true.
        if let Some(code) = self.code().or(moves.then_some("")) {
            code.clone_into(&mut course.code);
        }
        match self {
            Self::AckNotification => {
                course.received_millis = course.received_millis.or(Some(now.millis()));
                loaded.row.undelivered_at = None;
            }
            Self::ProposeChange { date, .. } => {
                course.proposed_date.clone_from(date);
            }
            Self::Decline { other, .. } => {
                course.other_party = other.as_ref().map(ToString::to_string).unwrap_or_default();
            }
            Self::Complete { contact } => course.contact_date.clone_from(contact),
            Self::ReportMismatch { kind, .. } => {
                course.person_unequal |= *kind == MismatchKind::Person;
            }
            Self::AcceptChange
            | Self::RejectChange
            | Self::Accept
            | Self::RequestReseal
            | Self::Return { .. }
            | Self::Cancel { .. } => {}
        }
    }

    /// What is wrong with the deed itself.
    fn check(&self, room: &Room<'_>, loaded: &Loaded) -> Result<(), Refusal> {
        match self {
            Self::Complete { .. } if loaded.body.course.person_unequal => {
                Err(Reason::PersonUnequal.into())
            }
            Self::Complete { contact } => check_contact(room, loaded, contact),
            Self::ProposeChange { date, .. } => {
                match rules::handover::proposed_date(date, room.call.now) {
                    Outcome::Permitted(_) => Ok(()),
                    Outcome::Refused(refusal) => Err(refusal),
                }
            }
            Self::ReportMismatch { labels, kind } => {
                room.in_force.check_labels("labels", labels)?;
                if *kind == MismatchKind::Person && room.in_force.number_label(labels).is_none() {
                    let text = "names no label that holds a number of the person";
                    return Err(Refusal::about(Reason::LabelUnknown, "labels", text));
                }
                let foreign = labels
                    .iter()
                    .any(|label| !loaded.body.dossier_labels.contains(label));
                if labels.is_empty() || foreign {
                    let text = "names no label, or one that the dossier does not have";
                    return Err(Refusal::about(Reason::LabelUnknown, "labels", text));
                }
                Ok(())
            }
            Self::Cancel { code } if !code.is_for_sender() => Err(Refusal::about(
                Reason::CodeUnknown,
                "code",
                "is set by the broker, not by a sender",
            )),
            _ => Ok(()),
        }
    }
}

/// The contact lies on or after the day of the release and not after today: a promise of contact is
/// not a contact.
fn check_contact(room: &Room<'_>, loaded: &Loaded, contact: &str) -> Result<(), Refusal> {
    let released = loaded
        .body
        .course
        .released_millis
        .map(Timestamp::from_millis);
    let released = released.unwrap_or(room.call.now);
    match rules::handover::contact_date(contact, released, room.call.now) {
        Outcome::Permitted(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal),
    }
}

/// Asks the policies whether the exchange may still be had: agreement, region, register, basis and consent
/// as they are at this instant. Whether an objection makes the step wait is for the table to say.
fn still_permitted<T>(
    room: &Room<'_>,
    loaded: &Loaded,
    record: &mut Record,
) -> Result<(), Box<Verdict<T>>> {
    let body = &loaded.body;
    let labels: Vec<Label> = body
        .summary_labels
        .union(&body.dossier_labels)
        .cloned()
        .collect();
    let facts = loaded.facts(room).without_pause();
    decide_on(
        room,
        loaded,
        (Action::Fetch, Stage::Dossier),
        &labels,
        (&facts, record),
    )?;
    Ok(())
}

/// One step of one side.
#[derive(Clone, Debug)]
pub struct Act {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// The revision on which the caller decides, where the step needs one.
    pub expected_revision: Option<i64>,
    /// What is done.
    pub deed: Deed,
}

impl Command for Act {
    type Reply = HandoverReceipt;

    fn name(&self) -> &'static str {
        let (event, _) = self.deed.event();
        event.name()
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(self.name().as_bytes())
            .add(self.handover.bytes())
            .add(&self.expected_revision.unwrap_or(0).to_be_bytes());
        self.deed.add_to(&mut fingerprint);
        Some((self.request_id, fingerprint))
    }

    /// Declining, returning and calling off end something.
    fn outlives_directory(&self) -> bool {
        self.passes_shut_door() || !self.deed.goes_on()
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let (event, actor) = self.deed.event();
        let mut loaded = match load_as(room, tx, self.handover, actor).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        record.event_code = self.deed.code();
        let attempt = Attempt {
            event,
            actor,
            expected_revision: self.expected_revision,
        };
        let step = match judge(room, &loaded, attempt)? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        if !self.deed.ends_or_answers()
            && let Err(refusal) = loaded.count_line(room, tx).await?
        {
            return Ok(Verdict::refused(refusal, record));
        }
        if let Err(refusal) = self.deed.check(room, &loaded) {
            return Ok(Verdict::refused(refusal, record));
        }
        if self.deed.goes_on()
            && let Err(verdict) = still_permitted(room, &loaded, &mut record)
        {
            return Ok(*verdict);
        }
        if let Deed::ReportMismatch { labels, kind } = &self.deed {
            record.labels.clone_from(labels);
            record.finding = Some(match kind {
                MismatchKind::Fields => "MISMATCH",
                MismatchKind::Person => "MISMATCH_PERSON",
            });
        }
        self.deed.leave(&mut loaded, &step, room.call.now);
        enter(room, tx, &mut loaded, &step).await?;
        Ok(Verdict::permitted(loaded.receipt()?, record))
    }

    fn receipt(&self, reply: &HandoverReceipt) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<HandoverReceipt, Error> {
        HandoverReceipt::replay(receipt)
    }
}
