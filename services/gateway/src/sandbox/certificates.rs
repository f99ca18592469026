//! The sandbox's throw-away certificate authority and the certificates that it gives out.
//!
//! Must never write the authority's own private key anywhere: it is gone when the sandbox has started.

use super::SandboxError;
use super::cast::{DeskRole, Organisation};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rules::clock::Timestamp;
use rules::limits::DAY_MILLIS;
use std::path::{Path, PathBuf};

/// The attribute `serialNumber` of a subject (X.520, 2.5.4.5), in which PKIoverheid puts the OIN.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
/// Days for which a certificate of the sandbox is valid.
const VALID_DAYS: i64 = 90;
/// The name under which every server of the sandbox is known.
pub(crate) const SERVER_NAME: &str = "localhost";

/// The authority. Its key lives in memory only.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    now: Timestamp,
}

/// A certificate that was given out: where it lies, and what a directory says of it.
pub(crate) struct Issued {
    /// The certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
    /// SHA-256 of its subject public key info.
    pub(crate) spki_sha256: [u8; 32],
}

impl Authority {
    /// A fresh authority, valid from yesterday.
    ///
    /// # Errors
    ///
    /// When the key or certificate cannot be made.
    pub(crate) fn new(now: Timestamp) -> Result<Self, SandboxError> {
        let mut parameters = CertificateParams::new(Vec::<String>::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "Sluis sandbox, worth nothing outside");
        limit_in_time(&mut parameters, now);
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            issuer: Issuer::new(parameters, key),
            now,
        })
    }

    /// The authority's certificate, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Gives out the certificate of one desk, for client and server, and writes it with its key in
    /// `folder`.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written.
    pub(crate) fn issue(
        &self,
        organisation: &Organisation,
        desk: &DeskRole,
        folder: &Path,
    ) -> Result<Issued, SandboxError> {
        let names = [SERVER_NAME, "127.0.0.1", "::1"].map(ToOwned::to_owned);
        let mut parameters = CertificateParams::new(names)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "NL");
        name.push(DnType::OrganizationName, organisation.title);
        name.push(DnType::OrganizationalUnitName, desk.desk);
        name.push(
            DnType::CommonName,
            format!("{} {}", organisation.title, desk.desk),
        );
        name.push(
            DnType::CustomDnType(SERIAL_NUMBER.to_vec()),
            organisation.oin,
        );
        parameters.distinguished_name = name;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        limit_in_time(&mut parameters, self.now);
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let issued = Issued {
            certificate: folder.join("certificate.pem"),
            key: folder.join("certificate.key.pem"),
            spki_sha256: vault::digest::sha256(&key.subject_public_key_info()),
        };
        super::write(&issued.certificate, certificate.pem().as_bytes())?;
        super::write_secret(&issued.key, key.serialize_pem().as_bytes())?;
        Ok(issued)
    }
}

fn limit_in_time(parameters: &mut CertificateParams, now: Timestamp) {
    if let Some((year, month, day)) = date(now.plus_millis(-DAY_MILLIS)) {
        parameters.not_before = rcgen::date_time_ymd(year, month, day);
    }
    if let Some((year, month, day)) = date(now.plus_millis(VALID_DAYS.saturating_mul(DAY_MILLIS))) {
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
    }
}

/// Year, month and day in UTC.
fn date(moment: Timestamp) -> Option<(i32, u8, u8)> {
    let text = moment.to_string();
    let mut parts = text.split('T').next()?.split('-');
    Some((
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    ))
}
