//! The key holder (sleutelhouder): judges signed orders on its own and makes its hop of a conversion.
//!
//! Knows ciphertexts, labels and counts. Must never learn a person, decide on another party's word, or
//! log more of an order than its id and the reason for a refusal; of too many, whose they were.

mod context;
mod convert;
mod error;
mod lanes;
mod own_directory;
mod quota;
mod refusals;
mod registry;
mod replay;
mod secrets;
#[cfg(test)]
mod tests;
mod time;

pub use context::{Pinned, StepMade};
pub use convert::{ConvertItem, Hop};
pub use error::{HolderError, StartError};
pub use quota::QuotaLimits;

use convert::{Hearing, Judged, Plan, Ready, Tools};
use papers::controllers::{Controller, SignedByAll};
use papers::directory::{Came, Imported, Waiting, verify_directory};
use quota::Quotas;
use refusals::Refusals;
use registry::Registry;
use replay::{Replay, Rooms, Seen};
use rules::clock::{Clock, Steady, Timestamp};
use rules::directory::{Directory, Right};
use rules::id::{DeskName, Oin, OrderId};
use rules::pseudonym::Domain;
use rules::reason::{Outcome, Reason, Refusal};
use secrets::Secrets;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use store::Database;
use time::{Moment, Time};
use vault::holder::HolderKeys;
use vault::rest::Crypter;
use vault::sign::SigningKey;

/// What a holder is assembled from.
pub struct Parts {
    /// Its organisation.
    pub oin: Oin,
    /// Its factors.
    pub keys: HolderKeys,
    /// With what it signs vouchers and steps.
    pub signing: SigningKey,
    /// With what its domain secrets are sealed.
    pub crypter: Crypter,
    /// Its own database.
    pub database: Database,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// What the clock is compared with.
    pub steady: Arc<dyn Steady>,
    /// Whose signatures every directory needs.
    pub controllers: Vec<Controller>,
    /// The commitments of the holders, its own included or added.
    pub pinned: Pinned,
    /// How many orders an organisation may have carried out in a day, and refused in a minute.
    pub quotas: QuotaLimits,
    /// The directory file on the disk; the stored one stands when it has a higher version.
    pub directory: SignedByAll<Vec<u8>>,
}

/// A key holder. Cheap to clone.
#[derive(Clone)]
pub struct Holder(Arc<Inner>);

struct Inner {
    oin: Oin,
    keys: HolderKeys,
    signing: SigningKey,
    time: Time,
    controllers: Vec<Controller>,
    pinned: Pinned,
    directory: RwLock<Current>,
    importing: tokio::sync::Mutex<()>,
    /// What came of a directory whose parts are not all here.
    waiting: Waiting,
    registry: Registry,
    secrets: Secrets,
    quotas: Quotas,
    refusals: Refusals,
    replay: Replay,
    database: Arc<Database>,
}

/// The directory in force: judged by, and as it was signed.
#[derive(Clone)]
struct Current {
    directory: Arc<Directory>,
    signed: Arc<SignedByAll<Vec<u8>>>,
}

impl fmt::Debug for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Holder({})", self.0.oin)
    }
}

