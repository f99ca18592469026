//! The partner's own copy of the directory, and every key that is read from it.
//!
//! Every role trusts its own copy only. Must never put a copy in force whose signatures (all of the
//! controllers', every edge's, every sealing key's) were not verified, or whose version is lower.

use crate::error::ProtocolError;
use papers::paper::HolderKey;
use rules::calendar::wall_clock;
use rules::clock::Timestamp;
use rules::directory::{
    Directory, Head, Member, PART_LINE, Paper as InnerPaper, Right, head, sealing_key_bytes,
};
use rules::id::{DeskName, Oin, Party};
use rules::limits::{DIRECTORY_REST_BYTES_MAX, MESSAGE_BYTES_MAX};
use rules::pseudonym::Context;
use rules::reason::{Reason, Violation};
use std::sync::Arc;
use vault::digest::sha256;
use vault::sealing::SealingKey;
use vault::sign::{Paper, Signature, VerifyingKey};
use wire::directory::v1::ControllerSignature;

/// The desk of a key holder that signs vouchers, steps and shares.
const HOLDER_DESK: &str = "holder";
/// The desk of the broker that signs promises.
const BROKER_DESK: &str = "broker";

/// A controller (verwerkingsverantwoordelijke) as configured: its name and the key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its name, as in the signatures.
    pub name: String,
    /// Its key.
    pub key: VerifyingKey,
}

/// Why a directory is not put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// A controller has not signed it, or another text than this one.
    #[error(
        "the directory is not signed by controller `{controller}`; check the file and the configured key"
    )]
    Unsigned {
        /// Which controller.
        controller: String,
    },
    /// No controller is configured, so nothing could ever be verified.
    #[error("no controller is configured; take over the names and keys of all controllers")]
    NoControllers,
    /// The file cannot be read.
    #[error("the directory has {} mistakes, the first is: {first}", mistakes.len())]
    Invalid {
        /// The first mistake, for the message.
        first: String,
        /// Every mistake with its place.
        mistakes: Vec<Violation>,
    },
    /// An edge or a sealing key is not signed as it must be.
    #[error("the directory's {what} has a wrong signature; tell the controllers")]
    Inner {
        /// Which.
        what: String,
    },
    /// It is past the end that the controllers gave it.
    #[error(
        "the directory, version {version}, ended on {}: nothing is shared under it; the controllers sign a new one and \
         the gateway's operator imports it",
        wall_clock(*end)
    )]
    Ended {
        /// Its version.
        version: u64,
        /// Its end.
        end: Timestamp,
    },
    /// It is not newer than the one in force.
    #[error("the directory has version {offered}, and version {present} is in force already")]
    VersionLower {
        /// The version in force.
        present: u64,
        /// The version that was offered.
        offered: u64,
    },
}

impl DirectoryError {
    /// The reason with which a server refuses the same directory.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unsigned { .. } | Self::NoControllers | Self::Inner { .. } => {
                Reason::DirectorySignatureInvalid
            }
            Self::Invalid { .. } => Reason::DirectoryInvalid,
            Self::Ended { .. } => Reason::DirectoryExpired,
            Self::VersionLower { .. } => Reason::DirectoryVersionLower,
        }
    }
}

/// A verified directory with the bytes and signatures that prove it.
#[derive(Clone)]
pub struct DirectoryCopy {
    directory: Directory,
    file: Vec<u8>,
    signatures: Vec<ControllerSignature>,
}

impl std::fmt::Debug for DirectoryCopy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "DirectoryCopy(version {})", self.directory.version())
    }
}

/// A copy that was not past its end when it was asked for. What seals, opens, or has somebody converted takes this and no
/// other copy, so that no call that shares something can forget to look.
#[derive(Clone)]
pub(crate) struct Lasting(Arc<DirectoryCopy>);

impl Lasting {
    /// This copy, if it is not past its end.
    pub(crate) fn at(copy: Arc<DirectoryCopy>, now: Timestamp) -> Result<Self, DirectoryError> {
        copy.check_end(now)?;
        Ok(Self(copy))
    }
}

impl std::ops::Deref for Lasting {
    type Target = Arc<DirectoryCopy>;

    fn deref(&self) -> &Arc<DirectoryCopy> {
        &self.0
    }
}

