//! Consent from link code to withdrawal, through the broker's own door: nothing moves without it, and
//! nothing moves after it was withdrawn.
//!
//! Must never take the client library's word for a statement: a JWS is opened here by a library that knows
//! nothing of Sluis.

use crate::house::{Folder, House, bsn, person, reason, today, values};
use client::{Client, PersonKey, Preparation};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rules::clock::{Clock as _, Random as _};
use rules::consent::{
    AuthenticationLevel, CollectionMethod, ConsentRecord, ConsentState, Language, NoticeSeen,
    SecrecyWaiver, Statement, StatementEvent, StopCode,
};
use rules::handover::{InboxKind, State};
use rules::id::{Category, ConsentId, HandoverId, Label, PeerKind};
use rules::limits::DAY_MILLIS;
use rules::reason::Reason;
use rules::register::Register;
use std::collections::BTreeSet;
use std::ops::Deref;
use vault::chance::SystemChance;
use vault::pseudonym::Bsn;

/// What the vakbond hands over.
pub(crate) const SUMMARY: &[(&str, &str)] =
    &[("werk.denkniveau", "4"), ("doelgroep.route", "WERKNEMER")];
const DOSSIER: &[(&str, &str)] = &[
    ("identiteit.naam", "Jip Dijkwachter"),
    ("contact.telefoon", "0600000000"),
    ("doelgroep.code", "WERKNEMER"),
];

/// A vakbond, a recipient and the portal in one house, and one person.
pub(crate) struct Scene<H = House> {
    pub(crate) house: H,
    pub(crate) union: Client,
    pub(crate) desk: Client,
    pub(crate) portal: Client,
    pub(crate) who: PersonKey,
    pub(crate) number: Bsn,
    register: Register,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        Self::on(House::start().await).await
    }
}

impl<H: Deref<Target = Folder>> Scene<H> {
    /// The same where servers run already.
    pub(crate) async fn on(house: H) -> Self {
        let text = std::fs::read_to_string(house.path().join("policies/register.toml")).unwrap();
        let scene = Self {
            union: house.client("vakbond").await,
            desk: house.client("neutraal").await,
            portal: house.client("portal").await,
            who: person("lid-1"),
            number: bsn(40),
            register: Register::parse("register.toml", &text).unwrap(),
            house,
        };
        scene.link(&scene.who, &scene.number).await;
        scene
    }

    /// Links a person to the vakbond by a code.
    pub(crate) async fn link(&self, who: &PersonKey, number: &Bsn) {
        let party = self.house.identity("vakbond").party().parse().unwrap();
        let (code, _) = self.portal.link(number, &party).await.unwrap();
        self.union.redeem_link(who, &code).await.unwrap();
    }

    /// The statement by which the person consents to all that the register knows, for a week.
    pub(crate) fn statement(&self, from: &str, kind: PeerKind, writer: &str) -> Statement {
        self.statement_to((from, kind), ("neutraal", PeerKind::Gemeente), writer)
    }

    /// The same to any recipient.
    pub(crate) fn statement_to(
        &self,
        (from, kind): (&str, PeerKind),
        (to, to_kind): (&str, PeerKind),
        writer: &str,
    ) -> Statement {
        let now = gateway::clock::SystemClock.now();
        let random = SystemChance::new();
        let mut octets = [0; 16];
        random.fill(&mut octets);
        let purpose = "HANDOVER".parse().unwrap();
        let entry = self.register.entry(&purpose, kind, to_kind).unwrap();
        let labels = entry.labels();
        let categories: BTreeSet<Category> = self
            .register
            .categories_of(labels)
            .into_iter()
            .cloned()
            .collect();
        let classes = self.register.categories();
        let writer = self.house.identity(writer);
        let entity = (writer.oin.parse().unwrap(), writer.desk.parse().unwrap());
        let is_portal = writer.kind == "PORTAL";
        Statement {
            record: ConsentRecord {
                id: ConsentId::from_slice(&octets).unwrap(),
                notice: NoticeSeen {
                    uri: entry.notice.uri.clone(),
                    version: entry.notice.version,
                    sha256: entry.notice.sha256,
                    language: Language::Nl,
                },
                sender: self.house.identity(from).party().parse().unwrap(),
                recipient: self.house.identity(to).party().parse().unwrap(),
                purpose,
                waiver: entry.waiver_ground().map(|ground| SecrecyWaiver {
                    ground: ground.to_owned(),
                    text_sha256: [1; 32],
                    given_at: now,
                }),
                special: categories
                    .iter()
                    .filter(|category| matches!(classes[category].code(), "S9" | "N87"))
                    .cloned()
                    .collect(),
                categories,
                method: if is_portal {
                    CollectionMethod::Portal
                } else {
                    CollectionMethod::Desk
                },
                authentication_level: AuthenticationLevel::Test,
                assisted_by: (!is_portal).then(|| entity.clone()),
                reflection_offered: true,
                valid_from: now,
                valid_until: now.plus_millis(7 * DAY_MILLIS),
                state: ConsentState::Given,
                version: 1,
                supersedes: None,
            },
            event: StatementEvent::Given,
            event_time: now,
            entity,
            order: None,
            stop_code: Some(StopCode::draw(&random)),
        }
    }

