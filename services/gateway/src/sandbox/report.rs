//! What the sandbox prints at the end: the counts from the records that recipients opened, beside the
//! source's, what people chose, and how fast it went.
//!
//! Must never take a count from what was sent: only from what a recipient opened or recorded.

mod tables;

use super::choices::{Choices, MONITOR_YES};
use super::dossier::AFTER_REFUSAL;
use super::source::{Group, Year};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a number stands that the play itself sets.
const AS_PLAYED: &str = "as played";

/// Calls that one handover takes: Prepare, Offer, FetchOffer, Accept, GetHandover, Release, Fetch and
/// Complete.
pub(crate) const CALLS_PER_HANDOVER: u32 = 8;

/// What came out of the play.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// People who signed up at the centre.
    pub(crate) enrolled: u32,
    /// Opened records of each target group at the neutral desk.
    pub(crate) via_partner: BTreeMap<String, u32>,
    /// The neutral desk's own records of each target group.
    pub(crate) via_site: BTreeMap<String, u32>,
    /// People with the same intervention in both, known again by their pseudonym.
    pub(crate) by_both: u32,
    /// Interventions of each target group and kind, by either way, each counted once.
    pub(crate) interventions: BTreeMap<(String, String), u32>,
    /// Opened records of each project.
    pub(crate) projects: BTreeMap<String, u32>,
    /// Opened records at the recipient outside the region.
    pub(crate) opened_outside: u32,
    /// Opened records of people whose application for a benefit was refused.
    pub(crate) after_refused_benefit: u32,
    /// What people chose.
    pub(crate) choices: Choices,
    /// How long enrolling, recording and choosing took.
    pub(crate) enrolling: Duration,
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
        let compared = self
            .in_groups(year)
            .into_iter()
            .chain(self.in_all(year))
            .filter(|one| one.counted != one.source);
        compared.map(|one| one.to_string()).collect()
    }

    fn in_groups(&self, year: &Year) -> Vec<Compared> {
        let mut compared = Vec::new();
        for group in &year.groups {
            let mut add = |what: &str, counted, source| {
                let what = format!("{} {what}", group.title);
                compared.push(Compared::new(what, counted, source, &group.line));
            };
            for (kind, source) in group.kinds() {
                add(kind, self.interventions_of(group, kind), source);
            }
            add("via a partner", self.partner(group), group.via_partner);
            add("via the site", self.site(group), group.via_site);
        }
        for row in &year.projects.rows {
            let line = &year.projects.table;
            let counted = self.places(&row.code);
            compared.push(Compared::new(&row.title, counted, row.places, line));
        }
        compared
    }

    fn in_all(&self, year: &Year) -> Vec<Compared> {
        let (source, sign_ups, projects) = (&year.source, &year.sign_ups, &year.projects);
        let sum = |counts: &BTreeMap<String, u32>| counts.values().sum::<u32>();
        let (partner, site) = (sum(&self.via_partner), sum(&self.via_site));
        let interventions = self.interventions.values().sum();
        let places = sum(&self.projects);
        let outside = year.out_of_region.sign_ups;
        vec![
            Compared::new("via a partner", partner, source.via_partner, &source.table),
            Compared::new("via the site", site, source.via_site, &source.table),
            Compared::new(
                "interventions",
                interventions,
                source.interventions,
                &source.table,
            ),
            Compared::new("project places", places, projects.places, &projects.table),
            Compared::new("sign-ups", self.enrolled, sign_ups.total, &sign_ups.line),
            Compared::new(
                "out of region",
                self.opened_outside,
                outside,
                &source.out_of_region,
            ),
            Compared::new(
                "records for monitoring",
                self.choices.monitoring_opened,
                MONITOR_YES,
                AS_PLAYED,
            ),
            Compared::new(
                "after a refused application",
                self.after_refused_benefit,
                AFTER_REFUSAL,
                AS_PLAYED,
            ),
        ]
    }

    /// The report for programs.
    pub(crate) fn json(&self, year: &Year) -> Value {
        let groups: Vec<_> = year
            .groups
            .iter()
            .map(|group| {
                let kinds: serde_json::Map<_, _> = group
                    .kinds()
                    .iter()
                    .map(|(kind, source)| {
                        let counted = self.interventions_of(group, kind);
                        (
                            (*kind).to_owned(),
                            json!({ "source": source, "counted": counted }),
                        )
                    })
                    .collect();
                json!({
                    "code": group.code,
                    "source_line": group.line,
                    "played_by": group.sender,
                    "kinds": kinds,
                    "source_via_partner": group.via_partner,
                    "opened_via_partner": self.partner(group),
                    "source_via_site": group.via_site,
                    "recorded_via_site": self.site(group),
                })
            })
            .collect();
        let projects: Vec<_> = year
            .projects
            .rows
            .iter()
            .map(|row| {
                json!({
                    "code": row.code, "title": row.title, "result": row.result,
                    "source": row.places, "opened": self.places(&row.code),
                })
            })
            .collect();
        let handovers = year.handovers();
        json!({
            "sign_ups": { "source": year.sign_ups.total, "enrolled": self.enrolled },
            "groups": groups,
            "by_both_channels": self.by_both,
            "projects": projects,
            "out_of_region": {
                "source": year.out_of_region.sign_ups, "opened": self.opened_outside,
            },
            "after_refused_benefit": self.after_refused_benefit,
            "choices": self.choices,
            "differences": self.differences(year),
            "notes": tables::notes(year),
            "handovers": handovers,
            "calls_per_handover": CALLS_PER_HANDOVER,
            "handovers_per_second": self.per_second(handovers),
            "enrolling_seconds": self.enrolling.as_secs_f64(),
            "playing_seconds": self.playing.as_secs_f64(),
            "whole_seconds": self.whole.as_secs_f64(),
            "trust_level": self.trust_level,
        })
    }

    fn partner(&self, group: &Group) -> u32 {
        self.via_partner.get(&group.code).copied().unwrap_or(0)
    }

    fn site(&self, group: &Group) -> u32 {
        self.via_site.get(&group.code).copied().unwrap_or(0)
    }

    fn interventions_of(&self, group: &Group, kind: &str) -> u32 {
        let key = (group.code.clone(), kind.to_owned());
        self.interventions.get(&key).copied().unwrap_or(0)
    }

    fn places(&self, project: &str) -> u32 {
        self.projects.get(project).copied().unwrap_or(0)
    }

    fn per_second(&self, handovers: u32) -> f64 {
        f64::from(handovers) / self.playing.as_secs_f64().max(0.001)
    }
}

