//! Those who follow an inbox through all faults, one by pages and one by a stream, from a saved place on.
//!
//! Must never save a place before what lies before it was taken down.

use client::{Client, InboxEvent};
use std::time::Duration;
use tokio::sync::watch;

const PAUSE: Duration = Duration::from_millis(250);

/// Reads page by page until the run is over and nothing is left; gives all that it saw, in that order.
pub(crate) async fn by_pages(client: Client, over: watch::Receiver<bool>) -> Vec<InboxEvent> {
    let mut seen = Vec::new();
    loop {
        let last = *over.borrow();
        let whole = read_on(&client, &mut seen).await;
        if last && whole {
            return seen;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads up to the present and saves the place; says whether it came that far.
async fn read_on(client: &Client, seen: &mut Vec<InboxEvent>) -> bool {
    let mut inbox = client.inbox(None);
    loop {
        match inbox.next().await {
            Ok(Some(event)) => seen.push(event),
            Ok(None) => return inbox.save().await.is_ok(),
            Err(_) => return false,
        }
    }
}

/// The same as things happen; what is left at the end is read by pages.
pub(crate) async fn by_stream(client: Client, mut over: watch::Receiver<bool>) -> Vec<InboxEvent> {
    let mut seen = Vec::new();
    let mut stream = client.watch(None);
    while !*over.borrow() {
        let next = tokio::select! {
            next = stream.next() => next,
            _ = over.changed() => break,
        };
        match next {
            Ok(event) => {
                seen.push(event);
                stream.save().await.unwrap();
            }
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                stream = client.watch(None);
            }
        }
    }
    seen.extend(by_pages(client, over).await);
    seen
}

/// What is wrong with what a reader saw of an inbox, if anything: each item must be there, in its order; one
/// may come again with all that follows it.
pub(crate) fn gap(seen: &[InboxEvent], whole: &[InboxEvent]) -> Option<String> {
    let mut next = 0;
    for (place, event) in seen.iter().enumerate() {
        if whole.get(next) == Some(event) {
            next += 1;
        } else if let Some(again) = whole[..next].iter().rposition(|one| one == event) {
            next = again + 1;
        } else {
            return Some(format!(
                "item {place} was {:?} of {} at revision {}, which is not what follows place {next}",
                event.kind, event.handover, event.revision
            ));
        }
    }
    (next < whole.len()).then(|| format!("it saw {next} of {} items", whole.len()))
}

#[cfg(test)]
mod tests {
    use super::gap;
    use client::InboxEvent;
    use rules::clock::Timestamp;
    use rules::handover::InboxKind;
    use rules::id::HandoverId;

    fn event(number: u8) -> InboxEvent {
        InboxEvent {
            kind: InboxKind::Offered,
            handover: HandoverId::from_slice(&[number; 16]).unwrap(),
            revision: 1,
            time: Timestamp::from_millis(0),
            notice: None,
            code: None,
            purpose: "HANDOVER".parse().unwrap(),
        }
    }

    #[track_caller]
    fn check(seen: &[u8], is_right: bool) {
        let whole: Vec<_> = (1..=4).map(event).collect();
        let seen: Vec<_> = seen.iter().copied().map(event).collect();
        assert_eq!(gap(&seen, &whole).is_none(), is_right);
    }

    #[test]
    fn a_reader_may_see_again_and_may_not_miss() {
        check(&[1, 2, 3, 4], true);
        check(&[1, 2, 1, 2, 3, 4], true);
        check(&[1, 2, 2, 3, 4], true);
        check(&[1, 2, 4], false);
        check(&[1, 2, 3], false);
        check(&[1, 3, 2, 4], false);
        check(&[1, 2, 3, 4, 9], false);
        check(&[1, 2, 3, 4, 2], false);
    }
}
