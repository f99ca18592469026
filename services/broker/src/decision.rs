//! The question put to the policies: facts from the directory, the register and the locked row, never
//! from a cache.
//!
//! Must never fill in a fact that nobody established: what is not known counts against the exchange.

use crate::Error;
use crate::broker::InForce;
use crate::handover::body::Body;
use crate::record::Record;
use crate::serve::Room;
use rules::clock::Timestamp;
use rules::consent::ConsentRecord;
use rules::directory::Right;
use rules::handover::{BasisKind, State, Timers};
use rules::id::{Basis, Category, Label, Party, PeerKind, Purpose, Region};
use rules::limits::{DAY_MILLIS, HOUR_MILLIS};
use rules::policy::{
    Action, ConsentFacts, ConsentState, Decision, DecisionRequest, OversightAction,
    OversightRequest, OversightRight, PeerFacts, Stage, Surplus,
};
use rules::pseudonym::Context;
use rules::reason::{Outcome, Reason, Refusal};
use rules::register::{DataClass, RegisterEntry};
use std::collections::BTreeSet;
use store::Tx;
use store::pseudonym::SubjectRow;

/// Which exchange is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is wanted.
    pub action: Action,
    /// Which data it is about.
    pub stage: Stage,
    /// Who hands over.
    pub sender: &'a Party,
    /// Region of the sender's desk.
    pub region: Option<&'a Region>,
    /// To whom.
    pub recipient: &'a Party,
    /// For which purpose.
    pub purpose: &'a Purpose,
    /// On which legal basis, as the sender names it.
    pub basis: &'a Basis,
    /// Whether the sender made the person known without a number.
    pub unbound: bool,
}

/// What is true of the person at this moment.
#[derive(Clone, Debug)]
pub struct Facts {
    objection_pending: bool,
    restricted: bool,
    follows_completed: bool,
    now: Timestamp,
    expires_at: Timestamp,
    consent: Assumed,
}

/// Which consent a decision looks at.
#[derive(Clone, Debug)]
enum Assumed {
    /// None is on record.
    Absent,
    /// The one on record.
    Present(Box<ConsentRecord>),
    /// The widest that could be: to find what is refused whoever the person is.
    Widest,
}

impl Facts {
    /// The facts of a locked row. `follows_completed`: whether the recipient handed somebody over to the
    /// sender before, and the sender completed it.
    #[must_use]
    pub fn of(
        subject: &SubjectRow,
        consent: Option<&ConsentRecord>,
        follows_completed: bool,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self {
            objection_pending: subject.objected_at.is_some(),
            restricted: subject.restricted_at.is_some(),
            follows_completed,
            now,
            expires_at: expires_at.unwrap_or_else(|| now.plus_millis(1)),
            consent: consent.map_or(Assumed::Absent, |record| {
                Assumed::Present(Box::new(record.clone()))
            }),
        }
    }

    /// The most favourable facts about a person: what is refused even so depends on no person (decision 0007).
    #[must_use]
    pub fn favourable(now: Timestamp, follows_completed: bool) -> Self {
        Self {
            objection_pending: false,
            restricted: false,
            follows_completed,
            now,
            expires_at: now.plus_millis(DAY_MILLIS),
            consent: Assumed::Widest,
        }
    }

    /// The same without objection and restriction: for a step that reveals nothing, and so need not wait
    /// for an officer.
    #[must_use]
    pub fn without_pause(self) -> Self {
        Self {
            objection_pending: false,
            restricted: false,
            ..self
        }
    }

    /// The consent as the policies look at it. One that was given on an older notice than the register's
    /// counts as superseded: the person has not seen what is true now.
    fn consent(&self, asked: &Asked<'_>, in_force: &InForce) -> Option<ConsentFacts> {
        match &self.consent {
            Assumed::Absent => None,
            Assumed::Present(record) => {
                let mut facts = record.facts();
                let kinds = (
                    in_force.kind_of(asked.sender),
                    in_force.kind_of(asked.recipient),
                );
                let outdated = match kinds {
                    (Ok(sender), Ok(recipient)) => in_force
                        .policy
                        .register()
                        .entry(asked.purpose, sender, recipient)
                        .is_none_or(|entry| entry.notice.version != record.notice.version),
                    _ => true,
                };
                if outdated && facts.state == ConsentState::Given {
                    facts.state = ConsentState::Superseded;
                }
                Some(facts)
            }
            Assumed::Widest => Some(ConsentFacts {
                state: ConsentState::Given,
                valid_until: self.now.plus_millis(DAY_MILLIS),
                categories: in_force
                    .policy
                    .register()
                    .categories()
                    .into_keys()
                    .cloned()
                    .collect::<BTreeSet<Category>>(),
                recipient_matches: true,
                purpose_matches: true,
                waiver: true,
            }),
        }
    }
}

