//! What somebody had stopped came again after a restoration and does not open: until the joint officer decides, nothing
//! of that organisation is decided but stops, and the portal's keeps the door shut.
//!
//! Must never start the portal's server: its own store knows nothing of what these tests stop as the portal.

use crate::backup::{create, door, put_back};
use crate::consent::Scene;
use crate::desk::request_id;
use crate::house::{lines, reason, reason_of};
use crate::laid::Laid;
use client::Connection;
use rules::id::PeerKind;
use rules::reason::Reason;
use wire::consent::v1::WithdrawConsentRequest;
use wire::consent::v1::consent_service_client::ConsentServiceClient;
use wire::consent::v1::withdraw_consent_request::Consent as Which;
use wire::handover::v1::ObjectToHandoverRequest;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

const UNION: &str = "00000099000000005000";
const PORTAL: &str = "00000099000000007000";
const UWV: &str = "00000099000000001000";

/// A vakbond's stop that comes again and does not open.
async fn union_again(union: &Connection) -> String {
    let request = WithdrawConsentRequest {
        request_id: request_id(),
        consent: Some(Which::SealedSubject(vec![9; 88])),
        source_sha256: Vec::new(),
    };
    let mut service = ConsentServiceClient::new(union.channel());
    let refused = service.withdraw_consent(request).await.unwrap_err();
    reason_of(&refused)
}

/// An objection that the portal sends again and that does not open.
async fn portal_again(portal: &Connection) -> String {
    let request = ObjectToHandoverRequest {
        request_id: request_id(),
        handover_id: vec![5; 16],
        sealed_person: vec![9; 120],
    };
    let mut service = HandoverServiceClient::new(portal.channel());
    let refused = service.object_to_handover(request).await.unwrap_err();
    reason_of(&refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_does_not_open_keeps_out_whose_it_was_until_the_joint_officer_decides() {
    let mut laid = Laid::lay();
    for name in ["holder-1", "holder-2", "broker"] {
        laid.start(name).await;
    }
    let mut scene = Scene::on(laid).await;
    let [union, portal] =
        ["vakbond", "portal"].map(|name| scene.house.identity(name).connect().unwrap());
    let uwv = scene.house.client("uwv").await;
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let registered = scene.portal.register_consent(&scene.number, &given).await;
    registered.unwrap();
    let handover = scene.prepare(&scene.who).await.unwrap();
    // Where nothing was put back, what does not open is refused and bars nobody.
    assert_eq!(union_again(&union).await, "INVALID_REQUEST");
    scene.union.show(&handover).await.unwrap();

    let folder = scene.house.beside("backup");
    assert_eq!(create(&scene.house, "broker", &folder).await.code, 0);
    put_back(&mut scene.house, &folder).await;
    assert_eq!(union_again(&union).await, "INVALID_REQUEST");
    assert_eq!(portal_again(&portal).await, "INVALID_REQUEST");
    decide_about_the_portal(&scene.house);
    let (code, text) = door(&scene.house, &["open"], "operator");
    assert_eq!(code, 0, "{text}");

    // The others are served; the vakbond is not, but for what stops something.
    uwv.show(&handover).await.unwrap_err();
    let refused = scene.union.show(&handover).await;
    assert_eq!(reason(refused), Reason::StopUnreadable);
    let refused = scene.prepare(&scene.who).await;
    assert_eq!(reason(refused), Reason::StopUnreadable);
    let code = given.stop_code.clone().unwrap();
    let stopped = scene.union.withdraw_by_code(&code, None).await.unwrap();
    assert_eq!(stopped.ended_handovers, 1);
    let (code, text) = door(&scene.house, &["show"], "operator");
    assert_eq!(code, 0);
    assert!(text.contains("the door is open"), "{text}");
    assert!(text.contains(&format!("accept {UNION}")), "{text}");
    let (code, text) = door(&scene.house, &["accept", UNION], "officer");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the door is open"), "{text}");
    scene.union.show(&handover).await.unwrap();

    let officer = scene.house.officer();
    let found = lines(&officer, UNION).await;
    let findings = found
        .iter()
        .filter(|line| line.finding == "STOP_UNREADABLE");
    assert_eq!(findings.count(), 2);
    let accepted = lines(&officer, "00000099000000006000").await;
    let accepted = accepted
        .iter()
        .filter(|line| line.action == "AcceptUnreadable");
    assert_eq!(
        accepted.count(),
        3,
        "two decisions, and a refusal of its own"
    );
}

/// Both wait for a decision, and only the joint officer makes one; the portal's keeps the door shut till then.
fn decide_about_the_portal(laid: &Laid) {
    let accept = |organisation, who| door(laid, &["accept", organisation], who);
    let (code, text) = door(laid, &["open"], "operator");
    assert_eq!(code, 1, "the portal speaks for everybody: {text}");
    assert!(text.contains("STOP_UNREADABLE"), "{text}");
    for who in ["operator", "officer"] {
        let (_, text) = door(laid, &["show"], who);
        for organisation in [UNION, PORTAL] {
            assert!(text.contains(&format!("accept {organisation}")), "{text}");
        }
    }
    let (_, text) = door(laid, &["show"], "uwv");
    assert!(!text.contains(UNION), "only those two hear whose: {text}");
    let (code, text) = accept(PORTAL, "operator");
    assert_eq!(code, 1);
    assert!(text.contains("RIGHT_MISSING"), "{text}");
    let (code, text) = accept(UWV, "officer");
    assert_eq!(code, 1);
    assert!(text.contains("nothing that waits"), "{text}");
    let (code, text) = accept(PORTAL, "officer");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the door is shut"), "others miss: {text}");
}
