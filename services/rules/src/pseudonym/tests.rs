//! The closed table against a list of its rows written by hand, and against everything beside them.

use super::*;
use crate::directory::Directory;
use crate::directory::tests::{self, NOW, directory, edge, oin, party};
use crate::directory::{DirectoryFile, Right};
use crate::id::OrderId;
use crate::reason::{Outcome, Reason};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The test directory with a vakbond as it is in life: no desk of its realm `main` uses the BSN.
fn file() -> DirectoryFile {
    let mut file = tests::file();
    for desk in &mut file.peers[3].desks {
        if desk.realm == "main" {
            desk.rights.retain(|right| right != Right::Bsn.code());
        }
    }
    file.edges.push(edge(4, 2, "HANDOVER"));
    file
}

/// Organisations: 1 UWV, 2 and 3 gemeenten, 4 vakbond, 5 supervision, 6 broker, 7 holder, 9 portal.
/// `keys` has no rights for orders, `gone` is revoked, `side` sits in the realm `kassier`.
const ISSUERS: &[(u32, &str)] = &[
    (1, "front"),
    (1, "side"),
    (1, "keys"),
    (1, "gone"),
    (2, "front"),
    (3, "front"),
    (4, "front"),
    (5, "front"),
    (6, "broker"),
    (7, "holder"),
    (9, "portal"),
    (9, "side"),
];

const DOMAINS: &[&str] = &[
    "partner/1/main/1",
    "partner/1/main/2",
    "partner/1/kassier/3",
    "partner/2/main/1",
    "partner/3/main/1",
    "partner/4/main/1",
    "partner/6/main/1",
    "partner/9/main/1",
    "rel/1/main/2/main/HANDOVER/5",
    "rel/1/main/2/main/HANDOVER/4",
    "rel/2/main/4/main/HANDOVER/5",
    "rel/1/main/3/main/HANDOVER/5",
    "rel/1/main/9/main/HANDOVER/5",
    "rel/4/main/2/main/HANDOVER/5",
    "portal/2",
    "portal/1",
    "portal/3",
];

/// Every row that the test directory makes, as issuer, kind, source, targets with their contexts' owners.
const ROWS: &[&str] = &[
    "ENROL 1/front origin/bsn/1 > partner/1/main/1 @1/main",
    "ENROL 1/side origin/bsn/1 > partner/1/kassier/3 @1/kassier",
    "ENROL 2/front origin/bsn/1 > partner/2/main/1 @2/main",
    "ENROL 3/front origin/bsn/1 > partner/3/main/1 @3/main",
    "LOGIN 9/portal origin/bsn/1 > portal/2 @9/main > portal/1 @9/main",
    "LINK 9/portal origin/bsn/1 > partner/4/main/1 @4/main",
    "CONSENT 9/portal origin/bsn/1 > rel/1/main/2/main/HANDOVER/5 @6/main",
    "CONSENT 9/portal origin/bsn/1 > rel/2/main/4/main/HANDOVER/5 @6/main",
    "CONSENT 9/portal origin/bsn/1 > rel/1/main/3/main/HANDOVER/5 @6/main",
    "CONSENT 9/portal origin/bsn/1 > rel/4/main/2/main/HANDOVER/5 @6/main",
    "ASSIST 1/front partner/1/main/1 > rel/1/main/2/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "ASSIST 2/front partner/2/main/1 > rel/2/main/4/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "ASSIST 4/front partner/4/main/1 > rel/4/main/2/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "PREPARE 1/front partner/1/main/1 > rel/1/main/2/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "PREPARE 1/keys partner/1/main/1 > rel/1/main/2/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "PREPARE 2/front partner/2/main/1 > rel/2/main/4/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "PREPARE 4/front partner/4/main/1 > rel/4/main/2/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "UNBOUND 4/front partner/4/main/1 > rel/4/main/2/main/HANDOVER/5 @6/main > portal/2 @9/main",
    "HANDOVER 1/front partner/1/main/1 > partner/2/main/1 @2/main > rel/1/main/2/main/HANDOVER/5 @6/main",
    "HANDOVER 1/keys partner/1/main/1 > partner/2/main/1 @2/main > rel/1/main/2/main/HANDOVER/5 @6/main",
    "HANDOVER 2/front partner/2/main/1 > partner/4/main/1 @4/main > rel/2/main/4/main/HANDOVER/5 @6/main",
    "HANDOVER 4/front partner/4/main/1 > partner/2/main/1 @2/main > rel/4/main/2/main/HANDOVER/5 @6/main",
    "CHECK 1/front origin/bsn/1 > partner/1/main/1 @1/main",
    "CHECK 1/keys origin/bsn/1 > partner/1/main/1 @1/main",
    "CHECK 1/side origin/bsn/1 > partner/1/kassier/3 @1/kassier",
    "CHECK 2/front origin/bsn/1 > partner/2/main/1 @2/main",
    "CHECK 3/front origin/bsn/1 > partner/3/main/1 @3/main",
    "MISMATCH 1/front origin/bsn/1 > portal/2 @9/main",
    "MISMATCH 1/keys origin/bsn/1 > portal/2 @9/main",
    "MISMATCH 1/side origin/bsn/1 > portal/2 @9/main",
    "MISMATCH 2/front origin/bsn/1 > portal/2 @9/main",
    "MISMATCH 3/front origin/bsn/1 > portal/2 @9/main",
];

