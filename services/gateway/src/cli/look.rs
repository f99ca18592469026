//! Looking: who am I, what happened, how does a handover stand, which notices wait.
//!
//! Must never change anything; what is read is logged by the broker all the same.

use super::day::moment;
use super::error::CliError;
use super::identity::Identity;
use super::output::{Answer, Reader, facts, folded, line, table};
use super::session::Session;
use super::waiting::waiting;
use client::InboxEvent;
use rules::handover::{InboxKind, State};
use rules::id::{EntryId, HandoverId, NoticeId, QuestionId};
use rules::notice::{AnswerCode, NoticeKind, NoticeState};
use serde_json::{Value, json};
use wire::handover::v1::{HandoverView, NoticeView};

/// `whoami`.
pub(crate) async fn whoami(identity: &Identity) -> Result<Answer, CliError> {
    let me = identity.connect()?.connect_check().await?;
    let text = facts(&[
        (
            "organisation",
            format!("{} ({}, {})", me.name, me.kind, me.oin),
        ),
        ("realm", me.realm.clone()),
        ("desk", me.desk.clone()),
        ("region", me.region.clone()),
        ("rights", me.rights.join(", ")),
        (
            "certificate until",
            moment(me.certificate_valid_until_millis),
        ),
        ("gateway", identity.broker_address.clone()),
        (
            "trust level",
            format!(
                "{} (distinct operators among the key holders)",
                me.trust_level
            ),
        ),
        ("directory", format!("version {}", me.directory_version)),
    ]);
    let json = json!({
        "oin": me.oin, "name": me.name, "kind": me.kind, "desk": me.desk, "realm": me.realm,
        "region": me.region, "rights": me.rights, "trust_level": me.trust_level,
        "certificate_valid_until_millis": me.certificate_valid_until_millis,
        "directory_version": me.directory_version, "gateway": identity.broker_address,
    });
    Ok(Answer::new(text, json))
}

/// `connect-check`.
pub(crate) async fn connect_check(identity: &Identity) -> Result<Answer, CliError> {
    let me = identity.connect()?.connect_check().await?;
    Ok(Answer::new(
        format!(
            "every step is fine: name, TCP, server's certificate, own certificate, OIN, desk, answer\n\
             the gateway at {} knows you as {} / {}",
            identity.broker_address, me.name, me.desk
        ),
        json!({ "ok": true, "gateway": identity.broker_address, "oin": me.oin, "desk": me.desk }),
    ))
}

/// Most events that are shown as waiting, and newest ones behind them.
const WAITING_MAX: usize = 20;
const NEWEST_MAX: usize = 10;

/// `inbox`: what waits first, then the newest; or `all`, oldest first. A program gets all of it.
pub(crate) async fn inbox(session: &Session, all: bool) -> Result<Answer, CliError> {
    let events = session.events().await?;
    let waiting = waiting(&events, |id| session.client.kept_revision(id));
    let text = if events.is_empty() {
        "nothing yet".to_owned()
    } else if all {
        event_table(events.iter())
    } else {
        let name = &session.identity.name;
        let shown = waiting.iter().take(WAITING_MAX).copied();
        let mut text = match waiting.len() {
            0 => "nothing waits for an answer of yours".to_owned(),
            count => format!(
                "{count} wait for an answer of yours:\n{}",
                event_table(shown)
            ),
        };
        if waiting.len() > WAITING_MAX {
            text.push_str(&format!(
                "\nand {} more of them",
                waiting.len() - WAITING_MAX
            ));
        }
        let newest = events.iter().rev().take(NEWEST_MAX);
        text.push_str(&format!("\n\nthe newest first:\n{}", event_table(newest)));
        if events.len() > NEWEST_MAX {
            let more = events.len() - NEWEST_MAX;
            text.push_str(&format!("\nand {more} more: sluis --as {name} inbox --all"));
        }
        text
    };
    let items: Vec<_> = events.iter().map(event_json).collect();
    let waiting: Vec<_> = waiting.into_iter().map(event_json).collect();
    Ok(Answer::new(
        text,
        json!({ "items": items, "waiting": waiting }),
    ))
}

fn event_table<'a>(events: impl Iterator<Item = &'a InboxEvent>) -> String {
    let rows: Vec<_> = events.map(event_row).collect();
    table(
        &[
            "time",
            "what",
            "handover",
            "#revision",
            "purpose",
            "code",
            "notice",
        ],
        &rows,
    )
}

