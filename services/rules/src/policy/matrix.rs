//! The golden matrix: who may do what with whose data, on a page that a lawyer can read.
//!
//! Must never be edited by hand: a changed policy shows in review as flipped marks, and nowhere else.

use super::case::{AssumedConsent, Question};
use super::{Action, ConsentState, PolicyBundle};
use crate::id::{NameError, PeerKind, Purpose};
use crate::register::RegisterEntry;
use std::fmt::Write;

/// The kinds that hand persons over, in the order of the matrix.
const KINDS: &[PeerKind] = &[
    PeerKind::Uwv,
    PeerKind::Gemeente,
    PeerKind::Vakbond,
    PeerKind::Sbb,
    PeerKind::Leerwerkloket,
    PeerKind::Wsp,
    PeerKind::Onderwijs,
    PeerKind::SwBedrijf,
];

const HEAD: &str = "\
Who may do what. Made by `cargo run --release -p rules --example matrix > policies/expected.txt`.

✔ permitted    ✘ refused, with its code
Each row assumes that everything else is in order: agreement, region, time, key of the recipient.
`prepare`, `release` and `fetch` ask for everything that the register allows in a dossier, `offer` for
everything that it allows in a summary, `report` and `fetchReport` for everything that it allows to be
told back. What a sender is told may be less: where consent decides,
`prepare` answers NOT_AVAILABLE for every code about a person.
";

/// How wide the first column is, in characters.
const SITUATION_WIDTH: usize = 34;
/// How wide the other columns are, in characters.
const ACTION_WIDTH: usize = 28;

type Change = fn(&mut Question);

fn given(question: &mut Question) -> &mut AssumedConsent {
    question
        .consent
        .insert(AssumedConsent::new(ConsentState::Given))
}

/// What may be otherwise when consent is given.
const GIVEN: [(&str, Change); 9] = [
    ("consent given", |question| {
        given(question);
    }),
    ("consent given, past its end", |question| {
        given(question).ended = true
    }),
    ("consent given, no written waiver", |question| {
        given(question).waiver = false
    }),
    ("consent given, other recipient", |question| {
        given(question).recipient_matches = false
    }),
    ("consent given, other purpose", |question| {
        given(question).purpose_matches = false
    }),
    ("consent given, for no category", |question| {
        given(question).categories = Some([].into())
    }),
    ("consent given, restricted", |question| {
        given(question);
        question.restricted = true;
    }),
    ("consent given, nothing completed", |question| {
        given(question);
        question.follows_completed = false;
    }),
    ("consent given, not to the centre", |question| {
        given(question);
        question.recipient_is_centre = false;
    }),
];

/// The situations under consent.
fn situations() -> Vec<(String, Change)> {
    let states: [(ConsentState, Change); 7] = [
        (ConsentState::Requested, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Requested))
        }),
        (ConsentState::Refused, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Refused))
        }),
        (ConsentState::Lapsed, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Lapsed))
        }),
        (ConsentState::Withdrawn, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Withdrawn))
        }),
        (ConsentState::Expired, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Expired))
        }),
        (ConsentState::Superseded, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Superseded))
        }),
        (ConsentState::Invalidated, |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Invalidated))
        }),
    ];
    let mut rows: Vec<(String, Change)> = vec![("no consent".to_owned(), |_| {})];
    let named = states
        .into_iter()
        .map(|(state, change)| (state.code().to_lowercase(), change));
    rows.extend(named.map(|(state, change)| (format!("consent {state}"), change)));
    let rest = GIVEN.iter();
    rows.extend(rest.map(|(title, change)| ((*title).to_owned(), *change)));
    rows
}

/// The situations under statute.
fn statute_situations() -> Vec<(String, Change)> {
    let rows: [(&str, Change); 7] = [
        ("nothing known about the person", |_| {}),
        ("consent withdrawn", |question| {
            question.consent = Some(AssumedConsent::new(ConsentState::Withdrawn))
        }),
        ("objection pending", |question| {
            question.objection_pending = true
        }),
        ("restricted", |question| question.restricted = true),
        ("no ground for the BSN", |question| {
            question.bsn_ground = false
        }),
        ("a BSN to a neutral realm", |question| {
            question.recipient_neutral = true
        }),
        ("made known without a number", |question| {
            question.unbound = true
        }),
    ];
    rows.into_iter()
        .map(|(title, change)| (title.to_owned(), change))
        .collect()
}

/// All purposes × pairs of kinds × situations × actions.
///
/// # Errors
/// When a made-up name is not one; that is a mistake of this crate.
pub fn matrix(bundle: &PolicyBundle) -> Result<String, NameError> {
    let mut text = HEAD.to_owned();
    for purpose in bundle.register().purposes() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "\n\n════ {purpose} ════");
        let mut without = Vec::new();
        for sender in KINDS {
            for recipient in KINDS {
                match bundle.register().entry(purpose, *sender, *recipient) {
                    Some(entry) => write_entry(&mut text, bundle, entry)?,
                    None => without.push((*sender, *recipient)),
                }
            }
        }
        write_without(&mut text, purpose, &without);
    }
    Ok(text)
}

fn write_entry(
    text: &mut String,
    bundle: &PolicyBundle,
    entry: &RegisterEntry,
) -> Result<(), NameError> {
    let (sender, recipient) = (entry.sender_kind, entry.recipient_kind);
    let centre = if entry.to_centre {
        " (the region's centre only)"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "\n{} {sender} → {recipient}{}: {}, {}; secrecy {}\n  {}",
        entry.purpose,
        centre,
        entry.basis,
        entry.law_article,
        entry.secrecy_ground,
        entry.to_be_confirmed,
    );
    let _ = write!(text, "  {:SITUATION_WIDTH$}", "");
    for action in Action::ALL {
        let _ = write!(text, "{:ACTION_WIDTH$}", action.code());
    }
    trim_line(text);
    let rows = if entry.needs_consent() {
        situations()
    } else {
        statute_situations()
    };
    for (title, change) in rows {
        let _ = write!(text, "  {title:SITUATION_WIDTH$}");
        for action in Action::ALL {
            let kinds = (sender, recipient);
            let mut question =
                Question::new(*action, kinds, entry.purpose.clone(), entry.basis.clone());
            change(&mut question);
            let decision = question.put(bundle.register(), |request| bundle.decide(request))?;
            let mark = decision
                .reason()
                .map_or("✔".to_owned(), |reason| format!("✘ {reason}"));
            let _ = write!(text, "{mark:ACTION_WIDTH$}");
        }
        trim_line(text);
    }
    Ok(())
}

fn trim_line(text: &mut String) {
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn write_without(text: &mut String, purpose: &Purpose, pairs: &[(PeerKind, PeerKind)]) {
    let _ = writeln!(text, "\n{purpose} between all other pairs: ✘ BASIS_MISSING");
    for sender in KINDS {
        let recipients: Vec<&str> = pairs
            .iter()
            .filter(|(from, _)| from == sender)
            .map(|(_, to)| to.code())
            .collect();
        if !recipients.is_empty() {
            let _ = writeln!(text, "  {sender} → {}", recipients.join(", "));
        }
    }
}
