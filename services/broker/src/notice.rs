//! Notices (kennisgevingen): every recipient that opened something is told when it ends, is wrong, or
//! must be erased, and answers with a signature; a sender that fetched a report likewise.
//!
//! Must never be refused for lag or staleness, and must never forget one that was not answered.

use crate::Error;
use crate::feed;
use crate::handover::{Loaded, load};
use crate::inbox::{self, InboxItem};
use crate::record::Record;
use crate::serve::{Command, Fingerprint, NoticeReceipt, Receipt, Room, Verdict};
use papers::feed::Told;
use papers::frame::{FrameReader, FrameWriter};
use papers::paper::{NoticeAnswer, Signed};
use rules::clock::Timestamp;
use rules::feed::FeedKind;
use rules::handover::{Actor, InboxKind, Side};
use rules::id::{Basis, HandoverId, NoticeId, Party, RequestId};
use rules::notice::{Answer, AnswerCode, NoticeEvent, NoticeKind, NoticeState, NoticeTerms};
use rules::reason::{Outcome, Reason, Refusal};
use store::Tx;
use store::notice::NoticeRow;
use vault::rest::Place;
use vault::sign::VerifyingKey;

/// A notice as either side sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeView {
    /// The notice.
    pub notice: NoticeId,
    /// The handover it is about.
    pub handover: HandoverId,
    /// Its kind.
    pub kind: NoticeKind,
    /// Where it stands.
    pub state: NoticeState,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Until when an answer is in time.
    pub due_at: Timestamp,
    /// The answer.
    pub answer: Option<AnswerCode>,
    /// With RETAINED: the legal ground.
    pub ground: Option<Basis>,
    /// Whether the sender must answer, about the report that it fetched; else the recipient must.
    pub about_report: bool,
}

impl NoticeView {
    /// What is stored for a repeat.
    fn stored(&self) -> Receipt {
        Receipt {
            handover: self.handover.to_string(),
            notice: self.notice.to_string(),
            state: i64::from(self.state.number()),
            deadline_millis: Some(self.due_at.millis()),
            notice_view: Some(NoticeReceipt {
                kind: self.kind.number(),
                sent_millis: self.sent_at.millis(),
                answer: self.answer.map_or(0, AnswerCode::number),
                ground: self
                    .ground
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                about_report: self.about_report,
            }),
            ..Receipt::default()
        }
    }

    /// The view again, from what was stored.
    ///
    /// # Errors
    /// When the stored outcome is not one of a notice.
    fn replay(receipt: &Receipt) -> Result<Self, Error> {
        let wrong = || Error::Malformed("a stored outcome");
        let stored = receipt.notice_view.as_ref().ok_or_else(wrong)?;
        let state = i32::try_from(receipt.state).map_err(|_| wrong())?;
        let ground = match stored.ground.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| wrong())?),
        };
        Ok(Self {
            notice: receipt.notice_id()?,
            handover: receipt.handover_id()?,
            kind: NoticeKind::from_number(stored.kind).ok_or_else(wrong)?,
            state: NoticeState::from_number(state).ok_or_else(wrong)?,
            sent_at: Timestamp::from_millis(stored.sent_millis),
            due_at: Timestamp::from_millis(receipt.deadline_millis.ok_or_else(wrong)?),
            answer: AnswerCode::from_number(stored.answer),
            ground,
            about_report: stored.about_report,
        })
    }
}

/// Who of a handover is a side.
const fn party(loaded: &Loaded, side: Side) -> &Party {
    match side {
        Side::Sender => &loaded.body.sender,
        Side::Recipient => &loaded.body.recipient,
    }
}

/// Which side must answer a notice.
fn addressee(room: &Room<'_>, loaded: &Loaded, row: &NoticeRow) -> Side {
    if row.recipient == room.broker.keys().party_tag(&loaded.body.sender) {
        Side::Sender
    } else {
        Side::Recipient
    }
}

/// What the person is told a notice, or the answer to one, is: by who must answer it.
const fn told_as(side: Side, recipients: FeedKind, senders: FeedKind) -> FeedKind {
    match side {
        Side::Sender => senders,
        Side::Recipient => recipients,
    }
}

/// The notices of this kind about a handover that one side must answer.
async fn those(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    (to, kind): (Side, NoticeKind),
) -> Result<Vec<NoticeRow>, Error> {
    let tag = room.broker.keys().party_tag(party(loaded, to));
    let kind = i64::from(kind.number());
    let mut notices = tx.notices_of_handover(loaded.row.handover_id).await?;
    notices.retain(|notice| notice.kind == kind && notice.recipient == tag);
    Ok(notices)
}

