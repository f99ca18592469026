//! Opening a context and enrolling persons: what comes before any handover.
//!
//! Must never keep a citizen service number, and never keep a pseudonym whose way along the holders
//! was not checked.

use super::{Client, ask};
use crate::connection::{stub, with_deadline};
use crate::directory::{DirectoryCopy, Lasting};
use crate::error::{ClientError, ProtocolError, from_status};
use crate::person::PersonKey;
use papers::paper::{
    ContextRequest, ContextWalk, Expectation, HolderKey, Order, Signed, Walker, verify_final_keys,
    verify_vouchers,
};
use rules::id::RequestId;
use rules::pseudonym::{Context, Domain, OrderKind};
use rules::reason::Reason;
use std::collections::BTreeMap;
use std::sync::Arc;
use vault::pseudonym::{Bsn, Ciphertext, ContextKey, Pseudonym};
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;

/// Persons in one message: as many as fit in 1 MiB both ways with every holder's voucher, below the
/// limit of a batch.
pub const ENROL_BATCH_MAX: usize = 400;

/// What became of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The partner's own key of the person.
    pub person: PersonKey,
    /// None when the pseudonym is kept; otherwise why not. The reason is `INTERNAL` when the gateway
    /// gave one that this version does not know, and `PERSON_KEY_TAKEN` when the key stands for another number.
    pub refused: Option<Reason>,
    /// Another key that stands for the same number here. Both are kept; a dossier comes under the first of them.
    pub also: Option<PersonKey>,
}

/// How often those whose order expired are sent again with a fresh one.
const FRESH_ORDERS_MAX: u32 = 2;

/// One person who is to be enrolled yet.
struct Left<'a> {
    person: &'a PersonKey,
    ciphertext: Ciphertext,
}

/// One person on the way: the order, and which of the partner's persons it is.
struct Item<'a> {
    person: &'a PersonKey,
    order: Signed<Order>,
    ciphertext: Vec<u8>,
}

impl Client {
    /// Opens the realm's present context: walks along the holders, checks every step and share against
    /// the pinned commitments, and keeps the key. Once for each context number; a key that is here
    /// already is kept.
    ///
    /// Needs a desk with the right `represent` and the realm's newest opening key.
    ///
    /// # Errors
    ///
    /// A refusal, or a [`ProtocolError`] when anything in the walk does not verify.
    pub async fn open_context(&self) -> Result<Context, ClientError> {
        let directory = self.refresh_directory().await?;
        let context = directory
            .context(self.party())
            .ok_or(super::NOT_IN_DIRECTORY)?;
        if self.store().has_context(&context) {
            return Ok(context);
        }
        let identity = &self.outbox.identity;
        let opening = identity.opening_keys.first().ok_or(ClientError::Input {
            what: "this desk has no opening key",
            remedy: "put the realm's opening seed in the key file",
        })?;
        let now = self.outbox.clock.now();
        let request = ContextRequest {
            context: context.clone(),
            owner: identity.party.oin.clone(),
            desk: identity.desk.clone(),
            sealing_key_sha256: opening.public().sha256(),
            time: now,
        };
        let signed = Signed::sign(request, &identity.signing_key);
        let request_id = RequestId::draw(&*self.outbox.clock, &*self.outbox.random);
        let message = message::OpenContextRequest {
            request_id: request_id.bytes().to_vec(),
            context_request: Some((&signed).into()),
        };
        let answer = ask!(
            self,
            "OpenContext",
            PseudonymServiceClient.open_context,
            message
        )?;
        let holders = self.holders(&directory)?;
        let key = walk(answer)?.key(&context, &holders, opening)?;
        let store = Arc::clone(self.store());
        let label = context.clone();
        tokio::task::spawn_blocking(move || store.keep_context_key(&label, &key, now))
            .await
            .unwrap_or(Err(crate::store::StoreError::Interrupted))?;
        Ok(context)
    }

    /// Enrols persons: hashes and encrypts each number here, has the holders convert it to this realm's
    /// own pseudonym, and keeps that beside the person key. Answers in the order of `persons`. Persons
    /// who are enrolled already are simply enrolled again, with the same result. A key that stands for another number
    /// goes on standing for that, unless the client is [`Client::replacing`].
    ///
    /// Needs the right `bsn`. Numbers that fail the eleven-test cannot be made into a [`Bsn`] at all.
    ///
    /// # Errors
    ///
    /// A refusal of a whole batch, a fault, or a [`ProtocolError`]; what earlier batches gave is kept.
    pub async fn enrol(&self, persons: &[(PersonKey, Bsn)]) -> Result<Vec<Enrolled>, ClientError> {
        let directory = self.directory_not_ended().await?;
        let mut enrolled = Vec::with_capacity(persons.len());
        for batch in persons.chunks(ENROL_BATCH_MAX) {
            enrolled.extend(self.enrol_batch(batch, &directory).await?);
        }
        Ok(enrolled)
    }

