//! From a verified certificate to a caller, for every single call: a desk that is revoked loses its
//! next call, not its next connection. And from a caller to a permit: what goes beyond a budget is refused here, before
//! its body is read.
//!
//! Must never let a call reach a service without a caller and a permit, reflection included. A `Caller` is made here
//! and nowhere else. Only whether the process serves is answered to any certificate of a right issuer: a probe is no
//! desk.

use super::Visit;
use super::budgets::{Budget, Ledger};
use super::certificate::PeerCertificate;
use super::metered::{Beyond, Incoming, Outgoing};
use super::room::Line;
use super::sums::Sums;
use super::unread::Watchman;
use crate::grpc::status;
use broker::Caller;
use papers::promise::Promise;
use rules::directory::Directory;
use rules::id::Oin;
use rules::limits::DEADLINE_MILLIS_MAX;
use rules::reason::{Outcome, Reason, Refusal};
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};
use wire::count::Uncounted;

/// The one call that needs no desk; whoever follows health needs one.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// The longest that the server works on one call.
const DEADLINE_MAX: Duration = Duration::from_millis(DEADLINE_MILLIS_MAX.unsigned_abs());

/// Looks a certificate up in the directory that is in force at this moment.
pub trait Registry: Send + Sync {
    /// Who calls with this certificate.
    ///
    /// # Errors
    /// `CERTIFICATE_REVOKED`, `OIN_UNKNOWN` or `DESK_UNKNOWN`.
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason>;

    /// Whether this caller may make this call at all (`/package.Service/Method`): asked before a body is read.
    ///
    /// # Errors
    /// `RIGHT_MISSING`.
    fn may_call(&self, _caller: &Caller, _path: &str) -> Result<(), Reason> {
        Ok(())
    }

    /// Logs that a caller sent what could not be read, and gives the log line; roles without a log have
    /// none.
    fn unreadable(&self, _caller: Caller, _refusal: Refusal) -> Logging<'_> {
        Box::pin(std::future::ready(None))
    }

    /// Logs that calls of this caller went beyond a budget, so many of them.
    fn held_back(&self, _caller: Caller, _budget: &'static str, _times: u64) -> Logging<'_> {
        Box::pin(std::future::ready(None))
    }

    /// Logs that a certificate was turned away, and gives the log line; roles without a log have none.
    fn turned_away(&self, _certificate: PeerCertificate, _refusal: Refusal) -> Logging<'_> {
        Box::pin(std::future::ready(None))
    }
}

/// The writing of a log line, if one is to be written.
pub type Logging<'a> = Pin<Box<dyn Future<Output = Option<Promise>> + Send + 'a>>;

/// The caller that `directory` knows for this certificate.
///
/// # Errors
/// `CERTIFICATE_REVOKED`, `OIN_UNKNOWN` or `DESK_UNKNOWN`.
pub fn caller_of(directory: &Directory, certificate: &PeerCertificate) -> Result<Caller, Reason> {
    let oin = certificate.oin.as_ref().ok_or(Reason::OinUnknown)?;
    match directory.caller(oin, &certificate.spki_sha256) {
        Outcome::Permitted(member) => Ok(Caller {
            party: member.party(),
            desk: member.desk.name.clone(),
            kind: member.kind(),
            region: member.desk.region.clone(),
            rights: member.desk.rights.iter().copied().collect(),
            signing_key: member.desk.signing_key,
        }),
        Outcome::Refused(refusal) => Err(refusal.reason),
    }
}

/// What admission needs for every call.
struct Gate {
    registry: Arc<dyn Registry>,
    ledger: Arc<Ledger>,
    watchman: Watchman,
    beyond: Sums<(Oin, Budget), Caller>,
    refused: Sums<Reason, ()>,
}

/// Puts admission before every service.
#[derive(Clone)]
pub struct AdmissionLayer(Arc<Gate>);

impl AdmissionLayer {
    /// Admission by this registry, within these budgets.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, ledger: Arc<Ledger>) -> Self {
        let gate = Arc::new(Gate {
            registry,
            ledger,
            watchman: Watchman::default(),
            beyond: Sums::new(),
            refused: Sums::new(),
        });
        tokio::spawn(look_after(Arc::downgrade(&gate)));
        Self(gate)
    }
}

