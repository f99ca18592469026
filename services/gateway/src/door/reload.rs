//! The door's TLS settings, made of the process's credentials and made anew when these are renewed.
//!
//! Must never let anybody in without a certificate, and never resume what an older certificate began.

use client::credentials::{ALPN_HTTP2, Credentials, LiveCredentials};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use std::sync::{Arc, PoisonError, RwLock};

/// Why the door cannot be made of good credentials.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// TLS does not take them.
    #[error("certificate and key cannot serve at a door: {0}")]
    Tls(#[from] rustls::Error),
    /// The issuers cannot serve as roots.
    #[error("the issuers' certificates cannot serve as roots: {0}")]
    Issuer(#[from] rustls::server::VerifierBuilderError),
}

/// The door's TLS settings as they are now.
#[derive(Debug)]
pub struct DoorKeys {
    credentials: Arc<LiveCredentials>,
    /// The settings, and the credentials that they were made of.
    made: RwLock<(Arc<Credentials>, Arc<ServerConfig>)>,
}

impl DoorKeys {
    /// The settings of a door with these credentials.
    ///
    /// # Errors
    /// When they cannot serve at a door.
    pub fn new(credentials: Arc<LiveCredentials>) -> Result<Self, DoorError> {
        let current = credentials.current();
        let settings = Arc::new(settings(&current)?);
        Ok(Self {
            credentials,
            made: RwLock::new((current, settings)),
        })
    }

    /// The settings for the next connection. Connections that are open keep what they began with, for thirty
    /// minutes at most.
    pub fn server(&self) -> Arc<ServerConfig> {
        let now = self.credentials.current();
        {
            let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&made.0, &now) {
                return Arc::clone(&made.1);
            }
        }
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        match settings(&now) {
            Ok(settings) => *made = (now, Arc::new(settings)),
            // They were good enough to call others with, so this is not expected.
            Err(error) => {
                tracing::error!(%error, "the door goes on with its old certificate");
                made.0 = now;
            }
        }
        Arc::clone(&made.1)
    }
}

/// The TLS settings of a server: TLS 1.3 alone, a client certificate always.
pub(crate) fn settings(credentials: &Credentials) -> Result<ServerConfig, DoorError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::clone(&credentials.roots),
        Arc::clone(&provider),
    )
    .build()?;
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    settings.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    // A resumed session would skip the look at the certificate's validity and issuer.
    settings.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    settings.send_tls13_tickets = 0;
    Ok(settings)
}