/// Whether a notice of this kind was ever sent to a side of a handover.
///
/// # Errors
/// When the database fails.
pub(crate) async fn was_sent(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    (to, kind): (Side, NoticeKind),
) -> Result<bool, Error> {
    Ok(!those(room, tx, loaded, (to, kind)).await?.is_empty())
}

/// Starts a notice to one side of a handover, in the transaction of what caused it. While one of the kind is not
/// answered it stays the only one.
///
/// # Errors
/// When the database or the seal fails.
pub async fn start(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    (to, kind): (Side, NoticeKind),
) -> Result<NoticeId, Error> {
    let before = those(room, tx, loaded, (to, kind)).await?;
    if let Some(open) = before.iter().find(|notice| notice.answered_at.is_none()) {
        return Ok(open.notice_id);
    }
    let now = room.call.now;
    let id = NoticeId::draw(room.broker.clock(), room.broker.random());
    let row = NoticeRow {
        notice_id: id,
        handover_id: loaded.row.handover_id,
        recipient: room.broker.keys().party_tag(party(loaded, to)),
        kind: i64::from(kind.number()),
        state: i64::from(NoticeState::Sent.number()),
        sent_at: now,
        due_at: rules::notice::due(kind, now, &NoticeTerms::default(), &room.in_force.calendar),
        received_at: None,
        answered_at: None,
        body: Vec::new(),
    };
    tx.insert_notice(&row).await?;
    let notice = (id, kind);
    tell(room, tx, loaded, to, InboxKind::Notice, notice, "").await?;
    let told_as = told_as(to, FeedKind::Notice, FeedKind::ReportNotice);
    let told = Told {
        code: kind.code().to_owned(),
        ..feed::about(loaded, told_as)
    };
    feed::write(room, tx, &told).await?;
    Ok(id)
}

async fn tell(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    to: Side,
    kind: InboxKind,
    notice: (NoticeId, NoticeKind),
    code: &str,
) -> Result<(), Error> {
    let item = InboxItem {
        kind,
        handover: loaded.row.handover_id,
        revision: loaded.row.revision,
        time: room.call.now,
        notice: Some(notice),
        code: code.to_owned(),
        purpose: loaded.body.purpose.clone(),
    };
    inbox::deliver(room, tx, party(loaded, to), &item).await
}

/// The notice as it lies in its row.
///
/// # Errors
/// When the row is not of this program's making.
pub fn view(room: &Room<'_>, loaded: &Loaded, row: &NoticeRow) -> Result<NoticeView, Error> {
    let (answer, ground) = open_answer(room, row)?;
    Ok(NoticeView {
        notice: row.notice_id,
        handover: row.handover_id,
        kind: kind_of(row)?,
        state: state_of(row)?,
        sent_at: row.sent_at,
        due_at: row.due_at,
        answer,
        ground,
        about_report: addressee(room, loaded, row) == Side::Sender,
    })
}

fn kind_of(row: &NoticeRow) -> Result<NoticeKind, Error> {
    let number = i32::try_from(row.kind).ok();
    number
        .and_then(NoticeKind::from_number)
        .ok_or(Error::Malformed("a notice"))
}

fn state_of(row: &NoticeRow) -> Result<NoticeState, Error> {
    let number = i32::try_from(row.state).ok();
    number
        .and_then(NoticeState::from_number)
        .ok_or(Error::Malformed("a notice"))
}

fn body_place(id: &NoticeId) -> Place<'_> {
    Place {
        table: "notice",
        row: id.bytes(),
        column: "body",
    }
}

fn seal_answer(room: &Room<'_>, id: NoticeId, request: &AnswerNotice) -> Result<Vec<u8>, Error> {
    let mut writer = FrameWriter::default();
    writer.put(&request.code().number().to_be_bytes())?;
    writer.put(request.ground().as_bytes())?;
    writer.put(request.answer.bytes())?;
    writer.put(request.answer.signature().bytes())?;
    room.broker.keys().seal(&body_place(&id), &writer.finish())
}

