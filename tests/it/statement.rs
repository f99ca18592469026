//! Consent statements that nobody gave, sent to the broker itself by who holds the portal's connection:
//! behind all that the portal checks of its own.
//!
//! Must never pass because everything is refused: the statement that was given is registered at the end.

use crate::cli::said;
use crate::consent::{Scene, withdrawal};
use crate::database::Beside;
use crate::desk::{Desk, key_of, request_id};
use crate::house::{bsn, digits, person, program, reason, reason_of};
use client::Client;
use papers::paper::Signed;
use rules::consent::{CollectionMethod, ConsentState, Statement, StatementEvent};
use rules::handover::State;
use rules::id::{ConsentId, PeerKind};
use rules::limits::DAY_MILLIS;
use rules::pseudonym::Order;
use rules::reason::Reason;
use rules::secret::Secret;
use std::process::Command;
use vault::pseudonym::{Bsn, Ciphertext};
use vault::sign::SigningKey;
use wire::consent::v1::consent_service_client::ConsentServiceClient;
use wire::consent::v1::withdraw_consent_request::Consent as Which;
use wire::consent::v1::{RegisterConsentRequest, WithdrawConsentRequest};

/// The portal below its own checks.
struct Portal<'s> {
    scene: &'s Scene,
    desk: Desk,
}

impl<'s> Portal<'s> {
    fn of(scene: &'s Scene) -> Self {
        let desk = Desk::with(&scene.house, "portal", scene.portal.clone());
        Self { scene, desk }
    }

    fn kid(&self) -> String {
        format!("{}/{}", self.desk.identity.oin, self.desk.identity.desk)
    }

    /// Signs any text as the portal does.
    fn sign(&self, payload: &[u8]) -> String {
        vault::statement::sign(&self.desk.key, &self.kid(), payload)
    }

    async fn order(&self, number: &Bsn, statement: &Statement) -> (Order, Ciphertext) {
        self.desk.consent_order(number, &statement.record).await
    }

    /// Sends a signed text with an order; gives the reason of the refusal, or nothing.
    async fn register(&self, (order, ciphertext): (Order, Ciphertext), jws: String) -> String {
        let mut service = ConsentServiceClient::new(self.desk.connection.channel());
        let request = RegisterConsentRequest {
            request_id: request_id(),
            statement_jws: jws,
            order: Some((&Signed::sign(order, &self.desk.key)).into()),
            ciphertext: ciphertext.bytes().to_vec(),
        };
        match service.register_consent(request).await {
            Ok(_) => String::new(),
            Err(status) => reason_of(&status),
        }
    }

    /// Registers a consent; gives what the portal is to keep for a gateway that loses it.
    async fn given(&self, statement: &Statement) -> Vec<u8> {
        let (order, ciphertext) = self.order(&self.scene.number, statement).await;
        let mut named = statement.clone();
        named.order = Some(order.id);
        let mut service = ConsentServiceClient::new(self.desk.connection.channel());
        let request = RegisterConsentRequest {
            request_id: request_id(),
            statement_jws: self.sign(&named.canonical_json()),
            order: Some((&Signed::sign(order, &self.desk.key)).into()),
            ciphertext: ciphertext.bytes().to_vec(),
        };
        let answer = service.register_consent(request).await.unwrap();
        answer.into_inner().sealed_subject
    }

