//! A program of the version before the stop number must not decide on these tables: it would release what a stop has
//! ended.
//!
//! Must keep the statements of that version as they were.

use super::{both, open};
use crate::sql::{Arg, Sql, sql};
use crate::{Error, Role, Tx, Work};

/// Each deciding command of that version begins with one of these.
const DECIDING: [Sql; 3] = [
    sql!("SELECT handover_id, revision, state, sender_tag, recipient_tag, \
     purpose_tag, handover.subject_index, group_tag, entered_at, deadline_at, remaining_millis, opened_at, \
     undelivered_at, erase_at, day, wrapped_key, body, relation_tag, objected_at, restricted_at, consent_id \
     FROM relation_subject JOIN handover ON handover.subject_index = relation_subject.subject_index \
     WHERE handover_id = $1", for update),
    sql!("SELECT relation_tag, objected_at, restricted_at, consent_id FROM relation_subject \
     WHERE subject_index = $1", for update),
    sql!("SELECT relation_tag, objected_at, restricted_at, consent_id FROM relation_subject \
     WHERE subject_index = (SELECT subject_index FROM consent WHERE consent_id = $1)", for update),
];

/// Runs one of them.
struct Decide(Sql);

impl Work for Decide {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "DecideAsBefore"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        tx.optional(self.0, &[Arg::from([7; 16].as_slice())])
            .await?;
        Ok(())
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

#[tokio::test]
async fn the_version_before_the_stop_number_decides_nothing_on_these_tables() {
    for place in both() {
        let database = open(&place, Role::Broker).await;
        for sql in DECIDING {
            let decided = database.write(&Decide(sql)).await;
            assert!(decided.is_err(), "{:?}: {}", place.settings, sql.text);
        }
        database.close().await;
    }
}
