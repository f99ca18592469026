//! The sentences in plain English.
//!
//! Must never be longer than a person wants to read: one thing in one sentence.

use super::{Chosen, Happening, Objected, Scene, Waits, Why};
use rules::calendar::Day;
use rules::consent::ConsentState;
use rules::handover::State;
use rules::notice::{AnswerCode, NoticeKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn date(day: Day) -> String {
    let (year, month, day) = day.numbers();
    let place = usize::try_from(month).unwrap_or(1).saturating_sub(1);
    let name = MONTHS.get(place).copied().unwrap_or("January");
    format!("{day} {name} {year}")
}

/// When, who and what; then which data; then why; then the law.
pub(super) fn sentence(scene: &Scene) -> String {
    let mut text = format!("On {} {}", scene.date, what(scene));
    if !scene.last_day.is_empty() {
        text.push_str(&format!(
            " This holds up to and including {}.",
            scene.last_day
        ));
    }
    if !scene.items.is_empty() {
        text.push_str(&format!(" It is about: {}.", scene.items));
    }
    text.push_str(&format!(" Why: {}.", scene.purpose));
    if !scene.law.is_empty() {
        text.push_str(&format!(" The law that goes with this: {}.", scene.law));
    }
    text
}

fn what(scene: &Scene) -> String {
    let (from, to) = (&scene.sender, &scene.recipient);
    match scene.happening {
        Happening::Prepared => format!("{from} asked whether your data may go to {to}. They may."),
        Happening::AttemptRefused(why) => format!(
            "{from} asked whether your data may go to {to}. It did not happen, because {}.",
            because(why)
        ),
        Happening::State(state) => moved(state, from, to),
        Happening::Opened => format!("{to} looked at data about you that {from} sent."),
        Happening::StepRefused(why) => format!(
            "the handover from {from} to {to} could not go on, because {}.",
            because(why)
        ),
        Happening::ConsentAsked { declined: false } => {
            format!("{from} asked whether you agree that your data go to {to}. You may say no.")
        }
        Happening::ConsentAsked { declined: true } => format!(
            "{from} asked whether your data may go to {to}. That is not allowed, because you blocked one of \
             the two. You need do nothing."
        ),
        Happening::ConsentAssisted { refused: false } => format!(
            "a worker of {from} wrote down together with you that your data may go to {to}."
        ),
        Happening::ConsentAssisted { refused: true } => format!(
            "a worker of {from} wrote down together with you that your data may not go to {to}."
        ),
        Happening::Consent(state) => consent(state, from, to),
        Happening::Notice(kind) => notice(kind, from, to),
        Happening::NoticeAnswered(answer) => answered(answer, from, to),
        Happening::Objection(objected) => objection(objected, from, to),
        Happening::Folded(None) => format!(
            "{from} and {to} asked about you so often that we said no for the rest of that day."
        ),
        Happening::Folded(Some(times)) => {
            format!("we said no to {from} and {to} {times} times: they asked too much about you.")
        }
        Happening::WrongPerson => format!(
            "{to} noticed a mistake: {from} handed over a file with your citizen service number, but about \
             somebody else. {to} does not complete it. You need do nothing. You may ask {from} what stands \
             with your number, and to correct it. If that does not help, ask for the privacy officer of {from}."
        ),
        Happening::ReportSent => format!("{to} told {from} what became of it."),
        Happening::ReportOpened => format!("{from} read what {to} wrote about that."),
        Happening::ReportRefused(why) => format!(
            "{to} wanted to tell {from} what became of it. That did not happen, because {}.",
            because(why)
        ),
        Happening::ReportReadRefused(why) => format!(
            "{from} wanted to read what {to} wrote about that. That did not happen, because {}.",
            because(why)
        ),
        // The other way round: the sender is who holds something now.
        Happening::ReportNotice(kind) => notice(kind, to, from),
        Happening::ReportNoticeAnswered(answer) => answered(answer, to, from),
        Happening::Chosen(chosen) => choice(chosen, from, to),
        Happening::Waits(waits) => waiting(waits, from, to),
    }
}

const fn because(why: Why) -> &'static str {
    match why {
        Why::NoConsent => "you had not agreed to it",
        Why::Stopped => "sharing these data was stopped",
        Why::Secrecy => "these data are secret and you did not sign that they may be shared",
        Why::NoAgreement => "there is no agreement about it",
        Why::Objection => "you objected",
        Why::Restriction => "you asked not to use your data now",
        Why::TooLate => "the time was over",
        Why::TooMuch => "more was asked for than is allowed",
        Why::Rules => "the rules do not allow it",
    }
}

