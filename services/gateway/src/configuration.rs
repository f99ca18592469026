//! The configuration of one process: one TOML file, read whole and checked before any socket opens.
//!
//! Must never hold a secret (those are in files that it names), and never take an unknown value or an
//! unknown field for a default.

mod budgets;
mod database;
mod fields;
#[cfg(test)]
mod tests;

pub use database::DatabaseSettings;
pub use fields::Mistake;

use crate::cli::near::meant;
use crate::door::budgets::Budgets;
use crate::files::{toml_fault, toml_line};
use broker::Limits;
use client::connection::host_and_port;
use client::credentials::TlsFiles;
use fields::Fields;
use holder::QuotaLimits;
use rules::hex;
use rules::id::Oin;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// What a process plays, with what only that role needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Carries handovers and decides about them.
    Broker(BrokerSettings),
    /// Holds a share of every pseudonym key.
    Holder(HolderSettings),
    /// The candidate's side.
    Portal(PortalSettings),
}

impl Role {
    /// The role's name, as in the file and in `GetStatus`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Broker(_) => "broker",
            Self::Holder(_) => "holder",
            Self::Portal(_) => "portal",
        }
    }

    /// The role, as the store knows it.
    #[must_use]
    pub const fn of_store(&self) -> store::Role {
        match self {
            Self::Broker(_) => store::Role::Broker,
            Self::Holder(_) => store::Role::Holder,
            Self::Portal(_) => store::Role::Portal,
        }
    }
}

/// What only a broker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// Its database.
    pub database: DatabaseSettings,
    /// The folder with the day keys: outside the database and outside its backups.
    pub day_keys: PathBuf,
    /// The key holders, each with its address.
    pub holders: Vec<HolderAddress>,
    /// The policy set for the first start.
    pub policies: SignedPath,
    /// Why production runs below trust level 2, in the operator's words; logged at every start.
    pub trust_override: Option<String>,
    /// How much may be open for one person.
    pub limits: Limits,
}

/// What only a key holder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderSettings {
    /// Its database.
    pub database: DatabaseSettings,
    /// How many orders an organisation may have carried out in a day, by kind.
    pub quotas: QuotaLimits,
}

/// What only a portal needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalSettings {
    /// Address of the broker, `host:port`.
    pub broker_address: String,
    /// The name in the broker's certificate.
    pub broker_server_name: String,
    /// Its sealed store: the key of its context, and what waits to be sent.
    pub store: PathBuf,
    /// Its database: lines sealed to persons.
    pub database: DatabaseSettings,
    /// The policy set of which it reads the register.
    pub policies: SignedPath,
    /// How many copies at the broker that do not open it may go on without, when it was put back from a backup.
    pub without_copies: usize,
}

/// How to reach a key holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderAddress {
    /// Its OIN, as in the directory and in its certificate.
    pub oin: Oin,
    /// `host:port`.
    pub address: String,
    /// The name in its certificate.
    pub server_name: String,
}

/// A file or folder and the file with the controllers' signatures over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPath {
    /// What is signed.
    pub path: PathBuf,
    /// The signatures.
    pub signatures: PathBuf,
}

/// One of the controllers whose signatures put files in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its name, as in the signature files.
    pub name: String,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
}

/// How strict a process is about its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For trying out, with fictitious persons.
    Sandbox,
    /// For real: needs at least two independent operators of key holders.
    Production,
}

/// Which element of a certificate's subject carries the OIN. Each group of organisations fixes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OinElement {
    /// `serialNumber` (2.5.4.5), as PKIoverheid has it.
    SerialNumber,
    /// `organizationIdentifier` (2.5.4.97, ETSI EN 319 412-1).
    OrganizationIdentifier,
}

