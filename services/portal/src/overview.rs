//! The overview: a person's own lines, opened with the keys of the session and told in plain sentences.
//!
//! Must never ask the broker: which exchanges a person looks at together is nobody's business. Must never
//! show a line that does not open with the person's own keys.

use super::errand::Errand;
use super::ledger::{Holding, holdings};
use super::line::{CONSENT, Paper, STORY, Story};
use super::page::{self, Pages};
use super::rows::{FindExchange, Lines, PAGE_ROWS};
use super::sentence::{self, Words};
use super::session::{Known, Session};
use super::{Halt, Portal, PortalError, settle};
use papers::feed::Told;
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, ConsentState};
use rules::feed::FeedKind;
use rules::handover::State;
use rules::id::{ConsentId, HandoverId};
use rules::reason::{Outcome, Reason};
use std::collections::{BTreeMap, BTreeSet};
use store::Queue;
use store::portal::{After, ExchangeRow, LineRow};
use vault::person::open_line;

/// An exchange with all that is kept of it, opened.
type Opened = (ExchangeRow, Vec<Paper>, Vec<Story>);

/// What a person sees.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What happened, newest first.
    pub lines: Vec<OverviewLine>,
    /// Consents: those that stand first, then those that ended; the newest first.
    pub consents: Vec<ConsentRecord>,
    /// What the broker has not answered yet, oldest first.
    pub still_to_do: Vec<StillToDo>,
    /// How many of those there are.
    pub still_to_do_count: usize,
    /// Where lines and consents go on; empty after the last one.
    pub more: (Vec<u8>, Vec<u8>),
}

/// What the person asked for and the broker has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StillToDo {
    /// When the person asked.
    pub asked_at: Timestamp,
    /// The sentence.
    pub sentence: String,
}

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverviewLine {
    /// When it happened; of equal lines the newest.
    pub time: Timestamp,
    /// The sentence. It says how often, where equal lines were folded.
    pub sentence: String,
    /// What the person can do something about.
    pub remedy: Option<Remedy>,
    /// How many equal lines it stands for.
    pub count: u32,
}

/// What a person can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A handover that can be objected to.
    Object(HandoverId),
    /// A consent that can be stopped.
    Stop(ConsentId),
}

impl Portal {
    /// What happened with the person's data, in pages. Takes over the feed first, as far as it can be had.
    ///
    /// Refuses with `LOGIN_REFUSED` and `PAGE_TOKEN_INVALID`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overview(
        &self,
        token: &[u8],
        pages: &Pages,
    ) -> Result<Outcome<Overview>, PortalError> {
        self.follow_feed().await;
        settle(self.look(token, pages).await)
    }

    /// Takes over the feed, as far as it can be had, for somebody who is about to look.
    pub(super) async fn follow_feed(&self) {
        if let Err(error) = self.take_in().await {
            tracing::warn!(%error, "the feed could not be taken over; what is shown may be behind");
        }
    }

    async fn look(&self, token: &[u8], pages: &Pages) -> Result<Overview, Halt> {
        let session = self.session(token)?;
        let (papers, stories) = self.opened(&session.known, Queue::Own).await?;
        let mut errands = self.own_errands(&session, Queue::Own).await?;
        // Of a no the refusal tells.
        errands.retain(|errand| !errand.is_find_of_no());
        let holdings = holdings(&papers, &stories, self.now());
        let directory = self.broker().directory();
        let words = Words {
            directory: &directory,
            register: &self.0.register,
        };
        let stoppable = stoppable(&holdings, &errands);
        let objectable: BTreeSet<[u8; 16]> =
            objectable(&stories, |told| self.is_under_statute(told, &directory))
                .map(|told| told.exchange)
                .collect();
        let remedy = |exchange: &[u8; 16]| {
            if objectable.contains(exchange) {
                HandoverId::from_slice(exchange).map(Remedy::Object)
            } else {
                stoppable.get(exchange).copied().map(Remedy::Stop)
            }
        };
        let told = stories.iter().map(|story| OverviewLine {
            time: story.time,
            sentence: sentence::story(story, &words, pages.language),
            remedy: remedy(&story.told.exchange),
            count: 1,
        });
        let own = papers.iter().filter_map(|paper| {
            let statement = &paper.statement;
            Some(OverviewLine {
                time: statement.event_time,
                sentence: sentence::paper(statement, &words, pages.language)?,
                remedy: remedy(statement.record.id.bytes()),
                count: 1,
            })
        });
        let (lines, more_lines) = page::lines(told.chain(own).collect(), pages)?;
        let records = holdings.into_iter().map(|holding| holding.record);
        let (consents, more_consents) = page::consents(records.collect(), pages)?;
        let waiting = errands.iter().take(pages.rows()).map(|errand| StillToDo {
            asked_at: errand.asked_at,
            sentence: sentence::errand(errand, &words, pages.language),
        });
        Ok(Overview {
            lines,
            consents,
            still_to_do: waiting.collect(),
            still_to_do_count: errands.len(),
            more: (more_lines, more_consents),
        })
    }

    /// The consents of a person as they stand: all of them.
    pub(super) async fn holdings(&self, session: &Session) -> Result<Vec<Holding>, PortalError> {
        let (papers, stories) = self.opened(&session.known, Queue::Own).await?;
        Ok(holdings(&papers, &stories, self.now()))
    }

    /// One consent of a person, from what lies under it alone, and the exchange that it is.
    pub(super) async fn own_holding(
        &self,
        session: &Session,
        record: ConsentId,
    ) -> Result<(ExchangeRow, Holding), Halt> {
        let index = self.consent_index(record.bytes());
        let found = self.open_exchange(session, index).await?;
        let (exchange, papers, stories) = found.ok_or(Reason::NotAvailable)?;
        let mut holdings = holdings(&papers, &stories, self.now()).into_iter();
        let holding = holdings.find(|holding| holding.record.id == record);
        Ok((exchange, holding.ok_or(Reason::NotAvailable)?))
    }

    /// An exchange of the person's own, opened; none when it is another's, or nobody's.
    pub(super) async fn open_exchange(
        &self,
        session: &Session,
        exchange_index: [u8; 32],
    ) -> Result<Option<Opened>, PortalError> {
        let find = FindExchange {
            exchange_index,
            persons: session.indexes().collect(),
        };
        let Some((exchange, lines)) = self.database().read(&find).await? else {
            return Ok(None);
        };
        let known = session
            .known
            .iter()
            .find(|known| known.index == exchange.person_index);
        let known = known.ok_or(PortalError::Malformed("a session"))?;
        let (mut papers, mut stories) = (Vec::new(), Vec::new());
        for line in &lines {
            let opened = open(known, line)?;
            match line.kind {
                CONSENT => papers.push(Paper::parse(&opened)?),
                _ => stories.push(Story::parse(&opened)?),
            }
        }
        Ok(Some((exchange, papers, stories)))
    }

    /// A person's lines, opened: all of them.
    pub(super) async fn opened(
        &self,
        all: &[Known],
        queue: Queue,
    ) -> Result<(Vec<Paper>, Vec<Story>), PortalError> {
        let (mut papers, mut stories) = (Vec::new(), Vec::new());
        for known in all {
            for line in self.open_all(known, CONSENT, queue).await? {
                papers.push(Paper::parse(&line)?);
            }
            for line in self.open_all(known, STORY, queue).await? {
                stories.push(Story::parse(&line)?);
            }
        }
        Ok((papers, stories))
    }

    /// Page by page, to the last one: what stands may be in any of them.
    async fn open_all(
        &self,
        known: &Known,
        kind: i64,
        queue: Queue,
    ) -> Result<Vec<Vec<u8>>, PortalError> {
        let mut opened = Vec::new();
        let mut after = None;
        loop {
            let find = Lines {
                person_index: &known.index,
                kind,
                after,
                queue,
            };
            let rows = self.database().read(&find).await?;
            for row in &rows {
                opened.push(open(known, row)?);
            }
            let Some(last) = rows.last().filter(|_| rows.len() >= PAGE_ROWS) else {
                return Ok(opened);
            };
            after = Some(After {
                created_at: last.created_at,
                line_id: last.line_id,
            });
        }
    }
}

