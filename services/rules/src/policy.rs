//! The law as checks: a signed bundle of Cedar policies and one register, and the answers it gives.
//!
//! A decision rests on typed facts that the caller read in its own transaction. Must never decide on
//! anything remembered from an earlier call, and must never answer yes when a policy failed.

mod case;
mod evaluate;
mod explain;
mod lineage;
mod load;
mod matrix;
mod request;

#[cfg(test)]
mod goals;
#[cfg(test)]
mod tests;

pub use case::{AssumedConsent, Case, CaseError, Expected, OversightQuestion, Question};
pub use explain::{Explanation, explain};
pub use lineage::Lineage;
pub use load::{BundleError, signed_text};
pub use matrix::matrix;
pub use request::{
    Action, ConsentFacts, DecisionRequest, OversightAction, OversightRequest, OversightRight,
    PeerFacts, Stage, Surplus,
};

pub use crate::consent::ConsentState;

use crate::id::{Basis, Category, Label};
use crate::reason::{Outcome, Reason, Refusal};
use crate::register::Register;
use std::collections::BTreeSet;
use std::fmt;

/// Reasons that a policy may give, the most telling one first. Those that depend on no person come
/// before those that do, so that a caller learns what is wrong with its question, never something
/// about a person.
pub const PRECEDENCE: &[Reason] = &[
    Reason::PolicyError,
    Reason::PurposeUnknown,
    Reason::BasisMissing,
    Reason::BasisMismatch,
    Reason::LabelUnknown,
    Reason::RightMissing,
    Reason::NoAgreement,
    Reason::OutsideRegion,
    Reason::SubjectUnbound,
    Reason::BsnNotAllowed,
    Reason::SpecialCategoryNoBasis,
    Reason::LabelsNoneAllowed,
    Reason::NoApplicablePermit,
    Reason::NumberMissing,
    Reason::HandoverExpired,
    Reason::ReceiverNotReady,
    Reason::ProcessingRestricted,
    Reason::ObjectionPending,
    Reason::ConsentMissing,
    Reason::ConsentNotActive,
    Reason::SecrecyNotWaived,
    Reason::ConsentScopeExceeded,
];

impl Reason {
    /// Whether this reason says something about a person's choices. At Prepare such a reason becomes
    /// the uniform [`Reason::NotAvailable`] (decision 0007). Objection and restriction are not among
    /// them: under statute nothing hides. [`Decision::hides`] knows the basis too.
    #[must_use]
    pub const fn depends_on_person(self) -> bool {
        matches!(
            self,
            Self::ConsentMissing
                | Self::ConsentNotActive
                | Self::ConsentScopeExceeded
                | Self::SecrecyNotWaived
        )
    }
}

/// Whether a policy allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It allows.
    Permit,
    /// It forbids, and wins.
    Forbid,
}

impl Effect {
    /// The word in policies and answers.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

/// A policy that determined a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Determining {
    /// Its `@id`.
    pub policy: String,
    /// What it does.
    pub effect: Effect,
    /// Its `@deny` code, when it forbids.
    pub code: Option<Reason>,
    /// Its `@article`.
    pub article: String,
}

/// What was allowed, by which policies and under which law. Made by a decision and by nothing else;
/// protected writes demand one.
#[derive(PartialEq, Eq)]
pub struct Permit {
    action: &'static str,
    policies: Vec<String>,
    basis: Option<Basis>,
    article: String,
    processing_activity: String,
    categories: BTreeSet<Category>,
    labels: BTreeSet<Label>,
    policy_set: [u8; 32],
}

impl fmt::Debug for Permit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Permit({} by {})",
            self.action,
            self.policies.join(", ")
        )
    }
}

impl Permit {
    /// The action that is allowed.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.action
    }

    /// Ids of the policies that allow it.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// The legal basis, for an exchange; oversight has none of its own.
    #[must_use]
    pub const fn basis(&self) -> Option<&Basis> {
        self.basis.as_ref()
    }

    /// The provision of law, from the register (for oversight: from the policy).
    #[must_use]
    pub fn article(&self) -> &str {
        &self.article
    }

    /// Versioned address of the register entry (`dpl.core.processing_activity_id`).
    #[must_use]
    pub fn processing_activity(&self) -> &str {
        &self.processing_activity
    }

    /// Categories that may travel: asked for, in the register and, under consent, consented to.
    #[must_use]
    pub const fn categories(&self) -> &BTreeSet<Category> {
        &self.categories
    }

    /// Labels that may travel, likewise.
    #[must_use]
    pub const fn labels(&self) -> &BTreeSet<Label> {
        &self.labels
    }

    /// SHA-256 of the policy set that decided.
    #[must_use]
    pub const fn policy_set(&self) -> &[u8; 32] {
        &self.policy_set
    }
}

