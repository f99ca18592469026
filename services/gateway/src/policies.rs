//! `sluis policy …`: looking at a policy set on disk, signing it, and putting it in force.
//!
//! Must never put a set in force by itself: that is a logged call to a running broker.

use crate::cli::near::meant;
use crate::cli::output::quoted;
use crate::clock::SystemClock;
use crate::files::{self, FileError};
use client::error::from_status;
use client::{Connection, ConnectionError};
use rules::hex;
use rules::id::{Basis, NameError, PeerKind, Purpose, RequestId};
use rules::policy::{
    Action, AssumedConsent, BundleError, Case, ConsentState, Explanation, PolicyBundle, Question,
    Surplus, explain, matrix,
};
use std::path::{Path, PathBuf};
use vault::chance::SystemChance;
use vault::digest::sha256;
use vault::sign::Paper;
use wire::directory::v1::GetStatusRequest;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::policy::v1::policy_service_client::PolicyServiceClient;

/// Folder of the cases, inside the policies folder.
const CASES: &str = "cases/";

/// Why a policy command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PolicyCommandError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The set has mistakes; all of them.
    #[error("the policy set has {} mistake(s):{}", .0.len(), listed(.0))]
    Bundle(Vec<BundleError>),
    /// Cases give another answer than expected; all of them.
    #[error("{} case(s) fail:{}", .0.len(), .0.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    Cases(Vec<String>),
    /// A word of the question is in no list.
    #[error("`{typed}` is no {what}; {meant}")]
    Unknown {
        /// Which word.
        what: &'static str,
        /// What was typed.
        typed: String,
        /// What was perhaps meant, or all there is.
        meant: String,
    },
    /// Folders and signature files do not go together.
    #[error("{0} folder(s) and {1} signature file(s): give each folder its own, in the same order")]
    Uneven(usize, usize),
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The way to the broker cannot be made.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The broker said no or could not be reached.
    #[error("{0}")]
    Broker(String),
}

fn listed(mistakes: &[BundleError]) -> String {
    mistakes
        .iter()
        .map(|mistake| format!("\n  {mistake}"))
        .collect()
}

/// Reads and checks a policies folder.
///
/// # Errors
/// With every mistake.
pub fn load(folder: &Path) -> Result<PolicyBundle, PolicyCommandError> {
    PolicyBundle::load(&files::policies(folder)?, &sha256).map_err(PolicyCommandError::Bundle)
}

