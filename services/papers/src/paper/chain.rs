//! The chain of vouchers of one order: from the source ciphertext, holder by holder, to what is in hand.
//!
//! Used by a holder on the hops before it, by the broker after the last hop, and by whoever receives a
//! conversion. Must never accept a chain in which one holder's output is not the next one's input.

use super::{Form as _, Order, PaperError, Signed, Voucher, refused};
use rules::clock::Timestamp;
use rules::id::Oin;
use rules::limits::PARENT_VOUCHER_MILLIS_MAX;
use rules::pseudonym::{Domain, OrderKind, TargetDomain};
use rules::reason::Reason;
use vault::digest::sha256;
use vault::pseudonym::CIPHERTEXT_BYTES;
use vault::sign::VerifyingKey;

/// A key holder as the verifier's own directory has it.
#[derive(Clone, Debug)]
pub struct HolderKey {
    /// The holder's organisation.
    pub oin: Oin,
    /// The key that signs its vouchers, steps and shares.
    pub key: VerifyingKey,
}

/// What the verifier has in hand, to which the chain must lead.
#[derive(Clone, Copy, Debug)]
pub enum Expectation<'a> {
    /// The hops so far, at the holder whose turn it is: every ciphertext that came in with them.
    SoFar {
        /// The source ciphertext at hop 1; after that one for each target, in the order's order.
        inputs: &'a [Vec<u8>],
    },
    /// Every hop, after the last holder: the ciphertexts that the verifier was given.
    Whole {
        /// Index of the target in the order, and the ciphertext. May be empty: a sender gets none.
        outputs: &'a [(usize, &'a [u8])],
    },
}

/// Checks the vouchers of `order` in walking order, against the holders of the verifier's own
/// directory in walking order. The order's own signature and judgement are checked elsewhere.
///
/// Each voucher must be signed by the holder whose hop it is, be about these order bytes, and take in
/// exactly what the hop before put out; what is in hand must be what the last one put out.
///
/// # Errors
///
/// `VOUCHER_INVALID` for anything in the chain, `ORDER_CIPHERTEXT_MISMATCH` when the first input is not
/// the ciphertext that the order names.
pub fn verify_vouchers(
    vouchers: &[Signed<Voucher>],
    holders: &[HolderKey],
    order: &Signed<Order>,
    expectation: Expectation<'_>,
) -> Result<(), PaperError> {
    let whole = matches!(expectation, Expectation::Whole { .. });
    if vouchers.len() > holders.len() || (whole && vouchers.len() != holders.len()) {
        return Err(wrong(
            "voucher",
            "is missing or one too many: one for each holder",
        ));
    }
    let mut inputs = vec![order.paper().ciphertext_sha256];
    for (index, (voucher, holder)) in vouchers.iter().zip(holders).enumerate() {
        voucher.verify(&holder.key)?;
        let hop = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        check_link(voucher.paper(), order, holder, hop, &inputs)?;
        inputs.clone_from(&voucher.paper().outputs_sha256);
    }
    match expectation {
        Expectation::SoFar { inputs: given } => check_inputs(given, &inputs, vouchers.is_empty()),
        Expectation::Whole { outputs } => check_outputs(outputs, &inputs),
    }
}

/// Checks that the walk ended under the registered public keys of its target contexts: the check that
/// catches a wrong or lying holder without a proof (docs/pseudonyms.md).
///
/// `keys` are pairs of the target's index in the order and the key that the verifier knows for it.
///
/// # Errors
///
/// `KEY_MISMATCH` when a key differs or the target is not there, `VOUCHER_INVALID` without vouchers.
pub fn verify_final_keys(
    vouchers: &[Signed<Voucher>],
    keys: &[(usize, [u8; 32])],
) -> Result<(), PaperError> {
    let last = vouchers
        .last()
        .ok_or_else(|| wrong("voucher", "is missing: there is none at all"))?;
    for (target, key) in keys {
        if last.paper().output_keys.get(*target) != Some(key) {
            return Err(PaperError {
                paper: Voucher::KIND.name(),
                field: "output_keys",
                wrong: "does not end under the registered key of the target context",
                reason: Reason::KeyMismatch,
            });
        }
    }
    Ok(())
}

/// Checks the vouchers of an order LINK that the portal signed, for the vakbond that redeems the code and
/// never saw the order: every holder in walking order vouches for the same order from the origin to
/// `domain`, takes in what the hop before put out, and the last one put out `output`.
///
/// # Errors
///
/// `VOUCHER_INVALID` for anything in the chain.
pub fn verify_link(
    vouchers: &[Signed<Voucher>],
    holders: &[HolderKey],
    domain: &Domain,
    output: &[u8],
) -> Result<(), PaperError> {
    let first = vouchers.first().map(Signed::paper);
    if vouchers.len() != holders.len() {
        return Err(wrong(
            "voucher",
            "is missing or one too many: one for each holder",
        ));
    }
    let mut inputs: Option<&Vec<[u8; 32]>> = None;
    for (hop, (voucher, holder)) in (1_u32..).zip(vouchers.iter().zip(holders)) {
        voucher.verify(&holder.key)?;
        let paper = voucher.paper();
        let [target] = paper.targets.as_slice() else {
            return Err(wrong("target_domains", "are not one"));
        };
        let same_order = first.is_some_and(|first| {
            first.order == paper.order && first.order_sha256 == paper.order_sha256
        });
        let checks = [
            (same_order, "order_id", "is of another order"),
            (paper.kind == OrderKind::Link, "kind", "is of another kind"),
            (
                paper.source == Domain::Origin,
                "source_domain",
                "is another one",
            ),
            (
                Domain::from(target.clone()) == *domain,
                "target_domains",
                "are other ones",
            ),
            (paper.hop == hop, "hop", "is out of order"),
            (
                paper.holder == holder.oin,
                "holder_oin",
                "is another holder",
            ),
            (
                inputs.is_none_or(|inputs| paper.inputs_sha256 == *inputs),
                "inputs_sha256",
                "do not continue the hop before",
            ),
        ];
        if let Some((_, field, what)) = checks.into_iter().find(|(holds, ..)| !holds) {
            return Err(wrong(field, what));
        }
        inputs = Some(&paper.outputs_sha256);
    }
    check_outputs(&[(0, output)], inputs.map_or(&[], Vec::as_slice))
}

