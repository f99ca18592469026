//! What a register must never hold, and whether its parts fit one another.
//!
//! Must never be loosened by configuration: the words below are closed, because union membership and
//! sanctions may not exist as fields and enforcement may not exist as a purpose.

use super::file::{Mistakes, Placed};
use super::{DataClass, GROUNDS_WITHOUT_WAIVER, LabelEntry, Register, RegisterEntry};
use crate::directory::exchanges;
use crate::id::Label;
use crate::limits::CONSENT_DAYS_MAX;
use crate::policy::Stage;
use std::collections::{BTreeMap, BTreeSet};

/// Purposes that may not exist, also as part of a longer name.
const PURPOSE_WORDS_FORBIDDEN: &[&str] = &[
    "HANDHAVING",
    "ENFORCEMENT",
    "SANCTIE",
    "SANCTION",
    "OPSPORING",
    "FRAUDE",
    "FRAUD",
];

/// Words that may not occur in a label or category: they would make union membership, or a sanction
/// by a benefit authority, a field.
const FIELD_WORDS_FORBIDDEN: &[&str] = &[
    "lidmaatschap",
    "vakbond",
    "bondslid",
    "lidnummer",
    "membership",
    "union",
    "sanctie",
    "sanction",
    "maatregel",
    "korting",
    "boete",
    "penalty",
    "handhaving",
    "enforcement",
    "verwijtbaar",
    "plichtsverzuim",
    "fraude",
    "fraud",
    "strafrecht",
];

/// The point of AVG article 6(1) that is consent.
const CONSENT_ARTICLE: &str = "AVG 6(1)(a)";

/// What `basis_art9` says when there is no ground for special categories.
const NO_ARTICLE_9_GROUND: &str = "none";

/// Puts the parts together and notes every mistake.
pub(super) fn assemble(
    labels: Vec<Placed<LabelEntry>>,
    entries: Vec<Placed<RegisterEntry>>,
    mistakes: &mut Mistakes<'_>,
) -> Register {
    let labels = assemble_labels(labels, mistakes);
    let mut table = BTreeMap::new();
    for Placed { line, value: entry } in entries {
        check_texts(&entry, line, mistakes);
        check_ground(&entry, line, mistakes);
        check_labels(&entry, &labels, line, mistakes);
        check_report(&entry, line, mistakes);
        let key = (
            entry.purpose.clone(),
            entry.sender_kind,
            entry.recipient_kind,
        );
        let name = format!("{} {} to {}", key.0, key.1, key.2);
        if table.insert(key, entry).is_some() {
            let message = format!("{name} occurs twice: an exchange has one basis");
            mistakes.add(Some(line), message);
        }
    }
    Register {
        entries: table,
        labels,
        holidays: BTreeSet::new(),
        oversight_activity_uri: String::new(),
    }
}

fn assemble_labels(
    labels: Vec<Placed<LabelEntry>>,
    mistakes: &mut Mistakes<'_>,
) -> BTreeMap<Label, LabelEntry> {
    let mut table = BTreeMap::new();
    let mut classes = BTreeMap::new();
    for Placed { line, value: entry } in labels {
        let names = format!("{} {}", entry.label, entry.category).to_lowercase();
        for word in FIELD_WORDS_FORBIDDEN
            .iter()
            .filter(|word| names.contains(**word))
        {
            let message = format!("label `{}`: `{word}` may not be a field", entry.label);
            mistakes.add(Some(line), message);
        }
        if entry.stages.is_empty() || entry.title_nl.is_empty() || entry.title_en.is_empty() {
            let message = format!(
                "label `{}` needs a stage and a title in both languages",
                entry.label
            );
            mistakes.add(Some(line), message);
        }
        if *classes.entry(entry.category.clone()).or_insert(entry.class) != entry.class {
            let message = format!("category {} has labels of two classes", entry.category);
            mistakes.add(Some(line), message);
        }
        let label = entry.label.clone();
        if table.insert(label.clone(), entry).is_some() {
            mistakes.add(Some(line), format!("label `{label}` occurs twice"));
        }
    }
    table
}

fn check_texts(entry: &RegisterEntry, line: usize, mistakes: &mut Mistakes<'_>) {
    for word in PURPOSE_WORDS_FORBIDDEN
        .iter()
        .filter(|word| entry.purpose.as_str().contains(**word))
    {
        let message = format!("purpose {}: `{word}` may not be a purpose", entry.purpose);
        mistakes.add(Some(line), message);
    }
    for kind in [entry.sender_kind, entry.recipient_kind] {
        if !exchanges(kind) {
            mistakes.add(
                Some(line),
                format!("{kind} is a role of the gateway, not a party"),
            );
        }
    }
    for (field, text) in [
        ("title_nl", &entry.title_nl),
        ("title_en", &entry.title_en),
        ("basis_art6", &entry.basis_art6),
        ("law_article", &entry.law_article),
        ("basis_art9", &entry.basis_art9),
        ("secrecy_ground", &entry.secrecy_ground),
        ("notice_uri", &entry.notice.uri),
        ("processing_activity_uri", &entry.processing_activity_uri),
        ("dpia_ref", &entry.dpia_ref),
        ("dpv_purpose", &entry.dpv_purpose),
        ("to_be_confirmed", &entry.to_be_confirmed),
    ] {
        if text.trim().is_empty() {
            mistakes.add(Some(line), format!("{field} is empty"));
        }
    }
    if entry.controllers.is_empty() {
        mistakes.add(Some(line), "an entry names its controllers");
    }
    if entry.retention_days == 0 || entry.log_retention_days == 0 {
        mistakes.add(Some(line), "retention is at least one day");
    }
    if entry.timers.numbers().contains(&0) {
        mistakes.add(Some(line), "a timer of zero leaves no time for its step");
    }
}

