//! Lays the ground: every file that the sandbox's processes and identities need, in one fresh folder.
//!
//! Must never touch a folder that is not a sandbox: what is wiped at the start carries a marker.

use super::cast::{self, DeskRole, Organisation};
use super::certificates::{Authority, SERVER_NAME};
use super::directory::{DeskKeys, directory};
use super::dossier::Case;
use super::people::Person;
use super::plans::{Ports, plans};
use super::policies::{number_labels, write_policies};
use super::processes::{Plan, Server};
use super::progress::Progress;
use super::{SandboxError, write, write_secret};
use crate::cli::identity::{ControllerKey, HolderPin, Identity};
use crate::configuration::{Configuration, DatabaseSettings};
use client::Connection;
use rules::clock::Timestamp;
use rules::hex;
use rules::secret::Secret;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use vault::holder::{HolderKeys, HolderSecrets};
use vault::keyfile::{KeyFile, Role, SecretName};
use vault::sign::{Paper, SigningKey};

/// The file that says that a folder is a sandbox and may be wiped.
const MARKER: &str = "sandbox.txt";
const MARKER_TEXT: &str =
    "A Sluis sandbox. Everything here is throw-away and is wiped by the next `sluis sandbox`.\n";

/// The example for whoever tries by hand.
const OFFER_EXAMPLE: &str = include_str!("../../../../tests/data/offer.example.toml");

/// The ground as it lies.
pub(crate) struct Ground {
    /// The folder, absolute.
    pub(crate) folder: PathBuf,
    /// What to start, in this order.
    pub(crate) plans: Vec<Plan>,
    /// Held as long as the sandbox runs, so that a second one does not wipe the folder under it.
    _marker: File,
    /// Held as long, so that no other takes a port of a server that is to start again.
    _ports: Ports,
}

/// A controller with its key, which signs and then goes to its folder.
struct ControllerSigner {
    name: &'static str,
    seed: Secret<[u8; 32]>,
    key: SigningKey,
}

/// A file of signatures by all controllers.
#[derive(Serialize)]
struct SignatureFile {
    signature: Vec<SignatureLine>,
}

#[derive(Serialize)]
struct SignatureLine {
    controller: &'static str,
    signature: String,
}

impl Ground {
    /// Wipes `folder` and lays everything anew.
    ///
    /// # Errors
    ///
    /// When the folder is something else than a sandbox, or a file cannot be made.
    pub(crate) fn lay(
        folder: &Path,
        postgres: Option<&str>,
        settings: &[String],
        now: Timestamp,
    ) -> Result<Self, SandboxError> {
        let (folder, marker) = wipe(folder)?;
        let authority = Authority::new(now)?;
        write(&folder.join("ca.pem"), authority.pem().as_bytes())?;
        write(&folder.join("offer.example.toml"), OFFER_EXAMPLE.as_bytes())?;
        let controllers: Vec<_> = cast::CONTROLLERS.iter().copied().map(signer).collect();
        let public: Vec<_> = controllers.iter().map(public).collect();
        let mut keys = BTreeMap::new();
        for (organisation, desk) in cast::desks() {
            keys.insert(
                desk.identity,
                equip(&folder, &authority, organisation, desk)?,
            );
        }
        let text = toml::to_string(&directory(&keys, now)?).map_err(SandboxError::Write)?;
        write(&folder.join("directory.toml"), text.as_bytes())?;
        write_signatures(
            &folder.join("directory.signatures.toml"),
            &controllers,
            Paper::Directory,
            text.as_bytes(),
        )?;
        let bundle = write_policies(&folder.join("policies"))?;
        write_signatures(
            &folder.join("policies.signatures.toml"),
            &controllers,
            Paper::PolicyBundle,
            &bundle,
        )?;
        for controller in &controllers {
            let path = folder
                .join("controllers")
                .join(format!("{}.key", controller.name));
            let digits = Secret::new(hex::encode(controller.seed.expose()));
            write_secret(&path, digits.expose().as_bytes())?;
        }
        let pins = commitments(&keys)?;
        let ports = Ports::draw()?;
        let plans = plans(&folder, (postgres, settings), &ports, &public, &pins)?;
        write_identities(&folder, &plans, &public, &pins)?;
        Ok(Self {
            folder,
            plans,
            _marker: marker,
            _ports: ports,
        })
    }

