//! Messages of the handover service, read into commands.
//!
//! Must never let a field through unread: what a command holds has been parsed here.

use crate::grpc::call::Incoming;
use crate::grpc::reading::{Reading, page_rows};
use broker::Call;
use broker::handover::answer::{Act, Deed};
use broker::handover::body::SealedFields;
use broker::handover::check::NumberOrder;
use broker::handover::objection::{Object, Objection};
use broker::handover::offer::{FetchOffer, Offer};
use broker::handover::prepare::Prepare;
use broker::handover::release::{Fetch, Release, Reseal};
use broker::handover::report::{FetchReport, SendReport};
use broker::handover::view::GetHandover;
use broker::inbox::ListInbox;
use broker::notice::{AckNotice, AnswerNotice, SendNotice};
use broker::record::Record;
use papers::paper;
use papers::paper::{SignedManifest, SignedPaper};
use rules::handover::{CancelCode, DeclineCode, MismatchKind, QuestionCode, ReturnCode};
use rules::id::{GroupId, HandoverId, NoticeId, RequestId};
use rules::notice::NoticeKind;
use wire::handover::v1 as message;
use wire::pseudonym::v1::SignedVoucher;

impl Incoming for message::PrepareRequest {
    type Command = Prepare;
    const NAME: &'static str = "Prepare";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Prepare> {
        let request_id = reading.request_id(&self.request_id);
        let recipient = reading.name("recipient", &self.recipient);
        let purpose = reading.name("purpose", &self.purpose);
        let basis = reading.name("basis", &self.basis);
        let summary_labels = reading.labels("summary_labels", &self.summary_labels);
        let dossier_labels = reading.labels("dossier_labels", &self.dossier_labels);
        let group = reading.optional_id("group_id", &self.group_id, GroupId::from_slice);
        let order = reading
            .present("order", self.order)
            .and_then(|order| reading.paper("order", order.try_into()));
        let ciphertext = reading.octets("ciphertext", &self.ciphertext);
        let (order, signed_order) = order?;
        Some(Prepare {
            request_id: request_id?,
            recipient: recipient?,
            purpose: purpose?,
            basis: basis?,
            summary_labels: summary_labels?,
            dossier_labels: dossier_labels?,
            group: group?,
            order,
            signed_order,
            ciphertext: ciphertext?,
        })
    }

    fn about(command: &Prepare, call: &Call) -> Record {
        command.record(call)
    }
}

impl Incoming for message::OfferRequest {
    type Command = Offer;
    const NAME: &'static str = "Offer";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Offer> {
        let request_id = reading.request_id(&self.request_id);
        let handover = handover_id(reading, &self.handover_id);
        let expected_revision = reading.revision(self.expected_revision);
        let manifest = manifest(reading, self.manifest);
        let summary = fields(reading, "summary", self.summary);
        Some(Offer {
            request_id: request_id?,
            handover: handover?,
            expected_revision: expected_revision?,
            manifest: manifest?,
            summary: summary?,
        })
    }
}

impl Incoming for message::ReleaseRequest {
    type Command = Release;
    const NAME: &'static str = "Release";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Release> {
        let request_id = reading.request_id(&self.request_id);
        let handover = handover_id(reading, &self.handover_id);
        let expected_revision = reading.revision(self.expected_revision);
        let order = reading
            .present("order", self.order)
            .and_then(|order| reading.paper("order", order.try_into()));
        let ciphertext = reading.octets("ciphertext", &self.ciphertext);
        let prepare_vouchers = vouchers(reading, "prepare_vouchers", self.prepare_vouchers);
        let manifest = manifest(reading, self.manifest);
        let dossier = fields(reading, "dossier", self.dossier);
        let (order, signed_order) = order?;
        Some(Release {
            request_id: request_id?,
            handover: handover?,
            expected_revision: expected_revision?,
            order,
            signed_order,
            ciphertext: ciphertext?,
            prepare_vouchers,
            manifest: manifest?,
            dossier: dossier?,
        })
    }

    fn about(command: &Release, _call: &Call) -> Record {
        Record {
            handover: Some(command.handover),
            ..Record::default()
        }
    }
}

