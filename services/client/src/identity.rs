//! Who this client is and whom it trusts: its desk and keys, the controllers, and the holders' pinned
//! commitments.
//!
//! Must never sign for another desk than its own: the gateway would refuse it, and rightly.

use crate::directory::Controller;
use crate::error::ClientError;
use papers::paper::{Form, Order, Signed};
use rules::clock::{Clock, Random};
use rules::id::{DeskName, Oin, OrderId, Party};
use std::collections::BTreeMap;
use vault::context::HolderCommitment;
use vault::keyfile::{KeyFile, KeyFileError, SecretName};
use vault::sealing::OpeningKey;
use vault::sign::SigningKey;

/// How long an order is valid from the moment at which it is signed, in milliseconds. Each attempt signs
/// anew, so it need not outlive one call.
pub const ORDER_WINDOW_MILLIS: i64 = 2 * rules::limits::MINUTE_MILLIS;

/// The desk that this client acts for, with its keys.
#[derive(Debug)]
pub struct Identity {
    /// The desk's organisation and realm.
    pub party: Party,
    /// The desk.
    pub desk: DeskName,
    /// Signs orders, manifests, context requests and answers.
    pub signing_key: SigningKey,
    /// Open what is sealed to the realm, newest first; an older one stays for a month after a change.
    pub opening_keys: Vec<OpeningKey>,
}

impl Identity {
    /// The identity of a desk with the secrets of its key file.
    ///
    /// # Errors
    ///
    /// When the file lacks a secret that a desk needs.
    pub fn from_key_file(
        party: Party,
        desk: DeskName,
        file: &KeyFile,
    ) -> Result<Self, KeyFileError> {
        let newest = OpeningKey::from_seed(file.require(SecretName::OpeningSeed)?);
        let previous = file
            .secret(SecretName::OpeningSeedPrevious)
            .map(OpeningKey::from_seed);
        Ok(Self {
            party,
            desk,
            signing_key: SigningKey::from_seed(file.require(SecretName::SigningSeed)?),
            opening_keys: std::iter::once(newest).chain(previous).collect(),
        })
    }

    /// The key to which something was sealed, by the SHA-256 of its public half.
    pub(crate) fn opening_key(&self, sha256: &[u8; 32]) -> Result<&OpeningKey, ClientError> {
        self.opening_keys
            .iter()
            .find(|key| key.public().sha256() == *sha256)
            .ok_or(ClientError::Input {
                what: "the fields are sealed to a key that this desk does not have",
                remedy: "put the previous opening seed back in the key file, or call request_reseal",
            })
    }

    /// A fresh order from a template: a new id and a window that begins now.
    pub(crate) fn sign_order(
        &self,
        template: &wire::pseudonym::v1::Order,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Signed<Order>, ClientError> {
        let now = clock.now();
        let message = wire::pseudonym::v1::Order {
            order_id: OrderId::draw(clock, random).bytes().to_vec(),
            not_before_millis: now.millis(),
            not_after_millis: now.plus_millis(ORDER_WINDOW_MILLIS).millis(),
            ..template.clone()
        };
        Ok(Signed::sign(
            Order::from_message(message)?,
            &self.signing_key,
        ))
    }
}

/// Whose word counts, as configured. Taken over once from the controllers and the holders themselves.
#[derive(Clone, Debug)]
pub struct Trust {
    /// All controllers; every one must sign a directory.
    pub controllers: Vec<Controller>,
    /// Each holder's commitment to its blinding factor.
    pub commitments: BTreeMap<Oin, HolderCommitment>,
}
