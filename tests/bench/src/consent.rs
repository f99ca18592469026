//! Consent under load: what a withdrawal takes while others release and fetch, and how long each kind of
//! refusal takes, by which they should not be told apart.
//!
//! Must never measure a refusal that is not the uniform one, nor a withdrawal that stopped nothing.

use crate::load::fields;
use crate::table::Table;
use client::{Client, PersonKey, Preparation};
use gateway::cli::identity::Identity;
use rules::clock::{Clock as _, Random as _};
use rules::consent::StopCode;
use rules::id::{ConsentId, HandoverId, Label, Party};
use rules::reason::Reason;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use vault::chance::SystemChance;
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_client::PortalServiceClient;

/// Withdrawals that are measured.
const WITHDRAWALS: usize = 60;
/// Tasks that fetch meanwhile.
const FETCHERS: usize = 9;
/// Tasks that release meanwhile.
const RELEASERS: usize = 3;
/// Refusals of each kind that are measured.
const ROUNDS: usize = 200;
/// Categories that are agreed to.
const CATEGORIES: [&str; 4] = ["CONTACT", "IDENTITY", "TARGET_GROUP", "WORK"];
/// Milliseconds of a consent that shall be over when it is asked about.
const SHORT_MILLIS: i64 = 2_000;
/// Milliseconds of any other.
const LONG_MILLIS: i64 = 30 * 24 * 3_600_000;
const MICROSECONDS: f64 = 1e6;

fn summary() -> Vec<(Label, rules::secret::Secret<Vec<u8>>)> {
    fields(&[("werk.beroep", "Lasser"), ("werk.denkniveau", "2")])
}

fn dossier() -> Vec<(Label, rules::secret::Secret<Vec<u8>>)> {
    fields(&[
        ("identiteit.naam", "Famke Rietoever"),
        ("contact.telefoon", "06-00009998"),
        ("doelgroep.code", "WERKNEMER"),
    ])
}

/// Vakbond, recipient and portal at work.
struct Scene {
    portal: PortalServiceClient<Channel>,
    union: Arc<Client>,
    desk: Arc<Client>,
    /// The joint officer, and a gemeente that takes part in nothing here.
    officer: Client,
    stranger: Client,
    union_party: String,
    union_oin: String,
    desk_party: String,
    preparation: Preparation,
    /// Where in the line of test numbers the next person stands.
    next: usize,
}

impl Scene {
    async fn open(home: &Path, stores: &Path) -> Self {
        let identity = |name: &str| Identity::load(home, name).expect("an identity of the sandbox");
        let (union, desk) = (identity("vakbond"), identity("neutraal"));
        let open = |identity: &Identity| {
            let path = stores.join(format!("{}-consent.store", identity.name));
            Arc::new(identity.client_at(&path).expect("a client"))
        };
        let connection = identity("portal").connect_portal().expect("a connection");
        let to: Party = desk.party().parse().expect("a party");
        let labels = |of: Vec<(Label, _)>| of.into_iter().map(|(label, _)| label).collect();
        let scene = Self {
            portal: PortalServiceClient::new(connection.channel()),
            union: open(&union),
            desk: open(&desk),
            officer: identity("officer")
                .client_at(&stores.join("officer.store"))
                .expect("a client"),
            stranger: identity("elders")
                .client_at(&stores.join("elders.store"))
                .expect("a client"),
            union_party: union.party(),
            union_oin: union.oin,
            desk_party: desk.party(),
            preparation: Preparation {
                recipient: to,
                purpose: "HANDOVER".parse().expect("a purpose"),
                basis: "CONSENT".parse().expect("a basis"),
                summary_labels: labels(summary()),
                dossier_labels: labels(dossier()),
                group: None,
            },
            next: 4_000,
        };
        for client in [&scene.union, &scene.desk] {
            client.open_context().await.expect("a context");
        }
        scene
    }

    /// A new member, linked by a code: own key and session at the portal.
    async fn member(&mut self, name: &str) -> (PersonKey, Vec<u8>) {
        let number = (0..100_000_u32)
            .map(|last| format!("9999{last:05}"))
            .filter(|text| text.parse::<vault::pseudonym::Bsn>().is_ok())
            .nth(self.next)
            .expect("a test number");
        self.next += 1;
        let assertion = format!("test:{number}");
        let login = self.portal.login(message::LoginRequest { assertion });
        let session = login.await.expect("a login").into_inner().session;
        let request = message::MakeLinkCodeRequest {
            session: session.clone(),
            oin: self.union_oin.clone(),
        };
        let made = self.portal.make_link_code(request);
        let code = made.await.expect("a link code").into_inner().code;
        let key = PersonKey::new(name).expect("a key");
        let code = code.parse().expect("a code");
        let redeemed = self.union.redeem_link(&key, &code).await;
        redeemed.expect("a link");
        (key, session)
    }

