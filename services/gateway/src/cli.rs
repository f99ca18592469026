//! The command line of a partner's desk, for a first user against a running sandbox.
//!
//! Must never do what a program with the client library could not do: it has no way of its own.

pub mod arguments;
pub(crate) mod assist;
mod blocks;
mod codes;
mod day;
pub mod error;
pub mod identity;
mod look;
pub(crate) mod near;
mod offer_file;
mod outcome;
pub mod output;
mod oversight;
mod people;
mod person;
pub(crate) mod portal;
mod prompt;
mod resume;
mod rights;
mod search;
mod session;
mod short;
mod statement;
mod verbs;
mod waiting;

pub use arguments::{Verb, Who};

use error::CliError;
use output::{
    Answer, end, line, note, print, sentences, unrepeated, unrepeated_json, without_numbers,
};
use session::Session;
use std::process::ExitCode;
use wire::policy::v1::ExplainDecisionRequest;

/// Does one verb as one identity. Exit codes: 0 done, 1 refused, 2 wrong use, 3 not reachable, 4 done but
/// the answer not written.
pub async fn run(who: &Who, verb: &Verb) -> ExitCode {
    match answer(who, verb)
        .await
        .map_err(|error| rights::named(who, verb, error))
    {
        Ok(answer) => end(print(&answer, who.json), ExitCode::SUCCESS),
        Err(error) => {
            if who.json && line(&unrepeated_json(error.json()).to_string()).is_ok() {
                return error.exit_code();
            }
            note(sentences(&without_numbers(&unrepeated(&error.text()))).trim_end());
            error.exit_code()
        }
    }
}

async fn answer(who: &Who, verb: &Verb) -> Result<Answer, CliError> {
    match verb {
        Verb::Whoami => look::whoami(&session::identity(who)?).await,
        Verb::ConnectCheck => look::connect_check(&session::identity(who)?).await,
        Verb::Inbox { watch: true, .. } => look::watch(&session::identity(who)?, who.json).await,
        Verb::Inbox { all, .. } => look::inbox(&Session::open(who)?, *all).await,
        Verb::Show(which) => {
            let session = Session::open(who)?;
            let id = session.handover(&which.handover).await?;
            look::show(&session, &id).await
        }
        Verb::Notices { handover } => {
            let session = Session::open(who)?;
            let id = match handover {
                Some(text) => Some(session.handover(text).await?),
                None => None,
            };
            look::notices(&session, id.as_ref()).await
        }
        Verb::Audit(verb) => oversight::audit(&Session::open(who)?, verb).await,
        Verb::Invalidate { consent } => oversight::invalidate(&Session::open(who)?, consent).await,
        Verb::Explain {
            action,
            sender,
            recipient,
            purpose,
            basis,
            labels,
            consent,
        } => {
            let question = ExplainDecisionRequest {
                action: action.clone(),
                sender_kind: sender.clone(),
                recipient_kind: recipient.clone(),
                purpose: purpose.clone(),
                basis: basis.clone(),
                labels: labels.clone(),
                consent_state: consent.clone(),
            };
            oversight::explain(&Session::open(who)?, question).await
        }
        other => match person::run(who.folder(), other).await {
            Some(answer) => answer,
            None => verbs::run(&Session::open(who)?, other).await,
        },
    }
}