    /// What is asked before the handover.
    pub(crate) fn asked(&self) -> Preparation {
        let labels = |pairs: &[(&str, &str)]| -> Vec<Label> {
            pairs
                .iter()
                .map(|(label, _)| label.parse().unwrap())
                .collect()
        };
        Preparation {
            recipient: self.house.identity("neutraal").party().parse().unwrap(),
            purpose: "HANDOVER".parse().unwrap(),
            basis: "CONSENT".parse().unwrap(),
            summary_labels: labels(SUMMARY),
            dossier_labels: labels(DOSSIER),
            group: None,
        }
    }

    pub(crate) async fn prepare(&self, who: &PersonKey) -> Result<HandoverId, client::ClientError> {
        let prepared = self.union.prepare(who, &self.asked()).await?;
        Ok(prepared.receipt.handover)
    }

    /// Prepares, offers, accepts and releases.
    pub(crate) async fn released(&self, who: &PersonKey) -> HandoverId {
        let id = self.prepare(who).await.unwrap();
        self.union.offer(&id, &values(SUMMARY)).await.unwrap();
        self.desk.accept(&id).await.unwrap();
        self.union.show(&id).await.unwrap();
        self.union.release(&id, &values(DOSSIER)).await.unwrap();
        id
    }
}

/// The statement that withdraws a record.
pub(crate) fn withdrawal(given: &Statement, version: u64) -> Statement {
    let mut statement = given.clone();
    statement.event = StatementEvent::Withdrawn;
    statement.event_time = gateway::clock::SystemClock.now();
    statement.record.state = ConsentState::Withdrawn;
    statement.record.version = version;
    statement.stop_code = None;
    statement.order = None;
    statement
}

async fn state(client: &Client, id: &HandoverId) -> i32 {
    client.show(id).await.unwrap().handover.unwrap().state
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_before_it_and_nothing_after_its_withdrawal() {
    let scene = Scene::set().await;
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::NotAvailable
    );
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let registered = scene
        .portal
        .register_consent(&scene.number, &given)
        .await
        .unwrap();
    assert_eq!(registered.receipt.state, ConsentState::Given);
    check_jws(&scene, &registered.statement_jws);

    let released = scene.released(&scene.who).await;
    let fetched = scene.desk.fetch(&released).await.unwrap();
    assert_eq!(fetched.fields.len(), DOSSIER.len());
    let offered = scene.prepare(&scene.who).await.unwrap();
    scene.union.offer(&offered, &values(SUMMARY)).await.unwrap();
    let done = scene.released(&scene.who).await;
    scene.desk.fetch(&done).await.unwrap();
    scene.desk.complete(&done, &today()).await.unwrap();

    let stopped = scene
        .portal
        .withdraw_consent(&withdrawal(&given, 2))
        .await
        .unwrap();
    assert_eq!(
        (stopped.receipt.ended_handovers, stopped.receipt.to_follow),
        (2, 3),
        "two were open; the completed one was opened, so its recipient is told as well"
    );
    for id in [&released, &offered] {
        assert_eq!(state(&scene.union, id).await, State::Withdrawn.number());
    }
    assert_eq!(state(&scene.union, &done).await, State::Completed.number());
    assert_eq!(
        reason(scene.desk.fetch(&released).await),
        Reason::StateForbidsEvent
    );
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::NotAvailable
    );
    check_told(&scene).await;
    // Once more, as after a restore: it is stopped already, and nobody hears of it twice.
    let again = scene
        .portal
        .withdraw_consent(&withdrawal(&given, 2))
        .await
        .unwrap();
    assert_eq!(
        (again.receipt.ended_handovers, again.receipt.to_follow),
        (0, 0)
    );
}

