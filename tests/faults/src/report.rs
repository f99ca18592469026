//! What a run came to, for people and for machines.
//!
//! Must never leave out what was wrong.

use crate::harm::Yard;
use crate::journal::Taken;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many violations are printed; all are counted.
const SHOWN_MAX: usize = 40;

/// What the run was.
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) engine: &'static str,
    pub(crate) brokers: usize,
    pub(crate) again: String,
    /// How long it took until all was finished after the healing.
    pub(crate) finishing: Duration,
    /// How far a broker's clock was seen to be off, at most.
    pub(crate) clock_off_millis: i64,
    /// What became of every process until all was healed.
    pub(crate) processes: BTreeMap<String, Value>,
    pub(crate) people: usize,
    pub(crate) not_done: Vec<String>,
}

/// All that is printed.
pub(crate) fn value(
    run: &Run,
    taken: &Taken,
    yard: &Yard,
    (checked, wrong): (&BTreeMap<&'static str, u64>, &[String]),
) -> Value {
    let cuts: u64 = yard.proxies.iter().map(|proxy| proxy.cuts()).sum();
    let refused: u64 = taken.refused.values().sum();
    json!({
        "seed": run.seed, "seconds": run.seconds, "engine": run.engine, "brokers": run.brokers,
        "people": run.people,
        "acknowledged_changes": taken.acts.len(), "acknowledged_reads": taken.reads.len(),
        "refused_or_failed": refused, "refused_or_failed_by_code": taken.refused,
        "unknown_outcomes": taken.unknown,
        "harm": *yard.done.lock().unwrap(), "processes": run.processes, "connections_cut": cuts,
        "longest_silence_seconds": seconds(taken.longest_silence),
        "clock_seen_off_seconds": run.clock_off_millis / 1_000,
        "finishing_seconds": seconds(run.finishing),
        "not_done": run.not_done, "errors_logged": errors(yard),
        "checked": checked, "wrong": wrong, "again": run.again,
    })
}

/// What became of every process until now.
pub(crate) fn processes(yard: &Yard) -> BTreeMap<String, Value> {
    let servers = yard.servers.iter().map(|server| {
        let tally = server.tally();
        let told = json!({
            "kills": tally.kills, "starts": tally.starts, "ended_by_itself": tally.ended_by_itself,
            "longest_away_seconds": seconds(tally.longest_away),
        });
        (server.name.clone(), told)
    });
    let mut servers: BTreeMap<String, Value> = servers.collect();
    if let Some(postgres) = &yard.postgres {
        let told = json!({
            "kills": postgres.kills(),
            "longest_away_seconds": seconds(postgres.longest_away()),
        });
        servers.insert("database".to_owned(), told);
    }
    servers
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// What the servers logged as errors ("somebody must look"), and how often.
fn errors(yard: &Yard) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    for server in &yard.servers {
        for line in server.logged("\"ERROR\"") {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let fields = &line["fields"];
            let text = |key: &str| fields[key].as_str().unwrap_or_default();
            let why = [text("error"), text("causes")].concat();
            let key = format!("{}: {} {why}", server.name, text("message"));
            *errors.entry(key).or_default() += 1;
        }
    }
    errors
}

/// The same as a table.
pub(crate) fn print(report: &Value) {
    println!("\nfault run");
    for key in [
        "seed",
        "seconds",
        "engine",
        "brokers",
        "people",
        "acknowledged_changes",
        "acknowledged_reads",
        "refused_or_failed",
        "unknown_outcomes",
        "connections_cut",
        "longest_silence_seconds",
        "clock_seen_off_seconds",
        "finishing_seconds",
    ] {
        let value = &report[key];
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        println!("  {:<44} {text:>10}", key.replace('_', " "));
    }
    for (heading, key) in [
        ("done", "harm"),
        ("refused or failed", "refused_or_failed_by_code"),
        ("logged as errors", "errors_logged"),
        ("held against one another", "checked"),
    ] {
        println!("{heading}");
        for (name, value) in report[key].as_object().unwrap() {
            println!("  {name:<44} {value:>10}");
        }
    }
    println!(
        "{:<20}{:>8}{:>8}{:>18}{:>16}",
        "process", "kills", "starts", "ended by itself", "longest away"
    );
    for (name, told) in report["processes"].as_object().unwrap() {
        let text = |key: &str| {
            told[key]
                .as_u64()
                .map_or_else(String::new, |count| count.to_string())
        };
        let away = told["longest_away_seconds"].as_f64().unwrap();
        let (kills, starts, ended) = (text("kills"), text("starts"), text("ended_by_itself"));
        println!("{name:<20}{kills:>8}{starts:>8}{ended:>18}{away:>14.1} s");
    }
    for text in report["not_done"].as_array().unwrap() {
        println!("not done: {}", text.as_str().unwrap());
    }
    let wrong = report["wrong"].as_array().unwrap();
    for text in wrong.iter().take(SHOWN_MAX) {
        println!("WRONG: {}", text.as_str().unwrap());
    }
    if wrong.is_empty() {
        println!("nothing was lost");
    } else {
        println!(
            "{} findings; again: {}",
            wrong.len(),
            report["again"].as_str().unwrap()
        );
    }
}
