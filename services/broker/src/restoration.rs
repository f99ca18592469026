//! After the database was put back from a backup: the door stays shut until every desk has sent again what it
//! had stopped since, or the operator opens it (decision 0024).
//!
//! Must never open because nobody is known to be missing: each desk of the directory in force has to say so
//! itself. Must never tell anybody but the operator who is missing.

use crate::Error;
use crate::broker::{Broker, Keys};
use crate::call::{Answer, Call, can_stop};
use crate::record::Record;
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict, looks_up};
use papers::controllers::SignedByAll;
use rules::clock::Timestamp;
use rules::directory::{Directory, Right};
use rules::id::{DeskName, Oin, PeerKind, RequestId, Tag};
use rules::limits::PAGE_ROWS_DEFAULT;
use rules::reason::{Outcome, Reason, Refusal};
use std::collections::HashMap;
use store::restoration::{Shut, Unreadable};
use store::{Tx, Work};

/// What the log says of a door that opened by itself.
const OPENED: &str = "EVERYBODY_SENT_AGAIN";

/// How the door stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The restoration after which the door is still shut; `None` when it is open.
    pub shut: Option<Moments>,
    /// To the operator: a page of the desks that have not sent again what they had stopped, in order.
    pub missing: Vec<(Oin, DeskName)>,
    /// Whether the caller is told which are missing.
    pub tells_missing: bool,
    /// Whether more of them are missing than this page has.
    pub more_missing: bool,
    /// To operator and joint officer: organisations of which something stopped cannot be read and nobody has decided
    /// about, those first that have waited longest; so many at most, and the next when these are decided.
    pub unreadable: Vec<Oin>,
}

/// Two moments of a restoration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// When the backup was made.
    pub backup_at: Timestamp,
    /// When it was put back.
    pub restored_at: Timestamp,
}

impl From<Shut> for Moments {
    fn from(shut: Shut) -> Self {
        Self {
            backup_at: shut.backup_at,
            restored_at: shut.restored_at,
        }
    }
}

/// Tells how the door stands.
#[derive(Clone, Debug)]
pub struct GetRestoration {
    /// The last desk of the page before; none for the first page.
    pub missing_after: Option<(Oin, DeskName)>,
}

impl Command for GetRestoration {
    type Reply = Standing;
    looks_up!();

    fn name(&self) -> &'static str {
        "GetRestoration"
    }

    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Standing>, Error> {
        let caller = &room.call.caller;
        let is_operator = caller.may(Right::Operator);
        let shut = shut_to_caller(room, tx).await?;
        let mut missing = match shut {
            Some(shut) if is_operator => missing(room, tx, shut, None).await?,
            _ => Vec::new(),
        };
        let more_missing = keep_page(&mut missing, self.missing_after.as_ref());
        let unreadable = if is_operator || caller.may(Right::JointOfficer) {
            unreadable(room, tx).await?
        } else {
            Vec::new()
        };
        let standing = Standing {
            shut: shut.map(Moments::from),
            missing,
            tells_missing: is_operator,
            more_missing,
            unreadable,
        };
        Ok(Verdict::permitted(standing, Record::default()))
    }
}

/// A desk says that it has sent again all that it had stopped since the backup. With the last desk the door
/// opens. Gives whether it is open.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmResent {
    /// The restoration that the desk means.
    pub restored_at: Timestamp,
}

impl Command for ConfirmResent {
    type Reply = bool;

    fn name(&self) -> &'static str {
        "ConfirmResent"
    }

    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<bool>, Error> {
        let mut record = Record::default();
        let Some(shut) = shut_to_caller(room, tx).await? else {
            return Ok(Verdict::permitted(true, record));
        };
        if shut.restored_at != self.restored_at {
            // Of an earlier restoration: what was stopped between the two may not have been sent.
            return Ok(Verdict::permitted(false, record));
        }
        let now = room.call.now;
        let own = room.broker.keys().caller_tag(&room.call.caller);
        tx.insert_resent(shut.restored_at, own, now).await?;
        if tx.is_shut().await?.is_none() {
            // Somebody opened it without this desk.
            return Ok(Verdict::permitted(true, record));
        }
        let is_open = open_if_nothing_keeps_it_shut(room, tx, (shut, Some(own)), &mut record);
        Ok(Verdict::permitted(is_open.await?, record))
    }
}

/// The joint officer decides that calls of an organisation are served again though something that it had stopped cannot
/// be read: it has been found out by other ways what that was, and what stood of it was ended. Gives whether the door
/// is open then.
#[derive(Clone, Debug)]
pub struct AcceptUnreadable {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The organisation.
    pub organisation: Oin,
}

impl Command for AcceptUnreadable {
    type Reply = bool;

