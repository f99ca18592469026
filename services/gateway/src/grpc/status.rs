//! One way to say no: every refusal and every fault becomes a gRPC status here and nowhere else.
//!
//! Must never let the bytes of a status depend on anything but its reason, save for ids, times and
//! promises of fixed length: "unknown" and "not yours" must look alike to the last octet.

use papers::promise::Promise;
use prost::Message as _;
use rules::hex;
use rules::id::RequestId;
use rules::reason::{Class, Reason, Refusal, Violation};
use std::collections::BTreeMap;
use tonic::{Code, Status};
use tonic_types::pb;

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "sluis";
/// How long a caller waits before it tries an unavailable service again, in seconds.
const RETRY_SECONDS: i64 = 1;
/// The same while the door is shut after a restoration: others must come first, and each try is a line in the log.
const RESTORING_SECONDS: i64 = 120;
/// Prefix of the type URLs of details (google.protobuf.Any).
const TYPE_PREFIX: &str = "type.googleapis.com/google.rpc.";

/// `google.rpc.ErrorInfo` with its metadata in a fixed order; the generated type has a hash map, whose
/// order differs from status to status.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// The status of a fault of ours. The caller learns the reason; what lies behind it goes to the
/// operator's log, with the request id by which the two can be brought together.
#[must_use]
pub fn fault(
    error: &broker::Error,
    request: Option<RequestId>,
    logged: Option<&Promise>,
) -> Status {
    let reason = error.reason();
    let request_id = request.map(|request| request.to_string());
    let causes = causes(error);
    match reason.class() {
        Class::Unavailable => {
            tracing::warn!(
                reason = reason.code(),
                request_id,
                causes,
                "a call could not be served"
            );
        }
        Class::InvalidArgument
        | Class::NotFound
        | Class::AlreadyExists
        | Class::PermissionDenied
        | Class::ResourceExhausted
        | Class::FailedPrecondition
        | Class::Aborted
        | Class::Internal => {
            tracing::error!(reason = reason.code(), request_id, causes, "a call failed");
        }
    }
    refused(&Refusal::new(reason), request, logged)
}

/// An error and what is behind it, in one line. Many errors name their cause themselves; it is not said
/// twice.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// The status of a refusal. `logged` is its log line, where there is one.
#[must_use]
pub fn refused(refusal: &Refusal, request: Option<RequestId>, logged: Option<&Promise>) -> Status {
    let reason = refusal.reason;
    let mut details = vec![error_info(reason, logged)];
    if let Some(request) = request {
        let request_id = hex::encode(request.bytes());
        details.push(any(
            "RequestInfo",
            &pb::RequestInfo {
                request_id,
                serving_data: String::new(),
            },
        ));
    }
    let code = code(reason.class());
    if !refusal.violations.is_empty() {
        details.push(bad_request(&refusal.violations));
    }
    if reason.class() == Class::FailedPrecondition {
        details.push(precondition_failure(reason));
    }
    if let Some(seconds) = retry_seconds(reason) {
        let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
        details.push(any("RetryInfo", &pb::RetryInfo { retry_delay }));
    }
    for (locale, message) in [("nl", reason.dutch()), ("en", reason.english())] {
        details.push(any(
            "LocalizedMessage",
            &pb::LocalizedMessage {
                locale: locale.to_owned(),
                message: message.to_owned(),
            },
        ));
    }
    let status = pb::Status {
        code: code as i32,
        message: reason.english().to_owned(),
        details,
    };
    Status::with_details(code, reason.english(), status.encode_to_vec().into())
}

/// How long a caller waits before it tries again, where trying again may help.
fn retry_seconds(reason: Reason) -> Option<i64> {
    match reason {
        Reason::Restoring => Some(RESTORING_SECONDS),
        Reason::TooManyCalls => Some(RETRY_SECONDS),
        _ => (reason.class() == Class::Unavailable).then_some(RETRY_SECONDS),
    }
}

const fn code(class: Class) -> Code {
    match class {
        Class::InvalidArgument => Code::InvalidArgument,
        Class::NotFound => Code::NotFound,
        Class::AlreadyExists => Code::AlreadyExists,
        Class::PermissionDenied => Code::PermissionDenied,
        Class::ResourceExhausted => Code::ResourceExhausted,
        Class::FailedPrecondition => Code::FailedPrecondition,
        Class::Aborted => Code::Aborted,
        Class::Unavailable => Code::Unavailable,
        Class::Internal => Code::Internal,
    }
}

