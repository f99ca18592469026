//! Reading a message: every field is parsed, and everything that is wrong is collected before the
//! first word of it is said.
//!
//! Must never repeat a value in what it says is wrong, and never fill in a field that was not sent.

use papers::paper::{Form, PaperError, Signed, SignedPaper};
use rules::id::{Label, RequestId};
use rules::limits::MANIFEST_LABELS_MAX;
use rules::reason::{Reason, Refusal, Violation};
use std::str::FromStr;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Reading {
    violations: Vec<Violation>,
    refusal: Option<Refusal>,
}

impl Reading {
    /// Notes that `field` is wrong.
    pub fn wrong(&mut self, field: &str, description: &str) {
        self.violations.push(Violation::new(field, description));
    }

    /// Notes a refusal with a reason of its own; the first one counts.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// Closes the reading: the command, or why there is none.
    ///
    /// # Errors
    /// `INVALID_REQUEST` with every field that is wrong; otherwise the first refusal with a reason of
    /// its own.
    pub fn finish<T>(self, command: Option<T>) -> Result<T, Refusal> {
        match (self.violations.is_empty(), self.refusal, command) {
            (false, ..) => Err(Refusal::invalid(self.violations)),
            (true, Some(refusal), _) => Err(refusal),
            (true, None, Some(command)) => Ok(command),
            (true, None, None) => Err(Refusal::new(Reason::InvalidRequest)),
        }
    }

    /// The caller's id of the request.
    pub fn request_id(&mut self, octets: &[u8]) -> Option<RequestId> {
        self.id("request_id", octets, RequestId::from_slice)
    }

    /// An id of 16 octets that is not zero.
    pub fn id<T>(
        &mut self,
        field: &str,
        octets: &[u8],
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let id = parse(octets);
        if id.is_none() {
            self.wrong(field, "must be an id of 16 bytes that is not zero");
        }
        id
    }

    /// An id that may be absent (no octets).
    pub fn optional_id<T>(
        &mut self,
        field: &str,
        octets: &[u8],
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<Option<T>> {
        if octets.is_empty() {
            Some(None)
        } else {
            self.id(field, octets, parse).map(Some)
        }
    }

    /// A name of a closed alphabet.
    pub fn name<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, &error.to_string());
                None
            }
        }
    }

    /// A name that may be absent (empty).
    pub fn optional_name<T: FromStr>(&mut self, field: &str, text: &str) -> Option<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        if text.is_empty() {
            Some(None)
        } else {
            self.name(field, text).map(Some)
        }
    }

    /// A code of a closed list; the unspecified one is in no list.
    pub fn code<T>(&mut self, field: &str, number: i32, parse: fn(i32) -> Option<T>) -> Option<T> {
        let code = parse(number);
        if code.is_none() {
            self.refuse(Refusal::about(
                Reason::CodeUnknown,
                field,
                "is not in the list for this step",
            ));
        }
        code
    }

    /// A revision: at least 1.
    pub fn revision(&mut self, number: i64) -> Option<i64> {
        let revision = (number > 0).then_some(number);
        if revision.is_none() {
            self.wrong("expected_revision", "must be the revision that was read");
        }
        revision
    }

    /// Exactly `N` octets.
    pub fn octets<const N: usize>(&mut self, field: &str, octets: &[u8]) -> Option<[u8; N]> {
        let fixed = octets.try_into().ok();
        if fixed.is_none() {
            self.wrong(field, &format!("must be {N} bytes"));
        }
        fixed
    }

    /// Labels; at most as many as a manifest may have.
    pub fn labels(&mut self, field: &str, texts: &[String]) -> Option<Vec<Label>> {
        if texts.len() > MANIFEST_LABELS_MAX {
            self.refuse(Refusal::about(
                Reason::LabelsTooMany,
                field,
                "has more labels than the limit",
            ));
            return None;
        }
        let labels: Vec<Option<Label>> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| self.name(&format!("{field}[{index}]"), text))
            .collect();
        labels.into_iter().collect()
    }

    /// A message that must be there.
    pub fn present<T>(&mut self, field: &str, message: Option<T>) -> Option<T> {
        if message.is_none() {
            self.wrong(field, "is missing");
        }
        message
    }

    /// A signed paper, decoded; its signature is for the broker to check.
    pub fn signed<P: Form>(
        &mut self,
        field: &str,
        paper: Result<Signed<P>, PaperError>,
    ) -> Option<Signed<P>> {
        let refused = |error: PaperError| {
            let path = format!("{field}.{}", error.field);
            self.refuse(Refusal::about(error.reason, path, error.wrong));
        };
        paper.map_err(refused).ok()
    }

    /// The same, as what it says and as it was signed.
    pub fn paper<P: Form>(
        &mut self,
        field: &str,
        paper: Result<Signed<P>, PaperError>,
    ) -> Option<(P, SignedPaper)> {
        let signed = self.signed(field, paper)?;
        let carried = signed.carried();
        Some((signed.into_paper(), carried))
    }
}

/// Rows a page as wished; below zero counts as not said.
#[must_use]
pub fn page_rows(wish: i32) -> u32 {
    u32::try_from(wish).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: impl FnOnce(&mut Reading), expected: Reason, fields: &[&str]) {
        let mut reading = Reading::default();
        read(&mut reading);
        let refusal = reading.finish(None::<()>).expect_err("a refusal");
        assert_eq!(refusal.reason, expected);
        let found: Vec<&str> = refusal
            .violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(found, fields);
    }

    #[test]
    fn every_wrong_field_is_named() {
        check(
            |reading| {
                reading.request_id(&[0; 16]);
                reading.octets::<64>("ciphertext", &[1; 63]);
                reading.code("code", 0, |_| None::<()>);
                reading.labels("labels", &["right".to_owned(), "Wrong".to_owned()]);
                reading.revision(0);
            },
            Reason::InvalidRequest,
            &["request_id", "ciphertext", "labels[1]", "expected_revision"],
        );
    }

    #[test]
    fn a_reason_of_its_own_comes_after_wrong_fields() {
        check(
            |reading| {
                reading.code("code", 0, |_| None::<u8>);
            },
            Reason::CodeUnknown,
            &["code"],
        );
        let many = vec!["label".to_owned(); 65];
        check(
            |reading| drop(reading.labels("labels", &many)),
            Reason::LabelsTooMany,
            &["labels"],
        );
    }
}
