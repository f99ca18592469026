//! What was typed for a handover, kept here until it has gone out: an offer that stops half-way is finished later.
//!
//! Must never send a value that was not looked at first, and must never keep a dossier that was released.

use super::Client;
use crate::error::ClientError;
use crate::mutation::Mutation as _;
use crate::number;
use crate::outbox::{Beside, Outbox, Resumed};
use crate::person::PersonKey;
use crate::receipt::{Prepared, Receipt, Settled};
use crate::store::{Change, DraftRow, FieldRow, OutboxRow, StoreError, Table, put, remove};
use prost::Message as _;
use rules::id::{HandoverId, Label, RequestId};
use rules::limits::{DOSSIER_BYTES_MAX, FIELD_BYTES_MAX, MANIFEST_LABELS_MAX};
use rules::reason::{Reason, Refusal, Violation};
use rules::secret::Secret;
use std::collections::BTreeSet;
use vault::pseudonym::Bsn;
use vault::sealing::sealed_bytes;
use wire::handover::v1 as message;

/// Values to be sealed, by label. Wiped when dropped.
pub type Values = Vec<(Label, Secret<Vec<u8>>)>;

/// What is offered now, and what is released after acceptance.
#[derive(Debug)]
pub struct Draft {
    /// The summary: nothing that says who it is about.
    pub summary: Values,
    /// The dossier.
    pub dossier: Values,
}

/// How far something typed has come that has not gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingDraft {
    /// Its Prepare has no answer yet.
    Asked(RequestId),
    /// Its handover is prepared and not offered yet.
    Prepared(HandoverId),
}

impl Client {
    /// Prepares and offers in one. The draft is kept here, sealed, before anything is sent: what stops half-way is
    /// finished by [`Client::resume`], also after a restart, and [`Client::release_draft`] releases the dossier.
    ///
    /// # Errors
    ///
    /// As [`Client::prepare`] and [`Client::offer`]; and [`ClientError::NotSent`] when a value may not be sent, the
    /// dossier's too.
    pub async fn offer_draft(
        &self,
        person: &PersonKey,
        preparation: &super::Preparation,
        draft: &Draft,
    ) -> Result<(Prepared, Receipt), ClientError> {
        if draft.summary.is_empty() {
            return Err(ClientError::Input {
                what: "the summary is empty, so that there is nothing to offer",
                remedy: "give at least one field in it",
            });
        }
        self.look_at(&draft.summary)?;
        self.look_at(&draft.dossier)?;
        let _drafting = self.outbox.drafting.read().await;
        let beside = Beside {
            draft: Some(DraftRow {
                summary: rows(&draft.summary),
                dossier: rows(&draft.dossier),
            }),
            ..Beside::default()
        };
        let prepared = self.prepare_beside(person, preparation, beside).await?;
        let handover = prepared.receipt.handover;
        let receipt = self.offer(&handover, &draft.summary).await?;
        Ok((prepared, receipt))
    }

