//! The bare relay: the same door and transport, one durable INSERT with the same settings, no more.
//!
//! Must never do anything that a relay without privacy would not do.

use broker::Caller;
use client::credentials::{LiveCredentials, TlsFiles};
use gateway::configuration::OinElement;
use gateway::door::admission::Registry;
use gateway::door::budgets::{Budgets, Ledger};
use gateway::door::certificate::PeerCertificate;
use gateway::door::{Reading, accept, reload::DoorKeys};
use rules::clock::{Random as _, Timestamp};
use rules::id::{EntryId, Party, PeerKind, Tag};
use rules::reason::Reason;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use store::audit::{EntryRow, EntryTags};
use store::{Database, Error, Role, Settings, Tx, Work};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use vault::chance::SystemChance;
use wire::directory::v1 as message;
use wire::directory::v1::directory_service_server::{DirectoryService, DirectoryServiceServer};

/// Connections to a server, as many as the broker's.
const CONNECTIONS: u32 = 16;

/// Lets everybody in who has a number.
struct Everybody;

impl Registry for Everybody {
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
        let oin = certificate.oin.clone().ok_or(Reason::OinUnknown)?;
        let realm = "main".parse().map_err(|_| Reason::OinUnknown)?;
        Ok(Caller {
            party: Party { oin, realm },
            desk: "desk".parse().map_err(|_| Reason::DeskUnknown)?,
            kind: PeerKind::Uwv,
            region: None,
            rights: BTreeSet::new(),
            signing_key: [0; 32],
        })
    }
}

struct Relay {
    database: Database,
}

struct Insert(EntryRow);

impl Work for Insert {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "BareRelay"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        tx.insert_entry(&self.0).await
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

fn row(body: Vec<u8>) -> EntryRow {
    let mut id = [0; 16];
    SystemChance::new().fill(&mut id);
    EntryRow {
        entry_id: EntryId::from_slice(&id).expect("chance is not zero"),
        leaf_index: None,
        leaf_sha256: [0; 32],
        year: 2026,
        time: Timestamp::from_millis(1),
        tags: EntryTags {
            caller: Tag::new([1; 16]),
            ..EntryTags::default()
        },
        open_part: body,
        closed_part: Vec::new(),
    }
}

#[tonic::async_trait]
impl DirectoryService for Relay {
    async fn who_am_i(
        &self,
        _: Request<message::WhoAmIRequest>,
    ) -> Result<Response<message::WhoAmIResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_directory(
        &self,
        _: Request<message::GetDirectoryRequest>,
    ) -> Result<Response<message::GetDirectoryResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    /// The one call that the relay serves: keeps what it is sent.
    async fn import_directory(
        &self,
        request: Request<message::ImportDirectoryRequest>,
    ) -> Result<Response<message::ImportDirectoryResponse>, Status> {
        let insert = Insert(row(request.into_inner().directory_toml));
        match self.database.write(&insert).await {
            Ok(()) => Ok(Response::new(message::ImportDirectoryResponse::default())),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    async fn get_status(
        &self,
        _: Request<message::GetStatusRequest>,
    ) -> Result<Response<message::GetStatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Where it keeps its rows: in a file in the folder, or in a schema of its own on the server.
pub(crate) fn settings(database: &str) -> Settings {
    if database.starts_with("postgres") {
        Settings::Postgres(store::Server {
            url: database.to_owned(),
            password: None,
            schema: Some("bench_relay".to_owned()),
            connections_max: CONNECTIONS,
        })
    } else {
        Settings::Sqlite(store::File {
            path: Path::new(database).join("relay.sqlite"),
            pages_max: None,
        })
    }
}

/// Serves on a free port, which it prints, until it is killed.
pub(crate) async fn serve(folder: &Path, database: &str) {
    let settings = settings(database);
    // What an earlier measurement left would make this one's table larger.
    store::engine::remove_schema(&settings)
        .await
        .expect("a database");
    store::engine::migrate(&settings, Role::Broker)
        .await
        .expect("a migrated database");
    let database = Database::open(&settings, Role::Broker)
        .await
        .expect("a database");
    let home = folder.join("processes").join("broker");
    let credentials = LiveCredentials::open(&TlsFiles {
        certificate: home.join("certificate.pem"),
        key: home.join("certificate.key.pem"),
        issuer: folder.join("ca.pem"),
    })
    .expect("the broker's certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("its address"));
    let keys = DoorKeys::new(credentials).expect("a door");
    let keys = Arc::new(keys);
    let guests = accept(
        listener,
        keys,
        Reading {
            oin_element: OinElement::SerialNumber,
            proxies: Vec::new(),
        },
        Arc::new(Everybody),
        Ledger::new(Budgets::default()),
    );
    Server::builder()
        .add_service(DirectoryServiceServer::new(Relay { database }))
        .serve_with_incoming(guests)
        .await
        .expect("the relay serves");
}
