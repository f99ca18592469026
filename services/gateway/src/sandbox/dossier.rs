//! What travels about one invented person: the summary and the dossier, in the labels of the register.
//!
//! Must never put into the summary what says who it is about.

use super::people::Person;
use super::source::{Group, OutOfRegion, Year};

/// Kind of help that is asked for when a person is passed on to another region.
const OUTSIDE_GROUP: &str = "ONBEKEND";

/// One handover to be played: a person, from whom to whom, and what is told.
pub(crate) struct Case {
    /// The person.
    pub(crate) person: Person,
    /// Identity of the sender.
    pub(crate) sender: String,
    /// Identity of the recipient.
    pub(crate) recipient: String,
    /// Fields of the summary.
    pub(crate) summary: Fields,
    /// Fields of the dossier.
    pub(crate) dossier: Fields,
}

/// Labels and values.
pub(crate) type Fields = Vec<(&'static str, String)>;

/// Every handover of the year, in the order of the source's rows.
pub(crate) fn cases(year: &Year, people: Vec<Person>) -> Vec<Case> {
    let mut people = people.into_iter();
    let mut cases = Vec::new();
    for group in &year.groups {
        let Some(sender) = &group.sender else {
            continue;
        };
        for (index, intervention) in group.interventions_via_partner().into_iter().enumerate() {
            let Some(person) = people.next() else { break };
            cases.push(in_region(group, sender, intervention, index, person));
        }
    }
    cases.extend(
        people
            .enumerate()
            .map(|(index, person)| outside(&year.out_of_region, index, person)),
    );
    cases
}

fn in_region(
    group: &Group,
    sender: &str,
    intervention: &str,
    index: usize,
    person: Person,
) -> Case {
    let route = match sender {
        "uwv" => "UITKERING",
        _ => "GEMEENTE",
    };
    let mut dossier = identity(&person);
    dossier.extend([
        ("doelgroep.code", group.code.clone()),
        ("interventie.code", intervention.to_owned()),
        ("financiering.code", "ONTSCHOT".to_owned()),
        (
            "triage.besluit",
            format!("{} door naar het regioteam", day_of_2022(index)),
        ),
    ]);
    // Wanted by the sender and not allowed by the register: minimisation is seen at work.
    dossier.push(("kanaal.code", sender.to_ascii_uppercase()));
    Case {
        summary: summary(&person, route, intervention),
        dossier,
        sender: sender.to_owned(),
        recipient: "neutraal".to_owned(),
        person,
    }
}

fn outside(outside: &OutOfRegion, index: usize, person: Person) -> Case {
    let mut dossier = identity(&person);
    dossier.extend([
        ("doelgroep.code", OUTSIDE_GROUP.to_owned()),
        (
            "triage.besluit",
            format!("{} aangemeld, woont buiten de regio", day_of_2022(index)),
        ),
    ]);
    Case {
        summary: summary(&person, "BUITEN_REGIO", "ONBEKEND"),
        dossier,
        sender: outside.sender.clone(),
        recipient: outside.recipient.clone(),
        person,
    }
}

fn identity(person: &Person) -> Fields {
    vec![
        ("identiteit.naam", person.name.clone()),
        ("identiteit.bsn", person.bsn.expose().clone()),
        ("contact.telefoon", person.telephone.clone()),
        ("contact.postcode", person.postcode.clone()),
    ]
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
    use super::{Year, cases};
    use crate::sandbox::people::people;
    use rules::id::Label;

    #[test]
    fn every_person_of_the_year_gets_one_handover_and_no_summary_names_anybody()
    -> Result<(), toml::de::Error> {
        let year = Year::read()?;
        let cases = cases(&year, people(year.handovers() as usize));
        assert_eq!(cases.len(), 255);
        assert_eq!(cases.iter().filter(|case| case.sender == "uwv").count(), 61);
        assert_eq!(
            cases
                .iter()
                .filter(|case| case.recipient == "elders")
                .count(),
            20
        );
        for case in &cases {
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
