//! A handover as either side sees it.
//!
//! Must never show a party what the other side alone knows.

use super::body::Body;
use super::{Loaded, load};
use crate::Error;
use crate::notice::{self, NoticeView};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict, looks_up};
use rules::clock::Timestamp;
use rules::handover::State;
use rules::id::{HandoverId, NoticeId};
use rules::limits::PAGE_ROWS_DEFAULT;
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
    /// A page of the notices about it, oldest first.
    pub notices: Vec<NoticeView>,
    /// Whether there are more notices behind this page.
    pub more_notices: bool,
}

/// Reads a handover.
#[derive(Clone, Copy, Debug)]
pub struct GetHandover {
    /// Which.
    pub handover: HandoverId,
    /// The last notice of the page before; none for the first page.
    pub notices_after: Option<NoticeId>,
}

impl Command for GetHandover {
    type Reply = HandoverView;
    looks_up!();

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
        let rows_max = i64::from(PAGE_ROWS_DEFAULT);
        let mut rows = tx
            .notice_page(
                self.handover,
                self.notices_after,
                rows_max.saturating_add(1),
            )
            .await?;
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > rows_max;
        rows.truncate(usize::try_from(rows_max).unwrap_or(usize::MAX));
        let notices = rows
            .iter()
            .map(|row| notice::view(room, &loaded, row))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Verdict::permitted(show(loaded, (notices, more))?, record))
    }
}

fn show(
    loaded: Loaded,
    (notices, more_notices): (Vec<NoticeView>, bool),
) -> Result<HandoverView, Error> {
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
        more_notices,
    })
}
