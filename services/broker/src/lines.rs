//! How many lines each side of a relation may cause to one person on one day: what writes to a person or an inbox is counted on the
//! person's locked row, known or not. Beyond the bound it is refused, and the person reads one line that counts.
//!
//! Must never count or refuse what stops, ends or answers something.

use crate::Error;
use crate::broker::Keys;
use crate::call::Call;
use crate::feed;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict};
use papers::feed::Told;
use papers::frame::{FrameReader, FrameWriter};
use rules::audit::Audience;
use rules::calendar::Day;
use rules::clock::Timestamp;
use rules::feed::FeedKind;
use rules::handover::Side;
use rules::id::{Party, Purpose};
use rules::reason::{Reason, Refusal};
use store::Tx;
use store::pseudonym::{Lines, SubjectRow};
use vault::rest::Place;

/// The exchange through which the person is told, should it be too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// Its id.
    pub(crate) exchange: [u8; 16],
    /// The portal's pseudonym, encrypted to the portal, where the portal does not know the exchange yet.
    pub(crate) introduction: Option<[u8; 64]>,
    /// Who hands over.
    pub(crate) sender: &'a Party,
    /// To whom.
    pub(crate) recipient: &'a Party,
    /// For which purpose.
    pub(crate) purpose: &'a Purpose,
}

impl About<'_> {
    fn told(&self, code: String) -> Told {
        Told {
            exchange: self.exchange,
            introduction: self.introduction,
            kind: FeedKind::Folded,
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            purpose: self.purpose.clone(),
            basis: (String::new(), String::new()),
            labels: Vec::new(),
            code,
        }
    }
}

/// Counts one more on the person's row, which must be locked.
///
/// # Errors
/// When the database or a seal fails. The inner refusal is `TOO_MANY_LINES`, whoever the person is.
pub(crate) async fn count(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    (index, subject): (&[u8; 32], &SubjectRow),
    (by, about): (Side, &About<'_>),
) -> Result<Result<(), Refusal>, Error> {
    let day = day_of(room.call.now);
    let mut lines = subject.lines;
    if is_over(lines.day, day) {
        if lines.folded > 0 {
            tell_folded(room, tx, index, lines).await?;
        }
        lines = Lines {
            day,
            ..Lines::default()
        };
    }
    let written = match by {
        Side::Sender => &mut lines.by_sender,
        Side::Recipient => &mut lines.by_recipient,
    };
    if *written < i64::from(room.broker.limits().lines_per_day) {
        *written = written.saturating_add(1);
        tx.update_lines(index, lines).await?;
        return Ok(Ok(()));
    }
    let folded = lines.folded.saturating_add(1);
    if lines.folded == 0 {
        feed::write(room, tx, &about.told(String::new())).await?;
        let sealed = seal(room.broker.keys(), index, about)?;
        tx.fold_lines(index, folded, Some(&sealed)).await?;
    }
    lines.folded = folded;
    tx.update_lines(index, lines).await?;
    Ok(Err(Refusal::new(Reason::TooManyLines)))
}

/// Whether a day that was counted is over. One that lies further ahead than tomorrow was counted by a clock that was
/// ahead, and would keep everybody waiting for it.
const fn is_over(counted: i64, today: i64) -> bool {
    counted < today || counted > today.saturating_add(1)
}

const fn place(index: &[u8; 32]) -> Place<'_> {
    Place {
        table: "relation_subject",
        row: index,
        column: "folded_line",
    }
}

fn seal(keys: &Keys, index: &[u8; 32], about: &About<'_>) -> Result<Vec<u8>, Error> {
    let mut writer = FrameWriter::default();
    writer.put(&about.exchange)?;
    for text in [
        about.sender.to_string(),
        about.recipient.to_string(),
        about.purpose.to_string(),
    ] {
        writer.put(text.as_bytes())?;
    }
    keys.seal(&place(index), &writer.finish())
}

/// The day of a moment in Amsterdam, as days since 1970-01-01.
pub(crate) fn day_of(moment: Timestamp) -> i64 {
    Day::at(moment).map_or(0, Day::number)
}

/// Tells a person how much was refused on a day that is over, as of its last moment (or now, when that
/// is yet to come), and forgets it. What cannot be
/// read any more is not told, and keeps nothing that comes after it from being counted. Gives about whom it was.
async fn tell_folded(
    room: &Room<'_>,
    tx: &mut Tx<'_>,
    index: &[u8; 32],
    lines: Lines,
) -> Result<Option<(Party, Party, Purpose)>, Error> {
    let sealed = tx.lock_folded_line(index).await?;
    tx.fold_lines(index, 0, None).await?;
    let opened = sealed.map(|sealed| open(room.broker.keys(), index, &sealed));
    let (exchange, sender, recipient, purpose) = match opened {
        Some(Ok(opened)) => opened,
        Some(Err(fault)) => {
            tracing::error!(%fault, "how much was refused on a day cannot be told to the person");
            return Ok(None);
        }
        None => return Ok(None),
    };
    let about = About {
        exchange,
        introduction: None,
        sender: &sender,
        recipient: &recipient,
        purpose: &purpose,
    };
    let end = Day::from_number(lines.day).and_then(Day::end);
    let call = Call {
        now: end.map_or(room.call.now, |end| end.plus_millis(-1).min(room.call.now)),
        ..room.call.clone()
    };
    let then = room.with(&call);
    feed::write(&then, tx, &about.told(lines.folded.to_string())).await?;
    Ok(Some((sender, recipient, purpose)))
}

/// Tells a person how much was refused on a day that is over: the broker's own work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TellFolded {
    /// The index of the person's row.
    pub(crate) index: [u8; 32],
}

impl Command for TellFolded {
    type Reply = ();

    fn name(&self) -> &'static str {
        "TellFolded"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<()>, Error> {
        let mut record = Record {
            // Neither side was told how often the other tried.
            audience: Audience::Nobody,
            ..Record::default()
        };
        let Some(subject) = tx.lock_subject(&self.index).await? else {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        };
        let lines = subject.lines;
        if lines.folded == 0 || !is_over(lines.day, day_of(room.call.now)) {
            return Ok(Verdict::hidden(Reason::NotAvailable, record));
        }
        if let Some((sender, recipient, purpose)) =
            tell_folded(room, tx, &self.index, lines).await?
        {
            record.sender = Some(sender);
            record.recipient = Some(recipient);
            record.purpose = Some(purpose);
        }
        record.person = Some(room.broker.keys().tag("subject", &self.index));
        Ok(Verdict::permitted((), record))
    }
}

/// The exchange, sender, recipient and purpose of a folded line.
fn open(
    keys: &Keys,
    index: &[u8; 32],
    sealed: &[u8],
) -> Result<([u8; 16], Party, Party, Purpose), Error> {
    let wrong = || Error::Malformed("a folded line");
    let octets = keys.open(&place(index), sealed)?;
    let mut reader = FrameReader::new(&octets);
    let exchange = reader.take()?.try_into().map_err(|_| wrong())?;
    let (sender, recipient) = (party(&mut reader)?, party(&mut reader)?);
    let purpose = reader.take_text()?.parse().map_err(|_| wrong())?;
    Ok((exchange, sender, recipient, purpose))
}

fn party(reader: &mut FrameReader<'_>) -> Result<Party, Error> {
    let text = reader.take_text()?;
    text.parse().map_err(|_| Error::Malformed("a folded line"))
}
