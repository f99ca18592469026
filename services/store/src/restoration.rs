//! What a restored database remembers of its restoration: since when the door is shut, and who has sent again
//! what they had stopped.
//!
//! Must never say that the door is open because a row is missing that a restoration wrote.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Role, Tx};
use rules::clock::Timestamp;
use rules::id::Tag;

const INSERT_RESTORATION: Sql =
    sql!("INSERT INTO restoration (restored_at, backup_at) VALUES ($1, $2)");
/// Whoever reads an inbox may have been further than the backup: what comes now must come after that.
const MOVE_INBOXES_ON: Sql = sql!("UPDATE inbox_head SET position = position + 4294967296");
const DELETE_LEASES: Sql = sql!("DELETE FROM lease");
/// A backup may itself have been made while the door was shut: then everything since the first one is wanted.
const SELECT_SHUT: Sql = sql!(
    "SELECT MAX(restored_at) AS restored_at, MIN(backup_at) AS backup_at FROM restoration \
     WHERE opened_at IS NULL"
);
/// The same for one desk, until it has sent again what it had stopped, the door be open or not.
const SELECT_SHUT_TO: Sql = sql!(
    "SELECT MAX(restored_at) AS restored_at, MIN(backup_at) AS backup_at FROM restoration \
     WHERE opened_at IS NULL OR NOT EXISTS \
     (SELECT 1 FROM resent WHERE caller_tag = $1 AND resent.restored_at >= restoration.restored_at)"
);
const OPEN: Sql = sql!("UPDATE restoration SET opened_at = $1 WHERE opened_at IS NULL");
const INSERT_RESENT: Sql = sql!(
    "INSERT INTO resent (restored_at, caller_tag, resent_at) VALUES ($1, $2, $3) \
     ON CONFLICT (restored_at, caller_tag) DO NOTHING"
);
const SELECT_RESENT: Sql = sql!("SELECT caller_tag FROM resent WHERE restored_at = $1");

const INSERT_UNREADABLE: Sql = sql!(
    "INSERT INTO unreadable_stop (organisation_tag, keeps_shut, found_at) VALUES ($1, $2, $3) \
     ON CONFLICT (organisation_tag) DO NOTHING"
);
const SELECT_UNREADABLE: Sql = sql!(
    "SELECT organisation_tag, keeps_shut FROM unreadable_stop ORDER BY found_at, organisation_tag"
);
const DELETE_UNREADABLE: Sql = sql!("DELETE FROM unreadable_stop WHERE organisation_tag = $1");

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] = &[
    INSERT_RESTORATION,
    MOVE_INBOXES_ON,
    DELETE_LEASES,
    SELECT_SHUT,
    SELECT_SHUT_TO,
    OPEN,
    INSERT_RESENT,
    SELECT_RESENT,
    INSERT_UNREADABLE,
    SELECT_UNREADABLE,
    DELETE_UNREADABLE,
];

/// Those that run on the portal's tables too.
#[cfg(test)]
pub(crate) const OF_BOTH: &[Sql] = &[INSERT_RESTORATION, SELECT_SHUT, OPEN];

/// An organisation of which something stopped could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its tag.
    pub organisation: Tag,
    /// Whether the door stays shut for it, and not only to its own calls.
    pub keeps_shut: bool,
}

/// A restoration after which the door has not been opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// When the tables were put back.
    pub restored_at: Timestamp,
    /// When the backup was made: what came after it is gone from here.
    pub backup_at: Timestamp,
}

impl Tx<'_> {
    /// Shuts the door of tables that have just been put back: the broker's, or the portal's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shut(&mut self, shut: Shut, role: Role) -> Result<(), Error> {
        self.later(
            INSERT_RESTORATION,
            &[
                Arg::from(shut.restored_at.millis()),
                Arg::from(shut.backup_at.millis()),
            ],
        )
        .await?;
        if role != Role::Broker {
            return Ok(());
        }
        self.later(MOVE_INBOXES_ON, &[]).await?;
        self.later(DELETE_LEASES, &[]).await
    }

    /// Whether the door is shut, and since which restoration.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_shut(&mut self) -> Result<Option<Shut>, Error> {
        let row = self.one(SELECT_SHUT, &[]).await?;
        shut(&row)
    }

    /// Whether the door is shut to a desk: to all, or until this one has sent again what it had stopped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_shut_to(&mut self, caller: Tag) -> Result<Option<Shut>, Error> {
        let args = [Arg::from(caller.bytes().as_slice())];
        let row = self.one(SELECT_SHUT_TO, &args).await?;
        shut(&row)
    }

    /// Remembers that something that an organisation had stopped cannot be read; twice is once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_unreadable(
        &mut self,
        unreadable: Unreadable,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_UNREADABLE,
            &[
                Arg::from(unreadable.organisation.bytes().as_slice()),
                Arg::from(i64::from(unreadable.keeps_shut)),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// Organisations of which something cannot be read, those first that have waited longest: a row each, so no more than
    /// the directories had.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unreadable(&mut self) -> Result<Vec<Unreadable>, Error> {
        let rows = self.all(SELECT_UNREADABLE, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Unreadable {
                    organisation: Tag::new(fixed(row, "organisation_tag")?),
                    keeps_shut: column::<i64>(row, "keeps_shut")? != 0,
                })
            })
            .collect()
    }

    /// It was decided about; false when there was nothing to decide.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_unreadable(&mut self, organisation: Tag) -> Result<bool, Error> {
        let tag = Arg::from(organisation.bytes().as_slice());
        Ok(self.execute(DELETE_UNREADABLE, &[tag]).await? > 0)
    }

    /// Opens the door.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_door(&mut self, now: Timestamp) -> Result<(), Error> {
        self.later(OPEN, &[Arg::from(now.millis())]).await
    }

    /// Remembers that a desk has sent everything again; twice is once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_resent(
        &mut self,
        restored_at: Timestamp,
        caller: Tag,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.later(
            INSERT_RESENT,
            &[
                Arg::from(restored_at.millis()),
                Arg::from(caller.bytes().as_slice()),
                Arg::from(now.millis()),
            ],
        )
        .await
    }

    /// The desks that have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resent(&mut self, restored_at: Timestamp) -> Result<Vec<Tag>, Error> {
        let rows = self
            .all(SELECT_RESENT, &[Arg::from(restored_at.millis())])
            .await?;
        rows.iter()
            .map(|row| Ok(Tag::new(fixed(row, "caller_tag")?)))
            .collect()
    }
}

/// Both moments of a row; none when there is no restoration.
fn shut(row: &Row) -> Result<Option<Shut>, Error> {
    let moment = |name| {
        let millis: Option<i64> = column(row, name)?;
        Ok::<_, Error>(millis.map(Timestamp::from_millis))
    };
    let both = moment("restored_at")?.zip(moment("backup_at")?);
    Ok(both.map(|(restored_at, backup_at)| Shut {
        restored_at,
        backup_at,
    }))
}
