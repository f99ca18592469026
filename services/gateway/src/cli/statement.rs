//! A consent statement as something to keep: a file as it was signed, and beside it one in words.
//!
//! Must never write over another statement, never let anybody but its owner read one (the stop code stands on it), and
//! never put into words what does not verify.

use super::assist::register;
use super::day::{last_day, moment};
use super::error::CliError;
use super::identity::Identity;
use super::output::{Answer, facts, quoted};
use crate::files::{FileError, write_secret};
use client::open_statement;
use rules::consent::{Language, Statement, StatementEvent, StopCode};
use rules::directory::Directory;
use rules::hex;
use rules::id::Party;
use rules::register::Register;
use rules::secret::Secret;
use serde_json::json;
use std::path::{Path, PathBuf};
use vault::digest::sha256;

/// The folder in the sandbox in which statements are kept.
const FOLDER: &str = "statements";
/// How the name of the file with the words ends.
const WORDS: &str = "txt";
/// Octets of a statement's digest in its file's name: each version of a record has a file of its own.
const DIGEST_BYTES: usize = 4;

/// Where a statement lies now, or why it lies nowhere.
pub(crate) struct Kept(Result<PathBuf, (FileError, String)>);

/// Writes a statement of this record into its file.
pub(crate) fn keep(sandbox: &Path, record: &str, statement: &str) -> Kept {
    let digest = hex::encode(&sha256(statement.as_bytes()));
    let short = digest.get(..2 * DIGEST_BYTES).unwrap_or(&digest);
    let path = sandbox.join(FOLDER).join(format!("{record}-{short}.jws"));
    let written = write(&path, statement);
    if let Ok(words) = words(sandbox, statement) {
        // The statement itself is what counts: where the words have no file, `consent statement show` says them.
        drop(write(&path.with_extension(WORDS), &words));
    }
    Kept(match written {
        Ok(()) | Err(FileError::There { .. }) => Ok(path),
        Err(error) => Err((error, statement.to_owned())),
    })
}

/// `consent statement show`.
///
/// # Errors
///
/// When the file cannot be read, or is no statement that can be trusted.
pub(crate) fn show(sandbox: &Path, file: &Path) -> Result<Answer, CliError> {
    let text = std::fs::read_to_string(file).map_err(|source| CliError::File {
        path: file.to_owned(),
        source,
    })?;
    let words = words(sandbox, text.trim())?;
    let value = json!({ "words": words });
    Ok(Answer::new(words, value))
}

/// What a statement says, in the language of the notice that the person saw, once its signature was verified.
fn words(sandbox: &Path, statement: &str) -> Result<String, CliError> {
    let directory = Identity::load(sandbox, "portal")?.directory(sandbox)?;
    let opened = open_statement(&directory, statement).map_err(|error| {
        CliError::usage(
            format!("this is no statement to rely on: it {}", error.wrong),
            "take the file as it was given, or ask the portal for the consent: `sluis consent list`",
        )
    })?;
    let register = register(sandbox)?;
    Ok(in_words(&opened, directory.directory(), &register))
}

