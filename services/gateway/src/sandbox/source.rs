//! The year that the sandbox plays: Noord-Holland Noord 2022, read from `tests/data/nhn-2022.toml`.
//!
//! Must never change a number of the source: where it contradicts itself, that is said, not repaired.

use serde::Deserialize;

const TEXT: &str = include_str!("../../../../tests/data/nhn-2022.toml");

/// The source's numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Year {
    /// Where they come from.
    pub(crate) source: Source,
    /// Sign-ups of the year.
    pub(crate) sign_ups: SignUps,
    /// Those from outside the region.
    pub(crate) out_of_region: OutOfRegion,
    /// The projects.
    pub(crate) projects: Projects,
    /// The rows of the table.
    #[serde(rename = "group")]
    pub(crate) groups: Vec<Group>,
}

/// Where the numbers come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// The document's title.
    pub(crate) title: String,
    /// Document and lines of the table.
    pub(crate) table: String,
    /// Document and line of the sign-ups from outside the region.
    pub(crate) out_of_region: String,
    /// Interventions in all, as printed.
    pub(crate) interventions: u32,
    /// Via the site in all, as printed.
    pub(crate) via_site: u32,
    /// Via a partner in all, as printed.
    pub(crate) via_partner: u32,
    /// What it cost in all, in whole euros, as added up from the rows.
    pub(crate) euro: u32,
    /// Where the source contradicts itself.
    pub(crate) inconsistency: String,
}

/// Sign-ups of the year, all at the centre gemeente.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUps {
    /// How many there were.
    pub(crate) total: u32,
    /// How many without those from outside the region, as printed.
    pub(crate) net: u32,
    /// Document and line.
    pub(crate) line: String,
}

/// The projects of the year.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Projects {
    /// Document and lines of the table.
    pub(crate) table: String,
    /// Places in all, as printed.
    pub(crate) places: u32,
    /// What they cost in all, in eurocents, as printed.
    pub(crate) eurocents: u32,
    /// Identity that hands the participants over.
    pub(crate) sender: String,
    /// The rows of the table.
    #[serde(rename = "row")]
    pub(crate) rows: Vec<Project>,
}

/// One project.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    /// Its code, ours.
    pub(crate) code: String,
    /// Its name.
    pub(crate) title: String,
    /// Places.
    pub(crate) places: u32,
    /// What came of it, in the source's words.
    pub(crate) result: String,
    /// What it cost, in eurocents.
    pub(crate) eurocents: u32,
}

/// Sign-ups from outside the region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutOfRegion {
    /// How many there were; all are passed on.
    pub(crate) sign_ups: u32,
    /// Identity that passes them on.
    pub(crate) sender: String,
    /// Identity that takes them.
    pub(crate) recipient: String,
}

/// One row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// The target group's code.
    pub(crate) code: String,
    /// Its name.
    pub(crate) title: String,
    /// Document and line.
    pub(crate) line: String,
    maatwerk: u32,
    orientatie: u32,
    begeleiding_scholing: u32,
    versterken: u32,
    scholing: u32,
    /// Interventions that came via the site.
    pub(crate) via_site: u32,
    /// Interventions that came via a partner.
    pub(crate) via_partner: u32,
    /// What they cost, in whole euros.
    pub(crate) euro: u32,
    /// Identity that plays the partner.
    pub(crate) sender: String,
}

impl Year {
    /// Reads the embedded file.
    ///
    /// # Errors
    ///
    /// When the file does not have its form; a test reads it, so that this is a fault of the build.
    pub(crate) fn read() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    /// Handovers that are played to their end for the tables: via a partner, outside the region, projects.
    pub(crate) fn handovers(&self) -> u32 {
        let groups: u32 = self.groups.iter().map(|group| group.via_partner).sum();
        groups
            .saturating_add(self.out_of_region.sign_ups)
            .saturating_add(self.projects.places)
    }
}

/// How the interventions of a row came: their kinds, by channel.
pub(crate) struct Channels {
    /// Those that came via a partner.
    pub(crate) partner: Vec<&'static str>,
    /// Those that came via the site and in no other way.
    pub(crate) site: Vec<&'static str>,
    /// How many of the first that came via a partner came via the site as well.
    pub(crate) both: usize,
}

impl Group {
    /// Interventions in the row, of any kind.
    pub(crate) fn interventions(&self) -> u32 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }

    /// The kinds of intervention by channel. Which person got which is invented: the source gives the
    /// kinds for the row and the channel for the row, never together. What came via the site alone is
    /// taken from the kind with most left, time and again; more channels than interventions are persons
    /// who came by both.
    pub(crate) fn channels(&self) -> Channels {
        let mut kinds = self.kinds();
        let mut site = Vec::new();
        let mut left = self.interventions();
        while left > self.via_partner {
            let Some((code, count)) = kinds.iter_mut().max_by_key(|(_, count)| *count) else {
                break;
            };
            *count = count.saturating_sub(1);
            left = left.saturating_sub(1);
            site.push(*code);
        }
        let partner = kinds
            .iter()
            .flat_map(|(code, count)| {
                std::iter::repeat_n(*code, usize::try_from(*count).unwrap_or(0))
            })
            .collect();
        let via_site = usize::try_from(self.via_site).unwrap_or(0);
        Channels {
            partner,
            both: via_site.saturating_sub(site.len()),
            site,
        }
    }

    /// The row's counts by kind, in the table's order.
    pub(crate) fn kinds(&self) -> [(&'static str, u32); 5] {
        [
            ("MAATWERK", self.maatwerk),
            ("ORIENTATIE", self.orientatie),
            ("BEGELEIDING_SCHOLING", self.begeleiding_scholing),
            ("VERSTERKEN", self.versterken),
            ("SCHOLING", self.scholing),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Year;

    #[test]
    fn the_file_adds_up_to_the_source() -> Result<(), toml::de::Error> {
        let year = Year::read()?;
        let sum = |number: fn(&super::Group) -> u32| year.groups.iter().map(number).sum::<u32>();
        assert_eq!(sum(super::Group::interventions), year.source.interventions);
        assert_eq!(sum(|group| group.via_site), year.source.via_site);
        assert_eq!(sum(|group| group.via_partner), year.source.via_partner);
        assert_eq!(year.handovers(), 259 + 102 + 200);
        let projects: u32 = year.projects.rows.iter().map(|row| row.places).sum();
        assert_eq!(projects, year.projects.places);
        assert_eq!(sum(|group| group.euro), year.source.euro);
        let cents: u32 = year.projects.rows.iter().map(|row| row.eurocents).sum();
        assert_eq!(cents, year.projects.eurocents);
        assert_eq!(
            year.sign_ups.total,
            year.sign_ups.net + year.out_of_region.sign_ups
        );
        let mut both = 0;
        for group in &year.groups {
            let channels = group.channels();
            assert_eq!(
                channels.partner.len(),
                group.via_partner as usize,
                "{}",
                group.code
            );
            assert_eq!(
                channels.site.len() + channels.both,
                group.via_site as usize,
                "{}",
                group.code
            );
            both += channels.both;
        }
        assert_eq!(both, 1, "one item of Participatiewet has both channels");
        Ok(())
    }
}