/// Organisation numbers of one digit become OINs: the tests read better so.
fn long(short: &str) -> String {
    let mut parts: Vec<String> = short.split('/').map(str::to_owned).collect();
    let places: &[usize] = match parts[0].as_str() {
        "partner" | "ctx" => &[1],
        "rel" => &[1, 3],
        _ => &[],
    };
    for place in places {
        parts[*place] = oin(parts[*place].parse().unwrap()).to_string();
    }
    parts.join("/")
}

fn short(long: &str) -> String {
    let mut text = long.to_owned();
    for number in 1..=9 {
        text = text.replace(oin(number).as_str(), &number.to_string());
    }
    text
}

fn context(directory: &Directory, owner: &crate::id::Party) -> Context {
    Context {
        party: owner.clone(),
        number: directory.realm(owner).map_or(1, |realm| realm.context),
    }
}

fn order(directory: &Directory, kind: OrderKind, issuer: (u32, &str)) -> Order {
    let realm = if issuer.1 == "side" {
        "kassier"
    } else {
        "main"
    };
    Order {
        version: 1,
        id: OrderId::from_slice(&[1; 16]).unwrap(),
        kind,
        issuer: oin(issuer.0),
        desk: issuer.1.parse().unwrap(),
        source: Domain::Origin,
        source_context: context(directory, &party(issuer.0, realm)),
        targets: Vec::new(),
        purpose: None,
        ciphertext_sha256: [0; 32],
        not_before: NOW,
        not_after: NOW.plus_millis(60_000),
        parent: kind
            .has_parent()
            .then(|| OrderId::from_slice(&[2; 16]))
            .flatten(),
    }
}

fn describe(order: &Order) -> String {
    let mut text = format!(
        "{} {}/{} {}",
        order.kind.code(),
        order.issuer,
        order.desk,
        order.source
    );
    for (domain, context) in &order.targets {
        text.push_str(&format!(" > {domain} @{}", context.party));
    }
    short(&text)
}

/// Every list of no, one or two targets, and of three that begin like a right one.
fn target_lists() -> Vec<Vec<TargetDomain>> {
    let domains: Vec<TargetDomain> = DOMAINS
        .iter()
        .map(|text| long(text).parse().unwrap())
        .collect();
    let mut lists = vec![Vec::new()];
    for first in &domains {
        lists.push(vec![first.clone()]);
        for second in &domains {
            lists.push(vec![first.clone(), second.clone()]);
            if *second == domains[13] {
                lists.push(vec![first.clone(), second.clone(), domains[3].clone()]);
            }
        }
    }
    lists
}

#[test]
fn the_table_is_exactly_its_rows() {
    let directory = directory(&file());
    let lists = target_lists();
    let mut sources: Vec<Domain> = DOMAINS
        .iter()
        .map(|text| long(text).parse().unwrap())
        .collect();
    sources.push(Domain::Origin);
    let owners = [
        None,
        Some(party(1, "main")),
        Some(party(6, "main")),
        Some(party(9, "main")),
    ];
    let mut accepted = BTreeSet::new();
    for kind in OrderKind::ALL.iter().copied() {
        for issuer in ISSUERS.iter().copied() {
            let mut order = order(&directory, kind, issuer);
            for source in &sources {
                order.source = source.clone();
                for list in &lists {
                    for owner in &owners {
                        order.targets = list
                            .iter()
                            .map(|domain| {
                                let owner = owner.as_ref().unwrap_or(directory.owner(domain));
                                (domain.clone(), context(&directory, owner))
                            })
                            .collect();
                        for purpose in [None, Some("HANDOVER".parse().unwrap())] {
                            order.purpose = purpose;
                            if let Outcome::Permitted(plan) = judge(&order, &directory, NOW) {
                                assert_eq!(plan.order(), &order);
                                accepted.insert(describe(&order));
                            }
                        }
                    }
                }
            }
        }
    }
    let rows: BTreeSet<String> = ROWS.iter().map(|row| (*row).to_owned()).collect();
    assert_eq!(accepted, rows);
}

