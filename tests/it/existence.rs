//! Existence is hidden: an id that is unknown and one that is not the caller's get one answer, and so
//! do a person without consent and one whom nobody knows.
//!
//! Must never compare less than the whole status and its trailers.

use crate::cli::{in_days, said};
use crate::consent::{Scene, withdrawal};
use crate::database::Beside;
use crate::desk::{Desk, prepare_request};
use crate::house::{
    DOSSIER, House, SUMMARY, enrol, offer, preparation, program, values, without_number,
};
use client::PersonKey;
use rules::consent::{ConsentState, LinkCode, StatementEvent};
use rules::handover::State;
use rules::id::{HandoverId, PeerKind};
use tonic::Status;
use tonic_types::StatusExt as _;
use vault::chance::SystemChance;
use wire::consent::v1::RequestConsentRequest;
use wire::consent::v1::consent_service_client::ConsentServiceClient;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::pseudonym::v1::RedeemLinkRequest;
use wire::pseudonym::v1::pseudonym_service_client::PseudonymServiceClient;

/// The same request id in every case, on fresh databases: what differs then is the answer's own.
const REQUEST_ID: [u8; 16] = [0x5a; 16];

/// A status and its trailers with what may differ blanked: entry, promise and time are of fixed length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    code: tonic::Code,
    message: String,
    details_bytes: usize,
    reason: String,
    metadata: Vec<(String, usize)>,
    trailers: Vec<(String, usize)>,
}

pub(crate) fn shape(status: &Status) -> Shape {
    let details = status.get_error_details();
    let info = details.error_info().cloned().unwrap();
    let mut metadata: Vec<_> = info
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), value.len()))
        .collect();
    metadata.sort();
    let mut trailers: Vec<_> = status
        .metadata()
        .iter()
        .filter_map(|pair| match pair {
            tonic::metadata::KeyAndValueRef::Ascii(key, value) if key.as_str() != "date" => {
                Some((key.to_string(), value.len()))
            }
            tonic::metadata::KeyAndValueRef::Binary(key, value) => {
                Some((key.to_string(), value.as_encoded_bytes().len()))
            }
            tonic::metadata::KeyAndValueRef::Ascii(..) => None,
        })
        .collect();
    trailers.sort();
    Shape {
        code: status.code(),
        message: status.message().to_owned(),
        details_bytes: status.details().len(),
        reason: info.reason,
        metadata,
        trailers,
    }
}

/// Calls with the same request id, on a house in which `foreign` decides which id is asked about.
async fn ask(foreign: bool) -> Vec<Shape> {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let who = enrol(&uwv, "ww-1", 3).await;
    let theirs = offer(&uwv, &who, &house.identity("neutraal")).await;
    let id = if foreign {
        theirs
    } else {
        HandoverId::from_slice(&[0x77; 16]).unwrap()
    };
    let stranger = Desk::of(&house, "elders").await;
    let mut service = HandoverServiceClient::new(stranger.connection.channel());
    let (handover_id, request_id) = (id.bytes().to_vec(), REQUEST_ID.to_vec());
    let get = message::GetHandoverRequest {
        handover_id: handover_id.clone(),
        notices_after: Vec::new(),
    };
    let fetch = message::FetchRequest {
        handover_id: handover_id.clone(),
    };
    let accept = message::AcceptRequest {
        request_id: request_id.clone(),
        handover_id: handover_id.clone(),
        expected_revision: 2,
    };
    let cancel = message::CancelRequest {
        request_id: [0x5b; 16].to_vec(),
        handover_id,
        expected_revision: 2,
        code: message::CancelCode::Mistake.into(),
    };
    let fetch_offer = message::FetchOfferRequest {
        handover_id: id.bytes().to_vec(),
    };
    let (offer, release) = sends(&house, &stranger, id).await;
    let answers = [
        service.get_handover(get).await.unwrap_err(),
        service.fetch_offer(fetch_offer).await.unwrap_err(),
        service.fetch(fetch).await.unwrap_err(),
        service.accept(accept).await.unwrap_err(),
        service.cancel(cancel).await.unwrap_err(),
        service.offer(offer).await.unwrap_err(),
        service.release(release).await.unwrap_err(),
    ];
    let still = uwv.show(&theirs).await.unwrap().handover.unwrap();
    assert_eq!(
        still.state,
        State::Offered.number(),
        "a stranger changed nothing"
    );
    answers.iter().map(shape).collect()
}