/// Checks that `parent` is `holder`'s own voucher of the PREPARE that the order HANDOVER continues:
/// same source domain, same relation, not older than a handover can live.
///
/// # Errors
///
/// `ORDER_PARENT_INVALID`, whatever is wrong with it.
pub fn verify_parent(
    parent: &Signed<Voucher>,
    holder: &HolderKey,
    order: &Order,
    now: Timestamp,
) -> Result<(), PaperError> {
    let invalid = |wrong| PaperError {
        paper: Voucher::KIND.name(),
        field: "parent",
        wrong,
        reason: Reason::OrderParentInvalid,
    };
    parent
        .verify(&holder.key)
        .map_err(|_| invalid("is not this holder's own voucher"))?;
    let paper = parent.paper();
    let relation_of = |targets: &[TargetDomain]| {
        targets.iter().find_map(|target| match target {
            TargetDomain::Relation { relation, .. } => Some(relation.clone()),
            TargetDomain::Partner { .. } | TargetDomain::Portal { .. } => None,
        })
    };
    let targets: Vec<TargetDomain> = order
        .targets
        .iter()
        .map(|(domain, _)| domain.clone())
        .collect();
    let relation = relation_of(&targets);
    let checks = [
        (paper.kind.prepares(), "is not of a PREPARE or an UNBOUND"),
        (paper.holder == holder.oin, "names another holder"),
        (
            Some(paper.order) == order.parent,
            "is of another order than the parent",
        ),
        (paper.source == order.source, "has another source domain"),
        (
            relation.is_some() && relation_of(&paper.targets) == relation,
            "has another relation",
        ),
        (
            now.millis_since(paper.time) <= PARENT_VOUCHER_MILLIS_MAX,
            "is older than a handover can live",
        ),
    ];
    checks
        .into_iter()
        .find(|(holds, _)| !holds)
        .map_or(Ok(()), |(_, wrong)| Err(invalid(wrong)))
}

fn check_link(
    voucher: &Voucher,
    order: &Signed<Order>,
    holder: &HolderKey,
    hop: u32,
    inputs: &[[u8; 32]],
) -> Result<(), PaperError> {
    let paper = order.paper();
    let targets = paper.targets.iter().map(|(domain, _)| domain);
    let checks = [
        (voucher.order == paper.id, "order_id", "is of another order"),
        (
            voucher.order_sha256 == order.sha256(),
            "order_sha256",
            "is of other order bytes",
        ),
        (voucher.kind == paper.kind, "kind", "is of another kind"),
        (
            voucher.source == paper.source,
            "source_domain",
            "is another one",
        ),
        (
            voucher.targets.iter().eq(targets),
            "target_domains",
            "are other ones",
        ),
        (voucher.hop == hop, "hop", "is out of order"),
        (
            voucher.holder == holder.oin,
            "holder_oin",
            "is another holder",
        ),
        (
            voucher.inputs_sha256 == inputs,
            "inputs_sha256",
            "do not continue the hop before",
        ),
    ];
    checks
        .into_iter()
        .find(|(holds, ..)| !holds)
        .map_or(Ok(()), |(_, field, what)| Err(wrong(field, what)))
}

fn check_inputs(given: &[Vec<u8>], expected: &[[u8; 32]], first: bool) -> Result<(), PaperError> {
    let fits = given.len() == expected.len()
        && given
            .iter()
            .zip(expected)
            .all(|(bytes, digest)| is_ciphertext(bytes, digest));
    match (fits, first) {
        (true, _) => Ok(()),
        (false, true) => Err(PaperError {
            paper: Order::KIND.name(),
            field: "ciphertext_sha256",
            wrong: "is not the digest of the ciphertext that came with it",
            reason: Reason::OrderCiphertextMismatch,
        }),
        (false, false) => Err(wrong("outputs_sha256", "are not what came in at this hop")),
    }
}

fn check_outputs(outputs: &[(usize, &[u8])], expected: &[[u8; 32]]) -> Result<(), PaperError> {
    let fits = outputs.iter().all(|(target, bytes)| {
        expected
            .get(*target)
            .is_some_and(|digest| is_ciphertext(bytes, digest))
    });
    if fits {
        Ok(())
    } else {
        Err(wrong(
            "outputs_sha256",
            "are not the ciphertext that came back",
        ))
    }
}

fn is_ciphertext(bytes: &[u8], digest: &[u8; 32]) -> bool {
    bytes.len() == CIPHERTEXT_BYTES && sha256(bytes) == *digest
}

fn wrong(field: &'static str, what: &'static str) -> PaperError {
    refused::<Voucher>(field, what)
}