impl Incoming for message::SendReportRequest {
    type Command = SendReport;
    const NAME: &'static str = "SendReport";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<SendReport> {
        let request_id = reading.request_id(&self.request_id);
        let handover = handover_id(reading, &self.handover_id);
        let manifest = manifest(reading, self.manifest);
        let report = fields(reading, "report", self.report);
        Some(SendReport {
            request_id: request_id?,
            handover: handover?,
            manifest: manifest?,
            report: report?,
        })
    }
}

impl Incoming for message::ResealRequest {
    type Command = Reseal;
    const NAME: &'static str = "Reseal";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<Reseal> {
        let request_id = reading.request_id(&self.request_id);
        let handover = handover_id(reading, &self.handover_id);
        let expected_revision = reading.revision(self.expected_revision);
        let manifest = manifest(reading, self.manifest);
        let dossier = fields(reading, "dossier", self.dossier);
        Some(Reseal {
            request_id: request_id?,
            handover: handover?,
            expected_revision: expected_revision?,
            manifest: manifest?,
            dossier: dossier?,
        })
    }
}

/// The steps that are a request id, a handover, perhaps a revision, and a deed.
macro_rules! deeds {
    ($($message:ident $name:literal $(($revision:ident))? |$sent:ident, $reading:ident| $deed:expr;)*) => {$(
        impl Incoming for message::$message {
            type Command = Act;
            const NAME: &'static str = $name;
            const EXCHANGES: bool = true;

            fn request_id(&self) -> Option<RequestId> {
                RequestId::from_slice(&self.request_id)
            }

            fn read(self, $reading: &mut Reading) -> Option<Act> {
                let request_id = $reading.request_id(&self.request_id);
                let handover = handover_id($reading, &self.handover_id);
                let expected_revision: Option<Option<i64>> = Some(None);
                $(let expected_revision = {
                    // Only steps with a revision get this far; the other ones keep `None`.
                    let _ = expected_revision;
                    $reading.revision(self.$revision).map(Some)
                };)?
                let $sent = self;
                let deed = $deed;
                Some(Act {
                    request_id: request_id?,
                    handover: handover?,
                    expected_revision: expected_revision?,
                    deed: deed?,
                })
            }
        }
    )*};
}

deeds! {
    AckNotificationRequest "AckNotification" |_sent, reading| Some(Deed::AckNotification);
    ProposeChangeRequest "ProposeChange" (expected_revision) |sent, reading| {
        let question = reading.code("question", sent.question, QuestionCode::from_number);
        question.map(|question| Deed::ProposeChange { date: sent.proposed_date, question })
    };
    AcceptChangeRequest "AcceptChange" (expected_revision) |_sent, reading| Some(Deed::AcceptChange);
    RejectChangeRequest "RejectChange" (expected_revision) |_sent, reading| Some(Deed::RejectChange);
    DeclineRequest "Decline" (expected_revision) |sent, reading| {
        let code = reading.code("code", sent.code, DeclineCode::from_number);
        let other = reading.optional_name("other_party", &sent.other_party);
        code.zip(other).map(|(code, other)| Deed::Decline { code, other })
    };
    AcceptRequest "Accept" (expected_revision) |_sent, reading| Some(Deed::Accept);
    RequestResealRequest "RequestReseal" |_sent, reading| Some(Deed::RequestReseal);
    ReportMismatchRequest "ReportMismatch" |sent, reading| {
        let labels = reading.labels("labels", &sent.labels);
        let kind = reading.code("kind", sent.kind, MismatchKind::from_number);
        labels.zip(kind).map(|(labels, kind)| Deed::ReportMismatch { labels, kind })
    };
    CompleteRequest "Complete" (expected_revision) |sent, reading| {
        Some(Deed::Complete { contact: sent.contact_date })
    };
    ReturnRequest "Return" (expected_revision) |sent, reading| {
        let code = reading.code("code", sent.code, ReturnCode::from_number);
        code.map(|code| Deed::Return { code })
    };
    CancelRequest "Cancel" (expected_revision) |sent, reading| {
        let code = reading.code("code", sent.code, CancelCode::from_number);
        code.map(|code| Deed::Cancel { code })
    };
}