/// The order of a row of [`ROWS`].
fn from_row(directory: &Directory, row: &str) -> Order {
    let mut parts = row.split(" > ");
    let head: Vec<&str> = parts.next().unwrap().split(' ').collect();
    let kind = *OrderKind::ALL
        .iter()
        .find(|kind| kind.code() == head[0])
        .unwrap();
    let (number, desk) = head[1].split_once('/').unwrap();
    let mut order = order(directory, kind, (number.parse().unwrap(), desk));
    order.source = long(head[2]).parse().unwrap();
    for part in parts {
        let domain: TargetDomain = long(part.split(' ').next().unwrap()).parse().unwrap();
        let context = context(directory, directory.owner(&domain));
        if let TargetDomain::Relation { relation, .. } = &domain {
            order.purpose = Some(relation.purpose.clone());
        }
        order.targets.push((domain, context));
    }
    order
}

fn check(kind: &str, change: impl Fn(&mut Order), expected: Option<Reason>) {
    let directory = directory(&file());
    let row = ROWS.iter().find(|row| row.starts_with(kind)).unwrap();
    let mut order = from_row(&directory, row);
    change(&mut order);
    let found = match judge(&order, &directory, NOW) {
        Outcome::Permitted(_) => None,
        Outcome::Refused(refusal) => Some(refusal.reason),
    };
    assert_eq!(found, expected, "{row}");
}

#[test]
fn form_and_window_are_judged_first() {
    let later = |millis| NOW.plus_millis(millis);
    check("PREPARE", |_| (), None);
    check(
        "PREPARE",
        |order| order.version = 2,
        Some(Reason::OrderMalformed),
    );
    check(
        "PREPARE",
        |order| order.not_after = order.not_before,
        Some(Reason::OrderMalformed),
    );
    check("PREPARE", |order| order.not_after = later(300_000), None);
    check(
        "PREPARE",
        |order| order.not_after = later(300_001),
        Some(Reason::OrderWindowTooLong),
    );
    let window = |begin: i64, end: i64| {
        move |order: &mut Order| {
            order.not_before = later(begin);
            order.not_after = later(end);
        }
    };
    check("PREPARE", window(30_000, 60_000), None);
    check(
        "PREPARE",
        window(30_001, 60_000),
        Some(Reason::OrderNotYetValid),
    );
    check("PREPARE", window(-60_000, 0), None);
    check("PREPARE", window(-60_000, -1), Some(Reason::OrderExpired));
    check(
        "PREPARE",
        |order| order.parent = Some(order.id),
        Some(Reason::OrderMalformed),
    );
    for kind in ["HANDOVER", "CHECK", "MISMATCH"] {
        let invalid = Some(Reason::OrderParentInvalid);
        check(kind, |_| (), None);
        check(kind, |order| order.parent = None, invalid);
        check(kind, |order| order.parent = Some(order.id), invalid);
    }
}

#[test]
fn who_watches_over_exchanges_signs_no_order() {
    for kind in [
        "ENROL", "LOGIN", "LINK", "CONSENT", "ASSIST", "PREPARE", "HANDOVER", "UNBOUND", "CHECK",
        "MISMATCH",
    ] {
        let change = |order: &mut Order| order.desk = "fg".parse().unwrap();
        check(kind, change, Some(Reason::RightMissing));
    }
}

#[test]
fn an_unknown_revoked_or_rightless_issuer_is_named_as_such() {
    let desk = |name: &'static str| move |order: &mut Order| order.desk = name.parse().unwrap();
    check(
        "ENROL",
        |order| order.issuer = oin(77),
        Some(Reason::OinUnknown),
    );
    check("ENROL", desk("elders"), Some(Reason::DeskUnknown));
    check("ENROL", desk("gone"), Some(Reason::CertificateRevoked));
    check("ENROL", desk("keys"), Some(Reason::RightMissing));
    check("ASSIST", desk("keys"), Some(Reason::RightMissing));
    check("PREPARE", desk("keys"), None);
    check("PREPARE", desk("side"), Some(Reason::OrderForbidden));
    // A realm that enrols by number makes nobody known without one, and one that does not has none to compare.
    let realm = |kind: &str, number, reason| {
        let from = move |order: &mut Order| order.issuer = oin(number);
        check(kind, from, Some(reason));
    };
    realm("UNBOUND", 1, Reason::SubjectUnbound);
    realm("CHECK", 4, Reason::RightMissing);
    realm("MISMATCH", 4, Reason::RightMissing);
    for kind in ["LOGIN", "LINK", "CONSENT"] {
        check(kind, desk("side"), Some(Reason::OrderForbidden));
        check(
            kind,
            |order| {
                order.issuer = oin(1);
                order.desk = "front".parse().unwrap();
            },
            Some(Reason::OrderForbidden),
        );
    }
}