fn moved(state: Option<State>, from: &str, to: &str) -> String {
    match state {
        Some(State::Prepared) => format!("{from} got a handover to {to} ready."),
        Some(State::Offered) => {
            format!("{from} sent a short description to {to}. Your name is not in it.")
        }
        Some(State::OnHold) => format!("{to} asked {from} to change something."),
        Some(State::Accepted) => format!("{to} said yes to {from}: you will be helped there."),
        Some(State::Released) => format!("{from} put your data ready for {to}."),
        Some(State::Completed) => {
            format!("there was contact with you. Now {to} helps you, and {from} no longer does.")
        }
        Some(State::Declined) => format!("{to} said no to {from}."),
        Some(State::Returned) => format!("{to} gave the handover back to {from}."),
        Some(State::Cancelled) => format!("the handover from {from} to {to} was stopped."),
        Some(State::Withdrawn) => {
            format!("the handover from {from} to {to} stopped, because you stopped your consent.")
        }
        Some(State::Expired) => {
            format!("the handover from {from} to {to} stopped, because the time was over.")
        }
        None => format!("the handover from {from} to {to} went one step on."),
    }
}

fn consent(state: Option<ConsentState>, from: &str, to: &str) -> String {
    let about = format!("your consent to share data from {from} with {to}");
    match state {
        Some(ConsentState::Requested) => format!("you were asked for {about}."),
        Some(ConsentState::Given) => format!("{about} began."),
        Some(ConsentState::Withdrawn) => format!("{about} was stopped."),
        Some(ConsentState::Expired) => format!("{about} came to its end."),
        Some(ConsentState::Superseded) => format!("a new choice took the place of {about}."),
        Some(ConsentState::Invalidated) => format!("{about} was found not to be valid."),
        Some(ConsentState::Refused) => {
            format!("you said no to sharing data from {from} with {to}.")
        }
        Some(ConsentState::Lapsed) => format!("the question for {about} lapsed."),
        None => format!("{about} changed."),
    }
}

fn notice(kind: Option<NoticeKind>, from: &str, to: &str) -> String {
    match kind {
        Some(NoticeKind::Withdrawal) => format!(
            "{to} was told that you stopped the sharing. {to} must say what happens with your data from {from}."
        ),
        Some(NoticeKind::Ended) => format!(
            "{to} was told that the handover stopped. {to} must say what happens with your data from {from}."
        ),
        Some(NoticeKind::Erasure) => format!("{from} asked {to} to erase your data."),
        Some(NoticeKind::Rectification) => format!("{from} asked {to} to correct your data."),
        Some(NoticeKind::Restriction) => {
            format!("{to} was told not to use your data from {from} now.")
        }
        Some(NoticeKind::Access) => format!("{from} asked {to} to show you which data there are."),
        None => format!("{to} got a message about your data from {from}."),
    }
}

fn answered(answer: Option<AnswerCode>, from: &str, to: &str) -> String {
    match answer {
        Some(AnswerCode::Erased) => format!("{to} said that your data from {from} are erased."),
        Some(AnswerCode::Retained) => {
            format!("{to} said that your data from {from} are kept, because a law asks for it.")
        }
        Some(AnswerCode::Done) => format!("{to} said that what {from} asked is done."),
        Some(AnswerCode::NotHeld) => {
            format!("{to} said that it has no data about you from {from}.")
        }
        None => format!("{to} answered about your data from {from}."),
    }
}

fn objection(objected: Option<Objected>, from: &str, to: &str) -> String {
    let about = format!("the handover from {from} to {to}");
    match objected {
        Some(Objected::Object) => {
            format!("your objection to {about} was noted. Nothing goes on now.")
        }
        Some(Objected::Restrict) => {
            format!("it was noted that your data in {about} are not used now.")
        }
        Some(Objected::Uphold) => format!("your objection to {about} was found right. It stops."),
        Some(Objected::Reject) => {
            format!("your objection to {about} was not found right. It goes on.")
        }
        Some(Objected::Lift) => format!("{about} may go on again."),
        None => format!("something was decided about your objection to {about}."),
    }
}

fn waiting(waits: Waits, from: &str, to: &str) -> String {
    let asked = match waits {
        Waits::Stop => format!("you stopped the sharing of your data from {from} with {to}"),
        Waits::Refuse => format!("you said that {from} may not share your data with {to}"),
        Waits::Object => format!("you objected to the handover from {from} to {to}"),
        Waits::Restrict => {
            format!("you asked not to use your data in the handover from {from} to {to}")
        }
    };
    format!("{asked}. We are still passing that on. You need do nothing.")
}

/// A block of which it is not known yet what it stops.
pub(super) fn blocked(date: &str, name: &str) -> String {
    format!(
        "On {date} you blocked {name}. We are still finding what that stops. You need do nothing."
    )
}

fn choice(chosen: Chosen, from: &str, to: &str) -> String {
    match chosen {
        Chosen::Given => format!("you agreed that {from} shares your data with {to}."),
        Chosen::Refused => format!("you said that {from} may not share your data with {to}."),
        Chosen::Narrowed => format!("you chose that {from} may share less, or shorter, with {to}."),
        Chosen::Withdrawn => format!("you stopped the sharing of your data from {from} with {to}."),
        Chosen::Expired => {
            format!("your consent came to its end: {from} shares nothing more with {to}.")
        }
    }
}
