//! One call for each thing that a partner does with a gateway.
//!
//! Each call verifies everything that comes back before any of it is used or kept. Must never send a
//! citizen service number, a person key or a field in clear, and never go on with an unverified answer.

mod consent;
mod draft;
mod enrol;
mod inbox;
mod officer;
mod portal;
mod proof;
mod recipient;
mod report;
mod sender;

pub use consent::{RegisteredConsent, StandingConsent, open_statement};
pub use draft::{Draft, Values, WaitingDraft};
pub use enrol::{ENROL_BATCH_MAX, Enrolled};
pub use inbox::{Inbox, InboxEvent, Watch};
pub use officer::PolicyFile;
pub use portal::{EncryptedPerson, FeedLine, PortalCopy, PortalPseudonyms};
pub use proof::Proof;
pub(crate) use proof::Standing;
pub use recipient::{Fetched, Summary};
pub use report::Report;
pub use sender::Preparation;

use crate::connection::{Connection, stub, with_deadline};
use crate::directory::{DirectoryCopy, DirectoryError, Lasting, listed, verify_aside};
use crate::error::{ClientError, ProtocolError, from_status};
use crate::identity::{Identity, Trust};
use crate::mutation::{Mutation, resume};
use crate::outbox::{Beside, Outbox, Resumed};
use crate::receipt::Settled;
use crate::retry::RetryPolicy;
use crate::store::{DIRECTORY_KEY, DirectoryRow, OutboxRow, Store, Table, put};
use rules::clock::{Clock, Random, Timestamp};
use rules::directory::join;
use rules::id::{HandoverId, Label, Party, RequestId};
use rules::pseudonym::{Context, Domain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use vault::digest::sha256;
use vault::pseudonym::ContextKey;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::directory::v1::{
    GetDirectoryRequest, GetStatusRequest, GetStatusResponse, WhoAmIRequest, WhoAmIResponse,
};
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::handover::v1::{GetHandoverRequest, GetHandoverResponse, NoticeView};

/// Age at which the copy of the directory is asked after, in milliseconds: a new desk or key is known
/// here this much later at most.
const DIRECTORY_AGE_MILLIS_MAX: i64 = 15 * rules::limits::MINUTE_MILLIS;

/// The copy of the directory in force here.
#[derive(Clone)]
struct AtHand {
    copy: Arc<DirectoryCopy>,
    /// When the gateway last had no newer one; none since the start of the process.
    checked: Option<Timestamp>,
}

/// A read-only call, repeated when it fails on the way.
macro_rules! ask {
    ($client:expr, $name:literal, $service:ident . $method:ident, $message:expr) => {{
        let client = $client;
        let message = $message;
        client
            .outbox
            .repeat(|| {
                let mut stub = stub!($service<_>, client.outbox.connection);
                let message = message.clone();
                async move {
                    let answer = stub.$method(with_deadline(message)).await;
                    answer
                        .map(tonic::Response::into_inner)
                        .map_err(|status| from_status($name, &status))
                }
            })
            .await
    }};
}
use ask;

/// A partner's desk at one gateway. Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct Client {
    outbox: Outbox,
    trust: Arc<Trust>,
    directory: Arc<RwLock<Option<AtHand>>>,
    number_labels: Arc<BTreeSet<Label>>,
    lookalike_labels: Arc<BTreeSet<Label>>,
    replaces: bool,
}

/// What a client is made of.
pub struct ClientParts {
    /// The way to the gateway.
    pub connection: Connection,
    /// The desk and its keys.
    pub identity: Identity,
    /// Whose word counts.
    pub trust: Trust,
    /// The partner's own store.
    pub store: Store,
    /// Where the present moment comes from.
    pub clock: Arc<dyn Clock>,
    /// Where chance for ids and waits comes from.
    pub random: Arc<dyn Random>,
    /// How often and how fast to repeat.
    pub retry: RetryPolicy,
    /// The register's labels of the person's number: under these a citizen service number stands, and nothing else.
    pub number_labels: BTreeSet<Label>,
    /// Labels under which something else may stand that looks like one; this desk answers for it.
    pub lookalike_labels: BTreeSet<Label>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let identity = &self.outbox.identity;
        write!(out, "Client({} desk {})", identity.party, identity.desk)
    }
}

