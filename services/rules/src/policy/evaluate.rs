//! From typed facts to Cedar and back: the only code that calls the policy engine.
//!
//! Must never turn a failed policy into a yes: Cedar skips such a policy, we refuse. What never changes
//! (register entries, the hierarchy of actions) is built once at load; a decision builds its context only.

use super::{
    ConsentFacts, Decision, DecisionRequest, Determining, Effect, OversightRequest, PRECEDENCE,
    Permit, PolicyBundle, Stage, Surplus,
};
use crate::id::{Category, Label, Party, PeerKind, Purpose};
use crate::reason::{Outcome, Reason, Refusal};
use crate::register::{DataClass, LabelChoice, Register, RegisterEntry};
use cedar_policy::{
    Authorizer, Context, Decision as Verdict, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, PolicyId, PolicySet, Request, RestrictedExpression as Expression, Schema,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;

/// What a policy says about itself, by its id.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) effect: Effect,
    pub(super) code: Option<Reason>,
    pub(super) article: String,
}

/// Everything that is the same for every decision under one policy set.
pub(super) struct Engine {
    authorizer: Authorizer,
    schema: Schema,
    party: EntityTypeName,
    kinds: Uids,
    entities: Entities,
    /// Guards and the policies of one purpose: others cannot match, so they are not asked.
    purposes: HashMap<Purpose, PolicySet>,
    oversight: PolicySet,
    notes: HashMap<PolicyId, Note>,
}

/// Names of entity types, parsed once.
struct Uids {
    action: EntityTypeName,
    category: EntityTypeName,
    consent_state: EntityTypeName,
    exchange: EntityTypeName,
    log: EntityUid,
    right: EntityTypeName,
}

/// What Cedar said.
pub(super) struct Answer {
    pub(super) allowed: bool,
    pub(super) policies: Vec<PolicyId>,
    pub(super) errors: usize,
}

