//! The report of what became of somebody: after completion the recipient seals it to the sender, who fetches it.
//!
//! Each sending and each fetch decides anew on the locked row. Must never let one go that was made or is read after the
//! handover was stopped, and must never know what it says: codes are for its two ends.

use super::body::{Payload, ReportCourse, SealedFields};
use super::manifest::{Received, labels_of};
use super::offer::{decide, mark_opened, minimise, tell_refused};
use super::{Attempt, HandoverReceipt, Loaded, enter, judge, load_as, save};
use crate::Error;
use crate::feed;
use crate::record::Record;
use crate::rowkey::{self, SealedRow};
use crate::serve::{Command, Fingerprint, Receipt, Room, Verdict};
use papers::feed::Told;
use papers::paper::SignedManifest;
use rules::clock::Timestamp;
use rules::feed::FeedKind;
use rules::handover::{Actor, BasisKind, Event, State, Step};
use rules::id::{HandoverId, Label, Party, RequestId};
use rules::limits::{DAY_MILLIS, REPORT_AGAIN_MILLIS, REPORT_DAYS_MAX};
use rules::policy::{Action, Stage};
use rules::reason::{Outcome, Reason, Refusal};
use rules::register::ReportTerms;
use store::Tx;
use store::report::ReportRow;

const TABLE: &str = "report";

/// Sends the report.
#[derive(Clone, Debug)]
pub struct SendReport {
    /// The caller's id of this request.
    pub request_id: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// The manifest of whoever sealed.
    pub manifest: SignedManifest,
    /// The sealed report.
    pub report: SealedFields,
}

impl SendReport {
    /// What can be refused without asking the policies: it was stopped, it is late, there is one that was read, or a
    /// label is no report's.
    fn check(&self, room: &Room<'_>, loaded: &Loaded) -> Result<(), Refusal> {
        stands(loaded)?;
        let terms = terms(room, loaded)?;
        if room.call.now > last_moment(loaded, terms) {
            return Err(Refusal::new(Reason::ReportTooLate));
        }
        let current = room
            .in_force
            .directory
            .sealing_key(&loaded.body.sender, room.call.now);
        let current = current.map(|key| key_name(&vault::digest::sha256(&key.public_key)));
        let former = loaded.body.course.report.as_ref();
        if former.is_some_and(|former| {
            former.fetched_millis.is_some() && Some(&former.key_sha256) == current.as_ref()
        }) {
            return Err(Refusal::new(Reason::ReportFetched));
        }
        let labels = labels_of(self.manifest.paper());
        room.in_force.check_labels("manifest.fields", &labels)?;
        match labels.iter().find(|label| !terms.labels.contains(*label)) {
            Some(foreign) => {
                let text = format!("label `{foreign}` may not be in a report for this purpose");
                let refused = Refusal::about(Reason::LabelsNoneAllowed, "manifest.fields", text);
                Err(refused)
            }
            None => Ok(()),
        }
    }

    async fn write(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        loaded: &mut Loaded,
        (step, record): (&Step, &mut Record),
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let received = Received {
            manifest: &self.manifest,
            sealed: &self.report,
            stage: Stage::Report,
        };
        if let Err(refusal) = received.check(room, loaded) {
            return Ok(Verdict::refused(refusal, record.clone()));
        }
        let labels = labels_of(self.manifest.paper());
        let what = (Action::Report, Stage::Report);
        let permit = match decide(room, loaded, what, &labels, record) {
            Ok(permit) => permit,
            Err(verdict) => {
                return tell_refused(room, tx, loaded, (FeedKind::ReportRefused, verdict)).await;
            }
        };
        let (sealed, dropped) = match minimise(&received, permit.labels(), record) {
            Ok(minimised) => minimised,
            Err(refusal) => return Ok(Verdict::refused(refusal, record.clone())),
        };
        let payload = Payload {
            manifest: self.manifest.clone(),
            sealed,
            pseudonym: None,
        };
        let now = room.call.now;
        let id = loaded.row.handover_id;
        let row = rowkey::seal(room.broker, TABLE, id.bytes(), &payload.encode()?, now)?;
        let row = ReportRow {
            gone_at: now.plus_millis(REPORT_DAYS_MAX.saturating_mul(DAY_MILLIS)),
            wrapped_key: row.wrapped_key,
            sealed: row.sealed,
        };
        tx.put_report(&permit, id, &row).await?;
        let former = loaded.body.course.report.as_ref();
        let was_read = former.is_some_and(|former| former.was_read);
        loaded.body.course.report = Some(ReportCourse {
            sent_millis: now.millis(),
            fetched_millis: None,
            was_read,
            key_sha256: key_name(&self.manifest.paper().sealing_key_sha256),
        });
        // Whoever tells of a person holds something of theirs: a notice must reach it.
        mark_opened(room, tx, loaded).await?;
        enter(room, tx, loaded, step).await?;
        let told = Told {
            labels: feed::texts(&record.labels),
            ..feed::about(loaded, FeedKind::ReportSent)
        };
        feed::write(room, tx, &told).await?;
        let receipt = HandoverReceipt {
            dropped,
            ..loaded.receipt()?
        };
        Ok(Verdict::permitted(receipt, record.clone()))
    }
}

