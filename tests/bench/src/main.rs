//! The benchmark: every row of the table of speed, on both engines, in one run on one machine.
//!
//! Must never switch anything off to look faster: the servers are those of `sluis sandbox`, with real
//! mutual TLS, full sync and every check. Figures are printed as measured.

mod consent;
#[expect(dead_code, reason = "the suite from outside uses more of it")]
#[path = "../../it/database.rs"]
mod database;
mod decision;
mod desks;
mod fill;
mod floor;
mod flow;
mod growth;
mod hop;
mod load;
mod open_loop;
#[expect(dead_code, reason = "the fault run kills it and starts it again")]
#[path = "../../faults/src/postgres.rs"]
mod postgres;
mod processes;
mod refusals;
mod relay;
mod servers;
mod stops;
mod table;
mod times;
mod withdrawal;

use clap::{Parser, Subcommand, ValueEnum};
use load::{Size, Speed};
use servers::{Sandbox, Site};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Table;

/// Measures Sluis on this machine: every row of the table of speed, on both engines.
#[derive(Parser)]
#[command(after_help = "\
Example: cargo run --release -p bench
Example: cargo run --release -p bench -- --only open-loop --seconds 5 --no-postgres

Every part starts fresh servers. Quotas bound how much is measured: an organisation may prepare 2,000
handovers a day, so --count is at most 3,800 (four organisations: twice that, and 300 whole handovers) and
--seconds at most 16 (four organisations: two handovers for each moment at 50 and at 200 a second).
Nothing is raised for the servers. Only `hop` asks a holder in this program for more, and counts on.

Rows with a target end with `met` or `NOT MET`; the last lines list those that are not met. That is no
failure: it exits 1 only when a call failed that should not have, or succeeded after it was stopped.")]
struct Arguments {
    /// Print one JSON object and no table.
    #[arg(long)]
    json: bool,
    /// Measure these parts only; may be given more than once.
    #[arg(long, value_name = "PART")]
    only: Vec<What>,
    /// Calls under way at the same time, in closed loops.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// How many calls of each kind, in closed loops.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u16).range(1..=3_800))]
    count: u16,
    /// How long each open loop lasts, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=16))]
    seconds: u16,
    /// How many withdrawals; fewer than 100 give no true p99.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(2..=900))]
    withdrawals: u16,
    /// Let the log grow to 1,000,000 entries, and not to 100,000.
    #[arg(long)]
    growth: bool,
    /// Let the log grow to 10,000,000 entries, the design's measure: takes long, and tens of gigabytes.
    #[arg(long)]
    ten_million: bool,
    /// Use this PostgreSQL server: postgres://user@host/database. Without it the run starts one of its own
    /// where PostgreSQL is installed.
    #[arg(long, value_name = "URL", conflicts_with = "no_postgres")]
    postgres: Option<String>,
    /// Measure on SQLite only.
    #[arg(long)]
    no_postgres: bool,
    /// Measure on PostgreSQL only.
    #[arg(long, conflicts_with = "no_postgres")]
    no_sqlite: bool,
    /// For the benchmark's own use.
    #[command(subcommand)]
    part: Option<Part>,
}

/// A part of the run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// One hop at a key holder, beside its cryptographic minimum.
    Hop,
    /// One policy decision.
    Decision,
    /// Calls as fast as they go, the bare relay, processor time and memory.
    Load,
    /// Latency at a steady rate.
    OpenLoop,
    /// Withdrawals under load.
    Withdrawal,
    /// Stops when nothing else goes on, and while an officer searches without pause.
    Stops,
    /// Refusals that must look alike.
    Refusals,
    /// The same calls while the log grows.
    Growth,
}

/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Subcommand)]
enum Part {
    /// Serves the bare relay: mutual TLS, one durable INSERT for each call, nothing else.
    #[command(hide = true)]
    Relay {
        /// The sandbox whose certificates it uses.
        folder: PathBuf,
        /// The database: a folder for a file, or the address of a server.
        database: String,
    },
}

impl Arguments {
    fn wants(&self, what: What) -> bool {
        self.only.is_empty() || self.only.contains(&what)
    }

    /// Whether anything is measured through servers on an engine.
    fn wants_servers(&self) -> bool {
        let alone = [What::Hop, What::Decision];
        self.only.is_empty() || self.only.iter().any(|what| !alone.contains(what))
    }

    fn size(&self) -> Size {
        Size {
            concurrency: usize::from(self.concurrency),
            count: usize::from(self.count),
        }
    }

