//! Retention (bewaartermijnen): what the broker erases, and when (AVG article 5(1)(e)).
//!
//! The terms are the register's, for each processing activity: a handover's row as long as its recipient may keep
//! what it received, a consent record and a log entry as long as the log is kept. Must never erase without an
//! entry that says how much, and must never erase an objection.

use crate::Error;
use crate::broker::Broker;
use crate::call::Call;
use crate::handover::body::Body;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::audit::year_of;
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, ConsentState};
use rules::id::{EntryId, HandoverId, PeerKind, Purpose};
use rules::limits::{DAY_MILLIS, INBOX_DAYS_MAX, INBOX_READ_DAYS};
use rules::reason::Outcome;
use rules::register::{Register, RegisterEntry};
use store::handover::HandoverRow;
use store::retention::DueRow;
use store::{Tx, Work};

/// Rows of one kind in one transaction, and in one sweep: what is left is for the next one.
const ROWS_MAX: i64 = 100;
/// How far back people of whom nothing came are looked for beyond their term: as long as a broker may have been
/// down.
const SUBJECT_WINDOW_DAYS: i64 = 60;
/// How long before a handover that is kept longer than the shortest term is looked at again, in days.
const LOOK_AGAIN_DAYS: i64 = 30;
/// Years whose entries may still be due: the one in which the term ended, and the one before it.
const YEARS: i64 = 2;

/// What one sweep erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Handovers with their notices.
    pub handovers: u64,
    /// Consent records with their events.
    pub consents: u64,
    /// People of whom nothing else was there.
    pub subjects: u64,
    /// Log entries, of which the leaf hash stayed.
    pub entries: u64,
    /// Items of inboxes.
    pub items: u64,
    /// Reports that were fetched, or that nobody came for.
    pub reports: u64,
    /// Whether more may be due, of any kind.
    pub is_more: bool,
}

/// A kind of row with a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Handovers,
    Consents,
    Subjects,
    Entries,
    Items,
    Reports,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Handovers,
        Self::Consents,
        Self::Subjects,
        Self::Entries,
        Self::Items,
        Self::Reports,
    ];
}

fn days(days: u32) -> i64 {
    i64::from(days).saturating_mul(DAY_MILLIS)
}

/// The longest of a term in the register: for what no entry speaks of any more.
fn longest(register: &Register, term: fn(&RegisterEntry) -> u32) -> i64 {
    days(register.entries().map(term).max().unwrap_or(0))
}

const fn of_log(entry: &RegisterEntry) -> u32 {
    entry.log_retention_days
}

const fn of_dossier(entry: &RegisterEntry) -> u32 {
    entry.retention_days
}

/// When it is looked first whether a handover that ends now has been kept long enough: after the shortest term in
/// the register, for all alike. Its own term would tell a thief of the database which entries it can belong to.
pub(crate) fn first_look(room: &Room<'_>) -> Timestamp {
    let terms = room.in_force.policy.register().entries().map(of_dossier);
    room.call.now.plus_millis(days(terms.min().unwrap_or(0)))
}

/// Until when an ended handover is kept: as long as its recipient may keep what it received, so that a withdrawal
/// still reaches it. One that cannot be read is kept for the longest term, and goes then as any other.
fn handover_until(room: &Room<'_>, row: &HandoverRow) -> Timestamp {
    let entry = Body::open(room.broker.keys(), row).map(|body| {
        let entry = room.in_force.entry(&body).ok();
        entry.map(|entry| days(entry.retention_days))
    });
    let term = entry.unwrap_or_else(|fault| {
        if room.broker.is_first_fault_of(&row.handover_id.to_string()) {
            tracing::error!(row = %row.handover_id, fault = %fault, "a handover cannot be read; it is kept for the longest term");
        }
        None
    });
    let term = term.unwrap_or_else(|| longest(room.in_force.policy.register(), of_dossier));
    row.entered_at.plus_millis(term)
}

/// Erases an ended handover whose term is over; else it is looked at again later. Gives how many were erased.
async fn erase_handover(room: &Room<'_>, tx: &mut Tx<'_>, due: &DueRow) -> Result<u64, Error> {
    let id = HandoverId::from_slice(&due.id).ok_or(Error::Malformed("a handover's id"))?;
    let Some((_, mut row)) = tx.lock_handover(id).await? else {
        return Ok(0);
    };
    let now = room.call.now;
    let until = handover_until(room, &row);
    if until > now {
        let again = now.plus_millis(LOOK_AGAIN_DAYS.saturating_mul(DAY_MILLIS));
        row.erase_at = Some(until.min(again));
        tx.update_handover(&row).await?;
        return Ok(0);
    }
    Ok(tx.erase_handover(due, now).await?)
}

