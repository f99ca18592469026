//! The purpose register (doelregister): which exchange rests on which law, and which labels it may carry.
//!
//! Read from `policies/register.toml` (AVG article 30, machine-readable). Must never know a purpose,
//! a basis or a label by name: a change of law is a change of that file.

mod check;
mod file;

#[cfg(test)]
mod tests;

use crate::calendar::Day;
use crate::id::{Basis, Category, Label, PeerKind, Purpose};
use crate::policy::{ConsentFacts, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// A mistake in the register, with its place where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct RegisterError {
    /// Path of the file within the policies folder.
    pub file: String,
    /// Line, counted from 1.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// How the law looks at a label's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub enum DataClass {
    /// Ordinary personal data.
    #[serde(rename = "O")]
    Ordinary,
    /// Financial or otherwise vulnerable.
    #[serde(rename = "F")]
    Financial,
    /// Special category (AVG article 9): at least one of its values reveals such a thing.
    #[serde(rename = "S9")]
    Special,
    /// National number (AVG article 87; UAVG article 46; Wabb article 10).
    #[serde(rename = "N87")]
    NationalNumber,
}

impl DataClass {
    /// The code, as in the register.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ordinary => "O",
            Self::Financial => "F",
            Self::Special => "S9",
            Self::NationalNumber => "N87",
        }
    }
}

/// One label: the name of a field that may travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelEntry {
    /// Its name.
    pub label: Label,
    /// The category to which a person consents.
    pub category: Category,
    /// How the law looks at it.
    pub class: DataClass,
    /// In which stages it exists at all.
    pub stages: BTreeSet<Stage>,
    /// One line of plain Dutch.
    pub title_nl: String,
    /// One line of plain English.
    pub title_en: String,
}

/// How long each step of a handover may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// From prepared to offered, in hours.
    pub prepared_hours: u32,
    /// From offered to an answer, in working days.
    pub offer_working_days: u32,
    /// From accepted to released, in working days.
    pub release_working_days: u32,
    /// From released to completed, in days.
    pub complete_days: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            prepared_hours: 24,
            offer_working_days: 5,
            release_working_days: 2,
            complete_days: 14,
        }
    }
}

impl Timers {
    /// The four, in the order of a handover.
    #[must_use]
    pub const fn numbers(&self) -> [u32; 4] {
        [
            self.prepared_hours,
            self.offer_working_days,
            self.release_working_days,
            self.complete_days,
        ]
    }
}

/// What a purpose on consent must be able to show (AVG article 7; recital 43).
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentTerms {
    /// The processing serves the person and not also the authority. Must be true.
    pub interest_of_subject_only: bool,
    /// How the person's own request for help arose.
    pub need_expressed: String,
    /// What the person can do instead without consenting.
    pub alternative_without_consent: String,
    /// That refusing changes nothing elsewhere, in the words shown to the person.
    pub no_detriment_statement: String,
    /// No deadline shorter than this may be imposed, in hours. A person may answer sooner.
    pub reflection_hours: u32,
    /// Whether a desk with the right `assist` may register the consent.
    pub assisted: bool,
    /// Longest validity of a consent, in days.
    pub consent_max_days: u32,
}

/// Grounds on which no duty of secrecy stands in the way, or the law itself lifts it. Any other ground, one
/// that is new included, needs the person's waiver; the policies judge it again at every exchange.
const GROUNDS_WITHOUT_WAIVER: &[&str] = &["NONE", "SUWI_62"];

/// What the recipient may tell the sender after completion: an entry without it lets nothing be told back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportTerms {
    /// Labels that a report may have.
    pub labels: BTreeSet<Label>,
    /// How long after completion it may be sent, in days.
    pub days: u32,
    /// What lifts the duty of secrecy of the recipient, which tells.
    pub secrecy_ground: String,
}

/// The privacy notice of an exchange (AVG articles 13 and 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyNotice {
    /// Its versioned address.
    pub uri: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
}

