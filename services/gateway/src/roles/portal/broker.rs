//! The broker as the portal reaches it: the client's calls, in the words of the broker.
//!
//! Must never turn a fault into a refusal or a refusal into a fault: a person is told no only when
//! somebody said no.

use client::directory::DirectoryCopy;
use client::{
    Client, ClientError, EncryptedPerson, FeedLine as Sent, PortalCopy, PortalPseudonyms,
};
use papers::feed::{FeedLine, Told};
use portal::Boxed;
use portal::{Asking, Broker, CopyAtBroker, ENCRYPTED_PERSON_BYTES, PortalError, Standing};
use rules::clock::Timestamp;
use rules::consent::{LinkCode, Statement, StopCode};
use rules::directory::Directory;
use rules::feed::FeedKind;
use rules::id::{ConsentId, EntryId, HandoverId, Party, RequestId};
use rules::reason::{Outcome, Refusal};
use std::sync::{Arc, PoisonError, RwLock};
use vault::pseudonym::{Bsn, Pseudonym};

/// The broker over mTLS.
pub(super) struct RemoteBroker {
    client: Client,
    /// For what the portal repeats by itself.
    once: Client,
    directory: RwLock<Arc<Directory>>,
}

impl RemoteBroker {
    pub(super) fn new(client: Client, copy: &DirectoryCopy) -> Self {
        Self {
            once: client.once(),
            client,
            directory: RwLock::new(Arc::new(copy.directory().clone())),
        }
    }

    /// Puts a newer directory in force.
    pub(super) fn follow(&self, copy: &DirectoryCopy) {
        let newest = Arc::new(copy.directory().clone());
        *self
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner) = newest;
    }
}

/// An answer of the client: a refusal with a reason is a value, everything else is a fault.
fn outcome<T>(answer: Result<T, ClientError>) -> Result<Outcome<T>, PortalError> {
    match answer {
        Ok(value) => Ok(Outcome::Permitted(value)),
        Err(ClientError::Refused(refused)) if !refused.is_repeatable() => {
            let reason = refused
                .reason
                .ok_or_else(|| PortalError::Broker(refused.to_string()))?;
            Ok(Outcome::Refused(Refusal {
                reason,
                violations: refused.violations,
            }))
        }
        Err(error) => Err(fault(&error)),
    }
}

fn fault(error: &ClientError) -> PortalError {
    let text = error.to_string();
    if error.is_repeatable() || matches!(error, ClientError::Waiting { .. }) {
        PortalError::BrokerAway(text)
    } else {
        PortalError::Broker(text)
    }
}

impl Broker for RemoteBroker {
    fn login<'a>(&'a self, bsn: &'a Bsn) -> Asking<'a, Vec<Pseudonym>> {
        Box::pin(async move { outcome(self.client.login(bsn).await.map(both)) })
    }

