//! Codes as people type them (`no-capacity`) and as the rules have them (`NO_CAPACITY`).
//!
//! Must never guess: a code that is not in the list is refused with the list.

use super::error::CliError;
use super::near::unknown;
use rules::handover::{CancelCode, DeclineCode, QuestionCode, ReturnCode};
use rules::notice::{AnswerCode, NoticeKind};
use wire::handover::v1::ObjectionDecision;

/// A closed list from which a person chooses.
pub(crate) trait Choice: Sized + Copy {
    /// What may be chosen.
    fn choices() -> Vec<Self>;
    /// Its code.
    fn name(self) -> &'static str;
}

macro_rules! choice {
    ($type:ty, $list:expr) => {
        impl Choice for $type {
            fn choices() -> Vec<Self> {
                $list
            }
            fn name(self) -> &'static str {
                self.code()
            }
        }
    };
}

choice!(DeclineCode, Self::ALL.to_vec());
choice!(ReturnCode, Self::ALL.to_vec());
choice!(QuestionCode, Self::ALL.to_vec());
choice!(AnswerCode, Self::ALL.to_vec());
choice!(
    CancelCode,
    Self::ALL
        .iter()
        .copied()
        .filter(|code| code.is_for_sender())
        .collect()
);
choice!(
    NoticeKind,
    Self::ALL
        .iter()
        .copied()
        .filter(|kind| kind.is_for_sender())
        .collect()
);

impl Choice for ObjectionDecision {
    fn choices() -> Vec<Self> {
        vec![Self::Uphold, Self::Reject, Self::LiftRestriction]
    }

    fn name(self) -> &'static str {
        self.as_str_name().trim_start_matches("OBJECTION_DECISION_")
    }
}

/// What was typed, as the rules have it.
///
/// # Errors
///
/// When it is not in the list; the error has the list.
pub(crate) fn read<C: Choice>(typed: &str) -> Result<C, CliError> {
    let choices = C::choices();
    choices
        .iter()
        .copied()
        .find(|choice| typed_form(*choice) == typed.to_ascii_lowercase().replace('_', "-"))
        .ok_or_else(|| {
            let list: Vec<_> = choices.into_iter().map(typed_form).collect();
            unknown("code of this step", typed, list.iter().map(String::as_str))
        })
}

fn typed_form<C: Choice>(choice: C) -> String {
    choice.name().to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::{
        AnswerCode, CancelCode, Choice, DeclineCode, NoticeKind, ObjectionDecision, QuestionCode,
        ReturnCode, read, typed_form,
    };
    use crate::cli::outcome::OutcomeCode;

    fn check<C: Choice>(count: usize) {
        let choices = C::choices();
        assert_eq!(choices.len(), count);
        for choice in choices {
            let back = read::<C>(&typed_form(choice)).map(Choice::name);
            assert_eq!(back.ok(), Some(choice.name()));
        }
        for wrong in ["", "unspecified", "superseded", "withdrawal"] {
            assert!(read::<C>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_choice_reads_back_and_no_other_is_read() {
        check::<DeclineCode>(3);
        check::<ReturnCode>(4);
        check::<CancelCode>(3);
        check::<QuestionCode>(3);
        check::<OutcomeCode>(10);
        check::<AnswerCode>(4);
        check::<NoticeKind>(3);
        check::<ObjectionDecision>(3);
    }
}
