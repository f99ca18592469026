//! What the broker answered, as messages of the handover service.
//!
//! Must never add anything that the broker did not say.

use broker::handover::HandoverReceipt;
use broker::handover::body::SealedFields;
use broker::handover::offer::ReadOut;
use broker::handover::view::HandoverView;
use broker::inbox::InboxItem;
use broker::notice::NoticeView;
use papers::paper::SignedPaper;
use papers::promise::Promise;
use rules::clock::Timestamp;
use rules::id::Label;
use wire::handover::v1 as message;
use wire::pseudonym::v1 as pseudonym;

/// The receipt of a changing call.
pub(super) fn receipt(receipt: &HandoverReceipt, promise: &Promise) -> Option<message::Receipt> {
    Some(message::Receipt {
        handover_id: receipt.handover.bytes().to_vec(),
        state: receipt.state.number(),
        revision: receipt.revision,
        deadline_millis: receipt.deadline.map(Timestamp::millis),
        promise: Some(promise.into()),
        sealed_person: receipt.sealed_person.clone(),
    })
}

/// Labels as text.
pub(super) fn labels<'a>(labels: impl IntoIterator<Item = &'a Label>) -> Vec<String> {
    labels.into_iter().map(ToString::to_string).collect()
}

/// A voucher as received.
pub(super) fn voucher(paper: SignedPaper) -> pseudonym::SignedVoucher {
    pseudonym::SignedVoucher {
        voucher: paper.bytes,
        signature: paper.signature,
    }
}

/// Sealed fields as received.
pub(super) fn fields(sealed: SealedFields) -> message::SealedFields {
    message::SealedFields {
        encapsulation: sealed.encapsulation,
        fields: sealed
            .fields
            .into_iter()
            .map(|(label, sealed)| message::SealedField {
                label: label.to_string(),
                sealed,
            })
            .collect(),
    }
}

/// The dossier with the recipient's pseudonym.
pub(super) fn dossier(receipt: Option<message::Receipt>, read: ReadOut) -> message::FetchResponse {
    let payload = read.payload;
    let (conversion, order) = match payload.pseudonym {
        Some(released) => (
            Some(pseudonym::Conversion {
                ciphertext: released.ciphertext.to_vec(),
                vouchers: released.vouchers.into_iter().map(voucher).collect(),
            }),
            Some(pseudonym::SignedOrder {
                order: released.order.bytes,
                signature: released.order.signature,
            }),
        ),
        None => (None, None),
    };
    message::FetchResponse {
        receipt,
        conversion,
        order,
        manifest: Some((&payload.manifest).into()),
        dossier: Some(fields(payload.sealed)),
        sender: read.sender.to_string(),
        number_label: read
            .number_label
            .map_or_else(String::new, |label| label.to_string()),
    }
}

/// A handover as either side sees it.
pub(super) fn handover(view: &HandoverView) -> message::HandoverView {
    let body = &view.body;
    let course = &body.course;
    message::HandoverView {
        handover_id: view.handover.bytes().to_vec(),
        state: view.state.number(),
        revision: view.revision,
        sender: body.sender.to_string(),
        recipient: body.recipient.to_string(),
        purpose: body.purpose.to_string(),
        basis: body.basis.to_string(),
        article: body.article.clone(),
        prepared_millis: body.prepared_at.millis(),
        state_since_millis: view.entered_at.millis(),
        deadline_millis: view.deadline.map(Timestamp::millis),
        summary_labels: labels(&body.summary_labels),
        dossier_labels: labels(&body.dossier_labels),
        code: course.code.clone(),
        objection_pending: view.objection_pending,
        restricted: view.restricted,
        received_millis: course.received_millis,
        contact_date: course.contact_date.clone(),
        proposed_date: course.proposed_date.clone(),
        report_sent_millis: course.report.as_ref().map(|report| report.sent_millis),
        report_fetched_millis: course
            .report
            .as_ref()
            .and_then(|report| report.fetched_millis),
    }
}

/// A notice as either side sees it.
pub(super) fn notice(view: &NoticeView) -> message::NoticeView {
    message::NoticeView {
        notice_id: view.notice.bytes().to_vec(),
        handover_id: view.handover.bytes().to_vec(),
        kind: view.kind.number(),
        state: view.state.number(),
        sent_millis: view.sent_at.millis(),
        due_millis: view.due_at.millis(),
        answer: view.answer.map_or(0, |answer| answer.number()),
        ground: view
            .ground
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        about_report: view.about_report,
    }
}

/// One thing that happened.
pub(super) fn item(item: &InboxItem) -> message::InboxItem {
    message::InboxItem {
        kind: item.kind.number(),
        handover_id: item.handover.bytes().to_vec(),
        revision: item.revision,
        time_millis: item.time.millis(),
        notice_id: item
            .notice
            .map(|(id, _)| id.bytes().to_vec())
            .unwrap_or_default(),
        notice_kind: item.notice.map_or(0, |(_, kind)| kind.number()),
        code: item.code.clone(),
        purpose: item.purpose.to_string(),
    }
}
