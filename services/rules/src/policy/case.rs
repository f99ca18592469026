//! Questions about nobody: written down as cases with the answer they must get, or asked to explain.
//!
//! Every fact that a question leaves out speaks for a yes, so that what it says is what it is about.
//! Must never be used to decide about a person: its parties and times are made up.

use super::load::favourable;
use super::{
    Action, ConsentFacts, ConsentState, Decision, DecisionRequest, OversightAction,
    OversightRequest, OversightRight, PeerFacts, PolicyBundle, Stage, Surplus,
};
use crate::clock::Timestamp;
use crate::id::{Basis, Category, Label, NameError, Party, PeerKind, Purpose};
use crate::limits::HOUR_MILLIS;
use crate::register::Register;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// Organisation of the sender in a question (a test number).
const SENDER: &str = "00000099000000001000/main";
/// Organisation of the recipient in a question (a test number).
const RECIPIENT: &str = "00000099000000002000/main";
/// The moment of every question.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Why a case could not be read or did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The file is not a list of cases.
    #[error("{file}: {message}")]
    Unreadable {
        /// Path of the file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// The answer is another than expected.
    #[error("case `{title}`: expected {expected}, got {found}")]
    Unexpected {
        /// Title of the case.
        title: String,
        /// The expected answer.
        expected: String,
        /// The given answer.
        found: String,
    },
    /// A made-up name is not one.
    #[error("case `{title}`: {source}")]
    Name {
        /// Title of the case.
        title: String,
        /// What is wrong.
        source: NameError,
    },
}

/// Consent to assume in a question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumedConsent {
    /// Where it stands.
    #[serde(deserialize_with = "consent_state")]
    pub state: ConsentState,
    /// Whether its end has passed.
    #[serde(default)]
    pub ended: bool,
    /// The categories consented to; left out: all that the register has.
    pub categories: Option<BTreeSet<Category>>,
    /// Whether it names this recipient.
    #[serde(default = "yes")]
    pub recipient_matches: bool,
    /// Whether it names this purpose.
    #[serde(default = "yes")]
    pub purpose_matches: bool,
    /// Whether secrecy was waived in writing.
    #[serde(default = "yes")]
    pub waiver: bool,
}

impl AssumedConsent {
    /// A consent in this state and otherwise whole.
    #[must_use]
    pub const fn new(state: ConsentState) -> Self {
        Self {
            state,
            ended: false,
            categories: None,
            recipient_matches: true,
            purpose_matches: true,
            waiver: true,
        }
    }
}

/// A question about nobody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is wanted.
    pub action: Action,
    /// Which data it is about; left out: the summary for an offer, the report for a report, otherwise the dossier.
    pub stage: Option<Stage>,
    /// Kind of the sender.
    pub sender: PeerKind,
    /// Kind of the recipient.
    pub recipient: PeerKind,
    /// The purpose.
    pub purpose: Purpose,
    /// The basis that the caller names.
    pub basis: Basis,
    /// Labels wanted; left out: all that the register allows.
    pub labels: Option<BTreeSet<Label>>,
    /// What happens to labels that may not travel.
    #[serde(default = "refuse")]
    pub surplus: Surplus,
    /// Whether there is a valid edge.
    #[serde(default = "yes")]
    pub edge_valid: bool,
    /// Whether it covers the region.
    #[serde(default = "yes")]
    pub region_covered: bool,
    /// Whether both sides have a ground for the BSN.
    #[serde(default = "yes")]
    pub bsn_ground: bool,
    /// Whether the recipient is a neutral realm.
    #[serde(default)]
    pub recipient_neutral: bool,
    /// Whether the recipient is the centre of the sender's region.
    #[serde(default = "yes")]
    pub recipient_is_centre: bool,
    /// Whether the sender made the person known without a number.
    #[serde(default)]
    pub unbound: bool,
    /// Whether the recipient has a sealing key.
    #[serde(default = "yes")]
    pub receiver_ready: bool,
    /// Whether an objection waits.
    #[serde(default)]
    pub objection_pending: bool,
    /// Whether processing is restricted.
    #[serde(default)]
    pub restricted: bool,
    /// Whether it follows a completed handover.
    #[serde(default = "yes")]
    pub follows_completed: bool,
    /// Whether the step's time has passed.
    #[serde(default)]
    pub expired: bool,
    /// Consent to assume.
    pub consent: Option<AssumedConsent>,
}

fn consent_state<'de, D: Deserializer<'de>>(source: D) -> Result<ConsentState, D::Error> {
    let code = String::deserialize(source)?;
    let known = ConsentState::ALL
        .iter()
        .copied()
        .find(|state| state.code() == code);
    known.ok_or_else(|| D::Error::custom("not a state of consent"))
}

const fn yes() -> bool {
    true
}

const fn refuse() -> Surplus {
    Surplus::Refuse
}

impl Question {
    /// A question in which every fact speaks for a yes, without consent.
    #[must_use]
    pub fn new(
        action: Action,
        (sender, recipient): (PeerKind, PeerKind),
        purpose: Purpose,
        basis: Basis,
    ) -> Self {
        Self {
            action,
            stage: None,
            sender,
            recipient,
            purpose,
            basis,
            labels: None,
            surplus: Surplus::Refuse,
            edge_valid: true,
            region_covered: true,
            bsn_ground: true,
            recipient_neutral: false,
            recipient_is_centre: true,
            unbound: false,
            receiver_ready: true,
            objection_pending: false,
            restricted: false,
            follows_completed: true,
            expired: false,
            consent: None,
        }
    }

