//! The connect check: walks from name to answer one step at a time and names the step that fails.
//!
//! Must never report a later step than the one that failed: an operator acts on the name of the step.

use crate::connection::{CONNECT_TIMEOUT, Connection};
use crate::error::{ClientError, Refused, from_status, words};
use rules::reason::Reason;
use rustls::{AlertDescription, CertificateError};
use std::fmt;
use std::future::Future;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{WhoAmIRequest, WhoAmIResponse};

/// The client's opening of HTTP/2 with empty settings (RFC 9113 3.4). In TLS 1.3 a server judges the
/// client's certificate after the client thinks the handshake is done, so the verdict comes with the
/// first octets that are read; this makes the server send some.
const HTTP2_OPENING: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// The steps, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The host's name becomes an address.
    Dns,
    /// The address takes a TCP connection.
    Tcp,
    /// The server's certificate names the server.
    ServerName,
    /// The server's certificate is from the issuer and valid today.
    Chain,
    /// The server accepts this desk's certificate.
    OwnCertificate,
    /// The certificate has not been revoked in the directory.
    Revoked,
    /// The certificate's OIN is in the directory.
    OinUnknown,
    /// The certificate's key is registered as a desk.
    DeskUnknown,
    /// The gateway answers `WhoAmI`.
    Answer,
}

impl Step {
    /// What to do when this step fails.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Dns => "check the host in the address and the name server",
            Self::Tcp => "check the port, the firewall, and that the gateway runs",
            Self::ServerName => {
                "the configured server name is not in the gateway's certificate; ask its operator for the right one"
            }
            Self::Chain => {
                "the gateway's certificate is not from the configured issuer or not valid today; check the issuer file and the clock"
            }
            Self::OwnCertificate => {
                "the gateway does not accept this desk's certificate; check its issuer, its dates and that the key belongs to it"
            }
            Self::Revoked => Reason::CertificateRevoked.english(),
            Self::OinUnknown => Reason::OinUnknown.english(),
            Self::DeskUnknown => Reason::DeskUnknown.english(),
            Self::Answer => {
                "the connection is there but the gateway does not answer; tell its operator"
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::ServerName => "server name",
            Self::Chain => "server's chain",
            Self::OwnCertificate => "own certificate",
            Self::Revoked => "revocation",
            Self::OinUnknown => "OIN",
            Self::DeskUnknown => "desk",
            Self::Answer => "answer",
        })
    }
}

/// The step that failed, what was seen, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("connect check failed at {step} ({address}): {seen}{}", remedy.map(|text| format!("; {text}")).unwrap_or_default())]
pub struct ConnectCheckError {
    /// The step.
    pub step: Step,
    /// The gateway's address as configured.
    pub address: String,
    /// What the layer concerned said.
    pub seen: String,
    /// What to do, where that does not stand in what was seen.
    pub remedy: Option<&'static str>,
}

impl Connection {
    /// Checks the way to the gateway step by step and answers who the gateway says that we are.
    ///
    /// # Errors
    ///
    /// The first step that fails, what was seen there, and what to do about it.
    pub async fn connect_check(&self) -> Result<WhoAmIResponse, ConnectCheckError> {
        let stream = self.reach().await?;
        self.present_certificate(stream).await?;
        let mut stub = crate::connection::stub!(DirectoryServiceClient<_>, self);
        let request = crate::connection::with_deadline(WhoAmIRequest {});
        match stub.who_am_i(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => {
                let refused = Refused::from_status(&status);
                let step = match refused.reason {
                    Some(Reason::CertificateRevoked) => Step::Revoked,
                    Some(Reason::OinUnknown) => Step::OinUnknown,
                    Some(Reason::DeskUnknown) => Step::DeskUnknown,
                    _ => Step::Answer,
                };
                // A reason says itself what to do.
                let says_itself = refused.reason.is_some();
                let seen = match from_status("WhoAmI", &status) {
                    ClientError::Transport(fault) => fault.what,
                    other => other.to_string(),
                };
                let mut failed = self.failed(step, seen);
                failed.remedy = failed.remedy.filter(|_| !says_itself);
                Err(failed)
            }
        }
    }

    async fn reach(&self) -> Result<TcpStream, ConnectCheckError> {
        let resolved = in_time(tokio::net::lookup_host(&*self.way.address)).await;
        let addresses: Vec<_> = match resolved {
            Ok(found) => found.collect(),
            Err(error) => return Err(self.failed(Step::Dns, words(&error))),
        };
        if addresses.is_empty() {
            return Err(self.failed(Step::Dns, "the name has no address".into()));
        }
        in_time(TcpStream::connect(addresses.as_slice()))
            .await
            .map_err(|error| self.failed(Step::Tcp, words(&error)))
    }

    async fn present_certificate(&self, stream: TcpStream) -> Result<(), ConnectCheckError> {
        let fail = |error: std::io::Error| self.failed(tls_step(&error), words(&error));
        let mut stream = in_time(self.way.shake_hands(stream)).await.map_err(fail)?;
        let own = |error: std::io::Error| self.failed(Step::OwnCertificate, words(&error));
        in_time(stream.write_all(HTTP2_OPENING))
            .await
            .map_err(own)?;
        in_time(stream.flush()).await.map_err(own)?;
        match in_time(stream.read_u8()).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Err(self.failed(Step::Answer, "silence after the TLS handshake".into()))
            }
            Err(error) => Err(own(error)),
        }
    }

    fn failed(&self, step: Step, seen: String) -> ConnectCheckError {
        ConnectCheckError {
            step,
            address: self.address().to_owned(),
            seen,
            remedy: Some(step.remedy()),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Which step a failed handshake belongs to.
fn tls_step(error: &std::io::Error) -> Step {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Step::ServerName,
        Some(rustls::Error::InvalidCertificate(_)) => Step::Chain,
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => Step::ServerName,
        Some(rustls::Error::AlertReceived(_)) => Step::OwnCertificate,
        _ => Step::Answer,
    }
}
