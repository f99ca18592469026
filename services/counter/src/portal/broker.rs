//! The broker, as the portal reaches it.
//!
//! Must never be given a person's number by anybody but the session that holds it.

use super::PortalError;
use crate::counter::Boxed;
use crate::feed::FeedLine;
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, LinkCode, Statement, StopCode};
use rules::directory::Directory;
use rules::id::{ConsentId, EntryId, HandoverId, Party};
use rules::reason::Outcome;
use std::sync::Arc;
use vault::pseudonym::{Bsn, Pseudonym};

/// A question to the broker on its way.
pub type Asking<'a, T> = Boxed<'a, Result<Outcome<T>, PortalError>>;

/// A consent as it stands at the broker.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The latest statement, verified.
    pub statement: Statement,
    /// The same as a compact JWS.
    pub jws: String,
    /// The record with the state and version that it has now.
    pub record: ConsentRecord,
}

/// The broker. Implemented over mTLS by `gateway`. Every answer was verified; a refusal is a value.
pub trait Broker: Send + Sync {
    /// The portal's pseudonyms of a person: the present epoch's, then the one before.
    fn login<'a>(&'a self, bsn: &'a Bsn) -> Asking<'a, Vec<Pseudonym>>;

    /// The pseudonym behind an introduction.
    fn introduced<'a>(
        &'a self,
        introduction: &'a [u8; 64],
    ) -> Boxed<'a, Result<Pseudonym, PortalError>>;

    /// Registers a choice; answers the signed statement. The same statement again is a repeat.
    fn register<'a>(&'a self, bsn: &'a Bsn, statement: &'a Statement) -> Asking<'a, String>;

    /// Makes a consent narrower; answers the signed statement.
    fn narrow<'a>(&'a self, statement: &'a Statement) -> Asking<'a, String>;

    /// Stops a consent; answers the signed statement.
    fn withdraw<'a>(&'a self, statement: &'a Statement) -> Asking<'a, String>;

    /// Stops a consent by its code; answers how many open handovers ended. `source` is the digest of
    /// where the code was typed in.
    fn withdraw_by_code<'a>(&'a self, code: &'a StopCode, source: [u8; 32]) -> Asking<'a, u32>;

    /// One consent as it stands.
    fn consent(&self, record: ConsentId) -> Asking<'_, Standing>;

    /// Files an objection, or a restriction; answers when it was noted.
    fn object(&self, handover: HandoverId, restrict: bool) -> Asking<'_, Timestamp>;

    /// Makes a link code for a vakbond; answers until when it can be used.
    fn link<'a>(&'a self, bsn: &'a Bsn, recipient: &'a Party) -> Asking<'a, (LinkCode, Timestamp)>;

    /// The oldest lines of the feed.
    fn pull(&self, limit: usize) -> Asking<'_, Vec<FeedLine>>;

    /// Says that lines have been taken over.
    fn acknowledge<'a>(&'a self, lines: &'a [EntryId]) -> Asking<'a, ()>;

    /// The directory in force.
    fn directory(&self) -> Arc<Directory>;
}
