//! The role's own certificate: how long it and its issuers are valid, and whether the directory knows it.
//!
//! Must never open a private key: the door's own check has done that.

use super::process::reachable;
use super::{Check, age, peers};
use crate::configuration::{Configuration, Role};
use crate::door::admission::caller_of;
use crate::door::certificate::{PeerCertificate, server_name, validity as dates};
use crate::grpc::status::causes;
use crate::roles::ending::{self, Ending};
use client::credentials::Credentials;
use rules::calendar::wall_clock;
use rules::clock::Timestamp;
use rules::directory::Directory;
use rules::id::PeerKind;
use rules::limits::DAY_MILLIS;
use rustls::pki_types::CertificateDer;

/// Days before its end at which a certificate should be renewed, and at which it must be.
const CERTIFICATE_DAYS_WARNING: i64 = 30;
const CERTIFICATE_DAYS_FAULT: i64 = 3;

/// The own certificate, and the issuers that are trusted.
pub(super) fn validity(configuration: &Configuration, now: Timestamp) -> [Check; 2] {
    let tls = &configuration.tls;
    let (own, issuers) = ("certificate", "issuers");
    match Credentials::load(tls) {
        Ok(credentials) => [
            judge(
                own,
                &tls.certificate.display().to_string(),
                &credentials.chain,
                now,
            ),
            judge(
                issuers,
                &tls.issuer.display().to_string(),
                &credentials.issuers,
                now,
            ),
        ],
        Err(error) => {
            let remedy = "correct the paths under `tls`, or get the files again";
            [
                Check::fault(own, causes(&error), remedy),
                Check::not_applicable(issuers, "not looked at: the door's files cannot be read"),
            ]
        }
    }
}

