//! Certificate, private key and issuers of one process: read together, taken together or not at all, and
//! followed, so that a renewal needs no restart.
//!
//! Must never let files that do not go together take the place of ones that do, and never log an octet of a key.

mod pem;

use crate::error::causes;
use rules::clock::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How often the files are looked at when nobody says that they were renewed.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Protocol name of HTTP/2 in the TLS handshake (RFC 7301).
pub const ALPN_HTTP2: &[u8] = b"h2";

/// Where certificate, key and issuers lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Own certificate chain, leaf first (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The issuers whose certificates are trusted (PEM).
    pub issuer: PathBuf,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The private key's file is not kept as it must be.
    #[error("{0}")]
    Key(String),
    /// A file cannot be read at all.
    #[error("the {what} cannot be read from `{}`", path.display())]
    File {
        /// Which file.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is of another form than PEM.
    #[error("`{}` is {form}, not PEM; convert it: {command}", path.display())]
    Form {
        /// Where.
        path: PathBuf,
        /// What it is.
        form: &'static str,
        /// What converts it.
        command: String,
    },
    /// A PEM file holds nothing of its kind.
    #[error("`{}` holds no {what}, but {holds}", path.display())]
    Empty {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is there instead.
        holds: String,
    },
    /// The key is encrypted.
    #[error("the key in `{}` is protected by a password; store it without one, mode 600", path.display())]
    Password {
        /// Where.
        path: PathBuf,
    },
    /// One of the things in a file is damaged.
    #[error("{what} {number} in `{}` cannot be read: {cause}", path.display())]
    Broken {
        /// What it should be.
        what: &'static str,
        /// Which one, counted from 1.
        number: usize,
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The chain begins with an issuer.
    #[error("the first certificate in `{}` is an issuer's ({name}); put the desk's own first", path.display())]
    IssuerFirst {
        /// Where.
        path: PathBuf,
        /// The issuer's subject.
        name: String,
    },
    /// The rest of the chain does not lead anywhere from the first certificate.
    #[error("no other certificate in `{}` is of the first one's issuer ({name}); put that one second", path.display())]
    NoIssuer {
        /// Where.
        path: PathBuf,
        /// The issuer that is missing.
        name: String,
    },
    /// The key belongs to another certificate.
    #[error("the key in `{}` is not that of the first certificate in `{}`", key.display(), certificate.display())]
    KeyOfAnother {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is not valid now.
    #[error("the certificate in `{}` is valid from {begins} until {ends}, which is not now", path.display())]
    NotNow {
        /// Where.
        path: PathBuf,
        /// First moment.
        begins: Timestamp,
        /// Last moment.
        ends: Timestamp,
    },
    /// TLS refuses the parts, for example a key of a kind that it does not know.
    #[error("certificate and key in `{}` and `{}` cannot be used: {source}", certificate.display(), key.display())]
    Tls {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What TLS said.
        source: rustls::Error,
    },
}

/// Certificate, key and issuers that go together.
#[derive(Debug)]
pub struct Credentials {
    /// Own certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// Certificates of the issuers that are trusted.
    pub issuers: Vec<CertificateDer<'static>>,
    /// Whose certificates are trusted, in the form that a handshake needs.
    pub roots: Arc<RootCertStore>,
    client: Arc<ClientConfig>,
    /// Digests of the files as they were read.
    digests: [[u8; 32]; 3],
}

impl Credentials {
    /// Reads the three files and looks whether they go together.
    ///
    /// # Errors
    /// When one cannot be read, is of another form or is damaged, or when they do not go together: which file it is
    /// and what is wrong with it.
    pub fn load(files: &TlsFiles) -> Result<Self, CredentialError> {
        Self::of(files, &octets(files)?)
    }

    fn of(files: &TlsFiles, octets: &[Vec<u8>; 3]) -> Result<Self, CredentialError> {
        let [certificate, key, issuer] = octets;
        let chain = pem::certificates("certificate", &files.certificate, certificate)?;
        let key = pem::key(&files.key, key)?;
        let issuers = pem::certificates("issuer's certificate", &files.issuer, issuer)?;
        let mut roots = RootCertStore::empty();
        for (place, one) in issuers.iter().enumerate() {
            roots
                .add(one.clone())
                .map_err(|error| CredentialError::Broken {
                    what: "issuer's certificate",
                    number: place.saturating_add(1),
                    path: files.issuer.clone(),
                    cause: error.to_string(),
                })?;
        }
        let roots = Arc::new(roots);
        leads(&files.certificate, &chain)?;
        let client = client(&chain, &key, &roots).map_err(|error| misfit(files, error))?;
        Ok(Self {
            chain,
            key,
            issuers,
            roots,
            client: Arc::new(client),
            digests: octets.each_ref().map(|one| vault::digest::sha256(one)),
        })
    }

    /// The settings with which this process calls others: TLS 1.3, own certificate, these issuers.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// That the own certificate is valid at this moment.
    ///
    /// # Errors
    /// When it is not yet, or no longer.
    pub fn valid_at(&self, path: &Path, now: Timestamp) -> Result<(), CredentialError> {
        let read = self
            .chain
            .first()
            .and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let Some((_, leaf)) = read else {
            return Ok(());
        };
        let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000));
        let begins = moment(leaf.validity().not_before.timestamp());
        let ends = moment(leaf.validity().not_after.timestamp());
        if begins <= now && now <= ends {
            return Ok(());
        }
        Err(CredentialError::NotNow {
            path: path.to_owned(),
            begins,
            ends,
        })
    }

    /// Without certificate, key and issuers, for tests of what lies above the connection.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        let roots = Arc::new(RootCertStore::empty());
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        Self {
            chain: Vec::new(),
            key: PrivateKeyDer::Pkcs8(Vec::new().into()),
            issuers: Vec::new(),
            roots,
            client: Arc::new(client),
            digests: [[0; 32]; 3],
        }
    }
}

