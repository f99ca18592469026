//! What somebody types and what others typed: a number that must not be seen, a name in two spellings, a key that is
//! somebody else's, a value that is too long, and signs that a terminal obeys.
//!
//! Must never accept that a mistake is found later than where it was made.

use super::{NUMBER, Said, Terminal, repository, text_of};
use crate::house::program;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Another number, and a third that is nobody's either.
const OTHER: &str = "999990020";

/// An offer with this as the text of its dossier, as a file.
fn with_text(folder: &Path, text: &str) -> String {
    let example = std::fs::read_to_string(repository().join("tests/data/offer.example.toml"));
    let example = example.unwrap();
    let (before, after) = example.split_once("\"hulpvraag.tekst\" = ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let path = folder.join("typed.toml");
    let text = serde_json::to_string(text).unwrap();
    std::fs::write(
        &path,
        format!("{before}\"hulpvraag.tekst\" = {text}\n{after}"),
    )
    .unwrap();
    path.display().to_string()
}

fn offer(terminal: &Terminal, text: &str) -> Said {
    let file = with_text(&terminal.folder(), text);
    let words = format!("--as uwv offer --person klant-1 --to neutraal --file {file}");
    terminal.say(&words, "")
}

/// How many lines of an action the log has.
fn count(terminal: &Terminal, action: &str) -> usize {
    let found = terminal.json("--as officer audit search --peer uwv --all", "");
    let entries = found["entries"].as_array().unwrap();
    entries
        .iter()
        .filter(|entry| entry["action"] == action)
        .count()
}

#[tokio::test]
async fn a_number_is_not_taken_from_the_command_line() {
    let terminal = Terminal::open().await;
    for words in [
        format!("--as uwv enrol --person klant-1 --bsn {NUMBER}"),
        format!("overview --bsn {NUMBER}"),
        format!("consent list --bsn {NUMBER}"),
        format!("block vakbond --bsn {NUMBER}"),
        format!("--as uwv enrol --person {NUMBER} --bsn -"),
    ] {
        let (code, text, _) = terminal.refused(&words, NUMBER);
        assert_eq!(code, 2, "{words}: {text}");
        assert!(!text.contains(NUMBER), "{text}");
        let why = if words.ends_with('-') {
            "BSN_IN_TEXT"
        } else {
            "history"
        };
        assert!(text.contains(why), "{text}");
    }
    assert_eq!(count(&terminal, "Enrol"), 0);

    // Typed at a terminal it is asked for, and not seen.
    let (mut master, slave) = pseudo_terminal();
    let folder = terminal.folder();
    let arguments = ["--sandbox", folder.to_str().unwrap(), "--as", "uwv"];
    let mut child = Command::new(program())
        .args(arguments)
        .args(["enrol", "--person", "klant-1", "--bsn", "-"])
        .stdin(Stdio::from(slave.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A terminal shows what is typed before it is told not to: so the question comes first.
    let mut asked = [0; 17];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut asked)
        .unwrap();
    assert_eq!(&asked, b"BSN (not shown): ");
    master.write_all(format!("{NUMBER}\n").as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    drop(slave);
    let mut seen = Vec::new();
    // A terminal whose other end is gone ends with an error.
    drop(master.read_to_end(&mut seen));
    let seen = String::from_utf8_lossy(&seen);
    assert!(!seen.contains(NUMBER), "{seen:?}");
    assert_eq!(count(&terminal, "Enrol"), 1);
}

#[tokio::test]
async fn a_number_that_was_typed_where_it_has_no_place_is_not_repeated() {
    let terminal = Terminal::open().await;
    for (words, is_usage) in [
        (format!("overview {NUMBER}"), true),
        (format!("--as uwv whoami {NUMBER}"), true),
        ("--as uwv whoami 9999.90.019".to_owned(), true),
        (format!("--{NUMBER} whoami"), true),
        (format!("bsn{NUMBER}"), true),
        (format!("--as uwv accept {NUMBER}"), false),
        (format!("--as {NUMBER} whoami"), false),
        (format!("block {NUMBER}"), false),
        (
            format!("--as uwv ask-consent --person k --to {NUMBER} --category WORK"),
            false,
        ),
    ] {
        let (code, text, value) = terminal.refused(&words, NUMBER);
        assert_eq!(code, 2, "{words}: {text}");
        for said in [&text, &value.to_string()] {
            let repeats = [NUMBER, "9999.90.019"]
                .iter()
                .any(|typed| said.contains(typed));
            assert!(!repeats && said.contains("xxxxxxxxx"), "{words}: {said}");
            assert_eq!(said.contains("give `--bsn -`"), is_usage, "{words}: {said}");
        }
    }
}

/// A terminal without a screen: the end at which somebody sits, and the end of the program.
fn pseudo_terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let slave = File::options().read(true).write(true).open(name).unwrap();
    (File::from(master), slave)
}

#[tokio::test]
async fn a_key_is_one_person_and_stays_one() {
    let terminal = Terminal::open().await;
    let enrol =
        |person: &str, more: &str| format!("--as uwv enrol --person {person} --bsn - {more}");
    // One name in two spellings of octets.
    let (composed, decomposed) = ("klant-Jos\u{e9}", "klant-Jose\u{301}");
    terminal.json(&enrol(composed, ""), NUMBER);
    let again = terminal.json(&enrol(decomposed, ""), NUMBER);
    assert_eq!(again["same_number_as"], serde_json::Value::Null, "{again}");
    let (code, text, error) = terminal.refused(&enrol(decomposed, ""), OTHER);
    assert_eq!(
        (code, &error["reason"]),
        (1, &"PERSON_KEY_TAKEN".into()),
        "{text}"
    );

    // The same number under two keys is told, and both are named.
    let also = terminal.json(&enrol("klant-2", ""), NUMBER);
    assert_eq!(also["same_number_as"], composed);
    let text = terminal.text(&enrol("klant-2", ""), NUMBER);
    assert!(
        text.contains(composed) && text.contains("`klant-2`"),
        "{text}"
    );
    assert!(!text.contains(NUMBER), "{text}");

    // A key that stands for somebody goes on doing so, until it is said otherwise.
    terminal.json(&enrol("klant-1", ""), NUMBER);
    let file = repository().join("tests/data/offer.example.toml");
    let offer = format!(
        "--as uwv offer --person klant-1 --to neutraal --file {}",
        file.display()
    );
    let offered = text_of(&terminal.json(&offer, ""), "handover_id");
    terminal.refused(&enrol("klant-1", ""), OTHER);
    terminal.json(&format!("--as neutraal accept {offered}"), "");
    terminal.json(&format!("--as uwv release {offered}"), "");
    terminal.json(&enrol("klant-1", "--replace"), OTHER);
    terminal.json(&enrol("klant-1", ""), OTHER);

    for key in ["lid-1", "lid-2"] {
        terminal.json(
            &format!("--as vakbond enrol --person {key} --without-bsn"),
            "",
        );
    }
    let (code, text, _) = terminal.refused("--as vakbond enrol --person lid-1 --without-bsn", "");
    assert!(code == 2 && text.contains("--replace"), "{text}");
    let link = |more: &str| {
        let code = text_of(&terminal.json("link vakbond", NUMBER), "code");
        format!("--as vakbond redeem-link --person lid-2 {code} {more}")
    };
    let refused = terminal.say(&link(""), "");
    assert!(
        refused.code == 2 && refused.err.contains("--replace"),
        "{}",
        refused.err
    );
    terminal.json(&link("--replace"), "");
    terminal.json(&link(""), "");
}

#[tokio::test]
async fn what_may_not_be_sent_is_refused_where_it_is_typed() {
    let terminal = Terminal::open().await;
    terminal.json("--as uwv enrol --person klant-1 --bsn -", NUMBER);
    for (text, code, place) in [
        (
            format!("Bel haar op {NUMBER}."),
            "BSN_IN_TEXT",
            "hulpvraag.tekst: looks like a BSN from character 13 on",
        ),
        (
            "x".repeat(65_537),
            "FIELD_TOO_LARGE",
            "hulpvraag.tekst: has 65537 bytes, and 65536 may be: make it shorter",
        ),
    ] {
        let refused = offer(&terminal, &text);
        assert_eq!(refused.code, 2, "{}", refused.err);
        for wanted in [code, place, "nothing was sent"] {
            assert!(refused.err.contains(wanted), "{wanted}: {}", refused.err);
        }
        assert!(!refused.err.contains(NUMBER));
    }
    assert_eq!(count(&terminal, "Prepare"), 0, "nothing was sent");

    // A desk that answers for a label says so in its settings, and sees when it is used.
    let settings = terminal.folder().join("identities/uwv.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let own = "number_labels = [\"identiteit.bsn\"]";
    assert!(text.contains(own), "{text}");
    let none = "lookalike_labels = []";
    assert!(text.contains(none), "{text}");
    let wider = "lookalike_labels = [\"hulpvraag.tekst\"]";
    std::fs::write(&settings, text.replace(none, wider)).unwrap();
    let offered = offer(&terminal, &format!("RSIN {NUMBER}"));
    assert_eq!(offered.code, 0, "{}", offered.err);
    let id = offered
        .out
        .split_whitespace()
        .find(|word| word.starts_with("hnd_"))
        .unwrap();
    terminal.json(&format!("--as neutraal accept {id}"), "");
    let released = terminal.json(&format!("--as uwv release {id}"), "");
    assert_eq!(
        released["number_labels"],
        serde_json::json!(["hulpvraag.tekst"])
    );
}

#[tokio::test]
async fn what_others_typed_does_nothing_to_a_terminal() {
    let terminal = Terminal::open().await;
    terminal.json("--as uwv enrol --person klant-1 --bsn -", NUMBER);
    let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}\r\u{9b}1A\u{202e}one\nidentiteit.bsn    111222334";
    for (text, shown) in [
        (hostile.to_owned(), "\\u001b[2J"),
        ("x".repeat(65_536), "xxxxxxxxxx"),
    ] {
        let offered = offer(&terminal, &text);
        assert_eq!(offered.code, 0, "{}", offered.err);
        let id = offered
            .out
            .split_whitespace()
            .find(|word| word.starts_with("hnd_"));
        let id = id.unwrap().to_owned();
        terminal.json(&format!("--as neutraal accept {id}"), "");
        terminal.json(&format!("--as uwv release {id}"), "");
        let fetched = terminal.text(&format!("--as neutraal fetch {id}"), "");
        assert!(fetched.contains(shown), "{fetched}");
        let is_harmless =
            |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
        assert!(fetched.chars().all(is_harmless), "{fetched:?}");
        assert!(
            !fetched
                .lines()
                .any(|line| line.starts_with("identiteit.bsn")),
            "{fetched}"
        );
        for line in fetched.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let json = terminal.json(&format!("--as neutraal fetch {id}"), "");
        assert_eq!(json["dossier"]["hulpvraag.tekst"], text.as_str());
    }
}

#[tokio::test]
async fn a_search_says_what_it_shows_and_refuses_what_is_not_there() {
    let terminal = Terminal::open().await;
    for person in 0..3 {
        terminal.json(
            &format!("--as uwv enrol --person klant-{person} --bsn -"),
            NUMBER,
        );
    }
    let search = |more: &str| format!("--as officer audit search --peer uwv {more}");
    let all = terminal.json(&search("--all"), "");
    assert_eq!(all["more"], false, "{all}");
    let ids = |answer: &serde_json::Value| -> Vec<String> {
        let entries = answer["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| text_of(entry, "entry_id"))
            .collect()
    };
    let mut paged = Vec::new();
    let mut more = String::new();
    loop {
        let page = terminal.json(&search(&format!("--limit 2 {more}")), "");
        paged.extend(ids(&page));
        more = format!("--before {}", text_of(&page, "before"));
        if page["more"] == false {
            break;
        }
    }
    let first_of_all = ids(&all);
    let paged: Vec<_> = paged
        .into_iter()
        .filter(|id| first_of_all.contains(id))
        .collect();
    assert_eq!(paged, first_of_all, "every line once, over pages of two");

    let text = terminal.text(&search("--limit 2"), "");
    for wanted in [
        "2 entries, newest first, and there are more",
        "from the log's beginning",
        "--before ent_",
        "--all",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let text = terminal.text(&search("--purpose TRIAGE"), "");
    assert!(
        text.contains("no entries") && text.contains("searched: from"),
        "{text}"
    );
    for (words, wanted) in [
        ("--peer uvw", "did you mean uwv?"),
        ("--peer 00000099000000009999", "--former"),
        ("--purpose HANDOVR", "did you mean HANDOVER?"),
        ("--peer uwv --before ent_1", "32 digits"),
    ] {
        let (code, text, _) = terminal.refused(&format!("--as officer audit search {words}"), "");
        assert!(code == 2 && text.contains(wanted), "{words}: {text}");
    }
    let none = terminal.json("--as officer audit search --purpose OVER --former", "");
    assert_eq!(none["entries"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_refusal_says_whose_turn_it_is() {
    let terminal = Terminal::open().await;
    terminal.json("--as uwv enrol --person klant-1 --bsn -", NUMBER);
    let id = offer(&terminal, "Wil werken.").out;
    let id = id
        .split_whitespace()
        .find(|word| word.starts_with("hnd_"))
        .unwrap()
        .to_owned();
    let told = |words: &str| {
        let (code, text, error) = terminal.refused(words, "");
        assert_eq!(
            (code, &error["reason"]),
            (1, &"STATE_FORBIDS_EVENT".into()),
            "{text}"
        );
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let text = told(&format!("--as uwv release {id}"));
    let turns = "state: is OFFERED; now the sender may: Cancel; the recipient may: AckNotification, FetchOffer, \
                 ProposeChange, Decline, Accept";
    assert!(text.contains(turns), "{text}");
    terminal.json(&format!("--as neutraal accept {id}"), "");
    terminal.json(&format!("--as uwv release {id}"), "");
    let text = told(&format!("--as neutraal accept {id}"));
    assert!(
        text.contains("state: is RELEASED; now the sender may: "),
        "{text}"
    );
    terminal.json(&format!("--as uwv cancel {id} --code mistake"), "");
    let text = told(&format!("--as neutraal accept {id}"));
    assert!(
        text.contains("is CANCELLED, in which nobody has a step left"),
        "{text}"
    );

    // Nobody at the other end: in words, not in those of a library.
    let nowhere = "--as uwv whoami";
    let settings = terminal.folder().join("identities/uwv.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("broker_address"))
        .unwrap();
    std::fs::write(
        &settings,
        text.replace(line, "broker_address = \"127.0.0.1:1\""),
    )
    .unwrap();
    for words in [nowhere, "--as uwv inbox"] {
        let said = terminal.say(words, "");
        let told = said.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("nothing listens there"), "{told}");
        for word in ["transport", "tcp connect", "os error", "hyper", "h2"] {
            assert!(!told.contains(word), "{told}");
        }
    }
}
