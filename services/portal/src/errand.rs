//! Errands: what a person asked for and only the broker can do: a stop, an objection, a refusal. Each lies sealed to
//! the portal until the broker has answered, so that none is lost when something is away or the portal is killed. What a
//! block or a no stops is an errand too, until it is found.
//!
//! Must never hold a person's number: where one is needed it has the person as an order names one, encrypted to the portal's own
//! context. Must never outlive its answer.

use super::copy::{self, CopyName};
use super::find::Scope;
use super::{Portal, PortalError};
use papers::feed::Told;
use papers::frame::{FrameReader, FrameWriter};
use rules::clock::Timestamp;
use rules::consent::{ConsentRecord, Statement};
use rules::id::{ConsentId, EntryId, HandoverId, Party, Purpose, RequestId};
use rules::pseudonym::Relation;
use store::errand::ErrandRow;
use store::portal::ExchangeRow;
use vault::rest::Place;

/// Octets of a person as an order names one.
pub const ENCRYPTED_PERSON_BYTES: usize = 64;

/// Whom an errand needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nobody but the broker: stops and objections.
    Broker,
    /// The key holders too: refusals, and finding what they and blocks stop.
    Holders,
}

impl Need {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Broker => 1,
            Self::Holders => 2,
        }
    }
}

/// What is to be done.
#[derive(Clone)]
pub(super) enum Task {
    /// To stop a consent, by the statement of its withdrawal.
    Stop(Statement),
    /// To register that the person said no.
    Refuse {
        statement: Statement,
        person: [u8; ENCRYPTED_PERSON_BYTES],
    },
    /// To object to a handover, or have it restricted.
    Object(Objection),
    /// To find what a block or a no stops.
    Find {
        scope: Scope,
        person: [u8; ENCRYPTED_PERSON_BYTES],
    },
}

/// An objection, or a restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) handover: HandoverId,
    pub(super) restrict: bool,
    pub(super) sender: Party,
    pub(super) recipient: Party,
    pub(super) purpose: Purpose,
}

impl Objection {
    /// An objection to the handover that a line of the feed is about.
    pub(super) fn of(handover: HandoverId, told: &Told) -> Self {
        Self {
            handover,
            restrict: false,
            sender: told.sender.clone(),
            recipient: told.recipient.clone(),
            purpose: told.purpose.clone(),
        }
    }
}

/// An errand.
#[derive(Clone)]
pub(super) struct Errand {
    /// Follows from what is to be done: asked for twice, it is one errand.
    pub(super) id: [u8; 16],
    /// Under which the broker is asked, at each attempt the same.
    pub(super) request: RequestId,
    /// Where the signed paper will lie.
    pub(super) line: EntryId,
    pub(super) asked_at: Timestamp,
    /// The exchange that it is about: whose it is, and to whom the paper is sealed.
    pub(super) exchange: ExchangeRow,
    pub(super) task: Task,
}

const WRONG: PortalError = PortalError::Malformed("an errand");
const STOP: u8 = 1;
const REFUSE: u8 = 2;
const OBJECT: u8 = 3;
const RESTRICT: u8 = 4;
const FIND_BLOCKED: u8 = 5;
const FIND_RELATION: u8 = 6;

impl Errand {
    pub(super) const fn need(&self) -> Need {
        match self.task {
            Task::Stop(_) | Task::Object(_) => Need::Broker,
            Task::Refuse { .. } | Task::Find { .. } => Need::Holders,
        }
    }

    /// What it is about.
    pub(super) fn scope(&self) -> Scope {
        match &self.task {
            Task::Stop(statement) | Task::Refuse { statement, .. } => {
                Scope::Relation(relation_of(&statement.record))
            }
            Task::Object(object) => Scope::Relation(Relation {
                from: object.sender.clone(),
                to: object.recipient.clone(),
                purpose: object.purpose.clone(),
            }),
            Task::Find { scope, .. } => scope.clone(),
        }
    }

    /// Whether what is asked for next in a relation has to wait for it.
    pub(super) fn is_in(&self, relation: &Relation) -> bool {
        self.scope().covers(relation)
    }

    /// Whether it finds what a block or a no stops.
    pub(super) const fn is_find(&self) -> bool {
        matches!(self.task, Task::Find { .. })
    }

