//! Whose dossier it is: the number in it proves it to the recipient, or shows that it is somebody else's; and who may go
//! without a number.
//!
//! Must never let the recipient's library be told what to find: it finds it itself, over the real wire.

use crate::database::Beside;
use crate::desk::{Desk, Fields, prepare_request};
use crate::house::{
    DOSSIER, House, NUMBER, SUMMARY, decisions, digits, enrol, lines, nobody, offer, person,
    preparation, reason, reason_of, today, values,
};
use crate::laid::Laid;
use client::{Client, ClientError, Proof};
use papers::paper::{Manifest, ManifestStage};
use rules::handover::{ReturnCode, State};
use rules::id::{HandoverId, Label};
use rules::pseudonym::{Domain, OrderKind};
use rules::reason::Reason;
use rules::secret::Secret;
use std::time::Duration;
use tonic::transport::Channel;
use vault::digest::sha256;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;
use wire::portal::v1 as portal_message;
use wire::portal::v1::portal_service_client::PortalServiceClient;

/// How long a line may take to the portal; as a rule it is a second or two.
const TOLD_WITHIN: u32 = 300;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The dossier with this number in it.
fn dossier(number: usize) -> Vec<(Label, Secret<Vec<u8>>)> {
    let digits = digits(number);
    let mut dossier = values(DOSSIER);
    dossier.extend(values(&[(NUMBER, digits.as_str())]));
    dossier
}

/// Offered, accepted and released with this number in the dossier.
async fn released(
    (uwv, town): (&Client, &Client),
    offered: HandoverId,
    number: usize,
) -> HandoverId {
    town.accept(&offered).await.unwrap();
    uwv.show(&offered).await.unwrap();
    uwv.release(&offered, &dossier(number)).await.unwrap();
    offered
}

fn own_domain(client: &Client) -> Domain {
    format!("partner/{}/1", client.party()).parse().unwrap()
}

/// A person who is logged in at the portal.
struct Front {
    portal: PortalServiceClient<Channel>,
    session: Vec<u8>,
}

impl Front {
    async fn log_in(channel: Channel, number: usize) -> Self {
        let mut portal = PortalServiceClient::new(channel);
        let login = portal_message::LoginRequest {
            assertion: format!("test:{}", digits(number)),
        };
        let session = portal.login(login).await.unwrap().into_inner().session;
        Self { portal, session }
    }

    async fn sentences(&mut self, language: &str) -> Vec<String> {
        let request = portal_message::GetOverviewRequest {
            session: self.session.clone(),
            language: language.to_owned(),
            ..portal_message::GetOverviewRequest::default()
        };
        let answer = self.portal.get_overview(request).await.unwrap();
        let lines = answer.into_inner().lines.into_iter();
        lines.map(|line| line.sentence).collect()
    }

