//! A handover from enrolment to report, and everything that bends it.
//!
//! Must never look at a database: what both sides and the officer are shown is what counts.

use crate::house::{
    DOSSIER, House, OUTCOME, SUMMARY, enrol, offer, preparation, reason, release, search, today,
    values,
};
use rules::handover::{CancelCode, DeclineCode, InboxKind, QuestionCode, ReturnCode, State};
use rules::id::{GroupId, HandoverId};
use rules::reason::Reason;
use wire::audit::v1::SearchEntriesRequest;

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_runs_from_enrolment_to_report_and_the_officer_can_trace_it() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let who = enrol(&uwv, "ww-1", 0).await;
    let handover = offer(&uwv, &who, &house.identity("neutraal")).await;

    let told = desk
        .inbox(Some(String::new()))
        .next()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((told.kind, told.handover), (InboxKind::Offered, handover));
    desk.ack(&handover).await.unwrap();
    let summary = desk.fetch_offer(&handover).await.unwrap();
    assert_eq!(summary.fields.len(), SUMMARY.len());
    assert!(summary.mismatched_labels.is_empty());
    assert_eq!(desk.accept(&handover).await.unwrap().state, State::Accepted);
    assert_eq!(
        reason(desk.fetch(&handover).await),
        Reason::StateForbidsEvent,
        "not released yet"
    );
    let released = release(&uwv, &handover).await.unwrap();
    assert_eq!(released.state, State::Released);

    let fetched = desk.fetch(&handover).await.unwrap();
    assert!(!fetched.known, "the desk never met this person");
    assert_eq!(fetched.fields.len(), DOSSIER.len());
    let again = desk.fetch(&handover).await.unwrap();
    assert_eq!(again.person, fetched.person, "one person, one key");
    assert_eq!(
        reason(desk.complete(&handover, "2022-03-01").await),
        Reason::ContactDateInvalid
    );
    assert_eq!(
        desk.complete(&handover, &today()).await.unwrap().state,
        State::Completed
    );
    assert_eq!(
        reason(desk.fetch(&handover).await),
        Reason::StateForbidsEvent,
        "it has ended"
    );
    desk.send_report(&handover, &values(OUTCOME)).await.unwrap();
    let report = uwv.fetch_report(&handover).await.unwrap();
    assert_eq!(report.person, Some(who), "beside its own person");
    assert_eq!(report.fields[0].value.expose(), OUTCOME[0].1.as_bytes());

    trace(&house, handover).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_person_is_the_same_person_by_every_sender_and_nobody_elses() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let town = house.client("regio").await;
    let desk = house.client("neutraal").await;
    let mut people = Vec::new();
    for (sender, name) in [(&uwv, "from-uwv"), (&town, "from-town")] {
        let who = enrol(sender, name, 7).await;
        let handover = offer(sender, &who, &house.identity("neutraal")).await;
        desk.accept(&handover).await.unwrap();
        release(sender, &handover).await.unwrap();
        people.push(desk.fetch(&handover).await.unwrap().person.unwrap());
    }
    assert_eq!(
        people[0], people[1],
        "two senders, one person at the recipient"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_ends_it_and_tells_the_other_side() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let to = house.identity("neutraal");
    let who = enrol(&uwv, "ww-2", 1).await;

    let declined = offer(&uwv, &who, &to).await;
    let receipt = desk
        .decline(&declined, DeclineCode::NoCapacity, None)
        .await
        .unwrap();
    assert_eq!(receipt.state, State::Declined);
    assert_eq!(
        reason(desk.accept(&declined).await),
        Reason::StateForbidsEvent
    );

    let returned = offer(&uwv, &who, &to).await;
    desk.accept(&returned).await.unwrap();
    let receipt = desk
        .return_handover(&returned, ReturnCode::Duplicate)
        .await
        .unwrap();
    assert_eq!(receipt.state, State::Returned);

    let cancelled = offer(&uwv, &who, &to).await;
    let receipt = uwv.cancel(&cancelled, CancelCode::Mistake).await.unwrap();
    assert_eq!(receipt.state, State::Cancelled);

    let changed = offer(&uwv, &who, &to).await;
    let held = desk
        .propose_change(&changed, QuestionCode::LaterStart, Some(&today()))
        .await
        .unwrap();
    assert_eq!(held.state, State::OnHold);
    uwv.show(&changed).await.unwrap();
    assert_eq!(
        uwv.accept_change(&changed).await.unwrap().state,
        State::Offered
    );
    desk.show(&changed).await.unwrap();
    desk.propose_change(&changed, QuestionCode::JointTalk, None)
        .await
        .unwrap();
    uwv.show(&changed).await.unwrap();
    assert_eq!(
        uwv.reject_change(&changed).await.unwrap().state,
        State::Cancelled
    );

    let mut told = Vec::new();
    let mut inbox = uwv.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        told.push(event.kind);
    }
    for kind in [
        InboxKind::Declined,
        InboxKind::Accepted,
        InboxKind::Returned,
        InboxKind::ChangeProposed,
    ] {
        assert!(told.contains(&kind), "{kind:?} in {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_group_at_most_one_is_released() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let town = house.client("regio").await;
    let who = enrol(&uwv, "ww-3", 2).await;
    let group = GroupId::from_slice(&[9; 16]);
    let mut ids = Vec::new();
    for name in ["neutraal", "regio"] {
        let asked = preparation(&house.identity(name), group);
        let prepared = uwv.prepare(&who, &asked).await.unwrap();
        uwv.offer(&prepared.receipt.handover, &values(SUMMARY))
            .await
            .unwrap();
        ids.push(prepared.receipt.handover);
    }
    desk.accept(&ids[0]).await.unwrap();
    town.accept(&ids[1]).await.unwrap();
    release(&uwv, &ids[0]).await.unwrap();
    let refused = release(&uwv, &ids[1]).await;
    assert_eq!(
        reason(refused),
        Reason::StateForbidsEvent,
        "the broker cancelled it"
    );
    let shown = town.show(&ids[1]).await.unwrap().handover.unwrap();
    assert_eq!(shown.code, "SUPERSEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_released_first_keeps_the_groups_place() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let town = house.client("regio").await;
    let who = enrol(&uwv, "ww-4", 17).await;
    let group = GroupId::from_slice(&[8; 16]);
    let mut ids = Vec::new();
    for (name, recipient) in [("neutraal", &desk), ("regio", &town)] {
        let asked = preparation(&house.identity(name), group);
        let prepared = uwv.prepare(&who, &asked).await.unwrap();
        let id = prepared.receipt.handover;
        uwv.offer(&id, &values(SUMMARY)).await.unwrap();
        recipient.accept(&id).await.unwrap();
        if ids.is_empty() {
            release(&uwv, &id).await.unwrap();
        }
        ids.push(id);
    }
    uwv.show(&ids[1]).await.unwrap();
    let mut dossier = values(DOSSIER);
    let number = crate::house::digits(17);
    dossier.extend(values(&[(crate::house::NUMBER, number.as_str())]));
    assert_eq!(
        reason(uwv.release(&ids[1], &dossier).await),
        Reason::StateForbidsEvent,
        "prepared after the first was released"
    );
    desk.fetch(&ids[0]).await.unwrap();
    desk.complete(&ids[0], &today()).await.unwrap();
    assert_eq!(
        reason(uwv.release(&ids[1], &dossier).await),
        Reason::StateForbidsEvent,
        "nor after it was completed"
    );
}

/// What the officer finds of a handover that went all the way.
async fn trace(house: &House, handover: HandoverId) {
    let officer = house.identity("officer").client().unwrap();
    let question = SearchEntriesRequest {
        handover_id: Some(handover.bytes().to_vec()),
        ..SearchEntriesRequest::default()
    };
    let found = search(&officer, question).await;
    let actions: Vec<_> = found
        .iter()
        .rev()
        .map(|entry| entry.action.as_str())
        .collect();
    let expected = [
        "Prepare",
        "Offer",
        "AckNotification",
        "FetchOffer",
        "Accept",
        "Fetch",
        "Release",
        "Fetch",
        "Fetch",
        "Complete",
        "Complete",
        "Fetch",
        "SendReport",
        "FetchReport",
    ];
    let steps: Vec<_> = actions
        .iter()
        .filter(|action| **action != "GetHandover")
        .copied()
        .collect();
    assert_eq!(steps, expected);
    let prepare = found
        .iter()
        .find(|entry| entry.action == "Prepare")
        .unwrap();
    let id = rules::id::EntryId::from_slice(&prepare.entry_id).unwrap();
    let entry = officer.show_entry(&id).await.unwrap();
    assert!(!entry.determining.is_empty() && entry.policy_set_sha256.len() == 32);
    assert!(prepare.article.contains("62"), "{}", prepare.article);
}
