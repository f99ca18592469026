//! Fields sealed to one recipient: one encapsulation for a handover, one key for each field.
//!
//! X-Wing (0x647a), HKDF-SHA256 (0x0001), export-only (0xFFFF) by hpke (RFC 9180); each field under
//! its own exported key with AES-256-GCM by ring. Whoever carries them can leave fields out and read
//! none. Must never use an exported key twice: the nonce is zero.

use crate::chance::{Chance, draw_secret};
use hpke::aead::{AeadCtxR, AeadCtxS, ExportOnlyAead};
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rules::id::{HandoverId, Label};
use rules::limits::{FIELD_BYTES_MAX, FIELD_PADDING_BYTES, MANIFEST_LABELS_MAX};
use rules::secret::Secret;
use std::collections::BTreeSet;
use std::fmt;

/// Version of the form, in the info of every encapsulation.
pub const VERSION: u16 = 1;
/// Octets of an encapsulation.
pub const ENCAPSULATION_BYTES: usize = 1_120;
/// Octets of a sealing key.
pub const SEALING_KEY_BYTES: usize = 1_216;
/// Octets of the tag behind every sealed field.
const TAG_BYTES: usize = 16;
/// Octets of the length in front of the value.
const LENGTH_BYTES: usize = 4;
/// What the info of a sealed share begins with; that of fields begins with the version's zero octet.
const SHARE_INFO: &[u8] = b"sluis/context-share/v1\0";
/// What the info of a person's line at the portal begins with.
const LINE_INFO: &[u8] = b"sluis/portal-line/1";
/// Exporter context of a line.
const LINE_EXPORT: &[u8] = b"line";
/// Exporter context of a sealed share.
const SHARE_EXPORT: &[u8] = b"share";

type Kdf = HkdfSha256;

/// Why something was not sealed or not opened; never a label or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The sealing key is not 1,216 octets of a valid X-Wing key.
    #[error("not a valid sealing key")]
    Key,
    /// A value is longer than [`FIELD_BYTES_MAX`].
    #[error("a field is too long")]
    FieldTooLong,
    /// There are more fields than [`MANIFEST_LABELS_MAX`].
    #[error("too many fields")]
    TooManyFields,
    /// A label stands twice, which would use its key twice.
    #[error("a label stands twice")]
    LabelTwice,
    /// It does not open: another key, handover, stage, label or context, or it was changed.
    #[error("does not open")]
    NotOpened,
}

/// To which of the three sets of a handover fields belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The de-identified summary of the offer.
    Offer,
    /// The dossier of the release.
    Release,
    /// The report of what became of it, which goes the other way.
    Report,
}

impl Stage {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Offer => 1,
            Self::Release => 2,
            Self::Report => 3,
        }
    }
}

/// A recipient's public sealing key: X-Wing, 1,216 octets.
#[derive(Clone)]
pub struct SealingKey {
    bytes: Box<[u8]>,
    value: <XWing as Kem>::PublicKey,
}

impl SealingKey {
    /// Reads exactly 1,216 octets.
    ///
    /// # Errors
    /// When the length differs or the ML-KEM half is no valid encoding (FIPS 203 7.2).
    pub fn parse(bytes: &[u8]) -> Result<Self, SealingError> {
        let value = <XWing as Kem>::PublicKey::from_bytes(bytes).map_err(|_| SealingError::Key)?;
        Ok(Self {
            bytes: bytes.into(),
            value,
        })
    }

    /// The 1,216 octets.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the octets, by which manifests and context requests name the key.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        crate::digest::sha256(&self.bytes)
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SealingKey {}

impl fmt::Debug for SealingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "SealingKey(sha256 {})",
            rules::hex::encode(&self.sha256())
        )
    }
}

/// A recipient's secret opening key. hpke wipes its seed when dropped; the expanded ML-KEM key lives
/// as long as one opening.
pub struct OpeningKey {
    value: <XWing as Kem>::PrivateKey,
}

impl OpeningKey {
    /// A fresh seed, for the key file.
    #[must_use]
    pub fn generate() -> Secret<[u8; 32]> {
        draw_secret()
    }

