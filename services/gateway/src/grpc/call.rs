//! What every call has: a caller, a trace, a moment; and the one way from a command to an answer.
//!
//! Must never answer before the broker has committed, and never put more in a span than the command's
//! name.

use super::reading::Reading;
use super::status;
use broker::record::Record;
use broker::serve::Command;
use broker::{Answer, Broker, Call, Caller, Error};
use papers::promise::Promise;
use rules::audit::Trace;
use rules::id::RequestId;
use rules::reason::{Outcome, Reason, Refusal};
use std::future::Future;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tracing::Instrument as _;

/// Name of the trace context in metadata (W3C Trace Context; LDV 1.0.0 makes it mandatory over HTTP).
const TRACEPARENT: &str = "traceparent";

/// The call that a request is.
///
/// # Errors
/// When the request did not come through the door, which is a fault of ours.
pub fn arrived<T>(broker: &Broker, request: &Request<T>) -> Result<Call, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    let caller =
        caller.ok_or_else(|| status::refused(&Refusal::new(Reason::DeskUnknown), None, None))?;
    Ok(Call {
        caller,
        trace: trace(broker, request.metadata()),
        now: broker.now(),
    })
}

/// The trace that the caller continues; a new one when it names none or what is not one.
fn trace(broker: &Broker, metadata: &MetadataMap) -> Trace {
    let traceparent = metadata
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Trace::continued(traceparent, broker.random())
}

/// A message that becomes a command.
pub trait Incoming: Sized {
    /// The command.
    type Command;
    /// The call's name, which is the command's, the span's and the entry's.
    const NAME: &'static str;
    /// Whether it is for those who exchange: then not for a desk that watches over exchanges.
    const EXCHANGES: bool = false;

    /// The caller's id of the request, if it is one.
    fn request_id(&self) -> Option<RequestId> {
        None
    }

    /// Reads every field, noting all that is wrong.
    fn read(self, reading: &mut Reading) -> Option<Self::Command>;

    /// What the log is told of the command when a key holder was away and it could not be served.
    fn about(_command: &Self::Command, _call: &Call) -> Record {
        Record::default()
    }
}

/// Serves a message whose command is one transaction at the broker.
///
/// # Errors
/// The status of the refusal or the fault.
pub async fn serve<M>(
    broker: &Broker,
    request: Request<M>,
) -> Result<(<M::Command as Command>::Reply, Promise), Status>
where
    M: Incoming,
    M::Command: Command,
{
    let call = arrived(broker, &request)?;
    answer(broker, &call, request.into_inner(), async |command| {
        broker.serve(&call, &command).await
    })
    .await
}

/// Reads a message and has its command served under its span.
///
/// # Errors
/// The status of the refusal or the fault.
pub async fn answer<M, T, F>(
    broker: &Broker,
    call: &Call,
    message: M,
    serve: impl FnOnce(M::Command) -> F,
) -> Result<(T, Promise), Status>
where
    M: Incoming,
    F: Future<Output = Result<Answer<T>, Error>>,
{
    let request_id = message.request_id();
    let mut reading = Reading::default();
    let command = message.read(&mut reading);
    let span = tracing::info_span!("command", command = M::NAME);
    let mut about = Record::default();
    let command = reading.finish(command);
    let served = match command.and_then(|command| may_call::<M>(call).map(|()| command)) {
        Ok(command) => {
            about = M::about(&command, call);
            serve(command).instrument(span.clone()).await
        }
        Err(refusal) => {
            refuse(broker, call, M::NAME, refusal)
                .instrument(span.clone())
                .await
        }
    };
    match served {
        Ok(Answer {
            outcome: Outcome::Permitted(reply),
            promise,
        }) => Ok((reply, promise)),
        Ok(Answer {
            outcome: Outcome::Refused(refusal),
            promise,
        }) => Err(status::refused(&refusal, request_id, Some(&promise))),
        Err(fault) => {
            let promise = broker.note_fault(call, M::NAME, &fault, about).await;
            let logged = promise;
            Err(span.in_scope(|| status::fault(&fault, request_id, logged.as_ref())))
        }
    }
}

/// An officer's desk looks and decides; it hands nobody over, and takes nobody.
fn may_call<M: Incoming>(call: &Call) -> Result<(), Refusal> {
    if M::EXCHANGES && call.caller.oversees() {
        Err(Refusal::lacks(
            "an officer's desk looks and decides; this call is for a desk that hands over or takes",
        ))
    } else {
        Ok(())
    }
}

/// Logs the refusal of a message that could not be read, or that is not the caller's to send. What the caller is
/// told of the first is what was read of it, field by field.
async fn refuse<T>(
    broker: &Broker,
    call: &Call,
    name: &'static str,
    refusal: Refusal,
) -> Result<Answer<T>, Error> {
    let promise = broker.refuse(call, name, refusal.clone()).await?.promise;
    Ok(Answer {
        outcome: Outcome::Refused(refusal),
        promise,
    })
}
