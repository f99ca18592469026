//! What the portal asks of the gateway: who logs in, what happened with whom, and link codes.
//!
//! Nothing here goes through the outbox, and nothing here is kept: a person's number never, and a person who is
//! encrypted for an order only by the portal itself, while a refusal waits. Must never keep a pseudonym or print one.

use super::{Client, ask, context_label};
use crate::connection::{stub, with_deadline};
use crate::directory::DirectoryCopy;
use crate::error::{ClientError, ProtocolError, from_status};
use crate::person::PersonKey;
use crate::receipt::verified_promise;
use papers::paper::{Expectation, Order, Signed, verify_final_keys, verify_link, verify_vouchers};
use rules::clock::Timestamp;
use rules::consent::LinkCode;
use rules::id::{EntryId, Party, RequestId};
use rules::pseudonym::{Context, Domain, OrderKind, TargetDomain};
use vault::pseudonym::{Bsn, Ciphertext, ContextKey, Pseudonym};
use wire::portal::v1 as portal;
use wire::portal::v1::copy_service_client::CopyServiceClient;
use wire::portal::v1::feed_service_client::FeedServiceClient;
use wire::pseudonym::v1 as message;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;

pub use wire::portal::v1::FeedLine;

/// The portal's own pseudonyms of the person who logged in.
#[derive(Debug)]
pub struct PortalPseudonyms {
    /// In the portal's present epoch.
    pub current: Pseudonym,
    /// In the epoch before, when there was one.
    pub previous: Option<Pseudonym>,
}

/// A person as the portal's orders name one: hashed, and encrypted under the portal's own context. Only the portal
/// can read it, and only as a point.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedPerson(pub [u8; 64]);

impl std::fmt::Debug for EncryptedPerson {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("EncryptedPerson(..)")
    }
}

/// A copy that the portal keeps at the gateway: its name, and what it sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalCopy {
    /// Its name, which only the portal can make.
    pub name: [u8; 16],
    /// What it holds, sealed by the portal; empty where only names were asked for.
    pub sealed: Vec<u8>,
}

impl Client {
    /// The person who is logged in, as an order names them. No gateway is asked for it.
    ///
    /// # Errors
    ///
    /// A fault of the store, or [`ClientError::Input`] without an open context.
    pub async fn encrypted(&self, bsn: &Bsn) -> Result<EncryptedPerson, ClientError> {
        let directory = self.directory().await?;
        let (_, key) = self.own_context(&directory)?;
        Ok(EncryptedPerson(*key.encrypt_bsn(bsn).bytes()))
    }

    /// Portal: keeps copies at the gateway, each in the place of the one of its name.
    ///
    /// # Errors
    ///
    /// A refusal or a fault; they may be put again.
    pub async fn put_copies(&self, copies: &[PortalCopy]) -> Result<(), ClientError> {
        let copies = copies.iter().map(|copy| portal::Copy {
            copy_id: copy.name.to_vec(),
            sealed: copy.sealed.clone(),
        });
        let message = portal::PutCopiesRequest {
            copies: copies.collect(),
        };
        ask!(self, "PutCopies", CopyServiceClient.put_copies, message).map(drop)
    }

    /// Portal: a page of the copies behind a name; the names alone where nothing more is wanted.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or a [`ProtocolError`] when a name is none.
    pub async fn list_copies(
        &self,
        after: Option<[u8; 16]>,
        limit: usize,
        names_only: bool,
    ) -> Result<Vec<PortalCopy>, ClientError> {
        let message = portal::ListCopiesRequest {
            after: after.map(|name| name.to_vec()).unwrap_or_default(),
            limit: i32::try_from(limit).unwrap_or(i32::MAX),
            names_only,
        };
        let answer = ask!(self, "ListCopies", CopyServiceClient.list_copies, message)?;
        let copies = answer.copies.into_iter().map(|copy| {
            let name: Result<[u8; 16], _> = copy.copy_id.as_slice().try_into();
            Ok(PortalCopy {
                name: name.map_err(|_| ProtocolError::new("copies", "have a name that is none"))?,
                sealed: copy.sealed,
            })
        });
        copies.collect()
    }