    /// Up to how many entries the log grows.
    fn entries_max(&self) -> i64 {
        let [_, usual, large, most] = growth::ENTRIES;
        if self.ten_million {
            most
        } else if self.growth {
            large
        } else {
            usual
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::Relay { folder, database }) = &arguments.part {
        many_threads().block_on(relay::serve(folder, database));
        return ExitCode::SUCCESS;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = Table::new(arguments.json);
    table.facts(usize::from(arguments.concurrency));
    let runtime = many_threads();
    let floor = floor::Floor::measure();
    floor.print(&mut table);
    let mut site = Site {
        engine: "SQLite",
        postgres: None,
        folder: folder.path().to_owned(),
    };
    alone(&arguments, &site, &floor, &runtime, &mut table);
    let mut sqlite = None;
    if arguments.no_sqlite {
        table.heading("SQLite");
        table.text("left out, with all rows about it", "--no-sqlite was given");
    } else {
        match measure(&runtime, engine(&arguments, &site, &floor, &mut table)) {
            Some(measured) => sqlite = measured,
            None => return ExitCode::from(INTERRUPTED),
        }
    }
    let (server, url) = runtime.block_on(server(&arguments, folder.path()));
    match url {
        Ok(url) => {
            site.engine = "PostgreSQL";
            site.postgres = Some(url);
            let measured = measure(&runtime, engine(&arguments, &site, &floor, &mut table));
            let Some(postgres) = measured else {
                return ExitCode::from(INTERRUPTED);
            };
            if let (Some(sqlite), Some(postgres)) = (sqlite, postgres) {
                load::compare(&sqlite, &postgres, &mut table);
            }
        }
        Err(why) => {
            table.heading("PostgreSQL");
            table.text("left out, with all rows about it", why);
        }
    }
    drop(server);
    if table.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Measures until it is done or somebody presses Ctrl-C: then there is none, and what was started ends with
/// what started it.
fn measure<T>(runtime: &tokio::runtime::Runtime, part: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async {
        tokio::select! {
            measured = part => Some(measured),
            _ = tokio::signal::ctrl_c() => None,
        }
    })
}

/// What is measured in this program itself, on the files of a sandbox.
fn alone(
    arguments: &Arguments,
    site: &Site,
    floor: &floor::Floor,
    runtime: &tokio::runtime::Runtime,
    table: &mut Table,
) {
    if !arguments.wants(What::Hop) && !arguments.wants(What::Decision) {
        return;
    }
    let sandbox = runtime.block_on(site.start("alone"));
    if arguments.wants(What::Hop) {
        hop::measure(&sandbox.folder, &sandbox.stores, floor, table);
    }
    if arguments.wants(What::Decision) {
        decision::measure(&sandbox.folder, table);
    }
    runtime.block_on(Sandbox::stop(sandbox));
}

/// What is measured through servers on an engine; gives its speed, if that was measured.
async fn engine(
    arguments: &Arguments,
    site: &Site,
    floor: &floor::Floor,
    table: &mut Table,
) -> Option<Speed> {
    let size = arguments.size();
    let mut speed = None;
    if arguments.wants(What::Load) {
        speed = Some(load::measure(site, &size, floor, table).await);
    }
    if arguments.wants(What::OpenLoop) {
        let seconds = usize::from(arguments.seconds).min(open_loop::SECONDS_MAX);
        open_loop::measure(site, seconds, size.concurrency, table).await;
    }
    if arguments.wants(What::Withdrawal) {
        withdrawal::measure(site, usize::from(arguments.withdrawals), table).await;
    }
    if arguments.wants(What::Stops) {
        stops::measure(site, usize::from(arguments.withdrawals) / 2, table).await;
    }
    if arguments.wants(What::Refusals) {
        refusals::measure(site, table).await;
    }
    if arguments.wants(What::Growth) {
        growth::measure(site, &size, arguments.entries_max(), table).await;
    }
    speed
}

/// The PostgreSQL server that is used, and its address or why there is none. One of the run's own is stopped
/// and removed when it is dropped.
async fn server(
    arguments: &Arguments,
    folder: &Path,
) -> (Option<postgres::Postgres>, Result<String, &'static str>) {
    if let Some(url) = &arguments.postgres {
        return (None, Ok(url.clone()));
    }
    if arguments.no_postgres {
        return (None, Err("--no-postgres was given"));
    }
    if !arguments.wants_servers() {
        return (None, Err("the parts that were asked for need no engine"));
    }
    if !is_installed() {
        return (
            None,
            Err("PostgreSQL is not installed here; name a server with --postgres"),
        );
    }
    // Its user must be able to enter the folder, which the run's own does not allow.
    let name = folder.file_name().expect("a name").to_string_lossy();
    let own = folder.with_file_name(format!("sluis-bench-postgres-{}", name.trim_matches('.')));
    let server = postgres::Postgres::start(&own, false).await;
    let url = server.url.clone();
    (Some(server), Ok(url))
}

/// Whether `tests/postgres` will find the server's programs: Debian keeps them outside PATH.
fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("pg_ctl").is_file());
    let by_version = std::fs::read_dir("/usr/lib/postgresql");
    found || by_version.is_ok_and(|mut versions| versions.next().is_some())
}

fn many_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
