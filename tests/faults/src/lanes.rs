//! The load: people whose handovers go from the first question to the end, on the law and on consent, while
//! some are called off, given back, or stopped by the person.
//!
//! Must never give a handover up: each must still be brought to an end after all is healed.

use crate::desk::Desk;
use crate::dice::Dice;
use crate::house::{DOSSIER, SUMMARY, digits, person, preparation, today, values};
use crate::journal::Journal;
use crate::visitor::{Given, Visitor};
use client::{Connection, PersonKey, Preparation};
use gateway::cli::identity::Identity;
use rules::handover::{CancelCode, DeclineCode, ReturnCode, State};
use rules::id::{ConsentId, HandoverId};
use rules::reason::Reason;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::task::JoinSet;

/// What goes on consent: the labels of those who are no job-seekers with a benefit.
const CONSENT_SUMMARY: &[(&str, &str)] = &[("werk.beroep", "Lasser"), ("werk.denkniveau", "2")];
const CONSENT_DOSSIER: &[(&str, &str)] = &[
    ("identiteit.naam", "Famke Rietoever"),
    ("contact.telefoon", "06-00009998"),
    ("doelgroep.code", "WERKNEMER"),
];
/// The first test number of a run; a sandbox plays with those below.
const FIRST_NUMBER: usize = 100;
/// Wait after a no.
const PAUSE: Duration = Duration::from_millis(250);
/// After all is healed, how often a handover may be refused before it counts as one that cannot be finished.
const TRIES_MAX: usize = 60;
/// Attempts to read or release after a consent's end was acknowledged.
const ATTEMPTS_AFTER_STOP: usize = 3;

type Pairs = &'static [(&'static str, &'static str)];

/// Where the load meets the servers.
pub(crate) struct World {
    pub(crate) journal: Arc<Journal>,
    pub(crate) senders: Vec<Arc<Desk>>,
    pub(crate) unions: Vec<Arc<Desk>>,
    pub(crate) recipients: Vec<Arc<Desk>>,
    pub(crate) portal: Connection,
    pub(crate) union: Identity,
    pub(crate) recipient: Identity,
    /// No new people.
    pub(crate) closing: AtomicBool,
    /// All is healed: what is refused now is refused for good.
    pub(crate) healed: AtomicBool,
    /// Which person each handover is about, by number.
    pub(crate) about: Mutex<BTreeMap<HandoverId, usize>>,
    next: AtomicUsize,
}

/// One handover on its way.
struct Course {
    sender: Arc<Desk>,
    recipient: Arc<Desk>,
    who: PersonKey,
    asked: Preparation,
    summary: Pairs,
    dossier: Pairs,
    consent: Option<ConsentId>,
    handover: OnceLock<HandoverId>,
}

/// A member of a vakbond, who is known there by a link.
struct Member {
    number: usize,
    who: PersonKey,
    visitor: Visitor,
}

