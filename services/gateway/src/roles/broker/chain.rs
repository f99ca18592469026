//! The way to the key holders: gRPC over mutual TLS, one after the other, in the directory's order.
//!
//! Must never use a conversion whose vouchers do not chain or whose final key is not the registered one,
//! and must never change an order on the way: the holders check bytes as signed.

use super::context_keys::ContextKeys;
use broker::Error;
use broker::{Boxed, ConversionRequest, Converted, KeyHolders};
use client::connection::Connection;
use papers::paper::{
    ContextRequest, ContextWalk, Expectation, HolderKey, Order, SealedShare, Signed, SignedPaper,
    Voucher, verify_final_keys, verify_vouchers,
};
use rules::clock::Timestamp;
use rules::directory::Directory;
use rules::id::{DeskName, Oin, Tag};
use rules::limits::MESSAGE_BYTES_MAX;
use rules::pseudonym::Context;
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use store::{Queue, Turns};
use tonic::transport::Channel;
use vault::sign::VerifyingKey;
use wire::directory::v1::WhoAmIRequest;
use wire::directory::v1::directory_service_client::DirectoryServiceClient;
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::key_holder_service_client::KeyHolderServiceClient;

/// How long one holder may take for one hop of one batch.
const HOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Orders in one call to a holder: with the vouchers of earlier hops they must fit in one message.
const HOP_ITEMS_MAX: usize = 250;
/// Calls to the key holders at the same time; who is next goes round the organisations.
const HOPS_AT_ONCE: usize = 8;
/// Name of the desk with which a holder signs.
const HOLDER_DESK: &str = "holder";

/// All key holders, as this broker reaches them.
pub struct Chain {
    holders: BTreeMap<Oin, Connection>,
    directory: RwLock<Arc<Directory>>,
    context_keys: ContextKeys,
    turns: Turns<()>,
}

/// One holder in walking order: where it is and with which key it signs.
struct Stop<'a> {
    connection: &'a Connection,
    key: HolderKey,
}

/// One order under way.
struct Traveller {
    place: usize,
    order: Signed<Order>,
    ciphertexts: Vec<Vec<u8>>,
    earlier: Vec<message::SignedVoucher>,
    parents: Vec<SignedPaper>,
}

impl Chain {
    /// The way to these holders, walked in the order of `directory`.
    #[must_use]
    pub fn new(
        holders: BTreeMap<Oin, Connection>,
        directory: Arc<Directory>,
        context_keys: ContextKeys,
    ) -> Self {
        Self {
            holders,
            directory: RwLock::new(directory),
            context_keys,
            turns: Turns::new(HOPS_AT_ONCE, 0),
        }
    }

