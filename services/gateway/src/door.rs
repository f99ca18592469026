//! The door: TCP in, mutual TLS 1.3, and what the peer's certificate says about it.
//!
//! Must never let a byte of a call through before the client certificate is verified, and never log more of a failed
//! handshake than the peer's address and the kind of fault, nor a line for each.

pub mod admission;
pub mod budgets;
pub mod certificate;
mod metered;
mod proxy;
pub mod reload;
mod room;
pub mod sums;
mod unread;

use crate::configuration::OinElement;
use admission::Registry;
use budgets::Ledger;
use certificate::PeerCertificate;
use reload::DoorKeys;
use room::{Entrance, Hall, Line, ONE_ANSWER_TIMES, Room};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use sums::Sums;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// The address where there is none.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// How often it is looked whether sums are to be told.
const TELL_INTERVAL: Duration = Duration::from_secs(15);
/// How long a peer may take for the TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which a connection is told to go away, so that new certificates and issuers get a grip.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long calls may finish after that.
pub const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(35);
/// Connections that have shaken hands and wait to be served.
const WAITING_MAX: usize = 64;
/// Octets that a connection may send that gets one answer.
const ONE_QUESTION_BYTES_MAX: u64 = 64 * 1024;
/// How long the door rests when the system has no more file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection whose certificate has been verified.
#[derive(Debug)]
pub struct Guest {
    stream: TlsStream<TcpStream>,
    visit: Visit,
    /// What ends the connection; `None` when it was ended.
    cut: Option<oneshot::Receiver<()>>,
    /// Until when nothing is read, because the organisation sent much that is no call.
    pause: Option<Pin<Box<Sleep>>>,
    /// Octets that were read.
    read: u64,
    entrance: Entrance,
}

/// What every call of a connection knows of it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The peer's certificate.
    pub certificate: PeerCertificate,
    /// The connection.
    pub(crate) line: Line,
}

/// How certificates and addresses are read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Which subject element carries the OIN.
    pub oin_element: OinElement,
    /// Proxies before the door: each connection from there begins with a PROXY header.
    pub proxies: Vec<IpAddr>,
}

/// What the door needs beside its listener.
struct Hallway {
    keys: Arc<DoorKeys>,
    reading: Reading,
    room: Room,
    hall: Mutex<Hall>,
    faults: Faults,
}

/// Handshakes that failed, by the kind of fault.
type Faults = Sums<String, IpAddr>;

/// Accepts connections until the returned stream is dropped.
pub fn accept(
    listener: TcpListener,
    keys: Arc<DoorKeys>,
    reading: Reading,
    registry: Arc<dyn Registry>,
    ledger: Arc<Ledger>,
) -> ReceiverStream<std::io::Result<Guest>> {
    let (guests, waiting) = mpsc::channel(WAITING_MAX);
    let hallway = Arc::new(Hallway {
        keys,
        reading,
        room: Room::new(registry, ledger),
        hall: Mutex::default(),
        faults: Faults::new(),
    });
    tokio::spawn(tell_faults(Arc::clone(&hallway), guests.clone()));
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = guests.closed() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    hallway.fault(format!("not accepted: {}", error.kind()), UNKNOWN);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (guests, hallway) = (guests.clone(), Arc::clone(&hallway));
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let mut waits = Some(hallway.enter(address.ip()));
            tokio::spawn(async move {
                let mut address = address;
                let greeted = hallway.greet(stream, &mut address, &mut waits).await;
                match greeted {
                    // A closed channel means that the process is going down.
                    Ok(guest) => drop(guests.send(Ok(guest)).await),
                    Err(fault) => hallway.fault(fault, address.ip()),
                }
            });
        }
    });
    ReceiverStream::new(waiting)
}

