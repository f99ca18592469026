//! What a portal keeps at the broker for the day on which it is put back from a backup.
//!
//! Must never give one portal's copies to another: every statement names the owner.

use crate::sql::{Arg, Row, Sql, column, fixed, sql};
use crate::{Error, Tx};
use rules::id::Tag;

/// It locks the row: of two that count at once one waits.
const COUNT: Sql = sql!(
    "INSERT INTO portal_copies (owner_tag, copies) VALUES ($1, $2) ON CONFLICT (owner_tag) \
     DO UPDATE SET copies = portal_copies.copies + $2 RETURNING copies"
);
const DELETE_COPY: Sql = sql!("DELETE FROM portal_copy WHERE owner_tag = $1 AND copy_id = $2");
const INSERT_COPY: Sql =
    sql!("INSERT INTO portal_copy (owner_tag, copy_id, sealed) VALUES ($1, $2, $3)");
const SELECT_COPIES: Sql = sql!(
    "SELECT copy_id, sealed FROM portal_copy WHERE owner_tag = $1 AND copy_id > $2 \
     ORDER BY copy_id LIMIT $3"
);
const SELECT_NAMES: Sql = sql!(
    "SELECT copy_id FROM portal_copy WHERE owner_tag = $1 AND copy_id > $2 \
     ORDER BY copy_id LIMIT $3"
);

/// The statements of this file, for the test that prepares each.
#[cfg(test)]
pub(crate) const STATEMENTS: &[Sql] =
    &[COUNT, DELETE_COPY, INSERT_COPY, SELECT_COPIES, SELECT_NAMES];

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRow {
    /// Its name, which only the portal can make.
    pub copy_id: [u8; 16],
    /// What it holds, sealed by the portal.
    pub sealed: Vec<u8>,
}

impl Tx<'_> {
    /// How many copies an owner has. Locks the number until the transaction ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn copies_held(&mut self, owner: Tag) -> Result<i64, Error> {
        self.count_copies(owner, 0).await
    }

    /// Keeps copies, each in the place of the one of its name. The owner's number must be locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_copies(&mut self, owner: Tag, copies: &[CopyRow]) -> Result<(), Error> {
        let mut more = 0_i64;
        for copy in copies {
            let replaced = self.delete_copy(owner, &copy.copy_id).await?;
            let args = [
                Arg::from(owner.bytes().as_slice()),
                Arg::from(copy.copy_id.as_slice()),
                Arg::from(copy.sealed.as_slice()),
            ];
            self.later(INSERT_COPY, &args).await?;
            more = more.saturating_add(i64::from(replaced == 0));
        }
        self.count_copies(owner, more).await.map(drop)
    }

    /// Takes copies away; gives how many were there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_copies(&mut self, owner: Tag, names: &[[u8; 16]]) -> Result<u64, Error> {
        self.count_copies(owner, 0).await?;
        let mut taken = 0_u64;
        for name in names {
            taken = taken.saturating_add(self.delete_copy(owner, name).await?);
        }
        let less = i64::try_from(taken).unwrap_or(i64::MAX);
        self.count_copies(owner, less.saturating_neg()).await?;
        Ok(taken)
    }

    /// A page of copies, by their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn copies(
        &mut self,
        owner: Tag,
        after: &[u8; 16],
        rows_max: i64,
    ) -> Result<Vec<CopyRow>, Error> {
        let rows = self.page(SELECT_COPIES, owner, after, rows_max).await?;
        rows.iter()
            .map(|row| {
                Ok(CopyRow {
                    copy_id: fixed(row, "copy_id")?,
                    sealed: column(row, "sealed")?,
                })
            })
            .collect()
    }

    /// A page of the names of copies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn names_of_copies(
        &mut self,
        owner: Tag,
        after: &[u8; 16],
        rows_max: i64,
    ) -> Result<Vec<[u8; 16]>, Error> {
        let rows = self.page(SELECT_NAMES, owner, after, rows_max).await?;
        rows.iter().map(|row| fixed(row, "copy_id")).collect()
    }

    async fn page(
        &mut self,
        sql: Sql,
        owner: Tag,
        after: &[u8; 16],
        rows_max: i64,
    ) -> Result<Vec<Row>, Error> {
        let args = [
            Arg::from(owner.bytes().as_slice()),
            Arg::from(after.as_slice()),
            Arg::from(rows_max),
        ];
        self.all(sql, &args).await
    }

    async fn delete_copy(&mut self, owner: Tag, name: &[u8; 16]) -> Result<u64, Error> {
        let args = [
            Arg::from(owner.bytes().as_slice()),
            Arg::from(name.as_slice()),
        ];
        self.execute(DELETE_COPY, &args).await
    }

    async fn count_copies(&mut self, owner: Tag, more: i64) -> Result<i64, Error> {
        let args = [Arg::from(owner.bytes().as_slice()), Arg::from(more)];
        column(&self.one(COUNT, &args).await?, "copies")
    }
}
