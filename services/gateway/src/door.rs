//! The door: TCP in, mutual TLS 1.3, and what the peer's certificate says about it.
//!
//! Must never let a byte of a call through before the client certificate is verified, never let connections that are
//! not the portal's take the room that is the portal's, and never log more of a failed handshake than the peer's
//! address and the kind of fault.

pub mod admission;
pub mod certificate;
pub mod reload;
mod room;

use crate::configuration::OinElement;
use admission::Registry;
use certificate::PeerCertificate;
use reload::DoorKeys;
use room::{Hall, Room};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// How long a peer may take for the TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which a connection is told to go away, so that new certificates and issuers get a grip.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long calls may finish after that.
pub const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(35);
/// Connections that have shaken hands and wait to be served.
const WAITING_MAX: usize = 64;
/// How long the door rests when the system has no more file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection whose certificate has been verified.
#[derive(Debug)]
pub struct Guest {
    stream: TlsStream<TcpStream>,
    certificate: PeerCertificate,
    _place: OwnedSemaphorePermit,
}

/// Accepts connections until the returned stream is dropped.
pub fn accept(
    listener: TcpListener,
    keys: Arc<DoorKeys>,
    oin_element: OinElement,
    registry: Arc<dyn Registry>,
) -> ReceiverStream<std::io::Result<Guest>> {
    let (guests, waiting) = mpsc::channel(WAITING_MAX);
    let room = Arc::new(Room::new(registry));
    tokio::spawn(async move {
        let mut hall = Hall::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = guests.closed() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let acceptor = TlsAcceptor::from(keys.server());
            let (guests, room) = (guests.clone(), Arc::clone(&room));
            let crowded_out = hall.enter();
            tokio::spawn(async move {
                let greeted = tokio::select! {
                    biased;
                    greeted = shake_hands(acceptor, stream, oin_element) => greeted,
                    _ = crowded_out => Err("crowded out by newer ones".to_owned()),
                };
                let (stream, certificate) = match greeted {
                    Ok(greeted) => greeted,
                    Err(fault) => {
                        tracing::warn!(peer = %address, fault, "a TLS handshake failed");
                        return;
                    }
                };
                let Some(place) = room.place(&certificate) else {
                    tracing::warn!(peer = %address, "there is no room for one more connection");
                    return;
                };
                let guest = Guest {
                    stream,
                    certificate,
                    _place: place,
                };
                // A closed channel means that the process is going down.
                drop(guests.send(Ok(guest)).await);
            });
        }
    });
    ReceiverStream::new(waiting)
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    oin_element: OinElement,
) -> Result<(TlsStream<TcpStream>, PeerCertificate), String> {
    stream
        .set_nodelay(true)
        .map_err(|error| error.kind().to_string())?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| "no handshake in time".to_owned())?
        .map_err(|error| handshake_fault(&error))?;
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or("no client certificate")?;
    let certificate =
        PeerCertificate::read(leaf, oin_element).ok_or("the client certificate cannot be read")?;
    Ok((stream, certificate))
}

/// The kind of fault. rustls' words for certificate faults can quote names from the certificate, so
/// those are cut down to their kind.
fn handshake_fault(error: &std::io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoCertificatesPresented) => "no client certificate".to_owned(),
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                "certificate expired".to_owned()
            }
            rustls::CertificateError::NotValidYet
            | rustls::CertificateError::NotValidYetContext { .. } => {
                "certificate not valid yet".to_owned()
            }
            rustls::CertificateError::UnknownIssuer => {
                "certificate of an unknown issuer".to_owned()
            }
            _ => "certificate refused".to_owned(),
        },
        Some(rustls::Error::AlertReceived(alert)) => format!("the peer said {alert:?}"),
        Some(rustls::Error::PeerIncompatible(_)) => "no protocol version in common".to_owned(),
        Some(_) => "not a TLS 1.3 handshake".to_owned(),
        None => error.kind().to_string(),
    }
}

impl Connected for Guest {
    type ConnectInfo = PeerCertificate;

    fn connect_info(&self) -> PeerCertificate {
        self.certificate.clone()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
