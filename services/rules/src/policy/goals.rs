//! The privacy promises in `policies/goals`, held against generated requests: whatever the policy set
//! allows, every goal must allow.
//!
//! Must never count a request that the set refuses as evidence: it says so when too few are allowed.

use super::tests::{bundle, change, files, load, text, without};
use super::{
    Action, ConsentFacts, ConsentState, DecisionRequest, PeerFacts, PolicyBundle, Stage, Surplus,
};
use crate::clock::Timestamp;
use crate::id::{Category, Party};
use crate::register::{Register, RegisterEntry};
use std::collections::BTreeSet;

/// Requests in one round.
const REQUESTS: u32 = 15_000;
/// The seed, so that a failure repeats.
const SEED: u64 = 0x5155_1d5e_ed00_0001;

/// The moment of every request.
const NOW: Timestamp = Timestamp::from_millis(1_000);
/// The moment after it.
const SOON: Timestamp = Timestamp::from_millis(1_001);

/// A small generator (xorshift64*): the same requests on every machine.
struct Chance(u64);

impl Chance {
    fn draw(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).unwrap() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.draw(from.len())]
    }

    /// True in all but one of `of` draws: requests near a yes are the ones that test a goal.
    fn mostly(&mut self, of: usize) -> bool {
        self.draw(of) != 0
    }

    fn some(&mut self, from: &BTreeSet<Category>) -> BTreeSet<Category> {
        from.iter().filter(|_| self.mostly(3)).cloned().collect()
    }
}

/// What came of a round.
struct Round {
    allowed: u32,
    broken: BTreeSet<String>,
}

/// From what requests are drawn.
struct World<'a> {
    register: &'a Register,
    entries: Vec<&'a RegisterEntry>,
    all: Vec<Category>,
    special: Vec<Category>,
    parties: [Party; 2],
}

impl<'a> World<'a> {
    fn new(register: &'a Register) -> Self {
        let special = [
            "HEALTH",
            "CHANNEL",
            "TARGET_GROUP",
            "BSN",
            "IDENTITY",
            "CONTACT",
        ];
        Self {
            register,
            entries: register.entries().collect(),
            all: register.categories().into_keys().cloned().collect(),
            special: special.map(|name| name.parse().unwrap()).into(),
            parties: ["main", "neutraal"]
                .map(|realm| format!("00000099000000002000/{realm}").parse().unwrap()),
        }
    }

    /// Most of what the register allows, and sometimes one more that it need not allow.
    fn requested(
        &self,
        chance: &mut Chance,
        entry: &RegisterEntry,
        stage: Stage,
    ) -> BTreeSet<Category> {
        let labels = self.register.labels().map(|one| &one.label);
        let labels = labels.filter(|label| entry.allows(stage, label));
        let allowed = self
            .register
            .categories_of(labels)
            .into_iter()
            .cloned()
            .collect();
        let mut requested = chance.some(&allowed);
        match chance.draw(4) {
            0 => requested.insert(chance.pick(&self.all).clone()),
            1 => requested.insert(chance.pick(&self.special).clone()),
            _ => false,
        };
        requested
    }

    fn consent(chance: &mut Chance, requested: &BTreeSet<Category>) -> ConsentFacts {
        let whole = chance.mostly(6);
        ConsentFacts {
            state: if chance.mostly(8) {
                ConsentState::Given
            } else {
                *chance.pick(ConsentState::ALL)
            },
            valid_until: if chance.mostly(8) { SOON } else { NOW },
            categories: if whole {
                requested.clone()
            } else {
                chance.some(requested)
            },
            recipient_matches: chance.mostly(10),
            purpose_matches: chance.mostly(10),
            waiver: chance.mostly(6),
        }
    }
}

/// One round of requests; it ends early when the goal `until` breaks.
fn round(bundle: &PolicyBundle, until: &str) -> Round {
    let mut chance = Chance(SEED);
    let mut round = Round {
        allowed: 0,
        broken: BTreeSet::new(),
    };
    let world = World::new(bundle.register());
    let [sender, _] = &world.parties;
    for _ in 0..REQUESTS {
        let entry = *chance.pick(&world.entries);
        let stage = *chance.pick(Stage::ALL);
        let requested = world.requested(&mut chance, entry, stage);
        let consent = World::consent(&mut chance, &requested);
        let request = DecisionRequest {
            action: *chance.pick(Action::ALL),
            stage,
            sender: PeerFacts {
                party: sender,
                kind: entry.sender_kind,
            },
            recipient: PeerFacts {
                party: chance.pick(&world.parties),
                kind: entry.recipient_kind,
            },
            purpose: &entry.purpose,
            basis: &entry.basis,
            labels: &BTreeSet::new(),
            surplus: Surplus::Refuse,
            edge_valid: chance.mostly(12),
            region_covered: chance.mostly(12),
            bsn_ground: chance.mostly(6),
            recipient_neutral: !chance.mostly(6),
            recipient_is_centre: chance.mostly(6),
            unbound: !chance.mostly(6),
            receiver_ready: chance.mostly(12),
            objection_pending: !chance.mostly(12),
            restricted: !chance.mostly(12),
            follows_completed: chance.mostly(6),
            now: NOW,
            expires_at: if chance.mostly(12) { SOON } else { NOW },
            consent: chance.mostly(8).then_some(&consent),
        };
        judge(bundle, &request, &requested, &mut round);
        if round.broken.contains(until) {
            break;
        }
    }
    round
}

