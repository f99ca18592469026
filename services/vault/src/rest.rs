//! What lies at rest: keyed tags to search by, and values sealed to the place where they lie.
//!
//! Bytes in, bytes out; key files and rows belong to others. Must never seal without a place: a value
//! moved to another row must not open there.

use crate::chance::{draw, draw_secret};
use crate::digest::{sha256_parts, whole};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::fmt;

/// Octets of the number of the key, in front of every sealed value.
const KEY_NUMBER_BYTES: usize = 4;
/// Octets that sealing adds: number of the key, nonce and tag.
pub const SEALED_EXTRA_BYTES: usize = KEY_NUMBER_BYTES + NONCE_LEN + 16;

/// Why a value was not sealed or opened; never which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// There is no key with the number in front of the value: it was destroyed, or is not ours.
    #[error("the key of this value is not here")]
    NoKey,
    /// It does not open here: moved from another place, or changed.
    #[error("does not open")]
    NotOpened,
    /// Nothing to seal with, or too long to seal.
    #[error("cannot be sealed")]
    NotSealed,
}

/// Makes the tags by which rows are found. One key, one meaning: a tag is `HMAC-SHA256(key, u16 length ‖
/// kind ‖ value)`. Without the key a tag says nothing; with it, guesses can be tested.
#[derive(Clone)]
pub struct IndexKey(hmac::Key);

impl IndexKey {
    /// A fresh secret, for the key file.
    #[must_use]
    pub fn generate() -> Secret<[u8; 32]> {
        draw_secret()
    }

    /// The key of a secret of 32 octets.
    #[must_use]
    pub fn from_secret(secret: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The key for the log entries of one year, so that tags of different years do not join.
    #[must_use]
    pub fn for_year(&self, year: i32) -> Self {
        let secret = Secret::new(self.index("year", &year.to_be_bytes()));
        Self::from_secret(&secret)
    }

    /// The tag of a value of some kind, 16 octets: enough to find rows, truncated so that it is no proof.
    #[must_use]
    pub fn tag(&self, kind: &str, value: &[u8]) -> [u8; 16] {
        whole(self.sign(kind, value).as_ref())
    }

    /// The index of a value of some kind, 32 octets: unique, fit for a primary key.
    #[must_use]
    pub fn index(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        whole(self.sign(kind, value).as_ref())
    }

    fn sign(&self, kind: &str, value: &[u8]) -> hmac::Tag {
        // Kinds are short constants of ours; the length keeps `kind` and `value` apart.
        let length = u16::try_from(kind.len()).unwrap_or(u16::MAX);
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&length.to_be_bytes());
        context.update(kind.as_bytes());
        context.update(value);
        context.sign()
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("IndexKey(..)")
    }
}

/// Where a sealed value lies. It opens there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a [u8],
    /// The column.
    pub column: &'a str,
}

impl Place<'_> {
    /// Table, row and column, each behind its length as u32.
    fn bytes(&self, number: u32) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        for part in [self.table.as_bytes(), self.row, self.column.as_bytes()] {
            // No part comes near 4 GiB; one that did would not open.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// AES-256-GCM with a random nonce of 12 octets: number ‖ nonce ‖ sealed ‖ tag. Random nonces carry
/// 2^32 values under one key (NIST SP 800-38D 8.3); a key lives a year and seals far fewer.
fn seal(
    key: &LessSafeKey,
    number: u32,
    place: &Place<'_>,
    value: &[u8],
) -> Result<Vec<u8>, RestError> {
    let nonce = draw::<NONCE_LEN>();
    let mut sealed = value.to_vec();
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.bytes(number)),
            &mut sealed,
        )
        .map_err(|_| RestError::NotSealed)?;
    Ok([
        number.to_be_bytes().as_slice(),
        &nonce,
        &sealed,
        tag.as_ref(),
    ]
    .concat())
}

fn open(key: &LessSafeKey, place: &Place<'_>, bytes: &[u8]) -> Result<Secret<Vec<u8>>, RestError> {
    let number = key_number(bytes).ok_or(RestError::NotOpened)?;
    let rest = bytes.get(KEY_NUMBER_BYTES..).ok_or(RestError::NotOpened)?;
    let (nonce, sealed) = rest
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(RestError::NotOpened)?;
    let mut opened = sealed.to_vec();
    let length = key
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(place.bytes(number)),
            &mut opened,
        )
        .map_err(|_| RestError::NotOpened)?
        .len();
    opened.truncate(length);
    Ok(Secret::new(opened))
}

/// The number in front of a sealed value.
fn key_number(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk::<KEY_NUMBER_BYTES>()
        .map(|number| u32::from_be_bytes(*number))
}

fn cipher(secret: &[u8; 32]) -> LessSafeKey {
    #[expect(
        clippy::expect_used,
        reason = "ring refuses an AES-256 key only for its length, and the type fixes that"
    )]
    let key = UnboundKey::new(&AES_256_GCM, secret).expect("a key has 32 octets");
    LessSafeKey::new(key)
}

/// Seals values under a role's rest key. The first key seals; all of them open, so that a new key can be
/// put in front while old values wait to be sealed anew.
pub struct Crypter {
    keys: Vec<(u32, LessSafeKey)>,
}

impl Crypter {
    /// Takes the rest keys, newest first.
    #[must_use]
    pub fn new(keys: &[&Secret<[u8; 32]>]) -> Self {
        let keys = keys
            .iter()
            .map(|secret| (rest_key_number(secret), cipher(secret.expose())))
            .collect();
        Self { keys }
    }

