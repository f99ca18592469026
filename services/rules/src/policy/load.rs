//! Reading a policy set, and refusing one that is not whole: every mistake named with its file.
//!
//! Must never accept a policy that cannot explain itself (an id, a code when it forbids, an article),
//! nor a file whose place in the set is unknown.

use super::evaluate::{Engine, Note};
use super::lineage::VERSION;
use super::{
    Action, ConsentFacts, ConsentState, DecisionRequest, Effect, Lineage, PRECEDENCE, PeerFacts,
    PolicyBundle, Stage, Surplus,
};
use crate::clock::Timestamp;
use crate::hex;
use crate::id::{NameError, Party, Purpose};
use crate::reason::Reason;
use crate::register::{Register, RegisterEntry, RegisterError};
use cedar_policy::{
    Effect as CedarEffect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What stands before a text of some editors and is no part of it (Unicode, section 23.8).
const BYTE_ORDER_MARK: char = '\u{feff}';
/// How many steps from entity to entity a policy may take (Cedar's validation level).
const DEREFERENCE_LEVEL: u32 = 2;

/// Path of the Cedar schema.
const SCHEMA: &str = "handover.cedarschema";
/// Path of the register.
const REGISTER: &str = "register.toml";

/// A mistake in a policy set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct BundleError {
    /// Path of the file within the policies folder.
    pub file: String,
    /// Line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl BundleError {
    pub(super) fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            message: message.into(),
        }
    }
}

impl From<RegisterError> for BundleError {
    fn from(error: RegisterError) -> Self {
        Self {
            file: error.file,
            line: error.line,
            message: error.message,
        }
    }
}

/// The part that a file plays in a policy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Schema,
    Register,
    Version,
    Guards,
    Oversight,
    Purpose(&'a str),
    Goal(&'a str),
    /// Text shown to persons; the register names its digest.
    Notice,
    /// Kept beside the set: cases, golden matrix, explanation.
    Beside,
}

impl<'a> Part<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let within = |folder: &str, ending: &str| {
            let name = path.strip_prefix(folder)?.strip_suffix(ending)?;
            (!name.is_empty() && !name.contains(['/', '\\', '.'])).then_some(name)
        };
        match path {
            SCHEMA => Some(Self::Schema),
            REGISTER => Some(Self::Register),
            VERSION => Some(Self::Version),
            "guards.cedar" => Some(Self::Guards),
            "oversight.cedar" => Some(Self::Oversight),
            "expected.txt" | "README.md" => Some(Self::Beside),
            _ => within("purposes/", ".cedar")
                .map(Part::Purpose)
                .or_else(|| within("goals/", ".cedar").map(Part::Goal))
                .or_else(|| within("notices/", ".md").map(|_| Part::Notice))
                .or_else(|| within("cases/", ".json").map(|_| Part::Beside)),
        }
    }

    pub(super) const fn is_signed(self) -> bool {
        !matches!(self, Self::Notice | Self::Beside)
    }
}

/// A promise written as policies: the widest behaviour that is allowed.
pub(super) struct Goal {
    pub(super) name: String,
    pub(super) policies: PolicySet,
}

/// A set that was read from files: its policies, and where each comes from.
#[derive(Default)]
struct Reading {
    guards: Vec<Policy>,
    oversight: Vec<Policy>,
    purposes: BTreeMap<String, Vec<Policy>>,
    goals: Vec<(String, Vec<Policy>)>,
    places: HashMap<PolicyId, (String, usize)>,
    notes: HashMap<PolicyId, Note>,
    errors: Vec<BundleError>,
}

/// Reads and checks a policy set.
pub(super) fn load(
    files: &[(String, Vec<u8>)],
    digest: &dyn Fn(&[u8]) -> [u8; 32],
) -> Result<PolicyBundle, Vec<BundleError>> {
    let mut reading = Reading::default();
    let texts = reading.texts(files);
    let schema = texts.get(SCHEMA).and_then(|text| reading.schema(text));
    let register = texts.get(REGISTER).and_then(|text| {
        let parsed = Register::parse(REGISTER, text);
        parsed
            .map_err(|errors| {
                reading
                    .errors
                    .extend(errors.into_iter().map(BundleError::from))
            })
            .ok()
    });
    for (path, text) in &texts {
        reading.policies(path, text);
    }
    reading.require(&texts, register.as_ref());
    let lineage = texts.get(VERSION).and_then(|text| {
        let parsed = Lineage::parse(text);
        parsed.map_err(|error| reading.errors.push(error)).ok()
    });
    let (Some(schema), Some(register), Some(lineage)) = (schema, register, lineage) else {
        return Err(reading.errors);
    };
    reading.validate(&schema);
    reading.notices(&texts, &register, digest);
    let signed_text = signed_text(files, digest);
    let hash = digest(&signed_text);
    reading.finish(schema, register, lineage, (signed_text, hash))
}