/// Until when a consent record is kept: as evidence that it was given (AVG article 7(1)), as long as the log
/// from the moment at which it permits no more.
pub(crate) fn consent_until(room: &Room<'_>, record: &ConsentRecord) -> Timestamp {
    let kind = |oin| {
        let peer = room.in_force.directory.peer(oin);
        peer.map(rules::directory::Peer::kind)
    };
    let register = room.in_force.policy.register();
    let kinds: Option<(PeerKind, PeerKind)> =
        kind(&record.sender.oin).zip(kind(&record.recipient.oin));
    let entry = kinds.and_then(|(from, to)| register.entry(&record.purpose, from, to));
    let term = entry.map_or_else(|| longest(register, of_log), |entry| days(of_log(entry)));
    let ended = match record.state {
        ConsentState::Given => record.valid_until,
        _ => record.valid_until.min(room.call.now),
    };
    ended.max(room.call.now).plus_millis(term)
}

/// Rows of one kind that are due.
#[derive(Debug)]
enum Due {
    Handovers(Vec<DueRow>),
    Consents(Vec<DueRow>),
    Subjects(Vec<[u8; 32]>),
    Entries(Vec<EntryId>),
    /// How many, as far as they were counted.
    Items(u64),
    /// Likewise.
    Reports(u64),
}

impl Due {
    fn count(&self) -> u64 {
        let rows = match self {
            Self::Handovers(rows) | Self::Consents(rows) => rows.len(),
            Self::Subjects(rows) => rows.len(),
            Self::Entries(rows) => rows.len(),
            Self::Items(count) | Self::Reports(count) => return *count,
        };
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// How the log names the kind.
    const fn code(&self) -> &'static str {
        match self {
            Self::Handovers(_) => "HANDOVERS",
            Self::Consents(_) => "CONSENTS",
            Self::Subjects(_) => "SUBJECTS",
            Self::Entries(_) => "ENTRIES",
            Self::Items(_) => "INBOX_ITEMS",
            Self::Reports(_) => "REPORTS",
        }
    }
}

/// Moments before which items of inboxes go: those that were read, and all.
fn items_before(now: Timestamp) -> (Timestamp, Timestamp) {
    let before = |days: i64| now.plus_millis(-days.saturating_mul(DAY_MILLIS));
    (before(INBOX_READ_DAYS), before(INBOX_DAYS_MAX))
}

/// Erases one batch that was looked for before; each row is looked at again under its person's lock.
struct EraseExpired {
    due: Due,
}

impl Command for EraseExpired {
    type Reply = u64;

    fn name(&self) -> &'static str {
        "EraseExpired"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<u64>, Error> {
        let now = room.call.now;
        let mut erased = 0_u64;
        match &self.due {
            Due::Handovers(rows) => {
                for row in rows {
                    erased += erase_handover(room, tx, row).await?;
                }
            }
            Due::Consents(rows) => {
                for row in rows {
                    tx.lock_subject(&row.subject_index).await?;
                    erased += tx.erase_consent(row).await?;
                }
            }
            Due::Subjects(rows) => {
                for index in rows {
                    tx.lock_subject(index).await?;
                    erased += tx.erase_subject(index).await?;
                }
            }
            Due::Entries(rows) => {
                for id in rows {
                    erased += tx.erase_entry(*id).await?;
                }
            }
            Due::Items(_) => {
                let (read, all) = items_before(now);
                erased = tx.erase_inbox_items(read, all, ROWS_MAX).await?;
            }
            Due::Reports(_) => erased = tx.delete_gone_reports(now, ROWS_MAX).await?,
        }
        let record = Record {
            event_code: Some(self.due.code()),
            batch: Some((erased, 0)),
            ..Record::default()
        };
        Ok(Verdict::permitted(erased, record))
    }
}

/// Looks for a batch of one kind.
struct FindExpired<'a> {
    kind: Kind,
    broker: &'a Broker,
    now: Timestamp,
}

