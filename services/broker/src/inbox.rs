//! Inboxes: what happened, for one party, in that party's own order, behind one cursor.
//!
//! Must never tell a party anything about a handover that is not its own, nor how busy others are.

use crate::Error;
use crate::broker::{Broker, Keys};
use crate::call::{Answer, Call};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict, looks_up};
use rules::clock::Timestamp;
use rules::handover::InboxKind;
use rules::id::{HandoverId, NoticeId, Party, Purpose, Tag};
use rules::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use rules::notice::NoticeKind;
use rules::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;
use store::inbox::InboxRow;
use store::{Queue, Tx};
use vault::rest::Place;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxItem {
    /// What.
    pub kind: InboxKind,
    /// In which handover.
    pub handover: HandoverId,
    /// The handover's revision then.
    pub revision: i64,
    /// When.
    pub time: Timestamp,
    /// The notice, for kinds about one.
    pub notice: Option<(NoticeId, NoticeKind)>,
    /// The event's code, where it has one.
    pub code: String,
    /// The purpose.
    pub purpose: Purpose,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: i32,
    handover: String,
    revision: i64,
    notice: Option<(String, i32)>,
    code: String,
    purpose: String,
}

fn place(position_bytes: &[u8; 24]) -> Place<'_> {
    Place {
        table: "inbox",
        row: position_bytes,
        column: "body",
    }
}

/// The row's name in its seal: party tag and position.
fn row_name(party: Tag, position: i64) -> [u8; 24] {
    let mut name = [0; 24];
    let (tag, place) = name.split_at_mut(16);
    tag.copy_from_slice(party.bytes());
    place.copy_from_slice(&position.to_be_bytes());
    name
}

/// Puts an item in a party's inbox, in the transaction of what it tells.
///
/// # Errors
/// When the database or the seal fails.
pub async fn deliver(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    to: &Party,
    item: &InboxItem,
) -> Result<(), Error> {
    let keys = room.broker.keys();
    let party = keys.party_tag(to);
    let position = tx.next_inbox_position(party).await?;
    let stored = Stored {
        kind: item.kind.number(),
        handover: item.handover.to_string(),
        revision: item.revision,
        notice: item
            .notice
            .map(|(id, kind)| (id.to_string(), kind.number())),
        code: item.code.clone(),
        purpose: item.purpose.to_string(),
    };
    let plain = serde_json::to_vec(&stored).map_err(|_| Error::Malformed("an inbox item"))?;
    let body = keys.seal(&place(&row_name(party, position)), &plain)?;
    let row = InboxRow {
        position,
        created_at: item.time,
        body,
    };
    tx.insert_inbox_item(party, &row).await?;
    let mut told = room.told.lock().unwrap_or_else(PoisonError::into_inner);
    told.push(party);
    Ok(())
}

fn open(keys: &Keys, party: Tag, row: &InboxRow) -> Result<InboxItem, Error> {
    let wrong = || Error::Malformed("an inbox item");
    let plain = keys.open(&place(&row_name(party, row.position)), &row.body)?;
    let stored: Stored = serde_json::from_slice(&plain).map_err(|_| wrong())?;
    let notice = stored
        .notice
        .map(|(id, kind)| {
            Ok::<_, Error>((
                id.parse().map_err(|_| wrong())?,
                NoticeKind::from_number(kind).ok_or_else(wrong)?,
            ))
        })
        .transpose()?;
    Ok(InboxItem {
        kind: InboxKind::from_number(stored.kind).ok_or_else(wrong)?,
        handover: stored.handover.parse().map_err(|_| wrong())?,
        revision: stored.revision,
        time: row.created_at,
        notice,
        code: stored.code,
        purpose: stored.purpose.parse().map_err(|_| wrong())?,
    })
}

/// Where a reader is in its own inbox. Its text is authenticated and bound to the party, so that
/// nobody reads another's place from it or moves it to another inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// The beginning.
    pub const START: Self = Self(0);

    fn text(self, keys: &Keys, party: Tag) -> String {
        let mut octets = self.0.to_be_bytes().to_vec();
        octets.extend_from_slice(keys.tag("cursor", &row_name(party, self.0)).bytes());
        rules::hex::encode(&octets)
    }

    /// Reads a cursor that this broker gave this party; empty text is the beginning.
    fn read(text: &str, keys: &Keys, party: Tag) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::START);
        }
        let wrong = || {
            Refusal::about(
                Reason::PageTokenInvalid,
                "cursor",
                "not a cursor of this inbox",
            )
        };
        let octets = rules::hex::decode(text).ok_or_else(wrong)?;
        let (position, tag) = octets.split_first_chunk::<8>().ok_or_else(wrong)?;
        let position = i64::from_be_bytes(*position);
        let right = keys.tag("cursor", &row_name(party, position));
        if Tag::from_slice(tag) == Some(right) {
            Ok(Self(position))
        } else {
            Err(wrong())
        }
    }
}

