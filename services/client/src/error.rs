//! What can go wrong for a partner: a refusal by the gateway, a fault on the way, an answer that does
//! not verify, the partner's own store, or the partner's own input.
//!
//! Must never hold a field's value, a person key, a point or a pseudonym: these errors end up in logs.

use rules::id::{EntryId, RequestId};
use rules::reason::{Reason, Refusal, Violation};
use std::fmt;
use std::io;
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt as _;

/// Who answers most calls.
const GATEWAY: &str = "gateway";

/// The domain of `google.rpc.ErrorInfo` for every reason of Sluis.
pub const ERROR_DOMAIN: &str = "sluis";

/// Why a call of this library did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The gateway said no, or this library did for what only the recipient can find. A normal outcome: the reason says
    /// what to do.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// The gateway could not be reached, or stayed silent.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// What came back does not verify. Nothing of it was used.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The partner's own store could not be read or written.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The input of the call is wrong, or something must be done first. Nothing was sent.
    #[error("{what}; {remedy}")]
    Input {
        /// What is wrong.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// What was given may not be sent, and nothing was: the refusal names each field.
    #[error("{}", not_sent(.0))]
    NotSent(Box<Refusal>),
    /// Every attempt failed on the way or was asked to come back later. The request waits in the
    /// outbox and `Client::resume` finishes it, also after a restart. Don't make the call anew.
    #[error(
        "{cause}; the request waits in the outbox as {request}; `sluis resume` as the same desk finishes it, so don't make the call anew"
    )]
    Waiting {
        /// The request's id.
        request: RequestId,
        /// What the last attempt saw.
        cause: Box<ClientError>,
    },
    /// A directory that cannot be put in the place of the copy at hand.
    #[error(transparent)]
    Directory(#[from] crate::directory::DirectoryError),
}

impl ClientError {
    /// The reason of a refusal, if this is one with a reason that this version knows.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refused) => refused.reason,
            Self::NotSent(refusal) => Some(refusal.reason),
            Self::Waiting { cause, .. } => cause.reason(),
            Self::Transport(_)
            | Self::Protocol(_)
            | Self::Store(_)
            | Self::Input { .. }
            | Self::Directory(_) => None,
        }
    }

    /// True when the same call may succeed later without any change: a fault on the way, a deadline,
    /// or `UNAVAILABLE`. A definite answer is never repeatable.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Refused(refused) => refused.is_repeatable(),
            Self::Transport(_) => true,
            // The outbox repeats it.
            Self::Waiting { .. } => false,
            Self::Protocol(_)
            | Self::Store(_)
            | Self::Input { .. }
            | Self::NotSent(_)
            | Self::Directory(_) => false,
        }
    }
}

impl ClientError {
    /// True when a fresh order may help: the order's window passed on the way, or a key holder began anew
    /// and no longer takes orders from before.
    pub(crate) fn wants_fresh_order(&self) -> bool {
        self.reason() == Some(Reason::OrderExpired)
    }
}

fn not_sent(refusal: &Refusal) -> String {
    let fields = refusal.violations.iter();
    let fields = fields.map(|one| format!("; {} {}", one.field, one.description));
    let (code, text) = (refusal.reason.code(), refusal.reason.english());
    format!(
        "nothing was sent: {code}: {text}{}",
        fields.collect::<String>()
    )
}

impl From<Refused> for ClientError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// A refusal as the gateway gave it (google.rpc details).
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason; none when the server is newer than this library or is not Sluis at all.
    pub reason: Option<Reason>,
    /// The reason's code as sent; empty when there was none.
    pub reason_code: String,
    /// The gRPC status code.
    pub code: Code,
    /// The text that came with it, in English.
    pub message: String,
    /// Fields that are wrong, when the request itself is.
    pub violations: Vec<Violation>,
    /// The request's id at the gateway, to give to its operator.
    pub request_id: String,
    /// The log entry of the refusal.
    pub entry_id: Option<EntryId>,
    /// How long the gateway asks to wait before a repeat.
    pub retry_after: Option<Duration>,
}

