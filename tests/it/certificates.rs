//! Certificates and keys as issuers deliver them and as they are renewed: what is wrong with a file is said, what is
//! good is used for every next connection, also for those that a process makes itself.
//!
//! Must never be content with what a process shows at its own door: its peers are restarted and judge it.

use crate::authority::{Authority, Wish};
use crate::house::{Folder, enrol, files};
use crate::laid::{Laid, serves};
use crate::portal_stops::{stage, until_done};
use client::{Credentials, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rules::consent::ConsentState;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a process may take to see by itself that its files were renewed.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(90);
/// The log lines of a renewal that was not good, and of one that was.
const NOT_GOOD: &str = "the new certificate files are not good; the old stay";
const READ_ANEW: &str = "certificate, key and issuer were read anew";
/// The OINs of the servers.
const SERVERS: [(&str, &str); 4] = [
    ("broker", "00000099000000010000"),
    ("holder-1", "00000099000000011000"),
    ("holder-2", "00000099000000012000"),
    ("portal", "00000099000000007000"),
];

fn openssl(arguments: &[&str], folder: &Path) -> std::process::Output {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder);
    command
        .output()
        .expect("openssl is there: apt-get install openssl")
}

/// A desk's certificate of an issuer of a root, with its key, in files of a folder.
struct Chain {
    root: String,
    issuer: String,
    leaf: String,
    key: KeyPair,
}

impl Chain {
    fn new() -> Self {
        let named = |name: &str| {
            let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters
        };
        let authority = |name: &str| {
            let mut parameters = named(name);
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters
        };
        let (root_key, issuer_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        let root = authority("The root");
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root, root_key);
        let issuer = authority("The issuer\u{1b}[31m");
        let issuer_pem = issuer.signed_by(&issuer_key, &root).unwrap().pem();
        let issuer = Issuer::new(issuer, issuer_key);
        let leaf = named("The desk").signed_by(&key, &issuer).unwrap().pem();
        Self {
            root: root_pem,
            issuer: issuer_pem,
            leaf,
            key,
        }
    }

    /// Lays the files as they should be.
    fn lay(&self, folder: &Path) -> TlsFiles {
        let place = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            certificate: place("certificate.pem", &format!("{}{}", self.leaf, self.issuer)),
            key: place("key.pem", &self.key.serialize_pem()),
            issuer: place("issuers.pem", &format!("{0}{0}{0}", self.root)),
        }
    }
}

/// Puts contents in the place of a file, and looks what is said of it.
fn check(chain: &Chain, folder: &Path, file: &str, contents: &[u8], words: &[&str]) -> String {
    let files = chain.lay(folder);
    Credentials::load(&files).expect("good before");
    std::fs::write(folder.join(file), contents).unwrap();
    let told = Credentials::load(&files).unwrap_err().to_string();
    assert!(
        told.contains(&format!("{}`", folder.join(file).display())),
        "{told}"
    );
    for expected in words {
        assert!(told.contains(expected), "`{expected}` is not in: {told}");
    }
    assert!(!told.contains('\u{1b}'), "{told:?}");
    told
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chain = Chain::new();
    let stranger = Chain::new();
    let (certificate, key, issuers) = ("certificate.pem", "key.pem", "issuers.pem");
    let look = |file, contents: String, words: &[&str]| {
        check(&chain, folder, file, contents.as_bytes(), words);
    };
    let first = [
        "the first certificate in `",
        "is an issuer's (CN=The issuer",
        "the desk's own first",
    ];
    look(
        certificate,
        format!("{}{}", chain.issuer, chain.leaf),
        &first,
    );
    let second = [
        "no other certificate in `",
        "(CN=The issuer",
        "put that one second",
    ];
    look(
        certificate,
        format!("{}{}", chain.leaf, chain.root),
        &second,
    );
    look(
        certificate,
        stranger.leaf,
        &["is not that of the first certificate"],
    );
    let other = ["holds no certificate, but PRIVATE KEY"];
    look(certificate, chain.key.serialize_pem(), &other);
    look(
        key,
        chain.leaf.clone(),
        &["holds no private key, but CERTIFICATE"],
    );
    look(
        key,
        stranger.key.serialize_pem(),
        &["the key in `", "is not that of"],
    );
    look(
        issuers,
        String::new(),
        &["holds no issuer's certificate, but nothing in PEM"],
    );
    let cut = chain.root.replace("-----END CERTIFICATE-----", "");
    let words = [
        "issuer's certificate 3 in `",
        "its last line (END) is missing",
    ];
    look(issuers, format!("{0}{0}{cut}", chain.root), &words);
    let damaged = chain.root.replacen("M", "*", 1);
    let words = ["issuer's certificate 2 in `", "it is not base64"];
    look(
        issuers,
        format!("{}{damaged}{}", chain.root, chain.root),
        &words,
    );
    let line = |word: &str| format!("-----{word} CERTIFICATE-----\n");
    let nothing = format!("{}MAA=\n{}", line("BEGIN"), line("END"));
    let words = ["issuer's certificate 2 in `", "not a certificate of X.509"];
    look(issuers, format!("{}{nothing}", chain.root), &words);
}

