//! A consent that the broker has lost, because its tables were put back from an earlier backup: what it had
//! replaced seems to stand again there, and has to end, whoever registered, narrowed or stopped the lost one.
//!
//! Must never tell anybody whether there was something to end, and must never end what came after the lost one.

use super::load;
use super::withdraw::{Withdrawn, end, tell_portal};
use crate::Error;
use crate::broker::Keys;
use crate::call::Call;
use crate::consequence::Cause;
use crate::record::Record;
use crate::restoration::refuse_unreadable;
use crate::serve::{Room, Verdict};
use rules::audit::Audience;
use rules::clock::Timestamp;
use rules::consent::ConsentState;
use rules::id::{ConsentId, Tag};
use store::Tx;
use vault::rest::{Place, SEALED_EXTRA_BYTES};

/// Octets of the index of a person's row.
const INDEX_BYTES: usize = 32;
/// Octets of the id of a record.
const RECORD_BYTES: usize = 16;
/// Octets of the two and of a moment in milliseconds since 1970 UTC, big-endian, sealed.
pub const SEALED_SUBJECT_BYTES: usize = INDEX_BYTES + RECORD_BYTES + 8 + SEALED_EXTRA_BYTES;

/// What was sealed.
struct Lost {
    index: [u8; INDEX_BYTES],
    record: ConsentId,
    moment: Timestamp,
}

fn place(desk: &Tag) -> Place<'_> {
    Place {
        table: "consent",
        row: desk.bytes(),
        column: "sealed_subject",
    }
}

/// Seals the index of a person's row, a record and this moment for the desk that registers, narrows or stops it: only
/// this gateway can open it, only for that desk, and no two are alike.
///
/// # Errors
/// When the cipher fails.
pub(super) fn seal(
    keys: &Keys,
    call: &Call,
    record: ConsentId,
    subject_index: &[u8; INDEX_BYTES],
) -> Result<Vec<u8>, Error> {
    let millis = call.now.millis().to_be_bytes();
    let plain = [subject_index.as_slice(), record.bytes(), &millis].concat();
    keys.seal(&place(&keys.caller_tag(&call.caller)), &plain)
}

/// None when it was not sealed here for this desk.
fn open(room: &Room<'_>, sealed: &[u8; SEALED_SUBJECT_BYTES]) -> Option<Lost> {
    let keys = room.broker.keys();
    let desk = keys.caller_tag(&room.call.caller);
    let plain = keys.open(&place(&desk), sealed).ok()?;
    let (index, rest) = plain.split_first_chunk::<INDEX_BYTES>()?;
    let (record, millis) = rest.split_first_chunk::<RECORD_BYTES>()?;
    Some(Lost {
        index: *index,
        record: ConsentId::from_slice(record)?,
        moment: Timestamp::from_millis(i64::from_be_bytes(millis.try_into().ok()?)),
    })
}

/// Ends what the lost record had replaced. Where the record is known nothing was lost, and nothing ends.
pub(super) async fn end_replaced(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    sealed: &[u8; SEALED_SUBJECT_BYTES],
) -> Result<Verdict<Withdrawn>, Error> {
    let mut record = Record {
        audience: Audience::Caller,
        event_code: Some("SUCCESSOR"),
        ..Record::default()
    };
    let Some(Lost {
        index,
        record: lost,
        moment,
    }) = open(room, sealed)
    else {
        return refuse_unreadable(room, tx, "sealed_subject", record).await;
    };
    let nothing_more = |record| {
        let done = Withdrawn {
            sealed_subject: sealed.to_vec(),
            ..Withdrawn::default()
        };
        Ok(Verdict::permitted(done, record))
    };
    let Some(subject) = tx.lock_subject(&index).await? else {
        return nothing_more(record);
    };
    record.person = Some(room.broker.keys().tag("subject", &index));
    if load(room, tx, lost).await?.is_some() {
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