impl Refused {
    /// Reads a gRPC status with its details.
    #[must_use]
    pub fn from_status(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let info = details
            .error_info()
            .filter(|info| info.domain == ERROR_DOMAIN);
        let reason_code = info.map(|info| info.reason.clone()).unwrap_or_default();
        let violations = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|violation| Violation::new(&violation.field, &violation.description))
                .collect()
        });
        Self {
            reason: Reason::from_code(&reason_code),
            code: status.code(),
            message: status.message().to_owned(),
            violations,
            request_id: details
                .request_info()
                .map(|info| info.request_id.clone())
                .unwrap_or_default(),
            entry_id: info
                .and_then(|info| info.metadata.get("entry_id"))
                .and_then(|text| entry_id(text)),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            reason_code,
        }
    }

    /// What this library itself refuses. Nothing was sent.
    #[must_use]
    pub(crate) fn here(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            reason_code: reason.code().to_owned(),
            code: Code::FailedPrecondition,
            message: reason.english().to_owned(),
            violations: Vec::new(),
            request_id: String::new(),
            entry_id: None,
            retry_after: None,
        }
    }

    /// True when the gateway says that the same call may succeed later.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.code == Code::Unavailable
            || self.code == Code::DeadlineExceeded
            || self.reason == Some(Reason::TooManyCalls)
    }
}

/// The metadata holds the id in its text form, with or without its prefix.
fn entry_id(text: &str) -> Option<EntryId> {
    text.parse()
        .ok()
        .or_else(|| rules::hex::decode(text).and_then(|bytes| EntryId::from_slice(&bytes)))
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(out, "refused with {}: {}", reason.code(), reason.english())?,
            None if self.reason_code.is_empty() => {
                out.write_str(match self.code {
                    Code::Unimplemented => {
                        "what answers there does not know this call: it is no gateway, or one of another version; \
                         compare address and version"
                    }
                    _ => {
                        "what answers there gives no reason, as a gateway would; check the address, and what stands \
                         between"
                    }
                })?;
            }
            None => write!(
                out,
                "refused with {} (not known to this version of the client): {}",
                self.reason_code, self.message
            )?,
        }
        for violation in &self.violations {
            write!(out, "; {}: {}", violation.field, violation.description)?;
        }
        if let Some(entry) = self.entry_id {
            write!(out, "; log entry {entry}")?;
        }
        if !self.request_id.is_empty() {
            write!(out, "; request {}", self.request_id)?;
        }
        Ok(())
    }
}

/// A fault between this process and the gateway.
#[derive(Debug)]
pub struct TransportError {
    /// Who did not answer: the gateway, or the portal.
    pub whom: &'static str,
    /// What was being done, for example `Prepare`.
    pub doing: &'static str,
    /// What was seen, in words for people.
    pub what: String,
}

impl fmt::Display for TransportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the {} did not answer {}: {}; try again later",
            self.whom, self.doing, self.what
        )?;
        if self.whom == GATEWAY {
            out.write_str(", or run `sluis connect-check` to see which step fails")?;
        }
        Ok(())
    }
}

impl std::error::Error for TransportError {}

/// Something that came back from the gateway and does not verify. Whoever sees this must look: a
/// broker, a holder or a sender is broken or lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// Which paper or field, for example `voucher`.
    pub what: &'static str,
    /// What is wrong with it.
    pub wrong: &'static str,
    /// The reason that a server would give for the same fault, where there is one.
    pub reason: Option<Reason>,
}

impl ProtocolError {
    /// `what` came back and `wrong` is what is the matter with it.
    #[must_use]
    pub const fn new(what: &'static str, wrong: &'static str) -> Self {
        Self {
            what,
            wrong,
            reason: None,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the answer does not verify: {}: {}; nothing of it was used, tell the gateway's operator",
            self.what, self.wrong
        )
    }
}

impl std::error::Error for ProtocolError {}

impl From<papers::paper::PaperError> for ProtocolError {
    fn from(error: papers::paper::PaperError) -> Self {
        Self {
            what: error.field,
            wrong: error.wrong,
            reason: Some(error.reason),
        }
    }
}

impl From<papers::paper::PaperError> for ClientError {
    fn from(error: papers::paper::PaperError) -> Self {
        Self::Protocol(error.into())
    }
}

/// A status that came back for `doing`, as the error it is: a refusal when the gateway said it, a
/// transport fault when the connection did. For callers that use a generated stub directly.
pub fn from_status(doing: &'static str, status: &tonic::Status) -> ClientError {
    from_status_of(GATEWAY, doing, status)
}

