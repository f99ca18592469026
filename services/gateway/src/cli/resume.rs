//! `resume`: what waited in the outbox or was typed and not sent, and what became of each.
//!
//! Must never end as if all were well while something is left undone.

use super::error::CliError;
use super::output::{Answer, facts};
use super::session::Session;
use client::{ClientError, Resumed, Settled, WaitingDraft};
use rules::handover::State;
use rules::id::HandoverId;
use serde_json::{Value, json};

/// Finishes what can be finished.
///
/// # Errors
///
/// As the call; [`CliError::Undone`] when something is left, with all that was looked at.
pub(super) async fn resume(session: &Session) -> Result<Answer, CliError> {
    let resumed = session.client.resume().await?;
    let mut blocks = Vec::new();
    let mut values = Vec::new();
    for one in &resumed {
        let (text, value) = told(session, one).await;
        blocks.push(text);
        values.push(value);
    }
    if blocks.is_empty() {
        blocks.push("nothing waits in the outbox".to_owned());
    }
    let text = blocks.join("\n");
    let value = json!({ "resumed": values });
    let undone = resumed.iter().filter_map(|one| one.outcome.as_ref().err());
    let undone: Vec<&ClientError> = undone.collect();
    if undone.is_empty() {
        return Ok(Answer::new(text, value));
    }
    let only_waits = undone
        .iter()
        .all(|error| matches!(error, ClientError::Waiting { .. }));
    Err(CliError::Undone {
        text,
        value,
        only_waits,
    })
}

async fn told(session: &Session, one: &Resumed) -> (String, Value) {
    let (handover, state) = match &one.outcome {
        Ok(Settled::Handover(receipt)) => (Some(receipt.handover), receipt.state.code()),
        Ok(Settled::Prepared(prepared)) => {
            let receipt = &prepared.receipt;
            (Some(receipt.handover), receipt.state.code())
        }
        Ok(_) => (one.handover, ""),
        Err(_) => (one.handover, state_of(session, one.handover).await),
    };
    let handover = handover.map_or_else(String::new, |id| id.to_string());
    let (done, left, to_do) = match &one.outcome {
        Ok(_) => ("done", String::new(), ""),
        Err(ClientError::Waiting { cause, .. }) => (
            "still waits",
            why(cause),
            "`sluis resume` again when that is over; don't make the call anew",
        ),
        Err(error) => ("was not done", why(error), ""),
    };
    let text = format!(
        "{} {done}\n{}",
        one.call,
        facts(&[
            ("request", one.request.to_string()),
            ("handover", handover.clone()),
            ("state", state.to_owned()),
            ("because", left.clone()),
            ("to do", to_do.to_owned()),
        ])
    );
    let value = json!({
        "request_id": one.request.to_string(), "call": one.call, "done": one.outcome.is_ok(),
        "handover_id": handover, "state": state, "text": if left.is_empty() { done } else { &left },
    });
    (text, value)
}

/// How a handover stands at the gateway, if it says so now.
async fn state_of(session: &Session, handover: Option<HandoverId>) -> &'static str {
    let Some(handover) = handover else {
        return "";
    };
    let shown = session.client.once().show(&handover).await;
    let view = shown.ok().and_then(|shown| shown.handover);
    let state = view.and_then(|view| State::from_number(view.state));
    state.map_or("not known: the gateway does not say it now", State::code)
}

fn why(error: &ClientError) -> String {
    match error {
        ClientError::Refused(refused) => match refused.reason {
            Some(reason) => format!("{}: {}", reason.code(), reason.english()),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// That the same offer was typed before and waits.
pub(super) fn typed_before(place: WaitingDraft) -> CliError {
    let what = match place {
        WaitingDraft::Asked(request) => format!(
            "the very same offer was typed before and waits here as {request}: whether it may be made has no answer yet"
        ),
        WaitingDraft::Prepared(handover) => format!(
            "the very same offer was typed before and waits here: {handover} is PREPARED, and is not offered yet"
        ),
    };
    CliError::usage(
        what,
        "`sluis resume` as the same desk finishes it. If a second handover of this person is meant, add --again",
    )
}