    /// The same, with the statement's text changed before it is signed.
    async fn register_changed(
        &self,
        given: &Statement,
        change: impl FnOnce(&str) -> String,
    ) -> String {
        let (order, ciphertext) = self.order(&self.scene.number, given).await;
        let mut named = given.clone();
        named.order = Some(order.id);
        let text = String::from_utf8(named.canonical_json()).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed, "something is changed");
        self.register((order, ciphertext), self.sign(changed.as_bytes()))
            .await
    }

    async fn withdraw(&self, statement: &Statement) -> String {
        let mut service = ConsentServiceClient::new(self.desk.connection.channel());
        let jws = self.sign(&statement.canonical_json());
        let request = WithdrawConsentRequest {
            request_id: request_id(),
            consent: Some(Which::StatementJws(jws)),
            source_sha256: Vec::new(),
        };
        match service.withdraw_consent(request).await {
            Ok(_) => String::new(),
            Err(status) => reason_of(&status),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_signed_or_for_another_order_is_refused() {
    let scene = Scene::set().await;
    let portal = Portal::of(&scene);
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let other = bsn(41);
    let name = async |number: &Bsn| {
        let (order, ciphertext) = portal.order(number, &given).await;
        let mut named = given.clone();
        named.order = Some(order.id);
        ((order, ciphertext), named.canonical_json())
    };
    // Signed by a key that the directory does not have; and by a desk in the portal's name.
    let forger = SigningKey::from_seed(&Secret::new([9; 32]));
    let union = key_of(&scene.house.identity("vakbond"));
    for key in [forger, union] {
        let (order, text) = name(&scene.number).await;
        let jws = vault::statement::sign(&key, &portal.kid(), &text);
        assert_eq!(
            portal.register(order, jws).await,
            Reason::StatementSignatureInvalid.code()
        );
    }
    // The portal's own signature under a name that is not the portal's.
    let (order, text) = name(&scene.number).await;
    let jws = vault::statement::sign(&portal.desk.key, "00000099000000005000/werk", &text);
    assert_eq!(
        portal.register(order, jws).await,
        Reason::StatementSignatureInvalid.code()
    );
    // Another person's number under the statement of this one: its order is not the one that is named.
    let (_, text) = name(&scene.number).await;
    let (swapped, _) = name(&other).await;
    assert_eq!(
        portal.register(swapped, portal.sign(&text)).await,
        Reason::StatementInvalid.code()
    );
    // The order that is named, with another person's ciphertext.
    let ((order, _), text) = name(&scene.number).await;
    let ((_, ciphertext), _) = name(&other).await;
    assert_eq!(
        portal
            .register((order, ciphertext), portal.sign(&text))
            .await,
        Reason::OrderCiphertextMismatch.code()
    );
    // An order for another relation than the statement's.
    let elsewhere = scene.statement("uwv", PeerKind::Uwv, "portal");
    let (order, ciphertext) = portal.order(&scene.number, &elsewhere).await;
    let mut named = given.clone();
    named.order = Some(order.id);
    let jws = portal.sign(&named.canonical_json());
    assert_eq!(
        portal.register((order, ciphertext), jws).await,
        Reason::OrderForbidden.code()
    );
    // Replayed: the same order gets the same handle, and its record is there already.
    let ((order, ciphertext), text) = name(&scene.number).await;
    let jws = portal.sign(&text);
    let again = (order.clone(), ciphertext.clone());
    assert_eq!(portal.register((order, ciphertext), jws.clone()).await, "");
    assert_eq!(
        portal.register(again, jws).await,
        Reason::StatementInvalid.code()
    );
    scene.prepare(&scene.who).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_for_more_than_one_recipient_is_refused() {
    let scene = Scene::set().await;
    let portal = Portal::of(&scene);
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    // Two recipients at once: there is one place for one, and a second is another text.
    let to = given.record.recipient.to_string();
    let other = scene.house.identity("regio").party();
    for two in [
        format!("\"recipient\":[\"{to}\",\"{other}\"]"),
        format!("\"recipient\":\"{to},{other}\""),
        format!("\"recipient\":\"{to}\",\"recipient\":\"{other}\""),
    ] {
        let one = format!("\"recipient\":\"{to}\"");
        let refused = portal
            .register_changed(&given, |text| text.replace(&one, &two))
            .await;
        assert_eq!(refused, Reason::StatementInvalid.code(), "{two}");
    }
    let controllers = "\"pii_controllers\":[";
    let third = "\"pii_controllers\":[{\"oin\":\"00000099000000009000\",\"role\":\"recipient\"},";
    let refused = portal
        .register_changed(&given, |text| text.replace(controllers, third))
        .await;
    assert_eq!(refused, Reason::StatementInvalid.code());

    let asked = scene.portal.register_consent(&scene.number, &given).await;
    asked.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_beyond_the_register_is_refused() {
    let scene = Scene::set().await;
    let given = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let change = |change: &dyn Fn(&mut Statement)| {
        let mut changed = given.clone();
        change(&mut changed);
        changed
    };
    let wider = change(&|statement| {
        let bsn = "BSN".parse().unwrap();
        assert!(statement.record.categories.insert(bsn));
    });
    let longer = change(&|statement| {
        statement.record.valid_until = statement.record.valid_from.plus_millis(91 * DAY_MILLIS);
    });
    let earlier = change(&|statement| {
        statement.record.valid_from = statement.record.valid_from.plus_millis(-DAY_MILLIS);
    });
    let old_version = change(&|statement| statement.record.notice.version = 0);
    let old_text = change(&|statement| statement.record.notice.sha256 = [0; 32]);
    let no_thinking = change(&|statement| statement.record.reflection_offered = false);
    let at_a_desk = change(&|statement| statement.record.method = CollectionMethod::Desk);
    for (statement, expected) in [
        (wider, Reason::ConsentScopeExceeded),
        (longer, Reason::ConsentTermExceeded),
        (earlier, Reason::ConsentTermExceeded),
        (old_version, Reason::PrivacyNoticeOutdated),
        (old_text, Reason::PrivacyNoticeOutdated),
        (no_thinking, Reason::StatementInvalid),
        (at_a_desk, Reason::StatementInvalid),
    ] {
        let refused = scene
            .portal
            .register_consent(&scene.number, &statement)
            .await;
        assert_eq!(reason(refused), expected);
    }
    let asked = scene.portal.register_consent(&scene.number, &given).await;
    asked.unwrap();
}

/// Secrecy of art. 74 Wet SUWI: only on a written waiver, and on the ground that the register names.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_the_written_waiver_is_refused() {
    let scene = Scene::set().await;
    let secret = scene.statement_to(
        ("uwv", PeerKind::Uwv),
        ("vakbond", PeerKind::Vakbond),
        "portal",
    );
    assert!(secret.record.waiver.is_some());
    let mut without = secret.clone();
    without.record.waiver = None;
    let mut other_ground = secret.clone();
    other_ground.record.waiver.as_mut().unwrap().ground = "PW_65".to_owned();
    for statement in [&without, &other_ground] {
        let refused = scene
            .portal
            .register_consent(&scene.number, statement)
            .await;
        assert_eq!(reason(refused), Reason::SecrecyNotWaived);
    }
    let waived = scene.portal.register_consent(&scene.number, &secret).await;
    assert_eq!(waived.unwrap().receipt.state, ConsentState::Given);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_without_the_right_and_a_desk_for_another_help_nobody() {
    let scene = Scene::set().await;
    let uwv = scene.house.client("uwv").await;
    let who = crate::house::enrol(&uwv, "ww-1", 42).await;
    let helped = scene.statement_to(
        ("uwv", PeerKind::Uwv),
        ("vakbond", PeerKind::Vakbond),
        "uwv",
    );
    assert_eq!(
        reason(uwv.assist_consent(&who, &helped).await),
        Reason::RightMissing
    );
    // The vakbond has the right, and only for what it sends itself.
    let mut for_another = scene.statement("uwv", PeerKind::Uwv, "vakbond");
    for_another.record.waiver = helped.record.waiver.clone();
    let refused = reason(scene.union.assist_consent(&scene.who, &for_another).await);
    assert!(
        [Reason::ActingForAnother, Reason::BasisMissing].contains(&refused),
        "{refused}"
    );
    let own = scene.statement("vakbond", PeerKind::Vakbond, "vakbond");
    scene.union.assist_consent(&scene.who, &own).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_persons_consent_is_not_withdrawn() {
    let scene = Scene::set().await;
    let portal = Portal::of(&scene);
    let (other, number) = (person("lid-2"), bsn(41));
    scene.link(&other, &number).await;
    let own = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    let mut theirs = scene.statement("vakbond", PeerKind::Vakbond, "portal");
    theirs.record.valid_from = own.record.valid_from.plus_millis(-1_000);
    for (number, statement) in [(&scene.number, &own), (&number, &theirs)] {
        let given = scene.portal.register_consent(number, statement).await;
        given.unwrap();
    }
    // At the portal, as the person who is logged in: as unknown as a record that nobody has.
    let nobody = ConsentId::from_slice(&[0x77; 16]).unwrap();
    let mut answers = Vec::new();
    for record in [theirs.record.id, nobody] {
        let mut command = Command::new(program());
        command.arg("--sandbox").arg(scene.house.path());
        let stop = format!("consent stop {record} --json");
        let answer = said(command.args(stop.split(' ')), &digits(40));
        assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
        let mut error: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        let request_id = error["error"]["request_id"].take();
        assert_eq!(request_id.as_str().map(str::len), Some(32));
        answers.push(error);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["error"]["reason"], "NOT_AVAILABLE");
    // A statement about one's own record with the id of theirs: the record that is there is another.
    let mut swapped = withdrawal(&own, 2);
    swapped.record.id = theirs.record.id;
    assert_eq!(
        portal.withdraw(&swapped).await,
        Reason::StatementInvalid.code()
    );
    // Signed by a desk, not by the portal; and as the portal, but not with its key.
    let union = Desk::with(&scene.house, "vakbond", scene.union.clone());
    let stop = withdrawal(&theirs, 2);
    for (desk, key, expected) in [
        (&union, &union.key, Reason::RightMissing),
        (&portal.desk, &union.key, Reason::StatementSignatureInvalid),
    ] {
        let jws = vault::statement::sign(key, &portal.kid(), &stop.canonical_json());
        let mut service = ConsentServiceClient::new(desk.connection.channel());
        let request = WithdrawConsentRequest {
            request_id: request_id(),
            consent: Some(Which::StatementJws(jws)),
            source_sha256: Vec::new(),
        };
        let status = service.withdraw_consent(request).await.unwrap_err();
        assert_eq!(reason_of(&status), expected.code());
    }
    // Both still stand; and their own withdrawal does what the others did not.
    scene.prepare(&scene.who).await.unwrap();
    scene.prepare(&other).await.unwrap();
    assert_eq!(portal.withdraw(&stop).await, "");
    assert_eq!(reason(scene.prepare(&other).await), Reason::NotAvailable);
    scene.prepare(&scene.who).await.unwrap();
}

/// Sends what a desk was given with a consent that it registered; gives the reason of the refusal, or nothing.
async fn succeed(desk: &Desk, sealed_subject: Vec<u8>) -> String {
    let mut service = ConsentServiceClient::new(desk.connection.channel());
    let request = WithdrawConsentRequest {
        request_id: request_id(),
        consent: Some(Which::SealedSubject(sealed_subject)),
        source_sha256: Vec::new(),
    };
    match service.withdraw_consent(request).await {
        Ok(answer) => {
            let told = answer.into_inner();
            let counts = (told.ended_handovers, told.to_follow);
            assert_eq!(counts, (0, 0), "nobody hears what there was");
            String::new()
        }
        Err(status) => reason_of(&status),
    }
}

/// Takes a record out of the broker's tables, as a backup from before it does, and puts another in its place.
async fn lose(scene: &Scene, lost: ConsentId, before: Option<ConsentId>) {
    let mut beside = Beside::of(&scene.house.path().join("processes/broker")).await;
    let both = [lost.bytes().as_slice(), before.unwrap_or(lost).bytes()].concat();
    if before.is_some() {
        for back in [
            "UPDATE relation_subject SET standing_consent_id = substr($1, 17, 16) \
             WHERE standing_consent_id = substr($1, 1, 16)",
            "UPDATE consent SET state = 2 WHERE consent_id = substr($1, 17, 16)",
        ] {
            assert_eq!(beside.execute_with(back, &both).await, 1);
        }
    }
    for gone in [
        "DELETE FROM consent_event WHERE consent_id = substr($1, 1, 16)",
        "DELETE FROM consent WHERE consent_id = substr($1, 1, 16)",
    ] {
        assert!(beside.execute_with(gone, &both).await > 0);
    }
    beside.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_consent_had_replaced_ends_and_nothing_that_came_later() {
    let scene = Scene::set().await;
    let portal = Portal::of(&scene);
    let mut given = Vec::new();
    for _ in 0..3 {
        let statement = scene.statement("vakbond", PeerKind::Vakbond, "portal");
        let sealed = portal.given(&statement).await;
        given.push((statement.record.id, sealed));
    }
    let [(first, _), (second, of_second), (third, of_third)] = given.as_slice() else {
        panic!("three consents");
    };
    let sizes: Vec<_> = given.iter().map(|(_, sealed)| sealed.len()).collect();
    assert_eq!(sizes, [88; 3]);
    assert_ne!(of_second, of_third, "no two are alike");
    // Nothing is lost.
    assert_eq!(succeed(&portal.desk, of_third.clone()).await, "");
    scene.prepare(&scene.who).await.unwrap();
    // Changed, of nobody, by another desk, too short.
    let mut changed = of_third.clone();
    changed[40] ^= 1;
    let union = Desk::with(&scene.house, "vakbond", scene.union.clone());
    for (desk, sealed) in [
        (&portal.desk, changed),
        (&portal.desk, vec![0; 88]),
        (&union, of_third.clone()),
        (&portal.desk, of_third[1..].to_vec()),
    ] {
        assert_eq!(succeed(desk, sealed).await, "INVALID_REQUEST");
    }
    scene.prepare(&scene.who).await.unwrap();
    // The second is lost, and the third came after it.
    lose(&scene, *second, None).await;
    assert_eq!(succeed(&portal.desk, of_second.clone()).await, "");
    scene.prepare(&scene.who).await.unwrap();
    // The third is lost as well, and the first seems to stand again.
    lose(&scene, *third, Some(*first)).await;
    scene.prepare(&scene.who).await.unwrap();
    assert_eq!(succeed(&portal.desk, of_third.clone()).await, "");
    let refused = reason(scene.prepare(&scene.who).await);
    assert_eq!(refused, Reason::NotAvailable);
}

/// Narrows or stops a consent in one of the ways there are; gives what whoever did it was given, and who that was.
async fn changed_by(
    scene: &Scene,
    portal: &Portal<'_>,
    given: &Statement,
    way: usize,
) -> (Desk, Vec<u8>) {
    let desk = |name: &str, client: &Client| Desk::with(&scene.house, name, client.clone());
    match way {
        0 => {
            let done = scene.portal.withdraw_consent(&withdrawal(given, 2)).await;
            let sealed = done.unwrap().receipt.sealed_subject;
            (desk("portal", &portal.desk.client), sealed)
        }
        1 => {
            let code = given.stop_code.clone().unwrap();
            let done = scene.union.withdraw_by_code(&code, None).await;
            (desk("vakbond", &scene.union), done.unwrap().sealed_subject)
        }
        2 => {
            let mut narrowed = given.clone();
            narrowed.event = StatementEvent::Narrowed;
            narrowed.record.version = 2;
            narrowed.stop_code = None;
            narrowed.record.valid_until = narrowed.record.valid_until.plus_millis(-86_400_000);
            let done = scene.portal.narrow_consent(&narrowed).await;
            let sealed = done.unwrap().receipt.sealed_subject;
            (desk("portal", &portal.desk.client), sealed)
        }
        _ => {
            let officer = scene.house.identity("officer").client().unwrap();
            let done = officer.invalidate_consent(&given.record.id).await;
            (desk("officer", &officer), done.unwrap().sealed_subject)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changed_a_lost_consent_ends_what_it_had_replaced() {
    let scene = Scene::set().await;
    let portal = Portal::of(&scene);
    for way in 0..4 {
        let first = scene.statement("vakbond", PeerKind::Vakbond, "portal");
        portal.given(&first).await;
        let lost = scene.statement("vakbond", PeerKind::Vakbond, "portal");
        portal.given(&lost).await;
        let (desk, sealed) = changed_by(&scene, &portal, &lost, way).await;
        assert_eq!(sealed.len(), 88, "{way}");
        lose(&scene, lost.record.id, Some(first.record.id)).await;
        let handover = scene.prepare(&scene.who).await.unwrap();
        assert_eq!(succeed(&desk, sealed).await, "", "{way}");
        let refused = reason(scene.prepare(&scene.who).await);
        assert_eq!(refused, Reason::NotAvailable, "{way}");
        scene.house.settle().await;
        let shown = scene.union.show(&handover).await.unwrap().handover.unwrap();
        assert_eq!(shown.state, State::Withdrawn.number(), "{way}");
    }
}
