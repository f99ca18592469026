//! A desk that writes its own messages, below the client library: for what the library would never
//! send.
//!
//! Must never be used where the library can do the same: what partners run is what is to be tested.

use crate::house::{DOSSIER, Folder};
use client::{Client, Connection, DirectoryCopy, PersonKey, Preparation};
use gateway::cli::identity::Identity;
use gateway::clock::SystemClock;
use papers::paper::{Manifest, ManifestStage, Signed, SignedManifest};
use rules::clock::{Clock as _, Timestamp};
use rules::consent::ConsentRecord;
use rules::id::{HandoverId, Label, OrderId, RequestId};
use rules::limits::MINUTE_MILLIS;
use rules::pseudonym::{Context, Domain, Order, OrderKind, Relation, TargetDomain};
use rules::secret::Secret;
use std::sync::Arc;
use vault::chance::SystemChance;
use vault::digest::sha256;
use vault::keyfile::SecretName;
use vault::pseudonym::{Bsn, Ciphertext, ContextKey};
use vault::sealing::seal_fields;
use vault::sign::SigningKey;
use wire::handover::v1 as message;
use wire::pseudonym::v1::{EnrolItem, EnrolRequest, SignedOrder, SignedVoucher};

/// A desk with all that the library keeps for it.
pub(crate) struct Desk {
    /// Its settings.
    pub(crate) identity: Identity,
    /// The library, for what comes before and after.
    pub(crate) client: Client,
    /// The key with which it signs.
    pub(crate) key: SigningKey,
    /// Its way to the broker.
    pub(crate) connection: Connection,
}

/// A sealed set as it travels: the encapsulation and the fields.
pub(crate) type Fields = Vec<(Label, Vec<u8>)>;

impl Desk {
    /// The desk of an identity, its context opened.
    pub(crate) async fn of(folder: &Folder, name: &str) -> Self {
        let client = folder.client(name).await;
        Self::with(folder, name, client)
    }

    /// The desk of an identity that works already.
    pub(crate) fn with(folder: &Folder, name: &str, client: Client) -> Self {
        let identity = folder.identity(name);
        Self {
            client,
            key: key_of(&identity),
            connection: identity.connect().unwrap(),
            identity,
        }
    }

    /// An order ENROL about a number, with its ciphertext.
    pub(crate) async fn enrolment(&self, bsn: &Bsn) -> (Order, Ciphertext) {
        let own = self.own().await;
        let ciphertext = own.key.encrypt_bsn(bsn);
        let target: TargetDomain = own.domain.to_string().parse().unwrap();
        let order = Order {
            targets: vec![(target, own.context.clone())],
            ..self.order(OrderKind::Enrol, (Domain::Origin, own.context), &ciphertext)
        };
        (order, ciphertext)
    }

    /// An order CONSENT of the portal about a number, in the relation of a record.
    pub(crate) async fn consent_order(
        &self,
        bsn: &Bsn,
        record: &ConsentRecord,
    ) -> (Order, Ciphertext) {
        let directory = self.client.directory().await.unwrap();
        let rules = directory.directory();
        let context = directory.context(self.client.party()).unwrap();
        let key = self.client.store().context_key(&context).unwrap().unwrap();
        let relation = TargetDomain::Relation {
            relation: Relation {
                from: record.sender.clone(),
                to: record.recipient.clone(),
                purpose: record.purpose.clone(),
            },
            epoch: rules.relation_epoch(),
        };
        let ciphertext = key.encrypt_bsn(bsn);
        let order = Order {
            targets: vec![(relation, directory.context(rules.broker()).unwrap())],
            purpose: Some(record.purpose.clone()),
            ..self.order(OrderKind::Consent, (Domain::Origin, context), &ciphertext)
        };
        (order, ciphertext)
    }

    /// An order PREPARE about an enrolled person, with its ciphertext.
    pub(crate) async fn prepare_order(
        &self,
        who: &PersonKey,
        asked: &Preparation,
    ) -> (Order, Ciphertext) {
        let own = self.own().await;
        let store = self.client.store();
        let pseudonym = store.pseudonym(&own.domain, who).unwrap().unwrap();
        let ciphertext = own.key.encrypt(&pseudonym);
        let rules = own.directory.directory();
        let relation = TargetDomain::Relation {
            relation: Relation {
                from: self.client.party().clone(),
                to: asked.recipient.clone(),
                purpose: asked.purpose.clone(),
            },
            epoch: rules.relation_epoch(),
        };
        let portal = TargetDomain::Portal {
            epoch: rules.portal_epoch(),
        };
        let context = |party| own.directory.context(party).unwrap();
        let order = Order {
            targets: vec![
                (relation, context(rules.broker())),
                (portal, context(rules.portal())),
            ],
            purpose: Some(asked.purpose.clone()),
            ..self.order(OrderKind::Prepare, (own.domain, own.context), &ciphertext)
        };
        (order, ciphertext)
    }

