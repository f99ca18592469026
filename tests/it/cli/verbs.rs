//! Every verb of the command line, in both forms: what a person reads and what a program reads.
//!
//! Must never look into a folder for what a command should have printed.

use super::{NUMBER, Terminal, in_days, repository, text_of};
use serde_json::{Value, json};

/// A second person and a third.
const OTHERS: [&str; 2] = ["999990020", "999990032"];

fn example() -> String {
    let file = repository().join("tests/data/offer.example.toml");
    file.to_str().unwrap().to_owned()
}

fn offer(terminal: &Terminal, more: &str) -> Value {
    let words = format!(
        "--as uwv offer --person klant-1 --to neutraal --file {} {more}",
        example()
    );
    terminal.json(&words, "")
}

/// Offers and brings as far as released.
fn released(terminal: &Terminal) -> String {
    let id = text_of(&offer(terminal, ""), "handover_id");
    terminal.json(&format!("--as neutraal fetch-offer {id}"), "");
    terminal.json(&format!("--as neutraal accept {id}"), "");
    terminal.json(&format!("--as uwv release {id}"), "");
    id
}

#[tokio::test]
async fn a_handover_goes_every_way_by_hand() {
    let terminal = Terminal::open().await;
    whoami(&terminal);
    terminal.text("--as uwv enrol --person klant-1 --bsn -", NUMBER);
    let enrolled = terminal.json("--as uwv enrol --person klant-2 --bsn -", OTHERS[0]);
    assert_eq!(enrolled["enrolled"], true);
    completed(&terminal);
    ended_early(&terminal);
    changed(&terminal);
    grouped(&terminal);
    noticed(&terminal);
    looked_at(&terminal);
}

fn whoami(terminal: &Terminal) {
    let (text, json) = (
        terminal.text("--as uwv whoami", ""),
        terminal.json("--as uwv whoami", ""),
    );
    assert!(
        text.contains("UWV") && text.contains("trust level"),
        "{text}"
    );
    assert_eq!(text_of(&json, "oin"), "00000099000000001000");
    assert_eq!(json["trust_level"], 2);
    terminal.text("--as uwv connect-check", "");
    assert_eq!(terminal.json("--as uwv connect-check", "")["ok"], true);
    assert!(
        terminal
            .text("--as uwv resume", "")
            .contains("nothing waits")
    );
    assert_eq!(
        terminal.json("--as uwv resume", "")["resumed"],
        serde_json::json!([])
    );
}

/// What waits for an answer of this desk.
fn waiting(terminal: &Terminal, name: &str) -> Value {
    terminal.json(&format!("--as {name} inbox"), "")["waiting"].clone()
}

fn completed(terminal: &Terminal) {
    let offered = offer(terminal, "");
    let id = text_of(&offered, "handover_id");
    assert_eq!(offered["state"], "OFFERED");
    assert_eq!(
        offered["dropped_labels"],
        serde_json::json!(["kanaal.code"])
    );
    let inbox = terminal.json("--as neutraal inbox", "");
    assert_eq!(inbox["items"][0]["handover_id"], id.as_str());
    let text = terminal.text("--as neutraal inbox", "");
    let told = ["1 wait for an answer of yours", "the newest first"];
    assert!(
        text.contains(&id) && told.iter().all(|told| text.contains(told)),
        "{text}"
    );
    assert!(!text.contains("more: sluis"), "{text}");
    let all = terminal.text("--as neutraal inbox --all", "");
    assert!(all.contains(&id) && !all.contains("wait"), "{all}");
    let last = format!("…{}", &id[id.len() - 8..]);
    let summary = terminal.json(&format!("--as neutraal fetch-offer {last}"), "");
    assert_eq!(summary["summary"]["werk.beroep"], "Magazijnmedewerker");
    assert!(summary.get("dossier").is_none(), "{summary}");
    let text = terminal.text(&format!("--as neutraal accept {id}"), "");
    assert!(text.contains("ACCEPTED"), "{text}");
    assert_eq!(
        waiting(terminal, "neutraal"),
        json!([]),
        "the answer is given"
    );
    assert_eq!(waiting(terminal, "uwv")[0]["kind"], "ACCEPTED");
    let text = terminal.text(&format!("--as uwv release {id}"), "");
    assert!(text.contains("RELEASED"), "{text}");
    assert_eq!(waiting(terminal, "uwv"), json!([]));
    assert_eq!(waiting(terminal, "neutraal")[0]["kind"], "RELEASED");
    let fetched = terminal.json(&format!("--as neutraal fetch {id}"), "");
    assert_eq!(fetched["dossier"]["identiteit.naam"], "Okke Blikwijk");
    assert!(fetched["mismatched_labels"].as_array().unwrap().is_empty());
    let today = crate::house::today();
    let done = terminal.json(
        &format!("--as neutraal complete {id} --contact-date {today}"),
        "",
    );
    assert_eq!(done["state"], "COMPLETED");
    assert_eq!(waiting(terminal, "neutraal"), json!([]));
    let words = format!("--as neutraal send-report {id} --outcome duurzame-baan");
    let sent = terminal.json(&words, "");
    assert_eq!(sent["handover_id"], id.as_str());
    let report = terminal.json(&format!("--as uwv fetch-report {id}"), "");
    assert_eq!(report["report"]["uitstroom.code"], "DUURZAME_BAAN");
    assert_eq!(report["person"], "klant-1", "beside its own person");
    let text = terminal.text(&format!("--as uwv fetch-report {id}"), "");
    assert!(text.contains("DUURZAME_BAAN"), "{text}");
    let shown = terminal.text(&format!("--as uwv show {id}"), "");
    assert!(shown.contains("COMPLETED"), "{shown}");
    assert!(
        !shown.contains("Okke"),
        "the gateway knows no name: {shown}"
    );
}