    /// Gives consent for so long, or refuses it.
    async fn choose(&mut self, session: &[u8], millis: Option<i64>) -> (Vec<u8>, String) {
        let until = |millis| gateway::clock::SystemClock.now().millis() + millis;
        let request = message::GiveConsentRequest {
            session: session.to_vec(),
            request_id: request_id(),
            sender: self.union_party.clone(),
            recipient: self.desk_party.clone(),
            purpose: "HANDOVER".to_owned(),
            categories: millis
                .iter()
                .flat_map(|_| CATEGORIES.map(str::to_owned))
                .collect(),
            valid_until_millis: millis.map_or(0, until),
            refused: millis.is_none(),
            secrecy_waived: false,
            language: "nl".to_owned(),
        };
        let given = self.portal.give_consent(request).await;
        let given = given.expect("a choice").into_inner();
        (given.record_id, given.stop_code)
    }
}

fn request_id() -> Vec<u8> {
    let mut octets = vec![0; 16];
    SystemChance::new().fill(&mut octets);
    octets
}

/// Measures and prints.
pub(crate) async fn measure(home: &Path, stores: &Path, table: &mut Table) {
    let mut scene = Scene::open(home, stores).await;
    withdrawals(&mut scene, table).await;
    refusals(&mut scene, table).await;
}

/// A released handover whose person can stop it, and one more that is to be released.
struct Lane {
    handover: HandoverId,
    accepted: HandoverId,
    code: StopCode,
}

async fn lane(scene: &mut Scene, number: usize) -> Lane {
    let (key, session) = scene.member(&format!("stop-{number}")).await;
    let (_, code) = scene.choose(&session, Some(LONG_MILLIS)).await;
    let mut accepted = Vec::new();
    for _ in 0..2 {
        let prepared = scene.union.prepare(&key, &scene.preparation).await;
        let handover = prepared.expect("a handover").receipt.handover;
        let offered = scene.union.offer(&handover, &summary()).await;
        offered.expect("an offer");
        scene.desk.accept(&handover).await.expect("accepted");
        scene.union.show(&handover).await.expect("shown");
        accepted.push(handover);
    }
    let released = scene.union.release(&accepted[0], &dossier()).await;
    released.expect("released");
    Lane {
        handover: accepted[0],
        accepted: accepted[1],
        code: code.parse().expect("a stop code"),
    }
}

/// Others at work while consents are withdrawn, and how often they succeeded.
struct Others {
    tasks: JoinSet<()>,
    over: Arc<AtomicBool>,
    fetched: Arc<AtomicUsize>,
    released: Arc<AtomicUsize>,
}