#[test]
fn another_context_is_unknown_and_anothers_is_forbidden() {
    for kind in ["ENROL", "PREPARE", "HANDOVER", "CONSENT"] {
        check(
            kind,
            |order| order.targets[0].1.number += 1,
            Some(Reason::ContextUnknown),
        );
        check(
            kind,
            |order| order.source_context.number += 1,
            Some(Reason::ContextUnknown),
        );
        check(
            kind,
            |order| order.targets[0].1.party = party(3, "main"),
            Some(Reason::OrderForbidden),
        );
        check(
            kind,
            |order| order.source_context.party = party(3, "main"),
            Some(Reason::OrderForbidden),
        );
    }
}

#[test]
fn no_edge_no_conversion() {
    let directory = directory(&file());
    let without = {
        let mut file = file();
        file.edges.clear();
        tests::directory(&file)
    };
    for kind in ["PREPARE", "ASSIST", "HANDOVER"] {
        let row = ROWS.iter().find(|row| row.starts_with(kind)).unwrap();
        let order = from_row(&directory, row);
        let refused = |directory, now| match judge(&order, directory, now) {
            Outcome::Permitted(_) => None,
            Outcome::Refused(refusal) => Some(refusal.reason),
        };
        assert_eq!(refused(&directory, NOW.plus_millis(1_000)), None);
        assert_eq!(
            refused(&directory, NOW.plus_millis(1_001)),
            Some(Reason::NoAgreement)
        );
        assert_eq!(refused(&without, NOW), Some(Reason::NoAgreement));
    }
}

#[test]
fn rotation_is_read_and_refused() {
    for row in ROWS {
        let directory = directory(&file());
        let mut order = from_row(&directory, row);
        order.kind = OrderKind::Rotate;
        order.parent = None;
        assert_eq!(
            judge(&order, &directory, NOW),
            Outcome::Refused(Reason::OrderForbidden.into())
        );
    }
}

#[test]
fn kinds_read_back_from_their_numbers() {
    for kind in OrderKind::ALL.iter().copied() {
        assert_eq!(OrderKind::from_number(kind.number()), Some(kind));
    }
    assert_eq!(OrderKind::from_number(0), None);
    assert_eq!(OrderKind::from_number(12), None);
}

proptest! {
    /// Whatever edges there are: what is accepted starts at the origin or at the issuer's own
    /// pseudonyms, and each output can be read by its owner alone.
    #[test]
    fn whatever_the_edges_nobody_gets_what_is_not_theirs(
        edges in proptest::collection::btree_set((1_u32..5, 1_u32..5), 0..8),
        kind in 0_usize..OrderKind::ALL.len(),
        issuer in 0..ISSUERS.len(),
        source in 0..=DOMAINS.len(),
        targets in proptest::collection::vec((0..DOMAINS.len(), 1_u32..10), 0..4),
        purpose in proptest::bool::ANY,
    ) {
        let mut file = file();
        file.edges = edges
            .into_iter()
            .filter(|(from, to)| from != to)
            .map(|(from, to)| edge(from, to, "HANDOVER"))
            .collect();
        let directory = directory(&file);
        let mut order = order(&directory, OrderKind::ALL[kind], ISSUERS[issuer]);
        if let Some(text) = DOMAINS.get(source) {
            order.source = long(text).parse().unwrap();
        }
        order.purpose = purpose.then(|| "HANDOVER".parse().unwrap());
        order.targets = targets
            .into_iter()
            .map(|(domain, owner)| {
                let domain = long(DOMAINS[domain]).parse().unwrap();
                (domain, context(&directory, &party(owner, "main")))
            })
            .collect();
        if let Outcome::Permitted(plan) = judge(&order, &directory, NOW) {
            let own = match &order.source {
                Domain::Origin => true,
                Domain::Partner { party, .. } => party == plan.issuer(),
                Domain::Relation { .. } | Domain::Portal { .. } => false,
            };
            prop_assert!(own);
            for (domain, context) in &order.targets {
                prop_assert_eq!(&context.party, directory.owner(domain));
                prop_assert!(Domain::from(domain.clone()) != Domain::Origin);
            }
        }
    }
}

#[test]
fn past_the_directorys_end_only_a_persons_own_orders_go_on() {
    let mut file = file();
    file.valid_until_millis = NOW.millis() + 1;
    let directory = directory(&file);
    for row in ROWS {
        let order = from_row(&directory, row);
        let own = matches!(order.kind, OrderKind::Login | OrderKind::Consent);
        for (millis, has_ended) in [(1, false), (2, true)] {
            let reason = match judge(&order, &directory, NOW.plus_millis(millis)) {
                Outcome::Permitted(_) => None,
                Outcome::Refused(refusal) => Some(refusal.reason),
            };
            let expected = (has_ended && !own).then_some(Reason::DirectoryExpired);
            assert_eq!(reason, expected, "{row} at {millis}");
        }
    }
}