fn open(known: &Known, line: &LineRow) -> Result<Vec<u8>, PortalError> {
    open_line(known.keys.opening_key(), line.line_id.bytes(), &line.sealed)
        .map(|opened| opened.expose().clone())
        .map_err(|_| PortalError::Malformed("a row of line"))
}

/// Consents that can be stopped: those that stand, and of which no stop is on its way.
fn stoppable(holdings: &[Holding], errands: &[Errand]) -> BTreeMap<[u8; 16], ConsentId> {
    let waits = |record: ConsentId| errands.iter().any(|errand| errand.stops() == Some(record));
    holdings
        .iter()
        .filter(|holding| holding.record.state == ConsentState::Given && !waits(holding.record.id))
        .map(|holding| (*holding.record.id.bytes(), holding.record.id))
        .collect()
}

/// Handovers that can be objected to: under statute, and not ended, or with a report that the sender has not read. One
/// line of each.
pub(super) fn objectable(
    stories: &[Story],
    is_under_statute: impl Fn(&Told) -> bool,
) -> impl Iterator<Item = &Told> {
    let of_kind = |kind: FeedKind| -> BTreeSet<[u8; 16]> {
        let told = stories.iter().map(|story| &story.told);
        let told = told.filter(|told| told.kind == kind);
        told.map(|told| told.exchange).collect()
    };
    let read = of_kind(FeedKind::ReportOpened);
    let waits: BTreeSet<_> = &of_kind(FeedKind::ReportSent) - &read;
    // Nothing came of a refused attempt.
    let ended: BTreeSet<[u8; 16]> = stories
        .iter()
        .map(|story| &story.told)
        .filter(|told| match told.kind {
            FeedKind::AttemptRefused => true,
            FeedKind::State => State::from_code(&told.code).is_some_and(State::is_terminal),
            _ => false,
        })
        .map(|told| told.exchange)
        .filter(|exchange| !waits.contains(exchange))
        .collect();
    let open: BTreeMap<[u8; 16], &Told> = stories
        .iter()
        .map(|story| &story.told)
        .filter(|told| is_about_handover(told.kind) && !ended.contains(&told.exchange))
        .filter(|told| is_under_statute(told))
        .map(|told| (told.exchange, told))
        .collect();
    open.into_values()
}

const fn is_about_handover(kind: FeedKind) -> bool {
    match kind {
        FeedKind::Prepared
        | FeedKind::State
        | FeedKind::Opened
        | FeedKind::StepRefused
        | FeedKind::Notice
        | FeedKind::NoticeAnswered
        | FeedKind::Objection
        | FeedKind::ReportSent
        | FeedKind::ReportOpened
        | FeedKind::ReportRefused
        | FeedKind::ReportReadRefused
        | FeedKind::ReportNotice
        | FeedKind::ReportNoticeAnswered => true,
        FeedKind::AttemptRefused
        | FeedKind::ConsentAsked
        | FeedKind::ConsentAssisted
        | FeedKind::Consent
        | FeedKind::Folded
        | FeedKind::WrongPerson => false,
    }
}
