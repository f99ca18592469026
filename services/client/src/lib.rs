//! What a partner needs to hand over warmly: enrol a person, offer, accept, release, fetch, complete,
//! return, and answer when a person withdraws.
//!
//! Keys, persons and opened fields stay on the partner's side, in a sealed store. This crate must never
//! send a citizen service number, a person key or a field in clear, never log what it carries, and never
//! decide what is allowed: it asks, verifies what comes back, and keeps it.
#![warn(missing_docs)]

pub mod check;
mod client;
pub mod connection;
pub mod credentials;
pub mod directory;
pub mod error;
pub mod identity;
mod mutation;
mod number;
mod outbox;
pub mod person;
pub mod receipt;
mod resend;
mod retry;
pub mod store;
mod unseen;

pub use check::{ConnectCheckError, Step};
pub use client::{
    Client, ClientParts, Draft, ENROL_BATCH_MAX, EncryptedPerson, Enrolled, FeedLine, Fetched,
    Inbox, InboxEvent, PolicyFile, PortalCopy, PortalPseudonyms, Preparation, Proof,
    RegisteredConsent, Report, StandingConsent, Summary, Values, WaitingDraft, Watch,
    open_statement,
};
pub use connection::{Connection, ConnectionError};
pub use credentials::{CredentialError, Credentials, LiveCredentials, TlsFiles};
pub use directory::{Controller, DirectoryCopy, DirectoryError};
pub use error::{ClientError, ProtocolError, Refused, TransportError};
pub use identity::{Identity, Trust};
pub use number::mask_bsn;
pub use outbox::Resumed;
pub use papers::promise::Promise;
pub use person::{PersonKey, PersonKeyError};
pub use receipt::{ConsentReceipt, NoticeReceipt, Prepared, Question, Receipt, Settled};
pub use retry::RetryPolicy;
pub use store::{Opened, Store, StoreError};

#[cfg(test)]
mod tests;
