//! The public keys of contexts that were opened through this broker, against which the end of every
//! conversion is checked.
//!
//! Must never replace a key that is there: a context that is opened twice under two keys is a fault.

use broker::Error;
use rules::clock::{Clock, Timestamp};
use rules::pseudonym::Context;
use rules::reason::Reason;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::pseudonym::ContextKeyRow;
use store::{Database, Tx, Work};
use vault::rest::IndexKey;

/// Public keys of contexts, in the broker's database and, once seen, in memory.
pub struct ContextKeys {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    index: IndexKey,
    seen: RwLock<HashMap<String, [u8; 32]>>,
}

impl ContextKeys {
    /// The keys in this database.
    #[must_use]
    pub fn new(database: Arc<Database>, clock: Arc<dyn Clock>, index: IndexKey) -> Self {
        Self {
            database,
            clock,
            index,
            seen: RwLock::new(HashMap::new()),
        }
    }

    /// The public key of a context; `None` when it was not opened through this broker.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn public_key(&self, context: &Context) -> Result<Option<[u8; 32]>, Error> {
        let label = context.to_string();
        let seen = self
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&label)
            .copied();
        if seen.is_some() {
            return Ok(seen);
        }
        let row = self
            .database
            .read(&Find {
                label: row_label(&self.index, &label),
            })
            .await?;
        let key = row.map(|row| row.public_key);
        if let Some(key) = key {
            self.remember(label, key);
        }
        Ok(key)
    }

    /// Keeps the public key of a context that has just been opened.
    ///
    /// # Errors
    /// `KEY_MISMATCH` when the context has another key already; otherwise when the database fails.
    pub async fn keep(&self, context: &Context, public_key: [u8; 32]) -> Result<(), Error> {
        let row = ContextKeyRow {
            public_key,
            sealed_key: Vec::new(),
        };
        match self.public_key(context).await? {
            Some(known) if known == public_key => Ok(()),
            Some(_) => Err(Error::HolderDishonest(Reason::KeyMismatch)),
            None => {
                let label = context.to_string();
                let now = self.clock.now();
                let keep = Keep {
                    label: row_label(&self.index, &label),
                    row,
                    now,
                };
                self.database.write(&keep).await?;
                self.remember(label, public_key);
                Ok(())
            }
        }
    }

    fn remember(&self, label: String, key: [u8; 32]) {
        self.seen
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(label, key);
    }
}

/// A context's name in the database: a keyed tag, because its label names an organisation, and that may
/// be a vakbond.
pub(super) fn row_label(index: &IndexKey, label: &str) -> String {
    rules::hex::encode(&index.tag("context", label.as_bytes()))
}

/// Finds a context's row.
pub(super) struct Find {
    pub(super) label: String,
}

impl Work for Find {
    type Output = Option<ContextKeyRow>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "FindContextKey"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, Error> {
        Ok(tx.context_key(&self.label).await?)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// Keeps a context's row.
pub(super) struct Keep {
    pub(super) label: String,
    pub(super) row: ContextKeyRow,
    pub(super) now: Timestamp,
}

impl Work for Keep {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "KeepContextKey"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        Ok(tx
            .insert_context_key(&self.label, &self.row, self.now)
            .await?)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}
