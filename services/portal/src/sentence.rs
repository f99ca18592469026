//! Plain sentences: one for each kind of line, in Dutch and in English, for people who read with effort.
//!
//! Each says when, who, what, why and by which law. Must never show a code, a label or a number of an
//! organisation, and must never be empty.

mod dutch;
mod english;

use super::errand::{Errand, Task};
use super::find::Scope;
use super::line::Story;
use rules::calendar::Day;
use rules::consent::{ConsentState, Language, Statement, StatementEvent};
use rules::directory::Directory;
use rules::feed::FeedKind;
use rules::handover::State;
use rules::id::{Category, Label, Party, Purpose};
use rules::notice::{AnswerCode, NoticeKind};
use rules::reason::Reason;
use rules::register::{Register, RegisterEntry};

/// Where words for names and codes come from.
pub(super) struct Words<'a> {
    /// Names of organisations and realms.
    pub(super) directory: &'a Directory,
    /// Titles of purposes and data, and the law.
    pub(super) register: &'a Register,
}

/// What a sentence is made of, in words.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) date: String,
    pub(super) sender: String,
    pub(super) recipient: String,
    /// Why: title of the purpose.
    pub(super) purpose: String,
    /// The law; empty when no law is known to allow it.
    pub(super) law: String,
    /// The last day on which a consent holds; empty for what is no consent.
    pub(super) last_day: String,
    /// Which data, in words; empty when it is about none.
    pub(super) items: String,
    pub(super) happening: Happening,
}

/// What happened, with codes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Prepared,
    AttemptRefused(Why),
    State(Option<State>),
    Opened,
    StepRefused(Why),
    /// A question; `declined` because the person had blocked one of the two.
    ConsentAsked {
        declined: bool,
    },
    ConsentAssisted {
        refused: bool,
    },
    Consent(Option<ConsentState>),
    Notice(Option<NoticeKind>),
    NoticeAnswered(Option<AnswerCode>),
    Objection(Option<Objected>),
    /// More than allowed was asked on one day; how much more, once the day is over.
    Folded(Option<u64>),
    /// A dossier about somebody else had this person's number.
    WrongPerson,
    ReportSent,
    ReportOpened,
    ReportRefused(Why),
    ReportReadRefused(Why),
    ReportNotice(Option<NoticeKind>),
    ReportNoticeAnswered(Option<AnswerCode>),
    /// The person's own choice at the portal.
    Chosen(Chosen),
    /// What the person asked for and the broker has not answered.
    Waits(Waits),
}

/// What waits for the broker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Stop,
    Refuse,
    Object,
    Restrict,
}

/// Why something did not happen, as far as it matters to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    NoConsent,
    Stopped,
    Secrecy,
    NoAgreement,
    Objection,
    Restriction,
    TooLate,
    TooMuch,
    Rules,
}

/// What was done about an objection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objected {
    Object,
    Restrict,
    Uphold,
    Reject,
    Lift,
}

/// A choice of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Given,
    Refused,
    Narrowed,
    Withdrawn,
    Expired,
}

/// The sentence of a line of the feed.
pub(super) fn story(story: &Story, words: &Words<'_>, language: Language) -> String {
    let told = &story.told;
    let entry = words.entry(&told.sender, &told.recipient, &told.purpose);
    let is_categories = matches!(
        told.kind,
        FeedKind::ConsentAsked | FeedKind::ConsentAssisted
    );
    let titles = if is_categories {
        words.category_titles(&told.labels, language)
    } else {
        words.label_titles(&told.labels, language)
    };
    let law = match told.basis.1.as_str() {
        "" => law_of(entry, told.kind),
        article => article.to_owned(),
    };
    let scene = Scene {
        date: date(Day::at(story.time), language),
        sender: words.name(&told.sender, language),
        recipient: words.name(&told.recipient, language),
        purpose: words.title(entry, language),
        law,
        last_day: String::new(),
        items: titles.join("; "),
        happening: happening(told.kind, &told.code),
    };
    tell(&scene, language)
}

