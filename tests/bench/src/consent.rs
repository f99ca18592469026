//! A vakbond, its members, a recipient and the portal: those who hand over on consent.
//!
//! Must never use a member twice, nor a test number that another part uses.

use crate::desks::{fields, labels_of};
use client::{Client, PersonKey, Preparation};
use gateway::cli::identity::Identity;
use rules::clock::{Clock as _, Random as _};
use rules::id::{Label, Party};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::transport::Channel;
use vault::chance::SystemChance;
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_client::PortalServiceClient;

/// Categories that are agreed to.
const CATEGORIES: [&str; 4] = ["CONTACT", "IDENTITY", "TARGET_GROUP", "WORK"];
/// Milliseconds of a consent that stands during the whole run.
pub(crate) const LONG_MILLIS: i64 = 30 * 24 * 3_600_000;
/// Where in the line of test numbers the first member stands; the sandbox uses the beginning.
const FIRST_MEMBER: usize = 4_000;

pub(crate) fn summary() -> Vec<(Label, rules::secret::Secret<Vec<u8>>)> {
    fields(&[("werk.beroep", "Lasser"), ("werk.denkniveau", "2")])
}

pub(crate) fn dossier() -> Vec<(Label, rules::secret::Secret<Vec<u8>>)> {
    fields(&[
        ("identiteit.naam", "Famke Rietoever"),
        ("contact.telefoon", "06-00009998"),
        ("doelgroep.code", "WERKNEMER"),
    ])
}

/// Labels of a dossier on consent.
pub(crate) fn dossier_labels() -> Vec<Label> {
    labels_of(&dossier())
}

/// Vakbond, recipient and portal at work.
pub(crate) struct Scene {
    pub(crate) portal: PortalServiceClient<Channel>,
    pub(crate) union: Arc<Client>,
    pub(crate) desk: Arc<Client>,
    /// The joint officer, and a gemeente that takes part in nothing here.
    pub(crate) officer: Client,
    pub(crate) stranger: Client,
    union_party: String,
    pub(crate) union_oin: String,
    desk_party: String,
    pub(crate) preparation: Preparation,
    /// How many members there are already.
    members: AtomicUsize,
    numbers: Vec<String>,
}

impl Scene {
    pub(crate) async fn open(home: &Path, stores: &Path) -> Self {
        let identity = |name: &str| Identity::load(home, name).expect("an identity of the sandbox");
        let (union, desk) = (identity("vakbond"), identity("neutraal"));
        let open = |identity: &Identity| {
            let path = stores.join(format!("{}-consent.store", identity.name));
            Arc::new(identity.client_at(&path).expect("a client"))
        };
        let connection = identity("portal").connect_portal().expect("a connection");
        let to: Party = desk.party().parse().expect("a party");
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
                summary_labels: labels_of(&summary()),
                dossier_labels: dossier_labels(),
                group: None,
            },
            members: AtomicUsize::new(0),
            numbers: numbers(),
        };
        for client in [&scene.union, &scene.desk] {
            client.open_context().await.expect("a context");
        }
        scene
    }

    /// A new member, linked by a code: own key and session at the portal.
    pub(crate) async fn member(&self, name: &str) -> (PersonKey, Vec<u8>) {
        let member = self.members.fetch_add(1, Ordering::SeqCst);
        let number = self.numbers.get(member).expect("a test number");
        let mut portal = self.portal.clone();
        let assertion = format!("test:{number}");
        let login = portal.login(message::LoginRequest { assertion });
        let session = login.await.expect("a login").into_inner().session;
        let request = message::MakeLinkCodeRequest {
            session: session.clone(),
            oin: self.union_oin.clone(),
        };
        let made = portal.make_link_code(request);
        let code = made.await.expect("a link code").into_inner().code;
        let key = PersonKey::new(name).expect("a key");
        let code = code.parse().expect("a code");
        let redeemed = self.union.redeem_link(&key, &code).await;
        redeemed.expect("a link");
        (key, session)
    }

    /// Gives consent for so long, or refuses it.
    pub(crate) async fn choose(&self, session: &[u8], millis: Option<i64>) -> (Vec<u8>, String) {
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
        let mut portal = self.portal.clone();
        let given = portal.give_consent(request).await;
        let given = given.expect("a choice").into_inner();
        (given.record_id, given.stop_code)
    }
}

pub(crate) fn request_id() -> Vec<u8> {
    let mut octets = vec![0; 16];
    SystemChance::new().fill(&mut octets);
    octets
}

/// Test numbers that pass the eleven-test, from the middle of the range: other parts use its ends.
fn numbers() -> Vec<String> {
    (0..100_000_u32)
        .map(|last| format!("9999{last:05}"))
        .filter(|text| text.parse::<vault::pseudonym::Bsn>().is_ok())
        .skip(FIRST_MEMBER)
        .collect()
}
