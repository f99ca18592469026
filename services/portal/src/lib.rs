//! The portal (burgerportaal): a person who logged in sees everything that happened with their data, and
//! can give, narrow and stop consent, object, and block an organisation.
//!
//! Nobody can read a person's lines without that person's login, this program included; but for what the key holders
//! convert for it, to find what a block or a no stops that it could not finish. What a person asked for and
//! the broker has not answered lies sealed to the portal until it has. Must never keep a number, nor a pseudonym or an
//! organisation in clear, and must never answer what it could not keep.

mod block;
mod broker;
mod choice;
mod copy;
mod delivery;
mod errand;
mod error;
mod feed;
mod find;
mod ledger;
mod line;
mod overview;
mod page;
mod person;
mod refuse;
mod rows;
mod sentence;
mod session;
#[cfg(test)]
mod tests;

pub use block::{BlockView, Blocking};
pub use broker::{Asking, Boxed, Broker, CopyAtBroker, Standing};
pub use errand::{ENCRYPTED_PERSON_BYTES, Need};
pub use error::PortalError;
pub use feed::FEED_LINES;
pub use overview::{Overview, OverviewLine, Remedy, StillToDo};
pub use page::Pages;
pub use person::{Given, Objected, Stopped};
pub use session::{SESSION_MILLIS, SESSIONS_MAX, TOKEN_BYTES};

use papers::feed::Told;
use rules::clock::{Clock, Random, Timestamp};
use rules::consent::{AuthenticationLevel, ConsentState, StopCode};
use rules::directory::Directory;
use rules::feed::FeedKind;
use rules::id::{DeskName, Oin};
use rules::limits::{DAY_MILLIS, PORTAL_LINE_DAYS};
use rules::reason::{Outcome, Reason, Refusal};
use rules::register::Register;
use session::{Known, Session, Sessions};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use store::Database;
use vault::digest::sha256;
use vault::person::PersonKeys;
use vault::pseudonym::Bsn;
use vault::rest::{Crypter, IndexKey};

/// What the test identity begins with.
const TEST_ASSERTION: &str = "test:";
/// What every test number begins with.
const TEST_NUMBERS: &str = "9999";

/// Whose word on who somebody is the portal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identities {
    /// Test persons, by their number: in a sandbox.
    Test,
    /// Nobody's: there is no identity provider.
    Nobody,
}

impl Identities {
    /// The number of the person whom an assertion is about, if it is accepted.
    fn person(self, assertion: &str) -> Option<Bsn> {
        match self {
            Self::Test => assertion
                .strip_prefix(TEST_ASSERTION)
                .filter(|digits| digits.len() == 9 && digits.starts_with(TEST_NUMBERS))?
                .parse()
                .ok(),
            Self::Nobody => None,
        }
    }

    const fn level(self) -> AuthenticationLevel {
        match self {
            Self::Test | Self::Nobody => AuthenticationLevel::Test,
        }
    }
}

/// What a portal is assembled from.
pub struct Parts {
    /// Its own desk, which writes statements.
    pub desk: (Oin, DeskName),
    /// Whose word on who somebody is it takes.
    pub identities: Identities,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Its own database.
    pub database: Database,
    /// Makes indexes and tags.
    pub index: IndexKey,
    /// Seals what waits for the broker's answer, and copies at the broker.
    pub crypter: Crypter,
    /// How many copies that do not open it may go on without, when it was put back from a backup.
    pub without_copies: usize,
    /// The purpose register, of the policy set that the controllers signed.
    pub register: Register,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// Chance for ids and codes.
    pub random: Arc<dyn Random>,
}

/// A portal. Cheap to clone.
#[derive(Clone)]
pub struct Portal(Arc<Inner>);

struct Inner {
    desk: (Oin, DeskName),
    identities: Identities,
    broker: Arc<dyn Broker>,
    database: Database,
    index: IndexKey,
    crypter: Crypter,
    without_copies: usize,
    register: Register,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    sessions: Sessions,
    feed_turn: tokio::sync::Mutex<()>,
    stop_turn: tokio::sync::Mutex<()>,
    refusal_turn: tokio::sync::Mutex<()>,
    copy_turn: tokio::sync::Mutex<()>,
    copies_wait: tokio::sync::Notify,
    /// Errands and copies of which somebody was told that nothing can be done with them.
    named: Mutex<BTreeSet<[u8; 16]>>,
    /// When the holders gave keys for an errand that is not done yet.
    keys_given: Mutex<BTreeMap<[u8; 16], Instant>>,
    /// How often the broker did not know what an errand stops, by its request.
    unknown: Mutex<BTreeMap<[u8; 16], i64>>,
    is_shut: AtomicBool,
}

