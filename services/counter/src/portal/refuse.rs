//! A no: what stands for its sender, recipient and purpose is stopped first, which needs no key holder, and then the
//! no is registered.
//!
//! Must never register a no and leave standing what it is about.

use super::choice::Asked;
use super::delivery::Delivered;
use super::errand::{Errand, Task, relation_of};
use super::ledger::Holding;
use super::person::Given;
use super::session::Session;
use super::{Halt, Portal, PortalError};
use crate::consent::author::Choice;
use rules::consent::{ConsentState, Statement};
use rules::id::{ConsentId, RequestId};
use rules::pseudonym::Relation;
use rules::reason::Reason;

impl Portal {
    /// A person's no. It is kept until the broker has answered, and so is each stop.
    pub(super) async fn refuse(
        &self,
        session: &Session,
        request: RequestId,
        choice: Choice,
    ) -> Result<Given, Halt> {
        let mut choices = session.choices.lock().await;
        let asked = Asked::Give(choice.clone());
        let before = choices.find(&request, &asked);
        let before = before.map_err(|()| Reason::RequestIdReused)?;
        let relation = Relation {
            from: choice.sender.clone(),
            to: choice.recipient.clone(),
            purpose: choice.purpose.clone(),
        };
        let mut errands = self.own_errands(session).await?;
        errands.retain(|errand| errand.relation() == relation);
        if let Some(kept) = before.filter(|_| !errands.iter().any(is_refusal)) {
            // All was answered since.
            let record = kept.statement.record.id;
            let (_, holding) = self.own_holding(session, record).await?;
            return Ok(no(&kept.statement, holding.jws, (0, 0)));
        }
        // Kept before anything is asked of anybody: they are done whatever becomes of the rest.
        let stops = self.stops_in(session, &relation, &errands).await?;
        self.keep_errands(Vec::new(), &stops).await?;
        errands.extend(stops);
        if !errands.iter().any(is_refusal) {
            let refusal = self.refusal(session, &choice).await?;
            self.keep_errands(Vec::new(), std::slice::from_ref(&refusal))
                .await?;
            errands.push(refusal);
        }
        errands.sort_by_key(|errand| errand.need().number());
        let deliveries = self.deliver_now(&errands).await;
        let mut refusals = errands.iter().filter_map(|errand| match &errand.task {
            Task::Refuse { statement, .. } => Some((errand, statement)),
            Task::Stop(_) | Task::Object(_) => None,
        });
        let (errand, statement) = refusals.next().ok_or(PortalError::Malformed("an errand"))?;
        let jws = match deliveries.of(&errand.id) {
            Some(Delivered::Done(jws)) => jws.clone(),
            Some(Delivered::Refused(refusal)) => return Err(refusal.clone().into()),
            Some(Delivered::Noted(_)) | None => String::new(),
        };
        choices.keep(request, asked, self.kept(statement, None));
        let stopped = deliveries.done(&errands, |task| matches!(task, Task::Stop(_)));
        Ok(no(statement, jws, (stopped, deliveries.still_to_do)))
    }

    /// The errand that registers a no.
    async fn refusal(&self, session: &Session, choice: &Choice) -> Result<Errand, Halt> {
        let directory = self.broker().directory();
        let id = ConsentId::draw(self.clock(), self.random());
        let author = self.author(&directory);
        let statement = author.given(choice, id, None, self.random())?;
        let person = self.broker().encrypted(&session.bsn).await?;
        let exchange = self.exchange_for(session, &statement).await?;
        Ok(self.errand(exchange, Task::Refuse { statement, person }))
    }

    /// Errands that stop what stands in a relation, but for those that are kept already.
    async fn stops_in(
        &self,
        session: &Session,
        relation: &Relation,
        kept: &[Errand],
    ) -> Result<Vec<Errand>, Halt> {
        let mut stops = Vec::new();
        for holding in self.holdings(session).await? {
            if relation_of(&holding.record) == *relation {
                stops.extend(self.stop_of(session, &holding, kept).await?);
            }
        }
        Ok(stops)
    }

    /// The errand that stops a consent, if it stands and none is kept already.
    pub(super) async fn stop_of(
        &self,
        session: &Session,
        holding: &Holding,
        kept: &[Errand],
    ) -> Result<Option<Errand>, Halt> {
        let record = &holding.record;
        let is_kept = kept.iter().any(|errand| errand.stops() == Some(record.id));
        if record.state != ConsentState::Given || is_kept {
            return Ok(None);
        }
        let directory = self.broker().directory();
        let statement = self.author(&directory).withdrawn(record)?;
        let exchange = self.exchange_for(session, &statement).await?;
        Ok(Some(self.errand(exchange, Task::Stop(statement))))
    }
}

const fn is_refusal(errand: &Errand) -> bool {
    matches!(errand.task, Task::Refuse { .. })
}

/// What came of a no.
fn no(statement: &Statement, jws: String, (stopped, still_to_do): (u32, u32)) -> Given {
    Given {
        statement_jws: jws,
        stop_code: None,
        record: statement.record.id,
        stopped,
        still_to_do,
    }
}
