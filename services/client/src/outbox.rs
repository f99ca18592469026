//! The outbox: a changing call is kept before it is sent, and sent until there is a definite answer.
//!
//! The request id stays the same over all attempts and restarts; an order is signed anew each time.
//! Must never send what was not kept first, and must never send again after a definite answer.

use crate::connection::Connection;
use crate::directory::DirectoryCopy;
use crate::error::{ClientError, from_status};
use crate::identity::Identity;
use crate::mutation::{Mutation, Settling, stops};
use crate::receipt::Settled;
use crate::retry::RetryPolicy;
use crate::store::{Change, DraftRow, OutboxRow, Store, StoreError, Table, put, remove};
use papers::paper::{Order, Signed};
use prost::Message as _;
use rules::clock::{Clock, Random};
use rules::id::{HandoverId, RequestId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use wire::handover::v1::ObjectToHandoverRequest;

/// What the outbox needs to send and to settle.
#[derive(Clone)]
pub(crate) struct Outbox {
    pub(crate) connection: Connection,
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) policy: RetryPolicy,
    pub(crate) under_way: Arc<Mutex<BTreeSet<RequestId>>>,
    /// Held while what was stopped is sent again.
    pub(crate) resending: Arc<tokio::sync::Mutex<()>>,
    /// Held for reading by whoever prepares and offers in one, so that nobody else finishes it meanwhile.
    pub(crate) drafting: Arc<tokio::sync::RwLock<()>>,
}

/// What `resume` made of one request that waited.
#[derive(Debug)]
pub struct Resumed {
    /// The request.
    pub request: RequestId,
    /// The call, for example `Offer`.
    pub call: &'static str,
    /// The handover that it is about; none where it is about none, or none yet.
    pub handover: Option<HandoverId>,
    /// What came of it. [`ClientError::Waiting`] means that it still waits.
    pub outcome: Result<Settled, ClientError>,
}

/// What travels beside a message: the order that it needs, and what only this side may know.
#[derive(Default)]
pub(crate) struct Beside {
    /// All of the order but id and window.
    pub(crate) order: Option<wire::pseudonym::v1::Order>,
    /// The person, for a Prepare.
    pub(crate) person: String,
    /// What was typed, for a Prepare: it is offered when the answer is yes.
    pub(crate) draft: Option<DraftRow>,
    /// Changes that are kept together with the request.
    pub(crate) changes: Vec<Change>,
}

impl Outbox {
    /// Keeps a fresh request, sends it until there is a definite answer, and settles that.
    pub(crate) async fn run<M: Mutation>(
        &self,
        request: RequestId,
        mut message: M,
        beside: Beside,
        directory: &Arc<DirectoryCopy>,
    ) -> Result<Settled, ClientError> {
        message.set_request_id(&request);
        let row = OutboxRow {
            call: M::NUMBER,
            message: message.encode_to_vec(),
            order: beside.order,
            person: beside.person,
        };
        let mark = self.mark(request).ok_or(StoreError::Interrupted)?;
        let mut changes = beside.changes;
        changes.extend(
            beside
                .draft
                .map(|draft| put(Table::Draft, request.bytes(), &draft)),
        );
        changes.push(put(Table::Outbox, request.bytes(), &row));
        self.commit(changes).await?;
        let outcome = self.deliver(&request, message, &row, directory).await;
        drop(mark);
        outcome
    }

    /// Sends a request that whoever asks keeps until it is answered, under an id that stays the same: nothing
    /// waits here.
    pub(crate) async fn run_kept<M: Mutation>(
        &self,
        request: &RequestId,
        mut message: M,
        directory: &Arc<DirectoryCopy>,
    ) -> Result<Settled, ClientError> {
        message.set_request_id(request);
        let row = OutboxRow {
            call: M::NUMBER,
            message: message.encode_to_vec(),
            order: None,
            person: String::new(),
        };
        match self.deliver(request, message, &row, directory).await {
            Err(ClientError::Waiting { cause, .. }) => Err(*cause),
            settled => settled,
        }
    }

    /// Sends a kept request. A definite answer takes it out of the outbox together with what it
    /// changes here; anything else leaves it there.
    pub(crate) async fn deliver<M: Mutation>(
        &self,
        request: &RequestId,
        message: M,
        row: &OutboxRow,
        directory: &Arc<DirectoryCopy>,
    ) -> Result<Settled, ClientError> {
        let sent = self
            .repeat(|| {
                let prepared = self.attempt(message.clone(), row);
                let connection = self.connection.clone();
                async move {
                    let (message, order) = prepared?;
                    let answer = message.send(connection).await;
                    let answer = answer.map_err(|status| from_status(M::NAME, &status))?;
                    Ok((answer, order))
                }
            })
            .await;
        let done = remove(Table::Outbox, request.bytes());
        match sent {
            Ok((answer, order)) => {
                let settling = Settling {
                    directory,
                    row,
                    order: order.as_ref(),
                    now: self.clock.now(),
                };
                let settled = message.settle(answer, &settling);
                let (settled, mut changes) = match settled {
                    Ok((settled, changes)) => (Ok(settled), changes),
                    Err(error) => (Err(error), Vec::new()),
                };
                changes.push(done);
                changes.extend(self.draft_changes(request, row, &settled)?);
                if stops(M::NUMBER) {
                    let kept = [row.message.clone(), sealed_person(&settled)].concat();
                    changes.extend(self.keep_stopped(request, M::NUMBER, kept)?);
                    if let Ok(Settled::Consent(receipt)) = &settled {
                        changes.extend(self.keep_sealed(&receipt.sealed_subject)?);
                    }
                }
                self.commit(changes).await?;
                settled
            }
            Err(cause) if cause.is_repeatable() => Err(ClientError::Waiting {
                request: *request,
                cause: Box::new(cause),
            }),
            // An order that expires each time is a clock that is wrong: waiting would not mend it.
            Err(definite) => {
                let definite = Err(definite);
                let mut changes = self.draft_changes(request, row, &definite)?;
                changes.push(done);
                self.commit(changes).await?;
                definite
            }
        }
    }

    fn attempt<M: Mutation>(
        &self,
        mut message: M,
        row: &OutboxRow,
    ) -> Result<(M, Option<Signed<Order>>), ClientError> {
        let Some(template) = &row.order else {
            return Ok((message, None));
        };
        let order = self
            .identity
            .sign_order(template, &*self.clock, &*self.random)?;
        message.set_order((&order).into());
        Ok((message, Some(order)))
    }

    /// Makes changes durable without holding up other tasks.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.commit(changes))
            .await
            .unwrap_or(Err(StoreError::Interrupted))
    }

    /// Marks a request as being sent by this process; none when it is already.
    pub(crate) fn mark(&self, request: RequestId) -> Option<Mark> {
        let fresh = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(request);
        fresh.then(|| Mark {
            request,
            under_way: Arc::clone(&self.under_way),
        })
    }
}

/// Takes its request off the list of what is being sent, also when the call is given up half-way.
pub(crate) struct Mark {
    request: RequestId,
    under_way: Arc<Mutex<BTreeSet<RequestId>>>,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.request);
    }
}

/// The person's row of an answer, as the field of the request that is sent again; octets of protobuf messages of one
/// kind may be put one behind the other.
fn sealed_person(settled: &Result<Settled, ClientError>) -> Vec<u8> {
    let Ok(Settled::Handover(receipt)) = settled else {
        return Vec::new();
    };
    let field = ObjectToHandoverRequest {
        sealed_person: receipt.sealed_person.clone(),
        ..ObjectToHandoverRequest::default()
    };
    field.encode_to_vec()
}
