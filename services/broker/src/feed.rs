//! The transparency feed: a line for every exchange and every attempt at one, in the transaction of what
//! it tells, until the portal has taken it over.
//!
//! Must never name a person: the first line of an exchange introduces it with a ciphertext that only the
//! portal can read. Must never be served to anybody but the portal.

use crate::Error;
use crate::handover::Loaded;
use crate::record::Record;
use crate::rowkey::{self, SealedRow};
use crate::serve::{Command, Room, Verdict};
use papers::feed::{FeedLine, Told};
use rules::clock::{Clock, Timestamp};
use rules::feed::FeedKind;
use rules::id::{EntryId, Label};
use rules::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use store::Tx;
use store::feed::FeedRow;

/// Lines in one answer.
pub const FEED_LINES_MAX: usize = 500;
const TABLE: &str = "feed";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    exchange: String,
    introduction: String,
    time: i64,
    kind: i32,
    sender: String,
    recipient: String,
    purpose: String,
    basis: (String, String),
    labels: Vec<String>,
    code: String,
}

/// A line about a handover, with nothing but its kind.
#[must_use]
pub fn about(loaded: &Loaded, kind: FeedKind) -> Told {
    let body = &loaded.body;
    Told {
        exchange: *loaded.row.handover_id.bytes(),
        introduction: None,
        kind,
        sender: body.sender.clone(),
        recipient: body.recipient.clone(),
        purpose: body.purpose.clone(),
        basis: (body.basis.to_string(), body.article.clone()),
        labels: Vec::new(),
        code: String::new(),
    }
}

/// Labels as a line has them.
pub fn texts<'a>(labels: impl IntoIterator<Item = &'a Label>) -> Vec<String> {
    labels.into_iter().map(ToString::to_string).collect()
}

/// The moment by which a line takes its place in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment(Timestamp);

impl Clock for Moment {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Where a line belongs: the one that introduces its exchange at the time in the exchange's own id, all others
/// after it. So the portal gets the introduction first, also when a clock was set back in between or another
/// broker's is behind.
fn place_of(told: &Told, now: Timestamp) -> Moment {
    let [a, b, c, d, e, f, ..] = told.exchange;
    let begun = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    Moment(if told.introduction.is_some() {
        Timestamp::from_millis(begun)
    } else {
        Timestamp::from_millis(now.millis().max(begun.saturating_add(1)))
    })
}

/// Writes a line, in the transaction of what it tells.
///
/// # Errors
/// When the database or a seal fails.
pub async fn write(room: &Room<'_>, tx: &mut Tx<'_>, told: &Told) -> Result<(), Error> {
    let broker = room.broker;
    let id = EntryId::draw(&place_of(told, broker.now()), broker.random());
    let stored = Stored {
        exchange: rules::hex::encode(&told.exchange),
        introduction: told
            .introduction
            .map(|octets| rules::hex::encode(&octets))
            .unwrap_or_default(),
        time: room.call.now.millis(),
        kind: told.kind.number(),
        sender: told.sender.to_string(),
        recipient: told.recipient.to_string(),
        purpose: told.purpose.to_string(),
        basis: told.basis.clone(),
        labels: told.labels.clone(),
        code: told.code.clone(),
    };
    let plain = serde_json::to_vec(&stored).map_err(|_| Error::Malformed("a feed line"))?;
    let row = rowkey::seal(broker, TABLE, id.bytes(), &plain, room.call.now)?;
    tx.insert_feed_line(&FeedRow {
        line_id: id,
        wrapped_key: row.wrapped_key,
        sealed: row.sealed,
    })
    .await?;
    Ok(())
}

fn open(room: &Room<'_>, row: FeedRow) -> Result<FeedLine, Error> {
    let wrong = || Error::Malformed("a feed line");
    let sealed = SealedRow {
        wrapped_key: row.wrapped_key,
        sealed: row.sealed,
    };
    let plain = rowkey::open(room.broker, TABLE, row.line_id.bytes(), &sealed)?;
    let stored: Stored = serde_json::from_slice(&plain).map_err(|_| wrong())?;
    let octets = |text: &str| rules::hex::decode(text).ok_or_else(wrong);
    let introduction = match stored.introduction.as_str() {
        "" => None,
        text => Some(octets(text)?.try_into().map_err(|_| wrong())?),
    };
    Ok(FeedLine {
        id: row.line_id,
        time: Timestamp::from_millis(stored.time),
        told: Told {
            exchange: octets(&stored.exchange)?.try_into().map_err(|_| wrong())?,
            introduction,
            kind: FeedKind::from_number(stored.kind).ok_or_else(wrong)?,
            sender: stored.sender.parse().map_err(|_| wrong())?,
            recipient: stored.recipient.parse().map_err(|_| wrong())?,
            purpose: stored.purpose.parse().map_err(|_| wrong())?,
            basis: stored.basis,
            labels: stored.labels,
            code: stored.code,
        },
    })
}

/// The oldest lines that the portal has not taken over.
#[derive(Clone, Copy, Debug)]
pub struct PullFeed {
    /// Lines at most.
    pub limit: usize,
}

impl Command for PullFeed {
    type Reply = Vec<FeedLine>;

