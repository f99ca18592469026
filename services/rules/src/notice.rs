//! Notices (kennisgevingen): what whoever has read something must be told and must answer.
//!
//! A machine of its own, because it goes on after a handover has ended. Must never let "kept" stand
//! without a legal ground.

use crate::calendar::Calendar;
use crate::clock::Timestamp;
use crate::id::Basis;
use crate::reason::{Outcome, Reason, Refusal};

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident, $code:literal, $number:literal; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $name {
            /// All, in the order of their numbers.
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

            /// The one with this number, if there is one.
            #[must_use]
            pub fn from_number(number: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.number() == number)
            }

            /// The one with this code, if there is one.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.code() == code)
            }
        }
    };
}

codes! {
    /// What a notice is about.
    NoticeKind {
        /// The person withdrew consent.
        Withdrawal, "WITHDRAWAL", 1;
        /// The handover ended before completion.
        Ended, "ENDED", 2;
        /// The data is to be erased (AVG article 17).
        Erasure, "ERASURE", 3;
        /// The data is to be corrected (AVG article 16).
        Rectification, "RECTIFICATION", 4;
        /// Processing is restricted (AVG article 18).
        Restriction, "RESTRICTION", 5;
        /// The person asks for access (AVG article 15).
        Access, "ACCESS", 6;
    }
}

codes! {
    /// Where a notice stands.
    NoticeState {
        /// In the recipient's inbox.
        Sent, "SENT", 1;
        /// Received.
        Received, "RECEIVED", 2;
        /// Answered, for good.
        Answered, "ANSWERED", 3;
        /// Not answered in time; may still be.
        Overdue, "OVERDUE", 4;
    }
}

codes! {
    /// What the recipient did.
    AnswerCode {
        /// Erased.
        Erased, "ERASED", 1;
        /// Kept, on a legal ground.
        Retained, "RETAINED", 2;
        /// Done as asked.
        Done, "DONE", 3;
        /// Held nothing.
        NotHeld, "NOT_HELD", 4;
    }
}

impl NoticeKind {
    /// Which answers fit: to a call to erase nobody says "done", to a correction nobody "erased".
    #[must_use]
    pub const fn answers(self) -> &'static [AnswerCode] {
        match self {
            Self::Withdrawal | Self::Ended | Self::Erasure => &[
                AnswerCode::Erased,
                AnswerCode::Retained,
                AnswerCode::NotHeld,
            ],
            Self::Rectification | Self::Restriction | Self::Access => {
                &[AnswerCode::Done, AnswerCode::NotHeld]
            }
        }
    }

    /// Whether a sender may send it by itself; the others follow from what happens to a handover.
    #[must_use]
    pub const fn is_for_sender(self) -> bool {
        match self {
            Self::Erasure | Self::Rectification | Self::Access => true,
            Self::Withdrawal | Self::Ended | Self::Restriction => false,
        }
    }
}

/// What happens to a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    /// The recipient has received it.
    Ack,
    /// The recipient answers it.
    Answer,
    /// Its term has passed.
    Expire,
}

/// The state after an event.
///
/// Refuses with `NOTICE_ANSWERED` when there is an answer already. An answer that comes too late is
/// still an answer, and receipt does not end being overdue.
#[must_use]
pub fn apply(state: NoticeState, event: NoticeEvent) -> Outcome<NoticeState> {
    match (state, event) {
        (NoticeState::Answered, _) => Outcome::Refused(Refusal::new(Reason::NoticeAnswered)),
        (_, NoticeEvent::Answer) => Outcome::Permitted(NoticeState::Answered),
        (NoticeState::Overdue, NoticeEvent::Ack) | (_, NoticeEvent::Expire) => {
            Outcome::Permitted(NoticeState::Overdue)
        }
        (NoticeState::Sent | NoticeState::Received, NoticeEvent::Ack) => {
            Outcome::Permitted(NoticeState::Received)
        }
    }
}

/// An answer that fits its notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    code: AnswerCode,
    ground: Option<Basis>,
}

