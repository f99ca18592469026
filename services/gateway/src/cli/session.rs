//! One identity at work: its settings, its client, and the small things that every verb needs.
//!
//! Must never decide for the person who types: it shows what there is.

use super::arguments::Who;
use super::error::CliError;
use super::identity::{Identity, everybody};
use super::near::meant as meant_by;
use super::output::quoted;
use super::short::{self, Kind};
use client::{Client, InboxEvent};
use rules::id::{HandoverId, NoticeId, Party};
use rules::reason::Reason;
use std::path::PathBuf;

/// One identity at work.
pub(crate) struct Session {
    /// Its settings.
    pub(crate) identity: Identity,
    /// Its client, with its own store.
    pub(crate) client: Client,
    /// The folder of the sandbox.
    pub(crate) sandbox: PathBuf,
    everybody: Vec<Identity>,
}

/// The identity that was named.
///
/// # Errors
///
/// When nobody was named, or nobody of that name is there.
pub(crate) fn identity(who: &Who) -> Result<Identity, CliError> {
    let name = who.identity.as_deref().ok_or_else(|| {
        CliError::usage(
            "it is not said as whom",
            "add --as with a name, for example --as uwv",
        )
    })?;
    Identity::load(who.folder(), name)
}

impl Session {
    /// Reads the settings and opens the store; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When settings, files or the store cannot be used.
    pub(crate) fn open(who: &Who) -> Result<Self, CliError> {
        let identity = identity(who)?;
        Ok(Self {
            client: identity.client()?,
            identity,
            sandbox: who.folder().to_owned(),
            everybody: everybody(who.folder()),
        })
    }

    /// The realm that a name or `<OIN>/<realm>` stands for.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub(crate) fn party(&self, text: &str) -> Result<Party, CliError> {
        let meant = self
            .everybody
            .iter()
            .find(|identity| identity.name == text)
            .map_or_else(|| text.to_owned(), Identity::party);
        meant.parse().map_err(|_| {
            CliError::usage(
                format!("`{}` is nobody here", quoted(text)),
                format!(
                    "use <OIN>/<realm>, or a name; {}",
                    meant_by(text, self.names())
                ),
            )
        })
    }

    /// The names of everybody in the sandbox.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.everybody.iter().map(|identity| identity.name.as_str())
    }

    /// The OIN that a name stands for, or the text itself.
    pub(crate) fn oin(&self, text: &str) -> String {
        self.everybody
            .iter()
            .find(|identity| identity.name == text)
            .map_or_else(|| text.to_owned(), |identity| identity.oin.clone())
    }

    /// A realm `<OIN>/<realm>` with its name in this sandbox.
    pub(crate) fn called(&self, party: &str) -> String {
        match self
            .everybody
            .iter()
            .find(|identity| identity.party() == party)
        {
            Some(identity) => format!("{} ({}, {party})", identity.name, identity.title),
            None => party.to_owned(),
        }
    }

    /// The handover that a whole id or some of its digits stand for; digits are looked up in the inbox.
    ///
    /// # Errors
    ///
    /// When none or several are meant.
    pub(crate) async fn handover(&self, text: &str) -> Result<HandoverId, CliError> {
        if let Some(id) = short::whole(text) {
            return Ok(id);
        }
        let events = self.events().await.map_err(|error| match &error {
            CliError::Client(refused) if refused.reason() == Some(Reason::RightMissing) => {
                CliError::usage(
                    "short ids are looked up in the inbox, and this desk has none",
                    "give the whole id, `hnd_` and 32 digits",
                )
            }
            _ => error,
        })?;
        short::find(text, HANDOVER, events.iter().map(|event| event.handover))
    }

    /// The notice that a whole id or some of its digits stand for; digits are looked up in the inbox.
    ///
    /// # Errors
    ///
    /// When none or several are meant.
    pub(crate) async fn notice(&self, text: &str) -> Result<NoticeId, CliError> {
        if let Some(id) = short::whole(text) {
            return Ok(id);
        }
        let events = self.events().await?;
        let notices = events.iter().filter_map(|event| event.notice);
        short::find(text, NOTICE, notices.map(|(id, _)| id))
    }

    /// The same, and looks at it as it stands now, so that the next step rests on its present revision.
    ///
    /// # Errors
    ///
    /// As [`Session::handover`], or as the call.
    pub(crate) async fn present(&self, text: &str) -> Result<HandoverId, CliError> {
        let id = self.handover(text).await?;
        self.client.show(&id).await?;
        Ok(id)
    }

    /// Everything in the inbox, from the beginning.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn events(&self) -> Result<Vec<InboxEvent>, CliError> {
        let mut inbox = self.client.inbox(Some(String::new()));
        let mut events = Vec::new();
        while let Some(event) = inbox.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

/// A handover's id.
pub(crate) const HANDOVER: Kind = Kind {
    what: "handover",
    prefix: HandoverId::PREFIX,
    printed_by: "inbox",
};
/// A notice's id.
const NOTICE: Kind = Kind {
    what: "notice",
    prefix: NoticeId::PREFIX,
    printed_by: "notices",
};
