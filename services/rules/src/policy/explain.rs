//! One decision told: as text for people, and as JSON in the shape of the AuthZEN Authorization API.
//!
//! Must never be asked about a person by anybody but the parties, the candidate and the officer: a code
//! is information. Whoever else asks gets answers about nobody ([`super::Question`]).

use super::{Decision, DecisionRequest, PolicyBundle};
use crate::hex;
use crate::id::Label;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A decision in words and as a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// For people, several lines.
    pub text: String,
    /// `{decision, context: {code, codes, determining, errors, policy_set, …}}`.
    pub value: Value,
    /// Labels that would be permitted.
    pub labels: BTreeSet<Label>,
}

/// Decides and tells why.
#[must_use]
pub fn explain(bundle: &PolicyBundle, request: &DecisionRequest<'_>) -> Explanation {
    let decision = bundle.decide(request);
    let labels = decision
        .permit()
        .map(|permit| permit.labels().clone())
        .unwrap_or_default();
    Explanation {
        text: text(bundle, request, &decision),
        value: value(bundle, request, &decision),
        labels,
    }
}

fn value(bundle: &PolicyBundle, request: &DecisionRequest<'_>, decision: &Decision) -> Value {
    let entry =
        bundle
            .register()
            .entry(request.purpose, request.sender.kind, request.recipient.kind);
    let determining: Vec<Value> = decision
        .determining
        .iter()
        .map(|one| {
            json!({
                "policy": one.policy,
                "effect": one.effect.code(),
                "code": one.code.map(crate::reason::Reason::code),
                "article": one.article,
            })
        })
        .collect();
    let codes: Vec<&str> = decision.codes.iter().map(|code| code.code()).collect();
    json!({
        "decision": decision.permit().is_some(),
        "context": {
            "code": decision.reason().map(crate::reason::Reason::code),
            "codes": codes,
            "determining": determining,
            "errors": decision.errors,
            "policy_set": hex::encode(&decision.policy_set),
            "basis": entry.map(|entry| entry.basis.as_str()),
            "article": entry.map(|entry| entry.law_article.as_str()),
            "processing_activity_id": entry.map(|entry| entry.processing_activity_uri.as_str()),
            "to_be_confirmed": entry.map(|entry| entry.to_be_confirmed.as_str()),
            "permitted_labels": decision.permit().map(|permit| names(permit.labels())),
            "dropped_labels": names(&decision.dropped),
        },
    })
}

fn names(labels: &BTreeSet<Label>) -> Vec<&str> {
    labels.iter().map(Label::as_str).collect()
}

fn text(bundle: &PolicyBundle, request: &DecisionRequest<'_>, decision: &Decision) -> String {
    let (sender, recipient) = (request.sender.kind, request.recipient.kind);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} of {} from {sender} to {recipient} for {} on {}",
        request.action.code(),
        request.stage.code(),
        request.purpose,
        request.basis,
    );
    match decision.reason() {
        None => text.push_str("permitted\n"),
        Some(reason) => {
            let _ = writeln!(
                text,
                "refused: {reason}\n  {}\n  {}",
                reason.english(),
                reason.dutch()
            );
        }
    }
    for more in decision.codes.iter().skip(1) {
        let _ = writeln!(
            text,
            "also: {more}\n  {}\n  {}",
            more.english(),
            more.dutch()
        );
    }
    for one in &decision.determining {
        let _ = writeln!(
            text,
            "{} {} ({})",
            one.effect.code(),
            one.policy,
            one.article
        );
    }
    if let Some(entry) = bundle.register().entry(request.purpose, sender, recipient) {
        let _ = writeln!(
            text,
            "register: {}, {} ({}), {}",
            entry.title_nl, entry.law_article, entry.basis_art6, entry.to_be_confirmed
        );
    }
    if let Some(permit) = decision.permit() {
        let _ = writeln!(text, "may travel: {}", names(permit.labels()).join(", "));
    }
    if !decision.dropped.is_empty() {
        let _ = writeln!(text, "left out: {}", names(&decision.dropped).join(", "));
    }
    let _ = writeln!(text, "policy set: {}", hex::encode(&decision.policy_set));
    text
}
