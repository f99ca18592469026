//! What follows from a stop: state first, consequences after (decision 0030).
//!
//! A stop writes the record's end and raises the number on the person's locked row; from then on every step, timer and
//! read treats what was made before as ended. Keys, inboxes, feed and notices follow here, in bounded batches, by the
//! broker that has the lead, with the stop's own cause and time. Must never be what keeps something from being
//! released, and must never end a handover without its line.

use crate::Error;
use crate::broker::Broker;
use crate::call::Call;
use crate::handover::{self, Loaded, enter};
use crate::notice;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::clock::Timestamp;
use rules::handover::{Actor, BasisKind, CancelCode, Event, Side, Situation, State};
use rules::id::{HandoverId, Tag};
use rules::limits::{DAY_MILLIS, MINUTE_MILLIS};
use rules::notice::NoticeKind;
use rules::reason::Outcome;
use store::consequence::{Concerned, ConsequenceRow};
use store::pseudonym::SubjectRow;
use store::{Tx, Work};

/// Handovers that are dealt with in one transaction, so that nobody waits for more than these.
const HANDOVERS_MAX: i64 = 100;
/// People and groups that are looked up at a time.
const ABOUTS_MAX: i64 = 100;
/// How long consequences may wait before an officer is told.
const LATE_MILLIS: i64 = MINUTE_MILLIS;

/// From what something follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The person withdrew.
    Withdrawn,
    /// The person refused while a consent stood.
    Refused,
    /// An officer found the consent invalid.
    Invalidated,
    /// An officer found the objection right.
    Upheld,
    /// Another handover of the group was released.
    Superseded,
    /// The person objected.
    Objected,
    /// The person had processing restricted.
    Restricted,
    /// An officer found that the objection does not hold.
    Rejected,
    /// An officer lifted the restriction.
    Lifted,
}

impl Cause {
    const ALL: [Self; 9] = [
        Self::Withdrawn,
        Self::Refused,
        Self::Invalidated,
        Self::Upheld,
        Self::Superseded,
        Self::Objected,
        Self::Restricted,
        Self::Rejected,
        Self::Lifted,
    ];

    /// Its number in rows; never another's.
    const fn number(self) -> i64 {
        match self {
            Self::Withdrawn => 1,
            Self::Refused => 2,
            Self::Invalidated => 3,
            Self::Upheld => 4,
            Self::Superseded => 5,
            Self::Objected => 6,
            Self::Restricted => 7,
            Self::Rejected => 8,
            Self::Lifted => 9,
        }
    }

    fn from_number(number: i64) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|cause| cause.number() == number);
        found.ok_or(Error::Malformed("a consequence"))
    }

    /// What it does to an open handover, and by whom.
    #[must_use]
    pub const fn event(self) -> (Event, Actor) {
        match self {
            Self::Withdrawn | Self::Refused => (Event::Withdraw, Actor::Candidate),
            Self::Invalidated => (Event::Invalidate, Actor::Officer),
            Self::Upheld => (Event::UpholdObjection, Actor::Officer),
            Self::Superseded => (Event::Supersede, Actor::Broker),
            Self::Objected => (Event::Object, Actor::Candidate),
            Self::Restricted => (Event::Restrict, Actor::Candidate),
            Self::Rejected => (Event::RejectObjection, Actor::Officer),
            Self::Lifted => (Event::LiftRestriction, Actor::Officer),
        }
    }

    /// How the log names it to both sides, who may not know by which word the person stopped it.
    const fn code(self) -> &'static str {
        match self {
            Self::Withdrawn | Self::Refused => "WITHDRAWN",
            Self::Invalidated => "CONSENT_INVALIDATED",
            Self::Upheld => "OBJECTION_UPHELD",
            Self::Superseded => "SUPERSEDED",
            Self::Objected => "OBJECT",
            Self::Restricted => "RESTRICT",
            Self::Rejected => "REJECT",
            Self::Lifted => "LIFT_RESTRICTION",
        }
    }

    /// Why, where both sides may know.
    pub(crate) const fn cancel_code(self) -> Option<CancelCode> {
        match self {
            Self::Invalidated => Some(CancelCode::ConsentInvalidated),
            Self::Upheld => Some(CancelCode::ObjectionUpheld),
            Self::Superseded => Some(CancelCode::Superseded),
            _ => None,
        }
    }

    /// What whoever opened something of a handover that had ended before is told: as of one that ends by it.
    const fn notice_of_ended(self) -> Option<NoticeKind> {
        match self {
            Self::Withdrawn | Self::Refused => Some(NoticeKind::Withdrawal),
            Self::Invalidated | Self::Upheld => Some(NoticeKind::Erasure),
            _ => None,
        }
    }

    /// Whether it stops the clocks of what is open, and ends nothing.
    const fn stops_clocks(self) -> bool {
        matches!(self, Self::Objected | Self::Restricted)
    }

    /// The state in which it leaves what it ends; none when it ends nothing.
    const fn end(self) -> Option<State> {
        match self {
            Self::Withdrawn | Self::Refused => Some(State::Withdrawn),
            Self::Invalidated | Self::Upheld | Self::Superseded => Some(State::Cancelled),
            _ => None,
        }
    }
}

