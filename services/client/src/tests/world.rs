//! A small world: a signed directory, a desk with a store in a folder of its own, and a server that
//! fails as often as it is told to.

use crate::{Client, ClientParts, Connection, Controller, Identity, RetryPolicy, Store, Trust};
use papers::paper::{Order, Signed};
use rules::clock::{Clock, Random as _, Timestamp};
use rules::directory::{DeskFile, DirectoryFile, PeerFile, RealmFile, Right};
use rules::hex;
use rules::limits::DAY_MILLIS;
use rules::secret::Secret;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use vault::chance::SystemChance;
use vault::rest::Crypter;
use vault::sealing::OpeningKey;
use vault::sign::{Paper, SigningKey};
use wire::directory::v1 as directory;
use wire::directory::v1::directory_service_server::{DirectoryService, DirectoryServiceServer};
use wire::pseudonym::v1 as pseudonym;
use wire::pseudonym::v1::pseudonym_service_server::{PseudonymService, PseudonymServiceServer};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(super) const UWV: &str = "00000099000000001000";
const ROLES: &[(&str, &str, &str)] = &[
    (UWV, "UWV", "werkplein"),
    ("00000099000000005000", "HOLDER", "holder"),
    ("00000099000000006000", "HOLDER", "holder"),
    ("00000099000000007000", "BROKER", "broker"),
    ("00000099000000008000", "PORTAL", "portal"),
];

/// A clock that stands still.
pub(super) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub(super) fn seed(number: usize) -> Secret<[u8; 32]> {
    Secret::new([u8::try_from(number).unwrap() + 1; 32])
}

pub(super) fn controller_key() -> SigningKey {
    SigningKey::from_seed(&seed(99))
}

pub(super) fn controllers() -> Vec<Controller> {
    vec![Controller {
        name: "ministerie".to_owned(),
        key: controller_key().public(),
    }]
}

pub(super) fn file(version: u64) -> DirectoryFile {
    let peers = ROLES.iter().enumerate().map(|(number, (oin, kind, desk))| {
        let signing = SigningKey::from_seed(&seed(number));
        let key = OpeningKey::from_seed(&seed(number)).public();
        let mut realm = RealmFile {
            name: "main".to_owned(),
            epoch: 1,
            context: 1,
            sealing_key: Some(hex::encode(key.bytes())),
            sealing_key_valid_until_millis: Some(NOW.millis() + 1_000),
            sealing_key_signature: None,
            sealing_key_signed_by: Some((*desk).to_owned()),
            ..RealmFile::default()
        };
        let bytes = realm.signed_bytes(oin).unwrap();
        let signature = signing.sign(Paper::SealingKey, &bytes);
        realm.sealing_key_signature = Some(hex::encode(signature.bytes()));
        let rights = [Right::Represent, Right::Bsn, Right::Operator];
        PeerFile {
            oin: (*oin).to_owned(),
            name: format!("Organisatie {number}"),
            kind: (*kind).to_owned(),
            realms: vec![realm],
            desks: vec![DeskFile {
                name: (*desk).to_owned(),
                realm: "main".to_owned(),
                region: String::new(),
                function: "Loket".to_owned(),
                spki_sha256: hex::encode(seed(number + 50).expose()),
                signing_key: hex::encode(signing.public().bytes()),
                rights: rights.iter().map(|right| right.code().to_owned()).collect(),
            }],
        }
    });
    DirectoryFile {
        version,
        issued_at_millis: NOW.millis(),
        valid_until_millis: NOW.millis() + 400 * DAY_MILLIS,
        portal_epoch: 1,
        relation_epoch: 1,
        holders: vec![ROLES[1].0.to_owned(), ROLES[2].0.to_owned()],
        peers: peers.collect(),
        edges: Vec::new(),
        parts: Vec::new(),
        revoked: Vec::new(),
    }
}

/// The file's bytes and the controller's signature over them.
pub(super) fn signed(file: &DirectoryFile) -> (Vec<u8>, Vec<directory::ControllerSignature>) {
    let bytes = toml::to_string(file).unwrap().into_bytes();
    let signature = controller_key().sign(Paper::Directory, &bytes);
    let signature = directory::ControllerSignature {
        controller: "ministerie".to_owned(),
        signature: signature.bytes().to_vec(),
    };
    (bytes, vec![signature])
}

/// What the server says to the next calls; when nothing is left, it answers well.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    answers: VecDeque<Status>,
    imports: Vec<directory::ImportDirectoryRequest>,
    enrols: Vec<pseudonym::EnrolRequest>,
    expiring: usize,
}

impl Script {
    pub(super) fn then(&self, times: usize, status: &Status) {
        let mut told = self.0.lock().unwrap();
        told.answers
            .extend(std::iter::repeat_n(status.clone(), times));
    }

    /// The next so many enrolments find their order expired, each person for itself.
    pub(super) fn expire_enrolments(&self, times: usize) {
        self.0.lock().unwrap().expiring = times;
    }

    pub(super) fn imports(&self) -> Vec<directory::ImportDirectoryRequest> {
        self.0.lock().unwrap().imports.clone()
    }

    /// Request id and order of each attempt to enrol one person.
    pub(super) fn enrols(&self) -> Vec<(Vec<u8>, Order)> {
        let told = self.0.lock().unwrap();
        let order = |request: &pseudonym::EnrolRequest| {
            let sent = request.items[0].order.clone().unwrap();
            Signed::<Order>::try_from(sent).unwrap().into_paper()
        };
        let enrols = told.enrols.iter();
        enrols
            .map(|request| (request.request_id.clone(), order(request)))
            .collect()
    }

