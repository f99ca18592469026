//! The broker, as the portal reaches it.
//!
//! Must never be given a person's number by anybody but the session that holds it.

use super::PortalError;
use super::errand::ENCRYPTED_PERSON_BYTES;
use papers::feed::FeedLine;
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, LinkCode, Statement, StopCode};
use rules::directory::Directory;
use rules::id::{ConsentId, EntryId, HandoverId, Party, RequestId};
use rules::reason::Outcome;
use std::pin::Pin;
use std::sync::Arc;
use vault::pseudonym::{Bsn, Pseudonym};

/// Work on its way, behind a trait that `gateway` implements.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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

/// What the portal keeps of one of its rows at the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyAtBroker {
    /// Its name, which only the portal can make.
    pub name: [u8; 16],
    /// What it holds, sealed to the portal; empty where only names were asked for.
    pub sealed: Vec<u8>,
}

/// The broker. Implemented over mTLS by `gateway`. Every answer was verified; a refusal is a value.
pub trait Broker: Send + Sync {
    /// The portal's pseudonyms of a person: the present epoch's, then the one before.
    fn login<'a>(&'a self, bsn: &'a Bsn) -> Asking<'a, Vec<Pseudonym>>;

    /// The same of a person whom [`Broker::encrypted`] gave, for what a killed portal left. Tried once.
    fn login_of<'a>(
        &'a self,
        person: &'a [u8; ENCRYPTED_PERSON_BYTES],
    ) -> Asking<'a, Vec<Pseudonym>>;

    /// The pseudonym behind an introduction.
    fn introduced<'a>(
        &'a self,
        introduction: &'a [u8; 64],
    ) -> Boxed<'a, Result<Pseudonym, PortalError>>;

    /// A person as an order names one, for a refusal that may have to wait. Nobody is asked.
    fn encrypted<'a>(
        &'a self,
        bsn: &'a Bsn,
    ) -> Boxed<'a, Result<[u8; ENCRYPTED_PERSON_BYTES], PortalError>>;

    /// Registers a choice; answers the signed statement. The same statement again is a repeat.
    fn register<'a>(&'a self, bsn: &'a Bsn, statement: &'a Statement) -> Asking<'a, String>;

    /// The same for a person whom [`Broker::encrypted`] gave.
    fn register_of<'a>(
        &'a self,
        person: &'a [u8; ENCRYPTED_PERSON_BYTES],
        statement: &'a Statement,
    ) -> Asking<'a, String>;

    /// Makes a consent narrower; answers the signed statement.
    fn narrow<'a>(&'a self, statement: &'a Statement) -> Asking<'a, String>;

    /// Stops a consent; answers the signed statement. Tried once: the portal keeps it under the request's id until it
    /// is answered.
    fn withdraw<'a>(&'a self, request: RequestId, statement: &'a Statement) -> Asking<'a, String>;

    /// Stops a consent by its code; answers how many open handovers ended. `source` is the digest of
    /// where the code was typed in.
    fn withdraw_by_code<'a>(&'a self, code: &'a StopCode, source: [u8; 32]) -> Asking<'a, u32>;

    /// One consent as it stands.
    fn consent(&self, record: ConsentId) -> Asking<'_, Standing>;

    /// Files an objection, or a restriction; answers when it was noted. Tried once, like a stop.
    fn object(
        &self,
        request: RequestId,
        handover: HandoverId,
        restrict: bool,
    ) -> Asking<'_, Timestamp>;

    /// Makes a link code for a vakbond; answers until when it can be used.
    fn link<'a>(&'a self, bsn: &'a Bsn, recipient: &'a Party) -> Asking<'a, (LinkCode, Timestamp)>;

    /// The oldest lines of the feed.
    fn pull(&self, limit: usize) -> Asking<'_, Vec<FeedLine>>;

    /// Says that lines have been taken over.
    fn acknowledge<'a>(&'a self, lines: &'a [EntryId]) -> Asking<'a, ()>;

    /// Keeps copies, each in the place of the one of its name.
    fn put_copies<'a>(&'a self, copies: &'a [CopyAtBroker]) -> Asking<'a, ()>;

    /// A page of the copies behind a name, without what they hold where only names are asked for.
    fn list_copies(
        &self,
        after: Option<[u8; 16]>,
        limit: usize,
        names_only: bool,
    ) -> Asking<'_, Vec<CopyAtBroker>>;

    /// Takes copies away; those that are gone already are no mistake.
    fn take_copies<'a>(&'a self, names: &'a [[u8; 16]]) -> Asking<'a, ()>;

    /// Whether the broker was put back from a backup and is still shut: then it may have lost copies.
    fn is_restoring(&self) -> Boxed<'_, Result<bool, PortalError>>;

    /// The directory in force.
    fn directory(&self) -> Arc<Directory>;
}
