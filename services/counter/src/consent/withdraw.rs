//! Withdrawal: from the moment its answer is given, nothing is released on the consent.
//!
//! Must never need a holder, must never be refused for lag or staleness, and must never leave an open
//! handover of the relation behind: they end in the same transaction, their keys with them.

use super::change::person;
use super::register::record_of;
use super::successor::{Successor, end_replaced};
use super::{
    Signed, Stored, WRONG_CODES_MAX, load, need_portal, open_statement, save, wrong_codes_since,
};
use crate::Error;
use crate::call::Call;
use crate::feed::{self, Told};
use crate::handover::{self, Attempt, enter, judge};
use crate::notice;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use rules::consent::{ConsentState, StopCode, check_withdrawn};
use rules::feed::FeedKind;
use rules::handover::{Actor, CancelCode, Event};
use rules::id::{ConsentId, PeerKind, RequestId, Tag};
use rules::notice::NoticeKind;
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;

/// By what the consent is named.
#[derive(Clone, Debug)]
pub enum Named {
    /// The signed withdrawal, a compact JWS: by the portal.
    Statement(String),
    /// The stop code on the consent statement: by anybody who holds it.
    StopCode {
        /// The code.
        code: StopCode,
        /// From the portal: digest of where it was typed in.
        source: Option<[u8; 32]>,
    },
    /// The consent that replaced it and that this broker may have lost.
    Successor(Successor),
}

/// Stops the sharing.
#[derive(Clone, Debug)]
pub struct WithdrawConsent {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// Which consent.
    pub named: Named,
}

/// What a withdrawal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Open handovers that ended.
    pub ended_handovers: u32,
    /// Notices sent to recipients that had opened something.
    pub notices: u32,
}

impl Command for WithdrawConsent {
    type Reply = Withdrawn;

    fn name(&self) -> &'static str {
        "WithdrawConsent"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(b"WithdrawConsent");
        match &self.named {
            Named::Statement(jws) => fingerprint.add(jws.as_bytes()),
            Named::StopCode { code, .. } => fingerprint.add(code.canonical().as_bytes()),
            Named::Successor(lost) => fingerprint.add(&lost.sealed_subject),
        };
        Some((self.request_id, fingerprint))
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Withdrawn>, Error> {
        let found = match &self.named {
            Named::Statement(jws) => by_statement(room, tx, jws).await?,
            Named::StopCode { code, source } => by_code(room, tx, code, source.as_ref()).await?,
            Named::Successor(lost) => return end_replaced(room, tx, lost).await,
        };
        let mut found = match found {
            Ok(found) => found,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = found.record;
        record.person = Some(person(room, &found.stored));
        record.sender = Some(found.stored.record.sender.clone());
        record.recipient = Some(found.stored.record.recipient.clone());
        record.purpose = Some(found.stored.record.purpose.clone());
        if has_stopped(found.stored.record.state) {
            // Stopping twice is stopping once; a withdrawal sent again after a restore ends here too.
            record.consent = Some((found.stored.record.id, found.stored.record.version));
            return Ok(Verdict::permitted(Withdrawn::default(), record));
        }
        found
            .stored
            .advance(ConsentState::Withdrawn, found.signed.as_ref());
        record.consent = Some((found.stored.record.id, found.stored.record.version));
        save(room, tx, &mut found.stored).await?;
        let done = stop(room, tx, &found.stored.row.subject_index, &WITHDRAWAL).await?;
        if !matches!(self.named, Named::Statement(_)) {
            tell_portal(room, tx, &found.stored).await?;
        }
        Ok(Verdict::permitted(done, record))
    }

    fn receipt(&self, reply: &Withdrawn) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<Withdrawn, Error> {
        Withdrawn::replay(&receipt)
    }
}

impl Withdrawn {
    pub(super) fn stored(self) -> Receipt {
        Receipt {
            state: i64::from(self.ended_handovers),
            revision: i64::from(self.notices),
            ..Receipt::default()
        }
    }