    /// Whether it finds what a no stops.
    pub(super) const fn is_find_of_no(&self) -> bool {
        matches!(
            self.task,
            Task::Find {
                scope: Scope::Relation(_),
                ..
            }
        )
    }

    /// The consent that it stops.
    pub(super) const fn stops(&self) -> Option<ConsentId> {
        match &self.task {
            Task::Stop(statement) => Some(statement.record.id),
            Task::Refuse { .. } | Task::Object(_) | Task::Find { .. } => None,
        }
    }

    fn plain(&self) -> Result<Vec<u8>, PortalError> {
        let mut writer = FrameWriter::default();
        let mut put = |octets: &[u8]| writer.put(octets).map_err(|_| WRONG);
        put(self.request.bytes())?;
        put(self.line.bytes())?;
        put(&self.asked_at.millis().to_be_bytes())?;
        put(&self.exchange.exchange_index)?;
        put(&self.exchange.person_index)?;
        put(&self.exchange.sealing_key)?;
        put(&self.exchange.created_at.millis().to_be_bytes())?;
        match &self.task {
            Task::Stop(statement) => {
                put(&[STOP])?;
                put(&statement.canonical_json())?;
            }
            Task::Refuse { statement, person } => {
                put(&[REFUSE])?;
                put(&statement.canonical_json())?;
                put(person)?;
            }
            Task::Object(object) => {
                put(&[if object.restrict { RESTRICT } else { OBJECT }])?;
                put(object.handover.bytes())?;
                put(object.sender.to_string().as_bytes())?;
                put(object.recipient.to_string().as_bytes())?;
                put(object.purpose.as_str().as_bytes())?;
            }
            Task::Find {
                scope: Scope::Blocked(blocked),
                person,
            } => {
                put(&[FIND_BLOCKED])?;
                put(blocked.to_string().as_bytes())?;
                put(person)?;
            }
            Task::Find {
                scope: Scope::Relation(relation),
                person,
            } => {
                put(&[FIND_RELATION])?;
                put(relation.from.to_string().as_bytes())?;
                put(relation.to.to_string().as_bytes())?;
                put(relation.purpose.as_str().as_bytes())?;
                put(person)?;
            }
        }
        Ok(writer.finish())
    }

    fn read(id: [u8; 16], plain: &[u8]) -> Result<Self, PortalError> {
        let mut reader = FrameReader::new(plain);
        let request = RequestId::from_slice(take(&mut reader)?).ok_or(WRONG)?;
        let line = EntryId::from_slice(take(&mut reader)?).ok_or(WRONG)?;
        let asked_at = Timestamp::from_millis(i64::from_be_bytes(fixed(&mut reader)?));
        let exchange = ExchangeRow {
            exchange_index: fixed(&mut reader)?,
            person_index: fixed(&mut reader)?,
            sealing_key: take(&mut reader)?.to_vec(),
            created_at: Timestamp::from_millis(i64::from_be_bytes(fixed(&mut reader)?)),
        };
        let [kind] = fixed(&mut reader)?;
        let task = match kind {
            STOP => Task::Stop(statement(&mut reader)?),
            REFUSE => Task::Refuse {
                statement: statement(&mut reader)?,
                person: fixed(&mut reader)?,
            },
            OBJECT | RESTRICT => Task::Object(Objection {
                handover: HandoverId::from_slice(take(&mut reader)?).ok_or(WRONG)?,
                restrict: kind == RESTRICT,
                sender: text(&mut reader)?.parse().map_err(|_| WRONG)?,
                recipient: text(&mut reader)?.parse().map_err(|_| WRONG)?,
                purpose: text(&mut reader)?.parse().map_err(|_| WRONG)?,
            }),
            FIND_BLOCKED => Task::Find {
                scope: Scope::Blocked(text(&mut reader)?.parse().map_err(|_| WRONG)?),
                person: fixed(&mut reader)?,
            },
            FIND_RELATION => Task::Find {
                scope: Scope::Relation(Relation {
                    from: text(&mut reader)?.parse().map_err(|_| WRONG)?,
                    to: text(&mut reader)?.parse().map_err(|_| WRONG)?,
                    purpose: text(&mut reader)?.parse().map_err(|_| WRONG)?,
                }),
                person: fixed(&mut reader)?,
            },
            _ => return Err(WRONG),
        };
        Ok(Self {
            id,
            request,
            line,
            asked_at,
            exchange,
            task,
        })
    }
}