/// What the controllers sign of a policy set: `path`, NUL, SHA-256 in lowercase hexadecimal and a line end for each
/// signed file, lines sorted by their octets.
#[must_use]
pub fn signed_text(files: &[(String, Vec<u8>)], digest: &dyn Fn(&[u8]) -> [u8; 32]) -> Vec<u8> {
    let mut lines: Vec<String> = files
        .iter()
        .filter(|(path, _)| PolicyBundle::is_signed_path(path))
        .map(|(path, content)| format!("{path}\0{}\n", hex::encode(&digest(content))))
        .collect();
    lines.sort();
    lines.concat().into_bytes()
}

impl Reading {
    fn add(&mut self, file: &str, message: impl Into<String>) {
        self.errors.push(BundleError::new(file, message));
    }

    /// The texts of all files that have a place, by path.
    fn texts<'a>(&mut self, files: &'a [(String, Vec<u8>)]) -> BTreeMap<&'a str, &'a str> {
        let mut texts = BTreeMap::new();
        for (path, content) in files {
            if Part::of(path).is_none() {
                self.add(path, "this path has no place in a policy set");
                continue;
            }
            let Ok(text) = std::str::from_utf8(content) else {
                self.add(path, "not UTF-8 text");
                continue;
            };
            // Some editors put it before each text, and Cedar takes it for a word. It is signed with the rest.
            let text = match text.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) if path.ends_with(".cedar") || path == SCHEMA => rest,
                _ => text,
            };
            if texts.insert(path.as_str(), text).is_some() {
                self.add(path, "this path occurs twice");
            }
        }
        texts
    }

    fn schema(&mut self, text: &str) -> Option<Schema> {
        match Schema::from_cedarschema_str(text) {
            Ok((schema, warnings)) => {
                let warnings: Vec<String> = warnings.map(|warning| warning.to_string()).collect();
                for warning in warnings {
                    self.add(SCHEMA, warning);
                }
                Some(schema)
            }
            Err(error) => {
                self.add(SCHEMA, error.to_string());
                None
            }
        }
    }

    fn policies(&mut self, path: &str, text: &str) {
        let Some(part) = Part::of(path) else { return };
        match part {
            Part::Schema | Part::Register | Part::Version | Part::Notice | Part::Beside => {}
            Part::Guards => {
                let read = self.read(path, text, part);
                self.guards.extend(read);
            }
            Part::Oversight => {
                let read = self.read(path, text, part);
                self.oversight.extend(read);
            }
            Part::Purpose(name) => {
                let read = self.read(path, text, part);
                self.purposes.insert(name.to_owned(), read);
            }
            Part::Goal(name) => {
                let read = self.read(path, text, part);
                self.goals.push((name.to_owned(), read));
            }
        }
    }

    /// The policies of one file, each under its own id.
    fn read(&mut self, path: &str, text: &str, part: Part<'_>) -> Vec<Policy> {
        let set: PolicySet = match text.parse() {
            Ok(set) => set,
            Err(error) => {
                let (line, message) = (unreadable(text), error.to_string());
                self.errors.push(BundleError {
                    file: path.to_owned(),
                    line,
                    message,
                });
                return Vec::new();
            }
        };
        if set.templates().next().is_some() {
            self.add(path, "templates are not used here");
        }
        let policies: Vec<Policy> = set.policies().cloned().collect();
        if policies.is_empty() {
            self.add(path, "there is no policy in this file");
        }
        policies
            .iter()
            .filter_map(|policy| self.named(path, text, policy, part))
            .collect()
    }

    /// A policy under its `@id`, when it explains itself as its part demands.
    fn named(&mut self, path: &str, text: &str, policy: &Policy, part: Part<'_>) -> Option<Policy> {
        let Some(name) = policy.annotation("id").filter(|name| !name.is_empty()) else {
            self.add(path, "a policy without @id");
            return None;
        };
        let mark = format!("@id(\"{name}\")");
        let line = text
            .lines()
            .position(|line| line.contains(&mark))
            .map_or(1, |place| place + 1);
        for message in faults(policy, part) {
            self.errors.push(BundleError {
                file: path.to_owned(),
                line: Some(line),
                message,
            });
        }
        let id = PolicyId::new(name);
        if let Some((other, _)) = self.places.get(&id) {
            let message = format!("@id(\"{name}\") is also in {other}");
            self.errors.push(BundleError {
                file: path.to_owned(),
                line: Some(line),
                message,
            });
            return None;
        }
        self.places.insert(id.clone(), (path.to_owned(), line));
        let note = Note {
            effect: effect(policy),
            code: policy.annotation("deny").and_then(Reason::from_code),
            article: policy.annotation("article").unwrap_or_default().to_owned(),
        };
        self.notes.insert(id.clone(), note);
        Some(policy.new_id(id))
    }

    /// Every purpose has its policies, every policy file its purpose, and no part is missing.
    fn require(&mut self, texts: &BTreeMap<&str, &str>, register: Option<&Register>) {
        for path in [SCHEMA, REGISTER, VERSION, "guards.cedar", "oversight.cedar"] {
            if !texts.contains_key(path) {
                self.add(path, "this file is missing");
            }
        }
        let Some(register) = register else { return };
        let known: BTreeSet<String> = register
            .purposes()
            .iter()
            .map(|purpose| purpose.as_str().to_lowercase())
            .collect();
        let named: BTreeSet<String> = self.purposes.keys().cloned().collect();
        for name in known.difference(&named) {
            self.add(
                &format!("purposes/{name}.cedar"),
                "a purpose of the register has no policies",
            );
        }
        for name in named.difference(&known) {
            let path = format!("purposes/{name}.cedar");
            self.add(&path, "policies for a purpose that is not in the register");
        }
    }

    /// Strict validation at level 2; a warning counts as a mistake.
    fn validate(&mut self, schema: &Schema) {
        let mut sets = vec![set(self.all())];
        sets.extend(self.goals.iter().map(|(_, policies)| set(policies)));
        let validator = Validator::new(schema.clone());
        for policies in sets {
            let policies = match policies {
                Ok(policies) => policies,
                Err(message) => {
                    self.add("guards.cedar", message);
                    continue;
                }
            };
            let result =
                validator.validate_with_level(&policies, ValidationMode::Strict, DEREFERENCE_LEVEL);
            let errors = result
                .validation_errors()
                .map(|error| (error.policy_id(), error.to_string()));
            let warnings = result
                .validation_warnings()
                .map(|warning| (warning.policy_id(), warning.to_string()));
            for (id, message) in errors.chain(warnings) {
                let place = self.places.get(id).cloned();
                let (file, line) =
                    place.map_or_else(|| (id.to_string(), None), |(file, line)| (file, Some(line)));
                self.errors.push(BundleError {
                    file,
                    line,
                    message,
                });
            }
        }
    }

    /// All policies but the goals'.
    fn all(&self) -> impl Iterator<Item = &Policy> {
        self.guards
            .iter()
            .chain(&self.oversight)
            .chain(self.purposes.values().flatten())
    }

    /// A notice that comes along has the digest that the register names.
    fn notices(
        &mut self,
        texts: &BTreeMap<&str, &str>,
        register: &Register,
        digest: &dyn Fn(&[u8]) -> [u8; 32],
    ) {
        let named: BTreeSet<[u8; 32]> = register
            .entries()
            .map(|entry| entry.notice.sha256)
            .collect();
        for (path, text) in texts {
            let found = digest(text.as_bytes());
            if Part::of(path) == Some(Part::Notice) && !named.contains(&found) {
                let message = format!(
                    "no register entry names this text ({})",
                    hex::encode(&found)
                );
                self.add(path, message);
            }
        }
    }

    fn finish(
        mut self,
        schema: Schema,
        register: Register,
        lineage: Lineage,
        (signed_text, hash): (Vec<u8>, [u8; 32]),
    ) -> Result<PolicyBundle, Vec<BundleError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let built = self.engine(schema, &register);
        let (engine, goals) = match built {
            Ok(built) => built,
            Err(message) => return Err(vec![BundleError::new(REGISTER, message)]),
        };
        let bundle = PolicyBundle {
            register,
            engine,
            goals,
            lineage,
            signed_text,
            hash,
        };
        for entry in bundle.register.entries() {
            match unused(&bundle, entry) {
                Ok(None) => {}
                Ok(Some(message)) => self.errors.push(BundleError::new(REGISTER, message)),
                Err(error) => self
                    .errors
                    .push(BundleError::new(REGISTER, error.to_string())),
            }
        }
        if self.errors.is_empty() {
            Ok(bundle)
        } else {
            Err(self.errors)
        }
    }

    fn engine(
        &mut self,
        schema: Schema,
        register: &Register,
    ) -> Result<(Engine, Vec<Goal>), String> {
        let mut purposes = HashMap::new();
        for purpose in register.purposes() {
            let own = self.purposes.get(&purpose.as_str().to_lowercase());
            let policies = set(self.guards.iter().chain(own.into_iter().flatten()))?;
            purposes.insert(purpose.clone(), policies);
        }
        let mut goals = Vec::new();
        for (name, policies) in &self.goals {
            goals.push(Goal {
                name: name.clone(),
                policies: set(policies)?,
            });
        }
        let oversight = set(&self.oversight)?;
        let notes = std::mem::take(&mut self.notes);
        Ok((
            Engine::new(schema, register, purposes, oversight, notes)?,
            goals,
        ))
    }
}

