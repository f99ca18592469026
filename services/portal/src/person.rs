//! What a person who is logged in does: give, narrow and stop consent, refuse, object, link to a vakbond.
//!
//! A choice lies sealed with its person before the broker hears of it, so that none is ever made that its
//! maker cannot see and stop; a stop, a refusal or an objection is an errand that is kept until the broker has
//! answered. Must never act on anything that is not the person's own.

use super::choice::{Asked, Kept};
use super::delivery::{Delivered, WAIT_MAX};
use super::errand::{Errand, Objection, Task, relation_of};
use super::feed::{ask, paper_row};
use super::line::Paper;
use super::refuse::is_refusal;
use super::rows::{FindBlocks, FindExchanges, Forget, Keep};
use super::session::{Known, Session};
use super::{Halt, Portal, PortalError, settle};
use papers::author::{Choice, Narrowing};
use rules::clock::Timestamp;
use rules::consent::{ConsentState, LinkCode, Statement, StatementEvent, StopCode};
use rules::id::{ConsentId, EntryId, HandoverId, Oin, PeerKind, RequestId};
use rules::pseudonym::Relation;
use rules::reason::{Outcome, Reason, Refusal};
use std::sync::Arc;
use store::Queue;
use store::portal::ExchangeRow;

/// A choice that was registered.
#[derive(Clone, Debug)]
pub struct Given {
    /// The consent statement to keep, a compact JWS; empty while a refusal is still being passed on.
    pub statement_jws: String,
    /// The stop code on it; none when refused.
    pub stop_code: Option<StopCode>,
    /// The record.
    pub record: ConsentId,
    /// Of a refusal: consents that it stopped.
    pub stopped: u32,
    /// Of a refusal: stops, and the refusal itself, that the broker has not answered. They are repeated until it has.
    pub still_to_do: u32,
}

/// What came of a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is stopped, by this statement.
    Done(String),
    /// The broker has not answered. The stop is kept, and repeated until it has.
    StillToDo,
}

/// What came of an objection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objected {
    /// It was noted at this moment.
    Noted(Timestamp),
    /// The broker has not answered. The objection is kept, and repeated until it has.
    StillToDo,
}

impl Portal {
    /// Registers a person's choice. The same request again is a repeat and gets the same answer.
    ///
    /// A no first stops what stands, which needs no key holder, and is then registered. Both are kept until the broker
    /// has answered.
    ///
    /// Refuses with `LOGIN_REFUSED`, `REQUEST_ID_REUSED` and all reasons of a consent.
    ///
    /// # Errors
    /// When the broker or the database is away; for a no the database only. The same request may be given again.
    pub async fn give(
        &self,
        token: &[u8],
        request: RequestId,
        choice: Choice,
    ) -> Result<Outcome<Given>, PortalError> {
        let given = async {
            let session = self.session(token)?;
            if choice.refused {
                return self.refuse(&session, request, choice).await;
            }
            let relation = Relation {
                from: choice.sender.clone(),
                to: choice.recipient.clone(),
                purpose: choice.purpose.clone(),
            };
            self.settle_relation(&session, &relation, true).await?;
            self.need_unblocked(&session, &relation).await?;
            let kept = self.choose(&session, request, Asked::Give(choice)).await?;
            Ok(Given {
                stop_code: kept.statement.stop_code.clone(),
                record: kept.statement.record.id,
                statement_jws: kept.jws.unwrap_or_default(),
                stopped: 0,
                still_to_do: 0,
            })
        };
        settle(given.await)
    }

    /// Fewer categories or a nearer end; answers the new statement.
    ///
    /// # Errors
    /// When the broker or the database is away.
    pub async fn narrow(
        &self,
        token: &[u8],
        request: RequestId,
        narrowing: Narrowing,
    ) -> Result<Outcome<String>, PortalError> {
        self.change(token, request, Asked::Narrow(narrowing)).await
    }