    /// Removes what an earlier sandbox in this folder left on a database server.
    ///
    /// # Errors
    ///
    /// When the server cannot be used.
    pub(crate) async fn wipe_schemas(&self) -> Result<(), SandboxError> {
        for plan in &self.plans {
            let configuration = Configuration::load(&plan.configuration)?;
            if let DatabaseSettings::Server { .. } = configuration.database() {
                let settings = configuration.database().open()?;
                store::engine::remove_schema(&settings).await?;
            }
        }
        Ok(())
    }

    /// Starts all processes, one after the other as they need each other.
    ///
    /// # Errors
    ///
    /// The first that does not come to serve.
    pub(crate) async fn start(&self, progress: &Progress) -> Result<Vec<Server>, SandboxError> {
        let mut servers = Vec::new();
        for plan in &self.plans {
            progress.say(&format!("starting {} on {}", plan.name, plan.address));
            let door = self.door(plan)?;
            servers.push(Server::start(plan, &door).await?);
        }
        Ok(servers)
    }

    /// The settings of one identity.
    ///
    /// # Errors
    ///
    /// When there is nobody of that name.
    pub(crate) fn identity(&self, name: &str) -> Result<Identity, SandboxError> {
        Ok(Identity::load(&self.folder, name)?)
    }

    /// Writes down who was invented, for whoever searches the databases for what must not be there.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn write_people(
        &self,
        cases: &[Case],
        signed_up: impl Iterator<Item = Person>,
    ) -> Result<(), SandboxError> {
        let one = |sender: &str, recipient: &str, person: &Person| {
            json!({
                "sender": sender, "recipient": recipient, "key": person.key,
                "bsn": person.bsn.expose(), "name": person.name,
            })
        };
        let mut people: Vec<_> = cases
            .iter()
            .map(|case| one(&case.sender, &case.recipient, &case.person))
            .collect();
        people.extend(signed_up.map(|person| one("centrum", "", &person)));
        let path = self.folder.join("people.json");
        write_secret(
            &path,
            serde_json::Value::from(people).to_string().as_bytes(),
        )
    }

    /// A way to one process for asking how it is. The portal asks: every process knows its certificate.
    fn door(&self, plan: &Plan) -> Result<Connection, SandboxError> {
        let home = self.folder.join("processes").join("portal");
        Ok(Connection::from_files(
            &home.join("certificate.pem"),
            &home.join("certificate.key.pem"),
            &self.folder.join("ca.pem"),
            SERVER_NAME,
            &plan.address,
        )?)
    }
}

/// Makes the folder anew, unless it is something else or a sandbox runs in it, and locks its marker.
fn wipe(folder: &Path) -> Result<(PathBuf, File), SandboxError> {
    let fault = |source| SandboxError::File {
        path: folder.to_owned(),
        source,
    };
    if folder.exists() {
        let empty = std::fs::read_dir(folder).map_err(fault)?.next().is_none();
        let marker = folder.join(MARKER);
        if !empty && !marker.is_file() {
            return Err(SandboxError::NoSandbox(folder.to_owned()));
        }
        if !empty
            && let Err(TryLockError::WouldBlock) = File::open(&marker).map_err(fault)?.try_lock()
        {
            return Err(SandboxError::Running(folder.to_owned()));
        }
        std::fs::remove_dir_all(folder).map_err(fault)?;
    }
    std::fs::create_dir_all(folder).map_err(fault)?;
    write(&folder.join(MARKER), MARKER_TEXT.as_bytes())?;
    let marker = File::open(folder.join(MARKER)).map_err(fault)?;
    // A file system without locks gives an error here; the sandbox then goes on without.
    drop(marker.try_lock());
    Ok((folder.canonicalize().map_err(fault)?, marker))
}

fn signer(name: &'static str) -> ControllerSigner {
    let seed = SigningKey::generate();
    let key = SigningKey::from_seed(&seed);
    ControllerSigner { name, seed, key }
}

fn public(controller: &ControllerSigner) -> ControllerKey {
    ControllerKey {
        name: controller.name.to_owned(),
        public_key: hex::encode(controller.key.public().bytes()),
    }
}

/// Where an identity's certificate and keys lie.
fn home(folder: &Path, desk: &DeskRole) -> PathBuf {
    let shelf = if cast::is_process(desk) {
        "processes"
    } else {
        "identities"
    };
    folder.join(shelf).join(desk.identity)
}

