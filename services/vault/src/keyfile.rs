//! The key file of a role: named secrets as TOML text, each recognisable as a secret.
//!
//! Reading and writing the file itself is the gateway's. Must never accept a name that the role does not
//! know: a misspelt name would be a missing key.

use crate::chance::draw_secret;
use crate::holder::{HolderKeys, HolderSecrets};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::fmt;

/// What every secret begins with, so that scanners find one that strays into a repository or a log.
pub const PREFIX: &str = "sluis-secret:";

/// Whose key file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The broker.
    Broker,
    /// A key holder.
    Holder,
    /// The portal.
    Portal,
    /// A partner's desk.
    Desk,
}

impl Role {
    /// The names that must be there.
    #[must_use]
    pub const fn compulsory(self) -> &'static [SecretName] {
        match self {
            Self::Broker | Self::Portal => &[
                SecretName::SigningSeed,
                SecretName::OpeningSeed,
                SecretName::IndexKey,
                SecretName::RestKey,
            ],
            Self::Holder => &[
                SecretName::SigningSeed,
                SecretName::RekeyingSecret,
                SecretName::BlindingFactor,
                SecretName::RestKey,
            ],
            Self::Desk => &[
                SecretName::SigningSeed,
                SecretName::OpeningSeed,
                SecretName::RestKey,
            ],
        }
    }

    /// The names that may be there besides.
    #[must_use]
    pub const fn optional(self) -> &'static [SecretName] {
        match self {
            Self::Broker | Self::Portal | Self::Desk => {
                &[SecretName::RestKeyPrevious, SecretName::OpeningSeedPrevious]
            }
            Self::Holder => &[SecretName::RestKeyPrevious],
        }
    }

    fn knows(self, name: SecretName) -> bool {
        self.compulsory().contains(&name) || self.optional().contains(&name)
    }
}

/// The names of secrets. Each is 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretName {
    /// Seed of the Ed25519 signing key.
    SigningSeed,
    /// Seed of the X-Wing opening key.
    OpeningSeed,
    /// The opening key before the present one, while what was sealed to it may still arrive.
    OpeningSeedPrevious,
    /// Key of the tags and indexes.
    IndexKey,
    /// Key of what lies at rest.
    RestKey,
    /// The rest key before the present one, while old values wait to be sealed anew.
    RestKeyPrevious,
    /// A holder's secret from which the factors of contexts are derived.
    RekeyingSecret,
    /// A holder's blinding factor.
    BlindingFactor,
}

impl SecretName {
    /// All names.
    pub const ALL: &'static [Self] = &[
        Self::SigningSeed,
        Self::OpeningSeed,
        Self::OpeningSeedPrevious,
        Self::IndexKey,
        Self::RestKey,
        Self::RestKeyPrevious,
        Self::RekeyingSecret,
        Self::BlindingFactor,
    ];

    /// The name in the file.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SigningSeed => "signing_seed",
            Self::OpeningSeed => "opening_seed",
            Self::OpeningSeedPrevious => "opening_seed_previous",
            Self::IndexKey => "index_key",
            Self::RestKey => "rest_key",
            Self::RestKeyPrevious => "rest_key_previous",
            Self::RekeyingSecret => "rekeying_secret",
            Self::BlindingFactor => "blinding_factor",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.code() == code)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// Why a key file was not read. Names only what the role knows; never a value, and never a name that it
/// does not know, as that could be a value in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not TOML with a text for each name.
    #[error("the key file is not a table of texts")]
    Form,
    /// A name that this role does not know.
    #[error("the key file holds a name that this role does not know")]
    UnknownName,
    /// A compulsory name is missing.
    #[error("the key file lacks {0}")]
    Missing(SecretName),
    /// A value is not the prefix and 64 lowercase hexadecimal digits.
    #[error("the value of {0} is not a secret of 32 octets")]
    Value(SecretName),
}

/// The secrets of one role. Wiped when dropped.
#[derive(Debug)]
pub struct KeyFile(BTreeMap<SecretName, Secret<[u8; 32]>>);

