//! What waits in a broker's database too long: its own work, and what others should come for.
//!
//! Must never read more from a row than a moment or a count: no organisation and no exchange is named.

use super::database::fault;
use super::{Check, age, in_time};
use broker::lead::OWN_WORK;
use rules::clock::Timestamp;
use rules::limits::{DAY_MILLIS, HOUR_MILLIS, MINUTE_MILLIS};
use store::examine::Examination;
use store::{Error, Tx, Work};

/// Age of a line of the feed at which somebody should look, and at which the portal does not take it over:
/// it asks every second.
const FEED_MILLIS_WARNING: i64 = 10 * MINUTE_MILLIS;
const FEED_MILLIS_FAULT: i64 = DAY_MILLIS;
/// How long after its time an answer to a notice is more than late: the recipient must be called.
const NOTICE_MILLIS_FAULT: i64 = 7 * DAY_MILLIS;
/// How long a deadline may have passed while nobody ended the handover: the broker looks every few seconds.
const OWN_WORK_MILLIS_MAX: i64 = HOUR_MILLIS;

/// How long what follows from a stop may wait: nothing is released meanwhile, but keys lie and recipients do not know.
const STOP_MILLIS_MAX: i64 = MINUTE_MILLIS;

/// How long a lease may have run out while a broker runs: it is taken again every two seconds.
const LEAD_MILLIS_MAX: i64 = MINUTE_MILLIS;
/// Age of something in an inbox at which somebody should ask whether its owner's software runs at all, and at
/// which it is as good as undelivered: the lists tell the same, but nobody reads those either.
const INBOX_MILLIS_WARNING: i64 = DAY_MILLIS;
const INBOX_MILLIS_FAULT: i64 = 14 * DAY_MILLIS;

/// The names of the checks, in their order.
pub(super) const NAMES: [&str; 7] = [
    "own work", "door", "stops", "lead", "feed", "notices", "inboxes",
];

/// What waits at a broker: oldest first.
struct Waiting {
    lead_until: Option<Timestamp>,
    is_work_late: bool,
    shut_since: Option<Timestamp>,
    unreadable: usize,
    stop_since: Option<Timestamp>,
    feed_since: Option<Timestamp>,
    notice_due: Option<Timestamp>,
    inboxes: store::inbox::Waiting,
}

struct FindWaiting {
    now: Timestamp,
}

impl Work for FindWaiting {
    type Output = Waiting;
    type Error = Error;

