//! Doing errands: at once when they are asked for, and again until the broker has answered.
//!
//! Must never forget an errand because somebody is away or says no for a reason of their own: a stop is over when the
//! broker has it, or says that nothing stands. Must never let one that waits hold up another person's.

use super::copy;
use super::errand::{Errand, Need, Objection, Task, relation_of};
use super::feed::paper_row;
use super::line::Paper;
use super::rows::errands::{DueErrands, ErrandsOf, FinishErrand, KeepErrands, MarkTried};
use super::session::Session;
use super::{Portal, PortalError, lock};
use rules::clock::Timestamp;
use rules::consent::{ConsentState, Statement, StatementEvent};
use rules::id::{RequestId, Tag};
use rules::limits::{DAY_MILLIS, DEADLINE_MILLIS_MAX, ORDER_WINDOW_MILLIS_MAX, PORTAL_COPIED_DAYS};
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::Queue;
use store::errand::ErrandRow;
use store::portal::LineRow;

/// How long an errand rests after it was tried, in milliseconds.
const REST_MILLIS: i64 = 1_000;
/// How often the broker may say that it does not know a consent before that counts: as long as it may still be on its
/// way, which is while the order that it came with holds, and the call that brought it. Answers of this process are
/// counted and no clock is read, because one that is set ahead would end a stop. In a round of each need a stop is tried,
/// and a round comes no sooner than after a rest.
const UNKNOWN_ANSWERS_MAX: i64 = 2 * (ORDER_WINDOW_MILLIS_MAX + DEADLINE_MILLIS_MAX) / REST_MILLIS;
/// Errands that fail in a row before a round ends: then it is the broker that is away, and not one errand.
const FAULTS_MAX: u32 = 3;
/// How long a person is kept waiting for their errands; the rest is done afterwards.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(4);

/// What came of an errand.
#[derive(Clone, Debug)]
pub(super) enum Delivered {
    /// Done; with the signed paper.
    Done(String),
    /// An objection was noted.
    Noted(Timestamp),
    /// What a block or a no stops was found, and is kept.
    Found,
    /// There was nothing to be done, or it can never be.
    Refused(Refusal),
}

/// What came of the errands of one call, and how many the broker has not answered.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    delivered: BTreeMap<[u8; 16], Delivered>,
    /// Those to which the broker said what no second attempt changes.
    stuck: BTreeSet<[u8; 16]>,
    pub(super) still_to_do: u32,
}

impl Deliveries {
    pub(super) fn of(&self, errand: &[u8; 16]) -> Option<&Delivered> {
        self.delivered.get(errand)
    }

    /// Whether an errand waits for nobody, and cannot be done.
    pub(super) fn is_stuck(&self, errand: &[u8; 16]) -> bool {
        self.stuck.contains(errand)
    }

    /// How many were done and not refused.
    pub(super) fn done(&self, errands: &[Errand], counts: impl Fn(&Task) -> bool) -> u32 {
        let done = errands
            .iter()
            .filter(|errand| counts(&errand.task))
            .filter(|errand| {
                matches!(
                    self.of(&errand.id),
                    Some(Delivered::Done(_) | Delivered::Noted(_))
                )
            });
        u32::try_from(done.count()).unwrap_or(u32::MAX)
    }
}

impl Portal {
    /// Keeps errands, and the blocks that bring them about, in one transaction.
    pub(super) async fn keep_errands(
        &self,
        blocks: Vec<([u8; 32], Tag)>,
        errands: &[Errand],
    ) -> Result<(), PortalError> {
        let mut copies: Vec<_> = blocks
            .iter()
            .map(|(person_index, tag)| self.copy_of_block(person_index, *tag))
            .collect();
        copies.extend(errands.iter().map(|errand| self.copy_of_errand(&errand.id)));
        let rows = errands.iter().map(|errand| self.errand_row(errand));
        let keep = KeepErrands {
            errands: rows.collect::<Result<_, _>>()?,
            blocks,
            copies,
        };
        self.database().write(&keep).await?;
        self.0.copies_wait.notify_one();
        Ok(())
    }