/// Does something for a connection before the door, unless it is crowded out.
async fn unless_crowded_out<T>(
    waits: &mut Option<oneshot::Receiver<()>>,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let crowded_out = async {
        match waits {
            Some(waits) => drop(waits.await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = crowded_out => Err("crowded out by newer ones".to_owned()),
    }
}

/// Tells of handshakes that failed, in sums.
async fn tell_faults(hallway: Arc<Hallway>, guests: mpsc::Sender<std::io::Result<Guest>>) {
    loop {
        tokio::select! {
            () = guests.closed() => return,
            () = tokio::time::sleep(TELL_INTERVAL) => {}
        }
        for (fault, address, times) in hallway.faults.due(Instant::now()) {
            tracing::warn!(peer = %address, fault, times, "TLS handshakes failed; the last was this");
        }
    }
}

impl Hallway {
    fn fault(&self, fault: String, address: IpAddr) {
        if self.faults.is_first(fault.clone(), address, Instant::now()) {
            tracing::warn!(peer = %address, fault, "a TLS handshake failed");
        }
    }

    fn enter(&self, address: IpAddr) -> oneshot::Receiver<()> {
        let mut hall = self.hall.lock().unwrap_or_else(PoisonError::into_inner);
        hall.enter(address)
    }

    /// From a new connection to a guest, in bounded time; `address` becomes what a listed proxy says.
    async fn greet(
        &self,
        mut stream: TcpStream,
        address: &mut SocketAddr,
        waits: &mut Option<oneshot::Receiver<()>>,
    ) -> Result<Guest, String> {
        let greeted = tokio::time::timeout(HANDSHAKE_TIMEOUT, async {
            if self.reading.proxies.contains(&address.ip())
                && let Some(source) = unless_crowded_out(waits, proxy::source(&mut stream)).await?
            {
                *address = SocketAddr::new(source.ip().to_canonical(), source.port());
                *waits = Some(self.enter(address.ip()));
            }
            unless_crowded_out(waits, self.shake_hands(stream)).await
        });
        let (stream, certificate) = greeted
            .await
            .map_err(|_| "no handshake in time".to_owned())??;
        let (entrance, line, cut) = self.room.enter(&certificate);
        if !line.is_served() {
            line.cut_after(ONE_ANSWER_TIMES.0);
        }
        Ok(Guest {
            stream,
            visit: Visit { certificate, line },
            cut: Some(cut),
            pause: None,
            read: 0,
            entrance,
        })
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, PeerCertificate), String> {
        stream
            .set_nodelay(true)
            .map_err(|error| error.kind().to_string())?;
        let stream = TlsAcceptor::from(self.keys.server())
            .accept(stream)
            .await
            .map_err(|error| handshake_fault(&error))?;
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or("no client certificate")?;
        let certificate = PeerCertificate::read(leaf, self.reading.oin_element)
            .ok_or("the client certificate cannot be read")?;
        Ok((stream, certificate))
    }
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

impl Guest {
    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        let is_cut = match &mut self.cut {
            Some(cut) => Pin::new(cut).poll(context).is_ready(),
            None => true,
        };
        if is_cut {
            self.cut = None;
        }
        is_cut
    }

    /// Counts what came in; reads no more for a while where that is too much.
    fn count(&mut self, octets: u64) {
        self.read = self.read.saturating_add(octets);
        match &self.entrance {
            Entrance::Served(place) => {
                let pause = place.read(octets, Instant::now());
                self.pause = pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
            }
            Entrance::OneAnswer(_) if self.read > ONE_QUESTION_BYTES_MAX => {
                self.visit.line.cut();
            }
            Entrance::OneAnswer(_) => {}
        }
    }

    /// Lets those who have more to send know whether the peer takes it.
    fn tell_written(&self, written: &Poll<std::io::Result<usize>>) {
        match written {
            Poll::Pending => self.visit.line.got_stuck(),
            Poll::Ready(_) => self.visit.line.went_on(),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // What waits for the peer to take more waits for nothing.
        self.visit.line.went_on();
    }
}

impl Connected for Guest {
    type ConnectInfo = Visit;

    fn connect_info(&self) -> Visit {
        self.visit.clone()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.is_cut(context) {
            // Nothing read means that the peer has gone: then the server goes too.
            return Poll::Ready(Ok(()));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let octets = buffer.filled().len().saturating_sub(before) as u64;
        if octets > 0 {
            self.count(octets);
        }
        read
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.is_cut(context) {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.tell_written(&written);
        written
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
        if self.is_cut(context) {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.tell_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
