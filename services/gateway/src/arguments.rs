//! The command line of `sluis` for operators and controllers.
//!
//! Must never take a secret as an argument: those are in files, because arguments are seen by everyone
//! on the machine.

use clap::{Args, Subcommand};
use rules::id::Oin;
use std::path::PathBuf;

/// A configuration file.
#[derive(Args, Clone, Debug)]
pub struct ConfigurationFile {
    /// The process's configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// What operators and controllers do.
#[derive(Subcommand, Clone, Debug)]
pub enum OperatorVerb {
    /// Runs the role that a configuration file describes, until it is told to stop.
    #[command(after_help = "Example: sluis serve --config broker.toml\n\n\
        SIGTERM stops it after the running calls; SIGHUP reads certificate, key and issuer anew.")]
    Serve {
        /// The file.
        #[command(flatten)]
        file: ConfigurationFile,
        /// Stop when standard input ends, as it does when the program that started this one is gone.
        #[arg(long)]
        until_input_ends: bool,
    },
    /// Brings a role's database to this program's schema; makes it when there is none.
    #[command(after_help = "Example: sluis migrate --config broker.toml")]
    Migrate(ConfigurationFile),
    /// Looks a role over: its files, keys, certificates, database, disk, clock, and whom it calls. Changes
    /// nothing.
    #[command(after_help = "Example: sluis doctor --config broker.toml\n\n\
        One line for each check: ok, warning, fault or not applicable. Exit code 0 without a fault, 1 with \
        one, 2 when the configuration cannot be read.")]
    Doctor(ConfigurationFile),
    /// Makes, looks over and puts back backups of a role's tables.
    #[command(subcommand)]
    Backup(BackupVerb),
    /// The door of a broker that was put back from a backup: how it stands, and opening it.
    #[command(subcommand)]
    Door(DoorVerb),
    /// Looks at configuration files.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Makes keys.
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Looks at a policy set on disk, signs it, puts it in force.
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Looks at a directory file, signs it, puts it in force.
    #[command(subcommand)]
    Directory(DirectoryVerb),
}

/// What can be done with a configuration file.
#[derive(Subcommand, Clone, Debug)]
pub enum ConfigVerb {
    /// Reads the file and the files that it names, and says everything that is wrong at once.
    #[command(after_help = "Example: sluis config check --config broker.toml")]
    Check(ConfigurationFile),
}

/// What can be done with backups.
#[derive(Subcommand, Clone, Debug)]
pub enum BackupVerb {
    /// Makes a backup in a new folder, while the role runs.
    #[command(
        after_help = "Example: sluis backup create --config broker.toml --out backup-2026-11-23\n\n\
        The folder holds tables.sqlite, whichever engine the role runs on, and manifest.json with a digest, the \
        rows of each table, and what is not inside: keys above all."
    )]
    Create {
        /// The role.
        #[command(flatten)]
        file: ConfigurationFile,
        /// The folder to make.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Looks a backup over: digest, pages, references, schema, rows. Needs no configuration and no keys.
    #[command(after_help = "Example: sluis backup verify backup-2026-11-23")]
    Verify {
        /// The backup.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Puts a backup back into the role's database, which must be empty. The role must not run.
    #[command(
        after_help = "Example: sluis backup restore --config broker.toml backup-2026-11-23\n\n\
        A broker starts with its door shut: only stopping works until portal and desks have sent again what they \
        stopped since the backup, or an operator opens it (sluis door open)."
    )]
    Restore {
        /// The role.
        #[command(flatten)]
        file: ConfigurationFile,
        /// The backup.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// What can be done with a broker's door.
#[derive(Subcommand, Clone, Debug)]
pub enum DoorVerb {
    /// Tells whether it is shut, since when, and which desks have not sent again what they had stopped.
    #[command(after_help = "Example: sluis door show --broker broker.example:7443 \
        --server-name broker.example --certificate operator.pem --key operator.key.pem \
        --issuer issuer.pem")]
    Show(OperatorDesk),
    /// Opens it though desks are missing: what they stopped since the backup stands again until they come, and each sends
    /// that again before anything else of its is done. The log keeps that this desk did it.
    #[command(after_help = "Example: sluis door open --broker broker.example:7443 \
        --server-name broker.example --certificate operator.pem --key operator.key.pem \
        --issuer issuer.pem")]
    Open(OperatorDesk),
    /// As the joint officer: serves an organisation again of which something that it had stopped cannot be read. The log
    /// keeps that this desk decided it.
    #[command(
        after_help = "Example: sluis door accept 00000099000000001000 --broker broker.example:7443 \
        --server-name broker.example --certificate officer.pem --key officer.key.pem \
        --issuer issuer.pem"
    )]
    Accept {
        /// The organisation, as `sluis door show` names it.
        #[arg(value_name = "OIN")]
        organisation: Oin,
        /// The joint officer's desk.
        #[command(flatten)]
        desk: OperatorDesk,
    },
}

/// Whose keys.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// A broker.
    Broker,
    /// A key holder.
    Holder,
    /// A portal.
    Portal,
    /// A partner's desk.
    Desk,
    /// A controller, who signs the directory and the policy set.
    Controller,
}

