//! Key holders and owners in one process, for tests: same calls as the real ones, no wire between.
//!
//! Must never take a short cut past a proof or a seal: what it skips, no test would see.

use crate::context::{ContextError, OpenedShare, Step, assemble, first_point, verify_walk};
use crate::holder::{DomainSecret, HolderKeys, Inputs, Keyed, Side};
use crate::pseudonym::{Bsn, ContextKey, Pseudonym};
use crate::sealing::{OpeningKey, open_share, seal_share};
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The origin domain.
pub(super) const ORIGIN: &str = "origin/bsn/1";
/// The domains of two partners, a relation and the portal.
pub(super) const UWV: &str = "partner/00000099000000001000/main/1";
pub(super) const GEMEENTE: &str = "partner/00000099000000002000/main/1";
pub(super) const RELATION: &str =
    "rel/00000099000000001000/main/00000099000000002000/main/HANDOVER/1";
pub(super) const PORTAL: &str = "portal/1";

/// One key holder with its secrets by domain.
pub(super) struct Holder {
    pub(super) keys: HolderKeys,
    secrets: Mutex<BTreeMap<String, Secret<[u8; 32]>>>,
}

impl Holder {
    pub(super) fn new() -> Self {
        Self {
            keys: HolderKeys::from_secrets(&HolderKeys::generate()).unwrap(),
            secrets: Mutex::default(),
        }
    }

    /// This holder's secret of a domain, drawn when it is first asked for.
    pub(super) fn secret(&self, domain: &str) -> DomainSecret {
        let mut secrets = self.secrets.lock().unwrap();
        let secret = secrets
            .entry(domain.to_owned())
            .or_insert_with(|| DomainSecret::generate().to_secret());
        DomainSecret::from_secret(secret)
    }
}

/// One target of a conversion: domain and the owner's context label.
pub(super) type Target<'a> = (&'a str, &'a str);

/// The holders together.
pub(super) struct Holders(pub(super) Vec<Holder>);

impl Holders {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Holder::new()).collect())
    }

    /// The walk of a context.
    pub(super) fn walk(&self, label: &str) -> Vec<Step> {
        let mut point = first_point();
        self.0
            .iter()
            .map(|holder| {
                let step = holder.keys.context_step(label, &point).unwrap();
                point = step.point.clone();
                step
            })
            .collect()
    }

    /// Opens a context as its owner does: walk, sealed shares, comparison.
    pub(super) fn open_context(&self, label: &str) -> ContextKey {
        self.try_open_context(label).unwrap()
    }

    fn try_open_context(&self, label: &str) -> Result<ContextKey, ContextError> {
        let steps = self.walk(label);
        let commitments: Vec<_> = self
            .0
            .iter()
            .map(|holder| holder.keys.commitment())
            .collect();
        let owner = OpeningKey::from_seed(&OpeningKey::generate());
        let shares: Vec<_> = self
            .0
            .iter()
            .map(|holder| {
                let share = holder.keys.context_share(label).unwrap().to_secret();
                let sealed = seal_share(&owner.public(), label, &share).unwrap();
                open_share(&owner, label, &sealed).unwrap()
            })
            .collect();
        let opened: Vec<_> = commitments
            .iter()
            .zip(&steps)
            .zip(&shares)
            .map(|((holder, step), share)| OpenedShare {
                holder,
                step,
                share,
            })
            .collect();
        let key = assemble(&opened)?;
        let walk: Vec<_> = commitments
            .iter()
            .copied()
            .zip(steps.iter().cloned())
            .collect();
        assert_eq!(
            verify_walk(&walk)?,
            *key.public(),
            "the holders store the same key"
        );
        Ok(key)
    }

    /// Converts along the holders in the given order.
    pub(super) fn convert(
        &self,
        order: &[usize],
        source: Target<'_>,
        targets: &[Target<'_>],
        input: &Keyed,
    ) -> Vec<Keyed> {
        let mut outputs: Option<Vec<Keyed>> = None;
        for position in order {
            let holder = &self.0[*position];
            let secret = holder.secret(source.0);
            let source = Side::new(source.0, &secret, source.1).unwrap();
            let secrets: Vec<_> = targets
                .iter()
                .map(|target| holder.secret(target.0))
                .collect();
            let sides: Vec<_> = targets
                .iter()
                .zip(&secrets)
                .map(|(target, secret)| Side::new(target.0, secret, target.1).unwrap())
                .collect();
            let inputs = outputs
                .as_deref()
                .map_or(Inputs::Source(input), Inputs::Previous);
            let made = holder.keys.convert(&source, &sides, inputs).unwrap();
            outputs = Some(made);
        }
        outputs.unwrap()
    }
}

/// An owner: a domain, a context and the context's key.
pub(super) struct Owner {
    pub(super) domain: &'static str,
    pub(super) context: String,
    pub(super) key: ContextKey,
}

impl Owner {
    pub(super) fn new(holders: &Holders, domain: &'static str, context: &str) -> Self {
        let context = context.to_owned();
        let key = holders.open_context(&context);
        Self {
            domain,
            context,
            key,
        }
    }

    pub(super) fn target(&self) -> Target<'_> {
        (self.domain, &self.context)
    }

    /// The owner's pseudonym of a person, by enrolment.
    pub(super) fn enrol(&self, holders: &Holders, order: &[usize], bsn: &str) -> Pseudonym {
        let bsn: Bsn = bsn.parse().unwrap();
        let input = self.keyed(self.key.encrypt_bsn(&bsn));
        let made = holders.convert(order, (ORIGIN, &self.context), &[self.target()], &input);
        self.take(&made[0])
    }

    /// Another owner's pseudonym, from this owner's.
    pub(super) fn hand_over(
        &self,
        holders: &Holders,
        order: &[usize],
        pseudonym: &Pseudonym,
        to: &Self,
    ) -> Pseudonym {
        let input = self.keyed(self.key.encrypt(pseudonym));
        let made = holders.convert(order, self.target(), &[to.target()], &input);
        to.take(&made[0])
    }

    pub(super) fn keyed(&self, ciphertext: crate::pseudonym::Ciphertext) -> Keyed {
        Keyed {
            ciphertext,
            key: self.key.public().clone(),
        }
    }

    /// Takes what the last hop made, after the check of the final key.
    pub(super) fn take(&self, made: &Keyed) -> Pseudonym {
        assert_eq!(
            made.key,
            *self.key.public(),
            "the final key is the registered key"
        );
        self.key.decrypt(&made.ciphertext).unwrap()
    }
}
