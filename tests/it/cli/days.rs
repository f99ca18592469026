//! A day is a day in Amsterdam, and one that is not on the calendar is no day: at every verb that takes one.
//!
//! Must never let a day that is no day be sent: what is refused here must leave no trace at the gateway.

use super::{NUMBER, Terminal, in_days, text_of};
use rules::calendar::Day;

/// Every place where a day is typed; `DAY` stands for it.
const PLACES: &[&str] = &[
    "consent give --from vakbond --to neutraal --category IDENTITY --until DAY",
    "consent narrow cns_01a207c62b027df0a3e70eb3420b1ff0 --category IDENTITY --until DAY",
    "--as vakbond assist-consent --person lid-1 --to neutraal --category IDENTITY --until DAY",
    "--as officer audit search --purpose HANDOVER --from DAY",
    "--as officer audit search --purpose HANDOVER --until DAY",
    "--as neutraal complete hnd_01a207c62b027df0a3e70eb3420b1ff0 --contact-date DAY",
    "--as neutraal propose-change hnd_01a207c62b027df0a3e70eb3420b1ff0 --question later-start --date DAY",
];

#[tokio::test]
async fn a_day_is_a_day_in_amsterdam() {
    let terminal = Terminal::open().await;
    for place in PLACES {
        for wrong in ["2026-11-31", "2027-02-29", "2027-1-5", "2027-+1-05"] {
            let (code, text, _) = terminal.refused(&place.replace("DAY", wrong), NUMBER);
            let expected = format!("error: `{wrong}` is no day; write it as YYYY-MM-DD");
            assert_eq!((code, text.trim()), (2, expected.as_str()), "{place}");
        }
    }
    told_back(&terminal);
    looked_up(&terminal);
}

/// The last day that was chosen is the one that is told back, and is not another a day later.
fn told_back(terminal: &Terminal) {
    terminal.json("--as vakbond enrol --person lid-0 --without-bsn", "");
    let code = text_of(&terminal.json("link vakbond", NUMBER), "code");
    terminal.json(
        &format!("--as vakbond redeem-link --person lid-1 {code}"),
        "",
    );
    let give = "consent give --from vakbond --to neutraal --category IDENTITY --category WORK";
    let yesterday = format!("{give} --until {}", in_days(-1));
    let (code, text, _) = terminal.refused(&yesterday, NUMBER);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("CONSENT_TERM_EXCEEDED"), "{text}");
    for day in [in_days(0), in_days(30)] {
        let given = terminal.json(&format!("{give} --until {day}"), NUMBER);
        let listed = terminal.json("consent list", NUMBER);
        let consents = listed["consents"].as_array().unwrap();
        let id = text_of(&given, "consent_id");
        let one = consents.iter().find(|one| one["consent_id"] == id.as_str());
        assert_eq!(one.unwrap()["last_day"], day.as_str(), "{listed}");
        let end = day.parse::<Day>().unwrap().end().unwrap().millis();
        assert_eq!(one.unwrap()["valid_until_millis"], end, "{listed}");
        let text = terminal.text("consent list", NUMBER);
        assert!(text.contains(&format!("{day}, the whole day")), "{text}");
        in_words(terminal, &given, &day);
    }
}

/// The statement that is kept says in words what the person agreed to, and how to stop; a changed one says nothing.
fn in_words(terminal: &Terminal, given: &serde_json::Value, day: &str) {
    let file = text_of(given, "statement_file");
    let words = terminal.text(&format!("consent statement show {file}"), "");
    let code = text_of(given, "stop_code");
    let id = text_of(given, "consent_id");
    for told in [
        code.as_str(),
        id.as_str(),
        day,
        "IDENTITY",
        "toestemming gegeven",
        "gecontroleerd",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
    let beside = file.replace(".jws", ".txt");
    let kept = std::fs::read_to_string(&beside).unwrap();
    assert_eq!(kept.trim(), words.trim());
    let changed = format!("{file}.changed");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&changed, text.replacen('.', ".A", 1)).unwrap();
    let (code, text, _) = terminal.refused(&format!("consent statement show {changed}"), "");
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no statement to rely on"), "{text}");
}

/// A search through today finds what happened today, and one through yesterday does not.
fn looked_up(terminal: &Terminal) {
    let found = |until: i64| {
        let day = in_days(until);
        let words = format!("--as officer audit search --purpose HANDOVER --until {day}");
        terminal.json(&words, "")["entries"]
            .as_array()
            .unwrap()
            .len()
    };
    let (today, yesterday) = (found(0), found(-1));
    assert!(
        today > yesterday,
        "{today} through today, {yesterday} before"
    );
}