impl DirectoryCopy {
    /// Verifies a directory file: every configured controller's signature over its head, then the file
    /// itself, then every signature inside it that does not stand in `verified` already. With some 10,000 edges it
    /// takes a second: see [`verify_aside`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify(
        file: Vec<u8>,
        signatures: Vec<ControllerSignature>,
        controllers: &[Controller],
        verified: Option<&Self>,
    ) -> Result<Self, DirectoryError> {
        if controllers.is_empty() {
            return Err(DirectoryError::NoControllers);
        }
        for controller in controllers {
            let signed = signatures
                .iter()
                .filter(|given| given.controller == controller.name)
                .filter_map(|given| Signature::from_slice(&given.signature))
                .any(|signature| {
                    let head = head(&file);
                    controller.key.verify(Paper::Directory, head, &signature)
                });
            if !signed {
                return Err(DirectoryError::Unsigned {
                    controller: controller.name.clone(),
                });
            }
        }
        let directory = read(&file, verified.map(Self::directory))?;
        Ok(Self {
            directory,
            file,
            signatures,
        })
    }

    /// This copy, if it is newer than `present`.
    ///
    /// # Errors
    ///
    /// When its version is lower or equal.
    pub fn newer_than(self, present: Option<&Self>) -> Result<Self, DirectoryError> {
        match present.map(|copy| copy.directory.version()) {
            Some(present) if self.directory.version() <= present => {
                Err(DirectoryError::VersionLower {
                    present,
                    offered: self.directory.version(),
                })
            }
            Some(_) | None => Ok(self),
        }
    }

    /// That it is not past its end.
    ///
    /// # Errors
    ///
    /// When it is.
    pub fn check_end(&self, now: Timestamp) -> Result<(), DirectoryError> {
        if self.directory.has_ended(now) {
            Err(DirectoryError::Ended {
                version: self.directory.version(),
                end: self.directory.valid_until(),
            })
        } else {
            Ok(())
        }
    }

    /// What it says.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A part of it.
    pub(crate) fn part(&self, sha256: &[u8; 32]) -> Option<&[u8]> {
        let mut parts = self.directory.parts().iter();
        let part = parts.find(|part| part.sha256 == *sha256)?;
        self.file.get(part.place.clone())
    }

    /// The file, byte for byte: the head, and its parts behind it.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// The controllers' signatures over the file's head.
    #[must_use]
    pub fn signatures(&self) -> &[ControllerSignature] {
        &self.signatures
    }

    /// The key holders in walking order, with the keys that sign their vouchers, steps and shares.
    ///
    /// # Errors
    ///
    /// When a holder has no desk `holder` or it was revoked.
    pub fn holder_keys(&self) -> Result<Vec<HolderKey>, ProtocolError> {
        self.directory
            .holders()
            .iter()
            .map(|oin| {
                let key = self.desk_key(oin, HOLDER_DESK).ok_or(ProtocolError::new(
                    "directory",
                    "has no valid desk `holder` for one of the key holders",
                ))?;
                Ok(HolderKey {
                    oin: oin.clone(),
                    key,
                })
            })
            .collect()
    }

    /// The key that signs the broker's promises, if its desk is there and not revoked.
    #[must_use]
    pub fn promise_key(&self) -> Option<VerifyingKey> {
        self.desk_key(&self.directory.broker().oin, BROKER_DESK)
    }

    /// The key of a desk that signed something for `party`.
    ///
    /// # Errors
    ///
    /// When the desk is unknown or revoked, or belongs to another realm.
    pub fn signer(&self, party: &Party, desk: &DeskName) -> Result<VerifyingKey, ProtocolError> {
        self.directory
            .member(&party.oin, desk)
            .ok()
            .filter(|member| member.party() == *party)
            .map(|member| key_of(&member))
            .ok_or(ProtocolError::new(
                "desk",
                "is unknown, revoked or of another realm than the one that it signed for",
            ))
    }

    /// The present context of a realm.
    #[must_use]
    pub fn context(&self, party: &Party) -> Option<Context> {
        self.directory.realm(party).map(|realm| Context {
            party: party.clone(),
            number: realm.context,
        })
    }

    /// The recipient's sealing key that may be sealed to now, if this copy has one.
    #[must_use]
    pub fn sealing_key(&self, party: &Party, now: Timestamp) -> Option<(SealingKey, Timestamp)> {
        let key = self.directory.sealing_key(party, now)?;
        let read = SealingKey::parse(&key.public_key).ok()?;
        Some((read, key.valid_until))
    }

    /// Verifies a sealing key that the gateway sent for `party`, against that realm's own desk.
    ///
    /// # Errors
    ///
    /// When it is no key, is past its end, is not signed by a desk of the realm with the right
    /// `represent`, or is older than the key of this copy: a key that was replaced may be in other hands. A newer key ends
    /// later.
    pub fn verify_sealing_key(
        &self,
        party: &Party,
        sent: &wire::handover::v1::SealingKey,
        now: Timestamp,
    ) -> Result<SealingKey, ProtocolError> {
        let wrong = |what| ProtocolError::new("sealing key", what);
        let desk: DeskName = sent
            .signed_by_desk
            .parse()
            .map_err(|_| wrong("does not name the desk that signed it"))?;
        let may_sign = self
            .directory
            .member(&party.oin, &desk)
            .is_ok_and(|member| member.has(Right::Represent));
        if !may_sign {
            return Err(wrong("is signed by a desk without the right to"));
        }
        let bytes = sealing_key_bytes(
            &party.to_string(),
            &sent.public_key,
            sent.valid_until_millis,
        );
        let holds = Signature::from_slice(&sent.signature).is_some_and(|signature| {
            self.signer(party, &desk)
                .is_ok_and(|key| key.verify(Paper::SealingKey, &bytes, &signature))
        });
        if !holds {
            return Err(wrong("is not signed by the recipient"));
        }
        if sent.valid_until_millis < now.millis() {
            return Err(wrong("is past its end"));
        }
        let own = self.directory.realm(party);
        let is_older = own
            .and_then(|realm| realm.sealing_key.as_ref())
            .is_some_and(|own| {
                own.public_key != sent.public_key
                    && sent.valid_until_millis <= own.valid_until.millis()
            });
        if is_older {
            return Err(wrong("is older than the one in the own directory"));
        }
        SealingKey::parse(&sent.public_key).map_err(|_| wrong("is not a key"))
    }

    fn desk_key(&self, oin: &Oin, desk: &str) -> Option<VerifyingKey> {
        let desk: DeskName = desk.parse().ok()?;
        let member = self.directory.member(oin, &desk).ok()?;
        Some(key_of(&member))
    }
}