/// An answer with its reasons.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allowed or not. The refusal carries the first of `codes`.
    pub outcome: Outcome<Permit>,
    /// All codes, in the order of [`PRECEDENCE`]; empty when allowed.
    pub codes: Vec<Reason>,
    /// The policies that determined it, by id.
    pub determining: Vec<Determining>,
    /// Labels asked for and left out, where the request allows that.
    pub dropped: BTreeSet<Label>,
    /// How many policies failed to evaluate. More than none is always a refusal.
    pub errors: usize,
    /// SHA-256 of the policy set that decided.
    pub policy_set: [u8; 32],
    /// Whether the exchange rests on consent.
    consent_based: bool,
}

impl Decision {
    /// The permit, if there is one.
    #[must_use]
    pub const fn permit(&self) -> Option<&Permit> {
        match &self.outcome {
            Outcome::Permitted(permit) => Some(permit),
            Outcome::Refused(_) => None,
        }
    }

    /// The primary reason, when refused.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.codes.first().copied()
    }

    /// The refusal that depends on no person, if there is one. Asked before the holders are, with no
    /// person's facts: what it refuses may be told to the caller as it is.
    #[must_use]
    pub fn impersonal_refusal(&self) -> Option<Refusal> {
        let reason = self
            .codes
            .iter()
            .copied()
            .find(|reason| !self.personal(*reason))?;
        Some(Refusal::new(reason))
    }

    /// Whether a sender must get the uniform answer at Prepare: the primary reason says something
    /// about a person, and the exchange rests on that person's consent.
    #[must_use]
    pub fn hides(&self) -> bool {
        self.reason().is_some_and(|reason| self.personal(reason))
    }

    /// Under consent, objection and restriction would tell that the person is known.
    fn personal(&self, reason: Reason) -> bool {
        reason.depends_on_person()
            || (self.consent_based
                && matches!(
                    reason,
                    Reason::ObjectionPending | Reason::ProcessingRestricted
                ))
    }
}

/// A policy set: schema, guards, purposes, goals, register and version, checked as a whole.
pub struct PolicyBundle {
    register: Register,
    engine: evaluate::Engine,
    goals: Vec<load::Goal>,
    lineage: Lineage,
    signed_text: Vec<u8>,
    hash: [u8; 32],
}

impl fmt::Debug for PolicyBundle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PolicyBundle({})", crate::hex::encode(&self.hash))
    }
}

impl PolicyBundle {
    /// Reads and checks a policy set. `files` are path (relative to the policies folder, forward
    /// slashes) and content; `digest` is SHA-256, which this crate does not have.
    ///
    /// # Errors
    /// All mistakes that could be found, each with its file.
    pub fn load(
        files: &[(String, Vec<u8>)],
        digest: &dyn Fn(&[u8]) -> [u8; 32],
    ) -> Result<Self, Vec<BundleError>> {
        load::load(files, digest)
    }

    /// Whether a path within the policies folder is part of the signed set. Cases, notices and the
    /// golden matrix are not.
    #[must_use]
    pub fn is_signed_path(path: &str) -> bool {
        load::Part::of(path).is_some_and(load::Part::is_signed)
    }

    /// The purpose register.
    #[must_use]
    pub const fn register(&self) -> &Register {
        &self.register
    }

    /// What the controllers sign: `path`, NUL, SHA-256 in lowercase hexadecimal and a line end for each
    /// file, sorted by path (docs/policy.md).
    #[must_use]
    pub fn signed_text(&self) -> &[u8] {
        &self.signed_text
    }

    /// SHA-256 of [`Self::signed_text`]: the name of this policy set.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Names of the goals, and how many policies each has.
    pub fn goals(&self) -> impl Iterator<Item = (&str, usize)> {
        self.goals
            .iter()
            .map(|goal| (goal.name.as_str(), goal.policies.policies().count()))
    }

    /// Decides one exchange on the facts in the request.
    #[must_use]
    pub fn decide(&self, request: &DecisionRequest<'_>) -> Decision {
        evaluate::decide(self, request)
    }

    /// Decides whether an officer may search the log or decide an objection.
    #[must_use]
    pub fn decide_oversight(&self, request: &OversightRequest<'_>) -> Decision {
        evaluate::decide_oversight(self, request)
    }
}
