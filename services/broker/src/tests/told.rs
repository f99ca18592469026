//! What an officer finds and reads: of its own organisation what that was told, and the joint officer all.
//!
//! Must never look at a row to know what somebody is shown.

use super::{NEW_YEARS_EVE, OFFICER, OPERATOR, Office, caller};
use crate::Error;
use crate::audit::{EntryPage, GetEntry, SearchEntries};
use crate::call::{Call, Caller};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use rules::audit::Audience;
use rules::clock::Timestamp;
use rules::directory::Right;
use rules::id::{ConsentId, EntryId, HandoverId, Oin, PeerKind, Tag};
use rules::limits::{CLOSED_PADDING_BYTES, DAY_MILLIS, SEARCH_MILLIS_MAX, SEARCH_STATEMENT_ROWS};
use rules::reason::{Outcome, Reason};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use store::Tx;

const OTHER: &str = "00000099000000008000";
const JOINT: &str = "00000099000000009100";
const ALL: [Audience; 4] = [
    Audience::Sides,
    Audience::Sender,
    Audience::Caller,
    Audience::Nobody,
];

fn handover() -> HandoverId {
    HandoverId::from_slice(&[4; 16]).unwrap()
}

fn person() -> Tag {
    Tag::new([9; 16])
}

/// A line of a refusal that looked at everything, from the officer's organisation to the other.
fn record(audience: Audience) -> Record {
    Record {
        audience,
        handover: Some(handover()),
        sender: format!("{OFFICER}/main").parse().ok(),
        recipient: format!("{OTHER}/main").parse().ok(),
        purpose: "HANDOVER".parse().ok(),
        person: Some(person()),
        consent: ConsentId::from_slice(&[6; 16]).map(|id| (id, 1)),
        codes: vec![Reason::ConsentNotActive],
        finding: Some("MISMATCH"),
        ..Record::default()
    }
}

fn officer(oin: &str) -> Caller {
    caller(oin, PeerKind::Gemeente, "fg", &[Right::Officer])
}

fn joint_officer() -> Caller {
    caller(JOINT, PeerKind::Toezicht, "fg", &[Right::JointOfficer])
}

fn of(ids: &[EntryId]) -> BTreeSet<EntryId> {
    ids.iter().copied().collect()
}

/// A command of which the log is told just this.
struct Tell(Record);

impl Command for Tell {
    type Reply = ();

    fn name(&self) -> &'static str {
        "Prepare"
    }

    async fn perform<'a>(
        &'a self,
        _room: &'a Room<'a>,
        _tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        Ok(Verdict::refused(Reason::ConsentNotActive, self.0.clone()))
    }
}

impl Office {
    async fn write(&self, call: &Call, record: Record) -> EntryId {
        self.clock.0.fetch_add(1_000, Ordering::SeqCst);
        let call = Call {
            now: self.broker.now(),
            ..call.clone()
        };
        let told = self.broker.serve(&call, &Tell(record)).await.unwrap();
        told.promise.entry
    }

    async fn ask(&self, by: Caller, search: &SearchEntries) -> Result<EntryPage, Reason> {
        let answer = self.broker.serve(&self.call_of(by), search).await.unwrap();
        match answer.outcome {
            Outcome::Permitted(page) => Ok(page),
            Outcome::Refused(refusal) => Err(refusal.reason),
        }
    }

    /// What a search finds among these lines.
    async fn found(
        &self,
        by: Caller,
        search: &SearchEntries,
        among: &[EntryId],
    ) -> BTreeSet<EntryId> {
        let page = self.ask(by, search).await.unwrap();
        assert_eq!(page.next_page_token, "");
        let ids = page.entries.iter().map(|entry| entry.row.entry_id);
        ids.filter(|id| among.contains(id)).collect()
    }
}

/// Every condition that a search can have, but the subject tag.
fn searches() -> Vec<(&'static str, SearchEntries)> {
    let peer = |oin: &str| SearchEntries {
        peer: oin.parse::<Oin>().ok(),
        ..SearchEntries::default()
    };
    vec![
        ("sender", peer(OFFICER)),
        ("recipient", peer(OTHER)),
        (
            "handover",
            SearchEntries {
                handover: Some(handover()),
                ..SearchEntries::default()
            },
        ),
        (
            "purpose",
            SearchEntries {
                purpose: "HANDOVER".parse().ok(),
                ..SearchEntries::default()
            },
        ),
        (
            "findings",
            SearchEntries {
                findings: true,
                ..SearchEntries::default()
            },
        ),
    ]
}

