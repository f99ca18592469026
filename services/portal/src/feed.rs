//! Taking over the feed: each line is sealed to its person at once, and the person's blocks are kept.
//!
//! The pseudonym of an introduction lives as long as it takes to derive the person's keys. Must never
//! acknowledge a line before the database has it, and must never keep a line in clear.

use super::broker::Broker;
use super::errand::{Objection, Task};
use super::line::{CONSENT, Paper, STORY, Story};
use super::rows::{FindBlocks, FindExchanges, Keep};
use super::{Halt, Portal, PortalError, permitted};
use papers::author::{Author, Place};
use papers::feed::FeedLine;
use rules::consent::ConsentState;
use rules::feed::FeedKind;
use rules::id::{ConsentId, EntryId, HandoverId, Tag};
use rules::reason::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use store::Queue;
use store::portal::{ExchangeRow, LineRow};
use vault::person::{PersonKeys, seal_line};
use vault::sealing::SealingKey;

/// Lines asked for at once.
pub const FEED_LINES: usize = 200;
/// Answers taken in one go, so that a full feed does not hold up the rest.
const ROUNDS_MAX: usize = 50;

/// Exchanges by index.
type Exchanges = BTreeMap<[u8; 32], ExchangeRow>;
/// Persons with the tags of the organisations that they blocked.
type Blocks = Vec<([u8; 32], Tag)>;

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
            let (done, fault) = self.take_page(&lines).await?;
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

    /// Takes over a page: all its lines are looked up, sealed and written together, and then what they call
    /// for is done, one after the other. Gives the lines that need not come again, and what kept it from going
    /// on.
    async fn take_page(
        &self,
        lines: &[FeedLine],
    ) -> Result<(Vec<EntryId>, Option<PortalError>), PortalError> {
        let exchanges = self.exchanges_of(lines).await?;
        let asked = |line: &FeedLine| line.told.kind == FeedKind::ConsentAsked;
        let blocks = self.blocks_of(&exchanges, lines, asked).await?;
        let mut keep = Keep {
            exchanges: exchanges.values().cloned().collect(),
            ..Keep::default()
        };
        for line in lines {
            match self.row_of(line, &exchanges, &blocks) {
                Ok(row) => keep.lines.push(row),
                Err(error) => lost(line, &error),
            }
        }
        self.database().write(&keep).await?;
        // After the lines are written: whoever blocks meanwhile either finds them or is found here.
        let is_any = |line: &FeedLine| is_followed_up(line.told.kind);
        let blocks = self.blocks_of(&exchanges, lines, is_any).await?;
        let mut done = Vec::with_capacity(lines.len());
        for line in lines {
            if let Some(exchange) = exchanges.get(&self.told_index(&line.told)) {
                let is_blocked = self.is_blocked(line, exchange, &blocks);
                match self.follow_up(line, exchange, is_blocked).await {
                    Ok(()) => {}
                    Err(error) if error.is_transient() => return Ok((done, Some(error))),
                    Err(error) => lost(line, &error),
                }
            }
            done.push(line.id);
        }
        Ok((done, None))
    }

    /// A line as it is kept.
    fn row_of(
        &self,
        line: &FeedLine,
        exchanges: &Exchanges,
        blocks: &Blocks,
    ) -> Result<LineRow, PortalError> {
        let exchange = exchanges.get(&self.told_index(&line.told));
        let exchange =
            exchange.ok_or(PortalError::Malformed("an exchange that nobody introduced"))?;
        let mut story = Story::of(line);
        if line.told.kind == FeedKind::ConsentAsked && self.is_blocked(line, exchange, blocks) {
            // Whoever asked hears nothing of it, as of every question that is not answered with yes.
            ConsentState::Refused
                .code()
                .clone_into(&mut story.told.code);
        }
        seal(exchange, line.id, STORY, &story.to_bytes()?, line.time)
    }

    /// What a line calls for, beside being kept.
    async fn follow_up(
        &self,
        line: &FeedLine,
        exchange: &ExchangeRow,
        is_blocked: bool,
    ) -> Result<(), PortalError> {
        match line.told.kind {
            FeedKind::ConsentAssisted => self.take_assisted(line, exchange, is_blocked).await,
            FeedKind::Prepared if is_blocked => self.object_to(line, exchange).await,
            FeedKind::Prepared
            | FeedKind::AttemptRefused
            | FeedKind::State
            | FeedKind::Opened
            | FeedKind::StepRefused
            | FeedKind::ConsentAsked
            | FeedKind::Consent
            | FeedKind::Notice
            | FeedKind::NoticeAnswered
            | FeedKind::Objection
            | FeedKind::Folded
            | FeedKind::ReportSent
            | FeedKind::ReportOpened
            | FeedKind::ReportRefused
            | FeedKind::ReportReadRefused
            | FeedKind::ReportNotice
            | FeedKind::ReportNoticeAnswered
            | FeedKind::WrongPerson => Ok(()),
        }
    }

    /// To whom the lines of a page belong: as introduced by an earlier line, or by one of them.
    async fn exchanges_of(&self, lines: &[FeedLine]) -> Result<Exchanges, PortalError> {
        let indexes: BTreeSet<_> = lines
            .iter()
            .map(|line| self.told_index(&line.told))
            .collect();
        let find = FindExchanges {
            indexes: indexes.into_iter().collect(),
            queue: Queue::Own,
        };
        let mut exchanges: Exchanges = self
            .database()
            .read(&find)
            .await?
            .into_iter()
            .map(|row| (row.exchange_index, row))
            .collect();
        for line in lines {
            let index = self.told_index(&line.told);
            let Some(introduction) = &line.told.introduction else {
                continue;
            };
            if exchanges.contains_key(&index) {
                continue;
            }
            match self.broker().introduced(introduction).await {
                Ok(pseudonym) => {
                    let keys = PersonKeys::derive(&pseudonym);
                    let exchange = ExchangeRow {
                        exchange_index: index,
                        person_index: self.person_index(&keys),
                        sealing_key: keys.opening_key().public().bytes().to_vec(),
                        created_at: line.time,
                    };
                    exchanges.insert(index, exchange);
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => lost(line, &error),
            }
        }
        Ok(exchanges)
    }

    /// What the persons of some of these lines blocked.
    async fn blocks_of(
        &self,
        exchanges: &Exchanges,
        lines: &[FeedLine],
        of: impl Fn(&FeedLine) -> bool,
    ) -> Result<Blocks, PortalError> {
        let persons: BTreeSet<_> = lines
            .iter()
            .filter(|line| of(line))
            .filter_map(|line| exchanges.get(&self.told_index(&line.told)))
            .map(|exchange| exchange.person_index)
            .collect();
        if persons.is_empty() {
            return Ok(Blocks::new());
        }
        let find = FindBlocks(persons.into_iter().collect());
        self.database().read(&find).await
    }

    fn is_blocked(&self, line: &FeedLine, exchange: &ExchangeRow, blocks: &Blocks) -> bool {
        let parties = [&line.told.sender, &line.told.recipient];
        self.is_one_blocked(&exchange.person_index, parties, blocks)
    }

    /// A desk registered a consent with the person: the person gets the whole record, and a blocked
    /// organisation gets no more from it than that.
    async fn take_assisted(
        &self,
        line: &FeedLine,
        exchange: &ExchangeRow,
        is_blocked: bool,
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
        if standing.record.state.is_terminal() || !is_blocked {
            return Ok(());
        }
        let directory = self.broker().directory();
        let statement = self.author(&directory).withdrawn(&standing.record);
        let statement = statement.map_err(|refusal| refused(&refusal))?;
        self.follow_block(exchange, Task::Stop(statement)).await
    }

    /// Under statute a block is an objection, filed when the exchange is first heard of.
    async fn object_to(&self, line: &FeedLine, exchange: &ExchangeRow) -> Result<(), PortalError> {
        let directory = self.broker().directory();
        let handover = HandoverId::from_slice(&line.told.exchange);
        let Some(handover) = handover.filter(|_| self.is_under_statute(&line.told, &directory))
        else {
            return Ok(());
        };
        let object = Objection::of(handover, &line.told);
        self.follow_block(exchange, Task::Object(object)).await
    }

    /// What a block calls for is kept, and done at once where that goes.
    async fn follow_block(&self, exchange: &ExchangeRow, task: Task) -> Result<(), PortalError> {
        let errand = self.errand(exchange.clone(), task);
        self.keep_errands(Vec::new(), std::slice::from_ref(&errand))
            .await?;
        self.deliver_now(std::slice::from_ref(&errand)).await;
        Ok(())
    }

    /// Seals a version of a consent to its person and keeps it.
    pub(super) async fn keep_paper(
        &self,
        exchange: &ExchangeRow,
        id: EntryId,
        paper: &Paper,
    ) -> Result<(), PortalError> {
        let keep = Keep {
            exchanges: vec![exchange.clone()],
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

/// Whether a block calls for something when a line of this kind comes.
const fn is_followed_up(kind: FeedKind) -> bool {
    matches!(kind, FeedKind::ConsentAssisted | FeedKind::Prepared)
}

/// It can be sealed to nobody, today or later; left there it would come for ever.
fn lost(line: &FeedLine, error: &PortalError) {
    tracing::error!(line = %line.id, %error, "a line of the feed is lost");
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
        copied_until: None,
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

/// What a permitted answer says, where a refusal cannot be.
pub(super) async fn ask_ours<T>(asking: super::Asking<'_, T>) -> Result<T, PortalError> {
    match asking.await? {
        Outcome::Permitted(value) => Ok(value),
        Outcome::Refused(refusal) => Err(refused(&refusal)),
    }
}

/// What a permitted answer says; a refusal ends the call.
pub(super) async fn ask<T>(asking: super::Asking<'_, T>) -> Result<T, Halt> {
    permitted(asking.await?)
}