/// Cuts off whoever does not read its answers, and tells in sums who went beyond a budget.
async fn look_after(gate: Weak<Gate>) {
    loop {
        tokio::time::sleep(Watchman::INTERVAL).await;
        let Some(gate) = gate.upgrade() else {
            return;
        };
        let connections = gate.watchman.cut_off(Instant::now());
        if connections > 0 {
            tracing::info!(connections, "cut off: their answers were not read in time");
        }
        for (reason, (), times) in gate.refused.due(Instant::now()) {
            let reason = reason.code();
            tracing::info!(reason, times, "calls were refused at the door");
        }
        for ((oin, budget), caller, times) in gate.beyond.due(Instant::now()) {
            let budget = budget.name();
            tracing::warn!(%oin, budget, times, "calls went beyond a budget");
            gate.registry.held_back(caller, budget, times).await;
        }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission {
            gate: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service behind admission.
#[derive(Clone)]
pub struct Admission<S> {
    gate: Arc<Gate>,
    inner: S,
}

/// Why a call goes no further.
enum Halt {
    /// Nobody calls.
    Nobody(Reason, Option<Box<PeerCertificate>>),
    /// Somebody calls who has no budget left.
    Beyond(Box<Caller>, Budget),
    /// Somebody calls whom this is not for.
    Forbidden(Reason),
    /// The connection had its one answer.
    Answered,
}

impl Gate {
    /// Who calls; otherwise why nobody does.
    fn admit(&self, request: &mut Request<Body>) -> Result<(Caller, Visit), Halt> {
        let visit = request.extensions().get::<Visit>().cloned();
        let visit = visit.ok_or(Halt::Nobody(Reason::DeskUnknown, None))?;
        if !visit.line.is_served() && !visit.line.take_answer() {
            return Err(Halt::Answered);
        }
        let certificate = &visit.certificate;
        let caller = self.registry.admit(certificate);
        let caller =
            caller.map_err(|reason| Halt::Nobody(reason, Some(Box::new(certificate.clone()))))?;
        if !visit.line.is_served() {
            return Err(Halt::Beyond(Box::new(caller), Budget::Connections));
        }
        let extensions = request.extensions_mut();
        extensions.insert(certificate.clone());
        extensions.insert(caller.clone());
        Ok((caller, visit))
    }

    async fn halt(&self, halt: Halt) -> Status {
        match halt {
            Halt::Nobody(reason, certificate) => self.turn_away(reason, certificate).await,
            Halt::Beyond(caller, budget) => self.hold_back(*caller, budget).await,
            Halt::Forbidden(reason) => self.turn_away(reason, None).await,
            Halt::Answered => Status::unavailable("this connection had its answer"),
        }
    }

    /// Refuses what goes beyond a budget: the first of a minute has its line at once.
    async fn hold_back(&self, caller: Caller, budget: Budget) -> Status {
        let oin = caller.party.oin.clone();
        let kind = (oin.clone(), budget);
        let mut logged = None;
        if self.beyond.is_first(kind, caller.clone(), Instant::now()) {
            tracing::warn!(%oin, budget = budget.name(), "a call went beyond a budget");
            logged = self.registry.held_back(caller, budget.name(), 1).await;
        }
        let text = "is used up for now; it passes by itself";
        let refusal = Refusal::about(Reason::TooManyCalls, budget.name(), text);
        status::refused(&refusal, None, logged.as_ref())
    }

    async fn turn_away(&self, reason: Reason, certificate: Option<Box<PeerCertificate>>) -> Status {
        if self.refused.is_first(reason, (), Instant::now()) {
            tracing::info!(reason = reason.code(), "a call was refused at the door");
        }
        let refusal = Refusal::new(reason);
        let logged = match certificate {
            Some(certificate) => {
                let told = self.registry.turned_away(*certificate, refusal.clone());
                told.await
            }
            None => None,
        };
        status::refused(&refusal, None, logged.as_ref())
    }

    /// Answers what the inner service could not read, in our words.
    async fn reword(&self, refusal: Refusal, caller: Caller) -> Status {
        tracing::info!(
            reason = refusal.reason.code(),
            "a message could not be read"
        );
        let logged = self.registry.unreadable(caller, refusal.clone()).await;
        status::refused(&refusal, None, logged.as_ref())
    }
}

impl<S> Service<Request<Body>> for Admission<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let deadline = deadline(request.headers());
        let gate = Arc::clone(&self.gate);
        let admitted = gate.admit(&mut request).and_then(|(caller, visit)| {
            let path = request.uri().path();
            let permit = match gate.ledger.begin(&caller, path) {
                Ok(permit) => permit,
                Err(budget) => return Err(Halt::Beyond(Box::new(caller), budget)),
            };
            let may = gate.registry.may_call(&caller, path);
            may.map_err(Halt::Forbidden)?;
            Ok((caller, visit, permit))
        });
        let (caller, visit, permit) = match admitted {
            Ok(admitted) => admitted,
            Err(Halt::Nobody(Reason::OinUnknown | Reason::DeskUnknown, Some(_)))
                if request.uri().path() == HEALTH =>
            {
                return Box::pin(self.inner.call(request));
            }
            Err(halt) => {
                let visit = request.extensions().get::<Visit>();
                let line = visit.map(|visit| visit.line.clone());
                if let Some(line) = line.filter(Line::is_served) {
                    line.count_refusal();
                }
                return Box::pin(async move { Ok(gate.halt(halt).await.into_http()) });
            }
        };
        let beyond = Beyond::default();
        let counted = (Arc::clone(&permit), Arc::clone(&beyond));
        let request = request.map(|body| Body::new(Incoming::new(body, counted.0, counted.1)));
        let served = self.inner.call(request);
        // Made here and not when first polled, so that it ends before tonic's own, which would answer
        // without details.
        let limit = tokio::time::sleep(deadline);
        Box::pin(async move {
            let response = tokio::select! {
                biased;
                response = served => response?,
                () = limit => return Ok(too_late().into_http()),
            };
            if let Some(budget) = beyond.get() {
                return Ok(gate.hold_back(caller, *budget).await.into_http());
            }
            if let Some(refusal) = unreadable(&response) {
                return Ok(gate.reword(refusal, caller).await.into_http());
            }
            let (head, body) = response.into_parts();
            gate.watchman.remember(&permit, &visit.line, Instant::now());
            let body = Outgoing::new(body, permit, visit.line).begin().await;
            Ok(Response::from_parts(head, Body::new(body)))
        })
    }
}

/// The caller's deadline, thirty seconds at most.
fn deadline(headers: &HeaderMap) -> Duration {
    headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(read_timeout)
        .map_or(DEADLINE_MAX, |wish| wish.min(DEADLINE_MAX))
}

/// `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2).
fn read_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before there was an answer; ask again")
}

