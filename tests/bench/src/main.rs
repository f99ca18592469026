//! The benchmark: one hop at a key holder, offers and pairs against a bare relay, and the servers' work
//! for a whole handover, consent under load, all in one run on one machine.
//!
//! Must never switch anything off to look faster: the servers are those of `sluis sandbox`, with real
//! mutual TLS, full sync and every check. Figures are printed as measured.

mod consent;
mod floor;
mod hop;
mod load;
mod relay;
mod servers;
mod table;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use table::Table;

/// Measures Sluis on this machine.
#[derive(Parser)]
struct Arguments {
    /// Print one JSON object and no table.
    #[arg(long)]
    json: bool,
    /// Calls under way at the same time.
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// How many of each are measured; the quotas of the design bound it.
    #[arg(long, default_value_t = 400)]
    count: usize,
    /// Measure the servers on this PostgreSQL server as well: postgres://user@host/database. Without it they
    /// are measured on SQLite only.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// For the benchmark's own use.
    #[command(subcommand)]
    part: Option<Part>,
}

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

fn main() {
    let arguments = Arguments::parse();
    if let Some(Part::Relay { folder, database }) = arguments.part {
        return many_threads().block_on(relay::serve(&folder, &database));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path().join("sandbox");
    let mut table = Table::new(arguments.json);
    table.facts(arguments.concurrency);
    let runtime = many_threads();
    let sandbox = runtime.block_on(servers::Sandbox::start(&home, None));
    let floor = floor::Floor::measure();
    floor.print(&mut table);
    hop::measure(&home, folder.path(), &floor, &mut table);
    let size = load::Size {
        concurrency: arguments.concurrency,
        count: arguments.count,
    };
    let stores = folder.path().to_owned();
    let place = load::Place {
        engine: "SQLite",
        relay: stores.display().to_string(),
        stores,
    };
    runtime.block_on(load::measure(&sandbox, &place, &size, &floor, &mut table));
    runtime.block_on(consent::measure(&home, folder.path(), &mut table));
    runtime.block_on(sandbox.stop());
    if let Some(url) = arguments.postgres {
        let home = folder.path().join("sandbox-postgres");
        let stores = folder.path().join("stores-postgres");
        std::fs::create_dir(&stores).expect("a folder");
        let sandbox = runtime.block_on(servers::Sandbox::start(&home, Some(&url)));
        let place = load::Place {
            engine: "PostgreSQL",
            relay: url,
            stores,
        };
        runtime.block_on(load::measure(&sandbox, &place, &size, &floor, &mut table));
        runtime.block_on(consent::measure(&home, &place.stores, &mut table));
        runtime.block_on(sandbox.stop());
    }
    table.finish();
}

fn many_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
