//! The form of `register.toml`, and reading it with every mistake and its line.
//!
//! Must never fill in what the file leaves out, timers aside: a purpose without a basis is a mistake.

use super::check;
use super::{
    ConsentTerms, DataClass, LabelEntry, PrivacyNotice, Register, RegisterEntry, RegisterError,
    ReportTerms, Timers,
};
use crate::calendar::Day;
use crate::hex;
use crate::id::{Basis, Category, Label, PeerKind, Purpose};
use crate::policy::Stage;
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadFile {
    oversight_activity_uri: String,
    working_days: WorkingDaysFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkingDaysFile {
    holidays: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelFile {
    name: Label,
    category: Category,
    class: DataClass,
    stages: BTreeSet<Stage>,
    title_nl: String,
    title_en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    purpose: Purpose,
    sender_kinds: BTreeSet<PeerKind>,
    recipient_kinds: BTreeSet<PeerKind>,
    title_nl: String,
    title_en: String,
    controllers: Vec<String>,
    basis: Basis,
    basis_art6: String,
    law_article: String,
    basis_art9: String,
    secrecy_ground: String,
    labels_offer: BTreeSet<Label>,
    labels_dossier: BTreeSet<Label>,
    bsn_allowed: bool,
    #[serde(default)]
    to_centre: bool,
    #[serde(default)]
    after_completed: bool,
    retention_days: u32,
    log_retention_days: u32,
    notice_uri: String,
    notice_version: u32,
    notice_sha256: String,
    processing_activity_uri: String,
    dpia_ref: String,
    dpv_purpose: String,
    #[serde(default)]
    timers: Timers,
    consent: Option<ConsentTerms>,
    report: Option<ReportTerms>,
    to_be_confirmed: String,
}

/// Something read, with the line where it stands.
pub(super) struct Placed<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// Collects mistakes in one file.
pub(super) struct Mistakes<'a> {
    file: &'a str,
    text: &'a str,
    list: Vec<RegisterError>,
}

impl Mistakes<'_> {
    pub(super) fn add(&mut self, line: Option<usize>, message: impl Into<String>) {
        let (file, message) = (self.file.to_owned(), message.into());
        self.list.push(RegisterError {
            file,
            line,
            message,
        });
    }

    fn line(&self, offset: usize) -> usize {
        self.text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
            .saturating_add(1)
    }

    fn add_toml(&mut self, error: &toml::de::Error, otherwise: Option<usize>) {
        let line = error.span().map(|span| self.line(span.start)).or(otherwise);
        self.add(line, error.message());
    }
}

/// Reads the whole file.
pub(super) fn parse(file: &str, text: &str) -> Result<Register, Vec<RegisterError>> {
    let mut mistakes = Mistakes {
        file,
        text,
        list: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            mistakes.add_toml(&error, None);
            return Err(mistakes.list);
        }
    };
    let span = table.span();
    let (mut labels, mut entries, mut rest) = (Vec::new(), Vec::new(), DeTable::new());
    for (key, value) in table.into_inner() {
        match key.get_ref().as_ref() {
            "label" => labels = read_all::<LabelFile>(value, &mut mistakes),
            "entry" => entries = read_all::<EntryFile>(value, &mut mistakes),
            _ => {
                rest.insert(key, value);
            }
        }
    }
    let head = ValueDeserializer::from(Spanned::new(span, DeValue::Table(rest)));
    let head = HeadFile::deserialize(head)
        .map_err(|error| mistakes.add_toml(&error, None))
        .ok();
    let labels = labels.into_iter().map(label).collect();
    let entries = entries
        .into_iter()
        .flat_map(|placed| expand(placed, &mut mistakes))
        .collect();
    let holidays = head
        .as_ref()
        .map(|head| days(head, &mut mistakes))
        .unwrap_or_default();
    let register = check::assemble(labels, entries, &mut mistakes);
    match head {
        Some(head) if mistakes.list.is_empty() => Ok(Register {
            holidays,
            oversight_activity_uri: head.oversight_activity_uri,
            ..register
        }),
        _ => Err(mistakes.list),
    }
}