/// Asks the set, and when it allows, every goal.
fn judge(
    bundle: &PolicyBundle,
    request: &DecisionRequest<'_>,
    requested: &BTreeSet<Category>,
    round: &mut Round,
) {
    let engine = &bundle.engine;
    let question = engine
        .request(request, requested, Some(engine.schema()))
        .unwrap();
    let policies = engine.policies(request.purpose).unwrap();
    let answer = engine.ask(policies, &question);
    assert_eq!(answer.errors, 0, "a policy fails on {request:?}");
    if !answer.allowed {
        return;
    }
    round.allowed += 1;
    for goal in &bundle.goals {
        let promised = engine.ask(&goal.policies, &question);
        assert_eq!(promised.errors, 0, "a goal fails on {request:?}");
        if !promised.allowed {
            round.broken.insert(goal.name.clone());
        }
    }
}

#[test]
fn every_goal_holds() {
    let round = round(&bundle(), "");
    assert!(
        round.allowed > REQUESTS / 20,
        "only {} of {REQUESTS} allowed",
        round.allowed
    );
    assert!(round.broken.is_empty(), "broken: {:?}", round.broken);
}

/// Each guard is what keeps a goal; the goal that breaks without it is named here, so that whoever
/// removes the one learns which promise goes with it.
#[test]
fn without_a_guard_its_goal_breaks() {
    let whole = files();
    for (guard, goal) in [
        ("deny-no-agreement", "g4-agreement-and-rights"),
        ("deny-outside-region", "g4-agreement-and-rights"),
        ("deny-other-than-centre", "g4-agreement-and-rights"),
        ("deny-without-completed-handover", "g4-agreement-and-rights"),
        ("deny-category-not-in-register", "g4-agreement-and-rights"),
        ("deny-expired", "g4-agreement-and-rights"),
        ("deny-receiver-not-ready", "g4-agreement-and-rights"),
        ("deny-restricted", "g4-agreement-and-rights"),
        ("deny-objection", "g4-agreement-and-rights"),
        ("deny-identity-before-acceptance", "g6-identity"),
        ("deny-bsn-without-ground", "g3-bsn"),
        ("deny-bsn-to-neutral", "g3-bsn"),
        ("deny-unbound-under-law", "g7-somebody"),
        ("deny-without-number", "g7-somebody"),
        ("deny-consent-missing", "g1-consent"),
        ("deny-consent-not-given", "g1-consent"),
        ("deny-consent-past-its-end", "g1-consent"),
        ("deny-consent-other-recipient", "g1-consent"),
        ("deny-consent-other-purpose", "g1-consent"),
        ("deny-consent-other-categories", "g1-consent"),
        ("deny-suwi-secrecy", "g5-secrecy"),
        ("deny-participatiewet-secrecy", "g5-secrecy"),
    ] {
        let mut mutant = whole.clone();
        change(&mut mutant, "guards.cedar", |text| without(text, guard));
        let broken = round(&load(&mutant).unwrap(), goal).broken;
        assert!(broken.contains(goal), "without {guard}: {broken:?}");
    }
}

/// Three guards stand behind another one (the register's categories): both must go before the
/// promise breaks. That is what a second line is for.
#[test]
fn the_second_line_holds_when_the_register_does_not() {
    let whole = files();
    for (guards, goal) in [
        (&["deny-special-category-without-consent"][..], "g2-special"),
        (&["deny-health-to-union"], "g2-special"),
        (
            &["deny-bsn-to-or-from-others", "deny-bsn-without-ground"],
            "g3-bsn",
        ),
    ] {
        let mut mutant = whole.clone();
        change(&mut mutant, "guards.cedar", |text| {
            without(text, "deny-category-not-in-register")
        });
        let first = round(&load(&mutant).unwrap(), goal).broken;
        assert!(
            !first.contains(goal),
            "{guards:?} hold alone, but {first:?}"
        );
        for guard in guards {
            change(&mut mutant, "guards.cedar", |text| without(text, guard));
        }
        let both = round(&load(&mutant).unwrap(), goal).broken;
        assert!(both.contains(goal), "without {guards:?}: {both:?}");
    }
    assert!(text(&whole, "goals/g2-special.cedar").contains("VAKBOND"));
}
