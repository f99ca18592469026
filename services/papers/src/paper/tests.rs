//! Papers read back as written, everything else is refused, and a chain holds only whole.

mod vectors;

use super::*;
use prost::Message as _;
use rules::clock::Timestamp;
use rules::id::{HandoverId, NoticeId, OrderId};
use rules::notice::AnswerCode;
use rules::pseudonym::{Domain, OrderKind};
use std::fmt::Debug;

const UWV: &str = "00000099000000001000";
const GEMEENTE: &str = "00000099000000002000";
const BROKER: &str = "00000099000000007000";

fn name<T: std::str::FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn order(kind: OrderKind, parent: Option<OrderId>, ciphertext: &[u8]) -> Order {
    let relation = format!("rel/{UWV}/main/{GEMEENTE}/main/HANDOVER/1");
    let other = match kind {
        OrderKind::Handover => (format!("partner/{GEMEENTE}/main/1"), GEMEENTE),
        _ => ("portal/1".to_owned(), BROKER),
    };
    Order {
        version: 1,
        id: OrderId::from_slice(&[kind.number() as u8; 16]).unwrap(),
        kind,
        issuer: name(UWV),
        desk: name("werkplein"),
        source: name(&format!("partner/{UWV}/main/1")),
        source_context: name(&format!("ctx/{UWV}/main/1")),
        targets: vec![
            (name(&other.0), name(&format!("ctx/{}/main/1", other.1))),
            (name(&relation), name(&format!("ctx/{BROKER}/main/1"))),
        ],
        purpose: Some(name("HANDOVER")),
        ciphertext_sha256: vault::digest::sha256(ciphertext),
        not_before: Timestamp::from_millis(1_000),
        not_after: Timestamp::from_millis(121_000),
        parent,
    }
}

fn manifest(stage: ManifestStage) -> Manifest {
    Manifest {
        handover: HandoverId::from_slice(&[7; 16]).unwrap(),
        recipient: name(&format!("{GEMEENTE}/main")),
        purpose: name("HANDOVER"),
        sealing_key_sha256: [1; 32],
        encapsulation_sha256: vault::digest::sha256(b"encapsulation"),
        fields: [("a.b", b"one"), ("c", b"two")]
            .into_iter()
            .map(|(label, sealed)| ManifestField {
                label: name(label),
                sealed_sha256: vault::digest::sha256(sealed),
            })
            .collect(),
        stage,
    }
}

fn release() -> ManifestStage {
    ManifestStage::Release {
        ciphertext_sha256: [9; 32],
    }
}

/// Reads back; refuses an unknown field, every cut-off, every octet behind it, and an empty paper;
/// and no flipped octet survives the signature.
fn check<P: Form + PartialEq + Debug + Clone>(paper: &P) {
    let bytes = encode(paper);
    assert_eq!(decode::<P>(&bytes).as_ref(), Ok(paper));
    let unknown = [bytes.as_slice(), &[0xf8, 0x07, 0x01]].concat();
    assert_eq!(decode::<P>(&unknown).unwrap_err().reason, P::MALFORMED);
    for length in 0..bytes.len() {
        if let Ok(read) = decode::<P>(&bytes[..length]) {
            assert_ne!(&read, paper, "an optional end was left out");
        }
    }
    let key = SigningKey::from_seed(&SigningKey::generate());
    let signed = Signed::sign(paper.clone(), &key);
    let public = key.public();
    assert_eq!(signed.verify(&public), Ok(()));
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        if let Ok(read) = Signed::<P>::receive(flipped, signed.signature().bytes()) {
            assert_eq!(read.verify(&public).unwrap_err().reason, P::FORGED);
        }
    }
    let short = Signed::<P>::receive(bytes, &[0; 63]);
    assert_eq!(short.unwrap_err().reason, P::FORGED);
}

#[test]
fn papers_read_back_and_nothing_else_does() {
    check(&order(OrderKind::Prepare, None, b"x"));
    check(&order(
        OrderKind::Handover,
        OrderId::from_slice(&[3; 16]),
        b"x",
    ));
    check(&manifest(release()));
    check(&manifest(ManifestStage::Offer {
        dossier_labels: vec![name("a.b")],
    }));
    check(&manifest(ManifestStage::Report));
    check(&ContextRequest {
        context: name(&format!("ctx/{UWV}/main/1")),
        owner: name(UWV),
        desk: name("hoofd"),
        sealing_key_sha256: [4; 32],
        time: Timestamp::from_millis(5),
    });
    check(&ContextStep {
        context: name(&format!("ctx/{UWV}/main/1")),
        hop: 1,
        holder: name(UWV),
        previous_point: [1; 32],
        point: [2; 32],
        share_commitment: [3; 32],
        proof: vec![4; 224],
        time: Timestamp::from_millis(5),
    });
    for answer in AnswerCode::ALL {
        check(&notice_answer(*answer));
    }
}