    fn name(&self) -> &'static str {
        "PullFeed"
    }

    /// A person reads what was done whatever is in force.
    fn outlives_directory(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<Vec<FeedLine>>, Error> {
        let mut record = Record::default();
        if let Err(refusal) = crate::consent::need_portal(room.call) {
            return Ok(Verdict::refused(refusal, record));
        }
        let limit = self.limit.clamp(1, FEED_LINES_MAX);
        let rows = tx
            .feed_lines(i64::try_from(limit).unwrap_or(i64::MAX))
            .await?;
        let lines = rows
            .into_iter()
            .map(|row| open(room, row))
            .collect::<Result<Vec<_>, _>>()?;
        record.batch = Some((u64::try_from(lines.len()).unwrap_or(u64::MAX), 0));
        Ok(Verdict::permitted(lines, record))
    }
}

/// Lines that the portal has taken over.
#[derive(Clone, Debug)]
pub struct AckFeed {
    /// The lines.
    pub lines: Vec<EntryId>,
}

impl Command for AckFeed {
    type Reply = u64;

    fn name(&self) -> &'static str {
        "AckFeed"
    }

    /// A person reads what was done whatever is in force.
    fn outlives_directory(&self) -> bool {
        true
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<u64>, Error> {
        let mut record = Record::default();
        if let Err(refusal) = crate::consent::need_portal(room.call) {
            return Ok(Verdict::refused(refusal, record));
        }
        if self.lines.len() > FEED_LINES_MAX {
            let text = format!("has more than {FEED_LINES_MAX} lines");
            let refusal = Refusal::about(Reason::InvalidRequest, "line_ids", text);
            return Ok(Verdict::refused(refusal, record));
        }
        let forgotten = tx.delete_feed_lines(&self.lines).await?;
        record.batch = Some((forgotten, 0));
        Ok(Verdict::permitted(forgotten, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(exchange: [u8; 16], introduces: bool) -> Told {
        Told {
            exchange,
            introduction: introduces.then_some([1; 64]),
            kind: FeedKind::Prepared,
            sender: "00000099000000001000/main".parse().unwrap(),
            recipient: "00000099000000002000/main".parse().unwrap(),
            purpose: "HANDOVER".parse().unwrap(),
            basis: (String::new(), String::new()),
            labels: Vec::new(),
            code: String::new(),
        }
    }

    #[track_caller]
    fn check(begun: i64, now: i64, introduces: bool, expected: i64) {
        let mut exchange = [9; 16];
        exchange[..6].copy_from_slice(&begun.to_be_bytes()[2..]);
        let place = place_of(&told(exchange, introduces), Timestamp::from_millis(now));
        assert_eq!(place, Moment(Timestamp::from_millis(expected)));
    }

    #[test]
    fn the_introduction_of_an_exchange_comes_first_whatever_the_clock_says() {
        check(1_000, 1_005, true, 1_000);
        check(1_000, 1_005, false, 1_005);
        check(1_000, 1_000, false, 1_001);
        check(1_000, 10, false, 1_001);
        check(1_000, 10, true, 1_000);
    }
}
