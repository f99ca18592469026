//! The door as a stranger meets it: real sockets, real TLS, real certificates.

use super::*;
use crate::configuration::{
    DatabaseSettings, LogFormat, LogLevel, LogSettings, OinElement, PortalSettings, Profile, Role,
    SignedPath,
};
use crate::door::budgets::Budgets;
use crate::door::certificate::PeerCertificate;
use crate::grpc::directory::{Boxed, Directories, Standing};
use broker::Caller;
use client::connection::Connection;
use client::credentials::{LiveCredentials, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rules::id::{Oin, Party, PeerKind};
use rules::reason::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use wire::directory::v1 as message;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::directory_service_server::DirectoryServiceServer;

const KNOWN: &str = "00000099000000001000";
const UNKNOWN: &str = "00000099000000009000";

/// Knows one organisation, by its number alone.
struct OneOrganisation;

impl Registry for OneOrganisation {
    fn admit(&self, certificate: &PeerCertificate) -> Result<Caller, Reason> {
        let oin = certificate.oin.clone().filter(|oin| oin.as_str() == KNOWN);
        let party = Party {
            oin: oin.ok_or(Reason::OinUnknown)?,
            realm: "main".parse().expect("a realm"),
        };
        Ok(Caller {
            party,
            desk: "desk".parse().expect("a desk"),
            kind: PeerKind::Uwv,
            region: None,
            rights: BTreeSet::new(),
            signing_key: [0; 32],
        })
    }
}

impl Standing for OneOrganisation {
    fn directory_version(&self) -> i64 {
        7
    }

    fn organisation_name(&self, _oin: &Oin) -> String {
        "the known one".to_owned()
    }

    fn signed_directory(&self) -> (Vec<u8>, Vec<message::ControllerSignature>) {
        (Vec::new(), Vec::new())
    }

    fn directory_parts(&self, _wanted: &[Vec<u8>]) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn status(&self) -> message::GetStatusResponse {
        message::GetStatusResponse::default()
    }

    fn note<'a>(
        &'a self,
        _request: &'a tonic::Request<()>,
        _name: &'static str,
    ) -> Boxed<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn import(
        &self,
        _request: tonic::Request<message::ImportDirectoryRequest>,
    ) -> Boxed<'_, Result<message::ImportDirectoryResponse, Status>> {
        Box::pin(std::future::ready(Ok(
            message::ImportDirectoryResponse::default(),
        )))
    }
}

/// A database that takes changes, or not.
#[derive(Default)]
struct Shelf {
    is_stuck: AtomicBool,
}

impl Stored for Shelf {
    fn check_database(&self) -> Boxed<'_, Result<(), store::Error>> {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let said = if is_stuck {
            Err(store::Error::OnlyReads)
        } else {
            Ok(())
        };
        Box::pin(std::future::ready(said))
    }
}

/// An authority with a folder for what it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    name: &'static str,
}

impl Authority {
    fn new(folder: &Path, name: &'static str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        Self {
            issuer: Issuer::new(parameters, key),
            folder: folder.to_owned(),
            name,
        }
    }

    fn files(&self, name: &str) -> TlsFiles {
        let path = |end: &str| self.folder.join(format!("{name}.{end}"));
        TlsFiles {
            certificate: path("pem"),
            key: path("key"),
            issuer: self.folder.join(format!("{}.pem", self.name)),
        }
    }

    fn issue(&self, name: &str, oin: &str) -> TlsFiles {
        let mut parameters =
            CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        parameters
            .distinguished_name
            .push(DnType::CustomDnType(vec![2, 5, 4, 5]), oin);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        let files = self.files(name);
        std::fs::write(&files.certificate, certificate.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).expect("set");
        files
    }
}

fn configuration(listen: std::net::SocketAddr, tls: TlsFiles) -> Configuration {
    let nowhere = SignedPath {
        path: PathBuf::new(),
        signatures: PathBuf::new(),
    };
    Configuration {
        role: Role::Portal(PortalSettings {
            broker_address: String::new(),
            broker_server_name: String::new(),
            store: PathBuf::new(),
            database: DatabaseSettings::File {
                path: PathBuf::new(),
                pages_max: None,
            },
            policies: nowhere.clone(),
            without_copies: 0,
        }),
        profile: Profile::Sandbox,
        listen,
        tls,
        proxies: Vec::new(),
        budgets: Budgets::default(),
        oin_element: OinElement::SerialNumber,
        key_file: PathBuf::new(),
        controllers: Vec::new(),
        commitments: BTreeMap::new(),
        directory: nowhere,
        log: LogSettings {
            level: LogLevel::Error,
            format: LogFormat::Text,
        },
    }
}

