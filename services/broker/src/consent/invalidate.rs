//! Invalidation: a controller finds that a consent was not free or not informed (AVG article 4(11)).
//!
//! Must never be another way to look for somebody: to whoever may not decide about a record, it is not
//! there. Must never leave something open that was made in the relation before.

use super::change::person;
use super::load;
use super::withdraw::{Withdrawn, end, tell_portal};
use crate::Error;
use crate::consequence::Cause;
use crate::decision::oversee;
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use rules::audit::Audience;
use rules::consent::{ConsentState, apply};
use rules::id::{ConsentId, RequestId};
use rules::policy::OversightAction;
use rules::reason::{Outcome, Reason};
use store::Tx;

/// Finds a consent invalid.
#[derive(Clone, Copy, Debug)]
pub struct InvalidateConsent {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// Which consent.
    pub consent: ConsentId,
}

impl Command for InvalidateConsent {
    type Reply = Withdrawn;

    fn name(&self) -> &'static str {
        "InvalidateConsent"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"InvalidateConsent")
            .add(self.consent.bytes());
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
        let stored = load(room, tx, self.consent).await?;
        let caller = &room.call.caller.party.oin;
        let own = stored.as_ref().is_some_and(|stored| {
            *caller == stored.record.sender.oin || *caller == stored.record.recipient.oin
        });
        let mut record = Record {
            audience: Audience::Caller,
            ..Record::default()
        };
        if let Err(refusal) = oversee(room, OversightAction::InvalidateConsent, own, &mut record) {
            // An officer is told alike of a record that is another's and of one that does not exist.
            return Ok(match refusal.reason {
                Reason::RightMissing => Verdict::refused(refusal, record),
                precise => Verdict::hidden(precise, record),
            });
        }
        let Some(mut stored) = stored else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        record.person = Some(person(room, &stored));
        record.sender = Some(stored.record.sender.clone());
        record.recipient = Some(stored.record.recipient.clone());
        record.purpose = Some(stored.record.purpose.clone());
        record.consent = Some((stored.record.id, stored.record.version));
        if let Outcome::Refused(refusal) = apply(stored.record.state, ConsentState::Invalidated) {
            return Ok(Verdict::refused(refusal, record));
        }
        let done = end(room, tx, &mut stored, (None, Cause::Invalidated)).await?;
        record.consent = Some((stored.record.id, stored.record.version));
        tell_portal(room, tx, &stored).await?;
        Ok(Verdict::permitted(done.sealed(room, &stored)?, record))
    }

    fn receipt(&self, reply: &Withdrawn) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<Withdrawn, Error> {
        Withdrawn::replay(&receipt)
    }
}