    /// The stage that it is about.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage.unwrap_or(match self.action {
            Action::Offer => Stage::Offer,
            Action::Ask | Action::Prepare | Action::Release | Action::Fetch => Stage::Dossier,
            Action::Report | Action::FetchReport => Stage::Report,
        })
    }

    fn consent(&self, register: &Register) -> Option<ConsentFacts> {
        let assumed = self.consent.as_ref()?;
        let entry = register.entry(&self.purpose, self.sender, self.recipient);
        let all = || {
            entry
                .map(|entry| favourable(register, entry).categories)
                .unwrap_or_default()
        };
        Some(ConsentFacts {
            state: assumed.state,
            valid_until: NOW.plus_millis(if assumed.ended { 0 } else { HOUR_MILLIS }),
            categories: assumed.categories.clone().unwrap_or_else(all),
            recipient_matches: assumed.recipient_matches,
            purpose_matches: assumed.purpose_matches,
            waiver: assumed.waiver,
        })
    }

    fn labels(&self, register: &Register) -> BTreeSet<Label> {
        let entry = register.entry(&self.purpose, self.sender, self.recipient);
        let allowed = |label: &&Label| entry.is_some_and(|entry| entry.allows(self.stage(), label));
        self.labels.clone().unwrap_or_else(|| {
            register
                .labels()
                .map(|known| &known.label)
                .filter(allowed)
                .cloned()
                .collect()
        })
    }

    /// Puts the question, with made-up parties and times, and hands the request to `ask`.
    ///
    /// # Errors
    /// When a made-up name is not one; that is a mistake of this module.
    pub fn put<T>(
        &self,
        register: &Register,
        ask: impl FnOnce(&DecisionRequest<'_>) -> T,
    ) -> Result<T, NameError> {
        let sender: Party = SENDER.parse()?;
        let recipient: Party = RECIPIENT.parse()?;
        let (labels, consent) = (self.labels(register), self.consent(register));
        Ok(ask(&DecisionRequest {
            action: self.action,
            stage: self.stage(),
            sender: PeerFacts {
                party: &sender,
                kind: self.sender,
            },
            recipient: PeerFacts {
                party: &recipient,
                kind: self.recipient,
            },
            purpose: &self.purpose,
            basis: &self.basis,
            labels: &labels,
            surplus: self.surplus,
            edge_valid: self.edge_valid,
            region_covered: self.region_covered,
            bsn_ground: self.bsn_ground,
            recipient_neutral: self.recipient_neutral,
            recipient_is_centre: self.recipient_is_centre,
            unbound: self.unbound,
            receiver_ready: self.receiver_ready,
            objection_pending: self.objection_pending,
            restricted: self.restricted,
            follows_completed: self.follows_completed,
            now: NOW,
            expires_at: NOW.plus_millis(if self.expired { 0 } else { HOUR_MILLIS }),
            consent: consent.as_ref(),
        }))
    }
}

/// A question of an officer about nobody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OversightQuestion {
    /// What is wanted.
    pub action: OversightAction,
    /// The officer's right.
    pub right: OversightRight,
    /// Whether it is about the own organisation.
    pub own: bool,
}

/// The answer that a case must get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Permitted or not.
    pub decision: bool,
    /// The codes, the primary one first; empty when permitted.
    #[serde(default)]
    pub codes: Vec<String>,
    /// The policies that determine it, by id.
    pub policies: Vec<String>,
}

/// What a case asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    Exchange(Box<Question>),
    Oversight(OversightQuestion),
}

/// A question with the answer it must get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in one line.
    pub title: String,
    ask: Asked,
    expect: Expected,
}

impl Case {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// When it is not a list of cases.
    pub fn read(file: &str, content: &[u8]) -> Result<Vec<Self>, CaseError> {
        serde_json::from_slice(content).map_err(|error| CaseError::Unreadable {
            file: file.to_owned(),
            message: error.to_string(),
        })
    }

    /// Puts the question and compares the answer.
    ///
    /// # Errors
    /// When the answer is another than expected.
    pub fn check(&self, bundle: &PolicyBundle) -> Result<(), CaseError> {
        let name = |source| CaseError::Name {
            title: self.title.clone(),
            source,
        };
        let decision = match &self.ask {
            Asked::Exchange(question) => question
                .put(bundle.register(), |request| bundle.decide(request))
                .map_err(name)?,
            Asked::Oversight(question) => {
                let caller: Party = SENDER.parse().map_err(name)?;
                let OversightQuestion { action, right, own } = *question;
                bundle.decide_oversight(&OversightRequest {
                    action,
                    caller: &caller,
                    right,
                    own,
                })
            }
        };
        let found = expectation(&decision);
        if found == self.expect {
            return Ok(());
        }
        Err(CaseError::Unexpected {
            title: self.title.clone(),
            expected: format!("{:?}", self.expect),
            found: format!("{found:?}"),
        })
    }
}

fn expectation(decision: &Decision) -> Expected {
    Expected {
        decision: decision.permit().is_some(),
        codes: decision
            .codes
            .iter()
            .map(|code| code.code().to_owned())
            .collect(),
        policies: decision
            .determining
            .iter()
            .map(|one| one.policy.clone())
            .collect(),
    }
}
