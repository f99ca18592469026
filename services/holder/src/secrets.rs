//! The secrets of domains: drawn at first use, sealed, kept once and for all.
//!
//! Must never replace a secret: every pseudonym of its domain would be orphaned.

use crate::HolderError;
use rules::clock::Timestamp;
use rules::pseudonym::Domain;
use rules::secret::Secret;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::{Database, Tx, Work};
use vault::holder::DomainSecret;
use vault::rest::{Crypter, Place};

/// A holder's domain secrets, as many as the directory has domains.
pub(crate) struct Secrets {
    database: Arc<Database>,
    crypter: Crypter,
    known: RwLock<HashMap<String, Arc<DomainSecret>>>,
}

impl Secrets {
    pub(crate) fn new(database: Arc<Database>, crypter: Crypter) -> Self {
        Self {
            database,
            crypter,
            known: RwLock::default(),
        }
    }

    /// The secret of a domain, drawn when there is none yet. To be called only with domains of an order
    /// that the closed table has, as anything else could fill the table of secrets.
    pub(crate) async fn of(
        &self,
        domain: &Domain,
        now: Timestamp,
    ) -> Result<Arc<DomainSecret>, HolderError> {
        let name = secret_name(domain);
        if let Some(secret) = self.known(&name) {
            return Ok(secret);
        }
        let look_up = LookUp { name: &name };
        let sealed = match self.database.read(&look_up).await? {
            Some(sealed) => sealed,
            None => self.draw(&name, now).await?,
        };
        let opened = self.crypter.open(&place(&name), &sealed)?;
        let bytes: [u8; 32] = opened
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| HolderError::Malformed("domain_secret"))?;
        let secret = Arc::new(DomainSecret::from_secret(&Secret::new(bytes)));
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, Arc::clone(&secret));
        Ok(secret)
    }

    /// Draws and keeps a secret, and gives the one that was kept: another replica may have been first.
    async fn draw(&self, name: &str, now: Timestamp) -> Result<Vec<u8>, HolderError> {
        let fresh = DomainSecret::generate().to_secret();
        let sealed = self.crypter.seal(&place(name), fresh.expose())?;
        let keep = Keep { name, sealed, now };
        let kept = self.database.write(&keep).await?;
        tracing::info!("a domain secret was drawn");
        kept.ok_or(HolderError::Malformed("domain_secret"))
    }

    fn known(&self, name: &str) -> Option<Arc<DomainSecret>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(Arc::clone)
    }
}

/// Under which name a domain's secret is kept: its label, except that the relations of one epoch share
/// one, as there are as many relations as pairs of parties.
fn secret_name(domain: &Domain) -> String {
    match domain {
        Domain::Relation { epoch, .. } => format!("rel/{epoch}"),
        Domain::Origin | Domain::Partner { .. } | Domain::Portal { .. } => domain.to_string(),
    }
}

fn place(name: &str) -> Place<'_> {
    Place {
        table: "domain_secret",
        row: name.as_bytes(),
        column: "sealed",
    }
}

struct LookUp<'n> {
    name: &'n str,
}

impl Work for LookUp<'_> {
    type Output = Option<Vec<u8>>;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "LookUpDomainSecret"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Option<Vec<u8>>, HolderError> {
        Ok(tx.domain_secret(self.name).await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}

struct Keep<'n> {
    name: &'n str,
    sealed: Vec<u8>,
    now: Timestamp,
}

impl Work for Keep<'_> {
    type Output = Option<Vec<u8>>;
    type Error = HolderError;

    fn name(&self) -> &'static str {
        "KeepDomainSecret"
    }

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<Option<Vec<u8>>, HolderError> {
        tx.insert_domain_secret(self.name, &self.sealed, self.now)
            .await?;
        Ok(tx.domain_secret(self.name).await?)
    }

    fn is_transient(error: &HolderError) -> bool {
        error.is_transient()
    }
}
