//! Enrolment and the opening of contexts: the broker carries, the holders judge.
//!
//! Must never keep anything of a conversion to an owner's own domain: not the ciphertext, not a count
//! for each person.

use crate::Error;
use crate::call::{Answer, Call, SignedPaper};
use crate::counter::{ContextWalk, ConversionRequest, Converted, Counter};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::id::{DeskName, Oin};
use rules::limits::BATCH_ITEMS_MAX;
use rules::pseudonym::{Context, Order, OrderKind};
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;

/// One person to enrol.
#[derive(Clone, Debug)]
pub struct EnrolItem {
    /// The order ENROL, decoded; or why it could not be.
    pub order: Result<Order, Reason>,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The hashed number, encrypted under the caller's own context key.
    pub ciphertext: [u8; 64],
}

/// Enrols a batch of persons.
#[derive(Clone, Debug)]
pub struct Enrol {
    /// The persons.
    pub items: Vec<EnrolItem>,
}

/// The outcome of a batch or a walk, already decided by the holders: only its entry is written here.
struct Log<T> {
    name: &'static str,
    outcome: Outcome<T>,
    record: Record,
}

impl<T: Clone + Send + Sync> Command for Log<T> {
    type Reply = T;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn perform<'a>(
        &'a self,
        _room: &'a Room<'a>,
        _tx: &'a mut Tx,
    ) -> Result<Verdict<T>, Error> {
        Ok(match &self.outcome {
            Outcome::Permitted(reply) => Verdict::permitted(reply.clone(), self.record.clone()),
            Outcome::Refused(refusal) => Verdict::refused(refusal.clone(), self.record.clone()),
        })
    }
}

/// Opens a context of the caller's realm.
#[derive(Clone, Debug)]
pub struct OpenContext {
    /// The context that the signed request names.
    pub context: Context,
    /// The owner that it names.
    pub owner: Oin,
    /// The desk that it names.
    pub desk: DeskName,
    /// The request as signed by the owner's desk.
    pub signed: SignedPaper,
}

impl Counter {
    /// Enrols a batch: one answer for each item, in order, each with its own reason.
    ///
    /// # Errors
    /// A fault of ours or of a holder; then no item was answered.
    pub async fn enrol(
        &self,
        call: &Call,
        request: Enrol,
    ) -> Result<Answer<Vec<Outcome<Converted>>>, Error> {
        let items = u64::try_from(request.items.len()).unwrap_or(u64::MAX);
        if request.items.is_empty() || request.items.len() > BATCH_ITEMS_MAX {
            let text = format!("has {items} items; 1 to {BATCH_ITEMS_MAX} are allowed");
            let refusal = Refusal::about(Reason::InvalidRequest, "items", text);
            let record = Record {
                batch: Some((items, items)),
                ..Record::default()
            };
            let outcome = Outcome::Refused(refusal);
            return self
                .serve(
                    call,
                    &Log {
                        name: "Enrol",
                        outcome,
                        record,
                    },
                )
                .await;
        }
        let mut answers: Vec<Option<Outcome<Converted>>> = Vec::new();
        let mut carried = Vec::new();
        for item in request.items {
            match check_enrol(call, item) {
                Ok(conversion) => {
                    carried.push(conversion);
                    answers.push(None);
                }
                Err(reason) => answers.push(Some(Outcome::Refused(Refusal::new(reason)))),
            }
        }
        let mut converted = match carried.is_empty() {
            true => Vec::new(),
            false => self.holders().convert(carried).await?,
        }
        .into_iter();
        let answers = answers
            .into_iter()
            .map(|answer| answer.or_else(|| converted.next()))
            .collect::<Option<Vec<_>>>()
            .ok_or(Error::HolderDishonest(Reason::VoucherInvalid))?;
        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Outcome::Refused(_)))
            .count();
        let refused = u64::try_from(refused).unwrap_or(u64::MAX);
        let record = Record {
            batch: Some((items, refused)),
            ..Record::default()
        };
        let outcome = Outcome::Permitted(answers);
        self.serve(
            call,
            &Log {
                name: "Enrol",
                outcome,
                record,
            },
        )
        .await
    }

    /// Opens a context of the caller's own realm.
    ///
    /// # Errors
    /// A fault of ours or of a holder.
    pub async fn open_context(
        &self,
        call: &Call,
        request: OpenContext,
    ) -> Result<Answer<ContextWalk>, Error> {
        let caller = &call.caller;
        let own = request.owner == caller.party.oin
            && request.desk == caller.desk
            && request.context.party == caller.party;
        let outcome = if own {
            self.holders().open_context(request.signed).await?
        } else {
            Outcome::Refused(Refusal::new(Reason::ActingForAnother))
        };
        let record = Record::default();
        self.serve(
            call,
            &Log {
                name: "OpenContext",
                outcome,
                record,
            },
        )
        .await
    }
}

/// An order ENROL is the caller's own, or it is not carried.
fn check_enrol(call: &Call, item: EnrolItem) -> Result<ConversionRequest, Reason> {
    let order = item.order?;
    let caller = &call.caller;
    if order.issuer != caller.party.oin || order.desk != caller.desk {
        return Err(Reason::ActingForAnother);
    }
    if order.kind != OrderKind::Enrol {
        return Err(Reason::OrderForbidden);
    }
    Ok(ConversionRequest {
        order,
        signed: item.signed_order,
        ciphertext: item.ciphertext,
        parents: Vec::new(),
    })
}
