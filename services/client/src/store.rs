//! The partner's own sealed store: keys, pseudonyms, what was prepared and opened, and what still waits.
//!
//! One journal file; see `journal`. Must never hold a citizen service number, and must never say that
//! something is kept before the disk has it.

mod journal;
mod queue;
mod rows;

pub(crate) use journal::{Change, Table};
pub(crate) use rows::{
    ContextRow, DirectoryRow, DraftRow, FieldRow, OpenedRow, OutboxRow, PreparedRow, ProofRow,
    PseudonymRow, StoppedRow,
};

use crate::person::PersonKey;
use journal::{Journal, Records};
use prost::Message;
use queue::Queue;
use rules::clock::{Random, Timestamp};
use rules::id::{HandoverId, Label, Party, Purpose, RequestId};
use rules::pseudonym::{Context, Domain};
use rules::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use vault::pseudonym::{ContextKey, Pseudonym};
use vault::rest::Crypter;

/// The store. One process at a time; calls may come from any number of threads.
pub struct Store {
    records: Arc<RwLock<Records>>,
    journal: Mutex<Journal>,
    queue: Queue,
    random: Arc<dyn Random>,
}

/// What a pseudonym meets when it is to be kept beside a key.
pub(crate) struct Neighbours {
    /// The key stands for another pseudonym.
    pub(crate) is_taken: bool,
    /// Another key that stands for the same one.
    pub(crate) also: Option<PersonKey>,
}

/// A dossier or summary as it was opened.
#[derive(Debug)]
pub struct Opened {
    /// Who sealed it: the sender, and of a report the recipient.
    pub sender: Party,
    /// The purpose.
    pub purpose: Purpose,
    /// The partner's own key of the person; none for a summary, which is about nobody known.
    pub person: Option<PersonKey>,
    /// The fields.
    pub fields: Vec<(Label, Secret<Vec<u8>>)>,
    /// When it was opened.
    pub opened: Timestamp,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store at `path`, or makes it. `crypter` holds the desk's rest keys, newest first
    /// (`vault::keyfile::KeyFile::rest_keys`).
    ///
    /// # Errors
    ///
    /// When the file cannot be used, is in use, or does not open under these keys. A record that was
    /// torn by a crash is no error: nobody was told that it was there.
    pub fn open(
        path: &Path,
        crypter: Crypter,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        let journal = Journal::open(path, crypter, &*random)?;
        Ok(Self {
            records: journal.records(),
            journal: Mutex::new(journal),
            queue: Queue::default(),
            random,
        })
    }

    /// That a store can be opened at this path, as far as that is seen without its key: one is there, or there is the
    /// folder in which it is made. Changes nothing.
    ///
    /// # Errors
    ///
    /// When neither is.
    pub fn look(path: &Path) -> Result<(), StoreError> {
        journal::look(path)
    }

    /// Whether the key of this context is here.
    #[must_use]
    pub fn has_context(&self, context: &Context) -> bool {
        let key = context.to_string();
        self.records()
            .value(Table::Context, key.as_bytes())
            .is_some()
    }

    /// The key of one of the partner's contexts, if it was opened.
    ///
    /// # Errors
    ///
    /// When the stored value is no key.
    pub fn context_key(&self, context: &Context) -> Result<Option<ContextKey>, StoreError> {
        let key = context.to_string();
        let Some(row) = self.row::<ContextRow>(Table::Context, key.as_bytes(), "context")? else {
            return Ok(None);
        };
        let unreadable = StoreError::Unreadable { kind: "context" };
        let Ok(secret) = <[u8; 32]>::try_from(row.secret.as_slice()) else {
            return Err(unreadable);
        };
        ContextKey::from_secret(&Secret::new(secret))
            .map(Some)
            .map_err(|_| unreadable)
    }

