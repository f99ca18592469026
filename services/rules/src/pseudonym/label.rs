//! Labels of domains and contexts: their types and their one text form (docs/pseudonyms.md).
//!
//! Factors are derived from the text, so two texts for one label would be two pseudonyms for one
//! person. Must never read a text that it would not write.

use crate::id::{Party, Purpose};
use std::fmt;
use std::str::FromStr;

/// The one origin that there is: persons' hashed numbers, never stored and never a target.
const ORIGIN: &str = "origin/bsn/1";

/// A text that is no label. Says which kind was being read, never the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a label of a {kind}: expected {expected}")]
pub struct LabelError {
    /// What was being read.
    pub kind: &'static str,
    /// The form of a right one.
    pub expected: &'static str,
}

const DOMAIN_ERROR: LabelError = LabelError {
    kind: "domain",
    expected: "origin/bsn/1, partner/<OIN>/<realm>/<epoch>, rel/<OIN>/<realm>/<OIN>/<realm>/<purpose>/<epoch> or portal/<epoch>",
};

const TARGET_ERROR: LabelError = LabelError {
    kind: "target domain",
    expected: "partner/<OIN>/<realm>/<epoch>, rel/<OIN>/<realm>/<OIN>/<realm>/<purpose>/<epoch> or portal/<epoch>",
};

const CONTEXT_ERROR: LabelError = LabelError {
    kind: "context",
    expected: "ctx/<OIN>/<realm>/<n>",
};

/// Who hands over to whom, for what: the unit of consent, edges and handles. Ordered, so the way
/// back is another relation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    /// The sender.
    pub from: Party,
    /// The recipient.
    pub to: Party,
    /// The purpose.
    pub purpose: Purpose,
}

/// A space in which a person has one pseudonym. Epochs count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// Hashed numbers: only ever a source.
    Origin,
    /// A partner's own pseudonyms.
    Partner {
        /// Whose.
        party: Party,
        /// The partner's epoch.
        epoch: u32,
    },
    /// The broker's handles of one relation.
    Relation {
        /// Which.
        relation: Relation,
        /// The epoch of all relations.
        epoch: u32,
    },
    /// The portal's own pseudonyms.
    Portal {
        /// The portal's epoch.
        epoch: u32,
    },
}

/// Where an order may convert to. There is no origin here: what cannot be written cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetDomain {
    /// A partner's own pseudonyms.
    Partner {
        /// Whose.
        party: Party,
        /// The partner's epoch.
        epoch: u32,
    },
    /// The broker's handles of one relation.
    Relation {
        /// Which.
        relation: Relation,
        /// The epoch of all relations.
        epoch: u32,
    },
    /// The portal's own pseudonyms.
    Portal {
        /// The portal's epoch.
        epoch: u32,
    },
}

/// A key under which its owner encrypts and reads; changes by the quarter. Numbers count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Context {
    /// The owner.
    pub party: Party,
    /// Which of the owner's.
    pub number: u32,
}

impl fmt::Display for Relation {
    /// `<OIN from>/<realm from>/<OIN to>/<realm to>/<purpose>`: the label without kind and epoch.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}/{}", self.from, self.to, self.purpose)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => out.write_str(ORIGIN),
            Self::Partner { party, epoch } => write!(out, "partner/{party}/{epoch}"),
            Self::Relation { relation, epoch } => write!(out, "rel/{relation}/{epoch}"),
            Self::Portal { epoch } => write!(out, "portal/{epoch}"),
        }
    }
}

impl FromStr for Domain {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text == ORIGIN {
            return Ok(Self::Origin);
        }
        match text.parse::<TargetDomain>() {
            Ok(target) => Ok(target.into()),
            Err(_) => Err(DOMAIN_ERROR),
        }
    }
}

impl fmt::Display for TargetDomain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Domain::from(self.clone()).fmt(out)
    }
}

impl FromStr for TargetDomain {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let parts: Vec<&str> = text.split('/').collect();
        let target = match parts.as_slice() {
            ["partner", oin, realm, epoch] => party(oin, realm)
                .zip(counting_number(epoch))
                .map(|(party, epoch)| Self::Partner { party, epoch }),
            [
                "rel",
                from_oin,
                from_realm,
                to_oin,
                to_realm,
                purpose,
                epoch,
            ] => relation([from_oin, from_realm, to_oin, to_realm], purpose)
                .zip(counting_number(epoch))
                .map(|(relation, epoch)| Self::Relation { relation, epoch }),
            ["portal", epoch] => counting_number(epoch).map(|epoch| Self::Portal { epoch }),
            _ => None,
        };
        target.ok_or(TARGET_ERROR)
    }
}

