//! The PROXY header of a listed proxy: from where a connection really comes (HAProxy, `proxy-protocol.txt`, versions 1
//! and 2).
//!
//! Must never be asked of an address that is not listed, and must never decide more than what a log says and whom the
//! crowd before the door pushes out: a proxy can lie.

use proxy_header::{Error, ParseConfig, ProxyHeader};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longest header: what every receiver must take in one piece (`proxy-protocol.txt` section 2.2).
const HEADER_BYTES_MAX: usize = 536;
/// How long to wait for the rest of a header that came in pieces.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the header off the stream: the source that it names, if it names one (a proxy's own check names none).
///
/// # Errors
/// When there is none, or it is not one.
pub(super) async fn source(stream: &mut TcpStream) -> Result<Option<SocketAddr>, String> {
    let mut buffer = [0; HEADER_BYTES_MAX];
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    loop {
        let seen = stream.peek(&mut buffer).await;
        let seen = seen.map_err(|error| error.kind().to_string())?;
        let octets = buffer.get(..seen).unwrap_or_default();
        match ProxyHeader::parse(octets, config) {
            Ok((header, length)) => {
                let source = header.proxied_address().map(|address| address.source);
                let header = buffer.get_mut(..length).unwrap_or_default();
                let taken = stream.read_exact(header).await;
                taken.map_err(|error| error.kind().to_string())?;
                return Ok(source);
            }
            Err(Error::BufferTooShort) if seen > 0 && seen < HEADER_BYTES_MAX => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => return Err("no PROXY header from a listed proxy".to_owned()),
        }
    }
}
