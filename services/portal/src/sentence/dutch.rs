//! The sentences in Dutch, at level B1.
//!
//! Must never be longer than a person wants to read: one thing in one sentence.

use super::{Chosen, Happening, Objected, Scene, Waits, Why};
use rules::calendar::Day;
use rules::consent::ConsentState;
use rules::handover::State;
use rules::notice::{AnswerCode, NoticeKind};

const MONTHS: [&str; 12] = [
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
];

pub(super) fn date(day: Day) -> String {
    let (year, month, day) = day.numbers();
    let place = usize::try_from(month).unwrap_or(1).saturating_sub(1);
    let name = MONTHS.get(place).copied().unwrap_or("januari");
    format!("{day} {name} {year}")
}

/// When, who and what; then which data; then why; then the law.
pub(super) fn sentence(scene: &Scene) -> String {
    let mut text = format!("Op {} {}", scene.date, what(scene));
    if !scene.last_day.is_empty() {
        text.push_str(&format!(" Dat geldt tot en met {}.", scene.last_day));
    }
    if !scene.items.is_empty() {
        text.push_str(&format!(" Het gaat om: {}.", scene.items));
    }
    text.push_str(&format!(" Waarom: {}.", scene.purpose));
    if !scene.law.is_empty() {
        text.push_str(&format!(" De wet die hierbij hoort: {}.", scene.law));
    }
    text
}

