//! The report of what became of somebody: the recipient seals it to the sender after completion, the sender fetches it.
//!
//! Must never seal a report to anybody but the sender whose dossier was opened here, and must never keep one before all
//! of it was verified.

use super::recipient::{NO_FIELDS, party};
use super::{Client, ask};
use crate::connection::{stub, with_deadline};
use crate::error::{ClientError, ProtocolError, from_status};
use crate::person::PersonKey;
use crate::receipt::Receipt;
use crate::store::{PreparedRow, Table, opened_key, put};
use papers::paper::ManifestStage;
use rules::id::{HandoverId, Label, Party, Purpose};
use vault::sealing::{OpenedField, Stage};
use wire::handover::v1 as message;
use wire::handover::v1::handover_service_client::HandoverServiceClient;

/// An opened report.
#[derive(Debug)]
pub struct Report {
    /// The handover.
    pub receipt: Receipt,
    /// The partner's own key of the person; none when the handover was prepared from another store.
    pub person: Option<PersonKey>,
    /// The handover's recipient, which reports.
    pub recipient: Party,
    /// The purpose.
    pub purpose: Purpose,
    /// The values.
    pub fields: Vec<OpenedField>,
    /// Labels that the recipient sealed and the gateway dropped.
    pub dropped_labels: Vec<Label>,
}

impl Client {
    /// Tells the sender what became of somebody, sealed to the key that the sender has now. There is one report of a
    /// handover; it may be sent again while the sender has not fetched it, or has a newer key than that one was sealed to.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or [`ClientError::Input`] when the dossier was not opened from this store, or nothing can be
    /// sealed.
    pub async fn send_report(
        &self,
        handover: &HandoverId,
        values: super::sender::Values<'_>,
    ) -> Result<Receipt, ClientError> {
        self.look_at(values)?;
        let directory = self.newest_not_ended().await?;
        let opened = self.store().opened(handover)?.ok_or(ClientError::Input {
            what: "nothing of this handover was opened from this store",
            remedy: "send the report where the dossier was fetched",
        })?;
        let now = self.outbox.clock.now();
        let (key, _) = directory
            .sealing_key(&opened.sender, now)
            .ok_or(ClientError::Input {
                what: "the sender has no sealing key that is valid now",
                remedy: "ask the sender to publish a new key; the report can be sent later",
            })?;
        let values: Vec<_> = values.iter().collect();
        let to = (opened.sender, opened.purpose);
        let (manifest, report) = self.seal_to(
            handover,
            to,
            (&directory, &key),
            &values,
            ManifestStage::Report,
        )?;
        let message = message::SendReportRequest {
            request_id: Vec::new(),
            handover_id: handover.bytes().to_vec(),
            manifest: Some(manifest),
            report: Some(report),
        };
        Ok(self.run(message).await?.receipt()?)
    }

    /// Fetches the report: checks that it is the recipient's, of this handover and sealed to us, opens it and keeps it.
    /// May be repeated for a day. From here on a stop reaches this side with a notice as well.
    ///
    /// # Errors
    ///
    /// A refusal, a fault, or a [`ProtocolError`] when anything does not verify; nothing is kept then.
    pub async fn fetch_report(&self, handover: &HandoverId) -> Result<Report, ClientError> {
        let directory = self.directory_not_ended().await?;
        let question = message::FetchReportRequest {
            handover_id: handover.bytes().to_vec(),
        };
        let answer = ask!(
            self,
            "FetchReport",
            HandoverServiceClient.fetch_report,
            question
        )?;
        let receipt = Receipt::verify(answer.receipt, Some(handover), &directory)?;
        let recipient = party(&answer.recipient)?;
        let prepared = self.store().row::<PreparedRow>(
            Table::Prepared,
            handover.bytes(),
            "prepared handover",
        )?;
        let manifest = self.manifest(answer.manifest, handover, &recipient, &directory)?;
        let other = prepared.as_ref().is_some_and(|row| {
            row.recipient != answer.recipient || row.purpose != manifest.purpose.as_str()
        });
        if other || manifest.stage != ManifestStage::Report {
            return Err(
                ProtocolError::new("manifest", "is not that of this handover's report").into(),
            );
        }
        let sealed = answer.report.ok_or(NO_FIELDS)?;
        let set = self.open_set(&directory, &manifest, (Stage::Report, &sealed))?;
        if !set.mismatched.is_empty() || set.fields.is_empty() {
            let wrong =
                ProtocolError::new("report", "does not equal its manifest, or does not open");
            return Err(wrong.into());
        }
        let person = prepared.and_then(|row| PersonKey::kept(&row.person));
        let row = self.opened_row(&recipient, &manifest, person.as_ref(), &set);
        let changes = vec![
            put(Table::Opened, &opened_key(handover, Stage::Report), &row),
            crate::mutation::revision_change(handover, receipt.revision),
        ];
        self.outbox.commit(changes).await?;
        Ok(Report {
            receipt,
            person,
            recipient,
            purpose: manifest.purpose,
            fields: set.fields,
            dropped_labels: set.dropped,
        })
    }
}
