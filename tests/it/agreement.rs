//! The agreement at every step: an edge that ends stops what goes on and nothing that ends, its own times
//! count, and aftercare follows a completed handover.
//!
//! Must never change a directory without all its signatures: then only those would be tested.

use crate::controllers::{Controllers, directory, directory_text, write_signatures};
use crate::desk::{Desk, key_of};
use crate::house::{House, enrol, offer, preparation, reason, release, today};
use crate::laid::Laid;
use client::Client;
use gateway::cli::identity::Identity;
use rules::directory::{DirectoryFile, EdgeFile, EdgeTimers};
use rules::handover::{CancelCode, DeclineCode, QuestionCode, ReturnCode, State};
use rules::hex;
use rules::limits::HOUR_MILLIS;
use rules::reason::Reason;
use vault::sign::Paper;

/// Puts a changed directory in force at the broker.
async fn import(house: &House, change: impl FnOnce(&mut DirectoryFile)) {
    let mut file = directory(house);
    file.version += 1;
    change(&mut file);
    let content = directory_text(&file).into_bytes();
    let signatures = Controllers::of(house).sign_directory(&content);
    let operator = house.identity("operator").client().unwrap();
    operator
        .import_directory(content, signatures)
        .await
        .unwrap();
}

/// Whether an edge is the one from this party to that one.
fn is_between(edge: &EdgeFile, from: &Identity, to: &Identity) -> bool {
    edge.from == from.party() && edge.to == to.party()
}

/// Signs an edge anew for both.
fn sign(edge: &mut EdgeFile, from: &Identity, to: &Identity) {
    let bytes = edge.signed_bytes();
    let signature = |identity| hex::encode(key_of(identity).sign(Paper::Edge, &bytes).bytes());
    edge.from_signature = signature(from);
    edge.to_signature = signature(to);
    edge.from_desk.clone_from(&from.desk);
    edge.to_desk.clone_from(&to.desk);
}