    /// Takes a random point as the pseudonym of a person who has no DigiD, so that a vakbond can hand
    /// over a member on a consent that was registered at its own desk. Orders about the person are UNBOUND: key holders
    /// and policies take them from such a realm only, and on consent only.
    ///
    /// # Errors
    ///
    /// [`ClientError::Input`] where the realm enrols by number; when the key stands for somebody already, or the store does
    /// not take it.
    pub async fn enrol_without_number(&self, person: &PersonKey) -> Result<(), ClientError> {
        let directory = self.directory().await?;
        if directory.directory().has_bsn(self.party()) {
            return Err(ClientError::Input {
                what: "this realm may use the BSN, so nobody is made known here without it: objection and overview \
                       would reach nobody",
                remedy: "enrol the person by number",
            });
        }
        let domain = self.own_domain(&directory)?;
        self.need_free(&domain, person)?;
        let change = crate::store::pseudonym_change(&domain, person, &Pseudonym::random(), true);
        Ok(self.outbox.commit(vec![change]).await?)
    }

    /// A key that stands for somebody is not given to another, of whom it is not known yet who that is.
    fn need_free(&self, domain: &Domain, person: &PersonKey) -> Result<(), ClientError> {
        if self.replaces || self.store().pseudonym(domain, person)?.is_none() {
            return Ok(());
        }
        Err(ClientError::Input {
            what: "this person key stands for somebody already",
            remedy: "choose another key, or say --replace if it is to stand for another person",
        })
    }

    /// Enrols one batch. Those whose order expired on the way are enrolled again with a fresh one, a bounded
    /// number of times.
    async fn enrol_batch(
        &self,
        batch: &[(PersonKey, Bsn)],
        directory: &Lasting,
    ) -> Result<Vec<Enrolled>, ClientError> {
        let (_, key) = self.own_context(directory)?;
        let mut places: Vec<usize> = (0..batch.len()).collect();
        let mut left: Vec<Left<'_>> = batch
            .iter()
            .map(|(person, bsn)| Left {
                person,
                ciphertext: key.encrypt_bsn(bsn),
            })
            .collect();
        let mut enrolled: BTreeMap<usize, Enrolled> = BTreeMap::new();
        for round in 0..=FRESH_ORDERS_MAX {
            if round > 0 {
                self.outbox.policy.pause(round, &*self.outbox.random).await;
            }
            let answers = self.enrol_once(&left, directory, &key).await?;
            let expired: Vec<bool> = answers
                .iter()
                .map(|answer| answer.refused == Some(Reason::OrderExpired))
                .collect();
            enrolled.extend(places.iter().copied().zip(answers));
            let mut again = expired.iter().copied();
            places.retain(|_| again.next().unwrap_or(false));
            let mut again = expired.iter().copied();
            left.retain(|_| again.next().unwrap_or(false));
            if left.is_empty() {
                break;
            }
        }
        Ok(enrolled.into_values().collect())
    }