/// What goes to the log of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important level that is written.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Somebody must look.
    Error,
    /// Somebody should look this week.
    Warn,
    /// What happened.
    Info,
    /// Every step.
    Debug,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What the process plays.
    pub role: Role,
    /// How strict it is.
    pub profile: Profile,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Proxies before the door: each connection from there begins with a PROXY header.
    pub proxies: Vec<IpAddr>,
    /// What an organisation, and all together, may hold of the process.
    pub budgets: Budgets,
    /// The door's certificate, key and issuer.
    pub tls: TlsFiles,
    /// Which subject element carries the OIN.
    pub oin_element: OinElement,
    /// The file with the role's keys.
    pub key_file: PathBuf,
    /// Who signs the directory and the policy set.
    pub controllers: Vec<Controller>,
    /// Every key holder's commitment to its blinding factor, taken over once and pinned.
    pub commitments: BTreeMap<Oin, [u8; 32]>,
    /// The directory for the first start.
    pub directory: SignedPath,
    /// The process's log.
    pub log: LogSettings,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("the configuration file `{}` cannot be read: {source}", path.display())]
    File {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// In which line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The file has mistakes; all of them.
    #[error("the configuration file `{}` is wrong in {}:{}", path.display(), places(mistakes.len()), lines(mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Every mistake.
        mistakes: Vec<Mistake>,
    },
}

