//! Writes the sandbox's `directory.toml`: organisations, realms, desks, keys, and edges that both sides
//! have signed.
//!
//! Must never hold a private key longer than one signature takes.

use super::SandboxError;
use super::cast::{self, Agreement, DeskRole, Organisation, REGION, TEAM_REALM, TEAM_TITLE};
use rules::clock::Timestamp;
use rules::directory::{DeskFile, DirectoryFile, EdgeFile, PeerFile, RealmFile};
use rules::hex;
use rules::limits::{DAY_MILLIS, DIRECTORY_DAYS_MAX};
use std::collections::BTreeMap;
use vault::keyfile::{KeyFile, SecretName};
use vault::sealing::OpeningKey;
use vault::sign::{Paper, SigningKey};

/// Days for which edges and sealing keys of the sandbox hold.
const VALID_DAYS: i64 = 30;
/// Days for which the sandbox's directory itself holds: as long as one may.
const DIRECTORY_DAYS: i64 = DIRECTORY_DAYS_MAX;

/// What a desk brings into the directory.
pub(crate) struct DeskKeys {
    /// SHA-256 of its certificate's public key.
    pub(crate) spki_sha256: [u8; 32],
    /// Its key file.
    pub(crate) key_file: KeyFile,
}

/// The directory of the whole cast.
///
/// # Errors
///
/// When a desk has no keys: a fault of the cast.
pub(crate) fn directory(
    keys: &BTreeMap<&'static str, DeskKeys>,
    now: Timestamp,
) -> Result<DirectoryFile, SandboxError> {
    let begin = now.plus_millis(-DAY_MILLIS).millis();
    let end = now
        .plus_millis(VALID_DAYS.saturating_mul(DAY_MILLIS))
        .millis();
    let peers: Result<_, _> = cast::ORGANISATIONS
        .iter()
        .map(|organisation| peer(organisation, keys, end))
        .collect();
    let edges: Result<_, _> = cast::AGREEMENTS
        .iter()
        .map(|agreement| edge(agreement, keys, begin, end))
        .collect();
    Ok(DirectoryFile {
        version: 1,
        issued_at_millis: now.millis(),
        valid_until_millis: now
            .plus_millis(DIRECTORY_DAYS.saturating_mul(DAY_MILLIS))
            .millis(),
        portal_epoch: 1,
        relation_epoch: 1,
        holders: holders(),
        peers: peers?,
        edges: edges?,
        parts: Vec::new(),
        revoked: Vec::new(),
    })
}

fn holders() -> Vec<String> {
    cast::ORGANISATIONS
        .iter()
        .filter(|organisation| organisation.kind == "HOLDER")
        .map(|organisation| organisation.oin.to_owned())
        .collect()
}

fn peer(
    organisation: &Organisation,
    keys: &BTreeMap<&'static str, DeskKeys>,
    end_millis: i64,
) -> Result<PeerFile, SandboxError> {
    let mut realms: Vec<RealmFile> = Vec::new();
    for desk in organisation.desks {
        if !realms.iter().any(|realm| realm.name == desk.realm) {
            realms.push(realm(organisation, desk, keys, end_millis)?);
        }
    }
    let desks: Result<_, _> = organisation
        .desks
        .iter()
        .map(|desk| {
            let keys = of(keys, desk.identity)?;
            Ok::<_, SandboxError>(DeskFile {
                name: desk.desk.to_owned(),
                realm: desk.realm.to_owned(),
                region: desk.region.unwrap_or_default().to_owned(),
                function: desk.desk.to_owned(),
                spki_sha256: hex::encode(&keys.spki_sha256),
                signing_key: hex::encode(signing_key(keys)?.public().bytes()),
                rights: desk
                    .rights
                    .iter()
                    .map(|right| (*right).to_owned())
                    .collect(),
            })
        })
        .collect();
    Ok(PeerFile {
        oin: organisation.oin.to_owned(),
        name: organisation.title.to_owned(),
        kind: organisation.kind.to_owned(),
        realms,
        desks: desks?,
    })
}

/// A realm. Its first desk represents it, and one that may not represent has nothing to be sealed to.
fn realm(
    organisation: &Organisation,
    desk: &DeskRole,
    keys: &BTreeMap<&'static str, DeskKeys>,
    end_millis: i64,
) -> Result<RealmFile, SandboxError> {
    let mut realm = RealmFile {
        name: desk.realm.to_owned(),
        epoch: 1,
        context: 1,
        ..RealmFile::default()
    };
    if desk.realm == TEAM_REALM {
        realm.neutral = true;
        realm.centre_of = vec![REGION.to_owned()];
        realm.title = TEAM_TITLE.to_owned();
    }
    if !desk.rights.contains(&"represent") {
        return Ok(realm);
    }
    let keys = of(keys, desk.identity)?;
    let opening = OpeningKey::from_seed(keys.key_file.require(SecretName::OpeningSeed)?);
    realm.sealing_key = Some(hex::encode(opening.public().bytes()));
    realm.sealing_key_valid_until_millis = Some(end_millis);
    realm.sealing_key_signed_by = Some(desk.desk.to_owned());
    if let Some(bytes) = realm.signed_bytes(organisation.oin) {
        let signature = signing_key(keys)?.sign(Paper::SealingKey, &bytes);
        realm.sealing_key_signature = Some(hex::encode(signature.bytes()));
    }
    Ok(realm)
}

fn edge(
    agreement: &Agreement,
    keys: &BTreeMap<&'static str, DeskKeys>,
    begin_millis: i64,
    end_millis: i64,
) -> Result<EdgeFile, SandboxError> {
    let sides = [agreement.sender, agreement.recipient].map(|identity| {
        cast::desk(identity).ok_or_else(|| SandboxError::Cast(identity.to_owned()))
    });
    let [from, to] = sides;
    let ((sender, from_desk), (recipient, to_desk)) = (from?, to?);
    let inside = [from_desk, to_desk]
        .iter()
        .all(|desk| desk.region == Some(REGION));
    let mut edge = EdgeFile {
        from: format!("{}/{}", sender.oin, from_desk.realm),
        to: format!("{}/{}", recipient.oin, to_desk.realm),
        purpose: agreement.purpose.to_owned(),
        regions: if inside {
            vec![REGION.to_owned()]
        } else {
            Vec::new()
        },
        valid_from_millis: begin_millis,
        valid_until_millis: end_millis,
        from_desk: from_desk.desk.to_owned(),
        to_desk: to_desk.desk.to_owned(),
        ..EdgeFile::default()
    };
    let bytes = edge.signed_bytes();
    let sign = |identity| {
        let signature = signing_key(of(keys, identity)?)?.sign(Paper::Edge, &bytes);
        Ok::<_, SandboxError>(hex::encode(signature.bytes()))
    };
    edge.from_signature = sign(agreement.sender)?;
    edge.to_signature = sign(agreement.recipient)?;
    Ok(edge)
}

fn of<'a>(
    keys: &'a BTreeMap<&'static str, DeskKeys>,
    identity: &str,
) -> Result<&'a DeskKeys, SandboxError> {
    keys.get(identity)
        .ok_or_else(|| SandboxError::Cast(identity.to_owned()))
}

fn signing_key(keys: &DeskKeys) -> Result<SigningKey, SandboxError> {
    Ok(SigningKey::from_seed(
        keys.key_file.require(SecretName::SigningSeed)?,
    ))
}
