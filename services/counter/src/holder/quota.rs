//! Quotas of orders per issuing organisation, kind and day (DESIGN 12.12).
//!
//! Counted in memory, reserved in the database in blocks: a restart loses the rest of a block and gives
//! nobody a fresh quota. Must never begin a day again, whatever the clock says.

use crate::holder::HolderError;
use rules::clock::Timestamp;
use rules::id::Oin;
use rules::limits::{
    DAY_MILLIS, QUOTA_BLOCK_ORDERS, QUOTA_ENROL_PER_DAY, QUOTA_HANDOVER_PER_DAY,
    QUOTA_PORTAL_PER_DAY, QUOTA_PREPARE_PER_DAY,
};
use rules::pseudonym::Quota;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::holder::QuotaKey;
use store::{Database, Tx, Work};

/// How many orders an organisation may have carried out in a day, by quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Orders ENROL and ROTATE.
    pub enrol: u32,
    /// Orders PREPARE and ASSIST.
    pub prepare: u32,
    /// Orders HANDOVER.
    pub handover: u32,
    /// Orders of the portal: LOGIN, LINK and CONSENT together.
    pub portal: u32,
}

impl Default for QuotaLimits {
    fn default() -> Self {
        Self {
            enrol: QUOTA_ENROL_PER_DAY,
            prepare: QUOTA_PREPARE_PER_DAY,
            handover: QUOTA_HANDOVER_PER_DAY,
            portal: QUOTA_PORTAL_PER_DAY,
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
        }
    }
}

/// What is left of the reserved block, and whether another can be had.
#[derive(Clone, Copy, Default)]
struct Block {
    left: i64,
    is_last: bool,
}

#[derive(Default)]
struct Day {
    number: i64,
    blocks: HashMap<(Oin, Quota), Block>,
}

/// The counts of one holder.
pub(crate) struct Quotas {
    limits: QuotaLimits,
    database: Arc<Database>,
    day: Mutex<Day>,
    /// One reservation at a time, so that a crowd at the end of a block reserves one and not many.
    reserving: tokio::sync::Mutex<()>,
}

impl Quotas {
    /// Goes on at the latest day that was ever counted.
    pub(crate) async fn open(
        limits: QuotaLimits,
        database: Arc<Database>,
    ) -> Result<Self, HolderError> {
        let number = database.read(&LatestDay).await?;
        let day = Day {
            number,
            blocks: HashMap::new(),
        };
        Ok(Self {
            limits,
            database,
            day: Mutex::new(day),
            reserving: tokio::sync::Mutex::new(()),
        })
    }

    /// Takes one order from the quota; says whether there was one.
    pub(crate) async fn take(
        &self,
        issuer: &Oin,
        quota: Quota,
        now: Timestamp,
    ) -> Result<bool, HolderError> {
        let (_, answer) = self.take_from_block(issuer, quota, now);
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let _turn = self.reserving.lock().await;
        let (day, answer) = self.take_from_block(issuer, quota, now);
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let limit = i64::from(self.limits.limit(quota));
        let reserve = Reserve {
            key: QuotaKey {
                issuer: issuer.clone(),
                kind: quota.code(),
                day,
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
        let mut state = self.lock();
        if state.number == day {
            let block = state.blocks.entry((issuer.clone(), quota)).or_default();
            block.left = block
                .left
                .saturating_add(granted)
                .saturating_sub(i64::from(granted > 0));
            block.is_last = granted == 0;
        }
        Ok(granted > 0)
    }

    /// Takes one from the reserved block of the present day. `None`: reserve another block first.
    fn take_from_block(&self, issuer: &Oin, quota: Quota, now: Timestamp) -> (i64, Option<bool>) {
        let mut state = self.lock();
        let today = now.millis().div_euclid(DAY_MILLIS);
        // A clock that goes back stays in the day that was reached.
        if today > state.number {
            state.number = today;
            state.blocks.clear();
        }
        let day = state.number;
        let block = state.blocks.entry((issuer.clone(), quota)).or_default();
        let answer = if block.left > 0 {
            block.left = block.left.saturating_sub(1);
            Some(true)
        } else {
            block.is_last.then_some(false)
        };
        (day, answer)
    }

    fn lock(&self) -> MutexGuard<'_, Day> {
        // Nothing that can panic runs while the lock is held.
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LatestDay;

impl Work for LatestDay {
    type Output = i64;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "LatestQuotaDay"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<i64, HolderError> {
        Ok(tx.latest_quota_day().await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
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
        let after = before
            .saturating_add(i64::from(QUOTA_BLOCK_ORDERS))
            .min(self.limit);
        let granted = after.saturating_sub(before).max(0);
        if granted > 0 {
            tx.put_quota_reserved(&self.key, after).await?;
        }
        Ok(granted)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}
