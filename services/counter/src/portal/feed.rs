//! Taking over the feed: each line is sealed to its person at once, and the person's blocks are kept.
//!
//! The pseudonym of an introduction lives as long as it takes to derive the person's keys. Must never
//! acknowledge a line before the database has it, and must never keep a line in clear.

use super::broker::Broker;
use super::line::{CONSENT, Paper, STORY, Story};
use super::rows::{FindBlock, FindExchange, Keep};
use super::{Halt, Portal, PortalError, permitted};
use crate::consent::author::{Author, Place};
use crate::feed::FeedLine;
use rules::consent::ConsentState;
use rules::feed::FeedKind;
use rules::id::{ConsentId, EntryId, HandoverId, Oin};
use rules::reason::Outcome;
use store::portal::{ExchangeRow, LineRow};
use vault::person::{PersonKeys, seal_line};
use vault::sealing::SealingKey;

/// Lines asked for at once.
pub const FEED_LINES: usize = 200;
/// Answers taken in one go, so that a full feed does not hold up the rest.
const ROUNDS_MAX: usize = 50;

impl Portal {
    /// Takes over everything that waits in the feed; answers how many lines. One at a time.
    ///
    /// # Errors
    /// When the broker or the database is away: what was not acknowledged comes again.
    pub async fn take_in(&self) -> Result<usize, PortalError> {
        let _turn = self.0.feed_turn.lock().await;
        let mut taken = 0_usize;
        for _ in 0..ROUNDS_MAX {
            let lines = match self.broker().pull(FEED_LINES).await? {
                Outcome::Permitted(lines) => lines,
                Outcome::Refused(refusal) => return Err(refused(&refusal)),
            };
            let mut done = Vec::with_capacity(lines.len());
            let mut fault = None;
            for line in &lines {
                match self.take_line(line).await {
                    Ok(()) => done.push(line.id),
                    Err(error) if error.is_transient() => {
                        fault = Some(error);
                        break;
                    }
                    Err(error) => {
                        // It can be sealed to nobody, today or later; left there it would come for ever.
                        tracing::error!(line = %line.id, %error, "a line of the feed is lost");
                        done.push(line.id);
                    }
                }
            }
            if !done.is_empty() {
                if let Outcome::Refused(refusal) = self.broker().acknowledge(&done).await? {
                    return Err(refused(&refusal));
                }
                taken = taken.saturating_add(done.len());
            }
            match fault {
                Some(error) => return Err(error),
                None if lines.len() < FEED_LINES => break,
                None => {}
            }
        }
        Ok(taken)
    }

    async fn take_line(&self, line: &FeedLine) -> Result<(), PortalError> {
        let exchange = self.exchange_of(line).await?;
        let mut story = Story::of(line);
        if line.told.kind == FeedKind::ConsentAsked && self.is_blocked(line, &exchange).await? {
            // Whoever asked hears nothing of it, as of every question that is not answered with yes.
            ConsentState::Refused
                .code()
                .clone_into(&mut story.told.code);
        }
        let story = story.to_bytes()?;
        let row = seal(&exchange, line.id, STORY, &story, line.time)?;
        let keep = Keep {
            exchange: Some(exchange.clone()),
            lines: vec![row],
            instead_of: None,
        };
        self.database().write(&keep).await?;
        match line.told.kind {
            FeedKind::ConsentAssisted => self.take_assisted(line, &exchange).await,
            FeedKind::Prepared => self.object_if_blocked(line, &exchange).await,
            FeedKind::AttemptRefused
            | FeedKind::State
            | FeedKind::Opened
            | FeedKind::StepRefused
            | FeedKind::ConsentAsked
            | FeedKind::Consent
            | FeedKind::Notice
            | FeedKind::NoticeAnswered
            | FeedKind::Objection => Ok(()),
        }
    }

    /// To whom a line belongs: as introduced by it, or by an earlier line.
    async fn exchange_of(&self, line: &FeedLine) -> Result<ExchangeRow, PortalError> {
        let index = self.exchange_index(&line.told.exchange);
        let find = FindExchange(&index);
        if let Some(exchange) = self.database().read(&find).await? {
            return Ok(exchange);
        }
        let introduction = line.told.introduction.as_ref();
        let introduction =
            introduction.ok_or(PortalError::Malformed("an exchange that nobody introduced"))?;
        let pseudonym = self.broker().introduced(introduction).await?;
        let keys = PersonKeys::derive(&pseudonym);
        Ok(ExchangeRow {
            exchange_index: index,
            person_index: self.person_index(&keys),
            sealing_key: keys.opening_key().public().bytes().to_vec(),
            created_at: line.time,
        })
    }

