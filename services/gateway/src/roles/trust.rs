//! How many independent parties would have to conspire: the operators of the key holders, read from
//! the certificates that the holders show.
//!
//! Must never count a process, a name or a line of configuration: only what a certificate proves.

use super::StartError;
use crate::configuration::OinElement;
use crate::door::admission::caller_of;
use crate::door::certificate::PeerCertificate;
use client::connection::Connection;
use rules::directory::Directory;
use rules::id::{Oin, PeerKind};
use rules::reason::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the broker waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// That the configuration has an address for each key holder of the directory.
///
/// # Errors
/// When it lacks one.
pub fn check_addresses(directory: &Directory, known: &[&Oin]) -> Result<(), StartError> {
    let mut holders = directory.holders().iter();
    match holders.find(|oin| !known.contains(oin)) {
        Some(oin) => Err(no_address(oin)),
        None => Ok(()),
    }
}

fn no_address(oin: &Oin) -> StartError {
    StartError::Disagreement(format!(
        "the directory names the key holder {oin}, but `holders` has no address for it"
    ))
}

/// The number of distinct operators in the certificates of the directory's key holders. Waits for
/// holders that are away, for as long as it takes.
///
/// # Errors
/// When a holder shows a certificate of another organisation, or one that the directory does not have.
pub async fn level(
    holders: &BTreeMap<Oin, Connection>,
    directory: &Directory,
    oin_element: OinElement,
) -> Result<u32, StartError> {
    let mut operators: BTreeSet<Oin> = BTreeSet::new();
    for oin in directory.holders() {
        let holder = holders.get(oin).ok_or_else(|| no_address(oin))?;
        let mut waited = false;
        let certificate = loop {
            match show(holder, oin_element).await {
                Ok(certificate) => break certificate,
                Err(error) => {
                    if !waited {
                        tracing::warn!(%oin, kind = %error.kind(), "waits for a key holder");
                    }
                    waited = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let wrong = |reason| StartError::Holder {
            holder: oin.clone(),
            reason,
        };
        let caller = caller_of(directory, &certificate).map_err(wrong)?;
        if caller.party.oin != *oin || caller.kind != PeerKind::Holder {
            return Err(wrong(Reason::ActingForAnother));
        }
        operators.insert(caller.party.oin);
    }
    Ok(u32::try_from(operators.len()).unwrap_or(u32::MAX))
}

/// The certificate that a key holder shows.
///
/// # Errors
/// When it is away, or its certificate is not from a trusted issuer.
pub(crate) async fn show(
    holder: &Connection,
    oin_element: OinElement,
) -> std::io::Result<PeerCertificate> {
    let shown = holder.shown_certificate().await?;
    PeerCertificate::read(&shown, oin_element)
        .ok_or_else(|| std::io::Error::other("the certificate cannot be read"))
}