fn error_info(reason: Reason, logged: Option<&Promise>) -> prost_types::Any {
    let metadata = logged
        .map(|logged| {
            BTreeMap::from([
                ("entry_id".to_owned(), hex::encode(logged.entry.bytes())),
                ("promise".to_owned(), hex::encode(&logged.octets())),
            ])
        })
        .unwrap_or_default();
    any(
        "ErrorInfo",
        &ErrorInfo {
            reason: reason.code().to_owned(),
            domain: DOMAIN.to_owned(),
            metadata,
        },
    )
}

fn bad_request(violations: &[Violation]) -> prost_types::Any {
    let field_violations = violations
        .iter()
        .map(|violation| pb::bad_request::FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
            ..Default::default()
        })
        .collect();
    any("BadRequest", &pb::BadRequest { field_violations })
}

fn precondition_failure(reason: Reason) -> prost_types::Any {
    any(
        "PreconditionFailure",
        &pb::PreconditionFailure {
            violations: vec![pb::precondition_failure::Violation {
                r#type: reason.code().to_owned(),
                subject: DOMAIN.to_owned(),
                description: reason.english().to_owned(),
            }],
        },
    )
}

fn any(name: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("{TYPE_PREFIX}{name}"),
        value: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::clock::Timestamp;
    use rules::id::EntryId;
    use tonic_types::StatusExt as _;
    use vault::sign::Signature;

    fn logged(octet: u8) -> Promise {
        Promise {
            entry: EntryId::from_slice(&[octet; 16]).expect("an id"),
            leaf_sha256: [octet; 32],
            time: Timestamp::from_millis(1_700_000_000_000 + i64::from(octet)),
            signature: Signature::from_bytes([octet; 64]),
        }
    }

    /// Every reason becomes a status that a client can read back whole.
    #[test]
    fn every_reason_has_its_details() {
        let request = RequestId::from_slice(&[7; 16]);
        for reason in Reason::ALL {
            let refusal = Refusal::about(*reason, "field", "what is wrong");
            let status = refused(&refusal, request, Some(&logged(1)));
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason.code(), DOMAIN)
            );
            assert_eq!(info.metadata.get("promise").map(String::len), Some(240));
            assert_eq!(
                details.request_info().expect("one").request_id,
                "07".repeat(16)
            );
            assert!(details.bad_request().is_some());
            assert_eq!(
                details.retry_info().is_some(),
                status.code() == Code::Unavailable || *reason == Reason::TooManyCalls
            );
            assert_eq!(
                details.precondition_failure().is_some(),
                status.code() == Code::FailedPrecondition
            );
            let locales: Vec<String> = status
                .get_error_details_vec()
                .into_iter()
                .filter_map(|detail| match detail {
                    tonic_types::ErrorDetail::LocalizedMessage(text) => Some(text.locale),
                    _ => None,
                })
                .collect();
            assert_eq!(locales, ["nl", "en"]);
        }
    }

    #[test]
    fn the_uniform_answer_differs_in_nothing_but_fixed_octets() {
        let refusal = Refusal::new(Reason::NotAvailable);
        let [first, second] = [1, 2].map(|octet| {
            refused(
                &refusal,
                RequestId::from_slice(&[octet; 16]),
                Some(&logged(octet)),
            )
        });
        assert_eq!(first.message(), second.message());
        assert_eq!(first.details().len(), second.details().len());
        let blank = |status: &Status| -> Vec<u8> {
            status
                .details()
                .iter()
                .map(|octet| if *octet == b'2' { b'1' } else { *octet })
                .collect()
        };
        // Whatever is not an id, a time or a promise is equal, and these are in the same places.
        let differing = first
            .details()
            .iter()
            .zip(second.details())
            .filter(|(left, right)| left != right)
            .count();
        assert!(differing <= 32 + 32 + 240, "{differing}");
        assert_eq!(blank(&first).len(), blank(&second).len());
        for _ in 0..32 {
            let again = refused(&refusal, RequestId::from_slice(&[1; 16]), Some(&logged(1)));
            assert_eq!(again.details(), first.details());
        }
    }
}
