//! Every sentence is there, in both languages, and says nothing in code.

use super::world::{GEMEENTE, START, UWV, directory, main_of, register};
use crate::line::Story;
use crate::sentence::{Chosen, Happening, Scene, Words, happening, story, tell};
use papers::feed::Told;
use rules::clock::Timestamp;
use rules::consent::{ConsentState, Language};
use rules::feed::FeedKind;
use rules::handover::State;
use rules::notice::{AnswerCode, NoticeKind};
use rules::reason::Reason;

const LANGUAGES: [Language; 2] = [Language::Nl, Language::En];

/// Codes that a line of this kind may have, and one that it may not.
fn codes(kind: FeedKind) -> Vec<&'static str> {
    let mut codes: Vec<&str> = match kind {
        FeedKind::AttemptRefused
        | FeedKind::StepRefused
        | FeedKind::ReportRefused
        | FeedKind::ReportReadRefused => Reason::ALL.iter().map(|reason| reason.code()).collect(),
        FeedKind::State => State::ALL.iter().map(|state| state.code()).collect(),
        FeedKind::Consent | FeedKind::ConsentAssisted => {
            ConsentState::ALL.iter().map(|state| state.code()).collect()
        }
        FeedKind::Notice | FeedKind::ReportNotice => {
            NoticeKind::ALL.iter().map(|kind| kind.code()).collect()
        }
        FeedKind::NoticeAnswered | FeedKind::ReportNoticeAnswered => {
            AnswerCode::ALL.iter().map(|code| code.code()).collect()
        }
        FeedKind::Objection => vec!["OBJECT", "RESTRICT", "UPHOLD", "REJECT", "LIFT_RESTRICTION"],
        FeedKind::ConsentAsked => vec![ConsentState::Refused.code()],
        FeedKind::Folded => vec!["7"],
        FeedKind::Prepared
        | FeedKind::Opened
        | FeedKind::ReportSent
        | FeedKind::ReportOpened
        | FeedKind::WrongPerson => Vec::new(),
    };
    codes.extend(["", "NOT_A_CODE"]);
    codes
}

/// A sentence begins, ends, has both organisations, and no word of it is a code.
#[track_caller]
fn check(sentence: &str, names: [&str; 2]) {
    assert!(
        sentence.starts_with("Op ") || sentence.starts_with("On "),
        "{sentence}"
    );
    assert!(sentence.ends_with('.'), "{sentence}");
    for name in names {
        assert!(sentence.contains(name), "{name} is not in: {sentence}");
    }
    for wrong in ['_', '{', '}', '/', '"'] {
        assert!(!sentence.contains(wrong), "{wrong} in: {sentence}");
    }
    let capitals = |word: &str| word.chars().filter(|letter| letter.is_uppercase()).count() > 1;
    for word in sentence.split(|letter: char| !letter.is_alphanumeric()) {
        let known = ["UWV", "SUWI", "AVG"].contains(&word);
        assert!(known || !capitals(word), "{word} in: {sentence}");
        assert!(word.len() < 40, "{word} in: {sentence}");
    }
    assert!(
        !sentence.contains("  ") && !sentence.contains(".."),
        "{sentence}"
    );
}

fn scene(happening: Happening) -> Scene {
    Scene {
        date: "3 maart 2026".to_owned(),
        sender: "Gemeente Dijkerwaard".to_owned(),
        recipient: "Vakbond De Schakel".to_owned(),
        purpose: "Warme overdracht".to_owned(),
        law: String::new(),
        last_day: String::new(),
        items: String::new(),
        happening,
    }
}