    /// Walks by this directory from now on, if it is newer.
    pub fn follow(&self, directory: &Directory) {
        if self.directory().version() < directory.version() {
            let directory = Arc::new(directory.clone());
            *self
                .directory
                .write()
                .unwrap_or_else(PoisonError::into_inner) = directory;
        }
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(
            &self
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The earliest of what the holders' clocks show; `None` when one of them does not say.
    pub async fn earliest_clock(&self) -> Option<Timestamp> {
        let mut earliest = None;
        for (oin, connection) in &self.holders {
            let mut directory = DirectoryServiceClient::new(connection.channel());
            let shown = within(directory.who_am_i(WhoAmIRequest {}), oin)
                .await
                .ok()?;
            let shown = Timestamp::from_millis(shown.time_millis);
            earliest = Some(earliest.map_or(shown, |known: Timestamp| known.min(shown)));
        }
        earliest
    }

    /// The holders in walking order; none may be missing.
    fn stops(&self, directory: &Directory) -> Result<Vec<Stop<'_>>, Error> {
        directory
            .holders()
            .iter()
            .map(|oin| {
                let connection = self.holders.get(oin);
                let key = holder_key(directory, oin);
                match (connection, key) {
                    (Some(connection), Some(key)) => Ok(Stop { connection, key }),
                    (None, _) | (_, None) => {
                        tracing::error!(holder = %oin, "a key holder has no address or no key");
                        Err(Error::HolderUnavailable)
                    }
                }
            })
            .collect()
    }

    async fn walk(
        &self,
        requests: Vec<ConversionRequest>,
    ) -> Result<Vec<Outcome<Converted>>, Error> {
        let directory = self.directory();
        let stops = self.stops(&directory)?;
        let mut outcomes: Vec<Option<Outcome<Converted>>> = Vec::new();
        let mut travellers = Vec::new();
        for (place, request) in requests.into_iter().enumerate() {
            match set_out(place, request) {
                Ok(traveller) => {
                    travellers.push(traveller);
                    outcomes.push(None);
                }
                Err(reason) => outcomes.push(Some(refused(reason))),
            }
        }
        for (hop, stop) in stops.iter().enumerate() {
            if travellers.is_empty() {
                break;
            }
            let mut onward = Vec::with_capacity(travellers.len());
            while !travellers.is_empty() {
                let rest = travellers.split_off(travellers.len().min(HOP_ITEMS_MAX));
                let (passed, refusals) = self.hop(hop, stop, travellers).await?;
                onward.extend(passed);
                for (place, reason) in refusals {
                    if let Some(outcome) = outcomes.get_mut(place) {
                        *outcome = Some(refused(reason));
                    }
                }
                travellers = rest;
            }
            travellers = onward;
        }
        let keys: Vec<HolderKey> = stops.into_iter().map(|stop| stop.key).collect();
        for traveller in travellers {
            let place = traveller.place;
            let arrived = self.arrive(traveller, &keys).await?;
            if let Some(outcome) = outcomes.get_mut(place) {
                *outcome = Some(arrived);
            }
        }
        outcomes
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(Error::HolderDishonest(Reason::VoucherInvalid))
    }

    /// One hop of all travellers at one holder.
    async fn hop(
        &self,
        hop: usize,
        stop: &Stop<'_>,
        travellers: Vec<Traveller>,
    ) -> Result<(Vec<Traveller>, Vec<(usize, Reason)>), Error> {
        let items = travellers
            .iter()
            .map(|traveller| message::ConvertItem {
                order: Some(message::SignedOrder::from(&traveller.order)),
                ciphertexts: traveller.ciphertexts.clone(),
                earlier: traveller.earlier.clone(),
                parent: traveller.parents.get(hop).map(signed_voucher),
            })
            .collect();
        let mut holder = stub(stop.connection);
        let request = message::ConvertRequest { items };
        let seat = self.turns.enter(queue_of(&travellers)).await?;
        tracing::debug!(waited = seat.waited(), "has its turn at a key holder");
        let response = within(holder.convert(request), &stop.key.oin).await?;
        drop(seat);
        if response.results.len() != travellers.len() {
            return Err(dishonest(&stop.key.oin, Reason::VoucherInvalid));
        }
        let mut onward = Vec::with_capacity(travellers.len());
        let mut refusals = Vec::new();
        for (mut traveller, result) in travellers.into_iter().zip(response.results) {
            match result.outcome {
                Some(message::convert_result::Outcome::Hop(message::Hop {
                    ciphertexts,
                    voucher: Some(voucher),
                })) => {
                    traveller.ciphertexts = ciphertexts;
                    traveller.earlier.push(voucher);
                    onward.push(traveller);
                }
                Some(message::convert_result::Outcome::RefusedReason(code)) => {
                    let reason = Reason::from_code(&code).unwrap_or(Reason::OrderForbidden);
                    refusals.push((traveller.place, reason));
                }
                Some(message::convert_result::Outcome::Hop(_)) | None => {
                    return Err(dishonest(&stop.key.oin, Reason::VoucherInvalid));
                }
            }
        }
        Ok((onward, refusals))
    }

    /// Checks what came back from the last holder before anybody uses it.
    async fn arrive(
        &self,
        traveller: Traveller,
        keys: &[HolderKey],
    ) -> Result<Outcome<Converted>, Error> {
        let order = traveller.order;
        let vouchers: Result<Vec<Signed<Voucher>>, _> = traveller
            .earlier
            .iter()
            .cloned()
            .map(Signed::try_from)
            .collect();
        let vouchers = vouchers.map_err(|error| Error::HolderDishonest(error.reason))?;
        let outputs: Vec<(usize, &[u8])> = traveller
            .ciphertexts
            .iter()
            .map(Vec::as_slice)
            .enumerate()
            .collect();
        if outputs.len() != order.paper().targets.len() {
            return Err(Error::HolderDishonest(Reason::VoucherInvalid));
        }
        verify_vouchers(
            &vouchers,
            keys,
            &order,
            Expectation::Whole { outputs: &outputs },
        )
        .map_err(|error| Error::HolderDishonest(error.reason))?;
        let mut final_keys = Vec::new();
        for (target, (_, context)) in order.paper().targets.iter().enumerate() {
            // Without the key the last holder's word would be all there is.
            let Some(key) = self.context_keys.public_key(context).await? else {
                return Ok(Outcome::Refused(Refusal::new(Reason::ContextUnknown)));
            };
            final_keys.push((target, key));
        }
        verify_final_keys(&vouchers, &final_keys)
            .map_err(|error| Error::HolderDishonest(error.reason))?;
        let ciphertexts: Option<Vec<[u8; 64]>> = traveller
            .ciphertexts
            .iter()
            .map(|octets| octets.as_slice().try_into().ok())
            .collect();
        Ok(Outcome::Permitted(Converted {
            ciphertexts: ciphertexts.ok_or(Error::HolderDishonest(Reason::PointInvalid))?,
            vouchers: traveller
                .earlier
                .into_iter()
                .map(from_signed_voucher)
                .collect(),
        }))
    }

    /// Opens an owner's context and remembers where the walk ended.
    async fn open(&self, request: Signed<ContextRequest>) -> Result<Outcome<ContextWalk>, Error> {
        let walk = self.walk_context(&request).await?;
        if let Outcome::Permitted(walk) = &walk {
            let context = &request.paper().context;
            self.context_keys.keep(context, end_of(walk)?).await?;
        }
        Ok(walk)
    }

    /// Carries a request to open a context along all holders, and the whole walk to each of them.
    ///
    /// # Errors
    /// When a holder is away, or one answers something that does not add up.
    pub async fn walk_context(
        &self,
        request: &Signed<ContextRequest>,
    ) -> Result<Outcome<ContextWalk>, Error> {
        let sent = message::SignedContextRequest::from(request);
        let directory = self.directory();
        let stops = self.stops(&directory)?;
        let mut steps: Vec<message::SignedContextStep> = Vec::with_capacity(stops.len());
        let mut walk = ContextWalk {
            steps: Vec::with_capacity(stops.len()),
            shares: Vec::with_capacity(stops.len()),
        };
        for stop in &stops {
            let step = message::StepContextRequest {
                context_request: Some(sent.clone()),
                earlier: steps.clone(),
            };
            let mut holder = stub(stop.connection);
            let response = match within_or_refused(holder.step_context(step), stop).await? {
                Ok(response) => response,
                Err(refusal) => return Ok(Outcome::Refused(refusal)),
            };
            let (Some(step), Some(share)) = (response.step, response.share) else {
                return Err(dishonest(&stop.key.oin, Reason::ContextRequestInvalid));
            };
            steps.push(step.clone());
            match (Signed::try_from(step), SealedShare::try_from(share)) {
                (Ok(step), Ok(share)) => {
                    walk.steps.push(step);
                    walk.shares.push(share);
                }
                _ => return Err(dishonest(&stop.key.oin, Reason::ContextRequestInvalid)),
            }
        }
        let public_key = end_of(&walk)?;
        for stop in &stops {
            let close = message::CloseContextRequest {
                context_request: Some(sent.clone()),
                steps: steps.clone(),
            };
            let mut holder = stub(stop.connection);
            let response = match within_or_refused(holder.close_context(close), stop).await? {
                Ok(response) => response,
                Err(refusal) => return Ok(Outcome::Refused(refusal)),
            };
            if response.public_key != public_key {
                return Err(dishonest(&stop.key.oin, Reason::KeyMismatch));
            }
        }
        Ok(Outcome::Permitted(walk))
    }
}

impl KeyHolders for Chain {
    fn convert(
        &self,
        requests: Vec<ConversionRequest>,
    ) -> Boxed<'_, Result<Vec<Outcome<Converted>>, Error>> {
        Box::pin(self.walk(requests))
    }

