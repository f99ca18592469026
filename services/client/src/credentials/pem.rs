//! Certificates and keys from the octets of a PEM file; where it is no such file, what it is instead and what to do.
//!
//! Must never put an octet of a file's contents in an error, other than the labels of its sections.

use super::CredentialError;
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeSet;
use std::path::Path;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How a section of a PEM file begins.
const BEGIN: &str = "-----BEGIN ";
/// The first octet of every DER file of these kinds: a sequence.
const SEQUENCE: u8 = 0x30;
/// How PKCS#12 begins inside: version 3 (RFC 7292 section 4).
const VERSION_3: &[u8] = &[0x02, 0x01, 0x03];
/// How PKCS#7 begins inside: an object identifier (RFC 2315 section 7).
const OBJECT_IDENTIFIER: u8 = 0x06;

/// All certificates in a file, one at least.
pub(super) fn certificates(
    what: &'static str,
    path: &Path,
    octets: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let broken = |number, cause| CredentialError::Broken {
        what,
        number,
        path: path.to_owned(),
        cause,
    };
    let mut found = Vec::new();
    for (read, number) in CertificateDer::pem_slice_iter(octets).zip(1..) {
        let certificate = read.map_err(|error| broken(number, words(&error)))?;
        match X509Certificate::from_der(&certificate) {
            Ok(([], _)) => found.push(certificate),
            Ok(_) => return Err(broken(number, "more follows behind it".to_owned())),
            Err(_) => {
                return Err(broken(
                    number,
                    "it is not a certificate of X.509".to_owned(),
                ));
            }
        }
    }
    if found.is_empty() {
        return Err(instead(what, path, octets));
    }
    if found.len() != begun(octets) {
        let cause = "not every certificate in the file is read: each begins with a line that is `-----BEGIN \
                     CERTIFICATE-----` and no more, without a blank or a mark (BOM) before it";
        return Err(broken(found.len().saturating_add(1), cause.to_owned()));
    }
    Ok(found)
}

/// How many certificates begin in a file, in whatever way: one that is passed over shuts out whoever has it.
fn begun(octets: &[u8]) -> usize {
    String::from_utf8_lossy(octets)
        .lines()
        .filter(|line| line.contains("BEGIN ") && line.contains("CERTIFICATE-----"))
        .count()
}

/// The private key in a file.
pub(super) fn key(path: &Path, octets: &[u8]) -> Result<PrivateKeyDer<'static>, CredentialError> {
    let what = "private key";
    let cause = match PrivateKeyDer::from_pem_slice(octets) {
        Ok(key) => return Ok(key),
        Err(cause) => cause,
    };
    // PKCS#8 has a label for it (RFC 7468 section 11), older forms a line (RFC 1421 section 4.6.1.1).
    let is_labelled = labels(octets).contains("ENCRYPTED PRIVATE KEY");
    if is_labelled || String::from_utf8_lossy(octets).contains("4,ENCRYPTED") {
        return Err(CredentialError::Password {
            path: path.to_owned(),
        });
    }
    if matches!(cause, Error::NoItemsFound) {
        return Err(instead(what, path, octets));
    }
    Err(CredentialError::Broken {
        what,
        number: 1,
        path: path.to_owned(),
        cause: words(&cause),
    })
}

/// What a file without anything of its kind is, or holds, instead.
fn instead(what: &'static str, path: &Path, octets: &[u8]) -> CredentialError {
    let file = path.display();
    let is_key = what == "private key";
    let labels = labels(octets);
    let form = |form, command| CredentialError::Form {
        path: path.to_owned(),
        form,
        command,
    };
    let inside = inside(octets);
    if labels.contains("PKCS7") {
        let command = format!("openssl pkcs7 -print_certs -in {file} -out {file}.pem");
        return form("a bundle (PKCS#7)", command);
    }
    match inside {
        Some(inside) if inside.starts_with(VERSION_3) => {
            let part = if is_key { "-nocerts -noenc" } else { "-nokeys" };
            let command = format!("openssl pkcs12 {part} -in {file} -out {file}.pem");
            form("PKCS#12", command)
        }
        Some([OBJECT_IDENTIFIER, ..]) => form(
            "a bundle (PKCS#7) in DER",
            format!("openssl pkcs7 -inform DER -print_certs -in {file} -out {file}.pem"),
        ),
        Some(_) => {
            let verb = if is_key { "pkey" } else { "x509" };
            form(
                "DER",
                format!("openssl {verb} -inform DER -in {file} -out {file}.pem"),
            )
        }
        None => CredentialError::Empty {
            what,
            path: path.to_owned(),
            holds: if labels.is_empty() {
                "nothing in PEM".to_owned()
            } else {
                Vec::from_iter(labels).join(", ")
            },
        },
    }
}

/// The labels of a PEM file's sections.
fn labels(octets: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(octets)
        .lines()
        .filter_map(|line| line.strip_prefix(BEGIN)?.trim_end().strip_suffix("-----"))
        .map(|label| label.replace(char::is_control, "?"))
        .collect()
}

/// What is inside the outermost sequence of a DER file; none when it is no DER file of this length.
fn inside(octets: &[u8]) -> Option<&[u8]> {
    let (&[SEQUENCE, length], rest) = octets.split_first_chunk()? else {
        return None;
    };
    if length < 0x80 {
        return (rest.len() == usize::from(length)).then_some(rest);
    }
    let (length, inside) = rest.split_at_checked(usize::from(length & 0x7f))?;
    let length = length.iter().try_fold(0_usize, |sum, octet| {
        sum.checked_mul(256)?.checked_add(usize::from(*octet))
    })?;
    (inside.len() == length).then_some(inside)
}

/// What is wrong with a section; the reader's own words can quote the file.
fn words(error: &Error) -> String {
    match error {
        Error::MissingSectionEnd { .. } => "its last line (END) is missing",
        Error::IllegalSectionStart { .. } => "its first line (BEGIN) is damaged",
        Error::Base64Decode(_) => "it is not base64",
        Error::SectionTooLarge => "it is too large",
        _ => "it is not PEM",
    }
    .to_owned()
}