/// A page of an inbox.
#[derive(Clone, Debug)]
pub struct InboxPage {
    /// The items, oldest first, each with the cursor behind it.
    pub items: Vec<(InboxItem, String)>,
    /// The cursor behind the page.
    pub cursor: String,
    /// Whether there is more already.
    pub more: bool,
}

/// Lists what happened since a cursor (`ListInbox`; and, item by item, `WatchInbox`).
#[derive(Clone, Debug)]
pub struct ListInbox {
    /// From an earlier answer; empty for the beginning.
    pub cursor: String,
    /// Rows a page; 0 for the default.
    pub page_rows: u32,
}

impl Command for ListInbox {
    type Reply = InboxPage;
    looks_up!();
    fn name(&self) -> &'static str {
        "ListInbox"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<InboxPage>, Error> {
        let record = Record::default();
        match read_page(room, tx, &self.cursor, self.page_rows).await? {
            Ok(page) => Ok(Verdict::permitted(page, record)),
            Err(refusal) => Ok(Verdict::refused(refusal, record)),
        }
    }

    async fn keep<'a>(&'a self, room: &'a Room<'a>, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        confirm(room, tx, &self.cursor).await
    }
}

/// Remembers that the reader has what came before the cursor that it shows.
async fn confirm(room: &Room<'_>, tx: &mut Tx<'_>, cursor: &str) -> Result<(), Error> {
    let keys = room.broker.keys();
    let party = keys.party_tag(&room.call.caller.party);
    match Cursor::read(cursor, keys, party) {
        Ok(from) if from != Cursor::START => Ok(tx.confirm_inbox(party, from.0).await?),
        // Nothing was shown behind a cursor that is none.
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn read_page(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    cursor: &str,
    page_rows: u32,
) -> Result<Result<InboxPage, Refusal>, Error> {
    let keys = room.broker.keys();
    let party = keys.party_tag(&room.call.caller.party);
    let from = match Cursor::read(cursor, keys, party) {
        Ok(cursor) => cursor,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let rows_max = i64::from(match page_rows {
        0 => PAGE_ROWS_DEFAULT,
        wish => wish.min(PAGE_ROWS_MAX),
    });
    let mut rows = tx
        .inbox_items(party, from.0, rows_max.saturating_add(1))
        .await?;
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > rows_max;
    rows.truncate(usize::try_from(rows_max).unwrap_or(usize::MAX));
    let end = rows.last().map_or(from, |row| Cursor(row.position));
    let items = rows
        .iter()
        .map(|row| {
            Ok((
                open(keys, party, row)?,
                Cursor(row.position).text(keys, party),
            ))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(Ok(InboxPage {
        items,
        cursor: end.text(keys, party),
        more,
    }))
}

/// Delivers the next item of a watch stream, if there is one; the entry is written before the delivery
/// (docs/log.md), and a watch that delivers nothing writes nothing.
#[derive(Clone, Debug)]
pub struct WatchInbox {
    /// The cursor behind the last item delivered.
    pub cursor: String,
}

impl Command for WatchInbox {
    type Reply = InboxPage;
    looks_up!();
    fn name(&self) -> &'static str {
        "WatchInbox"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<InboxPage>, Error> {
        let record = Record::default();
        match read_page(room, tx, &self.cursor, 1).await? {
            Ok(page) => {
                let handover = page.items.first().map(|(item, _)| item.handover);
                Ok(Verdict::permitted(page, Record { handover, ..record }))
            }
            Err(refusal) => Ok(Verdict::refused(refusal, record)),
        }
    }

    async fn keep<'a>(&'a self, room: &'a Room<'a>, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        confirm(room, tx, &self.cursor).await
    }
}

impl Broker {
    /// Whether a party has an item behind a cursor; reads only, writes no entry. A watch asks this
    /// before it delivers.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn inbox_has_more(&self, call: &Call, cursor: &str) -> Result<bool, Error> {
        let party = self.keys().party_tag(&call.caller.party);
        let from = Cursor::read(cursor, self.keys(), party).unwrap_or(Cursor::START);
        self.database()
            .read(&Peek {
                party,
                after: from.0,
                queue: self.keys().queue(&call.caller),
            })
            .await
    }

    /// A page of the caller's inbox.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn list_inbox(
        &self,
        call: &Call,
        request: &ListInbox,
    ) -> Result<Answer<InboxPage>, Error> {
        self.serve(call, request).await
    }
}

struct Peek {
    party: Tag,
    after: i64,
    queue: Queue,
}

impl store::Work for Peek {
    type Output = bool;
    type Error = Error;
    fn name(&self) -> &'static str {
        "PeekInbox"
    }

    fn queue(&self) -> Queue {
        self.queue
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<bool, Error> {
        Ok(!tx.inbox_items(self.party, self.after, 1).await?.is_empty())
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}
