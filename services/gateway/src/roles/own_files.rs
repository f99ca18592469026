//! What a role has on its own disk, looked over before it asks anybody else: by a start and by `sluis config check` alike.
//!
//! Must never change anything, and must never be content with the first mistake: all of them are told at once.

use super::StartError;
use super::broker::controllers;
use super::broker::day_keys::DayKeyFolder;
use super::holder::holder_keys;
use crate::clock::SystemClock;
use crate::configuration::{Configuration, Role, SignedPath};
use crate::door::certificate::PeerCertificate;
use crate::door::reload::settings;
use crate::files::{self, FileError, check_private};
use crate::policies;
use client::credentials::Credentials;
use holder::Pinned;
use papers::controllers::{ControllerSignature, PolicyFiles, SignedByAll, verify_policy_set};
use papers::directory::verify_directory;
use rules::clock::Clock as _;
use rules::directory::Directory;
use rules::policy::PolicyBundle;
use std::path::Path;
use vault::context::HolderCommitment;
use vault::keyfile::{KeyFile, Role as KeyRole};

/// What all roles have.
pub struct OwnFiles {
    /// The role's keys.
    pub key_file: KeyFile,
    /// The way to its database, with the password.
    pub database: store::Settings,
    /// What its certificate says.
    pub certificate: PeerCertificate,
    /// Every holder's commitment, as configured once: a context's walk is checked against these and nothing that comes
    /// with it.
    pub pinned: Pinned,
    /// What the controllers signed.
    pub signed: SignedFiles,
}

/// The signed files of the configuration, verified.
pub struct SignedFiles {
    /// The directory.
    pub directory: Directory,
    /// As it was signed.
    pub directory_file: SignedByAll<Vec<u8>>,
    /// The policy set, of a role that has one.
    pub policy: Option<(PolicyBundle, SignedByAll<PolicyFiles>)>,
}

/// Reads and checks all of them.
///
/// # Errors
/// Everything that is wrong.
pub fn read(configuration: &Configuration) -> Result<OwnFiles, StartError> {
    let looked = (
        certificate(configuration),
        key_file(configuration).map_err(StartError::from),
        configuration.database().open().map_err(StartError::from),
        pinned(configuration),
        signed(configuration),
        day_keys(configuration).map_err(StartError::from),
    );
    match looked {
        (Ok(certificate), Ok(key_file), Ok(database), Ok(pinned), Ok(signed), Ok(())) => {
            if let Role::Holder(_) = &configuration.role {
                own_commitment(&key_file, &certificate, &pinned)?;
            }
            Ok(OwnFiles {
                key_file,
                database,
                certificate,
                pinned,
                signed,
            })
        }
        (one, two, three, four, five, six) => Err(StartError::all([
            one.err(),
            two.err(),
            three.err(),
            four.err(),
            five.err(),
            six.err(),
        ])),
    }
}

/// Reads the role's key file.
pub(crate) fn key_file(configuration: &Configuration) -> Result<KeyFile, FileError> {
    let role = match &configuration.role {
        Role::Broker(_) => KeyRole::Broker,
        Role::Holder(_) => KeyRole::Holder,
        Role::Portal(_) => KeyRole::Portal,
    };
    files::key_file(&configuration.key_file, role)
}

/// The own certificate, which goes with its key and its chain, is valid now and can serve at a door.
pub(crate) fn certificate(configuration: &Configuration) -> Result<PeerCertificate, StartError> {
    let tls = &configuration.tls;
    check_private(&tls.key)?;
    let credentials = Credentials::load(tls)?;
    credentials.valid_at(&tls.certificate, SystemClock.now())?;
    settings(&credentials)?;
    let leaf = credentials.chain.first();
    leaf.and_then(|leaf| PeerCertificate::read(leaf, configuration.oin_element))
        .ok_or_else(|| StartError::Disagreement("the own certificate cannot be read".to_owned()))
}

fn pinned(configuration: &Configuration) -> Result<Pinned, StartError> {
    let (mut pinned, mut wrong) = (Pinned::new(), Vec::new());
    for (oin, octets) in &configuration.commitments {
        match HolderCommitment::parse(octets) {
            Ok(commitment) => drop(pinned.insert(oin.clone(), commitment)),
            Err(_) => wrong.push(Some(StartError::Disagreement(format!(
                "the commitment of {oin} under `commitments` is not one; take over what `sluis keys new --role holder` printed there"
            )))),
        }
    }
    if wrong.is_empty() {
        Ok(pinned)
    } else {
        Err(StartError::all(wrong))
    }
}

/// A key holder's own commitment is that of its key file: of two that stand in each other's place, one is its own.
fn own_commitment(
    key_file: &KeyFile,
    certificate: &PeerCertificate,
    pinned: &Pinned,
) -> Result<(), StartError> {
    let own = certificate.oin.as_ref().and_then(|oin| pinned.get(oin));
    let keys = holder_keys(key_file)?;
    match own {
        Some(own) if *own != keys.commitment() => {
            Err(::holder::StartError::CommitmentDiffers.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// The day keys that are there can be read; a broker makes the others.
fn day_keys(configuration: &Configuration) -> Result<(), FileError> {
    match &configuration.role {
        Role::Broker(settings) => DayKeyFolder::at(&settings.day_keys).check(),
        Role::Holder(_) | Role::Portal(_) => Ok(()),
    }
}

/// The files that the controllers signed.
///
/// # Errors
/// Everything that is wrong with them.
pub fn signed(configuration: &Configuration) -> Result<SignedFiles, StartError> {
    let set = match &configuration.role {
        Role::Broker(settings) => Some(&settings.policies),
        Role::Portal(settings) => Some(&settings.policies),
        Role::Holder(_) => None,
    };
    let policy = set.map(|set| policy(configuration, set)).transpose();
    match (directory(configuration), policy) {
        (Ok((directory, directory_file)), Ok(policy)) => Ok(SignedFiles {
            directory,
            directory_file,
            policy,
        }),
        (directory, policy) => Err(StartError::all([directory.err(), policy.err()])),
    }
}

fn directory(
    configuration: &Configuration,
) -> Result<(Directory, SignedByAll<Vec<u8>>), StartError> {
    let file = SignedByAll {
        content: files::read(&configuration.directory.path)?,
        signatures: signatures(&configuration.directory.signatures)?,
    };
    let verified = verify_directory(&controllers(configuration), &file, None);
    let what = "directory";
    let directory = verified.map_err(|refusal| StartError::Refused { what, refusal })?;
    Ok((directory, file))
}

fn policy(
    configuration: &Configuration,
    set: &SignedPath,
) -> Result<(PolicyBundle, SignedByAll<PolicyFiles>), StartError> {
    let files = SignedByAll {
        content: PolicyFiles(policies::signed(&set.path)?),
        signatures: signatures(&set.signatures)?,
    };
    let verified = verify_policy_set(&controllers(configuration), &files);
    let what = "policy set";
    let bundle = verified.map_err(|refusal| StartError::Refused { what, refusal })?;
    Ok((bundle, files))
}

fn signatures(path: &Path) -> Result<Vec<ControllerSignature>, StartError> {
    let lines = files::signatures(path)?.into_iter();
    let signatures = lines.map(|(controller, signature)| ControllerSignature {
        controller,
        signature,
    });
    Ok(signatures.collect())
}