    async fn change(
        &self,
        token: &[u8],
        request: RequestId,
        asked: Asked,
    ) -> Result<Outcome<String>, PortalError> {
        let changed = async {
            let session = self.session(token)?;
            let kept = self.choose(&session, request, asked).await?;
            Ok(kept.jws.unwrap_or_default())
        };
        settle(changed.await)
    }

    /// Stops one consent. Stopping twice is stopping once.
    ///
    /// # Errors
    /// When the database is away. The broker is told at once, or as soon as it answers.
    pub async fn stop(
        &self,
        token: &[u8],
        request: RequestId,
        record: ConsentId,
    ) -> Result<Outcome<Stopped>, PortalError> {
        let stopped = async {
            let session = self.session(token)?;
            let mut choices = session.choices.lock().await;
            let asked = Asked::Stop(record);
            let found = choices.find(&request, &asked);
            found.map_err(|()| Reason::RequestIdReused)?;
            // Only what lies under this record is read: nothing that others write keeps a stop waiting.
            let (exchange, holding) = self.own_holding(&session, record).await?;
            if let Some(paper) = holding.stopped_by {
                return Ok(Stopped::Done(paper.jws));
            }
            let errand = match self.pending_stop(&session, record).await? {
                Some(errand) => errand,
                None => {
                    let directory = self.broker().directory();
                    let statement = self.author(&directory).withdrawn(&holding.record)?;
                    let errand = self.errand(exchange, Task::Stop(statement));
                    self.keep_errands(Vec::new(), std::slice::from_ref(&errand))
                        .await?;
                    errand
                }
            };
            if let Task::Stop(statement) = &errand.task {
                choices.keep(request, asked, self.kept(statement, None));
            }
            let deliveries = self.deliver_now(std::slice::from_ref(&errand)).await;
            match deliveries.of(&errand.id) {
                Some(Delivered::Done(jws)) => Ok(Stopped::Done(jws.clone())),
                Some(Delivered::Refused(refusal)) => Err(refusal.clone().into()),
                Some(Delivered::Noted(_) | Delivered::Found) | None => Ok(Stopped::StillToDo),
            }
        };
        settle(stopped.await)
    }

    async fn pending_stop(
        &self,
        session: &Session,
        record: ConsentId,
    ) -> Result<Option<Errand>, PortalError> {
        let errands = self.own_errands(session, Queue::Stop).await?;
        let mut errands = errands.into_iter();
        Ok(errands.find(|errand| errand.stops() == Some(record)))
    }

    /// Objects to a handover under statute (AVG article 21), or asks for a restriction (article 18).
    ///
    /// # Errors
    /// When the database is away. The broker is told at once, or as soon as it answers.
    pub async fn object(
        &self,
        token: &[u8],
        handover: HandoverId,
        restrict: bool,
    ) -> Result<Outcome<Objected>, PortalError> {
        let noted = async {
            let session = self.session(token)?;
            let index = self.exchange_index(handover.bytes());
            let mut found = self.open_exchange(&session, index).await?;
            if found.is_none() {
                // It may have been offered a moment ago: the person was told of it elsewhere before the feed came.
                self.follow_feed().await;
                found = self.open_exchange(&session, index).await?;
            }
            let (exchange, _, stories) = found.ok_or(Reason::NotAvailable)?;
            let told = &stories.first().ok_or(Reason::NotAvailable)?.told;
            let object = Objection {
                restrict,
                ..Objection::of(handover, told)
            };
            let errand = self.errand(exchange, Task::Object(object));
            self.keep_errands(Vec::new(), std::slice::from_ref(&errand))
                .await?;
            let deliveries = self.deliver_now(std::slice::from_ref(&errand)).await;
            match deliveries.of(&errand.id) {
                Some(Delivered::Noted(time)) => Ok(Objected::Noted(*time)),
                Some(Delivered::Refused(refusal)) => Err(refusal.clone().into()),
                Some(Delivered::Done(_) | Delivered::Found) | None => Ok(Objected::StillToDo),
            }
        };
        settle(noted.await)
    }

