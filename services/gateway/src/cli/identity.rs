//! Who one is on the command line: the client settings of one identity, from a file of the sandbox.
//!
//! Must never hold a secret, only the places where they lie.

use super::error::CliError;
use crate::clock::SystemClock;
use crate::files::{signatures, toml_fault};
use client::{
    Client, ClientError, ClientParts, Connection, ConnectionError, Controller, DirectoryCopy,
    RetryPolicy, Store, Trust,
};
use rules::hex;
use rules::id::{DeskName, Label, Oin, Party, PeerKind};
use rules::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vault::chance::SystemChance;
use vault::context::HolderCommitment;
use vault::keyfile::{KeyFile, Role};
use vault::rest::Crypter;
use vault::sign::VerifyingKey;
use wire::directory::v1::ControllerSignature;

/// The client settings of one identity (`<sandbox>/identities/<name>.toml`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The name for `--as`.
    pub name: String,
    /// The organisation's name.
    pub title: String,
    /// Its OIN.
    pub oin: String,
    /// Its kind, for example `UWV`.
    pub kind: String,
    /// The desk's realm.
    pub realm: String,
    /// The desk.
    pub desk: String,
    /// The broker, `host:port`.
    pub broker_address: String,
    /// The name in the broker's certificate, and in the portal's.
    pub broker_server_name: String,
    /// The portal, `host:port`.
    pub portal_address: String,
    /// Own certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Issuer of everybody's certificates, PEM.
    pub issuer: PathBuf,
    /// Own signing, opening and rest keys.
    pub key_file: PathBuf,
    /// The sealed store with persons and opened records.
    pub store: PathBuf,
    /// The register's labels of the BSN: nothing but a BSN stands under them.
    #[serde(default)]
    pub number_labels: Vec<String>,
    /// Labels under which another number may stand that looks like a BSN: this desk answers for it.
    #[serde(default)]
    pub lookalike_labels: Vec<String>,
    /// Who signs the directory.
    pub controllers: Vec<ControllerKey>,
    /// The key holders' pinned commitments.
    pub holders: Vec<HolderPin>,
}

/// A controller's public key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerKey {
    /// Its name in signature files.
    pub name: String,
    /// Ed25519, 64 hexadecimal digits.
    pub public_key: String,
}

/// A key holder's commitment to its blinding factor, taken over once and pinned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderPin {
    /// The holder's OIN.
    pub oin: String,
    /// The commitment, 64 hexadecimal digits.
    pub commitment: String,
}

