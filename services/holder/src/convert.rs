//! One order at one holder: every check in a fixed order, then the hop and its voucher.
//!
//! Must never convert on anybody's word: the order is the owner's, the table and the keys are this
//! holder's own, and what earlier holders did is read from their vouchers and not from the request.

use crate::own_directory::{trust_level, voucher_key};
use crate::registry::Registry;
use crate::replay::{OrderKey, Replay, Seen};
use crate::time::Moment;
use papers::paper::{Signed, SignedPaper, Voucher};
use rules::clock::Timestamp;
use rules::directory::Directory;
use rules::id::Oin;
use rules::limits::{CLOCK_SKEW_MILLIS_MAX, PARENT_VOUCHER_MILLIS_MAX};
use rules::pseudonym::{Order, OrderKind, OrderPlan, TargetDomain, judge};
use rules::reason::{Outcome, Reason};
use std::fmt;
use std::sync::Arc;
use vault::digest::sha256;
use vault::holder::{DomainSecret, HolderKeys, Inputs, Keyed, Side};
use vault::pseudonym::{Ciphertext, ContextPoint};
use vault::sign::{SigningKey, VerifyingKey};

/// One order with what came with it.
pub struct ConvertItem {
    /// The order.
    pub order: Signed<Order>,
    /// What comes in: the source ciphertext at hop 1, later the previous hop's outputs; 64 bytes each.
    pub ciphertexts: Vec<Vec<u8>>,
    /// Vouchers of the earlier hops, in walking order.
    pub earlier: Vec<Signed<Voucher>>,
    /// This holder's own voucher of the order that this one continues, where it continues one.
    pub parent: Option<Signed<Voucher>>,
}

impl fmt::Debug for ConvertItem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ConvertItem({})", self.order.paper().id)
    }
}

/// What one hop made.
#[derive(Clone, PartialEq, Eq)]
pub struct Hop {
    /// One ciphertext for each target.
    pub ciphertexts: Vec<[u8; 64]>,
    /// This holder's voucher.
    pub voucher: SignedPaper,
}

impl fmt::Debug for Hop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Hop({} ciphertexts)", self.ciphertexts.len())
    }
}

/// What an order is judged by: all of it this holder's own.
pub(crate) struct Hearing<'a> {
    /// Who this holder is.
    pub(crate) oin: &'a Oin,
    /// With which key it signs vouchers.
    pub(crate) voucher_key: VerifyingKey,
    /// Its own copy of the directory.
    pub(crate) directory: &'a Arc<Directory>,
    /// The contexts that it helped to open.
    pub(crate) registry: &'a Registry,
    /// The orders that it remembers.
    pub(crate) replay: &'a Replay,
    /// The present moment, and what may have been carried out before.
    pub(crate) at: &'a Moment,
}

/// An order after judgement.
pub(crate) enum Judged {
    /// Carried out before; this was the answer.
    Answered(Arc<Hop>),
    /// To be carried out.
    Planned(Box<Plan>),
}

/// A hop that may be made: only [`Hearing::judge`] makes one.
pub(crate) struct Plan {
    pub(crate) order: OrderPlan,
    pub(crate) key: OrderKey,
    pub(crate) order_sha256: [u8; 32],
    inputs_sha256: Vec<[u8; 32]>,
    inputs: PlannedInputs,
    hop: u32,
    /// At the last hop the registered keys of the target contexts.
    final_keys: Option<Vec<ContextPoint>>,
    trust_level: u32,
    directory_version: u64,
}

enum PlannedInputs {
    Source(Box<Keyed>),
    Previous(Vec<Keyed>),
}

