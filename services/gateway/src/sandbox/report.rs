//! What the sandbox prints at the end: the counts from the records that recipients opened, beside the
//! source's, and how fast it went.
//!
//! Must never take a count from what was sent: only from what a recipient opened.

use super::source::{Group, Year};
use crate::cli::output::table;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Calls that one handover takes: Prepare, Offer, FetchOffer, Accept, GetHandover, Release, Fetch and
/// Complete.
pub(crate) const CALLS_PER_HANDOVER: u32 = 8;

/// What came out of the play.
pub(crate) struct Outcome {
    /// Opened records of each target group at the neutral desk.
    pub(crate) opened: BTreeMap<String, u32>,
    /// Opened records of each kind of intervention at the neutral desk.
    pub(crate) interventions: BTreeMap<String, u32>,
    /// Opened records at the recipient outside the region.
    pub(crate) opened_outside: u32,
    /// How long the handovers took.
    pub(crate) playing: Duration,
    /// How long everything took, from the wiping of the folder on.
    pub(crate) whole: Duration,
    /// Distinct operators among the key holders.
    pub(crate) trust_level: i32,
}

impl Outcome {
    /// Everything that differs from the source, in words; empty when nothing does.
    pub(crate) fn differences(&self, year: &Year) -> Vec<String> {
        let mut differences: Vec<String> = year
            .groups
            .iter()
            .filter(|group| self.count(group) != expected(group))
            .map(|group| {
                format!(
                    "{}: recipients opened {}, the source has {} via a partner ({})",
                    group.title,
                    self.count(group),
                    expected(group),
                    group.line
                )
            })
            .collect();
        if self.opened_outside != year.out_of_region.played {
            differences.push(format!(
                "out of region: the recipient opened {}, {} were passed on",
                self.opened_outside, year.out_of_region.played
            ));
        }
        let known: u32 = year.groups.iter().map(|group| self.count(group)).sum();
        let all: u32 = self.opened.values().sum();
        if all != known {
            differences.push(format!(
                "{} records are of a group that the source does not have",
                all.saturating_sub(known)
            ));
        }
        differences
    }

    /// The report for people.
    pub(crate) fn text(&self, year: &Year) -> String {
        let mut text = format!(
            "\nNoord-Holland Noord 2022, interventions via a partner, beside the records that recipients opened\n\
             Source: {}, {}.\n\n{}\n",
            year.source.title,
            year.source.table,
            table(
                &[
                    "group",
                    "#source",
                    "#opened",
                    "",
                    "played by",
                    "source line"
                ],
                &self.rows(year)
            )
        );
        text.push_str(&format!(
            "The opened records by kind of intervention: {}.\n\n",
            self.kinds()
        ));
        for note in notes(year) {
            text.push_str(&format!("  * {note}\n"));
        }
        let handovers = year.handovers();
        text.push_str(&format!(
            "\n{handovers} handovers of {CALLS_PER_HANDOVER} calls each (Prepare, Offer, FetchOffer, Accept, GetHandover,\n\
             Release, Fetch, Complete; persons are enrolled in batches) in {:.1} s: {:.1} handovers per second,\n\
             everything on, all processes on this machine. From the first file to here: {:.1} s.\n\
             Trust level {}: the number of distinct operators among the key holders.\n",
            self.playing.as_secs_f64(),
            self.per_second(handovers),
            self.whole.as_secs_f64(),
            self.trust_level,
        ));
        text
    }

    /// The report for programs.
    pub(crate) fn json(&self, year: &Year) -> Value {
        let groups: Vec<_> = year
            .groups
            .iter()
            .map(|group| {
                json!({
                    "code": group.code,
                    "source_interventions": group.interventions(),
                    "source_via_site": group.via_site,
                    "source_via_partner": group.via_partner,
                    "source_line": group.line,
                    "played_by": group.sender,
                    "not_played": group.not_played,
                    "opened": self.count(group),
                    "equal": self.count(group) == expected(group),
                })
            })
            .collect();
        let handovers = year.handovers();
        json!({
            "groups": groups,
            "interventions": self.interventions,
            "out_of_region": {
                "sign_ups": year.out_of_region.sign_ups,
                "played": year.out_of_region.played,
                "opened": self.opened_outside,
            },
            "differences": self.differences(year),
            "notes": notes(year),
            "handovers": handovers,
            "calls_per_handover": CALLS_PER_HANDOVER,
            "handovers_per_second": self.per_second(handovers),
            "playing_seconds": self.playing.as_secs_f64(),
            "whole_seconds": self.whole.as_secs_f64(),
            "trust_level": self.trust_level,
        })
    }

