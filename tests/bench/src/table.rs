//! What is printed: rows under headings, or one JSON object.
//!
//! Must never round a ratio to the better side.

use serde_json::{Map, Value, json};

/// Rows so far.
pub(crate) struct Table {
    as_json: bool,
    values: Map<String, Value>,
}

impl Table {
    pub(crate) fn new(as_json: bool) -> Self {
        Self {
            as_json,
            values: Map::new(),
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
        self.text("database", "SQLite, WAL, full sync");
    }

    pub(crate) fn heading(&mut self, text: &str) {
        if !self.as_json {
            println!("\n{text}");
        }
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        if !self.as_json {
            println!("  {name:<58} {text}");
        }
        self.values.insert(name.to_owned(), json!(text));
    }

    pub(crate) fn number(&mut self, name: &str, value: f64, unit: &str) {
        if !self.as_json {
            println!("  {name:<58} {value:>10.1} {unit}");
        }
        self.values.insert(name.to_owned(), json!(value));
    }

    /// A ratio beside its target.
    pub(crate) fn ratio(&mut self, name: &str, value: f64, target: &str) {
        if !self.as_json {
            println!("  {name:<58} {value:>10.3} (target {target})");
        }
        self.values
            .insert(name.to_owned(), json!({ "ratio": value, "target": target }));
    }

    pub(crate) fn finish(self) {
        if self.as_json {
            println!("{}", Value::from(self.values));
        } else {
            println!();
        }
    }
}