impl InForce {
    /// Asks the policies about an exchange.
    ///
    /// # Errors
    /// A refusal when a party is not in the directory at all.
    pub fn decide(
        &self,
        asked: &Asked<'_>,
        labels: &BTreeSet<Label>,
        facts: &Facts,
    ) -> Result<Decision, Refusal> {
        let sender_kind = self.kind_of(asked.sender)?;
        let recipient_kind = self.kind_of(asked.recipient)?;
        let edge = self
            .directory
            .edge(asked.sender, asked.recipient, asked.purpose, facts.now);
        let consent = facts.consent(asked, self);
        let receiver = match asked.stage {
            Stage::Offer | Stage::Dossier => asked.recipient,
            Stage::Report => asked.sender,
        };
        Ok(self.policy.decide(&DecisionRequest {
            action: asked.action,
            stage: asked.stage,
            sender: PeerFacts {
                party: asked.sender,
                kind: sender_kind,
            },
            recipient: PeerFacts {
                party: asked.recipient,
                kind: recipient_kind,
            },
            purpose: asked.purpose,
            basis: asked.basis,
            labels,
            surplus: Surplus::Drop,
            edge_valid: edge.is_some(),
            region_covered: edge.is_some_and(|edge| edge.covers(asked.region)),
            bsn_ground: self.directory.has_bsn(asked.sender)
                && self.directory.has_bsn(asked.recipient),
            recipient_neutral: self.directory.is_neutral(asked.recipient),
            recipient_is_centre: self.directory.is_centre(asked.recipient, asked.region),
            unbound: asked.unbound,
            receiver_ready: self.directory.sealing_key(receiver, facts.now).is_some(),
            objection_pending: facts.objection_pending,
            restricted: facts.restricted,
            follows_completed: facts.follows_completed,
            now: facts.now,
            expires_at: facts.expires_at,
            consent: consent.as_ref(),
        }))
    }

    /// The kind of a party's organisation.
    ///
    /// # Errors
    /// `NO_AGREEMENT` when organisation or realm is not in the directory.
    pub fn kind_of(&self, party: &Party) -> Result<PeerKind, Refusal> {
        let peer = self
            .directory
            .peer(&party.oin)
            .filter(|peer| peer.realm(&party.realm).is_some());
        peer.map(rules::directory::Peer::kind).ok_or_else(|| {
            Refusal::about(Reason::NoAgreement, "recipient", "is not in the directory")
        })
    }

    /// Whether a context is the one that its realm has now.
    #[must_use]
    pub fn is_current(&self, context: &Context) -> bool {
        let realm = self.directory.realm(&context.party);
        realm.is_some_and(|realm| realm.context == context.number)
    }

    /// The register's entry for a handover.
    ///
    /// # Errors
    /// When a newer register no longer has it: then nothing may happen under it any more.
    pub fn entry(&self, body: &Body) -> Result<&RegisterEntry, Refusal> {
        let sender = self.kind_of(&body.sender)?;
        let recipient = self.kind_of(&body.recipient)?;
        self.policy
            .register()
            .entry(&body.purpose, sender, recipient)
            .ok_or_else(|| Refusal::new(Reason::BasisMissing))
    }

    /// On what a handover rests: a handover whose entry is gone counts as resting on consent, which
    /// is the side on which more can stop it.
    #[must_use]
    pub fn basis_kind(&self, body: &Body) -> BasisKind {
        match self.entry(body) {
            Ok(entry) if !entry.needs_consent() => BasisKind::Statute,
            Ok(_) | Err(_) => BasisKind::Consent,
        }
    }

    /// Until when a handover may stay in a state that it enters now: by the times that the two agreed on,
    /// or else by the register's.
    #[must_use]
    pub fn deadline(&self, body: &Body, state: State, now: Timestamp) -> Option<Timestamp> {
        let edge = self
            .directory
            .edge(&body.sender, &body.recipient, &body.purpose, now);
        let [hours, offer, release, complete] = match edge.and_then(|edge| edge.timers) {
            Some(agreed) => agreed.numbers(),
            None => {
                let entry = self.entry(body).map(|entry| entry.timers);
                entry.unwrap_or_default().numbers()
            }
        };
        let timers = Timers {
            prepared_millis: i64::from(hours).saturating_mul(HOUR_MILLIS),
            offer_working_days: offer,
            release_working_days: release,
            completion_days: complete,
        };
        rules::handover::deadline(state, now, &timers, &self.calendar)
    }

