//! The key holder's side: one hop of a conversion, and one step in opening a context.
//!
//! A holder sees ciphertexts and labels and no person. This module must never judge an order (that is
//! `rules::pseudonym`), and must never convert without rerandomising: a ciphertext that is not
//! rerandomised lets its maker read what the factors did to it.

use crate::cache::Cache;
use crate::chance::{Chance, draw_secret};
use crate::context::{self, ContextError, ContextShare, HolderCommitment, Step};
use crate::pseudonym::{Ciphertext, ContextPoint, PointError};
use libpep::contexts::{EncryptionContext, PseudonymizationDomain};
use libpep::elgamal::arithmetic::group_elements::G;
use libpep::factors::{
    Factor, PseudonymRekeyFactor, PseudonymizationInfo, PseudonymizationSecret, RekeyPublicKey,
    RekeyingSecret, ReshuffleFactor, make_pseudonym_rekey_factor, make_pseudonymization_factor,
};
use libpep::keys::distribution::{BlindingFactor, make_pseudonym_session_key_share_with_proof};
use libpep::transcryptor::pseudonymize;
use rules::secret::Secret;
use std::fmt;
use std::sync::Arc;

/// Fails to compile when any crate of the workspace switches on libpep's `offline`,
/// `global-pseudonyms` or `legacy`: each adds a context or a domain without a secret factor, or another
/// derivation. (`elgamal3` does not compile with [`HolderKeys::convert`].)
const _: fn(EncryptionContext, PseudonymizationDomain) = |context, domain| {
    let EncryptionContext::Specific(_) = context;
    let PseudonymizationDomain::Specific(_) = domain;
};

/// Longest label of a domain or a context, in octets; the longest that the directory can make is 150.
pub const LABEL_BYTES_MAX: usize = 255;
/// Most conversions whose factors are kept at hand: the directed pairs of a region, many times over.
const FACTORS_KEPT_MAX: usize = 8_192;
/// Most next keys kept at hand.
const KEYS_KEPT_MAX: usize = 8_192;

/// Why a hop or a step was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HopError {
    /// A label is empty or longer than [`LABEL_BYTES_MAX`].
    #[error("a label is empty or too long")]
    Label,
    /// After the first hop there is one input for each target.
    #[error("the number of inputs is not the number of targets")]
    InputCount,
}

/// The secret of one domain and epoch at one holder: all that separates its pseudonyms from another's.
/// Relations of one epoch share one. Destroying it at one holder makes the domain's pseudonyms
/// unconvertible for good. Wiped when dropped.
pub struct DomainSecret(PseudonymizationSecret);

impl DomainSecret {
    /// A fresh one, 32 octets of chance.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_secret(&draw_secret())
    }

    /// From the 32 octets that the holder kept sealed.
    #[must_use]
    pub fn from_secret(bytes: &Secret<[u8; 32]>) -> Self {
        Self(PseudonymizationSecret::from(bytes.expose().as_slice()))
    }

    /// The 32 octets, to be kept sealed.
    #[must_use]
    pub fn to_secret(&self) -> Secret<[u8; 32]> {
        Secret::new(crate::digest::whole(self.0.as_bytes()))
    }
}

impl fmt::Debug for DomainSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DomainSecret(..)")
    }
}

/// One side of a conversion: in which domain the point lives, and in which context it is encrypted.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    domain: &'a str,
    secret: &'a DomainSecret,
    context: &'a str,
}

impl<'a> Side<'a> {
    /// Takes the labels of domain and context, and this holder's secret of that domain.
    ///
    /// # Errors
    /// When a label is empty or longer than [`LABEL_BYTES_MAX`].
    pub fn new(
        domain: &'a str,
        secret: &'a DomainSecret,
        context: &'a str,
    ) -> Result<Self, HopError> {
        check_label(domain)?;
        check_label(context)?;
        Ok(Self {
            domain,
            secret,
            context,
        })
    }
}