    /// Nothing goes to or from what a person blocked: not by a yes of their own either, as long as the block stands.
    async fn need_unblocked(&self, session: &Session, relation: &Relation) -> Result<(), Halt> {
        let find = FindBlocks(session.indexes().copied().collect());
        let blocks = self.database().read(&find).await?;
        let parties = [("sender", &relation.from), ("recipient", &relation.to)];
        for (field, party) in parties {
            let is_blocked = |index: &[u8; 32]| self.is_one_blocked(index, [party; 2], &blocks);
            if session.indexes().any(is_blocked) {
                let text = "is blocked by this person, who can undo that first";
                return Err(Refusal::about(Reason::StateForbidsEvent, field, text).into());
            }
        }
        Ok(())
    }

    /// A choice comes after what the same person asked for before, in the same relation: a stop or a no must not
    /// arrive behind it. A yes replaces a no that can never be registered.
    async fn settle_relation(
        &self,
        session: &Arc<Session>,
        relation: &Relation,
        replaces: bool,
    ) -> Result<(), PortalError> {
        let mut errands = self.own_errands(session, Queue::Stop).await?;
        errands.retain(|errand| errand.is_in(relation));
        let mut errands = self.found(session, errands).await;
        errands.sort_by_key(|errand| errand.need().number());
        let deliveries = self.deliver_now(&errands).await;
        let mut waiting = errands;
        waiting.retain(|errand| deliveries.of(&errand.id).is_none());
        if waiting.is_empty() {
            return Ok(());
        }
        let is_past = |errand: &Errand| is_refusal(errand) && deliveries.is_stuck(&errand.id);
        if !(replaces && waiting.iter().all(is_past)) {
            return Err(not_answered());
        }
        // All that the no stops is stopped, and it can never be registered: the yes comes in its place. A round that has
        // read it must not bring it behind the yes.
        let turn = tokio::time::timeout(WAIT_MAX, self.0.refusal_turn.lock());
        let _turn = turn.await.map_err(|_| not_answered())?;
        for errand in &waiting {
            tracing::warn!("a no that cannot be registered is replaced by a later yes");
            self.finish(errand, None, &[]).await?;
        }
        Ok(())
    }

