//! What a block or a no stops: found among a person's lines after it was kept, and never before.
//!
//! A person has as many lines as others send, and a call may be given up, or the portal be killed, before all of them
//! are opened. So finding is an errand of its own. It is done at once with the keys of whoever is logged in; what a
//! killed portal left is done with keys that the holders give for the person in the errand, as for a login. Must never
//! end such an errand before all that it found is kept.

use super::errand::{ENCRYPTED_PERSON_BYTES, Errand, Objection, Task, relation_of};
use super::feed::ask_ours;
use super::ledger::{Holding, holdings};
use super::line::Story;
use super::overview::objectable;
use super::session::{Known, Session};
use super::{Halt, Portal, PortalError, lock};
use crate::delivery::{Delivered, WAIT_MAX, unexpected};
use rules::consent::ConsentState;
use rules::id::{HandoverId, Party};
use rules::pseudonym::Relation;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Queue;
use store::portal::ExchangeRow;
use vault::person::PersonKeys;

/// How long the holders are left alone after they gave keys that did not help: their orders are counted.
const KEYS_REST: Duration = Duration::from_secs(60);

/// What a block or a no is about.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// A block: all that goes to or comes from this realm.
    Blocked(Party),
    /// A no.
    Relation(Relation),
}

impl Scope {
    pub(super) fn covers(&self, relation: &Relation) -> bool {
        match self {
            Self::Blocked(blocked) => [&relation.from, &relation.to].contains(&blocked),
            Self::Relation(own) => own == relation,
        }
    }

    /// What the id of its errand is made of, besides the person.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Blocked(blocked) => blocked.to_string(),
            Self::Relation(relation) => {
                format!("{} {} {}", relation.from, relation.to, relation.purpose)
            }
        }
    }
}

impl Portal {
    /// The errand that finds what a block or a no of whoever is logged in stops.
    pub(super) async fn finding(
        &self,
        session: &Session,
        scope: Scope,
    ) -> Result<Errand, PortalError> {
        let current = session
            .known
            .first()
            .ok_or(PortalError::Malformed("a session"))?;
        let person = self.broker().encrypted(&session.bsn).await?;
        // It is about no exchange of its own: only whose it is counts.
        let exchange = ExchangeRow {
            exchange_index: [0; 32],
            person_index: current.index,
            sealing_key: current.keys.opening_key().public().bytes().to_vec(),
            created_at: self.now(),
        };
        Ok(self.errand(exchange, Task::Find { scope, person }))
    }

    /// Finds what these errands stop, with the keys of whoever is logged in, and gives it in their place. It is a task
    /// of its own, which goes on when the call is given up; what is not found in a few seconds is still to be found.
    pub(super) async fn found(&self, session: &Arc<Session>, errands: Vec<Errand>) -> Vec<Errand> {
        let until = tokio::time::Instant::now() + WAIT_MAX;
        let (finds, mut rest): (Vec<_>, Vec<_>) = errands.into_iter().partition(Errand::is_find);
        for find in finds {
            let (portal, own, errand) = (self.clone(), Arc::clone(session), find.clone());
            let finding = tokio::spawn(async move {
                let found = portal.find(&own.known, &errand).await;
                if let Err(error) = &found {
                    tracing::warn!(%error, "what a block or a no stops is still to be found");
                }
                found
            });
            match tokio::time::timeout_at(until, finding).await {
                Ok(Ok(Ok(found))) => rest.extend(found),
                Ok(_) | Err(_) => rest.push(find),
            }
        }
        rest
    }

    /// Finds what a block or a no stops, without the person: with keys that the holders give.
    pub(super) async fn deliver_find(
        &self,
        errand: &Errand,
        person: &[u8; ENCRYPTED_PERSON_BYTES],
    ) -> Result<Delivered, PortalError> {
        let given = lock(&self.0.keys_given).get(&errand.id).copied();
        if given.is_some_and(|at: Instant| at.elapsed() < KEYS_REST) {
            let text = "the key holders are left alone for a while".to_owned();
            return Err(PortalError::Broker(text));
        }
        let pseudonyms = ask_ours(self.broker().login_of(person)).await?;
        lock(&self.0.keys_given).insert(errand.id, Instant::now());
        let known = pseudonyms.iter().map(|pseudonym| {
            let keys = PersonKeys::derive(pseudonym);
            let index = self.person_index(&keys);
            Known { keys, index }
        });
        let known: Vec<Known> = known.collect();
        self.find(&known, errand).await?;
        lock(&self.0.keys_given).remove(&errand.id);
        Ok(Delivered::Found)
    }

    /// Finds what a block or a no stops, and keeps an errand of each in the place of the one that found it.
    async fn find(&self, known: &[Known], errand: &Errand) -> Result<Vec<Errand>, PortalError> {
        let Task::Find { scope, .. } = &errand.task else {
            return Ok(Vec::new());
        };
        let persons = known.iter().map(|known| known.index).collect();
        let kept = self.errands_of(persons, Queue::Stop).await?;
        let is_same = |other: &Errand| other.id == errand.id && other.request == errand.request;
        if !kept.iter().any(is_same) {
            // It was done meanwhile, and what the person said since is not its to stop.
            return Ok(Vec::new());
        }
        let (papers, stories) = self.opened(known, Queue::Stop).await?;
        let (mut found, mut fault) = (Vec::new(), None);
        for holding in holdings(&papers, &stories, self.now()) {
            if !scope.covers(&relation_of(&holding.record)) {
                continue;
            }
            match self.stop_of(known, &holding, &kept).await {
                Ok(stop) => found.extend(stop),
                Err(Halt::Fault(error)) => return Err(error),
                // One that cannot be stopped keeps no other from being stopped.
                Err(Halt::Refused(refusal)) => fault = Some(unexpected(&refusal)),
            }
        }
        if matches!(scope, Scope::Blocked(_)) {
            found.extend(self.objections_to(scope, &stories, &kept).await?);
        }
        match fault {
            None => self.finish(errand, None, &found).await?,
            Some(error) => {
                self.keep_errands(Vec::new(), &found).await?;
                return Err(error);
            }
        }
        Ok(found)
    }

    /// Objections to what goes on under statute, but for those that are kept already.
    async fn objections_to(
        &self,
        scope: &Scope,
        stories: &[Story],
        kept: &[Errand],
    ) -> Result<Vec<Errand>, PortalError> {
        let directory = self.broker().directory();
        let mut found = Vec::new();
        for told in objectable(stories, |told| self.is_under_statute(told, &directory)) {
            let relation = Relation {
                from: told.sender.clone(),
                to: told.recipient.clone(),
                purpose: told.purpose.clone(),
            };
            let handover = HandoverId::from_slice(&told.exchange);
            let Some(handover) = handover.filter(|_| scope.covers(&relation)) else {
                continue;
            };
            let index = self.exchange_index(&told.exchange);
            if let Some(exchange) = self.exchange(index).await? {
                let object = Objection::of(handover, told);
                let errand = self.errand(exchange, Task::Object(object));
                if !kept.iter().any(|other| other.id == errand.id) {
                    found.push(errand);
                }
            }
        }
        Ok(found)
    }

    /// The errand that stops a consent, if it stands and none is kept already.
    async fn stop_of(
        &self,
        known: &[Known],
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
        let exchange = self.exchange_for(known, &statement).await?;
        Ok(Some(self.errand(exchange, Task::Stop(statement))))
    }
}
