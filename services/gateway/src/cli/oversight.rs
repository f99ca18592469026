//! Overseeing: the log, objections and restrictions, and what the policies say about no person.
//!
//! Must never decide what may be seen: the broker does, and logs every look.

use super::arguments::AuditVerb;
use super::day::{begin_of, end_of, moment};
use super::error::CliError;
use super::look::{entry_text, handover_text};
use super::output::{Answer, facts, table};
use super::person::consent_id;
use super::session::Session;
use rules::hex;
use rules::id::EntryId;
use serde_json::{Value, json};
use wire::audit::v1::{EntrySummary, GetEntryResponse, SearchEntriesRequest};
use wire::policy::v1::ExplainDecisionRequest;

/// `audit search` and `audit show`.
pub(crate) async fn audit(session: &Session, verb: &AuditVerb) -> Result<Answer, CliError> {
    match verb {
        AuditVerb::Search {
            handover,
            peer,
            purpose,
            findings,
            from,
            until,
            limit,
        } => {
            let handover_id = match handover {
                Some(text) => Some(session.handover(text).await?.bytes().to_vec()),
                None => None,
            };
            let request = SearchEntriesRequest {
                handover_id,
                peer_oin: peer.as_deref().map(|peer| session.oin(peer)),
                purpose: purpose.clone(),
                subject_tag: None,
                from_millis: from.as_deref().map(begin_of).transpose()?,
                until_millis: until.as_deref().map(end_of).transpose()?,
                page_size: i32::try_from(*limit).unwrap_or(i32::MAX),
                page_token: String::new(),
                findings: *findings,
            };
            search(session, request, *limit).await
        }
        AuditVerb::Show { entry } => {
            let id: EntryId = entry.parse().map_err(|_| {
                CliError::usage(
                    "that is no entry's id",
                    "give `ent_` and 32 digits, as `audit search` prints it",
                )
            })?;
            show(session, &id).await
        }
    }
}

async fn search(
    session: &Session,
    mut request: SearchEntriesRequest,
    limit: u32,
) -> Result<Answer, CliError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut entries = Vec::new();
    loop {
        let answer = session.client.search_log(request.clone()).await?;
        entries.extend(answer.entries);
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() || entries.len() >= limit {
            break;
        }
    }
    entries.truncate(limit);
    let rows: Vec<_> = entries.iter().map(row).collect();
    let text = if rows.is_empty() {
        "no entries".to_owned()
    } else {
        table(
            &[
                "entry", "time", "action", "decision", "handover", "caller", "article",
            ],
            &rows,
        )
    };
    let entries: Vec<_> = entries.iter().map(summary_json).collect();
    Ok(Answer::new(
        text,
        json!({ "entries": entries, "more": !request.page_token.is_empty() }),
    ))
}

async fn show(session: &Session, id: &EntryId) -> Result<Answer, CliError> {
    let entry = session.client.show_entry(id).await?;
    let whole: Value = serde_json::from_slice(&entry.entry_json).unwrap_or(Value::Null);
    let text = entry_block(session, &entry, &whole);
    let summary = entry.summary.as_ref().map(summary_json);
    let determining: Vec<_> = entry
        .determining
        .iter()
        .map(|policy| {
            json!({ "policy": policy.policy_id, "effect": policy.effect, "code": policy.code, "article": policy.article })
        })
        .collect();
    let json = json!({
        "entry": whole, "summary": summary, "determining": determining,
        "leaf_sha256": hex::encode(&entry.leaf_sha256), "leaf_index": entry.leaf_index,
        "policy_set_sha256": hex::encode(&entry.policy_set_sha256),
        "register_title_nl": entry.register_title_nl, "register_title_en": entry.register_title_en,
    });
    Ok(Answer::new(text, json))
}

fn entry_block(session: &Session, entry: &GetEntryResponse, whole: &Value) -> String {
    let summary = entry.summary.clone().unwrap_or_default();
    let policies: Vec<_> = entry
        .determining
        .iter()
        .map(|policy| {
            format!(
                "{} {} ({})",
                policy.effect, policy.policy_id, policy.article
            )
        })
        .collect();
    let mut text = facts(&[
        ("entry", entry_text(&summary.entry_id)),
        ("action", summary.action.clone()),
        ("time", moment(summary.time_millis)),
        ("decision", summary.decision.clone()),
        ("code", summary.code.clone()),
        ("handover", handover_text(&summary.handover_id)),
        ("purpose", summary.purpose.clone()),
        ("article", summary.article.clone()),
        ("register", entry.register_title_en.clone()),
        ("sender", session.called(&summary.sender)),
        ("recipient", session.called(&summary.recipient)),
        ("caller", summary.caller.clone()),
        ("policies", policies.join("; ")),
        ("policy set", hex::encode(&entry.policy_set_sha256)),
        ("leaf hash", hex::encode(&entry.leaf_sha256)),
    ]);
    text.push_str("\nthe entry as it is hashed (canonical JSON), laid out for reading:\n");
    text.push_str(&serde_json::to_string_pretty(whole).unwrap_or_default());
    text
}

fn row(entry: &EntrySummary) -> Vec<String> {
    let decision = match (entry.code.as_str(), entry.finding.as_str()) {
        ("", "") => entry.decision.clone(),
        ("", finding) => format!("{}; finding {finding}", entry.decision),
        (code, _) => format!("{} {code}", entry.decision),
    };
    vec![
        entry_text(&entry.entry_id),
        moment(entry.time_millis),
        entry.action.clone(),
        decision,
        handover_text(&entry.handover_id),
        entry.caller.clone(),
        entry.article.clone(),
    ]
}

fn summary_json(entry: &EntrySummary) -> Value {
    json!({
        "entry_id": entry_text(&entry.entry_id), "action": entry.action,
        "time_millis": entry.time_millis, "decision": entry.decision, "code": entry.code,
        "handover_id": handover_text(&entry.handover_id), "purpose": entry.purpose,
        "article": entry.article, "sender": entry.sender, "recipient": entry.recipient,
        "caller": entry.caller, "finding": entry.finding,
    })
}

/// `invalidate`.
pub(crate) async fn invalidate(session: &Session, consent: &str) -> Result<Answer, CliError> {
    let id = consent_id(consent)?;
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
