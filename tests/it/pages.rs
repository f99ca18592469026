//! What can grow without end is told in pages, and the client library reads them all.
//!
//! Must never make so many rows by calls that a limit of another kind is what is tried.

use crate::database::Beside;
use crate::desk::Desk;
use crate::house::{House, enrol, offer, release};
use rules::notice::NoticeKind;
use wire::handover::v1::GetHandoverRequest;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

/// Notices beside the one that was sent: one more than a page has.
const COPIES: u8 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn notices_about_a_handover_come_in_pages() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let who = enrol(&uwv, "ww-1", 21).await;
    let handover = offer(&uwv, &who, &house.identity("neutraal")).await;
    desk.accept(&handover).await.unwrap();
    release(&uwv, &handover).await.unwrap();
    desk.fetch(&handover).await.unwrap();
    uwv.send_notice(&handover, NoticeKind::Erasure)
        .await
        .unwrap();
    let mut beside = Beside::of(&house.path().join("processes/broker")).await;
    for number in 1..=COPIES {
        let name = [[0xff; 15].as_slice(), &[number]].concat();
        let copied = beside.execute_with(
            "INSERT INTO notice (notice_id, handover_id, recipient_tag, kind, state, sent_at, due_at, body) \
             SELECT $1, handover_id, recipient_tag, kind, state, sent_at, due_at, body FROM notice LIMIT 1",
            &name,
        );
        assert_eq!(copied.await, 1);
    }
    beside.close().await;

    let recipient = Desk::with(&house, "neutraal", desk.clone());
    let mut service = HandoverServiceClient::new(recipient.connection.channel());
    let mut after = Vec::new();
    for (rows, more) in [(100, true), (1, false)] {
        let page = GetHandoverRequest {
            handover_id: handover.bytes().to_vec(),
            notices_after: after,
        };
        let page = service.get_handover(page).await.unwrap().into_inner();
        assert_eq!((page.notices.len(), page.more_notices), (rows, more));
        after = page.notices.last().unwrap().notice_id.clone();
    }
    for client in [&uwv, &desk] {
        let notices = client.show(&handover).await.unwrap().notices;
        let mut ids: Vec<_> = notices.iter().map(|notice| &notice.notice_id).collect();
        assert!(ids.is_sorted());
        ids.dedup();
        assert_eq!(ids.len(), usize::from(COPIES) + 1);
    }
}
