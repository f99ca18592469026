//! What operators and controllers do on the command line: run a role, migrate, look at configurations,
//! make keys, and work with policy sets.
//!
//! Must never print a secret, and must never leave a fault without what, where and what to do.

use crate::arguments::{
    ActivateArguments, BackupVerb, ConfigVerb, DirectoryVerb, DoorVerb, ExplainArguments, KeyOwner,
    KeysVerb, OperatorDesk, OperatorVerb, PolicyVerb,
};
use crate::backup;
use crate::cli::error::EXIT_UNWRITTEN;
use crate::cli::output::{Answer, Reader, end, fail, note, print, without_numbers};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, Role};
use crate::directories::{self, DirectoryCommandError};
use crate::doctor;
use crate::files;
use crate::grpc::status::causes;
use crate::logging;
use crate::memory;
use crate::policies::{self, PolicyCommandError, Words};
use crate::reopen;
use crate::roles::{self, broker, holder, portal};
use client::{Connection, ConnectionError};
use rules::clock::Clock as _;
use rules::hex;
use rules::secret::Secret;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use vault::holder::{HolderKeys, HolderSecrets};
use vault::keyfile::{KeyFile, Role as KeyRole, SecretName};
use vault::sealing::OpeningKey;
use vault::sign::SigningKey;

/// Does what was asked and says how it went.
pub async fn run(verb: OperatorVerb, json: bool) -> ExitCode {
    let mut keys = None;
    let answer = match verb {
        OperatorVerb::Doctor(file) => return doctor::run(&file.config, json).await,
        OperatorVerb::Serve {
            file,
            until_input_ends,
        } => serve(&file.config, until_input_ends).await,
        OperatorVerb::Migrate(file) => migrate(&file.config).await,
        OperatorVerb::Backup(verb) => backup(verb).await,
        OperatorVerb::Door(verb) => door(verb).await,
        OperatorVerb::Config(ConfigVerb::Check(file)) => check(&file.config).await,
        OperatorVerb::Keys(KeysVerb::New { role, out }) => {
            let made = new_keys(role, &out);
            made.inspect(|_| keys = Some(out))
        }
        OperatorVerb::Policy(verb) => policy(verb).await.map_err(Fault::from),
        OperatorVerb::Directory(verb) => directory(verb).await.map_err(Fault::from),
    };
    match answer {
        Ok(answer) => match (print(&answer, json), keys) {
            (Ok(Reader::Gone), Some(keys)) => forget(&keys, EXIT_NO_READER),
            (Err(_), Some(keys)) => forget(&keys, EXIT_UNWRITTEN),
            (printed, _) => end(printed, ExitCode::SUCCESS),
        },
        Err(error) => {
            let text = without_numbers(&causes(error.as_ref()));
            let value = json!({ "error": { "kind": "failed", "text": text } });
            fail(&format!("sluis: {text}"), json.then_some(&value));
            ExitCode::FAILURE
        }
    }
}

/// Exit code: what was to be read by somebody was read by nobody; as a shell tells of a process that SIGPIPE ended.
const EXIT_NO_READER: u8 = 141;

pub(crate) type Fault = Box<dyn std::error::Error>;

async fn serve(path: &Path, until_input_ends: bool) -> Result<Answer, Fault> {
    let configuration = Configuration::load(path)?;
    logging::begin(configuration.log);
    memory::lock();
    if until_input_ends {
        end_with_input();
    }
    tracing::info!(%configuration, version = env!("CARGO_PKG_VERSION"), "starts");
    let served = match &configuration.role {
        Role::Broker(settings) => broker::run(&configuration, settings).await,
        Role::Holder(settings) => holder::run(&configuration, settings).await,
        Role::Portal(settings) => portal::run(&configuration, settings).await,
    };
    if let Err(error) = &served {
        tracing::error!(causes = causes(error), "stops");
    }
    served?;
    Ok(Answer::new("", Value::Null))
}

/// Ends the process at once when its standard input ends: whoever held the other end was killed, and a
/// server must stand being killed too.
fn end_with_input() {
    std::thread::spawn(|| {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        tracing::warn!("standard input ended; stops");
        std::process::exit(0);
    });
}

