//! The journal: one append-only file of sealed records, replayed into a map when it is opened.
//!
//! A record is a length and a sealed list of changes; its number in the file and the file's own id are
//! authenticated with it, so that records cannot be moved, repeated or carried to another file. Must
//! never acknowledge a change before the disk has it, and must never write a value unsealed.

use super::StoreError;
use rules::clock::Random;
use rules::secret::Secret;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use vault::rest::{Crypter, Place};

/// First octets of every journal: what it is and its version.
const MAGIC: &[u8; 16] = b"sluis-journal-1\n";
/// Octets of the file's own id.
const FILE_ID_BYTES: usize = 16;
/// Octets before the first record.
const HEADER_BYTES: u64 = 32;
/// Octets of a record's length.
const LENGTH_BYTES: usize = 4;
/// Largest record: a batch of a thousand pseudonyms, or one opened dossier, fits many times.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What length, sealing and the form of one change add to key and value, about.
const RECORD_EXTRA_BYTES: usize = 48;
/// A journal smaller than this is never rewritten.
const COMPACT_BYTES_MIN: u64 = 1024 * 1024;
/// What is in the authenticated data beside file and number.
const TABLE: &str = "client-journal";

/// Which map a key belongs to. The numbers are in files: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Context keys.
    Context = 1,
    /// Own pseudonyms by domain and person key.
    Pseudonym = 2,
    /// Handovers that this desk prepared.
    Prepared = 3,
    /// Offers and dossiers that this desk opened.
    Opened = 4,
    /// Places to go on from.
    Cursor = 5,
    /// Requests that have no answer yet.
    Outbox = 6,
    /// The revision of each handover on which the partner decides.
    Revision = 7,
    /// The newest verified directory.
    Directory = 8,
    /// Requests that stopped something, for a gateway that is put back from a backup.
    Stopped = 9,
    /// What was typed for a handover and has not gone out.
    Draft = 10,
    /// Whether a dossier was found to be about the person whose pseudonym came with it.
    Proof = 12,
}

impl Table {
    const ALL: [Self; 11] = [
        Self::Context,
        Self::Pseudonym,
        Self::Prepared,
        Self::Opened,
        Self::Cursor,
        Self::Outbox,
        Self::Revision,
        Self::Directory,
        Self::Stopped,
        Self::Draft,
        Self::Proof,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// One change; those of one [`Journal::commit`] happen together or not at all.
pub(crate) struct Change {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    /// The new value; none removes the key.
    pub(crate) value: Option<Vec<u8>>,
}

/// All that is known, by table and key.
#[derive(Default)]
pub(super) struct Records(BTreeMap<(Table, Vec<u8>), Secret<Vec<u8>>>);

impl Records {
    pub(super) fn value(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        self.0
            .get(&(table, key.to_vec()))
            .map(|value| value.expose().as_slice())
    }

    /// Keys and values of one table, in the order of the keys.
    pub(super) fn rows(&self, table: Table) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .range((table, Vec::new())..)
            .take_while(move |((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.as_slice(), value.expose().as_slice()))
    }
}

/// An open journal.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    file_id: [u8; FILE_ID_BYTES],
    crypter: Crypter,
    records: Arc<RwLock<Records>>,
    /// Number of the next record.
    next_number: u64,
    /// Octets that are good; everything after them was never acknowledged.
    length_bytes: u64,
    /// Octets that the live records alone would take, about.
    live_bytes: u64,
    /// Set when the disk failed in a way after which nothing can be promised.
    broken: bool,
    // Held for as long as the journal is open; the system releases it with the process.
    _lock: File,
}

impl Journal {
    /// Opens the journal at `path`, makes it when there is none, and replays it.
    pub(super) fn open(
        path: &Path,
        crypter: Crypter,
        random: &dyn Random,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let io = |source| StoreError::Io {
            path: path.to_owned(),
            source,
        };
        if !path.exists() {
            create(path, &draw_file_id(random)).map_err(io)?;
        }
        let mut file = open_private(path).map_err(io)?;
        let file_id = read_header(path, &mut file)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            file_id,
            crypter,
            records: Arc::default(),
            next_number: 0,
            length_bytes: HEADER_BYTES,
            live_bytes: 0,
            broken: false,
            _lock: lock,
        };
        journal.replay()?;
        journal.compact_if_worth_it(random)?;
        Ok(journal)
    }

    /// What the journal holds. It is locked apart from the file, so that nobody who reads waits for the disk.
    pub(super) fn records(&self) -> Arc<RwLock<Records>> {
        Arc::clone(&self.records)
    }

