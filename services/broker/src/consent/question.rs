//! Questions for consent that wait for an answer: answered by a consent, or lapsed.
//!
//! Must never tell whoever asked that nobody answered: that would tell something about a person.

use crate::Error;
use crate::feed;
use crate::handover::person::Subject;
use crate::inbox::{self, InboxItem};
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use papers::feed::Told;
use rules::audit::Audience;
use rules::consent::ConsentState;
use rules::feed::FeedKind;
use rules::handover::InboxKind;
use rules::id::{HandoverId, Party, Purpose};
use rules::limits::QUESTION_MILLIS;
use rules::reason::Reason;
use store::Tx;
use store::pseudonym::SubjectRow;
use vault::rest::Place;

/// Who asked, about whom to share with, and why.
pub(super) struct Asked {
    pub(super) sender: Party,
    pub(super) recipient: Party,
    pub(super) purpose: Purpose,
}

fn place(id: &HandoverId) -> Place<'_> {
    Place {
        table: "question",
        row: id.bytes(),
        column: "body",
    }
}

impl Asked {
    /// The question, sealed into its row.
    ///
    /// # Errors
    /// When the seal fails.
    pub(super) fn seal(&self, room: &Room<'_>, id: HandoverId) -> Result<Vec<u8>, Error> {
        let plain = format!("{} {} {}", self.sender, self.recipient, self.purpose);
        room.broker.keys().seal(&place(&id), plain.as_bytes())
    }

    fn open(room: &Room<'_>, id: HandoverId, body: &[u8]) -> Result<Self, Error> {
        let wrong = || Error::Malformed("a question");
        let plain = room.broker.keys().open(&place(&id), body)?;
        let plain = std::str::from_utf8(&plain).map_err(|_| wrong())?;
        let mut words = plain.split(' ');
        let mut next = || words.next().ok_or_else(wrong);
        Ok(Self {
            sender: next()?.parse().map_err(|_| wrong())?,
            recipient: next()?.parse().map_err(|_| wrong())?,
            purpose: next()?.parse().map_err(|_| wrong())?,
        })
    }
}

/// Who asked for this consent is told that it is there.
///
/// # Errors
/// When the database or a seal fails.
pub(super) async fn tell_askers(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    (subject, locked): (&Subject, &SubjectRow),
) -> Result<(), Error> {
    let waiting = tx.take_questions(&subject.index, locked.stop_number);
    for question in waiting.await? {
        let asked = Asked::open(room, question.question_id, &question.body)?;
        let item = InboxItem {
            kind: InboxKind::Ready,
            handover: question.question_id,
            revision: 1,
            time: room.call.now,
            notice: None,
            code: String::new(),
            purpose: asked.purpose,
        };
        inbox::deliver(room, tx, &asked.sender, &item).await?;
    }
    Ok(())
}

/// Lets a question lapse that nobody answered in time, and tells the person: the broker's own work.
#[derive(Clone, Copy, Debug)]
pub struct LapseQuestion {
    /// The question.
    pub question: HandoverId,
}

impl Command for LapseQuestion {
    type Reply = ();

    fn name(&self) -> &'static str {
        "LapseQuestion"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let before = room.call.now.plus_millis(-QUESTION_MILLIS);
        let Some((row, waited)) = tx.take_old_question(self.question, before).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, Record::default()));
        };
        let asked = Asked::open(room, self.question, &row.body)?;
        let record = Record {
            audience: Audience::Caller,
            sender: Some(asked.sender.clone()),
            recipient: Some(asked.recipient.clone()),
            purpose: Some(asked.purpose.clone()),
            event_code: Some(ConsentState::Lapsed.code()),
            ..Record::default()
        };
        if !waited {
            // The person has said no since, and needs not read that nobody answered.
            return Ok(Verdict::permitted((), record));
        }
        let told = Told {
            exchange: *self.question.bytes(),
            introduction: None,
            kind: FeedKind::Consent,
            sender: asked.sender,
            recipient: asked.recipient,
            purpose: asked.purpose,
            basis: (String::new(), String::new()),
            labels: Vec::new(),
            code: ConsentState::Lapsed.code().to_owned(),
        };
        feed::write(room, tx, &told).await?;
        Ok(Verdict::permitted((), record))
    }
}