async fn migrate(path: &Path) -> Result<Answer, Fault> {
    let configuration = Configuration::load(path)?;
    let database = configuration.database();
    let settings = database.open()?;
    store::engine::migrate(&settings, configuration.role.of_store()).await?;
    let place = database.to_string();
    let text = format!("{place} has this program's schema");
    Ok(Answer::new(text, json!({ "database": place })))
}

/// Looks over what a start looks at, as far as no other process is needed.
async fn check(path: &Path) -> Result<Answer, Fault> {
    let configuration = Configuration::load(path)?;
    let to_do = roles::check(&configuration).await?;
    let more = to_do.iter().map(|text| format!("\nto do: {text}"));
    let text = format!("in order: {configuration}{}", more.collect::<String>());
    let value = json!({ "ok": true, "role": configuration.role.name(), "to_do": to_do });
    Ok(Answer::new(text, value))
}

fn new_keys(owner: KeyOwner, out: &Path) -> Result<Answer, Fault> {
    let role = match owner {
        KeyOwner::Broker => KeyRole::Broker,
        KeyOwner::Holder => KeyRole::Holder,
        KeyOwner::Portal => KeyRole::Portal,
        KeyOwner::Desk => KeyRole::Desk,
        KeyOwner::Controller => {
            let seed = SigningKey::generate();
            files::write_secret(out, &Secret::new(hex::encode(seed.expose())))?;
            let public = hex::encode(SigningKey::from_seed(&seed).public().bytes());
            return Ok(public_halves(&[("public_key", public)]));
        }
    };
    let file = KeyFile::generate(role);
    files::write_secret(out, &file.to_text())?;
    let signing = SigningKey::from_seed(file.require(SecretName::SigningSeed)?);
    let mut halves = vec![("signing_key", hex::encode(signing.public().bytes()))];
    if let Some(seed) = file.secret(SecretName::OpeningSeed) {
        halves.push((
            "sealing_key",
            hex::encode(OpeningKey::from_seed(seed).public().bytes()),
        ));
    }
    if role == KeyRole::Holder {
        let secret = |name| Ok::<_, Fault>(Secret::new(*file.require(name)?.expose()));
        let keys = HolderKeys::from_secrets(&HolderSecrets {
            rekeying: secret(SecretName::RekeyingSecret)?,
            blinding: secret(SecretName::BlindingFactor)?,
        })?;
        halves.push(("commitment", hex::encode(&keys.commitment().bytes())));
    }
    Ok(public_halves(&halves))
}

/// Removes keys again of which nobody has seen the public halves: no verb says them a second time.
fn forget(keys: &Path, code: u8) -> ExitCode {
    let what = match std::fs::remove_file(keys) {
        Ok(()) => "is removed again; run the command once more",
        Err(_) => "is of no use; remove it, and run the command once more",
    };
    note(&format!(
        "sluis: the public halves could not be written to standard output, so `{}` {what}",
        keys.display()
    ));
    ExitCode::from(code)
}

fn public_halves(halves: &[(&str, String)]) -> Answer {
    let lines: Vec<String> = halves
        .iter()
        .map(|(name, value)| format!("{name} = \"{value}\""))
        .collect();
    let value = halves
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    Answer::new(lines.join("\n"), Value::Object(value))
}

async fn policy(verb: PolicyVerb) -> Result<Answer, PolicyCommandError> {
    match verb {
        PolicyVerb::Check { folder } => checked(&folder),
        PolicyVerb::Matrix { folder } => {
            let text = policies::render_matrix(&folder)?;
            let value = json!({ "matrix": text });
            Ok(Answer::new(text, value))
        }
        PolicyVerb::Explain(arguments) => explained(arguments),
        PolicyVerb::Sign {
            folder,
            key,
            controller,
            out,
        } => {
            let hash = policies::sign(&folder, &key, &controller, &out)?;
            let text = format!("{controller} signed policy set {hash} in {}", out.display());
            let value = json!({ "policy_set": hash, "controller": controller });
            Ok(Answer::new(text, value))
        }
        PolicyVerb::Activate(arguments) => activated(arguments).await,
    }
}

fn checked(folder: &Path) -> Result<Answer, PolicyCommandError> {
    let checked = policies::check(folder)?;
    let text = format!(
        "in order: policy set {}, version {}, {} register entries, {} cases",
        checked.policy_set, checked.version, checked.register_entries, checked.cases
    );
    let value = json!({
        "policy_set": checked.policy_set,
        "version": checked.version,
        "register_entries": checked.register_entries,
        "cases": checked.cases,
    });
    Ok(Answer::new(text, value))
}

