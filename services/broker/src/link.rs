//! Login at the portal, and the link of a person to a vakbond by a code.
//!
//! Must never see a citizen service number or a member number, and must never give a code's content to
//! anybody but the vakbond for which it was made, and once.

use crate::Error;
use crate::broker::{Broker, ConversionRequest, Converted};
use crate::call::{Answer, Call};
use crate::consent::need_portal;
use crate::consent::withdraw::{count_wrong, exhausted, source_tag};
use crate::record::Record;
use crate::rowkey::{self, SealedRow};
use crate::serve::{Command, Room, Verdict};
use papers::frame::{FrameReader, FrameWriter};
use papers::paper::SignedPaper;
use rules::clock::Timestamp;
use rules::consent::LinkCode;
use rules::id::{Party, RequestId};
use rules::limits::MINUTE_MILLIS;
use rules::pseudonym::{Order, OrderKind, TargetDomain};
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;
use store::link::LinkRow;

/// How long a link code can be redeemed, in milliseconds.
pub const LINK_CODE_MILLIS: i64 = 10 * MINUTE_MILLIS;
const TABLE: &str = "link_code";

/// A person logs in at the portal.
#[derive(Clone, Debug)]
pub struct Login {
    /// The order LOGIN, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The person, encrypted under the portal's own context key.
    pub ciphertext: [u8; 64],
}

/// A person links to a vakbond.
#[derive(Clone, Debug)]
pub struct Link {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// Who may redeem the code.
    pub recipient: Party,
    /// SHA-256 of the code's canonical text.
    pub code_sha256: [u8; 32],
    /// The order LINK, decoded.
    pub order: Order,
    /// The order as signed.
    pub signed_order: SignedPaper,
    /// The person, encrypted under the portal's own context key.
    pub ciphertext: [u8; 64],
}

/// The portal's own order, of the kind that belongs to the call.
fn check_order(call: &Call, order: &Order, kind: OrderKind) -> Result<(), Refusal> {
    need_portal(call)?;
    if order.issuer != call.caller.party.oin || order.desk != call.caller.desk {
        return Err(Refusal::new(Reason::ActingForAnother));
    }
    if order.kind == kind {
        Ok(())
    } else {
        Err(Refusal::new(Reason::OrderForbidden))
    }
}

impl Broker {
    /// Converts the number of the person who logs in. Nothing of it is kept but the line.
    ///
    /// # Errors
    /// A fault of ours or of a holder.
    pub async fn login(&self, call: &Call, request: Login) -> Result<Answer<Converted>, Error> {
        let outcome = match check_order(call, &request.order, OrderKind::Login) {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(()) => {
                self.convert_one(ConversionRequest {
                    order: request.order,
                    signed: request.signed_order,
                    ciphertext: request.ciphertext,
                    parents: Vec::new(),
                })
                .await?
            }
        };
        self.serve(call, &LoggedIn { outcome }).await
    }

    /// Converts the number of the person who logged in into a vakbond's pseudonym, and keeps the result
    /// under the code's digest.
    ///
    /// # Errors
    /// A fault of ours or of a holder; nothing was written.
    pub async fn link(&self, call: &Call, request: Link) -> Result<Answer<Timestamp>, Error> {
        let checked = check_order(call, &request.order, OrderKind::Link).and_then(|()| {
            let same = matches!(
                request.order.targets.first(),
                Some((TargetDomain::Partner { party, .. }, _)) if *party == request.recipient
            );
            if same {
                Ok(())
            } else {
                Err(Refusal::new(Reason::OrderForbidden))
            }
        });
        let outcome = match checked {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(()) => {
                let conversion = ConversionRequest {
                    order: request.order.clone(),
                    signed: request.signed_order.clone(),
                    ciphertext: request.ciphertext,
                    parents: Vec::new(),
                };
                self.convert_for(&request.recipient, conversion).await?
            }
        };
        self.serve(
            call,
            &Linking {
                request: &request,
                outcome,
            },
        )
        .await
    }
}

