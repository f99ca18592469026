//! Searching the log: what was looked for, how much of it is shown, and how to go on.
//!
//! Must never let a part pass for the whole: a page says that there is more, a search says how far it looked, and a
//! word that nobody has is refused instead of finding nothing.

use super::assist::register;
use super::day::{begin_of, end_of, moment};
use super::error::CliError;
use super::look::{entry_text, handover_text};
use super::near::unknown;
use super::output::{Answer, folded, sentences};
use super::session::Session;
use clap::Args;
use rules::id::{EntryId, HandoverId, Oin};
use serde_json::{Value, json};
use wire::audit::v1::{EntrySummary, SearchEntriesRequest};

/// Pages that one search asks for at most: of those that find little, each may take the broker half a second.
const SEARCH_PAGES_MAX: usize = 200;
/// Entries that one page has at most.
const PAGE_ROWS_MAX: usize = rules::limits::PAGE_ROWS_MAX as usize;
/// The action of lines about calls that went beyond a budget.
const HELD_BACK: &str = "HoldBack";

/// What to look for.
#[derive(Args, Clone, Debug)]
pub struct Search {
    /// Only about this handover, `hnd_…`.
    #[arg(long)]
    pub handover: Option<String>,
    /// Only where this organisation is sender, recipient or caller: an identity or an OIN.
    #[arg(long)]
    pub peer: Option<String>,
    /// Only for this purpose.
    #[arg(long)]
    pub purpose: Option<String>,
    /// Only what an officer must look at: overdue notices, mismatches, other persons.
    #[arg(long)]
    pub findings: bool,
    /// From the beginning of this day in Amsterdam, as YYYY-MM-DD.
    #[arg(long)]
    pub from: Option<String>,
    /// To the end of this day in Amsterdam, as YYYY-MM-DD.
    #[arg(long)]
    pub until: Option<String>,
    /// Only before this entry, `ent_…`: the next page, as the one before says.
    #[arg(long)]
    pub before: Option<String>,
    /// Most entries to show, at least 1.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// All entries, on one page.
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// A purpose or an OIN that is not in force any more, but was.
    #[arg(long)]
    pub former: bool,
}

/// What was found, and how far was looked.
struct Found {
    entries: Vec<EntrySummary>,
    /// Whether there may be more.
    more: bool,
    /// How far back it came, when not all of the period was searched.
    stopped_at: Option<i64>,
}

/// `audit search`.
///
/// # Errors
///
/// As the call; or when something that is looked for is nobody's and nothing's.
pub(crate) async fn search(session: &Session, asked: &Search) -> Result<Answer, CliError> {
    let handover_id = match &asked.handover {
        // An officer's desk has no inbox in which a short id could be looked up.
        Some(text) => Some(handover_id(text)?.bytes().to_vec()),
        None => None,
    };
    let before: Option<EntryId> = asked.before.as_deref().map(entry_id).transpose()?;
    let until = asked.until.as_deref().map(end_of).transpose()?;
    // The entry's own millisecond belongs to it: what is not before the entry is left out below.
    let before_millis = before.map(|id| id.drawn_at().millis().saturating_add(1));
    let from = asked.from.as_deref().map(begin_of).transpose()?;
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        let what = "--until lies before --from";
        return Err(CliError::usage(what, "give the earlier day to --from"));
    }
    let request = SearchEntriesRequest {
        handover_id,
        peer_oin: peer(session, asked).await?,
        purpose: purpose(session, asked)?,
        subject_tag: None,
        from_millis: from,
        until_millis: before_millis.into_iter().chain(until).min(),
        page_size: 0,
        page_token: String::new(),
        findings: asked.findings,
    };
    let limit = match asked.all {
        true => usize::MAX,
        false => usize::try_from(asked.limit).unwrap_or(usize::MAX),
    };
    let period = (request.from_millis, request.until_millis);
    let found = find(session, request, limit, before).await?;
    let values: Vec<_> = found.entries.iter().map(summary_json).collect();
    Ok(Answer::new(
        told(&found, period),
        json!({
            "entries": values, "more": found.more, "stopped_at_millis": found.stopped_at,
            "before": last(&found), "from_millis": period.0, "until_millis": period.1,
        }),
    ))
}

async fn find(
    session: &Session,
    mut request: SearchEntriesRequest,
    limit: usize,
    before: Option<EntryId>,
) -> Result<Found, CliError> {
    let mut entries: Vec<EntrySummary> = Vec::new();
    let mut stopped_at = None;
    let is_before = |entry: &EntrySummary| {
        before.is_none_or(|before| entry.entry_id.as_slice() < before.bytes().as_slice())
    };
    for _ in 0..SEARCH_PAGES_MAX {
        let left = limit.saturating_sub(entries.len()).clamp(1, PAGE_ROWS_MAX);
        request.page_size = i32::try_from(left).unwrap_or(i32::MAX);
        let answer = session.client.search_log(request.clone()).await?;
        entries.extend(answer.entries.into_iter().filter(is_before));
        request.page_token = answer.next_page_token;
        stopped_at = answer.stopped_at_millis;
        if request.page_token.is_empty() || entries.len() >= limit {
            break;
        }
    }
    entries.truncate(limit);
    Ok(Found {
        more: !request.page_token.is_empty(),
        entries,
        stopped_at,
    })
}

