//! The key holder (sleutelhouder): judges signed orders on its own and makes its hop of a conversion.
//!
//! Knows ciphertexts, labels and counts. Must never learn a person, decide on another party's word, or
//! log more of an order than its id and the reason for a refusal.

mod context;
mod convert;
mod error;
mod lanes;
mod own_directory;
mod paper;
mod quota;
mod registry;
mod replay;
mod secrets;
#[cfg(test)]
mod tests;

pub use context::{Pinned, StepMade, share_bytes};
pub use convert::{ConvertItem, Hop};
pub use error::{HolderError, StartError};
pub use paper::{ContextRequest, ContextStep, Forms, Issued, Received, Voucher};
pub use quota::QuotaLimits;
pub use replay::REPLAY_ORDERS_MAX;

use crate::counter::Controller;
use crate::directory::{Came, Imported, Signed, Waiting, verify_directory};
use convert::{Hearing, Judged, Plan, Ready, Tools};
use quota::Quotas;
use registry::Registry;
use replay::Replay;
use rules::clock::{Clock, Timestamp};
use rules::directory::{Directory, Right};
use rules::id::{DeskName, Oin};
use rules::pseudonym::Domain;
use rules::reason::{Outcome, Reason, Refusal};
use secrets::Secrets;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use store::{Database, Tx, Work};
use vault::holder::HolderKeys;
use vault::rest::Crypter;
use vault::sign::SigningKey;

/// How far the stored horizon is put ahead of an order that begins after this holder's now, so that
/// issuers with a fast clock cost one write in this time and not one each order.
const HORIZON_STEP_MILLIS: i64 = 5_000;

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
    /// How papers are written down.
    pub forms: Arc<dyn Forms>,
    /// Whose signatures every directory needs.
    pub controllers: Vec<Controller>,
    /// The commitments of the holders, its own included or added.
    pub pinned: Pinned,
    /// How many orders an organisation may have carried out in a day.
    pub quotas: QuotaLimits,
    /// The directory file on the disk; the stored one stands when it has a higher version.
    pub directory: Signed<Vec<u8>>,
}

/// A key holder. Cheap to clone.
#[derive(Clone)]
pub struct Holder(Arc<Inner>);

struct Inner {
    oin: Oin,
    keys: HolderKeys,
    signing: SigningKey,
    forms: Arc<dyn Forms>,
    clock: Arc<dyn Clock>,
    /// The latest moment that was seen, in milliseconds.
    latest: AtomicI64,
    floor: Timestamp,
    /// The stored horizon, in milliseconds.
    horizon: AtomicI64,
    controllers: Vec<Controller>,
    pinned: Pinned,
    directory: RwLock<Current>,
    importing: tokio::sync::Mutex<()>,
    /// What came of a directory whose parts are not all here.
    waiting: Waiting,
    registry: Registry,
    secrets: Secrets,
    quotas: Quotas,
    replay: Replay,
    database: Arc<Database>,
}