/// The legal ground: consent has its evidence, and only consent has it.
fn check_ground(entry: &RegisterEntry, line: usize, mistakes: &mut Mistakes<'_>) {
    let Some(terms) = &entry.consent else {
        if entry.basis_art6 == CONSENT_ARTICLE {
            mistakes.add(Some(line), "basis consent needs a [entry.consent] table");
        }
        return;
    };
    if entry.basis_art6 != CONSENT_ARTICLE {
        let message = format!("[entry.consent] belongs to `{CONSENT_ARTICLE}` only");
        mistakes.add(Some(line), message);
    }
    if !terms.interest_of_subject_only {
        mistakes.add(
            Some(line),
            "consent that does not serve the person alone is not free",
        );
    }
    for (field, text) in [
        ("need_expressed", &terms.need_expressed),
        (
            "alternative_without_consent",
            &terms.alternative_without_consent,
        ),
        ("no_detriment_statement", &terms.no_detriment_statement),
    ] {
        if text.trim().is_empty() {
            mistakes.add(Some(line), format!("{field} is empty"));
        }
    }
    if terms.consent_max_days > CONSENT_DAYS_MAX {
        mistakes.add(
            Some(line),
            format!(
                "consent_max_days is at most {CONSENT_DAYS_MAX}: what was stopped is kept as long"
            ),
        );
    }
    if terms.reflection_hours == 0 || terms.consent_max_days == 0 {
        mistakes.add(
            Some(line),
            "reflection_hours and consent_max_days are at least one",
        );
    }
}

/// What may be told back: something, for a time, and on the one waiver that a statement has.
fn check_report(entry: &RegisterEntry, line: usize, mistakes: &mut Mistakes<'_>) {
    let Some(report) = &entry.report else {
        return;
    };
    if report.labels.is_empty() {
        mistakes.add(Some(line), "a report without labels tells nothing");
    }
    if report.days == 0 || report.days > entry.retention_days {
        let message = "report.days is at least one and at most retention_days: the handover is forgotten then";
        mistakes.add(Some(line), message);
    }
    if report.secrecy_ground.trim().is_empty() {
        mistakes.add(Some(line), "report.secrecy_ground is empty");
    }
    let back = report.secrecy_ground.as_str();
    let needs_other = !GROUNDS_WITHOUT_WAIVER.contains(&back) && back != entry.secrecy_ground;
    if entry.needs_waiver() && needs_other {
        let message =
            "a statement has one waiver: secrecy_ground and report.secrecy_ground can't need two";
        mistakes.add(Some(line), message);
    }
}

fn check_labels(
    entry: &RegisterEntry,
    labels: &BTreeMap<Label, LabelEntry>,
    line: usize,
    mistakes: &mut Mistakes<'_>,
) {
    if entry.labels_offer.is_empty() && entry.labels_dossier.is_empty() {
        mistakes.add(Some(line), "an entry without labels permits nothing");
    }
    let offer = entry.labels_offer.iter().map(|label| (Stage::Offer, label));
    let dossier = entry
        .labels_dossier
        .iter()
        .map(|label| (Stage::Dossier, label));
    let report = entry.report.iter().flat_map(|report| &report.labels);
    let report = report.map(|label| (Stage::Report, label));
    for (stage, label) in offer.chain(dossier).chain(report) {
        let Some(known) = labels.get(label) else {
            mistakes.add(
                Some(line),
                format!("label `{label}` is not in the list of labels"),
            );
            continue;
        };
        if !known.stages.contains(&stage) {
            let message = format!("label `{label}` does not exist in stage {}", stage.code());
            mistakes.add(Some(line), message);
        }
        if known.class == DataClass::NationalNumber && !entry.bsn_allowed {
            mistakes.add(Some(line), format!("label `{label}` needs bsn_allowed"));
        }
        let ground = entry.needs_consent() && entry.basis_art9 != NO_ARTICLE_9_GROUND;
        if known.class == DataClass::Special && !ground {
            let message =
                format!("label `{label}` is a special category and needs consent and basis_art9");
            mistakes.add(Some(line), message);
        }
    }
}