    /// Does errands that have been kept, as far as that goes within a few seconds.
    pub(super) async fn deliver_now(&self, errands: &[Errand]) -> Deliveries {
        let mut deliveries = Deliveries::default();
        // A no is not registered while what it is about may stand.
        let is_found = !errands.iter().any(Errand::is_find);
        let doing = async {
            for errand in errands {
                if errand.need() == Need::Holders && !is_found {
                    continue;
                }
                match self.deliver(errand).await {
                    Ok(delivered) => {
                        deliveries.delivered.insert(errand.id, delivered);
                    }
                    Err(error) => {
                        tracing::info!(%error, "an errand waits for its answer");
                        if matches!(error, PortalError::Broker(_)) {
                            deliveries.stuck.insert(errand.id);
                        }
                        if error.is_transient() && errand.need() == Need::Broker {
                            break;
                        }
                    }
                }
            }
        };
        let in_time = tokio::time::timeout(WAIT_MAX, doing).await;
        if in_time.is_err() {
            tracing::info!("errands wait for their answers");
        }
        let waiting = errands.len().saturating_sub(deliveries.delivered.len());
        deliveries.still_to_do = u32::try_from(waiting).unwrap_or(u32::MAX);
        deliveries
    }

    /// What these persons asked for and the broker has not answered, oldest first.
    pub(super) async fn errands_of(
        &self,
        persons: Vec<[u8; 32]>,
        queue: Queue,
    ) -> Result<Vec<Errand>, PortalError> {
        let rows = self.database().read(&ErrandsOf { persons, queue }).await?;
        let errands = rows.iter().map(|row| self.open_errand(row));
        let mut errands = errands.collect::<Result<Vec<_>, _>>()?;
        errands.sort_by_key(|errand| (errand.asked_at, errand.id));
        Ok(errands)
    }

    /// The errands of whoever is logged in.
    pub(super) async fn own_errands(
        &self,
        session: &Session,
        queue: Queue,
    ) -> Result<Vec<Errand>, PortalError> {
        self.errands_of(session.indexes().copied().collect(), queue)
            .await
    }

    /// A round through the errands that need the same, those first that have waited longest; gives how many were
    /// answered. One round at a time for each need, so that what needs key holders keeps no stop waiting.
    ///
    /// # Errors
    /// When the broker or the database is away: what was not answered is tried again.
    pub async fn run_errands(&self, need: Need) -> Result<usize, PortalError> {
        if self.is_shut() {
            // They are of a backup, and may have been answered since.
            return Ok(0);
        }
        let _turn = match need {
            Need::Broker => self.0.stop_turn.lock().await,
            Need::Holders => self.0.refusal_turn.lock().await,
        };
        let now = self.now();
        let due = DueErrands {
            stage: need.number(),
            before: now.plus_millis(-REST_MILLIS),
            now,
        };
        let (mut answered, mut faults) = (0_usize, 0_u32);
        for row in self.database().read(&due).await? {
            let errand = self.open_errand(&row);
            let tried = match &errand {
                Ok(errand) => self.deliver_in_order(errand).await,
                Err(_) => Err(PortalError::Malformed("a row of errand")),
            };
            match tried {
                Ok(_) => {
                    answered = answered.saturating_add(1);
                    faults = 0;
                }
                Err(error) => {
                    let tried = MarkTried(row.errand_id, self.now());
                    self.database().write(&tried).await?;
                    if error.is_transient() {
                        faults = faults.saturating_add(1);
                        if faults >= FAULTS_MAX {
                            return Err(error);
                        }
                    } else {
                        self.name_once(row.errand_id, &error, "an errand cannot be done");
                    }
                }
            }
        }
        Ok(answered)
    }

