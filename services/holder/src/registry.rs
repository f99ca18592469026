//! The contexts that this holder helped to open, each with its public key.
//!
//! Must never change a key that stands: whoever could would read what is converted for the context.

use crate::HolderError;
use rules::clock::Timestamp;
use rules::pseudonym::Context;
use rules::reason::Reason;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::{Database, Tx, Work};
use vault::pseudonym::ContextPoint;

/// All of them in memory, as every order needs two or three.
pub(crate) struct Registry {
    database: Arc<Database>,
    keys: RwLock<HashMap<Context, ContextPoint>>,
}

impl Registry {
    /// Reads what was stored.
    pub(crate) async fn open(database: Arc<Database>) -> Result<Self, HolderError> {
        let mut keys = HashMap::new();
        for row in database.read(&All).await? {
            let wrong = HolderError::Malformed("context");
            let Ok(context) = row.label.parse::<Context>() else {
                return Err(wrong);
            };
            let key = ContextPoint::parse(&row.public_key).map_err(|_| wrong)?;
            keys.insert(context, key);
        }
        Ok(Self {
            database,
            keys: RwLock::new(keys),
        })
    }

    /// The public key of a context.
    pub(crate) fn key(&self, context: &Context) -> Result<ContextPoint, Reason> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(context)
            .cloned()
            .ok_or(Reason::ContextUnknown)
    }

    /// Stores the key of a context once; gives the one that stands.
    pub(crate) async fn close(
        &self,
        context: &Context,
        key: &ContextPoint,
        now: Timestamp,
    ) -> Result<ContextPoint, HolderError> {
        let close = Close {
            label: context.to_string(),
            public_key: *key.bytes(),
            now,
        };
        let stored = self.database.write(&close).await?;
        let stands = ContextPoint::parse(&stored).map_err(|_| HolderError::Malformed("context"))?;
        self.keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(context.clone(), stands.clone());
        Ok(stands)
    }

    /// How many contexts are open.
    pub(crate) fn len(&self) -> usize {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

struct All;

impl Work for All {
    type Output = Vec<store::holder::ContextRow>;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "ListContexts"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Self::Output, HolderError> {
        Ok(tx.contexts().await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}

struct Close {
    label: String,
    public_key: [u8; 32],
    now: Timestamp,
}

impl Work for Close {
    type Output = [u8; 32];
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "CloseContext"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<[u8; 32], HolderError> {
        tx.insert_context(&self.label, &self.public_key, self.now)
            .await?;
        tx.context(&self.label)
            .await?
            .ok_or(HolderError::Malformed("context"))
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}