async fn directory(verb: DirectoryVerb) -> Result<Answer, DirectoryCommandError> {
    match verb {
        DirectoryVerb::Check { file } => {
            let summary = directories::check(&file, SystemClock.now())?;
            let text = format!("in order: {summary}");
            Ok(Answer::new(text, json!(summary)))
        }
        DirectoryVerb::Sign {
            file,
            key,
            controller,
            out,
        } => {
            let (version, end) = directories::sign(&file, &key, &controller, &out)?;
            let place = out.display();
            let text = format!("{controller} signed directory {version} in {place}; {end}");
            let value = json!({
                "directory_version": version,
                "controller": controller,
                "valid_until_millis": end.valid_until_millis,
            });
            Ok(Answer::new(text, value))
        }
        DirectoryVerb::Import {
            file,
            signatures,
            desk,
        } => {
            let connection = connection(&desk)?;
            let (version, end) = directories::import(&connection, &file, &signatures).await?;
            let text = format!("directory {version} is in force; {end}");
            let value = json!({
                "directory_version": version,
                "valid_until_millis": end.valid_until_millis,
            });
            Ok(Answer::new(text, value))
        }
    }
}

fn explained(arguments: ExplainArguments) -> Result<Answer, PolicyCommandError> {
    let words = Words {
        action: arguments.action,
        sender: arguments.sender,
        recipient: arguments.recipient,
        purpose: arguments.purpose,
        basis: arguments.basis,
        labels: arguments.labels,
        consent: arguments.consent,
    };
    let explanation = policies::explain_words(&arguments.folder, &words)?;
    Ok(Answer::new(explanation.text, explanation.value))
}

/// The way to the broker as this desk.
pub(crate) fn connection(desk: &OperatorDesk) -> Result<Connection, ConnectionError> {
    Connection::from_files(
        &desk.certificate,
        &desk.key,
        &desk.issuer,
        &desk.server_name,
        &desk.broker,
    )
}

async fn backup(verb: BackupVerb) -> Result<Answer, Fault> {
    let (what, folder, manifest) = match verb {
        BackupVerb::Create { file, out } => {
            let configuration = Configuration::load(&file.config)?;
            let manifest = backup::create(&configuration, &out).await?;
            ("made", out, manifest)
        }
        BackupVerb::Verify { folder } => {
            let manifest = backup::verify(&folder).await?;
            ("in order", folder, manifest)
        }
        BackupVerb::Restore { file, folder } => {
            let configuration = Configuration::load(&file.config)?;
            let manifest = backup::restore(&configuration, &folder).await?;
            ("put back", folder, manifest)
        }
    };
    Ok(Answer::new(
        manifest.told(what, &folder),
        json!({ "outcome": what, "backup": manifest }),
    ))
}

async fn door(verb: DoorVerb) -> Result<Answer, Fault> {
    match verb {
        DoorVerb::Show(desk) => reopen::show(&connection(&desk)?).await,
        DoorVerb::Open(desk) => reopen::open(&connection(&desk)?).await,
        DoorVerb::Accept { organisation, desk } => {
            reopen::accept(&connection(&desk)?, &organisation).await
        }
    }
    .map(|(text, value)| Answer::new(text, value))
    .map_err(Fault::from)
}

async fn activated(arguments: ActivateArguments) -> Result<Answer, PolicyCommandError> {
    let (folders, signatures) = (&arguments.folders, &arguments.signatures);
    if folders.len() != signatures.len() {
        return Err(PolicyCommandError::Uneven(folders.len(), signatures.len()));
    }
    let connection = connection(&arguments.desk)?;
    let chain: Vec<_> = folders.iter().zip(signatures).collect();
    let (mut hash, taken) = policies::in_force(&connection, folders).await?;
    let left = chain.get(taken..).unwrap_or_default();
    for (folder, signatures) in left {
        hash = policies::activate(&connection, folder, signatures).await?;
    }
    let text = match (taken, left.len()) {
        (_, 0) => format!("policy set {hash} is already in force; nothing was done"),
        (0, _) => format!("policy set {hash} is in force"),
        (_, _) => format!("policy set {hash} is in force; the folders before it were already"),
    };
    let value = json!({ "policy_set": hash, "already": left.is_empty() });
    Ok(Answer::new(text, value))
}
