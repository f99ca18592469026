//! The broker's own context: opened once along all holders, kept sealed, and opened from there on
//! every start.
//!
//! Must never take a share that its holder did not sign, and never run with a key that is not the
//! walk's end.

use super::chain::Chain;
use super::context_keys::{Find, Keep, row_label};
use broker::Error;
use papers::paper::{ContextRequest, ContextWalk, PaperError, Signed};
use rules::clock::{Clock, Timestamp};
use rules::directory::{Directory, Right};
use rules::id::{DeskName, Oin};
use rules::pseudonym::Context;
use rules::reason::{Outcome, Reason};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::time::Duration;
use store::Database;
use store::pseudonym::ContextKeyRow;
use vault::context::HolderCommitment;
use vault::keyfile::{KeyFile, SecretName};
use vault::pseudonym::ContextKey;
use vault::rest::{Crypter, IndexKey, Place};
use vault::sealing::OpeningKey;
use vault::sign::SigningKey;

/// How long the broker waits before it asks the holders again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the broker has no context.
#[derive(Debug, thiserror::Error)]
pub enum OwnContextError {
    /// The directory or the key file does not let this broker open one.
    #[error("the broker cannot ask for its context: {0}")]
    NotEntitled(&'static str),
    /// A holder said no.
    #[error("a key holder refused to open the broker's context: {}: {}", .0, .0.english())]
    Refused(Reason),
    /// What is kept, or configured, does not make a key.
    #[error("the broker's context does not verify: {0}")]
    Wrong(&'static str),
    /// The walk or a share does not verify.
    #[error(
        "what the key holders gave does not verify: {0}; compare `commitments` with what each holder's \
         `sluis keys new` printed"
    )]
    Walk(#[from] PaperError),
    /// The database or a seal failed.
    #[error("the broker's context cannot be kept or read")]
    Fault(#[from] Error),
}

/// What opening needs.
pub struct Opening<'a> {
    /// The broker's database.
    pub database: &'a Database,
    /// The way to the holders.
    pub chain: &'a Chain,
    /// The verified directory.
    pub directory: &'a Directory,
    /// The holders' pinned commitments.
    pub commitments: &'a BTreeMap<Oin, [u8; 32]>,
    /// The broker's secrets.
    pub key_file: &'a KeyFile,
    /// The broker's desk.
    pub desk: &'a DeskName,
    /// Seals rows.
    pub rest: &'a Crypter,
    /// The clock.
    pub clock: &'a dyn Clock,
}

impl Opening<'_> {
    /// The broker's context and its key: from the database, or else opened now. Waits for holders that
    /// are away, for as long as it takes.
    ///
    /// # Errors
    /// When a holder refuses, or what comes back does not verify.
    pub async fn run(&self) -> Result<(Context, ContextKey), OwnContextError> {
        let broker = self.directory.broker();
        let number = self.directory.realm(broker).map(|realm| realm.context);
        let context = Context {
            party: broker.clone(),
            number: number.ok_or(OwnContextError::NotEntitled(
                "its realm is not in the directory",
            ))?,
        };
        if let Some(key) = self.stored(&context).await? {
            return Ok((context, key));
        }
        let key = self.open(&context).await?;
        self.keep(&context, &key).await?;
        tracing::info!(%context, "opened the broker's own context");
        Ok((context, key))
    }

    fn index(&self) -> Result<IndexKey, OwnContextError> {
        let key = self
            .key_file
            .require(SecretName::IndexKey)
            .map_err(|_| OwnContextError::NotEntitled("the key file has no index key"))?;
        Ok(IndexKey::from_secret(key))
    }