/// The files of a policies folder as they are signed and sent, from a folder that is in order.
///
/// # Errors
/// With every mistake.
pub fn signed(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, PolicyCommandError> {
    let mut files = files::policies(folder)?;
    PolicyBundle::load(&files, &sha256).map_err(PolicyCommandError::Bundle)?;
    files.retain(|(path, _)| PolicyBundle::is_signed_path(path));
    Ok(files)
}

/// What `policy check` found to be in order.
#[derive(Debug, serde::Serialize)]
pub struct Checked {
    /// The set's name, in hexadecimal.
    pub policy_set: String,
    /// Its version.
    pub version: u64,
    /// Entries in the register.
    pub register_entries: usize,
    /// Cases that gave the expected answer.
    pub cases: usize,
}

/// Checks a policies folder: the set, and every case in it.
///
/// # Errors
/// With every mistake, or every case that fails.
pub fn check(folder: &Path) -> Result<Checked, PolicyCommandError> {
    let bundle = load(folder)?;
    let mut cases = 0_usize;
    let mut failures = Vec::new();
    for (path, content) in files::policies(folder)? {
        if !path.starts_with(CASES) {
            continue;
        }
        match Case::read(&path, &content) {
            Ok(read) => {
                for case in read {
                    cases = cases.saturating_add(1);
                    failures.extend(case.check(&bundle).err().map(|error| error.to_string()));
                }
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    if failures.is_empty() {
        Ok(Checked {
            policy_set: hex::encode(&bundle.hash()),
            version: bundle.version(),
            register_entries: bundle.register().entries().count(),
            cases,
        })
    } else {
        Err(PolicyCommandError::Cases(failures))
    }
}

/// The golden matrix of a policies folder.
///
/// # Errors
/// With every mistake in the set.
pub fn render_matrix(folder: &Path) -> Result<String, PolicyCommandError> {
    Ok(matrix(&load(folder)?)?)
}

/// The consent state with this code, in capitals or not.
#[must_use]
pub fn consent_state(code: &str) -> Option<ConsentState> {
    ConsentState::ALL
        .iter()
        .copied()
        .find(|state| state.code().eq_ignore_ascii_case(code))
}

/// A question in words, as the command line has it.
#[derive(Clone, Debug)]
pub struct Words {
    /// What is wanted.
    pub action: String,
    /// Kind of the sender.
    pub sender: String,
    /// Kind of the recipient.
    pub recipient: String,
    /// The purpose.
    pub purpose: String,
    /// The basis.
    pub basis: String,
    /// Labels; all that the register allows when there are none.
    pub labels: Vec<String>,
    /// Consent to assume.
    pub consent: Option<String>,
}

impl Words {
    fn question(&self) -> Result<Question, PolicyCommandError> {
        let action = Action::from_code(&self.action).ok_or_else(|| {
            let known = Action::ALL.iter().map(|action| action.code());
            unknown("action", &self.action, known)
        })?;
        let kind = |text: &str| {
            PeerKind::from_code(text).ok_or_else(|| {
                let known = PeerKind::ALL.iter().map(|kind| kind.code());
                unknown("kind of organisation", text, known)
            })
        };
        let kinds = (kind(&self.sender)?, kind(&self.recipient)?);
        let purpose: Purpose = self.purpose.parse()?;
        let basis: Basis = self.basis.parse()?;
        let mut question = Question::new(action, kinds, purpose, basis);
        question.surplus = Surplus::Drop;
        if !self.labels.is_empty() {
            let labels: Result<_, NameError> =
                self.labels.iter().map(|text| text.parse()).collect();
            question.labels = Some(labels?);
        }
        if let Some(consent) = &self.consent {
            let state = consent_state(consent).ok_or_else(|| {
                let known = ConsentState::ALL.iter().map(|state| state.code());
                unknown("state of a consent", consent, known)
            })?;
            question.consent = Some(AssumedConsent::new(state));
        }
        Ok(question)
    }
}

fn unknown<'k>(
    what: &'static str,
    typed: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> PolicyCommandError {
    PolicyCommandError::Unknown {
        what,
        typed: quoted(typed),
        meant: meant(typed, known),
    }
}

/// What a policies folder answers to a question, and why.
///
/// # Errors
/// When the set has mistakes or a word is in no list.
pub fn explain_words(folder: &Path, words: &Words) -> Result<Explanation, PolicyCommandError> {
    let bundle = load(folder)?;
    let question = words.question()?;
    Ok(question.put(bundle.register(), |request| explain(&bundle, request))?)
}

/// Adds a controller's signature over a policies folder to a signature file, in the place of an earlier
/// one by the same controller.
///
/// # Errors
/// When the set has mistakes, the key cannot be read, or the file cannot be written.
pub fn sign(
    folder: &Path,
    key: &Path,
    controller: &str,
    out: &Path,
) -> Result<String, PolicyCommandError> {
    let bundle = load(folder)?;
    let key = files::controller_key(key)?;
    let signature = key.sign(Paper::PolicyBundle, bundle.signed_text());
    files::add_signature(out, controller, &signature)?;
    Ok(hex::encode(&bundle.hash()))
}

/// Which set is in force at the broker, in hexadecimal, and how many of these folders, from the first on, it has taken: those
/// up to the one with the set that is in force.
///
/// # Errors
/// When a set has mistakes, or the broker does not say.
pub async fn in_force(
    connection: &Connection,
    folders: &[PathBuf],
) -> Result<(String, usize), PolicyCommandError> {
    let sets: Vec<PolicyBundle> = folders
        .iter()
        .map(|one| load(one))
        .collect::<Result<_, _>>()?;
    let status = DirectoryServiceClient::new(connection.channel())
        .get_status(GetStatusRequest {})
        .await
        .map_err(|status| {
            PolicyCommandError::Broker(from_status("GetStatus", &status).to_string())
        })?;
    let present = status.into_inner().policy_set_sha256;
    let place = sets.iter().position(|set| set.hash() == *present);
    let taken = place.map_or(0, |place| place.saturating_add(1));
    Ok((hex::encode(&present), taken))
}

/// Sends a policies folder with its signatures to the broker, to be put in force. Gives the name of the
/// set that is in force then, in hexadecimal.
///
/// # Errors
/// When a file cannot be read, or the broker says no.
pub async fn activate(
    connection: &Connection,
    folder: &Path,
    signatures: &Path,
) -> Result<String, PolicyCommandError> {
    let files = signed(folder)?
        .into_iter()
        .map(|(path, content)| wire::policy::v1::PolicyFile { path, content })
        .collect();
    let signatures = files::signatures(signatures)?
        .into_iter()
        .map(
            |(controller, signature)| wire::directory::v1::ControllerSignature {
                controller,
                signature,
            },
        )
        .collect();
    let request_id = RequestId::draw(&SystemClock, &SystemChance::new());
    let answer = PolicyServiceClient::new(connection.channel())
        .activate_policy_set(wire::policy::v1::ActivatePolicySetRequest {
            request_id: request_id.bytes().to_vec(),
            files,
            signatures,
        })
        .await
        .map_err(|status| {
            PolicyCommandError::Broker(from_status("ActivatePolicySet", &status).to_string())
        })?;
    Ok(hex::encode(&answer.into_inner().policy_set_sha256))
}
