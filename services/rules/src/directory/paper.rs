//! The bytes that are signed inside the directory: edges and sealing keys.
//!
//! Every part is preceded by its length, so that no two papers share their bytes. Must never depend
//! on how the file is written: the file may be laid out anew without new signatures.

use super::file::EdgeTimers;
use super::{Directory, Edge, Peer, Realm};
use crate::id::{DeskName, Oin};
use crate::pseudonym::Relation;

/// A kind of signed paper in the directory. Its name goes before the signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    /// An edge, signed by both sides.
    Edge,
    /// A sealing key, signed by its realm's own desk.
    SealingKey,
}

impl Paper {
    /// The name between `sluis/` and `/v1` in the domain separation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::SealingKey => "sealing-key",
        }
    }

    /// What is put before the signed bytes: `sluis/<paper>/v1` and a zero byte.
    #[must_use]
    pub const fn separation(self) -> &'static [u8] {
        match self {
            Self::Edge => b"sluis/edge/v1\0",
            Self::SealingKey => b"sluis/sealing-key/v1\0",
        }
    }
}

/// A signature in the directory with all that is needed to verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaperSignature {
    /// What was signed, for the domain separation.
    pub paper: Paper,
    /// What was signed, for people.
    pub what: String,
    /// Ed25519 key of the desk that must have signed.
    pub signing_key: [u8; 32],
    /// The bytes without domain separation.
    pub bytes: Vec<u8>,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

/// What both desks of an edge sign. Parties as `<OIN>/<realm>`, regions in the order of the file; the
/// timers come last and only where there are some, so that an edge without is signed as it always was.
#[must_use]
pub fn edge_bytes(
    from: &str,
    to: &str,
    purpose: &str,
    regions: &[&str],
    valid_from_millis: i64,
    valid_until_millis: i64,
    timers: Option<&EdgeTimers>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in [from, to, purpose] {
        push(&mut bytes, part.as_bytes());
    }
    push_length(&mut bytes, regions.len());
    for region in regions {
        push(&mut bytes, region.as_bytes());
    }
    bytes.extend(valid_from_millis.to_be_bytes());
    bytes.extend(valid_until_millis.to_be_bytes());
    for number in timers.iter().flat_map(|timers| timers.numbers()) {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// What a realm's desk signs for its sealing key. Party as `<OIN>/<realm>`.
#[must_use]
pub fn sealing_key_bytes(party: &str, public_key: &[u8], valid_until_millis: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, party.as_bytes());
    push(&mut bytes, public_key);
    bytes.extend(valid_until_millis.to_be_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    push_length(bytes, part.len());
    bytes.extend(part);
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    // Eight octets: no length that fits in memory can be cut off.
    bytes.extend((length as u64).to_be_bytes());
}

impl Directory {
    /// Every signature inside the file with the key and the bytes that it is over, other than those that stand in
    /// `verified`, by the same key over the same bytes. All must verify.
    #[must_use]
    pub fn signatures(&self, verified: Option<&Self>) -> Vec<PaperSignature> {
        let keys = self
            .peers()
            .flat_map(Peer::realms)
            .filter(|realm| !verified.is_some_and(|other| self.shares_realm(other, realm)))
            .filter_map(|realm| self.sealing_key_signature(realm));
        let edges = self
            .edges()
            .filter(|edge| !verified.is_some_and(|other| self.shares_edge(other, edge)))
            .flat_map(|edge| self.edge_signatures(edge))
            .flatten();
        keys.chain(edges).collect()
    }

    fn shares_realm(&self, other: &Self, realm: &Realm) -> bool {
        let theirs = other.realm(&realm.party);
        let Some(key) = &realm.sealing_key else {
            return true;
        };
        theirs.is_some_and(|theirs| theirs.sealing_key.as_ref() == Some(key))
            && self.shares_key(other, &realm.party.oin, &key.signed_by)
    }

    fn shares_edge(&self, other: &Self, edge: &Edge) -> bool {
        let Relation { from, to, .. } = &edge.relation;
        let theirs = other.edges.get(&edge.relation);
        theirs.is_some_and(|theirs| theirs.contains(edge))
            && self.shares_key(other, &from.oin, &edge.from_desk)
            && self.shares_key(other, &to.oin, &edge.to_desk)
    }

    /// Whether a desk signs with the same key in another directory.
    fn shares_key(&self, other: &Self, oin: &Oin, desk: &DeskName) -> bool {
        let key = |directory: &Self| Some(directory.desk(oin, desk)?.signing_key);
        key(self).is_some_and(|own| key(other) == Some(own))
    }

    fn sealing_key_signature(&self, realm: &Realm) -> Option<PaperSignature> {
        let key = realm.sealing_key.as_ref()?;
        Some(PaperSignature {
            paper: Paper::SealingKey,
            what: format!("sealing key of {}", realm.party),
            signing_key: self.desk(&realm.party.oin, &key.signed_by)?.signing_key,
            bytes: realm.signed_bytes()?,
            signature: key.signature,
        })
    }

    fn edge_signatures(&self, edge: &Edge) -> [Option<PaperSignature>; 2] {
        let Relation { from, to, .. } = &edge.relation;
        let sides = [
            (from, &edge.from_desk, &edge.from_signature),
            (to, &edge.to_desk, &edge.to_signature),
        ];
        sides.map(|(party, desk, signature)| {
            Some(PaperSignature {
                paper: Paper::Edge,
                what: format!("edge {} signed by {party}", edge.relation),
                signing_key: self.desk(&party.oin, desk)?.signing_key,
                bytes: edge.signed_bytes(),
                signature: *signature,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{EdgeTimers, edge_bytes, sealing_key_bytes};

    fn timers(prepared_hours: u32, offer_working_days: u32) -> EdgeTimers {
        EdgeTimers {
            prepared_hours,
            offer_working_days,
            release_working_days: 2,
            complete_days: 14,
        }
    }

    #[test]
    fn every_part_counts_and_none_can_move_into_another() {
        let papers = [
            edge_bytes("a", "bc", "P", &[], 1, 2, None),
            edge_bytes("ab", "c", "P", &[], 1, 2, None),
            edge_bytes("a", "bc", "P", &["R"], 1, 2, None),
            edge_bytes("a", "bc", "P", &["R", "S"], 1, 2, None),
            edge_bytes("a", "bc", "P", &["RS"], 1, 2, None),
            edge_bytes("a", "bc", "Q", &[], 1, 2, None),
            edge_bytes("a", "bc", "P", &[], 2, 1, None),
            edge_bytes("a", "bc", "P", &[], 1, 2, Some(&timers(24, 5))),
            edge_bytes("a", "bc", "P", &[], 1, 2, Some(&timers(5, 24))),
            sealing_key_bytes("a", b"bc", 1),
            sealing_key_bytes("ab", b"c", 1),
            sealing_key_bytes("a", b"bc", 2),
        ];
        for (index, paper) in papers.iter().enumerate() {
            assert!(!papers[..index].contains(paper), "{index}");
        }
    }
}
