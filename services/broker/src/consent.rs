//! Consent (toestemming): what all its commands share. A record is what its latest signed statement says;
//! the row beside it only finds it and ends it.
//!
//! Must never let a record permit by its row alone, must never bring an ended one back, and must never
//! need a holder to stop one.

pub mod ask;
pub mod change;
pub mod invalidate;
pub mod question;
pub mod register;
pub mod successor;
pub mod withdraw;

use crate::Error;
use crate::broker::{Broker, Keys};
use crate::call::Call;
use crate::retention;
use crate::serve::Room;
use papers::frame::{FrameReader, FrameWriter};
use papers::paper::SignedPaper;
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, ConsentState, Statement, StopCode};
use rules::id::{ConsentId, Oin, PeerKind};
use rules::limits::MINUTE_MILLIS;
use rules::reason::{Reason, Refusal};
use store::Tx;
use store::consent::{ConsentEvent, ConsentRow};
use store::pseudonym::SubjectRow;
use vault::rest::Place;
use vault::sign::VerifyingKey;
use vault::statement;

/// Wrong codes that one desk or source may try within [`WRONG_CODES_WINDOW_MILLIS`].
pub const WRONG_CODES_MAX: i64 = 5;
/// How long a wrong code counts, in milliseconds.
pub const WRONG_CODES_WINDOW_MILLIS: i64 = 10 * MINUTE_MILLIS;

/// Refuses everybody but the portal.
///
/// # Errors
/// `RIGHT_MISSING`.
pub fn need_portal(call: &Call) -> Result<(), Refusal> {
    if call.caller.kind == PeerKind::Portal {
        Ok(())
    } else {
        Err(Refusal::lacks("this call is the portal's"))
    }
}

/// A record as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The row.
    pub row: ConsentRow,
    /// The record as it stands: what the statement says, ended when the row says so.
    pub record: ConsentRecord,
    /// The latest statement, a compact JWS.
    pub statement: String,
    /// Every holder's voucher of the conversion, so that an auditor can see that the handle was not
    /// swapped.
    pub vouchers: Vec<SignedPaper>,
}

impl Stored {
    /// Puts it to the record's state and version, and the statement's if there is a new one.
    fn advance(&mut self, state: ConsentState, statement: Option<&Signed>) {
        self.row.version = self.row.version.saturating_add(1);
        self.row.state = i64::from(state.number());
        if let Some(signed) = statement {
            self.statement.clone_from(&signed.jws);
            self.record = signed.statement.record.clone();
            self.row.valid_until = self.record.valid_until;
        }
        self.record.state = state;
        self.record.version = u64::try_from(self.row.version).unwrap_or(u64::MAX);
    }
}

/// A statement with its signature checked.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What it says.
    pub statement: Statement,
    /// The compact JWS as received.
    pub jws: String,
}

/// Opens a statement that the caller must have signed with its own desk's key.
///
/// # Errors
/// `STATEMENT_SIGNATURE_INVALID` for another signer or a wrong signature, `STATEMENT_INVALID` for
/// another form, `ACTING_FOR_ANOTHER` when it names another desk than the caller as the one who wrote it.
pub fn open_statement(call: &Call, jws: &str) -> Result<Signed, Refusal> {
    let caller = &call.caller;
    let own = format!("{}/{}", caller.party.oin, caller.desk);
    let key = VerifyingKey::from_bytes(caller.signing_key);
    let opened = statement::open(jws, |kid| (kid == own).then_some(key)).map_err(|fault| {
        let reason = match fault {
            statement::StatementError::Signature => Reason::StatementSignatureInvalid,
            _ => Reason::StatementInvalid,
        };
        Refusal::about(reason, "statement_jws", fault.to_string())
    })?;
    let statement = Statement::parse(&opened.payload).map_err(|fault| {
        let path = format!("statement_jws.{}", fault.field);
        Refusal::about(Reason::StatementInvalid, path, fault.wrong)
    })?;
    let (oin, desk) = &statement.entity;
    if *oin != caller.party.oin || *desk != caller.desk {
        return Err(Refusal::new(Reason::ActingForAnother));
    }
    Ok(Signed {
        statement,
        jws: jws.to_owned(),
    })
}

fn body_place(id: &ConsentId) -> Place<'_> {
    Place {
        table: "consent",
        row: id.bytes(),
        column: "body",
    }
}