fn what(scene: &Scene) -> String {
    let (from, to) = (&scene.sender, &scene.recipient);
    match scene.happening {
        Happening::Prepared => format!("vroeg {from} of uw gegevens naar {to} mogen. Dat mag."),
        Happening::AttemptRefused(why) => format!(
            "vroeg {from} of uw gegevens naar {to} mogen. Dat is niet gebeurd, want {}.",
            because(why)
        ),
        Happening::State(state) => moved(state, from, to),
        Happening::Opened => format!("bekeek {to} gegevens van u die {from} stuurde."),
        Happening::StepRefused(why) => format!(
            "kon de overdracht van {from} naar {to} niet verder, want {}.",
            because(why)
        ),
        Happening::ConsentAsked { declined: false } => format!(
            "vroeg {from} of u het goed vindt dat uw gegevens naar {to} gaan. U mag nee zeggen."
        ),
        Happening::ConsentAsked { declined: true } => format!(
            "vroeg {from} of uw gegevens naar {to} mogen. Dat mag niet, omdat u een van de twee hebt \
             geblokkeerd. U hoeft niets te doen."
        ),
        Happening::ConsentAssisted { refused: false } => format!(
            "schreef een medewerker van {from} samen met u op dat uw gegevens naar {to} mogen."
        ),
        Happening::ConsentAssisted { refused: true } => format!(
            "schreef een medewerker van {from} samen met u op dat uw gegevens niet naar {to} mogen."
        ),
        Happening::Consent(state) => consent(state, from, to),
        Happening::Notice(kind) => notice(kind, from, to),
        Happening::NoticeAnswered(answer) => answered(answer, from, to),
        Happening::Objection(objected) => objection(objected, from, to),
        Happening::Folded(None) => format!(
            "vroegen {from} en {to} zo vaak iets over u dat wij de rest van die dag nee zeiden."
        ),
        Happening::Folded(Some(times)) => {
            format!("zeiden wij {times} keer nee tegen {from} en {to}: zij vroegen te veel over u.")
        }
        Happening::WrongPerson => format!(
            "merkte {to} een fout: {from} gaf een dossier door met uw burgerservicenummer, maar over iemand \
             anders. {to} rondt dat niet af. U hoeft niets te doen. U mag {from} vragen wat er bij uw nummer \
             staat, en om verbetering. Komt u er niet uit, vraag dan naar de functionaris \
             gegevensbescherming van {from}."
        ),
        Happening::ReportSent => format!("vertelde {to} aan {from} wat het werd."),
        Happening::ReportOpened => format!("las {from} wat {to} daarover schreef."),
        Happening::ReportRefused(why) => format!(
            "wilde {to} aan {from} vertellen wat het werd. Dat is niet gebeurd, want {}.",
            because(why)
        ),
        Happening::ReportReadRefused(why) => format!(
            "wilde {from} lezen wat {to} daarover schreef. Dat is niet gebeurd, want {}.",
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
        Why::NoConsent => "u gaf daar geen toestemming voor",
        Why::Stopped => "het delen van deze gegevens is gestopt",
        Why::Secrecy => "deze gegevens zijn geheim en u tekende niet dat ze gedeeld mogen worden",
        Why::NoAgreement => "daar is geen afspraak over",
        Why::Objection => "u maakte bezwaar",
        Why::Restriction => "u vroeg om uw gegevens nu niet te gebruiken",
        Why::TooLate => "de tijd was voorbij",
        Why::TooMuch => "er werd meer gevraagd dan mag",
        Why::Rules => "de regels staan dat niet toe",
    }
}

fn moved(state: Option<State>, from: &str, to: &str) -> String {
    match state {
        Some(State::Prepared) => format!("maakte {from} een overdracht aan {to} klaar."),
        Some(State::Offered) => {
            format!("stuurde {from} een korte beschrijving aan {to}. Uw naam staat daar niet in.")
        }
        Some(State::OnHold) => format!("vroeg {to} aan {from} om iets te veranderen."),
        Some(State::Accepted) => format!("zei {to} ja tegen {from}: u wordt daar verder geholpen."),
        Some(State::Released) => format!("zette {from} uw gegevens klaar voor {to}."),
        Some(State::Completed) => {
            format!("was er contact met u. {to} helpt u nu verder, niet meer {from}.")
        }
        Some(State::Declined) => format!("zei {to} nee tegen {from}."),
        Some(State::Returned) => format!("gaf {to} de overdracht terug aan {from}."),
        Some(State::Cancelled) => format!("stopte de overdracht van {from} naar {to}."),
        Some(State::Withdrawn) => {
            format!("stopte de overdracht van {from} naar {to}, omdat u uw toestemming stopte.")
        }
        Some(State::Expired) => {
            format!("stopte de overdracht van {from} naar {to}, omdat de tijd voorbij was.")
        }
        None => format!("ging de overdracht van {from} naar {to} een stap verder."),
    }
}

fn consent(state: Option<ConsentState>, from: &str, to: &str) -> String {
    let about = format!("uw toestemming om gegevens van {from} te delen met {to}");
    match state {
        Some(ConsentState::Requested) => format!("vroeg {from} om {about}."),
        Some(ConsentState::Given) => format!("begon {about}."),
        Some(ConsentState::Withdrawn) => format!("stopte {about}."),
        Some(ConsentState::Expired) => format!("liep {about} af."),
        Some(ConsentState::Superseded) => {
            format!("kwam er een nieuwe keuze in de plaats van {about}.")
        }
        Some(ConsentState::Invalidated) => format!("bleek {about} niet geldig."),
        Some(ConsentState::Refused) => {
            format!("zei u nee tegen het delen van gegevens van {from} met {to}.")
        }
        Some(ConsentState::Lapsed) => format!("verviel de vraag om {about}."),
        None => format!("veranderde {about}."),
    }
}

fn notice(kind: Option<NoticeKind>, from: &str, to: &str) -> String {
    match kind {
        Some(NoticeKind::Withdrawal) => format!(
            "kreeg {to} bericht dat u stopte met delen. {to} moet zeggen wat er met uw gegevens van {from} gebeurt."
        ),
        Some(NoticeKind::Ended) => format!(
            "kreeg {to} bericht dat de overdracht stopte. {to} moet zeggen wat er met uw gegevens van {from} gebeurt."
        ),
        Some(NoticeKind::Erasure) => format!("vroeg {from} aan {to} om uw gegevens te wissen."),
        Some(NoticeKind::Rectification) => {
            format!("vroeg {from} aan {to} om uw gegevens te verbeteren.")
        }
        Some(NoticeKind::Restriction) => {
            format!("kreeg {to} bericht om uw gegevens van {from} nu niet te gebruiken.")
        }
        Some(NoticeKind::Access) => {
            format!("vroeg {from} aan {to} om u te laten zien welke gegevens er zijn.")
        }
        None => format!("kreeg {to} een bericht over uw gegevens van {from}."),
    }
}

fn answered(answer: Option<AnswerCode>, from: &str, to: &str) -> String {
    match answer {
        Some(AnswerCode::Erased) => format!("zei {to} dat uw gegevens van {from} gewist zijn."),
        Some(AnswerCode::Retained) => format!(
            "zei {to} dat uw gegevens van {from} bewaard blijven, omdat een wet dat vraagt."
        ),
        Some(AnswerCode::Done) => format!("zei {to} dat gedaan is wat {from} vroeg."),
        Some(AnswerCode::NotHeld) => format!("zei {to} geen gegevens van u van {from} te hebben."),
        None => format!("gaf {to} antwoord over uw gegevens van {from}."),
    }
}

fn objection(objected: Option<Objected>, from: &str, to: &str) -> String {
    let about = format!("de overdracht van {from} naar {to}");
    match objected {
        Some(Objected::Object) => {
            format!("is uw bezwaar tegen {about} genoteerd. Er gaat nu niets door.")
        }
        Some(Objected::Restrict) => {
            format!("is genoteerd dat uw gegevens in {about} nu niet gebruikt worden.")
        }
        Some(Objected::Uphold) => {
            format!("kreeg u gelijk met uw bezwaar tegen {about}. Die stopt.")
        }
        Some(Objected::Reject) => {
            format!("kreeg u geen gelijk met uw bezwaar tegen {about}. Die gaat verder.")
        }
        Some(Objected::Lift) => format!("mocht {about} weer verder."),
        None => format!("is er iets besloten over uw bezwaar tegen {about}."),
    }
}

fn waiting(waits: Waits, from: &str, to: &str) -> String {
    let asked = match waits {
        Waits::Stop => format!("stopte u het delen van uw gegevens van {from} met {to}"),
        Waits::Refuse => format!("zei u dat {from} uw gegevens niet mag delen met {to}"),
        Waits::Object => format!("maakte u bezwaar tegen de overdracht van {from} naar {to}"),
        Waits::Restrict => format!(
            "vroeg u om uw gegevens in de overdracht van {from} naar {to} niet te gebruiken"
        ),
    };
    format!("{asked}. Dat geven wij nog door. U hoeft niets te doen.")
}

/// A block of which it is not known yet what it stops.
pub(super) fn blocked(date: &str, name: &str) -> String {
    format!(
        "Op {date} blokkeerde u {name}. Wij zoeken nog uit wat daardoor stopt. U hoeft niets te doen."
    )
}

fn choice(chosen: Chosen, from: &str, to: &str) -> String {
    match chosen {
        Chosen::Given => format!("vond u het goed dat {from} uw gegevens deelt met {to}."),
        Chosen::Refused => format!("zei u dat {from} uw gegevens niet mag delen met {to}."),
        Chosen::Narrowed => format!("koos u dat {from} minder of korter mag delen met {to}."),
        Chosen::Withdrawn => format!("stopte u het delen van uw gegevens van {from} met {to}."),
        Chosen::Expired => format!("liep uw toestemming af: {from} deelt niets meer met {to}."),
    }
}
