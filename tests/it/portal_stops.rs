//! What a person stops at the portal while the broker or the key holders are away, or while the portal is killed: the
//! answer says what is done and what is not, and in the end all of it is.
//!
//! Must never take the portal's word for what is stopped: a desk looks whether anything still moves.

use crate::backup::{create, lose, run};
use crate::consent::{SUMMARY, Scene};
use crate::database::Beside;
use crate::house::{digits, reason, values};
use crate::laid::Laid;
use client::PortalCopy;
use rules::clock::{Clock as _, Random as _};
use rules::consent::ConsentState;
use rules::handover::State;
use rules::id::{HandoverId, PeerKind};
use rules::limits::DAY_MILLIS;
use rules::reason::Reason;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use wire::portal::v1 as message;
use wire::portal::v1::portal_service_client::PortalServiceClient;

/// How long the portal may take over what waits, once everybody is back.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Number of the person in the scene.
const WHO: usize = 40;

/// A person who is logged in at the portal.
pub(crate) struct Front {
    portal: PortalServiceClient<Channel>,
    session: Vec<u8>,
}

fn request_id() -> Vec<u8> {
    let mut octets = vec![0; 16];
    vault::chance::SystemChance::new().fill(&mut octets);
    octets
}

impl Front {
    /// Logs in; waits for a portal that is not open yet.
    async fn log_in(laid: &Laid) -> Self {
        let mut portal = PortalServiceClient::new(laid.connection("portal").channel());
        let assertion = format!("test:{}", digits(WHO));
        let begun = Instant::now();
        loop {
            let login = message::LoginRequest {
                assertion: assertion.clone(),
            };
            match portal.login(login).await {
                Ok(answer) => {
                    let session = answer.into_inner().session;
                    return Self { portal, session };
                }
                Err(status) => {
                    assert!(begun.elapsed() < DONE_WITHIN, "{status:?}");
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
        }
    }

    /// Says yes to everything that the vakbond may hand over, or no.
    async fn choose(&mut self, scene: &Scene<Laid>, refused: bool) -> message::GiveConsentResponse {
        let all = scene
            .statement("vakbond", PeerKind::Vakbond, "portal")
            .record;
        let categories = all.categories.iter().filter(|_| !refused);
        let now = gateway::clock::SystemClock.now();
        let request = message::GiveConsentRequest {
            session: self.session.clone(),
            request_id: request_id(),
            sender: all.sender.to_string(),
            recipient: all.recipient.to_string(),
            purpose: all.purpose.to_string(),
            categories: categories.map(ToString::to_string).collect(),
            valid_until_millis: now.plus_millis(20 * DAY_MILLIS).millis(),
            refused,
            secrecy_waived: !refused,
            language: "nl".to_owned(),
        };
        let answer = self.portal.give_consent(request).await;
        answer.unwrap().into_inner()
    }

    pub(crate) async fn overview(&mut self) -> message::GetOverviewResponse {
        let request = message::GetOverviewRequest {
            session: self.session.clone(),
            language: "en".to_owned(),
            ..message::GetOverviewRequest::default()
        };
        let answer = self.portal.get_overview(request).await;
        answer.unwrap().into_inner()
    }

    pub(crate) async fn states(&mut self) -> Vec<ConsentState> {
        let overview = self.overview().await;
        let consents = overview.consents.iter();
        consents
            .map(|consent| ConsentState::from_number(consent.state).unwrap())
            .collect()
    }

    async fn blocks(&mut self) -> Vec<message::Block> {
        let request = message::ListBlocksRequest {
            session: self.session.clone(),
            ..message::ListBlocksRequest::default()
        };
        let answer = self.portal.list_blocks(request).await;
        answer.unwrap().into_inner().blocks
    }

    pub(crate) async fn block(&mut self, oin: &str) -> message::BlockOrganisationResponse {
        let request = message::BlockOrganisationRequest {
            session: self.session.clone(),
            request_id: request_id(),
            party: format!("{oin}/main"),
        };
        let answer = self.portal.block_organisation(request).await;
        answer.unwrap().into_inner()
    }
}

/// A stage on which everybody runs, with a person who is logged in and said yes, and a handover on its way.
pub(crate) async fn stage() -> (Scene<Laid>, Front, HandoverId) {
    let laid = Laid::open().await;
    let scene = Scene::on(laid).await;
    let mut front = Front::log_in(&scene.house).await;
    front.choose(&scene, false).await;
    let offered = scene.prepare(&scene.who).await.unwrap();
    scene.union.offer(&offered, &values(SUMMARY)).await.unwrap();
    (scene, front, offered)
}

async fn state(scene: &Scene<Laid>, id: &HandoverId) -> i32 {
    let shown = scene.union.show(id).await.unwrap();
    shown.handover.unwrap().state
}

/// Waits until nothing that the person asked for is still to be done.
pub(crate) async fn until_done(front: &mut Front) {
    let begun = Instant::now();
    while front.overview().await.still_to_do_count > 0 {
        assert!(begun.elapsed() < DONE_WITHIN, "it is never done");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_ends_what_stands_without_key_holders_and_is_registered_later() {
    let (mut scene, mut front, offered) = stage().await;
    for holder in ["holder-1", "holder-2"] {
        scene.house.kill(holder);
    }
    let said = front.choose(&scene, true).await;
    assert_eq!((said.stopped_consents, said.still_to_do), (1, 1));
    assert!(said.statement_jws.is_empty());
    assert_eq!(state(&scene, &offered).await, State::Withdrawn.number());
    let overview = front.overview().await;
    assert_eq!(overview.still_to_do_count, 1);
    assert!(overview.still_to_do[0].sentence.contains("may not share"));
    // The portal is killed in the middle.
    scene.house.kill("portal");
    for name in ["holder-1", "holder-2", "portal"] {
        scene.house.start(name).await;
    }
    let mut front = Front::log_in(&scene.house).await;
    until_done(&mut front).await;
    let mut states = front.states().await;
    states.sort_by_key(|state| state.number());
    assert_eq!(states, [ConsentState::Withdrawn, ConsentState::Refused]);
    let refused = reason(scene.prepare(&scene.who).await);
    assert_eq!(refused, Reason::NotAvailable);
    // A yes after it stands again.
    front.choose(&scene, false).await;
    scene.prepare(&scene.who).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_undone_while_the_broker_is_away_is_finished_all_the_same() {
    let (mut scene, mut front, offered) = stage().await;
    let union = scene.house.identity("vakbond").oin;
    scene.house.kill("broker");
    let begun = Instant::now();
    let blocking = front.block(&union).await;
    assert_eq!((blocking.stopped_consents, blocking.still_to_do), (0, 1));
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "nobody waits for it"
    );
    let blocks = front.blocks().await;
    assert_eq!(
        (blocks.len(), blocks[0].party.clone()),
        (1, format!("{union}/main"))
    );
    let undo = message::UnblockOrganisationRequest {
        session: front.session.clone(),
        request_id: request_id(),
        block_id: blocks[0].block_id.clone(),
    };
    let undone = front.portal.unblock_organisation(undo).await.unwrap();
    let undone = undone.into_inner();
    assert!(undone.undone);
    assert_eq!(undone.still_to_do, 1);
    scene.house.kill("portal");
    for name in ["broker", "portal"] {
        scene.house.start(name).await;
    }
    let mut front = Front::log_in(&scene.house).await;
    until_done(&mut front).await;
    assert_eq!(front.states().await, [ConsentState::Withdrawn]);
    assert!(front.blocks().await.is_empty());
    assert_eq!(state(&scene, &offered).await, State::Withdrawn.number());
}

/// A line of the person that does not open: whoever has to open all of them gets no further.
const DAMAGE: &str = "INSERT INTO line (line_id, exchange_index, person_index, kind, sealed, created_at) \
     SELECT substr(exchange_index, 1, 16), exchange_index, person_index, 2, substr(exchange_index, 1, 16), created_at \
     FROM line LIMIT 1";
const MEND: &str = "DELETE FROM line WHERE line_id = sealed";

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_given_up_is_finished_without_the_person() {
    let (mut scene, mut front, offered) = stage().await;
    let mut portal = Beside::of(scene.house.home("portal")).await;
    assert_eq!(portal.execute(DAMAGE).await, 1);
    let union = scene.house.identity("vakbond").oin;
    let blocking = front.block(&union).await;
    assert_eq!((blocking.stopped_consents, blocking.still_to_do), (0, 1));
    assert_eq!(front.blocks().await[0].party, format!("{union}/main"));
    assert_eq!(state(&scene, &offered).await, State::Offered.number());
    scene.house.kill("portal");
    assert_eq!(portal.execute(MEND).await, 1);
    drop(portal);
    scene.house.start("portal").await;
    let begun = Instant::now();
    while state(&scene, &offered).await != State::Withdrawn.number() {
        assert!(begun.elapsed() < DONE_WITHIN, "it is never done");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let mut front = Front::log_in(&scene.house).await;
    assert_eq!(front.states().await, [ConsentState::Withdrawn]);
    assert_eq!(front.overview().await.still_to_do_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_put_back_has_its_blocks_refusals_and_stops() {
    let (mut scene, mut front, _) = stage().await;
    let folder = scene.house.beside("backup");
    let made = create(&scene.house, "portal", &folder).await;
    assert_eq!(made.code, 0, "{}", made.err);
    // Since then: a no, which stops, and a block.
    front.choose(&scene, true).await;
    let union = scene.house.identity("vakbond").oin;
    front.block(&union).await;
    // What lies at the broker follows by itself.
    let log = "the portal is open";
    // A stop, a refusal and a block.
    until_copied(&scene.house, 3).await;
    scene.house.kill("portal");
    lose(&scene.house, "portal");
    let back = run(&scene.house, "portal", &["restore"], &folder).await;
    assert_eq!(back.code, 0, "{}", back.err);
    scene.house.start("portal").await;
    scene.house.wait_for_log("portal", log).await;
    let mut front = Front::log_in(&scene.house).await;
    let mut states = front.states().await;
    states.sort_by_key(|state| state.number());
    assert_eq!(states, [ConsentState::Withdrawn, ConsentState::Refused]);
    assert_eq!(front.blocks().await[0].party, format!("{union}/main"));
    assert_eq!(front.overview().await.still_to_do_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_open_keeps_a_portal_shut_until_its_operator_decides() {
    let (mut scene, mut front, _) = stage().await;
    let folder = scene.house.beside("backup");
    let made = create(&scene.house, "portal", &folder).await;
    assert_eq!(made.code, 0, "{}", made.err);
    let union = scene.house.identity("vakbond").oin;
    front.block(&union).await;
    // A stop and a block.
    until_copied(&scene.house, 2).await;
    let strange = PortalCopy {
        name: [1; 16],
        sealed: vec![1; 4_096],
    };
    scene.portal.put_copies(&[strange]).await.unwrap();
    scene.house.kill("portal");
    lose(&scene.house, "portal");
    let back = run(&scene.house, "portal", &["restore"], &folder).await;
    assert_eq!(back.code, 0, "{}", back.err);
    scene.house.start("portal").await;
    let log = "1 copies at the broker do not open";
    scene.house.wait_for_log("portal", log).await;
    let mut portal = PortalServiceClient::new(scene.house.connection("portal").channel());
    let login = message::LoginRequest {
        assertion: format!("test:{}", digits(WHO)),
    };
    let refused = client::Refused::from_status(&portal.login(login).await.unwrap_err());
    assert_eq!(refused.reason, Some(Reason::Restoring));

    scene.house.kill("portal");
    let path = scene.house.home("portal").join("sluis.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("without_copies = 1\n{text}")).unwrap();
    scene.house.start("portal").await;
    let log = "the portal goes on without copies that do not open";
    scene.house.wait_for_log("portal", log).await;
    let mut front = Front::log_in(&scene.house).await;
    assert_eq!(front.blocks().await[0].party, format!("{union}/main"));
    assert_eq!(front.states().await, [ConsentState::Withdrawn]);
}

/// Waits until every copy has followed.
async fn until_copied(laid: &Laid, expected: i64) {
    let begun = Instant::now();
    loop {
        let mut portal = Beside::of(laid.home("portal")).await;
        let mut broker = Beside::of(laid.home("broker")).await;
        let due = portal.number("SELECT COUNT(*) FROM copy_due").await;
        let copies = broker.number("SELECT COUNT(*) FROM portal_copy").await;
        if due == 0 {
            assert_eq!(copies, expected);
            return;
        }
        assert!(begun.elapsed() < DONE_WITHIN, "copies do not follow");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_the_portals_alone_and_have_fixed_sizes() {
    let scene = Scene::set().await;
    let copy = |name: u8, bytes: usize| PortalCopy {
        name: [name; 16],
        sealed: vec![name; bytes],
    };
    let fits = [copy(250, 4_096), copy(251, 16_384)];
    assert_eq!(
        reason(scene.union.put_copies(&fits).await),
        Reason::RightMissing
    );
    for list in [
        scene.union.list_copies(None, 10, true).await,
        scene.desk.list_copies(None, 10, false).await,
    ] {
        assert_eq!(reason(list), Reason::RightMissing);
    }
    let taken = scene.union.take_copies(&[[250; 16]]).await;
    assert_eq!(reason(taken), Reason::RightMissing);
    for wrong in [0, 1, 4_095, 4_097, 20_480] {
        let put = scene.portal.put_copies(&[copy(252, wrong)]).await;
        assert_eq!(reason(put), Reason::InvalidRequest, "{wrong}");
    }
    let many: Vec<_> = (0..51).map(|name| copy(name, 4_096)).collect();
    assert_eq!(
        reason(scene.portal.put_copies(&many).await),
        Reason::InvalidRequest
    );
    scene.portal.put_copies(&fits).await.unwrap();
    // Once more under the same name: it is one.
    scene.portal.put_copies(&fits[..1]).await.unwrap();
    let behind = Some([249; 16]);
    let page = scene.portal.list_copies(behind, 1, false).await.unwrap();
    assert_eq!(page, fits[..1]);
    let rest = scene.portal.list_copies(Some([250; 16]), 10, true).await;
    let names: Vec<_> = rest.unwrap().into_iter().map(|copy| copy.name).collect();
    assert_eq!(names, [[251; 16]]);
    for limit in [0, 51] {
        let list = scene.portal.list_copies(None, limit, false).await;
        assert_eq!(reason(list), Reason::InvalidRequest, "{limit}");
    }
    let both = [[250; 16], [251; 16]];
    for _ in 0..2 {
        scene.portal.take_copies(&both).await.unwrap();
    }
    let left = scene.portal.list_copies(behind, 10, true).await.unwrap();
    assert!(left.is_empty());
}