/// A register entry that names something that the schema does not have.
fn unfit(entry: &RegisterEntry, error: &dyn Error) -> String {
    let (purpose, sender, recipient) = (&entry.purpose, entry.sender_kind, entry.recipient_kind);
    let mut message = format!("{purpose} {sender} to {recipient} does not fit the schema: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    message
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn type_name(name: &str) -> Result<EntityTypeName, String> {
    name.parse()
        .map_err(|error| format!("type `{name}`: {error}"))
}

fn exchange_id(purpose: &Purpose, sender: PeerKind, recipient: PeerKind, stage: Stage) -> String {
    format!("{purpose}/{sender}/{recipient}/{}", stage.code())
}

impl Engine {
    /// Builds what never changes. The register's purposes, bases, kinds, categories and secrecy
    /// grounds must be in the schema's closed lists.
    pub(super) fn new(
        schema: Schema,
        register: &Register,
        purposes: HashMap<Purpose, PolicySet>,
        oversight: PolicySet,
        notes: HashMap<PolicyId, Note>,
    ) -> Result<Self, String> {
        let log_type = type_name("Log")?;
        let kinds = Uids {
            action: type_name("Action")?,
            category: type_name("Category")?,
            consent_state: type_name("ConsentState")?,
            exchange: type_name("Exchange")?,
            log: uid(&log_type, "log"),
            right: type_name("Right")?,
        };
        let mut entities = schema
            .action_entities()
            .map_err(|error| error.to_string())?;
        for entry in register.entries() {
            for stage in Stage::ALL {
                let entity = exchange(&kinds.exchange, register, entry, *stage)?;
                entities = entities
                    .add_entities([entity], Some(&schema))
                    .map_err(|error| unfit(entry, &error))?;
            }
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            schema,
            party: type_name("Party")?,
            kinds,
            entities,
            purposes,
            oversight,
            notes,
        })
    }

    fn principal(&self, party: &Party) -> EntityUid {
        uid(&self.party, &party.to_string())
    }

    /// The schema of the set.
    pub(super) const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The Cedar request of an exchange in which `categories` would travel. It is typed by its
    /// construction, so decisions do not check it against the schema again; the loader does so once
    /// for every register entry, and the goals do on every generated request.
    pub(super) fn request(
        &self,
        request: &DecisionRequest<'_>,
        categories: &BTreeSet<Category>,
        schema: Option<&Schema>,
    ) -> Result<Request, String> {
        let caller = match request.action {
            super::Action::Fetch | super::Action::Report => request.recipient,
            super::Action::Ask
            | super::Action::Prepare
            | super::Action::Offer
            | super::Action::Release
            | super::Action::FetchReport => request.sender,
        };
        let (sender, recipient) = (request.sender.kind, request.recipient.kind);
        let exchange = exchange_id(request.purpose, sender, recipient, request.stage);
        Request::new(
            self.principal(caller.party),
            uid(&self.kinds.action, request.action.code()),
            uid(&self.kinds.exchange, &exchange),
            self.context(request, categories)?,
            schema,
        )
        .map_err(|error| error.to_string())
    }

    fn context(
        &self,
        request: &DecisionRequest<'_>,
        categories: &BTreeSet<Category>,
    ) -> Result<Context, String> {
        let facts = [
            ("agreementValid", request.edge_valid),
            ("regionCovered", request.region_covered),
            ("bsnGround", request.bsn_ground),
            ("recipientNeutral", request.recipient_neutral),
            ("recipientIsCentre", request.recipient_is_centre),
            ("unbound", request.unbound),
            ("receiverReady", request.receiver_ready),
            ("objectionPending", request.objection_pending),
            ("restricted", request.restricted),
            ("followsCompleted", request.follows_completed),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), Expression::new_bool(value)));
        let times = [("now", request.now), ("expiresAt", request.expires_at)];
        let times = times.map(|(name, at)| (name.to_owned(), Expression::new_long(at.millis())));
        let rest = [("requested".to_owned(), self.category_set(categories))];
        let consent = request
            .consent
            .map(|consent| self.consent(consent))
            .transpose()?;
        let consent = consent.map(|record| ("consent".to_owned(), record));
        let pairs = facts.into_iter().chain(times).chain(rest).chain(consent);
        Context::from_pairs(pairs).map_err(|error| error.to_string())
    }

    fn consent(&self, consent: &ConsentFacts) -> Result<Expression, String> {
        let until = Expression::new_long(consent.valid_until.millis());
        let matches = Expression::new_bool(consent.recipient_matches);
        Expression::new_record([
            (
                "state".to_owned(),
                entity(&self.kinds.consent_state, consent.state.code()),
            ),
            ("validUntil".to_owned(), until),
            (
                "categories".to_owned(),
                self.category_set(&consent.categories),
            ),
            ("recipientMatches".to_owned(), matches),
            (
                "purposeMatches".to_owned(),
                Expression::new_bool(consent.purpose_matches),
            ),
            ("waiver".to_owned(), Expression::new_bool(consent.waiver)),
        ])
        .map_err(|error| error.to_string())
    }

    fn category_set(&self, categories: &BTreeSet<Category>) -> Expression {
        let kind = &self.kinds.category;
        Expression::new_set(
            categories
                .iter()
                .map(|category| entity(kind, category.as_str())),
        )
    }

    /// Asks one set of policies.
    pub(super) fn ask(&self, policies: &PolicySet, request: &Request) -> Answer {
        let response = self
            .authorizer
            .is_authorized(request, policies, &self.entities);
        Answer {
            allowed: response.decision() == Verdict::Allow,
            policies: response.diagnostics().reason().cloned().collect(),
            errors: response.diagnostics().errors().count(),
        }
    }

    /// Guards and policies of one purpose.
    pub(super) fn policies(&self, purpose: &Purpose) -> Option<&PolicySet> {
        self.purposes.get(purpose)
    }

    fn determining(&self, answer: &Answer) -> Vec<Determining> {
        let mut determining: Vec<Determining> = answer
            .policies
            .iter()
            .filter_map(|id| {
                let note = self.notes.get(id)?;
                Some(Determining {
                    policy: id.to_string(),
                    effect: note.effect,
                    code: note.code,
                    article: note.article.clone(),
                })
            })
            .collect();
        determining.sort_by(|one, other| one.policy.cmp(&other.policy));
        determining
    }
}

fn entity(kind: &EntityTypeName, id: &str) -> Expression {
    Expression::new_entity_uid(uid(kind, id))
}