    async fn stored(&self, context: &Context) -> Result<Option<ContextKey>, OwnContextError> {
        let label = context.to_string();
        let row = self
            .database
            .read(&Find {
                label: row_label(&self.index()?, &label),
            })
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let opened = self
            .rest
            .open(&place(&label), &row.sealed_key)
            .map_err(|_| {
                OwnContextError::Wrong("its stored key is sealed under another rest key")
            })?;
        let octets: [u8; 32] = opened
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| OwnContextError::Wrong("its stored key does not have 32 bytes"))?;
        let key = ContextKey::from_secret(&Secret::new(octets))
            .map_err(|_| OwnContextError::Wrong("its stored key is not one"))?;
        if *key.public().bytes() == row.public_key {
            Ok(Some(key))
        } else {
            Err(OwnContextError::Wrong(
                "its stored key is not that of its public key",
            ))
        }
    }

    async fn keep(&self, context: &Context, key: &ContextKey) -> Result<(), OwnContextError> {
        let label = context.to_string();
        let sealed_key = self
            .rest
            .seal(&place(&label), key.to_secret().expose())
            .map_err(|_| OwnContextError::Wrong("its key could not be sealed"))?;
        let row = ContextKeyRow {
            public_key: *key.public().bytes(),
            sealed_key,
        };
        let keep = Keep {
            label: row_label(&self.index()?, &label),
            row,
            now: self.clock.now(),
        };
        self.database.write(&keep).await?;
        Ok(())
    }

    async fn open(&self, context: &Context) -> Result<ContextKey, OwnContextError> {
        let seed = self
            .key_file
            .require(SecretName::OpeningSeed)
            .map_err(|_| OwnContextError::NotEntitled("its key file has no opening seed"))?;
        let opening_key = OpeningKey::from_seed(seed);
        let mut waited = false;
        let walk = loop {
            let request = self.request(context, &opening_key, self.clock.now())?;
            match self.chain.walk_context(&request).await {
                Ok(Outcome::Permitted(walk)) => break walk,
                Ok(Outcome::Refused(refusal)) => {
                    return Err(OwnContextError::Refused(refusal.reason));
                }
                Err(Error::HolderUnavailable) => {
                    if !waited {
                        tracing::warn!("waits for the key holders before the door opens");
                    }
                    waited = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        };
        self.assemble(context, &opening_key, &walk)
    }

    /// The request, signed by the broker's own desk.
    fn request(
        &self,
        context: &Context,
        opening_key: &OpeningKey,
        now: Timestamp,
    ) -> Result<Signed<ContextRequest>, OwnContextError> {
        let member = self
            .directory
            .member(&context.party.oin, self.desk)
            .map_err(|_| OwnContextError::NotEntitled("its desk is not in the directory"))?;
        if !member.has(Right::Represent) {
            return Err(OwnContextError::NotEntitled(
                "its desk lacks the right `represent`",
            ));
        }
        let seed = self
            .key_file
            .require(SecretName::SigningSeed)
            .map_err(|_| OwnContextError::NotEntitled("its key file has no signing seed"))?;
        let request = ContextRequest {
            context: context.clone(),
            owner: context.party.oin.clone(),
            desk: self.desk.clone(),
            sealing_key_sha256: opening_key.public().sha256(),
            time: now,
        };
        Ok(Signed::sign(request, &SigningKey::from_seed(seed)))
    }

    fn assemble(
        &self,
        context: &Context,
        opening_key: &OpeningKey,
        walk: &ContextWalk,
    ) -> Result<ContextKey, OwnContextError> {
        let walkers = self
            .directory
            .holders()
            .iter()
            .map(|oin| {
                let holder = super::chain::holder_key(self.directory, oin)
                    .ok_or(OwnContextError::Wrong("a holder is not in the directory"))?;
                let pinned = self.commitments.get(oin);
                let commitment = pinned.map(|octets| HolderCommitment::parse(octets));
                let Some(Ok(commitment)) = commitment else {
                    return Err(OwnContextError::Wrong(
                        "a holder's commitment is not configured",
                    ));
                };
                Ok((holder, commitment))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(walk.key(context, &walkers, opening_key)?)
    }
}

/// Where the key lies sealed.
fn place(label: &str) -> Place<'_> {
    Place {
        table: "context_key",
        row: label.as_bytes(),
        column: "sealed_key",
    }
}
