//! The policy set that is built into the program, written out for the sandbox's controllers to sign.
//!
//! Must never change a file: what the sandbox runs on is what the repository holds.

use super::{SandboxError, write};
use rules::policy::PolicyBundle;
use rules::register::DataClass;
use std::path::Path;

/// Path within the policies folder, and content.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/policies.rs"));

/// Writes all files into `folder` and gives the bytes that the controllers sign.
///
/// # Errors
///
/// When a file cannot be written, or the set is not whole: a fault of the build.
pub(crate) fn write_policies(folder: &Path) -> Result<Vec<u8>, SandboxError> {
    let mut files = Vec::new();
    for (path, content) in FILES {
        write(&folder.join(path), content)?;
        files.push(((*path).to_owned(), content.to_vec()));
    }
    Ok(load(&files)?.signed_text().to_vec())
}

/// The register's own labels for a national number.
///
/// # Errors
///
/// When the set is not whole: a fault of the build.
pub(crate) fn number_labels() -> Result<Vec<String>, SandboxError> {
    let files = FILES.iter();
    let files: Vec<_> = files
        .map(|(path, content)| ((*path).to_owned(), content.to_vec()))
        .collect();
    let bundle = load(&files)?;
    let labels = bundle.register().labels();
    Ok(labels
        .filter(|entry| entry.class == DataClass::NationalNumber)
        .map(|entry| entry.label.to_string())
        .collect())
}

fn load(files: &[(String, Vec<u8>)]) -> Result<PolicyBundle, SandboxError> {
    PolicyBundle::load(files, &vault::digest::sha256).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        SandboxError::Unexpected(format!("the policy set is not whole: {}", lines.join("; ")))
    })
}