/// The three files' octets, in the order of [`TlsFiles`].
fn octets(files: &TlsFiles) -> Result<[Vec<u8>; 3], CredentialError> {
    let read = |what, path: &Path| {
        std::fs::read(path).map_err(|source| CredentialError::File {
            what,
            path: path.to_owned(),
            source,
        })
    };
    Ok([
        read("certificate", &files.certificate)?,
        read("private key", &files.key)?,
        read("issuer's certificate", &files.issuer)?,
    ])
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    roots: &Arc<RootCertStore>,
) -> Result<ClientConfig, rustls::Error> {
    let mut settings = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
    settings.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    Ok(settings)
}

/// The chain begins with a certificate that is no issuer's, and if others follow, its issuer's is among them. That
/// the issuer is trusted here is not asked: others decide whom they trust.
fn leads(path: &Path, chain: &[CertificateDer<'static>]) -> Result<(), CredentialError> {
    let read: Vec<_> = chain
        .iter()
        .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
        .collect();
    let Some((first, rest)) = read.split_first() else {
        return Ok(());
    };
    // A name from a file goes to a terminal.
    let words = |name: String| name.replace(char::is_control, "?");
    if first.is_ca() {
        return Err(CredentialError::IssuerFirst {
            path: path.to_owned(),
            name: words(first.subject().to_string()),
        });
    }
    let is_issuer = |one: &X509Certificate<'_>| one.subject().as_raw() == first.issuer().as_raw();
    if !rest.is_empty() && !rest.iter().any(is_issuer) {
        return Err(CredentialError::NoIssuer {
            path: path.to_owned(),
            name: words(first.issuer().to_string()),
        });
    }
    Ok(())
}

fn misfit(files: &TlsFiles, source: rustls::Error) -> CredentialError {
    let (certificate, key) = (files.certificate.clone(), files.key.clone());
    if matches!(source, rustls::Error::InconsistentKeys(_)) {
        CredentialError::KeyOfAnother { key, certificate }
    } else {
        CredentialError::Tls {
            certificate,
            key,
            source,
        }
    }
}

/// Credentials as they are now: the files are looked at every half minute and whenever somebody says that they were
/// renewed. The door and every connection of a process share one of these.
#[derive(Debug)]
pub struct LiveCredentials {
    files: TlsFiles,
    check: KeyCheck,
    current: RwLock<Arc<Credentials>>,
    doubt: Mutex<Doubt>,
}

/// Whether a private key's file is kept as it must be; otherwise what to do about it.
pub type KeyCheck = fn(&Path) -> Result<(), String>;

/// What was wrong with new files at the last look.
#[derive(Debug, Default)]
struct Doubt {
    cause: String,
    told: bool,
}

impl LiveCredentials {
    /// Reads the files and follows them as long as somebody holds what is returned. Needs a runtime of tokio.
    ///
    /// # Errors
    /// As [`Credentials::load`].
    pub fn open(files: &TlsFiles) -> Result<Arc<Self>, CredentialError> {
        Self::checked(files, |_| Ok(()))
    }

    /// The same, with a check of the private key's file at every look: a renewal is held to what a start is.
    ///
    /// # Errors
    /// As [`Credentials::load`], and what the check says.
    pub fn checked(files: &TlsFiles, check: KeyCheck) -> Result<Arc<Self>, CredentialError> {
        check(&files.key).map_err(CredentialError::Key)?;
        let live = Arc::new(Self {
            check,
            ..Self::of(files.clone(), Credentials::load(files)?)
        });
        tokio::spawn(follow(Arc::downgrade(&live)));
        Ok(live)
    }

    pub(crate) fn of(files: TlsFiles, current: Credentials) -> Self {
        Self {
            files,
            check: |_| Ok(()),
            current: RwLock::new(Arc::new(current)),
            doubt: Mutex::default(),
        }
    }

    /// What the next handshake uses.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again because somebody says that they were renewed, and logs what came of it.
    pub async fn renew(self: &Arc<Self>) {
        self.tell(true).await;
    }

    /// Reads the files again; whether they were renewed. What they held before stays when the new contents do not go
    /// together or are not valid now.
    ///
    /// # Errors
    /// As [`Credentials::load`], and when the new certificate is not valid now.
    fn look(&self) -> Result<bool, CredentialError> {
        let octets = octets(&self.files)?;
        let digests = octets.each_ref().map(|one| vault::digest::sha256(one));
        if digests == self.current().digests {
            return Ok(false);
        }
        (self.check)(&self.files.key).map_err(CredentialError::Key)?;
        let new = Credentials::of(&self.files, &octets)?;
        // The clock of the handshake itself, which judges by the same one.
        let millis = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let now = Timestamp::from_millis(millis.saturating_mul(1_000));
        new.valid_at(&self.files.certificate, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(true)
    }

    /// Looks, away from the tasks that serve, and logs what is new. One look can fall between two files of a renewal:
    /// unless `asked`, a fault is told when the next look sees it too, and once.
    async fn tell(self: &Arc<Self>, asked: bool) {
        let live = Arc::clone(self);
        let Ok(seen) = tokio::task::spawn_blocking(move || live.look()).await else {
            return;
        };
        let mut doubt = self.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = match seen {
            Ok(renewed) => {
                *doubt = Doubt::default();
                if renewed {
                    tracing::info!("certificate, key and issuer were read anew");
                } else if asked {
                    tracing::info!("certificate, key and issuer are the same as before");
                }
                return;
            }
            Err(error) => causes(&error),
        };
        let again = doubt.cause == cause;
        let told = again && doubt.told;
        if asked || (again && !told) {
            tracing::error!(
                causes = cause,
                "the new certificate files are not good; the old stay"
            );
        }
        *doubt = Doubt {
            told: asked || again,
            cause,
        };
    }
}

/// Looks at the files for as long as anybody uses what they hold.
async fn follow(live: Weak<LiveCredentials>) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Some(live) = live.upgrade() else {
            return;
        };
        live.tell(false).await;
    }
}