impl Holder {
    /// Starts: takes the newest verified directory, reads the contexts and the day's quotas.
    ///
    /// Orders that begin before this moment are refused from now on, as the memory of orders carried out
    /// is new (decision 0014).
    ///
    /// # Errors
    /// When the database fails, no directory can be accepted, or the directory has another key or no
    /// place for this holder.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let now = parts.clock.now();
        let (current, is_new) = chosen(&parts).await?;
        if is_new {
            let version = current.directory.version();
            own_directory::keep(&parts.database, version, &current.signed, now).await?;
        }
        let mut pinned = parts.pinned;
        pinned.insert(parts.oin.clone(), parts.keys.commitment());
        let database = Arc::new(parts.database);
        let clocks = (parts.clock, parts.steady);
        let time = Time::open(clocks, Arc::clone(&database)).await?;
        let registry = Registry::open(Arc::clone(&database)).await?;
        tracing::info!(
            directory = current.directory.version(),
            contexts = registry.len(),
            "the key holder has started"
        );
        Ok(Self(Arc::new(Inner {
            oin: parts.oin,
            keys: parts.keys,
            signing: parts.signing,
            time,
            controllers: parts.controllers,
            pinned,
            directory: RwLock::new(current),
            importing: tokio::sync::Mutex::new(()),
            waiting: Waiting::default(),
            registry,
            secrets: Secrets::new(Arc::clone(&database), parts.crypter),
            quotas: Quotas::new(parts.quotas, Arc::clone(&database)),
            refusals: Refusals::new(parts.quotas.refused),
            replay: Replay::new(Rooms::for_quota(parts.quotas.day())),
            database,
        })))
    }

    /// Looks whether [`Holder::start`] would find directory and keys in order, and changes nothing. Gives the directory
    /// that it would judge by.
    ///
    /// # Errors
    /// As [`Holder::start`].
    pub async fn look(parts: &Parts) -> Result<Arc<Directory>, StartError> {
        Ok(chosen(parts).await?.0.directory)
    }

    /// Judges a batch of orders and makes this holder's hop for each that passes; answers in the order of
    /// the items, each on its own.
    ///
    /// # Errors
    /// When the database fails, or the clock is not gone by. What was carried out is remembered: the same bytes get the
    /// same answer.
    pub async fn convert(
        &self,
        items: Vec<ConvertItem>,
    ) -> Result<Vec<Outcome<Arc<Hop>>>, HolderError> {
        let at = self.0.time.moment()?;
        let (holder, then) = (self.clone(), at.clone());
        let judged = lanes::each(items, move |item| holder.judge(item, &then)).await?;
        let mut ready = Vec::with_capacity(judged.len());
        for one in judged {
            ready.push(match one {
                Ok(Judged::Planned(plan)) => self.prepare(plan, &at).await?,
                Ok(Judged::Answered(hop)) => Ok(Prepared::Answered(hop)),
                Err(reason) => Err(reason),
            });
        }
        let holder = self.clone();
        let made = lanes::each(ready, move |one| match one? {
            Prepared::Ready(ready) => holder.make(&ready, at.now),
            Prepared::Answered(hop) => Ok(hop),
        });
        let answer = |result| match result {
            Ok(hop) => Outcome::Permitted(hop),
            Err(reason) => Outcome::Refused(Refusal::new(reason)),
        };
        Ok(made.await?.into_iter().map(answer).collect())
    }

    /// Judges one order, unless too many of its issuer were refused in this minute.
    fn judge(&self, item: ConvertItem, at: &Moment) -> Result<Judged, Reason> {
        let (id, end) = (item.order.paper().id, item.order.paper().not_after);
        let issuer = item.order.paper().issuer.clone();
        if !self.0.refusals.hears(&issuer, self.0.time.minute()) {
            return Err(Reason::QuotaExceeded);
        }
        let hearing = Hearing {
            oin: &self.0.oin,
            voucher_key: self.0.signing.public(),
            directory: &self.directory(),
            registry: &self.0.registry,
            replay: &self.0.replay,
            at,
        };
        let judged = hearing.judge(item);
        judged.map_err(|reason| self.refuse((id, &issuer, end), reason, at.now))
    }

    /// Counts and logs a refusal. Which organisation an order names is the broker's word where the signature is wrong:
    /// it carries none but the caller's own.
    fn refuse(
        &self,
        (order, issuer, end): (OrderId, &Oin, Timestamp),
        reason: Reason,
        now: Timestamp,
    ) -> Reason {
        tracing::info!(order = %order, reason = reason.code(), "an order was refused");
        // What other holders did, and what this one has no room for, is not the issuer's doing. Nor is it that an order
        // inside its window is from before a restart: whole batches may have been under way.
        let is_theirs = match reason {
            Reason::VoucherInvalid
            | Reason::HolderUnavailable
            | Reason::DirectoryBehind
            | Reason::DirectoryExpired => false,
            Reason::OrderExpired => now > end,
            _ => true,
        };
        if is_theirs && self.directory().peer(issuer).is_some() {
            self.0.refusals.count(issuer, self.0.time.minute());
        }
        reason
    }

    /// What needs the database: the quota, the span of what is carried out and the secrets of the domains. Then the
    /// order is remembered.
    async fn prepare(
        &self,
        plan: Box<Plan>,
        at: &Moment,
    ) -> Result<Result<Prepared, Reason>, HolderError> {
        let order = plan.order.order();
        let named = (order.id, &order.issuer, order.not_after);
        let quota = plan.order.quota();
        if !self.0.quotas.take(&order.issuer, quota, at.now).await? {
            return Ok(Err(self.refuse(named, Reason::QuotaExceeded, at.now)));
        }
        self.0.time.cover(&at.period, order.not_before).await?;
        let source = self.0.secrets.of(&order.source, at.now).await?;
        let mut targets = Vec::with_capacity(order.targets.len());
        for (domain, _) in &order.targets {
            let domain = Domain::from(domain.clone());
            targets.push(self.0.secrets.of(&domain, at.now).await?);
        }
        let window = (order.not_before, order.not_after);
        let replay = &self.0.replay;
        Ok(
            match replay.enter(&plan.key, &plan.order_sha256, window, at) {
                Ok(Seen::Fresh) => Ok(Prepared::Ready(Ready {
                    plan,
                    source,
                    targets,
                })),
                Ok(Seen::Answered(hop)) => Ok(Prepared::Answered(hop)),
                Err(reason) => Err(self.refuse(named, reason, at.now)),
            },
        )
    }

    /// Makes the hop, which is the one that stands when another call was first.
    fn make(&self, ready: &Ready, now: Timestamp) -> Result<Arc<Hop>, Reason> {
        let tools = Tools {
            oin: &self.0.oin,
            keys: &self.0.keys,
            signing: &self.0.signing,
            replay: &self.0.replay,
            now,
        };
        let made = tools.make(ready);
        let order = ready.plan.order.order().id;
        match &made {
            Ok(_) => tracing::debug!(order = %order, "an order was carried out"),
            Err(Reason::KeyMismatch) => {
                tracing::error!(order = %order, "the keys that came out are not the registered ones");
            }
            Err(reason) => {
                tracing::info!(order = %order, reason = reason.code(), "an order was refused");
            }
        }
        made
    }

    /// Looks at the clock, and tells of the minute that is over. To be called once a second at least: a jump between two
    /// looks that went back is not seen.
    pub fn look_round(&self) {
        self.0.refusals.turn(self.0.time.minute());
        // What it shows is logged there, and told to whoever asks for something.
        let _ = self.0.time.moment();
    }

    /// Takes in a newer directory, of one piece or a head with some of its parts, and puts it in force when all of it
    /// is here, on the word of a desk with the right `operator`.
    ///
    /// Refuses with the reasons of the desk, `RIGHT_MISSING`, `DIRECTORY_SIGNATURE_INVALID`,
    /// `DIRECTORY_INVALID`, `DIRECTORY_VERSION_LOWER`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn import_directory(
        &self,
        caller: &Oin,
        desk: &DeskName,
        signed: SignedByAll<Vec<u8>>,
        parts: Vec<Vec<u8>>,
    ) -> Result<Outcome<Imported>, HolderError> {
        let _turn = self.0.importing.lock().await;
        let may = match self.directory().member(caller, desk) {
            Ok(member) if member.has(Right::Operator) => Ok(()),
            Ok(_) => Err(Reason::RightMissing),
            Err(reason) => Err(reason),
        };
        let current = self.current();
        let present = (&*current.directory, current.signed.content.as_slice());
        let controllers = &self.0.controllers;
        let came = may.map_err(Refusal::new).and_then(|()| {
            let waiting = &self.0.waiting;
            waiting.take_in(controllers, signed, parts, present)
        });
        let signed = match came {
            Ok(Came::Whole(signed)) => signed,
            Ok(Came::Missing(missing)) => {
                let version = i64::try_from(current.directory.version()).unwrap_or(i64::MAX);
                return Ok(Outcome::Permitted(Imported { version, missing }));
            }
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let verified = current.directory;
        let directory = match verify_aside(controllers.clone(), signed, Some(verified)).await? {
            Ok((directory, signed)) => (directory, signed),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let (directory, signed) = directory;
        let version = directory.version();
        own_directory::keep(&self.0.database, version, &signed, self.0.time.shown()).await?;
        *self
            .0
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Current {
            directory: Arc::new(directory),
            signed: Arc::new(signed),
        };
        tracing::info!(version, "a directory was put in force");
        Ok(Outcome::Permitted(Imported {
            version: i64::try_from(version).unwrap_or(i64::MAX),
            missing: Vec::new(),
        }))
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

    /// The directory in force.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.current().directory
    }

    /// The directory in force as it was signed.
    #[must_use]
    pub fn signed_directory(&self) -> Arc<SignedByAll<Vec<u8>>> {
        self.current().signed
    }

    /// Number of distinct operators among the key holders.
    #[must_use]
    pub fn trust_level(&self) -> u32 {
        own_directory::trust_level(&self.directory())
    }

    /// What is published once and pinned by everybody: the commitment to the blinding factor and the key
    /// for vouchers, 32 bytes each.
    #[must_use]
    pub fn commitments(&self) -> ([u8; 32], [u8; 32]) {
        (
            self.0.keys.commitment().bytes(),
            *self.0.signing.public().bytes(),
        )
    }

    /// Its organisation.
    #[must_use]
    pub fn oin(&self) -> &Oin {
        &self.0.oin
    }

    /// The present moment.
    fn now(&self) -> Result<Timestamp, HolderError> {
        self.0.time.moment().map(|at| at.now)
    }

    fn current(&self) -> Current {
        self.0
            .directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keys(&self) -> &HolderKeys {
        &self.0.keys
    }

    fn signing(&self) -> &SigningKey {
        &self.0.signing
    }

    fn pinned(&self) -> &Pinned {
        &self.0.pinned
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }
}

/// An order after the database has been asked.
enum Prepared {
    Ready(Ready),
    Answered(Arc<Hop>),
}

/// The newer of the stored directory and the one on the disk, verified, in which this holder has its place with these keys;
/// and whether it is still to be stored.
async fn chosen(parts: &Parts) -> Result<(Current, bool), StartError> {
    let verify = |signed: &SignedByAll<Vec<u8>>, verified: Option<&Directory>| {
        let directory = verify_directory(&parts.controllers, signed, verified);
        directory.map_err(|refusal| StartError::Directory {
            reason: refusal.reason,
            violations: refusal.violations,
        })
    };
    let stored = match own_directory::newest(&parts.database).await? {
        Some(signed) => Some((verify(&signed, None)?, signed)),
        None => None,
    };
    let verified = stored.as_ref().map(|(directory, _)| directory);
    let offered = verify(&parts.directory, verified)?;
    let (directory, signed, is_new) = match stored {
        Some((directory, signed)) if directory.version() >= offered.version() => {
            (directory, signed, false)
        }
        _ => (offered, parts.directory.clone(), true),
    };
    let key = own_directory::voucher_key(&directory, &parts.oin);
    if key != Some(parts.signing.public()) || !directory.holders().contains(&parts.oin) {
        return Err(StartError::NotInDirectory);
    }
    let own = parts.keys.commitment();
    if parts
        .pinned
        .get(&parts.oin)
        .is_some_and(|pinned| *pinned != own)
    {
        return Err(StartError::CommitmentDiffers);
    }
    let current = Current {
        directory: Arc::new(directory),
        signed: Arc::new(signed),
    };
    Ok((current, is_new))
}

/// Verifies a directory away from the threads that serve connections; gives it with its file.
async fn verify_aside(
    controllers: Vec<Controller>,
    signed: SignedByAll<Vec<u8>>,
    verified: Option<Arc<Directory>>,
) -> Result<Result<(Directory, SignedByAll<Vec<u8>>), Refusal>, HolderError> {
    let work = move || {
        let directory = verify_directory(&controllers, &signed, verified.as_deref());
        directory.map(|directory| (directory, signed))
    };
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|_| HolderError::Thread)
}
