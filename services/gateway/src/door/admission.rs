//! From a verified certificate to a caller, for every single call: a desk that is revoked loses its
//! next call, not its next connection.
//!
//! Must never let a call reach a service without a caller, health and reflection included. A `Caller`
//! is made here and nowhere else.

use super::certificate::PeerCertificate;
use crate::grpc::status::{self, Logged};
use counter::Caller;
use rules::directory::Directory;
use rules::limits::DEADLINE_MILLIS_MAX;
use rules::reason::{Outcome, Reason, Refusal};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

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

    /// Logs that a certificate was turned away, and gives the log line; roles without a log have none.
    fn turned_away(&self, _certificate: PeerCertificate, _refusal: Refusal) -> Logging<'_> {
        Box::pin(std::future::ready(None))
    }
}

/// The writing of a log line, if one is to be written.
pub type Logging<'a> = Pin<Box<dyn Future<Output = Option<Logged>> + Send + 'a>>;

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

/// Puts admission before every service.
#[derive(Clone)]
pub struct AdmissionLayer(Arc<dyn Registry>);

impl AdmissionLayer {
    /// Admission by this registry.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self(registry)
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission {
            registry: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service behind admission.
#[derive(Clone)]
pub struct Admission<S> {
    registry: Arc<dyn Registry>,
    inner: S,
}

impl<S> Admission<S> {
    /// Who calls; otherwise why nobody does, and with which certificate.
    fn admit(
        &self,
        request: &mut Request<Body>,
    ) -> Result<Caller, (Reason, Option<PeerCertificate>)> {
        let certificate = request.extensions().get::<PeerCertificate>();
        let certificate = certificate.ok_or((Reason::DeskUnknown, None))?;
        let caller = self
            .registry
            .admit(certificate)
            .and_then(|caller| {
                self.registry.may_call(&caller, request.uri().path())?;
                Ok(caller)
            })
            .map_err(|reason| (reason, Some(certificate.clone())))?;
        request.extensions_mut().insert(caller.clone());
        Ok(caller)
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
        let registry = Arc::clone(&self.registry);
        let caller = match self.admit(&mut request) {
            Ok(caller) => caller,
            Err((reason, certificate)) => {
                return Box::pin(async move {
                    Ok(turn_away(registry.as_ref(), reason, certificate)
                        .await
                        .into_http())
                });
            }
        };
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
            let Some(reason) = unreadable(&response) else {
                return Ok(response);
            };
            tracing::info!(reason = reason.code(), "a message could not be read");
            let refusal = Refusal::new(reason);
            let logged = registry.unreadable(caller, refusal.clone()).await;
            Ok(status::refused(&refusal, None, logged.as_ref()).into_http())
        })
    }
}

async fn turn_away(
    registry: &dyn Registry,
    reason: Reason,
    certificate: Option<PeerCertificate>,
) -> Status {
    tracing::info!(reason = reason.code(), "a call was refused at the door");
    let refusal = Refusal::new(reason);
    let logged = match certificate {
        Some(certificate) => registry.turned_away(certificate, refusal.clone()).await,
        None => None,
    };
    status::refused(&refusal, None, logged.as_ref())
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
fn unreadable(response: &Response<Body>) -> Option<Reason> {
    let headers = response.headers();
    if headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    match Code::from_bytes(headers.get("grpc-status")?.as_bytes()) {
        Code::OutOfRange => Some(Reason::MessageTooLarge),
        Code::Internal => Some(Reason::InvalidRequest),
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