fn open_answer(
    room: &Room<'_>,
    row: &NoticeRow,
) -> Result<(Option<AnswerCode>, Option<Basis>), Error> {
    if row.body.is_empty() {
        return Ok((None, None));
    }
    let wrong = || Error::Malformed("a notice's answer");
    let octets = room
        .broker
        .keys()
        .open(&body_place(&row.notice_id), &row.body)?;
    let mut reader = FrameReader::new(&octets);
    let number = i32::from_be_bytes(reader.take()?.try_into().map_err(|_| wrong())?);
    let ground = reader.take_text()?;
    let ground = if ground.is_empty() {
        None
    } else {
        Some(ground.parse().map_err(|_| wrong())?)
    };
    Ok((
        Some(AnswerCode::from_number(number).ok_or_else(wrong)?),
        ground,
    ))
}

/// Locks a notice that is the caller's to answer, with its handover; anything else is hidden.
async fn load_as_addressee<T>(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    id: NoticeId,
) -> Result<Result<(NoticeRow, Loaded), Verdict<T>>, Error> {
    let hidden = || Verdict::hidden(Reason::NotAvailable, Record::default());
    let Some(row) = tx.lock_notice(id).await? else {
        return Ok(Err(hidden()));
    };
    let loaded = load(room, tx, row.handover_id)
        .await?
        .ok_or(Error::Malformed("a notice without its handover"))?;
    if row.recipient == room.broker.keys().party_tag(&room.call.caller.party) {
        Ok(Ok((row, loaded)))
    } else {
        Ok(Err(hidden()))
    }
}

/// A notice by the sender: correct, erase, or say what is held.
#[derive(Clone, Copy, Debug)]
pub struct SendNotice {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// RECTIFICATION, ERASURE or ACCESS.
    pub kind: NoticeKind,
}

impl Command for SendNotice {
    type Reply = NoticeId;

    fn name(&self) -> &'static str {
        "SendNotice"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"SendNotice")
            .add(self.handover.bytes())
            .add(&self.kind.number().to_be_bytes());
        Some((self.request_id, fingerprint))
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<NoticeId>, Error> {
        let loaded = match crate::handover::load_as(room, tx, self.handover, Actor::Sender).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        record.event_code = Some(self.kind.code());
        if !self.kind.is_for_sender() {
            let text = "is started by the gateway, not by a sender";
            return Ok(Verdict::refused(
                Refusal::about(Reason::CodeUnknown, "kind", text),
                record,
            ));
        }
        // Who opened nothing holds nothing that could be corrected or erased.
        if loaded.row.opened_at.is_none() {
            let text = "was not opened by the recipient, who so has nothing to correct or to erase";
            let refusal = Refusal::about(Reason::StateForbidsEvent, "handover_id", text);
            return Ok(Verdict::refused(refusal, record));
        }
        if let Err(refusal) = loaded.count_line(room, tx).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let to = (Side::Recipient, self.kind);
        let id = start(room, tx, &loaded, to).await?;
        record.notice = Some(id);
        Ok(Verdict::permitted(id, record))
    }

    fn receipt(&self, reply: &NoticeId) -> Receipt {
        Receipt {
            handover: self.handover.to_string(),
            notice: reply.to_string(),
            ..Receipt::default()
        }
    }

    fn replay(&self, receipt: Receipt) -> Result<NoticeId, Error> {
        receipt.notice_id()
    }
}

/// Who must answer a notice has received it.
#[derive(Clone, Copy, Debug)]
pub struct AckNotice {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The notice.
    pub notice: NoticeId,
}

impl Command for AckNotice {
    type Reply = NoticeView;

    fn name(&self) -> &'static str {
        "AckNotice"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(b"AckNotice").add(self.notice.bytes());
        Some((self.request_id, fingerprint))
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<NoticeView>, Error> {
        let (mut row, loaded) = match load_as_addressee(room, tx, self.notice).await? {
            Ok(found) => found,
            Err(verdict) => return Ok(verdict),
        };
        let record = Record {
            notice: Some(self.notice),
            ..loaded.record(room)
        };
        match rules::notice::apply(state_of(&row)?, NoticeEvent::Ack) {
            Outcome::Permitted(state) => row.state = i64::from(state.number()),
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        }
        row.received_at = row.received_at.or(Some(room.call.now));
        tx.update_notice(&row).await?;
        Ok(Verdict::permitted(view(room, &loaded, &row)?, record))
    }

    fn receipt(&self, reply: &NoticeView) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<NoticeView, Error> {
        NoticeView::replay(&receipt)
    }
}

/// Who must answer a notice does.
#[derive(Clone, Debug)]
pub struct AnswerNotice {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The notice.
    pub notice: NoticeId,
    /// The answer, as signed.
    pub answer: Signed<NoticeAnswer>,
}