    /// Seals a value to its place under the first key.
    ///
    /// # Errors
    /// When there is no key.
    pub fn seal(&self, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>, RestError> {
        let (number, key) = self.keys.first().ok_or(RestError::NotSealed)?;
        seal(key, *number, place, value)
    }

    /// Opens a value at its place with the key that sealed it.
    ///
    /// # Errors
    /// When that key is not here, or the value was moved or changed.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, RestError> {
        let number = key_number(sealed).ok_or(RestError::NotOpened)?;
        let key = self
            .keys
            .iter()
            .find(|(candidate, _)| *candidate == number)
            .ok_or(RestError::NoKey)?;
        open(&key.1, place, sealed)
    }
}

impl fmt::Debug for Crypter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Crypter({} keys)", self.keys.len())
    }
}

/// A rest key's number follows from the key, so that a key file needs no numbers that could go wrong.
fn rest_key_number(secret: &Secret<[u8; 32]>) -> u32 {
    let digest = sha256_parts(&[b"sluis/rest-key-number/v1\0", secret.expose()]);
    u32::from_be_bytes(whole(&digest))
}

/// The key of one row's values. Destroyed with the row, or with the day key that wraps it.
pub struct DataKey {
    secret: Secret<[u8; 32]>,
    key: LessSafeKey,
}

impl DataKey {
    /// A fresh one.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_secret(draw_secret())
    }

    fn from_secret(secret: Secret<[u8; 32]>) -> Self {
        Self {
            key: cipher(secret.expose()),
            secret,
        }
    }

    /// Seals a value to its place.
    ///
    /// # Errors
    /// When the value is longer than AES-GCM can take.
    pub fn seal(&self, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>, RestError> {
        seal(&self.key, 0, place, value)
    }

    /// Opens a value at its place.
    ///
    /// # Errors
    /// When it was sealed under another key, moved or changed.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, RestError> {
        open(&self.key, place, sealed)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DataKey(..)")
    }
}

/// The key that wraps the data keys of one day. Kept outside the database and its backups.
pub struct DayKey {
    day: u32,
    key: LessSafeKey,
}

impl DayKey {
    /// A fresh secret, for the file of that day.
    #[must_use]
    pub fn generate() -> Secret<[u8; 32]> {
        draw_secret()
    }

    /// The key of a day (days since 1970-01-01) from its secret of 32 octets.
    #[must_use]
    pub fn from_secret(day: u32, secret: &Secret<[u8; 32]>) -> Self {
        Self {
            day,
            key: cipher(secret.expose()),
        }
    }

    /// The day, counted from 1970-01-01.
    #[must_use]
    pub const fn day(&self) -> u32 {
        self.day
    }

    /// Wraps a row's data key; the day stands in front.
    ///
    /// # Errors
    /// Never for a data key; the type is that of sealing.
    pub fn wrap(&self, place: &Place<'_>, data_key: &DataKey) -> Result<Vec<u8>, RestError> {
        seal(&self.key, self.day, place, data_key.secret.expose())
    }

    /// Unwraps a row's data key.
    ///
    /// # Errors
    /// When it was wrapped on another day, or moved or changed.
    pub fn unwrap(&self, place: &Place<'_>, wrapped: &[u8]) -> Result<DataKey, RestError> {
        if key_number(wrapped) != Some(self.day) {
            return Err(RestError::NoKey);
        }
        let opened = open(&self.key, place, wrapped)?;
        let secret: [u8; 32] = opened
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| RestError::NotOpened)?;
        Ok(DataKey::from_secret(Secret::new(secret)))
    }
}

impl fmt::Debug for DayKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DayKey(day {})", self.day)
    }
}

/// The day keys that still exist.
#[derive(Debug, Default)]
pub struct DayKeys(BTreeMap<u32, DayKey>);

impl DayKeys {
    /// From the days (since 1970-01-01) and secrets that the caller found.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = (u32, Secret<[u8; 32]>)>) -> Self {
        Self(
            keys.into_iter()
                .map(|(day, secret)| (day, DayKey::from_secret(day, &secret)))
                .collect(),
        )
    }

    /// Adds the key of a day, in the place of an older one of that day.
    pub fn insert(&mut self, key: DayKey) {
        self.0.insert(key.day, key);
    }

    /// Forgets the key of a day; what it wrapped is lost from here on.
    pub fn remove(&mut self, day: u32) {
        self.0.remove(&day);
    }

    /// The key to wrap with on `day`: that day's own, if it is there.
    #[must_use]
    pub fn current(&self, day: u32) -> Option<&DayKey> {
        self.0.get(&day)
    }

    /// That day's own key, or of those that there are the one of the day nearest to it: for what lives shorter than
    /// any day key, and must be written whatever a clock says.
    #[must_use]
    pub fn nearest(&self, day: u32) -> Option<&DayKey> {
        self.0.values().min_by_key(|key| key.day.abs_diff(day))
    }

    /// The key that wrapped these bytes, if it still exists.
    #[must_use]
    pub fn of(&self, wrapped: &[u8]) -> Option<&DayKey> {
        self.0.get(&wrapped_day(wrapped)?)
    }

    /// Unwraps with the key that wrapped.
    ///
    /// # Errors
    /// When that day's key was destroyed, or the wrapping was moved or changed.
    pub fn unwrap(&self, place: &Place<'_>, wrapped: &[u8]) -> Result<DataKey, RestError> {
        self.of(wrapped)
            .ok_or(RestError::NoKey)?
            .unwrap(place, wrapped)
    }
}

/// The day whose key wrapped these bytes.
#[must_use]
pub fn wrapped_day(wrapped: &[u8]) -> Option<u32> {
    key_number(wrapped)
}
