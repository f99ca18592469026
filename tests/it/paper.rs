//! Signed orders, byte by byte: one that was changed anywhere converts nothing.
//!
//! Must never pass because the unchanged order would have been refused as well: that one is sent too.

use crate::desk::{Desk, enrol_request, prepare_request, request_id};
use crate::house::{House, bsn, decisions, enrol, preparation, reason_of};
use crate::repeat::Accepted;
use rules::pseudonym::Order;
use rules::reason::Reason;
use wire::handover::v1::ReleaseRequest;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::pseudonym::v1::SignedOrder;
use wire::pseudonym::v1::enrol_result::Outcome;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;

/// The bit that is turned in each octet; any would do.
const BIT: u8 = 0x01;
/// Of a PREPARE, each octet with a place that is a multiple of this is turned: each is a call of its own.
const STEP: usize = 7;

/// The paper with one octet turned.
fn turned(octets: &[u8], place: usize) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[place] ^= BIT;
    octets
}

/// A refusal must say one of the reasons about orders and points, not just any.
fn check_reason(what: &str, code: &str) {
    let reason = Reason::from_code(code).unwrap_or_else(|| panic!("{what}: `{code}`"));
    let expected = [
        Reason::OrderMalformed,
        Reason::OrderSignatureInvalid,
        Reason::OrderForbidden,
        Reason::OrderCiphertextMismatch,
        Reason::ActingForAnother,
        Reason::PointInvalid,
        Reason::OrderParentInvalid,
        Reason::ManifestDigestMismatch,
    ];
    assert!(expected.contains(&reason), "{what}: {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_that_was_changed_in_any_octet_converts_nothing() {
    let house = House::start().await;
    let uwv = Desk::of(&house, "uwv").await;
    let (order, ciphertext) = uwv.enrolment(&bsn(20)).await;
    let whole = uwv.signed(order);
    let SignedOrder { order, signature } = whole.clone();
    let point = ciphertext.bytes().to_vec();
    let mut items = Vec::new();
    let mut names = Vec::new();
    for place in 0..order.len() {
        let order = turned(&order, place);
        let signature = signature.clone();
        items.push((SignedOrder { order, signature }, point.clone()));
        names.push(format!("order octet {place}"));
    }
    for place in 0..signature.len() {
        let signature = turned(&signature, place);
        let order = order.clone();
        items.push((SignedOrder { order, signature }, point.clone()));
        names.push(format!("signature octet {place}"));
    }
    for place in 0..point.len() {
        items.push((whole.clone(), turned(&point, place)));
        names.push(format!("ciphertext octet {place}"));
    }
    items.push((whole, point));
    let mut service = PseudonymServiceClient::new(uwv.connection.channel());
    let answer = service.enrol(enrol_request(items)).await.unwrap();
    let mut results = answer.into_inner().results;
    assert_eq!(results.len(), names.len() + 1);
    let last = results.pop().unwrap().outcome;
    assert!(
        matches!(last, Some(Outcome::Conversion(_))),
        "the unchanged order is carried out"
    );
    for (name, result) in names.iter().zip(results) {
        match result.outcome {
            Some(Outcome::RefusedReason(code)) => check_reason(name, &code),
            other => panic!("{name} was not refused: {}", other.is_some()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preparation_that_was_changed_in_any_octet_converts_nothing() {
    let house = House::start().await;
    let uwv = Desk::of(&house, "uwv").await;
    let who = enrol(&uwv.client, "ww-1", 21).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let (order, ciphertext) = uwv.prepare_order(&who, &asked).await;
    let whole = uwv.signed(order);
    let mut changed: Vec<(String, SignedOrder)> = Vec::new();
    for place in (0..whole.order.len()).step_by(STEP) {
        let order = turned(&whole.order, place);
        let signature = whole.signature.clone();
        let name = format!("order octet {place}");
        changed.push((name, SignedOrder { order, signature }));
    }
    for place in 0..whole.signature.len() {
        let signature = turned(&whole.signature, place);
        let order = whole.order.clone();
        let name = format!("signature octet {place}");
        changed.push((name, SignedOrder { order, signature }));
    }
    let sent = changed.len();
    let mut service = HandoverServiceClient::new(uwv.connection.channel());
    for (name, order) in changed {
        let request = prepare_request(&asked, order, &ciphertext);
        let status = service.prepare(request).await.unwrap_err();
        check_reason(&name, &reason_of(&status));
    }
    let request = prepare_request(&asked, whole, &ciphertext);
    service.prepare(request).await.unwrap();

    let lines = decisions(&house.officer(), &uwv.identity.oin, "Prepare").await;
    assert_eq!(lines.len(), sent + 1, "each has its line");
    let permitted = lines.iter().filter(|(_, code)| code.is_empty()).count();
    assert_eq!(permitted, 1, "the unchanged one alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_changed_in_any_octet_releases_nothing() {
    let house = House::start().await;
    let accepted = Accepted::begin(&house, 44).await;
    let (order, ciphertext) = accepted.order(&house).await;
    let whole = accepted.request(&house, order, &ciphertext).await;
    let mut changed: Vec<(String, ReleaseRequest)> = Vec::new();
    let signed = whole.order.clone().unwrap();
    for place in (0..signed.order.len()).step_by(STEP) {
        let mut request = whole.clone();
        request.order.as_mut().unwrap().order = turned(&signed.order, place);
        changed.push((format!("order octet {place}"), request));
    }
    for place in (0..signed.signature.len()).step_by(STEP) {
        let mut request = whole.clone();
        request.order.as_mut().unwrap().signature = turned(&signed.signature, place);
        changed.push((format!("signature octet {place}"), request));
    }
    for place in (0..whole.ciphertext.len()).step_by(STEP) {
        let mut request = whole.clone();
        request.ciphertext = turned(&whole.ciphertext, place);
        changed.push((format!("ciphertext octet {place}"), request));
    }
    let sent = changed.len();
    let mut service = HandoverServiceClient::new(accepted.desk.connection.channel());
    for (name, mut request) in changed {
        request.request_id = request_id();
        let status = service.release(request).await.unwrap_err();
        check_reason(&name, &reason_of(&status));
    }
    service.release(whole).await.unwrap();

    let own = &accepted.desk.identity.oin;
    let lines = decisions(&house.officer(), own, "Release").await;
    assert_eq!(lines.len(), sent + 1, "each has its line");
    let permitted = lines.iter().filter(|(_, code)| code.is_empty()).count();
    assert_eq!(permitted, 1, "the unchanged one alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_releases_in_anothers_name() {
    let house = House::start().await;
    let accepted = Accepted::begin(&house, 45).await;
    let mut service = HandoverServiceClient::new(accepted.desk.connection.channel());
    let (order, ciphertext) = accepted.order(&house).await;
    let other = house.identity("regio");
    for (what, order) in [
        (
            "another organisation",
            Order {
                issuer: other.oin.parse().unwrap(),
                ..order.clone()
            },
        ),
        (
            "another desk",
            Order {
                desk: "another-desk".parse().unwrap(),
                ..order.clone()
            },
        ),
    ] {
        let request = accepted.request(&house, order, &ciphertext).await;
        let status = service.release(request).await.unwrap_err();
        assert_eq!(reason_of(&status), "ACTING_FOR_ANOTHER", "{what}");
    }
    let request = accepted.request(&house, order, &ciphertext).await;
    service.release(request).await.unwrap();
}