fn notice_answer(answer: AnswerCode) -> NoticeAnswer {
    NoticeAnswer {
        notice: NoticeId::from_slice(&[1; 16]).unwrap(),
        answer,
        ground: (answer == AnswerCode::Retained).then(|| name("ARCHIEFWET")),
        time: Timestamp::from_millis(5),
    }
}

#[track_caller]
fn refuses<P: Form>(paper: &P, change: impl FnOnce(&mut P::Message), field: &str, reason: Reason) {
    let mut message = paper.to_message();
    change(&mut message);
    let Err(error) = decode::<P>(&message.encode_to_vec()) else {
        panic!("{field} was accepted")
    };
    assert_eq!((error.field, error.reason), (field, reason));
}

#[test]
fn wrong_fields_are_named() {
    let paper = order(OrderKind::Prepare, None, b"x");
    let malformed = Reason::OrderMalformed;
    refuses(&paper, |m| m.version = 2, "version", malformed);
    refuses(&paper, |m| m.kind = 0, "kind", malformed);
    refuses(&paper, |m| m.kind = 99, "kind", malformed);
    refuses(&paper, |m| m.order_id = vec![0; 16], "order_id", malformed);
    refuses(&paper, |m| m.targets.clear(), "targets", malformed);
    let origin = |m: &mut wire::pseudonym::v1::Order| m.targets[0].domain = "origin/bsn/1".into();
    refuses(&paper, origin, "targets.domain", malformed);
    refuses(&paper, |m| m.issuer_desk.clear(), "issuer_desk", malformed);
    refuses(
        &paper,
        |m| m.not_before_millis = 0,
        "not_before_millis",
        malformed,
    );
    let long = |m: &mut wire::pseudonym::v1::Order| m.ciphertext_sha256.push(1);
    refuses(&paper, long, "ciphertext_sha256", malformed);

    let paper = manifest(ManifestStage::Report);
    let malformed = Reason::ManifestInvalid;
    let labels = |m: &mut wire::handover::v1::Manifest| m.dossier_labels = vec!["a.b".into()];
    refuses(&paper, labels, "stage", malformed);
    let ciphertext = |m: &mut wire::handover::v1::Manifest| m.ciphertext_sha256 = vec![9; 32];
    refuses(&paper, ciphertext, "stage", malformed);

    let paper = manifest(release());
    let doubled = |m: &mut wire::handover::v1::Manifest| m.fields[1].label = "a.b".into();
    refuses(&paper, doubled, "fields", Reason::LabelDoubled);
    refuses(
        &paper,
        |m| m.fields.clear(),
        "fields",
        Reason::ManifestInvalid,
    );
    refuses(&paper, |m| m.stage = 0, "stage", Reason::ManifestInvalid);
    let mixed = |m: &mut wire::handover::v1::Manifest| m.dossier_labels.push("a".into());
    refuses(&paper, mixed, "dossier_labels", Reason::ManifestInvalid);
    let many = |m: &mut wire::handover::v1::Manifest| {
        m.fields = (0..65)
            .map(|number| wire::handover::v1::ManifestField {
                label: format!("l{number}"),
                sealed_sha256: vec![1; 32],
            })
            .collect();
    };
    refuses(&paper, many, "fields", Reason::LabelsTooMany);

    let paper = notice_answer(AnswerCode::Done);
    let malformed = Reason::NoticeSignatureInvalid;
    refuses(&paper, |m| m.answer = 0, "answer", malformed);
    refuses(&paper, |m| m.ground = "X".into(), "ground", malformed);
    refuses(
        &paper,
        |m| m.answer = 2,
        "ground",
        Reason::NoticeGroundMissing,
    );
}

#[test]
fn fields_match_their_manifest_or_are_found_out() {
    let manifest = manifest(release());
    let field = |label: &str, sealed: &[u8]| (name(label), sealed.to_vec());
    let verify = |fields: &[_]| manifest.verify_fields(fields).map_err(|error| error.reason);
    let (one, two) = (field("a.b", b"one"), field("c", b"two"));
    assert_eq!(verify(&[one.clone(), two.clone()]), Ok(()));
    let mismatch = Err(Reason::ManifestDigestMismatch);
    for wrong in [
        vec![],
        vec![two.clone()],
        vec![two.clone(), one.clone()],
        vec![one.clone(), one.clone()],
        vec![one.clone(), two.clone(), two.clone()],
        vec![field("a.b", b"two"), two.clone()],
        vec![one.clone(), field("d", b"two")],
    ] {
        assert_eq!(verify(&wrong), mismatch, "{wrong:?}");
    }
    // One alone, as whoever opens meets them: others may have been dropped on the way.
    assert!(manifest.verify_field(&two.0, &two.1).is_ok());
    assert!(manifest.verify_field(&two.0, &one.1).is_err());
    assert!(manifest.verify_field(&name("d"), &two.1).is_err());
    assert!(manifest.verify_encapsulation(b"encapsulation").is_ok());
    assert!(manifest.verify_encapsulation(b"other").is_err());
    assert!(manifest.verify_ciphertext(&[9; 32]).is_ok());
    assert!(manifest.verify_ciphertext(&[8; 32]).is_err());
}

