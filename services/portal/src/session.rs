//! Sessions: who is logged in, for fifteen minutes, in memory and nowhere else.
//!
//! Must never be written to a disk or a log. The number and the keys are wiped when the session ends.

use super::choice::{Asked, Kept};
use rules::clock::{Random, Timestamp};
use rules::id::RequestId;
use rules::limits::MINUTE_MILLIS;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vault::digest::sha256;
use vault::person::PersonKeys;
use vault::pseudonym::Bsn;

/// How long a session lives from the login on, in milliseconds.
pub const SESSION_MILLIS: i64 = 15 * MINUTE_MILLIS;
/// Most sessions at one moment.
pub const SESSIONS_MAX: usize = 10_000;
/// Most choices that one session remembers, so that a repeat gets the same answer.
const CHOICES_MAX: usize = 200;
/// Octets of what is shown with every call.
pub const TOKEN_BYTES: usize = 32;

/// What is derived from one of the person's pseudonyms at the portal.
pub(super) struct Known {
    /// Opens the person's lines.
    pub(super) keys: PersonKeys,
    /// Finds them.
    pub(super) index: [u8; 32],
}

/// Somebody who is logged in.
pub(super) struct Session {
    /// The person's number, for the orders that need it.
    pub(super) bsn: Bsn,
    /// The present epoch's, and the one's before; never empty.
    pub(super) known: Vec<Known>,
    until: Timestamp,
    /// The choices of this session, by request. Held while one is made, so that they come one by one.
    pub(super) choices: tokio::sync::Mutex<Choices>,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Session(..)")
    }
}

impl Session {
    pub(super) fn new(bsn: Bsn, known: Vec<Known>, now: Timestamp) -> Self {
        Self {
            bsn,
            known,
            until: now.plus_millis(SESSION_MILLIS),
            choices: tokio::sync::Mutex::default(),
        }
    }

    pub(super) const fn until(&self) -> Timestamp {
        self.until
    }

    pub(super) fn indexes(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.known.iter().map(|known| &known.index)
    }
}

/// What was asked in a session, and what came of it.
#[derive(Default)]
pub(super) struct Choices(BTreeMap<RequestId, (Asked, Kept)>);

impl Choices {
    /// What was kept under this request: none when it is new, an error when it was another choice.
    pub(super) fn find(&self, request: &RequestId, asked: &Asked) -> Result<Option<Kept>, ()> {
        match self.0.get(request) {
            Some((before, kept)) if before == asked => Ok(Some(kept.clone())),
            Some(_) => Err(()),
            None => Ok(None),
        }
    }

    /// Keeps a choice; the oldest request makes room when there are too many.
    pub(super) fn keep(&mut self, request: RequestId, asked: Asked, kept: Kept) {
        if self.0.len() >= CHOICES_MAX && !self.0.contains_key(&request) {
            self.0.pop_first();
        }
        self.0.insert(request, (asked, kept));
    }

    /// Says that the broker has a choice.
    pub(super) fn settle(&mut self, request: &RequestId, jws: &str) {
        if let Some((_, kept)) = self.0.get_mut(request) {
            kept.jws = Some(jws.to_owned());
        }
    }

    /// Forgets a choice that was refused.
    pub(super) fn forget(&mut self, request: &RequestId) {
        self.0.remove(request);
    }
}

/// Everybody who is logged in. Found by the digest of what they show, so that finding one takes the same
/// time whatever is shown.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<[u8; 32], Arc<Session>>>);

impl Sessions {
    /// Begins a session; none when there are too many.
    pub(super) fn begin(
        &self,
        session: Session,
        random: &dyn Random,
        now: Timestamp,
    ) -> Option<[u8; TOKEN_BYTES]> {
        let mut token = [0; TOKEN_BYTES];
        random.fill(&mut token);
        let mut sessions = self.living(now);
        if sessions.len() >= SESSIONS_MAX {
            return None;
        }
        sessions.insert(sha256(&token), Arc::new(session));
        Some(token)
    }

    /// The session of a token, if it lives.
    pub(super) fn find(&self, token: &[u8], now: Timestamp) -> Option<Arc<Session>> {
        self.living(now).get(&sha256(token)).map(Arc::clone)
    }

    /// Ends every session whose time is over.
    pub(super) fn end_old(&self, now: Timestamp) {
        drop(self.living(now));
    }

    fn living(&self, now: Timestamp) -> MutexGuard<'_, BTreeMap<[u8; 32], Arc<Session>>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| now < session.until);
        sessions
    }
}
