//! The reasons are one list: `rules::reason`, the proto and the page of errors say the same.
//!
//! `SLUIS_BLESS=1` writes the page anew. It must never be edited by hand.

use crate::{nothing_found, source};
use rules::reason::{Class, Reason};
use std::fmt::Write as _;

const PROTO: &str = "proto/sluis/policy/v1/reason.proto";
const PAGE: &str = "docs/errors.md";

#[test]
fn the_proto_has_the_same_reasons() {
    let proto = std::fs::read_to_string(source::root().join(PROTO)).expect("the proto exists");
    let expected: Vec<(String, i32, String)> = Reason::ALL
        .iter()
        .map(|reason| {
            let code = reason.code().to_owned();
            (code, reason.number(), reason.english().to_owned())
        })
        .collect();
    let found = in_proto(&proto);
    let mut findings: Vec<String> = Vec::new();
    for line in &expected {
        if !found.contains(line) {
            findings.push(format!("only in rules::reason: {} = {}", line.0, line.1));
        }
    }
    for line in &found {
        if !expected.contains(line) {
            findings.push(format!("only in the proto: {} = {}", line.0, line.1));
        }
    }
    nothing_found(
        "rules::reason and reason.proto are equal, texts too",
        &findings,
    );
}

/// Code, number and comment of every value but the unspecified one.
fn in_proto(proto: &str) -> Vec<(String, i32, String)> {
    let mut comment = String::new();
    let mut found = Vec::new();
    for line in proto.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("// ") {
            text.clone_into(&mut comment);
        } else if let Some(value) = line.strip_prefix("REASON_")
            && let Some((code, number)) = value.trim_end_matches(';').split_once(" = ")
            && code != "UNSPECIFIED"
        {
            let number = number.parse().expect("a value has a number");
            found.push((code.to_owned(), number, std::mem::take(&mut comment)));
        }
    }
    found
}

#[test]
fn the_page_of_errors_is_fresh() {
    let path = source::root().join(PAGE);
    let fresh = page();
    if std::env::var_os("SLUIS_BLESS").is_some() {
        std::fs::write(&path, &fresh).expect("the page can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == fresh,
        "{PAGE} is not what rules::reason says; SLUIS_BLESS=1 writes it anew"
    );
}

const HEAD: &str = "# Why Sluis says no

<!-- Generated from services/rules/src/reason.rs by tests/tidy/reasons.rs; SLUIS_BLESS=1 writes it anew. -->

Every refusal carries one of these reasons. A program reads `google.rpc.ErrorInfo`: `reason` is the code
below and `domain` is `sluis`. A person reads `google.rpc.LocalizedMessage`, in Dutch and in English.
Where the call carries a request id, `google.rpc.RequestInfo` has it; where the broker wrote a line,
`ErrorInfo.metadata.entry_id` names it. Quote either to the operator.
No refusal holds personal data.

A code never changes its meaning, and the list is closed: `sluis.policy.v1.Reason` has the same one.
";

/// Where the list begins a new subject: number of the first reason, its title, and who gets these.
const CHAPTERS: &[(i32, &str, &str)] = &[
    (
        1,
        "At the door",
        "Whoever calls. An unknown issuer or an expired certificate does not come this far: that is a TLS alert, and the server's own log has the cause.",
    ),
    (6, "The request", "The caller."),
    (
        12,
        "The uniform refusal",
        "Whoever may not know more. Status, details and trailers are equal whatever the cause; only ids and times of fixed length differ. The log has the true code, for the officer.",
    ),
    (
        13,
        "Law and policy",
        "From Prepare: only what depends on no person. From OFFERED on: sender and addressee get the precise code. The officer sees it always.",
    ),
    (
        35,
        "The handover",
        "Sender and addressee of the handover. Anyone else gets `NOT_AVAILABLE`.",
    ),
    (
        48,
        "Pseudonyms and orders",
        "The desk that issued the order, or the broker on its behalf. Each key holder judges on its own.",
    ),
    (
        64,
        "Directory and policy set",
        "The operator who imports or activates.",
    ),
    (
        69,
        "Faults",
        "The caller. Nothing was done and nothing was released.",
    ),
    (
        72,
        "Consent",
        "The portal or the assisting desk. A sender or recipient never gets these.",
    ),
    (86, "The report", "Sender and recipient of the handover."),
    (
        98,
        "Versions",
        "The operator who activates a policy set; whoever asks for something under a directory that has ended or is too old.",
    ),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    for reason in Reason::ALL {
        if let Some((_, title, who)) = CHAPTERS.iter().find(|(from, ..)| *from == reason.number()) {
            write!(page, "\n## {title}\n\nWho gets these: {who}\n").expect("a String takes text");
        }
        let (status, repeat) = class(reason.class());
        write!(
            page,
            "\n### {}\n\nNumber {} · gRPC `{status}` · {repeat}\n\n- {}\n- *{}*\n",
            reason.code(),
            reason.number(),
            reason.english(),
            reason.dutch(),
        )
        .expect("a String takes text");
    }
    page
}

/// The gRPC status of a class, and whether repeating helps.
const fn class(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::InvalidArgument => (
            "INVALID_ARGUMENT",
            "repeating cannot help: change the request",
        ),
        Class::NotFound => ("NOT_FOUND", "repeating tells no more"),
        Class::AlreadyExists => ("ALREADY_EXISTS", "take a new id"),
        Class::PermissionDenied => (
            "PERMISSION_DENIED",
            "repeating cannot help: somebody must grant it first",
        ),
        Class::ResourceExhausted => (
            "RESOURCE_EXHAUSTED",
            "make it smaller, or wait for the limit to pass",
        ),
        Class::FailedPrecondition => (
            "FAILED_PRECONDITION",
            "repeat only after the cause has gone",
        ),
        Class::Aborted => ("ABORTED", "read again, then decide anew"),
        Class::Unavailable => (
            "UNAVAILABLE",
            "repeat later, with the same request id; `RetryInfo` says when",
        ),
        Class::Internal => ("INTERNAL", "do not repeat: tell the operator"),
    }
}
