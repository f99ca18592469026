//! Pages of what a person sees: so much at a time, and where it goes on.
//!
//! Must never decide anything: what stands, what can be stopped and what can be objected to is read whole, and only
//! what is shown comes in pages.

use super::overview::{OverviewLine, Remedy};
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, ConsentState, Language};
use rules::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use rules::reason::Reason;
use std::collections::BTreeMap;
use vault::digest::sha256_parts;

/// Octets of where lines or consents go on.
const MARK_BYTES: usize = 24;

/// Which pages are asked for.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Lines and consents at most; 0 for [`PAGE_ROWS_DEFAULT`]. A larger wish than [`PAGE_ROWS_MAX`] is lowered.
    pub limit: u32,
    /// Where the lines go on, as an earlier answer said; empty for the newest.
    pub lines_after: Vec<u8>,
    /// Where the consents go on, as an earlier answer said; empty for the first.
    pub consents_after: Vec<u8>,
    /// In which language.
    pub language: Language,
}

impl Pages {
    /// The first page, as long as pages are.
    #[must_use]
    pub const fn first(language: Language) -> Self {
        Self {
            limit: PAGE_ROWS_MAX,
            lines_after: Vec::new(),
            consents_after: Vec::new(),
            language,
        }
    }

    pub(super) fn rows(&self) -> usize {
        let limit = match self.limit {
            0 => PAGE_ROWS_DEFAULT,
            limit => limit.min(PAGE_ROWS_MAX),
        };
        usize::try_from(limit).unwrap_or(1)
    }
}

/// A page, and where it goes on: empty after the last one.
pub(super) type Page<T> = (Vec<T>, Vec<u8>);

type Mark = [u8; MARK_BYTES];

/// The page behind a mark, of rows in the order of theirs.
fn page<T>(
    mut rows: Vec<T>,
    after: &[u8],
    limit: usize,
    mark: impl Fn(&T) -> Mark,
) -> Result<Page<T>, Reason> {
    if !after.is_empty() {
        let after: Mark = after.try_into().map_err(|_| Reason::PageTokenInvalid)?;
        rows.retain(|row| mark(row) > after);
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let more = rows.last().filter(|_| more).map(|row| mark(row).to_vec());
    Ok((rows, more.unwrap_or_default()))
}

/// Equal lines as one that says how many they were; then a page of them, newest first.
pub(super) fn lines(all: Vec<OverviewLine>, pages: &Pages) -> Result<Page<OverviewLine>, Reason> {
    let mut folded: BTreeMap<[u8; 32], OverviewLine> = BTreeMap::new();
    for line in all {
        let one = folded.entry(digest(&line)).or_insert_with(|| OverviewLine {
            count: 0,
            ..line.clone()
        });
        one.count = one.count.saturating_add(1);
        one.time = one.time.max(line.time);
    }
    let mut lines: Vec<(Mark, OverviewLine)> = folded
        .into_iter()
        .map(|(digest, line)| (line_mark(line.time, &digest), line))
        .collect();
    lines.sort_by_key(|(mark, _)| *mark);
    let (lines, more) = page(lines, &pages.lines_after, pages.rows(), |(mark, _)| *mark)?;
    let told = lines.into_iter().map(|(_, mut line)| {
        if line.count > 1 {
            line.sentence.push_str(&times(line.count, pages.language));
        }
        line
    });
    Ok((told.collect(), more))
}

/// A page of consents: those that stand first, then those that ended; the newest first.
pub(super) fn consents(
    mut all: Vec<ConsentRecord>,
    pages: &Pages,
) -> Result<Page<ConsentRecord>, Reason> {
    all.sort_by_key(consent_mark);
    page(all, &pages.consents_after, pages.rows(), consent_mark)
}

/// How often, in words.
fn times(count: u32, language: Language) -> String {
    match language {
        Language::Nl => format!(" Dit gebeurde {count} keer."),
        Language::En => format!(" This happened {count} times."),
    }
}

fn digest(line: &OverviewLine) -> [u8; 32] {
    let (kind, remedy): (u8, &[u8]) = match &line.remedy {
        None => (0, &[]),
        Some(Remedy::Object(handover)) => (1, handover.bytes()),
        Some(Remedy::Stop(record)) => (2, record.bytes()),
    };
    sha256_parts(&[&[kind], remedy, line.sentence.as_bytes()])
}

/// The newest first.
fn line_mark(time: Timestamp, digest: &[u8; 32]) -> Mark {
    let time = i64::MAX.saturating_sub(time.millis()).to_be_bytes();
    let mut mark = [0; MARK_BYTES];
    for (place, octet) in mark.iter_mut().zip(time.iter().chain(digest)) {
        *place = *octet;
    }
    mark
}

/// Those that stand first; ids tell time, and the newest comes first.
fn consent_mark(record: &ConsentRecord) -> Mark {
    let rank = u8::from(record.state != ConsentState::Given);
    let id = record.id.bytes().map(|octet| !octet);
    let mut mark = [0; MARK_BYTES];
    for (place, octet) in mark.iter_mut().zip([rank].iter().chain(&id)) {
        *place = *octet;
    }
    mark
}