/// Reads each table of an array of tables on its own, so that one mistake does not hide the next.
fn read_all<'i, T: Deserialize<'i>>(
    value: Spanned<DeValue<'i>>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Placed<T>> {
    let line = mistakes.line(value.span().start);
    let DeValue::Array(items) = value.into_inner() else {
        mistakes.add(Some(line), "expected an array of tables");
        return Vec::new();
    };
    let mut read = Vec::new();
    for item in items {
        let line = mistakes.line(item.span().start);
        match T::deserialize(ValueDeserializer::from(item)) {
            Ok(value) => read.push(Placed { line, value }),
            Err(error) => mistakes.add_toml(&error, Some(line)),
        }
    }
    read
}

fn days(head: &HeadFile, mistakes: &mut Mistakes<'_>) -> BTreeSet<Day> {
    let mut days = BTreeSet::new();
    for spanned in &head.working_days.holidays {
        let line = Some(mistakes.line(spanned.span().start));
        let text = spanned.get_ref();
        match text.parse::<Day>() {
            Ok(day) if days.insert(day) => {}
            Ok(_) => mistakes.add(line, format!("holiday `{text}` occurs twice")),
            Err(_) => mistakes.add(line, format!("`{text}` is not a date as 2026-12-25")),
        }
    }
    days
}

fn label(placed: Placed<LabelFile>) -> Placed<LabelEntry> {
    let file = placed.value;
    Placed {
        line: placed.line,
        value: LabelEntry {
            label: file.name,
            category: file.category,
            class: file.class,
            stages: file.stages,
            title_nl: file.title_nl,
            title_en: file.title_en,
        },
    }
}

/// One entry for each pair of kinds.
fn expand(placed: Placed<EntryFile>, mistakes: &mut Mistakes<'_>) -> Vec<Placed<RegisterEntry>> {
    let Placed { line, value: file } = placed;
    let sha256 = hex::decode(&file.notice_sha256).and_then(|bytes| bytes.try_into().ok());
    let Some(sha256) = sha256 else {
        mistakes.add(
            Some(line),
            "notice_sha256 is not 64 lowercase hexadecimal digits",
        );
        return Vec::new();
    };
    if file.sender_kinds.is_empty() || file.recipient_kinds.is_empty() {
        mistakes.add(
            Some(line),
            "an entry needs at least one sender kind and one recipient kind",
        );
    }
    let notice = PrivacyNotice {
        uri: file.notice_uri,
        version: file.notice_version,
        sha256,
    };
    let mut expanded = Vec::new();
    for sender_kind in &file.sender_kinds {
        for recipient_kind in &file.recipient_kinds {
            let value = RegisterEntry {
                purpose: file.purpose.clone(),
                sender_kind: *sender_kind,
                recipient_kind: *recipient_kind,
                title_nl: file.title_nl.clone(),
                title_en: file.title_en.clone(),
                controllers: file.controllers.clone(),
                basis: file.basis.clone(),
                basis_art6: file.basis_art6.clone(),
                law_article: file.law_article.clone(),
                basis_art9: file.basis_art9.clone(),
                secrecy_ground: file.secrecy_ground.clone(),
                labels_offer: file.labels_offer.clone(),
                labels_dossier: file.labels_dossier.clone(),
                bsn_allowed: file.bsn_allowed,
                to_centre: file.to_centre,
                after_completed: file.after_completed,
                retention_days: file.retention_days,
                log_retention_days: file.log_retention_days,
                notice: notice.clone(),
                processing_activity_uri: file.processing_activity_uri.clone(),
                dpia_ref: file.dpia_ref.clone(),
                dpv_purpose: file.dpv_purpose.clone(),
                timers: file.timers,
                consent: file.consent.clone(),
                report: file.report.clone(),
                to_be_confirmed: file.to_be_confirmed.clone(),
            };
            expanded.push(Placed { line, value });
        }
    }
    expanded
}
