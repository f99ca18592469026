//! A certificate authority of the tests' own, for certificates that the sandbox would never give out.
//!
//! Must never share a key with the sandbox's own authority, whose key is gone.

use crate::house::Folder;
use client::Connection;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData as _, date_time_ymd,
};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The attribute `serialNumber` of a subject (X.520, 2.5.4.5), which carries the OIN.
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

/// The authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub(crate) pem: String,
}

/// What a certificate is to say.
#[derive(Default)]
pub(crate) struct Wish<'a> {
    /// The OIN; none for a certificate without.
    pub(crate) oin: Option<&'a str>,
    /// The key, PEM; a fresh one when there is none.
    pub(crate) key_pem: Option<String>,
    /// The year in which it begins to be valid.
    pub(crate) begins: Option<i32>,
    /// The year in which it ends to be valid.
    pub(crate) ends: Option<i32>,
}

/// A certificate with its key, in files.
pub(crate) struct Issued {
    /// The certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// The private key, PEM.
    pub(crate) key: PathBuf,
    /// SHA-256 of its public key info.
    pub(crate) spki_sha256: [u8; 32],
}

impl Authority {
    /// A fresh authority of this name.
    pub(crate) fn new(title: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, title);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(parameters, key),
            pem,
        }
    }

    /// Adds it to the issuers that everybody in this sandbox trusts. Servers see it when they start.
    pub(crate) fn become_trusted(&self, folder: &Folder) {
        let path = folder.path().join("ca.pem");
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        file.write_all(self.pem.as_bytes()).unwrap();
    }

    /// Gives out a certificate under a name for its files.
    pub(crate) fn issue(&self, folder: &Folder, name: &str, wish: Wish<'_>) -> Issued {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        if let Some(oin) = wish.oin {
            subject.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), oin);
        }
        parameters.distinguished_name = subject;
        if let Some(year) = wish.begins {
            parameters.not_before = date_time_ymd(year, 1, 1);
        }
        if let Some(year) = wish.ends {
            parameters.not_after = date_time_ymd(year, 1, 1);
        }
        let key = wish.key_pem.map_or_else(
            || KeyPair::generate().unwrap(),
            |pem| KeyPair::from_pem(&pem).unwrap(),
        );
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let issued = Issued {
            certificate: folder.beside(&format!("{name}.pem")),
            key: folder.beside(&format!("{name}.key.pem")),
            spki_sha256: vault::digest::sha256(&key.subject_public_key_info()),
        };
        std::fs::write(&issued.certificate, certificate.pem()).unwrap();
        std::fs::write(&issued.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&issued.key, PermissionsExt::from_mode(0o600)).unwrap();
        issued
    }
}

impl Issued {
    /// A way to the broker with this certificate.
    pub(crate) fn connect(&self, folder: &Folder) -> Connection {
        let somebody = folder.identity("uwv");
        Connection::from_files(
            &self.certificate,
            &self.key,
            &somebody.issuer,
            &somebody.broker_server_name,
            &somebody.broker_address,
        )
        .unwrap()
    }
}