#[test]
fn every_kind_and_code_has_its_sentence() {
    let mut sentences = Vec::new();
    for language in LANGUAGES {
        for kind in FeedKind::ALL.iter().copied() {
            for code in codes(kind) {
                let sentence = tell(&scene(happening(kind, code)), language);
                check(&sentence, ["Gemeente Dijkerwaard", "Vakbond De Schakel"]);
                sentences.push(sentence);
            }
        }
        for chosen in [
            Chosen::Given,
            Chosen::Refused,
            Chosen::Narrowed,
            Chosen::Withdrawn,
            Chosen::Expired,
        ] {
            let sentence = tell(&scene(Happening::Chosen(chosen)), language);
            check(&sentence, ["Gemeente Dijkerwaard", "Vakbond De Schakel"]);
        }
    }
    sentences.sort();
    sentences.dedup();
    assert!(sentences.len() > 90, "{} different ones", sentences.len());
}

/// Sending a report is its recipient's, reading it the sender's: a refusal names who wanted what.
#[test]
fn a_refused_report_and_a_refused_reading_name_who_wanted_it() {
    for (kind, language, expected) in [
        (
            FeedKind::ReportRefused,
            Language::Nl,
            "wilde Vakbond De Schakel aan Gemeente Dijkerwaard vertellen",
        ),
        (
            FeedKind::ReportReadRefused,
            Language::Nl,
            "wilde Gemeente Dijkerwaard lezen wat Vakbond De Schakel",
        ),
        (
            FeedKind::ReportRefused,
            Language::En,
            "Vakbond De Schakel wanted to tell Gemeente Dijkerwaard",
        ),
        (
            FeedKind::ReportReadRefused,
            Language::En,
            "Gemeente Dijkerwaard wanted to read what Vakbond De Schakel",
        ),
    ] {
        let sentence = tell(&scene(happening(kind, "REPORT_STOPPED")), language);
        assert!(sentence.contains(expected), "{sentence}");
    }
}

#[test]
fn names_titles_and_law_come_from_directory_and_register() {
    let (directory, register) = (directory(), register());
    let words = Words {
        directory: &directory,
        register: &register,
    };
    for (kind, labels) in [
        (
            FeedKind::Prepared,
            vec!["werk.beroep", "interventie.code", "no.label"],
        ),
        (
            FeedKind::ConsentAsked,
            vec!["WORK", "HEALTH", "NO_CATEGORY"],
        ),
    ] {
        let line = Story {
            time: Timestamp::from_millis(START),
            told: Told {
                exchange: [1; 16],
                introduction: None,
                kind,
                sender: main_of(UWV),
                recipient: main_of(GEMEENTE),
                purpose: "HANDOVER".parse().unwrap(),
                basis: (String::new(), String::new()),
                labels: labels.into_iter().map(ToOwned::to_owned).collect(),
                code: String::new(),
            },
        };
        for language in LANGUAGES {
            let sentence = story(&line, &words, language);
            check(&sentence, ["UWV", "Gemeente Dijkerwaard"]);
            assert!(sentence.contains("2026") && sentence.contains("Wet SUWI 62(1)"));
        }
        let dutch = story(&line, &words, Language::Nl);
        assert!(
            dutch.starts_with("Op 21 september 2026 vroeg UWV"),
            "{dutch}"
        );
        assert!(dutch.contains("andere gegevens"), "{dutch}");
        assert!(!dutch.contains("code"), "{dutch}");
        assert!(
            dutch.contains("Warme overdracht tussen UWV en gemeente"),
            "{dutch}"
        );
    }
}

#[test]
fn an_unknown_purpose_and_organisation_are_said_to_be_unknown() {
    let (directory, register) = (directory(), register());
    let words = Words {
        directory: &directory,
        register: &register,
    };
    let line = Story {
        time: Timestamp::from_millis(START),
        told: Told {
            exchange: [1; 16],
            introduction: None,
            kind: FeedKind::Prepared,
            sender: main_of("00000099000000006666"),
            recipient: main_of(GEMEENTE),
            purpose: "NEW_PURPOSE".parse().unwrap(),
            basis: (String::new(), String::new()),
            labels: Vec::new(),
            code: String::new(),
        },
    };
    let names = ["niet meer meedoet", "no longer takes part"];
    for (language, name) in LANGUAGES.into_iter().zip(names) {
        let sentence = story(&line, &words, language);
        check(&sentence, [name, "Gemeente Dijkerwaard"]);
    }
}