    /// Keeps the key of a context.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    pub fn keep_context_key(
        &self,
        context: &Context,
        key: &ContextKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let row = ContextRow {
            secret: key.to_secret().expose().to_vec(),
            opened_millis: now.millis(),
        };
        let label = context.to_string();
        self.commit(vec![put(Table::Context, label.as_bytes(), &row)])
    }

    /// The partner's pseudonym of a person in one of its domains, if the person was enrolled.
    ///
    /// # Errors
    ///
    /// When the stored value is no pseudonym.
    pub fn pseudonym(
        &self,
        domain: &Domain,
        person: &PersonKey,
    ) -> Result<Option<Pseudonym>, StoreError> {
        let key = pseudonym_key(domain, person);
        let Some(row) = self.row::<PseudonymRow>(Table::Pseudonym, &key, "pseudonym")? else {
            return Ok(None);
        };
        Pseudonym::parse(&row.point)
            .map(Some)
            .map_err(|_| StoreError::Unreadable { kind: "pseudonym" })
    }

    /// Whether a person was made known here without a number.
    ///
    /// # Errors
    ///
    /// When the stored value cannot be read.
    pub fn is_unbound(&self, domain: &Domain, person: &PersonKey) -> Result<bool, StoreError> {
        let key = pseudonym_key(domain, person);
        let row = self.row::<PseudonymRow>(Table::Pseudonym, &key, "pseudonym")?;
        Ok(row.is_some_and(|row| row.unbound))
    }

    /// The person behind one of the partner's pseudonyms, if it is one that the partner knows.
    ///
    /// # Errors
    ///
    /// When a stored value cannot be read.
    pub fn person(
        &self,
        domain: &Domain,
        pseudonym: &Pseudonym,
    ) -> Result<Option<PersonKey>, StoreError> {
        let domain = domain.to_string();
        let records = self.records();
        for (_, value) in records.rows(Table::Pseudonym) {
            let row = read::<PseudonymRow>(value, "pseudonym")?;
            if row.domain == domain && row.point == pseudonym.bytes() {
                return Ok(PersonKey::kept(&row.person));
            }
        }
        Ok(None)
    }

    /// Keeps pseudonyms beside the partner's own person keys, all together.
    ///
    /// # Errors
    ///
    /// When the disk does not take them.
    pub fn keep_pseudonyms(
        &self,
        domain: &Domain,
        persons: &[(PersonKey, Pseudonym)],
    ) -> Result<(), StoreError> {
        let changes = persons
            .iter()
            .map(|(person, pseudonym)| pseudonym_change(domain, person, pseudonym, false))
            .collect();
        self.commit(changes)
    }

    /// Puts the partner's own key in the place of one that was made up for an unknown person.
    /// Nothing happens when the old key is not known in this domain.
    ///
    /// # Errors
    ///
    /// When the new key stands for somebody else, the disk does not take it, or a stored value cannot be read.
    pub fn rename_person(
        &self,
        domain: &Domain,
        old: &PersonKey,
        new: &PersonKey,
    ) -> Result<(), StoreError> {
        let Some(pseudonym) = self.pseudonym(domain, old)? else {
            return Ok(());
        };
        if self
            .pseudonym(domain, new)?
            .is_some_and(|there| there != pseudonym)
        {
            return Err(StoreError::KeyTaken);
        }
        let unbound = self.is_unbound(domain, old)?;
        let mut changes = vec![
            remove(Table::Pseudonym, &pseudonym_key(domain, old)),
            pseudonym_change(domain, new, &pseudonym, unbound),
        ];
        {
            let records = self.records();
            for (key, value) in records.rows(Table::Opened) {
                let mut row = read::<OpenedRow>(value, "opened record")?;
                if row.person == old.expose() {
                    new.expose().clone_into(&mut row.person);
                    changes.push(put(Table::Opened, key, &row));
                }
            }
        }
        self.commit(changes)
    }

    /// What was opened of a handover: the dossier when it was fetched, the summary before that; at the sender the report.
    ///
    /// # Errors
    ///
    /// When the stored value cannot be read.
    pub fn opened(&self, handover: &HandoverId) -> Result<Option<Opened>, StoreError> {
        for stage in OPENED {
            let key = opened_key(handover, stage);
            if let Some(row) = self.row::<OpenedRow>(Table::Opened, &key, "opened record")? {
                return opened(row).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether the dossier of a handover was opened here.
    ///
    /// # Errors
    ///
    /// When the stored value cannot be read.
    pub(crate) fn has_dossier(&self, handover: &HandoverId) -> Result<bool, StoreError> {
        let key = opened_key(handover, vault::sealing::Stage::Release);
        let row = self.row::<OpenedRow>(Table::Opened, &key, "opened record")?;
        Ok(row.is_some())
    }

    /// Forgets what was opened of a handover, for example after a notice of erasure. The journal holds
    /// the sealed octets until it is rewritten, which this does at once.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    pub fn erase_opened(&self, handover: &HandoverId) -> Result<(), StoreError> {
        let changes = OPENED.map(|stage| remove(Table::Opened, &opened_key(handover, stage)));
        self.commit(changes.into())?;
        self.journal().compact(&*self.random)
    }

    /// Requests that wait for a definite answer, oldest first.
    #[must_use]
    pub fn waiting(&self) -> Vec<RequestId> {
        self.records()
            .rows(Table::Outbox)
            .filter_map(|(key, _)| RequestId::from_slice(key))
            .collect()
    }

    /// Handovers of which something typed is kept, and Prepares that wait with theirs.
    pub(crate) fn drafts(&self) -> Vec<HandoverId> {
        self.records()
            .rows(Table::Draft)
            .filter_map(|(key, _)| HandoverId::from_slice(key))
            .collect()
    }

    /// What keeping these pseudonyms beside these keys would meet, in their order: each is looked at as if those
    /// before it were kept, unless their keys were taken.
    pub(crate) fn neighbours(
        &self,
        domain: &Domain,
        persons: &[(PersonKey, Pseudonym)],
    ) -> Result<Vec<Neighbours>, StoreError> {
        let mut standing: BTreeMap<&PersonKey, Pseudonym> = BTreeMap::new();
        for (person, _) in persons {
            if let Some(pseudonym) = self.pseudonym(domain, person)? {
                standing.insert(person, pseudonym);
            }
        }
        let mut keys: BTreeMap<Vec<u8>, BTreeSet<PersonKey>> = persons
            .iter()
            .map(|(_, pseudonym)| (pseudonym.bytes().to_vec(), BTreeSet::new()))
            .collect();
        let label = domain.to_string();
        for (_, value) in self.records().rows(Table::Pseudonym) {
            let row = read::<PseudonymRow>(value, "pseudonym")?;
            if row.domain == label
                && let Some(same) = keys.get_mut(&row.point)
            {
                same.extend(PersonKey::kept(&row.person));
            }
        }
        let met = persons.iter().map(|(person, pseudonym)| {
            let same = keys.entry(pseudonym.bytes().to_vec()).or_default();
            let also = same.iter().find(|other| *other != person).cloned();
            let is_taken = standing.get(person).is_some_and(|there| there != pseudonym);
            if !is_taken {
                same.insert(person.clone());
                standing.insert(person, pseudonym.clone());
            }
            Neighbours { is_taken, also }
        });
        Ok(met.collect())
    }

    /// Requests that stopped something, oldest first.
    pub(crate) fn stopped(&self) -> Result<Vec<(RequestId, StoppedRow)>, StoreError> {
        self.records()
            .rows(Table::Stopped)
            .filter_map(|(key, value)| Some((RequestId::from_slice(key)?, value)))
            .map(|(request, value)| Ok((request, read(value, "stopped request")?)))
            .collect()
    }

    /// Reads one typed row.
    pub(crate) fn row<M: Message + Default>(
        &self,
        table: Table,
        key: &[u8],
        kind: &'static str,
    ) -> Result<Option<M>, StoreError> {
        self.records()
            .value(table, key)
            .map(|value| read(value, kind))
            .transpose()
    }

    /// Reads one row of plain octets.
    pub(crate) fn octets(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.records().value(table, key).map(<[u8]>::to_vec)
    }

    /// Makes changes durable, all together or none.
    pub(crate) fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.queue.commit(changes, || self.journal(), &*self.random)
    }

    fn records(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // A panic while it was held cannot have left a half-made change: memory changes after the disk.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may have been opened of a handover, the first that counts first.
const OPENED: [vault::sealing::Stage; 3] = [
    vault::sealing::Stage::Release,
    vault::sealing::Stage::Offer,
    vault::sealing::Stage::Report,
];

/// Row key of the one directory.
pub(crate) const DIRECTORY_KEY: &[u8] = b"directory";

/// Puts a row.
pub(crate) fn put(table: Table, key: &[u8], row: &impl Message) -> Change {
    put_octets(table, key, row.encode_to_vec())
}

/// Puts plain octets.
pub(crate) fn put_octets(table: Table, key: &[u8], value: Vec<u8>) -> Change {
    Change {
        table,
        key: key.to_vec(),
        value: Some(value),
    }
}

/// Removes a row.
pub(crate) fn remove(table: Table, key: &[u8]) -> Change {
    Change {
        table,
        key: key.to_vec(),
        value: None,
    }
}

/// The key of an opened record.
pub(crate) fn opened_key(handover: &HandoverId, stage: vault::sealing::Stage) -> Vec<u8> {
    [handover.bytes().as_slice(), &[stage.number()]].concat()
}

/// The change that keeps one pseudonym.
pub(crate) fn pseudonym_change(
    domain: &Domain,
    person: &PersonKey,
    pseudonym: &Pseudonym,
    unbound: bool,
) -> Change {
    let row = PseudonymRow {
        unbound,
        scheme: u32::from(vault::pseudonym::SCHEME),
        point: pseudonym.bytes().to_vec(),
        domain: domain.to_string(),
        person: person.expose().to_owned(),
    };
    put(Table::Pseudonym, &pseudonym_key(domain, person), &row)
}

fn pseudonym_key(domain: &Domain, person: &PersonKey) -> Vec<u8> {
    // A label has no zero octet, so the two cannot run into each other.
    [
        domain.to_string().as_bytes(),
        b"\0",
        person.expose().as_bytes(),
    ]
    .concat()
}

fn read<M: Message + Default>(value: &[u8], kind: &'static str) -> Result<M, StoreError> {
    M::decode(value).map_err(|_| StoreError::Unreadable { kind })
}

fn opened(row: OpenedRow) -> Result<Opened, StoreError> {
    let unreadable = |_| StoreError::Unreadable {
        kind: "opened record",
    };
    let fields = row.fields.into_iter().map(|field| {
        let label = field.label.parse().map_err(unreadable)?;
        Ok((label, Secret::new(field.value)))
    });
    Ok(Opened {
        sender: row.sender.parse().map_err(unreadable)?,
        purpose: row.purpose.parse().map_err(unreadable)?,
        person: PersonKey::kept(&row.person),
        fields: fields.collect::<Result<_, StoreError>>()?,
        opened: Timestamp::from_millis(row.opened_millis),
    })
}

/// Why the partner's own store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk said no.
    #[error("the store at `{}` cannot be read or written: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error(
        "the store at `{}` is in use by another process; stop that one, or give this one a store of its own",
        path.display()
    )]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{}` is no store of this library; check the path", path.display())]
    NoJournal {
        /// Where.
        path: PathBuf,
    },
    /// A record does not open.
    #[error(
        "record {record} of the store at `{}` does not open: the rest key is another one or the file was damaged; restore key file and store from the same backup",
        path.display()
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Which record, from 0.
        record: u64,
    },
    /// An earlier write failed in a way after which nothing can be promised.
    #[error(
        "the store at `{}` stopped after a failed write; make room and restart the process",
        path.display()
    )]
    Broken {
        /// Where.
        path: PathBuf,
    },
    /// The runtime ended while the store was being written; what was written is found at the next start.
    #[error("the process is ending")]
    Interrupted,
    /// A person key stands for another person.
    #[error("this person key stands for another person already; choose another key")]
    KeyTaken,
    /// One change is larger than a record may be.
    #[error("a value is too large for the store")]
    RecordTooLarge,
    /// A value opens and is no value of its kind.
    #[error(
        "a value of kind {kind} in the store cannot be read; was it written by a newer version?"
    )]
    Unreadable {
        /// Which kind.
        kind: &'static str,
    },
}

#[cfg(test)]
mod tests;
