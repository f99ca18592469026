//! Quotas of orders per issuing organisation, kind and day (docs/pseudonyms.md).
//!
//! Counted in memory, reserved in the database in blocks: a restart loses the rest of a block and gives
//! nobody a fresh quota. Must never give out more from a day on, later days among it, than one day's quota: a
//! clock that is set back finds what was taken before, and one that was ahead is in nobody's way.

use crate::HolderError;
use rules::clock::Timestamp;
use rules::id::Oin;
use rules::limits::{
    DAY_MILLIS, QUOTA_BLOCK_ORDERS, QUOTA_CHECK_PER_DAY, QUOTA_ENROL_PER_DAY,
    QUOTA_HANDOVER_PER_DAY, QUOTA_MISMATCH_PER_DAY, QUOTA_PORTAL_PER_DAY, QUOTA_PREPARE_PER_DAY,
    QUOTA_REFUSED_PER_MINUTE,
};
use rules::pseudonym::Quota;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::holder::QuotaKey;
use store::{Database, Tx, Work};

/// How many orders an organisation may have carried out in a day, by quota, and refused in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Orders ENROL and ROTATE.
    pub enrol: u32,
    /// Orders PREPARE, UNBOUND and ASSIST.
    pub prepare: u32,
    /// Orders HANDOVER.
    pub handover: u32,
    /// Orders of the portal: LOGIN, LINK and CONSENT together.
    pub portal: u32,
    /// Orders CHECK.
    pub check: u32,
    /// Orders MISMATCH.
    pub mismatch: u32,
    /// Orders of any kind that are refused, in a minute.
    pub refused: u32,
}

impl Default for QuotaLimits {
    fn default() -> Self {
        Self {
            enrol: QUOTA_ENROL_PER_DAY,
            prepare: QUOTA_PREPARE_PER_DAY,
            handover: QUOTA_HANDOVER_PER_DAY,
            portal: QUOTA_PORTAL_PER_DAY,
            check: QUOTA_CHECK_PER_DAY,
            mismatch: QUOTA_MISMATCH_PER_DAY,
            refused: QUOTA_REFUSED_PER_MINUTE,
        }
    }
}

impl QuotaLimits {
    const fn limit(&self, quota: Quota) -> u32 {
        match quota {
            Quota::Enrol => self.enrol,
            Quota::Prepare => self.prepare,
            Quota::Handover => self.handover,
            Quota::Portal => self.portal,
            Quota::Check => self.check,
            Quota::Mismatch => self.mismatch,
        }
    }

    /// The most that one organisation may have carried out in a day: a portal, or a partner with all its quotas.
    pub(crate) fn day(&self) -> u32 {
        [self.prepare, self.handover, self.check, self.mismatch]
            .into_iter()
            .fold(self.enrol, u32::saturating_add)
            .max(self.portal)
    }
}

/// What is left of the reserved block, and whether another can be had.
#[derive(Clone, Copy, Default)]
struct Block {
    left: i64,
    is_last: bool,
}

/// From which quota, of which day: days since 1970-01-01 UTC.
type BlockKey = (Oin, Quota, i64);

/// The counts of one holder.
pub(crate) struct Quotas {
    limits: QuotaLimits,
    database: Arc<Database>,
    blocks: Mutex<HashMap<BlockKey, Block>>,
    /// One reservation at a time, so that a crowd at the end of a block reserves one and not many.
    reserving: tokio::sync::Mutex<()>,
}

impl Quotas {
    pub(crate) fn new(limits: QuotaLimits, database: Arc<Database>) -> Self {
        Self {
            limits,
            database,
            blocks: Mutex::default(),
            reserving: tokio::sync::Mutex::new(()),
        }
    }

    /// Takes one order from the quota; says whether there was one.
    pub(crate) async fn take(
        &self,
        issuer: &Oin,
        quota: Quota,
        now: Timestamp,
    ) -> Result<bool, HolderError> {
        let key = (issuer.clone(), quota, now.millis().div_euclid(DAY_MILLIS));
        if let Some(answer) = self.take_from_block(&key) {
            return Ok(answer);
        }
        let _turn = self.reserving.lock().await;
        if let Some(answer) = self.take_from_block(&key) {
            return Ok(answer);
        }
        let limit = i64::from(self.limits.limit(quota));
        let reserve = Reserve {
            key: QuotaKey {
                issuer: issuer.clone(),
                kind: quota.code(),
                day: key.2,
            },
            limit,
        };
        let granted = self.database.write(&reserve).await?;
        if granted == 0 {
            tracing::warn!(
                quota = quota.code(),
                limit,
                "an organisation used up its quota of the day"
            );
        }
        let mut blocks = self.lock();
        // Two days at most are being counted, about midnight.
        blocks.retain(|(_, _, day), _| day.abs_diff(key.2) <= 1);
        let block = blocks.entry(key).or_default();
        block.left = block
            .left
            .saturating_add(granted)
            .saturating_sub(i64::from(granted > 0));
        block.is_last = granted == 0;
        Ok(granted > 0)
    }

    /// Takes one from the reserved block of a day. `None`: reserve another block first.
    fn take_from_block(&self, key: &BlockKey) -> Option<bool> {
        let mut blocks = self.lock();
        let block = blocks.get_mut(key)?;
        if block.left > 0 {
            block.left = block.left.saturating_sub(1);
            Some(true)
        } else {
            block.is_last.then_some(false)
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlockKey, Block>> {
        // Nothing that can panic runs while the lock is held.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reserve {
    key: QuotaKey,
    limit: i64,
}

impl Work for Reserve {
    type Output = i64;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "ReserveQuota"
    }

    /// Reserves one block or what is left of the day; gives how many.
    async fn perform(&self, tx: &mut Tx<'_>) -> Result<i64, HolderError> {
        let before = tx.quota_reserved(&self.key).await?;
        let left = self.limit.saturating_sub(before).max(0);
        let granted = left.min(i64::from(QUOTA_BLOCK_ORDERS));
        if granted > 0 {
            tx.reserve_quota(&self.key, granted).await?;
        }
        Ok(granted)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}
