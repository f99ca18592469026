//! A table of mistakes as it lies in a file.
//!
//! Must never pass over a line that it does not understand.

use std::fmt::{Display, Formatter, Result};

/// One mistake.
pub(super) struct Mistake {
    /// What somebody does, in words.
    pub(super) title: String,
    /// Lines of shell that make the ground; they are well.
    pub(super) ground: String,
    /// What is typed.
    pub(super) typed: String,
    /// How it ends.
    pub(super) code: i32,
    /// What it says, made even.
    pub(super) text: String,
}

impl Mistake {
    /// Whether the command knows `--json`, and is one command that may be typed twice.
    pub(super) fn is_for_programs(&self) -> bool {
        self.typed.contains("sluis ") && !self.typed.ends_with("# once")
    }
}

/// A file of mistakes.
pub(super) struct Table {
    /// What the file is about: its first lines, each after `# `.
    about: String,
    /// Lines of shell that make the ground for all.
    pub(super) ground: String,
    /// The mistakes, in their order.
    pub(super) mistakes: Vec<Mistake>,
}

impl Table {
    pub(super) fn read(file: &str) -> Self {
        let mut table = Self {
            about: String::new(),
            ground: String::new(),
            mistakes: Vec::new(),
        };
        for line in file.lines() {
            table.take(line);
        }
        table
    }

    fn take(&mut self, line: &str) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (kind, self.mistakes.last_mut()) {
            ("", _) => {}
            ("##", _) => self.mistakes.push(Mistake {
                title: rest.to_owned(),
                ground: String::new(),
                typed: String::new(),
                code: 0,
                text: String::new(),
            }),
            ("#", None) => add(&mut self.about, rest),
            (">", None) => add(&mut self.ground, rest),
            (">", Some(mistake)) => add(&mut mistake.ground, rest),
            ("$", Some(mistake)) => rest.clone_into(&mut mistake.typed),
            ("exit", Some(mistake)) => mistake.code = rest.parse().unwrap(),
            ("|", Some(mistake)) => add(&mut mistake.text, rest),
            _ => panic!("a line of no kind: {line}"),
        }
    }
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let lines = |f: &mut Formatter<'_>, mark: &str, text: &str| {
            for line in text.lines() {
                let line = format!("{mark} {line}");
                writeln!(f, "{}", line.trim_end())?;
            }
            Ok(())
        };
        lines(f, "#", &self.about)?;
        lines(f, ">", &self.ground)?;
        for mistake in &self.mistakes {
            writeln!(f, "\n## {}", mistake.title)?;
            lines(f, ">", &mistake.ground)?;
            writeln!(f, "$ {}\nexit {}", mistake.typed, mistake.code)?;
            lines(f, "|", &mistake.text)?;
        }
        Ok(())
    }
}
