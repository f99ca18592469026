//! `sluis doctor`: looks a role over, from the outside in, and says what is in order and what is not.
//!
//! Must never change anything, must never take long, and must never print a secret or anything about a
//! person or an exchange: ages and counts of the role's own work are all it reads from rows.

mod certificates;
mod database;
mod files;
mod peers;
mod process;
mod waiting;

use crate::cli::error::EXIT_USAGE;
use crate::cli::output::{Answer, end, fail, print};
use crate::clock::SystemClock;
use crate::configuration::{Configuration, Role};
use crate::grpc::status::causes;
use crate::memory;
use rules::clock::{ClockWatch, Reading, Standing, Timestamp};
use rules::limits::{DAY_MILLIS, HOUR_MILLIS, MINUTE_MILLIS};
use serde_json::{Value, json};
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Longest time that one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);
/// Apart by more than this, two clocks are worth a look; what they may differ at most is
/// [`rules::limits::CLOCK_SKEW_MILLIS_MAX`].
const CLOCK_SKEW_MILLIS_WARNING: i64 = 2_000;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// In order.
    Ok,
    /// Works, and somebody should look.
    Warning,
    /// Does not work, or not as it must.
    Fault,
    /// Not for this role or engine, or not to be seen because of an earlier fault.
    NotApplicable,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// One check and what it found.
#[derive(Clone, Debug)]
struct Check {
    name: String,
    outcome: Outcome,
    /// What was seen, and where.
    text: String,
    /// What to do; empty where there is nothing to do.
    remedy: String,
}

impl Check {
    fn new(
        outcome: Outcome,
        name: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        // A line for each check, whatever an error has to say.
        let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Self {
            name: name.into(),
            outcome,
            text: one_line(text.into()),
            remedy: one_line(remedy.into()),
        }
    }

    fn ok(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Outcome::Ok, name, text, "")
    }

    fn not_applicable(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Outcome::NotApplicable, name, text, "")
    }

    fn warning(
        name: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Outcome::Warning, name, text, remedy)
    }

    fn fault(name: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Outcome::Fault, name, text, remedy)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "outcome": self.outcome.name(),
            "text": self.text,
            "remedy": self.remedy,
        })
    }

    fn line(&self) -> String {
        let line = format!("{:<15} {}: {}", self.outcome.name(), self.name, self.text);
        if self.remedy.is_empty() {
            line
        } else {
            format!("{line}; to do: {}", self.remedy)
        }
    }
}

