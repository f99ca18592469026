//! The inbox: what happened, page by page or as it happens, from a saved place on.
//!
//! The inbox is the truth and a watch is a hint: whoever saves after handling misses nothing and may see
//! something twice. Must never save a place that was not handled yet.

use super::{Client, ask};
use crate::connection::{stub, with_deadline};
use crate::error::{ClientError, ProtocolError, from_status};
use crate::store::{Change, Table, put_octets};
use rules::clock::Timestamp;
use rules::handover::InboxKind;
use rules::id::{HandoverId, NoticeId, Purpose};
use rules::notice::NoticeKind;
use rules::reason::Reason;
use std::collections::VecDeque;
use tonic::Streaming;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

/// Row key of the saved place.
const INBOX_KEY: &[u8] = b"inbox";
/// Rows that are asked for at a time.
const PAGE_ROWS: i32 = 100;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEvent {
    /// What.
    pub kind: InboxKind,
    /// The handover.
    pub handover: HandoverId,
    /// Its revision then.
    pub revision: i64,
    /// When.
    pub time: Timestamp,
    /// The notice, for kinds about one.
    pub notice: Option<(NoticeId, NoticeKind)>,
    /// The code's name, where the event has one.
    pub code: Option<String>,
    /// The purpose.
    pub purpose: Purpose,
}

/// Reads the inbox page by page up to the present.
#[derive(Debug)]
pub struct Inbox {
    client: Client,
    /// Where the page at hand began; all before it was given out.
    place: String,
    /// Where the next page begins.
    next_place: String,
    page: VecDeque<InboxEvent>,
    more: bool,
    revisions: Vec<(HandoverId, i64)>,
}

/// Follows the inbox as things happen.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    place: String,
    stream: Option<Streaming<message::WatchInboxResponse>>,
    /// Streams that broke since something came.
    breaks: u32,
    revisions: Vec<(HandoverId, i64)>,
}

impl Client {
    /// Reads the inbox from `cursor` on, or from the saved place (at first: from the beginning).
    #[must_use]
    pub fn inbox(&self, cursor: Option<String>) -> Inbox {
        let place = cursor.unwrap_or_else(|| self.saved_place());
        Inbox {
            client: self.clone(),
            next_place: place.clone(),
            place,
            page: VecDeque::new(),
            more: true,
            revisions: Vec::new(),
        }
    }

    /// Follows the inbox from `cursor` on, or from the saved place.
    #[must_use]
    pub fn watch(&self, cursor: Option<String>) -> Watch {
        Watch {
            client: self.clone(),
            place: cursor.unwrap_or_else(|| self.saved_place()),
            stream: None,
            breaks: 0,
            revisions: Vec::new(),
        }
    }

    fn saved_place(&self) -> String {
        self.store()
            .octets(Table::Cursor, INBOX_KEY)
            .and_then(|octets| String::from_utf8(octets).ok())
            .unwrap_or_default()
    }

    /// Saves a place together with the revisions that were seen on the way there.
    async fn save_place(
        &self,
        place: &str,
        revisions: &mut Vec<(HandoverId, i64)>,
    ) -> Result<(), ClientError> {
        let mut changes: Vec<Change> = revisions
            .drain(..)
            .map(|(handover, revision)| crate::mutation::revision_change(&handover, revision))
            .collect();
        changes.push(put_octets(
            Table::Cursor,
            INBOX_KEY,
            place.as_bytes().to_vec(),
        ));
        Ok(self.outbox.commit(changes).await?)
    }
}

impl Inbox {
    /// The next event; none when there is no more at present.
    ///
    /// # Errors
    ///
    /// A refusal (for example of the cursor), a fault, or an item that cannot be read.
    pub async fn next(&mut self) -> Result<Option<InboxEvent>, ClientError> {
        while self.page.is_empty() {
            if !self.more {
                return Ok(None);
            }
            self.turn_page().await?;
        }
        let event = self.page.pop_front();
        if let Some(event) = &event {
            self.revisions.push((event.handover, event.revision));
        }
        if self.page.is_empty() {
            self.place.clone_from(&self.next_place);
        }
        Ok(event)
    }