    /// Portal: takes copies away. Those that are gone already are no mistake.
    ///
    /// # Errors
    ///
    /// A refusal or a fault; they may be taken away again.
    pub async fn take_copies(&self, names: &[[u8; 16]]) -> Result<(), ClientError> {
        let message = portal::TakeCopiesRequest {
            copy_ids: names.iter().map(|name| name.to_vec()).collect(),
        };
        ask!(self, "TakeCopies", CopyServiceClient.take_copies, message).map(drop)
    }

    /// Whether the gateway was put back from a backup, and its door is still shut.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn is_restoring(&self) -> Result<bool, ClientError> {
        Ok(self.outbox.restoration().await?.shut)
    }

    /// Portal: the portal's own pseudonyms of the person who logs in (order LOGIN). Checks every
    /// holder's voucher and that the result is under the portal's own key. Nothing is kept.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or a [`ProtocolError`] when the conversion does not verify.
    pub async fn login(&self, bsn: &Bsn) -> Result<PortalPseudonyms, ClientError> {
        let person = self.encrypted(bsn).await?;
        self.login_of(&person).await
    }

    /// Portal: the same of a person whom the portal encrypted when they were there, for what they asked for and a portal
    /// that was killed has not finished.
    ///
    /// # Errors
    ///
    /// As [`Client::login`]; also when `person` was encrypted under an earlier context.
    pub async fn login_of(
        &self,
        person: &EncryptedPerson,
    ) -> Result<PortalPseudonyms, ClientError> {
        let directory = self.directory().await?;
        let (context, key) = self.own_context(&directory)?;
        let wrong = |_| ProtocolError::new("person", "is not encrypted as one");
        let ciphertext = Ciphertext::parse(&person.0).map_err(wrong)?;
        let current = directory.directory().portal_epoch();
        let previous = current.checked_sub(1).filter(|epoch| *epoch > 0);
        let targets = std::iter::once(current)
            .chain(previous)
            .map(|epoch| message::OrderTarget {
                domain: TargetDomain::Portal { epoch }.to_string(),
                context: context.to_string(),
            })
            .collect();
        let template = message::Order {
            targets,
            ..self.order_of_origin(&context, &ciphertext, OrderKind::Login)
        };
        let (order, answer) = self
            .outbox
            .repeat(|| {
                let signed = self.sign(&template);
                let mut stub = stub!(PseudonymServiceClient<_>, self.outbox.connection);
                let ciphertext = ciphertext.bytes().to_vec();
                async move {
                    let order = signed?;
                    let message = message::LoginRequest {
                        order: Some((&order).into()),
                        ciphertext,
                    };
                    let answer = stub.login(with_deadline(message)).await;
                    let answer = answer.map_err(|status| from_status("Login", &status))?;
                    Ok((order, answer.into_inner()))
                }
            })
            .await?;
        verified_promise(answer.promise, &directory)?;
        let found = open_login(
            &directory,
            &order,
            answer.ciphertexts,
            answer.vouchers,
            &key,
        )?;
        let mut found = found.into_iter();
        Ok(PortalPseudonyms {
            current: found
                .next()
                .ok_or(ProtocolError::new("ciphertexts", "are missing"))?,
            previous: found.next(),
        })
    }

    /// Portal: makes a code with which `recipient`, a vakbond, can fetch its own pseudonym of the person
    /// who logged in (order LINK). Answers the code and until when it can be used.
    ///
    /// # Errors
    ///
    /// A refusal or a fault; the code is worth nothing then.
    pub async fn link(
        &self,
        bsn: &Bsn,
        recipient: &Party,
    ) -> Result<(LinkCode, Timestamp), ClientError> {
        let directory = self.directory().await?;
        let (context, key) = self.own_context(&directory)?;
        let epoch = directory
            .directory()
            .realm(recipient)
            .map(|realm| realm.epoch);
        let domain = TargetDomain::Partner {
            party: recipient.clone(),
            epoch: epoch.ok_or(NO_REALM)?,
        };
        let (template, ciphertext) = self.origin_order(&context, &key, bsn, OrderKind::Link);
        let template = message::Order {
            targets: vec![message::OrderTarget {
                domain: domain.to_string(),
                context: context_label(&directory, recipient)?,
            }],
            ..template
        };
        let code = LinkCode::draw(&*self.outbox.random);
        let code_sha256 = vault::digest::sha256(code.canonical().as_bytes()).to_vec();
        let request_id = self.request_id();
        let answer = self
            .outbox
            .repeat(|| {
                let signed = self.sign(&template);
                let mut stub = stub!(PseudonymServiceClient<_>, self.outbox.connection);
                let message = message::LinkRequest {
                    request_id: request_id.bytes().to_vec(),
                    recipient: recipient.to_string(),
                    code_sha256: code_sha256.clone(),
                    order: None,
                    ciphertext: ciphertext.bytes().to_vec(),
                };
                async move {
                    let message = message::LinkRequest {
                        order: Some((&signed?).into()),
                        ..message
                    };
                    let answer = stub.link(with_deadline(message)).await;
                    let answer = answer.map_err(|status| from_status("Link", &status))?;
                    Ok(answer.into_inner())
                }
            })
            .await?;
        verified_promise(answer.promise, &directory)?;
        Ok((code, Timestamp::from_millis(answer.valid_until_millis)))
    }

    /// Vakbond: redeems the code that a member read out, and keeps the realm's own pseudonym of that
    /// member beside `person`.
    ///
    /// # Errors
    ///
    /// `NOT_AVAILABLE` for a code that is none, is another's or was used; `TRIES_EXHAUSTED` after too
    /// many of those; a fault; or a [`ProtocolError`] when the conversion does not verify. When the key stands for
    /// somebody else: the code is used all the same.
    pub async fn redeem_link(
        &self,
        person: &PersonKey,
        code: &LinkCode,
    ) -> Result<(), ClientError> {
        let directory = self.directory().await?;
        let domain = self.own_domain(&directory)?;
        let (_, key) = self.own_context(&directory)?;
        let message = message::RedeemLinkRequest {
            request_id: self.request_id().bytes().to_vec(),
            code: code.canonical().to_owned(),
        };
        let answer = ask!(
            self,
            "RedeemLink",
            PseudonymServiceClient.redeem_link,
            message
        )?;
        let conversion = answer
            .conversion
            .ok_or(ProtocolError::new("conversion", "is missing"))?;
        let pseudonym = open_link(&directory, &domain, conversion, &key)?;
        let there = self.store().pseudonym(&domain, person)?;
        if !self.replaces && there.is_some_and(|there| there != pseudonym) {
            return Err(ClientError::Input {
                what: "this person key stands for somebody else already, and still does",
                remedy: "ask for a new code and choose another key, or say --replace",
            });
        }
        let change = crate::store::pseudonym_change(&domain, person, &pseudonym, false);
        Ok(self.outbox.commit(vec![change]).await?)
    }

    /// Portal: the oldest lines of the feed that were not acknowledged; at most `limit`.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn pull_feed(&self, limit: usize) -> Result<Vec<FeedLine>, ClientError> {
        let message = portal::PullFeedRequest {
            limit: i32::try_from(limit).unwrap_or(i32::MAX),
        };
        let answer = ask!(self, "PullFeed", FeedServiceClient.pull_feed, message)?;
        Ok(answer.lines)
    }

    /// Portal: says that these lines have been sealed to their persons. Lines that are gone already are
    /// no mistake, so it can be said again.
    ///
    /// # Errors
    ///
    /// A refusal or a fault.
    pub async fn ack_feed(&self, lines: &[EntryId]) -> Result<(), ClientError> {
        let message = portal::AckFeedRequest {
            line_ids: lines.iter().map(|line| line.bytes().to_vec()).collect(),
        };
        ask!(self, "AckFeed", FeedServiceClient.ack_feed, message).map(drop)
    }

    /// Portal: the point behind an introduction, which is encrypted to the portal's own context.
    ///
    /// # Errors
    ///
    /// [`ClientError::Input`] without an open context, or a [`ProtocolError`] when it is no
    /// ciphertext of a person.
    pub async fn introduced(&self, introduction: &[u8]) -> Result<Pseudonym, ClientError> {
        let directory = self.directory().await?;
        let (_, key) = self.own_context(&directory)?;
        let wrong = |_| ProtocolError::new("introduction", "is not one of a person");
        let ciphertext = Ciphertext::parse(introduction).map_err(wrong)?;
        Ok(key.decrypt(&ciphertext).map_err(wrong)?)
    }

    /// The order's template and the source ciphertext of a conversion from a person's number.
    pub(super) fn origin_order(
        &self,
        context: &Context,
        key: &ContextKey,
        bsn: &Bsn,
        kind: OrderKind,
    ) -> (message::Order, Ciphertext) {
        let ciphertext = key.encrypt_bsn(bsn);
        (self.order_of_origin(context, &ciphertext, kind), ciphertext)
    }

    /// The order's template of a conversion from a person's number that was encrypted before.
    pub(super) fn order_of_origin(
        &self,
        context: &Context,
        ciphertext: &Ciphertext,
        kind: OrderKind,
    ) -> message::Order {
        message::Order {
            kind: kind.number(),
            source_domain: Domain::Origin.to_string(),
            ..self.order_template(context, ciphertext)
        }
    }

    pub(super) fn sign(&self, template: &message::Order) -> Result<Signed<Order>, ClientError> {
        let outbox = &self.outbox;
        outbox
            .identity
            .sign_order(template, &*outbox.clock, &*outbox.random)
    }

    pub(super) fn request_id(&self) -> RequestId {
        RequestId::draw(&*self.outbox.clock, &*self.outbox.random)
    }
}

