//! The closed table of conversions (docs/pseudonyms.md): kind, issuer, source, targets and owners.
//!
//! Runs at every key holder on that holder's own directory, so that no single party decides what is
//! converted. Must never accept an order by default: each kind has one row, and what is not in the
//! row is refused.

use crate::clock::Timestamp;
use crate::directory::{Directory, Member, Right, exchanges};
use crate::id::{Party, PeerKind};
use crate::limits::{CLOCK_SKEW_MILLIS_MAX, ORDER_WINDOW_MILLIS_MAX};
use crate::pseudonym::{Context, Domain, Order, OrderKind, Relation, TargetDomain};
use crate::reason::{Outcome, Reason, Refusal};

/// Which quota an order draws from, per issuing organisation and day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Orders that reveal a pseudonym to whoever already has the number.
    Enrol,
    /// Orders that ask about a person.
    Prepare,
    /// Orders that release a person's pseudonym.
    Handover,
    /// Orders of the portal, bounded by its own logins.
    Portal,
    /// Orders that compare the number in a dossier with the person handed over.
    Check,
    /// Orders that tell the person of a number that it was used for somebody else.
    Mismatch,
}

impl Quota {
    /// The code, as in the holder's counters.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Enrol => "ENROL",
            Self::Prepare => "PREPARE",
            Self::Handover => "HANDOVER",
            Self::Portal => "PORTAL",
            Self::Check => "CHECK",
            Self::Mismatch => "MISMATCH",
        }
    }
}

/// An order that the table has. Only [`judge`] makes one, so having it is proof of the judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPlan {
    order: Order,
    issuer: Party,
    quota: Quota,
    relation: Option<Relation>,
}

impl OrderPlan {
    /// The order that was judged.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// The issuing desk's organisation and realm.
    #[must_use]
    pub const fn issuer(&self) -> &Party {
        &self.issuer
    }

    /// The quota it draws from.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// The relation it is about, for kinds that have one.
    #[must_use]
    pub const fn relation(&self) -> Option<&Relation> {
        self.relation.as_ref()
    }
}

/// Whether the closed table has this order, at this moment, in this directory.
///
/// The signature is not looked at here: verify it over the received bytes with the desk's registered
/// signing key, before or after. Replay, quota, ciphertext and vouchers are the holder's own checks.
///
/// Refuses with `ORDER_MALFORMED` (form), `ORDER_WINDOW_TOO_LONG`, `ORDER_EXPIRED`,
/// `ORDER_NOT_YET_VALID`, `DIRECTORY_EXPIRED`, `OIN_UNKNOWN`, `DESK_UNKNOWN`, `CERTIFICATE_REVOKED`, `RIGHT_MISSING`,
/// `ORDER_PARENT_INVALID`, `NO_AGREEMENT` (no edge), `CONTEXT_UNKNOWN` (an owner's other context),
/// `SUBJECT_UNBOUND` (an order UNBOUND of a realm that enrols by number), and `ORDER_FORBIDDEN` for everything else that no row has.
#[must_use]
pub fn judge(order: &Order, directory: &Directory, now: Timestamp) -> Outcome<OrderPlan> {
    match plan(order, directory, now) {
        Ok(plan) => Outcome::Permitted(plan),
        Err(reason) => Outcome::Refused(Refusal::new(reason)),
    }
}

fn plan(order: &Order, directory: &Directory, now: Timestamp) -> Result<OrderPlan, Reason> {
    check_form(order)?;
    check_window(order, now)?;
    check_end(order, directory, now)?;
    let issuer = directory.member(&order.issuer, &order.desk)?;
    if issuer.oversees() {
        return Err(Reason::RightMissing);
    }
    let relation = match order.kind {
        OrderKind::Enrol => enrol(order, issuer, directory)?,
        OrderKind::Login => login(order, issuer, directory)?,
        OrderKind::Link => link(order, issuer, directory)?,
        OrderKind::Consent => consent(order, issuer, directory)?,
        OrderKind::Assist => {
            need_right(issuer, Right::Assist)?;
            prepare(order, issuer, directory, now)?
        }
        OrderKind::Prepare => prepare(order, issuer, directory, now)?,
        OrderKind::Handover => handover(order, issuer, directory, now)?,
        OrderKind::Unbound => unbound(order, issuer, directory, now)?,
        OrderKind::Check => check(order, issuer, directory)?,
        OrderKind::Mismatch => mismatch(order, issuer, directory)?,
        // Both rows of ROTATE (a partner's next epoch or successor, a relation's next epoch) are in
        // docs/pseudonyms.md and not yet run: nothing rotates until holders keep two epochs. Until then a
        // rotation is an order that no row has, whoever signs it.
        OrderKind::Rotate => return Err(Reason::OrderForbidden),
    };
    check_purpose(order, relation.as_ref())?;
    check_contexts(order, issuer, directory)?;
    Ok(OrderPlan {
        order: order.clone(),
        issuer: issuer.party(),
        quota: quota(order.kind),
        relation,
    })
}