/// A door that is open, and the authority that it trusts.
struct House {
    authority: Authority,
    address: String,
    shelf: Arc<Shelf>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
}

impl House {
    async fn open(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sluis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let authority = Authority::new(&folder, "authority");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = free.local_addr().expect("an address");
        drop(free);
        let configuration = configuration(listen, authority.issue("server", KNOWN));
        let (stop, stopping) = watch::channel(false);
        let mounted = Mounted::new().with(limited!(
            DirectoryServiceServer<_>,
            Directories::new(Arc::new(OneOrganisation))
        ));
        let shelf = Arc::<Shelf>::default();
        let stored = Arc::<Shelf>::clone(&shelf);
        let served = tokio::spawn(async move {
            let credentials = LiveCredentials::open(&configuration.tls)?;
            let registry = Arc::new(OneOrganisation);
            serve(
                &configuration,
                credentials,
                registry,
                mounted,
                stored,
                stopping,
            )
            .await
        });
        Self {
            authority,
            address: listen.to_string(),
            shelf,
            stop,
            served,
        }
    }

    fn connect(&self, own: &TlsFiles, issuer: &Path) -> Connection {
        Connection::from_files(
            &own.certificate,
            &own.key,
            issuer,
            "localhost",
            &self.address,
        )
        .expect("a connection")
    }