/// A count beside the source's.
struct Compared {
    what: String,
    counted: u32,
    source: u32,
    line: String,
}

impl Compared {
    fn new(what: impl Into<String>, counted: u32, source: u32, line: &str) -> Self {
        Self {
            what: what.into(),
            counted,
            source,
            line: line.to_owned(),
        }
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            counted,
            source,
            line,
        } = self;
        write!(out, "{what}: counted {counted}, expected {source} ({line})")
    }
}

#[cfg(test)]
mod tests {
    use super::{AFTER_REFUSAL, Choices, MONITOR_YES, Outcome, Year};
    use std::time::Duration;

    fn outcome(year: &Year) -> Outcome {
        let mut outcome = Outcome {
            enrolled: year.sign_ups.total,
            opened_outside: year.out_of_region.sign_ups,
            playing: Duration::from_secs(10),
            by_both: 1,
            after_refused_benefit: AFTER_REFUSAL,
            choices: Choices {
                monitoring_opened: MONITOR_YES,
                ..Choices::default()
            },
            ..Outcome::default()
        };
        for group in &year.groups {
            let (partner, site) = (&mut outcome.via_partner, &mut outcome.via_site);
            partner.insert(group.code.clone(), group.via_partner);
            site.insert(group.code.clone(), group.via_site);
            for (kind, count) in group.kinds() {
                let key = (group.code.clone(), kind.to_owned());
                outcome.interventions.insert(key, count);
            }
        }
        for row in &year.projects.rows {
            outcome.projects.insert(row.code.clone(), row.places);
        }
        outcome
    }

    #[test]
    fn equal_counts_have_no_differences_and_each_other_one_is_named() -> Result<(), toml::de::Error>
    {
        let year = Year::read()?;
        let equal = outcome(&year);
        assert_eq!(equal.differences(&year), Vec::<String>::new());
        let text = equal.text(&year);
        for wanted in ["Zelfstandige", "VCA", "1,138", "294", "295"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert_eq!(
            equal.json(&year)["groups"].as_array().map(Vec::len),
            Some(7)
        );
        let mut other = outcome(&year);
        other.via_partner.insert("WW".to_owned(), 54);
        other.via_partner.insert("ELSE".to_owned(), 2);
        other.via_site.insert("AG".to_owned(), 2);
        other.projects.insert("VCA".to_owned(), 9);
        other.opened_outside = 101;
        other.enrolled = 1_137;
        other.after_refused_benefit = 0;
        other.choices.monitoring_opened = 0;
        let differences = other.differences(&year);
        assert_eq!(differences.len(), 10, "{differences:#?}");
        Ok(())
    }
}