impl KeyFile {
    /// Fresh secrets for every compulsory name of a role.
    #[must_use]
    pub fn generate(role: Role) -> Self {
        let secrets = role
            .compulsory()
            .iter()
            .map(|name| (*name, fresh(*name)))
            .collect();
        Self(secrets)
    }

    /// Reads the text of a role's key file.
    ///
    /// # Errors
    /// When it is malformed, holds an unknown name or lacks a compulsory one.
    pub fn parse(role: Role, text: &Secret<String>) -> Result<Self, KeyFileError> {
        let table: BTreeMap<String, String> =
            toml::from_str(text.expose()).map_err(|_| KeyFileError::Form)?;
        let mut secrets = BTreeMap::new();
        for (code, value) in table {
            let value = Secret::new(value);
            let name = SecretName::from_code(&code)
                .filter(|name| role.knows(*name))
                .ok_or(KeyFileError::UnknownName)?;
            secrets.insert(name, parse_secret(&value).ok_or(KeyFileError::Value(name))?);
        }
        match role
            .compulsory()
            .iter()
            .find(|name| !secrets.contains_key(*name))
        {
            Some(name) => Err(KeyFileError::Missing(*name)),
            None => Ok(Self(secrets)),
        }
    }

    /// The text of the file, one line for each secret.
    #[must_use]
    pub fn to_text(&self) -> Secret<String> {
        let mut text = String::with_capacity(self.0.len().saturating_mul(128));
        for (name, secret) in &self.0 {
            let digits = Secret::new(rules::hex::encode(secret.expose()));
            text.push_str(name.code());
            text.push_str(" = \"");
            text.push_str(PREFIX);
            text.push_str(digits.expose());
            text.push_str("\"\n");
        }
        Secret::new(text)
    }

    /// The secret of this name, if the file has it.
    #[must_use]
    pub fn secret(&self, name: SecretName) -> Option<&Secret<[u8; 32]>> {
        self.0.get(&name)
    }

    /// The secret of a name that the role's file must have.
    ///
    /// # Errors
    /// When the name is not among the role's.
    pub fn require(&self, name: SecretName) -> Result<&Secret<[u8; 32]>, KeyFileError> {
        self.secret(name).ok_or(KeyFileError::Missing(name))
    }

    /// A holder's two secrets, as [`HolderKeys::from_secrets`] takes them.
    ///
    /// # Errors
    /// When the file is not a holder's.
    pub fn holder_secrets(&self) -> Result<HolderSecrets, KeyFileError> {
        Ok(HolderSecrets {
            rekeying: Secret::new(*self.require(SecretName::RekeyingSecret)?.expose()),
            blinding: Secret::new(*self.require(SecretName::BlindingFactor)?.expose()),
        })
    }

    /// The rest keys, newest first, as [`crate::rest::Crypter::new`] takes them.
    #[must_use]
    pub fn rest_keys(&self) -> Vec<&Secret<[u8; 32]>> {
        [SecretName::RestKey, SecretName::RestKeyPrevious]
            .into_iter()
            .filter_map(|name| self.secret(name))
            .collect()
    }
}

fn fresh(name: SecretName) -> Secret<[u8; 32]> {
    match name {
        // The one secret that is not just any 32 octets: a scalar other than zero and one.
        SecretName::BlindingFactor => HolderKeys::generate().blinding,
        SecretName::SigningSeed
        | SecretName::OpeningSeed
        | SecretName::OpeningSeedPrevious
        | SecretName::IndexKey
        | SecretName::RestKey
        | SecretName::RestKeyPrevious
        | SecretName::RekeyingSecret => draw_secret(),
    }
}

fn parse_secret(text: &Secret<String>) -> Option<Secret<[u8; 32]>> {
    let digits = text.expose().strip_prefix(PREFIX)?;
    let bytes = Secret::new(rules::hex::decode(digits)?);
    let bytes: [u8; 32] = bytes.expose().as_slice().try_into().ok()?;
    Some(Secret::new(bytes))
}
