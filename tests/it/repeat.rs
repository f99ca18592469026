//! Repeats: the same request id gives the same outcome, whatever order or signature came with it; and what
//! came of an order alone is no outcome of the request.
//!
//! Must never send the repeat through the library: its outbox would not send one that was answered.

use crate::desk::{Desk, prepare_request, request_id};
use crate::existence::shape;
use crate::house::{
    DOSSIER, House, SUMMARY, bsn, decisions, enrol, offer, preparation, reason_of, values,
};
use client::PersonKey;
use gateway::clock::SystemClock;
use papers::paper::{NoticeAnswer, Signed};
use rules::clock::Clock as _;
use rules::handover::{CancelCode, InboxKind, State};
use rules::id::{HandoverId, NoticeId, OrderId};
use rules::limits::MINUTE_MILLIS;
use rules::notice::{AnswerCode, NoticeState};
use rules::pseudonym::Order;
use vault::pseudonym::Ciphertext;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;
use wire::pseudonym::v1::{RedeemLinkRequest, SignedVoucher};

type Service = HandoverServiceClient<tonic::transport::Channel>;

fn service(desk: &Desk) -> Service {
    HandoverServiceClient::new(desk.connection.channel())
}

/// A handover that was accepted, with what its sender needs to release it by hand.
pub(crate) struct Accepted {
    pub(crate) desk: Desk,
    pub(crate) who: PersonKey,
    pub(crate) handover: HandoverId,
    pub(crate) revision: i64,
    pub(crate) prepare: OrderId,
    pub(crate) vouchers: Vec<SignedVoucher>,
}

impl Accepted {
    /// Prepares twice under one request id, each time with another order, and goes on with the second.
    pub(crate) async fn begin(house: &House, number: usize) -> Self {
        let desk = Desk::of(house, "uwv").await;
        let recipient = house.client("neutraal").await;
        let to = house.identity("neutraal");
        let who = enrol(&desk.client, "ww-1", number).await;
        let asked = preparation(&to, None);
        let mut service = service(&desk);
        let mut answers = Vec::new();
        let request_id = request_id();
        for _ in 0..2 {
            let (order, ciphertext) = desk.prepare_order(&who, &asked).await;
            let id = order.id;
            let mut request = prepare_request(&asked, desk.signed(order), &ciphertext);
            request.request_id.clone_from(&request_id);
            let answer = service.prepare(request).await.unwrap().into_inner();
            answers.push((id, answer));
        }
        let (_, first) = &answers[0];
        let (prepare, second) = answers[1].clone();
        let receipt = second.receipt.unwrap();
        let handover = HandoverId::from_slice(&receipt.handover_id).unwrap();
        assert_eq!(
            first.receipt.as_ref().unwrap().handover_id,
            receipt.handover_id,
            "one request, one handover"
        );
        assert_ne!(first.vouchers, second.vouchers, "each order has its own");

        let request = desk
            .offer_request(handover, receipt.revision, &to, &values(SUMMARY))
            .await;
        service.offer(request).await.unwrap();
        let receipt = recipient.accept(&handover).await.unwrap();
        Self {
            desk,
            who,
            handover,
            revision: receipt.revision,
            prepare,
            vouchers: second.vouchers,
        }
    }

    /// The order HANDOVER that continues the PREPARE, unsigned.
    pub(crate) async fn order(&self, house: &House) -> (Order, Ciphertext) {
        let asked = preparation(&house.identity("neutraal"), None);
        self.desk
            .handover_order(&self.who, &asked, self.prepare)
            .await
    }

