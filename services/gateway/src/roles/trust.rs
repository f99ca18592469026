//! How many independent parties would have to conspire: the operators of the key holders, read from
//! the certificates that the holders show.
//!
//! Must never count a process, a name or a line of configuration: only what a certificate proves.

use super::StartError;
use crate::configuration::{Configuration, HolderAddress};
use crate::door::admission::caller_of;
use crate::door::certificate::PeerCertificate;
use crate::door::reload::Identity;
use rules::directory::Directory;
use rules::id::{Oin, PeerKind};
use rules::reason::Reason;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a holder may take to show its certificate.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the broker waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// The number of distinct operators in the certificates of the directory's key holders. Waits for
/// holders that are away, for as long as it takes.
///
/// # Errors
/// When a holder shows a certificate of another organisation, or one that the directory does not have.
pub async fn level(
    configuration: &Configuration,
    holders: &[HolderAddress],
    directory: &Directory,
) -> Result<u32, StartError> {
    let connector = connector(configuration)?;
    let mut operators: BTreeSet<Oin> = BTreeSet::new();
    for oin in directory.holders() {
        let holder = holders
            .iter()
            .find(|holder| holder.oin == *oin)
            .ok_or_else(|| {
                StartError::Disagreement(format!(
                    "the directory names the key holder {oin}, but `holders` has no address for it"
                ))
            })?;
        let mut waited = false;
        let certificate = loop {
            match show(&connector, holder, configuration).await {
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
    connector: &TlsConnector,
    holder: &HolderAddress,
    configuration: &Configuration,
) -> std::io::Result<PeerCertificate> {
    let refused = |text: &str| std::io::Error::other(text.to_owned());
    let name = ServerName::try_from(holder.server_name.clone())
        .map_err(|_| refused("the server name is not one"))?;
    let shake = async {
        let stream = TcpStream::connect(&holder.address).await?;
        connector.connect(name, stream).await
    };
    let stream = tokio::time::timeout(TIMEOUT, shake)
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(|leaf| PeerCertificate::read(leaf, configuration.oin_element))
        .ok_or_else(|| refused("the certificate cannot be read"))
}

/// What shakes hands with the own certificate.
///
/// # Errors
/// When the door's files are not good.
pub(crate) fn connector(configuration: &Configuration) -> Result<TlsConnector, StartError> {
    let identity = Identity::load(&configuration.tls)?;
    let mut roots = RootCertStore::empty();
    for issuer in identity.issuers {
        roots
            .add(issuer)
            .map_err(crate::door::reload::DoorError::from)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|settings| {
            settings
                .with_root_certificates(roots)
                .with_client_auth_cert(identity.chain, identity.key)
        })
        .map_err(crate::door::reload::DoorError::from)?;
    Ok(TlsConnector::from(Arc::new(settings)))
}
