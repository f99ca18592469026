//! The connection to a gateway: mutual TLS 1.3 over HTTP/2, kept alive, with a deadline on every call.
//!
//! Must never fall back to a connection without both certificates checked, and never log what travels.

use crate::error::causes;
use hyper_util::rt::TokioIo;
use rules::limits::DEADLINE_MILLIS_MAX;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a TCP and TLS connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked for a sign of life.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the sign of life may take before the connection counts as lost.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The deadline of every call.
pub const DEADLINE: Duration = Duration::from_millis(DEADLINE_MILLIS_MAX.unsigned_abs());

/// Protocol name of HTTP/2 in the TLS handshake (RFC 7301).
const ALPN_HTTP2: &[u8] = b"h2";

/// Why a connection cannot be made from these files.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A PEM file cannot be read.
    #[error("the {what} cannot be read from `{}`: {source}; it must be a PEM file", path.display())]
    File {
        /// Which file: certificate, private key or issuer.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the reader said.
        source: rustls::pki_types::pem::Error,
    },
    /// A PEM file is there but holds nothing of its kind.
    #[error("`{}` holds no {what}", path.display())]
    Empty {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Certificate, key and issuer do not go together.
    #[error("certificate, key and issuer cannot be used together: {0}")]
    Tls(#[from] rustls::Error),
    /// The issuer's certificate is no root.
    #[error("the issuer's certificate cannot serve as a root: {0}")]
    Issuer(rustls::Error),
    /// The server name is neither a DNS name nor an IP address.
    #[error("the server name is neither a DNS name nor an IP address")]
    ServerName,
    /// The address is not `host:port`.
    #[error("the address is not host:port")]
    Address,
}

/// A way to one gateway, and everything needed to use it again after it breaks.
///
/// Cloning is cheap and shares the connection.
#[derive(Clone)]
pub struct Connection {
    channel: Channel,
    pub(crate) way: Way,
}

/// Where to connect and with what.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) address: Arc<str>,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) configuration: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Connection({})", self.way.address)
    }
}

impl Connection {
    /// A connection with this desk's `certificate` (chain, leaf first) and private `key`, to a server
    /// whose certificate is from `issuer` and names `server_name`, at `address` (`host:port`).
    ///
    /// Nothing is sent yet: the connection is made at the first call and again whenever it breaks.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the parts do not go together, or a name is not one.
    pub fn from_files(
        certificate: &Path,
        key: &Path,
        issuer: &Path,
        server_name: &str,
        address: &str,
    ) -> Result<Self, ConnectionError> {
        let chain = certificates("certificate", certificate)?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|source| file_error("private key", key, source))?;
        let roots = certificates("issuer's certificate", issuer)?;
        Self::from_parts(chain, private, roots, server_name, address)
    }

    /// The same from parts that are in memory already (the gateway's own walk to the key holders).
    ///
    /// # Errors
    ///
    /// When the parts do not go together, or a name is not one.
    pub fn from_parts(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        issuers: Vec<CertificateDer<'static>>,
        server_name: &str,
        address: &str,
    ) -> Result<Self, ConnectionError> {
        let mut roots = rustls::RootCertStore::empty();
        for issuer in issuers {
            roots.add(issuer).map_err(ConnectionError::Issuer)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut configuration = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        configuration.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        let way = Way {
            address: address.into(),
            server_name: ServerName::try_from(server_name.to_owned())
                .map_err(|_| ConnectionError::ServerName)?,
            configuration: Arc::new(configuration),
        };
        let channel = channel(&way, server_name)?;
        Ok(Self { channel, way })
    }

    /// A connection without TLS to a server of this process, for tests of what lies above the connection.
    #[cfg(test)]
    pub(crate) fn plain(address: std::net::SocketAddr) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let configuration = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let way = Way {
            address: address.to_string().into(),
            server_name: ServerName::IpAddress(address.ip().into()),
            configuration: Arc::new(configuration),
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            channel: endpoint.connect_lazy(),
            way,
        }
    }

    /// The channel, for a generated stub.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// `host:port` of the gateway.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.way.address
    }
}

/// Sets the limits of a generated stub: no message above 1 MiB, either way.
macro_rules! stub {
    ($stub:path, $connection:expr) => {
        <$stub>::new($connection.channel())
            .max_decoding_message_size(::rules::limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(::rules::limits::MESSAGE_BYTES_MAX)
    };
}
pub(crate) use stub;

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let read: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| file_error(what, path, source))?;
    if read.is_empty() {
        return Err(ConnectionError::Empty {
            what,
            path: path.to_owned(),
        });
    }
    Ok(read)
}

fn file_error(
    what: &'static str,
    path: &Path,
    source: rustls::pki_types::pem::Error,
) -> ConnectionError {
    let path = path.to_owned();
    if matches!(source, rustls::pki_types::pem::Error::NoItemsFound) {
        ConnectionError::Empty { what, path }
    } else {
        ConnectionError::File { what, path, source }
    }
}

/// The lazy channel. The endpoint's own scheme is plain, because the connector below is what makes
/// TLS; the origin says https, because that is what travels.
fn channel(way: &Way, server_name: &str) -> Result<Channel, ConnectionError> {
    if way
        .address
        .rsplit_once(':')
        .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
    {
        return Err(ConnectionError::Address);
    }
    let origin = Uri::builder()
        .scheme("https")
        .authority(server_name)
        .path_and_query("/")
        .build()
        .map_err(|_| ConnectionError::ServerName)?;
    let endpoint = Endpoint::from_shared(format!("http://{}", way.address))
        .map_err(|_| ConnectionError::Address)?
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let way = way.clone();
    Ok(
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let way = way.clone();
            async move {
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, way.connect())
                    .await
                    .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        })),
    )
}

impl Way {
    /// Connects and shakes hands.
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&*self.address).await?;
        self.shake_hands(stream).await
    }

    /// Shakes hands over a stream that is there already.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.configuration))
            .connect(self.server_name.clone(), stream)
            .await
    }
}

/// A request with the deadline that travels along, so that the server stops working for nobody.
pub(crate) fn with_deadline<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// The words of an I/O error and its causes.
pub(crate) fn words(error: &std::io::Error) -> String {
    causes(error)
}
