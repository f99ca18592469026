//! Looking up the log: search by handover, peer, purpose and period, and one entry whole.
//!
//! Must never show an officer an entry in which its own organisation has no part, and looks-up are
//! logged like any call.

use crate::Error;
use crate::decision;
use crate::record::{FINDING, OpenedEntry, Record, open_entry};
use crate::serve::{Command, Room, Verdict, looks_up};
use rules::audit::{Searched, year_of};
use rules::clock::Timestamp;
use rules::directory::Right;
use rules::id::{EntryId, HandoverId, Oin, Purpose, Tag};
use rules::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use rules::policy::OversightAction;
use rules::reason::{Reason, Refusal};
use store::Tx;
use store::audit::{EntryRow, EntrySearch};

/// Earliest moment that a search reaches back to when none is named.
const SEARCH_BACK_MILLIS: i64 = 366 * rules::limits::DAY_MILLIS;

/// Searches the log.
#[derive(Clone, Debug, Default)]
pub struct SearchEntries {
    /// Of this handover.
    pub handover: Option<HandoverId>,
    /// With this organisation as sender, recipient or caller.
    pub peer: Option<Oin>,
    /// For this purpose.
    pub purpose: Option<Purpose>,
    /// With this subject tag.
    pub subject: Option<Tag>,
    /// Only what an officer must look at.
    pub findings: bool,
    /// From this moment on; a year back when absent.
    pub from: Option<Timestamp>,
    /// Before this moment; now when absent.
    pub until: Option<Timestamp>,
    /// Rows a page; 0 for the default.
    pub page_rows: u32,
    /// From the previous page; empty for the first.
    pub page_token: String,
}

/// A page of the log.
#[derive(Clone, Debug)]
pub struct EntryPage {
    /// Newest first.
    pub entries: Vec<OpenedEntry>,
    /// For the next page; empty when there is none.
    pub next_page_token: String,
}

/// How far an officer may look: all, or only where its own organisation has a part.
fn scope(room: &Room<'_>, year: i64) -> Result<Option<Tag>, Refusal> {
    let caller = &room.call.caller;
    if caller.may(Right::JointOfficer) {
        Ok(None)
    } else if caller.may(Right::Officer) {
        let tag = room
            .counter
            .keys()
            .entry_tag(year, "peer", caller.party.oin.as_str().as_bytes());
        Ok(Some(tag))
    } else {
        Err(Refusal::new(Reason::RightMissing))
    }
}

impl Command for SearchEntries {
    type Reply = EntryPage;
    looks_up!();
    fn name(&self) -> &'static str {
        "SearchEntries"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<EntryPage>, Error> {
        let mut record = Record {
            handover: self.handover,
            purpose: self.purpose.clone(),
            person: self.subject,
            searched: Some(self.searched(room)),
            ..Record::default()
        };
        if self.handover.is_none()
            && self.peer.is_none()
            && self.purpose.is_none()
            && self.subject.is_none()
            && !self.findings
        {
            return Ok(Verdict::refused(Reason::SearchTooWide, record));
        }
        // What is searched is limited below to what the right allows, so the question is about one's own.
        if let Err(refusal) = decision::oversee(room, OversightAction::SearchLog, true, &mut record)
        {
            return Ok(Verdict::refused(refusal, record));
        }
        match self.search(room, tx).await? {
            Ok(page) => Ok(Verdict::permitted(page, record)),
            Err(refusal) => Ok(Verdict::refused(refusal, record)),
        }
    }
}

impl SearchEntries {
    /// Who is looked for and in which period; with the lines' own fields that is the whole question.
    fn searched(&self, room: &Room<'_>) -> Searched {
        let until = self.until.unwrap_or_else(|| room.call.now.plus_millis(1));
        let from = self
            .from
            .unwrap_or_else(|| until.plus_millis(-SEARCH_BACK_MILLIS));
        Searched {
            peer: self.peer.clone(),
            from,
            until,
        }
    }

