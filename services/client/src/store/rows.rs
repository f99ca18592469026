//! What the store's values look like on disk, as protobuf so that a later version can add to them.
//!
//! Must never be printed: every row but the cursor is about a person or a key.

/// A context key.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct ContextRow {
    /// The key, 32 octets.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) secret: Vec<u8>,
    /// When it was opened, in milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    pub(crate) opened_millis: i64,
}

/// One person's pseudonym in one of the partner's own domains.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct PseudonymRow {
    /// The scheme, [`vault::pseudonym::SCHEME`].
    #[prost(uint32, tag = "1")]
    pub(crate) scheme: u32,
    /// The point, 32 octets.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) point: Vec<u8>,
    /// Domain label and person key, as in the row's own key.
    #[prost(string, tag = "3")]
    pub(crate) domain: String,
    /// The partner's own key of the person.
    #[prost(string, tag = "4")]
    pub(crate) person: String,
    /// Whether the point was drawn here: the person was made known without a number.
    #[prost(bool, tag = "5")]
    pub(crate) unbound: bool,
}

/// Where the proof of a dossier's person stands. Nothing in it is about the person.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct ProofRow {
    /// Where it stands.
    #[prost(enumeration = "crate::client::Standing", tag = "1")]
    pub(crate) standing: i32,
    /// SHA-256 of the sealed number that was compared; empty when there is none.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) sealed_sha256: Vec<u8>,
}

/// A handover that this side prepared.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct PreparedRow {
    /// The partner's own key of the person.
    #[prost(string, tag = "1")]
    pub(crate) person: String,
    /// The recipient, `<OIN>/<realm>`.
    #[prost(string, tag = "2")]
    pub(crate) recipient: String,
    /// The purpose.
    #[prost(string, tag = "3")]
    pub(crate) purpose: String,
    /// Id of the order PREPARE, 16 octets.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) order_id: Vec<u8>,
    /// Every holder's voucher.
    #[prost(message, repeated, tag = "5")]
    pub(crate) vouchers: Vec<wire::pseudonym::v1::SignedVoucher>,
    /// Labels that the summary may have.
    #[prost(string, repeated, tag = "6")]
    pub(crate) summary_labels: Vec<String>,
    /// Labels that the dossier may have.
    #[prost(string, repeated, tag = "7")]
    pub(crate) dossier_labels: Vec<String>,
    /// The recipient's sealing key, verified.
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) sealing_key: Vec<u8>,
    /// Until when that key may be sealed to, in milliseconds since 1970 UTC.
    #[prost(int64, tag = "9")]
    pub(crate) sealing_key_valid_until_millis: i64,
    /// Label of the source domain of the PREPARE.
    #[prost(string, tag = "10")]
    pub(crate) source_domain: String,
    /// SHA-256 of the source ciphertext of the HANDOVER, once released.
    #[prost(bytes = "vec", tag = "11")]
    pub(crate) ciphertext_sha256: Vec<u8>,
    /// Labels under which something was sealed that looks like a citizen service number, as the settings allow.
    #[prost(string, repeated, tag = "12")]
    pub(crate) number_labels: Vec<String>,
}

/// An opened summary or dossier.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct OpenedRow {
    /// The sender, `<OIN>/<realm>`.
    #[prost(string, tag = "1")]
    pub(crate) sender: String,
    /// The purpose.
    #[prost(string, tag = "2")]
    pub(crate) purpose: String,
    /// The partner's own key of the person; empty for a summary.
    #[prost(string, tag = "3")]
    pub(crate) person: String,
    /// The fields.
    #[prost(message, repeated, tag = "4")]
    pub(crate) fields: Vec<FieldRow>,
    /// When it was opened, in milliseconds since 1970 UTC.
    #[prost(int64, tag = "5")]
    pub(crate) opened_millis: i64,
}

/// What was typed for a handover and has not gone out. Under the id of the Prepare while that waits, then under the
/// handover's.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct DraftRow {
    /// The summary's fields; none once they were offered.
    #[prost(message, repeated, tag = "1")]
    pub(crate) summary: Vec<FieldRow>,
    /// The dossier's fields.
    #[prost(message, repeated, tag = "2")]
    pub(crate) dossier: Vec<FieldRow>,
}

/// One opened field.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct FieldRow {
    /// The label.
    #[prost(string, tag = "1")]
    pub(crate) label: String,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// A request that has no definite answer yet.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct OutboxRow {
    /// Which call: the number of its kind.
    #[prost(uint32, tag = "1")]
    pub(crate) call: u32,
    /// The message, without order.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) message: Vec<u8>,
    /// For calls with an order: all of it but id and window, which are new at each attempt.
    #[prost(message, optional, tag = "3")]
    pub(crate) order: Option<wire::pseudonym::v1::Order>,
    /// The partner's own key of the person, for a Prepare.
    #[prost(string, tag = "4")]
    pub(crate) person: String,
}

/// A request that stopped something and was answered.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct StoppedRow {
    /// Which call: the number of its kind.
    #[prost(uint32, tag = "1")]
    pub(crate) call: u32,
    /// The message as it was sent, with its request id.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) message: Vec<u8>,
    /// When it was answered, in milliseconds since 1970 UTC.
    #[prost(int64, tag = "3")]
    pub(crate) stopped_millis: i64,
    /// The restoration for which it was last sent again, as its moment; 0 for none.
    #[prost(int64, tag = "4")]
    pub(crate) resent_for_millis: i64,
}

/// The newest directory that was verified.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct DirectoryRow {
    /// The file.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) file: Vec<u8>,
    /// The controllers' signatures.
    #[prost(message, repeated, tag = "2")]
    pub(crate) signatures: Vec<wire::directory::v1::ControllerSignature>,
}

/// Rows hide what they hold.
macro_rules! hidden {
    ($($row:ident),*) => {$(
        impl std::fmt::Debug for $row {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(concat!(stringify!($row), "(..)"))
            }
        }
    )*};
}

hidden!(
    ContextRow,
    PseudonymRow,
    PreparedRow,
    ProofRow,
    OpenedRow,
    DraftRow,
    FieldRow,
    OutboxRow,
    StoppedRow,
    DirectoryRow
);
