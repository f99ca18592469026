//! Objection and restriction under statute stop release and fetch at once, and the officer decides.
//!
//! Must never pass because a timer ran: nothing here waits for time.

use crate::house::{House, enrol, offer, reason, release};
use rules::handover::{InboxKind, State};
use rules::id::Basis;
use rules::notice::AnswerCode;
use rules::reason::Reason;
use wire::handover::v1::ObjectionDecision;

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_stops_the_release_and_the_officer_lets_it_go_on() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let portal = house.identity("portal").client().unwrap();
    let officer = house.identity("uwv-fg").client().unwrap();
    let who = enrol(&uwv, "ww-1", 6).await;
    let handover = offer(&uwv, &who, &house.identity("neutraal")).await;
    desk.accept(&handover).await.unwrap();

    assert_eq!(reason(desk.object(&handover).await), Reason::RightMissing);
    portal.object(&handover).await.unwrap();
    assert_eq!(
        reason(release(&uwv, &handover).await),
        Reason::ObjectionPending
    );
    let shown = uwv.show(&handover).await.unwrap().handover.unwrap();
    assert!(
        shown.objection_pending && shown.deadline_millis.is_none(),
        "timers stand still"
    );

    officer
        .decide_objection(&handover, ObjectionDecision::Reject)
        .await
        .unwrap();
    let released = release(&uwv, &handover).await.unwrap();
    assert_eq!(released.state, State::Released);
    portal.restrict(&handover).await.unwrap();
    assert_eq!(
        reason(desk.fetch(&handover).await),
        Reason::ProcessingRestricted
    );
    officer
        .decide_objection(&handover, ObjectionDecision::LiftRestriction)
        .await
        .unwrap();
    desk.fetch(&handover).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upheld_objection_ends_it_and_the_notice_is_answered_with_a_signature() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let portal = house.identity("portal").client().unwrap();
    let officer = house.identity("uwv-fg").client().unwrap();
    let who = enrol(&uwv, "ww-1", 8).await;
    let handover = offer(&uwv, &who, &house.identity("neutraal")).await;
    desk.fetch_offer(&handover).await.unwrap();
    portal.object(&handover).await.unwrap();
    officer
        .decide_objection(&handover, ObjectionDecision::Uphold)
        .await
        .unwrap();
    desk.show(&handover).await.unwrap();
    assert_eq!(
        reason(desk.accept(&handover).await),
        Reason::StateForbidsEvent
    );

    let mut notice = None;
    let mut inbox = desk.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        if event.kind == InboxKind::Notice {
            notice = event.notice;
        }
    }
    let (notice, _) = notice.expect("the desk opened the summary, so it gets a notice");
    desk.ack_notice(&notice).await.unwrap();
    assert!(
        desk.answer_notice(&notice, AnswerCode::Retained, None)
            .await
            .is_err(),
        "no ground"
    );
    let ground: Basis = "ARCHIEFWET".parse().unwrap();
    desk.answer_notice(&notice, AnswerCode::Retained, Some(ground))
        .await
        .unwrap();
    let shown = uwv.show(&handover).await.unwrap();
    assert_eq!(shown.notices[0].ground, "ARCHIEFWET");
    assert_eq!(shown.notices[0].answer, AnswerCode::Retained.number());
    let stranger = house.client("elders").await;
    assert_eq!(
        reason(stranger.ack_notice(&notice).await),
        Reason::NotAvailable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_can_be_decided_after_its_handover_has_ended() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let portal = house.identity("portal").client().unwrap();
    let officer = house.identity("uwv-fg").client().unwrap();
    let joint = house.identity("officer").client().unwrap();
    let who = enrol(&uwv, "ww-1", 16).await;
    let to = house.identity("neutraal");
    let handover = offer(&uwv, &who, &to).await;
    portal.object(&handover).await.unwrap();
    uwv.show(&handover).await.unwrap();
    uwv.cancel(&handover, rules::handover::CancelCode::Mistake)
        .await
        .unwrap();
    let asked = crate::house::preparation(&to, None);
    assert_eq!(
        reason(uwv.prepare(&who, &asked).await),
        Reason::ObjectionPending
    );
    assert_eq!(
        reason(
            joint
                .decide_objection(&handover, ObjectionDecision::Reject)
                .await
        ),
        Reason::NoApplicablePermit,
        "who hands nobody over decides nothing"
    );
    officer
        .decide_objection(&handover, ObjectionDecision::Reject)
        .await
        .unwrap();
    offer(&uwv, &who, &to).await;
}