    async fn search(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
    ) -> Result<Result<EntryPage, Refusal>, Error> {
        let keys = room.counter.keys();
        let Searched { from, until, .. } = self.searched(room);
        let rows_max = match self.page_rows {
            0 => PAGE_ROWS_DEFAULT,
            wish => wish.min(PAGE_ROWS_MAX),
        };
        // Ids are ordered by time, so one mark holds for every year.
        let before = match self.page_mark(room) {
            Ok(mark) => mark,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let wanted = usize::try_from(rows_max).unwrap_or(usize::MAX);
        let mut rows: Vec<EntryRow> = Vec::new();
        for year in (year_of(from)..=year_of(until)).rev() {
            let tag = |kind: &str, value: &[u8]| keys.entry_tag(year, kind, value);
            let scope = match scope(room, year) {
                Ok(scope) => scope,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let search = EntrySearch {
                year,
                from,
                until,
                before,
                handover: self.handover.map(|id| tag("handover", id.bytes())),
                peer: self
                    .peer
                    .as_ref()
                    .map(|oin| tag("peer", oin.as_str().as_bytes())),
                scope,
                purpose: self
                    .purpose
                    .as_ref()
                    .map(|name| tag("purpose", name.as_str().as_bytes())),
                subject: self.subject.map(|subject| tag("subject", subject.bytes())),
                finding: self.findings.then(|| tag(FINDING, &[])),
                rows_max: i64::from(rows_max).saturating_add(1),
            };
            rows.extend(tx.search_entries(&search).await?);
            if rows.len() > wanted {
                break;
            }
        }
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        let next_page_token = match (more, rows.last()) {
            (true, Some(last)) => self.page_text(room, last.entry_id.bytes()),
            _ => String::new(),
        };
        let entries = rows
            .into_iter()
            .map(|row| open_entry(keys, row))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Ok(EntryPage {
            entries,
            next_page_token,
        }))
    }

    /// What a page token is bound to: the caller and the question.
    fn binding(&self, mark: &[u8; 16]) -> Vec<u8> {
        let question = format!(
            "{:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}",
            self.handover,
            self.peer,
            self.purpose,
            self.subject,
            self.findings,
            self.from,
            self.until
        );
        [mark.as_slice(), question.as_bytes()].concat()
    }

    fn page_text(&self, room: &Room<'_>, mark: &[u8; 16]) -> String {
        let keys = room.counter.keys();
        let caller = keys.caller_tag(&room.call.caller);
        let seal = keys.tag(
            "page",
            &[caller.bytes().as_slice(), &self.binding(mark)].concat(),
        );
        rules::hex::encode(&[mark.as_slice(), seal.bytes()].concat())
    }

    fn page_mark(&self, room: &Room<'_>) -> Result<[u8; 16], Refusal> {
        if self.page_token.is_empty() {
            return Ok([0xff; 16]);
        }
        let wrong = || {
            Refusal::about(
                Reason::PageTokenInvalid,
                "page_token",
                "not given for this question",
            )
        };
        let octets = rules::hex::decode(&self.page_token).ok_or_else(wrong)?;
        let mark: [u8; 16] = octets
            .split_first_chunk::<16>()
            .map(|(mark, _)| *mark)
            .ok_or_else(wrong)?;
        if self.page_text(room, &mark) == self.page_token {
            Ok(mark)
        } else {
            Err(wrong())
        }
    }
}

/// Reads one entry whole.
#[derive(Clone, Copy, Debug)]
pub struct GetEntry {
    /// Which.
    pub entry_id: EntryId,
}

impl Command for GetEntry {
    type Reply = OpenedEntry;
    looks_up!();
    fn name(&self) -> &'static str {
        "GetEntry"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<OpenedEntry>, Error> {
        let mut record = Record {
            entry: Some(self.entry_id),
            ..Record::default()
        };
        if let Err(refusal) = decision::oversee(room, OversightAction::SearchLog, true, &mut record)
        {
            return Ok(Verdict::refused(refusal, record));
        }
        let Some(row) = tx.entry(self.entry_id).await? else {
            return Ok(match scope(room, year_of(room.call.now)) {
                Ok(_) => Verdict::hidden(Reason::NotAvailable, record),
                Err(refusal) => Verdict::refused(refusal, record),
            });
        };
        let scope = match scope(room, row.year) {
            Ok(scope) => scope,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let tags = &row.tags;
        let own = |tag: Tag| {
            tags.sender == Some(tag) || tags.recipient == Some(tag) || tags.caller == tag
        };
        if scope.is_some_and(|tag| !own(tag)) {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        }
        let opened = open_entry(room.counter.keys(), row)?;
        Ok(Verdict::permitted(opened, record))
    }
}