/// The recipient was told twice that it ended, and got a notice for each that it had opened.
async fn check_told(scene: &Scene) {
    scene.house.settle().await;
    let mut told = Vec::new();
    let mut inbox = scene.desk.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        told.push(event.kind);
    }
    assert_eq!(
        told.iter()
            .filter(|kind| **kind == InboxKind::Withdrawn)
            .count(),
        2
    );
    assert_eq!(
        told.iter()
            .filter(|kind| **kind == InboxKind::Notice)
            .count(),
        2
    );
}

/// Opens a compact JWS with nothing of ours.
fn check_jws(scene: &Scene, jws: &str) {
    let directory = std::fs::read_to_string(scene.house.path().join("directory.toml")).unwrap();
    let directory: toml::Table = directory.parse().unwrap();
    let portal = directory["peer"]
        .as_array()
        .unwrap()
        .iter()
        .find(|peer| peer["kind"].as_str() == Some("PORTAL"))
        .unwrap();
    let key = portal["desk"][0]["signing_key"].as_str().unwrap();
    let key = DecodingKey::from_ed_der(&rules::hex::decode(key).unwrap());
    let mut validation = Validation::new(Algorithm::EdDSA);
    // A consent statement is no access token: its times are inside the record, not claims about the token.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let opened = jsonwebtoken::decode::<serde_json::Value>(jws, &key, &validation).unwrap();
    assert_eq!(opened.header.typ.as_deref(), Some("consent-receipt+jwt"));
    assert_eq!(opened.claims["event"]["event_type"], "consent_given");
    assert_eq!(opened.claims["lawful_basis"], "eu-gdpr:A6-1-a");
    // And it does refuse: another payload under the same signature, the same under another key.
    let parts: Vec<&str> = jws.split('.').collect();
    let forged = format!("{}.{}.{}", parts[0], parts[0], parts[2]);
    let other = DecodingKey::from_ed_der(&[7; 32]);
    for (jws, key) in [(forged.as_str(), &key), (jws, &other)] {
        assert!(jsonwebtoken::decode::<serde_json::Value>(jws, key, &validation).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_code_stops_it_without_a_login_and_wrong_ones_are_counted() {
    let scene = Scene::set().await;
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    scene
        .portal
        .register_consent(&scene.number, &given)
        .await
        .unwrap();
    let released = scene.released(&scene.who).await;
    let wrong = StopCode::draw(&SystemChance::new());
    for _ in 0..5 {
        let refused = scene.desk.withdraw_by_code(&wrong, None).await;
        assert_eq!(reason(refused), Reason::NotAvailable);
    }
    let code = given.stop_code.clone().unwrap();
    assert_eq!(
        reason(scene.desk.withdraw_by_code(&code, None).await),
        Reason::TriesExhausted,
        "even the right one, after five wrong ones at this desk"
    );
    // At the portal it is where the code was typed that counts: another source is not made to wait.
    let (here, there) = (Some([1; 32]), Some([2; 32]));
    for _ in 0..5 {
        let refused = scene.portal.withdraw_by_code(&wrong, here).await;
        assert_eq!(reason(refused), Reason::NotAvailable);
    }
    let refused = scene.portal.withdraw_by_code(&wrong, here).await;
    assert_eq!(reason(refused), Reason::TriesExhausted);
    let refused = scene.portal.withdraw_by_code(&wrong, there).await;
    assert_eq!(reason(refused), Reason::NotAvailable);
    let elsewhere = scene.house.client("elders").await;
    let stopped = elsewhere.withdraw_by_code(&code, None).await.unwrap();
    assert_eq!(stopped.ended_handovers, 1);
    assert_eq!(
        reason(scene.desk.fetch(&released).await),
        Reason::StateForbidsEvent
    );
    assert_eq!(
        reason(scene.prepare(&scene.who).await),
        Reason::NotAvailable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn narrowing_works_on_the_next_fetch() {
    let scene = Scene::set().await;
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    scene
        .portal
        .register_consent(&scene.number, &given)
        .await
        .unwrap();
    let released = scene.released(&scene.who).await;
    assert_eq!(scene.desk.fetch(&released).await.unwrap().fields.len(), 3);
    let mut narrower = given.clone();
    narrower.event = StatementEvent::Narrowed;
    narrower.record.version = 2;
    let contact: Category = "CONTACT".parse().unwrap();
    assert!(
        narrower.record.categories.remove(&contact),
        "{:?}",
        given.record.categories
    );
    let narrowed = scene.portal.narrow_consent(&narrower).await.unwrap();
    assert_eq!(narrowed.receipt.version, 2);
    let fetched = scene.desk.fetch(&released).await.unwrap();
    assert!(
        fetched
            .fields
            .iter()
            .all(|field| field.label.as_str() != "contact.telefoon")
    );
    assert_eq!(fetched.fields.len(), 2);
    let mut wider = given.clone();
    wider.event = StatementEvent::Narrowed;
    wider.record.version = 3;
    assert_eq!(
        reason(scene.portal.narrow_consent(&wider).await),
        Reason::ConsentWidened
    );
    let stopped = scene
        .portal
        .withdraw_consent(&withdrawal(&narrower, 3))
        .await
        .unwrap();
    assert_eq!(stopped.receipt.ended_handovers, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_hears_nothing_until_it_is_given() {
    let scene = Scene::set().await;
    let stranger = person("lid-2");
    scene.union.enrol_without_number(&stranger).await.unwrap();
    let recipient = scene.house.identity("neutraal").party().parse().unwrap();
    let purpose = "HANDOVER".parse().unwrap();
    let categories: Vec<Category> = vec!["IDENTITY".parse().unwrap()];
    let ask = |who: PersonKey| {
        let (union, recipient, purpose) = (&scene.union, &recipient, &purpose);
        let categories = &categories;
        async move {
            union
                .request_consent(&who, recipient, purpose, categories)
                .await
        }
    };
    ask(stranger).await.unwrap();
    let question = ask(scene.who.clone()).await.unwrap();
    let mut inbox = scene.union.inbox(Some(String::new()));
    assert!(
        inbox.next().await.unwrap().is_none(),
        "asking tells nothing"
    );
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    scene
        .portal
        .register_consent(&scene.number, &given)
        .await
        .unwrap();
    let told = scene
        .union
        .inbox(Some(String::new()))
        .next()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told.kind, InboxKind::Ready);
    assert_eq!(told.handover.bytes(), question.id.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_foreign_or_replayed_statement_is_refused() {
    let scene = Scene::set().await;
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let by_desk = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    let mut foreign = by_desk.clone();
    foreign.entity = given.entity.clone();
    assert_eq!(
        reason(scene.union.assist_consent(&scene.who, &foreign).await),
        Reason::ActingForAnother
    );
    scene
        .portal
        .register_consent(&scene.number, &given)
        .await
        .unwrap();
    let mut again = given.clone();
    again.stop_code = Some(StopCode::draw(&SystemChance::new()));
    assert_eq!(
        reason(scene.portal.register_consent(&scene.number, &again).await),
        Reason::RequestIdReused,
        "the same record by another statement: its id is the request's too"
    );
    let mut somebody_elses = withdrawal(&given, 2);
    somebody_elses.record.id = ConsentId::from_slice(&[9; 16]).unwrap();
    assert_eq!(
        reason(scene.portal.withdraw_consent(&somebody_elses).await),
        Reason::NotAvailable
    );
    assert_eq!(
        reason(scene.union.withdraw_consent(&withdrawal(&given, 2)).await),
        Reason::RightMissing,
        "only the portal withdraws by statement"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assisted_consent_reaches_the_portal_and_a_link_code_works_once() {
    let scene = Scene::set().await;
    let helped = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    scene
        .union
        .assist_consent(&scene.who, &helped)
        .await
        .unwrap();
    scene.released(&scene.who).await;
    let party = scene.house.identity("vakbond").party().parse().unwrap();
    let (code, _) = scene.portal.link(&bsn(41), &party).await.unwrap();
    let other = person("lid-3");
    assert_eq!(
        reason(scene.desk.redeem_link(&other, &code).await),
        Reason::NotAvailable,
        "another organisation's code"
    );
    scene.union.redeem_link(&other, &code).await.unwrap();
    assert_eq!(
        reason(scene.union.redeem_link(&other, &code).await),
        Reason::NotAvailable,
        "used"
    );
    let random = person("lid-4");
    scene.union.enrol_without_number(&random).await.unwrap();
    let helped = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    scene.union.assist_consent(&random, &helped).await.unwrap();
    let id = scene.prepare(&random).await.unwrap();
    scene.union.offer(&id, &values(SUMMARY)).await.unwrap();
    scene.desk.accept(&id).await.unwrap();
    scene.union.show(&id).await.unwrap();
    scene.union.release(&id, &values(DOSSIER)).await.unwrap();
    let fetched = scene.desk.fetch(&id).await.unwrap();
    assert!(
        !fetched.known,
        "a point that was drawn is nobody the desk knows"
    );
}