impl Client {
    /// A client of these parts. The directory that the store holds from an earlier run is verified
    /// again; without one, the first call that needs it fetches it.
    ///
    /// # Errors
    ///
    /// When the stored directory does not verify under the configured controllers.
    pub fn new(parts: ClientParts) -> Result<Self, ClientError> {
        let kept = parts
            .store
            .row::<DirectoryRow>(Table::Directory, DIRECTORY_KEY, "directory")?;
        let directory = kept
            .map(|row| {
                let trusted = &parts.trust.controllers;
                DirectoryCopy::verify(row.file, row.signatures, trusted, None)
            })
            .transpose()?
            .map(|copy| AtHand {
                copy: Arc::new(copy),
                checked: None,
            });
        let outbox = Outbox {
            connection: parts.connection,
            identity: Arc::new(parts.identity),
            store: Arc::new(parts.store),
            clock: parts.clock,
            random: parts.random,
            policy: parts.retry,
            under_way: Arc::new(Mutex::new(BTreeSet::new())),
            resending: Arc::default(),
            drafting: Arc::default(),
        };
        Ok(Self {
            outbox,
            trust: Arc::new(parts.trust),
            directory: Arc::new(RwLock::new(directory)),
            number_labels: Arc::new(parts.number_labels),
            lookalike_labels: Arc::new(parts.lookalike_labels),
            replaces: false,
        })
    }