    /// An order HANDOVER about an enrolled person that continues a PREPARE, with its ciphertext.
    pub(crate) async fn handover_order(
        &self,
        who: &PersonKey,
        asked: &Preparation,
        parent: OrderId,
    ) -> (Order, Ciphertext) {
        let (prepare, ciphertext) = self.prepare_order(who, asked).await;
        let own = self.own().await;
        let rules = own.directory.directory();
        let to = TargetDomain::Partner {
            party: asked.recipient.clone(),
            epoch: rules.realm(&asked.recipient).unwrap().epoch,
        };
        let context = own.directory.context(&asked.recipient).unwrap();
        let order = Order {
            kind: OrderKind::Handover,
            targets: vec![(to, context), prepare.targets[0].clone()],
            parent: Some(parent),
            ..prepare
        };
        (order, ciphertext)
    }

    /// The request to offer these values, sealed to the recipient.
    pub(crate) async fn offer_request(
        &self,
        handover: HandoverId,
        expected_revision: i64,
        to: &Identity,
        values: &[(Label, Secret<Vec<u8>>)],
    ) -> message::OfferRequest {
        let dossier_labels = DOSSIER.iter().map(|(label, _)| label.parse().unwrap());
        let stage = ManifestStage::Offer {
            dossier_labels: dossier_labels.collect(),
        };
        let (manifest, summary) = self.sealed(handover, to, values, stage).await;
        message::OfferRequest {
            request_id: request_id(),
            handover_id: handover.bytes().to_vec(),
            expected_revision,
            manifest: Some(manifest),
            summary: Some(summary),
        }
    }

    /// The request to release these values, sealed to the recipient, with this order.
    pub(crate) async fn release_request(
        &self,
        step: (HandoverId, i64),
        to: &Identity,
        (order, ciphertext): (SignedOrder, &Ciphertext),
        prepare_vouchers: Vec<SignedVoucher>,
        values: &[(Label, Secret<Vec<u8>>)],
    ) -> message::ReleaseRequest {
        let (handover, expected_revision) = step;
        let stage = ManifestStage::Release {
            ciphertext_sha256: sha256(ciphertext.bytes()),
        };
        let (manifest, dossier) = self.sealed(handover, to, values, stage).await;
        message::ReleaseRequest {
            request_id: request_id(),
            handover_id: handover.bytes().to_vec(),
            expected_revision,
            order: Some(order),
            ciphertext: ciphertext.bytes().to_vec(),
            prepare_vouchers,
            manifest: Some(manifest),
            dossier: Some(dossier),
        }
    }

    /// The request to tell whom handed over (`to`) these values, sealed to them.
    pub(crate) async fn report_request(
        &self,
        handover: HandoverId,
        to: &Identity,
        values: &[(Label, Secret<Vec<u8>>)],
    ) -> message::SendReportRequest {
        let stage = ManifestStage::Report;
        let (manifest, report) = self.sealed(handover, to, values, stage).await;
        message::SendReportRequest {
            request_id: request_id(),
            handover_id: handover.bytes().to_vec(),
            manifest: Some(manifest),
            report: Some(report),
        }
    }

    pub(crate) async fn sealed(
        &self,
        handover: HandoverId,
        to: &Identity,
        values: &[(Label, Secret<Vec<u8>>)],
        stage: ManifestStage,
    ) -> (message::SignedManifest, message::SealedFields) {
        let directory = self.client.directory().await.unwrap();
        let recipient = to.party().parse().unwrap();
        let (key, _) = directory.sealing_key(&recipient, now()).unwrap();
        let plain: Vec<(Label, &[u8])> = values
            .iter()
            .map(|(label, value)| (label.clone(), value.expose().as_slice()))
            .collect();
        let sealed = seal_fields(&key, &handover, stage.sealing(), &plain).unwrap();
        let fields: Fields = sealed
            .fields
            .into_iter()
            .map(|field| (field.label, field.sealed))
            .collect();
        let manifest = Manifest {
            stage,
            ..self
                .manifest(handover, to, &sealed.encapsulation, &fields)
                .await
        };
        let fields = fields
            .into_iter()
            .map(|(label, sealed)| message::SealedField {
                label: label.to_string(),
                sealed,
            });
        let fields = message::SealedFields {
            encapsulation: sealed.encapsulation,
            fields: fields.collect(),
        };
        (self.signed_manifest(manifest), fields)
    }

