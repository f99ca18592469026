//! What processes took of the machine, from /proc: processor time of the servers, of the clients (this program) and
//! of PostgreSQL; what the broker and PostgreSQL read from the disk and wrote to it; memory of the servers.
//!
//! Must never count a server that is not one of the sandbox's.

use crate::table::Table;
use std::collections::BTreeMap;

/// Clock ticks a second in /proc (USER_HZ on Linux).
const TICKS_PER_SECOND: f64 = 100.0;
/// The server whose database grows.
const BROKER: &str = "broker";
/// The servers, by the names of their folders.
const NAMES: [&str; 4] = [BROKER, "holder-1", "holder-2", "portal"];
/// Those that are in a call's way.
const IN_THE_WAY: [&str; 3] = [BROKER, "holder-1", "holder-2"];

/// The servers' processes.
pub(crate) struct Processes(BTreeMap<&'static str, u32>);

/// This program, by name: its clients.
const CLIENTS: &str = "clients";
/// All processes of PostgreSQL on this machine, by name.
const POSTGRES: &str = "PostgreSQL";

/// Microseconds of processor time, by server, and of clients and PostgreSQL by their names.
#[derive(Clone)]
pub(crate) struct Spent(BTreeMap<&'static str, f64>);

/// Octets that the broker and PostgreSQL together read from the disk itself, and changed in files: a page that is
/// changed twice before it is written out counts once.
#[derive(Clone, Copy, Default)]
pub(crate) struct Disk {
    pub(crate) read: f64,
    pub(crate) written: f64,
}

/// Resident memory in MiB, now and at the most, by server.
pub(crate) struct Memory(BTreeMap<&'static str, (f64, f64)>);

impl Processes {
    /// The children of a sandbox.
    pub(crate) fn of(parent: u32) -> Self {
        let mut ids = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let fields = stat(id);
            let words = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let name = NAMES
                .into_iter()
                .find(|name| words.contains(&format!("/processes/{name}/")));
            if let (Some(name), true) = (name, fields.get(1) == Some(&parent.to_string())) {
                ids.insert(name, id);
            }
        }
        assert_eq!(ids.len(), NAMES.len(), "the servers' processes: {ids:?}");
        Self(ids)
    }

    /// Processor time since each began.
    pub(crate) fn spent(&self) -> Spent {
        Spent::of_servers(self.0.iter().map(|(name, id)| (*name, *id)))
    }

    /// Since the broker and PostgreSQL began; none where this program may not look at PostgreSQL.
    pub(crate) fn disk(&self) -> Option<Disk> {
        let ids = std::iter::once(self.0[BROKER]).chain(of_postgres());
        ids.map(|id| {
            let text = std::fs::read_to_string(format!("/proc/{id}/io")).ok()?;
            let of = |name: &str| {
                let number = text.lines().find_map(|line| line.strip_prefix(name))?;
                number.trim().parse::<f64>().ok()
            };
            Some((of("read_bytes:")?, of("write_bytes:")?))
        })
        .try_fold(Disk::default(), |sum, one| {
            let (read, written) = one?;
            Some(Disk {
                read: sum.read + read,
                written: sum.written + written,
            })
        })
    }

    pub(crate) fn memory(&self) -> Memory {
        let mebibytes = |id| {
            let text = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
            let of = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
                kibibytes
                    .and_then(|word| word.parse::<f64>().ok())
                    .expect("a number")
                    / 1_024.0
            };
            (of("VmRSS:"), of("VmHWM:"))
        };
        Memory(
            self.0
                .iter()
                .map(|(name, id)| (*name, mebibytes(*id)))
                .collect(),
        )
    }
}

/// The fields of `/proc/<id>/stat` from the state on; none when the process is gone.
fn stat(id: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; fields are counted after it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

/// Microseconds of processor time that a process has had, with those of its children that have ended; none when it is gone.
fn micros(id: u32) -> Option<f64> {
    let fields = stat(id);
    let ticks = |field: &String| field.parse::<f64>().expect("a number");
    // utime, stime, cutime, cstime
    let four = fields.get(11..=14)?;
    Some(four.iter().map(ticks).sum::<f64>() / TICKS_PER_SECOND * 1e6)
}

/// The processes of PostgreSQL on this machine.
fn of_postgres() -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let ids = all.filter_map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        name.starts_with("postgres").then_some(id)
    });
    ids.collect()
}

impl Spent {
    /// Of these servers, of the clients and of PostgreSQL, since each began.
    pub(crate) fn of_servers(servers: impl Iterator<Item = (&'static str, u32)>) -> Self {
        let runs = |id| micros(id).expect("a server that still runs");
        let mut spent: BTreeMap<_, _> = servers.map(|(name, id)| (name, runs(id))).collect();
        spent.insert(CLIENTS, runs(std::process::id()));
        // One of the database's may go between being listed and being read: its time is its parent's then.
        let database = of_postgres().into_iter().filter_map(micros);
        spent.insert(POSTGRES, database.sum());
        Self(spent)
    }

    /// By name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.0.iter().map(|(name, micros)| (*name, *micros))
    }

    /// All of it together.
    pub(crate) fn together(&self) -> f64 {
        self.0.values().sum()
    }

    /// What was spent from `before` until now, for each of `calls`.
    pub(crate) fn each_since(&self, before: &Self, calls: usize) -> Self {
        let each = |(name, micros): (&&'static str, &f64)| {
            (*name, (micros - before.0[name]) / calls as f64)
        };
        Self(self.0.iter().map(each).collect())
    }

    /// Broker and holders together.
    pub(crate) fn in_the_way(&self) -> f64 {
        IN_THE_WAY.iter().map(|name| self.0[name]).sum()
    }
}

/// Prints the memory at rest and after the load.
pub(crate) fn print_memory(heading: &str, rest: &Memory, after: &Memory, table: &mut Table) {
    table.heading(heading);
    for (name, (resident, _)) in &rest.0 {
        table.number(
            &format!("{name}: at rest after the start"),
            *resident,
            "MiB",
        );
        let (resident, most) = after.0[name];
        table.number(&format!("{name}: after the load"), resident, "MiB");
        table.number(&format!("{name}: at the most"), most, "MiB");
    }
}