const fn quota(kind: OrderKind) -> Quota {
    match kind {
        OrderKind::Enrol | OrderKind::Rotate => Quota::Enrol,
        OrderKind::Login | OrderKind::Link | OrderKind::Consent => Quota::Portal,
        OrderKind::Assist | OrderKind::Prepare | OrderKind::Unbound => Quota::Prepare,
        OrderKind::Handover => Quota::Handover,
        OrderKind::Check => Quota::Check,
        OrderKind::Mismatch => Quota::Mismatch,
    }
}

fn check_form(order: &Order) -> Result<(), Reason> {
    if order.version != Order::VERSION || order.not_after <= order.not_before {
        return Err(Reason::OrderMalformed);
    }
    match (order.kind.has_parent(), order.parent) {
        (true, Some(parent)) if parent != order.id => Ok(()),
        (true, _) => Err(Reason::OrderParentInvalid),
        (false, None) => Ok(()),
        (false, Some(_)) => Err(Reason::OrderMalformed),
    }
}

/// The end has no allowance for a slow clock: the replay memory forgets an order at its end.
fn check_window(order: &Order, now: Timestamp) -> Result<(), Reason> {
    if order.not_after.millis_since(order.not_before) > ORDER_WINDOW_MILLIS_MAX {
        Err(Reason::OrderWindowTooLong)
    } else if now > order.not_after {
        Err(Reason::OrderExpired)
    } else if order.not_before.millis_since(now) > CLOCK_SKEW_MILLIS_MAX {
        Err(Reason::OrderNotYetValid)
    } else {
        Ok(())
    }
}

/// Under a directory past its end only a person's own orders go on: without them nobody could log in to stop something.
fn check_end(order: &Order, directory: &Directory, now: Timestamp) -> Result<(), Reason> {
    match order.kind {
        OrderKind::Login | OrderKind::Consent => Ok(()),
        _ if directory.has_ended(now) => Err(Reason::DirectoryExpired),
        _ => Ok(()),
    }
}

fn enrol(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
) -> Result<Option<Relation>, Reason> {
    need_partner(issuer)?;
    need_right(issuer, Right::Bsn)?;
    let own = partner_domain(directory, &issuer.party())?;
    need(order.source == Domain::Origin && target_domains(order) == [&own])?;
    Ok(None)
}

fn login(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
) -> Result<Option<Relation>, Reason> {
    need_portal(issuer, directory)?;
    let current = directory.portal_epoch();
    let mut wanted = vec![TargetDomain::Portal { epoch: current }];
    // The first epoch has none before it.
    if current > 1 {
        wanted.push(TargetDomain::Portal { epoch: current - 1 });
    }
    need(order.source == Domain::Origin && target_domains(order).into_iter().eq(&wanted))?;
    Ok(None)
}

fn link(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
) -> Result<Option<Relation>, Reason> {
    need_portal(issuer, directory)?;
    let [target] = target_domains(order)[..] else {
        return Err(Reason::OrderForbidden);
    };
    let TargetDomain::Partner { party, .. } = target else {
        return Err(Reason::OrderForbidden);
    };
    let union = directory.peer(&party.oin).ok_or(Reason::OrderForbidden)?;
    need(union.kind() == PeerKind::Vakbond)?;
    need(order.source == Domain::Origin && *target == partner_domain(directory, party)?)?;
    Ok(None)
}

fn consent(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
) -> Result<Option<Relation>, Reason> {
    need_portal(issuer, directory)?;
    let [TargetDomain::Relation { relation, epoch }] = target_domains(order)[..] else {
        return Err(Reason::OrderForbidden);
    };
    need(order.source == Domain::Origin && *epoch == directory.relation_epoch())?;
    // A choice may be made before an edge exists or after it ended, but not about strangers.
    need(relation.from != relation.to)?;
    for party in [&relation.from, &relation.to] {
        let peer = directory.peer(&party.oin).ok_or(Reason::OrderForbidden)?;
        need(exchanges(peer.kind()) && peer.realm(&party.realm).is_some())?;
    }
    Ok(Some(relation.clone()))
}

fn prepare(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
    now: Timestamp,
) -> Result<Option<Relation>, Reason> {
    let domains = target_domains(order);
    let [
        TargetDomain::Relation { relation, epoch },
        TargetDomain::Portal { epoch: portal },
    ] = domains[..]
    else {
        return Err(Reason::OrderForbidden);
    };
    need(*epoch == directory.relation_epoch() && *portal == directory.portal_epoch())?;
    sends(order, issuer, relation, directory, now)?;
    Ok(Some(relation.clone()))
}

