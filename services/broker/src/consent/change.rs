//! Narrowing a consent, and reading one.
//!
//! Must never make a consent wider.

use super::register::{Registered, Registration, record_of};
use super::successor;
use super::{Stored, load, need_portal, open_statement, save};
use crate::Error;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict, looks_up};
use rules::audit::Audience;
use rules::consent::{ConsentState, check_narrowed};
use rules::id::{ConsentId, RequestId};
use rules::reason::{Outcome, Reason};
use store::Tx;

/// Makes a consent narrower: what is fetched from now on is the manifest less what is gone.
#[derive(Clone, Debug)]
pub struct NarrowConsent {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The new statement, a compact JWS.
    pub statement_jws: String,
}

impl Command for NarrowConsent {
    type Reply = Registration;

    fn name(&self) -> &'static str {
        "NarrowConsent"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"NarrowConsent")
            .add(self.statement_jws.as_bytes());
        Some((self.request_id, fingerprint))
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Registration>, Error> {
        if let Err(refusal) = need_portal(room.call) {
            return Ok(Verdict::refused(refusal, Record::default()));
        }
        let signed = match open_statement(room.call, &self.statement_jws) {
            Ok(signed) => signed,
            Err(refusal) => return Ok(Verdict::refused(refusal, Record::default())),
        };
        let mut record = record_of(&signed);
        let Some(mut stored) = load(room, tx, signed.statement.record.id).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        record.person = Some(person(room, &stored));
        if let Outcome::Refused(refusal) =
            check_narrowed(&stored.record, &signed.statement, room.call.now)
        {
            return Ok(Verdict::refused(refusal, record));
        }
        stored.advance(ConsentState::Given, Some(&signed));
        save(room, tx, &mut stored).await?;
        let (id, index) = (stored.record.id, &stored.row.subject_index);
        let narrowed = Registration {
            registered: Registered::of(&stored),
            sealed_subject: successor::seal(room.broker.keys(), room.call, id, index)?,
        };
        Ok(Verdict::permitted(narrowed, record))
    }

    fn receipt(&self, reply: &Registration) -> Receipt {
        Receipt {
            sealed_person: rules::hex::encode(&reply.sealed_subject),
            ..reply.registered.stored()
        }
    }

    fn replay(&self, receipt: Receipt) -> Result<Registration, Error> {
        Ok(Registration {
            registered: Registered::replay(&receipt)?,
            sealed_subject: rules::hex::decode(&receipt.sealed_person)
                .ok_or(Error::Malformed("a stored outcome"))?,
        })
    }
}

/// Tag of the person of a record.
pub(super) fn person(room: &Room<'_>, stored: &Stored) -> rules::id::Tag {
    room.broker.keys().tag("subject", &stored.row.subject_index)
}

/// Reads one record, for the portal.
#[derive(Clone, Copy, Debug)]
pub struct GetConsent {
    /// The record.
    pub consent: ConsentId,
}

impl Command for GetConsent {
    type Reply = Stored;
    looks_up!();

    fn name(&self) -> &'static str {
        "GetConsent"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Stored>, Error> {
        let mut record = Record {
            audience: Audience::Caller,
            ..Record::default()
        };
        if let Err(refusal) = need_portal(room.call) {
            return Ok(Verdict::refused(refusal, record));
        }
        let Some(mut stored) = load(room, tx, self.consent).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        record.person = Some(person(room, &stored));
        record.consent = Some((stored.record.id, stored.record.version));
        stored.record.state = stored.record.state_at(room.call.now);
        Ok(Verdict::permitted(stored, record))
    }
}