    /// The labels wanted that may be in a stage of an exchange.
    #[must_use]
    pub fn labels_of_stage(
        &self,
        asked: &Asked<'_>,
        stage: Stage,
        wanted: &[Label],
    ) -> BTreeSet<Label> {
        let kinds = (self.kind_of(asked.sender), self.kind_of(asked.recipient));
        let (Ok(sender), Ok(recipient)) = kinds else {
            return BTreeSet::new();
        };
        let register = self.policy.register();
        let wanted = wanted.iter().cloned().collect();
        register
            .entry(asked.purpose, sender, recipient)
            .map(|entry| {
                register
                    .permitted_labels(entry, stage, &wanted, None)
                    .permitted
            })
            .unwrap_or_default()
    }

    /// Whether the register allows an exchange only after a completed handover the other way.
    #[must_use]
    pub fn follows_another(
        &self,
        (sender, recipient): (&Party, &Party),
        purpose: &Purpose,
    ) -> bool {
        let (Ok(from), Ok(to)) = (self.kind_of(sender), self.kind_of(recipient)) else {
            return false;
        };
        let entry = self.policy.register().entry(purpose, from, to);
        entry.is_some_and(|entry| entry.after_completed)
    }

    /// The label that holds the person's national number, if one of these does.
    #[must_use]
    pub fn number_label<'a>(
        &self,
        labels: impl IntoIterator<Item = &'a Label>,
    ) -> Option<&'a Label> {
        let register = self.policy.register();
        labels.into_iter().find(|label| {
            register
                .label(label)
                .is_some_and(|known| known.class == DataClass::NationalNumber)
        })
    }

    /// Whether the register has a label.
    #[must_use]
    pub fn knows_label(&self, label: &Label) -> bool {
        self.policy.register().label(label).is_some()
    }
}

/// Whether an exchange of this kind follows a completed handover the other way between the same two parties.
///
/// Looked up only where the register asks for it. It is about the pair, not about the person: a person's
/// handles in two relations cannot be joined, and the two parties themselves know whom it concerns.
///
/// # Errors
/// When the database fails.
pub async fn follows_completed(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    (sender, recipient): (&Party, &Party),
    purpose: &Purpose,
) -> Result<bool, Error> {
    if !room.in_force.follows_another((sender, recipient), purpose) {
        return Ok(false);
    }
    let keys = room.broker.keys();
    let completed = i64::from(State::Completed.number());
    Ok(tx
        .has_completed_handover(
            keys.party_tag(recipient),
            keys.party_tag(sender),
            completed,
            keys.purpose_tag(purpose),
        )
        .await?)
}

/// Asks the policies whether an officer may do this. `own`: whether it is about the officer's own
/// organisation only.
///
/// # Errors
/// `RIGHT_MISSING` for a desk that is no officer's, or `NO_APPLICABLE_PERMIT`.
pub fn oversee(
    room: &Room<'_>,
    action: OversightAction,
    own: bool,
    record: &mut Record,
) -> Result<(), Refusal> {
    let caller = &room.call.caller;
    let right = if caller.may(Right::JointOfficer) {
        OversightRight::JointOfficer
    } else if caller.may(Right::Officer) {
        OversightRight::Officer
    } else {
        OversightRight::Nobody
    };
    let decision = room.in_force.policy.decide_oversight(&OversightRequest {
        action,
        caller: &caller.party,
        right,
        own,
    });
    tell(record, &decision);
    match decision.outcome {
        Outcome::Permitted(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal),
    }
}

/// Tells the log what a decision said.
pub fn tell(record: &mut Record, decision: &Decision) {
    record.policy_set = Some(decision.policy_set);
    record.codes.clone_from(&decision.codes);
    record.determining = decision
        .determining
        .iter()
        .map(|policy| rules::audit::Determining {
            policy: policy.policy.clone(),
            permits: policy.effect == rules::policy::Effect::Permit,
            code: policy
                .code
                .map(|code| code.code().to_owned())
                .unwrap_or_default(),
            article: policy.article.clone(),
        })
        .collect();
    if let Some(permit) = decision.permit() {
        let basis = permit.basis().map(ToString::to_string).unwrap_or_default();
        record.basis = Some((basis, permit.article().to_owned()));
        record.processing_activity = Some(permit.processing_activity().to_owned());
    }
}