struct Walk {
    keys: Vec<SigningKey>,
    holders: Vec<HolderKey>,
    order: Signed<Order>,
    vouchers: Vec<Signed<Voucher>>,
    /// Ciphertexts before each hop, and after the last.
    stages: Vec<Vec<Vec<u8>>>,
}

/// Two holders that did what `order` says; the ciphertexts are only lengths and digests here.
fn walk(kind: OrderKind, parent: Option<OrderId>) -> Walk {
    let source = vec![vec![0_u8; 64]];
    let keys: Vec<_> = (0..2)
        .map(|_| SigningKey::from_seed(&SigningKey::generate()))
        .collect();
    let holders = keys
        .iter()
        .zip(["00000099000000005000", "00000099000000006000"])
        .map(|(key, oin)| HolderKey {
            oin: name(oin),
            key: key.public(),
        })
        .collect::<Vec<_>>();
    let order = Signed::sign(order(kind, parent, &source[0]), &keys[0]);
    let mut stages = vec![source];
    let mut vouchers = Vec::new();
    for (hop, key) in (1_u8..).zip(&keys) {
        let outputs: Vec<_> = (0..2).map(|target| vec![hop * 10 + target; 64]).collect();
        let digests = |list: &[Vec<u8>]| list.iter().map(|c| vault::digest::sha256(c)).collect();
        let voucher = Voucher {
            order: order.paper().id,
            order_sha256: order.sha256(),
            kind,
            source: order.paper().source.clone(),
            targets: order.paper().targets.iter().map(|t| t.0.clone()).collect(),
            hop: hop.into(),
            holder: holders[usize::from(hop) - 1].oin.clone(),
            inputs_sha256: digests(stages.last().unwrap()),
            outputs_sha256: digests(&outputs),
            output_keys: vec![[hop; 32], [hop + 100; 32]],
            time: Timestamp::from_millis(2_000),
            trust_level: 2,
            directory_version: 7,
        };
        check(&voucher);
        vouchers.push(Signed::sign(voucher, key));
        stages.push(outputs);
    }
    Walk {
        keys,
        holders,
        order,
        vouchers,
        stages,
    }
}

impl Walk {
    fn whole(&self) -> Result<(), Reason> {
        let outputs = [
            (0, self.stages[2][0].as_slice()),
            (1, self.stages[2][1].as_slice()),
        ];
        let whole = Expectation::Whole { outputs: &outputs };
        verify_vouchers(&self.vouchers, &self.holders, &self.order, whole).map_err(|e| e.reason)
    }

    fn forge(&mut self, hop: usize, change: impl FnOnce(&mut Voucher)) -> Result<(), Reason> {
        let mut voucher = self.vouchers[hop].paper().clone();
        change(&mut voucher);
        self.vouchers[hop] = Signed::sign(voucher, &self.keys[hop]);
        self.whole()
    }
}

#[test]
fn a_chain_holds_whole_and_at_each_hop() {
    let walk = walk(OrderKind::Prepare, None);
    assert_eq!(walk.whole(), Ok(()));
    for hop in 0..2 {
        let so_far = |inputs| {
            let so_far = Expectation::SoFar { inputs };
            verify_vouchers(&walk.vouchers[..hop], &walk.holders, &walk.order, so_far)
                .map_err(|error| error.reason)
        };
        assert_eq!(so_far(&walk.stages[hop]), Ok(()), "hop {hop}");
        let reason = match hop {
            0 => Reason::OrderCiphertextMismatch,
            _ => Reason::VoucherInvalid,
        };
        assert_eq!(so_far(&walk.stages[hop + 1]), Err(reason), "hop {hop}");
        assert_eq!(so_far(&[]), Err(reason), "hop {hop}");
    }
    assert!(verify_final_keys(&walk.vouchers, &[(0, [2; 32]), (1, [102; 32])]).is_ok());
    for wrong in [(0, [1; 32]), (1, [2; 32]), (2, [2; 32])] {
        let error = verify_final_keys(&walk.vouchers, &[wrong]).unwrap_err();
        assert_eq!(error.reason, Reason::KeyMismatch);
    }
}