    /// Makes a code with which a vakbond can link the person to one of its members; answers the code and
    /// until when it can be used.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn make_link_code(
        &self,
        token: &[u8],
        oin: &Oin,
    ) -> Result<Outcome<(LinkCode, Timestamp)>, PortalError> {
        let made = async {
            let session = self.session(token)?;
            let directory = self.broker().directory();
            let recipient = directory
                .peer(oin)
                .filter(|peer| peer.kind() == PeerKind::Vakbond)
                .and_then(|peer| peer.realms().next())
                .map(|realm| realm.party.clone());
            let recipient = recipient.ok_or(Reason::NotAvailable)?;
            ask(self.broker().link(&session.bsn, &recipient)).await
        };
        settle(made.await)
    }

    /// Makes a choice once, whatever happens in between: the statement is kept under its request until
    /// the broker has it.
    async fn choose(
        &self,
        session: &Arc<Session>,
        request: RequestId,
        asked: Asked,
    ) -> Result<Kept, Halt> {
        let mut choices = session.choices.lock().await;
        let found = choices.find(&request, &asked);
        let mut kept = match found.map_err(|()| Reason::RequestIdReused)? {
            Some(kept) => kept,
            None => self.written(session, &asked).await?,
        };
        if kept.jws.is_some() {
            return Ok(kept);
        }
        let exchange = self.exchange_for(&session.known, &kept.statement).await?;
        let pending = Paper {
            statement: kept.statement.clone(),
            jws: String::new(),
        };
        // A change is not shown before it is one.
        let is_new = kept.statement.event == StatementEvent::Given;
        if is_new {
            self.keep_paper(&exchange, kept.line, &pending).await?;
        }
        choices.keep(request, asked, kept.clone());
        let sent = self.send(session, &kept.statement).await?;
        let jws = match sent {
            Outcome::Permitted(jws) => jws,
            Outcome::Refused(refusal) => {
                choices.forget(&request);
                if is_new {
                    self.forget(&exchange, kept.line).await?;
                }
                return Err(refusal.into());
            }
        };
        let paper = Paper {
            statement: kept.statement.clone(),
            jws: jws.clone(),
        };
        let id = EntryId::draw(self.clock(), self.random());
        let keep = Keep {
            lines: vec![paper_row(&exchange, id, &paper)?],
            exchanges: vec![exchange],
            instead_of: Some(kept.line),
        };
        self.database().write(&keep).await?;
        choices.settle(&request, &jws);
        kept.jws = Some(jws);
        Ok(kept)
    }

    /// Sends a statement to the broker, as its event asks.
    async fn send(
        &self,
        session: &Session,
        statement: &Statement,
    ) -> Result<Outcome<String>, PortalError> {
        if statement.event == StatementEvent::Narrowed {
            self.broker().narrow(statement).await
        } else {
            self.broker().register(&session.bsn, statement).await
        }
    }

    /// The statement of what was asked, on what the person holds at this moment.
    async fn written(&self, session: &Arc<Session>, asked: &Asked) -> Result<Kept, Halt> {
        let directory = self.broker().directory();
        let author = self.author(&directory);
        let statement = match asked {
            Asked::Give(choice) => {
                let id = ConsentId::draw(self.clock(), self.random());
                let holdings = self.holdings(session).await?;
                let before = holdings
                    .iter()
                    .map(|holding| &holding.record)
                    .find(|record| {
                        record.state == ConsentState::Given
                            && record.sender == choice.sender
                            && record.recipient == choice.recipient
                            && record.purpose == choice.purpose
                    });
                let supersedes = before.map(|record| record.id);
                author.given(choice, id, supersedes, self.random())?
            }
            Asked::Narrow(narrowing) => {
                let (_, holding) = self.own_holding(session, narrowing.record).await?;
                let record = &holding.record;
                self.settle_relation(session, &relation_of(record), false)
                    .await?;
                author.narrowed(record, holding.stop_code.clone(), narrowing)?
            }
            Asked::Stop(_) => return Err(PortalError::Malformed("a choice").into()),
        };
        Ok(self.kept(&statement, None))
    }

    pub(super) fn kept(&self, statement: &Statement, jws: Option<&String>) -> Kept {
        Kept {
            statement: statement.clone(),
            line: EntryId::draw(self.clock(), self.random()),
            jws: jws.cloned(),
        }
    }

    pub(super) async fn exchange(
        &self,
        index: [u8; 32],
    ) -> Result<Option<ExchangeRow>, PortalError> {
        // For what a person chooses or stops, and never for what they look at.
        let find = FindExchanges {
            indexes: vec![index],
            queue: Queue::Stop,
        };
        Ok(self.database().read(&find).await?.pop())
    }

    /// The exchange under which a choice lies: a record's own, made anew for a new record.
    pub(super) async fn exchange_for(
        &self,
        known: &[Known],
        statement: &Statement,
    ) -> Result<ExchangeRow, PortalError> {
        let id = statement.record.id;
        let index = self.consent_index(id.bytes());
        if let Some(exchange) = self.exchange(index).await? {
            return Ok(exchange);
        }
        let current = known.first().ok_or(PortalError::Malformed("a session"))?;
        Ok(ExchangeRow {
            exchange_index: index,
            person_index: current.index,
            sealing_key: current.keys.opening_key().public().bytes().to_vec(),
            created_at: self.now(),
        })
    }

    async fn forget(&self, exchange: &ExchangeRow, line: EntryId) -> Result<(), PortalError> {
        let forget = Forget {
            exchange_index: &exchange.exchange_index,
            line,
        };
        self.database().write(&forget).await
    }
}

/// What was asked for before is still on its way.
fn not_answered() -> PortalError {
    let text = "what the person asked for before has not been answered";
    PortalError::BrokerAway(text.to_owned())
}