impl Identity {
    /// Reads the settings of `name` in a sandbox's folder.
    ///
    /// # Errors
    ///
    /// When there is no sandbox there, or nobody of that name in it; the error lists who there is.
    pub fn load(sandbox: &Path, name: &str) -> Result<Self, CliError> {
        let folder = sandbox.join("identities");
        let known = names(&folder);
        if known.is_empty() {
            return Err(CliError::NoSandbox(sandbox.to_owned()));
        }
        if !known.iter().any(|one| one == name) {
            return Err(CliError::NobodyOfThatName {
                name: name.to_owned(),
                known,
            });
        }
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).map_err(|source| CliError::File {
            path: path.clone(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| {
            let (line, message) = toml_fault(&text, &error);
            let message = format!("line {line}: {message}");
            CliError::Toml { path, message }
        })
    }

    /// A connection to the broker; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be used.
    pub fn connect(&self) -> Result<Connection, ConnectionError> {
        Connection::from_files(
            &self.certificate,
            &self.key,
            &self.issuer,
            &self.broker_server_name,
            &self.broker_address,
        )
    }

    /// A connection to the portal; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be used.
    pub fn connect_portal(&self) -> Result<Connection, ConnectionError> {
        Connection::from_files(
            &self.certificate,
            &self.key,
            &self.issuer,
            &self.broker_server_name,
            &self.portal_address,
        )
    }

    /// The client library with this identity's keys and its own store. One process at a time.
    ///
    /// # Errors
    ///
    /// When a file, a key or the store cannot be used.
    pub fn client(&self) -> Result<Client, CliError> {
        self.client_at(&self.store)
    }

    /// The same with another store, for a command that stays while others run.
    ///
    /// # Errors
    ///
    /// As [`Identity::client`].
    pub fn client_at(&self, path: &Path) -> Result<Client, CliError> {
        let keys = self.keys()?;
        let identity = client::Identity::from_key_file(self.own_party()?, self.own_desk()?, &keys)
            .map_err(|error| self.bad_keys(&error))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| CliError::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        let random = Arc::new(SystemChance::new());
        let crypter = Crypter::new(&keys.rest_keys());
        let store = Store::open(path, crypter, Arc::<SystemChance>::clone(&random))
            .map_err(ClientError::from)?;
        Ok(Client::new(ClientParts {
            connection: self.connect()?,
            identity,
            trust: self.trust()?,
            store,
            clock: Arc::new(SystemClock),
            random,
            retry: RetryPolicy::default(),
            number_labels: self.labels(&self.number_labels, "number_labels")?,
            lookalike_labels: self.labels(&self.lookalike_labels, "lookalike_labels")?,
        })?)
    }

    /// The directory that lies in the sandbox, verified with this identity's controllers.
    ///
    /// # Errors
    ///
    /// When it cannot be read or does not verify.
    pub(crate) fn directory(&self, sandbox: &Path) -> Result<DirectoryCopy, CliError> {
        let path = sandbox.join("directory.toml");
        let file = std::fs::read(&path).map_err(|source| CliError::File { path, source })?;
        let path = sandbox.join("directory.signatures.toml");
        let lines = signatures(&path).map_err(|error| CliError::Toml {
            message: error.to_string(),
            path,
        })?;
        let signed = lines
            .into_iter()
            .map(|(controller, signature)| ControllerSignature {
                controller,
                signature,
            });
        let trust = self.trust()?;
        let copy = DirectoryCopy::verify(file, signed.collect(), &trust.controllers, None);
        Ok(copy.map_err(ClientError::from)?)
    }

    /// Seals what this identity keeps beside its store.
    ///
    /// # Errors
    ///
    /// When the key file cannot be used.
    pub fn crypter(&self) -> Result<Crypter, CliError> {
        Ok(Crypter::new(&self.keys()?.rest_keys()))
    }

    /// The secrets of the desk or the portal.
    ///
    /// # Errors
    ///
    /// When the key file cannot be read or is none.
    pub fn keys(&self) -> Result<KeyFile, CliError> {
        let role = if self.kind == PeerKind::Portal.code() {
            Role::Portal
        } else {
            Role::Desk
        };
        let text = std::fs::read_to_string(&self.key_file).map_err(|source| CliError::File {
            path: self.key_file.clone(),
            source,
        })?;
        KeyFile::parse(role, &Secret::new(text)).map_err(|error| self.bad_keys(&error))
    }

    fn bad_keys(&self, what: &dyn std::fmt::Display) -> CliError {
        CliError::Toml {
            path: self.key_file.clone(),
            message: what.to_string(),
        }
    }

    fn own_party(&self) -> Result<Party, CliError> {
        self.party()
            .parse()
            .map_err(|_| self.unusable("oin or realm"))
    }

    fn own_desk(&self) -> Result<DeskName, CliError> {
        self.desk.parse().map_err(|_| self.unusable("desk"))
    }

    fn labels(&self, texts: &[String], setting: &'static str) -> Result<BTreeSet<Label>, CliError> {
        let labels = texts.iter().map(|text| text.parse());
        labels
            .collect::<Result<_, _>>()
            .map_err(|_| self.unusable(setting))
    }

    fn trust(&self) -> Result<Trust, CliError> {
        let controllers: Option<Vec<_>> = self
            .controllers
            .iter()
            .map(|controller| {
                let key = VerifyingKey::from_slice(&hex::decode(&controller.public_key)?)?;
                Some(Controller {
                    name: controller.name.clone(),
                    key,
                })
            })
            .collect();
        let commitments: Option<BTreeMap<_, _>> = self
            .holders
            .iter()
            .map(|holder| {
                let bytes = hex::decode(&holder.commitment)?;
                let commitment = HolderCommitment::parse(&bytes).ok()?;
                Some((holder.oin.parse::<Oin>().ok()?, commitment))
            })
            .collect();
        Ok(Trust {
            controllers: controllers.ok_or_else(|| self.unusable("controllers"))?,
            commitments: commitments.ok_or_else(|| self.unusable("holders"))?,
        })
    }

    fn unusable(&self, what: &str) -> CliError {
        CliError::usage(
            format!("the settings of `{}` have a wrong {what}", self.name),
            "start the sandbox anew, which writes them anew",
        )
    }

    /// `<OIN>/<realm>`.
    #[must_use]
    pub fn party(&self) -> String {
        format!("{}/{}", self.oin, self.realm)
    }
}

/// Everybody in a sandbox's folder, by name.
#[must_use]
pub fn everybody(sandbox: &Path) -> Vec<Identity> {
    names(&sandbox.join("identities"))
        .iter()
        .filter_map(|name| Identity::load(sandbox, name).ok())
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".toml").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}
