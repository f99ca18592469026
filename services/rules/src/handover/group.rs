//! A group: several recipients asked for one candidate, of which one gets the dossier.
//!
//! Must never leave two handovers of a group released at the same time.

use super::State;
use crate::reason::{Outcome, Reason, Refusal};

/// Whether a handover may be released, given the states of the others in its group.
///
/// Refuses with `STATE_FORBIDS_EVENT` while another one is released or completed. One that was
/// returned has given its place back.
#[must_use]
pub fn check_release(others: &[State]) -> Outcome<()> {
    let taken = others
        .iter()
        .any(|state| matches!(state, State::Released | State::Completed));
    if taken {
        let text = "has another handover that was released: one of a group is. It can be released when that one \
                    was returned";
        Outcome::Refused(Refusal::about(Reason::StateForbidsEvent, "group", text))
    } else {
        Outcome::Permitted(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_group_is_released() {
        for state in State::ALL.iter().copied() {
            let free = matches!(
                check_release(&[State::Declined, state]),
                Outcome::Permitted(())
            );
            assert_eq!(
                free,
                !matches!(state, State::Released | State::Completed),
                "{state}"
            );
        }
        assert!(matches!(check_release(&[]), Outcome::Permitted(())));
    }
}