/// A register entry at one stage, as the resource of a question.
fn exchange(
    kind: &EntityTypeName,
    register: &Register,
    entry: &RegisterEntry,
    stage: Stage,
) -> Result<Entity, String> {
    let labels = entry.labels().filter(|label| entry.allows(stage, label));
    let category_type = type_name("Category")?;
    let categories = register.categories_of(labels);
    let allowed = Expression::new_set(
        categories
            .iter()
            .map(|category| entity(&category_type, category.as_str())),
    );
    let peer_kind = type_name("Kind")?;
    let attributes = HashMap::from([
        (
            "purpose".to_owned(),
            entity(&type_name("Purpose")?, entry.purpose.as_str()),
        ),
        (
            "basis".to_owned(),
            entity(&type_name("Basis")?, entry.basis.as_str()),
        ),
        (
            "senderKind".to_owned(),
            entity(&peer_kind, entry.sender_kind.code()),
        ),
        (
            "recipientKind".to_owned(),
            entity(&peer_kind, entry.recipient_kind.code()),
        ),
        (
            "stage".to_owned(),
            entity(&type_name("Stage")?, stage.code()),
        ),
        (
            "secrecy".to_owned(),
            entity(&type_name("Secrecy")?, entry.secrecy_of(stage)),
        ),
        ("allowed".to_owned(), allowed),
        (
            "bsnAllowed".to_owned(),
            Expression::new_bool(entry.bsn_allowed),
        ),
        (
            "afterCompleted".to_owned(),
            Expression::new_bool(entry.after_completed),
        ),
        ("toCentre".to_owned(), Expression::new_bool(entry.to_centre)),
    ]);
    let id = exchange_id(
        &entry.purpose,
        entry.sender_kind,
        entry.recipient_kind,
        stage,
    );
    Entity::new(uid(kind, &id), attributes, HashSet::new()).map_err(|error| error.to_string())
}

/// What may travel of what is wanted, and the code when nothing may.
fn choose(
    register: &Register,
    entry: &RegisterEntry,
    request: &DecisionRequest<'_>,
) -> (LabelChoice, Option<Reason>) {
    match request.surplus {
        Surplus::Refuse => {
            let permitted = request.labels.clone();
            let none = permitted.is_empty().then_some(Reason::LabelsNoneAllowed);
            (
                LabelChoice {
                    permitted,
                    dropped: BTreeSet::new(),
                },
                none,
            )
        }
        Surplus::Drop => {
            let choice =
                register.permitted_labels(entry, request.stage, request.labels, request.consent);
            if !choice.permitted.is_empty() {
                return (choice, None);
            }
            let registered = request
                .labels
                .iter()
                .any(|label| entry.allows(request.stage, label));
            let none = if registered {
                Reason::ConsentScopeExceeded
            } else {
                Reason::LabelsNoneAllowed
            };
            (choice, Some(none))
        }
    }
}

/// A refusal that no policy was needed for.
fn refuse(bundle: &PolicyBundle, reason: Reason) -> Decision {
    Decision {
        outcome: Outcome::Refused(Refusal::new(reason)),
        codes: vec![reason],
        determining: Vec::new(),
        dropped: BTreeSet::new(),
        errors: usize::from(reason == Reason::PolicyError),
        policy_set: bundle.hash,
        consent_based: false,
    }
}

/// The register's entry for the request, or why there is none.
fn entry<'a>(
    register: &'a Register,
    request: &DecisionRequest<'_>,
) -> Result<&'a RegisterEntry, Reason> {
    if !register.knows_purpose(request.purpose) {
        return Err(Reason::PurposeUnknown);
    }
    let entry = register
        .entry(request.purpose, request.sender.kind, request.recipient.kind)
        .ok_or(Reason::BasisMissing)?;
    if entry.basis != *request.basis {
        return Err(Reason::BasisMismatch);
    }
    if request
        .labels
        .iter()
        .any(|label| register.label(label).is_none())
    {
        return Err(Reason::LabelUnknown);
    }
    Ok(entry)
}

/// Sorts codes by precedence and leaves out doubles.
fn in_order(codes: impl IntoIterator<Item = Reason>) -> Vec<Reason> {
    let found: HashSet<Reason> = codes.into_iter().collect();
    PRECEDENCE
        .iter()
        .copied()
        .filter(|reason| found.contains(reason))
        .collect()
}