/// Ends all that was made for a person in a relation up to now: raises the number on the person's row, which must be
/// locked and is given as it was. Keys, inboxes and notices follow. Gives how many handovers it concerns.
///
/// # Errors
/// When the database fails.
pub(crate) async fn stop(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    index: &[u8; 32],
    (subject, cause): (&SubjectRow, Cause),
) -> Result<Concerned, Error> {
    let concerned = tx.count_concerned(index, subject.stop_number).await?;
    tx.raise_stop_number(index).await?;
    if concerned.all > 0 {
        let number = (cause.number(), subject.stop_number.saturating_add(1));
        let when = (room.call.now, None);
        tx.insert_consequence(index, number, when).await?;
    }
    Ok(concerned)
}

/// Writes that an objection, a restriction or a decision about one has to reach the person's other handovers than the
/// one that was dealt with at once. The person's row must be locked.
///
/// # Errors
/// When the database fails.
pub(crate) async fn pause_others(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    index: &[u8; 32],
    (subject, cause, at_once): (&SubjectRow, Cause, HandoverId),
) -> Result<(), Error> {
    let concerned = tx.count_concerned(index, subject.stop_number).await?;
    if concerned.open > 0 {
        let when = (room.call.now, Some(at_once));
        tx.insert_consequence(index, (cause.number(), 0), when)
            .await?;
    }
    Ok(())
}

/// A handover of a group was released: the others of lower numbers have ended. The group must be locked.
///
/// # Errors
/// When the database fails.
pub(crate) async fn supersede(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    group: Tag,
    number: i64,
) -> Result<(), Error> {
    let ends = (Cause::Superseded.number(), number);
    tx.insert_consequence(group.bytes(), ends, (room.call.now, None))
        .await?;
    Ok(())
}

/// How a handover was ended whose own row does not say it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) state: State,
    pub(crate) code: Option<CancelCode>,
    pub(crate) at: Timestamp,
}

/// What ended what was made under `made_under`, of a person or a group whose number has risen since; none when no
/// row tells.
///
/// # Errors
/// When the database fails, or the row is not of this program's making.
pub(crate) async fn that_ended(
    tx: &mut Tx<'_>,
    about: &[u8],
    made_under: i64,
) -> Result<Option<Ended>, Error> {
    let Some(found) = tx.consequence_that_ended(about, made_under).await? else {
        return Ok(None);
    };
    let cause = Cause::from_number(found.cause)?;
    Ok(cause.end().map(|state| Ended {
        state,
        code: cause.cancel_code(),
        at: found.happened_at,
    }))
}

/// Deals with the next handovers that the first consequence of a person or group concerns.
struct Follow<'a> {
    about: &'a [u8],
}

impl Command for Follow<'_> {
    /// How many handovers were dealt with.
    type Reply = u64;

    fn name(&self) -> &'static str {
        "FollowStop"
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<u64>, Error> {
        let mut record = Record::default();
        // The person's row first, as everybody locks; a group has none.
        if let Ok(index) = self.about.try_into() {
            tx.lock_subject(index).await?;
        }
        let Some(row) = tx.lock_first_consequence(self.about).await? else {
            return Ok(Verdict::permitted(0, record));
        };
        let cause = Cause::from_number(row.cause)?;
        record.event_code = Some(cause.code());
        let call = Call {
            now: row.happened_at,
            ..room.call.clone()
        };
        let then = room.with(&call);
        let concerned = tx.concerned_handovers(&row, HANDOVERS_MAX).await?;
        for id in concerned.iter().filter(|id| row.at_once != Some(**id)) {
            follow(&then, tx, *id, (cause, &row)).await?;
        }
        let count = i64::try_from(concerned.len()).unwrap_or(i64::MAX);
        let is_last = count < HANDOVERS_MAX;
        match concerned.last() {
            Some(last) if !is_last => tx.move_consequence_on(&row, *last).await?,
            _ => tx.delete_consequence(&row).await?,
        }
        let handovers = u64::try_from(concerned.len()).unwrap_or(u64::MAX);
        record.batch = Some((handovers, 0));
        Ok(Verdict::permitted(handovers, record))
    }
}

