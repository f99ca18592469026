//! Bad input: each gets its own typed reason, and nothing is half-written.
//!
//! Must never accept a refusal without looking at its reason.

use crate::house::{
    House, SUMMARY, bsn, enrol, offer, preparation, reason, reason_of, release, values,
};
use client::Client;
use gateway::cli::identity::Identity;
use rules::id::{HandoverId, Label};
use rules::reason::Reason;
use tonic_types::StatusExt as _;
use wire::audit::v1::SearchEntriesRequest;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_no_person_is_refused_with_its_reason() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let to = house.identity("neutraal");
    let who = enrol(&uwv, "ww-1", 9).await;
    let fits = || preparation(&to, None);
    let mut wrong = Vec::new();

    let mut asked = fits();
    asked.purpose = "HANDHAVING".parse().unwrap();
    wrong.push((
        "a purpose that cannot exist",
        asked,
        vec![
            Reason::PurposeUnknown,
            Reason::NoAgreement,
            Reason::OrderForbidden,
        ],
    ));
    let mut asked = fits();
    asked.basis = "SUWI_54".parse().unwrap();
    wrong.push(("another basis", asked, vec![Reason::BasisMismatch]));
    let mut asked = fits();
    asked.recipient = house.identity("elders").party().parse().unwrap();
    wrong.push(("no edge", asked, vec![Reason::NoAgreement]));
    let mut asked = fits();
    asked
        .dossier_labels
        .push("lidmaatschap.vakbond".parse().unwrap());
    wrong.push((
        "a label that cannot exist",
        asked,
        vec![Reason::LabelUnknown],
    ));
    let mut asked = fits();
    asked.summary_labels.push(asked.summary_labels[0].clone());
    wrong.push(("a label twice", asked, vec![Reason::LabelDoubled]));
    let mut asked = fits();
    asked.dossier_labels = (0..65)
        .map(|n| format!("label.n{n}").parse().unwrap())
        .collect();
    wrong.push(("65 labels", asked, vec![Reason::LabelsTooMany]));
    for (what, asked, reasons) in wrong {
        let got = reason(uwv.prepare(&who, &asked).await);
        assert!(reasons.contains(&got), "{what}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_fails_the_eleven_test_never_leaves_the_client() {
    for digits in ["123456789", "000000000", "12345", "99990001x", ""] {
        let error = digits.parse::<vault::pseudonym::Bsn>().unwrap_err();
        assert!(
            digits.is_empty() || !error.to_string().contains(digits),
            "{error}"
        );
    }
}

struct Raw {
    service: HandoverServiceClient<tonic::transport::Channel>,
    handover: HandoverId,
    revision: i64,
}

async fn raw(uwv: &Client, who: &client::PersonKey, from: &Identity, to: &Identity) -> Raw {
    let prepared = uwv.prepare(who, &preparation(to, None)).await.unwrap();
    Raw {
        service: HandoverServiceClient::new(from.connect().unwrap().channel()),
        handover: prepared.receipt.handover,
        revision: prepared.receipt.revision,
    }
}

fn cancellation(
    handover: HandoverId,
    request_id: &[u8],
    expected_revision: i64,
    code: message::CancelCode,
) -> message::CancelRequest {
    message::CancelRequest {
        request_id: request_id.to_vec(),
        handover_id: handover.bytes().to_vec(),
        expected_revision,
        code: code.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_revisions_and_repeats_keep_their_word() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let to = house.identity("neutraal");
    let who = enrol(&uwv, "ww-1", 10).await;
    let Raw {
        mut service,
        handover,
        revision,
    } = raw(&uwv, &who, &house.identity("uwv"), &to).await;
    let cancel = |id: &[u8], seen, code| cancellation(handover, id, seen, code);
    let mistake = message::CancelCode::Mistake;
    let status = service
        .cancel(cancel(&[1; 15], revision, mistake))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&status), "INVALID_REQUEST");
    assert!(
        status.get_error_details().bad_request().is_some(),
        "the field is named"
    );
    let status = service
        .cancel(cancel(&[1; 16], revision, message::CancelCode::Unspecified))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&status), "CODE_UNKNOWN", "zero is no code");
    let status = service
        .cancel(cancel(&[2; 16], revision, message::CancelCode::Superseded))
        .await
        .unwrap_err();
    assert_eq!(
        reason_of(&status),
        "CODE_UNKNOWN",
        "only the broker supersedes"
    );
    let status = service
        .cancel(cancel(&[3; 16], revision + 1, mistake))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&status), "REVISION_MISMATCH");
    let first = service
        .cancel(cancel(&[4; 16], revision, mistake))
        .await
        .unwrap()
        .into_inner();
    let again = service
        .cancel(cancel(&[4; 16], revision, mistake))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        first, again,
        "a repeat gets the stored answer, its promise included"
    );
    let other = message::CancelCode::NoLongerNeeded;
    let status = service
        .cancel(cancel(&[4; 16], revision, other))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&status), "REQUEST_ID_REUSED");
    let status = service
        .cancel(cancel(&[5; 16], revision + 1, mistake))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&status), "STATE_FORBIDS_EVENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_manifest_or_field_is_refused_and_nothing_is_kept() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let to = house.identity("neutraal");
    let who = enrol(&uwv, "ww-1", 11).await;
    let Raw {
        mut service,
        handover,
        revision,
    } = raw(&uwv, &who, &house.identity("uwv"), &to).await;
    let request = |signature: Vec<u8>| message::OfferRequest {
        request_id: vec![6; 16],
        handover_id: handover.bytes().to_vec(),
        expected_revision: revision,
        manifest: Some(message::SignedManifest {
            manifest: vec![8, 1],
            signature,
            desk: "ww".to_owned(),
        }),
        summary: Some(message::SealedFields {
            encapsulation: vec![0; 1120],
            fields: Vec::new(),
        }),
    };
    let status = service.offer(request(vec![0; 64])).await.unwrap_err();
    assert!(
        ["MANIFEST_INVALID", "MANIFEST_SIGNATURE_INVALID"].contains(&reason_of(&status).as_str()),
        "{status:?}"
    );
    let receipt = uwv.offer(&handover, &values(SUMMARY)).await.unwrap();
    assert_eq!(
        receipt.revision,
        revision + 1,
        "the refused offer changed nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_may_not_travel_are_dropped_and_named() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let to = house.identity("neutraal");
    let who = enrol(&uwv, "ww-1", 12).await;
    let mut asked = preparation(&to, None);
    let phone: Label = "contact.telefoon".parse().unwrap();
    asked.summary_labels.push(phone.clone());
    let prepared = uwv.prepare(&who, &asked).await.unwrap();
    assert!(
        prepared.receipt.dropped_labels.contains(&phone),
        "no contact data in a summary"
    );
    let handover = prepared.receipt.handover;
    uwv.offer(&handover, &values(SUMMARY)).await.unwrap();
    let desk = house.client("neutraal").await;
    let summary = desk.fetch_offer(&handover).await.unwrap();
    assert!(summary.fields.iter().all(|field| field.label != phone));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_cannot_be_released_on_anothers_handover() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let desk = house.client("neutraal").await;
    let to = house.identity("neutraal");
    let first = enrol(&uwv, "ww-1", 13).await;
    let handover = offer(&uwv, &first, &to).await;
    desk.accept(&handover).await.unwrap();
    // The sender's own file now says that this key is somebody else: the broker must notice.
    let taken = uwv.enrol(&[(first.clone(), bsn(14))]).await.unwrap();
    assert_eq!(taken[0].refused, Some(Reason::PersonKeyTaken));
    enrol(&uwv.replacing(), "ww-1", 14).await;
    let refused = release(&uwv, &handover).await;
    assert_eq!(reason(refused), Reason::SubjectMismatch);
    let findings = SearchEntriesRequest {
        findings: true,
        ..SearchEntriesRequest::default()
    };
    let found = house.officer().search_log(findings).await.unwrap();
    let found = found.entries.iter().map(|entry| entry.finding.as_str());
    let found: Vec<_> = found.collect();
    assert_eq!(found, ["SUBJECT_MISMATCH"], "an officer must look at it");
}
