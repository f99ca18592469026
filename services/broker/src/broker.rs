//! The broker itself: what every command shares, put together once at start-up.
//!
//! Must never hold a truth of its own: what is in force is read again in every transaction, and these
//! copies only save parsing it.

use crate::Error;
use crate::call::Caller;
use crate::record::Written;
use papers::controllers::Controller;
use papers::directory::Waiting;
use papers::paper::{ContextRequest, ContextWalk, Signed, SignedPaper};
use papers::promise::Promise;
use rules::calendar::Calendar;
use rules::clock::{Clock, Random, Timestamp};
use rules::directory::Directory;
use rules::id::{DeskName, Oin, Party, Purpose, Tag};
use rules::limits::{LINES_PER_DAY, OPEN_HANDOVERS_MAX, QUESTIONS_MAX};
use rules::policy::PolicyBundle;
use rules::pseudonym::{Context, Order};
use rules::reason::Outcome;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use store::{Database, Queue};
use tokio::sync::Notify;
use vault::pseudonym::ContextKey;
use vault::rest::{Crypter, DayKeys, IndexKey, Place};
use vault::sign::SigningKey;

/// A future that may move between threads.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One conversion to be asked of the key holders.
#[derive(Debug)]
pub struct ConversionRequest {
    /// The order, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed: SignedPaper,
    /// The source ciphertext.
    pub ciphertext: [u8; 64],
    /// HANDOVER only: every holder's voucher of the PREPARE, in walking order.
    pub parents: Vec<SignedPaper>,
}

/// A finished conversion, checked: vouchers chained, final keys as registered.
#[derive(Clone, Debug)]
pub struct Converted {
    /// One ciphertext for each target.
    pub ciphertexts: Vec<[u8; 64]>,
    /// Every holder's voucher, in walking order.
    pub vouchers: Vec<SignedPaper>,
}

/// The key holders, as the broker reaches them. Implemented over mTLS by `gateway`.
pub trait KeyHolders: Send + Sync {
    /// Carries orders along all holders, in order. One answer for each request.
    ///
    /// # Errors
    /// [`Error::HolderUnavailable`] when a holder cannot be reached; nothing may be used then.
    fn convert(
        &self,
        requests: Vec<ConversionRequest>,
    ) -> Boxed<'_, Result<Vec<Outcome<Converted>>, Error>>;

    /// Whether the owner of a context has opened it: until then nobody can convert anything for it.
    ///
    /// # Errors
    /// When that cannot be looked up.
    fn is_open<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<bool, Error>>;

    /// Carries an owner's request to open a context along all holders.
    ///
    /// # Errors
    /// As [`KeyHolders::convert`].
    fn open_context(
        &self,
        request: Signed<ContextRequest>,
    ) -> Boxed<'_, Result<Outcome<ContextWalk>, Error>>;
}

/// The broker's keys. They live as long as the process.
pub struct Keys {
    /// Tags and indexes.
    pub index: IndexKey,
    /// Seals rows.
    pub rest: Crypter,
    /// Wrap data keys, one for each day; replaced when a day begins.
    pub days: RwLock<DayKeys>,
    /// Signs promises.
    pub promise: SigningKey,
    /// Opens handles.
    pub context: ContextKey,
    /// The context that `context` belongs to.
    pub context_label: Context,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keys(..)")
    }
}

impl Keys {
    /// Seals a value into its place.
    ///
    /// # Errors
    /// When the cipher fails, which means a key file that is wrong.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Error> {
        self.rest
            .seal(place, plain)
            .map_err(|_| Error::Vault("sealing a row"))
    }

    /// Opens a value from its place.
    ///
    /// # Errors
    /// When it was sealed elsewhere, under another key, or changed since.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = self
            .rest
            .open(place, sealed)
            .map_err(|_| Error::Vault("opening a row"))?;
        Ok(opened.expose().clone())
    }

    /// The key for tags in the entries of a year, so that a year can be made unsearchable.
    #[must_use]
    pub fn year(&self, year: i64) -> IndexKey {
        self.index.for_year(i32::try_from(year).unwrap_or(i32::MAX))
    }

    /// A tag in the entries of a year.
    #[must_use]
    pub fn entry_tag(&self, year: i64, kind: &str, value: &[u8]) -> Tag {
        Tag::new(self.year(year).tag(kind, value))
    }

    /// The day keys.
    pub fn days(&self) -> RwLockReadGuard<'_, DayKeys> {
        self.days.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts other day keys in use: a day began, or one grew too old.
    pub fn replace_days(&self, days: DayKeys) {
        *self.days.write().unwrap_or_else(PoisonError::into_inner) = days;
    }

    /// Tag of a party in handover rows and inboxes.
    #[must_use]
    pub fn party_tag(&self, party: &Party) -> Tag {
        self.tag("party", party.to_string().as_bytes())
    }

    /// Tag of a caller's desk, under which its request ids count.
    #[must_use]
    pub fn caller_tag(&self, caller: &Caller) -> Tag {
        self.desk_tag(&caller.party.oin, &caller.desk)
    }

    /// The same of a desk in the directory.
    #[must_use]
    pub fn desk_tag(&self, oin: &Oin, desk: &DeskName) -> Tag {
        self.tag("caller", format!("{oin}/{desk}").as_bytes())
    }

    /// Tag of an organisation: of its queue for a turn at the database, and of what it had stopped and cannot be read.
    #[must_use]
    pub fn organisation_tag(&self, oin: &Oin) -> Tag {
        self.tag("organisation", oin.as_str().as_bytes())
    }

    /// The queue in which a caller's organisation waits for its turn at the database.
    #[must_use]
    pub fn queue(&self, caller: &Caller) -> Queue {
        Queue::Of(self.organisation_tag(&caller.party.oin))
    }

    /// Tag of a purpose in handover rows.
    #[must_use]
    pub fn purpose_tag(&self, purpose: &Purpose) -> Tag {
        self.tag("purpose", purpose.as_str().as_bytes())
    }

    /// A tag of some other kind.
    #[must_use]
    pub fn tag(&self, kind: &str, value: &[u8]) -> Tag {
        Tag::new(self.index.tag(kind, value))
    }

    /// The promise that a written entry will be in the log.
    #[must_use]
    pub fn promise(&self, entry: &Written) -> Promise {
        Promise::sign(entry.entry_id, entry.leaf_sha256, entry.time, &self.promise)
    }
}