fn places(count: usize) -> String {
    match count {
        1 => "one place".to_owned(),
        count => format!("{count} places"),
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(|mistake| format!("\n  {mistake}"))
        .collect()
}

impl Configuration {
    /// Reads and checks the file at `path`. Relative paths in it start at its own folder.
    ///
    /// # Errors
    /// With every mistake in the file at once.
    pub fn load(path: &Path) -> Result<Self, ConfigurationError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigurationError::File {
            path: path.to_owned(),
            source,
        })?;
        let table: toml::Table = text.parse().map_err(|error| {
            let (line, message) = toml_fault(&text, &error);
            ConfigurationError::Toml {
                path: path.to_owned(),
                line,
                message,
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        read(table, folder).map_err(|mut mistakes| {
            for mistake in &mut mistakes {
                mistake.line = toml_line(&text, &mistake.field);
            }
            ConfigurationError::Mistakes {
                path: path.to_owned(),
                mistakes,
            }
        })
    }

    /// The role's database.
    #[must_use]
    pub const fn database(&self) -> &DatabaseSettings {
        match &self.role {
            Role::Broker(settings) => &settings.database,
            Role::Holder(settings) => &settings.database,
            Role::Portal(settings) => &settings.database,
        }
    }
}

fn read(table: toml::Table, folder: &Path) -> Result<Configuration, Vec<Mistake>> {
    let mut fields = Fields::root(table, folder);
    let role = read_role(&mut fields);
    let profile = fields.parsed("profile", |text| match text {
        "sandbox" => Ok(Profile::Sandbox),
        "production" => Ok(Profile::Production),
        _ => Err("is not one of sandbox, production".to_owned()),
    });
    let listen = fields.parsed("listen", |text| {
        text.parse()
            .map_err(|_| "is not an address and port, for example 127.0.0.1:7443".to_owned())
    });
    let proxies = fields.optional_texts("proxies", |text| {
        text.parse::<IpAddr>()
            .map(|address| address.to_canonical())
            .map_err(|_| {
                format!(
                    "has `{text}`, which is not an IP address as 10.0.0.5; no names and no ranges"
                )
            })
    });
    let budgets = budgets::read(&mut fields);
    let oin_element = fields.parsed("oin_element", |text| match text {
        "serialNumber" => Ok(OinElement::SerialNumber),
        "organizationIdentifier" => Ok(OinElement::OrganizationIdentifier),
        _ => Err("is not one of serialNumber, organizationIdentifier".to_owned()),
    });
    let key_file = fields.file("key_file");
    let tls = fields.table("tls", |fields| {
        let (certificate, key) = (fields.file("certificate"), fields.file("key"));
        let issuer = fields.file("issuer");
        Some(TlsFiles {
            certificate: certificate?,
            key: key?,
            issuer: issuer?,
        })
    });
    let controllers = fields.list("controllers", read_controller);
    note_doubles(&mut fields, controllers.as_deref());
    let commitments = fields.list("commitments", read_commitment);
    let directory = fields.table("directory", |fields| {
        let (path, signatures) = (fields.file("file"), fields.file("signatures"));
        Some(SignedPath {
            path: path?,
            signatures: signatures?,
        })
    });
    let log = fields.table("log", read_log);
    let mistakes = fields.finish();
    let whole = || {
        Some(Configuration {
            role: role?,
            profile: profile?,
            listen: listen?,
            proxies: proxies?,
            budgets,
            tls: tls?,
            oin_element: oin_element?,
            key_file: key_file?,
            controllers: controllers?,
            commitments: commitments?.into_iter().collect(),
            directory: directory?,
            log: log?,
        })
    };
    match whole() {
        Some(configuration) if mistakes.is_empty() => Ok(configuration),
        _ => Err(mistakes),
    }
}

/// The roles, as in the file.
const ROLES: [&str; 3] = ["broker", "holder", "portal"];

fn read_role(fields: &mut Fields<'_>) -> Option<Role> {
    let role = fields.text("role");
    if !role.as_deref().is_some_and(|role| ROLES.contains(&role)) {
        // Which fields belong to it cannot be told: one mistake, and not one more for each of them.
        fields.cannot_know_all();
    }
    match role?.as_str() {
        "broker" => {
            let database = fields.table("database", database::read);
            let day_keys = fields.path("day_keys");
            let holders = fields.list("holders", read_holder);
            let policies = fields.table("policies", read_policies);
            let trust_override = fields.optional_text("trust_override");
            let limits = read_limits(fields);
            Some(Role::Broker(BrokerSettings {
                database: database?,
                day_keys: day_keys?,
                holders: holders?,
                policies: policies?,
                trust_override,
                limits,
            }))
        }
        "holder" => {
            let database = fields.table("database", database::read);
            let quotas = read_quotas(fields);
            Some(Role::Holder(HolderSettings {
                database: database?,
                quotas,
            }))
        }
        "portal" => {
            let store = fields.path("store");
            let database = fields.table("database", database::read);
            let policies = fields.table("policies", read_policies);
            let broker = fields.table("broker", |fields| {
                let address = fields.parsed("address", address);
                let server_name = fields.text("server_name");
                Some((address?, server_name?))
            });
            let without_copies = fields.optional_count("without_copies").unwrap_or(0);
            let (broker_address, broker_server_name) = broker?;
            Some(Role::Portal(PortalSettings {
                broker_address,
                broker_server_name,
                store: store?,
                database: database?,
                policies: policies?,
                without_copies: usize::try_from(without_copies).unwrap_or(usize::MAX),
            }))
        }
        other => {
            let meant = meant(other, ROLES);
            fields.mistake("role", format!("is no role; {meant}"));
            None
        }
    }
}

fn read_policies(fields: &mut Fields<'_>) -> Option<SignedPath> {
    let (path, signatures) = (fields.path("folder"), fields.file("signatures"));
    Some(SignedPath {
        path: path?,
        signatures: signatures?,
    })
}

/// Limits that are not in the file are those of `rules::limits`.
fn read_limits(fields: &mut Fields<'_>) -> Limits {
    let usual = Limits::default();
    let mut limit = |field, limit| fields.optional_count(field).unwrap_or(limit);
    Limits {
        open_handovers: limit("open_handovers_max", usual.open_handovers),
        questions: limit("questions_max", usual.questions),
        lines_per_day: limit("lines_per_day_max", usual.lines_per_day),
    }
}

/// Quotas that are not in the file are the broker's own.
fn read_quotas(fields: &mut Fields<'_>) -> QuotaLimits {
    let usual = QuotaLimits::default();
    let mut quota = |field, limit| fields.optional_count(field).unwrap_or(limit);
    QuotaLimits {
        enrol: quota("quota_enrol_per_day", usual.enrol),
        prepare: quota("quota_prepare_per_day", usual.prepare),
        handover: quota("quota_handover_per_day", usual.handover),
        portal: quota("quota_portal_per_day", usual.portal),
        check: quota("quota_check_per_day", usual.check),
        mismatch: quota("quota_mismatch_per_day", usual.mismatch),
        refused: quota("quota_refused_per_minute", usual.refused),
    }
}

fn read_holder(fields: &mut Fields<'_>) -> Option<HolderAddress> {
    let oin = fields.parsed("oin", |text| {
        text.parse::<Oin>().map_err(|error| error.to_string())
    });
    let address = fields.parsed("address", address);
    let server_name = fields.text("server_name");
    Some(HolderAddress {
        oin: oin?,
        address: address?,
        server_name: server_name?,
    })
}

fn read_controller(fields: &mut Fields<'_>) -> Option<Controller> {
    let name = fields.text("name");
    let public_key = fields.parsed("public_key", key_32);
    Some(Controller {
        name: name?,
        public_key: public_key?,
    })
}

fn read_commitment(fields: &mut Fields<'_>) -> Option<(Oin, [u8; 32])> {
    let holder = fields.parsed("holder", |text| {
        text.parse::<Oin>().map_err(|error| error.to_string())
    });
    let commitment = fields.parsed("commitment", key_32);
    Some((holder?, commitment?))
}

fn key_32(text: &str) -> Result<[u8; 32], String> {
    hex::decode(text)
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| "is not 64 hexadecimal digits".to_owned())
}

/// Two names with one key would let one controller sign twice.
fn note_doubles(fields: &mut Fields<'_>, controllers: Option<&[Controller]>) {
    let controllers = controllers.unwrap_or_default();
    for (index, later) in controllers.iter().enumerate() {
        let double = controllers
            .iter()
            .take(index)
            .any(|earlier| earlier.name == later.name || earlier.public_key == later.public_key);
        if double {
            fields.mistake(
                &format!("controllers[{index}]"),
                "has the name or the key of an earlier controller",
            );
        }
    }
}

fn read_log(fields: &mut Fields<'_>) -> Option<LogSettings> {
    let level = fields.parsed("level", |text| match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err("is not one of error, warn, info, debug".to_owned()),
    });
    let format = fields.parsed("format", |text| match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("is not one of json, text".to_owned()),
    });
    Some(LogSettings {
        level: level?,
        format: format?,
    })
}