#[test]
fn a_certificate_that_would_be_passed_over_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::new();
    // Everybody who has one of it would be shut out.
    let trusted = chain.root.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    for other in [
        format!(" {}", chain.root),
        format!("\u{feff}{}", chain.root),
        trusted,
    ] {
        let words = [
            "issuer's certificate 2 in `",
            "not every certificate in the file is read",
        ];
        let contents = format!("{}{other}", chain.root);
        check(
            &chain,
            folder.path(),
            "issuers.pem",
            contents.as_bytes(),
            &words,
        );
    }
}

#[test]
fn a_key_that_a_password_protects_is_said_to_be_that() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chain = Chain::new();
    let key = "key.pem";
    let secret = "pass:geheim";
    for arguments in [
        &["pkcs8", "-topk8", "-in", key, "-passout", secret][..],
        &["ec", "-aes128", "-in", key, "-passout", secret],
    ] {
        chain.lay(folder);
        let made = openssl(arguments, folder);
        let words = ["is protected by a password; store it without one, mode 600"];
        check(&chain, folder, key, &made.stdout, &words);
    }
}

#[test]
fn another_form_is_named_with_what_converts_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chain = Chain::new();
    let bundle = ["crl2pkcs7", "-nocrl", "-certfile", "issuers.pem"];
    let der_bundle = [&bundle[..], &["-outform", "DER"]].concat();
    let store = [
        "pkcs12",
        "-export",
        "-in",
        "certificate.pem",
        "-inkey",
        "key.pem",
    ];
    let store = [&store[..], &["-passout", "pass:geheim"]].concat();
    for (file, make, form) in [
        (
            "certificate.pem",
            &["x509", "-in", "certificate.pem", "-outform", "DER"][..],
            "DER",
        ),
        (
            "key.pem",
            &["pkey", "-in", "key.pem", "-outform", "DER"],
            "DER",
        ),
        ("issuers.pem", &bundle, "a bundle (PKCS#7)"),
        ("issuers.pem", &der_bundle, "a bundle (PKCS#7) in DER"),
        ("certificate.pem", &store, "PKCS#12"),
        ("key.pem", &store, "PKCS#12"),
    ] {
        chain.lay(folder);
        let made = openssl(make, folder).stdout;
        let form = format!("is {form}, not PEM; convert it: openssl ");
        let told = check(&chain, folder, file, &made, &[&form]);
        // What it says does convert it.
        let command = told.split_once("convert it: ").unwrap().1;
        let command = command.replace("pkcs12", "pkcs12 -passin pass:geheim");
        let done = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
        let mut files = chain.lay(folder);
        for path in [&mut files.certificate, &mut files.key, &mut files.issuer] {
            if path.ends_with(file) {
                path.as_mut_os_string().push(".pem");
            }
        }
        Credentials::load(&files).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

#[test]
fn the_sandboxes_certificates_pass_the_strict_check() {
    let laid = Laid::lay_files();
    let issuer = laid.path().join("ca.pem");
    let all = files(&laid.path());
    let certificates = all.iter().filter(|path| path.ends_with("certificate.pem"));
    let mut looked = 0;
    for certificate in certificates {
        for purpose in ["sslserver", "sslclient"] {
            let verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile"];
            let paths = [issuer.to_str().unwrap(), certificate.to_str().unwrap()];
            let said = openssl(&[&verify[..], &paths].concat(), &laid.path());
            assert!(said.status.success(), "{said:?}");
        }
        looked += 1;
    }
    assert!(looked > SERVERS.len(), "{looked} certificates");
}

/// Renews a certificate on its own key.
fn renew(folder: &Folder, by: &Authority, home: &Path, oin: &str, ends: Option<i32>) {
    let key = home.join("certificate.key.pem");
    let wish = Wish {
        oin: Some(oin),
        key_pem: Some(std::fs::read_to_string(key).unwrap()),
        ends,
        begins: Some(2019),
    };
    let issued = by.issue(folder, "renewed", wish);
    std::fs::copy(issued.certificate, home.join("certificate.pem")).unwrap();
}

fn renew_server(laid: &Laid, by: &Authority, name: &str) {
    let (_, oin) = SERVERS.iter().find(|(server, _)| *server == name).unwrap();
    renew(laid, by, laid.home(name), oin, None);
}

/// Lets a server trust this authority alone, from its next start on.
fn trust_only(laid: &Laid, name: &str, authority: &Authority) {
    std::fs::write(laid.home(name).join("only.pem"), &authority.pem).unwrap();
    laid.configure(name, "issuer = \"../../ca.pem\"", "issuer = \"only.pem\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_renewed_is_shown_to_others_without_a_restart() {
    let (mut scene, mut front, _) = stage().await;
    let uwv = scene.house.client("uwv").await;
    let laid = &mut scene.house;
    let next = Authority::new("The group's next issuer");
    next.become_trusted(laid);
    let identity = laid.identity("uwv");
    renew(
        laid,
        &next,
        identity.certificate.parent().unwrap(),
        &identity.oin,
        None,
    );
    for name in ["broker", "portal"] {
        renew_server(laid, &next, name);
        laid.hang_up(name);
        laid.wait_for_log(name, READ_ANEW).await;
    }
    // Key holders that trust the next issuer alone, and are of it alone.
    for name in ["holder-1", "holder-2"] {
        laid.kill(name);
        trust_only(laid, name, &next);
        renew_server(laid, &next, name);
        laid.start(name).await;
    }
    enrol(&uwv, "ww-1", 7).await;
    // And so the broker: now the portal is judged by it.
    laid.kill("broker");
    trust_only(laid, "broker", &next);
    laid.start("broker").await;
    let union = laid.identity("vakbond").oin;
    front.block(&union).await;
    until_done(&mut front).await;
    assert_eq!(front.states().await, [ConsentState::Withdrawn]);
    // A partner's process follows its own files.
    let begun = Instant::now();
    while let Err(error) = uwv.whoami().await {
        assert!(begun.elapsed() < FOLLOWED_WITHIN, "{error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What the doctor says of the certificate in use.
async fn in_use(laid: &Laid, name: &str) -> (String, String) {
    let said = laid.say(name, &["doctor", "--json"]).await;
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks
        .find(|check| check["name"] == "certificate in use")
        .unwrap();
    let text = |key: &str| check[key].as_str().unwrap().to_owned();
    (
        text("outcome"),
        format!("{}; {}", text("text"), text("remedy")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_not_good_is_said_and_the_doctor_sees_that_the_old_one_is_shown() {
    let mut laid = Laid::lay();
    let next = Authority::new("The group's next issuer");
    next.become_trusted(&laid);
    let name = "holder-1";
    assert_eq!(
        {
            laid.migrate(name);
            in_use(&laid, name).await.0
        },
        "not applicable"
    );
    laid.start(name).await;
    assert_eq!(in_use(&laid, name).await.0, "ok");
    let place = laid.home(name).join("certificate.pem");
    let good = std::fs::read_to_string(&place).unwrap();

    std::fs::write(&place, format!("{}{good}", next.pem)).unwrap();
    laid.hang_up(name);
    laid.wait_for_log(name, NOT_GOOD).await;
    let words = "is an issuer's (CN=The group's next issuer); put the desk's own first";
    laid.wait_for_log(name, words).await;
    assert!(laid.log(name).contains("certificate.pem"));
    assert!(serves(&laid.connection(name)).await);

    // One that ended is no renewal. The process goes on with the old one, and that is seen.
    renew(
        &laid,
        &next,
        laid.home(name),
        "00000099000000011000",
        Some(2020),
    );
    laid.hang_up(name);
    laid.wait_for_log(name, "until 2020-01-01").await;
    let (outcome, text) = in_use(&laid, name).await;
    assert_eq!(outcome, "warning", "{text}");
    assert!(
        text.contains("shows another than") && text.contains("SIGHUP"),
        "{text}"
    );
    assert!(serves(&laid.connection(name)).await);

    renew_server(&laid, &next, name);
    laid.hang_up(name);
    laid.wait_for_log(name, READ_ANEW).await;
    assert_eq!(in_use(&laid, name).await.0, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_address_is_an_address_and_a_name() {
    let mut laid = Laid::lay();
    let port = |laid: &Laid, name: &str| laid.connection(name).address()[10..].to_owned();
    for name in ["broker", "holder-1"] {
        let port = port(&laid, name);
        let (from, to) = (
            format!("listen = \"127.0.0.1:{port}\""),
            format!("listen = \"[::]:{port}\""),
        );
        laid.configure(name, &from, &to);
    }
    let holder = port(&laid, "holder-1");
    let from = format!("address = \"127.0.0.1:{holder}\"");
    laid.configure("broker", &from, &format!("address = \"::1:{holder}\""));
    let said = laid.say("broker", &["config", "check"]).await;
    assert!(
        said.err.contains("an IPv6 address in brackets: [::1]:7443"),
        "{}",
        said.err
    );
    laid.configure("broker", "address = \"::1:", "address = \"[::1]:");
    laid.configure(
        "broker",
        &format!("{holder}\"\nserver_name = \"localhost\""),
        &format!("{holder}\"\nserver_name = \"::1\""),
    );
    laid.start_all().await;
    let mut uwv = laid.identity("uwv");
    uwv.broker_address = format!("[::1]:{}", port(&laid, "broker"));
    uwv.broker_server_name = "::1".to_owned();
    let client = uwv.client().unwrap();
    client.open_context().await.unwrap();
    enrol(&client, "ww-1", 8).await;
    client.connection().connect_check().await.unwrap();
}
