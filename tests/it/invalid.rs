//! A consent that a controller finds invalid: everything on it ends as it does at a withdrawal, and whoever
//! opened something must erase it.
//!
//! Must never let anybody but a controller's officer learn whether there is such a consent.

use crate::consent::Scene;
use crate::house::{person, reason};
use rules::consent::ConsentState;
use rules::handover::{InboxKind, State};
use rules::id::{ConsentId, PeerKind};
use rules::notice::NoticeKind;
use rules::reason::Reason;

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_consent_ends_what_rests_on_it_and_calls_for_erasure() {
    let scene = Scene::set().await;
    let who = person("lid-2");
    scene.union.enrol_without_number(&who).await.unwrap();
    let given = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    scene.union.assist_consent(&who, &given).await.unwrap();
    let handover = scene.released(&who).await;
    scene.desk.fetch(&handover).await.unwrap();

    let record = given.record.id;
    let nobody = ConsentId::from_slice(&[0x77; 16]).unwrap();
    let other = scene.house.identity("uwv-fg").client().unwrap();
    for id in [&record, &nobody] {
        assert_eq!(
            reason(other.invalidate_consent(id).await),
            Reason::NotAvailable,
            "the officer of another organisation"
        );
        for desk in [&scene.desk, &scene.portal] {
            assert_eq!(
                reason(desk.invalidate_consent(id).await),
                Reason::RightMissing
            );
        }
    }
    let officer = scene.house.officer();
    assert_eq!(
        reason(officer.invalidate_consent(&nobody).await),
        Reason::NotAvailable
    );
    let found = officer.invalidate_consent(&record).await.unwrap();
    assert_eq!((found.ended_handovers, found.to_follow), (1, 1));
    assert_eq!(found.state, ConsentState::Invalidated);

    assert_eq!(
        reason(scene.desk.fetch(&handover).await),
        Reason::StateForbidsEvent
    );
    scene.house.settle().await;
    let shown = scene.desk.show(&handover).await.unwrap();
    let view = shown.handover.unwrap();
    assert_eq!(view.state, State::Cancelled.number());
    assert_eq!(view.code, "CONSENT_INVALIDATED");
    assert_eq!(shown.notices.len(), 1);
    assert_eq!(shown.notices[0].kind, NoticeKind::Erasure.number());
    let mut told = Vec::new();
    let mut inbox = scene.union.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        told.push((event.kind, event.handover));
    }
    assert!(told.contains(&(InboxKind::Cancelled, handover)));

    let standing = scene.portal.get_consent(&record).await.unwrap();
    assert_eq!(standing.record.state, ConsentState::Invalidated);
    assert_eq!(
        reason(officer.invalidate_consent(&record).await),
        Reason::ConsentNotActive,
        "once is for good"
    );
    // To the person who stops it, it has stopped: the code on paper is not a wrong one.
    let code = given.stop_code.clone().unwrap();
    let stopped = scene.union.withdraw_by_code(&code, None).await.unwrap();
    assert_eq!((stopped.ended_handovers, stopped.to_follow), (0, 0));
    let standing = scene.portal.get_consent(&record).await.unwrap();
    assert_eq!(standing.record.state, ConsentState::Invalidated, "as found");
    // The person may choose anew, and that is another record.
    let again = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    scene.union.assist_consent(&who, &again).await.unwrap();
    scene.released(&who).await;
}
