//! What each of the sandbox's servers is to run with: its port, its database and its configuration file.
//!
//! Must never give two servers one port or one database.

use super::cast;
use super::certificates::SERVER_NAME;
use super::processes::Plan;
use super::{SandboxError, write};
use crate::cli::identity::{ControllerKey, HolderPin};
use rules::clock::Random as _;
use rules::hex;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use vault::chance::SystemChance;
use vault::digest::sha256;

/// The ports from which a sandbox gets its own: outside the range from which systems take ports for outgoing
/// connections (Linux takes them from 32768 on).
const PORT_FIRST: u16 = 20_000;
/// Blocks of ports, and ports in each: the first is the lock of the block, the servers get the next ones in the
/// order in which they start, the rest is for whoever starts more of them by hand.
const BLOCKS: u16 = 1_500;
const BLOCK_PORTS: u16 = 8;
const BLOCK_DRAWS_MAX: u32 = 1_000;

/// The policy set, for the roles that read it.
const POLICY_SETTINGS: &str =
    "[policies]\nfolder = \"../../policies\"\nsignatures = \"../../policies.signatures.toml\"";
/// Digits of the folder's digest in the name of a schema.
const FOLDER_DIGITS: usize = 12;

/// A block of ports that no other sandbox takes as long as this is held: a server that starts a moment later, or
/// again, still finds its port free.
pub(crate) struct Ports {
    /// Listens, and answers nobody.
    _lock: TcpListener,
    first: u16,
}

impl Ports {
    /// Draws a block in which nothing listens.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn draw() -> Result<Self, SandboxError> {
        let chance = SystemChance::new();
        let mut last = None;
        for _ in 0..BLOCK_DRAWS_MAX {
            let mut octets = [0; 4];
            chance.fill(&mut octets);
            let drawn = u32::from_be_bytes(octets)
                .checked_rem(u32::from(BLOCKS))
                .and_then(|block| u16::try_from(block).ok())
                .unwrap_or(0);
            match Self::take(PORT_FIRST.saturating_add(drawn.saturating_mul(BLOCK_PORTS))) {
                Ok(ports) => return Ok(ports),
                Err(error) => last = Some(error),
            }
        }
        let last = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
        Err(SandboxError::Port(last))
    }

    fn take(first: u16) -> std::io::Result<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let lock = bind(first)?;
        let next = first.saturating_add(1);
        for port in next..first.saturating_add(BLOCK_PORTS) {
            drop(bind(port)?);
        }
        Ok(Self { _lock: lock, first })
    }

    /// Addresses for the servers, in the order in which they start.
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let next = self.first.saturating_add(1);
        (next..self.first.saturating_add(BLOCK_PORTS))
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

/// Writes a configuration for each process, each on a port and with a database of its own: a file, or a schema
/// on the server at `postgres`; and each with these further lines of settings.
///
/// # Errors
///
/// When a file cannot be written.
pub(crate) fn plans(
    folder: &Path,
    (postgres, settings): (Option<&str>, &[String]),
    ports: &Ports,
    controllers: &[ControllerKey],
    holders: &[HolderPin],
) -> Result<Vec<Plan>, SandboxError> {
    let names = cast::PROCESSES.iter().copied();
    let doors: Vec<(&'static str, SocketAddr)> = names.zip(ports.addresses()).collect();
    let trust = trust_settings(controllers, holders);
    let mut plans = Vec::new();
    for (name, address) in &doors {
        let home = folder.join("processes").join(name);
        let configuration = home.join("sluis.toml");
        write(
            &configuration,
            configure(
                name,
                *address,
                &doors,
                (&settings.join("\n"), &database(folder, postgres, name)),
                &trust,
            )
            .as_bytes(),
        )?;
        plans.push(Plan {
            name,
            configuration,
            log: home.join("log.txt"),
            address: address.to_string(),
        });
    }
    Ok(plans)
}

/// Where a process keeps its rows. Schemas are named after the folder, so that the next sandbox in it finds
/// and wipes them.
fn database(folder: &Path, postgres: Option<&str>, name: &str) -> String {
    let Some(url) = postgres else {
        let file = name.split('-').next().unwrap_or(name);
        return format!("[database]\npath = \"{file}.sqlite\"\n");
    };
    let digest = hex::encode(&sha256(folder.as_os_str().as_encoded_bytes()));
    let folder = digest.get(..FOLDER_DIGITS).unwrap_or(&digest);
    let name = name.replace('-', "_");
    format!("[database]\nurl = \"{url}\"\nschema = \"sandbox_{folder}_{name}\"\n")
}

fn configure(
    name: &str,
    address: SocketAddr,
    doors: &[(&'static str, SocketAddr)],
    (settings, database): (&str, &str),
    trust: &str,
) -> String {
    let (role, own) = match name {
        "broker" => ("broker", broker_settings(doors)),
        "portal" => ("portal", portal_settings(doors)),
        _ => ("holder", String::new()),
    };
    // Top-level keys go before the first table.
    let first = match role {
        "broker" => "day_keys = \"day-keys\"\n",
        "portal" => "store = \"store\"\n",
        _ => "",
    };
    format!(
        "role = \"{role}\"\nprofile = \"sandbox\"\nlisten = \"{address}\"\n\
         oin_element = \"serialNumber\"\nkey_file = \"keys.toml\"\n{first}{settings}\n\
         [tls]\ncertificate = \"certificate.pem\"\nkey = \"certificate.key.pem\"\nissuer = \"../../ca.pem\"\n\n\
         [directory]\nfile = \"../../directory.toml\"\nsignatures = \"../../directory.signatures.toml\"\n\n\
         [log]\nlevel = \"info\"\nformat = \"json\"\n\n{database}\n{own}\n{trust}"
    )
}

/// Whose word counts in every process: the controllers' keys and the holders' pinned commitments.
fn trust_settings(controllers: &[ControllerKey], holders: &[HolderPin]) -> String {
    let keys = controllers.iter().map(|controller| {
        format!(
            "[[controllers]]\nname = \"{}\"\npublic_key = \"{}\"\n",
            controller.name, controller.public_key
        )
    });
    let pins = holders.iter().map(|holder| {
        format!(
            "[[commitments]]\nholder = \"{}\"\ncommitment = \"{}\"\n",
            holder.oin, holder.commitment
        )
    });
    keys.chain(pins).collect()
}

fn broker_settings(doors: &[(&'static str, SocketAddr)]) -> String {
    let holders: String = doors
        .iter()
        .filter_map(|(name, address)| {
            let (organisation, desk) = cast::desk(name)?;
            (desk.desk == "holder").then(|| {
                format!(
                    "[[holders]]\noin = \"{}\"\naddress = \"{address}\"\nserver_name = \"{SERVER_NAME}\"\n",
                    organisation.oin
                )
            })
        })
        .collect();
    format!("{POLICY_SETTINGS}\n\n{holders}")
}

fn portal_settings(doors: &[(&'static str, SocketAddr)]) -> String {
    let broker = doors
        .iter()
        .find(|(name, _)| *name == "broker")
        .map(|(_, address)| address.to_string())
        .unwrap_or_default();
    format!(
        "{POLICY_SETTINGS}\n\n\
         [broker]\naddress = \"{broker}\"\nserver_name = \"{SERVER_NAME}\"\n"
    )
}
