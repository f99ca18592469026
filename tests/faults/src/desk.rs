//! A client of the run: a desk with a store of its own, whose outbox finds out what became of every call that
//! got no answer, under the same request id.
//!
//! Must never make such a call anew.

use crate::house::Folder;
use crate::journal::Journal;
use client::{Client, ClientError, Receipt, RetryPolicy, Settled};
use gateway::cli::identity::Identity;
use rules::handover::State;
use rules::id::{HandoverId, RequestId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Tasks that send again what waits: one that is held up does not hold up the rest.
const SENDERS: usize = 4;
/// How long each waits in between.
const SEND_PAUSE: Duration = Duration::from_millis(150);
/// How a client of the run repeats by itself: little, so that much is left to the outbox.
const RETRY: RetryPolicy = RetryPolicy {
    attempts_max: 2,
    first_wait: Duration::from_millis(100),
    wait_max: Duration::from_millis(400),
};

/// What became of calls that waited.
type Settlements = BTreeMap<RequestId, Result<Settled, ClientError>>;

/// One desk at work.
pub(crate) struct Desk {
    pub(crate) client: Client,
    journal: Arc<Journal>,
    settled: Mutex<Settlements>,
    changed: Notify,
}

impl Desk {
    /// A desk of its own for an identity, at the broker behind `broker`.
    pub(crate) async fn open(
        folder: &Folder,
        (name, number): (&str, usize),
        broker: &str,
        journal: &Arc<Journal>,
    ) -> Arc<Self> {
        let identity = Identity {
            broker_address: broker.to_owned(),
            ..folder.identity(name)
        };
        let store = folder.beside(&format!("{name}-{number}.store"));
        let client = identity.client_at(&store).unwrap();
        client.open_context().await.unwrap();
        let desk = Arc::new(Self {
            client: client.with_retry(RETRY),
            journal: Arc::clone(journal),
            settled: Mutex::default(),
            changed: Notify::new(),
        });
        for _ in 0..SENDERS {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.send_again().await });
        }
        desk
    }

    /// How many calls wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.client.store().waiting().len()
    }

    async fn send_again(&self) {
        loop {
            tokio::time::sleep(SEND_PAUSE).await;
            let Ok(resumed) = self.client.resume().await else {
                continue;
            };
            for one in resumed {
                if !matches!(one.outcome, Err(ClientError::Waiting { .. })) {
                    self.settled
                        .lock()
                        .unwrap()
                        .insert(one.request, one.outcome);
                    self.changed.notify_waiters();
                }
            }
        }
    }

    async fn settlement(&self, request: RequestId) -> Result<Settled, ClientError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(outcome) = self.settled.lock().unwrap().remove(&request) {
                return outcome;
            }
            changed.await;
        }
    }

    /// The definite answer to a change, however long it takes to have it; taken down.
    pub(crate) async fn answer<T: Into<Told>>(
        &self,
        call: &'static str,
        result: Result<T, ClientError>,
    ) -> Option<Receipt> {
        let answer = match result {
            Err(ClientError::Waiting { request, .. }) => {
                self.journal.unknown();
                self.settlement(request).await.map(Told::from)
            }
            answer => answer.map(Into::into),
        };
        match answer {
            Ok(Told(receipt)) => {
                self.journal.done(call, &receipt);
                Some(receipt)
            }
            Err(error) => {
                self.journal.refused(call, &error);
                None
            }
        }
    }

    /// Where a handover stands; none when that cannot be had at present.
    pub(crate) async fn state(&self, handover: &HandoverId) -> Option<State> {
        let before = self.journal.taken().seen.get(handover).copied();
        let shown = match self.client.show(handover).await {
            Ok(shown) => shown.handover?,
            Err(error) => {
                self.journal.refused("GetHandover", &error);
                return None;
            }
        };
        let state = State::from_number(shown.state)?;
        if let Some((revision, was)) = before.filter(|before| before.0 > shown.revision) {
            self.journal.wrong(format!(
                "{handover} went back from {was:?} at revision {revision} to {state:?} at revision {}",
                shown.revision
            ));
        }
        self.journal.saw(*handover, shown.revision, state);
        Some(state)
    }
}

/// The receipt in an answer, whichever it is.
pub(crate) struct Told(Receipt);

impl From<Receipt> for Told {
    fn from(receipt: Receipt) -> Self {
        Self(receipt)
    }
}

impl From<client::Prepared> for Told {
    fn from(prepared: client::Prepared) -> Self {
        Self(prepared.receipt)
    }
}

impl From<Settled> for Told {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Prepared(prepared) => Self(prepared.receipt),
            Settled::Handover(receipt) => Self(receipt),
            other => panic!("an answer of another kind: {other:?}"),
        }
    }
}