    fn is_open<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<bool, Error>> {
        Box::pin(async move { Ok(self.context_keys.public_key(context).await?.is_some()) })
    }

    fn open_context(
        &self,
        request: Signed<ContextRequest>,
    ) -> Boxed<'_, Result<Outcome<ContextWalk>, Error>> {
        Box::pin(self.open(request))
    }
}

/// The key of a holder's own desk, if the directory has one that is not revoked.
#[must_use]
pub fn holder_key(directory: &Directory, oin: &Oin) -> Option<HolderKey> {
    let desk: DeskName = HOLDER_DESK.parse().ok()?;
    let member = directory.member(oin, &desk).ok()?;
    Some(HolderKey {
        oin: oin.clone(),
        key: VerifyingKey::from_bytes(member.desk.signing_key),
    })
}

/// In which queue orders wait: that of the organisation that signed them, which is the caller's.
fn queue_of(travellers: &[Traveller]) -> Queue {
    let issuer = travellers
        .first()
        .map(|traveller| &traveller.order.paper().issuer);
    let digest = vault::digest::sha256(issuer.map_or(b"", |issuer| issuer.as_str().as_bytes()));
    let tag = digest
        .first_chunk()
        .and_then(|tag: &[u8; 16]| Tag::from_slice(tag));
    tag.map_or(Queue::Own, Queue::Of)
}

