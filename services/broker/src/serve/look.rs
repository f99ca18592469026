//! How a command that only looks something up is served: it reads beside those that write, its line is committed with
//! what is going to be shown, and only then is it shown (invariant 3).
//!
//! Must never show anything before its line is committed: a crash may leave a line of what nobody saw, never the
//! reverse.

use super::{Command, Served, Serving, Verdict};
use crate::Error;
use crate::record::{Record, Written};
use rules::reason::{Outcome, Reason};
use store::{Database, Queue, Tx, Work};

/// Reads, writes the line, and gives what was read.
pub(crate) async fn serve<C: Command>(
    database: &Database,
    serving: &Serving<'_, C>,
) -> Result<Served<C::Reply>, Error> {
    let seen = database.read(&Looking(serving)).await?;
    let telling = Telling {
        serving,
        record: &seen.record,
        is_permitted: matches!(seen.outcome, Outcome::Permitted(_)),
        kept_out: seen.kept_out,
    };
    let entry = database.write(&telling).await?;
    Ok(Served {
        outcome: seen.outcome,
        entry,
    })
}

/// What was seen, and nobody was shown yet.
struct Seen<T> {
    outcome: Outcome<T>,
    record: Record,
    /// Why nothing was looked at: the door is shut.
    kept_out: Option<Reason>,
}

/// The look-up, in a transaction that only reads.
struct Looking<'s, 'c, C>(&'s Serving<'c, C>);

impl<C: Command> Work for Looking<'_, '_, C> {
    type Output = Seen<C::Reply>;
    type Error = Error;

    fn name(&self) -> &'static str {
        self.0.command.name()
    }

    fn queue(&self) -> Queue {
        self.0.queue()
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Self::Output, Error> {
        let in_force = tx.in_force(Some(self.0.asking())).await?;
        self.0.check_in_force(in_force)?;
        let kept_out = self.0.kept_out(in_force);
        let verdict = match kept_out {
            Some(reason) => Verdict::refused(reason, Record::default()),
            None => self.0.command.perform(&self.0.room, tx).await?,
        };
        Ok(Seen {
            outcome: verdict.outcome,
            record: verdict.record,
            kept_out,
        })
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}

/// The line of a look-up, in a transaction that writes.
struct Telling<'s, 'c, C> {
    serving: &'s Serving<'c, C>,
    record: &'s Record,
    is_permitted: bool,
    kept_out: Option<Reason>,
}

impl<C: Command> Work for Telling<'_, '_, C> {
    type Output = Written;
    type Error = Error;

    fn name(&self) -> &'static str {
        self.serving.command.name()
    }

    fn queue(&self) -> Queue {
        self.serving.queue()
    }

    /// What was seen is shown only under the directory and the policy set under which it was looked at.
    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<Written, Error> {
        let in_force = tx.in_force(Some(self.serving.asking())).await?;
        self.serving.check_in_force(in_force)?;
        if self.serving.kept_out(in_force) != self.kept_out {
            return Err(Error::Stale);
        }
        let Serving { room, command, .. } = self.serving;
        if self.is_permitted {
            command.keep(room, tx).await?;
        }
        room.write_entry(tx, command.name(), self.record).await
    }

    fn is_transient(error: &Error) -> bool {
        error.is_transient()
    }
}
