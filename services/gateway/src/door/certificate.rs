//! What a verified certificate says: the OIN, the key and until when.
//!
//! Must never guess: a subject with no OIN in the configured element, or with two, names nobody.

use crate::configuration::OinElement;
use rules::clock::Timestamp;
use rules::id::Oin;
use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::oid_registry::{Oid, asn1_rs::oid};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A peer's certificate after the handshake has verified it. Travels with every call of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The OIN in the configured element; `None` when there is none, or when it is not one.
    pub oin: Option<Oin>,
    /// SHA-256 of the subject's public key info (RFC 7469 section 2.4): the desk.
    pub spki_sha256: [u8; 32],
    /// Last moment at which the certificate is valid.
    pub valid_until: Timestamp,
}

impl PeerCertificate {
    /// Reads the certificate; `None` when it is not one.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>, element: OinElement) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            oin: subject_oin(&certificate, element),
            spki_sha256: vault::digest::sha256(certificate.public_key().raw),
            valid_until: Timestamp::from_millis(
                certificate
                    .validity()
                    .not_after
                    .timestamp()
                    .saturating_mul(1_000),
            ),
        })
    }
}

/// First and last moment at which a certificate is valid; `None` when it is not one.
#[must_use]
pub fn validity(der: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000));
    Some((
        moment(validity.not_before.timestamp()),
        moment(validity.not_after.timestamp()),
    ))
}

/// The first name under which a certificate's owner serves, a DNS name or an IP address; `None` when it has none.
#[must_use]
pub fn server_name(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            // Of names with a joker any will do.
            GeneralName::DNSName(name) => Some(name.replacen('*', "door", 1)),
            GeneralName::IPAddress(octets) => {
                if let Ok(octets) = <[u8; 4]>::try_from(*octets) {
                    return Some(IpAddr::from(octets).to_string());
                }
                let octets = <[u8; 16]>::try_from(*octets).ok()?;
                Some(IpAddr::from(octets).to_string())
            }
            _ => None,
        })
}

fn subject_oin(certificate: &X509Certificate<'_>, element: OinElement) -> Option<Oin> {
    let wanted: Oid<'_> = match element {
        OinElement::SerialNumber => oid!(2.5.4.5),
        OinElement::OrganizationIdentifier => oid!(2.5.4.97),
    };
    let mut found = certificate.subject().iter_by_oid(&wanted);
    let first = found.next()?;
    if found.next().is_some() {
        return None;
    }
    first.as_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    /// A certificate with these elements in its subject, read with `element`.
    fn check(elements: &[(DnType, &str)], element: OinElement, expected: Option<&str>) {
        let mut name = DistinguishedName::new();
        for (kind, value) in elements {
            name.push(kind.clone(), *value);
        }
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = name;
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let read = PeerCertificate::read(certificate.der(), element).expect("readable");
        assert_eq!(read.oin.as_ref().map(Oin::as_str), expected, "{elements:?}");
    }

    #[test]
    fn the_oin_comes_from_the_configured_element_alone() {
        let serial = || DnType::CustomDnType(vec![2, 5, 4, 5]);
        let organisation = || DnType::CustomDnType(vec![2, 5, 4, 97]);
        let oin = "00000099000000001000";
        check(&[(serial(), oin)], OinElement::SerialNumber, Some(oin));
        check(&[(organisation(), oin)], OinElement::SerialNumber, None);
        check(
            &[(organisation(), oin)],
            OinElement::OrganizationIdentifier,
            Some(oin),
        );
        check(&[(serial(), "7")], OinElement::SerialNumber, None);
        check(&[(DnType::CommonName, oin)], OinElement::SerialNumber, None);
        check(&[], OinElement::SerialNumber, None);
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        let der = CertificateDer::from(vec![0x30, 0x00]);
        assert_eq!(PeerCertificate::read(&der, OinElement::SerialNumber), None);
    }
}