    fn name(&self) -> &'static str {
        "FindWaiting"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Waiting, Error> {
        let late = self.now.plus_millis(-OWN_WORK_MILLIS_MAX);
        let lines = tx.feed_lines(1).await?;
        let lease = tx.lease(OWN_WORK).await?;
        Ok(Waiting {
            lead_until: lease.map(|lease| lease.held_until),
            is_work_late: !tx.due_handovers(late, 1, 0).await?.is_empty(),
            shut_since: tx.is_shut().await?.map(|shut| shut.restored_at),
            unreadable: tx.unreadable().await?.len(),
            stop_since: tx.oldest_consequence().await?,
            feed_since: lines.first().map(|line| line.line_id.drawn_at()),
            notice_due: tx.oldest_due_notice(self.now).await?,
            inboxes: tx.waiting_in_inboxes().await?,
        })
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// Looks at what waits at a broker.
pub(super) async fn look(examination: &mut Examination<'_>, now: Timestamp) -> Vec<Check> {
    let mut found = Vec::new();
    let work = FindWaiting { now };
    let first = in_time("own work", async {
        match examination.read(&work).await {
            Ok(waiting) => {
                found = vec![
                    door(waiting.shut_since, waiting.unreadable, now),
                    stops(waiting.stop_since, now),
                    lead(waiting.lead_until, now),
                    feed(waiting.feed_since, now),
                    notices(waiting.notice_due, now),
                    inboxes(&waiting.inboxes, now),
                ];
                own_work(waiting.is_work_late)
            }
            Err(error) => fault("own work", &error),
        }
    })
    .await;
    std::iter::once(first).chain(found).collect()
}

fn own_work(is_late: bool) -> Check {
    let name = "own work";
    let bound = age(OWN_WORK_MILLIS_MAX);
    if is_late {
        let text =
            format!("a handover's deadline passed more than {bound} ago, and nobody ended it");
        let remedy = "start the broker, or see in its log why its own work does not go on";
        Check::fault(name, text, remedy)
    } else {
        Check::ok(
            name,
            format!("no deadline has passed for more than {bound}"),
        )
    }
}

fn door(shut_since: Option<Timestamp>, unreadable: usize, now: Timestamp) -> Check {
    let name = "door";
    let remedy = "`sluis door show` names who is missing, and what the joint officer has to decide";
    match shut_since {
        Some(since) => {
            let age = age(now.millis_since(since).max(0));
            let text = format!("shut for {age}, since the tables were put back from a backup");
            Check::warning(name, text, remedy)
        }
        None if unreadable > 0 => {
            let text = format!(
                "open; of {unreadable} organisations something that they had stopped cannot be read"
            );
            Check::warning(name, text, remedy)
        }
        None => Check::ok(name, "open"),
    }
}

fn stops(since: Option<Timestamp>, now: Timestamp) -> Check {
    let name = "stops";
    let millis = since.map_or(0, |since| now.millis_since(since));
    if millis <= STOP_MILLIS_MAX {
        let bound = age(STOP_MILLIS_MAX);
        return Check::ok(
            name,
            format!("nothing that follows from a stop waits for more than {bound}"),
        );
    }
    let text = format!(
        "what follows from a stop waits for {}: nothing is released, but recipients do not know",
        age(millis)
    );
    let remedy = "start the broker, or see in its log why its own work does not go on";
    Check::fault(name, text, remedy)
}

fn lead(until: Option<Timestamp>, now: Timestamp) -> Check {
    let name = "lead";
    let Some(until) = until else {
        return Check::ok(name, "no broker has run on this database yet");
    };
    let millis = now.millis_since(until);
    if millis <= LEAD_MILLIS_MAX {
        return Check::ok(name, "a broker does the broker's own work");
    }
    let text = format!(
        "no broker has done the broker's own work for {}",
        age(millis)
    );
    let remedy = "start a broker; when one runs, compare its clock with this one's";
    Check::warning(name, text, remedy)
}

fn feed(since: Option<Timestamp>, now: Timestamp) -> Check {
    let name = "feed";
    let Some(since) = since else {
        return Check::ok(name, "the portal has taken over every line");
    };
    let millis = now.millis_since(since).max(0);
    let text = format!("the oldest line waits for the portal for {}", age(millis));
    let remedy = "see whether the portal runs, and run its doctor";
    if millis > FEED_MILLIS_FAULT {
        Check::fault(name, text, remedy)
    } else if millis > FEED_MILLIS_WARNING {
        Check::warning(name, text, remedy)
    } else {
        Check::ok(name, text)
    }
}

fn notices(due: Option<Timestamp>, now: Timestamp) -> Check {
    let name = "notices";
    let Some(due) = due else {
        return Check::ok(name, "no answer is late");
    };
    let millis = now.millis_since(due).max(0);
    let text = format!("an answer to a notice is {} late", age(millis));
    let remedy = "the log tells the officers which (MarkOverdue); the recipient must answer";
    if millis > NOTICE_MILLIS_FAULT {
        Check::fault(name, text, remedy)
    } else {
        Check::warning(name, text, remedy)
    }
}

fn inboxes(waiting: &store::inbox::Waiting, now: Timestamp) -> Check {
    let name = "inboxes";
    let Some(oldest) = waiting.oldest else {
        return Check::ok(
            name,
            "every organisation has shown that it has what was put there",
        );
    };
    let millis = now.millis_since(oldest).max(0);
    let text = format!(
        "{} organisations have not shown that they have what was put there, the oldest for {}",
        waiting.parties,
        age(millis)
    );
    let remedy =
        "the log tells the officers whose notices are overdue; call whoever does not come for it";
    if millis > INBOX_MILLIS_FAULT {
        Check::fault(name, text, remedy)
    } else if millis > INBOX_MILLIS_WARNING {
        Check::warning(name, text, remedy)
    } else {
        Check::ok(name, text)
    }
}