    fn answer(&self) -> Result<(), Status> {
        self.0
            .lock()
            .unwrap()
            .answers
            .pop_front()
            .map_or(Ok(()), Err)
    }
}

#[tonic::async_trait]
impl DirectoryService for Script {
    async fn who_am_i(
        &self,
        _: Request<directory::WhoAmIRequest>,
    ) -> Result<Response<directory::WhoAmIResponse>, Status> {
        self.answer()?;
        Ok(Response::new(directory::WhoAmIResponse::default()))
    }

    async fn get_directory(
        &self,
        _: Request<directory::GetDirectoryRequest>,
    ) -> Result<Response<directory::GetDirectoryResponse>, Status> {
        let (directory_toml, signatures) = signed(&file(4));
        Ok(Response::new(directory::GetDirectoryResponse {
            version: 4,
            directory_toml,
            signatures,
            parts: Vec::new(),
        }))
    }

    async fn import_directory(
        &self,
        request: Request<directory::ImportDirectoryRequest>,
    ) -> Result<Response<directory::ImportDirectoryResponse>, Status> {
        self.0.lock().unwrap().imports.push(request.into_inner());
        self.answer()?;
        Ok(Response::new(directory::ImportDirectoryResponse {
            version: 5,
            entry_id: vec![1; 16],
            missing_parts: Vec::new(),
        }))
    }

    async fn get_status(
        &self,
        _: Request<directory::GetStatusRequest>,
    ) -> Result<Response<directory::GetStatusResponse>, Status> {
        self.answer()?;
        Ok(Response::new(directory::GetStatusResponse::default()))
    }
}

#[tonic::async_trait]
impl PseudonymService for Script {
    async fn login(
        &self,
        _: Request<pseudonym::LoginRequest>,
    ) -> Result<Response<pseudonym::LoginResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }

    async fn link(
        &self,
        _: Request<pseudonym::LinkRequest>,
    ) -> Result<Response<pseudonym::LinkResponse>, Status> {
        Err(Status::unimplemented("not in this script"))
    }

    async fn enrol(
        &self,
        request: Request<pseudonym::EnrolRequest>,
    ) -> Result<Response<pseudonym::EnrolResponse>, Status> {
        self.0.lock().unwrap().enrols.push(request.into_inner());
        self.answer()?;
        let mut told = self.0.lock().unwrap();
        let code = match told.expiring {
            0 => "QUOTA_EXCEEDED",
            _ => "ORDER_EXPIRED",
        };
        told.expiring = told.expiring.saturating_sub(1);
        let outcome = pseudonym::enrol_result::Outcome::RefusedReason(code.into());
        let result = pseudonym::EnrolResult {
            outcome: Some(outcome),
        };
        Ok(Response::new(pseudonym::EnrolResponse {
            results: vec![result],
            entry_id: vec![1; 16],
        }))
    }

    async fn open_context(
        &self,
        _: Request<pseudonym::OpenContextRequest>,
    ) -> Result<Response<pseudonym::OpenContextResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn redeem_link(
        &self,
        _: Request<pseudonym::RedeemLinkRequest>,
    ) -> Result<Response<pseudonym::RedeemLinkResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A folder with a store, and a server beside it.
pub(super) struct World {
    folder: PathBuf,
    pub(super) script: Script,
    address: std::net::SocketAddr,
}

impl World {
    pub(super) async fn new() -> Self {
        let mut bytes = [0; 8];
        SystemChance::new().fill(&mut bytes);
        let folder = std::env::temp_dir().join(format!("sluis-client-{}", hex::encode(&bytes)));
        std::fs::create_dir(&folder).unwrap();
        let script = Script::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(DirectoryServiceServer::new(script.clone()))
            .add_service(PseudonymServiceServer::new(script.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self {
            folder,
            script,
            address,
        }
    }

    /// The same client with an hour between two attempts.
    pub(super) fn client_with_long_waits(&self, client: &Client) -> Client {
        let hour = Duration::from_secs(3_600);
        client.with_retry(RetryPolicy {
            attempts_max: 3,
            first_wait: hour,
            wait_max: hour,
        })
    }

    /// A client of a server that does not exist.
    pub(super) async fn client_to_nowhere(&self) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        self.client_at(address)
    }

    /// A client on the world's store, as after a start of the process.
    pub(super) fn client(&self) -> Client {
        self.client_at(self.address)
    }

    fn client_at(&self, address: std::net::SocketAddr) -> Client {
        let random = Arc::new(SystemChance::new());
        let crypter = Crypter::new(&[&seed(7)]);
        let path = self.folder.join("store.journal");
        let store = Store::open(&path, crypter, Arc::clone(&random) as _).unwrap();
        Client::new(ClientParts {
            connection: Connection::plain(address),
            identity: Identity {
                party: format!("{UWV}/main").parse().unwrap(),
                desk: "werkplein".parse().unwrap(),
                signing_key: SigningKey::from_seed(&seed(0)),
                opening_keys: vec![OpeningKey::from_seed(&seed(0))],
            },
            trust: Trust {
                controllers: controllers(),
                commitments: BTreeMap::new(),
            },
            store,
            clock: Arc::new(Still),
            random,
            retry: RetryPolicy {
                attempts_max: 3,
                first_wait: Duration::from_millis(1),
                wait_max: Duration::from_millis(2),
            },
            number_labels: std::collections::BTreeSet::new(),
            lookalike_labels: std::collections::BTreeSet::new(),
        })
        .unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
