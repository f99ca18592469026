//! The codec of orders (opdrachten).
//!
//! Must never read a target that is an origin: the target type has no such variant.

use super::{Form, Order, PaperError, Signed, moment, named, refused, sized, version};
use rules::id::OrderId;
use rules::pseudonym::OrderKind;
use rules::reason::Reason;
use wire::pseudonym::v1 as message;

impl Form for Order {
    type Message = message::Order;
    const KIND: vault::sign::Paper = vault::sign::Paper::Order;
    const MALFORMED: Reason = Reason::OrderMalformed;
    const FORGED: Reason = Reason::OrderSignatureInvalid;

    fn to_message(&self) -> message::Order {
        message::Order {
            version: self.version,
            order_id: self.id.bytes().to_vec(),
            kind: self.kind.number(),
            issuer_oin: self.issuer.to_string(),
            issuer_desk: self.desk.to_string(),
            source_domain: self.source.to_string(),
            source_context: self.source_context.to_string(),
            targets: self
                .targets
                .iter()
                .map(|(domain, context)| message::OrderTarget {
                    domain: domain.to_string(),
                    context: context.to_string(),
                })
                .collect(),
            purpose: self
                .purpose
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            ciphertext_sha256: self.ciphertext_sha256.to_vec(),
            not_before_millis: self.not_before.millis(),
            not_after_millis: self.not_after.millis(),
            parent_order_id: self
                .parent
                .map(|parent| parent.bytes().to_vec())
                .unwrap_or_default(),
        }
    }

    fn from_message(order: message::Order) -> Result<Self, PaperError> {
        version::<Self>(order.version)?;
        let targets: Result<Vec<_>, PaperError> = order
            .targets
            .iter()
            .map(|target| {
                let domain = named::<Self, _>("targets.domain", &target.domain)?;
                let context = named::<Self, _>("targets.context", &target.context)?;
                Ok((domain, context))
            })
            .collect();
        let purpose = match order.purpose.as_str() {
            "" => None,
            text => Some(named::<Self, _>("purpose", text)?),
        };
        let parent = match order.parent_order_id.as_slice() {
            [] => None,
            bytes => Some(order_id("parent_order_id", bytes)?),
        };
        let targets = targets?;
        if targets.is_empty() {
            return Err(refused::<Self>("targets", "is missing"));
        }
        Ok(Self {
            version: order.version,
            id: order_id("order_id", &order.order_id)?,
            kind: OrderKind::from_number(order.kind)
                .ok_or_else(|| refused::<Self>("kind", "is missing or unknown"))?,
            issuer: named::<Self, _>("issuer_oin", &order.issuer_oin)?,
            desk: named::<Self, _>("issuer_desk", &order.issuer_desk)?,
            source: named::<Self, _>("source_domain", &order.source_domain)?,
            source_context: named::<Self, _>("source_context", &order.source_context)?,
            targets,
            purpose,
            ciphertext_sha256: sized::<Self, 32>("ciphertext_sha256", &order.ciphertext_sha256)?,
            not_before: moment::<Self>("not_before_millis", order.not_before_millis)?,
            not_after: moment::<Self>("not_after_millis", order.not_after_millis)?,
            parent,
        })
    }
}

fn order_id(field: &'static str, bytes: &[u8]) -> Result<OrderId, PaperError> {
    OrderId::from_slice(bytes).ok_or_else(|| refused::<Order>(field, "is not an id of 16 bytes"))
}

impl TryFrom<message::SignedOrder> for Signed<Order> {
    type Error = PaperError;

    fn try_from(signed: message::SignedOrder) -> Result<Self, PaperError> {
        Self::receive(signed.order, &signed.signature)
    }
}

impl From<&Signed<Order>> for message::SignedOrder {
    fn from(signed: &Signed<Order>) -> Self {
        Self {
            order: signed.bytes().to_vec(),
            signature: signed.signature().bytes().to_vec(),
        }
    }
}
