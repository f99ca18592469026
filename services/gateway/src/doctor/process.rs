//! The role's own process, where one runs: what it says of itself, which may be something else than what is found
//! beside it.
//!
//! Must never make a call that is logged: health is not.

use super::{Check, peers};
use crate::configuration::Configuration;
use crate::door::certificate::server_name;
use client::connection::Connection;
use client::credentials::Credentials;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The check's name.
pub(super) const NAME: &str = "process";

/// Asks the process that listens where this configuration says whether it serves.
pub(super) async fn look(configuration: &Configuration) -> Check {
    let address = reachable(configuration.listen);
    if TcpStream::connect(address).await.is_err() {
        return Check::not_applicable(NAME, format!("none listens on {address}"));
    }
    let Some(connection) = connection(configuration, address) else {
        let text = "not asked: the own certificate cannot be read, or names no server";
        return Check::not_applicable(NAME, text);
    };
    let answer = HealthClient::new(connection.channel())
        .check(HealthCheckRequest::default())
        .await;
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Check::ok(NAME, format!("{address} says SERVING")),
        Ok(_) => Check::fault(
            NAME,
            format!("{address} says NOT_SERVING: its database takes no changes, or it is stopping"),
            "see `database` here and the causes in the process's log; it serves again by itself",
        ),
        Err(status) => Check::fault(
            NAME,
            format!(
                "{address} does not say whether it serves: {}",
                status.message()
            ),
            "see whether it is this role that listens there, and with which certificate",
        ),
    }
}

/// Where a process that listens everywhere is reached from here.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn connection(configuration: &Configuration, address: SocketAddr) -> Option<Connection> {
    let credentials = Credentials::load(&configuration.tls).ok()?;
    let name = server_name(credentials.chain.first()?)?;
    peers::connection(configuration, (&address.to_string(), &name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_listens_everywhere_is_asked_here() {
        for (listen, expected) in [
            ("0.0.0.0:7443", "127.0.0.1:7443"),
            ("[::]:7443", "[::1]:7443"),
            ("10.0.0.7:7443", "10.0.0.7:7443"),
        ] {
            let listen: SocketAddr = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), expected);
        }
    }
}
