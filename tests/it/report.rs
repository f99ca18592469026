//! What became of somebody goes back sealed: after completion, once, on what the handover rests on now, and never after
//! a stop.
//!
//! Must never look for an outcome with a search that could not find one.

use crate::consent::{Scene, withdrawal};
use crate::database::Beside;
use crate::desk::{Desk, request_id};
use crate::house::{
    DOSSIER, House, OUTCOME, enrol, offer, reason, reason_of, release, today, values,
};
use client::{Client, ClientError, PersonKey};
use prost::Message as _;
use rules::consent::Statement;
use rules::handover::InboxKind;
use rules::id::{HandoverId, NoticeId, PeerKind};
use rules::notice::{AnswerCode, NoticeKind};
use rules::reason::Reason;
use tonic_types::StatusExt as _;
use wire::handover::v1 as message;
use wire::handover::v1::ObjectionDecision;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

const REPORTS: &str = "SELECT COUNT(*) FROM report";

/// UWV and the neutral desk in one house, on the law.
struct OnLaw {
    house: House,
    uwv: Client,
    desk: Client,
    who: PersonKey,
}

impl OnLaw {
    async fn set(number: usize) -> Self {
        let house = House::start().await;
        let uwv = house.client("uwv").await;
        let desk = house.client("neutraal").await;
        let who = enrol(&uwv, "ww-1", number).await;
        Self {
            house,
            uwv,
            desk,
            who,
        }
    }

    async fn completed(&self) -> HandoverId {
        let id = offer(&self.uwv, &self.who, &self.house.identity("neutraal")).await;
        self.desk.accept(&id).await.unwrap();
        release(&self.uwv, &id).await.unwrap();
        complete(&self.desk, &id).await;
        id
    }
}

async fn complete(desk: &Client, id: &HandoverId) {
    desk.fetch(id).await.unwrap();
    desk.complete(id, &today()).await.unwrap();
}

async fn send(desk: &Client, id: &HandoverId) -> Result<client::Receipt, ClientError> {
    desk.send_report(id, &values(OUTCOME)).await
}

async fn broker(house: &House) -> Beside {
    Beside::of(&house.path().join("processes/broker")).await
}

/// The person says yes to what `change` leaves of a consent to all.
async fn give(scene: &Scene, change: impl FnOnce(&mut Statement)) -> Statement {
    let mut given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    change(&mut given);
    let registered = scene.portal.register_consent(&scene.number, &given).await;
    registered.unwrap();
    given
}

