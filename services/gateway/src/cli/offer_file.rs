//! The file with which a person at a keyboard offers a handover: purpose, basis, summary, dossier.
//!
//! Must never fill in a purpose or a basis.

use super::error::CliError;
use crate::files::toml_fault;
use rules::id::{Basis, Label, Purpose};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What to offer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfferFile {
    /// Why.
    pub(crate) purpose: Purpose,
    /// On which legal basis.
    pub(crate) basis: Basis,
    /// Fields of the summary.
    pub(crate) summary: BTreeMap<Label, String>,
    /// Fields of the dossier.
    pub(crate) dossier: BTreeMap<Label, String>,
}

impl OfferFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or does not have its form; the error has the line, never a value.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(path).map_err(|source| CliError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|message| CliError::Toml {
            path: path.to_owned(),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let (line, message) = toml_fault(text, &error);
            format!("line {line}: {message}")
        })?;
        let mut fields = file.summary.iter().chain(&file.dossier);
        match fields.find(|(_, value)| value.trim().is_empty()) {
            Some((label, _)) => Err(format!(
                "`{label}` has nothing in it; give it a value or leave it out"
            )),
            None => Ok(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OfferFile;

    const EXAMPLE: &str = include_str!("../../../../tests/data/offer.example.toml");

    #[test]
    fn the_example_is_read_and_a_wrong_one_says_where() {
        let file = OfferFile::parse(EXAMPLE);
        assert_eq!(
            file.as_ref().map(|file| file.purpose.as_str()),
            Ok("HANDOVER")
        );
        assert!(file.is_ok_and(|file| file.summary.len() > 3 && file.dossier.len() > 3));
        for (from, to) in [
            ("purpose = \"HANDOVER\"\n", ""),
            ("basis = \"SUWI_62_1\"", "basis = \"suwi\""),
            ("\"regio.pc4\"", "\"Regio PC4\""),
            ("[dossier]", "[dosier]"),
            ("\"WW\"", "\" \""),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            assert!(
                OfferFile::parse(&EXAMPLE.replacen(from, to, 1)).is_err(),
                "{from}"
            );
        }
    }
}