/// The line at which the first policy begins that cannot be read. Policies here end with a semicolon
/// at the end of a line.
fn unreadable(text: &str) -> Option<usize> {
    let mut line = 1_usize;
    for part in text.split_inclusive(";\n") {
        if part.parse::<PolicySet>().is_err() {
            let comment = |text: &&str| text.trim().is_empty() || text.trim().starts_with("//");
            return Some(line.saturating_add(part.lines().take_while(comment).count()));
        }
        line = line.saturating_add(part.lines().count());
    }
    None
}

fn effect(policy: &Policy) -> Effect {
    match policy.effect() {
        CedarEffect::Permit => Effect::Permit,
        CedarEffect::Forbid => Effect::Forbid,
    }
}

fn set<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Result<PolicySet, String> {
    PolicySet::from_policies(policies.into_iter().cloned()).map_err(|error| error.to_string())
}

/// What a policy's annotations lack.
fn faults(policy: &Policy, part: Part<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, _) in policy.annotations() {
        if !["id", "deny", "article"].contains(&key) {
            faults.push(format!(
                "annotation @{key} is not known; known are @id, @deny and @article"
            ));
        }
    }
    if policy.annotation("article").is_none_or(str::is_empty) {
        faults.push("a policy without @article".to_owned());
    }
    let code = policy.annotation("deny");
    match effect(policy) {
        Effect::Permit => {
            if code.is_some() {
                faults.push("@deny belongs to forbid only".to_owned());
            }
            if part == Part::Guards {
                faults.push("guards forbid; a permit belongs to a purpose".to_owned());
            }
        }
        Effect::Forbid => match code.map(Reason::from_code) {
            None => faults.push("a forbid without @deny".to_owned()),
            Some(Some(reason)) if PRECEDENCE.contains(&reason) => {}
            Some(_) => faults.push("@deny names no code that a policy may give".to_owned()),
        },
    }
    faults
}