impl From<TargetDomain> for Domain {
    fn from(target: TargetDomain) -> Self {
        match target {
            TargetDomain::Partner { party, epoch } => Self::Partner { party, epoch },
            TargetDomain::Relation { relation, epoch } => Self::Relation { relation, epoch },
            TargetDomain::Portal { epoch } => Self::Portal { epoch },
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ctx/{}/{}", self.party, self.number)
    }
}

impl FromStr for Context {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let parts: Vec<&str> = text.split('/').collect();
        let context = match parts.as_slice() {
            ["ctx", oin, realm, number] => party(oin, realm)
                .zip(counting_number(number))
                .map(|(party, number)| Self { party, number }),
            _ => None,
        };
        context.ok_or(CONTEXT_ERROR)
    }
}

fn party(oin: &str, realm: &str) -> Option<Party> {
    Some(Party {
        oin: oin.parse().ok()?,
        realm: realm.parse().ok()?,
    })
}

fn relation(ends: [&str; 4], purpose: &str) -> Option<Relation> {
    let [from_oin, from_realm, to_oin, to_realm] = ends;
    Some(Relation {
        from: party(from_oin, from_realm)?,
        to: party(to_oin, to_realm)?,
        purpose: purpose.parse().ok()?,
    })
}

/// A number from 1 without sign or leading zero: the only text that printing it gives back.
fn counting_number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UWV: &str = "00000099000000001000/main";
    const GEMEENTE: &str = "00000099000000002000/neutraal";

    fn check(text: &str, is_domain: bool, is_target: bool, is_context: bool) {
        let domain = text.parse::<Domain>();
        let target = text.parse::<TargetDomain>();
        let context = text.parse::<Context>();
        assert_eq!(domain.is_ok(), is_domain, "domain {text}");
        assert_eq!(target.is_ok(), is_target, "target {text}");
        assert_eq!(context.is_ok(), is_context, "context {text}");
        for written in [
            domain.map(|label| label.to_string()).ok(),
            target.map(|label| label.to_string()).ok(),
            context.map(|label| label.to_string()).ok(),
        ]
        .into_iter()
        .flatten()
        {
            assert_eq!(written, text);
        }
    }

    #[test]
    fn right_labels_read_back_as_written() {
        check("origin/bsn/1", true, false, false);
        check(&format!("partner/{UWV}/1"), true, true, false);
        check(&format!("partner/{UWV}/4294967295"), true, true, false);
        check(
            &format!("rel/{UWV}/{GEMEENTE}/HANDOVER/12"),
            true,
            true,
            false,
        );
        check("portal/3", true, true, false);
        check(&format!("ctx/{UWV}/7"), false, false, true);
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "origin",
            "origin/bsn",
            "origin/bsn/2",
            "origin/bsn/01",
            "origin/bsn/1/",
            "Origin/bsn/1",
            "portal",
            "portal/",
            "portal/0",
            "portal/01",
            "portal/+1",
            "portal/-1",
            "portal/1/1",
            "portal/ 1",
            "portal/1 ",
            "/portal/1",
            "portal/4294967296",
            "portal/\u{0661}",
        ] {
            check(text, false, false, false);
        }
        for text in [
            format!("partner/{UWV}"),
            format!("partner/{UWV}/0"),
            format!("partner/{UWV}/1/1"),
            format!("partner/{UWV}/1\0"),
            "partner/0000009900000000100/main/1".to_owned(),
            "partner/00000099000000001000/Main/1".to_owned(),
            format!("rel/{UWV}/{GEMEENTE}/1"),
            format!("rel/{UWV}/{GEMEENTE}/handover/1"),
            format!("rel/{UWV}/{GEMEENTE}/HANDOVER/1/1"),
            format!("ctx/{UWV}"),
            format!("ctx/{UWV}/0"),
            format!("ctx/{UWV}/1/"),
        ] {
            check(&text, false, false, false);
        }
    }

    proptest! {
        /// A mangled label either is refused or is exactly what it prints as.
        #[test]
        fn no_second_text_for_one_label(position in 0_usize..80, character in "[ -~]", which in 0_usize..5) {
            let labels = [
                "origin/bsn/1".to_owned(),
                format!("partner/{UWV}/10"),
                format!("rel/{UWV}/{GEMEENTE}/HANDOVER/2"),
                "portal/3".to_owned(),
                format!("ctx/{UWV}/7"),
            ];
            let mut text = labels[which].clone();
            let position = position.min(text.len());
            text.insert_str(position, &character);
            if let Ok(domain) = text.parse::<Domain>() {
                prop_assert_eq!(domain.to_string(), text.clone());
            }
            if let Ok(context) = text.parse::<Context>() {
                prop_assert_eq!(context.to_string(), text);
            }
        }
    }
}