fn address(text: &str) -> Result<String, String> {
    match host_and_port(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("is not host:port, an IPv6 address in brackets: [::1]:7443".to_owned()),
    }
}

impl fmt::Display for Configuration {
    /// For the log at start: every setting except the contents of the files that it names.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "role={} profile={:?} listen={} certificate={} issuer={} oin_element={:?} directory={} \
             controllers={}",
            self.role.name(),
            self.profile,
            self.listen,
            self.tls.certificate.display(),
            self.tls.issuer.display(),
            self.oin_element,
            self.directory.path.display(),
            self.controllers
                .iter()
                .map(|controller| controller.name.as_str())
                .collect::<Vec<_>>()
                .join(","),
        )?;
        write!(out, " database={}", self.database())?;
        match &self.role {
            Role::Broker(settings) => write!(
                out,
                " holders={} policies={} day_keys=<{}> key_file=<{}>",
                settings.holders.len(),
                settings.policies.path.display(),
                settings.day_keys.display(),
                self.key_file.display(),
            ),
            Role::Holder(_) => write!(out, " key_file=<{}>", self.key_file.display()),
            Role::Portal(settings) => write!(
                out,
                " broker={} policies={} key_file=<{}>",
                settings.broker_address,
                settings.policies.path.display(),
                self.key_file.display()
            ),
        }
    }
}