    fn name(&self) -> &'static str {
        "AcceptUnreadable"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"AcceptUnreadable")
            .add(self.organisation.as_str().as_bytes());
        Some((self.request_id, fingerprint))
    }

    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<bool>, Error> {
        let mut record = Record {
            organisation: Some(self.organisation.clone()),
            ..Record::default()
        };
        if !room.call.caller.may(Right::JointOfficer) {
            return Ok(Verdict::refused(
                Refusal::lacks("needs `joint-officer`"),
                record,
            ));
        }
        let tag = room.broker.keys().organisation_tag(&self.organisation);
        if !tx.delete_unreadable(tag).await? {
            let text = "has sent nothing that waits for a decision";
            let refusal = Refusal::about(Reason::InvalidRequest, "organisation", text);
            return Ok(Verdict::refused(refusal, record));
        }
        let Some(shut) = tx.is_shut().await? else {
            return Ok(Verdict::permitted(true, record));
        };
        let is_open = open_if_nothing_keeps_it_shut(room, tx, (shut, None), &mut record);
        Ok(Verdict::permitted(is_open.await?, record))
    }

    fn receipt(&self, reply: &bool) -> Receipt {
        Receipt {
            state: i64::from(*reply),
            ..Receipt::default()
        }
    }

    fn replay(&self, receipt: Receipt) -> Result<bool, Error> {
        Ok(receipt.state != 0)
    }
}

/// Whether the door is shut to the caller. Who was missing when it was opened sends again first, whenever it comes.
async fn shut_to_caller(room: &Room<'_>, tx: &mut Tx<'_>) -> Result<Option<Shut>, Error> {
    let caller = &room.call.caller;
    if can_stop(caller.kind) {
        Ok(tx.is_shut_to(room.broker.keys().caller_tag(caller)).await?)
    } else {
        Ok(tx.is_shut().await?)
    }
}

/// Opens the door when nobody is missing and nothing of the portal's waits for a decision. Gives whether it is open.
async fn open_if_nothing_keeps_it_shut(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    (shut, own): (Shut, Option<Tag>),
    record: &mut Record,
) -> Result<bool, Error> {
    let is_open = missing(room, tx, shut, own).await?.is_empty()
        && !tx.unreadable().await?.iter().any(|one| one.keeps_shut);
    if is_open {
        record.event_code = Some(OPENED);
        tx.open_door(room.call.now).await?;
    }
    Ok(is_open)
}

/// What somebody had stopped came again and does not open: a finding, and while the door is shut a reason to decide
/// nothing more for that organisation but stops; the portal speaks for everybody, so its keeps the door shut.
///
/// # Errors
/// When the database fails.
pub(crate) async fn refuse_unreadable<T>(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    field: &str,
    mut record: Record,
) -> Result<Verdict<T>, Error> {
    let caller = &room.call.caller;
    record.finding = Some("STOP_UNREADABLE");
    if can_stop(caller.kind) && shut_to_caller(room, tx).await?.is_some() {
        let unreadable = Unreadable {
            organisation: room.broker.keys().organisation_tag(&caller.party.oin),
            keeps_shut: caller.kind == PeerKind::Portal,
        };
        tx.insert_unreadable(unreadable, room.call.now).await?;
    }
    let text = "was not made by this gateway for this desk";
    let refusal = Refusal::about(Reason::InvalidRequest, field, text);
    Ok(Verdict::refused(refusal, record))
}

/// The operator opens the door though somebody is missing: to each of those it is shut until it has sent again what it
/// had stopped. Gives how many desks are missing.
#[derive(Clone, Copy, Debug)]
pub struct OpenDoor {
    /// The caller's id of this request.
    pub request_id: RequestId,
}

impl Command for OpenDoor {
    type Reply = u32;

    fn name(&self) -> &'static str {
        "OpenDoor"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(b"OpenDoor");
        Some((self.request_id, fingerprint))
    }

    fn passes_shut_door(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<u32>, Error> {
        let record = Record::default();
        if !room.call.caller.may(Right::Operator) {
            return Ok(Verdict::refused(Refusal::lacks("needs `operator`"), record));
        }
        let Some(shut) = tx.is_shut().await? else {
            return Ok(Verdict::permitted(0, record));
        };
        if tx.unreadable().await?.iter().any(|one| one.keeps_shut) {
            return Ok(Verdict::refused(Reason::StopUnreadable, record));
        }
        let missing = missing(room, tx, shut, None).await?.len();
        tx.open_door(room.call.now).await?;
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        Ok(Verdict::permitted(missing, record))
    }

    fn receipt(&self, reply: &u32) -> Receipt {
        Receipt {
            state: i64::from(*reply),
            ..Receipt::default()
        }
    }

    fn replay(&self, receipt: Receipt) -> Result<u32, Error> {
        u32::try_from(receipt.state).map_err(|_| Error::Malformed("a stored outcome"))
    }
}