    fn login_of<'a>(
        &'a self,
        person: &'a [u8; ENCRYPTED_PERSON_BYTES],
    ) -> Asking<'a, Vec<Pseudonym>> {
        Box::pin(async move {
            let person = EncryptedPerson(*person);
            outcome(self.once.login_of(&person).await.map(both))
        })
    }

    fn introduced<'a>(
        &'a self,
        introduction: &'a [u8; 64],
    ) -> Boxed<'a, Result<Pseudonym, PortalError>> {
        Box::pin(async move {
            let found = self.client.introduced(introduction).await;
            found.map_err(|error| fault(&error))
        })
    }

    fn register<'a>(&'a self, bsn: &'a Bsn, statement: &'a Statement) -> Asking<'a, String> {
        Box::pin(async move {
            let registered = self.client.register_consent(bsn, statement).await;
            outcome(registered.map(|registered| registered.statement_jws))
        })
    }

    fn encrypted<'a>(
        &'a self,
        bsn: &'a Bsn,
    ) -> Boxed<'a, Result<[u8; ENCRYPTED_PERSON_BYTES], PortalError>> {
        Box::pin(async move {
            let person = self.once.encrypted(bsn).await;
            person.map(|person| person.0).map_err(|error| fault(&error))
        })
    }

    fn register_of<'a>(
        &'a self,
        person: &'a [u8; ENCRYPTED_PERSON_BYTES],
        statement: &'a Statement,
    ) -> Asking<'a, String> {
        Box::pin(async move {
            let person = EncryptedPerson(*person);
            let registered = self.once.register_consent_of(&person, statement).await;
            outcome(registered.map(|registered| registered.statement_jws))
        })
    }

    fn narrow<'a>(&'a self, statement: &'a Statement) -> Asking<'a, String> {
        Box::pin(async move {
            let narrowed = self.client.narrow_consent(statement).await;
            outcome(narrowed.map(|narrowed| narrowed.statement_jws))
        })
    }

    fn withdraw<'a>(&'a self, request: RequestId, statement: &'a Statement) -> Asking<'a, String> {
        Box::pin(async move {
            let withdrawn = self.once.withdraw_kept_consent(&request, statement).await;
            outcome(withdrawn.map(|withdrawn| withdrawn.statement_jws))
        })
    }

    fn withdraw_by_code<'a>(&'a self, code: &'a StopCode, source: [u8; 32]) -> Asking<'a, u32> {
        Box::pin(async move {
            let stopped = self.client.withdraw_by_code(code, Some(source)).await;
            outcome(stopped.map(|stopped| stopped.ended_handovers))
        })
    }

    fn consent(&self, record: ConsentId) -> Asking<'_, Standing> {
        Box::pin(async move {
            let standing = self.once.get_consent(&record).await;
            outcome(standing.map(|standing| Standing {
                statement: standing.statement,
                jws: standing.statement_jws,
                record: standing.record,
            }))
        })
    }

    fn object(
        &self,
        request: RequestId,
        handover: HandoverId,
        restrict: bool,
    ) -> Asking<'_, Timestamp> {
        Box::pin(async move {
            let noted = self.once.object_kept(&request, &handover, restrict).await;
            outcome(noted.map(|receipt| receipt.promise.time))
        })
    }

    fn link<'a>(&'a self, bsn: &'a Bsn, recipient: &'a Party) -> Asking<'a, (LinkCode, Timestamp)> {
        Box::pin(async move { outcome(self.client.link(bsn, recipient).await) })
    }

    fn pull(&self, limit: usize) -> Asking<'_, Vec<FeedLine>> {
        Box::pin(async move {
            match outcome(self.once.pull_feed(limit).await)? {
                Outcome::Permitted(lines) => {
                    let lines: Option<Vec<FeedLine>> = lines.into_iter().map(read_line).collect();
                    lines.map(Outcome::Permitted).ok_or_else(|| {
                        PortalError::Broker("a line of the feed cannot be read".to_owned())
                    })
                }
                Outcome::Refused(refusal) => Ok(Outcome::Refused(refusal)),
            }
        })
    }

    fn acknowledge<'a>(&'a self, lines: &'a [EntryId]) -> Asking<'a, ()> {
        Box::pin(async move { outcome(self.once.ack_feed(lines).await) })
    }

    fn put_copies<'a>(&'a self, copies: &'a [CopyAtBroker]) -> Asking<'a, ()> {
        Box::pin(async move {
            let copies: Vec<PortalCopy> = copies
                .iter()
                .map(|copy| PortalCopy {
                    name: copy.name,
                    sealed: copy.sealed.clone(),
                })
                .collect();
            outcome(self.once.put_copies(&copies).await)
        })
    }

    fn list_copies(
        &self,
        after: Option<[u8; 16]>,
        limit: usize,
        names_only: bool,
    ) -> Asking<'_, Vec<CopyAtBroker>> {
        Box::pin(async move {
            let listed = self.once.list_copies(after, limit, names_only).await;
            let copy = |copy: PortalCopy| CopyAtBroker {
                name: copy.name,
                sealed: copy.sealed,
            };
            outcome(listed.map(|copies| copies.into_iter().map(copy).collect()))
        })
    }

    fn take_copies<'a>(&'a self, names: &'a [[u8; 16]]) -> Asking<'a, ()> {
        Box::pin(async move { outcome(self.once.take_copies(names).await) })
    }

    fn is_restoring(&self) -> Boxed<'_, Result<bool, PortalError>> {
        Box::pin(async move {
            let is_restoring = self.once.is_restoring().await;
            is_restoring.map_err(|error| fault(&error))
        })
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(
            &self
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// The present epoch's pseudonym, then the one before.
fn both(found: PortalPseudonyms) -> Vec<Pseudonym> {
    std::iter::once(found.current)
        .chain(found.previous)
        .collect()
}

/// A line from the wire; none when a field is not what it should be.
fn read_line(line: Sent) -> Option<FeedLine> {
    let introduction = match line.introduction.as_slice() {
        [] => None,
        octets => Some(octets.try_into().ok()?),
    };
    Some(FeedLine {
        id: EntryId::from_slice(&line.line_id)?,
        time: Timestamp::from_millis(line.time_millis),
        told: Told {
            exchange: line.exchange_id.as_slice().try_into().ok()?,
            introduction,
            kind: FeedKind::from_number(line.kind)?,
            sender: line.sender.parse().ok()?,
            recipient: line.recipient.parse().ok()?,
            purpose: line.purpose.parse().ok()?,
            basis: (line.basis, line.article),
            labels: line.labels,
            code: line.code,
        },
    })
}
