//! The codec of vouchers (bewijzen van omzetting): what one holder did for one order.
//!
//! Must never be read on its own as proof of a conversion: [`verify_vouchers`](super::verify_vouchers)
//! checks the whole chain.

use super::{Form, PaperError, Signed, VERSION, moment, named, refused, sized, sized_all, version};
use rules::clock::Timestamp;
use rules::id::{Oin, OrderId};
use rules::pseudonym::{Domain, OrderKind, TargetDomain};
use rules::reason::Reason;
use wire::pseudonym::v1 as message;

/// A decoded voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The order's id.
    pub order: OrderId,
    /// SHA-256 of the order's bytes.
    pub order_sha256: [u8; 32],
    /// What the order asked for.
    pub kind: OrderKind,
    /// The source domain.
    pub source: Domain,
    /// The target domains, in the order's order; never empty.
    pub targets: Vec<TargetDomain>,
    /// Which hop this was: 1 for the first holder.
    pub hop: u32,
    /// The holder's organisation.
    pub holder: Oin,
    /// SHA-256 of each ciphertext that came in: one at hop 1, then one for each target.
    pub inputs_sha256: Vec<[u8; 32]>,
    /// SHA-256 of each ciphertext that went out: one for each target.
    pub outputs_sha256: Vec<[u8; 32]>,
    /// The public key under which each output is encrypted: one for each target.
    pub output_keys: Vec<[u8; 32]>,
    /// When.
    pub time: Timestamp,
    /// Number of distinct operators among the key holders, by this holder's directory; at least 1.
    pub trust_level: u32,
    /// Version of that directory; at least 1.
    pub directory_version: u64,
}

impl Form for Voucher {
    type Message = message::Voucher;
    const KIND: vault::sign::Paper = vault::sign::Paper::Voucher;
    const MALFORMED: Reason = Reason::VoucherInvalid;
    const FORGED: Reason = Reason::VoucherInvalid;

    fn to_message(&self) -> message::Voucher {
        message::Voucher {
            version: VERSION,
            order_id: self.order.bytes().to_vec(),
            order_sha256: self.order_sha256.to_vec(),
            kind: self.kind.number(),
            source_domain: self.source.to_string(),
            target_domains: self.targets.iter().map(ToString::to_string).collect(),
            hop: self.hop,
            holder_oin: self.holder.to_string(),
            inputs_sha256: self
                .inputs_sha256
                .iter()
                .map(|digest| digest.to_vec())
                .collect(),
            outputs_sha256: self
                .outputs_sha256
                .iter()
                .map(|digest| digest.to_vec())
                .collect(),
            output_keys: self.output_keys.iter().map(|key| key.to_vec()).collect(),
            time_millis: self.time.millis(),
            trust_level: i32::try_from(self.trust_level).unwrap_or(i32::MAX),
            directory_version: i64::try_from(self.directory_version).unwrap_or(i64::MAX),
        }
    }

    fn from_message(voucher: message::Voucher) -> Result<Self, PaperError> {
        version::<Self>(voucher.version)?;
        let targets: Result<Vec<TargetDomain>, PaperError> = voucher
            .target_domains
            .iter()
            .map(|label| named::<Self, _>("target_domains", label))
            .collect();
        let read = Self {
            order: OrderId::from_slice(&voucher.order_id)
                .ok_or_else(|| refused::<Self>("order_id", "is not an id of 16 bytes"))?,
            order_sha256: sized::<Self, 32>("order_sha256", &voucher.order_sha256)?,
            kind: OrderKind::from_number(voucher.kind)
                .ok_or_else(|| refused::<Self>("kind", "is missing or unknown"))?,
            source: named::<Self, _>("source_domain", &voucher.source_domain)?,
            targets: targets?,
            hop: voucher.hop,
            holder: named::<Self, _>("holder_oin", &voucher.holder_oin)?,
            inputs_sha256: sized_all::<Self, 32>("inputs_sha256", &voucher.inputs_sha256)?,
            outputs_sha256: sized_all::<Self, 32>("outputs_sha256", &voucher.outputs_sha256)?,
            output_keys: sized_all::<Self, 32>("output_keys", &voucher.output_keys)?,
            time: moment::<Self>("time_millis", voucher.time_millis)?,
            trust_level: u32::try_from(voucher.trust_level).unwrap_or(0),
            directory_version: u64::try_from(voucher.directory_version).unwrap_or(0),
        };
        read.check_counts()?;
        Ok(read)
    }
}

impl Voucher {
    fn check_counts(&self) -> Result<(), PaperError> {
        let targets = self.targets.len();
        let inputs = if self.hop == 1 { 1 } else { targets };
        let checks = [
            (self.hop > 0, "hop", "is missing"),
            (targets > 0, "target_domains", "is missing"),
            (
                self.inputs_sha256.len() == inputs,
                "inputs_sha256",
                "does not have one for each input",
            ),
            (
                self.outputs_sha256.len() == targets,
                "outputs_sha256",
                "does not have one for each target",
            ),
            (
                self.output_keys.len() == targets,
                "output_keys",
                "does not have one for each target",
            ),
            (self.trust_level > 0, "trust_level", "is missing"),
            (
                self.directory_version > 0,
                "directory_version",
                "is missing",
            ),
        ];
        for (holds, field, wrong) in checks {
            if !holds {
                return Err(refused::<Self>(field, wrong));
            }
        }
        Ok(())
    }
}

impl TryFrom<message::SignedVoucher> for Signed<Voucher> {
    type Error = PaperError;

    fn try_from(signed: message::SignedVoucher) -> Result<Self, PaperError> {
        Self::receive(signed.voucher, &signed.signature)
    }
}

impl From<&Signed<Voucher>> for message::SignedVoucher {
    fn from(signed: &Signed<Voucher>) -> Self {
        Self {
            voucher: signed.bytes().to_vec(),
            signature: signed.signature().bytes().to_vec(),
        }
    }
}