/// The relation of a consent.
pub(super) fn relation_of(record: &ConsentRecord) -> Relation {
    Relation {
        from: record.sender.clone(),
        to: record.recipient.clone(),
        purpose: record.purpose.clone(),
    }
}

fn take<'a>(reader: &mut FrameReader<'a>) -> Result<&'a [u8], PortalError> {
    reader.take().map_err(|_| WRONG)
}

fn fixed<const N: usize>(reader: &mut FrameReader<'_>) -> Result<[u8; N], PortalError> {
    take(reader)?.try_into().map_err(|_| WRONG)
}

fn text<'a>(reader: &mut FrameReader<'a>) -> Result<&'a str, PortalError> {
    reader.take_text().map_err(|_| WRONG)
}

fn statement(reader: &mut FrameReader<'_>) -> Result<Statement, PortalError> {
    Statement::parse(take(reader)?).map_err(|_| WRONG)
}

fn place(id: &[u8; 16]) -> Place<'_> {
    Place {
        table: "errand",
        row: id,
        column: "sealed",
    }
}

impl Portal {
    /// A new errand of this moment.
    pub(super) fn errand(&self, exchange: ExchangeRow, task: Task) -> Errand {
        let id = match &task {
            Task::Stop(statement) => self.0.index.tag("errand-stop", statement.record.id.bytes()),
            Task::Object(object) => {
                let value = [
                    object.handover.bytes().as_slice(),
                    &[u8::from(object.restrict)],
                ];
                self.0.index.tag("errand-object", &value.concat())
            }
            Task::Refuse { statement, .. } => {
                let record = &statement.record;
                let relation = format!("{} {} {}", record.sender, record.recipient, record.purpose);
                let value = [exchange.person_index.as_slice(), relation.as_bytes()];
                self.0.index.tag("errand-refuse", &value.concat())
            }
            Task::Find { scope, .. } => {
                let text = scope.text();
                let value = [exchange.person_index.as_slice(), text.as_bytes()];
                self.0.index.tag("errand-find", &value.concat())
            }
        };
        Errand {
            id,
            request: RequestId::draw(self.clock(), self.random()),
            line: self.line_of(&task),
            asked_at: self.now(),
            exchange,
            task,
        }
    }

    /// Where the paper of what is done lies: the same for the same record, however often it was asked for.
    fn line_of(&self, task: &Task) -> EntryId {
        let record = match task {
            Task::Stop(statement) | Task::Refuse { statement, .. } => Some(&statement.record.id),
            Task::Object(_) | Task::Find { .. } => None,
        };
        record
            .map(|record| self.0.index.tag("errand-line", record.bytes()))
            .and_then(|octets| EntryId::from_slice(&octets))
            .unwrap_or_else(|| EntryId::draw(self.clock(), self.random()))
    }

    /// An errand as it is kept.
    pub(super) fn errand_row(&self, errand: &Errand) -> Result<ErrandRow, PortalError> {
        let sealed = self
            .0
            .crypter
            .seal(&place(&errand.id), &errand.plain()?)
            .map_err(|_| PortalError::Vault("a sealed errand"))?;
        Ok(ErrandRow {
            errand_id: errand.id,
            person_index: errand.exchange.person_index,
            stage: errand.need().number(),
            // Whoever asks tries it at once; others leave it alone meanwhile.
            tried_at: errand.asked_at,
            sealed,
        })
    }

    /// An errand as it was kept.
    pub(super) fn open_errand(&self, row: &ErrandRow) -> Result<Errand, PortalError> {
        let opened = self
            .0
            .crypter
            .open(&place(&row.errand_id), &row.sealed)
            .map_err(|_| PortalError::Malformed("a row of errand"))?;
        Errand::read(row.errand_id, opened.expose())
    }

    /// Whether a row is of this errand, and not of a later one of the same id: another person's word, or the same word
    /// said again after the first was answered, has another request.
    pub(super) fn is_row_of(&self, row: &ErrandRow, errand: &Errand) -> bool {
        self.open_errand(row)
            .is_ok_and(|kept| kept.request == errand.request)
    }

    /// The name of the copy of an errand's row at the broker.
    pub(super) fn copy_of_errand(&self, id: &[u8; 16]) -> CopyName {
        self.copy_name(copy::ERRAND, id)
    }
}
