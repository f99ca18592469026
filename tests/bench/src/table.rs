//! What is printed: rows under headings, or one JSON object; and whether each target was met.
//!
//! Must never round a figure to the better side of its target, and must never end without a word about a
//! target that was missed or a call that failed.

use serde_json::{Map, Value, json};

/// Rows so far.
pub(crate) struct Table {
    as_json: bool,
    heading: String,
    sections: Map<String, Value>,
    not_met: Vec<String>,
    failed: Vec<String>,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    /// Rounded to thousandths, to the worse side.
    fn rounded(self, value: f64) -> f64 {
        match self {
            Self::AtMost(_) => (value * 1e3).ceil() / 1e3,
            Self::AtLeast(_) => (value * 1e3).floor() / 1e3,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("≤ {}", short(bound)),
            Self::AtLeast(bound) => format!("≥ {}", short(bound)),
        }
    }
}

impl Table {
    pub(crate) fn new(as_json: bool) -> Self {
        Self {
            as_json,
            heading: String::new(),
            sections: Map::new(),
            not_met: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// The machine, as far as it matters for the figures.
    pub(crate) fn facts(&mut self, concurrency: usize) {
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        self.heading("machine");
        self.text("processor", model);
        self.number("processors", processors as f64, "");
        self.text("load before the run (1 minute)", &load);
        self.number("calls at the same time", concurrency as f64, "");
        self.text("SQLite", "WAL, full sync");
    }

    /// Rows from here on stand under this.
    pub(crate) fn heading(&mut self, text: &str) {
        if !self.as_json {
            println!("\n{text}");
        }
        text.clone_into(&mut self.heading);
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        if !self.as_json {
            println!("  {name:<64} {text}");
        }
        self.keep(name, json!(text));
    }

    pub(crate) fn number(&mut self, name: &str, value: f64, unit: &str) {
        if !self.as_json {
            println!("  {name:<64} {value:>10.1} {unit}");
        }
        self.keep(name, json!({ "value": value, "unit": unit }));
    }

    /// A ratio that has no target.
    pub(crate) fn ratio(&mut self, name: &str, value: f64) {
        if !self.as_json {
            println!("  {name:<64} {value:>10.3}");
        }
        self.keep(name, json!({ "value": value, "unit": "" }));
    }

    /// A figure beside its target.
    pub(crate) fn target(&mut self, name: &str, value: f64, unit: &str, target: Target) {
        let is_met = target.is_met_by(value);
        let text = target.text();
        let verdict = if is_met { "met" } else { "NOT MET" };
        if !self.as_json {
            let rounded = target.rounded(value);
            let unit = spaced(unit);
            println!("  {name:<64} {rounded:>10.3}{unit} (target {text}) {verdict}");
        }
        if !is_met {
            let rounded = target.rounded(value);
            let missed = format!(
                "{}: {name}: {rounded:.3}{}, target {text}",
                self.heading,
                spaced(unit)
            );
            self.not_met.push(missed);
        }
        let kept = json!({ "value": value, "unit": unit, "target": text, "met": is_met });
        self.keep(name, kept);
    }

    /// A call that should have succeeded and did not, or succeeded and should not have.
    pub(crate) fn failed(&mut self, what: &str) {
        if !self.as_json {
            println!("  FAILED: {what}");
        }
        self.failed.push(format!("{}: {what}", self.heading));
    }

    /// Prints what is left to say; gives whether every call did what it should.
    pub(crate) fn finish(self) -> bool {
        if self.as_json {
            let all = json!({
                "sections": self.sections, "not_met": self.not_met, "failed": self.failed,
            });
            println!("{all}");
        } else {
            let lines = |name: &str, of: &[String]| {
                println!("\n{name}: {}", if of.is_empty() { "none" } else { "" });
                of.iter().for_each(|line| println!("  {line}"));
            };
            lines("targets that are not met", &self.not_met);
            lines("calls that failed", &self.failed);
        }
        self.failed.is_empty()
    }

    fn keep(&mut self, name: &str, value: Value) {
        let section = self.sections.entry(self.heading.clone());
        let section = section.or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(rows) = section {
            rows.insert(name.to_owned(), value);
        }
    }
}

/// A bound with three decimals at most: a third is written as 0.333.
fn short(bound: f64) -> f64 {
    (bound * 1e3).round() / 1e3
}

fn spaced(unit: &str) -> String {
    if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Target};

    #[test]
    fn a_figure_is_never_rounded_to_the_better_side() {
        let (most, least) = (Target::AtMost(2.0), Target::AtLeast(0.5));
        assert_eq!(most.rounded(2.000_01), 2.001);
        assert_eq!(least.rounded(0.499_99), 0.499);
        assert!(!most.is_met_by(2.000_01) && !least.is_met_by(0.499_99));
        assert!(most.is_met_by(2.0) && least.is_met_by(0.5));
    }

    #[test]
    fn a_missed_target_is_told_and_only_a_failed_call_is_a_failure() {
        let mut table = Table::new(true);
        table.heading("a part");
        table.target("a row", 3.0, "ms", Target::AtMost(2.0));
        assert_eq!(table.not_met, ["a part: a row: 3.000 ms, target ≤ 2"]);
        assert!(table.finish());
        let mut table = Table::new(true);
        table.failed("a call");
        assert!(!table.finish());
    }
}