impl Answer {
    /// An answer to a notice of this kind, with the ground as it was written (empty for none).
    ///
    /// Refuses with `CODE_UNKNOWN` when the answer does not fit the kind, `NOTICE_GROUND_MISSING` when
    /// data is kept without a ground, and `INVALID_REQUEST` for a ground elsewhere.
    #[must_use]
    pub fn new(kind: NoticeKind, code: AnswerCode, ground: &str) -> Outcome<Self> {
        if !kind.answers().contains(&code) {
            return Outcome::Refused(Refusal::about(
                Reason::CodeUnknown,
                "answer",
                "this answer does not fit this kind of notice",
            ));
        }
        if code != AnswerCode::Retained {
            return if ground.is_empty() {
                Outcome::Permitted(Self { code, ground: None })
            } else {
                Outcome::Refused(Refusal::about(
                    Reason::InvalidRequest,
                    "ground",
                    "only RETAINED has a ground",
                ))
            };
        }
        match ground.parse() {
            Ok(ground) => Outcome::Permitted(Self {
                code,
                ground: Some(ground),
            }),
            Err(_) => Outcome::Refused(Refusal::about(
                Reason::NoticeGroundMissing,
                "ground",
                "expected the code of a legal ground, for example ARCHIEFWET",
            )),
        }
    }

    /// What was done.
    #[must_use]
    pub const fn code(&self) -> AnswerCode {
        self.code
    }

    /// With `RETAINED`: the legal ground.
    #[must_use]
    pub const fn ground(&self) -> Option<&Basis> {
        self.ground.as_ref()
    }
}

/// How long a recipient has for an answer, in working days. The law's "without undue delay" (AVG
/// articles 12(3) and 19), made a number well inside its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeTerms {
    /// For access.
    pub access_working_days: u32,
    /// For all other kinds.
    pub working_days: u32,
}

impl Default for NoticeTerms {
    fn default() -> Self {
        Self {
            access_working_days: 10,
            working_days: 5,
        }
    }
}

/// The last moment at which an answer is in time.
#[must_use]
pub fn due(
    kind: NoticeKind,
    sent_at: Timestamp,
    terms: &NoticeTerms,
    calendar: &Calendar,
) -> Timestamp {
    let days = match kind {
        NoticeKind::Access => terms.access_working_days,
        NoticeKind::Withdrawal
        | NoticeKind::Ended
        | NoticeKind::Erasure
        | NoticeKind::Rectification
        | NoticeKind::Restriction => terms.working_days,
    };
    calendar.add_working_days(sent_at, days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: NoticeKind, code: AnswerCode, ground: &str) -> Option<Reason> {
        match Answer::new(kind, code, ground) {
            Outcome::Permitted(answer) => {
                assert_eq!(answer.code(), code);
                assert_eq!(answer.ground().is_some(), code == AnswerCode::Retained);
                None
            }
            Outcome::Refused(refusal) => Some(refusal.reason),
        }
    }

    #[test]
    fn answers_fit_their_kind_and_keeping_needs_a_ground() {
        use {AnswerCode as A, NoticeKind as K};
        for kind in K::ALL.iter().copied() {
            let erases = matches!(kind, K::Withdrawal | K::Ended | K::Erasure);
            let unfit = |fits: bool| (!fits).then_some(Reason::CodeUnknown);
            assert_eq!(check(kind, A::Erased, ""), unfit(erases), "{kind:?}");
            assert_eq!(
                check(kind, A::Retained, "ARCHIEFWET"),
                unfit(erases),
                "{kind:?}"
            );
            assert_eq!(check(kind, A::Done, ""), unfit(!erases), "{kind:?}");
            assert_eq!(check(kind, A::NotHeld, ""), None, "{kind:?}");
        }
        for ground in ["", "omdat het moet", "archiefwet"] {
            assert_eq!(
                check(K::Erasure, A::Retained, ground),
                Some(Reason::NoticeGroundMissing)
            );
        }
        assert_eq!(
            check(K::Erasure, A::Erased, "ARCHIEFWET"),
            Some(Reason::InvalidRequest)
        );
    }

    #[test]
    fn an_answer_is_final_and_never_too_late() {
        use {NoticeEvent as E, NoticeState as S};
        for (state, event, expected) in [
            (S::Sent, E::Ack, Some(S::Received)),
            (S::Received, E::Ack, Some(S::Received)),
            (S::Overdue, E::Ack, Some(S::Overdue)),
            (S::Answered, E::Ack, None),
            (S::Sent, E::Answer, Some(S::Answered)),
            (S::Received, E::Answer, Some(S::Answered)),
            (S::Overdue, E::Answer, Some(S::Answered)),
            (S::Answered, E::Answer, None),
            (S::Sent, E::Expire, Some(S::Overdue)),
            (S::Received, E::Expire, Some(S::Overdue)),
            (S::Overdue, E::Expire, Some(S::Overdue)),
            (S::Answered, E::Expire, None),
        ] {
            let answer = match apply(state, event) {
                Outcome::Permitted(next) => Some(next),
                Outcome::Refused(refusal) => {
                    assert_eq!(refusal.reason, Reason::NoticeAnswered);
                    None
                }
            };
            assert_eq!(answer, expected, "{state:?} {event:?}");
        }
    }
}