impl Command for SendReport {
    type Reply = HandoverReceipt;

    fn name(&self) -> &'static str {
        "SendReport"
    }

    fn repeatable(&self) -> Option<(RequestId, Fingerprint)> {
        let mut fingerprint = Fingerprint::default();
        fingerprint
            .add(b"SendReport")
            .add(self.handover.bytes())
            .add_labels(&labels_of(self.manifest.paper()));
        // A desk repeats what it kept, and seals nothing anew: another seal is another report.
        for field in &self.manifest.paper().fields {
            fingerprint.add(&field.sealed_sha256);
        }
        Some((self.request_id, fingerprint))
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<HandoverReceipt>, Error> {
        let mut loaded = match load_as(room, tx, self.handover, Actor::Recipient).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        // What is refused is a line to the person as well.
        if let Err(refusal) = loaded.count_line(room, tx).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let attempt = attempt(Event::SendReport, Actor::Recipient);
        let step = match judge(room, &loaded, attempt)? {
            Outcome::Permitted(step) => step,
            Outcome::Refused(refusal) => {
                return refuse(
                    room,
                    tx,
                    &loaded,
                    (FeedKind::ReportRefused, refusal, record),
                )
                .await;
            }
        };
        if let Err(refusal) = self.check(room, &loaded) {
            return refuse(
                room,
                tx,
                &loaded,
                (FeedKind::ReportRefused, refusal, record),
            )
            .await;
        }
        self.write(room, tx, &mut loaded, (&step, &mut record))
            .await
    }

    fn receipt(&self, reply: &HandoverReceipt) -> Receipt {
        reply.stored()
    }

    fn replay(&self, receipt: Receipt) -> Result<HandoverReceipt, Error> {
        HandoverReceipt::replay(receipt)
    }
}

/// What a sender reads of a report.
#[derive(Clone, Debug)]
pub struct ReportOut {
    /// The handover as it stands.
    pub receipt: HandoverReceipt,
    /// The report, without what may not be read now.
    pub payload: Payload,
    /// The handover's recipient, which reports.
    pub recipient: Party,
}

/// Fetches the report.
#[derive(Clone, Copy, Debug)]
pub struct FetchReport {
    /// The handover.
    pub handover: HandoverId,
}

impl FetchReport {
    async fn read_out(
        &self,
        room: &Room<'_>,
        tx: &mut Tx<'_>,
        loaded: &mut Loaded,
        record: &mut Record,
    ) -> Result<Verdict<ReportOut>, Error> {
        let wanted: Vec<Label> = match terms(room, loaded) {
            Ok(terms) => terms.labels.iter().cloned().collect(),
            Err(refusal) => {
                return refuse(
                    room,
                    tx,
                    loaded,
                    (FeedKind::ReportReadRefused, refusal, record.clone()),
                )
                .await;
            }
        };
        let what = (Action::FetchReport, Stage::Report);
        let permit = match decide(room, loaded, what, &wanted, record) {
            Ok(permit) => permit,
            Err(verdict) => {
                return tell_refused(room, tx, loaded, (FeedKind::ReportReadRefused, verdict))
                    .await;
            }
        };
        let now = room.call.now;
        let id = loaded.row.handover_id;
        let Some(row) = tx.report(&permit, id, now).await? else {
            return Ok(Verdict::refused(none_there(room, loaded), record.clone()));
        };
        let sealed = SealedRow {
            wrapped_key: row.wrapped_key,
            sealed: row.sealed,
        };
        let octets = rowkey::open(room.broker, TABLE, id.bytes(), &sealed)?;
        let mut payload = Payload::decode(&octets)?;
        let fields = &mut payload.sealed.fields;
        fields.retain(|(label, _)| permit.labels().contains(label));
        if fields.is_empty() {
            return Ok(Verdict::refused(Reason::LabelsNoneAllowed, record.clone()));
        }
        record.labels = payload.sealed.labels();
        mark_fetched(room, tx, loaded).await?;
        let told = Told {
            labels: feed::texts(&record.labels),
            ..feed::about(loaded, FeedKind::ReportOpened)
        };
        feed::write(room, tx, &told).await?;
        let reply = ReportOut {
            receipt: loaded.receipt()?,
            payload,
            recipient: loaded.body.recipient.clone(),
        };
        Ok(Verdict::permitted(reply, record.clone()))
    }
}

impl Command for FetchReport {
    type Reply = ReportOut;

