//! Enrolment and the opening of contexts: the broker carries, the holders judge.
//!
//! Must never keep anything of a conversion to an owner's own domain: not the ciphertext, not a count
//! for each person.

use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted};
use crate::call::{Answer, Call};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use papers::paper::{ContextRequest, ContextWalk, Signed, SignedPaper};
use rules::limits::BATCH_ITEMS_MAX;
use rules::pseudonym::{Order, OrderKind};
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
        _tx: &'a mut Tx<'_>,
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
    /// The request as signed by the owner's desk.
    pub request: Signed<ContextRequest>,
}

impl Enrol {
    /// What the log is told of it when no item was answered.
    #[must_use]
    pub fn record(&self) -> Record {
        let items = u64::try_from(self.items.len()).unwrap_or(u64::MAX);
        Record {
            batch: Some((items, items)),
            ..Record::default()
        }
    }
}

/// What the log is told of a batch: how many, how many were refused, and why.
fn record_of(answers: &[Outcome<Converted>]) -> Record {
    let mut record = Record::default();
    let mut refused = 0_u64;
    for answer in answers {
        if let Outcome::Refused(refusal) = answer {
            refused = refused.saturating_add(1);
            let count = record.batch_reasons.entry(refusal.reason).or_default();
            *count = count.saturating_add(1);
        }
    }
    let items = u64::try_from(answers.len()).unwrap_or(u64::MAX);
    record.batch = Some((items, refused));
    record
}

impl Broker {
    /// Enrols a batch: one answer for each item, in order, each with its own reason.
    ///
    /// # Errors
    /// A fault of ours or of a holder; then no item was answered.
    pub async fn enrol(
        &self,
        call: &Call,
        request: Enrol,
    ) -> Result<Answer<Vec<Outcome<Converted>>>, Error> {
        const NAME: &str = "Enrol";
        let items = request.items.len();
        if items == 0 || items > BATCH_ITEMS_MAX {
            let text = format!("has {items} items; 1 to {BATCH_ITEMS_MAX} are allowed");
            let refusal = Refusal::about(Reason::InvalidRequest, "items", text);
            return self
                .log(call, NAME, Outcome::Refused(refusal), request.record())
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
        let record = record_of(&answers);
        self.log(call, NAME, Outcome::Permitted(answers), record)
            .await
    }

    /// Writes the entry of what was decided already, and gives it on.
    async fn log<T: Clone + Send + Sync>(
        &self,
        call: &Call,
        name: &'static str,
        outcome: Outcome<T>,
        record: Record,
    ) -> Result<Answer<T>, Error> {
        let log = Log {
            name,
            outcome,
            record,
        };
        self.serve(call, &log).await
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
        let asked = request.request.paper();
        let own = asked.owner == caller.party.oin
            && asked.desk == caller.desk
            && asked.context.party == caller.party;
        let outcome = if own {
            self.holders().open_context(request.request).await?
        } else {
            Outcome::Refused(Refusal::new(Reason::ActingForAnother))
        };
        self.log(call, "OpenContext", outcome, Record::default())
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