    /// Saves the place behind the last page that was given out whole. Call it when those events have
    /// been handled.
    ///
    /// # Errors
    ///
    /// When the store does not take it.
    pub async fn save(&mut self) -> Result<(), ClientError> {
        self.client
            .save_place(&self.place, &mut self.revisions)
            .await
    }

    /// The cursor behind the last page that was given out whole.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.place
    }

    async fn turn_page(&mut self) -> Result<(), ClientError> {
        let question = message::ListInboxRequest {
            cursor: self.next_place.clone(),
            page_size: PAGE_ROWS,
        };
        let client = &self.client;
        let answer = ask!(
            client,
            "ListInbox",
            HandoverServiceClient.list_inbox,
            question
        )?;
        let read: Result<VecDeque<_>, _> = answer.items.into_iter().map(event).collect();
        self.page = read?;
        self.more = answer.more && !self.page.is_empty();
        self.next_place = answer.cursor;
        if self.page.is_empty() {
            self.place.clone_from(&self.next_place);
        }
        Ok(())
    }
}

impl Watch {
    /// The next event, whenever it comes. A stream that ends or breaks is opened again behind the last
    /// event, so nothing is lost.
    ///
    /// # Errors
    ///
    /// A definite refusal, a fault that stays over all attempts, or an item that cannot be read.
    pub async fn next(&mut self) -> Result<InboxEvent, ClientError> {
        loop {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => self.open().await?,
            };
            match stream.message().await {
                Ok(Some(answer)) => {
                    self.stream = Some(stream);
                    self.breaks = 0;
                    self.place = answer.cursor;
                    // Without an item it is a sign of life.
                    if let Some(item) = answer.item {
                        let event = event(item)?;
                        self.revisions.push((event.handover, event.revision));
                        return Ok(event);
                    }
                }
                // The server ended it in good order; open it again.
                Ok(None) => {}
                Err(status) => {
                    let error = from_status("WatchInbox", &status);
                    let ended = error.reason() == Some(Reason::StreamEnded);
                    if !ended && !error.is_repeatable() {
                        return Err(error);
                    }
                    if !ended {
                        self.breaks = self.breaks.saturating_add(1);
                        let outbox = &self.client.outbox;
                        outbox.policy.pause(self.breaks, &*outbox.random).await;
                    }
                }
            }
        }
    }

    /// Saves the place behind the last event. Call it when that has been handled.
    ///
    /// # Errors
    ///
    /// When the store does not take it.
    pub async fn save(&mut self) -> Result<(), ClientError> {
        self.client
            .save_place(&self.place, &mut self.revisions)
            .await
    }

    /// The cursor behind the last event.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.place
    }

    async fn open(&self) -> Result<Streaming<message::WatchInboxResponse>, ClientError> {
        let outbox = &self.client.outbox;
        outbox
            .repeat(|| {
                let mut stub = stub!(HandoverServiceClient<_>, outbox.connection);
                // No deadline travels along: a watch is meant to last.
                let question = message::WatchInboxRequest {
                    cursor: self.place.clone(),
                };
                async move {
                    let answer = stub.watch_inbox(question).await;
                    answer
                        .map(tonic::Response::into_inner)
                        .map_err(|status| from_status("WatchInbox", &status))
                }
            })
            .await
    }
}

fn event(item: message::InboxItem) -> Result<InboxEvent, ProtocolError> {
    let wrong = |what| ProtocolError::new("inbox item", what);
    let notice = match item.notice_id.as_slice() {
        [] => None,
        bytes => Some((
            NoticeId::from_slice(bytes).ok_or(wrong("has a notice without id"))?,
            NoticeKind::from_number(item.notice_kind).ok_or(wrong("has a notice without kind"))?,
        )),
    };
    Ok(InboxEvent {
        kind: InboxKind::from_number(item.kind).ok_or(wrong("is of an unknown kind"))?,
        handover: HandoverId::from_slice(&item.handover_id).ok_or(wrong("names no handover"))?,
        revision: item.revision,
        time: Timestamp::from_millis(item.time_millis),
        notice,
        code: (!item.code.is_empty()).then_some(item.code),
        purpose: item.purpose.parse().map_err(|_| wrong("has no purpose"))?,
    })
}