impl AnswerNotice {
    /// The answer is signed by the calling desk and names this notice.
    fn check_signature(&self, room: &Room<'_>) -> Result<(), Refusal> {
        if self.answer.paper().notice != self.notice {
            return Err(Refusal::new(Reason::NoticeSignatureInvalid));
        }
        let key = VerifyingKey::from_bytes(room.call.caller.signing_key);
        Ok(self.answer.verify(&key)?)
    }

    fn code(&self) -> AnswerCode {
        self.answer.paper().answer
    }

    /// With RETAINED: the legal ground; empty for none.
    fn ground(&self) -> &str {
        let answer = self.answer.paper();
        answer.ground.as_ref().map_or("", Basis::as_str)
    }
}

impl Command for AnswerNotice {
    type Reply = NoticeView;

    fn name(&self) -> &'static str {
        "AnswerNotice"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"AnswerNotice")
            .add(self.notice.bytes())
            .add(self.answer.paper().notice.bytes())
            .add(&self.code().number().to_be_bytes())
            .add(self.ground().as_bytes());
        Some((self.request_id, fingerprint))
    }

    fn stops(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<NoticeView>, Error> {
        let (mut row, loaded) = match load_as_addressee(room, tx, self.notice).await? {
            Ok(found) => found,
            Err(verdict) => return Ok(verdict),
        };
        let record = Record {
            notice: Some(self.notice),
            event_code: Some(self.code().code()),
            ..loaded.record(room)
        };
        if let Err(refusal) = self.check_signature(room) {
            return Ok(Verdict::refused(refusal, record));
        }
        let state = match rules::notice::apply(state_of(&row)?, NoticeEvent::Answer) {
            Outcome::Permitted(state) => state,
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        };
        let kind = kind_of(&row)?;
        if let Outcome::Refused(refusal) = Answer::new(kind, self.code(), self.ground()) {
            return Ok(Verdict::refused(refusal, record));
        }
        row.received_at = row.received_at.or(Some(room.call.now));
        row.answered_at = Some(room.call.now);
        row.state = i64::from(state.number());
        row.body = seal_answer(room, row.notice_id, self)?;
        tx.update_notice(&row).await?;
        let by = addressee(room, &loaded, &row);
        let (told_kind, code) = (InboxKind::NoticeAnswered, self.code().code());
        let notice = (self.notice, kind);
        tell(room, tx, &loaded, by.other(), told_kind, notice, code).await?;
        let (answered, of_report) = (FeedKind::NoticeAnswered, FeedKind::ReportNoticeAnswered);
        let told_as = told_as(by, answered, of_report);
        let told = Told {
            code: code.to_owned(),
            ..feed::about(&loaded, told_as)
        };
        feed::write(room, tx, &told).await?;
        Ok(Verdict::permitted(view(room, &loaded, &row)?, record))
    }

    fn receipt(&self, reply: &NoticeView) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<NoticeView, Error> {
        NoticeView::replay(&receipt)
    }
}

/// Marks a notice that was not answered in time, and tells the other side: the broker's own work.
#[derive(Clone, Copy, Debug)]
pub struct MarkOverdue {
    /// The notice.
    pub notice: NoticeId,
}

impl Command for MarkOverdue {
    type Reply = ();

    fn name(&self) -> &'static str {
        "MarkNoticeOverdue"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let Some(mut row) = tx.lock_notice(self.notice).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let loaded = load(room, tx, row.handover_id)
            .await?
            .ok_or(Error::Malformed("a notice without its handover"))?;
        let mut record = Record {
            notice: Some(self.notice),
            ..loaded.record(room)
        };
        if row.due_at > room.call.now {
            return Ok(Verdict::refused(Reason::StateForbidsEvent, record));
        }
        match rules::notice::apply(state_of(&row)?, NoticeEvent::Expire) {
            Outcome::Permitted(state) => row.state = i64::from(state.number()),
            Outcome::Refused(refusal) => return Ok(Verdict::refused(refusal, record)),
        }
        tx.update_notice(&row).await?;
        record.finding = Some("NOTICE_OVERDUE");
        let notice = (self.notice, kind_of(&row)?);
        let (told_kind, other) = (
            InboxKind::NoticeOverdue,
            addressee(room, &loaded, &row).other(),
        );
        tell(room, tx, &loaded, other, told_kind, notice, "").await?;
        Ok(Verdict::permitted((), record))
    }
}