/// Vouchers of an earlier order, as received.
fn vouchers(reading: &mut Reading, name: &str, sent: Vec<SignedVoucher>) -> Vec<SignedPaper> {
    let mut vouchers = Vec::with_capacity(sent.len());
    for (index, voucher) in sent.into_iter().enumerate() {
        let voucher = paper::Signed::<paper::Voucher>::try_from(voucher);
        if let Some((_, as_received)) = reading.paper(&format!("{name}[{index}]"), voucher) {
            vouchers.push(as_received);
        }
    }
    vouchers
}

/// The calls that have the number in a dossier converted.
macro_rules! numbers {
    ($($message:ident $name:literal;)*) => {$(
        impl Incoming for message::$message {
            type Command = NumberOrder;
            const NAME: &'static str = $name;
            const EXCHANGES: bool = true;

            fn read(self, reading: &mut Reading) -> Option<NumberOrder> {
                let handover = handover_id(reading, &self.handover_id);
                let order = reading
                    .present("order", self.order)
                    .and_then(|order| reading.paper("order", order.try_into()));
                let ciphertext = reading.octets("ciphertext", &self.ciphertext);
                let release_vouchers = vouchers(reading, "release_vouchers", self.release_vouchers);
                let (order, signed_order) = order?;
                Some(NumberOrder {
                    handover: handover?,
                    order,
                    signed_order,
                    ciphertext: ciphertext?,
                    release_vouchers,
                })
            }

            fn about(command: &NumberOrder, _call: &Call) -> Record {
                Record {
                    handover: Some(command.handover),
                    ..Record::default()
                }
            }
        }
    )*};
}

numbers! {
    CheckPersonRequest "CheckPerson";
    TellMismatchRequest "TellMismatch";
}

/// The calls about objections: a request id, a handover, and what is done.
macro_rules! objections {
    ($($message:ident $name:literal |$sent:ident, $reading:ident| $objection:expr, $sealed:expr;)*) => {$(
        impl Incoming for message::$message {
            type Command = Object;
            const NAME: &'static str = $name;

            fn request_id(&self) -> Option<RequestId> {
                RequestId::from_slice(&self.request_id)
            }

            fn read(self, $reading: &mut Reading) -> Option<Object> {
                let request_id = $reading.request_id(&self.request_id);
                let handover = handover_id($reading, &self.handover_id);
                let $sent = self;
                let objection: Option<Objection> = $objection;
                let sealed: &[u8] = $sealed;
                let sealed_person = if sealed.is_empty() {
                    Some(None)
                } else {
                    $reading.octets("sealed_person", sealed).map(Some)
                };
                Some(Object {
                    request_id: request_id?,
                    handover: handover?,
                    objection: objection?,
                    sealed_person: sealed_person?,
                })
            }
        }
    )*};
}

objections! {
    ObjectToHandoverRequest "ObjectToHandover" |sent, reading| Some(Objection::Object), &sent.sealed_person;
    RestrictHandoverRequest "RestrictHandover" |sent, reading| Some(Objection::Restrict), &sent.sealed_person;
    DecideObjectionRequest "DecideObjection" |sent, reading| {
        reading.code("decision", sent.decision, |number| {
            match message::ObjectionDecision::try_from(number).ok()? {
                message::ObjectionDecision::Unspecified => None,
                message::ObjectionDecision::Uphold => Some(Objection::Uphold),
                message::ObjectionDecision::Reject => Some(Objection::Reject),
                message::ObjectionDecision::LiftRestriction => Some(Objection::LiftRestriction),
            }
        })
    }, &[];
}

/// The calls that read and are decided anew each time.
macro_rules! lookups {
    ($($message:ident $name:literal $command:ident;)*) => {$(
        impl Incoming for message::$message {
            type Command = $command;
            const NAME: &'static str = $name;
            const EXCHANGES: bool = true;

            fn read(self, reading: &mut Reading) -> Option<$command> {
                Some($command { handover: handover_id(reading, &self.handover_id)? })
            }
        }
    )*};
}

