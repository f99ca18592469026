//! One handover of the year, told step by step: which call, and what each party could and could not see.
//!
//! Must never print a BSN, a point, a name or a field's value: it prints digests, lengths and labels.

use serde_json::{Value, json};

/// Longest line of a told step, in characters.
const LINE_CHARACTERS: usize = 100;

/// One handover, told.
pub(crate) struct Story {
    /// What it is about.
    pub(crate) title: String,
    /// Its steps.
    pub(crate) steps: Vec<Step>,
}

/// One step of it.
pub(crate) struct Step {
    /// The call, for example `Prepare`.
    pub(crate) call: &'static str,
    /// What happens, in a sentence or two.
    pub(crate) what: String,
    /// What was seen of it in this run.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// Each party, with what it saw and what it could not see.
    pub(crate) views: Vec<View>,
}

/// What one party saw of a step.
pub(crate) struct View {
    /// Who.
    pub(crate) party: &'static str,
    /// What it saw.
    pub(crate) sees: String,
    /// What it could not see.
    pub(crate) not: String,
}

impl View {
    /// What `party` `sees`, and what it does `not`.
    pub(crate) fn new(
        party: &'static str,
        sees: impl Into<String>,
        not: impl Into<String>,
    ) -> Self {
        Self {
            party,
            sees: sees.into(),
            not: not.into(),
        }
    }
}

impl Story {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "\n{}\n{}\n",
            self.title,
            "=".repeat(self.title.chars().count())
        );
        for (number, step) in (1_usize..).zip(&self.steps) {
            text.push_str(&format!("\n{number}. {}\n", step.call));
            text.push_str(&wrap("   ", "   ", &step.what));
            for (name, value) in &step.facts {
                text.push_str(&wrap(&format!("     {name:<22} "), &" ".repeat(28), value));
            }
            for view in &step.views {
                text.push_str(&wrap(
                    &format!("   {:<10} sees   ", view.party),
                    &" ".repeat(21),
                    &view.sees,
                ));
                if !view.not.is_empty() {
                    text.push_str(&wrap("              never  ", &" ".repeat(21), &view.not));
                }
            }
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|step| {
                let facts: serde_json::Map<String, Value> = step
                    .facts
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), json!(value)))
                    .collect();
                let views: Vec<_> = step
                    .views
                    .iter()
                    .map(
                        |view| json!({ "party": view.party, "sees": view.sees, "never": view.not }),
                    )
                    .collect();
                json!({ "call": step.call, "what": step.what, "facts": facts, "views": views })
            })
            .collect();
        json!({ "title": self.title, "steps": steps })
    }
}

/// Breaks `text` into lines, the first after `first`, the others after `next`.
pub(crate) fn wrap(first: &str, next: &str, text: &str) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let length = line.chars().count().saturating_add(word.chars().count());
        if length > LINE_CHARACTERS && !is_empty {
            out.push_str(line.trim_end());
            out.push('\n');
            next.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::{LINE_CHARACTERS, Step, Story, View, wrap};

    #[test]
    fn long_texts_are_broken_under_their_column() {
        let text = wrap("a: ", "   ", &"word ".repeat(60));
        assert!(text.lines().count() > 2);
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= LINE_CHARACTERS)
        );
        assert!(text.lines().skip(1).all(|line| line.starts_with("   word")));
    }

    #[test]
    fn a_story_has_every_step_and_view_in_both_forms() {
        let story = Story {
            title: "One".into(),
            steps: vec![Step {
                call: "Prepare",
                what: "Asks.".into(),
                facts: vec![("labels", "a, b".into())],
                views: vec![View::new("broker", "a handle", "who it is")],
            }],
        };
        let text = story.text();
        for part in ["1. Prepare", "Asks.", "labels", "a handle", "who it is"] {
            assert!(text.contains(part), "{part}");
        }
        assert_eq!(story.json()["steps"][0]["views"][0]["never"], "who it is");
    }
}