    /// Where the very same offer waits that was typed before and has not gone out: same person, recipient, purpose and
    /// values. Whoever types it again makes a second handover.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn waiting_draft(
        &self,
        person: &PersonKey,
        preparation: &super::Preparation,
        draft: &Draft,
    ) -> Result<Option<WaitingDraft>, ClientError> {
        let (summary, dossier) = (rows(&draft.summary), rows(&draft.dossier));
        let recipient = preparation.recipient.to_string();
        let same = |key: &[u8], whose: &str, to: &str, purpose: &str| {
            let kept = self.outbox.draft(key)?;
            let is_same = kept.is_some_and(|kept| {
                whose == person.expose()
                    && to == recipient
                    && purpose == preparation.purpose.as_str()
                    && (&kept.summary, &kept.dossier) == (&summary, &dossier)
            });
            Ok::<_, StoreError>(is_same)
        };
        for request in self.store().waiting() {
            let row = self
                .store()
                .row::<OutboxRow>(Table::Outbox, request.bytes(), "outbox")?;
            let Some(row) = row.filter(|row| row.call == message::PrepareRequest::NUMBER) else {
                continue;
            };
            if let Ok(asked) = message::PrepareRequest::decode(row.message.as_slice())
                && same(
                    request.bytes(),
                    &row.person,
                    &asked.recipient,
                    &asked.purpose,
                )?
            {
                return Ok(Some(WaitingDraft::Asked(request)));
            }
        }
        for handover in self.store().drafts() {
            if let Ok(row) = self.prepared_row(&handover)
                && same(handover.bytes(), &row.person, &row.recipient, &row.purpose)?
            {
                return Ok(Some(WaitingDraft::Prepared(handover)));
            }
        }
        Ok(None)
    }

    /// Releases the dossier that was kept when the handover was offered.
    ///
    /// # Errors
    ///
    /// As [`Client::release`]; [`ClientError::Input`] when none is kept here, be it because it was released.
    pub async fn release_draft(&self, handover: &HandoverId) -> Result<Receipt, ClientError> {
        let is_release = |row: &OutboxRow| {
            row.call == message::ReleaseRequest::NUMBER && ending_call(row) == Some(*handover)
        };
        if self.waits(is_release)? {
            return Err(ClientError::Input {
                what: "the release of this handover was asked for before and waits in the outbox",
                remedy: "`sluis resume` as the same desk finishes it; don't make the call anew",
            });
        }
        let draft = self.outbox.draft(handover.bytes())?;
        let Some(draft) = draft else {
            return Err(self.no_draft(handover));
        };
        self.release(handover, &values(draft.dossier)?).await
    }

    /// Why no dossier of a handover is kept: this store knows whether it was its own, and released.
    fn no_draft(&self, handover: &HandoverId) -> ClientError {
        let released = match self.prepared_row(handover) {
            Ok(row) => Some(!row.ciphertext_sha256.is_empty()),
            Err(_) => None,
        };
        let (what, remedy) = match released {
            Some(true) => (
                "the dossier of this handover was released from here already, and is not kept after that",
                "it is the recipient's turn, who fetches it; `sluis show` says how it stands",
            ),
            Some(false) => (
                "this handover was prepared here, and its dossier is kept here no more: it was called off, or not offered",
                "look with `sluis show`; to hand over after all, offer anew",
            ),
            None => (
                "this handover was not offered from here, so no dossier of it is kept here",
                "only the desk that offered it releases it; `sluis show` says whose turn it is",
            ),
        };
        ClientError::Input { what, remedy }
    }

    /// Offers what was prepared and not offered, because the process ended between the two or because the Prepare
    /// waited. Those that another task is at are left to it.
    pub(super) async fn resume_drafts(&self) -> Result<Vec<Resumed>, ClientError> {
        let Ok(_drafting) = self.outbox.drafting.try_write() else {
            return Ok(Vec::new());
        };
        let mut resumed = Vec::new();
        for handover in self.store().drafts() {
            let Some(draft) = self.outbox.draft(handover.bytes())? else {
                continue;
            };
            let is_prepared = self.prepared_row(&handover).is_ok();
            let is_offer = |row: &OutboxRow| offered_in(row) == Some(handover);
            if draft.summary.is_empty() || !is_prepared || self.waits(is_offer)? {
                continue;
            }
            let request = RequestId::draw(&*self.outbox.clock, &*self.outbox.random);
            let outcome = match values(draft.summary) {
                Ok(summary) => self.offer_as(request, &handover, &summary).await,
                Err(error) => Err(error.into()),
            };
            resumed.push(Resumed {
                request,
                call: message::OfferRequest::NAME,
                handover: Some(handover),
                outcome: outcome.map(Settled::Handover),
            });
        }
        Ok(resumed)
    }

    /// Whether such a call is in the outbox.
    fn waits(&self, is_such: impl Fn(&OutboxRow) -> bool) -> Result<bool, StoreError> {
        for request in self.store().waiting() {
            let row = self
                .store()
                .row::<OutboxRow>(Table::Outbox, request.bytes(), "outbox")?;
            if row.is_some_and(|row| is_such(&row)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks at values before anything is sealed or sent. Answers the labels in which a citizen service number stands, or
    /// what looks like one, as the settings allow.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotSent`] with each label that is wrong, never with a value.
    pub(super) fn look_at(
        &self,
        values: &[(Label, Secret<Vec<u8>>)],
    ) -> Result<Vec<Label>, ClientError> {
        let refused = |reason, violations: Vec<Violation>| match violations.is_empty() {
            true => Ok(()),
            false => Err(ClientError::NotSent(Box::new(Refusal {
                reason,
                violations,
            }))),
        };
        let about = |text: String| vec![Violation::new("fields", text)];
        let labels: BTreeSet<&Label> = values.iter().map(|(label, _)| label).collect();
        if labels.len() < values.len() {
            refused(
                Reason::LabelDoubled,
                about("a label stands twice".to_owned()),
            )?;
        }
        if values.len() > MANIFEST_LABELS_MAX {
            let text = format!(
                "there are {}, and {MANIFEST_LABELS_MAX} may be",
                values.len()
            );
            refused(Reason::LabelsTooMany, about(text))?;
        }
        refused(Reason::FieldTooLarge, too_large(values))?;
        let whole: usize = values
            .iter()
            .map(|(_, value)| sealed_bytes(value.expose().len()))
            .sum();
        if whole > DOSSIER_BYTES_MAX {
            let text = format!("have {whole} bytes when sealed, and {DOSSIER_BYTES_MAX} may be");
            refused(Reason::MessageTooLarge, about(text))?;
        }
        let numbers = Numbers::read(values, &self.number_labels, &self.lookalike_labels);
        refused(Reason::BsnInText, numbers.misplaced)?;
        refused(Reason::NumberInvalid, numbers.invalid)?;
        Ok(numbers.labels)
    }
}

/// The numbers that stand in values, by where they may.
struct Numbers {
    /// Labels with one that may have it.
    labels: Vec<Label>,
    /// What looks like one, where none may stand.
    misplaced: Vec<Violation>,
    /// What is none, where one must stand: the recipient reads it as the person's number.
    invalid: Vec<Violation>,
}

impl Numbers {
    fn read(
        values: &[(Label, Secret<Vec<u8>>)],
        number_labels: &BTreeSet<Label>,
        lookalike_labels: &BTreeSet<Label>,
    ) -> Self {
        let mut numbers = Self {
            labels: Vec::new(),
            misplaced: Vec::new(),
            invalid: Vec::new(),
        };
        for (label, value) in values {
            let text = String::from_utf8_lossy(value.expose());
            if number_labels.contains(label) {
                match text.trim().parse::<Bsn>() {
                    Ok(_) => numbers.labels.push(label.clone()),
                    Err(error) => {
                        let wrong = Violation::new(label.as_str(), format!("is {error}"));
                        numbers.invalid.push(wrong);
                    }
                }
                continue;
            }
            match number::find(&text) {
                Some(_) if lookalike_labels.contains(label) => numbers.labels.push(label.clone()),
                Some(at) => {
                    let text = format!("looks like a BSN from character {at} on");
                    numbers.misplaced.push(Violation::new(label.as_str(), text));
                }
                None => {}
            }
        }
        numbers
    }
}

fn too_large(values: &[(Label, Secret<Vec<u8>>)]) -> Vec<Violation> {
    let large = values
        .iter()
        .filter(|(_, value)| value.expose().len() > FIELD_BYTES_MAX);
    large
        .map(|(label, value)| {
            let bytes = value.expose().len();
            let text = format!("has {bytes} bytes, and {FIELD_BYTES_MAX} may be: make it shorter");
            Violation::new(label.as_str(), text)
        })
        .collect()
}

impl Outbox {
    fn draft(&self, key: &[u8]) -> Result<Option<DraftRow>, StoreError> {
        self.store.row::<DraftRow>(Table::Draft, key, "draft")
    }

    /// What becomes of a draft with a definite answer: the Prepare's goes on under the handover's id; the summary is
    /// forgotten when it was offered, and all of it when it was released, called off, or will not be offered.
    pub(crate) fn draft_changes(
        &self,
        request: &RequestId,
        row: &OutboxRow,
        settled: &Result<Settled, ClientError>,
    ) -> Result<Vec<Change>, StoreError> {
        let forget = |key: &[u8]| vec![remove(Table::Draft, key)];
        if row.call == message::PrepareRequest::NUMBER {
            let Some(draft) = self.draft(request.bytes())? else {
                return Ok(Vec::new());
            };
            let mut changes = forget(request.bytes());
            if let Ok(Settled::Prepared(prepared)) = settled {
                let handover = prepared.receipt.handover;
                changes.push(put(Table::Draft, handover.bytes(), &draft));
            }
            return Ok(changes);
        }
        let ended = match (ending_call(row), settled) {
            (Some(handover), Ok(_)) => Some(handover),
            _ => None,
        };
        if let Some(handover) = ended {
            return Ok(forget(handover.bytes()));
        }
        let Some(handover) = offered_in(row) else {
            return Ok(Vec::new());
        };
        Ok(match (self.draft(handover.bytes())?, settled) {
            (Some(draft), Ok(_)) => {
                let summary = Vec::new();
                let offered = DraftRow { summary, ..draft };
                vec![put(Table::Draft, handover.bytes(), &offered)]
            }
            (Some(_), Err(_)) => forget(handover.bytes()),
            (None, _) => Vec::new(),
        })
    }
}

/// The handover of a kept Offer.
fn offered_in(row: &OutboxRow) -> Option<HandoverId> {
    let is_offer = row.call == message::OfferRequest::NUMBER;
    let read = is_offer.then(|| message::OfferRequest::decode(row.message.as_slice()))?;
    HandoverId::from_slice(&read.ok()?.handover_id)
}

/// The handover of a call after which nothing is released from here any more.
fn ending_call(row: &OutboxRow) -> Option<HandoverId> {
    let octets = row.message.as_slice();
    let handover = if row.call == message::ReleaseRequest::NUMBER {
        message::ReleaseRequest::decode(octets).ok()?.handover_id
    } else if row.call == message::CancelRequest::NUMBER {
        message::CancelRequest::decode(octets).ok()?.handover_id
    } else if row.call == message::RejectChangeRequest::NUMBER {
        message::RejectChangeRequest::decode(octets)
            .ok()?
            .handover_id
    } else {
        return None;
    };
    HandoverId::from_slice(&handover)
}

fn rows(values: &[(Label, Secret<Vec<u8>>)]) -> Vec<FieldRow> {
    values
        .iter()
        .map(|(label, value)| FieldRow {
            label: label.to_string(),
            value: value.expose().clone(),
        })
        .collect()
}

fn values(rows: Vec<FieldRow>) -> Result<Values, StoreError> {
    let unreadable = |_| StoreError::Unreadable { kind: "draft" };
    rows.into_iter()
        .map(|row| {
            Ok((
                row.label.parse().map_err(unreadable)?,
                Secret::new(row.value),
            ))
        })
        .collect()
}