/// The OIN of an organisation that is there.
async fn peer(session: &Session, asked: &Search) -> Result<Option<String>, CliError> {
    let Some(typed) = &asked.peer else {
        return Ok(None);
    };
    let oin = session.oin(typed);
    let directory = session.client.directory().await?;
    let is_there = |oin: &Oin| directory.directory().peer(oin).is_some();
    match oin.parse::<Oin>() {
        Ok(one) if asked.former || is_there(&one) => Ok(Some(oin)),
        Ok(_) => Err(CliError::usage(
            format!("no organisation in the directory has the OIN `{oin}`"),
            "check it; one that was there once is found with --former",
        )),
        Err(_) => Err(unknown("organisation", typed, session.names())),
    }
}

/// A purpose that is in the register.
fn purpose(session: &Session, asked: &Search) -> Result<Option<String>, CliError> {
    let Some(typed) = &asked.purpose else {
        return Ok(None);
    };
    if asked.former {
        return Ok(Some(typed.clone()));
    }
    let register = register(&session.sandbox)?;
    let known: Vec<&str> = register
        .purposes()
        .iter()
        .map(|purpose| purpose.as_str())
        .collect();
    if known.contains(&typed.as_str()) {
        return Ok(Some(typed.clone()));
    }
    Err(unknown("purpose", typed, known))
}

fn handover_id(text: &str) -> Result<HandoverId, CliError> {
    text.parse().map_err(|_| {
        CliError::usage(
            "that is no handover's id",
            "give the whole id, `hnd_` and 32 digits",
        )
    })
}

/// An entry's id.
///
/// # Errors
///
/// When it is none.
pub(crate) fn entry_id(text: &str) -> Result<EntryId, CliError> {
    text.parse().map_err(|_| {
        CliError::usage(
            "that is no entry's id",
            "give `ent_` and 32 digits, as `audit search` prints it",
        )
    })
}

/// The last entry that is shown, before which the next page begins; empty where there is no next one.
fn last(found: &Found) -> String {
    let last = found.entries.last().filter(|_| found.more);
    last.map_or_else(String::new, |entry| entry_text(&entry.entry_id))
}

/// The entries for people, and below them how many they are, where was looked, and how to go on.
fn told(found: &Found, (from, until): (Option<i64>, Option<i64>)) -> String {
    let mut text: String = found.entries.iter().map(lines).collect();
    let count = found.entries.len();
    let more = if found.more {
        ", and there are more"
    } else {
        ", which is all"
    };
    text.push_str(&match count {
        0 if found.more => "no entries so far\n".to_owned(),
        0 => "no entries\n".to_owned(),
        1 => format!("1 entry{more}\n"),
        _ => format!("{count} entries, newest first{more}\n"),
    });
    let from = from.map_or_else(|| "the log's beginning".to_owned(), moment);
    let until = until.map_or_else(|| "now".to_owned(), moment);
    let mut searched = format!("searched: from {from} until {until}");
    if let Some(stopped_at) = found.stopped_at.filter(|_| found.more) {
        searched.push_str(&format!("; so far back to {}", moment(stopped_at)));
    }
    text.push_str(&sentences(&searched));
    if found.more {
        text.push_str(&match (last(found), found.stopped_at) {
            (last, _) if !last.is_empty() => format!("go on: --before {last}\nor see all: --all\n"),
            (_, Some(at)) => format!(
                "go on: --until {}\n",
                moment(at).get(..10).unwrap_or_default()
            ),
            (_, None) => "go on: --all\n".to_owned(),
        });
    }
    text
}

/// One line of the log on three: which and when, what became of it, and whose it was.
fn lines(entry: &EntrySummary) -> String {
    let mut decision = entry.decision.clone();
    for (before, value) in [
        (" ", &entry.code),
        (", told ", &entry.told_code),
        ("; ", &entry.event_code),
        ("; finding ", &entry.finding),
    ] {
        if !value.is_empty() {
            decision.push_str(before);
            decision.push_str(value);
        }
    }
    if let Some(items) = entry.items {
        let unit = if entry.action == HELD_BACK {
            "times"
        } else {
            "items"
        };
        decision.push_str(&format!(", {items} {unit}"));
    }
    let handover = handover_text(&entry.handover_id);
    let whose = [handover, entry.caller.clone(), entry.article.clone()];
    let whose: Vec<_> = whose.into_iter().filter(|part| !part.is_empty()).collect();
    folded(&format!(
        "{}  {}\n  {}  {decision}\n  {}\n",
        entry_text(&entry.entry_id),
        moment(entry.time_millis),
        entry.action,
        whose.join("  "),
    ))
}

/// A line for programs.
pub(crate) fn summary_json(entry: &EntrySummary) -> Value {
    json!({
        "entry_id": entry_text(&entry.entry_id), "action": entry.action,
        "time_millis": entry.time_millis, "decision": entry.decision, "code": entry.code,
        "told_code": entry.told_code, "event_code": entry.event_code, "items": entry.items,
        "handover_id": handover_text(&entry.handover_id), "purpose": entry.purpose,
        "article": entry.article, "sender": entry.sender, "recipient": entry.recipient,
        "caller": entry.caller, "finding": entry.finding,
    })
}
