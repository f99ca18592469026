//! Inboxes: what happened, for one party each, in that party's own order.
//!
//! Must never give a position that depends on another party's traffic.

use crate::sql::{Arg, Sql, column, sql};
use crate::{Error, Tx};
use rules::clock::Timestamp;
use rules::id::Tag;

const NEXT_POSITION: Sql = sql!(
    "INSERT INTO inbox_head (party_tag, position) VALUES ($1, (SELECT COUNT(*) FROM restoration) * 4294967296 + 1) \
     ON CONFLICT (party_tag) DO UPDATE SET position = inbox_head.position + 1 RETURNING position"
);
const INSERT_ITEM: Sql =
    sql!("INSERT INTO inbox (party_tag, position, created_at, body) VALUES ($1, $2, $3, $4)");
const SELECT_ITEMS: Sql = sql!(
    "SELECT position, created_at, body FROM inbox \
     WHERE party_tag = $1 AND position > $2 ORDER BY position LIMIT $3"
);
const CONFIRM: Sql = sql!(
    "INSERT INTO inbox_place (party_tag, confirmed) VALUES ($1, $2) \
     ON CONFLICT (party_tag) DO UPDATE SET confirmed = excluded.confirmed \
     WHERE inbox_place.confirmed < excluded.confirmed"
);
/// The oldest item of each party that has shown for none behind it that it has it.
const SELECT_OLDEST_WAITING: Sql = sql!(
    "SELECT COUNT(created_at) AS parties, MIN(created_at) AS oldest FROM \
     (SELECT (SELECT created_at FROM inbox WHERE inbox.party_tag = head.party_tag \
     AND position > COALESCE(place.confirmed, 0) ORDER BY position LIMIT 1) AS created_at \
     FROM inbox_head AS head LEFT JOIN inbox_place AS place ON place.party_tag = head.party_tag) AS waiting"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    NEXT_POSITION,
    INSERT_ITEM,
    SELECT_ITEMS,
    CONFIRM,
    SELECT_OLDEST_WAITING,
];

/// What waits in all inboxes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// For how many parties something waits.
    pub parties: i64,
    /// Since when the oldest of it does; `None` when nothing does.
    pub oldest: Option<Timestamp>,
}

/// One item as it lies in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Place in the party's own inbox, from 1; without gaps but for one behind each restoration.
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

    /// Remembers that a party has shown that it has all items up to `position`. An earlier place than one it
    /// has shown before changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm_inbox(&mut self, party: Tag, position: i64) -> Result<(), Error> {
        self.later(
            CONFIRM,
            &[Arg::from(party.bytes().as_slice()), Arg::from(position)],
        )
        .await
    }

    /// What waits in all inboxes together, for whoever looks after the gateway.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_in_inboxes(&mut self) -> Result<Waiting, Error> {
        let row = self.one(SELECT_OLDEST_WAITING, &[]).await?;
        let oldest: Option<i64> = column(&row, "oldest")?;
        Ok(Waiting {
            parties: column(&row, "parties")?,
            oldest: oldest.map(Timestamp::from_millis),
        })
    }
}
