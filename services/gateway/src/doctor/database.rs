//! The database of a role: the way to it, its schema, its settings and clock.
//!
//! Must never read more from a row than a moment, and must never write.

use super::{CHECK_TIMEOUT, Check, age, compare_clocks, in_time, waiting};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, Role};
use crate::files;
use crate::grpc::status::causes;
use crate::roles::broker::controllers;
use papers::controllers::{ControllerSignature, SignedByAll, decode_signatures};
use papers::directory::verify_directory;
use rules::clock::{Clock as _, Timestamp};
use rules::directory::Directory;
use rules::limits::CLOCK_SKEW_MILLIS_MAX;
use std::path::Path;
use store::directory::SignedFile;
use store::examine::Examination;
use store::{Error, OpenFault, Settings, Tx, Work};

/// What was found, and the directory in force with it.
pub(super) struct Looked {
    pub(super) checks: Vec<Check>,
    /// The directory, or why there is none.
    pub(super) directory: Result<Directory, String>,
}

/// The names of the checks that need a connection, in their order.
const CONNECTED: [&str; 4] = ["schema", "sync settings", "database clock", "pooler"];

/// Looks at the database of a configuration.
pub(super) async fn look(configuration: &Configuration, now: Timestamp) -> Looked {
    let name = "database";
    let place = configuration.database();
    let settings = match place.open() {
        Ok(settings) => settings,
        Err(error) => {
            let remedy = "correct `password_file`, and run chmod 600 on it";
            return unopened(configuration, Check::fault(name, causes(&error), remedy));
        }
    };
    let mut examination = match Examination::open(&settings).await {
        Ok(examination) => examination,
        Err(error) => return unopened(configuration, fault(name, &error)),
    };
    let opened = in_time(name, async {
        match examination.server().await {
            Ok(Some(version)) => {
                let version = version / 10_000;
                Check::ok(name, format!("{settings}, PostgreSQL {version}"))
            }
            Ok(None) if may_not_write(&settings) => {
                let fault = OpenFault::Permission;
                Check::fault(name, format!("`{settings}` {fault}"), fault.remedy())
            }
            Ok(None) => Check::ok(name, format!("{settings}, SQLite")),
            Err(error) => fault(name, &error),
        }
    })
    .await;
    let mut has_schema = false;
    let schema = in_time("schema", async {
        match examination.schema(configuration.role.of_store()).await {
            Ok(version) => {
                has_schema = true;
                Check::ok("schema", format!("version {version}, this program's own"))
            }
            Err(error) => fault("schema", &error),
        }
    })
    .await;
    let mut checks = vec![opened, schema];
    checks.push(in_time("sync settings", sync_settings(&mut examination)).await);
    checks.push(in_time("database clock", clock(&mut examination)).await);
    checks.push(in_time("pooler", pooler(&examination)).await);
    if !has_schema {
        let why = "not looked at: the schema is not this program's";
        checks.extend(waiting::NAMES.map(|name| Check::not_applicable(name, why)));
        let directory = first_directory(configuration);
        return Looked { checks, directory };
    }
    match configuration.role {
        Role::Broker(_) => checks.extend(waiting::look(&mut examination, now).await),
        Role::Holder(_) | Role::Portal(_) => {
            let why = "only a broker has it in its database";
            checks.extend(waiting::NAMES.map(|name| Check::not_applicable(name, why)));
        }
    }
    if matches!(configuration.role, Role::Holder(_)) {
        let looked = carried_out(&mut examination, now);
        checks.push(in_time("carried out", looked).await);
    }
    let directory = directory(configuration, &mut examination).await;
    Looked { checks, directory }
}

fn unopened(configuration: &Configuration, opened: Check) -> Looked {
    let why = "not looked at: the database cannot be opened";
    let others = CONNECTED.into_iter().chain(waiting::NAMES);
    let others = others.map(|name| Check::not_applicable(name, why));
    Looked {
        checks: std::iter::once(opened).chain(others).collect(),
        directory: first_directory(configuration),
    }
}

/// Whether the file or its folder may not be written by whoever runs this.
fn may_not_write(settings: &Settings) -> bool {
    let Settings::Sqlite(file) = settings else {
        return false;
    };
    let folder = file
        .path
        .parent()
        .filter(|path| !path.as_os_str().is_empty());
    [file.path.as_path(), folder.unwrap_or(Path::new("."))]
        .into_iter()
        .any(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err())
}

/// What the store says is wrong, with its remedy apart.
pub(super) fn fault(name: &str, error: &Error) -> Check {
    match error {
        Error::Open {
            place,
            fault,
            source,
        } => {
            let said = source.as_ref().map(|source| format!(" ({source})"));
            let text = format!("`{place}` {fault}{}", said.unwrap_or_default());
            Check::fault(name, text, fault.remedy())
        }
        other => Check::fault(name, causes(other), "see what the database's own log says"),
    }
}