impl World {
    pub(crate) fn new(
        journal: Arc<Journal>,
        desks: [Vec<Arc<Desk>>; 3],
        portal: Connection,
        (union, recipient): (Identity, Identity),
    ) -> Self {
        let [senders, unions, recipients] = desks;
        Self {
            journal,
            senders,
            unions,
            recipients,
            portal,
            union,
            recipient,
            closing: AtomicBool::new(false),
            healed: AtomicBool::new(false),
            about: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// Every desk that has an outbox.
    pub(crate) fn desks(&self) -> impl Iterator<Item = &Arc<Desk>> {
        let others = self.unions.iter().chain(&self.recipients);
        self.senders.iter().chain(others)
    }

    /// A person at the portal, by number.
    pub(crate) fn visitor(&self, number: usize) -> Visitor {
        let digits = digits(FIRST_NUMBER + number);
        Visitor::new(self.portal.channel(), digits, &self.journal)
    }

    /// People who came so far.
    pub(crate) fn people(&self) -> usize {
        self.next.load(Ordering::SeqCst)
    }

    /// Starts so many lanes of each kind; each takes one person after the other.
    pub(crate) fn open(self: &Arc<Self>, lanes: [usize; 2], dice: &Dice) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for lane in 0..lanes[0] + lanes[1] {
            let (world, dice) = (Arc::clone(self), dice.apart(1_000 + lane as u64));
            let on_consent = lane >= lanes[0];
            tasks.spawn(async move { world.lane(lane, on_consent, dice).await });
        }
        tasks
    }

    async fn lane(&self, lane: usize, on_consent: bool, mut dice: Dice) {
        let mut member = None;
        while !self.closing.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if on_consent {
                let linked = self.member(lane, number).await;
                member = linked.or(member);
                if let Some(member) = &mut member {
                    self.by_consent(lane, member, &mut dice).await;
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            } else {
                self.by_law(lane, number, &mut dice).await;
            }
        }
    }

    async fn by_law(&self, lane: usize, number: usize, dice: &mut Dice) {
        let sender = &self.senders[lane % self.senders.len()];
        let who = person(&format!("law-{number}"));
        let bsn: vault::pseudonym::Bsn = digits(FIRST_NUMBER + number).parse().unwrap();
        let persons = [(who.clone(), bsn)];
        loop {
            match sender.client.enrol(&persons).await {
                Ok(enrolled) if enrolled[0].refused.is_none() => break,
                Ok(enrolled) => {
                    let reason = enrolled[0].refused.unwrap().code();
                    let key = format!("Enrol {reason}");
                    *self.journal.taken().refused.entry(key).or_default() += 1;
                }
                Err(error) => self.journal.refused("Enrol", &error),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let course = Course {
            sender: Arc::clone(sender),
            recipient: Arc::clone(dice.one(&self.recipients)),
            who,
            asked: preparation(&self.recipient, None),
            summary: SUMMARY,
            dossier: DOSSIER,
            consent: None,
            handover: OnceLock::new(),
        };
        self.carry(&course, number, dice).await;
    }

    /// A new person, linked to the lane's vakbond; none when the desk may try no more codes for now: a clock
    /// that is wrong makes codes expire, and those count as wrong ones.
    async fn member(&self, lane: usize, number: usize) -> Option<Member> {
        let union = &self.unions[lane % self.unions.len()];
        let who = person(&format!("consent-{number}"));
        let mut visitor = self.visitor(number);
        loop {
            let code = visitor.link_code(&self.union.oin).await?;
            match union.client.redeem_link(&who, &code.parse().unwrap()).await {
                Ok(()) => break,
                Err(error) => {
                    self.journal.refused("RedeemLink", &error);
                    if error.reason() == Some(Reason::TriesExhausted) {
                        return None;
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Some(Member {
            number,
            who,
            visitor,
        })
    }

    async fn by_consent(&self, lane: usize, member: &mut Member, dice: &mut Dice) {
        let union = &self.unions[lane % self.unions.len()];
        let Member {
            number,
            who,
            visitor,
        } = member;
        let number = *number;
        let parties = (self.union.party(), self.recipient.party());
        let Some(given) = visitor.give(&parties.0, &parties.1).await else {
            return self.stuck("no consent can be given", number);
        };
        let course = Course {
            sender: Arc::clone(union),
            recipient: Arc::clone(dice.one(&self.recipients)),
            who: who.clone(),
            asked: consent_preparation(&self.recipient),
            summary: CONSENT_SUMMARY,
            dossier: CONSENT_DOSSIER,
            consent: Some(given.record),
            handover: OnceLock::new(),
        };
        let stops = dice.happens(65);
        let (wait, by_code) = (dice.millis(0, 4_000), dice.happens(50));
        let stopping = async {
            if stops {
                tokio::time::sleep(wait).await;
                self.stop(visitor, (&given, by_code), &course).await;
            }
        };
        tokio::join!(self.carry(&course, number, dice), stopping);
    }

    /// Stops a consent, and tries to go on as if it were still there.
    async fn stop(&self, visitor: &mut Visitor, (given, by_code): (&Given, bool), course: &Course) {
        let stopped = if by_code {
            visitor.stop_by_code(&given.stop_code).await
        } else {
            visitor.stop(given.record).await
        };
        if !stopped {
            return self
                .journal
                .wrong(format!("{} cannot be stopped", given.record));
        }
        self.journal.taken().stopped.insert(given.record);
        for _ in 0..ATTEMPTS_AFTER_STOP {
            let Some(handover) = course.handover.get() else {
                return;
            };
            let fetched = course.recipient.client.fetch(handover).await;
            let released = course
                .sender
                .client
                .release(handover, &values(course.dossier))
                .await;
            let released = course.sender.answer("Release", released).await;
            if fetched.is_ok() || released.is_some() {
                let what = if fetched.is_ok() {
                    "fetched"
                } else {
                    "released"
                };
                self.journal.wrong(format!(
                    "{handover} was {what} after the end of {} was acknowledged",
                    given.record
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn stuck(&self, what: &str, number: usize) {
        self.journal.wrong(format!("{what}: person {number}"));
    }

    /// Brings one handover to its end.
    async fn carry(&self, course: &Course, number: usize, dice: &mut Dice) {
        let Some(handover) = self.prepare(course, number).await else {
            return;
        };
        let mut tries = 0;
        loop {
            tokio::time::sleep(dice.millis(0, 500)).await;
            let state = course.sender.state(&handover).await;
            if state.is_some_and(State::is_terminal) {
                return;
            }
            let done = match state {
                Some(state) => self.step(course, &handover, state, dice).await,
                None => false,
            };
            if !done && self.healed.load(Ordering::SeqCst) {
                tries += 1;
            }
            if tries > TRIES_MAX {
                let refused = &self.journal.taken().refused.clone();
                return self.journal.wrong(format!(
                    "{handover} is {state:?} and cannot be finished; refusals of the run: {refused:?}"
                ));
            }
            if !done {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn prepare(&self, course: &Course, number: usize) -> Option<HandoverId> {
        let mut tries = 0;
        loop {
            let prepared = course
                .sender
                .client
                .prepare(&course.who, &course.asked)
                .await;
            if let Some(receipt) = course.sender.answer("Prepare", prepared).await {
                let handover = receipt.handover;
                self.about.lock().unwrap().insert(handover, number);
                if let Some(consent) = course.consent {
                    self.journal.taken().rests_on.insert(handover, consent);
                }
                course.handover.set(handover).unwrap();
                return Some(handover);
            }
            let taken_back = |consent| self.journal.taken().stopped.contains(&consent);
            if course.consent.is_some_and(taken_back) {
                return None;
            }
            if self.healed.load(Ordering::SeqCst) {
                tries += 1;
            }
            if tries > TRIES_MAX {
                self.stuck("a handover cannot be prepared", number);
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes the next step; says whether it was taken.
    async fn step(
        &self,
        course: &Course,
        handover: &HandoverId,
        state: State,
        dice: &mut Dice,
    ) -> bool {
        let (sender, recipient) = (&course.sender, &course.recipient);
        let done = match state {
            State::Prepared => {
                let offered = sender.client.offer(handover, &values(course.summary)).await;
                sender.answer("Offer", offered).await
            }
            State::Offered => {
                if !self.read_summary(course, handover).await {
                    return false;
                }
                if dice.happens(5) {
                    let code = DeclineCode::NoCapacity;
                    let declined = recipient.client.decline(handover, code, None).await;
                    recipient.answer("Decline", declined).await
                } else {
                    let accepted = recipient.client.accept(handover).await;
                    recipient.answer("Accept", accepted).await
                }
            }
            State::Accepted if dice.happens(5) => {
                let cancelled = sender.client.cancel(handover, CancelCode::Mistake).await;
                sender.answer("Cancel", cancelled).await
            }
            State::Accepted => {
                let released = sender
                    .client
                    .release(handover, &values(course.dossier))
                    .await;
                sender.answer("Release", released).await
            }
            State::Released => {
                if !self.read_dossier(course, handover).await {
                    return false;
                }
                if dice.happens(5) {
                    let code = ReturnCode::NoContact;
                    let returned = recipient.client.return_handover(handover, code).await;
                    recipient.answer("Return", returned).await
                } else {
                    let completed = recipient.client.complete(handover, &today()).await;
                    recipient.answer("Complete", completed).await
                }
            }
            other => panic!("{handover} is {other:?}, where nobody brought it"),
        };
        if done.is_none() {
            // Another may have moved it: the next decision is on what it is now.
            recipient.state(handover).await;
        }
        done.is_some()
    }

    async fn read_summary(&self, course: &Course, handover: &HandoverId) -> bool {
        match course.recipient.client.fetch_offer(handover).await {
            Ok(summary) => {
                self.journal.read("FetchOffer", &summary.receipt);
                self.check_opened(handover, summary.fields.len(), course.summary);
                true
            }
            Err(error) => {
                self.journal.refused("FetchOffer", &error);
                false
            }
        }
    }

    async fn read_dossier(&self, course: &Course, handover: &HandoverId) -> bool {
        match course.recipient.client.fetch(handover).await {
            Ok(fetched) => {
                self.journal.read("Fetch", &fetched.receipt);
                self.check_opened(handover, fetched.fields.len(), course.dossier);
                true
            }
            Err(error) => {
                self.journal.refused("Fetch", &error);
                false
            }
        }
    }

    fn check_opened(&self, handover: &HandoverId, opened: usize, sent: Pairs) {
        if opened != sent.len() {
            let all = sent.len();
            self.journal
                .wrong(format!("{handover}: {opened} of {all} fields arrived"));
        }
    }
}

fn consent_preparation(to: &Identity) -> Preparation {
    let labels = |pairs: Pairs| pairs.iter().map(|(label, _)| label.parse().unwrap());
    Preparation {
        basis: "CONSENT".parse().unwrap(),
        summary_labels: labels(CONSENT_SUMMARY).collect(),
        dossier_labels: labels(CONSENT_DOSSIER).collect(),
        ..preparation(to, None)
    }
}