/// `inbox --watch`: shows what is there and stays. Uses a store of its own, so that other commands of
/// the same identity can run meanwhile.
pub(crate) async fn watch(identity: &Identity, as_json: bool) -> Result<Answer, CliError> {
    let client = identity.client_at(&identity.store.with_file_name("watch"))?;
    let mut watch = client.watch(Some(String::new()));
    loop {
        let event = watch.next().await?;
        let shown = line(&if as_json {
            event_json(&event).to_string()
        } else {
            folded(&event_row(&event).join("  "))
        });
        if shown? == Reader::Gone {
            return Ok(Answer::new("", json!({})));
        }
    }
}

/// `show`.
pub(crate) async fn show(session: &Session, id: &HandoverId) -> Result<Answer, CliError> {
    let shown = session.client.show(id).await?;
    let (handover, notices) = (shown.handover.unwrap_or_default(), shown.notices);
    let mut text = handover_text_block(session, &handover);
    if !notices.is_empty() {
        text.push('\n');
        text.push_str(&notice_table(&notices));
    }
    let notices: Vec<_> = notices.iter().map(notice_json).collect();
    let mut json = handover_json(&handover);
    if let Some(object) = json.as_object_mut() {
        object.insert("notices".to_owned(), json!(notices));
    }
    Ok(Answer::new(text, json))
}

/// `notices`: about one handover, or about every one in the inbox.
pub(crate) async fn notices(
    session: &Session,
    only: Option<&HandoverId>,
) -> Result<Answer, CliError> {
    let handovers = match only {
        Some(id) => vec![*id],
        None => {
            let mut ids: Vec<_> = session
                .events()
                .await?
                .iter()
                .filter(|event| event.notice.is_some())
                .map(|event| event.handover)
                .collect();
            ids.sort();
            ids.dedup();
            ids
        }
    };
    let mut notices = Vec::new();
    for id in &handovers {
        notices.extend(session.client.show(id).await?.notices);
    }
    let text = if notices.is_empty() {
        "no notices".to_owned()
    } else {
        notice_table(&notices)
    };
    let notices: Vec<_> = notices.iter().map(notice_json).collect();
    Ok(Answer::new(text, json!({ "notices": notices })))
}

fn event_row(event: &InboxEvent) -> Vec<String> {
    let (what, notice) = match event.notice {
        Some((id, kind)) => (
            format!("{} {}", event.kind.code(), kind.code()),
            id.to_string(),
        ),
        None => (event.kind.code().to_owned(), String::new()),
    };
    vec![
        moment(event.time.millis()),
        what,
        named(event),
        event.revision.to_string(),
        event.purpose.to_string(),
        event.code.clone().unwrap_or_default(),
        notice,
    ]
}

/// The question that `READY` answers: it has no handover yet.
fn question(event: &InboxEvent) -> Option<QuestionId> {
    (event.kind == InboxKind::Ready)
        .then(|| QuestionId::from_slice(event.handover.bytes()))
        .flatten()
}

/// What an event is about.
fn named(event: &InboxEvent) -> String {
    question(event).map_or_else(|| event.handover.to_string(), |id| id.to_string())
}

fn event_json(event: &InboxEvent) -> Value {
    json!({
        "time_millis": event.time.millis(), "kind": event.kind.code(),
        "handover_id": (event.kind != InboxKind::Ready).then(|| event.handover.to_string()),
        "question_id": question(event).map(|id| id.to_string()), "revision": event.revision,
        "purpose": event.purpose.to_string(), "code": event.code,
        "notice_id": event.notice.map(|(id, _)| id.to_string()),
        "notice_kind": event.notice.map(|(_, kind)| kind.code()),
    })
}

fn handover_text_block(session: &Session, view: &HandoverView) -> String {
    let yes = |flag: bool, text: &str| if flag { text.to_owned() } else { String::new() };
    facts(&[
        ("handover", handover_text(&view.handover_id)),
        (
            "state",
            format!("{} (revision {})", state(view.state), view.revision),
        ),
        ("since", moment(view.state_since_millis)),
        ("until", moment(view.deadline_millis.unwrap_or(0))),
        ("code", view.code.clone()),
        ("sender", session.called(&view.sender)),
        ("recipient", session.called(&view.recipient)),
        (
            "purpose",
            format!("{} on {} ({})", view.purpose, view.basis, view.article),
        ),
        ("summary may have", view.summary_labels.join(", ")),
        ("dossier may have", view.dossier_labels.join(", ")),
        ("taken notice", moment(view.received_millis.unwrap_or(0))),
        ("proposed date", view.proposed_date.clone()),
        ("contact", view.contact_date.clone()),
        ("report sent", moment(view.report_sent_millis.unwrap_or(0))),
        (
            "report fetched",
            moment(view.report_fetched_millis.unwrap_or(0)),
        ),
        (
            "objection",
            yes(
                view.objection_pending,
                "pending: nothing is released until an officer decides",
            ),
        ),
        (
            "restricted",
            yes(
                view.restricted,
                "yes: nothing is released until it is lifted",
            ),
        ),
    ])
}

