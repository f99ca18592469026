//! A directory on its way in: its parts collected, everything in it that was signed verified.
//!
//! Must never keep an octet for which no head that all controllers signed vouches.

use crate::controllers::{Controller, SignedByAll, need_signed};
use rules::directory::{Directory, Head, head, join};
use rules::reason::{Reason, Refusal, Violation};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use vault::digest::sha256;
use vault::sign::{Paper, Signature, VerifyingKey};

fn invalid(violations: Vec<Violation>) -> Refusal {
    Refusal {
        reason: Reason::DirectoryInvalid,
        violations,
    }
}

/// The head of a file, when all controllers signed it.
fn signed_head<'a>(
    controllers: &[Controller],
    file: &'a SignedByAll<Vec<u8>>,
) -> Result<&'a [u8], Refusal> {
    let head = head(&file.content);
    let reason = Reason::DirectorySignatureInvalid;
    need_signed(
        controllers,
        (Paper::Directory, head),
        &file.signatures,
        reason,
    )?;
    Ok(head)
}

fn text(octets: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(octets)
        .map_err(|_| invalid(vec![Violation::new("directory_toml", "is not UTF-8")]))
}

/// Reads a directory file and verifies all signatures: the controllers' over its head, and within it both peers' over
/// each edge and each owner's over its sealing key, other than those that stand in `verified` already. With some
/// 10,000 edges it takes a second: not for the threads that serve connections.
///
/// # Errors
/// The refusal, with every mistake.
pub fn verify_directory(
    controllers: &[Controller],
    file: &SignedByAll<Vec<u8>>,
    verified: Option<&Directory>,
) -> Result<Directory, Refusal> {
    signed_head(controllers, file)?;
    let directory = Directory::parse(text(&file.content)?, &sha256).map_err(invalid)?;
    let wrong: Vec<Violation> = directory
        .signatures(verified)
        .iter()
        .filter(|paper| {
            !VerifyingKey::from_bytes(paper.signing_key).verify(
                paper_of(paper.paper),
                &paper.bytes,
                &Signature::from_bytes(paper.signature),
            )
        })
        .map(|paper| Violation::new(paper.what.clone(), "its signature does not verify"))
        .collect();
    if wrong.is_empty() {
        Ok(directory)
    } else {
        Err(invalid(wrong))
    }
}

fn paper_of(paper: rules::directory::Paper) -> Paper {
    match paper {
        rules::directory::Paper::Edge => Paper::Edge,
        rules::directory::Paper::SealingKey => Paper::SealingKey,
    }
}

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Version of the directory in force.
    pub version: i64,
    /// Digests of the parts that are still to be sent before the directory can be put in force; none when it is.
    pub missing: Vec<[u8; 32]>,
}

/// A directory of which something came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// All of it is here, in one file.
    Whole(SignedByAll<Vec<u8>>),
    /// These parts are not.
    Missing(Vec<[u8; 32]>),
}

/// The parts that came for the last head that all controllers signed.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Collected>);

#[derive(Debug, Default)]
struct Collected {
    head: Vec<u8>,
    parts: BTreeMap<[u8; 32], Vec<u8>>,
}

impl Waiting {
    /// Takes in a head with some of its parts. A part that stands in the directory in force, of which `in_force` are
    /// the file's octets too, need not come.
    ///
    /// # Errors
    /// `DIRECTORY_SIGNATURE_INVALID`, `DIRECTORY_INVALID` for a wrong list or a part that is not on it,
    /// `DIRECTORY_VERSION_LOWER`.
    pub fn take_in(
        &self,
        controllers: &[Controller],
        file: SignedByAll<Vec<u8>>,
        sent: Vec<Vec<u8>>,
        (directory, in_force): (&Directory, &[u8]),
    ) -> Result<Came, Refusal> {
        let first = signed_head(controllers, &file)?;
        let read = Head::parse(text(first)?).map_err(invalid)?;
        if read.version <= directory.version() {
            return Err(Refusal::new(Reason::DirectoryVersionLower));
        }
        let listed = read.parts;
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if collected.head != first {
            *collected = Collected {
                head: first.to_vec(),
                parts: BTreeMap::new(),
            };
        }
        for part in sent {
            let named = (sha256(&part), part.len());
            if !listed.contains(&named) {
                let text = "not one of the parts that the directory lists";
                return Err(invalid(vec![Violation::new("parts", text)]));
            }
            collected.parts.insert(named.0, part);
        }
        if first.len() < file.content.len() {
            // In one file already, as it lies on a disk.
            return Ok(Came::Whole(file));
        }
        let here = |digest: &[u8; 32]| {
            let mut known = directory.parts().iter();
            let came = collected.parts.get(digest).map(Vec::as_slice);
            came.or_else(|| {
                let part = known.find(|part| part.sha256 == *digest)?;
                in_force.get(part.place.clone())
            })
        };
        let (mut parts, mut missing) = (Vec::new(), Vec::new());
        for (digest, _) in &listed {
            match here(digest) {
                Some(part) => parts.push(part),
                None => missing.push(*digest),
            }
        }
        if !missing.is_empty() {
            return Ok(Came::Missing(missing));
        }
        let content = join(first, parts);
        *collected = Collected::default();
        Ok(Came::Whole(SignedByAll {
            content,
            signatures: file.signatures,
        }))
    }
}
