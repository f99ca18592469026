//! A plain text form of papers for these tests: the counter knows no wire format.

use crate::paper::{ContextStep, Forms, Issued, Received, Voucher};
use rules::clock::Timestamp;
use rules::hex;
use rules::pseudonym::OrderKind;

/// Writes papers as lines.
pub(super) struct Plain;

fn digests<const N: usize>(list: &[[u8; N]]) -> String {
    let list: Vec<String> = list.iter().map(|bytes| hex::encode(bytes)).collect();
    list.join(" ")
}

fn octets<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn octets_list<const N: usize>(text: &str) -> Vec<[u8; N]> {
    text.split_whitespace().map(octets).collect()
}

impl Forms for Plain {
    fn voucher(&self, voucher: &Voucher) -> Vec<u8> {
        let targets: Vec<String> = voucher.targets.iter().map(ToString::to_string).collect();
        [
            voucher.order.to_string(),
            hex::encode(&voucher.order_sha256),
            voucher.kind.number().to_string(),
            voucher.source.to_string(),
            targets.join(" "),
            voucher.hop.to_string(),
            voucher.holder.to_string(),
            digests(&voucher.inputs_sha256),
            digests(&voucher.outputs_sha256),
            digests(&voucher.output_keys),
            voucher.time.millis().to_string(),
            voucher.trust_level.to_string(),
            voucher.directory_version.to_string(),
        ]
        .join("\n")
        .into_bytes()
    }

    fn step(&self, step: &ContextStep) -> Vec<u8> {
        [
            step.context.to_string(),
            step.hop.to_string(),
            step.holder.to_string(),
            hex::encode(&step.previous_point),
            hex::encode(&step.point),
            hex::encode(&step.share_commitment),
            hex::encode(&step.proof),
            step.time.millis().to_string(),
        ]
        .join("\n")
        .into_bytes()
    }
}

fn received<T>(issued: &Issued, read: impl FnOnce(&[&str]) -> T) -> Received<T> {
    let text = String::from_utf8(issued.bytes.clone()).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    Received {
        paper: read(&lines),
        bytes: issued.bytes.clone(),
        signature: issued.signature,
    }
}

/// Reads a voucher as the next holder receives it.
pub(super) fn voucher(issued: &Issued) -> Received<Voucher> {
    received(issued, |lines| Voucher {
        order: lines[0].parse().unwrap(),
        order_sha256: octets(lines[1]),
        kind: OrderKind::from_number(lines[2].parse().unwrap()).unwrap(),
        source: lines[3].parse().unwrap(),
        targets: lines[4]
            .split(' ')
            .map(|label| label.parse().unwrap())
            .collect(),
        hop: lines[5].parse().unwrap(),
        holder: lines[6].parse().unwrap(),
        inputs_sha256: octets_list(lines[7]),
        outputs_sha256: octets_list(lines[8]),
        output_keys: octets_list(lines[9]),
        time: Timestamp::from_millis(lines[10].parse().unwrap()),
        trust_level: lines[11].parse().unwrap(),
        directory_version: lines[12].parse().unwrap(),
    })
}

/// Reads a step as the next holder receives it.
pub(super) fn step(issued: &Issued) -> Received<ContextStep> {
    received(issued, |lines| ContextStep {
        context: lines[0].parse().unwrap(),
        hop: lines[1].parse().unwrap(),
        holder: lines[2].parse().unwrap(),
        previous_point: octets(lines[3]),
        point: octets(lines[4]),
        share_commitment: octets(lines[5]),
        proof: hex::decode(lines[6]).unwrap(),
        time: Timestamp::from_millis(lines[7].parse().unwrap()),
    })
}