async fn sync_settings(examination: &mut Examination<'_>) -> Check {
    let name = "sync settings";
    let settings = match examination.sync_settings().await {
        Ok(settings) => settings,
        Err(error) => return fault(name, &error),
    };
    let told = |all: bool| {
        let told = settings.iter().filter(|setting| all || !setting.is_safe);
        let told = told.map(|setting| format!("{} = {}", setting.name, setting.value));
        told.collect::<Vec<_>>().join(", ")
    };
    if settings.iter().all(|setting| setting.is_safe) {
        Check::ok(name, told(true))
    } else {
        let remedy = "set it back for the server, the database and the user: what was acknowledged may be lost";
        Check::fault(name, told(false), remedy)
    }
}

async fn clock(examination: &mut Examination<'_>) -> Check {
    let name = "database clock";
    let before = SystemClock.now();
    let theirs = examination.clock().await;
    let after = SystemClock.now();
    match theirs {
        Ok(Some(theirs)) => compare_clocks(name, before, theirs, after),
        Ok(None) => Check::not_applicable(name, "a file has no clock of its own"),
        Err(error) => fault(name, &error),
    }
}

async fn pooler(examination: &Examination<'_>) -> Check {
    let name = "pooler";
    match examination.is_pooled().await {
        Ok(Some(false)) => Check::ok(name, "a session keeps its process of the server"),
        Ok(Some(true)) => Check::fault(
            name,
            "something between here and the server gives a session now this and now that process",
            "connect to the server itself, or set PgBouncer's pool_mode to session",
        ),
        Ok(None) => Check::not_applicable(name, "a file has none"),
        Err(error) => fault(name, &error),
    }
}

struct ReadCarried;

impl Work for ReadCarried {
    type Output = Option<Timestamp>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "ReadCarried"
    }

    /// The latest moment up to which orders are stored as carried out.
    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Option<Timestamp>, Error> {
        Ok(tx.carried().await?.last().map(|span| span.ended))
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// Whether a holder carried orders out at a time that is yet to come.
async fn carried_out(examination: &mut Examination<'_>, now: Timestamp) -> Check {
    let name = "carried out";
    let latest = match examination.read(&ReadCarried).await {
        Ok(latest) => latest,
        Err(error) => return fault(name, &error),
    };
    let ahead = latest.map_or(0, |latest| latest.millis_since(now));
    if ahead <= 2 * CLOCK_SKEW_MILLIS_MAX {
        return Check::ok(name, "nothing at a time that is yet to come");
    }
    let text = format!("orders that begin in {}", age(ahead));
    let remedy = "see that the clock is right; if it was ahead then, nothing: the orders of that time alone are refused";
    Check::warning(name, text, remedy)
}

/// Reads the signed directory that a role goes by.
struct ReadDirectory {
    role: store::Role,
}

impl Work for ReadDirectory {
    type Output = Option<SignedFile>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "ReadDirectory"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Option<SignedFile>, Error> {
        match self.role {
            store::Role::Broker => match tx.in_force(None).await? {
                Some(in_force) => tx.directory(in_force.directory_version).await,
                None => Ok(None),
            },
            store::Role::Holder => Ok(tx.newest_directory().await?.map(|(_, file)| file)),
            // The portal keeps none: it begins with its file and follows the broker's.
            store::Role::Portal => Ok(None),
        }
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// The directory in the database; before the first start the one in the file.
async fn directory(
    configuration: &Configuration,
    examination: &mut Examination<'_>,
) -> Result<Directory, String> {
    let role = configuration.role.of_store();
    let work = ReadDirectory { role };
    let read = tokio::time::timeout(CHECK_TIMEOUT, examination.read(&work)).await;
    let read = read.map_err(|_| "the database does not give the directory in time".to_owned())?;
    match read.map_err(|error| causes(&error))? {
        Some(file) => {
            let signatures = decode_signatures(&file.signatures);
            let signatures = signatures.map_err(|error| causes(&error))?;
            verified(configuration, file.content, signatures)
        }
        None => first_directory(configuration),
    }
}

fn first_directory(configuration: &Configuration) -> Result<Directory, String> {
    let wrong = |error| causes(&error);
    let content = files::read(&configuration.directory.path).map_err(wrong)?;
    let signatures = files::signatures(&configuration.directory.signatures).map_err(wrong)?;
    let signatures = signatures.into_iter();
    let signatures = signatures.map(|(controller, signature)| ControllerSignature {
        controller,
        signature,
    });
    verified(configuration, content, signatures.collect())
}

fn verified(
    configuration: &Configuration,
    content: Vec<u8>,
    signatures: Vec<ControllerSignature>,
) -> Result<Directory, String> {
    let signed = SignedByAll {
        content,
        signatures,
    };
    verify_directory(&controllers(configuration), &signed, None)
        .map_err(|refusal| format!("the directory is refused: {}", refusal.reason))
}