/// What can be done with keys.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysVerb {
    /// Makes a new key file that only its owner may read, and prints the public halves.
    #[command(
        after_help = "Example: sluis keys new --role desk --out desk.keys.toml\n\n\
        Never writes over a file that is there. What it prints goes into the directory or, for a \
        controller, into every role's configuration."
    )]
    New {
        /// Whose.
        #[arg(long)]
        role: KeyOwner,
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// What can be done with a policy set.
#[derive(Subcommand, Clone, Debug)]
pub enum PolicyVerb {
    /// Checks the set and every case in it.
    #[command(after_help = "Example: sluis policy check --folder policies")]
    Check {
        /// The policies folder.
        #[arg(long, value_name = "FOLDER", default_value = "policies")]
        folder: PathBuf,
    },
    /// Prints who may do what, as in policies/expected.txt.
    #[command(after_help = "Example: sluis policy matrix | diff policies/expected.txt -")]
    Matrix {
        /// The policies folder.
        #[arg(long, value_name = "FOLDER", default_value = "policies")]
        folder: PathBuf,
    },
    /// Says what the set answers to one question about nobody, and why.
    #[command(
        after_help = "Example: sluis policy explain --action prepare --from UWV --to GEMEENTE \
        --purpose HANDOVER --basis SUWI_62_1"
    )]
    Explain(ExplainArguments),
    /// Adds a controller's signature to a signature file.
    #[command(
        after_help = "Example: sluis policy sign --folder policies --key uwv.key \
        --controller uwv --out policies.signatures.toml"
    )]
    Sign {
        /// The policies folder.
        #[arg(long, value_name = "FOLDER", default_value = "policies")]
        folder: PathBuf,
        /// The controller's key file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The controller's name, as in every role's configuration.
        #[arg(long)]
        controller: String,
        /// The signature file; made when there is none.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Puts a signed set in force at a running broker; needs a desk with the right `operator`.
    #[command(after_help = "Example: sluis policy activate --folder policies \
        --signatures policies.signatures.toml --broker broker.example:7443 \
        --server-name broker.example --certificate operator.pem --key operator.key.pem \
        --issuer issuer.pem\n\n\
        A set follows the one in force: its version is the next, its predecessor that set. Where sets were missed,\n\
        name each with its signatures, oldest first: --folder 4 --signatures 4.toml --folder 5 --signatures 5.toml")]
    Activate(ActivateArguments),
}

/// A question to a policy set.
#[derive(Args, Clone, Debug)]
pub struct ExplainArguments {
    /// The policies folder.
    #[arg(long, value_name = "FOLDER", default_value = "policies")]
    pub folder: PathBuf,
    /// prepare, offer, release or fetch.
    #[arg(long)]
    pub action: String,
    /// Kind of the sender, for example UWV.
    #[arg(long = "from")]
    pub sender: String,
    /// Kind of the recipient, for example GEMEENTE.
    #[arg(long = "to")]
    pub recipient: String,
    /// The purpose.
    #[arg(long)]
    pub purpose: String,
    /// The legal basis that the sender names.
    #[arg(long)]
    pub basis: String,
    /// A label that would be exchanged; repeat it for more. Without any: all that the register allows.
    #[arg(long = "label")]
    pub labels: Vec<String>,
    /// Consent to assume, for example given.
    #[arg(long)]
    pub consent: Option<String>,
}

/// Which set, and to which broker.
#[derive(Args, Clone, Debug)]
pub struct ActivateArguments {
    /// The policies folder; repeat it for sets that were missed, oldest first.
    #[arg(long = "folder", value_name = "FOLDER", default_value = "policies")]
    pub folders: Vec<PathBuf>,
    /// The file with all controllers' signatures; as many as folders.
    #[arg(long, value_name = "FILE", required = true)]
    pub signatures: Vec<PathBuf>,
    /// The broker, and who calls.
    #[command(flatten)]
    pub desk: OperatorDesk,
}

/// What can be done with a directory file.
#[derive(Subcommand, Clone, Debug)]
pub enum DirectoryVerb {
    /// Looks the file over: its shape, its parts, every signature inside it, and what ends first.
    #[command(
        after_help = "Example: sluis directory check --file directory.toml\n\n\
        Whether all controllers signed it, `sluis config check` says, which has their keys."
    )]
    Check {
        /// The directory, with its parts behind it.
        #[arg(long, value_name = "FILE", default_value = "directory.toml")]
        file: PathBuf,
    },
    /// Adds a controller's signature over it to a signature file.
    #[command(
        after_help = "Example: sluis directory sign --file directory.toml --key uwv.key \
        --controller uwv --out directory.signatures.toml"
    )]
    Sign {
        /// The directory, with its parts behind it.
        #[arg(long, value_name = "FILE", default_value = "directory.toml")]
        file: PathBuf,
        /// The controller's key file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The controller's name, as in every role's configuration.
        #[arg(long)]
        controller: String,
        /// The signature file; made when there is none.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Puts a signed directory in force at a running broker; needs a desk with the right `operator`.
    #[command(after_help = "Example: sluis directory import --file directory.toml \
        --signatures directory.signatures.toml --broker broker.example:7443 \
        --server-name broker.example --certificate operator.pem --key operator.key.pem \
        --issuer issuer.pem")]
    Import {
        /// The directory, with its parts behind it.
        #[arg(long, value_name = "FILE", default_value = "directory.toml")]
        file: PathBuf,
        /// The file with all controllers' signatures.
        #[arg(long, value_name = "FILE")]
        signatures: PathBuf,
        /// The broker, and who calls.
        #[command(flatten)]
        desk: OperatorDesk,
    },
}

/// A desk with the right `operator`, and the broker that it calls.
#[derive(Args, Clone, Debug)]
pub struct OperatorDesk {
    /// The broker's address, host:port.
    #[arg(long, value_name = "ADDRESS")]
    pub broker: String,
    /// The name in the broker's certificate.
    #[arg(long)]
    pub server_name: String,
    /// The operator desk's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The issuer of the broker's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub issuer: PathBuf,
}
