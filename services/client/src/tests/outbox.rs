//! A changing call is sent until there is a definite answer, once only in its effect, over any crash.

use super::world::{NOW, World, file, signed};
use crate::{Client, ClientError, PersonKey, Settled};
use rules::pseudonym::Context;
use rules::reason::Reason;
use rules::secret::Secret;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use vault::pseudonym::ContextKey;

fn refusal(code: Code, reason: Reason) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.code(), "sluis", std::collections::HashMap::new());
    Status::with_error_details(code, reason.english(), details)
}

fn away() -> Status {
    refusal(Code::Unavailable, Reason::StorageUnavailable)
}

async fn import(client: &Client) -> Result<i64, ClientError> {
    let (bytes, signatures) = signed(&file(5));
    client.import_directory(bytes, signatures).await
}

/// Imports against a server that fails as scripted: how many attempts it took, what came of it, and how
/// many requests wait afterwards. All attempts carry one request id and one body.
async fn check(faults: &[Status], attempts: usize, reason: Option<Reason>, waiting: usize) {
    let world = World::new().await;
    let client = world.client();
    for fault in faults {
        world.script.then(1, fault);
    }
    let outcome = import(&client).await;
    match reason {
        Some(reason) => assert_eq!(outcome.unwrap_err().reason(), Some(reason)),
        None => assert_eq!(outcome.unwrap(), 5),
    }
    let sent = world.script.imports();
    assert_eq!(sent.len(), attempts);
    assert!(sent.iter().all(|request| *request == sent[0]));
    assert_eq!(client.store().waiting().len(), waiting);
}

#[tokio::test]
async fn only_what_may_pass_is_repeated() {
    check(&[], 1, None, 0).await;
    check(&[away(), away()], 3, None, 0).await;
    let late = Status::deadline_exceeded("");
    check(&[late, away()], 3, None, 0).await;
    let forbidden = refusal(Code::PermissionDenied, Reason::RightMissing);
    check(
        &[away(), forbidden.clone()],
        2,
        Some(Reason::RightMissing),
        0,
    )
    .await;
    check(&[forbidden], 1, Some(Reason::RightMissing), 0).await;
    // An order that expired is signed anew; one that expires each time is a wrong clock, and no waiting.
    let expired = refusal(Code::FailedPrecondition, Reason::OrderExpired);
    check(
        &[expired.clone(), away(), expired.clone()],
        3,
        Some(Reason::OrderExpired),
        0,
    )
    .await;
    check(&[expired.clone(), expired], 3, None, 0).await;
    let unavailable = Some(Reason::StorageUnavailable);
    check(&[away(), away(), away(), away()], 3, unavailable, 1).await;
}

#[tokio::test]
async fn what_waits_is_finished_after_a_restart() {
    let world = World::new().await;
    world.script.then(3, &away());
    let client = world.client();
    let ClientError::Waiting { request, .. } = import(&client).await.unwrap_err() else {
        panic!("it must wait")
    };
    drop(client);

    let client = world.client();
    assert_eq!(client.store().waiting(), [request]);
    world.script.then(3, &away());
    let resumed = client.resume().await.unwrap();
    assert!(matches!(
        resumed[0].outcome,
        Err(ClientError::Waiting { .. })
    ));

    let resumed = client.resume().await.unwrap();
    assert_eq!((resumed.len(), resumed[0].request), (1, request));
    assert_eq!(resumed[0].call, "ImportDirectory");
    let outcome = &resumed[0].outcome;
    assert!(
        matches!(outcome, Ok(Settled::Directory { version: 5, .. })),
        "{outcome:?}"
    );
    assert!(client.store().waiting().is_empty());
    assert!(client.resume().await.unwrap().is_empty());

    let sent = world.script.imports();
    assert_eq!(sent.len(), 7);
    assert!(sent.iter().all(|request| *request == sent[0]));
}

#[tokio::test]
async fn a_call_that_was_given_up_half_way_waits() {
    let world = World::new().await;
    let client = world.client();
    client.directory().await.unwrap();
    let slow = world.client_with_long_waits(&client);
    world.script.then(1, &away());
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(300), import(&slow));
    assert!(
        given_up.await.is_err(),
        "the second attempt is an hour away"
    );
    assert_eq!(client.store().waiting().len(), 1);
    let resumed = client.resume().await.unwrap();
    assert!(resumed[0].outcome.is_ok());
    assert!(client.store().waiting().is_empty());
}

/// A client that has its realm's context key.
fn client_with_context(world: &World) -> Client {
    let client = world.client();
    let mut secret = [0; 32];
    secret[0] = 5;
    let key = ContextKey::from_secret(&Secret::new(secret)).unwrap();
    let context: Context = "ctx/00000099000000001000/main/1".parse().unwrap();
    client
        .store()
        .keep_context_key(&context, &key, NOW)
        .unwrap();
    client
}

#[tokio::test]
async fn persons_whose_order_expired_are_enrolled_with_a_fresh_one_a_bounded_number_of_times() {
    for (expired, attempts, refused) in [
        (1, 2, Reason::QuotaExceeded),
        (2, 3, Reason::QuotaExceeded),
        (9, 3, Reason::OrderExpired),
    ] {
        let world = World::new().await;
        let client = client_with_context(&world);
        world.script.expire_enrolments(expired);
        let person = PersonKey::new("dossier-1").unwrap();
        let persons = [(person, "999990019".parse().unwrap())];
        let enrolled = client.enrol(&persons).await.unwrap();
        assert_eq!(enrolled.len(), 1);
        assert_eq!(enrolled[0].refused, Some(refused));
        let sent = world.script.enrols();
        assert_eq!(sent.len(), attempts);
        let ids: std::collections::BTreeSet<_> =
            sent.iter().map(|(_, order)| order.id.to_string()).collect();
        assert_eq!(ids.len(), attempts, "each with an order of its own");
    }
}

#[tokio::test]
async fn each_attempt_has_a_fresh_order_and_the_same_request_id() {
    let world = World::new().await;
    let client = client_with_context(&world);
    world.script.then(2, &away());
    let person = PersonKey::new("dossier-1").unwrap();
    let persons = [(person.clone(), "999990019".parse().unwrap())];
    let enrolled = client.enrol(&persons).await.unwrap();
    assert_eq!(enrolled[0].refused, Some(Reason::QuotaExceeded));
    assert_eq!(enrolled[0].person, person);

    let attempts = world.script.enrols();
    assert_eq!(attempts.len(), 3);
    let (request, first) = &attempts[0];
    for (number, (same_request, order)) in attempts.iter().enumerate().skip(1) {
        assert_eq!(same_request, request);
        assert!(
            attempts[..number]
                .iter()
                .all(|(_, earlier)| earlier.id != order.id)
        );
        assert_eq!(order.ciphertext_sha256, first.ciphertext_sha256);
        assert_eq!(order.not_after.millis_since(order.not_before), 120_000);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_fault_on_the_way() {
    let world = World::new().await;
    let client = world.client_to_nowhere().await;
    let error = client.whoami().await.unwrap_err();
    assert!(matches!(error, ClientError::Transport(_)), "{error}");
    let check = client.connection().connect_check().await.unwrap_err();
    assert_eq!(check.step, crate::Step::Tcp, "{check}");
}