impl fmt::Debug for Portal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Portal({})", self.0.desk.0)
    }
}

/// Somebody is logged in.
pub struct LoggedIn {
    /// Shown with every later call.
    pub token: [u8; TOKEN_BYTES],
    /// Until when.
    pub until: Timestamp,
}

/// Why a call ends early: with a refusal, which is an answer, or with a fault.
enum Halt {
    Refused(Refusal),
    Fault(PortalError),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Reason> for Halt {
    fn from(reason: Reason) -> Self {
        Self::Refused(Refusal::new(reason))
    }
}

impl From<PortalError> for Halt {
    fn from(error: PortalError) -> Self {
        Self::Fault(error)
    }
}

/// What a permitted answer says; a refusal ends the call.
fn permitted<T>(outcome: Outcome<T>) -> Result<T, Halt> {
    match outcome {
        Outcome::Permitted(value) => Ok(value),
        Outcome::Refused(refusal) => Err(Halt::Refused(refusal)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settle<T>(result: Result<T, Halt>) -> Result<Outcome<T>, PortalError> {
    match result {
        Ok(value) => Ok(Outcome::Permitted(value)),
        Err(Halt::Refused(refusal)) => Ok(Outcome::Refused(refusal)),
        Err(Halt::Fault(error)) => Err(error),
    }
}

impl Portal {
    /// A portal of these parts. After a restoration it is shut until [`Portal::reconcile`] has brought back what lies
    /// at the broker.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn new(parts: Parts) -> Result<Self, PortalError> {
        let portal = Self(Arc::new(Inner {
            desk: parts.desk,
            identities: parts.identities,
            broker: parts.broker,
            database: parts.database,
            index: parts.index,
            crypter: parts.crypter,
            without_copies: parts.without_copies,
            register: parts.register,
            clock: parts.clock,
            random: parts.random,
            sessions: Sessions::default(),
            feed_turn: tokio::sync::Mutex::default(),
            stop_turn: tokio::sync::Mutex::default(),
            refusal_turn: tokio::sync::Mutex::default(),
            copy_turn: tokio::sync::Mutex::default(),
            copies_wait: tokio::sync::Notify::new(),
            named: Mutex::default(),
            keys_given: Mutex::default(),
            unknown: Mutex::default(),
            is_shut: AtomicBool::new(true),
        }));
        portal.look_at_door().await?;
        Ok(portal)
    }

    /// Begins a session for a person who has proven who they are.
    ///
    /// Refuses with `LOGIN_REFUSED` and with the reasons of the key holders.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn login(&self, assertion: &str) -> Result<Outcome<LoggedIn>, PortalError> {
        settle(self.begin(assertion).await)
    }

    async fn begin(&self, assertion: &str) -> Result<LoggedIn, Halt> {
        let person = self.0.identities.person(assertion);
        let bsn = person.ok_or(Reason::LoginRefused)?;
        let pseudonyms = feed::ask(self.broker().login(&bsn)).await?;
        let known: Vec<Known> = pseudonyms
            .iter()
            .map(|pseudonym| {
                let keys = PersonKeys::derive(pseudonym);
                let index = self.person_index(&keys);
                Known { keys, index }
            })
            .collect();
        if known.is_empty() {
            return Err(PortalError::Broker("no pseudonym came back".to_owned()).into());
        }
        let now = self.now();
        let session = Session::new(bsn, known, now);
        let until = session.until();
        let begun = self.0.sessions.begin(session, self.random(), now);
        let token = begun.ok_or(Reason::LoginRefused)?;
        Ok(LoggedIn { token, until })
    }

    /// Stops a consent by the code on its statement; needs no session. `source` is where it was typed in,
    /// for counting wrong codes: its digest goes on, and nothing else. Answers how many open handovers
    /// ended.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn stop_by_code(
        &self,
        code: &StopCode,
        source: &str,
    ) -> Result<Outcome<u32>, PortalError> {
        let digest = self.0.index.index("code-source", source.as_bytes());
        self.broker().withdraw_by_code(code, sha256(&digest)).await
    }

    /// Ends sessions whose time is over, so that numbers and keys are wiped when nobody calls.
    pub fn end_old_sessions(&self) {
        self.0.sessions.end_old(self.now());
    }

    /// Erases lines older than [`PORTAL_LINE_DAYS`], and ends copies that have lain at the broker long enough; gives
    /// how many lines.
    ///
    /// # Errors
    /// When the database is away; what was erased before it stays erased.
    pub async fn erase_old_lines(&self) -> Result<u64, PortalError> {
        let before = self
            .now()
            .plus_millis(-PORTAL_LINE_DAYS.saturating_mul(DAY_MILLIS));
        let mut erased = 0_u64;
        loop {
            let lines = self.database().write(&rows::EraseOld { before }).await?;
            erased = erased.saturating_add(lines);
            if lines == 0 {
                break;
            }
        }
        if !self.is_shut() {
            self.end_old_copies().await?;
        }
        self.database().empty_journal().await?;
        Ok(erased)
    }

    /// That the database takes changes at this moment.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check_database(&self) -> Result<(), store::Error> {
        self.0.database.check().await
    }