const NO_REALM: ClientError = ClientError::Input {
    what: "the recipient is not in the directory",
    remedy: "check the recipient, or call refresh_directory",
};

/// Checks a conversion of all targets of `order` and decrypts each.
fn open_login(
    directory: &DirectoryCopy,
    order: &Signed<Order>,
    ciphertexts: Vec<Vec<u8>>,
    vouchers: Vec<message::SignedVoucher>,
    key: &ContextKey,
) -> Result<Vec<Pseudonym>, ClientError> {
    if ciphertexts.len() != order.paper().targets.len() {
        return Err(ProtocolError::new("ciphertexts", "are not one for each epoch").into());
    }
    let vouchers = vouchers
        .into_iter()
        .map(TryInto::try_into)
        .collect::<Result<Vec<_>, _>>()?;
    let outputs: Vec<(usize, &[u8])> = ciphertexts.iter().map(Vec::as_slice).enumerate().collect();
    let holders = directory.holder_keys()?;
    let expectation = Expectation::Whole { outputs: &outputs };
    verify_vouchers(&vouchers, &holders, order, expectation)?;
    let own = *key.public().bytes();
    let keys: Vec<_> = (0..ciphertexts.len()).map(|target| (target, own)).collect();
    verify_final_keys(&vouchers, &keys)?;
    let wrong = |_| ProtocolError::new("ciphertexts", "are not of a person");
    ciphertexts
        .iter()
        .map(|octets| {
            let ciphertext = Ciphertext::parse(octets).map_err(wrong)?;
            Ok(key.decrypt(&ciphertext).map_err(wrong)?)
        })
        .collect()
}

/// Checks a conversion whose order the portal signed and decrypts it.
fn open_link(
    directory: &DirectoryCopy,
    domain: &Domain,
    conversion: message::Conversion,
    key: &ContextKey,
) -> Result<Pseudonym, ClientError> {
    let vouchers = conversion
        .vouchers
        .into_iter()
        .map(TryInto::try_into)
        .collect::<Result<Vec<_>, _>>()?;
    let holders = directory.holder_keys()?;
    verify_link(&vouchers, &holders, domain, &conversion.ciphertext)?;
    verify_final_keys(&vouchers, &[(0, *key.public().bytes())])?;
    let wrong = |_| ProtocolError::new("ciphertext", "is not one of a person");
    let ciphertext = Ciphertext::parse(&conversion.ciphertext).map_err(wrong)?;
    Ok(key.decrypt(&ciphertext).map_err(wrong)?)
}
