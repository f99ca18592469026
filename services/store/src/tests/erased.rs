//! A person's row that is erased at the very moment at which somebody asks about that person.
//!
//! Must never pass because the two did not meet.

use super::{open, schema};
use crate::pseudonym::SubjectRow;
use crate::{Error, Role, Tx, Work};
use rules::clock::Timestamp;
use rules::id::Tag;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const PERSON: [u8; 32] = [7; 32];
/// How long the eraser keeps the row locked before it erases it.
const HELD: Duration = Duration::from_millis(300);

struct Make;

impl Work for Make {
    type Output = SubjectRow;
    type Error = Error;

    fn name(&self) -> &'static str {
        "Make"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<SubjectRow, Error> {
        let relation = Tag::new([1; 16]);
        tx.make_and_lock_subject(&PERSON, relation, &[2; 64], Timestamp::from_millis(1))
            .await
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

struct Erase {
    locked: Notify,
}

impl Work for Erase {
    type Output = u64;
    type Error = Error;

    fn name(&self) -> &'static str {
        "Erase"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<u64, Error> {
        tx.lock_subject(&PERSON).await?;
        self.locked.notify_one();
        tokio::time::sleep(HELD).await;
        tx.erase_subject(&PERSON).await
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

#[tokio::test]
async fn a_row_that_is_erased_while_it_is_waited_for_is_made_again() {
    let place = schema();
    let database = open(&place, Role::Broker).await;
    let first = database.write(&Make).await.unwrap();
    let erase = Erase {
        locked: Notify::new(),
    };
    let asks = async {
        erase.locked.notified().await;
        let begun = Instant::now();
        let made = database.write(&Make).await;
        (made, begun.elapsed())
    };
    let (erased, (made, waited)) = tokio::join!(database.write(&erase), asks);
    assert_eq!(erased.unwrap(), 1);
    assert_eq!(made.unwrap(), first);
    assert!(waited > HELD / 2, "it met the eraser: {waited:?}");
    let again = database.write(&Make).await.unwrap();
    assert_eq!(again, first, "the row is there");
}