/// A handover for programs.
pub(crate) fn handover_json(view: &HandoverView) -> Value {
    json!({
        "handover_id": handover_text(&view.handover_id), "state": state(view.state),
        "revision": view.revision, "sender": view.sender, "recipient": view.recipient,
        "purpose": view.purpose, "basis": view.basis, "article": view.article,
        "prepared_millis": view.prepared_millis, "state_since_millis": view.state_since_millis,
        "deadline_millis": view.deadline_millis, "summary_labels": view.summary_labels,
        "dossier_labels": view.dossier_labels, "code": view.code,
        "objection_pending": view.objection_pending, "restricted": view.restricted,
        "received_millis": view.received_millis, "contact_date": view.contact_date,
        "proposed_date": view.proposed_date, "report_sent_millis": view.report_sent_millis,
        "report_fetched_millis": view.report_fetched_millis,
    })
}

fn notice_table(notices: &[NoticeView]) -> String {
    let rows: Vec<_> = notices
        .iter()
        .map(|notice| {
            vec![
                notice_text(&notice.notice_id),
                notice_kind(notice).to_owned(),
                notice_side(notice).to_owned(),
                notice_state(notice).to_owned(),
                moment(notice.due_millis),
                notice_answer(notice).to_owned(),
                notice.ground.clone(),
            ]
        })
        .collect();
    table(
        &[
            "notice",
            "kind",
            "answers",
            "state",
            "answer before",
            "answer",
            "ground",
        ],
        &rows,
    )
}

/// A notice for programs.
pub(crate) fn notice_json(notice: &NoticeView) -> Value {
    json!({
        "notice_id": notice_text(&notice.notice_id), "handover_id": handover_text(&notice.handover_id),
        "kind": notice_kind(notice), "state": notice_state(notice), "sent_millis": notice.sent_millis,
        "due_millis": notice.due_millis, "answer": notice_answer(notice), "ground": notice.ground,
        "about_report": notice.about_report,
    })
}

/// What there is to say about a notice, name and value.
pub(crate) fn facts_of(notice: &NoticeView) -> Vec<(&'static str, String)> {
    vec![
        ("handover", handover_text(&notice.handover_id)),
        ("kind", notice_kind(notice).to_owned()),
        ("answers", notice_side(notice).to_owned()),
        ("state", notice_state(notice).to_owned()),
        ("answer before", moment(notice.due_millis)),
        ("answer", notice_answer(notice).to_owned()),
        ("ground", notice.ground.clone()),
    ]
}

fn state(number: i32) -> &'static str {
    State::from_number(number).map_or("", State::code)
}

fn notice_kind(notice: &NoticeView) -> &'static str {
    NoticeKind::from_number(notice.kind).map_or("", NoticeKind::code)
}

/// Who must answer.
const fn notice_side(notice: &NoticeView) -> &'static str {
    if notice.about_report {
        "sender"
    } else {
        "recipient"
    }
}

fn notice_state(notice: &NoticeView) -> &'static str {
    NoticeState::from_number(notice.state).map_or("", NoticeState::code)
}

fn notice_answer(notice: &NoticeView) -> &'static str {
    AnswerCode::from_number(notice.answer).map_or("", AnswerCode::code)
}

/// An id of the wire in its text form; empty when there is none.
pub(crate) fn handover_text(bytes: &[u8]) -> String {
    HandoverId::from_slice(bytes)
        .map(|id| id.to_string())
        .unwrap_or_default()
}

/// An id of the wire in its text form; empty when there is none.
pub(crate) fn entry_text(bytes: &[u8]) -> String {
    EntryId::from_slice(bytes)
        .map(|id| id.to_string())
        .unwrap_or_default()
}

fn notice_text(bytes: &[u8]) -> String {
    NoticeId::from_slice(bytes)
        .map(|id| id.to_string())
        .unwrap_or_default()
}