    /// The request to release with this order, signed as it is.
    pub(crate) async fn request(
        &self,
        house: &House,
        order: Order,
        ciphertext: &Ciphertext,
    ) -> message::ReleaseRequest {
        let signed = self.desk.signed(order);
        self.desk
            .release_request(
                (self.handover, self.revision),
                &house.identity("neutraal"),
                (signed, ciphertext),
                self.vouchers.clone(),
                &values(DOSSIER),
            )
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_prepare_is_one_handover_and_goes_all_the_way() {
    let house = House::start().await;
    let accepted = Accepted::begin(&house, 40).await;
    let mut service = service(&accepted.desk);
    let (order, ciphertext) = accepted.order(&house).await;
    let request = accepted.request(&house, order, &ciphertext).await;
    let released = service.release(request).await.unwrap().into_inner();
    assert_eq!(released.receipt.unwrap().state, State::Released.number());
    let recipient = house.client("neutraal").await;
    let fetched = recipient.fetch(&accepted.handover).await.unwrap();
    assert_eq!(fetched.fields.len(), DOSSIER.len());

    let own = accepted.desk.identity.oin.clone();
    let lines = decisions(&house.officer(), &own, "Prepare").await;
    assert_eq!(lines.len(), 2, "each call has its line");
    assert!(lines.iter().all(|(decision, _)| decision == "permitted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_prepare_about_something_else_is_refused() {
    let house = House::start().await;
    let desk = Desk::of(&house, "uwv").await;
    let who = enrol(&desk.client, "ww-1", 41).await;
    let mut service = service(&desk);
    let request_id = request_id();
    let asked = preparation(&house.identity("neutraal"), None);
    let mut other = asked.clone();
    other.dossier_labels.pop();
    for (asked, expected) in [(&asked, None), (&other, Some("REQUEST_ID_REUSED"))] {
        let (order, ciphertext) = desk.prepare_order(&who, asked).await;
        let mut request = prepare_request(asked, desk.signed(order), &ciphertext);
        request.request_id.clone_from(&request_id);
        let refused = service.prepare(request).await.err();
        let reason = refused.as_ref().map(reason_of);
        assert_eq!(reason.as_deref(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_expired_is_no_outcome_and_a_fresh_one_is_decided() {
    let house = House::start().await;
    let accepted = Accepted::begin(&house, 42).await;
    let mut service = service(&accepted.desk);
    let (fresh, ciphertext) = accepted.order(&house).await;
    let begun = fresh.not_before.plus_millis(-10 * MINUTE_MILLIS);
    let late = Order {
        not_before: begun,
        not_after: begun.plus_millis(2 * MINUTE_MILLIS),
        ..fresh.clone()
    };
    let late = accepted.request(&house, late, &ciphertext).await;
    let request_id = late.request_id.clone();
    let status = service.release(late).await.unwrap_err();
    assert_eq!(reason_of(&status), "ORDER_EXPIRED");
    let mut again = accepted.request(&house, fresh, &ciphertext).await;
    again.request_id.clone_from(&request_id);
    let first = service.release(again).await.unwrap().into_inner();

    // From now on it is a repeat, and the order has no say in it.
    let (another, ciphertext) = accepted.order(&house).await;
    let mut again = accepted.request(&house, another, &ciphertext).await;
    again.request_id = request_id;
    let second = service.release(again).await.unwrap().into_inner();
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_code_is_redeemed_by_one_request_and_its_repeats() {
    let house = House::start().await;
    let desk = Desk::of(&house, "vakbond").await;
    let portal = house.client("portal").await;
    let party = house.identity("vakbond").party().parse().unwrap();
    let (code, _) = portal.link(&bsn(44), &party).await.unwrap();
    let mut service = PseudonymServiceClient::new(desk.connection.channel());
    let redeem = |request_id: &[u8]| RedeemLinkRequest {
        request_id: request_id.to_vec(),
        code: code.canonical().to_owned(),
    };
    let id = request_id();
    let first = service.redeem_link(redeem(&id)).await.unwrap().into_inner();
    // More often than wrong codes may be tried: a repeat is none.
    for _ in 0..6 {
        let again = service.redeem_link(redeem(&id)).await.unwrap().into_inner();
        assert_eq!(again.conversion, first.conversion);
    }
    let other = service.redeem_link(redeem(&request_id())).await;
    assert_eq!(reason_of(&other.unwrap_err()), "NOT_AVAILABLE");
}

/// Two handovers of which the desk opened the summary, called off: their notices, and what they are about.
async fn notices(house: &House, recipient: &Desk) -> [(NoticeId, HandoverId); 2] {
    let uwv = house.client("uwv").await;
    let who = enrol(&uwv, "ww-1", 43).await;
    for _ in 0..2 {
        let handover = offer(&uwv, &who, &house.identity("neutraal")).await;
        recipient.client.fetch_offer(&handover).await.unwrap();
        uwv.show(&handover).await.unwrap();
        uwv.cancel(&handover, CancelCode::Mistake).await.unwrap();
    }
    let mut found = Vec::new();
    let mut inbox = recipient.client.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        if event.kind == InboxKind::Notice {
            found.push((event.notice.unwrap().0, event.handover));
        }
    }
    found.try_into().unwrap()
}

fn ack(request_id: &[u8], notice: NoticeId) -> message::AckNoticeRequest {
    message::AckNoticeRequest {
        request_id: request_id.to_vec(),
        notice_id: notice.bytes().to_vec(),
    }
}

fn answer(
    desk: &Desk,
    request_id: &[u8],
    notice: NoticeId,
    answer: AnswerCode,
) -> message::AnswerNoticeRequest {
    let ground = (answer == AnswerCode::Retained).then(|| "ARCHIEFWET".parse().unwrap());
    let paper = NoticeAnswer {
        notice,
        answer,
        ground,
        time: SystemClock.now(),
    };
    let signed = Signed::sign(paper, &desk.key);
    message::AnswerNoticeRequest {
        request_id: request_id.to_vec(),
        notice_id: notice.bytes().to_vec(),
        answer: signed.bytes().to_vec(),
        signature: signed.signature().bytes().to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receiving_and_answering_a_notice_keep_their_word() {
    let house = House::start().await;
    let desk = Desk::of(&house, "neutraal").await;
    let [(notice, _), (other, _)] = notices(&house, &desk).await;
    let mut service = service(&desk);
    let id = request_id();
    let first = service.ack_notice(ack(&id, notice)).await.unwrap();
    let first = first.into_inner();
    let state = |view: &Option<message::NoticeView>| view.as_ref().unwrap().state;
    assert_eq!(state(&first.notice), NoticeState::Received.number());

    let answer_id = request_id();
    let retained = || answer(&desk, &answer_id, notice, AnswerCode::Retained);
    let answered = service.answer_notice(retained()).await.unwrap();
    let answered = answered.into_inner();
    assert_eq!(state(&answered.notice), NoticeState::Answered.number());
    // A repeat gets what was true then, its promise included, and changes nothing.
    let again = service.ack_notice(ack(&id, notice)).await.unwrap();
    assert_eq!(again.into_inner(), first);
    let again = service.answer_notice(retained()).await.unwrap();
    assert_eq!(again.into_inner(), answered);

    let erased = answer(&desk, &answer_id, notice, AnswerCode::Erased);
    for (status, expected) in [
        (
            service.ack_notice(ack(&id, other)).await.unwrap_err(),
            "REQUEST_ID_REUSED",
        ),
        (
            service.answer_notice(erased).await.unwrap_err(),
            "REQUEST_ID_REUSED",
        ),
        (
            service
                .ack_notice(ack(&request_id(), notice))
                .await
                .unwrap_err(),
            "NOTICE_ANSWERED",
        ),
        (
            service
                .answer_notice(answer(&desk, &request_id(), notice, AnswerCode::Retained))
                .await
                .unwrap_err(),
            "NOTICE_ANSWERED",
        ),
    ] {
        assert_eq!(reason_of(&status), expected);
    }
    let own = desk.identity.oin.clone();
    let lines = decisions(&house.officer(), &own, "AnswerNotice").await;
    assert_eq!(lines.len(), 4, "each call has its line: {lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_is_anothers_is_answered_as_one_that_does_not_exist() {
    let house = House::start().await;
    let desk = Desk::of(&house, "neutraal").await;
    let [(notice, handover), _] = notices(&house, &desk).await;
    let unknown = NoticeId::from_slice(&[0x77; 16]).unwrap();
    // Neither a third organisation nor the handover's own sender has anything to answer.
    for name in ["elders", "uwv"] {
        let stranger = Desk::of(&house, name).await;
        let mut service = service(&stranger);
        let mut shapes = Vec::new();
        for asked in [notice, unknown] {
            let received = service.ack_notice(ack(&request_id(), asked)).await;
            let request = answer(&stranger, &request_id(), asked, AnswerCode::Erased);
            let answered = service.answer_notice(request).await;
            shapes.push(
                [received.unwrap_err(), answered.unwrap_err()].map(|status| {
                    assert_eq!(reason_of(&status), "NOT_AVAILABLE", "{name}");
                    shape(&status)
                }),
            );
        }
        assert_eq!(shapes[0], shapes[1], "{name}");
    }
    let shown = desk.client.show(&handover).await.unwrap();
    assert_eq!(shown.notices[0].state, NoticeState::Sent.number());
}