/// tonic answers an unreadable or oversized message itself, without details and with the decoder's own
/// words; those answers are replaced by ours.
fn unreadable(response: &Response<Body>) -> Option<Refusal> {
    let headers = response.headers();
    if headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    let status = response.extensions().get::<Status>();
    let uncounted = status
        .and_then(|status| status.source())
        .and_then(|source| source.downcast_ref::<Uncounted>());
    match (code, uncounted) {
        (_, Some(Uncounted::TooMany { field, max })) => Some(Refusal::about(
            Reason::InvalidRequest,
            *field,
            format!("is there more than {max} times"),
        )),
        (Code::OutOfRange, _) => Some(Refusal::new(Reason::MessageTooLarge)),
        (Code::Internal, _) | (_, Some(Uncounted::Malformed)) => {
            Some(Refusal::new(Reason::InvalidRequest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Duration>) {
        assert_eq!(read_timeout(text), expected, "{text}");
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        check("500m", Some(Duration::from_millis(500)));
        check("2H", Some(Duration::from_secs(7_200)));
        check("99999999u", Some(Duration::from_micros(99_999_999)));
        for wrong in ["", "5", "m", "-5m", "5x", "999999999m", "5 m", "é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn nobody_gets_more_than_the_maximum() {
        let mut headers = HeaderMap::new();
        assert_eq!(deadline(&headers), DEADLINE_MAX);
        for (text, expected) in [
            ("1H", DEADLINE_MAX),
            ("nonsense", DEADLINE_MAX),
            ("250m", Duration::from_millis(250)),
        ] {
            headers.insert("grpc-timeout", text.parse().expect("a value"));
            assert_eq!(deadline(&headers), expected, "{text}");
        }
    }
}
