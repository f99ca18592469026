//! A no: it is kept first; then what stands for its sender, recipient and purpose is stopped, which needs no key holder,
//! and then the no is registered.
//!
//! Must never register a no and leave standing what it is about.

use super::choice::Asked;
use super::delivery::Delivered;
use super::errand::{Errand, Task};
use super::find::Scope;
use super::person::Given;
use super::session::Session;
use super::{Halt, Portal, PortalError};
use papers::author::Choice;
use rules::consent::Statement;
use rules::id::{ConsentId, RequestId};
use rules::pseudonym::Relation;
use rules::reason::Reason;
use std::sync::Arc;
use store::Queue;

impl Portal {
    /// A person's no. It is kept until the broker has answered, and so is each stop.
    pub(super) async fn refuse(
        &self,
        session: &Arc<Session>,
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
        let mut errands = self.own_errands(session, Queue::Stop).await?;
        errands.retain(|errand| errand.is_in(&relation));
        if let Some(kept) = before.filter(|_| !errands.iter().any(is_refusal)) {
            // All was answered since.
            let record = kept.statement.record.id;
            let (_, holding) = self.own_holding(session, record).await?;
            return Ok(no(&kept.statement, holding.jws, (0, 0)));
        }
        // Kept before a line is opened or anything is asked of anybody: it is done whatever becomes of this call.
        let scope = Scope::Relation(relation);
        let mut fresh = vec![self.finding(session, scope).await?];
        let mut halt = None;
        if !errands.iter().any(is_refusal) {
            let refusal = self.refusal(session, &choice).await;
            refusal.map_or_else(|other| halt = Some(other), |refusal| fresh.push(refusal));
        }
        // One that was left from before has its place.
        fresh.retain(|fresh| !errands.iter().any(|kept| kept.id == fresh.id));
        self.keep_errands(Vec::new(), &fresh).await?;
        errands.extend(fresh);
        let mut errands = self.found(session, errands).await;
        errands.sort_by_key(|errand| errand.need().number());
        let deliveries = self.deliver_now(&errands).await;
        if let Some(halt) = halt {
            // A no that cannot be written stops what stands all the same.
            return Err(halt);
        }
        let mut refusals = errands.iter().filter_map(|errand| match &errand.task {
            Task::Refuse { statement, .. } => Some((errand, statement)),
            Task::Stop(_) | Task::Object(_) | Task::Find { .. } => None,
        });
        let (errand, statement) = refusals.next().ok_or(PortalError::Malformed("an errand"))?;
        let jws = match deliveries.of(&errand.id) {
            Some(Delivered::Done(jws)) => jws.clone(),
            Some(Delivered::Refused(refusal)) => return Err(refusal.clone().into()),
            Some(Delivered::Noted(_) | Delivered::Found) | None => String::new(),
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
        let exchange = self.exchange_for(&session.known, &statement).await?;
        Ok(self.errand(exchange, Task::Refuse { statement, person }))
    }
}

pub(super) const fn is_refusal(errand: &Errand) -> bool {
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
