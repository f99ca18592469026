//! The consent record, in the names of ISO/IEC TS 27560 where they exist.
//!
//! Must never hold who the person is: a record is found by its id or by the locked row that names it.

use super::ConsentState;
use crate::clock::Timestamp;
use crate::id::{Category, ConsentId, DeskName, Oin, Party, Purpose};
use crate::policy::ConsentFacts;
use std::collections::BTreeSet;

/// A closed list of codes, each with its text.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$item])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code, as in statements.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The one with this code, if there is one.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.code() == code)
            }
        }
    };
}
pub(super) use codes;

codes!(
    /// Language in which the person saw the notice (BCP 47).
    Language {
        /// Dutch.
        Nl = "nl",
        /// English.
        En = "en",
    }
);

codes!(
    /// How the choice was made (27560: `collection_method`).
    CollectionMethod {
        /// At the portal, logged in.
        Portal = "portal",
        /// At a desk, helped by a worker.
        Desk = "desk",
        /// By telephone, confirmed in writing.
        Phone = "phone",
    }
);

codes!(
    /// How sure it is who made the choice (eIDAS article 8, and below it the sandbox's test login).
    AuthenticationLevel {
        /// A test identity; worth nothing outside a sandbox.
        Test = "test",
        /// Low.
        Low = "low",
        /// Substantial.
        Substantial = "substantial",
        /// High.
        High = "high",
    }
);

/// The notice (privacyverklaring) that the person saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSeen {
    /// Its versioned address.
    pub uri: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// In which language.
    pub language: Language,
}

/// The written declaration that secrecy is waived (Wet SUWI article 74(2)(b) and its like).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecrecyWaiver {
    /// The ground, as in the register.
    pub ground: String,
    /// SHA-256 of the declaration's text.
    pub text_sha256: [u8; 32],
    /// When it was given.
    pub given_at: Timestamp,
}

/// One record: one person, one sender, one recipient, one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRecord {
    /// Its id; also what stands where 27560 names the person, because a handle would be published.
    pub id: ConsentId,
    /// The notice.
    pub notice: NoticeSeen,
    /// Who may hand over.
    pub sender: Party,
    /// To whom.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// The waiver, where the register demands one.
    pub waiver: Option<SecrecyWaiver>,
    /// Categories of data; none when refused.
    pub categories: BTreeSet<Category>,
    /// Those of them that are special categories or national numbers.
    pub special: BTreeSet<Category>,
    /// How the choice was made.
    pub method: CollectionMethod,
    /// How sure it is who made it.
    pub authentication_level: AuthenticationLevel,
    /// The desk that helped.
    pub assisted_by: Option<(Oin, DeskName)>,
    /// Whether time to think was offered.
    pub reflection_offered: bool,
    /// From this moment on.
    pub valid_from: Timestamp,
    /// Before this moment.
    pub valid_until: Timestamp,
    /// Its state as stored.
    pub state: ConsentState,
    /// Its version, one more at every change, from 1.
    pub version: u64,
    /// The record that it replaces.
    pub supersedes: Option<ConsentId>,
}

impl ConsentRecord {
    /// Its state at a moment: a consent past its end is expired, whoever may have noticed.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> ConsentState {
        if self.state == ConsentState::Given && now >= self.valid_until {
            ConsentState::Expired
        } else {
            self.state
        }
    }

    /// Whether it permits anything at this moment.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.state_at(now) == ConsentState::Given && self.valid_from <= now
    }

    /// The basis for special categories, "eu-gdpr:A9-2-a"; empty when there are none.
    #[must_use]
    pub fn special_basis(&self) -> &'static str {
        if self.special.is_empty() {
            ""
        } else {
            super::statement::SPECIAL_BASIS
        }
    }

    /// What the policies look at. The record was found by its relation, so sender, recipient and purpose
    /// are its own.
    #[must_use]
    pub fn facts(&self) -> ConsentFacts {
        ConsentFacts {
            state: self.state,
            valid_until: self.valid_until,
            categories: self.categories.clone(),
            recipient_matches: true,
            purpose_matches: true,
            waiver: self.waiver.is_some(),
        }
    }
}