/// What the register says about one purpose between two kinds of organisation: one basis each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterEntry {
    /// The purpose.
    pub purpose: Purpose,
    /// Kind of the sender.
    pub sender_kind: PeerKind,
    /// Kind of the recipient.
    pub recipient_kind: PeerKind,
    /// Title in Dutch.
    pub title_nl: String,
    /// Title in English.
    pub title_en: String,
    /// The controllers (AVG article 4(7), 26), in words.
    pub controllers: Vec<String>,
    /// The one legal basis.
    pub basis: Basis,
    /// Point of AVG article 6(1).
    pub basis_art6: String,
    /// The provision of law.
    pub law_article: String,
    /// Point of AVG article 9(2), or `none`.
    pub basis_art9: String,
    /// What lifts the sender's duty of secrecy.
    pub secrecy_ground: String,
    /// Labels of the summary.
    pub labels_offer: BTreeSet<Label>,
    /// Labels that only the dossier may have.
    pub labels_dossier: BTreeSet<Label>,
    /// Whether the law lets both sides process a BSN here.
    pub bsn_allowed: bool,
    /// Whether only the centre of the sender's region may receive; the directory says which realm that is.
    pub to_centre: bool,
    /// Whether it may only follow a completed handover in the other direction.
    pub after_completed: bool,
    /// How long the recipient may keep what it received, in days.
    pub retention_days: u32,
    /// How long log lines about it are kept, in days.
    pub log_retention_days: u32,
    /// The notice that persons get.
    pub notice: PrivacyNotice,
    /// Versioned address of this entry; every log line refers to it.
    pub processing_activity_uri: String,
    /// The data protection impact assessment (AVG article 35).
    pub dpia_ref: String,
    /// Purpose in the W3C Data Privacy Vocabulary.
    pub dpv_purpose: String,
    /// How long each step may take.
    pub timers: Timers,
    /// What must be shown where the basis is consent; `None` under statute.
    pub consent: Option<ConsentTerms>,
    /// What may be told back after completion, on the same basis; `None` where nothing may.
    pub report: Option<ReportTerms>,
    /// Who still has to confirm the legal content.
    pub to_be_confirmed: String,
}

impl RegisterEntry {
    /// Whether the exchange rests on the person's consent.
    #[must_use]
    pub const fn needs_consent(&self) -> bool {
        self.consent.is_some()
    }

    /// Whether the person must waive the sender's duty of secrecy in writing.
    #[must_use]
    pub fn needs_waiver(&self) -> bool {
        !GROUNDS_WITHOUT_WAIVER.contains(&self.secrecy_ground.as_str())
    }

    /// The ground of the one waiver that a statement may have: that of the sender's secrecy, without which nothing is
    /// handed over, or else that of the recipient's, without which nothing is told back.
    #[must_use]
    pub fn waiver_ground(&self) -> Option<&str> {
        let back = self.secrecy_of(Stage::Report);
        let ground = if self.needs_waiver() {
            self.secrecy_ground.as_str()
        } else {
            back
        };
        (!GROUNDS_WITHOUT_WAIVER.contains(&ground)).then_some(ground)
    }

    /// What lifts the duty of secrecy of whoever tells in a stage: of the recipient in a report.
    #[must_use]
    pub fn secrecy_of(&self, stage: Stage) -> &str {
        match (&self.report, stage) {
            (Some(report), Stage::Report) => &report.secrecy_ground,
            _ => &self.secrecy_ground,
        }
    }

    /// All labels that may travel in any stage; one that may in several comes as often.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        let report = self.report.iter().flat_map(|report| &report.labels);
        let there = self.labels_offer.iter().chain(&self.labels_dossier);
        there.chain(report)
    }

    /// Whether `label` may travel in `stage`. A dossier may repeat what the summary said.
    #[must_use]
    pub fn allows(&self, stage: Stage, label: &Label) -> bool {
        let report = self.report.as_ref();
        match stage {
            Stage::Offer => self.labels_offer.contains(label),
            Stage::Dossier => {
                self.labels_offer.contains(label) || self.labels_dossier.contains(label)
            }
            Stage::Report => report.is_some_and(|report| report.labels.contains(label)),
        }
    }
}

