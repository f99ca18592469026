//! Who plays which part, and what travels about each: the summary and the dossier, in the labels of the
//! register.
//!
//! Must never put into the summary what says who it is about.

use super::people::Person;
use super::site::Recorded;
use super::source::{Group, Year};

/// The register's word for a warm handover.
pub(crate) const HANDOVER: &str = "HANDOVER";
/// Group of a person who is passed on to another region, or takes a place in a project.
const UNKNOWN_GROUP: &str = "ONBEKEND";
/// How the code of a project's place begins.
pub(crate) const PROJECT_PREFIX: &str = "PROJECT_";
/// The group one of whose persons comes from a refused application, and what the triage then says.
const REFUSED_GROUP: &str = "NUG";
/// What the triage says about that person.
pub(crate) const BENEFIT_REFUSED: &str = "aanvraag uitkering afgewezen, door naar het regioteam";

/// How many such persons there are.
pub(crate) const AFTER_REFUSAL: u32 = 1;

/// On what a handover rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rests {
    /// Wet SUWI article 62(1).
    OnLaw,
    /// The person's consent.
    OnConsent,
}

/// One handover to be played: a person, from whom to whom, and what is told.
pub(crate) struct Case {
    /// The person.
    pub(crate) person: Person,
    /// Identity of the sender.
    pub(crate) sender: String,
    /// Identity of the recipient.
    pub(crate) recipient: String,
    /// On what it rests.
    pub(crate) rests: Rests,
    /// What for: the register's word.
    pub(crate) purpose: &'static str,
    /// Fields of the summary.
    pub(crate) summary: Fields,
    /// Fields of the dossier.
    pub(crate) dossier: Fields,
}

impl Case {
    /// The same once more.
    pub(crate) fn again(&self) -> Self {
        Self {
            person: self.person.again(),
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            summary: self.summary.clone(),
            dossier: self.dossier.clone(),
            ..*self
        }
    }

    /// The same about another person.
    pub(crate) fn of(&self, person: Person) -> Self {
        Self {
            summary: summary(&person, "WERKNEMER", "ONBEKEND"),
            dossier: contact(&person, UNKNOWN_GROUP),
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            person,
            ..*self
        }
    }

    /// What is told for monitoring about the same person: no name and no way to reach anybody.
    pub(crate) fn monitored(&self) -> Self {
        let without = [
            "identiteit.",
            "contact.",
            "werk.",
            "triage.",
            "doelgroep.code",
        ];
        let kept = |fields: &Fields| -> Fields {
            fields
                .iter()
                .filter(|(label, _)| !without.iter().any(|begin| label.starts_with(begin)))
                .cloned()
                .collect()
        };
        Self {
            person: self.person.again(),
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            rests: Rests::OnConsent,
            purpose: "MONITOR",
            summary: kept(&self.summary),
            dossier: kept(&self.dossier),
        }
    }
}

/// Labels and values.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// The year's parts.
pub(crate) struct Parts {
    /// Every handover, in the order of the source's rows.
    pub(crate) cases: Vec<Case>,
    /// Who came via the site, as the neutral desk writes it down itself.
    pub(crate) site: Vec<Recorded>,
}

/// Gives everybody of the year a part. `person` makes the invented person with a place in line.
pub(crate) fn parts(year: &Year, person: impl Fn(usize) -> Person) -> Parts {
    let mut places = 0_usize..;
    let mut cases = Vec::new();
    let mut site = Vec::new();
    for group in &year.groups {
        let channels = group.channels();
        for (index, kind) in channels.partner.iter().enumerate() {
            let place = places.next().unwrap_or_default();
            if index < channels.both {
                site.push(recorded(group, kind, &person(place)));
            }
            cases.push(in_region(group, kind, index, person(place)));
        }
        for kind in &channels.site {
            let place = places.next().unwrap_or_default();
            site.push(recorded(group, kind, &person(place)));
        }
    }
    let outside = &year.out_of_region;
    for index in 0..usize::try_from(outside.sign_ups).unwrap_or(0) {
        let person = person(places.next().unwrap_or_default());
        let decision = format!("{} aangemeld, woont buiten de regio", day_of_2022(index));
        cases.push(Case {
            summary: summary(&person, "BUITEN_REGIO", UNKNOWN_GROUP),
            dossier: dossier(&person, UNKNOWN_GROUP, decision),
            sender: outside.sender.clone(),
            recipient: outside.recipient.clone(),
            rests: Rests::OnLaw,
            purpose: HANDOVER,
            person,
        });
    }
    for row in &year.projects.rows {
        for index in 0..usize::try_from(row.places).unwrap_or(0) {
            let person = person(places.next().unwrap_or_default());
            cases.push(in_project(&year.projects.sender, &row.code, index, person));
        }
    }
    Parts { cases, site }
}

fn recorded(group: &Group, kind: &str, person: &Person) -> Recorded {
    Recorded {
        name: person.name.clone(),
        group: group.code.clone(),
        intervention: kind.to_owned(),
    }
}