/// The directory in force: judged by, and as it was signed.
#[derive(Clone)]
struct Current {
    directory: Arc<Directory>,
    signed: Arc<Signed<Vec<u8>>>,
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
    /// is new (DESIGN 12.12).
    ///
    /// # Errors
    /// When the database fails, no directory can be accepted, or the directory has another key or no
    /// place for this holder.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let database = Arc::new(parts.database);
        let now = parts.clock.now();
        let current = first_directory(&database, parts.directory, &parts.controllers, now).await?;
        let is_ours = own_directory::voucher_key(&current.directory, &parts.oin)
            == Some(parts.signing.public());
        if !is_ours || !current.directory.holders().contains(&parts.oin) {
            return Err(StartError::NotInDirectory);
        }
        let mut pinned = parts.pinned;
        let own = parts.keys.commitment();
        if *pinned.entry(parts.oin.clone()).or_insert(own) != own {
            return Err(StartError::CommitmentDiffers);
        }
        let horizon = database.read(&ReadHorizon).await?.unwrap_or(now);
        let registry = Registry::open(Arc::clone(&database)).await?;
        let quotas = Quotas::open(parts.quotas, Arc::clone(&database)).await?;
        tracing::info!(
            directory = current.directory.version(),
            contexts = registry.len(),
            "the key holder has started"
        );
        Ok(Self(Arc::new(Inner {
            oin: parts.oin,
            keys: parts.keys,
            signing: parts.signing,
            forms: parts.forms,
            clock: parts.clock,
            latest: AtomicI64::new(now.millis()),
            floor: now.max(horizon),
            horizon: AtomicI64::new(horizon.millis()),
            controllers: parts.controllers,
            pinned,
            directory: RwLock::new(current),
            importing: tokio::sync::Mutex::new(()),
            waiting: Waiting::default(),
            registry,
            secrets: Secrets::new(Arc::clone(&database), parts.crypter),
            quotas,
            replay: Replay::new(REPLAY_ORDERS_MAX),
            database,
        })))
    }

    /// Judges a batch of orders and makes this holder's hop for each that passes; answers in the order of
    /// the items, each on its own.
    ///
    /// # Errors
    /// When the database fails. What was carried out is remembered: the same bytes get the same answer.
    pub async fn convert(
        &self,
        items: Vec<ConvertItem>,
    ) -> Result<Vec<Outcome<Arc<Hop>>>, HolderError> {
        let now = self.now();
        let orders: Vec<_> = items.iter().map(|item| item.order.paper.id).collect();
        let holder = self.clone();
        let judged = lanes::each(items, move |item| {
            holder.hearing(now, |hearing| hearing.judge(item))
        });
        let mut ready = Vec::with_capacity(orders.len());
        for one in judged.await? {
            ready.push(match one {
                Ok(Judged::Planned(plan)) => self.prepare(plan, now).await?.map(Prepared::Ready),
                Ok(Judged::Answered(hop)) => Ok(Prepared::Answered(hop)),
                Err(reason) => Err(reason),
            });
        }
        let holder = self.clone();
        let made = lanes::each(ready, move |one| match one? {
            Prepared::Ready(ready) => holder.tools(now).make(&ready),
            Prepared::Answered(hop) => Ok(hop),
        });
        let results = made.await?;
        for (order, result) in orders.iter().zip(&results) {
            match result {
                Ok(_) => tracing::debug!(order = %order, "an order was carried out"),
                Err(Reason::KeyMismatch) => {
                    tracing::error!(order = %order, "the keys that came out are not the registered ones");
                }
                Err(reason) => {
                    tracing::info!(order = %order, reason = reason.code(), "an order was refused");
                }
            }
        }
        Ok(results
            .into_iter()
            .map(|result| match result {
                Ok(hop) => Outcome::Permitted(hop),
                Err(reason) => Outcome::Refused(Refusal::new(reason)),
            })
            .collect())
    }

    /// What needs the database: the quota, the horizon and the secrets of the domains.
    async fn prepare(
        &self,
        plan: Box<Plan>,
        now: Timestamp,
    ) -> Result<Result<Ready, Reason>, HolderError> {
        let order = plan.order.order();
        let (issuer, quota) = (&plan.order.issuer().oin, plan.order.quota());
        if !self.0.quotas.take(issuer, quota, now).await? {
            return Ok(Err(Reason::QuotaExceeded));
        }
        self.raise_horizon(order.not_before, now).await?;
        let source = self.0.secrets.of(&order.source, now).await?;
        let mut targets = Vec::with_capacity(order.targets.len());
        for (domain, _) in &order.targets {
            let domain = Domain::from(domain.clone());
            targets.push(self.0.secrets.of(&domain, now).await?);
        }
        Ok(Ok(Ready {
            plan,
            source,
            targets,
        }))
    }

    /// An order may begin a little after this holder's now. Were it repeated after a restart, its age
    /// alone would not give it away, so the horizon is stored before it is carried out.
    async fn raise_horizon(
        &self,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<(), HolderError> {
        if not_before <= now || not_before.millis() < self.0.horizon.load(Ordering::Acquire) {
            return Ok(());
        }
        let horizon = not_before.plus_millis(HORIZON_STEP_MILLIS);
        self.0.database.write(&PutHorizon(horizon)).await?;
        self.0.horizon.fetch_max(horizon.millis(), Ordering::AcqRel);
        Ok(())
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
        signed: Signed<Vec<u8>>,
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
        own_directory::keep(&self.0.database, version, &signed, self.now()).await?;
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
    pub fn signed_directory(&self) -> Arc<Signed<Vec<u8>>> {
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

    /// The present moment; never earlier than one that was seen before, so that a clock that goes back
    /// revives no order.
    fn now(&self) -> Timestamp {
        let now = self.0.clock.now().millis();
        Timestamp::from_millis(self.0.latest.fetch_max(now, Ordering::AcqRel).max(now))
    }

    fn current(&self) -> Current {
        self.0
            .directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn hearing<T>(&self, now: Timestamp, work: impl FnOnce(&Hearing<'_>) -> T) -> T {
        work(&Hearing {
            oin: &self.0.oin,
            voucher_key: self.0.signing.public(),
            directory: &self.directory(),
            registry: &self.0.registry,
            replay: &self.0.replay,
            floor: self.0.floor,
            now,
        })
    }

    fn tools(&self, now: Timestamp) -> Tools<'_> {
        Tools {
            oin: &self.0.oin,
            keys: &self.0.keys,
            signing: &self.0.signing,
            forms: self.0.forms.as_ref(),
            replay: &self.0.replay,
            now,
        }
    }

    fn keys(&self) -> &HolderKeys {
        &self.0.keys
    }

    fn signing(&self) -> &SigningKey {
        &self.0.signing
    }

    fn forms(&self) -> &dyn Forms {
        self.0.forms.as_ref()
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

/// The newer of the stored directory and the one on the disk, verified; a newer one on the disk is kept.
async fn first_directory(
    database: &Database,
    on_disk: Signed<Vec<u8>>,
    controllers: &[Controller],
    now: Timestamp,
) -> Result<Current, StartError> {
    let verify = |signed: &Signed<Vec<u8>>, verified: Option<&Directory>| {
        verify_directory(controllers, signed, verified).map_err(|refusal| StartError::Directory {
            reason: refusal.reason,
            violations: refusal.violations,
        })
    };
    let current = |directory, signed| Current {
        directory: Arc::new(directory),
        signed: Arc::new(signed),
    };
    let stored = match own_directory::newest(database).await? {
        Some(signed) => Some((verify(&signed, None)?, signed)),
        None => None,
    };
    let verified = stored.as_ref().map(|(directory, _)| directory);
    let offered = verify(&on_disk, verified)?;
    match stored {
        Some((directory, signed)) if directory.version() >= offered.version() => {
            Ok(current(directory, signed))
        }
        _ => {
            own_directory::keep(database, offered.version(), &on_disk, now).await?;
            Ok(current(offered, on_disk))
        }
    }
}

/// Verifies a directory away from the threads that serve connections; gives it with its file.
async fn verify_aside(
    controllers: Vec<Controller>,
    signed: Signed<Vec<u8>>,
    verified: Option<Arc<Directory>>,
) -> Result<Result<(Directory, Signed<Vec<u8>>), Refusal>, HolderError> {
    let work = move || {
        let directory = verify_directory(&controllers, &signed, verified.as_deref());
        directory.map(|directory| (directory, signed))
    };
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|_| HolderError::Thread)
}

struct ReadHorizon;

impl Work for ReadHorizon {
    type Output = Option<Timestamp>;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "ReadHorizon"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Self::Output, HolderError> {
        Ok(tx.horizon().await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}

struct PutHorizon(Timestamp);

impl Work for PutHorizon {
    type Output = ();
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "PutHorizon"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<(), HolderError> {
        Ok(tx.put_horizon(self.0).await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}