async fn state(client: &Client, handover: &rules::id::HandoverId) -> State {
    let shown = client.show(handover).await.unwrap().handover.unwrap();
    State::from_number(shown.state).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_ended_stops_what_goes_on_and_nothing_that_ends() {
    let house = House::start().await;
    let uwv = Desk::of(&house, "uwv").await;
    let desk = Desk::of(&house, "neutraal").await;
    let who = enrol(&uwv.client, "ww-1", 46).await;
    let to = house.identity("neutraal");
    let mut offered = Vec::new();
    for _ in 0..6 {
        offered.push(offer(&uwv.client, &who, &to).await);
    }
    let [plain, second, held, accepted, released, called_off] = offered[..] else {
        panic!("six were offered")
    };
    desk.client
        .propose_change(&held, QuestionCode::JointTalk, None)
        .await
        .unwrap();
    for handover in [&accepted, &released] {
        desk.client.accept(handover).await.unwrap();
    }
    release(&uwv.client, &released).await.unwrap();
    for handover in [&held, &called_off] {
        uwv.client.show(handover).await.unwrap();
    }
    desk.client.show(&released).await.unwrap();

    import(&house, |file| {
        file.edges
            .retain(|edge| !is_between(edge, &uwv.identity, &desk.identity));
    })
    .await;
    let refusals = [
        ("accept", reason(desk.client.accept(&plain).await)),
        (
            "propose",
            reason(
                desk.client
                    .propose_change(&second, QuestionCode::JointTalk, None)
                    .await,
            ),
        ),
        (
            "accept change",
            reason(uwv.client.accept_change(&held).await),
        ),
        ("fetch", reason(desk.client.fetch(&released).await)),
        (
            "complete",
            reason(desk.client.complete(&released, &today()).await),
        ),
    ];
    for (what, refused) in refusals {
        assert_eq!(refused, Reason::NoAgreement, "{what}");
    }
    assert_eq!(state(&desk.client, &released).await, State::Released);
    // What ends a handover is never refused for a lost agreement.
    desk.client
        .decline(&plain, DeclineCode::NotCompetent, None)
        .await
        .unwrap();
    desk.client
        .return_handover(&released, ReturnCode::NotCompetent)
        .await
        .unwrap();
    uwv.client.reject_change(&held).await.unwrap();
    uwv.client
        .cancel(&called_off, CancelCode::NoLongerNeeded)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_that_two_parties_agreed_on_count() {
    let house = House::start().await;
    let uwv = Desk::of(&house, "uwv").await;
    let desk = Desk::of(&house, "neutraal").await;
    let who = enrol(&uwv.client, "ww-1", 47).await;
    let asked = preparation(&house.identity("neutraal"), None);
    let hours = async || {
        let prepared = uwv.client.prepare(&who, &asked).await.unwrap();
        let handover = prepared.receipt.handover;
        let shown = uwv.client.show(&handover).await.unwrap().handover.unwrap();
        (shown.deadline_millis.unwrap() - shown.prepared_millis) / HOUR_MILLIS
    };
    assert_eq!(hours().await, 24, "as the register has it");
    import(&house, |file| {
        let mut edges = file.edges.iter_mut();
        let edge = edges
            .find(|edge| is_between(edge, &uwv.identity, &desk.identity))
            .unwrap();
        edge.timers = Some(EdgeTimers {
            prepared_hours: 3,
            offer_working_days: 2,
            release_working_days: 1,
            complete_days: 7,
        });
        sign(edge, &uwv.identity, &desk.identity);
    })
    .await;
    assert_eq!(hours().await, 3, "as the two agreed");
}

#[tokio::test(flavor = "multi_thread")]
async fn aftercare_needs_a_completed_handover_between_the_two() {
    // The key holders must know the edge as well, so it is there before anybody starts.
    let mut laid = Laid::lay();
    let [from, to] = ["uwv", "neutraal"].map(|name| laid.identity(name));
    let mut file = directory(&laid);
    let mut edges = file.edges.iter();
    let there = edges.find(|edge| is_between(edge, &from, &to)).unwrap();
    let mut back = EdgeFile {
        from: there.to.clone(),
        to: there.from.clone(),
        purpose: "NAZORG".to_owned(),
        ..there.clone()
    };
    sign(&mut back, &to, &from);
    file.edges.push(back);
    let text = directory_text(&file);
    let signatures = Controllers::of(&laid).sign_directory(text.as_bytes());
    std::fs::write(laid.path().join("directory.toml"), text).unwrap();
    write_signatures(&laid.path().join("directory.signatures.toml"), &signatures);
    laid.start_all().await;

    let uwv = laid.client("uwv").await;
    let desk = laid.client("neutraal").await;
    let known = crate::house::person("known");
    desk.enrol_without_number(&known).await.unwrap();
    let asked = client::Preparation {
        purpose: "NAZORG".parse().unwrap(),
        basis: "CONSENT".parse().unwrap(),
        summary_labels: vec!["hulpvraag.code".parse().unwrap()],
        dossier_labels: vec!["uitstroom.code".parse().unwrap()],
        ..preparation(&from, None)
    };
    let prepare = async || reason(desk.prepare(&known, &asked).await);
    assert_eq!(prepare().await, Reason::NoApplicablePermit);

    let who = enrol(&uwv, "ww-1", 48).await;
    let handover = offer(&uwv, &who, &to).await;
    desk.accept(&handover).await.unwrap();
    release(&uwv, &handover).await.unwrap();
    desk.fetch(&handover).await.unwrap();
    assert_eq!(prepare().await, Reason::NoApplicablePermit, "not completed");
    desk.complete(&handover, &today()).await.unwrap();
    assert_eq!(
        prepare().await,
        Reason::NotAvailable,
        "now only the person's consent is missing"
    );
}