    fn rows(&self, year: &Year) -> Vec<Vec<String>> {
        let mark = |right: bool| if right { "✓" } else { "✗" }.to_owned();
        let mut rows: Vec<Vec<String>> = year
            .groups
            .iter()
            .map(|group| {
                let count = self.count(group);
                let played = group.sender.is_some();
                vec![
                    group.title.clone(),
                    group.via_partner.to_string(),
                    if played {
                        count.to_string()
                    } else {
                        "–".to_owned()
                    },
                    if played {
                        mark(count == group.via_partner)
                    } else {
                        String::new()
                    },
                    group
                        .sender
                        .clone()
                        .unwrap_or_else(|| "not played".to_owned()),
                    group.line.clone(),
                ]
            })
            .collect();
        let outside = &year.out_of_region;
        rows.push(vec![
            "out-of-region sign-ups".to_owned(),
            format!("{} of {}", outside.played, outside.sign_ups),
            self.opened_outside.to_string(),
            mark(self.opened_outside == outside.played),
            outside.sender.clone(),
            year.source.out_of_region.clone(),
        ]);
        rows
    }

    fn kinds(&self) -> String {
        let kinds: Vec<String> = self
            .interventions
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        kinds.join(", ")
    }

    fn count(&self, group: &Group) -> u32 {
        self.opened.get(&group.code).copied().unwrap_or(0)
    }

    fn per_second(&self, handovers: u32) -> f64 {
        f64::from(handovers) / self.playing.as_secs_f64().max(0.001)
    }
}

fn expected(group: &Group) -> u32 {
    if group.sender.is_some() {
        group.via_partner
    } else {
        0
    }
}

fn notes(year: &Year) -> Vec<String> {
    let mut notes = vec![
        format!(
            "The source's own totals: {} interventions, {} via the site, {} via a partner.",
            year.source.interventions, year.source.via_site, year.source.via_partner
        ),
        year.source.inconsistency.clone(),
    ];
    for group in &year.groups {
        if let Some(why) = &group.not_played {
            notes.push(format!(
                "{} ({}) is not played: {why}. Played: {} of the source's {} via a partner.",
                group.title,
                group.via_partner,
                year.source.via_partner.saturating_sub(group.via_partner),
                year.source.via_partner
            ));
        }
    }
    notes.push(format!(
        "Of the {} sign-ups from outside the region {} are passed on; which region they were for is not in the source.",
        year.out_of_region.sign_ups, year.out_of_region.played
    ));
    notes.push(
        "Persons are invented, and which person got which intervention too: the source gives the kinds of a whole \
         row (Maatwerk, Oriëntatie, Begeleiding, Versterken, Scholing) and the channel of a whole row, never \
         together. What came via the site is taken off the largest kinds."
            .to_owned(),
    );
    notes
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Year, expected};
    use std::time::Duration;

    fn outcome(year: &Year) -> Outcome {
        Outcome {
            opened: year
                .groups
                .iter()
                .filter(|group| group.sender.is_some())
                .map(|group| (group.code.clone(), expected(group)))
                .collect(),
            interventions: [("MAATWERK".to_owned(), 1)].into(),
            opened_outside: year.out_of_region.played,
            playing: Duration::from_secs(10),
            whole: Duration::from_secs(20),
            trust_level: 2,
        }
    }

    #[test]
    fn equal_counts_have_no_differences_and_each_other_one_is_named() -> Result<(), toml::de::Error>
    {
        let year = Year::read()?;
        let mut outcome = outcome(&year);
        assert!(outcome.differences(&year).is_empty());
        assert!(outcome.text(&year).contains("Zelfstandige"));
        assert_eq!(
            outcome.json(&year)["groups"].as_array().map(Vec::len),
            Some(7)
        );
        outcome.opened.insert("WW".to_owned(), 54);
        outcome.opened.insert("WERKNEMER".to_owned(), 1);
        outcome.opened.insert("ELSE".to_owned(), 1);
        outcome.opened_outside = 19;
        assert_eq!(outcome.differences(&year).len(), 4);
        Ok(())
    }
}
