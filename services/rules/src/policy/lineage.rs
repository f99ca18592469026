//! Where a policy set stands in the row of sets: its version, and the set before it.
//!
//! Must never let a set follow any other than the one that the controllers named in it.

use super::{BundleError, PolicyBundle};
use crate::hex;
use crate::reason::{Reason, Refusal};

/// Path of the file, within the policies folder.
pub(super) const VERSION: &str = "version.toml";

/// Where a policy set stands in the row of sets, as its own `version.toml` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Counts from 1.
    pub version: u64,
    /// Name of the set before it; the first has none.
    pub predecessor: Option<[u8; 32]>,
}

/// The file as it stands.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    predecessor: Option<String>,
}

impl Lineage {
    /// Reads `version.toml`.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub(super) fn parse(text: &str) -> Result<Self, BundleError> {
        let wrong = |message: &str| BundleError::new(VERSION, message);
        let file: File = toml::from_str(text).map_err(|error| wrong(error.message()))?;
        let named = file.predecessor.as_deref().map(hex::decode);
        let predecessor = named.map(|octets| octets.and_then(|octets| octets.try_into().ok()));
        let message = match (file.version, predecessor) {
            (0, _) => "`version` counts from 1",
            (1, Some(_)) => "the first version has no `predecessor`",
            (2.., None) => "from version 2 on `predecessor` names the set before this one",
            (_, Some(None)) => "`predecessor` is not 64 hexadecimal digits, in lower case",
            (version, predecessor) => {
                return Ok(Self {
                    version,
                    predecessor: predecessor.flatten(),
                });
            }
        };
        Err(wrong(message))
    }
}

impl PolicyBundle {
    /// Its version; each set has one more than the set before it.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.lineage.version
    }

    /// That this set is the next one after `before`, by both its version and its predecessor.
    ///
    /// # Errors
    /// `POLICY_VERSION_LOWER` or `POLICY_PREDECESSOR_DIFFERS`, with both sets' versions and names.
    pub fn follows(&self, before: &Self) -> Result<(), Refusal> {
        let (version, present) = (self.version(), before.version());
        let in_force = format!(
            "in force is version {present}, {}",
            hex::encode(&before.hash)
        );
        let predecessor = self.lineage.predecessor;
        let (reason, text) = if version <= present {
            (Reason::PolicyVersionLower, format!("version {version}"))
        } else if predecessor == Some(before.hash) && version == present.saturating_add(1) {
            return Ok(());
        } else {
            let named = predecessor.map_or_else(String::new, |name| hex::encode(&name));
            let text = format!("version {version} after {named}");
            (Reason::PolicyPredecessorDiffers, text)
        };
        Err(Refusal::about(
            reason,
            VERSION,
            format!("{text}; {in_force}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{bundle, change, files, load};

    /// The set of the repository with another `version.toml`.
    fn with_version(text: &str) -> Result<PolicyBundle, Vec<BundleError>> {
        let mut files = files();
        change(&mut files, "version.toml", |_| text.to_owned());
        load(&files)
    }

    #[test]
    fn a_set_says_which_one_it_is() {
        let name = "0123456789abcdef".repeat(4);
        let named = format!("predecessor = \"{name}\"");
        for (text, expected) in [
            ("", "missing field `version`"),
            ("version = 0", "counts from 1"),
            ("version = -1", "invalid value"),
            ("version = 2", "names the set before"),
            (&format!("version = 1\n{named}"), "has no `predecessor`"),
            ("version = 2\npredecessor = \"12\"", "64 hexadecimal"),
            (
                &format!("version = 2\npredecessor = \"{}\"", name.to_uppercase()),
                "lower case",
            ),
            (&format!("version = 2\n{named}\nnext = 3"), "unknown field"),
        ] {
            let errors = with_version(text).err().unwrap();
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let told = all
                .iter()
                .any(|error| error.starts_with("version.toml") && error.contains(expected));
            assert!(told, "{text}: {all:?}");
        }
        let second = with_version(&format!("version = 2\n{named}")).unwrap();
        assert_eq!(second.version(), 2);
    }

    #[test]
    fn a_set_follows_the_one_before_it_and_no_other() {
        let first = bundle();
        let after = |version: u64, before: &PolicyBundle| {
            let name = hex::encode(&before.hash());
            with_version(&format!("version = {version}\npredecessor = \"{name}\"")).unwrap()
        };
        let second = after(2, &first);
        let third = after(3, &second);
        let check = |before: &PolicyBundle, set: &PolicyBundle, expected| {
            let reason = set.follows(before).err().map(|refusal| refusal.reason);
            assert_eq!(
                reason,
                expected,
                "{} after {}",
                set.version(),
                before.version()
            );
        };
        let (lower, differs) = (Reason::PolicyVersionLower, Reason::PolicyPredecessorDiffers);
        check(&first, &second, None);
        check(&second, &third, None);
        check(&first, &first, Some(lower));
        check(&third, &second, Some(lower));
        check(&second, &after(2, &first), Some(lower));
        check(&first, &third, Some(differs));
        check(&second, &after(3, &first), Some(differs));
        check(&second, &after(4, &second), Some(differs));
    }
}
