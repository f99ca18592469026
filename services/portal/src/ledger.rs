//! Where a person's consents stand, from what the person keeps: no question to the broker.
//!
//! Must never let a consent that ended count as standing.

use super::line::{Paper, Story};
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, ConsentState, StatementEvent, StopCode};
use rules::feed::FeedKind;
use rules::id::ConsentId;
use std::collections::BTreeMap;

/// A consent as it stands, with what is needed to change it.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) record: ConsentRecord,
    pub(super) stop_code: Option<StopCode>,
    /// The latest statement as the broker has it, a compact JWS; empty before that.
    pub(super) jws: String,
    /// The paper by which the person stopped it, once the broker has it.
    pub(super) stopped_by: Option<Paper>,
}

/// Every consent of a person at this moment, newest first.
pub(super) fn holdings(papers: &[Paper], stories: &[Story], now: Timestamp) -> Vec<Holding> {
    let mut latest: BTreeMap<ConsentId, Holding> = BTreeMap::new();
    for paper in papers {
        let statement = &paper.statement;
        let holding = latest
            .entry(statement.record.id)
            .or_insert_with(|| Holding {
                record: statement.record.clone(),
                stop_code: None,
                jws: String::new(),
                stopped_by: None,
            });
        if statement.event == StatementEvent::Withdrawn && !paper.jws.is_empty() {
            holding.stopped_by = Some(paper.clone());
        }
        if statement.record.version > holding.record.version {
            holding.record = statement.record.clone();
        }
        if statement.record.version == holding.record.version && !paper.jws.is_empty() {
            holding.jws.clone_from(&paper.jws);
        }
        if statement.stop_code.is_some() {
            holding.stop_code.clone_from(&statement.stop_code);
        }
    }
    for (exchange, state) in stories.iter().filter_map(ended_by_broker) {
        let holding = ConsentId::from_slice(&exchange).and_then(|id| latest.get_mut(&id));
        if let Some(holding) = holding.filter(|holding| !holding.record.state.is_terminal()) {
            holding.record.state = state;
        }
    }
    let mut holdings: Vec<Holding> = latest.into_values().collect();
    // Ids tell time: the newest given one of a relation is the one that counts.
    holdings.sort_by_key(|holding| std::cmp::Reverse(holding.record.id));
    let mut replaced = Vec::new();
    for holding in &mut holdings {
        let record = &mut holding.record;
        let relation = (
            record.sender.clone(),
            record.recipient.clone(),
            record.purpose.clone(),
        );
        if record.state == ConsentState::Given && replaced.contains(&relation) {
            record.state = ConsentState::Superseded;
        }
        if record.state != ConsentState::Refused {
            replaced.push(relation);
        }
        record.state = record.state_at(now);
    }
    holdings
}

/// A consent that the broker says has ended, for example by its stop code.
fn ended_by_broker(story: &Story) -> Option<([u8; 16], ConsentState)> {
    let state = ConsentState::ALL
        .iter()
        .copied()
        .find(|state| state.code() == story.told.code && state.is_terminal())
        // That is said of a question: a record's id may be the id of one.
        .filter(|state| *state != ConsentState::Lapsed)?;
    (story.told.kind == FeedKind::Consent).then_some((story.told.exchange, state))
}