#[test]
fn a_chain_with_one_wrong_link_does_not_hold() {
    let invalid = Err(Reason::VoucherInvalid);
    let changes: [fn(&mut Voucher); 9] = [
        |voucher| voucher.order = OrderId::from_slice(&[9; 16]).unwrap(),
        |voucher| voucher.order_sha256 = [9; 32],
        |voucher| voucher.kind = OrderKind::Assist,
        |voucher| voucher.source = name("portal/1"),
        |voucher| voucher.targets.reverse(),
        |voucher| voucher.hop = 3,
        |voucher| voucher.holder = name("00000099000000009000"),
        |voucher| voucher.inputs_sha256[0] = [9; 32],
        |voucher| voucher.outputs_sha256.reverse(),
    ];
    for change in changes {
        for hop in 0..2 {
            assert_eq!(walk(OrderKind::Prepare, None).forge(hop, change), invalid);
        }
    }
    let mut swapped = walk(OrderKind::Prepare, None);
    swapped.vouchers.reverse();
    assert_eq!(swapped.whole(), invalid);
    let mut missing = walk(OrderKind::Prepare, None);
    missing.vouchers.pop();
    assert_eq!(missing.whole(), invalid);
    let mut foreign = walk(OrderKind::Prepare, None);
    foreign.holders.reverse();
    assert_eq!(foreign.whole(), invalid);
}

#[test]
fn a_handover_rests_on_its_own_prepare() {
    let prepare = walk(OrderKind::Prepare, None);
    let parent = Some(prepare.order.paper().id);
    let order = order(OrderKind::Handover, parent, b"x");
    let now = Timestamp::from_millis(3_000);
    let verify = |voucher: usize, holder: usize, order: &Order, now: Timestamp| {
        verify_parent(
            &prepare.vouchers[voucher],
            &prepare.holders[holder],
            order,
            now,
        )
        .map_err(|error| error.reason)
    };
    let invalid = Err(Reason::OrderParentInvalid);
    assert_eq!(verify(0, 0, &order, now), Ok(()));
    assert_eq!(verify(1, 0, &order, now), invalid, "another holder's");
    let late = now.plus_millis(rules::limits::PARENT_VOUCHER_MILLIS_MAX);
    assert_eq!(verify(0, 0, &order, late), invalid, "too old");
    let orphan = Order {
        parent: None,
        ..order.clone()
    };
    assert_eq!(verify(0, 0, &orphan, now), invalid);
    let mut elsewhere = order.clone();
    elsewhere.targets[1].0 = name(&format!("rel/{UWV}/main/{GEMEENTE}/main/TRIAGE/1"));
    assert_eq!(verify(0, 0, &elsewhere, now), invalid);
}

/// A walk of an order LINK, cut down to its one target, and what the vakbond makes of it.
fn link(change: impl FnOnce(&mut Vec<Voucher>)) -> Result<(), Reason> {
    let walk = walk(OrderKind::Link, None);
    let domain = Domain::Partner {
        party: name(&format!("{GEMEENTE}/main")),
        epoch: 1,
    };
    let mut papers: Vec<Voucher> = walk
        .vouchers
        .iter()
        .map(|voucher| {
            let mut paper = voucher.paper().clone();
            paper.source = Domain::Origin;
            paper.targets = vec![name(&domain.to_string())];
            paper.inputs_sha256.truncate(1);
            paper.outputs_sha256.truncate(1);
            paper
        })
        .collect();
    change(&mut papers);
    let vouchers: Vec<_> = papers
        .into_iter()
        .zip(&walk.keys)
        .map(|(paper, key)| Signed::sign(paper, key))
        .collect();
    let output = &walk.stages[2][0];
    verify_link(&vouchers, &walk.holders, &domain, output).map_err(|error| error.reason)
}

#[test]
fn a_link_without_its_order_still_holds_only_whole() {
    assert_eq!(link(|_| ()), Ok(()));
    let wrong = Err(Reason::VoucherInvalid);
    assert_eq!(link(|papers| drop(papers.pop())), wrong);
    assert_eq!(link(Vec::clear), wrong);
    assert_eq!(link(|papers| papers.reverse()), wrong);
    assert_eq!(link(|papers| papers[1].kind = OrderKind::Enrol), wrong);
    assert_eq!(link(|papers| papers[1].order_sha256 = [1; 32]), wrong);
    assert_eq!(
        link(|papers| papers[1].inputs_sha256 = vec![[1; 32]]),
        wrong
    );
    assert_eq!(
        link(|papers| papers[1].outputs_sha256 = vec![[1; 32]]),
        wrong
    );
    assert_eq!(link(|papers| papers[0].hop = 2), wrong);
    let portal = |papers: &mut Vec<Voucher>| papers[1].targets = vec![name("portal/1")];
    assert_eq!(link(portal), wrong);
    let own = |papers: &mut Vec<Voucher>| papers[0].source = name(&format!("partner/{UWV}/main/1"));
    assert_eq!(link(own), wrong);
}