impl Work for FindExpired<'_> {
    type Output = Due;
    type Error = Error;

    fn name(&self) -> &'static str {
        "FindExpired"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Due, Error> {
        let now = self.now;
        // Persons are locked in one order, so that nobody waits for this and this for them.
        Ok(match self.kind {
            Kind::Handovers => {
                let mut due = tx.erasable_handovers(now, ROWS_MAX).await?;
                due.sort_by_key(|row| row.subject_index);
                Due::Handovers(due)
            }
            Kind::Consents => {
                let mut due = tx.erasable_consents(now, ROWS_MAX).await?;
                due.sort_by_key(|row| row.subject_index);
                Due::Consents(due)
            }
            Kind::Subjects => {
                let in_force = self.broker.in_force();
                let term = longest(in_force.policy.register(), of_log);
                let until = now.plus_millis(-term);
                let after = until.plus_millis(-SUBJECT_WINDOW_DAYS.saturating_mul(DAY_MILLIS));
                let mut due = tx.erasable_subjects((after, until), ROWS_MAX).await?;
                due.sort_unstable();
                Due::Subjects(due)
            }
            Kind::Entries => Due::Entries(self.entries(tx).await?),
            Kind::Items => {
                let (read, all) = items_before(now);
                Due::Items(tx.erasable_inbox_items(read, all, ROWS_MAX).await?)
            }
            Kind::Reports => Due::Reports(tx.count_gone_reports(now, ROWS_MAX).await?),
        })
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

impl FindExpired<'_> {
    /// Of a purpose what is older than the longest term of its entries; then, whatever it is about, what is
    /// older than the longest of all.
    async fn entries(&self, tx: &mut Tx<'_>) -> Result<Vec<EntryId>, Error> {
        let in_force = self.broker.in_force();
        let register = in_force.policy.register();
        for (purpose, term) in terms_of_purposes(register) {
            let before = self.now.plus_millis(-term);
            let last = year_of(before);
            for year in (last.saturating_sub(YEARS - 1))..=last {
                let keys = self.broker.keys();
                let tag = keys.entry_tag(year, "purpose", purpose.as_str().as_bytes());
                let due = tx.erasable_entries(Some(tag), before, ROWS_MAX).await?;
                if !due.is_empty() {
                    return Ok(due);
                }
            }
        }
        let before = self.now.plus_millis(-longest(register, of_log));
        Ok(tx.erasable_entries(None, before, ROWS_MAX).await?)
    }
}

fn terms_of_purposes(register: &Register) -> Vec<(Purpose, i64)> {
    let term = |purpose: &Purpose| {
        let entries = register.entries().filter(|entry| entry.purpose == *purpose);
        days(entries.map(of_log).max().unwrap_or(0))
    };
    let purposes = register.purposes().into_iter();
    purposes
        .map(|purpose| (purpose.clone(), term(purpose)))
        .collect()
}

impl Broker {
    /// Erases what has been kept long enough, one batch of each kind, each with its entry; none while the door is
    /// shut after a restoration. To be called again soon while there is more.
    ///
    /// # Errors
    /// A fault of ours; what was erased before it stays erased.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let call = self.own_call();
        let mut swept = Swept::default();
        if self.is_shut().await? {
            return Ok(swept);
        }
        for kind in Kind::ALL {
            let (found, erased) = self.sweep_kind(&call, kind).await?;
            swept.is_more |= found >= ROWS_MAX.unsigned_abs();
            *match kind {
                Kind::Handovers => &mut swept.handovers,
                Kind::Consents => &mut swept.consents,
                Kind::Subjects => &mut swept.subjects,
                Kind::Entries => &mut swept.entries,
                Kind::Items => &mut swept.items,
                Kind::Reports => &mut swept.reports,
            } = erased;
        }
        // What ended since the last sweep is gone from the disk with this, payloads among it.
        if !swept.is_more && !self.database().empty_journal().await? {
            tracing::info!(
                "somebody reads for long: what was erased leaves the file with a later sweep"
            );
        }
        Ok(swept)
    }

    /// Gives how many rows of a kind were found, and how many of them erased.
    async fn sweep_kind(&self, call: &Call, kind: Kind) -> Result<(u64, u64), Error> {
        let find = FindExpired {
            kind,
            broker: self,
            now: call.now,
        };
        let due = self.database().read(&find).await?;
        let found = due.count();
        // Nothing to do leaves no line.
        if found == 0 {
            return Ok((0, 0));
        }
        let answer = self.serve(call, &EraseExpired { due }).await?;
        Ok(match answer.outcome {
            Outcome::Permitted(rows) => (found, rows),
            Outcome::Refused(_) => (0, 0),
        })
    }
}