fn equip(
    folder: &Path,
    authority: &Authority,
    organisation: &Organisation,
    desk: &DeskRole,
) -> Result<DeskKeys, SandboxError> {
    let home = home(folder, desk);
    let issued = authority.issue(organisation, desk, &home)?;
    let role = match desk.desk {
        "broker" => Role::Broker,
        "holder" => Role::Holder,
        "portal" => Role::Portal,
        _ => Role::Desk,
    };
    let key_file = KeyFile::generate(role);
    write_secret(
        &home.join("keys.toml"),
        key_file.to_text().expose().as_bytes(),
    )?;
    Ok(DeskKeys {
        spki_sha256: issued.spki_sha256,
        key_file,
    })
}

fn write_signatures(
    path: &Path,
    controllers: &[ControllerSigner],
    paper: Paper,
    bytes: &[u8],
) -> Result<(), SandboxError> {
    let lines = controllers.iter().map(|controller| SignatureLine {
        controller: controller.name,
        signature: hex::encode(controller.key.sign(paper, bytes).bytes()),
    });
    let file = SignatureFile {
        signature: lines.collect(),
    };
    let text = toml::to_string(&file).map_err(SandboxError::Write)?;
    write(path, text.as_bytes())
}

/// Each holder's commitment to its blinding factor. Outside a sandbox a partner takes these over from the
/// holders themselves, once.
fn commitments(keys: &BTreeMap<&'static str, DeskKeys>) -> Result<Vec<HolderPin>, SandboxError> {
    cast::desks()
        .filter(|(organisation, _)| organisation.kind == "HOLDER")
        .map(|(organisation, desk)| {
            let key_file = &keys
                .get(desk.identity)
                .ok_or_else(|| SandboxError::Cast(desk.identity.to_owned()))?
                .key_file;
            let copy = |name| Ok::<_, SandboxError>(Secret::new(*key_file.require(name)?.expose()));
            let secrets = HolderSecrets {
                rekeying: copy(SecretName::RekeyingSecret)?,
                blinding: copy(SecretName::BlindingFactor)?,
            };
            let holder = HolderKeys::from_secrets(&secrets).map_err(|_| {
                SandboxError::Unexpected("a key holder's fresh blinding factor is none".to_owned())
            })?;
            Ok(HolderPin {
                oin: organisation.oin.to_owned(),
                commitment: hex::encode(&holder.commitment().bytes()),
            })
        })
        .collect()
}

/// Writes the settings of everybody who calls.
fn write_identities(
    folder: &Path,
    plans: &[Plan],
    controllers: &[ControllerKey],
    holders: &[HolderPin],
) -> Result<(), SandboxError> {
    let address = |name: &str| {
        let plan = plans.iter().find(|plan| plan.name == name);
        plan.map(|plan| plan.address.clone()).unwrap_or_default()
    };
    let (broker, portal) = (address("broker"), address("portal"));
    let identities = folder.join("identities");
    let number_labels = number_labels()?;
    for (organisation, desk) in cast::desks().filter(|(_, desk)| cast::is_caller(desk)) {
        let doors = (broker.as_str(), portal.as_str());
        let settings = Identity {
            number_labels: number_labels.clone(),
            ..identity(folder, organisation, desk, doors, controllers, holders)
        };
        let text = toml::to_string(&settings).map_err(SandboxError::Write)?;
        let path = identities.join(format!("{}.toml", desk.identity));
        write(&path, text.as_bytes())?;
    }
    Ok(())
}

fn identity(
    folder: &Path,
    organisation: &Organisation,
    desk: &DeskRole,
    (broker, portal): (&str, &str),
    controllers: &[ControllerKey],
    holders: &[HolderPin],
) -> Identity {
    let home = home(folder, desk);
    Identity {
        name: desk.identity.to_owned(),
        title: organisation.title.to_owned(),
        oin: organisation.oin.to_owned(),
        kind: organisation.kind.to_owned(),
        realm: desk.realm.to_owned(),
        desk: desk.desk.to_owned(),
        broker_address: broker.to_owned(),
        portal_address: portal.to_owned(),
        broker_server_name: SERVER_NAME.to_owned(),
        certificate: home.join("certificate.pem"),
        key: home.join("certificate.key.pem"),
        issuer: folder.join("ca.pem"),
        key_file: home.join("keys.toml"),
        store: folder.join("identities").join(desk.identity).join("store"),
        controllers: controllers.to_vec(),
        number_labels: Vec::new(),
        lookalike_labels: Vec::new(),
        holders: holders.to_vec(),
    }
}