    /// The key of a seed, 32 octets. The seed is the secret key itself (X-Wing draft, section 5.2).
    #[must_use]
    pub fn from_seed(seed: &Secret<[u8; 32]>) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "hpke refuses a seed only for its length, and the type fixes that"
        )]
        let value =
            <XWing as Kem>::PrivateKey::from_bytes(seed.expose()).expect("a seed has 32 octets");
        Self { value }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> SealingKey {
        let value = XWing::sk_to_pk(&self.value);
        SealingKey {
            bytes: value.to_bytes().as_slice().into(),
            value,
        }
    }

    /// Opens an encapsulation once; the result opens any of its fields, in any order and number.
    ///
    /// # Errors
    /// When the encapsulation is malformed. One for another key, handover or stage shows at the fields.
    pub fn open(
        &self,
        encapsulation: &[u8],
        handover: &HandoverId,
        stage: Stage,
    ) -> Result<FieldOpener, SealingError> {
        let context = self.receive(encapsulation, &fields_info(handover, stage))?;
        Ok(FieldOpener {
            context,
            handover: *handover,
        })
    }

    fn receive(
        &self,
        encapsulation: &[u8],
        info: &[u8],
    ) -> Result<AeadCtxR<ExportOnlyAead, Kdf, XWing>, SealingError> {
        let encapsulation = <XWing as Kem>::EncappedKey::from_bytes(encapsulation)
            .map_err(|_| SealingError::NotOpened)?;
        setup_receiver(&OpModeR::Base, &self.value, &encapsulation, info)
            .map_err(|_| SealingError::NotOpened)
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OpeningKey(..)")
    }
}

/// One sealed field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedField {
    /// The label, in clear: minimisation is enforced on it.
    pub label: Label,
    /// The sealed value: a multiple of 256 octets, plus 16.
    pub sealed: Vec<u8>,
}

/// Fields sealed together to one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The encapsulation, 1,120 octets.
    pub encapsulation: Vec<u8>,
    /// The fields, in the order given. Any may be left out on the way.
    pub fields: Vec<SealedField>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({} fields)", self.fields.len())
    }
}

/// Seals fields of one handover and stage to a recipient.
///
/// # Errors
/// When there are too many fields, a label stands twice or a value is too long.
pub fn seal_fields(
    recipient: &SealingKey,
    handover: &HandoverId,
    stage: Stage,
    fields: &[(Label, &[u8])],
) -> Result<Sealed, SealingError> {
    if fields.len() > MANIFEST_LABELS_MAX {
        return Err(SealingError::TooManyFields);
    }
    if fields
        .iter()
        .any(|(_, value)| value.len() > FIELD_BYTES_MAX)
    {
        return Err(SealingError::FieldTooLong);
    }
    let labels: BTreeSet<&Label> = fields.iter().map(|(label, _)| label).collect();
    if labels.len() != fields.len() {
        return Err(SealingError::LabelTwice);
    }
    let (encapsulation, context) = send(recipient, &fields_info(handover, stage))?;
    let fields = fields
        .iter()
        .map(|(label, value)| {
            let key = field_key(|out| context.export(label.as_str().as_bytes(), out).is_ok())?;
            let sealed = seal_once(&key, &field_place(label, handover), pad(value)?)?;
            Ok(SealedField {
                label: label.clone(),
                sealed,
            })
        })
        .collect::<Result<_, SealingError>>()?;
    Ok(Sealed {
        encapsulation,
        fields,
    })
}

/// Opens fields of one encapsulation.
pub struct FieldOpener {
    context: AeadCtxR<ExportOnlyAead, Kdf, XWing>,
    handover: HandoverId,
}

impl FieldOpener {
    /// Opens one field.
    ///
    /// # Errors
    /// When it was not sealed under this label for this handover, stage and key, or was changed.
    pub fn field(&self, label: &Label, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealingError> {
        let key = field_key(|out| self.context.export(label.as_str().as_bytes(), out).is_ok())?;
        let padded = open_once(&key, &field_place(label, &self.handover), sealed)?;
        unpad(&padded)
    }
}

impl fmt::Debug for FieldOpener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FieldOpener(..)")
    }
}

