//! Whether offers stay as fast while the log grows: the same calls at ten thousand entries, a hundred
//! thousand, a million, ten million.
//!
//! Must never fill a disk: a size for which there is no room is left out, and the table says so.

use crate::desks::{Desks, FOUR};
use crate::fill::Fill;
use crate::load::Size;
use crate::processes::{Disk, Spent, print_memory};
use crate::servers::{Sandbox, Site};
use crate::table::{Table, Target};
use gateway::clock::SystemClock;
use rules::clock::Clock as _;
use rules::limits::QUOTA_PREPARE_PER_DAY;
use std::time::Instant;

/// Entries at which it is measured.
pub(crate) const ENTRIES: [i64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// From so many entries on the ratio has a target, the design's for the most.
const TARGET_FROM: i64 = 1_000_000;
const RATIO_MIN: f64 = 0.9;
/// Real handovers that are copied.
const TEMPLATES: usize = 40;
/// Calls of each kind before anything is measured.
const WARM: usize = 100;
/// Room that must be free, by what the rows will take: the engines write their journals beside them.
const ROOM_TIMES: f64 = 1.2;

/// What was measured at a size.
struct Row {
    entries: i64,
    offers: f64,
    pairs: f64,
}

/// What calls have taken of the machine up to a moment.
struct Taken {
    spent: Spent,
    disk: Option<Disk>,
}

impl Taken {
    fn of(sandbox: &Sandbox) -> Self {
        Self {
            spent: sandbox.processes.spent(),
            disk: sandbox.processes.disk(),
        }
    }

    /// For each of `calls`: where the time of a larger log goes, if it takes more.
    fn print_since(&self, before: &Self, calls: usize, name: &str, table: &mut Table) {
        let spent = self.spent.each_since(&before.spent, calls);
        let row = |what: &str| format!("{name}: {what}");
        table.number(&row("processor time of everything"), spent.together(), "µs");
        let (Some(now), Some(before)) = (self.disk, before.disk) else {
            return table.text(&row("disk"), "left out: PostgreSQL is somebody else's");
        };
        let kibibytes = |octets: f64| octets / 1_024.0 / calls as f64;
        let (read, written) = (now.read - before.read, now.written - before.written);
        table.number(&row("read from the disk"), kibibytes(read), "KiB");
        table.number(&row("changed in files"), kibibytes(written), "KiB");
    }
}

/// Measures up to so many entries, and prints.
pub(crate) async fn measure(site: &Site, size: &Size, entries_max: i64, table: &mut Table) {
    let sandbox = site.start("growth").await;
    let rest = sandbox.processes.memory();
    let sizes: Vec<i64> = ENTRIES
        .into_iter()
        .filter(|entries| *entries <= entries_max)
        .collect();
    let calls = (2 * size.count).min(calls_max(sizes.len()));
    let persons = TEMPLATES + WARM + sizes.len() * 2 * calls;
    let desks = Desks::open(&sandbox.folder, &sandbox.stores, FOUR, persons).await;
    desks.wholes(TEMPLATES, size.concurrency.min(4)).await;
    let now = SystemClock.now().millis();
    let mut fill = Fill::open(&sandbox.home_of("broker"), now).await;
    desks.pairs(WARM, size.concurrency).await;
    table.heading(&format!(
        "{}: growth of the log ({calls} calls of each kind at each size; filled by copying rows of {TEMPLATES} real handovers)",
        site.engine
    ));
    let mut rows = Vec::new();
    for entries in sizes {
        let row = |what: &str| format!("at {} entries: {what}", thousands(entries));
        let each = fill.bytes().await as f64 / fill.entries().await as f64;
        let needed = each * ROOM_TIMES * (entries - fill.entries().await) as f64;
        let free = room(site);
        if needed > free {
            let gigabytes = |bytes: f64| (bytes / 1e9).ceil();
            let why = format!(
                "left out: needs about {} GB, and {} GB are free",
                gigabytes(needed),
                gigabytes(free)
            );
            table.text(&row("all"), &why);
            break;
        }
        let begun = Instant::now();
        fill.until(entries).await;
        table.number(&row("filled in"), begun.elapsed().as_secs_f64(), "s");
        let (bytes, present) = (fill.bytes().await as f64, fill.entries().await as f64);
        table.number(&row("database"), bytes / f64::from(1 << 20), "MiB");
        let name = row("of it for each, other tables included");
        table.number(&name, bytes / present, "bytes");
        let (first, ids, _) = desks.prepare_all(calls, size.concurrency).await;
        let begun = Taken::of(&sandbox);
        let offers = desks.offer_all(first, &ids, size.concurrency).await;
        let offered = Taken::of(&sandbox);
        let pairs = desks.pairs(calls, size.concurrency).await;
        let paired = Taken::of(&sandbox);
        let (name, name_of_pairs) = (row("CreateOffer"), row("Prepare + Offer"));
        table.number(&name, offers, "calls/s");
        offered.print_since(&begun, calls, &name, table);
        table.number(&name_of_pairs, pairs, "pairs/s");
        paired.print_since(&offered, calls, &name_of_pairs, table);
        rows.push(Row {
            entries,
            offers,
            pairs,
        });
    }
    print_ratios(&rows, table);
    fill.close().await;
    let heading = format!("{}: memory of the servers while the log grew", site.engine);
    print_memory(&heading, &rest, &sandbox.processes.memory(), table);
    Sandbox::stop(sandbox).await;
}

/// The design bounds the ratio at ten million entries; smaller logs are held to the same.
fn print_ratios(rows: &[Row], table: &mut Table) {
    let [first, .., last] = rows else {
        return;
    };
    let kinds = [
        ("CreateOffer", last.offers / first.offers),
        ("Prepare + Offer", last.pairs / first.pairs),
    ];
    for (kind, ratio) in kinds {
        let (last_text, first_text) = (thousands(last.entries), thousands(first.entries));
        let name = format!("{kind} at {last_text} over {first_text}");
        if last.entries >= TARGET_FROM {
            table.target(&name, ratio, "", Target::AtLeast(RATIO_MIN));
        } else {
            table.ratio(&name, ratio);
        }
    }
}

/// The most calls of each kind at each size: what four organisations' quotas allow.
fn calls_max(sizes: usize) -> usize {
    let quotas = FOUR.len() * QUOTA_PREPARE_PER_DAY as usize;
    (quotas - TEMPLATES - WARM) / (2 * sizes)
}

/// Octets that are free where the rows go: a server that is not our own is taken to be as roomy.
fn room(site: &Site) -> f64 {
    let found = rustix::fs::statvfs(&site.folder).expect("the folder's disk");
    found.f_bavail as f64 * found.f_frsize as f64
}

fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn numbers_are_grouped_from_the_right() {
        let seen = [7, 100, 10_000, 10_000_000].map(thousands);
        assert_eq!(seen, ["7", "100", "10,000", "10,000,000"]);
    }
}
