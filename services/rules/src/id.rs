//! The names of things: organisations, realms, desks, purposes, labels and the ids of rows.
//!
//! Parsed once at the edge and typed from then on. Must never accept a name outside its alphabet:
//! labels of the pseudonym protocol are built from these without escaping.

use crate::clock::{Clock, Random, Timestamp};
use std::fmt;
use std::str::FromStr;

/// A name that is not one: which kind of name, never the value (it may be personal).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {expected}")]
pub struct NameError {
    /// What was being read, for example `OIN`.
    pub kind: &'static str,
    /// What a right one looks like.
    pub expected: &'static str,
}

/// Defines a text newtype with a closed alphabet and a check.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { kind: $kind, expected: $expected })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                let text = String::deserialize(source)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// An organisation's number (organisatie-identificatienummer, Logius): 20 positions, of which
    /// the first eight are the prefix of the register it comes from; test numbers begin `00000099`.
    Oin, "OIN", "20 digits or capital letters",
    |text| text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
);

name!(
    /// A realm (kring): the part of an organisation whose files must not join the rest's; `main` for most.
    RealmName, "realm", "1 to 32 of a-z, 0-9 and hyphen, beginning with a letter", is_lower_name
);

name!(
    /// A desk (loket) within an organisation: a region and a function with a certificate of its own.
    DeskName, "desk", "1 to 32 of a-z, 0-9 and hyphen, beginning with a letter", is_lower_name
);

name!(
    /// A purpose (doel) of the register, for example `HANDOVER`. No code knows one by name.
    Purpose, "purpose", "1 to 32 of A-Z, 0-9 and underscore, beginning with a letter", is_upper_name
);

name!(
    /// A legal basis of the register, for example `SUWI_62_1`. No code knows one by name.
    Basis, "basis", "1 to 32 of A-Z, 0-9 and underscore, beginning with a letter", is_upper_name
);

name!(
    /// A category of data in the register, for example `CONTACT`.
    Category, "category", "1 to 32 of A-Z, 0-9 and underscore, beginning with a letter", is_upper_name
);

name!(
    /// A labour-market region (arbeidsmarktregio), for example `NHN`.
    Region, "region", "1 to 32 of A-Z, 0-9 and underscore, beginning with a letter", is_upper_name
);

name!(
    /// The label of one field of an offer or dossier, for example `contact.telefoon`.
    Label, "label", "1 to 64 of a-z, 0-9, dot and underscore, beginning with a letter",
    |text| bounded(text, 64, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'_')
        && text.starts_with(|first: char| first.is_ascii_lowercase())
);

fn bounded(text: &str, length_max: usize, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= length_max && text.bytes().all(allowed)
}

fn is_lower_name(text: &str) -> bool {
    bounded(text, 32, |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
    }) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_upper_name(text: &str) -> bool {
    bounded(text, 32, |byte| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
    }) && text.starts_with(|first: char| first.is_ascii_uppercase())
}

/// A realm of an organisation: the unit that has pseudonyms, a context, a sealing key and edges.
/// Text form `<OIN>/<realm>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// The organisation.
    pub oin: Oin,
    /// The realm within it.
    pub realm: RealmName,
}

impl fmt::Display for Party {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.oin, self.realm)
    }
}

impl FromStr for Party {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = NameError {
            kind: "party",
            expected: "<OIN>/<realm>",
        };
        let (oin, realm) = text.split_once('/').ok_or(wrong)?;
        Ok(Self {
            oin: oin.parse()?,
            realm: realm.parse()?,
        })
    }
}

/// The kinds of peers that the register and the table of conversions know. Closed; the last three
/// are the gateway's own roles and have no realm with pseudonyms of persons they serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PeerKind {
    /// Uitvoeringsinstituut Werknemersverzekeringen.
    Uwv,
    /// A municipality.
    Gemeente,
    /// A trade union.
    Vakbond,
    /// Samenwerkingsorganisatie Beroepsonderwijs Bedrijfsleven.
    Sbb,
    /// A learning-work desk.
    Leerwerkloket,
    /// An employers' service point (werkgeversservicepunt).
    Wsp,
    /// A school or trainer.
    Onderwijs,
    /// A social development company.
    SwBedrijf,
    /// The privacy officers of the joint controllers.
    Toezicht,
    /// The operator of the broker.
    Broker,
    /// A key holder.
    Holder,
    /// The operator of the portal.
    Portal,
}