fn ended_early(terminal: &Terminal) {
    let id = text_of(&offer(terminal, ""), "handover_id");
    let text = terminal.text(
        &format!("--as neutraal decline {id} --code no-capacity"),
        "",
    );
    assert!(text.contains("DECLINED"), "{text}");
    let id = text_of(&offer(terminal, ""), "handover_id");
    let json = terminal.json(&format!("--as uwv cancel {id} --code mistake"), "");
    assert_eq!(json["state"], "CANCELLED");
    let id = released(terminal);
    terminal.text(&format!("--as neutraal fetch {id}"), "");
    let json = terminal.json(&format!("--as neutraal return {id} --code no-contact"), "");
    assert_eq!(json["state"], "RETURNED");
}

fn changed(terminal: &Terminal) {
    let id = text_of(&offer(terminal, ""), "handover_id");
    let asked = terminal.json(
        &format!("--as neutraal propose-change {id} --question more-summary"),
        "",
    );
    assert_eq!(asked["state"], "ON_HOLD");
    let json = terminal.json(&format!("--as uwv accept-change {id}"), "");
    assert_eq!(json["state"], "OFFERED");
    terminal.text(
        &format!("--as neutraal propose-change {id} --question joint-talk"),
        "",
    );
    let text = terminal.text(&format!("--as uwv reject-change {id}"), "");
    assert!(text.contains(&id), "{text}");
}

fn grouped(terminal: &Terminal) {
    let first = offer(terminal, "--group new");
    let group = text_of(&first, "group");
    let second = offer(terminal, &format!("--group {group}"));
    let (one, two) = (
        text_of(&first, "handover_id"),
        text_of(&second, "handover_id"),
    );
    terminal.json(&format!("--as neutraal accept {one}"), "");
    terminal.json(&format!("--as uwv release {one}"), "");
    let (code, text, _) = terminal.refused(&format!("--as neutraal accept {two}"), "");
    assert_eq!(code, 1, "of a group one is released: {text}");
}

fn noticed(terminal: &Terminal) {
    let id = released(terminal);
    terminal.json(&format!("--as neutraal fetch {id}"), "");
    let sent = terminal.json(&format!("--as uwv notify {id} --kind erasure"), "");
    let notice = text_of(&sent, "notice_id");
    assert!(terminal.text("--as neutraal notices", "").contains(&notice));
    let notices = terminal.json(&format!("--as neutraal notices {id}"), "");
    assert_eq!(notices["notices"].as_array().unwrap().len(), 1);
    terminal.text(&format!("--as neutraal ack {notice}"), "");
    let answered = terminal.json(
        &format!("--as neutraal answer {notice} --answer erased"),
        "",
    );
    assert_eq!(answered["notice_id"], notice.as_str());
}

