//! The overview: a person's own lines, opened with the keys of the session and told in plain sentences.
//!
//! Must never ask the broker: which exchanges a person looks at together is nobody's business. Must never
//! show a line that does not open with the person's own keys.

use super::ledger::{Holding, holdings};
use super::line::{CONSENT, Paper, STORY, Story};
use super::rows::Lines;
use super::sentence::{self, Words};
use super::session::{Known, Session};
use super::{Halt, Portal, PortalError, settle};
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, ConsentState, Language};
use rules::feed::FeedKind;
use rules::handover::State;
use rules::id::{ConsentId, HandoverId};
use rules::reason::Outcome;
use std::collections::BTreeSet;
use vault::person::open_line;

/// Most lines of each kind that are shown, the newest.
pub(super) const LINES_MAX: i64 = 1_000;

/// What a person sees.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What happened, newest first.
    pub lines: Vec<OverviewLine>,
    /// Consents as they stand, newest first.
    pub consents: Vec<ConsentRecord>,
}

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverviewLine {
    /// When it happened.
    pub time: Timestamp,
    /// The sentence.
    pub sentence: String,
    /// What the person can do something about.
    pub remedy: Option<Remedy>,
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
    /// Everything that happened with the person's data. Takes over the feed first, as far as it can be
    /// had.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overview(
        &self,
        token: &[u8],
        language: Language,
    ) -> Result<Outcome<Overview>, PortalError> {
        if let Err(error) = self.take_in().await {
            tracing::warn!(%error, "the feed could not be taken over; the overview may be behind");
        }
        settle(self.look(token, language).await)
    }

    async fn look(&self, token: &[u8], language: Language) -> Result<Overview, Halt> {
        let session = self.session(token)?;
        let (papers, stories) = self.opened(&session).await?;
        let holdings = holdings(&papers, &stories, self.now());
        let directory = self.broker().directory();
        let words = Words {
            directory: &directory,
            register: &self.0.register,
        };
        let mut ended: BTreeSet<[u8; 16]> = stories
            .iter()
            .filter(|story| story.told.kind == FeedKind::State)
            .filter(|story| State::from_code(&story.told.code).is_some_and(State::is_terminal))
            .map(|story| story.told.exchange)
            .collect();
        // Nothing came of a refused attempt.
        ended.extend(
            stories
                .iter()
                .filter(|story| story.told.kind == FeedKind::AttemptRefused)
                .map(|story| story.told.exchange),
        );
        let can_be_stopped = |id: &[u8; 16]| {
            let found = holdings.iter().find(|holding| {
                holding.record.id.bytes() == id && holding.record.state == ConsentState::Given
            });
            found.map(|holding| Remedy::Stop(holding.record.id))
        };
        let told = stories.iter().map(|story| {
            let exchange = story.told.exchange;
            let can_be_objected_to = is_about_handover(story.told.kind)
                && self.is_under_statute(&story.told, &directory)
                && !ended.contains(&exchange);
            OverviewLine {
                time: story.time,
                sentence: sentence::story(story, &words, language),
                remedy: if can_be_objected_to {
                    HandoverId::from_slice(&exchange).map(Remedy::Object)
                } else {
                    can_be_stopped(&exchange)
                },
            }
        });
        let own = papers.iter().filter_map(|paper| {
            let statement = &paper.statement;
            let id = *statement.record.id.bytes();
            Some(OverviewLine {
                time: statement.event_time,
                sentence: sentence::paper(statement, &words, language)?,
                remedy: can_be_stopped(&id),
            })
        });
        let mut lines: Vec<OverviewLine> = told.chain(own).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.time));
        Ok(Overview {
            lines,
            consents: holdings.into_iter().map(|holding| holding.record).collect(),
        })
    }

    /// The consents of a person as they stand.
    pub(super) async fn holdings(&self, session: &Session) -> Result<Vec<Holding>, PortalError> {
        let (papers, stories) = self.opened(session).await?;
        Ok(holdings(&papers, &stories, self.now()))
    }

    /// A person's lines, opened.
    async fn opened(&self, session: &Session) -> Result<(Vec<Paper>, Vec<Story>), PortalError> {
        let (mut papers, mut stories) = (Vec::new(), Vec::new());
        for known in &session.known {
            for line in self.open_all(known, CONSENT).await? {
                papers.push(Paper::parse(&line)?);
            }
            for line in self.open_all(known, STORY).await? {
                stories.push(Story::parse(&line)?);
            }
        }
        Ok((papers, stories))
    }

    async fn open_all(&self, known: &Known, kind: i64) -> Result<Vec<Vec<u8>>, PortalError> {
        let find = Lines {
            person_index: &known.index,
            kind,
            limit: LINES_MAX,
        };
        let rows = self.database().read(&find).await?;
        rows.iter()
            .map(|row| {
                open_line(known.keys.opening_key(), row.line_id.bytes(), &row.sealed)
                    .map(|opened| opened.expose().clone())
                    .map_err(|_| PortalError::Malformed("a row of line"))
            })
            .collect()
    }
}

const fn is_about_handover(kind: FeedKind) -> bool {
    match kind {
        FeedKind::Prepared
        | FeedKind::State
        | FeedKind::Opened
        | FeedKind::StepRefused
        | FeedKind::Notice
        | FeedKind::NoticeAnswered
        | FeedKind::Objection => true,
        FeedKind::AttemptRefused
        | FeedKind::ConsentAsked
        | FeedKind::ConsentAssisted
        | FeedKind::Consent
        | FeedKind::Folded => false,
    }
}
