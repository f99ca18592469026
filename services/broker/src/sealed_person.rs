//! A person's row, sealed by the broker to itself for the desk that stopped something: what was stopped is sent again
//! with it after the tables were put back from a backup, and is set also where the row is gone (decision 0024).
//!
//! Must never open for another desk than the one that it was given to, and must never tell that desk anything.

use crate::Error;
use crate::broker::Keys;
use crate::handover::person::Subject;
use crate::serve::Room;
use rules::clock::Timestamp;
use rules::id::Tag;
use store::Tx;
use vault::rest::{Place, SEALED_EXTRA_BYTES};

const INDEX_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const HANDLE_BYTES: usize = 32;
/// Octets of index, relation tag, handle and a moment in milliseconds since 1970 UTC (big-endian), sealed.
pub const SEALED_PERSON_BYTES: usize =
    INDEX_BYTES + TAG_BYTES + HANDLE_BYTES + 8 + SEALED_EXTRA_BYTES;

/// What was sealed.
pub(crate) struct Person {
    /// The row, to be made anew where it is gone.
    pub(crate) subject: Subject,
    /// When it was stopped.
    pub(crate) stopped_at: Timestamp,
}

fn place<'a>(desk: &'a Tag) -> Place<'a> {
    Place {
        table: "relation_subject",
        row: desk.bytes(),
        column: "sealed_person",
    }
}

fn handle_place(index: &[u8; INDEX_BYTES]) -> Place<'_> {
    Place {
        table: "relation_subject",
        row: index,
        column: "sealed_handle",
    }
}

/// Seals the row of a person for the caller; no two are alike.
///
/// # Errors
/// When the database or the cipher fails.
pub(crate) async fn seal(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    index: &[u8; INDEX_BYTES],
) -> Result<Vec<u8>, Error> {
    let keys = room.broker.keys();
    let (relation, sealed_handle) = tx.subject_handle(index).await?;
    let handle = keys.open(&handle_place(index), &sealed_handle)?;
    let millis = room.call.now.millis().to_be_bytes();
    let plain = [index.as_slice(), relation.bytes(), &handle, &millis].concat();
    keys.seal(&place(&keys.caller_tag(&room.call.caller)), &plain)
}

/// The person; none when it was not sealed here for this desk.
pub(crate) fn open(room: &Room<'_>, sealed: &[u8; SEALED_PERSON_BYTES]) -> Option<Person> {
    let keys: &Keys = room.broker.keys();
    let desk = keys.caller_tag(&room.call.caller);
    let plain = keys.open(&place(&desk), sealed).ok()?;
    let (index, rest) = plain.split_first_chunk::<INDEX_BYTES>()?;
    let (relation, rest) = rest.split_first_chunk::<TAG_BYTES>()?;
    let (handle, millis) = rest.split_first_chunk::<HANDLE_BYTES>()?;
    let stopped_at = Timestamp::from_millis(i64::from_be_bytes(millis.try_into().ok()?));
    Some(Person {
        subject: Subject {
            index: *index,
            relation: Tag::new(*relation),
            sealed_handle: keys.seal(&handle_place(index), handle).ok()?,
        },
        stopped_at,
    })
}
