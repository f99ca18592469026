//! The checker: what the clients were told, held against what the databases hold, when all is healed and no
//! outbox holds anything.
//!
//! Must never forgive: what does not fit is printed with its ids and fails the run.

use crate::journal::{Act, Taken};
use crate::records::{Line, Records};
use rules::handover::State;
use rules::id::{ConsentId, HandoverId};
use std::collections::{BTreeMap, BTreeSet};

/// Calls that change a handover. Each is acknowledged once, and once only.
const CHANGES: &[&str] = &[
    "Prepare", "Offer", "Accept", "Decline", "Release", "Cancel", "Return", "Complete",
];
/// Calls that read its contents.
const READS: &[&str] = &["FetchOffer", "Fetch"];
/// The end of a consent.
const STOP: &str = "WithdrawConsent";

/// All that is looked at.
pub(crate) struct Checker<'a> {
    taken: &'a Taken,
    records: &'a Records,
    /// Lines of what was done, without repeats and refusals, by handover.
    done: BTreeMap<HandoverId, Vec<&'a Line>>,
    /// Lines of what was refused.
    refused: BTreeMap<HandoverId, u64>,
    wrong: Vec<String>,
    /// How much of each kind was held against something.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(taken: &'a Taken, records: &'a Records) -> Self {
        let (mut done, mut refused) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
        for line in records.lines.values() {
            let Some(handover) = line.handover else {
                continue;
            };
            if !line.permitted {
                *refused.entry(handover).or_default() += 1;
            } else if !line.repeat {
                done.entry(handover).or_default().push(line);
            }
        }
        Self {
            taken,
            records,
            done,
            refused,
            wrong: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Checks everything; gives what is wrong.
    pub(crate) fn check(mut self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        self.acknowledged();
        self.once();
        self.stands();
        self.revisions();
        self.stopped();
        self.inboxes();
        self.feed();
        (self.wrong, self.counts)
    }

    fn count(&mut self, what: &'static str, number: usize) {
        self.counts.insert(what, u64::try_from(number).unwrap());
    }

    /// Every acknowledged action has the line that was promised, and no two have one.
    fn acknowledged(&mut self) {
        let (acts, reads) = (&self.taken.acts, &self.taken.reads);
        let mut entries = BTreeSet::new();
        for act in acts.iter().chain(reads) {
            if let Some(wrong) = self.differs(act) {
                let Act {
                    call,
                    handover,
                    entry,
                    ..
                } = act;
                self.wrong
                    .push(format!("{call} of {handover}, line {entry}: {wrong}"));
            }
            if !entries.insert(act.entry) {
                self.wrong
                    .push(format!("line {} was promised for two actions", act.entry));
            }
        }
        let broken = self.records.lines.values().filter(|line| !line.is_whole);
        let broken = broken.map(|line| format!("line {} is not what was hashed", line.entry));
        self.wrong.extend(broken);
        self.count("acknowledged changes with their lines", acts.len());
        self.count("acknowledged reads with their lines", reads.len());
        self.count("lines of the log", self.records.lines.len());
    }

    fn differs(&self, act: &Act) -> Option<&'static str> {
        let Some(line) = self.records.lines.get(&act.entry) else {
            return Some("was acknowledged and is not in the log");
        };
        if line.leaf_sha256 != act.leaf_sha256 {
            Some("is another than was promised")
        } else if line.action != act.call || line.handover != Some(act.handover) {
            Some("is about something else")
        } else if !line.permitted || (line.repeat && act.call != "Prepare") {
            // A Prepare that is repeated is decided anew on its new order, so its own line is promised.
            Some("is a refusal or a repeat")
        } else {
            None
        }
    }

    /// What the log says was done was acknowledged, as often; and every line is about a handover that exists.
    fn once(&mut self) {
        let mut told: BTreeMap<(HandoverId, &str), usize> = BTreeMap::new();
        for act in &self.taken.acts {
            *told.entry((act.handover, act.call)).or_default() += 1;
        }
        let mut logged: BTreeMap<(HandoverId, &str), usize> = BTreeMap::new();
        for (handover, lines) in &self.done {
            if !self.records.handovers.contains_key(handover) {
                self.wrong
                    .push(format!("{handover} has lines and does not exist"));
            }
            for line in lines
                .iter()
                .filter(|line| CHANGES.contains(&line.action.as_str()))
            {
                *logged.entry((*handover, &line.action)).or_default() += 1;
            }
        }
        let keys: BTreeSet<_> = told.keys().chain(logged.keys()).collect();
        for key in keys {
            let of = |counts: &BTreeMap<_, usize>| counts.get(key).copied().unwrap_or_default();
            let (told, logged) = (of(&told), of(&logged));
            if told != logged && !self.was_overtaken(&key.0) {
                let (handover, call) = key;
                self.wrong.push(format!(
                    "{call} of {handover}: acknowledged {told} times, done {logged} times by the log"
                ));
            }
        }
    }

    /// Whether the person ended a handover before its sender knew that there was one: the answer to Prepare was
    /// lost, and the repeat was refused.
    fn was_overtaken(&self, handover: &HandoverId) -> bool {
        let withdrawn = i64::from(State::Withdrawn.number());
        let state = self
            .records
            .handovers
            .get(handover)
            .map(|(state, _)| *state);
        let done = self.done.get(handover).map_or(&[][..], Vec::as_slice);
        state == Some(withdrawn)
            && !self.taken.seen.contains_key(handover)
            && matches!(done, [line] if line.action == "Prepare")
    }

    /// Every handover stands where its clients last saw it, has ended, and keeps no contents.
    fn stands(&mut self) {
        for (handover, (state, revision)) in &self.records.handovers {
            let state = State::from_number(i32::try_from(*state).unwrap()).unwrap();
            let seen = self.taken.seen.get(handover);
            if !self.done.contains_key(handover) {
                self.wrong
                    .push(format!("{handover} exists and has no line"));
            }
            if seen != Some(&(*revision, state)) && !self.was_overtaken(handover) {
                self.wrong.push(format!(
                    "{handover} is {state:?} at revision {revision}; its clients saw {seen:?}"
                ));
            }
            if !state.is_terminal() {
                self.wrong.push(format!("{handover} is still {state:?}"));
            }
        }
        for handover in self.taken.seen.keys() {
            if !self.records.handovers.contains_key(handover) {
                self.wrong
                    .push(format!("{handover} was acknowledged and does not exist"));
            }
        }
        if self.records.payloads != 0 {
            let left = self.records.payloads;
            self.wrong
                .push(format!("{left} contents of ended handovers are kept"));
        }
        self.count(
            "handovers, all brought to their end",
            self.records.handovers.len(),
        );
    }

    /// Each handover's revisions were acknowledged one after the other, without a gap. The one of its end by
    /// the person or by the broker is nobody's.
    fn revisions(&mut self) {
        let mut told: BTreeMap<HandoverId, Vec<i64>> = BTreeMap::new();
        for act in &self.taken.acts {
            told.entry(act.handover).or_default().push(act.revision);
        }
        for (handover, mut revisions) in told {
            if let Some((state, revision)) = self.records.handovers.get(&handover) {
                let nobodys = [State::Withdrawn, State::Expired];
                if nobodys.iter().any(|one| i64::from(one.number()) == *state) {
                    revisions.push(*revision);
                }
            }
            revisions.sort_unstable();
            if revisions.windows(2).any(|pair| pair[1] != pair[0] + 1) {
                self.wrong
                    .push(format!("{handover} has the revisions {revisions:?}"));
            }
        }
    }

    /// Nothing was done on a consent after its end was committed, and each acknowledged end is in the log.
    fn stopped(&mut self) {
        let mut ends: BTreeMap<ConsentId, i64> = BTreeMap::new();
        let lines = self.records.lines.values();
        for line in lines.filter(|line| line.action == STOP && line.permitted && !line.repeat) {
            if let Some(consent) = line.consent {
                let end = ends.entry(consent).or_insert(line.committed);
                *end = line.committed.min(*end);
            }
        }
        for consent in &self.taken.stopped {
            if !ends.contains_key(consent) {
                let what = format!("the end of {consent} was acknowledged and is not in the log");
                self.wrong.push(what);
            }
        }
        for (handover, consent) in &self.taken.rests_on {
            let Some(end) = ends.get(consent) else {
                continue;
            };
            let lines = self.done.get(handover).into_iter().flatten();
            let later = lines.filter(|line| line.committed > *end).filter(|line| {
                let action = line.action.as_str();
                CHANGES.contains(&action) || READS.contains(&action)
            });
            for line in later {
                self.wrong.push(format!(
                    "{} of {handover}, line {}, was committed after the end of {consent}",
                    line.action, line.entry
                ));
            }
        }
        self.count(
            "consents whose end was acknowledged",
            self.taken.stopped.len(),
        );
    }

    /// Positions in each inbox go from 1 to its head.
    fn inboxes(&mut self) {
        let mut items = 0;
        for (party, positions) in &self.records.inboxes {
            let right: Vec<i64> = (1..=positions.head).collect();
            if positions.held != right {
                let (head, held) = (positions.head, positions.held.len());
                let party = rules::hex::encode(party);
                self.wrong.push(format!(
                    "the inbox of party {party} has its head at {head} and {held} items"
                ));
            }
            items += positions.held.len();
        }
        self.count("items of inboxes, without gaps", items);
    }

    /// The portal keeps each line of the feed that the broker forgot, and each handover's are all there.
    fn feed(&mut self) {
        let records = self.records;
        if records.feed_left != 0 {
            let left = records.feed_left;
            self.wrong
                .push(format!("{left} lines of the feed were not taken over"));
        }
        let acknowledged = records.lines.values();
        let acknowledged = acknowledged.filter(|line| line.action == "AckFeed" && line.permitted);
        let forgotten: u64 = acknowledged.map(|line| line.items).sum();
        let kept: u64 = records.told.values().sum();
        if forgotten != kept {
            self.wrong.push(format!(
                "the broker forgot {forgotten} lines of the feed, and the portal keeps {kept}"
            ));
        }
        for (handover, (state, _)) in &records.handovers {
            let lines = self.done.get(handover).into_iter().flatten();
            let told = lines.filter(|line| {
                let action = line.action.as_str();
                CHANGES.contains(&action) || READS.contains(&action) || action == "ExpireHandover"
            });
            let withdrawn = i64::from(State::Withdrawn.number()) == *state;
            let notices = records.notices.get(handover).copied().unwrap_or_default();
            let least = told.count() as u64 + u64::from(withdrawn) + notices;
            // The person is told of some refusals as well.
            let most = least + self.refused.get(handover).copied().unwrap_or_default();
            let kept = records.told_of(handover);
            if !(least..=most).contains(&kept) {
                self.wrong.push(format!(
                    "the portal keeps {kept} lines about {handover}; there were {least} to {most}"
                ));
            }
        }
        self.count(
            "lines of the feed at the portal",
            usize::try_from(kept).unwrap(),
        );
    }
}