/// Deals with one handover: ends it, stops its clock or lets it go on, and writes its line; or tells whoever opened
/// something of one that had ended before.
async fn follow(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: HandoverId,
    (cause, row): (Cause, &ConsequenceRow),
) -> Result<(), Error> {
    let loaded = match handover::load_as_it_lies(room, tx, id).await {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return Ok(()),
        Err(fault) if fault.is_of_one_row() => {
            return end_unreadable(room, tx, id, (cause, &fault)).await;
        }
        Err(fault) => return Err(fault),
    };
    let is_open = loaded.row.wrapped_key.is_some();
    match cause.end() {
        Some(_) if is_open && is_of_before(&loaded, row) => take(room, tx, loaded, cause).await,
        Some(_) if !is_open => tell_ended(room, tx, &loaded, cause).await,
        // No clock says what was there before: what never stopped has nothing to go on with.
        None if is_open && (cause.stops_clocks() || loaded.row.remaining_millis.is_some()) => {
            take(room, tx, loaded, cause).await
        }
        _ => Ok(()),
    }
}

/// Whether a handover was made before the stop or the release.
fn is_of_before(loaded: &Loaded, row: &ConsequenceRow) -> bool {
    let is_of_group = loaded
        .row
        .group
        .is_some_and(|group| group.bytes().as_slice() == row.about);
    let made_under = if is_of_group {
        loaded.row.group_number
    } else {
        loaded.row.stop_number
    };
    made_under < row.ends_below
}

/// Takes the step of the cause, with its line.
async fn take(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    mut loaded: Loaded,
    cause: Cause,
) -> Result<(), Error> {
    let (event, actor) = cause.event();
    let situation = situation_before(room, &loaded, cause)?;
    match rules::handover::apply(&situation, event, actor) {
        Outcome::Permitted(step) => {
            if let Some(code) = cause.cancel_code() {
                code.code().clone_into(&mut loaded.body.course.code);
            }
            enter(room, tx, &mut loaded, &step).await?;
            write_line(room, tx, &loaded, (event, cause)).await
        }
        Outcome::Refused(_) if cause.end().is_some() => {
            let fault = Error::Malformed("a handover that a stop ends");
            end_unreadable(room, tx, loaded.row.handover_id, (cause, &fault)).await
        }
        Outcome::Refused(_) => Ok(()),
    }
}

/// The handover as it stood before the cause: the person's row is past that already. On what it rests is what the
/// cause says: the register may have changed, and a stop ends what was made before all the same.
fn situation_before(room: &Room<'_>, loaded: &Loaded, cause: Cause) -> Result<Situation, Error> {
    let now = loaded.situation(room)?;
    let runs = loaded.row.deadline_at.is_some();
    Ok(match cause {
        Cause::Withdrawn | Cause::Refused | Cause::Invalidated => Situation {
            basis: BasisKind::Consent,
            ..now
        },
        Cause::Superseded => now,
        Cause::Upheld | Cause::Rejected => Situation {
            basis: BasisKind::Statute,
            objection_pending: true,
            ..now
        },
        Cause::Lifted => Situation {
            restricted: true,
            ..now
        },
        // A clock that still runs was stopped by nothing yet.
        Cause::Objected => Situation {
            objection_pending: false,
            restricted: now.restricted && !runs,
            ..now
        },
        Cause::Restricted => Situation {
            objection_pending: now.objection_pending && !runs,
            restricted: false,
            ..now
        },
    })
}

/// The line of what became of one handover, so that a search by the handover shows it.
///
/// # Errors
/// When the database or the seal fails.
async fn write_line(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    (event, cause): (Event, Cause),
) -> Result<(), Error> {
    let record = Record {
        event_code: Some(cause.code()),
        ..loaded.record(room)
    };
    room.write_entry(tx, event.name(), &record).await?;
    Ok(())
}