/// Keeps the page of desks after this one, in order; whether there are more behind it.
fn keep_page(desks: &mut Vec<(Oin, DeskName)>, after: Option<&(Oin, DeskName)>) -> bool {
    desks.sort();
    desks.retain(|desk| after.is_none_or(|after| desk > after));
    let rows_max = usize::try_from(PAGE_ROWS_DEFAULT).unwrap_or(usize::MAX);
    let more = desks.len() > rows_max;
    desks.truncate(rows_max);
    more
}

/// Who has not sent again what they had stopped; `own` counts as having done so.
async fn missing(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    shut: Shut,
    own: Option<Tag>,
) -> Result<Vec<(Oin, DeskName)>, Error> {
    let resent = tx.resent(shut.restored_at).await?;
    let keys: &Keys = room.broker.keys();
    let mut desks = who_can_stop(&room.in_force.directory);
    desks.retain(|(oin, desk)| {
        let tag = keys.desk_tag(oin, desk);
        !resent.contains(&tag) && own != Some(tag)
    });
    Ok(desks)
}

/// Of which organisations something cannot be read; those that the directory no longer has cannot call either.
async fn unreadable(room: &Room<'_>, tx: &mut Tx<'_>) -> Result<Vec<Oin>, Error> {
    let keys: &Keys = room.broker.keys();
    let named: HashMap<_, _> = room
        .in_force
        .directory
        .peers()
        .map(|peer| (keys.organisation_tag(peer.oin()), peer.oin().clone()))
        .collect();
    let mut found: Vec<_> = tx
        .unreadable()
        .await?
        .iter()
        .filter_map(|one| named.get(&one.organisation).cloned())
        .collect();
    found.truncate(usize::try_from(PAGE_ROWS_DEFAULT).unwrap_or(usize::MAX));
    Ok(found)
}

/// Every desk from which a consent can have been stopped or an objection made: all but those of the broker and
/// the key holders.
fn who_can_stop(directory: &Directory) -> Vec<(Oin, DeskName)> {
    let peers = directory.peers().filter(|peer| can_stop(peer.kind()));
    peers
        .flat_map(|peer| {
            let oin = peer.oin().clone();
            peer.desks()
                .map(move |desk| (oin.clone(), desk.name.clone()))
        })
        .collect()
}

struct IsShut;

impl Work for IsShut {
    type Output = bool;
    type Error = Error;

    fn name(&self) -> &'static str {
        "IsShut"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<bool, Error> {
        Ok(tx.is_shut().await?.is_some())
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// The directory that a desk kept, with some of its parts.
pub type KeptDirectory = (SignedByAll<Vec<u8>>, Vec<Vec<u8>>);

/// What came of a desk's word that it sent everything again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Whether the door is open now.
    pub open: bool,
    /// Digests of the directory's parts that are still to be sent; then nothing is confirmed yet.
    pub missing: Vec<[u8; 32]>,
}

impl Broker {
    /// A desk has sent everything again; with the directory that it kept, if it kept one.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn confirm_resent(
        &self,
        call: &Call,
        (command, directory): (ConfirmResent, Option<KeptDirectory>),
    ) -> Result<Answer<Confirmed>, Error> {
        if let Some((file, parts)) = directory {
            match self.take_back_directory(call, file, parts).await? {
                Outcome::Permitted(missing) if missing.is_empty() => {}
                Outcome::Permitted(missing) => {
                    let noted = self.note(call, command.name()).await?;
                    let open = false;
                    return Ok(noted.map(|()| Confirmed { open, missing }));
                }
                Outcome::Refused(refusal) => {
                    let answer = self.refuse(call, command.name(), refusal.clone()).await?;
                    return Ok(Answer {
                        outcome: Outcome::Refused(refusal),
                        promise: answer.promise,
                    });
                }
            }
        }
        let answer = self.serve(call, &command).await?;
        Ok(answer.map(|open| Confirmed {
            open,
            missing: Vec::new(),
        }))
    }

    /// Whether the door is shut after a restoration.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn is_shut(&self) -> Result<bool, Error> {
        self.database().read(&IsShut).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many desks are told in pages of these sizes, each desk once.
    fn check(count: usize, pages: &[usize]) {
        let desk = |number: usize| -> (Oin, DeskName) {
            let oin = format!("00000099{:09}000", number % 3).parse().unwrap();
            (oin, format!("desk-{number}").parse().unwrap())
        };
        let all: Vec<_> = (0..count).map(desk).collect();
        let (mut told, mut sizes) = (Vec::new(), Vec::new());
        loop {
            let mut page = all.clone();
            let more = keep_page(&mut page, told.last());
            sizes.push(page.len());
            told.append(&mut page);
            if !more {
                break;
            }
        }
        let mut sorted = all;
        sorted.sort();
        assert_eq!((told, sizes.as_slice()), (sorted, pages));
    }

    #[test]
    fn who_is_missing_is_told_in_pages() {
        check(0, &[0]);
        check(99, &[99]);
        check(100, &[100]);
        check(101, &[100, 1]);
        check(250, &[100, 100, 50]);
    }
}
