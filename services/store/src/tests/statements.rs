//! Each statement is prepared on both engines: a wrong table or column is found without running it.
//!
//! Must never leave out a file's list: the counts below say how many there are.

use super::{both, open};
use crate::sql::Sql;
use crate::{Error, Role, Tx, Work};

/// All of the broker.
pub(super) const BROKER: &[&[Sql]] = &[
    crate::audit::STATEMENTS,
    crate::consent::STATEMENTS,
    crate::consequence::STATEMENTS,
    crate::database::STATEMENTS,
    crate::directory::STATEMENTS,
    crate::feed::STATEMENTS,
    crate::handover::STATEMENTS,
    crate::inbox::STATEMENTS,
    crate::lease::STATEMENTS,
    crate::link::STATEMENTS,
    crate::notice::STATEMENTS,
    crate::portal_copy::STATEMENTS,
    crate::pseudonym::STATEMENTS,
    crate::report::STATEMENTS,
    crate::request::STATEMENTS,
    crate::restoration::STATEMENTS,
    crate::retention::STATEMENTS,
];

/// All of the portal.
pub(super) const PORTAL: &[&[Sql]] = &[
    crate::errand::STATEMENTS,
    crate::portal::STATEMENTS,
    crate::restoration::OF_BOTH,
];

struct PrepareAll(&'static [&'static [Sql]]);

impl Work for PrepareAll {
    type Output = usize;
    type Error = Error;

    fn name(&self) -> &'static str {
        "PrepareAll"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<usize, Error> {
        let mut prepared = 0;
        for place in 0..self.0.len() {
            for number in 0..self.0[place].len() {
                tx.prepare(self.0[place][number]).await?;
                prepared += 1;
            }
        }
        Ok(prepared)
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

async fn check(role: Role, all: PrepareAll, count: usize) {
    for place in both() {
        let database = open(&place, role).await;
        let prepared = database.write(&all).await;
        assert_eq!(prepared.unwrap(), count, "{:?}", place.settings);
        database.close().await;
    }
}

#[tokio::test]
async fn every_statement_of_the_broker_can_be_prepared() {
    check(Role::Broker, PrepareAll(BROKER), 141).await;
}

#[tokio::test]
async fn every_statement_of_a_holder_can_be_prepared() {
    check(Role::Holder, PrepareAll(&[crate::holder::STATEMENTS]), 11).await;
}

#[tokio::test]
async fn every_statement_of_the_portal_can_be_prepared() {
    check(Role::Portal, PrepareAll(PORTAL), 31).await;
}
