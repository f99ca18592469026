//! Withdrawal: from the moment its answer is given, nothing is released on the consent.
//!
//! Must never need a holder, must never be refused for lag or staleness, and must never do more than end the record
//! and raise the person's stop number: what that ends follows ([`crate::consequence`]).

use super::change::person;
use super::register::record_of;
use super::successor::{self, SEALED_SUBJECT_BYTES, end_replaced};
use super::{
    Signed, Stored, WRONG_CODES_MAX, load, need_portal, open_statement, save, wrong_codes_since,
};
use crate::Error;
use crate::call::Call;
use crate::consequence::{Cause, stop};
use crate::feed;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use rules::audit::Audience;
use rules::consent::{ConsentState, StopCode, check_withdrawn};
use rules::feed::FeedKind;
use rules::id::{ConsentId, PeerKind, RequestId, Tag};
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;
use store::consequence::Concerned;

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
    /// A consent that replaced it and that this broker may have lost: the person's row as the caller was given it.
    Successor([u8; SEALED_SUBJECT_BYTES]),
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Open handovers that ended.
    pub ended_handovers: u32,
    /// Handovers, those and ended ones of which something was opened, whose keys, inboxes and notices follow within
    /// seconds.
    pub to_follow: u32,
    /// The person's row, sealed for a gateway that loses the record ([`successor`]).
    pub sealed_subject: Vec<u8>,
}

impl From<Concerned> for Withdrawn {
    fn from(concerned: Concerned) -> Self {
        Self {
            ended_handovers: u32::try_from(concerned.open).unwrap_or(u32::MAX),
            to_follow: u32::try_from(concerned.all).unwrap_or(u32::MAX),
            sealed_subject: Vec::new(),
        }
    }
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
            Named::Successor(sealed) => fingerprint.add(sealed),
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
            Named::Successor(sealed) => return end_replaced(room, tx, sealed).await,
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
            let done = Withdrawn::default().sealed(room, &found.stored)?;
            return Ok(Verdict::permitted(done, record));
        }
        let cause = (found.signed.as_ref(), Cause::Withdrawn);
        let done = end(room, tx, &mut found.stored, cause).await?;
        record.consent = Some((found.stored.record.id, found.stored.record.version));
        if found.signed.is_none() {
            tell_portal(room, tx, &found.stored).await?;
        }
        Ok(Verdict::permitted(
            done.sealed(room, &found.stored)?,
            record,
        ))
    }

    fn receipt(&self, reply: &Withdrawn) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<Withdrawn, Error> {
        Withdrawn::replay(&receipt)
    }
}

impl Withdrawn {
    /// With the person's row, sealed for the caller.
    ///
    /// # Errors
    /// When the cipher fails.
    pub(super) fn sealed(self, room: &Room<'_>, stopped: &Stored) -> Result<Self, Error> {
        let (record, index) = (stopped.record.id, &stopped.row.subject_index);
        Ok(Self {
            sealed_subject: successor::seal(room.broker.keys(), room.call, record, index)?,
            ..self
        })
    }

    pub(super) fn stored(&self) -> Receipt {
        Receipt {
            sealed_person: rules::hex::encode(&self.sealed_subject),
            state: i64::from(self.ended_handovers),
            revision: i64::from(self.to_follow),
            ..Receipt::default()
        }
    }

    pub(super) fn replay(receipt: &Receipt) -> Result<Self, Error> {
        let number =
            |value: i64| u32::try_from(value).map_err(|_| Error::Malformed("a stored outcome"));
        Ok(Self {
            sealed_subject: rules::hex::decode(&receipt.sealed_person)
                .ok_or(Error::Malformed("a stored outcome"))?,
            ended_handovers: number(receipt.state)?,
            to_follow: number(receipt.revision)?,
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
    if has_stopped(stored.record.state) {
        let signed = Some(signed);
        return Ok(Ok(Found {
            stored,
            signed,
            record,
        }));
    }
    let is_replaced = stored.record.state == ConsentState::Superseded;
    let mut as_it_stood = stored.record.clone();
    if is_replaced {
        as_it_stood.state = ConsentState::Given;
        // It got another version when it was replaced, which the person may not have seen.
        as_it_stood.version = as_it_stood.version.saturating_sub(1);
    }
    if let Outcome::Refused(refusal) =
        check_withdrawn(&as_it_stood, &signed.statement, room.call.now)
    {
        return Ok(Err(Verdict::refused(refusal, record)));
    }
    if !is_replaced {
        let signed = Some(signed);
        return Ok(Ok(Found {
            stored,
            signed,
            record,
        }));
    }
    // What a desk put in its place the person may not have seen. What they gave at the portal themselves they have: of two
    // screens the later word stands.
    let current = follow(room, tx, stored.record.id).await?;
    Ok(
        match current.filter(|current| current.record.assisted_by.is_some()) {
            Some(stored) => Ok(Found {
                stored,
                signed: None,
                record,
            }),
            None => Err(Verdict::refused(Reason::ConsentNotActive, record)),
        },
    )
}

async fn by_code(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    code: &StopCode,
    source: Option<&[u8; 32]>,
) -> Result<Result<Found, Verdict<Withdrawn>>, Error> {
    let record = Record {
        audience: Audience::Caller,
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
    let found = match tx.consent_by_stop_tag(&room.broker.stop_tag(code)).await? {
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

/// What came in the place of a record that was replaced: a code stops it, and a statement where a desk registered it,
/// because the person wants the sharing to stop. Only a record that can be stopped or was stopped is found.
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

/// Ends a record and all that was made in its relation up to now: for good, by whoever may. The person's row is locked
/// already, as [`load`] does.
///
/// # Errors
/// When the database or a seal fails.
pub(super) async fn end(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    stored: &mut Stored,
    (statement, cause): (Option<&Signed>, Cause),
) -> Result<Withdrawn, Error> {
    let index = stored.row.subject_index;
    let state = match cause {
        Cause::Invalidated => ConsentState::Invalidated,
        _ => ConsentState::Withdrawn,
    };
    stored.advance(state, statement);
    save(room, tx, stored).await?;
    let subject = tx.lock_subject(&index).await?;
    let subject = subject.ok_or(Error::Malformed("a consent without its person"))?;
    Ok(stop(room, tx, &index, (&subject, cause)).await?.into())
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
    let keys = room.broker.keys();
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
    let attempt = RequestId::draw(room.broker.clock(), room.broker.random());
    tx.insert_wrong_code(attempt, source, now, wrong_codes_since(now))
        .await?;
    Ok(())
}