fn looked_at(terminal: &Terminal) {
    let found = terminal.json("--as officer audit search --peer uwv", "");
    let entries = found["entries"].as_array().unwrap();
    assert!(entries.len() > 20, "{found}");
    let entry = text_of(&entries[0], "entry_id");
    let shown = terminal.json(&format!("--as officer audit show {entry}"), "");
    assert_eq!(shown["summary"]["entry_id"], entry.as_str());
    let text = terminal.text(&format!("--as officer audit show {entry}"), "");
    assert!(text.contains("leaf hash"), "{text}");
    assert!(text.contains("the closed part"), "{text}");
    let own = terminal.json("--as uwv-fg audit search --peer uwv", "");
    let entry = text_of(&own["entries"][0], "entry_id");
    let open = terminal.text(&format!("--as uwv-fg audit show {entry}"), "");
    assert!(!open.contains("the closed part"), "{open}");
    let found = terminal.text("--as officer audit search --peer uwv", "");
    for line in [text, open, found].iter().flat_map(|text| text.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let question = "--as uwv explain --action prepare --from UWV --to VAKBOND --purpose HANDOVER \
                    --basis SUWI_62_1 --label doelgroep.code";
    assert_eq!(terminal.json(question, "")["decision"], false);
    assert!(terminal.text(question, "").contains("refused"));
}

#[tokio::test]
async fn a_person_decides_by_hand() {
    let terminal = Terminal::open().await;
    let until = "2999-01-01";
    let (code, text, _) = terminal.refused(
        &format!("consent give --from vakbond --to neutraal --category IDENTITY --until {until}"),
        NUMBER,
    );
    assert_eq!(code, 1, "longer than the register allows: {text}");
    assert!(text.contains("CONSENT_TERM_EXCEEDED"), "{text}");
    linked(&terminal);
    consents(&terminal);
    assisted(&terminal);
    objected(&terminal);
    let blocked = terminal.json("block vakbond", OTHERS[1]);
    assert_eq!(blocked["stopped_consents"], 0);
    assert!(!terminal.text("block vakbond", OTHERS[1]).is_empty());
    unblocked(&terminal);
}

fn unblocked(terminal: &Terminal) {
    terminal.json("block neutraal", OTHERS[1]);
    let listed = terminal.json("blocks", OTHERS[1]);
    let blocks = listed["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 2, "{listed}");
    let team = json!("00000099000000002000/neutraal");
    assert!(
        blocks.iter().any(|block| block["party"] == team),
        "{listed}"
    );
    let first = terminal.json("blocks --limit 1", OTHERS[1]);
    let rest = format!("blocks --limit 1 --after {}", text_of(&first, "more"));
    let rest = terminal.json(&rest, OTHERS[1]);
    assert_eq!(first["blocks"][0], blocks[0]);
    assert_eq!(
        (&rest["blocks"][0], &rest["more"]),
        (&blocks[1], &json!(""))
    );
    let undone = terminal.json("unblock neutraal", OTHERS[1]);
    assert_eq!(undone["undone"], true);
    assert!(
        terminal
            .text("unblock vakbond", OTHERS[1])
            .contains("stays stopped")
    );
    assert!(
        terminal
            .text("blocks", OTHERS[1])
            .contains("nothing is blocked")
    );
    let (code, text, _) = terminal.refused("unblock vakbond", OTHERS[1]);
    assert_ne!(code, 0);
    assert!(text.contains("is not blocked"), "{text}");
    let (_, text, _) = terminal.refused("overview --after 77", OTHERS[1]);
    assert!(text.contains("PAGE_TOKEN_INVALID"), "{text}");
}

fn linked(terminal: &Terminal) {
    terminal.json("--as vakbond enrol --person lid-0 --without-bsn", "");
    let code = text_of(&terminal.json("link vakbond", NUMBER), "code");
    let linked = terminal.json(
        &format!("--as vakbond redeem-link --person lid-1 {code}"),
        "",
    );
    assert_eq!(linked["linked"], true);
    let (exit, text, _) = terminal.refused(
        &format!("--as vakbond redeem-link --person lid-2 {code}"),
        "",
    );
    assert_eq!(exit, 1, "a code is good once: {text}");
    let asked = terminal.json(
        "--as vakbond ask-consent --person lid-1 --to neutraal --category IDENTITY",
        "",
    );
    assert!(asked["question_id"].is_string(), "{asked}");
}

/// A member at the desk says yes, and no, and what may not be asked is said before it is sent.
fn assisted(terminal: &Terminal) {
    let until = in_days(30);
    let assist = "--as vakbond assist-consent --person lid-1 --to neutraal";
    let yes = format!("{assist} --category IDENTITY --category WORK --until {until}");
    let text = terminal.text(&yes, "");
    assert!(text.contains("stop code: "), "{text}");
    let given = terminal.json(&format!("{yes} --by-phone"), "");
    let stop = format!("consent stop-by-code {}", text_of(&given, "stop_code"));
    terminal.json(&stop, "");
    let seen = terminal.text("consent list", NUMBER);
    assert!(seen.contains(&text_of(&given, "consent_id")), "{seen}");
    let refused = terminal.json(&format!("{assist} --refuse"), "");
    assert_eq!(refused["stop_code"], "");
    let wide = format!("{assist} --category BSN --until {until}");
    let (exit, text, error) = terminal.refused(&wide, "");
    assert_eq!(
        (exit, &error["reason"]),
        (2, &"CONSENT_SCOPE_EXCEEDED".into())
    );
    assert!(text.contains("nothing was sent"), "{text}");
    terminal.json("--as uwv enrol --person ww-1 --bsn -", OTHERS[0]);
    let without_right = format!(
        "--as uwv assist-consent --person ww-1 --to vakbond --category WORK --until {until} --waive-secrecy"
    );
    let (exit, _, error) = terminal.refused(&without_right, "");
    assert_eq!((exit, &error["reason"]), (1, &"RIGHT_MISSING".into()));
}

fn consents(terminal: &Terminal) {
    let until = in_days(1);
    let give = format!(
        "consent give --from vakbond --to neutraal --category IDENTITY --category WORK --until {until}"
    );
    let given = terminal.json(&give, NUMBER);
    let consent = text_of(&given, "consent_id");
    let narrow = format!("consent narrow {consent} --category IDENTITY --until {until}");
    let narrowed = terminal.json(&narrow, NUMBER);
    let kept = std::fs::read_to_string(text_of(&narrowed, "statement_file")).unwrap();
    assert_eq!(kept, text_of(&narrowed, "statement"));
    let listed = terminal.json("consent list", NUMBER);
    assert_eq!(listed["consents"].as_array().unwrap().len(), 1, "{listed}");
    let last = &consent[consent.len() - 8..];
    let text = terminal.text(&format!("consent stop {last}"), NUMBER);
    assert!(
        text.contains("the statement to keep is in") && text.len() < 400,
        "{text}"
    );
    let given = terminal.json(&give, NUMBER);
    let stopped = terminal.json(
        &format!("consent stop-by-code {}", text_of(&given, "stop_code")),
        "",
    );
    assert_eq!(stopped["ended_handovers"], 0);
    let given = text_of(&terminal.json(&give, NUMBER), "consent_id");
    let (code, text, _) = terminal.refused(&format!("--as uwv-fg invalidate {given}"), "");
    assert_eq!(code, 1, "another organisation's officer: {text}");
    let found = terminal.json(&format!("--as officer invalidate {given}"), "");
    assert_eq!(
        (
            found["ended_handovers"].as_i64(),
            found["to_follow"].as_i64()
        ),
        (Some(0), Some(0))
    );
    let refused = terminal.json("consent refuse --from uwv --to vakbond", NUMBER);
    assert!(refused["statement"].is_string());
    assert!(terminal.text("consent list", NUMBER).contains("WITHDRAWN"));
}

fn objected(terminal: &Terminal) {
    terminal.json("--as uwv enrol --person klant-1 --bsn -", NUMBER);
    let id = text_of(&offer(terminal, ""), "handover_id");
    for (lang, word) in [("nl", "UWV"), ("en", "UWV")] {
        let told = terminal.text(&format!("overview --lang {lang}"), NUMBER);
        assert!(told.contains(word) && !told.contains(NUMBER), "{told}");
    }
    assert!(
        terminal.json("overview", NUMBER)["lines"]
            .as_array()
            .unwrap()
            .len()
            > 3
    );
    terminal.json(&format!("object {id}"), NUMBER);
    terminal.text(&format!("--as neutraal accept {id}"), "");
    let (code, text, error) = terminal.refused(&format!("--as uwv release {id}"), "");
    assert_eq!(
        (code, error["reason"].as_str()),
        (1, Some("OBJECTION_PENDING")),
        "{text}"
    );
    let decided = terminal.json(&format!("--as uwv-fg decide {id} --decision reject"), "");
    assert_eq!(decided["handover_id"], id.as_str());
    terminal.json(&format!("--as uwv release {id}"), "");
    // At once, whether or not the portal has heard of it.
    let id = text_of(&offer(terminal, ""), "handover_id");
    terminal.json(&format!("object {id}"), NUMBER);
}