fn key_of(member: &Member<'_>) -> VerifyingKey {
    VerifyingKey::from_bytes(member.desk.signing_key)
}

/// Verifies a directory away from the threads that serve others, and looks whether it is newer than `present`.
///
/// # Errors
///
/// As [`DirectoryCopy::verify`] and [`DirectoryCopy::newer_than`].
pub async fn verify_aside(
    file: Vec<u8>,
    signatures: Vec<ControllerSignature>,
    controllers: Vec<Controller>,
    present: Option<Arc<DirectoryCopy>>,
) -> Result<DirectoryCopy, DirectoryError> {
    let work = tokio::task::spawn_blocking(move || {
        let present = present.as_deref();
        DirectoryCopy::verify(file, signatures, &controllers, present)?.newer_than(present)
    });
    let gave_up = |_| {
        invalid(vec![Violation::new(
            "directory",
            "its verification stopped",
        )])
    };
    work.await.map_err(gave_up)?
}

/// Digest and length of the parts that a head lists.
pub(crate) fn listed(head: &[u8]) -> Result<Vec<([u8; 32], usize)>, DirectoryError> {
    Ok(Head::parse(text(head)?).map_err(invalid)?.parts)
}

/// Those of the parts that are missing elsewhere which fit in a message beside the head.
///
/// # Errors
///
/// When the directory does not have them.
pub fn parts_to_send(file: &[u8], missing: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let rest = DIRECTORY_REST_BYTES_MAX.saturating_add(head(file).len());
    let mut room = MESSAGE_BYTES_MAX.saturating_sub(rest);
    let mut parts = Vec::new();
    let text = std::str::from_utf8(file).unwrap_or_default();
    for part in text.split(PART_LINE).skip(1) {
        if !missing
            .iter()
            .any(|digest| *digest == sha256(part.as_bytes()))
        {
            continue;
        }
        let Some(left) = room.checked_sub(part.len()) else {
            break;
        };
        room = left;
        parts.push(part.as_bytes().to_vec());
    }
    if parts.is_empty() {
        let what = "asks for a part that the directory does not have";
        return Err(ProtocolError::new("answer", what));
    }
    Ok(parts)
}

fn invalid(mistakes: Vec<Violation>) -> DirectoryError {
    DirectoryError::Invalid {
        first: mistakes
            .first()
            .map(|mistake| format!("{}: {}", mistake.field, mistake.description))
            .unwrap_or_default(),
        mistakes,
    }
}

fn text(file: &[u8]) -> Result<&str, DirectoryError> {
    std::str::from_utf8(file)
        .map_err(|_| invalid(vec![Violation::new("directory_toml", "is not UTF-8")]))
}

/// Reads a directory file and verifies every signature inside it that does not stand in `verified` already. Who signed
/// the whole is not looked at: see [`DirectoryCopy::verify`].
///
/// # Errors
///
/// Every mistake in its shape, or the first wrong signature.
pub fn read(file: &[u8], verified: Option<&Directory>) -> Result<Directory, DirectoryError> {
    let directory = Directory::parse(text(file)?, &sha256).map_err(invalid)?;
    for inner in directory.signatures(verified) {
        let paper = match inner.paper {
            InnerPaper::Edge => Paper::Edge,
            InnerPaper::SealingKey => Paper::SealingKey,
        };
        let key = VerifyingKey::from_bytes(inner.signing_key);
        let signature = Signature::from_bytes(inner.signature);
        if !key.verify(paper, &inner.bytes, &signature) {
            return Err(DirectoryError::Inner { what: inner.what });
        }
    }
    Ok(directory)
}