/// Opens one field on its own.
///
/// # Errors
/// As [`OpeningKey::open`] and [`FieldOpener::field`].
pub fn open_field(
    key: &OpeningKey,
    handover: &HandoverId,
    stage: Stage,
    encapsulation: &[u8],
    field: &SealedField,
) -> Result<Secret<Vec<u8>>, SealingError> {
    key.open(encapsulation, handover, stage)?
        .field(&field.label, &field.sealed)
}

/// One opened field.
#[derive(Debug)]
pub struct OpenedField {
    /// The label.
    pub label: Label,
    /// The value, wiped when dropped.
    pub value: Secret<Vec<u8>>,
}

/// Opens whatever fields arrived.
///
/// # Errors
/// When any of them does not open.
pub fn open_fields(
    key: &OpeningKey,
    handover: &HandoverId,
    stage: Stage,
    sealed: &Sealed,
) -> Result<Vec<OpenedField>, SealingError> {
    let opener = key.open(&sealed.encapsulation, handover, stage)?;
    sealed
        .fields
        .iter()
        .map(|field| {
            let value = opener.field(&field.label, &field.sealed)?;
            Ok(OpenedField {
                label: field.label.clone(),
                value,
            })
        })
        .collect()
}

/// One holder's share of a context key, sealed to the context's owner.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedShare {
    /// The encapsulation, 1,120 octets.
    pub encapsulation: Vec<u8>,
    /// The sealed share with its proof.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedShare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SealedShare(..)")
    }
}

/// Seals a share of the context with this label to its owner.
///
/// # Errors
/// When the encapsulation fails, which hpke does for no key that [`SealingKey::parse`] accepted.
pub fn seal_share(
    owner: &SealingKey,
    context_label: &str,
    share: &Secret<Vec<u8>>,
) -> Result<SealedShare, SealingError> {
    let (encapsulation, context) = send(owner, &share_info(context_label))?;
    let key = field_key(|out| context.export(SHARE_EXPORT, out).is_ok())?;
    let sealed = seal_once(&key, context_label.as_bytes(), pad(share.expose())?)?;
    Ok(SealedShare {
        encapsulation,
        sealed,
    })
}

/// Opens a share of the context with this label.
///
/// # Errors
/// When it was sealed for another context or key, or was changed.
pub fn open_share(
    key: &OpeningKey,
    context_label: &str,
    share: &SealedShare,
) -> Result<Secret<Vec<u8>>, SealingError> {
    let context = key.receive(&share.encapsulation, &share_info(context_label))?;
    let key = field_key(|out| context.export(SHARE_EXPORT, out).is_ok())?;
    unpad(&open_once(&key, context_label.as_bytes(), &share.sealed)?)
}

/// Seals one line to a person of the portal: encapsulation and sealed text in one.
///
/// # Errors
/// When the line is longer than a field may be.
pub(crate) fn seal_line(
    recipient: &SealingKey,
    line_id: &[u8; 16],
    plain: &[u8],
) -> Result<Vec<u8>, SealingError> {
    if plain.len() > FIELD_BYTES_MAX {
        return Err(SealingError::FieldTooLong);
    }
    let (mut sealed, context) = send(recipient, &line_info(line_id))?;
    let key = field_key(|out| context.export(LINE_EXPORT, out).is_ok())?;
    sealed.extend(seal_once(&key, line_id, pad(plain)?)?);
    Ok(sealed)
}

/// Opens what [`seal_line`] sealed.
///
/// # Errors
/// When it was sealed to another key or under another id, or was changed.
pub(crate) fn open_line(
    key: &OpeningKey,
    line_id: &[u8; 16],
    sealed: &[u8],
) -> Result<Secret<Vec<u8>>, SealingError> {
    let (encapsulation, text) = sealed
        .split_at_checked(ENCAPSULATION_BYTES)
        .ok_or(SealingError::NotOpened)?;
    let context = key.receive(encapsulation, &line_info(line_id))?;
    let key = field_key(|out| context.export(LINE_EXPORT, out).is_ok())?;
    unpad(&open_once(&key, line_id, text)?)
}

fn line_info(line_id: &[u8; 16]) -> Vec<u8> {
    [LINE_INFO, line_id.as_slice()].concat()
}

/// Version, handover, stage: what an encapsulation is for.
fn fields_info(handover: &HandoverId, stage: Stage) -> Vec<u8> {
    [
        VERSION.to_be_bytes().as_slice(),
        handover.bytes(),
        &[stage.number()],
    ]
    .concat()
}