fn set_out(place: usize, request: ConversionRequest) -> Result<Traveller, Reason> {
    let order = Signed::<Order>::receive(request.signed.bytes, &request.signed.signature)
        .map_err(|error| error.reason)?;
    Ok(Traveller {
        place,
        order,
        ciphertexts: vec![request.ciphertext.to_vec()],
        earlier: Vec::new(),
        parents: request.parents,
    })
}

/// The point after the last step: the context's public key.
fn end_of(walk: &ContextWalk) -> Result<[u8; 32], Error> {
    let last = walk.steps.last().map(|step| step.paper().point);
    last.ok_or(Error::HolderDishonest(Reason::ContextRequestInvalid))
}

fn stub(connection: &Connection) -> KeyHolderServiceClient<Channel> {
    KeyHolderServiceClient::new(connection.channel())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// A holder's answer in time, or `HOLDER_UNAVAILABLE`.
async fn within<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    holder: &Oin,
) -> Result<T, Error> {
    match tokio::time::timeout(HOP_TIMEOUT, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => {
            tracing::warn!(%holder, code = ?status.code(), "a key holder did not answer");
            Err(Error::HolderUnavailable)
        }
        Err(_) => {
            tracing::warn!(%holder, "a key holder did not answer in time");
            Err(Error::HolderUnavailable)
        }
    }
}

/// The same, where a holder says no with a status.
async fn within_or_refused<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    stop: &Stop<'_>,
) -> Result<Result<T, Refusal>, Error> {
    let mut refusal = None;
    let answer = async {
        let answer = answer.await;
        if let Err(status) = &answer {
            refusal = reason_of(status).map(Refusal::new);
        }
        answer
    };
    match within(answer, &stop.key.oin).await {
        Ok(response) => Ok(Ok(response)),
        Err(fault) => refusal.map_or(Err(fault), |refusal| Ok(Err(refusal))),
    }
}

/// The reason in a status, unless it is one of the other side's own faults.
fn reason_of(status: &tonic::Status) -> Option<Reason> {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let reason = Reason::from_code(&details.error_info()?.reason)?;
    match reason.class() {
        rules::reason::Class::Unavailable | rules::reason::Class::Internal => None,
        rules::reason::Class::InvalidArgument
        | rules::reason::Class::NotFound
        | rules::reason::Class::AlreadyExists
        | rules::reason::Class::PermissionDenied
        | rules::reason::Class::ResourceExhausted
        | rules::reason::Class::FailedPrecondition
        | rules::reason::Class::Aborted => Some(reason),
    }
}

fn dishonest(holder: &Oin, reason: Reason) -> Error {
    tracing::error!(%holder, reason = reason.code(), "a key holder's answer does not verify");
    Error::HolderDishonest(reason)
}

fn refused(reason: Reason) -> Outcome<Converted> {
    Outcome::Refused(Refusal::new(reason))
}

fn signed_voucher(paper: &SignedPaper) -> message::SignedVoucher {
    message::SignedVoucher {
        voucher: paper.bytes.clone(),
        signature: paper.signature.clone(),
    }
}

fn from_signed_voucher(voucher: message::SignedVoucher) -> SignedPaper {
    SignedPaper {
        bytes: voucher.voucher,
        signature: voucher.signature,
    }
}