    pub(super) fn replay(receipt: &Receipt) -> Result<Self, Error> {
        let number =
            |value: i64| u32::try_from(value).map_err(|_| Error::Malformed("a stored outcome"));
        Ok(Self {
            ended_handovers: number(receipt.state)?,
            notices: number(receipt.revision)?,
        })
    }
}

/// Whether all that a withdrawal does was done before: by the person, or by a controller that found the
/// consent invalid.
const fn has_stopped(state: ConsentState) -> bool {
    matches!(state, ConsentState::Withdrawn | ConsentState::Invalidated)
}

/// The record that is meant, with the statement that stops it if there is one.
struct Found {
    stored: Stored,
    signed: Option<Signed>,
    record: Record,
}

async fn by_statement(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    jws: &str,
) -> Result<Result<Found, Verdict<Withdrawn>>, Error> {
    let refused = |refusal| Ok(Err(Verdict::refused(refusal, Record::default())));
    if let Err(refusal) = need_portal(room.call) {
        return refused(refusal);
    }
    let signed = match open_statement(room.call, jws) {
        Ok(signed) => signed,
        Err(refusal) => return refused(refusal),
    };
    let record = record_of(&signed);
    let Some(stored) = load(room, tx, signed.statement.record.id).await? else {
        return Ok(Err(Verdict::hidden(Reason::NotAvailable, record)));
    };
    let again = has_stopped(stored.record.state);
    match check_withdrawn(&stored.record, &signed.statement, room.call.now) {
        Outcome::Refused(refusal) if !again => Ok(Err(Verdict::refused(refusal, record))),
        _ => Ok(Ok(Found {
            stored,
            signed: Some(signed),
            record,
        })),
    }
}

async fn by_code(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    code: &StopCode,
    source: Option<&[u8; 32]>,
) -> Result<Result<Found, Verdict<Withdrawn>>, Error> {
    let record = Record {
        event_code: Some("STOP_CODE"),
        ..Record::default()
    };
    let source = match source_tag(room, source) {
        Ok(tag) => tag,
        Err(refusal) => return Ok(Err(Verdict::refused(refusal, record))),
    };
    if let Some(refusal) = exhausted(room, tx, source).await? {
        return Ok(Err(Verdict::refused(refusal, record)));
    }
    let found = match tx.consent_by_stop_tag(&room.counter.stop_tag(code)).await? {
        Some(id) => follow(room, tx, id).await?,
        None => None,
    };
    let Some(stored) = found else {
        count_wrong(room, tx, source).await?;
        return Ok(Err(Verdict::hidden(Reason::NotAvailable, record)));
    };
    Ok(Ok(Found {
        stored,
        signed: None,
        record,
    }))
}

/// A code on paper still stops what replaced its record: the person wants the sharing to stop. Only a
/// record that can be stopped or was stopped is found.
async fn follow(room: &Room<'_>, tx: &mut Tx<'_>, id: ConsentId) -> Result<Option<Stored>, Error> {
    let Some(stored) = load(room, tx, id).await? else {
        return Ok(None);
    };
    let stored = if stored.record.state == ConsentState::Superseded {
        let subject = tx.lock_subject(&stored.row.subject_index).await?;
        match subject.and_then(|subject| subject.consent) {
            Some(current) => load(room, tx, current).await?,
            None => None,
        }
    } else {
        Some(stored)
    };
    Ok(stored.filter(|stored| {
        stored.record.state == ConsentState::Given || has_stopped(stored.record.state)
    }))
}

/// How a consent that ends takes its handovers along.
pub(super) struct Ending {
    /// What happens to each of them.
    pub(super) event: Event,
    /// By whom.
    pub(super) actor: Actor,
    /// What those who opened something are told, also where the handover had ended before.
    pub(super) notice: NoticeKind,
    /// Why, where both sides may know.
    pub(super) code: Option<CancelCode>,
}

pub(super) const WITHDRAWAL: Ending = Ending {
    event: Event::Withdraw,
    actor: Actor::Candidate,
    notice: NoticeKind::Withdrawal,
    code: None,
};

/// Ends every open handover of a person in a relation that rests on consent, and sends a notice about each
/// ended one of which something was opened.
pub(super) async fn stop(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    subject: &[u8; 32],
    ending: &Ending,
) -> Result<Withdrawn, Error> {
    let mut done = Withdrawn::default();
    // Those that end here send their own notices.
    let ended_before = tx.ended_handovers_opened_of_subject(subject).await?;
    for id in tx.open_handovers_of_subject(subject).await? {
        let Some(mut open) = handover::load(room, tx, id).await? else {
            continue;
        };
        let attempt = Attempt {
            event: ending.event,
            actor: ending.actor,
            expected_revision: None,
        };
        if let Outcome::Permitted(step) = judge(room, &open, attempt)? {
            if let Some(code) = ending.code {
                code.code().clone_into(&mut open.body.course.code);
            }
            done.notices += u32::from(open.row.opened_at.is_some());
            enter(room, tx, &mut open, &step).await?;
            done.ended_handovers += 1;
        }
    }
    for id in ended_before {
        let Some(ended) = handover::load(room, tx, id).await? else {
            continue;
        };
        if is_still_kept(room, &ended) && !has_notice(tx, &ended, ending.notice).await? {
            notice::start(room, tx, &ended, ending.notice).await?;
            done.notices += 1;
        }
    }
    Ok(done)
}

/// Whether the register still lets the recipient keep what it opened; after that there is nothing left to
/// erase. An entry that is gone does not let it keep anything, but it may still hold it.
fn is_still_kept(room: &Room<'_>, ended: &handover::Loaded) -> bool {
    let kept_days = room
        .in_force
        .entry(&ended.body)
        .map_or(u32::MAX, |entry| entry.retention_days);
    let kept_millis = i64::from(kept_days).saturating_mul(rules::limits::DAY_MILLIS);
    ended.row.entered_at.millis().saturating_add(kept_millis) > room.call.now.millis()
}

async fn has_notice(
    tx: &mut Tx<'_>,
    ended: &handover::Loaded,
    kind: NoticeKind,
) -> Result<bool, Error> {
    let notices = tx.notices_of_handover(ended.row.handover_id).await?;
    let kind = i64::from(kind.number());
    Ok(notices.iter().any(|notice| notice.kind == kind))
}

/// The portal is told of a consent that ended without it, which it could not know.
pub(super) async fn tell_portal(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    stored: &Stored,
) -> Result<(), Error> {
    let record = &stored.record;
    let told = Told {
        exchange: *record.id.bytes(),
        introduction: None,
        kind: FeedKind::Consent,
        sender: record.sender.clone(),
        recipient: record.recipient.clone(),
        purpose: record.purpose.clone(),
        basis: (String::new(), String::new()),
        labels: Vec::new(),
        code: record.state.code().to_owned(),
    };
    feed::write(room, tx, &told).await
}

/// Under which tag a caller's wrong codes count: its desk, or the source that the portal names.
pub(crate) fn source_tag(room: &Room<'_>, source: Option<&[u8; 32]>) -> Result<Tag, Refusal> {
    let keys = room.counter.keys();
    let call: &Call = room.call;
    match (call.caller.kind == PeerKind::Portal, source) {
        (true, Some(source)) => Ok(keys.tag("code-source", source)),
        (false, None) => Ok(keys.caller_tag(&call.caller)),
        (true, None) => Err(Refusal::about(
            Reason::InvalidRequest,
            "source_sha256",
            "must be there: the portal says where a code was typed in",
        )),
        (false, Some(_)) => Err(Refusal::about(
            Reason::InvalidRequest,
            "source_sha256",
            "is for the portal only",
        )),
    }
}

/// A refusal when a source has tried too many wrong codes of late.
pub(crate) async fn exhausted(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    source: Tag,
) -> Result<Option<Refusal>, Error> {
    let wrong = tx
        .wrong_codes(source, wrong_codes_since(room.call.now))
        .await?;
    Ok((wrong >= WRONG_CODES_MAX).then(|| Refusal::new(Reason::TriesExhausted)))
}

/// Counts a wrong code against its source.
pub(crate) async fn count_wrong(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    source: Tag,
) -> Result<(), Error> {
    let now = room.call.now;
    let attempt = RequestId::draw(room.counter.clock(), room.counter.random());
    tx.insert_wrong_code(attempt, source, now, wrong_codes_since(now))
        .await?;
    Ok(())
}