fn share_info(context_label: &str) -> Vec<u8> {
    [SHARE_INFO, context_label.as_bytes()].concat()
}

/// u16 length, label, handover: where a field belongs.
fn field_place(label: &Label, handover: &HandoverId) -> Vec<u8> {
    // A label has at most 64 octets, so the length always fits; a longer one would refuse to open.
    let length = u16::try_from(label.as_str().len()).unwrap_or(u16::MAX);
    [
        length.to_be_bytes().as_slice(),
        label.as_str().as_bytes(),
        handover.bytes(),
    ]
    .concat()
}

type Sender = AeadCtxS<ExportOnlyAead, Kdf, XWing>;

fn send(recipient: &SealingKey, info: &[u8]) -> Result<(Vec<u8>, Sender), SealingError> {
    let (encapsulation, context): (<XWing as Kem>::EncappedKey, Sender) =
        setup_sender_with_rng(&OpModeS::Base, &recipient.value, info, &mut Chance)
            .map_err(|_| SealingError::Key)?;
    Ok((encapsulation.to_bytes().to_vec(), context))
}

/// Exports one key; `export` says whether it could.
fn field_key(export: impl FnOnce(&mut [u8]) -> bool) -> Result<LessSafeKey, SealingError> {
    let mut bytes = [0_u8; 32];
    let exported = export(&mut bytes);
    let bytes = Secret::new(bytes);
    if !exported {
        return Err(SealingError::Key);
    }
    let key = UnboundKey::new(&AES_256_GCM, bytes.expose()).map_err(|_| SealingError::Key)?;
    Ok(LessSafeKey::new(key))
}

fn seal_once(key: &LessSafeKey, place: &[u8], mut bytes: Vec<u8>) -> Result<Vec<u8>, SealingError> {
    // Zero is a nonce used once here, because the key is: exported under a label that stands once.
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(place), &mut bytes)
        .map_err(|_| SealingError::FieldTooLong)?;
    Ok(bytes)
}

fn open_once(
    key: &LessSafeKey,
    place: &[u8],
    sealed: &[u8],
) -> Result<Secret<Vec<u8>>, SealingError> {
    let length_max =
        (FIELD_BYTES_MAX + LENGTH_BYTES).next_multiple_of(FIELD_PADDING_BYTES) + TAG_BYTES;
    if sealed.len() > length_max {
        return Err(SealingError::NotOpened);
    }
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let length = key
        .open_in_place(nonce, Aad::from(place), &mut bytes)
        .map_err(|_| SealingError::NotOpened)?
        .len();
    bytes.truncate(length);
    Ok(Secret::new(bytes))
}

/// Octets of a sealed value, from those of the value itself.
#[must_use]
pub const fn sealed_bytes(value_bytes: usize) -> usize {
    padded_bytes(value_bytes) + TAG_BYTES
}

const fn padded_bytes(value_bytes: usize) -> usize {
    (value_bytes + LENGTH_BYTES).next_multiple_of(FIELD_PADDING_BYTES)
}

/// u32 length, value, zeros up to a multiple of 256.
fn pad(value: &[u8]) -> Result<Vec<u8>, SealingError> {
    let length = u32::try_from(value.len()).map_err(|_| SealingError::FieldTooLong)?;
    let whole = padded_bytes(value.len());
    let mut padded = Vec::with_capacity(whole + TAG_BYTES);
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(value);
    padded.resize(whole, 0);
    Ok(padded)
}

/// The value, if the padding is the one that [`pad`] makes.
fn unpad(padded: &Secret<Vec<u8>>) -> Result<Secret<Vec<u8>>, SealingError> {
    let wrong = SealingError::NotOpened;
    let (length, rest) = padded
        .expose()
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or(wrong)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| wrong)?;
    let (value, zeros) = rest.split_at_checked(length).ok_or(wrong)?;
    let exact =
        padded.expose().len() == (length + LENGTH_BYTES).next_multiple_of(FIELD_PADDING_BYTES);
    if !exact || zeros.iter().any(|byte| *byte != 0) {
        return Err(wrong);
    }
    Ok(Secret::new(value.to_vec()))
}
