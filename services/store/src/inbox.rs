//! Inboxes: what happened, for one party each, in that party's own order.
//!
//! Must never give a position that depends on another party's traffic.

use crate::sql::{Arg, Sql, column, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::Tag;

const NEXT_POSITION: Sql = sql!(
    "INSERT INTO inbox_head (party_tag, position) VALUES ($1, 1) \
     ON CONFLICT (party_tag) DO UPDATE SET position = inbox_head.position + 1 RETURNING position"
);
const INSERT_ITEM: Sql =
    sql!("INSERT INTO inbox (party_tag, position, created_at, body) VALUES ($1, $2, $3, $4)");
const SELECT_ITEMS: Sql = sql!(
    "SELECT position, created_at, body FROM inbox \
     WHERE party_tag = $1 AND position > $2 ORDER BY position LIMIT $3"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[NEXT_POSITION, INSERT_ITEM, SELECT_ITEMS];

/// One item as it lies in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Place in the party's own inbox, from 1, without gaps.
    pub position: i64,
    /// When it was put there.
    pub created_at: Timestamp,
    /// The item, sealed.
    pub body: Vec<u8>,
}

impl Tx<'_> {
    /// The next position in a party's inbox. Locks the party's head until commit, so that positions
    /// are committed in order and a reader with a cursor misses none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_inbox_position(&mut self, party: Tag) -> Result<i64, Error> {
        let row = self
            .one(NEXT_POSITION, &[Arg::from(party.bytes().as_slice())])
            .await?;
        column(&row, "position")
    }

    /// Puts an item in a party's inbox at a position from [`Tx::next_inbox_position`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_inbox_item(&mut self, party: Tag, item: &InboxRow) -> Result<(), Error> {
        self.later(
            INSERT_ITEM,
            &[
                Arg::from(party.bytes().as_slice()),
                Arg::from(item.position),
                Arg::from(item.created_at.millis()),
                Arg::from(item.body.as_slice()),
            ],
        )
        .await
    }

    /// A party's items after a position, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn inbox_items(
        &mut self,
        party: Tag,
        after: i64,
        rows_max: i64,
    ) -> Result<Vec<InboxRow>, Error> {
        self.all(
            SELECT_ITEMS,
            &[
                Arg::from(party.bytes().as_slice()),
                Arg::from(after),
                Arg::from(rows_max),
            ],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(InboxRow {
                position: column(row, "position")?,
                created_at: Timestamp::from_millis(column(row, "created_at")?),
                body: column(row, "body")?,
            })
        })
        .collect()
    }
}
