//! The shape of `directory.toml`, for reading and for writing with any TOML writer.
//!
//! Plain texts and numbers as they stand in the file. Must never be used to decide: only a
//! [`Directory`](super::Directory) that was parsed from it may.

use super::paper::{edge_bytes, sealing_key_bytes};
use crate::hex;
use serde::{Deserialize, Serialize};

/// The whole file. Octets are lowercase hexadecimal, times milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryFile {
    /// Rises with every file.
    pub version: u64,
    /// When the file was issued.
    pub issued_at_millis: i64,
    /// Last moment at which anything may be shared or converted under it; after it was issued.
    pub valid_until_millis: i64,
    /// Present epoch of the portal's domain, from 1.
    pub portal_epoch: u32,
    /// Present epoch of all relations, from 1.
    pub relation_epoch: u32,
    /// OINs of the key holders in walking order.
    pub holders: Vec<String>,
    /// Organisations.
    #[serde(default, rename = "peer", skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerFile>,
    /// Edges.
    #[serde(default, rename = "edge", skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<EdgeFile>,
    /// The parts in which the other organisations and edges stand; none in a directory of one piece.
    #[serde(default, rename = "part", skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartEntry>,
    /// Revoked certificates' keys.
    #[serde(default, rename = "revoked", skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<RevokedFile>,
}

/// One `[[part]]`: which octets follow the head, or are fetched for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    /// SHA-256 of the part, 32 octets.
    pub sha256: String,
    /// Its length in octets.
    pub bytes: usize,
}

/// One part: organisations and edges, of the same shape as in the head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFile {
    /// Organisations.
    #[serde(default, rename = "peer", skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerFile>,
    /// Edges.
    #[serde(default, rename = "edge", skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<EdgeFile>,
}

/// One `[[peer]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerFile {
    /// OIN, 20 positions.
    pub oin: String,
    /// Name, for people.
    pub name: String,
    /// Kind, for example `UWV`.
    pub kind: String,
    /// Realms.
    #[serde(default, rename = "realm")]
    pub realms: Vec<RealmFile>,
    /// Desks.
    #[serde(default, rename = "desk")]
    pub desks: Vec<DeskFile>,
}

/// One `[[peer.realm]]`. The four keys about the sealing key come together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmFile {
    /// Name, `main` for most.
    pub name: String,
    /// Present epoch of its pseudonyms, from 1.
    pub epoch: u32,
    /// Number of its present context, from 1.
    pub context: u32,
    /// X-Wing public key, 1,216 octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<String>,
    /// Last moment at which it may be sealed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key_valid_until_millis: Option<i64>,
    /// Ed25519 signature over [`RealmFile::signed_bytes`] with its domain separation, 64 octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key_signature: Option<String>,
    /// The realm's desk that signed, with the right `represent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key_signed_by: Option<String>,
    /// What it is called towards people, such as "het regioteam van Noord-Holland Noord"; empty: as its organisation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Whether it stands apart from every department that decides on benefits. It gets no BSN, and no desk of it has the
    /// right `bsn`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub neutral: bool,
    /// The regions of which it is the centre, for purposes that go to a region's centre. It is neutral then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub centre_of: Vec<String>,
}

impl RealmFile {
    /// What the desk signs (paper `sealing-key`), given the organisation; nothing without a key that
    /// is hexadecimal and has an end.
    #[must_use]
    pub fn signed_bytes(&self, oin: &str) -> Option<Vec<u8>> {
        let key = hex::decode(self.sealing_key.as_deref()?)?;
        let party = format!("{oin}/{}", self.name);
        Some(sealing_key_bytes(
            &party,
            &key,
            self.sealing_key_valid_until_millis?,
        ))
    }
}

/// One `[[peer.desk]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskFile {
    /// Name within the organisation.
    pub name: String,
    /// The one realm that it acts for.
    pub realm: String,
    /// Region; empty when it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// SHA-256 of its certificate's SubjectPublicKeyInfo, 32 octets.
    pub spki_sha256: String,
    /// Ed25519 public key, 32 octets.
    pub signing_key: String,
    /// Codes of its rights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<String>,
}

/// One `[[edge]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeFile {
    /// Sender, `<OIN>/<realm>`.
    pub from: String,
    /// Recipient, `<OIN>/<realm>`.
    pub to: String,
    /// Purpose.
    pub purpose: String,
    /// Regions; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// From this moment on.
    pub valid_from_millis: i64,
    /// Up to and including this moment.
    pub valid_until_millis: i64,
    /// The sender's desk that signed, with the right `represent`.
    pub from_desk: String,
    /// Its signature over [`EdgeFile::signed_bytes`] with its domain separation, 64 octets.
    pub from_signature: String,
    /// The recipient's desk that signed, with the right `represent`.
    pub to_desk: String,
    /// Its signature, likewise.
    pub to_signature: String,
    /// How long each step may take, where the two agreed on other times than the register's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<EdgeTimers>,
}

impl EdgeFile {
    /// What both desks sign (paper `edge`).
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let regions: Vec<&str> = self.regions.iter().map(String::as_str).collect();
        edge_bytes(
            &self.from,
            &self.to,
            &self.purpose,
            &regions,
            self.valid_from_millis,
            self.valid_until_millis,
            self.timers.as_ref(),
        )
    }
}

/// The `timers` of an `[[edge]]`: all four or none. Each is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeTimers {
    /// From permission to offer, in hours.
    pub prepared_hours: u32,
    /// From offer to the recipient's decision, in working days.
    pub offer_working_days: u32,
    /// From acceptance to release, in working days.
    pub release_working_days: u32,
    /// From release to the contact with the candidate, in days.
    pub complete_days: u32,
}

impl EdgeTimers {
    /// The four, in the order in which they are signed.
    #[must_use]
    pub const fn numbers(&self) -> [u32; 4] {
        [
            self.prepared_hours,
            self.offer_working_days,
            self.release_working_days,
            self.complete_days,
        ]
    }

    /// How long a handover may stay open by these, at most, in days. A working day is counted as two and a
    /// begun day as a whole one, which covers weekends and holidays.
    #[must_use]
    pub const fn open_days_max(&self) -> u64 {
        let [hours, offer, release, complete] = self.numbers();
        let working = (offer as u64).saturating_add(release as u64);
        (hours as u64)
            .div_ceil(24)
            .saturating_add(working.saturating_mul(2))
            .saturating_add(complete as u64)
    }
}

/// One `[[revoked]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedFile {
    /// SHA-256 of the certificate's SubjectPublicKeyInfo, 32 octets.
    pub spki_sha256: String,
    /// When it was revoked; not after the file was issued.
    pub at_millis: i64,
}