impl Hearing<'_> {
    /// Judges one order: issuer and signature, the closed table with the window, age, repetition,
    /// place in the walk, earlier vouchers, ciphertexts, parent, contexts. Quotas come after.
    ///
    /// Remembers nothing: an order takes room once its issuer's quota has paid for it. The order of the checks keeps
    /// the dear ones (signatures of earlier vouchers, points) behind the cheap ones.
    pub(crate) fn judge(&self, item: ConvertItem) -> Result<Judged, Reason> {
        let order = item.order.paper();
        let issuer = self.directory.member(&order.issuer, &order.desk)?;
        let issuer_key = VerifyingKey::from_bytes(issuer.desk.signing_key);
        item.order
            .verify(&issuer_key)
            .map_err(|error| error.reason)?;
        let judged = match judge(order, self.directory, self.at.now) {
            Outcome::Permitted(plan) => plan,
            Outcome::Refused(refusal) => return Err(refusal.reason),
        };
        // The memory of orders outlives neither the process nor a jump of its clock.
        let may_be_repeated = self.at.period.may_be_repeated(order.not_before);
        need(!may_be_repeated, Reason::OrderExpired)?;
        let key = (order.issuer.clone(), order.id);
        let order_sha256 = item.order.sha256();
        match self.replay.see(&key, &order_sha256, self.at)? {
            Seen::Answered(hop) => return Ok(Judged::Answered(hop)),
            Seen::Fresh => {}
        }
        let walk = self.directory.holders();
        let place = walk
            .iter()
            .position(|walker| walker == self.oin)
            .ok_or(Reason::OrderForbidden)?;
        self.check_earlier(&item, walk, place, &order_sha256)?;
        self.check_parent(&item, &judged)?;
        let inputs_sha256 = check_ciphertexts(&item)?;
        let inputs = self.inputs(&item)?;
        let is_last = place.saturating_add(1) == walk.len();
        let targets = self.registered(order)?;
        Ok(Judged::Planned(Box::new(Plan {
            order: judged,
            key,
            order_sha256,
            inputs_sha256,
            inputs,
            hop: hop_number(place),
            final_keys: is_last.then_some(targets),
            trust_level: trust_level(self.directory),
            directory_version: self.directory.version(),
        })))
    }

    /// The earlier vouchers are all there, each by the holder whose turn it was, each about this order
    /// and joined to the one before; and none was made under a newer directory than this holder has: what was revoked or
    /// has ended there may still stand here. An older one elsewhere costs nothing: here it is judged by the newer one.
    fn check_earlier(
        &self,
        item: &ConvertItem,
        walk: &[Oin],
        place: usize,
        order_sha256: &[u8; 32],
    ) -> Result<(), Reason> {
        let order = item.order.paper();
        need(item.earlier.len() == place, Reason::VoucherInvalid)?;
        let mut inputs = vec![order.ciphertext_sha256];
        for (index, (received, walker)) in item.earlier.iter().zip(walk).enumerate() {
            let voucher = received.paper();
            let fits = voucher.order == order.id
                && voucher.order_sha256 == *order_sha256
                && voucher.kind == order.kind
                && voucher.source == order.source
                && voucher
                    .targets
                    .iter()
                    .eq(order.targets.iter().map(|(domain, _)| domain))
                && voucher.hop == hop_number(index)
                && voucher.holder == *walker
                && voucher.inputs_sha256 == inputs
                && voucher.outputs_sha256.len() == order.targets.len()
                && voucher.output_keys.len() == order.targets.len()
                && voucher.time.millis_since(self.at.now) <= CLOCK_SKEW_MILLIS_MAX
                && order.not_before.millis_since(voucher.time) <= CLOCK_SKEW_MILLIS_MAX;
            need(fits, Reason::VoucherInvalid)?;
            let key = voucher_key(self.directory, walker).ok_or(Reason::VoucherInvalid)?;
            received.verify(&key).map_err(|error| error.reason)?;
            inputs.clone_from(&voucher.outputs_sha256);
        }
        let own = self.directory.version();
        for paper in item.earlier.iter().map(Signed::paper) {
            let (holder, theirs) = (&paper.holder, paper.directory_version);
            if theirs > own && !is_the_persons_own(order.kind) {
                tracing::warn!(%holder, theirs, own, "this holder's directory is older: import the newest one here");
                return Err(Reason::DirectoryBehind);
            }
            if theirs < own {
                tracing::info!(%holder, theirs, own, "that holder's directory is older: its operator must import");
            }
        }
        Ok(())
    }

    /// A HANDOVER rests on this holder's own voucher of its PREPARE or UNBOUND, a CHECK or MISMATCH on that of the
    /// HANDOVER to its issuer, so that nothing needs to be stored.
    fn check_parent(&self, item: &ConvertItem, judged: &OrderPlan) -> Result<(), Reason> {
        let order = item.order.paper();
        let received = match (order.kind.has_parent(), &item.parent) {
            (true, Some(received)) => received,
            (true, None) | (false, Some(_)) => return Err(Reason::OrderParentInvalid),
            (false, None) => return Ok(()),
        };
        let voucher = received.paper();
        let is_relation = |target: &TargetDomain| match target {
            TargetDomain::Relation { relation, .. } => Some(relation) == judged.relation(),
            TargetDomain::Partner { .. } | TargetDomain::Portal { .. } => false,
        };
        let is_to_issuer = |target: &TargetDomain| match target {
            TargetDomain::Partner { party, .. } => party == judged.issuer(),
            TargetDomain::Relation { .. } | TargetDomain::Portal { .. } => false,
        };
        let continues = if order.kind == OrderKind::Handover {
            voucher.kind.prepares()
                && voucher.source == order.source
                && voucher.targets.iter().any(is_relation)
        } else {
            voucher.kind == OrderKind::Handover && voucher.targets.iter().any(is_to_issuer)
        };
        let age_millis = self.at.now.millis_since(voucher.time);
        let fits = continues
            && voucher.holder == *self.oin
            && Some(voucher.order) == order.parent
            && (-CLOCK_SKEW_MILLIS_MAX..=PARENT_VOUCHER_MILLIS_MAX).contains(&age_millis);
        need(
            fits && received.verify(&self.voucher_key).is_ok(),
            Reason::OrderParentInvalid,
        )
    }

    /// What comes in, each with the key that it is under: from the own registry at hop 1, later from the
    /// voucher of the holder before.
    fn inputs(&self, item: &ConvertItem) -> Result<PlannedInputs, Reason> {
        let order = item.order.paper();
        let parse = |bytes: &Vec<u8>| Ciphertext::parse(bytes).map_err(|_| Reason::PointInvalid);
        match (item.earlier.last(), item.ciphertexts.as_slice()) {
            (None, [source]) => Ok(PlannedInputs::Source(Box::new(Keyed {
                key: self.registry.key(&order.source_context)?,
                ciphertext: parse(source)?,
            }))),
            (None, _) => Err(Reason::OrderCiphertextMismatch),
            (Some(previous), ciphertexts) => ciphertexts
                .iter()
                .zip(&previous.paper().output_keys)
                .map(|(ciphertext, key)| {
                    let key = ContextPoint::parse(key).map_err(|_| Reason::VoucherInvalid)?;
                    let ciphertext = parse(ciphertext)?;
                    Ok(Keyed { ciphertext, key })
                })
                .collect::<Result<_, Reason>>()
                .map(PlannedInputs::Previous),
        }
    }

    /// The registered keys of the target contexts; every context of the order must have been opened.
    fn registered(&self, order: &Order) -> Result<Vec<ContextPoint>, Reason> {
        self.registry.key(&order.source_context)?;
        order
            .targets
            .iter()
            .map(|(_, context)| self.registry.key(context))
            .collect()
    }
}

