//! A second broker on the same database, for what must hold whichever broker is asked.
//!
//! Must never share anything with the first one but the database and the files that it was given.

use crate::house::{Folder, READY_TIMEOUT, program};
use crate::laid::serves;
use client::{Client, Connection};
use gateway::cli::identity::Identity;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A second broker; it is killed when this is dropped.
pub(crate) struct Second {
    child: Child,
    address: String,
    home: PathBuf,
}

impl Second {
    /// Starts it with the first one's configuration, on a port of its own, and waits until it serves.
    pub(crate) async fn start(folder: &Folder) -> Self {
        let home = folder.path().join("processes/broker");
        let mut address: SocketAddr = folder.identity("uwv").broker_address.parse().unwrap();
        // Behind the portal's, in the block that the sandbox has locked.
        address.set_port(address.port() + 2);
        let address = address.to_string();
        let first = std::fs::read_to_string(home.join("sluis.toml")).unwrap();
        let lines = first.lines().map(|line| {
            if line.starts_with("listen") {
                format!("listen = \"{address}\"\n")
            } else {
                format!("{line}\n")
            }
        });
        let configuration = home.join("second.toml");
        std::fs::write(&configuration, lines.collect::<String>()).unwrap();
        let log = || std::fs::File::create(home.join("second-log.txt")).unwrap();
        let child = Command::new(program())
            .args(["serve", "--config"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap();
        let second = Self {
            child,
            address,
            home: home.clone(),
        };
        let door = second.connection(&folder.identity("portal"));
        let begun = Instant::now();
        while !serves(&door).await {
            let log = std::fs::read_to_string(home.join("second-log.txt"));
            assert!(begun.elapsed() < READY_TIMEOUT, "it is silent: {log:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        second
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("second-log.txt")).unwrap()
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    fn connection(&self, identity: &Identity) -> Connection {
        Connection::from_files(
            &identity.certificate,
            &identity.key,
            &identity.issuer,
            &identity.broker_server_name,
            &self.address,
        )
        .unwrap()
    }

    /// The settings of an identity that calls this broker.
    pub(crate) fn identity(&self, folder: &Folder, name: &str) -> Identity {
        Identity {
            broker_address: self.address.clone(),
            ..folder.identity(name)
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client of its own of an identity, at either broker.
pub(crate) async fn client_of_its_own(
    folder: &Folder,
    second: Option<&Second>,
    name: &str,
    number: usize,
) -> Client {
    let identity = match second {
        Some(second) => second.identity(folder, name),
        None => folder.identity(name),
    };
    let store = folder.beside(&format!("{name}-{number}.store"));
    let client = identity.client_at(&store).unwrap();
    if name != "elders" {
        client.open_context().await.unwrap();
    }
    client
}