    async fn enrol_once(
        &self,
        left: &[Left<'_>],
        directory: &Lasting,
        key: &ContextKey,
    ) -> Result<Vec<Enrolled>, ClientError> {
        let domain = self.own_domain(directory)?;
        let (context, _) = self.own_context(directory)?;
        let request_id = RequestId::draw(&*self.outbox.clock, &*self.outbox.random);
        let (items, answer) = self
            .outbox
            .repeat(|| {
                let items = self.enrol_items(left, &domain, &context);
                let mut stub = stub!(PseudonymServiceClient<_>, self.outbox.connection);
                async move {
                    let items = items?;
                    let message = enrol_request(&request_id, &items);
                    let answer = stub.enrol(with_deadline(message)).await;
                    let answer = answer.map_err(|status| from_status("Enrol", &status))?;
                    Ok((items, answer.into_inner()))
                }
            })
            .await?;
        if answer.results.len() != items.len() {
            let error = ProtocolError::new("results", "are not one for each person");
            return Err(error.into());
        }
        let holders = directory.holder_keys()?;
        let (mut enrolled, mut converted) = (Vec::new(), Vec::new());
        for (item, result) in items.iter().zip(answer.results) {
            let refused = match result.outcome {
                Some(message::enrol_result::Outcome::Conversion(conversion)) => {
                    let pseudonym = open_conversion(conversion, &item.order, 0, &holders, key)?;
                    converted.push((item.person.clone(), pseudonym));
                    None
                }
                Some(message::enrol_result::Outcome::RefusedReason(code)) => {
                    Some(Reason::from_code(&code).unwrap_or(Reason::Internal))
                }
                None => return Err(ProtocolError::new("results", "lack an outcome").into()),
            };
            enrolled.push(Enrolled {
                person: item.person.clone(),
                refused,
                also: None,
            });
        }
        self.keep_enrolled(&domain, &converted, &mut enrolled)
            .await?;
        Ok(enrolled)
    }

    /// Keeps what was converted, where its key is free or the same person's, and tells what it meets.
    async fn keep_enrolled(
        &self,
        domain: &Domain,
        converted: &[(PersonKey, Pseudonym)],
        enrolled: &mut [Enrolled],
    ) -> Result<(), ClientError> {
        let mut changes = Vec::new();
        let met = self.store().neighbours(domain, converted)?;
        let permitted = enrolled.iter_mut().filter(|one| one.refused.is_none());
        for (one, ((person, point), met)) in permitted.zip(converted.iter().zip(met)) {
            if met.is_taken && !self.replaces {
                one.refused = Some(Reason::PersonKeyTaken);
                continue;
            }
            one.also = met.also;
            changes.push(crate::store::pseudonym_change(domain, person, point, false));
        }
        Ok(self.outbox.commit(changes).await?)
    }

    fn enrol_items<'a>(
        &self,
        left: &'a [Left<'a>],
        domain: &Domain,
        context: &Context,
    ) -> Result<Vec<Item<'a>>, ClientError> {
        left.iter()
            .map(|Left { person, ciphertext }| {
                let template = message::Order {
                    kind: OrderKind::Enrol.number(),
                    source_domain: Domain::Origin.to_string(),
                    targets: vec![message::OrderTarget {
                        domain: domain.to_string(),
                        context: context.to_string(),
                    }],
                    ..self.order_template(context, ciphertext)
                };
                let order = self.outbox.identity.sign_order(
                    &template,
                    &*self.outbox.clock,
                    &*self.outbox.random,
                )?;
                Ok(Item {
                    person,
                    order,
                    ciphertext: ciphertext.bytes().to_vec(),
                })
            })
            .collect()
    }

    /// What every order of this desk has in common.
    pub(super) fn order_template(
        &self,
        context: &Context,
        ciphertext: &Ciphertext,
    ) -> message::Order {
        let identity = &self.outbox.identity;
        message::Order {
            version: Order::VERSION,
            issuer_oin: identity.party.oin.to_string(),
            issuer_desk: identity.desk.to_string(),
            source_context: context.to_string(),
            ciphertext_sha256: vault::digest::sha256(ciphertext.bytes()).to_vec(),
            ..message::Order::default()
        }
    }

    /// The holders in walking order, each with its key and its pinned commitment.
    fn holders(&self, directory: &DirectoryCopy) -> Result<Vec<Walker>, ClientError> {
        directory
            .holder_keys()?
            .into_iter()
            .map(|holder| {
                let commitment = self.trust.commitments.get(&holder.oin).copied();
                commitment
                    .map(|commitment| (holder, commitment))
                    .ok_or(ClientError::Input {
                        what: "a key holder of the directory has no pinned commitment here",
                        remedy: "take the commitment over from the holder itself, and configure it",
                    })
            })
            .collect()
    }
}

fn enrol_request(request_id: &RequestId, items: &[Item<'_>]) -> message::EnrolRequest {
    message::EnrolRequest {
        request_id: request_id.bytes().to_vec(),
        items: items
            .iter()
            .map(|item| message::EnrolItem {
                order: Some((&item.order).into()),
                ciphertext: item.ciphertext.clone(),
            })
            .collect(),
    }
}

/// Checks a conversion of one target of `order` and decrypts it.
pub(super) fn open_conversion(
    conversion: message::Conversion,
    order: &Signed<Order>,
    target: usize,
    holders: &[HolderKey],
    key: &ContextKey,
) -> Result<Pseudonym, ClientError> {
    let vouchers = conversion
        .vouchers
        .into_iter()
        .map(TryInto::try_into)
        .collect::<Result<Vec<_>, _>>()?;
    let outputs = [(target, conversion.ciphertext.as_slice())];
    verify_vouchers(
        &vouchers,
        holders,
        order,
        Expectation::Whole { outputs: &outputs },
    )?;
    verify_final_keys(&vouchers, &[(target, *key.public().bytes())])?;
    let wrong = |_| ProtocolError::new("ciphertext", "is not one of a person");
    let ciphertext = Ciphertext::parse(&conversion.ciphertext).map_err(wrong)?;
    Ok(key.decrypt(&ciphertext).map_err(wrong)?)
}

/// What came back along the holders, read.
fn walk(answer: message::OpenContextResponse) -> Result<ContextWalk, ClientError> {
    let steps = answer.steps.into_iter().map(TryInto::try_into);
    let shares = answer.shares.into_iter().map(TryInto::try_into);
    Ok(ContextWalk {
        steps: steps.collect::<Result<_, _>>()?,
        shares: shares.collect::<Result<_, _>>()?,
    })
}
