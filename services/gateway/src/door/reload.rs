//! The door's certificate, key and issuer, read from files and read again on a signal.
//!
//! Must never let a bad new file take the place of a good old one.

use crate::configuration::TlsFiles;
use crate::files::{FileError, check_private};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Protocol name of HTTP/2 in the TLS handshake (RFC 7301).
const ALPN_HTTP2: &[u8] = b"h2";

/// Why the door cannot be made from its files.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A PEM file cannot be read or holds nothing of its kind.
    #[error("the {what} cannot be read from `{}`: {source}", path.display())]
    File {
        /// Which file.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the reader said.
        source: rustls::pki_types::pem::Error,
    },
    /// The private key may be read by others.
    #[error(transparent)]
    Key(#[from] FileError),
    /// A PEM file holds nothing of its kind.
    #[error("`{}` holds no {what}", path.display())]
    Empty {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The parts do not go together, for example a key of another certificate.
    #[error("certificate, key and issuer cannot be used together: {0}")]
    Tls(#[from] rustls::Error),
    /// The issuers cannot serve as roots.
    #[error("the issuer's certificate cannot serve as a root: {0}")]
    Issuer(#[from] rustls::server::VerifierBuilderError),
}

/// Own chain, key and issuers, for the server's side and for calls to other roles.
#[derive(Debug)]
pub struct Identity {
    /// Own certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// Certificates of the issuers that are trusted.
    pub issuers: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads the three files.
    ///
    /// # Errors
    /// When one cannot be read or is empty.
    pub fn load(files: &TlsFiles) -> Result<Self, DoorError> {
        Ok(Self {
            chain: certificates("certificate", &files.certificate)?,
            key: PrivateKeyDer::from_pem_file(&files.key).map_err(|source| DoorError::File {
                what: "private key",
                path: files.key.clone(),
                source,
            })?,
            issuers: certificates("issuer's certificate", &files.issuer)?,
        })
    }

    /// The TLS settings of a server: TLS 1.3 alone, a client certificate always.
    fn server(self) -> Result<ServerConfig, DoorError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for issuer in self.issuers {
            roots.add(issuer)?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()?;
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain, self.key)?;
        settings.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        // A resumed session would skip the look at the certificate's validity and issuer.
        settings.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        Ok(settings)
    }
}

/// The door's TLS settings as they are now.
#[derive(Debug)]
pub struct DoorKeys {
    files: TlsFiles,
    server: RwLock<Arc<ServerConfig>>,
}

impl DoorKeys {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read, the parts do not go together, or others may read the key.
    pub fn load(files: &TlsFiles) -> Result<Self, DoorError> {
        let server = server(files)?;
        Ok(Self {
            files: files.clone(),
            server: RwLock::new(Arc::new(server)),
        })
    }

    /// Reads the files again. Connections that are open keep what they began with, for thirty
    /// minutes at most.
    ///
    /// # Errors
    /// When the new files are not good; the old ones stay.
    pub fn reload(&self) -> Result<(), DoorError> {
        let server = server(&self.files)?;
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(server);
        Ok(())
    }

    /// The settings for the next connection.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn server(files: &TlsFiles) -> Result<ServerConfig, DoorError> {
    check_private(&files.key)?;
    Identity::load(files)?.server()
}

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let read: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| DoorError::File {
            what,
            path: path.to_owned(),
            source,
        })?;
    if read.is_empty() {
        return Err(DoorError::Empty {
            what,
            path: path.to_owned(),
        });
    }
    Ok(read)
}