fn in_words(statement: &Statement, directory: &Directory, register: &Register) -> String {
    let record = &statement.record;
    let is_dutch = record.notice.language == Language::Nl;
    let say = |dutch: &str, english: &str| if is_dutch { dutch } else { english }.to_owned();
    let called = |party: &Party| match directory.peer(&party.oin) {
        Some(peer) => format!("{} ({party})", quoted(peer.name())),
        None => party.to_string(),
    };
    let kind = |party: &Party| directory.peer(&party.oin).map(rules::directory::Peer::kind);
    let entry = match (kind(&record.sender), kind(&record.recipient)) {
        (Some(from), Some(to)) => register.entry(&record.purpose, from, to),
        _ => None,
    };
    let title = entry.map(|entry| say(&entry.title_nl, &entry.title_en));
    let what = record.categories.iter().map(|category| {
        let labels = register
            .labels()
            .filter(|label| label.category == *category);
        let titles: Vec<String> = labels
            .map(|label| say(&label.title_nl, &label.title_en))
            .collect();
        format!("{category}: {}", titles.join("; "))
    });
    let until = match last_day(record.valid_until.millis()) {
        Some(day) => format!("{day}, {}", say("die hele dag", "the whole day")),
        None => moment(record.valid_until.millis()),
    };
    let code = statement.stop_code.as_ref().map(StopCode::shown);
    let stop = code.as_ref().map(|code| {
        let dutch = "bij het portaal, na inloggen; of met de stopcode, zonder inloggen";
        let english = "at the portal, after a login; or with the stop code, without one";
        format!("{}: sluis consent stop-by-code {code}", say(dutch, english))
    });
    let (oin, desk) = &statement.entity;
    facts(&[
        (&say("toestemming", "consent"), record.id.to_string()),
        (&say("wat", "what"), happened(statement.event, is_dutch)),
        (
            &say("wanneer", "when"),
            moment(statement.event_time.millis()),
        ),
        (&say("van", "from"), called(&record.sender)),
        (&say("aan", "to"), called(&record.recipient)),
        (
            &say("waarvoor", "what for"),
            title.unwrap_or_else(|| record.purpose.to_string()),
        ),
        (
            &say("gegevens", "data"),
            what.collect::<Vec<_>>().join(" | "),
        ),
        (&say("tot en met", "until"), until),
        (&say("stopcode", "stop code"), code.unwrap_or_default()),
        (&say("stoppen", "to stop"), stop.unwrap_or_default()),
        (
            &say("getekend", "signed"),
            format!(
                "{}: {oin}/{desk}",
                say("gecontroleerd, door loket", "verified, by desk")
            ),
        ),
    ])
}

fn happened(event: StatementEvent, is_dutch: bool) -> String {
    let (dutch, english) = match event {
        StatementEvent::Given => ("toestemming gegeven", "consent given"),
        StatementEvent::Refused => ("nee gezegd", "said no"),
        StatementEvent::Narrowed => ("toestemming beperkt", "consent made narrower"),
        StatementEvent::Withdrawn => ("toestemming gestopt", "consent stopped"),
        StatementEvent::Expired => ("toestemming verlopen", "consent come to its end"),
    };
    let words = if is_dutch { dutch } else { english };
    words.to_owned()
}

fn write(path: &Path, statement: &str) -> Result<(), FileError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| FileError::Io {
            path: folder.to_owned(),
            source,
        })?;
    }
    write_secret(path, &Secret::new(statement.to_owned()))
}

impl Kept {
    /// For people: the path; the statement itself where there is no file, because the choice has been made.
    pub(crate) fn text(&self) -> String {
        match &self.0 {
            Ok(path) => {
                let kept = format!("the statement to keep is in {}", path.display());
                let words = path.with_extension(WORDS);
                if words.exists() {
                    format!("{kept}\nin words: {}", words.display())
                } else {
                    kept
                }
            }
            Err((error, statement)) => {
                format!("{error}; keep this, it is the statement:\n{statement}")
            }
        }
    }

    /// For programs: the path, or nothing.
    pub(crate) fn path(&self) -> Option<String> {
        let path = self.0.as_ref().ok()?;
        Some(path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A folder of this process and this test alone.
    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sluis-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_statement_has_a_file_of_its_own_that_nobody_else_reads() {
        let folder = folder("statements");
        let first = keep(&folder, "cns_1", "one").path().unwrap();
        let second = keep(&folder, "cns_1", "two").path().unwrap();
        assert_ne!(first, second);
        assert_eq!(keep(&folder, "cns_1", "one").path().unwrap(), first);
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "one");
        let mode = std::fs::metadata(&first).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_statement_that_has_no_file_is_shown() {
        let file = folder("no-folder");
        std::fs::write(&file, "").unwrap();
        let kept = keep(&file, "cns_1", "the words");
        assert_eq!(kept.path(), None);
        assert!(kept.text().contains("the words"), "{}", kept.text());
        std::fs::remove_file(file).unwrap();
    }
}
