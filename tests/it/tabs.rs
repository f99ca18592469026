//! A person at two screens at once, and a person who stops while something is away: what was said last
//! stands, and stopping needs nobody but the broker.
//!
//! Must never let the order of two answers decide: only what stands afterwards is looked at.

use crate::cli::{NUMBER, Terminal, in_days, said, text_of};
use crate::database::Beside;
use crate::house::program;
use crate::laid::Laid;
use serde_json::Value;
use std::process::Command;

/// Rounds of two calls at once.
const ROUNDS: usize = 6;

fn give() -> String {
    format!(
        "consent give --from vakbond --to neutraal --category IDENTITY --category WORK --until {}",
        in_days(30)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_giving_and_stopping_at_once_leave_one_choice_standing() {
    let terminal = Terminal::open().await;
    for round in 0..ROUNDS {
        let first = text_of(&terminal.json(&give(), NUMBER), "consent_id");
        let (stopped, second) = std::thread::scope(|scope| {
            let stop = format!("consent stop {first}");
            let stop = scope.spawn({
                let terminal = &terminal;
                move || terminal.say(&stop, NUMBER)
            });
            let give = scope.spawn(|| terminal.json(&give(), NUMBER));
            (stop.join().unwrap(), give.join().unwrap())
        });
        // The new one may have taken the old one's place before it was stopped.
        assert!(
            stopped.code == 0 || stopped.err.contains("CONSENT_NOT_ACTIVE"),
            "{}",
            stopped.err
        );
        let second = text_of(&second, "consent_id");
        let listed = terminal.json("consent list", NUMBER);
        let standing: Vec<&Value> = listed["consents"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|consent| consent["state"] == "GIVEN")
            .collect();
        assert_eq!(standing.len(), 1, "round {round}: {listed}");
        assert_eq!(standing[0]["consent_id"], second.as_str());
        terminal.json(&format!("consent stop {second}"), NUMBER);
    }
    // Two tabs stop the same one: it is stopped, whoever came first.
    let last = text_of(&terminal.json(&give(), NUMBER), "consent_id");
    let stop = format!("consent stop {last}");
    let both = std::thread::scope(|scope| {
        let tabs = [(), ()].map(|()| scope.spawn(|| terminal.say(&stop, NUMBER)));
        tabs.map(|tab| tab.join().unwrap())
    });
    assert!(both.iter().any(|answer| answer.code == 0));
    let listed = terminal.json("consent list", NUMBER);
    let is_given = |consent: &Value| consent["state"] == "GIVEN";
    assert!(!listed["consents"].as_array().unwrap().iter().any(is_given));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_needs_no_key_holder() {
    let mut laid = Laid::open().await;
    let folder = laid.path();
    let sluis = |words: &str, input: &str| {
        let mut command = Command::new(program());
        command.arg("--sandbox").arg(&folder).args(words.split(' '));
        said(command.arg("--json"), input)
    };
    for name in ["vakbond", "neutraal", "portal"] {
        drop(laid.client(name).await);
    }
    let answer = |words: &str, input: &str| -> Value {
        let answer = sluis(words, input);
        assert_eq!(answer.code, 0, "{words}: {}{}", answer.out, answer.err);
        serde_json::from_str(&answer.out).unwrap()
    };
    let code = text_of(&answer("link vakbond", NUMBER), "code");
    answer(
        &format!("--as vakbond redeem-link --person lid-1 {code}"),
        "",
    );
    let given = answer(&give(), NUMBER);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/offer-consent.example.toml"
    );
    let offer = format!("--as vakbond offer --person lid-1 --to neutraal --file {file}");
    let offered = text_of(&answer(&offer, ""), "handover_id");

    for holder in ["holder-1", "holder-2"] {
        laid.kill(holder);
    }
    let stop = format!("consent stop-by-code {}", text_of(&given, "stop_code"));
    assert_eq!(answer(&stop, "")["ended_handovers"], 1);
    let shown = answer(&format!("--as vakbond show {offered}"), "");
    assert_eq!(shown["state"], "WITHDRAWN");

    // The broker it does need, and the portal says which of the two is away.
    laid.kill("broker");
    let away = sluis(&give(), NUMBER);
    assert_eq!(away.code, 1, "{}{}", away.out, away.err);
    assert!(away.out.contains("BROKER_UNAVAILABLE"), "{}", away.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_needs_no_policy_set() {
    let terminal = Terminal::open().await;
    let code = text_of(&terminal.json("link vakbond", NUMBER), "code");
    terminal.json(
        &format!("--as vakbond redeem-link --person lid-1 {code}"),
        "",
    );
    let given = terminal.json(&give(), NUMBER);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/offer-consent.example.toml"
    );
    let offer = format!("--as vakbond offer --person lid-1 --to neutraal --file {file}");
    let offered = text_of(&terminal.json(&offer, ""), "handover_id");

    // Another broker put a set in force that this one cannot read.
    let mut database = Beside::of(&terminal.folder().join("processes/broker")).await;
    let unknown = "UPDATE in_force SET policy_sha256 = $1";
    assert_eq!(database.execute_with(unknown, &[0; 32]).await, 1);
    let refused = terminal.say(&format!("{offer} --json"), "");
    assert!(refused.out.contains("POLICY_STALE"), "{}", refused.out);
    let stop = format!("consent stop-by-code {}", text_of(&given, "stop_code"));
    assert_eq!(terminal.json(&stop, "")["ended_handovers"], 1);
    terminal.house().settle().await;
    let payloads = database.number("SELECT COUNT(*) FROM payload").await;
    assert_eq!(payloads, 0, "nothing of {offered} is left");
}
