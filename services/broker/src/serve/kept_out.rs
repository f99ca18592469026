//! To whom the door is shut, and why: after a restoration, and under a directory past its end.
//!
//! Must never keep out what stops something.

use super::{Command, Room, Served, Serving, Verdict};
use crate::Error;
use crate::call::can_stop;
use crate::record::Record;
use rules::id::PeerKind;
use rules::reason::Reason;
use store::Tx;
use store::directory::{Asking, InForce as InForceNow};

impl<C: Command> Serving<'_, C> {
    pub(super) fn asking(&self) -> Asking {
        let (caller, keys) = (&self.room.call.caller, self.room.broker.keys());
        Asking {
            organisation: keys.organisation_tag(&caller.party.oin),
            desk: can_stop(caller.kind).then(|| keys.caller_tag(caller)),
        }
    }

    /// Why the door is shut to this command: the database was restored, and what was stopped since the backup may
    /// still seem to stand, at all or for the caller's organisation; or the directory is past its end, which keeps nobody
    /// from the broker's own work.
    pub(super) fn kept_out(&self, current: Option<InForceNow>) -> Option<Reason> {
        let current = current?;
        if current.is_shut && !self.command.passes_shut_door() {
            return Some(Reason::Restoring);
        }
        if current.is_barred && !self.command.passes_shut_door() {
            return Some(Reason::StopUnreadable);
        }
        let Room { call, in_force, .. } = &self.room;
        let has_ended = in_force.directory.has_ended(call.now)
            && call.caller.kind != PeerKind::Broker
            && !self.command.outlives_directory();
        has_ended.then_some(Reason::DirectoryExpired)
    }

    /// The refusal at the shut door. It is no outcome of the request: the same request is decided anew later.
    pub(super) async fn keep_out(
        &self,
        tx: &mut Tx<'_>,
        reason: Reason,
    ) -> Result<Served<C::Reply>, Error> {
        let verdict = Verdict::<C::Reply>::refused(reason, Record::default());
        let entry = self
            .room
            .write_entry(tx, self.command.name(), &verdict.record)
            .await?;
        Ok(Served {
            outcome: verdict.outcome,
            entry,
        })
    }
}
