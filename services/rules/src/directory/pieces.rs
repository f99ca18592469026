//! A directory in pieces: the head, which the controllers sign, and the parts that it lists by their digests.
//!
//! Must never take a part for one of a directory whose signed head does not list its digest.

use super::file::{DirectoryFile, PartEntry};
use crate::hex;
use crate::limits::{
    DIRECTORY_BYTES_MAX, DIRECTORY_HEAD_BYTES_MAX, DIRECTORY_PART_BYTES_MAX, DIRECTORY_PARTS_MAX,
};
use crate::reason::Violation;
use std::ops::Range;

/// The line between the pieces of a directory in one file, a comment of TOML, with the line ends around it. It
/// belongs to no piece.
pub const PART_LINE: &str = "\n# ---- part ----\n";

/// A part of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of its octets.
    pub sha256: [u8; 32],
    /// Where it stands in the file.
    pub place: Range<usize>,
}

/// A head as it was read: nothing of it has been looked at but its list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The directory's version.
    pub version: u64,
    /// Digest and length of every part, in their order; none in a directory of one piece.
    pub parts: Vec<([u8; 32], usize)>,
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// Every mistake in its shape and in its list of parts.
    pub fn parse(text: &str) -> Result<Self, Vec<Violation>> {
        let file = file(text)?;
        Ok(Self {
            version: file.version,
            parts: listed(text, &file.parts)?,
        })
    }
}

/// What the controllers sign of a directory: all before its first part.
#[must_use]
pub fn head(content: &[u8]) -> &[u8] {
    let line = PART_LINE.as_bytes();
    let end = content
        .windows(line.len())
        .position(|octets| octets == line);
    end.and_then(|end| content.get(..end)).unwrap_or(content)
}

/// One file from a head and its parts, in the order in which the head lists them.
#[must_use]
pub fn join<'a>(head: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut content = head.to_vec();
    for part in parts {
        content.extend_from_slice(PART_LINE.as_bytes());
        content.extend_from_slice(part);
    }
    content
}

pub(super) fn file(head: &str) -> Result<DirectoryFile, Vec<Violation>> {
    toml::from_str(head).map_err(|error| {
        vec![Violation::new(
            "directory",
            format!("not the shape of a directory file: {}", error.message()),
        )]
    })
}

/// The head's list of parts, when none is too large and there are not too many.
fn listed(head: &str, entries: &[PartEntry]) -> Result<Vec<([u8; 32], usize)>, Vec<Violation>> {
    let mut wrong = Vec::new();
    if entries.len() > DIRECTORY_PARTS_MAX {
        let most = format!("at most {DIRECTORY_PARTS_MAX} are allowed");
        return Err(vec![Violation::new("part", most)]);
    }
    if !entries.is_empty() && head.len() > DIRECTORY_HEAD_BYTES_MAX {
        let most = format!("the head is larger than {DIRECTORY_HEAD_BYTES_MAX} bytes");
        wrong.push(Violation::new("directory", most));
    }
    let all = entries.iter().map(|entry| entry.bytes);
    if all.fold(0, usize::saturating_add) > DIRECTORY_BYTES_MAX {
        let most = format!("together larger than {DIRECTORY_BYTES_MAX} bytes");
        wrong.push(Violation::new("part", most));
    }
    let mut parts: Vec<([u8; 32], usize)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut note = |field: &str, text: &str| {
            wrong.push(Violation::new(format!("part[{index}].{field}"), text));
        };
        if entry.bytes > DIRECTORY_PART_BYTES_MAX {
            note("bytes", &format!("larger than {DIRECTORY_PART_BYTES_MAX}"));
        }
        match hex::decode(&entry.sha256).and_then(|octets| octets.try_into().ok()) {
            None => note("sha256", "not 32 octets in lowercase hexadecimal"),
            Some(sha256) if parts.iter().any(|(other, _)| *other == sha256) => {
                note("sha256", "occurs twice");
            }
            Some(sha256) => parts.push((sha256, entry.bytes)),
        }
    }
    if wrong.is_empty() {
        Ok(parts)
    } else {
        Err(wrong)
    }
}

/// The parts in a file, each with its text: those that the head lists, in that order, and no others.
pub(super) fn parts<'a>(
    content: &'a str,
    head: &str,
    entries: &[PartEntry],
    sha256: &dyn Fn(&[u8]) -> [u8; 32],
) -> Result<Vec<(Part, &'a str)>, Vec<Violation>> {
    let listed = listed(head, entries)?;
    let texts: Vec<&str> = content.split(PART_LINE).skip(1).collect();
    if texts.len() != listed.len() {
        let counts = format!("{} are listed and {} follow", listed.len(), texts.len());
        return Err(vec![Violation::new("part", counts)]);
    }
    let mut begin = head.len();
    let mut parts = Vec::new();
    let mut wrong = Vec::new();
    for (index, ((digest, bytes), text)) in listed.into_iter().zip(texts).enumerate() {
        begin = begin.saturating_add(PART_LINE.len());
        let end = begin.saturating_add(text.len());
        if text.len() != bytes || sha256(text.as_bytes()) != digest {
            let at = format!("part[{index}]");
            wrong.push(Violation::new(
                at,
                "not of the length and digest that are listed",
            ));
        }
        let part = Part {
            sha256: digest,
            place: begin..end,
        };
        parts.push((part, text));
        begin = end;
    }
    if wrong.is_empty() {
        Ok(parts)
    } else {
        Err(wrong)
    }
}