    /// The sentences, once one of them holds this.
    async fn wait_for(&mut self, text: &str) -> Vec<String> {
        for _ in 0..TOLD_WITHIN {
            let sentences = self.sentences("nl").await;
            if sentences.iter().any(|sentence| sentence.contains(text)) {
                return sentences;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        panic!("`{text}` is not told: {:?}", self.sentences("nl").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_number_proves_whose_dossier_it_is_once() {
    let house = House::start().await;
    let (uwv, town) = (house.client("uwv").await, house.client("regio").await);
    let to = house.identity("regio");
    let who = enrol(&uwv, "klant", 1).await;
    let handover = offer(&uwv, &who, &to).await;
    let handover = released((&uwv, &town), handover, 1).await;
    for _ in 0..2 {
        let fetched = town.fetch(&handover).await.unwrap();
        assert_eq!(fetched.proof, Proof::Proven);
        let kept = town
            .store()
            .pseudonym(&own_domain(&town), &fetched.person.unwrap());
        assert!(kept.unwrap().is_some());
    }
    town.complete(&handover, &today()).await.unwrap();
    let checks = decisions(&house.officer(), &to.oin, "CheckPerson").await;
    assert_eq!(checks.len(), 1, "compared once: {checks:?}");
}

/// A sender hides a handover from the person: what it prepares with is a point that is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_another_stops_the_handover_and_is_told_to_whom_it_belongs() {
    let house = House::start().await;
    let (uwv, town) = (house.client("uwv").await, house.client("regio").await);
    let to = house.identity("regio");
    let nobody = nobody(&uwv, "niemand");
    let handover = offer(&uwv, &nobody, &to).await;
    let handover = released((&uwv, &town), handover, 2).await;

    let channel = house.identity("portal").connect_portal().unwrap().channel();
    let mut front = Front::log_in(channel, 2).await;
    assert!(front.sentences("nl").await.is_empty(), "hidden so far");

    let fetched = town.fetch(&handover).await.unwrap();
    assert_eq!(fetched.proof, Proof::Unequal);
    assert!(fetched.person.is_none() && !fetched.known);
    assert_eq!(fetched.fields.len(), DOSSIER.len() + 1, "it can be read");
    let kept = town.store().opened(&handover).unwrap();
    assert!(
        kept.is_none_or(|kept| kept.person.is_none()),
        "nothing is kept"
    );

    assert_eq!(
        reason(town.complete(&handover, &today()).await),
        Reason::PersonUnequal
    );
    assert_eq!(
        past_the_library(&house, &town, handover).await,
        "PERSON_UNEQUAL"
    );
    let told = front.wait_for("burgerservicenummer").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("UWV") && told[0].contains("Gemeente Polderzicht"),
        "{told:?}"
    );
    let english = front.sentences("en").await;
    assert!(english[0].contains("about somebody else"), "{english:?}");

    let again = town.fetch(&handover).await.unwrap();
    assert_eq!(again.proof, Proof::Unequal);
    let officer = house.officer();
    for (action, times) in [
        ("CheckPerson", 1),
        ("ReportMismatch", 1),
        ("TellMismatch", 1),
    ] {
        let done = decisions(&officer, &to.oin, action).await;
        assert_eq!(done.len(), times, "{action}: {done:?}");
    }
    let found = lines(&officer, &to.oin).await;
    let finding = found
        .iter()
        .filter(|line| line.finding == "MISMATCH_PERSON");
    assert_eq!(finding.count(), 1);
    let returned = town.return_handover(&handover, ReturnCode::ALL[0]).await;
    assert_eq!(returned.unwrap().state, State::Returned);
}

/// Telling the person of the number can be refused for long; giving the dossier back never waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_persons_dossier_goes_back_though_nobody_can_be_told() {
    let house = House::start().await;
    let (uwv, town) = (house.client("uwv").await, house.client("regio").await);
    let to = house.identity("regio");
    let mut holder = Beside::of(&house.path().join("processes/holder-1")).await;
    let used_up = format!(
        "INSERT INTO quota (issuer, kind, day, reserved) VALUES ('{}', 'MISMATCH', 99999, 100000)",
        to.oin
    );
    assert_eq!(holder.execute(used_up.leak()).await, 1);
    let handover = offer(&uwv, &nobody(&uwv, "niemand"), &to).await;
    let handover = released((&uwv, &town), handover, 2).await;
    assert_eq!(town.fetch(&handover).await.unwrap().proof, Proof::Unequal);
    let told = decisions(&house.officer(), &to.oin, "TellMismatch").await;
    let codes: Vec<_> = told.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(codes, ["QUOTA_EXCEEDED"], "nobody was told");
    // From here on the fetch that would tell is refused.
    let portal = house.identity("portal").client().unwrap();
    portal.object(&handover).await.unwrap();
    town.show(&handover).await.unwrap();
    let refused = town.fetch(&handover).await;
    assert_eq!(reason(refused), Reason::ObjectionPending);
    let returned = town.return_handover(&handover, ReturnCode::ALL[0]).await;
    assert_eq!(returned.unwrap().state, State::Returned);
}

/// What the broker says to a desk that completes all the same.
async fn past_the_library(house: &House, town: &Client, handover: HandoverId) -> String {
    let desk = Desk::with(house, "regio", town.clone());
    let shown = town.show(&handover).await.unwrap().handover.unwrap();
    let complete = message::CompleteRequest {
        request_id: crate::desk::request_id(),
        handover_id: handover.bytes().to_vec(),
        expected_revision: shown.revision,
        contact_date: today(),
    };
    let mut stub = HandoverServiceClient::new(desk.connection.channel());
    reason_of(&stub.complete(complete).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_holder_reading_goes_on_and_completing_waits() {
    let mut laid = Laid::open().await;
    let (uwv, town) = (laid.client("uwv").await, laid.client("regio").await);
    let who = enrol(&uwv, "klant", 3).await;
    let handover = offer(&uwv, &who, &laid.identity("regio")).await;
    let handover = released((&uwv, &town), handover, 3).await;
    laid.kill("holder-2");
    let fetched = town.fetch(&handover).await.unwrap();
    assert_eq!(
        fetched.proof,
        Proof::NotYet(Some(Reason::HolderUnavailable))
    );
    assert!(fetched.person.is_none() && fetched.fields.len() > DOSSIER.len());
    let refused = town.complete(&handover, &today()).await;
    assert_eq!(reason(refused), Reason::PersonNotProven);
    laid.start("holder-2").await;
    let completed = town.complete(&handover, &today()).await.unwrap();
    assert_eq!(completed.state, State::Completed);
    let fetched = town.store().opened(&handover).unwrap().unwrap();
    assert!(fetched.person.is_some(), "kept once it was proven");
}

/// What a desk is answered that has a number checked past the library, with a parent that no release had.
async fn checked(house: &House, name: &str, client: Client, handover: HandoverId) -> String {
    let desk = Desk::with(house, name, client);
    let (order, ciphertext) = desk.enrolment(&crate::house::bsn(4)).await;
    let order = rules::pseudonym::Order {
        kind: OrderKind::Check,
        parent: rules::id::OrderId::from_slice(&[7; 16]),
        ..order
    };
    let question = message::CheckPersonRequest {
        handover_id: handover.bytes().to_vec(),
        order: Some(desk.signed(order)),
        ciphertext: ciphertext.bytes().to_vec(),
        release_vouchers: Vec::new(),
    };
    let mut stub = HandoverServiceClient::new(desk.connection.channel());
    reason_of(&stub.check_person(question).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn comparing_waits_while_the_person_objects() {
    let house = House::start().await;
    let (uwv, town) = (house.client("uwv").await, house.client("regio").await);
    let to = house.identity("regio");
    let who = enrol(&uwv, "klant", 4).await;
    let handover = offer(&uwv, &who, &to).await;
    let handover = released((&uwv, &town), handover, 4).await;
    let check = async || checked(&house, "regio", town.clone(), handover).await;
    assert_eq!(check().await, "ORDER_PARENT_INVALID");
    let portal = house.identity("portal").client().unwrap();
    portal.object(&handover).await.unwrap();
    assert_eq!(check().await, "OBJECTION_PENDING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_checked_only_for_a_dossier_that_was_released_to_the_caller() {
    let house = House::start().await;
    let (uwv, town) = (house.client("uwv").await, house.client("regio").await);
    let to = house.identity("regio");
    let who = enrol(&uwv, "klant", 4).await;
    let early = offer(&uwv, &who, &to).await;
    let other = offer(&uwv, &who, &to).await;
    let other = released((&uwv, &town), other, 4).await;
    // The neutral team's dossier has no number that could be compared.
    let team = house.client("neutraal").await;
    let neutral = offer(&uwv, &who, &house.identity("neutraal")).await;
    team.accept(&neutral).await.unwrap();
    crate::house::release(&uwv, &neutral).await.unwrap();
    for (name, handover, expected) in [
        ("neutraal", neutral, "ORDER_FORBIDDEN"),
        ("regio", early, "STATE_FORBIDS_EVENT"),
        ("regio", other, "ORDER_PARENT_INVALID"),
        ("elders", other, "NOT_AVAILABLE"),
        ("uwv", other, "STATE_FORBIDS_EVENT"),
    ] {
        let client = match name {
            "regio" => town.clone(),
            "uwv" => uwv.clone(),
            "neutraal" => team.clone(),
            _ => house.client(name).await,
        };
        let refused = checked(&house, name, client, handover).await;
        assert_eq!(refused, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_goes_along_where_both_use_it_and_never_to_the_neutral_team() {
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let who = enrol(&uwv, "klant", 5).await;
    let number: Label = NUMBER.parse().unwrap();
    let (town, team) = (house.identity("regio"), house.identity("neutraal"));
    let mut without = preparation(&town, None);
    without.dossier_labels.retain(|label| *label != number);
    let mut with = preparation(&team, None);
    with.dossier_labels.push(number.clone());
    let mut in_summary = without.clone();
    in_summary.summary_labels.push(number.clone());
    for (asked, expected) in [
        (without, Reason::NumberMissing),
        (in_summary, Reason::NumberMissing),
        (with, Reason::BsnNotAllowed),
    ] {
        let refused = uwv.prepare(&who, &asked).await.unwrap_err();
        assert_eq!(refused.reason(), Some(expected));
        assert!(refused.to_string().contains(NUMBER), "{refused}");
    }
    // A sender that drops it on the way is refused at the release.
    let desk = house.client("regio").await;
    let handover = offer(&uwv, &who, &town).await;
    desk.accept(&handover).await.unwrap();
    uwv.show(&handover).await.unwrap();
    let refused = uwv.release(&handover, &values(DOSSIER)).await;
    assert_eq!(reason(refused), Reason::NumberMissing);
    // What is no number is not sent at all: the recipient could only report it.
    for (digits, why) in [
        ("999990018", "eleven-test"),
        ("12", "eight or nine digits"),
        ("BSN 999990019", "eight or nine digits"),
    ] {
        let mut wrong = values(DOSSIER);
        wrong.extend(values(&[(NUMBER, digits)]));
        let refused = uwv.release(&handover, &wrong).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::NumberInvalid));
        let said = refused.to_string();
        assert!(said.contains(NUMBER) && said.contains(why), "{said}");
        assert!(!said.contains(digits), "{said}");
    }
    let whole = uwv.release(&handover, &dossier(5)).await.unwrap();
    assert_eq!(whole.state, State::Released);
}

/// A dossier whose number was sealed so that it does not open, under a manifest that fits, as no library would make it.
async fn released_unreadable(house: &House, town: &Client) -> HandoverId {
    let desk = Desk::of(house, "uwv").await;
    let to = house.identity("regio");
    let who = enrol(&desk.client, "klant", 8).await;
    let asked = preparation(&to, None);
    let mut stub = HandoverServiceClient::new(desk.connection.channel());
    let (order, ciphertext) = desk.prepare_order(&who, &asked).await;
    let parent = order.id;
    let request = prepare_request(&asked, desk.signed(order), &ciphertext);
    let prepared = stub.prepare(request).await.unwrap().into_inner();
    let receipt = prepared.receipt.unwrap();
    let handover = HandoverId::from_slice(&receipt.handover_id).unwrap();
    let summary = values(SUMMARY);
    let request = desk.offer_request(handover, receipt.revision, &to, &summary);
    stub.offer(request.await).await.unwrap();
    let revision = town.accept(&handover).await.unwrap().revision;

    let (order, ciphertext) = desk.handover_order(&who, &asked, parent).await;
    let order = (desk.signed(order), &ciphertext);
    let whole = dossier(8);
    let request = desk.release_request((handover, revision), &to, order, prepared.vouchers, &whole);
    let mut request = request.await;
    let mut sealed = request.dossier.take().unwrap();
    for field in &mut sealed.fields {
        if field.label == NUMBER {
            field.sealed[0] ^= 1;
        }
    }
    let fields: Fields = sealed
        .fields
        .iter()
        .map(|field| (field.label.parse().unwrap(), field.sealed.clone()))
        .collect();
    let manifest = Manifest {
        stage: ManifestStage::Release {
            ciphertext_sha256: sha256(ciphertext.bytes()),
        },
        ..desk
            .manifest(handover, &to, &sealed.encapsulation, &fields)
            .await
    };
    request.manifest = Some(desk.signed_manifest(manifest));
    request.dossier = Some(sealed);
    stub.release(request).await.unwrap();
    handover
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_does_not_open_is_the_senders_turn_and_not_a_matter_of_waiting() {
    let house = House::start().await;
    let town = house.client("regio").await;
    let handover = released_unreadable(&house, &town).await;
    for _ in 0..2 {
        let fetched = town.fetch(&handover).await.unwrap();
        assert_eq!(fetched.proof, Proof::Unreadable);
        assert!(fetched.person.is_none());
        assert_eq!(fetched.fields.len(), DOSSIER.len(), "the rest can be read");
        let lost = fetched.mismatched_labels.iter();
        let lost: Vec<_> = lost.chain(&fetched.dropped_labels).collect();
        assert_eq!(lost, [&NUMBER.parse::<Label>().unwrap()]);
        let refused = town.complete(&handover, &today()).await;
        assert_eq!(reason(refused), Reason::NumberUnreadable);
    }
    let returned = town.return_handover(&handover, ReturnCode::ALL[0]).await;
    assert_eq!(returned.unwrap().state, State::Returned);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_completed_without_being_fetched_is_fetched_first() {
    let house = House::start().await;
    let (uwv, team) = (house.client("uwv").await, house.client("neutraal").await);
    let who = enrol(&uwv, "klant", 9).await;
    let handover = offer(&uwv, &who, &house.identity("neutraal")).await;
    team.accept(&handover).await.unwrap();
    crate::house::release(&uwv, &handover).await.unwrap();
    let completed = team.complete(&handover, &today()).await.unwrap();
    assert_eq!(completed.state, State::Completed);
    let kept = team.store().opened(&handover).unwrap().unwrap();
    assert!(kept.person.is_some() && kept.fields.len() == DOSSIER.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_law_nobody_is_made_known_without_a_number() {
    let house = House::start().await;
    let (uwv, team) = (house.client("uwv").await, house.client("neutraal").await);
    let who = person("iemand");
    let refused = uwv.enrol_without_number(&who).await;
    assert!(
        matches!(refused, Err(ClientError::Input { .. })),
        "{refused:?}"
    );
    team.enrol_without_number(&who).await.unwrap();
    let mut asked = preparation(&house.identity("uwv"), None);
    asked
        .dossier_labels
        .retain(|label| label.as_str() != NUMBER);
    let refused = team.prepare(&who, &asked).await;
    assert_eq!(reason(refused), Reason::SubjectUnbound);
    // Nor does anything reach whoever made an order of that kind for itself: no holder takes it.
    let desk = Desk::with(&house, "uwv", uwv.clone());
    let known = enrol(&uwv, "klant", 6).await;
    let to = preparation(&house.identity("neutraal"), None);
    let (order, ciphertext) = desk.prepare_order(&known, &to).await;
    let order = rules::pseudonym::Order {
        kind: OrderKind::Unbound,
        ..order
    };
    let question = message::PrepareRequest {
        request_id: crate::desk::request_id(),
        recipient: to.recipient.to_string(),
        purpose: to.purpose.to_string(),
        basis: to.basis.to_string(),
        summary_labels: SUMMARY
            .iter()
            .map(|(label, _)| (*label).to_owned())
            .collect(),
        dossier_labels: Vec::new(),
        group_id: Vec::new(),
        order: Some(desk.signed(order)),
        ciphertext: ciphertext.bytes().to_vec(),
    };
    let mut stub = HandoverServiceClient::new(desk.connection.channel());
    let refused = stub.prepare(question).await.unwrap_err();
    assert_eq!(reason_of(&refused), "SUBJECT_UNBOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_reads_and_blocks_the_team_and_not_its_organisation() {
    const TEAM: &str = "het regioteam van Noord-Holland Noord";
    let house = House::start().await;
    let uwv = house.client("uwv").await;
    let team = house.identity("neutraal");
    let who = enrol(&uwv, "klant", 7).await;
    offer(&uwv, &who, &team).await;
    let channel = house.identity("portal").connect_portal().unwrap().channel();
    let mut front = Front::log_in(channel, 7).await;
    let told = front.wait_for(TEAM).await;
    for sentence in &told {
        assert!(!sentence.contains("Dijkerwaard"), "{sentence}");
    }
    let request = portal_message::BlockOrganisationRequest {
        session: front.session.clone(),
        request_id: crate::desk::request_id(),
        party: team.party(),
    };
    let blocking = front.portal.block_organisation(request).await.unwrap();
    assert_eq!(blocking.into_inner().objections, 1);
    let request = portal_message::ListBlocksRequest {
        session: front.session.clone(),
        ..portal_message::ListBlocksRequest::default()
    };
    let blocks = front
        .portal
        .list_blocks(request)
        .await
        .unwrap()
        .into_inner();
    let parties: Vec<_> = blocks.blocks.iter().map(|block| &block.party).collect();
    assert_eq!(parties, [&team.party()]);
}