struct LoggedIn {
    outcome: Outcome<Converted>,
}

impl Command for LoggedIn {
    type Reply = Converted;

    fn name(&self) -> &'static str {
        "Login"
    }

    /// Who cannot log in cannot stop anything, and nothing of it is kept.
    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        _room: &'a Room<'a>,
        _tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Converted>, Error> {
        Ok(match &self.outcome {
            Outcome::Permitted(converted) => {
                Verdict::permitted(converted.clone(), Record::default())
            }
            Outcome::Refused(refusal) => Verdict::refused(refusal.clone(), Record::default()),
        })
    }
}

struct Linking<'r> {
    request: &'r Link,
    outcome: Outcome<Converted>,
}

impl Command for Linking<'_> {
    type Reply = Timestamp;

    fn name(&self) -> &'static str {
        "Link"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Timestamp>, Error> {
        // That a vakbond is meant is special-category data: the line does not say which.
        let record = Record::default();
        let converted = match &self.outcome {
            Outcome::Permitted(converted) => converted,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal.clone(), record)),
        };
        let now = room.call.now;
        let expires_at = now.plus_millis(LINK_CODE_MILLIS);
        let code = &self.request.code_sha256;
        let row = rowkey::seal(room.broker, TABLE, code, &frame(converted)?, now)?;
        let party = room.broker.keys().party_tag(&self.request.recipient);
        let row = LinkRow {
            wrapped_key: row.wrapped_key,
            sealed: row.sealed,
        };
        if tx.insert_link_code(code, party, expires_at, &row).await? {
            Ok(Verdict::permitted(expires_at, record))
        } else {
            Ok(Verdict::refused(Reason::RequestIdReused, record))
        }
    }
}

fn frame(converted: &Converted) -> Result<Vec<u8>, Error> {
    let mut writer = FrameWriter::default();
    let ciphertext = converted.ciphertexts.first();
    writer.put(ciphertext.ok_or(Error::HolderDishonest(Reason::VoucherInvalid))?)?;
    for voucher in &converted.vouchers {
        writer.put(&voucher.bytes)?;
        writer.put(&voucher.signature)?;
    }
    Ok(writer.finish())
}

fn unframe(octets: &[u8]) -> Result<Converted, Error> {
    let mut reader = FrameReader::new(octets);
    let ciphertext = reader.take()?.try_into();
    let ciphertext = ciphertext.map_err(|_| Error::Malformed("a link code"))?;
    let mut vouchers = Vec::new();
    while !reader.is_empty() {
        vouchers.push(SignedPaper {
            bytes: reader.take()?.to_vec(),
            signature: reader.take()?.to_vec(),
        });
    }
    Ok(Converted {
        ciphertexts: vec![ciphertext],
        vouchers,
    })
}

/// Redeems a link code.
#[derive(Clone, Debug)]
pub struct RedeemLink {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The code.
    pub code: LinkCode,
}

impl Command for RedeemLink {
    type Reply = Converted;

    fn name(&self) -> &'static str {
        "RedeemLink"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Converted>, Error> {
        let record = Record::default();
        let source = match source_tag(room, None) {
            Ok(tag) => tag,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        if let Some(refusal) = exhausted(room, tx, source).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let code = vault::digest::sha256(self.code.canonical().as_bytes());
        let party = room.broker.keys().party_tag(&room.call.caller.party);
        // Unknown, expired, used and another's are one answer. A repeat is none of these: its first answer may
        // have been lost, and is given again.
        let taken = tx.take_link_code(&code, party, room.call.now, self.request_id);
        let Some(row) = taken.await? else {
            count_wrong(room, tx, source).await?;
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        let row = SealedRow {
            wrapped_key: row.wrapped_key,
            sealed: row.sealed,
        };
        let octets = rowkey::open(room.broker, TABLE, &code, &row)?;
        Ok(Verdict::permitted(unframe(&octets)?, record))
    }
}