    async fn health(&self, own: &TlsFiles) -> Result<i32, Status> {
        let connection = self.connect(own, &self.authority.files("server").issuer);
        let mut last = Status::unavailable("never asked");
        // The door may still be opening.
        for _ in 0..50 {
            let answer = HealthClient::new(connection.channel())
                .check(HealthCheckRequest {
                    service: String::new(),
                })
                .await;
            match answer {
                Ok(answer) => return Ok(answer.into_inner().status),
                Err(status) if status.get_error_details().error_info().is_some() => {
                    return Err(status);
                }
                Err(status) => last = status,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(last)
    }

    async fn close(self) {
        self.stop.send_replace(true);
        let served = tokio::time::timeout(Duration::from_secs(5), self.served).await;
        served
            .expect("stops in time")
            .expect("no panic")
            .expect("no fault");
        std::fs::remove_dir_all(&self.authority.folder).expect("removed");
    }
}

fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn only_known_desks_of_the_right_issuer_come_in() {
    let house = House::open("admission").await;
    let known = house.authority.issue("known", KNOWN);
    assert_eq!(house.health(&known).await.expect("serving"), 1);

    let unknown = house.authority.issue("unknown", UNKNOWN);
    let issuer = house.authority.files("server").issuer;
    // Whoever stands for nobody has one answer on each connection.
    let refused = DirectoryServiceClient::new(house.connect(&unknown, &issuer).channel())
        .who_am_i(message::WhoAmIRequest {})
        .await
        .expect_err("no such organisation");
    assert_eq!(reason(&refused), "OIN_UNKNOWN");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert_eq!(
        house.health(&unknown).await.expect("a probe is no desk"),
        ServingStatus::Serving as i32
    );
    let refused = HealthClient::new(house.connect(&unknown, &issuer).channel())
        .watch(HealthCheckRequest::default())
        .await
        .expect_err("who stays is a desk");
    assert_eq!(reason(&refused), "OIN_UNKNOWN");

    let stranger = Authority::new(&house.authority.folder, "stranger").issue("forged", KNOWN);
    let refused = house.health(&stranger).await.expect_err("another issuer");
    assert_eq!(reason(&refused), "", "the handshake already failed");
    house.close().await;
}

#[tokio::test]
async fn what_the_door_says_of_a_caller_and_what_it_does_not_serve() {
    let house = House::open("calls").await;
    let known = house.authority.issue("known", KNOWN);
    house.health(&known).await.expect("serving");
    let channel = house
        .connect(&known, &house.authority.files("server").issuer)
        .channel();

    let me = DirectoryServiceClient::new(channel.clone())
        .who_am_i(message::WhoAmIRequest {})
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(
        (me.oin.as_str(), me.desk.as_str(), me.directory_version),
        (KNOWN, "desk", 7)
    );
    assert!(me.certificate_valid_until_millis > 0);

    let large = message::ImportDirectoryRequest {
        request_id: vec![1; 16],
        directory_toml: vec![b' '; 2 * rules::limits::MESSAGE_BYTES_MAX],
        signatures: Vec::new(),
        parts: Vec::new(),
    };
    let refused = DirectoryServiceClient::new(channel.clone())
        .max_encoding_message_size(usize::MAX)
        .import_directory(large)
        .await
        .expect_err("too large");
    assert_eq!(reason(&refused), "MESSAGE_TOO_LARGE");

    let refused = wire::consent::v1::consent_service_client::ConsentServiceClient::new(channel)
        .get_consent(wire::consent::v1::GetConsentRequest::default())
        .await
        .expect_err("not mounted");
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
    house.close().await;
}

/// Waits until health says this of the process and of its services.
async fn check_health(house: &House, own: &TlsFiles, expected: ServingStatus) {
    let channel = house
        .connect(own, &house.authority.files("server").issuer)
        .channel();
    for service in [health::WHOLE, "sluis.directory.v1.DirectoryService"] {
        let asked = HealthCheckRequest {
            service: service.to_owned(),
        };
        let begun = std::time::Instant::now();
        loop {
            let answer = HealthClient::new(channel.clone())
                .check(asked.clone())
                .await;
            if answer.expect("an answer").into_inner().status() == expected {
                break;
            }
            let is_late = begun.elapsed() > Duration::from_secs(6);
            assert!(!is_late, "`{service}` is never {expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn health_follows_the_database_and_the_end_of_the_process() {
    let house = House::open("health").await;
    let known = house.authority.issue("known", KNOWN);
    house.health(&known).await.expect("serving");
    check_health(&house, &known, ServingStatus::Serving).await;
    house.shelf.is_stuck.store(true, Ordering::Relaxed);
    check_health(&house, &known, ServingStatus::NotServing).await;
    house.shelf.is_stuck.store(false, Ordering::Relaxed);
    check_health(&house, &known, ServingStatus::Serving).await;

    let channel = house
        .connect(&known, &house.authority.files("server").issuer)
        .channel();
    let followed = HealthClient::new(channel)
        .watch(HealthCheckRequest::default())
        .await;
    let mut followed = followed.expect("a desk follows").into_inner();
    let mut next = async || followed.message().await.expect("no fault");
    let status =
        |said: Option<tonic_health::pb::HealthCheckResponse>| said.map(|said| said.status());
    assert_eq!(status(next().await), Some(ServingStatus::Serving));
    house.stop.send_replace(true);
    assert_eq!(status(next().await), Some(ServingStatus::NotServing));
    assert_eq!(status(next().await), None, "nobody who looks is waited for");
}

#[tokio::test]
async fn what_was_renewed_is_shown_at_the_next_call_and_a_call_that_goes_on_goes_on() {
    let house = House::open("renewed").await;
    let known = house.authority.issue("known", KNOWN);
    house.health(&known).await.expect("serving");
    let credentials = LiveCredentials::open(&known).expect("credentials");
    let way = Connection::new(&credentials, "localhost", &house.address).expect("a way");
    let ask = HealthCheckRequest::default;
    let watch = HealthClient::new(way.channel()).watch(ask()).await;
    let mut watch = watch.expect("watched").into_inner();
    watch.message().await.expect("serving");

    // Another number on the same files: the door says which certificate it was shown.
    house.authority.issue("known", UNKNOWN);
    credentials.renew().await;
    let refused = HealthClient::new(way.channel()).watch(ask()).await;
    assert_eq!(reason(&refused.expect_err("unknown")), "OIN_UNKNOWN");
    let ended = tokio::time::timeout(Duration::from_millis(300), watch.message()).await;
    assert!(ended.is_err(), "the call that went on has ended");
    drop((watch, way));
    house.close().await;
}

#[tokio::test]
async fn reflection_answers_in_the_words_of_now_and_of_before() {
    use tonic_reflection::pb::{v1, v1alpha};
    let house = House::open("reflection").await;
    let known = house.authority.issue("known", KNOWN);
    house.health(&known).await.expect("serving");
    let channel = house
        .connect(&known, &house.authority.files("server").issuer)
        .channel();
    macro_rules! check {
        ($version:ident) => {{
            use $version::server_reflection_client::ServerReflectionClient;
            use $version::server_reflection_request::MessageRequest;
            use $version::server_reflection_response::MessageResponse;
            let question = $version::ServerReflectionRequest {
                message_request: Some(MessageRequest::ListServices(String::new())),
                ..$version::ServerReflectionRequest::default()
            };
            let asked = ServerReflectionClient::new(channel.clone())
                .server_reflection_info(tokio_stream::once(question))
                .await;
            let mut answers = asked.expect("reflection").into_inner();
            let answer = answers.message().await.expect("no fault");
            let Some(MessageResponse::ListServicesResponse(list)) =
                answer.and_then(|answer| answer.message_response)
            else {
                panic!("no list of services");
            };
            let names: Vec<_> = list.service.into_iter().map(|one| one.name).collect();
            let name = "sluis.directory.v1.DirectoryService";
            assert!(names.iter().any(|listed| listed == name), "{names:?}");
        }};
    }
    check!(v1);
    check!(v1alpha);
    house.close().await;
}
