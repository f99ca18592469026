//! `WatchInbox`: the inbox as a stream, item by item, each with its own entry.
//!
//! Must never deliver an item without its entry, nor anything to a desk that has been revoked since the
//! stream began. The wake-up is a hint; looking again after a while is the truth.

use super::show;
use crate::door::admission::Registry;
use crate::door::certificate::PeerCertificate;
use crate::grpc::call::arrived;
use crate::grpc::status;
use crate::serving;
use broker::inbox::WatchInbox;
use broker::{Broker, Call};
use rules::audit::Trace;
use rules::limits::WATCH_STREAM_MILLIS_MAX;
use rules::reason::{Outcome, Reason, Refusal};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as signal};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use wire::handover::v1 as message;

/// How long a stream sleeps when nobody wakes it.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How often a silent stream gives a sign of life.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(20);
/// Age at which a stream ends.
const AGE_MAX: Duration = Duration::from_millis(WATCH_STREAM_MILLIS_MAX.unsigned_abs());
/// Items that wait for a slow reader; the next one is taken from the inbox only when there is room.
const WAITING_MAX: usize = 1;

type Item = Result<message::WatchInboxResponse, Status>;

/// One stream.
pub(super) struct Watch {
    broker: Arc<Broker>,
    registry: Arc<dyn Registry>,
    stopping: signal::Receiver<bool>,
    certificate: PeerCertificate,
    call: Call,
    cursor: String,
}

impl Watch {
    /// Reads the request.
    ///
    /// # Errors
    /// When it did not come through the door.
    pub(super) fn begin(
        broker: Arc<Broker>,
        registry: Arc<dyn Registry>,
        stopping: signal::Receiver<bool>,
        request: Request<message::WatchInboxRequest>,
    ) -> Result<Self, Status> {
        let call = arrived(&broker, &request)?;
        let certificate = request.extensions().get::<PeerCertificate>().cloned();
        let certificate = certificate
            .ok_or_else(|| status::refused(&Refusal::new(Reason::DeskUnknown), None, None))?;
        Ok(Self {
            broker,
            registry,
            stopping,
            certificate,
            call,
            cursor: request.into_inner().cursor,
        })
    }

    /// The stream; it ends by itself after thirty minutes, at the first refusal, or when the reader
    /// goes away.
    pub(super) fn stream(mut self) -> ReceiverStream<Item> {
        let (items, stream) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            if let Err(end) = self.run(&items).await {
                // A reader that has gone hears nothing, which is right.
                drop(items.send(Err(end)).await);
            }
        });
        ReceiverStream::new(stream)
    }

    async fn run(&mut self, items: &mpsc::Sender<Item>) -> Result<(), Status> {
        let woken = self.broker.watch(&self.call.caller.party);
        let ends = Instant::now() + AGE_MAX;
        let mut beat = Instant::now() + HEARTBEAT_INTERVAL;
        // The first look checks the cursor, also when there is nothing to deliver.
        let mut look = true;
        loop {
            let Ok(place) = items.reserve().await else {
                return Ok(());
            };
            self.renew().await?;
            if look || self.has_more().await? {
                look = false;
                if let Some(item) = self.deliver().await? {
                    place.send(Ok(item));
                    beat = Instant::now() + HEARTBEAT_INTERVAL;
                    continue;
                }
            }
            if Instant::now() >= ends {
                return Err(status::refused(
                    &Refusal::new(Reason::StreamEnded),
                    None,
                    None,
                ));
            }
            if Instant::now() >= beat {
                beat = Instant::now() + HEARTBEAT_INTERVAL;
                place.send(Ok(message::WatchInboxResponse {
                    item: None,
                    cursor: self.cursor.clone(),
                }));
            } else {
                drop(place);
            }
            let wait = Instant::now() + POLL_INTERVAL;
            tokio::select! {
                () = tokio::time::sleep_until(wait.min(ends).min(beat)) => {}
                () = woken.notified() => {}
                () = items.closed() => return Ok(()),
                () = serving::stop(&mut self.stopping) => {
                    return Err(status::refused(&Refusal::new(Reason::StreamEnded), None, None));
                }
            }
        }
    }

    /// Looks the desk up again: a revocation, or a right with which a desk has no inbox, ends the stream before its
    /// next item, with a line of its own.
    async fn renew(&mut self) -> Result<(), Status> {
        self.call.now = self.broker.now();
        let reason = match self.registry.admit(&self.certificate) {
            Ok(caller) if caller.oversees() => Reason::RightMissing,
            Ok(caller) => {
                self.call.caller = caller;
                return Ok(());
            }
            Err(reason) => reason,
        };
        let refusal = Refusal::new(reason);
        let noted = self
            .broker
            .refuse(&self.call, "WatchInbox", refusal.clone())
            .await
            .map_err(|fault| status::fault(&fault, None, None))?;
        let logged = noted.promise;
        Err(status::refused(&refusal, None, Some(&logged)))
    }

    async fn has_more(&self) -> Result<bool, Status> {
        self.broker
            .inbox_has_more(&self.call, &self.cursor)
            .await
            .map_err(|fault| status::fault(&fault, None, None))
    }

    /// Takes the next item with its entry; `None` when there is none.
    async fn deliver(&mut self) -> Result<Option<message::WatchInboxResponse>, Status> {
        let command = WatchInbox {
            cursor: self.cursor.clone(),
        };
        let answer = self
            .broker
            .serve(&self.call, &command)
            .await
            .map_err(|fault| status::fault(&fault, None, None))?;
        let page = match answer.outcome {
            Outcome::Permitted(page) => page,
            Outcome::Refused(refusal) => {
                let logged = answer.promise;
                return Err(status::refused(&refusal, None, Some(&logged)));
            }
        };
        self.cursor = page.cursor;
        // Each item is an exchange of its own, so each has its own span in the trace.
        self.call.trace = Trace::continued(&self.call.trace.traceparent(), self.broker.random());
        Ok(page
            .items
            .first()
            .map(|(item, _)| message::WatchInboxResponse {
                item: Some(show::item(item)),
                cursor: self.cursor.clone(),
            }))
    }
}