/// What came in is what the order names (hop 1) or what the previous holder vouched for. Gives the
/// digests.
fn check_ciphertexts(item: &ConvertItem) -> Result<Vec<[u8; 32]>, Reason> {
    let digests: Vec<[u8; 32]> = item.ciphertexts.iter().map(|bytes| sha256(bytes)).collect();
    let named = match item.earlier.last() {
        Some(previous) => previous.paper().outputs_sha256.as_slice(),
        None => std::slice::from_ref(&item.order.paper().ciphertext_sha256),
    };
    need(digests == named, Reason::OrderCiphertextMismatch)?;
    Ok(digests)
}

/// With what a hop is made: the keys are this holder's own.
pub(crate) struct Tools<'a> {
    pub(crate) oin: &'a Oin,
    pub(crate) keys: &'a HolderKeys,
    pub(crate) signing: &'a SigningKey,
    pub(crate) replay: &'a Replay,
    pub(crate) now: Timestamp,
}

/// A plan with the secrets of its domains: the source's, then one for each target.
pub(crate) struct Ready {
    pub(crate) plan: Box<Plan>,
    pub(crate) source: Arc<DomainSecret>,
    pub(crate) targets: Vec<Arc<DomainSecret>>,
}

impl Tools<'_> {
    /// Makes the hop and its voucher. At the last hop the keys that come out are compared with the
    /// registered ones: a wrong or lying rekey anywhere in the walk shows here.
    pub(crate) fn make(&self, ready: &Ready) -> Result<Arc<Hop>, Reason> {
        let plan = &ready.plan;
        let order = plan.order.order();
        let outputs = self.convert(ready).ok_or(Reason::OrderMalformed)?;
        if let Some(registered) = &plan.final_keys {
            need(
                outputs.iter().map(|output| &output.key).eq(registered),
                Reason::KeyMismatch,
            )?;
        }
        let ciphertexts: Vec<[u8; 64]> = outputs
            .iter()
            .map(|output| *output.ciphertext.bytes())
            .collect();
        let voucher = Voucher {
            order: order.id,
            order_sha256: plan.order_sha256,
            kind: order.kind,
            source: order.source.clone(),
            targets: order
                .targets
                .iter()
                .map(|(domain, _)| domain.clone())
                .collect(),
            hop: plan.hop,
            holder: self.oin.clone(),
            inputs_sha256: plan.inputs_sha256.clone(),
            outputs_sha256: ciphertexts.iter().map(|bytes| sha256(bytes)).collect(),
            output_keys: outputs.iter().map(|output| *output.key.bytes()).collect(),
            time: self.now,
            trust_level: plan.trust_level,
            directory_version: plan.directory_version,
        };
        let voucher = Signed::sign(voucher, self.signing).carried();
        let hop = Arc::new(Hop {
            ciphertexts,
            voucher,
        });
        Ok(self.replay.answer(&plan.key, hop))
    }

    /// `None` when a label is longer than the vault takes.
    fn convert(&self, ready: &Ready) -> Option<Vec<Keyed>> {
        let order = ready.plan.order.order();
        let (domain, context) = (order.source.to_string(), order.source_context.to_string());
        let source = Side::new(&domain, &ready.source, &context).ok()?;
        let labels: Vec<(String, String)> = order
            .targets
            .iter()
            .map(|(domain, context)| (domain.to_string(), context.to_string()))
            .collect();
        let targets = labels
            .iter()
            .zip(&ready.targets)
            .map(|((domain, context), secret)| Side::new(domain, secret, context))
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        let inputs = match &ready.plan.inputs {
            PlannedInputs::Source(keyed) => Inputs::Source(keyed),
            PlannedInputs::Previous(keyed) => Inputs::Previous(keyed),
        };
        self.keys.convert(&source, &targets, inputs).ok()
    }
}

pub(crate) fn need(holds: bool, reason: Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(reason) }
}

/// Hops count from 1. There are as many as the directory has holders, so the number always fits.
pub(crate) fn hop_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

/// Whether the person stands behind the order: they come to look, to say no and to stop, and no directory that one holder
/// lacks keeps them waiting.
const fn is_the_persons_own(kind: OrderKind) -> bool {
    matches!(kind, OrderKind::Login | OrderKind::Consent)
}
