//! One call's share of a search: how far it reads, on which indexes, and which lines fit.
//!
//! Must never read more rows, or longer, than a share may; must never let what an officer is given depend on a
//! line, or a part of one, that the officer may not read.

use super::{Reach, SearchEntries};
use crate::Error;
use crate::record::{OpenedEntry, Part, YearTags, open_entry};
use crate::serve::Room;
use rules::audit::{begin_of_year, year_of};
use rules::id::{EntryId, Oin, Tag};
use rules::limits::{SEARCH_MILLIS_MAX, SEARCH_ROWS_MAX, SEARCH_STATEMENT_ROWS};
use std::collections::BTreeMap;
use store::Tx;
use store::audit::{Condition, EntryRow, EntryTags, Stretch, first_id};

/// A search by somebody.
pub(super) struct Search<'s> {
    pub(super) asked: &'s SearchEntries,
    pub(super) reach: Reach,
    pub(super) room: &'s Room<'s>,
}

/// What one share found.
#[derive(Default)]
pub(super) struct Found {
    /// Newest first.
    pub(super) entries: Vec<OpenedEntry>,
    /// All of the period from this line on was searched; none when there is no more of it.
    pub(super) stopped_before: Option<EntryId>,
}

/// Rows that a round of statements read, newest first.
struct Round {
    rows: Vec<EntryRow>,
    /// How many rows were read, those that two statements gave counted twice.
    read: usize,
    /// How far back they are whole; none when the statements gave all that there is.
    until: Option<EntryId>,
}

impl Search<'_> {
    /// Searches the period from its newest line on, or from `before` on, for as long as a share may.
    pub(super) async fn share(
        &self,
        tx: &mut Tx<'_>,
        before: Option<EntryId>,
        rows_max: usize,
    ) -> Result<Found, Error> {
        let broker = self.room.broker;
        let begun = broker.now();
        let mut read = 0_usize;
        let mut found = Found::default();
        let mut rest = self.period(before);
        // The log's own lines bound the period: years without one are not looked at.
        while let Some(last) = tx.last_entry(&rest).await? {
            let year = year_of(last.drawn_at());
            let keys = YearTags::of(broker.keys(), year);
            let wanted = Wanted::of(self, &keys);
            loop {
                let round = round(tx, &wanted.conditions(), &rest).await?;
                for row in round.rows {
                    let Some(entry) = self.opened(&keys, &wanted, row)? else {
                        continue;
                    };
                    if found.entries.len() == rows_max {
                        // One more than fits: it begins the next page.
                        found.stopped_before = found.entries.last().map(|last| last.row.entry_id);
                        return Ok(found);
                    }
                    found.entries.push(entry);
                }
                let Some(until) = round.until else { break };
                rest.before = *until.bytes();
                read = read.saturating_add(round.read);
                let took = broker.now().millis_since(begun);
                if read >= SEARCH_ROWS_MAX || took >= SEARCH_MILLIS_MAX {
                    found.stopped_before = Some(until);
                    return Ok(found);
                }
            }
            rest.before = rest.before.min(first_id(begin_of_year(year)));
        }
        Ok(found)
    }

    fn period(&self, before: Option<EntryId>) -> Stretch {
        // Without an end it is the log's own: a line of a clock that was ahead is a line.
        let until = self.asked.until.map_or([u8::MAX; 16], first_id);
        Stretch {
            from: self.asked.from.map_or([0; 16], first_id),
            before: before.map_or(until, |id| until.min(*id.bytes())),
        }
    }

    /// The line of a row, if it fits.
    fn opened(
        &self,
        keys: &YearTags,
        wanted: &Wanted,
        row: EntryRow,
    ) -> Result<Option<OpenedEntry>, Error> {
        // A line from before there were two parts has none that could be looked at.
        let is_readable = !row.closed_part.is_empty();
        if !is_readable || !wanted.fit(&row.tags) || !self.reach.takes_in(keys, &row.tags) {
            return Ok(None);
        }
        let with_closed = self.reach.reads_closed();
        let entry = open_entry(self.room.broker.keys(), row, with_closed)?;
        // Tags are of both parts. Who may read the open one finds by what stands there, and by that only.
        let shows = with_closed || self.shows(&entry.open);
        Ok(shows.then_some(entry))
    }

    /// Whether an open part itself says all that is looked for.
    fn shows(&self, open: &Part) -> bool {
        let asked = self.asked;
        let is = |name: &str, wanted: Option<String>| {
            wanted.is_none_or(|wanted| open.text(name) == Some(&wanted))
        };
        is("handover.id", asked.handover.map(|id| id.to_string()))
            && is(
                "handover.purpose",
                asked.purpose.as_ref().map(ToString::to_string),
            )
            && asked.peer.as_ref().is_none_or(|oin| names(open, oin))
            && (!asked.findings || open.text("handover.finding").is_some())
    }
}