/// Decides one exchange.
pub(super) fn decide(bundle: &PolicyBundle, request: &DecisionRequest<'_>) -> Decision {
    let register = &bundle.register;
    let entry = match entry(register, request) {
        Ok(entry) => entry,
        Err(reason) => return refuse(bundle, reason),
    };
    let (choice, none) = choose(register, entry, request);
    // A BSN that may not travel is refused aloud and never left out in silence (UAVG 46).
    let national = choice.dropped.iter().filter(|label| {
        register
            .label(label)
            .is_some_and(|known| known.class == DataClass::NationalNumber)
    });
    let categories: BTreeSet<Category> = register
        .categories_of(choice.permitted.iter().chain(national))
        .into_iter()
        .cloned()
        .collect();
    let engine = &bundle.engine;
    // The reason why a request does not build may repeat a party's name; only the code goes on.
    let (Ok(question), Some(policies)) = (
        engine.request(request, &categories, None),
        engine.policies(request.purpose),
    ) else {
        return Decision {
            consent_based: entry.needs_consent(),
            ..refuse(bundle, Reason::PolicyError)
        };
    };
    let answer = engine.ask(policies, &question);
    let determining = engine.determining(&answer);
    let codes = codes(&answer, &determining, none);
    let outcome = codes.first().map_or_else(
        || {
            Outcome::Permitted(Permit {
                action: request.action.code(),
                policies: determining.iter().map(|one| one.policy.clone()).collect(),
                basis: Some(entry.basis.clone()),
                article: entry.law_article.clone(),
                processing_activity: entry.processing_activity_uri.clone(),
                categories,
                labels: choice.permitted,
                policy_set: bundle.hash,
            })
        },
        |reason| Outcome::Refused(Refusal::new(*reason)),
    );
    Decision {
        outcome,
        codes,
        determining,
        dropped: choice.dropped,
        errors: answer.errors,
        policy_set: bundle.hash,
        consent_based: entry.needs_consent(),
    }
}

/// Every code that stands against a yes; none means yes.
fn codes(answer: &Answer, determining: &[Determining], more: Option<Reason>) -> Vec<Reason> {
    let forbidding = determining
        .iter()
        .filter(|one| one.effect == Effect::Forbid);
    let mut codes: Vec<Reason> = forbidding
        .map(|one| one.code.unwrap_or(Reason::PolicyError))
        .chain(more)
        .collect();
    if answer.errors > 0 {
        codes.push(Reason::PolicyError);
    }
    if !answer.allowed && answer.policies.is_empty() {
        codes.push(Reason::NoApplicablePermit);
    }
    // INVARIANT: a refusal never has an empty list, so that an empty list means yes.
    if !answer.allowed && codes.is_empty() {
        codes.push(Reason::PolicyError);
    }
    in_order(codes)
}

/// Decides whether an officer may do what it asks.
pub(super) fn decide_oversight(bundle: &PolicyBundle, request: &OversightRequest<'_>) -> Decision {
    let engine = &bundle.engine;
    let Ok(question) = oversight_question(engine, request) else {
        return refuse(bundle, Reason::PolicyError);
    };
    let answer = engine.ask(&engine.oversight, &question);
    let determining = engine.determining(&answer);
    let codes = codes(&answer, &determining, None);
    let outcome = codes.first().map_or_else(
        || {
            let articles: Vec<&str> = determining.iter().map(|one| one.article.as_str()).collect();
            Outcome::Permitted(Permit {
                action: request.action.code(),
                policies: determining.iter().map(|one| one.policy.clone()).collect(),
                basis: None,
                article: articles.join("; "),
                processing_activity: bundle.register.oversight_activity_uri().to_owned(),
                categories: BTreeSet::new(),
                labels: BTreeSet::<Label>::new(),
                policy_set: bundle.hash,
            })
        },
        |reason| Outcome::Refused(Refusal::new(*reason)),
    );
    Decision {
        outcome,
        codes,
        determining,
        dropped: BTreeSet::new(),
        errors: answer.errors,
        policy_set: bundle.hash,
        consent_based: false,
    }
}

fn oversight_question(engine: &Engine, request: &OversightRequest<'_>) -> Result<Request, String> {
    let context = Context::from_pairs(BTreeMap::from([
        (
            "right".to_owned(),
            entity(&engine.kinds.right, request.right.code()),
        ),
        ("own".to_owned(), Expression::new_bool(request.own)),
    ]))
    .map_err(|error| error.to_string())?;
    Request::new(
        engine.principal(request.caller),
        uid(&engine.kinds.action, request.action.code()),
        engine.kinds.log.clone(),
        context,
        Some(&engine.schema),
    )
    .map_err(|error| error.to_string())
}
