//! The question put to the policies: typed facts, each read by the caller where it is true.
//!
//! Must never hold a pseudonym, a handle or a value of a field: policies judge labels and states.

use crate::clock::Timestamp;
use crate::consent::ConsentState;
use crate::id::{Basis, Category, Label, Party, PeerKind, Purpose};
use std::collections::BTreeSet;

/// Defines a closed list with the codes that policies and cases use.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $code:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
        pub enum $name {
            $( $(#[$variant_doc])* #[serde(rename = $code)] $variant, )*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The code in policies, cases and answers.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The one with this code, if there is one.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.code() == code)
            }
        }
    };
}

codes!(
    /// How far a handover has come, as far as data is concerned.
    Stage {
        /// The de-identified summary, before anybody accepted.
        Offer = "offer",
        /// The agreed fields with identifiers, after acceptance. May repeat the summary's labels.
        Dossier = "dossier",
        /// What the recipient tells the sender after completion: it goes the other way.
        Report = "report",
    }
);

codes!(
    /// What a party wants to do with a person's data.
    Action {
        /// Have the person asked for consent.
        Ask = "ask",
        /// Learn whether this person may be handed over, with which labels.
        Prepare = "prepare",
        /// Hand over the summary.
        Offer = "offer",
        /// Hand over the dossier.
        Release = "release",
        /// Read what was handed over.
        Fetch = "fetch",
        /// Tell the sender what became of it.
        Report = "report",
        /// Read what became of it.
        FetchReport = "fetchReport",
    }
);

codes!(
    /// What an officer wants to do.
    OversightAction {
        /// Search or read the log.
        SearchLog = "searchLog",
        /// Uphold or reject an objection.
        DecideObjection = "decideObjection",
        /// Find that a consent was not free or not informed.
        InvalidateConsent = "invalidateConsent",
    }
);

codes!(
    /// The officer's right of the desk that calls.
    OversightRight {
        /// None.
        Nobody = "none",
        /// Privacy officer (FG) of its own organisation.
        Officer = "officer",
        /// Privacy officer of the joint controllers.
        JointOfficer = "joint-officer",
    }
);

codes!(
    /// What happens to labels that may not travel.
    Surplus {
        /// They are left out and the rest may go: how the broker minimises.
        Drop = "drop",
        /// The whole is refused, so that the guard that catches them shows.
        Refuse = "refuse",
    }
);

/// A party with its kind, from the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFacts<'a> {
    /// Organisation and realm.
    pub party: &'a Party,
    /// Kind of the organisation.
    pub kind: PeerKind,
}

/// The person's current consent in this relation, from the locked row: what policies may see of a
/// [`crate::consent::ConsentRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentFacts {
    /// Where it stands.
    pub state: ConsentState,
    /// From this moment on it no longer permits, whatever its state says.
    pub valid_until: Timestamp,
    /// The categories consented to.
    pub categories: BTreeSet<Category>,
    /// Whether it names this sender and this recipient.
    pub recipient_matches: bool,
    /// Whether it names this purpose.
    pub purpose_matches: bool,
    /// Whether the written waiver of the sender's duty of secrecy was given with it.
    pub waiver: bool,
}

/// One question about one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionRequest<'a> {
    /// What is wanted. The sender asks, except for `fetch` and `report`, which the recipient asks.
    pub action: Action,
    /// Which data it is about. Prepare asks for the dossier, which includes the summary's labels.
    pub stage: Stage,
    /// Who hands over.
    pub sender: PeerFacts<'a>,
    /// To whom.
    pub recipient: PeerFacts<'a>,
    /// For which purpose.
    pub purpose: &'a Purpose,
    /// On which legal basis, as the caller names it. There is no default.
    pub basis: &'a Basis,
    /// Labels wanted.
    pub labels: &'a BTreeSet<Label>,
    /// What happens to labels that may not travel.
    pub surplus: Surplus,
    /// Whether the directory has a valid edge for sender, recipient and purpose now.
    pub edge_valid: bool,
    /// Whether that edge covers the region.
    pub region_covered: bool,
    /// Whether both sides of the edge carry a legal ground for the BSN.
    pub bsn_ground: bool,
    /// Whether the recipient is a neutral realm.
    pub recipient_neutral: bool,
    /// Whether the recipient is the centre of the sender's region.
    pub recipient_is_centre: bool,
    /// Whether the sender made the person known without a number.
    pub unbound: bool,
    /// Whether whom the data is for has a valid sealing key: the recipient, and of a report the sender.
    pub receiver_ready: bool,
    /// Whether the person's objection (AVG article 21) waits for a decision.
    pub objection_pending: bool,
    /// Whether processing is restricted (AVG article 18).
    pub restricted: bool,
    /// Whether it follows a completed handover of the same person in the other direction.
    pub follows_completed: bool,
    /// The present moment.
    pub now: Timestamp,
    /// When the step's time is over; for Prepare, when the prepared handover would expire.
    pub expires_at: Timestamp,
    /// The person's consent in this relation, if there is one.
    pub consent: Option<&'a ConsentFacts>,
}

/// One question of an officer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OversightRequest<'a> {
    /// What is wanted.
    pub action: OversightAction,
    /// Who asks.
    pub caller: &'a Party,
    /// The officer's right of the calling desk.
    pub right: OversightRight,
    /// Searching: whether it is limited to lines in which the caller's organisation is sender,
    /// recipient or caller. Deciding: whether the caller's organisation is the sender. Invalidating: whether it
    /// is the sender or the recipient.
    pub own: bool,
}