/// The sentence of a person's own choice; none for one that a desk wrote down, which the feed tells.
pub(super) fn paper(
    statement: &Statement,
    words: &Words<'_>,
    language: Language,
) -> Option<String> {
    let record = &statement.record;
    let chosen = match statement.event {
        StatementEvent::Given | StatementEvent::Refused if record.assisted_by.is_some() => {
            return None;
        }
        StatementEvent::Given => Chosen::Given,
        StatementEvent::Refused => Chosen::Refused,
        StatementEvent::Narrowed => Chosen::Narrowed,
        StatementEvent::Withdrawn => Chosen::Withdrawn,
        StatementEvent::Expired => Chosen::Expired,
    };
    let holds = matches!(chosen, Chosen::Given | Chosen::Narrowed);
    let shown = |text: String| if holds { text } else { String::new() };
    let categories: Vec<String> = record.categories.iter().map(ToString::to_string).collect();
    let titles = words.category_titles(&categories, language);
    let entry = words.entry(&record.sender, &record.recipient, &record.purpose);
    let scene = Scene {
        date: date(Day::at(statement.event_time), language),
        sender: words.name(&record.sender, language),
        recipient: words.name(&record.recipient, language),
        purpose: words.title(entry, language),
        law: entry
            .map(|entry| entry.law_article.clone())
            .unwrap_or_default(),
        last_day: shown(date(Day::last_before(record.valid_until), language)),
        items: shown(titles.join("; ")),
        happening: Happening::Chosen(chosen),
    };
    Some(tell(&scene, language))
}

/// The sentence of what waits for the broker's answer.
pub(super) fn errand(errand: &Errand, words: &Words<'_>, language: Language) -> String {
    let date = date(Day::at(errand.asked_at), language);
    let relation = match errand.scope() {
        Scope::Relation(relation) => relation,
        Scope::Blocked(blocked) => {
            let name = words.name(&blocked, language);
            return match language {
                Language::Nl => dutch::blocked(&date, &name),
                Language::En => english::blocked(&date, &name),
            };
        }
    };
    let (sender, recipient) = (&relation.from, &relation.to);
    let entry = words.entry(sender, recipient, &relation.purpose);
    let waits = match &errand.task {
        Task::Stop(_) => Waits::Stop,
        Task::Refuse { .. } | Task::Find { .. } => Waits::Refuse,
        Task::Object(object) if object.restrict => Waits::Restrict,
        Task::Object(_) => Waits::Object,
    };
    let scene = Scene {
        date,
        last_day: String::new(),
        sender: words.name(sender, language),
        recipient: words.name(recipient, language),
        purpose: words.title(entry, language),
        law: entry
            .map(|entry| entry.law_article.clone())
            .unwrap_or_default(),
        items: String::new(),
        happening: Happening::Waits(waits),
    };
    tell(&scene, language)
}

pub(super) fn tell(scene: &Scene, language: Language) -> String {
    match language {
        Language::Nl => dutch::sentence(scene),
        Language::En => english::sentence(scene),
    }
}

/// What a refused attempt rests on is that nothing allowed it.
fn law_of(entry: Option<&RegisterEntry>, kind: FeedKind) -> String {
    match (entry, kind) {
        (_, FeedKind::AttemptRefused) | (None, _) => String::new(),
        (Some(entry), _) => entry.law_article.clone(),
    }
}

pub(super) fn happening(kind: FeedKind, code: &str) -> Happening {
    match kind {
        FeedKind::Prepared => Happening::Prepared,
        FeedKind::AttemptRefused => Happening::AttemptRefused(why(code)),
        FeedKind::State => Happening::State(State::from_code(code)),
        FeedKind::Opened => Happening::Opened,
        FeedKind::StepRefused => Happening::StepRefused(why(code)),
        FeedKind::ConsentAsked => Happening::ConsentAsked {
            declined: code == ConsentState::Refused.code(),
        },
        FeedKind::ConsentAssisted => Happening::ConsentAssisted {
            refused: code == ConsentState::Refused.code(),
        },
        FeedKind::Consent => Happening::Consent(
            ConsentState::ALL
                .iter()
                .copied()
                .find(|state| state.code() == code),
        ),
        FeedKind::Notice => Happening::Notice(NoticeKind::from_code(code)),
        FeedKind::NoticeAnswered => Happening::NoticeAnswered(AnswerCode::from_code(code)),
        FeedKind::Objection => Happening::Objection(objected(code)),
        FeedKind::Folded => Happening::Folded(code.parse().ok()),
        FeedKind::WrongPerson => Happening::WrongPerson,
        FeedKind::ReportSent => Happening::ReportSent,
        FeedKind::ReportOpened => Happening::ReportOpened,
        FeedKind::ReportRefused => Happening::ReportRefused(why(code)),
        FeedKind::ReportReadRefused => Happening::ReportReadRefused(why(code)),
        FeedKind::ReportNotice => Happening::ReportNotice(NoticeKind::from_code(code)),
        FeedKind::ReportNoticeAnswered => {
            Happening::ReportNoticeAnswered(AnswerCode::from_code(code))
        }
    }
}

fn objected(code: &str) -> Option<Objected> {
    match code {
        "OBJECT" => Some(Objected::Object),
        "RESTRICT" => Some(Objected::Restrict),
        "UPHOLD" => Some(Objected::Uphold),
        "REJECT" => Some(Objected::Reject),
        "LIFT_RESTRICTION" => Some(Objected::Lift),
        _ => None,
    }
}

