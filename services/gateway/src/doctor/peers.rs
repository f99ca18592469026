//! The roles that this one calls: whether each is reached over mutual TLS, what it says of itself, and what
//! its clock says.
//!
//! Must never make a call that is logged or changes anything: `WhoAmI` is neither.

use super::{Check, compare_clocks, in_time};
use crate::clock::SystemClock;
use crate::configuration::{
    BrokerSettings, Configuration, HolderAddress, PortalSettings, Profile, Role,
};
use crate::door::admission::caller_of;
use crate::grpc::status::causes;
use crate::roles::trust;
use client::connection::{Connection, ConnectionError};
use rules::clock::{Clock as _, Timestamp};
use rules::directory::Directory;
use rules::id::{Oin, PeerKind};
use std::collections::BTreeSet;

/// Asks whom this role calls.
pub(super) async fn look(
    configuration: &Configuration,
    directory: Option<&Directory>,
) -> Vec<Check> {
    match &configuration.role {
        Role::Broker(settings) => holders(configuration, settings, directory).await,
        Role::Portal(settings) => broker(configuration, settings, directory).await,
        Role::Holder(_) => vec![Check::not_applicable("peers", "a key holder calls nobody")],
    }
}

async fn holders(
    configuration: &Configuration,
    settings: &BrokerSettings,
    directory: Option<&Directory>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut operators: BTreeSet<Oin> = BTreeSet::new();
    for holder in &settings.holders {
        let name = format!("holder {}", holder.oin);
        let address = (holder.address.as_str(), holder.server_name.as_str());
        let mut theirs = None;
        let reached = in_time(&name, async {
            match reach(configuration, address).await {
                Ok(peer) => {
                    let check = peer.judge(&name, directory);
                    theirs = Some(peer);
                    check
                }
                Err((text, remedy)) => Check::fault(&name, text, remedy),
            }
        })
        .await;
        checks.push(reached);
        if let (Some(peer), Some(directory)) = (&theirs, directory) {
            let proves = certificate(configuration, holder, directory).await;
            match proves {
                Ok(oin) => drop(operators.insert(oin)),
                Err(text) => checks.push(Check::fault(
                    &name,
                    text,
                    "ask its operator; correct `holders` or the directory",
                )),
            }
            checks.push(peer.clock(&name));
        }
    }
    let missing = directory.into_iter().flat_map(Directory::holders);
    for oin in missing.filter(|oin| settings.holders.iter().all(|holder| holder.oin != **oin)) {
        let text = "the directory names it, and `holders` has no address for it";
        let remedy = "add it to `holders`";
        checks.push(Check::fault(format!("holder {oin}"), text, remedy));
    }
    checks.push(trust_level(configuration, settings, operators.len()));
    checks
}

/// The number of operators that the holders' certificates prove.
fn trust_level(configuration: &Configuration, settings: &BrokerSettings, level: usize) -> Check {
    let name = "trust level";
    let text = format!("{level} operators in the certificates of the holders that answer");
    if level >= 2 {
        return Check::ok(name, text);
    }
    let remedy = "two independent operators are needed: one alone could convert";
    match (configuration.profile, &settings.trust_override) {
        (Profile::Production, None) => Check::fault(name, text, remedy),
        (Profile::Production, Some(_)) | (Profile::Sandbox, _) => {
            Check::warning(name, text, remedy)
        }
    }
}

/// Whose certificate a holder shows, when it is the one that the directory says.
async fn certificate(
    configuration: &Configuration,
    holder: &HolderAddress,
    directory: &Directory,
) -> Result<Oin, String> {
    let way = connection(configuration, (&holder.address, &holder.server_name));
    let way = way.map_err(|error| causes(&error))?;
    let shown = trust::show(&way, configuration.oin_element).await;
    let shown = shown.map_err(|error| causes(&error))?;
    let caller = caller_of(directory, &shown)
        .map_err(|reason| format!("the directory does not know its certificate: {reason}"))?;
    if caller.party.oin == holder.oin && caller.kind == PeerKind::Holder {
        Ok(caller.party.oin)
    } else {
        Err("it shows the certificate of another organisation or role".to_owned())
    }
}

async fn broker(
    configuration: &Configuration,
    settings: &PortalSettings,
    directory: Option<&Directory>,
) -> Vec<Check> {
    let name = "broker";
    let address = (
        settings.broker_address.as_str(),
        settings.broker_server_name.as_str(),
    );
    let mut clock = None;
    let reached = in_time(name, async {
        match reach(configuration, address).await {
            Ok(peer) => {
                clock = Some(peer.clock(name));
                peer.judge(name, directory)
            }
            Err((text, remedy)) => Check::fault(name, text, remedy),
        }
    })
    .await;
    std::iter::once(reached).chain(clock).collect()
}

/// What a role that was reached said, and when.
struct Peer {
    address: String,
    trust_level: i32,
    directory_version: i64,
    asked: Timestamp,
    said: Timestamp,
    answered: Timestamp,
}

/// The way to a door, with the role's own certificate.
pub(super) fn connection(
    configuration: &Configuration,
    (address, server_name): (&str, &str),
) -> Result<Connection, ConnectionError> {
    let tls = &configuration.tls;
    Connection::from_files(
        &tls.certificate,
        &tls.key,
        &tls.issuer,
        server_name,
        address,
    )
}

/// Goes to a role's door step by step; what went wrong and what to do when it does not open.
async fn reach(
    configuration: &Configuration,
    (address, server_name): (&str, &str),
) -> Result<Peer, (String, String)> {
    let connection = connection(configuration, (address, server_name))
        .map_err(|error| (causes(&error), "see `certificate`".to_owned()))?;
    let asked = SystemClock.now();
    match connection.connect_check().await {
        Ok(answer) => Ok(Peer {
            address: address.to_owned(),
            trust_level: answer.trust_level,
            directory_version: answer.directory_version,
            asked,
            said: Timestamp::from_millis(answer.time_millis),
            answered: SystemClock.now(),
        }),
        Err(error) => Err((
            format!("{address}: {} failed: {}", error.step, error.seen),
            error.step.remedy().to_owned(),
        )),
    }
}

impl Peer {
    fn judge(&self, name: &str, directory: Option<&Directory>) -> Check {
        let text = format!(
            "{} answers: trust level {}, directory {}",
            self.address, self.trust_level, self.directory_version
        );
        let own = directory.and_then(|directory| i64::try_from(directory.version()).ok());
        match own {
            Some(own) if own > self.directory_version => {
                let text = format!("{text}; here it is {own}");
                Check::warning(name, text, "import the newest directory there")
            }
            _ => Check::ok(name, text),
        }
    }

    fn clock(&self, name: &str) -> Check {
        let name = format!("clock of {name}");
        if self.said.millis() == 0 {
            return Check::not_applicable(name, "an older program, which does not say it");
        }
        compare_clocks(&name, self.asked, self.said, self.answered)
    }
}
