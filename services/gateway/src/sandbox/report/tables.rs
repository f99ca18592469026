//! The report for people: the source's tables with what was counted in the same cells.
//!
//! Must never hide a difference: a cell that differs shows both numbers.

use super::{CALLS_PER_HANDOVER, Outcome};
use crate::cli::output::table;
use crate::sandbox::source::Year;
use crate::sandbox::story::wrap;

impl Outcome {
    /// The report for people.
    pub(crate) fn text(&self, year: &Year) -> String {
        let mut text = format!(
            "\nNoord-Holland Noord 2022, counted from the records that recipients opened and, via the site, from the\n\
             neutral desk's own. One number: counted and source are equal; `3≠4`: counted 3, the source has 4.\n\
             Source: {}, {}.\n\n{}\n",
            year.source.title,
            year.source.table,
            self.interventions_table(year)
        );
        text.push_str(&format!(
            "Projects, {} ({} handed over by {}):\n\n{}\n",
            year.projects.table,
            year.projects.places,
            year.projects.sender,
            self.projects_table(year)
        ));
        text.push_str(&self.people(year));
        for note in notes(year) {
            text.push_str(&wrap("  * ", "    ", &note));
        }
        text.push_str(&self.pace(year));
        text
    }

    fn interventions_table(&self, year: &Year) -> String {
        let mut rows: Vec<Vec<String>> = year
            .groups
            .iter()
            .map(|group| {
                let mut row = vec![group.title.clone()];
                let kinds = group.kinds();
                let counted: u32 = kinds
                    .iter()
                    .map(|(kind, _)| self.interventions_of(group, kind))
                    .sum();
                row.extend(
                    kinds
                        .iter()
                        .map(|(kind, source)| cell(self.interventions_of(group, kind), *source)),
                );
                row.push(cell(counted, group.interventions()));
                row.push(cell(self.site(group), group.via_site));
                row.push(cell(self.partner(group), group.via_partner));
                row.push(grouped(group.euro));
                row.push(group.sender.clone());
                row.push(group.line.clone());
                row
            })
            .collect();
        let mut sums = vec!["Total".to_owned()];
        let kinds = year.groups.first().map(|group| group.kinds());
        for (place, (kind, _)) in kinds.iter().flatten().enumerate() {
            let counted = year
                .groups
                .iter()
                .map(|group| self.interventions_of(group, kind))
                .sum();
            let source = year
                .groups
                .iter()
                .filter_map(|group| group.kinds().get(place).map(|(_, count)| *count))
                .sum();
            sums.push(cell(counted, source));
        }
        let source = &year.source;
        sums.push(cell(
            self.interventions.values().sum(),
            source.interventions,
        ));
        sums.push(cell(self.via_site.values().sum(), source.via_site));
        sums.push(cell(self.via_partner.values().sum(), source.via_partner));
        sums.push(grouped(source.euro));
        sums.extend([String::new(), source.table.clone()]);
        rows.push(sums);
        table(
            &[
                "group",
                "#maatwerk",
                "#orient.",
                "#begel.",
                "#verst.",
                "#schol.",
                "#sum",
                "#via site",
                "#via partner",
                "#€, source",
                "handed over by",
                "source line",
            ],
            &rows,
        )
    }

    fn projects_table(&self, year: &Year) -> String {
        let mut rows: Vec<_> = year
            .projects
            .rows
            .iter()
            .map(|row| {
                vec![
                    row.title.clone(),
                    cell(self.places(&row.code), row.places),
                    euros(row.eurocents),
                    row.result.clone(),
                ]
            })
            .collect();
        let projects = &year.projects;
        rows.push(vec![
            "Total".to_owned(),
            cell(self.projects.values().sum(), projects.places),
            euros(projects.eurocents),
            String::new(),
        ]);
        table(
            &[
                "project",
                "#places",
                "#€, source",
                "result, in the source's words",
            ],
            &rows,
        )
    }

    fn people(&self, year: &Year) -> String {
        let choices = &self.choices;
        format!(
            "Sign-ups at the centre: {}. Passed on to another region: {} of {}. Handed over after a refused\n\
             application for a benefit: {}.\n\
             Consent: {} given ({} of them with help at a desk), {} refused, {} narrowed, {} withdrawn, which\n\
             ended {} open handovers at once. {} calls found no consent and were refused as calls about nobody are.\n\
             Monitoring was asked of {} people apart; {} records for it were opened.\n\n",
            grouped(self.enrolled),
            self.opened_outside,
            year.out_of_region.sign_ups,
            self.after_refused_benefit,
            choices.given,
            choices.assisted,
            choices.refused,
            choices.narrowed,
            choices.withdrawn,
            choices.ended,
            choices.calls_refused,
            choices.monitoring_asked,
            choices.monitoring_opened,
        )
    }

    fn pace(&self, year: &Year) -> String {
        let handovers = year.handovers();
        format!(
            "\n{handovers} handovers of {CALLS_PER_HANDOVER} calls each (Prepare, Offer, FetchOffer, Accept, GetHandover,\n\
             Release, Fetch, Complete) in {:.1} s: {:.1} handovers per second, everything on, all processes on\n\
             this machine. Enrolling, linking and choosing: {:.1} s. From the first file to here: {:.1} s.\n\
             Trust level {}: the number of distinct operators among the key holders.\n",
            self.playing.as_secs_f64(),
            self.per_second(handovers),
            self.enrolling.as_secs_f64(),
            self.whole.as_secs_f64(),
            self.trust_level,
        )
    }
}

/// What is said beside the tables.
pub(super) fn notes(year: &Year) -> Vec<String> {
    let channels = year.source.via_site.saturating_add(year.source.via_partner);
    vec![
        format!(
            "The source's own totals: {} interventions, and {} via the site with {} via a partner makes {channels}.",
            year.source.interventions, year.source.via_site, year.source.via_partner
        ),
        year.source.inconsistency.clone(),
        format!(
            "{} sign-ups without the {} from outside the region leave {} ({}).",
            grouped(year.sign_ups.total),
            year.out_of_region.sign_ups,
            grouped(year.sign_ups.net),
            year.sign_ups.line
        ),
        "Persons are invented, and which person got which intervention too: the source gives the kinds of a whole \
         row (Maatwerk, Oriëntatie, Begeleiding, Versterken, Scholing) and the channel of a whole row, never \
         together. What came via the site is taken off the largest kinds. The region for which people from \
         outside signed up is not in the source, nor who sent the participants of projects: that each of the \
         200 places is one handover by the centre is the play's."
            .to_owned(),
        "Money is in no handover: the columns in € are the source's, printed beside and not counted. Nor are \
         the source's years of birth (004:241-257) played: the register lets a handover tell a band of ages \
         only."
            .to_owned(),
    ]
}

/// One number when they are equal, both when they are not.
fn cell(counted: u32, source: u32) -> String {
    if counted == source {
        counted.to_string()
    } else {
        format!("{counted}≠{source}")
    }
}

/// Eurocents as euros.
fn euros(cents: u32) -> String {
    let (whole, rest) = (cents.checked_div(100), cents.checked_rem(100));
    format!("{}.{:02}", grouped(whole.unwrap_or(0)), rest.unwrap_or(0))
}

/// A number with its thousands apart.
fn grouped(number: u32) -> String {
    match (number.checked_div(1_000), number.checked_rem(1_000)) {
        (Some(thousands), Some(rest)) if thousands > 0 => format!("{thousands},{rest:03}"),
        _ => number.to_string(),
    }
}
