//! Summaries that the client library would never send: rightly signed manifests about too much, too
//! often or something else. Each has its reason, and the handover stays as it was.
//!
//! Must never break the signature by the way: then only that would be tested.

use crate::desk::{Desk, Fields, request_id};
use crate::house::{House, SUMMARY, enrol, preparation, reason_of, values};
use client::PersonKey;
use gateway::cli::identity::Identity;
use papers::paper::{Manifest, ManifestStage};
use rules::handover::State;
use rules::id::{HandoverId, Label};
use rules::limits::{
    DOSSIER_BYTES_MAX, FIELD_BYTES_MAX, FIELD_PADDING_BYTES, MANIFEST_LABELS_MAX, MESSAGE_BYTES_MAX,
};
use vault::sealing::ENCAPSULATION_BYTES;
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

/// Octets that sealing adds behind a padded value.
const TAG_BYTES: usize = 16;

/// A prepared handover that is offered by hand.
struct Offering {
    desk: Desk,
    to: Identity,
    handover: HandoverId,
    revision: i64,
}

impl Offering {
    async fn begin(house: &House, number: usize) -> Self {
        let desk = Desk::of(house, "uwv").await;
        let to = house.identity("neutraal");
        let who: PersonKey = enrol(&desk.client, "ww-1", number).await;
        let asked = preparation(&to, None);
        let prepared = desk.client.prepare(&who, &asked).await.unwrap();
        Self {
            handover: prepared.receipt.handover,
            revision: prepared.receipt.revision,
            desk,
            to,
        }
    }

    async fn manifest(&self, fields: &Fields) -> Manifest {
        let encapsulation = [0; ENCAPSULATION_BYTES];
        self.desk
            .manifest(self.handover, &self.to, &encapsulation, fields)
            .await
    }

    /// Offers these fields under this manifest; the reason of the refusal.
    async fn refused(&self, manifest: Manifest, fields: &Fields) -> String {
        let manifest = self.desk.signed_manifest(manifest);
        self.refused_as(self.revision, manifest, fields).await
    }

    async fn refused_as(
        &self,
        expected_revision: i64,
        manifest: message::SignedManifest,
        fields: &Fields,
    ) -> String {
        let fields = fields.iter().map(|(label, sealed)| message::SealedField {
            label: label.to_string(),
            sealed: sealed.clone(),
        });
        let request = message::OfferRequest {
            request_id: request_id(),
            handover_id: self.handover.bytes().to_vec(),
            expected_revision,
            manifest: Some(manifest),
            summary: Some(message::SealedFields {
                encapsulation: vec![0; ENCAPSULATION_BYTES],
                fields: fields.collect(),
            }),
        };
        let channel = self.desk.connection.channel();
        let answer = HandoverServiceClient::new(channel).offer(request).await;
        let reason = reason_of(&answer.unwrap_err());
        let shown = self.desk.client.show(&self.handover).await.unwrap();
        let shown = shown.handover.unwrap();
        assert_eq!(shown.state, State::Prepared.number(), "{reason}");
        assert_eq!(shown.revision, self.revision, "{reason}");
        reason
    }