/// An offer and a release by a stranger, each whole: about a person of its own, with real orders.
async fn sends(
    house: &House,
    stranger: &Desk,
    id: HandoverId,
) -> (message::OfferRequest, message::ReleaseRequest) {
    let to = house.identity("neutraal");
    let own = enrol(&stranger.client, "own-1", 5).await;
    let asked = preparation(&to, None);
    let (prepare, _) = stranger.prepare_order(&own, &asked).await;
    let (order, ciphertext) = stranger.handover_order(&own, &asked, prepare.id).await;
    let order = (stranger.signed(order), &ciphertext);
    let offer = stranger.offer_request(id, 1, &to, &values(SUMMARY)).await;
    let release = stranger
        .release_request((id, 4), &to, order, Vec::new(), &values(DOSSIER))
        .await;
    let request_id = |last: u8| {
        let mut octets = REQUEST_ID;
        octets[15] = last;
        octets.to_vec()
    };
    (
        message::OfferRequest {
            request_id: request_id(1),
            ..offer
        },
        message::ReleaseRequest {
            request_id: request_id(2),
            ..release
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_not_yours_are_one_answer() {
    let (unknown, foreign) = (ask(false).await, ask(true).await);
    assert_eq!(unknown, foreign);
    for answer in &unknown {
        assert_eq!(answer.reason, "NOT_AVAILABLE");
        assert_eq!(answer.code, tonic::Code::NotFound);
    }
}

/// Asks for a handover to the vakbond, for which the person's consent would be needed.
async fn ask_without_consent(enrolled: bool) -> (Option<rules::reason::Reason>, String) {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let who: PersonKey = if enrolled {
        enrol(&uwv, "ww-1", 4).await
    } else {
        crate::house::nobody(&uwv, "nobody")
    };
    let mut asked = without_number(preparation(&house.identity("vakbond"), None));
    asked.basis = "CONSENT".parse().unwrap();
    match uwv.prepare(&who, &asked).await {
        Err(client::ClientError::Refused(refused)) => (refused.reason, refused.message),
        other => panic!("was not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_consent_and_nobody_are_one_answer() {
    let (known, nobody) = (
        ask_without_consent(true).await,
        ask_without_consent(false).await,
    );
    assert_eq!(known, nobody);
    assert_eq!(known.0, Some(rules::reason::Reason::NotAvailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_finds_its_consent_over_is_refused_and_told_to_the_person() {
    let scene = Scene::set().await;
    let mut short = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    short.record.valid_until = short.record.valid_from.plus_millis(1_500);
    let given = scene.portal.register_consent(&scene.number, &short).await;
    given.unwrap();
    let prepared = scene.prepare(&scene.who).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_700)).await;
    let offered = scene.union.offer(&prepared, &values(SUMMARY)).await;
    // Whoever was allowed to prepare knows that there was a consent; so it is told what became of it.
    let expected = rules::reason::Reason::ConsentNotActive;
    assert_eq!(crate::house::reason(offered), expected);
    let mut command = std::process::Command::new(program());
    command.arg("--sandbox").arg(scene.house.path());
    let told = said(
        command.args(["overview", "--lang", "en"]),
        &crate::house::digits(40),
    );
    assert!(told.out.contains("could not go on"), "{}", told.out);
}

/// Somebody who gave consent and then blocked the vakbond, at the portal itself. In between the vakbond
/// prepared a handover, where that is asked for.
async fn blocked(scene: &Scene, is_open: bool) -> (PersonKey, Option<HandoverId>) {
    const NUMBER: &str = "999990020";
    let who = crate::house::person("blocked");
    scene.link(&who, &NUMBER.parse().unwrap()).await;
    let give = format!(
        "consent give --from vakbond --to neutraal {} --until {}",
        "--category IDENTITY --category WORK --category ROUTE --category CONTACT --category TARGET_GROUP",
        in_days(30)
    );
    let mut open = None;
    for words in [give.as_str(), "block vakbond"] {
        if is_open && words == "block vakbond" {
            open = Some(scene.prepare(&who).await.unwrap());
        }
        let mut command = std::process::Command::new(program());
        command.arg("--sandbox").arg(scene.house.path());
        let answer = said(command.args(words.split(' ')), NUMBER);
        assert_eq!(answer.code, 0, "{words}: {}", answer.err);
    }
    (who, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_want_of_consent_is_one_answer() {
    let scene = Scene::set().await;
    let nobody = crate::house::person("nobody");
    scene.union.enrol_without_number(&nobody).await.unwrap();
    let mut people = vec![("no consent", scene.who.clone()), ("nobody", nobody)];
    for (place, name) in ["refused", "withdrawn", "invalid", "expired"]
        .iter()
        .enumerate()
    {
        let (who, number) = (crate::house::person(name), crate::house::bsn(60 + place));
        scene.link(&who, &number).await;
        let mut statement = scene.statement("vakbond", PeerKind::Vakbond, "portal");
        if *name == "refused" {
            statement.record.state = ConsentState::Refused;
            statement.event = StatementEvent::Refused;
            statement.record.categories.clear();
            statement.record.special.clear();
            statement.record.waiver = None;
            statement.stop_code = None;
        }
        if *name == "expired" {
            statement.record.valid_until = statement.record.valid_from.plus_millis(1_500);
        }
        let given = scene.portal.register_consent(&number, &statement).await;
        given.unwrap();
        if *name == "withdrawn" {
            let stop = withdrawal(&statement, 2);
            scene.portal.withdraw_consent(&stop).await.unwrap();
        }
        if *name == "invalid" {
            let officer = scene.house.officer();
            officer
                .invalidate_consent(&statement.record.id)
                .await
                .unwrap();
        }
        people.push((*name, who));
    }
    people.push(("blocked", blocked(&scene, false).await.0));
    let standing = crate::house::person("standing");
    scene.link(&standing, &crate::house::bsn(70)).await;
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let number = crate::house::bsn(70);
    let given = scene.portal.register_consent(&number, &given).await;
    given.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_700)).await;
    let desk = Desk::with(&scene.house, "vakbond", scene.union.clone());
    let mut service = HandoverServiceClient::new(desk.connection.channel());
    let mut answers = Vec::new();
    for (name, who) in &people {
        let (order, ciphertext) = desk.prepare_order(who, &scene.asked()).await;
        let request = prepare_request(&scene.asked(), desk.signed(order), &ciphertext);
        answers.push((name, shape(&service.prepare(request).await.unwrap_err())));
    }
    assert_eq!(answers.len(), 7);
    for (name, answer) in &answers {
        assert_eq!(answer, &answers[0].1, "{name}");
        assert_eq!(answer.reason, "NOT_AVAILABLE");
    }
    // In the same house, by the same desk, somebody's consent stands: it is consent that was wanting.
    scene.prepare(&standing).await.unwrap();
    people.push(("standing", standing));
    check_questions(&scene, &desk, &people).await;
}

/// Whoever is asked for consent, whether or not there is one: asked, and nothing more.
async fn check_questions(scene: &Scene, desk: &Desk, people: &[(&str, PersonKey)]) {
    let asked = scene.asked();
    let mut service = ConsentServiceClient::new(desk.connection.channel());
    let mut answers = Vec::new();
    for (_, who) in people {
        let (order, ciphertext) = desk.prepare_order(who, &asked).await;
        let question = RequestConsentRequest {
            request_id: crate::desk::request_id(),
            recipient: asked.recipient.to_string(),
            purpose: asked.purpose.to_string(),
            categories: vec!["WORK".to_owned()],
            order: Some(desk.signed(order)),
            ciphertext: ciphertext.bytes().to_vec(),
        };
        let answer = service.request_consent(question).await.unwrap();
        let mut header: Vec<_> = answer
            .metadata()
            .keys()
            .map(|key| format!("{key:?}"))
            .collect();
        header.sort();
        let answer = answer.into_inner();
        let promise = answer.promise.unwrap();
        answers.push((
            header,
            answer.question_id.len(),
            promise.entry_id.len(),
            promise.leaf_sha256.len(),
            promise.signature.len(),
        ));
    }
    for ((name, _), answer) in people.iter().zip(&answers) {
        assert_eq!(answer, &answers[0], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_handover_of_a_consent_that_ended_says_how_it_stands_and_not_why() {
    let scene = Scene::set().await;
    let union = Desk::with(&scene.house, "vakbond", scene.union.clone());
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let registered = scene.portal.register_consent(&scene.number, &given).await;
    registered.unwrap();
    let withdrawn = scene.prepare(&scene.who).await.unwrap();
    let stop = withdrawal(&given, 2);
    scene.portal.withdraw_consent(&stop).await.unwrap();
    let (_, open) = blocked(&scene, true).await;
    let to = scene.house.identity("neutraal");
    let mut service = HandoverServiceClient::new(union.connection.channel());
    let mut answers = Vec::new();
    for id in [withdrawn, open.unwrap()] {
        let offer = union.offer_request(id, 2, &to, &values(SUMMARY)).await;
        let fetch = message::FetchRequest {
            handover_id: id.bytes().to_vec(),
        };
        let shown = scene.union.show(&id).await.unwrap().handover.unwrap();
        answers.push((
            shape(&service.offer(offer).await.unwrap_err()),
            shape(&service.fetch(fetch).await.unwrap_err()),
            (shown.state, shown.revision, shown.code),
        ));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].2.0, State::Withdrawn.number());
}

#[tokio::test(flavor = "multi_thread")]
async fn link_codes_that_are_none_used_foreign_or_old_are_one_answer() {
    let scene = Scene::set().await;
    let desk = Desk::with(&scene.house, "vakbond", scene.union.clone());
    let stranger = Desk::of(&scene.house, "regio").await;
    let to = scene.union.party().clone();
    let code = async || scene.portal.link(&scene.number, &to).await.unwrap().0;
    let (used, foreign, old) = (code().await, code().await, code().await);
    scene.union.redeem_link(&scene.who, &used).await.unwrap();
    let mut database = Beside::of(&scene.house.path().join("processes/broker")).await;
    let none = LinkCode::draw(&SystemChance::new());
    let mut answers = Vec::new();
    for (name, desk, code) in [
        ("none", &desk, &none),
        ("used", &desk, &used),
        ("foreign", &stranger, &foreign),
        ("old", &desk, &old),
    ] {
        if name == "old" {
            let made_old = database
                .execute("UPDATE link_code SET expires_at = 1")
                .await;
            assert!(made_old >= 1);
        }
        let mut service = PseudonymServiceClient::new(desk.connection.channel());
        let request = RedeemLinkRequest {
            request_id: crate::desk::request_id(),
            code: code.canonical().to_owned(),
        };
        let status = service.redeem_link(request).await.unwrap_err();
        answers.push((name, shape(&status)));
    }
    for (name, answer) in &answers {
        assert_eq!(answer, &answers[0].1, "{name}");
        assert_eq!(answer.reason, "NOT_AVAILABLE", "{name}");
    }
}