impl fmt::Debug for Side<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Side(..)")
    }
}

fn check_label(label: &str) -> Result<(), HopError> {
    if label.is_empty() || label.len() > LABEL_BYTES_MAX {
        return Err(HopError::Label);
    }
    Ok(())
}

/// A ciphertext with the key under which it is encrypted at this point of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The ciphertext.
    pub ciphertext: Ciphertext,
    /// The key: at hop 1 the registered key of the source context, later the key that the previous
    /// holder's voucher names, after the last hop the registered key of the target context.
    pub key: ContextPoint,
}

/// What comes into a hop.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Hop 1: the one source ciphertext, for every target.
    Source(&'a Keyed),
    /// Later hops: what the previous holder made, one for each target, in order.
    Previous(&'a [Keyed]),
}

/// A holder's own long-lived secrets with the factors derived from them. The secrets are wiped when
/// dropped; libpep's copies made while a factor is used are not.
pub struct HolderKeys {
    rekeying: RekeyingSecret,
    blinding: Secret<BlindingFactor>,
    factors: Cache<Arc<Secret<(ReshuffleFactor, PseudonymRekeyFactor)>>>,
    next_keys: Cache<ContextPoint>,
}

impl HolderKeys {
    /// Fresh rekeying secret and blinding factor, for the key file.
    #[must_use]
    pub fn generate() -> HolderSecrets {
        HolderSecrets {
            rekeying: draw_secret(),
            blinding: Secret::new(
                BlindingFactor::<libpep::elgamal::arithmetic::Ristretto255>::random(&mut Chance)
                    .to_bytes(),
            ),
        }
    }

    /// From the secrets of the key file.
    ///
    /// # Errors
    /// When the blinding factor is not a canonical scalar, is zero, or is one (which would show the
    /// context's factor in clear).
    pub fn from_secrets(secrets: &HolderSecrets) -> Result<Self, PointError> {
        let blinding = BlindingFactor::from_slice(secrets.blinding.expose())
            .filter(|factor: &BlindingFactor| {
                HolderCommitment::new(factor).bytes() != libpep_generator()
            })
            .ok_or(PointError {
                kind: "blinding factor",
            })?;
        Ok(Self {
            rekeying: RekeyingSecret::from(secrets.rekeying.expose().as_slice()),
            blinding: Secret::new(blinding),
            factors: Cache::new(FACTORS_KEPT_MAX),
            next_keys: Cache::new(KEYS_KEPT_MAX),
        })
    }

    /// The commitment that this holder publishes once and everybody pins.
    #[must_use]
    pub fn commitment(&self) -> HolderCommitment {
        HolderCommitment::new(self.blinding.expose())
    }

    /// One hop: for every target rerandomises under the present key, reshuffles from the source domain
    /// to the target's and rekeys from the source context to the target's. Gives one ciphertext for
    /// each target, in order, with the key under which it now is.
    ///
    /// # Errors
    /// When the number of inputs is not the number of targets.
    pub fn convert(
        &self,
        source: &Side<'_>,
        targets: &[Side<'_>],
        inputs: Inputs<'_>,
    ) -> Result<Vec<Keyed>, HopError> {
        match inputs {
            Inputs::Source(input) => Ok(targets
                .iter()
                .map(|target| self.convert_one(source, target, input))
                .collect()),
            Inputs::Previous(inputs) if inputs.len() == targets.len() => Ok(targets
                .iter()
                .zip(inputs)
                .map(|(target, input)| self.convert_one(source, target, input))
                .collect()),
            Inputs::Previous(_) => Err(HopError::InputCount),
        }
    }

    fn convert_one(&self, source: &Side<'_>, target: &Side<'_>, input: &Keyed) -> Keyed {
        let factors = self.conversion_factors(source, target);
        let (s, k) = *factors.expose();
        let information = PseudonymizationInfo { s, k };
        let value = pseudonymize(
            input.ciphertext.value(),
            &information,
            input.key.value(),
            &mut Chance,
        );
        let parts = [
            source.context.as_bytes(),
            target.context.as_bytes(),
            input.key.bytes(),
        ];
        let key = self.next_keys.value(&parts, || {
            ContextPoint::from_value(information.rekey_public_key(input.key.value()))
        });
        Keyed {
            ciphertext: Ciphertext::from_value(value),
            key,
        }
    }

    /// Both ratios of a conversion: s(target)/s(source) and k(target)/k(source).
    fn conversion_factors(
        &self,
        source: &Side<'_>,
        target: &Side<'_>,
    ) -> Arc<Secret<(ReshuffleFactor, PseudonymRekeyFactor)>> {
        let parts = [
            source.domain.as_bytes(),
            source.secret.0.as_bytes(),
            source.context.as_bytes(),
            target.domain.as_bytes(),
            target.secret.0.as_bytes(),
            target.context.as_bytes(),
        ];
        self.factors.value(&parts, || {
            let s_from = domain_factor(&source.secret.0, source.domain);
            let s_to = domain_factor(&target.secret.0, target.domain);
            let k_from = self.context_factor(source.context);
            let k_to = self.context_factor(target.context);
            Arc::new(Secret::new((
                ReshuffleFactor::from_scalar(s_from.scalar().invert() * s_to.scalar()),
                PseudonymRekeyFactor::from_scalar(k_from.scalar().invert() * k_to.scalar()),
            )))
        })
    }

    fn context_factor(&self, context: &str) -> PseudonymRekeyFactor {
        make_pseudonym_rekey_factor(&self.rekeying, &EncryptionContext::from(context))
    }

    /// This holder's step in opening a context: its share times `previous` (at the first step
    /// [`context::first_point`]), with proof. The caller has checked the owner's request and every
    /// earlier step: on a point of somebody's choosing a step would be an oracle. The label is in no
    /// proof; the holder's signature over the step ties it.
    ///
    /// # Errors
    /// When the label is empty or too long.
    pub fn context_step(
        &self,
        context: &str,
        previous: &ContextPoint,
    ) -> Result<Step, ContextError> {
        context::step(previous, &self.context_share(context)?)
    }

    /// This holder's share of a context key, to be sealed to the context's owner and nobody else.
    ///
    /// # Errors
    /// When the label is empty or too long.
    pub fn context_share(&self, context: &str) -> Result<ContextShare, ContextError> {
        check_label(context).map_err(|_| ContextError::Malformed("label"))?;
        let factor = self.context_factor(context);
        let (share, proof) = make_pseudonym_session_key_share_with_proof(
            &factor,
            self.blinding.expose(),
            &mut Chance,
        )
        .map_err(|_| ContextError::Malformed("blinding factor"))?;
        Ok(ContextShare::new(share, factor.scalar() * G, proof))
    }

    /// Forgets every derived factor. To be called when a domain secret is destroyed, as a factor at
    /// hand would outlive it.
    pub fn forget_derived(&self) {
        self.factors.clear();
        self.next_keys.clear();
    }
}

impl fmt::Debug for HolderKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HolderKeys(..)")
    }
}

/// The two secrets of a holder as they stand in its key file.
#[derive(Debug)]
pub struct HolderSecrets {
    /// The secret from which the factors of contexts are derived, 32 octets.
    pub rekeying: Secret<[u8; 32]>,
    /// The blinding factor, a scalar of 32 octets.
    pub blinding: Secret<[u8; 32]>,
}

/// s(d): libpep's DeriveFactor with label 0x03 over the domain's secret and its label.
pub(crate) fn domain_factor(secret: &PseudonymizationSecret, domain: &str) -> ReshuffleFactor {
    make_pseudonymization_factor(secret, &PseudonymizationDomain::from(domain))
}

/// The generator's octets: the commitment to the factor one.
fn libpep_generator() -> [u8; 32] {
    G.to_bytes()
}