    /// A desk registered a consent with the person: the person gets the whole record, and a blocked
    /// organisation gets no more from it than that.
    async fn take_assisted(
        &self,
        line: &FeedLine,
        exchange: &ExchangeRow,
    ) -> Result<(), PortalError> {
        let Some(id) = ConsentId::from_slice(&line.told.exchange) else {
            return Ok(());
        };
        let standing = match self.broker().consent(id).await? {
            Outcome::Permitted(standing) => standing,
            Outcome::Refused(refusal) => return Err(refused(&refusal)),
        };
        let paper = Paper {
            statement: standing.statement,
            jws: standing.jws,
        };
        let id = beside(line.id, paper.statement.record.version);
        self.keep_paper(exchange, id, &paper).await?;
        if standing.record.state.is_terminal() || !self.is_blocked(line, exchange).await? {
            return Ok(());
        }
        let directory = self.broker().directory();
        let statement = match self.author(&directory).withdrawn(&standing.record) {
            Ok(statement) => statement,
            Err(refusal) => return Err(refused(&refusal)),
        };
        match self.broker().withdraw(&statement).await? {
            Outcome::Permitted(jws) => {
                let paper = Paper { statement, jws };
                let id = EntryId::draw(self.clock(), self.random());
                self.keep_paper(exchange, id, &paper).await
            }
            Outcome::Refused(refusal) => Err(refused(&refusal)),
        }
    }

    /// Under statute a block is an objection, filed when the exchange is first heard of.
    async fn object_if_blocked(
        &self,
        line: &FeedLine,
        exchange: &ExchangeRow,
    ) -> Result<(), PortalError> {
        let Some(handover) = HandoverId::from_slice(&line.told.exchange) else {
            return Ok(());
        };
        let directory = self.broker().directory();
        if !self.is_under_statute(&line.told, &directory)
            || !self.is_blocked(line, exchange).await?
        {
            return Ok(());
        }
        if let Outcome::Refused(refusal) = self.broker().object(handover, false).await? {
            tracing::info!(
                reason = refusal.reason.code(),
                "an objection on a block was not noted"
            );
        }
        Ok(())
    }

    async fn is_blocked(
        &self,
        line: &FeedLine,
        exchange: &ExchangeRow,
    ) -> Result<bool, PortalError> {
        let index = &exchange.person_index;
        let find = FindBlock {
            person_index: index,
            tags: [&line.told.sender.oin, &line.told.recipient.oin]
                .map(|oin: &Oin| self.block_tag(index, oin)),
        };
        self.database().read(&find).await
    }

    /// Seals a version of a consent to its person and keeps it.
    pub(super) async fn keep_paper(
        &self,
        exchange: &ExchangeRow,
        id: EntryId,
        paper: &Paper,
    ) -> Result<(), PortalError> {
        let keep = Keep {
            exchange: Some(exchange.clone()),
            lines: vec![paper_row(exchange, id, paper)?],
            instead_of: None,
        };
        self.database().write(&keep).await
    }

    pub(super) fn author<'a>(&'a self, directory: &'a rules::directory::Directory) -> Author<'a> {
        Author {
            desk: &self.0.desk,
            place: Place::Portal,
            level: self.0.identities.level(),
            directory,
            register: &self.0.register,
            now: self.now(),
        }
    }

    pub(super) fn broker(&self) -> &dyn Broker {
        self.0.broker.as_ref()
    }
}

/// A version of a consent as its row.
pub(super) fn paper_row(
    exchange: &ExchangeRow,
    id: EntryId,
    paper: &Paper,
) -> Result<LineRow, PortalError> {
    let time = paper.statement.event_time;
    seal(exchange, id, CONSENT, &paper.to_bytes()?, time)
}

fn seal(
    exchange: &ExchangeRow,
    id: EntryId,
    kind: i64,
    plain: &[u8],
    time: rules::clock::Timestamp,
) -> Result<LineRow, PortalError> {
    let key = SealingKey::parse(&exchange.sealing_key)
        .map_err(|_| PortalError::Malformed("a row of exchange"))?;
    let sealed =
        seal_line(&key, id.bytes(), plain).map_err(|_| PortalError::Vault("a sealed line"))?;
    Ok(LineRow {
        line_id: id,
        exchange_index: exchange.exchange_index,
        person_index: exchange.person_index,
        kind,
        sealed,
        created_at: time,
    })
}

/// The id of a version of the consent that is kept beside a line: the same each time the line comes.
fn beside(line: EntryId, version: u64) -> EntryId {
    let version = version.to_be_bytes();
    let parts: [&[u8]; 3] = [b"sluis/portal-paper/1", line.bytes(), &version];
    let digest = vault::digest::sha256_parts(&parts);
    digest
        .first_chunk::<16>()
        .and_then(|octets| EntryId::from_slice(octets))
        .unwrap_or(line)
}

/// A refusal where none can be: the portal asks here for what is its own.
fn refused(refusal: &rules::reason::Refusal) -> PortalError {
    PortalError::Broker(refusal.reason.code().to_owned())
}

/// What a permitted answer says; a refusal ends the call.
pub(super) async fn ask<T>(asking: super::Asking<'_, T>) -> Result<T, Halt> {
    permitted(asking.await?)
}
