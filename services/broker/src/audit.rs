//! Looking up the log: search by handover, peer, purpose and period, and one entry whole.
//!
//! Must never show an officer of one organisation a line of which that was not told, nor the closed part of any;
//! looks-up are logged like any call. Must never read without a bound: a search goes on by pages.

mod search;

use crate::Error;
use crate::call::Caller;
use crate::decision;
use crate::record::{OpenedEntry, Record, YearTags, open_entry};
use crate::serve::{Command, Fingerprint, Room, Verdict, looks_up};
use rules::audit::Searched;
use rules::clock::Timestamp;
use rules::directory::Right;
use rules::id::{EntryId, HandoverId, Oin, Purpose, Tag};
use rules::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use rules::policy::OversightAction;
use rules::reason::{Reason, Refusal};
use search::Search;
use store::Tx;
use store::audit::EntryTags;
use vault::rest::Place;

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
    /// From this moment on; from the log's beginning when absent.
    pub from: Option<Timestamp>,
    /// Before this moment; until the log's own end when absent.
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
    /// For the next page; empty when the whole period was searched. There may be a next page of which this one
    /// is not full: a call reads so many rows and so long at most.
    pub next_page_token: String,
    /// How far back this page and those before it searched; none when the whole period was searched.
    pub stopped_at: Option<Timestamp>,
}

/// How far a caller may read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    /// Both parts of every line.
    Whole,
    /// The open part of the lines of which this organisation's desks were told.
    Own(Oin),
}

impl Reach {
    fn of(caller: &Caller) -> Result<Self, Refusal> {
        if caller.may(Right::JointOfficer) {
            Ok(Self::Whole)
        } else if caller.may(Right::Officer) {
            Ok(Self::Own(caller.party.oin.clone()))
        } else {
            Err(Refusal::lacks("needs `officer` or `joint-officer`"))
        }
    }

    fn reads_closed(&self) -> bool {
        *self == Self::Whole
    }

    /// Whether it takes in a line with these tags, of the year of `keys`.
    fn takes_in(&self, keys: &YearTags, tags: &EntryTags) -> bool {
        match self {
            Self::Whole => true,
            Self::Own(oin) => {
                let own = keys.peer(oin, true);
                tags.sender == Some(own) || tags.recipient == Some(own) || tags.caller == own
            }
        }
    }
}

impl Command for SearchEntries {
    type Reply = EntryPage;
    looks_up!();

    fn name(&self) -> &'static str {
        "SearchEntries"
    }

    /// Reads only.
    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<EntryPage>, Error> {
        let mut record = Record {
            searched: Some(self.searched()),
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
        let (reach, before) = match self.begin(room) {
            Ok(begin) => begin,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let search = Search {
            asked: self,
            reach,
            room,
        };
        let found = search.share(tx, before, self.rows()).await?;
        let next_page_token = match &found.stopped_before {
            Some(id) => self.token(room, id)?,
            None => String::new(),
        };
        let page = EntryPage {
            entries: found.entries,
            next_page_token,
            stopped_at: found.stopped_before.map(|id| id.drawn_at()),
        };
        Ok(Verdict::permitted(page, record))
    }
}

impl SearchEntries {
    /// The whole question, for the line.
    fn searched(&self) -> Searched {
        Searched {
            handover: self.handover,
            peer: self.peer.clone(),
            purpose: self.purpose.clone(),
            person: self.subject,
            findings: self.findings,
            from: self.from,
            until: self.until,
        }
    }

    fn rows(&self) -> usize {
        let rows = match self.page_rows {
            0 => PAGE_ROWS_DEFAULT,
            wish => wish.min(PAGE_ROWS_MAX),
        };
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    /// How far the caller may read, and where this page begins.
    fn begin(&self, room: &Room<'_>) -> Result<(Reach, Option<EntryId>), Refusal> {
        let reach = Reach::of(&room.call.caller)?;
        // Whom a line is about stands in its closed part.
        if self.subject.is_some() && !reach.reads_closed() {
            return Err(Refusal::about(
                Reason::RightMissing,
                "subject_tag",
                "is for the joint officer to search by",
            ));
        }
        let before = if self.page_token.is_empty() {
            None
        } else {
            Some(self.mark(room)?)
        };
        Ok((reach, before))
    }

    /// What a page token is bound to: the caller and the question.
    fn binding(&self, room: &Room<'_>) -> [u8; 32] {
        let keys = room.broker.keys();
        let number = |moment: Option<Timestamp>| moment.map(|it| it.millis().to_be_bytes());
        let mut question = Fingerprint::default();
        let mut add = |value: Option<&[u8]>| {
            let is_there = [u8::from(value.is_some())];
            question.add(&is_there).add(value.unwrap_or_default());
        };
        add(Some(keys.caller_tag(&room.call.caller).bytes()));
        add(self.handover.as_ref().map(|id| id.bytes().as_slice()));
        add(self.peer.as_ref().map(|oin| oin.as_str().as_bytes()));
        add(self.purpose.as_ref().map(|it| it.as_str().as_bytes()));
        add(self.subject.as_ref().map(|tag| tag.bytes().as_slice()));
        add(self.findings.then_some(&[][..]));
        add(number(self.from).as_ref().map(<[u8; 8]>::as_slice));
        add(number(self.until).as_ref().map(<[u8; 8]>::as_slice));
        question.sha256()
    }

    /// Where a search goes on, sealed: the id there may be of a line that is not the caller's to see.
    fn token(&self, room: &Room<'_>, before: &EntryId) -> Result<String, Error> {
        let binding = self.binding(room);
        let keys = room.broker.keys();
        let sealed = keys.seal(&token_place(&binding), before.bytes())?;
        Ok(rules::hex::encode(&sealed))
    }

    fn mark(&self, room: &Room<'_>) -> Result<EntryId, Refusal> {
        let binding = self.binding(room);
        let keys = room.broker.keys();
        rules::hex::decode(&self.page_token)
            .and_then(|sealed| keys.open(&token_place(&binding), &sealed).ok())
            .and_then(|octets| EntryId::from_slice(&octets))
            .ok_or_else(|| {
                Refusal::about(
                    Reason::PageTokenInvalid,
                    "page_token",
                    "not given for this question",
                )
            })
    }
}

const fn token_place(binding: &[u8; 32]) -> Place<'_> {
    Place {
        table: "audit_entry",
        row: binding,
        column: "page_token",
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

    /// Reads only.
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
        let reach = match Reach::of(&room.call.caller) {
            Ok(reach) => reach,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let keys = room.broker.keys();
        let row = tx.entry(self.entry_id).await?;
        let row = row.filter(|row| reach.takes_in(&YearTags::of(keys, row.year), &row.tags));
        let Some(row) = row else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        let opened = open_entry(keys, row, reach.reads_closed())?;
        Ok(Verdict::permitted(opened, record))
    }
}