    fn name(&self) -> &'static str {
        "FetchReport"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<ReportOut>, Error> {
        let mut loaded = match load_as(room, tx, self.handover, Actor::Sender).await? {
            Ok(loaded) => loaded,
            Err(verdict) => return Ok(verdict),
        };
        let mut record = loaded.record(room);
        // What is refused is a line to the person as well.
        if let Err(refusal) = loaded.count_line(room, tx).await? {
            return Ok(Verdict::refused(refusal, record));
        }
        let attempt = attempt(Event::FetchReport, Actor::Sender);
        if let Outcome::Refused(refusal) = judge(room, &loaded, attempt)? {
            return refuse(
                room,
                tx,
                &loaded,
                (FeedKind::ReportReadRefused, refusal, record),
            )
            .await;
        }
        if let Err(refusal) = stands(&loaded).and_then(|()| is_there(room, &loaded)) {
            return refuse(
                room,
                tx,
                &loaded,
                (FeedKind::ReportReadRefused, refusal, record),
            )
            .await;
        }
        self.read_out(room, tx, &mut loaded, &mut record).await
    }
}

const fn attempt(event: Event, actor: Actor) -> Attempt {
    Attempt {
        event,
        actor,
        expected_revision: None,
    }
}

/// How the row names a sealing key.
fn key_name(sha256: &[u8; 32]) -> String {
    rules::hex::encode(sha256)
}

/// What the register says about a report of this handover.
fn terms<'a>(room: &'a Room<'_>, loaded: &Loaded) -> Result<&'a ReportTerms, Refusal> {
    let entry = room.in_force.entry(&loaded.body)?;
    let terms = entry.report.as_ref();
    terms.ok_or_else(|| Refusal::new(Reason::LabelsNoneAllowed))
}

/// Whether something of a completed handover may be told back on the law: then the person can object to that.
pub(super) fn may_come(room: &Room<'_>, loaded: &Loaded) -> Result<bool, Error> {
    let on_law = room.in_force.basis_kind(&loaded.body) == BasisKind::Statute;
    Ok(on_law && loaded.state()? == State::Completed && terms(room, loaded).is_ok())
}

/// Whether nothing has stopped what the handover rested on: a completed one keeps the number that it was made under.
fn stands(loaded: &Loaded) -> Result<(), Refusal> {
    if loaded.row.stop_number == loaded.subject.stop_number {
        Ok(())
    } else {
        Err(Refusal::new(Reason::ReportStopped))
    }
}

/// Whether there is a report, as far as the handover tells: none was sent, or it was fetched long enough ago.
fn is_there(room: &Room<'_>, loaded: &Loaded) -> Result<(), Refusal> {
    let Some(report) = &loaded.body.course.report else {
        return Err(none_there(room, loaded));
    };
    let until = report
        .fetched_millis
        .map(|millis| Timestamp::from_millis(millis).plus_millis(REPORT_AGAIN_MILLIS));
    match until {
        Some(until) if until <= room.call.now => Err(Refusal::new(Reason::ReportFetched)),
        Some(_) | None => Ok(()),
    }
}

/// That no report waits, and who may send one now.
fn none_there(room: &Room<'_>, loaded: &Loaded) -> Refusal {
    let may_come =
        terms(room, loaded).is_ok_and(|terms| room.call.now <= last_moment(loaded, terms));
    let text = match (&loaded.body.course.report, may_come) {
        (_, false) => "is COMPLETED, no report is kept, and none may be sent now",
        (None, true) => "is COMPLETED and no report was sent; now the recipient may: SendReport",
        (Some(_), true) => "is COMPLETED and its report is gone; now the recipient may: SendReport",
    };
    Refusal::about(Reason::StateForbidsEvent, "state", text)
}

/// The last moment at which a report may be sent.
fn last_moment(loaded: &Loaded, terms: &ReportTerms) -> Timestamp {
    let millis = i64::from(terms.days).saturating_mul(DAY_MILLIS);
    loaded.row.entered_at.plus_millis(millis)
}

/// Refuses, and tells the person when it was refused for what was stopped or waits: the table looks at that before the
/// policies are asked.
async fn refuse<T>(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    loaded: &Loaded,
    (kind, refusal, mut record): (FeedKind, Refusal, Record),
) -> Result<Verdict<T>, Error> {
    let of_person = matches!(
        refusal.reason,
        Reason::ReportStopped | Reason::ObjectionPending | Reason::ProcessingRestricted
    );
    if !of_person {
        return Ok(Verdict::refused(refusal, record));
    }
    record.codes = vec![refusal.reason];
    let verdict = Box::new(Verdict::refused(refusal, record));
    tell_refused(room, tx, loaded, (kind, verdict)).await
}

/// The sender has the report now: from here on a stop reaches it with a notice, and the report stays for whoever lost
/// the answer, for a while.
async fn mark_fetched(room: &Room<'_>, tx: &mut Tx<'_>, loaded: &mut Loaded) -> Result<(), Error> {
    let now = room.call.now;
    let Some(report) = &mut loaded.body.course.report else {
        return Ok(());
    };
    if report.fetched_millis.is_some() {
        return Ok(());
    }
    report.fetched_millis = Some(now.millis());
    report.was_read = true;
    save(room, tx, loaded).await?;
    let gone_at = now.plus_millis(REPORT_AGAIN_MILLIS);
    tx.shorten_report(loaded.row.handover_id, gone_at).await?;
    Ok(())
}