    /// What the library offers is taken, so the refusals before were about what they said.
    async fn finish(self) {
        let client = &self.desk.client;
        let receipt = client.offer(&self.handover, &values(SUMMARY)).await;
        assert_eq!(receipt.unwrap().revision, self.revision + 1);
    }
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// As many octets as a value of this length has when it is sealed.
fn sealed(value_bytes: usize) -> Vec<u8> {
    vec![7; value_bytes.next_multiple_of(FIELD_PADDING_BYTES) + TAG_BYTES]
}

/// The summary's own fields, of the smallest size.
fn fits() -> Fields {
    let labels = SUMMARY.iter().map(|(name, _)| label(name));
    labels.map(|label| (label, sealed(1))).collect()
}

/// Labels that are in the register, as many as are asked for.
fn known_labels(house: &House, count: usize) -> Vec<Label> {
    let bundle = gateway::policies::load(&house.path().join("policies")).unwrap();
    let all: std::collections::BTreeSet<Label> = bundle
        .register()
        .entries()
        .flat_map(|entry| entry.labels_offer.union(&entry.labels_dossier))
        .cloned()
        .collect();
    assert!(all.len() >= count, "the register has {} labels", all.len());
    all.into_iter().take(count).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_too_many_doubled_or_unknown_are_refused() {
    let house = House::start().await;
    let offering = Offering::begin(&house, 23).await;
    let mut unknown = fits();
    unknown.push((label("lidmaatschap.vakbond"), sealed(1)));
    let mut doubled = fits();
    doubled.push(doubled[0].clone());
    let many: Fields = (0..=MANIFEST_LABELS_MAX)
        .map(|n| (label(&format!("werk.n{n}")), sealed(1)))
        .collect();
    for (fields, expected) in [
        (&unknown, "LABEL_UNKNOWN"),
        (&doubled, "LABEL_DOUBLED"),
        (&many, "LABELS_TOO_MANY"),
    ] {
        let manifest = offering.manifest(fields).await;
        assert_eq!(offering.refused(manifest, fields).await, expected);
    }
    for (dossier_labels, expected) in [
        (vec![label("lidmaatschap.vakbond")], "LABEL_UNKNOWN"),
        (vec![label("identiteit.naam"); 2], "LABEL_DOUBLED"),
        (
            many.iter().map(|(label, _)| label.clone()).collect(),
            "LABELS_TOO_MANY",
        ),
    ] {
        let manifest = Manifest {
            stage: ManifestStage::Offer { dossier_labels },
            ..offering.manifest(&fits()).await
        };
        assert_eq!(offering.refused(manifest, &fits()).await, expected);
    }
    offering.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_messages_over_size_are_refused() {
    let house = House::start().await;
    let offering = Offering::begin(&house, 24).await;
    // A value of 64 KiB and its length fill one padding more; the next is too large. What is not
    // padded tells its length, and is refused as well.
    let large = FIELD_BYTES_MAX + 2 * FIELD_PADDING_BYTES;
    for bytes in [sealed(large), vec![7; 100], vec![7; TAG_BYTES], Vec::new()] {
        let mut fields = fits();
        fields[1].1 = bytes;
        let manifest = offering.manifest(&fields).await;
        assert_eq!(offering.refused(manifest, &fields).await, "FIELD_TOO_LARGE");
    }
    for bytes_min in [DOSSIER_BYTES_MAX, MESSAGE_BYTES_MAX] {
        let field = sealed(FIELD_BYTES_MAX);
        let labels = known_labels(&house, bytes_min / field.len() + 1);
        let fields: Fields = labels.into_iter().map(|l| (l, field.clone())).collect();
        let manifest = offering.manifest(&fields).await;
        assert_eq!(
            offering.refused(manifest, &fields).await,
            "MESSAGE_TOO_LARGE"
        );
    }
    offering.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_about_something_else_is_refused() {
    let house = House::start().await;
    let offering = Offering::begin(&house, 25).await;
    let fields = fits();
    let good = offering.manifest(&fields).await;
    let with = |change: fn(&mut Manifest)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest
    };
    let release = ManifestStage::Release {
        ciphertext_sha256: [1; 32],
    };
    let another = house.identity("regio").party().parse().unwrap();
    for (what, manifest, expected) in [
        (
            "handover",
            with(|manifest| manifest.handover = HandoverId::from_slice(&[7; 16]).unwrap()),
            "MANIFEST_INVALID",
        ),
        (
            "stage",
            Manifest {
                stage: release,
                ..good.clone()
            },
            "MANIFEST_INVALID",
        ),
        (
            "recipient",
            Manifest {
                recipient: another,
                ..good.clone()
            },
            "MANIFEST_INVALID",
        ),
        (
            "key",
            with(|manifest| manifest.sealing_key_sha256 = [1; 32]),
            "SEALING_KEY_OUTDATED",
        ),
        (
            "encapsulation",
            with(|manifest| manifest.encapsulation_sha256 = [1; 32]),
            "MANIFEST_DIGEST_MISMATCH",
        ),
        (
            "field",
            with(|manifest| manifest.fields[0].sealed_sha256 = [1; 32]),
            "MANIFEST_DIGEST_MISMATCH",
        ),
    ] {
        let reason = offering.refused(manifest, &fields).await;
        assert_eq!(reason, expected, "{what}");
    }
    offering.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_by_somebody_else_or_on_another_revision_is_refused() {
    let house = House::start().await;
    let offering = Offering::begin(&house, 38).await;
    let fields = fits();
    let good = offering.manifest(&fields).await;
    let signed = offering.desk.signed_manifest(good.clone());
    let revision = offering.revision + 1;
    let reason = offering.refused_as(revision, signed.clone(), &fields).await;
    assert_eq!(reason, "REVISION_MISMATCH");
    let of_another = message::SignedManifest {
        desk: "fg".to_owned(),
        ..signed
    };
    let revision = offering.revision;
    let reason = offering.refused_as(revision, of_another, &fields).await;
    assert_eq!(reason, "MANIFEST_SIGNATURE_INVALID");
    let town = Desk::of(&house, "regio").await;
    let by_another = message::SignedManifest {
        desk: offering.desk.identity.desk.clone(),
        ..town.signed_manifest(good)
    };
    let reason = offering.refused_as(revision, by_another, &fields).await;
    assert_eq!(reason, "MANIFEST_SIGNATURE_INVALID");
    offering.finish().await;
}
