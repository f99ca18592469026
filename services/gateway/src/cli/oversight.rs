//! Overseeing: the log, objections and restrictions, and what the policies say about no person.
//!
//! Must never decide what may be seen: the broker does, and logs every look.

use super::arguments::AuditVerb;
use super::day::moment;
use super::error::CliError;
use super::look::{entry_text, handover_text};
use super::output::{Answer, facts, folded};
use super::search::{entry_id, search, summary_json};
use super::session::Session;
use rules::hex;
use rules::id::{ConsentId, EntryId};
use rules::reason::Reason;
use serde_json::{Value, json};
use wire::audit::v1::GetEntryResponse;
use wire::policy::v1::ExplainDecisionRequest;

/// `audit search` and `audit show`.
pub(crate) async fn audit(session: &Session, verb: &AuditVerb) -> Result<Answer, CliError> {
    match verb {
        AuditVerb::Search(asked) => search(session, asked).await,
        AuditVerb::Show { entry } => show(session, &entry_id(entry)?).await,
    }
}

async fn show(session: &Session, id: &EntryId) -> Result<Answer, CliError> {
    let entry = session.client.show_entry(id).await?;
    let read = |part: &[u8]| serde_json::from_slice(part).unwrap_or(Value::Null);
    let (open, closed): (Value, Value) = (read(&entry.open_json), read(&entry.closed_json));
    let text = entry_block(session, &entry, &open, &closed);
    let summary = entry.summary.as_ref().map(summary_json);
    let determining: Vec<_> = entry
        .determining
        .iter()
        .map(|policy| {
            json!({ "policy": policy.policy_id, "effect": policy.effect, "code": policy.code, "article": policy.article })
        })
        .collect();
    let json = json!({
        "open": open, "closed": closed, "summary": summary, "determining": determining,
        "leaf_sha256": hex::encode(&entry.leaf_sha256), "leaf_index": entry.leaf_index,
        "policy_set_sha256": hex::encode(&entry.policy_set_sha256),
        "register_title_nl": entry.register_title_nl, "register_title_en": entry.register_title_en,
    });
    Ok(Answer::new(text, json))
}

fn entry_block(
    session: &Session,
    entry: &GetEntryResponse,
    open: &Value,
    closed: &Value,
) -> String {
    let summary = entry.summary.clone().unwrap_or_default();
    let policies = entry.determining.iter().map(|policy| {
        let text = format!(
            "{} {} ({})",
            policy.effect, policy.policy_id, policy.article
        );
        ("policy", text)
    });
    let mut rows = vec![
        ("entry", entry_text(&summary.entry_id)),
        ("action", summary.action.clone()),
        ("time", moment(summary.time_millis)),
        ("decision", summary.decision.clone()),
        ("code", summary.code.clone()),
        ("told", summary.told_code.clone()),
        ("event", summary.event_code.clone()),
        (
            "items",
            summary
                .items
                .map_or_else(String::new, |items| items.to_string()),
        ),
        ("handover", handover_text(&summary.handover_id)),
        ("purpose", summary.purpose.clone()),
        ("article", summary.article.clone()),
        ("register", entry.register_title_en.clone()),
        ("sender", session.called(&summary.sender)),
        ("recipient", session.called(&summary.recipient)),
        ("caller", summary.caller.clone()),
    ];
    rows.extend(policies);
    rows.push(("policy set", hex::encode(&entry.policy_set_sha256)));
    rows.push(("leaf hash", hex::encode(&entry.leaf_sha256)));
    let mut text = facts(&rows);
    text.push_str("\nthe open part, laid out for reading; its canonical JSON is what is hashed:\n");
    text.push_str(&serde_json::to_string_pretty(open).unwrap_or_default());
    if let Some(closed) = closed.as_object() {
        let mut closed = closed.clone();
        closed.insert("padding".to_owned(), json!("left out here"));
        text.push_str("\n\nthe closed part, which the joint officer alone reads:\n");
        text.push_str(&serde_json::to_string_pretty(&closed).unwrap_or_default());
    }
    folded(&text)
}

/// `invalidate`.
pub(crate) async fn invalidate(session: &Session, consent: &str) -> Result<Answer, CliError> {
    let id: ConsentId = consent.parse().map_err(|_| {
        CliError::usage(
            "that is no consent's id",
            "give `cns_` and 32 digits, as it stands on the statement",
        )
    })?;
    let found = session.client.invalidate_consent(&id).await?;
    Ok(Answer::new(
        format!(
            "found invalid: nothing is handed over on it from now on\n{}",
            facts(&[
                ("handovers ended", found.ended_handovers.to_string()),
                ("still to follow", found.to_follow.to_string()),
            ])
        ),
        json!({
            "consent_id": id.to_string(), "ended_handovers": found.ended_handovers,
            "to_follow": found.to_follow,
        }),
    ))
}

/// What a code of a reason says.
fn words(code: &str) -> String {
    let reason = Reason::from_code(code);
    reason.map_or_else(String::new, |reason| {
        format!("{} | {}", reason.english(), reason.dutch())
    })
}

/// The other codes of an answer, each in words.
fn also(whole: &Value) -> String {
    let codes = whole.pointer("/context/codes").and_then(Value::as_array);
    let codes = codes
        .into_iter()
        .flatten()
        .skip(1)
        .filter_map(Value::as_str);
    let told = codes.map(|code| match Reason::from_code(code) {
        Some(reason) => format!("{code}: {}", reason.english()),
        None => code.to_owned(),
    });
    told.collect::<Vec<_>>().join(" | ")
}

/// `explain`.
pub(crate) async fn explain(
    session: &Session,
    request: ExplainDecisionRequest,
) -> Result<Answer, CliError> {
    let answer = session.client.explain(request).await?;
    let whole: Value = serde_json::from_str(&answer.authzen_json).unwrap_or(Value::Null);
    let text = format!(
        "{}{}",
        facts(&[
            (
                "answer",
                if answer.decision {
                    "permitted"
                } else {
                    "refused"
                }
                .to_owned()
            ),
            ("code", answer.code.clone()),
            ("in words", words(&answer.code)),
            ("also", also(&whole)),
            ("labels", answer.permitted_labels.join(", ")),
        ]),
        serde_json::to_string_pretty(&whole).unwrap_or_default()
    );
    let json = json!({
        "decision": answer.decision, "code": answer.code,
        "permitted_labels": answer.permitted_labels, "authzen": whole,
    });
    Ok(Answer::new(text, json))
}