/// The same of somebody else than the gateway, for example the portal.
pub fn from_status_of(
    whom: &'static str,
    doing: &'static str,
    status: &tonic::Status,
) -> ClientError {
    let refused = Refused::from_status(status);
    let from_server = !refused.reason_code.is_empty() || !refused.request_id.is_empty();
    let on_the_way = matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    );
    if on_the_way && !from_server {
        TransportError {
            whom,
            doing,
            what: seen(status),
        }
        .into()
    } else {
        refused.into()
    }
}

/// The messages of an error and all its sources, outermost first, each once: for a log.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

/// What a status of a connection tells, in words for people: those of the libraries below mean nothing to them.
fn seen(status: &tonic::Status) -> String {
    let mut next = std::error::Error::source(status);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return words(error);
        }
        next = cause.source();
    }
    let text = match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => "no answer came in time",
        _ => "the connection was lost",
    };
    text.to_owned()
}

/// An error of a connection, in words for people.
pub(crate) fn words(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return tls_words(tls);
    }
    let text = match error.kind() {
        Kind::ConnectionRefused => "nothing listens there, the connection was refused",
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => "the connection was closed half-way",
        Kind::TimedOut => "it took too long",
        Kind::HostUnreachable | Kind::NetworkUnreachable => "the network has no way to it",
        _ => return error.to_string(),
    };
    text.to_owned()
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::{CertificateError as Wrong, Error as Tls};
    let text = match error {
        Tls::InvalidCertificate(Wrong::UnknownIssuer) => {
            "the certificate there is not of the configured issuer"
        }
        Tls::InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) => {
            "the certificate there is of another name"
        }
        Tls::InvalidCertificate(
            Wrong::Expired
            | Wrong::ExpiredContext { .. }
            | Wrong::NotValidYet
            | Wrong::NotValidYetContext { .. },
        ) => "the certificate there is not valid today",
        Tls::InvalidCertificate(_) => "the certificate there cannot be trusted",
        Tls::AlertReceived(_) => "this desk's certificate was not accepted there",
        _ => return format!("TLS failed ({error})"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Refused, from_status};
    use rules::reason::Reason;
    use std::collections::HashMap;
    use std::time::Duration;
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    fn status(code: Code, reason: &str, domain: &str) -> Status {
        let mut details = ErrorDetails::new();
        let entry = "ent_".to_owned() + &"07".repeat(16);
        details
            .set_error_info(reason, domain, HashMap::from([("entry_id".into(), entry)]))
            .set_request_info("r-1", "")
            .set_retry_info(Some(Duration::from_secs(2)))
            .add_bad_request_violation("purpose", "is missing");
        Status::with_error_details(code, "no", details)
    }

    fn check(status: &Status, reason: Option<Reason>, repeatable: bool) -> ClientError {
        let error = from_status("Prepare", status);
        assert_eq!(error.reason(), reason, "{error}");
        assert_eq!(error.is_repeatable(), repeatable, "{error}");
        error
    }

    #[test]
    fn details_become_a_typed_refusal() {
        let error = check(
            &status(Code::NotFound, "NOT_AVAILABLE", "sluis"),
            Some(Reason::NotAvailable),
            false,
        );
        let ClientError::Refused(refused) = &error else {
            panic!("{error}")
        };
        assert!(refused.entry_id.is_some());
        assert_eq!(refused.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(refused.violations.len(), 1);
        check(
            &status(Code::Unavailable, "HOLDER_UNAVAILABLE", "sluis"),
            Some(Reason::HolderUnavailable),
            true,
        );
    }

    #[test]
    fn what_is_not_ours_has_no_reason() {
        check(
            &status(Code::NotFound, "NOT_AVAILABLE", "else"),
            None,
            false,
        );
        check(&status(Code::NotFound, "BRAND_NEW", "sluis"), None, false);
        let bare = check(&Status::unavailable("connection refused"), None, true);
        assert!(matches!(bare, ClientError::Transport(_)));
        let unimplemented = check(&Status::unimplemented(""), None, false);
        assert!(matches!(unimplemented, ClientError::Refused(_)));
        assert!(
            Refused::from_status(&Status::internal("x"))
                .entry_id
                .is_none()
        );
    }
}