#[tokio::test]
async fn an_officer_finds_what_its_organisation_was_told_and_the_joint_officer_all() {
    let office = Office::open().await;
    let broker = office.call_of(caller(OPERATOR, PeerKind::Broker, "broker", &[]));
    let mut lines = Vec::new();
    for audience in ALL {
        lines.push(office.write(&broker, record(audience)).await);
    }
    let [sides, sender, _, _] = lines[..] else {
        panic!("four were written")
    };
    for (what, search) in searches() {
        let all = office.found(joint_officer(), &search, &lines).await;
        assert_eq!(all, of(&lines), "{what}");
        let own = office.found(officer(OFFICER), &search, &lines).await;
        assert_eq!(own, of(&[sides, sender]), "the sender's: {what}");
        let own = office.found(officer(OTHER), &search, &lines).await;
        assert_eq!(own, of(&[sides]), "the recipient's: {what}");
    }
    let of_person = SearchEntries {
        subject: Some(person()),
        ..SearchEntries::default()
    };
    let all = office.found(joint_officer(), &of_person, &lines).await;
    assert_eq!(all, of(&lines));
    let refused = office.ask(officer(OFFICER), &of_person).await;
    assert_eq!(refused.unwrap_err(), Reason::RightMissing);
    for (by, sees, reads_closed) in [
        (joint_officer(), &lines[..], true),
        (officer(OFFICER), &[sides, sender], false),
        (officer(OTHER), &[sides], false),
    ] {
        for entry_id in &lines {
            let get = GetEntry {
                entry_id: *entry_id,
            };
            let call = office.call_of(by.clone());
            let answer = office.broker.serve(&call, &get).await.unwrap();
            match answer.outcome {
                Outcome::Permitted(entry) => {
                    assert!(sees.contains(entry_id));
                    assert_eq!(entry.closed.is_some(), reads_closed);
                    let closed = entry.closed.map(|closed| closed.json.len());
                    assert!(closed.is_none_or(|bytes| bytes == CLOSED_PADDING_BYTES));
                }
                Outcome::Refused(refusal) => {
                    assert_eq!(refusal.reason, Reason::NotAvailable);
                    assert!(!sees.contains(entry_id));
                }
            }
        }
    }
}

#[tokio::test]
async fn what_stands_in_the_closed_part_is_found_by_nobody_who_may_not_read_it() {
    let office = Office::open().await;
    let desk = office.call_of(caller(OFFICER, PeerKind::Gemeente, "balie", &[]));
    let mut lines = Vec::new();
    for audience in [Audience::Caller, Audience::Nobody] {
        lines.push(office.write(&desk, record(audience)).await);
    }
    // Its own desk called, so the officer sees both lines; by what they do not tell it finds neither.
    for (what, search) in searches() {
        let found = office.found(officer(OFFICER), &search, &lines).await;
        let expected = match what {
            "sender" => &lines[..],
            // As asked: the uniform refusal says it again.
            "recipient" | "purpose" => &lines[1..],
            _ => &[],
        };
        assert_eq!(found, of(expected), "{what}");
    }
    let (_, own) = searches().remove(0);
    let page = office.ask(officer(OFFICER), &own).await.unwrap();
    for entry in page.entries {
        assert!(entry.closed.is_none());
        let open = String::from_utf8(entry.open.json).unwrap();
        assert!(!open.contains("CONSENT_NOT_ACTIVE") || lines[0] == entry.row.entry_id);
        assert!(!open.contains("cns_"));
    }
}

#[tokio::test]
async fn a_search_stops_in_time_says_where_and_goes_on_from_there() {
    let office = Office::open().await;
    let broker = office.call_of(caller(OPERATOR, PeerKind::Broker, "broker", &[]));
    // Many lines that the officer may not see, and some more than two statements read that it may.
    for _ in 0..SEARCH_STATEMENT_ROWS + 10 {
        office.write(&broker, record(Audience::Caller)).await;
    }
    let mut own = Vec::new();
    for _ in 0..2 * SEARCH_STATEMENT_ROWS + 10 {
        own.push(office.look().await);
    }
    own.reverse();
    // Each look at the clock takes longer than a share of a search may.
    office.clock.1.store(SEARCH_MILLIS_MAX, Ordering::SeqCst);
    let nothing = SearchEntries {
        peer: OFFICER.parse().ok(),
        purpose: "HANDOVER".parse().ok(),
        ..SearchEntries::default()
    };
    let mut search = nothing.clone();
    let mut stops = Vec::new();
    loop {
        let page = office.ask(officer(OFFICER), &search).await.unwrap();
        assert!(page.entries.is_empty());
        search.page_token = page.next_page_token;
        assert_eq!(page.stopped_at.is_some(), !search.page_token.is_empty());
        let Some(stopped_at) = page.stopped_at else {
            break;
        };
        stops.push(stopped_at);
    }
    // Where it stops is by the officer's own lines alone.
    let behind = [1, 2].map(|times| own[times * SEARCH_STATEMENT_ROWS - 1].drawn_at());
    assert_eq!(stops, behind);
    // Whoever sees nothing of many lines is told at once that there is nothing.
    let page = office.ask(officer(JOINT), &nothing).await.unwrap();
    assert!(page.entries.is_empty() && page.next_page_token.is_empty());
}

#[tokio::test]
async fn a_period_is_bounded_by_the_logs_own_ends() {
    let office = Office::open().await;
    // A line of longer ago than a year, in another one than the others.
    let long_ago = NEW_YEARS_EVE - 400 * DAY_MILLIS;
    let mut own = Vec::new();
    for moment in [long_ago, NEW_YEARS_EVE - 5_000, NEW_YEARS_EVE] {
        office.clock.0.store(moment, Ordering::SeqCst);
        own.push(office.look().await);
    }
    let at = |millis| Some(Timestamp::from_millis(millis));
    let second = own[1].drawn_at().millis();
    for (from, until, expected) in [
        (None, None, &own[..]),
        (at(i64::MIN), at(i64::MAX), &own[..]),
        (at(-(1 << 62)), at(1 << 62), &own[..]),
        (at(second), None, &own[1..]),
        (None, at(second), &own[..1]),
        (at(second), at(second + 1), &own[1..2]),
        (at(i64::MAX), at(i64::MIN), &[]),
        (at(second), at(second), &[]),
    ] {
        let search = SearchEntries {
            peer: OFFICER.parse().ok(),
            from,
            until,
            ..SearchEntries::default()
        };
        let found = office.found(officer(OFFICER), &search, &own).await;
        assert_eq!(found, of(expected), "{from:?} {until:?}");
    }
}