/// Sends the notice of the cause to whoever opened something of a handover that had ended before, once for each kind,
/// as long as the register lets it keep that: to the recipient, and to a sender that fetched a report. A report that waits
/// is destroyed.
async fn tell_ended(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    ended: &Loaded,
    cause: Cause,
) -> Result<(), Error> {
    let Some(kind) = cause.notice_of_ended() else {
        return Ok(());
    };
    let report = ended.body.course.report.as_ref();
    if report.is_some() {
        tx.delete_report(ended.row.handover_id).await?;
    }
    let was_read = report.is_some_and(|report| report.was_read);
    let holders = [
        (Side::Recipient, ended.row.opened_at.is_some()),
        (Side::Sender, was_read),
    ];
    for (side, holds) in holders {
        let to = (side, kind);
        if holds && is_still_kept(room, ended) && !notice::was_sent(room, tx, ended, to).await? {
            notice::start(room, tx, ended, to).await?;
        }
    }
    Ok(())
}

/// Whether the register still lets whoever opened something keep it; after that there is nothing left to
/// erase. An entry that is gone does not let it keep anything, but it may still hold it.
fn is_still_kept(room: &Room<'_>, ended: &Loaded) -> bool {
    let kept_days = room
        .in_force
        .entry(&ended.body)
        .map_or(u32::MAX, |entry| entry.retention_days);
    let kept_millis = i64::from(kept_days).saturating_mul(DAY_MILLIS);
    ended.row.entered_at.millis().saturating_add(kept_millis) > room.call.now.millis()
}

/// Ends a handover that cannot be read: its key is destroyed, and the officers are told that nobody else could be.
async fn end_unreadable(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: HandoverId,
    (cause, fault): (Cause, &Error),
) -> Result<(), Error> {
    if room.broker.is_first_fault_of(&id.to_string()) {
        tracing::error!(row = %id, %fault, "a handover that a stop concerns cannot be read");
    }
    let Some(state) = cause.end() else {
        return Ok(());
    };
    let state = i64::from(state.number());
    tx.end_unreadable_handover(id, state, room.call.now).await?;
    let record = Record {
        handover: Some(id),
        event_code: Some(cause.code()),
        finding: Some("HANDOVER_UNREADABLE"),
        ..Record::default()
    };
    let (event, _) = cause.event();
    room.write_entry(tx, event.name(), &record).await?;
    Ok(())
}

/// Tells the officers that what follows from a stop has waited too long.
struct ReportLate<'a> {
    about: &'a [u8],
}

impl Command for ReportLate<'_> {
    type Reply = ();

    fn name(&self) -> &'static str {
        "ReportStopLate"
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        _tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let record = Record {
            // By it the joint officer finds the lines of the relation.
            person: Some(room.broker.keys().tag("subject", self.about)),
            finding: Some("STOP_LATE"),
            ..Record::default()
        };
        Ok(Verdict::permitted((), record))
    }
}

/// Finds about whom something waits, and since when.
struct FindWaiting {
    /// Those behind this person or group.
    behind: Vec<u8>,
}

impl Work for FindWaiting {
    type Output = Vec<(Vec<u8>, Timestamp)>;
    type Error = Error;

    fn name(&self) -> &'static str {
        "FindConsequences"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, Error> {
        Ok(tx.waiting_consequences(ABOUTS_MAX, &self.behind).await?)
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl Broker {
    /// One round: a batch for each person and group about whom something waits, so that one with many handovers keeps
    /// none waiting. Also behind a shut door. Gives how many batches were done; 0 when nothing waits. What cannot be done
    /// stays, is named in the process's log once, and keeps none waiting.
    ///
    /// # Errors
    /// A fault of ours that is not of one person or group.
    pub async fn follow_stops(&self) -> Result<u64, Error> {
        let call = self.own_call();
        let (mut batches, mut behind) = (0, Vec::new());
        loop {
            let waiting = self.database().read(&FindWaiting { behind }).await?;
            for (about, since) in &waiting {
                let name = rules::hex::encode(about);
                if call.now.millis_since(*since) > LATE_MILLIS
                    && self.is_first_fault_of(&format!("{name}/late since {since}"))
                {
                    self.serve(&call, &ReportLate { about }).await?;
                }
                match self.serve(&call, &Follow { about }).await {
                    Ok(_) => batches += 1,
                    Err(fault) if fault.is_of_one_row() => {
                        if self.is_first_fault_of(&name) {
                            tracing::error!(%fault, "what follows from a stop cannot be done; the others go on");
                        }
                    }
                    Err(fault) => return Err(fault),
                }
            }
            match waiting.into_iter().last() {
                Some((last, _)) => behind = last,
                None => return Ok(batches),
            }
        }
    }
}
