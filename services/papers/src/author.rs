//! A person's choice becomes a statement: what the person did not choose comes from the register.
//!
//! Must never put into a statement what the person did not see or choose, and must never leave out what
//! the register demands.

use rules::clock::{Random, Timestamp};
use rules::consent::{
    AuthenticationLevel, CollectionMethod, ConsentRecord, ConsentState, Language, NoticeSeen,
    SecrecyWaiver, Signer, Statement, StatementEvent, StopCode, check_narrowed, check_new,
    check_withdrawn,
};
use rules::directory::Directory;
use rules::id::{Category, ConsentId, DeskName, Oin, Party, PeerKind, Purpose};
use rules::limits::DAY_MILLIS;
use rules::reason::{Outcome, Reason, Refusal};
use rules::register::{DataClass, Register, RegisterEntry};
use std::collections::BTreeSet;
use vault::digest::sha256;

/// One choice, as the person made it: one sender, one recipient, one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Who may share.
    pub sender: Party,
    /// With whom.
    pub recipient: Party,
    /// For which purpose.
    pub purpose: Purpose,
    /// Categories of data; empty when refused.
    pub categories: BTreeSet<Category>,
    /// Until when.
    pub valid_until: Timestamp,
    /// True when the person says no.
    pub refused: bool,
    /// True when the person signed the waiver of secrecy; means nothing where the register asks for none.
    pub secrecy_waived: bool,
    /// In which language the person saw the notice.
    pub language: Language,
}

/// Less than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowing {
    /// The record.
    pub record: ConsentId,
    /// Categories that remain.
    pub categories: BTreeSet<Category>,
    /// Until when.
    pub valid_until: Timestamp,
}

/// Where the person made the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the portal, logged in.
    Portal,
    /// At a desk whose worker helped.
    Desk,
    /// By telephone, to such a desk.
    Phone,
}

impl Place {
    const fn method(self) -> CollectionMethod {
        match self {
            Self::Portal => CollectionMethod::Portal,
            Self::Desk => CollectionMethod::Desk,
            Self::Phone => CollectionMethod::Phone,
        }
    }

    /// Who signs there. Whether a desk may is for the broker to say.
    const fn signer(self) -> Signer {
        match self {
            Self::Portal => Signer::Portal,
            Self::Desk | Self::Phone => Signer::Desk { assist: true },
        }
    }
}

/// Who writes statements, and on what they rest.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The portal's desk, or the one that helps.
    pub desk: &'a (Oin, DeskName),
    /// Where the person is.
    pub place: Place,
    /// How sure it is who the person is.
    pub level: AuthenticationLevel,
    /// The directory in force.
    pub directory: &'a Directory,
    /// The register in force.
    pub register: &'a Register,
    /// Now.
    pub now: Timestamp,
}