    /// A refusal comes after the same person's stops, which need no key holder; and not before all of those are found
    /// that it is about.
    async fn deliver_in_order(&self, errand: &Errand) -> Result<Delivered, PortalError> {
        if let Task::Refuse { statement, .. } = &errand.task {
            let person = vec![errand.exchange.person_index];
            let relation = relation_of(&statement.record);
            for before in self.errands_of(person.clone(), Queue::Stop).await? {
                if before.is_find() && before.is_in(&relation) {
                    self.deliver(&before).await?;
                }
            }
            for before in self.errands_of(person, Queue::Stop).await? {
                if before.need() == Need::Broker {
                    match self.deliver(&before).await {
                        Err(error) if error.is_transient() => return Err(error),
                        _ => {}
                    }
                }
            }
        }
        self.deliver(errand).await
    }

    /// Somebody must look, and is told once.
    pub(super) fn name_once(&self, id: [u8; 16], error: &PortalError, what: &'static str) {
        if lock(&self.0.named).insert(id) {
            tracing::error!(id = rules::hex::encode(&id), %error, "{what}");
        }
    }

    /// Whether somebody was told of it.
    pub(super) fn is_named(&self, id: &[u8; 16]) -> bool {
        lock(&self.0.named).contains(id)
    }

    /// Tries an errand once. What is answered is kept for the person, and the errand is over.
    pub(super) async fn deliver(&self, errand: &Errand) -> Result<Delivered, PortalError> {
        match &errand.task {
            Task::Stop(statement) => self.deliver_stop(errand, statement).await,
            Task::Refuse { statement, person } => {
                match self.broker().register_of(person, statement).await? {
                    Outcome::Permitted(jws) => self.done(errand, statement.clone(), jws).await,
                    Outcome::Refused(refusal) => {
                        self.look_after_refusal(errand, statement, refusal).await
                    }
                }
            }
            Task::Object(object) => self.deliver_objection(errand, object).await,
            Task::Find { person, .. } => self.deliver_find(errand, person).await,
        }
    }

    async fn deliver_stop(
        &self,
        errand: &Errand,
        statement: &Statement,
    ) -> Result<Delivered, PortalError> {
        let refusal = match self.broker().withdraw(errand.request, statement).await? {
            Outcome::Permitted(jws) => return self.done(errand, statement.clone(), jws).await,
            Outcome::Refused(refusal) => refusal,
        };
        let standing = match self.broker().consent(statement.record.id).await? {
            Outcome::Permitted(standing) => standing,
            Outcome::Refused(gone) if gone.reason == Reason::NotAvailable => {
                if self.count_unknown(errand) < UNKNOWN_ANSWERS_MAX {
                    let text = "the broker does not know the consent yet".to_owned();
                    return Err(PortalError::BrokerAway(text));
                }
                return self.over(errand, refusal).await;
            }
            Outcome::Refused(other) => return Err(unexpected(&other)),
        };
        if standing.record.state == ConsentState::Withdrawn
            && standing.statement.event == StatementEvent::Withdrawn
        {
            // It was heard the first time, and the answer was lost.
            return self.done(errand, standing.statement, standing.jws).await;
        }
        if standing.record.state.is_terminal() {
            return self.over(errand, refusal).await;
        }
        // It was changed meanwhile: the stop is written anew, on what stands.
        let directory = self.broker().directory();
        let anew = self.author(&directory).withdrawn(&standing.record);
        let anew = anew.map_err(|refusal| unexpected(&refusal))?;
        let request = RequestId::draw(self.clock(), self.random());
        match self.broker().withdraw(request, &anew).await? {
            Outcome::Permitted(jws) => self.done(errand, anew, jws).await,
            Outcome::Refused(refusal) => Err(unexpected(&refusal)),
        }
    }

    /// How often the broker has said that it does not know what an errand stops.
    fn count_unknown(&self, errand: &Errand) -> i64 {
        let mut unknown = lock(&self.0.unknown);
        let answers = unknown.entry(*errand.request.bytes()).or_default();
        *answers = answers.saturating_add(1);
        *answers
    }

