//! The broker's own context: opened once along all holders, kept sealed, and opened from there on
//! every start.
//!
//! Must never take a share that its holder did not sign, and never run with a key that is not the
//! walk's end.

use super::chain::Chain;
use super::context_keys::{Find, Keep, row_label};
use broker::Error;
use broker::counter::{ContextWalk, SealedShare};
use papers::paper::SignedPaper;
use papers::paper::{ContextRequest, ContextStep, HolderKey, Signed};
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
use vault::context::{HolderCommitment, OpenedShare, Step, assemble};
use vault::keyfile::{KeyFile, SecretName};
use vault::pseudonym::{ContextKey, ContextPoint};
use vault::rest::{Crypter, IndexKey, Place};
use vault::sealing::{self, OpeningKey, open_share};
use vault::sign::{Paper, Signature, SigningKey};

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
    /// The walk or a share does not verify.
    #[error("the opened context does not verify: {0}")]
    Wrong(&'static str),
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
            match self.chain.walk_context(request).await {
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
    ) -> Result<SignedPaper, OwnContextError> {
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
        let signed = Signed::sign(request, &SigningKey::from_seed(seed));
        Ok(SignedPaper {
            bytes: signed.bytes().to_vec(),
            signature: signed.signature().bytes().to_vec(),
        })
    }

    fn assemble(
        &self,
        context: &Context,
        opening_key: &OpeningKey,
        walk: &ContextWalk,
    ) -> Result<ContextKey, OwnContextError> {
        let label = context.to_string();
        let holders = self.directory.holders();
        if walk.steps.len() != holders.len() || walk.shares.len() != holders.len() {
            return Err(OwnContextError::Wrong(
                "a holder's step or share is missing",
            ));
        }
        let mut parts = Vec::with_capacity(holders.len());
        for ((oin, step), share) in holders.iter().zip(&walk.steps).zip(&walk.shares) {
            let holder = super::chain::holder_key(self.directory, oin)
                .ok_or(OwnContextError::Wrong("a holder is not in the directory"))?;
            let commitment = self
                .commitments
                .get(oin)
                .map(|octets| HolderCommitment::parse(octets));
            let Some(Ok(commitment)) = commitment else {
                return Err(OwnContextError::Wrong(
                    "a holder's commitment is not configured",
                ));
            };
            let step = check_step(context, &holder, step)?;
            let share = open_one(&label, &holder, opening_key, share)?;
            parts.push((commitment, step, share));
        }
        let opened: Vec<OpenedShare<'_>> = parts
            .iter()
            .map(|(holder, step, share)| OpenedShare {
                holder,
                step,
                share,
            })
            .collect();
        assemble(&opened).map_err(|_| {
            OwnContextError::Wrong(
                "what the key holders gave does not fit the configured commitments; compare `commitments` with \
                 what each holder's `sluis keys new` printed",
            )
        })
    }
}

fn check_step(
    context: &Context,
    holder: &HolderKey,
    paper: &SignedPaper,
) -> Result<Step, OwnContextError> {
    let wrong =
        OwnContextError::Wrong("a holder's step is malformed, forged or of another context");
    let signed = Signed::<ContextStep>::receive(paper.bytes.clone(), &paper.signature);
    let Ok(signed) = signed else {
        return Err(wrong);
    };
    let step = signed.paper();
    let own =
        signed.verify(&holder.key).is_ok() && step.holder == holder.oin && step.context == *context;
    let points = (
        ContextPoint::parse(&step.previous_point),
        ContextPoint::parse(&step.point),
    );
    match (own, points) {
        (true, (Ok(previous), Ok(point))) => Ok(Step {
            previous,
            point,
            share_commitment: step.share_commitment,
            proof: step.proof.clone(),
        }),
        _ => Err(wrong),
    }
}

fn open_one(
    label: &str,
    holder: &HolderKey,
    opening_key: &OpeningKey,
    share: &SealedShare,
) -> Result<Secret<Vec<u8>>, OwnContextError> {
    let wrong = OwnContextError::Wrong("a holder's share is forged or does not open");
    let signed = [label.as_bytes(), b"\0", &share.encapsulation, &share.sealed].concat();
    let genuine = Signature::from_slice(&share.signature)
        .is_some_and(|signature| holder.key.verify(Paper::ContextShare, &signed, &signature));
    if !genuine {
        return Err(wrong);
    }
    let sealed = sealing::SealedShare {
        encapsulation: share.encapsulation.clone(),
        sealed: share.sealed.clone(),
    };
    open_share(opening_key, label, &sealed).map_err(|_| wrong)
}

/// Where the key lies sealed.
fn place(label: &str) -> Place<'_> {
    Place {
        table: "context_key",
        row: label.as_bytes(),
        column: "sealed_key",
    }
}