fn handover(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
    now: Timestamp,
) -> Result<Option<Relation>, Reason> {
    let domains = target_domains(order);
    let [recipient, TargetDomain::Relation { relation, epoch }] = domains[..] else {
        return Err(Reason::OrderForbidden);
    };
    need(*epoch == directory.relation_epoch())?;
    need(*recipient == partner_domain(directory, &relation.to)?)?;
    sends(order, issuer, relation, directory, now)?;
    Ok(Some(relation.clone()))
}

/// As PREPARE, by a realm that has no other way to know a person. Nothing in the point says that it is nobody's: this
/// row keeps the honest honest.
fn unbound(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
    now: Timestamp,
) -> Result<Option<Relation>, Reason> {
    if directory.has_bsn(&issuer.party()) {
        return Err(Reason::SubjectUnbound);
    }
    prepare(order, issuer, directory, now)
}

/// A number out of a dossier, to the recipient's own domain. That a dossier was released to it is proven by the
/// vouchers of the HANDOVER, which each holder looks at itself.
fn check(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
) -> Result<Option<Relation>, Reason> {
    need_bsn(issuer, directory)?;
    let own = partner_domain(directory, &issuer.party())?;
    need(order.source == Domain::Origin && target_domains(order) == [&own])?;
    Ok(None)
}

/// The same number to the portal, so that its person can be told.
fn mismatch(
    order: &Order,
    issuer: Member<'_>,
    directory: &Directory,
) -> Result<Option<Relation>, Reason> {
    need_bsn(issuer, directory)?;
    let portal = TargetDomain::Portal {
        epoch: directory.portal_epoch(),
    };
    need(order.source == Domain::Origin && target_domains(order) == [&portal])?;
    Ok(None)
}

/// What PREPARE, ASSIST, UNBOUND and HANDOVER share: the issuer's realm owns the source, is the sender of the
/// relation, and has an edge for it.
fn sends(
    order: &Order,
    issuer: Member<'_>,
    relation: &Relation,
    directory: &Directory,
    now: Timestamp,
) -> Result<(), Reason> {
    need_partner(issuer)?;
    let own = issuer.party();
    need(relation.from == own)?;
    need(order.source == Domain::from(partner_domain(directory, &own)?))?;
    match directory.edge(&relation.from, &relation.to, &relation.purpose, now) {
        Some(_) => Ok(()),
        None => Err(Reason::NoAgreement),
    }
}

fn check_purpose(order: &Order, relation: Option<&Relation>) -> Result<(), Reason> {
    need(order.purpose.as_ref() == relation.map(|relation| &relation.purpose))
}

/// The source lies under the issuer's own context, each target under its owner's; and each of them
/// under the context that the directory has now.
fn check_contexts(order: &Order, issuer: Member<'_>, directory: &Directory) -> Result<(), Reason> {
    need(order.source_context.party == issuer.party())?;
    for (domain, context) in &order.targets {
        need(context.party == *directory.owner(domain))?;
    }
    let contexts = order.targets.iter().map(|(_, context)| context);
    for context in contexts.chain([&order.source_context]) {
        if !is_current(context, directory) {
            return Err(Reason::ContextUnknown);
        }
    }
    Ok(())
}

fn is_current(context: &Context, directory: &Directory) -> bool {
    directory
        .realm(&context.party)
        .is_some_and(|realm| realm.context == context.number)
}

fn target_domains(order: &Order) -> Vec<&TargetDomain> {
    order.targets.iter().map(|(domain, _)| domain).collect()
}

/// The domain of a partner's realm in its present epoch.
fn partner_domain(directory: &Directory, party: &Party) -> Result<TargetDomain, Reason> {
    let realm = directory.realm(party).ok_or(Reason::OrderForbidden)?;
    Ok(TargetDomain::Partner {
        party: party.clone(),
        epoch: realm.epoch,
    })
}

const fn need(holds: bool) -> Result<(), Reason> {
    if holds {
        Ok(())
    } else {
        Err(Reason::OrderForbidden)
    }
}

fn need_partner(issuer: Member<'_>) -> Result<(), Reason> {
    need(exchanges(issuer.kind()))
}

fn need_portal(issuer: Member<'_>, directory: &Directory) -> Result<(), Reason> {
    need(issuer.kind() == PeerKind::Portal && issuer.party() == *directory.portal())
}

/// Any desk of a realm that processes numbers: the one in a dossier came to all of them.
fn need_bsn(issuer: Member<'_>, directory: &Directory) -> Result<(), Reason> {
    need_partner(issuer)?;
    if directory.has_bsn(&issuer.party()) {
        Ok(())
    } else {
        Err(Reason::RightMissing)
    }
}

fn need_right(issuer: Member<'_>, right: Right) -> Result<(), Reason> {
    if issuer.has(right) {
        Ok(())
    } else {
        Err(Reason::RightMissing)
    }
}