    /// Makes each list of changes durable, whole or not at all, and only then visible; with one sync for all
    /// lists. Gives the outcome of each.
    pub(super) fn commit(
        &mut self,
        lists: Vec<Vec<Change>>,
        random: &dyn Random,
    ) -> Vec<Result<(), StoreError>> {
        let mut records = Vec::new();
        let mut number = self.next_number;
        let mut sealed = Vec::with_capacity(lists.len());
        for changes in &lists {
            let record = self
                .check()
                .and_then(|()| self.seal_record(number, &self.file_id, changes));
            sealed.push(record.map(|record| {
                number = number.saturating_add(1);
                records.extend_from_slice(&record);
            }));
        }
        if let Err(source) = self.append(&records) {
            self.broken = true;
            let failed = |outcome: Result<(), StoreError>| {
                // An error of the system is told to one; each of the others gets its kind.
                outcome.and(Err(StoreError::Io {
                    path: self.path.clone(),
                    source: source.kind().into(),
                }))
            };
            return sealed.into_iter().map(failed).collect();
        }
        self.next_number = number;
        self.length_bytes = self.length_bytes.saturating_add(size(&records));
        let done = lists.into_iter().zip(&sealed);
        let done = done.filter(|(_, outcome)| outcome.is_ok());
        self.apply(done.flat_map(|(changes, _)| changes));
        // What was asked is on the disk, whether or not the file could be made smaller. If that broke the
        // journal, the next change is told so.
        drop(self.compact_if_worth_it(random));
        sealed
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Broken {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// After a failed sync nobody knows what the disk holds, so the caller breaks the journal; what was
    /// half written is cut off by the next process that opens it.
    fn append(&mut self, record: &[u8]) -> std::io::Result<()> {
        if record.is_empty() {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(self.length_bytes))?;
        self.file.write_all(record)?;
        self.file.sync_data()
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let key = (change.table, change.key);
            let key_bytes = key.1.len();
            let cost = |value: usize| {
                let bytes = key_bytes
                    .saturating_add(value)
                    .saturating_add(RECORD_EXTRA_BYTES);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            };
            let old = match change.value {
                Some(value) => {
                    self.live_bytes = self.live_bytes.saturating_add(cost(value.len()));
                    records.0.insert(key, Secret::new(value))
                }
                None => records.0.remove(&key),
            };
            if let Some(old) = old {
                self.live_bytes = self.live_bytes.saturating_sub(cost(old.expose().len()));
            }
        }
    }

    fn seal_record(
        &self,
        number: u64,
        file_id: &[u8; FILE_ID_BYTES],
        changes: &[Change],
    ) -> Result<Vec<u8>, StoreError> {
        let plain = Secret::new(write_changes(changes));
        let row = row(file_id, number);
        let sealed = self
            .crypter
            .seal(&place(&row), plain.expose())
            .map_err(|_| StoreError::RecordTooLarge)?;
        let length = u32::try_from(sealed.len())
            .ok()
            .filter(|_| sealed.len() <= RECORD_BYTES_MAX)
            .ok_or(StoreError::RecordTooLarge)?;
        let mut record = length.to_be_bytes().to_vec();
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    fn replay(&mut self) -> Result<(), StoreError> {
        let mut rest = Vec::new();
        let io = |source| StoreError::Io {
            path: self.path.clone(),
            source,
        };
        self.file
            .seek(SeekFrom::Start(HEADER_BYTES))
            .and_then(|_| self.file.read_to_end(&mut rest))
            .map_err(io)?;
        let mut rest = rest.as_slice();
        while let Some((sealed, after)) = split_record(rest) {
            let row = row(&self.file_id, self.next_number);
            let plain = self
                .crypter
                .open(&place(&row), sealed)
                .map_err(|_| self.damaged())?;
            let changes = read_changes(plain.expose()).ok_or_else(|| self.damaged())?;
            self.apply(changes);
            self.next_number = self.next_number.saturating_add(1);
            let taken = rest.len().saturating_sub(after.len());
            self.length_bytes = self
                .length_bytes
                .saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
            rest = after;
        }
        if !rest.is_empty() {
            self.cut_off_torn_end()?;
        }
        Ok(())
    }

    /// What comes after the last whole record was being written when the power went: nobody was told
    /// that it was there.
    fn cut_off_torn_end(&mut self) -> Result<(), StoreError> {
        self.file
            .set_len(self.length_bytes)
            .and_then(|()| self.file.sync_all())
            .map_err(|source| StoreError::Io {
                path: self.path.clone(),
                source,
            })
    }

    fn damaged(&self) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            record: self.next_number,
        }
    }

    /// Rewrites the journal with what is live when more than half of it is not.
    fn compact_if_worth_it(&mut self, random: &dyn Random) -> Result<(), StoreError> {
        let wasteful =
            self.length_bytes > COMPACT_BYTES_MIN && self.length_bytes / 2 > self.live_bytes;
        if wasteful {
            self.compact(random)
        } else {
            Ok(())
        }
    }

