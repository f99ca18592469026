//! Keeps `docs/handover-table.md` equal to the table in the code.
//!
//! Must never be satisfied by a page that somebody edited by hand. To write the page anew:
//! `SLUIS_WRITE_DOCS=1 cargo test --release -p rules --test handover_table`.

use rules::handover::{BasisKind, BasisRule, Row, Side, State, TABLE, TimerChange};
use rules::notice::NoticeKind;
use std::collections::BTreeSet;
use std::path::Path;

const HEAD: &str = "\
# Handover: states, events, who may do what

This page is printed from the table in `services/rules/src/handover/table.rs`; a test compares the two.
To write it anew: `SLUIS_WRITE_DOCS=1 cargo test --release -p rules --test handover_table`.

- **Waits**: refused with `OBJECTION_PENDING` or `PROCESSING_RESTRICTED` while an objection (AVG article 21) is pending or
  processing is restricted (AVG article 18). Timers stand still meanwhile and go on with the time that was left.
- **In time**: refused with `HANDOVER_EXPIRED` once the deadline of the state has passed.
- **Timer**: what happens to the deadline. PREPARED has 24 hours, OFFERED 5 working days (ON_HOLD keeps its rest), ACCEPTED 2
  working days, RELEASED 14 days, unless the register says otherwise, or the two parties in their edge.
- **ReportUndelivered**: once, when the recipient neither acknowledged nor opened an offer for 24 hours.
- **Told**: whose inbox gets which item. A recipient hears nothing of a handover that was never offered.
- **Notice**: starts when the recipient has opened the offer or the dossier.
- **SendReport, FetchReport**: after completion, as long as nothing was stopped; a sender that fetched gets notices as well.
- Responsibility moves to the recipient at COMPLETED and nowhere else. Of a group at most one handover is RELEASED or
  COMPLETED at a time; on release the broker does `Supersede` to the others that are open.
";

fn page() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n## Diagram\n\n```mermaid\nstateDiagram-v2\n");
    diagram(&mut text);
    text.push_str("```\n\n## Table\n\n");
    text.push_str("| From | Event | By | To | Basis | Waits | In time | Timer | Told | Notice |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    for row in TABLE {
        line(&mut text, row);
    }
    text.push_str("\n## Answers to notices\n\n| Notice | Answers that fit |\n|---|---|\n");
    for kind in NoticeKind::ALL {
        let answers: Vec<&str> = kind.answers().iter().map(|answer| answer.code()).collect();
        text.push_str(&format!("| {} | {} |\n", kind.code(), answers.join(", ")));
    }
    text
}

fn diagram(text: &mut String) {
    let mut ends = BTreeSet::new();
    for row in TABLE {
        let Some(to) = row.to else { continue };
        if row.from.is_empty() {
            text.push_str(&format!("    [*] --> {to}: {}\n", row.event));
        }
        for from in row.from {
            text.push_str(&format!("    {from} --> {to}: {}\n", row.event));
        }
        if to.is_terminal() {
            ends.insert(to);
        }
    }
    for end in ends {
        text.push_str(&format!("    {end} --> [*]\n"));
    }
}

fn line(text: &mut String, row: &Row) {
    let from = if row.from.is_empty() {
        "–".to_owned()
    } else if row.from == State::OPEN {
        "any open".to_owned()
    } else {
        let states: Vec<&str> = row.from.iter().map(|state| state.code()).collect();
        states.join(", ")
    };
    let basis = match row.basis {
        BasisRule::Any => "any",
        BasisRule::Only(BasisKind::Consent) => "consent",
        BasisRule::Only(BasisKind::Statute) => "statute",
    };
    let told: Vec<String> = row
        .tells
        .iter()
        .map(|(side, kind)| match side {
            Side::Sender => format!("sender: {}", kind.code()),
            Side::Recipient => format!("recipient: {}", kind.code()),
        })
        .collect();
    text.push_str(&format!(
        "| {from} | {} | {} | {} | {basis} | {} | {} | {} | {} | {} |\n",
        row.event,
        row.actor.name(),
        row.to.map_or("same", State::code),
        yes(row.waits_when_paused),
        yes(row.needs_time),
        timer(row.timer),
        told.join("; "),
        row.notice.map_or("", NoticeKind::code),
    ));
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "" }
}

fn timer(change: TimerChange) -> &'static str {
    match change {
        TimerChange::Keep => "",
        TimerChange::Start => "starts",
        TimerChange::StartStopped => "starts stopped",
        TimerChange::Clear => "ends",
        TimerChange::Pause => "stops",
        TimerChange::Resume => "goes on",
    }
}

#[test]
fn the_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/handover-table.md");
    let page = page();
    if std::env::var_os("SLUIS_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/handover-table.md is not the table; see this test's header"
    );
}