/// Judges a file by the certificate in it that ends first.
fn judge(name: &str, place: &str, file: &[CertificateDer<'_>], now: Timestamp) -> Check {
    let remedy = "get a new one from its issuer, put it in place and send the process SIGHUP";
    let read: Option<Vec<_>> = file.iter().map(dates).collect();
    let Some(dates) = read else {
        return Check::fault(name, format!("{place} cannot be read"), remedy);
    };
    let begins = dates.iter().map(|(begins, _)| *begins).max();
    let ends = dates.iter().map(|(_, ends)| *ends).min();
    let (Some(begins), Some(ends)) = (begins, ends) else {
        return Check::fault(name, format!("{place} is empty"), remedy);
    };
    if begins > now {
        let remedy = "check this machine's clock, or wait";
        return Check::fault(name, format!("{place} is valid from {begins} on"), remedy);
    }
    let left = ends.millis_since(now);
    if left <= 0 {
        return Check::fault(name, format!("{place} ended on {ends}"), remedy);
    }
    let text = format!("{place} is valid for {} more, until {ends}", age(left));
    if left < CERTIFICATE_DAYS_FAULT.saturating_mul(DAY_MILLIS) {
        Check::fault(name, text, remedy)
    } else if left < CERTIFICATE_DAYS_WARNING.saturating_mul(DAY_MILLIS) {
        Check::warning(name, text, remedy)
    } else {
        Check::ok(name, text)
    }
}

/// Whether the process that runs shows the certificate that is in the file: it calls others with the same one.
pub(super) async fn shown(configuration: &Configuration) -> Check {
    let name = "certificate in use";
    let Ok(credentials) = Credentials::load(&configuration.tls) else {
        return Check::not_applicable(name, "not looked at: the own certificate cannot be read");
    };
    let own = credentials.chain.first();
    let named = own.and_then(|own| Some((own, server_name(own)?)));
    let Some((own, server_name)) = named else {
        return Check::not_applicable(name, "not looked at: the own certificate names no server");
    };
    let address = reachable(configuration.listen).to_string();
    let file = configuration.tls.certificate.display();
    let way = match peers::connection(configuration, (&address, &server_name)) {
        Ok(way) => way,
        Err(error) => return Check::fault(name, causes(&error), "see `certificate`"),
    };
    let remedy = "send the process SIGHUP; if that does not help, its log says why";
    match way.shown_certificate().await {
        Ok(shown) if shown == *own => Check::ok(
            name,
            format!("the process at {address} shows that of {file}"),
        ),
        Ok(shown) => {
            let until = dates(&shown).map(|(_, ends)| format!(", until {ends}"));
            let until = until.unwrap_or_default();
            let text = format!("the process at {address} shows another than {file}{until}");
            Check::warning(name, text, remedy)
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Check::not_applicable(name, format!("no process listens at {address}"))
        }
        Err(error) => {
            let seen = causes(&error);
            let text = format!("the process at {address} shows none that is good: {seen}");
            Check::warning(name, text, remedy)
        }
    }
}

/// How long the directory in force holds.
pub(super) fn directory_end(directory: Option<&Directory>, now: Timestamp) -> Check {
    let name = "directory end";
    let Some(directory) = directory else {
        return Check::not_applicable(name, "not looked at: there is no directory");
    };
    let end = directory.valid_until();
    let left = age(end.millis_since(now).abs());
    let (version, end) = (directory.version(), wall_clock(end));
    match Ending::of(directory, now) {
        Ending::Far => Check::ok(
            name,
            format!("version {version} holds for {left} more, until {end}"),
        ),
        Ending::Soon => {
            let text = format!("version {version} holds for {left} more only, until {end}");
            Check::warning(name, text, ending::REMEDY)
        }
        Ending::Past => {
            let text = format!(
                "version {version} ended {left} ago, on {end}: nothing is shared or converted"
            );
            Check::fault(name, text, ending::REMEDY)
        }
    }
}

/// Whether the directory knows the own certificate, as that of this role.
pub(super) fn known(
    configuration: &Configuration,
    directory: Result<&Directory, &String>,
) -> Check {
    let name = "directory";
    let directory = match directory {
        Ok(directory) => directory,
        Err(why) => {
            let remedy = "import a directory that all controllers signed";
            return Check::fault(name, why, remedy);
        }
    };
    let version = directory.version();
    let kind = match &configuration.role {
        Role::Broker(_) => PeerKind::Broker,
        Role::Holder(_) => PeerKind::Holder,
        Role::Portal(_) => PeerKind::Portal,
    };
    let credentials = Credentials::load(&configuration.tls).ok();
    let certificate = credentials.and_then(|credentials| {
        let leaf = credentials.chain.first()?;
        PeerCertificate::read(leaf, configuration.oin_element)
    });
    let Some(certificate) = certificate else {
        return Check::not_applicable(name, "not looked at: the own certificate cannot be read");
    };
    match caller_of(directory, &certificate) {
        Ok(caller) if caller.kind == kind => Check::ok(
            name,
            format!(
                "version {version} knows the own certificate: desk {}",
                caller.desk
            ),
        ),
        Ok(caller) => Check::fault(
            name,
            format!(
                "in version {version} the own certificate is of a {}",
                caller.kind.code()
            ),
            "correct the paths under `tls`",
        ),
        Err(reason) => Check::fault(
            name,
            format!("version {version} does not know the own certificate: {reason}"),
            "have the certificate's key taken up in the directory, or correct `tls.certificate`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// 2030-01-01T00:00:00Z.
    const END_MILLIS: i64 = 1_893_456_000_000;

    #[test]
    fn a_file_is_judged_by_the_certificate_that_ends_first() {
        let issue = |begins, ends| {
            let mut parameters = CertificateParams::default();
            parameters.not_before = date_time_ymd(begins, 1, 1);
            parameters.not_after = date_time_ymd(ends, 1, 1);
            let key = KeyPair::generate().expect("a key");
            let certificate = parameters.self_signed(&key).expect("a certificate");
            certificate.der().clone()
        };
        let file = [issue(2026, 2040), issue(2027, 2030)];
        for (days_left, expected) in [
            (31, Outcome::Ok),
            (30, Outcome::Ok),
            (29, Outcome::Warning),
            (3, Outcome::Warning),
            (2, Outcome::Fault),
            (0, Outcome::Fault),
            (-5, Outcome::Fault),
            (5 * 366, Outcome::Fault),
        ] {
            let now = Timestamp::from_millis(END_MILLIS - days_left * DAY_MILLIS);
            let check = judge("certificate", "file", &file, now);
            assert_eq!(check.outcome, expected, "{days_left}: {}", check.text);
        }
        let now = Timestamp::from_millis(END_MILLIS);
        assert_eq!(
            judge("certificate", "file", &[], now).outcome,
            Outcome::Fault
        );
    }
}
