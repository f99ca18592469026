//! What a person who is logged in does: give, narrow and stop consent, object, block, link to a vakbond.
//!
//! A choice lies sealed with its person before the broker hears of it, so that none is ever made that its
//! maker cannot see and stop. Must never act on anything that is not the person's own.

use super::choice::{Asked, Kept};
use super::feed::{ask, paper_row};
use super::ledger::Holding;
use super::line::Paper;
use super::rows::{Block, FindExchanges, Forget, Keep};
use super::session::{Known, Session};
use super::{Halt, Portal, PortalError, settle};
use crate::consent::author::{Choice, Narrowing};
use rules::clock::Timestamp;
use rules::consent::{ConsentState, LinkCode, Statement, StatementEvent, StopCode};
use rules::id::{ConsentId, EntryId, HandoverId, Oin, PeerKind, RequestId};
use rules::reason::{Outcome, Reason, Refusal};
use store::portal::ExchangeRow;

/// A choice that was registered.
#[derive(Clone, Debug)]
pub struct Given {
    /// The consent statement to keep, a compact JWS.
    pub statement_jws: String,
    /// The stop code on it; none when refused.
    pub stop_code: Option<StopCode>,
    /// The record.
    pub record: ConsentId,
}

impl Portal {
    /// Registers a person's choice. The same request again is a repeat and gets the same answer.
    ///
    /// Refuses with `LOGIN_REFUSED`, `REQUEST_ID_REUSED` and all reasons of a consent.
    ///
    /// # Errors
    /// When the broker or the database is away. The same request may be given again.
    pub async fn give(
        &self,
        token: &[u8],
        request: RequestId,
        choice: Choice,
    ) -> Result<Outcome<Given>, PortalError> {
        let given = async {
            let session = self.session(token)?;
            let kept = self.choose(&session, request, Asked::Give(choice)).await?;
            Ok(Given {
                stop_code: kept.statement.stop_code.clone(),
                record: kept.statement.record.id,
                statement_jws: kept.jws.unwrap_or_default(),
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

    /// Stops one consent; answers the statement of withdrawal.
    ///
    /// # Errors
    /// When the broker or the database is away; the broker is told as soon as it is back.
    pub async fn stop(
        &self,
        token: &[u8],
        request: RequestId,
        record: ConsentId,
    ) -> Result<Outcome<String>, PortalError> {
        self.change(token, request, Asked::Stop(record)).await
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

    /// Objects to a handover under statute (AVG article 21), or asks for a restriction (article 18);
    /// answers when it was noted.
    ///
    /// # Errors
    /// When the broker or the database is away.
    pub async fn object(
        &self,
        token: &[u8],
        handover: HandoverId,
        restrict: bool,
    ) -> Result<Outcome<Timestamp>, PortalError> {
        let noted = async {
            let session = self.session(token)?;
            let index = self.exchange_index(handover.bytes());
            let exchange = self.exchange(index).await?;
            let is_own = exchange.is_some_and(|exchange| {
                session
                    .indexes()
                    .any(|index| *index == exchange.person_index)
            });
            if !is_own {
                return Err(Reason::NotAvailable.into());
            }
            ask(self.broker().object(handover, restrict)).await
        };
        settle(noted.await)
    }

    /// Blocks an organisation: remembers it, and stops every consent from or to it. Answers how many were
    /// stopped.
    ///
    /// # Errors
    /// When the broker or the database is away; what was stopped stays stopped, and the block stands.
    pub async fn block(&self, token: &[u8], oin: &Oin) -> Result<Outcome<u32>, PortalError> {
        let stopped = async {
            let session = self.session(token)?;
            if self.broker().directory().peer(oin).is_none() {
                return Err(Reason::NotAvailable.into());
            }
            let tags = session
                .indexes()
                .map(|index| (*index, self.block_tag(index, oin)))
                .collect();
            self.database().write(&Block(tags)).await?;
            let mut stopped = 0_u32;
            for holding in self.holdings(&session).await? {
                let record = &holding.record;
                let concerns = record.sender.oin == *oin || record.recipient.oin == *oin;
                if record.state == ConsentState::Given && concerns {
                    let request = RequestId::draw(self.clock(), self.random());
                    self.choose(&session, request, Asked::Stop(record.id))
                        .await?;
                    stopped = stopped.saturating_add(1);
                }
            }
            Ok(stopped)
        };
        settle(stopped.await)
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
        session: &Session,
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
        let exchange = self.exchange_for(session, &kept.statement).await?;
        let pending = Paper {
            statement: kept.statement.clone(),
            jws: String::new(),
        };
        // A stop is not shown before it is one.
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
        match statement.event {
            StatementEvent::Given | StatementEvent::Refused => {
                self.broker().register(&session.bsn, statement).await
            }
            StatementEvent::Narrowed => self.broker().narrow(statement).await,
            StatementEvent::Withdrawn | StatementEvent::Expired => {
                self.broker().withdraw(statement).await
            }
        }
    }

    /// The statement of what was asked, on what the person holds at this moment. Stopping twice is stopping
    /// once: the paper that is there is the answer, also when nobody heard of the first time.
    async fn written(&self, session: &Session, asked: &Asked) -> Result<Kept, Halt> {
        let directory = self.broker().directory();
        let holdings = self.holdings(session).await?;
        let author = self.author(&directory);
        let statement = match asked {
            Asked::Give(choice) => {
                let id = ConsentId::draw(self.clock(), self.random());
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
                let holding = own(&holdings, narrowing.record)?;
                author.narrowed(&holding.record, holding.stop_code.clone(), narrowing)?
            }
            Asked::Stop(record) => {
                let holding = own(&holdings, *record)?;
                match &holding.stopped_by {
                    Some(paper) => return Ok(self.kept(&paper.statement, Some(&paper.jws))),
                    None => author.withdrawn(&holding.record)?,
                }
            }
        };
        Ok(self.kept(&statement, None))
    }

    fn kept(&self, statement: &Statement, jws: Option<&String>) -> Kept {
        Kept {
            statement: statement.clone(),
            line: EntryId::draw(self.clock(), self.random()),
            jws: jws.cloned(),
        }
    }

    async fn exchange(&self, index: [u8; 32]) -> Result<Option<ExchangeRow>, PortalError> {
        let find = FindExchanges(vec![index]);
        Ok(self.database().read(&find).await?.pop())
    }

    /// The exchange under which a choice lies: a record's own, made anew for a new record.
    async fn exchange_for(
        &self,
        session: &Session,
        statement: &Statement,
    ) -> Result<ExchangeRow, Halt> {
        let id = statement.record.id;
        let index = self.exchange_index(id.bytes());
        if let Some(exchange) = self.exchange(index).await? {
            return Ok(exchange);
        }
        let current: &Known = session
            .known
            .first()
            .ok_or(PortalError::Malformed("a session"))?;
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

fn own(holdings: &[Holding], record: ConsentId) -> Result<&Holding, Refusal> {
    holdings
        .iter()
        .find(|holding| holding.record.id == record)
        .ok_or_else(|| Refusal::new(Reason::NotAvailable))
}