fn seal_body(
    keys: &Keys,
    id: ConsentId,
    statement: &str,
    vouchers: &[SignedPaper],
) -> Result<Vec<u8>, Error> {
    let mut writer = FrameWriter::default();
    writer.put(statement.as_bytes())?;
    for voucher in vouchers {
        writer.put(&voucher.bytes)?;
        writer.put(&voucher.signature)?;
    }
    keys.seal(&body_place(&id), &writer.finish())
}

fn open(keys: &Keys, row: ConsentRow) -> Result<Stored, Error> {
    let wrong = || Error::Malformed("a consent record");
    let octets = keys.open(&body_place(&row.consent_id), &row.body)?;
    let mut reader = FrameReader::new(&octets);
    let jws = reader.take_text()?.to_owned();
    let mut vouchers = Vec::new();
    while !reader.is_empty() {
        vouchers.push(SignedPaper {
            bytes: reader.take()?.to_vec(),
            signature: reader.take()?.to_vec(),
        });
    }
    let payload = statement::payload(&jws).map_err(|_| wrong())?;
    let statement = Statement::parse(&payload).map_err(|_| wrong())?;
    let mut record = statement.record;
    if record.id != row.consent_id {
        return Err(wrong());
    }
    record.version = u64::try_from(row.version).map_err(|_| wrong())?;
    record.state = i32::try_from(row.state)
        .ok()
        .and_then(ConsentState::from_number)
        .ok_or_else(wrong)?;
    Ok(Stored {
        row,
        record,
        statement: jws,
        vouchers,
    })
}

/// Locks the person and the record, and opens it.
///
/// # Errors
/// When the database fails or a seal does not open.
pub async fn load(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: ConsentId,
) -> Result<Option<Stored>, Error> {
    match tx.lock_subject_of_consent(id).await? {
        Some(_) => load_of_locked(room, tx, id).await,
        None => Ok(None),
    }
}

/// The same of a person whose row is locked already.
async fn load_of_locked(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: ConsentId,
) -> Result<Option<Stored>, Error> {
    match tx.lock_consent(id).await? {
        Some(row) => Ok(Some(open(room.broker.keys(), row)?)),
        None => Ok(None),
    }
}

/// The record that decisions about a person in a relation look at.
///
/// # Errors
/// When the database fails or a seal does not open.
pub async fn current(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    subject: &SubjectRow,
) -> Result<Option<ConsentRecord>, Error> {
    let Some(id) = subject.consent else {
        return Ok(None);
    };
    let stored = load_of_locked(room, tx, id).await?;
    let stored = stored.ok_or(Error::Malformed("a person's consent"))?;
    Ok(Some(stored.record))
}

/// Writes a change of a record, and the event of it.
///
/// # Errors
/// When the database or a seal fails.
async fn save(room: &Room<'_>, tx: &mut Tx<'_>, stored: &mut Stored) -> Result<(), Error> {
    let keys = room.broker.keys();
    stored.row.body = seal_body(
        keys,
        stored.row.consent_id,
        &stored.statement,
        &stored.vouchers,
    )?;
    stored.row.erase_at = retention::consent_until(room, &stored.record);
    tx.update_consent(&stored.row).await?;
    append(room, tx, stored).await
}

/// Appends the event of a record as it stands.
async fn append(room: &Room<'_>, tx: &mut Tx<'_>, stored: &Stored) -> Result<(), Error> {
    let row = &stored.row;
    let name = [
        row.consent_id.bytes().as_slice(),
        &row.version.to_be_bytes(),
    ]
    .concat();
    let place = Place {
        table: "consent_event",
        row: &name,
        column: "body",
    };
    let body = room
        .broker
        .keys()
        .seal(&place, stored.statement.as_bytes())?;
    tx.insert_consent_event(&ConsentEvent {
        consent_id: row.consent_id,
        version: row.version,
        state: row.state,
        time: room.call.now,
        body,
    })
    .await?;
    Ok(())
}

impl Broker {
    /// The index by which a stop code finds its record.
    #[must_use]
    pub fn stop_tag(&self, code: &StopCode) -> [u8; 32] {
        self.keys()
            .index
            .index("stop-code", code.canonical().as_bytes())
    }
}

/// Since when wrong codes count.
#[must_use]
pub fn wrong_codes_since(now: Timestamp) -> Timestamp {
    now.plus_millis(-WRONG_CODES_WINDOW_MILLIS)
}

/// Text of a desk as a `kid` and an entity have it.
#[must_use]
pub fn desk_text(oin: &Oin, desk: &rules::id::DeskName) -> String {
    format!("{oin}/{desk}")
}