/// Whether an organisation has a share in a line, by its open part.
fn names(open: &Part, oin: &Oin) -> bool {
    let names = ["sender", "recipient", "caller", "stranger"];
    names.iter().any(|name| {
        let party = open.text(&format!("handover.{name}")).unwrap_or_default();
        party.split('/').next() == Some(oin.as_str())
    })
}

/// One statement for each condition, and what they gave as one list.
async fn round(tx: &mut Tx<'_>, conditions: &[Condition], rest: &Stretch) -> Result<Round, Error> {
    let rows_max = i64::try_from(SEARCH_STATEMENT_ROWS).unwrap_or(i64::MAX);
    let mut rows = BTreeMap::new();
    let mut read = 0_usize;
    let mut until: Option<EntryId> = None;
    for condition in conditions {
        let some = tx.entries(condition, rest, rows_max).await?;
        read = read.saturating_add(some.len());
        if some.len() >= SEARCH_STATEMENT_ROWS {
            // It may have more behind its last one, so the list is whole down to there only.
            until = until.max(some.last().map(|row| row.entry_id));
        }
        rows.extend(some.into_iter().map(|row| (row.entry_id, row)));
    }
    let rows = rows.into_iter().rev();
    let whole = rows.take_while(|(id, _)| until.is_none_or(|until| *id >= until));
    Ok(Round {
        rows: whole.map(|(_, row)| row).collect(),
        read,
        until,
    })
}

/// What is looked for, as the tags of one year. Where there are two tags, the open one comes first.
struct Wanted {
    /// Of the officer's own organisation: its lines, and its findings.
    own: Option<(Tag, Tag)>,
    handover: Option<[Tag; 2]>,
    peer: Option<[Tag; 2]>,
    purpose: Option<Tag>,
    subject: Option<Tag>,
    finding: Option<Tag>,
}

impl Wanted {
    fn of(search: &Search<'_>, keys: &YearTags) -> Self {
        let asked = search.asked;
        let own = match &search.reach {
            Reach::Whole => None,
            Reach::Own(oin) => Some((keys.peer(oin, true), keys.finding_of(oin))),
        };
        let handover = asked.handover;
        let peer = asked.peer.as_ref();
        Self {
            own,
            handover: handover.map(|id| [true, false].map(|open| keys.handover(id, open))),
            peer: peer.map(|oin| [true, false].map(|open| keys.peer(oin, open))),
            purpose: asked.purpose.as_ref().map(|purpose| keys.purpose(purpose)),
            subject: asked.subject.map(|subject| keys.subject(subject)),
            finding: asked.findings.then(|| keys.finding()),
        }
    }

    /// The indexes on which to look: for one condition, the one that fewest lines meet. An officer of one
    /// organisation looks among the lines of which that was told, or else how full a page is, and where it
    /// stops, would tell of others.
    fn conditions(&self) -> Vec<Condition> {
        match (self.own, self.handover) {
            (Some(_), Some([open, _])) => vec![Condition::Handover(open)],
            (Some((_, findings)), None) if self.finding.is_some() => vec![
                Condition::SenderFinding(findings),
                Condition::RecipientFinding(findings),
            ],
            (Some((own, _)), None) => vec![
                Condition::Sender(own),
                Condition::Recipient(own),
                Condition::Caller(own),
            ],
            (None, Some(handover)) => handover.map(Condition::Handover).to_vec(),
            (None, None) => self.conditions_of_all(),
        }
    }

    fn conditions_of_all(&self) -> Vec<Condition> {
        if let Some(subject) = self.subject {
            return vec![Condition::Subject(subject)];
        }
        if let Some(finding) = self.finding {
            return vec![Condition::Finding(finding)];
        }
        if let Some([open, closed]) = self.peer {
            return vec![
                Condition::Sender(open),
                Condition::Sender(closed),
                Condition::Recipient(open),
                Condition::Recipient(closed),
                Condition::Caller(open),
            ];
        }
        self.purpose.map(Condition::Purpose).into_iter().collect()
    }

    /// Whether a row meets all of it, by its tags.
    fn fit(&self, tags: &EntryTags) -> bool {
        let one_of = |wanted: Option<[Tag; 2]>, held: &[Option<Tag>]| {
            wanted.is_none_or(|wanted| held.iter().flatten().any(|tag| wanted.contains(tag)))
        };
        let is = |wanted: Option<Tag>, held: Option<Tag>| wanted.is_none() || wanted == held;
        one_of(self.handover, &[tags.handover])
            && one_of(self.peer, &[tags.sender, tags.recipient, Some(tags.caller)])
            && is(self.purpose, tags.purpose)
            && is(self.subject, tags.subject)
            && is(self.finding, tags.finding)
    }
}