/// Looks the role of a configuration over and prints what was found.
pub async fn run(path: &Path, json: bool) -> ExitCode {
    let configuration = match Configuration::load(path) {
        Ok(configuration) => configuration,
        Err(error) => {
            let text = causes(&error);
            let value = json!({ "error": { "kind": "failed", "text": text } });
            fail(&format!("sluis: {text}"), json.then_some(&value));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let checks = examine(path, &configuration).await;
    let count = |outcome| checks.iter().filter(|one| one.outcome == outcome).count();
    let (warnings, faults) = (count(Outcome::Warning), count(Outcome::Fault));
    let mut lines: Vec<String> = checks.iter().map(Check::line).collect();
    lines.push(format!(
        "{} checks; faults: {faults}, warnings: {warnings}",
        checks.len()
    ));
    let report = json!({
        "role": configuration.role.name(),
        "checks": checks.iter().map(Check::json).collect::<Vec<Value>>(),
        "warnings": warnings,
        "faults": faults,
    });
    let printed = print(&Answer::new(lines.join("\n"), report), json);
    end(printed, ExitCode::from(u8::from(faults > 0)))
}

/// All checks, in the order in which a role needs what they look at.
async fn examine(path: &Path, configuration: &Configuration) -> Vec<Check> {
    let begun = Reading::take(&SystemClock, &SystemClock);
    let now = begun.wall;
    let mut checks = vec![
        files::configuration(path, configuration),
        files::key_file(configuration, now),
        files::door_key(configuration),
    ];
    checks.extend(certificates::validity(configuration, now));
    checks.push(certificates::shown(configuration).await);
    let looked = database::look(configuration, now).await;
    checks.push(certificates::known(
        configuration,
        looked.directory.as_ref(),
    ));
    let directory = looked.directory.as_ref().ok();
    checks.push(certificates::directory_end(directory, now));
    checks.extend(looked.checks);
    checks.push(match &configuration.role {
        Role::Broker(settings) => files::day_keys(&settings.day_keys, now),
        Role::Holder(_) | Role::Portal(_) => {
            Check::not_applicable("day keys", "only a broker has them")
        }
    });
    checks.push(files::own_files(configuration));
    checks.push(files::disk(configuration));
    checks.push(memory());
    checks.push(in_time(process::NAME, process::look(configuration)).await);
    checks.extend(peers::look(configuration, directory).await);
    checks.push(own_clock(begun, Reading::take(&SystemClock, &SystemClock)));
    checks
}

/// Whether keys may reach a disk that memory is swapped to, with the limits of whoever runs this.
fn memory() -> Check {
    let name = "memory";
    if memory::may_lock() {
        return Check::ok(name, "a role started like this locks its memory");
    }
    if !memory::is_swapped() {
        return Check::ok(name, "this machine does not swap");
    }
    let text = "a role started like this cannot lock its memory, and this machine swaps: keys may reach the disk";
    Check::warning(name, text, memory::REMEDY)
}

/// Whether this machine's clock went as time does while everything else was looked at.
fn own_clock(begun: Reading, ended: Reading) -> Check {
    let name = "clock";
    match ClockWatch::new(begun).look(ended) {
        Standing::Jumped(millis) => {
            let side = if millis > 0 { "ahead" } else { "back" };
            let text = format!("it jumped {side} by {} while this ran", age(millis.abs()));
            let remedy = "find out who sets it: a time server (NTP) leads it slowly";
            Check::fault(name, text, remedy)
        }
        Standing::Agrees | Standing::Unsettled | Standing::Settled => {
            Check::ok(name, "it went as time does while this ran")
        }
    }
}

/// The check that `work` gives, or that it took too long.
async fn in_time(name: &str, work: impl Future<Output = Check>) -> Check {
    match tokio::time::timeout(CHECK_TIMEOUT, work).await {
        Ok(check) => check,
        Err(_) => Check::fault(
            name,
            format!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
            "find out what hangs: the disk, the network or the server",
        ),
    }
}

/// How far another clock is from ours, which was read before and after the other was: a difference smaller
/// than the time in between cannot be seen.
fn compare_clocks(name: &str, before: Timestamp, theirs: Timestamp, after: Timestamp) -> Check {
    let ahead = theirs.millis_since(after).max(0);
    let behind = before.millis_since(theirs).max(0);
    let skew = ahead.max(behind);
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let remedy = "let both machines follow the same time servers (NTP)";
    if skew > rules::limits::CLOCK_SKEW_MILLIS_MAX {
        Check::fault(name, format!("{} {side} this machine's", age(skew)), remedy)
    } else if skew > CLOCK_SKEW_MILLIS_WARNING {
        Check::warning(name, format!("{} {side} this machine's", age(skew)), remedy)
    } else {
        Check::ok(name, format!("less than {} apart", age(skew.max(1_000))))
    }
}

/// A length of time for people, in its two largest units.
fn age(millis: i64) -> String {
    let (days, hours) = (millis / DAY_MILLIS, millis % DAY_MILLIS / HOUR_MILLIS);
    let minutes = millis % HOUR_MILLIS / MINUTE_MILLIS;
    let seconds = millis % MINUTE_MILLIS / 1_000;
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::clock::{Clock, Steady};

    #[test]
    fn a_clock_is_judged_by_what_can_be_seen_of_it() {
        let at = Timestamp::from_millis;
        for (theirs, expected) in [
            (1_000, Outcome::Ok),
            (1_200, Outcome::Ok),
            (3_400, Outcome::Ok),
            (3_401, Outcome::Warning),
            (-1_001, Outcome::Warning),
            (31_400, Outcome::Warning),
            (31_401, Outcome::Fault),
            (-29_001, Outcome::Fault),
        ] {
            let check = compare_clocks("clock", at(1_000), at(theirs), at(1_400));
            assert_eq!(check.outcome, expected, "{theirs}: {}", check.text);
        }
    }

    /// A wall clock and a count, as they stand.
    struct Stand(i64, i64);

    impl Clock for Stand {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    impl Steady for Stand {
        fn millis(&self) -> i64 {
            self.1
        }
    }

    #[test]
    fn a_clock_that_jumps_while_it_is_looked_at_is_found() {
        let at = |wall, steady| Reading::take(&Stand(wall, 0), &Stand(0, steady));
        for (wall, outcome, said) in [
            (4_000, Outcome::Ok, "as time does"),
            (3_604_000, Outcome::Fault, "ahead by 1 h 0 min"),
            (-56_001, Outcome::Fault, "back by 1 min 0 s"),
        ] {
            let check = own_clock(at(0, 0), at(wall, 4_000));
            assert_eq!(check.outcome, outcome, "{}", check.text);
            assert!(check.text.contains(said), "{}", check.text);
        }
    }

    #[test]
    fn an_age_is_said_in_two_units() {
        for (millis, expected) in [
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (HOUR_MILLIS + MINUTE_MILLIS, "1 h 1 min"),
            (2 * DAY_MILLIS + 3 * HOUR_MILLIS, "2 d 3 h"),
        ] {
            assert_eq!(age(millis), expected);
        }
    }

    #[test]
    fn a_check_is_one_line() {
        let check = Check::fault("a", "one\n  two", "three");
        assert_eq!(check.line(), "fault           a: one two; to do: three");
    }
}
