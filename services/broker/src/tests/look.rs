//! What only looks something up: it reads beside those that write, changes nothing, and is shown when its line is
//! committed.
//!
//! Must never use a look-up of the product's: what these do in the middle no real one does.

use super::*;
use crate::record::Record;
use crate::serve::{Command, Room, Verdict, looks_up};
use std::sync::Mutex;
use std::time::Duration;
use store::lease::LeaseRow;
use store::restoration::Shut;
use store::{Queue, Role, Tx, Work};
use tokio::sync::Notify;

/// Long enough for anything but waiting for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a look-up does, or what happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Nothing,
    /// Somebody else writes a line.
    Waits,
    /// It changes something itself.
    Changes,
    /// Another directory comes into force.
    Outlives,
    /// The database is put back from a backup.
    IsRestored,
    /// There is no room for what is kept with its line.
    FindsNoRoom,
}

struct Look<'o> {
    office: &'o Office,
    does: Does,
    began: Notify,
    go: Notify,
    /// The directory of each time that it looked.
    looked_under: Mutex<Vec<i64>>,
}

impl<'o> Look<'o> {
    fn new(office: &'o Office, does: Does) -> Self {
        Self {
            office,
            does,
            began: Notify::new(),
            go: Notify::new(),
            looked_under: Mutex::default(),
        }
    }
}

impl Command for Look<'_> {
    type Reply = &'static str;
    looks_up!();

    fn name(&self) -> &'static str {
        "GetStatus"
    }

    async fn perform<'a>(
        &'a self,
        room: &'a Room<'a>,
        tx: &'a mut Tx<'_>,
    ) -> Result<Verdict<&'static str>, Error> {
        let version = room.in_force.directory_version();
        let is_first = {
            let mut looked_under = self.looked_under.lock().unwrap();
            looked_under.push(version);
            looked_under.len() == 1
        };
        match self.does {
            Does::Waits => {
                self.began.notify_one();
                self.go.notified().await;
            }
            Does::Changes => {
                let lease = LeaseRow {
                    holder: [1; 16],
                    term: 1,
                    held_until: room.call.now,
                };
                tx.put_lease("nobody's", &lease).await?;
            }
            Does::Outlives if is_first => self.office.import(2).await,
            Does::IsRestored if is_first => self.office.shut().await,
            Does::Nothing | Does::Outlives | Does::IsRestored | Does::FindsNoRoom => {}
        }
        Ok(Verdict::permitted("what was seen", Record::default()))
    }

    async fn keep<'a>(&'a self, _room: &'a Room<'a>, _tx: &'a mut Tx<'_>) -> Result<(), Error> {
        match self.does {
            Does::FindsNoRoom => Err(Error::Malformed("what this test keeps")),
            _ => Ok(()),
        }
    }
}

/// Shuts the door as a restore does.
struct Shutting(Timestamp);

impl Work for Shutting {
    type Output = ();
    type Error = Error;

    fn name(&self) -> &'static str {
        "PutBack"
    }

    async fn perform<'a>(&'a self, tx: &'a mut Tx<'_>) -> Result<(), Error> {
        let shut = Shut {
            backup_at: self.0,
            restored_at: self.0,
        };
        Ok(tx.shut(shut, Role::Broker).await?)
    }

    fn is_transient(_: &Error) -> bool {
        false
    }
}

impl Office {
    async fn import(&self, version: u64) {
        let file = DirectoryFile {
            version,
            ..directory_file()
        };
        let text = toml::to_string(&file).unwrap().into_bytes();
        let file = signed(text.clone(), Paper::Directory, &text);
        let call = Call {
            caller: caller(OPERATOR, PeerKind::Broker, "broker", &[Right::Operator]),
            ..self.call()
        };
        let imported = self
            .broker
            .import_directory(&call, file, Vec::new())
            .await
            .unwrap();
        assert!(matches!(imported.outcome, Outcome::Permitted(_)));
    }

    async fn shut(&self) {
        let shutting = Shutting(self.broker.now());
        self.broker.database().write(&shutting).await.unwrap();
    }

    /// How many lines the officer's organisation has; to ask leaves one more.
    async fn lines(&self) -> usize {
        self.page(1_000, "").await.unwrap().0.len()
    }
}

#[tokio::test]
async fn a_look_up_keeps_nobody_who_writes_waiting() {
    let office = Office::open().await;
    let look = Look::new(&office, Does::Waits);
    let call = office.call();
    let others = async {
        look.began.notified().await;
        office.look().await;
        let lines = office.lines().await;
        look.go.notify_one();
        lines
    };
    let both = async { tokio::join!(office.broker.serve(&call, &look), others) };
    let done = tokio::time::timeout(PATIENCE, both).await;
    let (looked, lines) = done.expect("nobody waits for who only looks");
    let entry = looked.unwrap().promise.entry;
    let (page, _) = office.page(1_000, "").await.unwrap();
    assert!(page.contains(&entry));
    assert_eq!(page.len(), lines + 2, "its line, and that of the search");
}

/// What becomes of a look-up: what the caller gets, how many lines are left, and under which directories it looked.
async fn check(does: Does, shown: Result<&str, &str>, lines: usize, looked_under: &[i64]) {
    let office = Office::open().await;
    let look = Look::new(&office, does);
    let before = office.lines().await;
    let answer = office.broker.serve(&office.call(), &look).await;
    let got = match &answer {
        Ok(answer) => match &answer.outcome {
            Outcome::Permitted(seen) => Ok((*seen).to_owned()),
            Outcome::Refused(refusal) => Err(refusal.reason.code().to_owned()),
        },
        Err(fault) => Err(fault.reason().code().to_owned()),
    };
    let shown = shown.map(str::to_owned).map_err(str::to_owned);
    assert_eq!(got, shown, "{does:?}: {answer:?}");
    assert_eq!(*look.looked_under.lock().unwrap(), looked_under, "{does:?}");
    if does != Does::IsRestored {
        let after = office.lines().await;
        assert_eq!(after - before - 1, lines, "{does:?}: the search has one");
    }
}

#[tokio::test]
async fn what_is_shown_has_its_line_and_is_of_the_directory_in_force() {
    check(Does::Nothing, Ok("what was seen"), 1, &[1]).await;
    check(Does::Outlives, Ok("what was seen"), 1, &[1, 2]).await;
    check(Does::IsRestored, Err("RESTORING"), 1, &[1]).await;
}

#[tokio::test]
async fn what_has_no_line_is_not_shown_and_changes_nothing() {
    check(Does::FindsNoRoom, Err("INTERNAL"), 0, &[1]).await;
    check(Does::Changes, Err("INTERNAL"), 0, &[1]).await;
}

#[tokio::test]
async fn each_organisation_has_one_queue_and_the_portals_stops_have_theirs() {
    let office = Office::open().await;
    let queue = |oin, kind, desk, stops| {
        let call = Call {
            caller: caller(oin, kind, desk, &[]),
            ..office.call()
        };
        let room = Room {
            broker: &office.broker,
            call: &call,
            in_force: office.broker.in_force(),
            told: &Mutex::default(),
        };
        room.queue(stops)
    };
    let desk = queue(OFFICER, PeerKind::Gemeente, "fg", false);
    assert_eq!(queue(OFFICER, PeerKind::Gemeente, "other", true), desk);
    let portal = |stops| queue(PEERS[1].0, PeerKind::Portal, "portal", stops);
    assert_ne!(portal(false), desk);
    assert_eq!(portal(true), Queue::Stop);
    assert_ne!(portal(false), Queue::Stop);
}
