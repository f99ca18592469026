//! What a portal keeps at the broker for the day on which it is put back from a backup: blocks, and what it still had
//! to do for persons (decision 0032).
//!
//! Must never be able to read them: the portal seals each, in fixed sizes, under a name that only it can make. Must
//! never serve anybody but the portal, and never give one portal's copies to another.

use crate::Error;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::id::Tag;
use rules::limits::{
    PORTAL_COPIES_AT_ONCE, PORTAL_COPIES_MAX, PORTAL_COPIES_TAKEN_AT_ONCE, PORTAL_COPY_BYTES_MAX,
    PORTAL_COPY_STEP_BYTES,
};
use rules::reason::{Reason, Refusal};
use store::Tx;
pub use store::portal_copy::CopyRow;

/// Names in one answer.
pub const NAMES_MAX: usize = 1_000;

/// Whose copies they are: the organisation's, whichever of its desks calls.
fn owner(room: &Room<'_>) -> Result<Tag, Refusal> {
    crate::consent::need_portal(room.call)?;
    let oin = &room.call.caller.party.oin;
    Ok(room
        .broker
        .keys()
        .tag("portal-copies", oin.as_str().as_bytes()))
}

fn count(record: &mut Record, copies: usize) {
    record.batch = Some((u64::try_from(copies).unwrap_or(u64::MAX), 0));
}

/// Keeps copies, each in the place of the one of its name.
#[derive(Clone, Debug)]
pub struct PutCopies {
    /// The copies.
    pub copies: Vec<CopyRow>,
}

impl PutCopies {
    fn check(&self) -> Result<(), Refusal> {
        if self.copies.len() > PORTAL_COPIES_AT_ONCE {
            let text = format!("has more than {PORTAL_COPIES_AT_ONCE} copies");
            return Err(Refusal::about(Reason::InvalidRequest, "copies", text));
        }
        let fits = |copy: &CopyRow| {
            let bytes = copy.sealed.len();
            (1..=PORTAL_COPY_BYTES_MAX).contains(&bytes)
                && bytes.is_multiple_of(PORTAL_COPY_STEP_BYTES)
        };
        if self.copies.iter().all(fits) {
            return Ok(());
        }
        let text = format!(
            "must be {PORTAL_COPY_STEP_BYTES} bytes or some times that, {PORTAL_COPY_BYTES_MAX} at most"
        );
        Err(Refusal::about(
            Reason::InvalidRequest,
            "copies.sealed",
            text,
        ))
    }
}

impl Command for PutCopies {
    type Reply = ();

    fn name(&self) -> &'static str {
        "PutCopies"
    }

    /// They are the portal's own, whatever else is not yet as it was.
    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let mut record = Record::default();
        let owner = match owner(room).and_then(|owner| self.check().map(|()| owner)) {
            Ok(owner) => owner,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let more = i64::try_from(self.copies.len()).unwrap_or(i64::MAX);
        let held = tx.copies_held(owner).await?;
        if held.saturating_add(more) > PORTAL_COPIES_MAX {
            let text = format!("would be more than {PORTAL_COPIES_MAX}");
            let refusal = Refusal::about(Reason::StorageFull, "copies", text);
            return Ok(Verdict::refused(refusal, record));
        }
        tx.put_copies(owner, &self.copies).await?;
        count(&mut record, self.copies.len());
        Ok(Verdict::permitted((), record))
    }
}

/// A page of copies, by their names.
#[derive(Clone, Copy, Debug)]
pub struct ListCopies {
    /// Those behind this name.
    pub after: [u8; 16],
    /// Copies at most.
    pub limit: usize,
    /// Whether only the names are asked for: then nothing is sealed in the answer.
    pub names_only: bool,
}

impl Command for ListCopies {
    type Reply = Vec<CopyRow>;

    fn name(&self) -> &'static str {
        "ListCopies"
    }

    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Vec<CopyRow>>, Error> {
        let mut record = Record::default();
        let owner = match owner(room) {
            Ok(owner) => owner,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let limit = |max: usize| i64::try_from(self.limit.clamp(1, max)).unwrap_or(1);
        let copies = if self.names_only {
            let names = tx
                .names_of_copies(owner, &self.after, limit(NAMES_MAX))
                .await?;
            let nameless = |copy_id| CopyRow {
                copy_id,
                sealed: Vec::new(),
            };
            names.into_iter().map(nameless).collect()
        } else {
            tx.copies(owner, &self.after, limit(PORTAL_COPIES_AT_ONCE))
                .await?
        };
        count(&mut record, copies.len());
        Ok(Verdict::permitted(copies, record))
    }
}

/// Takes copies away; gives how many were there.
#[derive(Clone, Debug)]
pub struct TakeCopies {
    /// Their names.
    pub names: Vec<[u8; 16]>,
}

impl Command for TakeCopies {
    type Reply = u64;

    fn name(&self) -> &'static str {
        "TakeCopies"
    }

    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<u64>, Error> {
        let mut record = Record::default();
        let owner = match owner(room) {
            Ok(owner) => owner,
            Err(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        if self.names.len() > PORTAL_COPIES_TAKEN_AT_ONCE {
            let text = format!("has more than {PORTAL_COPIES_TAKEN_AT_ONCE} names");
            let refusal = Refusal::about(Reason::InvalidRequest, "copy_ids", text);
            return Ok(Verdict::refused(refusal, record));
        }
        let taken = tx.take_copies(owner, &self.names).await?;
        record.batch = Some((taken, 0));
        Ok(Verdict::permitted(taken, record))
    }
}