    /// The broker would not register a refusal: it has it already, or nobody can exchange anything there, or it is to
    /// be tried again.
    async fn look_after_refusal(
        &self,
        errand: &Errand,
        statement: &Statement,
        refusal: Refusal,
    ) -> Result<Delivered, PortalError> {
        match self.broker().consent(statement.record.id).await? {
            Outcome::Permitted(known) => self.done(errand, known.statement, known.jws).await,
            Outcome::Refused(gone)
                if gone.reason == Reason::NotAvailable && is_moot(refusal.reason) =>
            {
                self.over(errand, refusal).await
            }
            Outcome::Refused(_) => Err(unexpected(&refusal)),
        }
    }

    async fn deliver_objection(
        &self,
        errand: &Errand,
        object: &Objection,
    ) -> Result<Delivered, PortalError> {
        let asked = self
            .broker()
            .object(errand.request, object.handover, object.restrict);
        match asked.await? {
            Outcome::Permitted(time) => {
                self.finish(errand, None, &[]).await?;
                Ok(Delivered::Noted(time))
            }
            Outcome::Refused(refusal) if is_nothing_to_object_to(refusal.reason) => {
                self.over(errand, refusal).await
            }
            // A reason of the portal's own standing, or a fault there: the objection stays to be made.
            Outcome::Refused(refusal) => Err(unexpected(&refusal)),
        }
    }

    async fn done(
        &self,
        errand: &Errand,
        statement: Statement,
        jws: String,
    ) -> Result<Delivered, PortalError> {
        let paper = Paper { statement, jws };
        let copied_days = PORTAL_COPIED_DAYS.saturating_mul(DAY_MILLIS);
        let line = LineRow {
            copied_until: Some(self.now().plus_millis(copied_days)),
            ..paper_row(&errand.exchange, errand.line, &paper)?
        };
        self.finish(errand, Some(line), &[]).await?;
        Ok(Delivered::Done(paper.jws))
    }

    async fn over(&self, errand: &Errand, refusal: Refusal) -> Result<Delivered, PortalError> {
        let reason = refusal.reason.code();
        tracing::info!(reason, "an errand ended without being done");
        self.finish(errand, None, &[]).await?;
        Ok(Delivered::Refused(refusal))
    }

    /// Ends an errand: with the paper that came of it, or the errands.
    pub(super) async fn finish(
        &self,
        errand: &Errand,
        paper: Option<LineRow>,
        found: &[Errand],
    ) -> Result<(), PortalError> {
        let mut copies = vec![self.copy_of_errand(&errand.id)];
        copies.extend(found.iter().map(|found| self.copy_of_errand(&found.id)));
        let found = found.iter().map(|found| self.errand_row(found));
        if let Some(line) = &paper {
            copies.push(self.copy_name(copy::LINE, line.line_id.bytes()));
        }
        let is_same = |row: &ErrandRow| self.is_row_of(row, errand);
        let finish = FinishErrand {
            errand: (errand.id, &is_same),
            paper: paper.map(|line| (&errand.exchange, line)),
            found: found.collect::<Result<_, _>>()?,
            copies,
        };
        self.database().write(&finish).await?;
        lock(&self.0.unknown).remove(errand.request.bytes());
        self.0.copies_wait.notify_one();
        Ok(())
    }
}

/// Whether nothing can be exchanged where a refusal has this answer, so that there is nothing to refuse.
const fn is_moot(reason: Reason) -> bool {
    matches!(reason, Reason::NoAgreement | Reason::BasisMissing)
}

/// Whether an objection has this answer because there is nothing to object to: the handover is over, or gone.
const fn is_nothing_to_object_to(reason: Reason) -> bool {
    matches!(reason, Reason::StateForbidsEvent | Reason::NotAvailable)
}

/// A refusal where there is none to be had: what is asked for stays to be done.
pub(super) fn unexpected(refusal: &Refusal) -> PortalError {
    PortalError::Broker(refusal.reason.code().to_owned())
}
