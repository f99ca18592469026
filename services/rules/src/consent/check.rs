//! What a new statement must be: judged against the register, the record before it and the clock.
//!
//! Must never look at who the person is, and must never let a change make a consent wider.

use super::{CollectionMethod, ConsentRecord, ConsentState, Statement, StatementEvent};
use crate::calendar::add_days;
use crate::clock::Timestamp;
use crate::id::{Category, PeerKind};
use crate::limits::{CLOCK_SKEW_MILLIS_MAX, ORDER_WINDOW_MILLIS_MAX};
use crate::reason::{Outcome, Reason, Refusal};
use crate::register::{ConsentTerms, DataClass, Register, RegisterEntry};
use std::collections::BTreeSet;

/// Who signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The portal, for the person who logged in.
    Portal,
    /// A desk, for the person who sat there.
    Desk {
        /// Whether it has the right `assist`.
        assist: bool,
    },
}

fn outcome(checked: Result<(), Refusal>) -> Outcome<()> {
    match checked {
        Ok(()) => Outcome::Permitted(()),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

fn need(holds: bool, reason: Reason, field: &str, wrong: &str) -> Result<(), Refusal> {
    if holds {
        Ok(())
    } else {
        Err(Refusal::about(
            reason,
            format!("statement_jws.{field}"),
            wrong,
        ))
    }
}

/// Whether a new record may be registered.
///
/// Refuses with `RIGHT_MISSING`, `BASIS_MISSING`, `ASSISTANCE_NOT_ALLOWED`, `STATEMENT_INVALID`,
/// `CONSENT_SCOPE_EXCEEDED`, `CONSENT_TERM_EXCEEDED`, `PRIVACY_NOTICE_OUTDATED` or `SECRECY_NOT_WAIVED`.
#[must_use]
pub fn check_new(
    statement: &Statement,
    register: &Register,
    kinds: (PeerKind, PeerKind),
    by: Signer,
    now: Timestamp,
) -> Outcome<()> {
    outcome(new(statement, register, kinds, by, now))
}

fn new(
    statement: &Statement,
    register: &Register,
    (sender, recipient): (PeerKind, PeerKind),
    by: Signer,
    now: Timestamp,
) -> Result<(), Refusal> {
    let record = &statement.record;
    if by == (Signer::Desk { assist: false }) {
        return Err(Refusal::lacks("needs `assist`"));
    }
    let entry = register.entry(&record.purpose, sender, recipient);
    let (entry, terms) = entry
        .and_then(|entry| Some((entry, entry.consent.as_ref()?)))
        .ok_or_else(|| Refusal::new(Reason::BasisMissing))?;
    who(statement, terms, by)?;
    form(statement)?;
    if record.state == ConsentState::Refused && by == Signer::Portal {
        return said(statement, terms, now);
    }
    need(
        record.notice.uri == entry.notice.uri
            && record.notice.version == entry.notice.version
            && record.notice.sha256 == entry.notice.sha256,
        Reason::PrivacyNoticeOutdated,
        "privacy_notice",
        "is not the one that the register has now",
    )?;
    time(statement, terms, now)?;
    if record.state == ConsentState::Refused {
        return Ok(());
    }
    scope(record, register, entry)?;
    let waived = record.waiver.as_ref().map(|waiver| {
        entry.waiver_ground() == Some(waiver.ground.as_str())
            && waiver.given_at.millis_since(now) <= CLOCK_SKEW_MILLIS_MAX
    });
    need(
        waived.unwrap_or(!entry.needs_waiver()),
        Reason::SecrecyNotWaived,
        "secrecy_waiver",
        "must be the written waiver on the ground that the register names",
    )?;
    need(
        terms.reflection_hours == 0 || record.reflection_offered,
        Reason::StatementInvalid,
        "reflection_offered",
        "must be true: the register demands time to think",
    )
}

/// Who wrote it down, and who may.
fn who(statement: &Statement, terms: &ConsentTerms, by: Signer) -> Result<(), Refusal> {
    let record = &statement.record;
    let at_portal = record.method == CollectionMethod::Portal;
    need(
        at_portal == (by == Signer::Portal),
        Reason::StatementInvalid,
        "collection_method",
        "must be that of who signs: portal, or desk and phone",
    )?;
    match by {
        Signer::Portal => need(
            record.assisted_by.is_none(),
            Reason::StatementInvalid,
            "assisted_by",
            "must be empty: nobody helps at the portal",
        ),
        Signer::Desk { .. } => {
            if !terms.assisted {
                return Err(Refusal::new(Reason::AssistanceNotAllowed));
            }
            need(
                record.assisted_by.as_ref() == Some(&statement.entity),
                Reason::AssistanceNotAllowed,
                "assisted_by",
                "must be the desk that signs",
            )
        }
    }
}

/// State, event, version and stop code go together.
fn form(statement: &Statement) -> Result<(), Refusal> {
    let record = &statement.record;
    let goes_together = match statement.event {
        StatementEvent::Given => {
            record.state == ConsentState::Given && statement.stop_code.is_some()
        }
        StatementEvent::Refused => {
            record.state == ConsentState::Refused
                && statement.stop_code.is_none()
                && record.categories.is_empty()
                && record.special.is_empty()
                && record.waiver.is_none()
        }
        StatementEvent::Narrowed | StatementEvent::Withdrawn | StatementEvent::Expired => false,
    };
    need(
        goes_together && record.version == 1,
        Reason::StatementInvalid,
        "event",
        "does not go with state, version, categories and stop code of a new record",
    )
}

/// Whether a moment is the present one, as far as two clocks and the way between them can tell. It is the
/// window of the order that comes along.
fn is_present(moment: Timestamp, now: Timestamp) -> bool {
    (-ORDER_WINDOW_MILLIS_MAX..=CLOCK_SKEW_MILLIS_MAX).contains(&moment.millis_since(now))
}

/// A no at the portal counts whenever it was said, and whatever notice was there to be seen: it may have waited for a
/// key holder.
fn said(statement: &Statement, terms: &ConsentTerms, now: Timestamp) -> Result<(), Refusal> {
    lasts(&statement.record, terms)?;
    need(
        statement.event_time.millis_since(now) <= CLOCK_SKEW_MILLIS_MAX
            && statement.record.valid_from.millis_since(now) <= CLOCK_SKEW_MILLIS_MAX,
        Reason::StatementInvalid,
        "event.event_time",
        "must not lie ahead",
    )
}

/// A record ends in time: before the same time on the clock, the register's days later. Counted in hours, the last of
/// those days would be lost in autumn.
fn lasts(record: &ConsentRecord, terms: &ConsentTerms) -> Result<(), Refusal> {
    let latest = add_days(record.valid_from, terms.consent_max_days);
    let in_time = latest.is_some_and(|latest| record.valid_until <= latest);
    if in_time && record.valid_until > record.valid_from {
        return Ok(());
    }
    let days = terms.consent_max_days;
    Err(Refusal::about(
        Reason::ConsentTermExceeded,
        "valid_until",
        format!("must lie after the beginning, and at most {days} days after it"),
    ))
}

/// A consent begins now and ends in time.
fn time(statement: &Statement, terms: &ConsentTerms, now: Timestamp) -> Result<(), Refusal> {
    let record = &statement.record;
    need(
        is_present(record.valid_from, now),
        Reason::ConsentTermExceeded,
        "valid_from",
        "must be now, or at most five minutes ago",
    )?;
    lasts(record, terms)?;
    need(
        is_present(statement.event_time, now),
        Reason::StatementInvalid,
        "event.event_time",
        "must be now, or at most five minutes ago",
    )
}

/// Only what the register knows for this exchange, marked as the register marks it.
fn scope(
    record: &ConsentRecord,
    register: &Register,
    entry: &RegisterEntry,
) -> Result<(), Refusal> {
    let allowed = register.categories_of(entry.labels());
    let covered = record
        .categories
        .iter()
        .all(|category| allowed.contains(category));
    if !covered || record.categories.is_empty() {
        let names: Vec<&str> = allowed.iter().map(|category| category.as_str()).collect();
        let names = names.join(", ");
        return Err(Refusal::about(
            Reason::ConsentScopeExceeded,
            "pii_information",
            format!("must be categories of this exchange, and at least one: {names}"),
        ));
    }
    let classes = register.categories();
    let special: BTreeSet<Category> = record
        .categories
        .iter()
        .filter(|category| {
            matches!(
                classes.get(category),
                Some(DataClass::Special | DataClass::NationalNumber)
            )
        })
        .cloned()
        .collect();
    need(
        special == record.special,
        Reason::StatementInvalid,
        "pii_information",
        "marks other categories as special than the register does",
    )
}

/// Whether a record keeps all that no change may touch: everything but categories, end, state and version.
fn keeps(old: &ConsentRecord, new: &ConsentRecord) -> Result<(), Refusal> {
    let without_change = ConsentRecord {
        categories: old.categories.clone(),
        special: old.special.clone(),
        valid_until: old.valid_until,
        state: old.state,
        version: old.version,
        ..new.clone()
    };
    need(
        without_change == *old,
        Reason::StatementInvalid,
        "record_id",
        "is another record than the one that is there",
    )
}

/// Whether a record has nothing that it did not have.
fn is_within(old: &ConsentRecord, new: &ConsentRecord) -> bool {
    new.categories.is_subset(&old.categories) && new.valid_until <= old.valid_until
}

/// Whether the categories that stay are marked as they were.
fn keeps_marks(old: &ConsentRecord, new: &ConsentRecord) -> bool {
    old.special
        .intersection(&new.categories)
        .eq(new.special.iter())
}

/// Whether a record may be made narrower.
///
/// Refuses with `CONSENT_NOT_ACTIVE`, `CONSENT_WIDENED` or `STATEMENT_INVALID`.
#[must_use]
pub fn check_narrowed(old: &ConsentRecord, new: &Statement, now: Timestamp) -> Outcome<()> {
    outcome(narrowed(old, new, now))
}

fn narrowed(old: &ConsentRecord, new: &Statement, now: Timestamp) -> Result<(), Refusal> {
    if !old.is_active(now) {
        return Err(Refusal::new(Reason::ConsentNotActive));
    }
    let record = &new.record;
    keeps(old, record)?;
    need(
        is_within(old, record),
        Reason::ConsentWidened,
        "pii_information",
        "has more than before, or ends later",
    )?;
    need(
        new.event == StatementEvent::Narrowed
            && record.state == ConsentState::Given
            && record.version == old.version.saturating_add(1)
            && keeps_marks(old, record),
        Reason::StatementInvalid,
        "event",
        "is not a narrowing of the record that is there, one version on",
    )?;
    let less = record.categories != old.categories || record.valid_until != old.valid_until;
    need(
        less && !record.categories.is_empty() && record.valid_until > now,
        Reason::StatementInvalid,
        "pii_information",
        "must be less than before and more than nothing; to stop it all, withdraw",
    )
}

/// Whether a statement withdraws this record.
///
/// The clock has no say: who lets a consent run out can still stop it, so that recipients hear of it. The
/// record may be an older one than the statement knows, because a withdrawal is sent again after a restore
/// from a backup that lacks what came between; it is stopped all the same.
///
/// Refuses with `CONSENT_NOT_ACTIVE` when it has ended, or `STATEMENT_INVALID`.
#[must_use]
pub fn check_withdrawn(old: &ConsentRecord, new: &Statement, _now: Timestamp) -> Outcome<()> {
    outcome(withdrawn(old, new))
}

fn withdrawn(old: &ConsentRecord, new: &Statement) -> Result<(), Refusal> {
    if old.state != ConsentState::Given {
        return Err(Refusal::new(Reason::ConsentNotActive));
    }
    let record = &new.record;
    keeps(old, record)?;
    need(
        new.event == StatementEvent::Withdrawn
            && record.state == ConsentState::Withdrawn
            && record.version > old.version
            && is_within(old, record)
            && keeps_marks(old, record)
            && new.stop_code.is_none(),
        Reason::StatementInvalid,
        "event",
        "is not a withdrawal of the record that is there",
    )
}
