//! Reads a TOML table field by field and keeps every mistake, so that an operator repairs a file in
//! one go.
//!
//! Must never fill in a value that the file does not have, and never print the value of a field.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the field, for example `tls.certificate` or `holders[1].oin`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
    /// In which line of the file, from 1; of a missing field that of its table; none for one missing at the top.
    pub line: Option<usize>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "line {line}: ")?;
        }
        write!(out, "`{}` {}", self.field, self.description)
    }
}

/// A table that is emptied by reading; what is left at the end is unknown.
pub(super) struct Fields<'a> {
    table: toml::Table,
    path: String,
    folder: &'a Path,
    mistakes: Vec<Mistake>,
    /// Whether what is left at the end is unknown.
    knows_all: bool,
}

impl<'a> Fields<'a> {
    /// The whole file. Relative paths in it start at `folder`, where the file is.
    pub(super) fn root(table: toml::Table, folder: &'a Path) -> Self {
        Self {
            table,
            path: String::new(),
            folder,
            mistakes: Vec::new(),
            knows_all: true,
        }
    }

    /// What is left at the end may be right: it cannot be told what belongs here.
    pub(super) fn cannot_know_all(&mut self) {
        self.knows_all = false;
    }

    /// Notes a mistake in `field`.
    pub(super) fn mistake(&mut self, field: &str, description: impl Into<String>) {
        let field = self.name(field);
        self.mistakes.push(Mistake {
            field,
            description: description.into(),
            line: None,
        });
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        let text = self.optional_text(field);
        if text.is_none() {
            self.missing(field);
        }
        text
    }

    /// A text that may be absent.
    pub(super) fn optional_text(&mut self, field: &str) -> Option<String> {
        match self.table.remove(field)? {
            toml::Value::String(text) if !text.is_empty() => Some(text),
            _ => {
                self.mistake(field, "is not a text, or is empty");
                None
            }
        }
    }

    /// A text that must be there and that `parse` accepts.
    pub(super) fn parsed<T>(
        &mut self,
        field: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(field)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(description) => {
                self.mistake(field, description);
                None
            }
        }
    }

    /// A file that must be there and be readable.
    pub(super) fn file(&mut self, field: &str) -> Option<PathBuf> {
        let path = self.path(field)?;
        if !path.is_file() {
            self.mistake(
                field,
                format!("names the file `{}`, which is not there", path.display()),
            );
        }
        Some(path)
    }

    /// A path that need not be there yet; relative ones start where the configuration file is.
    pub(super) fn path(&mut self, field: &str) -> Option<PathBuf> {
        let text = self.text(field)?;
        Some(self.folder.join(text))
    }

    /// A path that may be absent.
    pub(super) fn optional_path(&mut self, field: &str) -> Option<PathBuf> {
        let text = self.optional_text(field)?;
        Some(self.folder.join(text))
    }

    /// A whole number of at least one that may be absent.
    pub(super) fn optional_count(&mut self, field: &str) -> Option<u32> {
        let value = self.table.remove(field)?;
        let count = value
            .as_integer()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0);
        if count.is_none() {
            self.mistake(field, "is not a whole number from 1 to 4294967295");
        }
        count
    }

    /// Reads a list of texts that may be absent, which is an empty one.
    pub(super) fn optional_texts<T>(
        &mut self,
        field: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let Some(value) = self.table.remove(field) else {
            return Some(Vec::new());
        };
        let texts = value.as_array().and_then(|list| {
            let texts = list.iter().map(toml::Value::as_str);
            texts.collect::<Option<Vec<_>>>()
        });
        let Some(texts) = texts else {
            self.mistake(field, "is not a list of texts: write [\"…\", \"…\"]");
            return None;
        };
        let parsed: Result<Vec<T>, String> = texts.into_iter().map(parse).collect();
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                self.mistake(field, wrong);
                None
            }
        }
    }

    /// Reads a table that must be there.
    pub(super) fn table<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.table.remove(field) {
            Some(toml::Value::Table(table)) => self.nested(field, table, read),
            Some(_) => {
                self.mistake(field, format!("is not a table: write `[{field}]`"));
                None
            }
            None => {
                self.missing(field);
                None
            }
        }
    }

    /// Reads a list of tables with at least one in it.
    pub(super) fn list<T>(
        &mut self,
        field: &str,
        mut read: impl FnMut(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(value) = self.table.remove(field) else {
            self.missing(field);
            return None;
        };
        let toml::Value::Array(values) = value else {
            self.mistake(field, format!("is not a list: write `[[{field}]]`"));
            return None;
        };
        if values.is_empty() {
            self.mistake(field, "needs at least one");
        }
        let mut items = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            let name = format!("{field}[{index}]");
            match value {
                toml::Value::Table(table) => items.push(self.nested(&name, table, &mut read)),
                _ => self.mistake(&name, "is not a table"),
            }
        }
        items.into_iter().collect()
    }

    /// Every mistake; fields that nobody asked for are mistakes too.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        self.note_unknown();
        self.mistakes
    }

    fn nested<T>(
        &mut self,
        field: &str,
        table: toml::Table,
        read: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let mut nested = Fields {
            table,
            path: self.name(field),
            folder: self.folder,
            mistakes: Vec::new(),
            knows_all: true,
        };
        let value = read(&mut nested);
        nested.note_unknown();
        self.mistakes.append(&mut nested.mistakes);
        value
    }

    fn note_unknown(&mut self) {
        if !self.knows_all {
            return;
        }
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for field in unknown {
            self.mistake(&field, "is unknown here; an unknown field is never ignored");
        }
    }

    fn missing(&mut self, field: &str) {
        let name = self.name(field);
        // A field of a wrong type has its mistake already.
        if !self.mistakes.iter().any(|mistake| mistake.field == name) {
            self.mistake(field, "is missing");
        }
    }

    fn name(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }
}
