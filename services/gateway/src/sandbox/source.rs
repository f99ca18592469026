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
    /// Sign-ups from outside the region.
    pub(crate) out_of_region: OutOfRegion,
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
    /// Where the source contradicts itself.
    pub(crate) inconsistency: String,
}

/// Sign-ups from outside the region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutOfRegion {
    /// How many there were.
    pub(crate) sign_ups: u32,
    /// How many the sandbox passes on.
    pub(crate) played: u32,
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
    /// Identity that plays the partner; none when it is not played.
    pub(crate) sender: Option<String>,
    /// Why it is not played.
    pub(crate) not_played: Option<String>,
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

    /// Handovers that are played, those from outside the region among them.
    pub(crate) fn handovers(&self) -> u32 {
        let groups: u32 = self
            .groups
            .iter()
            .filter(|group| group.sender.is_some())
            .map(|group| group.via_partner)
            .sum();
        groups.saturating_add(self.out_of_region.played)
    }
}

impl Group {
    /// Interventions in the row, of any kind.
    pub(crate) fn interventions(&self) -> u32 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }

    /// The kind of intervention for each person who came via a partner. Which person got which is
    /// invented: the source gives the kinds for the row and the channel for the row, never together. What
    /// came via the site is taken from the kind with most left, time and again.
    pub(crate) fn interventions_via_partner(&self) -> Vec<&'static str> {
        let mut kinds = self.kinds();
        let mut left = self.interventions();
        while left > self.via_partner {
            let Some((_, count)) = kinds.iter_mut().max_by_key(|(_, count)| *count) else {
                break;
            };
            *count = count.saturating_sub(1);
            left = left.saturating_sub(1);
        }
        kinds
            .iter()
            .flat_map(|(code, count)| {
                std::iter::repeat_n(*code, usize::try_from(*count).unwrap_or(0))
            })
            .collect()
    }

    fn kinds(&self) -> [(&'static str, u32); 5] {
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
        assert_eq!(year.handovers(), 235 + 20);
        for group in &year.groups {
            let people = group.interventions_via_partner().len();
            assert_eq!(people, group.via_partner as usize, "{}", group.code);
            assert_ne!(
                group.sender.is_some(),
                group.not_played.is_some(),
                "{}",
                group.code
            );
        }
        Ok(())
    }
}