    /// Closes the database after the running calls.
    pub async fn close_database(&self) {
        self.0.database.close().await;
    }

    fn session(&self, token: &[u8]) -> Result<Arc<Session>, Halt> {
        let found = self.0.sessions.find(token, self.now());
        Ok(found.ok_or(Reason::LoginRefused)?)
    }

    /// By what a person's rows are found: an HMAC of a value that only that person's login gives.
    fn person_index(&self, keys: &PersonKeys) -> [u8; 32] {
        self.0.index.index("person", keys.index_value().expose())
    }

    /// By what an exchange is found: a keyed hash, because its id is known to both partners and would tell
    /// them, from the portal's files, which other exchanges the same person has.
    fn exchange_index(&self, id: &[u8; 16]) -> [u8; 32] {
        self.0.index.index("exchange", id)
    }

    /// The same of a consent record. Its id may be a desk's choice, and all others are drawn by the broker: so it lies
    /// apart, and no desk can have it meet another person's exchange.
    fn consent_index(&self, id: &[u8; 16]) -> [u8; 32] {
        self.0.index.index("exchange of a consent", id)
    }

    /// By what the exchange of a line of the feed is found.
    fn told_index(&self, told: &Told) -> [u8; 32] {
        let is_record = match told.kind {
            FeedKind::ConsentAssisted => true,
            // A question lapses, a record does not.
            FeedKind::Consent => told.code != ConsentState::Lapsed.code(),
            FeedKind::Prepared
            | FeedKind::AttemptRefused
            | FeedKind::State
            | FeedKind::Opened
            | FeedKind::StepRefused
            | FeedKind::ConsentAsked
            | FeedKind::Notice
            | FeedKind::NoticeAnswered
            | FeedKind::Objection
            | FeedKind::Folded
            | FeedKind::ReportSent
            | FeedKind::ReportOpened
            | FeedKind::ReportRefused
            | FeedKind::ReportReadRefused
            | FeedKind::ReportNotice
            | FeedKind::ReportNoticeAnswered
            | FeedKind::WrongPerson => false,
        };
        if is_record {
            self.consent_index(&told.exchange)
        } else {
            self.exchange_index(&told.exchange)
        }
    }

    /// Whether an exchange rests on a statute and not on the person's consent.
    fn is_under_statute(&self, told: &Told, directory: &Directory) -> bool {
        let kind = |oin| directory.peer(oin).map(rules::directory::Peer::kind);
        kind(&told.sender.oin)
            .zip(kind(&told.recipient.oin))
            .and_then(|(sender, recipient)| self.0.register.entry(&told.purpose, sender, recipient))
            .is_some_and(|entry| !entry.needs_consent())
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    fn random(&self) -> &dyn Random {
        self.0.random.as_ref()
    }

    fn database(&self) -> &Database {
        &self.0.database
    }
}