/// Why a register entry could never be used, although all facts speak for it.
fn unused(bundle: &PolicyBundle, entry: &RegisterEntry) -> Result<Option<String>, NameError> {
    let sender: Party = "00000099000000001000/main".parse()?;
    let recipient: Party = "00000099000000002000/main".parse()?;
    let labels = entry
        .labels_offer
        .union(&entry.labels_dossier)
        .cloned()
        .collect();
    let consent = favourable(&bundle.register, entry);
    let purpose: &Purpose = &entry.purpose;
    let request = DecisionRequest {
        action: Action::Prepare,
        stage: Stage::Dossier,
        sender: PeerFacts {
            party: &sender,
            kind: entry.sender_kind,
        },
        recipient: PeerFacts {
            party: &recipient,
            kind: entry.recipient_kind,
        },
        purpose,
        basis: &entry.basis,
        labels: &labels,
        surplus: Surplus::Refuse,
        edge_valid: true,
        region_covered: true,
        bsn_ground: true,
        recipient_neutral: false,
        recipient_is_centre: true,
        unbound: false,
        receiver_ready: true,
        objection_pending: false,
        restricted: false,
        follows_completed: true,
        now: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(1),
        consent: entry.needs_consent().then_some(&consent),
    };
    let engine = &bundle.engine;
    if let Err(message) = engine.request(&request, &consent.categories, Some(engine.schema())) {
        return Ok(Some(format!(
            "a question does not fit the schema: {message}"
        )));
    }
    Ok(bundle.decide(&request).reason().map(|reason| {
        let (sender, recipient) = (entry.sender_kind, entry.recipient_kind);
        format!("{purpose} {sender} to {recipient} can never be permitted: {reason}")
    }))
}

/// A consent that speaks for everything in the register.
pub(super) fn favourable(register: &Register, entry: &RegisterEntry) -> ConsentFacts {
    ConsentFacts {
        state: ConsentState::Given,
        valid_until: Timestamp::from_millis(i64::MAX),
        categories: register
            .categories_of(entry.labels())
            .into_iter()
            .cloned()
            .collect(),
        recipient_matches: true,
        purpose_matches: true,
        waiver: true,
    }
}
