//! The portal of a sandbox, called as its own front desk: by the command line and by the play.
//!
//! Must never keep or print a number: it goes to the portal's login and nowhere else.

use super::error::CliError;
use super::identity::{Identity, everybody};
use super::near::meant;
use super::output::quoted;
use super::statement::{Kept, keep};
use rules::id::{Oin, Party};
use rules::secret::Secret;
use std::path::{Path, PathBuf};
use tonic::transport::Channel;
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_client::PortalServiceClient;

/// The portal of a sandbox, called as its own front desk.
pub(crate) struct Portal {
    /// Its service.
    pub(crate) service: PortalServiceClient<Channel>,
    everybody: Vec<Identity>,
    sandbox: PathBuf,
}

/// Asks the portal, and reads its refusal as the client library does.
macro_rules! ask {
    ($portal:expr, $method:ident, $name:literal, $request:expr) => {
        $portal
            .service
            .$method($request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| {
                $crate::cli::error::CliError::from(client::error::from_status_of(
                    "portal", $name, &status,
                ))
            })
    };
}
pub(crate) use ask;

impl Portal {
    /// Connects; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the sandbox or its files cannot be used.
    pub(crate) fn open(sandbox: &Path) -> Result<Self, CliError> {
        let identity = Identity::load(sandbox, "portal")?;
        Ok(Self {
            service: PortalServiceClient::new(identity.connect_portal()?.channel()),
            everybody: everybody(sandbox),
            sandbox: sandbox.to_owned(),
        })
    }

    /// Logs in the person with this number; it is sent to the portal and dropped.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn login(&mut self, digits: &Secret<String>) -> Result<Vec<u8>, CliError> {
        let assertion = format!("test:{}", digits.expose());
        let answer = ask!(self, login, "Login", message::LoginRequest { assertion })?;
        Ok(answer.session)
    }

    /// Keeps a person's statement in a file.
    pub(crate) fn keep(&self, record: &str, statement: &str) -> Kept {
        keep(&self.sandbox, record, statement)
    }

    fn named(&self, text: &str) -> Option<&Identity> {
        self.everybody.iter().find(|identity| identity.name == text)
    }

    /// `<OIN>/<realm>` of a name, or the text itself.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub(crate) fn party(&self, text: &str) -> Result<String, CliError> {
        let is_party = text.parse::<Party>().is_ok();
        match self.named(text) {
            Some(identity) => Ok(identity.party()),
            None if is_party => Ok(text.to_owned()),
            None => Err(self.nobody(text, "<OIN>/<realm>")),
        }
    }

    /// The OIN of a name, or the text itself.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub(crate) fn oin(&self, text: &str) -> Result<String, CliError> {
        let is_oin = text.parse::<Oin>().is_ok();
        match self.named(text) {
            Some(identity) => Ok(identity.oin.clone()),
            None if is_oin => Ok(text.to_owned()),
            None => Err(self.nobody(text, "its OIN")),
        }
    }

    fn nobody(&self, text: &str, form: &str) -> CliError {
        let names = self.everybody.iter().map(|identity| identity.name.as_str());
        let meant = meant(text, names);
        CliError::usage(
            format!("`{}` is nobody here", quoted(text)),
            format!("use {form}, or a name; {meant}"),
        )
    }

    /// What a realm is called.
    pub(crate) fn called(&self, party: &str) -> String {
        let known = self
            .everybody
            .iter()
            .find(|identity| identity.party() == party);
        known.map_or_else(|| party.to_owned(), |identity| identity.title.clone())
    }
}

/// A new request id.
pub(crate) fn request_id() -> Vec<u8> {
    use rules::clock::Random as _;
    let mut octets = vec![0; 16];
    vault::chance::SystemChance::new().fill(&mut octets);
    octets
}
