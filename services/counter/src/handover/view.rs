//! A handover as either side sees it.
//!
//! Must never show a party what the other side alone knows.

use super::body::Body;
use super::{Loaded, load};
use crate::Error;
use crate::notice::{self, NoticeView};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::clock::Timestamp;
use rules::handover::State;
use rules::id::HandoverId;
use rules::reason::Reason;
use store::Tx;

/// A handover as it stands.
#[derive(Clone, Debug)]
pub struct HandoverView {
    /// The handover.
    pub handover: HandoverId,
    /// Its state.
    pub state: State,
    /// Its revision.
    pub revision: i64,
    /// What it is about.
    pub body: Body,
    /// When it came into its state.
    pub entered_at: Timestamp,
    /// Until when it may stay there.
    pub deadline: Option<Timestamp>,
    /// Whether an objection is pending.
    pub objection_pending: bool,
    /// Whether processing is restricted.
    pub restricted: bool,
    /// Notices about it, oldest first.
    pub notices: Vec<NoticeView>,
}

/// Reads a handover.
#[derive(Clone, Copy, Debug)]
pub struct GetHandover {
    /// Which.
    pub handover: HandoverId,
}

impl Command for GetHandover {
    type Reply = HandoverView;

    fn name(&self) -> &'static str {
        "GetHandover"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverView>, Error> {
        let Some(loaded) = load(room, tx, self.handover).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        if loaded.side(&room.call.caller.party).is_none() {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        }
        let record = loaded.record(room);
        let notices = tx
            .notices_of_handover(self.handover)
            .await?
            .iter()
            .map(|row| notice::view(room, row))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Verdict::permitted(show(loaded, notices)?, record))
    }
}

fn show(loaded: Loaded, notices: Vec<NoticeView>) -> Result<HandoverView, Error> {
    Ok(HandoverView {
        handover: loaded.row.handover_id,
        state: loaded.state()?,
        revision: loaded.row.revision,
        entered_at: loaded.row.entered_at,
        deadline: loaded.row.deadline_at,
        objection_pending: loaded.subject.objected_at.is_some(),
        restricted: loaded.subject.restricted_at.is_some(),
        body: loaded.body,
        notices,
    })
}
