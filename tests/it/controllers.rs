//! What only the controllers can make: directories and policy sets with all their signatures.
//!
//! Must never sign for a test that is about a missing signature: those leave one out of what is here.

use crate::house::Folder;
use gateway::files::{self, SignatureFile, SignatureLine};
use rules::directory::DirectoryFile;
use rules::hex;
use rules::policy::PolicyBundle;
use std::path::Path;
use vault::digest::sha256;
use vault::sign::{Paper, SigningKey};
use wire::directory::v1::ControllerSignature;
use wire::policy::v1::PolicyFile;

/// All controllers of a sandbox.
pub(crate) struct Controllers(Vec<(String, SigningKey)>);

impl Controllers {
    /// Those of this sandbox.
    pub(crate) fn of(folder: &Folder) -> Self {
        let all = ["uwv", "centrumgemeente"].map(|name| {
            let path = folder.path().join(format!("controllers/{name}.key"));
            (name.to_owned(), files::controller_key(&path).unwrap())
        });
        Self(all.into())
    }

    /// Everybody's signature over a directory.
    pub(crate) fn sign_directory(&self, content: &[u8]) -> Vec<ControllerSignature> {
        self.sign(Paper::Directory, content)
    }

    /// Everybody's signature over a policy set, also over one with mistakes.
    pub(crate) fn sign_policies(&self, files: &[PolicyFile]) -> Vec<ControllerSignature> {
        self.sign(Paper::PolicyBundle, &signed_text(files))
    }

    fn sign(&self, paper: Paper, bytes: &[u8]) -> Vec<ControllerSignature> {
        let signatures = self.0.iter().map(|(name, key)| ControllerSignature {
            controller: name.clone(),
            signature: key.sign(paper, bytes).bytes().to_vec(),
        });
        signatures.collect()
    }
}

/// The directory as it was laid, to be changed.
pub(crate) fn directory(folder: &Folder) -> DirectoryFile {
    let text = std::fs::read_to_string(folder.path().join("directory.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// A directory as a file.
pub(crate) fn directory_text(directory: &DirectoryFile) -> String {
    toml::to_string(directory).unwrap()
}

/// The signed part of the policy set as it was laid.
pub(crate) fn policy_files(folder: &Folder) -> Vec<PolicyFile> {
    let files = files::policies(&folder.path().join("policies")).unwrap();
    let signed = files
        .into_iter()
        .filter(|(path, _)| PolicyBundle::is_signed_path(path));
    signed
        .map(|(path, content)| PolicyFile { path, content })
        .collect()
}

/// The files as the set that follows the one that is made of `before`.
pub(crate) fn following(before: &[PolicyFile], files: &[PolicyFile]) -> Vec<PolicyFile> {
    let place = |file: &&PolicyFile| file.path == "version.toml";
    let present = before.iter().find(place).unwrap();
    let present: toml::Table = String::from_utf8_lossy(&present.content).parse().unwrap();
    let version = present["version"].as_integer().unwrap() + 1;
    let name = hex::encode(&sha256(&signed_text(before)));
    let mut files = files.to_vec();
    let file = files.iter_mut().find(|file| file.path == "version.toml");
    file.unwrap().content = numbered(version, &name);
    files
}

/// A `version.toml`.
pub(crate) fn numbered(version: i64, predecessor: &str) -> Vec<u8> {
    format!("version = {version}\npredecessor = \"{predecessor}\"\n").into_bytes()
}

/// What controllers sign of a policy set: each path with its content's digest, sorted.
pub(crate) fn signed_text(files: &[PolicyFile]) -> Vec<u8> {
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| format!("{}\0{}\n", file.path, hex::encode(&sha256(&file.content))))
        .collect();
    lines.sort();
    lines.concat().into_bytes()
}

/// Writes a signature file, as servers read it at their first start.
pub(crate) fn write_signatures(path: &Path, signatures: &[ControllerSignature]) {
    let lines = signatures.iter().map(|signed| SignatureLine {
        controller: signed.controller.clone(),
        signature: hex::encode(&signed.signature),
    });
    let file = SignatureFile {
        signature: lines.collect(),
    };
    files::write_signatures(path, &file).unwrap();
}
