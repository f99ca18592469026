//! A consent that the broker has lost, because its tables were put back from an earlier backup: what it had
//! replaced seems to stand again there, and has to end.
//!
//! Must never tell anybody whether there was something to end, and must never end what came after the lost one.

use super::load;
use super::withdraw::{Withdrawn, end, tell_portal};
use crate::Error;
use crate::call::{Call, Caller};
use crate::consequence::Cause;
use crate::counter::Keys;
use crate::record::Record;
use crate::restoration::refuse_unreadable;
use crate::serve::{Room, Verdict};
use rules::audit::Audience;
use rules::clock::Timestamp;
use rules::consent::ConsentState;
use rules::id::ConsentId;
use store::Tx;
use vault::rest::{Place, SEALED_EXTRA_BYTES};

/// Octets of the index of a person's row.
const INDEX_BYTES: usize = 32;
/// Octets of that and of a moment in milliseconds since 1970 UTC, big-endian, sealed.
pub const SEALED_SUBJECT_BYTES: usize = INDEX_BYTES + 8 + SEALED_EXTRA_BYTES;

/// The lost record, and the person's row as whoever registered it was given it.
#[derive(Clone, Debug)]
pub struct Successor {
    /// The lost record.
    pub record: ConsentId,
    /// The person's row, sealed for the caller.
    pub sealed_subject: [u8; SEALED_SUBJECT_BYTES],
}

/// Where a sealed row belongs: to one record and one desk.
fn row_name(keys: &Keys, caller: &Caller, record: ConsentId) -> Vec<u8> {
    let desk = keys.caller_tag(caller);
    [record.bytes().as_slice(), desk.bytes().as_slice()].concat()
}

const fn place(row: &[u8]) -> Place<'_> {
    Place {
        table: "consent",
        row,
        column: "sealed_subject",
    }
}

/// Seals the index of a person's row, and when it was given, for the desk that registers a consent: only this
/// gateway can open it, only for that record, and no two are alike.
///
/// # Errors
/// When the cipher fails.
pub(super) fn seal(
    keys: &Keys,
    call: &Call,
    record: ConsentId,
    subject_index: &[u8; INDEX_BYTES],
) -> Result<Vec<u8>, Error> {
    let plain = [subject_index.as_slice(), &call.now.millis().to_be_bytes()].concat();
    keys.seal(&place(&row_name(keys, &call.caller, record)), &plain)
}

/// The person's row and the moment; none when it was not sealed here for this desk and record.
fn open(room: &Room<'_>, successor: &Successor) -> Option<([u8; INDEX_BYTES], Timestamp)> {
    let keys = room.counter.keys();
    let name = row_name(keys, &room.call.caller, successor.record);
    let plain = keys.open(&place(&name), &successor.sealed_subject).ok()?;
    let (index, millis) = plain.split_first_chunk()?;
    let millis = i64::from_be_bytes(millis.try_into().ok()?);
    Some((*index, Timestamp::from_millis(millis)))
}

/// Ends what the lost record had replaced. Where the record is known nothing was lost, and nothing ends.
pub(super) async fn end_replaced(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    successor: &Successor,
) -> Result<Verdict<Withdrawn>, Error> {
    let mut record = Record {
        audience: Audience::Caller,
        event_code: Some("SUCCESSOR"),
        ..Record::default()
    };
    let Some((index, moment)) = open(room, successor) else {
        return refuse_unreadable(room, tx, "successor.sealed_subject", record).await;
    };
    let nothing_more = |record| Ok(Verdict::permitted(Withdrawn::default(), record));
    let Some(subject) = tx.lock_subject(&index).await? else {
        return nothing_more(record);
    };
    record.person = Some(room.counter.keys().tag("subject", &index));
    if load(room, tx, successor.record).await?.is_some() {
        return nothing_more(record);
    }
    let Some(current) = subject.consent else {
        return nothing_more(record);
    };
    let Some(mut replaced) = load(room, tx, current).await? else {
        return Err(Error::Malformed("a person's consent"));
    };
    let about = &replaced.record;
    record.sender = Some(about.sender.clone());
    record.recipient = Some(about.recipient.clone());
    record.purpose = Some(about.purpose.clone());
    if about.state == ConsentState::Given && replaced.row.created_at <= moment {
        end(room, tx, &mut replaced, (None, Cause::Withdrawn)).await?;
        tell_portal(room, tx, &replaced).await?;
    }
    record.consent = Some((replaced.record.id, replaced.record.version));
    nothing_more(record)
}