impl PeerKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Uwv,
        Self::Gemeente,
        Self::Vakbond,
        Self::Sbb,
        Self::Leerwerkloket,
        Self::Wsp,
        Self::Onderwijs,
        Self::SwBedrijf,
        Self::Toezicht,
        Self::Broker,
        Self::Holder,
        Self::Portal,
    ];

    /// The code, as in the register and the policies.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Uwv => "UWV",
            Self::Gemeente => "GEMEENTE",
            Self::Vakbond => "VAKBOND",
            Self::Sbb => "SBB",
            Self::Leerwerkloket => "LEERWERKLOKET",
            Self::Wsp => "WSP",
            Self::Onderwijs => "ONDERWIJS",
            Self::SwBedrijf => "SW_BEDRIJF",
            Self::Toezicht => "TOEZICHT",
            Self::Broker => "BROKER",
            Self::Holder => "HOLDER",
            Self::Portal => "PORTAL",
        }
    }

    /// The kind with this code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for PeerKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// Draws 16 octets in the layout of a UUIDv7 (RFC 9562 5.7): 48 bits of milliseconds, then chance.
fn draw_uuid_v7(clock: &dyn Clock, random: &dyn Random) -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    let millis = clock.now().millis().to_be_bytes();
    for (target, source) in bytes.iter_mut().zip(millis.iter().skip(2)) {
        *target = *source;
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

/// Defines an id: 16 octets, UUIDv7 where we draw it, with a prefixed text form.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Text before the hexadecimal digits.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh one: time-ordered, the rest chance.
            #[must_use]
            pub fn draw(clock: &dyn Clock, random: &dyn Random) -> Self {
                Self(draw_uuid_v7(clock, random))
            }

            /// The moment at which we drew it; it means nothing of an id that somebody else made.
            #[must_use]
            pub fn drawn_at(&self) -> Timestamp {
                let millis = self.0.iter().take(6).fold(0, |sum, byte| sum << 8 | i64::from(*byte));
                Timestamp::from_millis(millis)
            }

            /// The 16 octets.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// From exactly 16 octets that are not all zero; anything else is no id.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                (bytes != [0; 16]).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str($prefix)?;
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let wrong = NameError { kind: stringify!($name), expected: concat!($prefix, "<32 hexadecimal digits>") };
                let digits = text.strip_prefix($prefix).ok_or_else(|| wrong.clone())?;
                let bytes = crate::hex::decode(digits).ok_or_else(|| wrong.clone())?;
                Self::from_slice(&bytes).ok_or(wrong)
            }
        }
    };
}

id!(
    /// One handover (overdracht).
    HandoverId, "hnd_"
);
id!(
    /// A group of handovers for one candidate of which at most one may be released.
    GroupId, "grp_"
);
id!(
    /// A line of the log (logboekregel).
    EntryId, "ent_"
);
id!(
    /// A notice (kennisgeving) to a recipient.
    NoticeId, "ntc_"
);
id!(
    /// A question for consent; an inbox item `READY` names it by the same octets.
    QuestionId, "qst_"
);
id!(
    /// A consent record.
    ConsentId, "cns_"
);
id!(
    /// The caller's id of a mutating request; a repeat carries the same one.
    RequestId, "req_"
);
id!(
    /// An order (opdracht) to the key holders.
    OrderId, "ord_"
);

/// A keyed tag: HMAC-SHA256 truncated to 16 octets, by which a row is found without saying what it is
/// about (docs/threats.md). Equal values give equal tags under one key; nothing else can be read from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag([u8; 16]);

impl Tag {
    /// From the octets that the key holder computed.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 octets.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From exactly 16 octets.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        for (text, right) in [
            ("00000099000000001000", true),
            ("0000009900000000100", false),
            ("0000009900000000100a", false),
            ("00000099 00000001000", false),
        ] {
            assert_eq!(text.parse::<Oin>().is_ok(), right, "{text}");
        }
        for (text, right) in [("main", true), ("Main", false), ("", false), ("a/b", false)] {
            assert_eq!(text.parse::<RealmName>().is_ok(), right, "{text}");
        }
        assert!("HANDOVER".parse::<Purpose>().is_ok());
        assert!("handover".parse::<Purpose>().is_err());
        assert!("00000099000000001000/main".parse::<Party>().is_ok());
        assert!("00000099000000001000".parse::<Party>().is_err());
    }

    #[test]
    fn an_id_knows_when_it_was_drawn() {
        let octets: Vec<u8> = [0x01, 0x9e, 0, 0, 0, 0x05]
            .into_iter()
            .chain([0xff; 10])
            .collect();
        let id = EntryId::from_slice(&octets).expect("an id");
        assert_eq!(id.drawn_at(), Timestamp::from_millis(0x019e_0000_0005));
    }

    #[test]
    fn ids_read_back_and_refuse_the_rest() {
        let id = HandoverId::from_slice(&[7; 16]);
        let text = id.map(|id| id.to_string()).unwrap_or_default();
        assert_eq!(text.parse::<HandoverId>().ok(), id);
        assert!(text.parse::<EntryId>().is_err(), "another prefix");
        assert!(HandoverId::from_slice(&[0; 16]).is_none());
        assert!(HandoverId::from_slice(&[1; 15]).is_none());
        assert!("hnd_00".parse::<HandoverId>().is_err());
    }
}
