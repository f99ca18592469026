//! The closed lists of codes that go with a step, in place of any free text about a person.
//!
//! Must never get a code that says something about the person's health, conduct or sanctions.

use std::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident, $code:literal, $number:literal; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $name {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The code, as in rows, logs and documentation.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $( Self::$variant => $number, )* }
            }

            /// The code with this number, if there is one.
            #[must_use]
            pub fn from_number(number: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.number() == number)
            }

            /// The value with this code, if there is one.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.code() == code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.code())
            }
        }
    };
}

codes! {
    /// What of an opened dossier does not fit.
    MismatchKind {
        /// Fields do not equal the manifest, or do not open.
        Fields, "FIELDS", 1;
        /// The number is of another person than the one handed over.
        Person, "PERSON", 2;
    }
}

codes! {
    /// Why a recipient does not take a handover.
    DeclineCode {
        /// No capacity.
        NoCapacity, "NO_CAPACITY", 1;
        /// Not competent; may name another organisation.
        NotCompetent, "NOT_COMPETENT", 2;
        /// Cannot provide what is asked.
        CannotProvide, "CANNOT_PROVIDE", 3;
    }
}

codes! {
    /// Why a recipient gives a handover back.
    ReturnCode {
        /// The candidate could not be reached.
        NoContact, "NO_CONTACT", 1;
        /// Not competent, for example after the candidate moved.
        NotCompetent, "NOT_COMPETENT", 2;
        /// The candidate is already with the recipient.
        Duplicate, "DUPLICATE", 3;
        /// Cannot provide what is asked.
        CannotProvide, "CANNOT_PROVIDE", 4;
    }
}

codes! {
    /// Why a handover was called off.
    CancelCode {
        /// The candidate no longer wants it.
        CandidateDeclined, "CANDIDATE_DECLINED", 1;
        /// It is no longer needed.
        NoLongerNeeded, "NO_LONGER_NEEDED", 2;
        /// It was made by mistake.
        Mistake, "MISTAKE", 3;
        /// Another handover of the group was released.
        Superseded, "SUPERSEDED", 4;
        /// The proposed change was rejected.
        ChangeRejected, "CHANGE_REJECTED", 5;
        /// An objection was upheld.
        ObjectionUpheld, "OBJECTION_UPHELD", 6;
        /// A controller found that the consent was not free or not informed.
        ConsentInvalidated, "CONSENT_INVALIDATED", 7;
    }
}

impl CancelCode {
    /// Whether a sender may give it; the others are set by the broker.
    #[must_use]
    pub const fn is_for_sender(self) -> bool {
        match self {
            Self::CandidateDeclined | Self::NoLongerNeeded | Self::Mistake => true,
            Self::Superseded
            | Self::ChangeRejected
            | Self::ObjectionUpheld
            | Self::ConsentInvalidated => false,
        }
    }
}

codes! {
    /// What a recipient asks before taking a handover.
    QuestionCode {
        /// A later start.
        LaterStart, "LATER_START", 1;
        /// More labels in the summary.
        MoreSummary, "MORE_SUMMARY", 2;
        /// A three-way talk first.
        JointTalk, "JOINT_TALK", 3;
    }
}

codes! {
    /// Which deadline passed; set by the broker.
    ExpiryCode {
        /// Permitted, but nothing was offered in time.
        NotOffered, "NOT_OFFERED", 1;
        /// The recipient did not even take notice.
        Unreachable, "UNREACHABLE", 2;
        /// The recipient took notice and did not decide in time.
        NotDecided, "NOT_DECIDED", 3;
        /// Accepted, but not released in time.
        NotReleased, "NOT_RELEASED", 4;
        /// Released, but no contact was reported in time.
        NotCompleted, "NOT_COMPLETED", 5;
    }
}

impl ExpiryCode {
    /// Which deadline it was, given the state that it ended and whether the recipient had taken notice.
    #[must_use]
    pub const fn of(state: super::State, received: bool) -> Self {
        match state {
            super::State::Accepted => Self::NotReleased,
            super::State::Released => Self::NotCompleted,
            super::State::Offered | super::State::OnHold if received => Self::NotDecided,
            super::State::Offered | super::State::OnHold => Self::Unreachable,
            super::State::Prepared
            | super::State::Completed
            | super::State::Declined
            | super::State::Returned
            | super::State::Cancelled
            | super::State::Withdrawn
            | super::State::Expired => Self::NotOffered,
        }
    }
}
