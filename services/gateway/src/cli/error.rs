//! Why a command did not do what was asked, as a person at a keyboard needs it: what, where, what to do.
//!
//! Must never print a field's value, a BSN or a key.

use super::near::meant;
use super::output::{quoted, without_numbers};
use client::error::Refused;
use client::{ClientError, ConnectCheckError, ConnectionError};
use rules::id::RequestId;
use rules::reason::{Reason, Refusal, Violation};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code: the gateway or the other side said no.
pub const EXIT_REFUSED: u8 = 1;
/// Exit code: the command, a file or the settings are wrong; nothing was sent.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: the gateway could not be reached.
pub const EXIT_UNREACHABLE: u8 = 3;

/// Exit code: done, but standard output did not take the answer whole.
pub const EXIT_UNWRITTEN: u8 = 4;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no sandbox in this folder.
    #[error("there is no sandbox in `{}`; start one with `sluis sandbox --stay`, or name its folder with --sandbox", .0.display())]
    NoSandbox(PathBuf),
    /// The sandbox has nobody of this name.
    #[error("nobody here is called `{}`; {}", quoted(name), meant(name, known.iter().map(String::as_str)))]
    NobodyOfThatName {
        /// The name asked for.
        name: String,
        /// Everybody there is.
        known: Vec<String>,
    },
    /// A file cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` is not right: {message}", path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The key holders refused this person; the call itself succeeded.
    #[error("the key holders refused: {}", .0.reason.english())]
    Person(Refusal),
    /// What was typed or chosen may not be; nothing was sent.
    #[error("nothing was sent: {}", .0.reason.english())]
    NotAllowed(Refusal),
    /// Something that waited is still not done; all that was looked at.
    #[error("{text}")]
    Undone {
        /// For people.
        text: String,
        /// For programs.
        value: Value,
        /// Whether all of it waits, and none was refused.
        only_waits: bool,
    },
    /// What was typed is wrong.
    #[error("{what}; {remedy}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Standard output did not take what came in.
    #[error(transparent)]
    Unwritten(#[from] super::output::Unwritten),
    /// The connection cannot be set up from the files.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The connect check found something.
    #[error(transparent)]
    Check(#[from] ConnectCheckError),
    /// The client library's own words.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl CliError {
    /// What was typed is wrong, and what would be right.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Person(_)
            | Self::Client(ClientError::Refused(_) | ClientError::Protocol(_))
            | Self::Undone {
                only_waits: false, ..
            } => EXIT_REFUSED,
            Self::Client(ClientError::Transport(_) | ClientError::Waiting { .. })
            | Self::Undone {
                only_waits: true, ..
            }
            | Self::Check(_) => EXIT_UNREACHABLE,
            Self::Unwritten(_) => EXIT_UNWRITTEN,
            _ => EXIT_USAGE,
        })
    }

    /// For people: reason code, what, where and what to do, in English and in Dutch.
    #[must_use]
    pub fn text(&self) -> String {
        if let Self::Undone { text, .. } = self {
            return text.clone();
        }
        if let Some(refusal) = self.own_refusal() {
            let fields: String = refusal.violations.iter().map(field).collect();
            let end = match self {
                Self::Person(_) => "",
                _ => "\n  nothing was sent",
            };
            return format!("{}{fields}{end}", said(refusal.reason));
        }
        match self.refused() {
            Some((refused, None)) => told(refused),
            Some((refused, Some(request))) => format!("{}\n  {}", told(refused), waiting(request)),
            None => format!("error: {}", quoted(&self.to_string())),
        }
    }

    /// For programs: the same as one object.
    #[must_use]
    pub fn json(&self) -> Value {
        if let Self::Undone { text, value, .. } = self {
            let mut whole = value.clone();
            if let Some(object) = whole.as_object_mut() {
                let error = json!({ "kind": self.kind(), "text": without_numbers(text) });
                object.insert("error".to_owned(), error);
            }
            return whole;
        }
        if let Some(Refusal { reason, violations }) = self.own_refusal() {
            let fields = violations.iter();
            let fields: Vec<_> = fields
                .map(|one| json!({ "field": one.field, "description": one.description }))
                .collect();
            return json!({ "error": {
                "kind": self.kind(), "reason": reason.code(),
                "text": reason.english(), "text_nl": reason.dutch(), "violations": fields,
            } });
        }
        let Some((refused, waits_as)) = self.refused() else {
            return json!({ "error": {
                "kind": self.kind(), "text": without_numbers(&self.to_string()),
            } });
        };
        let violations: Vec<_> = refused
            .violations
            .iter()
            .map(|violation| json!({ "field": violation.field, "description": violation.description }))
            .collect();
        json!({ "error": {
            "kind": self.kind(),
            "reason": refused.reason_code,
            "text": refused.reason.map_or(refused.message.as_str(), |reason| reason.english()),
            "text_nl": refused.reason.map(Reason::dutch),
            "violations": violations,
            "entry_id": refused.entry_id.map(|id| id.to_string()),
            "request_id": refused.request_id,
            "waits_as": waits_as.map(ToString::to_string),
        } })
    }

    /// What the gateway refused, and as which request it waits here all the same.
    fn refused(&self) -> Option<(&Refused, Option<&RequestId>)> {
        match self {
            Self::Client(ClientError::Refused(refused)) => Some((refused, None)),
            Self::Client(ClientError::Waiting { request, cause }) => match &**cause {
                ClientError::Refused(refused) => Some((refused, Some(request))),
                _ => None,
            },
            _ => None,
        }
    }

    /// What this side itself refused, or the key holders about one person.
    fn own_refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Person(refusal) | Self::NotAllowed(refusal) => Some(refusal),
            Self::Client(ClientError::NotSent(refusal)) => Some(refusal),
            _ => None,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) | Self::Client(ClientError::Refused(_)) => "refused",
            Self::Undone { .. } => "undone",
            Self::Client(ClientError::Protocol(_)) => "does-not-verify",
            Self::Client(ClientError::Transport(_) | ClientError::Waiting { .. })
            | Self::Check(_) => "unreachable",
            Self::Unwritten(_) => "unwritten",
            _ => "usage",
        }
    }
}

/// A refusal for people: the reason, what is wrong, and where it is in the log.
fn told(refused: &Refused) -> String {
    let mut lines = vec![match refused.reason {
        Some(reason) => said(reason),
        None => format!("refused: {}", quoted(&refused.message)),
    }];
    let violations = refused.violations.iter();
    lines.extend(violations.map(|one| field(one).trim_start_matches('\n').to_owned()));
    if let Some(entry) = refused.entry_id {
        lines.push(format!("  log entry: {entry}"));
    }
    if !refused.request_id.is_empty() {
        lines.push(format!("  request: {}", refused.request_id));
    }
    lines.join("\n")
}

/// What is said of a request that is kept.
fn waiting(request: &RequestId) -> String {
    format!(
        "it waits in the outbox as {request}: `sluis resume` as the same desk finishes it, so don't make the call anew"
    )
}

/// One wrong field, on a line of its own.
fn field(one: &Violation) -> String {
    format!("\n  {}: {}", quoted(&one.field), quoted(&one.description))
}

/// A reason for people: its code, and what it says in both languages.
fn said(reason: Reason) -> String {
    format!(
        "refused: {}\n  en: {}\n  nl: {}",
        reason.code(),
        reason.english(),
        reason.dutch()
    )
}