/// The register, whole and checked.
#[derive(Clone, Debug)]
pub struct Register {
    entries: BTreeMap<(Purpose, PeerKind, PeerKind), RegisterEntry>,
    labels: BTreeMap<Label, LabelEntry>,
    holidays: BTreeSet<Day>,
    oversight_activity_uri: String,
}

/// Labels wanted, parted in those that may travel and those that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelChoice {
    /// May travel.
    pub permitted: BTreeSet<Label>,
    /// Left out: not in the register for this exchange and stage, or not in the consent.
    pub dropped: BTreeSet<Label>,
}

impl Register {
    /// Reads `register.toml`. `file` is its path, for messages.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<RegisterError>> {
        file::parse(file, text)
    }

    /// The entry of a purpose between two kinds, if there is one.
    #[must_use]
    pub fn entry(
        &self,
        purpose: &Purpose,
        sender_kind: PeerKind,
        recipient_kind: PeerKind,
    ) -> Option<&RegisterEntry> {
        self.entries
            .get(&(purpose.clone(), sender_kind, recipient_kind))
    }

    /// All entries, by purpose and kinds.
    pub fn entries(&self) -> impl Iterator<Item = &RegisterEntry> {
        self.entries.values()
    }

    /// All purposes, in order.
    #[must_use]
    pub fn purposes(&self) -> BTreeSet<&Purpose> {
        self.entries.keys().map(|(purpose, _, _)| purpose).collect()
    }

    /// Whether the register has this purpose between any two kinds.
    #[must_use]
    pub fn knows_purpose(&self, purpose: &Purpose) -> bool {
        self.entries.keys().any(|(known, _, _)| known == purpose)
    }

    /// All labels, in order.
    pub fn labels(&self) -> impl Iterator<Item = &LabelEntry> {
        self.labels.values()
    }

    /// What the register says about a label.
    #[must_use]
    pub fn label(&self, label: &Label) -> Option<&LabelEntry> {
        self.labels.get(label)
    }

    /// The category of a label.
    #[must_use]
    pub fn category_of(&self, label: &Label) -> Option<&Category> {
        self.labels.get(label).map(|entry| &entry.category)
    }

    /// All categories with their class, in order.
    #[must_use]
    pub fn categories(&self) -> BTreeMap<&Category, DataClass> {
        self.labels
            .values()
            .map(|entry| (&entry.category, entry.class))
            .collect()
    }

    /// The categories of labels; labels that the register does not know have none.
    #[must_use]
    pub fn categories_of<'a>(
        &'a self,
        labels: impl IntoIterator<Item = &'a Label>,
    ) -> BTreeSet<&'a Category> {
        labels
            .into_iter()
            .filter_map(|label| self.category_of(label))
            .collect()
    }

    /// Days that are no working days although they are Monday to Friday.
    #[must_use]
    pub const fn holidays(&self) -> &BTreeSet<Day> {
        &self.holidays
    }

    /// Versioned address of the processing activity "oversight" (searching the log, deciding
    /// objections), for the log lines of officers.
    #[must_use]
    pub fn oversight_activity_uri(&self) -> &str {
        &self.oversight_activity_uri
    }

    /// Parts `wanted` in what may travel in this exchange and stage, and what is left out. Under
    /// consent, a consent narrows further; without one only the register counts.
    #[must_use]
    pub fn permitted_labels(
        &self,
        entry: &RegisterEntry,
        stage: Stage,
        wanted: &BTreeSet<Label>,
        consent: Option<&ConsentFacts>,
    ) -> LabelChoice {
        let consented = consent.filter(|_| entry.needs_consent());
        let (permitted, dropped) = wanted.iter().cloned().partition(|label| {
            entry.allows(stage, label)
                && self.category_of(label).is_some_and(|category| {
                    consented.is_none_or(|consent| consent.categories.contains(category))
                })
        });
        LabelChoice { permitted, dropped }
    }
}
