//! What became of somebody (uitstroom), as both ends of a report name it: values of a sealed field.
//!
//! Must never be used by a server: the gateway knows that there was a report, and not what it says.

use super::codes::Choice;

/// One of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutcomeCode(&'static str);

/// All of them, in the field's own words.
const CODES: [&str; 10] = [
    "VAST_CONTRACT",
    "TIJDELIJK",
    "ZZP",
    "DUURZAME_BAAN",
    "VOLGT_OPLEIDING",
    "VERVOLGOPLEIDING",
    "NIET_AFGEROND",
    "GEEN_CONTACT",
    "BUITEN_REGIO",
    "ONBEKEND",
];

impl Choice for OutcomeCode {
    fn choices() -> Vec<Self> {
        CODES.map(Self).into()
    }

    fn name(self) -> &'static str {
        self.0
    }
}