    /// Writes a new file beside the old one and puts it in its place.
    pub(super) fn compact(&mut self, random: &dyn Random) -> Result<(), StoreError> {
        let file_id = draw_file_id(random);
        let mut records = Vec::new();
        let mut length_bytes = HEADER_BYTES;
        let live = self.records();
        let live = live.read().unwrap_or_else(PoisonError::into_inner);
        for (number, ((table, key), value)) in (0_u64..).zip(&live.0) {
            let change = Change {
                table: *table,
                key: key.clone(),
                value: Some(value.expose().clone()),
            };
            let record = self.seal_record(number, &file_id, &[change])?;
            length_bytes = length_bytes.saturating_add(size(&record));
            records.push(record);
        }
        match replace(&self.path, &file_id, &records) {
            Ok(file) => {
                self.file = file;
                self.file_id = file_id;
                self.next_number = u64::try_from(records.len()).unwrap_or(u64::MAX);
                self.length_bytes = length_bytes;
                Ok(())
            }
            Err(source) => {
                // Which of the two files the name leads to is not known any more.
                self.broken = true;
                Err(StoreError::Io {
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }
}

fn draw_file_id(random: &dyn Random) -> [u8; FILE_ID_BYTES] {
    let mut id = [0; FILE_ID_BYTES];
    random.fill(&mut id);
    id
}

fn size(record: &[u8]) -> u64 {
    u64::try_from(record.len()).unwrap_or(u64::MAX)
}

/// Where a record belongs: the file's id and the record's number.
fn row(file_id: &[u8; FILE_ID_BYTES], number: u64) -> Vec<u8> {
    [file_id.as_slice(), &number.to_be_bytes()].concat()
}

const fn place(row: &[u8]) -> Place<'_> {
    Place {
        table: TABLE,
        row,
        column: "record",
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = path.with_extension("lock");
    let io = |source| StoreError::Io {
        path: lock_path.clone(),
        source,
    };
    let file = private_options()
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// That a journal is at `path`, or can be made there.
pub(super) fn look(path: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        let mut file = open_private(path).map_err(io)?;
        return read_header(path, &mut file).map(drop);
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            std::fs::read_dir(folder).map(drop).map_err(io)
        }
        Some(_) | None => Ok(()),
    }
}

/// For reading and writing by this user alone.
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn open_private(path: &Path) -> std::io::Result<File> {
    private_options().open(path)
}

/// An empty journal, put in its place when it is whole.
fn create(path: &Path, file_id: &[u8; FILE_ID_BYTES]) -> std::io::Result<()> {
    replace(path, file_id, &[]).map(|_| ())
}

/// Writes a journal beside `path` and puts it in its place: at every moment the old or the new one is
/// there, whole.
fn replace(
    path: &Path,
    file_id: &[u8; FILE_ID_BYTES],
    records: &[Vec<u8>],
) -> std::io::Result<File> {
    let beside = path.with_extension("new");
    // A file of this name is left over from a rewrite that did not finish.
    if beside.exists() {
        std::fs::remove_file(&beside)?;
    }
    let mut file = private_options().create_new(true).open(&beside)?;
    file.write_all(MAGIC)?;
    file.write_all(file_id)?;
    records
        .iter()
        .try_for_each(|record| file.write_all(record))?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(path)?;
    Ok(file)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn read_header(path: &Path, file: &mut File) -> Result<[u8; FILE_ID_BYTES], StoreError> {
    let mut magic = [0; 16];
    let mut file_id = [0; FILE_ID_BYTES];
    let read = file
        .read_exact(&mut magic)
        .and_then(|()| file.read_exact(&mut file_id));
    match read {
        Ok(()) if &magic == MAGIC => Ok(file_id),
        _ => Err(StoreError::NoJournal {
            path: path.to_owned(),
        }),
    }
}

/// The first whole record and what follows; none when the rest is torn, which includes octets that
/// the file system reserved and never filled.
fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length == 0 || rest.iter().all(|byte| *byte == 0) {
        return None;
    }
    rest.split_at_checked(length)
}

fn write_changes(changes: &[Change]) -> Vec<u8> {
    let mut plain = Vec::new();
    for change in changes {
        plain.push(change.table as u8);
        plain.push(u8::from(change.value.is_some()));
        write_part(&mut plain, &change.key);
        if let Some(value) = &change.value {
            write_part(&mut plain, value);
        }
    }
    plain
}

fn write_part(plain: &mut Vec<u8>, part: &[u8]) {
    // Longer parts make a record that is refused for its size before anything is written.
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(part);
}

fn read_changes(mut plain: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while let Some(([table, has_value], rest)) = plain.split_first_chunk::<2>() {
        let (key, rest) = read_part(rest)?;
        let (value, rest) = match has_value {
            0 => (None, rest),
            1 => read_part(rest).map(|(value, rest)| (Some(value.to_vec()), rest))?,
            _ => return None,
        };
        changes.push(Change {
            table: Table::from_number(*table)?,
            key: key.to_vec(),
            value,
        });
        plain = rest;
    }
    plain.is_empty().then_some(changes)
}

fn read_part(plain: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = plain.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