impl Others {
    fn start(scene: &Scene, lanes: &Arc<Vec<Lane>>) -> Self {
        let mut others = Self {
            tasks: JoinSet::new(),
            over: Arc::new(AtomicBool::new(false)),
            fetched: Arc::new(AtomicUsize::new(0)),
            released: Arc::new(AtomicUsize::new(0)),
        };
        for number in 0..FETCHERS {
            let (desk, lanes) = (Arc::clone(&scene.desk), Arc::clone(lanes));
            let (over, fetched) = (Arc::clone(&others.over), Arc::clone(&others.fetched));
            others.tasks.spawn(async move {
                let mut place = number * 17;
                while !over.load(Ordering::Relaxed) {
                    place = (place + 7) % lanes.len();
                    if desk.fetch(&lanes[place].handover).await.is_ok() {
                        fetched.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for number in 0..RELEASERS {
            let (union, lanes) = (Arc::clone(&scene.union), Arc::clone(lanes));
            let released = Arc::clone(&others.released);
            others.tasks.spawn(async move {
                // From the last to the first, so that the two meet in the middle.
                for lane in lanes.iter().rev().skip(number).step_by(RELEASERS) {
                    if union.release(&lane.accepted, &dossier()).await.is_ok() {
                        released.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        others
    }
}

async fn withdrawals(scene: &mut Scene, table: &mut Table) {
    let mut lanes = Vec::new();
    for number in 0..WITHDRAWALS {
        lanes.push(lane(scene, number).await);
    }
    let lanes = Arc::new(lanes);
    let others = Others::start(scene, &lanes);
    let (mut took, mut stopped) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for lane in lanes.iter() {
        let begun = Instant::now();
        let answer = scene.union.withdraw_by_code(&lane.code, None).await;
        took.push(begun.elapsed());
        assert_eq!(answer.expect("a withdrawal").ended_handovers, 2);
        let fetch = scene.desk.fetch(&lane.handover).await;
        stopped.push(begun.elapsed());
        assert!(fetch.is_err(), "a fetch after the withdrawal's answer");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = |count: &AtomicUsize| count.load(Ordering::Relaxed) as f64 / seconds;
    table.heading(
        "a withdrawal while nine fetch and three release (its reply, and the next fetch refused)",
    );
    table.number(
        "fetches that succeeded meanwhile",
        rate(&others.fetched),
        "a second",
    );
    table.number(
        "releases that succeeded meanwhile",
        rate(&others.released),
        "a second",
    );
    others.over.store(true, Ordering::Relaxed);
    others.tasks.join_all().await;
    for (name, mut taken) in [("reply", took), ("next fetch refused", stopped)] {
        taken.sort();
        for (part, at) in [("p50", 50), ("p95", 95), ("max", 100)] {
            let micros = at_percent(&taken, at);
            table.number(&format!("withdrawal: {name}, {part}"), micros, "µs");
        }
    }
}

/// Everybody whom Prepare must refuse alike, by the true reason.
async fn refused_alike(scene: &mut Scene) -> Vec<(&'static str, PersonKey)> {
    let nobody = PersonKey::new("alike-nobody").expect("a key");
    let random = scene.union.enrol_without_number(&nobody).await;
    random.expect("a random pseudonym");
    let (none, _) = scene.member("alike-none").await;
    let (refused, session) = scene.member("alike-refused").await;
    scene.choose(&session, None).await;
    let (withdrawn, session) = scene.member("alike-withdrawn").await;
    let (_, code) = scene.choose(&session, Some(LONG_MILLIS)).await;
    let code = code.parse().expect("a stop code");
    let stopped = scene.union.withdraw_by_code(&code, None).await;
    stopped.expect("a withdrawal");
    let (blocked, session) = scene.member("alike-blocked").await;
    scene.choose(&session, Some(LONG_MILLIS)).await;
    let block = message::BlockOrganisationRequest {
        session,
        request_id: request_id(),
        oin: scene.union_oin.clone(),
    };
    let done = scene.portal.block_organisation(block).await;
    done.expect("a block");
    let (invalid, session) = scene.member("alike-invalid").await;
    let (record, _) = scene.choose(&session, Some(LONG_MILLIS)).await;
    let record = ConsentId::from_slice(&record).expect("a record");
    let found = scene.officer.invalidate_consent(&record).await;
    found.expect("found invalid");
    let (expired, session) = scene.member("alike-expired").await;
    scene.choose(&session, Some(SHORT_MILLIS)).await;
    tokio::time::sleep(Duration::from_millis(SHORT_MILLIS.unsigned_abs() + 500)).await;
    vec![
        ("nobody knows the person", nobody),
        ("no consent", none),
        ("refused", refused),
        ("withdrawn", withdrawn),
        ("blocked", blocked),
        ("found invalid", invalid),
        ("expired", expired),
    ]
}

async fn refusals(scene: &mut Scene, table: &mut Table) {
    let people = refused_alike(scene).await;
    let mut took = vec![Vec::with_capacity(ROUNDS); people.len()];
    // One round after the other, so that what the machine does besides hits all alike.
    for round in 0..ROUNDS {
        for step in 0..people.len() {
            let place = (round + step) % people.len();
            let (name, key) = &people[place];
            let begun = Instant::now();
            let answer = scene.union.prepare(key, &scene.preparation).await;
            took[place].push(begun.elapsed());
            let reason = answer.err().and_then(|error| error.reason());
            assert_eq!(reason, Some(Reason::NotAvailable), "{name}");
        }
    }
    table.heading("Prepare refused alike: time by the true reason, calls interleaved");
    let names: Vec<&str> = people.iter().map(|(name, _)| *name).collect();
    print(&names, took, table);

    let (key, session) = scene.member("alike-standing").await;
    scene.choose(&session, Some(LONG_MILLIS)).await;
    let prepared = scene.union.prepare(&key, &scene.preparation).await;
    let theirs = prepared.expect("a handover").receipt.handover;
    let unknown = HandoverId::from_slice(&[0x77; 16]).expect("an id");
    let names = ["unknown", "not yours"];
    let mut took = vec![Vec::with_capacity(ROUNDS); names.len()];
    for round in 0..ROUNDS * names.len() {
        let place = round % names.len();
        let id = [&unknown, &theirs][place];
        let begun = Instant::now();
        let answer = scene.stranger.accept(id).await;
        took[place].push(begun.elapsed());
        let reason = answer.err().and_then(|error| error.reason());
        assert_eq!(reason, Some(Reason::NotAvailable), "{}", names[place]);
    }
    table.heading("Accept refused alike: time by the true reason, calls interleaved");
    print(&names, took, table);
}

fn print(names: &[&str], took: Vec<Vec<Duration>>, table: &mut Table) {
    for (name, mut taken) in names.iter().zip(took) {
        taken.sort();
        let median = at_percent(&taken, 50);
        table.number(&format!("{name}: p50"), median, "µs");
        table.number(&format!("{name}: p95"), at_percent(&taken, 95), "µs");
    }
}

/// The time at a percentage of a sorted list, in microseconds.
fn at_percent(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[place].as_secs_f64() * MICROSECONDS
}