    /// The same client with other habits of repeating; everything else is shared.
    #[must_use]
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        let mut client = self.clone();
        client.outbox.policy = retry;
        client
    }

    /// The same client, for which a person key that stands for somebody may come to stand for another.
    #[must_use]
    pub fn replacing(&self) -> Self {
        let mut client = self.clone();
        client.replaces = true;
        client
    }

    /// The partner's own store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.outbox.store
    }

    /// The connection, for `connect_check`.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.outbox.connection
    }

    /// The desk's organisation and realm.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.outbox.identity.party
    }

    /// Who the gateway says that we are.
    ///
    /// # Errors
    ///
    /// A refusal at the door, or a fault on the way.
    pub async fn whoami(&self) -> Result<WhoAmIResponse, ClientError> {
        ask!(
            self,
            "WhoAmI",
            DirectoryServiceClient.who_am_i,
            WhoAmIRequest {}
        )
    }

    /// What the gateway is and on what it rests.
    ///
    /// # Errors
    ///
    /// A refusal at the door, or a fault on the way.
    pub async fn status(&self) -> Result<GetStatusResponse, ClientError> {
        ask!(
            self,
            "GetStatus",
            DirectoryServiceClient.get_status,
            GetStatusRequest {}
        )
    }

    /// A handover as it stands, with all its notices. From here on the partner decides on this revision.
    ///
    /// # Errors
    ///
    /// `NOT_AVAILABLE` when there is none for us, or a fault.
    pub async fn show(&self, handover: &HandoverId) -> Result<GetHandoverResponse, ClientError> {
        let mut notices: Vec<NoticeView> = Vec::new();
        let mut shown = loop {
            let message = GetHandoverRequest {
                handover_id: handover.bytes().to_vec(),
                notices_after: notices
                    .last()
                    .map(|notice| notice.notice_id.clone())
                    .unwrap_or_default(),
            };
            let mut page = ask!(
                self,
                "GetHandover",
                HandoverServiceClient.get_handover,
                message
            )?;
            let is_last = page.notices.is_empty() || !page.more_notices;
            notices.append(&mut page.notices);
            if is_last {
                break page;
            }
        };
        shown.notices = notices;
        if let Some(view) = &shown.handover {
            let change = crate::mutation::revision_change(handover, view.revision);
            self.outbox.commit(vec![change]).await?;
        }
        Ok(shown)
    }

    /// The verified directory: the copy at hand, asked after every fifteen minutes. When the gateway does
    /// not answer, the copy at hand stays in force.
    ///
    /// # Errors
    ///
    /// A fault on the way when there is no copy yet, or a directory that does not verify.
    pub async fn directory(&self) -> Result<Arc<DirectoryCopy>, ClientError> {
        let Some(at_hand) = self.directory_at_hand() else {
            return self.refresh_directory().await;
        };
        let now = self.outbox.clock.now();
        let is_fresh = at_hand
            .checked
            .is_some_and(|checked| now.millis_since(checked) < DIRECTORY_AGE_MILLIS_MAX);
        if is_fresh {
            return Ok(at_hand.copy);
        }
        match self.refresh_directory().await {
            Err(error) if error.is_repeatable() => Ok(at_hand.copy),
            refreshed => refreshed,
        }
    }

    /// The directory for what shares or converts something: one past its end is asked after at once, and will not do.
    pub(crate) async fn directory_not_ended(&self) -> Result<Lasting, ClientError> {
        let copy = self.directory().await?;
        match Lasting::at(copy, self.outbox.clock.now()) {
            Ok(lasting) => Ok(lasting),
            Err(_) => self.newest_not_ended().await,
        }
    }

    /// The same, asked after in any case.
    pub(crate) async fn newest_not_ended(&self) -> Result<Lasting, ClientError> {
        let copy = self.refresh_directory().await?;
        Ok(Lasting::at(copy, self.outbox.clock.now())?)
    }

    /// Asks for a newer directory, verifies it, keeps it and puts it in force here.
    ///
    /// # Errors
    ///
    /// A fault on the way, or a directory that does not verify or is older than ours.
    pub async fn refresh_directory(&self) -> Result<Arc<DirectoryCopy>, ClientError> {
        let present = self.directory_at_hand().map(|at_hand| at_hand.copy);
        let known = present
            .as_ref()
            .map_or(0, |copy| copy.directory().version());
        let message = GetDirectoryRequest {
            known_version: i64::try_from(known).unwrap_or(i64::MAX),
            part_sha256: Vec::new(),
        };
        let answer = ask!(
            self,
            "GetDirectory",
            DirectoryServiceClient.get_directory,
            message
        )?;
        let offered = u64::try_from(answer.version).unwrap_or(0);
        if let Some(present) = &present {
            if offered < known {
                return Err(DirectoryError::VersionLower {
                    present: known,
                    offered,
                }
                .into());
            }
            if offered == known {
                return Ok(self.put_in_force(Arc::clone(present)));
            }
        }
        let parts = present.as_deref();
        let file = self.with_parts(answer.directory_toml, parts).await?;
        let trusted = self.trust.controllers.clone();
        let copy = verify_aside(file, answer.signatures, trusted, present).await?;
        let row = DirectoryRow {
            file: copy.file().to_vec(),
            signatures: copy.signatures().to_vec(),
        };
        let change = put(Table::Directory, DIRECTORY_KEY, &row);
        self.outbox.commit(vec![change]).await?;
        Ok(self.put_in_force(Arc::new(copy)))
    }

    /// One file from a head: the parts that stand in `present` are taken from there, the others are asked for.
    async fn with_parts(
        &self,
        head: Vec<u8>,
        present: Option<&DirectoryCopy>,
    ) -> Result<Vec<u8>, ClientError> {
        let listed = listed(&head)?;
        let here = |(digest, _): &([u8; 32], usize)| {
            let part = present.and_then(|copy| copy.part(digest))?;
            Some((*digest, part.to_vec()))
        };
        let mut parts: BTreeMap<[u8; 32], Vec<u8>> = listed.iter().filter_map(here).collect();
        loop {
            let missing = listed.iter().filter(|(one, _)| !parts.contains_key(one));
            let wanted: Vec<_> = missing.map(|(digest, _)| digest.to_vec()).collect();
            if wanted.is_empty() {
                let parts = listed.iter().filter_map(|(digest, _)| parts.get(digest));
                return Ok(join(&head, parts.map(Vec::as_slice)));
            }
            let message = GetDirectoryRequest {
                known_version: 0,
                part_sha256: wanted,
            };
            let answer = ask!(
                self,
                "GetDirectory",
                DirectoryServiceClient.get_directory,
                message
            )?;
            let before = parts.len();
            let sent = answer.parts.into_iter();
            let sent = sent.map(|part| ((sha256(&part), part.len()), part));
            let sent = sent.filter(|(named, _)| listed.contains(named));
            parts.extend(sent.map(|((digest, _), part)| (digest, part)));
            if parts.len() == before {
                let what = "lacks a part that its head lists; ask again";
                return Err(ProtocolError::new("directory", what).into());
            }
        }
    }

    /// Finishes what was left in the outbox by a fault or a crash, oldest first, and offers what was typed for those
    /// that were only prepared. Requests that another
    /// task is sending at this moment are left to it.
    ///
    /// # Errors
    ///
    /// When the directory or the store cannot be had; what becomes of each request is in its
    /// [`Resumed`].
    pub async fn resume(&self) -> Result<Vec<Resumed>, ClientError> {
        let waiting = self.store().waiting();
        if waiting.is_empty() {
            return self.resume_drafts().await;
        }
        let directory = self.directory().await?;
        let mut resumed = Vec::new();
        for request in waiting {
            let Some(mark) = self.outbox.mark(request) else {
                continue;
            };
            let row = self
                .store()
                .row::<OutboxRow>(Table::Outbox, request.bytes(), "outbox")?;
            // It may have been settled since the list was made.
            if let Some(row) = row {
                resumed.push(resume(&self.outbox, request, &row, &directory).await);
            }
            drop(mark);
        }
        // What was only prepared is offered now.
        resumed.extend(self.resume_drafts().await?);
        Ok(resumed)
    }

    async fn run<M: Mutation>(&self, message: M) -> Result<Settled, ClientError> {
        self.run_beside(message, Beside::default()).await
    }

    async fn run_beside<M: Mutation>(
        &self,
        message: M,
        beside: Beside,
    ) -> Result<Settled, ClientError> {
        if message.encoded_len() > rules::limits::MESSAGE_BYTES_MAX {
            return Err(ClientError::Input {
                what: "the message is larger than 1 MiB",
                remedy: "send fewer or smaller fields",
            });
        }
        let directory = self.directory().await?;
        let request = RequestId::draw(&*self.outbox.clock, &*self.outbox.random);
        self.outbox.run(request, message, beside, &directory).await
    }

    /// The same for what whoever asks keeps until its answer.
    async fn run_kept<M: Mutation>(
        &self,
        request: &RequestId,
        message: M,
    ) -> Result<Settled, ClientError> {
        let directory = self.directory().await?;
        self.outbox.run_kept(request, message, &directory).await
    }

    /// The same client, which makes one attempt at each call: for whoever repeats by other means.
    #[must_use]
    pub fn once(&self) -> Self {
        let mut once = self.clone();
        once.outbox.policy = RetryPolicy::ONCE;
        once
    }

    /// A handover's revision as this store last saw it; none when it never did.
    #[must_use]
    pub fn kept_revision(&self, handover: &HandoverId) -> Option<i64> {
        let kept = self.store().octets(Table::Revision, handover.bytes())?;
        Some(i64::from_be_bytes(kept.try_into().ok()?))
    }

    /// The revision on which the partner decides: the last that it was shown; asked for when it was
    /// never shown any.
    async fn revision(&self, handover: &HandoverId) -> Result<i64, ClientError> {
        if let Some(kept) = self.kept_revision(handover) {
            return Ok(kept);
        }
        let shown = self.show(handover).await?;
        Ok(shown.handover.map_or(0, |view| view.revision))
    }

    /// The realm's own domain in its present epoch.
    fn own_domain(&self, directory: &DirectoryCopy) -> Result<Domain, ClientError> {
        let party = self.party();
        let realm = directory.directory().realm(party).ok_or(NOT_IN_DIRECTORY)?;
        Ok(Domain::Partner {
            party: party.clone(),
            epoch: realm.epoch,
        })
    }

    /// The realm's present context and its key.
    fn own_context(&self, directory: &DirectoryCopy) -> Result<(Context, ContextKey), ClientError> {
        let context = directory.context(self.party()).ok_or(NOT_IN_DIRECTORY)?;
        let key = self
            .store()
            .context_key(&context)?
            .ok_or(ClientError::Input {
                what: "the realm's present context has not been opened here",
                remedy: "call open_context once from a desk with the right `represent`",
            })?;
        Ok((context, key))
    }

    fn directory_at_hand(&self) -> Option<AtHand> {
        self.directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn put_in_force(&self, copy: Arc<DirectoryCopy>) -> Arc<DirectoryCopy> {
        let at_hand = AtHand {
            copy: Arc::clone(&copy),
            checked: Some(self.outbox.clock.now()),
        };
        *self
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(at_hand);
        copy
    }
}

const NOT_IN_DIRECTORY: ClientError = ClientError::Input {
    what: "this desk's realm is not in the directory",
    remedy: "check organisation and realm in the configuration, or call refresh_directory",
};

/// The label of another realm's present context, for an order.
fn context_label(directory: &DirectoryCopy, party: &Party) -> Result<String, ClientError> {
    directory
        .context(party)
        .map(|context| context.to_string())
        .ok_or(ClientError::Input {
            what: "the other realm is not in the directory",
            remedy: "check the recipient, or call refresh_directory",
        })
}
