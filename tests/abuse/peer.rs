//! A peer below every library: TLS as it likes, HTTP/2 as it likes.
//!
//! Must never be kinder to the server than its attack needs.

use gateway::cli::identity::Identity;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Bytes;
use tonic::codegen::http::{Request, Response};

/// What one peer needs to come in.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
    pub(crate) address: String,
}

impl Peer {
    /// With the certificate of an identity, at any server of the sandbox.
    pub(crate) fn of(identity: &Identity, address: &str) -> Self {
        let files = (&*identity.certificate, &*identity.key, &*identity.issuer);
        Self::with(files, &identity.broker_server_name, address)
    }

    /// With any certificate.
    pub(crate) fn with(
        (certificate, key, issuer): (&Path, &Path, &Path),
        name: &str,
        address: &str,
    ) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for issuer in CertificateDer::pem_file_iter(issuer).unwrap() {
            roots.add(issuer.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
            .unwrap()
            .collect();
        let mut configuration = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.unwrap(), PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        configuration.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            connector: TlsConnector::from(Arc::new(configuration)),
            name: ServerName::try_from(name.to_owned()).unwrap(),
            address: address.to_owned(),
        }
    }

    /// Shakes hands, and no more.
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_after(b"").await
    }

    /// The same after octets that are no part of a handshake.
    pub(crate) async fn connect_after(
        &self,
        octets: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(octets).await?;
        self.connector.connect(self.name.clone(), stream).await
    }

    /// An HTTP/2 session that reads so many octets of each answer before it says that it read them.
    pub(crate) async fn session(&self, window: u32) -> Result<Session, String> {
        let stream = self.connect().await.map_err(|fault| fault.to_string())?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|fault| fault.to_string())?;
        let driver = tokio::spawn(async move {
            drop(connection.await);
        });
        Ok(Session { send, driver })
    }
}

/// A connection on which much is asked, with a window without end, and then nothing is read.
pub(crate) struct Stuck {
    _send: SendRequest<Bytes>,
    connection: h2::client::Connection<TlsStream<TcpStream>, Bytes>,
    answers: Vec<ResponseFuture>,
}

impl Stuck {
    /// Reads after all: how the calls ended.
    pub(crate) async fn answers(self) -> Vec<String> {
        let driver = tokio::spawn(async move {
            drop(self.connection.await);
        });
        let mut told = Vec::new();
        for answer in self.answers {
            let ended = tokio::time::timeout(Duration::from_millis(200), outcome(answer)).await;
            told.push(ended.unwrap_or_else(|_| "waits".to_owned()));
        }
        driver.abort();
        told
    }
}

impl Peer {
    /// Asks so many times for the same, and reads nothing.
    pub(crate) async fn ask_and_read_nothing(&self, path: &str, times: usize) -> Option<Stuck> {
        let stream = self.connect().await.ok()?;
        let (mut send, mut connection) = h2::client::Builder::new()
            .initial_window_size((1 << 31) - 1)
            .initial_connection_window_size((1 << 31) - 1)
            .handshake::<_, Bytes>(stream)
            .await
            .ok()?;
        let mut answers = Vec::new();
        for _ in 0..times {
            let request = Request::post(format!("https://localhost{path}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let sent = send.send_request(request.body(()).unwrap(), false);
            let Ok((answer, mut stream)) = sent else {
                break;
            };
            drop(stream.send_data(frame(b"", false), true));
            answers.push(answer);
        }
        // Once to send the questions: what comes then is not read.
        let sent = std::future::poll_fn(|context| {
            drop(Pin::new(&mut connection).poll(context));
            std::task::Poll::Ready(())
        });
        sent.await;
        Some(Stuck {
            _send: send,
            connection,
            answers,
        })
    }
}

/// An HTTP/2 connection.
pub(crate) struct Session {
    send: SendRequest<Bytes>,
    pub(crate) driver: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One message with its prefix (gRPC over HTTP/2).
pub(crate) fn frame(message: &[u8], compressed: bool) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(compressed)], &length[..], message]
        .concat()
        .into()
}

impl Session {
    /// Begins a call.
    pub(crate) async fn begin(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(ResponseFuture, SendStream<Bytes>), String> {
        let mut request = Request::post(format!("https://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut ready = self
            .send
            .clone()
            .ready()
            .await
            .map_err(|fault| fault.to_string())?;
        ready
            .send_request(request.body(()).unwrap(), false)
            .map_err(|fault| fault.to_string())
    }

    /// A whole call: the reason with which it was refused, `OK`, or what became of the connection.
    pub(crate) async fn call(&mut self, path: &str, message: &[u8]) -> String {
        self.call_with(path, &[], frame(message, false)).await
    }

    /// The same with any headers and body.
    pub(crate) async fn call_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> String {
        let (answer, mut stream) = match self.begin(path, headers).await {
            Ok(begun) => begun,
            Err(fault) => return short(&fault),
        };
        // A server that refuses before it reads resets the stream; its answer is there all the same.
        send_all(&mut stream, body).await;
        outcome(answer).await
    }
}

/// Sends as the server lets it.
pub(crate) async fn send_all(stream: &mut SendStream<Bytes>, mut body: Bytes) {
    stream.reserve_capacity(body.len());
    while !body.is_empty() {
        match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(0)) => {}
            Some(Ok(room)) => {
                let piece = body.split_to(room.min(body.len()));
                if stream.send_data(piece, false).is_err() {
                    return;
                }
            }
            Some(Err(_)) | None => return,
        }
    }
    drop(stream.send_data(Bytes::new(), true));
}

/// How a call ended.
pub(crate) async fn outcome(answer: ResponseFuture) -> String {
    let response: Response<RecvStream> = match answer.await {
        Ok(response) => response,
        Err(fault) => return short(&fault.to_string()),
    };
    if let Some(status) = tonic::Status::from_header_map(response.headers()) {
        // gRPC over HTTP/2: a refusal without a body is one head that ends the stream. Other libraries than ours take
        // anything else for a broken stream.
        if !response.body().is_end_stream() {
            return format!("{}, and its head ends nothing", said(&status));
        }
        return said(&status);
    }
    let mut body = response.into_body();
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => drop(body.flow_control().release_capacity(piece.len())),
            Err(fault) => return short(&fault.to_string()),
        }
    }
    match body.trailers().await {
        Ok(Some(trailers)) => match tonic::Status::from_header_map(&trailers) {
            Some(status) => said(&status),
            None => "OK".to_owned(),
        },
        Ok(None) => "OK".to_owned(),
        Err(fault) => short(&fault.to_string()),
    }
}

fn said(status: &tonic::Status) -> String {
    let reason = crate::house::reason_of(status);
    match (reason.is_empty(), status.code()) {
        (false, _) => reason,
        (true, tonic::Code::Ok) => "OK".to_owned(),
        (true, code) => format!("{code:?}"),
    }
}

/// Everything that ends a connection is one thing here.
fn short(_fault: &str) -> String {
    "cut".to_owned()
}