impl Author<'_> {
    /// The statement of a new choice, checked as the broker will check it.
    ///
    /// # Errors
    /// What the broker would refuse it with.
    pub fn given(
        &self,
        choice: &Choice,
        id: ConsentId,
        supersedes: Option<ConsentId>,
        random: &dyn Random,
    ) -> Result<Statement, Refusal> {
        let kinds = (self.kind(&choice.sender)?, self.kind(&choice.recipient)?);
        let entry = self.register.entry(&choice.purpose, kinds.0, kinds.1);
        let (entry, terms) = entry
            .and_then(|entry| Some((entry, entry.consent.as_ref()?)))
            .ok_or_else(|| Refusal::new(Reason::BasisMissing))?;
        let waives = choice.secrecy_waived && !choice.refused;
        let ground = entry.waiver_ground().filter(|_| waives);
        let record = ConsentRecord {
            id,
            notice: NoticeSeen {
                uri: entry.notice.uri.clone(),
                version: entry.notice.version,
                sha256: entry.notice.sha256,
                language: choice.language,
            },
            sender: choice.sender.clone(),
            recipient: choice.recipient.clone(),
            purpose: choice.purpose.clone(),
            waiver: ground.map(|ground| SecrecyWaiver {
                ground: ground.to_owned(),
                text_sha256: sha256(self.waiver_text(choice, entry).as_bytes()),
                given_at: self.now,
            }),
            categories: choice.categories.clone(),
            special: self.special(&choice.categories),
            method: self.place.method(),
            authentication_level: self.level,
            assisted_by: (self.place != Place::Portal).then(|| self.desk.clone()),
            reflection_offered: terms.reflection_hours > 0,
            valid_from: self.now,
            valid_until: if choice.refused {
                self.now.plus_millis(DAY_MILLIS)
            } else {
                choice.valid_until
            },
            state: if choice.refused {
                ConsentState::Refused
            } else {
                ConsentState::Given
            },
            version: 1,
            supersedes: supersedes.filter(|_| !choice.refused),
        };
        let event = if choice.refused {
            StatementEvent::Refused
        } else {
            StatementEvent::Given
        };
        let stop_code = (!choice.refused).then(|| StopCode::draw(random));
        let statement = self.statement(record, event, stop_code);
        let signer = self.place.signer();
        checked(check_new(
            &statement,
            self.register,
            kinds,
            signer,
            self.now,
        ))?;
        Ok(statement)
    }

    /// The statement of less than before. The stop code stays.
    ///
    /// # Errors
    /// What the broker would refuse it with.
    pub fn narrowed(
        &self,
        before: &ConsentRecord,
        stop_code: Option<StopCode>,
        narrowing: &Narrowing,
    ) -> Result<Statement, Refusal> {
        let record = ConsentRecord {
            categories: narrowing.categories.clone(),
            special: self.special(&narrowing.categories),
            valid_until: narrowing.valid_until,
            version: before.version.saturating_add(1),
            ..before.clone()
        };
        let statement = self.statement(record, StatementEvent::Narrowed, stop_code);
        checked(check_narrowed(before, &statement, self.now))?;
        Ok(statement)
    }

    /// The statement that stops a consent.
    ///
    /// # Errors
    /// What the broker would refuse it with.
    pub fn withdrawn(&self, before: &ConsentRecord) -> Result<Statement, Refusal> {
        let record = ConsentRecord {
            state: ConsentState::Withdrawn,
            version: before.version.saturating_add(1),
            ..before.clone()
        };
        let statement = self.statement(record, StatementEvent::Withdrawn, None);
        checked(check_withdrawn(before, &statement, self.now))?;
        Ok(statement)
    }

    fn statement(
        &self,
        record: ConsentRecord,
        event: StatementEvent,
        stop_code: Option<StopCode>,
    ) -> Statement {
        Statement {
            record,
            event,
            event_time: self.now,
            entity: self.desk.clone(),
            order: None,
            stop_code,
        }
    }

    fn kind(&self, party: &Party) -> Result<PeerKind, Refusal> {
        let peer = self.directory.peer(&party.oin);
        peer.filter(|peer| peer.realm(&party.realm).is_some())
            .map(rules::directory::Peer::kind)
            .ok_or_else(|| Refusal::new(Reason::NoAgreement))
    }

    /// Categories of special data and of national numbers, as the register has them.
    fn special(&self, categories: &BTreeSet<Category>) -> BTreeSet<Category> {
        let classes = self.register.categories();
        let is_special = |category: &&Category| {
            matches!(
                classes.get(category),
                Some(DataClass::Special | DataClass::NationalNumber)
            )
        };
        categories.iter().filter(is_special).cloned().collect()
    }

    /// The declaration that the person signs where the law asks for one: about what the sender hands over, or where only
    /// the recipient must keep secrets, about what that one tells back. Its digest is in the statement.
    fn waiver_text(&self, choice: &Choice, entry: &RegisterEntry) -> String {
        let (from, to) = (self.name(&choice.sender), self.name(&choice.recipient));
        if entry.needs_waiver() {
            waiver_text(choice.language, &from, &to)
        } else {
            waiver_text(choice.language, &to, &from)
        }
    }

    fn name(&self, party: &Party) -> String {
        self.directory
            .peer(&party.oin)
            .map(|peer| peer.name().to_owned())
            .unwrap_or_default()
    }
}

/// The words of the declaration that secrecy is waived.
fn waiver_text(language: Language, from: &str, to: &str) -> String {
    match language {
        Language::Nl => format!(
            "{from} moet mijn gegevens geheim houden. Ik vind het goed dat {from} dat voor deze \
             gegevens niet doet tegenover {to}."
        ),
        Language::En => format!(
            "{from} must keep my data secret. For these data I agree that {from} does not keep \
             them secret from {to}."
        ),
    }
}

fn checked(outcome: Outcome<()>) -> Result<(), Refusal> {
    match outcome {
        Outcome::Permitted(()) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal),
    }
}