lookups! {
    FetchOfferRequest "FetchOffer" FetchOffer;
    FetchRequest "Fetch" Fetch;
    FetchReportRequest "FetchReport" FetchReport;
}

impl Incoming for message::GetHandoverRequest {
    type Command = GetHandover;
    const NAME: &'static str = "GetHandover";
    const EXCHANGES: bool = true;

    fn read(self, reading: &mut Reading) -> Option<GetHandover> {
        let handover = handover_id(reading, &self.handover_id);
        let after = &self.notices_after;
        let after = reading.optional_id("notices_after", after, NoticeId::from_slice);
        Some(GetHandover {
            handover: handover?,
            notices_after: after?,
        })
    }
}

impl Incoming for message::ListInboxRequest {
    type Command = ListInbox;
    const NAME: &'static str = "ListInbox";
    const EXCHANGES: bool = true;

    fn read(self, _reading: &mut Reading) -> Option<ListInbox> {
        Some(ListInbox {
            cursor: self.cursor,
            page_rows: page_rows(self.page_size),
        })
    }
}

impl Incoming for message::SendNoticeRequest {
    type Command = SendNotice;
    const NAME: &'static str = "SendNotice";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<SendNotice> {
        let request_id = reading.request_id(&self.request_id);
        let handover = handover_id(reading, &self.handover_id);
        let kind = reading.code("kind", self.kind, NoticeKind::from_number);
        Some(SendNotice {
            request_id: request_id?,
            handover: handover?,
            kind: kind?,
        })
    }
}

impl Incoming for message::AckNoticeRequest {
    type Command = AckNotice;
    const NAME: &'static str = "AckNotice";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<AckNotice> {
        let request_id = reading.request_id(&self.request_id);
        let notice = reading.id("notice_id", &self.notice_id, NoticeId::from_slice);
        Some(AckNotice {
            request_id: request_id?,
            notice: notice?,
        })
    }
}

impl Incoming for message::AnswerNoticeRequest {
    type Command = AnswerNotice;
    const NAME: &'static str = "AnswerNotice";
    const EXCHANGES: bool = true;

    fn request_id(&self) -> Option<RequestId> {
        RequestId::from_slice(&self.request_id)
    }

    fn read(self, reading: &mut Reading) -> Option<AnswerNotice> {
        let request_id = reading.request_id(&self.request_id);
        let notice = reading.id("notice_id", &self.notice_id, NoticeId::from_slice);
        let answer = paper::Signed::<paper::NoticeAnswer>::receive(self.answer, &self.signature);
        let answer = reading.signed("answer", answer)?;
        Some(AnswerNotice {
            request_id: request_id?,
            notice: notice?,
            answer,
        })
    }
}

fn handover_id(reading: &mut Reading, octets: &[u8]) -> Option<HandoverId> {
    reading.id("handover_id", octets, HandoverId::from_slice)
}

fn manifest(
    reading: &mut Reading,
    sent: Option<message::SignedManifest>,
) -> Option<SignedManifest> {
    let sent = reading.present("manifest", sent)?;
    let desk = reading.name("manifest.desk", &sent.desk);
    let signed = paper::Signed::receive(sent.manifest, &sent.signature);
    let signed = reading.signed("manifest", signed)?;
    Some(SignedManifest {
        signed,
        desk: desk?,
    })
}

fn fields(
    reading: &mut Reading,
    name: &str,
    sent: Option<message::SealedFields>,
) -> Option<SealedFields> {
    let sent = reading.present(name, sent)?;
    let mut fields = Vec::with_capacity(sent.fields.len());
    for (index, field) in sent.fields.into_iter().enumerate() {
        let label = reading.name(&format!("{name}.fields[{index}].label"), &field.label);
        fields.push(label.map(|label| (label, field.sealed)));
    }
    Some(SealedFields {
        encapsulation: sent.encapsulation,
        fields: fields.into_iter().collect::<Option<_>>()?,
    })
}
