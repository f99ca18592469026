//! A right that is missing, by name: which one the verb needs, where it would stand, and who puts it there.
//!
//! Must never say that a right is missing where the gateway did not.

use super::arguments::{Verb, Who};
use super::error::CliError;
use super::session;
use client::ClientError;
use rules::directory::Right;
use rules::reason::{Reason, Violation};

/// The same error; a refusal for want of a right that does not name it says which one this verb needs.
pub(super) fn named(who: &Who, verb: &Verb, mut error: CliError) -> CliError {
    let (reason, violations) = match &mut error {
        CliError::Client(ClientError::Refused(refused)) => {
            (refused.reason, &mut refused.violations)
        }
        CliError::Person(refusal) => (Some(refusal.reason), &mut refusal.violations),
        _ => return error,
    };
    if reason == Some(Reason::RightMissing)
        && violations.is_empty()
        && let Some(needs) = needs(verb)
        && let Ok(identity) = session::identity(who)
    {
        let whose = format!(
            "desk `{}` of {} ({})",
            identity.desk, identity.title, identity.oin
        );
        let text = format!(
            "needs {needs} under `rights` of the desk; in the directory {whose} has it not. The controllers add it there \
             and sign the new version"
        );
        violations.push(Violation::new("rights", text));
    }
    error
}

/// The rights of which a verb needs one; none where every desk may that is no officer's.
fn needs(verb: &Verb) -> Option<String> {
    let rights: &[Right] = match verb {
        Verb::Enrol { .. } => &[Right::Bsn],
        Verb::AssistConsent { .. } => &[Right::Assist],
        Verb::Decide { .. } | Verb::Audit(_) | Verb::Invalidate { .. } => {
            &[Right::Officer, Right::JointOfficer]
        }
        _ => return None,
    };
    let codes: Vec<String> = rights
        .iter()
        .map(|right| format!("`{}`", right.code()))
        .collect();
    Some(codes.join(" or "))
}