fn in_region(group: &Group, intervention: &str, index: usize, person: Person) -> Case {
    let sender = group.sender.as_str();
    let rests = if sender == "vakbond" {
        Rests::OnConsent
    } else {
        Rests::OnLaw
    };
    let route = match sender {
        "uwv" => "UITKERING",
        "vakbond" => "WERKNEMER",
        _ => "GEMEENTE",
    };
    let decision = if group.code == REFUSED_GROUP && index == 0 {
        BENEFIT_REFUSED
    } else {
        "door naar het regioteam"
    };
    let decision = format!("{} {decision}", day_of_2022(index));
    let mut dossier = match rests {
        Rests::OnLaw => without_number(&person, &group.code, decision),
        // A vakbond has no BSN, and takes no decision about triage.
        Rests::OnConsent => contact(&person, &group.code),
    };
    dossier.push(("interventie.code", intervention.to_owned()));
    // Wanted by the sender and not allowed by the register: minimisation is seen at work.
    dossier.push(("kanaal.code", sender.to_ascii_uppercase()));
    Case {
        summary: summary(&person, route, intervention),
        dossier,
        sender: sender.to_owned(),
        recipient: "neutraal".to_owned(),
        rests,
        purpose: HANDOVER,
        person,
    }
}

fn in_project(sender: &str, code: &str, index: usize, person: Person) -> Case {
    let decision = format!("{} plaats in een project", day_of_2022(index));
    let mut dossier = without_number(&person, UNKNOWN_GROUP, decision);
    dossier.push(("interventie.code", format!("{PROJECT_PREFIX}{code}")));
    Case {
        summary: summary(&person, "GEMEENTE", "SCHOLING"),
        dossier,
        sender: sender.to_owned(),
        recipient: "neutraal".to_owned(),
        rests: Rests::OnLaw,
        purpose: HANDOVER,
        person,
    }
}

fn contact(person: &Person, group: &str) -> Fields {
    vec![
        ("identiteit.naam", person.name.clone()),
        ("contact.telefoon", person.telephone.clone()),
        ("contact.postcode", person.postcode.clone()),
        ("doelgroep.code", group.to_owned()),
    ]
}

fn dossier(person: &Person, group: &str, decision: String) -> Fields {
    let mut fields = without_number(person, group, decision);
    fields.push(("identiteit.bsn", person.bsn.expose().clone()));
    fields
}

/// As a neutral realm gets it.
fn without_number(person: &Person, group: &str, decision: String) -> Fields {
    let mut fields = contact(person, group);
    fields.extend([
        ("financiering.code", "ONTSCHOT".to_owned()),
        ("triage.besluit", decision),
    ]);
    fields
}

fn summary(person: &Person, route: &str, question: &str) -> Fields {
    let pc4 = person.postcode.get(..4).unwrap_or_default().to_owned();
    vec![
        ("doelgroep.route", route.to_owned()),
        ("hulpvraag.code", question.to_owned()),
        ("leeftijdsband", "41-50".to_owned()),
        ("regio.pc4", pc4),
        ("werk.denkniveau", "3".to_owned()),
    ]
}

/// A day of the played year, spread over it; invented like everything about the persons.
fn day_of_2022(index: usize) -> String {
    let month = index.checked_rem(12).unwrap_or(0).saturating_add(1);
    let day = index.checked_rem(28).unwrap_or(0).saturating_add(1);
    format!("2022-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::{Rests, Year, parts};
    use crate::sandbox::people::person;
    use rules::id::Label;

    #[test]
    fn every_person_of_the_year_gets_one_part_and_no_summary_names_anybody()
    -> Result<(), toml::de::Error> {
        let year = Year::read()?;
        let parts = parts(&year, person);
        assert_eq!(parts.cases.len(), 561);
        assert_eq!(parts.site.len(), 36);
        let count = |wanted: fn(&super::Case) -> bool| {
            parts.cases.iter().filter(|case| wanted(case)).count()
        };
        assert_eq!(count(|case| case.sender == "uwv"), 61);
        assert_eq!(count(|case| case.rests == Rests::OnConsent), 24);
        assert_eq!(count(|case| case.recipient == "elders"), 102);
        let last = parts.cases.iter().map(|case| &case.person.key).max();
        assert_eq!(
            last.map(String::as_str),
            Some("kandidaat-0596"),
            "259 + 35 + 102 + 200"
        );
        for case in &parts.cases {
            for (label, value) in case.summary.iter().chain(&case.dossier) {
                assert!(label.parse::<Label>().is_ok(), "{label}");
                assert!(!value.is_empty(), "{label}");
            }
            let told = case
                .summary
                .iter()
                .map(|(_, value)| value.as_str())
                .collect::<String>();
            assert!(!told.contains(&case.person.name) && !told.contains(case.person.bsn.expose()));
        }
        Ok(())
    }
}