/// What a reason means to the person whom it is about. What is not here is a rule like any other.
fn why(code: &str) -> Why {
    match Reason::from_code(code) {
        Some(Reason::ConsentMissing | Reason::ConsentNotActive) => Why::NoConsent,
        Some(Reason::ReportStopped) => Why::Stopped,
        Some(Reason::SecrecyNotWaived) => Why::Secrecy,
        Some(Reason::NoAgreement | Reason::OutsideRegion | Reason::BasisMissing) => {
            Why::NoAgreement
        }
        Some(Reason::ObjectionPending) => Why::Objection,
        Some(Reason::ProcessingRestricted) => Why::Restriction,
        Some(Reason::HandoverExpired) => Why::TooLate,
        Some(
            Reason::ConsentScopeExceeded
            | Reason::LabelsNoneAllowed
            | Reason::BsnNotAllowed
            | Reason::TooManyOpen
            | Reason::TooManyLines
            | Reason::SpecialCategoryNoBasis,
        ) => Why::TooMuch,
        Some(_) | None => Why::Rules,
    }
}

impl Words<'_> {
    fn entry(
        &self,
        sender: &Party,
        recipient: &Party,
        purpose: &Purpose,
    ) -> Option<&RegisterEntry> {
        let kind = |party: &Party| {
            self.directory
                .peer(&party.oin)
                .map(rules::directory::Peer::kind)
        };
        self.register
            .entry(purpose, kind(sender)?, kind(recipient)?)
    }

    /// What a realm is called: a person who tells a regional team something has not told its organisation.
    fn name(&self, party: &Party, language: Language) -> String {
        match (self.directory.title(party), language) {
            (Some(title), _) => title.to_owned(),
            (None, Language::Nl) => "een organisatie die niet meer meedoet".to_owned(),
            (None, Language::En) => "an organisation that no longer takes part".to_owned(),
        }
    }

    fn title(&self, entry: Option<&RegisterEntry>, language: Language) -> String {
        match (entry, language) {
            (Some(entry), Language::Nl) => entry.title_nl.clone(),
            (Some(entry), Language::En) => entry.title_en.clone(),
            (None, Language::Nl) => "een doel dat wij niet kennen".to_owned(),
            (None, Language::En) => "a purpose that we do not know".to_owned(),
        }
    }

    fn label_titles(&self, labels: &[String], language: Language) -> Vec<String> {
        let titles = labels.iter().map(|text| {
            let entry = text
                .parse::<Label>()
                .ok()
                .and_then(|label| self.register.label(&label).cloned());
            match (entry, language) {
                (Some(entry), Language::Nl) => plain(&entry.title_nl),
                (Some(entry), Language::En) => plain(&entry.title_en),
                (None, _) => other_data(language),
            }
        });
        once_each(titles)
    }

    /// A category has no title of its own: it is told by the data in it.
    fn category_titles(&self, categories: &[String], language: Language) -> Vec<String> {
        let titles = categories.iter().flat_map(|text| {
            let category = text.parse::<Category>().ok();
            let found: Vec<String> = self
                .register
                .labels()
                .filter(|entry| Some(&entry.category) == category.as_ref())
                .map(|entry| match language {
                    Language::Nl => plain(&entry.title_nl),
                    Language::En => plain(&entry.title_en),
                })
                .collect();
            if found.is_empty() {
                vec![other_data(language)]
            } else {
                found
            }
        });
        once_each(titles)
    }
}

fn date(day: Option<Day>, language: Language) -> String {
    match (day, language) {
        (Some(day), Language::Nl) => dutch::date(day),
        (Some(day), Language::En) => english::date(day),
        (None, Language::Nl) => "een dag die wij niet kennen".to_owned(),
        (None, Language::En) => "a day that we do not know".to_owned(),
    }
}

fn other_data(language: Language) -> String {
    match language {
        Language::Nl => "andere gegevens".to_owned(),
        Language::En => "other data".to_owned(),
    }
}

/// A title of the register as people read it in the middle of a sentence: without what it says to
/// programmers behind a semicolon or about codes, and small at the beginning; abbreviations stay.
fn plain(title: &str) -> String {
    let title = title.split(';').next().unwrap_or(title).trim();
    let title = [", als code", ", as a code"]
        .iter()
        .find_map(|ending| title.strip_suffix(ending))
        .unwrap_or(title);
    let mut letters = title.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => title.to_owned(),
    }
}

fn once_each(titles: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for title in titles {
        if !seen.contains(&title) {
            seen.push(title);
        }
    }
    seen
}
