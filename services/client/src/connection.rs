//! The connection to a gateway: mutual TLS 1.3 over HTTP/2, kept alive, with a deadline on every call.
//!
//! Must never fall back to a connection without both certificates checked, and never log what travels.

use crate::credentials::{CredentialError, Credentials, LiveCredentials, TlsFiles};
use hyper_util::rt::TokioIo;
use rules::limits::DEADLINE_MILLIS_MAX;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
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

/// Why a connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The certificate files cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The server name is neither a DNS name nor an IP address.
    #[error(
        "the server name `{0}` is neither a DNS name nor an IP address (without brackets or port)"
    )]
    ServerName(String),
    /// The address is not `host:port`.
    #[error("the address `{0}` is not host:port; an IPv6 address stands in brackets: [::1]:7443")]
    Address(String),
}

/// A way to one gateway, and everything needed to use it again after it breaks or its certificate is renewed.
///
/// Cloning is cheap and shares the connection.
#[derive(Clone)]
pub struct Connection {
    pub(crate) way: Arc<Way>,
    /// The channel, and the credentials that it began with.
    channel: Arc<RwLock<(Arc<Credentials>, Channel)>>,
}

/// Where to connect and with what.
pub(crate) struct Way {
    pub(crate) address: String,
    server_name: ServerName<'static>,
    credentials: Arc<LiveCredentials>,
    endpoint: Endpoint,
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
    /// Nothing is sent yet: the connection is made at the first call and again whenever it breaks. The files are
    /// followed: what is renewed there is used for the next call.
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
        let files = TlsFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            issuer: issuer.to_owned(),
        };
        Self::new(&LiveCredentials::open(&files)?, server_name, address)
    }

    /// The same with credentials that a process shares among its connections.
    ///
    /// # Errors
    ///
    /// When a name is not one.
    pub fn new(
        credentials: &Arc<LiveCredentials>,
        server_name: &str,
        address: &str,
    ) -> Result<Self, ConnectionError> {
        let way = Arc::new(Way {
            address: address.to_owned(),
            server_name: ServerName::try_from(server_name.to_owned())
                .map_err(|_| ConnectionError::ServerName(server_name.to_owned()))?,
            credentials: Arc::clone(credentials),
            endpoint: endpoint(server_name, address)?,
        });
        let first = (credentials.current(), way.channel());
        Ok(Self {
            way,
            channel: Arc::new(RwLock::new(first)),
        })
    }

    /// A connection without TLS to a server of this process, for tests of what lies above the connection.
    #[cfg(test)]
    pub(crate) fn plain(address: std::net::SocketAddr) -> Self {
        let files = TlsFiles {
            certificate: "".into(),
            key: "".into(),
            issuer: "".into(),
        };
        let credentials = Arc::new(LiveCredentials::of(files, Credentials::none()));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = (credentials.current(), endpoint.connect_lazy());
        Self {
            way: Arc::new(Way {
                address: address.to_string(),
                server_name: ServerName::IpAddress(address.ip().into()),
                credentials,
                endpoint,
            }),
            channel: Arc::new(RwLock::new(channel)),
        }
    }

    /// The channel for a generated stub. Ask for it at each call: once the certificate files were renewed it is
    /// another one, and calls that go on end on the old one.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let now = self.way.credentials.current();
        {
            let held = self.channel.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&held.0, &now) {
                return held.1.clone();
            }
        }
        let mut held = self.channel.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&held.0, &now) {
            *held = (now, self.way.channel());
        }
        held.1.clone()
    }

    /// `host:port` of the gateway.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.way.address
    }

    /// The certificate that the other side shows on a connection of its own, on which nothing is asked.
    ///
    /// # Errors
    ///
    /// When it is away, or its certificate is not from a trusted issuer, not valid now or of another name.
    pub async fn shown_certificate(&self) -> std::io::Result<CertificateDer<'static>> {
        let stream = self.way.connect().await?;
        let shown = stream.get_ref().1.peer_certificates();
        shown
            .and_then(|chain| chain.first().cloned())
            .ok_or_else(|| std::io::Error::other("it shows no certificate"))
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

/// Host and port of an address; an IPv6 address stands in brackets.
#[must_use]
pub fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let literal = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let good = match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']']),
    };
    Some((literal.unwrap_or(host), port.parse().ok()?)).filter(|_| good)
}

/// Where the channel goes. The endpoint's own scheme is plain, because the way is what makes TLS; the origin says
/// https, because that is what travels.
fn endpoint(server_name: &str, address: &str) -> Result<Endpoint, ConnectionError> {
    let wrong_address = || ConnectionError::Address(address.to_owned());
    host_and_port(address).ok_or_else(wrong_address)?;
    let authority = if server_name.parse::<Ipv6Addr>().is_ok() {
        format!("[{server_name}]")
    } else {
        server_name.to_owned()
    };
    let origin = Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query("/")
        .build()
        .map_err(|_| ConnectionError::ServerName(server_name.to_owned()))?;
    Ok(Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| wrong_address())?
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

impl Way {
    /// A fresh lazy channel.
    fn channel(self: &Arc<Self>) -> Channel {
        let way = Arc::clone(self);
        self.endpoint
            .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                let way = Arc::clone(&way);
                async move { Ok::<_, std::io::Error>(TokioIo::new(way.connect().await?)) }
            }))
    }

    /// Connects and shakes hands, in time.
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let connect = async {
            let stream = TcpStream::connect(&*self.address).await?;
            self.shake_hands(stream).await
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }

    /// Shakes hands over a stream that is there already, with the credentials of now.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        TlsConnector::from(self.credentials.current().client())
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