    fn order(
        &self,
        kind: OrderKind,
        (source, source_context): (Domain, Context),
        ciphertext: &Ciphertext,
    ) -> Order {
        let now = now();
        Order {
            version: Order::VERSION,
            id: OrderId::draw(&SystemClock, &SystemChance::new()),
            kind,
            issuer: self.client.party().oin.clone(),
            desk: self.identity.desk.parse().unwrap(),
            source,
            source_context,
            targets: Vec::new(),
            purpose: None,
            ciphertext_sha256: sha256(ciphertext.bytes()),
            not_before: now,
            not_after: now.plus_millis(2 * MINUTE_MILLIS),
            parent: None,
        }
    }

    /// An order, signed by this desk.
    pub(crate) fn signed(&self, order: Order) -> SignedOrder {
        (&Signed::sign(order, &self.key)).into()
    }

    async fn own(&self) -> Own {
        let directory = self.client.directory().await.unwrap();
        let party = self.client.party();
        let context = directory.context(party).unwrap();
        let epoch = directory.directory().realm(party).unwrap().epoch;
        Own {
            key: self.client.store().context_key(&context).unwrap().unwrap(),
            domain: Domain::Partner {
                party: party.clone(),
                epoch,
            },
            context,
            directory,
        }
    }

    /// A manifest of the summary that fits these fields, whatever they are.
    pub(crate) async fn manifest(
        &self,
        handover: HandoverId,
        to: &Identity,
        encapsulation: &[u8],
        fields: &Fields,
    ) -> Manifest {
        let directory = self.client.directory().await.unwrap();
        let recipient = to.party().parse().unwrap();
        let (sealing_key, _) = directory.sealing_key(&recipient, now()).unwrap();
        let listed = fields
            .iter()
            .map(|(label, sealed)| papers::paper::ManifestField {
                label: label.clone(),
                sealed_sha256: sha256(sealed),
            });
        Manifest {
            handover,
            recipient,
            purpose: "HANDOVER".parse().unwrap(),
            sealing_key_sha256: sealing_key.sha256(),
            encapsulation_sha256: sha256(encapsulation),
            fields: listed.collect(),
            stage: ManifestStage::Offer {
                dossier_labels: vec!["identiteit.naam".parse().unwrap()],
            },
        }
    }

    /// A manifest, signed by this desk.
    pub(crate) fn signed_manifest(&self, manifest: Manifest) -> message::SignedManifest {
        let signed = SignedManifest {
            signed: Signed::sign(manifest, &self.key),
            desk: self.identity.desk.parse().unwrap(),
        };
        (&signed).into()
    }
}

/// The key with which a desk signs.
pub(crate) fn key_of(identity: &Identity) -> SigningKey {
    let keys = identity.keys().unwrap();
    SigningKey::from_seed(keys.require(SecretName::SigningSeed).unwrap())
}

/// The realm's own domain and context.
struct Own {
    directory: Arc<DirectoryCopy>,
    domain: Domain,
    context: Context,
    key: ContextKey,
}

/// A fresh request id.
pub(crate) fn request_id() -> Vec<u8> {
    let id = RequestId::draw(&SystemClock, &SystemChance::new());
    id.bytes().to_vec()
}

/// The request to prepare with this order.
pub(crate) fn prepare_request(
    asked: &Preparation,
    order: SignedOrder,
    ciphertext: &Ciphertext,
) -> message::PrepareRequest {
    let texts = |labels: &[Label]| labels.iter().map(ToString::to_string).collect();
    message::PrepareRequest {
        request_id: request_id(),
        recipient: asked.recipient.to_string(),
        purpose: asked.purpose.to_string(),
        basis: asked.basis.to_string(),
        summary_labels: texts(&asked.summary_labels),
        dossier_labels: texts(&asked.dossier_labels),
        group_id: Vec::new(),
        order: Some(order),
        ciphertext: ciphertext.bytes().to_vec(),
    }
}

/// The request to enrol with these orders, each with its ciphertext.
pub(crate) fn enrol_request(items: Vec<(SignedOrder, Vec<u8>)>) -> EnrolRequest {
    let items = items.into_iter().map(|(order, ciphertext)| EnrolItem {
        order: Some(order),
        ciphertext,
    });
    EnrolRequest {
        request_id: request_id(),
        items: items.collect(),
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}
