//! One policy decision, as the broker makes it: facts from the directory and the register, typed context,
//! Cedar, on the sandbox's signed files.
//!
//! Must never measure a decision that is not the one that permits: a refusal may end earlier.

use crate::desks::{dossier_labels, summary_labels};
use crate::table::{Table, Target};
use crate::times::Times;
use broker::InForce;
use broker::decision::{Asked, Facts};
use gateway::cli::identity::Identity;
use gateway::clock::SystemClock;
use papers::controllers::SignedByAll;
use rules::clock::Clock as _;
use rules::directory::Directory;
use rules::id::{Label, Party};
use rules::policy::{Action, Stage};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// Decisions of each kind, after as many to warm up.
const DECISIONS: usize = 5_000;
/// Microseconds that the design allows the median.
const MEDIAN_MAX: f64 = 60.0;

struct Question {
    name: &'static str,
    action: Action,
    stage: Stage,
    sender: Party,
    recipient: Party,
    basis: &'static str,
    labels: BTreeSet<Label>,
}

/// Measures and prints.
pub(crate) fn measure(home: &Path, table: &mut Table) {
    let content = std::fs::read(home.join("directory.toml")).expect("the sandbox's directory");
    let text = std::str::from_utf8(&content).expect("its text");
    let directory = Directory::parse(text, &vault::digest::sha256).expect("a directory");
    let policy = gateway::policies::load(&home.join("policies")).expect("the sandbox's policies");
    let file = SignedByAll {
        content,
        signatures: Vec::new(),
    };
    let in_force = InForce::new(directory, &file, policy).expect("a calendar");
    let party = |name: &str| -> Party {
        let identity = Identity::load(home, name).expect("an identity of the sandbox");
        identity.party().parse().expect("a party")
    };
    let questions = [
        Question {
            name: "offer by law, UWV to gemeente",
            action: Action::Offer,
            stage: Stage::Offer,
            sender: party("uwv"),
            recipient: party("neutraal"),
            basis: "SUWI_62_1",
            labels: summary_labels().into_iter().collect(),
        },
        Question {
            name: "release by law, UWV to gemeente",
            action: Action::Release,
            stage: Stage::Dossier,
            sender: party("uwv"),
            recipient: party("neutraal"),
            basis: "SUWI_62_1",
            labels: dossier_labels().into_iter().collect(),
        },
        Question {
            name: "release on consent, vakbond to gemeente",
            action: Action::Release,
            stage: Stage::Dossier,
            sender: party("vakbond"),
            recipient: party("neutraal"),
            basis: "CONSENT",
            labels: crate::consent::dossier_labels().into_iter().collect(),
        },
    ];
    table.heading("one policy decision with typed context, as the broker makes it");
    for question in questions {
        let times = Times::new(time(&in_force, &question));
        let row = |part: &str| format!("{}: {part}", question.name);
        let median = times.micros(50);
        table.target(&row("p50"), median, "µs", Target::AtMost(MEDIAN_MAX));
        table.number(&row("p99"), times.micros(99), "µs");
    }
}

fn time(in_force: &InForce, question: &Question) -> Vec<std::time::Duration> {
    let purpose = "HANDOVER".parse().expect("a purpose");
    let basis = question.basis.parse().expect("a basis");
    let region = "NHN".parse().expect("a region");
    let asked = Asked {
        action: question.action,
        stage: question.stage,
        sender: &question.sender,
        region: Some(&region),
        recipient: &question.recipient,
        purpose: &purpose,
        basis: &basis,
        unbound: false,
    };
    let mut took = Vec::with_capacity(DECISIONS);
    for round in 0..2 * DECISIONS {
        let facts = Facts::favourable(SystemClock.now(), false);
        let begun = Instant::now();
        let decision = in_force.decide(&asked, &question.labels, &facts);
        let elapsed = begun.elapsed();
        let decision = decision.expect("both are in the directory");
        assert!(
            decision.permit().is_some(),
            "{}: {:?}",
            question.name,
            decision.codes
        );
        if round >= DECISIONS {
            took.push(elapsed);
        }
    }
    took
}