/// The directory and the policy set under which everything is decided.
#[derive(Debug)]
pub struct InForce {
    /// The directory.
    pub directory: Directory,
    /// The directory file as signed, for those who fetch it.
    pub directory_file: store::directory::SignedFile,
    /// The policy set.
    pub policy: PolicyBundle,
    /// Working days, with the register's holidays.
    pub calendar: Calendar,
}

impl InForce {
    /// The directory's version, as stored.
    #[must_use]
    pub fn directory_version(&self) -> i64 {
        i64::try_from(self.directory.version()).unwrap_or(i64::MAX)
    }
}

/// What the operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open handovers of one person in one relation.
    pub open_handovers: u32,
    /// Questions for consent to one person in one relation.
    pub questions: u32,
    /// Lines that one sender may cause to one person in one relation on one day.
    pub lines_per_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_handovers: OPEN_HANDOVERS_MAX,
            questions: QUESTIONS_MAX,
            lines_per_day: LINES_PER_DAY,
        }
    }
}

/// What a broker is made of.
pub struct Settings {
    /// The broker's database.
    pub database: Database,
    /// The broker's keys.
    pub keys: Keys,
    /// The way to the key holders.
    pub holders: Arc<dyn KeyHolders>,
    /// Where the present moment comes from.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub random: Arc<dyn Random>,
    /// All controllers.
    pub controllers: Vec<Controller>,
    /// The operator's own organisation, for entries of the broker's own work.
    pub operator: Caller,
    /// Number of distinct operators among the key holders.
    pub trust_level: u32,
    /// What the operator may set.
    pub limits: Limits,
}

/// Where every request is served.
pub struct Broker {
    settings: Settings,
    in_force: RwLock<Arc<InForce>>,
    watched: Mutex<HashMap<Tag, Weak<Notify>>>,
    /// Rows with a fault that the process's log has named.
    faulty: Mutex<BTreeSet<String>>,
    /// What came of a directory whose parts are not all here.
    waiting: Waiting,
}

/// Rows with a fault that are remembered; beyond that, further ones are named each time.
const FAULTY_ROWS_MAX: usize = 1_000;

impl std::fmt::Debug for Broker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Broker(..)")
    }
}

impl Broker {
    /// A broker with what is in force now.
    #[must_use]
    pub fn new(settings: Settings, in_force: InForce) -> Self {
        Self {
            settings,
            in_force: RwLock::new(Arc::new(in_force)),
            watched: Mutex::default(),
            faulty: Mutex::default(),
            waiting: Waiting::default(),
        }
    }

    pub(crate) const fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The broker's database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.settings.database
    }

    /// The broker's keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.settings.keys
    }

    /// The way to the key holders.
    #[must_use]
    pub fn holders(&self) -> &dyn KeyHolders {
        self.settings.holders.as_ref()
    }

    /// The controllers.
    #[must_use]
    pub fn controllers(&self) -> &[Controller] {
        &self.settings.controllers
    }

    /// The operator, as caller of the broker's own work.
    #[must_use]
    pub fn operator(&self) -> &Caller {
        &self.settings.operator
    }

    /// Number of distinct operators among the key holders.
    #[must_use]
    pub fn trust_level(&self) -> u32 {
        self.settings.trust_level
    }

    /// What the operator may set.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.settings.limits
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.settings.clock.as_ref()
    }

    /// Chance.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        self.settings.random.as_ref()
    }

    /// What is in force, as last loaded.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a fault of this row is new to this process: a row is named in its log once, not each second.
    pub(crate) fn is_first_fault_of(&self, row: &str) -> bool {
        let mut faulty = self.faulty.lock().unwrap_or_else(PoisonError::into_inner);
        faulty.len() >= FAULTY_ROWS_MAX || faulty.insert(row.to_owned())
    }

    /// Takes a newly loaded set into use.
    pub(crate) fn replace_in_force(&self, in_force: InForce) {
        *self
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
    }

    /// What is notified when something may have come into the inbox of this party. A hint only: whoever watches also
    /// polls.
    #[must_use]
    pub fn watch(&self, party: &Party) -> Arc<Notify> {
        let party = self.keys().party_tag(party);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = watched.get(&party).and_then(Weak::upgrade) {
            return notify;
        }
        watched.retain(|_, notify| notify.strong_count() > 0);
        let notify = Arc::new(Notify::new());
        watched.insert(party, Arc::downgrade(&notify));
        notify
    }

    /// Tells those who watch the inbox of this party that something came into it.
    pub(crate) fn wake(&self, party: Tag) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = watched.get(&party).and_then(Weak::upgrade) {
            notify.notify_waiters();
        }
    }
}