/// Notices in an inbox, newest last.
async fn notices(client: &Client) -> Vec<(NoticeId, NoticeKind)> {
    let mut found = Vec::new();
    let mut inbox = client.inbox(Some(String::new()));
    while let Some(event) = inbox.next().await.unwrap() {
        if event.kind == InboxKind::Notice {
            found.extend(event.notice);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_back_once_and_a_lost_answer_loses_nothing() {
    let law = OnLaw::set(120).await;
    let id = law.completed().await;
    assert_eq!(
        reason(law.uwv.fetch_report(&id).await),
        Reason::StateForbidsEvent,
        "none was sent"
    );
    send(&law.desk, &id).await.unwrap();
    // Not fetched yet: the next takes its place.
    let other = [("uitstroom.code", "VAST_CONTRACT")];
    law.desk.send_report(&id, &values(&other)).await.unwrap();
    let shown = law.desk.show(&id).await.unwrap().handover.unwrap();
    assert!(shown.report_sent_millis.is_some() && shown.report_fetched_millis.is_none());
    for _ in 0..2 {
        let report = law.uwv.fetch_report(&id).await.unwrap();
        assert_eq!(report.fields[0].value.expose(), b"VAST_CONTRACT");
    }
    assert_eq!(reason(send(&law.desk, &id).await), Reason::ReportFetched);
    let shown = law.desk.show(&id).await.unwrap().handover.unwrap();
    assert!(shown.report_fetched_millis.is_some());
    let mut beside = broker(&law.house).await;
    let day = "SELECT COUNT(*) FROM report, handover WHERE handover.state = 6 AND \
               report.gone_at - handover.entered_at < 2 * 86400000";
    assert_eq!(beside.number(day).await, 1, "it stays a day");
    assert_eq!(beside.execute("UPDATE report SET gone_at = 1").await, 1);
    assert_eq!(
        reason(law.uwv.fetch_report(&id).await),
        Reason::StateForbidsEvent,
        "gone, whether or not anything swept"
    );
    let told = law.uwv.inbox(Some(String::new())).next().await;
    assert!(told.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_or_too_soon_or_too_late_is_refused() {
    let law = OnLaw::set(121).await;
    let early = offer(&law.uwv, &law.who, &law.house.identity("neutraal")).await;
    law.desk.accept(&early).await.unwrap();
    release(&law.uwv, &early).await.unwrap();
    law.desk.fetch(&early).await.unwrap();
    let soon = send(&law.desk, &early).await;
    assert_eq!(reason(soon), Reason::StateForbidsEvent);
    assert_eq!(
        reason(law.uwv.fetch_report(&early).await),
        Reason::StateForbidsEvent
    );
    law.desk.complete(&early, &today()).await.unwrap();
    let none = law.uwv.fetch_report(&early).await.unwrap_err();
    let told = none.to_string();
    let whose = "is COMPLETED and no report was sent; now the recipient may: SendReport";
    assert!(told.contains(whose), "{told}");

    // Another's, and one that is not there: one answer. The other side's step is not this side's.
    let stranger = Desk::of(&law.house, "elders").await;
    let mut service = HandoverServiceClient::new(stranger.connection.channel());
    let own = law.house.identity("uwv");
    let mut seen = Vec::new();
    for id in [early, HandoverId::from_slice(&[9; 16]).unwrap()] {
        let request = stranger.report_request(id, &own, &values(OUTCOME)).await;
        seen.push(service.send_report(request).await.unwrap_err());
        let request = message::FetchReportRequest {
            handover_id: id.bytes().to_vec(),
        };
        seen.push(service.fetch_report(request).await.unwrap_err());
    }
    for refused in &seen {
        assert_eq!(reason_of(refused), "NOT_AVAILABLE");
        assert_eq!(refused.message(), seen[0].message());
    }
    assert_eq!(
        reason(law.desk.fetch_report(&early).await),
        Reason::StateForbidsEvent
    );

    let mut beside = broker(&law.house).await;
    // 180 days and a millisecond.
    let later = "UPDATE handover SET entered_at = entered_at - 15552000001 WHERE state = 6";
    assert_eq!(beside.execute(later).await, 1);
    assert_eq!(reason(send(&law.desk, &early).await), Reason::ReportTooLate);
    let none = law.uwv.fetch_report(&early).await.unwrap_err();
    assert!(
        none.to_string()
            .contains("no report is kept, and none may be sent now"),
        "{none}"
    );
    assert_eq!(beside.number(REPORTS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_its_manifest_or_not_a_reports_is_refused_by_name() {
    let law = OnLaw::set(122).await;
    let id = law.completed().await;
    let foreign = law.desk.send_report(&id, &values(DOSSIER)).await;
    let Err(ClientError::Refused(refused)) = foreign else {
        panic!("was not refused");
    };
    assert_eq!(refused.reason, Some(Reason::LabelsNoneAllowed));
    let told = refused.to_string();
    assert!(told.contains("identiteit.naam"), "{told}");

    let desk = Desk::with(&law.house, "neutraal", law.desk.clone());
    let mut service = HandoverServiceClient::new(desk.connection.channel());
    let own = law.house.identity("uwv");
    let request = desk.report_request(id, &own, &values(OUTCOME)).await;
    let sent = request.encode_to_vec();
    let holds = |what: &[u8]| sent.windows(what.len()).any(|octets| octets == what);
    assert!(holds(b"uitstroom.code"), "a label is found");
    assert!(!holds(OUTCOME[0].1.as_bytes()), "the code is not");
    // Sealed to oneself, and the manifest of another stage: neither stands for this one.
    let (itself, told) = (law.house.identity("neutraal"), values(OUTCOME));
    let wrong = desk.report_request(id, &itself, &told).await;
    let wrong = service.send_report(wrong).await.unwrap_err();
    assert_eq!(reason_of(&wrong), "MANIFEST_INVALID");
    let summary = desk.offer_request(id, 1, &own, &values(OUTCOME)).await;
    let other_stage = message::SendReportRequest {
        manifest: summary.manifest,
        report: summary.summary,
        ..request.clone()
    };
    let wrong = service.send_report(other_stage).await.unwrap_err();
    assert_eq!(reason_of(&wrong), "MANIFEST_INVALID");
    let mut swapped = request.clone();
    swapped.report.as_mut().unwrap().fields[0].sealed[0] ^= 1;
    swapped.request_id = request_id();
    let wrong = service.send_report(swapped).await.unwrap_err();
    assert_eq!(reason_of(&wrong), "MANIFEST_DIGEST_MISMATCH");

    // The same again is done once; with another body it is refused.
    let anew = message::SendReportRequest {
        request_id: request_id(),
        ..request
    };
    let first = service
        .send_report(anew.clone())
        .await
        .unwrap()
        .into_inner();
    let again = service
        .send_report(anew.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        first.receipt.unwrap().revision,
        again.receipt.unwrap().revision
    );
    // Other labels, and another value under the same label.
    let more = [OUTCOME[0], ("regio.pc4", "1701")];
    for changed in [&more[..], &[(OUTCOME[0].0, "VAST_CONTRACT")]] {
        let other = message::SendReportRequest {
            request_id: anew.request_id.clone(),
            ..desk.report_request(id, &own, &values(changed)).await
        };
        let reused = service.send_report(other).await.unwrap_err();
        assert_eq!(reason_of(&reused), "REQUEST_ID_REUSED");
        let details = reused.get_error_details();
        assert!(details.error_info().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_holds_it_up_and_one_that_is_upheld_ends_it() {
    let law = OnLaw::set(123).await;
    let (portal, officer) = (
        law.house.identity("portal").client().unwrap(),
        law.house.identity("uwv-fg").client().unwrap(),
    );
    let id = law.completed().await;
    let sent = law.completed().await;
    send(&law.desk, &sent).await.unwrap();
    // Through another handover of the same person, and through a completed one: it is about the person in the relation.
    let open = offer(&law.uwv, &law.who, &law.house.identity("neutraal")).await;
    for (named, decision, expected) in [
        (&open, ObjectionDecision::Reject, None),
        (&id, ObjectionDecision::Uphold, Some(Reason::ReportStopped)),
    ] {
        portal.object(named).await.unwrap();
        assert_eq!(reason(send(&law.desk, &id).await), Reason::ObjectionPending);
        let fetched = law.uwv.fetch_report(&sent).await;
        assert_eq!(reason(fetched), Reason::ObjectionPending);
        officer.decide_objection(named, decision).await.unwrap();
        let answer = send(&law.desk, &id).await;
        assert_eq!(answer.err().and_then(|error| error.reason()), expected);
    }
    law.house.settle().await;
    assert_eq!(broker(&law.house).await.number(REPORTS).await, 0);
    let fetched = law.uwv.fetch_report(&sent).await;
    assert_eq!(reason(fetched), Reason::ReportStopped);
    let fetched = notices(&law.uwv).await;
    assert!(fetched.is_empty(), "nobody fetched anything: {fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nothing_goes_back_also_when_consent_is_given_anew() {
    let scene = Scene::set().await;
    let given = give(&scene, |_| {}).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = scene.released(&scene.who).await;
        complete(&scene.desk, &id).await;
        ids.push(id);
    }
    send(&scene.desk, &ids[0]).await.unwrap();
    send(&scene.desk, &ids[1]).await.unwrap();
    scene.union.fetch_report(&ids[1]).await.unwrap();
    let stop = withdrawal(&given, 2);
    scene.portal.withdraw_consent(&stop).await.unwrap();
    give(&scene, |_| {}).await;
    for id in &ids {
        assert_eq!(reason(send(&scene.desk, id).await), Reason::ReportStopped);
        let fetched = scene.union.fetch_report(id).await;
        assert_eq!(reason(fetched), Reason::ReportStopped);
    }
    scene.house.settle().await;
    assert_eq!(broker(&scene.house).await.number(REPORTS).await, 0);

    // Whoever fetched it is a recipient like any other.
    let to_union = notices(&scene.union).await;
    assert_eq!(to_union.len(), 1, "one report was fetched: {to_union:?}");
    let (notice, kind) = to_union[0];
    assert_eq!(kind, NoticeKind::Withdrawal);
    let stranger = scene.desk.ack_notice(&notice).await;
    assert_eq!(reason(stranger), Reason::NotAvailable, "not its notice");
    scene.union.ack_notice(&notice).await.unwrap();
    let answered = scene.union.answer_notice(&notice, AnswerCode::Erased, None);
    assert!(answered.await.unwrap().view.unwrap().about_report);
    assert_eq!(notices(&scene.desk).await.len(), 3, "as before");
    let shown = scene.desk.show(&ids[1]).await.unwrap();
    let of_report = shown.notices.iter().filter(|notice| notice.about_report);
    let answers: Vec<_> = of_report.map(|notice| notice.answer).collect();
    assert_eq!(answers, [AnswerCode::Erased.number()]);
    let mut inbox = scene.desk.inbox(Some(String::new()));
    let mut told = Vec::new();
    while let Some(event) = inbox.next().await.unwrap() {
        told.push(event.kind);
    }
    assert!(told.contains(&InboxKind::NoticeAnswered), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_vakbond_it_needs_a_yes_of_its_own_and_the_waiver() {
    let scene = Scene::set().await;
    for (change, expected) in [
        (
            (|given: &mut Statement| given.record.waiver = None) as fn(&mut Statement),
            Some(Reason::SecrecyNotWaived),
        ),
        (
            |given| {
                let outcome = "OUTCOME".parse().unwrap();
                given.record.categories.remove(&outcome);
            },
            Some(Reason::ConsentScopeExceeded),
        ),
        (|_| {}, None),
    ] {
        give(&scene, change).await;
        let id = scene.released(&scene.who).await;
        complete(&scene.desk, &id).await;
        let sent = send(&scene.desk, &id).await;
        assert_eq!(sent.err().and_then(|error| error.reason()), expected);
    }
    // A waiver on another ground than the register's is none.
    let mut other = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    other.record.waiver.as_mut().unwrap().ground = "NONE".to_owned();
    let refused = scene.portal.register_consent(&scene.number, &other).await;
    assert_eq!(reason(refused), Reason::SecrecyNotWaived);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_reads_that_it_was_told_and_that_it_was_read() {
    let (scene, mut front, id) = crate::portal_stops::stage().await;
    scene.desk.accept(&id).await.unwrap();
    scene.union.show(&id).await.unwrap();
    let dossier = values(&[DOSSIER[0]]);
    scene.union.release(&id, &dossier).await.unwrap();
    complete(&scene.desk, &id).await;
    send(&scene.desk, &id).await.unwrap();
    scene.union.fetch_report(&id).await.unwrap();
    let begun = std::time::Instant::now();
    loop {
        let overview = front.overview().await;
        let found = |what: &str| {
            let lines = overview.lines.iter();
            lines.filter(|line| line.sentence.contains(what)).count()
        };
        // The sentences of the year's other lines say "wrote" and "told" nowhere.
        if (found("told"), found("wrote about that")) == (1, 1) {
            assert!(found("DUURZAME_BAAN") == 0, "never what it said");
            return;
        }
        assert!(begun.elapsed().as_secs() < 30, "{:?}", overview.lines);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
